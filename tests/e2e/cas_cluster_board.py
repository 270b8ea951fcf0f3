#!/usr/bin/env python3
"""The board on a store that three CAS share: proposals, votes and tickets made at one count at each, once, whoever is asked at the same moment and whoever is
killed in between; and a client that loses its CAS in the middle of a request."""

import base64
import json
import os
import socket
import subprocess
import sys
import threading
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '../lib'))
sys.path.insert(0, HERE)
from board import PROPOSALS, SESSIONS, Board  # noqa: E402
from board_keys import Signer, vote  # noqa: E402
from cas_attest import Attester, MEASUREMENT, Platform  # noqa: E402
from cas_cluster import Cluster  # noqa: E402
from cas_harness import BIN, Identity, main  # noqa: E402
from etcd_harness import ETCD, Etcd  # noqa: E402


def at_once(*calls):
    """Results of calls that are made at the same moment."""
    results, gate = [None] * len(calls), threading.Barrier(len(calls))

    def one(i, f):
        gate.wait()
        results[i] = f()
    threads = [threading.Thread(target=one, args=(i, f)) for i, f in enumerate(calls)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return results


def cast_at(cas, p, body, headers=None):
    return cas.call('POST', f'{PROPOSALS}/{p["id"]}/votes', body, headers=headers or {})


def votes(t, cluster, base):
    a, b, c = cluster.cas
    board = Board(base, a)
    p = board.show(board.propose(1).json()['proposal'], board.ops).json()
    t.equal('a proposal made at one is seen at each', [x.call('GET', f'{PROPOSALS}/{p["id"]}', identity=board.sec).json()['state'] for x in (a, b, c)],
            ['open'] * 3)
    ballot = vote(p, board.ops)
    got = at_once(*(lambda x=x: cast_at(x, p, ballot).status for x in (a, b, c)))
    t.equal('one vote, sent to three at once, counts once', sorted(got), [200, 409, 409])
    b.kill()
    r = cast_at(c, p, vote(p, board.legal))
    t.check('the last vote, at another, after one was killed', r.status == 200 and r.json()['state'] == 'passed', r)
    b.up()
    t.equal('in force at each', [x.call('GET', f'{SESSIONS}/app', identity=board.alice).json()['hash'] for x in (a, b, c)], [p['new']] * 3)
    board.hash = p['new']
    # Two proposals, agreed to at two CAS at once: one of them can be in force.
    ids = [board.propose(n).json()['proposal'] for n in (2, 3)]
    rivals = [board.show(i, board.ops).json() for i in ids]
    for q in rivals:
        cast_at(a, q, vote(q, board.ops))
    got = at_once(*(lambda x=x, q=q: cast_at(x, q, vote(q, board.legal)) for x, q in zip((a, c), rivals)))
    states = [board.show(i, board.ops).json()['state'] for i in ids]
    t.equal('of two rivals one passes, the other is void', sorted(states), ['passed', 'void'])
    current = b.call('GET', f'{SESSIONS}/app', identity=board.alice).json()
    t.check('and what is in force is the one that passed', current['hash'] == rivals[states.index('passed')]['new'] and
            current['predecessor'] == board.hash, (got, current))


def reads(t, cluster, base):
    a, b, c = cluster.cas
    board = Board(base, a, 'counted', extra='  actions: [read]\n', more='access_policy: {read: [CREATOR]}\n')
    p = b.call('POST', PROPOSALS, '{"action": "read", "session": "counted"}', board.alice).json()
    for who, x in ((board.ops, b), (board.legal, c)):
        q = x.call('GET', f'{PROPOSALS}/{p["id"]}', identity=who).json()
        cast_at(x, q, vote(q, who))
    got = at_once(*(lambda x=x: x.call('GET', f'{SESSIONS}/counted', identity=board.alice).status for x in (a, b, c)))
    t.check('a read that was agreed to, asked for at three at once, is given once', sorted(got) == [200, 403, 403],
            (got, [line for x in (a, b, c) for line in x.tail().splitlines() if ': debug:' not in line and ' info: session' not in line][-6:]))


def tickets(t, cluster, base):
    a, b, c = cluster.cas
    alice, ops, platform = Identity(base, 'gov-alice'), Signer(base, 'gov-ops'), Platform(base, 'gov-platform')
    r = a.call('POST', SESSIONS, 'name: gov\nversion: "0.3"\nsecurity: {attestation: {mode: simulation}}\nservices:\n  - {name: lint, command: p, '
               'environment: {T: "$$SCONE::self:ticket$$"}, attestation: {mrenclave: %s}}\n' % MEASUREMENT.hex(), alice)
    t.equal('the approver\'s session', r.status, 201)
    doc = ('name: ruled\nversion: "0.3"\nsecurity: {attestation: {mode: simulation}}\nboard:\n  members:\n'
           f'    - {{name: ops, key: {ops.quoted()}}}\n    - {{name: lint, program: gov/lint}}\n  approvals: 2\n')
    first = b.call('POST', SESSIONS, doc, alice).json()['hash']
    r = c.call('POST', SESSIONS, doc + f'salt: {5:032x}\npredecessor: {first}\n', alice)
    p = a.call('GET', f'{PROPOSALS}/{r.json()["proposal"]}', identity=ops).json()
    cast_at(b, p, vote(p, ops))
    answer = Attester(a, alice, platform).attest('gov/lint')
    ticket = base64.b64decode(answer.json()['env'][0]['value']).decode()
    a.kill()
    body = json.dumps({'format': 'openscone-vote-v1', 'proposal': p['id'], 'choice': 'approve'})
    got = at_once(*(lambda x=x: cast_at(x, p, body, {'Authorization': 'Attested ' + ticket}) for x in (b, c)))
    t.equal('a ticket of a CAS that is gone votes at the others, once', sorted(r.status for r in got), [200, 409])
    t.equal('and the change is in force', b.call('GET', f'{SESSIONS}/ruled', identity=alice).json()['hash'], p['new'])
    a.up()


class Cutter(threading.Thread):
    """In front of a CAS: passes bytes on, and cuts the first `cuts` connections when the answer to their request comes, so the client never sees it."""

    def __init__(self, cas, cuts):
        super().__init__(daemon=True)
        self.cas, self.cuts, self.cut = cas, cuts, 0
        self.server = socket.create_server(('127.0.0.1', 0))
        self.address = '127.0.0.1:%d' % self.server.getsockname()[1]
        self.start()

    def run(self):
        while True:
            try:
                client, _ = self.server.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client, self.cut < self.cuts), daemon=True).start()

    def serve(self, client, cutting):
        server = socket.create_connection(self.cas.address)
        sent = threading.Event()

        def up():
            n = 0
            while part := self.part(client):
                n += 1
                # The second flight of the client ends its handshake, and has the request with it or behind it.
                if n >= 2:
                    sent.set()
                server.sendall(part)
        threading.Thread(target=up, daemon=True).start()
        answers = 0
        while part := self.part(server):
            answers += sent.is_set()
            if cutting and answers:
                self.cut += 1
                break
            client.sendall(part)
        for s in (client, server):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            s.close()

    @staticmethod
    def part(s):
        try:
            return s.recv(65536)
        except OSError:
            return b''


def lost_answers(t, cluster, base):
    """The answer to an upload is lost: the command line asks another CAS, and says what is so."""
    a, b, _ = cluster.cas
    env = dict(os.environ, SCONE_HOME=os.path.join(base, 'home'))

    def scone(*args):
        p = subprocess.run([os.path.join(BIN, 'scone'), *args], capture_output=True, env=env, timeout=120)
        return p.returncode, (p.stdout + p.stderr).decode(errors='replace')
    cutters = [Cutter(x, 1) for x in (a, b)]
    status, text = scone('cas', 'add', 'cluster', ','.join(x.address for x in cutters), '--key', cluster.key)
    t.check('two CAS behind lines that break', status == 0, text)
    path = os.path.join(base, 'lost.yml')
    for n in range(3):
        for x in cutters:
            x.cut, x.cuts = 0, 1
        with open(path, 'w') as f:
            f.write(f'name: lost\nversion: "0.3"\nsalt: {n:032x}\n')
        status, text = scone('session', 'update' if n else 'create', path)
        t.check(f'upload {n}: done, although answers were lost', status == 0 and sum(x.cut for x in cutters) >= 1, (status, text, [x.cut for x in cutters]))
    hashes = [json.loads(scone('session', 'read', 'lost', '--json')[1])]
    versions = 1
    while hashes[-1].get('predecessor'):
        status, text = scone('session', 'read', 'lost', '--json', '--hash', hashes[-1]['predecessor'])
        hashes.append(json.loads(text))
        versions += 1
    t.equal('each is there once', versions, 3)
    for x in cutters:
        x.cut, x.cuts = 0, 9
    status, text = scone('session', 'delete', 'lost')
    t.check('what must not be asked twice is not, and that is said', status == 3 and 'not known' in text and sum(x.cut for x in cutters) == 1, (status, text))
    for x in cutters:
        x.server.close()


def lost_starts(t, cluster, base):
    """A CAS ends when the runtime has asked it: the start goes on with another one."""
    runtime = os.path.join(BIN, 'scone-runtime')
    if not os.path.exists(runtime):
        print('# no runtime in this build: starts are not tested')
        return
    a, b, _ = cluster.cas
    env = dict(os.environ, SCONE_HOME=os.path.join(base, 'runtime-home'), SCONE_LAS_ADDR=os.path.join(base, 'las.sock'))
    las = subprocess.Popen([os.path.join(BIN, 'scone-las'), '--socket', env['SCONE_LAS_ADDR'], '--dir', os.path.join(base, 'las'), '--runtime', runtime],
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        def scone(*args):
            p = subprocess.run([os.path.join(BIN, 'scone'), *args], capture_output=True, env=env, timeout=120)
            return p.returncode, (p.stdout + p.stderr).decode(errors='replace')
        end = time.monotonic() + 30
        while not os.path.exists(env['SCONE_LAS_ADDR']) and time.monotonic() < end:
            time.sleep(0.1)
        cutters = [Cutter(x, 1) for x in (a, b)]
        scone('cas', 'add', 'direct', '%s:%d' % a.address, '--key', cluster.key)
        path = os.path.join(base, 'start.yml')
        with open(path, 'w') as f:
            f.write('name: start\nversion: "0.3"\nsecurity: {attestation: {mode: simulation}}\nservices: [{name: s, command: [echo, started], pwd: /, '
                    'attestation: {mrenclave: %s}}]\n' % scone('measure', '/bin/echo')[1].split()[-1])
        status, text = scone('session', 'create', path)
        t.check('a session to start', status == 0, text)
        for n in range(2):
            for x in cutters:
                x.cut, x.cuts = 0, 1
            status, text = scone('run', '--cas', ','.join(x.address for x in cutters), '--cas-key', cluster.key, '--config-id', 'start/s', '--', '/bin/echo')
            t.check(f'start {n}: done, although CAS were lost in the middle', status == 0 and 'started' in text and sum(x.cut for x in cutters) >= 1,
                    (status, text, [x.cut for x in cutters]))
        for x in cutters:
            x.cut, x.cuts = 0, 99
        status, text = scone('run', '--cas', ','.join(x.address for x in cutters), '--cas-key', cluster.key, '--config-id', 'start/s', '--', '/bin/echo')
        t.check('if all are lost each time, that is told', status == 125 and 'started' not in text.splitlines(), (status, text))
        for x in cutters:
            x.server.close()
    finally:
        las.kill()
        las.wait()


def shared(t, base):
    if not ETCD:
        print('# etcd is not installed: nothing of the board in a cluster is tested')
        t.check('the test knows that it cannot run without etcd', True)
        return
    with Etcd(base) as etcd:
        cluster = None
        try:
            cluster = Cluster(base, etcd)
            for test in (votes, reads, tickets, lost_answers, lost_starts):
                test(t, cluster, base)
        finally:
            if cluster:
                cluster.end()


if __name__ == '__main__':
    main(shared)
