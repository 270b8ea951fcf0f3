#!/bin/bash
# Large programs on an encrypted volume: results against native ones, kills of everything at any moment, and what the host can read. Programs that
# are not installed are skipped in a line. `make volume-programs`; volume.sh NAME…: only these.
# shellcheck disable=SC2016 # variables of the shells that run on the volume
set -uo pipefail

# shellcheck source=tests/lib/e2e.sh
. "$(dirname "$0")/../lib/e2e.sh" programs
export SCONE_RUNTIME=$runtime
host=$base/host vol=$base/vol key=$base/key run=$base/run
mkdir "$vol" "$run"
chmod 755 "$base"
chmod 777 "$run"
wanted=("$@")
with() { timeout -s KILL "${seconds:-200}" "$bin/scone" run --volume "$host:$vol" --volume-key-file "$key" --size 8G -- "$@"; }
part() {
	local p
	[[ ${#wanted[@]} -eq 0 ]] && return 0
	for p in "${wanted[@]}"; do [[ $p == "$1" ]] && return 0; done
	return 1
}
# have NAME PROGRAM…: is the part wanted, and are its programs there?
have() {
	local name=$1 p
	part "$name" || return 1
	shift
	for p in "$@"; do
		command -v "$p" >/dev/null || { echo "# $name: $p is not installed"; return 1; }
	done
}
# same NAME SCRIPT: bash prints the same in a directory of the host and in one of the volume; $PLACE is the directory's name
same() {
	mkdir -p "$base/native/$1"
	(cd "$base/native/$1" && PLACE=$base/native/$1 timeout -s KILL 200 bash -c "$2") >"$base/$1.native" 2>&1 </dev/null
	PLACE=$vol/$1 with bash -c "mkdir -p $vol/$1 && cd $vol/$1 && $2" >"$base/$1.volume" 2>&1 </dev/null
	if [[ -s $base/$1.native ]] && diff <(sed "s|$base/native|PLACE|g" "$base/$1.native") <(sed "s|$vol|PLACE|g" "$base/$1.volume") >"$base/diff"; then
		ok "$1 as natively"
	else
		not_ok "$1 as natively" "$(head -n 6 "$base/diff" | tr '\n' ' ')"
	fi
}
# killed NAME SECONDS SCRIPT: the script runs on the volume until everything in its session is killed
killed() {
	local leader
	setsid "$bin/scone" run --volume "$host:$vol" --volume-key-file "$key" --size 8G -- bash -c "$3" >"$base/$1.told" 2>>"$base/$1.log" </dev/null &
	leader=$!
	sleep "$2"
	kill -KILL -- "-$leader" 2>/dev/null
	wait "$leader" 2>/dev/null
}

with true >"$out" 2>&1 || { not_ok "a new volume" "$(cat "$out")"; exit; }
have coreutils tar && same coreutils 'for d in a b c; do mkdir -p $d/$d; for i in $(seq 200); do echo "$d $i" >$d/$d/f$i; done; done; ln a/a/f1 l; ln -s b s; tar cf t.tar a b c l s; mkdir x; tar xf t.tar -C x; diff -r a x/a && find . -printf "%y %m %n %p\n" | sort | md5sum; cat s/b/f7; cp -a a y; chmod 700 y; rm -r x b; find . | sort | wc -l; sort -R a/a/* | sort | md5sum; head -c 20000000 /dev/zero | tee z | md5sum; truncate -s 100 z; stat -c %s z'
have git git && same git 'export GIT_AUTHOR_DATE="2020-01-01 00:00" GIT_COMMITTER_DATE="2020-01-01 00:00"; git init -q -b m r && cd r && git config user.email a@b && git config user.name n; for i in $(seq 300); do echo $i >f$i; done; git add . && git commit -q -m one; for i in 1 2 3; do echo more >>f$i; git commit -qam $i; done; git gc -q; git fsck --strict && git rev-parse HEAD; cd .. && git clone -q r c && git -C c log --format=%H | md5sum && diff r/f1 c/f1 && echo cloned'
have gcc gcc && same gcc 'for i in 1 2 3; do echo "int f$i(int x){return x*$i;}" >f$i.c; gcc -O2 -c f$i.c; done; ar rcs libf.a f1.o f2.o f3.o; echo "#include <stdio.h>
int f3(int);int main(void){printf(\"%d\n\",f3(14));return 0;}" >m.c; gcc -shared -fPIC -o libs.so f3.c; gcc -o static m.c libf.a; gcc -o shared m.c ./libs.so; ./static; ./shared; nm libf.a | md5sum'
have python python3 && same python '/usr/bin/python3 -m venv v >/dev/null && v/bin/python -c "import sys, os; print(os.path.basename(sys.prefix)); import sqlite3, json, ssl; print(sqlite3.connect(\"d.db\").execute(\"select 6*7\").fetchone())" && v/bin/pip --version | cut -d" " -f1,2; /usr/bin/python3 -c "
import os, mmap, multiprocessing, tempfile, shutil
tempfile.tempdir = os.getcwd()
def work(i):
    with tempfile.NamedTemporaryFile() as f:
        f.write(b\"x\" * i); f.flush(); return os.path.getsize(f.name)
print(sum(multiprocessing.Pool(4).map(work, range(300))))
shutil.rmtree(\"v\"); print(sorted(os.listdir(\".\")))"'
have r R && same r 'R --vanilla -s -e "x <- data.frame(a=1:500, b=sqrt(1:500)); saveRDS(x, \"x.rds\"); print(identical(x, readRDS(\"x.rds\"))); write.csv(x, \"x.csv\"); print(sum(read.csv(\"x.csv\")\$b)); unlink(\"x.csv\"); print(list.files())"'
have java javac java && same java 'cat >H.java <<J
import java.nio.file.*; import java.nio.*; import java.nio.channels.*; import java.util.stream.*;
public class H { public static void main(String[] a) throws Exception {
for (int i = 0; i < 50; i++) Files.writeString(Paths.get("f" + i), "text " + i);
System.out.println(IntStream.range(0, 50).parallel().mapToLong(i -> { try { return Files.size(Paths.get("f" + i)); } catch (Exception e) { return -1000; } }).sum());
try (FileChannel c = FileChannel.open(Paths.get("m"), StandardOpenOption.CREATE, StandardOpenOption.READ, StandardOpenOption.WRITE)) { FileLock l = c.lock(); MappedByteBuffer b = c.map(FileChannel.MapMode.READ_WRITE, 0, 100000); for (int i = 0; i < 100000; i += 7) b.put(i, (byte) i); b.force(); ByteBuffer q = ByteBuffer.allocate(1); c.read(q, 70); System.out.println("mapped " + q.get(0)); l.release(); }
Files.move(Paths.get("f1"), Paths.get("g1"), StandardCopyOption.ATOMIC_MOVE); System.out.println(Files.list(Paths.get(".")).map(Object::toString).sorted().collect(Collectors.joining(" "))); } }
J
javac H.java && java H'

if have redis redis-server redis-cli; then
	port=$((20000 + RANDOM % 20000))
	redis="redis-server --port $port --bind 127.0.0.1 --dir $vol/redis --appendonly yes --appendfsync always --save '' --logfile $vol/redis/log"
	told=0 bad=
	with mkdir -p "$vol/redis"
	for round in 1 2 3 4; do
		killed redis "$((3 + round)).$round" "$redis & sleep 1; for i in \$(seq 5000); do redis-cli -p $port incr n; done"
		now=$(grep -E '^[0-9]+$' "$base/redis.told" | tail -n 1)
		((${now:-0} > told)) && told=$now
		seen=$(with bash -c "$redis & sleep 2; redis-cli -p $port get n; redis-cli -p $port bgrewriteaof >/dev/null; sleep 1; redis-cli -p $port shutdown; wait" 2>>"$base/redis.log" | head -n 1)
		[[ $seen =~ ^[0-9]+$ && $seen -ge $told ]] || bad="round $round: '$seen', told $told"
	done
	if [[ -z $bad && $told -gt 0 ]]; then ok "Redis, AOF, after kills: $told told, none lost"; else not_ok "Redis after kills" "${bad:-nothing told}"; fi
fi

pg=
for d in /usr/lib/postgresql/*/bin; do pg=$d; done
if have postgresql setpriv && [[ -x $pg/postgres ]] && id postgres >/dev/null 2>&1; then
	as="setpriv --reuid=postgres --regid=postgres --clear-groups"
	args="-k $run -p 17435 -c listen_addresses="
	with bash -c "chmod 755 $vol; mkdir $vol/pg && chown postgres: $vol/pg && chmod 700 $vol/pg && $as $pg/initdb -D $vol/pg/d -A trust >/dev/null" 2>"$err"
	# Not by pg_ctl, which would put the server out of the reach of the kills.
	up="q() { $as $pg/psql -h $run -p 17435 -At -c \"\$1\" postgres; }; rm -f $vol/pg/d/postmaster.pid $run/.s.PGSQL.17435*; $as $pg/postgres -D $vol/pg/d $args >>$run/pg.log 2>&1 & for i in \$(seq 300); do q 'select 1' >/dev/null 2>&1 && break; sleep 0.2; done"
	down="$as $pg/pg_ctl -D $vol/pg/d -w -m fast stop >/dev/null"
	seen=$(with bash -c "$up; q 'create table n(i serial, x text)'; $as $pg/pgbench -h $run -p 17435 -i -q postgres 2>/dev/null; $as $pg/pgbench -h $run -p 17435 -c 4 -T 5 postgres 2>/dev/null | grep -c 'failed transactions: 0'; $down" 2>"$err" | tail -n 1)
	if [[ $seen == 1 ]]; then ok "PostgreSQL, pgbench with four clients"; else not_ok "PostgreSQL" "$seen $(tail -n 3 "$err")"; fi
	told=0 bad=
	for round in 1 2 3; do
		killed pg "$((6 + round)).$round" "$up; for i in \$(seq 2000); do q 'insert into n(x) values (md5(random()::text)) returning i'; done"
		now=$(grep -E '^[0-9]+$' "$base/pg.told" | tail -n 1)
		((${now:-0} > told)) && told=$now
		seen=$(with bash -c "$up; q 'select max(i) from n'; q 'select count(*) from pgbench_accounts where abalance is not null'; $down" 2>>"$base/pg.log" | tr '\n' ' ')
		[[ $seen =~ ^([0-9]+)\ 100000\ $ && ${BASH_REMATCH[1]} -ge $told ]] || bad="round $round: '$seen', told $told: $(tail -n 2 "$run/pg.log" | tr '\n' ' ')"
	done
	if [[ -z $bad && $told -gt 0 ]]; then ok "PostgreSQL after kills: $told rows told, none lost"; else not_ok "PostgreSQL after kills" "${bad:-nothing told}"; fi
fi

if have mariadb mariadbd mariadb-install-db mariadb; then
	sock=$run/my.sock
	server="mariadbd --no-defaults --user=root --datadir=$vol/my --socket=$sock --skip-networking --innodb-buffer-pool-size=64M"
	q="mariadb --no-defaults --socket=$sock -uroot -N"
	up="$server >>$run/my.log 2>&1 & for i in \$(seq 600); do $q -e 'select 1' >/dev/null 2>&1 && break; sleep 0.1; done"
	down="mariadb-admin --no-defaults --socket=$sock -uroot shutdown; wait"
	with mariadb-install-db --no-defaults --user=root --datadir="$vol/my" --auth-root-authentication-method=normal --skip-test-db >"$out" 2>&1 || not_ok mariadb-install-db "$(tail -n 3 "$out")"
	seen=$(with bash -c "$up; $q -e 'create database d; use d; create table d.t(i int primary key auto_increment, x varchar(200)) engine=innodb; insert into d.t(x) select md5(seq) from seq_1_to_20000; create table d.a engine=aria select seq, repeat(md5(seq), 5) as y from seq_1_to_5000; select md5(group_concat(x order by i)) from d.t where i < 20; check table d.t, d.a'; $down" 2>"$err")
	if [[ $(grep -c 'status.*OK' <<<"$seen") == 2 ]]; then ok "MariaDB, InnoDB and Aria"; else not_ok MariaDB "$seen $(tail -n 3 "$err")"; fi
	told=0 bad=
	for round in 1 2 3 4; do
		killed my "$((5 + round)).$round" "$up; for i in \$(seq 5000); do $q -e 'insert into d.t(x) values (md5(rand())); select last_insert_id()'; done"
		now=$(grep -E '^[0-9]+$' "$base/my.told" | tail -n 1)
		((${now:-0} > told)) && told=$now
		seen=$(with bash -c "$up; $q -e 'select max(i) from d.t; check table d.t'; $down" 2>>"$base/my.log" | tr '\n\t' '  ')
		[[ $seen =~ ^([0-9]+)\ .*status\ OK\ $ && ${BASH_REMATCH[1]} -ge $told ]] || bad="round $round: '$seen', told $told: $(tail -n 2 "$run/my.log" | tr '\n' ' ')"
	done
	if [[ -z $bad && $told -gt 20000 ]]; then ok "MariaDB after kills: $told rows told, none lost"; else not_ok "MariaDB after kills" "${bad:-nothing told}"; fi
fi

expect "the volume verifies" 0 -- "$bin/scone" volume verify --volume-key-file "$key" "$host"
holds "the host has neither names nor content of it" test "$(ls "$host") $(grep -cE 'SQLite format|PG_VERSION|ibdata1|InnoDB|appendonly|refs/heads|pyvenv|CREATE TABLE' "$host/volume.scone")" = "volume.scone 0"
