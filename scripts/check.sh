#!/usr/bin/env bash
# Every test of the tree, one line each; the last line is "N passed, N failed", the exit status 1 if any failed.
#   build       both builds: plain, and with the address and undefined behaviour sanitizers (build-asan: unit tests, fuzzers,
#               command line, CAS, LAS)
#   style       scripts, formatting, layers
#   unit, …     meson's tests, under the sanitizers where they can be built so
#   tsan        tests of what threads share, under the thread sanitizer (build-tsan; part of unit, too)
#   conformance programs natively against programs under the runtime
#   suites      the short groups of the long suites of make conformance
#   stress      the stress set for twenty seconds; `make stress` is ten minutes
#   tamper, crash, e2e, example    scripts that print "ok NAME" and "not ok NAME: why" and end with "N passed, N failed"
# check.sh PART...: only these parts.
set -uo pipefail
cd "$(dirname "$0")/.." || exit
parts=("$@")
log=$(mktemp -d)
trap 'rm -rf "$log"' EXIT
passed=0 failed=0
unset SCONE_CAS_ADDR SCONE_LAS_ADDR SCONE_CONFIG_ID SCONE_LOG SCONE_HOME SCONE_RUNTIME
export ASAN_OPTIONS=detect_leaks=1 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1

pass() {
	echo "ok $1"
	passed=$((passed + 1))
}
# fail NAME WHY [FILE]: with the end of what FILE holds
fail() {
	echo "not ok $1: $2"
	[ -z "${3:-}" ] || tail -n 25 "$3" | sed 's/^/    /'
	failed=$((failed + 1))
}
finish() {
	echo "$passed passed, $failed failed"
	[ "$failed" -eq 0 ]
	exit
}
part() {
	local p
	[ ${#parts[@]} -gt 0 ] || return 0
	for p in "${parts[@]}"; do [ "$p" = "$1" ] && return 0; done
	return 1
}
# one NAME COMMAND...: a check that says what is wrong and ends with a status
one() {
	local name=$1
	shift
	if "$@" >"$log/one" 2>&1; then pass "$name"; else fail "$name" "status $?" "$log/one"; fi
}
# judge NAME SECONDS FILE STATUS: what a test printed that prints its own lines; its sum must agree with them
judge() {
	local name=$1 seconds=$2 out=$3 status=$4 good bad
	good=$(grep -c '^ok ' "$out")
	bad=$(grep -c '^not ok ' "$out")
	sed -nE "s|^(not )?ok |\1ok $name: |p; /^    /p" "$out"
	passed=$((passed + good))
	failed=$((failed + bad))
	if [ "$status" -eq 124 ]; then
		fail "$name" "not done after $seconds s" "$out"
	elif [ "$(tail -n 1 "$out")" != "$good passed, $bad failed" ]; then
		fail "$name" "ended with status $status and without the sum of its $good passed and $bad failed" "$out"
	elif [ $((status != 0)) -ne $((bad != 0)) ]; then
		fail "$name" "ended with status $status after $bad failures" "$out"
	elif [ "$good" -eq 0 ] && [ "$bad" -eq 0 ]; then
		fail "$name" "tested nothing" "$out"
	elif [ "$bad" -ne 0 ]; then
		tail -n 10 "$out" | sed 's/^/    /'
	fi
}
# script NAME SECONDS COMMAND...: such a test
script() {
	local name=$1 seconds=$2
	shift 2
	timeout -k 10 "$seconds" "$@" >"$log/script" 2>&1 </dev/null
	judge "$name" "$seconds" "$log/script" $?
}
# queue NAME SECONDS COMMAND...: such a test, for run_queue
queued=()
queue() {
	local at=${#queued[@]} name=$1 seconds=$2
	shift 2
	queued+=("$name"$'\t'"$seconds")
	printf '%s\0' "$@" >"$log/queued.$at"
}
# run_queued NUMBER: in the background
run_queued() {
	local command seconds=${queued[$1]#*$'\t'}
	mapfile -d '' -t command <"$log/queued.$1"
	timeout -k 10 "$seconds" "${command[@]}" >"$log/out.$1" 2>&1 </dev/null
	echo $? >"$log/status.$1.new"
	mv "$log/status.$1.new" "$log/status.$1"
}
# run_queue: as many at a time as there are processors; told in the order they were queued
run_queue() {
	local next=0 told=0 count=${#queued[@]}
	while [ "$told" -lt "$count" ]; do
		while [ "$next" -lt "$count" ] && [ "$(jobs -rp | wc -l)" -lt "$(nproc)" ]; do
			run_queued "$next" &
			next=$((next + 1))
		done
		wait -n
		while [ -f "$log/status.$told" ]; do
			judge "${queued[told]%%$'\t'*}" "${queued[told]#*$'\t'}" "$log/out.$told" "$(<"$log/status.$told")"
			told=$((told + 1))
		done
	done
	queued=()
	rm -f "$log"/status.* "$log"/out.* "$log"/queued.*
}

if [ "${parts[*]-}" != style ]; then
	one build scripts/build.sh build
	one build-asan scripts/build.sh build-asan -Db_sanitize=address,undefined
	[ "$failed" -eq 0 ] || finish
fi
[ -d ../shared/vectors ] || echo "# ../shared/vectors is not there; no test on evidence of real hardware"

if part style; then
	mapfile -t scripts < <(find scripts tests bench examples .ci -type f \( -name '*.sh' -o -path '.ci/run' \) | sort)
	for s in "${scripts[@]}"; do one "style/shellcheck $s" shellcheck -x "$s"; done
	one style/format scripts/format.sh -n
	one style/layers scripts/layers.sh
	script style/layers-check 60 tests/style/layers.sh
	[ "${parts[*]-}" = style ] || one style/fast-path scripts/fastpath.sh build
fi

# Tests that a sanitized build has run there only: the plain build would add nothing but time.
if part unit; then
	seen=' '
	for dir in build-asan build; do
		mapfile -t tests < <(meson introspect "$dir" --tests | jq -r '.[] | (.suite[0] // "" | sub("^[^:]*:"; "")) + "/" + .name')
		wanted=()
		for t in "${tests[@]}"; do
			[[ $seen == *" $t "* ]] || wanted+=("${t#*/}")
			seen+="$t "
		done
		[ ${#wanted[@]} -gt 0 ] || continue
		rm -f "$dir/meson-logs/testlog.json"
		meson test -C "$dir" --no-rebuild --num-processes "$(nproc)" "${wanted[@]}" >"$log/meson" 2>&1
		ran=0
		while IFS=$'\t' read -r name result; do
			ran=$((ran + 1))
			if [ "$result" = OK ]; then
				pass "$name"
			else
				jq -r --arg n "$name" 'select((.name | sub("^[^:]*:"; "") | sub(" / "; "/")) == $n) | (.stdout // "") + (.stderr // "")' \
					"$dir/meson-logs/testlog.json" >"$log/test"
				fail "$name" "$result" "$log/test"
			fi
		done < <(jq -r '[(.name | sub("^[^:]*:"; "") | sub(" / "; "/")), .result] | @tsv' "$dir/meson-logs/testlog.json" 2>/dev/null)
		[ "$ran" -ge ${#wanted[@]} ] || fail "unit tests in $dir" "$ran of ${#wanted[@]} ran" "$log/meson"
	done
fi

# What several threads use, under the thread sanitizer. The runtime proper cannot be built so: it is static, and its threads are half the
# program's; the modules it shares between them are in these tests.
if part unit || part tsan; then
	threaded='tests/unit/test_threads tests/unit/test_las_client tests/unit/test_http_client tests/patterns/test_cache_threads'
	BUILD_TARGETS=$threaded one build-tsan scripts/build.sh build-tsan -Db_sanitize=thread -Dwerror=false
	for t in $threaded; do
		one "tsan/${t##*/test_}" env TSAN_OPTIONS=halt_on_error=1 timeout -k 10 200 "build-tsan/$t"
	done
fi

part conformance && script conformance 600 tests/conformance/run.sh
part suites && script suites 600 tests/suites/run.py --short -j 2

part stress && script stress 200 tests/stress/run.sh 20

for kind in tamper crash e2e; do
	part "$kind" || continue
	for s in tests/"$kind"/*; do
		if [ ! -f "$s" ] || [ ! -x "$s" ]; then continue; fi
		name=${s##*/}
		# What needs no runtime runs with sanitizers in every program, and then the plain build would add nothing but time. The clusters are the
		# other way round: sanitized they do less.
		case $name in
		cas_cluster*) queue "$kind/${name%.*}" 400 "$s" ;;
		board* | cas_* | cli_* | las_*) queue "$kind/${name%.*} sanitized" 400 env SCONE_BIN="$PWD/build-asan/bin" "$s" ;;
		*) queue "$kind/${name%.*}" 400 "$s" ;;
		esac
	done
done

if part example; then
	for s in examples/*/demo.sh; do
		[ -f "$s" ] || continue
		name=${s%/demo.sh}
		[ "${name##*/}" != pyspark ] || continue # needs PyPI: make demo-pyspark
		queue "example/${name##*/}" 400 "$s"
		[ "$s" != examples/mariadb/demo.sh ] || queue "example/${name##*/}-tpm" 400 env TEE=tpm "$s"
	done
fi
run_queue
finish
