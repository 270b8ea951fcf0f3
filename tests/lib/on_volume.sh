#!/bin/bash
# on_volume.sh PROGRAM ARG…: run it in the runtime with the working directory on a fresh encrypted volume. For SCONE_RUN of tests/conformance/run.sh:
# SCONE_VOLUMES=DIR (of the caller's, where the volumes are made) and SCONE_BIN.
set -u
dir=$(mktemp -d "${SCONE_VOLUMES:?}/v.XXXXXX")
"${SCONE_BIN:?}/scone" volume create --volume-key-file "$dir/key" --size 1G "$dir/host" >/dev/null 2>&1 || exit 125
exec "$SCONE_BIN/scone" run --volume "$dir/host:$PWD" --volume-key-file "$dir/key" -- "$@"
