#!/usr/bin/env python3
"""Volumes at CAS: keys, versions and leases; who may have them, what is taken and what is refused; the runtime's side (volume_client) against a real CAS;
kill -9 of CAS between any two of them."""

import base64
import json
import os
import random
import signal
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../lib'))
from cas_attest import Attester, MEASUREMENT, Platform, key_text, sha256  # noqa: E402
from cas_harness import BIN, Identity, Running, main  # noqa: E402

PROBE = os.path.join(BIN, '../tests/e2e/volume_probe')
TAG = {c: (c * 16).encode().hex() for c in 'abcdefghijklmnop'}


def session(name, volumes, mounts, extra='', services='db'):
    return f'''name: {name}
version: "0.3"
{extra}
security: {{attestation: {{mode: simulation}}}}
volumes: {volumes}
images: [{{name: i, volumes: {mounts}}}]
services:
''' + ''.join(f'  - {{name: {s}, command: x, pwd: /, image_name: i, attestation: {{mrenclave: {MEASUREMENT.hex()}}}}}\n' for s in services.split())


class Runtime:
    """One attested start: its identity, its configuration, and its volume's side of the API."""
    count = 0

    def __init__(self, cas, base, platform, config_id):
        Runtime.count += 1
        self.cas = cas
        self.identity = Identity(base, f'runtime{Runtime.count}')
        self.answer = Attester(cas, self.identity, platform).attest(config_id)
        self.config = self.answer.json() if self.answer.status == 200 else None
        if self.config:
            self.file = os.path.join(base, f'config{Runtime.count}.json')
            with open(self.file, 'wb') as f:
                f.write(self.answer.body)

    def volume(self, i=0):
        return self.config['volumes'][i]

    def call(self, what, identity=None, i=0, **body):
        body.setdefault('grant', self.volume(i)['grant'])
        return self.cas.call('POST', '/v1/volumes/' + what, json.dumps(body), identity or self.identity)

    def open(self, place='p', **kw):
        r = self.call('open', place=place.encode().hex() * 32, **kw)
        if r.status == 200:
            self.lease = r.json()
        return r

    def update(self, generation, tag='a', number=None, what='update', **kw):
        return self.call(what, number=self.lease['number'] if number is None else number, generation=generation, tag=TAG[tag], **kw)


class Probe:
    def __init__(self, cas, runtime, shared=False):
        cert = cas.call('GET', '/v1/cas').json()['key']
        env = dict(os.environ)
        if shared:
            env['PROBE_SHARED'] = '1'
        self.p = subprocess.Popen([PROBE, '%s:%d' % cas.address, cert, runtime.identity.key, runtime.identity.cert, runtime.file],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, env=env)

    def __call__(self, line):
        self.p.stdin.write(line + '\n')
        self.p.stdin.flush()
        return self.p.stdout.readline().strip()

    def end(self):
        self.p.stdin.close()
        rc = self.p.wait(20)
        self.p.stdout.close()
        return rc


def api(t, base):
    alice, platform = Identity(base, 'alice'), Platform(base, 'one')
    with Running(base) as cas:
        r = cas.call('POST', '/v1/sessions', session('s', '[{name: v}, {name: w}]', '[{name: v, path: /v}, {name: w, path: /w, update_policy: strict}]'), alice)
        t.check('session with volumes', r.status == 201, r)
        one = Runtime(cas, base, platform, 's/db')
        if not t.check('attested', one.config, one.answer):
            return
        v, w = one.volume(0), one.volume(1)
        t.equal('name, path and policy', [[x['name'], x['path'], x['policy']] for x in (v, w)],
                [['v', '/v', 'rollback_protected'], ['w', '/w', 'strict']])
        t.check('a key of 32 bytes for each', all(len(base64.b64decode(x['key'])) == 32 for x in (v, w)) and v['key'] != w['key'], '')
        t.check('no version yet', v['version'] is None and v['initial_tag'] is None, v)
        r = one.open()
        t.equal('lease', r.json(), {'number': 1, 'least': 0, 'term': 30, 'version': None, 'initial_tag': None})
        t.equal('asked again, the same lease', one.open().json()['number'], 1)
        t.equal('first version', one.update(7).status, 200)
        t.equal('the same again is a sign of life', one.update(7).status, 200)
        t.equal('a newer one', one.update(9, 'b').status, 200)
        r = one.update(8, 'c')
        t.check('an older one is refused with both generations', r.status == 409 and 'generation 8' in r.error() and 'generation 9' in r.error(), r)
        r = one.update(9, 'c')
        t.check('as old with another tag is refused', r.status == 409 and TAG['b'] in r.error() and TAG['c'] in r.error(), r)
        r = one.update(10, number=2)
        t.check('another lease number is refused', r.status == 409 and 'lease 2 is over' in r.error(), r)
        two = Runtime(cas, base, platform, 's/db')
        t.equal('the same key for the next start', two.volume()['key'], v['key'])
        t.equal('and the version', two.volume()['version'], {'generation': 9, 'tag': TAG['b']})
        t.equal('and the id', two.volume()['id'], v['id'])
        r = two.open(place='q')
        t.check('a second application instance is refused', r.status == 409 and r.json()['error']['code'] == 'EXISTS' and
                key_text(sha256(one.identity.spki())) in r.error(), r)
        r = two.call('update', number=1, generation=10, tag=TAG['a'])
        t.check('and cannot use the other\'s lease', r.status == 409, r)
        r = two.call('open', identity=alice, place='70' * 32)
        t.check('a grant is for one key', r.status == 403 and 'not given' in r.error(), r)
        r = two.call('open', place='70' * 32, grant=base64.b64encode(b'x' * 200).decode())
        t.check('an invented grant is refused', r.status == 403, r)
        grant = bytearray(base64.b64decode(v['grant']))
        refused = 0
        for i in range(0, len(grant), 7):
            grant[i] ^= 1
            refused += one.call('open', place='70' * 32, grant=base64.b64encode(grant).decode()).status == 403
            grant[i] ^= 1
        t.equal('a changed grant is refused', refused, len(range(0, len(grant), 7)))
        for what, body in (('no body', ''), ('an unknown key', '{"grant":"","place":"' + '00' * 32 + '","x":1}'), ('a short place', '{"grant":"","place":"00"}'),
                           ('a list', '[]'), ('a negative number', json.dumps({'grant': v['grant'], 'number': -1, 'generation': 1, 'tag': TAG['a']}))):
            r = cas.call('POST', '/v1/volumes/' + ('update' if 'number' in body else 'open'), body, one.identity)
            t.check(f'{what}: refused', r.status == 400, r)
        r = cas.call('POST', '/v1/volumes/open', json.dumps({'grant': v['grant'], 'place': '00' * 32}))
        t.equal('without a certificate', r.status, 401)
        t.equal('GET', cas.call('GET', '/v1/volumes/open', identity=alice).status, 405)

        r = two.open(place='p')
        t.check('at the same place it takes over', r.status == 200 and r.json()['number'] == 2 and r.json()['least'] == 1, r)
        r = one.update(11)
        t.check('and the former holder is out', r.status == 409 and 'lease 1 is over' in r.error() and 'generation 9' in r.error(), r)
        r = two.update(12, 'c')
        t.equal('a version of the new one', r.status, 200)
        t.equal('close', two.update(13, 'd', what='close').status, 200)
        r = two.update(14)
        t.check('after that it has no lease', r.status == 409 and 'given back' in r.error(), r)
        r = one.open(place='elsewhere'[0])
        t.equal('a closed volume is anybody\'s', r.json(), {'number': 3, 'least': 2, 'term': 30, 'version': {'generation': 13, 'tag': TAG['d']}, 'initial_tag': None})

        # A start that failed gives its lease back without a version.
        r = one.call('update', number=3)
        t.check('an update without a version is refused', r.status == 400 and 'without a generation' in r.error(), r)
        r = one.call('close', number=3, generation=14)
        t.check('half a version, too', r.status == 400, r)
        r = two.call('close', number=3)
        t.check('nobody gives back what is another\'s', r.status == 409 and 'lease 3 is over' in r.error(), r)
        t.equal('given back without a version', one.call('close', number=3).status, 200)
        r = two.open(place='q')
        t.equal('at once it is anybody\'s, and CAS has what it had', r.json(), {'number': 4, 'least': 2, 'term': 30, 'version': {'generation': 13, 'tag': TAG['d']}, 'initial_tag': None})
        t.equal('that one, too', two.call('close', number=4).status, 200)
        t.equal('and again for who was first', one.open(place='elsewhere'[0]).json()['number'], 5)

        cas.stop(signal.SIGKILL)
        cas.start()
        t.equal('leases survive CAS', one.update(15, 'e').status, 200)
        t.equal('also the one that nobody may have', two.open(place='x').status, 409)
        hash1 = cas.call('GET', '/v1/sessions/s', identity=alice).json()['hash']
        r = cas.call('POST', '/v1/sessions', session('s', '[{name: v}]', '[{name: v, path: /v}]', f'predecessor: {hash1}'), alice)
        t.check('update of the session', r.status == 200, r)
        t.equal('who runs goes on', one.update(16, 'f').status, 200)
        r = one.open()
        t.check('but opens no more', r.status == 409 and 'start it anew' in r.error(), r)
        t.equal('close', one.update(17, 'f', what='close').status, 200)
        three = Runtime(cas, base, platform, 's/db')
        t.equal('the key stays', three.volume()['key'], v['key'])
        t.equal('deleted', cas.call('DELETE', '/v1/sessions/s', identity=alice).status, 200)
        r = three.open()
        t.check('no volume without its session', r.status == 404, r)
        r = cas.call('POST', '/v1/sessions', session('s', '[{name: v}]', '[{name: v, path: /v}]', 'salt: ' + '07' * 16), alice)
        t.check('who has the name next gets another key', r.status == 201 and Runtime(cas, base, platform, 's/db').volume()['key'] != v['key'], r)
        log = open(os.path.join(cas.dir, 'audit.log')).read()
        events = [json.loads(line)['event'] for line in log.splitlines()]
        t.equal('audit log', [e for e in events if e.startswith('volume-')],
                ['volume-created', 'volume-created', 'volume-opened', 'volume-refused', 'volume-refused', 'volume-refused', 'volume-refused', 'volume-taken-over',
                 'volume-refused', 'volume-closed', 'volume-refused', 'volume-opened', 'volume-refused', 'volume-refused', 'volume-closed', 'volume-opened', 'volume-closed',
                 'volume-opened', 'volume-closed', 'volume-created'])
        t.check('no key in it, nor in CAS\'s own log', v['key'] not in log + cas.tail() and base64.b64decode(v['key']).hex() not in log, '')


def keys_and_policies(t, base):
    alice, platform = Identity(base, 'alice'), Platform(base, 'one')
    with Running(base) as cas:
        def put(text, status=201):
            r = cas.call('POST', '/v1/sessions', text, alice)
            return t.check('session', r.status == status, r)

        def again(name, text):
            h = cas.call('GET', '/v1/sessions/' + name, identity=alice).json()['hash']
            return put(text.replace('version: "0.3"\n', f'version: "0.3"\npredecessor: {h}\n'), 200)

        given = f'[{{name: v, fspf_key: {"5a" * 32}, fspf_tag: {TAG["a"]}}}]'
        put(session('given', given, '[{name: v, path: /v}]'))
        r = Runtime(cas, base, platform, 'given/db')
        t.equal('a key that the session gives', base64.b64decode(r.volume()['key']), b'\x5a' * 32)
        t.equal('and the tag to begin with', r.volume()['initial_tag'], TAG['a'])
        t.equal('the lease says it, too', r.open().json()['initial_tag'], TAG['a'])
        r.update(5, 'b')
        t.equal('a version of it', Runtime(cas, base, platform, 'given/db').volume()['version'], {'generation': 5, 'tag': TAG['b']})
        again('given', session('given', given.replace(TAG['a'], TAG['c']), '[{name: v, path: /v}]'))
        n = Runtime(cas, base, platform, 'given/db')
        t.equal('another fspf_tag is a new beginning', [n.volume()['version'], n.volume()['initial_tag']], [None, TAG['c']])
        t.equal('and ends the lease before it', r.update(6, 'b').status, 409)
        n.open(), n.update(7, 'c')
        again('given', session('given', '[{name: v}]', '[{name: v, path: /v}]'))
        n = Runtime(cas, base, platform, 'given/db')
        t.check('so is none any more, with a key of CAS', n.volume()['version'] is None and n.volume()['initial_tag'] is None and
                base64.b64decode(n.volume()['key']) != b'\x5a' * 32, n.volume())

        secret = 'secrets: [{name: k, kind: binary, size: 32}]'
        put(session('tmpl', f'[{{name: v, fspf_key: $$SCONE::k$$, fspf_tag: {TAG["a"]}, export: {{session: taker}}}}]', '[{name: v, path: /v}]', secret))
        put(session('taker', '[{name: mine, import: {session: tmpl, volume: v}}]', '[{name: mine, path: /m}]'))
        a, b = Runtime(cas, base, platform, 'tmpl/db'), Runtime(cas, base, platform, 'taker/db')
        t.check('a key that is a secret, for who imports the volume, too', a.volume()['key'] == b.volume()['key'] and len(base64.b64decode(a.volume()['key'])) == 32, b.answer)
        a.open()
        t.equal('one lease for all who import it', b.open(place='q').status, 409)

        put(session('from', '[{name: v, export: [{session: to}, {to: {session: eph}, update_policy: ephemeral, volume_alias: theirs}]}]', '[{name: v, path: /v}]'))
        for name, item, policy, status, why in (('to', 'v', 'rollback_protected', 200, ''), ('to', 'v', 'strict', 200, ''), ('to', 'v', 'ephemeral', 200, ''),
                                                ('to', 'v', 'no_rollback_protection', 403, 'update_policy rollback_protected'), ('to', 'w', 'strict', 404, 'E-REF'),
                                                ('eph', 'theirs', 'ephemeral', 200, ''), ('eph', 'theirs', 'rollback_protected', 403, 'update_policy ephemeral'),
                                                ('eph', 'v', 'ephemeral', 404, 'E-REF'), ('stranger', 'v', 'ephemeral', 404, 'E-REF')):
            cas.call('DELETE', '/v1/sessions/' + name, identity=alice)
            put(session(name, f'[{{name: x, import: {{session: from, volume: {item}}}}}]', f'[{{name: x, path: /x, update_policy: {policy}}}]',
                        'salt: ' + os.urandom(16).hex()))
            r = Runtime(cas, base, platform, name + '/db')
            t.check(f'{name} imports {item} as {policy}: {status}', r.answer.status == status and why in r.answer.error(), r.answer)

        put(session('e', '[{name: v}]', '[{name: v, path: /v, update_policy: ephemeral}]', services='db other'))
        e1, e2 = Runtime(cas, base, platform, 'e/db'), Runtime(cas, base, platform, 'e/other')
        t.equal('ephemeral, first use: a lease', e1.open().json()['number'], 1)
        t.equal('what it made is recorded', e1.update(3, 'a').status, 200)
        t.equal('once', e1.update(4, 'b').status, 403)
        t.equal('closed', e1.update(3, 'a', what='close').status, 200)
        t.equal('from then on there is no lease, for as many as like', [[x['number'], x['version']['generation']] for x in (e1.open().json(), e2.open(place='q').json())],
                [[0, 3], [0, 3]])
        t.equal('and no update', e2.update(4, 'b').status, 409)

        put(session('n', '[{name: v}]', '[{name: v, path: /v}]'))
        r = Runtime(cas, base, platform, 'n/db')
        r.open(), r.update(20, 'a'), r.update(20, 'a', what='close')
        again('n', session('n', '[{name: v}]', '[{name: v, path: /v, update_policy: no_rollback_protection}]'))
        r = Runtime(cas, base, platform, 'n/db')
        t.equal('without protection: no lease, and the version is forgotten', r.open().json(), {'number': 0, 'least': 1, 'term': 30, 'version': None, 'initial_tag': None})
        again('n', session('n', '[{name: v}]', '[{name: v, path: /v}]', 'salt: ' + os.urandom(16).hex()))
        r = Runtime(cas, base, platform, 'n/db')
        t.equal('so the next with protection takes what it finds', [r.open().json()['version'], r.update(4, 'b').status], [None, 200])


def client(t, base):
    alice, platform = Identity(base, 'alice'), Platform(base, 'one')
    with Running(base) as cas:
        for name, policy in (('strict', 'strict'), ('rb', 'rollback_protected'), ('none', 'no_rollback_protection'), ('eph', 'ephemeral')):
            cas.call('POST', '/v1/sessions', session(name, '[{name: v}]', f'[{{name: v, path: /v, update_policy: {policy}}}]'), alice)
        one = Runtime(cas, base, platform, 'strict/db')
        p = Probe(cas, one)
        t.equal('strict: first use', p('open p 0'), 'ok number 1 least 0 version none, 0')
        t.equal('nothing at the host: create', p('check - - 0'), 'ok create')
        t.equal('committed', p('publish sync 1 a'), 'ok')
        t.equal('logged', p('publish logged 2 b'), 'ok')
        two = Runtime(cas, base, platform, 'strict/db')
        t.equal('CAS has it', two.volume()['version'], {'generation': 2, 'tag': TAG['b']})
        q = Probe(cas, two)
        r = q('open q 0')
        t.check('the second is told that it is in use', r.startswith('EXISTS: volume "v": ') and 'in use by another application instance' in r, r)
        t.equal('rest and go on', [p('rest'), p('publish logged 3 b')], ['ok', 'ok'])
        t.equal('pack and go on as execve does', [p('pack'), p('publish logged 3 b')], ['ok', 'ok'])
        t.equal('a child goes on with the same lease', [p('fork'), p('publish logged 4 d')], ['ok', 'ok'])
        t.equal('and gives it back', [p('close 5 e'), p.end()], ['ok', 0])
        t.equal('then the second has it', q('open q 0'), 'ok number 2 least 1 version 5')
        t.equal('what CAS has', q('check 5 e 1'), 'ok')
        t.equal('ahead of CAS, same lease', q('check 6 f 1'), 'ok')
        r = q('check 4 d 1')
        t.check('an older state, both generations', r.startswith('CONFLICT: ') and 'generation 4' in r and 'generation 5' in r, r)
        r = q('check 5 f 1')
        t.check('as old, another tag', r.startswith('CONFLICT: ') and 'another tag' in r, r)
        r = q('check 99 f 0')
        t.check('newer, but of an earlier lease', r.startswith('CONFLICT: ') and 'went another way' in r and 'lease 0' in r and 'lease 1' in r, r)
        r = q('check - - 0')
        t.check('nothing at the host', r.startswith('CONFLICT: ') and 'generation 5' in r, r)
        three = Runtime(cas, base, platform, 'strict/db')
        three.open(place='q'), three.update(50, 'a')
        r = q('publish logged 7 g')
        t.check('taken over: refused', r.startswith('CONFLICT: ') and 'lease 2 is over' in r, r)
        t.check('and for good, without asking', q('tick') == r and q('publish logged 60 g') == r and q('close 60 g') == r, r)
        q.end()

        one = Runtime(cas, base, platform, 'rb/db')
        p = Probe(cas, one, shared=True)

        def has():
            return (Runtime(cas, base, platform, 'rb/db').volume()['version'] or {}).get('generation')
        p('open p 0'), p('publish sync 1 a')
        t.equal('rollback_protected: an fsync is noted', [p('publish logged 2 b'), has()], ['ok', 1])
        t.equal('a commit goes to CAS', [p('publish committed 3 c'), has()], ['ok', 3])
        t.equal('noted', [p('publish logged 4 d'), p('skip 1100'), has()], ['ok', 'ok', 3])
        t.equal('the next after the window goes to CAS', [p('publish logged 5 e'), has()], ['ok', 5])
        t.equal('and so does what a timer finds', [p('publish logged 6 f'), p('tick'), has(), p('skip 1100'), p('tick'), has()],
                ['ok', 'ok', 5, 'ok', 'ok', 6])
        q = Probe(cas, Runtime(cas, base, platform, 'rb/db'))
        cas.stop(signal.SIGKILL)
        t.equal('CAS away: no matter for a while', [p('publish committed 7 g'), p('skip 9000'), p('publish logged 8 h')], ['ok', 'ok', 'ok'])
        r = [p('skip 2000'), p('publish logged 9 i')]
        t.check('then it does', r[1].startswith('IO: '), r)
        port = cas.address[1]
        cas.start('--listen', f'127.0.0.1:{port}')
        t.equal('back: everything is made up for', [p('publish logged 10 j'), has()], ['ok', 10])
        t.equal('and written by a child, shared', [p('fork'), p('publish committed 11 k'), has()], ['ok', 'ok', 11])
        q.p.stdin.write('open q 3500\n')
        q.p.stdin.flush()
        time.sleep(1.2)
        p('close 12 l'), p.end()
        t.equal('who waits gets it when it is free', q.p.stdout.readline().strip(), 'ok number 2 least 1 version 12')
        q.end()

        p = Probe(cas, Runtime(cas, base, platform, 'none/db'))
        t.equal('no_rollback_protection', [p('open p 0'), p('check 3 a 0'), p('publish sync 4 b'), p('tick'), p('close 4 b')],
                ['ok number 0 least 0 version none, 0', 'ok', 'ok', 'ok', 'ok'])
        p.end()
        p = Probe(cas, Runtime(cas, base, platform, 'eph/db'))
        t.equal('ephemeral', [p('open p 0'), p('check - - 0'), p('publish sync 1 a'), p('publish committed 2 b'), p('close 2 b')],
                ['ok number 1 least 0 version none, 0', 'ok create', 'ok', 'ok', 'ok'])
        p.end()
        p = Probe(cas, Runtime(cas, base, platform, 'eph/db'))
        p('open p 0')
        r = p('check 2 b 1')
        t.check('what was changed is refused at the next start', r.startswith('CONFLICT: ') and 'put the old files back' in r, r)
        t.equal('what was put back is not', p('check 1 a 1'), 'ok')
        p.end()


def expiry(t, base):
    """The term is real time: one lease is left alone until it is over, another is kept by signs of life."""
    alice, platform = Identity(base, 'alice'), Platform(base, 'one')
    with Running(base) as cas:
        for name in ('dead', 'alive'):
            cas.call('POST', '/v1/sessions', session(name, '[{name: v}]', '[{name: v, path: /v}]'), alice)
        dead, alive = Runtime(cas, base, platform, 'dead/db'), Runtime(cas, base, platform, 'alive/db')
        other_dead, other_alive = Runtime(cas, base, platform, 'dead/db'), Runtime(cas, base, platform, 'alive/db')
        p = Probe(cas, alive)
        dead.open(), dead.update(1, 'a'), p('open p 0'), p('publish sync 1 a')
        begin = time.monotonic()
        t.equal('in use', [other_dead.open(place='q').status, other_alive.open(place='q').status], [409, 409])
        while time.monotonic() - begin < 31.5:
            time.sleep(2)
            p('tick')
        t.equal('after the term who is silent loses it', other_dead.open(place='q').status, 200)
        t.equal('who is not keeps it', other_alive.open(place='q').status, 409)
        t.equal('the silent one is refused', dead.update(2, 'b').status, 409)
        t.equal('the other is not', p('publish committed 2 b'), 'ok')
        p.end()


def kill9(t, base):
    """CAS is killed at any moment of a stream of updates: no acknowledged version is lost, none goes back, the lease stays."""
    alice, platform = Identity(base, 'alice'), Platform(base, 'one')
    rng = random.Random(7)
    with Running(base) as cas:
        cas.call('POST', '/v1/sessions', session('s', '[{name: v}]', '[{name: v, path: /v, update_policy: strict}]'), alice)
        one = Runtime(cas, base, platform, 's/db')
        port = cas.address[1]
        p = Probe(cas, one)
        p('open p 0'), p('publish sync 1 a')
        acknowledged = generation = 1
        bad = []
        for round in range(12):
            end = time.monotonic() + rng.uniform(0.02, 0.3)
            cas_pid = cas.process
            killer = subprocess.Popen([sys.executable, '-c', f'import time,os; time.sleep({rng.uniform(0.01, 0.25)}); os.kill({cas_pid.pid}, 9)'])
            while time.monotonic() < end or cas_pid.poll() is None:
                generation += 1
                r = p(f'publish logged {generation} {"abcdefgh"[generation % 8]}')
                if r == 'ok':
                    acknowledged = generation
                elif not r.startswith(('IO: ', 'PEER: ')):  # not reached, or cut off in the middle
                    bad.append(r)
                    break
            killer.wait()
            cas.process.wait()
            cas.start('--listen', f'127.0.0.1:{port}')
            got = Runtime(cas, base, platform, 's/db').volume()['version']
            if not acknowledged <= got['generation'] <= generation:
                bad.append(f'round {round}: acknowledged {acknowledged}, tried {generation}, CAS has {got}')
        t.check(f'12 kills, {acknowledged} generations: nothing acknowledged is lost', not bad, bad)
        r = p(f'publish logged {acknowledged - 1 if acknowledged > 1 else 0} a')
        t.check('and nothing goes back', r.startswith('CONFLICT: '), r)
        p.end()
        audit = subprocess.run([os.path.join(BIN, 'scone'), 'audit', 'verify', os.path.join(cas.dir, 'audit.log')], capture_output=True, text=True)
        t.check('the audit log verifies', audit.returncode == 0, audit.stdout + audit.stderr)


if __name__ == '__main__':
    main(api, keys_and_policies, client, expiry, kill9)
