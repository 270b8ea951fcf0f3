# shellcheck shell=bash
# shellcheck disable=SC2154,SC2034 # variables of demo.sh
# What demo.sh proves of machines with a TPM, when all else is done. Sourced by it.

step "A genuine machine is not enough: the policy says which"
grep -v '^        machine:' "$session" >"$base/any.yml"
create mariadb-demo-any "$base/any.yml" >"$base/any.out" 2>&1 || { indent "$base/any.out"; die "the session is refused"; }
proof "a session that does not say how the machine must have started: refused" server_refused mariadb-demo-any 'the word of a machine (tpm)'
sed "s/platforms: .*/platforms: [$(printf '00%.0s' {1..32})]/" "$session" >"$base/other.yml"
create mariadb-demo-other "$base/other.yml" >"$base/other.out" 2>&1 || { indent "$base/other.out"; die "the session is refused"; }
proof "a session for another machine: refused, with the platform seen" server_refused mariadb-demo-other "seen key $platform"
# Whoever has root on some host can simulate one.
"$bin/scone-las" --tee sim --socket "$base/sim.sock" --dir "$base/sim" --runtime "$bin/scone-runtime" >>"$base/sim.log" 2>&1 &
pid[sim]=$!
names+=(sim)
wait_for sim 30 "the socket of a simulating LAS" test -S "$base/sim.sock" || die "a simulating LAS does not start"
proof "simulated evidence of the same code: refused" refused simulat -- env "SCONE_LAS_ADDR=$base/sim.sock" \
	"$bin/scone" run --config-id mariadb-demo/mariadbd "${server_code[@]}" -- "$server_program"
stop sim

# --- a machine that was changed -------------------------------------------------------------------------------------------------------

restart_machine() { # PCR=TEXT…: the machine boots again
	stop las
	boot machine "$@" && start_las
}
pcr_of() { "${on_machine[@]}" "$bin/scone" tee probe --json | jq -r --arg n "$1" '.[] | select(.driver == "tpm") | .says.pcrs_sha256[$n]'; }
run_copy_again() {
	cp "$server_program" "$copy"
	timeout 60 "$bin/scone" run --config-id mariadb-demo/copy -- "$copy" >"$base/copy.out" 2>&1
	indent "$base/copy.out"
	grep -q 'Ver .*MariaDB' "$base/copy.out"
}

step "A machine that boots another kernel is refused"
wanted=$(pcr_of 4)
restart_machine "${boot_honest[0]}" '4=another kernel' "${boot_honest[2]}" || die "the machine does not boot"
seen=$(pcr_of 4)
say "PCR 4 is $seen now"
proof "PCR 4 changed: refused by CAS, with the value seen and the one wanted" server_refused mariadb-demo "PCR 4 is $seen" "wanted $wanted"
restart_machine "${boot_honest[@]}" || die "the machine does not boot"
proof "control: with the kernel it had, the machine is believed again" run_copy_again

# --- CAS's database of yesterday ------------------------------------------------------------------------------------------------------

start_cas_refused() { # PATTERN…: on the directory as it is
	refused "$@" -- "${on_cas[@]}" "$bin/scone-cas" --tee tpm --listen 127.0.0.1:0 --dir "$base/cas"
}
step "CAS's database cannot be put back to yesterday's"
stop cas
cp -a "$base/cas" "$base/cas.yesterday"
start_cas || die "CAS does not start again"
proof "today something is changed: a session is deleted" quietly scone session delete mariadb-demo-any
stop cas
mv "$base/cas" "$base/cas.today"
cp -a "$base/cas.yesterday" "$base/cas"
proof "CAS on yesterday's copy, complete and consistent: refused by the counter of its TPM" start_cas_refused counter
rm -rf "$base/cas"
mv "$base/cas.today" "$base/cas"
proof "control: on today's database it starts" start_cas
proof "and the machine is enrolled still" run_copy_again
