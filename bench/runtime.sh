#!/usr/bin/env bash
# The runtime against native and gVisor; runtime.py tells what and how. Words are patterns of line names: bench/runtime.sh 'redis*' compile
# SCONE_BIN: directory of the programs (build/bin). Helper programs and results are in build/bench.
set -euo pipefail
cd "$(dirname "$0")/.."
[ "${1-}" != --list ] || exec python3 -B bench/runtime.py --list
bin=$(cd "${SCONE_BIN:-build/bin}" && pwd)
for program in scone scone-runtime scone-cas scone-las; do
	[ -x "$bin/$program" ] || { echo "bench: $bin/$program is not built" >&2; exit 1; }
done
out=${BENCH_OUT:-build/bench}
mkdir -p "$out"
for program in calls spawn; do
	cc -O2 -Wall -Wextra -Werror -D_GNU_SOURCE "bench/work/$program.c" -o "$out/$program"
done
CGO_ENABLED=0 go build -o "$out/http" bench/work/http.go
javac -d "$out" bench/work/Work.java
exec python3 -B bench/runtime.py "$bin/scone" "$out" "$out" "$@"
