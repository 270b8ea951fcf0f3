/* Dispatch by the first bytes of evidence. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include "crypto/key.h"
#include "evidence/sim.h"
#include "evidence/type.h"

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
	assert_string_equal(err.check, "format");
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
	assert_string_equal(err.check, "signature");
	EVP_PKEY_free(k);
}

static void test_every_check_has_a_name_of_its_own(void **state)
{
	for (int i = 0; i < CHECK_COUNT; i++) {
		const char *name = evidence_check_name((enum evidence_check)i);
		assert_non_null(name);
		assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-"), strlen(name));
		for (int k = 0; k < i; k++)
			assert_string_not_equal(name, evidence_check_name((enum evidence_check)k));
	}
	assert_null(evidence_check_name(CHECK_COUNT));
}

static void test_refusal(void **state)
{
	struct error err;
	assert_int_equal(evidence_refuse(&err, CHECK_CHAIN_ROOT, "root is %s, wanted %s", "a", "b"), -1);
	assert_int_equal(err.code, ERR_ATTEST);
	assert_string_equal(err.check, "chain-root");
	assert_string_equal(err.text, "root is a, wanted b");
	error_wrap(&err, "outer");
	assert_string_equal(err.check, "chain-root");
	evidence_refuse_bytes(&err, CHECK_FORMAT, "magic", "\x01\x02", "\x03\x04", 2);
	assert_string_equal(err.text, "magic is 0102, wanted 0304");
	error_set(&err, ERR_INPUT, "no refusal");
	assert_null(err.check);
	assert_int_equal(evidence_refuse(NULL, CHECK_FORMAT, "nobody listens"), -1);
}

/* A root of the context's own takes the place of the built-in ones, for its TEE only. */
static void test_roots(void **state)
{
	const uint8_t built_in[2][32] = {{1}, {2}}, other[32] = {3};
	const struct trust_root own = {TEE_SGX, {3}};
	struct verify_context ctx = {0};
	assert_true(verify_root_trusted(&ctx, TEE_SGX, built_in[1], built_in, 2));
	assert_false(verify_root_trusted(&ctx, TEE_SGX, other, built_in, 2));
	assert_false(verify_root_trusted(&ctx, TEE_SGX, built_in[1], built_in, 1));
	ctx.roots = &own;
	ctx.root_count = 1;
	assert_true(verify_root_trusted(&ctx, TEE_SGX, other, built_in, 2));
	assert_false(verify_root_trusted(&ctx, TEE_SGX, built_in[0], built_in, 2));
	assert_true(verify_root_trusted(&ctx, TEE_SNP, built_in[0], built_in, 2));
	assert_false(verify_root_trusted(&ctx, TEE_SNP, other, built_in, 2));
}

static void test_advisories(void **state)
{
	struct verdict v = {0};
	struct error err;
	char name[ADVISORY_NAME_MAX + 1];
	assert_int_equal(verdict_add_advisory(&v, "INTEL-SA-2", &err), 0);
	assert_int_equal(verdict_add_advisory(&v, "INTEL-SA-1", &err), 0);
	assert_int_equal(verdict_add_advisory(&v, "INTEL-SA-2", &err), 0);
	assert_int_equal(v.advisory_count, 2);
	assert_string_equal(v.advisories[0], "INTEL-SA-1");
	assert_string_equal(v.advisories[1], "INTEL-SA-2");
	assert_int_equal(verdict_add_advisory(&v, "", &err), -1);
	assert_int_equal(verdict_add_advisory(&v, "a b", &err), -1);
	memset(name, 'x', ADVISORY_NAME_MAX);
	name[ADVISORY_NAME_MAX] = '\0';
	assert_int_equal(verdict_add_advisory(&v, name, &err), -1);
	name[ADVISORY_NAME_MAX - 1] = '\0';
	assert_int_equal(verdict_add_advisory(&v, name, &err), 0);
	for (int i = 3; i < ADVISORY_MAX; i++) {
		(void)snprintf(name, sizeof(name), "n-%d", i);
		assert_int_equal(verdict_add_advisory(&v, name, &err), 0);
	}
	assert_int_equal(verdict_add_advisory(&v, "one-more", &err), -1);
	assert_int_equal(v.advisory_count, ADVISORY_MAX);
	assert_int_equal(verdict_add_advisory(&v, "INTEL-SA-1", &err), 0);
}

static void judged(const struct verdict *v, const struct tolerances *t, const char *check)
{
	struct error err = {0};
	assert_int_equal(verdict_judge(v, t, &err), check ? -1 : 0);
	if (check)
		assert_string_equal(err.check, check);
}

static void test_judge(void **state)
{
	static const uint32_t wanted[] = {
		[TCB_NOT_JUDGED] = 0,
		[TCB_UP_TO_DATE] = 0,
		[TCB_SW_HARDENING_NEEDED] = TOLERATE_SW_HARDENING,
		[TCB_CONFIGURATION_NEEDED] = TOLERATE_CONFIGURATION,
		[TCB_CONFIGURATION_AND_SW_HARDENING_NEEDED] = TOLERATE_CONFIGURATION | TOLERATE_SW_HARDENING,
		[TCB_OUT_OF_DATE] = TOLERATE_OUTDATED,
		[TCB_OUT_OF_DATE_CONFIGURATION_NEEDED] = TOLERATE_OUTDATED | TOLERATE_CONFIGURATION,
	};
	/* every status against every set of tolerances */
	for (int s = TCB_NOT_JUDGED; s < TCB_REVOKED; s++) {
		struct verdict v = {.tee = TEE_SGX, .tcb_status = (enum tcb_status)s};
		for (uint32_t set = 0; set < 16; set++) {
			struct tolerances t = {.set = set};
			judged(&v, &t, (set & wanted[s]) == wanted[s] ? NULL : "tcb-status");
		}
		judged(&v, NULL, wanted[s] ? "tcb-status" : NULL);
	}
	struct verdict v = {.tee = TEE_SGX, .tcb_status = TCB_REVOKED};
	struct tolerances all = {.set = ~0u, .all_advisories = true};
	judged(&v, &all, "tcb-status");
	v = (struct verdict){.tee = TEE_TDX, .tcb_status = TCB_UP_TO_DATE, .debug = true};
	judged(&v, NULL, "debug");
	judged(&v, &(struct tolerances){.set = ~(uint32_t)TOLERATE_DEBUG, .all_advisories = true}, "debug");
	judged(&v, &(struct tolerances){.set = TOLERATE_DEBUG}, NULL);
}

static void test_judge_advisories(void **state)
{
	static const char *const one[] = {"A-1"}, *const both[] = {"A-2", "A-1"};
	struct verdict v = {.tee = TEE_SGX, .tcb_status = TCB_OUT_OF_DATE};
	struct error err;
	assert_int_equal(verdict_add_advisory(&v, "A-1", &err) | verdict_add_advisory(&v, "A-2", &err), 0);
	/* neither stands for the other */
	judged(&v, &(struct tolerances){.set = TOLERATE_OUTDATED}, "advisory");
	judged(&v, &(struct tolerances){.all_advisories = true}, "tcb-status");
	judged(&v, &(struct tolerances){.set = TOLERATE_OUTDATED, .advisories = one, .advisory_count = 1},
		"advisory");
	judged(&v, &(struct tolerances){.set = TOLERATE_OUTDATED, .advisories = both, .advisory_count = 2},
		NULL);
	judged(&v, &(struct tolerances){.set = TOLERATE_OUTDATED, .all_advisories = true}, NULL);
}

static void test_bundle(void **state)
{
	struct evidence e = {.tee = TEE_SIM}, back;
	struct error err;
	struct buf out;
	uint8_t copy[64];
	e.item[ITEM_STATEMENT] = (struct bytes){(const uint8_t *)"stmt", 4};
	e.item[ITEM_EVENT_LOG] = (struct bytes){(const uint8_t *)"log", 3};
	buf_init(&out, 1000);
	assert_int_equal(evidence_write(&e, &out, &err), 0);
	assert_int_equal(out.len, 12 + 6 + 4 + 6 + 3);
	assert_int_equal(evidence_parse(out.data, out.len, TEE_NONE, &back, &err), 0);
	assert_int_equal(back.tee, TEE_SIM);
	assert_int_equal(back.item[ITEM_STATEMENT].n, 4);
	assert_memory_equal(back.item[ITEM_STATEMENT].p, "stmt", 4);
	assert_memory_equal(back.item[ITEM_EVENT_LOG].p, "log", 3);
	assert_null(back.item[ITEM_KEY].p);
	for (size_t n = 8; n < out.len; n++) {
		/* cut after the statement it is whole, but for the log */
		bool whole = n == 12 + 6 + 4;
		assert_int_equal(evidence_parse(out.data, n, TEE_NONE, &back, &err), whole ? 0 : -1);
		if (!whole)
			assert_string_equal(err.check, "format");
	}
	const struct {
		size_t at;
		uint8_t value;
		const char *check;
	} rows[] = {
		{9, 2, "version"},
		{11, 0, "format"},
		{11, 99, "format"},
		{13, 0, "format"},
		{13, ITEM_END, "format"},
		{17, 0, "format"},
		{17, 5, "format"},
		{23, ITEM_STATEMENT, "format"}, /* twice */
		{14, 1, "format"},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		memcpy(copy, out.data, out.len);
		copy[rows[i].at] = rows[i].value;
		assert_int_equal(evidence_parse(copy, out.len, TEE_NONE, &back, &err), -1);
		assert_string_equal(err.check, rows[i].check);
	}
	assert_int_equal(evidence_parse(out.data, out.len, TEE_SIM, &back, &err), 0);
	assert_int_equal(evidence_parse(out.data, out.len, TEE_SNP, &back, &err), -1);
	assert_string_equal(err.check, "type");
	buf_free(&out);
	buf_init(&out, 20);
	assert_int_equal(evidence_write(&e, &out, &err), -1);
	assert_int_equal(err.code, ERR_LIMIT);
	buf_free(&out);
}

static void test_type_words(void **state)
{
	assert_int_equal(tee_type_parse("sev-snp"), TEE_SNP);
	assert_int_equal(tee_type_parse("snp"), TEE_SNP);
	assert_int_equal(tee_type_parse("tdx"), TEE_TDX);
	assert_int_equal(tee_type_parse("none"), TEE_NONE);
	assert_int_equal(tee_type_parse(""), TEE_NONE);
}

static void test_json(void **state)
{
	struct verdict v = {.tee = TEE_SIM, .simulated = true, .launch = {0xab}, .launch_len = 48};
	struct error err;
	assert_int_equal(verdict_add_advisory(&v, "A-1", &err), 0);
	json_t *j = verdict_json(&v);
	assert_string_equal(json_string_value(json_object_get(j, "tee")), "sim");
	assert_int_equal(strlen(json_string_value(json_object_get(j, "launch"))), 96);
	assert_string_equal(json_string_value(json_array_get(json_object_get(j, "advisories"), 0)), "A-1");
	assert_string_equal(json_string_value(json_object_get(j, "tcb_status")), "NotJudged");
	assert_null(json_object_get(j, "measurement"));
	json_decref(j);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_unknown),
		cmocka_unit_test(test_sim),
		cmocka_unit_test(test_every_check_has_a_name_of_its_own),
		cmocka_unit_test(test_refusal),
		cmocka_unit_test(test_roots),
		cmocka_unit_test(test_advisories),
		cmocka_unit_test(test_judge),
		cmocka_unit_test(test_judge_advisories),
		cmocka_unit_test(test_bundle),
		cmocka_unit_test(test_type_words),
		cmocka_unit_test(test_json),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
