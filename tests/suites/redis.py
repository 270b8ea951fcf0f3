#!/usr/bin/env python3
"""Redis' own tests (Debian's source package) against Debian's redis-server: one group per file of tests.

The whole test program, Tcl's interpreter included, runs under the runtime, so each server, client and benchmark it starts does, too.
cluster-NAME and sentinel-NAME are the tests with several servers that watch each other."""

import glob
import os
import re
import shutil
import subprocess
import sys

import driver

SOURCE = ("redis=5:7.0.15-1~deb12u7", "redis_7.0.15.orig.tar.gz", "4b1dc4ee6d622a09fff9c6777191209750fb5e5a725ef78ea012d6eef4c22982")
VERSION = "7.0.15"
TCL = "/usr/bin/tclsh"
PROGRAMS = ("redis-server", "redis-sentinel", "redis-cli", "redis-benchmark", "redis-check-aof", "redis-check-rdb")
SHORT = ("unit/protocol", "unit/multi", "unit/quit", "unit/shutdown")
# Seconds for one side; the rest has 300.
LONG = {
    "unit/type/list": 600,
    "unit/type/list-3": 600,
    "unit/type/zset": 900,
    "unit/type/set": 600,
    "unit/type/hash": 600,
    "unit/type/stream": 600,
    "unit/dump": 600,
    "unit/expire": 600,
    "unit/scripting": 900,
    "unit/other": 600,
    "unit/maxmemory": 600,
    "unit/memefficiency": 1200,
    "unit/obuf-limits": 600,
    "unit/hyperloglog": 600,
    "unit/aofrw": 600,
    "unit/cluster": 900,
    "unit/client-eviction": 600,
    "integration/aof": 600,
    "integration/corrupt-dump": 900,
    "integration/corrupt-dump-fuzzer": 900,
    "integration/psync2": 900,
    "integration/psync2-reg": 900,
    "integration/psync2-pingoff": 900,
    "integration/psync2-master-restart": 900,
    "integration/replication": 1800,
    "integration/replication-psync": 1200,
    "integration/replication-buffer": 900,
    "integration/block-repl": 900,
    "integration/redis-cli": 600,
}
RESULT = re.compile(r"^\[(ok|err|exception|skip|ignore)\]: (.*)$")
TESTING = re.compile(r"^\[testing\]: (.*)$")
WORD = {"ok": "ok", "err": "fail", "exception": "error", "skip": "skip", "ignore": "skip"}


def source():
    return driver.debian_source(*SOURCE, keep=lambda path: path.startswith("tests/"))


def units(root):
    """In the order of Redis' own list."""
    with open(root + "/tests/test_helper.tcl", encoding="utf-8") as f:
        listed = re.search(r"set ::all_tests \{(.*?)\}", f.read(), re.S)[1].split()
    return [u for u in listed if u != "unit/printver"]


def several(root):
    """Tests of clusters and sentinels: {group: (directory, file)}."""
    found = {}
    for kind in ("cluster", "sentinel"):
        for path in sorted(glob.glob(f"{root}/tests/{kind}/tests/*.tcl")):
            name = os.path.basename(path)[:-4]
            found[f"{kind}-{name}"] = (kind, os.path.basename(path))
    return found


def group_of(unit):
    return unit.replace("/", "-")


def prepare(root, directory):
    """A tree as after Redis' own make, with Debian's programs."""
    shutil.copytree(root + "/tests", directory + "/tests", dirs_exist_ok=True)
    os.makedirs(directory + "/src", exist_ok=True)
    for program in PROGRAMS:
        # One program, by the name it is called; Debian has that of the sentinel in a package of its own.
        os.symlink("/usr/bin/" + ("redis-server" if program == "redis-sentinel" else program), f"{directory}/src/{program}")


def run(command, directory, judge):
    """Runs Redis' test program and gives each line of it to judge."""
    with subprocess.Popen(
        [*driver.under(), *command], cwd=directory, env=driver.environment(directory), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as p:
        for raw in p.stdout:
            line = raw.decode(errors="replace").rstrip("\n")
            print(line[:2000], flush=True)
            judge(line)
    return p.returncode


class Verdicts(driver.Verdicts):
    """Tests of one name are one, with the worst of their verdicts: how often a loop runs, and the servers it draws by lot, are chance."""

    WORST = ("skip", "ok", "fail", "error")

    def result(self, text, verdict, detail=""):
        text = re.sub(r" \(\d+ ms\)$", "", text)
        text = re.sub(r" in tests/\S+\.tcl$", "", text)
        name = re.sub(r"(127\.0\.0\.1:|#|x = |CYCLE )\d+", r"\1N", " ".join(text.split()))
        if name not in self.last or self.WORST.index(verdict) > self.WORST.index(self.last[name]):
            self.add(name, verdict, detail)


def run_unit(unit, directory):
    verdicts = Verdicts(directory, group_of(unit))

    def judge(line):
        found = RESULT.match(line)
        if found:
            verdicts.result(found[2], WORD[found[1]])

    command = [TCL, "tests/test_helper.tcl", "--single", unit, "--clients", "1", "--durable", "--no-latency", "--timeout", "250"]
    status = run(command, directory, judge)
    verdicts.add("end", "ok" if status in (0, 1) else "crash", f"status {status}")


def run_several(group, kind, name, directory):
    verdicts = Verdicts(directory, group)

    def judge(line):
        found = re.match(r"^\d\d:\d\d:\d\d> (.*?): (OK|FAILED|.*)$", line)
        if found:
            verdicts.result(found[1], "ok" if found[2].startswith("OK") else "fail", found[2])

    status = run([TCL, f"tests/{kind}/run.tcl", "--single", f"*/{name}"], directory, judge)
    verdicts.add("end", "ok" if status in (0, 1) else "crash", f"status {status}")


def main():
    if not os.access(TCL, os.X_OK):
        raise driver.Cannot(f"{TCL} is missing (tcl)")
    found = subprocess.run(["/usr/bin/redis-server", "--version"], stdout=subprocess.PIPE, text=True, check=False).stdout
    if f"v={VERSION}" not in found:
        raise driver.Cannot(f"redis-server says {found.strip()!r}, wanted {VERSION}")
    root = source()
    groups = {group_of(u): u for u in units(root)}
    if sys.argv[1:2] == ["--list"]:
        for group, unit in groups.items():
            if "--short" not in sys.argv or unit in SHORT:
                print(f"{group}\t{LONG.get(unit, 300)}")
        if "--short" not in sys.argv:
            for group in several(root):
                print(f"{group}\t600")
        return 0
    directory = sys.argv[1]
    driver.begin()
    prepare(root, directory)
    for group in driver.by_group(sys.argv[2:]):
        if group in groups:
            run_unit(groups[group], directory)
        else:
            run_several(group, *several(root)[group], directory)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except driver.Cannot as e:
        print(e)
        sys.exit(77)
