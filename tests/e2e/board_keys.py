"""Keys that sign: votes and signed sessions made with openssl(1) alone, from docs/session-language.md and docs/cas.md."""

import base64
import hashlib
import json
import os
import subprocess

ALPHABET = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz'


def run(*command, data=None):
    return subprocess.run(command, input=data, check=True, capture_output=True).stdout


def key_text(digest):
    """docs/protocols.md section 1."""
    data = b'\x4f' + digest
    data += hashlib.sha256(hashlib.sha256(data).digest()).digest()[:4]
    n, text = int.from_bytes(data, 'big'), ''
    while n:
        n, r = divmod(n, 58)
        text = ALPHABET[r] + text
    return text


class Signer:
    """An Ed25519 or P-384 key that signs, and a certificate of it to look at proposals with."""

    def __init__(self, base, name, kind='ed25519'):
        self.name, self.kind = name, kind
        self.key, self.cert = os.path.join(base, name + '.signer'), os.path.join(base, name + '.signer.crt')
        self.scratch = os.path.join(base, name + '.scratch')
        options = ['-algorithm', 'ed25519'] if kind == 'ed25519' else ['-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:' + kind]
        run('openssl', 'genpkey', *options, '-out', self.key)
        run('openssl', 'req', '-x509', '-new', '-key', self.key, '-days', '2', '-subj', '/CN=' + name, '-out', self.cert)
        self.pem = run('openssl', 'pkey', '-in', self.key, '-pubout').decode()
        self.hash = hashlib.sha256(run('openssl', 'pkey', '-in', self.key, '-pubout', '-outform', 'DER')).digest()
        self.text = key_text(self.hash)

    def sign(self, data, raw=False):
        with open(self.scratch, 'wb') as f:
            f.write(data)
        if self.kind == 'ed25519':
            sig = run('openssl', 'pkeyutl', '-sign', '-rawin', '-inkey', self.key, '-in', self.scratch)
        else:
            sig = run('openssl', 'dgst', '-sha384' if self.kind == 'P-384' else '-sha256', '-sign', self.key, self.scratch)
            if raw:  # r and s, as WebCrypto makes them
                r_len = sig[3]
                r, rest = sig[4:4 + r_len], sig[4 + r_len:]
                s = rest[2:2 + rest[1]]
                sig = b''.join(x.lstrip(b'\0').rjust(48, b'\0') for x in (r, s))
        return base64.b64encode(sig).decode()

    def quoted(self):
        """As a double-quoted YAML text."""
        return json.dumps(self.pem)


def vote_bytes(p, choice):
    """From what a proposal says of itself, as docs/session-language.md 14.3 has it."""
    bound = {'update': lambda: 'new ' + p['new'], 'delete': lambda: 'none',
             'export': lambda: f"to {p['importer']} {p['importer_hash']}" + ''.join(' ' + i for i in p['items']),
             'read': lambda: 'reader ' + (p.get('reader_hex') or p['sign']['approve'].split('reader ')[1].split('\n')[0])}[p['action']]()
    return (f"openscone-vote-v1\naction: {p['action']}\nsession: {p['session']}\ncurrent: {p['current']}\nbound: {bound}\n"
            f"proposal: {p['id']}\nexpires: {p['expires']}\nvote: {choice}\n").encode()


def vote(p, signer, choice='approve', raw=False, **change):
    """The vote as JSON; change replaces fields of the proposal before it is signed."""
    return json.dumps({'format': 'openscone-vote-v1', 'proposal': p['id'], 'choice': choice, 'signer': signer.pem,
                       'signature': signer.sign(vote_bytes(dict(p, **change), choice), raw)})


def signed_session(text, *signers):
    data = b'openscone-signed-session-v1\0' + text.encode()
    return json.dumps({'format': 'openscone-signed-session-v1', 'session': text,
                       'signatures': [{'signer': s.pem, 'signature': s.sign(data)} for s in signers]})
