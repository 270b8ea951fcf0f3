#!/bin/bash
# The network shield: unmodified pairs of programs with every byte between them TLS, strangers refused for the reason that is theirs, and what
# sockets do, natively and protected.
set -uo pipefail

# shellcheck source=tests/lib/e2e.sh
. "$(dirname "$0")/../lib/e2e.sh" net
[[ -x $runtime ]] || { not_ok runtime "$runtime is not built"; exit; }
for name in "${!SCONE_NETWORK_SHIELD@}"; do unset "$name"; done
pki=$base/pki
mkdir "$pki"
cd "$base" || exit

# --- certificates and rules -------------------------------------------------------------------------------------------------------------

new_ca() { # NAME
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$pki/$1.key" -out "$pki/$1.pem" -subj "/CN=$1" -days 30 \
		-addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign
}

leaf() { # NAME CA SAN EKU OPTION…: key, certificate and CA in $pki/NAME.pem
	local name=$1 ca=$2 san=$3 eku=$4
	shift 4
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$pki/$name.key" -out "$pki/$name.csr" -subj "/CN=$name"
	openssl x509 -req -in "$pki/$name.csr" -CA "$pki/$ca.pem" -CAkey "$pki/$ca.key" -CAcreateserial -out "$pki/$name.crt" -days 30 "$@" \
		-extfile <(printf 'basicConstraints=critical,CA:FALSE\nsubjectAltName=DNS:%s\nextendedKeyUsage=%s\n' "$san" "$eku")
	cat "$pki/$name.key" "$pki/$name.crt" "$pki/$ca.pem" >"$pki/$name.pem"
}

# at_another_time NAME CA SAN EKU FROM TO: valid between these dates
at_another_time() {
	local name=$1 ca=$2
	leaf "${@:1:4}"
	mkdir "$pki/db.$name"
	: >"$pki/db.$name/index"
	echo 01 >"$pki/db.$name/serial"
	printf '[ca]\ndefault_ca=d\n[d]\ndatabase=%s/index\nserial=%s/serial\nnew_certs_dir=%s\ndefault_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n[x]\nbasicConstraints=critical,CA:FALSE\nsubjectAltName=DNS:%s\nextendedKeyUsage=%s\n' \
		"$pki/db.$name" "$pki/db.$name" "$pki/db.$name" "$3" "$4" >"$pki/db.$name/conf"
	openssl ca -batch -config "$pki/db.$name/conf" -extensions x -in "$pki/$name.csr" -cert "$pki/$ca.pem" -keyfile "$pki/$ca.key" -notext \
		-startdate "$(date -u -d "$5" +%Y%m%d%H%M%SZ)" -enddate "$(date -u -d "$6" +%Y%m%d%H%M%SZ)" -out "$pki/$name.crt"
	cat "$pki/$name.key" "$pki/$name.crt" "$pki/$ca.pem" >"$pki/$name.pem"
}

{
	new_ca ca
	new_ca other
	leaf server ca db.example serverAuth
	leaf server-other other db.example serverAuth
	leaf server-name ca cache.example serverAuth
	leaf client ca web.example clientAuth
	leaf client-other other web.example clientAuth
	leaf client-name ca log.example clientAuth
	at_another_time client-old ca web.example clientAuth '3 days ago' yesterday
	at_another_time server-old ca db.example serverAuth '3 days ago' yesterday
	at_another_time client-new ca web.example clientAuth tomorrow '3 days'
	at_another_time server-new ca db.example serverAuth tomorrow '3 days'
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$pki/self.key" -out "$pki/self.crt" -subj /CN=web.example -days 3 \
		-addext subjectAltName=DNS:web.example
} >"$base/pki.log" 2>&1 || { not_ok pki "no certificates"; tail "$base/pki.log"; exit; }

free_port() {
	python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# shielded PORT COMMAND…: under the runtime, both sides' rules for PORT
shielded() {
	local port=$1 instead=()
	shift
	[[ $BASHPID == "$$" ]] || instead=(exec) # in the background: the process that end_process ends
	"${instead[@]}" env SCONE_NETWORK_SHIELD_SERVER_S=protected SCONE_NETWORK_SHIELD_SERVER_S_PORT="TCP:$port" \
		SCONE_NETWORK_SHIELD_SERVER_S_IDENTITY="$(<"$pki/server.pem")" SCONE_NETWORK_SHIELD_SERVER_S_CLIENT_AUTH="$(<"$pki/ca.pem")" \
		SCONE_NETWORK_SHIELD_SERVER_S_CLIENT_DNS_NAME=web.example \
		SCONE_NETWORK_SHIELD_CLIENT_C=protected SCONE_NETWORK_SHIELD_CLIENT_C_DESTINATION="TCP:db.example:$port" \
		SCONE_NETWORK_SHIELD_CLIENT_C_DESTINATION_IP='*' SCONE_NETWORK_SHIELD_CLIENT_C_IDENTITY="$(<"$pki/client.pem")" \
		SCONE_NETWORK_SHIELD_CLIENT_C_SERVER_AUTH="$(<"$pki/ca.pem")" timeout -s KILL 120 "$runtime" -- "$@"
}

listening() { # PORT
	[[ -n $(ss -Hltn "sport = :$1") ]]
}

# --- what sockets do --------------------------------------------------------------------------------------------------------------------

cc -O1 -Wall -Wextra -Werror -Wno-unused-parameter -Wno-unused-result -D_GNU_SOURCE -pthread -o sockets "$here/../programs/net_sockets.c" 2>cc.log ||
	{ not_ok program "not compiled"; cat cc.log; exit; }
port=$(free_port)
timeout -s KILL 100 ./sockets "$port" >native.out 2>&1
shielded "$port" ./sockets "$port" >protected.out 2>&1
while read -r name; do
	if [[ $(sed -n "/^$name\$/,/^[^ ]/p" native.out | sed 1d) == $(sed -n "/^$name\$/,/^[^ ]/p" protected.out | sed 1d) ]]; then
		ok "socket_$name"
	else
		not_ok "socket_$name" "$(diff <(sed -n "/^$name\$/,/^[^ ]/p" native.out) <(sed -n "/^$name\$/,/^[^ ]/p" protected.out) | tr '\n' ' ')"
	fi
done < <(grep -v '^ ' native.out)
holds sockets_all test "$(grep -cv '^ ' native.out)" -ge 22

# --- pairs ------------------------------------------------------------------------------------------------------------------------------

# capture NAME PORT: what goes over loopback, into $base/NAME.pcap; ended by end_capture NAME
capture() {
	start "capture_$1" tshark -q -B 64 -i lo -f "tcp port $2" -w "$base/$1.pcap"
	wait_for "capture_$1" grep -q Capturing "$base/capture_$1.log"
	sleep 0.5
}
end_capture() {
	sleep 1
	end_process "capture_$1" INT
}

secret=plain-$(openssl rand -hex 12)
redis_session() { # NAME PORT COMMAND-PREFIX…
	local name=$1 port=$2
	shift 2
	mkdir "$base/$name.d"
	start "$name" "$@" redis-server --port "$port" --bind 127.0.0.1 --save '' --dir "$base/$name.d" --daemonize no
	wait_for "$name" listening "$port" || return 1
	"$@" redis-cli -p "$port" set key "$secret" >"$base/$name.set" 2>&1
	"$@" redis-cli -p "$port" get key >"$base/$name.get" 2>&1
	"$@" redis-benchmark -p "$port" -n 1000 -c 20 -t get,set,lpush,lrange_100 --csv >"$base/$name.bench" 2>&1
	end_process "$name"
}

if command -v tshark >/dev/null; then
	port=$(free_port)
	capture native "$port"
	redis_session redis_native "$port" timeout 60
	end_capture native
	holds capture_control_has_plaintext grep -qa "$secret" native.pcap
	port=$(free_port)
	capture protected "$port"
	redis_session redis_protected "$port" shielded "$port"
	end_capture protected
	holds capture_protected_has_none test "$(grep -ca -e "$secret" -e 'lrange' -e 'LRANGE' protected.pcap)" = 0
	holds capture_protected_is_tls test "$(tshark -r protected.pcap -d "tcp.port==$port,tls" -Y 'tls.handshake.type == 2' 2>/dev/null | wc -l)" -ge 20
	# Every segment with data is inside a TLS record: nothing else is in the streams.
	holds capture_nothing_but_tls test "$(tshark -r protected.pcap -d "tcp.port==$port,tls" -Y 'tcp.len > 0 && !tls && !tcp.analysis.flags' 2>/dev/null | grep -vc 'TCP segment of a reassembled')" = 0
else
	echo "# tshark is not there: nothing is captured"
	port=$(free_port)
	redis_session redis_protected "$port" shielded "$port"
fi
holds redis_get grep -qx "$secret" redis_protected.get
holds redis_benchmark test "$(grep -c '^"' redis_protected.bench)" -ge 4

port=$(free_port)
mkdir html
head -c 3000000 /dev/urandom >html/big
echo hello >html/index.html
cat >nginx.conf <<END
daemon off; worker_processes 2; pid $base/nginx.pid; user root;
events { worker_connections 256; }
http { access_log off; sendfile on; client_body_temp_path $base/n1; proxy_temp_path $base/n2; fastcgi_temp_path $base/n3; uwsgi_temp_path $base/n4;
 scgi_temp_path $base/n5; server { listen 127.0.0.1:$port; root $base/html; } }
END
start nginx shielded "$port" nginx -c "$base/nginx.conf" -e "$base/nginx.err"
wait_for nginx listening "$port"
shielded "$port" curl -sS -m 30 "http://127.0.0.1:$port/" >curl.out 2>curl.err
holds nginx_curl grep -qx hello curl.out
shielded "$port" curl -sS -m 30 "http://127.0.0.1:$port/big" >curl.big 2>curl.err
holds nginx_curl_3mb cmp -s curl.big html/big
shielded "$port" wrk -t1 -c20 -d2 "http://127.0.0.1:$port/" >wrk.out 2>&1
holds nginx_wrk test "$(awk '/requests in/ { print $1 }' wrk.out)" -gt 100
holds nginx_wrk_no_errors test "$(grep -c 'Socket errors\|Non-2xx' wrk.out)" = 0
shielded "$port" bash -c "exec 3<>/dev/tcp/127.0.0.1/$port; printf 'GET / HTTP/1.0\r\n\r\n' >&3; cat <&3" >bash.out 2>&1
holds bash_dev_tcp grep -qx hello bash.out
end_process nginx

cat >aio.py <<'END'
import asyncio, hashlib, os, sys
port = int(sys.argv[2])
async def echo(r, w):
    while data := await r.read(65536):
        w.write(data)
        await w.drain()
    w.close()
async def serve():
    s = await asyncio.start_server(echo, '127.0.0.1', port)
    async with s:
        await s.serve_forever()
async def one(i):
    r, w = await asyncio.open_connection('127.0.0.1', port)
    data = os.urandom(200000 + i)
    async def send():
        w.write(data)
        await w.drain()
        w.write_eof()
    t = asyncio.create_task(send())
    got = await r.read(-1)
    await t
    w.close()
    return got == data
async def main():
    print(sum(await asyncio.gather(*(one(i) for i in range(25)))))
asyncio.run(serve() if sys.argv[1] == 'serve' else main())
END
port=$(free_port)
start aio shielded "$port" python3 aio.py serve "$port"
wait_for aio listening "$port"
shielded "$port" python3 aio.py run "$port" >aio.out 2>&1
holds asyncio_25_at_once grep -qx 25 aio.out
end_process aio

cat >threads.py <<'END'
import http.server, socketserver, sys, threading, urllib.request
port = int(sys.argv[1])
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def do_GET(self):
        self.send_response(200)
        self.send_header('Content-Length', '50000')
        self.end_headers()
        self.wfile.write(b'x' * 50000)
    def log_message(self, *a):
        pass
class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 64
threading.Thread(target=Server(('127.0.0.1', port), Handler).serve_forever, daemon=True).start()
done = []
def client():
    for i in range(10):
        done.append(len(urllib.request.urlopen('http://127.0.0.1:%d/' % port, timeout=30).read()))
clients = [threading.Thread(target=client) for i in range(8)]
for t in clients: t.start()
for t in clients: t.join()
print(sum(n == 50000 for n in done))
END
port=$(free_port)
shielded "$port" python3 threads.py "$port" >threads.out 2>&1
holds threads_of_one_process grep -qx 80 threads.out

# --- strangers at a protected server ----------------------------------------------------------------------------------------------------

cat >echo.py <<'END'
import socket, sys
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(('127.0.0.1', int(sys.argv[1])))
s.listen(8)
while True:
    c, a = s.accept()
    try:
        while d := c.recv(1000):
            c.sendall(b'echo ' + d)
        print('end', flush=True)
    except OSError as e:
        print('error', e.errno, e.strerror, flush=True)
    c.close()
END
cat >dial.py <<'END'
import socket, sys
try:
    c = socket.create_connection(('127.0.0.1', int(sys.argv[1])))
    c.sendall(b'hello\n')
    print('got', c.recv(1000))
except OSError as e:
    print('error', e.errno)
END
port=$(free_port)
start echo shielded "$port" python3 echo.py "$port"
wait_for echo listening "$port"

s_client() { # OPTION…
	(echo "from a stranger"; sleep 1) | timeout 15 openssl s_client -quiet -connect "127.0.0.1:$port" -CAfile "$pki/ca.pem" "$@"
}
# stranger NAME PATTERN OPTION…: gets no answer, and the server says why
stranger() {
	local name=$1 pattern=$2 before
	shift 2
	before=$(wc -l <"$base/echo.log")
	s_client "$@" >stranger.out 2>&1
	wait_for echo eval "tail -n +$((before + 1)) '$base/echo.log' | grep -q 'error 104'"
	holds "stranger_${name}_no_answer" test "$(grep -c 'echo from' stranger.out)" = 0
	holds "stranger_${name}_reason" grep -qE "refused, rule SERVER_S: $pattern" <(tail -n +$((before + 1)) "$base/echo.log")
}
stranger none 'check certificate: seen none, wanted one issued by "ca"'
stranger self_made 'check issuer: seen certificate "web.example"' -cert "$pki/self.crt" -key "$pki/self.key"
stranger other_ca 'check issuer: seen certificate "client-other" .* wanted one issued by "ca"' -cert "$pki/client-other.crt" -key "$pki/client-other.key"
stranger expired 'check validity: seen a certificate valid from' -cert "$pki/client-old.crt" -key "$pki/client-old.key"
stranger not_yet_valid 'check validity: seen a certificate valid from' -cert "$pki/client-new.crt" -key "$pki/client-new.key"
stranger wrong_name 'check name: seen a certificate for log.example, wanted web.example' -cert "$pki/client-name.crt" -key "$pki/client-name.key"
stranger server_certificate 'check purpose: ' -cert "$pki/server.crt" -key "$pki/server.key"
stranger tls12 'check version: ' -tls1_2 -cert "$pki/client.crt" -key "$pki/client.key"
before=$(wc -l <"$base/echo.log")
(printf 'GET / HTTP/1.0\r\n\r\n'; sleep 1) | timeout 10 bash -c "exec 3<>/dev/tcp/127.0.0.1/$port; cat >&3; cat <&3" >plain.out 2>&1
holds stranger_plain_no_answer test "$(grep -c echo plain.out)" = 0
holds stranger_plain_reason grep -q 'check record: seen bytes 474554202f' <(tail -n +$((before + 1)) "$base/echo.log")
s_client -cert "$pki/client.crt" -key "$pki/client.key" -verify_return_error >member.out 2>&1
holds openssl_member_is_served grep -q 'echo from a stranger' member.out

# A relay that has recorded all that a member said, from ClientHello to its end, says it again; and plays a recorded server to a new client.
cat >relay.py <<'END'
import socket, sys, threading
# relay.py record FROM TO FILE: one connection, each direction into FILE.client and FILE.server; relay.py client TO FILE; relay.py server FROM FILE
def pump(a, b, path):
    with open(path, 'wb') as f:
        while d := a.recv(65536):
            f.write(d)
            b.sendall(d)
    try:
        b.shutdown(socket.SHUT_WR)
    except OSError:
        pass
def listen(port):
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(('127.0.0.1', port))
    s.listen(1)
    return s.accept()[0]
what = sys.argv[1]
if what == 'record':
    a = listen(int(sys.argv[2]))
    b = socket.create_connection(('127.0.0.1', int(sys.argv[3])))
    t = threading.Thread(target=pump, args=(b, a, sys.argv[4] + '.server'))
    t.start()
    pump(a, b, sys.argv[4] + '.client')
    t.join()
else:
    c = socket.create_connection(('127.0.0.1', int(sys.argv[2]))) if what == 'client' else listen(int(sys.argv[2]))
    data = open(sys.argv[3] + '.' + what, 'rb').read()
    got = c.recv(65536) if what == 'server' else b''
    try:
        c.sendall(data)
        c.settimeout(10)
        while d := c.recv(65536):
            got += d
    except OSError as e:
        print('error', e.errno)
    sys.stdout.flush()
    sys.stdout.buffer.write(got)
END
through=$(free_port)
start relay timeout 30 python3 relay.py record "$through" "$port" recorded
wait_for relay listening "$through"
echo 'said once' | (cat; sleep 1) | timeout 15 openssl s_client -quiet -connect "127.0.0.1:$through" -CAfile "$pki/ca.pem" -cert "$pki/client.crt" -key "$pki/client.key" >once.out 2>&1
join relay
holds replay_control_is_served grep -q 'echo said once' once.out
before=$(wc -l <"$base/echo.log")
timeout 20 python3 relay.py client "$port" recorded >again.out 2>&1
wait_for echo eval "tail -n +$((before + 1)) '$base/echo.log' | grep -q 'error 104'"
holds stranger_replayed_errno grep -q 'error 104' <(tail -n +$((before + 1)) "$base/echo.log")
holds stranger_replayed_reason grep -qE 'refused, rule SERVER_S: check (record|protocol|signature): ' <(tail -n +$((before + 1)) "$base/echo.log")
holds stranger_replayed_served_once test "$(grep -c '^end$' <(tail -n +$((before + 1)) "$base/echo.log"))" = 0

# stunnel with a valid certificate is a member, too; with another CA's it is none.
tunnel() { # NAME LISTEN CONNECT CLIENT? CERTIFICATE
	printf 'foreground = yes\npid =\n[t]\naccept = 127.0.0.1:%s\nconnect = 127.0.0.1:%s\nclient = %s\ncert = %s\nkey = %s\nCAfile = %s\nverifyChain = yes\n' \
		"$2" "$3" "$4" "$pki/$5.crt" "$pki/$5.key" "$pki/ca.pem" >"$1.conf"
	start "$1" stunnel4 "$base/$1.conf"
	wait_for "$1" listening "$2"
}
if command -v stunnel4 >/dev/null; then
	through=$(free_port)
	tunnel tunnel "$through" "$port" yes client
	timeout 20 python3 dial.py "$through" >tunnel.out 2>&1
	holds stunnel_client_is_served grep -q "got b'echo hello" tunnel.out
	end_process tunnel
	through=$(free_port)
	before=$(wc -l <"$base/echo.log")
	tunnel tunnel "$through" "$port" yes client-other
	timeout 20 python3 dial.py "$through" >tunnel.out 2>&1
	holds stunnel_of_another_ca_is_not grep -qE "error|got b''" tunnel.out
	holds stunnel_of_another_ca_reason grep -qE 'refused, rule SERVER_S: check issuer: seen certificate "client-other"' <(tail -n +$((before + 1)) "$base/echo.log")
	end_process tunnel
else
	echo "# stunnel4 is not there: not tried"
fi
end_process echo

# --- a protected client at strange servers ----------------------------------------------------------------------------------------------

# at_server NAME PATTERN OPTION…: s_server with these options; what the client prints and logs
at_server() {
	local name=$1 pattern=$2
	shift 2
	port=$(free_port)
	start s_server openssl s_server -quiet -accept "127.0.0.1:$port" -rev "$@"
	wait_for s_server listening "$port"
	shielded "$port" python3 dial.py "$port" >dial.out 2>&1
	holds "$name" grep -qE "$pattern" dial.out
	[[ $pattern == check* ]] && holds "${name}_errno" grep -qx 'error 111' dial.out
	end_process s_server
}
at_server server_member "got b'olleh" -cert "$pki/server.crt" -key "$pki/server.key" -CAfile "$pki/ca.pem" -Verify 1 -verify_return_error
at_server server_of_another_ca 'check issuer: seen certificate "server-other"' -cert "$pki/server-other.crt" -key "$pki/server-other.key"
at_server server_with_another_name 'check name: seen a certificate for cache.example, wanted db.example' -cert "$pki/server-name.crt" -key "$pki/server-name.key"
at_server server_expired 'check validity: ' -cert "$pki/server-old.crt" -key "$pki/server-old.key"
at_server server_not_yet_valid 'check validity: ' -cert "$pki/server-new.crt" -key "$pki/server-new.key"
at_server server_self_made 'check issuer: ' -cert "$pki/self.crt" -key "$pki/self.key"
at_server server_with_a_clients_certificate 'check (purpose|name): ' -cert "$pki/client.crt" -key "$pki/client.key"
at_server server_tls12 'check (version|alert): ' -tls1_2 -cert "$pki/server.crt" -key "$pki/server.key"
at_server server_that_refuses_us 'error 104' -cert "$pki/server.crt" -key "$pki/server.key" -CAfile "$pki/other.pem" -Verify 1 -verify_return_error
port=$(free_port)
start recorded timeout 30 python3 relay.py server "$port" recorded
wait_for recorded listening "$port"
shielded "$port" python3 dial.py "$port" >dial.out 2>&1
holds server_replayed grep -qE 'check (record|protocol|signature|alert): ' dial.out
holds server_replayed_errno grep -qx 'error 111' dial.out
end_process recorded
if command -v stunnel4 >/dev/null; then
	plain=$(free_port) port=$(free_port)
	start plain_echo python3 echo.py "$plain"
	wait_for plain_echo listening "$plain"
	tunnel tunnel "$port" "$plain" no server
	shielded "$port" python3 dial.py "$port" >dial.out 2>&1
	holds stunnel_server_member grep -q "got b'echo hello" dial.out
	end_process tunnel
	port=$(free_port)
	tunnel tunnel "$port" "$plain" no server-other
	shielded "$port" python3 dial.py "$port" >dial.out 2>&1
	holds stunnel_server_of_another_ca grep -q 'check issuer: seen certificate "server-other"' dial.out
	end_process tunnel
	end_process plain_echo
fi

# --- the firewall -----------------------------------------------------------------------------------------------------------------------

cat >wall.py <<'END'
import errno, os, socket, sys
def tried(what, f):
    try:
        f()
        print(what, 'passes')
    except OSError as e:
        print(what, errno.errorcode[e.errno])
port = int(sys.argv[1])
def connect():
    socket.create_connection(('127.0.0.1', port))
def listen(p):
    s = socket.socket()
    s.bind(('127.0.0.1', p))
    s.listen(1)
tried('connect', connect)
tried('listen', lambda: listen(0))
tried('udp', lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
tried('unix', lambda: socket.socket(socket.AF_UNIX).connect('/nonexistent'))
tried('pair', lambda: socket.socketpair())
print('variables', sum(v.startswith('SCONE_NETWORK_SHIELD') for v in os.environ))
END
wall() { timeout -s KILL 60 env "$@" "$runtime" -- python3 wall.py "$port" >wall.out 2>wall.err; }
port=$(free_port)
start plain python3 -c "import socket, time; s = socket.socket(); s.bind(('127.0.0.1', $port)); s.listen(9); time.sleep(60)"
wait_for plain listening "$port"
wall SCONE_NETWORK_SHIELD=protected
holds wall_protected test "$(tr '\n' ' ' <wall.out)" = 'connect EACCES listen EACCES udp EACCES unix EACCES pair passes variables 0 '
holds wall_says_why grep -q "connection to TCP:127.0.0.1:$port refused: seen no rule for it" wall.err
wall SCONE_NETWORK_SHIELD=protected SCONE_NETWORK_SHIELD_UNSUPPORTED_PROTOCOLS=unprotected SCONE_NETWORK_SHIELD_CLIENT_P=unprotected \
	SCONE_NETWORK_SHIELD_CLIENT_P_DESTINATION="TCP:localhost:$port" SCONE_NETWORK_SHIELD_CLIENT_P_DESTINATION_IP=127.0.0.1
holds wall_with_holes test "$(tr '\n' ' ' <wall.out)" = 'connect passes listen EACCES udp passes unix EACCES pair passes variables 0 '
wall SCONE_NETWORK_SHIELD=unprotected
holds wall_unprotected test "$(tr '\n' ' ' <wall.out)" = 'connect passes listen passes udp passes unix ENOENT pair passes variables 0 '
wall SCONE_NETWORK_SHIELD_SERVER_A=refuse SCONE_NETWORK_SHIELD_SERVER_A_PORT=TCP:0
holds wrong_rule_starts_nothing test "$(cat wall.out)" = ''
holds wrong_rule_says_why grep -q 'rule SERVER_A: _PORT is "TCP:0"; wanted TCP:PORT or unix:PATH' wall.err
end_process plain

# --- the command line -------------------------------------------------------------------------------------------------------------------

port=$(free_port)
{
	echo '# a server'
	echo "SCONE_NETWORK_SHIELD=protected"
	echo "SCONE_NETWORK_SHIELD_SERVER_S=protected"
	echo "SCONE_NETWORK_SHIELD_SERVER_S_PORT=TCP:$port"
	echo "SCONE_NETWORK_SHIELD_SERVER_S_IDENTITY=$(<"$pki/server.pem")"
	echo
	echo '# and its client'
	echo "SCONE_NETWORK_SHIELD_CLIENT_C=protected"
	echo "SCONE_NETWORK_SHIELD_CLIENT_C_DESTINATION=TCP:db.example:$port"
	echo "SCONE_NETWORK_SHIELD_CLIENT_C_DESTINATION_IP=*"
	echo "SCONE_NETWORK_SHIELD_CLIENT_C_IDENTITY=$(<"$pki/client.pem")"
} >rules
expect explain_client 0 'rule CLIENT_C: TLS 1.3; the server needs a certificate .*, with the name db.example' -- "$bin/scone" net explain --network-rules rules "TCP:10.0.0.1:$port"
expect explain_server 0 'rule SERVER_S: TLS 1.3; the client needs a certificate' -- "$bin/scone" net explain --listens --network-rules rules "TCP:0.0.0.0:$port"
expect explain_unlisted 0 'no rule names it, .* it is refused \(EACCES\)' -- "$bin/scone" net explain --network-rules rules TCP:10.0.0.1:1
expect explain_no_place 2 'wanted TCP:ADDRESS:PORT or unix:PATH' -- "$bin/scone" net explain localhost
expect explain_bad_file 4 'line 1 is no variable' -- "$bin/scone" net explain --network-rules "$pki/ca.pem" TCP:10.0.0.1:1
export SCONE_RUNTIME=$runtime
start echo "$bin/scone" run --network-rules rules -- python3 echo.py "$port"
wait_for echo listening "$port"
expect run_with_rules 0 "got b'echo hello" -- "$bin/scone" run --network-rules rules -- python3 dial.py "$port"
end_process echo

# --- identities that only CAS gives, to programs that have proved what they are ----------------------------------------------------------

export SCONE_LAS_ADDR=$base/las.sock
start_las || { not_ok start_las "scone-las does not start"; exit; }
start_cas cas || { not_ok start_cas "scone-cas does not start"; exit; }
scone cas add main "$address" --trust-first >/dev/null 2>&1
port=$(free_port)
measured_server=$(scone measure redis-server 2>/dev/null) measured_client=$(scone measure redis-cli 2>/dev/null)
cat >"$base/session.yml" <<END
name: net-test
version: "0.3"
security: {attestation: {mode: simulation}}
secrets:
  - {name: ca_key, kind: private-key}
  - {name: ca, kind: x509-ca, private_key: ca_key, common_name: net-test, valid_for: 1 year}
  - {name: db_key, kind: private-key}
  - {name: db, kind: x509, private_key: db_key, issuer: ca, endpoint: server, san: ["dns:db.net-test"], valid_for: 30 days}
  - {name: web_key, kind: private-key}
  - {name: web, kind: x509, private_key: web_key, issuer: ca, endpoint: client, san: ["dns:web.net-test"], valid_for: 30 days}
images:
  - {name: server, provide_secrets: [db]}
  - {name: client, provide_secrets: [web]}
services:
  - name: db
    image_name: server
    command: [redis-server, --port, "$port", --bind, 127.0.0.1, --save, "", --daemonize, "no"]
    attestation: [{mrenclave: [$measured_server]}]
    environment:
      SCONE_NETWORK_SHIELD: protected
      SCONE_NETWORK_SHIELD_SERVER_DB: protected
      SCONE_NETWORK_SHIELD_SERVER_DB_PORT: "TCP:$port"
      SCONE_NETWORK_SHIELD_SERVER_DB_IDENTITY: "\$\$SCONE::db:privatekey\$\$\$\$SCONE::db:crt\$\$\$\$SCONE::db:chain\$\$"
      SCONE_NETWORK_SHIELD_SERVER_DB_CLIENT_DNS_NAME: web.net-test
  - name: web
    image_name: client
    command: [redis-cli, -p, "$port", set, attested, "yes"]
    attestation: [{mrenclave: [$measured_client]}]
    environment:
      SCONE_NETWORK_SHIELD: protected
      SCONE_NETWORK_SHIELD_CLIENT_DB: protected
      SCONE_NETWORK_SHIELD_CLIENT_DB_DESTINATION: "TCP:db.net-test:$port"
      SCONE_NETWORK_SHIELD_CLIENT_DB_DESTINATION_IP: "*"
      SCONE_NETWORK_SHIELD_CLIENT_DB_IDENTITY: "\$\$SCONE::web:privatekey\$\$\$\$SCONE::web:crt\$\$\$\$SCONE::web:chain\$\$"
END
expect session_created 0 -- "$bin/scone" session create --no-substitute "$base/session.yml"
start attested "$bin/scone" run --config-id net-test/db -- redis-server
wait_for attested listening "$port"
expect attested_pair 0 '^OK' -- "$bin/scone" run --config-id net-test/web -- redis-cli
expect attested_server_refuses_others 1 'Connection reset|Server closed' -- redis-cli -p "$port" get attested
holds attested_server_says_why grep -q 'refused, rule SERVER_DB: check record: ' "$base/attested.log"
s_client -cert "$pki/client.crt" -key "$pki/client.key" >outsider.out 2>&1
holds attested_server_refuses_another_ca grep -qE 'refused, rule SERVER_DB: check issuer: seen certificate "(client|ca)" .* wanted one issued by "net-test"' "$base/attested.log"
# A member of another session of the same CAS, attested, too, that takes any server: its CA is another one.
sed -e 's/^name: net-test/name: net-other/' -e 's/common_name: net-test/common_name: net-other/' \
	-e 's/^\( *SCONE_NETWORK_SHIELD_CLIENT_DB\)_DESTINATION_IP.*/&\n\1_SERVER_AUTH: disabled/' session.yml >other.yml
expect other_session_created 0 -- "$bin/scone" session create --no-substitute other.yml
before=$(wc -l <"$base/attested.log")
expect attested_other_session_refused 1 'Connection reset|Server closed' -- "$bin/scone" run --config-id net-other/web -- redis-cli
holds attested_other_session_reason grep -qE 'refused, rule SERVER_DB: check issuer: seen certificate "(net-other|web)" .* wanted one issued by "net-test"' <(tail -n +$((before + 1)) "$base/attested.log")
expect explain_of_a_service 0 'rule CLIENT_DB: TLS 1.3; .* with the name db.net-test' -- "$bin/scone" net explain --config-id net-test/web "TCP:10.1.2.3:$port"
end_process attested
