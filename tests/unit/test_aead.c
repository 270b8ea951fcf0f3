#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "core/encode.h"
#include "crypto/aead.h"
#include "crypto/hash.h"

#define GCM_KEY "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308"
#define GCM_TEXT                                                                                             \
	"d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b1" \
	"6aedf5aa0de657ba637b39"
#define GCM_CIPHER                                                                                           \
	"522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5" \
	"f61e6393ba7a0abcc9f662"

/* The AES-256 cases of "The Galois/Counter Mode of Operation" (McGrew, Viega), appendix B, cases 13 to 16, as submitted to NIST.
 * The nonce is ours to choose only when opening. */
static const struct {
	const char *key, *nonce, *aad, *text, *cipher, *tag;
} vectors[] = {
	{"0000000000000000000000000000000000000000000000000000000000000000", "000000000000000000000000", "",
		"", "", "530f8afbc74536b9a963b4f1c4cb738b"},
	{"0000000000000000000000000000000000000000000000000000000000000000", "000000000000000000000000", "",
		"00000000000000000000000000000000", "cea7403d4d606b6e074ec5d3baf39d18",
		"d0d1c8a799996bf0265b98b5d48ab919"},
	{GCM_KEY, "cafebabefacedbaddecaf888", "", GCM_TEXT "1aafd255", GCM_CIPHER "898015ad",
		"b094dac5d93471bdec1a502270e3cc6c"},
	{GCM_KEY, "cafebabefacedbaddecaf888", "feedfacedeadbeeffeedfacedeadbeefabaddad2", GCM_TEXT,
		GCM_CIPHER, "76fc6ece0f4e1768cddf8853bb2d551b"},
};

static void test_vectors(void **state)
{
	struct buf sealed, aad, out, text;
	uint8_t key[AEAD_KEY_LEN];
	struct error err;

	buf_init(&sealed, 1000);
	buf_init(&aad, 1000);
	buf_init(&out, 1000);
	buf_init(&text, 1000);
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		assert_int_equal(hex_decode(vectors[i].key, strlen(vectors[i].key), key, sizeof(key)), 0);
		assert_int_equal(hex_decode_buf(vectors[i].nonce, strlen(vectors[i].nonce), &sealed), 0);
		assert_int_equal(hex_decode_buf(vectors[i].cipher, strlen(vectors[i].cipher), &sealed), 0);
		assert_int_equal(hex_decode_buf(vectors[i].tag, strlen(vectors[i].tag), &sealed), 0);
		assert_int_equal(hex_decode_buf(vectors[i].aad, strlen(vectors[i].aad), &aad), 0);
		assert_int_equal(hex_decode_buf(vectors[i].text, strlen(vectors[i].text), &text), 0);
		assert_int_equal(aead_open(key, aad.data, aad.len, sealed.data, sealed.len, &out, &err), 0);
		assert_int_equal(out.len, text.len);
		if (text.len > 0)
			assert_memory_equal(out.data, text.data, text.len);
		buf_reset(&sealed);
		buf_reset(&aad);
		buf_reset(&out);
		buf_reset(&text);
	}
	buf_free(&sealed);
	buf_free(&aad);
	buf_free(&out);
	buf_free(&text);
}

/* Any bit changed, in nonce, text, tag, associated data or key: refused, and out as it was. */
static void test_every_bit_counts(void **state)
{
	uint8_t key[AEAD_KEY_LEN], aad[5] = "label";
	struct buf sealed, out;
	struct error err;

	assert_int_equal(random_bytes(key, sizeof(key), &err), 0);
	buf_init(&sealed, 1000);
	buf_init_secret(&out, 1000);
	buf_puts(&out, "before");
	assert_int_equal(aead_seal(key, aad, sizeof(aad), "attack at dawn", 14, &sealed, &err), 0);
	assert_int_equal(sealed.len, 14 + AEAD_OVERHEAD);
	for (size_t bit = 0; bit < 8 * sealed.len; bit++) {
		sealed.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_equal(aead_open(key, aad, sizeof(aad), sealed.data, sealed.len, &out, &err), -1);
		assert_int_equal(err.code, ERR_CRYPTO);
		assert_int_equal(out.len, 6);
		sealed.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	for (size_t bit = 0; bit < 8 * sizeof(aad); bit++) {
		aad[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_equal(aead_open(key, aad, sizeof(aad), sealed.data, sealed.len, &out, &err), -1);
		aad[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	for (size_t bit = 0; bit < 8 * sizeof(key); bit++) {
		key[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_equal(aead_open(key, aad, sizeof(aad), sealed.data, sealed.len, &out, &err), -1);
		key[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	for (size_t n = 0; n < sealed.len; n++)
		assert_int_equal(aead_open(key, aad, sizeof(aad), sealed.data, n, &out, &err), -1);
	assert_int_equal(aead_open(key, aad, sizeof(aad) - 1, sealed.data, sealed.len, &out, &err), -1);
	assert_int_equal(aead_open(key, aad, sizeof(aad), sealed.data, sealed.len, &out, &err), 0);
	assert_int_equal(out.len, 20);
	assert_memory_equal(out.data, "beforeattack at dawn", 20);
	buf_free(&sealed);
	buf_free(&out);
}

/* Unauthentic plaintext does not stay behind in the caller's memory, even in an ordinary buffer. */
static void test_refused_text_is_wiped(void **state)
{
	static const uint8_t key[AEAD_KEY_LEN] = {1};
	static const uint8_t zeros[14];
	struct buf sealed, out;
	struct error err;

	buf_init(&sealed, 1000);
	buf_init(&out, 1000);
	assert_int_equal(aead_seal(key, NULL, 0, "attack at dawn", 14, &sealed, &err), 0);
	sealed.data[sealed.len - 1] ^= 1;
	assert_int_equal(aead_open(key, NULL, 0, sealed.data, sealed.len, &out, &err), -1);
	assert_int_equal(out.len, 0);
	assert_memory_equal(out.data, zeros, 14);
	buf_free(&sealed);
	buf_free(&out);
}

static void test_nonces_differ(void **state)
{
	static const uint8_t key[AEAD_KEY_LEN] = {1};
	uint8_t seen[64][AEAD_NONCE_LEN];
	struct buf out;
	struct error err;

	buf_init(&out, 1000);
	for (size_t i = 0; i < 64; i++) {
		buf_reset(&out);
		assert_int_equal(aead_seal(key, NULL, 0, "x", 1, &out, &err), 0);
		memcpy(seen[i], out.data, AEAD_NONCE_LEN);
		for (size_t j = 0; j < i; j++)
			assert_memory_not_equal(seen[i], seen[j], AEAD_NONCE_LEN);
	}
	buf_free(&out);
}

static void test_no_room(void **state)
{
	static const uint8_t key[AEAD_KEY_LEN] = {1};
	struct buf out, small;
	struct error err;

	buf_init(&out, 5 + AEAD_OVERHEAD - 1);
	assert_int_equal(aead_seal(key, NULL, 0, "hello", 5, &out, &err), -1);
	assert_int_equal(err.code, ERR_LIMIT);
	buf_free(&out);
	buf_init(&out, 1000);
	buf_init(&small, 4);
	assert_int_equal(aead_seal(key, NULL, 0, "hello", 5, &out, &err), 0);
	assert_int_equal(aead_open(key, NULL, 0, out.data, out.len, &small, &err), -1);
	assert_int_equal(err.code, ERR_LIMIT);
	assert_int_equal(aead_seal(key, NULL, 0, "", (size_t)1 << 32, &out, &err), -1);
	assert_int_equal(err.code, ERR_LIMIT);
	buf_free(&out);
	buf_free(&small);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_every_bit_counts),
		cmocka_unit_test(test_refused_text_is_wiped),
		cmocka_unit_test(test_nonces_differ),
		cmocka_unit_test(test_no_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
