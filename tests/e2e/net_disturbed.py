#!/usr/bin/env python3
"""The network shield where the network is an enemy: processes killed in the middle of a transfer, a relay that changes the stream of records, and a
link between two network namespaces that loses, repeats, delays, reorders and damages packets and is cut. Never a wrong byte, never a hang, the right errno.

Both ends are net_disturbed_peer.py under the runtime. SCONE_BIN names the directory of the programs. NET_SEED: of what is random (printed).
"""

import contextlib
import ctypes
import fcntl
import json
import os
import random
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '../lib'))
from cas_harness import BIN, main  # noqa: E402

RUNTIME = os.path.join(BIN, 'scone-runtime')
PEER = os.path.join(HERE, 'net_disturbed_peer.py')
PREFIX = 'SCONE_NETWORK_SHIELD'
LIMIT = 60  # seconds for what must not hang; natively it takes less than one
SEED = int(os.environ.get('NET_SEED') or random.SystemRandom().randrange(1 << 32))
rng = random.Random(SEED)
GONE = ('ECONNRESET', 'EPIPE')


# --- certificates and both ends ----------------------------------------------------------------------------------------------------------


def make_pki(base):
    """PEM of (server, client, CA)."""
    def path(name):
        return os.path.join(base, name)

    def openssl(*words):
        subprocess.run(['openssl', *words], check=True, capture_output=True, timeout=60)
    ec = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
    openssl('req', '-x509', *ec, '-keyout', path('ca.key'), '-out', path('ca.crt'), '-subj', '/CN=ca', '-days', '2', '-addext',
            'basicConstraints=critical,CA:TRUE', '-addext', 'keyUsage=critical,keyCertSign')
    for name, usage in (('server', 'serverAuth'), ('client', 'clientAuth')):
        with open(path(name + '.ext'), 'w', encoding='ascii') as f:
            f.write(f'basicConstraints=critical,CA:FALSE\nsubjectAltName=DNS:{name}.test\nextendedKeyUsage={usage}\n')
        openssl('req', *ec, '-keyout', path(name + '.key'), '-out', path(name + '.csr'), '-subj', f'/CN={name}')
        openssl('x509', '-req', '-in', path(name + '.csr'), '-CA', path('ca.crt'), '-CAkey', path('ca.key'), '-CAcreateserial', '-out',
                path(name + '.crt'), '-days', '2', '-extfile', path(name + '.ext'))

    def read(*names):
        return ''.join(open(path(n), encoding='ascii').read() for n in names)
    return read('server.key', 'server.crt', 'ca.crt'), read('client.key', 'client.crt', 'ca.crt')


class Peer:
    """One end, whose lines are collected."""

    def __init__(self, base, words, environment, before=()):
        self.log = os.path.join(base, f'{words[0]}.{rng.randrange(1 << 30)}.log')
        self.results, self.more = [], threading.Condition()
        self.process = subprocess.Popen([*before, RUNTIME, '--', sys.executable, PEER, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=open(self.log, 'wb'), text=True, bufsize=1, env={**os.environ, **environment}, start_new_session=True)
        threading.Thread(target=self._collect, daemon=True).start()

    def _collect(self):
        for line in self.process.stdout:
            with self.more:
                self.results.append(json.loads(line) if line.startswith('{') else line.strip())
                self.more.notify_all()

    def find(self, wanted, seconds=LIMIT):
        """The first line for which it holds; None: it does not come in time."""
        end = time.monotonic() + seconds
        with self.more:
            while True:
                for r in self.results:
                    if wanted(r):
                        return r
                if not self.more.wait(max(0, end - time.monotonic())) and time.monotonic() >= end:
                    return None

    def of(self, number, seconds=LIMIT):
        return self.find(lambda r: isinstance(r, dict) and r['id'] == number, seconds)

    def dial(self, number, source, address, port, up, down, ms=8000):
        self.process.stdin.write(f'{number} {source} {address} {port} {up} {down} {ms}\n')
        self.process.stdin.flush()

    def kill(self):
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()

    def said(self):
        with open(self.log, encoding='utf-8', errors='replace') as f:
            return f.read()


class Pair:
    """A server and a client under the shield; the client may have to go another way (port) to the server."""

    def __init__(self, base, address='127.0.0.1', port=None, way=None, before_server=(), before_client=(), words='serve'):
        self.base, self.address = base, address
        self.port = port or free_port()
        self.way = way or self.port
        server, client = make_pki(base)
        self.rules = {
            f'{PREFIX}_SERVER_S': 'protected', f'{PREFIX}_SERVER_S_PORT': f'TCP:{self.port}', f'{PREFIX}_SERVER_S_IDENTITY': server,
            f'{PREFIX}_SERVER_S_CLIENT_DNS_NAME': 'client.test', f'{PREFIX}_CLIENT_C': 'protected',
            f'{PREFIX}_CLIENT_C_DESTINATION': f'TCP:server.test:{self.way}', f'{PREFIX}_CLIENT_C_DESTINATION_IP': '*',
            f'{PREFIX}_CLIENT_C_IDENTITY': client}
        self.before, self.words = (before_server, before_client), words
        self.server = self.client = None

    def start_server(self):
        self.server = Peer(self.base, [self.words, self.address, str(self.port)], self.rules, self.before[0])
        if not self.server.find(lambda r: r == 'listening'):
            raise OSError('the server does not listen: ' + self.server.said()[-300:])

    def start_client(self):
        self.client = Peer(self.base, ['dial'], self.rules, self.before[1])

    def __enter__(self):
        self.start_server()
        self.start_client()
        return self

    def __exit__(self, *_):
        for p in (self.server, self.client):
            if p:
                p.kill()

    def dial(self, number, up, down, source='-', ms=8000):
        self.client.dial(number, source, self.address, self.way, up, down, ms)


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def whole(r):
    return bool(r) and not r['wrong'] and r['read'] == 'end' and r['write'] == 'ok' and r['got'] == r['want']


# --- kill -9 -----------------------------------------------------------------------------------------------------------------------------


def test_killed(checks, base):
    """Whoever stays has a right beginning of the stream, and is told that it was cut."""
    huge = 1 << 34
    with Pair(base) as pair:
        pair.dial(1, 200000, 200000)
        checks.check('whole_before_any_kill', whole(pair.client.of(1)) and whole(pair.server.of(1)), (pair.client.results, pair.server.said()))
        for i in range(6):
            number, victim = 10 + i, ('server', 'client')[i // 2 % 2]
            stays = pair.client if victim == 'server' else pair.server
            pair.dial(number, huge, huge if i % 3 else 0)
            time.sleep(rng.uniform(0.3, 1.5))
            (pair.server if victim == 'server' else pair.client).kill()
            r = stays.of(number)
            # One that was killed before the handshake was over has left no stream at all.
            good = r is None and victim == 'client' and stays.of(-1, 1) or r and not r['wrong'] and (
                r['read'] in ('ECONNREFUSED', *GONE) if 'connect' in r else r['read'] in GONE if r['want'] else r['read'] in ('end', *GONE) and r['write'] in GONE)
            checks.check(f'killed_{victim}_{i}', good, r or stays.said()[-300:])
            if victim == 'server':
                pair.start_server()
            else:
                pair.start_client()
        pair.dial(40, 300000, 300000)
        checks.check('whole_after_all_kills', whole(pair.client.of(40)) and whole(pair.server.of(40)), (pair.client.results[-1:], pair.server.said()[-300:]))


def test_sharer_killed(checks, base):
    """Of two processes that have a connection one is killed while it writes; the other goes on with it, or both sides are told that it is over."""
    ends = []
    with Pair(base, words='share') as pair:
        for number in range(1000, 1008):
            pair.dial(number, 0, 200000)
            c, s = pair.client.of(number), pair.server.of(number)
            went_on = c and s and c['read'] == 'end' and c['got'] == 200000 and s['write'] == 'ok'
            over = c and s and c['read'] in GONE and s['write'] in GONE + ('ok',)
            ends.append(bool(went_on))
            checks.check(f'sharer_killed_{number - 1000}', (went_on or over) and not c['wrong'] and c['first'] > 0, (c, s, pair.server.said()[-200:]))
    print(f'# {sum(ends)} of {len(ends)} connections went on', flush=True)


# --- a relay that changes the stream -----------------------------------------------------------------------------------------------------


class Direction:
    """Records of one direction on their way; change(index, record, earlier records, those of the other direction) gives what goes out, None: the end,
    'reset': a reset."""

    def __init__(self, into, out, change, seen, other):
        self.into, self.out, self.change, self.seen, self.other = into, out, change, seen, other
        self.pending = b''

    def record(self):
        while len(self.pending) < 5 or len(self.pending) < 5 + int.from_bytes(self.pending[3:5], 'big'):
            part = self.into.recv(65536)
            if not part:
                return None
            self.pending += part
        n = 5 + int.from_bytes(self.pending[3:5], 'big')
        record, self.pending = self.pending[:n], self.pending[n:]
        return record

    def run(self):
        try:
            while True:
                record = self.record()
                if record is None:
                    break
                out = self.change(len(self.seen), record, self.seen, self.other)
                self.seen.append(record)
                if out == 'reset':
                    self.out.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
                    self.out.close()
                    self.into.shutdown(socket.SHUT_RDWR)
                    return
                if out is None:
                    break
                if isinstance(out, tuple): # the last bytes
                    self.out.sendall(out[0])
                    break
                self.out.sendall(out)
            self.out.shutdown(socket.SHUT_WR)
            while self.into.recv(65536): # what comes after the end goes nowhere
                pass
        except OSError:
            for s in (self.into, self.out):
                with contextlib.suppress(OSError):
                    s.shutdown(socket.SHUT_RDWR)


class Relay:
    """Between a client, which is known by its source address, and the server."""

    def __init__(self, to):
        self.to, self.changes = to, {}
        self.listener = socket.socket()
        self.listener.bind(('127.0.0.1', 0))
        self.listener.listen(64)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            client, source = self.listener.accept()
            server = socket.create_connection(('127.0.0.1', self.to))
            up, down = self.changes[source[0]]
            seen = [], []
            for d in (Direction(client, server, up, *seen), Direction(server, client, down, *seen[::-1])):
                threading.Thread(target=d.run, daemon=True).start()


def honest(_, record, *__):
    return record


def at(k, change):
    """change(record, earlier, other) at record k or, where that is a function, where it holds."""
    def run(index, record, seen, other):
        hit = k(index, record) if callable(k) else index == k
        return change(record, seen, other) if hit else record
    return run


def flipped(where):
    def change(record, *_):
        p = bytearray(record)
        i = where if where >= 0 else rng.randrange(5, len(p)) if where == -1 else len(p) + where
        p[i] ^= 1 << rng.randrange(8)
        return bytes(p)
    return change


def swapped(k):
    """Records k and k + 1 in the other order."""
    def run(index, record, seen, _):
        if index == k:
            return b''
        return record + seen[k] if index == k + 1 else record
    return run


def is_end(index, record):
    """Only alerts and key updates are so short once data flows; the ends send neither tickets nor key updates here."""
    return index > 8 and len(record) == 5 + 2 + 1 + 16


def tampers():
    """(name, change, does it come after all data)."""
    k = rng.randrange(12, 30)
    yield 'flip_type', at(k, flipped(0)), False
    yield 'flip_version', at(k, flipped(1)), False
    yield 'flip_length_high', at(k, lambda r, *_: r[:3] + bytes([r[3] ^ 0x40]) + r[4:]), False
    yield 'flip_length_low', at(k, flipped(4)), False
    yield 'flip_body', at(k, flipped(-1)), False
    yield 'flip_tag', at(k, flipped(-2)), False
    yield 'drop', at(k, lambda *_: b''), False
    yield 'repeat', at(k, lambda r, *_: r + r), False
    yield 'swap', swapped(k), False
    yield 'replay_of_an_earlier_one', at(k, lambda r, seen, _: seen[-3] + r), False
    yield 'reflect', at(k, lambda r, _, other: other[-1] + r), False
    yield 'insert_plaintext', at(k, lambda r, *_: b'\x17\x03\x03\x00\x20' + bytes(32) + r), False
    yield 'insert_handshake', at(k, lambda r, *_: b'\x16\x03\x03\x00\x05' + b'\x18\x00\x00\x01\x00' + r), False
    yield 'insert_ccs', at(k, lambda r, *_: b'\x14\x03\x03\x00\x01\x01' + r), False
    yield 'insert_alert', at(k, lambda r, *_: b'\x15\x03\x03\x00\x02\x01\x00' + r), False
    yield 'truncate_within', at(k, lambda r, *_: (r[:rng.randrange(1, len(r))],)), False
    yield 'truncate_between', at(k, lambda *_: None), False
    yield 'reset', at(k, lambda *_: 'reset'), False
    yield 'shorten', at(k, lambda r, *_: r[:3] + (len(r) - 6).to_bytes(2, 'big') + r[5:-1]), False
    yield 'split', at(k, lambda r, *_: r[:3] + (1000).to_bytes(2, 'big') + r[5:1005] + r[:3] + (len(r) - 1005).to_bytes(2, 'big') + r[1005:]), False
    yield 'join', at(k, lambda r, seen, _: r[:3] + (len(r) - 5 + 16).to_bytes(2, 'big') + r[5:] + seen[-1][5:21]), False
    yield 'end_without_notify', at(is_end, lambda *_: None), True
    yield 'end_altered', at(is_end, flipped(-1)), True


def test_relay(checks, base):
    port = free_port()
    relay = Relay(port)
    cases = [(name, direction, change, late) for direction in ('up', 'down') for name, change, late in tampers()]
    with Pair(base, port=port, way=relay.port) as pair:
        def go(number, up, down):
            source = f'127.0.1.{number}'
            relay.changes[source] = up, down
            pair.dial(number, 700000, 700000, source)
        go(1, honest, honest)
        go(2, honest, honest)
        checks.check('relay_honest', all(whole(p.of(n)) for p in (pair.client, pair.server) for n in (1, 2)), (pair.client.results, pair.server.results))
        for start in range(0, len(cases), 6):
            batch = list(enumerate(cases))[start:start + 6]
            for i, (_, direction, change, _) in batch:
                go(10 + i, *((change, honest) if direction == 'up' else (honest, change)))
            for i, (name, direction, _, late) in batch:
                c, s = pair.client.of(10 + i), pair.server.of(10 + i)
                into, other = (s, c) if direction == 'up' else (c, s)
                good = c and s and not c['wrong'] and not s['wrong'] and into['read'] == 'ECONNRESET' and (
                    into['got'] == into['want'] if late else into['got'] < into['want']) and other['read'] in ('end', *GONE)
                checks.check(f'relay_{direction}_{name}', good, (c, s))
        checks.check('relay_says_why', ', wanted ' in pair.server.said() and ', wanted ' in pair.client.said(), pair.server.said()[-300:])
        for i, (direction, k, change) in enumerate((d, k, f) for d in ('up', 'down') for k in range(3) for f in (flipped(-1), lambda *_: b'', lambda r, *_: r + r,
                                                                                                               lambda r, *_: (r[:len(r) // 2],), lambda *_: 'reset')):
            number = 100 + i
            go(number, *((at(k, change), honest) if direction == 'up' else (honest, at(k, change))))
            c = pair.client.of(number, 30)
            good = c and not c['wrong'] and c['got'] == 0 and c['read'] in ('ECONNREFUSED', 'ETIMEDOUT', *GONE)
            s = [r for r in pair.server.results if isinstance(r, dict) and (r['id'] == number or r['id'] == -1)]
            checks.check(f'relay_handshake_{direction}_{k}_{i % 5}', good and not any(r['wrong'] or r['got'] for r in s), (c, s))
        go(200, honest, honest)
        checks.check('relay_honest_again', whole(pair.client.of(200)) and whole(pair.server.of(200)), (pair.client.results[-1:], pair.server.results[-1:]))


# --- a link between two namespaces --------------------------------------------------------------------------------------------------------

CLONE_NEWNET = 0x40000000
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454ca, 1, 0x1000
libc = ctypes.CDLL(None, use_errno=True)


class Namespace:
    """A network namespace with one interface that is a file here."""

    def __init__(self, base, name, address):
        null = subprocess.DEVNULL
        self.holder = subprocess.Popen(['unshare', '--net', 'sleep', '1000'], stdin=null, stdout=null, stderr=null, start_new_session=True)
        self.fd = -1
        try:
            self.open(base, name, address)
        except BaseException:
            self.end()
            raise

    def open(self, base, name, address):
        self.enter = ['nsenter', f'--net=/proc/{self.holder.pid}/ns/net']
        end = time.monotonic() + 10
        while os.readlink(f'/proc/{self.holder.pid}/ns/net') == os.readlink('/proc/self/ns/net'):
            if time.monotonic() > end:
                raise OSError('no network namespace')
            time.sleep(0.02)
        node = '/dev/net/tun'
        if not os.path.exists(node):
            node = os.path.join(base, 'tun-' + name)
            os.mknod(node, 0o600 | 0o020000, os.makedev(10, 200))
        home, there = (os.open(f'/proc/{p}/ns/net', os.O_RDONLY) for p in ('self', self.holder.pid))
        try:
            self.check(libc.setns(there, CLONE_NEWNET))
            self.fd = os.open(node, os.O_RDWR | os.O_NONBLOCK)
            fcntl.ioctl(self.fd, TUNSETIFF, struct.pack('16sH22x', b'tun0', IFF_TUN | IFF_NO_PI))
        finally:
            self.check(libc.setns(home, CLONE_NEWNET))
            os.close(home)
            os.close(there)
        for words in (['addr', 'add', address + '/24', 'dev', 'tun0'], ['link', 'set', 'tun0', 'up'], ['link', 'set', 'lo', 'up']):
            subprocess.run([*self.enter, 'ip', *words], check=True, timeout=20)

    @staticmethod
    def check(rc):
        if rc:
            raise OSError(ctypes.get_errno(), 'setns')

    def end(self):
        if self.fd >= 0:
            os.close(self.fd)
        self.holder.kill()
        self.holder.wait()


def checksum_mended(packet):
    """The packet with a TCP checksum that fits, so that its receiver's kernel takes the damage for data."""
    head = (packet[0] & 15) * 4
    p = bytearray(packet)
    p[head + 16:head + 18] = b'\0\0'
    body = bytes(p[12:20]) + struct.pack('!HH', 6, len(p) - head) + bytes(p[head:])
    total = sum(struct.unpack(f'!{(len(body) + 1) // 2}H', body + b'\0' * (len(body) % 2)))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    p[head + 16:head + 18] = struct.pack('!H', ~total & 0xffff)
    return bytes(p)


class Link:
    """Packets between two namespaces. weather: lose, twice, late, damage (chances), cut."""

    def __init__(self, a, b):
        self.fds = {a.fd: b.fd, b.fd: a.fd}
        self.weather = {}
        self.queue = [] # (when, to, packet)
        self.seen = dict.fromkeys(('all', 'lose', 'twice', 'late', 'damage'), 0)
        self.over = False
        self.rng = random.Random(rng.random())
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def chance(self, what):
        hit = self.rng.random() < self.weather.get(what, 0)
        self.seen[what] += hit
        return hit

    def take(self, to, packet, now):
        self.seen['all'] += 1
        if self.weather.get('cut') or self.chance('lose'):
            return
        head = (packet[0] & 15) * 4
        if packet[0] >> 4 == 4 and packet[9] == 6 and len(packet) > head + 60 + 40 and self.chance('damage'):
            p = bytearray(packet)
            p[self.rng.randrange(head + (packet[head + 12] >> 4) * 4, len(p))] ^= 1 << self.rng.randrange(8)
            packet = checksum_mended(p)
        self.queue.append((now + (self.rng.uniform(0.001, 0.03) if self.chance('late') else 0), to, packet))
        if self.chance('twice'):
            self.queue.append((now + self.rng.uniform(0, 0.02), to, packet))

    def run(self):
        while not self.over:
            due = min((w for w, _, _ in self.queue), default=None)
            wait = 0.05 if due is None else max(0, min(0.05, due - time.monotonic()))
            for fd in select.select(list(self.fds), [], [], wait)[0]:
                for _ in range(64):
                    try:
                        self.take(self.fds[fd], os.read(fd, 65536), time.monotonic())
                    except BlockingIOError:
                        break
            now = time.monotonic()
            ready = [q for q in self.queue if q[0] <= now]
            self.queue = [q for q in self.queue if q[0] > now]
            for _, to, packet in ready:
                try:
                    os.write(to, packet)
                except OSError:
                    pass # the namespace's queue is full: lost

    def end(self):
        self.over = True
        self.thread.join()


def test_link(checks, base):
    missing = [p for p in ('ip', 'unshare', 'nsenter') if not shutil.which(p)]
    if os.geteuid() or missing:
        print('# no namespaces here (' + ('not root' if os.geteuid() else ', '.join(missing) + ' not installed') + '): the link is not tested', flush=True)
        return
    spaces, link = [], None
    try:
        for name, address in (('a', '10.9.8.1'), ('b', '10.9.8.2')):
            spaces.append(Namespace(base, name, address))
        link = Link(*spaces)
        with Pair(base, address='10.9.8.1', port=4433, before_server=spaces[0].enter, before_client=spaces[1].enter) as pair:
            link_weather(checks, pair, link)
            link_cuts(checks, pair, link)
    finally:
        if link:
            link.end()
        for s in spaces:
            s.end()


def link_weather(checks, pair, link):
    weathers = {'calm': {}, 'loss': {'lose': 0.02}, 'repeats': {'twice': 0.2}, 'reordered': {'late': 0.3}, 'all': {'lose': 0.01, 'twice': 0.05, 'late': 0.1}}
    for i, (name, weather) in enumerate(weathers.items()):
        link.weather = weather
        before = dict(link.seen)
        for number in (2 * i + 10, 2 * i + 11):
            pair.dial(number, 1500000, 1500000)
        good = all(whole(p.of(number, 120)) for number in (2 * i + 10, 2 * i + 11) for p in (pair.client, pair.server))
        done = {what: link.seen[what] - before[what] for what in link.seen}
        checks.check(f'link_{name}', good and all(done[what] for what in weather), (done, pair.client.results[-2:], pair.server.results[-2:]))
    link.weather = {'damage': 0.01}
    for number in (30, 31):
        pair.dial(number, 3000000, 3000000)
    ends = [p.of(number) or p.of(-1, 1) for number in (30, 31) for p in (pair.client, pair.server)]
    checks.check('link_damaged', all(r and not r['wrong'] for r in ends) and any(r['read'] == 'ECONNRESET' for r in ends) and link.seen['damage'], ends)
    link.weather = {}


def link_cuts(checks, pair, link):
    pair.dial(40, 6000000, 6000000)
    pair.dial(41, 6000000, 6000000)
    for _ in range(3):
        time.sleep(0.4)
        link.weather = {'cut': True}
        time.sleep(0.7)
        link.weather = {}
    checks.check('link_cut_and_mended', all(whole(p.of(n)) for n in (40, 41) for p in (pair.client, pair.server)), (pair.client.results[-2:], pair.server.results[-2:]))
    for number in (50, 51):
        pair.dial(number, 1 << 34, 1 << 34, ms=3000)
    time.sleep(1.5)
    link.weather = {'cut': True}
    ends = [p.of(n) for n in (50, 51) for p in (pair.client, pair.server)]
    checks.check('link_cut_for_good', all(r and not r['wrong'] and r['read'] in ('ETIMEDOUT', 'ECONNRESET', 'EPIPE') and r['got'] for r in ends), ends)
    link.weather = {}
    pair.dial(60, 100000, 100000)
    checks.check('link_whole_after_it', whole(pair.client.of(60)) and whole(pair.server.of(60)), (pair.client.results[-1:], pair.server.results[-1:]))


if __name__ == '__main__':
    if not os.access(RUNTIME, os.X_OK):
        sys.exit(f'not ok runtime: {RUNTIME} is not built\n0 passed, 1 failed')
    print(f'# seed {SEED}', flush=True)
    tests = [test_killed, test_sharer_killed, test_relay, test_link]
    main(*[t for t in tests if len(sys.argv) == 1 or t.__name__ in sys.argv[1:]])
