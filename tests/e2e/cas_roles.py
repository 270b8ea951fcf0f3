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
from board_keys import Signer  # noqa: E402
from cas_attest import Attester, MEASUREMENT, Platform, key_text, sha256  # noqa: E402
from cas_harness import Identity, Running, main  # noqa: E402
from openapi import Document  # noqa: E402

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
    'GET /openapi.json': get('/openapi.json'),
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
    'POST /v1/exports': post('/v1/exports', lambda *_: '{}'),
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
        api = Document(cas.call('GET', '/openapi.json').json())
        operations = api.operations()
        known = {(c.split(' ')[0], route_of(c.split(' ')[1], routes)) for c in rows}
        t.equal('routes that the table lacks', sorted(served - known), [])
        t.equal('rows that CAS does not serve', sorted(known - served, key=str), [])
        described = {(m, route_of(re.sub(r'\{[^}]*\}', 'NAME', p), routes)) for m, p in operations}
        t.equal('routes that /openapi.json lacks', sorted(served - described), [])
        t.equal('paths of /openapi.json that CAS does not serve', sorted(described - served, key=str), [])
        exact = {(m, re.sub(r'\{[^}]*\}', 'NAME', p)): o for (m, p), o in operations.items()}
        by_route = {(m, route_of(p, routes)): o for (m, p), o in exact.items()}
        w = World(cas, base, operator)
        undescribed = []
        for call in (c for c in rows if c in CALLS):
            seen = {}
            for role in ROLES:
                r = CALLS[call](w, role, *w.cell(role))
                seen[role] = r.status
                method, path = call.split(' ')
                operation = exact.get((method, path)) or by_route[method, route_of(path, routes)]
                undescribed += [(call, role, f) for f in api.answer_faults(operation, r)]
            t.equal(call, seen, rows[call])
        t.equal('answers that /openapi.json does not describe', undescribed, [])
        listed = cas.call('GET', SESSIONS, identity=w.ids['stranger']).json()['sessions']
        t.equal('a stranger\'s list is empty', listed, [])
        r = cas.call('GET', '/v1/sessions/elsewhere?hash=' + '0' * 64, identity=w.ids['stranger'])
        t.equal('a stranger does not learn which versions there are', r.status, 403)


def board(member):
    return 'board:\n  approvals: 1\n  members:\n  - name: m\n    key: |\n' + ''.join(f'      {line}\n' for line in member.pem.splitlines())


def answers(t, base):
    """Answers with more in them than those of the table have, against /openapi.json; and that the comparison sees what is wrong."""
    operator, alice = Identity(base, 'operator'), Signer(base, 'alice')
    plain = 'name: {}\nversion: "0.3"\n'
    with Running(base, '--operator', key_text(sha256(operator.spki()))) as cas:
        api = Document(cas.call('GET', '/openapi.json').json())
        operations = api.operations()

        def hold(name, status, method, path, body=None, who=alice, described=None):
            r = cas.call(method, path, body, who)
            faults = api.answer_faults(operations[method, described or path], r)
            t.check(name, r.status == status and not faults, (r, faults))
            return r

        hash_ = hold('a session with a board', 201, 'POST', SESSIONS, plain.format('b') + board(alice)).json()['hash']
        proposal = hold('its update is proposed', 202, 'POST', SESSIONS, plain.format('b') + board(alice) + f'predecessor: {hash_}\n').json()['proposal']
        listed = hold('the list of proposals', 200, 'GET', '/v1/proposals')
        t.equal('has it', [p['id'] for p in listed.json()['proposals']], [proposal])
        r = hold('the proposal', 200, 'GET', '/v1/proposals/' + proposal, described='/v1/proposals/{id}')
        t.check('all of it', r.json()['sight'] == 'all' and r.json()['diff'], r)
        hold('withdrawn', 200, 'DELETE', '/v1/proposals/' + proposal, described='/v1/proposals/{id}')
        hold('deleting is proposed', 202, 'DELETE', SESSIONS + '/b', described='/v1/sessions/{name}')
        r = hold('a document with mistakes', 400, 'POST', SESSIONS, plain.format('c') + 'nonsense: 1\n')
        t.check('each told', r.json()['error']['details'], r)
        hold('sessions', 200, 'GET', SESSIONS)
        hold('a machine is pinned', 201, 'POST', '/v1/tpm/machines', json.dumps({'name': 'box', 'ek': key_text(sha256(b'ek')), 'pcrs': 128}), operator)
        r = hold('the list of machines', 200, 'GET', '/v1/tpm/machines', who=operator)
        t.equal('has it', r.json()['machines'][0]['pcrs'], {'7': None})
        hold('and it is removed', 200, 'DELETE', '/v1/tpm/machines/box', who=operator, described='/v1/tpm/machines/{name}')
        r = cas.call('GET', '/v1/cas/evidence?nonce=' + '1' * 64)
        t.equal('evidence', api.answer_faults(operations['GET', '/v1/cas/evidence'], r), [])
        r = cas.call('GET', '/v1/cas')
        good = r.json()
        for name, bad in (('one is missing', {k: v for k, v in good.items() if k != 'key'}), ('one too many', {**good, 'more': 1}),
                          ('another type', {**good, 'simulated': 'yes'}), ('another type within', {**good, 'warnings': [1]}), ('a list', [good])):
            r.body = json.dumps(bad).encode()
            t.check('the comparison sees: ' + name, len(api.answer_faults(operations['GET', '/v1/cas'], r)) == 1)
        r.status = 418
        t.check('the comparison sees: another status', api.answer_faults(operations['GET', '/v1/cas'], r))
        t.equal('stops on TERM', cas.stop(), 0)
    with Running(base, '--max-peer-requests', '1') as cas:
        cas.call('GET', '/healthz')
        t.equal('too many', api.answer_faults(operations['GET', '/healthz'], r := cas.call('GET', '/healthz')), [])
        t.equal('is 429', r.status, 429)


if __name__ == '__main__':
    main(roles, answers)
