// Apache's own producer under the load of load.rs, for comparison: JavaLoad.java BOOTSTRAP TOPIC CLIENT FIRST AT_LEAST. Sends
// until standard input ends, but at least so many records, and tells every step in the words of client.rs.

import java.io.FileOutputStream;
import java.io.FileDescriptor;
import java.io.IOException;
import java.io.PrintStream;
import java.util.Map;
import java.util.concurrent.locks.LockSupport;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringSerializer;

public class JavaLoad {
    static final int PACE = 2;
    static final int KEYS = 100;
    static volatile boolean end = false;

    public static void main(String[] arguments) throws Exception {
        String topic = arguments[1];
        int client = Integer.parseInt(arguments[2]);
        int first = Integer.parseInt(arguments[3]);
        int atLeast = Integer.parseInt(arguments[4]);
        Map<String, Object> settings = Map.of(
                "bootstrap.servers", arguments[0], "acks", "all", "enable.idempotence", true, "request.timeout.ms", 5000);
        PrintStream out = new PrintStream(new FileOutputStream(FileDescriptor.out), true);
        awaitEnd();
        try (var producer = new KafkaProducer<>(settings, new StringSerializer(), new StringSerializer())) {
            long start = System.nanoTime();
            for (int i = 0; i < atLeast || !end; i++) {
                LockSupport.parkNanos(start + i / PACE * 1_000_000L - System.nanoTime());
                send(producer, out, topic, client, first + i);
            }
        }
    }

    static void send(KafkaProducer<String, String> producer, PrintStream out, String topic, int client, int number) {
        say(out, "sent " + client + " " + number);
        String mix = String.format("%016x", ((long) client << 32 | number) * 0x9e3779b97f4a7c15L).repeat(5);
        var record = new ProducerRecord<>(topic, "key-" + number % KEYS, client + "/" + number + "/" + mix);
        producer.send(record, (metadata, error) -> {
            String told = error != null ? "unknown" : metadata.hasOffset() ? "at " + metadata.offset() : "written";
            say(out, "told " + client + " " + number + " " + metadata.partition() + " " + told);
        });
    }

    /** A line is written whole, so that the lines of two threads do not mix. With nobody to read it, this process ends. */
    static void say(PrintStream out, String line) {
        byte[] bytes = (line + "\n").getBytes();
        synchronized (out) {
            out.write(bytes, 0, bytes.length);
            if (out.checkError()) {
                Runtime.getRuntime().halt(1);
            }
        }
    }

    static void awaitEnd() {
        Thread listener = new Thread(() -> {
            try {
                System.in.transferTo(java.io.OutputStream.nullOutputStream());
            } catch (IOException e) {
                // Gone is gone.
            }
            end = true;
        });
        listener.setDaemon(true);
        listener.start();
    }
}
