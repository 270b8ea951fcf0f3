#!/bin/bash
# The board from the command line, as docs/cli.md has it: a session is signed by two, proposed, shown, approved online and offline, refused, withdrawn.
set -uo pipefail

# shellcheck source=tests/lib/e2e.sh
. "$(dirname "$0")/../lib/e2e.sh" board

equal() { holds "$1 ($3)" test "$3" = "$2"; }
contains() { if [[ $3 == *"$2"* ]]; then ok "$1"; else not_ok "$1" "no '$2' in: ${3:0:400}"; fi; }
scone=$bin/scone
start_cas cas || exit 2
"$scone" cas add c "$address" --trust-first >/dev/null || exit 2
cd "$base" || exit 2
for k in ops legal k1; do
	openssl genpkey -algorithm ed25519 -out "$k.key" 2>/dev/null
	openssl pkey -in "$k.key" -pubout >"$k.pub"
done
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384 -out sec.key 2>/dev/null
openssl pkey -in sec.key -pubout >sec.pub
chmod 600 ./*.key

# shellcheck disable=SC2317
pem() { sed 's/^/        /' "$1.pub"; }
document() { # salt
	printf 'name: app\nversion: "0.3"\nsalt: "%032d"\nboard:\n  members:\n' "$1"
	for m in ops sec legal; do
		printf '    - name: %s\n      key: |\n%s\n' "$m" "$(pem $m)"
		[ $m != legal ] || echo '      veto: true'
	done
	printf '  approvals: 2\n'
}

document 1 >app.yml
holds create "$scone" session create app.yml
document 2 >app.yml
"$scone" session update app.yml >said 2>warned
equal "an update is a proposal: exit code" 0 $?
id=$(cut -d' ' -f2 said)
equal "its number" 64 "$(printf %s "$id" | wc -c)"
contains "and it says so" "nothing is changed yet" "$(<warned)"
short=$(printf %.8s "$id")
contains "list" "$id open update app 0/2" "$("$scone" proposal list app)"
"$scone" proposal show "$short" --key ops.key >shown
contains "show: the difference" '+salt: "00000000000000000000000000000002"' "$(<shown)"
contains "show: members" "legal (veto)" "$(<shown)"
equal "no key, no vote" 4 "$("$scone" proposal approve "$id" >/dev/null 2>&1; echo $?)"
equal "not with this new hash" 6 "$("$scone" proposal approve "$id" --key ops.key --hash "$(printf %064d 0)" >/dev/null 2>&1; echo $?)"
contains "approve online" "open update app 1/2" "$("$scone" proposal approve "$short" --key ops.key)"
equal "not twice" 6 "$("$scone" proposal approve "$short" --key ops.key >/dev/null 2>&1; echo $?)"
chmod 644 sec.key
equal "a key that others can read is refused" 7 "$("$scone" proposal approve "$short" --key sec.key >/dev/null 2>&1; echo $?)"
chmod 600 sec.key

# Offline: the file goes to a machine without CAS, the vote comes back.
"$scone" proposal show "$id" --key legal.key --json >proposal.json
SCONE_HOME="$base/elsewhere" "$scone" proposal approve --offline proposal.json --key legal.key >vote.json
equal "approve offline" 0 $?
sed 's/00000000000000000000000000000002/00000000000000000000000000000003/' proposal.json >other.json
equal "a document that is not the one proposed is not signed" 6 \
	"$("$scone" proposal approve --offline other.json --key legal.key >/dev/null 2>&1; echo $?)"
sed 's/"new": "[0-9a-f]*"/"new": "'"$(printf %064d 7)"'"/' proposal.json >other.json
equal "nor under another hash" 6 "$("$scone" proposal approve --offline other.json --key legal.key >/dev/null 2>&1; echo $?)"
sed 's/approve/reject/' vote.json >forged.json
equal "a vote that was changed is refused" 7 "$("$scone" proposal vote forged.json >/dev/null 2>&1; echo $?)"
contains "vote" "passed update app" "$("$scone" proposal vote vote.json)"
contains "in force" 'salt: "00000000000000000000000000000002"' "$("$scone" session read app)"
equal "and not again" 6 "$("$scone" proposal vote vote.json >/dev/null 2>&1; echo $?)"

document 3 >app.yml
id=$("$scone" session update app.yml 2>/dev/null | cut -d' ' -f2)
contains "reject" "refused update app" "$("$scone" proposal reject "$id" --key legal.key)"
document 4 >app.yml
id=$("$scone" session update app.yml 2>/dev/null | cut -d' ' -f2)
contains "withdraw" "withdrawn update app" "$("$scone" proposal withdraw "$id")"
id=$("$scone" session delete app 2>/dev/null | cut -d' ' -f2)
contains "deletion is asked for" "$id open delete app" "$("$scone" proposal list app)"
"$scone" proposal approve "$id" --key sec.key >/dev/null
contains "and done" "passed delete app" "$("$scone" proposal approve "$id" --key legal.key)"
equal "it is gone" 5 "$("$scone" session read app >/dev/null 2>&1; echo $?)"

# Signed sessions.
printf 'name: sig\nversion: "0.3"\naccess_policy:\n  read: ANY\n  update:\n    require-all:\n      - signer: |\n%s\n      - signer: |\n%s\n' \
	"$(pem ops | sed 's/^/  /')" "$(pem sec | sed 's/^/  /')" >sig.yml
"$scone" session sign sig.yml --key ops.key >sig1.json
equal sign 0 $?
holds "create what is signed" "$scone" session create sig1.json
"$scone" session read sig --for-update >sig.yml
"$scone" session sign sig.yml --key ops.key >sig1.json
equal "one signature is not enough" 7 "$("$scone" session update sig1.json >/dev/null 2>&1; echo $?)"
"$scone" session add-signature sig1.json --key sec.key >sig2.json
equal "not twice by one key" 6 "$("$scone" session add-signature sig2.json --key sec.key >/dev/null 2>&1; echo $?)"
holds "two are" "$scone" session update sig2.json
equal "no signing of what is signed" 4 "$("$scone" session sign sig1.json --key sec.key >/dev/null 2>&1; echo $?)"
sed 's/read: ANY/read: NONE/' sig2.json >forged.json
equal "a changed one is refused" 4 "$("$scone" session update forged.json >/dev/null 2>&1; echo $?)"
printf 'name: [\n' >bad.yml
equal "what CAS would refuse is not signed" 4 "$("$scone" session sign bad.yml --key ops.key >/dev/null 2>&1; echo $?)"
