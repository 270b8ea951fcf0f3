#!/bin/sh
# The kernel's system calls, as C: {number, "name"},
echo '#include <asm/unistd_64.h>' | "${CC:-cc}" -E -dM - | sed -nE 's/^#define __NR_([a-z_0-9]+) ([0-9]+)$/{\2, "\1"},/p'
