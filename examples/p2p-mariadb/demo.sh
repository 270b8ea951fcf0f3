#!/bin/bash
# Mutual TLS is mutual attestation, for a database: unmodified MariaDB server and client of one session talk, and nobody else gets in; see README.md.
#
# usage: demo.sh [--keep]     SCONE_BIN: directory of the programs (default build/bin of this tree)
set -uo pipefail

here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=examples/common.sh
. "$here/../common.sh"
names=(server las cas)
base=$(mktemp -d "${TMPDIR:-/tmp}/scone-p2pdb.XXXXXX") || exit 1
trap finish EXIT
trap 'exit 130' INT TERM

server=$(command -v mariadbd || echo /usr/sbin/mariadbd)
start_services "$server" mariadb mariadb-admin mariadb-install-db openssl
client=$(command -v mariadb)

step "One session for the shop, one with the same text for somebody else"
mkdir -p "$base/tls" "$base/tmp" || die "no directories in $base"
server_measurement=$(scone measure "$server") || die "$server cannot be measured"
client_measurement=$(scone measure "$client") || die "$client cannot be measured"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
create() { # create NAME: the session under this name
	scone session create --set "NAME=$1" --set "BASE=$base" --set "PORT=$port" --set "SERVER=$server_measurement" \
		--set "CLIENT=$client_measurement" "$here/session.yml" >"$base/create.out" 2>&1 || { indent "$base/create.out"; die "the session is refused"; }
	indent "$base/create.out"
}
create shop
create other

step "MariaDB, attested, on port $port"
user=$(id -un)
sed -e "s#@BASE@#$base#g" -e "s#@PORT@#$port#g" -e "s#@USER@#$user#g" "$here/my.cnf.in" >"$base/my.cnf"
# The account has no password: the certificate is what counts. Nobody is root.
cat >"$base/init.sql" <<'END'
CREATE DATABASE IF NOT EXISTS shop;
CREATE OR REPLACE TABLE shop.orders (what VARCHAR(40));
INSERT INTO shop.orders VALUES ('two tons of sugar');
CREATE OR REPLACE USER app@localhost REQUIRE SUBJECT '/CN=client' AND ISSUER '/CN=shop';
GRANT SELECT ON shop.* TO app@localhost;
ALTER USER root@localhost ACCOUNT LOCK;
END
mariadb-install-db --no-defaults --datadir="$base/data" --user="$user" --auth-root-authentication-method=normal --skip-test-db --skip-name-resolve \
	--force >"$base/install.log" 2>&1 || die "mariadb-install-db fails"
"$bin/scone" run --config-id shop/server -- "$server" >"$base/server.log" 2>&1 &
pid[server]=$!
listens() { (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; }
wait_for server 120 "MariaDB under the runtime" listens || die "MariaDB does not start under the runtime"
cas=$(<"$base/cas.address")
curl -s -k "https://$cas/v1/values/session=shop,secret=ca" | jq -r '.values.ca.value' >"$base/shop-ca.pem"

# ask OPTION…: what the server says to a client that the runtime has nothing to do with
ask() {
	timeout 60 "$client" --no-defaults --protocol=tcp -h localhost -P "$port" -u app --ssl-ca="$base/shop-ca.pem" --ssl-verify-server-cert --batch \
		--skip-column-names "$@" -e 'SELECT what FROM shop.orders' 2>&1
}
attested() { timeout 120 "$bin/scone" run --config-id "$1" -- "$client" 2>&1; }
says() { # says PATTERN COMMAND…
	local pattern=$1 out
	shift
	out=$("$@" </dev/null)
	indent <<<"$out"
	grep -qE -e "$pattern" <<<"$out"
}
refused() { # refused PATTERN COMMAND…: it says that, and has seen nothing of the table
	local pattern=$1 out
	shift
	out=$("$@" </dev/null)
	indent <<<"$out"
	grep -qE -e "$pattern" <<<"$out" && ! grep -qF sugar <<<"$out"
}

step "Who may talk to whom"
proof "the attested client of the same session reads the table" says '^two tons of sugar$' attested shop/client
proof "the attested client of the other session does not trust this server" refused 'certificate verify failed|self.signed|unable to get' attested other/client
proof "nor does this server take its certificate" refused 'unknown ca|Lost connection' attested other/careless
proof "an unattested client, which has no certificate, is refused" refused 'Access denied' ask
plainly() { timeout 60 "$client" --no-defaults --protocol=tcp -h localhost -P "$port" -u app --skip-ssl -e 'SELECT what FROM shop.orders' 2>&1; }
proof "a client without TLS is refused" refused 'Access denied|insecure transport' plainly
make_ca() { # make_ca DIRECTORY: a CA of one's own that bears the shop's name, and a client certificate of it
	mkdir -p "$1" && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=shop -keyout "$1/ca.key" -out "$1/ca.crt" &&
		openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=client -keyout "$1/client.key" -out "$1/client.csr" &&
		openssl x509 -req -in "$1/client.csr" -CA "$1/ca.crt" -CAkey "$1/ca.key" -days 2 -out "$1/client.crt"
}
make_ca "$base/self-made" >"$base/openssl.out" 2>&1 || { indent "$base/openssl.out"; die "openssl makes no CA"; }
proof "a client with a certificate of a self-made CA of the same names is refused" refused 'alert|Lost connection' \
	ask --ssl-cert="$base/self-made/client.crt" --ssl-key="$base/self-made/client.key"
other_program() { timeout 60 "$bin/scone" run --config-id shop/client -- mariadb-admin ping 2>&1; }
proof "another program does not get the client's certificate" refused 'measurement' other_program

step "No key on the disk"
find "$base/tls" | indent
proof "the directory of the keys is empty" test -z "$(ls -A "$base/tls")"
proof "no file below $base holds a private key but the self-made ones" \
	test -z "$(grep -rlF 'PRIVATE KEY' "$base" --exclude-dir=self-made --exclude-dir=home --exclude-dir=las --exclude-dir=cas)"
