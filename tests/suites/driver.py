"""What the drivers in Python share: verdicts, a network of their own, Debian's source packages."""

import ctypes
import fcntl
import hashlib
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tarfile
import threading

CLONE_NEWNET = 0x40000000
SIOCSIFFLAGS = 0x8914
UP_RUNNING = 0x1 | 0x40  # IFF_UP, IFF_RUNNING


class Cannot(Exception):
    """The suite cannot run here; the text says why."""


class Verdicts:
    """DIR/verdicts of one group; last has the verdict of each test so far."""

    def __init__(self, directory, group):
        self.path, self.group, self.last = os.path.join(directory, "verdicts"), group, {}

    def add(self, test, verdict, detail=""):
        self.last[test] = verdict
        detail = " ".join(detail.split())[:160]
        with open(self.path, "a", encoding="utf-8") as f:
            f.write(f"{self.group}:{test}\t{verdict}\t{detail}\n")


def by_group(tests):
    """{group: [subtest, ...]} of the words of a call; an empty list: all of the group."""
    wanted = {}
    for test in tests:
        group, _, sub = test.partition(":")
        wanted.setdefault(group, []).append(sub)
    return {group: subs if all(subs) else [] for group, subs in wanted.items()}


def under():
    return os.environ["UNDER"].split()


def environment(directory):
    return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": directory, "TMPDIR": directory + "/tmp", "LANG": "C.UTF-8"}


def run_marked(command, directory, env, verdicts, judge=lambda test, verdict: verdict, quiet=240):
    """Runs a program that prints `@@ TEST hang` before each test and `@@ TEST VERDICT [DETAIL]` after it; judge() may make another verdict of
    that one. After `quiet` seconds without a line the program is asked by SIGQUIT to say where it is (a JVM does) and killed. Returns (status,
    the test of the last mark)."""
    current = ""
    with subprocess.Popen(
        command, cwd=directory, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    ) as p:

        def end():
            p.send_signal(signal.SIGQUIT)
            try:
                p.wait(10)
            except subprocess.TimeoutExpired:
                pass
            try:
                os.killpg(p.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass

        timer = threading.Timer(quiet, end)
        timer.start()
        for raw in p.stdout:
            timer.cancel()
            timer = threading.Timer(quiet, end)
            timer.start()
            line = raw.decode(errors="replace").rstrip("\n")
            print(line, flush=True)
            found = re.search(r"@@ ([\w.+-]+) (\w+) ?(.*)$", line)
            if found:
                current, verdict, detail = found.groups()
                verdicts.add(current, verdict if verdict == "hang" else judge(current, verdict), detail)
        timer.cancel()
    return p.returncode, current


def begin():
    """What a driver does before its first test: what is ignored here would be ignored in every program that is tested; and nothing of a test
    is to reach a network."""
    for number in (signal.SIGQUIT, signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    isolate()


def isolate():
    """A network with a loopback device only, for this process and what it starts. Without the right to have one, the host's stays."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET) != 0:
        print(f"no network namespace: {os.strerror(ctypes.get_errno())}", flush=True)
        return
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        fcntl.ioctl(s, SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", UP_RUNNING))


def unpack(archive, directory, keep):
    """Regular files of the archive whose path below its first component keep() accepts."""
    with tarfile.open(archive) as tar:
        for member in tar:
            path = member.name.split("/", 1)[-1]
            if not keep(path) or not (member.isfile() or member.isdir()) or ".." in path.split("/"):
                continue
            member.name = path
            tar.extract(member, directory)


def debian_source(package, archive, digest, keep):
    """What keep() accepts of a Debian source package's archive, unpacked in the cache: its directory. Fetched once, through the mirror that
    apt is configured with; twice the same bytes or none."""
    cache = os.environ["SUITE_CACHE"]
    name = package.split("=")[0]
    place = f"{cache}/{name}-source"
    os.makedirs(cache, exist_ok=True)
    with open(f"{cache}/{name}-source.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.path.exists(place + "/ready"):
            return place
        shutil.rmtree(place, ignore_errors=True)
        os.makedirs(place + "/lists/partial")
        path = f"{cache}/{archive}"
        if not os.path.exists(path):
            fetch(package, archive, place, path)
        with open(path, "rb") as f:
            found = hashlib.sha256(f.read()).hexdigest()
        if found != digest:
            raise Cannot(f"{archive} has the digest {found}, wanted {digest}")
        unpack(path, place, keep)
        open(place + "/ready", "w", encoding="ascii").close()
    return place


def fetch(package, archive, place, path):
    sites = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(SITE)", "Component: main", "Created-By: Packages"],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    ).stdout.split()
    site = next((s for s in sites if s.rstrip("/").endswith("/debian")), "http://deb.debian.org/debian")
    with open(place + "/sources.list", "w", encoding="ascii") as f:
        f.write(f"deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] {site} bookworm main\n")
    options = ["-q", "-o", f"Dir::Etc::sourcelist={place}/sources.list", "-o", "Dir::Etc::sourceparts=-"]
    options += ["-o", f"Dir::State::lists={place}/lists", "-o", "APT::Sandbox::User=root"]
    for command in (["update"], ["--download-only", "--only-source", "source", package]):
        done = subprocess.run(["apt-get", *options, *command], cwd=place, stdin=subprocess.DEVNULL, stdout=sys.stderr, check=False)
        if done.returncode != 0:
            raise Cannot(f"apt-get {' '.join(command)}: status {done.returncode}")
    os.replace(f"{place}/{archive}", path)
