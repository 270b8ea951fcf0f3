"""Two network namespaces with a cable between them, certificates and rules, programs in either namespace, and a capture of all that is said."""

import ctypes
import os
import shlex
import shutil
import signal
import subprocess
import time

SERVER, CLIENT = "server", "client"
ADDRESS = {SERVER: "10.55.0.1", CLIENT: "10.55.0.2"}
PREFIX = "SCONE_NETWORK_SHIELD"
PR_SET_PDEATHSIG = 1


def dies_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def sh(*argv, **more):
    return subprocess.run(argv, check=True, capture_output=True, text=True, **more).stdout


class Failed(Exception):
    """A sentence about what the programs did not do."""


class Names:
    """Certificates of one CA: a server's and a client's."""

    def __init__(self, where):
        self.where = where
        os.makedirs(where)
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        sh("openssl", "req", "-x509", *curve, "-keyout", self._at("ca.key"), "-out", self._at("ca.crt"), "-subj", "/CN=net-programs", "-days", "3",
           "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign")
        self.server = self._leaf("server", "db.example", "serverAuth", curve)
        self.client = self._leaf("client", "web.example", "clientAuth", curve)
        self.ca = self._text("ca.crt")

    def _at(self, name):
        return os.path.join(self.where, name)

    def _text(self, name):
        with open(self._at(name), encoding="ascii") as f:
            return f.read()

    def _leaf(self, name, dns, use, curve):
        with open(self._at("ext"), "w", encoding="ascii") as f:
            f.write(f"basicConstraints=critical,CA:FALSE\nsubjectAltName=DNS:{dns}\nextendedKeyUsage={use}\n")
        sh("openssl", "req", *curve, "-keyout", self._at(name + ".key"), "-out", self._at(name + ".csr"), "-subj", f"/CN={dns}")
        sh("openssl", "x509", "-req", "-in", self._at(name + ".csr"), "-CA", self._at("ca.crt"), "-CAkey", self._at("ca.key"), "-CAcreateserial",
           "-out", self._at(name + ".crt"), "-days", "3", "-extfile", self._at("ext"))
        return self._text(name + ".key") + self._text(name + ".crt") + self._text("ca.crt")

    def rules(self, ports):
        """Nothing passes but these ports, and they are protected on both sides; a port may be '*'."""
        lines = [f"{PREFIX}=protected"]
        for i, port in enumerate(ports):
            lines += [
                f"{PREFIX}_SERVER_P{i}=protected",
                f"{PREFIX}_SERVER_P{i}_PORT=TCP:{port}",
                f"{PREFIX}_SERVER_P{i}_IDENTITY={self.server}{PREFIX}_SERVER_P{i}_CLIENT_DNS_NAME=web.example",
                f"{PREFIX}_CLIENT_P{i}=protected",
                f"{PREFIX}_CLIENT_P{i}_DESTINATION=TCP:db.example:{port}",
                f"{PREFIX}_CLIENT_P{i}_DESTINATION_IP=*",
                f"{PREFIX}_CLIENT_P{i}_IDENTITY={self.client}",
            ]
        return "\n".join(lines) + "\n"


class Run:
    """One pair of programs, natively or shielded. Leave with `with`: everything that it started is over then."""

    def __init__(self, where, scone, names, ports, shielded):
        self.where, self.shielded = where, shielded
        os.makedirs(where)
        os.chmod(where, 0o755)
        self.under = []
        if shielded:
            rules = os.path.join(where, "rules")
            with open(rules, "w", encoding="ascii") as f:
                f.write(names.rules(ports))
            os.chmod(rules, 0o644)  # servers that are not root read it too
            self.under = [scone, "run", "--network-rules", rules, "--"]
        self.running, self.holders, self.sniffers, self.logs = [], {}, [], []
        # libc asks a daemon of names, which is not there, and by a UDP socket, which it does without, for routes.
        self.expected = ["connection to unix:/var/run/nscd/socket refused", "socket of family 2, type 2, protocol 0 refused",
                         "socket of family 10, type 2, protocol 0 refused"]

    def __enter__(self):
        try:
            for side in (SERVER, CLIENT):
                self.holders[side] = subprocess.Popen(["unshare", "-n", "sleep", "100000"], preexec_fn=dies_with_parent)
                self._wait(lambda: self._other_net(self.holders[side].pid), 10, f"a network namespace for the {side}")
            client = str(self.holders[CLIENT].pid)
            self._in(SERVER, "ip", "link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns", client)
            for side in (SERVER, CLIENT):
                self._in(side, "ip", "link", "set", "lo", "up")
                self._in(side, "ip", "addr", "add", ADDRESS[side] + "/24", "dev", "cable")
                self._in(side, "ip", "link", "set", "cable", "up")
            for side, interface in ((SERVER, "any"), (CLIENT, "lo")):
                self._sniff(side, interface)
            for side in (SERVER, CLIENT):
                self._wait(lambda: "Capturing on" in self._sniffed(side), 30, f"tshark: {self._sniffed(side)}")
            time.sleep(0.5)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in reversed(self.running):
            self.end(process)
        for process in self.sniffers:
            process.terminate()  # not killed: its dumpcap would stay
            process.wait()
        for process in self.holders.values():
            process.kill()
            process.wait()

    @staticmethod
    def _other_net(pid):
        try:
            return os.readlink(f"/proc/{pid}/ns/net") != os.readlink("/proc/self/ns/net")
        except OSError:
            return False

    def _in(self, side, *argv):
        return sh("nsenter", f"--net=/proc/{self.holders[side].pid}/ns/net", *argv)

    def _sniff(self, side, interface):
        log = os.path.join(self.where, f"tshark.{side}.log")
        with open(log, "wb") as out:
            self.sniffers.append(subprocess.Popen(
                ["nsenter", f"--net=/proc/{self.holders[side].pid}/ns/net", "tshark", "-q", "-B", "128", "-i", interface, "-F", "pcap", "-w",
                 os.path.join(self.where, f"{side}.pcap")], stdout=out, stderr=out, stdin=subprocess.DEVNULL, preexec_fn=dies_with_parent))

    def _sniffed(self, side):
        return self.text(os.path.join(self.where, f"tshark.{side}.log"))

    def captured(self):
        """End the captures: their files. A packet that the kernel dropped is a failure of this run."""
        time.sleep(0.5)
        for sniffer in self.sniffers:
            sniffer.send_signal(signal.SIGINT)
        for sniffer in self.sniffers:
            sniffer.wait(60)
        self.sniffers = []
        for side in (SERVER, CLIENT):
            said = self._sniffed(side)
            if "dropped" in said and " 0 packets dropped" not in said:
                raise Failed(f"tshark dropped packets: {said.strip().splitlines()[-1]}")
        return [os.path.join(self.where, f"{side}.pcap") for side in (SERVER, CLIENT)]

    @staticmethod
    def text(path):
        try:
            with open(path, "rb") as f:
                return f.read().decode(errors="replace")
        except OSError:
            return ""

    def _wait(self, holds, seconds, what):
        end = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > end:
                raise Failed(f"not after {seconds} s: {what}")
            time.sleep(0.05)

    def until(self, holds, what, seconds=60):
        self._wait(holds, seconds, what)

    def command(self, side, argv, user=None, shielded=True):
        """shielded=False: what needs no network."""
        as_user = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"] if user else []
        return ["nsenter", f"--net=/proc/{self.holders[side].pid}/ns/net", *as_user, *(self.under if shielded else []), *map(str, argv)]

    def _env(self, more):
        env = {k: v for k, v in os.environ.items() if not k.startswith("SCONE_NETWORK_SHIELD")}
        return {**env, "HOME": self.where, **(more or {})}

    def start(self, side, name, argv, port=None, user=None, env=None, stdin=None, cwd=None, seconds=60):
        """In the background; with port: until it listens there."""
        log = os.path.join(self.where, name + ".log")
        self.logs.append(log)
        with open(log, "ab") as out:
            process = subprocess.Popen(self.command(side, argv, user), stdout=out, stderr=out, stdin=stdin or subprocess.DEVNULL, env=self._env(env),
                                       start_new_session=True, cwd=cwd, preexec_fn=dies_with_parent)
        process.log = log
        self.running.append(process)
        if port:
            def up():
                if process.poll() is not None:
                    raise Failed(f"{name} ended with {process.returncode}: {self.text(log)[-600:]}")
                return self._in(side, "ss", "-Hltn", f"sport = :{port}")
            self._wait(up, seconds, f"{name} listens on {port}: {self.text(log)[-600:]}")
        return process

    def end(self, process, how=signal.SIGTERM):
        """And wait; its status."""
        if process in self.running:
            self.running.remove(process)
        if process.poll() is None:
            process.send_signal(how)
        try:
            process.wait(40)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise Failed(f"{shlex.join(process.args[-4:])} does not end on signal {int(how)}") from None
        finally:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        return process.returncode

    def join(self, process, seconds=60):
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Failed(f"{shlex.join(process.args[-4:])} does not end: {self.text(process.log)[-300:]}") from None
        return self.end(process)

    def run(self, side, argv, text=None, user=None, env=None, seconds=120, cwd=None, data=False):
        """What it prints; a status that is not 0 is a failure. data: bytes."""
        log = os.path.join(self.where, "run.log")
        if log not in self.logs:
            self.logs.append(log)
        with open(log, "ab") as err:
            at = err.tell()
            process = subprocess.Popen(self.command(side, argv, user), stdin=subprocess.PIPE if text is not None else subprocess.DEVNULL,
                                       stdout=subprocess.PIPE, stderr=err, env=self._env(env), start_new_session=True, cwd=cwd,
                                       preexec_fn=dies_with_parent)
            try:
                out, _ = process.communicate(text.encode() if isinstance(text, str) else text, timeout=seconds)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                out, _ = process.communicate()
                raise Failed(f"{shlex.join(map(str, argv))[:200]}: not done after {seconds} s; it printed {out[-300:]!r}") from None
        if process.returncode:
            raise Failed(f"{shlex.join(map(str, argv))[:200]}: status {process.returncode}: {self.text(log)[at:][-600:]} {out[-300:].decode(errors='replace')}")
        return out if data else out.decode(errors="replace")

    def complaints(self):
        """What the shield said in any log, but for what is expected."""
        said = [line for log in self.logs for line in self.text(log).splitlines() if "scone-runtime: " in line and " network: " in line]
        return [line for line in said if not any(e in line for e in self.expected)]


def have(*programs):
    """The first that is not installed."""
    return next((p for p in programs if not shutil.which(p)), None)
