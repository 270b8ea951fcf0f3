#!/usr/bin/env bash
# format.sh -n: say which C files are not formatted, exit 1 if any; format.sh -i: format them.
set -euo pipefail
cd "$(dirname "$0")/.."
mapfile -t files < <(find src tests bin examples bench \( -name '*.c' -o -name '*.h' \) -type f | sort)
case ${1:-} in
-i) clang-format -i "${files[@]}" ;;
-n)
	bad=0
	for f in "${files[@]}"; do
		clang-format --dry-run -Werror "$f" 2>/dev/null || { echo "$f: run make format"; bad=1; }
	done
	exit $bad
	;;
*) echo "usage: format.sh -n | -i" >&2; exit 2 ;;
esac
