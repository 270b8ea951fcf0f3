#!/bin/bash
# The POSIX programs natively on two file systems: both give the same verdicts, and none is "not ok". This is the ground that a comparison
# with a protected volume stands on: what fails there and not here is the volume's fault.
#
#   posix.sh [DIR...]    directories to compare; without any, a tmpfs and the disk that holds this tree
set -uo pipefail

# shellcheck source=tests/lib/e2e.sh
. "$(dirname "$0")/../lib/e2e.sh" posix

programs=(posix_open posix_names posix_rename posix_attr posix_io posix_meet)
built=$base/programs
make -s -C "$here/../programs" B="$built" "${programs[@]/#/$built/}" "$built/fsx" >"$base/make.log" 2>&1 || {
	not_ok build "the programs do not build"
	exit
}
dirs=("$@")
if ((${#dirs[@]} == 0)); then
	tmp=$(mktemp -d /dev/shm/posix.XXXXXX) disk=$(mktemp -d "$here/../../build/posix.XXXXXX")
	trap 'rm -rf "$tmp" "$disk"; finish' EXIT
	dirs=("$tmp" "$disk")
fi
for d in "${dirs[@]}"; do echo "# $d: $(stat -f -c %T "$d")"; done

for p in "${programs[@]}"; do
	first=
	for d in "${dirs[@]}"; do
		mkdir "$d/$p"
		timeout -s KILL 120 "$built/$p" "$d/$p" >"$base/$p.$((${#first} > 0))" 2>&1
		judged=$base/$p.$((${#first} > 0))
		if grep -q '^not ok' "$judged"; then
			not_ok "$p in $d" "$(grep -m 3 '^not ok' "$judged" | tr '\n' ' ')"
		elif ! grep -qE '^[1-9][0-9]* passed, 0 failed$' "$judged"; then
			not_ok "$p in $d" "$(tail -n 1 "$judged")"
		elif [[ -n $first ]] && ! diff "$first" "$judged" >"$base/diff"; then
			not_ok "$p in $d" "other lines than in ${dirs[0]}: $(head -n 4 "$base/diff" | tr '\n' ' ')"
		else
			ok "$p in $d: $(grep -c '^ok' "$judged") assertions"
		fi
		: "${first:=$judged}"
	done
done
for d in "${dirs[@]}"; do
	mkdir "$d/fsx"
	expect "fsx in $d" 0 'all as wanted' -- "$built/fsx" "$d/fsx" 3
done
