#!/usr/bin/env bash
# build.sh DIR [MESON OPTION...]: set the build directory up if it is not, then build. Quiet unless something is to be told.
# BUILD_TARGETS: only these
set -euo pipefail
cd "$(dirname "$0")/.."
dir=$1
shift
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if [ ! -f "$dir/build.ninja" ]; then
	echo "build: setting up $dir"
	# A directory of a set-up that failed half way is in the way of the next.
	rm -rf "$dir/meson-private" "$dir/meson-info" "$dir/meson-logs"
	meson setup "$dir" "$@" >"$log" 2>&1 || { tail -n 30 "$log" >&2; exit 1; }
fi
read -r -a targets <<<"${BUILD_TARGETS:-}"
exec ninja -C "$dir" --quiet "${targets[@]}"
