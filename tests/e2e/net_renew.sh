#!/bin/bash
# Certificates that live for seconds: CAS renews them while programs run, and both sides take them up without a restart. Open connections go on. When CAS is
# gone they end with their time, and the log says why.
set -uo pipefail

# shellcheck source=tests/lib/e2e.sh
. "$(dirname "$0")/../lib/e2e.sh" renew
[[ -x $runtime ]] || { not_ok runtime "$runtime is not built"; exit; }
for name in "${!SCONE_NETWORK_SHIELD@}" "${!SCONE_CONSOLE_SHIELD@}"; do unset "$name"; done
cd "$base" || exit
valid=20 # seconds that a certificate lives
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')

export SCONE_RUNTIME=$runtime SCONE_LAS_ADDR=$base/las.sock
start_las || { not_ok start_las "scone-las does not start"; exit; }
start_cas cas || { not_ok start_cas "scone-cas does not start"; exit; }
scone cas add main "$address" --trust-first >/dev/null 2>&1

# A client that connects all the time until a file is there: in itself, in a copy (fork), and after some time as another program (execve). One connection
# stays open all along, but not over execve.
cat >client.sh <<'END'
port=$1 stop=$2 done=${3-0} refused=${4-0} first=$SECONDS
exec 4<>"/dev/tcp/127.0.0.1/$port"
ping() {
	local answer=
	exec 3<>"/dev/tcp/127.0.0.1/$port" || return 1
	printf 'PING\r\n' >&3 && read -r -t 10 answer <&3
	exec 3>&-
	[[ $answer == +PONG* ]]
}
while [[ ! -e $stop ]]; do
	ping || { refused=$((refused + 1)); echo "refused at $SECONDS"; }
	(ping) || { refused=$((refused + 1)); echo "refused in a copy at $SECONDS"; }
	done=$((done + 2))
	printf 'PING\r\n' >&4 && read -r -t 10 answer <&4 && [[ $answer == +PONG* ]] || echo "the open connection ended at $SECONDS"
	((SECONDS - first < 15)) || exec bash "$0" "$port" "$stop" "$done" "$refused"
	read -r -t 0.2 <> <(:)
done
echo "$done connections, $refused refused"
END
cat >session.yml <<END
name: renew-test
version: "0.3"
security: {attestation: {mode: simulation}}
secrets:
  - {name: ca_key, kind: private-key}
  - {name: ca, kind: x509-ca, private_key: ca_key, common_name: renew-test}
  - {name: db_key, kind: private-key}
  - {name: db, kind: x509, private_key: db_key, issuer: ca, endpoint: server, san: ["dns:db.renew-test"], valid_for: $valid s}
  - {name: web_key, kind: private-key}
  - {name: web, kind: x509, private_key: web_key, issuer: ca, endpoint: client, san: ["dns:web.renew-test"], valid_for: $valid s}
images:
  - {name: server, provide_secrets: [db]}
  - {name: client, provide_secrets: [web]}
services:
  - name: db
    image_name: server
    command: [redis-server, --port, "$port", --bind, 127.0.0.1, --save, "", --daemonize, "no"]
    attestation: [{mrenclave: [$(scone measure redis-server 2>/dev/null)]}]
    environment:
      SCONE_NETWORK_SHIELD: protected
      SCONE_NETWORK_SHIELD_SERVER_DB: protected
      SCONE_NETWORK_SHIELD_SERVER_DB_PORT: "TCP:$port"
      SCONE_NETWORK_SHIELD_SERVER_DB_IDENTITY: "\$\$SCONE::db:privatekey\$\$\$\$SCONE::db:crt\$\$\$\$SCONE::db:chain\$\$"
      SCONE_NETWORK_SHIELD_SERVER_DB_CLIENT_DNS_NAME: web.renew-test
  - name: web
    image_name: client
    command: [bash, $base/client.sh, "$port", $base/stop]
    attestation: [{mrenclave: [$(scone measure bash 2>/dev/null)]}]
    environment:
      SCONE_NETWORK_SHIELD: protected
      SCONE_NETWORK_SHIELD_CLIENT_DB: protected
      SCONE_NETWORK_SHIELD_CLIENT_DB_DESTINATION: "TCP:db.renew-test:$port"
      SCONE_NETWORK_SHIELD_CLIENT_DB_DESTINATION_IP: "*"
      SCONE_NETWORK_SHIELD_CLIENT_DB_IDENTITY: "\$\$SCONE::web:privatekey\$\$\$\$SCONE::web:crt\$\$\$\$SCONE::web:chain\$\$"
END
expect session_created 0 -- "$bin/scone" session create --no-substitute session.yml

listening() { [[ -n $(ss -Hltn "sport = :$port") ]]; }
renewals() { grep -c "renew-test/$1: attested" cas.log; }
start db "$bin/scone" run --config-id renew-test/db -- redis-server
wait_for db listening
start web "$bin/scone" run --config-id renew-test/web -- bash

# Three renewals of either side, and more than twice the life of the first certificate.
enough() { ((SECONDS - begun > 2 * valid + 5)) && (($(renewals db) > 3 && $(renewals web) > 3)); }
begun=$SECONDS
for ((i = 0; i < 900; i++)); do
	enough && break
	kill -0 "${pid[web]}" "${pid[db]}" 2>/dev/null || break
	sleep 0.1
done
holds server_renewed_three_times test "$(renewals db)" -ge 4
holds client_renewed_three_times test "$(renewals web)" -ge 4
holds certificates_were_renewed test "$(grep -c 'certificates renewed' cas.log)" -ge 3
touch stop
join web
holds client_status test $? = 0
holds all_the_time test "$(sed -n 's/^\([0-9]*\) connections, 0 refused$/\1/p' web.log)" -ge 60
holds none_refused test "$(grep -c -e '^refused' -e 'refused, rule' web.log db.log | tr '\n' ' ')" = 'web.log:0 db.log:0 '
holds open_connections_go_on test "$(grep -c 'open connection ended' web.log)" = 0
renewer_of() { pgrep -f -- "--renew.*renew-test/$1" >/dev/null; }
for ((i = 0; i < 100; i++)); do renewer_of web || break; sleep 0.1; done
holds renewer_ends_with_its_application eval '! renewer_of web && renewer_of db'

# Without CAS the server's certificate ends; a client of its own time cannot be had from CAS then, so it is one that was started before.
rm stop
start late "$bin/scone" run --config-id renew-test/web -- bash
sleep 3
end_process cas
expired() { grep -q 'check validity' late.log db.log; }
for ((i = 0; i < 600; i++)); do expired && break; sleep 0.1; done
holds without_cas_they_end expired
holds the_log_says_why grep -qE 'certificates are not renewed, and end with their time: .*CAS' late.log db.log
touch stop
join late
end_process db
for ((i = 0; i < 50; i++)); do [[ -n $(pgrep -f -- '--renew.*renew-test') ]] || break; sleep 0.1; done
holds no_renewer_is_left test -z "$(pgrep -f -- '--renew.*renew-test')"
