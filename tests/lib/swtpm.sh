# shellcheck shell=bash
# shellcheck disable=SC2154 # variables of e2e.sh
# TPMs for the scripts: swtpm, a whole TPM 2.0 in a process. Sourced after e2e.sh.

# boot NAME: a TPM with the state of that name, started or started again, as this machine's: SCONE_TPM, and $tcti_NAME
boot() {
	local port try i
	mkdir -p "$base/$1.tpm"
	for ((try = 0; try < 20; try++)); do
		port=$((20000 + RANDOM % 20000))
		start "tpm_$1" swtpm socket --tpm2 --tpmstate "dir=$base/$1.tpm" --server "type=tcp,port=$port,bindaddr=127.0.0.1" \
			--ctrl "type=tcp,port=$((port + 1)),bindaddr=127.0.0.1" --flags not-need-init,startup-clear
		export SCONE_TPM=swtpm:host=127.0.0.1,port=$port
		for ((i = 0; i < 100; i++)); do
			kill -0 "${pid[tpm_$1]}" 2>/dev/null || break
			if "$bin/scone" tee probe 2>/dev/null | grep -q '^tpm *yes'; then
				printf -v "tcti_$1" %s "$SCONE_TPM"
				return 0
			fi
			sleep 0.1
		done
		end_process "tpm_$1"
	done
	return 1
}

# manufacture NAME CA [SETUP OPTION…]: the TPM of that name as its maker delivers it, with certificates of its endorsement keys (RSA 2048, ECC P-384) by the CA of that name:
# $base/CA.pem has the maker's, the root last. Before boot NAME.
manufacture() {
	local ca=$base/$2.ca tpm=$base/$1.tpm
	mkdir -p "$ca" "$tpm"
	printf 'statedir = %s\nsigningkey = %s/key.pem\nissuercert = %s/issuer.pem\ncertserial = %s/serial\n' "$ca" "$ca" "$ca" "$ca" >"$ca/ca.conf"
	printf -- '--platform-manufacturer OpenSCONE\n--platform-version 1\n--platform-model test\n' >"$ca/options"
	printf 'create_certs_tool = %s\ncreate_certs_tool_config = %s\ncreate_certs_tool_options = %s\n' \
		"$(command -v swtpm_localca)" "$ca/ca.conf" "$ca/options" >"$ca/setup.conf"
	swtpm_setup --tpm2 --tpmstate "$tpm" --create-ek-cert --config "$ca/setup.conf" --overwrite "${@:3}" >"$ca/setup.log" 2>&1 &&
		cat "$ca/issuer.pem" "$ca/swtpm-localca-rootca-cert.pem" >"$base/$2.pem"
}
