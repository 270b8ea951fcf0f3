#!/bin/bash
# Mutual TLS is mutual attestation: unmodified nginx and curl talk with certificates that only attested services of one session get; see README.md.
#
# usage: demo.sh [--keep]     SCONE_BIN: directory of the programs (default build/bin of this tree)
set -uo pipefail

here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=examples/common.sh
. "$here/../common.sh"
names=(web las cas)
base=$(mktemp -d "${TMPDIR:-/tmp}/scone-p2p.XXXXXX") || exit 1
trap finish EXIT
trap 'exit 130' INT TERM

nginx=$(command -v nginx || echo /usr/sbin/nginx)
start_services "$nginx" curl openssl
curl=$(command -v curl)

step "One session for the shop, one with the same text for somebody else"
mkdir -p "$base/tls" "$base/nginx" || die "no directories in $base"
nginx_measurement=$(scone measure "$nginx") || die "$nginx cannot be measured"
curl_measurement=$(scone measure "$curl") || die "$curl cannot be measured"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
create() { # create NAME: the session under this name
	scone session create --set "NAME=$1" --set "BASE=$base" --set "PORT=$port" --set "NGINX=$nginx_measurement" \
		--set "CURL=$curl_measurement" "$here/session.yml" >"$base/create.out" 2>&1 || { indent "$base/create.out"; die "the session is refused"; }
	indent "$base/create.out"
}
create shop
create other
sed -e "s#@BASE@#$base#g" -e "s#@PORT@#$port#g" "$here/nginx.conf.in" >"$base/nginx.conf"

step "nginx, attested, on port $port"
cas=$(<"$base/cas.address")
"$bin/scone" run --config-id shop/web -- "$nginx" >"$base/web.log" 2>&1 &
pid[web]=$!
public_ca() { curl -s -k "https://$cas/v1/values/session=$1,secret=ca" | jq -r '.values.ca.value'; }
public_ca shop >"$base/shop-ca.pem"
listens() { (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; }
wait_for web 60 "nginx under the runtime" listens || die "nginx does not start under the runtime"

# ask CERTIFICATE KEY: what nginx says to a client that the runtime has nothing to do with
ask() {
	local identity=()
	[[ -z ${1-} ]] || identity=(--cert "$1" --key "$2")
	timeout 30 "$curl" -sS --max-time 20 --cacert "$base/shop-ca.pem" "${identity[@]}" --resolve "web.shop:$port:127.0.0.1" \
		"https://web.shop:$port/" >"$base/ask.out" 2>&1
	local status=$?
	indent "$base/ask.out" >&2
	((status == 0)) || echo "curl ended with $status" >>"$base/ask.out"
	cat "$base/ask.out"
}
attested_curl() { timeout 60 "$bin/scone" run --config-id "$1/buyer" -- "$curl" 2>&1; }
says() { # says PATTERN COMMAND…
	local pattern=$1 out
	shift
	out=$("$@" 2>/dev/null)
	indent <<<"$out"
	grep -qE -e "$pattern" <<<"$out"
}

step "Who may talk to whom"
proof "attested curl of the same session is served, by name" says '^sold to CN=buyer$' attested_curl shop
proof "attested curl of the other session does not trust this server" says 'SSL certificate problem|unable to get local issuer' attested_curl other
proof "a client without a certificate is refused" says '400 (No required SSL certificate|Bad Request)|certificate required' ask
make_ca() { # make_ca DIRECTORY: a CA of one's own that bears the shop's name, and a client certificate of it
	mkdir -p "$1" && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=shop -keyout "$1/ca.key" -out "$1/ca.crt" &&
		openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=buyer -keyout "$1/client.key" -out "$1/client.csr" &&
		openssl x509 -req -in "$1/client.csr" -CA "$1/ca.crt" -CAkey "$1/ca.key" -days 2 -out "$1/client.crt"
}
make_ca "$base/self-made" >"$base/openssl.out" 2>&1 || { indent "$base/openssl.out"; die "openssl makes no CA"; }
proof "a client with a certificate of a self-made CA of the same name is refused" says '400 (The SSL certificate error|Bad Request)|alert|unknown ca' \
	ask "$base/self-made/client.crt" "$base/self-made/client.key"
proof "the CA that everybody may read verifies the server, by name" says '^Verify return code: 0' \
	bash -c "openssl s_client -connect 127.0.0.1:$port -CAfile '$base/shop-ca.pem' -verify_hostname web.shop </dev/null 2>&1 | grep -o 'Verify return code.*'"
proof "and not under another name" says '^Verify return code: 62' \
	bash -c "openssl s_client -connect 127.0.0.1:$port -CAfile '$base/shop-ca.pem' -verify_hostname pay.shop </dev/null 2>&1 | grep -o 'Verify return code.*'"

step "No key on the disk"
find "$base/tls" | indent
proof "the directory of the keys is empty" test -z "$(ls -A "$base/tls")"
proof "no file below $base holds a private key but the self-made ones" \
	test -z "$(grep -rlF 'PRIVATE KEY' "$base" --exclude-dir=self-made --exclude-dir=home --exclude-dir=las --exclude-dir=cas)"
