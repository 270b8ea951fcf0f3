#!/usr/bin/env python3
"""CAS on machines with hardware: on SEV-SNP it keeps its master key under a key of the security processor; a cluster of CAS on TPMs (swtpm), SEV-SNP and TDX (stand-ins for
the kernel), where each joins under the others' policy and is refused for what it is not; on TDX, which seals nothing, CAS gets its key again at each start.
"""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../lib'))
from cas_harness import BIN, Cas, Identity, main  # noqa: E402
from etcd_harness import ETCD, Etcd  # noqa: E402
from swtpm import Tpm  # noqa: E402

ZEROS = '00' * 32
E2E = os.path.join(BIN, '../tests/e2e')
SESSIONS = '/v1/sessions'
STATE = 3
DOCUMENT = 'name: {0}\nversion: "0.3"\nsecrets: [{{name: k, kind: binary, size: 32}}]\n'


def scone(*words, **env):
    p = subprocess.run([os.path.join(BIN, 'scone'), *words], env=dict(os.environ, **env), capture_output=True, text=True, timeout=120)
    if p.returncode:
        raise RuntimeError(f'scone {words}: {p.stderr}')
    return p.stdout


class Machine:
    """A guest of that hardware: a shell on the stand-in, which runs what it is told in the background."""

    def __init__(self, base, hardware):
        self.hardware, self.dir = hardware, os.path.join(base, 'hw-' + hardware)
        os.makedirs(self.dir, exist_ok=True)
        self.env = {'SCONE_TSM_REPORT': os.path.join(self.dir, 'report')}
        self.shell = subprocess.Popen([os.path.join(E2E, 'hw_standin'), '--' + hardware, self.dir, '--', 'sh'], stdin=subprocess.PIPE,
                                      env=dict(os.environ, **self.env))
        end = time.monotonic() + 60
        while not os.path.exists(os.path.join(self.dir, 'root.pem')):
            if time.monotonic() > end or self.shell.poll() is not None:
                raise RuntimeError('the stand-in does not start')
            time.sleep(0.02)
        self.root = open(os.path.join(self.dir, 'root.hex')).read()

    def tell(self, line):
        self.shell.stdin.write((line + '\n').encode())
        self.shell.stdin.flush()

    def guest(self, words):
        with open(os.path.join(self.dir, 'guest'), 'w') as f:
            f.write(words)

    def launch(self):
        out = os.path.join(self.dir, 'probe')
        self.tell(f'{shlex.quote(os.path.join(BIN, "scone"))} tee probe --json >{out}.new 2>/dev/null; mv {out}.new {out}')
        end = time.monotonic() + 60
        while not os.path.exists(out):
            if time.monotonic() > end:
                raise RuntimeError('no answer from the machine')
            time.sleep(0.02)
        says = next(d['says'] for d in json.load(open(out)) if d['driver'] == self.hardware)
        return says['measurement' if self.hardware == 'snp' else 'mrtd']

    def end(self):
        self.shell.stdin.close()
        self.shell.wait(30)


class There:
    """A process on a machine, as subprocess.Popen has it, as far as Cas wants it."""

    def __init__(self, machine, command, log, env):
        self.file = log + '.status'
        for f in (self.file, log + '.pid'):
            if os.path.exists(f):
                os.unlink(f)
        words = ' '.join(shlex.quote(w) for w in ['env', *(f'{k}={v}' for k, v in env.items()), *command])
        inner = shlex.quote(f'echo $$ >{log}.pid; exec {words}')
        machine.tell(f'(sh -c {inner} >>{log} 2>&1 </dev/null; echo $? >{self.file}.new; mv {self.file}.new {self.file}) &')
        end = time.monotonic() + 30
        while not (os.path.exists(log + '.pid') and open(log + '.pid').read().strip()) and time.monotonic() < end:
            time.sleep(0.01)
        self.pid = int(open(log + '.pid').read())
        self.returncode = None

    def poll(self):
        if self.returncode is None and os.path.exists(self.file):
            self.returncode = int(open(self.file).read())
        return self.returncode

    def wait(self, seconds=60):
        end = time.monotonic() + seconds
        while self.poll() is None:
            if time.monotonic() > end:
                raise RuntimeError('it does not end')
            time.sleep(0.02)
        return self.returncode

    def send_signal(self, number):
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self):
        self.send_signal(signal.SIGKILL)


class CasOn(Cas):
    """A CAS with a TPM (its tcti), or on a machine."""

    def __init__(self, base, name, tee, machine=None, tcti=None):
        super().__init__(base, name)
        self.tee, self.machine, self.tcti = tee, machine, tcti

    def command(self, *options):
        return super().command('--tee', self.tee, *options)

    def spawn(self, *options):
        if os.path.exists(self.address_file):
            os.unlink(self.address_file)
        if self.machine:
            self.process = There(self.machine, self.command(*options), self.log, dict(self.machine.env, SCONE_LOG='debug'))
            return
        os.environ['SCONE_TPM'] = self.tcti
        super().spawn(*options)

    def tried(self, *options):
        """Exit status, and what the log says of it, of a start that is to fail; None if it listens."""
        if os.path.exists(self.log):
            os.unlink(self.log)
        self.spawn(*options)
        end = time.monotonic() + 60
        while self.process.poll() is None and not os.path.exists(self.address_file) and time.monotonic() < end:
            time.sleep(0.02)
        status = self.process.poll()
        self.end()
        return status, self.tail()

    def platform(self):
        """Hex; makes the attestation key."""
        os.environ['SCONE_TPM'] = self.tcti
        status, text = self.run('--print-platform')
        if status:
            raise RuntimeError(text)
        return json.loads(scone('tpm', 'show', '--json', '--dir', os.path.join(self.dir, 'tee')))['platform']


def alone(t, base):
    """CAS on SEV-SNP with a database of its own."""
    machine = Machine(base, 'snp')
    cas, owner = CasOn(base, 'alone', 'snp', machine), Identity(base, 'owner')
    try:
        cas.start()
        t.equal('snp: a session', cas.call('POST', SESSIONS, DOCUMENT.format('kept'), owner).status, 201)
        program = os.path.join(BIN, 'scone-cas')
        code = scone('measure', '--runtime', program, program).strip()
        wanted = ['cas', 'attest', '%s:%d' % cas.address, '--tee', 'sev-snp', '--root', os.path.join(machine.dir, 'root.pem'), '--collateral',
                  os.path.join(machine.dir, 'collateral'), '--measurement', code]
        proven = scone(*wanted, '--launch', machine.launch())
        t.check('snp: CAS proves that it runs there', 'proven   sev-snp' in proven and code in proven, proven)
        for name, more, said in (('snp: on a machine that was started as another one', ['--launch', 'ab' * 48], 'at its start is '),
                                 ('snp: how it was started must be said', [], 'wanted launch')):
            p = subprocess.run([os.path.join(BIN, 'scone'), *wanted, *more], capture_output=True, text=True, timeout=60)
            t.check(name, p.returncode == 8 and said in p.stderr, (p.returncode, p.stderr))
        t.check('snp: the master key is sealed', open(os.path.join(cas.dir, 'master.sealed'), 'rb').read(8) == b'SCSNPS01')
        cas.stop()
        cas.start()
        t.equal('snp: it is there after a restart', cas.call('GET', SESSIONS + '/kept', identity=owner).status, 200)
        cas.stop()
        for words in ('launch', 'debug', 'putback'):
            machine.guest(words)
            status, text = cas.tried()
            t.check(f'snp: refused in another guest, or on older firmware ({words})', status == STATE and 'does not unseal with TEE snp' in text, (status, text))
        machine.guest('')
        cas.start()
        t.equal('snp: and the first guest opens it again', cas.call('GET', SESSIONS + '/kept', identity=owner).status, 200)
    finally:
        cas.end()
        machine.end()
    machine = Machine(base, 'tdx')
    cas = CasOn(base, 'alone-tdx', 'tdx', machine)
    try:
        status, text = cas.tried()
        t.check('tdx: alone it cannot keep its key, and says what to do', status == STATE and 'cannot be kept: a TD has no key' in text and '--join' in text,
                (status, text))
        t.check('tdx: and leaves nothing that counts', not os.path.exists(os.path.join(cas.dir, 'cas.db')))
    finally:
        cas.end()
        machine.end()


class Policies:
    def __init__(self, base, code):
        self.base, self.code = base, code

    def write(self, name, **wanted):
        path = os.path.join(self.base, name + '.policy.json')
        with open(path, 'w') as f:
            json.dump({'measurement': [self.code], **wanted}, f)
        return ['--cas-policy', path]


def cluster(t, base, etcd, tpms, machines):
    program = os.path.join(BIN, 'scone-cas')
    policies = Policies(base, scone('measure', '--runtime', program, program).strip())
    collateral = os.path.join(base, 'collateral')
    for m in machines.values():
        scone('collateral', 'import', '--collateral', collateral, '--root', root := os.path.join(m.dir, 'root.pem'), root, os.path.join(m.dir, 'collateral'))
    first, second, stranger = (CasOn(base, f'cas-{tpm.dir[-1]}', 'tpm', tcti=tpm.tcti) for tpm in tpms)
    keys = [c.platform() for c in (first, second)]
    stranger.platform()
    snp, tdx = (CasOn(base, 'cas-' + n, n, m) for n, m in machines.items())
    p_tpm = policies.write('tpm', tee=['tpm'], platform=keys, pcrs={'7': [ZEROS]})
    p_snp = policies.write('snp', tee=['sev-snp'], launch=[machines['snp'].launch()], roots={'sev-snp': [machines['snp'].root]})
    p_tdx = policies.write('tdx', tee=['tdx'], launch=[machines['tdx'].launch()], roots={'tdx': [machines['tdx'].root]})
    store = ['--store', etcd.url(), '--collateral', collateral]
    options = [*store, *p_tpm, *p_snp, *p_tdx]
    owner = Identity(base, 'cluster-owner')
    every = [first, second, stranger, snp, tdx]
    try:
        first.start(*options)
        key = first.call('GET', '/v1/cas').json()['key']
        t.equal('tpm: the first one', first.call('POST', SESSIONS, DOCUMENT.format('common'), owner).status, 201)

        def join(at):
            return '--join', '%s:%d' % at.address, '--join-key', key

        def has_it(name, cas):
            t.equal(name, cas.call('GET', SESSIONS + '/common', identity=owner).status, 200)

        def refused(name, cas, words, *more):
            shutil.rmtree(cas.dir + '.aside', ignore_errors=True)
            status, text = cas.tried(*(more or options), *join(first))
            t.check(name, status == STATE and all(w in text for w in words), (status, text))
            t.check(name + ': and has no key', not os.path.exists(os.path.join(cas.dir, 'master.sealed')))

        second.start(*options, *join(first))
        has_it('tpm: another one joins', second)
        second.stop()
        second.start(*options)
        has_it('tpm: and is there again without joining', second)
        second.stop()
        refused('tpm: an attestation key that the policy does not name', stranger, ['policy 1: ', 'attestation key', 'policy 2: '])
        # The second one's attestation key, in a machine that was started as another one.
        moved = CasOn(base, 'cas-moved', 'tpm', tcti=second.tcti)
        every.append(moved)
        os.mkdir(moved.dir, 0o700)
        shutil.copytree(os.path.join(second.dir, 'tee'), os.path.join(moved.dir, 'tee'))
        subprocess.run([os.path.join(E2E, 'tee_driver'), 'tpm', base, 'extend', '7', 'another key database'], check=True,
                       env=dict(os.environ, SCONE_TPM=second.tcti))
        refused('tpm: a PCR that the policy does not want', moved, ['PCR 7 (sha256) is ', 'wanted ' + ZEROS])

        for words, said in (('launch', 'measured at its start is '), ('debug', 'debug'), ('vmpl', 'VMPL'), ('outdated', 'TCB')):
            machines['snp'].guest(words)
            refused(f'snp: refused ({words})', snp, ['policy 2: ', said])
        machines['snp'].guest('')
        refused('snp: it does not take the key from whom its own policy does not want', snp, ['joining the CAS at ', 'CAS runs on tpm, wanted another of the TEEs'], *store,
                *policies.write('snp-only', tee=['sev-snp'], launch=[machines['snp'].launch()], platform=keys))
        refused('snp: nor without a policy', snp, ['no platform may join: say what is wanted'], *store)
        snp.start(*options, *join(first))
        has_it('snp: joins', snp)
        snp.stop()
        snp.start(*options)
        has_it('snp: and is there again without joining', snp)

        machines['tdx'].guest('launch')
        refused('tdx: refused (launch)', tdx, ['policy 3: ', 'measured at its start is '])
        machines['tdx'].guest('')
        tdx.start(*options, *join(snp))
        has_it('tdx: joins, by way of the one on SEV-SNP', tdx)
        t.check('tdx: and keeps nothing on its disk', not os.path.exists(os.path.join(tdx.dir, 'master.sealed')))
        t.equal('tdx: a change by it', tdx.call('POST', SESSIONS, DOCUMENT.format('by-tdx'), owner).status, 201)
        t.equal('and the others have it', snp.call('GET', SESSIONS + '/by-tdx', identity=owner).status, 200)
        again = CasOn(base, 'cas-again', 'snp', machines['snp'])
        every.append(again)
        again.start(*options, *join(tdx))
        has_it('tdx: it gives the key to others', again)
        tdx.stop()
        status, text = tdx.tried(*options)
        t.check('tdx: without joining it cannot start', status == STATE and 'cannot be kept' in text, (status, text))
        tdx.start(*options, *join(first))
        has_it('tdx: it joins at each start', tdx)

        first.stop()
        first.start(*store)
        late = CasOn(base, 'cas-late', 'snp', machines['snp'])
        every.append(late)
        status, text = late.tried(*options, *join(first))
        t.check('without a policy nobody joins', status == STATE and 'no platform may join' in text, (status, text))
        first.stop()
        log = subprocess.run([os.path.join(BIN, 'scone'), 'audit', 'show', os.path.join(first.dir, 'audit.log')], capture_output=True, text=True).stdout
        # The one on TPM, the one on SEV-SNP three times (it did not take the key twice), the one on TDX again.
        t.check('who was given the key is in the audit log', log.count('replica-joined') == 5, log.count('replica-joined'))
    finally:
        for c in every:
            c.end()


def run(t, base):
    alone(t, base)
    if not ETCD:
        print('# no etcd: no cluster')
        return
    machines = {}
    with Tpm(base, 'tpm-a') as a, Tpm(base, 'tpm-b') as b, Tpm(base, 'tpm-c') as c, Etcd(os.path.join(base, 'etcd'), 1) as etcd:
        try:
            for name in ('snp', 'tdx'):
                machines[name] = Machine(os.path.join(base, 'cluster'), name)
            cluster(t, base, etcd, (a, b, c), machines)
        finally:
            for m in machines.values():
                m.end()


if __name__ == '__main__':
    main(run)
