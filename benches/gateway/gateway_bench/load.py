"""Load: `wrk` as fast as answers come, and `oha` at a constant rate, with latencies from when a request was due."""

import json, pathlib, re, shutil, socket, subprocess

from harness import peers

OHA_VERSION = "1.16.0"
OHA_ROOT = peers.CACHE / "oha"
WRK_SCRIPT = pathlib.Path(__file__).parent / "post.lua"
CONNECTIONS = 64


def path(send_mode):
    # 16 bytes of id and a key, as a service has them.
    return f"/api/v1/send?mode=idempotent&sendMode={send_mode}&topic=bench&eventId=0192f3a4-7b8c-7d5e&key=account-1234"


def oha():
    """The program, which cargo builds once."""
    if found := shutil.which("oha"):
        return found
    binary = OHA_ROOT / "bin/oha"
    if not binary.is_file():
        command = ["cargo", "install", "oha", "--version", OHA_VERSION, "--locked", "--root", str(OHA_ROOT)]
        subprocess.run(command, check=True)
    return str(binary)


def flat_out(server, send_mode, seconds):
    """As many requests as one thread with 64 connections gets answered."""
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency", "-s", str(WRK_SCRIPT), server.url(path(send_mode))]
    before = server.cpu_s()
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    cpu = server.cpu_s() - before
    requests = int(re.search(r"(\d+) requests in", told)[1])
    if refused := re.search(r"Non-2xx or 3xx responses: (\d+)", told):
        raise SystemExit(f"{server.name}: {refused[1]} of {requests} requests were refused")
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", told)[1])
    return {"requests": requests, "rate": rate, "cpu_us": cpu / requests * 1e6, "p50_ms": percentile(told, "50%"), "p99_ms": percentile(told, "99%")}


def percentile(told, name):
    number, unit = re.search(rf"^\s+{re.escape(name)}\s+([\d.]+)(us|ms|s|m)\s*$", told, re.M).groups()
    return float(number) * {"us": 1e-3, "ms": 1, "s": 1e3, "m": 6e4}[unit]


def at_rate(server, send_mode, rate, seconds):
    """So many requests a second, whether or not answers come: a late one counts from when it was due."""
    command = [oha(), "-z", f"{seconds}s", "-c", str(CONNECTIONS), "-q", str(int(rate)), "--latency-correction", "--no-tui", "-m", "POST",
               "--output-format", "json", server.url(path(send_mode))]
    before = server.cpu_s()
    told = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    cpu = server.cpu_s() - before
    answered = {int(status): count for status, count in told["statusCodeDistribution"].items()}
    requests = sum(answered.values())
    late = told["latencyPercentiles"]
    return {"requests": requests, "statuses": answered, "rate": told["summary"]["requestsPerSec"], "cpu_us": cpu / requests * 1e6,
            "p50_ms": late["p50"] * 1e3, "p99_ms": late["p99"] * 1e3}


def open_connections(server, count):
    """So many connections, each of which has had an answer and stays open."""
    request = f"POST {path('sync')} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    opened = []
    for _ in range(count):
        connection = socket.create_connection(("127.0.0.1", server.port))
        connection.sendall(request)
        opened.append(connection)
    for connection in opened:
        if not connection.recv(4096).startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"{server.name}: a connection of {count} got no answer")
    return opened
