#!/bin/sh
# A compiler, archivers, an editor of streams, version control: programs that start many others.
set -eu
cat > hello.c <<'DOC'
#include <stdio.h>
#include <stdlib.h>
#include <errno.h>
int main(int argc, char **argv)
{
	printf("hello from %d arguments\n", argc);
	return argc > 1 ? atoi(argv[1]) : 0;
}
DOC
gcc -O2 -Wall hello.c -o hello -lm
./hello 0 x
gcc -O2 -static hello.c -o hello-static
status=0; ./hello-static 5 || status=$?
echo "status $status"
printf 'int broken(' > broken.c
if gcc -c broken.c 2>/dev/null; then echo compiled; else echo "compiler refused"; fi
printf 'all: a b\na b:\n\t@echo make $@; sleep 0.01\n' > Makefile
make -j4 --output-sync=target | sort
mkdir tree; for i in 1 2 3; do seq "$i" 2000 > "tree/$i"; done
tar -C tree -cf - . | gzip -9 | gzip -dc | tar -tf - | sort
tar -czf t.tgz tree && mkdir out && tar -xzf t.tgz -C out && diff -r tree out/tree && echo same
perl -e 'my $p = fork // die; if (!$p) { exec "sh", "-c", "exit 3" } waitpid $p, 0; print "perl ", $? >> 8, "\n"; local $SIG{ALRM} = sub { print "alarm\n" }; alarm 1; select undef, undef, undef, 5;'
stat -c '%A %h' hello.c
