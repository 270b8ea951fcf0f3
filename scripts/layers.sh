#!/usr/bin/env bash
# What the compiler does not check: includes that point upward, and calls that have no place here. Each finding is a line
# "file:line: rule: text"; exit 1 if there is any. layers.sh [DIR] looks at DIR instead of src (the check's own test does).
set -uo pipefail
cd "$(dirname "$0")/.." || exit
src=${1:-src}
found=$(mktemp)
trap 'rm -f "$found"' EXIT

# folder: folders that its files may include besides their own. docs/architecture.md draws it.
declare -A below=(
	[core]=''
	[crypto]='core'
	[measure]='core crypto'
	[evidence]='core crypto measure'
	[tee]='core crypto measure evidence host'
	[host]='core'
	[policy]='core crypto evidence'
	[wire]='core crypto measure evidence'
	[shield]='core crypto host policy'
	[runtime]='core crypto measure evidence tee host policy wire shield'
	[cas]='core crypto measure evidence tee host policy wire'
	[las]='core crypto measure evidence tee wire'
	[cli]='core crypto measure evidence tee host policy wire shield'
)

includes() {
	local folder file line target top
	for folder in "$src"/*/; do
		folder=$(basename "$folder")
		if [ -z "${below[$folder]+known}" ]; then
			echo "$src/$folder: layer: a folder that scripts/layers.sh does not know"
			continue
		fi
		while IFS=: read -r file line target; do
			target=${target#*\"}
			target=${target%\"*}
			top=${target%%/*}
			[ "$top" != "$target" ] || continue # beside the file: the compiler finds it or not
			case " $folder ${below[$folder]} " in
			*" $top "*) ;;
			*) echo "$file:$line: layer: $folder includes $target, which lies above it or beside it" ;;
			esac
		done < <(grep -rnE '^[[:space:]]*#[[:space:]]*include[[:space:]]*"' --include='*.[chS]' "$src/$folder")
	done
}

# ban RULE REGEX PATH...: no line of code may match; text in strings and comments that start a line does not count.
ban() {
	local rule=$1 regex=$2
	shift 2
	local paths=() d
	for d; do
		[ "$d" = . ] && d=
		[ -e "$src/$d" ] && paths+=("$src${d:+/$d}")
	done
	[ ${#paths[@]} -gt 0 ] || return 0
	grep -rnE --include='*.[chS]' "$regex" "${paths[@]}" | grep -vE '^[^:]*:[0-9]*:[[:space:]]*(\*|/\*|//)' |
		awk -v rule="$rule" '{ at = $0; sub(/^[^:]*:[0-9]*:/, ""); sub(/^[ \t]*/, ""); print substr(at, 1, match(at, /:[0-9]*:/) + RLENGTH - 1), rule ":", $0 }'
}

{
	includes
	call='(^|[^A-Za-z0-9_>.])'
	ban 'length unchecked, copy with a length' "$call(strcpy|strcat|sprintf|vsprintf|gets|stpcpy|alloca)[[:space:]]*\(" .
	ban 'not safe here' "$call(system|popen|tmpnam|mktemp|strtok|rand|srand|random)[[:space:]]*\(" .
	ban 'secrets are compared in constant time (secret_equal)' \
		"$call(memcmp|bcmp)[[:space:]]*\([^;]*(secret|passw|otp|private|plain|hmac|[._>]mac\b|[._>]tag\b)" \
		crypto cas las tee evidence wire runtime shield
	# The program's own stdio may hold its locks when the runtime runs, and buffers would hold its data.
	ban 'no stdio where calls are intercepted' '#[[:space:]]*include[[:space:]]*<stdio.h>' runtime/sys runtime/x86_64
	ban 'no stdio where calls are intercepted' "$call(printf|fprintf|snprintf|dprintf|fopen|fputs|puts|fwrite|perror)[[:space:]]*\(" \
		runtime/sys runtime/x86_64
	ban 'no I/O in this layer' '#[[:space:]]*include[[:space:]]*<(fcntl|dirent|poll|sys/socket|sys/mman|sys/stat|netdb|netinet/in).h>' \
		core crypto policy evidence
	ban 'no I/O in this layer' "$call(fopen|open|openat|socket|connect|fprintf|printf|puts|getenv)[[:space:]]*\(" crypto policy evidence
} >"$found"
cat "$found"
[ ! -s "$found" ]
