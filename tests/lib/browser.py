"""A real Chromium, headless, driven over WebDriver by chromedriver: with a profile of its own, and one client certificate in it."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

POLICIES = '/etc/chromium/policies/managed'
ELEMENT = 'element-6066-11e4-a52e-4f735466cecf'


class BrowserError(Exception):
    pass


class Browser:
    """with Browser(base, name, key, cert, address): address: (host, port) of the server that the certificate is shown to."""

    def __init__(self, base, name, key, cert, address):
        self.home = os.path.join(base, 'browser-' + name)
        self.key, self.cert, self.address = key, cert, address
        self.policy = os.path.join(POLICIES, f'openscone-{os.getpid()}-{name}.json')
        self.driver, self.session = None, None

    def __enter__(self):
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _start(self):
        os.makedirs(self.home)
        self._import()
        # Which certificate to show is a question that only a policy answers without a person.
        os.makedirs(POLICIES, exist_ok=True)
        with open(self.policy, 'w', encoding='ascii') as f:
            json.dump({'AutoSelectCertificateForUrls': [json.dumps({'pattern': 'https://%s:%d' % self.address, 'filter': {}})]}, f)
        with socket.socket() as s:
            s.bind(('127.0.0.1', 0))
            port = s.getsockname()[1]
        self.url = f'http://127.0.0.1:{port}'
        self.log = open(os.path.join(self.home, 'log'), 'wb')
        self.driver = subprocess.Popen(['chromedriver', f'--port={port}'], env=dict(os.environ, HOME=self.home), stdin=subprocess.DEVNULL,
                                       stdout=self.log, stderr=self.log, start_new_session=True)
        self._await_driver()
        options = {'args': ['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run',
                            '--user-data-dir=' + os.path.join(self.home, 'profile')]}
        reply = self._send('POST', '/session', {'capabilities': {'alwaysMatch': {'acceptInsecureCerts': True, 'goog:chromeOptions': options}}})
        self.session = '/session/' + reply['sessionId']

    def _import(self):
        store, bundle = os.path.join(self.home, '.pki', 'nssdb'), os.path.join(self.home, 'client.p12')
        os.makedirs(store)
        for command in (['openssl', 'pkcs12', '-export', '-inkey', self.key, '-in', self.cert, '-out', bundle, '-passout', 'pass:'],
                        ['certutil', '-N', '-d', 'sql:' + store, '--empty-password'],
                        ['pk12util', '-i', bundle, '-d', 'sql:' + store, '-W', '']):
            subprocess.run(command, check=True, capture_output=True)

    def _await_driver(self):
        end = time.monotonic() + 30
        while True:
            with contextlib.suppress(OSError, BrowserError):
                if self._send('GET', '/status')['ready']:
                    return
            if time.monotonic() > end or self.driver.poll() is not None:
                raise BrowserError('chromedriver does not answer')
            time.sleep(0.1)

    def _send(self, method, path, body=None):
        data = json.dumps(body if body is not None else {}).encode() if method == 'POST' else None
        request = urllib.request.Request(self.url + path, data=data, method=method, headers={'Content-Type': 'application/json'})
        try:
            with urllib.request.urlopen(request, timeout=120) as r:
                return json.load(r)['value']
        except urllib.error.HTTPError as e:
            raise BrowserError(json.load(e)['value']['message']) from None

    def open(self, path):
        self._send('POST', self.session + '/url', {'url': 'https://%s:%d%s' % (*self.address, path)})

    def find(self, css):
        """Elements, in order."""
        return [e[ELEMENT] for e in self._send('POST', self.session + '/elements', {'using': 'css selector', 'value': css})]

    def one(self, css):
        found = self.find(css)
        if len(found) != 1:
            raise BrowserError(f'{len(found)} elements {css}, wanted one')
        return found[0]

    def text(self, css):
        return self._send('GET', f'{self.session}/element/{self.one(css)}/text')

    def texts(self, css):
        return [self._send('GET', f'{self.session}/element/{e}/text') for e in self.find(css)]

    def click(self, css):
        self._send('POST', f'{self.session}/element/{self.one(css)}/click')

    def choose_file(self, css, path):
        self._send('POST', f'{self.session}/element/{self.one(css)}/value', {'text': path})

    def script(self, text):
        return self._send('POST', self.session + '/execute/sync', {'script': text, 'args': []})

    def wait_text(self, css, part, seconds=20):
        """The text of css once part is in it; what it was at last otherwise."""
        end, seen = time.monotonic() + seconds, ''
        while time.monotonic() < end:
            with contextlib.suppress(BrowserError):
                seen = self.text(css)
                if part in seen:
                    return seen
            time.sleep(0.1)
        return seen

    def __exit__(self, *_):
        if self.session:
            with contextlib.suppress(BrowserError, OSError):
                self._send('DELETE', self.session)
        if self.driver:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.driver.pid, signal.SIGKILL)
            self.driver.wait()
            self.log.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.policy)
        shutil.rmtree(self.home, ignore_errors=True)
