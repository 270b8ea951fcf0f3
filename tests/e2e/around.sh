#!/bin/bash
# No way around the shields: tests/programs/around.c as an attested service, a stranger that is sent one of its descriptors, and another user.
set -uo pipefail

# shellcheck source=tests/lib/e2e.sh
. "$(dirname "$0")/../lib/e2e.sh" around
export SCONE_RUNTIME=$runtime SCONE_LAS_ADDR=$base/las.sock

[[ -x $runtime ]] || { not_ok runtime "$runtime is not built"; exit; }
start_las || { not_ok start_las "scone-las does not start"; exit; }
start_cas cas || { not_ok start_cas "scone-cas does not start"; exit; }
cas_key=$(scone cas add main "$address" --trust-first 2>/dev/null | cut -d' ' -f3)

program=$base/around conf=$base/etc/app.conf key=/nonexistent-dir/app.key
cc -O1 -Wall -Wextra -Werror -D_GNU_SOURCE -pthread -fPIE -pie -o "$program" "$here/../programs/around.c" 2>"$base/cc.log" ||
	{ not_ok program "not compiled"; exit; }
mkdir "$base/etc" "$base/scratch"
# shellcheck disable=SC2016 # a template
printf 'user=app\ntoken=$$SCONECAS:token$$\n' >"$conf"
cp -p "$conf" "$base/conf.before"
token=tok-$(openssl rand -hex 20)
measured=$(scone measure "$program") || { not_ok measure "scone measure fails"; exit; }
cat >"$base/session.yml" <<END
name: around-test
version: "0.3"
security: {attestation: {mode: simulation}}
services:
  - {name: around, command: [$program, $conf, $key, $base/scratch, $base/stranger.sock], pwd: /, image_name: app,
     environment: {TOKEN: "\$\$SCONE::token\$\$"}, attestation: [{mrenclave: [$measured]}]}
  - {name: waits, command: [$program, waits], pwd: /, image_name: app,
     environment: {TOKEN: "\$\$SCONE::token\$\$"}, attestation: [{mrenclave: [$measured]}]}
secrets:
  - {name: token, kind: ascii, value: "$token"}
images:
  - {name: app, injection_files: [$conf, {path: $key, content: "key \$\$SCONE::token\$\$\n", permission: 0o600}]}
END
scone session create --no-substitute "$base/session.yml" >"$base/create.log" 2>&1 || { not_ok session "not created"; exit; }

# --- a stranger that is sent a descriptor ---------------------------------------------------------------------------------------------

python3 - "$base/stranger.sock" "$base/stranger.saw" <<'END' &
import array, os, socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
s.bind(sys.argv[1])
s.listen(1)
s.settimeout(60)
c, _ = s.accept()
data, control, _, _ = c.recvmsg(1, socket.CMSG_SPACE(4))
fd = array.array("i", control[0][2])[0]
content = os.pread(fd, 65536, 0)
open(sys.argv[2], "wb").write(content)
c.sendall(b"zeros" if content and not content.strip(b"\0") else b"content: %d" % len(content))
END
pid[stranger]=$!
wait_for stranger test -S "$base/stranger.sock" || { not_ok stranger "does not start"; exit; }

timeout 60 "$bin/scone" run --config-id around-test/around -- "$program" >"$out" 2>"$base/err.log" </dev/null
status=$?
lines "$out"
holds 'to the end' test "$status $(tail -n 1 "$out")" = '0 ok to the end'
holds 'the stranger has no secret' test "$(grep -acF -e "$token" "$base/stranger.saw")" = 0
holds 'the template is as it was' cmp -s "$conf" "$base/conf.before"
found=$(grep -raFl -e "$token" "$base/scratch" "$base/etc" /dev/shm 2>/dev/null)
holds "nothing is on a disk: '$found'" test -z "$found"

# --- another user -----------------------------------------------------------------------------------------------------------------------

# wait_ready NAME: its program is at work
wait_ready() {
	wait_for "$1" grep -qs '^ready' "$base/$1.log" && return 0
	not_ok "$1" "does not start: $(tail -n 1 "$base/$1.log")"
	return 1
}

if ((EUID == 0)); then
	chmod 755 "$base"
	chmod 644 "$conf"
	mkfifo "$base/fifo"
	nobody=(setpriv --reuid=65534 --regid=65534 --clear-groups env SCONE_HOME=/nonexistent)
	"${nobody[@]}" "$program" waits <"$base/fifo" >"$base/plain.log" 2>&1 &
	pid[plain]=$! plain=$!
	"${nobody[@]}" "$bin/scone" run --cas "$address" --cas-key "$cas_key" --config-id around-test/waits -- "$program" \
		<"$base/fifo" >"$base/service.log" 2>&1 &
	pid[service]=$! service=$!
	exec 9>"$base/fifo"
	if wait_ready plain && wait_ready service; then
		"${nobody[@]}" "$program" outside "$service" >"$base/outside" 2>&1
		lines "$base/outside"
		"${nobody[@]}" "$program" outside "$plain" >"$base/outside" 2>&1
		kill -CONT "$plain" # it was stopped to be traced
		holds 'the same user reads what is no service' grep -q '^not ok stranger: /proc/PID/maps' "$base/outside"
	fi
	exec 9>&-
fi
