#include "cas/vault_jwt.h"

#include <jansson.h>
#include <openssl/bn.h>
#include <openssl/ecdsa.h>
#include <string.h>
#include "core/encode.h"
#include "crypto/key.h"
#include "wire/message.h"

#define TOKEN_MAX 65536
#define HALF_LEN 48 /* of an ES384 signature */

static const char header[] = "{\"alg\":\"ES384\",\"typ\":\"JWT\"}";

static json_t *claim_json(const struct jwt_claim *c, template_lookup lookup, void *arg,
	const uint8_t measurement[32], struct error *err)
{
	char hex[65];
	struct buf b;
	json_t *j;

	if (!strcmp(c->value, JWT_SELF)) {
		hex_encode(measurement, 32, hex);
		return json_string(hex);
	}
	buf_init_secret(&b, TOKEN_MAX);
	if (template_expand(c->value, strlen(c->value), lookup, arg, true, &b, err)) {
		buf_free(&b);
		return NULL;
	}
	j = json_stringn(b.data ? (const char *)b.data : "", b.len);
	buf_free(&b);
	if (!j)
		error_set(
			err, ERR_INPUT, "claim \"%s\" is no UTF-8 text: give a format such as :hex", c->name);
	return j;
}

static int put_payload(const struct secret_spec *spec, template_lookup lookup, void *arg,
	const uint8_t measurement[32], uint64_t now, struct buf *out, struct error *err)
{
	json_t *o = message_new();
	bool whole = message_put(o, "iat", json_integer((json_int_t)now)) &&
		     message_put(o, "nbf", json_integer((json_int_t)now)) &&
		     message_put(o, "exp", json_integer((json_int_t)(now + spec->valid_for)));

	for (size_t i = 0; i < spec->claim_count && whole; i++) {
		json_t *v = claim_json(&spec->claims[i], lookup, arg, measurement, err);

		if (!v) {
			json_decref(o);
			return -1;
		}
		whole = message_put(o, spec->claims[i].name, v);
	}
	if (!whole) {
		json_decref(o);
		o = NULL;
	}
	return message_write(o, "claims of a token", out, err);
}

/* r and s, 48 bytes each, instead of DER. */
static int put_signature(EVP_PKEY *k, const struct buf *text, struct buf *out, struct error *err)
{
	uint8_t raw[2 * HALF_LEN];
	const uint8_t *at;
	ECDSA_SIG *sig;
	struct buf der;
	int rc;

	buf_init(&der, 1024);
	rc = key_sign(k, text->data, text->len, &der, err);
	at = der.data;
	if (!rc) {
		sig = d2i_ECDSA_SIG(NULL, &at, (long)der.len);
		if (!sig || BN_bn2binpad(ECDSA_SIG_get0_r(sig), raw, HALF_LEN) != HALF_LEN ||
			BN_bn2binpad(ECDSA_SIG_get0_s(sig), raw + HALF_LEN, HALF_LEN) != HALF_LEN)
			rc = error_set(err, ERR_CRYPTO, "the library's signature is not one of P-384");
		else
			base64url_encode(raw, sizeof(raw), out);
		ECDSA_SIG_free(sig);
	}
	buf_free(&der);
	return rc;
}

int vault_jwt_make(const struct session *s, const struct vault *v, const struct secret_spec *spec,
	template_lookup lookup, void *arg, const uint8_t measurement[32], uint64_t now, struct buf *out,
	struct error *err)
{
	struct buf payload, token;
	EVP_PKEY *k = NULL;
	const void *pem;
	size_t n;
	int rc;

	buf_init_secret(&payload, TOKEN_MAX);
	buf_init_secret(&token, 2 * TOKEN_MAX);
	if (!vault_lookup(s, v, spec->signer, strlen(spec->signer), &pem, &n))
		rc = error_set(err, ERR_INTERNAL, "its signer \"%s\" has no value", spec->signer);
	else
		rc = key_from_pem(pem, n, &k, err);
	if (!rc)
		rc = put_payload(spec, lookup, arg, measurement, now, &payload, err);
	if (!rc) {
		base64url_encode((const uint8_t *)header, sizeof(header) - 1, &token);
		buf_putc(&token, '.');
		base64url_encode(payload.data, payload.len, &token);
		buf_put(out, token.data, token.len);
		buf_putc(out, '.');
		rc = put_signature(k, &token, out, err);
	}
	if (!rc && (token.failed || out->failed))
		rc = error_set(err, ERR_LIMIT, "it is over %d bytes", TOKEN_MAX);
	EVP_PKEY_free(k);
	buf_free(&payload);
	buf_free(&token);
	return rc ? error_wrap(err, "secret \"%s\"", spec->name) : 0;
}
