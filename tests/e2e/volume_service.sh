#!/usr/bin/env bash
# Volumes of a session under a program: made at first use, kept from the host, and only the newest state of one is ever used: with a real CAS and LAS.
set -uo pipefail

# shellcheck source=tests/lib/e2e.sh
. "$(dirname "$0")/../lib/e2e.sh" volservice
export SCONE_LAS_ADDR=$base/las.sock
secret=a-word-that-nobody-else-reads
mkdir "$base/data" "$base/strict" "$base/free" "$base/elsewhere" || exit 2

# run SERVICE SCRIPT: bash with SCRIPT as that service
run() {
	timeout -s KILL 60 "$bin/scone" run --config-id "vol/$1" --code /bin/cat --code /bin/sleep --code /bin/sync --code /bin/ls -- /bin/bash -c "$2" >"$out" 2>"$err" </dev/null
}

# prints NAME SERVICE WANTED SCRIPT
prints() {
	local status
	run "$2" "$4"
	status=$?
	if ((status != 0)) || [[ $(cat "$out") != "$3" ]]; then
		not_ok "$1" "status $status, '$(head -c 200 "$out")', wanted '$3': $(grep -v 'nothing keeps' "$err" | tail -n 3 | tr '\n' ' ')"
	else
		ok "$1"
	fi
}

# refused NAME SERVICE PATTERN: it does not start, for that reason
refused() {
	local status
	run "$2" 'echo ran'
	status=$?
	if ((status != 125)) || [[ -s $out ]]; then
		not_ok "$1" "status $status, '$(head -c 200 "$out")'"
	elif ! grep -qE -e "$3" "$err"; then
		not_ok "$1" "nothing matches $3: $(grep -v 'nothing keeps' "$err" | tail -n 3 | tr '\n' ' ')"
	else
		ok "$1"
	fi
}

start_las || { not_ok start_las "scone-las does not start"; exit; }
key=$("$bin/scone-cas" --dir "$base/cas" --print-key)
start_cas cas || { not_ok start_cas "scone-cas does not start"; exit; }
scone cas add test "$address" --key "$key" >/dev/null || exit
measurement=$(scone measure /bin/bash --runtime "$runtime" --code /bin/cat --code /bin/sleep --code /bin/sync --code /bin/ls) || exit
cat >"$base/session.yml" <<YAML
name: vol
version: "0.3"
security: {attestation: {mode: simulation}}
volumes:
  - name: data
  - name: strict
  - name: free
images:
  - name: data
    volumes: [{name: data, path: $base/data}]
  - name: strict
    volumes: [{name: strict, path: $base/strict, update_policy: strict}]
  - name: elsewhere
    volumes: [{name: free, path: $base/free}, {name: data, path: $base/elsewhere}]
  - name: free
    volumes: [{name: free, path: $base/free, update_policy: no_rollback_protection}]
services:
YAML
for s in data elsewhere strict free; do
	cat >>"$base/session.yml" <<YAML
  - {name: $s, image_name: $s, command: [bash, "@@1", "@@2"], attestation: [{mrenclave: ["$measurement"]}]}
YAML
done
holds "the session is taken" scone session create "$base/session.yml"

prints "a volume is made at its first use, and the program writes" data "0 done" "set -- $base/data/*; [ -e \$1 ] && echo \$# done || echo 0 done; echo $secret > $base/data/file; sync"
prints "the next start reads" data "$secret" "cat $base/data/file"
holds "the host has one file there" test "$(ls "$base/data")" = volume.scone
holds "without a word of it" bash -c "! grep -q -e $secret -e 'lease' '$base/data/volume.scone'"
prints "what is the runtime's own in it is not the program's to see" data "file" "ls -A $base/data"

# An older state.
cp "$base/data/volume.scone" "$base/yesterday"
prints "it changes" data "$secret new" "echo $secret new > $base/data/file; sync; cat $base/data/file"
cp "$base/data/volume.scone" "$base/today"
cp "$base/yesterday" "$base/data/volume.scone"
refused "an older copy is refused with both generations" data 'generation [0-9]+.*generation [0-9]+|[0-9]+.*(CAS has|remembers).*[0-9]+'
# A start that is refused gives its leases back: this one has two volumes, and wants one of them where there is none.
refused "a start that does not find its volume is refused" elsewhere 'there is none at the host, CAS has generation [0-9]+'
cp "$base/today" "$base/data/volume.scone"
prints "and what it had taken is free at once, there and elsewhere" data "$secret new" "cat $base/data/file"
cp "$base/data/volume.scone" "$base/today"
rm "$base/data/volume.scone"
refused "so is none at all" data 'volume .*data'
holds "and nothing is left in its place" test ! -e "$base/data/volume.scone"
cp "$base/today" "$base/data/volume.scone"
prints "the newest is good" data "$secret new" "cat $base/data/file"

# Two at a time, and one that is killed.
start first "$bin/scone" run --config-id vol/data --code /bin/cat --code /bin/sleep --code /bin/sync --code /bin/ls -- /bin/bash -c "echo held > $base/data/held; sync; echo up > $base/up; sleep 50"
wait_for first test -s "$base/up"
refused "a second application is refused while the first has it" data 'in use|another process'
kill -KILL "${pid[first]}"
join first
holds "the first is killed" test $? = 137
prints "and the next one starts, with what was fsynced" data "held" "cat $base/data/held"

# strict: CAS has it before fsync answers.
prints "strict" strict "one" "echo one > $base/strict/f; sync $base/strict/f; cat $base/strict/f"
start lone timeout -s KILL 60 "$bin/scone" run --config-id vol/strict --code /bin/cat --code /bin/sleep --code /bin/sync --code /bin/ls -- /bin/bash -c \
	"echo two > $base/strict/f; sync $base/strict/f && echo first; echo up > $base/up2; while [ ! -e $base/go ]; do sleep 0.1; done; echo three > $base/strict/f; sync $base/strict/f && echo second || echo refused; echo end"
wait_for lone test -s "$base/up2"
end_process cas
touch "$base/go"
join lone
holds "with CAS the write is acknowledged" grep -qx first "$base/lone.log"
holds "without it is not" grep -qx refused "$base/lone.log"
start_cas cas "$address" || not_ok restart "scone-cas does not start again"
prints "the volume is good when CAS is back" strict "ok" "read a < $base/strict/f; case \$a in two|three) echo ok;; *) echo \$a;; esac"

# no_rollback_protection: an older copy is used.
prints "without protection" free "a" "echo a > $base/free/f; sync; cat $base/free/f"
cp "$base/free/volume.scone" "$base/old"
prints "it changes, too" free "b" "echo b > $base/free/f; sync; cat $base/free/f"
cp "$base/old" "$base/free/volume.scone"
prints "an older copy is used, as the policy says" free "a" "cat $base/free/f"
keepers() { pgrep -a scone-keeper | grep -c -e "$base"; }
for _ in {1..50}; do [ "$(keepers)" != 0 ] || break; sleep 0.1; done
holds "no keeper is left" test "$(keepers)" = 0
