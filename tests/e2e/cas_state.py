#!/usr/bin/env python3
"""The state directory: restart, locks, damage. Whatever is changed in the database behind CAS's back is an error at the next start."""

import os
import resource
import shutil
import socket
import sqlite3
import stat
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../lib'))
from cas_harness import Cas, Identity, Running, main  # noqa: E402

SESSIONS = '/v1/sessions'
STATE, LISTEN, USAGE = 3, 4, 2


def document(name, extra=''):
    return f'name: {name}\nversion: "0.3"\nsecrets: [{{name: k, kind: binary, size: 32}}]\n{extra}'


def restart(t, base):
    alice = Identity(base, 'alice')
    cas = Cas(base)
    try:
        cas.start()
        key = cas.call('GET', '/v1/cas').json()['key']
        hashes = {}
        for i in range(20):
            hashes[f's{i}'] = cas.call('POST', SESSIONS, document(f's{i}'), alice).json()['hash']
        before = cas.call('GET', SESSIONS, identity=alice).json()
        t.equal('stops on TERM', cas.stop(), 0)
        t.equal('key without starting', cas.run('--print-key'), (0, key + '\n'))
        cas.start()
        t.equal('same key after restart', cas.call('GET', '/v1/cas').json()['key'], key)
        t.equal('same sessions after restart', cas.call('GET', SESSIONS, identity=alice).json(), before)
        t.equal('all of them', {s['name']: s['hash'] for s in before['sessions']}, hashes)
        for name in ('cas.db', 'master.sealed', 'lock', 'tee'):
            mode = stat.S_IMODE(os.stat(os.path.join(cas.dir, name)).st_mode)
            t.check(f'{name} is private', mode & 0o077 == 0, oct(mode))
        t.equal('directory is private', stat.S_IMODE(os.stat(cas.dir).st_mode), 0o700)
        status, text = cas.run()
        t.check('second CAS on the directory refused', status == STATE and 'in use by another CAS' in text, (status, text))
        t.equal('the first one goes on', cas.call('GET', '/healthz').status, 200)
        with open(f'/proc/{cas.process.pid}/limits') as f:
            core = [line for line in f if line.startswith('Max core file size')][0]
        t.equal('no core dumps', core.split()[4:6], ['0', '0'])
        cas.stop()
    finally:
        cas.end()


def words_in(directory, words):
    found = []
    for path, _, names in os.walk(directory):
        for name in names:
            data = open(os.path.join(path, name), 'rb').read()
            found += [(name, w) for w in words if w in data]
    return found


def ciphertext(t, base):
    alice = Identity(base, 'alice')
    with Running(base) as cas:
        text = document('marked-session', 'services:\n - {name: s, command: marked-command, attestation: {mrenclave: ' + '1' * 64 + '}}\n')
        text = text.replace('secrets: [', 'secrets: [{name: e, kind: ascii, value: marked-value}, ')
        t.equal('session', cas.call('POST', SESSIONS, text, alice).status, 201)
        words = [b'marked-session', b'marked-command', b'marked-value']
        t.equal('no text of a session on disk while running', words_in(cas.dir, words), [])
        cas.stop()
        t.equal('nor after stopping', words_in(cas.dir, words), [])
        with open(os.path.join(cas.dir, 'planted'), 'wb') as f:
            f.write(words[0])
        t.equal('the search finds what is there', words_in(cas.dir, words), [('planted', words[0])])


def refuses(t, cas, name, *words):
    """It does not start, says why, does not crash, and does not change the key."""
    status, text = cas.run('--print-key')
    t.check(name, status == STATE and all(w in text for w in words), (status, text))


def damage(t, base):
    alice = Identity(base, 'alice')
    good = Cas(base, 'good')
    try:
        good.start()
        h = good.call('POST', SESSIONS, document('one'), alice).json()['hash']
        good.call('POST', SESSIONS, document('two'), alice)
        good.stop()
        shutil.copytree(good.dir, os.path.join(base, 'old'))
        good.start()
        good.call('POST', SESSIONS, document('one', f'predecessor: {h}\n'), alice)
        good.call('DELETE', SESSIONS + '/two', identity=alice)
        good.stop()
    finally:
        good.end()
    old_db = os.path.join(base, 'old', 'cas.db')

    def case(name, change, *words):
        cas = Cas(base, 'bad')
        shutil.copytree(good.dir, cas.dir)
        change(cas.dir)
        refuses(t, cas, name, *words)
        shutil.rmtree(cas.dir)

    def sql(*statements):
        def change(directory):
            db = sqlite3.connect(os.path.join(directory, 'cas.db'), isolation_level=None)
            db.execute('ATTACH ? AS old', (old_db,))
            for s in statements:
                n = db.execute(s).rowcount
                assert n != 0, 'the test changed nothing: ' + s
            db.close()
        return change

    # The head is the one record of 84 bytes (sealed_store.h); others are longer or shorter.
    rows = '(SELECT rowid FROM main.record WHERE length(value)<>84 ORDER BY rowid LIMIT 1 OFFSET {})'
    same = 'SELECT value FROM old.record o WHERE o.key=main.record.key'
    changed = f'length(value)<>84 AND value<>({same})'

    copy = Cas(base, 'copy')
    shutil.copytree(good.dir, copy.dir)
    status, text = copy.run('--print-key')
    t.equal('a copy without damage is accepted', status, 0)
    case('two records swapped', sql('CREATE TEMP TABLE s AS SELECT rowid r, value v FROM main.record WHERE length(value)<>84 ORDER BY rowid LIMIT 2',
         'UPDATE main.record SET value=(SELECT v FROM s WHERE r<>main.record.rowid) WHERE rowid IN (SELECT r FROM s)'),
         'does not authenticate', 'moved')
    case('a record deleted', sql(f'DELETE FROM main.record WHERE rowid={rows.format(1)}'), 'records were deleted')
    case('a record rolled back', sql(f'UPDATE main.record SET value=({same}) WHERE {changed}'), 'older state')
    case('the head rolled back', sql(f'UPDATE main.record SET value=({same}) WHERE length(value)=84'), 'counts')
    case('a deleted record put back', sql('INSERT OR REPLACE INTO main.record SELECT * FROM old.record WHERE length(value)<>84'), 'older state')
    case('the head deleted', sql('DELETE FROM main.record WHERE length(value)=84'), 'no head record')
    case('everything deleted', sql('DELETE FROM main.record'), 'no head record')
    case('a byte changed', sql(f"UPDATE main.record SET value=CAST(substr(value,1,40)||x'00'||substr(value,42) AS BLOB) WHERE rowid={rows.format(0)}"),
         'does not authenticate')
    case('a record added', sql('INSERT INTO main.record VALUES (zeroblob(32), zeroblob(100))'), 'does not authenticate')
    case('a trigger added', sql('CREATE TRIGGER main.t AFTER INSERT ON record BEGIN DELETE FROM record; END'), 'schema')

    def file(name, change):
        def act(directory):
            change(os.path.join(directory, name))
        return act

    def write(data):
        def act(path):
            with open(path, 'wb') as f:
                f.write(data)
        return act

    def flip(path):
        with open(path, 'r+b') as f:
            data = bytearray(f.read())
            data[len(data) // 2] ^= 1
            f.seek(0)
            f.write(data)

    def truncate(path):
        os.truncate(path, os.path.getsize(path) // 2)

    case('a database that is none', file('cas.db', write(b'garbage' * 1000)), 'cas.db', 'not a database')
    case('a database cut short', file('cas.db', truncate), 'cas.db')
    case('an empty database', file('cas.db', write(b'')), 'cas.db')
    case('no database', file('cas.db', os.unlink), 'no cas.db', 'backup')
    case('no master key', file('master.sealed', os.unlink), 'no master.sealed')
    case('a damaged master key', file('master.sealed', flip), 'does not unseal')
    case('an empty master key', file('master.sealed', write(b'')), 'does not unseal')

    def new_tee(directory):
        shutil.rmtree(os.path.join(directory, 'tee'))
    case('a master key of another platform', new_tee, 'does not unseal')

    def other_master(directory):
        """Master key and platform of another CAS: unseals, but is not the key of these records."""
        other = Cas(base, 'other')
        assert other.run('--print-key')[0] == 0
        for name in ('master.sealed', 'tee'):
            path = os.path.join(directory, name)
            shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)
            os.rename(os.path.join(other.dir, name), path)
    case('a master key of another CAS', other_master, 'cas.db')


def first_start(t, base):
    """Ended between its steps, the first start is completed by the next one, and a key that was given out stays."""
    made = Cas(base, 'made')
    key = made.run('--print-key')
    t.equal('first start', key[0], 0)
    half = Cas(base, 'half')
    shutil.copytree(made.dir, half.dir)
    os.rename(os.path.join(half.dir, 'cas.db'), os.path.join(half.dir, 'cas.db.new'))
    t.equal('ended before the database got its name', half.run('--print-key'), key)
    half = Cas(base, 'half2')
    shutil.copytree(made.dir, half.dir)
    os.rename(os.path.join(half.dir, 'cas.db'), os.path.join(half.dir, 'cas.db.new'))
    os.unlink(os.path.join(half.dir, 'master.sealed'))
    status, text = half.run('--print-key')
    t.check('ended before the master key was written: begins anew', status == 0 and text != key[1], (status, text))


def disk_full(t, base):
    """No room for a change: it is refused, nothing is lost, and CAS goes on when there is room again."""
    alice = Identity(base, 'alice')
    cas = Cas(base)
    try:
        cas.start()
        t.equal('before', cas.call('POST', SESSIONS, document('before'), alice).status, 201)
        _, hard = resource.prlimit(cas.process.pid, resource.RLIMIT_FSIZE)
        size = os.path.getsize(os.path.join(cas.dir, 'cas.db-wal'))
        resource.prlimit(cas.process.pid, resource.RLIMIT_FSIZE, (size + 5000, hard))
        r = cas.call('POST', SESSIONS, document('large', '#' + 'x' * 200000), alice)
        t.check('no room: an error of CAS', r.status == 500 and r.error().startswith('IO'), r)
        names = [s['name'] for s in cas.call('GET', SESSIONS, identity=alice).json()['sessions']]
        t.equal('what was there can be read', names, ['before'])
        resource.prlimit(cas.process.pid, resource.RLIMIT_FSIZE, (hard, hard))
        t.equal('room again: accepted', cas.call('POST', SESSIONS, document('after'), alice).status, 201)
        cas.process.kill()
        cas.process.wait()
        cas.start()
        names = [s['name'] for s in cas.call('GET', SESSIONS, identity=alice).json()['sessions']]
        t.equal('and all is there after a kill', names, ['after', 'before'])
        t.equal('stops on TERM', cas.stop(), 0)
    finally:
        cas.end()


def changed_while_running(t, base):
    """The database is exchanged under a running CAS: nothing old is given out as current, nothing is written over it."""
    alice = Identity(base, 'alice')
    with Running(base) as cas:
        path = os.path.join(cas.dir, 'cas.db')
        h = cas.call('POST', SESSIONS, document('one'), alice).json()['hash']
        db = sqlite3.connect(path, isolation_level=None)
        db.execute('CREATE TEMP TABLE old AS SELECT key, value FROM record')
        cas.call('POST', SESSIONS, document('one', f'predecessor: {h}\n'), alice)
        db.execute('DELETE FROM record')
        r = cas.call('GET', SESSIONS + '/one', identity=alice)
        t.check('a deleted record is an error, not absence', r.status == 500 and r.error().startswith('CRYPTO'), r)
        db.execute('INSERT INTO record SELECT key, value FROM old')
        db.close()
        r = cas.call('GET', SESSIONS + '/one', identity=alice)
        t.check('an old record is an error', r.status == 500 and r.error().startswith('CRYPTO'), r)
        r = cas.call('POST', SESSIONS, document('two'), alice)
        t.check('nothing is written any more', r.status == 500 and r.error().startswith('CRYPTO'), r)
        t.check('the log says why', 'outside of CAS' in cas.tail() and 'changed by somebody else' in cas.tail(), cas.tail())


def backup(t, base):
    """docs/cas.md: a copy taken while CAS runs, started in another directory."""
    alice = Identity(base, 'alice')
    with Running(base) as cas:
        for i in range(5):
            cas.call('POST', SESSIONS, document(f's{i}'), alice)
        before = cas.call('GET', SESSIONS, identity=alice).json()
        key = cas.call('GET', '/v1/cas').json()['key']
        copy = Cas(base, 'copy')
        os.mkdir(copy.dir, 0o700)
        source, target = sqlite3.connect(os.path.join(cas.dir, 'cas.db')), sqlite3.connect(os.path.join(copy.dir, 'cas.db'))
        source.backup(target)
        source.close()
        target.close()
        shutil.copy(os.path.join(cas.dir, 'audit.log'), copy.dir)
        shutil.copy(os.path.join(cas.dir, 'master.sealed'), copy.dir)
        shutil.copytree(os.path.join(cas.dir, 'tee'), os.path.join(copy.dir, 'tee'))
        t.equal('CAS goes on', cas.call('POST', SESSIONS, document('later'), alice).status, 201)
        t.equal('stops on TERM', cas.stop(), 0)
    try:
        copy.start()
        t.equal('the copy has the same key', copy.call('GET', '/v1/cas').json()['key'], key)
        t.equal('and the sessions of then', copy.call('GET', SESSIONS, identity=alice).json(), before)
        t.equal('and takes changes', copy.call('POST', SESSIONS, document('new'), alice).status, 201)
        t.equal('copy stops on TERM', copy.stop(), 0)
    finally:
        copy.end()


def usage(t, base):
    cas = Cas(base)
    for options, word in ((['--nonsense'], '--nonsense'), (['--max-body', 'x'], 'max-body'), (['--timeout', '0'], 'timeout'),
                          (['operand'], 'operand'), (['--tee', 'none'], '--tee'), (['--sim-platform', 'abc'], 'sim-platform'),
                          (['--max-body'], '--max-body'), (['--max-connections', '-1'], 'max-connections')):
        status, text = cas.run(*options)
        t.check('usage: ' + ' '.join(options), status == USAGE and word in text, (status, text))
    status, text = cas.run('--help')
    t.check('--help', status == 0 and text.startswith('Usage: scone-cas'), (status, text))
    status, text = cas.run('--version')
    t.check('--version', status == 0 and text.startswith('scone-cas '), (status, text))
    t.check('nothing was made', not os.path.exists(cas.dir))

    with socket.socket() as taken:
        taken.bind(('127.0.0.1', 0))
        taken.listen()
        port = taken.getsockname()[1]
        status, text = cas.run('--listen', f'127.0.0.1:{port}')
        t.check('port taken', status == LISTEN and str(port) in text and 'in use' in text, (status, text))
    status, text = cas.run('--listen', 'localhost:x')
    t.check('listen address malformed', status == LISTEN and 'ADDR:PORT' in text, (status, text))
    status, text = cas.run('--address-file', os.path.join(base, 'none/file'))
    t.check('address file cannot be written', status == 1 and 'none/file' in text, (status, text))

    blocked = Cas(base, 'file/cas')
    with open(os.path.join(base, 'file'), 'w'):
        pass
    status, text = blocked.run('--print-key')
    t.check('directory cannot be made', status == STATE and 'file' in text, (status, text))
    loose = Cas(base, 'loose')
    os.mkdir(loose.dir)
    os.chmod(loose.dir, 0o777)
    status, text = loose.run('--print-key')
    t.check('directory that others may write', status == STATE and '777' in text, (status, text))


if __name__ == '__main__':
    main(restart, ciphertext, damage, first_start, disk_full, changed_while_running, backup, usage)
