#!/usr/bin/env bash
# PySpark natively against PySpark under the runtime; pyspark.py tells the settings. SCONE_BIN: directory of the programs (build/bin).
set -euo pipefail
cd "$(dirname "$0")/.."
bin=$(cd "${SCONE_BIN:-build/bin}" && pwd)
[ -x "$bin/scone-runtime" ] || { echo "bench: $bin/scone-runtime is not built" >&2; exit 1; }
python=$(examples/pyspark/venv.sh)
exec "$python" bench/pyspark.py "$python" "$bin/scone" run --
