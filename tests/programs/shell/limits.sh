#!/bin/bash
# What a shell starts under a limit on the length of files gets it for its own files only; a script without an interpreter's name is EACCES.
ulimit -f 1
dd if=/dev/zero of=big bs=1k count=4 2>/dev/null
echo "dd $? $(wc -c <big)"
long=$(printf '%0100000d' 0)
export long
sh -c 'echo ${#long}'
bash -c 'exec sh -c "exec echo executed"'
printf '#!' >nobody
chmod +x nobody
./nobody
