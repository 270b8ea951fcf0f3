"""What a CAS does in a second, one on SQLite and three on etcd, against plain mutual TLS 1.3 handshakes of OpenSSL on the same core in the same run.

One CAS: server (CAS, or cas_load serve) on processor 0 alone, load on the others. The ratio that has a bound is of attested start-ups (handshake, nonce,
evidence, configuration) per second of the server's processor time to handshakes per second of it: where the load's processor is the slower side, operations a
second of clock would compare loads. Three CAS share all processors with their etcd and the load.

bench/cas.py BIN TOOL OUT [SECONDS] [SESSIONS]
"""

import json
import os
import subprocess
import sys
import tempfile
import shutil

sys.dont_write_bytecode = True
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(ROOT, "tests/lib"), os.path.join(ROOT, "tests/e2e"), os.path.join(ROOT, "bench")]
import report  # noqa: E402

BIN, TOOL, OUT = sys.argv[1:4]
SECONDS = float(sys.argv[4]) if len(sys.argv) > 4 else 10
SESSIONS = int(sys.argv[5]) if len(sys.argv) > 5 else 10000
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


def one(base):
    cas = Cas(base)
    rows = []
    try:
        cas.start("--max-connections", "2000", "--max-peer-connections", "0", "--max-peer-requests", "0")
        address, key = "%s:%d" % cas.address, cas.call("GET", "/v1/cas").json()["key"]
        rows.append(load(base, "create", address, key, pinned=False, pids=[cas.process.pid]))
        pin(cas.process.pid, {PROCESSORS[0]})
        for what in ("handshakes", "attest", "reads", "updates"):
            rows.append(load(base, what, address, key, pids=[cas.process.pid]))
        cas.stop()
    finally:
        cas.end()
    return rows


def three(base):
    rows = []
    with Etcd(base) as etcd:
        cluster = None
        try:
            cluster = Cluster(base, etcd)
            pids = [c.process.pid for c in cluster.cas]
            address = ",".join("%s:%d" % c.address for c in cluster.cas)
            rows.append(load(base, "create", address, cluster.key, pinned=False, pids=pids))
            for what in ("attest", "reads", "updates"):
                rows.append(load(base, what, address, cluster.key, pinned=False, pids=pids))
        finally:
            if cluster:
                cluster.end()
    return rows


def main():
    machine = report.machine()
    base = tempfile.mkdtemp(prefix="scone-bench.")
    result = {"machine": machine, "sessions": SESSIONS, "secrets": 10 * SESSIONS, "bound": BOUND}
    print(report.head(machine))
    print(f"{'':22} {'':12} {'a second':>10} {'a CPU s':>10} {'p50 ms':>9} {'p99 ms':>9} {'failed':>7}")
    try:
        # Before and after, so that a machine that changes under the run is seen.
        result["openssl"] = [plain(base)]
        show("OpenSSL", result["openssl"][0])
        result["sqlite"] = one(base)
        for row in result["sqlite"]:
            show("one CAS, SQLite", row)
        result["openssl"].append(plain(base))
        show("OpenSSL", result["openssl"][1])
        if ETCD:
            result["etcd"] = three(base)
            for row in result["etcd"]:
                show("three CAS, etcd", row)
    finally:
        shutil.rmtree(base, ignore_errors=True)
    handshakes = sum(r["per_cpu_second"] for r in result["openssl"]) / 2
    attested = next(r for r in result["sqlite"] if r["what"] == "attest")
    result["ratio"] = attested["per_cpu_second"] / handshakes
    result["ratio_of_clock"] = attested["per_second"] / (sum(r["per_second"] for r in result["openssl"]) / 2)
    print(f"attested start-ups / TLS handshakes: {result['ratio']:.2f} by processor time, {result['ratio_of_clock']:.2f} by the clock (bound {BOUND}): "
          + ("met" if result["ratio"] >= BOUND else "missed"))
    os.makedirs(OUT, exist_ok=True)
    report.write_json(os.path.join(OUT, "cas.json"), result)
    rows = [(r["what"], {"one CAS, SQLite": handshakes / r["per_cpu_second"]}) for r in result["sqlite"] if r["per_cpu_second"]]
    if report.picture(os.path.join(OUT, "cas.png"), "Processor time of CAS per operation, in TLS handshakes", rows):
        print(f"{OUT}/cas.json, cas.png")


main()
