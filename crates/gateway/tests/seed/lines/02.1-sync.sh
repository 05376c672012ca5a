EVENT_ID="PLAIN-$(date +%s)"
curl -fsS -X POST "localhost:18080/api/v1/send?mode=plain&sendMode=sync&eventId=$EVENT_ID" | cat
