#!/bin/bash
# The command line against a real CAS: what it prints, what it refuses, and with which exit code.
set -uo pipefail

# shellcheck source=tests/lib/e2e.sh
. "$(dirname "$0")/../lib/e2e.sh" cli

zero=$(printf '0%.0s' {1..64})
one=${zero//0/1}

# --- usage --------------------------------------------------------------------------------------------------------------------------

expect no_verb 2 'usage: scone VERB' -- "$bin/scone"
expect unknown_verb 2 "unknown verb 'frobnicate'" -- "$bin/scone" frobnicate
expect unknown_second_word 2 "unknown verb 'frobnicate'" -- "$bin/scone" session frobnicate
expect group_alone 2 'a verb is wanted' -- "$bin/scone" cas
expect help 0 'scone session create' -- "$bin/scone" --help
expect version 0 '^scone [0-9]+\.' -- "$bin/scone" --version
for verb in 'cas add' 'cas attest' 'cas list' 'cas default' 'session create' 'session update' 'session read' 'session verify' \
	'session list' 'session delete' identity measure run; do
	read -ra words <<<"$verb"
	code=2
	[[ $verb == run ]] && code=125
	expect "help: $verb" 0 "^usage: scone $verb" -- "$bin/scone" "${words[@]}" --help
	expect "unknown option: $verb" $code "scone $verb --help" -- "$bin/scone" "${words[@]}" --frobnicate
done
expect too_many_operands 2 'operands' -- "$bin/scone" identity x
expect too_few_operands 2 'operands' -- "$bin/scone" session create
expect run_without_program 125 'operands' -- "$bin/scone" run
expect malformed_key 2 'cas-key' -- "$bin/scone" session list --cas-key 12345
expect malformed_hash 2 'hash' -- "$bin/scone" session read a --hash 12
expect malformed_set 2 'NAME=VALUE' -- "$bin/scone" session verify /dev/null --set 'A B'

# --- identity -----------------------------------------------------------------------------------------------------------------------

for _ in {1..8}; do
	scone identity >>"$base/keys" 2>>"$base/keys.log" &
	makers+=($!)
done
wait "${makers[@]}"
holds "identity made by eight at once is one" test "$(sort -u "$base/keys" | wc -l) $(wc -l <"$base/keys")" = '1 8'
holds "identity is readable by its owner only" test "$(stat -c %a "$SCONE_HOME/identity.pem") $(stat -c %a "$SCONE_HOME")" = '600 700'
me=$(scone identity)
expect identity_new_refused 6 'exists already' -- "$bin/scone" identity --new
holds "identity is unchanged" test "$(scone identity)" = "$me"
holds "the certificate is of this key" test "$(scone identity --certificate | openssl x509 -pubkey -noout | openssl pkey -pubin -outform der | sha256sum)" = \
	"$(openssl pkey -in "$SCONE_HOME/identity.pem" -pubout -outform der | sha256sum)"
chmod 644 "$SCONE_HOME/identity.pem"
expect identity_open_to_others 7 'others can read' -- "$bin/scone" identity
chmod 600 "$SCONE_HOME/identity.pem"
chmod 770 "$SCONE_HOME"
expect home_open_to_others 7 'others can write' -- "$bin/scone" identity
chmod 700 "$SCONE_HOME"
mkdir -m 700 "$base/broken"
head -c 300 "$SCONE_HOME/identity.pem" >"$base/broken/identity.pem"
chmod 600 "$base/broken/identity.pem"
expect identity_truncated 4 'identity.pem' -- env SCONE_HOME="$base/broken" "$bin/scone" identity
expect no_home 4 'SCONE_HOME' -- env -u SCONE_HOME -u HOME "$bin/scone" identity

# --- cas ----------------------------------------------------------------------------------------------------------------------------

start_cas cas || { not_ok start_cas "scone-cas does not start"; exit; }
cas=$address
start_cas other || { not_ok start_other "scone-cas does not start"; exit; }
other=$address

expect no_cas 5 'no CAS given' -- "$bin/scone" session list
expect not_pinned 8 'cas add NAME .* --key' -- "$bin/scone" session list --cas "$cas"
expect cas_unreachable 3 '' -- "$bin/scone" cas add dead 127.0.0.1:1 --trust-first
expect cas_add_shows_key 8 'shows key [1-9A-HJ-NP-Za-km-z]{40,}' -- "$bin/scone" cas add main "$cas"
key=$(grep -oE 'shows key [^, ]+' "$err" | cut -d' ' -f3)
expect nothing_pinned_yet 8 'no key is pinned' -- "$bin/scone" session list --cas "$cas"
expect cas_add_both 2 'exclude' -- "$bin/scone" cas add main "$cas" --key "$key" --trust-first
expect cas_add_bad_name 2 'CAS name' -- "$bin/scone" cas add 'a/b' "$cas" --key "$key"
expect cas_add_bad_address 4 'port' -- "$bin/scone" cas add main 127.0.0.1:99999 --key "$key"
expect cas_add_by_key 0 "^main $cas $key\$" -- "$bin/scone" cas add main "$cas" --key "$key"
expect cas_add_twice 6 'known already' -- "$bin/scone" cas add main "$other" --trust-first
expect cas_attest 0 "^key +$key\$" -- "$bin/scone" cas attest main
expect cas_attest_says_simulated 0 'SIMULATION' -- "$bin/scone" cas attest
expect cas_attest_by_address 0 "^key +$key\$" -- "$bin/scone" cas attest "$cas"
expect cas_attest_other_key 8 "$me" -- "$bin/scone" cas attest main --key "$me"
expect cas_default 0 '^main$' -- "$bin/scone" cas default
expect cas_default_unknown 5 'no CAS named' -- "$bin/scone" cas default nobody
expect false_cas_added 0 '' -- "$bin/scone" cas add false "$other" --key "$key"
expect false_cas_refused 8 "$key" -- "$bin/scone" cas attest false
expect false_cas_gets_nothing 8 "$key" -- "$bin/scone" session list --cas false
expect cas_replaced 0 '' -- "$bin/scone" cas add false "$other" --trust-first --replace
expect cas_replaced_attests 0 '' -- "$bin/scone" cas attest false
expect cas_list 0 "^\* main $cas $key\$" -- "$bin/scone" cas list
expect cas_key_for_one_call 0 '' -- env SCONE_HOME="$base/home2" "$bin/scone" session list --cas "$cas" --cas-key "$key"
expect cas_addr_from_environment 8 'no key is pinned' -- env SCONE_CAS_ADDR=127.0.0.1:1 "$bin/scone" session list

# --- session: good ------------------------------------------------------------------------------------------------------------------

cat >"$base/good.yml" <<'END'
# a comment with $NOTHING in it
name: first
version: "0.3"
security: {attestation: {mode: simulation}}
services:
  - name: web
    command: [web, "--root=$ROOT", "$$SCONE::token$$"]
    pwd: /
    attestation: [{mrenclave: [$M]}]
secrets:
  - {name: token, kind: ascii}
END
set_all=(--set "ROOT=/srv/a b" --set "M=$zero")
expect verify 0 '^first [0-9a-f]{64}$' -- "$bin/scone" session verify "$base/good.yml" "${set_all[@]}"
verified=$(cut -d' ' -f2 "$out")
expect check 0 '^first [0-9a-f]{64}$' -- "$bin/scone" session check "$base/good.yml" "${set_all[@]}"
expect calculate_hash 0 '^[0-9a-f]{64}$' -- "$bin/scone" session calculate-hash "$base/good.yml" "${set_all[@]}"
expect calculate_hash_unknown_creator 4 'depends on the uploader' -- env SCONE_HOME="$base/none" "$bin/scone" session calculate-hash "$base/good.yml" "${set_all[@]}"
expect verify_warns_of_simulation 0 'good\.yml:4:[0-9]+: warning: .*simulation' -- "$bin/scone" session verify "$base/good.yml" "${set_all[@]}"
expect verify_unknown_creator 0 '^first -$' -- env SCONE_HOME="$base/none" "$bin/scone" session verify "$base/good.yml" "${set_all[@]}"
holds "verify makes no identity" test ! -e "$base/none"
expect create 0 '^first [0-9a-f]{64}$' -- "$bin/scone" session create "$base/good.yml" "${set_all[@]}"
created=$(cut -d' ' -f2 "$out")
holds "verify told the hash that CAS computed" test "$verified" = "$created"
expect create_again 6 'first' -- "$bin/scone" session create "$base/good.yml" "${set_all[@]}"
expect create_from_stdin 0 '^second ' -- sh -c "M=$one ROOT=/ '$bin/scone' session create --use-env --name second - <'$base/good.yml'"
scone session read first >"$base/read.yml" 2>/dev/null
# shellcheck disable=SC2016 # the text of the document
holds "read gives the text with its variables replaced" grep -qxF '    command: [web, "--root=/srv/a b", "$$SCONE::token$$"]' "$base/read.yml"
holds "comments are left alone" grep -qxF "# a comment with \$NOTHING in it" "$base/read.yml"
expect list 0 '^second [0-9a-f]{64}$' -- "$bin/scone" session list
expect read_unknown 5 'nobody' -- "$bin/scone" session read nobody
expect read_bad_name 4 '' -- "$bin/scone" session read '../cas'

expect update 0 '^first [0-9a-f]{64}$' -- "$bin/scone" session update "$base/good.yml" --set ROOT=/new --set "M=$zero"
updated=$(cut -d' ' -f2 "$out")
holds "update gives another hash" test "$updated" != "$created"
holds "the file itself has no predecessor" test "$(grep -c predecessor "$base/good.yml")" = 0
expect read_old_version 0 'root=/srv/a b' -- "$bin/scone" session read first --hash "$created"
expect read_old_is_not_new 5 '' -- "$bin/scone" session read first --hash "$zero"
expect update_unknown 5 'nobody' -- "$bin/scone" session update "$base/good.yml" --name nobody "${set_all[@]}"
sed "2i predecessor: $created" "$base/good.yml" >"$base/stale.yml"
expect create_with_predecessor 4 'session update' -- "$bin/scone" session create "$base/stale.yml" --name x "${set_all[@]}"
expect update_stale_predecessor 6 "" -- "$bin/scone" session update "$base/stale.yml" "${set_all[@]}"

# Two users with one identity: the second has not seen the first one's change.
cp -r "$SCONE_HOME" "$base/twin"
scone session update "$base/good.yml" --set ROOT=/by-first --set "M=$zero" >/dev/null 2>&1
expect update_of_unseen_version 6 'last seen here' -- env SCONE_HOME="$base/twin" "$bin/scone" session update "$base/good.yml" "${set_all[@]}"
expect read_makes_it_seen 0 'by-first' -- env SCONE_HOME="$base/twin" "$bin/scone" session read first
expect update_after_reading 0 '' -- env SCONE_HOME="$base/twin" "$bin/scone" session update "$base/good.yml" "${set_all[@]}"
expect update_unseen_forced 0 '' -- "$bin/scone" session update "$base/good.yml" --force --set ROOT=/forced --set "M=$zero"

# Read, edit, update: the way out of a conflict.
scone session read first --for-update >"$base/edit.yml" 2>/dev/null
sed -i 's#/forced#/edited#' "$base/edit.yml"
expect update_of_edited_read 0 '^first ' -- "$bin/scone" session update "$base/edit.yml" --no-substitute
expect update_of_edited_read_again 6 'predecessor' -- "$bin/scone" session update "$base/edit.yml" --no-substitute
expect edited_is_there 0 '/edited' -- "$bin/scone" session read first

current=$(scone session read first --json 2>/dev/null | jq -r .hash)
sed "2i predecessor: $current" "$base/good.yml" >"$base/race.yml"
racers=()
for i in {1..6}; do
	scone session update "$base/race.yml" --set "ROOT=/race$i" --set "M=$zero" >"$base/race$i" 2>&1 &
	racers+=($!)
done
won=0 lost=0
for p in "${racers[@]}"; do
	wait "$p"
	case $? in 0) won=$((won + 1)) ;; 6) lost=$((lost + 1)) ;; esac
done
holds "of six updates of one version, one wins ($won) and five are told ($lost)" test "$won $lost" = '1 5'

# --- session: other users -----------------------------------------------------------------------------------------------------------

stranger=(env SCONE_HOME="$base/stranger" "$bin/scone")
"${stranger[@]}" cas add main "$cas" --key "$key" >/dev/null 2>&1
expect stranger_may_not_read 7 '' -- "${stranger[@]}" session read first
expect stranger_may_not_update 7 '' -- "${stranger[@]}" session update "$base/good.yml" "${set_all[@]}"
expect stranger_may_not_delete 7 '' -- "${stranger[@]}" session delete first
expect stranger_sees_no_session 0 '' -- "${stranger[@]}" session list
holds "the stranger's list is empty" test ! -s "$out"

# --- session: bad -------------------------------------------------------------------------------------------------------------------

expect variable_missing 4 'good\.yml: line 7, .*ROOT' -- "$bin/scone" session create "$base/good.yml" --name v --set "M=$zero"
expect file_missing 5 'cannot be opened' -- "$bin/scone" session create "$base/nothing.yml"
expect file_is_directory 1 'cannot be read' -- "$bin/scone" session create "$base"
: >"$base/empty.yml"
expect file_empty 4 'empty' -- "$bin/scone" session create "$base/empty.yml"
head -c 1100000 /dev/zero | tr '\0' '#' >"$base/large.yml"
expect file_too_large 4 'large\.yml: 1100000 bytes; at most 1048576 are accepted' -- "$bin/scone" session create "$base/large.yml"
head -c 5000 /dev/urandom >"$base/random.yml"
expect file_random 4 '' -- "$bin/scone" session create "$base/random.yml" --no-substitute
printf 'name: bad\nversion: "0.3"\nservices: [\n' >"$base/yaml.yml"
expect yaml_broken 4 'yaml\.yml:[0-9]+:[0-9]+: error: .*E-YAML' -- "$bin/scone" session create "$base/yaml.yml" --no-substitute
expect yaml_broken_verify 4 'yaml\.yml:[0-9]+:[0-9]+: error: .*E-YAML' -- "$bin/scone" session verify "$base/yaml.yml" --no-substitute
printf 'name: bad\nversion: "0.3"\nfrobnicate: 1\nsecrets: [{name: x, kind: ascii, size: 0}]\n' >"$base/keys.yml"
expect unknown_key 4 'keys\.yml:3:1: error: .*E-UNKNOWN' -- "$bin/scone" session create "$base/keys.yml"
holds "all errors are told at once" grep -q 'keys\.yml:4:.*E-RANGE' "$err"
cp "$out" "$base/out1"
cp "$err" "$base/cas.err"
expect verify_agrees_with_cas 4 'E-UNKNOWN' -- "$bin/scone" session verify "$base/keys.yml"
holds "verify names the same errors as CAS" test "$(grep -oE '\[E-[A-Z]+\]' "$err" | sort)" = "$(grep -oE '\[E-[A-Z]+\]' "$base/cas.err" | sort)"
holds "none of them exists now" test "$(scone session list | grep -cE '^(bad|v|x) ')" = 0

# --- JSON ---------------------------------------------------------------------------------------------------------------------------

# json NAME CODE FILTER -- COMMAND…: the output is one JSON object for which the jq filter is true
json() {
	local name=$1 code=$2 filter=$3 status
	shift 4
	timeout 60 "$@" >"$out" 2>"$err" </dev/null
	status=$?
	if ((status != code)); then
		not_ok "json: $name" "exit code $status, wanted $code: $(tail -n 1 "$err")"
	elif ! jq -es "length == 1 and (.[0] | $filter)" "$out" >/dev/null; then
		not_ok "json: $name" "$filter does not hold: $(head -c 300 "$out")"
	else
		ok "json: $name"
	fi
}
json 'cas list' 0 "[.cas[] | select(.default)] | length == 1 and .[0].key == \"$key\"" -- "$bin/scone" cas list --json
json 'cas attest' 0 ".key == \"$key\" and .simulated == true" -- "$bin/scone" cas attest --json
json 'cas default' 0 '.default == "main"' -- "$bin/scone" cas default --json
json 'cas add' 0 '.name == "third"' -- "$bin/scone" cas add third "$cas" --key "$key" --json
json 'cas add, not pinned' 8 '.error.code == "PEER"' -- "$bin/scone" cas add fourth "$cas" --json
json identity 0 ".key == \"$me\" and (.certificate | startswith(\"-----BEGIN\"))" -- "$bin/scone" identity --json
json 'session list' 0 '[.sessions[].name] | sort == ["first", "second"]' -- "$bin/scone" session list --json
json 'session read' 0 ".name == \"first\" and .creator == \"$me\"" -- "$bin/scone" session read first --json
json 'session verify' 0 '.valid and .name == "first" and (.hash | length == 64)' -- "$bin/scone" session verify "$base/good.yml" "${set_all[@]}" --json
json 'session verify, bad' 4 '(.valid | not) and ([.diagnostics[].name] | index("E-UNKNOWN") != null)' -- "$bin/scone" session verify "$base/keys.yml" --json
json 'session create' 0 '.name == "third" and (.hash | length == 64)' -- "$bin/scone" session create "$base/good.yml" --name third "${set_all[@]}" --json
json 'session create, bad' 4 '.error.code == "INPUT" and ([.error.details[].line] | index(3) != null)' -- "$bin/scone" session create "$base/keys.yml" --json
json 'session update' 0 '.name == "third"' -- "$bin/scone" session update "$base/good.yml" --name third --set ROOT=/ --set "M=$one" --json
json 'session delete' 0 '.name == "third"' -- "$bin/scone" session delete third --json
json measure 0 '(.measurement | test("^[0-9a-f]{64}$")) and ([.closure[].role] | index("program") != null)' -- \
	"$bin/scone" measure /bin/ls --runtime "$bin/scone" --json

# --- measure ------------------------------------------------------------------------------------------------------------------------

cp /bin/ls "$base/ls"
before=$(scone measure "$base/ls" --runtime "$bin/scone")
holds "a measurement is the same twice" test "$(scone measure "$base/ls" --runtime "$bin/scone")" = "$before"
holds "another runtime, another measurement" test "$(scone measure "$base/ls" --runtime /bin/cat)" != "$before"
printf '\1' | dd of="$base/ls" bs=1 seek=100000 conv=notrunc status=none
holds "another byte, another measurement" test "$(scone measure "$base/ls" --runtime "$bin/scone")" != "$before"
expect measure_verbose 0 "^program +$(sha256sum <"$base/ls" | cut -d' ' -f1) +$base/ls\$" -- "$bin/scone" measure -v "$base/ls" --runtime "$bin/scone"
holds "a bare name is looked up in PATH" test "$(PATH=/nowhere:$base scone measure ls --runtime "$bin/scone")" = \
	"$(scone measure "$base/ls" --runtime "$bin/scone")"
holds "an empty part of PATH is the working directory" test "$(cd "$base" && PATH=/nowhere: "$bin/scone" measure ls --runtime "$bin/scone")" = \
	"$(scone measure "$base/ls" --runtime "$bin/scone")"
library=$(ldd /bin/ls | awk '$1 == "libc.so.6" { print $3 }')
with=$(scone measure "$base/ls" --runtime "$bin/scone" --code /bin/cat --code /bin/sh)
holds "more code, another measurement" test "$with" != "$(scone measure "$base/ls" --runtime "$bin/scone")"
holds "--code in any order, and twice" test "$with" = \
	"$(scone measure --code /bin/sh --code /bin/cat --code /bin/sh "$base/ls" --runtime "$bin/scone")"
holds "what is measured already changes nothing" test "$(scone measure "$base/ls" --runtime "$bin/scone" --code "$base/ls")" = \
	"$(scone measure "$base/ls" --runtime "$bin/scone")"
holds "what is started counts" test "$(scone measure /bin/cat --code /bin/sh --runtime "$bin/scone")" != \
	"$(scone measure /bin/sh --code /bin/cat --runtime "$bin/scone")"
expect measure_code_role 0 "^executable +$(sha256sum </bin/cat | cut -d' ' -f1) +$(realpath /bin/cat)\$" -- \
	"$bin/scone" measure -v "$base/ls" --code /bin/cat --runtime "$bin/scone"
expect measure_code_library 0 "^library +[0-9a-f]{64} +$(realpath "$library")\$" -- \
	"$bin/scone" measure -v "$base/ls" --code "$library" --runtime "$bin/scone"
expect measure_code_missing 1 "--code $base/none" -- "$bin/scone" measure "$base/ls" --code "$base/none" --runtime "$bin/scone"
expect measure_code_text 4 'neither an ELF program' -- "$bin/scone" measure "$base/ls" --code "$base/good.yml" --runtime "$bin/scone"
mapfile -t much < <(for ((i = 0; i < 257; i++)); do printf '%s\n' --code /bin/cat; done)
expect measure_code_too_often 2 'more than 256 --code' -- "$bin/scone" measure "$base/ls" "${much[@]}"
expect measure_not_in_path 5 'no directory of PATH' -- env PATH=/nowhere "$bin/scone" measure ls --runtime "$bin/scone"
expect measure_text_file 4 'ELF' -- "$bin/scone" measure "$base/good.yml" --runtime "$bin/scone"
expect measure_missing 5 '' -- "$bin/scone" measure "$base/none" --runtime "$bin/scone"
expect measure_no_runtime 1 'runtime' -- "$bin/scone" measure /bin/ls --runtime "$base/none"

# --- run: what scone itself refuses -------------------------------------------------------------------------------------------------

export SCONE_RUNTIME=$base/runtime
# shellcheck disable=SC2016 # the text of a script
printf '#!/bin/sh\nprintf "%%s\\n" "$0" "$@"\n' >"$SCONE_RUNTIME"
chmod +x "$SCONE_RUNTIME"
expect run_passes_arguments_on 0 '' -- "$bin/scone" run -- prog --cas x -- 'a b'
holds "run without a configuration gives no options" test "$(tail -n +2 "$out" | tr '\n' '|')" = '--|prog|--cas|x|--|a b|'
expect run_resolves 0 '' -- "$bin/scone" run --cas "localhost:${cas##*:}" --cas-key "$key" --las /l --config-id a/b prog -x
holds "run gives a numeric address and the key" test "$(tail -n +2 "$out" | tr '\n' '|')" = \
	"--cas|127.0.0.1:${cas##*:}|--cas-key|$key|--las|/l|--config-id|a/b|--|prog|-x|"
expect run_code 0 '' -- "$bin/scone" run --code a.so --cas "$cas" --cas-key "$key" --las /l --code '-- x' --config-id a/b prog --code y
holds "run hands --code on, up to PROGRAM" test "$(tail -n +2 "$out" | tr '\n' '|')" = \
	"--cas|$cas|--cas-key|$key|--las|/l|--config-id|a/b|--code|a.so|--code|-- x|--|prog|--code|y|"
expect run_from_environment 0 '^a/c$' -- env SCONE_CONFIG_ID=a/c SCONE_LAS_ADDR=/m "$bin/scone" run prog
holds "run takes the default CAS and its pinned key" test "$(tail -n +2 "$out" | tr '\n' '|')" = \
	"--cas|$cas|--cas-key|$key|--las|/m|--config-id|a/c|--|prog|"
expect run_not_pinned 125 'cas add NAME .* --key' -- "$bin/scone" run --cas 127.0.0.1:7 --config-id a/b prog
expect run_bad_config_id 125 '' -- "$bin/scone" run --config-id nothing prog
expect run_long_las 125 'LAS socket' -- "$bin/scone" run --las "/$(printf 'x%.0s' {1..200})" --config-id a/b prog
expect run_no_runtime 125 'runtime' -- env SCONE_RUNTIME="$base/none" "$bin/scone" run prog
unset SCONE_RUNTIME

# --- CAS stops and comes back -------------------------------------------------------------------------------------------------------

hash_before=$(scone session list)
end_process cas
expect cas_gone 3 '' -- "$bin/scone" session list
start_cas cas "$cas" || { not_ok restart "scone-cas does not start again"; exit; }
holds "after a restart the same sessions are there" test "$(scone session list)" = "$hash_before"
expect same_key_after_restart 0 '' -- "$bin/scone" cas attest main
expect delete 0 '^first [0-9a-f]{64}$' -- "$bin/scone" session delete first
expect deleted_is_gone 5 '' -- "$bin/scone" session read first
expect deleted_version_stays_gone 6 'salt' -- "$bin/scone" session create "$base/good.yml" "${set_all[@]}"
expect deleted_name_is_free 0 '' -- "$bin/scone" session create "$base/good.yml" --set ROOT=/anew --set "M=$zero"

# --- damaged configuration ----------------------------------------------------------------------------------------------------------

printf '{"version": 1, "cas": [{"name": "x"}]}' >"$SCONE_HOME/cas.json"
expect list_entry_broken 4 'cas\.json' -- "$bin/scone" session list
printf '{' >"$SCONE_HOME/cas.json"
expect list_no_json 4 'cas\.json:1' -- "$bin/scone" cas list
