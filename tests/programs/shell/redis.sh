#!/usr/bin/env bash
# redis-server on a Unix socket, with a save in a forked child and a restart from what it wrote.
set -u
sock=$PWD/redis.sock
start() {
	redis-server --port 0 --unixsocket "$sock" --dir "$PWD" --save '' --appendonly no --daemonize no >>redis.log 2>&1 & server=$!
	for _ in $(seq 200); do redis-cli -s "$sock" ping 2>/dev/null | grep -q PONG && return 0; sleep 0.05; done
	echo "redis-server does not answer"; tail -n 5 redis.log; exit 1
}
cli() { redis-cli -s "$sock" "$@"; }
start
cli set greeting 'hello there'
cli get greeting
cli incrby counter 41; cli incr counter
for i in $(seq 20); do echo "rpush list item-$i"; done | cli | tail -n 1
cli lrange list 0 4
cli eval 'return {KEYS[1], redis.call("llen", KEYS[1])}' 1 list
cli hset h a 1 b 2; cli hgetall h
cli bgsave >/dev/null
for _ in $(seq 100); do [ "$(cli info persistence | tr -d '\r' | sed -n 's/^rdb_bgsave_in_progress://p')" = 0 ] && break; sleep 0.05; done
cli info persistence | tr -d '\r' | grep rdb_last_bgsave_status
redis-benchmark -s "$sock" -q -n 2000 -c 8 -P 4 -t set,get 2>/dev/null | tr '\r' '\n' | grep -c 'requests per second'
kill -TERM "$server"; wait "$server"; echo "stopped $?"
start
cli get counter
cli shutdown nosave 2>/dev/null
wait "$server"; echo "stopped $?"
