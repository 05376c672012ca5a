"""The clients: how each is built, and how it is called."""

import os, pathlib, re, shutil, subprocess

PEERS = pathlib.Path(__file__).resolve().parents[1]
ROOT = PEERS.parents[1]
TARGET = PEERS / "target"
CACHE = pathlib.Path(os.environ.get("MILENA_CACHE", ROOT / "target/kafka")).resolve()


class Peer:
    """A client: its name, the program that it takes to build it, and the commands."""

    def __init__(self, name, tools, build, command, what):
        self.name, self.tools, self.build, self.command, self.what = name, tools, build, command, what

    def cannot(self):
        """Builds it. Returns why that cannot be done, or None."""
        missing = [tool for tool in self.tools if not shutil.which(tool)]
        if missing:
            return f"{', '.join(missing)} not installed"
        if self.name == "java" and not (CACHE / "pom.xml").is_file():
            return "Kafka's jars are not in $MILENA_CACHE (target/kafka): run tests/run once, it fetches them"
        environment = {**os.environ, "CARGO_TARGET_DIR": str(TARGET)}
        built = subprocess.run(self.build, cwd=PEERS / self.folder(), env=environment, capture_output=True, text=True)
        return None if built.returncode == 0 else last_lines(built.stderr)

    def folder(self):
        return {"sink": ROOT / "crates/bench-sink", "confluent-kafka": "confluent"}.get(self.name, self.name)


def last_lines(text):
    """What a program said when it failed, in short: a compiler's cause is deep in its text."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    causes = [line for line in lines if re.search(r"fatal error|No such file|not found|could not find", line)]
    errors = [line for line in lines if line.startswith("error")]
    return " / ".join((causes[:1] + errors[:1] or lines or ["it did not say why"])[-2:])


def cargo(name, binary, what, tools=("cargo",)):
    return Peer(name, tools, ["cargo", "build", "--release", "--quiet"], [f"{TARGET}/release/{binary}"], what)


def sink():
    """What the clients send to; built as they are."""
    peer = cargo("sink", "bench-sink", "checks headers and acknowledges at once")
    peer.build += ["--features", "tls"]
    return peer


def peers():
    go = ["go", "build", "-o", f"{TARGET}/bench-franz-go", "."]
    javac = ["javac", "-cp", f"{CACHE}/jars/*", "-d", f"{TARGET}/java", "BenchJava.java"]
    java = ["java", "-Xmx512m", "-cp", f"{TARGET}/java:{CACHE}/jars/*", "BenchJava"]
    return [
        cargo("milena", "bench-milena", "this checkout"),
        Peer("franz-go", ["go"], go, [f"{TARGET}/bench-franz-go"], version("franz-go/go.mod", "twmb/franz-go")),
        Peer("java", ["java", "javac"], javac, java, java_version()),
        cargo("librdkafka", "bench-librdkafka", locked("librdkafka", "rdkafka-sys"), ("cargo", "make", "cc")),
        cargo("kacrab", "bench-kacrab", locked("kacrab", "kacrab")),
        cargo("krafka", "bench-krafka", locked("krafka", "krafka")),
        cargo("confluent-kafka", "bench-confluent", locked("confluent", "confluent-kafka"), ("cargo", "cc")),
        cargo("floor", "bench-floor", "the least work that puts the bytes on the wire"),
    ]


def version(file, word):
    lines = (PEERS / file).read_text().splitlines() if (PEERS / file).is_file() else []
    return next((line.split()[-1] for line in lines if word in line and "module" not in line), "")


def locked(folder, package):
    """The version of a package in a lock file."""
    lock = PEERS / folder / "Cargo.lock"
    lines = lock.read_text().splitlines() if lock.is_file() else []
    at = lines.index(f'name = "{package}"') if f'name = "{package}"' in lines else -1
    return lines[at + 1].split('"')[1] if at >= 0 else ""


def java_version():
    jars = sorted((CACHE / "jars").glob("kafka-clients-*.jar"))
    return jars[0].stem.removeprefix("kafka-clients-") if jars else ""
