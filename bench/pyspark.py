"""The queries of examples/pyspark natively and under the runtime: a pair of drivers, each with its JVM and workers, is asked the same query in turn,
so that both see the same moment of the machine.

pyspark.py PYTHON SCONE RESULTS [QUERY...]: the interpreter with PySpark, the command line program, the directory for pyspark.json and pyspark.png,
patterns of the names of queries to ask (all).
BENCH_PAIRS: pairs one after the other (3), for no two JVMs compile the same. BENCH_ROUNDS: times that a pair is asked every query (8) after
BENCH_WARM times to warm up (2, the first of which is shown apart); who is first changes from round to round. BENCH_SECONDS: no new round or pair begins after so long (480). BENCH_SCALE: of the
data (0.01).

A figure is the median over all rounds of all pairs, a ratio the median over the pairs of each pair's median. Every answer must be equal to the first
native one, to the last digit. That the bound is not kept is a result and no failure.
"""

import contextlib
import fnmatch
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import process
import report
from process import Failed, last_words, output
from sides import NATIVE, RUN

EXAMPLE = os.path.join(report.ROOT, "examples", "pyspark")
PAIRS = int(os.environ.get("BENCH_PAIRS", "3"))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "8"))
SECONDS = float(os.environ.get("BENCH_SECONDS", "480"))
SCALE = os.environ.get("BENCH_SCALE", "0.01")
WARM = int(os.environ.get("BENCH_WARM", "2"))
ANSWER_SECONDS = 300
BOUND = 1.05
ALL, FIRST, START = "all queries", "all, asked first", "start of the driver"


def progress(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


class Driver:
    """examples/pyspark/job.py --serve, with all that it starts in one session."""

    def __init__(self, cmd, log):
        self.log = log
        with open(log, "wb") as f:
            self.process = subprocess.Popen(cmd, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=f, text=True, start_new_session=True)
        process.watch(self.process.pid)

    def answer(self):
        timer = threading.Timer(ANSWER_SECONDS, self.process.kill)
        timer.start()
        line = self.process.stdout.readline()
        timer.cancel()
        if not line:
            self.process.wait()
            with open(self.log, encoding="utf-8", errors="replace") as f:
                raise Failed(f"the driver ended with {self.process.returncode}: {last_words(f.read())}")
        return json.loads(line)

    def ask(self, query):
        """(rows, seconds, processor seconds of driver, JVM and workers)"""
        before = process.processor_seconds(self.process.pid)
        self.process.stdin.write(query + "\n")
        self.process.stdin.flush()
        answer = self.answer()
        return answer["rows"], answer["seconds"], process.processor_seconds(self.process.pid) - before

    def stop(self):
        self.process.stdin.close()
        try:
            status = self.process.wait(60)
        except subprocess.TimeoutExpired:
            raise Failed("the driver does not end within 60 s of the end of its input") from None
        if status:
            raise Failed(f"the driver ended with {status}")

    def end(self):
        process.end(self.process.pid)
        self.process.wait()


class Pair:
    """One driver on each side. times[side][query] and used[side][query]: seconds and processor seconds of each round, the first apart."""

    def __init__(self, python, scone, directory, key):
        self.drivers, self.starts = {}, {}
        self.times, self.used, self.first = ({side: {} for side in (NATIVE, RUN)} for _ in range(3))
        for side, prefix in ((NATIVE, []), (RUN, [scone, "run", "--"])):
            work = os.path.join(directory, "work-" + side)
            cmd = prefix + [python, os.path.join(EXAMPLE, "job.py"), "--serve", "--data", os.path.join(directory, "data"), "--work", work, "--key", key]
            self.drivers[side] = Driver(cmd, os.path.join(directory, f"{side}.log"))
            self.starts[side] = self.drivers[side].answer()["start"]

    def round(self, number, wanted):
        """Ask every query on both sides; rounds below 0 warm up. wanted: rows of each query, filled in by the first answer."""
        order = (NATIVE, RUN) if number % 2 == 0 else (RUN, NATIVE)
        for query in wanted:
            for side in order:
                rows, took, used = self.drivers[side].ask(query)
                if wanted[query] is None:
                    wanted[query] = rows
                if rows != wanted[query] or not rows:
                    raise Failed(f"{query}, {side}: other rows than the first, or none: {str(rows)[:200]}")
                if number == -WARM:
                    self.first[side][query] = took
                elif number >= 0:
                    self.times[side].setdefault(query, []).append(took)
                    self.used[side].setdefault(query, []).append(used)

    def total(self, of, side):
        """Seconds of each round, all queries together."""
        return [sum(times) for times in zip(*of[side].values())]

    def end(self):
        for driver in self.drivers.values():
            driver.end()


def figures(pairs, name, of):
    """One row of the table: (native median, runtime median, median of the pairs' ratios). of: "times" or "used"; None where it was not measured."""
    def values(pair, side):
        if name in (START, FIRST):
            return None if of == "used" else [pair.starts[side] if name == START else sum(pair.first[side].values())]
        measured = getattr(pair, of)
        return pair.total(measured, side) if name == ALL else measured[side][name]

    by_pair = [(values(pair, NATIVE), values(pair, RUN)) for pair in pairs]
    if by_pair[0][0] is None:
        return None
    native, run = ([x for values_of in by_pair for x in values_of[side]] for side in (0, 1))
    # Used time is counted in hundredths of a second: sums, not single times, give a ratio.
    ratio = statistics.median(report.pairs(n, r)[0] if of == "times" else sum(r) / sum(n) for n, r in by_pair)
    return statistics.median(native), statistics.median(run), ratio


def table(rows):
    print(f"{'':20} {'------------- seconds -------------':>41} {'---- processor seconds ----':>28}")
    print(f"{'':20} {'native':>9} {'runtime':>9} {'ratio':>7} {'bound':>8} {'kept':>4} {'native':>9} {'runtime':>9} {'ratio':>8}")
    for r in rows:
        native, run, ratio = r["seconds"]
        line = f"{r['name']:20} {native:9.3f} {run:9.3f} {ratio:7.3f} " + (f"{'<= ' + str(BOUND):>8} {'yes' if r['kept'] else 'NO':>4}" if "kept" in r else " " * 13)
        if r["processor"]:
            line += " {:9.3f} {:9.3f} {:8.3f}".format(*r["processor"])
        print(line.rstrip())


def prepare(python, directory):
    """Data with its sealed column, and the key's file."""
    key, data = os.path.join(directory, "key"), os.path.join(directory, "data")
    with open(key, "w", encoding="ascii") as f:
        f.write(os.urandom(32).hex())
    output([python, os.path.join(EXAMPLE, "generate.py"), data, SCALE])
    customers = os.path.join(data, "customer.csv")
    with open(customers, encoding="ascii") as plain, open(customers + ".sealed", "w", encoding="ascii") as sealed:
        subprocess.run([python, os.path.join(EXAMPLE, "seal.py"), key], stdin=plain, stdout=sealed, check=True)
    os.rename(customers + ".sealed", customers)
    return key


def chosen(python, patterns):
    names = output([python, "-c", "import queries; print(*queries.QUERIES)"], cwd=EXAMPLE).split()
    unknown = [p for p in patterns if not fnmatch.filter(names, p)]
    if unknown:
        raise Failed(f"no query is called {' '.join(unknown)}; there are {' '.join(names)}")
    return [name for name in names if any(fnmatch.fnmatchcase(name, p) for p in patterns)]


def measure(python, scone, directory, key, names):
    """The pairs, and how many rounds of them there were."""
    wanted, pairs, rounds, began = dict.fromkeys(names), [], 0, time.monotonic()
    for number in range(PAIRS):
        if pairs and time.monotonic() - began > SECONDS * number / PAIRS + SECONDS / PAIRS / 2:
            break
        pair = Pair(python, scone, directory, key)
        for i in range(-WARM, ROUNDS):
            if i > 0 and time.monotonic() - began > SECONDS * (number + 1) / PAIRS:
                break
            pair.round(i, wanted)
            rounds += i >= 0
            progress(f"pair {number + 1} of {PAIRS}, " + (f"round {i + 1} of {ROUNDS}" if i >= 0 else "warming up") + f", {time.monotonic() - began:.0f} s")
        for driver in pair.drivers.values():
            driver.stop()
        pair.end()
        pairs.append(pair)
    return pairs, rounds


def results(pairs):
    rows = []
    for name in [*pairs[0].times[NATIVE], ALL, FIRST, START]:
        r = {"name": name, "seconds": figures(pairs, name, "times"), "processor": figures(pairs, name, "used")}
        if name not in (FIRST, START):
            r["kept"] = r["seconds"][2] <= BOUND
        rows.append(r)
    return rows


def main():
    if len(sys.argv) < 4 or min(PAIRS, ROUNDS, WARM) < 1:
        sys.exit("usage: pyspark.py PYTHON SCONE RESULTS [QUERY...]; BENCH_PAIRS, BENCH_ROUNDS and BENCH_WARM are at least 1")
    python, scone, directory_of_results = sys.argv[1:4]
    names = chosen(python, sys.argv[4:] or ["*"])
    process.exit_on_signals()
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="scone-bench-pyspark.", ignore_cleanup_errors=True))
        stack.callback(process.end_all)
        machine = report.machine()
        versions = output([python, "-c", "import pyspark, platform; print('PySpark', pyspark.__version__ + ', Python', platform.python_version())"]).strip()
        print(report.head(machine))
        print(f"{versions}; scale {SCALE}", flush=True)
        pairs, rounds = measure(python, scone, directory, prepare(python, directory), names)
    machine["load after"] = os.getloadavg()[0]
    rows = results(pairs)
    table(rows)
    kept = sum(r["kept"] for r in rows if "kept" in r)
    print(f"{len(pairs)} pairs, {rounds} rounds; all results equal; {kept} of {sum('kept' in r for r in rows)} bounds kept; load {machine['load after']:.1f} after")
    os.makedirs(directory_of_results, exist_ok=True)
    json_path, png = (os.path.join(directory_of_results, "pyspark." + kind) for kind in ("json", "png"))
    report.write_json(json_path, {"machine": machine, "versions": versions, "scale": SCALE, "pairs": len(pairs), "rounds": rounds, "lines": rows,
                                  "times": [pair.times for pair in pairs]})
    drawn = report.picture(png, report.head(machine), [(r["name"], {"runtime": r["seconds"][2]}) for r in rows])
    print(json_path + (f", {png}" if drawn else "; no picture without gnuplot"))


try:
    main()
except Failed as e:
    sys.exit(f"bench: {e}")
