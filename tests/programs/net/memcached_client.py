"""memcached_client.py ADDRESS PORT SECRET: talks memcached's text protocol; prints what it found."""

import hashlib
import select
import socket
import sys

address, port, secret = sys.argv[1], int(sys.argv[2]), sys.argv[3]


class Client:
    def __init__(self):
        self.socket = socket.create_connection((address, port), timeout=60)
        self.file = self.socket.makefile("rb")

    def send(self, data):
        self.socket.sendall(data)

    def line(self):
        return self.file.readline().rstrip(b"\r\n")

    def ask(self, line):
        self.send(line + b"\r\n")
        return self.line()

    def set(self, key, value):
        self.send(b"set %s 0 0 %d\r\n%s\r\n" % (key, len(value), value))
        return self.line()

    def get(self, *keys):
        self.send(b"get " + b" ".join(keys) + b"\r\n")
        found = {}
        while (line := self.line()) != b"END":
            _, key, _, n = line.split()
            found[key] = self.file.read(int(n))
            self.file.read(2)
        return found


c = Client()
print(c.ask(b"version").split()[0].decode(), c.set(b"one", secret.encode()).decode(), c.get(b"one")[b"one"].decode())
big = (secret.encode() + b"|") * 20000
print(c.set(b"big", big).decode(), hashlib.sha256(c.get(b"big")[b"big"]).hexdigest() == hashlib.sha256(big).hexdigest())

# Two thousand commands in one go, their answers afterwards.
c.send(b"".join(b"set p:%d 0 0 %d\r\n%s\r\n" % (i, len(secret) + 1 + len(str(i)), b"%s.%d" % (secret.encode(), i)) for i in range(2000)))
print("pipelined", sum(c.line() == b"STORED" for _ in range(2000)))
got = c.get(*(b"p:%d" % i for i in range(2000)))
print("got", len(got), all(got[b"p:%d" % i] == b"%s.%d" % (secret.encode(), i) for i in range(2000)))

# Forty connections, by poll, a counter that all of them raise.
c.set(b"n", b"0")
crowd = [Client() for _ in range(40)]
poll = select.poll()
by_fd = {k.socket.fileno(): k for k in crowd}
left = {}
for k in crowd:
    k.socket.setblocking(False)
    poll.register(k.socket, select.POLLIN)
    left[k.socket.fileno()] = 25
    k.socket.send(b"incr n 1\r\n")
answers = 0
while left:
    ready = poll.poll(60000)
    if not ready:
        sys.exit(f"nothing in a minute; {len(left)} connections wait")
    for fd, event in ready:
        data = by_fd[fd].socket.recv(100)
        if not data.endswith(b"\r\n"):
            sys.exit(f"a piece of an answer: {data!r}")
        answers += 1
        left[fd] -= 1
        if left[fd]:
            by_fd[fd].socket.send(b"incr n 1\r\n")
        else:
            del left[fd]
            poll.unregister(fd)
print("answers", answers, "counter", c.get(b"n")[b"n"].decode())
for k in crowd:
    k.socket.close()
print(c.ask(b"bad command").decode(), c.ask(b"delete one").decode(), c.get(b"one"))
c.send(b"quit\r\n")
print("end", c.file.read())
