#!/usr/bin/env bash
# Volumes of a session under a program: made at first use, kept from the host, and only the newest state of one is ever used: with a real CAS and LAS.
# shellcheck disable=SC2016 # templates that CAS fills in
set -uo pipefail

# shellcheck source=tests/lib/e2e.sh
. "$(dirname "$0")/../lib/e2e.sh" volservice
export SCONE_LAS_ADDR=$base/las.sock
secret=a-word-that-nobody-else-reads
code=(--code /bin/cat --code /bin/sleep --code /bin/sync --code /bin/ls --code /bin/mkdir --code /bin/ln --code /usr/bin/stat)
mkdir "$base/data" "$base/strict" "$base/free" "$base/elsewhere" "$base/once" || exit 2

# run SERVICE SCRIPT: bash with SCRIPT as that service
run() {
	timeout -s KILL 60 "$bin/scone" run --config-id "vol/$1" "${code[@]}" -- /bin/bash -c "$2" >"$out" 2>"$err" </dev/null
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
measurement=$(scone measure /bin/bash --runtime "$runtime" "${code[@]}") || exit

# A sealed tree with a program that is measured nowhere, and the same program where nobody sealed it.
mkdir -p "$base/app/bin" "$base/loose"
cp /bin/echo "$base/app/bin/say"
cp /bin/echo "$base/loose/say"
echo 'sealed text' >"$base/app/text"
printf 'user=app\npassword=$$SCONE::word$$\n' >"$base/app/conf"
root=$(scone identity --new >/dev/null; scone volume seal "$base/app" | awk '$1 == "root" { print $2 }')
signer=$(scone identity | head -n 1)
cat >"$base/session.yml" <<YAML
name: vol
version: "0.3"
security: {attestation: {mode: simulation}}
volumes:
  - name: data
  - name: strict
  - name: free
  - name: once
secrets:
  - {name: word, kind: ascii, value: opensesame}
images:
  - name: data
    volumes: [{name: data, path: $base/data, cache_size: 8M}]
  - name: inject
    volumes: [{name: data, path: $base/data}]
    trees: [{path: $base/app, root: $root, signer: $signer}]
    provide_secrets: [word]
    injection_files:
      - $base/data/conf/key
      - {path: $base/data/conf/inline, content: "inline \$\$SCONE::word\$\$", permission: 0o640}
      - $base/app/conf
  - name: app
    trees: [{path: $base/app, root: $root}]
  - name: other
    trees: [{path: $base/app, root: "$(printf '0%.0s' {1..64})"}]
  - name: once
    volumes: [{name: once, path: $base/once, update_policy: ephemeral}]
  - name: strict
    volumes: [{name: strict, path: $base/strict, update_policy: strict}]
  - name: elsewhere
    volumes: [{name: free, path: $base/free}, {name: data, path: $base/elsewhere}]
  - name: free
    volumes: [{name: free, path: $base/free, update_policy: no_rollback_protection}]
services:
YAML
for s in data elsewhere strict free once inject app other; do
	cat >>"$base/session.yml" <<YAML
  - {name: $s, image_name: $s, command: [bash, "@@1", "@@2"], attestation: [{mrenclave: ["$measurement"]}]}
YAML
done
# Started in a directory of the volume, which the host does not have.
cat >>"$base/session.yml" <<YAML
  - {name: below, image_name: data, pwd: $base/data/in/side, command: [bash, "@@1", "@@2"], attestation: [{mrenclave: ["$measurement"]}]}
YAML
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
refused "an older copy is refused with both generations" data 'it is at generation [0-9]+, CAS has generation [0-9]+: an older copy was put in its place'
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

refused "a working directory that the volume does not have" below "working directory $base/data/in/side"
prints "which is made there" data "" "mkdir -p $base/data/in/side; echo note > $base/data/in/side/note"
prints "and entered" below "$base/data/in/side note" "read -r x < note; echo \$PWD \$x"

# Two at a time, and one that is killed.
start first "$bin/scone" run --config-id vol/data "${code[@]}" -- /bin/bash -c "echo held > $base/data/held; sync; echo up > $base/up; sleep 50"
wait_for first test -s "$base/up"
refused "a second application is refused while the first has it" data 'in use|another process'
refused "and elsewhere, with another directory, by CAS" elsewhere 'in use by another application instance, key [1-9A-Za-z]+, lease [0-9]+'
kill -KILL "${pid[first]}"
join first
holds "the first is killed" test $? = 137
prints "and the next one starts, with what was fsynced" data "held" "cat $base/data/held"

# strict: CAS has it before fsync answers.
prints "strict" strict "one" "echo one > $base/strict/f; sync $base/strict/f; cat $base/strict/f"
start lone timeout -s KILL 60 "$bin/scone" run --config-id vol/strict "${code[@]}" -- /bin/bash -c \
	"echo two > $base/strict/f; sync $base/strict/f && echo first; echo up > $base/up2; while [ ! -e $base/go ]; do sleep 0.1; done; echo three > $base/strict/f; sync $base/strict/f && echo second || echo refused; echo end"
wait_for lone test -s "$base/up2"
end_process cas
touch "$base/go"
join lone
holds "with CAS the write is acknowledged" grep -qx first "$base/lone.log"
holds "without it is not" grep -qx refused "$base/lone.log"
start_cas cas "$address" || not_ok restart "scone-cas does not start again"
prints "the volume is good when CAS is back" strict "ok" "read a < $base/strict/f; case \$a in two|three) echo ok;; *) echo \$a;; esac"

cp "$base/strict/volume.scone" "$base/strict-old"
prints "it changes under strict" strict "four" "echo four > $base/strict/f; sync; cat $base/strict/f"
cp "$base/strict/volume.scone" "$base/strict-new"
cp "$base/strict-old" "$base/strict/volume.scone"
refused "an older copy is refused under strict, with both generations" strict 'it is at generation [0-9]+, CAS has generation [0-9]+: an older copy was put in its place'
cp "$base/strict-new" "$base/strict/volume.scone"
prints "the newest is good under strict" strict "four" "cat $base/strict/f"

# no_rollback_protection: an older copy is used.
prints "without protection" free "a" "echo a > $base/free/f; sync; cat $base/free/f"
cp "$base/free/volume.scone" "$base/old"
prints "it changes, too" free "b" "echo b > $base/free/f; sync; cat $base/free/f"
cp "$base/old" "$base/free/volume.scone"
prints "an older copy is used, as the policy says" free "a" "cat $base/free/f"

# ephemeral: what the first use made counts, and nothing after it.
prints "ephemeral: the first use makes it" once "made" "echo made"
cp "$base/once/volume.scone" "$base/virgin"
prints "it is good while nobody writes" once "" "ls $base/once"
prints "a program may write" once "scratch" "echo scratch > $base/once/f; sync; cat $base/once/f"
refused "then it is refused, with both generations, until the old files are back" once 'generation [0-9]+, CAS has generation [0-9]+, and with update_policy ephemeral'
cp "$base/virgin" "$base/once/volume.scone"
prints "and then used again, without what was written" once "" "ls $base/once"

# Files that CAS fills in, in a volume and in a tree: their templates are there, the host's files of the same name count for nothing.
prints "a template is written into a volume" data "" "mkdir $base/data/conf; echo 'key=\$\$SCONE::word\$\$' > $base/data/conf/key; echo plain > $base/data/conf/other; ln -s conf $base/data/link; sync"
mkdir -p "$base/decoy" && echo decoy >"$base/decoy/key" && echo decoy >"$base/decoy/inline" && ln -s "$base/decoy" "$base/data/conf"
prints "it is filled in, by every name" inject "key=opensesame key=opensesame key=opensesame" "cd $base/data/link; a=\$(cat $base/data/conf/key); b=\$(cat ../link/key); cd ..; echo \$a \$b \$(cat conf/./key)"
prints "so is one that only the session has" inject "inline opensesame 640" "cat $base/data/conf/inline; stat -c ' %a' $base/data/link/inline"
prints "its neighbours are the volume's" inject "plain" "cat $base/data/conf/other"
prints "the volume keeps the template" data 'key=$$SCONE::word$$' "cat $base/data/conf/key"
prints "writes to it stay in memory" inject "mine" "echo mine > $base/data/conf/key; cat $base/data/conf/key"
prints "as the volume shows" data 'key=$$SCONE::word$$' "cat $base/data/conf/key"
prints "in a sealed tree" inject "password=opensesame" "while read -r l; do [[ \$l != p* ]] || echo \$l; done < $base/app/conf"
rm "$base/data/conf"

# A sealed tree of a session: its code is authenticated by it, other code is not.
prints "a tree of a session" app "sealed text" "cat $base/app/text"
prints "a program of the tree is executed, though nobody measured it" app "said" "$base/app/bin/say said"
prints "by others, too" app "said twice" "/bin/bash -c '$base/app/bin/say said \$(exec $base/app/bin/say twice)'"
run app "$base/loose/say loose"
holds "the same program elsewhere is refused" bash -c "[[ \$(cat '$out') != loose ]] && grep -q 'not in the manifest' '$err'"
refused "a tree with another root" other "root is $root, wanted 0{64}"
printf X | dd of="$base/app/bin/say" bs=1 seek=20000 conv=notrunc status=none
run app "$base/app/bin/say owned"
holds "a changed program of the tree does not run" bash -c "[[ ! -s '$out' ]] && grep -q 'say: not what was sealed' '$err'"

keepers() { pgrep -a scone-keeper | grep -c -e "$base"; }
for _ in {1..50}; do [ "$(keepers)" != 0 ] || break; sleep 0.1; done
holds "no keeper is left" test "$(keepers)" = 0
