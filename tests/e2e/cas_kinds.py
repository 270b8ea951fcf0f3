#!/usr/bin/env python3
"""Kinds of secrets and forms of policy that CAS evaluates when a service attests: pgp-key (GnuPG's own verdict), jwt (OpenSSL's), config-fragment from
another session, one-time passwords."""

import base64
import hmac
import json
import os
import struct
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../lib'))
from cas_attest import Attester, MEASUREMENT, Platform, value  # noqa: E402
from cas_harness import Identity, Running, main  # noqa: E402

M = MEASUREMENT.hex()


def put(t, cas, who, text, status=201):
    r = cas.call('POST', '/v1/sessions', text, who)
    t.check('session', r.status == status, r)
    return r


def pgp(t, base):
    alice, platform = Identity(base, 'alice'), Platform(base, 'one')
    text = f'''name: p
version: "0.3"
security: {{attestation: {{mode: simulation}}}}
secrets: [{{name: k, kind: pgp-key, export_public: true}}]
images: [{{name: i, injection_files: [{{path: /k, content: "$$SCONE::k:privatekey:asciiarmored$$"}}, {{path: /b, content: "$$SCONE::k:publickey:binary$$"}},
  {{path: /e, content: "$$SCONE::k:privatekey:base64$$"}}]}}]
services: [{{name: s, pwd: /, image_name: i, attestation: {{mrenclave: {M}}}}}]
'''
    with Running(base) as cas:
        put(t, cas, alice, text)
        c = Attester(cas, alice, platform).attest('p/s').json()
        files = {f['path']: base64.b64decode(f['content']) for f in c['files']}
        t.equal('base64 is the armour\'s content', base64.b64decode(files['/e']), base64.b64decode(b''.join(files['/k'].split(b'\n')[2:-3])))
        public = cas.call('GET', '/v1/values/session=p').json()['values']['k']['value']
        t.check('the public one is public', public.startswith('-----BEGIN PGP PUBLIC KEY BLOCK-----'), public)
        h = cas.call('GET', '/v1/sessions/p', identity=alice).json()['hash']
        put(t, cas, alice, text.replace('version: "0.3"\n', f'version: "0.3"\npredecessor: {h}\n'), 200)
        t.equal('an update keeps it', cas.call('GET', '/v1/values/session=p').json()['values']['k']['value'], public)

    def gpg(home, *args, data=b''):
        os.makedirs(home, 0o700, exist_ok=True)
        return subprocess.run(['gpg', '--homedir', home, '--batch', '--quiet', '--trust-model', 'always', *args], input=data, capture_output=True)
    mine, theirs = os.path.join(base, 'mine'), os.path.join(base, 'theirs')
    try:
        r = gpg(mine, '--import', data=files['/k'])
        t.check('gpg imports the private key', r.returncode == 0, r.stderr)
        r = gpg(theirs, '--import', data=files['/b'])
        t.check('and the public one', r.returncode == 0, r.stderr)
        listed = gpg(theirs, '--list-keys', '--with-colons').stdout.decode()
        rows = [line.split(':') for line in listed.splitlines()]
        t.equal('an Ed25519 key that signs, a Curve25519 key that encrypts', [[r[0], r[3], r[11][0] if r[0] == 'sub' else '', r[16]] for r in rows if r[0] in ('pub', 'sub')],
                [['pub', '22', '', 'ed25519'], ['sub', '18', 'e', 'cv25519']])
        uid = [r[9] for r in rows if r[0] == 'uid'][0]
        t.check('a random user ID', len(uid) == 36 and uid.startswith('key-'), uid)
        r = gpg(theirs, '--armor', '--encrypt', '--recipient', uid, data=b'for k')
        t.equal('what is encrypted to it is read', gpg(mine, '--decrypt', data=r.stdout).stdout, b'for k')
        r = gpg(mine, '--sign', data=b'by k')
        r = gpg(theirs, '--status-fd', '2', '--decrypt', data=r.stdout)
        t.check('what it signs is verified', r.stdout == b'by k' and b'GOODSIG' in r.stderr, r.stderr)
        prefs = gpg(theirs, '--list-packets', data=files['/b']).stdout.decode()
        t.check('preferences AES-256, SHA-256, ZLIB', all(p in prefs for p in ('pref-sym-algos: 9', 'pref-hash-algos: 8', 'pref-zip-algos: 2')), prefs)
    finally:
        for home in (mine, theirs):
            subprocess.run(['gpgconf', '--homedir', home, '--kill', 'all'], capture_output=True)


def jwt(t, base):
    alice, platform = Identity(base, 'alice'), Platform(base, 'one')
    with Running(base) as cas:
        put(t, cas, alice, f'''name: j
version: "0.3"
security: {{attestation: {{mode: simulation}}}}
secrets:
  - {{name: k, kind: private-key, key_type: P-384}}
  - {{name: pub, kind: public-key, private_key: k, export_public: true}}
  - {{name: who, kind: ascii, value: "a \\"b\\""}}
  - {{name: t, kind: jwt, signer: k, alg: ES384, validity: {{for: 2 h}}, payload: {{sub: x, aud: $$SCONE::who$$, id: $$SCONE::self::software_identity$$}}}}
services: [{{name: s, pwd: /, command: ["a", "$$SCONE::t$$"], attestation: {{mrenclave: {M}}}}}]
''')
        now = time.time()
        c = Attester(cas, alice, platform).attest('j/s').json()
        head, payload, sig = value(c['argv'][1]).decode().split('.')

        def part(s):
            return base64.urlsafe_b64decode(s + '=' * (-len(s) % 4))
        t.equal('header', json.loads(part(head)), {'alg': 'ES384', 'typ': 'JWT'})
        p = json.loads(part(payload))
        t.equal('claims', [p['sub'], p['aud'], p['id']], ['x', 'a "b"', M])
        t.check('times', abs(p['iat'] - now) < 30 and p['nbf'] == p['iat'] and p['exp'] == p['iat'] + 7200, p)
        raw = part(sig)
        r, s = (int.from_bytes(raw[i:i + 48], 'big') for i in (0, 48))

        def integer(v):
            b = v.to_bytes(v.bit_length() // 8 + 1, 'big')
            return b'\x02' + bytes([len(b)]) + b
        der = integer(r) + integer(s)
        names = {n: os.path.join(base, n) for n in ('pub', 'sig', 'text')}
        for name, data in (('pub', cas.call('GET', '/v1/values/session=j').json()['values']['pub']['value'].encode()),
                           ('sig', b'\x30' + bytes([len(der)]) + der), ('text', f'{head}.{payload}'.encode())):
            with open(names[name], 'wb') as f:
                f.write(data)
        r = subprocess.run(['openssl', 'dgst', '-sha384', '-verify', names['pub'], '-signature', names['sig'], names['text']], capture_output=True)
        t.check('openssl verifies the signature', len(raw) == 96 and r.returncode == 0, r.stdout + r.stderr)
        again = value(Attester(cas, alice, platform).attest('j/s').json()['argv'][1])
        t.check('each start has its own', again != value(c['argv'][1]))


def fragments(t, base):
    """Measurements that another session publishes: a release is added there, and services elsewhere start with it."""
    alice, platform = Identity(base, 'alice'), Platform(base, 'one')
    with Running(base) as cas:
        def vendor(measurements, predecessor=None, export='export: {session: user}'):
            head = f'predecessor: {predecessor}\n' if predecessor else ''
            return put(t, cas, alice, f'''name: vendor
version: "0.3"
{head}secrets:
  - {{name: one, kind: ascii, value: "{M}"}}
  - {{name: builds, kind: config-fragment, value: {measurements}, {export}}}
''', 200 if predecessor else 201).json()['hash']
        h = vendor(f'["{"00" * 32}"]')
        user = '''name: user
version: "0.3"
security: {{attestation: {{mode: simulation}}}}
secrets:
  - {{name: builds, import: {{session: vendor, secret: builds}}}}
  - {{name: one, kind: ascii, value: "{zero}"}}
services: [{{name: s, pwd: /, attestation: [{{mrenclave: [$$SCONE::builds$$]}}]}}]
'''
        put(t, cas, alice, user.format(zero='00' * 32))
        a = Attester(cas, alice, platform)
        r = a.attest('user/s')
        t.check('not among the builds', r.status == 403 and 'measurement' in r.error(), r)
        h = vendor(f'["{"00" * 32}", "$$SCONE::one$$"]', h)
        t.equal('added there, with a template that is the vendor\'s', a.attest('user/s').status, 200)
        h = vendor('["zz"]', h)
        r = a.attest('user/s')
        t.check('nonsense from there: refused, named', r.status == 403 and 'give no good policy: services[0].attestation[0].mrenclave[0]' in r.error() and 'zz' not in r.error(), r)
        vendor(f'["{M}"]', h, 'export: {session: other}')
        r = a.attest('user/s')
        t.check('not exported any more: matches nothing', r.status == 403 and 'do not resolve' in r.error(), r)
        put(t, cas, alice, f'''name: sec
version: "0.3"
secrets: [{{name: f, kind: config-fragment, value: {{attestation: {{mode: $$SCONE::m$$}}}}}}, {{name: m, kind: ascii, value: simulation}}]
security: $$SCONE::f$$
services: [{{name: s, pwd: /, attestation: {{mrenclave: {M}}}}}]
''')
        t.equal('security from a fragment', a.attest('sec/s').status, 200)


def totp(key, at):
    mac = hmac.new(key, struct.pack('>Q', int(at) // 30), 'sha1').digest()
    o = mac[-1] & 15
    return '%06d' % ((struct.unpack('>I', mac[o:o + 4])[0] & 0x7fffffff) % 1000000)


def otp(t, base):
    alice, platform = Identity(base, 'alice'), Platform(base, 'one')
    key = os.urandom(20)
    with Running(base) as cas:
        put(t, cas, alice, f'''name: o
version: "0.3"
security: {{attestation: {{mode: simulation, one_time_password_shared_secret: "{base64.b32encode(key).decode().lower()}"}}}}
secrets: [{{name: made, kind: binary, size: 20}}]
services:
  - {{name: s, pwd: /, attestation: {{mrenclave: {M}}}}}
  - {{name: own, pwd: /, command: ["x", "$$SCONE::made:hex$$"], one_time_password_shared_secret: "$$SCONE::made:base32nopad$$", attestation: {{mrenclave: {M}}}}}
''')
        a = Attester(cas, alice, platform)
        r = a.attest('o/s')
        t.check('none given', r.status == 403 and 'wants one' in r.error(), r)
        r = a.attest('o/s@' + totp(key, time.time() - 300))
        t.check('an old one', r.status == 403 and 'not the one of now' in r.error(), r)
        now = totp(key, time.time())
        t.equal('the one of now', a.attest('o/s@' + now).status, 200)
        r = a.attest('o/s@' + now)
        t.check('once', r.status == 403 and 'used already' in r.error(), r)
        cas.stop(9)
        cas.start()
        r = Attester(cas, alice, platform).attest('o/s@' + now)
        t.check('also after CAS was killed', r.status == 403 and 'used already' in r.error(), r)
        t.check('it is in no log', now not in cas.tail(), '')
        r = Attester(cas, alice, platform).attest('o/own@' + totp(key, time.time()))
        t.check('a service with a secret of its own, a generated one', r.status == 403 and 'not the one of now' in r.error(), r)


def older(t, base):
    """Files of 0.1 and 0.2 as they are."""
    alice, platform = Identity(base, 'alice'), Platform(base, 'one')
    with Running(base) as cas:
        put(t, cas, alice, f'''name: old:one
digest: create
predecessor: ~
services: [{{name: s, command: x y, mrenclaves: [{M}], tags: [a], pwd: /, environment: {{A: b}}, image_name: i}}]
images: [{{name: i, mrenclaves: [{M}], tags: [t], volumes: []}}]
board_members: []
board_policy: {{minimum: 0, timeout: 30}}
''')
        r = Attester(cas, alice, platform).attest('old:one/s')
        t.check('0.1 asks for evidence of hardware', r.status == 403 and 'mode hardware' in r.error(), r)
        put(t, cas, alice, '''name: store
version: "0.2"
secrets: [{name: shared, kind: ascii, value: both, export: [user, other]}]
''')
        text = f'''name: user
version: "0.2"
services: [{{name: s, command: "x $$SCONE::shared$$", pwd: /, image_name: i, mrenclaves: [{M}]}}]
images: [{{name: i, injection_files: [{{path: /crt, content: $$SCONE::server.crt$$}}, {{path: /key, content: $$SCONE::server.key$$}},
  {{path: /chain, content: $$SCONE::server.chain$$}}, {{path: /ca, content: $$SCONE::ca$$}}]}}]
secrets:
  - {{name: shared, kind: ascii, import: store}}
  - {{name: server, kind: x509, export_public: true}}
  - {{name: ca, kind: session-ca, export_public: true}}
'''
        put(t, cas, alice, text)
        public = cas.call('GET', '/v1/values/session=user').json()['values']
        for name in ('server', 'ca'):
            with open(os.path.join(base, name + '.pem'), 'w') as f:
                f.write(public[name]['value'])
        r = subprocess.run(['openssl', 'verify', '-CAfile', 'ca.pem', 'server.pem'], cwd=base, capture_output=True, text=True)
        t.check('0.2: the session\'s CA has signed the certificate', r.returncode == 0, r.stdout + r.stderr)
        h = cas.call('GET', '/v1/sessions/user', identity=alice).json()['hash']
        put(t, cas, alice, text.replace('version: "0.2"', f'version: "0.2"\npredecessor: {h}'), 200)
        new = cas.call('GET', '/v1/values/session=user').json()['values']
        with open(os.path.join(base, 'new.pem'), 'w') as f:
            f.write(new['server']['value'])
        r = subprocess.run(['openssl', 'verify', '-CAfile', 'ca.pem', 'new.pem'], cwd=base, capture_output=True, text=True)
        t.check('the CA outlives an update, the certificate does not', r.returncode == 0 and new['server']['value'] != public['server']['value'], r.stderr)


def namespaces(t, base):
    alice, bob = Identity(base, 'alice'), Identity(base, 'bob')
    with Running(base) as cas:
        r = put(t, cas, alice, 'name: a\nversion: "0.3"\n')
        right, wrong = r.json()['hash'], '00' * 32
        r = cas.call('POST', '/v1/sessions', f'name: a/b\nversion: "0.3"\nnamespace_hash: {wrong}\n', alice)
        t.check('another hash of the namespace', r.status == 409 and 'E-NS' in r.error(), r)
        put(t, cas, alice, f'name: a/b\nversion: "0.3"\nnamespace_hash: {right}\n')
        r = cas.call('POST', '/v1/sessions', f'name: c\nversion: "0.3"\nnamespace_hash: {right}\n', alice)
        t.check('a namespace hash where nobody has claimed the root', r.status == 404 and 'E-NS' in r.error(), r)
        r = cas.call('POST', '/v1/sessions', 'name: /\nversion: "0.3"\n', alice)
        t.check('the root cannot be claimed any more', r.status == 409 and 'E-NS' in r.error(), r)
        put(t, cas, alice, 'name: old\n')
        r = cas.call('POST', '/v1/sessions', 'name: old/x\nversion: "0.3"\n', alice)
        t.check('a session of 0.1 is no namespace', r.status == 409 and 'E-NS' in r.error(), r)
    with Running(base, name='second') as cas:
        r = put(t, cas, alice, 'name: /\nversion: "0.3"\n')
        root = r.json()['hash']
        r = cas.call('POST', '/v1/sessions', 'name: b\nversion: "0.3"\n', bob)
        t.check('who claimed it decides who may use this CAS', r.status == 403, r)
        put(t, cas, alice, f'name: b\nversion: "0.3"\nnamespace_hash: {root}\n')


if __name__ == '__main__':
    main(pgp, jwt, fragments, otp, older, namespaces)
