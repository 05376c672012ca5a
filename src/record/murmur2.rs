//! Kafka's key hash: murmur2, as in Java's `org.apache.kafka.common.utils.Utils`.
