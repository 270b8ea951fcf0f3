# shellcheck shell=bash
# shellcheck disable=SC2154,SC2034,SC2004 # variables of common.sh
# What common.sh has beside it when TEE=tpm: two machines, each with a TPM of its own (swtpm, a whole TPM 2.0 in a process): the one that runs the programs,
# whose boot is measured and whose LAS gives quotes, and the one that runs CAS, whose database is bound to a counter of its TPM. Sourced by common.sh.

here_tpm=$(dirname "${BASH_SOURCE[0]}")
declare -A tpm_port=()
boot_honest=('0=firmware' '4=boot loader and kernel' '7=keys of secure boot')

# tpm_of NAME: the value of SCONE_TPM for programs on that machine
tpm_of() { echo "swtpm:host=127.0.0.1,port=${tpm_port[$1]}"; }
tpm_answers() { SCONE_TPM=$(tpm_of "$1") scone tee probe | grep -q '^tpm  *yes'; }

# boot NAME PCR=TEXT…: power its TPM on (off before, if it was on) and measure as firmware does
boot() {
	local name=$1 try
	stop "tpm-$name"
	mkdir -p "$base/tpm-$name"
	for ((try = 0; try < 10; try++)); do
		tpm_port[$name]=$((20000 + RANDOM % 20000))
		swtpm socket --tpm2 --tpmstate "dir=$base/tpm-$name" --server "type=tcp,port=${tpm_port[$name]},bindaddr=127.0.0.1" \
			--ctrl "type=tcp,port=$((tpm_port[$name] + 1)),bindaddr=127.0.0.1" --flags not-need-init,startup-clear \
			>>"$base/tpm-$name.log" 2>&1 &
		pid[tpm-$name]=$!
		if [[ $name == cas ]]; then
			on_cas=(env "SCONE_TPM=$(tpm_of cas)")
		else
			on_machine=(env "SCONE_TPM=$(tpm_of "$name")")
		fi
		if wait_for "tpm-$name" 10 "the TPM of the machine '$name'" tpm_answers "$name"; then
			(($# == 1)) || "$here_tpm/extend.py" "${tpm_port[$name]}" "${@:2}"
			return
		fi
		stop "tpm-$name"
	done
	return 1
}

# start_machines: both TPMs; $pcrs: what the programs' machine measured, as its owner reads it, in the form of a session
start_machines() {
	command -v swtpm >/dev/null || die "swtpm is not installed: run make deps"
	step "Two machines with a TPM each: one for CAS, one for the program"
	boot cas 0=firmware '4=kernel of CAS' '7=keys of secure boot' || die "swtpm does not start"
	boot machine "${boot_honest[@]}" || die "swtpm does not start"
	pcrs=$("${on_machine[@]}" "$bin/scone" tee probe --json |
		jq -r '.[] | select(.driver == "tpm") | .says.pcrs_sha256 | [(0, 4, 7) as $n | "\($n): \(.[$n | tostring])"] | join(", ")')
	[[ $pcrs == 0:* ]] || die "no PCRs of the machine"
	tr , '\n' <<<"$pcrs" | sed 's/^ */PCR /' | indent
}

# enrol_machine: CAS's operator pins the TPM's endorsement key, as its seller tells it, and the machine shows that it has this TPM
enrol_machine() {
	local ek
	step "Enrolment: CAS learns the attestation key of the machine's TPM"
	"${on_machine[@]}" "$bin/scone" tpm show --dir "$base/las" >"$base/tpm.out" 2>&1 || { indent "$base/tpm.out"; die "no keys of the TPM"; }
	indent "$base/tpm.out"
	ek=$(sed -n 's/^ek //p' "$base/tpm.out")
	platform=$(sed -n 's/^platform //p' "$base/tpm.out")
	proof "a TPM that CAS's operator has not named is refused" refused 'not pinned' -- \
		"${on_machine[@]}" "$bin/scone" tpm enrol machine --dir "$base/las"
	proof "the operator names the endorsement key" quietly "$bin/scone" tpm pin machine "$ek"
	proof "the machine opens the credential that only this TPM can open: enrolled" \
		quietly "${on_machine[@]}" "$bin/scone" tpm enrol machine --dir "$base/las"
}
quietly() {
	"$@" >"$base/quietly.out" 2>&1
	local status=$?
	cut -c1-200 "$base/quietly.out" | indent
	return $status
}

# hardware_session FILE: the session as it stands for machines with a TPM: no simulation, and beside each measurement the machine that may have it
hardware_session() {
	awk -v machine="{tpm: {pcrs: {$pcrs}}}" -v platform="$platform" '
		/^security:/ || /^# This demonstration has no trusted hardware/ { next }
		{ print }
		/^ *- mrenclave: / { print "        machine: " machine; print "    platforms: [" platform "]" }' "$1"
}
