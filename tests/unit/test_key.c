#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include "core/encode.h"
#include "crypto/key.h"

static const enum key_type types[] = {KEY_ED25519, KEY_P256, KEY_P384, KEY_RSA2048, KEY_RSA3072};
#define TYPE_COUNT (sizeof(types) / sizeof(types[0]))

static EVP_PKEY *keys[TYPE_COUNT]; /* RSA keys take time: made once */

static int make_keys(void **state)
{
	for (size_t i = 0; i < TYPE_COUNT; i++) {
		if (key_generate(types[i], &keys[i], NULL) < 0)
			return -1;
	}
	return 0;
}

static int free_keys(void **state)
{
	for (size_t i = 0; i < TYPE_COUNT; i++)
		EVP_PKEY_free(keys[i]);
	return 0;
}

static void test_sign_and_verify(void **state)
{
	struct error err;
	struct buf sig;

	buf_init(&sig, 1000);
	for (size_t i = 0; i < TYPE_COUNT; i++) {
		EVP_PKEY *other = keys[(i + 1) % TYPE_COUNT];

		buf_reset(&sig);
		assert_int_equal(key_sign(keys[i], "message", 7, &sig, &err), 0);
		assert_int_equal(key_verify(keys[i], "message", 7, sig.data, sig.len, &err), 0);
		assert_int_equal(key_verify(keys[i], "messagf", 7, sig.data, sig.len, &err), -1);
		assert_int_equal(err.code, ERR_CRYPTO);
		assert_int_equal(key_verify(keys[i], "message", 6, sig.data, sig.len, &err), -1);
		assert_int_equal(key_verify(other, "message", 7, sig.data, sig.len, &err), -1);
		assert_int_equal(key_verify(keys[i], "message", 7, sig.data, sig.len - 1, &err), -1);
		assert_int_equal(key_verify(keys[i], "message", 7, sig.data, 0, &err), -1);
		for (size_t at = 0; at < sig.len; at++) {
			sig.data[at] ^= 0x10;
			assert_int_equal(key_verify(keys[i], "message", 7, sig.data, sig.len, &err), -1);
			sig.data[at] ^= 0x10;
		}
		/* the empty message too */
		buf_reset(&sig);
		assert_int_equal(key_sign(keys[i], "", 0, &sig, &err), 0);
		assert_int_equal(key_verify(keys[i], "", 0, sig.data, sig.len, &err), 0);
	}
	buf_free(&sig);
	buf_init(&sig, 10);
	assert_int_equal(key_sign(keys[0], "m", 1, &sig, &err), -1);
	assert_int_equal(err.code, ERR_LIMIT);
	buf_free(&sig);
}

/* RFC 8032 section 7.1, tests 1 to 3: public key, message, signature */
static const struct {
	const char *public, *message, *signature;
} ed25519_vectors[] = {
	{"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
		"e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9"
		"b46bd25bf5f0595bbe24655141438e7"
		"a100b"},
	{"3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
		"92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f1"
		"1d8c387b2eaeb4302aeeb00d291612b"
		"b0c00"},
	{"fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
		"6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984d"
		"c6594a7c15e9716ed28dc027beceea1"
		"ec40a"},
};

static void test_ed25519_vectors(void **state)
{
	struct error err;

	for (size_t i = 0; i < sizeof(ed25519_vectors) / sizeof(ed25519_vectors[0]); i++) {
		uint8_t raw[32], back[32], message[8], sig[64];
		size_t n = strlen(ed25519_vectors[i].message) / 2;
		EVP_PKEY *k;

		assert_int_equal(hex_decode(ed25519_vectors[i].public, 64, raw, 32), 0);
		assert_int_equal(hex_decode(ed25519_vectors[i].message, 2 * n, message, n), 0);
		assert_int_equal(hex_decode(ed25519_vectors[i].signature, 128, sig, 64), 0);
		assert_int_equal(key_ed25519_from_raw(raw, &k, &err), 0);
		assert_int_equal(key_verify(k, message, n, sig, sizeof(sig), &err), 0);
		sig[0] ^= 1;
		assert_int_equal(key_verify(k, message, n, sig, sizeof(sig), &err), -1);
		assert_int_equal(key_ed25519_public_raw(k, back, &err), 0);
		assert_memory_equal(raw, back, 32);
		EVP_PKEY_free(k);
	}
	{
		uint8_t back[32];

		assert_int_equal(key_ed25519_public_raw(keys[1], back, &err), -1);
		assert_int_equal(err.code, ERR_INPUT);
		assert_non_null(strstr(err.text, "EC"));
	}
}

static void test_pem(void **state)
{
	struct buf pem, public, der;
	struct error err;

	buf_init_secret(&pem, 10000);
	buf_init(&public, 10000);
	buf_init(&der, 10000);
	for (size_t i = 0; i < TYPE_COUNT; i++) {
		uint8_t hash[32], again[32], of_der[32];
		EVP_PKEY *k, *pub;

		buf_reset(&pem);
		buf_reset(&public);
		buf_reset(&der);
		assert_int_equal(key_to_pem(keys[i], &pem, &err), 0);
		assert_memory_equal(pem.data, "-----BEGIN PRIVATE KEY-----\n", 28);
		assert_int_equal(key_from_pem((char *)pem.data, pem.len, &k, &err), 0);
		assert_int_equal(EVP_PKEY_eq(k, keys[i]), 1);
		assert_int_equal(key_public_to_pem(k, &public, &err), 0);
		assert_memory_equal(public.data, "-----BEGIN PUBLIC KEY-----\n", 27);
		assert_int_equal(key_public_from_pem((char *)public.data, public.len, &pub, &err), 0);
		assert_int_equal(key_hash(keys[i], hash, &err), 0);
		assert_int_equal(key_hash(pub, again, &err), 0);
		assert_memory_equal(hash, again, 32);
		assert_int_equal(key_spki_der(pub, &der, &err), 0);
		sha256(der.data, der.len, of_der);
		assert_memory_equal(hash, of_der, 32);
		EVP_PKEY_free(k);
		EVP_PKEY_free(pub);
		/* a public key is no private key, and the reverse; half a file is neither */
		assert_int_equal(key_from_pem((char *)public.data, public.len, &k, &err), -1);
		assert_int_equal(err.code, ERR_INPUT);
		assert_int_equal(key_public_from_pem((char *)pem.data, pem.len, &k, &err), -1);
		assert_int_equal(key_from_pem((char *)pem.data, pem.len / 2, &k, &err), -1);
	}
	{
		EVP_PKEY *k;

		assert_int_equal(key_from_pem("", 0, &k, &err), -1);
		assert_int_equal(key_from_pem("rubbish", 7, &k, &err), -1);
	}
	buf_free(&pem);
	buf_free(&public);
	buf_free(&der);
}

/* OpenSSL would ask on the terminal; the test would hang if it did. */
static void test_encrypted_pem_is_refused(void **state)
{
	BIO *bio = BIO_new(BIO_s_mem());
	struct error err;
	EVP_PKEY *k;
	char *p;
	long n;

	assert_int_equal(
		PEM_write_bio_PKCS8PrivateKey(bio, keys[0], EVP_aes_256_cbc(), "pw", 2, NULL, NULL), 1);
	n = BIO_get_mem_data(bio, &p);
	assert_int_equal(key_from_pem(p, (size_t)n, &k, &err), -1);
	assert_int_equal(err.code, ERR_INPUT);
	BIO_free(bio);
}

/* 32 zero bytes with version 0x4f and with version 0x0a, computed by an independent Base58 encoder. */
#define ZERO_TEXT "3eZowKTXKcRteouico2wMLNBM1ejMdaBAVbWGqLpXmXdz92xaiK"
#define OTHER_VERSION_TEXT "LSSmKVKXFmGMCp44oCzYCzkA9ABW3RksPi5SVsxwZ4swEBHVSf"

static void test_hash_text(void **state)
{
	uint8_t hash[32], back[32];
	char text[KEY_HASH_TEXT_MAX];
	struct error err;

	memset(hash, 0, sizeof(hash));
	key_hash_text(hash, text);
	assert_string_equal(text, ZERO_TEXT);
	for (int round = 0; round < 300; round++) {
		size_t len;

		if (round == 1)
			memset(hash, 0xff, sizeof(hash));
		else if (round > 1)
			sha256(hash, sizeof(hash), hash);
		key_hash_text(hash, text);
		len = strlen(text);
		assert_true(len >= 50 && len < KEY_HASH_TEXT_MAX);
		assert_int_equal(key_hash_parse(text, len, back, &err), 0);
		assert_memory_equal(hash, back, 32);
	}
}

static void test_hash_text_refused(void **state)
{
	static const char digits[] = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
	char text[KEY_HASH_TEXT_MAX], bad[KEY_HASH_TEXT_MAX + 2];
	uint8_t hash[32] = {1, 2, 3}, back[32] = {42};
	struct error err;
	size_t len;

	key_hash_text(hash, text);
	len = strlen(text);
	/* any digit changed to any other, so any typing error */
	for (size_t at = 0; at < len; at++) {
		for (size_t d = 0; d < 58; d++) {
			strcpy(bad, text);
			bad[at] = digits[d];
			if (digits[d] != text[at])
				assert_int_equal(key_hash_parse(bad, len, back, &err), -1);
		}
	}
	assert_int_equal(err.code, ERR_INPUT);
	for (size_t n = 0; n < len; n++)
		assert_int_equal(key_hash_parse(text, n, back, &err), -1);
	/* one more digit at either end, digits that are none, another version byte */
	snprintf(bad, sizeof(bad), "1%s", text);
	assert_int_equal(key_hash_parse(bad, len + 1, back, &err), -1);
	snprintf(bad, sizeof(bad), "%s1", text);
	assert_int_equal(key_hash_parse(bad, len + 1, back, &err), -1);
	memset(bad, 'z', 63);
	assert_int_equal(key_hash_parse(bad, 63, back, &err), -1);
	assert_int_equal(key_hash_parse(bad, 64, back, &err), -1);
	for (const char *c = "0OIl +/\x80"; *c; c++) {
		strcpy(bad, text);
		bad[7] = *c;
		assert_int_equal(key_hash_parse(bad, len, back, &err), -1);
		assert_non_null(strstr(err.text, "character 8"));
	}
	strcpy(bad, text);
	bad[7] = '\0';
	assert_int_equal(key_hash_parse(bad, len, back, &err), -1);
	assert_int_equal(key_hash_parse(OTHER_VERSION_TEXT, strlen(OTHER_VERSION_TEXT), back, &err), -1);
	assert_non_null(strstr(err.text, "wanted 0x4f"));
	assert_int_equal(back[0], 42);
}

static void test_unsuitable_keys(void **state)
{
	EVP_PKEY *rsa = EVP_RSA_gen(1024), *ec = EVP_EC_gen("secp224r1"),
		 *x = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
	struct error err;
	struct buf sig;

	buf_init(&sig, 1000);
	assert_int_equal(key_sign(rsa, "m", 1, &sig, &err), -1);
	assert_non_null(strstr(err.text, "1024"));
	assert_int_equal(key_verify(rsa, "m", 1, (uint8_t *)"s", 1, &err), -1);
	assert_int_equal(err.code, ERR_INPUT);
	assert_int_equal(key_sign(ec, "m", 1, &sig, &err), -1);
	assert_non_null(strstr(err.text, "secp224r1"));
	assert_int_equal(key_sign(x, "m", 1, &sig, &err), -1);
	assert_non_null(strstr(err.text, "X25519"));
	assert_int_equal(sig.len, 0);
	EVP_PKEY_free(rsa);
	EVP_PKEY_free(ec);
	EVP_PKEY_free(x);
	buf_free(&sig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sign_and_verify),
		cmocka_unit_test(test_ed25519_vectors),
		cmocka_unit_test(test_pem),
		cmocka_unit_test(test_encrypted_pem_is_refused),
		cmocka_unit_test(test_hash_text),
		cmocka_unit_test(test_hash_text_refused),
		cmocka_unit_test(test_unsuitable_keys),
	};

	return cmocka_run_group_tests(tests, make_keys, free_keys);
}
