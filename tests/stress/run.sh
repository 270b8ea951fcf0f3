#!/usr/bin/env bash
# What a runtime has to stand, in a loop, two programs at a time: bad pointers, a thousand threads, storms of forks, signals and execs, stack
# overflow, every limit, damaged executables. Each run must end and print as the program does natively, leave nothing behind, and the runtime
# must say nothing. The last line is "N passed, N failed".
#
#   run.sh [SECONDS]     (STRESS_SECONDS, else 600) no run begins after that
#   STRESS_JOBS          how many at a time (2)
#   STRESS_KEEP          a directory for what went wrong
#   SCONE_BIN            where scone-runtime is (build/bin); SCONE_CONFORMANCE_DIR: where the programs are built (build/conformance)
set -u
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
b=${SCONE_CONFORMANCE_DIR:-$root/build/conformance}
runtime=$(realpath "${SCONE_BIN:-$root/build/bin}")/scone-runtime
seconds=${1:-${STRESS_SECONDS:-600}}
jobs=${STRESS_JOBS:-2}
[ -x "$runtime" ] || { echo "not ok stress: $runtime is not built (make)"; echo "0 passed, 1 failed"; exit 1; }
mkdir -p "$b"
make -k -j"$(nproc)" -C "$root/tests/programs" B="$b" >"$b/build.log" 2>&1 || echo "# some test programs did not build: see $b/build.log"
work=$(mktemp -d "${TMPDIR:-/tmp}/stress.XXXXXX")
trap 'rm -rf "$work"' EXIT

# s NAME SECONDS PROGRAM ARG…: seconds for one run. In a short test, what takes long comes last or not at all; %n is the number of the run.
names=()
declare -A spec limit passes fails
s() {
	names+=("$1")
	limit[$1]=$2
	passes[$1]=0 fails[$1]=0
	spec[$1]=$(printf '%q ' "${@:3}")
}
s bad-pointers 30 "$b/efault"
s bad-pointers-static 30 "$b/static/efault"
s overflow 60 "$b/overflow"
s scarce 60 "$b/scarce"
s limits 60 "$b/limits"
s hostile-elf 120 "$b/hostile" %n 60 "$b/static/args"
s crowd 120 "$b/crowd"
s fork-storm 120 "$b/forkstorm" 60
s execs-no-leak 120 "$b/leaks" 300
s fault-storm 60 "$b/storm"
s musl-fault-storm 60 "$b/musl/storm"
s hostile-elf-shared 120 "$b/hostile" %n 40 /bin/true
s faults 60 "$b/faults"
s traced 90 "$b/traced"
s threads 60 "$b/threads"
s sigmask 60 "$b/sigmask"
s clone3 60 "$b/clone3"
s blocking-signals 90 "$b/blocking"
s signals 60 "$b/signals"
s processes 60 "$b/process"
s exec-in-place 60 "$b/execself" 100
s setuid-threads 60 "$b/setxid"
s execs-under-signals 120 "$b/execs"
s execs-no-leak-static 120 "$b/static/leaks" 300
s crowd-static 120 "$b/static/crowd"
s ten-thousand-execs 600 "$b/leaks" 10000

# one DIR SIDE COMMAND…: standard output in SIDE.out, its end in SIDE.end
one() {
	local d=$1 side=$2 secs=$3
	shift 3
	rm -rf "$d/cwd"
	mkdir -p "$d/cwd"
	(cd "$d/cwd" && env -i PATH="$PATH" HOME="$d/cwd" TMPDIR="$d/cwd" LANG=C.UTF-8 "$b/observe" "$secs" /dev/null "$d/$side.out" "$d/$side.err" "$@" >"$d/$side.end" 2>&1)
}

# What it prints natively, once.
expected() {
	local d=$work/native-$1
	[ -f "$d/native.end" ] && return
	mkdir -p "$d"
	eval "set -- ${spec[$1]}"
	one "$d" native 300 "${@//%n/1}"
}

run() { # run NAME NUMBER: in the background
	local name=$1 number=$2 d=$work/run-$2 why=
	mkdir -p "$d"
	eval "set -- ${spec[$name]}"
	one "$d" run "${limit[$name]}" "$runtime" -- "${@//%n/$number}"
	cmp -s "$work/native-$name/native.end" "$d/run.end" || why="ended with $(cat "$d/run.end"), natively $(cat "$work/native-$name/native.end")"
	cmp -s "$work/native-$name/native.out" "$d/run.out" || why="${why:+$why; }prints something else"
	if grep -q '^scone-runtime:' "$d/run.err"; then why="${why:+$why; }the runtime said: $(grep -m 1 '^scone-runtime:' "$d/run.err")"; fi
	if [ -z "$why" ]; then
		echo ok >"$work/result-$number"
		rm -rf "$d"
		return
	fi
	{
		echo "not ok $name, run $number: $why"
		diff -a "$work/native-$name/native.out" "$d/run.out" | head -n 12 | sed 's/^/    /'
		tail -n 4 "$d/run.err" | cut -c1-300 | sed 's/^/    /'
	} >"$work/result-$number"
	[ -z "${STRESS_KEEP:-}" ] || { mkdir -p "$STRESS_KEEP" && mv "$d" "$STRESS_KEEP/$name-$number"; }
}

for name in "${names[@]}"; do
	[ "$seconds" -lt 120 ] && [ "$name" = ten-thousand-execs ] && continue
	expected "$name"
done

declare -A name_of
number=0
end=$((SECONDS + seconds))
collect() {
	local i name
	for i in "${!name_of[@]}"; do
		[ -f "$work/result-$i" ] || continue
		name=${name_of[$i]}
		if [ "$(cat "$work/result-$i")" = ok ]; then
			passes[$name]=$((passes[$name] + 1))
			echo "ok $name, run $i"
		else
			fails[$name]=$((fails[$name] + 1))
			cat "$work/result-$i"
		fi
		rm -f "$work/result-$i"
		unset "name_of[$i]"
	done
}
running=0
while [ "$SECONDS" -lt "$end" ]; do
	name=${names[$((number % ${#names[@]}))]}
	number=$((number + 1))
	# Once is as many as there is time for; never where there is none.
	if [ "$name" = ten-thousand-execs ]; then
		[ "$seconds" -ge 120 ] || continue
		[ "$number" -le "${#names[@]}" ] || continue
	fi
	if ((running >= jobs)); then
		wait -n
		running=$((running - 1))
		collect
		[ "$SECONDS" -lt "$end" ] || break
	fi
	run "$name" "$number" &
	name_of[$number]=$name
	running=$((running + 1))
done
wait
collect

passed=0 failed=0
for name in "${names[@]}"; do
	passed=$((passed + passes[$name]))
	failed=$((failed + fails[$name]))
	[ $((passes[$name] + fails[$name])) -eq 0 ] || echo "# $name: ${passes[$name]} runs right, ${fails[$name]} wrong"
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
