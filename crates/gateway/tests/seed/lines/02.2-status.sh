EVENT_ID="JAVA-ASYNC-$(date +%s)"

REQ_ID=$(curl -fsS -X POST "localhost:18080/api/v1/send?mode=idempotent&sendMode=async&eventId=$EVENT_ID" | sed -n 's/.*"requestId":"\([^"]*\)".*/\1/p')
echo "requestId=$REQ_ID"

curl -fsS "localhost:18080/api/v1/status?requestId=$REQ_ID" | cat
