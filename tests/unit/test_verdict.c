/* Dispatch by the first bytes of evidence. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "crypto/key.h"
#include "evidence/sim.h"

static void test_names(void **state)
{
	assert_string_equal(tee_type_name(TEE_SIM), "sim");
	assert_string_equal(tee_type_name(TEE_TPM), "tpm");
	assert_string_equal(tee_type_name(TEE_SNP), "sev-snp");
	assert_string_equal(tee_type_name(TEE_TDX), "tdx");
	assert_string_equal(tee_type_name(TEE_SGX), "sgx");
	assert_string_equal(tee_type_name(TEE_NITRO), "nitro");
}

static void test_unknown(void **state)
{
	struct verify_context ctx = {.now = 1800000000};
	struct verdict v;
	struct error err;
	const struct {
		const char *p;
		size_t n;
	} rows[] = {{"", 0}, {"S", 1}, {"SCONESI", 7}, {"SCONESIN and more", 17}, {"\0\0\0\0\0\0\0\0", 8}};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		assert_int_equal(evidence_verify((const uint8_t *)rows[i].p, rows[i].n, &ctx, &v, &err), -1);
		assert_int_equal(err.code, ERR_INPUT);
	}
	/* Known type, cut off: that type's verifier refuses. */
	assert_int_equal(evidence_verify((const uint8_t *)SIM_EVIDENCE_MAGIC, 8, &ctx, &v, &err), -1);
	assert_int_equal(err.code, ERR_ATTEST);
}

static void test_sim(void **state)
{
	struct sim_evidence e;
	struct verify_context ctx = {.now = 1800000000};
	struct verdict v;
	struct error err;
	EVP_PKEY *k;
	const uint8_t digest[32] = {1}, root[32] = {2}, data[REPORT_DATA_LEN] = {3};
	assert_int_equal(key_generate(KEY_ED25519, &k, &err), 0);
	assert_int_equal(sim_evidence_make(k, digest, root, data, 1800000000, 0, &e, &err), 0);
	assert_int_equal(evidence_verify((const uint8_t *)&e, sizeof(e), &ctx, &v, &err), 0);
	assert_int_equal(v.tee, TEE_SIM);
	assert_memory_equal(v.report_data, data, REPORT_DATA_LEN);
	e.report_data[0] ^= 1;
	assert_int_equal(evidence_verify((const uint8_t *)&e, sizeof(e), &ctx, &v, &err), -1);
	assert_int_equal(err.code, ERR_ATTEST);
	EVP_PKEY_free(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_unknown),
		cmocka_unit_test(test_sim),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
