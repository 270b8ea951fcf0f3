"""CAS and LAS on loopback with one session, for the lines that start attested."""

import os
import time

from process import Failed, Server, output, free_port

SESSION = """name: bench
version: "0.3"
security: {{attestation: {{mode: simulation}}}}
services:
"""
SERVICE = """  - name: {name}
    command: {command}
    attestation: [{{mrenclave: ["{measurement}"]}}]
"""


class Attested:
    """programs: name of a service to its command line, of words without quotes. As a context: CAS and LAS run, and the session is known to CAS."""

    def __init__(self, scone, directory, programs):
        self.bin = os.path.dirname(scone)
        self.directory, self.programs = directory, programs
        self.env = dict(os.environ, SCONE_HOME=os.path.join(directory, "home"), SCONE_LAS_ADDR=os.path.join(directory, "las.sock"))
        for name in ("SCONE_CAS_ADDR", "SCONE_CONFIG_ID"):
            self.env.pop(name, None)
        self.servers = []

    def _at(self, name):
        return os.path.join(self.directory, name)

    def _program(self, name):
        return os.path.join(self.bin, name)

    def __enter__(self):
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _start(self):
        las, cas, scone = map(self._program, ("scone-las", "scone-cas", "scone"))
        platform = output([las, "--dir", self._at("las"), "--print-platform"]).strip()
        key = output([cas, "--dir", self._at("cas"), "--print-key"]).strip()
        port = free_port()
        self.servers.append(Server([cas, "--listen", f"127.0.0.1:{port}", "--dir", self._at("cas"), "--sim-platform", platform], port,
                                   self._at("cas.log")))
        self.servers.append(Background([las, "--socket", self._at("las.sock"), "--dir", self._at("las"), "--runtime",
                                        self._program("scone-runtime")], self._at("las.sock"), self._at("las.log")))
        output([scone, "cas", "add", "bench", f"127.0.0.1:{port}", "--key", key], env=self.env)
        text = SESSION.format() + "".join(
            SERVICE.format(name=f"s-{name}", command="[" + ", ".join(f'"{word}"' for word in cmd) + "]",
                           measurement=output([scone, "measure", cmd[0]]).strip()) for name, cmd in self.programs.items())
        with open(self._at("session.yml"), "w", encoding="utf-8") as f:
            f.write(text)
        output([scone, "session", "create", self._at("session.yml")], env=self.env)

    def command(self, name):
        return [self._program("scone"), "run", "--config-id", f"bench/s-{name}", "--", self.programs[name][0]]

    def __exit__(self, *_):
        for server in reversed(self.servers):
            server.stop()


class Background(Server):
    """A server that listens on a path."""

    def __init__(self, cmd, path, log):
        self.path = path
        super().__init__(cmd, 0, log)

    def _wait_listening(self, deadline):
        while not os.path.exists(self.path):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise Failed(self.words())
            time.sleep(0.02)
