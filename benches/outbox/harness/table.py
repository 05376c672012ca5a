"""Results as tables: medians over rounds, and how far the rounds lie apart."""

import os, platform, statistics, subprocess

from . import programs


def median(rounds, field):
    return statistics.median(figures[field] for figures in rounds)


def spread(rounds, field):
    """How far the slowest and the fastest round lie apart, in percent of the median."""
    values = [figures[field] for figures in rounds]
    return 100 * (max(values) - min(values)) / statistics.median(values)


def share(rounds, field, of):
    """The median of the rounds' own shares, as text: each is of the same minute."""
    return f"{100 * statistics.median(figures[field] / figures[of] for figures in rounds):.0f} %"


def show(title, head, rows):
    print(f"\n### {title}\n")
    print("| " + " | ".join(head) + " |")
    print("|---|" + "--:|" * (len(head) - 1))
    for row in rows:
        print("| " + " | ".join(row) + " |", flush=True)


def machine():
    described = open("/proc/cpuinfo").read() if os.path.exists("/proc/cpuinfo") else ""
    model = next((line.split(":")[1].strip() for line in described.splitlines() if "model name" in line), "unknown")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    yield f"{os.cpu_count()} x {model}, {memory:.0f} GiB, {platform.system()} {platform.release()}"
    git = ["git", "-C", str(programs.ROOT)]
    commit = subprocess.run([*git, "log", "-1", "--format=%h"], capture_output=True, text=True).stdout.strip()
    changed = subprocess.run([*git, "status", "--short", "src", "crates"], capture_output=True, text=True).stdout.strip()
    compiler = subprocess.run(["rustc", "--version"], capture_output=True, text=True).stdout.strip()
    yield f"milena {commit or 'unknown'}{' with changes' if changed else ''}, {compiler}"
