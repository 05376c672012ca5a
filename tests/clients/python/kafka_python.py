"""kafka-python: what ../main.rs asks of every client."""

import sys

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, NewTopic

SECONDS = 20

servers, topic, codecs = sys.argv[1], sys.argv[2], sys.argv[3].split(",")
partition = TopicPartition(topic, 0)
admin = KafkaAdminClient(bootstrap_servers=servers)

print("listed", *sorted(admin.list_topics()))
admin.create_topics([NewTopic(topic, 2, 1, topic_configs={"retention.ms": "123456"})])
print("created", len(admin.describe_topics([topic])[0]["partitions"]))


def produce(codec, mode):
    compression = None if codec == "none" else codec
    producer = KafkaProducer(
        bootstrap_servers=servers, compression_type=compression, enable_idempotence=mode == "idempotent"
    )
    values = [f"{codec} {mode} {number} " + "x" * 200 for number in range(3)]
    futures = [producer.send(topic, v.encode(), b"key", [("header", b"value")], 0) for v in values]
    print("acked", codec, mode, *[future.get(SECONDS).offset for future in futures])
    producer.close()


for codec in codecs:
    for mode in ["plain", "idempotent"]:
        produce(codec, mode)

consumer = KafkaConsumer(bootstrap_servers=servers, group_id=None, consumer_timeout_ms=SECONDS * 1000)
consumer.assign([partition])
consumer.seek_to_beginning(partition)
for _ in range(6 * len(codecs)):
    record = next(consumer)
    [(header, content)] = record.headers
    value = record.value.decode().rstrip("x").strip()
    print("read", record.offset, record.key.decode(), header, content.decode(), value)
print("offsets", consumer.beginning_offsets([partition])[partition], consumer.end_offsets([partition])[partition])
consumer.close()
configs = admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
print("config", configs["topic"][topic]["retention.ms"]["value"])
admin.close()
