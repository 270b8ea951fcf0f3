# Completion for scone, scone-cas, scone-las and scone-runtime in bash. What there is to complete is what the programs' --help says.

# _scone_verbs: the verbs of scone, one a line.
_scone_verbs() {
	"$1" --help 2>/dev/null | sed -nE 's/^  scone ([a-z-]+( [a-z-]+)*)  ? *[A-Z].*/\1/p'
}

# _scone_options COMMAND...: the options that its help lists, one a line.
_scone_options() {
	"$@" --help 2>/dev/null | sed -nE 's/^ {2,6}(-[a-zA-Z], )?(--[a-z][a-z-]*)( .*)?$/\2/p; s/^ *--help, --version$/--help\n--version/p' | sort -u
}

_scone_words() {
	local IFS=$'\n'
	mapfile -t COMPREPLY < <(compgen -W "$1" -- "$2")
}

_scone() {
	local program=$1 word=$2 words=() verb='' w verbs next i
	COMPREPLY=()
	# The verb: one or two words that are no options.
	for ((i = 1; i < COMP_CWORD; i++)); do
		w=${COMP_WORDS[i]}
		[ "$w" != -- ] || return 0
		case $w in -*) continue ;; esac
		words+=("$w")
		[ ${#words[@]} -lt 2 ] || break
	done
	verbs=$(_scone_verbs "$program")
	for w in "${words[*]}" "${words[0]-}"; do
		[ -z "$w" ] || ! grep -qx -- "$w" <<<"$verbs" || { verb=$w && break; }
	done
	if [ -z "$verb" ]; then
		if [ ${#words[@]} -eq 0 ]; then
			next=$(cut -d' ' -f1 <<<"$verbs" | sort -u)
			next+=$'\n--help\n--version'
		else
			next=$(sed -nE "s/^${words[0]} ([a-z-]+)$/\1/p" <<<"$verbs")
		fi
		_scone_words "$next" "$word"
		return 0
	fi
	case $word in
	-*)
		# shellcheck disable=SC2086 # a verb may be two words
		_scone_words "$(_scone_options "$program" $verb)" "$word"
		;;
	*)
		if [ "$verb" = run ] && [ "${COMP_WORDS[COMP_CWORD - 1]}" = run ]; then
			mapfile -t COMPREPLY < <(compgen -c -- "$word")
		else
			compopt -o default 2>/dev/null
		fi
		;;
	esac
}

_scone_server() {
	COMPREPLY=()
	case $2 in
	-*) _scone_words "$(_scone_options "$1")" "$2" ;;
	*) compopt -o default 2>/dev/null ;;
	esac
}

complete -F _scone scone
complete -F _scone_server scone-cas scone-las scone-runtime
