#!/bin/bash
# The console shield: what an unmodified program says and hears at stdin, stdout, stderr and inherited sockets is sealed, and whoever carries it can neither
# read, change, reorder, repeat, leave out nor cut it unseen.
set -uo pipefail

# shellcheck source=tests/lib/e2e.sh
. "$(dirname "$0")/../lib/e2e.sh" console
[[ -x $runtime ]] || { not_ok runtime "$runtime is not built"; exit; }
for name in "${!SCONE_CONSOLE_SHIELD@}" "${!SCONE_NETWORK_SHIELD@}"; do unset "$name"; done
cd "$base" || exit
export SCONE_RUNTIME=$runtime
umask 077
openssl rand -hex 32 >key
openssl rand -hex 32 >other.key

# rules FILE NAME=VALUE…: a file of rules with the key
rules() {
	local file=$1 line
	shift
	for line; do echo "SCONE_CONSOLE_SHIELD$line"; done >"$file"
	echo "SCONE_CONSOLE_SHIELD_KEY=$(<key)" >>"$file"
}
rules out.rules _STDOUT=protected
rules in.rules _STDIN=protected
rules both.rules _STDIN=protected _STDOUT=protected
rules all.rules =protected _STDIN=protected _STDOUT=protected _STDERR=protected
rules attach.rules =protected _STDIN=protected _STDOUT=protected _STDERR=unprotected _ATTACH=required

# shielded RULES COMMAND…
shielded() { timeout -s KILL 60 "$bin/scone" run --console-rules "$1" -- "${@:2}"; }
decrypt() { timeout -s KILL 60 "$bin/scone" console decrypt --key-file key "$@"; }
encrypt() { timeout -s KILL 60 "$bin/scone" console encrypt --key-file key "$@"; }

# --- what pipes do, natively and protected --------------------------------------------------------------------------------------------------

probe=$here/../programs/console_probe.py
# A reader that stops for a while when a pipe's worth of the last part has come.
cat >slow.py <<'END'
import os, time
n = 0
while c := os.read(0, 4096):
    n += len(c)
    if 60000 < n < 70000:
        time.sleep(1)
    while c:
        c = c[os.write(1, c):]
END
python3 "$probe" input >lines
timeout -s KILL 60 python3 "$probe" native.txt <lines 2>native.err | cat >native.head &
wait
(cat lines; sleep 0) | timeout -s KILL 60 python3 "$probe" native.txt 2>native.err | python3 slow.py >native.out
(encrypt lines; sleep 0) | shielded both.rules python3 "$probe" protected.txt 2>protected.err | python3 slow.py | decrypt >protected.out
holds probe_runs test "$(wc -l <native.txt)" -ge 22
while read -r name; do
	if [[ $(grep "^$name " native.txt) == "$(grep "^$name " protected.txt)" ]]; then
		ok "pipe_$name"
	else
		not_ok "pipe_$name" "$(grep "^$name " native.txt) natively, $(grep "^$name " protected.txt) protected; $(tail -n 3 protected.err)"
	fi
done < <(awk '{ print $1 }' native.txt | uniq)
# Lines of four threads and four processes: each whole, in either run.
count() { grep -cE '^([a-h])\1{62}$' "$1"; }
holds output_lines_are_whole test "$(count protected.out)" = "$(count native.out)" -a "$(count native.out)" = 1600
holds output_ends grep -qx END protected.out

# --- outputs ------------------------------------------------------------------------------------------------------------------------------

shielded out.rules bash -c 'echo first-plain; (echo from a child); /bin/echo by another program; seq 5 | sort -r; cat <(echo substituted); echo to-stderr >&2' >bash.enc 2>bash.err
holds bash_status test $? = 0
holds bash_captured_without_plaintext test "$(grep -ca -e plain -e child -e substituted bash.enc)" = 0
holds bash_decrypted cmp -s <(decrypt bash.enc) <(printf 'first-plain\nfrom a child\nby another program\n5\n4\n3\n2\n1\nsubstituted\n')
holds bash_stderr_passes grep -qx to-stderr bash.err
shielded all.rules python3 -c 'import sys; print(sys.stdin.read().upper()); print("warning", file=sys.stderr); sys.exit(3)' < <(echo shout | encrypt) >py.enc 2>py.err.enc
holds python_status test $? = 3
holds python_stdout grep -qx SHOUT <(decrypt --stream stdout py.enc)
holds python_stderr grep -qx warning <(decrypt --stream stderr py.err.enc)
expect stream_name_is_checked 9 "of descriptor 'stderr', wanted 'stdout'" -- "$bin/scone" console decrypt --key-file key --stream stdout py.err.enc
shielded all.rules python3 -c 'import sys; print("a"); sys.stdout.flush(); print("b", file=sys.stderr); sys.stderr.flush(); print("c")' < <(encrypt /dev/null) >same.enc 2>&1
holds one_pipe_one_stream cmp -s <(decrypt same.enc) <(printf 'a\nb\nc\n')
shielded out.rules cat /dev/null >empty.enc
holds nothing_said_is_genuine cmp -s <(decrypt empty.enc) /dev/null
shielded out.rules bash -c '(sleep 0.5; echo late) & echo early' >late.enc
for ((i = 0; i < 50; i++)); do decrypt late.enc >late.out 2>&1 && break; sleep 0.1; done
holds last_holder_marks_the_end cmp -s late.out <(printf 'early\nlate\n')
shielded out.rules head -c 3000000 /dev/zero >zeros.enc
holds three_megabytes test "$(decrypt zeros.enc | tr -d '\0' | wc -c) $(decrypt zeros.enc | wc -c)" = "0 3000000"
shielded out.rules bash -c 'cd /; : >/dev/stdout; echo x >>/dev/stdout; echo y >/proc/self/fd/1; echo z >/dev/fd/1' >names.enc
holds names_of_stdout cmp -s <(decrypt names.enc) <(printf 'x\ny\nz\n')
shielded out.rules bash -c 'echo said; kill -9 $$' >killed.enc 2>/dev/null
expect killed_program_has_no_end 9 'said' 'cut off after 1 records' -- "$bin/scone" console decrypt --key-file key killed.enc
shielded out.rules bash -c 'trap "" PIPE; while echo x; do :; done; echo gone >&2' 2>gone.err | head -c 10000 >/dev/null
holds reader_that_leaves_is_epipe grep -q gone gone.err
shielded out.rules yes | head -c 100000 >/dev/null
holds sigpipe_ends_yes test "${PIPESTATUS[0]}" = 141

# Writers killed in the middle, again and again: what is said by the others is whole, and the stream goes on.
cat >storm.sh <<'END'
for ((i = 0; i < 40; i++)); do
	pids=
	for k in 1 2 3 4; do
		while :; do echo "line of $k"; done &
		pids="$pids $!"
	done
	read -r -t 0.0$((RANDOM % 9 + 1)) <> <(:)
	kill -9 $pids
	wait $pids
done 2>/dev/null
echo last
END
shielded out.rules bash storm.sh 2>/dev/null | decrypt >storm.out 2>storm.err
holds killed_writers_leave_a_whole_stream test "${PIPESTATUS[1]} $(tail -n 1 storm.out) $(grep -vcxE 'line of [1-4]|last' storm.out)" = '0 last 0'
# Readers, too: none of them takes away what it has not had.
seq 1 3000 >numbers
cat >readers.py <<'END'
import os, random, signal, time
got = b''
for i in range(40):
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        while True:
            c = os.read(0, 16)
            if not c: os._exit(0)
            os.write(w, c)
    os.close(w)
    time.sleep(random.random() / 50)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    while c := os.read(r, 65536): got += c
while c := os.read(0, 4096): got += c
want = open('numbers', 'rb').read()
# Each may have died with one piece that it had read, and had not passed on.
at = missing = 0
for k in range(0, len(want), 1):
    if at < len(got) and want[k] == got[at]: at += 1
    else: missing += 1
os.write(2, b'%d %d\n' % (at == len(got), missing <= 16 * 40))
END
(for ((i = 1; i <= 3000; i += 20)); do seq "$i" $((i + 19)); sleep 0.004; done) | encrypt | shielded in.rules python3 readers.py >/dev/null 2>readers.err
holds killed_readers_take_nothing_away grep -qx '1 1' readers.err

# --- a host that changes what it carries ----------------------------------------------------------------------------------------------------

shielded out.rules python3 -c '
import os
for i in range(5): os.write(1, b"message %d\n" % i)' >five.enc
cat >edit.py <<'END'
import sys
data = open(sys.argv[1], 'rb').read()
frames, at = [], 0
while at < len(data):
    n = int.from_bytes(data[at + 8:at + 10], 'big') if data[at] == 0xc5 else int.from_bytes(data[at + 1:at + 3], 'big') + 27
    frames.append(data[at:at + n])
    at += n
what = sys.argv[2]
if what == 'count': print(len(frames)); sys.exit()
elif what == 'flip': frames[3] = frames[3][:15] + bytes([frames[3][15] ^ 1]) + frames[3][16:]
elif what == 'swap': frames[2], frames[3] = frames[3], frames[2]
elif what == 'repeat': frames.insert(3, frames[2])
elif what == 'drop': del frames[2]
elif what == 'cut': del frames[-1]
elif what == 'early-end': frames = frames[:3] + frames[-1:]
elif what == 'inside': frames[-1] = frames[-1][:5]
elif what == 'again': frames += frames
elif what == 'other': frames[2] = [f for f in [open(sys.argv[3], 'rb').read()]][0][len(frames[0]):][:38]
elif what == 'hello': frames[0] = frames[0][:20] + bytes([frames[0][20] ^ 1]) + frames[0][21:]
elif what == 'input': frames[0] = frames[0][:10] + b'\0' + frames[0][11:]
sys.stdout.buffer.write(b''.join(frames))
END
holds five_messages test "$(python3 edit.py five.enc count)" = 7
cp five.enc first.enc
shielded out.rules python3 -c '
import os
for i in range(5): os.write(1, b"message %d\n" % i)' >second.enc
for what in flip swap repeat drop other hello; do
	python3 edit.py five.enc $what second.enc >bad.enc
	expect "output_$what" 9 'is not the one that belongs there' -- "$bin/scone" console decrypt --key-file key bad.enc
	holds "output_${what}_only_what_is_true" test "$(grep -vc '^message [0-4]$' "$out")" = 0 -a "$(wc -l <"$out")" -lt 5
done
for what in cut inside; do
	python3 edit.py five.enc $what >bad.enc
	expect "output_$what" 9 'cut off after 5 records' -- "$bin/scone" console decrypt --key-file key bad.enc
done
python3 edit.py five.enc early-end >bad.enc
expect output_early_end 9 'is not the one that belongs there' -- "$bin/scone" console decrypt --key-file key bad.enc
python3 edit.py five.enc again >bad.enc
expect output_again 9 'after the end' -- "$bin/scone" console decrypt --key-file key bad.enc
python3 edit.py five.enc input >bad.enc
expect output_other_direction 9 'of input, wanted one of output' -- "$bin/scone" console decrypt --key-file key bad.enc
expect output_wrong_key 9 'sealed with another key' -- "$bin/scone" console decrypt --key-file other.key five.enc
expect output_other_service 9 "service '', wanted 'a/b'" -- "$bin/scone" console decrypt --key-file key --service a/b five.enc
chmod 644 other.key
expect key_file_of_everybody 7 'mode 0644' -- "$bin/scone" console decrypt --key-file other.key five.enc
(echo 'scone-runtime: warn: before'; cat five.enc) >prefixed.enc
expect text_before_is_left_out 0 'message 4' '28 bytes that are not of the stream' -- "$bin/scone" console decrypt --key-file key prefixed.enc

# --- inputs ---------------------------------------------------------------------------------------------------------------------------------

cat >hear.py <<'END'
import os, sys
try:
    while c := os.read(0, 100):
        os.write(2, c)
    os.write(2, b'end\n')
except OSError as e:
    os.write(2, b'error %d\n' % e.errno)
END
python3 -c '
import subprocess, sys
p = subprocess.Popen([sys.argv[1], "console", "encrypt", "--key-file", "key"], stdin=subprocess.PIPE)
import time
for i in range(5):
    p.stdin.write(b"order %d\n" % i); p.stdin.flush(); time.sleep(0.1)
p.stdin.close(); p.wait()' "$bin/scone" >orders.enc
holds input_is_read cmp -s <(shielded in.rules python3 hear.py <orders.enc 2>&1) <(printf 'order %d\n' 0 1 2 3 4; echo end)
holds input_from_a_slow_pipe grep -qx end <( (for ((i = 0; i < 40; i++)); do tail -c +$((i * 10 + 1)) orders.enc | head -c 10; sleep 0.02; done; tail -c +401 orders.enc) | shielded in.rules python3 hear.py 2>&1)
# bad_input NAME PATTERN: what is in bad.enc gives EIO, and the log the reason
bad_input() {
	shielded in.rules python3 hear.py <bad.enc >bad.out 2>&1
	holds "input_$1_refused" grep -qx 'error 5' bad.out
	holds "input_$1_reason" grep -qE "console: stdin has failed: $2" bad.out
	holds "input_$1_only_what_is_true" test "$(grep -c '^end' bad.out)" = 0 -a "$(grep '^order' bad.out | nl -v0 -w1 -s' ' | awk '$1 != $3' | wc -l)" = 0
}
for what in flip swap repeat drop; do
	python3 edit.py orders.enc $what >bad.enc
	bad_input $what 'check record: seen one that is not the next'
done
python3 edit.py orders.enc hello >bad.enc
bad_input hello 'check run: '
for what in cut inside; do
	python3 edit.py orders.enc $what >bad.enc
	bad_input $what 'check end: seen the end of what is read without the record that marks it'
done
encrypt --stream fd7 hear.py >bad.enc
bad_input other_descriptor 'check descriptor: '
encrypt --service a/b hear.py >bad.enc
bad_input other_service 'check service: '
"$bin/scone" console encrypt --key-file <(cat other.key) hear.py >bad.enc 2>/dev/null || { chmod 600 other.key; "$bin/scone" console encrypt --key-file other.key hear.py >bad.enc; }
bad_input wrong_key 'check record: '
cp five.enc bad.enc
bad_input other_direction 'check direction: seen a stream of output'
echo 'plain text' >bad.enc
bad_input plain_text 'check (end|hello): '
python3 edit.py orders.enc again >bad.enc
holds input_after_its_end_is_not_read cmp -s <(shielded in.rules python3 hear.py <bad.enc 2>&1) <(printf 'order %d\n' 0 1 2 3 4; echo end)

# --- refused, and what goes by a name -----------------------------------------------------------------------------------------------------------

cat >try.py <<'END'
import errno, os, sys
def name(f, *a):
    try:
        return f(*a)
    except OSError as e:
        return errno.errorcode[e.errno]
fd = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)
os.write(fd, repr([name(os.write, 1, b'secret'), name(os.read, 0, 1), name(os.write, 5, b'secret'), name(os.open, 'fifo', os.O_RDWR),
    name(os.open, '/dev/tty', os.O_RDWR), name(os.open, '/dev/null', os.O_RDWR) != 'EACCES', os.isatty(1)]).encode())
r, w = os.pipe()
os.write(fd, b' %d' % os.write(os.open('/proc/self/fd/%d' % w, os.O_WRONLY), b'inside'))
END
mkfifo fifo
echo SCONE_CONSOLE_SHIELD=protected >refuse.rules
timeout 5 cat fifo >fifo.out &
shielded refuse.rules python3 try.py refused.txt >refused.out 5> >(cat >refused.5) <lines
holds refused_descriptors_and_names test "$(<refused.txt)" = "['EACCES', 'EACCES', 'EACCES', 'EACCES', 'ENXIO', True, False] 6"
holds refused_says_nothing test ! -s refused.out -a ! -s refused.5
: >fifo
expect rules_of_one_pipe 125 'stdout is protected and stderr, which leads to the same place, is not' -- \
	bash -c "$bin/scone run --console-rules out.rules -- true 2>&1 | cat >one.out; status=\${PIPESTATUS[0]}; cat one.out; exit \$status"
expect rules_without_key 125 '_KEY is missing' -- "$bin/scone" run --console-rules <(echo SCONE_CONSOLE_SHIELD_STDOUT=protected) -- true
expect rules_line_of_something_else 125 'line 1: no SCONE_CONSOLE_SHIELD' -- "$bin/scone" run --console-rules <(echo PATH=/) -- true
holds variables_are_not_the_programs test "$(shielded out.rules env 2>&1 | decrypt | grep -c SCONE_CONSOLE)" = 0

# --- a socket to a process outside --------------------------------------------------------------------------------------------------------------

rules socket.rules _FD_7=protected
cat >pair.py <<'END'
import os, socket, subprocess, sys
scone, rules, key = sys.argv[1:]
ours, theirs = socket.socketpair()
os.dup2(theirs.fileno(), 7)
theirs.close()
inside = '''
import socket
s = socket.socket(fileno=7)
data = b""
while c := s.recv(5): data += c
s.sendall(b"<" + data.upper() + b">" + b"y" * 100000)
s.shutdown(socket.SHUT_WR)
'''
p = subprocess.Popen([scone, 'run', '--console-rules', rules, '--', 'python3', '-c', inside], pass_fds=[7])
os.close(7)
ours.sendall(subprocess.run([scone, 'console', 'encrypt', '--key-file', key, '--stream', 'fd7'], input=b'over a socket', stdout=subprocess.PIPE).stdout)
ours.shutdown(socket.SHUT_WR)
got = b''
while c := ours.recv(65536): got += c
print(p.wait(), b'OVER' in got)
d = subprocess.run([scone, 'console', 'decrypt', '--key-file', key, '--stream', 'fd7'], input=got, stdout=subprocess.PIPE)
print(d.returncode, d.stdout[:20], len(d.stdout))
END
timeout -s KILL 60 python3 pair.py "$bin/scone" socket.rules key >socket.out 2>&1
holds socket_both_ways cmp -s socket.out <(printf "0 False\n0 b'<OVER A SOCKET>yyyyy' 100015\n")

# --- terminals ------------------------------------------------------------------------------------------------------------------------------------

script -qec "'$bin/scone' run --console-rules out.rules -- bash -c 'echo on a terminal; [ -t 1 ] || echo and none to the program; head -c 20000 /dev/zero | tr \"\\\\0\" t; echo'" typescript >/dev/null 2>&1
holds terminal_has_no_plaintext test "$(grep -c 'on a terminal' <(tail -n +2 typescript))" = 0
decrypt <(tail -n +2 typescript) >terminal.out 2>terminal.err
holds terminal_decrypted cmp -s terminal.out <(printf 'on a terminal\nand none to the program\n'; printf 't%.0s' {1..20000}; echo)
(tail -n +2 typescript | sed '/^C5o:/{n;n;s/^C5o:....\(.*\)/C5o:AAAA\1/}') >damaged
decrypt damaged >damaged.out 2>damaged.err
holds terminal_damage_is_seen test $? = 9

# --- attach ---------------------------------------------------------------------------------------------------------------------------------------

attach() { timeout -s KILL 60 "$bin/scone" console attach --key-file key "$@"; }
run=("$bin/scone" run --console-rules attach.rules --)
printf 'echo one; echo two\nexit 7\n' | attach -- "${run[@]}" bash >attach.out 2>attach.err
holds attach_status test $? = 7
holds attach_output cmp -s attach.out <(printf 'one\ntwo\n')
seq 1 60000 | attach -- "${run[@]}" cat >attach.big 2>&1
holds attach_much_both_ways cmp -s attach.big <(seq 1 60000)
# A conversation: what is said depends on what was answered.
cat >talk.py <<'END'
import subprocess, sys
p = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
n = 1
for i in range(20):
    p.stdin.write(b'%d\n' % n); p.stdin.flush()
    n = int(p.stdout.readline())
p.stdin.close()
print(n, p.wait())
END
timeout -s KILL 60 python3 talk.py "$bin/scone" console attach --key-file key -- "${run[@]}" python3 -uc '
while True:
    try: print(2 * int(input()))
    except EOFError: break' >talk.out 2>&1
holds attach_conversation grep -qx '1048576 0' talk.out
# The program is on a terminal of the other side, where its input is echoed.
# shellcheck disable=SC2016
(sleep 1; echo 'echo typed-$((6 * 7))'; sleep 0.5; echo 'exit 4') | attach -- script -qec "'$bin/scone' run --console-rules attach.rules -- bash" /dev/null >tty.out 2>tty.err
holds attach_through_a_terminal test "$? $(grep -c typed-42 tty.out)" = "4 1"
# In between: tee what goes to the program, and from it.
cat >middle.sh <<END
#!/bin/bash
set -o pipefail
tee to.enc | $bin/scone run --console-rules attach.rules -- bash | tee from.enc
END
chmod +x middle.sh
printf 'echo the-password\n' | attach -- ./middle.sh >middle.out 2>&1
holds attach_in_between cmp -s middle.out <(echo the-password)
holds attach_carrier_sees_nothing test "$(cat to.enc from.enc | grep -ca -e password -e echo)" = 0 -a -s to.enc -a -s from.enc
shielded attach.rules bash <to.enc >again.enc 2>again.err
holds attach_input_is_not_repeated grep -q 'attach: seen a stream for another run, wanted one of input for this run' again.err
holds attach_program_did_not_start test "$(grep -ca C5 again.enc)" = 0
expect attach_output_is_not_repeated 125 'is not the one that belongs there' -- "$bin/scone" console attach --key-file key -- cat from.enc
expect attach_to_one_for_anybody 125 'takes input from anybody' -- "$bin/scone" console attach --key-file key -- "$bin/scone" run --console-rules out.rules -- true
# One bit of the first record.
cat >flip.py <<'END'
import os
seen, flip = b'', None
while c := os.read(0, 65536):
    seen += c
    if len(seen) >= 10: flip = int.from_bytes(seen[8:10], 'big') + 12
    at = flip - (len(seen) - len(c)) if flip else -1
    if 0 <= at < len(c): c = c[:at] + bytes([c[at] ^ 1]) + c[at + 1:]
    os.write(1, c)
END
printf 'echo x\n' | attach -- bash -c "python3 flip.py | $bin/scone run --console-rules attach.rules -- bash" >flip.out 2>flip.err
holds attach_changed_input grep -q 'console: stdin has failed: check record' flip.err
printf 'echo x\n' | attach -- bash -c "$bin/scone run --console-rules attach.rules -- bash | python3 flip.py" >flip.out 2>flip.err
holds attach_changed_output test "$? $(wc -c <flip.out) $(grep -c 'not the one that belongs there' flip.err)" = "125 0 1"
: | attach -- bash -c "timeout 1 cat >/dev/null; exec sleep 0" >none.out 2>none.err
holds attach_to_nothing grep -q 'no console stream' none.err
shielded attach.rules true </dev/null >/dev/null 2>nobody.err
holds attach_is_required grep -q 'nobody has attached' nobody.err

# --- the key is CAS's, and only who proved what it is has it -------------------------------------------------------------------------------------

export SCONE_LAS_ADDR=$base/las.sock
start_las || { not_ok start_las "scone-las does not start"; exit; }
start_cas cas || { not_ok start_cas "scone-cas does not start"; exit; }
scone cas add main "$address" --trust-first >/dev/null 2>&1
measured=$(scone measure bash 2>/dev/null)
cat >session.yml <<END
name: console-test
version: "0.3"
security: {attestation: {mode: simulation}}
secrets:
  - {name: console, kind: binary, value: "$(<key)"}
services:
  - name: shell
    command: [bash, -c, "read line; echo heard \$line; echo warned >&2"]
    attestation: [{mrenclave: [$measured]}]
    environment:
      SCONE_CONSOLE_SHIELD: protected
      SCONE_CONSOLE_SHIELD_STDIN: protected
      SCONE_CONSOLE_SHIELD_STDOUT: protected
      SCONE_CONSOLE_SHIELD_STDERR: protected
      SCONE_CONSOLE_SHIELD_KEY: "\$\$SCONE::console:hex\$\$"
END
expect session_created 0 -- "$bin/scone" session create --no-substitute session.yml
encrypt --service console-test/shell <(echo over CAS) >cas.in
timeout -s KILL 60 "$bin/scone" run --config-id console-test/shell -- bash <cas.in >cas.enc 2>cas.err.enc
holds attested_status test $? = 0
expect attested_output_by_the_sessions_secret 0 'heard over CAS' -- "$bin/scone" console decrypt --secret console-test/console --service console-test/shell cas.enc
expect attested_stderr 0 'warned' -- "$bin/scone" console decrypt --key-file key --service console-test/shell --stream stderr cas.err.enc
expect attested_rules_are_the_sessions 125 'an attested service has the rules of its session' -- "$bin/scone" run --config-id console-test/shell --console-rules out.rules -- bash
encrypt --service console-test/other <(echo other) >cas.in
timeout -s KILL 60 "$bin/scone" run --config-id console-test/shell -- bash <cas.in >cas.enc 2>cas.err.enc
expect attested_log_is_sealed_too 0 'console: stdin has failed: check service' -- "$bin/scone" console decrypt --key-file key cas.err.enc
# They end with what they serve.
for ((i = 0; i < 100; i++)); do [[ -n $(pgrep -x -s 0 scone-console) ]] || break; sleep 0.1; done
holds no_relay_is_left test -z "$(pgrep -x -s 0 scone-console)"
