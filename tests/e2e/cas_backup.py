#!/usr/bin/env python3
"""Backup of a running CAS, restore, the way from SQLite to etcd and back: identity, sessions, secrets and audit log stay; nothing in a backup can be read."""

import base64
import json
import os
import shutil
import sys
import threading

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../lib'))
from cas_harness import Cas, Identity, main  # noqa: E402
from etcd_harness import ETCD, Etcd  # noqa: E402

SESSIONS = '/v1/sessions'


def document(name, counter=0):
    return (f'name: {name}\nversion: "0.3"\nsecurity: {{attestation: {{mode: none}}}}\nsecrets: [{{name: k, kind: binary, size: 32}}]\n'
            f'services: [{{name: s, command: [marked-command, "{counter}", "$$SCONE::k:hex$$"]}}]\n')


def secret(cas, identity, name):
    c = cas.connect(identity)
    c.request('POST', '/v1/attest/nonce')
    nonce = json.loads(c.getresponse().read())['nonce']
    c.request('POST', '/v1/attest', json.dumps({'config_id': name + '/s', 'nonce': nonce, 'evidence': ''}))
    answer = json.loads(c.getresponse().read())
    c.close()
    return base64.b64decode(answer['argv'][2]['value']).decode()


def state(cas, identity):
    listed = cas.call('GET', SESSIONS, identity=identity).json()['sessions']
    return cas.call('GET', '/v1/cas').json()['key'], listed, [secret(cas, identity, s['name']) for s in listed]


def words_in(directory, words):
    return [(name, w) for path, _, names in os.walk(directory) for name in names
            for w in words if w in open(os.path.join(path, name), 'rb').read()]


def backup(t, base):
    alice = Identity(base, 'alice')
    cas, copy = Cas(base), Cas(base, 'copy')
    where = os.path.join(base, 'backup')
    try:
        cas.start()
        for i in range(20):
            cas.call('POST', SESSIONS, document(f's{i:02}'), alice)
        before = state(cas, alice)
        stop = threading.Event()

        def writes():
            i = 0
            while not stop.is_set():
                cas.call('POST', SESSIONS, document(f'later{i}'), alice)
                i += 1
        writer = threading.Thread(target=writes)
        writer.start()
        try:
            status, text = cas.run('--backup', where)
        finally:
            stop.set()
            writer.join()
        t.check('backup of a running CAS', status == 0 and 'records' in text, text)
        t.equal('its files', sorted(os.listdir(where)), ['audit.log', 'cas.db', 'master.sealed'])
        t.equal('no text of a session in it', words_in(where, [b'marked-command', b's01', b'later']), [])
        status, text = cas.run('--backup', where)
        t.check('a backup is not overwritten', status == 3 and 'exists' in text.lower(), text)
        status, text = cas.run('--restore', where)
        t.check('nothing is restored over a CAS in use', status == 3 and 'in use' in text, text)
        cas.stop()
        status, text = cas.run('--restore', where)
        t.check('nor over one that has a key', status == 3 and 'master.sealed' in text, text)
        os.mkdir(copy.dir, 0o700)
        shutil.copytree(os.path.join(cas.dir, 'tee'), os.path.join(copy.dir, 'tee'))
        status, text = copy.run('--restore', where)
        t.check('restored', status == 0, text)
        copy.start()
        after = state(copy, alice)
        t.equal('the same key', after[0], before[0])
        then = {s['name']: v for s, v in zip(after[1], after[2])}
        t.equal('the same secrets', [then.get(s['name']) for s in before[1]], before[2])
        t.equal('a change goes on from there', copy.call('POST', SESSIONS, document('new'), alice).status, 201)
        copy.stop()
        with open(os.path.join(where, 'cas.db'), 'r+b') as f:
            for at in range(9000, os.path.getsize(f.name), 2048):
                f.seek(at)
                f.write(b'\xff' * 64)
        damaged = Cas(base, 'damaged')
        os.mkdir(damaged.dir, 0o700)
        shutil.copytree(os.path.join(cas.dir, 'tee'), os.path.join(damaged.dir, 'tee'))
        first = damaged.run('--restore', where)
        then = damaged.run('--print-key')
        t.check('a damaged backup is refused, if not at once, then at the start', first[0] == 3 or then[0] == 3, (first, then))
    finally:
        cas.end()
        copy.end()


def migration(t, base):
    """SQLite, etcd, SQLite."""
    if not ETCD:
        print('# etcd is not installed: migration is not tested')
        return
    alice = Identity(base, 'alice')
    cas, there, back = Cas(base), Cas(base, 'there'), Cas(base, 'back')
    one, two = (os.path.join(base, name) for name in ('one', 'two'))
    with Etcd(base, 1) as etcd:
        store = ['--store', etcd.url()]
        try:
            cas.start()
            for i in range(150):
                cas.call('POST', SESSIONS, document(f's{i:03}'), alice)
            before = state(cas, alice)
            cas.stop()
            t.equal('backup', cas.run('--backup', one)[0], 0)
            for c in (there, back):
                os.mkdir(c.dir, 0o700)
                shutil.copytree(os.path.join(cas.dir, 'tee'), os.path.join(c.dir, 'tee'))
            status, text = there.run(*store, '--restore', one)
            t.check('restored into etcd', status == 0, text)
            status, text = Cas(base, 'second').run(*store, '--restore', one)
            t.check('a store that is not empty is left alone', status == 3 and 'not empty' in text, text)
            there.start(*store)
            t.equal('all is there', state(there, alice), before)
            t.equal('and changes', there.call('POST', SESSIONS, document('new'), alice).status, 201)
            after = state(there, alice)
            there.stop()
            status, text = there.run(*store, '--backup', two)
            t.check('backup of etcd', status == 0, text)
            status, text = back.run('--restore', two)
            t.check('restored into SQLite', status == 0, text)
            back.start('--new-audit-log')
            t.equal('all is there again', state(back, alice), after)
            back.stop()
        finally:
            for c in (cas, there, back):
                c.end()


if __name__ == '__main__':
    main(backup, migration)
