#!/bin/bash
# strace and gdb at a program under the runtime and inside it: they work as far as docs/architecture.md says, nothing ends up standing still, and
# nobody traces a process that holds secrets.
set -uo pipefail

# shellcheck source=tests/lib/e2e.sh
. "$(dirname "$0")/../lib/e2e.sh" trace
[[ -x $runtime ]] || { not_ok runtime "$runtime is not built"; exit; }
limit=60
cat >"$base/loop.c" <<'END'
#include <stdio.h>
#include <unistd.h>
volatile int counter, wanted = 25;
int main(void)
{
	for (; counter < wanted; counter++)
		usleep(100000);
	printf("counter %d\n", counter);
	return 7;
}
END
cc -g -O0 -o "$base/loop" "$base/loop.c" 2>"$base/cc.log" || { not_ok loop "not compiled"; exit; }

# begin NAME COMMAND…: and wait until its counter has begun to count
begin() {
	start "$@"
	wait_for "$1" grep -qsx loop "/proc/${pid[$1]}/comm"
	sleep 0.5
}
# ended NAME: it counted to its end, whatever was done to it
ended() {
	join "$1"
	[[ $? == 7 ]] && grep -q '^counter 25$' "$base/$1.log"
}

if command -v strace >/dev/null; then
	expect strace_from_outside 0 '^hi$' -- strace -f -o "$base/outside" "$runtime" -- /bin/echo hi
	holds strace_saw_the_write grep -q 'write(1, "hi' "$base/outside"
	expect strace_inside 0 '^hi$' -- "$runtime" -- "$(type -P strace)" -f -o "$base/inside" /bin/echo hi
	holds strace_inside_saw_the_write grep -q 'write(1, "hi' "$base/inside"
	expect strace_inside_of_a_script 3 'one' 'two' -- "$runtime" -- "$(type -P strace)" -f -o "$base/script" sh -c 'echo one; (echo two); exit 3'
	expect strace_ends_with_its_child_killed 137 '' -- "$runtime" -- "$(type -P strace)" -o "$base/killed" sh -c 'kill -KILL $$'
	begin followed "$runtime" -- "$base/loop"
	timeout 2 strace -f -o "$base/attached" -p "${pid[followed]}" >/dev/null 2>&1
	holds strace_attached_and_left ended followed
	holds strace_saw_it_sleep grep -q 'clock_nanosleep' "$base/attached"
else
	echo '# no strace here: not tested'
fi
if command -v gdb >/dev/null; then
	gdb=(gdb -nx -batch -iex 'set debuginfod enabled off')
	begin debugged "$runtime" -- "$base/loop"
	expect gdb_attaches 0 'detached' -- "${gdb[@]}" -p "${pid[debugged]}" -ex 'info threads' -ex 'bt 2'
	holds gdb_left_it_running ended debugged
	expect gdb_inside_runs_a_program 0 'exited normally' '^hi$' -- "$runtime" -- "$(type -P gdb)" "${gdb[@]:1}" -ex 'handle SIGSYS nostop noprint pass' -ex run --args /bin/echo hi
	expect gdb_inside_stops_and_kills 0 '' -- "$runtime" -- "$(type -P gdb)" "${gdb[@]:1}" -ex run -ex bt -ex kill --args /bin/echo hi
	begin killed "$runtime" -- "$base/loop"
	timeout 30 "${gdb[@]}" -p "${pid[killed]}" -ex kill >"$out" 2>"$err"
	join killed
	holds gdb_kills test $? -eq 137
else
	echo '# no gdb here: not tested'
fi

# Job control from outside: stopped, it stands; continued, it goes on.
begin stopped "$runtime" -- "$base/loop"
kill -STOP "${pid[stopped]}"
sleep 0.2
holds stands_still grep -q '^State:.T' "/proc/${pid[stopped]}/status"
kill -CONT "${pid[stopped]}"
holds goes_on ended stopped
