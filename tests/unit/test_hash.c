#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include <stdlib.h>
#include "core/encode.h"
#include "crypto/hash.h"

static void assert_hex(const uint8_t *p, size_t n, const char *wanted)
{
	char hex[512];

	hex_encode(p, n, hex);
	assert_string_equal(hex, wanted);
}

/* FIPS 180-4 examples, and the empty message */
static const struct {
	const char *text;
	const char *digest;
} sha_vectors[] = {
	{"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
	{"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
	{"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
		"248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
};

static void test_sha256(void **state)
{
	uint8_t digest[SHA256_LEN];

	for (size_t i = 0; i < sizeof(sha_vectors) / sizeof(sha_vectors[0]); i++) {
		const char *text = sha_vectors[i].text;
		struct sha256_ctx *c;

		sha256(text, strlen(text), digest);
		assert_hex(digest, sizeof(digest), sha_vectors[i].digest);
		/* the same in two pieces, at every place */
		for (size_t cut = 0; cut <= strlen(text); cut++) {
			c = sha256_new();
			assert_non_null(c);
			sha256_update(c, text, cut);
			sha256_update(c, text + cut, strlen(text) - cut);
			sha256_final(c, digest);
			assert_hex(digest, sizeof(digest), sha_vectors[i].digest);
		}
	}
}

static void test_sha256_million(void **state)
{
	struct sha256_ctx *c = sha256_new();
	uint8_t digest[SHA256_LEN];
	char block[1000];

	memset(block, 'a', sizeof(block));
	for (int i = 0; i < 1000; i++)
		sha256_update(c, block, sizeof(block));
	sha256_final(c, digest);
	assert_hex(
		digest, sizeof(digest), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

/* Hex to bytes on the heap, so that a read over the end is seen. */
static uint8_t *bytes(const char *hex, size_t *ret_n)
{
	size_t n = strlen(hex) / 2;
	uint8_t *p = malloc(n ? n : 1);

	assert_non_null(p);
	assert_int_equal(hex_decode(hex, strlen(hex), p, n), 0);
	*ret_n = n;
	return p;
}

#define TEN_AA "aaaaaaaaaaaaaaaaaaaa"
#define AA_131 TEN_AA TEN_AA TEN_AA TEN_AA TEN_AA TEN_AA TEN_AA TEN_AA TEN_AA TEN_AA TEN_AA TEN_AA TEN_AA "aa"
#define TEN_DD "dddddddddddddddddddd"
#define TEN_CD "cdcdcdcdcdcdcdcdcdcd"

/* RFC 4231 sections 4.2 to 4.8; in 4.6 the result is cut to 128 bits */
static const struct {
	const char *key, *data, *mac;
} hmac_vectors[] = {
	{"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "4869205468657265",
		"b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
	{"4a656665", "7768617420646f2079612077616e7420666f72206e6f7468696e673f",
		"5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
	{TEN_AA TEN_AA, TEN_DD TEN_DD TEN_DD TEN_DD TEN_DD,
		"773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"},
	{"0102030405060708090a0b0c0d0e0f10111213141516171819", TEN_CD TEN_CD TEN_CD TEN_CD TEN_CD,
		"82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"},
	{"0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c", "546573742057697468205472756e636174696f6e",
		"a3b6167473100ee06e0c796c2955552b"},
	{AA_131,
		"54657374205573696e67204c6172676572205468616e20426c6f636b2d53697a65204b6579202d2048617368204b"
		"6579204669727374",
		"60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
	{AA_131,
		"5468697320697320612074657374207573696e672061206c6172676572207468616e20626c6f636b2d73697a6520"
		"6b657920616e642061206c"
		"6172676572207468616e20626c6f636b2d73697a6520646174612e20546865206b6579206e6565647320746f2062"
		"6520686173686564206265"
		"666f7265206265696e6720757365642062792074686520484d414320616c676f726974686d2e",
		"9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"},
};

static void test_hmac(void **state)
{
	uint8_t mac[SHA256_LEN];

	for (size_t i = 0; i < sizeof(hmac_vectors) / sizeof(hmac_vectors[0]); i++) {
		size_t klen, n;
		uint8_t *key = bytes(hmac_vectors[i].key, &klen), *data = bytes(hmac_vectors[i].data, &n);

		hmac_sha256(key, klen, data, n, mac);
		assert_hex(mac, strlen(hmac_vectors[i].mac) / 2, hmac_vectors[i].mac);
		free(key);
		free(data);
	}
	/* empty key, empty message: a known value */
	hmac_sha256(NULL, 0, "", 0, mac);
	assert_hex(mac, sizeof(mac), "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

/* RFC 5869 appendices A.1 to A.3 */
static const struct {
	const char *ikm, *salt, *info, *okm;
} hkdf_vectors[] = {
	{"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "000102030405060708090a0b0c", "f0f1f2f3f4f5f6f7f8f9",
		"3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"},
	{"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303"
	 "132333435363738393a3b3c3d"
	 "3e3f404142434445464748494a4b4c4d4e4f",
		"606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d"
		"8e8f909192939495969798999a9b"
		"9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeaf",
		"b0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdd"
		"dedfe0e1e2e3e4e5e6e7e8e9eaeb"
		"ecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff",
		"b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e59"
		"0e09da3275600c2f09b8367793a9"
		"aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87"},
	{"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "", "",
		"8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"},
};

static void test_hkdf(void **state)
{
	struct error err;

	for (size_t i = 0; i < sizeof(hkdf_vectors) / sizeof(hkdf_vectors[0]); i++) {
		size_t ilen, slen, info_len, n = strlen(hkdf_vectors[i].okm) / 2;
		uint8_t *ikm = bytes(hkdf_vectors[i].ikm, &ilen), *salt = bytes(hkdf_vectors[i].salt, &slen);
		uint8_t *info = bytes(hkdf_vectors[i].info, &info_len), *okm = malloc(n);
		char *text = strndup((char *)info, info_len);

		assert_int_equal(hkdf_sha256(ikm, ilen, slen ? salt : NULL, slen, text, okm, n, &err), 0);
		assert_hex(okm, n, hkdf_vectors[i].okm);
		free(ikm);
		free(salt);
		free(info);
		free(okm);
		free(text);
	}
}

static void test_hkdf_limit(void **state)
{
	static uint8_t out[255 * 32 + 1];
	struct error err;

	assert_int_equal(hkdf_sha256((const uint8_t *)"k", 1, NULL, 0, "x", out, 255 * 32, &err), 0);
	assert_int_equal(hkdf_sha256((const uint8_t *)"k", 1, NULL, 0, "x", out, 255 * 32 + 1, &err), -1);
	assert_int_equal(err.code, ERR_LIMIT);
}

static void test_random(void **state)
{
	uint8_t a[64] = {0}, b[64] = {0}, zeros[32] = {0};
	struct error err;

	assert_int_equal(random_bytes(a, sizeof(a), &err), 0);
	assert_int_equal(random_bytes(b, sizeof(b), &err), 0);
	assert_memory_not_equal(a, b, sizeof(a));
	assert_memory_not_equal(a, zeros, 32);
	assert_memory_not_equal(a + 32, zeros, 32);
	assert_int_equal(random_bytes(a, (size_t)1 << 40, &err), -1);
	assert_int_equal(err.code, ERR_LIMIT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sha256),
		cmocka_unit_test(test_sha256_million),
		cmocka_unit_test(test_hmac),
		cmocka_unit_test(test_hkdf),
		cmocka_unit_test(test_hkdf_limit),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
