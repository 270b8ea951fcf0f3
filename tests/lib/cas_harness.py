"""A real scone-cas for tests: started in a temporary directory on a free port, spoken to over TLS, ended in every case.

Needs Python's standard library and openssl(1). SCONE_BIN names the directory of the programs.
"""

import http.client
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import traceback

BIN = os.path.abspath(os.environ.get('SCONE_BIN') or
                      os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../build/bin'))
START_SECONDS = 30
# No effect but on sanitized builds: what the sanitizer finds ends the process.
os.environ.setdefault('UBSAN_OPTIONS', 'halt_on_error=1:print_stacktrace=1')


class Checks:
    """Prints one line a check and the sum at the end."""

    def __init__(self):
        self.passed = self.failed = 0

    def check(self, name, good, why=''):
        if good:
            self.passed += 1
            print(f'ok {name}', flush=True)
        else:
            self.failed += 1
            print(f'not ok {name}: {str(why)[:600]!r}', flush=True)
        return good

    def equal(self, name, seen, wanted):
        return self.check(name, seen == wanted, f'seen {seen!r}, wanted {wanted!r}')


class Identity:
    """A client's P-256 key and self-signed certificate."""

    def __init__(self, base, name):
        self.key = os.path.join(base, name + '.key')
        self.cert = os.path.join(base, name + '.crt')
        subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2',
                        '-keyout', self.key, '-out', self.cert, '-subj', '/CN=' + name], check=True, capture_output=True)
        self.pem = open(self.cert).read()

    def spki(self):
        pem = subprocess.run(['openssl', 'x509', '-in', self.cert, '-noout', '-pubkey'], check=True, capture_output=True).stdout
        return subprocess.run(['openssl', 'pkey', '-pubin', '-outform', 'DER'], input=pem, check=True, capture_output=True).stdout


def tls(identity=None, version=ssl.TLSVersion.TLSv1_3):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = context.maximum_version = version
    if identity:
        context.load_cert_chain(identity.cert, identity.key)
    return context


class Reply:
    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    def json(self):
        return json.loads(self.body)

    def error(self):
        """Code and text of an error answer."""
        try:
            e = self.json()['error']
            return f"{e['code']}: {e['text']}"
        except (ValueError, KeyError, TypeError):
            return ''

    def __repr__(self):
        return f'<{self.status} {self.body[:300]!r}>'


class Cas:
    """One scone-cas. start() waits until it listens."""

    def __init__(self, base, name='cas'):
        self.dir = os.path.join(base, name)
        self.address_file = os.path.join(base, name + '.address')
        self.log = os.path.join(base, name + '.log')
        self.process = None

    def command(self, *options):
        return [os.path.join(BIN, 'scone-cas'), '--dir', self.dir, '--listen', '127.0.0.1:0', '--address-file', self.address_file,
                *options]

    def spawn(self, *options):
        if os.path.exists(self.address_file):
            os.unlink(self.address_file)
        env = dict(os.environ, SCONE_LOG='debug')
        with open(self.log, 'ab') as log:
            self.process = subprocess.Popen(self.command(*options), stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env)

    def start(self, *options):
        self.spawn(*options)
        end = time.monotonic() + START_SECONDS
        while not os.path.exists(self.address_file):
            if self.process.poll() is not None:
                raise RuntimeError(f'scone-cas ended with {self.process.returncode}: {self.tail()}')
            if time.monotonic() > end:
                raise RuntimeError('scone-cas does not listen: ' + self.tail())
            time.sleep(0.002)
        host, port = open(self.address_file).read().strip().rsplit(':', 1)
        self.address = (host, int(port))
        return self

    def tail(self):
        with open(self.log, 'rb') as log:
            return log.read()[-1500:].decode(errors='replace')

    def connect(self, identity=None, timeout=20):
        c = http.client.HTTPSConnection(*self.address, context=tls(identity), timeout=timeout)
        c.connect()
        c.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return c

    def call(self, method, path, body=None, identity=None, headers=None):
        c = self.connect(identity)
        try:
            c.request(method, path, body, headers or {})
            return Reply(c.getresponse())
        finally:
            c.close()

    def raw(self, data, identity=None, timeout=20):
        """Send bytes over TLS and then the end, return all that comes until the other side's end."""
        with socket.create_connection(self.address, timeout) as s, tls(identity).wrap_socket(s) as t:
            got = b''
            try:
                t.sendall(data)
                with socket.socket(fileno=os.dup(t.fileno())) as plain:
                    plain.shutdown(socket.SHUT_WR)
                while True:
                    part = t.recv(65536)
                    if not part:
                        break
                    got += part
            except (ConnectionError, ssl.SSLError, socket.timeout):
                pass
            return got

    def stop(self, number=signal.SIGTERM, seconds=30):
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(seconds)

    def run(self, *options, seconds=30):
        """Start it expecting that it ends by itself: exit status and what it printed."""
        p = subprocess.run(self.command(*options), stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds)
        return p.returncode, (p.stdout + p.stderr).decode(errors='replace')

    def end(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
        if self.process:
            self.process.wait()


def main(*tests):
    """Run test functions f(checks, base), each with its own directory. A test that raises is one failed check."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    checks = Checks()
    top = tempfile.mkdtemp(prefix='scone-e2e.')
    try:
        for test in tests:
            base = os.path.join(top, test.__name__)
            os.mkdir(base)
            try:
                test(checks, base)
            except Exception:
                checks.check(test.__name__, False, traceback.format_exc()[-600:])
    finally:
        shutil.rmtree(top, ignore_errors=True)
        print(f'{checks.passed} passed, {checks.failed} failed', flush=True)
    sys.exit(checks.failed != 0)


class Running:
    """with Running(base, option…) as cas: a CAS that has ended when the block is left."""

    def __init__(self, base, *options, name='cas'):
        self.cas = Cas(base, name)
        self.options = options

    def __enter__(self):
        try:
            return self.cas.start(*self.options)
        except BaseException:
            self.cas.end()
            raise

    def __exit__(self, *_):
        self.cas.end()
