#!/usr/bin/env bash
# Runs every program of cases.sh natively and under the runtime, in fresh directories of the same name, and compares output and end.
#
#   run.sh [-l] [-j N] [-k] [-v] [PATTERN...]
#     -l  list the cases      -j  so many at a time (number of processors)
#     -k  keep the directory with both outputs      -v  whole differences instead of their first lines
#   PATTERN is a shell pattern for names; several are joined by "or".
#
#   SCONE_BIN  where scone or scone-runtime is (build/bin)
#   SCONE_RUN  the command in front of the program ("$SCONE_BIN/scone run --"); SCONE_RUN=env compares native with native
set -u
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
p=$root/tests/programs
b=${SCONE_CONFORMANCE_DIR:-$root/build/conformance}
bin=${SCONE_BIN:-$root/build/bin}
list='' keep='' all='' jobs=$(nproc)
while getopts lj:kv o; do
	case $o in
	l) list=1 ;; j) jobs=$OPTARG ;; k) keep=1 ;; v) all=1 ;;
	*) sed -n '2,11s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
	esac
done
shift $((OPTIND - 1))

if [ -z "${SCONE_RUN:-}" ]; then
	if [ -x "$bin/scone" ]; then SCONE_RUN="$bin/scone run --"; else SCONE_RUN="$bin/scone-runtime --"; fi
fi
read -r -a prefix <<<"$SCONE_RUN"
command -v "${prefix[0]}" >/dev/null || { echo "not ok conformance: ${prefix[0]} is not built (make)"; echo "0 passed, 1 failed"; exit 1; }

wanted() {
	local name=$1 pat
	shift
	[ $# -eq 0 ] && return 0
	for pat; do
		# shellcheck disable=SC2053
		[[ $name == $pat ]] && return 0
	done
	return 1
}

names=()
declare -A spec
declare -a patterns=("$@")
t() {
	local name=$1
	shift
	wanted "$name" ${patterns[@]+"${patterns[@]}"} || return 0
	names+=("$name")
	spec[$name]=$(printf '%q ' "$@")
}
# shellcheck source=tests/conformance/cases.sh
. "$here/cases.sh"
[ ${#names[@]} -gt 0 ] || { echo "no case matches: ${patterns[*]}" >&2; exit 2; }
[ -z "$list" ] || { printf '%s\n' "${names[@]}"; exit 0; }

mkdir -p "$b"
make -k -j"$(nproc)" -C "$p" B="$b" >"$b/build.log" 2>&1 || echo "# some test programs did not build: see $b/build.log"

work=$(mktemp -d "${TMPDIR:-/tmp}/conformance.XXXXXX")
cleanup() { if [ -n "$keep" ]; then echo "# kept in $work"; else rm -rf "$work"; fi; }
trap cleanup EXIT

# One side: fresh directory and home, an environment of known content.
observe() {
	local d=$1 side=$2 seconds=$3 in=$4
	shift 4
	rm -rf "$d/cwd"
	mkdir -p "$d/cwd"
	(cd "$d/cwd" && env -i PATH="$PATH" HOME="$d/cwd" TMPDIR="$d/cwd" LANG=C.UTF-8 MARK='kept as it is' ${RUSTUP_HOME:+RUSTUP_HOME="$RUSTUP_HOME"} \
		"$b/observe" "$seconds" "$in" "$d/$side.out" "$d/$side.err" "$@" >"$d/$side.end" 2>&1)
}

difference() {
	if [ -n "$all" ]; then cat; else head -n 8 | cut -c1-200; fi | sed 's/^/    /'
}

run_case() {
	local name=$1 d=$work/$1 status='exit 0' seconds=60 in=/dev/null only_out='' o OPTIND=1
	eval "set -- ${spec[$name]}"
	while getopts s:t:i:o o; do
		case $o in
		s) status=$OPTARG ;; t) seconds=$OPTARG ;; i) in=$OPTARG ;; o) only_out=1 ;; *) return 1 ;;
		esac
	done
	shift $((OPTIND - 1))
	mkdir -p "$d"
	command -v "$1" >/dev/null || { echo "not ok $name: $1 is missing (make deps; $b/build.log)"; return; }
	# Both sides get the absolute path: the runtime's command line takes one, and argv[0] is to be the same.
	local program
	program=$(command -v "$1")
	shift
	observe "$d" native "$seconds" "$in" "$program" "$@"
	if [ "$(cat "$d/native.end")" != "$status" ]; then
		echo "not ok $name: natively it ended with $(cat "$d/native.end"), wanted $status"
		tail -n 5 "$d/native.err" "$d/native.out" | difference
		return
	fi
	observe "$d" run "$seconds" "$in" "${prefix[@]}" "$program" "$@"
	local why=
	cmp -s "$d/native.end" "$d/run.end" || why="ended with $(cat "$d/run.end"), natively $status"
	cmp -s "$d/native.out" "$d/run.out" || why="${why:+$why; }stdout differs"
	[ -n "$only_out" ] || cmp -s "$d/native.err" "$d/run.err" || why="${why:+$why; }stderr differs"
	if [ -z "$why" ]; then
		echo "ok $name"
		[ -n "$keep" ] || rm -rf "$d"
		return
	fi
	echo "not ok $name: $why"
	{
		diff -a --label native --label run -u0 "$d/native.out" "$d/run.out" | tail -n +3
		if [ -n "$only_out" ]; then tail -n 3 "$d/run.err"; else diff -a --label native --label run -u0 "$d/native.err" "$d/run.err" | tail -n +3; fi
	} | difference
}

# A few at a time; results are printed whole, in the order of the table.
export LC_ALL=C.UTF-8
running=0
for name in "${names[@]}"; do
	if ((running >= jobs)); then
		wait -n
		running=$((running - 1))
	fi
	run_case "$name" >"$work/$name.result" 2>&1 &
	running=$((running + 1))
done
wait
passed=0 failed=0
for name in "${names[@]}"; do
	cat "$work/$name.result"
	if grep -q '^ok ' "$work/$name.result"; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
