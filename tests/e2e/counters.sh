#!/bin/bash
# SCONE_LOG=debug: how many calls were trapped, how many rewritten, and where the hottest traps are. tests/programs/counters.c makes known numbers.
set -uo pipefail

# shellcheck source=tests/lib/e2e.sh
. "$(dirname "$0")/../lib/e2e.sh" counters
[[ -x $runtime ]] || { not_ok runtime "$runtime is not built"; exit; }
p=$base/counters
cc -O1 -Wall -Wextra -Werror -D_GNU_SOURCE -pthread -fPIE -pie -o "$p" "$here/../programs/counters.c" 2>"$base/cc.log" ||
	{ not_ok program "not compiled"; exit; }

counted() { SCONE_LOG=debug timeout 60 "$runtime" -- "$p" "$@" >"$out" 2>"$err" </dev/null; }
# The number before WORD in the process' first line; -1 none
number() { sed -nE "s/.*: .* system calls: .*/&/; s/.*[ :]([0-9]+) $1.*/\1/p" "$err" | head -n 1 | grep . || echo -1; }
# at COUNT PLACE: a line with this count and place
at() { grep -qE " $1 traps at $2\$" "$err"; }
place() { sed -n "s/^$1 //p" "$out"; }
sum_is_right() { (($(number 'system calls') == $(number rewritten) + $(number trapped))); }
bytes_at() { od -An -tx1 -j "$(($1))" -N 2 "$p" | tr -d ' '; }

counted site 500
holds site_runs test "$?" -eq 0
holds site_by_file_and_offset at 500 "$p\\+$(place site)"
holds offset_is_that_of_a_call test "$(bytes_at "$(sed -nE "s|.* 500 traps at $p\\+||p" "$err")")" = 0f05
holds sum_of_calls sum_is_right
holds rewritten_others test "$(number rewritten)" -gt 10
few=$(number trapped)
holds trapped_at_least_these test "$few" -ge 500

counted plain 500
base_calls=$(number rewritten)
holds plain_not_trapped test "$(number trapped)" -lt 20
counted plain 1500
holds each_rewritten_call_once test "$(number rewritten)" -eq $((base_calls + 2000)) # the call and getpid, a thousand more of each

counted threads 2000
first=$(number rewritten)
counted threads 4000
# Threads that wait for each other call futex now and then, in either run.
more=$(($(number rewritten) - first - 8 * 2 * 2000))
holds none_lost_between_threads test "$more" -gt -20 -a "$more" -lt 200

counted jit 300
holds jit_by_address at 300 "$(place jit) in memory without a name"
counted gone 300
holds unmapped_is_said at 300 "$(place jit) in memory no longer mapped"

counted many
holds ten_sites_at_most test "$(grep -c ' traps at ' "$err")" -eq 10
holds hottest_first test "$(grep -oE '[0-9]+ traps at' "$err" | cut -d' ' -f1 | head -n 3 | tr '\n' ' ')" = '115 105 95 '
holds coldest_left_out test "$(grep -cE ' (15|5) traps at' "$err")" -eq 0

counted fork 100
holds child_counts_its_own at 200 "$p\\+$(place site | head -n 1)"
holds two_processes test "$(grep -c ' system calls: ' "$err")" -eq 2
holds two_process_ids test "$(grep ' system calls: ' "$err" | grep -oE '\[[0-9]+\]' | sort -u | wc -l)" -eq 2
holds parent_and_child test "$(grep -cE " 200 traps at $p" "$err")" -eq 2

counted raw 70
holds end_by_exit_of_the_thread at 70 "$p\\+$(place site)"

SCONE_LOG=debug timeout 60 "$runtime" -- /bin/sh -c "\"$p\" site 40; exec \"$p\" site 30" >"$out" 2>"$err"
holds executed_child at 40 "$p\\+$(place site | head -n 1)"
holds executed_in_place at 30 "$p\\+$(place site | head -n 1)"

for level in '' error warn info; do
	SCONE_LOG=$level timeout 60 "$runtime" -- "$p" site 50 >"$out" 2>"$err" </dev/null
	holds "silent_with_level_${level:-none}" test ! -s "$err"
done
