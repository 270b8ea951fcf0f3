#!/bin/bash
# --volume-cache, and cache_size of a session: the memory that a volume takes stays within what it was given, whatever is read and written.
set -uo pipefail

# shellcheck source=tests/lib/e2e.sh
. "$(dirname "$0")/../lib/e2e.sh" volcache
export SCONE_RUNTIME=$runtime
limit=200
with=("$bin/scone" run --volume "$base/host:$base/v" --volume-key-file "$base/key" --size 3G)

for wrong in 1M 65G x ''; do
	expect "refused: --volume-cache '$wrong'" 125 'volume-cache' -- "${with[@]}" --volume-cache "$wrong" -- true
done
holds "nothing was made for what was refused" test ! -e "$base/host"
expect "a gigabyte is written, through a cache of 32 MiB" 0 '^1073741824$' -- "${with[@]}" --volume-cache 32M -- \
	sh -c "head -c 1G /dev/urandom | tee $base/v/big | sha256sum >$base/sum; stat -c %s $base/v/big"

# memory NAME: of the shared arena of the process, in MiB, with all that it holds beside the cache
memory() {
	local fd
	for fd in "/proc/${pid[$1]}/fd/"*; do
		[[ $(readlink "$fd") == *openscone-arena* ]] && { echo $(($(stat -L -c %b "$fd") * 512 / 1048576)); return; }
	done
	echo 0
}

# reads NAME OPTION…: $mib of the arena, with these options, after reading the large file twice (more than any cache here) and small files of 200 MiB
# together, and making a tree of tiny ones
reads() {
	start "$1" "${with[@]}" "${@:2}" -- bash -c \
		"for i in 1 2; do sha256sum <$base/v/big; done >$base/sums; cat $base/v/part* >/dev/null; cat $base/v/part* >/dev/null; mkdir -p $base/v/many; for i in {1..3000}; do echo \$i >$base/v/many/\$i; done; cat $base/v/many/* >/dev/null; echo up >$base/$1.up; read -r _ <$base/go"
	wait_for "$1" test -s "$base/$1.up" || return 1
	mib=$(memory "$1")
	echo go >"$base/go"
	join "$1"
}
mkfifo "$base/go"
expect "and twenty parts" 0 -- "${with[@]}" --volume-cache 32M -- bash -c "for i in {1..20}; do head -c 10M /dev/urandom >$base/v/part\$i; done"
reads small --volume-cache 32M && small=$mib
reads large && large=$mib
echo "# shared memory after reading 1.2 GiB: ${small:-none} MiB with a cache of 32, ${large:-none} with the default of 256"
holds "a cache of 32 MiB takes no more, and 32 for tables at most" test "${small:-0}" -ge 16 -a "${small:-999}" -le 64
holds "one of 256 takes what it was given" test "${large:-0}" -ge 190 -a "${large:-999}" -le 320
holds "what was read is what was written" test "$(sort -u "$base/sums")" = "$(cat "$base/sum")"
expect "the volume verifies" 0 -- "$bin/scone" volume verify --volume-key-file "$base/key" "$base/host"
