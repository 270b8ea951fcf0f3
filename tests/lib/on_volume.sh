#!/bin/bash
# on_volume.sh PROGRAM ARG…: run it in the runtime with the working directory on a fresh encrypted volume. As the program of a conformance run:
#   SCONE_RUN="env SCONE_VOLUMES=DIR SCONE_BIN=BIN tests/lib/on_volume.sh" tests/conformance/run.sh; the volumes stay in DIR, of the caller's
set -u
dir=$(mktemp -d "${SCONE_VOLUMES:?}/v.XXXXXX")
"${SCONE_BIN:?}/scone" volume create --volume-key-file "$dir/key" --size 1G "$dir/host" >/dev/null 2>&1 || exit 125
exec "$SCONE_BIN/scone" run --volume "$dir/host:$PWD" --volume-key-file "$dir/key" -- "$@"
