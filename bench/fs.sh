#!/usr/bin/env bash
# Files on an encrypted volume against native and gocryptfs; fs.py tells what and how. Words are patterns of line names: bench/fs.sh pread 'read*'
# SCONE_BIN: directory of the programs (build/bin). Helper programs and results are in build/bench.
set -euo pipefail
cd "$(dirname "$0")/.."
[ "${1-}" != --list ] || exec python3 -B bench/fs.py --list
bin=$(cd "${SCONE_BIN:-build/bin}" && pwd)
for program in scone scone-runtime; do
	[ -x "$bin/$program" ] || { echo "bench: $bin/$program is not built" >&2; exit 1; }
done
out=${BENCH_OUT:-build/bench}
mkdir -p "$out"
cc -O2 -Wall -Wextra -Werror -D_GNU_SOURCE bench/work/files.c -o "$out/files"
ninja -C "$bin/.." --quiet bench/bench-volume-growth >/dev/null
cp "$bin/../bench/bench-volume-growth" "$out/volume_growth"
exec python3 -B bench/fs.py "$bin/scone" "$out" "$out" "$@"
