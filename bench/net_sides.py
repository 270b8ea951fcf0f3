"""Servers of bench/net.py, each way a connection of theirs can be protected, and the loads.

All servers have processor 0, all loads processor 1. Each side's TLS is 1.3 with AES-256-GCM and P-256 certificates of one CA, without tickets.
"""

import json
import os
import re
import subprocess

import process
from process import Failed, Server, free_port, output

PLAIN, OWN, STUNNEL, SHIELD = "plain", "own TLS", "stunnel4", "shield"
PROCESSORS = sorted(os.sched_getaffinity(0))
SERVER_CPU, LOAD_CPU = (["taskset", "-c", str(PROCESSORS[i])] for i in (0, 1 if len(PROCESSORS) > 1 else 0))
SUITE = "TLS_AES_256_GCM_SHA384"
PREFIX = "SCONE_NETWORK_SHIELD"
SERVER_NAME, CLIENT_NAME = "db.bench", "web.bench"


class Pki:
    """A CA and two identities in files of a directory."""

    def __init__(self, directory):
        self.directory = directory
        self.ca = self.path("ca.crt")
        ec = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        output(["openssl", "req", "-x509", *ec, "-keyout", self.path("ca.key"), "-out", self.ca, "-subj", "/CN=bench", "-days", "2",
                "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign"])
        for name, san, usage in (("server", SERVER_NAME, "serverAuth"), ("client", CLIENT_NAME, "clientAuth")):
            request, extensions = self.path(name + ".csr"), self.path(name + ".ext")
            output(["openssl", "req", *ec, "-keyout", self.path(name + ".key"), "-out", request, "-subj", f"/CN={name}"])
            with open(extensions, "w", encoding="ascii") as f:
                f.write(f"basicConstraints=critical,CA:FALSE\nsubjectAltName=DNS:{san}\nextendedKeyUsage={usage}\n")
            output(["openssl", "x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self.path("ca.key"), "-CAcreateserial", "-out",
                    self.path(name + ".crt"), "-days", "2", "-extfile", extensions])
            with open(self.path(name + ".pem"), "w", encoding="ascii") as f:
                f.write("".join(self.read(part) for part in (name + ".crt", "ca.crt", name + ".key")))

    def path(self, name):
        return os.path.join(self.directory, name)

    def read(self, name):
        with open(self.path(name), encoding="ascii") as f:
            return f.read()

    def rules(self, port, client_auth=True):
        """The rules file of both sides of a port."""
        name = self.path(f"rules-{port}")
        client = f"{PREFIX}_SERVER_S_CLIENT_" + (f"DNS_NAME={CLIENT_NAME}" if client_auth else "AUTH=disabled")
        with open(name, "w", encoding="ascii") as f:
            f.write(f"""{PREFIX}_SERVER_S=protected
{PREFIX}_SERVER_S_PORT=TCP:{port}
{PREFIX}_SERVER_S_IDENTITY={self.read("server.pem")}
{client}
{PREFIX}_CLIENT_C=protected
{PREFIX}_CLIENT_C_DESTINATION=TCP:{SERVER_NAME}:{port}
{PREFIX}_CLIENT_C_DESTINATION_IP=*
{PREFIX}_CLIENT_C_IDENTITY={self.read("client.pem")}
""")
        return name


class Setting:
    def __init__(self, scone, load, directory):
        self.scone, self.load, self.directory = scone, load, directory
        self.pki = Pki(directory)

    def shielded(self, port, cmd, client_auth=True):
        return [self.scone, "run", "--network-rules", self.pki.rules(port, client_auth), "--", *cmd]


class Side:
    """One running server of a side: its port, the sessions whose processor time is the server's."""

    def __init__(self, port, servers):
        self.port, self.servers = port, servers

    def processor_seconds(self):
        return sum(process.processor_seconds(s.process.pid) for s in self.servers)

    def memory(self):
        """Proportional set size of all its processes, bytes."""
        sessions, total = {s.process.pid for s in self.servers}, 0
        for name in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{name}/stat", encoding="ascii", errors="replace") as f:
                    session = int(f.read().rpartition(")")[2].split()[3])
                if session in sessions:
                    with open(f"/proc/{name}/smaps_rollup", encoding="ascii") as f:
                        total += int(re.search(r"^Pss:\s+(\d+)", f.read(), re.M)[1]) * 1024
            except OSError:
                continue
        return total

    def stop(self):
        for s in self.servers:
            s.stop()


# --- servers -----------------------------------------------------------------------------------------------------------------------------------------


def redis_command(s, side, port):
    words = ["redis-server", "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", s.directory, "--maxclients", "9000",
             "--tcp-backlog", "511"]
    if side != OWN:
        return words + ["--port", str(port)]
    return words + ["--port", "0", "--tls-port", str(port), "--tls-cert-file", s.pki.path("server.crt"), "--tls-key-file", s.pki.path("server.key"),
                    "--tls-ca-cert-file", s.pki.ca, "--tls-protocols", "TLSv1.3", "--tls-ciphersuites", SUITE, "--tls-session-caching", "no"]


def nginx_command(s, side, port, files="off"):
    """No client certificates: wrk has none to show. files: sendfile and tcp_nopush; off is nginx's own default, on what Debian's nginx.conf says."""
    directory = os.path.join(s.directory, f"nginx-{port}")
    os.makedirs(directory, exist_ok=True)
    for name, size in (("1k", 1024), ("1m", 1 << 20)):
        with open(os.path.join(directory, name), "wb") as f:
            f.write(b"x" * size)
    paths = " ".join(f"{kind}_temp_path {directory}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    tls = (f"ssl_certificate {s.pki.path('server.pem')}; ssl_certificate_key {s.pki.path('server.key')}; ssl_protocols TLSv1.3; "
           f"ssl_conf_command Ciphersuites {SUITE}; ssl_session_tickets off; ssl_session_cache off;") if side == OWN else ""
    with open(os.path.join(directory, "nginx.conf"), "w", encoding="utf-8") as f:
        f.write(f"""daemon off; worker_processes 1; pid {directory}/pid; error_log stderr warn; {'user root;' if os.getuid() == 0 else ''}
events {{ worker_connections 1024; }}
http {{ access_log off; sendfile {files}; tcp_nopush {files}; keepalive_requests 1000000; {paths}
server {{ listen 127.0.0.1:{port}{' ssl' if tls else ''}; root {directory}; {tls} }} }}
""")
    return ["nginx", "-p", directory, "-c", os.path.join(directory, "nginx.conf")]


def nginx_sendfile_command(s, side, port):
    return nginx_command(s, side, port, "on")


def bytes_command(s, side, port):
    """The server of net_load: OpenSSL as its own TLS."""
    return [s.load, "serve"] + ([s.pki.path("server.pem"), s.pki.ca] if side == OWN else [])


def stunnel_command(s, port, to, client_auth):
    name = os.path.join(s.directory, f"stunnel-{port}.conf")
    verify = f"CAfile = {s.pki.ca}\nverifyChain = yes\nrequireCert = yes\n" if client_auth else ""
    with open(name, "w", encoding="ascii") as f:
        f.write(f"""foreground = yes
debug = 3
pid =
socket = l:TCP_NODELAY=1
socket = r:TCP_NODELAY=1
[s]
accept = 127.0.0.1:{port}
connect = 127.0.0.1:{to}
cert = {s.pki.path("server.pem")}
sslVersionMin = TLSv1.3
ciphersuites = {SUITE}
{verify}""")
    return ["stunnel4", name]


def start(s, side, command, client_auth=True):
    """A Side that serves; to be stopped."""
    def server(cmd, at):
        return Server([*SERVER_CPU, *cmd], at, os.path.join(s.directory, f"server-{at}.log"))

    port = free_port()
    os.environ["NET_LOAD_PORT"] = str(port)
    cmd = command(s, side, port)
    if side == SHIELD:
        return Side(port, [server(s.shielded(port, cmd, client_auth), port)])
    servers = [server(cmd, port)]
    if side != STUNNEL:
        return Side(port, servers)
    try:
        front = free_port()
        servers.append(server(stunnel_command(s, front, port, client_auth), front))
    except BaseException:
        servers[0].stop()
        raise
    return Side(front, servers)


# --- loads: {"rate": a second, "p99": ms, "operations": N} -------------------------------------------------------------------------------------------


def redis_load(what, pipeline, requests, clients=50, pair=False):
    """redis-benchmark, with its own TLS but for a plain server; pair: under the shield for a server that is. stunnel4 gets a third of the requests."""
    def load(s, side, port):
        count = requests // 3 if side == STUNNEL else requests
        cmd = ["redis-benchmark", "-h", "127.0.0.1", "-p", str(port), "-t", what, "-n", str(count), "-c", str(clients), "-P", str(pipeline),
               "-r", "100000", "--csv"]
        if pair and side == SHIELD:
            cmd = s.shielded(port, cmd)
        elif side != PLAIN:
            cmd += ["--tls", "--cert", s.pki.path("client.crt"), "--key", s.pki.path("client.key"), "--cacert", s.pki.ca, "--tls-ciphersuites", SUITE]
        out = output([*LOAD_CPU, *cmd])
        for line in out.splitlines():
            fields = [field.strip('"') for field in line.split(",")]
            if fields[0].upper() == what.upper() and len(fields) > 6:
                return {"rate": float(fields[1]), "p99": float(fields[6]), "operations": count}
        raise Failed(f"redis-benchmark printed no line of {what}")
    return load


def wrk_load(path, *options):
    def load(_, side, port):
        scheme = "http" if side == PLAIN else "https"
        out = output([*LOAD_CPU, "wrk", "-t1", "-c32", "-d1s", "--latency", *options,
                      f"{scheme}://127.0.0.1:{port}/{path}"])
        if "Non-2xx" in out or re.search(r"Socket errors: connect \d+, read [1-9]|Socket errors: connect [1-9]|write [1-9]", out):
            raise Failed(f"wrk: {out[-200:]}")
        p99 = re.search(r"99%\s+([\d.]+)(us|ms|s)", out)
        return {"rate": float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1]),
                "p99": float(p99[1]) * {"us": 0.001, "ms": 1, "s": 1000}[p99[2]] if p99 else None,
                "operations": int(re.search(r"(\d+) requests in", out)[1])}
    return load


def connect_load(seconds, threads):
    def load(s, _, port):
        r = json.loads(output([*LOAD_CPU, s.load, "connect", str(port), s.pki.path("client.pem"), s.pki.ca, str(seconds), str(threads)]))
        if r["failed"]:
            raise Failed(f"{r['failed']} connections of {r['failed'] + r['operations']} failed")
        return {"rate": r["operations"] / r["seconds"], "p99": r["p99"], "operations": r["operations"]}
    return load


class Held:
    """Connections that are open while it lives: kind "idle" or "slow"."""

    def __init__(self, s, port, kind, count):
        self.process = subprocess.Popen([*LOAD_CPU, s.load, kind, str(port), s.pki.path("client.pem"), s.pki.ca, str(count)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, start_new_session=True)
        process.watch(self.process.pid)
        if self.process.stdout.readline() != b"ready\n":
            self.stop()
            raise Failed(f"{count} {kind} connections: not all of them were made")

    def stop(self):
        """False: one of them was ended meanwhile."""
        well = self.process.poll() is None
        self.process.stdin.close()
        process.end(self.process.pid)
        self.process.wait()
        self.process.stdout.close()
        return well
