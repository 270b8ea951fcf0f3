#!/bin/sh
# Plan real files of this machine, those that are there, and say what became of their system calls.
set -eu
survey=$1

set -- /lib/x86_64-linux-gnu/libc.so.6 /lib64/ld-linux-x86-64.so.2 /lib/x86_64-linux-gnu/libstdc++.so.6 \
	/lib/x86_64-linux-gnu/libcrypto.so.3 /usr/lib/x86_64-linux-musl/libc.so /bin/bash /usr/bin/redis-server /usr/sbin/mariadbd
for program in node python3 go gofmt; do
	path=$(command -v "$program" 2>/dev/null) && set -- "$@" "$(readlink -f "$path")"
done
jvm=$(find /usr/lib/jvm -name libjvm.so 2>/dev/null | head -n 1)
exec "$survey" --check "$@" ${jvm:+"$jvm"}
