"""Brokers of any version of Apache Kafka on loopback, and the tools that came with it.

Nodes hang on a pipe to tests/support/kafka/node.sh, so they end with this process, however it ends.
"""

import dataclasses, os, pathlib, re, shutil, socket, subprocess, time

ROOT = pathlib.Path(__file__).resolve().parents[3]
SUPPORT = ROOT / "tests/support/kafka"
CACHE = pathlib.Path(os.environ.get("MILENA_CACHE", ROOT / "target/kafka")).absolute()
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).absolute()

# Nothing here takes as long; what does has hung.
LIMIT_S = 180
FAILED = re.compile(r"Exiting Kafka|exiting abnormally|Exception in thread \"main\"|Error: Could not")
READY = re.compile(r"\[KafkaServer id=\d+\] started|Kafka Server started|binding to port")


@dataclasses.dataclass(frozen=True)
class Version:
    name: str

    @property
    def numbers(self):
        return tuple(int(number) for number in self.name.split("."))

    @property
    def has_zookeeper(self):
        return self.numbers < (3, 3)

    @property
    def nodes(self):
        """One version has two, to see that topics are created by the controller and read from both."""
        return 2 if self.numbers[:2] == (2, 8) else 1

    @property
    def console_consumer(self):
        return "org.apache.kafka.tools.consumer.ConsoleConsumer" if self.numbers >= (3, 8) else "kafka.tools.ConsoleConsumer"

    @property
    def jars(self):
        return CACHE / self.name / "jars"

    def fetch(self):
        """The pom is copied last, so it stands for a complete fetch; a changed pom fetches anew."""
        pom, fetched = SUPPORT / "versions.xml", CACHE / self.name / "pom.xml"
        if fetched.is_file() and fetched.read_bytes() == pom.read_bytes():
            return
        shutil.rmtree(CACHE / self.name, ignore_errors=True)
        command = ["mvn", "-q", "-B", "-f", pom, "dependency:copy-dependencies", "-DincludeScope=runtime"]
        command += [f"-DoutputDirectory={self.jars}", *self.properties()]
        subprocess.run(command, check=True)
        shutil.copy(pom, fetched)

    def properties(self):
        scala = "2.12" if self.numbers < (2, 4) else "2.13"
        chosen = [f"-Dkafka.version={self.name}", f"-Dscala.version={scala}"]
        if self.numbers >= (4,):
            chosen += ["-Dbinding.group=org.apache.logging.log4j", "-Dbinding.artifact=log4j-slf4j-impl"]
            chosen += ["-Dbinding.version=2.25.3"]
        if self.numbers < (2, 4):
            chosen += ["-Pnewer-zookeeper"]
        return chosen + (["-Ptools"] if self.numbers >= (3, 3) else [])

    def java(self, level, *arguments):
        options = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx512m", f"-Dmilena.log.level={level}"]
        options += [f"-Dlog4j2.configurationFile={SUPPORT}/log4j2.properties"]
        options += [f"-Dlog4j.configuration=file:{SUPPORT}/log4j.properties", "-Dzookeeper.jmx.log4j.disable=true"]
        return ["java", *options, "-cp", f"{self.jars}/*", *arguments]


class Node:
    """A process that is kept by node.sh."""

    def __init__(self, folder, command):
        self.folder = folder
        keeper = ["sh", SUPPORT / "node.sh", folder, *command]
        self.keeper = subprocess.Popen(keeper, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def start(self):
        print("start", file=self.keeper.stdin, flush=True)
        self.keeper.stdout.readline()

    def await_ready(self):
        deadline = time.monotonic() + LIMIT_S
        while not READY.search(self.log()):
            if time.monotonic() > deadline or FAILED.search(self.log()):
                raise SystemExit(f"{self.folder.name} did not start:\n{self.log()[-4000:]}")
            time.sleep(0.1)

    def pid(self):
        return int((self.folder / "pid").read_text())

    def log(self):
        log = self.folder / "log"
        return log.read_text(errors="replace") if log.is_file() else ""

    def end(self):
        self.keeper.stdin.close()
        self.keeper.wait()


def build(folder):
    """The binary, copied to where nobody builds another in its place."""
    subprocess.run(["cargo", "build", "-q", "-p", "milena-cli", "--features", "zstd"], cwd=ROOT, check=True)
    return shutil.copy(TARGET / "debug/milena", folder)


class Cluster:
    """Running brokers of one version."""

    def __init__(self, version, milena):
        self.version, self.binary, self.started = version, milena, []
        self.folder = CACHE / f"runs/matrix-{os.getpid()}-{version.name}"
        self.ports = [free_port() for _ in range(version.nodes)]
        self.other_port = free_port()

    def __enter__(self):
        try:
            if self.version.has_zookeeper:
                self.start("zookeeper", "org.apache.zookeeper.server.quorum.QuorumPeerMain", self.zookeeper())
            brokers = [self.prepare(f"node{id}", "kafka.Kafka", self.broker(id)) for id in range(1, len(self.ports) + 1)]
            for broker in brokers:
                broker.start()
            for broker in brokers:
                broker.await_ready()
            self.brokers = brokers
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for node in reversed(self.started):
            node.end()
        shutil.rmtree(self.folder, ignore_errors=True)

    def prepare(self, name, main, settings):
        folder = self.folder / name
        folder.mkdir(parents=True)
        properties = folder / "properties"
        properties.write_text("\n".join([f"{key}={value}" for key, value in settings.items()]))
        if main == "kafka.Kafka" and not self.version.has_zookeeper:
            self.tool("kafka.tools.StorageTool", "format", "-t", "milenaMatrixClust0000w", "-c", properties)
        self.started.append(Node(folder, self.version.java("INFO", main, properties)))
        return self.started[-1]

    def start(self, *arguments):
        node = self.prepare(*arguments)
        node.start()
        node.await_ready()

    def zookeeper(self):
        port = {"clientPort": self.other_port, "clientPortAddress": "127.0.0.1", "admin.enableServer": "false"}
        return {"dataDir": self.folder / "zookeeper/data", **port}

    def broker(self, id):
        replicas = len(self.ports)
        plain = f"PLAINTEXT://127.0.0.1:{self.ports[id - 1]}"
        common = {
            "log.dirs": self.folder / f"node{id}/data",
            # A topic that is created by sending to it is spread like one that a lab creates.
            "num.partitions": 3,
            "default.replication.factor": replicas,
            "offsets.topic.replication.factor": replicas,
            "offsets.topic.num.partitions": 1,
            "group.initial.rebalance.delay.ms": 0,
        }
        if self.version.has_zookeeper:
            return {"broker.id": id, "listeners": plain, "zookeeper.connect": f"127.0.0.1:{self.other_port}", **common}
        return {
            "node.id": id,
            "process.roles": "broker,controller",
            "controller.quorum.voters": f"1@127.0.0.1:{self.other_port}",
            "listeners": f"{plain},CONTROLLER://127.0.0.1:{self.other_port}",
            "advertised.listeners": plain,
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "controller.listener.names": "CONTROLLER",
            **common,
        }

    @property
    def bootstrap(self):
        return ",".join(f"127.0.0.1:{port}" for port in self.ports)

    def tool(self, *arguments):
        return run(self.version.java("WARN", *arguments))

    def milena(self, *arguments, input=b""):
        return run([self.binary, *arguments], input, cwd=self.folder)


def run(command, input=b"", cwd=None):
    """What the command printed; an error says everything that it said."""
    ran = subprocess.run(command, input=input, cwd=cwd, capture_output=True, timeout=LIMIT_S)
    if ran.returncode:
        said = (ran.stdout[-3000:] + ran.stderr[-3000:]).decode(errors="replace")
        raise RuntimeError(f"{command[0]} {command[-1]} ended with {ran.returncode}:\n{said}")
    return ran.stdout


def git(*arguments):
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
