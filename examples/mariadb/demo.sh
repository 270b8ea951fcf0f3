#!/bin/bash
# MariaDB gets its key only after it has proved what it is: the demonstration behind `make demo`; see README.md.
#
# usage: demo.sh [--keep]     SCONE_BIN: directory of the programs (default build/bin of this tree). TEE=tpm: on machines with a TPM
set -uo pipefail

here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=examples/common.sh
. "$here/../common.sh"
names=(server control sleeper argument las cas)
base=$(mktemp -d "${TMPDIR:-/tmp}/scone-demo.XXXXXX") || exit 1
secrets=$base.secrets  # no such directory: its files exist in the memory of one attested program only
trap finish EXIT
trap 'exit 130' INT TERM

# --- 1. services --------------------------------------------------------------------------------------------------------------------

server_program=$(command -v mariadbd || echo /usr/sbin/mariadbd)
start_services "$server_program" mariadb mariadb-admin mariadb-install-db

# --- 2. session ---------------------------------------------------------------------------------------------------------------------

step "Measurements and session"
dir=$base/mariadb
mkdir -p "$dir/tmp" "$dir/plugins" "$base/native/tmp" "$base/copies" || die "no directories in $base"
copy=$base/copies/mariadbd
cp "$server_program" "$copy" || die "no copy of $server_program"
# The server loads its key plugin with dlopen, so no list of libraries names it: it is named here. Of the others one is measured, too, to be
# changed later, and one is not. They are copies, so that one can be changed.
plugin_dir=$("$server_program" --no-defaults --help --verbose 2>/dev/null | awk '$1 == "plugin-dir" { print $2 }')
for plugin in file_key_management locales metadata_lock_info; do
	cp "${plugin_dir%/}/$plugin.so" "$dir/plugins" || die "no plugin $plugin in $plugin_dir"
done
server_code=(--code "$dir/plugins/file_key_management.so" --code "$dir/plugins/locales.so")
measurement=$(scone measure "$server_program" "${server_code[@]}") || die "$server_program cannot be measured"
copy_measurement=$(scone measure "$copy") || die "$copy cannot be measured"
leakcheck_measurement=$(scone measure "$leakcheck") || die "$leakcheck cannot be measured"
say "$server_program: $measurement"

marker=SCONE-DEMO-$(od -An -v -tx1 -N12 /dev/urandom | tr -d ' \n')
create() { # create NAME FILE: the session under this name
	scone session create --name "$1" --set "DIR=$dir" --set "BASE=$base" --set "SECRETS=$secrets" \
		--set "SERVER_MEASUREMENT=$measurement" --set "COPY_MEASUREMENT=$copy_measurement" \
		--set "LEAKCHECK_MEASUREMENT=$leakcheck_measurement" --set "CONTROL=$control" "$2"
}
session=$here/session.yml
if [[ $tee != sim ]]; then
	session=$base/session.yml
	hardware_session "$here/session.yml" >"$session"
fi
create mariadb-demo "$session" >"$base/create.out" 2>&1 || { indent "$base/create.out"; die "the session is refused"; }
indent "$base/create.out"

user=$(id -un)
sed -e "s#@DIR@#$dir#g" -e "s#@USER@#$user#g" "$here/my.cnf.in" >"$dir/my.cnf"
# shellcheck disable=SC2016 # this is the template, not a variable
printf '1;$$SCONECAS:MARIADBKEY$$\n' >"$dir/keyfile"
indent "$dir/keyfile"

# --- 3. MariaDB under the runtime ---------------------------------------------------------------------------------------------------

sql() { mariadb --no-defaults --batch --skip-column-names -u root -S "$1" -e "$2"; }
ping() { mariadb-admin --no-defaults -u root -S "$1" ping; }

# install COMMAND-PREFIX… DATADIR: the system tables
install_tables() {
	local data=${!#}
	"${@:1:$#-1}" mariadb-install-db --no-defaults --datadir="$data" --user="$user" --auth-root-authentication-method=normal \
		--skip-test-db --skip-name-resolve --force
}

start_server() {
	"$bin/scone" run --config-id mariadb-demo/mariadbd "${server_code[@]}" -- "$server_program" >>"$base/server.log" 2>&1 &
	pid[server]=$!
	wait_for server 120 "MariaDB under the runtime" ping "$dir/mariadbd.sock"
}

stop_server() { mariadb-admin --no-defaults -u root -S "$dir/mariadbd.sock" shutdown && stop server 0; }

step "MariaDB is initialised (passed through) and started (attested) under the runtime"
install_tables scone run -- "$dir/data" >"$base/install.log" 2>&1 || die "mariadb-install-db fails under scone run"
start_server || die "MariaDB does not start under the runtime"
create_row="CREATE DATABASE demo; CREATE TABLE demo.t (id INT PRIMARY KEY, v VARCHAR(100)) ENGINE=InnoDB;
	INSERT INTO demo.t VALUES (1, '$marker')"
sql "$dir/mariadbd.sock" "$create_row" || die "the row is not written"
encrypted=$(sql "$dir/mariadbd.sock" "SELECT ENCRYPTION_SCHEME FROM information_schema.INNODB_TABLESPACES_ENCRYPTION WHERE NAME='demo/t'")
proof "the server says that the table is encrypted (scheme 1, seen ${encrypted:-none})" test "$encrypted" = 1


step "The row survives a restart"
stop_server || die "the server does not stop"
start_server || die "MariaDB does not start again"
read_back=$(sql "$dir/mariadbd.sock" "SELECT v FROM demo.t WHERE id = 1")
proof "row read back after a restart: ${read_back:-nothing}" test "$read_back" = "$marker"

# change_byte FILE: one bit in its middle; once more, and it is as it was
change_byte() {
	local offset byte
	offset=$(($(stat -c %s "$1") / 2))
	byte=$(od -An -tu1 -j "$offset" -N 1 "$1")
	printf %b "$(printf '\\x%02x' $((byte ^ 1)))" | dd of="$1" bs=1 seek="$offset" conv=notrunc status=none
}
digest() { sha256sum <"$1" | cut -d' ' -f1; }

# --- 4. proofs ----------------------------------------------------------------------------------------------------------------------

step "Only measured code gets into the running server"
# install_plugin NAME: into the server, whose answer is printed
install_plugin() {
	sql "$dir/mariadbd.sock" "INSTALL SONAME '$1'" >"$base/plugin.out" 2>&1
	local status=$?
	indent "$base/plugin.out"
	return $status
}
# plugin_refused NAME DIGEST…: the server gives an error, and the runtime has said which file and which digests
plugin_refused() {
	local name=$1 file=$dir/plugins/$1.so line digest
	shift
	install_plugin "$name" && { say "the server loaded $file"; return 1; }
	line=$(grep -hF -e "scone-runtime: error: $file: " "$dir/mariadbd.log" "$base/server.log" | tail -n 1)
	say "${line:-the runtime has said nothing about $file}"
	[[ -n $line ]] || return 1
	for digest; do
		[[ $line == *"$digest"* ]] || { say "not in it: $digest"; return 1; }
	done
}
listed=$dir/plugins/locales.so
unlisted=$dir/plugins/metadata_lock_info.so
proof "a plugin that was not measured is refused by the runtime, with its digest" plugin_refused metadata_lock_info "$(digest "$unlisted")"
measured_digest=$(digest "$listed")
change_byte "$listed"
proof "a measured plugin, one byte changed since, is refused by the runtime, with the digest seen and the one wanted" \
	plugin_refused locales "seen $(digest "$listed")" "wanted $measured_digest"
change_byte "$listed"
proof "control: with that byte as it was, the server loads the plugin" install_plugin locales
regexp=$(sql "$dir/mariadbd.sock" "SELECT REGEXP_REPLACE('key 42', '[a-z]+ ([0-9]+)', '\\\\1')")
proof "regular expressions work without generated code (42, seen ${regexp:-nothing})" test "$regexp" = 42

step "The key is in MariaDB's memory, and nowhere else"
plant_control || die "the control is not planted"
proof "an attested service searched $base, /dev/shm and /proc while the server runs" search_key mariadb-demo/leakcheck
proof "control: planted text found in files in all four forms" found 'control files( [a-z0-9]+=[1-9][0-9]*){4}'
proof "control: planted text found in an environment and in arguments" found 'control processes lower=([2-9]|[1-9][0-9]+) .*'
proof "the key is in no file: lower and upper case hex, bytes, base64" found 'key files lower=0 upper=0 raw=0 base64=0'
proof "the key is in no /proc/*/environ and no /proc/*/cmdline" found 'key processes lower=0 upper=0 raw=0 base64=0'
stop sleeper
stop argument
# shellcheck disable=SC2016 # this is the template, not a variable
proof "the key file on the disk still holds the template" grep -qxF '1;$$SCONECAS:MARIADBKEY$$' "$dir/keyfile"

step "What the server wrote is unreadable without the key"
start_native() { # an ordinary server without encryption, the same row in it
	local n=$base/native
	install_tables env -- "$n/data" >"$base/native/install.log" 2>&1 || return 1
	mariadbd --no-defaults --user="$user" --datadir="$n/data" --tmpdir="$n/tmp" --socket="$n/s.sock" --pid-file="$n/pid" \
		--skip-networking --log-bin="$n/data/binlog" --server-id=1 >"$n/server.log" 2>&1 &
	pid[control]=$!
	wait_for control 60 "the native control server" ping "$n/s.sock" && sql "$n/s.sock" "$create_row" &&
		mariadb-admin --no-defaults -u root -S "$n/s.sock" shutdown && stop control 0
}
start_native || die "the native control server does not run"
running_count=$(files_with "$marker" "$dir")
stop_server || die "the server does not stop"
native_count=$(files_with "$marker" "$base/native/data")
count=$(files_with "$marker" "$dir/data")
proof "control: the marker is in $native_count files of a native server without encryption" test "$native_count" -ge 2
proof "the marker is in $count files of the data directory (and in $running_count while the server ran)" \
	test "$count$running_count" = 00

# native_refuses NAME KEYFILE PATTERN OPTION…: start on a copy of the data without the runtime; holds if the server gives up because
# InnoDB cannot read its files, and says why
native_refuses() {
	local copied=$base/copies/$1 key=$2 pattern=$3 status
	shift 3
	mkdir "$copied" && cp -a "$dir/data" "$copied/data" || return 1
	timeout 60 mariadbd --no-defaults --user="$user" --datadir="$copied/data" --tmpdir="$base/native/tmp" --skip-networking \
		--socket="$copied/s.sock" --pid-file="$copied/pid" --innodb-log-file-size=16M ${key:+--plugin-load-add=file_key_management} \
		${key:+--loose-file-key-management-filename="$key"} "$@" >"$copied/server.log" 2>&1
	status=$?
	grep -F '[ERROR]' "$copied/server.log" | cut -c1-150 | head -n 3 | indent
	((status != 0 && status != 124)) || { say "exit status $status"; return 1; }
	grep -qE "\[ERROR\].*($pattern)" "$copied/server.log" || { say "no error matches: $pattern"; return 1; }
	grep -qF "Plugin 'InnoDB' registration as a STORAGE ENGINE failed" "$copied/server.log"
}
printf '1;%s\n' "$(od -An -v -tx1 -N32 /dev/urandom | tr -d ' \n')" >"$base/copies/guess"
proof "started natively with the same files, MariaDB cannot open the tables" native_refuses same "$dir/keyfile" 'Invalid key at' \
	--innodb-encrypt-tables=FORCE --innodb-encrypt-log=ON
# What it stumbles over depends on what the wrong key makes of the first record of the log.
proof "nor with a guessed key" native_refuses guessed "$base/copies/guess" 'InnoDB: Missing FILE_CHECKPOINT|decrypt'
proof "nor without the encryption plugin, in recovery mode" native_refuses recovery '' 'decrypt failed' --innodb-force-recovery=6

step "A changed program is refused"
run_copy() { timeout 60 "$bin/scone" run --config-id mariadb-demo/copy -- "$copy" >"$base/copy.out" 2>&1; }
run_copy
status=$?
indent "$base/copy.out"
proof "control: the unchanged copy attests and runs (status $status)" grep -q 'Ver .*MariaDB' "$base/copy.out"
change_byte "$copy"
changed_measurement=$(scone measure "$copy") || die "$copy cannot be measured any more"
say "one byte changed: $(cmp -l "$copy" "$server_program" | wc -l) byte differs"
proof "one changed byte: refused by CAS, with the measurement seen and the one wanted" refused "$changed_measurement" "$copy_measurement" \
	-- "$bin/scone" run --config-id mariadb-demo/copy -- "$copy"

step "A false CAS is refused"
other_key=$(SCONE_HOME=$base/other scone identity) || die "no second key"
proof "a CAS with another key than the pinned one: refused by the runtime" refused "$other_key" \
	-- "$bin/scone" run --cas-key "$other_key" --config-id mariadb-demo/mariadbd "${server_code[@]}" -- "$server_program"

server_refused() { # SESSION PATTERN…: the server, with this session's policy
	refused "${@:2}" -- "$bin/scone" run --config-id "$1/mariadbd" "${server_code[@]}" -- "$server_program"
}

if [[ $tee == sim ]]; then
	step "Simulated evidence needs the session's word"
	grep -v '^security:' "$here/session.yml" >"$base/hardware.yml"
	create mariadb-demo-hardware "$base/hardware.yml" >"$base/hardware.out" 2>&1 || { indent "$base/hardware.out"; die "the session is refused"; }
	proof "a session without 'mode: simulation' is refused" server_refused mariadb-demo-hardware simulat
else
	# shellcheck source=examples/mariadb/machine.sh
	. "$here/machine.sh"
fi
