#!/bin/bash
# The runtime and a CAS whose key it does not know: CAS's own evidence, made by a TPM (swtpm), against a policy, on the connection that is then used.
set -uo pipefail

# shellcheck source=tests/lib/e2e.sh
. "$(dirname "$0")/../lib/e2e.sh" cas-policy
# shellcheck source=tests/lib/swtpm.sh
. "$(dirname "$0")/../lib/swtpm.sh"
export SCONE_RUNTIME=$runtime SCONE_LAS_ADDR=$base/las.sock
zeros=$(printf '00%.0s' {1..32})
ones=$(printf '11%.0s' {1..32})
tcti_cas=''
boot cas || { not_ok swtpm 'does not start'; exit; }
# A sanitized build has no runtime, so its services run a plain one's programs.
export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0
start las env -u SCONE_TPM "$bin/scone-las" --tee sim --socket "$base/las.sock" --dir "$base/las" --runtime "$runtime"
wait_for las test -S "$base/las.sock" || not_ok 'scone-las' 'does not start'
SCONE_TPM=$tcti_cas start cas "$bin/scone-cas" --tee tpm --listen 127.0.0.1:0 --address-file "$base/address" --dir "$base/cas"
wait_for cas test -s "$base/address" || { not_ok scone-cas 'does not start on a TPM'; exit; }
address=$(<"$base/address")
unset SCONE_TPM

cp /usr/bin/printenv "$base/program"
cat >"$base/session.yml" <<END
name: policy
version: "0.3"
security: {attestation: {mode: simulation}}
services:
  - name: service
    command: [program, SECRET]
    environment: {SECRET: "it is \$\$SCONE::word\$\$"}
    attestation: [{mrenclave: [$(scone measure "$base/program")]}]
secrets:
  - {name: word, kind: ascii, value: "a secret"}
END
scone cas add main "$address" --trust-first >/dev/null 2>&1
expect 'session' 0 -- "$bin/scone" session create "$base/session.yml"
export SCONE_HOME=$base/nobody # who pins nothing from here on

# policy NAME JQ: the good policy, changed so
measurement=$("$bin/scone" measure --runtime "$bin/scone-cas" "$bin/scone-cas")
platform=$(SCONE_TPM=$tcti_cas scone tpm show --dir "$base/cas/tee" | sed -n 's/^platform //p')
good=$(jq -n --arg m "$measurement" --arg p "$platform" --arg z "$zeros" '{measurement: [$m], tee: ["tpm"], platform: [$p], pcrs: {"4": [$z]}}')
policy() { jq "$2" <<<"$good" >"$base/$1.json"; }
run() { expect "${@:2}" -- "$bin/scone" run --cas "$address" --policy "$base/$1.json" --config-id policy/service -- "$base/program"; }
policy good .
run good 'a CAS that proves what the policy wants' 0 '^it is a secret$'
policy measured ".measurement = [\"$ones\"]"
run measured 'another program than scone-cas' 125 "evidence of CAS .*$measurement, wanted $ones"
policy platform ".platform = [\"$ones\"]"
run platform 'on another machine' 125 'evidence of CAS .*(attestation key|platform)'
policy pcr ".pcrs = {\"4\": [\"$ones\"]}"
run pcr 'that started otherwise, with both values' 125 "evidence of CAS .*PCR 4 .*$zeros, wanted $ones"
policy sim '.tee = ["sim"] | .simulation = true | del(.platform, .pcrs)'
run sim 'of another kind' 125 'evidence of CAS '
policy broken '{}'
run broken 'a policy that wants nothing' 125 '--cas-policy .*measurement'
expect 'a policy that is not there' 125 '--cas-policy /nonexistent: ' -- \
	"$bin/scone" run --cas "$address" --policy /nonexistent --config-id policy/service -- "$base/program"
other=$(SCONE_HOME=$base/other scone identity)
expect 'the key counts besides' 125 'presented key .*wanted '"$other" -- \
	"$bin/scone" run --cas "$address" --cas-key "$other" --policy "$base/good.json" --config-id policy/service -- "$base/program"
expect 'neither key nor policy' 125 'no key is pinned for CAS' -- "$bin/scone" run --cas "$address" --config-id policy/service -- "$base/program"
expect 'nor by the runtime' 125 'needs --cas and --cas-key or --cas-policy' -- \
	"$runtime" --cas "$address" --config-id policy/service -- "$base/program"
holds 'CAS was asked for no configuration but once' test "$(grep -c 'policy/service: attested' "$base/cas.log")" = 1
