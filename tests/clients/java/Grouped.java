// Apache's own consumers: what ../main.rs asks of the members of one group.

import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

public final class Grouped {
    private static final int SECONDS = 60;
    private static final BlockingQueue<Integer> read = new LinkedBlockingQueue<>();
    private static String servers;
    private static String topic;

    // A member polls until it is told to leave. It tells how many partitions it has, and commits whatever it reads.
    private static final class Member extends Thread {
        final BlockingQueue<Integer> counts = new LinkedBlockingQueue<>();
        volatile boolean leaves;

        Member() {
            setDaemon(true);
            start();
        }

        @Override
        public void run() {
            Map<String, Object> settings = Map.of(
                    "bootstrap.servers", servers, "group.id", "java", "auto.offset.reset", "earliest",
                    "enable.auto.commit", false, "heartbeat.interval.ms", 200, "session.timeout.ms", 10000);
            try (var consumer = new KafkaConsumer<>(settings, new StringDeserializer(), new StringDeserializer())) {
                consumer.subscribe(List.of(topic));
                int count = -1;
                while (!leaves) {
                    var records = consumer.poll(Duration.ofMillis(100));
                    if (!records.isEmpty()) {
                        consumer.commitSync();
                    }
                    records.forEach(record -> read.add(Integer.valueOf(record.value())));
                    if (consumer.assignment().size() != count) {
                        count = consumer.assignment().size();
                        counts.add(count);
                    }
                }
            }
        }

        void leave() throws InterruptedException {
            leaves = true;
            join();
        }

        void has(int wanted) throws InterruptedException {
            for (Integer count = -1; count != wanted; ) {
                count = counts.poll(SECONDS, TimeUnit.SECONDS);
                if (count == null) {
                    throw new IllegalStateException("the member does not get " + wanted + " partitions");
                }
            }
        }
    }

    private static void produce(int from, int to) throws Exception {
        Map<String, Object> settings = Map.of("bootstrap.servers", servers);
        try (var producer = new KafkaProducer<>(settings, new StringSerializer(), new StringSerializer())) {
            for (int number = from; number < to; number++) {
                producer.send(new ProducerRecord<>(topic, number % 4, null, String.valueOf(number))).get();
            }
        }
    }

    private static void expect(int count) throws InterruptedException {
        List<Integer> values = new ArrayList<>();
        while (values.size() < count) {
            Integer value = read.poll(SECONDS, TimeUnit.SECONDS);
            if (value == null) {
                throw new IllegalStateException("nothing more comes");
            }
            values.add(value);
        }
        Collections.sort(values);
        StringBuilder told = new StringBuilder("read");
        values.forEach(value -> told.append(" ").append(value));
        System.out.println(told);
    }

    public static void main(String[] arguments) throws Exception {
        servers = arguments[0];
        topic = arguments[1];
        Member first = new Member();
        first.has(4);
        System.out.println("shared 4");
        Member second = new Member();
        first.has(2);
        second.has(2);
        System.out.println("shared 2 2");
        produce(0, 8);
        expect(8);
        second.leave();
        first.has(4);
        System.out.println("shared 4");
        produce(8, 16);
        expect(8);
        first.leave();
        produce(16, 20);
        Member third = new Member();
        expect(4);
        third.leave();
        if (!read.isEmpty()) {
            throw new IllegalStateException("read once more: " + read);
        }
    }
}
