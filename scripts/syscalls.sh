#!/usr/bin/env bash
# docs/syscalls.md from the runtime's table.   syscalls.sh GENERATOR [-n]: -n only compares; 1: it differs
set -uo pipefail
generator=$(realpath "$1") || exit
cd "$(dirname "$0")/.." || exit
want=$(mktemp) || exit
trap 'rm -f "$want"' EXIT
"$generator" >"$want" || exit
if [ "${2:-}" = -n ]; then
	diff -u docs/syscalls.md "$want" && exit
	echo 'docs/syscalls.md is not what the table says: make docs'
	exit 1
fi
cat "$want" >docs/syscalls.md
