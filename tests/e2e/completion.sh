#!/usr/bin/env bash
# Completion in bash: verbs and options come from --help, so every verb and every option of every verb must be offered.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit
bin=$(cd "${SCONE_BIN:-build/bin}" && pwd)
PATH=$bin:$PATH
passed=0 failed=0
# shellcheck source=share/completion/scone.bash
source share/completion/scone.bash

# offered FUNCTION WORD...: what completing the last word offers, sorted, one a line
offered() {
	local f=$1
	shift
	COMP_WORDS=("$@")
	COMP_CWORD=$(($# - 1))
	COMPREPLY=()
	"$f" "$1" "${@: -1}" "" 2>/dev/null
	[ ${#COMPREPLY[@]} -eq 0 ] || printf '%s\n' "${COMPREPLY[@]}" | sort -u
}

# same NAME WANTED GOT
same() {
	if [ "$2" = "$3" ] && [ -n "$2" ]; then
		echo "ok $1"
		passed=$((passed + 1))
	else
		echo "not ok $1: wanted $(tr '\n' ' ' <<<"$2"), got $(tr '\n' ' ' <<<"$3")"
		failed=$((failed + 1))
	fi
}

# options COMMAND...: long options that its help names at the start of a line, by another way than the completion
options() {
	"$@" --help | awk '/^ *-/ { for (i = 1; i <= NF; i++) { if ($i !~ /^-/) break; sub(/,$/, "", $i); if ($i ~ /^--/) print $i; if ($i !~ /,$/ && $i ~ /^--/ && $(i+1) !~ /^-/) break } }' | sort -u
}

verbs=$(scone --help | awk '$1 == "scone" { v = $2; if ($3 ~ /^[a-z]/) v = v " " $3; print v }')
same "words after scone" "$(printf '%s\n--help\n--version\n' "$(cut -d' ' -f1 <<<"$verbs" | sort -u)" | sort)" "$(offered _scone scone '')"
same "words after scone volume" "$(sed -n 's/^volume //p' <<<"$verbs" | sort)" "$(offered _scone scone volume '')"
same "half a word" resize "$(offered _scone scone volume resi)"
while read -r verb; do
	# shellcheck disable=SC2086 # a verb may be two words
	same "options of scone $verb" "$(options scone $verb)" "$(offered _scone scone $verb --)"
done <<<"$verbs"
for program in scone-cas scone-las scone-runtime; do
	same "options of $program" "$(options "$program")" "$(offered _scone_server "$program" --)"
done
same "option behind an operand" --volume-key-file "$(offered _scone scone volume get DIR --vol)"
same "nothing behind --" "none" "$(offered _scone scone run -- ls --a || true)none"

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
