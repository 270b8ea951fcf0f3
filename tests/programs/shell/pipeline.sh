#!/usr/bin/env bash
# Pipelines, subshells, functions, here-documents, process substitution.
# shellcheck disable=SC2016,SC2018,SC2019,SC2093,SC2116,SC1083
set -u
seq 1 1000 | grep 7 | sort -rn | head -n 5 | tr '\n' ' '; echo
echo "status of a pipeline: $(false | true; echo "$?/${PIPESTATUS[*]}")"
(cd / && pwd; exit 3); echo "subshell $?"
x=$(printf 'a\nb\nc\n' | while read -r l; do echo -n "<$l>"; done); echo "$x"
cat <<DOC | sed 's/^/doc: /'
one $((6 * 7))
two $(echo nested "$(echo deeper)")
DOC
cat <<'DOC'
literal $HOME `no`
DOC
diff <(seq 1 5) <(seq 2 6); echo "diff $?"
paste -d+ <(echo left) <(echo right)
echo twice | tee >(cat) | cat
while read -r a b; do echo "$b-$a"; done < <(printf '1 2\n3 4\n')
f() { local n=$1; ((n <= 1)) && { echo 1; return; }; echo $((n * $(f $((n - 1))))); }
echo "factorial $(f 8)"
exec 5>side; echo to five >&5; exec 5>&-; cat side
coproc c { tr a-z A-Z; }; echo shout >&"${c[1]}"; exec {c[1]}>&-; cat <&"${c[0]}"
printf '%s\n' a b c | xargs -n1 -P1 sh -c 'echo "x:$0"'
find . -maxdepth 1 -type f | sort
head -c 300000 /dev/zero | sha256sum | cut -c1-16
yes | head -n 100000 | wc -l
awk 'BEGIN { while (("seq 3" | getline l) > 0) s += l; print "awk", s; exit 5 }'; echo "awk $?"
echo to-stderr >&2
no-such-command-anywhere; echo "missing $?"
./side; echo "not executable $?"
exit 9
