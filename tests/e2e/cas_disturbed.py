#!/usr/bin/env python3
"""A clock that jumps back, and a disk that turns read-only under a running CAS: clear answers, nothing lost. Full disks and damage: cas_state.py."""

import json
import os
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../lib'))
from cas_harness import BIN, Cas, Identity, main  # noqa: E402

SESSIONS = '/v1/sessions'
SHIM = r'''
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
/* time(2), with seconds added that the file CLOCK_FILE says now */
time_t time(time_t *ret)
{
	struct timespec t;
	char text[32] = "0";
	FILE *f = fopen(getenv("CLOCK_FILE"), "r");

	syscall(SYS_clock_gettime, CLOCK_REALTIME, &t);
	if (f) {
		if (!fgets(text, sizeof(text), f))
			text[0] = 0;
		fclose(f);
	}
	t.tv_sec += atol(text);
	if (ret)
		*ret = t.tv_sec;
	return t.tv_sec;
}
'''


def document(name, predecessor=None, counter=0):
    return (f'name: {name}\nversion: "0.3"\nsecurity: {{attestation: {{mode: none}}}}\n'
            'secrets: [{name: key, kind: private-key}, {name: cert, kind: x509-ca, private_key: key, common_name: ca, export_public: true}]\n'
            f'services: [{{name: s, command: [p, "{counter}"]}}]\n' + (f'predecessor: {predecessor}\n' if predecessor else ''))


def attest(cas, identity, name):
    c = cas.connect(identity)
    c.request('POST', '/v1/attest/nonce')
    nonce = json.loads(c.getresponse().read())['nonce']
    c.request('POST', '/v1/attest', json.dumps({'config_id': name + '/s', 'nonce': nonce, 'evidence': ''}))
    r = c.getresponse()
    r.read()
    c.close()
    return r.status


class Shifted(Cas):
    def command(self, *options):
        if 'asan' in BIN:  # the sanitizer's library must be the first
            return super().command(*options)
        return ['env', 'LD_PRELOAD=' + self.shim, 'CLOCK_FILE=' + self.clock, *super().command(*options)]


def clock(t, base):
    alice = Identity(base, 'alice')
    cas = Shifted(base)
    cas.shim, cas.clock = os.path.join(base, 'shim.so'), os.path.join(base, 'clock')
    subprocess.run(['cc', '-shared', '-fPIC', '-O1', '-o', cas.shim, '-x', 'c', '-'], input=SHIM.encode(), check=True)

    def shift(seconds):
        with open(cas.clock, 'w') as f:
            f.write(str(seconds))
    try:
        shift(0)
        cas.start()
        key = cas.call('GET', '/v1/cas').json()['key']
        h = cas.call('POST', SESSIONS, document('one'), alice).json()['hash']
        for days in (-2, 3, -400, 0):
            shift(days * 86400)
            t.equal(f'{days} days: reads', cas.call('GET', SESSIONS + '/one', identity=alice).json()['hash'], h)
            t.equal(f'{days} days: a nonce is good', attest(cas, alice, 'one'), 200)
            r = cas.call('POST', SESSIONS, document('one', h, days), alice)
            h = r.json().get('hash')
            t.check(f'{days} days: changes', r.status == 200, r)
        shift(-86400)
        t.equal('stops', cas.stop(), 0)
        cas.start()
        t.equal('starts a day earlier, with everything', cas.call('GET', SESSIONS + '/one', identity=alice).json()['hash'], h)
        cas.stop()
        p = subprocess.run([os.path.join(BIN, 'scone'), 'audit', 'verify', '--cas-key', key, os.path.join(cas.dir, 'audit.log')], capture_output=True,
                           env=dict(os.environ, SCONE_HOME=base))
        t.check('the audit log verifies', p.returncode == 0, p.stdout + p.stderr)
        if 'asan' not in BIN:
            times = [json.loads(line)['time'] for line in open(os.path.join(cas.dir, 'audit.log'))]
            t.check('the test reached its subject: times in it go back', times != sorted(times), times)
    finally:
        cas.end()


def read_only(t, base):
    alice = Identity(base, 'alice')
    disk = os.path.join(base, 'disk')
    os.mkdir(disk)
    if subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=32m,mode=700', 'none', disk], capture_output=True).returncode:
        print('# no permission to mount: a read-only disk is not tested')
        t.check('the test knows that it cannot mount', os.geteuid() != 0 or not os.path.ismount(disk))
        return
    cas = Cas(disk)
    cas.address_file, cas.log = os.path.join(base, 'address'), os.path.join(base, 'log')
    try:
        cas.start()
        h = cas.call('POST', SESSIONS, document('one'), alice).json()['hash']
        # Files that are open for writing forbid remounting: then the disk is filled instead.
        p = subprocess.run(['mount', '-o', 'remount,ro', disk], capture_output=True)
        if p.returncode:
            filler = open(os.path.join(disk, 'filler'), 'wb')
            try:
                while True:
                    filler.write(b'x' * 65536)
                    filler.flush()
            except OSError:
                pass
        r = cas.call('POST', SESSIONS, document('two'), alice)
        t.check('a change is refused', r.status == 500 and r.error().startswith('IO'), r)
        t.check('and the log says why', 'read-only' in cas.tail().lower() or 'space' in cas.tail().lower() or 'full' in cas.tail().lower(), cas.tail())
        t.equal('reading goes on', cas.call('GET', SESSIONS + '/one', identity=alice).json().get('hash'), h)
        if p.returncode:
            filler.close()
            os.unlink(filler.name)
        else:
            subprocess.run(['mount', '-o', 'remount,rw', disk], check=True)
        t.equal('with the disk back: nothing half done', cas.call('GET', SESSIONS + '/two', identity=alice).status, 404)
        t.equal('with the disk back: changes', cas.call('POST', SESSIONS, document('two'), alice).status, 201)
        t.equal('stops', cas.stop(), 0)
        subprocess.run(['mount', '-o', 'remount,ro', disk], check=True)
        status, text = cas.run()
        t.check('a start on a read-only disk says so', status == 3 and 'read-only' in text.lower(), (status, text))
        subprocess.run(['mount', '-o', 'remount,rw', disk], check=True)
        cas.start()
        t.equal('nothing is lost', len(cas.call('GET', SESSIONS, identity=alice).json()['sessions']), 2)
        cas.stop()
    finally:
        cas.end()
        subprocess.run(['umount', '-l', disk])


if __name__ == '__main__':
    main(clock, read_only)
