"""librdkafka, by its Python binding: what ../main.rs asks of every client."""

import sys

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, OffsetSpec

SECONDS = 20

servers, topic, codecs = sys.argv[1], sys.argv[2], sys.argv[3].split(",")
common = {"bootstrap.servers": servers}
admin = AdminClient(common)

print("listed", *sorted(admin.list_topics(timeout=SECONDS).topics))
for future in admin.create_topics([NewTopic(topic, 2, 1, config={"retention.ms": "123456"})]).values():
    future.result(SECONDS)
print("created", len(admin.list_topics(topic, timeout=SECONDS).topics[topic].partitions))


def produce(codec, mode):
    told = []

    def answer(error, message):
        told.append(str(error) if error else message.offset())

    producer = Producer(common | {"compression.type": codec, "enable.idempotence": mode == "idempotent"})
    for number in range(3):
        value = f"{codec} {mode} {number} " + "x" * 200
        producer.produce(topic, value, "key", 0, answer, headers=[("header", b"value")])
    assert producer.flush(SECONDS) == 0, "records are left without an answer"
    print("acked", codec, mode, *told)


for codec in codecs:
    for mode in ["plain", "idempotent"]:
        produce(codec, mode)

consumer = Consumer(common | {"group.id": "none", "enable.auto.commit": False})
consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
for _ in range(6 * len(codecs)):
    message = consumer.poll(SECONDS)
    assert message is not None, "nothing more comes"
    if message.error():
        raise KafkaException(message.error())
    [(header, content)] = message.headers()
    value = message.value().decode().rstrip("x").strip()
    print("read", message.offset(), message.key().decode(), header, content.decode(), value)
consumer.close()


def offset(spec):
    [future] = admin.list_offsets({TopicPartition(topic, 0): spec}).values()
    return future.result(SECONDS).offset


print("offsets", offset(OffsetSpec.earliest()), offset(OffsetSpec.latest()))
[configs] = admin.describe_configs([ConfigResource("topic", topic)]).values()
print("config", configs.result(SECONDS)["retention.ms"].value)
