import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.HashMap;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.LockSupport;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Apache's own producer as one of the peers that are measured side by side, with its defaults but for what the work says;
 * its idiom is a callback for every record. Called as every client here, see benches/peers/README.md.
 */
public final class BenchJava {
    private static final int DISTINCT = 1024;

    private final String[] topics;
    private final int records = number(2);
    private final boolean keyed;
    private final int tasks = variable("TASKS", 1);
    private final int rate = variable("RATE", 0);
    private final byte[][] values;
    private final byte[][] keys = new byte[DISTINCT][];
    private final AtomicLong ok = new AtomicLong();
    private final AtomicLong failed = new AtomicLong();
    private final long[] latencies = new long[rate > 0 ? records : 0];

    private static String[] arguments;

    private BenchJava() {
        int count = variable("TOPICS", 1);
        topics = new String[count];
        for (int i = 0; i < count; i++) {
            topics[i] = count == 1 ? arguments[1] : arguments[1] + "-" + i;
        }
        keyed = arguments[7].equals("key");
        values = values(number(3));
        for (int i = 0; i < DISTINCT; i++) {
            keys[i] = String.format("key-%04d", i).getBytes();
        }
    }

    public static void main(String[] args) throws Exception {
        arguments = args;
        new BenchJava().run();
    }

    private void run() throws Exception {
        Map<String, Object> settings = new HashMap<>(Map.of(
            "bootstrap.servers", arguments[0], "acks", "all", "batch.size", arguments[4], "linger.ms", arguments[5],
            "compression.type", arguments[6]));
        String trust = System.getenv("TRUST");
        if (trust != null) {
            settings.putAll(Map.of(
                "security.protocol", "SSL", "ssl.truststore.type", "PEM", "ssl.truststore.location", trust));
        }
        ByteArraySerializer bytes = new ByteArraySerializer();
        try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(settings, bytes, bytes)) {
            for (String topic : topics) {
                producer.partitionsFor(topic);
            }
            long start = System.nanoTime();
            if (rate > 0) {
                paced(producer, start);
            } else {
                flatOut(producer);
            }
            producer.flush();
            double wall = (System.nanoTime() - start) / 1e9;
            System.out.printf(Locale.ROOT, "java ok=%d err=%d wall=%.3f rate=%.0f/s%n", ok.get(), failed.get(), wall, records / wall);
            if (rate > 0) {
                percentiles();
            }
        }
    }

    private ProducerRecord<byte[], byte[]> record(int i) {
        byte[] key = keyed ? keys[i / topics.length % DISTINCT] : null;
        return new ProducerRecord<>(topics[i % topics.length], key, values[i % DISTINCT]);
    }

    private void flatOut(KafkaProducer<byte[], byte[]> producer) throws InterruptedException {
        List<Thread> threads = new ArrayList<>();
        for (int task = 1; task < tasks; task++) {
            int first = task;
            threads.add(new Thread(() -> share(producer, first)));
        }
        threads.forEach(Thread::start);
        share(producer, 0);
        for (Thread thread : threads) {
            thread.join();
        }
    }

    private void share(KafkaProducer<byte[], byte[]> producer, int task) {
        for (int i = task; i < records; i += tasks) {
            producer.send(record(i), (metadata, error) -> (error == null ? ok : failed).incrementAndGet());
        }
    }

    private void paced(KafkaProducer<byte[], byte[]> producer, long start) {
        for (int i = 0; i < records; i++) {
            long due = start + (long) (i * 1e9 / rate);
            for (long wait = due - System.nanoTime(); wait > 0; wait = due - System.nanoTime()) {
                LockSupport.parkNanos(wait);
            }
            int record = i;
            long sent = System.nanoTime();
            producer.send(record(i), (metadata, error) -> {
                latencies[record] = System.nanoTime() - sent;
                (error == null ? ok : failed).incrementAndGet();
            });
        }
    }

    private void percentiles() {
        Arrays.sort(latencies);
        double[] at = {0.5, 0.95, 0.99, 0.999};
        Object[] found = Arrays.stream(at).mapToObj(p -> latencies[(int) (p * (records - 1))] / 1e6).toArray();
        System.out.printf(Locale.ROOT, "  java latency ms p50=%.2f p95=%.2f p99=%.2f p999=%.2f%n", found);
    }

    /** Half-random values, the same for every client. */
    private static byte[][] values(int size) {
        long x = 88_172_645_463_325_252L;
        byte[][] values = new byte[DISTINCT][size];
        for (byte[] value : values) {
            for (int j = 0; j < size; j++) {
                if (j % 2 == 0) {
                    value[j] = (byte) ('a' + j % 26);
                    continue;
                }
                x ^= x << 13;
                x ^= x >>> 7;
                x ^= x << 17;
                value[j] = (byte) ('a' + Long.remainderUnsigned(x, 26));
            }
        }
        return values;
    }

    private static int number(int argument) {
        return Integer.parseInt(arguments[argument]);
    }

    private static int variable(String name, int otherwise) {
        String text = System.getenv(name);
        return text == null ? otherwise : Integer.parseInt(text);
    }
}
