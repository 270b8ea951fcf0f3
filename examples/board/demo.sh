#!/bin/bash
# A board of a person and a program: the program, attested, approves only measurements on its list; see README.md.
#
# usage: demo.sh [--keep]     SCONE_BIN: directory of the programs (default build/bin of this tree)
set -uo pipefail

here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=examples/common.sh
. "$here/../common.sh"
names=(las cas)
base=$(mktemp -d "${TMPDIR:-/tmp}/scone-board.XXXXXX") || exit 1
trap finish EXIT
trap 'exit 130' INT TERM
approver=$bin/../examples/scone-approver
[[ -x $approver ]] || die "$approver is not built: run make"
start_services openssl curl

step "A person's key, made where it stays"
openssl genpkey -algorithm ed25519 -out "$base/ops.key" 2>/dev/null || die "openssl makes no key"
chmod 600 "$base/ops.key"
ops=$(openssl pkey -in "$base/ops.key" -pubout)

step "The approver: measured, with its list in its session"
good=$(printf 'a%.0s' {1..64}) better=$(printf 'b%.0s' {1..64}) unknown=$(printf 'c%.0s' {1..64})
cas=$(<"$base/cas.address")
pin=sha256//$(curl -s -k "https://$cas/v1/cas" | jq -r .certificate | openssl x509 -pubkey -noout |
	openssl pkey -pubin -outform DER | openssl dgst -sha256 -binary | base64)
measurement=$(scone measure "$approver") || die "$approver cannot be measured"
scone session create --set "CAS=$cas" --set "PIN=$pin" --set "APPROVER=$measurement" --set "APPROVED=$good"$'\n'"$better" \
	"$here/governance.yml" >"$base/out" 2>&1 || { indent "$base/out"; die "the approver's session is refused"; }
scone session create --set "WEB=$good" --set "OPS=$ops" "$here/shop.yml" >"$base/out" 2>&1 || { indent "$base/out"; die "the shop is refused"; }

propose() { scone session update --set "WEB=$1" --set "OPS=$ops" "$here/shop.yml" 2>/dev/null | cut -d' ' -f2; }
approve() { timeout 60 "$bin/scone" run --config-id governance/approver -- "$approver" 2>&1 | indent; }
state() { scone proposal list shop | awk -v id="$1" '$1 == id { print $2 }'; }
in_force() { scone session read shop | grep -c "$1"; }

step "An update to a measurement on the list"
id=$(propose "$better")
scone proposal show "$id" --key "$base/ops.key" | indent
proof "nothing has changed" test "$(in_force "$better")" = 0
scone proposal approve "$id" --key "$base/ops.key" | indent
proof "the person alone is not enough" test "$(state "$id")" = open
approve
proof "with the program it is in force" test "$(state "$id") $(in_force "$better")" = "passed 1"

step "One to a measurement that is not"
id=$(propose "$unknown")
scone proposal approve "$id" --key "$base/ops.key" | indent
approve
proof "the program has rejected it" test "$(state "$id") $(in_force "$unknown")" = "refused 0"

step "A program that approves all"
cp "$approver" "$base/approver"
printf '\0' >>"$base/approver"
proof "has another measurement and gets no ticket" \
	bash -c "! timeout 60 '$bin/scone' run --config-id governance/approver -- '$base/approver' 2>'$base/out' && grep -q 'measurement: .* seen' '$base/out'"
indent "$base/out"

step "The log"
scone audit verify "$base/cas/audit.log" | indent
proof "has every vote" test "$(grep -c '"event":"vote-' "$base/cas/audit.log")" = 4
