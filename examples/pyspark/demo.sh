#!/bin/bash
# A Spark job reads a column that only attested code can read: the demonstration behind `make demo-pyspark`; see README.md.
#
# usage: demo.sh [--keep]     SCONE_BIN: directory of the programs (default build/bin of this tree)
#                             DEMO_SCALE: of the data (default 0.01: sixty thousand rows of lineitem)
set -uo pipefail

here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=examples/common.sh
. "$here/../common.sh"
names=(job sleeper argument las cas)
base=$(mktemp -d "${TMPDIR:-/tmp}/scone-pyspark.XXXXXX") || exit 1
plain=$base.plain      # the owner's side: data in the clear, native runs; not searched
secrets=$base.secrets  # no such directory: its files exist in the memory of attested programs only
trap finish EXIT
trap 'exit 130' INT TERM
mkdir -p "$base/data" "$base/work" "$plain/work" || die "no directories in $base"
export PYTHONDONTWRITEBYTECODE=1

# --- 1. what runs -------------------------------------------------------------------------------------------------------------------

step "PySpark and Java"
python=$("$here/venv.sh") || die "no PySpark"
say "$("$python" -c 'import pyspark; print("PySpark", pyspark.__version__)'), $(java -version 2>&1 | head -n 1)"
start_services java pgrep

# --- 2. data and expectation --------------------------------------------------------------------------------------------------------

# job OUT ARGUMENT…: natively
native() { timeout -s KILL 600 "$python" "$here/job.py" --out "$@" --work "$plain/work" >"$plain/job.log" 2>&1; }

step "The owner's data, and what a native run makes of it"
"$python" "$here/generate.py" "$plain/data" "${DEMO_SCALE-0.01}" || die "no data"
say "$(wc -l <"$plain/data/lineitem.csv") rows of lineitem, $(wc -l <"$plain/data/customer.csv") customers"
native "$plain/native.json" --data "$plain/data" || { tail -n 20 "$plain/job.log" | indent; die "the native job fails"; }

# --- 3. session and encryption ------------------------------------------------------------------------------------------------------

step "Session, and the telephone numbers encrypted with its key"
mapfile -t code < <("$here/code.sh" "$python")
((${#code[@]} > 0)) || die "no list of the job's code"
measurement=$(scone measure "$python" "${code[@]}") || die "$python cannot be measured"
leakcheck_measurement=$(scone measure "$leakcheck") || die "$leakcheck cannot be measured"
say "$python and $((${#code[@]} / 2)) files more: $measurement"
binaries=$(dirname "$(command -v java)"):/usr/bin:/bin
scone session create --set "PYTHON=$python" --set "HERE=$here" --set "BASE=$base" --set "SECRETS=$secrets" --set "BINARIES=$binaries" --set "USER=$(id -un)" \
	--set "PYTHON_MEASUREMENT=$measurement" --set "LEAKCHECK_MEASUREMENT=$leakcheck_measurement" --set "CONTROL=$control" \
	"$here/session.yml" >"$base/create.out" 2>&1 || { indent "$base/create.out"; die "the session is refused"; }
indent "$base/create.out"

for table in "$plain"/data/*.csv; do
	[[ $table == */customer.csv ]] || cp "$table" "$base/data/"
done
timeout -s KILL 120 "$bin/scone" run --config-id pyspark-demo/seal "${code[@]}" -- "$python" <"$plain/data/customer.csv" >"$base/data/customer.csv" \
	2>"$base/seal.log" || die "the telephone numbers are not encrypted"
head -n 1 "$base/data/customer.csv" | cut -c1-110 | indent
plain_phones=$(cut -d'|' -f4 "$plain/data/customer.csv" | grep -cE '^[0-9]{2}-[0-9]{3}-[0-9]{3}-[0-9]{4}$')
left=$(grep -cE '[0-9]{2}-[0-9]{3}-[0-9]{3}-[0-9]{4}' "$base/data/customer.csv")
distinct=$(cut -d'|' -f4 "$base/data/customer.csv" | sort -u | wc -l)
proof "$plain_phones telephone numbers: $distinct different ciphertexts, $left left in the clear" \
	test "$plain_phones:$left" = "$(wc -l <"$plain/data/customer.csv"):0" -a "$distinct" = "$plain_phones"

# --- 4. the job ---------------------------------------------------------------------------------------------------------------------

descendants() { # descendants PID: all below it
	local child
	for child in $(pgrep -P "$1"); do
		echo "$child"
		descendants "$child"
	done
}

# Every process of the job executes the runtime: the driver, one JVM, Python's daemon and at least one worker.
hosted() {
	local p exe comm wrong=0
	local -A count=([java]=0 [python]=0)
	for p in $(descendants "${pid[job]}"); do # pid[job] is timeout
		exe=$(readlink "/proc/$p/exe") || continue
		comm=$(cat "/proc/$p/comm") || continue
		say "$(printf '%-8s %-8s %s' "$p" "$comm" "$exe")"
		count[$comm]=$((${count[$comm]-0} + 1))
		[[ $exe == "$bin/scone-runtime" ]] || wrong=$((wrong + 1))
	done
	((wrong == 0 && count[java] == 1 && count[python] >= 3 && ${#count[@]} == 2))
}

step "The job under the runtime, attested"
timeout -s KILL 900 "$bin/scone" run --config-id pyspark-demo/job "${code[@]}" -- "$python" >"$base/job.log" 2>&1 &
pid[job]=$!
wait_for job 600 "the job's results" test -e "$base/hold" || die "the job does not come to its end"
proof "driver, JVM and Python workers are all hosted by the runtime" hosted
plant_control || die "the control is not planted"
proof "an attested service searched $base, /dev/shm and /proc while the job runs" search_key pyspark-demo/leakcheck
proof "control: planted text found in files in all four forms" found 'control files( [a-z0-9]+=[1-9][0-9]*){4}'
proof "control: planted text found in an environment and in arguments" found 'control processes lower=([2-9]|[1-9][0-9]+) .*'
proof "the key is in no file: lower and upper case hex, bytes, base64" found 'key files lower=0 upper=0 raw=0 base64=0'
proof "the key is in no /proc/*/environ and no /proc/*/cmdline" found 'key processes lower=0 upper=0 raw=0 base64=0'
stop sleeper
stop argument
phone=$(head -n 1 "$plain/data/customer.csv" | cut -d'|' -f4)
in_plain=$(files_with "$phone" "$plain/data")
in_base=$(files_with "$phone" "$base")
proof "control: customer 1's number $phone is in $in_plain file of the owner's data" test "$in_plain" -ge 1
proof "it is in $in_base files of the job" test "$in_base" = 0
rm "$base/hold"
wait "${pid[job]}"
status=$?
unset "pid[job]"
proof "the job ends with status 0 (seen $status)" test "$status" = 0

step "The results are the native ones"
equal() { [[ $1 == equal ]] || { say "$1"; return 1; }; }
compared=0
while read -r query rows what; do
	proof "$query: $rows rows, to the last digit" equal "$what"
	compared=$((compared + 1))
done < <("$python" "$here/compare.py" "$plain/native.json" "$base/attested.json")
proof "eleven queries were compared (seen $compared)" test "$compared" = 11

# --- 5. who does not get it ---------------------------------------------------------------------------------------------------------

step "Without the key the column is unreadable"
export REFUSED_SECONDS=300
od -An -v -tx1 -N32 /dev/urandom | tr -d ' \n' >"$plain/guess"
query() { # query KEYFILE: the command, as words
	printf '%s\n' "$python" "$here/job.py" --data "$base/data" --work "$plain/work" --out "$plain/refused.json" --query q22_python --key "$1"
}
mapfile -t with_template < <(query "$secrets/key")
mapfile -t with_guess < <(query "$plain/guess")
proof "a native run finds no key" refused "No such file or directory: '$secrets/key'" -- "${with_template[@]}"
proof "nor does it read the column with a guessed one" refused 'was not sealed with the key' -- "${with_guess[@]}"

step "Other code does not get the key"
proof "another program in the driver's place: refused by CAS, with the measurement seen and the one wanted" \
	refused "$(scone measure /bin/cat)" "$measurement" -- "$bin/scone" run --config-id pyspark-demo/job -- /bin/cat "$secrets/key"
proof "without --code the measurement is another one: refused" refused "$(scone measure "$python")" "$measurement" \
	-- "$bin/scone" run --config-id pyspark-demo/job -- "$python"
proof "without the session's word for generated code, the JVM does not start" refused 'generated: allow' 'Java gateway process exited' \
	-- "$bin/scone" run --config-id pyspark-demo/strict "${code[@]}" -- "$python"
unpacked=$(sed -nE 's/^scone-runtime: error: (.*\/lib[^/]*\.so): code that is not in the manifest .*/\1/p' "$base/job.log" | sort -u)
indent <<<"$unpacked"
proof "what the JVM unpacked from its jars was not measured, and refused" grep -qF "$base/work/lib" <<<"$unpacked"
