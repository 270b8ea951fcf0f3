#!/usr/bin/env python3
"""Three etcd and three CAS on one machine. Fifty clients attest, update and tell versions of volumes while one after the other is killed with -9.

Checked from what clients were told: no acknowledged change is lost, no predecessor is used twice, and whoever attests, at any CAS, gets at least the
version that was acknowledged last, at any CAS. A stopped majority gives a clear error and no answer; with it back, all goes on. Audit logs verify.

CLUSTER_ROUNDS (1): how often each of the six is killed; 0: one etcd and one CAS once. `make cluster` asks for 3.
"""

import base64
import http.client
import json
import os
import random
import shutil
import signal
import ssl
import subprocess
import sys
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../lib'))
from cas_harness import BIN, Cas, Identity, main  # noqa: E402
from etcd_harness import ETCD, Etcd, free_ports  # noqa: E402

ROUNDS = int(os.environ.get('CLUSTER_ROUNDS', '0'))
CLIENTS = 50
SHARED = 5  # sessions that all clients update, besides one of each client's own
SESSIONS = '/v1/sessions'
BROKEN = (OSError, http.client.HTTPException, ssl.SSLError)


def document(name, counter, predecessor, salt):
    return (f'name: {name}\nversion: "0.3"\nsalt: "{salt}"\nsecurity: {{attestation: {{mode: none}}}}\n'
            f'secrets: [{{name: k, kind: binary, size: 32}}]\n'
            f'services: [{{name: s, command: [p, "{counter}", "$$SCONE::k:hex$$"]}}]\n'
            + (f'predecessor: {predecessor}\n' if predecessor else ''))


class Replica(Cas):
    """A CAS of the cluster, always on the same port."""

    def __init__(self, base, name):
        super().__init__(base, name)
        self.port = free_ports(1)[0]
        self.options = []

    def up(self, *more):
        # The port is an ephemeral one, which a connection may have taken meanwhile.
        for attempt in range(20):
            try:
                return self.start('--listen', f'127.0.0.1:{self.port}', *self.options, *more)
            except RuntimeError as e:
                if self.process.returncode != 4 or attempt == 19:
                    raise
                time.sleep(0.3)

    def kill(self):
        self.process.kill()
        self.process.wait()


class Cluster:
    def __init__(self, base, etcd, count=3, options=()):
        self.cas = [Replica(base, f'cas{i}') for i in range(count)]
        platforms = []
        for c in self.cas:
            status, text = c.run('--print-platform')
            if status:
                raise RuntimeError(text)
            platforms += ['--replica-platform', text.strip()]
        for c in self.cas:
            c.options = ['--store', etcd.url(), *platforms, *options]
        self.cas[0].up()
        self.key = self.cas[0].call('GET', '/v1/cas').json()['key']
        for c in self.cas[1:]:
            c.up('--join', f'127.0.0.1:{self.cas[0].port}', '--join-key', self.key)

    def end(self):
        for c in self.cas:
            c.end()


class Shared:
    """What clients were told, all of them together."""

    def __init__(self):
        self.lock = threading.Lock()
        self.updates = []  # (session, predecessor, hash, counter), acknowledged
        self.wrong = []
        self.stop = threading.Event()
        self.attested = self.versions = self.refused = self.lost = self.conflicts = 0

    def add(self, what, n=1):
        with self.lock:
            setattr(self, what, getattr(self, what) + n)


class Client(threading.Thread):
    def __init__(self, i, cluster, identity, shared):
        super().__init__()
        self.i, self.cluster, self.identity, self.shared = i, cluster, identity, shared
        self.noise = random.Random(i)
        self.own = f'c{i}'
        self.counter = 0  # last acknowledged of self.own
        self.secret = None
        self.connection = None
        self.volume = Volume(self) if i % 3 == 0 else None

    def call(self, method, path, body=None):
        """Status and answer from some CAS; raises what BROKEN names when it is not known what became of it."""
        if not self.connection:
            self.connection = self.noise.choice(self.cluster.cas).connect(self.identity, 15)
        try:
            self.connection.request(method, path, body)
            r = self.connection.getresponse()
            text = r.read()
            return r.status, json.loads(text)
        except BROKEN:
            self.drop()
            raise

    def drop(self):
        if self.connection:
            self.connection.close()
        self.connection = None

    def update(self, name):
        status, now = self.call('GET', f'{SESSIONS}/{name}')
        if status == 200:
            counter = int(now['session'].split('command: [p, "')[1].split('"')[0]) + 1
            predecessor = now['hash']
        elif status == 404:
            counter, predecessor = 1, None
        else:
            return status
        salt = f'{self.noise.getrandbits(128):032x}'
        status, done = self.call('POST', SESSIONS, document(name, counter, predecessor, salt))
        if status in (200, 201):
            with self.shared.lock:
                self.shared.updates.append((name, predecessor, done['hash'], counter))
            if name == self.own:
                self.counter = counter
        elif status == 409:
            self.shared.add('conflicts')
        return status

    def attest(self):
        wanted = self.counter
        status, answer = self.call('POST', '/v1/attest/nonce')
        if status == 200:
            status, answer = self.call('POST', '/v1/attest', json.dumps({'config_id': self.own + '/s', 'nonce': answer['nonce'], 'evidence': ''}))
        if status != 200:
            return status
        argv = [base64.b64decode(a['value']).decode() for a in answer['argv']]
        self.secret = self.secret or argv[2]
        if int(argv[1]) < wanted or argv[2] != self.secret:
            self.shared.wrong.append(f'{self.own}: attested to version {argv[1]}, {wanted} was acknowledged; same secret: {argv[2] == self.secret}')
        self.shared.add('attested')
        return status

    def work(self):
        what = self.noise.random()
        if self.volume and what < 0.4:
            return self.volume.update()
        if what < 0.6 and self.counter:
            return self.attest()
        return self.update(self.own if what < 0.85 or not self.counter else f's{self.noise.randrange(SHARED)}')

    def run(self):
        while not self.shared.stop.is_set():
            try:
                if self.noise.random() < 0.3:
                    self.drop()  # the next one may be another CAS
                status = self.work()
                if status in (429, 503):
                    self.shared.add('refused')
                    self.drop()
                    time.sleep(0.2)
                elif status not in (200, 201, 409):
                    self.shared.wrong.append(f'{self.own}: status {status}')
            except BROKEN:
                self.shared.add('lost')
                time.sleep(0.1)
            except Exception as e:
                self.shared.wrong.append(f'{self.own}: {e!r}')
                return
        self.drop()


class Volume:
    """A volume that one client holds: what it was told is kept must be what CAS has, at any CAS. A version whose answer was lost is told again."""

    def __init__(self, client):
        self.client, self.name = client, f'v{client.own}'
        self.grant = self.number = self.pending = None
        self.done = 0  # generation acknowledged last
        self.tag = None

    def take(self):
        status, _ = self.client.call('POST', SESSIONS, f'name: {self.name}\nversion: "0.3"\nsecurity: {{attestation: {{mode: none}}}}\n'
                                     'volumes: [{name: v}]\nimages: [{name: i, volumes: [{name: v, path: /v}]}]\n'
                                     'services: [{name: s, command: p, image_name: i}]\n')
        if status not in (201, 409):  # 409: the answer to the first try was lost
            return status, None
        status, answer = self.client.call('POST', '/v1/attest/nonce')
        if status == 200:
            status, answer = self.client.call('POST', '/v1/attest', json.dumps(
                {'config_id': self.name + '/s', 'nonce': answer['nonce'], 'evidence': ''}))
        if status != 200:
            return status, None
        self.grant = answer['volumes'][0]['grant']
        status, lease = self.client.call('POST', '/v1/volumes/open', json.dumps({'grant': self.grant, 'place': self.name.encode().hex().ljust(64, '0')[:64]}))
        if status == 200:
            self.number = lease['number']
        return status, lease if status == 200 else None

    def update(self):
        if not self.number:
            return self.take()[0]
        if not self.pending:
            self.pending = (self.done + 1, f'{self.client.noise.getrandbits(128):032x}')
        status, answer = self.client.call('POST', '/v1/volumes/update', json.dumps(
            {'grant': self.grant, 'number': self.number, 'generation': self.pending[0], 'tag': self.pending[1]}))
        if status == 200:
            self.done, self.tag = self.pending
            self.pending = None
            self.client.shared.add('versions')
        elif status == 409:
            self.client.shared.wrong.append(f'{self.name}: version {self.pending}, {self.done} was acknowledged: {answer}')
        return status

    def check(self):
        """None, or what is wrong with the version that a CAS has now."""
        if not self.number:
            return None
        status, lease = self.take()
        seen = lease and lease['version'] and (lease['version']['generation'], lease['version']['tag'])
        allowed = [self.pending, (self.done, self.tag) if self.done else None]
        return None if status == 200 and seen in allowed else (self.name, status, seen, allowed)


def chain(connection, name):
    """All versions from the newest to the first: [(hash, predecessor, counter)]."""
    versions, query = [], ''
    while True:
        connection.request('GET', f'{SESSIONS}/{name}{query}')
        r = connection.getresponse()
        s = json.loads(r.read())
        if r.status != 200:
            raise RuntimeError(f'{name}{query}: {r.status} {s}')
        versions.append((s['hash'], s['predecessor'], int(s['session'].split('command: [p, "')[1].split('"')[0])))
        if not s['predecessor']:
            return versions
        query = '?hash=' + s['predecessor']


def check_history(t, cluster, identity, shared):
    used = [(u[0], u[1]) for u in shared.updates if u[1]]
    t.equal('no predecessor was used twice', len(used), len(set(used)))
    missing = []
    for n, name in enumerate(sorted({u[0] for u in shared.updates})):
        c = cluster.cas[n % len(cluster.cas)].connect(identity)
        versions = chain(c, name)
        c.close()
        there = {(h, p, k) for h, p, k in versions}
        missing += [u for u in shared.updates if u[0] == name and (u[2], u[1], u[3]) not in there]
        counters = [k for _, _, k in versions]
        if counters != list(range(len(versions), 0, -1)):
            missing.append((name, counters))
    t.check('every acknowledged change is in its session\'s history', not missing, missing[:3])


def killed_in_turn(t, base):
    if not ETCD:
        print('# etcd is not installed: nothing of the cluster is tested')
        t.check('the test knows that it cannot run without etcd', True)
        return
    identity = Identity(base, 'client')
    with Etcd(base) as etcd:
        cluster = None
        clients, shared = [], Shared()
        try:
            cluster = Cluster(base, etcd)
            keys = {c.call('GET', '/v1/cas').json()['key'] for c in cluster.cas}
            t.equal('three CAS with one key', len(keys), 1)
            clients = [Client(i, cluster, identity, shared) for i in range(CLIENTS)]
            for c in clients:
                c.start()
            time.sleep(4)
            victims = [(etcd.members[i], cluster.cas[i]) for _ in range(ROUNDS) for i in range(3)] or [(etcd.members[1], cluster.cas[2])]
            for member, cas in victims:
                before = len(shared.updates)
                member.kill()
                time.sleep(3)
                member.start()
                time.sleep(2)
                t.check(f'changes while etcd member {member.i} was gone', len(shared.updates) > before, shared.wrong[:3])
                before = len(shared.updates)
                cas.kill()
                time.sleep(2)
                cas.up()
                time.sleep(2)
                t.check(f'changes while {os.path.basename(cas.dir)} was gone', len(shared.updates) > before, shared.wrong[:3])
            shared.stop.set()
            for c in clients:
                c.join()
            lost = [c.volume.check() for c in clients if c.volume]
            for c in clients:
                c.drop()
            t.check('of each volume CAS has the version that was acknowledged last', not any(lost), [x for x in lost if x])
            t.check('nothing wrong was seen', not shared.wrong, shared.wrong[:5])
            print(f'# {len(shared.updates)} changes, {shared.attested} attestations and {shared.versions} versions of volumes acknowledged, {shared.conflicts} overtaken, '
                  f'{shared.refused} refused, {shared.lost} connections lost')
            t.check('the test reached its subject', len(shared.updates) > CLIENTS and shared.attested > CLIENTS and shared.versions > CLIENTS and shared.lost > 0,
                    (len(shared.updates), shared.attested, shared.lost))
            check_history(t, cluster, identity, shared)
            no_majority(t, etcd, cluster, identity)
            command_line(t, base, cluster)
            stop_and_verify(t, cluster)
        finally:
            shared.stop.set()
            for c in clients:
                if c.is_alive():
                    c.join()
            if cluster:
                cluster.end()


def no_majority(t, etcd, cluster, identity):
    etcd.members[0].kill()
    etcd.members[2].kill()
    for c in cluster.cas:
        r = c.call('GET', f'{SESSIONS}/c0', identity=identity)
        t.check('without a majority: a reader is told why', r.status == 503 and r.error().startswith('UNAVAILABLE') and 'majority' in r.error(), r)
    r = cluster.cas[1].call('POST', SESSIONS, document('late', 1, None, '0' * 32), identity)
    t.check('without a majority: a writer, too', r.status == 503 and r.error().startswith('UNAVAILABLE'), r)
    t.equal('without a majority: alive', cluster.cas[1].call('GET', '/healthz').status, 200)
    etcd.members[0].start()
    etcd.members[2].start()
    etcd.wait()
    end = time.monotonic() + 30
    while (r := cluster.cas[2].call('GET', f'{SESSIONS}/c0', identity=identity)).status == 503 and time.monotonic() < end:
        time.sleep(0.3)
    t.equal('with the majority back: reads', r.status, 200)
    t.equal('what was not acknowledged is not there', cluster.cas[0].call('GET', f'{SESSIONS}/late', identity=identity).status, 404)
    t.equal('with the majority back: writes', cluster.cas[0].call('POST', SESSIONS, document('late', 1, None, '0' * 32), identity).status, 201)


def command_line(t, base, cluster):
    """The command line knows all addresses and takes one that is there."""
    env = dict(os.environ, SCONE_HOME=os.path.join(base, 'home'))
    addresses = ','.join('%s:%d' % c.address for c in cluster.cas)

    def scone(*args):
        p = subprocess.run([os.path.join(BIN, 'scone'), *args], capture_output=True, env=env, timeout=60)
        return p.returncode, (p.stdout + p.stderr).decode(errors='replace')
    status, text = scone('cas', 'add', 'cluster', addresses, '--key', cluster.key)
    t.check('several addresses under one name', status == 0, text)
    cluster.cas[0].kill()
    results = []
    for i in range(6):
        path = os.path.join(base, f'cli{i}.yml')
        with open(path, 'w') as f:
            f.write(f'name: cli{i}\nversion: "0.3"\n')
        results.append(scone('session', 'create', path))
    t.check('one of them gone: every command goes to another', all(r[0] == 0 for r in results), results)
    cluster.cas[0].up()


def stop_and_verify(t, cluster):
    for c in cluster.cas:
        t.equal(f'{os.path.basename(c.dir)} stops on TERM', c.stop(signal.SIGTERM), 0)
        p = subprocess.run([os.path.join(BIN, 'scone'), 'audit', 'verify', '--cas-key', cluster.key, os.path.join(c.dir, 'audit.log')],
                           capture_output=True, env=dict(os.environ, SCONE_HOME=c.dir))
        t.check(f'{os.path.basename(c.dir)}: its audit log verifies', p.returncode == 0, p.stdout + p.stderr)


def joining(t, base):
    """Who is not let in, and what a directory must not be."""
    if not ETCD:
        return
    with Etcd(base, 1) as etcd:
        first, other = Replica(base, 'first'), Replica(base, 'other')
        try:
            platform = [c.run('--print-platform')[1].strip() for c in (first, other)]
            store = ['--store', etcd.url()]
            first.options = store
            first.up()
            key = first.call('GET', '/v1/cas').json()['key']
            join = ['--join', f'127.0.0.1:{first.port}', '--join-key', key]
            status, text = other.run(*store)
            t.check('a store in use is not founded again', status == 3 and 'give --join' in text, text)
            status, text = other.run(*store, *join, '--replica-platform', platform[0])
            t.check('a platform that nobody named does not join', status == 3 and '--replica-platform' in text, text)
            first.stop()
            first.options = [*store, '--replica-platform', platform[1]]
            first.up()
            status, text = other.run(*store, *join)
            t.check('one that names no platform does not trust who gives the key', status == 3 and '--replica-platform' in text, text)
            wrong = '4' + key[1:] if key[0] != '4' else '5' + key[1:]
            status, text = other.run(*store, '--join', join[1], '--join-key', platform[0], '--replica-platform', platform[0])
            t.check('another key than the pinned one is refused', status == 3 and 'wanted' in text, (wrong, text))
            status, text = other.run(*store, '--join', join[1])
            t.check('--join without its key is a mistake', status == 2, text)
            copy = shutil.copy(os.path.join(BIN, 'scone-cas'), os.path.join(base, 'changed'))
            with open(copy, 'ab') as f:
                f.write(b'another program')
            p = subprocess.run([copy, *other.command(*store, *join, '--replica-platform', platform[0])[1:]], capture_output=True, timeout=60)
            t.check('another program does not join', p.returncode == 3 and b'measurement' in p.stderr, p.stderr)
            other.options = [*store, '--replica-platform', platform[0]]
            other.up(*join)
            t.equal('the same program on a named platform does', other.call('GET', '/v1/cas').json()['key'], key)
            other.stop()
            other.up()
            t.equal('and needs nobody for its next start', other.call('GET', '/v1/cas').json()['key'], key)
            status, text = first.run()
            t.check('its directory is in use', status == 3, text)
            other.stop()
            first.stop()
            etcd.ctl('del', '--prefix', 'openscone/')
            status, text = first.run(*first.options)
            t.check('an emptied store is no new beginning', status == 3 and 'no head record' in text, text)
            status, text = first.run('--store', 'etcd://127.0.0.1:1?ca=/nothing')
            t.check('a place that is none is told', status == 3 and 'cannot be read' in text, text)
        finally:
            first.end()
            other.end()


def tampered(t, base):
    """What the cluster's operator changes in etcd is seen by a CAS that runs, and by the next start."""
    if not ETCD:
        return
    identity = Identity(base, 'client')
    with Etcd(base, 1) as etcd:
        cas = Replica(base, 'cas')
        cas.options = ['--store', etcd.url()]
        try:
            cas.up()
            for i in range(3):
                cas.call('POST', SESSIONS, document(f's{i}', 1, None, '0' * 32), identity)
            kvs = json.loads(etcd.ctl('get', '--prefix', 'openscone/', '-w', 'json'))['kvs']
            old = {k['key']: k['value'] for k in kvs}
            head = [k for k, v in old.items() if len(base64.b64decode(v)) == 84]
            t.equal('one head', len(head), 1)
            words = b''.join(base64.b64decode(k) + base64.b64decode(v) for k, v in old.items())
            t.check('nothing of a session can be read there', not any(w in words for w in (b'mode: none', b'secrets', b'name: s', b'command')))

            def put(key, value):
                etcd.api('/v3/kv/put', {'key': key, 'value': value})
            now = cas.call('GET', f'{SESSIONS}/s0', identity=identity).json()
            r = cas.call('POST', SESSIONS, document('s0', 2, now['hash'], '1' * 32), identity)
            t.equal('an update', r.status, 200)
            put(head[0], old[head[0]])
            r = cas.call('GET', f'{SESSIONS}/s0', identity=identity)
            t.check('the head put back: no answer from a running CAS', r.status == 500, r)
            t.check('and its log says why', 'put back to an older state' in cas.tail(), cas.tail())
            cas.stop()
            status, text = cas.run(*cas.options)
            t.check('nor does it start', status == 3 and ('counts' in text or 'older state' in text), text)
            there = {k['key'] for k in json.loads(etcd.ctl('get', '--prefix', 'openscone/', '-w', 'json'))['kvs']}
            for key in there - set(old):
                etcd.api('/v3/kv/deleterange', {'key': key})
            for k, v in old.items():
                put(k, v)
            status, text = cas.run(*cas.options)
            t.check('the whole store put back while no CAS ran is seen by whose log has later lines', status == 3 and 'put back to an older state' in text,
                    text)
            t.check('the refusal says how to go on with it', '--new-audit-log' in text, text)
            status, text = cas.run(*cas.options, '--new-audit-log')
            t.check('not over the log that tells', status == 3 and 'put back' in text, text)
            os.rename(os.path.join(cas.dir, 'audit.log'), os.path.join(base, 'old.log'))
            cas.up('--new-audit-log')
            t.equal('a decision of the operator, which the new log says', json.loads(open(os.path.join(cas.dir, 'audit.log')).readline())['event'],
                    'log-replaced')
            t.equal('and the store is as it was then', cas.call('GET', f'{SESSIONS}/s0', identity=identity).json()['hash'], now['hash'])
        finally:
            cas.end()


if __name__ == '__main__':
    main(joining, tampered, killed_in_turn)
