/* The forms in which collateral comes; docs/evidence.md lists them. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "core/encode.h"
#include "crypto/der.h"
#include "evidence/collateral_store.h"
#include "evidence/intel_json.h"

#define PEM_CERTIFICATE "-----BEGIN CERTIFICATE-----"
#define PEM_CRL "-----BEGIN X509 CRL-----"
#define PEM_CRL_END "-----END X509 CRL-----"
#define CHAIN_HEADER_END "issuer-chain"

static int add_pem_chain(struct collateral *c, const void *p, size_t n, struct error *err)
{
	struct x509_chain chain;

	if (x509_chain_from_pem(p, n, &chain, err) < 0)
		return -1;
	return collateral_take_chain(c, &chain, err);
}

static int add_crl_der(struct collateral *c, const void *p, size_t n, struct error *err)
{
	X509_CRL *crl;

	if (x509_crl_from_der(p, n, &crl, err) < 0)
		return -1;
	return collateral_take_crl(c, crl, err);
}

/* Base64 with line ends, or hex digits. */
static int add_crl_text(struct collateral *c, const char *p, size_t n, bool hex, struct error *err)
{
	struct buf text, der;
	int rc;

	buf_init(&text, n + 1);
	buf_init(&der, n + 1);
	for (size_t i = 0; i < n; i++)
		if (!strchr(" \t\r\n", p[i]) || !p[i])
			buf_putc(&text, p[i]);
	rc = -1;
	if (!text.failed && text.len > 0)
		rc = hex ? hex_decode_buf((char *)text.data, text.len, &der)
			 : base64_decode((char *)text.data, text.len, &der);
	if (rc < 0)
		rc = error_set(err, ERR_INPUT, "revocation list of %zu characters is no %s", n,
			hex ? "hex text" : "Base64");
	else
		rc = add_crl_der(c, der.data, der.len, err);
	buf_free(&text);
	buf_free(&der);
	return rc;
}

static int add_crl_pem(struct collateral *c, const char *p, size_t n, struct error *err)
{
	const char *end = memmem(p, n, PEM_CRL_END, strlen(PEM_CRL_END));
	const char *from = p + strlen(PEM_CRL);

	if (!end || end < from)
		return error_set(err, ERR_INPUT, "PEM revocation list without its end");
	return add_crl_text(c, from, (size_t)(end - from), false, err);
}

/* One member of the JSON form: what it is, and the members that go with it. */
static const struct json_member {
	const char *key;
	enum { MEMBER_CHAIN, MEMBER_CRL, MEMBER_TCB_INFO, MEMBER_IDENTITY } kind;
	const char *signature;
} members[] = {
	{"tcb_info_issuer_chain", MEMBER_CHAIN, NULL},
	{"qe_identity_issuer_chain", MEMBER_CHAIN, NULL},
	{"pck_crl_issuer_chain", MEMBER_CHAIN, NULL},
	{"pck_certificate_chain", MEMBER_CHAIN, NULL},
	{"root_ca_crl", MEMBER_CRL, NULL},
	{"pck_crl", MEMBER_CRL, NULL},
	{"tcb_info", MEMBER_TCB_INFO, "tcb_info_signature"},
	{"qe_identity", MEMBER_IDENTITY, "qe_identity_signature"},
};

static int add_member(struct collateral *c, const json_t *j, const struct json_member *m, struct error *err)
{
	const char *text;
	uint8_t signature[64];
	struct bytes body;

	if (intel_json_text(j, m->key, &text, err) < 0)
		return -1;
	body = (struct bytes){(const uint8_t *)text, strlen(text)};
	switch (m->kind) {
	case MEMBER_CHAIN:
		return add_pem_chain(c, body.p, body.n, err);
	case MEMBER_CRL:
		return add_crl_text(c, text, body.n, true, err);
	default:
		if (intel_json_hex(j, m->signature, signature, sizeof(signature), err) < 0)
			return -1;
		return collateral_add_document(c,
			m->kind == MEMBER_TCB_INFO ? INTEL_TCB_INFO : INTEL_QE_IDENTITY, body, signature,
			err);
	}
}

/* As Intel's service answers: {"tcbInfo": …, "signature": …}. 1 if it is no such. */
static int add_response(struct collateral *c, const json_t *j, const uint8_t *p, size_t n, struct error *err)
{
	bool info = json_object_get(j, "tcbInfo"), identity = json_object_get(j, "enclaveIdentity");
	uint8_t signature[64];
	struct bytes body;

	if (!info && !identity)
		return 1;
	if (intel_json_raw(p, n, info ? "tcbInfo" : "enclaveIdentity", &body) < 0)
		return evidence_refuse(
			err, CHECK_COLLATERAL_FORMAT, "the signed member is not where the text has it");
	if (intel_json_hex(j, "signature", signature, sizeof(signature), err) < 0)
		return -1;
	return collateral_add_document(c, info ? INTEL_TCB_INFO : INTEL_QE_IDENTITY, body, signature, err);
}

static int add_json(struct collateral *c, const uint8_t *p, size_t n, struct error *err)
{
	bool any = false;
	json_t *j;
	int rc;

	if (intel_json_load(p, n, "collateral", &j, err) < 0)
		return -1;
	rc = add_response(c, j, p, n, err);
	if (rc > 0) {
		rc = 0;
		for (size_t i = 0; i < sizeof(members) / sizeof(*members) && rc == 0; i++) {
			if (!json_object_get(j, members[i].key))
				continue;
			any = true;
			rc = add_member(c, j, &members[i], err);
			if (rc < 0)
				error_wrap(err, "%s", members[i].key);
		}
		if (!any)
			rc = error_set(err, ERR_INPUT,
				"JSON object without any member of collateral (tcb_info, pck_crl, tcbInfo "
				"…)");
	}
	json_decref(j);
	return rc;
}

static int unhex(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* RFC 3986, section 2.1 */
static int percent_decode(const uint8_t *p, size_t n, struct buf *out)
{
	for (size_t i = 0; i < n; i++) {
		int high, low;

		if (p[i] != '%') {
			buf_putc(out, (char)p[i]);
			continue;
		}
		if (n - i < 3)
			return -1;
		high = unhex(p[i + 1]);
		low = unhex(p[i + 2]);
		if (high < 0 || low < 0)
			return -1;
		buf_put_u8(out, (uint8_t)(high << 4 | low));
		i += 2;
	}
	return out->failed ? -1 : 0;
}

static int add_header(struct collateral *c, const uint8_t *line, size_t n, struct error *err)
{
	const uint8_t *colon = memchr(line, ':', n);
	const size_t tail = strlen(CHAIN_HEADER_END);
	size_t name = colon ? (size_t)(colon - line) : 0;
	struct buf pem;
	int rc;

	if (name < tail || strncasecmp((const char *)colon - tail, CHAIN_HEADER_END, tail) != 0)
		return 0;
	for (colon++; colon < line + n && *colon == ' '; colon++)
		;
	buf_init(&pem, n + 1);
	if (percent_decode(colon, (size_t)(line + n - colon), &pem) < 0)
		rc = error_set(err, ERR_INPUT, "header with an issuer chain is no percent-encoded text");
	else
		rc = add_pem_chain(c, pem.data, pem.len, err);
	buf_free(&pem);
	return rc;
}

/* Over the head of an HTTP response, as `curl -i` writes it: the head has the issuer chain. */
static int add_head(struct collateral *c, const uint8_t **p, size_t *n, struct error *err)
{
	const uint8_t *end;

	while ((end = memchr(*p, '\n', *n)) != NULL) {
		const uint8_t *line = *p;
		size_t len = (size_t)(end - line);

		*p += len + 1;
		*n -= len + 1;
		if (len > 0 && line[len - 1] == '\r')
			len--;
		if (len == 0)
			return 0;
		if (add_header(c, line, len, err) < 0)
			return -1;
	}
	return error_set(err, ERR_INPUT, "HTTP response ends in its head");
}

static bool starts(const uint8_t *p, size_t n, const char *with)
{
	return n >= strlen(with) && memcmp(p, with, strlen(with)) == 0;
}

int collateral_add(struct collateral *c, const void *data, size_t n, struct error *err)
{
	const uint8_t *p = data;

	if (n > COLLATERAL_FILE_MAX)
		return error_set(err, ERR_LIMIT, "%zu bytes of collateral, at most %d are taken", n,
			COLLATERAL_FILE_MAX);
	/* More than one head: of a proxy or a redirection. */
	while (starts(p, n, "HTTP/"))
		if (add_head(c, &p, &n, err) < 0)
			return -1;
	if (n > 2 && p[0] == DER_SEQUENCE && p[1] >= 0x80)
		return add_crl_der(c, p, n, err);
	while (n > 0 && strchr(" \t\r\n", *p) && *p) {
		p++;
		n--;
	}
	if (starts(p, n, PEM_CERTIFICATE))
		return add_pem_chain(c, p, n, err);
	if (starts(p, n, PEM_CRL))
		return add_crl_pem(c, (const char *)p, n, err);
	if (n > 0 && *p == '{')
		return add_json(c, p, n, err);
	if (starts(p, n, "3082") || starts(p, n, "3081"))
		return add_crl_text(c, (const char *)p, n, true, err);
	return error_set(err, ERR_INPUT, "%zu bytes are no collateral of a known form", n);
}
