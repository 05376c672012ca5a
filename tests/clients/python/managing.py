"""What ../managing.rs asks of librdkafka, kafka-python and aiokafka: partitions, settings, nodes, records."""

import asyncio
import sys

SECONDS = 20

client, servers, topic = sys.argv[1:]


def librdkafka():
    from confluent_kafka import Producer, TopicPartition
    from confluent_kafka.admin import (
        AdminClient,
        AlterConfigOpType,
        ConfigEntry,
        ConfigResource,
        NewPartitions,
        NewTopic,
        OffsetSpec,
    )

    admin = AdminClient({"bootstrap.servers": servers})

    def wait(futures):
        [future] = futures.values()
        return future.result(SECONDS)

    wait(admin.create_topics([NewTopic(topic, 2, 1)]))
    wait(admin.create_partitions([NewPartitions(topic, 4)]))
    print("partitions", len(admin.list_topics(topic, timeout=SECONDS).topics[topic].partitions))
    change = ConfigEntry("retention.ms", "654321", incremental_operation=AlterConfigOpType.SET)
    wait(admin.incremental_alter_configs([ConfigResource("topic", topic, incremental_configs=[change])]))
    print("config", wait(admin.describe_configs([ConfigResource("topic", topic)]))["retention.ms"].value)
    print("nodes", len(admin.describe_cluster().result(SECONDS).nodes))
    producer = Producer({"bootstrap.servers": servers})
    for _ in range(5):
        producer.produce(topic, "value", partition=0)
    assert producer.flush(SECONDS) == 0, "records are left without an answer"
    wait(admin.delete_records([TopicPartition(topic, 0, 3)]))

    def offset(spec):
        return wait(admin.list_offsets({TopicPartition(topic, 0): spec})).offset

    print("records", offset(OffsetSpec.earliest()), offset(OffsetSpec.latest()))
    wait(admin.delete_topics([topic]))


def kafka_python():
    from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
    from kafka.admin import ConfigResource, ConfigResourceType, NewPartitions, NewTopic

    partition = TopicPartition(topic, 0)
    admin = KafkaAdminClient(bootstrap_servers=servers)
    admin.create_topics([NewTopic(topic, 2, 1)])
    admin.create_partitions({topic: NewPartitions(4)})
    print("partitions", len(admin.describe_topics([topic])[0]["partitions"]))
    admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, {"retention.ms": "654321"})])
    configs = admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
    print("config", configs["topic"][topic]["retention.ms"]["value"])
    print("nodes", len(admin.describe_cluster()["brokers"]))
    producer = KafkaProducer(bootstrap_servers=servers)
    for _ in range(5):
        producer.send(topic, b"value", partition=0).get(SECONDS)
    producer.close()
    admin.delete_records({partition: 3})
    consumer = KafkaConsumer(bootstrap_servers=servers)
    print("records", consumer.beginning_offsets([partition])[partition], consumer.end_offsets([partition])[partition])
    consumer.close()
    admin.delete_topics([topic])
    admin.close()


async def aiokafka():
    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
    from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic, RecordsToDelete
    from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

    partition = TopicPartition(topic, 0)
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    await admin.create_topics([NewTopic(topic, 2, 1)])
    await admin.create_partitions({topic: NewPartitions(4)})
    print("partitions", len((await admin.describe_topics([topic]))[0]["partitions"]))
    await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, {"retention.ms": "654321"})])
    [answer] = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
    print("config", {entry[0]: entry[1] for entry in answer.resources[0][4]}["retention.ms"])
    print("nodes", len((await admin.describe_cluster())["brokers"]))
    async with AIOKafkaProducer(bootstrap_servers=servers) as producer:
        for _ in range(5):
            await asyncio.wait_for(producer.send_and_wait(topic, b"value", partition=0), SECONDS)
    await admin.delete_records({partition: RecordsToDelete(before_offset=3)})
    async with AIOKafkaConsumer(bootstrap_servers=servers) as consumer:
        first, end = await consumer.beginning_offsets([partition]), await consumer.end_offsets([partition])
        print("records", first[partition], end[partition])
    await admin.delete_topics([topic])
    await admin.close()


if client == "aiokafka":
    asyncio.run(aiokafka())
else:
    {"librdkafka": librdkafka, "kafka_python": kafka_python}[client]()
