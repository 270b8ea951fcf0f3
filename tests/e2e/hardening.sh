#!/bin/bash
# What an attacker on the host finds in the four programs: nothing to execute that can be written, and no secret, neither as the same user nor, where
# the kernel has memory of its own for it (memfd_secret), as root. Each look is also made at a process that does not protect itself, and has
# to succeed there.
set -uo pipefail

# shellcheck source=tests/lib/e2e.sh
. "$(dirname "$0")/../lib/e2e.sh" hardening
export SCONE_RUNTIME=$runtime SCONE_LAS_ADDR=$base/las.sock
[[ -x $runtime ]] || { not_ok runtime "$runtime is not built"; exit; }
build=$(dirname "$bin")

# --- the files ------------------------------------------------------------------------------------------------------------------------

# bad_elf FILE: what is not as it should be, a word each
bad_elf() {
	local headers dynamic symbols
	headers=$(readelf -hlW "$1") dynamic=$(readelf -dW "$1") symbols=$(nm -D "$1" 2>/dev/null; nm "$1" 2>/dev/null)
	[[ $headers =~ Type:\ *DYN && $dynamic =~ FLAGS_1[^$'\n']*PIE ]] || echo not-pie
	[[ $headers =~ GNU_STACK[^$'\n']*\ RW\  ]] || echo executable-stack
	[[ ! $headers =~ LOAD[^$'\n']*\ RWE\  ]] || echo writable-and-executable
	[[ $headers =~ GNU_RELRO ]] || echo no-relro
	[[ $dynamic =~ BIND_NOW || $dynamic =~ FLAGS_1[^$'\n']*NOW ]] || echo lazy-binding
	[[ ! $dynamic =~ TEXTREL ]] || echo text-relocations
	[[ ! $dynamic =~ (RPATH|RUNPATH) ]] || echo search-path
	[[ $symbols =~ __stack_chk_fail ]] || echo no-stack-protector
	[[ $symbols =~ __(mem|str|sn?printf|vsn|read|fd)[a-z]*_chk ]] || echo no-fortify
}
for p in scone scone-cas scone-las scone-runtime; do
	found=$(bad_elf "$bin/$p" | tr '\n' ' ')
	holds "file_$p" test -z "$found" || echo "    $found"
done
printf 'int main(void){return 0;}\n' | cc -no-pie -z execstack -z norelro -z lazy -Wl,-rpath,/ -fno-stack-protector -x c -o "$base/bad" - 2>"$base/cc.log"
holds bad_file_is_seen test "$(bad_elf "$base/bad" | tr '\n' ' ')" = 'not-pie executable-stack no-relro lazy-binding search-path no-stack-protector no-fortify '
printf 'void _start(void){for(;;);}\n' | cc -static -nostdlib -Wl,-N -x c -o "$base/worse" - 2>"$base/cc.log"
holds writable_code_is_seen test "$(bad_elf "$base/worse" | grep -c writable-and-executable)" -eq 1

# --- who looks ------------------------------------------------------------------------------------------------------------------------

intruder=$base/intruder
cc -O1 -D_GNU_SOURCE -o "$intruder" "$here/../programs/intruder.c" 2>"$base/cc.log" || { not_ok intruder "not compiled"; exit; }
user=()
if [[ $(id -u) == 0 ]]; then
	user=(setpriv --reuid 65534 --regid 65534 --clear-groups --)
	chmod 755 "$base"
fi
methods=(mem vm ptrace seize fds files)
look() { printf %s "$3" | timeout 60 "$intruder" "$1" "$2" 2>&1; }
look_as_user() { printf %s "$3" | timeout 60 "${user[@]}" "$intruder" "$1" "$2" 2>&1; }
# A process of this user that runs PROGRAM with the secret in its environment; sets $shown
hold() { # hold NAME AS SECRET
	local as=$2
	if [[ $as == user ]]; then
		start "$1" "${user[@]}" env HELD="$3" sleep 1000
	else
		start "$1" env HELD="$3" sleep 1000
	fi
	wait_for "$1" grep -qx sleep "/proc/${pid[$1]}/comm"
}

control=control-$(openssl rand -hex 12)
hold open_user user "$control"
hold open_root root "$control"
for m in mem vm ptrace seize files; do
	holds "unprotected_shows_by_$m" test "$(look_as_user "$m" "${pid[open_user]}" "$control")" = 'found 1'
done

# --- the servers ----------------------------------------------------------------------------------------------------------------------

start_las || { not_ok start_las "scone-las does not start"; exit; }
start_cas cas || { not_ok start_cas "scone-cas does not start"; exit; }
scone cas add main "$address" --trust-first >/dev/null 2>&1
token=token-$(openssl rand -hex 20) inside=inside-$(openssl rand -hex 20)
conf=$base/app.conf
# shellcheck disable=SC2016 # a template
printf 'key=$$SCONECAS:inside$$\n' >"$conf"
chmod 644 "$conf"
sleeper=$(type -P sleep) shell=$(realpath "$(type -P sh)")
measured=$(scone measure --code "$sleeper" "$shell") || { not_ok measure "scone measure fails"; exit; }
cat >"$base/session.yml" <<END
name: hardening
version: "0.3"
security: {attestation: {mode: simulation}}
services:
  - {name: first, command: [$shell, -c, "read x <&9"], pwd: /, image_name: app, environment: {TOKEN: "\$\$SCONE::token\$\$"}, attestation: [{mrenclave: [$measured]}]}
  - {name: executed, command: [$shell, -c, "exec $sleeper 1000"], pwd: /, image_name: app, environment: {TOKEN: "\$\$SCONE::token\$\$"}, attestation: [{mrenclave: [$measured]}]}
  - {name: child, command: [$shell, -c, "$sleeper 1000; :"], pwd: /, image_name: app, environment: {TOKEN: "\$\$SCONE::token\$\$"}, attestation: [{mrenclave: [$measured]}]}
  - {name: aborts, command: [$shell, -c, "kill -ABRT \$\$"], pwd: $base/cores, image_name: app, attestation: [{mrenclave: [$measured]}]}
secrets:
  - {name: token, kind: ascii, value: "$token"}
  - {name: inside, kind: ascii, value: "$inside"}
images:
  - {name: app, injection_files: [$conf]}
END
mkdir -m 777 "$base/cores"
scone session create --no-substitute "$base/session.yml" >"$base/create.log" 2>&1 || { not_ok session "not created: $(tail -n 1 "$base/create.log")"; exit; }

has_secret_memory() { python3 -c 'import ctypes; import sys; sys.exit(ctypes.CDLL(None).syscall(447, 0) < 0)'; }
if has_secret_memory; then
	holds cas_has_secret_memory grep -q secretmem "/proc/${pid[cas]}/maps"
	holds las_has_secret_memory grep -q secretmem "/proc/${pid[las]}/maps"
else
	echo '# this kernel has no memfd_secret: what root sees is not tested'
fi

# shellcheck disable=SC2059,SC2001 # the bytes are the format
bytes() { printf "$(sed 's/../\\x&/g' <<<"$1")"; }
hex_of() { od -An -v -tx1 "$@" | tr -d ' \n'; }
# key_absent NAME PID HEX: not in any memory that root can read
key_absent() { holds "$1" test "$(bytes "$3" | "$intruder" mem "$2")" = 'found 0'; }
if [[ $(id -u) == 0 ]] && has_secret_memory; then
	cp -a "$base/cas" "$base/cas.copy"
	"$build/tests/e2e/cas_keys" "$base/cas.copy" >"$base/keys" 2>"$base/keys.err" || not_ok cas_keys "$(<"$base/keys.err")"
	holds cas_keys_are_known test "$(wc -l <"$base/keys")" -eq 6
	while read -r name hex; do
		key_absent "cas_hides_$name" "${pid[cas]}" "$hex"
	done <"$base/keys"
	key_absent cas_hides_sealing_key "${pid[cas]}" "$(hex_of "$base/cas/tee/sealing.key")"
	for place in las cas; do
		dir=$base/las
		[[ $place == las ]] || dir=$base/cas/tee
		seed=$(openssl pkey -in "$dir/platform.key" -outform DER | tail -c 32 | hex_of)
		key_absent "${place}_hides_platform_key" "${pid[$place]}" "$seed"
	done
	key_absent las_hides_sealing_key "${pid[las]}" "$(hex_of "$base/las/sealing.key")"
	# The same bytes in a process that only loaded them.
	start loaded python3 -c 'import sys, time; keys = [bytes.fromhex(l.split()[1]) for l in open(sys.argv[1])]; print("ready", flush=True); time.sleep(1000)' "$base/keys"
	wait_for loaded grep -q ready "$base/loaded.log"
	holds loaded_key_is_found test "$(bytes "$(sed -n 's/^master //p' "$base/keys")" | "$intruder" mem "${pid[loaded]}")" != 'found 0'
fi

# --- programs of an attested service ----------------------------------------------------------------------------------------------------

mkfifo "$base/never"
# service NAME WHAT: as the other user; sets $shown, the process that goes on
service() {
	start "$1" "${user[@]}" env -i PATH="$PATH" HOME=/ SCONE_HOME="$base/home2" SCONE_RUNTIME="$runtime" SCONE_LAS_ADDR="$SCONE_LAS_ADDR" \
		"$bin/scone" run --code "$sleeper" --config-id "hardening/$1" -- "$shell" 9<>"$base/never"
	wait_for "$1" grep -qsx "$2" "/proc/${pid[$1]}/comm" || return 1
	shown=${pid[$1]}
	return 0
}
chmod 666 "$base/las.sock"
# What the other user knows is the key of CAS.
mkdir -m 700 "$base/home2"
cp "$base/home/cas.json" "$base/home2/"
[[ $(id -u) != 0 ]] || chown -R 65534:65534 "$base/home2"
limits() { awk '/Max core file size/ {print $5, $6}' "/proc/$1/limits"; }
for name in first executed child; do
	program=${shell##*/}
	[[ $name != executed ]] || program='sleep'
	service "$name" "$program" || { not_ok "service_$name" "does not start: $(tail -n 2 "$base/$name.log")"; continue; }
	[[ $name != child ]] || { wait_for child pgrep -P "${pid[child]}" -x sleep >/dev/null; shown=$(pgrep -P "${pid[child]}" -x sleep); }
	for m in "${methods[@]}"; do
		holds "${name}_refuses_same_user_$m" grep -qE '^refused: E(PERM|ACCES)$' <<<"$(look_as_user "$m" "$shown" "$token")"
	done
	holds "${name}_no_core" test "$(limits "$shown")" = '0 0'
	[[ $(id -u) == 0 ]] || continue
	holds "${name}_nothing_writable_and_executable" test "$("$intruder" wx "$shown" </dev/null)" = 'found 0'
	for m in mem vm ptrace fds files; do
		has_secret_memory || continue
		holds "${name}_hides_file_from_root_by_$m" test "$(look "$m" "$shown" "$inside")" = 'found 0'
	done
	# What the program itself was given lies in its own memory.
	holds "${name}_environment_is_the_programs" test "$(look mem "$shown" "$token")" != 'found 0'
	holds "${name}_environment_not_in_proc" test "$(look files "$shown" "$token")" = 'found 0'
done

# --- as far as the servers have the same user ---------------------------------------------------------------------------------------------

for name in cas las; do
	holds "${name}_no_core" test "$(limits "${pid[$name]}")" = '0 0'
	for m in "${methods[@]}"; do
		holds "${name}_refuses_same_user_$m" grep -qE '^refused: E(PERM|ACCES)$' <<<"$(look_as_user "$m" "${pid[$name]}" "$token")"
	done
	[[ $(id -u) != 0 ]] || holds "${name}_nothing_writable_and_executable" test "$("$intruder" wx "${pid[$name]}" </dev/null)" = 'found 0'
done
# Root's servers refuse another user anyway: one that is this user's own.
if [[ $(id -u) == 0 ]]; then
	mkdir -m 700 "$base/own"
	chown 65534:65534 "$base/own"
	start own "${user[@]}" "$bin/scone-cas" --listen 127.0.0.1:0 --address-file "$base/own/address" --dir "$base/own/state"
	wait_for own test -s "$base/own/address"
	for m in "${methods[@]}"; do
		holds "own_cas_refuses_same_user_$m" grep -qE '^refused: E(PERM|ACCES)$' <<<"$(look_as_user "$m" "${pid[own]}" "$token")"
	done
fi

# --- no core file ---------------------------------------------------------------------------------------------------------------------

# dumped COMMAND…: does its end come with a core file?
dumped() {
	(cd "$base/cores" && ulimit -c unlimited && python3 -c 'import os, subprocess, sys; p = subprocess.Popen(sys.argv[1:]); _, s = os.waitpid(p.pid, 0); print(os.WTERMSIG(s) if os.WIFSIGNALED(s) else -1, os.WCOREDUMP(s))' "$@") 2>>"$base/dump.log"
}
if [[ $(dumped sh -c 'kill -ABRT $$') == '6 True' ]]; then
	holds attested_program_leaves_no_core test "$(dumped "$bin/scone" run --code "$sleeper" --config-id hardening/aborts -- "$shell")" = '6 False'
	holds unattested_program_may test "$(dumped "$runtime" -- "$shell" -c 'kill -ABRT $$')" = '6 True'
	# A server that runs, then gets the signal.
	aborted() {
		(cd "$base/cores" && ulimit -c unlimited && python3 -c '
import os, signal, subprocess, sys, time
p = subprocess.Popen(sys.argv[2:])
for _ in range(300):
    if os.path.exists(sys.argv[1]):
        break
    time.sleep(0.1)
os.kill(p.pid, signal.SIGABRT)
s = os.waitpid(p.pid, 0)[1]
print(os.WTERMSIG(s) if os.WIFSIGNALED(s) else -1, os.WCOREDUMP(s))' "$@") 2>>"$base/dump.log"
	}
	holds cas_leaves_no_core test "$(aborted "$base/dies.address" "$bin/scone-cas" --listen 127.0.0.1:0 --address-file "$base/dies.address" --dir "$base/dies")" = '6 False'
	holds las_leaves_no_core test "$(aborted "$base/dies.sock" "$bin/scone-las" --socket "$base/dies.sock" --dir "$base/dies-las" --runtime "$runtime")" = '6 False'
else
	echo '# this machine writes no core files: not tested'
fi
