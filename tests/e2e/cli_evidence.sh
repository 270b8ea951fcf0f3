#!/bin/bash
# scone evidence and scone collateral: made evidence, good and bad, and quotes that real platforms made.
set -uo pipefail

# shellcheck source=tests/lib/e2e.sh
. "$(dirname "$0")/../lib/e2e.sh" evidence

made=$base/made
mkdir "$made"
"$bin/../tests/e2e/make_evidence" "$made" || exit 2
at=2025-06-15T15:06:40Z
verify() { # NAME CODE PATTERN… -- FILE OPTION…
	local name=$1 code=$2 patterns=()
	shift 2
	while [[ $1 != -- ]]; do
		patterns+=("$1")
		shift
	done
	expect "$name" "$code" "${patterns[@]}" -- "$bin/scone" evidence verify "${@:2}"
}
# good NAME OPTION…: evidence NAME with its own root and collateral
with() { echo "$made/$1.quote" --collateral "$made/$1.collateral" --root "$made/$1.root" --at "$at"; }

mapfile -t undocumented < <(grep -oE '"[a-z0-9-]+",$' "$here/../../src/evidence/check.c" | tr -d '",' |
	while read -r name; do grep -q "\`$name\`" "$here/../../docs/evidence.md" || echo "$name"; done)
holds "every refusal is documented: ${undocumented[*]-}" test ${#undocumented[@]} = 0

# --- show ---------------------------------------------------------------------------------------------------------------------------

expect show_sgx 0 '^tee: sgx' '^mrenclave: (11){32}$' '^debug: no' -- "$bin/scone" evidence show "$made/sgx.quote"
expect show_tdx 0 '^tee: tdx' '^td_report: 1.5' '^mrtd: (44){48}$' '^rtmr3: (63){48}$' -- "$bin/scone" evidence show "$made/tdx5.quote"
expect show_bundle 0 '^items.collateral: [0-9]+' -- "$bin/scone" evidence show "$made/tdx4.bundle"
expect show_json 0 '"mrenclave": "1111' -- "$bin/scone" evidence show "$made/sgx.quote" --json
expect show_nothing_known 4 'no known type' -- "$bin/scone" evidence show "$made/sgx.collateral"
expect show_absent 5 'cannot be opened' -- "$bin/scone" evidence show "$made/none"
expect show_of_another_type 8 'refused: type' -- "$bin/scone" evidence show "$made/sgx.quote" --type tdx
expect show_unknown_type 4 'wanted sim, tpm' -- "$bin/scone" evidence show "$made/sgx.quote" --type sgx1
head -c 500 "$made/sgx.quote" >"$made/cut"
expect show_cut 8 'refused: format' -- "$bin/scone" evidence show "$made/cut"

# --- verify -------------------------------------------------------------------------------------------------------------------------

for name in sgx tdx4 tdx5; do
	read -ra words <<<"$(with $name)"
	verify "good $name" 0 '^tcb_status: UpToDate' -- "${words[@]}"
	verify "good $name, collateral carried" 0 '^tcb_status: UpToDate' -- "$made/$name.bundle" --root "$made/$name.root" --at "$at"
	verify "$name: root of Intel" 8 'refused: chain-root' -- "$made/$name.quote" --collateral "$made/$name.collateral" --at "$at"
	verify "$name: no collateral" 8 'refused: crl-missing' 'scone collateral import' -- "$made/$name.quote" --root "$made/$name.root" --at "$at"
	verify "$name: now" 8 'refused: (crl|chain)-time' -- "$made/$name.quote" --collateral "$made/$name.collateral" --root "$made/$name.root"
	verify "$name: wanted report data" 0 '' -- "${words[@]}" --report-data "$(printf '33%.0s' {1..64})"
	verify "$name: other report data" 8 'refused: report-data' -- "${words[@]}" --report-data 33
done
read -ra words <<<"$(with debug)"
verify debug 8 'refused: debug' -- "${words[@]}"
verify debug_tolerated 0 '^debug: yes' -- "${words[@]}" --tolerate debug-mode
read -ra words <<<"$(with outdated)"
verify outdated 8 'refused: tcb-status' 'OutOfDate' -- "${words[@]}"
verify outdated_with_an_advisory 8 'refused: advisory' 'INTEL-SA-00002' -- "${words[@]}" --tolerate outdated-tcb
verify outdated_tolerated 0 '^tcb_status: OutOfDate' -- "${words[@]}" --tolerate outdated-tcb --ignore-advisory INTEL-SA-00002
verify outdated_tolerated_all 0 '' -- "${words[@]}" --tolerate outdated-tcb --ignore-advisory '*'
verify unknown_tolerance 4 'wanted debug-mode' -- "${words[@]}" --tolerate everything
read -ra words <<<"$(with expired)"
verify collateral_expired 8 'refused: collateral-time' "curl -i 'https://api.trustedservices.intel.com/sgx/certification/v4/tcb\?fmspc=00906ed50000'" -- "${words[@]}"
read -ra words <<<"$(with revoked)"
verify revoked 8 'refused: revoked-key' -- "${words[@]}"
read -ra words <<<"$(with sgx)"
verify malformed_time 4 -- "${words[0]}" --at yesterday
verify malformed_report_data 4 'hex digits' -- "${words[@]}" --report-data 123
verify absent_collateral 5 'none' -- "${words[0]}" --collateral "$made/none"
verify absent_root 5 'none' -- "${words[0]}" --root "$made/none"
"$bin/scone" evidence verify "${words[@]}" --json >"$out" 2>"$err"
holds "verdict as JSON" test "$(jq '.tee == "sgx" and .debug == false and .detail.fmspc == "00906ed50000" and .advisories == []' "$out")" = true
"$bin/scone" evidence verify "$made/sgx.quote" --at "$at" --json >"$out" 2>"$err"
holds "refusal as JSON" test "$(jq '.error.details.check == "chain-root" and .error.code == "ATTEST"' "$out")" = true
for byte in 60 500 700 1100; do
	cp "$made/sgx.quote" "$made/changed"
	printf '\x5a' | dd of="$made/changed" bs=1 seek=$byte conv=notrunc status=none
	verify "byte $byte changed" 8 'refused: ' -- "$made/changed" "${words[@]:1}"
done

# --- collateral import --------------------------------------------------------------------------------------------------------------

import=("$bin/scone" collateral import --root "$made/sgx.root" --at "$at")
expect import_of_another_root 8 'refused: chain-root' -- "$bin/scone" collateral import --at "$at" "$made/sgx.collateral"
expect import_forged 8 'refused: collateral-signature' -- "$bin/scone" collateral import --at "$at" --root "$made/forged.root" "$made/forged.collateral"
expect import_expired 8 'refused: collateral-time' -- "$bin/scone" collateral import --at "$at" --root "$made/expired.root" "$made/expired.collateral"
expect import_a_quote 4 'no collateral' -- "$bin/scone" collateral import "$made/sgx.quote"
holds "nothing refused was kept" test ! -e "$SCONE_HOME/collateral"
expect import_list_without_chain 8 'refused: crl-signature' -- "${import[@]}" "$made/sgx.rootcrl.der"
expect import_service 0 '^intel-sgx-tcb-00906ed50000-0000.json: ' '^intel-sgx-qe.json: ' '^crl-intel-sgx-pck-platform-ca.json: ' '^crl-intel-sgx-root-ca.json: ' \
	-- "${import[@]}" "$made/sgx.tcb.http" "$made/sgx.qe.http" "$made/sgx.crl.http" "$made/sgx.rootcrl.der"
verify "with what was imported" 0 '^tcb_status: UpToDate' -- "$made/sgx.quote" --root "$made/sgx.root" --at "$at"
expect import_again 0 'the one that is there is as new|: ' -- "${import[@]}" "$made/sgx.collateral"
holds "four files" test "$(find "$SCONE_HOME/collateral" -type f | wc -l)" = 4
verify "still" 0 '' -- "$made/sgx.quote" --root "$made/sgx.root" --at "$at"
echo '{' >"$SCONE_HOME/collateral/broken.json"
verify "a broken file is told" 8 'broken.json' -- "$made/sgx.quote" --root "$made/sgx.root" --at "$at"
rm "$SCONE_HOME/collateral/broken.json"

# --- real quotes --------------------------------------------------------------------------------------------------------------------

vectors=$here/../../../shared/vectors
if [[ -d $vectors ]]; then
	verify "real SGX quote: status" 8 'refused: tcb-status' 'ConfigurationAndSWHardeningNeeded' -- "$vectors/sgx/quote_v3.bin" \
		--collateral "$vectors/sgx/quote_v3_collateral.json" --at 2025-06-20
	verify "real SGX quote: tolerated" 0 '^advisories: INTEL-SA-00289' '^detail.fmspc: 00a067110000' -- "$vectors/sgx/quote_v3.bin" \
		--collateral "$vectors/sgx/quote_v3_collateral.json" --at 2025-06-20 --tolerate insecure-configuration \
		--tolerate software-hardening-needed --ignore-advisory '*'
	verify "real TDX quote 4" 0 '^tcb_status: UpToDate' -- "$vectors/tdx/quote_v4.bin" --collateral "$vectors/tdx/quote_v4_collateral.json" --at 2025-06-20
	verify "real TDX quote 5 of an outdated platform" 8 'refused: tcb-status' OutOfDate -- "$vectors/tdx/quote_v5_outdated.bin" \
		--collateral "$vectors/tdx/quote_v5_outdated_collateral.json" --at 2026-03-01
	verify "real TDX quote 5, tolerated" 0 '^tcb_unlisted: yes' -- "$vectors/tdx/quote_v5_outdated.bin" --tolerate outdated-tcb --ignore-advisory '*' \
		--collateral "$vectors/tdx/quote_v5_outdated_collateral.json" --at 2026-03-01
	expect "import of real collateral" 0 'until 2025-07-19' -- "$bin/scone" collateral import --collateral "$base/real" --at 2025-06-20 \
		"$vectors/sgx/quote_v3_collateral.json" "$vectors/tdx/quote_v4_collateral.json"
	verify "real TDX quote 4, imported" 0 '' -- "$vectors/tdx/quote_v4.bin" --collateral "$base/real" --at 2025-06-20
	verify "real SGX quote, today" 8 'refused: ' -- "$vectors/sgx/quote_v3.bin" --collateral "$base/real"
	verify "real SEV-SNP report without a revocation list" 8 'refused: crl-missing' -- "$vectors/snp/report_v2.bin" --at 2023-01-01 \
		--vcek "$vectors/snp/report_v2_vcek.der" --chain "$vectors/snp/milan_ask_ark.pem"
	verify "real SEV-SNP report of a debug guest" 8 'refused: debug' -- "$vectors/snp/report_v2.bin" --vcek "$vectors/snp/report_v2_vcek.der" \
		--chain "$vectors/snp/milan_ask_ark.pem" --no-crl --at 2023-01-01
	verify "real SEV-SNP report" 0 '^tee: sev-snp' -- "$vectors/snp/report_v2.bin" --vcek "$vectors/snp/report_v2_vcek.der" --tolerate debug-mode \
		--chain "$vectors/snp/milan_ask_ark.pem" --no-crl --at 2023-01-01
else
	echo "# ../shared/vectors is not there: nothing tested on real evidence"
fi
