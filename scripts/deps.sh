#!/usr/bin/env bash
# Installs what is missing for building, testing and the examples, from Debian 12, by name. Silent when nothing is missing.
# scripts/deps.sh -l prints the list.
set -euo pipefail

# package: why
packages=$(sed 's/^[[:space:]]*//' <<'LIST'
	gcc: the compiler; its sanitizer libraries
	libc6-dev: headers and static C library (the runtime is static-pie)
	make: front of the build
	meson: build description
	ninja-build: build
	pkg-config: finds the libraries below
	libssl-dev: OpenSSL 3: cryptography and TLS, shared and static
	libjansson-dev: JSON
	libevent-dev: event loop and HTTP of CAS
	libyaml-dev: session files
	libsqlite3-dev: store of CAS
	libcurl4-openssl-dev: CAS talks to etcd
	libcapstone-dev: x86-64 decoder of the rewriter
	libtss2-dev: TPM 2.0: the tpm driver, and its way to a TPM
	libcmocka-dev: unit tests
	scdoc: manual pages
	clang-format: formatting check
	shellcheck: check of the scripts
	musl-tools: test programs with musl's forms of system calls
	mariadb-server: the example: server with file_key_management
	mariadb-client: the example: ordinary client
	redis-server: conformance test
	redis-tools: conformance test, client
	tcl: Redis' own tests, a suite of make conformance
	python3: conformance test; rounds and tables of the benchmarks
	python3-venv: environment of the example with PySpark
	libpython3.11-testsuite: CPython's own tests, a suite of make conformance
	nginx: benchmark, server; the example with mutual TLS
	wrk: benchmark, load of nginx
	runsc: benchmark: gVisor, the peer
	stunnel4: benchmark of the network shield: the peer
	gnuplot-nox: pictures of the benchmarks
	gocryptfs: benchmark of volumes: the peer
	fuse3: mounts the peer
	sysbench: benchmark of volumes: load of MariaDB
	swtpm: tests: a whole TPM 2.0 in a process
	swtpm-tools: tests: certificates of a TPM's maker
	tshark: tests: what goes over the network
	iproute2: tests: network namespaces
	util-linux: tests: programs in them
	memcached: tests: a pair under the network shield
	python3-requests: tests: a pair under the network shield
	postgresql-15: tests: a pair under the network shield
	gnupg: tests: the other hand on OpenPGP keys
	openssl: tests: certificates by another hand
	sqlite3: tests: looks into the store of CAS
	etcd-server: tests: the store of several CAS
	etcd-client: tests: looks into it
	jq: tests: reads JSON
	curl: tests: another HTTPS client
	chromium: tests: the web console in a browser
	chromium-driver: tests: drives it
	libnss3-tools: tests: gives it a client certificate
	procps: tests: pgrep, ps
LIST
)
# command: package that has it. Any version that the PATH already has will do.
toolchains=$(sed 's/^[[:space:]]*//' <<'LIST'
	go: golang-go
	java: default-jdk-headless
	javac: default-jdk-headless
	node: nodejs
	rustc: rustc
	R: r-base-core
LIST
)

if [ "${1:-}" = -l ]; then
	printf '%s\n' "$packages"
	while IFS=': ' read -r cmd p; do echo "$p: conformance test, if there is no $cmd in the PATH"; done <<<"$toolchains"
	exit 0
fi

mapfile -t wanted < <(cut -d: -f1 <<<"$packages")
have=$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' "${wanted[@]}" 2>/dev/null || true)
missing=()
for p in "${wanted[@]}"; do
	grep -qx "$p installed" <<<"$have" || missing+=("$p")
done
while IFS=': ' read -r cmd p; do
	command -v "$cmd" >/dev/null || [[ " ${missing[*]-} " == *" $p "* ]] || missing+=("$p")
done <<<"$toolchains"
[ ${#missing[@]} -gt 0 ] || exit 0

echo "deps: installing ${missing[*]}"
as_root=()
if [ "$(id -u)" -ne 0 ]; then
	sudo -n true 2>/dev/null || {
		echo "deps: not root and no sudo without a password; as root: apt-get install --no-install-recommends ${missing[*]}" >&2
		exit 1
	}
	as_root=(sudo -n)
fi
# No questions; and the servers among them are wanted as programs, not as running services.
quiet=(env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 SYSTEMD_OFFLINE=1)
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { "${as_root[@]}" "${quiet[@]}" apt-get update &&
	"${as_root[@]}" "${quiet[@]}" apt-get install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
	tail -n 20 "$log" >&2
	echo "deps: apt-get failed; the end of its output is above" >&2
	exit 1
fi
