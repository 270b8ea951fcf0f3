/* Sim evidence: what is made verifies; every changed bit, every truncation and every wrong claim is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "crypto/key.h"
#include "evidence/sim.h"
#include "measure/measure.h"

#define NOW 1800000000ull

static EVP_PKEY *platform;
static uint8_t runtime_digest[32], root[32], report_data[REPORT_DATA_LEN];

static int setup(void **state)
{
	struct error err;
	for (int i = 0; i < 32; i++) {
		runtime_digest[i] = (uint8_t)(i + 1);
		root[i] = (uint8_t)(200 - i);
	}
	for (int i = 0; i < REPORT_DATA_LEN; i++)
		report_data[i] = (uint8_t)(i * 3);
	return key_generate(KEY_ED25519, &platform, &err);
}

static int teardown(void **state)
{
	EVP_PKEY_free(platform);
	return 0;
}

static struct sim_evidence make(uint64_t issued_at, uint32_t flags)
{
	struct sim_evidence e;
	struct error err;
	assert_int_equal(
		sim_evidence_make(platform, runtime_digest, root, report_data, issued_at, flags, &e, &err),
		0);
	return e;
}

/* Sign again after a field was changed: then only the check of that field can refuse. */
static void resign(struct sim_evidence *e, EVP_PKEY *k)
{
	struct buf sig;
	struct error err;
	buf_init(&sig, 64);
	assert_int_equal(key_ed25519_public_raw(k, e->platform_key, &err), 0);
	assert_int_equal(key_sign(k, e, offsetof(struct sim_evidence, signature), &sig, &err), 0);
	assert_int_equal(sig.len, 64);
	memcpy(e->signature, sig.data, 64);
	buf_free(&sig);
}

static void refused(
	const struct sim_evidence *e, size_t n, const struct verify_context *ctx, const char *word)
{
	struct verdict v, untouched;
	struct error err = {0};
	memset(&v, 0x5a, sizeof(v));
	memcpy(&untouched, &v, sizeof(v));
	assert_int_equal(sim_evidence_verify((const uint8_t *)e, n, ctx, &v, &err), -1);
	assert_int_equal(err.code, ERR_ATTEST);
	if (!strstr(err.text, word))
		fail_msg("\"%s\" does not speak of \"%s\"", err.text, word);
	assert_memory_equal(&v, &untouched, sizeof(v));
}

static void test_valid(void **state)
{
	struct sim_evidence e = make(NOW, 0);
	struct verify_context ctx = {.now = NOW, .report_data = report_data};
	struct verdict v;
	struct error err;
	uint8_t want[32];
	assert_int_equal(sim_evidence_verify((const uint8_t *)&e, sizeof(e), &ctx, &v, &err), 0);
	assert_int_equal(v.tee, TEE_SIM);
	assert_true(v.simulated);
	assert_false(v.debug);
	assert_int_equal(v.issued_at, NOW);
	measurement(runtime_digest, root, want);
	assert_memory_equal(v.measurement, want, 32);
	assert_memory_equal(v.runtime_digest, runtime_digest, 32);
	assert_memory_equal(v.manifest_root, root, 32);
	assert_memory_equal(v.report_data, report_data, REPORT_DATA_LEN);
	assert_int_equal(key_hash(platform, want, &err), 0);
	assert_memory_equal(v.platform, want, 32);
	memset(want, 0, 32);
	assert_memory_equal(v.signer, want, 32);
}

static void test_debug_flag(void **state)
{
	struct sim_evidence e = make(NOW, SIM_FLAG_DEBUG);
	struct verify_context ctx = {.now = NOW};
	struct verdict v;
	struct error err;
	assert_int_equal(sim_evidence_verify((const uint8_t *)&e, sizeof(e), &ctx, &v, &err), 0);
	assert_true(v.debug);
	assert_int_equal(
		sim_evidence_make(platform, runtime_digest, root, report_data, NOW, 2, &e, &err), -1);
}

static void test_every_bit(void **state)
{
	const struct sim_evidence good = make(NOW, 0);
	struct verify_context ctx = {.now = NOW, .report_data = report_data};
	struct verdict v;
	struct error err;
	for (size_t bit = 0; bit < 8 * sizeof(good); bit++) {
		struct sim_evidence e = good;
		((uint8_t *)&e)[bit / 8] ^= (uint8_t)(1u << bit % 8);
		if (sim_evidence_verify((const uint8_t *)&e, sizeof(e), &ctx, &v, &err) == 0)
			fail_msg("accepted with bit %zu changed", bit);
		assert_int_equal(err.code, ERR_ATTEST);
	}
}

static void test_every_length(void **state)
{
	struct {
		struct sim_evidence e;
		uint8_t more[8];
	} long_one = {.e = make(NOW, 0)};
	struct verify_context ctx = {.now = NOW};
	for (size_t n = 0; n < sizeof(long_one); n++)
		if (n != sizeof(long_one.e))
			refused(&long_one.e, n, &ctx, "bytes, wanted 280");
}

/* Signed by the platform, and still wrong: each check by itself. */
static void test_signed_lies(void **state)
{
	struct verify_context ctx = {.now = NOW, .report_data = report_data};
	struct sim_evidence e = make(NOW, 0);
	e.magic[0] ^= 1;
	resign(&e, platform);
	refused(&e, sizeof(e), &ctx, "magic");
	e = make(NOW, 0);
	e.version[3] = 2;
	resign(&e, platform);
	refused(&e, sizeof(e), &ctx, "version is 2, wanted 1");
	e = make(NOW, 0);
	e.flags[0] = 0x80;
	resign(&e, platform);
	refused(&e, sizeof(e), &ctx, "flags");
	e = make(NOW, 0);
	e.runtime_digest[5] ^= 1;
	resign(&e, platform);
	refused(&e, sizeof(e), &ctx, "measurement");
	e = make(NOW, 0);
	e.manifest_root[5] ^= 1;
	resign(&e, platform);
	refused(&e, sizeof(e), &ctx, "measurement");
	e = make(NOW, 0);
	e.measurement[31] ^= 1;
	resign(&e, platform);
	refused(&e, sizeof(e), &ctx, "measurement");
	e = make(NOW, 0);
	e.report_data[63] ^= 1;
	resign(&e, platform);
	refused(&e, sizeof(e), &ctx, "report data");
}

static void test_time(void **state)
{
	struct verify_context ctx = {.now = NOW};
	struct verdict v;
	struct error err;
	const struct {
		uint64_t issued;
		const char *refused;
	} rows[] = {
		{NOW - SIM_EVIDENCE_MAX_AGE, NULL},
		{NOW - SIM_EVIDENCE_MAX_AGE - 1, "age is 301 s"},
		{0, "age"},
		{NOW + 60, NULL},
		{NOW + 61, "61 s in the future"},
		{UINT64_MAX, "in the future"},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct sim_evidence e = make(rows[i].issued, 0);
		if (rows[i].refused)
			refused(&e, sizeof(e), &ctx, rows[i].refused);
		else
			assert_int_equal(
				sim_evidence_verify((const uint8_t *)&e, sizeof(e), &ctx, &v, &err), 0);
	}
}

static void test_platforms(void **state)
{
	struct sim_evidence e = make(NOW, 0), foreign = e;
	uint8_t trusted[2][32] = {{1}};
	struct verify_context ctx = {
		.now = NOW, .sim_platforms = (const uint8_t(*)[32])trusted, .sim_platform_count = 1};
	struct verdict v;
	struct error err;
	EVP_PKEY *other;
	refused(&e, sizeof(e), &ctx, "platform is ");
	assert_int_equal(key_hash(platform, trusted[1], &err), 0);
	ctx.sim_platform_count = 2;
	assert_int_equal(sim_evidence_verify((const uint8_t *)&e, sizeof(e), &ctx, &v, &err), 0);
	assert_int_equal(key_generate(KEY_ED25519, &other, &err), 0);
	resign(&foreign, other);
	refused(&foreign, sizeof(foreign), &ctx, "trusted platforms");
	/* Its key in place of the signer's: the signature no longer fits. */
	struct sim_evidence swapped = e;
	memcpy(swapped.platform_key, foreign.platform_key, 32);
	refused(&swapped, sizeof(swapped), &ctx, "signature");
	EVP_PKEY_free(other);
}

static void test_wrong_key_type(void **state)
{
	struct sim_evidence e;
	struct error err;
	EVP_PKEY *p256;
	assert_int_equal(key_generate(KEY_P256, &p256, &err), 0);
	assert_int_equal(sim_evidence_make(p256, runtime_digest, root, report_data, NOW, 0, &e, &err), -1);
	EVP_PKEY_free(p256);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_valid),
		cmocka_unit_test(test_debug_flag),
		cmocka_unit_test(test_every_bit),
		cmocka_unit_test(test_every_length),
		cmocka_unit_test(test_signed_lies),
		cmocka_unit_test(test_time),
		cmocka_unit_test(test_platforms),
		cmocka_unit_test(test_wrong_key_type),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
