#!/bin/bash
# scone run: exit codes, what is passed through, and an attested start with everything that can be wrong with it.
set -uo pipefail

# shellcheck source=tests/lib/e2e.sh
. "$(dirname "$0")/../lib/e2e.sh" run
export SCONE_RUNTIME=$runtime

# prints NAME TEXT: standard output of the last command is this and nothing else
prints() {
	if [[ $(<"$out") == "$2" ]]; then
		ok "$1"
	else
		not_ok "$1" "printed '$(head -c 200 "$out")', wanted '$2'"
	fi
}

[[ -x $runtime ]] || { not_ok runtime "$runtime is not built"; exit; }

# --- passed through -----------------------------------------------------------------------------------------------------------------

run=("$bin/scone" run --)
expect status_0 0 '' -- "${run[@]}" true
expect status_1 1 '' -- "${run[@]}" false
expect status_is_the_programs_own 42 '' -- "${run[@]}" sh -c 'exit 42'
expect killed_by_a_signal 143 '' -- sh -c "'$bin/scone' run -- sh -c 'kill -TERM \$\$'; exit \$?"
expect not_found 127 'no-such-program' -- "${run[@]}" no-such-program
expect not_found_path 127 '/no/such' -- "${run[@]}" /no/such
printf 'no program' >"$base/data"
expect not_executable 126 '' -- "${run[@]}" "$base/data"
chmod +x "$base/data"
cp /bin/true "$base/cut"
truncate -s 200 "$base/cut"
expect malformed_program 126 '' -- "${run[@]}" "$base/cut"
expect directory 126 '' -- "${run[@]}" "$base"
expect arguments 0 '' -- "${run[@]}" printf '%s|' a 'b c' '' -- --cas x
prints "arguments arrive as they are" 'a|b c||--|--cas|x|'
# shellcheck disable=SC2016 # for the program's shell
expect environment 0 '' -- env -i A=1 SCONE_RUNTIME="$runtime" PATH="$PATH" "${run[@]}" sh -c 'echo "$A$B"'
prints "the environment arrives" 1
expect working_directory 0 '' -- sh -c "cd /usr && '$bin/scone' run -- pwd"
prints "the working directory is kept" /usr
expect standard_input 0 '' -- sh -c "echo text | '$bin/scone' run -- cat"
prints "standard input arrives" text
# shellcheck disable=SC2016 # for the program's shell
expect argument_zero 0 '' -- "${run[@]}" sh -c 'echo $0'
prints "the program's name is as given" sh

# --- attested -----------------------------------------------------------------------------------------------------------------------

start_las || { not_ok start_las "scone-las does not start"; exit; }
start_cas cas || { not_ok start_cas "scone-cas does not start"; exit; }
cas=$address
scone cas add main "$cas" --trust-first >/dev/null 2>&1
export SCONE_LAS_ADDR=$base/las.sock

cp /bin/sh "$base/shell"
cat >"$base/session.yml" <<'END'
name: run-test
version: "0.3"
security: {attestation: {mode: simulation}}
services:
  - name: shell
    command: [sh, -c, "$SCRIPT", "$$SCONE::word$$", "@@1"]
    environment: {WORD: "<$$SCONECAS:word$$>", PATH: /usr/bin:/bin}
    pwd: /usr
    attestation: [{mrenclave: [$MEASUREMENT]}]
secrets:
  - {name: word, kind: ascii, value: a secret word}
END
# shellcheck disable=SC2016 # for the program's shell
script='echo "$0|$1|$WORD|$HOST_VARIABLE|$(pwd)|$(sh -c "echo \$WORD")"; exit 7'
create=("$bin/scone" session create "$base/session.yml" --set "SCRIPT=$script" --set "MEASUREMENT=$(scone measure "$base/shell" --code /bin/sh)")
expect session_created 0 '' -- "${create[@]}"
# The script has a child: another copy of the shell, which has to be measured, too.
attested=(env HOST_VARIABLE=seen "$bin/scone" run --config-id run-test/shell --code /bin/sh -- "$base/shell")
expect attested 7 'simulation' -- "${attested[@]}" 'host argument' 'never used'
prints "arguments, environment and directory are those of the session" \
	'a secret word|host argument|<a secret word>||/usr|<a secret word>'
expect config_id_from_environment 7 '^a secret word' -- env SCONE_CONFIG_ID=run-test/shell "$bin/scone" run --code /bin/sh "$base/shell" x
expect host_argument_missing 125 '@@1|argument' -- "${attested[@]}"
expect unknown_service 125 'nobody' -- "$bin/scone" run --config-id run-test/nobody -- "$base/shell" x
expect unknown_session 125 'no-session' -- "$bin/scone" run --config-id no-session/shell -- "$base/shell" x
expect other_program 125 'seen [0-9a-f]{64}, wanted [0-9a-f]{64}' -- "$bin/scone" run --config-id run-test/shell -- /bin/bash x
expect program_missing 127 'no-such' -- "$bin/scone" run --config-id run-test/shell -- "$base/no-such" x
other_key=$(SCONE_HOME=$base/other scone identity)
expect other_cas_key 125 "$other_key" -- "$bin/scone" run --cas-key "$other_key" --config-id run-test/shell -- "$base/shell" x
expect other_las 125 '' -- "$bin/scone" run --las "$base/no.sock" --config-id run-test/shell -- "$base/shell" x
cp "$runtime" "$base/runtime"
printf 'x' >>"$base/runtime"
expect other_runtime 125 '' -- env SCONE_RUNTIME="$base/runtime" "$bin/scone" run --config-id run-test/shell -- "$base/shell" x

# --- access token -------------------------------------------------------------------------------------------------------------------

cat >"$base/token.yml" <<'END'
version: "0.3"
name: run-token
security: {service_access_token: "$TOKEN", attestation: {mode: simulation}}
services: [{name: shell, command: [sh, -c, "echo in"], pwd: /, attestation: [{mrenclave: [$MEASUREMENT]}]}]
END
token='between us: 7f3a'
expect token_session 0 '' -- "$bin/scone" session create "$base/token.yml" --set "TOKEN=$token" --set "MEASUREMENT=$(scone measure "$base/shell")"
printf '%s\n' "$token" >"$base/token"
printf 'another' >"$base/wrong-token"
: >"$base/no-token"
with=("$bin/scone" run --config-id run-token/shell)
expect access_token 0 '' -- "${with[@]}" --access-token-file "$base/token" -- "$base/shell"
prints "with the access token it runs" in
expect access_token_missing 125 'access token' -- "${with[@]}" -- "$base/shell"
expect access_token_wrong 125 'access token' -- "${with[@]}" --access-token-file "$base/wrong-token" -- "$base/shell"
expect access_token_empty 125 '0 bytes' -- "${with[@]}" --access-token-file "$base/no-token" -- "$base/shell"
expect access_token_no_file 125 'no/such' -- "${with[@]}" --access-token-file /no/such -- "$base/shell"
expect access_token_of_no_session 125 'has none' -- "$bin/scone" run --config-id run-test/shell --access-token-file "$base/token" -- "$base/shell"

end_process las
expect las_gone 125 'las\.sock' -- "${attested[@]}" x
rm -f "$base/las.sock"
start_las || not_ok restart_las "scone-las does not start again"
end_process cas
expect cas_gone 125 "$cas" -- "${attested[@]}" x
start_cas cas "$cas" || not_ok restart_cas "scone-cas does not start again"
expect attested_after_restarts 7 '^a secret word' -- "${attested[@]}" x
holds_nothing=$(grep -rlaF 'a secret word' "$base/cas" "$base/las" "$base"/*.log 2>/dev/null)
if [[ -z $holds_nothing ]] && grep -qF 'a secret word' "$base/session.yml"; then
	ok "the word is in no file of CAS and LAS, and in none of their logs"
else
	not_ok "the word is in no file of CAS and LAS, and in none of their logs" "$holds_nothing"
fi
