#!/usr/bin/env python3
"""Kill -9 at any moment: a client creates and updates sessions as fast as CAS answers, CAS is killed, started again, and asked for everything.

Every acknowledged change must be there. The one change on its way may be there or not, but not half: its document, its hash and its
predecessor belong together, all older versions can be read, and secrets are kept (shown by attestation against mode none).
"""

import base64
import http.client
import json
import os
import random
import ssl
import sys
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../lib'))
from cas_harness import Cas, Identity, main  # noqa: E402

TRIES = int(os.environ.get('KILL9_TRIES', '100'))
SECONDS = 200  # about 40 where nothing else runs
NAMES = ['s0', 's1', 's2', 's3']
SESSIONS = '/v1/sessions'


def document(name, counter, predecessor):
    return (f'name: {name}\nversion: "0.3"\nsecurity: {{attestation: {{mode: none}}}}\n'
            f'secrets: [{{name: k, kind: binary, size: 32}}, {{name: new{counter}, kind: ascii}}]\n'
            f'services: [{{name: s, command: [p, "{counter}", "$$SCONE::k:hex$$"]}}]\n'
            + (f'predecessor: {predecessor}\n' if predecessor else ''))


class Client(threading.Thread):
    """Writes until the connection breaks. Knows what was acknowledged and what was on its way."""

    def __init__(self, cas, identity, known, noise):
        super().__init__()
        self.cas, self.identity, self.known, self.noise = cas, identity, known, noise
        self.on_its_way = None  # (name, counter)
        self.wrong = None
        self.acknowledged = 0

    def run(self):
        try:
            c = self.cas.connect(self.identity)
            while True:
                name = self.noise.choice(NAMES)
                counter, hash_ = self.known.get(name, (0, None))
                self.on_its_way = (name, counter + 1)
                c.request('POST', SESSIONS, document(name, counter + 1, hash_))
                r = c.getresponse()
                body = r.read()
                if r.status not in (200, 201):
                    self.wrong = (r.status, body)
                    return
                self.known[name] = (counter + 1, json.loads(body)['hash'])
                self.on_its_way = None
                self.acknowledged += 1
        except (OSError, http.client.HTTPException, ssl.SSLError):
            pass


def get(c, path, method='GET', body=None):
    c.request(method, path, body)
    r = c.getresponse()
    return r.status, json.loads(r.read())


def attest(c, name):
    """The arguments of service s."""
    nonce = get(c, '/v1/attest/nonce', 'POST')[1]['nonce']
    status, answer = get(c, '/v1/attest', 'POST', json.dumps({'config_id': name + '/s', 'nonce': nonce, 'evidence': ''}))
    if status != 200:
        raise AssertionError(f'{name} does not attest: {answer}')
    return [base64.b64decode(a['value']).decode() for a in answer['argv']]


def inspect(cas, identity, known, on_its_way, secrets):
    """Compare CAS with what the client knows; brings known up to date. Says what is wrong, or None."""
    c = cas.connect(identity)
    listed = {s['name']: s['hash'] for s in get(c, SESSIONS)[1]['sessions']}
    maybe = on_its_way[0] if on_its_way else None
    if set(listed) - {maybe} != set(known) - {maybe}:
        return f'sessions {sorted(listed)}, acknowledged {sorted(known)}, on its way {maybe}'
    for name, hash_ in listed.items():
        counter, acknowledged = known.get(name, (0, None))
        status, s = get(c, f'{SESSIONS}/{name}')
        if status != 200 or s['hash'] != hash_:
            return f'{name}: {status} {s}, listed as {hash_}'
        if hash_ != acknowledged:
            if maybe != name:
                return f'{name}: hash {hash_}, acknowledged {acknowledged}'
            if s['predecessor'] != acknowledged:
                return f'{name}: the unacknowledged version follows {s["predecessor"]}, not {acknowledged}'
            counter += 1
            known[name] = (counter, hash_)
        if s['session'] != document(name, counter, s['predecessor']):
            return f'{name}: document is not version {counter}: {s["session"]!r}'
        if s['predecessor']:
            status, before = get(c, f'{SESSIONS}/{name}?hash={s["predecessor"]}')
            if status != 200 or before['session'] != document(name, counter - 1, before['predecessor']):
                return f'{name}: version {counter - 1} is {status} {before}'
        argv = attest(c, name)
        if argv[:2] != ['p', str(counter)] or len(argv[2]) != 64 or secrets.setdefault(name, argv[2]) != argv[2]:
            return f'{name}: arguments {argv[:2]}, wanted version {counter} and the same secret as ever'
    c.close()
    return None


def whole_chain(cas, identity, name, known):
    """All versions back to the first."""
    c = cas.connect(identity)
    counter, hash_ = known[name]
    while True:
        status, s = get(c, f'{SESSIONS}/{name}?hash={hash_}')
        if status != 200 or s['session'] != document(name, counter, s['predecessor']):
            return f'{name}: version {counter} with hash {hash_} is {status} {s}'
        if not s['predecessor']:
            return None if counter == 1 else f'{name}: the chain ends at version {counter}'
        counter, hash_ = counter - 1, s['predecessor']


def kill9(t, base):
    noise = random.Random(9)
    identity = Identity(base, 'client')
    cas = Cas(base)
    known, secrets = {}, {}
    end = time.monotonic() + SECONDS
    done = acknowledged = cut = survived = 0
    wrong = None
    try:
        while done < TRIES and not wrong and time.monotonic() < end:
            cas.start()
            client = Client(cas, identity, known, noise)
            client.start()
            time.sleep(noise.uniform(0.005, 0.12))
            cas.process.kill()
            cas.process.wait()
            client.join()
            acknowledged += client.acknowledged
            cut += client.on_its_way is not None
            on_its_way = client.on_its_way
            was = dict(known)
            cas.start()
            wrong = client.wrong or inspect(cas, identity, known, on_its_way, secrets)
            survived += known != was
            cas.process.kill()
            cas.process.wait()
            done += 1
        t.equal(f'{TRIES} kills', done, TRIES)
        t.check('every acknowledged change is there, none is half there', wrong is None, wrong)
        t.check('the test reached its subject: changes were acknowledged and cut off', acknowledged > done // 2 and cut > done // 2,
                (acknowledged, cut))
        print(f'# {acknowledged} changes acknowledged, {cut} cut off, of which {survived} were there')
        cas.start()
        for name in NAMES:
            t.equal(f'{name}: whole history', whole_chain(cas, identity, name, known), None)
        t.equal('stops on TERM', cas.stop(), 0)
    finally:
        cas.end()


def first_start(t, base):
    """Killed while it makes its directory, it starts the next time."""
    noise = random.Random(10)
    unfinished = 0
    for i in range(30):
        cas = Cas(base, f'first{i}')
        try:
            cas.spawn()
            time.sleep(noise.uniform(0.002, 0.03))
            unfinished += not os.path.exists(cas.address_file)
            cas.process.kill()
            cas.process.wait()
            cas.start()
            status = cas.call('GET', '/healthz').status
            if status != 200 or cas.stop() != 0:
                raise RuntimeError(f'try {i}: {status}, {cas.tail()}')
        finally:
            cas.end()
    t.check('starts after each of 30 kills during the first start', True)
    t.check('some of them before it listened', unfinished > 5, unfinished)


if __name__ == '__main__':
    main(kill9, first_start)
