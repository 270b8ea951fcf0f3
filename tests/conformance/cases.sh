# shellcheck shell=bash disable=SC2016,SC2154
# The table of tests/conformance/run.sh: `t NAME [-s STATUS] [-t SECONDS] [-o] [-i FILE] -- PROGRAM [ARG...]`
#   -s  how the native program ends ("exit 0" unless said): a native run that differs fails the case too
#   -t  seconds for each side (60)
#   -o  compare standard output and the end only: standard error holds numbers of processes or threads
#   -i  standard input (/dev/null)
# $b is where the test programs are built, $p where their sources are. A program without a slash comes from the PATH.

for kind in '' static/; do
	n=${kind%/}${kind:+-}
	t "${n}args" -s 'exit 3' -- "$b/${kind}args" 3 'two words' '' $'tab\tand\nline' 'é'
	t "${n}auxv" -- "$b/${kind}auxv"
	t "${n}procself" -- "$b/${kind}procself" 'an argument' ''
	t "${n}procother" -- "$b/${kind}procother"
	t "${n}files" -- "$b/${kind}files"
	t "${n}ipc" -- "$b/${kind}ipc"
	t "${n}memory" -- "$b/${kind}memory"
	t "${n}regs" -- "$b/${kind}regs"
	t "${n}efault" -- "$b/${kind}efault"
	t "${n}process" -- "$b/${kind}process"
	t "${n}clone3" -- "$b/${kind}clone3"
	t "${n}execself" -s 'exit 42' -- "$b/${kind}execself" 20
	t "${n}interp" -- "$b/${kind}interp"
	t "${n}signals" -- "$b/${kind}signals"
	t "${n}sigsys" -- "$b/${kind}sigsys"
	t "${n}sigmask" -- "$b/${kind}sigmask"
	t "${n}execs" -o -- "$b/${kind}execs"
	t "${n}limits" -- "$b/${kind}limits"
	t "${n}setxid" -- "$b/${kind}setxid"
	t "${n}beside" -- "$b/${kind}beside"
	t "${n}blocking" -- "$b/${kind}blocking"
	t "${n}faults" -- "$b/${kind}faults"
	t "${n}threads" -- "$b/${kind}threads"
	t "${n}storm" -- "$b/${kind}storm"
	t "${n}crowd" -- "$b/${kind}crowd"
	t "${n}leaks" -- "$b/${kind}leaks" 100
	t "${n}forkstorm" -- "$b/${kind}forkstorm" 10
	t "${n}overflow" -- "$b/${kind}overflow"
	t "${n}scarce" -- "$b/${kind}scarce"
	t "${n}traced" -- "$b/${kind}traced"
	t "${n}kept" -- "$b/${kind}kept"
	for what in open names rename attr io; do
		t "${n}posix-$what" -- "$b/${kind}posix_$what"
	done
	t "${n}fsx" -- "$b/${kind}fsx" . 7
done
for how in 'null=signal 11' 'abort=signal 6' 'ill=signal 4' 'fpe=signal 8' 'trap=signal 5' 'stack=signal 11' 'jump=signal 11' \
	'blocked=signal 11' 'kill=signal 9' 'rt=signal 39' 'alarm=signal 14' 'thread=exit 23' 'mainfirst=exit 0' 'raw=exit 33' \
	'_exit=exit 44' 'return=exit 44'; do
	t "death-${how%=*}" -s "${how#*=}" -- "$b/death" "${how%=*}"
done
t static-death-null -s 'signal 11' -- "$b/static/death" null
t static-death-mainfirst -- "$b/static/death" mainfirst
t sanitized-leak -s 'exit 1' -o -- "$b/sanitized/leak"
t jail -s 'exit 6' -- sh "$p/shell/jail.sh" "$b/static/args"
t shell-limits -s 'exit 126' -o -- bash "$p/shell/limits.sh"
t fixed-memory -- "$b/fixed/memory"
t fixed-auxv -- "$b/fixed/auxv"
t static-pie-auxv -- "$b/static-pie/auxv"
t static-pie-signals -- "$b/static-pie/signals"
t musl-args -s 'exit 5' -- "$b/musl/args" 5 x
t musl-death-mainfirst -- "$b/musl/death" mainfirst
t musl-storm -- "$b/musl/storm"
t hostile -- "$b/hostile" 1 100 "$b/static/args"
t hostile-shared -- "$b/hostile" 1 60 /bin/true
t relative-path -s 'exit 1' -- sh -c 'cp "$1" prog && ./prog 1 by-relative-path' sh "$b/args"
t stdin -i "$p/shell/pipeline.sh" -- sha256sum
t not-found -s 'exit 127' -- sh -c 'absent-command 2>/dev/null'

t bash-pipelines -s 'exit 9' -- bash "$p/shell/pipeline.sh"
t bash-jobs -s 'exit 12' -o -- bash "$p/shell/jobs.sh"
t bash-big-pipe -- bash -c 'for i in $(seq 150); do (exit $((i % 5))); s=$((s + $?)); done; echo $s; seq 200000 | sort -R --random-source=/dev/zero | sort -n | md5sum'
t dash-loop -- dash -c 'i=0; while [ $i -lt 100 ]; do i=$((i + 1)); x=$(echo $i | cat); done; echo $x'
t script -s 'exit 9' -- "$p/shell/pipeline.sh"
t tools -t 90 -- sh "$p/shell/tools.sh"

t python-threads -- python3 "$p/python/threads.py"
t python-processes -s 'exit 19' -t 120 -- python3 "$p/python/processes.py"
t python-stdlib -s 'signal 11' -o -- python3 "$p/python/stdlib.py" a 'b c'
t python-venv -t 120 -- sh -c 'python3 -m venv --without-pip v && v/bin/python -c "import sys; print(sys.prefix != sys.base_prefix)"'
t java -s 'exit 14' -t 120 -- java -cp "$b/java" Conformance
t java-interpreted -s 'exit 14' -t 120 -- java -Xint -cp "$b/java" Conformance
t javac -t 120 -- sh -c 'echo "class A { public static void main(String[] a) { System.out.println(\"compiled\"); } }" > A.java && javac A.java && java A'
t node -s 'exit 15' -t 120 -- node "$p/node/processes.mjs"
t go -s 'exit 11' -- "$b/go/main"
t go-static -s 'exit 11' -- "$b/go/static"
t go-panic -s 'exit 2' -- "$b/go/static" panic
t rust -s 'exit 10' -- "$b/rust/main"
t rust-overflow -s 'signal 6' -o -- "$b/rust/main" overflow
t R -s 'exit 7' -- Rscript --vanilla "$p/r/system.R"
t R-file -s 'exit 7' -- R --vanilla -s -f "$p/r/system.R"
t redis -t 90 -o -- bash "$p/shell/redis.sh"
