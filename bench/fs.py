"""Files on an encrypted volume, natively and on gocryptfs: the same work on each side in turn, in one run.

fs.py SCONE HELPERS RESULTS [NAME...]: the command line program, the directory of the helper programs, the directory for fs.json and fs.png, and
patterns of the names of lines (all). --list prints the names. BENCH_ROUNDS: rounds after one to warm up (5). BENCH_DIR: a directory of the file system
to measure on (/var/tmp); three of its directories hold the files as they are, gocryptfs' ciphertext, and the volume.

A figure is the median of its rounds, a ratio that of the rounds' ratios. Lines marked cold begin with the host's caches dropped, where this user may.
What is sequential is also told as a part of the speed of AES-256-GCM on blocks of 4 KiB on one core (openssl speed), measured in each round.
Exit status 1: something did not run.
"""

import contextlib
import fnmatch
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass

import process
import report
from lines import Bound
from process import Failed, Server, free_port, number, output

NATIVE, VOLUME, PEER = "native", "volume", "gocryptfs"
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))
BIG, MEDIUM, CALLS, SYNCS, SMALL = 512, 64, 400000, 500, 10000
CACHE_MIB = 128


class Side:
    """Where a side's files are for the program, and what comes before its command."""

    def __init__(self, name, directory, prefix=()):
        self.name, self.directory, self.prefix = name, directory, list(prefix)

    def command(self, cmd):
        return self.prefix + [shutil.which(cmd[0]) or cmd[0]] + cmd[1:]


class Gocryptfs:
    """The peer, mounted while it is used."""

    def __init__(self, base):
        self.cipher, self.plain, self.secret = (os.path.join(base, name) for name in ("gocryptfs", "plain", "secret"))

    def start(self):
        program = shutil.which("gocryptfs")
        if not program:
            raise Failed("gocryptfs is not installed")
        os.mkdir(self.cipher)
        os.mkdir(self.plain)
        with open(self.secret, "w", encoding="ascii") as f:
            f.write("measured\n")
        output([program, "-q", "-init", "-scryptn", "10", "-passfile", self.secret, self.cipher])
        output([program, "-q", "-passfile", self.secret, self.cipher, self.plain])
        return output([program, "-version"]).split(";")[0]

    def stop(self):
        subprocess.run(["fusermount", "-u", self.plain], stderr=subprocess.DEVNULL, check=False)


@dataclass
class Line:
    name: str
    text: str
    unit: str  # MiB/s, 1/s: more is better; ns: less
    work: list  # of files; or a function of (setting, side)
    bound: Bound = None
    first: str = ""  # the work of another line that must have been done before
    cold: bool = False
    sequential: bool = False  # told against AES-256-GCM too


def less_is_better(line):
    return line.unit == "ns"


LINES = [
    Line("write", f"write {BIG} MiB, 64 KiB at a time, fsync", "MiB/s", ["write", BIG], sequential=True),
    Line("read-cold", f"read {BIG} MiB, caches dropped", "MiB/s", ["read", BIG], first="write", cold=True, sequential=True),
    Line("read", f"read {BIG} MiB, in the host's cache", "MiB/s", ["read", BIG], first="write", sequential=True),
    Line("pread", f"random 4 KiB reads of {MEDIUM} MiB, cached", "ns", ["pread", MEDIUM, CALLS], Bound("ratio", True, 1.0)),
    Line("pwrite-fsync", "random 4 KiB writes, fsync after each", "1/s", ["pwrite", MEDIUM, SYNCS], Bound("ratio", False, 0.9)),
    Line("create", f"create {SMALL} files of 1 KiB", "1/s", ["create", SMALL], Bound("ratio", False, 0.9)),
    Line("stat", f"stat of {SMALL} files", "ns", ["stat", SMALL], Bound("ratio", True, 1 / 0.9), first="create"),
    Line("unlink", f"unlink {SMALL} files", "1/s", ["unlink", SMALL], first="create"),
    Line("oltp", "MariaDB, sysbench oltp_read_write, 4 threads", "1/s", "oltp", Bound("ratio", False, 0.9)),
]


def drop_caches():
    os.sync()
    with contextlib.suppress(OSError), open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as f:
        f.write("3")
        return True
    return False


def gcm_speed():
    """MiB/s of AES-256-GCM on blocks of 4 KiB, one core."""
    words = output(["openssl", "speed", "-seconds", "1", "-bytes", "4096", "-evp", "aes-256-gcm"]).split()
    return float(words[-1].rstrip("k")) * 1000 / 1048576


class Setting:
    def __init__(self, scone, helpers, base):
        self.scone, self.helpers, self.base = scone, helpers, base
        self.sides, self.reasons, self.version = [], {}, ""
        self.peer = Gocryptfs(base)
        self.servers = {}

    def start(self):
        native, volume = (os.path.join(self.base, name) for name in (NATIVE, "volume"))
        os.mkdir(native)
        os.mkdir(volume)
        key = os.path.join(self.base, "key")
        with open(os.open(key, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as f:
            f.write(os.urandom(32))
        self.sides = [Side(NATIVE, native),
                      Side(VOLUME, "/vol", [self.scone, "run", "--volume", f"{volume}:/vol", "--volume-key-file", key, "--"])]
        try:
            self.version = self.peer.start()
            self.sides.append(Side(PEER, self.peer.plain))
        except Failed as e:
            self.reasons[PEER] = str(e)

    def stop(self):
        for server in self.servers.values():
            server.stop()
        self.peer.stop()

    def files(self, side, work):
        return number(side.command([os.path.join(self.helpers, "files"), work[0], side.directory, *map(str, work[1:])]))

    def database(self, side):
        """A MariaDB server on the side's files, made and filled at its first use."""
        data, port = f"{side.directory}/mysql", free_port()
        mine = os.path.join(self.base, f"{side.name}.run")
        os.mkdir(mine)
        user = ["--user=root"] if os.geteuid() == 0 else []
        output(side.command(["mariadb-install-db", "--no-defaults", f"--datadir={data}", "--auth-root-authentication-method=normal",
                             "--skip-test-db", *user]), seconds=600)
        server = Server(side.command(["mariadbd", "--no-defaults", f"--datadir={data}", f"--port={port}", "--bind-address=127.0.0.1",
                                      f"--socket={mine}/sock", f"--pid-file={mine}/pid", "--innodb-buffer-pool-size=64M", *user]),
                        port, os.path.join(mine, "log"), seconds=120)
        self.servers[side.name] = server
        output(["mariadb", "--no-defaults", "-h", "127.0.0.1", "-P", str(port), "-u", "root", "-e", "create database sbtest"])
        output(self.sysbench(port, "prepare"), seconds=300)

    @staticmethod
    def sysbench(port, what):
        return ["sysbench", "oltp_read_write", "--db-driver=mysql", "--mysql-host=127.0.0.1", f"--mysql-port={port}", "--mysql-user=root",
                "--tables=4", "--table-size=20000", "--threads=4", "--time=10", what]

    def oltp(self, side):
        if side.name not in self.servers:
            self.database(side)
        for words in output(self.sysbench(self.servers[side.name].port, "run")).splitlines():
            if "transactions:" in words:
                return float(words.split("(")[1].split()[0])
        raise Failed("sysbench printed no number of transactions")

    def figure(self, line, side):
        if line.work == "oltp":
            return self.oltp(side)
        if line.work[0] == "create":
            with contextlib.suppress(Failed):
                self.files(side, ["unlink", SMALL])
        return self.files(side, line.work)

    def prepare(self, line, side):
        if line.first:
            work = next(other.work for other in LINES if other.name == line.first)
            if line.first == "create":
                with contextlib.suppress(Failed):
                    self.files(side, ["unlink", SMALL])
            self.files(side, work)


def measure(line, setting):
    """{side: figures}, {side: why not}."""
    figures, reasons, speeds = {}, dict(setting.reasons), []
    sides = []
    for side in setting.sides:
        try:
            setting.prepare(line, side)
            setting.figure(line, side)
            figures[side.name] = []
            sides.append(side)
        except Failed as e:
            reasons[side.name] = str(e)
    for i in range(ROUNDS):
        turn = i % max(1, len(sides))
        if line.sequential:
            speeds.append(gcm_speed())
        for side in sides[turn:] + sides[:turn]:
            if line.name == "unlink":
                setting.prepare(line, side)
            if line.cold and not drop_caches():
                return {}, {VOLUME: "caches cannot be dropped by this user"}, []
            figures[side.name].append(setting.figure(line, side))
    return figures, reasons, speeds


def result(line, figures, reasons, speeds):
    r = {"name": line.name, "text": line.text, "unit": line.unit, "figures": figures, "reasons": reasons, "aes": speeds,
         "median": {name: statistics.median(v) for name, v in figures.items()}, "ratio": {}}
    for name in figures:
        if name != NATIVE and NATIVE in figures:
            r["ratio"][name] = report.pairs(figures[NATIVE], figures[name])[0]
    if VOLUME not in r["ratio"]:
        return r
    if speeds:
        r["of aes"] = statistics.median(f / s for f, s in zip(figures[VOLUME], speeds))
        r["bound"], r["kept"] = ">= 0.6 of AES or 0.9", r["of aes"] >= 0.6 or r["ratio"][VOLUME] >= 0.9
    elif line.bound:
        r["bound"], r["kept"] = line.bound.text(), line.bound.kept(r["ratio"][VOLUME], 0)
    if PEER in figures:
        against = report.pairs(figures[PEER], figures[VOLUME])[0]
        r["faster than peer"] = 1 / against if less_is_better(line) else against
    return r


GROWTH = [("1 GiB in one file", 1024, 0), ("10 GiB in one file", 10240, 0), ("1,000,000 files of 1 KiB", 0, 1000000)]
GROWTH_CACHE = 64  # MiB


def growth(setting):
    """What a volume costs as it grows, by its engine on a file of the same file system: a table, and its figures."""
    rows = []
    print(f"as it grows, cache of {GROWTH_CACHE} MiB: {'on the host, MiB':>24} {'fill, s':>9} {'open, ms':>9} {'memory, MiB':>12} {'verify, s':>10}")
    for text, mib, files in GROWTH:
        path = os.path.join(setting.base, "growth")
        words = output([os.path.join(setting.helpers, "volume_growth"), path, str(GROWTH_CACHE), str(mib), str(files)], seconds=1800).split()
        rows.append({"text": text, **dict(zip(("host MiB", "fill s", "open ms", "memory MiB", "verify s"), map(float, words)))})
        print(f"{text:33} {words[0]:>16} {words[1]:>9} {words[2]:>9} {words[3]:>12} {words[4]:>10}", flush=True)
    return rows


HEAD = (f"{'':13} {'':44} {'':5} {'native':>10} {'volume':>10} {'ratio':>7} {'of AES':>7} {'bound':>20} {'kept':>5} {'gocryptfs':>10} "
        f"{'faster':>7}")


def row(r):
    text = f"{r['name']:13} {r['text']:44} {r['unit']:5}"
    if VOLUME not in r["ratio"]:
        return f"{text} {VOLUME}: {r['reasons'].get(VOLUME) or r['reasons'].get(NATIVE, 'not measured')}"
    kept = {True: "yes", False: "NO"}.get(r.get("kept"), "")
    aes = f"{r['of aes']:7.2f}" if "of aes" in r else " " * 7
    text += f" {r['median'][NATIVE]:10.1f} {r['median'][VOLUME]:10.1f} {r['ratio'][VOLUME]:7.2f} {aes} {r.get('bound', ''):>20} {kept:>5}"
    if "faster than peer" in r:
        return f"{text} {r['median'][PEER]:10.1f} {r['faster than peer']:6.2f}x"
    return f"{text} {'no: ' + r['reasons'].get(PEER, ''):>10}"


def run(setting, chosen):
    results = []
    print(f"medians of {ROUNDS} alternating rounds after one to warm up; the peer: {setting.version or setting.reasons.get(PEER, '')}")
    print(HEAD, flush=True)
    for n, line in enumerate(chosen):
        began = time.monotonic()
        results.append(result(line, *measure(line, setting)))
        print(row(results[-1]), flush=True)
        print(f"bench: {n + 1} of {len(chosen)}: {line.name}, {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return results


def summary(results):
    bound = [r for r in results if "bound" in r]
    missed = [r["name"] for r in bound if not r["kept"]]
    slower = [r["name"] for r in results if r.get("faster than peer", 1) < 1]
    failed = [r["name"] for r in results if VOLUME not in r["ratio"]]
    print(f"{len(bound) - len(missed)} of {len(bound)} bounds kept" + (f"; not kept: {' '.join(missed)}" if missed else ""))
    compared = [r for r in results if "faster than peer" in r]
    print(f"{len(compared) - len(slower)} of {len(compared)} lines faster than the peer" + (f"; not: {' '.join(slower)}" if slower else ""))
    if failed:
        print(f"did not run: {' '.join(failed)}")
    return 1 if failed else 0


def draw(path, title, results):
    def cost(r, name):
        if name not in r["ratio"]:
            return None
        return r["ratio"][name] if r["unit"] == "ns" else 1 / r["ratio"][name]
    return report.picture(path, title, [(r["text"], {n: cost(r, n) for n in (VOLUME, PEER)}) for r in results if VOLUME in r["ratio"]])


def main():
    words = sys.argv[1:]
    if words[:1] == ["--list"]:
        for line in LINES:
            print(f"{line.name:13} {line.text}")
        print(f"{'growth':13} what a volume costs as it grows")
        return 0
    if len(words) < 3 or ROUNDS < 1:
        sys.exit("usage: fs.py --list | fs.py SCONE HELPERS RESULTS [NAME...]; BENCH_ROUNDS is at least 1")
    scone, helpers, results_directory = map(os.path.abspath, words[:3])
    chosen = [line for line in LINES if any(fnmatch.fnmatchcase(line.name, p) for p in words[3:] or ["*"])]
    grows = any(fnmatch.fnmatchcase("growth", p) for p in words[3:] or ["*"])
    if not chosen and not grows:
        sys.exit(f"bench: no line is called {' '.join(words[3:])}; --list has the names")
    process.exit_on_signals()
    os.environ["LC_ALL"] = "C.UTF-8"
    with contextlib.ExitStack() as stack:
        stack.callback(process.end_all)
        base = stack.enter_context(tempfile.TemporaryDirectory(prefix="scone-bench.", dir=os.environ.get("BENCH_DIR", "/var/tmp")))
        setting = Setting(scone, helpers, base)
        stack.callback(setting.stop)
        setting.start()
        machine = report.machine()
        print(report.head(machine))
        results = run(setting, chosen)
        grown = growth(setting) if grows else []
        machine["load after"] = os.getloadavg()[0]
        status = summary(results)
        json_path, png = (os.path.join(results_directory, "fs." + kind) for kind in ("json", "png"))
        report.write_json(json_path, {"machine": machine, "rounds": ROUNDS, "peer": setting.version, "lines": results, "growth": grown})
        drawn = draw(png, report.head(machine), results)
        print(f"load {machine['load after']:.1f} after; {json_path}" + (f", {png}" if drawn else "; no picture without gnuplot"))
        return status


sys.exit(main())
