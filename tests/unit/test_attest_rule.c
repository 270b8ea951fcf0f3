/* Evidence against the session's mode and the service's measurements. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
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
	struct verdict v1 = evidence(TEE_SNP, 0x11), v2 = evidence(TEE_SNP, 0x22);
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
	struct verdict sim = evidence(TEE_SIM, 0x11), hw = evidence(TEE_TDX, 0x11);
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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
