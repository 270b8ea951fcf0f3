/* Signed sessions and signatures: what is accepted, and every way to be refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include "core/encode.h"
#include "crypto/key.h"
#include "policy/signature.h"

#define TEXT "name: n\nversion: \"0.3\"\n# caf\xc3\xa9\n"

static EVP_PKEY *ed, *p384, *p256;

static int make(void **state)
{
	assert_int_equal(key_generate(KEY_ED25519, &ed, NULL), 0);
	assert_int_equal(key_generate(KEY_P384, &p384, NULL), 0);
	assert_int_equal(key_generate(KEY_P256, &p256, NULL), 0);
	return 0;
}

static int unmake(void **state)
{
	EVP_PKEY_free(ed);
	EVP_PKEY_free(p384);
	EVP_PKEY_free(p256);
	return 0;
}

static void signed_by_two(struct buf *out)
{
	struct signed_session s;

	buf_init(out, 1 << 20);
	assert_int_equal(signed_session_new(TEXT, strlen(TEXT), &s, NULL), 0);
	assert_int_equal(signed_session_sign(&s, ed, NULL), 0);
	assert_int_equal(signed_session_sign(&s, p384, NULL), 0);
	assert_int_equal(signed_session_encode(&s, out, NULL), 0);
	signed_session_free(&s);
}

static void round_trip(void **state)
{
	struct signed_session s;
	struct error err;
	uint8_t key[32];
	struct buf b;

	signed_by_two(&b);
	assert_true(signed_session_looks(b.data, b.len));
	assert_false(signed_session_looks(TEXT, strlen(TEXT)));
	assert_int_equal(signed_session_decode(b.data, b.len, &s, &err), 0);
	assert_int_equal(s.len, strlen(TEXT));
	assert_memory_equal(s.text, TEXT, s.len);
	assert_int_equal(s.signer_count, 2);
	assert_int_equal(key_hash(ed, key, NULL), 0);
	assert_memory_equal(s.signers[0], key, 32);
	assert_int_equal(key_hash(p384, key, NULL), 0);
	assert_memory_equal(s.signers[1], key, 32);
	assert_int_equal(signed_session_sign(&s, ed, &err), -1);
	assert_int_equal(err.code, ERR_EXISTS);
	assert_int_equal(signed_session_sign(&s, p256, &err), -1);
	assert_int_equal(err.code, ERR_INPUT);
	signed_session_free(&s);
	buf_free(&b);
}

/* The bytes that are signed are those of the document, so that others can make them. */
static void the_bytes_are_the_documented_ones(void **state)
{
	static const char domain[] = "openscone-signed-session-v1";
	struct buf b, bytes, sig;
	json_t *j, *one;

	signed_by_two(&b);
	j = json_loadb((const char *)b.data, b.len, 0, NULL);
	buf_init(&bytes, 4096);
	buf_put(&bytes, domain, sizeof domain);
	buf_puts(&bytes, TEXT);
	for (size_t i = 0; i < 2; i++) {
		const char *text;

		one = json_array_get(json_object_get(j, "signatures"), i);
		text = json_string_value(json_object_get(one, "signature"));
		buf_init(&sig, 4096);
		assert_int_equal(base64_decode(text, strlen(text), &sig), 0);
		assert_int_equal(
			key_verify(i ? p384 : ed, bytes.data, bytes.len, sig.data, sig.len, NULL), 0);
		buf_free(&sig);
	}
	json_decref(j);
	buf_free(&bytes);
	buf_free(&b);
}

static void refuse(json_t *j, enum err_code code)
{
	char *text = json_dumps(j, 0);
	struct signed_session s;
	struct error err = {0};

	assert_int_equal(signed_session_decode(text, strlen(text), &s, &err), -1);
	assert_int_equal(err.code, code);
	free(text);
	json_decref(j);
}

static json_t *load(const struct buf *b)
{
	return json_loadb((const char *)b->data, b->len, 0, NULL);
}

static json_t *signature(json_t *j, size_t i)
{
	return json_array_get(json_object_get(j, "signatures"), i);
}

static void refused(void **state)
{
	struct buf b;
	json_t *j;

	signed_by_two(&b);
	j = load(&b);
	json_object_set_new(j, "session", json_string(TEXT " "));
	refuse(j, ERR_CRYPTO);
	j = load(&b);
	json_object_set(signature(j, 0), "signer", json_object_get(signature(j, 1), "signer"));
	refuse(j, ERR_CRYPTO);
	j = load(&b);
	json_object_set(signature(j, 1), "signature", json_object_get(signature(j, 0), "signature"));
	refuse(j, ERR_CRYPTO);
	j = load(&b);
	json_array_append(json_object_get(j, "signatures"), signature(j, 0));
	refuse(j, ERR_EXISTS);
	j = load(&b);
	json_array_clear(json_object_get(j, "signatures"));
	refuse(j, ERR_INPUT);
	j = load(&b);
	json_object_del(j, "signatures");
	refuse(j, ERR_INPUT);
	j = load(&b);
	json_object_set_new(j, "more", json_true());
	refuse(j, ERR_INPUT);
	j = load(&b);
	json_object_set_new(j, "format", json_string("openscone-signed-session-v2"));
	refuse(j, ERR_INPUT);
	j = load(&b);
	json_object_set_new(signature(j, 0), "more", json_true());
	refuse(j, ERR_INPUT);
	j = load(&b);
	json_object_set_new(signature(j, 0), "signature", json_string("no base64"));
	refuse(j, ERR_INPUT);
	j = load(&b);
	json_object_set_new(signature(j, 0), "signer", json_string("no key"));
	refuse(j, ERR_INPUT);
	refuse(json_array(), ERR_INPUT);
	buf_free(&b);
}

/* As a browser makes them: r and s. */
static void raw_signatures_of_p384(void **state)
{
	static const char bytes[] = "what is signed";
	uint8_t key[32], raw[96] = {0};
	const uint8_t *der;
	struct buf sig, pem, text;
	struct error err;
	size_t at = 3, n;

	buf_init(&sig, 512);
	buf_init(&pem, 4096);
	buf_init(&text, 4096);
	assert_int_equal(key_sign(p384, bytes, sizeof bytes, &sig, NULL), 0);
	assert_int_equal(key_public_to_pem(p384, &pem, NULL), 0);
	der = sig.data;
	for (size_t i = 0; i < 2; i++) {
		n = der[at++];
		if (n == 49)
			memcpy(raw + 48 * i, der + at + 1, 48);
		else
			memcpy(raw + 48 * i + 48 - n, der + at, n);
		at += n + 1;
	}
	base64_encode(raw, sizeof raw, &text);
	assert_int_equal(
		signature_verify(buf_cstr(&pem), buf_cstr(&text), bytes, sizeof bytes, key, &err), 0);
	raw[40] ^= 1;
	buf_reset(&text);
	base64_encode(raw, sizeof raw, &text);
	assert_int_equal(
		signature_verify(buf_cstr(&pem), buf_cstr(&text), bytes, sizeof bytes, key, &err), -1);
	assert_int_equal(err.code, ERR_CRYPTO);
	buf_free(&sig);
	buf_free(&pem);
	buf_free(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trip),
		cmocka_unit_test(the_bytes_are_the_documented_ones),
		cmocka_unit_test(refused),
		cmocka_unit_test(raw_signatures_of_p384),
	};

	return cmocka_run_group_tests(tests, make, unmake);
}
