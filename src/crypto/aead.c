#include "crypto/aead.h"

#include <limits.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include "core/secret.h"
#include "crypto/hash.h"
#include "crypto/init.h"

#define AEAD_MAX ((size_t)INT_MAX - AEAD_OVERHEAD)

static int check_sizes(size_t aad_len, size_t n, struct error *err)
{
	if (n > AEAD_MAX || aad_len > AEAD_MAX)
		return error_set(err, ERR_LIMIT,
			"AES-GCM message of %zu bytes with %zu more to authenticate, at most %zu each", n,
			aad_len, AEAD_MAX);
	return 0;
}

static bool feed_aad(EVP_CIPHER_CTX *c, const void *aad, size_t n)
{
	int len;

	return n == 0 || EVP_CipherUpdate(c, NULL, &len, aad, (int)n) == 1;
}

int aead_seal(const uint8_t key[AEAD_KEY_LEN], const void *aad, size_t aad_len, const void *p, size_t n,
	struct buf *out, struct error *err)
{
	uint8_t *nonce, *text, *tag;
	EVP_CIPHER_CTX *c;
	int len = 0, last = 0;
	bool ok;

	if (check_sizes(aad_len, n, err) < 0)
		return -1;
	nonce = buf_reserve(out, n + AEAD_OVERHEAD);
	if (!nonce)
		return error_set(err, ERR_LIMIT, "no room for %zu sealed bytes", n + AEAD_OVERHEAD);
	text = nonce + AEAD_NONCE_LEN;
	tag = text + n;
	if (random_bytes(nonce, AEAD_NONCE_LEN, err) < 0)
		return -1;
	c = EVP_CIPHER_CTX_new();
	ok = c && EVP_EncryptInit_ex2(c, crypto_aes_256_gcm(), key, nonce, NULL) == 1 &&
	     feed_aad(c, aad, aad_len) && (n == 0 || EVP_EncryptUpdate(c, text, &len, p, (int)n) == 1) &&
	     (size_t)len == n && EVP_EncryptFinal_ex(c, tag, &last) == 1 &&
	     EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, AEAD_TAG_LEN, tag) == 1;
	EVP_CIPHER_CTX_free(c);
	if (!ok)
		return crypto_error(err, ERR_CRYPTO, "AES-GCM could not seal %zu bytes", n);
	out->len += n + AEAD_OVERHEAD;
	return 0;
}

int aead_open(const uint8_t key[AEAD_KEY_LEN], const void *aad, size_t aad_len, const void *sealed, size_t n,
	struct buf *out, struct error *err)
{
	const uint8_t *nonce = sealed;
	uint8_t *to, tail[AEAD_TAG_LEN];
	EVP_CIPHER_CTX *c;
	size_t text_len;
	int len = 0, last = 0;
	bool ok;

	if (n < AEAD_OVERHEAD)
		return error_set(err, ERR_CRYPTO, "sealed data of %zu bytes, at least %d", n, AEAD_OVERHEAD);
	text_len = n - AEAD_OVERHEAD;
	if (check_sizes(aad_len, text_len, err) < 0)
		return -1;
	to = buf_reserve(out, text_len);
	if (!to)
		return error_set(err, ERR_LIMIT, "no room for %zu opened bytes", text_len);
	c = EVP_CIPHER_CTX_new();
	ok = c && EVP_DecryptInit_ex2(c, crypto_aes_256_gcm(), key, nonce, NULL) == 1 &&
	     feed_aad(c, aad, aad_len) &&
	     (text_len == 0 || EVP_DecryptUpdate(c, to, &len, nonce + AEAD_NONCE_LEN, (int)text_len) == 1) &&
	     (size_t)len == text_len &&
	     EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, AEAD_TAG_LEN,
		     (void *)(uintptr_t)(nonce + AEAD_NONCE_LEN + text_len)) == 1 &&
	     EVP_DecryptFinal_ex(c, tail, &last) == 1;
	EVP_CIPHER_CTX_free(c);
	if (!ok) {
		ERR_clear_error();
		/* what was decrypted is not authentic: nobody may see it */
		secret_wipe(to, text_len);
		return error_set(err, ERR_CRYPTO,
			"sealed data of %zu bytes is not authentic: wrong key, changed, or sealed for "
			"another use",
			n);
	}
	out->len += text_len;
	return 0;
}

struct aead {
	EVP_CIPHER_CTX *c;
};

int aead_new(const uint8_t key[AEAD_KEY_LEN], struct aead **ret, struct error *err)
{
	static const uint8_t nonce[AEAD_NONCE_LEN];
	struct aead *a = malloc(sizeof(*a));

	if (!a)
		return error_set(err, ERR_NOMEM, "no memory for a cipher");
	a->c = EVP_CIPHER_CTX_new();
	if (!a->c || EVP_EncryptInit_ex2(a->c, crypto_aes_256_gcm(), key, nonce, NULL) != 1) {
		aead_free(a);
		return crypto_error(err, ERR_CRYPTO, "AES-GCM could not be set up");
	}
	*ret = a;
	return 0;
}

void aead_free(struct aead *a)
{
	if (a)
		EVP_CIPHER_CTX_free(a->c);
	free(a);
}

int aead_seal_at(struct aead *a, const uint8_t nonce[AEAD_NONCE_LEN], const void *aad, size_t aad_len,
	const void *p, size_t n, void *out, uint8_t ret_tag[AEAD_TAG_LEN])
{
	uint8_t tail[AEAD_TAG_LEN];
	int len = 0, last = 0;

	if (n > INT_MAX || aad_len > INT_MAX)
		return -1;
	if (EVP_CipherInit_ex2(a->c, NULL, NULL, nonce, 1, NULL) != 1 || !feed_aad(a->c, aad, aad_len) ||
		EVP_EncryptUpdate(a->c, out, &len, p, (int)n) != 1 || (size_t)len != n ||
		EVP_EncryptFinal_ex(a->c, tail, &last) != 1 ||
		EVP_CIPHER_CTX_ctrl(a->c, EVP_CTRL_AEAD_GET_TAG, AEAD_TAG_LEN, ret_tag) != 1) {
		ERR_clear_error();
		return -1;
	}
	return 0;
}

int aead_open_at(struct aead *a, const uint8_t nonce[AEAD_NONCE_LEN], const void *aad, size_t aad_len,
	const void *p, size_t n, void *out, const uint8_t tag[AEAD_TAG_LEN])
{
	uint8_t tail[AEAD_TAG_LEN];
	int len = 0, last = 0;

	if (n > INT_MAX || aad_len > INT_MAX)
		return -1;
	if (EVP_CipherInit_ex2(a->c, NULL, NULL, nonce, 0, NULL) != 1 || !feed_aad(a->c, aad, aad_len) ||
		EVP_DecryptUpdate(a->c, out, &len, p, (int)n) != 1 || (size_t)len != n ||
		EVP_CIPHER_CTX_ctrl(a->c, EVP_CTRL_AEAD_SET_TAG, AEAD_TAG_LEN, (void *)(uintptr_t)tag) != 1 ||
		EVP_DecryptFinal_ex(a->c, tail, &last) != 1) {
		ERR_clear_error();
		return -1;
	}
	return 0;
}
