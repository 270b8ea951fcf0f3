"""What is measured, one Line each. A line's `start` gives a function from the name of a side to a number; servers that it needs run until it is left."""

import contextlib
import os
import shutil
import tempfile
from dataclasses import dataclass
from typing import Callable

from attested import Attested
from process import Failed, Server, duration, free_port, number, output
from sides import NATIVE

BENCH = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(BENCH)
# What the compiler is measured with: a part of the project, through ninja, all processes of it.
COMPILED = "libopenscone-policy.a"


@dataclass
class Bound:
    """kind: "ratio" (to native) or "more" (than native, in the line's unit)."""

    kind: str
    most: bool
    limit: float

    def text(self):
        return f"{'+' if self.kind == 'more' else ''}{'<=' if self.most else '>='} {self.limit:g}"

    def kept(self, ratio, more):
        value = ratio if self.kind == "ratio" else more
        return value <= self.limit if self.most else value >= self.limit


@dataclass
class Line:
    name: str
    text: str
    unit: str
    start: Callable  # of a Setting; a context manager
    bound: Bound = None
    share: float = 1  # of the rounds
    peer: str = ""  # why gVisor is not asked


@dataclass
class Setting:
    """Where the helper programs are, the sides, a directory for files."""

    helpers: str
    scone: str
    sides: object
    directory: str

    def helper(self, name):
        return os.path.join(self.helpers, name)

    def command(self, side, cmd):
        return self.sides.command(side, cmd)


def printed(make):
    """Lines of programs that print their own figure: make gives the command."""
    @contextlib.contextmanager
    def start(s):
        yield lambda side: number(s.command(side, make(s)))
    return start


def timed(make):
    """Lines of whole processes: milliseconds from start to end."""
    @contextlib.contextmanager
    def start(s):
        yield lambda side: duration(s.command(side, make(s)))
    return start


def served(server, load, port=True):
    """Lines of servers: one on each side, asked in turn by a native load. server(s, side, port) gives the command, load(s, port) the figure."""
    @contextlib.contextmanager
    def start(s):
        running = {}

        def measure(side):
            if side not in running:
                number_of = free_port() if port else None
                running[side] = Server(s.command(side, server(s, side, number_of)), number_of, os.path.join(s.directory, f"{side}.log"))
            return load(s, running[side].port)
        try:
            yield measure
        finally:
            for one in running.values():
                one.stop()
    return start


# --- starts ------------------------------------------------------------------------------------------------------------------------------------------


def attested(name, cmd):
    @contextlib.contextmanager
    def start(s):
        words = [os.path.realpath(shutil.which(cmd[0]) or cmd[0])] + cmd[1:]
        directory = tempfile.mkdtemp(dir=s.directory)
        with Attested(s.scone, directory, {name: words}) as services:
            def measure(side):
                return duration(words) if side == NATIVE else duration(services.command(name), env=services.env)
            yield measure
    return start


def java(*words):
    return lambda s: ["java", "-Xshare:auto", "-cp", s.helpers, "Work", *words]


def python(*words):
    return lambda s: ["/usr/bin/python3", *words]


# --- servers -----------------------------------------------------------------------------------------------------------------------------------------


def redis_server(s, side, port):
    return ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no", "--dir", s.directory]


def redis_load(what, pipeline, requests):
    def load(s, port):
        out = output(["redis-benchmark", "-h", "127.0.0.1", "-p", str(port), "-t", what, "-n", str(requests), "-c", "50", "-P", str(pipeline),
                      "-r", "100000", "--csv"])
        for line in out.splitlines():
            fields = [field.strip('"') for field in line.split('","')]
            if fields[0].upper() == what.upper():
                return float(fields[1])
        raise Failed(f"redis-benchmark printed no line of {what}")
    return load


def nginx_server(s, side, port):
    directory = os.path.join(s.directory, f"nginx-{side}")
    os.makedirs(directory, exist_ok=True)
    for name, size in (("small", 1024), ("large", 65536)):
        with open(os.path.join(directory, name), "wb") as f:
            f.write(b"x" * size)
    paths = " ".join(f"{kind}_temp_path {directory}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    with open(os.path.join(directory, "nginx.conf"), "w", encoding="utf-8") as f:
        f.write(f"""daemon off; worker_processes 1; pid {directory}/pid; error_log stderr warn; {'user root;' if os.getuid() == 0 else ''}
events {{ worker_connections 256; }}
http {{ access_log off; sendfile on; keepalive_requests 1000000; {paths}
server {{ listen 127.0.0.1:{port}; root {directory}; }} }}
""")
    return ["nginx", "-p", directory, "-c", os.path.join(directory, "nginx.conf")]


def wrk_load(path, *options):
    def load(s, port):
        out = output(["wrk", "-t1", "-c32", "-d1s", *options, f"http://127.0.0.1:{port}/{path}"])
        fields = dict(line.strip().split(":", 1) for line in out.splitlines() if ":" in line)
        if "Non-2xx or 3xx responses" in fields or "Socket errors" in fields and "read 0, write 0, timeout 0" not in fields["Socket errors"]:
            raise Failed(f"wrk: {out[-200:]}")
        return float(fields["Requests/sec"])
    return load


def go_load(s, port):
    return number([s.helper("http"), "load", str(port), "32", "1"])


# --- compiler ----------------------------------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def compiled(s):
    """A copy of the project, since others may be changing it, is set up once; every time starts without objects. gVisor's writes stay in its
    memory."""
    directory, source = (os.path.join(s.directory, name) for name in ("compile", "source"))
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns("build", "build-*", ".*", "__pycache__"), dirs_exist_ok=True)
    output(["env", "CC=gcc", "meson", "setup", directory, source])  # a compiler that is named is not put behind ccache

    def measure(side):
        output(["ninja", "-C", directory, "-t", "clean"])
        return duration(s.command(side, ["ninja", "-C", directory, "-j2", COMPILED]))
    yield measure


# --- all -----------------------------------------------------------------------------------------------------------------------------------------------

MOST, LEAST = True, False
CALL, CPU, THROUGHPUT = Bound("ratio", MOST, 1.2), Bound("ratio", MOST, 1.01), Bound("ratio", LEAST, 0.95)


def calls(what):
    return printed(lambda s: [s.helper("calls"), what, "10"])


def spawn(how, n):
    return printed(lambda s: [s.helper("spawn"), how, str(n), "/bin/true"])


LINES = [
    Line("getppid", "getppid, site rewritten", "ns", calls("getppid"), CALL),
    Line("pread", "pread of 4 KiB, site rewritten", "ns", calls("pread"), CALL),
    Line("getppid-trap", "getppid, site trapped", "ns", calls("getppid-memory")),
    Line("pread-trap", "pread of 4 KiB, site trapped", "ns", calls("pread-memory")),
    Line("cpu-integers", "C: integers, small table", "ns", calls("integers"), CPU),
    Line("cpu-matrix", "C: products of matrices", "ns", calls("matrix"), CPU),
    Line("cpu-memory", "C: reads all over 64 MiB", "ns", calls("memory"), CPU),
    Line("fork-exec", "fork, exec and end of true", "ms", spawn("fork", 40), Bound("more", MOST, 3)),
    Line("posix-spawn", "posix_spawn and end of true", "ms", spawn("posix_spawn", 40), Bound("more", MOST, 3)),
    Line("start-true", "start and end of true", "ms", timed(lambda s: ["/bin/true"])),
    Line("start-python", "start and end of python3 -c pass", "ms", timed(python("-c", "pass"))),
    Line("start-java", "start and end of an empty main in the JVM", "ms", timed(java("start"))),
    Line("attested-true", "attested start and end of true", "ms", attested("true", ["/bin/true"]), Bound("more", MOST, 25),
         peer="does not attest"),
    Line("attested-python", "attested start and end of python3 -c pass", "ms", attested("python", ["/usr/bin/python3", "-c", "pass"]),
         Bound("more", MOST, 25), peer="does not attest"),
    Line("java-objects", "JVM: maps, short-lived objects", "ms", printed(java("objects", "9"))),
    Line("java-arrays", "JVM: arithmetic on arrays", "ms", printed(java("arrays", "9"))),
    Line("java-handover", "JVM: threads hand over to each other", "ms", printed(java("handover", "9"))),
    Line("java-files", "JVM: 4 KiB reads and writes of a file", "ms", printed(java("files", "9"))),
    *(Line(f"python-{loop}", f"Python: {loop}", "ms", printed(python(os.path.join(BENCH, "work", "loops.py"), loop, "5")))
      for loop in ("nbody", "json", "pickle", "regex", "scheduler", "containers")),
    Line("go-http", "Go net/http, 32 connections", "1/s", served(lambda s, side, port: [s.helper("http"), "serve"], go_load, port=False)),
    Line("redis-get", "redis GET, 50 connections", "1/s", served(redis_server, redis_load("get", 1, 60000)), THROUGHPUT),
    Line("redis-set", "redis SET, 50 connections", "1/s", served(redis_server, redis_load("set", 1, 60000)), THROUGHPUT),
    Line("redis-get-p16", "redis GET, 16 pipelined", "1/s", served(redis_server, redis_load("get", 16, 500000)), THROUGHPUT),
    Line("redis-set-p16", "redis SET, 16 pipelined", "1/s", served(redis_server, redis_load("set", 16, 500000)), THROUGHPUT),
    Line("nginx", "nginx, 1 KiB, kept connections", "1/s", served(nginx_server, wrk_load("small")), THROUGHPUT),
    Line("nginx-64k", "nginx, 64 KiB, kept connections", "1/s", served(nginx_server, wrk_load("large")), THROUGHPUT),
    Line("nginx-close", "nginx, 1 KiB, a connection each", "1/s", served(nginx_server, wrk_load("small", "-H", "Connection: close")), THROUGHPUT),
    Line("compile", f"ninja -j2 {COMPILED} (gcc)", "ms", compiled, Bound("ratio", MOST, 1.15), share=0.6),
]
