#!/bin/bash
# scone-las gives evidence to the process that runs a genuine runtime, and to no other; it outlives bad peers.
# tests/programs/las_probe.c plays the genuine runtime.
set -uo pipefail

here=$(cd "$(dirname "$0")" && pwd)
bin=$(cd "${SCONE_BIN:-$here/../../build/bin}" && pwd) || exit 2
probe=$bin/../tests/e2e/las_probe
base=$(mktemp -d "${TMPDIR:-/tmp}/scone-las.XXXXXX") || exit 2
sock=$base/run/las.sock
passed=0 failed=0
las_pid='' other_pid=''
unset SCONE_LOG
# The leak checker works by ptrace, which scone-las shuts out, and the probe leaves its memory to exit.
export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0

end_process() {
	[[ -n $1 ]] || return 0
	kill "-${2-TERM}" "$1" 2>/dev/null
	wait "$1" 2>/dev/null
}

finish() {
	end_process "$las_pid"
	end_process "$other_pid"
	((failed == 0)) || tail -n 30 "$base"/*.log
	rm -rf "$base"
	printf '%d passed, %d failed\n' "$passed" "$failed"
	exit $((failed > 0))
}
trap finish EXIT
trap 'exit 130' INT TERM

ok() {
	printf 'ok %s\n' "$1"
	passed=$((passed + 1))
}

not_ok() {
	printf 'not ok %s: %s\n' "$1" "$2"
	failed=$((failed + 1))
}

# expect NAME CODE PATTERN COMMAND…: exit code and an extended regular expression in what it prints
expect() {
	local name=$1 code=$2 pattern=$3 out status
	shift 3
	out=$(timeout 30 "$@" 2>&1 </dev/null)
	status=$?
	if ((status != code)); then
		not_ok "$name" "exit code $status, wanted $code: ${out:0:300}"
	elif ! grep -qE -e "$pattern" <<<"$out"; then
		not_ok "$name" "nothing matches $pattern: ${out:0:300}"
	else
		ok "$name"
	fi
}

wait_socket() {
	local i
	for ((i = 0; i < 100; i++)); do
		[[ -S $1 ]] && return 0
		sleep 0.05
	done
	return 1
}

digest() { sha256sum "$1" | cut -d' ' -f1; }

"$bin/scone-las" --socket "$sock" --dir "$base/state" --runtime "$probe" >"$base/las.log" 2>&1 &
las_pid=$!
wait_socket "$sock" || { not_ok start "no socket at $sock"; exit 1; }
platform=$("$bin/scone-las" --dir "$base/state" --print-platform)

expect 'genuine peer, evidence verified' 0 '^verified [0-9]+ files' "$probe" "$sock" evidence "$platform"
expect 'the same twice, digest remembered' 0 '^verified' "$probe" "$sock" evidence "$platform"
cp "$probe" "$base/copy"
expect 'copy of the genuine runtime elsewhere' 0 '^verified' "$base/copy" "$sock" evidence "$platform"
cp "$probe" "$base/changed"
printf 'x' >>"$base/changed"
expect 'changed runtime, both digests named' 1 \
	"^PEER: .*peer runs $base/changed with digest $(digest "$base/changed"), wanted the runtime with digest $(digest "$probe")" \
	"$base/changed" "$sock" evidence "$platform"
"$bin/scone-las" --dir "$base/state2" --print-platform >"$base/other_platform"
expect 'another platform is not trusted' 1 'ATTEST: .*platform is' "$probe" "$sock" evidence "$(cat "$base/other_platform")"

# The request of a genuine runtime, from Python.
cat >"$base/client.py" <<'PY'
import json, socket, struct, sys, time
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
body = json.dumps({"op": "evidence", "report_data": "00" * 64,
    "manifest": [{"role": 1, "path": "/bin/sh", "digest": "11" * 32}]}).encode()
frame = struct.pack(">I", len(body)) + body
if sys.argv[2] == "slow":
    frame = frame[:5]
start = time.monotonic()
try:
    s.sendall(frame)
except BrokenPipeError:
    pass
got = b""
while True:
    part = s.recv(65536)
    if not part:
        break
    got += part
    if len(got) >= 4 and len(got) - 4 >= struct.unpack(">I", got[:4])[0]:
        break
answer = json.loads(got[4:])
if "evidence" in answer:
    sys.exit("got evidence")
print(answer["error"]["code"], answer["error"]["text"], "after %.1f s" % (time.monotonic() - start))
PY
python=$(python3 -c 'import os; print(os.readlink("/proc/self/exe"))')
expect 'python3 is refused by name and digest' 0 "^PEER peer runs $python with digest $(digest "$python"), wanted the runtime with digest $(digest "$probe")" \
	python3 "$base/client.py" "$sock" whole
expect 'a stranger cannot keep a connection waiting' 0 '^PEER .* after [01]\.' python3 "$base/client.py" "$sock" slow

expect 'bytes that are no JSON' 1 '^INPUT: .*JSON' "$probe" "$sock" garbage
expect 'frame over the limit' 1 '^LIMIT: frame of 2097152 bytes, wanted 1 to 1048576' "$probe" "$sock" oversize
expect 'empty frame' 1 '^LIMIT: frame of 0 bytes' "$probe" "$sock" empty
expect 'JSON that is no request' 1 '^INPUT: ' "$probe" "$sock" wrong
expect 'connection closed inside a frame' 1 '^PEER: the peer closed' "$probe" "$sock" cut
expect 'sent by another process than connected' 1 '^PEER: request was sent by process [0-9]+, wanted process [0-9]+' "$probe" "$sock" handover
expect 'changed into another program before the answer' 1 "^PEER: process [0-9]+ has changed from .*las_probe to another program" \
	"$probe" "$sock" change "$base/changed"
expect 'traced process' 1 '^PEER: process [0-9]+ is traced by process [0-9]+' "$probe" "$sock" traced

# A genuine process that does not go on: it is told so after ten seconds, and nobody else waits for it.
"$probe" "$sock" slow >"$base/slow.log" 2>&1 &
other_pid=$!
SECONDS=0
expect 'others are served meanwhile' 0 '^verified' timeout 3 "$probe" "$sock" evidence "$platform"
expect 'connections over the limit are told so' 1 '^LIMIT: scone-las serves 64 connections' "$probe" "$sock" many 64
expect 'served again once they are gone' 0 '^verified' "$probe" "$sock" evidence "$platform"
wait "$other_pid"
other_pid=''
if grep -q '^PEER: the peer took too long' "$base/slow.log" && ((SECONDS >= 9 && SECONDS <= 14)); then
	ok 'slow genuine peer is told after ten seconds'
else
	not_ok 'slow genuine peer is told after ten seconds' "after $SECONDS s: $(cat "$base/slow.log")"
fi

# What LAS must not be able to do without rights, it says.
unprivileged=()
mkdir "$base/plain"
if ((EUID == 0)); then
	unprivileged=(setpriv --reuid=65534 --regid=65534 --clear-groups)
	chmod 755 "$base"
	chown 65534:65534 "$base/plain"
fi
"${unprivileged[@]}" "$bin/scone-las" --socket "$base/plain/s" --dir "$base/plain/state" --runtime "$probe" >"$base/plain.log" 2>&1 &
other_pid=$!
if wait_socket "$base/plain/s"; then
	expect 'LAS without the right to look says which' 1 'ACCESS: .*may not read /proc/[0-9]+/exe.*run it as root' \
		"$probe" "$base/plain/s" private "$platform"
else
	not_ok 'LAS without the right to look says which' "did not start: $(tail -n 3 "$base/plain.log")"
fi
end_process "$other_pid"
other_pid=''

if ((EUID == 0)); then
	expect 'a peer that is not dumpable' 0 '^verified' "$probe" "$sock" private "$platform"
	expect 'a peer of another user' 0 '^verified' setpriv --reuid=65534 --regid=65534 --clear-groups "$base/copy" "$sock" evidence "$platform"
fi

if kill -0 "$las_pid" 2>/dev/null; then ok 'still running after all that'; else not_ok 'still running after all that' "it ended"; fi
