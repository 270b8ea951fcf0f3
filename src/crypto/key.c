#include "crypto/key.h"

#include <limits.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <string.h>
#include "crypto/init.h"

#define BASE58_VERSION 0x4f
#define CHECK_LEN 4
#define BASE58_RAW_LEN (1 + KEY_HASH_LEN + CHECK_LEN)
#define RSA_BITS_MIN 2048

int key_generate(enum key_type type, EVP_PKEY **ret, struct error *err)
{
	EVP_PKEY *k = NULL;

	crypto_init();
	switch (type) {
	case KEY_ED25519:
		k = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
		break;
	case KEY_P256:
		k = EVP_EC_gen("P-256");
		break;
	case KEY_P384:
		k = EVP_EC_gen("P-384");
		break;
	case KEY_RSA2048:
		k = EVP_RSA_gen(2048);
		break;
	case KEY_RSA3072:
		k = EVP_RSA_gen(3072);
		break;
	}
	if (!k)
		return crypto_error(err, ERR_CRYPTO, "no key of type %d generated", (int)type);
	*ret = k;
	return 0;
}

int key_type_of(EVP_PKEY *k, enum key_type *ret)
{
	static const struct {
		enum key_type type;
		int id, bits;
	} types[] = {{KEY_ED25519, EVP_PKEY_ED25519, 256}, {KEY_P256, EVP_PKEY_EC, 256},
		{KEY_P384, EVP_PKEY_EC, 384}, {KEY_RSA2048, EVP_PKEY_RSA, 2048},
		{KEY_RSA3072, EVP_PKEY_RSA, 3072}};

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		if (EVP_PKEY_get_base_id(k) != types[i].id)
			continue;
		if (types[i].id != EVP_PKEY_ED25519 && EVP_PKEY_get_bits(k) != types[i].bits)
			continue;
		*ret = types[i].type;
		return 0;
	}
	return -1;
}

/* Move what a memory BIO holds to out. OpenSSL wipes memory BIOs itself. */
static int take_bio(BIO *bio, struct buf *out, struct error *err)
{
	char *p;
	long n = BIO_get_mem_data(bio, &p);

	buf_put(out, p, (size_t)n);
	if (out->failed)
		return error_set(err, ERR_LIMIT, "no room for %ld bytes of PEM", n);
	return 0;
}

int key_to_pem(EVP_PKEY *k, struct buf *out, struct error *err)
{
	BIO *bio = BIO_new(BIO_s_mem());
	int rc;

	if (bio && PEM_write_bio_PKCS8PrivateKey(bio, k, NULL, NULL, 0, NULL, NULL) == 1)
		rc = take_bio(bio, out, err);
	else
		rc = crypto_error(err, ERR_CRYPTO, "private key not written as PEM");
	BIO_free(bio);
	return rc;
}

int key_public_to_pem(EVP_PKEY *k, struct buf *out, struct error *err)
{
	BIO *bio = BIO_new(BIO_s_mem());
	int rc;

	if (bio && PEM_write_bio_PUBKEY(bio, k) == 1)
		rc = take_bio(bio, out, err);
	else
		rc = crypto_error(err, ERR_CRYPTO, "public key not written as PEM");
	BIO_free(bio);
	return rc;
}

/* Encrypted PEM is refused: OpenSSL's own callback would ask on the terminal. */
static int no_passphrase(char *to, int size, int rwflag, void *u)
{
	return -1;
}

static int from_pem(const char *pem, size_t n,
	EVP_PKEY *(*read)(BIO *, EVP_PKEY **, pem_password_cb *, void *), const char *what, EVP_PKEY **ret,
	struct error *err)
{
	EVP_PKEY *k;
	BIO *bio;

	crypto_init();
	if (n > INT_MAX)
		return error_set(err, ERR_LIMIT, "%s of %zu bytes", what, n);
	bio = BIO_new_mem_buf(pem, (int)n);
	k = bio ? read(bio, NULL, no_passphrase, NULL) : NULL;
	BIO_free(bio);
	if (!k)
		return crypto_error(err, ERR_INPUT, "%zu bytes are no unencrypted PEM %s", n, what);
	*ret = k;
	return 0;
}

int key_from_pem(const char *pem, size_t n, EVP_PKEY **ret, struct error *err)
{
	return from_pem(pem, n, PEM_read_bio_PrivateKey, "private key", ret, err);
}

int key_public_from_pem(const char *pem, size_t n, EVP_PKEY **ret, struct error *err)
{
	return from_pem(pem, n, PEM_read_bio_PUBKEY, "public key", ret, err);
}

int key_spki_der(EVP_PKEY *k, struct buf *out, struct error *err)
{
	unsigned char *der = NULL;
	int n = i2d_PUBKEY(k, &der);

	if (n <= 0)
		return crypto_error(err, ERR_CRYPTO, "public key not written as SubjectPublicKeyInfo");
	buf_put(out, der, (size_t)n);
	OPENSSL_free(der);
	if (out->failed)
		return error_set(err, ERR_LIMIT, "no room for %d bytes of SubjectPublicKeyInfo", n);
	return 0;
}

int key_hash(EVP_PKEY *k, uint8_t ret[KEY_HASH_LEN], struct error *err)
{
	unsigned char *der = NULL;
	int n = i2d_PUBKEY(k, &der);

	if (n <= 0)
		return crypto_error(err, ERR_CRYPTO, "public key not written as SubjectPublicKeyInfo");
	sha256(der, (size_t)n, ret);
	OPENSSL_free(der);
	return 0;
}

static const char base58_digits[] = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

static void checksum(const uint8_t *p, size_t n, uint8_t ret[CHECK_LEN])
{
	uint8_t digest[SHA256_LEN];

	sha256(p, n, digest);
	sha256(digest, sizeof(digest), digest);
	memcpy(ret, digest, CHECK_LEN);
}

void key_hash_text(const uint8_t hash[KEY_HASH_LEN], char ret[KEY_HASH_TEXT_MAX])
{
	uint8_t raw[BASE58_RAW_LEN];
	char reversed[KEY_HASH_TEXT_MAX];
	size_t len = 0, first = 0;

	raw[0] = BASE58_VERSION;
	memcpy(raw + 1, hash, KEY_HASH_LEN);
	checksum(raw, 1 + KEY_HASH_LEN, raw + 1 + KEY_HASH_LEN);
	/* Divide the big-endian number by 58 until nothing is left. 37 bytes make at most 51 digits; the version byte is not zero, so there
	 * are no leading zero bytes to write as '1'. */
	while (first < sizeof(raw)) {
		unsigned int rest = 0;

		for (size_t i = first; i < sizeof(raw); i++) {
			rest = rest << 8 | raw[i];
			raw[i] = (uint8_t)(rest / 58);
			rest %= 58;
		}
		reversed[len++] = base58_digits[rest];
		while (first < sizeof(raw) && raw[first] == 0)
			first++;
	}
	for (size_t i = 0; i < len; i++)
		ret[i] = reversed[len - 1 - i];
	ret[len] = '\0';
}

/* raw = raw * 58 + digit; -1 if it no longer fits. */
static int base58_shift(uint8_t raw[BASE58_RAW_LEN], unsigned int digit)
{
	for (size_t i = BASE58_RAW_LEN; i-- > 0;) {
		digit += raw[i] * 58u;
		raw[i] = (uint8_t)digit;
		digit >>= 8;
	}
	return digit ? -1 : 0;
}

int key_base58_parse(const char *text, size_t n, uint8_t version, uint8_t ret[32], struct error *err)
{
	uint8_t raw[BASE58_RAW_LEN] = {0}, check[CHECK_LEN];

	if (n == 0 || n >= KEY_HASH_TEXT_MAX)
		return error_set(err, ERR_INPUT, "key hash of %zu characters, wanted about 50", n);
	for (size_t i = 0; i < n; i++) {
		const char *digit = text[i] ? strchr(base58_digits, text[i]) : NULL;

		if (!digit)
			return error_set(err, ERR_INPUT,
				"key hash '%.*s': character %zu is not a Base58 digit", (int)n, text, i + 1);
		if (base58_shift(raw, (unsigned int)(digit - base58_digits)) < 0)
			return error_set(err, ERR_INPUT, "key hash '%.*s' is longer than %d bytes", (int)n,
				text, BASE58_RAW_LEN);
	}
	/* A leading '1' is a zero byte more than a key hash has. A shorter text leaves the version byte zero. */
	if (raw[0] != version || text[0] == base58_digits[0])
		return error_set(err, ERR_INPUT, "key hash '%.*s' has version byte 0x%02x, wanted 0x%02x",
			(int)n, text, raw[0], version);
	checksum(raw, 1 + KEY_HASH_LEN, check);
	if (memcmp(check, raw + 1 + KEY_HASH_LEN, CHECK_LEN) != 0)
		return error_set(err, ERR_INPUT, "key hash '%.*s' has a wrong checksum: mistyped or cut",
			(int)n, text);
	memcpy(ret, raw + 1, KEY_HASH_LEN);
	return 0;
}

int key_hash_parse(const char *text, size_t n, uint8_t ret[KEY_HASH_LEN], struct error *err)
{
	return key_base58_parse(text, n, BASE58_VERSION, ret, err);
}

/* The digest that goes with k; NULL for Ed25519, which hashes by itself. */
static int digest_for(EVP_PKEY *k, const EVP_MD **ret, struct error *err)
{
	char group[32] = "";

	crypto_init();
	switch (EVP_PKEY_get_base_id(k)) {
	case EVP_PKEY_ED25519:
		*ret = NULL;
		return 0;
	case EVP_PKEY_RSA:
		if (EVP_PKEY_get_bits(k) < RSA_BITS_MIN)
			return error_set(err, ERR_INPUT, "RSA key of %d bits, at least %d wanted",
				EVP_PKEY_get_bits(k), RSA_BITS_MIN);
		*ret = crypto_sha256();
		return 0;
	case EVP_PKEY_EC:
		if (EVP_PKEY_get_group_name(k, group, sizeof(group), NULL) != 1)
			ERR_clear_error();
		if (strcmp(group, "prime256v1") == 0 || strcmp(group, "P-256") == 0)
			*ret = crypto_sha256();
		else if (strcmp(group, "secp384r1") == 0 || strcmp(group, "P-384") == 0)
			*ret = crypto_sha384();
		else
			return error_set(
				err, ERR_INPUT, "EC key on curve '%s', wanted P-256 or P-384", group);
		return 0;
	default:
		return error_set(err, ERR_INPUT, "key of type %s, wanted Ed25519, EC or RSA",
			EVP_PKEY_get0_type_name(k));
	}
}

int key_sign(EVP_PKEY *k, const void *p, size_t n, struct buf *out, struct error *err)
{
	const EVP_MD *md;
	EVP_MD_CTX *c;
	uint8_t *sig;
	size_t len = (size_t)EVP_PKEY_get_size(k);
	bool ok;

	if (digest_for(k, &md, err) < 0)
		return -1;
	sig = buf_reserve(out, len);
	if (!sig)
		return error_set(err, ERR_LIMIT, "no room for a signature of %zu bytes", len);
	c = EVP_MD_CTX_new();
	ok = c && EVP_DigestSignInit(c, NULL, md, NULL, k) == 1 && EVP_DigestSign(c, sig, &len, p, n) == 1;
	EVP_MD_CTX_free(c);
	if (!ok)
		return crypto_error(
			err, ERR_CRYPTO, "%s key did not sign %zu bytes", EVP_PKEY_get0_type_name(k), n);
	out->len += len;
	return 0;
}

int key_verify(EVP_PKEY *k, const void *p, size_t n, const uint8_t *sig, size_t siglen, struct error *err)
{
	const EVP_MD *md;
	EVP_MD_CTX *c;
	bool ok;

	if (digest_for(k, &md, err) < 0)
		return -1;
	c = EVP_MD_CTX_new();
	ok = c && EVP_DigestVerifyInit(c, NULL, md, NULL, k) == 1 &&
	     EVP_DigestVerify(c, sig, siglen, p, n) == 1;
	EVP_MD_CTX_free(c);
	if (!ok) {
		ERR_clear_error();
		return error_set(err, ERR_CRYPTO,
			"signature of %zu bytes is not one of this %s key over these %zu bytes", siglen,
			EVP_PKEY_get0_type_name(k), n);
	}
	return 0;
}

#define EC_FIELD_MAX 48

int key_ec_from_raw(const uint8_t *x, const uint8_t *y, size_t len, EVP_PKEY **ret, struct error *err)
{
	const char *curve = len == 32 ? "P-256" : len == 48 ? "P-384" : NULL;
	uint8_t point[1 + 2 * EC_FIELD_MAX] = {POINT_CONVERSION_UNCOMPRESSED};
	EVP_PKEY_CTX *c;
	EVP_PKEY *k = NULL;
	OSSL_PARAM params[3];
	bool ok;

	crypto_init();
	if (!curve)
		return error_set(err, ERR_INPUT, "EC coordinates of %zu bytes, wanted 32 or 48", len);
	memcpy(point + 1, x, len);
	memcpy(point + 1 + len, y, len);
	params[0] = OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, (char *)curve, 0);
	params[1] = OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, 1 + 2 * len);
	params[2] = OSSL_PARAM_construct_end();
	c = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
	ok = c && EVP_PKEY_fromdata_init(c) == 1 &&
	     EVP_PKEY_fromdata(c, &k, EVP_PKEY_PUBLIC_KEY, params) == 1;
	EVP_PKEY_CTX_free(c);
	if (!ok) {
		EVP_PKEY_free(k);
		return crypto_error(err, ERR_INPUT, "%zu bytes are no point on %s", 2 * len, curve);
	}
	*ret = k;
	return 0;
}

/* ASN.1 INTEGER of n big-endian bytes at p, appended to b. n is at most EC_FIELD_MAX. */
static void put_integer(struct buf *b, const uint8_t *p, size_t n)
{
	while (n > 1 && *p == 0) {
		p++;
		n--;
	}
	buf_put_u8(b, V_ASN1_INTEGER);
	buf_put_u8(b, (uint8_t)(n + (*p >> 7)));
	if (*p >> 7)
		buf_put_u8(b, 0);
	buf_put(b, p, n);
}

int key_verify_rs(EVP_PKEY *k, const void *p, size_t n, const uint8_t *r, const uint8_t *s, size_t len,
	struct error *err)
{
	uint8_t der[2 + 2 * (2 + 1 + EC_FIELD_MAX)];
	struct buf b;
	int rc;

	if (len == 0 || len > EC_FIELD_MAX || EVP_PKEY_get_base_id(k) != EVP_PKEY_EC)
		return error_set(err, ERR_INPUT, "r and s of %zu bytes with a key of type %s", len,
			EVP_PKEY_get0_type_name(k));
	buf_init(&b, sizeof(der));
	put_integer(&b, r, len);
	put_integer(&b, s, len);
	if (b.failed) {
		buf_free(&b);
		return error_set(err, ERR_NOMEM, "no memory");
	}
	der[0] = V_ASN1_SEQUENCE | V_ASN1_CONSTRUCTED;
	der[1] = (uint8_t)b.len; /* 2 * 51 at most: the short form of a length */
	memcpy(der + 2, b.data, b.len);
	rc = key_verify(k, p, n, der, 2 + b.len, err);
	buf_free(&b);
	return rc;
}

int key_ed25519_public_raw(EVP_PKEY *k, uint8_t ret[32], struct error *err)
{
	uint8_t raw[32];
	size_t n = sizeof(raw);

	if (EVP_PKEY_get_base_id(k) != EVP_PKEY_ED25519)
		return error_set(
			err, ERR_INPUT, "key of type %s, wanted Ed25519", EVP_PKEY_get0_type_name(k));
	if (EVP_PKEY_get_raw_public_key(k, raw, &n) != 1 || n != sizeof(raw))
		return crypto_error(err, ERR_CRYPTO, "Ed25519 key gives no public key");
	memcpy(ret, raw, sizeof(raw));
	return 0;
}

int key_ed25519_from_raw(const uint8_t raw[32], EVP_PKEY **ret, struct error *err)
{
	EVP_PKEY *k;

	crypto_init();
	k = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, raw, 32);
	if (!k)
		return crypto_error(err, ERR_CRYPTO, "32 bytes not taken as an Ed25519 public key");
	*ret = k;
	return 0;
}
