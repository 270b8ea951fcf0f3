#!/usr/bin/env bash
# The layer check finds what it is there for: one planted fault at a time, and nothing in a clean tree.
set -u
here=$(cd "$(dirname "$0")" && pwd)
check=$here/../../scripts/layers.sh
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
passed=0 failed=0

# plant NAME FILE LINE PATTERN: a tree with this line in this file is refused with a finding that matches; without it is accepted.
plant() {
	local name=$1 file=$2 line=$3 pattern=$4 out
	rm -rf "$dir/src"
	mkdir -p "$dir/src/core" "$(dirname "$dir/src/$file")"
	printf '#include "core/error.h"\n/* strcpy(a, b) in words is no call */\n' >"$dir/src/$file"
	if ! out=$("$check" "$dir/src"); then
		echo "not ok $name: the clean tree is refused: $out"
		failed=$((failed + 1))
		return
	fi
	printf '%s\n' "$line" >>"$dir/src/$file"
	if out=$("$check" "$dir/src"); then
		echo "not ok $name: accepted: $line"
		failed=$((failed + 1))
	elif ! grep -q "$file:3: $pattern" <<<"$out"; then
		echo "not ok $name: found something else: $out"
		failed=$((failed + 1))
	else
		echo "ok $name"
		passed=$((passed + 1))
	fi
}

plant layer-core-includes-crypto core/a.c '#include "crypto/hash.h"' 'layer: core includes'
plant layer-crypto-includes-cas crypto/a.h '#  include "cas/api.h"' 'layer: crypto includes'
plant layer-runtime-includes-cli runtime/sys/a.c '#include "cli/cli.h"' 'layer: runtime includes'
plant layer-cas-includes-las cas/a.c '#include "las/main.h"' 'layer: cas includes'
plant strcpy las/a.c '	strcpy(to, from);' 'length'
plant sprintf cas/a.c '	if (sprintf (b, "%s", s) > 0)' 'length'
plant system cli/a.c '	return system(cmd);' 'not safe'
plant memcmp-of-secret cas/a.c '	return memcmp(s->secret, given, 32) == 0;' 'secrets'
plant memcmp-of-tag crypto/a.c '	if (memcmp(t->tag, tag, 16))' 'secrets'
plant stdio-on-intercept-path runtime/sys/a.c '#include <stdio.h>' 'no stdio'
plant printf-on-intercept-path runtime/x86_64/a.c '	fprintf(stderr, "x");' 'no stdio'
plant file-in-policy policy/a.c '#include <fcntl.h>' 'no I/O'
plant open-in-evidence evidence/a.c '	f = fopen(path, "r");' 'no I/O'
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
