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

expect 'scone tee probe' 0 '^sim +yes$' '^tpm +no: ' '^snp +no: ' '^tdx +no: ' '^nitro +no: .*/dev/nsm' '^sgx +no: .*no enclave' -- "$bin/scone" tee probe
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
for hw in tdx nitro; do
	expect "$hw: sealing is refused, with a way out" 1 '^NOT_FOUND: .*cannot be kept' -- "$standin" "--$hw" "$base/hw" -- "$driver" "$hw" "$base/state" seal x "$base/bare"
done
expect 'an error of the security module' 1 "^IO: .*the error 'InternalError'" -- "$standin" --nitro --nsm-error "$base/hw" -- "$driver" nitro "$base/state" evidence "$rd"

# --- SEV-SNP: a key that the security processor derives for this guest on this chip ----------------------------------------------------
rm -rf "$base/hw" && mkdir "$base/hw"
printf 'a secret of CAS' >"$base/secret"
snp=("$standin" --snp "$base/hw" -- "$driver" snp "$base/state")
if on --snp -- snp "$base/state" seal identity "$base/secret" >"$base/sealed" 2>"$err"; then ok 'snp: sealed'; else not_ok 'snp: sealed' "$(<"$err")"; fi
holds 'snp: nothing of it in the clear' test "$(grep -c 'secret of' "$base/sealed")" = 0
expect 'snp: unsealed, after a restart' 0 '^a secret of CAS$' -- "${snp[@]}" unseal identity "$base/sealed"
expect 'snp: another label' 1 '^CRYPTO: ' -- "${snp[@]}" unseal other "$base/sealed"
for word in launch debug; do
	echo "$word" >"$base/hw/guest"
	expect "snp: a guest that is another one ($word)" 1 '^CRYPTO: .*sealed for TCB 0x.*started as another one' -- "${snp[@]}" unseal identity "$base/sealed"
done
echo putback >"$base/hw/guest"
expect 'snp: firmware that was put back' 1 '^CRYPTO: .*SNP_GET_DERIVED_KEY: the security processor answers 0x16, which is invalid parameters' -- "${snp[@]}" unseal identity "$base/sealed"
on --snp -- snp "$base/state" seal identity "$base/secret" >"$base/sealed-old" 2>"$err"
rm "$base/hw/guest"
expect 'snp: newer firmware opens what older firmware sealed' 0 '^a secret of CAS$' -- "${snp[@]}" unseal identity "$base/sealed-old"
for at in 0 9 15 20 40 -1; do
	cp "$base/sealed" "$base/changed"
	((at >= 0)) || at=$(($(stat -c %s "$base/sealed") - 1))
	byte=$(od -An -tu1 -j "$at" -N 1 "$base/sealed")
	# shellcheck disable=SC2059 # the byte is the format
	printf "\\x$(printf %x $((byte ^ 1)))" | dd of="$base/changed" bs=1 seek="$at" conv=notrunc status=none
	expect "snp: byte $at of the sealed form changed" 1 '^CRYPTO: ' -- "${snp[@]}" unseal identity "$base/changed"
done
for size in 0 7 24 51; do
	head -c "$size" "$base/sealed" >"$base/cut"
	expect "snp: cut after $size bytes" 1 '^CRYPTO: ' -- "${snp[@]}" unseal identity "$base/cut"
done
rm "$base/hw/chip"
expect 'snp: another chip' 1 '^CRYPTO: .*by another chip' -- "${snp[@]}" unseal identity "$base/sealed"

# --- SEV-SNP on a kernel without configfs-tsm: /dev/sev-guest ---------------------------------------------------------------------------
export SCONE_TSM_REPORT=$base/no-configfs
expect 'neither interface: both are named' 1 "^NOT_FOUND: tee snp: there is no $base/no-configfs: /dev/sev-guest: " -- "$driver" snp "$base/state" probe
expect 'sev-guest: probe' 0 -- "${snp[@]}" probe
for options in '' plain no-aux; do
	[[ $options != plain ]] || echo plain >"$base/hw/guest"
	more=()
	[[ $options != no-aux ]] || more=(--no-aux)
	on --snp "${more[@]}" -- snp "$base/state" evidence "$rd" >"$base/sev" 2>"$err"
	set_verify
	if [[ -z $options ]]; then
		expect 'sev-guest: verdict' 0 '"tee":"sev-snp".*"report_data":"5a5a' -- "${verify[@]}" "$driver" verify snp "$base/sev" "$rd" "$root"
		expect 'sev-guest: other report data' 1 '^report-data: ' -- "${verify[@]}" "$driver" verify snp "$base/sev" "${rd//5a/5b}" "$root"
	else
		expect "sev-guest: no certificates from the host ($options)" 1 '^chain-missing: ' -- "${verify[@]}" "$driver" verify snp "$base/sev" "$rd" "$root"
	fi
	rm -f "$base/hw/guest"
done
expect 'sev-guest: scone tee probe' 0 '"driver": "snp"' '"tee": "sev-snp"' -- "$standin" --snp "$base/hw" -- "$bin/scone" tee probe --json
