#!/usr/bin/env python3
"""Every call with every role, over TLS: allowed and refused exactly as the table "Who may call what" of docs/cas.md says.

The running CAS says which routes it has (/metrics) and which methods each knows (405's Allow): a route or method without a row in the table, a row
without a call here, a call without a row, and an answer whose status docs/openapi.yaml does not list for it are failures.
"""

import json
import os
import re
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../lib'))
from cas_attest import Attester, MEASUREMENT, Platform, key_text, sha256  # noqa: E402
from cas_harness import Identity, Running, main  # noqa: E402

DOCS = os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../docs')
SESSIONS = '/v1/sessions'
ROLES = ['nobody', 'stranger', 'reader', 'creator', 'service', 'other service', 'operator']


def table():
    """{call: {role: status}} from docs/cas.md."""
    text = open(os.path.join(DOCS, 'cas.md')).read().split('## Who may call what', 1)[1].split('\n## ', 1)[0]
    rows = [[cell.strip() for cell in line.strip('|').split('|')] for line in text.splitlines() if line.startswith('|')]
    if rows[0] != ['call', *ROLES]:
        raise RuntimeError(f'the table has the columns {rows[0]}')
    return {row[0].strip('`'): dict(zip(ROLES, map(int, row[1:]))) for row in rows[2:]}


def openapi():
    """{(method, path): {status}} from docs/openapi.yaml, whose lines are regular."""
    found, path, method = {}, None, None
    for line in open(os.path.join(DOCS, 'openapi.yaml')):
        if m := re.match(r'  (/\S*):$', line):
            path = m[1]
        elif m := re.match(r'    (get|post|put|delete):$', line):
            method = (m[1].upper(), path)
            found[method] = set()
        elif (m := re.match(r'        "(\d+)":', line)) and method:
            found[method].add(int(m[1]))
    return found


def document(name, reader, public=True, predecessor=None):
    return f'''name: {name}
version: "0.3"
security: {{attestation: {{mode: simulation}}}}
access_policy: {{read: [CREATOR, {key_text(sha256(reader.spki()))}]}}
secrets: [{{name: k, kind: binary, size: 8, export_public: {'true' if public else 'false'}}}]
volumes: [{{name: v}}]
images: [{{name: i, volumes: [{{name: v, path: /v}}]}}]
services: [{{name: db, command: [x, "$$SCONE::k:hex$$"], pwd: /, image_name: i, attestation: {{mrenclave: {MEASUREMENT.hex()}}}}}]
''' + (f'predecessor: {predecessor}\n' if predecessor else '')


class World:
    """One CAS, one identity a role, and for each cell of the table a session of its own."""

    def __init__(self, cas, base, operator):
        self.cas, self.base = cas, base
        self.platform = Platform(base, 'platform')
        self.ids = {role: Identity(base, role.replace(' ', '-')) for role in ROLES[1:-1]}
        self.ids.update(nobody=None, operator=operator)
        self.count = 0
        self.new_session('elsewhere')
        self.grants = {'other service': self.attest(self.ids['other service'], 'elsewhere').json()['volumes'][0]['grant']}

    def new_session(self, name):
        r = self.cas.call('POST', SESSIONS, document(name, self.ids['reader']), self.ids['creator'])
        if r.status != 201:
            raise RuntimeError(repr(r))
        return r.json()['hash']

    def attest(self, identity, name):
        return Attester(self.cas, identity, self.platform).attest(name + '/db')

    def cell(self, role):
        """A fresh session: (name, hash, grant that this role may have seen, identity)."""
        self.count += 1
        name = f's{self.count}'
        hash_ = self.new_session(name)
        grant = self.grants.get(role)
        if role == 'service':
            grant = self.attest(self.ids[role], name).json()['volumes'][0]['grant']
        if not grant:  # one that was overheard
            grant = self.attest(self.ids['service'], name).json()['volumes'][0]['grant']
        return name, hash_, grant, self.ids[role]


def get(path):
    return lambda w, role, name, hash_, grant, who: w.cas.call('GET', path.replace('NAME', name), identity=who)


def post(path, body=lambda *_: None):
    return lambda w, role, name, hash_, grant, who: w.cas.call('POST', path, body(w, role, name, hash_, grant), who)


def update(w, role, name, hash_, grant):
    return document(name, w.ids['reader'], predecessor=hash_) + 'salt: "' + '0' * 32 + '"\n'


def attest(w, role, name, hash_, grant, who):
    if role == 'service':
        return w.attest(who, name)
    nonce = '0' * 64
    evidence = ''
    if who:
        a = Attester(w.cas, who, w.platform)
        if role == 'other service':
            return a.attest(name + '/db', manifest=b'\x33' * 32)
        nonce = w.cas.call('POST', '/v1/attest/nonce', identity=who).json()['nonce']
    return w.cas.call('POST', '/v1/attest', json.dumps({'config_id': name + '/db', 'nonce': nonce, 'evidence': evidence}), who)


def volume(what):
    def call(w, role, name, hash_, grant, who):
        place = json.dumps({'grant': grant, 'place': '70' * 32})
        if what == 'open':
            return w.cas.call('POST', '/v1/volumes/open', place, who)
        number = 1
        if role in ('service', 'other service'):
            number = w.cas.call('POST', '/v1/volumes/open', place, who).json()['number']
        generation = w.count  # the other service's volume is one for all cells
        return w.cas.call('POST', '/v1/volumes/' + what, json.dumps({'grant': grant, 'number': number, 'generation': generation, 'tag': 'aa' * 16}), who)
    return call


CALLS = {
    'GET /v1/cas': get('/v1/cas'),
    'GET /v1/cas/evidence': get('/v1/cas/evidence'),
    'GET /': get('/'),
    'GET /console/': get('/console/'),
    'GET /console/NAME': get('/console/style.css'),
    'GET /healthz': get('/healthz'),
    'GET /metrics': get('/metrics'),
    'GET /v1/sessions': get('/v1/sessions'),
    'POST /v1/sessions': post('/v1/sessions', update),
    'GET /v1/sessions/NAME': get('/v1/sessions/NAME'),
    'DELETE /v1/sessions/NAME': lambda w, role, name, hash_, grant, who: w.cas.call('DELETE', f'{SESSIONS}/{name}', identity=who),
    'POST /v1/signed_sessions': post('/v1/signed_sessions', lambda *_: '{}'),
    'GET /v1/proposals': get('/v1/proposals'),
    'POST /v1/proposals': post('/v1/proposals', lambda *_: '{}'),
    'GET /v1/proposals/NAME': get('/v1/proposals/' + '0' * 64),
    'POST /v1/proposals/NAME': post('/v1/proposals/' + '0' * 64, lambda *_: '{}'),
    'DELETE /v1/proposals/NAME': lambda w, role, name, hash_, grant, who: w.cas.call('DELETE', '/v1/proposals/' + '0' * 64, identity=who),
    'GET /v1/values/session=NAME': get('/v1/values/session=NAME'),
    'POST /v1/attest/nonce': post('/v1/attest/nonce'),
    'POST /v1/attest': attest,
    'POST /v1/replica': post('/v1/replica', lambda *_: '{}'),
    'POST /v1/volumes/open': volume('open'),
    'POST /v1/volumes/update': volume('update'),
    'POST /v1/volumes/close': volume('close'),
    'GET /v1/tpm/machines': get('/v1/tpm/machines'),
    'POST /v1/tpm/machines': post('/v1/tpm/machines', lambda w, role, name, hash_, grant: json.dumps(
        {'name': name, 'ek': key_text(sha256(name.encode())), 'pcrs': 0})),
    'DELETE /v1/tpm/machines/NAME': lambda w, role, name, hash_, grant, who: w.cas.call('DELETE', '/v1/tpm/machines/none', identity=who),
    'POST /v1/tpm/enrol': post('/v1/tpm/enrol', lambda *_: '{}'),
    'POST /v1/tpm/activate': post('/v1/tpm/activate', lambda *_: '{}'),
}


def route_of(path, routes):
    if path in routes:
        return path
    prefixes = [r for r in routes if r.endswith('/') and path.startswith(r)]
    return max(prefixes, key=len, default=None)


def server_routes(cas):
    """{(method, route)} that the running CAS answers."""
    text = cas.call('GET', '/metrics').body.decode()
    routes = set(re.findall(r'scone_cas_requests_total\{call="(/[^"]*)"', text))
    found = set()
    for route in routes:
        r = cas.call('PATCH', route + ('x' if route.endswith('/') and route != '/' else ''))
        found |= {(method, route) for method in r.headers['Allow'].split(', ')}
    return routes, found


def roles(t, base):
    operator = Identity(base, 'operator')
    rows = table()
    t.equal('each row has a call here, each call a row', sorted(rows), sorted(CALLS))
    with Running(base, '--operator', key_text(sha256(operator.spki()))) as cas:
        routes, served = server_routes(cas)
        api = openapi()
        known = {(c.split(' ')[0], route_of(c.split(' ')[1], routes)) for c in rows}
        t.equal('routes that the table lacks', sorted(served - known), [])
        t.equal('rows that CAS does not serve', sorted(known - served, key=str), [])
        described = {(m, route_of(re.sub(r'\{[^}]*\}', 'NAME', p), routes)) for m, p in api}
        t.equal('routes that docs/openapi.yaml lacks', sorted(served - described), [])
        t.equal('paths of docs/openapi.yaml that CAS does not serve', sorted(described - served, key=str), [])
        statuses = {}
        for (m, p), s in api.items():
            statuses.setdefault((m, route_of(re.sub(r'\{[^}]*\}', 'NAME', p), routes)), set()).update(s)
        w = World(cas, base, operator)
        undescribed = []
        for call in (c for c in rows if c in CALLS):
            seen = {}
            for role in ROLES:
                r = CALLS[call](w, role, *w.cell(role))
                seen[role] = r.status
                method, path = call.split(' ')
                if r.status not in statuses.get((method, route_of(path, routes)), ()):
                    undescribed.append((call, role, r.status))
            t.equal(call, seen, rows[call])
        t.equal('answers whose status docs/openapi.yaml does not list', undescribed, [])
        listed = cas.call('GET', SESSIONS, identity=w.ids['stranger']).json()['sessions']
        t.equal('a stranger\'s list is empty', listed, [])
        r = cas.call('GET', '/v1/sessions/elsewhere?hash=' + '0' * 64, identity=w.ids['stranger'])
        t.equal('a stranger does not learn which versions there are', r.status, 403)


if __name__ == '__main__':
    main(roles)
