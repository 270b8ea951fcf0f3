#!/usr/bin/env python3
"""Go's own tests (Debian: golang-1.19-src), of the packages that live on the kernel's interface.

One group per package with cgo, and one without (NAME-static: the test program is a static binary without a C library). A test program is built
once, natively, and run in the package's source directory. One that dies goes on with the tests after the one that killed it. `tools` is the go
command itself, building, vetting and testing a small module from an empty cache; the tests of `runtime` call it, too.

Nothing here reaches a network: where the driver may, it takes a network namespace of its own, with only a loopback device."""

import fcntl
import glob
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading

import driver

HERE = os.path.dirname(os.path.abspath(__file__))
# package: seconds for one side
PACKAGES = {"os": 600, "os/exec": 600, "os/signal": 900, "syscall": 300, "net": 1200, "runtime": 5400}
SHORT = {"os-short": "os", "os_exec-static-short": "os/exec", "os_signal-static-short": "os/signal"}
# Text without a newline may precede.
RESULT = re.compile(r"^(.*?)--- (PASS|FAIL|SKIP): (\S+) \([0-9.]+s\)$")
RUN = re.compile(r"^(?:.*\S)?=== (?:RUN|CONT) +(\S+)$")
WORD = {"PASS": "ok", "FAIL": "fail", "SKIP": "skip"}
QUIET = 400  # seconds without a line after which a test program hangs
# Statistics of the hash function: minutes of arithmetic and not one system call.
LEFT_OUT = "TestSmhasher"
# Its subtests run in goroutines that it does not wait for: whether their results are printed is chance.
WHOLE = ("TestNohup",)


def find_go():
    """Debian's first: its version is the same everywhere. Any other will do that has the sources of its tests."""
    for go in [*sorted(glob.glob("/usr/lib/go-*/bin/go"), reverse=True), shutil.which("go") or ""]:
        root = os.path.dirname(os.path.dirname(os.path.realpath(go)))
        if go and os.access(go, os.X_OK) and os.path.isfile(f"{root}/src/os/os_test.go"):
            return root
    return None


def groups(root):
    found = {}
    for package, seconds in PACKAGES.items():
        name = package.replace("/", "_")
        found[name] = (package, "1", False, seconds)
        found[name + "-static"] = (package, "0", False, seconds)
    for name, package in SHORT.items():
        found[name] = (package, "0" if "-static" in name else "1", True, 120)
    return found


def environment(root, directory):
    """What the go command needs, and no network."""
    cache = os.environ["SUITE_CACHE"]
    return {
        "PATH": f"{root}/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": directory,
        "TMPDIR": directory + "/tmp",
        "LANG": "C.UTF-8",
        "GOCACHE": f"{cache}/go/cache",
        "GOFLAGS": "",
        "GOPROXY": "off",
        "GOTOOLCHAIN": "local",
        "GOTELEMETRY": "off",
    }


def build(root, package, cgo):
    """The test program, from the cache or made for it."""
    version = open(f"{root}/VERSION", encoding="ascii").read().split()[0]
    place = f"{os.environ['SUITE_CACHE']}/go/{version}"
    program = f"{place}/{package.replace('/', '_')}{'' if cgo == '1' else '-static'}.test"
    os.makedirs(place, exist_ok=True)
    with open(f"{place}/lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(program):
            env = environment(root, place) | {"CGO_ENABLED": cgo, "TMPDIR": place}
            command = [f"{root}/bin/go", "test", "-c", "-o", program + ".new", "."]
            subprocess.run(command, cwd=f"{root}/src/{package}", env=env, stdin=subprocess.DEVNULL, check=True)
            os.rename(program + ".new", program)
    return program


class Verdicts(driver.Verdicts):
    def add(self, test, verdict, detail=""):
        if not test.startswith(tuple(w + "/" for w in WHOLE)):
            super().add(test, verdict, detail)


def pattern(test):
    """For -test.run: exactly this test, or this subtest."""
    return "/".join(f"^{re.escape(part)}$" for part in test.split("/"))


def own_result(before, test):
    """Whether the result is of this program: a subtest's is indented by four for each level, and its name may have slashes of its own."""
    level = len(before) // 4
    return bool(before.strip()) or (level == 0) == ("/" not in test) and level <= test.count("/") and len(before) % 4 == 0


def run_program(command, cwd, env, verdicts):
    """Runs the test program once, noting tests as they begin and end. Returns (status, the test that ran last)."""
    current = ""
    with subprocess.Popen(command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as p:
        watch = Watch(p)
        for raw in p.stdout:
            watch.again()
            line = raw.decode(errors="replace").replace("\0", "").rstrip("\n")
            print(line, flush=True)
            begun = RUN.search(line)
            if begun and not begun[1].startswith("Benchmark"):
                current = begun[1]
                verdicts.add(current, "hang")
            ended = RESULT.search(line)
            if ended and own_result(ended[1], ended[3]):
                verdicts.add(ended[3], WORD[ended[2]])
        watch.end()
    return p.returncode, current


class Watch:
    """Ends a test program that says nothing for too long: SIGQUIT, with which Go prints what it was doing, then SIGKILL."""

    def __init__(self, program):
        self.program, self.timer = program, None
        self.again()

    def again(self):
        self.end()
        self.timer = threading.Timer(QUIET, self.kill)
        self.timer.start()

    def end(self):
        if self.timer:
            self.timer.cancel()

    def kill(self):
        self.program.send_signal(signal.SIGQUIT)
        try:
            self.program.wait(10)
        except subprocess.TimeoutExpired:
            self.program.kill()


def run_package(root, group, subs, directory):
    package, cgo, short, seconds = groups(root)[group]
    program = build(root, package, cgo)
    env = environment(root, directory)
    cwd = f"{root}/src/{package}"
    # A listing has the benchmarks, too, and the programs that are no tests.
    listing = subprocess.run([program, "-test.list", "."], cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True)
    names = [n for n in re.findall(r"^(?:Test|Example|Fuzz)\w*$", listing.stdout.decode(), re.M) if not n.startswith(LEFT_OUT)]
    verdicts = Verdicts(directory, group)
    if "end" in subs:
        subs = []
    while True:
        # Tops of the tests wanted that have not run yet; a subtest is asked for by itself.
        left = [s for s in subs or names if s not in verdicts.last]
        if not left:
            return
        alone = "/" in left[0]
        now = left[:1] if alone else [s for s in left if "/" not in s]
        run = pattern(now[0]) if alone else "^(" + "|".join(map(re.escape, now)) + ")$"
        command = [*driver.under(), program, "-test.v", "-test.run", run, f"-test.timeout={seconds}s"]
        if short:
            command.append("-test.short")
        status, current = run_program(command, cwd, env, verdicts)
        for s in now if alone else ():
            if s not in verdicts.last:
                verdicts.add(s, "absent")
        if not alone and status in (0, 1) and verdicts.last.get(current) != "hang":
            for s in now:  # an example without output to compare is listed and not run
                verdicts.last.setdefault(s, "absent")
        if verdicts.last.get(current) == "hang":
            verdicts.add(current, "crash", f"the test program ended with status {status}")
            top = current.split("/")[0]
            verdicts.add(top, "crash", f"in {current}")
        elif status not in (0, 1):
            verdicts.add("end", "crash", f"the test program ended with status {status}")
            return
        if not subs:
            verdicts.add("end", "ok", f"status {status}")  # 1 says that a test failed, which has its own verdict


# The go command: name, arguments, what to print of. {out} is a file that is made and whose digest belongs to the verdict.
TOOLS = {
    "version": ["version"],
    "env": ["env", "GOOS", "GOARCH", "CGO_ENABLED"],
    "list": ["list", "-deps", "./..."],
    "vet": ["vet", "./..."],
    "vet-finds": ["vet", "-tags", "wrong", "./..."],
    "build-cgo": ["build", "-trimpath", "-o", "{out}", "."],
    "build-static": ["build", "-trimpath", "-o", "{out}", "."],
    "build-pie": ["build", "-trimpath", "-buildmode=pie", "-o", "{out}", "."],
    "build-again": ["build", "-trimpath", "-a", "-p", "4", "-o", "{out}", "./greet"],
    "build-error": ["build", "-tags", "broken", "./..."],
    "run": ["run", "."],
    "test": ["test", "./..."],
    "test-race": ["test", "-race", "./..."],
    "test-cover": ["test", "-cover", "-count=1", "./..."],
    "fmt": ["fmt", "-n", "./..."],
    "doc": ["doc", "os", "Exit"],
    "clean": ["clean", "-cache"],
}


def steady(text, directory):
    """Without durations, names of temporary directories, numbers of processes."""
    text = text.replace(directory, "DIR")
    return re.sub(r"\t[0-9.]+s\b|go-build\d+|\(cached\)|\b\d{4,}\b", "", text)


def run_tools(root, subs, directory):
    verdicts = Verdicts(directory, "tools")
    module = directory + "/mod"
    for name, arguments in TOOLS.items():
        if subs and name not in subs:
            continue
        verdicts.add(name, "hang")
        shutil.rmtree(module, ignore_errors=True)
        shutil.copytree(HERE + "/go/mod", module)
        out = directory + "/made"
        env = environment(root, directory) | {"GOCACHE": directory + "/cache", "CGO_ENABLED": "0" if name == "build-static" else "1"}
        command = [*driver.under(), f"{root}/bin/go", *(a.format(out=out) for a in arguments)]
        done = subprocess.run(
            command, cwd=module, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
        )
        text = steady(done.stdout.decode(errors="replace"), directory)
        print(f"== {name}: status {done.returncode}\n{text}", flush=True)
        digest = hashlib.sha256(text.encode())
        if os.path.exists(out):
            with open(out, "rb") as f:
                digest.update(f.read())
            os.unlink(out)
        verdicts.add(name, f"exit-{done.returncode}:{digest.hexdigest()[:12]}", text.split("\n")[0].replace("\t", " ")[:120])


def main():
    root = find_go()
    if not root:
        raise driver.Cannot("no Go with the sources of its tests (golang-go, golang-1.19-src)")
    if sys.argv[1:2] == ["--list"]:
        for name, (_, _, short, seconds) in groups(root).items():
            if short == ("--short" in sys.argv):
                print(f"{name}\t{seconds}")
        if "--short" not in sys.argv:
            print("tools\t900")
        return 0
    directory, tests = sys.argv[1], sys.argv[2:]
    driver.begin()
    for group, subs in driver.by_group(tests).items():
        if group == "tools":
            run_tools(root, subs, directory)
        else:
            run_package(root, group, subs, directory)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except driver.Cannot as e:
        print(e)
        sys.exit(77)
