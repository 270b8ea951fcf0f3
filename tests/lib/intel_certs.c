#include "intel_certs.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SGX_OID "1.2.840.113741.1.13.1"

void must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "test evidence: %s\n", what);
	abort();
}

static void add_extension(X509 *c, int nid, const char *value)
{
	X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

	must(e && X509_add_ext(c, e, -1) == 1, "extension");
	X509_EXTENSION_free(e);
}

static void add_sgx_extension(X509 *c, const struct buf *content)
{
	ASN1_OBJECT *oid = OBJ_txt2obj(SGX_OID, 1);
	ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
	X509_EXTENSION *e;

	must(ASN1_OCTET_STRING_set(value, content->data, (int)content->len) == 1, "extension value");
	e = X509_EXTENSION_create_by_OBJ(NULL, oid, 0, value);
	must(e && X509_add_ext(c, e, -1) == 1, "SGX extension");
	X509_EXTENSION_free(e);
	ASN1_OCTET_STRING_free(value);
	ASN1_OBJECT_free(oid);
}

static EVP_PKEY *signing_key(bool forged, EVP_PKEY *right, EVP_PKEY **ret_wrong)
{
	*ret_wrong = forged ? EVP_EC_gen("P-256") : NULL;
	return forged ? *ret_wrong : right;
}

struct made_cert cert_make(
	const struct cert_recipe *r, const struct made_cert *issuer, const struct buf *extension)
{
	struct made_cert m = {r->key ? r->key : EVP_EC_gen(r->curve ? r->curve : "P-256"), X509_new()};
	X509_NAME *name = X509_get_subject_name(m.cert);
	EVP_PKEY *wrong, *key;

	must(m.key && (!r->key || EVP_PKEY_up_ref(m.key)) && m.cert &&
			X509_set_version(m.cert, X509_VERSION_3) == 1 &&
			ASN1_INTEGER_set_uint64(X509_get_serialNumber(m.cert), r->serial) == 1 &&
			ASN1_TIME_set(X509_getm_notBefore(m.cert), (time_t)r->from) &&
			ASN1_TIME_set(X509_getm_notAfter(m.cert), (time_t)r->to),
		"certificate");
	must(X509_NAME_add_entry_by_NID(
		     name, NID_commonName, MBSTRING_UTF8, (const unsigned char *)r->name, -1, -1, 0) == 1 &&
			X509_set_issuer_name(m.cert, issuer ? X509_get_subject_name(issuer->cert) : name) ==
				1 &&
			X509_set_pubkey(m.cert, m.key) == 1,
		"names");
	add_extension(m.cert, NID_basic_constraints, r->ca ? "critical,CA:TRUE" : "critical,CA:FALSE");
	add_extension(m.cert, NID_key_usage,
		r->ca ? "critical,keyCertSign,cRLSign" : "critical,digitalSignature,nonRepudiation");
	if (extension)
		add_sgx_extension(m.cert, extension);
	key = signing_key(r->forged, issuer ? issuer->key : m.key, &wrong);
	must(X509_sign(m.cert, key, EVP_sha256()) > 0, "signature");
	EVP_PKEY_free(wrong);
	return m;
}

void cert_free(struct made_cert *c)
{
	EVP_PKEY_free(c->key);
	X509_free(c->cert);
	*c = (struct made_cert){0};
}

void cert_pem(const struct made_cert *c, struct buf *out)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *p;
	long n;

	must(bio && PEM_write_bio_X509(bio, c->cert) == 1, "PEM");
	n = BIO_get_mem_data(bio, &p);
	buf_put(out, p, (size_t)n);
	BIO_free(bio);
}

void crl_make(const struct crl_recipe *r, const struct made_cert *issuer, struct buf *out)
{
	X509_CRL *c = X509_CRL_new();
	ASN1_TIME *from = ASN1_TIME_set(NULL, (time_t)r->from), *to = ASN1_TIME_set(NULL, (time_t)r->to);
	unsigned char *der = NULL;
	EVP_PKEY *wrong, *key;
	int n;

	must(X509_CRL_set_version(c, X509_CRL_VERSION_2) == 1 &&
			X509_CRL_set_issuer_name(c, X509_get_subject_name(issuer->cert)) == 1 &&
			X509_CRL_set1_lastUpdate(c, from) == 1 && X509_CRL_set1_nextUpdate(c, to) == 1,
		"revocation list");
	for (size_t i = 0; i < 4 && r->revoked[i]; i++) {
		X509_REVOKED *entry = X509_REVOKED_new();
		ASN1_INTEGER *serial = ASN1_INTEGER_new();

		must(ASN1_INTEGER_set_uint64(serial, r->revoked[i]) == 1 &&
				X509_REVOKED_set_serialNumber(entry, serial) == 1 &&
				X509_REVOKED_set_revocationDate(entry, from) == 1 &&
				X509_CRL_add0_revoked(c, entry) == 1,
			"revoked entry");
		ASN1_INTEGER_free(serial);
	}
	X509_CRL_sort(c);
	key = signing_key(r->forged, issuer->key, &wrong);
	must(X509_CRL_sign(c, key, EVP_sha256()) > 0, "signature of the list");
	n = i2d_X509_CRL(c, &der);
	must(n > 0, "DER of the list");
	buf_put(out, der, (size_t)n);
	OPENSSL_free(der);
	EVP_PKEY_free(wrong);
	ASN1_TIME_free(from);
	ASN1_TIME_free(to);
	X509_CRL_free(c);
}

/* Tag, length (up to 65535), content. */
static void put_tlv(struct buf *out, uint8_t tag, const void *p, size_t n)
{
	buf_put_u8(out, tag);
	if (n >= 256) {
		buf_put_u8(out, 0x82);
		buf_put_u16be(out, (uint16_t)n);
	} else {
		if (n >= 128)
			buf_put_u8(out, 0x81);
		buf_put_u8(out, (uint8_t)n);
	}
	buf_put(out, p, n);
}

/* SEQUENCE { 1.2.840.113741.1.13.1.a[.b], value }; b 0: none */
static void put_pair(struct buf *out, uint8_t a, uint8_t b, uint8_t tag, const void *p, size_t n)
{
	uint8_t oid[] = {0x2a, 0x86, 0x48, 0x86, 0xf8, 0x4d, 0x01, 0x0d, 0x01, a, b};
	struct buf inner;

	buf_init(&inner, 65536);
	put_tlv(&inner, 0x06, oid, b ? sizeof(oid) : sizeof(oid) - 1);
	put_tlv(&inner, tag, p, n);
	put_tlv(out, 0x30, inner.data, inner.len);
	buf_free(&inner);
}

static void put_uint(struct buf *out, uint8_t a, uint8_t b, uint32_t v)
{
	uint8_t bytes[4] = {0, (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};
	size_t skip = 0;

	while (skip < 3 && bytes[skip] == 0 && !(bytes[skip + 1] & 0x80))
		skip++;
	put_pair(out, a, b, 0x02, bytes + skip, 4 - skip);
}

void pck_extension(const struct pck_recipe *r, struct buf *out)
{
	static const uint8_t ppid[16] = "test platform 1";
	uint8_t yes = r->smt ? 0xff : 0;
	struct buf all, tcb, configuration;

	buf_init(&all, 65536);
	buf_init(&tcb, 65536);
	buf_init(&configuration, 65536);
	put_pair(&all, 1, 0, 0x04, ppid, sizeof(ppid));
	for (uint8_t i = 0; i < 16; i++)
		put_uint(&tcb, 2, (uint8_t)(i + 1), r->components[i]);
	put_uint(&tcb, 2, 17, r->pce_svn);
	put_pair(&tcb, 2, 18, 0x04, r->components, 16);
	put_pair(&all, 2, 0, 0x30, tcb.data, tcb.len);
	put_pair(&all, 3, 0, 0x04, r->pce_id, 2);
	put_pair(&all, 4, 0, 0x04, r->fmspc, 6);
	put_pair(&all, 5, 0, 0x0a, &r->sgx_type, 1);
	put_pair(&configuration, 7, 3, 0x01, &yes, 1);
	put_pair(&all, 7, 0, 0x30, configuration.data, configuration.len);
	put_tlv(out, 0x30, all.data, all.len);
	must(!out->failed && !all.failed, "SGX extension");
	buf_free(&all);
	buf_free(&tcb);
	buf_free(&configuration);
}

void sign_raw(EVP_PKEY *k, const void *p, size_t n, uint8_t ret[64])
{
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	uint8_t der[128];
	const unsigned char *at = der;
	size_t len = sizeof(der);
	ECDSA_SIG *sig;

	must(c && EVP_DigestSignInit(c, NULL, EVP_sha256(), NULL, k) == 1 &&
			EVP_DigestSign(c, der, &len, p, n) == 1,
		"signature");
	EVP_MD_CTX_free(c);
	sig = d2i_ECDSA_SIG(NULL, &at, (long)len);
	must(sig && BN_bn2binpad(ECDSA_SIG_get0_r(sig), ret, 32) == 32 &&
			BN_bn2binpad(ECDSA_SIG_get0_s(sig), ret + 32, 32) == 32,
		"r and s");
	ECDSA_SIG_free(sig);
}

void public_raw(EVP_PKEY *k, uint8_t ret[64])
{
	uint8_t point[65];
	size_t n = 0;

	must(EVP_PKEY_get_octet_string_param(k, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point), &n) == 1 &&
			n == sizeof(point) && point[0] == 4,
		"public key");
	memcpy(ret, point + 1, 64);
}
