#!/bin/bash
# The tpm driver against swtpm, a whole TPM 2.0 in a process: evidence, PCRs, sealing, counters, enrolment.
set -uo pipefail

# shellcheck source=tests/lib/e2e.sh
. "$(dirname "$0")/../lib/e2e.sh" tee-tpm
driver=$bin/../tests/e2e/tee_driver
rd=$(printf '5a%.0s' {1..64})
zeros=$(printf '00%.0s' {1..32})

# boot NAME: a TPM with the state of that name, started or started again, as this machine's
boot() {
	local port try
	mkdir -p "$base/$1"
	for ((try = 0; try < 20; try++)); do
		port=$((20000 + RANDOM % 20000))
		start "$1" swtpm socket --tpm2 --tpmstate "dir=$base/$1" --server "type=tcp,port=$port,bindaddr=127.0.0.1" \
			--ctrl "type=tcp,port=$((port + 1)),bindaddr=127.0.0.1" --flags not-need-init,startup-clear
		export SCONE_TPM=swtpm:host=127.0.0.1,port=$port
		local i
		for ((i = 0; i < 100; i++)); do
			kill -0 "${pid[$1]}" 2>/dev/null || break
			"$driver" tpm "$base/none" probe 2>/dev/null && return 0
			sleep 0.1
		done
		end_process "$1"
	done
	return 1
}
tpm=("$driver" tpm "$base/state")

expect 'no TPM is said to be none' 1 'IO: tee tpm: tpm device:/nonexistent: no connection' -- \
	env SCONE_TPM=device:/nonexistent "$driver" tpm "$base/none" probe
boot first || { not_ok 'swtpm' 'does not start'; exit; }
expect 'probe' 0 '' -- "${tpm[@]}" probe

# --- evidence -----------------------------------------------------------------------------------------------------------------------
"${tpm[@]}" evidence "$rd" >"$base/quote" 2>"$base/err1" || not_ok 'evidence' "$(cat "$base/err1")"
expect 'evidence verifies' 0 '"tee":"tpm".*"runtime_digest":"1111' -- "${tpm[@]}" verify "$base/quote" "$rd" own
expect 'PCR 7 as wanted' 0 '"tee":"tpm"' -- "${tpm[@]}" verify "$base/quote" "$rd" own "7=$zeros"
expect 'other report data' 1 '' '^report-data: .*wanted 00' -- "${tpm[@]}" verify "$base/quote" "${rd//5a/00}" own
expect 'a key that is not enrolled' 1 '' '^platform: ' -- "${tpm[@]}" verify "$base/quote" "$rd" "$zeros"
expect 'PCR 7 extended' 0 '' -- "${tpm[@]}" extend 7 'another key database'
"${tpm[@]}" evidence "$rd" >"$base/quote2"
event=$(printf 'another key database' | sha256sum | cut -d' ' -f1)
# shellcheck disable=SC2059 # the bytes are the format
want=$(printf "$(printf '%s%s' "$zeros" "$event" | sed 's/../\\x&/g')" | sha256sum | cut -d' ' -f1)
expect 'changed PCR refused with both values' 1 '' "^pcr: .*PCR 7 \(sha256\) is $want, wanted $zeros" -- \
	"${tpm[@]}" verify "$base/quote2" "$rd" own "7=$zeros"
expect 'changed PCR wanted' 0 '"tee":"tpm"' -- "${tpm[@]}" verify "$base/quote2" "$rd" own "7=$want"

expect 'scone tee probe' 0 '^tpm +yes$' "^ +pcrs_sha256.7: $want" -- "$bin/scone" tee probe

# --- sealing ------------------------------------------------------------------------------------------------------------------------
printf 'a secret of CAS' >"$base/secret"
printf x >"$base/x"
"${tpm[@]}" seal identity "$base/secret" >"$base/sealed"
expect 'unseal' 0 '^a secret of CAS$' -- "${tpm[@]}" unseal identity "$base/sealed"
expect 'unseal with another label' 1 '' '^CRYPTO: ' -- "${tpm[@]}" unseal other "$base/sealed"
expect 'PCR 7 extended again' 0 '' -- "${tpm[@]}" extend 7 'once more'
expect 'unseal after PCR 7 changed' 1 '' '^ACCESS: .*PCR of the set 0x80 ' -- "${tpm[@]}" unseal identity "$base/sealed"
SCONE_TPM_SEAL_PCRS=none "${tpm[@]}" seal identity "$base/x" >"$base/sealed-none"
SCONE_TPM_SEAL_PCRS=0,16 "${tpm[@]}" seal identity "$base/x" >"$base/sealed-16"
expect 'PCR 16 extended' 0 '' -- "${tpm[@]}" extend 16 'x'
expect 'sealed to no PCR' 0 '^x$' -- "${tpm[@]}" unseal identity "$base/sealed-none"
expect 'sealed to PCR 16' 1 '' '^ACCESS: .*0x10001 ' -- "${tpm[@]}" unseal identity "$base/sealed-16"
expect 'nonsense in the list of PCRs' 1 '' '^INPUT: .*"7,x"' -- env SCONE_TPM_SEAL_PCRS=7,x "$driver" tpm "$base/state" seal l "$base/x"
head -c 60 "$base/sealed-none" >"$base/cut"
expect 'cut sealed form' 1 '' '^CRYPTO: ' -- "${tpm[@]}" unseal identity "$base/cut"
printf 'changed' >>"$base/sealed-none"
expect 'changed sealed form' 1 '' '^CRYPTO: ' -- "${tpm[@]}" unseal identity "$base/sealed-none"

# --- counters -----------------------------------------------------------------------------------------------------------------------
expect 'no counter yet' 1 '' '^NOT_FOUND: .*"cas"' -- "${tpm[@]}" counter cas
a=$("${tpm[@]}" count cas) b=$("${tpm[@]}" count cas) c=$("${tpm[@]}" counter cas)
holds 'counts by one' test "${b:-0}" -eq $((${a:-0} + 1)) -a "${c:-0}" -eq "${b:-1}"
"${tpm[@]}" count gone >/dev/null
"${tpm[@]}" count gone >/dev/null
a=$("${tpm[@]}" count gone)
index=$(printf gone | sha256sum | cut -c1-6)
index=$(printf '0x%x' $((0x01800000 | (0x$index & 0x3fffff))))
expect 'the owner deletes a counter' 0 -- "${tpm[@]}" forget "$index"
expect 'a deleted counter is not there' 1 '^NOT_FOUND: ' -- "${tpm[@]}" counter gone
b=$("${tpm[@]}" count gone)
holds 'a counter made again is above what it was' test "${b:-0}" -gt "${a:-9}"
b=$("${tpm[@]}" counter cas)

# --- enrolment ----------------------------------------------------------------------------------------------------------------------
expect 'credential opened by its keys' 0 '^same key certificate' -- "${tpm[@]}" enrol
expect 'credential with an RSA endorsement key' 0 '^same$' -- "${tpm[@]}" enrol-rsa
expect 'credential not opened by another attestation key' 1 '' '^CRYPTO: .*another TPM or attestation key' -- "${tpm[@]}" enrol "$base/other-state"

# --- the same TPM after a restart; another TPM ---------------------------------------------------------------------------------------
key=$("${tpm[@]}" verify "$base/quote" "$rd" own | jq -r .platform)
end_process first
boot first || not_ok 'swtpm' 'does not start again'
holds 'the counter outlives a restart' test "$("${tpm[@]}" counter cas)" -eq "${b:-1}"
expect 'unseal after a restart, PCR 7 not yet as it was' 1 '^ACCESS: ' -- "${tpm[@]}" unseal identity "$base/sealed"
expect 'PCR 7 as it was' 0 -- "${tpm[@]}" extend 7 'another key database'
expect 'unseal after a restart, PCR 7 as when sealed' 0 '^a secret of CAS$' -- "${tpm[@]}" unseal identity "$base/sealed"
"${tpm[@]}" evidence "$rd" >"$base/quote3"
expect 'the same attestation key' 0 "\"platform\":\"$key\"" -- "${tpm[@]}" verify "$base/quote3" "$rd" own
end_process first
boot second || not_ok 'swtpm' 'the second does not start'
expect 'another TPM does not take the key' 1 '' 'made by another TPM' -- "${tpm[@]}" evidence "$rd"
expect 'another TPM does not unseal' 1 '' '^CRYPTO: .*another TPM' -- "${tpm[@]}" unseal identity "$base/sealed"
expect 'another TPM has no such counter' 1 '' '^NOT_FOUND' -- "${tpm[@]}" counter cas
end_process second
