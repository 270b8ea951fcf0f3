#!/usr/bin/env python3
"""A set for the JVM (JDK 17): tests/suites/jvm/*.java, one group per class and way of starting it, one verdict per method.

A JVM that dies takes one test with it: another goes on with the rest."""

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
HEAP = ["-Xmx192m", "-XX:MaxDirectMemorySize=64m"]
MECHANISM = "-Djdk.lang.Process.launchMechanism="
EPSILON = ["-XX:+UnlockExperimentalVMOptions", "-XX:+UseEpsilonGC", "-Xmx4g"]
# group: class, options, tests (all), seconds
GROUPS = {
    "gc-serial": ("Gc", ["-XX:+UseSerialGC"], [], 300),
    "gc-parallel": ("Gc", ["-XX:+UseParallelGC"], [], 300),
    "gc-g1": ("Gc", ["-XX:+UseG1GC"], [], 300),
    "gc-shenandoah": ("Gc", ["-XX:+UseShenandoahGC"], [], 300),
    "gc-z": ("Gc", ["-XX:+UseZGC"], [], 300),
    "gc-epsilon": ("Gc", EPSILON, ["trees", "humongous", "safepoints", "strings"], 300),
    "gc-interpreted": ("Gc", ["-XX:+UseG1GC", "-Xint"], ["mapChurn", "references", "cleaners", "safepoints", "classes"], 600),
    "gc-stress": ("Gc", ["-XX:+UseG1GC", "-XX:+UnlockDiagnosticVMOptions", "-XX:+VerifyAfterGC", "-XX:ParallelGCThreads=4"], ["trees", "mapChurn"], 900),
    "faults": ("Faults", [], [], 300),
    "faults-interpreted": ("Faults", ["-Xint"], [], 600),
    "faults-c1": ("Faults", ["-XX:TieredStopAtLevel=1"], [], 300),
    "faults-c2": ("Faults", ["-XX:-TieredCompilation"], [], 300),
    "threads": ("Threads", [], [], 600),
    "threads-z": ("Threads", ["-XX:+UseZGC"], [], 600),
    "signals": ("Signals", [], [], 600),
    "process-posix_spawn": ("Processes", [MECHANISM + "POSIX_SPAWN"], [], 300),
    "process-vfork": ("Processes", [MECHANISM + "VFORK"], [], 300),
    "process-fork": ("Processes", [MECHANISM + "FORK"], [], 300),
    "nio": ("Nio", [], [], 300),
    "limits": ("Limits", [], [], 900),
    "attach": ("Attach", ["--add-modules", "jdk.attach"], [], 600),
    "tools": ("Tools", [], [], 900),
}
SHORT = {
    "gc-short": ("Gc", ["-XX:+UseG1GC"], ["references", "directMemory"], 120),
    "faults-short": ("Faults", [], ["nullReads", "stackOverflow", "truncatedMapping"], 120),
    "process-short": ("Processes", [MECHANISM + "VFORK"], ["notFound", "onExit", "pipeline", "inheritsNothing"], 120),
    "nio-short": ("Nio", [], ["closing", "selector", "mappings", "transfers"], 120),
}
ALL = GROUPS | SHORT


def find_java():
    """A JDK 17 from Debian; else any of that version in the PATH."""
    for java in [*sorted(glob.glob("/usr/lib/jvm/java-17-openjdk-*/bin/java")), shutil.which("java") or ""]:
        java = os.path.realpath(java) if java else ""
        home = os.path.dirname(os.path.dirname(java))
        if os.access(java, os.X_OK) and os.access(home + "/bin/javac", os.X_OK):
            with open(home + "/release", encoding="utf-8") as f:
                if 'JAVA_VERSION="17' in f.read():
                    return home
    return None


def build(home):
    """Directory of the compiled classes, in the cache."""
    sources = sorted(glob.glob(HERE + "/jvm/*.java"))
    digest = hashlib.sha256()
    for path in sources:
        with open(path, "rb") as f:
            digest.update(f.read())
    cache = os.environ["SUITE_CACHE"]
    place = f"{cache}/jvm-{digest.hexdigest()[:16]}"
    os.makedirs(cache, exist_ok=True)
    with open(f"{cache}/jvm.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(place):
            subprocess.run([home + "/bin/javac", "-g", "-nowarn", "-XDignore.symbol.file", "-d", place + ".new", *sources], check=True)
            os.rename(place + ".new", place)
    return place


def run_group(home, group, subs, directory):
    name, options, tests, _ = ALL[group]
    classes = build(home)
    verdicts = driver.Verdicts(directory, group)
    if not subs or "end" in subs:
        subs = tests or re.findall(r"^\tpublic static void (\w+)\(\)", open(f"{HERE}/jvm/{name}.java", encoding="utf-8").read(), re.M)
    left = sorted(subs)
    while left:
        heap = [] if "-Xmx4g" in options else HEAP[:1]
        command = [*driver.under(), home + "/bin/java", *heap, HEAP[1], f"-Djava.io.tmpdir={directory}/tmp", *options]
        command += ["-cp", classes, "Suite", name, *left]
        status, current = driver.run_marked(command, directory, driver.environment(directory), verdicts)
        before, left = left, [t for t in left if t not in verdicts.last]
        if verdicts.last.get(current) == "hang":
            if status not in (-9, 137):
                verdicts.add(current, "crash", f"the JVM ended with status {status}")
        elif left == before or left:
            verdicts.add("end", "crash", f"the JVM ended with status {status} after {current or 'nothing'}")
            return


def main():
    home = find_java()
    if not home:
        raise driver.Cannot("no JDK 17 (openjdk-17-jdk-headless)")
    if sys.argv[1:2] == ["--list"]:
        for name, group in (SHORT if "--short" in sys.argv else GROUPS).items():
            print(f"{name}\t{group[3]}")
        return 0
    driver.begin()
    for group, subs in driver.by_group(sys.argv[2:]).items():
        run_group(home, group, subs, sys.argv[1])
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except driver.Cannot as e:
        print(e)
        sys.exit(77)
