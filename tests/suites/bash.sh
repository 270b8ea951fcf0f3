#!/usr/bin/env bash
# Shells. Groups:
#   upstream   bash's own tests, from Debian's source package: run-NAME under bash
#   dash       those of them that are plain POSIX, under dash
#   own        tests/suites/bash/*.cases: each case under bash, and under dash where the file says so
#   terminal   tests/suites/bash/terminal/*: what is typed to an interactive shell at a terminal
# A verdict is the exit status and the first digits of the SHA-256 of what was printed, with numbers of processes made equal: a test that fails
# natively, too, must still say the same.
set -u
here=$(cd "$(dirname "$0")" && pwd)
src=bash_5.2.15.orig.tar.gz
digest=7a315bc0e9d90713159e4390ec1096a41e4f33cd8cc3d1a749a8e5ad56600f51
# Only what dash gets to the end of.
posix='case dollars getopts heredoc ifs-posix input-test invert nquote5 posix2 posixpat posixpipe precedence quote strip tilde2'
short='terminal'

if [ "${1:-}" = --list ]; then
	if [ "${2:-}" = --short ]; then
		for g in $short; do printf '%s\t120\n' "$g"; done
	else
		printf 'upstream\t1800\ndash\t600\nown\t900\nterminal\t300\n'
	fi
	exit 0
fi
dir=$1
shift

# The source, through the package manager's own mirror and into a directory of our own; twice the same bytes or none.
fetch() {
	local c=$SUITE_CACHE/bash
	exec 8>"$SUITE_CACHE/bash.lock"
	flock 8
	if [ ! -x "$c/ready" ]; then
		rm -rf "$c"
		mkdir -p "$c/lists/partial"
		if [ ! -f "$SUITE_CACHE/$src" ]; then
			local uri
			# shellcheck disable=SC2016
			uri=$(apt-get indextargets --format '$(SITE)' 'Component: main' 'Created-By: Packages' 2>/dev/null | grep -m1 '/debian/*$')
			echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] ${uri:-http://deb.debian.org/debian} bookworm main" >"$c/sources.list"
			local o=(-q -o Dir::Etc::sourcelist="$c/sources.list" -o Dir::Etc::sourceparts=- -o Dir::State::lists="$c/lists" -o APT::Sandbox::User=root)
			(cd "$c" && apt-get "${o[@]}" update && apt-get "${o[@]}" --download-only --only-source source bash=5.2.15-2 && mv "$src" "$SUITE_CACHE/")
		fi
		echo "$digest  $SUITE_CACHE/$src" | sha256sum -c --quiet || return 1
		tar -xzf "$SUITE_CACHE/$src" -C "$c" --strip-components=1 || return 1
		# The programs that the tests call by name.
		(cd "$c" && ./configure --quiet && make -s recho zecho printenv xcase config.h version.h && cp recho zecho printenv xcase tests/) || return 1
		touch "$c/ready" && chmod +x "$c/ready"
	fi
	flock -u 8
}

# Numbers of processes and names made of them differ from run to run.
steady() {
	sed -E -e "s|$dir|DIR|g" -e 's/bashtst-[0-9]+/bashtst-N/g' -e 's/ *\b[0-9]{4,7}\b/ PID/g' -e 's/sh-thd[-.][A-Za-z0-9]+/sh-thd-N/g'
}

# judge TEST STATUS OUTPUT
judge() {
	local hash verdict
	hash=$(steady <"$3" | sha256sum | cut -c1-12)
	case $2 in
	124) verdict=hang ;;
	*) verdict=exit-$2:$hash ;;
	esac
	printf '%s\t%s\t%s\n' "$1" "$verdict" "$(head -n 1 "$3" | tr -d '\000' | tr '\t' ' ' | cut -c1-120)" >>"$dir/verdicts"
	echo "== $1 $verdict"
	cut -c1-400 <"$3"
}

# under SECONDS OUTPUT COMMAND...: COMMAND in the current directory, with a known environment
under() {
	local seconds=$1 output=$2
	shift 2
	# shellcheck disable=SC2086
	env -i PATH=".:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" HOME="$dir" TMPDIR="$dir/tmp" LANG=C.UTF-8 \
		THIS_SH="${shell:-/bin/bash}" BUILD_DIR="$dir/src" BASH_TSTOUT="$dir/tmp/bashtst-1" BASE="$dir" \
		"$SUITE_SUPERVISE" "$seconds" $UNDER "$@" >"$output" 2>&1
}

# The tests write into their directory: each gets its own copy.
upstream() {
	local shell=$1 group=$2 name=$3
	rm -rf "$dir/src" && mkdir -p "$dir/src" && cp -R "$SUITE_CACHE/bash/tests" "$dir/src/" && cp "$SUITE_CACHE/bash/"{config.h,version.h,y.tab.c} "$dir/src/" 2>/dev/null
	(cd "$dir/src/tests" && under 120 "$dir/out" /bin/sh "./run-$name")
	local status=$?
	judge "$group:$name" "$status" "$dir/out"
}

# FILE.cases: "#: NAME [SHELLS]" begins a case, what follows up to the next is its script; SHELLS is bash unless said.
own_list() {
	local f
	for f in "$here"/bash/*.cases; do
		awk -v f="$f" '/^#: /{n = split($0, w, " "); if (n < 3) w[3] = "bash"; for (i = 3; i <= (n < 3 ? 3 : n); i++) print w[2] "-" w[i] "\t" f "\t" w[2]}' "$f"
	done
}
own() {
	local name=$1 file=$2 case=$3 d=$dir/own
	rm -rf "$d" && mkdir -p "$d"
	awk -v c="$case" '/^#: /{on = $2 == c; next} on' "$file" >"$d/script"
	(cd "$d" && under 60 "$dir/out" "/bin/${name##*-}" ./script one 'two words')
	judge "own:$name" $? "$dir/out"
}
# Typed line by line, each after the prompt: script(1) gives the terminal.
terminal() {
	local name=$1 d=$dir/term
	rm -rf "$d" && mkdir -p "$d"
	(cd "$d" && env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME="$d" TERM=dumb LANG=C.UTF-8 UNDER="$UNDER" \
		"$SUITE_SUPERVISE" 60 python3 "$here/bash/terminal.py" "$here/bash/terminal/$name" >"$dir/out" 2>&1)
	judge "terminal:$name" $? "$dir/out"
}

for test; do
	group=${test%%:*}
	only=${test#"$group"}
	only=${only#:}
	case $group in
	upstream | dash)
		fetch >"$dir/fetch" 2>&1 || {
			cat "$dir/fetch"
			echo "$src cannot be had from Debian's mirror, or its digest is another"
			exit 77
		}
		if [ "$group" = dash ]; then names=$posix shell=/bin/dash; else shell=/bin/bash names=$(cd "$SUITE_CACHE/bash/tests" && echo run-*) names=${names//run-/}; fi
		for n in $names; do
			case $n in all | minimal | gprof) continue ;; esac
			if [ -z "$only" ] || [ "$only" = "$n" ]; then upstream "$shell" "$group" "$n"; fi
		done
		;;
	own)
		while IFS=$'\t' read -r n file case; do
			if [ -z "$only" ] || [ "$only" = "$n" ]; then own "$n" "$file" "$case" </dev/null; fi
		done < <(own_list)
		;;
	terminal)
		for f in "$here"/bash/terminal/*; do
			n=${f##*/}
			if [ -z "$only" ] || [ "$only" = "$n" ]; then terminal "$n"; fi
		done
		;;
	*)
		echo "no group $group" >&2
		exit 2
		;;
	esac
done
