#!/usr/bin/env python3
"""Long test suites, natively and under the runtime: same verdict per test. README.md beside this file says how.

run.py [--short] [--list] [-j N] [-r N] [-o DIR] [--programs ARGS] [SUITE[:GROUP[:TEST]]...]

SUITE and GROUP are shell patterns. SCONE_BIN says where scone is (build/bin); SCONE_RUN the whole command in front of a program.
"""

import argparse
import concurrent.futures
import fnmatch
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

import verdicts as vd

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
SIDES = ("native", "scone", "native again")
CANNOT = 77


class Group:
    """What is run in one go, and what came of it: runs is a list of (under the runtime?, {test: (verdict, detail)})."""

    def __init__(self, suite, name, seconds, only):
        self.suite, self.name, self.seconds, self.only = suite, name, seconds, only
        self.runs = []
        self.cannot = None

    def __str__(self):
        return f"{self.suite}:{self.name}"


class Stopped(Exception):
    """A signal asked for the end."""


class Harness:
    def __init__(self, args):
        self.running = set()  # calls of drivers
        self.stopping = False
        self.args = args
        self.out = os.path.abspath(args.out)
        bin_dir = os.environ.get("SCONE_BIN") or os.path.join(ROOT, "build", "bin")
        self.under = os.environ.get("SCONE_RUN") or f"{os.path.abspath(bin_dir)}/scone run --"
        if not shutil.which(shlex.split(self.under)[0]):
            sys.exit(f"suites: {shlex.split(self.under)[0]} is not built (make)")
        self.cache = os.path.join(self.out, "cache")
        self.work = tempfile.mkdtemp(prefix="s.", dir=os.environ.get("TMPDIR", "/tmp"))
        os.chmod(self.work, 0o755)  # some tests go on as another user
        self.numbers = {}
        self.lock = threading.Lock()
        self.started = time.monotonic()

    def say(self, text):
        with self.lock:
            print(f"# {time.monotonic() - self.started:6.0f} s  {text}", flush=True)

    def environment(self, directory, under):
        env = {
            "PATH": os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
            "LANG": "C.UTF-8",
            "HOME": directory,
            "TMPDIR": directory + "/tmp",
            "UNDER": self.under if under else "",
            "SUITE_CACHE": self.cache,
            "SUITE_SUPERVISE": os.path.join(HERE, "supervise.py"),
        }
        return env

    def driver(self, suite):
        for ending in (".sh", ".py"):
            path = os.path.join(HERE, suite + ending)
            if os.access(path, os.X_OK):
                return path
        sys.exit(f"suites: no suite {suite}")

    def groups(self):
        """The groups that the arguments select, in the order of the drivers' lists."""
        wanted = self.args.suites or ["*"]
        own = ("run", "supervise", "verdicts")
        suites = sorted(
            name.rsplit(".", 1)[0]
            for name in os.listdir(HERE)
            if re.fullmatch(r"[a-z0-9_]+\.(sh|py)", name)
            and name.rsplit(".", 1)[0] not in own
            and os.access(os.path.join(HERE, name), os.X_OK)
        )
        for pattern in wanted:
            if not any(fnmatch.fnmatchcase(s, pattern.split(":")[0]) for s in suites):
                sys.exit(f"suites: no suite is called {pattern.split(':')[0]}: there are {', '.join(suites)}")
        found = []
        for suite in suites:
            patterns = [p.split(":", 2) for p in wanted if fnmatch.fnmatchcase(suite, p.split(":")[0])]
            if not patterns:
                continue
            command = [self.driver(suite), "--list"] + (["--short"] if self.args.short else [])
            listing = subprocess.run(
                command, env=self.environment(self.work, False), stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, check=False
            )
            if listing.returncode == CANNOT:
                group = Group(suite, "-", 0, None)
                group.cannot = (listing.stdout.decode(errors="replace").strip().splitlines() or ["no reason given"])[-1]
                found.append(group)
                continue
            if listing.returncode != 0:
                sys.exit(f"suites: {shlex.join(command)}: status {listing.returncode}")
            for line in listing.stdout.decode().splitlines():
                name, seconds = line.split("\t")
                matching = [p for p in patterns if len(p) < 2 or fnmatch.fnmatchcase(name, p[1])]
                if not matching:
                    continue
                only = [f"{name}:{p[2]}" for p in matching if len(p) == 3]
                found.append(Group(suite, name, float(seconds), only if len(only) == len(matching) else None))
        if not found and not self.args.short:
            sys.exit(f"suites: no group matches {' '.join(wanted)}")
        return found

    def directory(self, group):
        """The same short path for each run of a group."""
        with self.lock:
            number = self.numbers.setdefault(str(group), len(self.numbers))
        return os.path.join(self.work, str(number))

    def supervised(self, *args, **kwargs):
        """A command's exit status. When the end is asked for it is told so, and ends with all that it started."""
        with self.lock:
            if self.stopping:
                raise Stopped
            process = subprocess.Popen(*args, **kwargs)
            self.running.add(process)
        status = process.wait()
        with self.lock:
            self.running.discard(process)
            if self.stopping:
                raise Stopped
        return status

    def stop(self):
        with self.lock:
            self.stopping = True
            for process in self.running:
                process.terminate()

    def run(self, group, under, tests, label):
        """One call of a driver. Returns {test: (verdict, detail)}."""
        directory = self.directory(group)
        shutil.rmtree(directory, ignore_errors=True)
        os.makedirs(directory + "/tmp")
        os.makedirs(self.cache, exist_ok=True)
        logs = os.path.join(self.out, "log", group.suite, group.name)
        os.makedirs(logs, exist_ok=True)
        log = os.path.join(logs, label.replace(" ", "-"))
        begun = time.monotonic()
        with open(log, "wb") as f:
            status = self.supervised(
                [os.path.join(HERE, "supervise.py"), str(group.seconds), self.driver(group.suite), directory, *tests],
                cwd=directory,
                env=self.environment(directory, under),
                stdin=subprocess.DEVNULL,
                stdout=f,
                stderr=subprocess.STDOUT,
            )
        found = vd.read(os.path.join(directory, "verdicts"))
        shutil.rmtree(directory, ignore_errors=True)
        took = time.monotonic() - begun
        if status == CANNOT:
            with open(log, encoding="utf-8", errors="replace") as f:
                group.cannot = (f.read().strip().splitlines() or ["no reason given"])[-1]
        elif status == 124:
            found[group.name] = ("hang", f"killed after {group.seconds:.0f} s")
        elif status != 0 or not found:
            found[group.name] = ("broken", f"driver ended with status {status} after {len(found)} verdicts")
        self.say(f"{group} {label}: {vd.summary(found)}, {took:.0f} s")
        return found

    def first(self, group):
        """Native, runtime, native again; in the short version not again."""
        for side in SIDES[:2] if self.args.short else SIDES:
            if group.cannot:
                break
            under = side == "scone"
            group.runs.append((under, self.run(group, under, group.only or [group.name], side)))
        return group

    def again(self, group):
        """What did not agree, alone, on both sides."""
        tests = [t for t, runs in vd.by_test(group.runs).items() if len({v for _, v, _ in runs}) > 1]
        if not tests or group.cannot:
            return
        for i in range(1 if self.args.short else self.args.repeat):
            for under in (False, True):
                found = self.run(group, under, tests, f"{'scone' if under else 'native'} repeat {i + 1}")
                group.runs.append((under, {t: found.get(t, ("absent", "")) for t in tests}))

    def close(self):
        shutil.rmtree(self.work, ignore_errors=True)


def programs(arguments):
    """tests/conformance/run.sh, which compares by itself: a list of results in the form of vd.judge."""
    command = [os.path.join(ROOT, "tests", "conformance", "run.sh"), *arguments]
    results, name = [], None
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, errors="replace") as p:
        for line in p.stdout:
            print(line, end="", flush=True)
            match = re.match(r"(not )?ok ([^:\s]+)(?:: (.*))?$", line)
            if match:
                name = match[2]
                results.append(vd.Result("programs", name, "different" if match[1] else "same", match[3] or "", ""))
    if not results:
        results.append(vd.Result("programs", "run.sh", "different", f"ended with status {p.returncode} and no result", ""))
    return results


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("-j", type=int, default=1, metavar="N", help="so many groups at a time (1); repetitions are always alone")
    parser.add_argument("-r", "--repeat", type=int, default=3, metavar="N", help="repetitions of what differs, on each side (3)")
    parser.add_argument("-o", "--out", default=os.path.join(ROOT, "build", "suites"), metavar="DIR")
    parser.add_argument("--programs", metavar="ARGS", help="run tests/conformance/run.sh with these words, too, as suite `programs`")
    parser.add_argument("suites", nargs="*", metavar="SUITE")
    args = parser.parse_args()
    if args.suites == ["-"]:
        args.suites, harness = None, None
    else:
        harness = Harness(args)
    results = []
    ended = []

    def end(number, _frame):
        # Not in the handler: it may have interrupted a holder of the lock.
        ended.append(number)
        if harness:
            threading.Thread(target=harness.stop).start()
        else:
            sys.exit(128 + number)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, end)
    try:
        groups = harness.groups() if harness else []
        if args.list:
            for group in groups:
                print(f"{group}\t{group.cannot or f'{group.seconds:.0f} s'}")
            return 0
        if args.programs is not None:
            results += programs(shlex.split(args.programs))
        with concurrent.futures.ThreadPoolExecutor(args.j) as pool:
            list(pool.map(harness.first if harness else None, groups))
        for group in groups:
            harness.again(group)
        explained = vd.explanations(os.path.join(ROOT, "docs", "conformance.md"))
        for group in groups:
            results += vd.judge(group, explained, args.short)
        return vd.report(results, os.path.abspath(args.out), args.short)
    except Stopped:
        print("suites: stopped", file=sys.stderr)
        return 128 + ended[0]
    finally:
        if harness:
            harness.close()


if __name__ == "__main__":
    sys.exit(main())
