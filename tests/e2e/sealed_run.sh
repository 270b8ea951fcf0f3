#!/bin/bash
# scone run --tree: programs on sealed trees see what was sealed, and nothing else, whatever the host does to the files behind it.
# shellcheck disable=SC2016 # variables of the shells that run on the tree
set -uo pipefail

# shellcheck source=tests/lib/e2e.sh
. "$(dirname "$0")/../lib/e2e.sh" sealed
export SCONE_RUNTIME=$runtime
limit=100
m=$base/m # where the program sees the tree
mkdir -p "$base/tree/sub/empty" "$m"
echo hello >"$base/tree/a.txt"
head -c 200001 /dev/urandom >"$base/tree/sub/big"
ln -s sub/big "$base/tree/link"
ln -s /etc/hostname "$base/tree/away"
printf '#!/bin/sh\necho "script says $1"\n' >"$base/tree/run.sh"
cp /bin/echo "$base/tree/echo"
: >"$base/tree/nothing"
chmod 750 "$base/tree/run.sh"
chmod 640 "$base/tree/a.txt"
touch -d 2020-02-02T02:02:02.5Z "$base/tree/a.txt"
scone identity --new >/dev/null
signer=$(scone identity | head -n 1)
scone volume seal "$base/tree" "$base/good" >"$base/sealed.txt" || { not_ok seal "scone volume seal fails"; exit; }
root=$(awk '$1 == "root" { print $2 }' "$base/sealed.txt")
tree=("$bin/scone" run --tree "$base/tree:$m" --tree-manifest "$base/good" --tree-signer "$signer" --)

# --- what is refused before anything runs -------------------------------------------------------------------------------------------------

expect "whom to trust has to be said" 125 'tree-signer KEYHASH or --tree-root' -- "$bin/scone" run --tree "$base/tree:$m" -- true
expect "a manifest for each tree" 125 'tree-manifest is given 2 times' -- \
	"$bin/scone" run --tree "$base/tree:$m" --tree-manifest a --tree-manifest b --tree-signer "$signer" -- true
expect "a key hash that is none" 125 'tree-signer' -- "$bin/scone" run --tree "$base/tree:$m" --tree-signer nonsense -- true
expect "an attested service takes no tree of the host's" 125 'config-id' -- "$bin/scone" run --config-id a/b --tree "$base/tree:$m" --tree-signer "$signer" -- true
expect "no manifest" 125 'tree\.sealed.*No such file' -- "$bin/scone" run --tree "$base/tree:$m" --tree-signer "$signer" -- true
expect "another root" 125 "root is $root, wanted 0{64}" -- \
	"$bin/scone" run --tree "$base/tree:$m" --tree-manifest "$base/good" --tree-root "$(printf '0%.0s' {1..64})" -- true
expect "the root alone is enough" 0 '^hello$' -- "$bin/scone" run --tree "$base/tree:$m" --tree-manifest "$base/good" --tree-root "$root" -- cat "$m/a.txt"
cp "$base/good" "$base/cut" && truncate -s -1 "$base/cut"
expect "a manifest that is cut off" 125 'manifest' -- "$bin/scone" run --tree "$base/tree:$m" --tree-manifest "$base/cut" --tree-signer "$signer" -- true
for at in 40 300 600; do
	cp "$base/good" "$base/bent"
	printf '\x5a' | dd of="$base/bent" bs=1 seek=$at conv=notrunc status=none
	expect "a manifest with byte $at changed" 125 'manifest|sealed tree' -- "$bin/scone" run --tree "$base/tree:$m" --tree-manifest "$base/bent" --tree-signer "$signer" -- true
done

# --- the manifest's tree, not the host's -----------------------------------------------------------------------------------------------------

look='cd "$0" && find . -printf "%P %y %m %s %n %l %T@\n" | sed "s/^\([^ ]* d [0-9]*\) [0-9]*/\1/" | sort'
sh -c "$look" "$base/tree" >"$base/native"
expect "names, types, modes, sizes, links and times are the sealed ones" 0 -- "${tree[@]}" sh -c "$look" "$m"
holds "equal to native" cmp "$base/native" "$out"
(cd "$base/tree" && tar cf - --sort=name .) | sha256sum >"$base/native"
"${tree[@]}" sh -c "cd $m && tar cf - --sort=name ." 2>"$err" | sha256sum >"$out"
holds "tar of all of it, too" cmp "$base/native" "$out"
expect "a script and a program of the tree are executed" 0 'script says so' 'echo works' -- "${tree[@]}" sh -c "$m/run.sh so && $m/echo echo works"
expect "a program of the tree is what is run" 0 '^direct$' -- "$bin/scone" run --tree "$base/tree:$m" --tree-manifest "$base/good" --tree-signer "$signer" -- "$m/echo" direct
expect "a link out of the tree is the host's" 0 "$(cat /etc/hostname)" -- "${tree[@]}" cat "$m/away"
expect "the working directory, .. and forks" 0 "^$m/sub$" '^hello$' -- "${tree[@]}" sh -c "cd $m/sub && pwd && (cat ../a.txt) && test -d empty"
expect "in its own place" 0 '^hello$' -- "$bin/scone" run --tree "$base/tree" --tree-manifest "$base/good" --tree-signer "$signer" -- cat "$base/tree/a.txt"
expect "nothing can be changed" 0 '^0 changes$' -- "${tree[@]}" /usr/bin/python3 -c "
import os, errno
m, n = '$m', 0
calls = [lambda: open(m + '/a.txt', 'r+'), lambda: open(m + '/new', 'w'), lambda: os.unlink(m + '/a.txt'), lambda: os.mkdir(m + '/d'), lambda: os.rmdir(m + '/sub/empty'),
    lambda: os.rename(m + '/a.txt', m + '/b'), lambda: os.link(m + '/a.txt', m + '/b'), lambda: os.symlink('x', m + '/l'), lambda: os.chmod(m + '/a.txt', 0o777),
    lambda: os.chown(m + '/a.txt', 1, 1), lambda: os.utime(m + '/a.txt'), lambda: os.truncate(m + '/a.txt', 0), lambda: os.setxattr(m + '/a.txt', 'user.x', b'y'),
    lambda: os.mkfifo(m + '/f'), lambda: os.open(m, os.O_TMPFILE | os.O_RDWR)]
for i, f in enumerate(calls):
    try: f(); n += 1; print('call', i)
    except OSError as e:
        if e.errno != errno.EROFS: n += 1; print('call', i, e)
assert not os.access(m + '/a.txt', os.W_OK)
print(n, 'changes')"
expect "mappings: private, shared, beyond the end, and written to" 0 '^mapped$' -- "${tree[@]}" /usr/bin/python3 -c "
import mmap, os
f = os.open('$m/sub/big', os.O_RDONLY)
whole = os.pread(f, 1 << 20, 0)
assert len(whole) == 200001
p = mmap.mmap(f, 0, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE)
s = mmap.mmap(f, 0, mmap.MAP_SHARED, mmap.PROT_READ)
assert p[:] == whole and s[:] == whole
p[0:4] = b'mine'
assert s[0:4] == whole[0:4] and os.pread(f, 4, 0) == whole[0:4]
part = mmap.mmap(f, 3393, mmap.MAP_PRIVATE, mmap.PROT_READ, offset=196608)
assert part[:] == whole[196608:]
try: mmap.mmap(f, 0, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE); print('shared and writable')
except (OSError, PermissionError): pass
if os.fork() == 0:
    os._exit(0 if s[:] == whole else 1)
assert os.wait()[1] == 0
print('mapped')"
expect "no name of /proc leads to the memory that verified content is in" 0 '^0 opened' -- "${tree[@]}" /usr/bin/python3 -c "
import os
n, looked = 0, 0
for fd in os.listdir('/proc/self/fd'):
    for name in ('/proc/self/fd/' + fd, '/proc/%d/fd/%s' % (os.getpid(), fd), '/dev/fd/' + fd):
        try: link = os.readlink(name)
        except OSError: continue
        if 'openscone-sealed' not in link and 'openscone-arena' not in link: continue
        for flags in (os.O_RDONLY, os.O_RDWR, os.O_WRONLY | os.O_TRUNC, os.O_WRONLY | os.O_CREAT):
            looked += 1
            try: os.open(name, flags); n += 1
            except OSError: pass
        try: os.truncate(name, 0); n += 1
        except OSError: pass
assert looked
print(n, 'opened')"
expect "a volume beside it" 0 '^hello$' -- "$bin/scone" run --tree "$base/tree:$m" --tree-manifest "$base/good" --tree-signer "$signer" \
	--volume "$base/vol:$base/v" --volume-key-file "$base/key" --size 64M -- sh -c "cp $m/a.txt $base/v/ && sync && cat $base/v/a.txt"

# --- a host that changes things -------------------------------------------------------------------------------------------------------------------

# changed NAME CODE PATTERN… -- CHANGE SCRIPT: with a fresh copy of the tree that CHANGE has been made to (sh, in its directory)
changed() {
	local name=$1 code=$2 patterns=()
	shift 2
	while [[ $1 != -- ]]; do patterns+=("$1"); shift; done
	if ! { rm -rf "$base/other" && cp -a "$base/tree" "$base/other" && (cd "$base/other" && sh -c "$2"); }; then
		not_ok "$name" "the change cannot be made"
		return
	fi
	expect "$name" "$code" "${patterns[@]}" -- "$bin/scone" run --tree "$base/other:$m" --tree-manifest "$base/good" --tree-signer "$signer" -- sh -c "$3"
}
leaf() { { printf '\0'; cat; } | sha256sum | cut -d' ' -f1; }
a=$(leaf <"$base/tree/a.txt") first=$(head -c 65536 "$base/tree/sub/big" | leaf) second=$(tail -c +65537 "$base/tree/sub/big" | head -c 65536 | leaf)
refused='Input/output error'
changed "a changed byte" 1 "$refused" "a\.txt: not what was sealed.*digest $(echo hallo | leaf) seen.*$a wanted" -- 'echo hallo >a.txt' "cat $m/a.txt"
changed "a changed byte further on" 1 "$refused" "sub/big: not what was sealed, at byte 65536.*$second wanted" -- \
	'printf X | dd of=sub/big bs=1 seek=70000 conv=notrunc status=none; printf Y | dd of=sub/big bs=1 seek=70001 conv=notrunc status=none' "cat $m/sub/big >$base/copy"
changed "what is before it is read all the same" 0 -- 'printf XX | dd of=sub/big bs=1 seek=70000 conv=notrunc status=none' \
	"head -c 65536 $m/sub/big | cmp - $base/tree/sub/big -n 65536"
changed "in a mapping, too" 1 "sub/big: not what was sealed, at byte 131072" -- 'printf XX | dd of=sub/big bs=1 seek=140000 conv=notrunc status=none' \
	"/usr/bin/python3 -c \"import mmap, os; mmap.mmap(os.open('$m/sub/big', os.O_RDONLY), 0, prot=mmap.PROT_READ)\""
changed "swapped files" 1 "$refused" "a\.txt: not what was sealed.*$a wanted" -- 'mv a.txt x && mv run.sh a.txt && mv x run.sh' "cat $m/a.txt"
changed "a removed file" 1 "$refused" "a\.txt: the host does not give it: No such file.*$a" -- 'rm a.txt' "test -f $m/a.txt && cat $m/a.txt"
changed "a directory in a file's place" 1 "$refused" 'a\.txt: the host does not give it' -- 'rm a.txt; mkdir a.txt' "cat $m/a.txt"
changed "a pipe in a file's place" 1 "$refused" 'a\.txt: the host does not give it' -- 'rm a.txt; mkfifo a.txt' "cat $m/a.txt"
changed "a link in a file's place" 1 "$refused" 'a\.txt: the host does not give it' -- 'mv a.txt b; ln -s b a.txt' "cat $m/a.txt"
changed "an added file is not there" 0 '^none$' -- 'echo evil >evil.py; mkdir evil; ln -s a.txt evil.link' "cd $m && ls -A >$base/names && cat evil.py || test -e evil || test -e evil.link || echo none"
holds "nor in the list" bash -c "! grep -q evil '$base/names'"
changed "a changed mode counts for nothing" 0 '^640$' -- 'chmod 777 a.txt' "stat -c %a $m/a.txt"
changed "nor do owner and time" 0 "^$(stat -c '%u %Y' "$base/tree/a.txt")\$" -- 'chown 7 a.txt; touch a.txt' "stat -c '%u %Y' $m/a.txt"
changed "nor where a link of the host leads" 0 '^sub/big$' -- 'ln -sf /etc/passwd link' "readlink $m/link && cmp $m/link $base/tree/sub/big"
changed "a truncated file" 1 "$refused" "sub/big: not what was sealed, at byte 0: 1000 bytes.*65536 with $first wanted" -- 'truncate -s 1000 sub/big' "cat $m/sub/big"
changed "truncated behind its first leaf" 1 "sub/big: not what was sealed, at byte 65536: 4464 bytes" -- 'truncate -s 70000 sub/big' "cat $m/sub/big >$base/copy"
changed "what was added to a file is not read" 0 '^hello$' -- 'echo more >>a.txt' "cat $m/a.txt"
changed "a changed program does not run" 126 'echo: not what was sealed' -- 'printf X | dd of=echo bs=1 seek=9000 conv=notrunc status=none' "$m/echo no"
changed "a changed script neither" 126 'run\.sh: not what was sealed' -- 'echo "echo owned" >>run.sh; sed -i s/says/SAYS/ run.sh' "$m/run.sh no"
mkdir "$base/home2"
SCONE_HOME=$base/home2 scone identity --new >/dev/null
SCONE_HOME=$base/home2 scone volume seal "$base/tree" "$base/theirs" >/dev/null
expect "the same tree with another's signature" 125 "SHA-256 of the signer's key is [0-9a-f]{64}, wanted [0-9a-f]{64}" -- \
	"$bin/scone" run --tree "$base/tree:$m" --tree-manifest "$base/theirs" --tree-signer "$signer" -- true
cp -a "$base/tree" "$base/next" && echo newer >"$base/next/a.txt"
scone volume seal "$base/next" "$base/newer" >/dev/null
expect "an older tree of the same signer, where the root is pinned" 125 'root is' -- \
	"$bin/scone" run --tree "$base/tree:$m" --tree-manifest "$base/good" --tree-signer "$signer" --tree-root "$(scone volume seal "$base/next" "$base/newer" | awk '$1 == "root" { print $2 }')" -- true

# While it runs: what was read stays, what was not is refused.
rm -rf "$base/other" && cp -a "$base/tree" "$base/other"
start runs "$bin/scone" run --tree "$base/other:$m" --tree-manifest "$base/good" --tree-signer "$signer" -- bash -c \
	"cat $m/a.txt; head -c 100 $m/sub/big | wc -c; echo up >$base/up; while [ ! -e $base/go ]; do sleep 0.1; done; cat $m/a.txt; cat $m/run.sh || echo gone; tail -c 100 $m/sub/big || echo bad; head -c 65536 $m/sub/big | sha256sum"
wait_for runs test -s "$base/up"
echo owned >"$base/other/a.txt"
rm "$base/other/run.sh"
printf 'owned' | dd of="$base/other/sub/big" bs=1 seek=10 conv=notrunc status=none
printf 'owned' | dd of="$base/other/sub/big" bs=1 seek=200000 conv=notrunc status=none
touch "$base/go"
join runs
holds "what was read before the change stays as it was" test "$(grep -c '^hello$' "$base/runs.log")" = 2
holds "byte for byte" grep -q "$(head -c 65536 "$base/tree/sub/big" | sha256sum)" "$base/runs.log"
holds "what was not read yet is refused" bash -c "grep -q '^gone$' '$base/runs.log' && grep -q '^bad$' '$base/runs.log' && ! grep -q owned '$base/runs.log'"

# --- real programs ---------------------------------------------------------------------------------------------------------------------------------

# Python with its whole library sealed in place: also that code of the tree (extension modules) is mapped and rewritten.
lib=$(/usr/bin/python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')
scone volume seal "$lib" "$base/python.sealed" >/dev/null
cat >"$base/work.py" <<'PY'
import asyncio, ctypes, decimal, email, hashlib, json, multiprocessing, os, sqlite3, ssl, subprocess, sys, threading, unittest, xml.etree.ElementTree as et, zlib
def square(x): return x * x
def main():
    with multiprocessing.Pool(2) as pool:
        print(pool.map(square, range(5)))
    db = sqlite3.connect(':memory:'); print(db.execute('select 6*7').fetchone())
    print(hashlib.sha256(json.dumps(sorted(sys.stdlib_module_names)).encode()).hexdigest(), decimal.Decimal(2).sqrt())
    print(subprocess.run([sys.executable, '-c', 'import this'], capture_output=True, text=True).stdout.splitlines()[0])
    print(json.__file__, len(os.listdir(os.path.dirname(json.__file__) + '/..')) > 100)
if __name__ == '__main__': main()
PY
/usr/bin/python3 -B "$base/work.py" >"$base/native" 2>&1
expect "Python from a sealed library" 0 -- "$bin/scone" run --tree "$lib" --tree-manifest "$base/python.sealed" --tree-signer "$signer" -- /usr/bin/python3 -B "$base/work.py"
holds "prints what it prints natively" cmp "$base/native" "$out"

if command -v javac >/dev/null; then
	jdk=$(readlink -f "$(command -v javac)") && jdk=${jdk%/bin/javac}
	cat >"$base/Main.java" <<'JAVA'
import java.util.*; import java.util.stream.*;
public class Main { public static void main(String[] a) throws Exception {
  System.out.println(IntStream.range(0, 100000).parallel().mapToObj(i -> "k" + i % 97).collect(Collectors.groupingBy(s -> s, TreeMap::new, Collectors.counting())).hashCode());
  System.out.println(java.security.MessageDigest.getInstance("SHA-256").digest("x".getBytes())[0] + " " + javax.crypto.Cipher.getInstance("AES/GCM/NoPadding").getAlgorithm());
  System.out.println(System.getProperty("java.home") + " " + Locale.ROOT + " " + java.time.LocalDate.of(2026, 1, 2).getDayOfWeek());
} }
JAVA
	"$jdk/bin/javac" -d "$base" "$base/Main.java" 2>"$err"
	"$jdk/bin/java" -cp "$base" Main >"$base/native" 2>&1
	scone volume seal "$jdk" "$base/java.sealed" >/dev/null
	expect "Java, the program too, from a sealed installation" 0 -- "$bin/scone" run --tree "$jdk" --tree-manifest "$base/java.sealed" --tree-signer "$signer" -- "$jdk/bin/java" -cp "$base" Main
	holds "prints what it prints natively" cmp "$base/native" "$out"
else
	echo '# no javac: Java left out'
fi

if command -v nginx >/dev/null; then
	mkdir -p "$base/www/img" "$base/nginx"
	for i in {1..30}; do head -c $((i * 9000)) /dev/urandom >"$base/www/img/$i.bin"; done
	echo '<p>sealed</p>' >"$base/www/index.html"
	scone volume seal "$base/www" "$base/www.sealed" >/dev/null
	cat >"$base/nginx/conf" <<CONF
daemon off; master_process off; pid $base/nginx/pid; error_log $base/nginx/error.log;
events {}
http { access_log off; sendfile on; client_body_temp_path $base/nginx/t; proxy_temp_path $base/nginx/t; fastcgi_temp_path $base/nginx/t; uwsgi_temp_path $base/nginx/t; scgi_temp_path $base/nginx/t;
  server { listen unix:$base/nginx/sock; root $base/www; } }
CONF
	start web "$bin/scone" run --tree "$base/www" --tree-manifest "$base/www.sealed" --tree-signer "$signer" -- nginx -p "$base/nginx" -c "$base/nginx/conf"
	wait_for web test -S "$base/nginx/sock"
	get() { curl -s --max-time 20 --unix-socket "$base/nginx/sock" "http://x/$1"; }
	same=0
	for i in {1..30}; do get "img/$i.bin" | cmp -s - "$base/www/img/$i.bin" && same=$((same + 1)); done
	holds "a web server on a sealed root serves it" test "$same $(get '')" = '30 <p>sealed</p>'
	echo '<p>owned</p>' >"$base/www/added.html"
	holds "and nothing that was added" bash -c "curl -s -o /dev/null -w '%{http_code}' --unix-socket '$base/nginx/sock' http://x/added.html | grep -q 404"
	echo '<p>owned</p>' >"$base/www/index.html"
	holds "nor changed after it was read" test "$(get '')" = '<p>sealed</p>'
	end_process web
fi
