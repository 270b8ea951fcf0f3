/* CAS's evidence about itself: the message, the policy, and every reason for which evidence is refused. With a TPM: tests/e2e/cas_evidence.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "core/encode.h"
#include "crypto/hash.h"
#include "crypto/key.h"
#include "evidence/sim.h"
#include "measure/measure.h"
#include "wire/cas_evidence.h"

#define NOW 1800000000ull

static EVP_PKEY *platform;
static uint8_t digest[32], root[32], cas_key[32], nonce[32], platform_hash[32];
static char code[65], platform_hex[65];

static int setup(void **state)
{
	uint8_t measured[32];

	memset(digest, 1, 32);
	memset(root, 2, 32);
	memset(cas_key, 3, 32);
	memset(nonce, 4, 32);
	measurement(digest, root, measured);
	hex_encode(measured, 32, code);
	if (key_generate(KEY_ED25519, &platform, NULL) || key_hash(platform, platform_hash, NULL))
		return -1;
	hex_encode(platform_hash, 32, platform_hex);
	return 0;
}

static int teardown(void **state)
{
	EVP_PKEY_free(platform);
	return 0;
}

static struct cas_policy *policy(const char *text)
{
	struct cas_policy *p = NULL;
	struct error err = {0};

	if (cas_policy_parse(text, strlen(text), &p, &err))
		fail_msg("%s: %s", text, err.text);
	return p;
}

static struct cas_policy *good_policy(const char *more)
{
	char text[4096];

	snprintf(text, sizeof(text), "{\"measurement\":[\"%s\"],\"simulation\":true%s}", code, more);
	return policy(text);
}

/* with: nonce or NULL */
static void make(struct cas_evidence *e, const uint8_t *with, uint64_t at)
{
	uint8_t report_data[REPORT_DATA_LEN];
	struct sim_evidence s;

	cas_evidence_init(e);
	e->issued_at = at;
	if (with)
		memcpy(e->nonce, with, sizeof(e->nonce));
	cas_evidence_report_data(at, e->nonce, cas_key, report_data);
	assert_int_equal(sim_evidence_make(platform, digest, root, report_data, at, 0, &s, NULL), 0);
	buf_put(&e->evidence, &s, sizeof(s));
}

static void good(const struct cas_evidence *e, const struct cas_policy *p, const uint8_t *with, uint64_t now)
{
	struct error err = {0};
	struct verdict v;

	if (cas_evidence_verify(e, p, cas_key, with, now, NULL, &v, &err))
		fail_msg("refused: %s", err.text);
	assert_int_equal(v.tee, TEE_SIM);
}

static void refused(const struct cas_evidence *e, const struct cas_policy *p, const uint8_t *key,
	const uint8_t *with, uint64_t now, const char *check, const char *word)
{
	struct error err = {0};
	struct verdict v;

	assert_int_equal(cas_evidence_verify(e, p, key, with, now, NULL, &v, &err), -1);
	if (!err.check || strcmp(err.check, check) || !strstr(err.text, word))
		fail_msg("refused for %s: \"%s\", wanted %s and \"%s\"", err.check ? err.check : "-",
			err.text, check, word);
}

static void test_report_data(void **state)
{
	uint8_t a[64], b[64], key[32] = {3};

	cas_evidence_report_data(NOW, nonce, cas_key, a);
	cas_evidence_report_data(NOW + 1, nonce, cas_key, b);
	assert_memory_not_equal(a, b, 32);
	cas_evidence_report_data(NOW, key, cas_key, b);
	assert_memory_not_equal(a, b, 32);
	cas_evidence_report_data(NOW, nonce, key, b);
	assert_memory_not_equal(a, b, 32);
	for (int i = 32; i < 64; i++)
		assert_int_equal(a[i], 0);
}

static void test_message(void **state)
{
	static const char *const bad[] = {"", "{}", "[]", "{\"issued_at\":1,\"nonce\":null}",
		"{\"issued_at\":-1,\"nonce\":null,\"evidence\":\"AA==\"}",
		"{\"issued_at\":1.5,\"nonce\":null,\"evidence\":\"AA==\"}",
		"{\"issued_at\":1,\"nonce\":\"00\",\"evidence\":\"AA==\"}",
		"{\"issued_at\":1,\"nonce\":null,\"evidence\":\"A\"}",
		"{\"issued_at\":1,\"nonce\":null,\"evidence\":\"AA==\",\"x\":1}"};
	struct cas_evidence e, back;
	struct buf b;

	make(&e, nonce, NOW);
	buf_init(&b, 65536);
	assert_int_equal(cas_evidence_encode(&e, &b, NULL), 0);
	cas_evidence_init(&back);
	assert_int_equal(cas_evidence_decode(b.data, b.len, &back, NULL), 0);
	assert_int_equal(back.issued_at, NOW);
	assert_memory_equal(back.nonce, nonce, 32);
	assert_int_equal(back.evidence.len, e.evidence.len);
	assert_memory_equal(back.evidence.data, e.evidence.data, e.evidence.len);
	cas_evidence_free(&back);
	cas_evidence_free(&e);
	buf_free(&b);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct error err = {0};

		cas_evidence_init(&back);
		assert_int_equal(cas_evidence_decode(bad[i], strlen(bad[i]), &back, &err), -1);
		assert_int_equal(err.code, ERR_INPUT);
		cas_evidence_free(&back);
	}
}

static void test_policies(void **state)
{
	static const char *const bad[] = {"{}", "{\"measurement\":[]}", "{\"measurement\":\"HEX\"}",
		"{\"measurement\":[\"HEX\"],\"measurment\":[]}", "{\"measurement\":[1]}",
		"{\"measurement\":[\"00\"]}", "{\"measurement\":[\"HEX\"],\"tee\":[]}",
		"{\"measurement\":[\"HEX\"],\"tee\":[\"x\"]}",
		"{\"measurement\":[\"HEX\"],\"launch\":[\"00\"]}", "{\"measurement\":[\"HEX\"],\"pcrs\":[]}",
		"{\"measurement\":[\"HEX\"],\"pcrs\":{\"24\":[\"HEX\"]}}",
		"{\"measurement\":[\"HEX\"],\"pcrs\":{\"7\":[]}}",
		"{\"measurement\":[\"HEX\"],\"pcrs\":{\"7x\":[\"HEX\"]}}",
		"{\"measurement\":[\"HEX\"],\"pcrs\":{\"\":[\"HEX\"]}}",
		"{\"measurement\":[\"HEX\"],\"roots\":{\"sim\":[\"HEX\"]}}",
		"{\"measurement\":[\"HEX\"],\"roots\":{\"tdx\":\"HEX\"}}",
		"{\"measurement\":[\"HEX\"],\"tolerate\":[\"hope\"]}",
		"{\"measurement\":[\"HEX\"],\"ignore_advisories\":[\"\"]}",
		"{\"measurement\":[\"HEX\"],\"max_age\":0}", "{\"measurement\":[\"HEX\"],\"simulation\":1}",
		"{\"measurement\":[\"HEX\"],\"min_tcb_evaluation\":-1}"};
	struct buf text;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct cas_policy *p = NULL;
		struct error err = {0};
		const char *at = bad[i], *hex;

		buf_init(&text, 4096);
		while ((hex = strstr(at, "HEX"))) {
			buf_put(&text, at, (size_t)(hex - at));
			buf_puts(&text, code);
			at = hex + 3;
		}
		buf_puts(&text, at);
		if (!cas_policy_parse(text.data, text.len, &p, &err))
			fail_msg("accepted: %s", buf_cstr(&text));
		assert_int_equal(err.code, ERR_INPUT);
		buf_free(&text);
	}
}

/* More of anything than there is room for is an error, not an overflow. */
static void test_limits(void **state)
{
	static const char *const keys[] = {
		"measurement", "platform", "launch", "tee", "tolerate", "ignore_advisories"};
	struct buf b;

	for (size_t k = 0; k < sizeof(keys) / sizeof(keys[0]) + 2; k++) {
		struct cas_policy *p = NULL;
		struct error err = {0};

		buf_init(&b, CAS_POLICY_MAX);
		buf_printf(&b, "{\"measurement\":[\"%s\"],", code);
		if (k == 0)
			buf_reset(&b), buf_putc(&b, '{');
		if (k < 6)
			buf_printf(&b, "\"%s\":[", keys[k]);
		else
			buf_puts(&b, k == 6 ? "\"pcrs\":{\"1\":[" : "\"roots\":{\"tdx\":[");
		for (int i = 0; i <= CAS_POLICY_LIST_MAX; i++)
			buf_printf(&b, "%s\"%s\"", i ? "," : "",
				k == 3	 ? "tpm"
				: k == 4 ? "debug-mode"
				: k == 5 ? "A"
					 : code);
		buf_puts(&b, k < 6 ? "]}" : "]}}");
		assert_false(b.failed);
		if (!cas_policy_parse(b.data, b.len, &p, &err))
			fail_msg("accepted %d of list %zu", CAS_POLICY_LIST_MAX + 1, k);
		buf_free(&b);
	}
}

static void test_good(void **state)
{
	struct cas_policy *p = good_policy("");
	struct cas_evidence e;

	make(&e, nonce, NOW);
	good(&e, p, nonce, NOW);
	cas_evidence_free(&e);
	make(&e, NULL, NOW);
	good(&e, p, NULL, NOW);
	good(&e, p, NULL, NOW + 200);
	cas_evidence_free(&e);
	free(p);
}

static void test_refusals(void **state)
{
	uint8_t other[32] = {9};
	struct cas_policy *p = good_policy(""), *q;
	struct cas_evidence e;
	char more[256], text[256];

	make(&e, nonce, NOW);
	refused(&e, p, other, nonce, NOW, "report-data", "wanted");
	refused(&e, p, cas_key, other, NOW, "report-data", "wanted");
	/* made for somebody's nonce, it is no evidence without one, nor the other way round */
	refused(&e, p, cas_key, NULL, NOW, "report-data", "wanted");
	e.issued_at++;
	refused(&e, p, cas_key, nonce, NOW, "report-data", "wanted");
	e.issued_at--;
	snprintf(text, sizeof(text), "{\"measurement\":[\"%s\"]}", code);
	q = policy(text);
	refused(&e, q, cas_key, nonce, NOW, "type", "simulated");
	free(q);
	q = good_policy(",\"tee\":[\"tpm\",\"tdx\"]");
	refused(&e, q, cas_key, nonce, NOW, "type", "runs on sim");
	free(q);
	q = good_policy(",\"tee\":[\"sim\"]");
	good(&e, q, nonce, NOW);
	free(q);
	snprintf(text, sizeof(text), "{\"measurement\":[\"%064d\"],\"simulation\":true}", 0);
	q = policy(text);
	refused(&e, q, cas_key, nonce, NOW, "measurement", code);
	free(q);
	snprintf(more, sizeof(more), ",\"platform\":[\"%064d\"]", 0);
	q = good_policy(more);
	refused(&e, q, cas_key, nonce, NOW, "platform", "wanted");
	free(q);
	snprintf(more, sizeof(more), ",\"platform\":[\"%064d\",\"%s\"]", 0, platform_hex);
	q = good_policy(more);
	good(&e, q, nonce, NOW);
	free(q);
	snprintf(more, sizeof(more), ",\"launch\":[\"%064d\"]", 0);
	q = good_policy(more);
	refused(&e, q, cas_key, nonce, NOW, "measurement", "at its start");
	free(q);
	cas_evidence_free(&e);
	make(&e, NULL, NOW);
	refused(&e, p, cas_key, nonce, NOW, "report-data", "wanted");
	refused(&e, p, cas_key, NULL, NOW + CAS_EVIDENCE_MAX_AGE + 1, "issued-at", "old");
	refused(&e, p, cas_key, NULL, NOW - 301, "issued-at", "future");
	q = good_policy(",\"max_age\":10");
	good(&e, q, NULL, NOW + 10);
	refused(&e, q, cas_key, NULL, NOW + 11, "issued-at", "wanted at most 10");
	free(q);
	cas_evidence_free(&e);
	free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_report_data),
		cmocka_unit_test(test_message),
		cmocka_unit_test(test_policies),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_refusals),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
