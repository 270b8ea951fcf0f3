#include "crypto/hash.h"

#include <limits.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>
#include "core/buf.h"
#include "core/secret.h"
#include "crypto/init.h"

struct sha256_ctx {
	EVP_MD_CTX *md;
};

void sha256(const void *p, size_t n, uint8_t ret[SHA256_LEN])
{
	if (EVP_Digest(p, n, ret, NULL, crypto_sha256(), NULL) != 1)
		abort();
}

struct sha256_ctx *sha256_new(void)
{
	struct sha256_ctx *c = malloc(sizeof(*c));

	if (!c)
		return NULL;
	c->md = EVP_MD_CTX_new();
	if (!c->md || EVP_DigestInit_ex2(c->md, crypto_sha256(), NULL) != 1) {
		EVP_MD_CTX_free(c->md);
		free(c);
		return NULL;
	}
	return c;
}

void sha256_update(struct sha256_ctx *c, const void *p, size_t n)
{
	if (EVP_DigestUpdate(c->md, p, n) != 1)
		abort();
}

void sha256_final(struct sha256_ctx *c, uint8_t ret[SHA256_LEN])
{
	if (EVP_DigestFinal_ex(c->md, ret, NULL) != 1)
		abort();
	EVP_MD_CTX_free(c->md);
	free(c);
}

void hmac_sha256(const uint8_t *key, size_t klen, const void *p, size_t n, uint8_t ret[SHA256_LEN])
{
	uint8_t hashed[SHA256_LEN];

	/* FIPS 198-1 section 4: a key longer than a block is replaced by its hash. Keeps klen within OpenSSL's int. */
	if (klen > 64) {
		sha256(key, klen, hashed);
		key = hashed;
		klen = sizeof(hashed);
	}
	if (!HMAC(crypto_sha256(), klen ? key : (const uint8_t *)"", (int)klen, p, n, ret, NULL))
		abort();
	secret_wipe(hashed, sizeof(hashed));
}

int hkdf_sha256(const uint8_t *ikm, size_t ilen, const uint8_t *salt, size_t slen, const char *info,
	uint8_t *ret, size_t n, struct error *err)
{
	static const uint8_t zeros[SHA256_LEN];
	uint8_t prk[SHA256_LEN], t[SHA256_LEN];
	size_t info_len = strlen(info), done = 0;
	struct buf in;

	if (n > 255 * SHA256_LEN)
		return error_set(err, ERR_LIMIT, "HKDF asked for %zu bytes, at most %d", n, 255 * SHA256_LEN);
	buf_init_secret(&in, info_len + SHA256_LEN + 1);
	hmac_sha256(slen ? salt : zeros, slen ? slen : sizeof(zeros), ikm, ilen, prk);
	/* T(i) = HMAC(PRK, T(i-1) | info | i) */
	for (unsigned int i = 1; done < n; i++) {
		size_t take = n - done < sizeof(t) ? n - done : sizeof(t);

		buf_reset(&in);
		buf_put(&in, t, i > 1 ? sizeof(t) : 0);
		buf_puts(&in, info);
		buf_put_u8(&in, (uint8_t)i);
		if (in.failed)
			break;
		hmac_sha256(prk, sizeof(prk), in.data, in.len, t);
		memcpy(ret + done, t, take);
		done += take;
	}
	secret_wipe(prk, sizeof(prk));
	secret_wipe(t, sizeof(t));
	buf_free(&in);
	if (done < n) {
		secret_wipe(ret, done);
		return error_set(err, ERR_NOMEM, "no memory for HKDF with %zu bytes of info", info_len);
	}
	return 0;
}

int random_bytes(void *p, size_t n, struct error *err)
{
	crypto_init();
	if (n > INT_MAX)
		return error_set(err, ERR_LIMIT, "%zu random bytes asked for, at most %d", n, INT_MAX);
	if (RAND_priv_bytes(p, (int)n) != 1)
		return crypto_error(err, ERR_CRYPTO, "no random bytes");
	return 0;
}
