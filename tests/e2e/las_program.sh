#!/bin/bash
# scone-las and the real runtime: evidence for one that is about to start a program, none for a program that runs under it,
# and none for what only becomes a runtime.
set -uo pipefail

# shellcheck source=tests/lib/e2e.sh
. "$(dirname "$0")/../lib/e2e.sh" las
probe=$(realpath "$bin/../tests/e2e/las_probe")
sock=$base/las.sock
limit=30
# The leak checker works by ptrace, which both services shut out.
export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0

# halted NAME CODE PATTERN COMMAND…: like expect, but begun while LAS stands still
halted() {
	local status
	kill -STOP "${pid[las]}"
	timeout "$limit" "${@:4}" >"$out" 2>"$err" </dev/null &
	pid[halted]=$!
	for ((i = 0; i < 200; i++)); do
		[[ -e $base/ready ]] && break
		sleep 0.05
	done
	kill -CONT "${pid[las]}"
	join halted
	status=$?
	rm -f "$base/ready"
	judge "$1" "$status" "$2" "$3"
}

key=$("$bin/scone-cas" --dir "$base/cas" --print-key 2>"$base/cas.log") || { not_ok start 'CAS has no key'; exit 1; }
start_cas cas || { not_ok start 'CAS does not start'; exit 1; }
SCONE_LOG=info start_las || { not_ok start 'LAS does not start'; exit 1; }
attested=("$runtime" --cas "$address" --cas-key "$key" --las "$sock" --config-id none/none -- /bin/true)

# --- a runtime ----------------------------------------------------------------------------------------------------------------------

# CAS knows no such session; that it could say so shows that LAS had answered.
evidence_given() { grep -cE 'evidence for process' "$base/las.log"; }
expect 'a runtime about to start a program gets past LAS' 125 'attest none/none to CAS .*none' -- "${attested[@]}"
given=$(evidence_given)
if [[ $given == 1 ]]; then ok 'with evidence'; else not_ok 'with evidence' "LAS signed $given times, wanted 1"; fi
expect 'a traced runtime does not' 125 'get evidence from LAS: .*process [0-9]+ is traced by process [0-9]+' -- "$probe" - trace "${attested[@]}"

# --- a program under the runtime ----------------------------------------------------------------------------------------------------

cat >"$base/client.py" <<'PY'
# client.py SOCKET RUNTIME HOW: ask LAS for evidence about anything; prints its refusal. READY=FILE is made once all is set up.
#   ask      from this process
#   before   a child connects, sends a request, and becomes the runtime, while LAS does not look
#   relay    a child connects and becomes the runtime; what it should say is said by its parent
import json, os, socket, struct, sys
path, runtime, how = sys.argv[1:]

def request(challenge):
    body = json.dumps({"op": "evidence", "challenge": challenge, "report_data": "00" * 64,
        "manifest": [{"role": 1, "path": "/bin/sh", "digest": "11" * 32}]}).encode()
    return struct.pack(">I", len(body)) + body

def frame():
    got = b""
    while len(got) < 4 or len(got) - 4 < struct.unpack(">I", got[:4])[0]:
        part = s.recv(65536)
        if not part:
            sys.exit("no frame")
        got += part
    return json.loads(got[4:])

s = socket.socket(socket.AF_UNIX)
silent = socket.create_server(("127.0.0.1", 0))
child = 0
if how == "ask":
    s.connect(path)
else:
    child = os.fork()
    if child == 0:
        s.connect(path)
        if how == "before":
            s.sendall(request("00" * 32))
        s.set_inheritable(True)
        # It waits for a CAS that says nothing, with no program in its memory yet.
        os.execv(runtime, [runtime, "--cas", "127.0.0.1:%d" % silent.getsockname()[1], "--cas-key", os.environ["KEY"],
            "--las", path, "--config-id", "a/b", "--", "/bin/true"])
    held = silent.accept()
    open(os.environ["READY"], "w").close()
try:
    answer = frame()
    if "challenge" in answer:
        print("challenged")
        s.sendall(request(answer["challenge"]))
        answer = frame()
finally:
    if child:
        os.kill(child, 9)
        os.waitpid(child, 0)
if "evidence" in answer:
    print("got evidence")
    sys.exit(3)
print(answer["error"]["code"], answer["error"]["text"])
sys.exit(1)
PY
export KEY=$key READY=$base/ready
python=$(python3 -c 'import os; print(os.readlink("/proc/self/exe"))')
client=(python3 "$base/client.py" "$sock" "$runtime")
hosts="wanted the runtime $runtime and no other code: a process that hosts a program gets no evidence"
expect 'python under the runtime is refused by name' 1 \
	"^PEER process [0-9]+ has $python mapped at [0-9a-f]+-[0-9a-f]+ \\(r..p\\): a file that is not the runtime; $hosts" -- \
	"$runtime" -- "${client[@]}" ask
expect 'so is a compiled program' 1 "PEER: .*process [0-9]+ has $probe mapped at [0-9a-f]+-[0-9a-f]+ .*$hosts" -- \
	"$runtime" -- "$probe" "$sock" evidence none
expect 'so is one that it executes' 1 "PEER: .*process [0-9]+ has $probe mapped at .*$hosts" -- \
	"$runtime" -- /bin/sh -c "'$probe' '$sock' evidence none"
before='^PEER process [0-9]+ sent [0-9]+ bytes before it was challenged, wanted 0'
by='PEER request was sent by process [0-9]+, wanted process [0-9]+, which connected'
halted 'a program sends, then becomes the runtime' 1 "$before" "${client[@]}" before
halted 'the same under the runtime' 1 "$before" "$runtime" -- "${client[@]}" before
# LAS finds a runtime, and challenges it; that reaches the parent, who is none.
halted 'the parent of a runtime speaks for it' 1 "$by" "${client[@]}" relay
if grep -q '^challenged$' "$out"; then ok 'after it was challenged'; else not_ok 'after it was challenged' 'there was no challenge'; fi
halted 'the same under the runtime' 1 "$by" "$runtime" -- "${client[@]}" relay

# What LAS reads in /proc of a process that hosts a program, even if the program hid its code.
start sleeper "$runtime" -- sleep 60
handles_sigsys() {
	local caught
	# Before it is the runtime it is a copy of this shell, which handles SIGSYS itself.
	[[ /proc/${pid[sleeper]}/exe -ef $runtime ]] || return 1
	caught=$(sed -n 's/^SigCgt:\t//p' "/proc/${pid[sleeper]}/status")
	(((16#$caught >> 30) & 1))
}
if wait_for sleeper handles_sigsys; then ok 'a process that hosts a program handles SIGSYS'; else not_ok 'a process that hosts a program handles SIGSYS' "it does not"; fi
end_process sleeper

given=$(evidence_given)
if [[ $given == 1 ]]; then ok 'no evidence was given but that one'; else not_ok 'no evidence was given but that one' "LAS signed $given times"; fi
expect 'and a runtime still gets past LAS' 125 'attest none/none to CAS .*none' -- "${attested[@]}"
