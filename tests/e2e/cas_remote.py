#!/usr/bin/env python3
"""Secrets that a session imports from a session of another CAS: two real CAS over TLS. Who gets them and who does not, what is checked at each start, and
that nobody else waits when the other CAS does not answer. And the access token that a program and CAS prove to each other."""

import base64
import hashlib
import hmac
import json
import os
import socket
import sys
import threading
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '../lib'))
sys.path.insert(0, HERE)
from cas_attest import Attester, MEASUREMENT, Platform  # noqa: E402
from cas_harness import Identity, Running, main  # noqa: E402

SESSIONS = '/v1/sessions'
SIMULATED = 'security: {attestation: {mode: simulation}}\n'
SERVICE = 'services:\n  - {name: s, command: [p, "$$SCONE::key:hex$$"], pwd: /, attestation: {mrenclave: %s}}\n' % MEASUREMENT.hex()


def key_of(cas):
    return cas.call('GET', '/v1/cas').json()['key']


def url(cas):
    return '%s:%d' % cas.address


def importer(url, key, more='', secret='key', name='user', reference='session: store'):
    return (f'name: {name}\nversion: "0.3"\n{SIMULATED}{SERVICE}secrets:\n'
            f'  - {{name: key, import: {{{reference}, secret: {secret}, cas_url: "{url}", cas_key: {key}{more}}}}}\n')


def exporter(to, extra='', salt=0):
    return (f'name: store\nversion: "0.3"\nsalt: {salt:032x}\nsecrets:\n  - {{name: key, kind: binary, value: {"5a" * 16}, export: {to}}}\n'
            f'  - {{name: own, kind: ascii, value: mine}}\n{extra}')


def update(cas, name, text, identity):
    h = cas.call('GET', f'{SESSIONS}/{name}', identity=identity).json()['hash']
    r = cas.call('POST', SESSIONS, text + f'predecessor: {h}\n', identity)
    assert r.status == 200, r
    return r.json()['hash']


def argument(r):
    return base64.b64decode(r.json()['argv'][1]['value']).decode() if r.status == 200 else r


def remote(t, base):
    alice, bob, platform = Identity(base, 'alice'), Identity(base, 'bob'), Platform(base, 'one')
    with Running(base, name='there') as there, Running(base, name='here') as here, Running(base, name='third') as third:
        to = f'{{session: user, cas_key: {key_of(here)}}}'
        r = there.call('POST', SESSIONS, exporter(to), bob)
        t.check('a session exports to a session of another CAS', r.status == 201, r)
        r = here.call('POST', SESSIONS, importer(url(there), key_of(there)), alice)
        t.check('which imports it', r.status == 201, r)
        mine = r.json()['hash']
        a = Attester(here, alice, platform)
        t.equal('the service has the value', argument(a.attest('user/s')), '5a' * 16)
        log = open(os.path.join(there.dir, 'audit.log')).read()
        t.check('the exporter\'s audit log has it, and to which CAS', any(json.loads(line)['event'] == 'exported' and json.loads(line)['actor'] == key_of(here)
                                                                        for line in log.splitlines()), log[-400:])
        time.sleep(1.1)
        ready = [(n, platform.evidence(a.report(n))) for n in (a.nonce() for _ in range(20))]
        t.equal('twenty starts at once have it', {argument(r) for r in many([lambda n=n, e=e: a.send('user/s', n, e) for n, e in ready])}, {'5a' * 16})
        nonce = a.nonce()
        evidence = platform.evidence(a.report(nonce))
        t.equal('a nonce that has waited', a.send('user/s', nonce, evidence).status, 200)
        t.equal('is good once', a.send('user/s', nonce, evidence).status, 403)
        r = here.call('GET', SESSIONS + '/user', identity=alice)
        t.check('the description has the reference, not the value', '5a5a' not in r.body.decode(), r)

        # What the exporter does not give.
        time.sleep(1.1)
        update(there, 'store', exporter(to.replace('user', 'another'), salt=1), bob)
        r = a.attest('user/s')
        t.check('not exported any more: the next start is refused', r.status == 404 and 'E-REF' in r.error(), r)
        update(there, 'store', exporter(f'{{session: user, cas_key: {key_of(third)}}}', salt=2), bob)
        time.sleep(1.1)
        r = a.attest('user/s')
        t.check('exported to a session of that name at a third CAS: refused', r.status == 404 and 'E-REF' in r.error(), r)
        update(there, 'store', exporter('{session: user}', salt=3), bob)
        time.sleep(1.1)
        t.equal('exported to a session of its own CAS: refused', a.attest('user/s').status, 404)
        h = update(there, 'store', exporter(to[:-1] + f', session_hash: {mine}}}', salt=4), bob)
        time.sleep(1.1)
        t.equal('exported to this very version', a.attest('user/s').status, 200)
        update(here, 'user', importer(url(there), key_of(there), f', session_hash: {h}'), alice)
        r = a.attest('user/s')
        t.check('which is not the one any more', r.status == 404, r)
        update(there, 'store', exporter(to, salt=5), bob)
        time.sleep(1.1)
        r = a.attest('user/s')
        t.check('imported with a hash that the exporter had', r.status == 409 and 'E-REF' in r.error(), r)

        # Another key than the pinned one, and nobody there.
        update(here, 'user', importer(url(third), key_of(there)), alice)
        r = a.attest('user/s')
        t.check('another CAS at that address is not asked', r.status == 503 and key_of(third) in r.error() and key_of(there) in r.error(), r)
        update(here, 'user', importer('127.0.0.1:1', key_of(there)), alice)
        r = a.attest('user/s')
        t.check('nobody there: unavailable, with the address', r.status == 503 and '127.0.0.1:1' in r.error(), r)
        update(here, 'user', importer('127.0.0.1:1,' + url(there), key_of(there)), alice)
        t.equal('two addresses, one of which answers', argument(a.attest('user/s')), '5a' * 16)
        update(here, 'user', importer('https://%s/' % url(there), key_of(there)), alice)
        t.equal('written as a URL', argument(a.attest('user/s')), '5a' * 16)
        line = (f'name: user\nversion: "0.3"\n{SIMULATED}{SERVICE}secrets:\n'
                f'  - {{name: key, import: "{url(there)}/session=store,cas_key={key_of(there)},secret=key"}}\n')
        update(here, 'user', line, alice)
        t.equal('in one line', argument(a.attest('user/s')), '5a' * 16)
        update(here, 'user', line.replace('secret=key"', 'secret=key", kind: ascii').replace(':hex', ''), alice)
        r = a.attest('user/s')
        t.check('of another kind than the importer wants', r.status == 409 and 'E-KIND' in r.error(), r)

        # The API itself.
        ask = {'session': 'store', 'secret': 'key', 'session_hash': None, 'importer': 'user', 'importer_hash': '00' * 32}
        t.equal('asked by a key that is no CAS named there', there.call('POST', '/v1/exports', json.dumps(ask), alice).status, 404)
        t.equal('nor is a secret without export there', there.call('POST', '/v1/exports', json.dumps(dict(ask, secret='own')), alice).status, 404)
        t.equal('nobody', there.call('POST', '/v1/exports', json.dumps(ask)).status, 401)
        for name, bad in (('a key too many', dict(ask, x=1)), ('no importer', {k: v for k, v in ask.items() if k != 'importer'}),
                          ('a bad name', dict(ask, session='a//b')), ('a short hash', dict(ask, importer_hash='00'))):
            t.equal('malformed: ' + name, there.call('POST', '/v1/exports', json.dumps(bad), alice).status, 400)
        for cas in (here, there, third):
            t.equal('stops on TERM', cas.stop(), 0)


def many(calls):
    results = [None] * len(calls)
    threads = [threading.Thread(target=lambda i=i, f=f: results.__setitem__(i, f())) for i, f in enumerate(calls)]
    for x in threads:
        x.start()
    for x in threads:
        x.join()
    return results


def kinds(t, base):
    """Certificates with their keys, keys, fragments and templates of the policy."""
    alice, platform = Identity(base, 'alice'), Platform(base, 'one')
    with Running(base, name='there') as there, Running(base, name='here') as here:
        to = f'{{namespace: shop, cas_key: {key_of(here)}}}'
        text = (f'name: pki\nversion: "0.3"\nsecrets:\n  - {{name: ca_key, kind: private-key}}\n  - {{name: ca, kind: x509-ca, private_key: ca_key}}\n'
                f'  - {{name: k, kind: private-key, export: {to}}}\n  - {{name: c, kind: x509, private_key: k, issuer: ca, dns: a.example, export: {to}}}\n'
                f'  - {{name: bare, kind: x509, private_key: ca_key, dns: b.example, export: {to}}}\n'
                f'  - {{name: allowed, kind: config-fragment, value: [{MEASUREMENT.hex()}], export: {to}}}\n')
        t.equal('a session with keys', there.call('POST', SESSIONS, text, alice).status, 201)
        where = f'session: pki, cas_url: "{url(there)}", cas_key: {key_of(there)}'
        r = here.call('POST', SESSIONS, 'name: shop\nversion: "0.3"\n', alice)
        r = here.call('POST', SESSIONS, f'name: shop/web\nversion: "0.3"\n{SIMULATED}secrets:\n' +
                      ''.join(f'  - {{name: {n}, import: {{{where}, secret: {n}}}}}\n' for n in ('k', 'c', 'bare', 'allowed')) +
                      'services:\n  - {name: s, command: [p, "$$SCONE::c$$", "$$SCONE::c:privatekey$$", "$$SCONE::c:chain$$", "$$SCONE::k$$"], pwd: /, '
                      'attestation: {mrenclave: $$SCONE::allowed$$}}\n'
                      '  - {name: t, command: [p, "$$SCONE::bare:privatekey$$"], pwd: /, attestation: {mrenclave: %s}}\n' % MEASUREMENT.hex(), alice)
        t.equal('below an exported namespace', r.status, 201)
        a = Attester(here, alice, platform)
        r = a.attest('shop/web/s')
        if not t.check('attested, by a rule that came from the other CAS', r.status == 200, r):
            return
        _, cert, key, chain, bare = (base64.b64decode(x['value']).decode() for x in r.json()['argv'])
        t.check('certificate, its key, its chain', 'BEGIN CERTIFICATE' in cert and key == bare and 'BEGIN CERTIFICATE' in chain and chain != cert)
        r = a.attest('shop/web/t')
        t.check('the key of a certificate whose key is not exported stays there', r.status in (400, 404, 409) and 'PRIVATE' not in r.body.decode(), r)
        wrong = Attester(here, alice, platform).attest('shop/web/s', manifest=os.urandom(32))
        t.equal('other code is refused', wrong.status, 403)


def silent(t, base):
    """A CAS that takes connections and says nothing: the start that needs it waits and is told; all others go on."""
    alice, platform = Identity(base, 'alice'), Platform(base, 'one')
    with Running(base, name='here') as here, socket.create_server(('127.0.0.1', 0)) as dead:
        here.call('POST', SESSIONS, importer('127.0.0.1:%d' % dead.getsockname()[1], key_of(here)), alice)
        here.call('POST', SESSIONS, 'name: other\nversion: "0.3"\n' + SIMULATED + SERVICE + 'secrets: [{name: key, kind: binary}]\n', alice)
        a = Attester(here, alice, platform)
        results = []
        nonce = a.nonce()
        evidence = platform.evidence(a.report(nonce))
        waiting = threading.Thread(target=lambda: results.append(a.send('user/s', nonce, evidence)))
        begin = time.monotonic()
        waiting.start()
        took, good = [], 0
        while waiting.is_alive() and time.monotonic() - begin < 3:
            at = time.monotonic()
            good += a.attest('other/s').status == 200
            took.append(time.monotonic() - at)
        t.check('others attest meanwhile', good == len(took) and good > 3, (good, len(took)))
        t.check('and do not wait for it', sorted(took)[len(took) // 2] < 1, took)
        waiting.join(30)
        t.check('who needs it is told', results and results[0].status == 503, results)
        nonce = a.nonce()
        evidence = platform.evidence(a.report(nonce))
        waiting = threading.Thread(target=lambda: results.append(a.send('user/s', nonce, evidence)))
        waiting.start()
        time.sleep(0.5)
        t.equal('a stop does not hang on it', here.stop(), 0)
        waiting.join(30)
        t.equal('and answers what waited', results[-1].status, 503)


def proof(token, side, report):
    return hmac.new(token.encode(), b'openscone-access-v1\0' + bytes([side]) + report, hashlib.sha256).hexdigest()


def token(t, base):
    alice, platform = Identity(base, 'alice'), Platform(base, 'one')
    word = 'not a secret: "anything" goes'
    with Running(base) as cas:
        a = Attester(cas, alice, platform)
        for mode in ('simulation', 'none'):
            text = (f'name: app-{mode}\nversion: "0.3"\nsecurity: {{service_access_token: {json.dumps(word)}, attestation: {{mode: {mode}}}}}\n' +
                    SERVICE + 'secrets: [{name: key, kind: binary}]\n')
            t.equal(f'{mode}: a session with an access token', cas.call('POST', SESSIONS, text, alice).status, 201)

            def attest(proof_of, name='app-' + mode):
                nonce = a.nonce()
                report = a.report(nonce)
                evidence = platform.evidence(report) if 'none' not in name else b''
                body = {'config_id': name + '/s', 'nonce': nonce, 'evidence': base64.b64encode(evidence).decode()}
                if proof_of:
                    body['access_proof'] = proof_of(report)
                return cas.call('POST', '/v1/attest', json.dumps(body), alice), report
            r, report = attest(lambda r: proof(word, 1, r))
            t.check(f'{mode}: who proves to know it gets the configuration', r.status == 200, r)
            t.equal(f'{mode}: and CAS\'s proof', r.json().get('access_proof'), proof(word, 2, report))
            for name, bad in (('nothing', None), ('another token', lambda r: proof(word + ' ', 1, r)), ('an echo of the other side', lambda r: proof(word, 2, r)),
                              ('a proof for another connection', lambda r: proof(word, 1, r[::-1])), ('zeros', lambda r: '00' * 32)):
                r, _ = attest(bad)
                t.check(f'{mode}: {name} is refused', r.status == 403 and 'access token' in r.error() and word not in r.error(), r)
            t.equal(f'{mode}: a short proof is malformed', attest(lambda r: '00')[0].status, 400)
        r = cas.call('POST', SESSIONS, 'name: plain\nversion: "0.3"\n' + SIMULATED + SERVICE + 'secrets: [{name: key, kind: binary}]\n', alice)
        nonce = a.nonce()
        r = cas.call('POST', '/v1/attest', json.dumps({'config_id': 'plain/s', 'nonce': nonce, 'access_proof': proof(word, 1, a.report(nonce)),
                                                       'evidence': base64.b64encode(platform.evidence(a.report(nonce))).decode()}), alice)
        t.check('a session without one cannot prove it, and says so', r.status == 403 and 'has none' in r.error(), r)
        t.check('the token is in no log', word not in open(cas.log, errors='replace').read() and word not in open(os.path.join(cas.dir, 'audit.log')).read())


if __name__ == '__main__':
    main(remote, kinds, silent, token)
