#!/bin/bash
# scone-las as a service: options, start, second start, stop, crash and take-over, what it keeps on disk.
set -uo pipefail

# shellcheck source=tests/lib/e2e.sh
. "$(dirname "$0")/../lib/e2e.sh" las
las=$bin/scone-las
probe=$bin/../tests/e2e/las_probe
sock=$base/a/b/las.sock
limit=20
# The leak checker works by ptrace, which scone-las shuts out, and the probe leaves its memory to exit.
export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0

begin() {
	start las "$las" --socket "$sock" --dir "$base/s/t/state" --runtime "$probe"
	local i
	for ((i = 0; i < 100; i++)); do
		# A socket file may be left from before: only an answer counts.
		"$probe" "$sock" time 1 >/dev/null 2>&1 && return 0
		kill -0 "${pid[las]}" 2>/dev/null || return 1
		sleep 0.05
	done
	return 1
}

# stop SIGNAL: its exit status
stop() { end_process las "$1"; }

expect 'help' 0 'usage: scone-las' -- "$las" --help
expect 'version' 0 '^scone-las [0-9]+\.' -- "$las" --version
expect 'unknown option' 2 'help' -- "$las" --nonsense
expect 'stray argument' 2 "unexpected argument 'x'" -- "$las" x
expect 'unknown TEE' 1 "no TEE driver is named 'abacus'" -- "$las" --tee abacus --dir "$base/none"
expect 'TEE that cannot work here' 1 'skeleton' -- "$las" --tee skeleton --dir "$base/none"
expect 'runtime that is not there' 1 "cannot open the runtime $base/absent" -- \
	"$las" --socket "$sock" --dir "$base/none" --runtime "$base/absent"
expect 'socket path too long' 1 'wanted 1 to 107' -- "$las" --runtime "$probe" --dir "$base/none" --socket "$base/$(printf 'x%.0s' {1..120})"
mkdir -p "$base/open" && chmod 777 "$base/open"
expect 'state directory that others may write' 1 'others may write' -- "$las" --dir "$base/open" --print-platform

holds 'starts, making the directories it needs' begin
expect 'state is private' 0 '^700 600 600$' -- bash -c "echo \$(stat -c %a '$base/s/t/state' '$base/s/t/state/platform.key' '$base/s/t/state/sealing.key')"
expect 'socket is for everybody' 0 '^666$' -- stat -c %a "$sock"
expect 'and so is the way there' 0 '^755 755$' -- bash -c "echo \$(stat -c %a '$base/a' '$base/a/b')"
expect 'says that it is a simulation' 0 'simulation' -- cat "$base/las.log"
expect 'no core file' 0 'Max core file size +0 +0' -- cat "/proc/${pid[las]}/limits"
first=$("$las" --dir "$base/s/t/state" --print-platform)
expect 'a second one is refused' 1 'another server listens there' -- \
	"$las" --socket "$sock" --dir "$base/s/t/state" --runtime "$probe"
expect 'and the first still answers' 0 '^verified' -- "$probe" "$sock" evidence "$first"

holds 'SIGTERM ends it with status 0' stop TERM
holds 'its socket is gone' test ! -e "$sock"
holds 'starts again' begin
expect 'with the same platform key' 0 '^verified' -- "$probe" "$sock" evidence "$first"
holds 'SIGINT ends it with status 0' stop INT

holds 'starts a third time' begin
stop KILL
holds 'a killed one leaves its socket' test -S "$sock"
holds 'a stale socket is taken over' begin
expect 'and answered on' 0 '^verified' -- "$probe" "$sock" evidence "$first"

# With a connection open in the middle of a request, it still ends at once.
start slow "$probe" "$sock" slow
sleep 0.3
SECONDS=0
stop TERM
if ((SECONDS < 5)); then ok 'ends with a request under way'; else not_ok 'ends with a request under way' "took $SECONDS s"; fi
join slow

# Without --runtime: the scone-runtime beside the program.
mkdir "$base/installed"
cp "$las" "$base/installed/scone-las"
expect 'no runtime beside it' 1 "cannot open the runtime $base/installed/scone-runtime" -- \
	"$base/installed/scone-las" --socket "$sock" --dir "$base/s/t/state"
cp "$probe" "$base/installed/scone-runtime"
start las "$base/installed/scone-las" --socket "$sock" --dir "$base/s/t/state"
wait_for las test -S "$sock"
expect 'the runtime beside it is genuine' 0 '^verified' -- "$base/installed/scone-runtime" "$sock" evidence "$first"
holds 'and it stops as well' stop TERM

echo hello >"$sock"
expect 'a file in place of the socket is left alone' 1 'exists and is no socket' -- \
	"$las" --socket "$sock" --dir "$base/s/t/state" --runtime "$probe"
expect 'and unchanged' 0 '^hello$' -- cat "$sock"
rm -f "$sock"

chmod 640 "$base/s/t/state/platform.key"
expect 'a key that others may read is refused' 1 'platform.key: mode 100640' -- "$las" --dir "$base/s/t/state" --print-platform
chmod 600 "$base/s/t/state/platform.key"
printf 'no key' >"$base/s/t/state/platform.key"
expect 'a damaged key is refused, not replaced' 1 'platform.key' -- "$las" --dir "$base/s/t/state" --print-platform
expect 'and left as it is' 0 '^no key$' -- cat "$base/s/t/state/platform.key"
