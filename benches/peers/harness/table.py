"""Results as a table: medians over rounds, and how far the rounds lie apart."""

import os, platform, statistics, subprocess

from . import peers

def is_peer(name):
    return name != "floor" and not name.startswith("milena")


def median(runs, field):
    return statistics.median(run[field] for run in runs)


def spread(runs, field):
    """How far the slowest and the fastest round lie apart, in percent of the median."""
    values = [run[field] for run in runs]
    return 100 * (max(values) - min(values)) / statistics.median(values)


def show(work, where, results, failures):
    print(f"\n### {work.name}: {work.title}\n")
    print(f"{work.records:,} records a round, {where}\n")
    print("| client | records/s | spread | of the best peer | CPU s per M records | peak MiB | records a batch | bytes a record | p50 / p99 ms |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|--:|")
    rates = {name: median(runs, "rate") for name, runs in results.items() if runs}
    best = max((rate for name, rate in rates.items() if is_peer(name)), default=None)
    for name, runs in results.items():
        if runs:
            print(row(name, runs, best if work.rate == 0 else None))
        else:
            print(f"| {name} | {failures.get(name, 'failed')} | | | | | | | |")


def row(name, runs, best):
    of_best = f"{median(runs, 'rate') / best:.2f}" if best else "–"
    batch = f"{median(runs, 'batch'):.0f}" if runs[0].get("batch") else "–"
    wire = f"{median(runs, 'wire_bytes'):.0f}" if runs[0].get("wire_bytes") else "–"
    latency = f"{median(runs, 'p50'):.2f} / {median(runs, 'p99'):.2f}" if "p50" in runs[0] else "–"
    peak = f"{median(runs, 'peak_mib'):.0f}"
    if runs[0]["held_mib"]:
        peak += f" + {runs[0]['held_mib']:.0f}"
    cells = [name, f"{median(runs, 'rate'):,.0f}", f"{spread(runs, 'rate'):.0f} %", of_best]
    cells += [f"{median(runs, 'cpu_per_million'):.3f}", peak, batch, wire, latency]
    return "| " + " | ".join(cells) + " |"


def machine():
    """The machine and the versions, as lines."""
    described = open("/proc/cpuinfo").read() if os.path.exists("/proc/cpuinfo") else ""
    model = next((line.split(":")[1].strip() for line in described.splitlines() if "model name" in line), "unknown")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    yield f"{os.cpu_count()} x {model}, {memory:.0f} GiB, {platform.system()} {platform.release()}"
    git = ["git", "-C", str(peers.ROOT)]
    commit = subprocess.run([*git, "log", "-1", "--format=%h"], capture_output=True, text=True).stdout.strip()
    changed = subprocess.run([*git, "status", "--short", "src"], capture_output=True, text=True).stdout.strip()
    yield f"milena {commit or 'unknown'}{' with changes' if changed else ''}, {compiler()}"


def compiler():
    return subprocess.run(["rustc", "--version"], capture_output=True, text=True).stdout.strip()
