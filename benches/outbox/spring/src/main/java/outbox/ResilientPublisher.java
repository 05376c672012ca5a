package outbox;

import io.github.resilience4j.circuitbreaker.annotation.CircuitBreaker;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import org.springframework.kafka.core.KafkaTemplate;
import org.springframework.stereotype.Service;

/** Publishes through a circuit breaker, and stores what could not be published. */
@Service
public class ResilientPublisher {
    public enum Outcome { PUBLISHED, STORED }

    private final KafkaTemplate<String, byte[]> kafka;
    private final FailedEventStore store;

    public ResilientPublisher(KafkaTemplate<String, byte[]> kafka, FailedEventStore store) {
        this.kafka = kafka;
        this.store = store;
    }

    @CircuitBreaker(name = "kafka", fallbackMethod = "store")
    public CompletableFuture<Outcome> publish(UUID eventId, String topic, String key, byte[] payload) {
        return kafka.send(topic, key, payload).thenApply(sent -> Outcome.PUBLISHED);
    }

    public CompletableFuture<Outcome> store(UUID eventId, String topic, String key, byte[] payload, Throwable cause) {
        store.save(eventId, topic, key, payload, cause);
        return CompletableFuture.completedFuture(Outcome.STORED);
    }
}
