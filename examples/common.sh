# shellcheck shell=bash
# What the demonstrations share; sourced. Sets $bin (the programs), $stdout, $passed, $failed; a demonstration sets $base (its directory) and
# `trap finish EXIT` after `names` (what it may start in the background, in the order in which it is to be stopped). "$base".* goes with $base.
: "${base:=}"

bin=${SCONE_BIN:-$(dirname "${BASH_SOURCE[0]}")/../build/bin}
bin=$(cd "$bin" 2>/dev/null && pwd) || { echo "demo: no programs in ${SCONE_BIN:-build/bin}: run make first" >&2; exit 2; }
leakcheck=$bin/../examples/scone-leakcheck
keep=no
case ${1-} in
--keep) keep=yes ;;
'') ;;
*) echo "usage: $0 [--keep]" >&2; exit 2 ;;
esac

exec {stdout}>&1
passed=0 failed=0
declare -A pid=()   # what runs in the background, by name
names=()

# --- output -------------------------------------------------------------------------------------------------------------------------

step() { printf '\n== %s\n' "$*"; }
say() { printf '   %s\n' "$*"; }
indent() { sed 's/^/   | /' "$@"; }

# proof NAME COMMAND…: one printed line that can fail
proof() {
	local name=$1
	shift
	if "$@"; then
		printf 'ok %s\n' "$name"
		passed=$((passed + 1))
	else
		printf 'not ok %s\n' "$name"
		failed=$((failed + 1))
	fi
}

die() {
	printf 'not ok %s\n' "$*"
	failed=$((failed + 1))
	exit 1
}

# --- processes ----------------------------------------------------------------------------------------------------------------------

running() { [[ -n ${pid[$1]-} ]] && kill -0 "${pid[$1]}" 2>/dev/null; }

# stop NAME [SIGNAL]: end it and wait; its status
stop() {
	local p=${pid[$1]-} i status
	[[ -n $p ]] || return 0
	kill -s "${2-TERM}" "$p" 2>/dev/null
	for ((i = 0; i < 300; i++)); do
		kill -0 "$p" 2>/dev/null || break
		sleep 0.1
	done
	((i < 300)) || { say "$1 (pid $p) does not end; killed"; kill -KILL "$p" 2>/dev/null; }
	wait "$p" 2>/dev/null
	status=$?
	unset "pid[$1]"
	return $status
}

# wait_for NAME SECONDS WHAT COMMAND…: until the command holds; a line every five seconds; fails when process NAME has ended
wait_for() {
	local name=$1 seconds=$2 what=$3 i
	shift 3
	for ((i = 0; i < seconds * 10; i++)); do
		"$@" >/dev/null 2>&1 && return 0
		running "$name" || { say "$name ended while waiting for: $what"; return 1; }
		((i % 50 == 49)) && say "waiting for: $what ($((i / 10 + 1)) s)"
		sleep 0.1
	done
	say "not within $seconds s: $what"
	return 1
}

log_tails() {
	local f
	for f in "$base"/*.log "$base"/*/*.log; do
		[[ -s $f ]] || continue
		printf '\n-- end of %s\n' "$f"
		tail -n 25 "$f" | cut -c1-400
	done
}

finish() {
	local status=$? name
	trap - EXIT INT TERM
	exec >&"$stdout" # a signal may have come where output goes to a file
	for name in "${names[@]}" tpm-machine tpm-cas; do
		stop "$name"
	done
	((status == 0 && failed == 0)) || log_tails
	if [[ $keep == yes ]]; then
		say "kept: $base*"
	else
		rm -rf "$base" "$base".*
	fi
	printf '\n%d passed, %d failed\n' "$passed" "$failed"
	((failed > 0 && status == 0)) && status=1
	exit "$status"
}

unset SCONE_CAS_ADDR SCONE_LAS_ADDR SCONE_CONFIG_ID
scone() { "$bin/scone" "$@"; }

# What makes evidence for LAS and seals CAS's keys: sim, or tpm (a TPM that is swtpm). The session of a demonstration goes through hardware_session.
tee=${TEE:-sim}
on_machine=() on_cas=() # what a command begins with that runs on the programs' machine, on CAS's
case $tee in
sim) ;;
tpm)
	# shellcheck source=examples/tpm.sh
	. "$(dirname "${BASH_SOURCE[0]}")/tpm.sh"
	;;
*) echo "demo: TEE=$tee, wanted sim or tpm" >&2; exit 2 ;;
esac

# start_las: with the driver of $tee; again if it was ended
start_las() {
	rm -f "$base/las.sock"
	"${on_machine[@]}" "$bin/scone-las" --tee "$tee" --socket "$base/las.sock" --dir "$base/las" --runtime "$bin/scone-runtime" >>"$base/las.log" 2>&1 &
	pid[las]=$!
	wait_for las 30 "the socket of LAS" test -S "$base/las.sock"
}

# start_cas: on the address it had before, with the options in $cas_options
cas_options=()
start_cas() {
	local at=127.0.0.1:0
	[[ ! -s $base/cas.address ]] || at=$(<"$base/cas.address")
	rm -f "$base/cas.address"
	"${on_cas[@]}" "$bin/scone-cas" --tee "$tee" --listen "$at" --address-file "$base/cas.address" --dir "$base/cas" "${cas_options[@]}" \
		>>"$base/cas.log" 2>&1 &
	pid[cas]=$!
	wait_for cas 30 "the address of CAS" test -s "$base/cas.address"
}

# start_services PROGRAM…: CAS and LAS on loopback, the client's home, CAS's key pinned; before, every PROGRAM must be there
start_services() {
	local program key cas

	for program in "$bin/scone" "$bin/scone-cas" "$bin/scone-las" "$bin/scone-runtime" "$leakcheck"; do
		[[ -x $program ]] || die "$program is not built: run make"
	done
	for program in "$@"; do
		command -v "$program" >/dev/null || die "$program is not installed: run make deps"
	done
	export SCONE_HOME=$base/home
	[[ $tee == sim ]] || start_machines
	step "CAS and LAS on loopback, in $base"
	# Both make their keys now. What the operators would tell by another way: CAS whose evidence counts, the user the key of CAS.
	if [[ $tee == sim ]]; then
		cas_options=(--sim-platform "$("$bin/scone-las" --tee sim --dir "$base/las" --print-platform 2>"$base/las.log")") || die "LAS has no platform key"
	else
		cas_options=(--operator "$(scone identity)") || die "there is no key of an operator"
	fi
	key=$("${on_cas[@]}" "$bin/scone-cas" --tee "$tee" --dir "$base/cas" --print-key 2>"$base/cas.log") || die "CAS has no key"
	start_las || die "LAS does not start"
	start_cas || die "CAS does not start"
	cas=$(<"$base/cas.address")
	say "CAS listens on $cas"
	scone cas add demo "$cas" --key "$key" >"$base/cas-add.out" 2>&1 || { indent "$base/cas-add.out"; die "CAS is not added"; }
	proof "CAS holds the pinned key" attest_cas
	export SCONE_LAS_ADDR=$base/las.sock
	[[ $tee == sim ]] || enrol_machine
}
attest_cas() { scone cas attest demo 2>&1 | indent; }

# --- proofs -------------------------------------------------------------------------------------------------------------------------

# files_with TEXT DIRECTORY: how many files hold it
files_with() { grep -rlaF -e "$1" "$2" 2>/dev/null | wc -l; }

# The control is searched like the key, but known. It has been planted in every form, in files, an environment and arguments: a search that
# does not find it there is blind.
control=$(od -An -v -tx1 -N32 /dev/urandom | tr -d ' \n')
plant_control() {
	local plant=$base/planted
	mkdir "$plant" || return 1
	printf %s "$control" >"$plant/lower"
	printf %s "${control^^}" >"$plant/upper"
	# shellcheck disable=SC2001 # a pattern with groups
	printf %b "$(sed 's/\(..\)/\\x\1/g' <<<"$control")" >"$plant/raw"
	printf %s "$control" | base64 -w0 >"$plant/base64"
	# This one as a process of the runtime, like the server: what the search sees of the one, it sees of the other.
	SCONE_DEMO_CONTROL=$control "$bin/scone" run -- sleep 3600 &
	pid[sleeper]=$!
	(exec -a "argument-$control" sleep 3600) &
	pid[argument]=$!
}

# search_key CONFIG-ID: whoever looks for the key must have it; this is a second attested service of the session, which tells counts only
search_key() {
	timeout 300 "$bin/scone" run --config-id "$1" -- "$leakcheck" >"$base/leakcheck.out" 2>"$base/leakcheck.log"
	local status=$?
	indent "$base/leakcheck.out"
	return $status
}
found() { grep -qE "^$1\$" "$base/leakcheck.out"; }

# refused PATTERN… -- COMMAND…: holds if the command fails and says every pattern; its text is printed
refused() {
	local out=$base/refusal.out pattern status patterns=()
	while [[ $1 != -- ]]; do
		patterns+=("$1")
		shift
	done
	shift
	timeout -k 10 "${REFUSED_SECONDS-60}" "$@" >"$out" 2>&1
	status=$?
	tail -n 12 "$out" | cut -c1-300 | indent
	((status != 0 && status != 124)) || { say "exit status $status"; return 1; }
	for pattern in "${patterns[@]}"; do
		grep -qiF -e "$pattern" "$out" || { say "no word of: $pattern"; return 1; }
	done
}
