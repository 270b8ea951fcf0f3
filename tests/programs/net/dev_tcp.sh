#!/bin/bash
# dev_tcp.sh ADDRESS PORT SECRET: a client of redis-server without a program but bash.
set -u
at=/dev/tcp/$1/$2 secret=$3
exec 3<>"$at"
# ask COMMAND…: an inline command; its answer, of one line or with a length before it
ask() {
	local line n value
	printf '%s\r\n' "$*" >&3
	IFS= read -r line <&3 || { echo "the end"; return; }
	line=${line%$'\r'}
	if [[ $line == \$* && $line != '$-1' ]]; then
		n=${line#\$}
		IFS= read -r -N "$((n + 2))" value <&3
		line=${value%$'\r\n'}
	fi
	echo "$line"
}
ask PING
for i in {1..50}; do ask SET "b:$i" "$secret.$i"; done | sort | uniq -c
for i in 1 25 50; do ask GET "b:$i"; done
ask GET none
(ask GET b:7) # a child has the descriptor, too
sum=$(ask STRLEN b:8)
echo "length $sum"

# A reader in the background, and many commands that nobody waits for.
exec 4<>"$at"
cat <&4 >"$HOME/answers" &
reader=$!
for i in {1..500}; do printf 'INCR b:n\r\n'; done >&4
printf 'SET b:long %s\r\n' "$(printf "$secret%.0s" {1..1500})" >&4
printf 'QUIT\r\n' >&4
wait "$reader"
echo "reader $? $(wc -l <"$HOME/answers") $(tail -n 1 "$HOME/answers" | tr -d '\r') $(md5sum <"$HOME/answers" | cut -c1-8)"
exec 4>&-
ask STRLEN b:long
ask QUIT
read -r -t 5 line <&3
echo "after the end: $? ${line-}"
exec 3>&-
