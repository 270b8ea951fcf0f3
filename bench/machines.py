#!/usr/bin/env python3
"""machines.py [ROUNDS]: what a start costs that attests, by what vouches for the machine: sim, a TPM (swtpm), SEV-SNP and TDX (a stand-in for the kernel). LAS has
the machine's evidence at hand, as it has for all starts but the first; what the hardware itself takes for a quote stands beside it.

Rounds alternate between all kinds; medians. SCONE_BIN: directory of the programs (default build/bin of this tree)."""

import glob
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from attested import Background
from process import Server, free_port, output

HERE = os.path.dirname(os.path.abspath(__file__))
BIN = os.environ.get("SCONE_BIN") or os.path.join(HERE, "..", "build", "bin")
E2E = os.path.join(BIN, "..", "tests", "e2e")
PROGRAM = "/bin/true"
SESSION = """name: bench
version: "0.3"
security: {{attestation: {{mode: {mode}}}}}
services:
  - name: true
    command: [{program}]
    attestation: [{{mrenclave: ["{measurement}"]{machine}}}]
{platforms}"""


def program(name):
    return os.path.join(BIN, name)


class Machine:
    """CAS, and LAS on one kind of machine. prefix: what LAS's command begins with."""

    def __init__(self, kind, base):
        self.kind, self.base = kind, os.path.join(base, kind)
        os.mkdir(self.base)
        self.env = dict(os.environ, SCONE_HOME=self.at("home"), SCONE_LAS_ADDR=self.at("las.sock"), SCONE_LOG="info")
        for name in ("SCONE_CAS_ADDR", "SCONE_CONFIG_ID", "SCONE_TPM"):
            self.env.pop(name, None)
        self.prefix, self.cas_options, self.servers = ["env", "SCONE_LOG=info"], [], []

    def at(self, name):
        return os.path.join(self.base, name)

    def scone(self, *words):
        return output([program("scone"), *words], env=self.env)

    def start(self):
        {"sim": self._sim, "tpm": self._tpm, "snp": self._guest, "tdx": self._guest}[self.kind]()
        self.servers.append(Background([*self.prefix, program("scone-las"), "--tee", self.kind, "--socket", self.at("las.sock"), "--dir", self.at("las"),
                                        "--runtime", program("scone-runtime")], self.at("las.sock"), self.at("las.log")))
        port = free_port()
        if self.kind in ("snp", "tdx"):
            name = {"snp": "sev-snp", "tdx": "tdx"}[self.kind]
            self.cas_options = ["--test-root", f"{name}={self.at('hw/root.pem')}", "--collateral", self.at("hw/collateral")]
        key = output([program("scone-cas"), "--tee", "sim", "--dir", self.at("cas"), "--print-key"]).strip()
        self.servers.append(Server([program("scone-cas"), "--tee", "sim", "--listen", f"127.0.0.1:{port}", "--dir", self.at("cas"), *self.cas_options], port,
                                   self.at("cas.log")))
        self.scone("cas", "add", "bench", f"127.0.0.1:{port}", "--key", key)
        self._create()

    def _sim(self):
        platform = output([program("scone-las"), "--tee", "sim", "--dir", self.at("las"), "--print-platform"]).strip()
        self.cas_options = ["--sim-platform", platform]

    def _tpm(self):
        port = free_port()
        os.mkdir(self.at("tpm"))
        self.servers.append(Server(["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={self.at('tpm')}", "--server",
                                    f"type=tcp,port={port},bindaddr=127.0.0.1", "--ctrl", f"type=tcp,port={port + 1},bindaddr=127.0.0.1", "--flags",
                                    "not-need-init,startup-clear"], port, self.at("tpm.log")))
        self.env["SCONE_TPM"] = f"swtpm:host=127.0.0.1,port={port}"
        os.environ["SCONE_TPM"] = self.env["SCONE_TPM"]
        self.prefix += [f"SCONE_TPM={self.env['SCONE_TPM']}"]
        self.cas_options = ["--operator", self.scone("identity").strip()]

    def _guest(self):
        os.mkdir(self.at("hw"))
        self.prefix += [f"SCONE_TSM_REPORT={self.at('hw/report')}", os.path.join(E2E, "hw_standin"), f"--{self.kind}", self.at("hw"), "--"]

    def _create(self):
        machine, platforms = "", ""
        if self.kind == "tpm":
            ek = json.loads(self.scone("tpm", "show", "--dir", self.at("las"), "--json"))
            self.scone("tpm", "pin", "bench", ek["ek"])
            self.scone("tpm", "enrol", "bench", "--dir", self.at("las"))
            machine, platforms = f', machine: {{tpm: {{pcrs: {{0: "{"00" * 32}"}}}}}}', f"    platforms: [{ek['platform']}]\n"
        elif self.kind == "snp":  # what the stand-ins measure
            machine = f', machine: {{sev-snp: {{launch: "{bytes(0x30 + i for i in range(48)).hex()}"}}}}'
        elif self.kind == "tdx":
            machine = f', machine: {{tdx: {{launch: "{"44" * 48}"}}}}'
        with open(self.at("session.yml"), "w", encoding="utf-8") as f:
            f.write(SESSION.format(mode="simulation" if self.kind == "sim" else "hardware", program=PROGRAM, machine=machine, platforms=platforms,
                                   measurement=self.scone("measure", PROGRAM).strip()))
        self.scone("session", "create", self.at("session.yml"))

    def command(self):
        return [program("scone"), "run", "--config-id", "bench/true", "--", PROGRAM]

    def quotes(self):
        with open(self.at("las.log"), encoding="utf-8") as f:
            return [int(ms) for ms in re.findall(r"was made in (\d+) ms", f.read())]

    def stop(self):
        for server in reversed(self.servers):
            server.stop()


def timed(command, env):
    begin = time.monotonic()
    subprocess.run(command, env=env, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return (time.monotonic() - begin) * 1000


def measure(machines, rounds):
    plain = dict(os.environ)
    for m in machines:
        timed(m.command(), m.env)  # the machine's evidence for this CAS
    starts = {name: [] for name in ("native", "runtime", *(m.kind for m in machines))}
    for _ in range(rounds):
        starts["native"].append(timed([PROGRAM], plain))
        starts["runtime"].append(timed([program("scone"), "run", "--", PROGRAM], plain))
        for m in machines:
            starts[m.kind].append(timed(m.command(), m.env))
    return {name: statistics.median(times) for name, times in starts.items()}


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 25
    base = tempfile.mkdtemp(prefix="scone-bench.")
    machines = []
    try:
        for kind in ("sim", "tpm", "snp", "tdx"):
            machines.append(Machine(kind, base))
            machines[-1].start()
        medians = measure(machines, rounds)
        print(f"start and end of {PROGRAM}, {rounds} rounds, medians")
        print(f"  {'native':34}{medians['native']:8.1f} ms")
        print(f"  {'in the runtime, not attested':34}{medians['runtime']:8.1f} ms")
        for m in machines:
            quotes = m.quotes()
            beside = f"   one quote: {statistics.median(quotes):.0f} ms, {len(quotes)} made for {rounds + 1} starts" if quotes else ""
            print(f"  {'attested, ' + m.kind:34}{medians[m.kind]:8.1f} ms  +{medians[m.kind] - medians['native']:.1f}{beside}")
    except BaseException:
        for log in glob.glob(os.path.join(base, "*", "*.log")):
            with open(log, encoding="utf-8") as f:
                print(f"-- {log}", *f.read().splitlines()[-6:], sep="\n", file=sys.stderr)
        raise
    finally:
        for m in reversed(machines):
            m.stop()
        shutil.rmtree(base, ignore_errors=True)


main()
