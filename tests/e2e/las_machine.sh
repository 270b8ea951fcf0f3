#!/bin/bash
# LAS on machines whose evidence names its key: what it keeps, what it asks the hardware for again, what it signs itself.
set -uo pipefail

# shellcheck source=tests/lib/e2e.sh
. "$(dirname "$0")/../lib/e2e.sh" las-machine
driver=$bin/../tests/e2e/tee_driver
standin=$bin/../tests/e2e/hw_standin
probe=$bin/../tests/e2e/las_probe
sock=$base/las.sock
rd=$(printf '00%.0s' {1..64})
# The leak checker works by ptrace, which scone-las shuts out, and the probe leaves its memory to exit.
export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0
export SCONE_TSM_REPORT=$base/hw/report SCONE_LOG=info

# begin HARDWARE [OPTION…]: LAS with that driver on a new stand-in for its hardware
begin() {
	local tee=${1%-vlek}
	rm -rf "$base/hw" "$sock" && mkdir "$base/hw"
	: >"$base/las.log"
	start las "$standin" "--$1" "$base/hw" -- "$bin/scone-las" --tee "$tee" --socket "$sock" --dir "$base/las" --runtime "$probe" "${@:2}"
	wait_for las test -S "$sock" && set_verdict "$tee"
}
# quotes N: LAS has asked the hardware so often
quotes() { [[ $(grep -c "the machine's evidence ([a-z]*, .*) was made" "$base/las.log") == "$1" ]]; }
# ask FILE CAS NONCE [fresh]
ask() { timeout 20 "$probe" "$sock" machine "${@:2}" >"$1" 2>"$err"; }
# set_verdict TYPE: $verdict FILE… is how to verify what the stand-in signed
set_verdict() {
	local env=("TEE_NOW=$(date +%s)")
	[[ ! -e $base/hw/collateral ]] || env+=("TEE_COLLATERAL=$base/hw/collateral")
	verdict=(env "${env[@]}" "$driver" verify "$1")
	root=$(<"$base/hw/root.hex")
}
nonce_is() { "${verdict[@]}" "$1" "$rd" "$root" | jq -e --arg n "$2" '.platform_nonce == ($n * 64)' >/dev/null; }

for hw in snp snp-vlek tdx nitro; do
	tee=${hw%-vlek}
	begin "$hw" || not_ok "$hw: LAS starts" "$(tail -n 3 "$base/las.log")"
	holds "$hw: the hardware is asked once at start" quotes 1
	ask "$base/first" a 1
	holds "$hw: and once for a new CAS" quotes 2
	expect "$hw: the evidence names the program and LAS" 0 '"runtime_digest":"[0-9a-f]{64}".*"las_key":"[0-9a-f]{64}"' -- "${verdict[@]}" "$base/first" "$rd" "$root"
	holds "$hw: it was made over the nonce of that CAS" nonce_is "$base/first" 1
	ask "$base/second" a 2
	holds "$hw: a second program costs no quote" quotes 2
	holds "$hw: so it carries the first one's nonce" nonce_is "$base/second" 1
	ask "$base/third" b 3
	holds "$hw: another CAS has a quote of its own" quotes 3
	holds "$hw: over its own nonce" nonce_is "$base/third" 3
	ask "$base/fresh" a 4 fresh
	holds "$hw: fresh evidence is a new quote" quotes 4
	holds "$hw: over the new nonce" nonce_is "$base/fresh" 4
	ask "$base/later" a 5
	holds "$hw: which is kept then" nonce_is "$base/later" 4
	expect "$hw: other report data" 1 '^report-data: ' -- "${verdict[@]}" "$base/first" "${rd/00/01}" "$root"
	# The last 64 bytes are LAS's signature; before it are its nonce and its key; before these 6 bytes of a head, and the report data.
	for place in las-signature:10 report-data:70 report-data:110 las-signature:150; do
		cp "$base/first" "$base/changed"
		at=$(($(stat -c %s "$base/first") - ${place#*:}))
		byte=$(od -An -tu1 -j "$at" -N 1 "$base/first")
		# shellcheck disable=SC2059 # the byte is the format
		printf "\\x$(printf %x $((byte ^ 1)))" | dd of="$base/changed" bs=1 seek="$at" conv=notrunc status=none
		expect "$hw: byte $at changed" 1 "^${place%:*}: " -- "${verdict[@]}" "$base/changed" "$rd" "$root"
	done
	end_process las
	case $hw in
	snp-vlek) continue ;;
	esac
	begin "$hw"
	ask "$base/other" a 1
	# The statement about the program, signed by the LAS of before, beside this one's quote.
	tail -c 134 "$base/first" >"$base/tail"
	head -c -134 "$base/other" | cat - "$base/tail" >"$base/mixed"
	expect "$hw: another LAS's word beside this quote" 1 '^report-data: ' -- "${verdict[@]}" "$base/mixed" "$rd" "$root"
	tail -c 64 "$base/first" >"$base/tail"
	head -c -64 "$base/other" | cat - "$base/tail" >"$base/mixed"
	expect "$hw: another LAS's signature" 1 '^las-signature: ' -- "${verdict[@]}" "$base/mixed" "$rd" "$root"
	end_process las
done

# --- by age ---------------------------------------------------------------------------------------------------------------------------
begin snp --refresh 2
ask "$base/e" a 1
sleep 2.5
ask "$base/e" a 2
holds 'older than --refresh: still given' nonce_is "$base/e" 1
renewed() { quotes 3; }
holds 'while a new one is made in the background' wait_for las renewed
ask "$base/e" a 3
holds 'over the nonce that was given then' nonce_is "$base/e" 2
sleep 4.5
ask "$base/e" a 4
holds 'older than twice that: the program waits for the new one' nonce_is "$base/e" 4
ask "$base/e" a 5 fresh &
one=$!
ask "$base/f" a 6 fresh &
holds 'two that want fresh evidence at once get it' wait "$one" $!
for ((i = 0; i < 70; i++)); do
	ask "$base/e" a 7 fresh || break
done
expect 'no user has more than sixty quotes made in a minute' 0 'LIMIT: .*at most 60 are made' -- cat "$base/e"
ask "$base/e" a 8
holds 'but evidence that is there' nonce_is "$base/e" 7
end_process las

expect '--refresh 0' 2 'wanted a number from 1 to 86400' -- "$bin/scone-las" --refresh 0
expect '--refresh x' 2 'wanted a number from 1 to 86400' -- "$bin/scone-las" --refresh x
mkdir -p "$base/broken"
expect 'hardware that does not answer ends the start' 1 "evidence of this machine: .*the error 'InternalError'" -- \
	"$standin" --nitro --nsm-error "$base/broken" -- "$bin/scone-las" --tee nitro --socket "$sock" --dir "$base/las" --runtime "$probe"

# --- sim signs each program itself -----------------------------------------------------------------------------------------------------
: >"$base/las.log"
start las "$bin/scone-las" --tee sim --socket "$sock" --dir "$base/las" --runtime "$probe"
wait_for las test -S "$sock"
ask "$base/sim" a 1
expect 'sim: evidence as ever, 280 bytes' 0 '^280$' -- stat -c %s "$base/sim"
holds 'sim: no quote' quotes 0
end_process las
