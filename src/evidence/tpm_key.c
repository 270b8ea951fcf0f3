#include "evidence/tpm_key.h"

#include <openssl/ecdsa.h>
#include <string.h>
#include "crypto/key.h"
#include "evidence/check.h"

#define RH_ENDORSEMENT 0x4000000bu
#define EC_LEN_MAX 48

int tpm_hash(uint16_t alg, enum hash_alg *ret, struct error *err)
{
	switch (alg) {
	case TPM_ALG_SHA256:
		*ret = HASH_SHA256;
		return 0;
	case TPM_ALG_SHA384:
		*ret = HASH_SHA384;
		return 0;
	case TPM_ALG_SHA512:
		*ret = HASH_SHA512;
		return 0;
	default:
		return evidence_refuse(err, CHECK_ALGORITHM,
			"TPM: hash algorithm is 0x%04x (%s), wanted SHA-256, SHA-384 or SHA-512", alg,
			tpm_alg_name(alg));
	}
}

static size_t curve_len(uint16_t curve)
{
	return curve == TPM_ECC_P256 ? 32 : 48;
}

/* A TPM may leave out zeros at the start of a coordinate. */
static int pad(struct bytes in, uint8_t ret[EC_LEN_MAX], size_t len)
{
	if (in.n > len)
		return -1;
	memset(ret, 0, len - in.n);
	memcpy(ret + len - in.n, in.p, in.n);
	return 0;
}

int tpm_public_key(const struct tpm_public *k, EVP_PKEY **ret, struct error *err)
{
	uint8_t x[EC_LEN_MAX], y[EC_LEN_MAX];
	struct error why = {0};
	int rc;

	if (k->type == TPM_ALG_RSA) {
		rc = key_rsa_from_raw(k->unique[0].p, k->unique[0].n, k->rsa_exponent, ret, &why);
	} else {
		size_t len = curve_len(k->curve);

		rc = pad(k->unique[0], x, len) < 0 || pad(k->unique[1], y, len) < 0
			     ? error_set(&why, ERR_INPUT, "coordinates longer than %zu bytes", len)
			     : key_ec_from_raw(x, y, len, ret, &why);
	}
	return rc < 0 ? evidence_refuse(err, CHECK_FORMAT, "TPM key: %s", why.text) : 0;
}

/* The decoder has refused other algorithms. */
static enum hash_alg name_hash(const struct tpm_public *k)
{
	return k->name_alg == TPM_ALG_SHA384   ? HASH_SHA384
	       : k->name_alg == TPM_ALG_SHA512 ? HASH_SHA512
					       : HASH_SHA256;
}

static void named(const struct tpm_public *k, const void *p, size_t n, struct tpm_name *ret)
{
	ret->p[0] = (uint8_t)(k->name_alg >> 8);
	ret->p[1] = (uint8_t)k->name_alg;
	hash_bytes(name_hash(k), p, n, ret->p + 2);
	ret->n = 2 + hash_len(name_hash(k));
}

void tpm_public_name(const struct tpm_public *k, struct tpm_name *ret)
{
	named(k, k->whole.p, k->whole.n, ret);
}

void tpm_qualified_name(const struct tpm_public *k, struct bytes parent, struct tpm_name *ret)
{
	uint8_t both[2 * TPM_NAME_MAX];
	struct tpm_name own;

	tpm_public_name(k, &own);
	memcpy(both, parent.p, parent.n);
	memcpy(both + parent.n, own.p, own.n);
	named(k, both, parent.n + own.n, ret);
}

void tpm_endorsement_name(const struct tpm_public *k, struct tpm_name *ret)
{
	static const uint8_t hierarchy[4] = {RH_ENDORSEMENT >> 24, 0, 0, RH_ENDORSEMENT & 0xff};

	tpm_qualified_name(k, (struct bytes){hierarchy, sizeof(hierarchy)}, ret);
}

#define AK_SET                                                                                               \
	(TPM_ATTR_FIXED_TPM | TPM_ATTR_FIXED_PARENT | TPM_ATTR_SENSITIVE_DATA_ORIGIN | TPM_ATTR_RESTRICTED | \
		TPM_ATTR_SIGN)
#define EK_SET                                                                                               \
	(TPM_ATTR_FIXED_TPM | TPM_ATTR_FIXED_PARENT | TPM_ATTR_SENSITIVE_DATA_ORIGIN | TPM_ATTR_RESTRICTED | \
		TPM_ATTR_DECRYPT)

static int check_attributes(
	const struct tpm_public *k, const char *what, uint32_t set, uint32_t clear, struct error *err)
{
	if ((k->attributes & (set | clear)) == set)
		return 0;
	return evidence_refuse(err, CHECK_ATTESTATION_KEY,
		"TPM %s: attributes are 0x%08x, wanted 0x%08x set and 0x%08x clear", what, k->attributes, set,
		clear);
}

int tpm_public_check_ak(const struct tpm_public *k, struct error *err)
{
	return check_attributes(k, "attestation key", AK_SET, TPM_ATTR_DECRYPT, err);
}

int tpm_public_check_ek(const struct tpm_public *k, struct error *err)
{
	if (k->sym_alg != TPM_ALG_AES || k->sym_mode != TPM_ALG_CFB ||
		(k->sym_bits != 128 && k->sym_bits != 256))
		return evidence_refuse(err, CHECK_ATTESTATION_KEY,
			"TPM endorsement key: symmetric algorithm is 0x%04x with %u bits, mode 0x%04x, "
			"wanted AES-CFB",
			k->sym_alg, k->sym_bits, k->sym_mode);
	return check_attributes(k, "endorsement key", EK_SET, TPM_ATTR_SIGN, err);
}

static int verify_ecdsa(
	EVP_PKEY *k, enum hash_alg hash, const struct tpm_signature *s, const void *p, size_t n)
{
	ECDSA_SIG *sig = ECDSA_SIG_new();
	BIGNUM *r = BN_bin2bn(s->value[0].p, (int)s->value[0].n, NULL);
	BIGNUM *t = BN_bin2bn(s->value[1].p, (int)s->value[1].n, NULL);
	unsigned char *der = NULL;
	int len = -1, rc = -1;

	if (sig && r && t && ECDSA_SIG_set0(sig, r, t) == 1) {
		r = t = NULL;
		len = i2d_ECDSA_SIG(sig, &der);
	}
	if (len > 0)
		rc = key_scheme_verify(k, SCHEME_ECDSA, hash, p, n, der, (size_t)len, NULL);
	OPENSSL_free(der);
	BN_free(r);
	BN_free(t);
	ECDSA_SIG_free(sig);
	return rc;
}

int tpm_signature_verify(
	EVP_PKEY *k, const struct tpm_signature *s, const void *p, size_t n, struct error *err)
{
	bool ec = EVP_PKEY_get_base_id(k) == EVP_PKEY_EC;
	enum hash_alg hash;
	int rc;

	if (tpm_hash(s->hash, &hash, err) < 0)
		return -1;
	if (ec != (s->scheme == TPM_ALG_ECDSA))
		return evidence_refuse(err, CHECK_ALGORITHM,
			"TPM signature: scheme is %s with a key of type %s", tpm_alg_name(s->scheme),
			EVP_PKEY_get0_type_name(k));
	if (ec)
		rc = verify_ecdsa(k, hash, s, p, n);
	else
		rc = key_scheme_verify(k, s->scheme == TPM_ALG_RSAPSS ? SCHEME_RSA_PSS : SCHEME_RSA_PKCS1,
			hash, p, n, s->value[0].p, s->value[0].n, NULL);
	return rc < 0 ? evidence_refuse(err, CHECK_SIGNATURE,
				"TPM quote: its signature is not one of the attestation key over these %zu "
				"bytes",
				n)
		      : 0;
}
