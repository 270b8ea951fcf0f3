#include "evidence/tpm.h"

#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>
#include "core/encode.h"
#include "core/secret.h"
#include "crypto/key.h"
#include "crypto/x509.h"
#include "evidence/chain.h"
#include "evidence/check.h"
#include "evidence/eventlog.h"
#include "evidence/tpm_key.h"
#include "evidence/type.h"

#define SPKI_MAX 1024
#define DER_SEQUENCE 0x30

bool tpm_is(const uint8_t *p, size_t n)
{
	return tpm_quote_is(p, n);
}

/* Everything that a quote comes with, decoded. */
struct parts {
	struct tpm_quote quote;
	struct tpm_signature signature;
	bool has_public; /* the key came as TPMT_PUBLIC */
	struct tpm_public public;
	struct bytes parent; /* qualified name of the key's parent; p NULL: not there */
	EVP_PKEY *key; /* owned */
};

static int missing(struct error *err, const char *what)
{
	return evidence_refuse(err, CHECK_FORMAT, "TPM quote: the evidence has no %s, wanted it", what);
}

/* Is this how the key is written? Readers are lenient, and one key would have several forms. */
static bool canonical(EVP_PKEY *k, struct bytes in)
{
	struct buf der;
	bool same;

	buf_init(&der, SPKI_MAX);
	same = key_spki_der(k, &der, NULL) == 0 && der.len == in.n && memcmp(der.data, in.p, in.n) == 0;
	buf_free(&der);
	return same;
}

static int decode_spki(struct bytes in, struct parts *t, struct error *err)
{
	const unsigned char *at = in.p;

	if (in.n <= SPKI_MAX)
		t->key = d2i_PUBKEY(NULL, &at, (long)in.n);
	if (t->key && at == in.p + in.n && canonical(t->key, in))
		return 0;
	EVP_PKEY_free(t->key);
	t->key = NULL;
	return evidence_refuse(err, CHECK_FORMAT,
		"TPM quote: the key of %zu bytes is neither a TPMT_PUBLIC nor one SubjectPublicKeyInfo",
		in.n);
}

static int decode_key(struct bytes in, struct parts *t, struct error *err)
{
	size_t used;

	if (in.p[0] == DER_SEQUENCE)
		return decode_spki(in, t, err);
	if (tpm_public_decode(in.p, in.n, &t->public, &used, err) < 0 ||
		tpm_public_check_ak(&t->public, err) < 0)
		return -1;
	t->has_public = true;
	if (in.n - used > TPM_NAME_MAX)
		return evidence_refuse(err, CHECK_FORMAT,
			"TPM quote: %zu bytes follow the key, wanted the qualified name of its parent",
			in.n - used);
	if (in.n > used)
		t->parent = (struct bytes){in.p + used, in.n - used};
	return tpm_public_key(&t->public, &t->key, err);
}

static int decode(const struct evidence *e, struct parts *ret, struct error *err)
{
	struct parts t = {0};
	const struct bytes *item = e->item;

	if (!item[ITEM_SIGNATURE].p || !item[ITEM_KEY].p || !item[ITEM_VALUES].p)
		return missing(err, !item[ITEM_SIGNATURE].p ? "signature"
				    : !item[ITEM_KEY].p	    ? "attestation key"
							    : "values of the PCRs");
	if (tpm_quote_decode(item[ITEM_STATEMENT].p, item[ITEM_STATEMENT].n, &t.quote, err) < 0 ||
		tpm_signature_decode(item[ITEM_SIGNATURE].p, item[ITEM_SIGNATURE].n, &t.signature, err) < 0 ||
		decode_key(item[ITEM_KEY], &t, err) < 0)
		return -1;
	*ret = t;
	return 0;
}

/* The TPM names its signer by a hash over the whole line of public areas: with the parent's name it confirms this one, attributes included. */
static int check_signer(const struct parts *t, struct error *err)
{
	struct tpm_name name;

	if (!t->parent.p)
		return 0;
	tpm_qualified_name(&t->public, t->parent, &name);
	if (t->quote.qualified_signer.n == name.n && memcmp(t->quote.qualified_signer.p, name.p, name.n) == 0)
		return 0;
	if (t->quote.qualified_signer.n == name.n)
		return evidence_refuse_bytes(err, CHECK_ATTESTATION_KEY,
			"TPM quote: qualified name of the signer", t->quote.qualified_signer.p, name.p,
			name.n);
	return evidence_refuse(err, CHECK_ATTESTATION_KEY,
		"TPM quote: qualified name of the signer has %zu bytes, wanted %zu",
		t->quote.qualified_signer.n, name.n);
}

static size_t values_len(const struct tpm_quote *q)
{
	size_t n = 0;

	for (size_t i = 0; i < q->bank_count; i++)
		n += (size_t)__builtin_popcount(q->bank[i].mask) * tpm_digest_len(q->bank[i].alg);
	return n;
}

static int check_values(const struct parts *t, struct bytes values, struct error *err)
{
	uint8_t digest[HASH_LEN_MAX];
	size_t wanted = values_len(&t->quote);
	enum hash_alg hash;

	if (values.n != wanted || wanted == 0)
		return evidence_refuse(err, CHECK_FORMAT,
			"TPM quote: %zu bytes of PCR values, wanted %zu, and more than none, as the "
			"selection says",
			values.n, wanted);
	/* TPM2_Quote hashes the values with the hash of the signature. */
	if (tpm_hash(t->signature.hash, &hash, err) < 0)
		return -1;
	hash_bytes(hash, values.p, values.n, digest);
	if (t->quote.pcr_digest.n != hash_len(hash))
		return evidence_refuse(err, CHECK_FORMAT,
			"TPM quote: digest of the PCRs has %zu bytes, wanted %zu", t->quote.pcr_digest.n,
			hash_len(hash));
	if (memcmp(digest, t->quote.pcr_digest.p, hash_len(hash)) != 0)
		return evidence_refuse_bytes(err, CHECK_PCR_DIGEST,
			"TPM quote: digest of the PCR values that came with it", digest,
			t->quote.pcr_digest.p, hash_len(hash));
	return 0;
}

/* Value of one quoted PCR; p NULL: not quoted in this bank. */
static struct bytes value_of(const struct tpm_quote *q, struct bytes values, uint16_t alg, unsigned int pcr)
{
	const uint8_t *at = values.p;

	for (size_t i = 0; i < q->bank_count; i++) {
		size_t len = tpm_digest_len(q->bank[i].alg);

		for (unsigned int k = 0; k < TPM_PCR_COUNT; k++) {
			if (!(q->bank[i].mask & 1u << k))
				continue;
			if (q->bank[i].alg == alg && k == pcr)
				return (struct bytes){at, len};
			at += len;
		}
	}
	return (struct bytes){0};
}

static int check_replayed(const struct parts *t, struct bytes values, const struct eventlog_replay *r,
	size_t bank, struct error *err)
{
	uint16_t alg = eventlog_bank_alg(bank);
	char what[80];

	for (unsigned int i = 0; i < TPM_PCR_COUNT; i++) {
		struct bytes v = value_of(&t->quote, values, alg, i);

		if (!v.p || !(EVENTLOG_STRICT_PCRS & 1u << i) || memcmp(v.p, r->pcr[bank][i], v.n) == 0)
			continue;
		snprintf(what, sizeof(what), "TPM quote: PCR %u (%s)", i, tpm_alg_name(alg));
		evidence_refuse_bytes(err, CHECK_EVENT_LOG, what, v.p, r->pcr[bank][i], v.n);
		return error_wrap(err, "event log does not lead to the quoted value");
	}
	return 0;
}

static int check_log(const struct parts *t, struct bytes log, struct bytes values, struct error *err)
{
	struct eventlog_replay r;
	bool any = false;

	if (!log.p)
		return 0;
	if (eventlog_replay(log.p, log.n, &r, err) < 0)
		return -1;
	for (size_t b = 0; b < EVENTLOG_BANKS; b++) {
		if (!r.bank[b])
			continue;
		for (size_t i = 0; i < t->quote.bank_count; i++)
			any |= t->quote.bank[i].alg == eventlog_bank_alg(b) && t->quote.bank[i].mask;
		if (check_replayed(t, values, &r, b, err) < 0)
			return -1;
	}
	return any ? 0
		   : evidence_refuse(err, CHECK_EVENT_LOG,
			     "event log: it has none of the quoted banks, wanted SHA-256 or SHA-384");
}

/* Certificates that say whose key it is; the key must be the first one's. */
static int check_chain(struct bytes certificates, EVP_PKEY *key, const struct verify_context *ctx,
	uint64_t *valid_until, struct error *err)
{
	const struct chain_rules rules = {.what = "TPM chain", .tee = TEE_TPM};
	struct x509_chain c;
	struct error why = {0};
	int rc;

	if (x509_chain_from_pem(certificates.p, certificates.n, &c, &why) < 0)
		return evidence_refuse(err, CHECK_CHAIN_FORMAT, "TPM chain: %s", why.text);
	rc = chain_verify(&c, &rules, ctx, valid_until, err);
	if (rc == 0 && EVP_PKEY_eq(X509_get0_pubkey(c.cert[0]), key) != 1)
		rc = evidence_refuse(err, CHECK_CHAIN_ROLE,
			"TPM chain: the first certificate is for another key than the one that signed");
	x509_chain_free(&c);
	return rc;
}

static int check_trust(const struct evidence *e, const struct parts *t, const struct verify_context *ctx,
	struct verdict *v, struct error *err)
{
	char text[KEY_HASH_TEXT_MAX];

	if (key_hash(t->key, v->platform, err) < 0)
		return -1;
	if (verify_root_trusted(ctx, TEE_TPM, v->platform, NULL, 0))
		return 0;
	if (e->item[ITEM_CERTIFICATES].p)
		return check_chain(e->item[ITEM_CERTIFICATES], t->key, ctx, &v->valid_until, err);
	key_hash_text(v->platform, text);
	return evidence_refuse(err, CHECK_PLATFORM,
		"TPM quote: the attestation key is %s, wanted one that is enrolled here, or certificates to "
		"a trusted root",
		text);
}

static void fill(const struct evidence *e, const struct parts *t, struct verdict *v)
{
	struct tpm_detail *d = &v->detail.tpm;
	struct tpm_name name;

	v->tee = TEE_TPM;
	v->launch_len = t->quote.pcr_digest.n;
	memcpy(v->launch, t->quote.pcr_digest.p, t->quote.pcr_digest.n);
	memcpy(v->report_data, t->quote.extra_data.p, t->quote.extra_data.n);
	for (unsigned int i = 0; i < TPM_PCR_COUNT; i++) {
		struct bytes value = value_of(&t->quote, e->item[ITEM_VALUES], TPM_ALG_SHA256, i);

		if (!value.p)
			continue;
		d->pcr_mask |= 1u << i;
		memcpy(d->pcr[i], value.p, value.n);
	}
	if (t->has_public && t->public.name_alg == TPM_ALG_SHA256) {
		tpm_public_name(&t->public, &name);
		memcpy(d->ak_name, name.p, sizeof(d->ak_name));
	}
	d->reset_count = t->quote.reset_count;
	d->restart_count = t->quote.restart_count;
	d->clock = t->quote.clock;
	d->firmware_version = t->quote.firmware_version;
	d->event_log = e->item[ITEM_EVENT_LOG].p != NULL;
}

static int verify_parts(const struct evidence *e, const struct parts *t, const struct verify_context *ctx,
	struct verdict *ret, struct error *err)
{
	struct bytes statement = e->item[ITEM_STATEMENT], values = e->item[ITEM_VALUES];
	struct verdict v = {0};

	if (check_trust(e, t, ctx, &v, err) < 0 ||
		tpm_signature_verify(t->key, &t->signature, statement.p, statement.n, err) < 0 ||
		check_signer(t, err) < 0 || check_values(t, values, err) < 0 ||
		check_log(t, e->item[ITEM_EVENT_LOG], values, err) < 0)
		return -1;
	fill(e, t, &v);
	if (verify_report_data(ctx, "TPM quote", v.report_data, err) < 0)
		return -1;
	*ret = v;
	return 0;
}

int tpm_verify(
	const struct evidence *e, const struct verify_context *ctx, struct verdict *ret, struct error *err)
{
	struct parts t;
	int rc;

	if (decode(e, &t, err) < 0)
		return -1;
	rc = verify_parts(e, &t, ctx, ret, err);
	EVP_PKEY_free(t.key);
	return rc;
}

static int describe(const struct tpm_detail *d, json_t *into)
{
	static const uint8_t none[sizeof(d->ak_name)];
	json_t *pcrs = json_object();
	int rc = pcrs ? 0 : -1;

	for (size_t i = 0; i < TPM_PCR_COUNT && rc == 0; i++) {
		char name[8];

		if (!(d->pcr_mask & 1u << i))
			continue;
		snprintf(name, sizeof(name), "%zu", i);
		rc = json_set_hex(pcrs, name, d->pcr[i], sizeof(d->pcr[i]));
	}
	rc |= json_object_set_new(into, "pcrs_sha256", pcrs) |
	      json_object_set_new(into, "clock", json_integer((json_int_t)d->clock)) |
	      json_object_set_new(into, "reset_count", json_integer(d->reset_count)) |
	      json_object_set_new(into, "restart_count", json_integer(d->restart_count)) |
	      json_object_set_new(into, "event_log", json_boolean(d->event_log));
	if (memcmp(d->ak_name, none, sizeof(none)) != 0)
		rc |= json_set_hex(into, "ak_name", d->ak_name, sizeof(d->ak_name));
	return rc;
}

int tpm_describe(const struct verdict *v, json_t *into)
{
	return describe(&v->detail.tpm, into);
}

int tpm_show(const struct evidence *e, json_t *into, struct error *err)
{
	struct verdict v = {0};
	struct parts t;
	int rc = -1;

	if (decode(e, &t, err) < 0)
		return -1;
	if (check_values(&t, e->item[ITEM_VALUES], err) == 0) {
		fill(e, &t, &v);
		rc = describe(&v.detail.tpm, into) |
		     json_set_hex(into, "report_data", v.report_data, sizeof(v.report_data)) |
		     json_set_hex(into, "pcr_digest", v.launch, v.launch_len);
		if (rc)
			rc = error_set(err, ERR_NOMEM, "no memory");
	}
	EVP_PKEY_free(t.key);
	return rc;
}

static bool quoted(const struct tpm_detail *d, unsigned int pcr)
{
	return pcr < TPM_PCR_COUNT && (d->pcr_mask & 1u << pcr);
}

/* The first row of each PCR stands for all rows of it. */
static int judge_pcr(const struct tpm_detail *d, const struct tpm_wanted *w, size_t first, struct error *err)
{
	unsigned int pcr = w->pcr[first].index;
	size_t rows = 0;
	char what[48], hex[2 * 32 + 1];

	for (size_t i = 0; i < first; i++)
		if (w->pcr[i].index == pcr)
			return 0;
	if (!quoted(d, pcr))
		return evidence_refuse(err, CHECK_PCR_SELECTION,
			"TPM quote: PCR %u (sha256) was not quoted, wanted it", pcr);
	for (size_t i = first; i < w->pcr_count; i++) {
		if (w->pcr[i].index != pcr)
			continue;
		if (memcmp(d->pcr[pcr], w->pcr[i].value, 32) == 0)
			return 0;
		rows++;
	}
	snprintf(what, sizeof(what), "TPM quote: PCR %u (sha256)", pcr);
	if (rows == 1)
		return evidence_refuse_bytes(err, CHECK_PCR, what, d->pcr[pcr], w->pcr[first].value, 32);
	hex_encode(d->pcr[pcr], 32, hex);
	return evidence_refuse(err, CHECK_PCR, "%s is %s, wanted one of the %zu accepted", what, hex, rows);
}

int tpm_judge(const struct verdict *v, const struct tpm_wanted *w, struct error *err)
{
	if (v->tee != TEE_TPM)
		return evidence_refuse(
			err, CHECK_TYPE, "evidence is of type %s, wanted tpm", tee_type_name(v->tee));
	if (w->event_log && !v->detail.tpm.event_log)
		return evidence_refuse(
			err, CHECK_EVENT_LOG, "TPM quote: there is no event log with it, wanted one");
	for (size_t i = 0; i < w->pcr_count; i++)
		if (judge_pcr(&v->detail.tpm, w, i, err) < 0)
			return -1;
	return 0;
}
