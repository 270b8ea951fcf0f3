#!/usr/bin/env bash
# fuzz.sh SEED RUNS: every fuzzer of tests/fuzz, longer than `make check` runs it. The seed repeats a failure.
set -uo pipefail
cd "$(dirname "$0")/.." || exit
seed=$1 runs=$2 passed=0 failed=0
for f in build/tests/fuzz/fuzz_*; do
	[[ -f $f && -x $f ]] || continue
	name=${f##*/}
	if out=$("$f" "$seed" "$runs" 2>&1); then
		echo "ok $name, seed $seed, $runs runs"
		passed=$((passed + 1))
	else
		echo "not ok $name, seed $seed, $runs runs"
		tail -n 30 <<<"$out" | sed 's/^/    /'
		failed=$((failed + 1))
	fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
