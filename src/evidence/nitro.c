#include "evidence/nitro.h"

#include <stdio.h>
#include <string.h>
#include "crypto/hash.h"
#include "crypto/key.h"
#include "crypto/x509.h"
#include "evidence/chain.h"
#include "evidence/check.h"
#include "evidence/nitro_document.h"
#include "evidence/type.h"

#define WHAT "Nitro chain"
#define DETAIL_PCRS 16
#define DEBUG_PCRS 3 /* 0 to 2: image, kernel and boot, application */

/* SHA-256 over the SubjectPublicKeyInfo of AWS's root, CN aws.nitro-enclaves. Source: https://aws-nitro-enclaves.amazonaws.com/
 * AWS_NitroEnclaves_Root-G1.zip, whose certificate has the published fingerprint 64:1A:03:21:A3:E2:44:EF:...:8F:79:BB:5B. */
static const uint8_t aws_roots[][32] = {
	{0xf2, 0xca, 0xf5, 0xec, 0xc6, 0x19, 0x0b, 0x4a, 0x83, 0x99, 0xb7, 0x8b, 0xc5, 0x8a, 0x2b, 0xbc, 0xd0,
		0x38, 0x23, 0x75, 0xdb, 0x8a, 0x1b, 0xfd, 0x78, 0xa8, 0x27, 0x43, 0x87, 0x4f, 0xd2, 0x25},
};

bool nitro_is(const uint8_t *p, size_t n)
{
	return nitro_document_is(p, n);
}

/* Leaf, then the bundle from its end to the root at its start. */
static int take_chain(const struct nitro_document *d, struct x509_chain *ret, struct error *err)
{
	struct x509_chain c = {0};
	struct error why = {0};

	for (size_t i = 0; i <= d->bundle_count; i++) {
		struct bytes b = i == 0 ? d->certificate : d->bundle[d->bundle_count - i];

		if (c.count == X509_CHAIN_MAX || x509_from_der(b.p, b.n, &c.cert[c.count], &why) < 0) {
			x509_chain_free(&c);
			return evidence_refuse(err, CHECK_CHAIN_FORMAT, WHAT ": certificate %zu: %s", i,
				why.code ? why.text : "one too many");
		}
		c.count++;
	}
	*ret = c;
	return 0;
}

static int check_signature(const struct nitro_document *d, X509 *leaf, struct error *err)
{
	struct buf b;
	int rc = 0;

	if (!x509_key_on_curve(leaf, "P-384"))
		return evidence_refuse(err, CHECK_ALGORITHM,
			"Nitro document: the certificate's key is not on P-384, which ES384 needs");
	buf_init(&b, NITRO_DOCUMENT_MAX + 64);
	nitro_document_to_be_signed(d->protected_header, d->payload, &b);
	if (b.failed)
		rc = error_set(err, ERR_NOMEM, "no memory");
	else if (key_verify_rs(X509_get0_pubkey(leaf), b.data, b.len, d->signature.p,
			 d->signature.p + NITRO_SIGNATURE_LEN / 2, NITRO_SIGNATURE_LEN / 2, NULL) < 0)
		rc = evidence_refuse(err, CHECK_SIGNATURE,
			"Nitro document: its signature is not one of its certificate's key over this header "
			"and payload");
	buf_free(&b);
	return rc;
}

static int check_time(const struct nitro_document *d, X509 *leaf, uint64_t now, struct error *err)
{
	uint64_t at = d->timestamp / 1000, from, to;
	char seen[32], a[32], b[32];

	if (x509_times(leaf, &from, &to) < 0)
		return evidence_refuse(err, CHECK_CHAIN_FORMAT, WHAT ": the leaf has malformed dates");
	chain_time_text(at, seen, sizeof(seen));
	if (at > now && at - now > NITRO_AHEAD_MAX) {
		chain_time_text(now, a, sizeof(a));
		return evidence_refuse(err, CHECK_ISSUED_AT,
			"Nitro document: made at %s, wanted at most %d s after %s", seen, NITRO_AHEAD_MAX, a);
	}
	if (at >= from && at <= to)
		return 0;
	chain_time_text(from, a, sizeof(a));
	chain_time_text(to, b, sizeof(b));
	return evidence_refuse(err, CHECK_ISSUED_AT,
		"Nitro document: made at %s, wanted a time in its certificate's validity, %s to %s", seen, a,
		b);
}

static bool debug_mode(const struct nitro_document *d)
{
	uint8_t any = 0;

	for (size_t i = 0; i < DEBUG_PCRS; i++)
		for (size_t k = 0; d->pcr[i].p && k < NITRO_PCR_LEN; k++)
			any |= d->pcr[i].p[k];
	return any == 0;
}

static void fill(const struct nitro_document *d, struct verdict *v)
{
	struct nitro_detail *n = &v->detail.nitro;

	v->tee = TEE_NITRO;
	v->debug = debug_mode(d);
	v->issued_at = d->timestamp / 1000;
	v->launch_len = NITRO_PCR_LEN;
	memcpy(v->launch, d->pcr[0].p, NITRO_PCR_LEN);
	if (d->user_data.p && d->user_data.n <= REPORT_DATA_LEN)
		memcpy(v->report_data, d->user_data.p, d->user_data.n);
	snprintf(n->module_id, sizeof(n->module_id), "%.*s", (int)d->module_id.n,
		(const char *)d->module_id.p);
	for (size_t i = 0; i < DETAIL_PCRS; i++) {
		if (!d->pcr[i].p)
			continue;
		n->pcr_mask |= 1u << i;
		memcpy(n->pcr[i], d->pcr[i].p, NITRO_PCR_LEN);
	}
	if (d->public_key.p)
		sha256(d->public_key.p, d->public_key.n, n->public_key_hash);
	if (d->nonce.p)
		sha256(d->nonce.p, d->nonce.n, n->nonce_hash);
}

/* What the verdict has room for; beyond the specification's limits there are none in use. */
static int decode(const struct evidence *e, struct nitro_document *d, struct error *err)
{
	struct bytes statement = e->item[ITEM_STATEMENT];

	if (nitro_document_decode(statement.p, statement.n, d, err) < 0)
		return -1;
	for (size_t i = 0; i < DEBUG_PCRS; i++)
		if (!d->pcr[i].p)
			return evidence_refuse(err, CHECK_PCR_SELECTION,
				"Nitro document: PCR%zu is missing, wanted PCRs 0 to %d", i, DEBUG_PCRS - 1);
	if (d->module_id.n >= sizeof(((struct nitro_detail *)NULL)->module_id))
		return evidence_refuse(err, CHECK_FORMAT,
			"Nitro document: module_id has %zu characters, wanted less than %zu", d->module_id.n,
			sizeof(((struct nitro_detail *)NULL)->module_id));
	return 0;
}

static int verify_with(const struct nitro_document *d, const struct x509_chain *c,
	const struct verify_context *ctx, struct verdict *ret, struct error *err)
{
	const struct chain_rules rules = {
		.what = WHAT,
		.tee = TEE_NITRO,
		.built_in = aws_roots,
		.built_in_count = sizeof(aws_roots) / sizeof(*aws_roots),
	};
	struct verdict v = {0};

	if (check_signature(d, c->cert[0], err) < 0 ||
		chain_verify(c, &rules, ctx, &v.valid_until, err) < 0 ||
		check_time(d, c->cert[0], ctx->now, err) < 0)
		return -1;
	if (x509_key_hash(c->cert[0], v.platform, NULL) < 0)
		return evidence_refuse(err, CHECK_CHAIN_FORMAT, WHAT ": the leaf's key is not readable");
	fill(d, &v);
	if (ctx->report_data && d->user_data.n > REPORT_DATA_LEN)
		return evidence_refuse(err, CHECK_REPORT_DATA,
			"Nitro document: user_data has %zu bytes, wanted report data of %d", d->user_data.n,
			REPORT_DATA_LEN);
	if (verify_report_data(ctx, "Nitro document", v.report_data, err) < 0)
		return -1;
	*ret = v;
	return 0;
}

int nitro_verify(
	const struct evidence *e, const struct verify_context *ctx, struct verdict *ret, struct error *err)
{
	struct nitro_document d;
	struct x509_chain c;
	int rc;

	if (decode(e, &d, err) < 0 || take_chain(&d, &c, err) < 0)
		return -1;
	rc = verify_with(&d, &c, ctx, ret, err);
	x509_chain_free(&c);
	return rc;
}

static int describe(const struct nitro_detail *d, json_t *into)
{
	static const uint8_t none[32];
	json_t *pcrs = json_object();
	int rc = pcrs ? 0 : -1;

	for (size_t i = 0; i < DETAIL_PCRS && rc == 0; i++) {
		char name[8];

		if (!(d->pcr_mask & 1u << i))
			continue;
		snprintf(name, sizeof(name), "%zu", i);
		rc = json_set_hex(pcrs, name, d->pcr[i], NITRO_PCR_LEN);
	}
	rc |= json_object_set_new(into, "pcrs", pcrs) |
	      json_object_set_new(into, "module_id", json_string(d->module_id));
	if (memcmp(d->public_key_hash, none, sizeof(none)) != 0)
		rc |= json_set_hex(into, "public_key_sha256", d->public_key_hash, sizeof(none));
	if (memcmp(d->nonce_hash, none, sizeof(none)) != 0)
		rc |= json_set_hex(into, "nonce_sha256", d->nonce_hash, sizeof(none));
	return rc;
}

int nitro_describe(const struct verdict *v, json_t *into)
{
	return describe(&v->detail.nitro, into);
}

int nitro_show(const struct evidence *e, json_t *into, struct error *err)
{
	struct nitro_document d;
	struct verdict v = {0};

	if (decode(e, &d, err) < 0)
		return -1;
	fill(&d, &v);
	if (describe(&v.detail.nitro, into) |
		json_object_set_new(into, "timestamp", json_integer((json_int_t)d.timestamp)) |
		json_object_set_new(into, "debug", json_boolean(v.debug)) |
		(d.user_data.p ? json_set_hex(into, "user_data", d.user_data.p, d.user_data.n) : 0) |
		(d.nonce.p ? json_set_hex(into, "nonce", d.nonce.p, d.nonce.n) : 0) |
		(d.public_key.p ? json_set_hex(into, "public_key", d.public_key.p, d.public_key.n) : 0))
		return error_set(err, ERR_NOMEM, "no memory");
	return 0;
}

static int check_hash(
	const uint8_t seen[32], const uint8_t *wanted, size_t n, const char *what, struct error *err)
{
	uint8_t hash[32];

	if (!wanted)
		return 0;
	sha256(wanted, n, hash);
	return memcmp(hash, seen, sizeof(hash)) == 0
		       ? 0
		       : evidence_refuse_bytes(err, CHECK_REPORT_DATA, what, seen, hash, sizeof(hash));
}

int nitro_judge(const struct verdict *v, const struct nitro_wanted *w, struct error *err)
{
	const struct nitro_detail *d = &v->detail.nitro;
	char what[48];

	if (v->tee != TEE_NITRO)
		return evidence_refuse(
			err, CHECK_TYPE, "evidence is of type %s, wanted nitro", tee_type_name(v->tee));
	for (size_t i = 0; i < w->pcr_count; i++) {
		unsigned int at = w->pcr[i].index;

		if (at >= DETAIL_PCRS || !(d->pcr_mask & 1u << at))
			return evidence_refuse(
				err, CHECK_PCR_SELECTION, "Nitro document: PCR%u is not in it, wanted", at);
		snprintf(what, sizeof(what), "Nitro document: PCR%u", at);
		if (memcmp(d->pcr[at], w->pcr[i].value, NITRO_PCR_LEN) != 0)
			return evidence_refuse_bytes(
				err, CHECK_PCR, what, d->pcr[at], w->pcr[i].value, NITRO_PCR_LEN);
	}
	if (check_hash(d->nonce_hash, w->nonce, w->nonce_len, "Nitro document: SHA-256 of the nonce", err) <
		0)
		return -1;
	return check_hash(d->public_key_hash, w->public_key, w->public_key_len,
		"Nitro document: SHA-256 of the public key", err);
}
