"""A librdkafka consumer that asks for a group of KIP-848: modern.py SERVERS TOPIC. Prints the first error that it is told."""

import sys
import time

from confluent_kafka import Consumer

servers, topic = sys.argv[1:]
consumer = Consumer({"bootstrap.servers": servers, "group.id": "modern", "group.protocol": "consumer", "auto.offset.reset": "earliest"})
consumer.subscribe([topic])
told = None
deadline = time.monotonic() + 30
while told is None and time.monotonic() < deadline:
    message = consumer.poll(1)
    told = message.error() if message is not None else None
print(told.name() if told else "nothing")
consumer.close()
