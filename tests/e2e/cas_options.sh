#!/usr/bin/env bash
# The options of scone-cas from a file, with --check-config: what is good, what is refused and how it is told, and that the command line counts more.
set -uo pipefail

# shellcheck source=tests/lib/e2e.sh
. "$(dirname "$0")/../lib/e2e.sh" cas-options
file=$base/cas.yml
key=$("$bin/scone-cas" --dir "$base/key" --tee sim --print-platform 2>"$base/key.log")

# config: the file from standard input
config() { cat >"$file"; }

# check WHAT STATUS TEXT OPTION…: scone-cas --config FILE --check-config OPTION… ends with STATUS and says TEXT
check() {
	local status said
	said=$(SCONE_LOG=error timeout -s KILL "$limit" "$bin/scone-cas" --config "$file" --check-config "${@:4}" 2>&1)
	status=$?
	if [[ $status -eq $2 && $said == *"$3"* ]]; then
		echo "ok $1"
		passed=$((passed + 1))
	else
		echo "not ok $1: status $status, wanted $2; said \"$said\", wanted \"$3\""
		failed=$((failed + 1))
	fi
}

config <<YAML
# every option that a file may set and that needs nothing else
dir: $base/state
listen: 127.0.0.1:0
address-file: $base/address
tee: sim
sim-platform: [$key, $key]
platform-max-age: 60
replica-platform: [$key]
collateral: $base/collateral
min-tcb-evaluation: 17
operator: [$key]
max-body: 4096
max-connections: 20
max-peer-connections: 10
max-peer-requests: 5
timeout: 3
YAML
check "a good file" 0 good
config <"$here/../../share/systemd/cas.yml"
check "the file of the package" 0 good
# Its comments are options, too: each must be one that there is.
sed -n -E 's/^# ([a-z-]+): .*/\1/p' "$here/../../share/systemd/cas.yml" >"$base/named"
while read -r name; do
	if "$bin/scone-cas" --help | grep -q -- "--$name "; then
		echo "ok a comment's option: $name"
		passed=$((passed + 1))
	else
		echo "not ok a comment of share/systemd/cas.yml names $name, which is no option"
		failed=$((failed + 1))
	fi
done <"$base/named"
sed -E 's/^# ([a-z-]+: )/\1/; /^(tpm-root|cas-policy|store):/d' "$here/../../share/systemd/cas.yml" | config
check "its comments taken in" 0 good
config <<<""
check "an empty file" 2 "the document is empty"
config <<<"new-audit-log: true"
check "only on the command line" 2 "$file:1: new-audit-log is not an option that a file may set"

printf 'listen: 127.0.0.1:0\nnonsense: 1\n' | config
check "an unknown key" 2 "$file:2: nonsense is not an option that a file may set"
config <<<"max-conn: 5"
check "a shortened name" 2 "max-conn is not an option"
config <<<"config: $file"
check "a file from a file" 2 "config is not an option"
printf 'dir: /x\nmax-body: many\n' | config
check "a word for a number" 2 "$file:2: --max-body many: wanted a number from 1024 to 67108864"
config <<<"listen: {a: b}"
check "a map for a value" 2 "a map, wanted a value"
config <<<"dir:"
check "nothing for a value" 2 "wanted a value"
config <<<"- listen"
check "a list for the file" 2 "wanted a map from options to values"
config <<<"just text"
check "a text for the file" 2 "wanted a map from options to values"
config <<<"sim-platform: [[$key]]"
check "a list in a list" 2 "a list, wanted a value"
config <<<"sim-platform: [$key, abc]"
check "a bad item of a list" 2 "--sim-platform abc"
printf 'timeout: 3\ntimeout: 4\n' | config
check "a key twice" 2 "$file:2:"
config <<<"dir: [a"
check "no YAML" 2 "$file:"
config <<<'dir: "a\0b"'
check "a zero byte" 2 "wanted a value"

while read -r option low high; do
	config <<<"$option: $low"
	check "$option: $low" 0 good
	config <<<"$option: $high"
	check "$option: $high" 0 good
	config <<<"$option: $((low - 1))"
	check "$option: $((low - 1))" 2 "--$option $((low - 1)): wanted a number from $low to $high"
	config <<<"$option: $((high + 1))"
	check "$option: $((high + 1))" 2 "--$option $((high + 1)): wanted a number from $low to $high"
done <<'ROWS'
max-body 1024 67108864
max-connections 1 100000
max-peer-connections 0 100000
max-peer-requests 0 1000000
timeout 1 3600
platform-max-age 1 2592000
min-tcb-evaluation 0 4294967295
ROWS
config <<<"max-body: 1e6"
check "an exponent" 2 "wanted a number"
config <<<"operator: abc"
check "a key that is none" 2 "--operator abc"
config <<<"tee: none"
check "no such driver" 2 "--tee none"
config <<<"join: 127.0.0.1:1"
check "half of what belongs together" 2 "given together"

config <<<"timeout: 3"
check "a bad option beside a good file" 2 "--timeout 0" --timeout 0
check "an unknown option beside it" 2 "--nonsense" --nonsense
rm "$file"
check "no file" 2 "cannot open $file: No such file"
mkdir "$file"
check "a directory" 2 "cannot read $file"
rmdir "$file"
head -c 70000 /dev/zero | tr '\0' '#' | config
check "a file too long" 2 "longer than 65536 bytes"
if [[ $EUID -ne 0 ]]; then
	config <<<"timeout: 3"
	chmod 000 "$file"
	check "a file that may not be read" 2 "Permission denied"
	chmod 600 "$file"
fi

# The command line counts more: the file's port is malformed, the command line's one is taken.
printf 'listen: 127.0.0.1:nonsense\ndir: %s\ntee: sim\naddress-file: %s\n' "$base/of-file" "$base/address" | config
start cas "$bin/scone-cas" --config "$file" --listen 127.0.0.1:0 --dir "$base/of-line"
if wait_for cas test -s "$base/address" && [[ $(<"$base/address") =~ ^127.0.0.1:[0-9]+$ && -d $base/of-line && ! -e $base/of-file ]]; then
	echo "ok the command line counts more, the file where it says nothing"
	passed=$((passed + 1))
else
	echo "not ok the command line counts more: $(tail -n 3 "$base/cas.log")"
	failed=$((failed + 1))
fi
end_process cas
[[ ! -e $base/state ]] || {
	echo "not ok --check-config made the state directory"
	failed=$((failed + 1))
}
