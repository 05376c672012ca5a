"""The programs: how they are built, and one run of each."""

import os, pathlib, re, shutil, subprocess, sys, tempfile, threading

OUTBOX = pathlib.Path(__file__).resolve().parents[1]
ROOT = OUTBOX.parents[1]
TARGET = OUTBOX / "target"
MILENA = TARGET / "release/bench-outbox"
SPRING = TARGET / "spring/outbox-spring.jar"


def build(names):
    """Builds what is measured, and ends if that cannot be done."""
    folders = [ROOT / "crates/bench-sink", OUTBOX / "milena"]
    commands = [(["cargo", "build", "--release", "--quiet"], folder) for folder in folders]
    if "spring" in names:
        commands.append((["mvn", "--quiet", "--batch-mode", "package"], OUTBOX / "spring"))
    for command, folder in commands:
        if not shutil.which(command[0]):
            sys.exit(f"{command[0]} is not installed")
        environment = {**os.environ, "CARGO_TARGET_DIR": str(TARGET)}
        built = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        if built.returncode:
            sys.exit(f"{folder.relative_to(ROOT)} cannot be built:\n{built.stdout[-2000:]}{built.stderr[-2000:]}")


class Sink:
    """What events are sent to: it checks the headers of batches and acknowledges at once. One for each run."""

    def __enter__(self):
        command = [TARGET / "release/bench-sink", "6"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.address = self.process.stdout.readline().split()[1]
        return self

    def records(self):
        """Ends it. Returns how many records it took."""
        told, _ = self.process.communicate()
        counted = dict(word.split("=") for word in told.split() if "=" in word)
        return int(counted["records"])

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.communicate()


def run(command, limit_s, **environment):
    """One run. Returns what it printed as `name=number`, and what the kernel says: CPU seconds and peak memory."""
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen([str(part) for part in command], env={**os.environ, **environment},
                                   stdout=subprocess.PIPE, stderr=errors, text=True)
        limit = threading.Timer(limit_s, process.kill)
        limit.start()
        printed = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        limit.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        errors.seek(0)
        said = errors.read()
    if process.returncode:
        lines = [line for line in (said + printed).splitlines() if not line.startswith("\tat ")]
        sys.exit(f"{pathlib.Path(command[0]).name} failed:\n" + "\n".join(lines[-12:])[-2500:])
    figures = {name: float(value) for name, value in re.findall(r"(\w+)=([\d.]+)", printed)}
    return {**figures, "cpu_s": usage.ru_utime + usage.ru_stime, "peak_mib": usage.ru_maxrss / 1024}
