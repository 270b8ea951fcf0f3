#!/usr/bin/env python3
"""Sessions over CAS's interface: create, read, update, list, delete; who may do what; what is refused and how."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../lib'))
from cas_harness import Cas, Identity, Running, main  # noqa: E402

SESSIONS = '/v1/sessions'


def document(name, extra=''):
    return f'name: {name}\nversion: "0.3"\n{extra}'


def life(t, base):
    alice, bob = Identity(base, 'alice'), Identity(base, 'bob')
    with Running(base) as cas:
        r = cas.call('GET', '/v1/cas')
        info = r.json()
        t.check('info without certificate', r.status == 200 and info['simulated'] and info['tee'] == 'sim', r)
        t.check('info warns about simulation and any platform', len(info['warnings']) == 2, info['warnings'])
        t.equal('health', cas.call('GET', '/healthz').json(), {'status': 'ok'})

        first = document('app')
        r = cas.call('POST', SESSIONS, first, alice)
        h1 = r.json().get('hash', '')
        t.check('create', r.status == 201 and r.json()['name'] == 'app' and len(h1) == 64, r)
        r = cas.call('GET', SESSIONS + '/app', identity=alice)
        got = r.json()
        t.check('read back as uploaded', r.status == 200 and got['session'] == first and got['hash'] == h1, r)
        t.equal('no predecessor yet', got['predecessor'], None)
        creator = got['creator']

        r = cas.call('POST', SESSIONS, first, alice)
        t.check('existing name refused', r.status == 409 and r.error().startswith('EXISTS'), r)
        r = cas.call('POST', SESSIONS, document('app', f'predecessor: {"0" * 64}\n'), alice)
        t.check('wrong predecessor refused', r.status == 409 and r.error().startswith('CONFLICT') and h1 in r.error(), r)
        r = cas.call('POST', SESSIONS, document('none', f'predecessor: {h1}\n'), alice)
        t.check('predecessor without session refused', r.status == 409 and r.error().startswith('CONFLICT'), r)

        second = document('app', f'predecessor: {h1}\n')
        r = cas.call('POST', SESSIONS, second, bob)
        t.check('stranger may not update', r.status == 403 and r.error().startswith('ACCESS'), r)
        r = cas.call('GET', SESSIONS + '/app', identity=bob)
        t.check('stranger may not read', r.status == 403 and 'access_policy.read' in r.error(), r)
        r = cas.call('DELETE', SESSIONS + '/app', identity=bob)
        t.check('stranger may not delete', r.status == 403, r)
        t.equal('stranger sees an empty list', cas.call('GET', SESSIONS, identity=bob).json(), {'sessions': []})

        r = cas.call('POST', SESSIONS, second, alice)
        h2 = r.json().get('hash', '')
        t.check('update', r.status == 200 and h2 not in ('', h1), r)
        r = cas.call('POST', SESSIONS, second, alice)
        t.check('the same update again is refused', r.status == 409, r)
        got = cas.call('GET', SESSIONS + '/app', identity=alice).json()
        t.check('update is current', got['hash'] == h2 and got['predecessor'] == h1 and got['creator'] == creator, got)
        r = cas.call('GET', f'{SESSIONS}/app?hash={h1}', identity=alice)
        t.check('old version can be read', r.status == 200 and r.json()['session'] == first and r.json()['hash'] == h1, r)
        t.equal('old version is for readers only', cas.call('GET', f'{SESSIONS}/app?hash={h1}', identity=bob).status, 403)
        t.equal('unknown version', cas.call('GET', f'{SESSIONS}/app?hash={"1" * 64}', identity=alice).status, 404)
        t.equal('list', cas.call('GET', SESSIONS, identity=alice).json(), {'sessions': [{'name': 'app', 'hash': h2}]})

        r = cas.call('DELETE', SESSIONS + '/app', identity=alice)
        t.check('delete', r.status == 200 and r.json() == {'name': 'app', 'hash': h2}, r)
        t.equal('deleted session is gone', cas.call('GET', SESSIONS + '/app', identity=alice).status, 404)
        t.equal('deleted version is gone', cas.call('GET', f'{SESSIONS}/app?hash={h1}', identity=alice).status, 404)
        t.equal('deleted session is not listed', cas.call('GET', SESSIONS, identity=alice).json(), {'sessions': []})
        t.equal('deleting twice', cas.call('DELETE', SESSIONS + '/app', identity=alice).status, 404)
        r = cas.call('POST', SESSIONS, first, alice)
        t.check('a deleted name does not return to a replaced hash', r.status == 409 and 'salt' in r.error(), r)
        r = cas.call('POST', SESSIONS, document('app', 'salt: 00112233445566778899aabbccddeeff\n'), bob)
        t.check('a deleted name can be created anew', r.status == 201, r)

        r = cas.call('POST', SESSIONS, document('twice'), alice)
        h = r.json()['hash']
        cas.call('DELETE', SESSIONS + '/twice', identity=alice)
        r = cas.call('POST', SESSIONS, document('twice'), alice)
        t.check('created again as it was when deleted', r.status == 201 and r.json()['hash'] == h, r)
        t.equal('stops on TERM', cas.stop(), 0)


def access(t, base):
    alice, bob, carol = (Identity(base, n) for n in ('alice', 'bob', 'carol'))
    with Running(base) as cas:
        key = {}
        for who in (alice, bob, carol):
            r = cas.call('POST', SESSIONS, document(os.path.basename(who.cert)), who)
            key[who] = cas.call('GET', SESSIONS + '/' + os.path.basename(who.cert), identity=who).json()['creator']
        cert = '\n'.join('      ' + line for line in carol.pem.splitlines())
        text = document('shared', f'access_policy:\n  read: [CREATOR, {key[bob]}]\n  update:\n    - |\n{cert}\n    - CREATOR\n')
        r = cas.call('POST', SESSIONS, text, alice)
        t.check('policy with key hash and certificate', r.status == 201, r)
        t.equal('reader by key hash', cas.call('GET', SESSIONS + '/shared', identity=bob).status, 200)
        t.equal('reader may not delete', cas.call('DELETE', SESSIONS + '/shared', identity=bob).status, 403)
        t.equal('updater may not read', cas.call('GET', SESSIONS + '/shared', identity=carol).status, 403)
        h = r.json()['hash']
        wrong = document('shared', f'predecessor: {"0" * 64}\n')
        r = cas.call('POST', SESSIONS, wrong, carol)
        t.check('the current hash is not told to who may not read', r.status == 409 and h not in r.error(), r)
        r = cas.call('POST', SESSIONS, document('shared', f'predecessor: {h}\n'), carol)
        t.check('updater by certificate', r.status == 200, r)
        t.equal('the updater is now the creator', cas.call('GET', SESSIONS + '/shared', identity=carol).json()['creator'], key[carol])
        t.equal('who was creator is not any more', cas.call('GET', SESSIONS + '/shared', identity=alice).status, 403)

        r = cas.call('POST', SESSIONS, document('ns/child'), alice)
        t.check('namespace must exist', r.status == 404 and 'E-NS' in r.error(), r)
        cas.call('POST', SESSIONS, document('ns', f'access_policy: {{create_sessions: {key[bob]}}}\n'), alice)
        r = cas.call('POST', SESSIONS, document('ns/child'), alice)
        t.check('create_sessions refuses others', r.status == 403 and 'create_sessions' in r.error(), r)
        r = cas.call('POST', SESSIONS, document('ns/child'), bob)
        t.check('create_sessions permits', r.status == 201, r)
        t.equal('child by its path', cas.call('GET', SESSIONS + '/ns/child', identity=bob).status, 200)
        t.equal('child inherits no rule', cas.call('GET', SESSIONS + '/ns/child', identity=alice).status, 403)
        t.equal('escaped characters of a name', cas.call('GET', SESSIONS + '/%6e%73/child', identity=bob).status, 200)
        r = cas.call('POST', SESSIONS, document('nobody', 'access_policy: {read: NONE, update: NONE}\n'), alice)
        t.equal('NONE keeps the creator out', cas.call('GET', SESSIONS + '/nobody', identity=alice).status, 403)
        cas.call('POST', SESSIONS, document('open', 'access_policy: {read: ANY}\n'), alice)
        t.equal('ANY lets everyone read', cas.call('GET', SESSIONS + '/open', identity=carol).status, 200)
        names = [s['name'] for s in cas.call('GET', SESSIONS, identity=carol).json()['sessions']]
        t.equal('list shows what can be read', names, ['carol.crt', 'open', 'shared'])


def refusals(t, base):
    alice = Identity(base, 'alice')
    with Running(base) as cas:
        for method, path in (('GET', SESSIONS), ('POST', SESSIONS), ('GET', SESSIONS + '/a'), ('DELETE', SESSIONS + '/a'),
                             ('POST', '/v1/attest/nonce'), ('POST', '/v1/attest')):
            r = cas.call(method, path, b'')
            t.check(f'no certificate: {method} {path}', r.status == 401 and r.error().startswith('ACCESS'), r)
        r = cas.call('POST', SESSIONS, 'name: [\n  "x', alice)
        t.check('broken YAML', r.status == 400 and r.json()['error']['details'][0]['name'] == 'E-YAML', r)
        r = cas.call('POST', SESSIONS, document('a', 'wrong_key: 1\nsecrets: 7\n'), alice)
        details = {d['name']: d for d in r.json()['error']['details']}
        t.check('all errors of a document at once', r.status == 400 and set(details) == {'E-UNKNOWN', 'E-TYPE'}, r)
        t.check('details have path, line and column', details['E-UNKNOWN']['path'] == 'wrong_key' and
                details['E-UNKNOWN']['line'] == 3 and details['E-UNKNOWN']['column'] > 0, details)
        r = cas.call('POST', SESSIONS, document('a', '''services:
  - {name: s, command: "a $$SCONE::missing$$", attestation: {mrenclave: ''' + '0' * 64 + '''}, environment: {E: $$SCONECAS:gone$$}, image_name: i}
images:
  - name: i
    injection_files: [{path: /f, content: "$$SCONE::absent$$"}]
    provide_secrets: [lost]
'''), alice)
        refs = [d['path'] for d in r.json()['error']['details'] if d['name'] == 'E-REF']
        t.check('unknown secrets in command, environment, content, provide_secrets', r.status == 400 and len(refs) == 4, r)
        r = cas.call('POST', SESSIONS, b'name: \xff\xfe\nversion: "0.3"\n', alice)
        t.check('not UTF-8', r.status == 400 and 'error' in r.json(), r)
        t.equal('empty document', cas.call('POST', SESSIONS, b'', alice).status, 400)
        for value in ('value: secret-text, kind: binary', 'value: secret-text, kind: nonsense', 'kind: ascii, size: secret-text'):
            r = cas.call('POST', SESSIONS, document('a', f'secrets: [{{name: k, {value}}}]\n'), alice)
            t.check(f'{value}: refused', r.status == 400, r)
        log = open(cas.log).read()
        t.check('nothing of a refused document is logged', 'upload refused' in log and 'secret-text' not in log)
        t.equal('nothing was stored', cas.call('GET', SESSIONS, identity=alice).json(), {'sessions': []})
        r = cas.call('POST', SESSIONS, document('big', 'secrets:\n' + ''.join(
            f' - {{name: s{i}, kind: binary, size: 65536}}\n' for i in range(17))), alice)
        t.check('too many secret bytes', r.status == 413 and r.error().startswith('LIMIT'), r)

        for path, status in (('/v2', 404), ('/v1', 404), ('/v1/cas/', 404), ('/v1/sessions/', 404), ('/v1/sessions/a', 404),
                             ('/v1/sessions/a%2fb', 400), ('/v1/sessions/a%00', 400), ('/v1/sessions/%zz', 400),
                             ('/v1/sessions/..', 400), ('/v1/sessions/a//b', 400), ('/v1/sessions/' + 'a' * 129, 413),
                             ('/v1/sessions/a?hash=12', 400), ('/v1/sessions/a?other=1', 400), ('/v1/sessions?x', 400)):
            r = cas.call('GET', path, identity=alice)
            t.check(f'GET {path[:40]}: {status}', r.status == status and r.error(), r)
        for method, path, allow in (('POST', '/v1/cas', 'GET'), ('PUT', '/v1/sessions/a', 'GET, DELETE'), ('GET', '/v1/attest', 'POST'),
                                    ('DELETE', SESSIONS, 'GET, POST'), ('PATCH', '/healthz', 'GET')):
            r = cas.call(method, path, identity=alice)
            t.check(f'{method} {path}: 405', r.status == 405 and r.headers['Allow'] == allow, (r, r.headers))
        r = cas.call('HEAD', '/v1/cas')
        t.check('HEAD: 405 without a body', r.status == 405 and not r.body, r)
        t.equal('still alive', cas.call('GET', '/healthz').status, 200)
        t.equal('stops on TERM', cas.stop(), 0)


def pages(t, base):
    """A long list comes in pages, each session once and in order."""
    alice = Identity(base, 'alice')
    with Running(base) as cas:
        c = cas.connect(alice)
        names = [f'p{i:04}' for i in range(1005)]
        for name in names:
            c.request('POST', SESSIONS, f'name: {name}\nversion: "0.3"\n')
            if (r := c.getresponse()).status != 201 or not r.read():
                break
        c.close()
        first = cas.call('GET', SESSIONS, identity=alice).json()
        t.equal('the first page', [s['name'] for s in first['sessions']], names[:1000])
        t.equal('where to go on', first.get('next'), names[999])
        rest = cas.call('GET', SESSIONS + '?after=' + names[999], identity=alice).json()
        t.equal('the last page', [s['name'] for s in rest['sessions']], names[1000:])
        t.check('says that it is the last', 'next' not in rest, rest)
        t.equal('behind a name that is none', cas.call('GET', SESSIONS + '?after=%2F', identity=alice).status, 400)
        other = Identity(base, 'other')
        t.equal('who may read nothing gets empty pages', cas.call('GET', SESSIONS, identity=other).json(), {'sessions': [], 'next': names[999]})


def repeated(t, base):
    """An upload whose answer was lost is sent again with repeat=1: what is in force is said again, and nothing else is taken for it."""
    alice, bob = Identity(base, 'alice'), Identity(base, 'bob')
    again = SESSIONS + '?repeat=1'
    with Running(base) as cas:
        first = document('app', 'access_policy: {update: ANY}\n')
        r = cas.call('POST', again, first, alice)
        t.check('the first one to arrive is an upload', r.status == 201, r)
        h = r.json()['hash']
        r = cas.call('POST', again, first, alice)
        t.check('the second one gets the same answer', r.status == 201 and r.json()['hash'] == h, r)
        t.equal('without repeat it is a second creation', cas.call('POST', SESSIONS, first, alice).status, 409)
        t.equal('nor is it another key\'s', cas.call('POST', again, first, bob).status, 409)
        t.equal('nor another text', cas.call('POST', again, first + '# x\n', alice).status, 409)
        second = document('app', f'access_policy: {{update: ANY}}\npredecessor: {h}\n')
        r = cas.call('POST', again, second, alice)
        t.check('an update', r.status == 200, r)
        h2 = r.json()['hash']
        r = cas.call('POST', again, second, alice)
        t.check('again', r.status == 200 and r.json()['hash'] == h2, r)
        t.equal('there is one version of it', cas.call('GET', SESSIONS + '/app', identity=alice).json()['predecessor'], h)
        r = cas.call('POST', again, second, bob)
        t.check('another one\'s predecessor is not the current one any more', r.status == 409 and 'E-PRED' in r.error(), r)
        third = document('app', f'access_policy: {{update: ANY}}\npredecessor: {h2}\nsalt: 000102030405060708090a0b0c0d0e0f\n')
        t.equal('somebody else goes on', cas.call('POST', SESSIONS, third, bob).status, 200)
        r = cas.call('POST', again, second, alice)
        t.check('then the repetition is overtaken', r.status == 409 and 'E-PRED' in r.error(), r)
        for query in ('repeat=2', 'repeat', 'hash=1', 'repeat=1&x=1'):
            t.equal(f'?{query}', cas.call('POST', f'{SESSIONS}?{query}', third, bob).status, 400)
        t.equal('signed: ?repeat=2', cas.call('POST', '/v1/signed_sessions?repeat=2', '{}', bob).status, 400)


if __name__ == '__main__':
    main(life, access, refusals, pages, repeated)
