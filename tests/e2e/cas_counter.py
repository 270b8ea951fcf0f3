#!/usr/bin/env python3
"""A CAS on a TPM (swtpm): its database put back to an earlier copy is refused, whenever CAS was killed, and a kill at any moment leaves one that starts.

Killed at random moments while a client changes sessions; each start must have every acknowledged change; each copy that was taken before the last
acknowledged change must be refused with both values.
"""

import os
import random
import re
import shutil
import signal
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../lib'))
from cas_harness import Cas, Identity, main  # noqa: E402
from cas_kill9 import Client  # noqa: E402
from swtpm import Tpm  # noqa: E402

TRIES = int(os.environ.get('COUNTER_TRIES', '12'))
SESSIONS = '/v1/sessions'
STATE = 3


def document(name, extra=''):
    return f'name: {name}\nversion: "0.3"\nsecrets: [{{name: k, kind: binary, size: 32}}]\n{extra}'


def keep(cas, name):
    """A copy of all that CAS has on its disk."""
    to = cas.dir + '.' + name
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(cas.dir, to)
    return to


def put_back(cas, copy):
    shutil.rmtree(cas.dir)
    shutil.copytree(copy, cas.dir)


def refused(t, name, cas):
    status, text = cas.run('--tee', 'tpm')
    found = re.search(r'the database has counter value (\d+), the counter of the TEE is at (\d+): .*earlier copy', text)
    t.check(name, status == STATE and found and int(found[1]) < int(found[2]), (status, text))


def rollback(t, base):
    alice = Identity(base, 'alice')
    with Tpm(base) as tpm:
        os.environ['SCONE_TPM'] = tpm.tcti
        cas = Cas(base)
        try:
            cas.start('--tee', 'tpm')
            about = cas.call('GET', '/v1/cas').json()
            t.equal('on the TPM', (about['tee'], about['simulated']), ('tpm', False))
            t.equal('created', cas.call('POST', SESSIONS, document('a'), alice).status, 201)
            running = keep(cas, 'running')
            t.equal('stopped', cas.stop(), 0)
            stopped = keep(cas, 'stopped')
            cas.start('--tee', 'tpm')
            h = cas.call('GET', SESSIONS + '/a', identity=alice).json()['hash']
            t.equal('updated', cas.call('POST', SESSIONS, document('a', f'predecessor: {h}\n'), alice).status, 200)
            cas.stop()
            newest = keep(cas, 'newest')
            for name, copy in (('copy of a running CAS', running), ("yesterday's copy", stopped)):
                put_back(cas, copy)
                refused(t, f'{name} is refused with both values', cas)
            put_back(cas, newest)
            cas.start('--tee', 'tpm')
            t.check('the newest one is good', cas.call('GET', SESSIONS + '/a', identity=alice).json()['hash'] != h)
            cas.stop()
            put_back(cas, newest)
            refused(t, 'and no more once CAS has started on it', cas)
        finally:
            cas.end()
        with Tpm(base, 'other') as other:
            os.environ['SCONE_TPM'] = other.tcti
            put_back(cas, newest)
            status, text = cas.run('--tee', 'tpm')
            t.check('another TPM opens nothing', status == STATE and 'another TPM' in text, (status, text))
        os.environ['SCONE_TPM'] = tpm.tcti
        status, text = cas.run('--tee', 'sim')
        t.check('nor does another TEE', status == STATE, (status, text))


def first_start(t, base):
    """Killed at any moment of the first start: the next one is a first start, or completes it."""
    noise = random.Random(1)
    with Tpm(base) as tpm:
        os.environ['SCONE_TPM'] = tpm.tcti
        good = 0
        for i in range(TRIES // 2):
            cas = Cas(base, f'first{i}')
            try:
                cas.spawn('--tee', 'tpm')
                time.sleep(noise.uniform(0.005, 0.25))
                cas.stop(signal.SIGKILL)
                tpm.again()
                cas.start('--tee', 'tpm')
                good += cas.call('GET', '/healthz').status == 200
                cas.stop()
            finally:
                cas.end()
        t.equal('first starts after a kill', good, TRIES // 2)


def killed(t, base):
    alice = Identity(base, 'alice')
    noise = random.Random(2)
    known, wrong, old = {}, [], None
    refusals = 0
    with Tpm(base) as tpm:
        os.environ['SCONE_TPM'] = tpm.tcti
        cas = Cas(base)
        try:
            for i in range(TRIES):
                cas.start('--tee', 'tpm')
                listed = {s['name']: s['hash'] for s in cas.call('GET', SESSIONS, identity=alice).json()['sessions']}
                for name, (_, hash_) in known.items():
                    if listed.get(name) != hash_ and name != on_its_way:
                        wrong.append(f'start {i}: {name} is {listed.get(name)}, acknowledged {hash_}')
                for name, hash_ in listed.items():
                    if known.get(name, (0, None))[1] != hash_:
                        known[name] = (known.get(name, (0, None))[0] + 1, hash_)
                client = Client(cas, alice, known, noise)
                client.start()
                time.sleep(noise.uniform(0.05, 0.6))
                before = keep(cas, 'before')  # not one moment's state, as a copy of a running CAS is
                count = client.acknowledged
                time.sleep(noise.uniform(0.05, 0.6))
                cas.stop(signal.SIGKILL)
                tpm.again()
                client.join()
                if client.wrong:
                    wrong.append(client.wrong)
                on_its_way = client.on_its_way and client.on_its_way[0]
                if client.acknowledged > count + 1:
                    newest = keep(cas, 'newest')
                    put_back(cas, before)
                    status, text = cas.run('--tee', 'tpm')
                    # copied while it was written, it may be no database at all
                    if status != STATE:
                        wrong.append(f'copy {i} is accepted: {text[-300:]}')
                    refusals += 'earlier copy' in text
                    put_back(cas, newest)
            t.equal('nothing acknowledged was lost, no earlier copy accepted', wrong, [])
            t.check('earlier copies were refused by the counter', refusals > 0, refusals)
            t.check('changes were made', sum(n for n, _ in known.values()) > TRIES, known)
        finally:
            cas.end()


if __name__ == '__main__':
    main(rollback, first_start, killed)
