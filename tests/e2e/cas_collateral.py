#!/usr/bin/env python3
"""CAS with evidence of SGX, under a test root: what collateral it needs and where it says to get it, when it reads it again, what a session tolerates."""

import os
import shutil
import signal
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../lib'))
from cas_attest import Attester  # noqa: E402
from cas_harness import BIN, Cas, Identity, main  # noqa: E402

SESSIONS = '/v1/sessions'


class Platform:
    """intel_platform, running: quotes of one platform."""

    def __init__(self, base):
        self.dir = os.path.join(base, 'platform')
        os.mkdir(self.dir)
        self.process = subprocess.Popen([os.path.join(BIN, '../tests/e2e/intel_platform'), self.dir], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == 'ready\n'

    def path(self, name):
        return os.path.join(self.dir, name)

    def evidence(self, report, words='', **_):
        self.process.stdin.write(f'quote {report.hex()} {words}\n')
        self.process.stdin.flush()
        assert self.process.stdout.readline() == 'quote\n'
        with open(self.path('quote'), 'rb') as f:
            return f.read()

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def session(name, extra=''):
    return f'''name: {name}
version: "0.3"
security: {{attestation: {{mode: hardware{extra}}}}}
services: [{{name: db, command: db, attestation: {{mrenclave: {'11' * 32}}}}}]
'''


def test(t, base):
    alice = Identity(base, 'alice')
    platform = Platform(base)
    kept = os.path.join(base, 'kept')
    os.mkdir(kept)
    cas = Cas(base)
    root = ('--test-root', 'sgx=' + platform.path('root.pem'))
    scone = [os.path.join(BIN, 'scone'), 'collateral', 'import', '--collateral', kept, '--root', platform.path('root.pem')]

    def attest(name, config_id, status, *words, **change):
        r = Attester(cas, alice, platform).attest(config_id + '/db', **change)
        if status == 200:
            return t.equal(name, r.status, 200) or print('#', r)
        return t.check(name, r.status == status and all(w in r.error() for w in words) and r.json()['error'].get('check') == words[0], r)

    def soon(name, config_id, seconds=12):
        end = time.monotonic() + seconds
        while Attester(cas, alice, platform).attest(config_id + '/db').status != 200 and time.monotonic() < end:
            time.sleep(0.2)
        attest(name, config_id, 200)

    def said(name, word):
        with open(cas.log) as f:
            t.check(name, word in f.read(), cas.tail())

    def start(*options):
        if cas.process:
            cas.stop()
        cas.start('--tee', 'sim', *options)

    try:
        start()
        cas.call('POST', SESSIONS, session('good'), alice)
        cas.call('POST', SESSIONS, session('debug', ', tolerate: [debug-mode]'), alice)
        cas.call('POST', SESSIONS, session('old', ', tolerate: [outdated-tcb]'), alice)
        cas.call('POST', SESSIONS, session('older', ', tolerate: [outdated-tcb], ignore_advisories: [INTEL-SA-00002]'), alice)
        attest("the maker's root is built in, and no other counts", 'good', 403, 'chain-root', 'wanted')
        t.equal('no warning of roots', [w for w in cas.call('GET', '/v1/cas').json()['warnings'] if 'root' in w and 'test' in w], [])
        start(*root)
        said('a test root is warned of', '--test-root: evidence of type sgx is believed under a root that is not its maker')
        t.check('and told to everybody', any('test root' in w for w in cas.call('GET', '/v1/cas').json()['warnings']))
        attest('no revocation list, and where to get one', 'good', 403, 'crl-missing', 'curl', 'scone collateral import')

        start(*root, '--collateral', kept)
        attest('an empty directory', 'good', 403, 'crl-missing', 'curl')
        p = subprocess.run([*scone, platform.path('collateral')], capture_output=True, text=True)
        t.equal('imported', p.returncode, 0)
        soon('read when it is there', 'good')
        attest('debug', 'good', 403, 'debug', 'tolerate: [debug-mode]', words='debug')
        attest('debug, tolerated by name', 'debug', 200, words='debug')
        attest('TCB out of date', 'good', 403, 'tcb-status', 'OutOfDate', 'outdated-tcb', words='outdated')
        attest('tolerated: the advisory is another matter', 'old', 403, 'advisory', 'INTEL-SA-00002', words='outdated')
        attest('ignored by name', 'older', 200, words='outdated')

        for name in os.listdir(kept):
            if name.startswith('intel-sgx-tcb'):
                os.rename(os.path.join(kept, name), os.path.join(base, name))
                tcb = name
        cas.process.send_signal(signal.SIGHUP)
        time.sleep(0.3)
        attest('no TCB info, and where to get it', 'good', 403, 'collateral-missing', 'fmspc=00906ed50000', 'curl')
        os.rename(os.path.join(base, tcb), os.path.join(kept, tcb))
        cas.process.send_signal(signal.SIGHUP)
        time.sleep(0.3)
        attest('read again on HUP', 'good', 200)
        with open(os.path.join(kept, 'noise'), 'w') as f:
            f.write('no collateral')
        cas.process.send_signal(signal.SIGHUP)
        time.sleep(0.3)
        attest('what cannot be read changes nothing', 'good', 200)
        said('but is told, by its name', 'kept/noise')
        os.unlink(os.path.join(kept, 'noise'))

        start(*root, '--collateral', kept, '--min-tcb-evaluation', '18')
        attest('evaluation number below what is wanted', 'good', 403, 'collateral-number', '17', '18')
        shutil.copy(platform.path('expired'), os.path.join(base, 'expired.json'))
        start(*root, '--collateral', os.path.join(base, 'expired.json'))
        said('expired collateral is told of at start', 'expired at')
        t.check('and to everybody', any('has expired' in w for w in cas.call('GET', '/v1/cas').json()['warnings']))
        attest('and refused, with dates and where to get it', 'good', 403, 'crl-time', 'valid until', 'curl')
        cas.stop()
        status, text = cas.run('--collateral', os.path.join(base, 'none'))
        t.check('no such directory', status == 3 and 'none' in text, (status, text))
        for options, word in ((('--test-root', 'sgx'), 'TYPE=VALUE'), (('--test-root', 'abc=/x'), 'TYPE=VALUE'),
                              (('--test-root', 'sgx=/none'), '/none'), (('--operator', 'x'), '--operator'), (('--tpm-root', '/none'), '/none'),
                              (('--min-tcb-evaluation', '-1'), 'wanted a number')):
            status, text = cas.run(*options)
            t.check(f'wrong: {" ".join(options)}', status == 2 and word in text, (status, text))
    finally:
        cas.end()
        platform.end()


if __name__ == '__main__':
    main(test)
