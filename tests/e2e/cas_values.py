#!/usr/bin/env python3
"""What a session makes public, read by somebody without a certificate; certificates by OpenSSL's own verdict; renewal."""

import os
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../lib'))
from cas_harness import Identity, Running, main  # noqa: E402

DOCUMENT = '''name: shop/web
version: "0.3"
secrets:
  - {name: ca_key, kind: private-key, migrate: true}
  - {name: ca, kind: x509-ca, private_key: ca_key, common_name: Shop, export_public: true}
  - {name: key, kind: private-key, key_type: P-384}
  - {name: server, kind: x509, private_key: key, issuer: ca, endpoint: server, san: ['dns:web.shop', 'ip:127.0.0.1'], valid_for: 90 days, export_public: true}
  - {name: pub, kind: public-key, private_key: key, export_public: true}
  - {name: salt, kind: binary, size: 8, export_public: true}
  - {name: motto, kind: ascii, value: "two words", export_public: true}
  - {name: password, kind: ascii}
'''


def openssl(*args, stdin=None):
    return subprocess.run(['openssl', *args], input=stdin, capture_output=True, text=True)


def values(t, base):
    alice = Identity(base, 'alice')
    with Running(base) as cas:
        t.equal('its namespace first', cas.call('POST', '/v1/sessions', 'name: shop\nversion: "0.3"\n', alice).status, 201)
        r = cas.call('POST', '/v1/sessions', DOCUMENT, alice)
        t.check('session with keys and certificates', r.status == 201, r)
        r = cas.call('GET', '/v1/values/session=shop/web')
        got = r.json()['values']
        t.equal('a stranger sees what is public', sorted(got), ['ca', 'motto', 'pub', 'salt', 'server'])
        t.equal('text as it is', got['motto'], {'kind': 'ascii', 'value': 'two words'})
        t.check('bytes as hex', len(got['salt']['value']) == 16 and int(got['salt']['value'], 16) >= 0, got['salt'])
        days = (got['server']['expires'] - got['server']['renew']) / 86400
        t.check('when it ends and is renewed', 29 < days < 31 and 'expires' not in got['ca'], got['server'])

        for name in ('ca', 'server', 'pub'):
            with open(os.path.join(base, name + '.pem'), 'w') as f:
                f.write(got[name]['value'])
        os.chdir(base)
        r = openssl('verify', '-x509_strict', '-CAfile', 'ca.pem', '-purpose', 'sslserver', '-verify_hostname', 'web.shop', 'server.pem')
        t.check('openssl verifies the chain and the name', r.returncode == 0, r.stdout + r.stderr)
        r = openssl('verify', '-CAfile', 'ca.pem', '-verify_hostname', 'other.shop', 'server.pem')
        t.check('and no other name', r.returncode != 0, r.stdout)
        t.equal('the public key is the certificate\'s', openssl('x509', '-in', 'server.pem', '-noout', '-pubkey').stdout, got['pub']['value'])

        r = cas.call('GET', '/v1/values/session=shop/web,secret=ca')
        t.equal('one by name', list(r.json()['values']), ['ca'])
        for what, path in (('not public', 'session=shop/web,secret=password'), ('a private key', 'session=shop/web,secret=key'),
                           ('no such secret', 'session=shop/web,secret=none'), ('no such session', 'session=shop/none'),
                           ('nothing public', 'session=shop')):
            r = cas.call('GET', '/v1/values/' + path)
            t.check(f'{what}: not found', r.status == 404 and 'no public secret' in r.error(), r)
        for path in ('secret=ca', 'session=', 'session=shop/web,x=y', 'session=shop/web,secret=', 'session=shop/web?x=1'):
            r = cas.call('GET', '/v1/values/' + path)
            t.check(f'{path}: refused', r.status == 400, r)

        again = cas.call('GET', '/v1/values/session=shop/web').json()['values']
        t.equal('the same certificate until it is renewed', again['server'], got['server'])
        hash1 = cas.call('GET', '/v1/sessions/shop/web', identity=alice).json()['hash']
        r = cas.call('POST', '/v1/sessions', DOCUMENT.replace('version: "0.3"\n', f'version: "0.3"\npredecessor: {hash1}\n'), alice)
        t.check('update', r.status == 200, r)
        new = cas.call('GET', '/v1/values/session=shop/web').json()['values']
        t.check('an update makes certificates anew', new['ca']['value'] != got['ca']['value'] and new['server']['value'] != got['server']['value'], new)
        with open('newca.pem', 'w') as f:
            f.write(new['ca']['value'])
        t.check('a key that migrates is the same', openssl('x509', '-in', 'newca.pem', '-noout', '-pubkey').stdout ==
                openssl('x509', '-in', 'ca.pem', '-noout', '-pubkey').stdout)
        t.check('one that does not is another', new['pub']['value'] != got['pub']['value'])
        before = cas.call('GET', '/v1/values/session=shop/web').json()['values']
        cas.stop()
        cas.start()
        t.equal('all of it is there after a restart', cas.call('GET', '/v1/values/session=shop/web').json()['values'], before)


if __name__ == '__main__':
    main(values)
