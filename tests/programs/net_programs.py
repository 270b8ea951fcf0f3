#!/usr/bin/env python3
"""Unmodified pairs of programs under the network shield: the same results as natively, and nothing but TLS between them.

net_programs.py [--short] [--list] [--keep DIR] [PAIR…]     PAIR: a shell pattern; SCONE_BIN: directory of the programs (build/bin)

Each pair runs twice, its two sides in two network namespaces with a cable between them, and everything on the cable and on the loopback of both is
captured by tshark: once natively, to know the results and that the capture sees plaintext, once with both sides under the runtime, where no rule but
those of the pair lets anything pass. Prints a line per check, and a table; the last line is "N passed, N failed".
"""

import argparse
import difflib
import fnmatch
import os
import pprint
import shutil
import signal
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(HERE, "net"))

import capture  # noqa: E402
import lab  # noqa: E402
import pairs  # noqa: E402
import pairs_servers  # noqa: E402,F401
import pairs_languages  # noqa: E402,F401


class Report:
    def __init__(self):
        self.passed, self.failed, self.table = 0, 0, []

    def check(self, name, why):
        """why: what is wrong, empty if nothing is."""
        if why:
            self.failed += 1
            print(f"not ok {name}: {' '.join(str(why).split())[:700]}", flush=True)
        else:
            self.passed += 1
            print(f"ok {name}", flush=True)


def once(pair, base, scone, names, shielded):
    """(results, capture, complaints of the shield)"""
    where = os.path.join(base, f"{pair.name}.{'shielded' if shielded else 'native'}")
    with lab.Run(where, scone, names, pair.ports, shielded) as run:
        try:
            result = pair.function(run, pair.secret)
        except lab.Failed as e:
            said = run.complaints()
            raise lab.Failed(f"{e}{'; the shield: ' if said else ''}{' | '.join(said[-3:])}") from None
        files = run.captured()
        seen = capture.Capture()
        for f in files:
            seen.read(f)
        return result, seen, run.complaints()


def difference(native, shielded):
    one, two = (pprint.pformat(r, width=150).splitlines() for r in (native, shielded))
    return "\n".join(line for line in difflib.unified_diff(one, two, "native", "shielded", n=0, lineterm="") if not line.startswith("@@"))


def judge(pair, base, scone, names, report):
    began = time.monotonic()
    try:
        native, before, _ = once(pair, base, scone, names, False)
        half = time.monotonic()
        shielded, after, complaints = once(pair, base, scone, names, True)
    except lab.Failed as e:
        report.check(f"{pair.name}: results are the native ones", e)
        report.table.append((pair.name, "failed", "", "", ""))
        return
    end = time.monotonic()
    was = report.failed
    report.check(f"{pair.name}: results are the native ones", difference(native, shielded))
    unseen = [m for m in pair.marks if not before.holding(m.encode())]
    report.check(f"{pair.name}: the native capture has the plaintext", unseen and f"not in it: {unseen}")
    plain = [f"{m} in {s.name}" for m in pair.marks if (s := after.holding(m.encode()))]
    report.check(f"{pair.name}: no plaintext", "; ".join(plain))
    wrong = after.not_tls()
    few = [] if after.bytes() >= 1000 and after.connections() else [f"only {after.bytes()} bytes captured"]
    report.check(f"{pair.name}: nothing but TLS", "; ".join((wrong + few)[:4]))
    report.check(f"{pair.name}: the shield refused nothing", " | ".join(complaints[:3]))
    report.table.append((pair.name, "as natively" if report.failed == was else "differs", f"{after.connections()} of {before.connections()}",
                         f"{after.bytes():,} of {before.bytes():,}", f"{end - half:.1f} of {half - began:.1f}"))


def print_table(rows):
    head = ("pair", "results", "connections, of native", "bytes captured, of native", "seconds, of native")
    wide = [max(len(r[i]) for r in [head, *rows]) for i in range(len(head))]
    for row in [head, *rows]:
        print("# " + "  ".join(cell.ljust(w) for cell, w in zip(row, wide)).rstrip())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--keep", metavar="DIR")
    parser.add_argument("names", nargs="*")
    args = parser.parse_args()
    chosen = [p for p in pairs.PAIRS if (p.short or not args.short) and (not args.names or any(fnmatch.fnmatch(p.name, n) for n in args.names))]
    if args.list:
        for p in chosen:
            print(f"{p.name}: {p.what}{' (short)' if p.short else ''}")
        return 0
    scone = os.path.join(os.path.abspath(os.environ.get("SCONE_BIN") or os.path.join(HERE, "../../build/bin")), "scone")
    report = Report()
    missing = lab.have("unshare", "nsenter", "ip", "tshark", "openssl") or (scone if not os.access(scone, os.X_OK) else None)
    if missing or os.geteuid() != 0 or not chosen:
        report.check("network namespaces", f"{missing} is not there" if missing else "no such pair" if not chosen else "needs root, to make them")
    else:
        base = os.path.realpath(args.keep or tempfile.mkdtemp(prefix="scone-net."))
        os.makedirs(base, exist_ok=True)
        os.chmod(base, 0o755)
        try:
            names = lab.Names(os.path.join(base, "pki"))
            for p in chosen:
                absent = lab.have(*p.needs)
                if absent:
                    print(f"# {p.name}: {absent} is not installed")
                else:
                    judge(p, base, scone, names, report)
                if not args.keep:
                    for side in ("native", "shielded"):
                        shutil.rmtree(os.path.join(base, f"{p.name}.{side}"), ignore_errors=True)
        finally:
            if not args.keep:
                shutil.rmtree(base, ignore_errors=True)
        print_table(report.table)
    print(f"{report.passed} passed, {report.failed} failed")
    return 1 if report.failed else 0


signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))
if __name__ == "__main__":
    sys.exit(main())
