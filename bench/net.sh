#!/usr/bin/env bash
# The network shield against programs' own TLS, stunnel4 and plain TCP; net.py tells what and how. Words are patterns of line names: bench/net.sh 'redis*'
# SCONE_BIN: directory of the programs (build/bin). Helper program and results are in build/bench.
set -euo pipefail
cd "$(dirname "$0")/.."
[ "${1-}" != --list ] || exec python3 -B bench/net.py --list
bin=$(cd "${SCONE_BIN:-build/bin}" && pwd)
for program in scone scone-runtime; do
	[ -x "$bin/$program" ] || { echo "bench: $bin/$program is not built" >&2; exit 1; }
done
out=${BENCH_OUT:-build/bench}
mkdir -p "$out"
cc -O2 -Wall -Wextra -Werror -D_GNU_SOURCE -pthread bench/net_load.c -o "$out/net_load" -lssl -lcrypto
exec python3 -B bench/net.py "$bin/scone" "$out/net_load" "$out" "$@"
