"""Native against the runtime, in one run: each round measures both sides, the order changes from round to round, the table shows medians.

bench.py CALLS RUNTIME... : the helper program and the command that comes before a program to run it in the runtime.
Ratios are what counts: two machines differ, and so do two moments of one. "goal" is the ratio that the project wants to stay below,
"more" the difference in the row's unit.
"""

import os
import platform
import statistics
import subprocess
import sys
import time

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "15"))


def output(cmd):
    r = subprocess.run(cmd, capture_output=True, text=True)
    if r.returncode != 0:
        sys.exit(f"bench: {' '.join(cmd)}: exit {r.returncode}: {r.stderr.strip()[-500:]}")
    return float(r.stdout)


def started(cmd):
    """Milliseconds from the start of a process to its end."""
    t = time.perf_counter()
    pid = os.posix_spawn(cmd[0], cmd, os.environ)
    status = os.waitpid(pid, 0)[1]
    t = time.perf_counter() - t
    if status != 0:
        sys.exit(f"bench: {' '.join(cmd)}: wait status {status}")
    return t * 1000


def compare(measure, cmd, prefix):
    """Medians (native, runtime) and the median of the rounds' ratios."""
    native, run = [], []
    measure(cmd), measure(prefix + cmd)
    for i in range(ROUNDS):
        for side in (native, run) if i % 2 == 0 else (run, native):
            side.append(measure(cmd if side is native else prefix + cmd))
    ratio = statistics.median(r / n for n, r in zip(native, run))
    return statistics.median(native), statistics.median(run), ratio


def cpu():
    with open("/proc/cpuinfo") as f:
        return next((line.split(":")[1].strip() for line in f if line.startswith("model name")), platform.processor())


def main():
    calls, prefix = sys.argv[1], sys.argv[2:]
    python = os.path.realpath(sys.executable)
    rows = [
        ("getppid, site rewritten", "ns", "1.20", output, [calls, "library", "100000"]),
        ("getppid, site trapped", "ns", "", output, [calls, "memory", "20000"]),
        ("arithmetic, no calls", "ns", "1.01", output, [calls, "compute", "2000000"]),
        ("start and end of true", "ms", "", started, ["/bin/true"]),
        ("start and end of python3 -c pass", "ms", "", started, [python, "-c", "pass"]),
        ("python3 -S -c 'import json, ssl'", "ms", "", started, [python, "-S", "-c", "import json, ssl"]),
    ]
    print(f"{cpu()}, {os.cpu_count()} processors, Linux {platform.release()}; medians of {ROUNDS} alternating rounds")
    print(f"{'':34} {'':4} {'native':>10} {'runtime':>10} {'ratio':>7} {'goal':>6} {'more':>10}")
    for name, unit, goal, measure, cmd in rows:
        n, r, ratio = compare(measure, cmd, prefix)
        print(f"{name:34} {unit:4} {n:10.3f} {r:10.3f} {ratio:7.3f} {goal:>6} {r - n:10.3f}", flush=True)


main()
