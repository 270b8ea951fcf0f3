# Thin: meson and ninja build, scripts/ do the rest. Each target works as the first command on a fresh Debian 12.
PREFIX ?= /usr/local
BUILD = build
FUZZ_RUNS ?= 500000
FUZZ_SEED ?= 1

all: deps
	@scripts/build.sh $(BUILD)

# What is missing, from Debian, by name; scripts/deps.sh has the list.
deps:
	@scripts/deps.sh

# MariaDB gets its key only after it has proved what it is; with TEE=tpm on a machine whose evidence is a TPM's (swtpm).
demo: all
	@TEE=$(or $(TEE),sim) examples/mariadb/demo.sh

# A Spark job reads a column that only attested code can read. Takes PySpark from PyPI; no part of check.
demo-pyspark: all
	@examples/pyspark/demo.sh

# Every test; the last line is "N passed, N failed".
check: deps
	@scripts/check.sh

# Natively against under the runtime: programs of tests/conformance and the long suites of tests/suites. Takes hours; less with
# CASES='go* java' (these programs), SUITES='cpython:test_os bash' (these suites), or both.
conformance: all
	@tests/suites/run.py $(if $(CASES)$(if $(SUITES),,all),--programs="$(CASES)") $(or $(SUITES),$(if $(CASES),-))

# Every figure that the documents quote.
bench: bench-runtime bench-pyspark bench-evidence bench-cas bench-fs bench-net

# The runtime against native and gVisor: make bench-runtime LINES='redis* compile'; bench/runtime.sh --list has the names.
bench-runtime: all
	@bench/runtime.sh $(LINES)

# The queries of examples/pyspark natively and under the runtime: make bench-pyspark QUERIES='q1*'
bench-pyspark: all
	@bench/pyspark.sh $(QUERIES)

# Files on an encrypted volume, natively and on gocryptfs: make bench-fs LINES='pread create'
bench-fs: all
	@bench/fs.sh $(LINES)

# The network shield against programs' own TLS, stunnel4 and plain TCP: make bench-net LINES='redis* connect'
bench-net: all
	@bench/net.sh $(LINES)

# One CAS on SQLite and three on etcd, against TLS handshakes of OpenSSL on the same core; 10,000 sessions, 100,000 secrets.
# make bench-cas LINES='sqlite-attest *-volumes'; bench/cas.py has the names.
bench-cas: all
	@ninja -C $(BUILD) --quiet bench/cas_load && python3 -B bench/cas.py $(BUILD)/bin $(BUILD)/bench/cas_load $(BUILD)/bench $(LINES)

# Verifications of evidence per second on one core, by type; what a start costs that attests, by what vouches for the machine.
bench-evidence: all
	@ninja -C $(BUILD) --quiet bench/bench-evidence && $(BUILD)/bench/bench-evidence
	@bench/machines.py

# Every bit and every length of evidence of all types, real and made; make check takes samples. About ten minutes.
evidence: all
	@$(BUILD)/tests/unit/test_every_change full
	@$(BUILD)/tests/unit/test_intel_vectors full

# The stress set in a loop, two programs at a time, for STRESS_SECONDS (600); the last line is "N passed, N failed".
stress: all
	@tests/stress/run.sh $(or $(STRESS_SECONDS),600)

# Three etcd and three CAS, each killed with -9 several times while clients work; make check does one of each.
cluster: all
	@CLUSTER_ROUNDS=$(or $(CLUSTER_ROUNDS),3) tests/e2e/cas_cluster.py

fuzz: all
	@scripts/fuzz.sh $(FUZZ_SEED) $(FUZZ_RUNS)

# Every crash of a volume, and everything a host can do to one; make check takes samples.
crash: all
	@FULL=1 tests/crash/volume.sh

tamper: all
	@FULL=1 tests/tamper/volume.sh

# MariaDB, PostgreSQL, Redis, git, Python, gcc, tar, R and Java on an encrypted volume, with kills; takes some minutes.
volume-programs: all
	@tests/programs/volume.sh

# Pairs of programs under the network shield in two network namespaces, everything captured: make net-programs PAIRS='redis java'
net-programs: all
	@tests/programs/net_programs.py $(PAIRS)

# CPython's tests of sockets with their connections under the network shield: make net-suites SUITES='test_socket'
net-suites: all
	@tests/programs/net_suites.sh $(SUITES)

# kill -9 at random moments, KILL_ROUNDS (200) under SQLite and as many under MariaDB; make check does some.
volume-kills: all
	@KILL_ROUNDS=$(or $(KILL_ROUNDS),200) tests/crash/volume_kills.py

# Two processes, random operations on a volume against a model, for FSX_SECONDS (600); make check does a few seconds.
volume-fsx: all
	@FSX_SECONDS=$(or $(FSX_SECONDS),600) tests/crash/volume_fsx.sh

# docs/syscalls.md, from the runtime's table.
docs: all
	@ninja -C $(BUILD) docs

format: deps
	@scripts/format.sh -i

install: all
	@meson configure $(BUILD) -Dprefix=$(abspath $(PREFIX)) && meson install -C $(BUILD) --quiet $(if $(DESTDIR),--destdir $(DESTDIR))

clean:
	rm -rf build build-asan build-tsan

.PHONY: all deps demo demo-pyspark check conformance bench bench-runtime bench-pyspark bench-evidence bench-cas bench-fs bench-net evidence stress cluster fuzz volume-programs net-programs net-suites volume-kills volume-fsx docs format install clean
