package gateway;

import java.nio.charset.StandardCharsets;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.springframework.http.HttpStatus;
import org.springframework.http.ResponseEntity;
import org.springframework.kafka.core.KafkaTemplate;
import org.springframework.kafka.support.SendResult;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.PostMapping;
import org.springframework.web.bind.annotation.RequestParam;
import org.springframework.web.bind.annotation.RestController;

@RestController
public class SendController {
    private static final int KEPT = 100_000;

    private final KafkaTemplate<String, String> kafka;
    private final Map<String, Map<String, Object>> states = Collections.synchronizedMap(new LinkedHashMap<>() {
        @Override
        protected boolean removeEldestEntry(Map.Entry<String, Map<String, Object>> eldest) {
            return size() > KEPT;
        }
    });

    public SendController(KafkaTemplate<String, String> kafka) {
        this.kafka = kafka;
    }

    @GetMapping("/health")
    public String health() {
        return "OK";
    }

    @GetMapping("/api/v1/status")
    public ResponseEntity<Map<String, Object>> status(@RequestParam String requestId) {
        Map<String, Object> state = states.get(requestId);
        return state == null ? ResponseEntity.notFound().build() : ResponseEntity.ok(state);
    }

    @PostMapping("/api/v1/send")
    public CompletableFuture<ResponseEntity<Map<String, Object>>> send(
            @RequestParam(defaultValue = "plain") String mode,
            @RequestParam(defaultValue = "sync") String sendMode,
            @RequestParam String eventId,
            @RequestParam(required = false) String key,
            @RequestParam(defaultValue = "bhf-transactions") String topic) {
        String id = UUID.randomUUID().toString();
        ProducerRecord<String, String> record = new ProducerRecord<>(topic, key, "{\"eventId\":\"" + eventId + "\"}");
        record.headers().add("eventId", eventId.getBytes(StandardCharsets.UTF_8));
        if (sendMode.equals("async")) {
            states.put(id, Map.of("requestId", id, "state", "PENDING"));
            kafka.send(record).whenComplete((sent, error) -> states.put(id, outcome(id, sent, error)));
            Map<String, Object> accepted = Map.of("requestId", id, "state", "PENDING", "eventId", eventId, "mode", mode, "topic", topic);
            return CompletableFuture.completedFuture(
                    ResponseEntity.accepted().header("Location", "/api/v1/status?requestId=" + id).body(accepted));
        }
        return kafka.send(record).handle((sent, error) -> ResponseEntity
                .status(error == null ? HttpStatus.OK : HttpStatus.SERVICE_UNAVAILABLE)
                .body(outcome(id, sent, error)));
    }

    private static Map<String, Object> outcome(String id, SendResult<String, String> sent, Throwable error) {
        if (error != null) {
            return Map.of("requestId", id, "state", "ERROR", "error", String.valueOf(error.getMessage()));
        }
        var written = sent.getRecordMetadata();
        return Map.of("requestId", id, "state", "OK", "topic", written.topic(), "partition", written.partition(),
                "offset", written.offset(), "timestamp", written.timestamp());
    }
}
