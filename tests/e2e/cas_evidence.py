#!/usr/bin/env python3
"""CAS proves what it is: evidence of its TPM (swtpm) or the simulated TEE about the key of its TLS connections, held against what a user wants of it."""

import base64
import http.server
import json
import os
import ssl
import subprocess
import sys
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../lib'))
from cas_harness import BIN, Cas, Identity, main  # noqa: E402
from swtpm import Tpm  # noqa: E402

ZEROS = '00' * 32
DRIVER = os.path.join(BIN, '../tests/e2e/tee_driver')
UNTRUSTED, USAGE, INPUT = 8, 2, 4


class Scone:
    def __init__(self, base):
        self.env = dict(os.environ, SCONE_HOME=os.path.join(base, 'home'))

    def __call__(self, *words):
        p = subprocess.run([os.path.join(BIN, 'scone'), *words], env=self.env, capture_output=True, text=True, timeout=60)
        return p.returncode, p.stdout + p.stderr


def measurement(scone):
    program = os.path.join(BIN, 'scone-cas')
    return scone('measure', '--runtime', program, program)[1].strip()


class Relay:
    """Another server, with a key of its own, that hands each request on to CAS: what somebody in the middle does."""

    def __init__(self, cas, identity):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = 'HTTP/1.1'

            def do_GET(self):
                r = cas.call('GET', self.path)
                self.send_response(r.status)
                self.send_header('Content-Length', str(len(r.body)))
                self.end_headers()
                self.wfile.write(r.body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_cert_chain(identity.cert, identity.key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.address = '127.0.0.1:%d' % self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def on_tpm(t, base):
    scone = Scone(base)
    code = measurement(scone)
    with Tpm(base) as tpm:
        os.environ['SCONE_TPM'] = scone.env['SCONE_TPM'] = tpm.tcti
        cas = Cas(base)
        try:
            cas.start('--tee', 'tpm')
            address = '%s:%d' % cas.address
            platform = json.loads(scone('tpm', 'show', '--json', '--dir', os.path.join(cas.dir, 'tee'))[1])['platform']

            def attest(name, status, words, *options, at=address):
                code_, text = scone('cas', 'attest', at, *options)
                return t.check(name, code_ == status and all(w in text for w in words), (code_, text))

            good = ('--measurement', code, '--platform', platform, '--pcr', '7=' + ZEROS)
            attest('without key or evidence', UNTRUSTED, ['no key is pinned'])
            attest('proven and pinned', 0, ['proven   tpm', 'code     ' + code, 'platform ' + platform], *good, '--tee', 'tpm', '--pin', 'main')
            key = cas.call('GET', '/v1/cas').json()['key']
            t.check('the pinned key is that of CAS', f'* main {address} {key}' in scone('cas', 'list')[1])
            t.equal('and is enough from now on', scone('cas', 'attest')[0], 0)
            attest('pinned twice', 6, ['main'], *good, '--pin', 'main')
            attest('another code', UNTRUSTED, ['measurement: ', code, 'wanted ' + ZEROS], '--measurement', ZEROS, *good[2:])
            attest('one of two codes', 0, [], '--measurement', ZEROS, *good)
            attest('another platform', UNTRUSTED, ['platform: '], *good[:2], '--platform', ZEROS, *good[4:])
            attest('no platform: a TPM has no maker\'s root', UNTRUSTED, ['platform: '], *good[:2], *good[4:])
            attest('nothing about the machine\'s start', UNTRUSTED, ['machine: ', 'wanted launch or pcrs'], *good[:4])
            attest('another PCR', UNTRUSTED, ['pcr: ', 'PCR 7 (sha256) is ' + ZEROS, 'wanted ' + '11' * 32], *good[:4], '--pcr', '7=' + '11' * 32)
            attest('another start', UNTRUSTED, ['measurement: ', 'at its start'], *good, '--launch', ZEROS)
            attest('another TEE', UNTRUSTED, ['type: ', 'runs on tpm'], *good, '--tee', 'tdx')
            attest('no measurement', INPUT, ['lists no measurement'], *good[2:])
            attest('nonsense for a measurement', INPUT, ['wanted 64 hex digits'], '--measurement', 'abc', *good[2:])
            attest('a pin without evidence', USAGE, ['--pin wants evidence'], '--pin', 'other')
            policy = os.path.join(base, 'policy.json')
            with open(policy, 'w') as f:
                json.dump({'measurement': [code], 'platform': [platform], 'pcrs': {'7': [ZEROS]}, 'tee': ['tpm', 'sev-snp']}, f)
            attest('a policy from a file', 0, ['proven   tpm'], '--policy', policy)
            with open(policy, 'w') as f:
                f.write('{"measurement":["%s"],"measurment":[]}' % code)
            attest('an unknown key in it', INPUT, ['unknown key "measurment"'], '--policy', policy)
            attest('file and options', INPUT, ['leave the other options out'], '--policy', policy, '--tee', 'tpm')

            relay = Relay(cas, Identity(base, 'relay'))
            attest('somebody in the middle with CAS\'s own evidence', UNTRUSTED, ['report-data: '], *good, at=relay.address)
            relay.close()

            event = subprocess.run([DRIVER, 'tpm', base, 'extend', '7', 'another key database'])
            t.equal('PCR 7 changes', event.returncode, 0)
            attest('the PCR that changed is refused with both values', UNTRUSTED, ['pcr: ', 'wanted ' + ZEROS], *good)
        finally:
            cas.end()


def rested(cas, digits):
    """Evidence over a nonce, once CAS makes it again."""
    end = time.monotonic() + 10
    while True:
        r = cas.call('GET', '/v1/cas/evidence?nonce=' + digits * 32)
        if r.status != 429 or time.monotonic() > end:
            return r
        time.sleep(0.05)


def api(t, base):
    with Tpm(base) as tpm:
        os.environ['SCONE_TPM'] = tpm.tcti
        cas = Cas(base)
        try:
            cas.start('--tee', 'tpm')
            first, second = (cas.call('GET', '/v1/cas/evidence').json() for _ in range(2))
            t.check('without a nonce it is kept', first == second and first['nonce'] is None, (first['issued_at'], second['issued_at']))
            t.check('it is a bundle', base64.b64decode(first['evidence'])[:8] == b'SCONEEVB')
            fresh = rested(cas, 'ab')
            t.check('with a nonce it is made now', fresh.status == 200 and fresh.json()['nonce'] == 'ab' * 32
                    and fresh.json()['evidence'] != first['evidence'], fresh)
            for query in ('nonce=', 'nonce=' + 'ab' * 31, 'nonce=' + 'gg' * 32, 'other=1'):
                t.equal('refused: ' + query[:12], cas.call('GET', '/v1/cas/evidence?' + query).status, 400)
            seen = [cas.call('GET', '/v1/cas/evidence?nonce=' + 'cd' * 32).status for _ in range(30)]
            t.check('many at once are not all made', set(seen) == {200, 429}, seen)
            t.equal('what is kept is given meanwhile', cas.call('GET', '/v1/cas/evidence').status, 200)
            tpm.end()
            t.equal('without its TPM it says so', rested(cas, 'ef').status, 500)
        finally:
            cas.end()


def simulated(t, base):
    scone = Scone(base)
    code = measurement(scone)
    cas = Cas(base)
    try:
        cas.start('--tee', 'sim')
        address = '%s:%d' % cas.address
        status, text = scone('cas', 'attest', address, '--measurement', code)
        t.check('simulated evidence is refused', status == UNTRUSTED and 'type: CAS runs simulated' in text, (status, text))
        status, text = scone('cas', 'attest', address, '--measurement', code, '--simulation')
        t.check('unless permitted by name', status == 0 and 'SIMULATION' in text, (status, text))
        status, text = scone('cas', 'attest', address, '--measurement', code, '--simulation', '--platform', ZEROS)
        t.check('of another platform', status == UNTRUSTED and 'platform: ' in text, (status, text))
    finally:
        cas.end()


if __name__ == '__main__':
    main(on_tpm, api, simulated)
