curl -fsS localhost:18080/health
curl -fsS localhost:18081/health
