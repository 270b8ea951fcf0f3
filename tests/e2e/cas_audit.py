#!/usr/bin/env python3
"""The audit log: what it says, that it is verified offline, that every way to change it is seen, and that nothing is changed which it cannot note."""

import json
import os
import resource
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../lib'))
from cas_harness import BIN, Cas, Identity, Running, main  # noqa: E402


def scone(*args):
    return subprocess.run([os.path.join(BIN, 'scone'), *args], capture_output=True, text=True, timeout=60)


def document(name, extra=''):
    return f'name: {name}\nversion: "0.3"\n{extra}'


def change(cas, who):
    h = cas.call('POST', '/v1/sessions', document('app'), who).json()['hash']
    h2 = cas.call('POST', '/v1/sessions', document('app', f'predecessor: {h}\n'), who).json()['hash']
    cas.call('POST', '/v1/sessions', document('gone'), who)
    cas.call('DELETE', '/v1/sessions/gone', identity=who)
    cas.call('POST', '/v1/sessions', document('app'), who)  # refused: exists
    return h, h2


def what_it_says(t, base):
    alice = Identity(base, 'alice')
    with Running(base) as cas:
        key = cas.call('GET', '/v1/cas').json()['key']
        h, h2 = change(cas, alice)
        log = os.path.join(cas.dir, 'audit.log')
        events = json.loads(scone('audit', 'show', '--json', '--cas-key', key, log).stdout)['events']
        t.equal('what was done, and nothing that was refused', [e['event'] for e in events],
                ['log-created', 'cas-started', 'session-created', 'session-updated', 'session-created', 'session-deleted'])
        t.check('who did it', len({e['actor'] for e in events[2:]}) == 1 and events[2]['actor'], events)
        t.equal('numbers without a gap', [e['seq'] for e in events], list(range(6)))
        t.check('no name and no hash is in it', not any(w in open(log).read() for w in ('"app"', '"gone"', h, h2)))
        for version in (h, h2):
            mine = json.loads(scone('audit', 'show', '--json', '--name', 'app', '--hash', version, log).stdout)['events']
            t.equal('who knows a name and a hash finds its lines', [(e['event'], e['session'], e['detail'] == version) for e in mine],
                    [('session-created', 'app', version == h), ('session-updated', 'app', version == h2)])
        t.check('not for others to read', os.stat(log).st_mode & 0o77 == 0)
        r = scone('audit', 'show', log)
        t.check('as text', r.returncode == 0 and len(r.stdout.splitlines()) == 6 and 'session-deleted' in r.stdout, r.stdout)
        r = scone('audit', 'verify', '--cas-key', key, log)
        t.check('verified', r.returncode == 0 and r.stdout.startswith('6 lines from 0'), r.stdout + r.stderr)
        cas.stop()
        cas.start()
        events = json.loads(scone('audit', 'show', '--json', log).stdout)['events']
        t.equal('a restart goes on in it', [e['event'] for e in events[-2:]], ['cas-stopped', 'cas-started'])
        r = scone('audit', 'verify', '--cas-key', key, log)
        t.check('still one chain', r.returncode == 0 and r.stdout.startswith('8 lines'), r.stdout)


def offline(t, base):
    """Every change of a copy is found, in its line."""
    alice = Identity(base, 'alice')
    with Running(base) as cas:
        key = cas.call('GET', '/v1/cas').json()['key']
        change(cas, alice)
        lines = open(os.path.join(cas.dir, 'audit.log')).read().splitlines(keepends=True)
    with Running(base, name='other') as other:
        other_key = other.call('GET', '/v1/cas').json()['key']
    copy = os.path.join(base, 'copy')

    def verify(name, new, line, words, pinned=key):
        with open(copy, 'w') as f:
            f.writelines(new)
        r = scone('audit', 'verify', '--cas-key', pinned, copy)
        t.check(name, r.returncode == 9 and f'line {line}:' in r.stderr and words in r.stderr, (r.returncode, r.stderr))

    verify('a line changed', lines[:3] + [lines[3].replace('session-updated', 'session-created')] + lines[4:], 4, 'signature')
    verify('a line left out', lines[:3] + lines[4:], 4, 'number')
    verify('two lines swapped', lines[:3] + [lines[4], lines[3]] + lines[5:], 4, 'number')
    verify('a line twice', lines[:3] + [lines[2]] + lines[3:], 4, 'number')
    verify('the first lines left out', lines[2:], 1, 'lines before it are missing')
    verify('cut within a line', lines[:4] + [lines[4][:40]], 5, 'no end')
    verify('another CAS', lines, 1, 'wanted', other_key)
    verify('a link changed', lines[:3] + [lines[3].replace('"prev":"', '"prev":"0', 1).replace('","sig"', '","sig"', 1)] + lines[4:], 4, 'prev')
    verify('no JSON', lines[:2] + ['x\n'] + lines[2:], 3, '')
    changed = [i for i in range(0, len(lines[3]) - 1, 7)]
    seen = 0
    for i in changed:
        bad = lines[3][:i] + chr(ord(lines[3][i]) ^ 1) + lines[3][i + 1:]
        with open(copy, 'w') as f:
            f.writelines(lines[:3] + [bad] + lines[4:])
        seen += scone('audit', 'verify', '--cas-key', key, copy).returncode == 9
    t.equal('one bit changed, all over a line', seen, len(changed))


def at_start(t, base):
    """CAS remembers the end of its log."""
    alice = Identity(base, 'alice')
    cas = Cas(base)
    cas.start()
    change(cas, alice)
    cas.stop()
    log = os.path.join(cas.dir, 'audit.log')
    whole = open(log).read()
    lines = whole.splitlines(keepends=True)

    def refuses(name, text, words):
        with open(log, 'w') as f:
            f.write(text)
        status, said = cas.run(seconds=60)
        t.check(name, status == 3 and words in said, (status, said[-300:]))

    refuses('a log that was cut', ''.join(lines[:4]), 'it was cut, or put back')
    refuses('a changed line', whole.replace('session-updated', 'session-created'), 'does not follow')
    refuses('a log that is gone', '', 'put it back')
    with open(log, 'w') as f:
        f.write(whole + '{"seq":9,')
    cas.start()
    t.check('a line that a crash left unfinished is cut off', 'unfinished line' in cas.tail(), cas.tail())
    cas.stop()
    t.equal('and the log is good', scone('audit', 'verify', log).returncode, 0)
    os.unlink(log)
    cas.start('--new-audit-log')
    events = json.loads(scone('audit', 'show', '--json', log).stdout)['events']
    t.check('another log says that it is one', events[0]['event'] == 'log-replaced' and events[0]['seq'] > 0, events[0])
    r = cas.call('POST', '/v1/sessions', document('after'), alice)
    t.equal('and takes changes', r.status, 201)
    cas.end()


def full(t, base):
    """No room for a line: no change."""
    alice = Identity(base, 'alice')
    cas = Cas(base)
    cas.start()
    t.equal('a change with room', cas.call('POST', '/v1/sessions', document('one'), alice).status, 201)
    log = os.path.join(cas.dir, 'audit.log')
    size = os.stat(log).st_size
    resource.prlimit(cas.process.pid, resource.RLIMIT_FSIZE, (size + 100, resource.RLIM_INFINITY))
    r = cas.call('POST', '/v1/sessions', document('two'), alice)
    t.check('a change without', r.status == 500, r)
    t.equal('is none', cas.call('GET', '/v1/sessions/two', identity=alice).status, 404)
    t.equal('and leaves nothing in the log', os.stat(log).st_size, size)
    resource.prlimit(cas.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    t.equal('with room again it is done', cas.call('POST', '/v1/sessions', document('two'), alice).status, 201)
    cas.stop()
    t.equal('the log is good', scone('audit', 'verify', log).returncode, 0)
    cas.end()


def gone(t, base):
    """The file is taken away, or cut, under a running CAS: nothing is changed, nobody gets secrets; with it back all goes on."""
    alice = Identity(base, 'alice')
    with Running(base) as cas:
        key = cas.call('GET', '/v1/cas').json()['key']
        log, away = os.path.join(cas.dir, 'audit.log'), os.path.join(cas.dir, 'away')
        text = document('app', 'security: {attestation: {mode: none}}\nservices: [{name: s, command: p}]\n')
        h = cas.call('POST', '/v1/sessions', text, alice).json()['hash']

        def attest():
            c = cas.connect(alice)
            c.request('POST', '/v1/attest/nonce')
            nonce = json.loads(c.getresponse().read())['nonce']
            c.request('POST', '/v1/attest', json.dumps({'config_id': 'app/s', 'nonce': nonce, 'evidence': ''}))
            status = c.getresponse().status
            c.close()
            return status

        def stopped(how):
            r = cas.call('POST', '/v1/sessions', document(how.replace(' ', '-')), alice)
            t.check(f'{how}: no change', r.status == 500 and 'nothing is changed' in cas.tail(), (r, cas.tail()))
            t.equal(f'{how}: nobody is given a configuration', attest(), 500)
            t.equal(f'{how}: reading goes on', cas.call('GET', '/v1/sessions/app', identity=alice).json().get('hash'), h)
        t.equal('before: attested', attest(), 200)
        os.rename(log, away)
        stopped('moved away')
        open(log, 'w').close()
        stopped('another one in its place')
        os.rename(away, log)
        t.equal('back: attested', attest(), 200)
        size = os.path.getsize(log)
        whole = open(log, 'rb').read()
        os.truncate(log, size - 10)
        stopped('cut')
        with open(log, 'r+b') as f:
            f.write(whole)
        t.equal('whole again: a change', cas.call('POST', '/v1/sessions', document('other'), alice).status, 201)
        r = scone('audit', 'verify', '--cas-key', key, log)
        t.check('one chain, nothing dropped', r.returncode == 0, r.stdout + r.stderr)
        os.unlink(log)
        stopped('removed')


if __name__ == '__main__':
    main(what_it_says, offline, at_start, full, gone)
