"""Processes of the benchmarks: each in a session of its own, so that it and what it starts can be ended by its number; none outlives the run."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time

LIMIT = 120  # seconds for one measurement


class Failed(Exception):
    """A side cannot do this work; the text says why, in one line."""


_running = set()  # the first process of each session that is not known to have ended


def last_words(text):
    """The line of a program's messages that tells most: the first that speaks of an error, or else the last."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return next((line for line in lines if "error" in line.lower() or "fatal" in line.lower()), lines[-1] if lines else "no message")[-200:]


def watch(pid):
    """The first process of a session is to be ended by end_all at the latest."""
    _running.add(pid)


def end(pid):
    """Ends a session. The number stays its own as long as a process is in it, the first or another."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    _running.discard(pid)


def end_all():
    for pid in list(_running):
        end(pid)


def _exit(number, _):
    signal.signal(number, signal.SIG_IGN)
    sys.exit(128 + number)


def exit_on_signals():
    """SIGTERM, SIGINT and SIGHUP become SystemExit, so that what is on the stack is cleaned up."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _exit)


def processor_seconds(session):
    """Processor seconds that the processes of a session have used so far, with those of the children they have waited for."""
    used = 0
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{name}/stat", encoding="ascii", errors="replace") as f:
            fields = f.read().rpartition(")")[2].split()
            if int(fields[3]) == session:
                used += sum(map(int, fields[11:15]))
    return used / os.sysconf("SC_CLK_TCK")


def _wait(p, seconds):
    """As p.communicate, but whatever happens the session is gone afterwards."""
    try:
        out, err = p.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        end(p.pid)
        p.communicate()
        raise Failed(f"not done within {seconds} s") from None
    finally:
        end(p.pid)
    return out, err


def output(cmd, seconds=LIMIT, **options):
    """What a command prints; Failed with its own words when it fails."""
    p = subprocess.Popen(cmd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
                         **options)
    watch(p.pid)
    out, err = _wait(p, seconds)
    if p.returncode != 0:
        raise Failed(f"exit status {p.returncode}: {last_words(err or out)}")
    return out


def number(cmd, **options):
    out = output(cmd, **options)
    try:
        return float(out.split()[-1])
    except (IndexError, ValueError):
        raise Failed(f"printed {out[-100:]!r}, not a number") from None


def duration(cmd, env=None):
    """Milliseconds from the start of a process to its end. Only the start and the end are in it: no pipes, no other copy of this process."""
    null = os.open(os.devnull, os.O_RDWR)
    read, write = os.pipe()
    actions = [(os.POSIX_SPAWN_DUP2, null, 0), (os.POSIX_SPAWN_DUP2, null, 1), (os.POSIX_SPAWN_DUP2, write, 2)]
    timer = None
    try:
        began = time.perf_counter()
        pid = os.posix_spawn(cmd[0], cmd, env or os.environ, file_actions=actions, setsid=True)
        watch(pid)
        timer = threading.Timer(LIMIT, end, (pid,))
        timer.start()
        status = os.waitpid(pid, 0)[1]
        took = (time.perf_counter() - began) * 1000
        end(pid)
        os.close(write)
        write = -1
        if status:
            os.set_blocking(read, False)
            words = last_words((os.read(read, 1 << 16) or b"").decode(errors="replace"))
            raise Failed(f"exit status {os.waitstatus_to_exitcode(status)}: {words}")
        return took
    finally:
        if timer:
            timer.cancel()
        for fd in (null, read, write):
            if fd >= 0:
                os.close(fd)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    """A server in the background, its messages in a file. port None: it prints the port that it listens on as its first line."""

    def __init__(self, cmd, port, log, seconds=30):
        self.log = log
        with open(log, "wb") as f:
            self.process = subprocess.Popen(cmd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE if port is None else f, stderr=f,
                                            start_new_session=True)
        watch(self.process.pid)
        self.port = port
        try:
            if port is None:
                self._read_port(seconds)
            self._wait_listening(time.monotonic() + seconds)
        except BaseException:
            self.stop()
            raise

    def _read_port(self, seconds):
        timer = threading.Timer(seconds, self.process.kill)
        timer.start()
        line = self.process.stdout.readline()
        timer.cancel()
        if not line.strip().isdigit():
            raise Failed(self.words())
        self.port = int(line)

    def _wait_listening(self, deadline):
        while True:
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            if self.process.poll() is not None:
                raise Failed(self.words())
            if time.monotonic() > deadline:
                raise Failed(f"does not listen on port {self.port} in time: {self.words()}")
            time.sleep(0.05)

    def words(self):
        self.process.poll()
        with open(self.log, encoding="utf-8", errors="replace") as f:
            return f"ended with {self.process.returncode}: {last_words(f.read())}"

    def stop(self):
        """SIGTERM, five seconds, SIGKILL for the whole session."""
        if self.process.poll() is None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(5)
        end(self.process.pid)
        self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()
