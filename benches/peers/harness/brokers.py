"""What the clients send to: the sink, or a real Apache Kafka."""

import os, pathlib, shutil, socket, subprocess, tempfile, time

from . import peers


class Certificates:
    """A CA's certificate, and a broker's that it has issued, in a folder of their own."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="milena-peers-"))
        new = ["openssl", "req", "-x509", "-nodes", "-days", "2", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
        self.openssl(*new, "-subj", "/CN=bench CA", "-keyout", "ca.key", "-out", "ca.pem")
        names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-addext", "basicConstraints=CA:FALSE"]
        issue = ["-CA", "ca.pem", "-CAkey", "ca.key", "-subj", "/CN=broker", "-keyout", "broker.key", "-out", "broker.crt"]
        self.openssl(*new, *names, *issue)
        (self.folder / "broker.pem").write_text(self.read("broker.key") + self.read("broker.crt"))

    def openssl(self, *command):
        subprocess.run(command, cwd=self.folder, check=True, capture_output=True)

    def read(self, name):
        return (self.folder / name).read_text()

    def environment(self):
        """What a client needs to know."""
        return {"TRUST": str(self.folder / "ca.pem")}

    def remove(self):
        shutil.rmtree(self.folder, ignore_errors=True)


class Broker:
    """What a client is told of a broker beside its address."""

    def __init__(self, certificates=None):
        self.certificates = certificates
        self.title += ", TLS" if certificates else ""

    def environment(self):
        return self.certificates.environment() if self.certificates else {}


class Sink(Broker):
    """A sink for each run, so that it starts with nothing and what it took can be told."""

    title = "sink: checks headers and acknowledges at once"
    program = peers.TARGET / "release/bench-sink"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def open(self, work):
        command = [self.program, str(work.partitions)]
        if self.certificates:
            folder = self.certificates.folder
            command += ["0", str(folder / "broker.crt"), str(folder / "broker.key")]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return self.process.stdout.readline().split()[1], "bench"

    def close(self):
        """Ends it. Returns what it counted, and its CPU seconds."""
        self.process.stdin.close()
        told = self.process.stdout.read()
        _, status, usage = os.wait4(self.process.pid, 0)
        self.process.returncode = os.waitstatus_to_exitcode(status)
        counted = dict(word.split("=") for word in told.split() if "=" in word)
        return {name: int(value) for name, value in counted.items()}, usage.ru_utime + usage.ru_stime


class Kafka(Broker):
    """One node of Apache Kafka, broker and controller at once, and a fresh topic for each run."""

    title = "Apache Kafka, one node on this machine"

    def __enter__(self):
        if not (peers.CACHE / "pom.xml").is_file():
            raise SystemExit("Kafka is not in $MILENA_CACHE (target/kafka): run tests/run once, it fetches it")
        self.folder = peers.TARGET / f"kafka-{os.getpid()}"
        self.folder.mkdir(parents=True)
        self.port, self.secured_port, self.runs = free_port(), free_port(), 0
        (self.folder / "server.properties").write_text(self.properties(free_port()))
        self.tool("kafka.tools.StorageTool", "format", "-t", "milenaBenchClust0000w", "-c", "server.properties")
        log = open(self.folder / "log", "w")
        command = java("-Xmx1g") + ["kafka.Kafka", "server.properties"]
        self.process = subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log)
        try:
            self.await_start()
        except BaseException:
            self.__exit__()
            raise
        self.title = self.title.replace("Kafka", f"Kafka {peers.java_version()}", 1)
        return self

    def properties(self, controller):
        return "\n".join([
            "node.id=1",
            "process.roles=broker,controller",
            f"controller.quorum.voters=1@127.0.0.1:{controller}",
            f"listeners=PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{controller}"
            + (f",SECURED://127.0.0.1:{self.secured_port}" if self.certificates else ""),
            "controller.listener.names=CONTROLLER",
            "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURED:SSL",
            "inter.broker.listener.name=PLAINTEXT",
            *self.secured(),
            f"log.dirs={self.folder}/data",
            "offsets.topic.replication.factor=1",
            "auto.create.topics.enable=false",
            # A topic that was deleted is to leave the disk before the next run.
            "log.segment.delete.delay.ms=500",
        ])

    def secured(self):
        if not self.certificates:
            return []
        store = self.certificates.folder / "broker.pem"
        return ["ssl.keystore.type=PEM", f"ssl.keystore.location={store}"]

    def await_start(self):
        deadline = time.monotonic() + 120
        while "Kafka Server started" not in (self.folder / "log").read_text():
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise SystemExit("Kafka did not start:\n" + (self.folder / "log").read_text()[-2000:])
            time.sleep(0.1)

    def tool(self, name, *arguments):
        command = java("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC") + [name, *arguments]
        ran = subprocess.run(command, cwd=self.folder, capture_output=True, text=True)
        if ran.returncode:
            raise SystemExit(f"{name} failed: {ran.stdout[-1000:]} {ran.stderr[-1000:]}")

    def topics(self, *arguments):
        self.tool("org.apache.kafka.tools.TopicCommand", "--bootstrap-server", f"127.0.0.1:{self.port}", *arguments)

    def open(self, work):
        self.runs += 1
        self.topic = f"bench{self.runs}"
        names = [self.topic] if work.topics == 1 else [f"{self.topic}-{i}" for i in range(work.topics)]
        for name in names:
            self.topics("--create", "--topic", name, "--partitions", str(work.partitions))
        return f"127.0.0.1:{self.secured_port if self.certificates else self.port}", self.topic

    def close(self):
        self.topics("--delete", "--topic", f"{self.topic}(-.*)?")
        return {}, None

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def java(*options):
    support = peers.ROOT / "tests/support/kafka/log4j2.properties"
    logging = [f"-Dlog4j2.configurationFile={support}", "-Dmilena.log.level=INFO"]
    return ["java", *options, *logging, "-cp", str(pathlib.Path(peers.CACHE) / "jars/*")]


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
