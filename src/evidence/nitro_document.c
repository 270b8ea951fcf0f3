#include "evidence/nitro_document.h"

#include <string.h>
#include "evidence/check.h"
#include "evidence/nitro_cbor.h"

#define COSE_SIGN1_TAG 0xd2
#define COSE_ARRAY 0x84
#define DIGEST_NAME "SHA384"
#define PAIRS_MAX 16

/* {1: -35}: algorithm ES384 (RFC 9053), and nothing else */
static const uint8_t es384_header[] = {0xa1, 0x01, 0x38, 0x22};

bool nitro_document_is(const uint8_t *p, size_t n)
{
	if (n > 0 && p[0] == COSE_SIGN1_TAG) {
		p++;
		n--;
	}
	return n > 2 + sizeof(es384_header) && p[0] == COSE_ARRAY && p[1] == (0x40 | sizeof(es384_header)) &&
	       memcmp(p + 2, es384_header, sizeof(es384_header)) == 0;
}

static int bad(struct error *err, const char *what)
{
	return evidence_refuse(err, CHECK_FORMAT, "Nitro document: %s", what);
}

static int decode_envelope(const uint8_t *p, size_t n, struct nitro_document *d, struct error *err)
{
	struct cbor c;
	struct cbor_walk w;

	if (n > 0 && p[0] == COSE_SIGN1_TAG) {
		p++;
		n--;
	}
	cbor_init(&c, p, n);
	w = cbor_array(&c, 4);
	if (c.failed || w.indefinite || w.left != 4)
		return bad(err, "the COSE_Sign1 is no array of four");
	d->protected_header = cbor_bytes(&c);
	w = cbor_map(&c, 0);
	if (c.failed || w.indefinite)
		return bad(err, "the COSE headers are not a byte string and an empty map");
	d->payload = cbor_bytes(&c);
	d->signature = cbor_bytes(&c);
	if (!cbor_done(&c))
		return bad(err,
			"the COSE_Sign1 does not end with payload and signature, or something follows it");
	if (d->protected_header.n != sizeof(es384_header) ||
		memcmp(d->protected_header.p, es384_header, sizeof(es384_header)) != 0)
		return evidence_refuse(err, CHECK_ALGORITHM,
			"Nitro document: the protected header is another than {1: -35}, ES384");
	if (d->signature.n != NITRO_SIGNATURE_LEN)
		return evidence_refuse(err, CHECK_FORMAT,
			"Nitro document: signature has %zu bytes, wanted %d", d->signature.n,
			NITRO_SIGNATURE_LEN);
	return 0;
}

/* A byte string of at most max bytes, or null. */
static void optional_bytes(struct cbor *c, size_t max, struct bytes *ret)
{
	if (cbor_next(c) == CBOR_NULL) {
		cbor_null(c);
		return;
	}
	*ret = cbor_bytes(c);
	c->failed |= ret->n > max;
}

static void decode_pcrs(struct cbor *c, struct nitro_document *d)
{
	struct cbor_walk w = cbor_map(c, NITRO_PCR_COUNT);

	while (cbor_more(c, &w)) {
		uint64_t i = cbor_uint(c);
		struct bytes value = cbor_bytes(c);

		if (c->failed || i >= NITRO_PCR_COUNT || (d->pcr_mask & 1u << i) ||
			value.n != NITRO_PCR_LEN) {
			c->failed = true;
			return;
		}
		d->pcr_mask |= 1u << i;
		d->pcr[i] = value;
	}
}

static void decode_bundle(struct cbor *c, struct nitro_document *d)
{
	struct cbor_walk w = cbor_array(c, NITRO_BUNDLE_MAX);

	while (cbor_more(c, &w)) {
		struct bytes b = cbor_bytes(c);

		if (c->failed || d->bundle_count == NITRO_BUNDLE_MAX || b.n == 0 ||
			b.n > NITRO_CERTIFICATE_MAX) {
			c->failed = true;
			return;
		}
		d->bundle[d->bundle_count++] = b;
	}
}

enum field { F_MODULE, F_DIGEST, F_TIME, F_PCRS, F_CERTIFICATE, F_BUNDLE, F_KEY, F_USER, F_NONCE, F_COUNT };

static const char *const field_names[F_COUNT] = {"module_id", "digest", "timestamp", "pcrs", "certificate",
	"cabundle", "public_key", "user_data", "nonce"};

static enum field field_of(struct bytes key)
{
	for (size_t i = 0; i < F_COUNT; i++)
		if (key.p && key.n == strlen(field_names[i]) && memcmp(key.p, field_names[i], key.n) == 0)
			return (enum field)i;
	return F_COUNT;
}

static int decode_field(struct cbor *c, enum field f, struct nitro_document *d, struct error *err)
{
	struct bytes digest;

	switch (f) {
	case F_MODULE:
		d->module_id = cbor_text(c);
		c->failed |= d->module_id.n == 0;
		break;
	case F_DIGEST:
		digest = cbor_text(c);
		if (!c->failed &&
			(digest.n != sizeof(DIGEST_NAME) - 1 || memcmp(digest.p, DIGEST_NAME, digest.n) != 0))
			return evidence_refuse(err, CHECK_ALGORITHM,
				"Nitro document: digest is '%.*s', wanted '" DIGEST_NAME "'",
				(int)(digest.n < 32 ? digest.n : 32), digest.p);
		break;
	case F_TIME:
		d->timestamp = cbor_uint(c);
		break;
	case F_PCRS:
		decode_pcrs(c, d);
		break;
	case F_CERTIFICATE:
		d->certificate = cbor_bytes(c);
		c->failed |= d->certificate.n == 0 || d->certificate.n > NITRO_CERTIFICATE_MAX;
		break;
	case F_BUNDLE:
		decode_bundle(c, d);
		break;
	case F_KEY:
		optional_bytes(c, NITRO_PUBLIC_KEY_MAX, &d->public_key);
		break;
	case F_USER:
		optional_bytes(c, NITRO_USER_MAX, &d->user_data);
		break;
	case F_NONCE:
		optional_bytes(c, NITRO_USER_MAX, &d->nonce);
		break;
	case F_COUNT:
		break;
	}
	return c->failed ? evidence_refuse(err, CHECK_FORMAT,
				   "Nitro document: %s has another type, length or form than the "
				   "specification's",
				   field_names[f])
			 : 0;
}

static int decode_payload(struct nitro_document *d, struct error *err)
{
	const unsigned int required = 1u << F_MODULE | 1u << F_DIGEST | 1u << F_TIME | 1u << F_PCRS |
				      1u << F_CERTIFICATE | 1u << F_BUNDLE;
	unsigned int seen = 0;
	struct cbor c;
	struct cbor_walk w;

	cbor_init(&c, d->payload.p, d->payload.n);
	w = cbor_map(&c, PAIRS_MAX);
	while (cbor_more(&c, &w)) {
		enum field f = field_of(cbor_text(&c));

		if (c.failed || f == F_COUNT)
			return bad(err, "the payload has a key that is none of the specification's");
		if (seen & 1u << f)
			return evidence_refuse(
				err, CHECK_FORMAT, "Nitro document: %s is there twice", field_names[f]);
		seen |= 1u << f;
		if (decode_field(&c, f, d, err) < 0)
			return -1;
	}
	if (!cbor_done(&c))
		return bad(err, "the payload is no single map");
	for (size_t i = 0; i < F_COUNT; i++)
		if ((required & ~seen) & 1u << i)
			return evidence_refuse(
				err, CHECK_FORMAT, "Nitro document: %s is missing", field_names[i]);
	if (d->bundle_count == 0)
		return evidence_refuse(err, CHECK_CHAIN_FORMAT,
			"Nitro document: cabundle has no certificate, wanted 1 to %d", NITRO_BUNDLE_MAX);
	return 0;
}

int nitro_document_decode(const uint8_t *p, size_t n, struct nitro_document *ret, struct error *err)
{
	struct nitro_document d = {0};

	if (n > NITRO_DOCUMENT_MAX)
		return evidence_refuse(err, CHECK_FORMAT, "Nitro document: %zu bytes, at most %d are taken",
			n, NITRO_DOCUMENT_MAX);
	if (decode_envelope(p, n, &d, err) < 0 || decode_payload(&d, err) < 0)
		return -1;
	*ret = d;
	return 0;
}

void nitro_document_to_be_signed(struct bytes protected_header, struct bytes payload, struct buf *out)
{
	cbor_put_array(out, 4);
	cbor_put_text(out, "Signature1");
	cbor_put_bytes(out, protected_header.p, protected_header.n);
	cbor_put_bytes(out, NULL, 0);
	cbor_put_bytes(out, payload.p, payload.n);
}
