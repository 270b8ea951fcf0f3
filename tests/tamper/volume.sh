#!/bin/bash
# What a host does to the blocks of a volume (volume_tamper.c): a sample; with FULL=1 every field, block and pair of blocks, for several seeds.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
program=${SCONE_BIN:-$here/../../build/bin}/../tests/tamper/volume_tamper
[[ -n ${FULL:-} ]] || exec "$program" "${SEED:-1}"
good=0 bad=0
for ((seed = ${SEED:-1}; seed < ${SEED:-1} + ${SEEDS:-1}; seed++)); do
	out=$("$program" -f "$seed") || true
	grep -v ' passed, ' <<<"$out"
	g=$(grep -c '^ok ' <<<"$out") b=$(grep -c '^not ok ' <<<"$out")
	[[ $out == *"$g passed, $b failed" ]] || { echo "not ok seed $seed: it did not come to its end"; b=$((b + 1)); }
	good=$((good + g)) bad=$((bad + b))
done
echo "$good passed, $bad failed"
((bad == 0))
