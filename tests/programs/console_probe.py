"""What pipes do at stdin and stdout: RESULTS gets one line a check, the same natively and with the console shield. stdin has to be input(), stdout is a pipe
that is read to its end. `input` prints that input."""
import errno
import fcntl
import os
import select
import signal
import stat
import struct
import subprocess
import sys
import termios
import threading
import time

LINES = b"".join(b"line %d\n" % i for i in range(1, 2001))


def name_of(call, *args, **kwargs):
    """What it answers, or the name of its error."""
    try:
        got = call(*args, **kwargs)
    except OSError as e:
        return errno.errorcode[e.errno]
    except Exception as e:  # pylint: disable=broad-except
        return type(e).__name__
    return got


def main(results):
    def say(*words):
        print(*words, file=results, flush=True)

    # what they are
    say("isatty", [os.isatty(fd) for fd in range(2)])
    say("kind", [stat.S_IFMT(os.fstat(fd).st_mode) == stat.S_IFIFO for fd in range(2)], [os.fstat(fd).st_size for fd in range(2)])
    say("seek", [name_of(os.lseek, fd, 0, os.SEEK_CUR) for fd in range(2)])
    say("pread", name_of(os.pread, 0, 1, 0), "pwrite", name_of(os.pwrite, 1, b"x", 0))
    say("truncate", name_of(os.ftruncate, 1, 0))
    say("tcgetattr", name_of(fcntl.ioctl, 0, termios.TCGETS, b"\0" * 60), name_of(fcntl.ioctl, 1, termios.TIOCGWINSZ, b"\0" * 8))
    say("modes", [fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE for fd in range(2)])
    say("wrong way", name_of(os.write, 0, b"x"), name_of(os.read, 1, 1))
    say("bad buffer", name_of(os.writev, 1, [b""]), name_of(os.write, 1, b""))

    # readiness
    def polled(fd, events, ms):
        p = select.poll()
        p.register(fd, events)
        return [e & events for _, e in p.poll(ms)]

    say("poll", polled(0, select.POLLIN, 5000), polled(1, select.POLLOUT, 5000))
    say("select", [len(x) for x in select.select([0], [1], [], 5)])
    ep = select.epoll()
    ep.register(0, select.EPOLLIN)
    say("epoll", [e & select.EPOLLIN for _, e in ep.poll(5)])
    say("fionread", struct.unpack("i", fcntl.ioctl(0, termios.FIONREAD, b"\0\0\0\0"))[0] > 0)

    # reading in pieces, by other numbers, in other processes
    got = b"".join(os.read(0, 1) for _ in range(7))
    copy = os.dup(0)
    got += os.read(copy, 7)
    os.close(copy)
    again = os.open("/dev/stdin", os.O_RDONLY)
    got += os.read(again, 7)
    os.close(again)
    again = os.open("/proc/self/fd/0", os.O_RDONLY)
    got += os.read(again, 7)
    os.close(again)
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(w, os.read(0, 7))
        os._exit(0)
    os.waitpid(pid, 0)
    got += os.read(r, 100)
    got += subprocess.run(["dd", "bs=7", "count=1", "status=none"], stdin=0, stdout=subprocess.PIPE, check=True).stdout
    parts = [bytearray(3), bytearray(4)]
    os.readv(0, parts)
    got += b"".join(parts)
    say("pieces", got == LINES[:49], got)

    # nothing is taken that was not asked for; what is in a pipe inside the application is as it is
    os.write(w, b"inside")
    say("inside", os.read(r, 100))
    say("wait none", [e for _, e in ep.poll(0)] != [])

    # writing: many at once, each whole
    def writer(c):
        for _ in range(200):
            os.write(1, c * 63 + b"\n")

    threads = [threading.Thread(target=writer, args=(bytes([c]),)) for c in b"abcd"]
    for t in threads:
        t.start()
    children = []
    for c in b"efgh":
        pid = os.fork()
        if pid == 0:
            writer(bytes([c]))
            os._exit(0)
        children.append(pid)
    for t in threads:
        t.join()
    for pid in children:
        os.waitpid(pid, 0)
    say("written", os.writev(1, [b"v1", b"", b"v2\n"]))
    with open(__file__, "rb") as f:
        say("sendfile", os.sendfile(1, f.fileno(), 0, 100))
        say("copy_file_range", name_of(os.copy_file_range, f.fileno(), 1, 10) in ("EINVAL", "EBADF", "EXDEV"))
    out = os.open("/dev/stdout", os.O_WRONLY)
    os.write(out, b"\nby /dev/stdout\n")
    os.close(out)
    subprocess.run("echo by a shell; exec /bin/echo and another; exit 0", shell=True, check=True)
    sys.stdout.flush()

    # without waiting: what fits goes, then EAGAIN, then it is ready again (the reader is slow for a while)
    os.write(1, b"SLOW\n")
    fcntl.fcntl(1, fcntl.F_SETFL, fcntl.fcntl(1, fcntl.F_GETFL) | os.O_NONBLOCK)
    block, total, full, again = b"n" * 999 + b"\n", 0, False, True
    for _ in range(2000):
        answer = name_of(os.write, 1, block)
        if answer == "EAGAIN":
            full = True
            again = again and polled(1, select.POLLOUT, 30000) == [select.POLLOUT]
            continue
        total += answer
        if full and total % 1000 == 0 and total > 150000:
            break
    say("nonblocking", full, again, total > 150000)
    while total % 1000:  # to the end of a line
        select.select([], [1], [], 30)
        answer = name_of(os.write, 1, block[total % 1000:])
        total += answer if answer != "EAGAIN" else 0
    fcntl.fcntl(1, fcntl.F_SETFL, fcntl.fcntl(1, fcntl.F_GETFL) & ~os.O_NONBLOCK)

    # a signal in the middle of waiting for input: the rest is read first, so that there is nothing
    rest = b""
    while len(rest) < len(LINES) - 49:
        rest += os.read(0, 10000)
    say("rest", rest == LINES[49:])
    seen = []
    signal.signal(signal.SIGALRM, lambda *a: seen.append(1))
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    say("end", os.read(0, 10), os.read(0, 10), polled(0, select.POLLIN, 1000) != [])
    signal.setitimer(signal.ITIMER_REAL, 0)
    time.sleep(0.05)
    os.write(1, b"END\n")


if sys.argv[1] == "input":
    sys.stdout.buffer.write(LINES)
else:
    with open(sys.argv[1], "w", encoding="ascii") as file:
        main(file)
