/* TPM 2.0 quotes: made ones verify with every scheme; every changed bit, every truncation and every broken rule is refused by its check. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include "../lib/make_tpm.h"
#include "../lib/vectors.h"
#include "core/encode.h"
#include "evidence/check.h"
#include "evidence/collateral.h"
#include "evidence/tpm.h"
#include "evidence/tpm_key.h"

#define NOW 1800000000ull
#define FROM 1700000000ull
#define TO 1900000000ull

enum { RSASSA, RSAPSS, P256, P384, MAKERS };
static struct tpm_maker maker[MAKERS];
static struct trust_root roots[MAKERS];
static uint8_t report_data[64];

static int setup(void **state)
{
	tpm_maker_init(&maker[RSASSA], MAKE_RSASSA, false);
	tpm_maker_init(&maker[RSAPSS], MAKE_RSAPSS, false);
	tpm_maker_init(&maker[P256], MAKE_ECDSA, false);
	tpm_maker_init(&maker[P384], MAKE_ECDSA, true);
	for (size_t i = 0; i < MAKERS; i++) {
		roots[i].tee = TEE_TPM;
		assert_int_equal(key_hash(maker[i].key, roots[i].key_hash, NULL), 0);
	}
	for (size_t i = 0; i < 32; i++) /* what fits into every TPM */
		report_data[i] = (uint8_t)(9 * i + 2);
	return 0;
}

static int teardown(void **state)
{
	for (size_t i = 0; i < MAKERS; i++)
		tpm_maker_free(&maker[i]);
	return 0;
}

static struct verify_context context(void)
{
	return (struct verify_context){
		.now = NOW, .roots = roots, .root_count = MAKERS, .report_data = report_data};
}

static struct tpm_quote_spec honest(void)
{
	return (struct tpm_quote_spec){.extra = {report_data, 32}};
}

static struct evidence parts(const struct tpm_made *q)
{
	struct evidence e = {.tee = TEE_TPM};

	e.item[ITEM_STATEMENT] = (struct bytes){q->statement.data, q->statement.len};
	e.item[ITEM_SIGNATURE] = (struct bytes){q->signature.data, q->signature.len};
	e.item[ITEM_KEY] = (struct bytes){q->key.data, q->key.len};
	e.item[ITEM_VALUES] = (struct bytes){q->values.data, q->values.len};
	e.item[ITEM_EVENT_LOG] = (struct bytes){q->log.data, q->log.len};
	return e;
}

static void accepted(const struct evidence *e, const struct verify_context *ctx, struct verdict *v)
{
	struct error err = {0};

	if (evidence_verify_parts(e, ctx, v, &err) < 0)
		fail_msg("refused: %s", err.text);
}

static void refused(const struct evidence *e, const struct verify_context *ctx, enum evidence_check check,
	const char *word)
{
	struct verdict v, untouched;
	struct error err = {0};

	memset(&v, 0x5a, sizeof(v));
	memcpy(&untouched, &v, sizeof(v));
	assert_int_equal(evidence_verify_parts(e, ctx, &v, &err), -1);
	assert_int_equal(err.code, ERR_ATTEST);
	assert_non_null(err.check);
	if (strcmp(err.check, evidence_check_name(check)) != 0 || !strstr(err.text, word))
		fail_msg("refused for %s: \"%s\"; wanted %s and \"%s\"", err.check, err.text,
			evidence_check_name(check), word);
	assert_memory_equal(&v, &untouched, sizeof(v));
}

static void quote_refused(size_t m, const struct tpm_quote_spec *s, const struct verify_context *ctx,
	enum evidence_check check, const char *word)
{
	struct tpm_made q;
	struct evidence e;

	tpm_make_quote(&maker[m], s, &q);
	e = parts(&q);
	refused(&e, ctx, check, word);
	tpm_made_free(&q);
}

static void test_valid(void **state)
{
	struct verify_context ctx = context();
	struct tpm_quote_spec s = honest();

	for (size_t m = 0; m < MAKERS; m++) {
		struct tpm_made q;
		struct evidence e;
		struct verdict v;

		tpm_make_quote(&maker[m], &s, &q);
		e = parts(&q);
		accepted(&e, &ctx, &v);
		assert_int_equal(v.tee, TEE_TPM);
		assert_false(v.debug);
		assert_memory_equal(v.report_data, report_data, 64);
		assert_memory_equal(v.platform, roots[m].key_hash, 32);
		assert_int_equal(v.launch_len, m == P384 ? 48 : 32);
		assert_int_equal(v.detail.tpm.pcr_mask, 0x40ff);
		assert_memory_equal(v.detail.tpm.pcr[7], maker[m].pcr256[7], 32);
		assert_true(v.detail.tpm.event_log);
		assert_int_equal(v.detail.tpm.ak_name[1], TPM_ALG_SHA256);
		assert_int_equal(v.detail.tpm.reset_count, 4);
		e.item[ITEM_EVENT_LOG] = (struct bytes){0};
		accepted(&e, &ctx, &v);
		assert_false(v.detail.tpm.event_log);
		e.item[ITEM_KEY].n -= sizeof(maker[m].parent); /* without the parent's name */
		accepted(&e, &ctx, &v);
		tpm_made_free(&q);
	}
}

static void test_banks(void **state)
{
	struct verify_context ctx = context();
	struct tpm_quote_spec s = honest();
	struct tpm_made q;
	struct evidence e;
	struct verdict v;

	s.bank[0] = (struct tpm_bank){TPM_ALG_SHA384, 0x91};
	s.bank[1] = (struct tpm_bank){TPM_ALG_SHA256, 0x10801};
	tpm_make_quote(&maker[P256], &s, &q);
	assert_int_equal(q.values.len, 3 * 48 + 3 * 32);
	e = parts(&q);
	accepted(&e, &ctx, &v);
	assert_int_equal(v.detail.tpm.pcr_mask, 0x10801);
	tpm_made_free(&q);
	s.bank[0] = (struct tpm_bank){TPM_ALG_SHA256, 0};
	s.bank[1].alg = 0;
	quote_refused(P256, &s, &ctx, CHECK_FORMAT, "no values of the PCRs");
	s.bank[0] = (struct tpm_bank){TPM_ALG_SHA256, 1};
	s.bank[1] = s.bank[0];
	quote_refused(P256, &s, &ctx, CHECK_FORMAT, "each known bank once");
	s.bank[1] = (struct tpm_bank){0x99, 1};
	quote_refused(P256, &s, &ctx, CHECK_FORMAT, "each known bank once");
}

/* Every bit of what is signed, of the signature, of the key and of the values. */
static void test_every_bit(void **state)
{
	struct verify_context ctx = context();
	struct tpm_quote_spec s = honest();

	for (size_t m = 0; m < MAKERS; m += P256) {
		struct tpm_made q;
		struct evidence e;
		struct verdict v;
		struct buf *items[] = {&q.statement, &q.signature, &q.key, &q.values};

		tpm_make_quote(&maker[m], &s, &q);
		for (size_t i = 0; i < 4; i++) {
			for (size_t bit = 0; bit < 8 * items[i]->len; bit++) {
				struct error err = {0};

				items[i]->data[bit / 8] ^= (uint8_t)(1u << bit % 8);
				e = parts(&q);
				if (evidence_verify_parts(&e, &ctx, &v, &err) == 0)
					fail_msg("accepted with bit %zu of part %zu changed", bit, i);
				assert_int_equal(err.code, ERR_ATTEST);
				assert_non_null(err.check);
				items[i]->data[bit / 8] ^= (uint8_t)(1u << bit % 8);
			}
		}
		tpm_made_free(&q);
	}
}

static void test_truncated(void **state)
{
	static const enum evidence_item items[] = {ITEM_STATEMENT, ITEM_SIGNATURE, ITEM_VALUES, ITEM_KEY};
	struct verify_context ctx = context();
	struct tpm_quote_spec s = honest();
	struct tpm_made q;
	struct evidence e;
	struct verdict v;

	tpm_make_quote(&maker[P256], &s, &q);
	for (size_t i = 0; i < 4; i++) {
		struct bytes whole = parts(&q).item[items[i]];

		for (size_t n = 0; n < whole.n; n++) {
			uint8_t *exact = malloc(n + 1);

			if (items[i] == ITEM_KEY && n == whole.n - sizeof(maker[P256].parent)) {
				free(exact);
				continue; /* the key without its parent's name is one of the forms */
			}
			memcpy(exact, whole.p, n);
			e = parts(&q);
			e.item[items[i]] = (struct bytes){exact, n};
			if (n == 0 && items[i] == ITEM_KEY)
				e.item[items[i]].p = NULL;
			if (evidence_verify_parts(&e, &ctx, &v, NULL) == 0)
				fail_msg("accepted with %zu bytes of part %zu", n, i);
			free(exact);
		}
	}
	tpm_made_free(&q);
}

static void test_statement(void **state)
{
	struct verify_context ctx = context();
	struct tpm_quote_spec s = honest();
	uint8_t other[34] = {0, TPM_ALG_SHA256};
	static uint8_t long_extra[65];

	s.magic = 0xff544348;
	quote_refused(RSASSA, &s, &ctx, CHECK_TYPE, "0xff544348");
	s = honest();
	s.type = 0x8017; /* a certification, not a quote */
	quote_refused(RSASSA, &s, &ctx, CHECK_TYPE, "0x8017");
	s = honest();
	s.qualified_signer = other;
	quote_refused(RSASSA, &s, &ctx, CHECK_ATTESTATION_KEY, "qualified name of the signer is 000b00");
	s = honest();
	s.extra.n = 31;
	quote_refused(RSASSA, &s, &ctx, CHECK_REPORT_DATA, "report data is");
	s.extra = (struct bytes){0};
	quote_refused(RSASSA, &s, &ctx, CHECK_REPORT_DATA, "report data is 0000");
	s.extra = (struct bytes){long_extra, 65};
	quote_refused(RSASSA, &s, &ctx, CHECK_FORMAT, "too long");
}

static void test_key(void **state)
{
	static const struct {
		uint32_t attribute;
		bool set;
	} cases[] = {{TPM_ATTR_RESTRICTED, false}, {TPM_ATTR_SIGN, false}, {TPM_ATTR_FIXED_TPM, false},
		{TPM_ATTR_FIXED_PARENT, false}, {TPM_ATTR_SENSITIVE_DATA_ORIGIN, false},
		{TPM_ATTR_DECRYPT, true}};
	struct verify_context ctx = context(), nobody = context();
	struct tpm_quote_spec s = honest();
	struct tpm_maker m = maker[P256];
	struct tpm_made q;
	struct evidence e;
	struct verdict v;
	unsigned char *spki = NULL;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		m.attributes = cases[i].set ? maker[P256].attributes | cases[i].attribute
					    : maker[P256].attributes & ~cases[i].attribute;
		tpm_make_quote(&m, &s, &q);
		e = parts(&q);
		refused(&e, &ctx, CHECK_ATTESTATION_KEY, "attributes are");
		tpm_made_free(&q);
	}
	nobody.root_count = 0;
	quote_refused(P256, &s, &nobody, CHECK_PLATFORM, "enrolled here");
	tpm_make_quote(&maker[P256], &s, &q);
	e = parts(&q);
	e.item[ITEM_KEY].n = (size_t)i2d_PUBKEY(maker[P256].key, &spki);
	e.item[ITEM_KEY].p = spki;
	accepted(&e, &ctx, &v);
	OPENSSL_free(spki);
	spki = NULL;
	e.item[ITEM_KEY].n = (size_t)i2d_PUBKEY(maker[P384].key, &spki);
	e.item[ITEM_KEY].p = spki;
	refused(&e, &ctx, CHECK_SIGNATURE, "not one of the attestation key");
	OPENSSL_free(spki);
	spki = NULL;
	e.item[ITEM_KEY].n = (size_t)i2d_PUBKEY(maker[RSASSA].key, &spki);
	e.item[ITEM_KEY].p = spki;
	refused(&e, &ctx, CHECK_ALGORITHM, "ecdsa with a key of type RSA");
	OPENSSL_free(spki);
	e = parts(&q);
	e.item[ITEM_SIGNATURE].p = NULL;
	refused(&e, &ctx, CHECK_FORMAT, "has no signature");
	tpm_made_free(&q);
}

static void test_values(void **state)
{
	struct verify_context ctx = context();
	struct tpm_quote_spec s = honest();
	struct tpm_made q;
	struct evidence e;

	tpm_make_quote(&maker[P256], &s, &q);
	q.values.data[7 * 32] ^= 1; /* PCR 7 */
	e = parts(&q);
	refused(&e, &ctx, CHECK_PCR_DIGEST, "digest of the PCR values");
	q.values.data[7 * 32] ^= 1;
	buf_put_u8(&q.values, 0);
	e = parts(&q);
	refused(&e, &ctx, CHECK_FORMAT, "289 bytes of PCR values, wanted 288");
	tpm_made_free(&q);
}

static void test_event_log(void **state)
{
	struct verify_context ctx = context();
	struct tpm_quote_spec s = honest();
	struct tpm_maker m = maker[P256];
	struct tpm_made q;
	struct evidence e;
	struct verdict v;
	struct buf log;

	memset(m.pcr256[4], 0xaa, 32); /* another boot loader ran than the log says */
	tpm_make_quote(&m, &s, &q);
	e = parts(&q);
	refused(&e, &ctx, CHECK_EVENT_LOG, "PCR 4 (sha256) is aaaa");
	tpm_made_free(&q);

	m = maker[P256];
	s.bank[0] = (struct tpm_bank){TPM_ALG_SHA256, 1u << 11 | 1u << 8};
	memset(m.pcr256[11], 0xaa, 32); /* the operating system goes on extending this one */
	tpm_make_quote(&m, &s, &q);
	e = parts(&q);
	accepted(&e, &ctx, &v);
	tpm_made_free(&q);
	memset(m.pcr256[8], 0xaa, 32);
	tpm_make_quote(&m, &s, &q);
	e = parts(&q);
	refused(&e, &ctx, CHECK_EVENT_LOG, "PCR 8");
	tpm_made_free(&q);

	s = honest();
	tpm_make_quote(&maker[P256], &s, &q);
	buf_init(&log, 65536);
	tpm_put_log_header(&log); /* an empty log for a machine that measured something */
	e = parts(&q);
	e.item[ITEM_EVENT_LOG] = (struct bytes){log.data, log.len};
	refused(&e, &ctx, CHECK_EVENT_LOG, "PCR 0");
	buf_put_u8(&log, 1);
	e.item[ITEM_EVENT_LOG] = (struct bytes){log.data, log.len};
	refused(&e, &ctx, CHECK_EVENT_LOG_FORMAT, "event 1");
	buf_free(&log);
	tpm_made_free(&q);

	s.bank[0] = (struct tpm_bank){TPM_ALG_SHA1, 1};
	tpm_make_quote(&maker[P256], &s, &q);
	e = parts(&q);
	refused(&e, &ctx, CHECK_EVENT_LOG, "none of the quoted banks");
	tpm_made_free(&q);
}

/* A maker's or a cloud's certificate for the attestation key, in place of an enrolment. */
static void test_certificates(void **state)
{
	EVP_PKEY *ca_key = pki_key(KEY_P256);
	struct pki_spec s = {.common_name = "TPM maker",
		.key = ca_key,
		.from = FROM,
		.to = TO,
		.ca = true,
		.path_length = -1};
	X509 *ca = pki_certificate(&s), *leaf, *other, *stranger;
	static const uint64_t serial = 42;
	struct pki_list list;
	struct collateral *c;
	struct verify_context ctx = context();
	struct tpm_quote_spec quote = honest();
	struct trust_root root = {.tee = TEE_TPM};
	struct tpm_made q;
	struct evidence e;
	struct verdict v;
	struct buf pem;

	s = (struct pki_spec){.common_name = "AK",
		.key = maker[P256].key,
		.issuer = ca,
		.issuer_key = ca_key,
		.from = FROM,
		.to = TO,
		.serial = serial};
	leaf = pki_certificate(&s);
	s.key = maker[P384].key;
	other = pki_certificate(&s);
	s = (struct pki_spec){.common_name = "Another maker",
		.key = ca_key,
		.from = FROM,
		.to = TO,
		.ca = true,
		.path_length = -1};
	stranger = pki_certificate(&s);
	list = (struct pki_list){ca, ca_key, PKI_DEFAULT, NOW - 100, NOW + 100, &serial, 1};
	pki_key_hash(ca, root.key_hash);
	ctx.roots = &root;
	ctx.root_count = 1;
	tpm_make_quote(&maker[P256], &quote, &q);
	e = parts(&q);
	buf_init(&pem, 65536);
	pki_pem(leaf, &pem);
	pki_pem(ca, &pem);
	e.item[ITEM_CERTIFICATES] = (struct bytes){pem.data, pem.len};
	accepted(&e, &ctx, &v);
	assert_int_equal(v.valid_until, TO);
	ctx.now = TO + 1;
	refused(&e, &ctx, CHECK_CHAIN_TIME, "is valid from");
	ctx.now = NOW;
	root.key_hash[0] ^= 1;
	refused(&e, &ctx, CHECK_CHAIN_ROOT, "TPM maker");
	root.key_hash[0] ^= 1;
	ctx.collateral = c = pki_list_collateral(&list);
	refused(&e, &ctx, CHECK_REVOKED_KEY, "'AK' (serial number 2a) is revoked");
	collateral_free(c);
	ctx.collateral = NULL;
	buf_reset(&pem);
	pki_pem(leaf, &pem);
	e.item[ITEM_CERTIFICATES] = (struct bytes){pem.data, pem.len};
	refused(&e, &ctx, CHECK_CHAIN_MISSING, "ends in 'AK'");
	buf_reset(&pem);
	pki_pem(ca, &pem);
	pki_pem(leaf, &pem);
	e.item[ITEM_CERTIFICATES] = (struct bytes){pem.data, pem.len};
	refused(&e, &ctx, CHECK_CHAIN_MISSING, "ends in 'AK'");
	buf_reset(&pem);
	pki_pem(leaf, &pem);
	pki_pem(stranger, &pem);
	e.item[ITEM_CERTIFICATES] = (struct bytes){pem.data, pem.len};
	refused(&e, &ctx, CHECK_CHAIN_ORDER, "not issued by 'Another maker'");
	buf_reset(&pem);
	pki_pem(other, &pem);
	pki_pem(ca, &pem);
	e.item[ITEM_CERTIFICATES] = (struct bytes){pem.data, pem.len};
	refused(&e, &ctx, CHECK_CHAIN_ROLE, "another key");
	e.item[ITEM_CERTIFICATES].n = 40;
	refused(&e, &ctx, CHECK_CHAIN_FORMAT, "TPM chain");
	buf_free(&pem);
	tpm_made_free(&q);
	X509_free(ca);
	X509_free(leaf);
	X509_free(other);
	X509_free(stranger);
	EVP_PKEY_free(ca_key);
}

static void judged(
	const struct verdict *v, const struct tpm_wanted *w, enum evidence_check check, const char *word)
{
	struct error err = {0};

	assert_int_equal(tpm_judge(v, w, &err), -1);
	if (strcmp(err.check, evidence_check_name(check)) != 0 || !strstr(err.text, word))
		fail_msg("refused for %s: \"%s\"; wanted %s and \"%s\"", err.check, err.text,
			evidence_check_name(check), word);
}

static void test_judge(void **state)
{
	struct verify_context ctx = context();
	struct tpm_quote_spec s = honest();
	uint8_t other[32] = {0xee};
	struct tpm_pcr_wanted rows[] = {{7, maker[P256].pcr256[7]}, {4, other}, {4, maker[P256].pcr256[4]}};
	struct tpm_wanted w = {.pcr = rows, .pcr_count = 3, .event_log = true};
	char wanted[65], word[160];
	struct tpm_made q;
	struct evidence e;
	struct verdict v;

	tpm_make_quote(&maker[P256], &s, &q);
	e = parts(&q);
	accepted(&e, &ctx, &v);
	assert_int_equal(tpm_judge(&v, &w, NULL), 0);
	rows[0].value = other;
	hex_encode(maker[P256].pcr256[7], 32, wanted);
	snprintf(word, sizeof(word), "PCR 7 (sha256) is %s, wanted ee00", wanted);
	judged(&v, &w, CHECK_PCR, word);
	rows[0].value = maker[P256].pcr256[7];
	rows[2].value = other;
	judged(&v, &w, CHECK_PCR, "wanted one of the 2 accepted");
	rows[2] = (struct tpm_pcr_wanted){9, other};
	rows[1] = rows[0];
	judged(&v, &w, CHECK_PCR_SELECTION, "PCR 9 (sha256) was not quoted");
	v.detail.tpm.event_log = false;
	judged(&v, &w, CHECK_EVENT_LOG, "no event log");
	v.tee = TEE_SIM;
	judged(&v, &w, CHECK_TYPE, "sim");
	tpm_made_free(&q);
}

static void from_base64(json_t *j, const char *key, struct buf *ret)
{
	const char *text = json_string_value(json_object_get(j, key));

	buf_init(ret, 65536);
	assert_non_null(text);
	assert_int_equal(base64_decode(text, strlen(text), ret), 0);
}

/* A quote by a real TPM with its key. The extra data are somebody else's. */
static void test_real(void **state)
{
	struct verify_context ctx = {.now = NOW};
	struct trust_root root = {.tee = TEE_TPM};
	struct buf file, key, statement, signature, values;
	struct evidence e = {.tee = TEE_TPM};
	struct verdict v;
	const unsigned char *at;
	EVP_PKEY *k;
	json_t *j, *quote, *pcr;
	size_t i;

	if (!vectors_here())
		return;
	vector_read("tpm/quote.json", &file);
	assert_non_null(j = json_loadb((const char *)file.data, file.len, 0, NULL));
	quote = json_object_get(j, "tpm_quote");
	from_base64(j, "ak_public", &key);
	from_base64(quote, "message", &statement);
	from_base64(quote, "signature", &signature);
	buf_init(&values, 65536);
	json_array_foreach (json_object_get(quote, "pcrs"), i, pcr)
		assert_int_equal(hex_decode_buf(json_string_value(pcr), 64, &values), 0);
	e.item[ITEM_STATEMENT] = (struct bytes){statement.data, statement.len};
	e.item[ITEM_SIGNATURE] = (struct bytes){signature.data, signature.len};
	e.item[ITEM_KEY] = (struct bytes){key.data, key.len};
	e.item[ITEM_VALUES] = (struct bytes){values.data, values.len};
	refused(&e, &ctx, CHECK_PLATFORM, "enrolled here");
	at = key.data;
	assert_non_null(k = d2i_PUBKEY(NULL, &at, (long)key.len));
	assert_int_equal(key_hash(k, root.key_hash, NULL), 0);
	EVP_PKEY_free(k);
	ctx.roots = &root;
	ctx.root_count = 1;
	accepted(&e, &ctx, &v);
	assert_int_equal(v.detail.tpm.pcr_mask, 0xffffff);
	for (size_t bit = 0; bit < 8 * statement.len; bit++) {
		statement.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
		if (evidence_verify_parts(&e, &ctx, &v, NULL) == 0)
			fail_msg("accepted with bit %zu changed", bit);
		statement.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	values.data[0] = 1;
	refused(&e, &ctx, CHECK_PCR_DIGEST, "digest of the PCR values");
	json_decref(j);
	buf_free(&file);
	buf_free(&key);
	buf_free(&statement);
	buf_free(&signature);
	buf_free(&values);
}

static void test_show(void **state)
{
	struct verify_context ctx = context();
	struct tpm_quote_spec s = honest();
	struct error err = {0};
	struct tpm_made q;
	struct evidence e, again;
	struct verdict v;
	struct buf bundle;
	json_t *j = json_object();

	tpm_make_quote(&maker[RSAPSS], &s, &q);
	e = parts(&q);
	buf_init(&bundle, EVIDENCE_MAX);
	assert_int_equal(evidence_write(&e, &bundle, &err), 0);
	assert_int_equal(evidence_parse(bundle.data, bundle.len, TEE_NONE, &again, &err), 0);
	assert_int_equal(again.tee, TEE_TPM);
	accepted(&again, &ctx, &v);
	assert_int_equal(tpm_show(&again, j, &err), 0);
	assert_int_equal(json_object_size(json_object_get(j, "pcrs_sha256")), 9);
	json_decref(j);
	j = json_object();
	assert_int_equal(tpm_describe(&v, j), 0);
	assert_true(json_is_true(json_object_get(j, "event_log")));
	json_decref(j);
	buf_free(&bundle);
	tpm_made_free(&q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_valid),
		cmocka_unit_test(test_banks),
		cmocka_unit_test(test_every_bit),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_statement),
		cmocka_unit_test(test_key),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_event_log),
		cmocka_unit_test(test_certificates),
		cmocka_unit_test(test_judge),
		cmocka_unit_test(test_real),
		cmocka_unit_test(test_show),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
