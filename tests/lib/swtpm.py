"""A TPM 2.0 in a process (swtpm), for tests in Python. SCONE_TPM names it for the programs."""

import os
import random
import socket
import subprocess
import time


class Tpm:
    """with Tpm(base) as tpm: started; tpm.tcti is what SCONE_TPM wants. State stays in base/name."""

    def __init__(self, base, name='tpm'):
        self.dir = os.path.join(base, name)
        os.makedirs(self.dir, exist_ok=True)
        self.process = None

    def start(self):
        for _ in range(20):
            port = random.randrange(20000, 40000)
            server = f'type=tcp,port={port},bindaddr=127.0.0.1'
            control = f'type=tcp,port={port + 1},bindaddr=127.0.0.1'
            self.process = subprocess.Popen(
                ['swtpm', 'socket', '--tpm2', '--tpmstate', 'dir=' + self.dir, '--server', server, '--ctrl', control,
                 '--flags', 'not-need-init,startup-clear'], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL)
            if self.answers(port + 1):
                self.tcti = f'swtpm:host=127.0.0.1,port={port}'
                return self
            self.end()
        raise RuntimeError('swtpm does not start')

    def answers(self, port):
        end = time.monotonic() + 10
        while time.monotonic() < end and self.process.poll() is None:
            try:
                socket.create_connection(('127.0.0.1', port), 1).close()
                return True
            except OSError:
                time.sleep(0.02)
        return False

    def end(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
        if self.process:
            self.process.wait()

    def again(self):
        """Off and on. Without the kernel's resource manager what a killed program had loaded stays in the TPM until then."""
        self.end()
        self.start()
        os.environ['SCONE_TPM'] = self.tcti

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.end()
