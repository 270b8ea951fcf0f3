#!/bin/bash
# From `scone run` to CAS on confidential guests (SEV-SNP, TDX, Nitro), whose hardware is a stand-in with a root of its own: what is admitted, what is refused, and
# when LAS asks the hardware again. Machines with a TPM: cas_tpm.sh.
set -uo pipefail

# shellcheck source=tests/lib/e2e.sh
. "$(dirname "$0")/../lib/e2e.sh" las-attest
standin=$bin/../tests/e2e/hw_standin
driver=$bin/../tests/e2e/tee_driver
export SCONE_TSM_REPORT=$base/hw/report SCONE_RUNTIME=$runtime SCONE_LAS_ADDR=$base/las.sock
limit=40

# machine: a guest on new hardware, in which LAS is started again whenever it ends
machine() {
	# shellcheck disable=SC2016 # for that shell
	start machine env SCONE_LOG=info ASAN_OPTIONS=detect_leaks=0 "$standin" "--$hw" "$base/hw" -- bash -c 'trap "kill \$!; exit" TERM; while :; do "${@:2}" & echo $! >"$1"; wait $!; done' \
		machine "$base/las.pid" "$bin/scone-las" --tee "$hw" --socket "$base/las.sock" --dir "$base/las" --runtime "$runtime"
	wait_for machine test -S "$base/las.sock"
}
# las WORD…: started again, in a guest like this
las() {
	local old
	old=$(<"$base/las.pid")
	rm -f "$base/hw/guest"
	(($# == 0)) || echo "$@" >"$base/hw/guest"
	kill "$old"
	wait_for machine las_after "$old"
}
las_after() { [[ -S $base/las.sock && $(<"$base/las.pid") != "$1" && ! -e /proc/$1 ]]; }
# cas OPTION…: started or started again where it was, with the stand-in's root and collateral unless told otherwise
cas() {
	local trust=(--test-root "$type=$base/hw/root.pem")
	[[ ! -e $base/hw/collateral ]] || trust+=(--collateral "$base/hw/collateral")
	end_process cas
	rm -f "$base/cas.address"
	start cas "$bin/scone-cas" --tee sim --listen "${address-127.0.0.1:0}" --address-file "$base/cas.address" --dir "$base/cas" "${trust[@]}" "$@"
	wait_for cas test -s "$base/cas.address" || return 1
	address=$(<"$base/cas.address")
}
# LAS has asked the hardware so often since it was started
count=0
quotes() { grep -c "the machine's evidence ([a-z]*, .*) was made" "$base/machine.log"; }
more_quotes() {
	local now before=$count
	now=$(quotes)
	count=$now
	[[ $((now - before)) == "$1" ]] || { echo "seen $((now - before)) quotes, wanted $1"; return 1; }
}
create() {
	sed "s/MACHINE/$2/" "$base/session.yml" >"$base/$1.yml"
	expect "$hw: session $1" 0 -- "$bin/scone" session create "$base/$1.yml" --set "NAME=$1" --set "MEASUREMENT=$measurement"
}
# attest SESSION NAME CODE PATTERN…
attest() { expect "$hw: $2" "${@:3}" -- "$bin/scone" run --config-id "$1/service" -- "$base/program"; }

cp /usr/bin/printenv "$base/program"
cat >"$base/session.yml" <<'END'
name: $NAME
version: "0.3"
services:
  - name: service
    command: [program, SECRET]
    environment: {SECRET: "it is $$SCONE::word$$"}
    attestation: [{mrenclave: [$MEASUREMENT], machine: MACHINE}]
secrets:
  - {name: word, kind: ascii, value: "a secret"}
END
measurement=$(scone measure "$base/program")

(($#)) || set -- snp tdx nitro
for hw; do
	type=$hw
	[[ $hw != snp ]] || type=sev-snp
	rm -rf "$base/hw" "$base/hw2" "$base/cas" "${SCONE_HOME:?}"
	mkdir "$base/hw" "$base/hw2"
	unset address
	: >"$base/machine.log"
	count=0
	# What the machine measures: as its owner would learn it.
	"$standin" "--$hw" "$base/hw" -- "$driver" "$hw" "$base/state" evidence "$(printf '00%.0s' {1..64})" >"$base/evidence" 2>"$err"
	trust=(--root "$base/hw/root.pem")
	[[ ! -e $base/hw/collateral ]] || trust+=(--collateral "$base/hw/collateral")
	launch=$("$bin/scone" evidence verify "$base/evidence" "${trust[@]}" --json 2>"$err" | jq -r '.verdict.launch // .launch')
	other=$(tr 0-7 8 <<<"$launch")
	case $hw in
	nitro) good="{nitro: {pcrs: {0: $launch}}}" bad="{nitro: {pcrs: {0: $other}}}" ;;
	*) good="{$type: {launch: $launch}}" bad="{$type: {launch: $other}}" ;;
	esac
	machine || not_ok "$hw: scone-las" "$(tail -n 2 "$base/machine.log")"
	cas || not_ok "$hw: scone-cas" "$(tail -n 2 "$base/cas.log")"
	scone cas add main "$address" --trust-first >/dev/null 2>&1
	# What `scone tee probe` proposes admits this machine, too.
	proposed=$(SCONE_TSM_REPORT=$base/hw2/report "$standin" "--$hw" "$base/hw2" -- "$bin/scone" tee probe --json 2>"$err" | jq -r --arg d "$hw" '.[] | select(.driver == $d) | .says.policy')
	create proposed "${proposed#machine: }"
	create good "$good"
	create bad "$bad"
	create elsewhere "{tpm: {pcrs: {0: ${launch:0:64}}}}"

	attest good 'attested' 0 '^it is a secret$'
	holds "$hw: by one quote beside that of LAS's start" more_quotes 2
	attest proposed 'attested by what scone tee probe proposes' 0 '^it is a secret$'
	attest good 'attested again' 0 '^it is a secret$'
	holds "$hw: without the hardware" more_quotes 0
	attest bad 'another start is refused with both values' 125 "machine: bad/service: .*is $launch, wanted $other"
	attest elsewhere 'a policy about other machines' 125 "machine: elsewhere/service: .*the word of a machine \\($type\\)"
	count=$(quotes)

	# --- what CAS may refuse for a while ------------------------------------------------------------------------------------------------
	cas --platform-max-age 1 || not_ok "$hw: scone-cas" 'does not start again'
	sleep 2.2
	attest good 'older than CAS wants: made anew and attested' 0 '^it is a secret$'
	holds "$hw: which took one quote" more_quotes 1
	holds "$hw: after a refusal for its age" grep -qE 'platform-age: .*issued [0-9]+ seconds ago, wanted at most 1' "$base/cas.log"
	cas || not_ok "$hw: scone-cas" 'does not start again'
	attest good 'a CAS that was started anew knows its nonces' 0 '^it is a secret$'
	holds "$hw: so there is no quote" more_quotes 0
	if [[ $hw != nitro ]]; then
		las outdated
		count=$(quotes)
		attest good 'an outdated TCB is refused' 125 "tcb-(status|match): "
		holds "$hw: after newer evidence was asked for" more_quotes 2
		rm "$base/hw/guest"
		attest good 'firmware that was updated meanwhile shows at once' 0 '^it is a secret$'
		holds "$hw: by one quote" more_quotes 1
	fi

	# --- what it refuses for good -------------------------------------------------------------------------------------------------------
	las debug
	attest good 'a guest that can be inspected' 125 '(debug|guest-policy): '
	if [[ $hw != nitro ]]; then
		las launch
		attest good 'a guest that was started otherwise' 125 "machine: good/service: .*wanted $launch"
	fi
	if [[ $hw == snp ]]; then
		las vmpl
		attest good 'a report from a lower level' 125 'machine: good/service: .*VMPL 1, wanted at most 0'
	fi
	las
	mv "$base/hw/root.pem" "$base/root.pem"
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-384 -nodes -keyout "$base/x.key" -subj /CN=x -days 2 -out "$base/hw/root.pem" 2>"$err"
	cas
	attest good 'under a root that is not trusted' 125 '(chain-root|chain-order|crl-signature|collateral-[a-z]+|crl-[a-z]+): '
	mv "$base/root.pem" "$base/hw/root.pem"
	if [[ $hw != nitro ]]; then
		mv "$base/hw/collateral" "$base/collateral"
		cas
		attest good 'without the revocation list' 125 '(crl|collateral)-missing: '
		mv "$base/collateral" "$base/hw/collateral"
	fi
	cas
	attest good 'attested when all is well again' 0 '^it is a secret$'
	end_process machine
	end_process cas
	rm -f "$base/las.sock"
done
