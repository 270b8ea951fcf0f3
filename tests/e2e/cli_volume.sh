#!/bin/bash
# scone volume: what goes into a volume comes out again, what is changed is refused, what is stopped goes on.
# LONG=1000000 tests/e2e/cli_volume.sh: with a tree of so many small files, too.
# shellcheck disable=SC2016 # expressions for other shells
set -uo pipefail

# shellcheck source=tests/lib/e2e.sh
. "$(dirname "$0")/../lib/e2e.sh" volume
cd "$base" || exit 2
volume=("$bin/scone" volume)
key=(--volume-key-file key)

for verb in create info ls get put verify resize encrypt decrypt rekey backup seal check; do
	expect "help: $verb" 0 "^usage: scone volume $verb" -- "${volume[@]}" "$verb" --help
	expect "unknown option: $verb" 2 "scone volume $verb --help" -- "${volume[@]}" "$verb" --frobnicate
done

# --- keys ---------------------------------------------------------------------------------------------------------------------------

expect no_key_file 4 'volume-key-file' -- "${volume[@]}" create v
expect create 0 '^size +64.0 MiB' 'key is new' -- "${volume[@]}" create v "${key[@]}" --size 64M --label secret-label
holds "the key file is its owner's alone" test "$(stat -c %a key) $(stat -c %s key)" = '600 65'
holds "so is the volume" test "$(stat -c %a v) $(stat -c %a v/volume.scone)" = '700 600'
expect create_again 6 'exists already' -- "${volume[@]}" create v "${key[@]}"
chmod 644 key
expect key_open_to_others 7 'mode 0644' -- "${volume[@]}" info v "${key[@]}"
chmod 600 key
expect key_missing 5 'no-such' -- "${volume[@]}" info v --volume-key-file no-such
printf 'abc' >short
chmod 600 short
expect key_malformed 4 '3 bytes are no key' -- "${volume[@]}" info v --volume-key-file short
(umask 077 && head -c 32 /dev/urandom >raw)
expect wrong_key 9 'wrong key, or changed' -- "${volume[@]}" info v --volume-key-file raw
expect key_from_a_pipe 0 secret-label -- bash -c 'umask 077; mkfifo pipe; cat key >pipe & "$0" volume info v --volume-key-file pipe' "$bin/scone"
expect create_with_raw_key 0 '' -- "${volume[@]}" create w --volume-key-file raw --size 16M
expect no_volume 5 'no-volume' -- "${volume[@]}" info no-volume "${key[@]}"
mkdir empty
expect no_volume_in_directory 5 volume.scone -- "${volume[@]}" info empty "${key[@]}"
: >nothing
expect empty_file 5 'it is empty' -- "${volume[@]}" info nothing "${key[@]}"
expect size_malformed 4 'number of bytes' -- "${volume[@]}" create x "${key[@]}" --size 12Q
expect size_small 4 'too few' -- "${volume[@]}" create x "${key[@]}" --size 4096

# --- files --------------------------------------------------------------------------------------------------------------------------

head -c 3000000 /dev/urandom >data
expect put 0 '' -- "${volume[@]}" put v data /confidential-name "${key[@]}"
expect put_again 6 'exists already' -- "${volume[@]}" put v data /confidential-name "${key[@]}"
expect put_force 0 '' -- "${volume[@]}" put v - /confidential-name "${key[@]}" --force
expect put_back 0 '' -- "${volume[@]}" put v data confidential-name "${key[@]}" --force
expect put_no_directory 5 'no/such' -- "${volume[@]}" put v data /no/such/x "${key[@]}"
expect put_missing 5 no-data -- "${volume[@]}" put v no-data /x "${key[@]}"
expect get 0 '' -- "${volume[@]}" get v /confidential-name back "${key[@]}"
holds "what comes out is what went in" cmp data back
"${volume[@]}" get v /confidential-name "${key[@]}" >back2
holds "to standard output too" cmp data back2
expect get_missing 5 '/none' -- "${volume[@]}" get v /none "${key[@]}"
expect get_directory 4 'is a directory' -- "${volume[@]}" get v / "${key[@]}"
expect get_to_full_disk 1 'No space left' -- bash -c '"$0" volume get v /confidential-name --volume-key-file key >/dev/full' "$bin/scone"
expect ls 0 '^confidential-name$' -- "${volume[@]}" ls v "${key[@]}"
expect ls_long 0 '^-rw-r--r-- .* 3000000 .* confidential-name$' -- "${volume[@]}" ls -l v / "${key[@]}"
expect ls_missing 5 none -- "${volume[@]}" ls v /none "${key[@]}"
"${volume[@]}" ls v "${key[@]}" --json >list.json
holds "ls --json" test "$(jq -r '.entries[0] | .name + " " + .type + " " + (.size | tostring)' list.json)" = 'confidential-name file 3000000'
holds "no name, label or content is in the host's file" bash -c '! grep -qaE "confidential-name|secret-label" v/volume.scone && ! grep -qaF "$(head -c 16 data | tr -d "\0\n")" v/volume.scone'
expect verify 0 '^verified' -- "${volume[@]}" verify v "${key[@]}"
expect too_large 1 'full' -- bash -c 'head -c 80000000 /dev/zero | tr "\0" x | "$0" volume put v - /big --volume-key-file key' "$bin/scone"
expect still_good 0 '^verified' -- "${volume[@]}" verify v "${key[@]}"
expect resize 0 'size +256.0 MiB' -- "${volume[@]}" resize v "${key[@]}" --size 256M
expect fits_now 0 '' -- bash -c 'head -c 80000000 /dev/zero | tr "\0" x | "$0" volume put v - /big --volume-key-file key' "$bin/scone"
expect resize_too_small 6 'more in use' -- "${volume[@]}" resize v "${key[@]}" --size 8M

# --- two at a time, and older ones --------------------------------------------------------------------------------------------------

mkfifo hold
start writer "${volume[@]}" put v hold /held "${key[@]}"
exec 7>hold
expect second_writer 6 'another process has this volume open' -- "${volume[@]}" put v data /x "${key[@]}"
expect reader_beside_writer 6 'another process' -- "${volume[@]}" info v "${key[@]}"
echo content >&7
exec 7>&-
join writer
holds "the first writer was not disturbed" test "$("${volume[@]}" get v /held "${key[@]}")" = content
before=$("${volume[@]}" info v "${key[@]}" --json | jq -r .version)
cp -r v older
expect backup 0 "$before" -- "${volume[@]}" backup v copy "${key[@]}"
holds "the copy is a volume with the same content" test "$("${volume[@]}" get copy /held "${key[@]}")" = content
expect backup_onto_something 6 'exists already' -- "${volume[@]}" backup v copy "${key[@]}"
expect change 0 '' -- "${volume[@]}" put v data /newer "${key[@]}"
after=$("${volume[@]}" info v "${key[@]}" --json | jq -r .version)
expect fresh 0 '^verified' -- "${volume[@]}" verify v "${key[@]}" --at-least "$after"
expect rolled_back 9 'generation|old copy' -- "${volume[@]}" info older "${key[@]}" --at-least "$after"
expect rolled_back_unasked 0 '' -- "${volume[@]}" info older "${key[@]}"
expect at_least_malformed 4 'GENERATION:TAG' -- "${volume[@]}" info v "${key[@]}" --at-least 12
python3 - v/volume.scone <<'END'
import os, sys
with open(sys.argv[1], "r+b") as f:  # one bit, in the middle of the largest file
    at = os.fstat(f.fileno()).st_size // 2 // 4096 * 4096 + 100
    f.seek(at)
    b = f.read(1)
    f.seek(at)
    f.write(bytes([b[0] ^ 1]))
END
expect damaged 9 'damaged: ' -- "${volume[@]}" verify v "${key[@]}"
"${volume[@]}" verify v "${key[@]}" --json >faults.json 2>/dev/null
holds "verify --json names what is damaged" jq -e '.verified == false and .fault_count == 1 and .faults[0].structure == "content block" and .faults[0].inode > 1' faults.json

# --- trees --------------------------------------------------------------------------------------------------------------------------

tree=$base/tree
python3 - "$tree" <<'END'
import os, sys
t = sys.argv[1]
os.makedirs(t + "/deep/er/est")
os.chdir(t)
for i in range(300):
    with open(f"deep/er/file {i}", "wb") as f:
        f.write(os.urandom(i * 37))
open("empty", "w").close()
with open("sparse", "wb") as f:
    f.seek(50_000_000)
    f.write(b"end")
os.symlink("../nowhere", "dangling")
os.symlink("deep/er", "link")
open("one", "w").write("linked")
os.link("one", "deep/two")
os.link("one", "three")
os.mkfifo("fifo")
open("odd \xff\n name", "w").write("odd")
os.chmod("one", 0o4751)
os.chmod("deep/er/est", 0o555)
for n in ("one", "deep"):
    try:
        os.setxattr(n, "user.openscone-test", b"value \0 of " + n.encode())
    except OSError:
        pass
if os.geteuid() == 0:
    os.chown("three", 12345, 23456)
    os.chown("dangling", 1, 2, follow_symlinks=False)
    os.mknod("null", 0o600 | 0o020000, os.makedev(1, 3))
for n, when in (("one", 10**18 + 123456789), ("dangling", 5 * 10**17), ("deep/er", 3 * 10**17 + 1)):
    os.utime(n, ns=(when, when), follow_symlinks=False)
END
cat >describe.py <<'END'
import hashlib, os, stat, sys
root, numbers = sys.argv[1], {}
def line(path):
    s = os.lstat(path)
    name = os.path.relpath(path, root).encode(errors="surrogateescape")
    first = numbers.setdefault((s.st_dev, s.st_ino), name)
    body = b""
    if stat.S_ISREG(s.st_mode):
        with open(path, "rb") as f:
            body = hashlib.sha256(f.read()).hexdigest().encode()
    elif stat.S_ISLNK(s.st_mode):
        body = os.readlink(os.fsencode(path))
    try:
        x = sorted((n, os.getxattr(path, n, follow_symlinks=False)) for n in os.listxattr(path, follow_symlinks=False))
    except OSError:
        x = []
    nlink = 0 if stat.S_ISDIR(s.st_mode) else s.st_nlink
    size = 0 if stat.S_ISDIR(s.st_mode) else s.st_size
    return repr((name, oct(s.st_mode), s.st_uid, s.st_gid, nlink, first, size, s.st_mtime_ns, s.st_rdev, body, x))
lines = [line(root)]
for d, dirs, files in os.walk(root):
    dirs.sort()
    lines += [line(os.path.join(d, n)) for n in sorted(dirs + files)]
print("\n".join(sorted(lines)))
END
# same NAME A B: two trees are the same in everything
same() {
	python3 describe.py "$2" >a.txt
	python3 describe.py "$3" >b.txt
	if cmp -s a.txt b.txt; then ok "$1"; else not_ok "$1" "$(diff a.txt b.txt | head -n 6 | cut -c1-300)"; fi
}

expect encrypt 0 'entries' -- "${volume[@]}" encrypt tree ev "${key[@]}"
expect encrypt_verifies 0 '^verified' -- "${volume[@]}" verify ev "${key[@]}"
expect encrypt_onto_content 6 'has content' -- "${volume[@]}" encrypt tree ev "${key[@]}"
expect encrypt_into_itself 4 'lies in the directory' -- "${volume[@]}" encrypt tree tree/inside "${key[@]}"
expect encrypt_missing 5 no-tree -- "${volume[@]}" encrypt no-tree ev2 "${key[@]}"
expect decrypt 0 'entries' -- "${volume[@]}" decrypt ev tree-out "${key[@]}"
same "decrypt gives everything back: modes, owners, times, attributes, links" tree tree-out
holds "and holes" test "$(stat -c %b tree-out/sparse)" -lt 1000
expect decrypt_onto_content 6 'not empty' -- "${volume[@]}" decrypt ev tree "${key[@]}"
holds "no name and no content in the host's file" bash -c '! grep -qaE "nowhere|file 1|linked|dangling" ev/volume.scone'
for real in /usr/share/doc /etc; do
	n=${real##*/}
	expect "encrypt $real" 0 'entries' -- "${volume[@]}" encrypt "$real" "$n-volume" "${key[@]}"
	expect "decrypt $real" 0 'entries' -- "${volume[@]}" decrypt "$n-volume" "$n-out" "${key[@]}"
	same "$real comes back as it was" "$real" "$n-out"
	rm -rf "$n-volume" "$n-out"
done

if [[ -n ${LONG:-} ]]; then
	limit=7200
	python3 - "$LONG" <<'END'
import os, sys
for i in range(int(sys.argv[1])):
    if i % 1000 == 0:
        os.makedirs(f"many/{i // 1000}")
    with open(f"many/{i // 1000}/file-{i}", "w") as f:
        f.write(f"{i}\n" * (i % 50))
END
	expect "encrypt $LONG files" 0 'entries' -- "${volume[@]}" encrypt many many-volume "${key[@]}"
	expect "verify $LONG files" 0 '^verified' -- "${volume[@]}" verify many-volume "${key[@]}"
	expect "decrypt $LONG files" 0 'entries' -- "${volume[@]}" decrypt many-volume many-out "${key[@]}"
	same "$LONG files come back as they were" many many-out
	rm -rf many many-out many-volume
	limit=60
fi

# --- stopped, and killed ------------------------------------------------------------------------------------------------------------

mkdir large
for i in 1 2 3 4; do head -c 60000000 /dev/urandom >"large/$i"; done
cp -r tree/deep large/
# interrupted NAME SIGNAL COMMAND…: stopped somewhere in the middle, then again to the end
interrupted() {
	local name=$1 signal=$2 status rounds=0
	shift 2
	for delay in 0.05 0.15 0.3; do
		# What runs in the background has SIGINT ignored, unless it is told otherwise.
		env --default-signal=INT "$@" >"$out" 2>"$err" &
		local p=$!
		sleep "$delay"
		kill "-$signal" $p 2>/dev/null
		wait $p 2>/dev/null
		status=$?
		((status == 0)) && break
		rounds=$((rounds + 1))
		case $status in
		130 | 143 | 137) ;;
		*)
			not_ok "$name" "ended with $status after SIG$signal: $(tail -c 300 "$err")"
			return
			;;
		esac
	done
	# The last stop may have come when the copy was whole and its mark gone; what follows compares it.
	((status == 0)) || "$@" >"$out" 2>"$err" || grep -q 'content that no interrupted copy left' "$err" ||
		{ not_ok "$name" "after $rounds stops: $(tail -c 300 "$err")"; return; }
	((rounds > 0)) || { not_ok "$name" "it was never stopped"; return; }
	ok "$name (stopped $rounds times)"
}
interrupted "encrypt goes on after SIGINT" INT "${volume[@]}" encrypt large lv "${key[@]}"
expect encrypted_after_stops 0 '^verified' -- "${volume[@]}" verify lv "${key[@]}"
interrupted "decrypt goes on after SIGTERM" TERM "${volume[@]}" decrypt lv large-out "${key[@]}"
same "the tree is whole after all these stops" large large-out
rm -rf large-out
interrupted "rekey goes on after SIGTERM" TERM "${volume[@]}" rekey lv "${key[@]}" --new-key-file key2
expect old_key_refused 9 'wrong key' -- "${volume[@]}" info lv "${key[@]}"
expect new_key_verifies 0 '^verified' -- "${volume[@]}" verify lv --volume-key-file key2
holds "nothing of the rekeying is left" test "$(ls lv)" = volume.scone
interrupted "decrypt goes on after SIGKILL" KILL "${volume[@]}" decrypt lv large-out --volume-key-file key2
same "the tree is whole with the new key" large large-out
rm -rf lv large-out
interrupted "encrypt goes on after SIGKILL" KILL "${volume[@]}" encrypt large lv "${key[@]}"
"${volume[@]}" decrypt lv large-out "${key[@]}" >/dev/null
same "the tree is whole after kills" large large-out
rm -rf lv large-out
"${volume[@]}" create half "${key[@]}" --size 64M >/dev/null
expect encrypt_too_large 1 'full' -- "${volume[@]}" encrypt large half "${key[@]}"
expect half_is_no_source 6 'incomplete' -- "${volume[@]}" decrypt half half-out "${key[@]}"
expect make_room 0 '' -- "${volume[@]}" resize half "${key[@]}" --size 1G
expect encrypt_goes_on_with_room 0 'were there already' -- "${volume[@]}" encrypt large half "${key[@]}"

# --- sealed trees -------------------------------------------------------------------------------------------------------------------

rm -f tree/fifo tree/null
me=$(scone identity)
expect seal 0 '^root +[0-9a-f]{64}$' "$me" -- "${volume[@]}" seal tree
root=$(awk '/^root/ { print $2 }' "$out")
cat >independent.py <<'END'
# The root digest by another hand: from the text of sealed_tree.h alone.
import hashlib, os, stat, struct, sys
def sha(*p): return hashlib.sha256(b"".join(p)).digest()
def merkle(h):
    if not h: return sha(b"")
    if len(h) == 1: return h[0]
    k = 1
    while k * 2 < len(h): k *= 2
    return sha(b"\1", merkle(h[:k]), merkle(h[k:]))
def digest(path):
    s = os.lstat(path)
    t = 1 if stat.S_ISDIR(s.st_mode) else 2 if stat.S_ISREG(s.st_mode) else 3
    head = struct.pack(">BIIIq", t, s.st_mode & 0o7777, s.st_uid, s.st_gid, s.st_mtime_ns)
    if t == 1:
        names = sorted(os.listdir(path))
        return sha(head, struct.pack(">I", len(names)), *(struct.pack(">H", len(n)) + n + digest(path + b"/" + n) for n in names))
    if t == 3:
        to = os.readlink(path)
        return sha(head, struct.pack(">H", len(to)), to)
    with open(path, "rb") as f:
        leaves = [sha(b"\0", b) for b in iter(lambda: f.read(65536), b"")]
    return sha(head, struct.pack(">Q", s.st_size), merkle(leaves))
print(digest(os.fsencode(sys.argv[1])).hex())
END
holds "the root digest by another hand" test "$(python3 independent.py tree)" = "$root"
expect check 0 '^verified' -- "${volume[@]}" check tree tree.sealed --signer "$me"
expect check_by_root 0 '^verified' -- "${volume[@]}" check tree tree.sealed --root "$root"
expect check_nobody_trusted 4 'whom or what to trust' -- "${volume[@]}" check tree tree.sealed
expect check_other_signer 7 'wanted' -- "${volume[@]}" check tree tree.sealed --signer "$(SCONE_HOME=$base/other scone identity)"
expect check_other_root 7 'wanted' -- "${volume[@]}" check tree tree.sealed --root "${root//[0-7]/8}"
openssl genpkey -algorithm ed25519 -out sign.pem 2>/dev/null
expect seal_with_a_key 0 "^root +$root" -- "${volume[@]}" seal tree other.sealed --sign-key sign.pem
expect check_file 0 '^verified' -- "${volume[@]}" check tree tree.sealed sparse --signer "$me"
expect check_range 0 '^verified 131072 bytes' -- "${volume[@]}" check tree tree.sealed sparse 100000 40000 --signer "$me"
printf 'X' | dd of=tree/sparse bs=1 seek=30000000 conv=notrunc status=none
expect changed_byte 9 'sparse: its content differs in the bytes from 29949952 on' -- "${volume[@]}" check tree tree.sealed --signer "$me"
expect changed_elsewhere 0 '^verified' -- "${volume[@]}" check tree tree.sealed sparse 0 65536 --signer "$me"
expect changed_here 9 'differs' -- "${volume[@]}" check tree tree.sealed sparse 30000000 1 --signer "$me"
printf '\0' | dd of=tree/sparse bs=1 seek=30000000 conv=notrunc status=none
ln -sfn elsewhere tree/dangling
expect changed_link 9 "leads to 'elsewhere'" -- "${volume[@]}" check tree tree.sealed --signer "$me"
ln -sfn ../nowhere tree/dangling
touch tree/deep/extra
expect added 9 "'extra' is in it" -- "${volume[@]}" check tree tree.sealed --signer "$me"
rm tree/deep/extra tree/empty
expect removed 9 'empty' -- "${volume[@]}" check tree tree.sealed --signer "$me"
: >tree/empty
expect restored 0 '^verified' -- "${volume[@]}" check tree tree.sealed --signer "$me"
expect not_in_tree 5 'not in the sealed tree' -- "${volume[@]}" check tree tree.sealed no-such --signer "$me"
mkfifo tree/pipe
expect seal_a_fifo 4 'cannot be sealed' -- "${volume[@]}" seal tree
rm tree/pipe

# --- stopped where there is nothing to go on with: nothing half is left -------------------------------------------------------------

cat large/[1-4] large/[1-4] >huge
"${volume[@]}" create sv "${key[@]}" --size 2G >/dev/null
expect "a large file to stop at" 0 '' -- "${volume[@]}" put sv huge /huge "${key[@]}"
# stopped NAME LEFT COMMAND…: SIGTERM ends the command with 143 and a word, and the path LEFT is not there then
stopped() {
	local name=$1 left=$2 status i
	shift 2
	for i in {1..30}; do
		"$@" >"$out" 2>"$err" &
		local p=$!
		sleep "0.0$((i % 9 + 1))"
		kill -TERM $p 2>/dev/null
		wait $p
		status=$?
		((status != 0)) && ((i > 2)) && grep -q 'stopped by signal 15' "$err" && break
		[[ $left == - ]] || rm -rf "$left"
	done
	if ((status != 143)) || ! grep -q 'stopped by signal 15' "$err"; then
		not_ok "$name" "status $status: $(tail -c 200 "$err")"
	elif [[ $left != - && -e $left ]]; then
		not_ok "$name" "$left is there: $(ls -la "$left")"
	else
		ok "$name"
	fi
}
stopped "verify is stopped" - "${volume[@]}" verify sv "${key[@]}"
stopped "backup is stopped, and leaves no copy" bv/volume.scone "${volume[@]}" backup sv bv "${key[@]}"
holds "nor a part of one" test -z "$(ls -A bv 2>/dev/null)"
stopped "seal is stopped, and leaves no manifest" large.sealed "${volume[@]}" seal large
"${volume[@]}" seal large >/dev/null
stopped "check is stopped" - "${volume[@]}" check large large.sealed --signer "$me"
stopped "get is stopped" - bash -c 'exec "$0" volume get sv /huge --volume-key-file key >/dev/null' "$bin/scone"
stopped "put is stopped" - "${volume[@]}" put sv huge /new "${key[@]}" --force
holds "and has put nothing" test "$("${volume[@]}" ls sv "${key[@]}" | grep -v -x new)" = huge
expect "the volume is good after all these stops" 0 '^verified' -- "${volume[@]}" verify sv "${key[@]}"

# A copy that was killed does not stand under its name, and does not keep the next from it.
for delay in 0.02 0.06 0.1; do
	"${volume[@]}" backup sv kv "${key[@]}" >"$out" 2>"$err" &
	p=$!
	sleep "$delay"
	kill -KILL $p 2>/dev/null
	wait $p 2>/dev/null
	[[ -s kv/volume.scone ]] && ! "${volume[@]}" verify kv "${key[@]}" >/dev/null 2>&1 && not_ok "a killed backup" "half a copy stands under its name"
	[[ -s kv/volume.scone ]] && rm -rf kv
done
expect "backup after kills" 0 '^version' -- "${volume[@]}" backup sv kv "${key[@]}"
holds "it is the same volume" cmp sv/volume.scone kv/volume.scone
holds "and nothing beside it" test "$(ls -A kv)" = volume.scone

# On a terminal long work shows how far it is.
holds "a bar on a terminal" python3 - "$bin/scone" <<'END'
import os, pty, sys
pid, fd = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], ["scone", "volume", "verify", "sv", "--volume-key-file", "key"])
seen = b""
while True:
    try:
        b = os.read(fd, 65536)
    except OSError:
        break
    if not b:
        break
    seen += b
status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
sys.exit(not (status == 0 and b"verified" in seen and (b"verify [" in seen and b" of " in seen or len(seen) < 200)))
END
