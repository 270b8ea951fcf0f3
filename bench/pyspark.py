"""The queries of examples/pyspark natively and under the runtime, in alternation: medians of the rounds, and the median of the rounds' ratios.
Processor seconds are those of driver, JVM and workers together; on a machine that does other work, too, they say more than the clock.

pyspark.py PYTHON RUN...: the interpreter with PySpark, and the command that comes before a program to run it in the runtime.
BENCH_ROUNDS rounds (5), each two runs of the whole job, the order changing from round to round; a run asks every query BENCH_REPEAT times (4)
after a first one, which is shown apart, for the JVM compiles in it. BENCH_SCALE: of the data (0.01). Nothing is asserted of time; the results
must be equal.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
EXAMPLE = os.path.join(ROOT, "examples", "pyspark")
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))
REPEAT = int(os.environ.get("BENCH_REPEAT", "4"))
SCALE = os.environ.get("BENCH_SCALE", "0.01")
JOB_SECONDS = 900


def call(cmd, **files):
    r = subprocess.run(cmd, stderr=subprocess.PIPE, text=True, **files)
    if r.returncode:
        sys.exit(f"bench: {' '.join(cmd)}: exit {r.returncode}: {r.stderr.strip()[-800:]}")


def job(directory, cmd, key):
    """One run: (job.py's result, seconds of the whole process, processor seconds of it and what it has waited for)."""
    out, log = os.path.join(directory, "out.json"), os.path.join(directory, "job.log")
    cmd = cmd + [os.path.join(EXAMPLE, "job.py"), "--data", os.path.join(directory, "data"), "--work", os.path.join(directory, "work"),
                 "--out", out, "--key", key, "--repeat", str(REPEAT + 1)]
    with open(log, "w", encoding="utf-8") as f:
        began = time.perf_counter()
        p = subprocess.Popen(["timeout", "-s", "KILL", str(JOB_SECONDS)] + cmd, stdin=subprocess.DEVNULL, stdout=f, stderr=f)
        _, status, used = os.wait4(p.pid, 0)
        p.returncode = os.waitstatus_to_exitcode(status)
        took = time.perf_counter() - began
    if p.returncode:
        with open(log, encoding="utf-8") as f:
            sys.exit(f"bench: {' '.join(cmd)}: exit {p.returncode}: {f.read()[-1500:]}")
    with open(out, encoding="utf-8") as f:
        return json.load(f), took, used.ru_utime + used.ru_stime


def rows_of(run):
    """Name of each row of the table: seconds and processor seconds in this run, each query's as the mean of the times after the first."""
    result, took, used = run
    queries = result["queries"]
    rows = {name: tuple(statistics.mean(q[of][1:]) for of in ("seconds", "processor")) for name, q in queries.items()}
    rows["all queries"] = tuple(sum(rows[name][i] for name in queries) for i in (0, 1))
    rows["all queries, asked first"] = tuple(sum(q[of][0] for q in queries.values()) for of in ("seconds", "processor"))
    rows["whole job, start to end"] = took, used
    return rows


def cpu():
    with open("/proc/cpuinfo", encoding="ascii") as f:
        return next((line.split(":")[1].strip() for line in f if line.startswith("model name")), platform.processor())


def table(native, hosted):
    print(f"{'':26} {'--------- seconds ----------':>28} {'---- processor seconds -----':>28}")
    print(f"{'median of':26}" + f" {'native':>9} {'runtime':>9} {'ratio':>8}" * 2)
    for name in native[0]:
        line = f"{name:26}"
        for of in (0, 1):
            n, h = [r[name][of] for r in native], [r[name][of] for r in hosted]
            ratio = statistics.median(b / a for a, b in zip(n, h))
            line += f" {statistics.median(n):9.3f} {statistics.median(h):9.3f} {ratio:8.3f}"
        print(line)


def main():
    if len(sys.argv) < 3 or ROUNDS < 1 or REPEAT < 1:
        sys.exit("usage: pyspark.py PYTHON RUN...; BENCH_ROUNDS and BENCH_REPEAT are at least 1")
    python, prefix = sys.argv[1], sys.argv[2:]
    native, hosted, wanted = [], [], None
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    with tempfile.TemporaryDirectory(prefix="scone-bench-pyspark.") as directory:
        key, data = os.path.join(directory, "key"), os.path.join(directory, "data")
        with open(key, "w", encoding="ascii") as f:
            f.write(os.urandom(32).hex())
        call([python, os.path.join(EXAMPLE, "generate.py"), data, SCALE])
        customers = os.path.join(data, "customer.csv")
        with open(customers, encoding="ascii") as plain, open(customers + ".sealed", "w", encoding="ascii") as sealed:
            call([python, os.path.join(EXAMPLE, "seal.py"), key], stdin=plain, stdout=sealed)
        os.rename(customers + ".sealed", customers)
        print(f"{cpu()}, {os.cpu_count()} processors, Linux {platform.release()}, load {os.getloadavg()[0]:.1f}; scale {SCALE}; "
              f"{ROUNDS} alternating rounds of {REPEAT} + 1 times each query", flush=True)
        job(directory, [python], key)  # files into memory
        for i in range(ROUNDS):
            for side, cmd in ((native, [python]), (hosted, prefix + [python]))[:: -1 if i % 2 else 1]:
                run = job(directory, cmd, key)
                rows = {name: q["rows"] for name, q in run[0]["queries"].items()}
                if wanted not in (None, rows):
                    sys.exit(f"bench: {' '.join(cmd)}: other results than before")
                wanted = rows
                side.append(rows_of(run))
                print(f"bench: run {len(native) + len(hosted)} of {2 * ROUNDS}: {run[1]:.1f} s", file=sys.stderr, flush=True)
        print(f"results of all {2 * ROUNDS} runs are equal; load {os.getloadavg()[0]:.1f}")
        table(native, hosted)


main()
