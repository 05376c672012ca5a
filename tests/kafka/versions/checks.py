"""What is tried against one cluster, and how it is judged."""

import collections, dataclasses, sys

CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
WAYS = {
    "idempotent": ["enable.idempotence=true", "acks=all"],
    "acks=all": ["enable.idempotence=false", "acks=all"],
    "acks=1": ["enable.idempotence=false", "acks=1"],
    "acks=0": ["enable.idempotence=false", "acks=0"],
}
RECORDS = 500
LATENCY = ["--records", "500", "--warmup", "100", "--rate", "1000"]
KEYS = 7
# What stands in each topic before the records that are compared.
FIRST = "first"


@dataclasses.dataclass
class Cell:
    """A cell of the table: what it says, and whether that is good."""

    text: str
    good: bool = True


def run(cluster):
    cells = {"create": create(cluster)}
    cells.update(produce(cluster))
    for name, options in {"async-orders": [], "retry": [], "dead-letter": [], "latency": LATENCY}.items():
        cells[name] = attempt(name, lambda: run_lab(cluster, name, options))
    cells["pause"] = attempt("pause", lambda: pause(cluster))
    return cells


def attempt(name, check):
    """`ok`, or the cell that the check gives instead; what went wrong is told on standard error."""
    try:
        return check() or Cell("ok")
    except Exception as error:
        print(f"{name}: {error}", file=sys.stderr, flush=True)
        return Cell("**failed**", good=False)


def create(cluster):
    """A topic by way of each node; where there are several, most of them are not the controller."""

    def check():
        for port in cluster.ports:
            said = cluster.milena("lab", "async-orders", "--bootstrap-server", f"127.0.0.1:{port}", "--topic", f"by-{port}")
            if f"topic by-{port} created with 3 partitions".encode() not in said:
                raise RuntimeError(f"the topic was not created: {said}")

    return attempt("create", check)


def run_lab(cluster, name, options):
    cluster.milena("lab", name, "--bootstrap-server", cluster.bootstrap, "--topic", f"lab-{name}", *options)


def pause(cluster):
    """Freezes a broker, which has to be the only one: another would take the lead."""
    if len(cluster.brokers) > 1:
        return Cell("not run")
    return run_lab(cluster, "pause", ["--pid", str(cluster.brokers[0].pid())])


def produce(cluster):
    """Sends with every codec in every way, then reads everything back, by the version's own consumer and by ours."""
    sent, cells = {}, {}
    for way, settings in WAYS.items():
        for codec in CODECS:
            topic = f"sent.{way.replace('=', '-')}.{codec}"
            cell = attempt(topic, lambda: create_and_send(cluster, topic, [*settings, f"compression.type={codec}"]))
            sent[topic] = (way, codec, cell.good)
    found = read_by_console(cluster, sum(KEYS + RECORDS for *_, good in sent.values() if good))
    failed = collections.defaultdict(list)
    for topic, (way, codec, good) in sent.items():
        ours = attempt(topic, lambda: compare(topic, read_by_milena(cluster, topic)))
        theirs = attempt(topic, lambda: compare(topic, found[topic]))
        if not (good and ours.good and theirs.good):
            failed[way].append(codec)
    for way in WAYS:
        text = f"**failed: {' '.join(failed[way])}**" if failed[way] else f"{len(CODECS)} codecs"
        cells[way] = Cell(text, good=not failed[way])
    return cells


def records(topic):
    """Key and value of each record; the value tells where it belongs."""
    return [(f"key-{number % KEYS}", f"{topic} {number} {'all work and no play ' * 5}") for number in range(RECORDS)]


def create_and_send(cluster, topic, settings):
    """With acks=0 nobody is told when a broker does not know yet that it leads: a first record of each key waits for that."""
    send(cluster, topic, [(f"key-{key}", FIRST) for key in range(KEYS)], ["acks=all"])
    send(cluster, topic, records(topic), settings)


def send(cluster, topic, records, settings):
    lines = "".join(f"{key}:{value}\n" for key, value in records).encode()
    options = [word for setting in settings for word in ("-X", setting)]
    where = ["-b", cluster.bootstrap, "-t", topic, "--parse-key", "--key-separator", ":", "-o", "none"]
    cluster.milena("produce", *where, *options, input=lines)


def read_by_console(cluster, count):
    """All topics at once, by topic, in the order in which they were printed."""
    version, found = cluster.version, collections.defaultdict(list)
    which = "--include" if version.numbers >= (3, 0) else "--whitelist"
    property = "--formatter-property" if version.numbers >= (4, 2) else "--property"
    options = ["--bootstrap-server", cluster.bootstrap, which, r"sent\..*", "--from-beginning", property, "print.key=true"]
    options += ["--max-messages", str(count), "--timeout-ms", "30000"]
    printed = attempt_text("console consumer", lambda: cluster.tool(version.console_consumer, *options))
    for line in printed.splitlines():
        key, _, value = line.partition("\t")
        found[value.split(" ")[0]].append((key, value))
    return found


def read_by_milena(cluster, topic):
    printed = cluster.milena("consume", "-b", cluster.bootstrap, "-t", topic).decode()
    found = [tuple(line.split("\t")[2:4]) for line in printed.splitlines()]
    return [(key, value) for key, value in found if value != FIRST]


def attempt_text(name, read):
    try:
        return read().decode()
    except Exception as error:
        print(f"{name}: {error}", file=sys.stderr, flush=True)
        return ""


def compare(topic, found):
    """Each record once; those of one key, which share a partition, in the order of sending."""
    expected = records(topic)
    if sorted(found) != sorted(expected):
        raise RuntimeError(f"expected {len(expected)} records, got {len(found)} or others: {found[:3]}")
    for wanted in {key for key, _ in expected}:
        if [record for record in found if record[0] == wanted] != [record for record in expected if record[0] == wanted]:
            raise RuntimeError(f"records of {wanted} are out of order")
