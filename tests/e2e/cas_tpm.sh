#!/bin/bash
# Machines with a TPM at CAS, with swtpm: pinned, enrolled, attested by their LAS; a PCR that changed, keys of another TPM, callers that are no operators.
set -uo pipefail

# shellcheck source=tests/lib/e2e.sh
. "$(dirname "$0")/../lib/e2e.sh" cas-tpm
# shellcheck source=tests/lib/swtpm.sh
. "$(dirname "$0")/../lib/swtpm.sh"
driver=$bin/../tests/e2e/tee_driver
export SCONE_RUNTIME=$runtime
zeros=$(printf '00%.0s' {1..32})

# cas OPTION…: start it, again where it was
cas() {
	local at=${address-127.0.0.1:0}
	end_process cas
	rm -f "$base/cas.address"
	SCONE_TPM=$tcti_cas start cas "$bin/scone-cas" --listen "$at" --address-file "$base/cas.address" --dir "$base/cas" --tee tpm "$@"
	wait_for cas test -s "$base/cas.address" || return 1
	address=$(<"$base/cas.address")
}

tcti_cas='' tcti_machine='' tcti_other=''
if ! boot cas || ! boot machine || ! boot other; then
	not_ok swtpm 'does not start'
	exit
fi
# scone as each of the three users
operator=(env "SCONE_HOME=$base/operator" "$bin/scone")
machine=(env "SCONE_HOME=$base/machine" "SCONE_TPM=$tcti_machine" "$bin/scone")
stranger=(env "SCONE_HOME=$base/stranger" "$bin/scone")
on_machine=(env "SCONE_HOME=$base/operator" "SCONE_TPM=$tcti_machine" "$bin/scone") # the operator on that machine
who=$("${operator[@]}" identity) && "${stranger[@]}" identity >/dev/null && "${machine[@]}" identity >/dev/null
cas --operator "$who" || { not_ok scone-cas 'does not start on a TPM'; exit; }
for user in operator machine stranger; do
	SCONE_HOME=$base/$user scone cas add main "$address" --trust-first >/dev/null 2>&1
done
mkdir -m 700 "$base/las"
here_dir=(--dir "$base/las")

# --- enrolment ----------------------------------------------------------------------------------------------------------------------
expect 'keys of the machine' 0 '^ek 3' '^ak 3' '^certificate no$' -- "${machine[@]}" tpm show "${here_dir[@]}"
ek=$("${machine[@]}" tpm show "${here_dir[@]}" | sed -n 's/^ek //p')
platform=$("${machine[@]}" tpm show "${here_dir[@]}" | sed -n 's/^platform //p')
expect 'not pinned: refused' 7 'not pinned here: an operator pins it with .scone tpm pin box' -- "${machine[@]}" tpm enrol box "${here_dir[@]}"
expect 'an operator enrols no key without pin or certificate' 7 'not pinned here, and no maker' -- \
	"${on_machine[@]}" tpm enrol box "${here_dir[@]}"
expect 'only operators pin' 7 'machines are for operators: seen client key' -- "${stranger[@]}" tpm pin box "$ek"
expect 'only operators list' 7 'for operators' -- "${stranger[@]}" tpm list
expect 'pinned' 0 '^box$' -- "${operator[@]}" tpm pin box "$ek" --pcrs 7
expect 'pinned twice' 6 'there already' -- "${operator[@]}" tpm pin box "$ek"
expect 'one key, two machines' 6 'that of machine "box"' -- "${operator[@]}" tpm pin box2 "$ek"
expect 'a name that is none' 2 'name of a machine' -- "${operator[@]}" tpm pin ../box "$ek"
expect 'nonsense for PCRs' 2 'wanted numbers below 24' -- "${operator[@]}" tpm pin box2 "$ek" --pcrs 7,24
expect 'another name for the pinned key' 7 'that of machine "box", not of "boxx"' -- "${machine[@]}" tpm enrol boxx "${here_dir[@]}"
mkdir -m 700 "$base/other-las"
expect 'another TPM under this name' 7 'machine "box" has another endorsement key' -- \
	env "SCONE_TPM=$tcti_other" "SCONE_HOME=$base/machine" "$bin/scone" tpm enrol box --dir "$base/other-las"
expect 'enrolled' 0 "^  platform $platform" "^  pcr 7 +$zeros" -- "${machine[@]}" tpm enrol box "${here_dir[@]}"
holds 'the PCRs are those of the pin' test "$(grep -c ' pcr ' "$out")" = 1
expect 'once only' 6 'enrolled already' -- "${machine[@]}" tpm enrol box "${here_dir[@]}"
expect 'listed' 0 '^box$' "^  platform $platform" '\(pinned\)' -- "${operator[@]}" tpm list

# --- attestation --------------------------------------------------------------------------------------------------------------------
# start_tpm_las: again where it was; its quote is a new one then
start_tpm_las() {
	end_process las
	rm -f "$base/las.sock"
	start las env "SCONE_TPM=$tcti_machine" ASAN_OPTIONS=detect_leaks=0 "$bin/scone-las" --tee tpm --socket "$base/las.sock" --dir "$base/las" --runtime "$runtime"
	wait_for las test -S "$base/las.sock"
}
start_tpm_las || not_ok scone-las 'does not start on a TPM'
export SCONE_LAS_ADDR=$base/las.sock
cp /bin/true "$base/program"
cat >"$base/session.yml" <<'END'
name: $NAME
version: "0.3"
services:
  - name: service
    command: [program]
    attestation: [{mrenclave: [$MEASUREMENT], machine: [{tpm: {pcrs: {4: $PCR4}}}]}]
    platforms: [$PLATFORM]
END
sed /platforms/d "$base/session.yml" >"$base/any.yml"
measurement=$(scone measure "$base/program")
create=("${operator[@]}" session create --set "MEASUREMENT=$measurement" --set "PCR4=$zeros")
expect 'session that names the machine' 0 -- "${create[@]}" "$base/session.yml" --set NAME=named --set "PLATFORM=$platform"
expect 'session that names another one' 0 -- "${create[@]}" "$base/session.yml" --set NAME=other --set "PLATFORM=$zeros"
expect 'session that names none' 0 -- "${create[@]}" "$base/any.yml" --set NAME=any
# attest SESSION NAME CODE PATTERN…: an attested start on the machine, as that session's service
attest() { expect "${@:2}" -- "${machine[@]}" run --config-id "$1/service" -- "$base/program"; }
attest named 'attested by the TPM' 0 
attest other 'not among the platforms' 125 "platform: other/service: seen key $platform" 
attest any 'no platforms: the enrolment alone is not enough' 125 'platform: any/service: evidence of the TPM .*operator enrolled it' 
expect 'PCR 8 is not held' 0 -- env "SCONE_TPM=$tcti_machine" "$driver" tpm "$base/las" extend 8 'another kernel'
attest named 'attested still' 0 
expect 'PCR 7 changes' 0 -- env "SCONE_TPM=$tcti_machine" "$driver" tpm "$base/las" extend 7 'another key database'
event=$(printf 'another key database' | sha256sum | cut -d' ' -f1)
# shellcheck disable=SC2059 # the bytes are the format
seen=$(printf "$(printf '%s%s' "$zeros" "$event" | sed 's/../\\x&/g')" | sha256sum | cut -d' ' -f1)
start_tpm_las || not_ok scone-las 'does not start again'
attest named 'a changed PCR is refused with both values' 125 "pcr: machine \"box\": .*PCR 7 \(sha256\) is $seen, wanted $zeros" 
holds 'and CAS logs it' grep -qE "named/service: attestation refused: ATTEST: pcr: .*$seen" "$base/cas.log"
expect 'the machine itself cannot have it taken' 6 'an operator' -- "${machine[@]}" tpm enrol box "${here_dir[@]}"
expect 'an operator can' 0 "^  pcr 7 +$seen" -- "${on_machine[@]}" tpm enrol box --pcrs 7 "${here_dir[@]}"
attest named 'attested again' 0 

# --- restart, removal ---------------------------------------------------------------------------------------------------------------
cas --operator "$who" || not_ok 'scone-cas' 'does not start again'
attest named 'enrolled after a restart' 0 
expect 'only operators remove' 7 'for operators' -- "${stranger[@]}" tpm remove box
expect 'no such machine' 5 'no machine "bax"' -- "${operator[@]}" tpm remove bax
expect 'removed' 0 '^box$' -- "${operator[@]}" tpm remove box
attest named 'not believed any more' 125 'platform: TPM quote: the attestation key is 3.*enrolled here' 
cas || not_ok 'scone-cas' 'does not start without operators'
expect 'no operators at all' 7 'for operators' -- "${operator[@]}" tpm list
end_process cas
expect 'audit log' 0 'tpm-pinned' 'tpm-enrolled' 'tpm-removed' -- "$bin/scone" audit show "$base/cas/audit.log"
expect 'audit log verifies' 0 -- "$bin/scone" audit verify "$base/cas/audit.log"
holds 'nothing of machines in the clear' test -z "$(grep -l 'box' "$base"/cas/cas.db* 2>/dev/null)"

# --- endorsement keys that their makers certified ----------------------------------------------------------------------------------------
# shellcheck disable=SC2034 # by name, in at_machine
tcti_good='' tcti_foreign='' tcti_borrowed='' tcti_padded='' address=127.0.0.1:0
manufacture good maker --write-ek-cert-files "$base/maker.ca" || not_ok 'swtpm_setup' "$(tail -n 3 "$base/maker.ca/setup.log")"
manufacture foreign stranger || not_ok 'swtpm_setup' "$(tail -n 3 "$base/stranger.ca/setup.log")"
for name in good foreign borrowed padded; do
	boot "$name" || not_ok swtpm "$name does not start"
	mkdir -m 700 "$base/las-$name"
done
certificate=$(ls "$base"/maker.ca/*rsa2048*)
# A TPM that shows the certificate of another one's key.
expect 'a certificate in a TPM that it is not for' 0 -- env "SCONE_TPM=$tcti_borrowed" "$driver" tpm "$base/none" put 01c00002 "$certificate"
cas --operator "$who" --tpm-root "$base/maker.pem" || not_ok 'scone-cas' 'does not start with a root of TPMs'
for user in operator machine stranger; do
	SCONE_HOME=$base/$user scone cas add certified "$address" --trust-first >/dev/null 2>&1
done
# on NAME USER WORDS…: scone tpm on that machine, as that user
on() { certified=(env "SCONE_HOME=$base/$2" "SCONE_TPM=$tcti" "$bin/scone" tpm "${@:3}" --dir "$base/las-$1" --cas certified); }
at_machine() { local name=tcti_$1; tcti=${!name}; on "$@"; }
tcti=''
expect 'certified: the TPM has a certificate' 0 '^certificate yes$' -- env "SCONE_HOME=$base/machine" "SCONE_TPM=$tcti_good" "$bin/scone" tpm show --dir "$base/las-good"
at_machine good machine enrol certified
expect 'certified: for operators' 7 'not pinned here: an operator pins it' -- "${certified[@]}"
at_machine good operator enrol certified --pcrs 7
expect 'certified: enrolled by its maker' 0 '^certified$' '\(certificate\)' "^  pcr 7 +$zeros" -- "${certified[@]}"
good_platform=$(sed -n 's/^  platform //p' "$out")
at_machine foreign operator enrol foreign
expect 'certified: by another maker' 8 "refused: chain-signature: TPM endorsement chain: signature of certificate 0 .* is not that of 'swtpm-localca'" -- "${certified[@]}"
at_machine borrowed operator enrol borrowed
expect 'certified: the certificate of another key' 8 "refused: attestation-key: TPM endorsement key: the maker's certificate is for another key" -- "${certified[@]}"
at_machine padded operator enrol padded
expect 'certified: no certificate' 8 'refused: chain-missing: TPM endorsement key: there is no certificate of a maker' -- "${certified[@]}"
head -c 1000 "$certificate" >"$base/cut.der"
expect 'half a certificate' 0 -- env "SCONE_TPM=$tcti_padded" "$driver" tpm "$base/none" put 01c00002 "$base/cut.der"
rm -rf "$base/las-padded" && mkdir -m 700 "$base/las-padded"
expect 'certified: half a certificate' 8 'refused: chain-format: TPM endorsement chain: 1000 bytes are no certificate' -- "${certified[@]}"
# Some makers fill the index up.
expect 'the index is free again' 0 -- env "SCONE_TPM=$tcti_padded" "$driver" tpm "$base/none" forget 01c00002
{ cat "$certificate" && head -c 100 /dev/zero | tr '\0' '\377'; } >"$base/filled.der"
expect 'a certificate in an index that is filled up' 0 -- env "SCONE_TPM=$tcti_padded" "$driver" tpm "$base/none" put 01c00002 "$base/filled.der"
expect 'certified: is read to its end' 8 'attestation-key: .*the maker.s certificate is for another key' -- "${certified[@]}"
end_process las
rm -f "$base/las.sock"
start las env "SCONE_TPM=$tcti_good" ASAN_OPTIONS=detect_leaks=0 "$bin/scone-las" --tee tpm --socket "$base/las.sock" --dir "$base/las-good" --runtime "$runtime"
wait_for las test -S "$base/las.sock" || not_ok scone-las 'does not start on a certified TPM'
create=(env "SCONE_HOME=$base/operator" "$bin/scone" session create --cas certified --set "MEASUREMENT=$measurement" --set "PCR4=$zeros")
expect 'certified: a session that names the machine' 0 -- "${create[@]}" "$base/session.yml" --set NAME=certified --set "PLATFORM=$good_platform"
expect 'certified: attested by the TPM' 0 -- env "SCONE_HOME=$base/machine" "$bin/scone" run --cas certified --config-id certified/service -- "$base/program"
