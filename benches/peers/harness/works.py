"""What is measured: named works. Sizes and batches are those of the issue that asked for these figures."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Work:
    name: str
    title: str
    records: int = 2_000_000
    size: int = 100
    batch: int = 16_384
    linger_ms: int = 5
    codec: str = "none"
    keyed: bool = True
    # Partitions of each topic.
    partitions: int = 6
    topics: int = 1
    tasks: int = 1
    # Records a second; 0 is as many as will go.
    rate: int = 0
    # A callback for every record, where the client's idiom is a handle.
    callback: bool = False

    def arguments(self, server, topic):
        key = "key" if self.keyed else "null"
        numbers = [self.records, self.size, self.batch, self.linger_ms]
        mode = ["callback"] if self.callback else []
        return [server, topic, *map(str, numbers), self.codec, key, *mode]

    def environment(self):
        named = {"TOPICS": self.topics, "TASKS": self.tasks, "RATE": self.rate, "PARTITIONS": self.partitions}
        return {name: str(value) for name, value in named.items() if value != (name != "RATE") or name == "PARTITIONS"}

    def only_for(self):
        """Clients that know what is asked for here; None is all."""
        if self.tasks > 1 or self.topics > 1:
            return {"milena", "franz-go", "java", "confluent-kafka"}
        return None


LARGE = {"size": 1024, "batch": 131_072}

WORKS = [
    Work("keyed", "100 B, keyed, 6 partitions, 16 KiB batches"),
    Work("callback", "100 B, keyed, 6 partitions, 16 KiB batches, a callback for every record", callback=True),
    Work("partitions-1000", "100 B, keyed, 1,000 partitions, 16 KiB batches", partitions=1000),
    Work("partitions-10000", "100 B, keyed, 10,000 partitions in 200 topics, 16 KiB batches", partitions=50, topics=200),
    Work("large", "1 KiB, 128 KiB batches, 6 partitions", records=1_000_000, keyed=False, **LARGE),
    *(
        Work(codec, f"1 KiB, {codec}, keyed, 128 KiB batches, 6 partitions", records=300_000, codec=codec, **LARGE)
        for codec in ("lz4", "snappy", "zstd", "gzip")
    ),
    Work("tasks-8", "100 B, keyed, 6 partitions, 16 KiB batches, 8 sending tasks", tasks=8),
    Work("paced-0", "100 B, keyed, 2,000 records a second, linger 0", records=10_000, rate=2000, linger_ms=0),
    Work("paced-5", "100 B, keyed, 2,000 records a second, linger 5 ms", records=10_000, rate=2000),
]
