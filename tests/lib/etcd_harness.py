"""A real etcd cluster for tests: members on 127.0.0.1 with free ports and temporary directories, mutual TLS for clients and between members."""

import http.client
import json
import os
import shutil
import socket
import ssl
import subprocess
import time

ETCD = shutil.which('etcd')


def free_ports(n):
    sockets = [socket.create_server(('127.0.0.1', 0)) for _ in range(n)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def openssl(*args, **more):
    subprocess.run(['openssl', *args], check=True, capture_output=True, **more)


class Authority:
    """A CA and what it has signed, as files."""

    def __init__(self, base):
        self.base = base
        os.makedirs(base, exist_ok=True)
        self.cert = self.path('ca.crt')
        openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-subj', '/CN=test etcd CA',
                '-keyout', self.path('ca.key'), '-out', self.cert)

    def path(self, name):
        return os.path.join(self.base, name)

    def issue(self, name):
        key, request, cert = (self.path(f'{name}.{end}') for end in ('key', 'csr', 'crt'))
        openssl('req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj', '/CN=' + name, '-keyout', key, '-out', request)
        openssl('x509', '-req', '-in', request, '-CA', self.cert, '-CAkey', self.path('ca.key'), '-CAcreateserial', '-days', '2', '-out', cert,
                '-extfile', '/dev/stdin', input=b'subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth,clientAuth\n')
        return cert, key


class Member:
    def __init__(self, cluster, i):
        self.cluster, self.i = cluster, i
        self.client, self.peer = cluster.ports[2 * i], cluster.ports[2 * i + 1]
        self.dir = os.path.join(cluster.base, f'etcd{i}')
        self.process = None

    def start(self, state='new'):
        c = self.cluster
        if os.path.exists(self.dir):
            state = 'existing'
        urls = ','.join(f'm{m.i}=https://127.0.0.1:{m.peer}' for m in c.members)
        command = [ETCD, '--name', f'm{self.i}', '--data-dir', self.dir, '--initial-cluster', urls, '--initial-cluster-state', state,
                   '--listen-peer-urls', f'https://127.0.0.1:{self.peer}', '--initial-advertise-peer-urls', f'https://127.0.0.1:{self.peer}',
                   '--listen-client-urls', f'https://127.0.0.1:{self.client}', '--advertise-client-urls', f'https://127.0.0.1:{self.client}',
                   '--client-cert-auth', '--trusted-ca-file', c.ca.cert, '--cert-file', c.server[0], '--key-file', c.server[1],
                   '--peer-client-cert-auth', '--peer-trusted-ca-file', c.ca.cert, '--peer-cert-file', c.server[0],
                   '--peer-key-file', c.server[1], '--logger', 'zap', '--log-level', 'error', '--auto-compaction-mode', 'revision',
                   '--auto-compaction-retention', '1000', '--max-request-bytes', '8388608', '--max-txn-ops', '1024']
        with open(os.path.join(c.base, f'etcd{self.i}.log'), 'ab') as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
        if self.process:
            self.process.wait()


class Etcd:
    """with Etcd(base) as etcd: a cluster that answers. etcd.url() is what --store wants."""

    def __init__(self, base, members=3):
        self.base = base
        self.ca = Authority(os.path.join(base, 'pki'))
        self.server = self.ca.issue('member')
        self.cert, self.key = self.ca.issue('cas')
        self.ports = free_ports(2 * members)
        self.members = []
        self.members = [Member(self, i) for i in range(members)]

    def url(self, prefix=''):
        hosts = ','.join(f'127.0.0.1:{m.client}' for m in self.members)
        return f'etcd://{hosts}{"/" + prefix if prefix else ""}?ca={self.ca.cert}&cert={self.cert}&key={self.key}'

    def ctl(self, *args, check=True):
        """etcdctl against all members: its output."""
        env = dict(os.environ, ETCDCTL_API='3')
        p = subprocess.run(['etcdctl', '--endpoints', ','.join(f'https://127.0.0.1:{m.client}' for m in self.members), '--cacert', self.ca.cert,
                            '--cert', self.cert, '--key', self.key, '--command-timeout', '5s', *args], capture_output=True, env=env)
        if check and p.returncode:
            raise RuntimeError(f'etcdctl {args}: {p.stderr[-400:]!r}')
        return p.stdout

    def api(self, path, body):
        """A call of the JSON gateway of the first member."""
        context = ssl.create_default_context(cafile=self.ca.cert)
        context.load_cert_chain(self.cert, self.key)
        c = http.client.HTTPSConnection('127.0.0.1', self.members[0].client, context=context, timeout=10)
        c.request('POST', path, json.dumps(body))
        r = c.getresponse()
        answer = json.loads(r.read())
        c.close()
        if r.status != 200:
            raise RuntimeError(f'{path}: {r.status} {answer}')
        return answer

    def wait(self, seconds=40):
        end = time.monotonic() + seconds
        while True:
            try:
                self.ctl('get', 'nothing')
                return
            except RuntimeError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.2)

    def __enter__(self):
        try:
            for m in self.members:
                m.start()
            self.wait()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for m in self.members:
            m.kill()
