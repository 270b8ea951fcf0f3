#!/usr/bin/env python3
"""The board over CAS's interface: what is proposed, who sees it, who votes and how often, what happens then; and what gets round it: nothing.

Keys and signatures are openssl's, bytes and shapes those of the documents.
"""

import base64
import hashlib
import json
import os
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../lib'))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from board_keys import Signer, key_text, signed_session, vote, vote_bytes  # noqa: E402
from cas_attest import MEASUREMENT, Attester, Platform  # noqa: E402
from cas_harness import Cas, Identity, Running, main  # noqa: E402

SESSIONS, PROPOSALS, SIGNED = '/v1/sessions', '/v1/proposals', '/v1/signed_sessions'


def text(name, members, approvals, extra='', predecessor=None, more=''):
    """members: (name, signer, veto)"""
    lines = ''.join(f'    - {{name: {n}, key: {s.quoted()}{", veto: true" if veto else ""}}}\n' for n, s, veto in members)
    return (f'name: {name}\nversion: "0.3"\n' + (f'predecessor: {predecessor}\n' if predecessor else '') + more +
            f'board:\n  members:\n{lines}  approvals: {approvals}\n{extra}')


class Board:
    """Three members, Ed25519 and P-384; two must agree, legal has a veto."""

    def __init__(self, base, cas, name='app', approvals=2, extra='', more='', veto=True):
        self.cas, self.name, self.approvals, self.extra, self.more = cas, name, approvals, extra, more
        self.alice, self.eve = Identity(base, name + '-alice'), Identity(base, name + '-eve')
        self.ops, self.sec, self.legal = Signer(base, name + '-ops'), Signer(base, name + '-sec', 'P-384'), Signer(base, name + '-legal')
        self.members = [('ops', self.ops, False), ('sec', self.sec, False), ('legal', self.legal, veto)]
        r = cas.call('POST', SESSIONS, self.document(), self.alice)
        assert r.status == 201, r
        self.hash = r.json()['hash']

    def document(self, predecessor=None, salt=None, more=None):
        return text(self.name, self.members, self.approvals, self.extra, predecessor,
                    (f'salt: {salt:032x}\n' if salt is not None else '') + (self.more if more is None else more))

    def propose(self, salt, **more):
        return self.cas.call('POST', SESSIONS, self.document(self.hash, salt, **more), self.alice)

    def show(self, p, who):
        return self.cas.call('GET', f'{PROPOSALS}/{p}', identity=who)

    def cast(self, p, body):
        return self.cas.call('POST', f'{PROPOSALS}/{p["id"]}/votes', body)

    def current(self):
        return self.cas.call('GET', f'{SESSIONS}/{self.name}', identity=self.alice).json()


def life(t, base):
    with Running(base) as cas:
        b = Board(base, cas)
        r = b.propose(1)
        t.check('an update becomes a proposal', r.status == 202 and len(r.json()['proposal']) == 64 and r.json()['hash'] != b.hash, r)
        new = r.json()['hash']
        t.equal('and changes nothing', b.current()['hash'], b.hash)
        p = b.show(r.json()['proposal'], b.legal).json()
        t.equal('a member sees state, action, hashes', [p[k] for k in ('state', 'action', 'session', 'current', 'new', 'sight')],
                ['open', 'update', 'app', b.hash, new, 'all'])
        t.equal('and both documents', [p['before']['text'], p['after']['text']], [b.document(), b.document(b.hash, 1)])
        t.equal('the difference, line by line', [(d['op'], d['text'].split(':')[0]) for d in p['diff'] if d['op'] != ' '],
                [('+', 'predecessor'), ('+', 'salt')])
        t.equal('the hash is over the canonical form that is shown',
                hashlib.sha256(b'openscone-session-v1\0' + p['after']['canonical'].encode()).hexdigest(), new)
        t.equal('the bytes to sign are those of the document', p['sign']['approve'].encode(), vote_bytes(p, 'approve'))
        t.equal('who decides', [(m['name'], m['kind'], m['veto'], m['key'], m['vote']) for m in p['members']],
                [('ops', 'key', False, b.ops.text, None), ('sec', 'key', False, b.sec.text, None), ('legal', 'key', True, b.legal.text, None)])
        t.equal('how many', p['approvals'], {'needed': 2, 'have': 0})
        t.equal('expires after three days', p['expires'] - p['created'], 72 * 3600)

        r = b.cast(p, vote(p, b.ops))
        t.check('a first approval', r.status == 200 and r.json()['state'] == 'open' and r.json()['approvals']['have'] == 1, r)
        r = b.cast(p, vote(p, b.sec, raw=True))
        t.check('a second one, as a browser signs, is not enough without the veto member', r.status == 200 and r.json()['state'] == 'open', r)
        t.equal('nothing has changed', b.current()['hash'], b.hash)
        r = b.cast(p, vote(p, b.legal))
        t.check('with it the proposal passes', r.status == 200 and r.json()['state'] == 'passed', r)
        t.equal('and is in force, exactly it', [b.current()['hash'], b.current()['session']], [new, b.document(b.hash, 1)])
        r = b.cast(p, vote(p, b.legal))
        t.check('a vote on what has passed is refused', r.status == 409 and 'E-BOARD' in r.error(), r)
        votes = b.show(p['id'], b.ops).json()['votes']
        t.equal('the votes stay, with their signatures', [(v['member'], v['choice'], v['how'], v['key']) for v in votes],
                [('ops', 'approve', 'signature', b.ops.text), ('sec', 'approve', 'signature', b.sec.text),
                 ('legal', 'approve', 'signature', b.legal.text)])
        b.hash = new

        # Rejections.
        p = b.show(b.propose(2).json()['proposal'], b.ops).json()
        r = b.cast(p, vote(p, b.legal, 'reject'))
        t.check('a veto ends a proposal', r.json()['state'] == 'refused', r)
        p = b.show(b.propose(3).json()['proposal'], b.ops).json()
        r = b.cast(p, vote(p, b.ops, 'reject'))
        t.equal('one rejection does not', r.json()['state'], 'open')
        r = b.cast(p, vote(p, b.sec, 'reject'))
        t.equal('two do: too few are left', r.json()['state'], 'refused')
        t.equal('nothing of it is in force', b.current()['hash'], new)

        # Withdrawal.
        p = b.show(b.propose(4).json()['proposal'], b.ops).json()
        t.equal('a stranger withdraws nothing', cas.call('DELETE', f'{PROPOSALS}/{p["id"]}', identity=b.eve).status, 404)
        t.equal('nor does a member', cas.call('DELETE', f'{PROPOSALS}/{p["id"]}', identity=b.ops).status, 403)
        r = cas.call('DELETE', f'{PROPOSALS}/{p["id"]}', identity=b.alice)
        t.check('who asked does', r.status == 200 and r.json()['state'] == 'withdrawn', r)
        t.equal('once', cas.call('DELETE', f'{PROPOSALS}/{p["id"]}', identity=b.alice).status, 409)
        t.equal('a withdrawn one takes no votes', b.cast(p, vote(p, b.ops)).status, 409)

        # Two proposals: when one is in force the other is void.
        first, second = (b.show(b.propose(n).json()['proposal'], b.ops).json() for n in (5, 6))
        r = b.propose(5)
        t.check('the same again is refused while it is open', r.status == 409 and first['id'] in r.error(), r)
        for s in (b.ops, b.legal):
            r = b.cast(second, vote(second, s))
        t.equal('one of two passes', r.json()['state'], 'passed')
        t.equal('and makes the other void', b.show(first['id'], b.ops).json()['state'], 'void')
        t.equal('which takes no votes', b.cast(first, vote(first, b.ops)).status, 409)
        b.hash = second['new']
        r = cas.call('GET', f'{PROPOSALS}?session=app', identity=b.ops)
        t.equal('the list of it all', sorted(q['state'] for q in r.json()['proposals']),
                ['passed', 'passed', 'refused', 'refused', 'void', 'withdrawn'])
        t.check('a list has no documents', all('after' not in q and 'diff' not in q for q in r.json()['proposals']), r)

        # Deletion.
        r = cas.call('DELETE', SESSIONS + '/app', identity=b.eve)
        t.equal('a stranger does not even ask for deletion', r.status, 403)
        r = cas.call('DELETE', SESSIONS + '/app', identity=b.alice)
        t.check('a deletion is asked for', r.status == 202 and r.json()['hash'] == b.hash, r)
        p = b.show(r.json()['proposal'], b.ops).json()
        b.cast(p, vote(p, b.ops))
        t.equal('still there', b.current()['hash'], b.hash)
        r = b.cast(p, vote(p, b.legal))
        t.equal('deleted by the board', r.json()['state'], 'passed')
        t.equal('it is gone', cas.call('GET', SESSIONS + '/app', identity=b.alice).status, 404)
        t.equal('and its proposals with it', cas.call('GET', PROPOSALS, identity=b.ops).json(), {'proposals': []})
        t.equal('stops on TERM', cas.stop(), 0)


def forgeries(t, base):
    """Nothing but a member's signature over exactly this proposal counts."""
    with Running(base) as cas:
        b, other = Board(base, cas), Board(base, cas, 'other')
        stranger, weak = Signer(base, 'stranger'), Signer(base, 'weak', 'P-256')
        p = b.show(b.propose(1).json()['proposal'], b.ops).json()
        q = other.show(other.propose(1).json()['proposal'], other.ops).json()
        zero = '0' * 64
        for name, change in (('another new hash', {'new': zero}), ('another current hash', {'current': zero}),
                             ('another session', {'session': 'other'}), ('another proposal', {'id': q['id']}),
                             ('another action', {'action': 'delete'}), ('another expiry', {'expires': p['expires'] + 1})):
            body = json.loads(vote(p, b.ops, **change))
            body['proposal'] = p['id']
            r = b.cast(p, json.dumps(body))
            t.check(f'a signature over {name} is refused', r.status in (400, 403, 500) and b.show(p['id'], b.ops).json()['votes'] == [], r)
            t.check(f'{name}: as the caller\'s fault', r.status == 403 and 'signature' in r.error().lower(), r)
        body = json.loads(vote(p, b.ops, 'reject'))
        body['choice'] = 'approve'
        t.equal('a rejection is no approval', b.cast(p, json.dumps(body)).status, 403)
        r = b.cast(p, vote(p, stranger))
        t.check('a stranger\'s signature', r.status == 403 and 'no member' in r.error(), r)
        r = b.cast(p, vote(p, weak))
        t.check('a key of another type', r.status == 400 and 'P-384' in r.error(), r)
        body = json.loads(vote(p, b.ops))
        body['signer'] = b.sec.pem
        t.equal('one member\'s signature under another\'s key', b.cast(p, json.dumps(body)).status, 403)
        t.equal('a vote sent to another proposal', cas.call('POST', f'{PROPOSALS}/{q["id"]}/votes', vote(p, b.ops)).status, 400)
        for name, body in (('no JSON', 'x'), ('no object', '[]'), ('no choice', json.dumps({'format': 'openscone-vote-v1', 'proposal': p['id']})),
                           ('another choice', vote(p, b.ops).replace('"approve"', '"maybe"')), ('another format', vote(p, b.ops).replace('vote-v1', 'vote-v2')),
                           ('one key too many', vote(p, b.ops).replace('{', '{"x": 1, ', 1)),
                           ('no signature', json.dumps({'format': 'openscone-vote-v1', 'proposal': p['id'], 'choice': 'approve', 'signer': b.ops.pem})),
                           ('no base64', json.dumps(dict(json.loads(vote(p, b.ops)), signature='***')))):
            t.equal(f'{name} is malformed', b.cast(p, body).status, 400)
        t.equal('no signature and no ticket', cas.call('POST', f'{PROPOSALS}/{p["id"]}/votes', json.dumps(
            {'format': 'openscone-vote-v1', 'proposal': p['id'], 'choice': 'approve'}), b.ops).status, 403)
        t.equal('nothing was counted', b.show(p['id'], b.ops).json()['votes'], [])
        t.equal('an unknown proposal', cas.call('POST', f'{PROPOSALS}/{zero}/votes', vote(dict(p, id=zero), b.ops)).status, 404)

        t.equal('the true one counts', b.cast(p, vote(p, b.ops)).status, 200)
        r = b.cast(p, vote(p, b.ops))
        t.check('once', r.status == 409 and 'has voted' in r.error(), r)
        t.equal('and is not changed', b.cast(p, vote(p, b.ops, 'reject')).status, 409)
        b.cast(p, vote(p, b.legal))
        t.equal('in force', b.current()['hash'], p['new'])
        # The same document again, and every vote of before.
        b.hash = p['new']
        again = b.show(b.propose(2).json()['proposal'], b.ops).json()
        for signer in (b.ops, b.legal):
            body = json.loads(vote(p, signer))
            body['proposal'] = again['id']
            t.equal('a vote of an earlier proposal counts for no other', b.cast(again, json.dumps(body)).status, 403)

        # No other way.
        r = cas.call('POST', SESSIONS, b.document(b.hash, 3), b.eve)
        t.check('who may not ask makes no proposal', r.status == 403 and 'access_policy.update' in r.error(), r)
        r = cas.call('POST', SESSIONS, b.document('1' * 64, 3), b.alice)
        t.equal('nor is one made on another version', r.status, 409)
        r = cas.call('POST', SESSIONS, f'name: app\nversion: "0.3"\npredecessor: {b.hash}\n', b.alice)
        t.equal('taking the board away is an update, too', r.status, 202)
        t.equal('nothing of it', b.current()['hash'], b.hash)


def sight(t, base):
    with Running(base) as cas:
        reader, eve = Identity(base, 'reader'), Identity(base, 'eve')
        cas.call('POST', SESSIONS, 'name: tmp\nversion: "0.3"\n', reader)
        key = cas.call('GET', SESSIONS + '/tmp', identity=reader).json()['creator']
        b = Board(base, cas, more=f'access_policy: {{read: [CREATOR, {key}]}}\nsecrets: [{{name: s, kind: ascii, value: hidden}}]\n')
        p = b.propose(1).json()['proposal']
        t.equal('a member: all', b.show(p, b.ops).json()['sight'], 'all')
        own = b.show(p, b.alice).json()
        t.check('who asked: its own document only', own['sight'] == 'own' and 'hidden' in own['after']['text'] and 'before' not in own and
                'diff' not in own and 'sign' not in own, own)
        r = b.show(p, reader)
        t.check('a reader: the state', r.status == 200 and r.json()['sight'] == 'state' and 'hidden' not in r.body.decode(), r)
        t.equal('a stranger: nothing', b.show(p, eve).status, 404)
        t.equal('nor in a list', cas.call('GET', PROPOSALS, identity=eve).json(), {'proposals': []})
        t.equal('nobody without a certificate', cas.call('GET', f'{PROPOSALS}/{p}').status, 403)
        t.equal('nor the list', cas.call('GET', PROPOSALS).status, 403)
        t.equal('no such number', b.show('f' * 64, b.ops).status, 404)
        t.equal('no number', b.show('abc', b.ops).status, 400)
        t.equal('a bad ticket', cas.call('GET', PROPOSALS, headers={'Authorization': 'Attested AAAA'}).status, 403)
        t.equal('another scheme', cas.call('GET', PROPOSALS, headers={'Authorization': 'Basic AAAA'}).status, 400)
        t.equal('a vote is answered without the documents', 'hidden' in b.cast({'id': p}, vote(b.show(p, b.ops).json(), b.ops)).body.decode(), False)


def expiry(t, base):
    with Running(base) as cas:
        b = Board(base, cas, extra='  expires: 60s\n')
        p = b.show(b.propose(1).json()['proposal'], b.ops).json()
        t.equal('a minute', p['expires'] - p['created'], 60)
        b.cast(p, vote(p, b.legal))
        time.sleep(max(0.0, p['expires'] - time.time() + 1))
        r = b.cast(p, vote(p, b.ops))
        t.check('too late', r.status == 409 and 'expired' in r.error(), r)
        t.equal('expired', b.show(p['id'], b.ops).json()['state'], 'expired')
        t.equal('nothing is in force', b.current()['hash'], b.hash)
        t.equal('it can be proposed again', b.propose(1).status, 202)


def signed(t, base):
    with Running(base) as cas:
        courier = Identity(base, 'courier')
        k1, k2, k3 = Signer(base, 'k1'), Signer(base, 'k2', 'P-384'), Signer(base, 'k3')

        def body(name, policy, creator=k1, predecessor=None, more=''):
            return (f'name: {name}\nversion: "0.3"\n' + (f'predecessor: {predecessor}\n' if predecessor else '') +
                    (f'creator: {{signer: {creator.quoted()}}}\n' if creator else '') + f'access_policy: {policy}\n' + more)

        def key(s):
            return f'{{signer: {s.quoted()}}}'

        policy = f'{{read: ANY, update: {{require-at-least-2: [{key(k1)}, {key(k2)}, {key(k3)}]}}}}'
        first = body('sig', policy)
        r = cas.call('POST', SIGNED, signed_session(first, k1), courier)
        t.check('a signed session is created by whoever carries it', r.status == 201, r)
        h = r.json()['hash']
        got = cas.call('GET', SESSIONS + '/sig', identity=courier).json()
        t.equal('its creator is the signer', [got['creator'], got['session']], [k1.text, first])
        second = body('sig', policy, predecessor=h)
        r = cas.call('POST', SESSIONS, second, courier)
        t.check('a certificate updates nothing that wants signers', r.status == 403 and 'signer' in r.error() or '1 rule' in r.error(), r)
        t.equal('nor does one signature', cas.call('POST', SIGNED, signed_session(second, k1), courier).status, 403)
        r = cas.call('POST', SIGNED, signed_session(second, k1, k1), courier)
        t.check('twice the same is refused', r.status == 400 and 'twice' in r.error(), r)
        forged = json.loads(signed_session(second, k1, k2))
        forged['session'] = second + '# changed\n'
        t.equal('a changed text', cas.call('POST', SIGNED, json.dumps(forged), courier).status, 400)
        forged = json.loads(signed_session(second, k1, k2))
        forged['signatures'][1]['signer'] = k3.pem
        t.equal('a signature under another key', cas.call('POST', SIGNED, json.dumps(forged), courier).status, 400)
        r = cas.call('POST', SIGNED, signed_session(second, k3, k2), courier)
        t.check('the creator is one of the signers', r.status == 400 and 'creator' in r.error(), r)
        nobody = body('sig', policy, creator=None, predecessor=h)
        t.equal('and is named', cas.call('POST', SIGNED, signed_session(nobody, k1, k2), courier).status, 400)
        r = cas.call('POST', SIGNED, signed_session(second, k2, k1), courier)
        t.check('two signatures update', r.status == 200, r)
        t.equal('once', cas.call('POST', SIGNED, signed_session(second, k2, k1), courier).status, 409)
        t.equal('the first one does not come back', cas.call('POST', SIGNED, signed_session(first, k1, k2), courier).status, 409)
        t.equal('malformed', cas.call('POST', SIGNED, '{"format": "openscone-signed-session-v1"}', courier).status, 400)
        t.equal('no signatures', cas.call('POST', SIGNED, json.dumps({'format': 'openscone-signed-session-v1', 'session': second, 'signatures': []}),
                                          courier).status, 400)
        t.equal('without a certificate', cas.call('POST', SIGNED, signed_session(second, k1)).status, 401)

        # create_sessions of a namespace by signers.
        r = cas.call('POST', SESSIONS, f'name: ns\nversion: "0.3"\naccess_policy: {{create_sessions: {key(k3)}}}\n', courier)
        t.equal('namespace', r.status, 201)
        child = body('ns/a', '{read: ANY}', creator=k3)
        t.equal('its owner creates nothing without the signature', cas.call('POST', SESSIONS, 'name: ns/a\nversion: "0.3"\n', courier).status, 403)
        t.equal('nor another signer', cas.call('POST', SIGNED, signed_session(body('ns/a', '{read: ANY}'), k1), courier).status, 403)
        t.equal('the signer does', cas.call('POST', SIGNED, signed_session(child, k3), courier).status, 201)
        # A deleted signed session is not brought back by who kept it.
        r = cas.call('POST', SIGNED, signed_session(body('gone', f'{{read: ANY, update: [CREATOR, {key(k1)}, ANY]}}'.replace(', ANY]', ']')), k1), courier)
        t.equal('signed', r.status, 201)

        # Signatures on an upload are approvals.
        members = [('a', k1, False), ('b', k2, False), ('c', k3, False)]
        doc = text('brd', members, 2, more='access_policy: {read: ANY, update: ANY}\n')
        h = cas.call('POST', SESSIONS, doc, courier).json()['hash']

        def next_doc(salt):
            return text('brd', members, 2, predecessor=h, more=f'salt: {salt:032x}\ncreator: {{signer: {k1.quoted()}}}\n'
                        'access_policy: {read: ANY, update: ANY}\n')

        upload = signed_session(next_doc(1), k1)
        r = cas.call('POST', SIGNED, upload, courier)
        t.check('one signature is one approval', r.status == 202, r)
        p = cas.call('GET', f'{PROPOSALS}/{r.json()["proposal"]}', identity=k2).json()
        t.equal('it is counted as such', [(v['member'], v['how'], v['choice']) for v in p['votes']], [('a', 'upload', 'approve')])
        t.equal('and not twice', cas.call('POST', f'{PROPOSALS}/{p["id"]}/votes', vote(p, k1)).status, 409)
        t.equal('withdrawn', cas.call('DELETE', f'{PROPOSALS}/{p["id"]}', identity=courier).status, 200)
        r = cas.call('POST', SIGNED, upload, courier)
        t.check('signatures decide once', r.status == 409 and 'decide once' in r.error(), r)
        r = cas.call('POST', SIGNED, signed_session(next_doc(2), k1, k3), courier)
        t.check('enough signatures: in force at once', r.status == 200, r)
        t.equal('it is', cas.call('GET', SESSIONS + '/brd', identity=courier).json()['hash'], r.json()['hash'])


def gates(t, base):
    """Boards that decide about export and read."""
    with Running(base) as cas:
        owner = Identity(base, 'owner')
        b = Board(base, cas, 'store', extra='  actions: [export, read]\n',
                  more='secrets: [{name: k, kind: ascii, value: seven, export: {session: user}}, {name: own, kind: ascii, value: mine}]\n'
                       'access_policy: {read: ANY}\n')
        t.equal('an update is no action of this board', b.propose(1).status, 200)
        b.hash = None
        r = cas.call('GET', SESSIONS + '/store', identity=b.alice)
        t.check('a read is refused', r.status == 403 and 'E-BOARD' in r.error(), r)
        ask = {'action': 'read', 'session': 'store'}
        r = cas.call('POST', PROPOSALS, json.dumps(ask), owner)
        t.check('it is asked for', r.status == 202, r)
        p = cas.call('GET', f'{PROPOSALS}/{r.json()["id"]}', identity=b.legal).json()
        cas.call('POST', SESSIONS, 'name: who\nversion: "0.3"\n', owner)
        t.equal('by this key', p['reader'], cas.call('GET', SESSIONS + '/who', identity=owner).json()['creator'])
        p['reader_hex'] = p['sign']['approve'].split('reader ')[1].split('\n')[0]
        t.equal('whose hash is signed', key_text(bytes.fromhex(p['reader_hex'])), p['reader'])
        for s in (b.ops, b.legal):
            r = b.cast(p, vote(p, s))
        t.equal('agreed', r.json()['state'], 'passed')
        t.equal('not for another key', cas.call('GET', SESSIONS + '/store', identity=b.alice).status, 403)
        t.equal('one read', cas.call('GET', SESSIONS + '/store', identity=owner).status, 200)
        t.equal('and no second', cas.call('GET', SESSIONS + '/store', identity=owner).status, 403)
        t.equal('it is used', cas.call('GET', f'{PROPOSALS}/{p["id"]}', identity=b.ops).json()['state'], 'used')

        user = ('name: user\nversion: "0.3"\nsecurity: {attestation: {mode: none}}\n'
                'secrets: [{name: key, import: {session: store, secret: k}}]\n'
                'services: [{name: s, command: [p, "$$SCONE::key$$"]}]\n')
        r = cas.call('POST', SESSIONS, user, owner)

        def start():
            nonce = cas.call('POST', '/v1/attest/nonce', identity=owner).json()['nonce']
            return cas.call('POST', '/v1/attest', json.dumps({'config_id': 'user/s', 'nonce': nonce, 'evidence': ''}), owner)

        r = start()
        t.check('an importer starts not without the board', r.status == 403 and 'E-BOARD' in r.error(), r)
        ask = {'action': 'export', 'session': 'store', 'importer': 'user'}
        t.equal('who does not own the importer does not ask', cas.call('POST', PROPOSALS, json.dumps(ask), b.eve).status, 403)
        r = cas.call('POST', PROPOSALS, json.dumps(ask), owner)
        t.check('its owner does', r.status == 202 and r.json()['items'] == ['k'], r)
        p = cas.call('GET', f'{PROPOSALS}/{r.json()["id"]}', identity=b.legal).json()
        for s in (b.sec, b.legal):
            r = b.cast(p, vote(p, s))
        t.equal('agreed to', r.json()['state'], 'passed')
        t.equal('it starts', start().status, 200)
        t.equal('again and again', start().status, 200)
        h = cas.call('GET', SESSIONS + '/user', identity=owner).json()['hash']
        cas.call('POST', SESSIONS, user + f'predecessor: {h}\n', owner)
        t.equal('until it changes', start().status, 403)
        for bad in ('{}', '[]', '{"action": "update", "session": "store"}', '{"action": "read", "session": "store", "importer": "user"}',
                    '{"action": "export", "session": "store"}', '{"action": "read", "session": "a//b"}'):
            t.equal(f'{bad} is malformed', cas.call('POST', PROPOSALS, bad, owner).status, 400)
        t.equal('no board decides about it', cas.call('POST', PROPOSALS, '{"action": "delete", "session": "user"}', owner).status, 409)
        t.equal('no such session', cas.call('POST', PROPOSALS, '{"action": "read", "session": "none"}', owner).status, 404)


def programs(t, base):
    """Members that are programs: what they are attested as counts, once, for ten minutes."""
    alice, platform = Identity(base, 'alice'), Platform(base, 'one')
    with Running(base) as cas:
        ops = Signer(base, 'ops')

        def governance(mode='simulation', predecessor=None, salt=1):
            return (f'name: gov\nversion: "0.3"\nsalt: {salt:032x}\nsecurity: {{attestation: {{mode: {mode}}}}}\n' +
                    (f'predecessor: {predecessor}\n' if predecessor else '') + 'services:\n' +
                    ''.join(f'  - {{name: {n}, command: p, environment: {{T: "$$SCONE::self:ticket$$"}}, attestation: {{mrenclave: '
                            f'{MEASUREMENT.hex()}}}}}\n' for n in ('lint', 'other')))

        r = cas.call('POST', SESSIONS, governance(), alice)
        t.equal('the approver\'s session', r.status, 201)
        h = r.json()['hash']

        def boarded(name, mode, program='gov/lint'):
            doc = (f'name: {name}\nversion: "0.3"\nsecurity: {{attestation: {{mode: {mode}}}}}\nboard:\n  members:\n'
                   f'    - {{name: ops, key: {ops.quoted()}}}\n    - {{name: lint, program: {program}}}\n  approvals: 2\n')
            first = cas.call('POST', SESSIONS, doc, alice).json()['hash']
            r = cas.call('POST', SESSIONS, doc + f'salt: {5:032x}\npredecessor: {first}\n', alice)
            p = cas.call('GET', f'{PROPOSALS}/{r.json()["proposal"]}', identity=ops).json()
            cas.call('POST', f'{PROPOSALS}/{p["id"]}/votes', vote(p, ops))
            return p

        def ticket(service='lint', identity=alice):
            a = Attester(cas, identity, platform)
            r = a.attest(f'gov/{service}')
            assert r.status == 200, r
            return base64.b64decode(r.json()['env'][0]['value']).decode()

        def cast(p, tick, choice='approve'):
            return cas.call('POST', f'{PROPOSALS}/{p["id"]}/votes', json.dumps(
                {'format': 'openscone-vote-v1', 'proposal': p['id'], 'choice': choice}),
                headers={'Authorization': 'Attested ' + tick})

        p = boarded('one', 'simulation')
        mine, wrong = ticket(), ticket('other')
        t.check('each start has a ticket of its own', mine != wrong and len(mine) > 100, mine)
        r = cas.call('GET', f'{PROPOSALS}/{p["id"]}', headers={'Authorization': 'Attested ' + mine})
        t.check('the program sees what it votes on', r.status == 200 and r.json()['sight'] == 'all', r)
        t.equal('and lists it', [q['id'] for q in cas.call('GET', PROPOSALS, headers={'Authorization': 'Attested ' + mine}).json()['proposals']],
                [p['id']])
        t.equal('another service sees nothing', cas.call('GET', f'{PROPOSALS}/{p["id"]}', headers={'Authorization': 'Attested ' + wrong}).status, 404)
        r = cast(p, wrong)
        t.check('nor does it vote', r.status == 403 and 'no member' in r.error(), r)
        for name, bad in (('a changed ticket', mine[:30] + ('A' if mine[30] != 'A' else 'B') + mine[31:]), ('a short one', mine[:-4]),
                          ('an empty one', '')):
            t.check(f'{name} is none', cast(p, bad).status in (400, 403), name)
        r = cast(p, mine)
        t.check('the member approves', r.status == 200 and r.json()['state'] == 'passed', r)
        v = [v for v in r.json()['votes'] if v['member'] == 'lint'][0]
        t.equal('as what it is measured', [v['how'], v['measurement']], ['program', MEASUREMENT.hex()])
        t.equal('only once', cast(p, mine).status, 409)

        p = boarded('two', 'hardware')
        r = cast(p, mine)
        t.check('a simulated program has no vote on a hardware session', r.status == 403 and 'E-BOARD' in r.error() and 'hardware' in r.error(), r)
        p = boarded('three', 'simulation', '{session: gov, service: lint, session_hash: ' + '0' * 64 + '}')
        r = cast(p, mine)
        t.check('nor under another hash of its session', r.status == 403, r)
        p = boarded('four', 'simulation', '{session: gov, service: lint, session_hash: ' + h + '}')
        t.equal('under the right one it has', cast(p, mine, 'reject').json()['state'], 'refused')

        p = boarded('five', 'simulation')
        r = cas.call('POST', SESSIONS, governance(predecessor=h, salt=2), alice)
        t.equal('the approver\'s session changes', r.status, 200)
        r = cast(p, mine)
        t.check('a ticket of before it counts no more', r.status == 403 and 'anew' in r.error(), r)
        t.equal('a new one does', cast(p, ticket()).status, 200)
        h = r.json().get('hash') or cas.call('GET', SESSIONS + '/gov', identity=alice).json()['hash']
        p = boarded('six', 'simulation')
        cas.call('POST', SESSIONS, governance('none', predecessor=h, salt=3), alice)
        r = cast(p, ticket())
        t.check('mode none attests nobody', r.status == 403 and 'none' in r.error(), r)
        r = cas.call('POST', SESSIONS, 'name: bad\nversion: "0.3"\nsecurity: {attestation: {mode: none}}\n'
                     'services: [{name: s, command: [p, "$$SCONE::self$$"]}]\n', alice)
        t.equal('self has one form', r.status, 400)


def crash(t, base):
    """Kill -9 after every answer: what was acknowledged is there."""
    cas = Cas(base)
    try:
        cas.start()
        b = Board(base, cas)
        for salt in range(1, 9):
            p = b.propose(salt).json()['proposal']
            cas.process.kill()
            cas.process.wait()
            cas.start()
            p = b.show(p, b.ops).json()
            seen = [p['state'], p['approvals']['have']]
            cas.call('POST', f'{PROPOSALS}/{p["id"]}/votes', vote(p, b.ops))
            cas.process.kill()
            cas.process.wait()
            cas.start()
            q = b.show(p['id'], b.ops).json()
            seen += [q['state'], q['approvals']['have']]
            r = cas.call('POST', f'{PROPOSALS}/{p["id"]}/votes', vote(p, b.legal, 'approve' if salt % 2 else 'reject'))
            cas.process.kill()
            cas.process.wait()
            cas.start()
            seen += [r.json()['state'], b.show(p['id'], b.ops).json()['state']]
            last = 'passed' if salt % 2 else 'refused'
            t.equal(f'{salt}: proposal, vote and outcome are kept', seen, ['open', 0, 'open', 1, last, last])
            b.hash = b.current()['hash']
            t.equal(f'{salt}: and so is what is in force', b.hash == p['new'], bool(salt % 2))
        log = open(os.path.join(cas.dir, 'audit.log')).read()
        events = [json.loads(line)['event'] for line in log.splitlines()]
        t.equal('each is in the log', [events.count(e) for e in
                                       ('proposal-made', 'vote-approve', 'vote-reject', 'proposal-passed', 'proposal-refused', 'session-updated')],
                [8, 12, 4, 4, 4, 4])
        t.check('with who and which', all(line.count(p['id']) for line in log.splitlines()[-1:] if 'proposal' in line), log[-300:])
        t.equal('stops on TERM', cas.stop(), 0)
    finally:
        cas.end()


def limits(t, base):
    with Running(base) as cas:
        b = Board(base, cas)
        made = [b.propose(n).status for n in range(1, 34)]
        t.equal('32 proposals are open at once, no more', [made.count(202), made[-1]], [32, 413])


if __name__ == '__main__':
    main(life, forgeries, sight, signed, gates, programs, crash, limits, expiry)
