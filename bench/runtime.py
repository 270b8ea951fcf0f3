"""Native, the runtime and gVisor on the same work, in one run: each round measures all sides of a line, beginning with another one each round.

runtime.py SCONE HELPERS RESULTS [NAME...]: the command line program, the directory of the helper programs, the directory for runtime.json and
runtime.png, and patterns of the names of lines to measure (all). --list prints the names. BENCH_ROUNDS: rounds after one to warm up (7); gVisor, which
is many times slower, takes part in every third. BENCH_GVISOR=no leaves it out.

A figure is the median of its rounds; a ratio to native is the median of the rounds' ratios, "more" that of their differences. In the units ms and ns
less is better, in 1/s more. Bounds are what the project wants to keep; that one is not kept is a result and no failure. Load comes from native
processes always. Exit status 1: something did not run.
"""

import contextlib
import fnmatch
import os
import statistics
import sys
import tempfile
import time

import process
import report
from lines import LINES, Setting
from process import Failed
from sides import GVISOR, NATIVE, RUN, Sides

GVISOR_EVERY = 3
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "7"))


def progress(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


def measure(line, setting):
    """The figures of a line: {side: [figure of each round, None where it was left out]} and {side: why it has none}."""
    figures, reasons = {}, {}
    sides = [name for name in setting.sides.names if not (name == GVISOR and line.peer)]
    if GVISOR not in sides:
        reasons[GVISOR] = line.peer or setting.sides.reason
    rounds = max(3, round(ROUNDS * line.share)) if ROUNDS >= 3 else ROUNDS
    with line.start(setting) as side_figure:
        for side in list(sides):
            try:
                side_figure(side)
                figures[side] = []
            except Failed as e:
                reasons[side] = str(e)
                sides.remove(side)
                if side != GVISOR:
                    return {}, reasons
        for i in range(rounds):
            turn = i % len(sides)
            for side in sides[turn:] + sides[:turn]:
                taken = side != GVISOR or i % GVISOR_EVERY == 0
                figures[side].append(side_figure(side) if taken else None)
    return figures, reasons


def cost(line, ratio):
    """A ratio as one of time: throughput turned over."""
    return 1 / ratio if line.unit == "1/s" else ratio


def result(line, figures, reasons):
    r = {"name": line.name, "text": line.text, "unit": line.unit, "figures": figures, "reasons": reasons,
         "median": {side: statistics.median(x for x in v if x is not None) for side, v in figures.items()}, "ratio": {}, "more": {}}
    for side in figures:
        if side != NATIVE:
            r["ratio"][side], r["more"][side] = report.pairs(figures[NATIVE], figures[side])
    if line.bound:
        r["bound"] = line.bound.text()
        if RUN in figures:
            r["kept"] = line.bound.kept(r["ratio"][RUN], r["more"][RUN])
    return r


HEAD = f"{'':18} {'':42} {'':4} {'native':>10} {'runtime':>10} {'ratio':>7} {'more':>9} {'bound':>8} {'kept':>5} {'gVisor':>10} {'ratio':>8}"


def row(r, notes):
    """One line of the table. What gVisor cannot is a note."""
    text = f"{r['name']:18} {r['text']:42} {r['unit']:4}"
    for side in (NATIVE, RUN):
        if side not in r["median"]:
            return f"{text} {side}: {r['reasons'].get(side, 'not measured')}"
    kept = {True: "yes", False: "NO"}.get(r.get("kept"), "")
    text += f" {r['median'][NATIVE]:10.3f} {r['median'][RUN]:10.3f} {r['ratio'][RUN]:7.3f} {r['more'][RUN]:9.3f} {r.get('bound', ''):>8} {kept:>5}"
    if GVISOR in r["median"]:
        return f"{text} {r['median'][GVISOR]:10.3f} {r['ratio'][GVISOR]:8.3f}"
    reason = r["reasons"].get(GVISOR, "")
    if reason not in notes:
        notes.append(reason)
    return f"{text} {'no (' + str(notes.index(reason) + 1) + ')':>10}"


def run(setting, chosen, head_line):
    """Measure, and print as it goes; the results of all lines."""
    results, notes = [], []
    print(head_line)
    print(f"medians of {ROUNDS} alternating rounds after one to warm up; the peer, gVisor, in every third: "
          f"{setting.sides.version or setting.sides.reason}")
    print(HEAD, flush=True)
    for n, line in enumerate(chosen):
        began = time.monotonic()
        try:
            figures, reasons = measure(line, setting)
        except Failed as e:
            figures, reasons = {}, {RUN: str(e)}
        results.append(result(line, figures, reasons))
        print(row(results[-1], notes), flush=True)
        progress(f"{n + 1} of {len(chosen)}: {line.name}, {time.monotonic() - began:.0f} s")
    for n, note in enumerate(notes):
        print(f"({n + 1}) {note}")
    return results


def summary(results):
    bound = [r for r in results if "bound" in r]
    missed = [r["name"] for r in bound if not r.get("kept")]
    failed = [r["name"] for r in results if RUN not in r["median"]]
    print(f"{len(bound) - len(missed)} of {len(bound)} bounds kept" + (f"; not kept: {' '.join(missed)}" if missed else ""))
    if failed:
        print(f"did not run: {' '.join(failed)}")
    return 1 if failed else 0


def draw(path, title, chosen, results):
    lines = {line.name: line for line in chosen}
    rows = [(r["text"], {"runtime": cost(lines[r["name"]], r["ratio"][RUN]),
                         "gVisor": cost(lines[r["name"]], r["ratio"][GVISOR]) if GVISOR in r["ratio"] else None})
            for r in results if RUN in r["ratio"]]
    return report.picture(path, title, rows)


def main():
    words = sys.argv[1:]
    if words[:1] == ["--list"]:
        for line in LINES:
            print(f"{line.name:18} {line.text}")
        return 0
    if len(words) < 3 or ROUNDS < 1:
        sys.exit("usage: runtime.py --list | runtime.py SCONE HELPERS RESULTS [NAME...]; BENCH_ROUNDS is at least 1")
    scone, helpers, results_directory = map(os.path.abspath, words[:3])
    patterns = words[3:] or ["*"]
    chosen = [line for line in LINES if any(fnmatch.fnmatchcase(line.name, p) for p in patterns)]
    unknown = [p for p in patterns if not any(fnmatch.fnmatchcase(line.name, p) for line in LINES)]
    if unknown:
        sys.exit(f"bench: no line is called {' '.join(unknown)}; --list has the names")
    process.exit_on_signals()
    os.environ["LC_ALL"] = "C.UTF-8"
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    with contextlib.ExitStack() as stack:
        stack.callback(process.end_all)
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="scone-bench."))
        machine = report.machine()
        progress("looking for gVisor's platform")
        setting = Setting(helpers, scone, Sides(scone, os.environ.get("BENCH_GVISOR", "yes") != "no"), directory)
        results = run(setting, chosen, report.head(machine))
        machine["load after"] = os.getloadavg()[0]
        status = summary(results)
        whole = {"machine": machine, "rounds": ROUNDS, "peer": setting.sides.version or setting.sides.reason, "lines": results}
        json_path, png = (os.path.join(results_directory, "runtime." + kind) for kind in ("json", "png"))
        report.write_json(json_path, whole)
        drawn = draw(png, report.head(machine), chosen, results)
        print(f"load {machine['load after']:.1f} after; {json_path}" + (f", {png}" if drawn else "; no picture without gnuplot"))
        return status


sys.exit(main())
