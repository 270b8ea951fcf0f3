#!/bin/bash
# scone run --volume: unmodified programs on an encrypted volume. What they see, what the host sees, what a kill leaves, and what is refused.
# shellcheck disable=SC2016 # variables of the shells that run on the volume
set -uo pipefail

# shellcheck source=tests/lib/e2e.sh
. "$(dirname "$0")/../lib/e2e.sh" volume
export SCONE_RUNTIME=$runtime
limit=100
host=$base/host vol=$base/vol key=$base/key
mkdir "$vol"
with=("$bin/scone" run --volume "$host:$vol" --volume-key-file "$key" --size 1G --)

# --- the volume, its key, and what is refused ------------------------------------------------------------------------------------------

expect "a key file is wanted" 125 'volume-key-file FILE' -- "$bin/scone" run --volume "$host:$vol" -- true
for wrong in "$host" "$host:vol" "$host:/" "$host:$vol/../x" "$host:/proc/x" ":$vol"; do
	expect "refused: --volume ${wrong/#$base/BASE}" 125 -- "$bin/scone" run --volume "$wrong" --volume-key-file "$key" -- true
done
holds "nothing was made for what was refused" test ! -e "$key" -a ! -e "$host"
mkdir "$base/full" && echo text >"$base/full/file"
expect "a directory with other things is no place for a volume" 125 'is not empty' -- \
	"$bin/scone" run --volume "$base/full:$vol" --volume-key-file "$key" -- true
expect "a new volume and a new key" 0 'key is new' -- "${with[@]}" sh -c "echo 'first file' >$vol/MARKER-name && cat $vol/MARKER-name"
holds "the key is readable by its owner only" test "$(stat -c %a "$key")" = 600
expect "the file is there in the next run" 0 'first file' -- "${with[@]}" cat "$vol/MARKER-name"
expect "and for scone volume" 0 'MARKER-name' -- "$bin/scone" volume ls --volume-key-file "$key" "$host"
expect "the volume verifies" 0 -- "$bin/scone" volume verify --volume-key-file "$key" "$host"
head -c 32 /dev/urandom >"$base/other-key" && chmod 600 "$base/other-key"
expect "another key opens nothing" 125 'another key' -- "$bin/scone" run --volume "$host:$vol" --volume-key-file "$base/other-key" -- true
expect "two volumes at one place" 125 -- "$bin/scone" run --volume "$host:$vol" --volume "$base/host2:$vol" --volume-key-file "$key" -- true
expect "two volumes" 0 'both' -- "$bin/scone" run --volume "$host:$vol" --volume "$base/host2:$base/vol2" --volume-key-file "$key" -- \
	sh -c "cp $vol/MARKER-name $base/vol2/ && cmp $vol/MARKER-name $base/vol2/MARKER-name && ! ln $vol/MARKER-name $base/vol2/l && echo both"
expect "an attested service takes no volume of the host's" 125 'config-id' -- \
	"$bin/scone" run --config-id a/b --volume "$host:$vol" --volume-key-file "$key" -- true

start holder "${with[@]}" sh -c "touch $vol/held; sleep 60"
# It is up when nobody else gets the volume any more.
for _ in {1..100}; do
	"$bin/scone" volume info --volume-key-file "$key" "$host" >/dev/null 2>"$err" || break
	sleep 0.1
done
expect "a second application is refused while one runs" 125 'in use' -- "${with[@]}" true
# The process that holds the secret shows it nowhere.
secret=$(head -c 64 "$key")
shown=$(for p in "${pid[holder]}" $(pgrep -P "${pid[holder]}"); do tr '\0' '\n' <"/proc/$p/cmdline"; tr '\0' '\n' <"/proc/$p/environ"; done 2>/dev/null | grep -c -- "$secret")
holds "the key is in no argument and no variable" test "$shown" = 0
kill -KILL $(pgrep -P "${pid[holder]}") "${pid[holder]}" 2>/dev/null
end_process holder KILL 2>/dev/null
expect "after a kill the next run has the volume" 0 'held' -- "${with[@]}" ls "$vol"

# --- what the program sees -------------------------------------------------------------------------------------------------------------

expect "directories, links, working directory" 0 "$vol/a/b
target
sub/../link -> target" -- "${with[@]}" sh -c "mkdir -p $vol/a/b && cd $vol/a/b && pwd && echo target >target && ln -s target link && cat link && mkdir sub && echo \"sub/../link -> \$(readlink sub/../link)\""
expect "out of the volume and back by .. and links" 0 'one two' -- "${with[@]}" sh -c "cd $vol && echo one >f && ln -s $base g && cat f | tr '\n' ' ' && echo two >../vol/h && cat g/vol/h && cd a/b && test \"\$(cat ../../../vol/f)\" = one"
expect "a program in the volume is executed, and a script" 0 'script of' -- "${with[@]}" sh -c "cd $vol && cp /bin/echo e && printf '#!%s/e script of\n' $vol >s && chmod +x s && ./e plain && ./s"
expect "descriptors pass through exec, dup and /dev/fd" 0 'abc' -- "${with[@]}" bash -c "exec 7<>$vol/rw 8>&7; echo abc >&8; exec 8>&-; cat /dev/fd/7; bash -c 'echo def >&7'; test \"\$(tr '\n' ' ' <$vol/rw)\" = 'abc def '"
expect "a program that closes all descriptors it does not know" 0 'still there' -- "${with[@]}" /usr/bin/python3 -c "
import os, subprocess
os.closerange(3, 70000)
for fd in range(1000, 1100):
    for f in (lambda: os.close(fd), lambda: os.dup2(0, fd)):
        try: f()
        except OSError: pass
open('$vol/closed', 'w').write('still there')
print(subprocess.run(['cat', '$vol/closed'], close_fds=True, capture_output=True, text=True).stdout)"
expect "a FIFO, a socket and a descriptor go between programs" 0 'by the FIFO
by the socket
of the file' -- "${with[@]}" bash -c "
cd $vol && mkfifo fifo && { echo by the FIFO >fifo & cat fifo; } && echo of the file >sent
/usr/bin/python3 -c \"
import os, socket
s = socket.socket(socket.AF_UNIX); s.bind('socket'); s.listen()
assert s.getsockname() == 'socket'
if os.fork() == 0:
    os.execlp('python3', 'python3', '-c', '''
import os, socket
s = socket.socket(socket.AF_UNIX); s.connect('$vol/socket')
socket.send_fds(s, [b'by the socket'], [os.open('sent', os.O_RDONLY)])''')
c, _ = s.accept()
data, fds, _, _ = socket.recv_fds(c, 100, 1)
print(data.decode()); print(os.read(fds[0], 100).decode(), end='')
os.wait()\""
# They meet in a directory of the host. Others find nothing by its visible part, and it goes with the application.
start meeting "${with[@]}" /usr/bin/python3 -c "
import socket, time
s = socket.socket(socket.AF_UNIX); s.bind('$vol/held-socket'); s.listen()
print('bound', flush=True)
time.sleep(30)"
wait_for meeting grep -q bound "$base/meeting.log"
place=
for p in $(pgrep -P "${pid[meeting]}") "${pid[meeting]}"; do
	[[ -r /proc/$p/net/unix ]] && place+=$(grep -c "$vol" "/proc/$p/net/unix")
done
holds "the host's list of sockets has no name of a volume" test "$(tr -d 0 <<<"$place")" = ''
mine=$(find /dev/shm /tmp -maxdepth 1 -name 'scone-????????????????' -type d -perm 711 2>/dev/null)
holds "there is a place to meet" test -n "$mine"
# shellcheck disable=SC2086 # several words
holds "an ordinary user lists nothing of it" test -z "$(setpriv --reuid=65534 --regid=65534 --clear-groups ls -A $mine 2>/dev/null | grep -v ':$')"
kill -KILL $(pgrep -P "${pid[meeting]}") "${pid[meeting]}" 2>/dev/null
end_process meeting KILL 2>/dev/null
gone() { local d; for d in $mine; do [[ ! -e $d ]] && return 0; done; return 1; }
for _ in {1..100}; do gone && break; sleep 0.1; done
holds "which is gone after a kill" gone
expect "nobody listens where a killed program did" 0 'refused' -- "${with[@]}" /usr/bin/python3 -c "
import socket
try: socket.socket(socket.AF_UNIX).connect('$vol/held-socket')
except ConnectionRefusedError: print('refused')"
# A link of the host into the volume is no back door: what is made through it is in the volume.
ln -s "$vol" "$base/door"
expect "through a link of the host" 0 'inside' -- "${with[@]}" sh -c "echo inside >$base/door/BACKDOOR && cat $vol/BACKDOOR && mkdir $base/door/d && ls $base/door/ | grep -q BACKDOOR && cd $base/door && test -d d && mv $vol/BACKDOOR $base/door/moved"
holds "nothing was made on the host" test -z "$(ls -A "$vol")"
expect "shared mappings are shared, and written" 0 'seen by the other' -- "${with[@]}" /usr/bin/python3 -c "
import mmap, os
f = open('$vol/mapped', 'w+b'); f.truncate(20000)
m = mmap.mmap(f.fileno(), 20000)
if os.fork() == 0:
    m[5000:5005] = b'hello'; os._exit(0)
os.wait()
assert m[5000:5005] == b'hello' and os.pread(f.fileno(), 5, 5000) == b'hello'
os.pwrite(f.fileno(), b'again', 9000); assert m[9000:9005] == b'again'
m.close(); assert open('$vol/mapped', 'rb').read()[5000:5005] == b'hello'
print('seen by the other')"

# --- POSIX -----------------------------------------------------------------------------------------------------------------------------

# The same programs as posix.sh has, natively on a tmpfs and on the volume. These assertions differ, as docs/volumes.md says.
cat >"$base/known" <<'END'
linkat: ENOENT for O_TMPFILE|O_EXCL (Linux)
mmap: SIGBUS behind the last page
END
built=$base/programs tmp=$(mktemp -d /dev/shm/volume.XXXXXX)
trap 'rm -rf "$tmp"; finish' EXIT
make -s -C "$here/../programs" B="$built" "$built"/posix_{open,names,rename,attr,io,meet} "$built/fsx" >"$base/make.log" 2>&1 || not_ok build "the programs do not build"
for p in posix_open posix_names posix_rename posix_attr posix_io posix_meet; do
	mkdir -p "$tmp/$p"
	timeout -s KILL 100 "$built/$p" "$tmp/$p" >"$base/$p.native" 2>/dev/null
	timeout -s KILL 100 "${with[@]}" sh -c "mkdir -p $vol/$p && $built/$p $vol/$p" >"$base/$p.volume" 2>/dev/null
	other=$(diff <(grep -E '^(not )?ok' "$base/$p.native") <(grep -E '^(not )?ok' "$base/$p.volume") | sed -n 's/^> //p' | sed 's/^not ok //; s/: seen .*//' | grep -vxFf "$base/known")
	if [[ -n $other || ! -s $base/$p.volume ]] || ! grep -q '^[0-9]* passed' "$base/$p.volume"; then
		not_ok "$p as on a tmpfs" "${other:-it does not end}"
	else
		ok "$p as on a tmpfs: $(grep -c '^ok' "$base/$p.volume") assertions"
	fi
done
expect "fsx: two processes, random operations, mappings" 0 'all as wanted' -- "${with[@]}" sh -c "mkdir $vol/fsx && $built/fsx $vol/fsx 3"

# --- kills -----------------------------------------------------------------------------------------------------------------------------

# Two writers of one SQLite database in WAL mode; all processes are killed at any moment; what was committed is there, and the file whole.
"${with[@]}" sqlite3 "$vol/k.db" 'pragma journal_mode=wal; create table t(n integer primary key, x text);' >/dev/null 2>"$err"
bad='' told=0
for round in 1 2 3 4 5 6; do
	setsid "${with[@]}" bash -c "for i in \$(seq 100); do sqlite3 -cmd '.timeout 9000' $vol/k.db \"insert into t(x) values(hex(randomblob(200))); select 'committed ' || max(n) from t;\"; done & for i in \$(seq 100); do sqlite3 -cmd '.timeout 9000' $vol/k.db \"insert into t(x) values(hex(randomblob(300)))\"; done; wait" >"$base/told" 2>/dev/null &
	leader=$!
	sleep "$((round % 3)).$((round * 3 % 10))"
	kill -KILL -- "-$leader" 2>/dev/null
	wait "$leader" 2>/dev/null
	now=$(sed -n 's/^committed //p' "$base/told" | tail -n 1)
	((${now:-0} > told)) && told=$now
	seen=$(timeout -s KILL 60 "${with[@]}" sqlite3 "$vol/k.db" 'pragma integrity_check; select max(n) from t;' 2>"$err" | tr '\n' ' ')
	[[ $seen == "ok "* && ${seen#ok } -ge $told ]] || bad="round $round: '$seen', wanted ok and at least $told: $(tail -n 2 "$err")"
done
if [[ -z $bad && $told -gt 0 ]]; then ok "SQLite after six kills of all processes: $told rows told, none lost"; else not_ok "SQLite after kills" "${bad:-nothing was committed}"; fi
expect "the volume verifies after the kills" 0 -- "$bin/scone" volume verify --volume-key-file "$key" "$host"

# --- the host --------------------------------------------------------------------------------------------------------------------------

expect "content to look for" 0 -- "${with[@]}" sh -c "for i in \$(seq 2000); do echo PLAINTEXT-MARKER-\$i; done >$vol/MARKER-content; sync; mkdir $vol/MARKER-dir; setfattr -n user.MARKER-attr -v MARKER-value $vol/MARKER-content 2>/dev/null; true"
holds "the host has one file" test "$(ls "$host")" = volume.scone
holds "without plaintext, names or attributes" test "$(grep -cE 'MARKER|PLAINTEXT|BACKDOOR|SQLite' "$host/volume.scone")" = 0
for _ in {1..50}; do pgrep -x scone-keeper >"$base/keepers" || break; sleep 0.1; done
mine=$(while read -r p; do readlink "/proc/$p/fd/"* 2>/dev/null; done <"$base/keepers" | grep -c "$base")
holds "no keeper of these volumes is left" test "$mine" = 0
