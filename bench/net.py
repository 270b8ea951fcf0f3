"""The network shield against programs' own TLS, against stunnel4 before them, and against plain TCP, in one run.

net.py SCONE LOAD RESULTS [NAME...]: the command line program, the program bench/net_load.c, the directory for net.json and net.png, and patterns of the
names of lines (all). --list prints the names. BENCH_ROUNDS: rounds after one to warm up (5).

Each round measures all sides of a line, beginning with another one each round. Servers have the first processor, loads the second. The load is the same
native program with its own TLS for the shield, the server's own TLS and stunnel4, so that a ratio is of servers; "both" lines have the client under
the shield, too. Clients of redis and of the connection lines show certificates (mutual TLS), wrk has none to show. stunnel4 and the server behind it share
the servers' processor, as the shield does with its server.

A figure is the median of its rounds, a ratio that of the rounds' ratios: of throughput; "CPU" of processor time of the server for one operation. The bound of
connection lines is on processor time: by the clock the load, which does as much work for a handshake as the server, would be measured as well. Bounds are what
the project wants to keep; that one is not kept is a result and no failure. Exit status 1: something did not run.
"""

import contextlib
import fnmatch
import os
import resource
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from typing import Callable

import net_sides as sides
import process
import report
from net_sides import OWN, PLAIN, SHIELD, STUNNEL, Held, Setting
from process import Failed

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))
IDLE, SLOW = 5000, 1000
CLIENT_AUTH = {sides.redis_command: True, sides.bytes_command: True, sides.nginx_command: False, sides.nginx_sendfile_command: False}


@dataclass
class Line:
    """bounds: {side: least ratio of the shield's throughput to its}, or where by_cpu of its operations per processor second."""

    name: str
    text: str
    command: Callable
    load: Callable
    names: tuple = (PLAIN, OWN, STUNNEL, SHIELD)
    bounds: dict = None
    by_cpu: bool = False


@dataclass
class Held_line:
    """COUNT connections of a kind besides the load: what they cost it, and memory."""

    name: str
    text: str
    kind: str
    count: int


BOUNDS = {OWN: 1.0, STUNNEL: 1.5}
REDIS, NGINX, NGINX_SENDFILE = sides.redis_command, sides.nginx_command, sides.nginx_sendfile_command
LINES = [
    Line("redis-get", "redis GET, 50 connections", REDIS, sides.redis_load("get", 1, 50000), bounds=BOUNDS),
    Line("redis-set", "redis SET, 50 connections", REDIS, sides.redis_load("set", 1, 50000), bounds=BOUNDS),
    Line("redis-get-p16", "redis GET, 16 pipelined", REDIS, sides.redis_load("get", 16, 400000), bounds=BOUNDS),
    Line("redis-set-p16", "redis SET, 16 pipelined", REDIS, sides.redis_load("set", 16, 400000), bounds=BOUNDS),
    Line("redis-get-both", "redis GET, client shielded, too", REDIS, sides.redis_load("get", 1, 50000, pair=True), (PLAIN, OWN, SHIELD), {OWN: 1.0}),
    Line("nginx-1k", "nginx, 1 KiB, kept connections", NGINX, sides.wrk_load("1k"), bounds=BOUNDS),
    Line("nginx-1k-send", "nginx, 1 KiB, sendfile, tcp_nopush", NGINX_SENDFILE, sides.wrk_load("1k"), bounds=BOUNDS),
    Line("nginx-1m", "nginx, 1 MiB, sendfile", NGINX_SENDFILE, sides.wrk_load("1m"), bounds=BOUNDS),
    Line("nginx-close", "nginx, 1 KiB, a connection each", NGINX, sides.wrk_load("1k", "-H", "Connection: close"), bounds={OWN: 0.7}),
    Line("connect", "connections, mutual TLS", sides.bytes_command, sides.connect_load(2, 4), (OWN, SHIELD), {OWN: 0.7}, True),
    Held_line("idle", f"redis GET beside {IDLE:,} idle connections", "idle", IDLE),
    Held_line("slow", f"redis GET beside {SLOW:,} slow connections", "slow", SLOW),
]


def progress(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


# --- throughput --------------------------------------------------------------------------------------------------------------------------------------


def measure(line, setting):
    """{side: [{"rate", "p99", "cpu": processor seconds for an operation} of each round]}, {side: why it has none}."""
    figures, reasons, running = {}, {}, {}

    def once(name):
        side = running[name]
        before = side.processor_seconds()
        r = line.load(setting, name, side.port)
        r["cpu"] = (side.processor_seconds() - before) / r["operations"]
        return r
    try:
        for name in line.names:
            try:
                running[name] = sides.start(setting, name, line.command, CLIENT_AUTH[line.command])
                once(name)
                figures[name] = []
            except Failed as e:
                reasons[name] = str(e)
        names = list(figures)
        for i in range(ROUNDS):
            turn = i % len(names)
            for name in names[turn:] + names[:turn]:
                figures[name].append(once(name))
    finally:
        for side in running.values():
            side.stop()
    return figures, reasons


def ratios(figures, what):
    """Median of the rounds' ratios, shield to each other side."""
    return {name: statistics.median(s[what] / o[what] for s, o in zip(figures[SHIELD], other) if o[what])
            for name, other in figures.items() if name != SHIELD and any(o[what] for o in other)}


def result(line, figures, reasons):
    r = {"name": line.name, "text": line.text, "figures": figures, "reasons": reasons,
         "median": {side: {what: statistics.median(x[what] or 0 for x in rounds) for what in ("rate", "p99", "cpu")} for side, rounds in figures.items()}}
    if SHIELD in figures:
        r["ratio"], r["cpu_ratio"] = ratios(figures, "rate"), ratios(figures, "cpu")
        r["bounds"], r["kept"] = line.bounds, {}
        for side, least in line.bounds.items():
            if side in r["ratio"]:
                value = 1 / r["cpu_ratio"][side] if line.by_cpu else r["ratio"][side]
                r["kept"][side] = value >= least
    return r


ORDER = (PLAIN, OWN, STUNNEL, SHIELD)
HEAD = (f"{'':16} {'':34}" + "".join(f" {name:>9}" for name in ORDER) + "  shield to: plain  own TLS (bound)   stunnel4 (bound)   CPU to own"
        + f"   p99 ms: {' / '.join(ORDER)}")


def bounded(r, side):
    if side not in r["ratio"]:
        return f"{'-':>6}{'':9}"
    bound = r["bounds"].get(side)
    mark = "" if bound is None else f"({'>=' if r['kept'][side] else 'NO,'} {bound:g})"
    return f"{r['ratio'][side]:6.2f} {mark:9}"


def row(r):
    if SHIELD not in r["median"]:
        return f"{r['name']:16} {r['text']:34} {r['reasons'].get(SHIELD, 'not measured')}"
    rates = "".join(f" {r['median'][name]['rate']:9.0f}" if name in r["median"] else f" {'-':>9}" for name in ORDER)
    tails = " / ".join(f"{r['median'][name]['p99']:.2f}" if name in r["median"] else "-" for name in ORDER)
    plain = f"{r['ratio'][PLAIN]:6.2f}" if PLAIN in r["ratio"] else f"{'-':>6}"
    text = f"{r['name']:16} {r['text']:34}{rates}            {plain}  {bounded(r, OWN)}  {bounded(r, STUNNEL)}  {r['cpu_ratio'].get(OWN, 0):10.2f}   {tails}"
    return text + "".join(f"\n    {side}: {why}" for side, why in r["reasons"].items())


# --- beside others -----------------------------------------------------------------------------------------------------------------------------------


def beside(line, setting):
    """{side: {"alone": [...], "beside": [...], "per_connection": bytes}} of a load with and without them."""
    load, out = sides.redis_load("get", 1, 20000, clients=10), {}
    for name in (OWN, SHIELD):
        side = sides.start(setting, name, REDIS)
        r = out[name] = {"alone": [], "beside": []}
        try:
            load(setting, name, side.port)
            for _ in range(max(2, ROUNDS // 2)):
                r["alone"].append(load(setting, name, side.port))
            before = side.memory()
            held = Held(setting, side.port, line.kind, line.count)
            r["per_connection"] = (side.memory() - before) / line.count
            for _ in range(max(2, ROUNDS // 2)):
                r["beside"].append(load(setting, name, side.port))
            if not held.stop():
                raise Failed(f"a {line.kind} connection was ended")
        finally:
            side.stop()
    return out


def beside_result(line, figures):
    def median(side, when, what):
        return statistics.median(x[what] for x in figures[side][when])
    return {"name": line.name, "text": line.text, "figures": figures,
            "median": {side: {when: {what: median(side, when, what) for what in ("rate", "p99")} for when in ("alone", "beside")} for side in figures},
            "per_connection": {side: figures[side]["per_connection"] for side in figures}}


def beside_row(r):
    lines = [f"{r['name']:16} {r['text']}"]
    for side, m in r["median"].items():
        lines.append(f"{'':16} {side:10} {m['alone']['rate']:8.0f}/s alone, {m['beside']['rate']:8.0f}/s beside them "
                     f"({m['beside']['rate'] / m['alone']['rate']:.2f}); p99 {m['alone']['p99']:.2f} and {m['beside']['p99']:.2f} ms; "
                     f"{r['per_connection'][side] / 1024:.1f} KiB of the server's memory for each")
    return "\n".join(lines)


# --- all -----------------------------------------------------------------------------------------------------------------------------------------------


def run(setting, chosen):
    results = []
    print(f"medians of {ROUNDS} alternating rounds after one to warm up; operations a second")
    print(HEAD, flush=True)
    for n, line in enumerate(chosen):
        began = time.monotonic()
        try:
            if isinstance(line, Line):
                results.append(result(line, *measure(line, setting)))
                print(row(results[-1]), flush=True)
            else:
                results.append(beside_result(line, beside(line, setting)))
                print(beside_row(results[-1]), flush=True)
        except Failed as e:
            results.append({"name": line.name, "text": line.text, "failed": str(e)})
            print(f"{line.name:16} {line.text}: {e}", flush=True)
        progress(f"{n + 1} of {len(chosen)}: {line.name}, {time.monotonic() - began:.0f} s")
    return results


def summary(results):
    kept = [(r["name"], side, ok) for r in results for side, ok in r.get("kept", {}).items()]
    missed = [f"{name} to {side}" for name, side, ok in kept if not ok]
    print(f"{len(kept) - len(missed)} of {len(kept)} bounds kept" + (f"; not kept: {', '.join(missed)}" if missed else ""))
    failed = [r["name"] for r in results if "failed" in r or r.get("reasons")]
    if failed:
        print(f"did not run whole: {' '.join(failed)}")
    return 1 if failed else 0


def draw(path, title, results):
    rows = [(r["text"], {side: r["median"][PLAIN]["rate"] / r["median"][side]["rate"] if side in r["median"] else None for side in (SHIELD, OWN, STUNNEL)})
            for r in results if "ratio" in r and PLAIN in r["median"]]
    return report.picture(path, title, rows)


def main():
    words = sys.argv[1:]
    if words[:1] == ["--list"]:
        for line in LINES:
            print(f"{line.name:16} {line.text}")
        return 0
    if len(words) < 3 or ROUNDS < 1:
        sys.exit("usage: net.py --list | net.py SCONE LOAD RESULTS [NAME...]; BENCH_ROUNDS is at least 1")
    scone, load, results_directory = map(os.path.abspath, words[:3])
    patterns = words[3:] or ["*"]
    chosen = [line for line in LINES if any(fnmatch.fnmatchcase(line.name, p) for p in patterns)]
    unknown = [p for p in patterns if not any(fnmatch.fnmatchcase(line.name, p) for line in LINES)]
    if unknown:
        sys.exit(f"bench: no line is called {' '.join(unknown)}; --list has the names")
    process.exit_on_signals()
    os.environ["LC_ALL"] = "C.UTF-8"
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with contextlib.ExitStack() as stack:
        stack.callback(process.end_all)
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="scone-bench."))
        machine = report.machine()
        print(report.head(machine))
        results = run(Setting(scone, load, directory), chosen)
        machine["load after"] = os.getloadavg()[0]
        status = summary(results)
        json_path, png = (os.path.join(results_directory, "net." + kind) for kind in ("json", "png"))
        report.write_json(json_path, {"machine": machine, "rounds": ROUNDS, "lines": results})
        drawn = draw(png, report.head(machine), results)
        print(f"load {machine['load after']:.1f} after; {json_path}" + (f", {png}" if drawn else "; no picture"))
        return status


sys.exit(main())
