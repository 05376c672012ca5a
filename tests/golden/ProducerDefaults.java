import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.common.config.ConfigDef.ConfigKey;

/** Prints every setting of Kafka's producer and its default: name, default as it would stand in a properties file. */
public final class ProducerDefaults {
    public static void main(String[] arguments) {
        for (ConfigKey key : ProducerConfig.configDef().configKeys().values()) {
            boolean hasDefault = key.defaultValue != null && key.defaultValue != ConfigDef.NO_DEFAULT_VALUE;
            String value = hasDefault ? ConfigDef.convertToString(key.defaultValue, key.type) : "";
            System.out.printf("%s\t%s%n", key.name, value);
        }
    }
}
