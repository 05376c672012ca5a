"""A PostgreSQL server that belongs to the benchmark: in a folder of its own, on a loopback port, with the defaults of durability."""

import os, pathlib, pwd, secrets, shutil, signal, socket, subprocess, tempfile, time

# Debian has the programs by version, and not in the path.
FOLDERS = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True)


def programs():
    """The folder of its programs, or None."""
    found = shutil.which("initdb")
    folders = FOLDERS + ([pathlib.Path(found).parent] if found else [])
    return next((folder for folder in folders if (folder / "initdb").exists()), None)


class Postgres:
    def __enter__(self):
        self.programs, self.folder = programs(), pathlib.Path(tempfile.mkdtemp(prefix="bench-outbox-pg-"))
        self.data, self.port, self.password = self.folder / "data", free_port(), secrets.token_hex(8)
        # It refuses to be root.
        self.user = {"user": "nobody", "group": pwd.getpwnam("nobody").pw_gid} if os.geteuid() == 0 else {}
        if self.user:
            shutil.chown(self.folder, "nobody")
        secret = self.folder / "password"
        secret.write_text(self.password)
        self.tool("initdb", "--username=bench", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C",
                  f"--pwfile={secret}", f"--pgdata={self.data}")
        settings = ["listen_addresses=127.0.0.1", f"unix_socket_directories={self.folder}", "max_connections=200"]
        command = [self.programs / "postgres", "-D", self.data, "-p", str(self.port)]
        command += [part for setting in settings for part in ("-c", setting)]
        log = open(self.folder / "log", "w")
        self.process = subprocess.Popen(command, cwd="/", stdout=log, stderr=log, **self.user)
        try:
            self.await_start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def await_start(self):
        deadline = time.monotonic() + 60
        while "ready to accept connections" not in (self.folder / "log").read_text():
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise SystemExit("PostgreSQL did not start:\n" + (self.folder / "log").read_text()[-2000:])
            time.sleep(0.1)

    def tool(self, name, *arguments):
        environment = {**os.environ, "PGPASSWORD": self.password}
        command = [self.programs / name, *arguments]
        ran = subprocess.run(command, cwd="/", env=environment, capture_output=True, text=True, **self.user)
        if ran.returncode:
            raise SystemExit(f"{name} failed: {ran.stderr[-1000:]}")
        return ran.stdout.strip()

    def sql(self, text):
        return self.tool("psql", "-h", "127.0.0.1", "-p", str(self.port), "-U", "bench", "-qtAc", text, "postgres")

    def begin(self):
        """As new for the next run: no tables, nothing left to be written."""
        self.sql("DROP SCHEMA IF EXISTS milena_bench CASCADE; DROP TABLE IF EXISTS failed_kafka_events")
        self.sql("CHECKPOINT")

    def url(self):
        return f"host=127.0.0.1 port={self.port} user=bench password={self.password} dbname=postgres"

    def jdbc(self):
        return f"jdbc:postgresql://127.0.0.1:{self.port}/postgres"

    def __exit__(self, *_):
        # Its fast shutdown: connections are ended.
        self.process.send_signal(signal.SIGINT)
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
