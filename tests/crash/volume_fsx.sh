#!/bin/bash
# Random operations of two processes on a mounted volume against a model in memory (tests/programs/c/volume_fsx.c), for FSX_SECONDS (12): in
# several runs, each of which finds what the one before left. Every third ends by kill -9 with everything open. The same program runs natively on
# a tmpfs first: what it does not like there is the model's fault. SEED repeats the operations.
set -uo pipefail

# shellcheck source=tests/lib/e2e.sh
. "$(dirname "$0")/../lib/e2e.sh" fsx
export SCONE_RUNTIME=$runtime
seconds=${FSX_SECONDS:-12} seed=${SEED:-$RANDOM}
leg=$((seconds / 4 < 30 ? (seconds + 3) / 4 : 30))
vol=$base/vol key=$base/key
mkdir "$vol"
native=$(mktemp -d /dev/shm/fsx.XXXXXX) || exit 2
trap 'rm -rf "$native"; finish' EXIT
make -s -C "$here/../programs" B="$base/programs" "$base/programs/volume_fsx" >"$base/make.log" 2>&1 || { not_ok build "$(tail -n 5 "$base/make.log")"; exit; }
program=$base/programs/volume_fsx

expect "natively on a tmpfs, seed $seed" 0 'all as wanted' -- "$program" "$native" "$base/native.model" "$seed" 3

# What several runs did: operations, and the first that went wrong.
operations=0 runs=0 kills=0 wrong=
end=$((SECONDS + seconds))
while [[ -z $wrong ]] && ((SECONDS < end)); do
	ending=()
	((runs % 3 == 2)) && ending=(kill)
	# The shell's own word on a kill goes nowhere.
	{ setsid timeout -s KILL $((leg * 3 + 200)) "$bin/scone" run --volume "$base/host:$vol" --volume-key-file "$key" --size 1G -- \
		"$program" "$vol" "$base/model" $((seed + runs)) "$leg" "${ending[@]}" >"$out" 2>"$err" </dev/null; } 2>/dev/null
	status=$?
	said=$(sed -n 's/^# \([0-9]*\) and \([0-9]*\) operations.*/\1 + \2/p' "$out" | head -n 1)
	operations=$((operations + ${said:-0}))
	if [[ ${#ending[@]} -gt 0 && $status == 137 ]] && grep -q 'then a kill' "$out" && ! grep -q FAIL "$out"; then
		kills=$((kills + 1))
	elif ((status != 0)) || ! grep -q 'all as wanted' "$out"; then
		wrong="run $runs, seed $((seed + runs)), status $status: $(grep -A 30 -m 1 FAIL "$out") $(tail -n 3 "$err")"
	fi
	runs=$((runs + 1))
	if ((runs % 5 == 0)) && ! timeout 200 "$bin/scone" volume verify --volume-key-file "$key" "$base/host" >"$out" 2>&1; then
		wrong="after run $runs the volume does not verify: $(tail -n 3 "$out")"
	fi
done
if [[ -n $wrong ]]; then not_ok "two processes on a volume" "$wrong"; else ok "two processes on a volume: $operations operations in $runs runs, $kills of them killed, seed $seed"; fi
expect "the volume verifies" 0 -- "$bin/scone" volume verify --volume-key-file "$key" "$base/host"
