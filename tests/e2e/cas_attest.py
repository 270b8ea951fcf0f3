#!/usr/bin/env python3
"""Attestation over CAS's interface, with evidence of a simulated platform that this test holds itself: what is given to whom, and every
single reason for a refusal. One field is wrong at a time; the request with none wrong is accepted."""

import base64
import hashlib
import json
import os
import struct
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../lib'))
from cas_harness import Identity, Running, main  # noqa: E402

ALPHABET = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz'
RUNTIME, MANIFEST = b'\x11' * 32, b'\x22' * 32


def sha256(*parts):
    return hashlib.sha256(b''.join(parts)).digest()


def key_text(digest):
    """docs/protocols.md section 1."""
    data = b'\x4f' + digest
    data += sha256(sha256(data))[:4]
    n, text = int.from_bytes(data, 'big'), ''
    while n:
        n, r = divmod(n, 58)
        text = ALPHABET[r] + text
    return text


MEASUREMENT = sha256(b'openscone-measurement-v1\0', RUNTIME, MANIFEST)


class Platform:
    """Ed25519 key by way of openssl(1); evidence as src/evidence/sim.h lays it out."""

    def __init__(self, base, name):
        self.key = os.path.join(base, name + '.platform')
        self.scratch = os.path.join(base, name + '.bytes')
        subprocess.run(['openssl', 'genpkey', '-algorithm', 'ed25519', '-out', self.key], check=True, capture_output=True)
        self.spki = subprocess.run(['openssl', 'pkey', '-in', self.key, '-pubout', '-outform', 'DER'], check=True,
                                   capture_output=True).stdout
        self.text = key_text(sha256(self.spki))

    def evidence(self, report, runtime=RUNTIME, manifest=MANIFEST, flags=0, age=0, measurement=None):
        body = b'SCONESIM' + struct.pack('>II', 1, flags) + runtime + manifest + \
            (measurement or sha256(b'openscone-measurement-v1\0', runtime, manifest)) + report + \
            struct.pack('>Q', int(time.time()) - age) + self.spki[-32:]
        with open(self.scratch, 'wb') as f:
            f.write(body)
        return body + subprocess.run(['openssl', 'pkeyutl', '-sign', '-rawin', '-inkey', self.key, '-in', self.scratch], check=True,
                                     capture_output=True).stdout


def session(mode, measurement=MEASUREMENT, name='app'):
    return f'''name: {name}
version: "0.3"
security: {{attestation: {{mode: {mode}}}}}
services:
  - name: db
    command: ["db", "--key=$$SCONE::key:hex$$", "@@1", "$$SCONECAS:word$$ $$SCONE::word$$"]
    environment: {{PASSWORD: "$$SCONE::password$$", PLAIN: "a$$b", JSON: "\\"$$SCONE::quote|escape(json)$$\\""}}
    pwd: /srv
    image_name: disk
    attestation: {{mrenclave: {measurement.hex()}}}
  - name: plain
    command: plain
    attestation: {{mrenclave: {measurement.hex()}}}
  - name: nul
    command: ["nul", "$$SCONE::nul$$"]
    attestation: {{mrenclave: {measurement.hex()}}}
images:
  - name: disk
    injection_files:
      - {{path: /etc/key, content: "1;$$SCONE::key$$;$$SCONE::nul$$", permission: 0o600}}
      - /etc/existing
    provide_secrets: [key, word]
secrets:
  - {{name: key, kind: binary, size: 32}}
  - {{name: password, kind: ascii, size: 24}}
  - {{name: word, kind: ascii, value: "$$SCONE::password$$"}}
  - {{name: quote, kind: ascii, value: 'a"b'}}
  - {{name: nul, kind: binary, value: "00"}}
'''


class Attester:
    """A client with a platform: asks for a nonce, makes evidence, attests. Keyword arguments change one thing."""

    def __init__(self, cas, identity, platform):
        self.cas, self.identity, self.platform = cas, identity, platform
        cert = subprocess.run(['openssl', 'x509', '-noout', '-pubkey'], input=cas.call('GET', '/v1/cas').json()['certificate'].encode(),
                              check=True, capture_output=True).stdout
        self.cas_key = sha256(subprocess.run(['openssl', 'pkey', '-pubin', '-outform', 'DER'], input=cert, check=True,
                                             capture_output=True).stdout)

    def nonce(self, identity=None):
        r = self.cas.call('POST', '/v1/attest/nonce', identity=identity or self.identity)
        return r.json()['nonce']

    def report(self, nonce, client=None, cas_key=None):
        return sha256(b'openscone-attest-v1\0', bytes.fromhex(nonce), client or sha256(self.identity.spki()), cas_key or self.cas_key) + \
            b'\0' * 32

    def send(self, config_id, nonce, evidence, identity=None):
        body = json.dumps({'config_id': config_id, 'nonce': nonce, 'evidence': base64.b64encode(evidence).decode()})
        return self.cas.call('POST', '/v1/attest', body, identity or self.identity)

    def attest(self, config_id='app/db', platform=None, **change):
        nonce = self.nonce()
        return self.send(config_id, nonce, (platform or self.platform).evidence(self.report(nonce), **change))


def value(v):
    return base64.b64decode(v['value'])


def configuration(t, base):
    alice, platform = Identity(base, 'alice'), Platform(base, 'one')
    with Running(base) as cas:
        a = Attester(cas, alice, platform)
        r = cas.call('POST', '/v1/sessions', session('simulation'), alice)
        t.check('session', r.status == 201 and any('simulation' in w for w in r.json()['warnings']), r)
        r = a.attest()
        if not t.check('attested', r.status == 200, r):
            return
        c = r.json()
        t.equal('session, service, mode, directory', [c[k] for k in ('session', 'service', 'mode', 'pwd')], ['app', 'db', 'simulation', '/srv'])
        t.check('warned about simulation', any('simulation' in w for w in c['warnings']), c['warnings'])
        env = {e['name']: value(e) for e in c['env']}
        secrets = {s['name']: (s['kind'], value(s)) for s in c['secrets']}
        password, key = env['PASSWORD'], secrets['key'][1]
        t.check('ascii secret', len(password) == 24 and all(0x21 <= b <= 0x7e for b in password), password)
        t.check('binary secret', secrets['key'][0] == 'binary' and len(key) == 32, secrets)
        t.equal('templates of arguments', value(c['argv'][1]), b'--key=' + key.hex().encode())
        t.equal('host argument', c['argv'][2], {'host': 1})
        t.equal('replaced text is not scanned again', value(c['argv'][3]), b'$$SCONE::password$$ $$SCONE::password$$')
        t.equal('what is no template stays', env['PLAIN'], b'a$$b')
        t.equal('JSON escapes', env['JSON'], b'"a\\"b"')
        files = {f['path']: f for f in c['files']}
        t.equal('file with content', base64.b64decode(files['/etc/key']['content']), b'1;' + key + b';\0')
        t.equal('its permission', files['/etc/key']['mode'], 0o600)
        t.equal('file of the host', files['/etc/existing']['content'], None)
        t.equal('provide_secrets is a limit', sorted(secrets), ['key', 'word'])
        again = a.attest().json()
        t.equal('the same values at the next start', again, c)
        t.equal('a service without image gets no secrets for files', a.attest('app/plain').json()['secrets'], [])
        r = a.attest('app/nul')
        t.check('NUL in an argument refused', r.status == 400 and 'E-NUL' in r.error(), r)

        h = cas.call('GET', '/v1/sessions/app', identity=alice).json()['hash']
        text = session('simulation').replace('size: 24', 'size: 25') + f'predecessor: {h}\n'
        t.equal('update', cas.call('POST', '/v1/sessions', text, alice).status, 200)
        c = a.attest().json()
        env = {e['name']: value(e) for e in c['env']}
        t.equal('a secret is kept across an update', value(c['argv'][1]), b'--key=' + key.hex().encode())
        t.check('a secret of another size is new', len(env['PASSWORD']) == 25 and env['PASSWORD'][:24] != password, env)
        log = open(cas.log, 'rb').read()
        t.check('no secret in the log', not any(s in log for s in (password, key.hex().encode(), key, env['PASSWORD'])))
        cas.stop()
        cas.start()
        a = Attester(cas, alice, platform)
        t.equal('and across a restart', a.attest().json(), c)
        cas.call('DELETE', '/v1/sessions/app', identity=alice)
        t.equal('not after deletion', a.attest().status, 404)
        cas.call('POST', '/v1/sessions', session('simulation') + f'salt: {"ab" * 16}\n', alice)
        t.check('a new life has new secrets', value(a.attest().json()['argv'][1]) != b'--key=' + key.hex().encode())
        t.equal('stops on TERM', cas.stop(), 0)


def refusals(t, base):
    alice, bob = Identity(base, 'alice'), Identity(base, 'bob')
    one, two = Platform(base, 'one'), Platform(base, 'two')
    with Running(base, '--sim-platform', one.text) as cas:
        warnings = cas.call('GET', '/v1/cas').json()['warnings']
        t.equal('no warning about any platform when one is named', len(warnings), 1)
        a = Attester(cas, alice, one)
        for mode in ('simulation', 'hardware'):
            cas.call('POST', '/v1/sessions', session(mode, name=mode), alice)
        good = 'simulation/db'

        def refused(name, reply, status, *words):
            t.check(name, reply.status == status and all(w in reply.error() for w in words), reply)

        t.equal('nothing wrong', a.attest(good).status, 200)
        refused('session without mode simulation', a.attest('hardware/db'), 403, 'ATTEST', 'mode')
        r = a.attest(good, runtime=b'\x12' * 32)
        wrong = sha256(b'openscone-measurement-v1\0', b'\x12' * 32, MANIFEST).hex()
        refused('another runtime: measurement seen and wanted', r, 403, 'ATTEST', wrong, MEASUREMENT.hex())
        refused('another program', a.attest(good, manifest=b'\x23' * 32), 403, 'ATTEST', MEASUREMENT.hex())
        refused('a measurement that is claimed only', a.attest(good, runtime=b'\x12' * 32, measurement=MEASUREMENT), 403, 'ATTEST')
        refused('a platform that is not trusted', a.attest(good, platform=two), 403, 'ATTEST', two.text)
        refused('debug', a.attest(good, flags=1), 403, 'ATTEST', 'debug')
        refused('old evidence', a.attest(good, age=3600), 403, 'ATTEST')
        refused('evidence of the future', a.attest(good, age=-3600), 403, 'ATTEST')

        nonce = a.nonce()
        evidence = one.evidence(a.report(nonce))
        for at in (0, 8, 20, 60, 100, 130, 180, 190, 230, 279):
            damaged = bytearray(evidence)
            damaged[at] ^= 1
            r = a.send(good, a.nonce(), bytes(damaged))
            t.check(f'evidence with byte {at} changed', r.status in (400, 403), r)
        t.equal('evidence cut short', a.send(good, a.nonce(), evidence[:-1]).status in (400, 403), True)
        refused('no evidence', a.send(good, a.nonce(), b''), 403, 'ATTEST', 'none')
        refused('evidence for another nonce', a.send(good, a.nonce(), evidence), 403, 'ATTEST')
        t.equal('that evidence with its own nonce', a.send(good, nonce, evidence).status, 200)
        refused('the same nonce again', a.send(good, nonce, evidence), 403, 'ATTEST', 'nonce')
        nonce = a.nonce()
        refused('nonce used up by a refusal', a.send(good, nonce, one.evidence(a.report(a.nonce()))), 403, 'ATTEST')
        refused('even with good evidence', a.send(good, nonce, one.evidence(a.report(nonce))), 403, 'nonce')
        refused('a nonce that was not issued', a.send(good, '00' * 32, one.evidence(a.report('00' * 32))), 403, 'nonce')
        nonce = a.nonce()
        evidence = one.evidence(a.report(nonce))
        refused('a nonce and evidence of another client', a.send(good, nonce, evidence, bob), 403, 'nonce')
        mine = a.nonce(bob)
        refused('evidence of another client', a.send(good, mine, one.evidence(a.report(mine)), bob), 403, 'ATTEST')
        t.equal('which is the owner\'s still', a.send(good, nonce, evidence).status, 200)
        nonce = a.nonce()
        refused('evidence for another CAS', a.send(good, nonce, one.evidence(a.report(nonce, cas_key=b'\1' * 32))), 403, 'ATTEST')

        refused('unknown session', a.attest('unknown/db'), 404, 'NOT_FOUND')
        refused('unknown service', a.attest('simulation/unknown'), 404, 'NOT_FOUND')
        refused('malformed config id', a.attest('simulation'), 400, 'INPUT')
        refused('one-time password', a.attest('simulation/db@123456'), 400, 'one-time')
        log = open(cas.log).read()
        t.check('refusals are logged with service and reason', 'simulation/db: attestation refused: ATTEST' in log)
        t.check('one-time passwords are not', '123456' not in log.replace(wrong, ''))
        t.equal('stops on TERM', cas.stop(), 0)


def mode_none(t, base):
    alice, platform = Identity(base, 'alice'), Platform(base, 'one')
    with Running(base) as cas:
        a = Attester(cas, alice, platform)
        r = cas.call('POST', '/v1/sessions', session('none'), alice)
        t.check('warned at upload', any('nothing is verified' in w for w in r.json()['warnings']), r)
        r = a.send('app/db', a.nonce(), b'')
        t.check('no evidence needed, but a warning given', r.status == 200 and any('nothing was verified' in w for w in r.json()['warnings']), r)
        t.equal('a nonce is', a.send('app/db', '00' * 32, b'').status, 403)
        t.equal('evidence that is there must be good', a.send('app/db', a.nonce(), platform.evidence(b'\0' * 64)).status, 403)
        t.equal('stops on TERM', cas.stop(), 0)


if __name__ == '__main__':
    main(configuration, refusals, mode_none)
