#!/usr/bin/env bash
# What runs with the program's vector state and FS base live must be compiled with general registers only: every fast handler of
# src/runtime/sys/table.c and what the entry, the signal handler and the fast handlers call lies in libruntime-gpr.a, and no code there
# touches a vector register or thread-local storage.
#   fastpath.sh [BUILD]     the build directory (build)
set -euo pipefail
cd "$(dirname "$0")/.."
lib=${1:-build}/bin/libruntime-gpr.a
[ -f "$lib" ] || { echo "$lib is not built" >&2; exit 2; }

defined=$(nm --defined-only "$lib" | awk '$2 ~ /[Tt]/ {print $3}' | sort -u)
wanted=$({
	# FAST(call, handler, …), also over two lines; PATH0 and PATH1 name theirs in their definition
	tr '\n\t' '  ' <src/runtime/sys/table.c | grep -oE '(FAST|\.fast =)[( ][a-z0-9_, ]*sys_[a-z0-9_]+_?fast|FAST\([a-z0-9_]+, *sys_[a-z0-9_]+' |
		grep -oE 'sys_[a-z0-9_]+'
	printf '%s\n' scone_dispatch scone_deliver scone_on_signal user_copy code_overlaps rewrite_native_ip rewrite_resume_ip rewrite_owns
} | sort -u)
count=$(wc -l <<<"$wanted")
[ "$count" -ge 20 ] || { echo "only $count fast functions found: the pattern no longer fits the table" >&2; exit 1; }
missing=$(comm -13 <(echo "$defined") <(echo "$wanted"))
[ -z "$missing" ] || { echo "not in $lib, hence not compiled with general registers only:"; echo "$missing"; exit 1; }
if objdump -d --no-show-raw-insn "$lib" | grep -E '%[xyz]mm[0-9]|%fs:' | head -n 5 | grep .; then
	echo "$lib uses vector registers or thread-local storage" >&2
	exit 1
fi
echo "$count fast functions, general registers only"
