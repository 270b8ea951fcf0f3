#!/usr/bin/env bash
# Measures the runtime against native runs of the same programs and prints one table. Nothing is asserted.
# BENCH_ROUNDS: rounds (15). SCONE_BIN: directory of the programs (build/bin).
set -euo pipefail
cd "$(dirname "$0")/.."
bin=$(cd "${SCONE_BIN:-build/bin}" && pwd)
mkdir -p build/bench
cc -O2 -Wall -Wextra -Werror -D_GNU_SOURCE bench/calls.c -o build/bench/calls
if [ -n "${SCONE_RUN:-}" ]; then
	read -r -a prefix <<<"$SCONE_RUN"
elif [ -x "$bin/scone-runtime" ]; then
	prefix=("$bin/scone-runtime" --)
else
	echo "bench: $bin/scone-runtime is not built" >&2
	exit 1
fi
prefix[0]=$(command -v "${prefix[0]}")
exec python3 bench/bench.py "$PWD/build/bench/calls" "${prefix[@]}"
