#!/bin/bash
# The drivers of confidential guests (SEV-SNP, TDX by configfs-tsm; Nitro by /dev/nsm) on a stand-in for the kernel that signs with roots of its own.
set -uo pipefail

# shellcheck source=tests/lib/e2e.sh
. "$(dirname "$0")/../lib/e2e.sh" tee-guest
driver=$bin/../tests/e2e/tee_driver
standin=$bin/../tests/e2e/hw_standin
rd=$(printf '5a%.0s' {1..64})
mkdir -p "$base/hw"
export SCONE_TSM_REPORT=$base/hw/report

# on OPTIONS… -- ARGUMENTS…: the driver on that hardware
on() {
	local options=()
	while [[ $1 != -- ]]; do
		options+=("$1")
		shift
	done
	shift
	timeout "$limit" "$standin" "${options[@]}" "$base/hw" -- "$driver" "$@"
}

for name in snp tdx nitro sgx; do
	expect "$name is not here" 1 "^(IO|NOT_FOUND): .*tee $name: " -- "$driver" "$name" "$base/state" probe
done

# set_verify: $verify is how to verify what the stand-in signed: at its time, with its collateral; $root is its root
set_verify() {
	verify=(env "TEE_NOW=$(<"$base/hw/now")")
	[[ ! -e $base/hw/collateral ]] || verify+=("TEE_COLLATERAL=$base/hw/collateral")
	root=$(<"$base/hw/root.hex")
}

expect 'scone tee probe' 0 '^sim +yes$' '^tpm +no: ' '^snp +no: ' '^tdx +no: ' '^nitro +no: .*/dev/nsm' '^sgx +no: .*not yet' -- "$bin/scone" tee probe
for hw in snp snp-vlek tdx nitro; do
	type=${hw%-vlek}
	rm -rf "$base/hw" && mkdir "$base/hw"
	expect "$hw: probe" 0 -- "$standin" "--$hw" "$base/hw" -- "$driver" "$type" "$base/state" probe
	if on "--$hw" -- "$type" "$base/state" evidence "$rd" >"$base/$hw" 2>"$err"; then ok "$hw: evidence"; else not_ok "$hw: evidence" "$(<"$err")"; fi
	set_verify
	name=$type
	[[ $type != snp ]] || name=sev-snp
	expect "$hw: verdict" 0 "\"tee\":\"$name\".*\"report_data\":\"5a5a" -- "${verify[@]}" "$driver" verify "$type" "$base/$hw" "$rd" "$root"
	expect "$hw: other report data" 1 '^report-data: ' -- "${verify[@]}" "$driver" verify "$type" "$base/$hw" "${rd//5a/5b}" "$root"
	expect "$hw: another root" 1 '^chain-root: ' -- "${verify[@]}" "$driver" verify "$type" "$base/$hw" "$rd" "${root//[0-7]/8}"
	cp "$base/$hw" "$base/changed"
	printf '\001' | dd of="$base/changed" bs=1 seek=$(($(stat -c %s "$base/$hw") - 100)) conv=notrunc status=none
	expect "$hw: another program" 1 '^report-data: ' -- "${verify[@]}" "$driver" verify "$type" "$base/changed" "$rd" "$root"
	expect "$hw: scone tee probe" 0 "\"driver\": \"$type\"" '"says"' "\"tee\": \"$name\"" -- "$standin" "--$hw" "$base/hw" -- "$bin/scone" tee probe --json
	expect "$hw: no report is left" 0 -- test -z "$(ls -A "$base/hw/report")"
done

# --- configfs-tsm: the race, and what a host may leave out ---------------------------------------------------------------------------
rm -rf "$base/hw" && mkdir "$base/hw"
if on --snp --race 4 -- snp "$base/state" evidence "$rd" >"$base/raced" 2>"$err"; then ok 'raced four times'; else not_ok 'raced four times' "$(<"$err")"; fi
set_verify
expect 'raced evidence verifies' 0 '"tee":"sev-snp"' -- "${verify[@]}" "$driver" verify snp "$base/raced" "$rd" "$root"
expect 'raced every time' 1 '^CONFLICT: .*another process wrote' -- "$standin" --snp --race 99 "$base/hw" -- "$driver" snp "$base/state" evidence "$rd"
holds 'no report is left' test -z "$(ls -A "$base/hw/report")"
on --snp --no-aux -- snp "$base/state" evidence "$rd" >"$base/bare" 2>"$err"
set_verify
expect 'no certificates from the host' 1 '^chain-missing: ' -- "${verify[@]}" "$driver" verify snp "$base/bare" "$rd" "$root"
expect 'another provider' 1 "^NOT_FOUND: .*provider is 'tdx_guest', wanted 'sev_guest'" -- "$standin" --tdx "$base/hw" -- "$driver" snp "$base/state" probe
expect 'sealing is refused' 1 '^NOT_FOUND: .*seals nothing' -- "$standin" --snp "$base/hw" -- "$driver" snp "$base/state" seal x "$base/bare"
expect 'an error of the security module' 1 "^IO: .*the error 'InternalError'" -- "$standin" --nitro --nsm-error "$base/hw" -- "$driver" nitro "$base/state" evidence "$rd"
