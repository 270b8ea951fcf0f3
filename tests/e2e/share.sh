#!/bin/bash
# Secrets that one session exports and another imports, as attested programs see them, and everybody who may not have them.
# shellcheck disable=SC2016 # templates, and variables of the services
set -uo pipefail

# shellcheck source=tests/lib/e2e.sh
. "$(dirname "$0")/../lib/e2e.sh" share
export SCONE_LAS_ADDR=$base/las.sock

start_las || { not_ok start_las "scone-las does not start"; exit; }
start_cas cas || { not_ok start_cas "scone-cas does not start"; exit; }
"$bin/scone" cas add main "$address" --trust-first >"$out" 2>"$err" || { not_ok cas_add "$(cat "$err")"; exit; }
shell=$("$bin/scone" measure /bin/bash) || { not_ok measure "bash cannot be measured"; exit; }

# session NAME TEXT: create it
session() {
	local name=$1
	shift
	printf 'name: %s\nversion: "0.3"\nsecurity: {attestation: {mode: simulation}}\n%s\n' "$name" "$*" >"$base/session.yml"
	timeout 60 "$bin/scone" session create "$base/session.yml" >"$base/created" 2>"$err" || { not_ok "session $name" "$(tail -n 3 "$err")"; exit; }
}
# service IMPORTS ENVIRONMENT: the rest of a session whose service `shell` has these
service() {
	printf 'secrets: [%s]\nservices:\n  - {name: shell, pwd: /, command: [bash, -c, "@@1"], attestation: [{mrenclave: [%s]}], environment: {%s}}\n' "$1" "$shell" "$2"
}
sees() { # sees NAME SESSION WANTED SCRIPT
	timeout 60 "$bin/scone" run --config-id "$2/shell" -- /bin/bash "$4" >"$out" 2>"$err" </dev/null
	local status=$?
	if ((status == 0)) && [[ $(cat "$out") == "$3" ]]; then ok "$1"; else not_ok "$1" "status $status, printed $(head -c 200 "$out"): $(tail -n 2 "$err")"; fi
}
refused() { # refused NAME SESSION PATTERN
	expect "$1" 125 "$3" -- "$bin/scone" run --config-id "$2/shell" -- /bin/bash 'echo ran'
}

password=p-$(openssl rand -hex 16)
session team
session store "secrets:
  - {name: password, kind: ascii, value: $password, export: [{session: team/web}, {session: strict}]}
  - {name: bytes, kind: binary, value: 00ff10, export: {namespace: team}}
  - {name: ca_key, kind: private-key}
  - {name: ca, kind: x509-ca, private_key: ca_key, export: '/session=team/web'}
  - {name: key, kind: private-key, export: {session: team/web}}
  - {name: cert, kind: x509, private_key: key, issuer: ca, export: {session: team/web}}
  - {name: inner, kind: ascii}"
store=$(grep -oE '[0-9a-f]{64}' "$base/created" | head -n 1)
holds "the exporter's hash is printed" test -n "$store"

session team/web "$(service '{name: pw, kind: ascii, import: {session: ../../store, secret: password}},
  {name: raw, import: {session: store, secret: bytes, session_hash: '"$store"'}}, {name: c, kind: x509, import: {session: store, secret: cert}},
  {name: root, import: "/session=store,secret=ca"}' 'PW: "x$$SCONE::pw$$", RAW: "$$SCONE::raw:hex$$", CRT: "$$SCONE::c$$", KEY: "$$SCONE::c:privatekey$$",
  CHAIN: "$$SCONE::c:chain$$", ROOT: "$$SCONE::root$$"')"
sees "an imported text" team/web "x$password" 'echo "$PW"'
sees "imported bytes, by namespace and with the exporter's hash" team/web 00ff10 'echo "$RAW"'
sees "a certificate whose key is exported, too" team/web yes '[[ $CRT == *"BEGIN CERTIFICATE"* && $KEY == *"BEGIN PRIVATE KEY"* ]] && echo yes'
sees "its chain is the exported CA" team/web yes '[[ $CHAIN == "$ROOT" ]] && echo yes'

session stranger "$(service '{name: pw, import: {session: store, secret: password}}' 'PW: "$$SCONE::pw$$"')"
refused "a session that it is not exported to" stranger 'exports no secret .password. to session .stranger'
session team/db "$(service '{name: c, import: {session: store, secret: cert}}' 'PW: "$$SCONE::c$$"')"
refused "a session beside the one that may" team/db 'exports no secret'
session strict "$(service '{name: pw, kind: binary, import: {session: store, secret: password}}' 'PW: "$$SCONE::pw:hex$$"')"
refused "another kind" strict 'of kind ascii, it is imported as binary .*E-KIND'
session team/none "$(service '{name: pw, import: {session: nowhere, secret: password}}' 'PW: "$$SCONE::pw$$"')"
refused "no such exporter" team/none 'or there is no such session'
session team/inner "$(service '{name: pw, import: {session: store, secret: inner}}' 'PW: "$$SCONE::pw$$"')"
refused "a secret that nobody may import" team/inner 'exports no secret'
session team/key "$(service '{name: r, import: {session: store, secret: bytes}}' 'PW: "$$SCONE::r:base32$$"')"
sees "any format of its kind" team/key AD7RA=== 'echo "$PW"'

# The exporter changes: what it exports no more is gone at the next start, and a hash that was given holds no more.
printf 'name: store\nversion: "0.3"\npredecessor: %s\nsecrets:\n  - {name: bytes, kind: binary, value: 00ff10, export: {namespace: team}}\n' "$store" >"$base/update.yml"
expect "the exporter is updated" 0 -- "$bin/scone" session update "$base/update.yml"
refused "what is exported no more" team/web 'exports no secret .password.'
session team/pinned "$(service '{name: raw, import: {session: store, secret: bytes, session_hash: '"$store"'}}' 'RAW: "$$SCONE::raw:hex$$"')"
refused "a hash that the exporter had" team/pinned "has not the hash $store any more"
sees "without one it goes on" team/key AD7RA=== 'echo "$PW"'
holds "no message has shown the password" bash -c "! grep -qF -e '$password' '$base'/*.log '$err'"
