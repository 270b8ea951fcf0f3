#!/bin/bash
# Some of the pairs of `make net-programs`: the results of plain TCP, and not one byte of plaintext in a capture of two network namespaces.
exec "$(dirname "$0")/../programs/net_programs.py" --short
