#include "evidence/tpm_wire.h"

#include <string.h>
#include "core/buf.h"
#include "evidence/check.h"

#define MAGIC_GENERATED 0xff544347u /* TPM_GENERATED_VALUE */
#define ST_ATTEST_QUOTE 0x8018
#define SELECT_MAX 4 /* bytes of a PCR bitmap */
#define RSA_BYTES_MAX 512
#define EC_BYTES_MAX 48
#define EXPONENT_DEFAULT 65537

static const struct {
	uint16_t alg;
	uint8_t digest;
	const char *name;
} algs[] = {
	{TPM_ALG_SHA1, 20, "sha1"},
	{TPM_ALG_SHA256, 32, "sha256"},
	{TPM_ALG_SHA384, 48, "sha384"},
	{TPM_ALG_SHA512, 64, "sha512"},
	{TPM_ALG_RSA, 0, "rsa"},
	{TPM_ALG_ECC, 0, "ecc"},
	{TPM_ALG_NULL, 0, "null"},
	{TPM_ALG_RSASSA, 0, "rsassa"},
	{TPM_ALG_RSAPSS, 0, "rsapss"},
	{TPM_ALG_ECDSA, 0, "ecdsa"},
};

size_t tpm_digest_len(uint16_t alg)
{
	for (size_t i = 0; i < sizeof(algs) / sizeof(*algs); i++)
		if (algs[i].alg == alg)
			return algs[i].digest;
	return 0;
}

const char *tpm_alg_name(uint16_t alg)
{
	for (size_t i = 0; i < sizeof(algs) / sizeof(*algs); i++)
		if (algs[i].alg == alg)
			return algs[i].name;
	return "unknown";
}

/* TPM2B: u16 length, bytes. */
static struct bytes sized(struct rd *r, size_t max)
{
	struct bytes b = {.n = rd_u16be(r)};

	if (b.n > max)
		r->failed = true;
	b.p = r->failed ? NULL : rd_bytes(r, b.n);
	if (!b.p)
		b.n = 0;
	return b;
}

bool tpm_quote_is(const uint8_t *p, size_t n)
{
	static const uint8_t head[] = {0xff, 0x54, 0x43, 0x47, 0x80, 0x18};

	return n > sizeof(head) && memcmp(p, head, sizeof(head)) == 0;
}

static bool bank_seen(const struct tpm_quote *q, uint16_t alg)
{
	for (size_t i = 0; i < q->bank_count; i++)
		if (q->bank[i].alg == alg)
			return true;
	return false;
}

/* TPML_PCR_SELECTION */
static int decode_selection(struct rd *r, struct tpm_quote *q, struct error *err)
{
	uint32_t count = rd_u32be(r);

	if (r->failed || count > TPM_BANK_MAX)
		return evidence_refuse(
			err, CHECK_FORMAT, "TPM quote: %u PCR banks, wanted at most %d", count, TPM_BANK_MAX);
	for (uint32_t i = 0; i < count; i++) {
		struct tpm_bank b = {.alg = rd_u16be(r)};
		size_t n = rd_u8(r);

		if (n > SELECT_MAX)
			r->failed = true;
		for (size_t k = 0; k < n && !r->failed; k++)
			b.mask |= (uint32_t)rd_u8(r) << 8 * k;
		if (r->failed || b.mask >> TPM_PCR_COUNT || tpm_digest_len(b.alg) == 0 || bank_seen(q, b.alg))
			return evidence_refuse(err, CHECK_FORMAT,
				"TPM quote: PCR selection %u (algorithm 0x%04x, bitmap 0x%x of %zu bytes), "
				"wanted "
				"each known bank once and PCRs below %d",
				i, b.alg, b.mask, n, TPM_PCR_COUNT);
		q->bank[q->bank_count++] = b;
	}
	return 0;
}

int tpm_quote_decode(const uint8_t *p, size_t n, struct tpm_quote *ret, struct error *err)
{
	struct tpm_quote q = {0};
	struct rd r;
	uint32_t magic;
	uint16_t type;
	uint8_t safe;

	rd_init(&r, p, n);
	magic = rd_u32be(&r);
	type = rd_u16be(&r);
	if (r.failed || magic != MAGIC_GENERATED || type != ST_ATTEST_QUOTE)
		return evidence_refuse(err, CHECK_TYPE,
			"TPM quote: begins with 0x%08x 0x%04x, wanted 0x%08x 0x%04x, a quote that a TPM made",
			magic, type, MAGIC_GENERATED, ST_ATTEST_QUOTE);
	q.qualified_signer = sized(&r, TPM_NAME_MAX);
	q.extra_data = sized(&r, TPM_EXTRA_MAX);
	q.clock = rd_u64be(&r);
	q.reset_count = rd_u32be(&r);
	q.restart_count = rd_u32be(&r);
	safe = rd_u8(&r);
	q.firmware_version = rd_u64be(&r);
	if (r.failed || safe > 1)
		return evidence_refuse(err, CHECK_FORMAT,
			"TPM quote: %zu bytes end before the PCR selection or have a field that is too long",
			n);
	q.safe = safe;
	if (decode_selection(&r, &q, err) < 0)
		return -1;
	q.pcr_digest = sized(&r, TPM_DIGEST_MAX);
	if (!rd_done(&r))
		return evidence_refuse(
			err, CHECK_FORMAT, "TPM quote: %zu bytes do not end with the digest of the PCRs", n);
	*ret = q;
	return 0;
}

static bool strong_hash(uint16_t alg)
{
	return alg == TPM_ALG_SHA256 || alg == TPM_ALG_SHA384 || alg == TPM_ALG_SHA512;
}

int tpm_signature_decode(const uint8_t *p, size_t n, struct tpm_signature *ret, struct error *err)
{
	struct tpm_signature s = {0};
	struct rd r;

	rd_init(&r, p, n);
	s.scheme = rd_u16be(&r);
	s.hash = rd_u16be(&r);
	if (r.failed ||
		(s.scheme != TPM_ALG_RSASSA && s.scheme != TPM_ALG_RSAPSS && s.scheme != TPM_ALG_ECDSA) ||
		!strong_hash(s.hash))
		return evidence_refuse(err, CHECK_ALGORITHM,
			"TPM signature: scheme 0x%04x (%s) with hash 0x%04x (%s), wanted RSASSA, RSAPSS or "
			"ECDSA with "
			"SHA-256, SHA-384 or SHA-512",
			s.scheme, tpm_alg_name(s.scheme), s.hash, tpm_alg_name(s.hash));
	s.value[0] = sized(&r, s.scheme == TPM_ALG_ECDSA ? EC_BYTES_MAX : RSA_BYTES_MAX);
	if (s.scheme == TPM_ALG_ECDSA)
		s.value[1] = sized(&r, EC_BYTES_MAX);
	if (!rd_done(&r))
		return evidence_refuse(
			err, CHECK_FORMAT, "TPM signature: %zu bytes do not add up to a TPMT_SIGNATURE", n);
	*ret = s;
	return 0;
}

static void decode_symmetric(struct rd *r, struct tpm_public *k)
{
	k->sym_alg = rd_u16be(r);
	if (k->sym_alg == TPM_ALG_NULL)
		return;
	k->sym_bits = rd_u16be(r);
	k->sym_mode = rd_u16be(r);
}

static void decode_scheme(struct rd *r, struct tpm_public *k)
{
	k->scheme = rd_u16be(r);
	if (k->scheme == TPM_ALG_NULL)
		return;
	k->scheme_hash = rd_u16be(r);
	if (k->scheme == TPM_ALG_ECDAA)
		(void)rd_u16be(r);
}

static void decode_rsa(struct rd *r, struct tpm_public *k)
{
	k->rsa_bits = rd_u16be(r);
	k->rsa_exponent = rd_u32be(r);
	if (k->rsa_exponent == 0)
		k->rsa_exponent = EXPONENT_DEFAULT;
	k->unique[0] = sized(r, RSA_BYTES_MAX);
	if (k->rsa_bits < 2048 || k->rsa_bits % 8 || k->unique[0].n != k->rsa_bits / 8u ||
		!(k->rsa_exponent & 1) || k->rsa_exponent < 3)
		r->failed = true;
}

static void decode_ecc(struct rd *r, struct tpm_public *k)
{
	uint16_t kdf;

	k->curve = rd_u16be(r);
	kdf = rd_u16be(r);
	if (kdf != TPM_ALG_NULL)
		(void)rd_u16be(r);
	k->unique[0] = sized(r, EC_BYTES_MAX);
	k->unique[1] = sized(r, EC_BYTES_MAX);
}

static int check_public(const struct tpm_public *k, struct error *err)
{
	if (k->type != TPM_ALG_RSA && k->type != TPM_ALG_ECC)
		return evidence_refuse(
			err, CHECK_ALGORITHM, "TPM key: type is 0x%04x, wanted RSA or ECC", k->type);
	if (!strong_hash(k->name_alg))
		return evidence_refuse(err, CHECK_ALGORITHM,
			"TPM key: name algorithm is 0x%04x (%s), wanted SHA-256, SHA-384 or SHA-512",
			k->name_alg, tpm_alg_name(k->name_alg));
	if (k->type == TPM_ALG_ECC && k->curve != TPM_ECC_P256 && k->curve != TPM_ECC_P384)
		return evidence_refuse(
			err, CHECK_ALGORITHM, "TPM key: curve is 0x%04x, wanted P-256 or P-384", k->curve);
	return 0;
}

int tpm_public_decode(const uint8_t *p, size_t n, struct tpm_public *ret, size_t *ret_used, struct error *err)
{
	struct tpm_public k = {0};
	struct rd r;

	rd_init(&r, p, n);
	k.type = rd_u16be(&r);
	k.name_alg = rd_u16be(&r);
	k.attributes = rd_u32be(&r);
	k.auth_policy = sized(&r, TPM_DIGEST_MAX);
	decode_symmetric(&r, &k);
	decode_scheme(&r, &k);
	if (k.type == TPM_ALG_ECC)
		decode_ecc(&r, &k);
	else
		decode_rsa(&r, &k);
	if (k.type && check_public(&k, err) < 0)
		return -1;
	if (r.failed)
		return evidence_refuse(
			err, CHECK_FORMAT, "TPM key: %zu bytes do not add up to a TPMT_PUBLIC", n);
	k.whole = (struct bytes){p, n - r.left};
	*ret_used = n - r.left;
	*ret = k;
	return 0;
}
