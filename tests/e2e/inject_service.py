"""Run by inject.sh as an attested service: looks at its injected files in every way that Python has. One line a check, as inject.sh prints.

WANT_CONF, WANT_KEY: SHA-256 of what the two files must hold, from the untrusted side, which knows the hash only.
"""
import errno
import hashlib
import mmap
import os
import resource
import select
import shutil
import stat
import subprocess
import sys
import threading

conf, key, scratch = sys.argv[1:4]
want_conf, want_key = os.environ["WANT_CONF"], os.environ["WANT_KEY"]


def digest(data):
    return hashlib.sha256(data).hexdigest()


def check(name, seen, wanted):
    if seen == wanted:
        print(f"ok {name}")
    else:
        print(f"not ok {name}: {seen!r}, wanted {wanted!r}")


def errno_of(f, *args):
    try:
        f(*args)
    except OSError as e:
        return errno.errorcode[e.errno]
    return "no error"


with open(conf, "rb") as f:
    text = f.read()
with open(key, "rb") as f:
    key_text = f.read()
check("python: host file", digest(text), want_conf)
check("python: file on no disk", digest(key_text), want_key)
check("python: stat shows the size with the secret", os.stat(conf).st_size, len(text))
check("python: fstat too", os.fstat(os.open(conf, os.O_RDONLY)).st_size, len(text))
check("python: mode of the session", stat.S_IMODE(os.stat(key).st_mode), 0o440)
check("python: mode of the host's file", stat.S_IMODE(os.stat(conf).st_mode), 0o640)
check("python: exists", (os.path.exists(key), os.access(key, os.R_OK), os.path.isfile(key)), (True, True, True))

os.chdir(os.path.dirname(conf))
check("python: relative path", digest(open(os.path.basename(conf), "rb").read()), want_conf)
os.symlink(conf, scratch + "/soft")
os.link(conf, scratch + "/hard")
os.symlink(key, scratch + "/to-memory")
check("python: symlink", digest(open(scratch + "/soft", "rb").read()), want_conf)
check("python: hard link", digest(open(scratch + "/hard", "rb").read()), want_conf)
check("python: symlink to a file on no disk", digest(open(scratch + "/to-memory", "rb").read()), want_key)

fd = os.open(conf, os.O_RDONLY)
with mmap.mmap(fd, 0, prot=mmap.PROT_READ, flags=mmap.MAP_PRIVATE) as m:
    check("python: mmap private", digest(m[:]), want_conf)
with mmap.mmap(fd, 0, access=mmap.ACCESS_READ) as m:
    check("python: mmap shared read-only", digest(m[:]), want_conf)
with mmap.mmap(fd, 0, access=mmap.ACCESS_COPY) as m:
    m[0:4] = b"KEEP"
    check("python: mmap copy on write", digest(open(conf, "rb").read()), want_conf)
rw = os.open(conf, os.O_RDWR)
check("python: mmap shared writable refused", errno_of(mmap.mmap, rw, 0), "ENODEV")
check("python: write to a read-only descriptor", errno_of(os.write, fd, b"x"), "EBADF")
check("python: pread", os.pread(fd, 7, 3), text[3:10])
parts = [bytearray(2), bytearray(5)]
os.preadv(fd, parts, 1)
check("python: preadv", bytes(parts[0] + parts[1]), text[1:8])

# one offset between descriptors and processes
os.lseek(fd, 5, os.SEEK_SET)
two = os.dup(fd)
check("python: dup shares the offset", os.read(two, 3) + os.read(fd, 3), text[5:11])
os.lseek(fd, 0, os.SEEK_SET)
r, w = os.pipe()
pid = os.fork()
if pid == 0:
    os.write(w, os.read(fd, 6))
    os._exit(0)
os.waitpid(pid, 0)
check("python: forked child reads", os.read(r, 100), text[:6])
check("python: and has moved the parent's offset", os.read(fd, 4), text[6:10])
check("python: lseek end", os.lseek(fd, -2, os.SEEK_END), len(text) - 2)
os.lseek(fd, 0, os.SEEK_SET)
child = [sys.executable, "-c", "import sys; sys.stdout.buffer.write(sys.stdin.buffer.raw.read(4))"]
check("python: descriptor as standard input of an executed child", subprocess.run(child, stdin=fd, stdout=subprocess.PIPE).stdout, text[:4])
check("python: and its offset", os.read(fd, 4), text[4:8])
kept = os.dup(fd)
child = [sys.executable, "-c", f"import os; os.lseek({kept}, 2, 0); os.write(1, os.read({kept}, 9))"]
check("python: descriptor kept over exec", subprocess.run(child, pass_fds=[kept], stdout=subprocess.PIPE).stdout, text[2:11])
check("python: descriptor closed by exec", subprocess.run(child, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout, b"")
check("python: cat in a child", digest(subprocess.run(["cat", conf, key], stdout=subprocess.PIPE).stdout), digest(text + key_text))
r, w = os.pipe()
actions = [(os.POSIX_SPAWN_OPEN, 0, key, os.O_RDONLY, 0), (os.POSIX_SPAWN_DUP2, w, 1)]
pid = os.posix_spawn("/bin/cat", ["cat"], os.environ, file_actions=actions)
check("python: opened for a spawned child", (os.waitpid(pid, 0)[1], os.read(r, 65536)), (0, key_text))

seen = []
threads = [threading.Thread(target=lambda: [seen.append(digest(open(conf, "rb").read())) for _ in range(50)]) for _ in range(4)]
for t in threads:
    t.start()
for t in threads:
    t.join()
check("python: four threads", (len(seen), set(seen)), (200, {want_conf}))

check("python: poll", select.select([fd], [], [], 0)[0], [fd])
r, w = os.pipe()
os.lseek(fd, 0, os.SEEK_SET)
check("python: sendfile", (os.sendfile(w, fd, 0, len(text)), os.read(r, 65536)), (len(text), text))
check("python: splice refused", errno_of(os.splice, fd, w, 10), "EINVAL")
check("python: readlink of the descriptor", os.readlink(f"/proc/self/fd/{fd}"), conf)
check("python: open of the descriptor", digest(open(f"/proc/self/fd/{fd}", "rb").read()), want_conf)
check("python: own memory file", errno_of(open, "/proc/self/mem", "rb"), "EACCES")
check("python: its own program", os.readlink("/proc/self/exe"), os.path.realpath(sys.executable))
check("python: opened, too", os.path.samefile("/proc/self/exe", sys.executable), True)
check("python: no core dumps", resource.getrlimit(resource.RLIMIT_CORE), (0, 0))

# changes are this process' alone
with open(conf, "r+b") as f:
    f.write(b"CHANGED")
    f.seek(0, 2)
    f.write(b"more")
check("python: written in memory", open(conf, "rb").read(), b"CHANGED" + text[7:] + b"more")
check("python: size follows", os.stat(conf).st_size, len(text) + 4)
check("python: an older descriptor sees it", os.pread(fd, 7, 0), b"CHANGED")
check("python: a child gets it too", subprocess.run(["cat", conf], stdout=subprocess.PIPE).stdout[:7], b"CHANGED")
pid = os.fork()
if pid == 0:
    with open(conf, "wb") as f:
        f.write(b"child")
    os._exit(0 if open(conf, "rb").read() == b"child" else 1)
check("python: a child changes its own", (os.waitpid(pid, 0)[1], open(conf, "rb").read()[:7]), (0, b"CHANGED"))
os.truncate(conf, 3)
check("python: truncate", open(conf, "rb").read(), b"CHA")
with open(conf, "ab") as f:
    f.write(b"!" * 5000)
check("python: append", (os.stat(conf).st_size, open(conf, "rb").read(4)), (5003, b"CHA!"))
big = os.open(key, os.O_RDWR)
check("python: limit of a file", errno_of(os.pwrite, big, b"x", 16 << 20), "EFBIG")
check("python: exclusive creation refused", errno_of(os.open, key, os.O_CREAT | os.O_EXCL | os.O_RDWR), "EEXIST")

# an ordinary file beside them is the host's
with open(scratch + "/plain", "w") as f:
    f.write("plain")
shutil.copy(scratch + "/plain", scratch + "/plain2")
check("python: other files", open(scratch + "/plain2").read(), "plain")
