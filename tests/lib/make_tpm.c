#include "make_tpm.h"

#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <stdlib.h>
#include <string.h>
#include "crypto/key_scheme.h"
#include "evidence/tpm_key.h"

#define SPEC_ID "Spec ID Event03"
#define ATTRIBUTES                                                                                           \
	(TPM_ATTR_FIXED_TPM | TPM_ATTR_FIXED_PARENT | TPM_ATTR_SENSITIVE_DATA_ORIGIN | TPM_ATTR_RESTRICTED | \
		TPM_ATTR_SIGN | 1u << 6)

static void put_le16(struct buf *b, uint16_t v)
{
	buf_put_u16be(b, (uint16_t)(v << 8 | v >> 8));
}

static void put_le32(struct buf *b, uint32_t v)
{
	buf_put_u32be(b, __builtin_bswap32(v));
}

void tpm_put_log_header(struct buf *out)
{
	static const uint8_t zeros[20], versions[8] = {0, 0, 0, 0, 0, 2, 0, 2};

	put_le32(out, 0);
	put_le32(out, EV_NO_ACTION);
	buf_put(out, zeros, sizeof(zeros));
	put_le32(out, sizeof(SPEC_ID) + sizeof(versions) + 4 + 2 * 4 + 1);
	buf_put(out, SPEC_ID, sizeof(SPEC_ID));
	buf_put(out, versions, sizeof(versions));
	put_le32(out, 2);
	put_le16(out, TPM_ALG_SHA256);
	put_le16(out, 32);
	put_le16(out, TPM_ALG_SHA384);
	put_le16(out, 48);
	buf_put_u8(out, 0);
}

void tpm_put_event(uint32_t pcr, uint32_t type, const void *data, size_t n, struct buf *out)
{
	uint8_t digest[48];

	put_le32(out, pcr);
	put_le32(out, type);
	put_le32(out, 2);
	hash_bytes(HASH_SHA256, data, n, digest);
	put_le16(out, TPM_ALG_SHA256);
	buf_put(out, digest, 32);
	hash_bytes(HASH_SHA384, data, n, digest);
	put_le16(out, TPM_ALG_SHA384);
	buf_put(out, digest, 48);
	put_le32(out, (uint32_t)n);
	buf_put(out, data, n);
}

void tpm_make_log(struct buf *out)
{
	static const uint8_t zeros[4], locality[] = "StartupLocality\0\3";

	tpm_put_log_header(out);
	tpm_put_event(0, EV_NO_ACTION, locality, sizeof(locality) - 1, out);
	tpm_put_event(0, 8, "firmware 1.0", 12, out);
	tpm_put_event(7, 0x80000001u, "SecureBoot=1", 12, out);
	tpm_put_event(4, 0x80000003u, "boot loader", 11, out);
	for (uint32_t i = 0; i < 8; i++)
		tpm_put_event(i, EV_SEPARATOR, zeros, sizeof(zeros), out);
	tpm_put_event(8, 13, "kernel command line", 19, out);
	tpm_put_event(11, 13, "unified kernel image", 20, out);
}

void tpm_maker_init(struct tpm_maker *m, enum tpm_maker_kind kind, bool p384)
{
	struct eventlog_replay r;
	struct buf log;

	memset(m, 0, sizeof(*m));
	m->kind = kind;
	m->key = pki_key(kind != MAKE_ECDSA ? KEY_RSA2048 : p384 ? KEY_P384 : KEY_P256);
	m->hash = kind == MAKE_ECDSA && p384 ? TPM_ALG_SHA384 : TPM_ALG_SHA256;
	m->attributes = ATTRIBUTES;
	buf_init(&log, 65536);
	tpm_make_log(&log);
	if (eventlog_replay(log.data, log.len, &r, NULL) < 0)
		abort();
	buf_free(&log);
	for (size_t i = 0; i < TPM_PCR_COUNT; i++) {
		memcpy(m->pcr256[i], r.pcr[EVENTLOG_SHA256][i], 32);
		memcpy(m->pcr384[i], r.pcr[EVENTLOG_SHA384][i], 48);
	}
	m->parent[1] = TPM_ALG_SHA256;
	memset(m->parent + 2, 0x77, 32);
}

void tpm_maker_free(struct tpm_maker *m)
{
	EVP_PKEY_free(m->key);
	m->key = NULL;
}

static void put_sized(struct buf *out, const void *p, size_t n)
{
	buf_put_u16be(out, (uint16_t)n);
	buf_put(out, p, n);
}

static void put_number(EVP_PKEY *k, const char *what, size_t len, struct buf *out)
{
	BIGNUM *n = NULL;
	uint8_t bytes[512];

	if (EVP_PKEY_get_bn_param(k, what, &n) != 1 || BN_bn2binpad(n, bytes, (int)len) != (int)len)
		abort();
	put_sized(out, bytes, len);
	BN_free(n);
}

void tpm_make_public(const struct tpm_maker *m, struct buf *out)
{
	bool ec = m->kind == MAKE_ECDSA;
	static const uint16_t schemes[] = {TPM_ALG_RSASSA, TPM_ALG_RSAPSS, TPM_ALG_ECDSA};
	size_t len = (size_t)(EVP_PKEY_get_bits(m->key) + 7) / 8;

	buf_put_u16be(out, ec ? TPM_ALG_ECC : TPM_ALG_RSA);
	buf_put_u16be(out, TPM_ALG_SHA256);
	buf_put_u32be(out, m->attributes);
	put_sized(out, NULL, 0);
	buf_put_u16be(out, TPM_ALG_NULL);
	buf_put_u16be(out, schemes[m->kind]);
	buf_put_u16be(out, m->hash);
	if (ec) {
		buf_put_u16be(out, len == 32 ? TPM_ECC_P256 : TPM_ECC_P384);
		buf_put_u16be(out, TPM_ALG_NULL);
		put_number(m->key, OSSL_PKEY_PARAM_EC_PUB_X, len, out);
		put_number(m->key, OSSL_PKEY_PARAM_EC_PUB_Y, len, out);
	} else {
		buf_put_u16be(out, (uint16_t)EVP_PKEY_get_bits(m->key));
		buf_put_u32be(out, 0);
		put_number(m->key, OSSL_PKEY_PARAM_RSA_N, len, out);
	}
}

static enum hash_alg hash_of(uint16_t alg)
{
	return alg == TPM_ALG_SHA384 ? HASH_SHA384 : HASH_SHA256;
}

void tpm_sign(const struct tpm_maker *m, const void *p, size_t n, struct buf *out)
{
	static const enum key_scheme schemes[] = {SCHEME_RSA_PKCS1, SCHEME_RSA_PSS, SCHEME_ECDSA};
	static const uint16_t algs[] = {TPM_ALG_RSASSA, TPM_ALG_RSAPSS, TPM_ALG_ECDSA};
	struct buf sig;

	buf_init(&sig, 1024);
	if (key_scheme_sign(m->key, schemes[m->kind], hash_of(m->hash), p, n, &sig, NULL) < 0)
		abort();
	buf_put_u16be(out, algs[m->kind]);
	buf_put_u16be(out, m->hash);
	if (m->kind == MAKE_ECDSA) {
		int len = (EVP_PKEY_get_bits(m->key) + 7) / 8;
		const unsigned char *at = sig.data;
		ECDSA_SIG *s = d2i_ECDSA_SIG(NULL, &at, (long)sig.len);
		uint8_t r[48], t[48];

		if (!s || BN_bn2binpad(ECDSA_SIG_get0_r(s), r, len) != len ||
			BN_bn2binpad(ECDSA_SIG_get0_s(s), t, len) != len)
			abort();
		put_sized(out, r, (size_t)len);
		put_sized(out, t, (size_t)len);
		ECDSA_SIG_free(s);
	} else {
		put_sized(out, sig.data, sig.len);
	}
	buf_free(&sig);
}

static void put_values(const struct tpm_maker *m, const struct tpm_bank *b, struct buf *out)
{
	for (unsigned int i = 0; i < TPM_PCR_COUNT; i++) {
		if (!(b->mask & 1u << i))
			continue;
		if (b->alg == TPM_ALG_SHA384)
			buf_put(out, m->pcr384[i], 48);
		else
			buf_put(out, m->pcr256[i], tpm_digest_len(b->alg));
	}
}

static void signer_name(const struct tpm_maker *m, const struct buf *public, struct tpm_name *ret)
{
	struct tpm_public k;
	size_t used;

	if (tpm_public_decode(public->data, public->len, &k, &used, NULL) < 0)
		abort();
	tpm_qualified_name(&k, (struct bytes){m->parent, sizeof(m->parent)}, ret);
}

void tpm_make_quote(const struct tpm_maker *m, const struct tpm_quote_spec *s, struct tpm_made *ret)
{
	struct tpm_bank banks[2] = {s->bank[0], s->bank[1]};
	uint8_t digest[HASH_LEN_MAX];
	struct tpm_name name;
	struct buf *out = &ret->statement;
	size_t count;

	if (!banks[0].alg)
		banks[0] = (struct tpm_bank){TPM_ALG_SHA256, 0x40ff};
	count = banks[1].alg ? 2 : 1;
	buf_init(&ret->statement, 65536);
	buf_init(&ret->signature, 65536);
	buf_init(&ret->key, 65536);
	buf_init(&ret->values, 65536);
	buf_init(&ret->log, 65536);
	tpm_make_public(m, &ret->key);
	signer_name(m, &ret->key, &name);
	buf_put(&ret->key, m->parent, sizeof(m->parent));
	for (size_t i = 0; i < count; i++)
		put_values(m, &banks[i], &ret->values);
	hash_bytes(hash_of(m->hash), ret->values.data, ret->values.len, digest);
	buf_put_u32be(out, s->magic ? s->magic : 0xff544347u);
	buf_put_u16be(out, s->type ? s->type : 0x8018);
	put_sized(out, s->qualified_signer ? s->qualified_signer : name.p, name.n);
	put_sized(out, s->extra.p, s->extra.n);
	buf_put_u64be(out, 123456789);
	buf_put_u32be(out, 4);
	buf_put_u32be(out, 2);
	buf_put_u8(out, 1);
	buf_put_u64be(out, 0x2019102300163636ull);
	buf_put_u32be(out, (uint32_t)count);
	for (size_t i = 0; i < count; i++) {
		buf_put_u16be(out, banks[i].alg);
		buf_put_u8(out, 3);
		for (int k = 0; k < 3; k++)
			buf_put_u8(out, (uint8_t)(banks[i].mask >> 8 * k));
	}
	put_sized(out, digest, hash_len(hash_of(m->hash)));
	tpm_sign(m, out->data, out->len, &ret->signature);
	tpm_make_log(&ret->log);
}

void tpm_made_free(struct tpm_made *q)
{
	buf_free(&q->statement);
	buf_free(&q->signature);
	buf_free(&q->key);
	buf_free(&q->values);
	buf_free(&q->log);
}

void tpm_make_ek(const struct tpm_maker *m, uint32_t attributes, uint16_t mode, struct buf *out)
{
	struct buf plain;

	buf_init(out, 4096);
	buf_init(&plain, 4096);
	tpm_make_public(m, &plain);
	buf_put_u16be(out, TPM_ALG_ECC);
	buf_put_u16be(out, TPM_ALG_SHA256);
	buf_put_u32be(out, attributes);
	buf_put_u16be(out, 0);
	buf_put_u16be(out, TPM_ALG_AES);
	buf_put_u16be(out, 128);
	buf_put_u16be(out, mode);
	buf_put_u16be(out, TPM_ALG_NULL);
	buf_put(out, plain.data + 16, plain.len - 16); /* curve, KDF, point */
	if (out->failed)
		abort();
	buf_free(&plain);
}
