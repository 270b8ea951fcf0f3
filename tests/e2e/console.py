#!/usr/bin/env python3
"""The web console in a real Chromium: who sees what, votes signed in the page; and what a page, a stranger or another site cannot do."""

import os
import sys

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '../lib'))
sys.path.insert(0, HERE)
from board import SESSIONS, Board  # noqa: E402
from board_keys import Signer, vote  # noqa: E402
from browser import Browser  # noqa: E402
from cas_harness import Identity, Running, main  # noqa: E402

BAD = '<script>alert("1")</script>'


def page(cas, path, who=None, **headers):
    return cas.call('GET', path, identity=who, headers=headers)


def reading(t, base):
    """Without JavaScript, as any HTTP client sees it."""
    with Running(base) as cas:
        b = Board(base, cas, more='access_policy: {read: [CREATOR]}\nservices:\n  - {name: s, command: "run %s", '
                  'attestation: [{mrenclave: ["%s"]}]}\n' % (BAD.replace('"', "'"), '00' * 32))
        r = page(cas, '/')
        t.check('without a certificate: who are you?', r.status == 401 and b'client certificate' in r.body, r)
        r = page(cas, '/console/', b.alice)
        t.check('the creator sees the session', r.status == 200 and b'href="/console/sessions/app"' in r.body and b.hash.encode() in r.body, r)
        t.equal('as HTML', r.headers['Content-Type'], 'text/html; charset=utf-8')
        t.check('with a policy that lets no other script run', "script-src 'self'" in r.headers['Content-Security-Policy'] and
                "default-src 'none'" in r.headers['Content-Security-Policy'], r.headers)
        t.check('which nobody frames or guesses the type of', "frame-ancestors 'none'" in r.headers['Content-Security-Policy'] and
                r.headers['X-Content-Type-Options'] == 'nosniff', r.headers)
        r = page(cas, '/console/', b.eve)
        t.check('a stranger sees none', r.status == 200 and b'sessions/app' not in r.body and b'no session' in r.body, r)
        r = page(cas, '/console/sessions/app', b.alice)
        t.check('the document', r.status == 200 and b'approvals: 2' in r.body, r)
        t.check('is text, whatever it says', b'<script>alert' not in r.body and b'&lt;script&gt;alert' in r.body, r)
        t.equal('a stranger does not read it', page(cas, '/console/sessions/app', b.eve).status, 403)
        t.equal('nor its audit log', page(cas, '/console/audit/app', b.eve).status, 403)
        r = page(cas, '/console/audit/app', b.alice)
        t.check('the audit log of the session', r.status == 200 and b'session-created' in r.body, r)
        p = b.propose(1).json()['proposal']
        r = page(cas, '/console/proposals/' + p, b.sec)
        t.check('a member reads the difference', r.status == 200 and b'class="add"' in r.body and b'salt: ' in r.body, r)
        t.check('and how to vote without a script', b'<noscript>' in r.body and b'scone proposal approve ' + p.encode() in r.body, r)
        t.equal('to a stranger there is no such proposal', page(cas, '/console/proposals/' + p, b.eve).status, 404)
        t.equal('nor another one', page(cas, '/console/proposals/' + '0' * 64, b.sec).status, 404)
        t.equal('no page of that name', page(cas, '/console/nothing', b.sec).status, 404)
        t.equal('pages are only read', cas.call('POST', '/console/', b'x', b.sec).status, 405)
        for name, headers in (('Origin', {'Origin': 'https://evil.example'}), ('Sec-Fetch-Site', {'Sec-Fetch-Site': 'cross-site'})):
            r = cas.call('POST', SESSIONS, b.document(b.hash, 9), b.alice, headers)
            t.check(f'what another site sends with the certificate of its visitor is refused ({name})', r.status == 403 and
                    "another site" in r.error(), r)
        own = 'https://%s:%d' % cas.address
        t.equal('what our page sends is not', page(cas, SESSIONS, b.alice, Origin=own, **{'Sec-Fetch-Site': 'same-origin'}).status, 200)


def counted_reads(t, base):
    """A board that decides about each read: a page that is looked at does not use up what it has agreed to."""
    with Running(base) as cas:
        b = Board(base, cas, extra='  actions: [read]\n', more='access_policy: {read: [CREATOR]}\n')
        r = page(cas, '/console/sessions/app', b.alice)
        t.check('nothing of the document before the board has agreed', r.status == 200 and b'take=read' in r.body and b'approvals: 2' not in r.body, r)
        t.equal('nor by asking for it', page(cas, '/console/sessions/app?take=read', b.alice).status, 403)
        t.equal('a stranger is told no more than before', page(cas, '/console/sessions/app', b.eve).status, 403)
        p = cas.call('POST', '/v1/proposals', '{"action": "read", "session": "app"}', b.alice).json()
        for who in (b.sec, b.legal):
            b.cast(b.show(p['id'], who).json(), vote(b.show(p['id'], who).json(), who))
        for _ in range(2):
            r = page(cas, '/console/sessions/app', b.alice)
            t.check('looking at the page takes nothing', r.status == 200 and b'approvals: 2' not in r.body, r)
        r = page(cas, '/console/sessions/app?take=read', b.alice)
        t.check('the step that takes it shows the document', r.status == 200 and b'approvals: 2' in r.body, r)
        t.equal('once', page(cas, '/console/sessions/app?take=read', b.alice).status, 403)


def votes(t, base):
    with Running(base) as cas:
        b = Board(base, cas)
        stranger, old = Signer(base, 'stranger'), Identity(base, 'old')
        first, second = (b.propose(n).json()['proposal'] for n in (1, 2))
        with Browser(base, 'sec', b.sec.key, b.sec.cert, cas.address) as w:
            w.open('/console/proposals/')
            t.equal('the list', [x.split()[0] for x in w.texts('#proposals td:first-child')], ['update', 'update'])
            w.open('/console/proposals/' + first)
            t.equal('the difference is coloured', [x.split(':')[0] for x in w.texts('#diff .add')], ['+ predecessor', '+ salt'])
            colours = w.script('return [".add", ".same"].map(s => getComputedStyle(document.querySelector("#diff " + s)).backgroundColor)')
            t.check('by the style of this server', colours[0] == 'rgb(230, 246, 234)' and colours[1] != colours[0], colours)
            t.equal('the members', w.texts('#members td:first-child'), ['ops', 'sec', 'legal veto'])
            t.check('no button before there is a key', w.script('return [...document.querySelectorAll("#vote button")].every(b => b.disabled)'))
            for name, key, part in (('a key of nobody', stranger.key, 'no member of the board'), ('a P-256 key', old.key, 'neither Ed25519 nor P-384'),
                                    ('no key', b.sec.cert, 'wanted is a PEM file')):
                w.choose_file('#key', key)
                w.click('#vote .approve')
                t.check(f'{name} is refused, and the page says why', part in w.wait_text('#said', part), w.text('#said'))
            t.equal('none of it counts', b.show(first, b.ops).json()['votes'], [])
            w.choose_file('#key', b.sec.key)
            w.click('#vote .approve')
            t.check('a P-384 key signs', 'Your vote counts: approve' in w.wait_text('#said', 'counts'), w.texts('#said'))
            seen = b.show(first, b.ops).json()
            t.equal('and CAS has the vote', [(v['member'], v['choice'], v['how']) for v in seen['votes']], [('sec', 'approve', 'signature')])
            w.open('/console/proposals/' + first)
            w.choose_file('#key', b.legal.key)
            w.click('#vote .approve')
            t.check('an Ed25519 key signs, and the proposal passes', 'passed' in w.wait_text('#said', 'passed'), w.texts('#said'))
            t.equal('it is in force', b.current()['hash'], seen['new'])
            w.open('/console/proposals/' + first)
            t.check('the page says so, and offers no vote', w.text('#proposal .state') == 'passed' and not w.find('#vote'))
            w.open('/console/proposals/' + second)
            t.equal('the other one is void', w.text('#proposal .state'), 'void')
            b.hash = seen['new']
            third = b.propose(3).json()['proposal']
            w.open('/console/proposals/' + third)
            w.script('document.getElementById("proposal").dataset.bound = "0".repeat(64)')
            w.choose_file('#key', b.sec.key)
            w.click('#vote .approve')
            t.check('a page that shows another hash than is signed signs nothing', 'another new hash' in w.wait_text('#said', 'another new hash'),
                    w.text('#said'))
            w.open('/console/proposals/' + third)
            w.script('document.querySelector("#diff .add").dataset.line = "salt: 0"')
            w.choose_file('#key', b.sec.key)
            w.click('#vote .approve')
            t.check('nor one that shows another document', 'not the one this page shows' in w.wait_text('#said', 'not the one'), w.text('#said'))
            w.open('/console/proposals/' + third)
            w.choose_file('#key', b.legal.key)
            w.click('#vote .reject')
            t.check('a rejection', 'refused' in w.wait_text('#said', 'refused'), w.texts('#said'))
        p = b.show(third, b.ops).json()
        t.equal('a veto, as signed', [p['state'], [(v['member'], v['choice']) for v in p['votes']]], ['refused', [('legal', 'reject')]])
        t.equal('takes no votes any more', b.cast(p, vote(p, b.sec)).status, 409)


if __name__ == '__main__':
    main(reading, counted_reads, votes)
