EVENT_ID="P0-$(date +%s)"
curl -fsS -X POST "localhost:18080/api/v1/send?mode=plain&sendMode=sync&eventId=$EVENT_ID&key=account-123&partition=0" | cat

EVENT_ID="P1-$(date +%s)"
curl -fsS -X POST "localhost:18080/api/v1/send?mode=plain&sendMode=sync&eventId=$EVENT_ID&key=account-123&partition=1" | cat
docker exec kafka kafka-console-consumer \
  --bootstrap-server localhost:9092 \
  --topic bhf-transactions \
  --from-beginning \
  --timeout-ms 10000 \
  --property print.partition=true \
  --property print.offset=true
