curl -fsS -H 'Content-Type: application/json' \
  -X POST localhost:8474/proxies/kafka/toxics \
  -d '{"name":"timeout","type":"timeout","stream":"downstream","attributes":{"timeout":1}}' \
  | cat

EVENT_ID="DOTNET-ASYNC-FAIL-$(date +%s)"
REQ_ID=$(curl -fsS -X POST "localhost:18081/api/v1/send?mode=plain&sendMode=async&eventId=$EVENT_ID" | sed -n 's/.*"requestId":"\([^"]*\)".*/\1/p')
echo "requestId=$REQ_ID"

curl -fsS "localhost:18081/api/v1/status?requestId=$REQ_ID" | cat

curl -fsS -X DELETE localhost:8474/proxies/kafka/toxics/timeout >/dev/null || true
