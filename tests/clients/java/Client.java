// Apache's own clients: what ../main.rs asks of every client.

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.Future;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

public final class Client {
    private static String servers;
    private static TopicPartition partition;

    public static void main(String[] arguments) throws Exception {
        servers = arguments[0];
        partition = new TopicPartition(arguments[1], 0);
        String[] codecs = arguments[2].split(",");
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", servers))) {
            manage(admin);
            for (String codec : codecs) {
                produce(codec, "plain");
                produce(codec, "idempotent");
            }
            consume(6 * codecs.length);
            tell(admin);
        }
    }

    private static void manage(Admin admin) throws Exception {
        System.out.println("listed " + String.join(" ", new TreeSet<>(admin.listTopics().names().get())));
        String topic = partition.topic();
        NewTopic wanted = new NewTopic(topic, Optional.of(2), Optional.of((short) 1));
        admin.createTopics(Set.of(wanted.configs(Map.of("retention.ms", "123456")))).all().get();
        var described = admin.describeTopics(Set.of(topic)).allTopicNames().get().get(topic);
        System.out.println("created " + described.partitions().size());
    }

    private static void produce(String codec, String mode) throws Exception {
        Map<String, Object> settings = Map.of(
                "bootstrap.servers", servers, "compression.type", codec, "enable.idempotence", mode.equals("idempotent"));
        try (var producer = new KafkaProducer<>(settings, new StringSerializer(), new StringSerializer())) {
            List<Future<RecordMetadata>> sent = new ArrayList<>();
            for (int number = 0; number < 3; number++) {
                String value = codec + " " + mode + " " + number + " " + "x".repeat(200);
                var record = new ProducerRecord<>(partition.topic(), 0, "key", value);
                record.headers().add("header", "value".getBytes());
                sent.add(producer.send(record));
            }
            StringBuilder told = new StringBuilder("acked " + codec + " " + mode);
            for (var one : sent) {
                told.append(" ").append(one.get().offset());
            }
            System.out.println(told);
        }
    }

    private static void consume(int count) {
        Map<String, Object> settings = Map.of("bootstrap.servers", servers);
        try (var consumer = new KafkaConsumer<>(settings, new StringDeserializer(), new StringDeserializer())) {
            consumer.assign(Set.of(partition));
            consumer.seekToBeginning(Set.of(partition));
            for (int read = 0; read < count; ) {
                for (var record : consumer.poll(Duration.ofSeconds(20))) {
                    var header = record.headers().iterator().next();
                    String value = record.value().replaceAll("[ x]+$", "");
                    System.out.println("read " + record.offset() + " " + record.key() + " " + header.key() + " "
                            + new String(header.value()) + " " + value);
                    read++;
                }
            }
        }
    }

    private static void tell(Admin admin) throws Exception {
        System.out.println("offsets " + offset(admin, OffsetSpec.earliest()) + " " + offset(admin, OffsetSpec.latest()));
        ConfigResource topic = new ConfigResource(ConfigResource.Type.TOPIC, partition.topic());
        var config = admin.describeConfigs(Set.of(topic)).all().get().get(topic);
        System.out.println("config " + config.get("retention.ms").value());
    }

    private static long offset(Admin admin, OffsetSpec spec) throws Exception {
        return admin.listOffsets(Map.of(partition, spec)).partitionResult(partition).get().offset();
    }
}
