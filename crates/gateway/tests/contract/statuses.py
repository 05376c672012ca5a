"""Reaches the documented statuses that no generator can, and fails if one was not reached: statuses.py MILENA OPENAPI METRICS.

In: the binary, its document, and the metrics of the gateway that schemathesis has driven. Out: for each operation and status, how it was
reached. Each scene is a gateway of its own, set so that the status has to come.
"""

import contextlib
import json
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import requests

MILENA, DOCUMENT, METRICS = sys.argv[1:]
LIVE = "/api/v1/live"
SEND, RECORDS, STATUS = "/api/v1/send", "/api/v1/topics/{topic}/records", "/api/v1/status"
TOKEN = "0123456789abcdef"
# No caller can bring them about: 500 is a fault of the gateway, 502 an error that Kafka has for no request that the gateway makes, which
# the tests of src/problem.rs have.
OUT_OF_REACH = {"500", "502"}
# A store that cannot be asked: a file that is there answers.
OUT_OF_REACH_OF = {(STATUS, "503")}
COUNT = re.compile(r'milena_gateway_requests_total\{route="([^"]*)",status="(\d+)"\} [1-9]')

reached = {}


def note(operation, status, how):
    reached.setdefault((operation, str(status)), how)


@contextlib.contextmanager
def running(*arguments):
    """A process of milena, and the first line that it prints."""
    process = subprocess.Popen([MILENA, *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        yield process, process.stdout.readline().strip()
    finally:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait()


def serving(*flags):
    return running("serve", "--port", "0", *flags)


def ask(base, operation, query="", topic="bhf-transactions", how="scripted", **more):
    """Sends what the operation takes, and notes the answer."""
    method = "GET" if operation in (STATUS, LIVE, "/readyz") else "POST"
    if operation == RECORDS:
        more.setdefault("json", {"value": {"text": "x"}})
    url = base + operation.replace("{topic}", topic) + query
    response = requests.request(method, url, timeout=60, **more)
    note(operation, response.status_code, how)
    return response


def both(base, how, **more):
    for operation in (SEND, RECORDS):
        ask(base, operation, how=how, **more)


def nowhere():
    """An address where nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return "127.0.0.1:%d" % free.getsockname()[1]


def limits():
    with serving("--token-file", token_file()) as (_, base):
        both(base, "without a token")
        ask(base, STATUS, "?requestId=x", how="without a token")
        ask(base, LIVE, how="without a token")
    with serving("--allowed-topics", "bhf-transactions") as (_, base):
        ask(base, SEND, "?topic=other", how="topic not allowed")
        ask(base, RECORDS, topic="other", how="topic not allowed")
    with serving("--rate-limit", "1/s,1") as (_, base):
        until(lambda: ask(base, STATUS, "?requestId=x", how="too often").status_code == 429)
        until(lambda: ask(base, LIVE, how="too often").status_code == 429)
    with serving("--max-body-bytes", "10", "--read-timeout-ms", "300") as (_, base):
        ask(base, SEND, data="x" * 11, how="long body")
        ask(base, RECORDS, how="long body")
        ask(base, RECORDS, data="a,b", json=None, headers={"Content-Type": "text/csv"}, how="type that is not read")
        for operation in (SEND, RECORDS):
            slow(base, operation)


def token_file():
    with tempfile.NamedTemporaryFile("w", delete=False) as file:
        file.write(TOKEN + "\n")
        return file.name


def slow(base, operation):
    """A body whose end does not come."""
    host, port = base.removeprefix("http://").split(":")
    path = operation.replace("{topic}", "bhf-transactions")
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n1"
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(head.encode())
        note(operation, connection.recv(12).decode().split(" ")[1], "body without its end")


def keys():
    with serving() as (_, base):
        for operation in (SEND, RECORDS):
            key = {"Idempotency-Key": "key" + operation[-1]}
            ask(base, operation, headers=key)
            ask(base, operation, "?mode=plain", headers=key, how="key of another request")
            ask(base, operation, "?partition=99" if operation == SEND else "", how="no such partition",
                **({} if operation == SEND else {"json": {"partition": 99}}))
        ask(base, RECORDS, how="a type that is not read", json=None, data="{}")
    with serving("--max-statuses", "1") as (_, base):
        first = ask(base, SEND, "?sendMode=async").json()["requestId"]
        while ask(base, STATUS, f"?requestId={first}").json()["state"] == "PENDING":
            pass
        ask(base, SEND, "?sendMode=async")
        ask(base, STATUS, f"?requestId={first}", how="its place was given to another request")


def away():
    flags = ("--bootstrap-server", nowhere(), "-X", "max.block.ms=3000", "--max-idempotency-keys", "1")
    for operation in (SEND, RECORDS):
        with serving(*flags) as (_, base):
            twice = {"headers": {"Idempotency-Key": "a"}, "how": "no broker, and the same key twice at once"}
            callers = [threading.Thread(target=ask, args=(base, operation), kwargs=twice) for _ in range(2)]
            for caller in callers:
                caller.start()
            # One of them waits for a broker; the other one is answered.
            until(lambda: (operation, "409") in reached)
            ask(base, operation, headers={"Idempotency-Key": "b"}, how="no room for another key")
            for caller in callers:
                caller.join()
            ask(base, "/readyz", how="no broker")


def silent():
    port = nowhere().split(":")[1]
    flags = ("-X", "request.timeout.ms=500", "-X", "delivery.timeout.ms=1000")
    with running("broker", "--port", port, "--topic", "bhf-transactions:3") as (broker, _):
        with serving("--bootstrap-server", f"127.0.0.1:{port}", *flags) as (_, base):
            until(lambda: ask(base, SEND).status_code == 200)
            broker.send_signal(signal.SIGSTOP)
            both(base, "broker that is stopped")


def stored():
    with tempfile.TemporaryDirectory() as folder:
        flags = ("--bootstrap-server", nowhere(), "-X", "max.block.ms=100", "--store", folder + "/events.db")
        with serving(*flags) as (_, base):
            both(base, "no broker, and a store")


def until(happens):
    deadline = time.monotonic() + 60
    while not happens():
        if time.monotonic() > deadline:
            sys.exit("contract: it did not happen within 60 s")
        time.sleep(0.01)


def conclude():
    document = json.load(open(DOCUMENT, encoding="utf-8"))
    missing = []
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            for status in operation["responses"]:
                how = reached.get((path, status))
                if how is None and status not in OUT_OF_REACH and (path, status) not in OUT_OF_REACH_OF:
                    missing.append(f"{method} {path}: {status}")
                print(f"{method.upper():4} {path:32} {status} {how or 'out of reach: see statuses.py'}")
    if missing:
        sys.exit("contract: documented and not reached:\n  " + "\n  ".join(missing))


for route, status in COUNT.findall(open(METRICS, encoding="utf-8").read()):
    note(route, status, "generated")
for path in ("/", "/api/v1/live", "/openapi.json", "/docs"):
    with serving() as (_, base):
        note(path, requests.get(base + path, timeout=60).status_code, "scripted")
limits()
keys()
away()
silent()
stored()
conclude()
