#!/bin/sh
# Programs in a root directory that has no /proc: jail.sh STATIC-PROGRAM. Needs root.
# shellcheck disable=SC2016
set -e
mkdir -p jail/bin jail/lib64 jail/lib/x86_64-linux-gnu
cp /bin/dash jail/bin/sh
cp /bin/ls jail/bin/
cp /lib64/ld-linux-x86-64.so.2 jail/lib64/
for l in $(ldd /bin/ls /bin/sh | grep -o '/lib/[^ ]*'); do cp "$l" jail/lib/x86_64-linux-gnu/; done
cp "$1" jail/static
printf '#!/bin/sh\necho "script $0 $#"\nexec ./bin/ls /\n' >jail/script
chmod +x jail/script
exec env -i /usr/sbin/chroot jail /bin/sh -c '
	ls /; /bin/sh -c "/bin/ls -d /bin; exit 3"; echo $?
	/static 4 x; echo $?
	cd /bin; ./ls -d .; cd ../; ./script a b
	./none; echo $?
	i=0; while [ $i -lt 20 ]; do x=$(./bin/sh -c "echo $i"); i=$((i + 1)); done; echo $x
	exec /bin/sh -c "exec /bin/sh -c \"exit 6\""'
