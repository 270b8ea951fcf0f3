#include "crypto/key_agree.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <stdbool.h>
#include <string.h>
#include "crypto/init.h"

static int coordinate(EVP_PKEY *k, const char *name, uint8_t *ret, size_t len)
{
	BIGNUM *n = NULL;
	int rc = EVP_PKEY_get_bn_param(k, name, &n) == 1 && BN_bn2binpad(n, ret, (int)len) == (int)len ? 0
												       : -1;

	BN_free(n);
	return rc;
}

static int derive(EVP_PKEY *own, EVP_PKEY *peer, uint8_t *z, size_t len)
{
	EVP_PKEY_CTX *c = EVP_PKEY_CTX_new(own, NULL);
	size_t n = len;
	int rc = c && EVP_PKEY_derive_init(c) == 1 && EVP_PKEY_derive_set_peer(c, peer) == 1 &&
				 EVP_PKEY_derive(c, z, &n) == 1 && n == len
			 ? 0
			 : -1;

	EVP_PKEY_CTX_free(c);
	return rc;
}

int key_agree_ephemeral(EVP_PKEY *peer, uint8_t x[KEY_COORDINATE_MAX], uint8_t y[KEY_COORDINATE_MAX],
	uint8_t z[KEY_COORDINATE_MAX], size_t *ret_len, struct error *err)
{
	size_t len = (size_t)(EVP_PKEY_get_bits(peer) + 7) / 8;
	char group[32] = "";
	EVP_PKEY *own;
	int rc;

	crypto_init();
	if (EVP_PKEY_get_base_id(peer) != EVP_PKEY_EC || len > KEY_COORDINATE_MAX ||
		EVP_PKEY_get_group_name(peer, group, sizeof(group), NULL) != 1)
		return error_set(err, ERR_INPUT, "key of type %s and %d bits, wanted EC on P-256 or P-384",
			EVP_PKEY_get0_type_name(peer), EVP_PKEY_get_bits(peer));
	own = EVP_EC_gen(group);
	rc = own && coordinate(own, OSSL_PKEY_PARAM_EC_PUB_X, x, len) == 0 &&
			     coordinate(own, OSSL_PKEY_PARAM_EC_PUB_Y, y, len) == 0 &&
			     derive(own, peer, z, len) == 0
		     ? 0
		     : crypto_error(err, ERR_CRYPTO, "no key agreement on %s", group);
	EVP_PKEY_free(own);
	if (rc == 0)
		*ret_len = len;
	return rc;
}

int aes_cfb_encrypt(
	const uint8_t *key, size_t klen, const uint8_t *in, size_t n, uint8_t *out, struct error *err)
{
	static const uint8_t zeros[16];
	EVP_CIPHER_CTX *c;
	int len = 0;
	bool ok;

	crypto_init();
	if (klen != 16 && klen != 32)
		return error_set(err, ERR_INPUT, "AES key of %zu bytes, wanted 16 or 32", klen);
	c = EVP_CIPHER_CTX_new();
	ok = c &&
	     EVP_EncryptInit_ex(
		     c, klen == 16 ? EVP_aes_128_cfb128() : EVP_aes_256_cfb128(), NULL, key, zeros) == 1 &&
	     EVP_EncryptUpdate(c, out, &len, in, (int)n) == 1 && (size_t)len == n;
	EVP_CIPHER_CTX_free(c);
	return ok ? 0 : crypto_error(err, ERR_CRYPTO, "%zu bytes not encrypted", n);
}
