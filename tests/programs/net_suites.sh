#!/bin/bash
# CPython's own tests of sockets with all their TCP and Unix stream connections that rules can name under the network shield: the verdict of each test
# natively and shielded. `make net-suites`; net_suites.sh GROUP…: these groups of the suites (default test_socket test_asyncio.* test_selectors test_httplib).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
bin=$(cd "${SCONE_BIN:-$here/../../build/bin}" && pwd)
base=$(mktemp -d /tmp/scone-net-suites.XXXXXX)
trap 'rm -rf "$base"' EXIT
python3 -B - "$here/net" "$base" <<'END'
import sys
sys.path.insert(0, sys.argv[1])
import lab
# What the tests do besides TCP, UDP above all, passes.
rules = lab.Names(sys.argv[2] + "/pki").rules(["*"]).replace(f"{lab.PREFIX}=protected", f"{lab.PREFIX}=unprotected")
with open(sys.argv[2] + "/rules", "w", encoding="ascii") as f:
    f.write(rules)
END
chmod 755 "$base"
chmod 644 "$base/rules"
[[ $# -gt 0 ]] || set -- test_socket 'test_asyncio.*' test_selectors test_httplib
SCONE_RUN="$bin/scone run --network-rules $base/rules --" "$here/../suites/run.py" ${REPEATS:+-r "$REPEATS"} -o "${OUT:-$here/../../build/net-suites}" "${@/#/cpython:}"
