#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include <openssl/x509v3.h>
#include <time.h>
#include "crypto/x509.h"

static void test_every_key_type(void **state)
{
	static const enum key_type types[] = {KEY_ED25519, KEY_P256, KEY_P384, KEY_RSA2048};

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		uint8_t hash[32], of_cert[32], again[32];
		struct error err;
		struct buf pem;
		EVP_PKEY *k, *other;
		X509 *c, *back;

		assert_int_equal(key_generate(types[i], &k, &err), 0);
		assert_int_equal(key_generate(KEY_ED25519, &other, &err), 0);
		assert_int_equal(x509_self_signed(k, "a name", "cas.example", "127.0.0.1", 30, &c, &err), 0);
		assert_int_equal(X509_verify(c, k), 1);
		assert_int_equal(X509_verify(c, other), types[i] == KEY_ED25519 ? 0 : -1);
		assert_int_equal(key_hash(k, hash, &err), 0);
		assert_int_equal(x509_key_hash(c, of_cert, &err), 0);
		assert_memory_equal(hash, of_cert, 32);
		buf_init(&pem, 10000);
		assert_int_equal(x509_to_pem(c, &pem, &err), 0);
		assert_int_equal(x509_from_pem((char *)pem.data, pem.len, &back, &err), 0);
		assert_int_equal(X509_cmp(c, back), 0);
		assert_int_equal(x509_key_hash(back, again, &err), 0);
		assert_memory_equal(hash, again, 32);
		assert_int_equal(x509_from_pem((char *)pem.data, pem.len / 2, &back, &err), -1);
		assert_int_equal(err.code, ERR_INPUT);
		buf_free(&pem);
		X509_free(c);
		X509_free(back);
		EVP_PKEY_free(k);
		EVP_PKEY_free(other);
	}
}

static void test_fields(void **state)
{
	struct error err;
	EVP_PKEY *k;
	X509 *c, *c2;
	char name[64];
	int days, seconds;

	assert_int_equal(key_generate(KEY_ED25519, &k, &err), 0);
	assert_int_equal(x509_self_signed(k, "CAS", "cas.example", "::1", 30, &c, &err), 0);
	assert_int_equal(x509_self_signed(k, "CAS", NULL, NULL, 30, &c2, &err), 0);
	assert_int_equal(X509_get_version(c), X509_VERSION_3);
	assert_int_not_equal(ASN1_INTEGER_cmp(X509_get0_serialNumber(c), X509_get0_serialNumber(c2)), 0);
	assert_true(ASN1_STRING_length(X509_get0_serialNumber(c)) >= 12);
	assert_true(ASN1_STRING_length(X509_get0_serialNumber(c)) <= 20);
	X509_NAME_get_text_by_NID(X509_get_subject_name(c), NID_commonName, name, sizeof(name));
	assert_string_equal(name, "CAS");
	assert_int_equal(X509_NAME_cmp(X509_get_subject_name(c), X509_get_issuer_name(c)), 0);
	assert_int_equal(X509_check_ca(c), 0);
	assert_int_equal(X509_get_key_usage(c), KU_DIGITAL_SIGNATURE);
	assert_int_equal(ASN1_TIME_diff(&days, &seconds, X509_get0_notBefore(c), X509_get0_notAfter(c)), 1);
	assert_int_equal(days * 24 + (seconds + 30) / 3600, 30 * 24 + 1);
	assert_int_equal(ASN1_TIME_diff(&days, &seconds, X509_get0_notBefore(c), NULL), 1);
	assert_true(days == 0 && seconds >= 3600 && seconds < 3700);
	assert_int_equal(X509_check_host(c, "cas.example", 0, 0, NULL), 1);
	assert_int_equal(X509_check_host(c, "other.example", 0, 0, NULL), 0);
	assert_int_equal(X509_check_ip_asc(c, "::1", 0), 1);
	assert_int_equal(X509_check_ip_asc(c, "127.0.0.1", 0), 0);
	assert_int_equal(X509_get_ext_by_NID(c2, NID_subject_alt_name, -1), -1);
	X509_free(c);
	X509_free(c2);
	EVP_PKEY_free(k);
}

/* Names cannot smuggle other extensions or names in. */
static void test_refused(void **state)
{
	static const struct {
		const char *name, *dns, *ip;
		int days;
		const char *says;
	} bad[] = {
		{"n", "a,IP:1.2.3.4", NULL, 1, "DNS name"},
		{"n", "a b", NULL, 1, "DNS name"},
		{"n", "", NULL, 1, "DNS name"},
		{"n", "a\nb", NULL, 1, "DNS name"},
		{"n", NULL, "1.2.3", 1, "IP address"},
		{"n", NULL, "127.0.0.1,DNS:x", 1, "IP address"},
		{"n", NULL, "localhost", 1, "IP address"},
		{"n", NULL, NULL, 0, "0 days"},
		{"n", NULL, NULL, -5, "-5 days"},
		{"n", NULL, NULL, 1000000, "1000000 days"},
		{"a common name of more than sixty-four characters, which RFC 5280 forbids", NULL, NULL, 1,
			"not made"},
	};
	struct error err;
	EVP_PKEY *k;
	X509 *c;

	assert_int_equal(key_generate(KEY_ED25519, &k, &err), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(
			x509_self_signed(k, bad[i].name, bad[i].dns, bad[i].ip, bad[i].days, &c, &err), -1);
		if (!strstr(err.text, bad[i].says))
			fail_msg("'%s' does not say '%s'", err.text, bad[i].says);
	}
	EVP_PKEY_free(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_key_type),
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
