#!/usr/bin/env bash
# Background jobs, wait, traps, signals to children.
set -u
trap 'echo "trap USR1"' USR1
trap 'echo "trap EXIT $?"' EXIT
kill -USR1 $$
for i in 3 1 2; do (sleep "0.0$i"; exit "$i") & pids[i]=$!; done
for i in 1 2 3; do wait "${pids[i]}"; echo "job $i: $?"; done
sleep 60 & p=$!; sleep 0.2; kill "$p"; wait "$p" 2>/dev/null; echo "killed: $?"
(trap 'echo "child got TERM"; exit 4' TERM; while :; do sleep 0.01; done) & p=$!
sleep 0.3; kill -TERM "$p"; wait "$p"; echo "trapped: $?"
(trap '' INT; kill -INT "$BASHPID"; echo "INT ignored")
bash -c 'kill -SEGV $$' 2>/dev/null; echo "segv: $?"
set -m
sleep 60 & kill -STOP %1
for _ in $(seq 100); do jobs %1 | grep -q Stopped && break; sleep 0.02; done
jobs | sed 's/[[:space:]]\+/ /g'; kill -KILL %1; wait 2>/dev/null; echo "waited $?"
set +m
wait -n < /dev/null; echo "nothing to wait for: $?"
timeout 0.1 sleep 5; echo "timeout: $?"
(ulimit -f 0; exec 2>/dev/null; echo x > limited); echo "file size limit: $?"
sh -c 'trap "echo dash trap" EXIT; exit 6'; echo "dash $?"
nohup sh -c 'echo under nohup' 2>/dev/null
out=$(trap 'echo -n late' EXIT; echo -n early); echo "$out"
read -r -t 0.05 _ < <(sleep 0.3); echo "read timed out: $(($? > 128))"
exit 12
