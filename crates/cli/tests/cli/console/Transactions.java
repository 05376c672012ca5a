import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Writes to two topics of the cluster whose bootstrap servers it reads: to "ledger" committed and aborted transactions, one that stays open, and
 * a record after it; to each of the three partitions of "many" two records.
 */
public final class Transactions {
    public static void main(String[] arguments) throws Exception {
        String servers = new BufferedReader(new InputStreamReader(System.in)).readLine();
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", servers))) {
            admin.createTopics(List.of(new NewTopic("ledger", 1, (short) 1), new NewTopic("many", 3, (short) 1))).all().get();
        }
        KafkaProducer<String, String> first = producer(servers, "first");
        first.initTransactions();
        for (String value : List.of("committed-1", "aborted-1", "committed-2", "aborted-2")) {
            first.beginTransaction();
            first.send(new ProducerRecord<>("ledger", value)).get();
            if (value.startsWith("committed")) {
                first.commitTransaction();
            } else {
                first.abortTransaction();
            }
        }
        first.beginTransaction();
        for (int i = 0; i < 6; i++) {
            first.send(new ProducerRecord<>("many", i % 3, "key-" + i, "value-" + i));
        }
        first.commitTransaction();
        KafkaProducer<String, String> second = producer(servers, "second");
        second.initTransactions();
        second.beginTransaction();
        second.send(new ProducerRecord<>("ledger", "open")).get();
        first.beginTransaction();
        first.send(new ProducerRecord<>("ledger", "after")).get();
        first.commitTransaction();
        // Closing the second producer would end its transaction.
        Runtime.getRuntime().halt(0);
    }

    private static KafkaProducer<String, String> producer(String servers, String id) {
        Map<String, Object> settings = Map.of("bootstrap.servers", servers, "transactional.id", id, "transaction.timeout.ms", 600_000);
        return new KafkaProducer<>(settings, new StringSerializer(), new StringSerializer());
    }
}
