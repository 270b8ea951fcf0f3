#!/usr/bin/env python3
"""R. Groups:

tests           R's own regression tests (tests/ of Debian's source package), each with its output
examples-NAME   the examples of the help pages of R's packages, as installed, each with its output
own-NAME        tests/suites/r/own.R: processes, connections, and what R wants of the machine

Where the output counts, a verdict has the first digits of its SHA-256, without what differs from run to run."""

import fcntl
import glob
import hashlib
import os
import re
import shutil
import subprocess
import sys

import driver

HERE = os.path.dirname(os.path.abspath(__file__))
R, RSCRIPT = "/usr/bin/R", "/usr/bin/Rscript"
SOURCE = ("r-base=4.2.2.20221110-2", "r-base_4.2.2.20221110.orig.tar.gz", "8976903842d7df1f885c85a820826b8d4e8edef4ce4b49550683b851bd4a3a74")
VERSION = "4.2.2"
PACKAGES = ("base", "stats", "utils", "methods", "tools", "parallel", "graphics", "grDevices", "grid", "splines", "stats4", "compiler", "datasets")
OWN = ("processes", "connections", "machine")
# What needs a network, gigabytes, or another system.
NOT_HERE = ("internet", "internet2", "libcurl", "CRANtools", "reg-large", "reg-win", "gct-foot", "eval-fns")


def steady(text, directory):
    """Without addresses, processes, times, and names of temporary files."""
    text = text.replace(directory, "DIR")
    text = re.sub(r"Rtmp\w{6}|\b(?:file|con|Rf|Rp|Rex)[0-9a-f]{6,}\w*", "TEMPORARY", text)
    text = re.sub(r"0x[0-9a-f]{6,}", "ADDRESS", text)
    text = re.sub(r"(?m)^Time elapsed:.*$|^ *user +system +elapsed *\n.*$|^(?:Time|last|total)  [0-9. ]+$", "TIME", text)
    return text


def verdict_of(status, text, directory):
    return f"{status}:{hashlib.sha256(steady(text, directory).encode()).hexdigest()[:12]}"


def upstream():
    found = subprocess.run([R, "--version"], stdout=subprocess.PIPE, text=True, check=False).stdout
    if f"R version {VERSION} " not in found:
        raise driver.Cannot(f"R says {found.splitlines()[0]!r}, wanted {VERSION}")
    return driver.debian_source(*SOURCE, keep=lambda path: path.startswith("tests/")) + "/tests"


def run_tests(source, subs, directory):
    verdicts = driver.Verdicts(directory, "tests")
    work = directory + "/w"
    shutil.copytree(source, work)
    names = sorted(os.path.basename(p).rsplit(".", 1)[0] for p in glob.glob(source + "/*.R") + glob.glob(source + "/*.Rin"))
    env = driver.environment(directory) | {"LC_ALL": "C", "LANGUAGE": "en", "SRCDIR": ".", "R_DEFAULT_PACKAGES": "", "TZ": "UTC"}
    for name in names:
        if name in NOT_HERE or (subs and name not in subs):
            continue
        verdicts.add(name, "hang")
        if os.path.exists(f"{work}/{name}.Rin"):  # makes NAME.R
            with open(f"{work}/{name}.Rin", "rb") as f:
                subprocess.run([R, "--vanilla", "--no-echo"], cwd=work, env=env, stdin=f, stdout=subprocess.DEVNULL, check=False)
        with open(f"{work}/{name}.R", "rb") as f:
            done = subprocess.run(
                [os.environ["SUITE_SUPERVISE"], "400", *driver.under(), R, "--vanilla"],
                cwd=work, env=env, stdin=f, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
            )  # fmt: skip
        text = done.stdout.decode(errors="replace")
        print(f"== {name}: status {done.returncode}\n{text}", flush=True)
        if done.returncode == 124:
            continue
        last = [line for line in text.splitlines() if line.strip()][-1:]
        if name in UNSTEADY:
            text = ""
        verdicts.add(name, verdict_of(f"exit-{done.returncode}", text, directory), last[0] if last else "")


# Tests and examples whose output differs from one native run to the next even so: the end alone counts.
UNSTEADY = {"PCRE", "no-segfault", "d-p-q-r-tests", "p-qbeta-strict-tst", "reg-S4-examples", "reg-examples1", "reg-examples2"}
UNSTEADY |= {"reg-tests-1a", "reg-tests-1b", "reg-tests-1c", "reg-tests-1d"}


def examples(package):
    """Directory of the package's examples, in the cache."""
    cache = os.environ["SUITE_CACHE"]
    place = f"{cache}/r-examples/{package}"
    os.makedirs(cache + "/r-examples", exist_ok=True)
    with open(f"{cache}/r-examples/lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(place):
            new = place + ".new"
            shutil.rmtree(new, ignore_errors=True)
            os.makedirs(new)
            subprocess.run([RSCRIPT, "--vanilla", HERE + "/r/examples.R", "make", package, new], stdout=sys.stderr, check=True)
            os.rename(new, place)
    return place


def run_marked(group, names, command, directory, env, judge):
    """Until all of names have a verdict: one that ends R does not keep the others from running."""
    verdicts = driver.Verdicts(directory, group)
    left = names
    while left:
        status, current = driver.run_marked([*command, *left], directory, env, verdicts, judge)
        before, left = left, [n for n in left if n not in verdicts.last]
        if verdicts.last.get(current) == "hang" and status not in (-9, 137):
            verdicts.add(current, "crash", f"R ended with status {status}")
        if left == before:
            verdicts.add("end", "crash", f"R ended with status {status} after {current or 'nothing'}")
            return


def run_examples(group, subs, directory):
    package = group.removeprefix("examples-")
    place = examples(package)
    out = directory + "/out"
    os.makedirs(out, exist_ok=True)

    def judge(topic, verdict):
        if topic == "end":
            return verdict
        with open(f"{out}/{topic}.out", encoding="utf-8", errors="replace") as f:
            text = f.read()
        return verdict if f"{package}/{topic}" in UNSTEADY else verdict_of(verdict, text, directory)

    names = [s for s in subs if s != "end"] or sorted(os.path.basename(p)[:-2] for p in glob.glob(place + "/*.R"))
    env = driver.environment(directory) | {"LANGUAGE": "en", "TZ": "UTC", "R_BROWSER": "/bin/true", "R_PDFVIEWER": "/bin/true"}
    run_marked(group, names, [*driver.under(), RSCRIPT, "--vanilla", HERE + "/r/examples.R", "run", place, out], directory, env, judge)


def run_own(group, subs, directory):
    name = group.removeprefix("own-").removesuffix("-short")
    tests = re.search(rf"(?ms)^{name} <- function\(\) \{{(.*?)^\}}", open(HERE + "/r/own.R", encoding="utf-8").read())[1]
    names = [s for s in subs if s != "end"] or [t for t in re.findall(r'test\("(\w+)"', tests) if group in OWN_GROUPS or t in SHORT[name]]
    if not subs and name == "connections" and group in OWN_GROUPS:
        names += ["file", "gzfile", "bzfile", "xzfile"]
    command = [*driver.under(), RSCRIPT, "--vanilla", HERE + "/r/own.R", name]
    run_marked(group, names, command, directory, driver.environment(directory), lambda test, verdict: verdict)


OWN_GROUPS = [f"own-{name}" for name in OWN]
SHORT = {"processes": ("mclapply", "mcparallel", "system", "rscript"), "connections": ("pipe", "fifo", "sockets_select")}


def main():
    if not os.access(RSCRIPT, os.X_OK):
        raise driver.Cannot(f"{RSCRIPT} is missing (r-base-core)")
    if sys.argv[1:2] == ["--list"]:
        if "--short" in sys.argv:
            print("".join(f"own-{name}-short\t120\n" for name in SHORT), end="")
        else:
            print("tests\t3600\n" + "".join(f"examples-{p}\t1200\n" for p in PACKAGES) + "".join(f"{g}\t900\n" for g in OWN_GROUPS), end="")
        return 0
    directory = sys.argv[1]
    wanted = driver.by_group(sys.argv[2:])
    source = upstream() if "tests" in wanted else None  # while there is a network
    driver.begin()
    for group, subs in wanted.items():
        if group == "tests":
            run_tests(source, subs, directory)
        elif group.startswith("examples-"):
            run_examples(group, subs, directory)
        else:
            run_own(group, subs, directory)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except driver.Cannot as e:
        print(e)
        sys.exit(77)
