#!/bin/bash
# Secrets in arguments, environment and files of a service, with a real CAS and LAS: what the service sees, and where nobody else finds it.
set -uo pipefail

# shellcheck source=tests/lib/e2e.sh
. "$(dirname "$0")/../lib/e2e.sh" inject
export SCONE_LAS_ADDR=$base/las.sock

# run SERVICE PROGRAM ARG…: as service of the test's session; SERVICE may be SESSION/SERVICE
run() {
	local id=$1
	shift
	[[ $id == */* ]] || id=$session/$id
	timeout 60 "$bin/scone" run --config-id "$id" -- "$@" >"$out" 2>"$err" </dev/null
}

# sees NAME SERVICE WANTED SCRIPT: bash with SCRIPT prints WANTED on stdout and ends with 0
sees() {
	local status
	run "$2" /bin/bash "$4"
	status=$?
	if ((status != 0)); then
		not_ok "$1" "exit code $status: $(tail -n 2 "$err" | tr '\n' ' ')"
	elif [[ $(cat "$out") != "$3" ]]; then
		not_ok "$1" "printed '$(head -c 300 "$out")', wanted '$3'"
	else
		ok "$1"
	fi
}

# refused NAME SERVICE PATTERN PROGRAM ARG…: does not start, the reason matches, nothing of the program ran
refused() {
	local name=$1 id=$2 pattern=$3 status
	shift 3
	run "$id" "$@"
	status=$?
	if ((status != 125)); then
		not_ok "$name" "exit code $status, wanted 125: $(tail -n 2 "$err" | tr '\n' ' ')"
	elif [[ -s $out ]]; then
		not_ok "$name" "the program ran: $(head -c 200 "$out")"
	elif ! grep -qE -e "$pattern" "$err"; then
		not_ok "$name" "nothing matches $pattern: $(tail -n 3 "$err" | tr '\n' ' ')"
	elif grep -qF -e "$token" "$err"; then
		not_ok "$name" "the message shows a secret"
	else
		ok "$name"
	fi
}

sha() {
	printf '%s' "$1" | sha256sum | cut -d' ' -f1
}

# --- services -----------------------------------------------------------------------------------------------------------------------

start_las || { not_ok start_las "scone-las does not start"; exit; }
start_cas cas || { not_ok start_cas "scone-cas does not start"; exit; }
cas=$address
start_cas other || { not_ok start_other "scone-cas does not start"; exit; }
other=$address
cas_key=$("$bin/scone" cas add main "$cas" --trust-first 2>"$err" | cut -d' ' -f3)
[[ -n $cas_key ]] || { not_ok cas_add "$(cat "$err")"; exit; }

session=inject
token="tok-$(openssl rand -hex 20)" unread="unread-$(openssl rand -hex 20)"
conf=$base/etc/app.conf key=/nonexistent-dir/$session/app.key
mkdir "$base/etc" "$base/scratch"
# shellcheck disable=SC2016 # templates
printf 'user=app\ntoken=$$SCONECAS:token$$\nagain=$$SCONE::token$$ $$ $5\nraw=$$SCONE::raw:base64$$\n' >"$conf"
chmod 640 "$conf"
cp -p "$conf" "$base/conf.before"
# shellcheck disable=SC2016
printf 'line one\n\nx=$$SCONE::missing$$ y=$$SCONE::token$$\n' >"$base/etc/bad.conf"
shell=$("$bin/scone" measure /bin/bash) || { not_ok measure "bash cannot be measured"; exit; }
python=$("$bin/scone" measure /usr/bin/python3)
zero=$(printf '0%.0s' {1..64})

# document MODE SHELL-MEASUREMENT
document() {
	cat <<-END
		version: "0.3"
		security: {attestation: {mode: $1}}
		services:
		  - {name: shell, command: [bash, -c, "@@1", "it's", "\$\$SCONE::token\$\$"], pwd: $base/etc, image_name: app,
		     environment: {PATH: "/usr/bin:/bin", TOKEN: "<\$\$SCONECAS:token\$\$>", "\\\\@\\\\@FROM_HOST": null, "\\\\@\\\\@ABSENT": null},
		     attestation: [{mrenclave: [$2]}], code: {unmeasured: allow}}
		  - {name: python, command: [python3, "@@1", "@@2", "@@3", "@@4"], pwd: /, image_name: app,
		     environment: {PATH: "/usr/bin:/bin", "\\\\@\\\\@WANT_CONF": null, "\\\\@\\\\@WANT_KEY": null},
		     attestation: [{mrenclave: [$python]}], code: {unmeasured: allow}}
		  - {name: bad, command: [bash, -c, "@@1"], pwd: /, image_name: bad, attestation: [{mrenclave: [$2]}]}
		  - {name: gone, command: [bash, -c, "@@1"], pwd: /, image_name: gone, attestation: [{mrenclave: [$2]}]}
		  - {name: limited, command: [bash, -c, "@@1"], pwd: /, image_name: limited, attestation: [{mrenclave: [$2]}]}
		secrets:
		  - {name: token, kind: ascii, value: "$token"}
		  - {name: raw, kind: binary, value: "00ff10"}
		  - {name: unread, kind: ascii, value: "$unread"}
		images:
		  - name: app
		    injection_files:
		      - $conf
		      - {path: $key, content: "key \$\$SCONE::token\$\$ \$\$SCONE::raw:hex\$\$\\n", permission: 0o440}
		      - {path: /nonexistent-dir/unread, content: "\$\$SCONE::unread\$\$"}
		  - {name: bad, injection_files: [$base/etc/bad.conf]}
		  - {name: gone, injection_files: [$base/etc/absent.conf]}
		  - {name: limited, injection_files: [$conf], provide_secrets: [raw]}
	END
}

# create NAME MODE SHELL-MEASUREMENT
create() {
	document "$2" "$3" | "$bin/scone" session create --no-substitute --name "$1" - >"$out" 2>"$err" && return
	not_ok "create session $1" "$(tail -n 4 "$err" | tr '\n' ' ')"
	exit
}
create "$session" simulation "$shell"
create hardware hardware "$shell"
create changed simulation "$zero"

# shellcheck disable=SC2016 # templates
want_conf=$(printf 'user=app\ntoken=%s\nagain=%s $$ $5\nraw=AP8Q\n.' "$token" "$token")
want_conf=${want_conf%.}
want_key="key $token 00ff10"
# shellcheck disable=SC2016
export FROM_HOST='$$SCONE::token$$ from the host'

# --- what the service sees ----------------------------------------------------------------------------------------------------------

# shellcheck disable=SC2016 # scripts of the service
{
	sees 'argument' shell "it's $token" 'echo "$0 $1"'
	sees 'further host arguments are dropped' shell '1' 'echo $#'
	sees 'environment' shell "<$token>" 'echo "$TOKEN"'
	sees 'environment of the host is never scanned' shell "$FROM_HOST()" 'echo "$FROM_HOST($ABSENT)"'
	sees 'environment holds nothing else' shell 'ABSENT FROM_HOST PATH TOKEN' \
		'env -u _ -u PWD -u SHLVL -u OLDPWD cut -d= -f1 <(env) | grep -vxE "_|PWD|SHLVL|OLDPWD" | sort | tr "\n" " " | sed "s/ $//"'
	sees 'working directory' shell "$base/etc" 'pwd'
	sees 'host file with templates' shell "${want_conf%$'\n'}" "cat $conf"
	sees 'host file by a relative name' shell "${want_conf%$'\n'}" 'cat app.conf'
	sees 'file on no disk' shell "$want_key" "cat $key"
	sees 'size' shell "${#want_conf} $((${#want_key} + 1))" "echo \$(stat -c %s $conf $key)"
	sees 'permission' shell '640 440' "echo \$(stat -c %a $conf $key)"
	sees 'redirection' shell "${want_conf%$'\n'}" "cat <$conf"
	sees 'standard input by its name' shell "${want_conf%$'\n'}" "cat /dev/stdin <$conf"
	sees 'child processes' shell "$(sha "$want_conf")" "(cat $conf | (sha256sum | cut -d' ' -f1))"
	sees 'tools agree' shell "$(printf '%s' "$want_conf" | wc -c) $(printf '%s' "$want_conf" | wc -l) $(printf '%s' "$want_conf" | tail -c 5) 2" \
		"echo \$(wc -c <$conf) \$(wc -l <$conf) \$(tail -c 5 $conf) \$(grep -c $token $conf)"
	sees 'dd and head' shell "${want_conf:5:3}${want_conf:0:4}" "dd if=$conf bs=1 skip=5 count=3 status=none; head -c 4 $conf"
	sees 'a shell reads a shared descriptor' shell 'user =app' "exec 3<$conf; read -rn4 a <&3; (read -rn4 b <&3; echo \"\$a \$b\")"
	sees 'written in memory only' shell 'new' "echo new >$conf; cat $conf"
	sees 'and gone at the next start' shell "${want_conf%$'\n'}" "cat $conf"
	sees 'source of a script' shell "$token" "echo 'echo \$1' >$key; . $key \"\$1\""
	sees 'its own program' shell "$(readlink -f /usr/bin/readlink)" 'readlink /proc/self/exe'
	sees 'cannot be removed or replaced' shell "1 1 1 ${want_conf:0:8}" \
		"rm $conf; a=\$?; mv $conf x; b=\$?; cp /etc/hostname x; mv x $conf; echo \$a \$b \$? \$(head -c 8 $conf); rm x"
	sees 'attributes of a file on no disk' shell 'done' "chmod 600 $key && touch $key && chown \$(id -u) $key && ls -l $key 2>&1 >/dev/null && echo done"
	sees 'permission of another user' shell 'denied' \
		"setpriv --reuid=65534 --regid=65534 --clear-groups cat $key 2>/dev/null || echo denied"
}
if ((EUID == 0)); then
	chmod 755 "$base"
	as_nobody=(setpriv --reuid=65534 --regid=65534 --clear-groups env SCONE_HOME=/nonexistent)
	"${as_nobody[@]}" timeout 60 "$bin/scone" run --cas "$cas" --cas-key "$cas_key" --config-id "$session/shell" -- /bin/bash 'echo ran' >"$out" 2>"$err"
	holds 'as another user: a file that it may not read is refused' test "$? $(grep -c "$conf.*Permission denied" "$err") $(cat "$out")" = '125 1 '
	chmod 644 "$conf"
	"${as_nobody[@]}" timeout 60 "$bin/scone" run --cas "$cas" --cas-key "$cas_key" --config-id "$session/shell" -- /bin/bash \
		"id -u; cat $key; cat /dev/fd/3 3<$key; stat -c %u /proc/self; head -c 8 $conf; chmod 777 $conf || echo denied" >"$out" 2>"$err"
	holds 'as another user: readable ones, undumpable after exec, the host refuses its own' test "$(tr '\n' ' ' <"$out")" = "65534 $want_key $want_key 0 ${want_conf:0:8}denied "
	# Without a byte of locked memory, secrets are in ordinary memory and all else is the same.
	"${as_nobody[@]}" timeout 60 bash -c 'ulimit -l 0; exec "$@"' - "$bin/scone" run --cas "$cas" --cas-key "$cas_key" --config-id "$session/shell" -- \
		/bin/bash "cat $key; (cat $key); head -c 8 $conf; grep -c secretmem /proc/self/maps" >"$out" 2>"$err"
	holds 'without locked memory' test "$(tr '\n' ' ' <"$out")" = "$want_key $want_key ${want_conf:0:8}0 "
	chmod 640 "$conf"
fi
holds 'the disk is unchanged' cmp -s "$conf" "$base/conf.before"
holds 'its times are too' test "$(stat -c %Y "$conf")" = "$(stat -c %Y "$base/conf.before")"

WANT_CONF=$(sha "$want_conf") WANT_KEY=$(sha "$want_key"$'\n') run python /usr/bin/python3 "$here/inject_service.py" "$conf" "$key" "$base/scratch"
status=$?
lines "$out"
holds "python: to the end" test "$status $(tail -n 1 "$out")" = '0 ok python: other files'
((status == 0)) || cat "$err"
holds 'the disk is still unchanged' cmp -s "$conf" "$base/conf.before"
rm -f "$base"/scratch/*

# --- where nobody else finds it -----------------------------------------------------------------------------------------------------

# A service with two open files and a child that was executed and has them too.
# shellcheck disable=SC2016 # a script of the service
script='exec 3<"$CONF" 4<"$KEY"; cat <&3 >/dev/null; cp "$CONF" /dev/null
bash -c '"'"'cat "$KEY" >/dev/null; echo $$ >scratch/child; read -r x <scratch/fifo2'"'"' child "$1" &
echo >scratch/ready; read -r x <scratch/fifo; wait; exit 3'
mkfifo "$base/scratch/fifo" "$base/scratch/fifo2"
"$bin/scone" run --config-id "$session/shell" -- /bin/bash "export CONF=$conf KEY=$key; cd ..; $script" >"$out" 2>"$err" &
pid[service]=$! service_pid=$!
wait_for service test -s "$base/scratch/child" || { not_ok 'running service' "$(tail -n 2 "$err")"; exit; }
wait_for service test -e "$base/scratch/ready"
child_pid=$(cat "$base/scratch/child")
ok 'a service is running'

# leaking PID: how many of the descriptors of a process hold a secret
leaking() {
	local fd target n=0
	for fd in "/proc/$1/fd"/*; do
		target=$(readlink "$fd")
		case $target in */fifo* | pipe:* | socket:*) continue ;; esac
		timeout 5 grep -aqF -e "$token" -e "$unread" "$fd" 2>/dev/null && n=$((n + 1))
	done
	echo $n
}

# The program has the secret; its host side must not. Read as root would.
for p in "$service_pid" "$child_pid"; do
	who='the service'
	((p == child_pid)) && who='its child'
	holds "$who: not in its environment" test "$(grep -acF "$token" "/proc/$p/environ")" = 0
	holds "$who: not in its command line" test "$(grep -acF "$token" "/proc/$p/cmdline")" = 0
	holds "$who: no core dumps" grep -qE '^Max core file size +0 +0' "/proc/$p/limits"
	holds "$who: its descriptors of injected files are placeholders" test "$(readlink "/proc/$p/fd"/* | grep -c openscone-injected)" = 2
	holds "$who: and hold nothing" test "$(leaking "$p")" = 0
	if ((EUID == 0)) && grep -q secretmem "/proc/$p/maps"; then
		holds "$who: a file that was not read is not in readable memory" test "$(python3 "$here/scan_memory.py" "$p" "$unread")" = 0
	fi
done
holds 'the search of memory finds what the program has read' test "$(python3 "$here/scan_memory.py" "$service_pid" "$token")" -gt 0
found=$(grep -raFl -e "$token" -e "$unread" "$base" /dev/shm /run /var/tmp 2>/dev/null | grep -vFx -e "$out")
holds "in no file: '$found'" test -z "$found"
echo go >"$base/scratch/fifo2"
echo go >"$base/scratch/fifo"
join service
holds 'it ends as the program did' test $? = 3

# --- refused ------------------------------------------------------------------------------------------------------------------------

refused 'unknown secret, with file, line and name' bad "$base/etc/bad\\.conf:3: unknown secret missing" /bin/bash 'echo ran'
refused 'secret that the image does not provide' limited "$conf:2: unknown secret token" /bin/bash 'echo ran'
refused 'file that is not there' gone "$base/etc/absent\\.conf" /bin/bash 'echo ran'
refused 'argument of the host missing' shell '@@1 needs 1 argument' /bin/bash
refused 'session that wants hardware' hardware/shell 'hardware' /bin/bash 'echo ran'
refused 'another measurement' changed/shell "$shell" /bin/bash 'echo ran'
refused 'another program' shell "$shell" /usr/bin/env 'echo ran'
refused 'unknown service' nobody 'nobody' /bin/bash 'echo ran'
refused 'unknown session' nowhere/shell 'nowhere' /bin/bash 'echo ran'
"$bin/scone" cas add false "$other" --key "$cas_key" >/dev/null
SCONE_CAS_ADDR=false refused 'CAS with another key' shell "$cas_key" /bin/bash 'echo ran'
SCONE_LAS_ADDR=$base/no.sock refused 'no LAS' shell 'no\.sock' /bin/bash 'echo ran'
cp "$bin/scone-runtime" "$base/scone-runtime"
printf 'x' >>"$base/scone-runtime"
SCONE_RUNTIME=$base/scone-runtime refused 'a runtime that LAS does not know' shell 'LAS' /bin/bash 'echo ran'
"$bin/scone" run -- /bin/bash -c "cat $conf" >"$out" 2>"$err"
holds 'unattested, the file is the template' cmp -s "$out" "$base/conf.before"
