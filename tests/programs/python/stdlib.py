"""What a program uses of the standard library without thinking: C extensions, files, mmap, sqlite, ssl, ctypes, tempfile."""
import ctypes
import faulthandler
import glob
import json
import mmap
import os
import platform
import resource
import shutil
import sqlite3
import ssl
import sys
import tempfile
import zlib

print(sys.argv[1:], os.path.exists(sys.executable), platform.machine())
print(zlib.crc32(os.urandom(0)), json.dumps({"b": [1, 2.5, None], "a": "é"}, sort_keys=True))
with tempfile.TemporaryDirectory() as d:
    for i in range(50):
        with open(os.path.join(d, f"{i:02}"), "wb") as f:
            f.write(bytes([i]) * 10000)
    print(len(glob.glob(d + "/*")), sum(os.path.getsize(p) for p in glob.glob(d + "/*")))
    shutil.copytree(d, "copy")
with open("copy/07", "r+b") as f, mmap.mmap(f.fileno(), 0) as m:
    m[0:3] = b"new"
    m.flush()
with open("copy/07", "rb") as f:
    print(f.read(4))
db = sqlite3.connect("t.db")
db.execute("create table t (a integer, b text)")
db.executemany("insert into t values (?, ?)", [(i, str(i)) for i in range(1000)])
db.commit()
print(db.execute("select sum(a), count(distinct b) from t").fetchone())
db.close()
print(ssl.create_default_context().check_hostname)
libc = ctypes.CDLL(None)
print(libc.getpid() == os.getpid(), ctypes.string_at(ctypes.c_char_p(b"bytes")))
CMP = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int))
a = (ctypes.c_int * 5)(5, 1, 4, 2, 3)
libc.qsort(a, 5, ctypes.sizeof(ctypes.c_int), CMP(lambda x, y: x[0] - y[0]))
print(list(a))
print(resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 0, os.cpu_count() == os.sysconf("SC_NPROCESSORS_ONLN"))
sys.setrecursionlimit(5000)


def deep(n):
    return 0 if n == 0 else 1 + deep(n - 1)


print(deep(4000))
faulthandler.enable()
sys.stdout.flush()
ctypes.string_at(0)
