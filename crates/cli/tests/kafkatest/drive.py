"""Drives `milena verifiable-producer` by the service VerifiableProducer of kafkatest: drive.py MILENA BOOTSTRAP FOLDER.

Only what reaches other machines is replaced: the account, whose commands run here, and the cluster, whose nodes are this one.
"""

import logging, os, subprocess, sys, time, types

from ducktape.cluster.remoteaccount import RemoteCommandError
from kafkatest.services.security.security_config import SecurityConfig
from kafkatest.services.verifiable_producer import VerifiableProducer
from kafkatest.utils import is_int_with_prefix
from kafkatest.version import DEV_BRANCH

LIMIT_S = 60


class Account:
    _logger = logger = None
    hostname = externally_routable_ip = "localhost"
    user, operating_system = "nobody", "linux"

    def __str__(self):
        return "this machine"

    def ssh(self, command, allow_fail=False):
        for _ in self.ssh_capture(command, allow_fail):
            pass

    def ssh_capture(self, command, allow_fail=False, callback=str, **_):
        # By standard input: `pgrep -f` must not find the shell. And a shell that sshd starts lasts as long as what it starts.
        wait = "\nwait\n" if command.rstrip().endswith("&") else "\n"
        run = subprocess.Popen(["bash", "-s"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        run.stdin.write(command + wait)
        run.stdin.close()
        yield from map(callback, run.stdout)
        if run.wait() and not allow_fail:
            raise RemoteCommandError(self, command, run.returncode, b"")

    def create_file(self, path, content):
        with open(path, "w") as file:
            file.write(content)

    def signal(self, pid, signal, allow_fail=False):
        try:
            os.kill(pid, signal)
        except ProcessLookupError:
            if not allow_fail:
                raise


class Node:
    version, name, operating_system = DEV_BRANCH, "here", "linux"

    def __init__(self):
        self.account = Account()


class Cluster:
    def alloc(self, spec):
        return [Node() for _ in range(len(spec))]

    def free(self, nodes):
        pass


def context(milena, folder):
    """What ducktape gives a test."""
    log = logging.getLogger("kafkatest")
    log.addHandler(logging.FileHandler(f"{folder}/kafkatest.log"))
    log.setLevel(logging.DEBUG)
    app = {"class": "kafkatest.services.verifiable_client.VerifiableClientApp", "exec_cmd": f"{milena} verifiable-producer"}
    session = types.SimpleNamespace(globals={})
    own = {"globals": {"VerifiableProducer": app}, "cluster": Cluster(), "services": [], "local_scratch_dir": folder}
    return types.SimpleNamespace(logger=log, session_context=session, **own)


def produced(count):
    """Waits until each producer has produced so many, and lets the service end them by SIGTERM."""

    def wait(service):
        deadline = time.monotonic() + LIMIT_S
        while not service.each_produced_at_least(count):
            assert time.monotonic() < deadline and not service.errors, f"expected {count}, got {service.num_acked}: {service.errors}"
            time.sleep(0.05)

    return wait


class Checks:
    def __init__(self, milena, bootstrap, folder):
        self.context = context(milena, folder)
        security = SecurityConfig(self.context, security_protocol="PLAINTEXT")
        self.kafka = types.SimpleNamespace(security_config=security, bootstrap_servers=lambda *_: bootstrap)

    def check(self, name, nodes=1, wait=lambda service: service.wait(LIMIT_S), **settings):
        """What one run of the service saw. Every producer has to say once that it has ended."""
        service = VerifiableProducer(self.context, nodes, self.kafka, name, **settings)
        service.start()
        wait(service)
        service.stop()
        deadline = time.monotonic() + LIMIT_S
        while len(service.clean_shutdown_nodes) < nodes:
            assert time.monotonic() < deadline, f"{name}: {nodes - len(service.clean_shutdown_nodes)} without shutdown_complete"
            time.sleep(0.05)
        assert not service.worker_errors, service.errors
        assert service.last_acked_offsets, f"{name}: nothing was acknowledged"
        print(f"{name}: {service.num_acked} acknowledged, {service.num_not_acked} not", flush=True)
        return service


def main():
    milena, bootstrap, folder = sys.argv[1:]
    # Where the service keeps its files on a node.
    root = VerifiableProducer.PERSISTENT_ROOT
    for name, value in list(vars(VerifiableProducer).items()):
        if isinstance(value, str) and value.startswith(root):
            setattr(VerifiableProducer, name, value.replace(root, f"{folder}/producer", 1))
    check = Checks(milena, bootstrap, folder).check

    first = lambda count: list(range(count))
    assert sorted(check("max-messages", max_messages=1000).acked) == first(1000)
    ended = check("throughput-and-SIGTERM", throughput=1000, wait=produced(2500))
    assert ended.num_acked >= 2500 and sorted(ended.acked) == first(ended.num_acked)
    two = check("two-with-prefixes", nodes=2, max_messages=500, message_validator=is_int_with_prefix)
    assert len(set(two.acked)) == 1000
    # What waits to be accepted when the signal comes is told as an error, as by Java's.
    fast = check("idempotent-and-SIGTERM", throughput=-1, acks=-1, enable_idempotence=True, wait=produced(20_000))
    assert sorted(fast.acked) == first(fast.num_acked) and fast.num_not_acked <= 1
    for name, settings in {
        "acks-1-keys-and-times": {"acks": 1, "repeating_keys": 3, "create_time": 1000},
        "acks-0": {"acks": 0},
        "retries": {"retries": 3},
        **{codec: {"compression_types": [codec]} for codec in ["none", "gzip", "snappy", "lz4", "zstd"]},
    }.items():
        assert sorted(check(name, max_messages=200, **settings).acked) == first(200)
    print("OK")


main()
