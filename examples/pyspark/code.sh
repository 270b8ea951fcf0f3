#!/usr/bin/env bash
# Prints the files that a PySpark job maps or executes as code, as options for `scone measure` and `scone run`: --code, FILE, one word a line.
#
# usage: code.sh PYTHON
set -euo pipefail
[ $# -eq 1 ] || { echo "usage: $0 PYTHON" >&2; exit 2; }
java=$(readlink -f "$(command -v java)")
jdk=${java%/bin/java}

{
	# The JVM, its libraries, and what it starts processes with.
	printf '%s\n' "$java"
	find -H "$jdk/lib" \( -name '*.so' -o -name jspawnhelper \)
	# Python's modules in C: the interpreter's and the packages'.
	"$1" - <<'PYTHON'
import importlib.machinery
import os
import sys

suffixes = tuple(importlib.machinery.EXTENSION_SUFFIXES)
for top in sys.path:
    for directory, _, files in os.walk(top):
        # A directory of packages below the standard library is somebody else's.
        if top not in directory or "site-packages" in directory[len(top):] or "dist-packages" in directory[len(top):]:
            continue
        for name in files:
            if name.endswith(suffixes):
                print(os.path.join(directory, name))
spark = next(os.path.join(top, "pyspark") for top in sys.path if os.path.isdir(os.path.join(top, "pyspark")))
for script in ("spark-submit", "spark-class"):
    print(os.path.join(spark, "bin", script))
PYTHON
	# What these two shell scripts execute, and the JVM to remove directories.
	for program in bash dirname ps rm; do
		command -v "$program"
	done
} | sort -u | sed 's/^/--code\n/'
