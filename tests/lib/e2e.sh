# shellcheck shell=bash
# What the end-to-end scripts share; sourced: `. e2e.sh NAME`, NAME for the temporary directory. Sets $here (directory of the script), $bin (the
# programs), $runtime, $base (the temporary directory), $out and $err (what the last command printed), and ends with what `finish` says and does.

# shellcheck disable=SC2034 # variables of the scripts
here=$(cd "$(dirname "$0")" && pwd)
bin=$(cd "${SCONE_BIN:-$here/../../build/bin}" && pwd) || exit 2
# A sanitized build has no runtime: the plain one then.
runtime=$bin/scone-runtime
[[ -x $runtime ]] || runtime=$(realpath -m "$here/../../build/bin/scone-runtime")
base=$(realpath "$(mktemp -d "${TMPDIR:-/tmp}/scone-${1:?name of the test}.XXXXXX")") || exit 2
out=$base/out err=$base/err
limit=60 # seconds for each command of `expect`
passed=0 failed=0
declare -A pid=() # what runs in the background, by name

unset SCONE_CAS_ADDR SCONE_LAS_ADDR SCONE_CONFIG_ID SCONE_RUNTIME SCONE_LOG
export SCONE_HOME=$base/home
scone() { "$bin/scone" "$@"; }

# --- processes ----------------------------------------------------------------------------------------------------------------------

# start NAME COMMAND…: in the background, as ${pid[NAME]}; what it prints is appended to $base/NAME.log
start() {
	"${@:2}" >>"$base/$1.log" 2>&1 &
	pid[$1]=$!
}

# end_process NAME [SIGNAL]: end it and wait; its status
end_process() {
	local p=${pid[$1]-}
	[[ -n $p ]] || return 1
	kill "-${2-TERM}" "$p" 2>/dev/null
	kill -CONT "$p" 2>/dev/null # one that stands still does not end
	unset "pid[$1]"
	wait "$p" 2>/dev/null
}

# join NAME: wait until it ends by itself; its status
join() {
	local p=${pid[$1]}
	unset "pid[$1]"
	wait "$p"
}

finish() {
	local status=$? name
	# A signal may reach a copy of this shell before it executes its command; that has nothing to finish.
	[[ $BASHPID == "$$" ]] || exit "$status"
	for name in "${!pid[@]}"; do
		end_process "$name"
	done
	((failed == 0)) || tail -n 30 "$base"/*.log
	rm -rf "$base"
	printf '%d passed, %d failed\n' "$passed" "$failed"
	# One that did not come to its end has not passed, whatever it had counted.
	((failed == 0)) || status=1
	exit "$status"
}
trap finish EXIT
trap 'exit 130' INT TERM

# wait_for NAME COMMAND…: until the command holds, for thirty seconds at most; fails when process NAME has ended
wait_for() {
	local i
	for ((i = 0; i < 300; i++)); do
		"${@:2}" && return 0
		kill -0 "${pid[$1]}" 2>/dev/null || return 1
		sleep 0.1
	done
	return 1
}

# start_las: on $base/las.sock, with its state in $base/las, for $runtime
start_las() {
	# The leak checker works by ptrace, which scone-las shuts out: at exit the two can wait for each other.
	start las env ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0" "$bin/scone-las" --socket "$base/las.sock" --dir "$base/las" --runtime "$runtime"
	wait_for las test -S "$base/las.sock"
}

# start_cas NAME [ADDRESS]: on a free port of loopback or there, with its state in $base/NAME; sets $address
start_cas() {
	rm -f "$base/$1.address"
	start "$1" "$bin/scone-cas" --listen "${2-127.0.0.1:0}" --address-file "$base/$1.address" --dir "$base/$1"
	wait_for "$1" test -s "$base/$1.address" || return 1
	address=$(<"$base/$1.address")
}

# --- checks -------------------------------------------------------------------------------------------------------------------------

ok() {
	printf 'ok %s\n' "$1"
	passed=$((passed + 1))
}

not_ok() {
	printf 'not ok %s: %s\n' "$1" "$2"
	failed=$((failed + 1))
}

# holds NAME COMMAND…
holds() {
	local name=$1 said
	shift
	said=$*
	if "$@"; then ok "$name"; else not_ok "$name" "does not hold: ${said:0:400}"; fi
}

# lines FILE: what a program printed of its own checks becomes this script's
lines() {
	local line
	while read -r line; do
		case $line in
		ok\ *) ok "${line#ok }" ;;
		not\ ok\ *) not_ok "${line#not ok }" '' ;;
		\#*) echo "$line" ;;
		esac
	done <"$1"
}

# judge NAME STATUS CODE PATTERN…: the status is this code, and each extended regular expression ('' for none) matches in $out or $err
judge() {
	local name=$1 status=$2 code=$3 pattern said
	shift 3
	said=$({ head -c 200 "$out"; tail -c 400 "$err"; } | tr '\0\n' '  ')
	((status == code)) || { not_ok "$name" "exit code $status, wanted $code: $said"; return; }
	for pattern; do
		[[ -z $pattern ]] || grep -qE -e "$pattern" "$out" "$err" || { not_ok "$name" "nothing matches $pattern: $said"; return; }
	done
	ok "$name"
}

# expect NAME CODE PATTERN… -- COMMAND…: the exit code, and extended regular expressions in what it prints ('' for none)
expect() {
	local name=$1 code=$2 patterns=()
	shift 2
	while [[ $1 != -- ]]; do
		patterns+=("$1")
		shift
	done
	shift
	timeout "$limit" "$@" >"$out" 2>"$err" </dev/null
	judge "$name" $? "$code" "${patterns[@]}"
}
