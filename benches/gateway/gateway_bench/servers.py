"""What is measured: servers with the gateway's interface, how each is built, started and ended."""

import os, pathlib, shutil, signal, subprocess, time, urllib.request

from harness import brokers, peers

HERE = pathlib.Path(__file__).resolve().parents[1]
TARGET = HERE / "target"
# Of this checkout, where cargo puts it.
BUILT = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", peers.ROOT / "target")) / "release"
TICKS = os.sysconf("SC_CLK_TCK")
# No server takes longer to start, or to end.
PATIENCE_S = 60


class Kind:
    """A server: the tools that it takes to build it, and the commands."""

    def __init__(self, name, tools, folder, build, command, what):
        self.name, self.tools, self.folder, self.build, self.command, self.what = name, tools, folder, build, command, what

    def cannot(self):
        """Builds it. Returns why that cannot be done, or None."""
        missing = [tool for tool in self.tools if not shutil.which(tool)]
        if missing:
            return f"{', '.join(missing)} not installed"
        own_target = {"CARGO_TARGET_DIR": str(TARGET)} if self.name == "floor" else {}
        built = subprocess.run(self.build, cwd=self.folder, env={**os.environ, **own_target}, capture_output=True, text=True)
        return None if built.returncode == 0 else peers.last_lines(built.stderr or built.stdout)


def kinds():
    cargo = ["cargo", "build", "--release", "--quiet"]
    maven = ["mvn", "-q", "-B", "package"]
    return [
        Kind("milena", ["cargo"], peers.ROOT, [*cargo, "-p", "milena-cli"], [f"{BUILT}/milena", "serve"], "this checkout"),
        Kind("floor", ["cargo"], HERE / "floor", cargo, [f"{TARGET}/release/bench-gateway-floor"], "bare hyper, sends nothing"),
        Kind("go", ["go"], HERE / "go", ["go", "build", "-o", f"{TARGET}/bench-gateway-go", "."], [f"{TARGET}/bench-gateway-go"],
             "net/http and franz-go"),
        Kind("spring", ["java", "mvn"], HERE / "spring", maven, ["java", "-Xmx512m", "-jar", f"{TARGET}/spring/gateway-spring.jar"],
             "Spring Boot 4 and spring-kafka"),
    ]


class Server:
    """A server that runs, before a broker of its own."""

    def __init__(self, kind, bootstrap):
        self.port = brokers.free_port()
        settings = {"KAFKA_BOOTSTRAP_SERVERS": bootstrap, "PORT": str(self.port)}
        self.process = subprocess.Popen(kind.command, env={**os.environ, **settings}, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.name = kind.name
        self.await_start()

    def await_start(self):
        deadline = time.monotonic() + PATIENCE_S
        while not self.answers("/health"):
            if time.monotonic() > deadline or self.process.poll() is not None:
                self.process.kill()
                raise SystemExit(f"{self.name} did not start")
            time.sleep(0.05)

    def answers(self, path):
        try:
            return urllib.request.urlopen(self.url(path), timeout=5).status == 200
        except OSError:
            return False

    def url(self, path):
        return f"http://127.0.0.1:{self.port}{path}"

    def cpu_s(self):
        """CPU seconds of all its threads so far."""
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def resident_mib(self):
        lines = pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024

    def end(self):
        """Asks it to end, which finishes requests and flushes the producer."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise SystemExit(f"{self.name} did not end within {PATIENCE_S} s")
