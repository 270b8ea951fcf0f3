#!/usr/bin/env bash
# PySpark natively against PySpark under the runtime; pyspark.py tells the settings. Words are patterns of
# query names. SCONE_BIN: directory of the programs (build/bin).
# BENCH_OUT: directory of the results (build/bench).
set -euo pipefail
cd "$(dirname "$0")/.."
bin=$(cd "${SCONE_BIN:-build/bin}" && pwd)
[ -x "$bin/scone-runtime" ] || { echo "bench: $bin/scone-runtime is not built" >&2; exit 1; }
python=$(examples/pyspark/venv.sh)
exec python3 -B bench/pyspark.py "$python" "$bin/scone" "${BENCH_OUT:-build/bench}" "$@"
