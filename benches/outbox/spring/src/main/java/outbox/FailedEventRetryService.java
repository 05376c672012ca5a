package outbox;

import io.github.resilience4j.circuitbreaker.CircuitBreaker;
import io.github.resilience4j.circuitbreaker.CircuitBreakerRegistry;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.atomic.AtomicLong;
import org.springframework.kafka.core.KafkaTemplate;
import org.springframework.scheduling.annotation.Scheduled;
import org.springframework.stereotype.Service;

/** Sends stored events again. It looks every 100 ms while the breaker is closed, not every minute, so that the rate is measured. */
@Service
public class FailedEventRetryService {
    private static final int PAGE = 1_000;

    private final KafkaTemplate<String, byte[]> kafka;
    private final FailedEventStore store;
    private final CircuitBreaker breaker;
    private final AtomicLong resolved = new AtomicLong();

    public FailedEventRetryService(
            KafkaTemplate<String, byte[]> kafka, FailedEventStore store, CircuitBreakerRegistry breakers) {
        this.kafka = kafka;
        this.store = store;
        this.breaker = breakers.circuitBreaker("kafka");
    }

    /** How many events are in Kafka, and no longer in the table. */
    public long resolved() {
        return resolved.get();
    }

    /** The keys keep their order: an idempotent producer keeps that of the calls. */
    @Scheduled(fixedDelay = 100)
    public void retry() {
        List<FailedEventStore.Row> page = List.of();
        long after = 0;
        do {
            if (breaker.getState() != CircuitBreaker.State.CLOSED) {
                return;
            }
            page = store.due(after, PAGE);
            send(page);
            after = page.isEmpty() ? after : page.get(page.size() - 1).id();
        } while (page.size() == PAGE);
    }

    private void send(List<FailedEventStore.Row> page) {
        List<CompletableFuture<?>> sent = new ArrayList<>(page.size());
        for (var row : page) {
            sent.add(kafka.send(row.topic(), row.key(), row.payload()));
        }
        List<Long> delivered = new ArrayList<>(page.size());
        for (int i = 0; i < page.size(); i++) {
            try {
                sent.get(i).join();
                delivered.add(page.get(i).id());
            } catch (RuntimeException cause) {
                store.failed(page.get(i).id(), cause);
            }
        }
        if (!delivered.isEmpty()) {
            store.resolved(delivered);
            resolved.addAndGet(delivered.size());
        }
    }
}
