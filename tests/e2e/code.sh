#!/bin/bash
# What an attested service may run: measured code, and beyond it what its session allows (`code:`).
set -uo pipefail

# shellcheck source=tests/lib/e2e.sh
. "$(dirname "$0")/../lib/e2e.sh" code
export SCONE_RUNTIME=$runtime SCONE_LAS_ADDR=$base/las.sock

sum() { sha256sum <"$1" | cut -d' ' -f1; }

[[ -x $runtime ]] || { not_ok runtime "$runtime is not built"; exit; }
start_las || { not_ok start_las "scone-las does not start"; exit; }
start_cas cas || { not_ok start_cas "scone-cas does not start"; exit; }
scone cas add main "$address" --trust-first >/dev/null 2>&1

# --- the programs -------------------------------------------------------------------------------------------------------------------

probe=$base/probe
cc -O1 -fPIE -pie -o "$probe" "$here/../programs/code_probe.c" || { not_ok probe "not compiled"; exit; }
library() { # library NAME ANSWER [FLAG…]
	printf 'int answer(void){return %d;}' "$2" | cc -shared -fPIC -o "$base/$1" -x c - -x none "${@:3}" 2>"$base/cc.log"
}
if ! { library listed.so 1 && library unlisted.so 2 && library changed.so 3 && library used.so 4 &&
	library user.so 5 -Wl,--no-as-needed "$base/used.so"; }; then
	not_ok libraries "not compiled"
	exit
fi
cp "$(type -P true)" "$base/listed"
cp "$(type -P true)" "$base/unlisted"
# As large as before: only the content tells.
change() { printf '\1' | dd of="$1" bs=1 seek="$(($(stat -c %s "$1") - 1))" conv=notrunc status=none; }

code=(--code "$base/listed.so" --code "$base/changed.so" --code "$base/listed" --code "$base/user.so")
turned=(--code "$base/user.so" --code "$base/listed" --code "$base/changed.so" --code "$base/listed.so")
measured=$(scone measure "$probe" "${code[@]}") || { not_ok measure "scone measure fails"; exit; }
bare=$(scone measure "$probe")

cat >"$base/session.yml" <<'END'
name: code-test
version: "0.3"
security: {attestation: {mode: simulation}}
services:
  - {name: strict, command: [probe, "@@1", "@@2"], pwd: /, attestation: {mrenclave: [$MEASURED]}}
  - {name: bare, command: [probe, "@@1", "@@2"], pwd: /, attestation: {mrenclave: [$BARE]}}
  - {name: generated, command: [probe, "@@1", "@@2"], pwd: /, attestation: {mrenclave: [$MEASURED]}, code: {generated: allow}}
  - {name: unmeasured, command: [probe, "@@1", "@@2"], pwd: /, attestation: {mrenclave: [$MEASURED]}, code: {unmeasured: allow}}
END
expect session_created 0 '^code-test ' '\[W-CODE\]' -- "$bin/scone" session create "$base/session.yml" --set "MEASURED=$measured" --set "BARE=$bare"

as=("$bin/scone" run "${code[@]}" --config-id)

# --- what is measured ---------------------------------------------------------------------------------------------------------------

strict=("${as[@]}" code-test/strict -- "$probe")
expect listed_library 0 'ran: 1' -- "${strict[@]}" library "$base/listed.so"
expect listed_library_with_its_own 0 'ran: 5' -- "${strict[@]}" library "$base/user.so"
expect library_of_a_listed_one 0 'ran: 4' -- "${strict[@]}" library "$base/used.so"
expect listed_library_in_a_child 0 'ran: 1' -- "${strict[@]}" child "$base/listed.so"
expect listed_program 0 '' -- "${strict[@]}" execute "$base/listed"
expect order_does_not_count 0 'ran: 1' -- "$bin/scone" run "${turned[@]}" --config-id code-test/strict -- "$probe" library "$base/listed.so"
expect without_its_code_refused_by_cas 125 "$bare" "$measured" -- "$bin/scone" run --config-id code-test/strict -- "$probe" library "$base/listed.so"
expect with_more_code_refused_by_cas 125 "wanted $measured" -- \
	"${as[@]}" code-test/strict --code "$base/unlisted.so" -- "$probe" library "$base/unlisted.so"
expect code_is_not_what_is_started 125 "wanted $measured" -- \
	"$bin/scone" run --config-id code-test/strict --code "$probe" "${code[@]}" -- "$base/listed" x
expect missing_code 125 "--code $base/none" -- "${as[@]}" code-test/strict --code "$base/none" -- "$probe" x

# --- what is not --------------------------------------------------------------------------------------------------------------------

expect unlisted_library 1 'dlopen: ' "$base/unlisted.so: .*$(sum "$base/unlisted.so")" -- "${strict[@]}" library "$base/unlisted.so"
expect unlisted_library_in_a_child 1 "$base/unlisted.so: .*$(sum "$base/unlisted.so")" -- "${strict[@]}" child "$base/unlisted.so"
expect unlisted_program 1 'execve: Permission denied' "$base/unlisted: .*$(sum "$base/unlisted")" -- "${strict[@]}" execute "$base/unlisted"
expect nothing_listed 1 'dlopen: ' "$base/listed.so: .*$(sum "$base/listed.so")" -- \
	"$bin/scone" run --config-id code-test/bare -- "$probe" library "$base/listed.so"
for how in at_once afterwards by_key shared copied own over_first over_middle over_last unmapped moved; do
	expect "generated_$how" 1 'Permission denied' 'generated: allow|not in the manifest' -- "${strict[@]}" "$how" -
done

# --- what the session allows --------------------------------------------------------------------------------------------------------

generated=("${as[@]}" code-test/generated -- "$probe")
for how in at_once afterwards by_key; do
	expect "generated_${how}_allowed" 0 'ran: 42' -- "${generated[@]}" "$how" -
done
expect generated_does_not_allow_unmeasured 1 "$base/unlisted.so: " -- "${generated[@]}" library "$base/unlisted.so"
unmeasured=("${as[@]}" code-test/unmeasured -- "$probe")
expect unlisted_library_allowed 0 'ran: 2' -- "${unmeasured[@]}" library "$base/unlisted.so"
expect unlisted_program_allowed 0 '' -- "${unmeasured[@]}" execute "$base/unlisted"
expect unmeasured_does_not_allow_generated 1 'Permission denied' 'generated: allow' -- "${unmeasured[@]}" afterwards -

# --- a file that changes after it was measured --------------------------------------------------------------------------------------

waiting=$base/waiting
cat >"$base/waiting.c" <<'END'
#include <dlfcn.h>
#include <stdio.h>
int main(int argc, char **argv)
{
	void *h;

	puts("ready");
	fflush(stdout);
	getchar();
	h = dlopen(argv[1], RTLD_NOW);
	puts(h ? "loaded" : dlerror());
	return !h;
}
END
cc -o "$waiting" "$base/waiting.c" || { not_ok waiting "not compiled"; exit; }
cat >"$base/later.yml" <<'END'
name: later
version: "0.3"
security: {attestation: {mode: simulation}}
services:
  - {name: plain, command: [waiting, "@@1"], pwd: /, attestation: {mrenclave: [$MEASURED]}}
  - {name: unmeasured, command: [waiting, "@@1"], pwd: /, attestation: {mrenclave: [$MEASURED]}, code: {unmeasured: allow}}
END
expect second_session 0 '^later ' -- "$bin/scone" session create "$base/later.yml" \
	--set "MEASURED=$(scone measure "$waiting" --code "$base/changed.so")"

# later SERVICE COMMAND…: the command runs between start and dlopen; what the service says is in $base/later.out
later() {
	local service=$1 to from status
	shift
	coproc SERVICE { exec "$bin/scone" run --config-id "later/$service" --code "$base/changed.so" -- "$waiting" "$base/changed.so" 2>"$base/later.err"; }
	local process=$SERVICE_PID
	exec {from}<&"${SERVICE[0]}" {to}>&"${SERVICE[1]}"
	read -r -t 60 -u "$from" _ && "$@"
	echo >&"$to"
	exec {to}>&-
	cat <&"$from" >"$base/later.out"
	exec {from}<&-
	wait "$process"
	status=$?
	cat "$base/later.out" "$base/later.err"
	return $status
}
expect_later() { # expect_later NAME CODE PATTERN SERVICE COMMAND…
	local text status
	text=$(later "${@:4}")
	status=$?
	if ((status != $2)) || ! grep -qE -e "$3" <<<"$text"; then
		not_ok "$1" "exit code $status, wanted $2 and $3: ${text:0:400}"
	else
		ok "$1"
	fi
}
as_measured=$(sum "$base/changed.so")
cp "$base/changed.so" "$base/changed.orig"
cp "$base/changed.so" "$base/changed.new"
change "$base/changed.new"
expect_later unchanged_file 0 '^loaded' plain true
expect_later changed_file 1 "$base/changed.so: .*seen $(sum "$base/changed.new"), wanted $as_measured" plain change "$base/changed.so"
cp "$base/changed.orig" "$base/changed.so"
expect_later replaced_file 1 "$base/changed.so: .*seen $(sum "$base/changed.new"), wanted $as_measured" plain mv "$base/changed.new" "$base/changed.so"
cp --remove-destination "$base/changed.orig" "$base/changed.so"
expect_later changed_file_whatever_is_allowed 1 "$base/changed.so: .*, wanted $as_measured" unmeasured change "$base/changed.so"
