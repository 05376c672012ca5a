package outbox;

import io.github.resilience4j.circuitbreaker.CircuitBreakerRegistry;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.UUID;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.springframework.boot.CommandLineRunner;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.scheduling.annotation.EnableScheduling;

/**
 * Stores events while the breaker is open, and drains them when it closes: {@code ROWS THREADS}. It prints
 * {@code stored=R/s drained=R/s}. A tenth of the events goes before, so that the machine code is there.
 */
@SpringBootApplication
@EnableScheduling
public class Bench implements CommandLineRunner {
    private final ResilientPublisher publisher;
    private final FailedEventRetryService retries;
    private final CircuitBreakerRegistry breakers;

    public Bench(ResilientPublisher publisher, FailedEventRetryService retries, CircuitBreakerRegistry breakers) {
        this.publisher = publisher;
        this.retries = retries;
        this.breakers = breakers;
    }

    public static void main(String[] args) {
        SpringApplication.run(Bench.class, args).close();
    }

    @Override
    public void run(String... args) throws Exception {
        int rows = Integer.parseInt(args[0]), threads = Integer.parseInt(args[1]);
        ExecutorService executor = Executors.newFixedThreadPool(threads);
        try {
            cycle(executor, Math.max(rows / 10, 10_000), threads);
            double[] rates = cycle(executor, rows, threads);
            System.out.printf("stored=%.0f drained=%.0f%n", rates[0], rates[1]);
        } finally {
            executor.shutdownNow();
        }
    }

    private double[] cycle(ExecutorService executor, int rows, int threads) throws Exception {
        var breaker = breakers.circuitBreaker("kafka");
        // A retry that is under way may send some of them before the breaker closes.
        long all = retries.resolved() + rows;
        breaker.transitionToForcedOpenState();
        double stored = rate(rows, () -> storeAll(executor, rows, threads));
        double drained = rate(rows, () -> {
            breaker.transitionToClosedState();
            while (retries.resolved() < all) {
                Thread.sleep(1);
            }
        });
        return new double[] {stored, drained};
    }

    private interface Work {
        void run() throws Exception;
    }

    private static double rate(int rows, Work work) throws Exception {
        long start = System.nanoTime();
        work.run();
        return rows * 1e9 / (System.nanoTime() - start);
    }

    private void storeAll(ExecutorService executor, int rows, int threads) throws Exception {
        byte[] payload = "x".repeat(100).getBytes(StandardCharsets.UTF_8);
        List<Future<?>> running = new ArrayList<>();
        for (int thread = 0; thread < threads; thread++) {
            int first = thread;
            running.add(executor.submit(() -> {
                for (int number = first; number < rows; number += threads) {
                    String key = "user-" + number % 10_000;
                    var outcome = publisher.publish(UUID.randomUUID(), "orders", key, payload).join();
                    if (outcome != ResilientPublisher.Outcome.STORED) {
                        throw new IllegalStateException("an event was published although the breaker is open");
                    }
                }
            }));
        }
        for (Future<?> each : running) {
            each.get();
        }
    }
}
