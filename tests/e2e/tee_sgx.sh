#!/bin/bash
# The sgx driver against a stand-in for Intel's quoting service (aesmd), which signs with roots of its own, and for the processor's EREPORT; what is said where there is no SGX.
set -uo pipefail

# shellcheck source=tests/lib/e2e.sh
. "$(dirname "$0")/../lib/e2e.sh" tee-sgx
driver=$bin/../tests/e2e/tee_driver
aesm=$base/aesm
rd=$(printf '5a%.0s' {1..64})
mkdir "$aesm"
export SCONE_AESM=$aesm/aesm.socket
sgx=(env "TEE_SGX_PROCESSOR=$aesm/processor" "$driver" sgx "$base/state")

expect 'outside of an enclave all that is missing is said' 1 \
	"^NOT_FOUND: tee sgx: this program runs in no enclave.*/dev/sgx_enclave: .*/dev/sgx_provision: .*quoting service: $aesm/aesm.socket: GetSupportedAttKeyIDNum: no connection" -- \
	"$driver" sgx "$base/state" probe
expect 'scone tee probe says the same' 0 '^sgx +no: .*runs in no enclave.*quoting service: .*no connection' -- "$bin/scone" tee probe
expect 'no driver outside of an enclave' 1 'runs in no enclave' -- "$driver" sgx "$base/state" evidence "$rd"
expect 'in an enclave, without the service' 1 '^UNAVAILABLE: tee sgx: .*no connection to the quoting service' -- "${sgx[@]}" probe

start aesm "$bin/../tests/e2e/aesm_standin" "$aesm"
wait_for aesm test -S "$SCONE_AESM" || not_ok 'the stand-in' 'does not start'
expect 'the service is here, the enclave is not' 1 'no enclave.*quoting service: here' -- "$driver" sgx "$base/state" probe
expect 'probe in an enclave' 0 -- "${sgx[@]}" probe
root=$(<"$aesm/root.hex")
verify=(env "TEE_COLLATERAL=$aesm/collateral" "$driver" verify sgx)
if "${sgx[@]}" evidence "$rd" >"$base/quote" 2>"$err"; then ok 'evidence'; else not_ok 'evidence' "$(<"$err")"; fi
expect 'verdict' 0 '"tee":"sgx","debug":false' "\"measurement\":\"$(printf '11%.0s' {1..32})\"" '"isvprodid":3' "\"report_data\":\"$rd\"" '"tcb_status":"UpToDate"' -- \
	"${verify[@]}" "$base/quote" "$rd" "$root"
expect 'other report data' 1 '^report-data: ' -- "${verify[@]}" "$base/quote" "${rd//5a/5b}" "$root"
expect 'another root' 1 '^chain-root: ' -- "${verify[@]}" "$base/quote" "$rd" "${root//[0-7]/8}"
expect 'without collateral: what is missing, and how to get it' 1 'curl .*scone collateral import' -- "$driver" verify sgx "$base/quote" "$rd" "$root"
expect 'scone evidence verify' 0 -- "$bin/scone" evidence verify "$base/quote" --collateral "$aesm/collateral" --root "$aesm/root.pem" --report-data "$rd"

# wrong NAME WORDS CODE PATTERN: the service does something else
wrong() {
	printf '%s' "$2" >"$aesm/service"
	expect "$1" "$3" "$4" -- "${sgx[@]}" evidence "$rd"
	rm "$aesm/service"
}
printf 'lost' >"$aesm/service"
if "${sgx[@]}" evidence "$rd" >"$base/again" 2>"$err"; then ok 'a key that is gone is made ready again'; else not_ok 'a key that is gone is made ready again' "$(<"$err")"; fi
rm "$aesm/service"
expect 'and the quote is good' 0 '"tee":"sgx"' -- "${verify[@]}" "$base/again" "$rd" "$root"
wrong 'a key that is gone for good' gone 1 '^CONFLICT: .*GetQuoteEx: error 42: the attestation key is not ready'
wrong 'a service with EPID only' epid 1 '^NOT_FOUND: .*none of the service.s 1 attestation keys is for ECDSA'
wrong 'a quote over another report' other 1 '^PEER: .*GetQuoteEx: the quote is over another report'
wrong 'an answer that breaks off' cut 1 '^IO: .*breaks off'
wrong 'a connection that is closed' silent 1 '^IO: .*no answer of the quoting service'
wrong 'a service without these calls' old 1 '^PEER: .*does not know call 21'
wrong 'a platform without a certificate' error44 1 '^IO: .*GetQuoteSizeEx: error 44: there is no certificate of this platform: is a PCCS set'
expect 'a report for another enclave' 1 '^IO: .*GetQuoteEx: error 47: the report is not one of an enclave of this processor' -- env TEE_SGX_TARGET=other "${sgx[@]}" evidence "$rd"
expect 'a report of another processor' 1 '^IO: .*error 47' -- env "TEE_SGX_PROCESSOR=$base/another" "$driver" sgx "$base/state" evidence "$rd"
expect 'sealing is refused' 1 '^NOT_FOUND: .*EGETKEY' -- "${sgx[@]}" seal x "$base/quote"
