"""aiokafka: what ../main.rs asks of every client."""

import asyncio
import sys

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

SECONDS = 20

servers, topic, codecs = sys.argv[1], sys.argv[2], sys.argv[3].split(",")
partition = TopicPartition(topic, 0)


async def produce(codec, mode):
    compression = None if codec == "none" else codec
    producer = AIOKafkaProducer(
        bootstrap_servers=servers, compression_type=compression, enable_idempotence=mode == "idempotent"
    )
    async with producer:
        values = [f"{codec} {mode} {number} " + "x" * 200 for number in range(3)]
        sent = [
            await producer.send(topic, value.encode(), b"key", partition=0, headers=[("header", b"value")])
            for value in values
        ]
        print("acked", codec, mode, *[(await asyncio.wait_for(one, SECONDS)).offset for one in sent])


async def consume(count):
    async with AIOKafkaConsumer(bootstrap_servers=servers, group_id=None) as consumer:
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        for _ in range(count):
            record = await asyncio.wait_for(consumer.getone(), SECONDS)
            [(header, content)] = record.headers
            value = record.value.decode().rstrip("x").strip()
            print("read", record.offset, record.key.decode(), header, content.decode(), value)
        first, end = await consumer.beginning_offsets([partition]), await consumer.end_offsets([partition])
        print("offsets", first[partition], end[partition])


async def main():
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    print("listed", *sorted(await admin.list_topics()))
    await admin.create_topics([NewTopic(topic, 2, 1, topic_configs={"retention.ms": "123456"})])
    print("created", len((await admin.describe_topics([topic]))[0]["partitions"]))
    for codec in codecs:
        for mode in ["plain", "idempotent"]:
            await produce(codec, mode)
    await consume(6 * len(codecs))
    [answer] = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
    settings = {entry[0]: entry[1] for entry in answer.resources[0][4]}
    print("config", settings["retention.ms"])
    await admin.close()


asyncio.run(main())
