"""What a CAS does in a second, one on SQLite and three on etcd, against plain mutual TLS 1.3 handshakes of OpenSSL on the same core in the same run.

One CAS: server (CAS, or cas_load serve) on processor 0 alone, load on the others. The ratio that has a bound is of attested start-ups (handshake, nonce,
evidence, configuration) per second of the server's processor time to handshakes per second of it: where the load's processor is the slower side, operations a
second of clock would compare loads. Three CAS share all processors with their etcd and the load.

bench/cas.py BIN TOOL OUT [LINE…]     LINE: a pattern of sqlite-handshakes, -attest, -slow, -reads, -updates, -volumes, etcd-attest, -reads, -updates, -volumes
BENCH_SECONDS (8) for each line, BENCH_SESSIONS (10000) with ten secrets each are loaded before, on each side that has a line.
"""

import fnmatch
import json
import os
import resource
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(ROOT, "tests/lib"), os.path.join(ROOT, "tests/e2e"), os.path.join(ROOT, "bench")]
import report  # noqa: E402

BIN, TOOL, OUT = sys.argv[1:4]
WANTED = sys.argv[4:] or ["*"]
SECONDS = float(os.environ.get("BENCH_SECONDS", "8"))
SESSIONS = int(os.environ.get("BENCH_SESSIONS", "10000"))
SLOW = 1000  # connections that send a byte now and then
os.environ["SCONE_BIN"] = BIN
from cas_cluster import Cluster  # noqa: E402
from cas_harness import Cas  # noqa: E402
from etcd_harness import ETCD, Etcd  # noqa: E402

BOUND = 0.5
PROCESSORS = sorted(os.sched_getaffinity(0))
OTHERS = ",".join(map(str, PROCESSORS[1:] or PROCESSORS))
TICK = os.sysconf("SC_CLK_TCK")


def cpu(pid):
    fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def pin(pid, processors):
    for task in os.listdir(f"/proc/{pid}/task"):
        os.sched_setaffinity(int(task), processors)


def load(base, what, address, key, threads=16, seconds=SECONDS, pinned=True, pids=()):
    """Operations per second, latencies, and operations per second of the servers' processor time."""
    command = ["taskset", "-c", OTHERS] if pinned else []
    before = [cpu(p) for p in pids]
    done = subprocess.run([*command, TOOL, what, address, key, str(seconds), str(threads), os.path.join(base, "tee"), str(SESSIONS)], capture_output=True,
                          text=True, check=True)
    r = json.loads(done.stdout)
    used = sum(cpu(p) for p in pids) - sum(before)
    if r["failed"]:
        print(f"# {what}: {done.stderr.strip()}", file=sys.stderr)
    return {"what": what, "per_second": r["operations"] / r["seconds"], "per_cpu_second": r["operations"] / used if used else None,
            "p50_ms": r["p50"], "p99_ms": r["p99"], "failed": r["failed"], "operations": r["operations"]}


def show(side, row):
    per_cpu = f"{row['per_cpu_second']:10.0f}" if row["per_cpu_second"] else " " * 10
    print(f"{side:22} {row['what']:12} {row['per_second']:10.0f} {per_cpu} {row['p50_ms']:9.2f} {row['p99_ms']:9.2f} {row['failed']:7}", flush=True)


def plain(base):
    p = subprocess.Popen([TOOL, "serve"], stdout=subprocess.PIPE, text=True)
    try:
        address, key = p.stdout.readline().split()
        pin(p.pid, {PROCESSORS[0]})
        return load(base, "handshakes", address, key, pids=[p.pid])
    finally:
        p.kill()
        p.wait()


class SlowClients:
    """SLOW connections to one address that send a byte every few seconds, in the handshake and in a request; whoever is closed comes again."""

    def __init__(self, address):
        self.address = address
        self.stop = threading.Event()
        self.open, self.lost = [], 0
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.context.check_hostname, self.context.verify_mode = False, ssl.CERT_NONE
        self.thread = threading.Thread(target=self.run)

    def connect(self, i):
        s = socket.create_connection(self.address, 60)
        if i % 10 == 0:
            s = self.context.wrap_socket(s)
            s.sendall(b"GET /hea")
        else:
            s.sendall(b"\x16\x03\x01\x02\x00")  # a record of 512 bytes begins
        return s

    def run(self):
        while not self.stop.wait(0.01):
            i = int(time.monotonic() * 100) % SLOW  # each once in ten seconds
            for k in range(i, i + 3):
                try:
                    self.open[k % SLOW].sendall(b"n")
                except OSError:
                    self.lost += 1
                    self.open[k % SLOW].close()
                    self.open[k % SLOW] = self.connect(k)

    def __enter__(self):
        self.open = [self.connect(i) for i in range(SLOW)]
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()
        for s in self.open:
            s.close()


def chosen(side, lines):
    return [line for line in lines if any(fnmatch.fnmatchcase(f"{side}-{line}", p) for p in WANTED)]


def one(base, lines):
    cas = Cas(base)
    try:
        cas.start("--max-connections", "2000", "--max-peer-connections", "0", "--max-peer-requests", "0", "--timeout", "60")
        address, key = "%s:%d" % cas.address, cas.call("GET", "/v1/cas").json()["key"]
        yield load(base, "create", address, key, pinned=False, pids=[cas.process.pid])
        pin(cas.process.pid, {PROCESSORS[0]})
        for what in lines:
            if what == "slow":
                with SlowClients(cas.address) as slow:
                    yield dict(load(base, "attest", address, key, pids=[cas.process.pid]), what="slow", slow_clients=SLOW, slow_lost=slow.lost)
            else:
                yield load(base, what, address, key, pids=[cas.process.pid])
        cas.stop()
    finally:
        cas.end()


def three(base, lines):
    with Etcd(base) as etcd:
        cluster = None
        try:
            cluster = Cluster(base, etcd, options=["--max-peer-connections", "0", "--max-peer-requests", "0"])
            pids = [c.process.pid for c in cluster.cas]
            address = ",".join("%s:%d" % c.address for c in cluster.cas)
            for what in ["create", *lines]:
                yield load(base, what, address, cluster.key, threads=32, pinned=False, pids=pids)
        finally:
            if cluster:
                cluster.end()


def run(result, side, title, rows):
    result[side] = []
    for row in rows:
        result[side].append(row)
        show(title, row)


def main():
    machine = report.machine()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    base = tempfile.mkdtemp(prefix="scone-bench.")
    result = {"machine": machine, "sessions": SESSIONS, "secrets": 10 * SESSIONS, "bound": BOUND}
    sqlite = chosen("sqlite", ("handshakes", "attest", "slow", "reads", "updates", "volumes"))
    etcd = chosen("etcd", ("attest", "reads", "updates", "volumes"))
    if not sqlite and not etcd:
        sys.exit(f"bench/cas.py: no line is called {' '.join(WANTED)}")
    print(report.head(machine))
    print(f"{'':22} {'':12} {'a second':>10} {'a CPU s':>10} {'p50 ms':>9} {'p99 ms':>9} {'failed':>7}")
    try:
        if sqlite:
            # Before and after, so that a machine that changes under the run is seen.
            result["openssl"] = [plain(base)]
            show("OpenSSL", result["openssl"][0])
            run(result, "sqlite", "one CAS, SQLite", one(base, sqlite))
            result["openssl"].append(plain(base))
            show("OpenSSL", result["openssl"][1])
        if etcd and ETCD:
            run(result, "etcd", "three CAS, etcd", three(base, etcd))
    finally:
        shutil.rmtree(base, ignore_errors=True)
    finish(result)


def finish(result):
    os.makedirs(OUT, exist_ok=True)
    attested = next((r for r in result.get("sqlite", []) if r["what"] == "attest"), None)
    if attested:
        handshakes = sum(r["per_cpu_second"] for r in result["openssl"]) / 2
        result["ratio"] = attested["per_cpu_second"] / handshakes
        result["ratio_of_clock"] = attested["per_second"] / (sum(r["per_second"] for r in result["openssl"]) / 2)
        print(f"attested start-ups / TLS handshakes: {result['ratio']:.2f} by processor time, {result['ratio_of_clock']:.2f} by the clock (bound {BOUND}): "
              + ("met" if result["ratio"] >= BOUND else "missed"))
        rows = [(r["what"], {"one CAS, SQLite": handshakes / r["per_cpu_second"]}) for r in result["sqlite"] if r["per_cpu_second"]]
        if report.picture(os.path.join(OUT, "cas.png"), "Processor time of CAS per operation, in TLS handshakes", rows):
            print(f"{OUT}/cas.png")
    report.write_json(os.path.join(OUT, "cas.json"), result)
    print(f"{OUT}/cas.json")


main()
