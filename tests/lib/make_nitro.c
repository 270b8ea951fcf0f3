#include "make_nitro.h"

#include <openssl/ecdsa.h>
#include <stdlib.h>
#include <string.h>
#include "evidence/nitro_cbor.h"

void nitro_maker_init(struct nitro_maker *m)
{
	struct pki_spec s = {.common_name = "aws.nitro-enclaves",
		.from = MAKE_NITRO_FROM,
		.to = MAKE_NITRO_TO,
		.serial = 1,
		.ca = true,
		.path_length = -1};

	memset(m, 0, sizeof(*m));
	m->root_key = pki_key(KEY_P384);
	m->middle_key = pki_key(KEY_P384);
	m->leaf_key = pki_key(KEY_P384);
	s.key = m->root_key;
	m->root = pki_certificate(&s);
	s.common_name = "zone.us-east-1.aws.nitro-enclaves";
	s.key = m->middle_key;
	s.issuer = m->root;
	s.issuer_key = m->root_key;
	s.serial = 2;
	s.path_length = 0;
	m->middle = pki_certificate(&s);
	s.common_name = "i-0-enc0.us-east-1.aws";
	s.key = m->leaf_key;
	s.issuer = m->middle;
	s.issuer_key = m->middle_key;
	s.serial = 3;
	s.ca = false;
	m->leaf = pki_certificate(&s);
}

void nitro_maker_free(struct nitro_maker *m)
{
	X509_free(m->root);
	X509_free(m->middle);
	X509_free(m->leaf);
	EVP_PKEY_free(m->root_key);
	EVP_PKEY_free(m->middle_key);
	EVP_PKEY_free(m->leaf_key);
	memset(m, 0, sizeof(*m));
}

static void put_certificate(X509 *c, struct buf *out)
{
	struct buf der;

	buf_init(&der, 8192);
	pki_der(c, &der);
	cbor_put_bytes(out, der.data, der.len);
	buf_free(&der);
}

static void put_optional(const char *key, struct bytes value, struct buf *out)
{
	cbor_put_text(out, key);
	if (value.p)
		cbor_put_bytes(out, value.p, value.n);
	else
		cbor_put_null(out);
}

#define INDEFINITE_MAP 0xbf
#define INDEFINITE_ARRAY 0x9f
#define BREAK 0xff

static void put_pcrs(const struct nitro_spec *s, struct buf *out)
{
	unsigned int count = s->pcr_count ? s->pcr_count : 16;
	size_t len = s->pcr_len ? s->pcr_len : NITRO_PCR_LEN;
	uint8_t pcr[64];

	cbor_put_text(out, "pcrs");
	if (s->indefinite)
		buf_put_u8(out, INDEFINITE_MAP);
	else
		cbor_put_map(out, count);
	for (unsigned int i = 0; i < count; i++) {
		memset(pcr, s->debug && i < 3 ? 0 : (int)(0x10 + i), sizeof(pcr));
		cbor_put_uint(out, i);
		cbor_put_bytes(out, pcr, len);
	}
	if (s->indefinite)
		buf_put_u8(out, BREAK);
}

static void put_bundle(const struct nitro_maker *m, const struct nitro_spec *s, struct buf *out)
{
	cbor_put_text(out, "cabundle");
	if (s->indefinite)
		buf_put_u8(out, INDEFINITE_ARRAY);
	else
		cbor_put_array(out, s->no_root ? 1 : 2);
	if (s->no_root) {
		put_certificate(m->middle, out);
	} else {
		put_certificate(s->leaf_first ? m->middle : m->root, out);
		put_certificate(s->leaf_first ? m->root : m->middle, out);
	}
	if (s->indefinite)
		buf_put_u8(out, BREAK);
}

void nitro_make_payload(const struct nitro_maker *m, const struct nitro_spec *s, struct buf *out)
{
	if (s->indefinite)
		buf_put_u8(out, INDEFINITE_MAP);
	else
		cbor_put_map(out, 9u - s->user_absent + s->extra_key + s->twice);
	cbor_put_text(out, "module_id");
	cbor_put_text(out, s->module_id ? s->module_id : "i-0123456789abcdef0-enc0123456789abcde");
	cbor_put_text(out, "digest");
	cbor_put_text(out, s->digest ? s->digest : "SHA384");
	cbor_put_text(out, "timestamp");
	cbor_put_uint(out, s->timestamp);
	put_pcrs(s, out);
	cbor_put_text(out, "certificate");
	put_certificate(s->leaf ? s->leaf : m->leaf, out);
	put_bundle(m, s, out);
	put_optional("public_key", s->public_key, out);
	if (!s->user_absent)
		put_optional("user_data", s->user_data, out);
	put_optional("nonce", s->nonce, out);
	if (s->extra_key)
		put_optional("something", (struct bytes){0}, out);
	if (s->twice)
		put_optional("nonce", (struct bytes){0}, out);
	if (s->indefinite)
		buf_put_u8(out, BREAK);
}

void nitro_make_cose(EVP_PKEY *key, struct bytes header, struct bytes payload, struct buf *out)
{
	uint8_t rs[NITRO_SIGNATURE_LEN];
	struct buf signed_bytes, der;
	const unsigned char *at;
	ECDSA_SIG *sig;

	buf_init(&signed_bytes, 65536);
	buf_init(&der, 256);
	nitro_document_to_be_signed(header, payload, &signed_bytes);
	if (key_sign(key, signed_bytes.data, signed_bytes.len, &der, NULL) < 0)
		abort();
	at = der.data;
	sig = d2i_ECDSA_SIG(NULL, &at, (long)der.len);
	if (!sig || BN_bn2binpad(ECDSA_SIG_get0_r(sig), rs, 48) != 48 ||
		BN_bn2binpad(ECDSA_SIG_get0_s(sig), rs + 48, 48) != 48)
		abort();
	ECDSA_SIG_free(sig);
	cbor_put_array(out, 4);
	cbor_put_bytes(out, header.p, header.n);
	cbor_put_map(out, 0);
	cbor_put_bytes(out, payload.p, payload.n);
	cbor_put_bytes(out, rs, sizeof(rs));
	if (out->failed)
		abort();
	buf_free(&signed_bytes);
	buf_free(&der);
}

void nitro_make_document(const struct nitro_maker *m, const struct nitro_spec *s, struct buf *out)
{
	static const uint8_t es384[] = {0xa1, 0x01, 0x38, 0x22};
	struct buf payload;

	buf_init(&payload, 65536);
	nitro_make_payload(m, s, &payload);
	if (payload.failed)
		abort();
	if (s->tagged)
		buf_put_u8(out, 0xd2);
	nitro_make_cose(m->leaf_key, (struct bytes){es384, sizeof(es384)},
		(struct bytes){payload.data, payload.len}, out);
	buf_free(&payload);
}
