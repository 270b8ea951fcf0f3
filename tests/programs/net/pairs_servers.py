"""Servers and the clients that come with them."""

import os
import re
import shutil
import signal
import subprocess

from lab import ADDRESS, CLIENT, SERVER, Failed
from pairs import filler, pair, sum_of, write

HERE = os.path.dirname(os.path.abspath(__file__))
AT = ADDRESS[SERVER]
PYTHON = "/usr/bin/python3"


@pair("redis-server", "redis-cli", "redis-benchmark", ports=[6379, 6380], marks=["LRANGE", "key:__rand_int__"])
def redis(run, secret):
    """redis-server, a replica, redis-cli (pipe, publish, subscribe), redis-benchmark"""
    common = ["--save", "", "--daemonize", "no", "--enable-debug-command", "yes", "--protected-mode", "no", "--dir", run.where]
    master = run.start(SERVER, "master", ["redis-server", "--port", 6379, "--bind", AT, *common], port=6379)
    replica = run.start(CLIENT, "replica", ["redis-server", "--port", 6380, "--bind", ADDRESS[CLIENT], "--replicaof", AT, 6379, *common], port=6380)
    cli = ["redis-cli", "-h", AT, "-p", 6379]
    result = {"set": run.run(CLIENT, [*cli, "set", "key", secret]), "get": run.run(CLIENT, [*cli, "get", "key"])}
    pipe = "".join(f"SET pipe:{i} {secret}.{i}\r\n" for i in range(20000))
    result["pipe"] = re.findall(r"errors: .*", run.run(CLIENT, [*cli, "--pipe"], text=pipe))

    listener = run.start(CLIENT, "subscriber", [*cli, "--csv", "subscribe", "news"])
    run.until(lambda: '"subscribe"' in run.text(listener.log), "the subscription")
    publish = "".join(f"PUBLISH news {secret}.{i}\n" for i in range(200))
    result["published"] = run.run(CLIENT, cli, text=publish)
    run.until(lambda: f"{secret}.199" in run.text(listener.log), "the last message")
    run.expected.append("check end: seen the end of the connection without close_notify")  # of the subscriber, which a signal ends
    run.end(listener)
    result["heard"] = [line for line in run.text(listener.log).splitlines() if line.startswith('"message"')]

    bench = run.run(CLIENT, ["redis-benchmark", "-h", AT, "-p", 6379, "-n", 5000, "-c", 50, "-P", 8, "-d", 200, "--csv", "-t",
                             "ping,set,get,incr,lpush,rpop,sadd,hset,lrange_100,mset"])
    result["benchmark"] = [line.split(",")[0] for line in bench.splitlines()]
    result["size"] = run.run(CLIENT, [*cli, "dbsize"])
    result["digest"] = run.run(CLIENT, [*cli, "debug", "digest"])
    there = ["redis-cli", "-h", ADDRESS[CLIENT], "-p", 6380]
    run.until(lambda: run.run(SERVER, [*there, "debug", "digest"]) == result["digest"], "the replica's digest")
    result["replica"] = run.run(SERVER, [*there, "get", "pipe:19999"])
    result["end"] = [run.end(replica), run.end(master)]
    return result


NGINX = """daemon off; worker_processes 2; pid {0}/nginx.pid; user root; error_log {0}/nginx.err warn;
events {{ worker_connections 512; }}
http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000;
client_body_temp_path {0}/n1; proxy_temp_path {0}/n2; fastcgi_temp_path {0}/n3; uwsgi_temp_path {0}/n4; scgi_temp_path {0}/n5;
server {{ listen {1}:8080 backlog=511; root {0}/html; client_max_body_size 100m;
location /copied/ {{ sendfile off; alias {0}/html/; }} location /proxy/ {{ proxy_pass http://{1}:8080/; }} }} }}
"""


@pair("nginx", "wrk", "curl", ports=[8080], marks=["GET /", "HTTP/1.1 200 OK", "Server: nginx"], short=True)
def nginx(run, secret):
    """nginx with two workers (sendfile, a proxy to itself), curl (keep-alive, ranges, 20 MB), wrk"""
    write(f"{run.where}/html/index.html", f"<p>{secret}\n" * 20)
    write(f"{run.where}/html/big", filler(20_000_000, secret))
    for i in range(40):
        write(f"{run.where}/html/{secret}.{i}", f"{secret} {i}\n")
    conf = write(f"{run.where}/nginx.conf", NGINX.format(run.where, AT))
    server = run.start(SERVER, "nginx", ["nginx", "-c", conf], port=8080)
    url = f"http://{AT}:8080"
    curl = ["curl", "-sS", "-m", 60]
    result = {
        "page": run.run(CLIENT, [*curl, f"{url}/"]),
        "sendfile": sum_of(run.run(CLIENT, [*curl, f"{url}/big"], data=True)),
        "copied": sum_of(run.run(CLIENT, [*curl, f"{url}/copied/big"], data=True)),
        "proxied": sum_of(run.run(CLIENT, [*curl, f"{url}/proxy/big"], data=True)),
        "range": sum_of(run.run(CLIENT, [*curl, "-r", "1000000-3333333", f"{url}/big"], data=True)),
        "keep-alive": run.run(CLIENT, [*curl, "-w", "connects %{num_connects}\\n", f"{url}/{secret}.[0-39]"]),
        "many": sorted(run.run(CLIENT, [*curl, "--parallel", "--parallel-max", 20, *[f"{url}/{secret}.{i}" for i in range(40)]]).splitlines()),
        "missing": run.run(CLIENT, [*curl, "-o", "/dev/null", "-w", "%{http_code}", f"{url}/none"]),
        "post": run.run(CLIENT, [*curl, "-o", "/dev/null", "-w", "%{http_code} %{size_upload}", "--data-binary", f"@{run.where}/html/big", f"{url}/"]),
    }
    wrk = run.run(CLIENT, ["wrk", "-t2", "-c40", "-d2", f"{url}/"])
    found = re.search(r"(\d+) requests in", wrk)
    result["wrk"] = "errors" not in wrk and "Non-2xx" not in wrk and found is not None and int(found[1]) > 100 or wrk
    wrk = run.run(CLIENT, ["wrk", "-t1", "-c10", "-d1", "-H", "Connection: close", f"{url}/"])
    found = re.search(r"(\d+) requests in", wrk)
    result["wrk, a connection each"] = "Non-2xx" not in wrk and found is not None and int(found[1]) > 20 or wrk
    result["end"] = run.end(server, signal.SIGQUIT)
    result["log"] = sorted(set(re.findall(r"\[(\w+)\]", run.text(f"{run.where}/nginx.err"))))
    return result


PG = "/usr/lib/postgresql/15/bin"


@pair(f"{PG}/initdb", f"{PG}/pgbench", ports=[5432], marks=["pgbench_accounts", "UPDATE ", "SELECT "])
def postgresql(run, secret):
    """PostgreSQL (a process for each client), psql (COPY in and out), pgbench, a streaming replica"""
    data = f"{run.where}/pg"
    os.makedirs(data)
    shutil.chown(data, "postgres", "postgres")
    as_postgres = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"]
    subprocess.run([*as_postgres, f"{PG}/initdb", "-D", data, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"], check=True, capture_output=True,
                   cwd="/")
    with open(f"{data}/pg_hba.conf", "a", encoding="ascii") as f:
        f.write("host all all 10.55.0.0/24 trust\nhost replication all 10.55.0.0/24 trust\n")
    settings = ["-c", "unix_socket_directories=", "-c", "fsync=off", "-c", "wal_keep_size=512MB"]
    server = run.start(SERVER, "postgres", [f"{PG}/postgres", "-D", data, "-c", f"listen_addresses={AT}", *settings], port=5432, user="postgres")
    psql = [f"{PG}/psql", "-h", AT, "-U", "postgres", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "postgres"]
    rows = "".join(f"{i}\t{secret}\t{i * i % 977}\n" for i in range(20000))
    result = {
        "table": run.run(CLIENT, [*psql, "-c", "CREATE TABLE t (a int PRIMARY KEY, b text, c int)"]),
        "copy in": run.run(CLIENT, [*psql, "-c", "COPY t FROM STDIN"], text=rows),
        "copy out": sum_of(run.run(CLIENT, [*psql, "-c", "COPY (SELECT * FROM t ORDER BY a) TO STDOUT"])),
        "sum": run.run(CLIENT, [*psql, "-c", "SELECT count(*), sum(c), max(b) FROM t"]),
        "cursor": sum_of(run.run(CLIENT, [*psql, "-v", "FETCH_COUNT=100", "-c", "SELECT * FROM t ORDER BY a"])),
        "error": run.run(CLIENT, ["sh", "-c", f"{PG}/psql -h {AT} -U postgres -X -c 'SELECT nothing' postgres 2>&1; echo status $?"]),
    }
    standby = f"{run.where}/standby"
    os.makedirs(standby)
    shutil.chown(standby, "postgres", "postgres")
    os.chmod(standby, 0o700)
    run.run(CLIENT, [f"{PG}/pg_basebackup", "-h", AT, "-U", "postgres", "-D", standby, "-R", "-X", "stream", "-c", "fast", "--no-sync"], user="postgres")
    replica = run.start(CLIENT, "standby", [f"{PG}/postgres", "-D", standby, "-c", f"listen_addresses={ADDRESS[CLIENT]}", *settings], port=5432, user="postgres")
    bench = [f"{PG}/pgbench", "-h", AT, "-U", "postgres"]
    run.run(CLIENT, [*bench, "-i", "-s", 1, "-q", "postgres"])
    for protocol in ("simple", "prepared"):
        said = run.run(CLIENT, [*bench, "-n", "-c", 8, "-j", 2, "-t", 100, "-M", protocol, "postgres"])
        result[f"pgbench {protocol}"] = re.findall(r"(?:processed|failed transactions): .*", said)
    said = run.run(CLIENT, [*bench, "-n", "-C", "-S", "-c", 4, "-t", 20, "postgres"])
    result["pgbench, a connection each"] = re.findall(r"(?:processed|failed transactions): .*", said)
    balance = "SELECT (SELECT sum(abalance) FROM pgbench_accounts) = (SELECT sum(delta) FROM pgbench_history), (SELECT count(*) FROM pgbench_history)"
    result["balance"] = run.run(CLIENT, [*psql, "-c", balance])
    lsn = run.run(CLIENT, [*psql, "-c", "SELECT pg_current_wal_lsn()"]).strip()
    there = [f"{PG}/psql", "-h", ADDRESS[CLIENT], *psql[3:]]
    run.until(lambda: run.run(SERVER, [*there, "-c", f"SELECT pg_last_wal_replay_lsn() >= '{lsn}'"]).strip() == "t", "what the replica has replayed")
    result["replica"] = run.run(SERVER, [*there, "-c", balance]) + run.run(SERVER, [*there, "-c", "SELECT count(*), sum(c), max(b) FROM t"])
    result["end"] = [run.end(replica, signal.SIGINT), run.end(server, signal.SIGINT)]
    return result


@pair("mariadbd", "mariadb", "mariadb-install-db", ports=[3306], marks=["SELECT ", "CREATE TABLE"])
def mariadb(run, secret):
    """MariaDB (a thread for each client), mariadb (LOAD DATA, results of many rows), a replica"""
    sides = {}
    for side, number in ((SERVER, 1), (CLIENT, 2)):
        data = f"{run.where}/data{number}"
        subprocess.run(["mariadb-install-db", "--no-defaults", f"--datadir={data}", "--auth-root-authentication-method=normal", "--skip-test-db",
                        "--user=root"], check=True, capture_output=True)
        subprocess.run(["mariadbd", "--no-defaults", "--user=root", f"--datadir={data}", "--bootstrap"], check=True, capture_output=True,
                       input=b"FLUSH PRIVILEGES;\nCREATE USER root@'10.55.0.%';\nGRANT ALL ON *.* TO root@'10.55.0.%';\n")
        sides[side] = run.start(side, f"mariadbd{number}", ["mariadbd", "--no-defaults", "--user=root", f"--datadir={data}", f"--bind-address={ADDRESS[side]}",
                                f"--server-id={number}", "--log-bin=bin", "--local-infile=1", "--skip-name-resolve", f"--socket={data}/none",
                                "--innodb-flush-log-at-trx-commit=0", "--innodb-use-native-aio=0"], port=3306, seconds=90)

    def sql(to, text, side=CLIENT):
        return run.run(side, ["mariadb", "--no-defaults", "--protocol=TCP", "-h", ADDRESS[to], "-u", "root", "--local-infile=1", "-N"], text=text)

    sql(CLIENT, f"CHANGE MASTER TO MASTER_HOST='{AT}', MASTER_USER='root', MASTER_USE_GTID=slave_pos; START SLAVE;", SERVER)
    run.expected.append(f"listening at unix:{run.where}")  # that no rule names; the servers go on without
    rows = write(f"{run.where}/rows", "".join(f"{i}\t{secret}\t{i * 7919 % 1009}\n" for i in range(30000)))
    result = {
        "load": sql(SERVER, f"CREATE DATABASE d; USE d; CREATE TABLE t (a int PRIMARY KEY, b varchar(100), c int); LOAD DATA LOCAL INFILE '{rows}' INTO TABLE t;"),
        "rows": sum_of(sql(SERVER, "SELECT * FROM d.t ORDER BY a;")),
        "large": sum_of(sql(SERVER, f"SELECT REPEAT('{secret}', 100000);")),
        "many": sum_of(sql(SERVER, "".join(f"INSERT INTO d.t VALUES ({100000 + i}, '{secret}', {i});\n" for i in range(1000)) + "SELECT COUNT(*), SUM(c) FROM d.t;")),
        "transaction": sql(SERVER, "USE d; BEGIN; UPDATE t SET c = c + 1; ROLLBACK; SELECT SUM(c) FROM t;"),
        "checksum": sql(SERVER, "CHECKSUM TABLE d.t;"),
    }

    def replicated():
        try:
            return sql(CLIENT, "CHECKSUM TABLE d.t;", SERVER) == result["checksum"]
        except Failed:
            return False

    run.until(replicated, "the replica's checksum")
    result["replica"] = sum_of(sql(CLIENT, "SELECT * FROM d.t ORDER BY a;", SERVER))
    result["end"] = [run.end(sides[CLIENT]), run.end(sides[SERVER])]
    return result


@pair("memcached", ports=[11211], marks=["VALUE ", "STORED"], short=True)
def memcached(run, secret):
    """memcached with four threads; a client of its own with pipelines, large values, forty connections"""
    server = run.start(SERVER, "memcached", ["memcached", "-l", AT, "-p", 11211, "-U", 0, "-u", "root", "-t", 4], port=11211)
    return {"client": run.run(CLIENT, [PYTHON, f"{HERE}/memcached_client.py", AT, 11211, secret]), "end": run.end(server)}


@pair(PYTHON, ports=[7000], marks=["line of"])
def asyncio(run, secret):
    """Python asyncio: streams with half close, a protocol, sock_sendfile, fifty at a time"""
    server = run.start(SERVER, "server", [PYTHON, f"{HERE}/asyncio_pair.py", "serve", AT, 7000], port=7000)
    return {"client": run.run(CLIENT, [PYTHON, f"{HERE}/asyncio_pair.py", "run", AT, 7000, secret]), "end": run.end(server)}


@pair(PYTHON, ports=[8000], marks=["User-Agent: python-requests", "GET /"])
def requests(run, secret):
    """Python requests, http.server with threads"""
    if subprocess.run([PYTHON, "-c", "import requests"], capture_output=True, check=False).returncode:
        raise Failed("python3-requests is not installed")
    server = run.start(SERVER, "server", [PYTHON, f"{HERE}/http_server.py", AT, 8000], port=8000)
    return {"client": run.run(CLIENT, [PYTHON, f"{HERE}/requests_client.py", f"http://{AT}:8000", secret]), "end": run.end(server)}


@pair("bash", "redis-server", ports=[6379], marks=["SET b:"], short=True)
def bash(run, secret):
    """bash with /dev/tcp (a reader in the background, a subshell, several descriptors), redis-server"""
    server = run.start(SERVER, "redis", ["redis-server", "--port", 6379, "--bind", AT, "--save", "", "--protected-mode", "no", "--dir", run.where], port=6379)
    return {"script": run.run(CLIENT, ["bash", f"{HERE}/dev_tcp.sh", AT, 6379, secret]), "end": run.end(server)}

