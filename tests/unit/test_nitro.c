/* AWS Nitro documents: what is made verifies in every form; every changed bit, every truncation and every broken rule is refused by its check. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include "../lib/make_nitro.h"
#include "../lib/vectors.h"
#include "crypto/hash.h"
#include "evidence/check.h"
#include "evidence/collateral.h"
#include "evidence/nitro.h"
#include "evidence/nitro_cbor.h"

#define NOW 1800000000ull

static struct nitro_maker maker;
static struct trust_root root;
static uint8_t report_data[64];

static int setup(void **state)
{
	nitro_maker_init(&maker);
	root.tee = TEE_NITRO;
	pki_key_hash(maker.root, root.key_hash);
	for (size_t i = 0; i < sizeof(report_data); i++)
		report_data[i] = (uint8_t)(3 * i + 7);
	return 0;
}

static int teardown(void **state)
{
	nitro_maker_free(&maker);
	return 0;
}

static struct verify_context context(void)
{
	return (struct verify_context){
		.now = NOW, .roots = &root, .root_count = 1, .report_data = report_data};
}

static struct nitro_spec honest(void)
{
	return (struct nitro_spec){
		.timestamp = (NOW - 3) * 1000 + 250, .user_data = {report_data, sizeof(report_data)}};
}

static int verify(
	const uint8_t *p, size_t n, const struct verify_context *ctx, struct verdict *v, struct error *err)
{
	struct evidence e = {.tee = TEE_NITRO};

	e.item[ITEM_STATEMENT] = (struct bytes){p, n};
	return evidence_verify_parts(&e, ctx, v, err);
}

static void accepted(const struct nitro_spec *s, const struct verify_context *ctx, struct verdict *v)
{
	struct error err = {0};
	struct buf b;

	buf_init(&b, 65536);
	nitro_make_document(&maker, s, &b);
	if (verify(b.data, b.len, ctx, v, &err) < 0)
		fail_msg("refused: %s", err.text);
	buf_free(&b);
}

static void bytes_refused(const uint8_t *p, size_t n, const struct verify_context *ctx,
	enum evidence_check check, const char *word)
{
	struct verdict v, untouched;
	struct error err = {0};

	memset(&v, 0x5a, sizeof(v));
	memcpy(&untouched, &v, sizeof(v));
	assert_int_equal(verify(p, n, ctx, &v, &err), -1);
	assert_int_equal(err.code, ERR_ATTEST);
	assert_non_null(err.check);
	if (strcmp(err.check, evidence_check_name(check)) != 0 || !strstr(err.text, word))
		fail_msg("refused for %s: \"%s\"; wanted %s and \"%s\"", err.check, err.text,
			evidence_check_name(check), word);
	assert_memory_equal(&v, &untouched, sizeof(v));
}

static void refused(const struct nitro_spec *s, const struct verify_context *ctx, enum evidence_check check,
	const char *word)
{
	struct buf b;

	buf_init(&b, 65536);
	nitro_make_document(&maker, s, &b);
	bytes_refused(b.data, b.len, ctx, check, word);
	buf_free(&b);
}

static void test_valid(void **state)
{
	static const uint8_t nonce[] = "a nonce", key[] = "a public key";
	struct verify_context ctx = context();
	struct nitro_spec s = honest();
	uint8_t hash[32];
	struct verdict v;

	s.nonce = (struct bytes){nonce, sizeof(nonce)};
	s.public_key = (struct bytes){key, sizeof(key)};
	for (int form = 0; form < 4; form++) {
		s.indefinite = form & 1;
		s.tagged = form & 2;
		accepted(&s, &ctx, &v);
		assert_int_equal(v.tee, TEE_NITRO);
		assert_false(v.debug);
		assert_int_equal(v.issued_at, NOW - 3);
		assert_int_equal(v.valid_until, MAKE_NITRO_TO);
		assert_memory_equal(v.report_data, report_data, 64);
		assert_int_equal(v.launch_len, 48);
		assert_int_equal(v.launch[0], 0x10);
		assert_int_equal(v.detail.nitro.pcr_mask, 0xffff);
		assert_int_equal(v.detail.nitro.pcr[15][47], 0x1f);
		sha256(nonce, sizeof(nonce), hash);
		assert_memory_equal(v.detail.nitro.nonce_hash, hash, 32);
		sha256(key, sizeof(key), hash);
		assert_memory_equal(v.detail.nitro.public_key_hash, hash, 32);
		pki_key_hash(maker.leaf, hash);
		assert_memory_equal(v.platform, hash, 32);
	}
	s.pcr_count = 32;
	accepted(&s, &ctx, &v);
	s.pcr_count = 3;
	accepted(&s, &ctx, &v);
	ctx.report_data = NULL;
	s.user_absent = true;
	accepted(&s, &ctx, &v);
	assert_int_equal(v.report_data[0], 0);
}

static void test_debug(void **state)
{
	struct verify_context ctx = context();
	struct tolerances strict = {0};
	struct nitro_spec s = honest();
	struct error err = {0};
	struct verdict v;

	s.debug = true;
	accepted(&s, &ctx, &v);
	assert_true(v.debug);
	assert_int_equal(verdict_judge(&v, &strict, &err), -1);
	assert_string_equal(err.check, "debug");
}

static void test_every_byte(void **state)
{
	struct verify_context ctx = context();
	struct nitro_spec s = honest();
	struct verdict v;
	struct buf b;

	s.indefinite = true;
	s.tagged = true;
	buf_init(&b, 65536);
	nitro_make_document(&maker, &s, &b);
	/* A bit of each byte; test_every_change has all of them. */
	for (size_t bit = 0; bit < 8 * b.len; bit += 9) {
		struct error err = {0};

		b.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
		if (verify(b.data, b.len, &ctx, &v, &err) == 0)
			fail_msg("accepted with bit %zu changed", bit);
		assert_int_equal(err.code, ERR_ATTEST);
		assert_non_null(err.check);
		b.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	for (size_t n = 0; n < b.len; n++) {
		uint8_t *exact = malloc(n + 1);

		memcpy(exact, b.data, n);
		bytes_refused(exact, n, &ctx, CHECK_FORMAT, "Nitro document");
		free(exact);
	}
	buf_put_u8(&b, 0);
	bytes_refused(b.data, b.len, &ctx, CHECK_FORMAT, "something follows it");
	buf_free(&b);
}

static void test_form(void **state)
{
	struct verify_context ctx = context();
	struct nitro_spec s = honest();
	uint8_t long_data[513] = {0};
	char long_name[200];

	s.digest = "SHA256";
	refused(&s, &ctx, CHECK_ALGORITHM, "digest is 'SHA256'");
	s = honest();
	s.pcr_len = 32;
	refused(&s, &ctx, CHECK_FORMAT, "pcrs");
	s = honest();
	s.pcr_count = 33;
	refused(&s, &ctx, CHECK_FORMAT, "pcrs");
	s.pcr_count = 2;
	refused(&s, &ctx, CHECK_PCR_SELECTION, "PCR2 is missing");
	s = honest();
	s.extra_key = true;
	refused(&s, &ctx, CHECK_FORMAT, "none of the specification's");
	s = honest();
	s.twice = true;
	refused(&s, &ctx, CHECK_FORMAT, "nonce is there twice");
	s = honest();
	s.module_id = "";
	refused(&s, &ctx, CHECK_FORMAT, "module_id");
	s.module_id = "a\nb";
	refused(&s, &ctx, CHECK_FORMAT, "module_id");
	memset(long_name, 'x', sizeof(long_name) - 1);
	long_name[sizeof(long_name) - 1] = '\0';
	s.module_id = long_name;
	refused(&s, &ctx, CHECK_FORMAT, "199 characters");
	s = honest();
	s.nonce = (struct bytes){long_data, sizeof(long_data)};
	refused(&s, &ctx, CHECK_FORMAT, "nonce");
	s = honest();
	s.user_data = (struct bytes){long_data, 65};
	refused(&s, &ctx, CHECK_REPORT_DATA, "user_data has 65 bytes");
	s.user_data = (struct bytes){report_data, 63};
	refused(&s, &ctx, CHECK_REPORT_DATA, "report data is");
	s.user_absent = true;
	refused(&s, &ctx, CHECK_REPORT_DATA, "report data is 00");
}

/* Signed as it should be, but COSE headers or payloads that the specification does not have. */
static void test_cose(void **state)
{
	static const uint8_t es384[] = {0xa1, 0x01, 0x38, 0x22}, es256[] = {0xa1, 0x01, 0x26};
	static const uint8_t more[] = {0xa2, 0x01, 0x38, 0x22, 0x04, 0x40}, array[] = {0x80};
	struct verify_context ctx = context();
	struct nitro_spec s = honest();
	struct buf payload, b;

	buf_init(&payload, 65536);
	nitro_make_payload(&maker, &s, &payload);
	buf_init(&b, 65536);
	nitro_make_cose(maker.leaf_key, (struct bytes){es256, sizeof(es256)},
		(struct bytes){payload.data, payload.len}, &b);
	bytes_refused(b.data, b.len, &ctx, CHECK_ALGORITHM, "ES384");
	buf_reset(&b);
	nitro_make_cose(maker.leaf_key, (struct bytes){more, sizeof(more)},
		(struct bytes){payload.data, payload.len}, &b);
	bytes_refused(b.data, b.len, &ctx, CHECK_ALGORITHM, "ES384");
	buf_reset(&b);
	nitro_make_cose(maker.leaf_key, (struct bytes){es384, sizeof(es384)},
		(struct bytes){array, sizeof(array)}, &b);
	bytes_refused(b.data, b.len, &ctx, CHECK_FORMAT, "no single map");
	buf_reset(&b);
	nitro_make_cose(maker.middle_key, (struct bytes){es384, sizeof(es384)},
		(struct bytes){payload.data, payload.len}, &b);
	bytes_refused(b.data, b.len, &ctx, CHECK_SIGNATURE, "not one of its certificate's key");
	buf_reset(&b);
	buf_put_u8(&payload, 0); /* something after the map */
	nitro_make_cose(maker.leaf_key, (struct bytes){es384, sizeof(es384)},
		(struct bytes){payload.data, payload.len}, &b);
	bytes_refused(b.data, b.len, &ctx, CHECK_FORMAT, "no single map");
	buf_free(&payload);
	buf_free(&b);
}

static X509 *leaf_of(EVP_PKEY *key, X509 *issuer, EVP_PKEY *issuer_key, uint64_t from, uint64_t to)
{
	struct pki_spec s = {.common_name = "i-0-enc0",
		.key = key,
		.issuer = issuer,
		.issuer_key = issuer_key,
		.from = from,
		.to = to,
		.serial = 77};

	return pki_certificate(&s);
}

static void leaf_case(X509 *leaf, uint64_t timestamp, const struct verify_context *ctx,
	enum evidence_check check, const char *word)
{
	struct nitro_spec s = honest();

	s.leaf = leaf;
	if (timestamp)
		s.timestamp = timestamp;
	refused(&s, ctx, check, word);
	X509_free(leaf);
}

static void test_chain(void **state)
{
	const struct nitro_maker *m = &maker;
	struct verify_context ctx = context(), aws = context();
	struct nitro_spec s = honest();
	EVP_PKEY *p256 = pki_key(KEY_P256);

	aws.root_count = 0;
	refused(&s, &aws, CHECK_CHAIN_ROOT, "aws.nitro-enclaves");
	s.leaf_first = true;
	refused(&s, &ctx, CHECK_CHAIN_MISSING, "ends in 'zone.us-east-1");
	s.leaf_first = false;
	s.no_root = true;
	refused(&s, &ctx, CHECK_CHAIN_MISSING, "ends in 'zone.us-east-1");
	leaf_case(leaf_of(m->leaf_key, m->middle, m->middle_key, MAKE_NITRO_FROM, NOW - 1), 0, &ctx,
		CHECK_CHAIN_TIME, "'i-0-enc0' is valid from");
	leaf_case(leaf_of(m->leaf_key, m->middle, m->middle_key, NOW + 1, MAKE_NITRO_TO), 0, &ctx,
		CHECK_CHAIN_TIME, "'i-0-enc0' is valid from");
	leaf_case(leaf_of(m->leaf_key, m->root, m->root_key, MAKE_NITRO_FROM, MAKE_NITRO_TO), 0, &ctx,
		CHECK_CHAIN_ORDER, "not issued by 'zone");
	leaf_case(leaf_of(m->leaf_key, m->middle, m->root_key, MAKE_NITRO_FROM, MAKE_NITRO_TO), 0, &ctx,
		CHECK_CHAIN_SIGNATURE, "not that of 'zone");
	leaf_case(leaf_of(p256, m->middle, m->middle_key, MAKE_NITRO_FROM, MAKE_NITRO_TO), 0, &ctx,
		CHECK_ALGORITHM, "not on P-384");
	leaf_case(leaf_of(m->leaf_key, m->middle, m->middle_key, NOW - 10, MAKE_NITRO_TO), (NOW - 11) * 1000,
		&ctx, CHECK_ISSUED_AT, "in its certificate's validity");
	s = honest();
	s.timestamp = (NOW + NITRO_AHEAD_MAX + 1) * 1000;
	refused(&s, &ctx, CHECK_ISSUED_AT, "at most 300 s after");
	EVP_PKEY_free(p256);
}

/* A list that an operator imported counts, though AWS publishes none for enclaves. */
static void test_revocation(void **state)
{
	static const uint64_t leaf = 77, other = 78;
	const struct nitro_maker *m = &maker;
	struct pki_list l = {m->middle, m->middle_key, PKI_DEFAULT, NOW - 100, NOW + 100, &other, 1};
	struct verify_context ctx = context();
	struct collateral *c = pki_list_collateral(&l);
	struct nitro_spec s = honest();
	struct verdict v;

	ctx.collateral = c;
	s.leaf = leaf_of(m->leaf_key, m->middle, m->middle_key, MAKE_NITRO_FROM, MAKE_NITRO_TO);
	accepted(&s, &ctx, &v);
	assert_int_equal(v.valid_until, NOW + 100);
	collateral_free(c);
	l.serials = &leaf;
	ctx.collateral = c = pki_list_collateral(&l);
	refused(&s, &ctx, CHECK_REVOKED_KEY, "'i-0-enc0' (serial number 4d) is revoked");
	collateral_free(c);
	l.to = NOW - 1;
	ctx.collateral = c = pki_list_collateral(&l);
	refused(&s, &ctx, CHECK_CRL_TIME, "revocation list of 'zone");
	collateral_free(c);
	l.to = NOW + 100;
	l.key = m->root_key; /* the right name, another's signature */
	ctx.collateral = c = pki_list_collateral(&l);
	refused(&s, &ctx, CHECK_CRL_SIGNATURE, "not signed by it");
	collateral_free(c);
	X509_free(s.leaf);
}

static void judged(
	const struct verdict *v, const struct nitro_wanted *w, enum evidence_check check, const char *word)
{
	struct error err = {0};

	assert_int_equal(nitro_judge(v, w, &err), -1);
	if (strcmp(err.check, evidence_check_name(check)) != 0 || !strstr(err.text, word))
		fail_msg("refused for %s: \"%s\"; wanted %s and \"%s\"", err.check, err.text,
			evidence_check_name(check), word);
}

static void test_judge(void **state)
{
	static const uint8_t nonce[] = "a nonce";
	struct verify_context ctx = context();
	struct nitro_spec s = honest();
	uint8_t four[48];
	struct nitro_pcr_wanted pcr = {4, four};
	struct verdict v;

	memset(four, 0x14, sizeof(four));
	s.nonce = (struct bytes){nonce, sizeof(nonce)};
	accepted(&s, &ctx, &v);
	assert_int_equal(
		nitro_judge(&v,
			&(struct nitro_wanted){
				.pcr = &pcr, .pcr_count = 1, .nonce = nonce, .nonce_len = sizeof(nonce)},
			NULL),
		0);
	four[0] = 0;
	judged(&v, &(struct nitro_wanted){.pcr = &pcr, .pcr_count = 1}, CHECK_PCR, "PCR4 is 1414");
	pcr.index = 16;
	judged(&v, &(struct nitro_wanted){.pcr = &pcr, .pcr_count = 1}, CHECK_PCR_SELECTION, "PCR16");
	judged(&v, &(struct nitro_wanted){.nonce = nonce, .nonce_len = 3}, CHECK_REPORT_DATA, "nonce");
	judged(&v, &(struct nitro_wanted){.public_key = nonce, .public_key_len = 3}, CHECK_REPORT_DATA,
		"public key is 0000");
	v.tee = TEE_SNP;
	judged(&v, &(struct nitro_wanted){0}, CHECK_TYPE, "sev-snp");
}

static void test_cbor(void **state)
{
	static const struct {
		uint8_t in[10];
		size_t n;
		bool good;
		uint64_t value;
	} numbers[] = {
		{{0x00}, 1, true, 0},
		{{0x17}, 1, true, 23},
		{{0x18, 24}, 2, true, 24},
		{{0x18, 23}, 2, false, 0},
		{{0x19, 1, 0}, 3, true, 256},
		{{0x19, 0, 255}, 3, false, 0},
		{{0x1a, 0, 1, 0, 0}, 5, true, 65536},
		{{0x1a, 0, 0, 255, 255}, 5, false, 0},
		{{0x1b, 0, 0, 0, 1, 0, 0, 0, 0}, 9, true, 1ull << 32},
		{{0x1b, 0, 0, 0, 0, 255, 255, 255, 255}, 9, false, 0},
		{{0x1c}, 1, false, 0},
		{{0x1f}, 1, false, 0},
		{{0x18}, 1, false, 0},
		{{0x1b, 1}, 2, false, 0},
		{{0x20}, 1, false, 0},
	};
	static const uint8_t huge[] = {0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1};
	static const uint8_t chunked[] = {0x5f, 0x41, 1, 0xff}, endless[] = {0x9f, 0x01};
	struct cbor c;
	struct cbor_walk w;

	for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++) {
		cbor_init(&c, numbers[i].in, numbers[i].n);
		assert_int_equal(cbor_uint(&c), numbers[i].value);
		assert_int_equal(cbor_done(&c), numbers[i].good);
	}
	cbor_init(&c, huge, sizeof(huge));
	assert_null(cbor_bytes(&c).p);
	assert_true(c.failed);
	cbor_init(&c, chunked, sizeof(chunked));
	assert_null(cbor_bytes(&c).p);
	cbor_init(&c, endless, sizeof(endless));
	w = cbor_array(&c, 4);
	assert_true(cbor_more(&c, &w));
	assert_int_equal(cbor_uint(&c), 1);
	assert_false(cbor_more(&c, &w));
	assert_true(c.failed);
}

/* An enclave of AWS, with AWS's own root, at a time when its certificates were valid. The file has four bytes before the document and text
 * after it. */
static void test_real(void **state)
{
	struct verify_context ctx = {.now = 1766682000}; /* 2025-12-25T17:00:00Z */
	struct error err = {0};
	struct verdict v;
	struct buf file;
	const uint8_t *p;
	size_t n, payload;

	if (!vectors_here())
		return;
	vector_read("nitro/document_offset4.bin", &file);
	p = file.data + 4;
	payload = (size_t)p[8] << 8 | p[9];
	n = 1 + 5 + 1 + 3 + payload + 2 + NITRO_SIGNATURE_LEN;
	assert_true(4 + n <= file.len);
	if (verify(p, n, &ctx, &v, &err) < 0)
		fail_msg("refused: %s", err.text);
	assert_int_equal(v.tee, TEE_NITRO);
	assert_true(ctx.now <= v.valid_until);
	ctx.now = v.valid_until + 1;
	bytes_refused(p, n, &ctx, CHECK_CHAIN_TIME, "is valid from");
	ctx.now = v.issued_at;
	for (size_t i = 0; i < n; i++) {
		file.data[4 + i] ^= (uint8_t)(1u << i % 8);
		if (verify(p, n, &ctx, &v, NULL) == 0)
			fail_msg("accepted with a bit of byte %zu changed", i);
		file.data[4 + i] ^= (uint8_t)(1u << i % 8);
	}
	for (size_t k = 0; k < n; k++)
		assert_int_equal(verify(p, k, &ctx, &v, NULL), -1);
	ctx.roots = &root;
	ctx.root_count = 1;
	bytes_refused(p, n, &ctx, CHECK_CHAIN_ROOT, "aws.nitro-enclaves");
	buf_free(&file);
}

static void test_show(void **state)
{
	struct verify_context ctx = context();
	struct nitro_spec s = honest();
	struct error err = {0};
	struct evidence e;
	struct verdict v;
	struct buf b;
	json_t *j = json_object();

	buf_init(&b, 65536);
	nitro_make_document(&maker, &s, &b);
	assert_int_equal(evidence_parse(b.data, b.len, TEE_NONE, &e, &err), 0);
	assert_int_equal(e.tee, TEE_NITRO);
	assert_int_equal(nitro_show(&e, j, &err), 0);
	assert_int_equal(json_integer_value(json_object_get(j, "timestamp")), s.timestamp);
	assert_int_equal(strlen(json_string_value(json_object_get(j, "user_data"))), 128);
	json_decref(j);
	accepted(&s, &ctx, &v);
	j = json_object();
	assert_int_equal(nitro_describe(&v, j), 0);
	assert_int_equal(json_object_size(json_object_get(j, "pcrs")), 16);
	json_decref(j);
	buf_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_valid),
		cmocka_unit_test(test_debug),
		cmocka_unit_test(test_every_byte),
		cmocka_unit_test(test_form),
		cmocka_unit_test(test_cose),
		cmocka_unit_test(test_chain),
		cmocka_unit_test(test_revocation),
		cmocka_unit_test(test_judge),
		cmocka_unit_test(test_cbor),
		cmocka_unit_test(test_real),
		cmocka_unit_test(test_show),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
