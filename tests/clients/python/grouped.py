"""What ../main.rs asks of the members of one group, for each Python client: grouped.py CLIENT SERVERS TOPIC.

Two members share four partitions and read each record once. One leaves, and the other gets its partitions. A new member reads from what was
committed. Each client is a class with one member's steps; each member has a thread of its own.
"""

import sys
import threading
from queue import Queue

SECONDS = 60
PARTITIONS = 4

client, servers, topic = sys.argv[1:]
# Notified when a member has other partitions.
changed = threading.Condition()


class Librdkafka:
    def __init__(self):
        from confluent_kafka import Consumer

        self.consumer = Consumer({
            "bootstrap.servers": servers, "group.id": client, "auto.offset.reset": "earliest",
            "enable.auto.commit": False, "heartbeat.interval.ms": 200, "session.timeout.ms": 10000,
        })
        self.consumer.subscribe([topic])

    def poll(self):
        message = self.consumer.poll(0.1)
        if message is None:
            return []
        assert not message.error(), message.error()
        return [message.value().decode()]

    def count(self):
        return len(self.consumer.assignment())

    def commit(self):
        self.consumer.commit(asynchronous=False)

    def close(self):
        self.consumer.close()


class KafkaPython:
    def __init__(self):
        from kafka import KafkaConsumer

        self.consumer = KafkaConsumer(
            topic, bootstrap_servers=servers, group_id=client, auto_offset_reset="earliest",
            enable_auto_commit=False, heartbeat_interval_ms=200, session_timeout_ms=10000,
        )

    def poll(self):
        return [record.value.decode() for records in self.consumer.poll(100).values() for record in records]

    def count(self):
        return len(self.consumer.assignment())

    def commit(self):
        self.consumer.commit()

    def close(self):
        self.consumer.close()


class Aiokafka:
    def __init__(self):
        import asyncio

        self.loop = asyncio.new_event_loop()
        self.loop.run_until_complete(self.start())

    async def start(self):
        from aiokafka import AIOKafkaConsumer

        self.consumer = AIOKafkaConsumer(
            topic, bootstrap_servers=servers, group_id=client, auto_offset_reset="earliest",
            enable_auto_commit=False, heartbeat_interval_ms=200, session_timeout_ms=10000,
        )
        await self.consumer.start()

    def poll(self):
        polled = self.loop.run_until_complete(self.consumer.getmany(timeout_ms=100))
        return [record.value.decode() for records in polled.values() for record in records]

    def count(self):
        return len(self.consumer.assignment())

    def commit(self):
        self.loop.run_until_complete(self.consumer.commit())

    def close(self):
        self.loop.run_until_complete(self.consumer.stop())


class Member(threading.Thread):
    """A member that polls until it is told to leave. It commits whatever it reads."""

    def __init__(self, read):
        super().__init__(daemon=True)
        self.read, self.count, self.leaves = read, 0, threading.Event()
        self.start()

    def run(self):
        consumer = {"librdkafka": Librdkafka, "kafka_python": KafkaPython, "aiokafka": Aiokafka}[client]()
        while not self.leaves.is_set():
            values = consumer.poll()
            if values:
                consumer.commit()
            for value in values:
                self.read.put(value)
            with changed:
                self.count = consumer.count()
                changed.notify_all()
        consumer.close()

    def leave(self):
        self.leaves.set()
        self.join(SECONDS)
        assert not self.is_alive(), "the member does not leave"


def share(members, counts):
    """Waits until the members have so many partitions each."""
    def is_so():
        return [member.count for member in members] == counts

    with changed:
        assert changed.wait_for(is_so, SECONDS), [member.count for member in members]
    print("shared", *counts)


def produce(numbers):
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": servers})
    for number in numbers:
        producer.produce(topic, str(number), partition=number % PARTITIONS)
    assert producer.flush(SECONDS) == 0, "records are left without an answer"


def expect(read, numbers):
    """Waits until all of these are read, and tells what was read."""
    values = [read.get(timeout=SECONDS) for _ in numbers]
    print("read", *sorted(values, key=int))


read = Queue()
first = Member(read)
share([first], [4])
second = Member(read)
share([first, second], [2, 2])
produce(range(0, 8))
expect(read, range(0, 8))
second.leave()
share([first], [4])
produce(range(8, 16))
expect(read, range(8, 16))
first.leave()
produce(range(16, 20))
third = Member(read)
expect(read, range(16, 20))
third.leave()
assert read.empty(), f"read once more: {read.get()}"
