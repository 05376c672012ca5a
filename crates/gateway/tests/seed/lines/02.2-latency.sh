curl -fsS localhost:8474/proxies | cat
curl -fsS -H 'Content-Type: application/json' \
  -X POST localhost:8474/proxies/kafka/toxics \
  -d '{"name":"latency","type":"latency","stream":"downstream","attributes":{"latency":5000,"jitter":0}}' \
  | cat
curl -fsS -X DELETE localhost:8474/proxies/kafka/toxics/latency >/dev/null || true
