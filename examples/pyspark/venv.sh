#!/usr/bin/env bash
# Makes build/pyspark-venv from PyPI when it is missing or incomplete, and prints its python. Needs python3 with venv, and Java 17 or newer.
#
# usage: venv.sh     PYTHON: the interpreter to make it with (default python3)
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
venv=$root/build/pyspark-venv
packages=(pyspark==4.3.0 'cryptography>=42')

java=$(command -v java) || { echo "pyspark: no java in the PATH; on Debian: apt-get install openjdk-17-jdk-headless" >&2; exit 1; }
major=$("$java" -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p')
((${major:-0} >= 17)) || { echo "pyspark: $java is Java ${major:-unknown}; 17 or newer is wanted" >&2; exit 1; }

if ! "$venv/bin/python" -c 'import pyspark, cryptography' 2>/dev/null; then
	echo "pyspark: ${packages[*]} from PyPI into $venv (about 500 MB)" >&2
	mkdir -p "$root/build"
	rm -rf "$venv"
	"${PYTHON:-python3}" -m venv "$venv" ||
		{ echo "pyspark: no venv; on Debian: apt-get install python3-venv" >&2; exit 1; }
	"$venv/bin/pip" install --quiet --disable-pip-version-check "${packages[@]}" >&2
fi
printf '%s\n' "$venv/bin/python"
