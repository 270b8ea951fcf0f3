/* Evidence against the session's mode and the service's measurements. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include "policy/session.h"

#define M1 "1111111111111111111111111111111111111111111111111111111111111111"
#define M2 "2222222222222222222222222222222222222222222222222222222222222222"

static struct session *make(const char *mode)
{
	struct session *s = NULL;
	struct diag d;
	struct buf doc;

	buf_init(&doc, 10000);
	diag_init(&d);
	buf_printf(&doc,
		"version: \"0.3\"\nname: ns/x\nsecurity: {attestation: {mode: %s}}\nservices:\n- name: svc\n "
		" pwd: /\n"
		"  attestation: [{mrenclave: %s}, {mrenclave: [%s]}]\n- {name: other, pwd: /, attestation: "
		"{mrenclave: %s}}\n",
		mode, M1, M2, M2);
	assert_int_equal(session_parse((char *)doc.data, doc.len, &s, &d), 0);
	diag_free(&d);
	buf_free(&doc);
	return s;
}

static struct verdict evidence(enum tee_type tee, uint8_t byte)
{
	struct verdict v = {.tee = tee, .simulated = tee == TEE_SIM};

	memset(v.measurement, byte, sizeof v.measurement);
	return v;
}

static int check(const char *mode, const char *service, const struct verdict *v, struct error *err)
{
	struct session *s = make(mode);
	int rc;

	memset(err, 0, sizeof *err);
	rc = attest_rule_check(s, session_service(s, service), v, err);
	session_free(s);
	return rc;
}

static void any_listed_measurement_matches(void **state)
{
	struct verdict v1 = evidence(TEE_SGX, 0x11), v2 = evidence(TEE_SGX, 0x22);
	struct error err;

	assert_int_equal(check("hardware", "svc", &v1, &err), 0);
	assert_int_equal(check("hardware", "svc", &v2, &err), 0);
	assert_int_equal(check("hardware", "other", &v2, &err), 0);
	assert_int_equal(check("hardware", "other", &v1, &err), -1);
}

static void another_measurement_is_refused_with_both_values(void **state)
{
	struct verdict v = evidence(TEE_SIM, 0x22);
	struct error err;

	v.measurement[31] ^= 1;
	assert_int_equal(check("simulation", "svc", &v, &err), -1);
	assert_int_equal(err.code, ERR_ATTEST);
	assert_string_equal(err.text,
		"measurement: ns/x/svc: seen "
		"2222222222222222222222222222222222222222222222222222222222222223, wanted " M1 " or " M2);
}

static void every_byte_of_the_measurement_counts(void **state)
{
	for (size_t i = 0; i < 32; i++) {
		struct verdict v = evidence(TEE_SNP, 0x22);
		struct error err;

		v.measurement[i] ^= 0x80;
		assert_int_equal(check("hardware", "other", &v, &err), -1);
	}
}

static void hardware_refuses_simulated_evidence_and_says_what_would_permit_it(void **state)
{
	struct verdict v = evidence(TEE_SIM, 0x11);
	struct error err;

	assert_int_equal(check("hardware", "svc", &v, &err), -1);
	assert_int_equal(err.code, ERR_ATTEST);
	assert_non_null(strstr(err.text, "seen simulated evidence (sim)"));
	assert_non_null(strstr(err.text, "`security: {attestation: {mode: simulation}}`"));
	assert_non_null(strstr(err.text, "gives up protection from the host"));
	/* Either mark is enough. */
	v.simulated = false;
	assert_int_equal(check("hardware", "svc", &v, &err), -1);
	v = evidence(TEE_TPM, 0x11);
	v.simulated = true;
	assert_int_equal(check("hardware", "svc", &v, &err), -1);
}

static void simulation_accepts_both(void **state)
{
	struct verdict sim = evidence(TEE_SIM, 0x11), hw = evidence(TEE_SGX, 0x11);
	struct error err;

	assert_int_equal(check("simulation", "svc", &sim, &err), 0);
	assert_int_equal(check("simulation", "svc", &hw, &err), 0);
}

static void debug_is_refused_in_both_modes(void **state)
{
	struct verdict v = evidence(TEE_SGX, 0x11);
	struct error err;

	v.debug = true;
	assert_int_equal(check("hardware", "svc", &v, &err), -1);
	assert_non_null(strstr(err.text, "debug"));
	assert_int_equal(check("simulation", "svc", &v, &err), -1);
	assert_int_equal(err.code, ERR_ATTEST);
}

static void no_evidence_is_refused_unless_none_is_wanted(void **state)
{
	struct verdict v = evidence(TEE_NONE, 0x11), other = evidence(TEE_SIM, 0x99);
	struct error err;

	assert_int_equal(check("hardware", "svc", &v, &err), -1);
	assert_int_equal(check("simulation", "svc", &v, &err), -1);
	assert_int_equal(check("none", "svc", &v, &err), 0);
	other.debug = true;
	assert_int_equal(check("none", "svc", &other, &err), 0);
}

static void a_service_without_measurements_matches_nothing(void **state)
{
	struct session *s = make("hardware");
	struct service bare = {.name = (char[]){"bare"}};
	struct verdict v = evidence(TEE_SNP, 0);
	struct error err;

	assert_int_equal(attest_rule_check(s, &bare, &v, &err), -1);
	session_free(s);
}

/* What security.attestation and one service say, against a verdict. */
static int judged(const char *attestation, const char *service, const struct verdict *v, struct error *err)
{
	struct session *s = NULL;
	struct diag d;
	struct buf doc;
	int rc;

	buf_init(&doc, 10000);
	diag_init(&d);
	buf_printf(&doc,
		"version: \"0.3\"\nname: x\nsecurity: {attestation: {%s}}\nservices: [{name: svc, %s}]\n",
		attestation, service);
	if (session_parse((char *)doc.data, doc.len, &s, &d) < 0)
		fail_msg("%s: %s", buf_cstr(&doc), d.count ? d.entries[0].text : "");
	memset(err, 0, sizeof *err);
	rc = attest_rule_check(s, session_service(s, "svc"), v, err);
	session_free(s);
	diag_free(&d);
	buf_free(&doc);
	return rc;
}

#define PLAIN "attestation: {mrenclave: " M1 "}"

static void debug_passes_only_when_it_is_named(void **state)
{
	struct verdict v = evidence(TEE_SGX, 0x11);
	struct error err;

	v.debug = true;
	assert_int_equal(judged("mode: hardware", PLAIN, &v, &err), -1);
	assert_string_equal(err.check, "debug");
	assert_non_null(strstr(err.text, "tolerate: [debug-mode]"));
	assert_int_equal(
		judged("tolerate: [hyperthreading, insecure-igpu, aepic-leak, software-hardening-needed, "
		       "insecure-configuration, outdated-tcb], ignore_advisories: '*'",
			PLAIN, &v, &err),
		-1);
	assert_string_equal(err.check, "debug");
	assert_int_equal(judged("tolerate: [debug-mode]", PLAIN, &v, &err), 0);
	/* and it stands for nothing else */
	v.measurement[0] ^= 1;
	assert_int_equal(judged("tolerate: [debug-mode]", PLAIN, &v, &err), -1);
	assert_string_equal(err.check, "measurement");
	v = evidence(TEE_SIM, 0x11);
	assert_int_equal(judged("tolerate: [debug-mode]", PLAIN, &v, &err), -1);
}

static void a_state_of_the_tcb_needs_its_word_and_its_advisories(void **state)
{
	static const struct {
		enum tcb_status status;
		const char *advisory, *attestation, *check;
	} rows[] = {
		{TCB_UP_TO_DATE, NULL, "mode: hardware", NULL},
		{TCB_OUT_OF_DATE, NULL, "mode: hardware", "tcb-status"},
		{TCB_OUT_OF_DATE, NULL, "tolerate: [outdated-tcb]", NULL},
		{TCB_OUT_OF_DATE, NULL, "tolerate: [debug-mode, insecure-configuration]", "tcb-status"},
		{TCB_CONFIGURATION_NEEDED, NULL, "tolerate: [insecure-configuration]", NULL},
		{TCB_SW_HARDENING_NEEDED, NULL, "tolerate: [software-hardening-needed]", NULL},
		{TCB_CONFIGURATION_AND_SW_HARDENING_NEEDED, NULL, "tolerate: [software-hardening-needed]",
			"tcb-status"},
		{TCB_REVOKED, NULL,
			"tolerate: [outdated-tcb, insecure-configuration, software-hardening-needed]",
			"tcb-status"},
		{TCB_UP_TO_DATE, "INTEL-SA-00615", "mode: hardware", "advisory"},
		{TCB_UP_TO_DATE, "INTEL-SA-00615", "ignore_advisories: [INTEL-SA-00614]", "advisory"},
		{TCB_UP_TO_DATE, "INTEL-SA-00615", "ignore_advisories: [INTEL-SA-00614, INTEL-SA-00615]",
			NULL},
		{TCB_OUT_OF_DATE, "INTEL-SA-00615", "tolerate: [outdated-tcb]", "advisory"},
		{TCB_OUT_OF_DATE, "INTEL-SA-00615", "ignore_advisories: [INTEL-SA-00615]", "tcb-status"},
		/* the wildcard is not for production */
		{TCB_UP_TO_DATE, "INTEL-SA-00615", "ignore_advisories: '*'", "advisory"},
		/* each of these words is for one advisory */
		{TCB_UP_TO_DATE, "INTEL-SA-00161", "tolerate: [hyperthreading]", NULL},
		{TCB_UP_TO_DATE, "INTEL-SA-00219", "tolerate: [hyperthreading]", "advisory"},
		{TCB_UP_TO_DATE, "INTEL-SA-00219", "tolerate: [insecure-igpu]", NULL},
		{TCB_UP_TO_DATE, "INTEL-SA-00657", "tolerate: [aepic-leak]", NULL},
		{TCB_OUT_OF_DATE, "INTEL-SA-00657", "tolerate: [aepic-leak]", "tcb-status"},
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct verdict v = evidence(TEE_SGX, 0x11);
		struct error err;
		int rc;

		v.tcb_status = rows[i].status;
		if (rows[i].advisory)
			assert_int_equal(verdict_add_advisory(&v, rows[i].advisory, &err), 0);
		rc = judged(rows[i].attestation, PLAIN, &v, &err);
		if (rc != (rows[i].check ? -1 : 0) ||
			(rows[i].check && strcmp(rows[i].check, err.check) != 0))
			fail_msg("row %zu: %d %s", i, rc, err.text);
		v.debug = true;
		if (strstr(rows[i].attestation, "'*'"))
			assert_int_equal(
				judged("tolerate: [debug-mode], ignore_advisories: '*'", PLAIN, &v, &err), 0);
	}
}

#define SIGNER "attestation: {signer: {mrsigner: " M2 ", isvprodid: 7"

static void signer_product_and_version_must_all_match(void **state)
{
	static const struct {
		const char *service;
		uint32_t product, version;
		bool other_signer, good;
	} rows[] = {
		{SIGNER "}}", 7, 0, false, true},
		{SIGNER "}}", 7, 65535, false, true},
		{SIGNER "}}", 8, 0, false, false},
		{SIGNER "}}", 7, 0, true, false},
		{SIGNER ", isvsvn: 3}}", 7, 3, false, true},
		{SIGNER ", isvsvn: 3}}", 7, 2, false, false},
		{SIGNER ", isvsvn: 3}}", 7, 4, false, false},
		{SIGNER ", isvsvn_min: 3, isvsvn_max: 5}}", 7, 3, false, true},
		{SIGNER ", isvsvn_min: 3, isvsvn_max: 5}}", 7, 5, false, true},
		{SIGNER ", isvsvn_min: 3, isvsvn_max: 5}}", 7, 2, false, false},
		{SIGNER ", isvsvn_min: 3, isvsvn_max: 5}}", 7, 6, false, false},
		{"attestation: {mrenclave: " M1 ", signer: {mrsigner: " M2 ", isvprodid: 7}}", 7, 0, false,
			true},
		{"attestation: {mrenclave: " M2 ", signer: {mrsigner: " M2 ", isvprodid: 7}}", 7, 0, false,
			false},
		{"attestation: [{mrenclave: " M2 "}, {signer: {mrsigner: " M2 ", isvprodid: 7}}]", 7, 0,
			false, true},
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct verdict v = evidence(TEE_SGX, 0x11);
		struct error err;

		memset(v.signer, rows[i].other_signer ? 0x23 : 0x22, 32);
		v.isvprodid = rows[i].product;
		v.isvsvn = rows[i].version;
		if (judged("mode: hardware", rows[i].service, &v, &err) != (rows[i].good ? 0 : -1))
			fail_msg("row %zu: %s", i, err.text);
		if (!rows[i].good)
			assert_string_equal(err.check, "measurement");
	}
}

/* A TEE that names no program or signer says zeros; a policy with zeros does not match them. */
static void nothing_named_matches_nothing(void **state)
{
	static const char zeros[] = "0000000000000000000000000000000000000000000000000000000000000000";
	struct verdict v = evidence(TEE_TDX, 0);
	char service[300];
	struct error err;

	(void)snprintf(service, sizeof service, "attestation: {mrenclave: %s}", zeros);
	assert_int_equal(judged("mode: hardware", service, &v, &err), -1);
	(void)snprintf(service, sizeof service, "attestation: {signer: {mrsigner: %s, isvprodid: 0}}", zeros);
	assert_int_equal(judged("mode: hardware", service, &v, &err), -1);
	assert_string_equal(err.check, "measurement");
}

#define ZEROS                                                                                                \
	"000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"

static void platforms_by_quoting_enclave_or_key(void **state)
{
	static const struct {
		const char *platforms;
		bool good;
	} rows[] = {
		{"['INTEL_QE_ID:33333333333333333333333333333333']", true},
		{"['INTEL_QE_ID:33333333333333333333333333333334']", false},
		{"[" M2 "]", true},
		{"[" M1 "]", false},
		{"[" M1 ", 'INTEL_QE_ID:33333333333333333333333333333333']", true},
	};

	for (size_t i = 0; i < 2 * sizeof rows / sizeof *rows; i++) {
		struct verdict v = evidence(i % 2 ? TEE_TDX : TEE_SGX, 0x11);
		char service[512];
		struct error err;

		memset(v.platform, 0x22, 32);
		if (v.tee == TEE_SGX)
			memset(v.detail.sgx.qe_id, 0x33, 16);
		else
			memset(v.detail.tdx.qe_id, 0x33, 16);
		v.launch_len = v.tee == TEE_TDX ? 48 : 32;
		(void)snprintf(service, sizeof service, "attestation: {mrenclave: %s%s}, platforms: %s", M1,
			v.tee == TEE_TDX ? ", machine: {tdx: {launch: '" ZEROS "'}}" : "",
			rows[i / 2].platforms);
		if (judged("mode: hardware", service, &v, &err) != (rows[i / 2].good ? 0 : -1))
			fail_msg("row %zu: %s", i, err.text);
		if (!rows[i / 2].good)
			assert_string_equal(err.check, "platform");
		v.measurement[5] ^= 1; /* a platform alone is not sufficient */
		assert_int_equal(judged("mode: hardware", service, &v, &err), -1);
		/* no effect but in hardware mode */
		v.measurement[5] ^= 1;
		assert_int_equal(judged("mode: simulation", service, &v, &err), 0);
	}
	/* the id of a quoting enclave is Intel's only */
	struct verdict v = evidence(TEE_SNP, 0x11);
	struct error err;

	assert_int_equal(
		judged("mode: hardware",
			PLAIN ", platforms: ['INTEL_QE_ID:00000000000000000000000000000000']", &v, &err),
		-1);
	assert_string_equal(err.check, "platform");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_listed_measurement_matches),
		cmocka_unit_test(another_measurement_is_refused_with_both_values),
		cmocka_unit_test(every_byte_of_the_measurement_counts),
		cmocka_unit_test(hardware_refuses_simulated_evidence_and_says_what_would_permit_it),
		cmocka_unit_test(simulation_accepts_both),
		cmocka_unit_test(debug_is_refused_in_both_modes),
		cmocka_unit_test(no_evidence_is_refused_unless_none_is_wanted),
		cmocka_unit_test(a_service_without_measurements_matches_nothing),
		cmocka_unit_test(debug_passes_only_when_it_is_named),
		cmocka_unit_test(a_state_of_the_tcb_needs_its_word_and_its_advisories),
		cmocka_unit_test(signer_product_and_version_must_all_match),
		cmocka_unit_test(nothing_named_matches_nothing),
		cmocka_unit_test(platforms_by_quoting_enclave_or_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
