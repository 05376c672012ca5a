"""librdkafka, kafka-python and aiokafka authenticate by each mechanism, and are told when the password is wrong.

With the file of a CA they do so over TLS.
"""

import asyncio
import ssl
import sys

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError as AioKafkaError
from confluent_kafka import Producer
from kafka import KafkaProducer
from kafka.errors import KafkaError

SECONDS = 20
MECHANISMS = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]

servers, topic = sys.argv[1], sys.argv[2]
ca = sys.argv[3] if len(sys.argv) > 3 else None
PROTOCOL = "SASL_SSL" if ca else "SASL_PLAINTEXT"


def librdkafka(mechanism, password):
    told = []
    errors = []
    settings = {
        "bootstrap.servers": servers,
        "security.protocol": PROTOCOL,
        **({"ssl.ca.location": ca} if ca else {}),
        "sasl.mechanism": mechanism,
        "sasl.username": "alice",
        "sasl.password": password,
        "error_cb": lambda error: errors.append(error.name()),
        "log_level": 0,
    }
    producer = Producer(settings)
    producer.produce(topic, "value", on_delivery=lambda error, message: told.append(error is None))
    for _ in range(SECONDS * 10):
        producer.poll(0.1)
        if told == [True] or "_AUTHENTICATION" in errors:
            break
    return told == [True]


def kafka_python(mechanism, password):
    settings = {
        "bootstrap_servers": servers,
        "security_protocol": PROTOCOL,
        "ssl_cafile": ca,
        "sasl_mechanism": mechanism,
        "sasl_plain_username": "alice",
        "sasl_plain_password": password,
        "max_block_ms": 5000,
    }
    try:
        producer = KafkaProducer(**settings)
        producer.send(topic, b"value").get(SECONDS)
        producer.close()
        return True
    except KafkaError:
        return False


async def send_by_aiokafka(mechanism, password):
    producer = AIOKafkaProducer(
        bootstrap_servers=servers,
        security_protocol=PROTOCOL,
        ssl_context=ssl.create_default_context(cafile=ca) if ca else None,
        sasl_mechanism=mechanism,
        sasl_plain_username="alice",
        sasl_plain_password=password,
    )
    try:
        await producer.start()
        await producer.send_and_wait(topic, b"value")
        return True
    except AioKafkaError:
        return False
    finally:
        await producer.stop()


def aiokafka(mechanism, password):
    return asyncio.run(send_by_aiokafka(mechanism, password))


for client in [librdkafka, kafka_python, aiokafka]:
    # Two of them try for a while before they believe that the password is wrong.
    for mechanism, password in [(mechanism, "secret") for mechanism in MECHANISMS] + [(MECHANISMS[1], "wrong")]:
        print(client.__name__, mechanism, password, "sent" if client(mechanism, password) else "refused", flush=True)
