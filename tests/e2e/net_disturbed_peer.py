"""Both ends of the streams of net_disturbed.py, run under the runtime: bytes that can be checked at every offset, and one line of JSON for each end.

net_disturbed_peer.py serve ADDRESS PORT     prints "listening", then a line for each connection
net_disturbed_peer.py share ADDRESS PORT     as serve, but two processes write one after the other, and the first is killed in the middle
net_disturbed_peer.py dial                   lines "ID SOURCE ADDRESS PORT UP DOWN PATIENCE" from its input; a line for each connection, in any order

IDs from 1000 on are of connections to "share". A client says in 24 bytes which bytes it sends and wants. Connections with an odd ID do not block and wait with poll; those with an even one block.
"""

import errno
import functools
import hashlib
import json
import os
import select
import signal
import socket
import struct
import sys
import threading
import time

BLOCK = 65536
HEAD = struct.Struct('!QQQ')


@functools.lru_cache(8)
def block(number, direction, index):
    return hashlib.shake_128(f'{number} {direction} {index}'.encode()).digest(BLOCK)


def pattern(number, direction, at, n):
    """n bytes from offset at of the stream of this connection and direction."""
    first, out = at // BLOCK, b''
    while len(out) < n + at - first * BLOCK:
        out += block(number, direction, first + len(out) // BLOCK)
    return out[at - first * BLOCK:][:n]


def name_of(e):
    return errno.errorcode.get(e.errno, str(e))


class End:
    def __init__(self, s, number, side, up, down):
        self.s, self.number, self.side = s, number, side
        self.out, self.into = (up, down) if side == 'client' else (down, up)
        self.r = {'id': number, 'side': side, 'got': 0, 'want': self.into, 'wrong': False, 'read': '', 'write': '', 'sent': 0}

    def wait(self, events):
        """For connections that do not block; those that do have nothing to wait for here."""
        if self.s.gettimeout() == 0:
            p = select.poll()
            p.register(self.s, events)
            p.poll()

    def write(self):
        there = 'up' if self.side == 'client' else 'down'
        sent = 0
        try:
            while sent < self.out:
                part = pattern(self.number, there, sent, min(self.out - sent, 1 + sent * 7 % 90000))
                while part:
                    try:
                        n = self.s.send(part)
                    except BlockingIOError:
                        self.wait(select.POLLOUT)
                        continue
                    sent += n
                    part = part[n:]
            self.s.shutdown(socket.SHUT_WR)
            self.r['write'] = 'ok'
        except OSError as e:
            self.r['write'] = name_of(e)
        self.r['sent'] = sent

    def read(self):
        there = 'down' if self.side == 'client' else 'up'
        while True:
            try:
                part = self.s.recv(1 + self.r['got'] * 13 % 70000)
            except BlockingIOError:
                self.wait(select.POLLIN)
                continue
            except OSError as e:
                self.r['read'] = name_of(e)
                return
            if not part:
                self.r['read'] = 'end'
                return
            if part != pattern(self.number, there, self.r['got'], len(part)) or self.r['got'] + len(part) > self.into:
                self.r['wrong'] = True
            self.r['got'] += len(part)

    def run(self):
        began = time.monotonic()
        if self.number % 2 and self.number < 1000:
            self.s.setblocking(False)
        writer = threading.Thread(target=self.write, daemon=True)
        writer.start()
        self.read()
        if self.r['read'] != 'end':
            try:
                self.s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        writer.join()
        self.s.close()
        self.r['seconds'] = round(time.monotonic() - began, 2)
        say(self.r)


class SharedEnd(End):
    """The reader of what two processes wrote: any beginning of the first's stream, then the second's."""

    def read(self):
        first, second, ended = 0, 0, False
        try:
            while not ended:
                part = self.s.recv(60000)
                ended = not part
                if part and not second:
                    right = pattern(self.number, 'first', first, len(part))
                    same = len(os.path.commonprefix([part, right]))
                    first += same
                    part = part[same:]
                if part and not second and not self.begins(part, first):
                    self.r['wrong'] = True
                elif part and not second:
                    second = self.begins(part, first) - 1
                if part and part != pattern(self.number, 'second', second, len(part)):
                    self.r['wrong'] = True
                second += len(part)
            self.r['read'] = 'end'
        except OSError as e:
            self.r['read'] = name_of(e)
        self.r['first'], self.r['got'] = first, second

    def begins(self, part, first):
        """One more than how many bytes of the second's stream looked like the first's; 0: it does not begin here."""
        for k in range(min(9, first + 1)):
            before = pattern(self.number, 'first', first - k, k)
            if pattern(self.number, 'second', 0, k + len(part)) == before + part:
                return k + 1
        return 0


def say(r):
    sys.stdout.write(json.dumps(r) + '\n')
    sys.stdout.flush()


def patience(s, ms):
    """What a program sets that does not want to wait for a dead network."""
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, ms)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 1)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1)


def serve_one(s):
    head = b''
    try:
        patience(s, 8000)
        while len(head) < HEAD.size:
            part = s.recv(HEAD.size - len(head))
            if not part:
                break
            head += part
    except OSError as e:
        say({'id': -1, 'side': 'server', 'got': 0, 'wrong': False, 'read': name_of(e)})
        return
    if len(head) < HEAD.size:
        say({'id': -1, 'side': 'server', 'got': 0, 'wrong': False, 'read': 'end'})
        return
    number, up, down = HEAD.unpack(head)
    End(s, number, 'server', up, down).run()


def listen(address, port):
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((address, port))
    listener.listen(64)
    print('listening', flush=True)
    return listener


def serve(address, port):
    listener = listen(address, port)
    while True:
        s, _ = listener.accept()
        threading.Thread(target=serve_one, args=(s,), daemon=True).start()


def share_one(s, listener):
    number, _, down = HEAD.unpack(s.recv(HEAD.size, socket.MSG_WAITALL))
    child = os.fork()
    if child == 0:
        listener.close()
        at = 0
        while True:
            s.sendall(pattern(number, 'first', at, 50000))
            at += 50000
    time.sleep(0.05 + number * 37 % 300 / 1000)
    os.kill(child, signal.SIGKILL)
    if number % 2 == 0: # one that is dead keeps its number until it is waited for
        os.waitpid(child, 0)
    began, r = time.monotonic(), {'id': number, 'side': 'server', 'wrong': False, 'read': ''}
    try:
        for at in range(0, down, 10000):
            s.sendall(pattern(number, 'second', at, 10000))
        s.shutdown(socket.SHUT_WR)
        r['write'] = 'ok'
    except OSError as e:
        r['write'] = name_of(e)
    s.close()
    if number % 2:
        os.waitpid(child, 0)
    say({**r, 'seconds': round(time.monotonic() - began, 2)})


def share(address, port):
    listener = listen(address, port)
    while True:
        share_one(listener.accept()[0], listener)


def dial_one(number, source, address, port, up, down, ms):
    s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        patience(s, ms)
        if source != '-':
            s.bind((source, 0))
        s.connect((address, port))
        s.sendall(HEAD.pack(number, up, down))
    except OSError as e:
        say({'id': number, 'side': 'client', 'got': 0, 'wrong': False, 'read': name_of(e), 'connect': True})
        s.close()
        return
    (SharedEnd if number >= 1000 else End)(s, number, 'client', up, down).run()


def dial():
    for line in sys.stdin:
        number, source, address, *rest = line.split()
        threading.Thread(target=dial_one, args=(int(number), source, address, *map(int, rest))).start()


if __name__ == '__main__':
    if sys.argv[1] in ('serve', 'share'):
        (serve if sys.argv[1] == 'serve' else share)(sys.argv[2], int(sys.argv[3]))
    else:
        dial()
