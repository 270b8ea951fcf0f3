#include "evidence_pki.h"

#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "crypto/x509.h"
#include "evidence/collateral.h"

#define NEED(x)                                                                                              \
	do {                                                                                                 \
		if (!(x)) {                                                                                  \
			fprintf(stderr, "%s:%d: not done: %s\n", __FILE__, __LINE__, #x);                    \
			abort();                                                                             \
		}                                                                                            \
	} while (0)

EVP_PKEY *pki_key(enum key_type type)
{
	EVP_PKEY *k = NULL;

	NEED(key_generate(type, &k, NULL) == 0);
	return k;
}

static void add(X509 *c, int nid, const char *value)
{
	X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

	NEED(e && X509_add_ext(c, e, -1) == 1);
	X509_EXTENSION_free(e);
}

static void add_list_point(X509 *c)
{
	DIST_POINT *p = DIST_POINT_new();
	CRL_DIST_POINTS *points = sk_DIST_POINT_new_null();
	GENERAL_NAME *g = GENERAL_NAME_new();
	ASN1_IA5STRING *uri = ASN1_IA5STRING_new();

	NEED(p && points && g && uri && ASN1_STRING_set(uri, "https://example.invalid/crl", -1) == 1);
	GENERAL_NAME_set0_value(g, GEN_URI, uri);
	NEED(p->distpoint = DIST_POINT_NAME_new());
	p->distpoint->type = 0;
	NEED(p->distpoint->name.fullname = GENERAL_NAMES_new());
	NEED(sk_GENERAL_NAME_push(p->distpoint->name.fullname, g) > 0 && sk_DIST_POINT_push(points, p) > 0);
	NEED(X509_add1_ext_i2d(c, NID_crl_distribution_points, points, 0, 0) == 1);
	CRL_DIST_POINTS_free(points);
}

static void add_others(X509 *c, const struct pki_extension *list)
{
	for (; list && list->oid; list++) {
		ASN1_OBJECT *o = OBJ_txt2obj(list->oid, 1);
		ASN1_OCTET_STRING *v = ASN1_OCTET_STRING_new();
		X509_EXTENSION *e;

		NEED(o && v && ASN1_OCTET_STRING_set(v, list->value, (int)list->n) == 1);
		e = X509_EXTENSION_create_by_OBJ(NULL, o, list->critical, v);
		NEED(e && X509_add_ext(c, e, -1) == 1);
		X509_EXTENSION_free(e);
		ASN1_OCTET_STRING_free(v);
		ASN1_OBJECT_free(o);
	}
}

static const EVP_MD *md_for(EVP_PKEY *k)
{
	return EVP_PKEY_get_base_id(k) == EVP_PKEY_EC && EVP_PKEY_get_bits(k) <= 256 ? EVP_sha256()
										     : EVP_sha384();
}

static EVP_MD_CTX *signing(EVP_PKEY *k, enum pki_signature s)
{
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	EVP_PKEY_CTX *pc;

	NEED(c && EVP_DigestSignInit(c, &pc, md_for(k), NULL, k) == 1);
	if (s == PKI_PSS_SHA384)
		NEED(EVP_PKEY_CTX_set_rsa_padding(pc, RSA_PKCS1_PSS_PADDING) == 1 &&
			EVP_PKEY_CTX_set_rsa_pss_saltlen(pc, RSA_PSS_SALTLEN_DIGEST) == 1);
	return c;
}

X509 *pki_certificate(const struct pki_spec *s)
{
	EVP_PKEY *signer = s->issuer_key ? s->issuer_key : s->key;
	X509 *c = X509_new();
	X509_NAME *name = X509_NAME_new();
	EVP_MD_CTX *md = signing(signer, s->signature);
	char constraints[48] = "critical,CA:TRUE";

	NEED(c && name && X509_set_version(c, X509_VERSION_3) == 1);
	NEED(ASN1_INTEGER_set_uint64(X509_get_serialNumber(c), s->serial) == 1);
	NEED(ASN1_TIME_set(X509_getm_notBefore(c), (time_t)s->from));
	NEED(ASN1_TIME_set(X509_getm_notAfter(c), (time_t)s->to));
	NEED(X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_UTF8,
		     (const unsigned char *)s->common_name, -1, -1, 0) == 1);
	NEED(X509_set_subject_name(c, name) == 1);
	NEED(X509_set_issuer_name(c, s->issuer ? X509_get_subject_name(s->issuer) : name) == 1);
	NEED(X509_set_pubkey(c, s->key) == 1);
	if (s->ca && s->path_length >= 0)
		snprintf(constraints, sizeof(constraints), "critical,CA:TRUE,pathlen:%d", s->path_length);
	if (s->ca)
		add(c, NID_basic_constraints, constraints);
	if (s->ca && !s->no_usage)
		add(c, NID_key_usage, "critical,keyCertSign,cRLSign");
	if (s->list_point)
		add_list_point(c);
	add_others(c, s->extensions);
	NEED(X509_sign_ctx(c, md) > 0);
	EVP_MD_CTX_free(md);
	X509_NAME_free(name);
	return c;
}

void pki_revocation_list(const struct pki_list *l, struct buf *out)
{
	X509_CRL *c = X509_CRL_new();
	ASN1_TIME *from = ASN1_TIME_set(NULL, (time_t)l->from), *to = ASN1_TIME_set(NULL, (time_t)l->to);
	EVP_MD_CTX *md = signing(l->key, l->signature);
	unsigned char *der = NULL;
	int n;

	NEED(c && from && to && X509_CRL_set_version(c, X509_CRL_VERSION_2) == 1);
	NEED(X509_CRL_set_issuer_name(c, X509_get_subject_name(l->issuer)) == 1);
	NEED(X509_CRL_set1_lastUpdate(c, from) == 1 && X509_CRL_set1_nextUpdate(c, to) == 1);
	for (size_t i = 0; i < l->serial_count; i++) {
		X509_REVOKED *r = X509_REVOKED_new();
		ASN1_INTEGER *serial = ASN1_INTEGER_new();

		NEED(r && serial && ASN1_INTEGER_set_uint64(serial, l->serials[i]) == 1);
		NEED(X509_REVOKED_set_serialNumber(r, serial) == 1 &&
			X509_REVOKED_set_revocationDate(r, from) == 1);
		NEED(X509_CRL_add0_revoked(c, r) == 1);
		ASN1_INTEGER_free(serial);
	}
	X509_CRL_sort(c);
	NEED(X509_CRL_sign_ctx(c, md) > 0);
	n = i2d_X509_CRL(c, &der);
	NEED(n > 0);
	buf_put(out, der, (size_t)n);
	OPENSSL_free(der);
	EVP_MD_CTX_free(md);
	ASN1_TIME_free(from);
	ASN1_TIME_free(to);
	X509_CRL_free(c);
}

void pki_pem(X509 *c, struct buf *out)
{
	NEED(x509_to_pem(c, out, NULL) == 0);
}

void pki_der(X509 *c, struct buf *out)
{
	unsigned char *der = NULL;
	int n = i2d_X509(c, &der);

	NEED(n > 0);
	buf_put(out, der, (size_t)n);
	OPENSSL_free(der);
}

void pki_key_hash(X509 *c, uint8_t ret[32])
{
	NEED(x509_key_hash(c, ret, NULL) == 0);
}

struct pki_extension pki_raw(const char *oid, const void *p, size_t n)
{
	struct pki_extension e = {.oid = oid, .n = n};

	NEED(n <= sizeof(e.value));
	memcpy(e.value, p, n);
	return e;
}

struct pki_extension pki_number(const char *oid, uint8_t v)
{
	const uint8_t low[] = {0x02, 1, v}, high[] = {0x02, 2, 0, v};

	return v < 0x80 ? pki_raw(oid, low, sizeof(low)) : pki_raw(oid, high, sizeof(high));
}

struct pki_extension pki_text(const char *oid, const char *text)
{
	struct pki_extension e = {.oid = oid, .n = 2 + strlen(text), .value = {0x16, (uint8_t)strlen(text)}};

	NEED(e.n <= sizeof(e.value));
	memcpy(e.value + 2, text, strlen(text));
	return e;
}

struct collateral *pki_list_collateral(const struct pki_list *l)
{
	struct collateral *c = collateral_new();
	struct buf crl;

	buf_init(&crl, 65536);
	pki_revocation_list(l, &crl);
	if (!c || collateral_add(c, crl.data, crl.len, NULL) < 0)
		abort();
	buf_free(&crl);
	return c;
}
