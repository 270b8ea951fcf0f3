#!/usr/bin/env python3
"""The files of examples/sessions: each is good for `scone session check`, has the hash that CAS gives it, and is taken by CAS; those in refused/ are refused
for the reason that they name."""

import glob
import os
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../lib'))
from cas_harness import BIN, Running, main  # noqa: E402

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../examples/sessions')
SETS = {'TAG': '7', 'REGISTRY': 'r.example'}


def examples(t, base):
    env = dict(os.environ, SCONE_HOME=os.path.join(base, 'home'))

    def scone(*args):
        return subprocess.run([os.path.join(BIN, 'scone'), *args], capture_output=True, text=True, env=env, stdin=subprocess.DEVNULL)
    scone('identity')
    with Running(base) as cas:
        key = cas.call('GET', '/v1/cas').json()['key']
        scone('cas', 'add', 'here', '%s:%d' % cas.address, '--key', key)
        files = sorted(glob.glob(os.path.join(HERE, '*.yml')))
        t.check('they are there', len(files) >= 17, files)
        for path in files:
            name = os.path.basename(path)
            sets = [x for k, v in SETS.items() for x in ('--set', f'{k}={v}')]
            r = scone('session', 'check', path, *sets)
            t.check(f'{name} is good', r.returncode == 0 and 'error' not in r.stderr, r.stdout + r.stderr)
            r = scone('session', 'calculate-hash', path, *sets)
            digest = r.stdout.strip()
            t.check(f'{name} has a hash', r.returncode == 0 and len(digest) == 64, r.stdout + r.stderr)
            r = scone('session', 'create', path, *sets)
            t.check(f'{name} is taken, with that hash', r.returncode == 0 and r.stdout.split()[1:] == [digest], r.stdout + r.stderr)
            if name.startswith('01'):
                SETS['SHOP_HASH'] = digest
        refused = sorted(glob.glob(os.path.join(HERE, 'refused/*.yml')))
        t.check('and those that are not good', len(refused) >= 8, refused)
        for path in refused:
            name = os.path.basename(path)
            with open(path) as f:
                reason, where = f.readline().split()[2:4]
            r = scone('session', 'check', path, '--no-substitute')
            lines = [line for line in r.stderr.splitlines() if ' error: ' in line and not line.startswith('scone')]
            t.check(f'refused/{name}: {reason}', r.returncode == 4 and lines and f' {where}: ' in lines[0] and lines[0].endswith(f'[{reason}]'), r.stderr)
            r = scone('session', 'create', path, '--no-substitute')
            t.check(f'refused/{name}: also by CAS', r.returncode == 4 and reason in r.stderr, r.stderr)


if __name__ == '__main__':
    main(examples)
