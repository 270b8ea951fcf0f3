#!/bin/bash
# scone-las gives evidence to the process that runs a genuine runtime, and to no other; it outlives bad peers.
# tests/programs/las_probe.c plays the genuine runtime.
set -uo pipefail

# shellcheck source=tests/lib/e2e.sh
. "$(dirname "$0")/../lib/e2e.sh" las
probe=$bin/../tests/e2e/las_probe
sock=$base/run/las.sock
limit=30
# The leak checker works by ptrace, which scone-las shuts out, and the probe leaves its memory to exit.
export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0

digest() { sha256sum "$1" | cut -d' ' -f1; }

start las "$bin/scone-las" --socket "$sock" --dir "$base/state" --runtime "$probe"
wait_for las test -S "$sock" || { not_ok start "no socket at $sock"; exit 1; }
platform=$("$bin/scone-las" --dir "$base/state" --print-platform)

expect 'genuine peer, evidence verified' 0 '^verified [0-9]+ files' -- "$probe" "$sock" evidence "$platform"
expect 'the same twice, digest remembered' 0 '^verified' -- "$probe" "$sock" evidence "$platform"
cp "$probe" "$base/copy"
expect 'copy of the genuine runtime elsewhere' 0 '^verified' -- "$base/copy" "$sock" evidence "$platform"
cp "$probe" "$base/changed"
printf 'x' >>"$base/changed"
expect 'changed runtime, both digests named' 1 \
	"^PEER: .*peer runs $base/changed with digest $(digest "$base/changed"), wanted the runtime with digest $(digest "$probe")" -- \
	"$base/changed" "$sock" evidence "$platform"
"$bin/scone-las" --dir "$base/state2" --print-platform >"$base/other_platform"
expect 'another platform is not trusted' 1 'ATTEST: .*platform is' -- "$probe" "$sock" evidence "$(cat "$base/other_platform")"

# A client in Python: its own code from the first byte.
cat >"$base/client.py" <<'PY'
import json, socket, struct, sys, time
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
start = time.monotonic()
def frame():
    got = b""
    while len(got) < 4 or len(got) - 4 < struct.unpack(">I", got[:4])[0]:
        part = s.recv(65536)
        if not part:
            sys.exit("no frame")
        got += part
    return json.loads(got[4:])
first = frame()
if "challenge" in first:
    body = json.dumps({"op": "evidence", "challenge": first["challenge"], "report_data": "00" * 64,
        "manifest": [{"role": 1, "path": "/bin/sh", "digest": "11" * 32}]}).encode()
    s.sendall(struct.pack(">I", len(body)) + body)
    first = frame()
if "evidence" in first:
    sys.exit("got evidence")
print(first["error"]["code"], first["error"]["text"], "after %.1f s" % (time.monotonic() - start))
PY
python=$(python3 -c 'import os; print(os.readlink("/proc/self/exe"))')
expect 'python3 is refused by name and digest, and does not keep a connection waiting' 0 \
	"^PEER peer runs $python with digest $(digest "$python"), wanted the runtime with digest $(digest "$probe").* after [01]\." -- \
	python3 "$base/client.py" "$sock"

expect 'bytes that are no JSON' 1 '^INPUT: .*JSON' -- "$probe" "$sock" garbage
expect 'frame over the limit' 1 '^LIMIT: frame of 2097152 bytes, wanted 1 to 1048576' -- "$probe" "$sock" oversize
expect 'empty frame' 1 '^LIMIT: frame of 0 bytes' -- "$probe" "$sock" empty
expect 'JSON that is no request' 1 '^INPUT: ' -- "$probe" "$sock" wrong
expect 'request without the challenge' 1 '^INPUT: .*"challenge"' -- "$probe" "$sock" old
expect 'request with another challenge' 1 '^PEER: the request does not carry the challenge of this connection' -- "$probe" "$sock" replay
expect 'connection closed inside a frame' 1 '^PEER: the peer closed' -- "$probe" "$sock" cut
expect 'sent by another process than connected' 1 '^PEER: request was sent by process [0-9]+, wanted process [0-9]+' -- "$probe" "$sock" handover
expect 'changed into another program before the answer' 1 "^PEER: process [0-9]+ has changed from .*las_probe to another program" -- \
	"$probe" "$sock" change "$base/changed"
expect 'executed the same program in between' 1 '^PEER: process [0-9]+ has executed a program since it was first looked at' -- \
	"$probe" "$sock" again
expect 'traced process' 1 '^PEER: .*: process [0-9]+ is traced by process [0-9]+' -- "$probe" "$sock" traced

# What a runtime has that hosts other code, and one that is about to start has not; each is refused by name.
runtime_only="wanted the runtime $(realpath "$probe") and no other code"
expect 'second thread' 1 '^PEER: .*: process [0-9]+ has 2 threads, wanted 1' -- "$probe" "$sock" thread "$platform"
expect 'handler for SIGSYS' 1 '^PEER: .*: process [0-9]+ handles SIGSYS' -- "$probe" "$sock" sigsys "$platform"
expect 'file mapped to read' 1 "^PEER: .*: process [0-9]+ has $(realpath /bin/sh) mapped at [0-9a-f]+-[0-9a-f]+ \(r--p\): a file that is not the runtime; $runtime_only" -- \
	"$probe" "$sock" mapped "$platform"
expect 'executable anonymous memory' 1 "^PEER: .*: process [0-9]+ has anonymous memory mapped at [0-9a-f]+-[0-9a-f]+ \(r-xp\): executable; $runtime_only" -- \
	"$probe" "$sock" anonymous "$platform"
expect 'code of its own that is writable' 1 "^PEER: .*: process [0-9]+ has $(realpath "$probe") mapped at [0-9a-f]+-[0-9a-f]+ \(rwxp\): executable and writable" -- \
	"$probe" "$sock" writable "$platform"
expect 'code of its own that was changed' 1 "^PEER: .*: process [0-9]+ has $(realpath "$probe") mapped at [0-9a-f]+-[0-9a-f]+ \(r-xp\): executable and changed in memory" -- \
	"$probe" "$sock" patched "$platform"

# While LAS does not look, there is time to become another program.
halted() { # halted NAME PATTERN COMMAND…: the command runs while LAS stands still; then LAS goes on
	local name=$1 pattern=$2 out
	shift 2
	kill -STOP "${pid[las]}"
	rm -f "$base/halted.log"
	start halted timeout "$limit" "$@"
	sleep 0.5
	kill -CONT "${pid[las]}"
	join halted
	out=$(cat "$base/halted.log")
	if grep -qE -e "$pattern" <<<"$out"; then ok "$name"; else not_ok "$name" "nothing matches $pattern: ${out:0:300}"; fi
}
before='^PEER: process [0-9]+ sent [0-9]+ bytes before it was challenged, wanted 0'
halted 'request sent before the challenge' "$before" "$probe" "$sock" early
halted 'request sent, then the runtime executed, before LAS looks' "$before" "$base/changed" "$sock" become "$probe"

# A genuine process that does not go on: it is told so after ten seconds, and nobody else waits for it.
start slow "$probe" "$sock" slow
SECONDS=0
expect 'others are served meanwhile' 0 '^verified' -- timeout 3 "$probe" "$sock" evidence "$platform"
expect 'connections over the limit are told so' 1 '^LIMIT: scone-las serves 64 connections' -- "$probe" "$sock" many 64
expect 'served again once they are gone' 0 '^verified' -- "$probe" "$sock" evidence "$platform"
join slow
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
start plain "${unprivileged[@]}" "$bin/scone-las" --socket "$base/plain/s" --dir "$base/plain/state" --runtime "$probe"
if wait_for plain test -S "$base/plain/s"; then
	expect 'LAS without the right to look says which' 1 'ACCESS: .*may not read /proc/[0-9]+/exe.*run it as root' -- \
		"$probe" "$base/plain/s" private "$platform"
else
	not_ok 'LAS without the right to look says which' "did not start: $(tail -n 3 "$base/plain.log")"
fi
end_process plain

if ((EUID == 0)); then
	expect 'a peer that is not dumpable' 0 '^verified' -- "$probe" "$sock" private "$platform"
	expect 'a peer of another user' 0 '^verified' -- setpriv --reuid=65534 --regid=65534 --clear-groups "$base/copy" "$sock" evidence "$platform"
fi

if kill -0 "${pid[las]}" 2>/dev/null; then ok 'still running after all that'; else not_ok 'still running after all that' "it ended"; fi
