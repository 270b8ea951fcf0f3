#!/usr/bin/env python3
"""What CAS does with clients that are broken, slow, too large or too many. Worth running with a sanitized scone-cas too."""

import http.client
import os
import random
import re
import resource
import signal
import socket
import ssl
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../lib'))
from cas_harness import Identity, Running, main, tls  # noqa: E402

SESSIONS = '/v1/sessions'
GET = b'GET /healthz HTTP/1.1\r\nHost: cas\r\n'


def status(answer):
    parts = answer.split(b' ', 2)
    return int(parts[1]) if len(parts) > 2 and parts[0] == b'HTTP/1.1' else None


def alive(t, cas, name):
    t.check(f'alive after {name}', cas.process.poll() is None and cas.call('GET', '/healthz').status == 200, cas.tail())


def sizes(t, base):
    alice = Identity(base, 'alice')
    with Running(base) as cas:
        limit = 1024 * 1024
        body = b'name: a\nversion: "0.3"\n#' + b'x' * (limit - 24)
        assert len(body) == limit
        r = cas.call('POST', SESSIONS, body, alice)
        t.check('a body at the limit', r.status == 201, r)
        r = cas.call('POST', SESSIONS, body + b'x', alice)
        t.check('a body over the limit', r.status == 413 and r.error().startswith('LIMIT'), r)
        head = b'POST /v1/sessions HTTP/1.1\r\nHost: cas\r\nContent-Length: %d\r\n\r\n'
        t.equal('a body far over the limit, not sent', status(cas.raw(head % 10**12, alice)), 413)
        t.equal('a body far over the limit, sent', status(cas.raw(head % (8 << 20) + b'x' * (8 << 20), alice)), 413)
        t.equal('a large body without certificate', status(cas.raw(head % 100000)), 401)
        room = 16384 - len(GET) - len(b'X: \r\n\r\n')
        t.equal('a header at the limit', status(cas.raw(GET + b'Connection: close\r\nX: ' + b'y' * (room - 19) + b'\r\n\r\n')), 200)
        t.equal('a header over the limit', status(cas.raw(GET + b'X: ' + b'y' * (room + 1) + b'\r\n\r\n')), 431)
        t.equal('a header without end', status(cas.raw(b'y' * 40000)), 431)
        t.equal('a long target', status(cas.raw(b'GET /' + b'a' * 9000 + b' HTTP/1.1\r\nHost: c\r\n\r\n')), 414)
        t.equal('chunked body', status(cas.raw(
            b'POST /v1/sessions HTTP/1.1\r\nHost: c\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n', alice)), 501)
        alive(t, cas, 'sizes')
        t.equal('stops on TERM', cas.stop(), 0)


def protocol(t, base):
    alice = Identity(base, 'alice')
    with Running(base) as cas:
        t.equal('HTTP/1.0', status(cas.raw(b'GET / HTTP/1.0\r\n\r\n')), 505)
        t.equal('no Host', status(cas.raw(b'GET /healthz HTTP/1.1\r\n\r\n')), 400)
        t.equal('bare LF', status(cas.raw(b'GET /healthz HTTP/1.1\nHost: c\n\n' + b'\r\n\r\n')), 400)
        many = cas.raw(GET + b'\r\n' + GET + b'\r\n' + GET + b'Connection: close\r\n\r\n')
        t.equal('requests sent ahead are answered in turn', many.count(b'HTTP/1.1 200 OK'), 3)
        c = cas.connect(alice)
        for i in range(50):
            c.request('GET', '/v1/sessions/none' if i % 2 else '/healthz')
            if (r := c.getresponse()).status != (404 if i % 2 else 200) or not r.read():
                break
        t.equal('fifty requests on one connection', i, 49)
        c.close()
        with socket.create_connection(cas.address, 20) as s, tls(alice).wrap_socket(s) as u:
            u.sendall(b'POST /v1/sessions HTTP/1.1\r\nHost: c\r\nContent-Length: 23\r\nExpect: 100-continue\r\n\r\n')
            first = u.recv(1000)
            u.sendall(b'name: e\nversion: "0.3"\n')
            t.check('100-continue', first == b'HTTP/1.1 100 Continue\r\n\r\n' and status(u.recv(1000)) == 201, first)

        try:
            with socket.create_connection(cas.address, 20) as s, tls(version=ssl.TLSVersion.TLSv1_2).wrap_socket(s):
                t.check('TLS 1.2 refused', False, 'the handshake succeeded')
        except ssl.SSLError as e:
            t.check('TLS 1.2 refused', 'VERSION' in str(e).upper(), e)
        with socket.create_connection(cas.address, 20) as s:
            s.sendall(GET + b'\r\n')
            try:
                answer = s.recv(1000)
            except ConnectionResetError:
                answer = b''
            t.check('plain HTTP gets no answer in HTTP', not answer.startswith(b'HTTP'), answer)
        alive(t, cas, 'protocol')
        t.equal('stops on TERM', cas.stop(), 0)


def garbage(t, base):
    alice = Identity(base, 'alice')
    noise = random.Random(20)
    good = b'POST /v1/sessions?hash=1 HTTP/1.1\r\nHost: cas\r\nContent-Length: 30\r\nConnection: close\r\n\r\nname: a\nversion: "0.3"\nx: [1,'
    with Running(base, '--timeout', '2') as cas:
        for i in range(150):
            with socket.create_connection(cas.address, 20) as s:
                try:
                    data = noise.randbytes(noise.randrange(1, 600))
                    s.sendall(b'\x16\x03\x01\x02\x00\x01' + data if i % 2 else data)
                except ConnectionError:
                    pass
        alive(t, cas, 'noise instead of TLS')
        wrong = 0
        for i in range(150):
            data = bytearray(good)
            for _ in range(noise.randrange(1, 5)):
                data[noise.randrange(len(data))] = noise.randrange(256)
            data += b'\r\n\r\n' * (i % 2)
            answer = cas.raw(bytes(data), alice)
            wrong += bool(answer) and status(answer) is None
        t.equal('noise inside TLS: every answer is HTTP', wrong, 0)
        alive(t, cas, 'noise inside TLS')
        document = b'name: a\nversion: "0.3"\nservices:\n- {name: s, command: [a, "$$SCONE::k:hex$$"], attestation: {mrenclave: ' + b'0' * 64 + \
            b'}}\nsecrets:\n- {name: k, kind: binary, size: 4}\nsecurity: {attestation: {mode: simulation}}\n'
        wrong = 0
        c = cas.connect(alice)
        for i in range(400):
            data = bytearray(document)
            for _ in range(noise.randrange(1, 4)):
                data[noise.randrange(len(data))] = noise.randrange(256)
            c.request('POST', SESSIONS, bytes(data))
            r = c.getresponse()
            body = r.read()
            wrong += r.status not in (201, 400, 409, 413) or not body.startswith(b'{')
        c.close()
        t.equal('damaged documents: refused or accepted, never anything else', wrong, 0)
        request = b'{"config_id":"a/s","nonce":"' + b'0' * 64 + b'","evidence":"AAAA"}'
        wrong = 0
        c = cas.connect(alice)
        for i in range(400):
            data = bytearray(request)
            for _ in range(noise.randrange(0, 4)):
                data[noise.randrange(len(data))] = noise.randrange(256)
            c.request('POST', '/v1/attest', bytes(data))
            r = c.getresponse()
            wrong += r.status not in (400, 403, 413) or not r.read().startswith(b'{')
        c.close()
        t.equal('damaged attest requests: all refused', wrong, 0)
        alive(t, cas, 'damaged bodies')
        t.equal('stops on TERM', cas.stop(), 0)


def dropped_within(s, seconds):
    """Is the connection closed by the other side in that time? Says after how long."""
    begin = time.monotonic()
    s.settimeout(seconds)
    try:
        while s.recv(1000):
            pass
    except socket.timeout:
        return None
    except OSError:
        pass
    return time.monotonic() - begin


def slow(t, base):
    with Running(base, '--timeout', '1') as cas:
        s = socket.create_connection(cas.address, 20)
        took = dropped_within(s, 5)
        t.check('no handshake: dropped', took is not None and 0.5 < took < 4, took)
        s.close()
        with socket.create_connection(cas.address, 20) as s, tls().wrap_socket(s) as u:
            begin = time.monotonic()
            sent = 0
            try:
                for b in GET * 100:  # a byte now and then keeps nothing open
                    u.sendall(bytes([b]))
                    sent += 1
                    time.sleep(0.05)
            except OSError:
                pass
            took = time.monotonic() - begin
            t.check('slow header: dropped', 0.5 < took < 4, (took, sent))
        with socket.create_connection(cas.address, 20) as s, tls().wrap_socket(s) as u:
            u.sendall(b'POST /v1/sessions HTTP/1.1\r\nHost: c\r\nContent-Length: 100\r\n\r\nname')
            took = dropped_within(u, 5)
            t.check('slow body: dropped', took is not None and 0.5 < took < 4, took)
        with socket.create_connection(cas.address, 20) as s, tls().wrap_socket(s) as u:
            u.sendall(GET + b'\r\n')
            u.recv(1000)
            took = dropped_within(u, 12)
            t.check('idle: dropped, later', took is not None and 2.5 < took < 10, took)
        alive(t, cas, 'slow clients')
        t.equal('stops on TERM', cas.stop(), 0)


def slow_reader(t, base):
    """Who asks for much and reads nothing is dropped, and holds nobody up."""
    alice = Identity(base, 'alice')
    with Running(base, '--timeout', '1') as cas:
        text = b'name: big\nversion: "0.3"\n#' + b'x' * 1000000
        t.equal('a large session', cas.call('POST', SESSIONS, text, alice).status, 201)
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.settimeout(20)
        s.connect(cas.address)
        with tls(alice).wrap_socket(s) as u:
            for _ in range(8):
                u.sendall(b'GET /v1/sessions/big HTTP/1.1\r\nHost: c\r\n\r\n')
            begin = time.monotonic()
            t.equal('others are served meanwhile', cas.call('GET', '/healthz').status, 200)
            t.check('at once', time.monotonic() - begin < 0.8)
            time.sleep(3)
            got = 0
            try:
                while part := u.recv(65536):
                    got += len(part)
            except OSError:
                pass
            t.check('slow reader: dropped', got < 8000000, got)
        t.equal('stops on TERM', cas.stop(), 0)


def many(t, base):
    with Running(base, '--max-connections', '4', '--timeout', '3') as cas:
        idle = [cas.connect() for _ in range(4)]
        for c in idle:
            c.request('GET', '/healthz')
            c.getresponse().read()
        t.equal('a new one pushes the longest idle one out', cas.call('GET', '/healthz').status, 200)
        idle[0].sock.settimeout(5)
        t.equal('which is closed', idle[0].sock.recv(10), b'')
        for c in idle:
            c.close()
        time.sleep(0.1)
        busy = [socket.create_connection(cas.address, 20) for _ in range(4)]
        time.sleep(0.2)
        r = cas.call('GET', '/healthz')
        t.check('too many: 429', r.status == 429 and r.error().startswith('LIMIT') and r.headers['Connection'] == 'close', r)
        more = [socket.create_connection(cas.address, 20) for _ in range(60)]
        closed = 0
        time.sleep(0.3)
        for s in more:
            s.settimeout(0.01)
            try:
                closed += s.recv(1) == b''
            except socket.timeout:
                pass
            except OSError:
                closed += 1
        t.check('far too many: closed', closed >= 60 - 32, closed)
        for s in busy + more:
            s.close()
        time.sleep(0.3)
        t.equal('room again', cas.call('GET', '/healthz').status, 200)
        t.equal('stops on TERM', cas.stop(), 0)


def from_address(cas, source, identity=None):
    """A connection that is kept, from another address of this host."""
    c = http.client.HTTPSConnection(*cas.address, context=tls(identity), timeout=20, source_address=(source, 0))
    c.connect()
    return c


def asked(c):
    c.request('GET', '/healthz')
    r = c.getresponse()
    r.read()
    return r.status


def refused_by_peer(cas):
    """What /metrics says; asked from an address of its own."""
    c = from_address(cas, '127.0.0.99')
    c.request('GET', '/metrics')
    text = c.getresponse().read().decode()
    c.close()
    return int(re.search(r'^scone_cas_peer_refused_total (\d+)$', text, re.M)[1])


def peer_connections(t, base):
    with Running(base, '--max-peer-connections', '3', '--timeout', '5') as cas:
        t.equal('nothing refused yet', refused_by_peer(cas), 0)
        busy = [socket.create_connection(cas.address, 20) for _ in range(3)]
        time.sleep(0.2)
        r = cas.call('GET', '/healthz')
        t.check('one too many of an address: 429, and when to come again',
                r.status == 429 and 'your address' in r.error() and r.headers['Retry-After'] == '1' and r.headers['Connection'] == 'close', r)
        other = from_address(cas, '127.0.0.2')
        t.equal('another address is served', asked(other), 200)
        more = [socket.create_connection(cas.address, 20) for _ in range(30)]
        closed = sum(dropped_within(s, 0.05) is not None for s in more)
        t.check('far too many of an address: closed', closed >= 30 - 8, closed)
        t.equal('the other address is still served', asked(other), 200)
        t.check('counted', refused_by_peer(cas) >= 1 + closed, refused_by_peer(cas))
        for s in busy + more:
            s.close()
        time.sleep(0.3)
        kept = [cas.connect() for _ in range(3)]
        t.equal('room again', [asked(c) for c in kept], [200] * 3)
        t.equal('a new one pushes out its own address\' longest idle one', cas.call('GET', '/healthz').status, 200)
        kept[0].sock.settimeout(5)
        t.equal('which is closed', kept[0].sock.recv(10), b'')
        t.equal('and no other address\'', asked(other), 200)
        for c in kept + [other]:
            c.close()
        t.equal('stops on TERM', cas.stop(), 0)
    with Running(base, '--max-peer-connections', '0') as cas:
        kept = [cas.connect() for _ in range(300)]
        t.check('0: no limit', all(asked(c) == 200 for c in kept[::50]))
        for c in kept:
            c.close()
        t.equal('stops on TERM', cas.stop(), 0)


def peer_requests(t, base):
    def flood(cas, n):
        c = from_address(cas, '127.0.0.1')
        got = []
        while len(got) < n and 429 not in got:
            got.append(asked(c))
        c.close()
        return got

    with Running(base, '--max-peer-requests', '5') as cas:
        begin = time.monotonic()
        got = flood(cas, 200)
        took = time.monotonic() - begin
        t.check('a second\'s worth at once, then 429', got[-1] == 429 and 4 <= len(got) - 1 <= 5 + 5 * took, (len(got), took))
        r = cas.call('GET', '/healthz')
        t.check('429 says when to come again', r.status == 429 and 'in a second' in r.error() and r.headers['Retry-After'] == '1', r)
        other = from_address(cas, '127.0.0.2')
        t.equal('another address is served', asked(other), 200)
        other.close()
        opened = closed = 0
        for _ in range(40):  # handshakes count, too
            with socket.create_connection(cas.address, 20) as s:
                try:
                    tls().wrap_socket(s).close()
                    opened += 1
                except OSError:
                    closed += 1
        t.check('a flood of connections is closed before the handshake', closed > 15 and opened < 25, (opened, closed))
        t.check('counted', refused_by_peer(cas) >= 2 + closed, refused_by_peer(cas))
        time.sleep(2.2)
        t.equal('later it is served again', cas.call('GET', '/healthz').status, 200)
        t.equal('stops on TERM', cas.stop(), 0)
    with Running(base, '--max-peer-requests', '0') as cas:
        t.equal('0: no limit', set(flood(cas, 1500)), {200})
        t.equal('stops on TERM', cas.stop(), 0)


def slowloris(t, base):
    """A thousand connections that send a byte now and then, in every phase: others are served, and nobody waits long."""
    alice = Identity(base, 'alice')
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    with Running(base, '--max-connections', '2000', '--max-peer-connections', '0', '--timeout', '60') as cas:
        t.equal('a session', cas.call('POST', SESSIONS, 'name: a\nversion: "0.3"\n', alice).status, 201)
        hold = []
        try:
            for i in range(1000):
                s = socket.create_connection(cas.address, 20)
                hold.append(s)
                if i % 10 == 0:  # a handshake each costs the test time
                    s = tls(alice).wrap_socket(s, do_handshake_on_connect=True)
                    hold[-1] = s
                    s.sendall(b'POST /v1/sessions HTTP/1.1\r\nHost: c\r\nContent-Length: 1000\r\n\r\nname' if i % 20 else b'GET /hea')
                elif i % 2:
                    s.sendall(b'\x16\x03\x01\x02')
            took, good = [], 0
            for i in range(30):
                for s in hold[i::30]:
                    try:
                        s.sendall(b'n')
                    except OSError:
                        pass
                begin = time.monotonic()
                good += cas.call('GET', SESSIONS + '/a', identity=alice).status == 200
                took.append(time.monotonic() - begin)
            t.equal('thirty of thirty are served beside a thousand', good, 30)
            t.check('none waited long', sorted(took)[-2] < 3, took)
        finally:
            for s in hold:
                s.close()
        t.equal('stops on TERM', cas.stop(), 0)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def stopping(t, base):
    alice = Identity(base, 'alice')
    with Running(base) as cas:
        body = b'name: last\nversion: "0.3"\n'
        with socket.create_connection(cas.address, 20) as s, tls(alice).wrap_socket(s) as u, \
                socket.create_connection(cas.address, 20) as w, tls(alice).wrap_socket(w) as idle:
            idle.sendall(GET + b'\r\n')
            idle.recv(1000)
            u.sendall(b'POST /v1/sessions HTTP/1.1\r\nHost: c\r\nContent-Length: %d\r\n\r\n' % len(body))
            time.sleep(0.2)
            cas.process.send_signal(signal.SIGTERM)
            time.sleep(0.3)
            t.check('waits for a running request', cas.process.poll() is None)
            t.equal('closes idle connections', idle.recv(10), b'')
            try:
                socket.create_connection(cas.address, 2).close()
                t.check('accepts no more', False, 'connected')
            except ConnectionRefusedError:
                t.check('accepts no more', True)
            u.sendall(body)
            answer = u.recv(1000)
            t.check('finishes it', status(answer) == 201 and b'Connection: close' in answer, answer)
        t.equal('then ends', cas.process.wait(5), 0)
        cas.start()
        with socket.create_connection(cas.address, 20) as s, tls(alice).wrap_socket(s), socket.create_connection(cas.address, 20):
            time.sleep(0.2)
            begin = time.monotonic()
            t.equal('stops with connections that never asked', cas.stop(), 0)
            t.check('without waiting for them long', time.monotonic() - begin < 5, time.monotonic() - begin)
        cas.start()
        t.equal('what it answered is kept', cas.call('GET', SESSIONS + '/last', identity=alice).status, 200)
        cas.process.send_signal(signal.SIGHUP)
        time.sleep(0.2)
        alive(t, cas, 'HUP')
        with socket.create_connection(cas.address, 20) as s, tls(alice).wrap_socket(s) as u:
            u.sendall(b'POST /v1/sessions HTTP/1.1\r\nHost: c\r\nContent-Length: 10\r\n\r\n')
            time.sleep(0.2)
            cas.process.send_signal(signal.SIGINT)
            time.sleep(0.2)
            cas.process.send_signal(signal.SIGINT)
            t.equal('a second signal ends it at once', cas.process.wait(2), 128 + signal.SIGINT)


if __name__ == '__main__':
    main(sizes, protocol, garbage, slow, slow_reader, many, peer_connections, peer_requests, slowloris, stopping)
