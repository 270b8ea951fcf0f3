#include "evidence/tpm_credential.h"

#include <openssl/x509v3.h>
#include <string.h>
#include "core/secret.h"
#include "crypto/hash.h"
#include "crypto/key.h"
#include "crypto/key_agree.h"
#include "evidence/chain.h"
#include "evidence/check.h"
#include "evidence/tpm_key.h"

#define LABEL_IDENTITY "IDENTITY"
#define LABEL_STORAGE "STORAGE"
#define LABEL_INTEGRITY "INTEGRITY"
#define AES_KEY_MAX 32
#define DER_SEQUENCE 0x30
#define PURPOSE_EK "2.23.133.8.1" /* tcg-kp-EKCertificate */

static int decode_key(
	struct bytes in, const char *what, struct tpm_public *ret, struct bytes *ret_rest, struct error *err)
{
	size_t used;

	if (tpm_public_decode(in.p, in.n, ret, &used, err) < 0)
		return error_wrap(err, "%s", what);
	*ret_rest = (struct bytes){in.p + used, in.n - used};
	return 0;
}

static int decode_ek(struct bytes in, struct tpm_public *ret, struct error *err)
{
	struct bytes rest = {0};

	if (decode_key(in, "endorsement key", ret, &rest, err) < 0)
		return -1;
	return rest.n == 0 ? 0
			   : evidence_refuse(err, CHECK_FORMAT,
				     "TPM endorsement key: %zu bytes follow the TPMT_PUBLIC, wanted none",
				     rest.n);
}

int tpm_enrol_check(struct bytes ek, struct bytes ak, uint8_t ret[32], struct error *err)
{
	struct tpm_public e, a;
	struct bytes parent = {0};
	struct tpm_name name;
	EVP_PKEY *key;
	int rc;

	if (decode_ek(ek, &e, err) < 0 || decode_key(ak, "attestation key", &a, &parent, err) < 0 ||
		tpm_public_check_ek(&e, err) < 0 || tpm_public_check_ak(&a, err) < 0)
		return -1;
	tpm_endorsement_name(&e, &name);
	if (parent.n != name.n || memcmp(parent.p, name.p, name.n) != 0)
		return evidence_refuse(err, CHECK_ATTESTATION_KEY,
			"TPM attestation key: its parent is another key than this endorsement key");
	if (tpm_public_key(&a, &key, err) < 0)
		return -1;
	rc = key_hash(key, ret, err);
	EVP_PKEY_free(key);
	return rc;
}

static int same_key(const struct x509_chain *c, struct bytes ek, struct error *err)
{
	struct tpm_public e;
	EVP_PKEY *key;
	int rc;

	if (decode_ek(ek, &e, err) < 0 || tpm_public_key(&e, &key, err) < 0)
		return -1;
	rc = EVP_PKEY_eq(X509_get0_pubkey(c->cert[0]), key) == 1
		     ? 0
		     : evidence_refuse(err, CHECK_ATTESTATION_KEY,
			       "TPM endorsement key: the maker's certificate is for another key");
	EVP_PKEY_free(key);
	return rc;
}

static bool self_issued(const X509 *c)
{
	return X509_NAME_cmp(X509_get_issuer_name(c), X509_get_subject_name(c)) == 0;
}

static void complete(struct x509_chain *c, struct tpm_issuers issuers)
{
	while (c->count < X509_CHAIN_MAX && !self_issued(c->cert[c->count - 1])) {
		const X509_NAME *wanted = X509_get_issuer_name(c->cert[c->count - 1]);
		size_t i = 0;

		while (i < issuers.count &&
			X509_NAME_cmp(X509_get_subject_name(issuers.cert[i]), wanted) != 0)
			i++;
		if (i == issuers.count)
			return;
		X509_up_ref(issuers.cert[i]);
		c->cert[c->count++] = issuers.cert[i];
	}
}

/* Older certificates do not say what for; one that says it of something else is another one's. */
static int check_purpose(X509 *cert, struct error *err)
{
	EXTENDED_KEY_USAGE *usage = X509_get_ext_d2i(cert, NID_ext_key_usage, NULL, NULL);
	bool good = !usage;
	char oid[64];

	for (int i = 0; usage && i < sk_ASN1_OBJECT_num(usage); i++)
		if (OBJ_obj2txt(oid, sizeof(oid), sk_ASN1_OBJECT_value(usage, i), 1) > 0 &&
			strcmp(oid, PURPOSE_EK) == 0)
			good = true;
	EXTENDED_KEY_USAGE_free(usage);
	if (x509_is_ca(cert))
		return evidence_refuse(err, CHECK_CHAIN_ROLE,
			"TPM endorsement chain: the endorsement key's certificate is that of a CA");
	return good ? 0
		    : evidence_refuse(err, CHECK_CHAIN_ROLE,
			      "TPM endorsement chain: the certificate is not for an endorsement key, wanted "
			      "the "
			      "usage " PURPOSE_EK);
}

int tpm_enrol_certificate(struct bytes ek, struct bytes certificates, struct tpm_issuers issuers,
	const struct verify_context *ctx, struct error *err)
{
	const struct chain_rules rules = {.what = "TPM endorsement chain", .tee = TEE_TPM};
	struct x509_chain c = {0};
	struct error why = {0};
	uint64_t until = 0;
	int rc;

	if (!certificates.p || certificates.n == 0)
		return evidence_refuse(err, CHECK_CHAIN_MISSING,
			"TPM endorsement key: there is no certificate of a maker for it, wanted one");
	if (certificates.p[0] == DER_SEQUENCE) {
		rc = x509_from_der(certificates.p, certificates.n, &c.cert[0], &why);
		c.count = rc == 0;
	} else {
		rc = x509_chain_from_pem(certificates.p, certificates.n, &c, &why);
	}
	if (rc < 0)
		return evidence_refuse(err, CHECK_CHAIN_FORMAT, "TPM endorsement chain: %s", why.text);
	complete(&c, issuers);
	rc = same_key(&c, ek, err);
	if (rc == 0)
		rc = check_purpose(c.cert[0], err);
	if (rc == 0)
		rc = chain_verify(&c, &rules, ctx, &until, err);
	x509_chain_free(&c);
	return rc;
}

/* KDFa (part 1, 11.4.10.2): HMAC in counter mode over label, its zero byte, context and length in bits. One block is enough here. */
static void kdfa(enum hash_alg a, const uint8_t *key, size_t klen, const char *label,
	const struct tpm_name *context, uint8_t *ret, size_t n)
{
	uint8_t text[4 + 16 + TPM_NAME_MAX + 4] = {0, 0, 0, 1}, mac[HASH_LEN_MAX];
	size_t at = 4, len = strlen(label) + 1;
	uint32_t bits = (uint32_t)(8 * n);

	memcpy(text + at, label, len);
	at += len;
	if (context) {
		memcpy(text + at, context->p, context->n);
		at += context->n;
	}
	for (int i = 0; i < 4; i++)
		text[at++] = (uint8_t)(bits >> (24 - 8 * i));
	hash_hmac(a, key, klen, text, at, mac);
	memcpy(ret, mac, n);
	secret_wipe(mac, sizeof(mac));
}

/* KDFe (part 1, 11.4.10.3): hash in counter mode over Z, label, its zero byte and the two x coordinates. One block. */
static void kdfe(
	enum hash_alg a, const uint8_t *z, const uint8_t *x, const uint8_t *peer_x, size_t len, uint8_t *ret)
{
	uint8_t text[4 + 3 * KEY_COORDINATE_MAX + sizeof(LABEL_IDENTITY)] = {0, 0, 0, 1};
	size_t at = 4;

	memcpy(text + at, z, len);
	at += len;
	memcpy(text + at, LABEL_IDENTITY, sizeof(LABEL_IDENTITY));
	at += sizeof(LABEL_IDENTITY);
	memcpy(text + at, x, len);
	at += len;
	memcpy(text + at, peer_x, len);
	at += len;
	hash_bytes(a, text, at, ret);
	secret_wipe(text, sizeof(text));
}

static void put_sized(struct buf *out, const void *p, size_t n)
{
	buf_put_u16be(out, (uint16_t)n);
	buf_put(out, p, n);
}

static int ecc_seed(const struct tpm_public *ek, EVP_PKEY *key, enum hash_alg a, uint8_t *seed,
	struct buf *secret, struct error *err)
{
	uint8_t x[KEY_COORDINATE_MAX], y[KEY_COORDINATE_MAX], z[KEY_COORDINATE_MAX],
		peer[KEY_COORDINATE_MAX] = {0};
	size_t len;

	if (key_agree_ephemeral(key, x, y, z, &len, err) < 0)
		return -1;
	memcpy(peer + len - ek->unique[0].n, ek->unique[0].p, ek->unique[0].n);
	kdfe(a, z, x, peer, len, seed);
	secret_wipe(z, sizeof(z));
	buf_put_u16be(secret, (uint16_t)(2 * (2 + len)));
	put_sized(secret, x, len);
	put_sized(secret, y, len);
	return secret->failed ? error_set(err, ERR_LIMIT, "no room for the secret") : 0;
}

static int rsa_seed(EVP_PKEY *key, enum hash_alg a, uint8_t *seed, struct buf *secret, struct error *err)
{
	struct buf cipher;
	int rc;

	if (random_bytes(seed, hash_len(a), err) < 0)
		return -1;
	buf_init(&cipher, 1024);
	rc = key_rsa_oaep(key, a, LABEL_IDENTITY, seed, hash_len(a), &cipher, err);
	if (rc == 0)
		put_sized(secret, cipher.data, cipher.len);
	buf_free(&cipher);
	if (rc == 0 && secret->failed)
		rc = error_set(err, ERR_LIMIT, "no room for the secret");
	return rc;
}

/* The credential under the seed: TPM2B_ID_OBJECT. */
static int protect(const struct tpm_public *ek, enum hash_alg a, const uint8_t *seed,
	const struct tpm_name *name, const uint8_t *credential, size_t n, struct buf *out, struct error *err)
{
	uint8_t plain[2 + TPM_CREDENTIAL_MAX + TPM_NAME_MAX] = {(uint8_t)(n >> 8), (uint8_t)n};
	uint8_t key[AES_KEY_MAX], mac_key[HASH_LEN_MAX], mac[HASH_LEN_MAX];
	size_t len = hash_len(a);
	int rc;

	memcpy(plain + 2, credential, n);
	kdfa(a, seed, len, LABEL_STORAGE, name, key, ek->sym_bits / 8);
	kdfa(a, seed, len, LABEL_INTEGRITY, NULL, mac_key, len);
	rc = aes_cfb_encrypt(key, ek->sym_bits / 8, plain, 2 + n, plain, err);
	if (rc == 0) {
		memcpy(plain + 2 + n, name->p, name->n);
		hash_hmac(a, mac_key, len, plain, 2 + n + name->n, mac);
		buf_put_u16be(out, (uint16_t)(2 + len + 2 + n));
		put_sized(out, mac, len);
		buf_put(out, plain, 2 + n);
	}
	secret_wipe(plain, sizeof(plain));
	secret_wipe(key, sizeof(key));
	secret_wipe(mac_key, sizeof(mac_key));
	if (rc == 0 && out->failed)
		rc = error_set(err, ERR_LIMIT, "no room for the credential");
	return rc;
}

int tpm_credential_make(struct bytes ek, struct bytes ak, const uint8_t *credential, size_t n,
	struct buf *id_object, struct buf *secret, struct error *err)
{
	uint8_t seed[HASH_LEN_MAX];
	struct tpm_public e, k;
	struct tpm_name name;
	struct bytes rest = {0};
	enum hash_alg a;
	EVP_PKEY *key;
	int rc;

	if (n < 16 || n > TPM_CREDENTIAL_MAX)
		return error_set(
			err, ERR_INPUT, "credential of %zu bytes, wanted 16 to %d", n, TPM_CREDENTIAL_MAX);
	if (decode_ek(ek, &e, err) < 0 || decode_key(ak, "attestation key", &k, &rest, err) < 0 ||
		tpm_hash(e.name_alg, &a, err) < 0 || tpm_public_key(&e, &key, err) < 0)
		return -1;
	tpm_public_name(&k, &name);
	rc = e.type == TPM_ALG_ECC ? ecc_seed(&e, key, a, seed, secret, err)
				   : rsa_seed(key, a, seed, secret, err);
	EVP_PKEY_free(key);
	if (rc == 0)
		rc = protect(&e, a, seed, &name, credential, n, id_object, err);
	secret_wipe(seed, sizeof(seed));
	return rc;
}
