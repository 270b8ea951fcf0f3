#include "crypto/key_scheme.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/hmac.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>
#include <stdlib.h>
#include <string.h>
#include "crypto/init.h"

#define RSA_BITS_MIN 2048
#define RSA_BYTES_MAX 1024

static const EVP_MD *md_of(enum hash_alg a)
{
	switch (a) {
	case HASH_SHA256:
		return crypto_sha256();
	case HASH_SHA384:
		return crypto_sha384();
	case HASH_SHA512:
		crypto_init();
		return EVP_sha512();
	}
	abort();
}

size_t hash_len(enum hash_alg a)
{
	return (size_t)EVP_MD_get_size(md_of(a));
}

void hash_bytes(enum hash_alg a, const void *p, size_t n, uint8_t *ret)
{
	if (EVP_Digest(p, n, ret, NULL, md_of(a), NULL) != 1)
		abort();
}

void hash_hmac(enum hash_alg a, const void *key, size_t klen, const void *p, size_t n, uint8_t *ret)
{
	unsigned int len;

	if (!HMAC(md_of(a), key, (int)klen, p, n, ret, &len))
		abort();
}

static int check_key(EVP_PKEY *k, enum key_scheme s, struct error *err)
{
	int wanted = s == SCHEME_ECDSA ? EVP_PKEY_EC : EVP_PKEY_RSA;

	if (EVP_PKEY_get_base_id(k) != wanted)
		return error_set(err, ERR_INPUT, "key of type %s, wanted %s", EVP_PKEY_get0_type_name(k),
			wanted == EVP_PKEY_EC ? "EC" : "RSA");
	if (wanted == EVP_PKEY_RSA && EVP_PKEY_get_bits(k) < RSA_BITS_MIN)
		return error_set(err, ERR_INPUT, "RSA key of %d bits, at least %d wanted",
			EVP_PKEY_get_bits(k), RSA_BITS_MIN);
	return 0;
}

static bool set_padding(EVP_PKEY_CTX *c, enum key_scheme s, int salt)
{
	if (s == SCHEME_ECDSA)
		return true;
	if (s == SCHEME_RSA_PKCS1)
		return EVP_PKEY_CTX_set_rsa_padding(c, RSA_PKCS1_PADDING) == 1;
	return EVP_PKEY_CTX_set_rsa_padding(c, RSA_PKCS1_PSS_PADDING) == 1 &&
	       EVP_PKEY_CTX_set_rsa_pss_saltlen(c, salt) == 1;
}

int key_scheme_verify(EVP_PKEY *k, enum key_scheme s, enum hash_alg a, const void *p, size_t n,
	const uint8_t *sig, size_t siglen, struct error *err)
{
	EVP_PKEY_CTX *pc;
	EVP_MD_CTX *c;
	bool ok;

	if (check_key(k, s, err) < 0)
		return -1;
	c = EVP_MD_CTX_new();
	ok = c && EVP_DigestVerifyInit(c, &pc, md_of(a), NULL, k) == 1 &&
	     set_padding(pc, s, RSA_PSS_SALTLEN_AUTO) && EVP_DigestVerify(c, sig, siglen, p, n) == 1;
	EVP_MD_CTX_free(c);
	ERR_clear_error();
	return ok ? 0
		  : error_set(err, ERR_CRYPTO,
			    "signature of %zu bytes is not one of this %s key over these %zu bytes", siglen,
			    EVP_PKEY_get0_type_name(k), n);
}

int key_scheme_sign(EVP_PKEY *k, enum key_scheme s, enum hash_alg a, const void *p, size_t n, struct buf *out,
	struct error *err)
{
	size_t len = (size_t)EVP_PKEY_get_size(k);
	EVP_PKEY_CTX *pc;
	EVP_MD_CTX *c;
	uint8_t *sig;
	bool ok;

	if (check_key(k, s, err) < 0)
		return -1;
	sig = buf_reserve(out, len);
	if (!sig)
		return error_set(err, ERR_LIMIT, "no room for a signature of %zu bytes", len);
	c = EVP_MD_CTX_new();
	ok = c && EVP_DigestSignInit(c, &pc, md_of(a), NULL, k) == 1 &&
	     set_padding(pc, s, RSA_PSS_SALTLEN_DIGEST) && EVP_DigestSign(c, sig, &len, p, n) == 1;
	EVP_MD_CTX_free(c);
	if (!ok)
		return crypto_error(
			err, ERR_CRYPTO, "%s key did not sign %zu bytes", EVP_PKEY_get0_type_name(k), n);
	out->len += len;
	return 0;
}

static EVP_PKEY *rsa_from_params(const BIGNUM *n, const BIGNUM *e)
{
	OSSL_PARAM_BLD *b = OSSL_PARAM_BLD_new();
	EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
	OSSL_PARAM *params = NULL;
	EVP_PKEY *k = NULL;

	if (b && OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_RSA_N, n) == 1 &&
		OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_RSA_E, e) == 1)
		params = OSSL_PARAM_BLD_to_param(b);
	if (!c || !params || EVP_PKEY_fromdata_init(c) != 1 ||
		EVP_PKEY_fromdata(c, &k, EVP_PKEY_PUBLIC_KEY, params) != 1) {
		EVP_PKEY_free(k);
		k = NULL;
	}
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(b);
	EVP_PKEY_CTX_free(c);
	return k;
}

int key_rsa_from_raw(const uint8_t *modulus, size_t n, uint32_t exponent, EVP_PKEY **ret, struct error *err)
{
	BIGNUM *bn = NULL, *be = NULL;
	EVP_PKEY *k = NULL;

	crypto_init();
	if (n < RSA_BITS_MIN / 8 || n > RSA_BYTES_MAX || !(modulus[0] & 0x80))
		return error_set(err, ERR_INPUT,
			"RSA modulus of %zu bytes, wanted %d to %d and the highest bit set", n,
			RSA_BITS_MIN / 8, RSA_BYTES_MAX);
	bn = BN_bin2bn(modulus, (int)n, NULL);
	be = BN_new();
	if (bn && be && BN_set_word(be, exponent) == 1)
		k = rsa_from_params(bn, be);
	BN_free(bn);
	BN_free(be);
	if (!k)
		return crypto_error(err, ERR_INPUT, "%zu bytes of modulus are no RSA key", n);
	*ret = k;
	return 0;
}

static bool set_oaep(EVP_PKEY_CTX *c, enum hash_alg a, const char *label)
{
	size_t n = strlen(label) + 1;
	char *copy = OPENSSL_memdup(label, n); /* the context takes it */

	if (!copy)
		return false;
	if (EVP_PKEY_CTX_set_rsa_padding(c, RSA_PKCS1_OAEP_PADDING) == 1 &&
		EVP_PKEY_CTX_set_rsa_oaep_md(c, md_of(a)) == 1 &&
		EVP_PKEY_CTX_set_rsa_mgf1_md(c, md_of(a)) == 1 &&
		EVP_PKEY_CTX_set0_rsa_oaep_label(c, copy, (int)n) == 1)
		return true;
	OPENSSL_free(copy);
	return false;
}

int key_rsa_oaep(EVP_PKEY *k, enum hash_alg a, const char *label, const void *p, size_t n, struct buf *out,
	struct error *err)
{
	size_t len = (size_t)EVP_PKEY_get_size(k);
	EVP_PKEY_CTX *c;
	uint8_t *at;
	bool ok;

	if (check_key(k, SCHEME_RSA_PKCS1, err) < 0)
		return -1;
	at = buf_reserve(out, len);
	if (!at)
		return error_set(err, ERR_LIMIT, "no room for %zu bytes", len);
	c = EVP_PKEY_CTX_new(k, NULL);
	ok = c && EVP_PKEY_encrypt_init(c) == 1 && set_oaep(c, a, label) &&
	     EVP_PKEY_encrypt(c, at, &len, p, n) == 1;
	EVP_PKEY_CTX_free(c);
	if (!ok)
		return crypto_error(err, ERR_CRYPTO, "%zu bytes not encrypted for an RSA key", n);
	out->len += len;
	return 0;
}
