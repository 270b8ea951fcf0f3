/* Enrolment of a TPM's attestation key, the relying party's side, and how a machine's evidence speaks of one program. With a TPM: tests/e2e/tee_tpm.sh. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "../lib/make_tpm.h"
#include "crypto/hash.h"
#include "evidence/check.h"
#include "evidence/collateral.h"
#include "evidence/tpm_credential.h"
#include "evidence/tpm_key.h"
#include "evidence/workload.h"
#include "measure/measure.h"

#define NOW 1800000000ull

static struct tpm_maker ak_maker, ek_maker, other;
static struct buf ek, ak;

static void put_parent(const struct buf *parent, struct buf *out)
{
	struct tpm_public k;
	struct tpm_name name;
	size_t used;

	assert_int_equal(tpm_public_decode(parent->data, parent->len, &k, &used, NULL), 0);
	tpm_endorsement_name(&k, &name);
	buf_put(out, name.p, name.n);
}

static int setup(void **state)
{
	tpm_maker_init(&ak_maker, MAKE_ECDSA, false);
	tpm_maker_init(&ek_maker, MAKE_ECDSA, false);
	tpm_maker_init(&other, MAKE_ECDSA, false);
	tpm_make_ek(&ek_maker, TPM_EK_ATTRIBUTES, TPM_ALG_CFB, &ek);
	buf_init(&ak, 4096);
	tpm_make_public(&ak_maker, &ak);
	put_parent(&ek, &ak);
	return 0;
}

static int teardown(void **state)
{
	tpm_maker_free(&ak_maker);
	tpm_maker_free(&ek_maker);
	tpm_maker_free(&other);
	buf_free(&ek);
	buf_free(&ak);
	return 0;
}

static struct bytes bytes(const struct buf *b)
{
	return (struct bytes){b->data, b->len};
}

static void is_check(const struct error *err, enum evidence_check check, const char *word)
{
	assert_int_equal(err->code, ERR_ATTEST);
	if (!err->check || strcmp(err->check, evidence_check_name(check)) != 0 || !strstr(err->text, word))
		fail_msg("refused for %s: \"%s\"; wanted %s and \"%s\"", err->check ? err->check : "-",
			err->text, evidence_check_name(check), word);
}

static void not_enrolled(
	const struct buf *e, const struct buf *a, enum evidence_check check, const char *word)
{
	struct error err = {0};
	uint8_t hash[32];

	assert_int_equal(tpm_enrol_check(bytes(e), bytes(a), hash, &err), -1);
	is_check(&err, check, word);
}

static void test_check(void **state)
{
	struct tpm_maker loose = ak_maker;
	struct buf other_ek, changed;
	uint8_t hash[32], wanted[32];

	assert_int_equal(tpm_enrol_check(bytes(&ek), bytes(&ak), hash, NULL), 0);
	assert_int_equal(key_hash(ak_maker.key, wanted, NULL), 0);
	assert_memory_equal(hash, wanted, 32);

	tpm_make_ek(&other, TPM_EK_ATTRIBUTES, TPM_ALG_CFB, &other_ek);
	not_enrolled(&other_ek, &ak, CHECK_ATTESTATION_KEY, "parent is another key");
	buf_free(&other_ek);
	tpm_make_ek(&ek_maker, TPM_EK_ATTRIBUTES | TPM_ATTR_SIGN, TPM_ALG_CFB, &other_ek);
	not_enrolled(&other_ek, &ak, CHECK_ATTESTATION_KEY, "endorsement key: attributes");
	buf_free(&other_ek);
	tpm_make_ek(&ek_maker, TPM_EK_ATTRIBUTES & ~TPM_ATTR_FIXED_TPM, TPM_ALG_CFB, &other_ek);
	not_enrolled(&other_ek, &ak, CHECK_ATTESTATION_KEY, "endorsement key: attributes");
	buf_free(&other_ek);
	tpm_make_ek(&ek_maker, TPM_EK_ATTRIBUTES, 0x0044, &other_ek);
	not_enrolled(&other_ek, &ak, CHECK_ATTESTATION_KEY, "wanted AES-CFB");
	buf_free(&other_ek);
	not_enrolled(&ak, &ak, CHECK_FORMAT, "follow the TPMT_PUBLIC");

	loose.attributes &= ~TPM_ATTR_RESTRICTED; /* it would sign a quote that no TPM made */
	buf_init(&changed, 4096);
	tpm_make_public(&loose, &changed);
	put_parent(&ek, &changed);
	not_enrolled(&ek, &changed, CHECK_ATTESTATION_KEY, "attestation key: attributes");
	buf_reset(&changed);
	tpm_make_public(&ak_maker, &changed); /* without its parent's name */
	not_enrolled(&ek, &changed, CHECK_ATTESTATION_KEY, "parent is another key");
	buf_free(&changed);
}

static X509 *certificate(EVP_PKEY *key, X509 *issuer, EVP_PKEY *issuer_key, bool ca)
{
	struct pki_spec s = {.common_name = ca ? "TPM maker" : "EK",
		.key = key,
		.issuer = issuer,
		.issuer_key = issuer_key,
		.from = NOW - 100,
		.to = NOW + 100,
		.ca = ca,
		.path_length = -1};

	return pki_certificate(&s);
}

/* 0: for endorsement keys; 1: for servers; 2: for endorsement keys, a CA. */
static X509 *with_purpose(X509 *issuer, EVP_PKEY *issuer_key, size_t which)
{
	static const uint8_t ek_purpose[] = {0x30, 0x07, 0x06, 0x05, 0x67, 0x81, 0x05, 0x08, 0x01};
	static const uint8_t server[] = {
		0x30, 0x0a, 0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01};
	const struct pki_extension extensions[] = {
		which == 1 ? pki_raw("2.5.29.37", server, sizeof(server))
			   : pki_raw("2.5.29.37", ek_purpose, sizeof(ek_purpose)),
		{0}};
	struct pki_spec s = {.common_name = "EK",
		.key = ek_maker.key,
		.issuer = issuer,
		.issuer_key = issuer_key,
		.from = NOW - 100,
		.to = NOW + 100,
		.ca = which == 2,
		.path_length = -1,
		.extensions = extensions};

	return pki_certificate(&s);
}

static void test_certificate(void **state)
{
	EVP_PKEY *ca_key = pki_key(KEY_P256);
	X509 *ca = certificate(ca_key, NULL, NULL, true),
	     *good = certificate(ek_maker.key, ca, ca_key, false);
	X509 *bad = certificate(other.key, ca, ca_key, false);
	struct trust_root root = {.tee = TEE_TPM};
	struct verify_context ctx = {.now = NOW, .roots = &root, .root_count = 1};
	const struct tpm_issuers none = {0}, issuers = {&ca, 1};
	static const uint64_t serial = 0;
	const struct pki_list list = {ca, ca_key, PKI_DEFAULT, NOW - 100, NOW + 100, &serial, 1};
	struct collateral *c;
	struct error err = {0};
	struct buf pem;

	pki_key_hash(ca, root.key_hash);
	buf_init(&pem, 65536);
	pki_pem(good, &pem);
	pki_pem(ca, &pem);
	assert_int_equal(tpm_enrol_certificate(bytes(&ek), bytes(&pem), none, &ctx, &err), 0);
	ctx.now = NOW + 101;
	assert_int_equal(tpm_enrol_certificate(bytes(&ek), bytes(&pem), none, &ctx, &err), -1);
	is_check(&err, CHECK_CHAIN_TIME, "'EK'");
	ctx.now = NOW;
	ctx.root_count = 0;
	assert_int_equal(tpm_enrol_certificate(bytes(&ek), bytes(&pem), none, &ctx, &err), -1);
	is_check(&err, CHECK_CHAIN_ROOT, "'TPM maker'");
	ctx.root_count = 1;
	assert_int_equal(tpm_enrol_certificate(bytes(&ek), (struct bytes){0}, none, &ctx, &err), -1);
	is_check(&err, CHECK_CHAIN_MISSING, "no certificate of a maker");
	buf_reset(&pem);
	pki_pem(bad, &pem);
	pki_pem(ca, &pem);
	assert_int_equal(tpm_enrol_certificate(bytes(&ek), bytes(&pem), none, &ctx, &err), -1);
	is_check(&err, CHECK_ATTESTATION_KEY, "for another key");
	buf_reset(&pem);
	pki_der(good, &pem);
	assert_int_equal(tpm_enrol_certificate(bytes(&ek), bytes(&pem), none, &ctx, &err), -1);
	is_check(&err, CHECK_CHAIN_MISSING, "ends in 'EK'");
	/* as a TPM carries it, alone: the maker's own are the relying party's */
	assert_int_equal(tpm_enrol_certificate(bytes(&ek), bytes(&pem), issuers, &ctx, &err), 0);
	root.key_hash[0] ^= 1;
	assert_int_equal(tpm_enrol_certificate(bytes(&ek), bytes(&pem), issuers, &ctx, &err), -1);
	is_check(&err, CHECK_CHAIN_ROOT, "'TPM maker'");
	root.key_hash[0] ^= 1;
	ctx.collateral = c = pki_list_collateral(&list);
	assert_int_equal(tpm_enrol_certificate(bytes(&ek), bytes(&pem), issuers, &ctx, &err), -1);
	is_check(&err, CHECK_REVOKED_KEY, "'EK'");
	collateral_free(c);
	ctx.collateral = NULL;
	for (size_t n = 0; n < pem.len; n += 7) {
		assert_int_equal(
			tpm_enrol_certificate(bytes(&ek), (struct bytes){pem.data, n}, issuers, &ctx, &err),
			-1);
		assert_int_equal(err.code, ERR_ATTEST);
	}
	for (size_t i = 0; i < 3; i++) {
		X509 *one = with_purpose(ca, ca_key, i);

		buf_reset(&pem);
		pki_der(one, &pem);
		assert_int_equal(
			tpm_enrol_certificate(bytes(&ek), bytes(&pem), issuers, &ctx, &err), i == 0 ? 0 : -1);
		if (i > 0)
			is_check(&err, CHECK_CHAIN_ROLE, i == 1 ? "2.23.133.8.1" : "that of a CA");
		X509_free(one);
	}
	buf_free(&pem);
	X509_free(ca);
	X509_free(good);
	X509_free(bad);
	EVP_PKEY_free(ca_key);
}

static void test_credential_form(void **state)
{
	uint8_t secret[33] = {1};
	struct buf id, encrypted;
	struct error err = {0};

	buf_init(&id, 4096);
	buf_init(&encrypted, 4096);
	assert_int_equal(tpm_credential_make(bytes(&ek), bytes(&ak), secret, 32, &id, &encrypted, &err), 0);
	assert_int_equal(id.len, 2 + 2 + 32 + 2 + 32); /* TPM2B, HMAC, encrypted credential */
	assert_int_equal(encrypted.len, 2 + 2 * (2 + 32)); /* TPM2B of a point */
	assert_null(memmem(id.data, id.len, secret, 16));
	assert_int_equal(tpm_credential_make(bytes(&ek), bytes(&ak), secret, 15, &id, &encrypted, &err), -1);
	assert_int_equal(err.code, ERR_INPUT);
	assert_int_equal(tpm_credential_make(bytes(&ek), bytes(&ak), secret, 33, &id, &encrypted, &err), -1);
	buf_free(&id);
	buf_free(&encrypted);
}

static void test_workload(void **state)
{
	struct trust_root root = {.tee = TEE_TPM};
	uint8_t runtime[32], manifest[32], report_data[REPORT_DATA_LEN], item[WORKLOAD_LEN],
		bound[REPORT_DATA_LEN];
	struct verify_context ctx = {.now = NOW, .roots = &root, .root_count = 1, .report_data = report_data};
	struct tpm_quote_spec spec = {.extra = {bound, WORKLOAD_BOUND_LEN}};
	struct evidence e = {.tee = TEE_TPM};
	struct error err = {0};
	struct tpm_made q;
	struct verdict v;
	uint8_t wanted[32];

	memset(runtime, 1, sizeof(runtime));
	memset(manifest, 2, sizeof(manifest));
	memset(report_data, 3, sizeof(report_data));
	workload_make(runtime, manifest, report_data, item);
	workload_bind(item, bound);
	assert_int_equal(key_hash(ak_maker.key, root.key_hash, NULL), 0);
	tpm_make_quote(&ak_maker, &spec, &q);
	e.item[ITEM_STATEMENT] = bytes(&q.statement);
	e.item[ITEM_SIGNATURE] = bytes(&q.signature);
	e.item[ITEM_KEY] = bytes(&q.key);
	e.item[ITEM_VALUES] = bytes(&q.values);
	e.item[ITEM_WORKLOAD] = (struct bytes){item, sizeof(item)};
	assert_int_equal(evidence_verify_parts(&e, &ctx, &v, &err), 0);
	assert_memory_equal(v.runtime_digest, runtime, 32);
	assert_memory_equal(v.manifest_root, manifest, 32);
	assert_memory_equal(v.report_data, report_data, REPORT_DATA_LEN);
	measurement(runtime, manifest, wanted);
	assert_memory_equal(v.measurement, wanted, 32);
	for (size_t i = 0; i < 8 * sizeof(item);
		i++) { /* another program, or another connection, beside the same quote */
		item[i / 8] ^= (uint8_t)(1u << i % 8);
		assert_int_equal(evidence_verify_parts(&e, &ctx, &v, &err), -1);
		is_check(&err, CHECK_REPORT_DATA, "TPM quote: report data");
		item[i / 8] ^= (uint8_t)(1u << i % 8);
	}
	report_data[0] ^= 1; /* wanted for another connection */
	assert_int_equal(evidence_verify_parts(&e, &ctx, &v, &err), -1);
	is_check(&err, CHECK_REPORT_DATA, "workload: report data");
	report_data[0] ^= 1;
	e.item[ITEM_WORKLOAD].n--;
	assert_int_equal(evidence_verify_parts(&e, &ctx, &v, &err), -1);
	is_check(&err, CHECK_FORMAT, "127 bytes");
	tpm_made_free(&q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_check),
		cmocka_unit_test(test_certificate),
		cmocka_unit_test(test_credential_form),
		cmocka_unit_test(test_workload),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
