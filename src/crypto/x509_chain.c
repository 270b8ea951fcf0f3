#include "crypto/x509_chain.h"

#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <time.h>
#include "crypto/hash.h"
#include "crypto/init.h"

#define PEM_BEGIN "-----BEGIN "

void x509_chain_free(struct x509_chain *c)
{
	for (size_t i = 0; i < c->count; i++)
		X509_free(c->cert[i]);
	c->count = 0;
}

/* Blocks of any kind in the text. */
static size_t count_blocks(const char *p, size_t n)
{
	const char *at = p;
	size_t count = 0;

	while ((at = memmem(at, n - (size_t)(at - p), PEM_BEGIN, sizeof(PEM_BEGIN) - 1)) != NULL) {
		count++;
		at += sizeof(PEM_BEGIN) - 1;
	}
	return count;
}

/* The next block, which must be a certificate, unencrypted. NULL if not. */
static X509 *next_certificate(
	BIO *bio, X509 *(*known)(const void *arg, const uint8_t *der, size_t n), const void *arg)
{
	char *name = NULL, *header = NULL;
	unsigned char *der = NULL;
	X509 *c = NULL;
	long n = 0;

	if (PEM_read_bio(bio, &name, &header, &der, &n) != 1)
		return NULL;
	if (strcmp(name, PEM_STRING_X509) == 0 && header[0] == '\0') {
		c = known ? known(arg, der, (size_t)n) : NULL;
		if (c)
			X509_up_ref(c);
		else if (x509_from_der(der, (size_t)n, &c, NULL) < 0)
			c = NULL;
	}
	OPENSSL_free(name);
	OPENSSL_free(header);
	OPENSSL_free(der);
	return c;
}

int x509_chain_from_pem(const void *p, size_t n, struct x509_chain *ret, struct error *err)
{
	return x509_chain_from_pem_known(p, n, NULL, NULL, ret, err);
}

int x509_chain_from_pem_known(const void *p, size_t n,
	X509 *(*known)(const void *arg, const uint8_t *der, size_t n), const void *arg,
	struct x509_chain *ret, struct error *err)
{
	struct x509_chain c = {0};
	size_t len = n > 0 ? strnlen(p, n) : 0, blocks;
	BIO *bio;

	crypto_init();
	if (len == 0)
		return error_set(err, ERR_INPUT, "no PEM text");
	for (size_t i = len; i < n; i++)
		if (((const char *)p)[i])
			return error_set(err, ERR_INPUT, "PEM text of %zu bytes has a NUL at %zu", n, len);
	if (len > X509_CHAIN_MAX * X509_DER_MAX)
		return error_set(err, ERR_LIMIT, "PEM text of %zu bytes, at most %d are taken", len,
			X509_CHAIN_MAX * X509_DER_MAX);
	blocks = count_blocks(p, len);
	if (blocks == 0 || blocks > X509_CHAIN_MAX)
		return error_set(err, ERR_INPUT, "PEM text has %zu blocks, wanted 1 to %d certificates",
			blocks, X509_CHAIN_MAX);
	bio = BIO_new_mem_buf(p, (int)len);
	while (bio && c.count < blocks) {
		c.cert[c.count] = next_certificate(bio, known, arg);
		if (!c.cert[c.count])
			break;
		c.count++;
	}
	BIO_free(bio);
	if (c.count != blocks) {
		crypto_error(err, ERR_INPUT, "PEM block %zu of %zu is no certificate", c.count + 1, blocks);
		x509_chain_free(&c);
		return -1;
	}
	*ret = c;
	return 0;
}

int x509_from_der(const void *p, size_t n, X509 **ret, struct error *err)
{
	const unsigned char *at = p;
	X509 *c;

	crypto_init();
	if (n > X509_DER_MAX)
		return error_set(err, ERR_LIMIT, "certificate of %zu bytes", n);
	c = d2i_X509(NULL, &at, (long)n);
	if (!c)
		return crypto_error(err, ERR_INPUT, "%zu bytes are no certificate", n);
	if (at != (const unsigned char *)p + n) {
		X509_free(c);
		return error_set(err, ERR_INPUT, "certificate ends after %zu of %zu bytes",
			(size_t)(at - (const unsigned char *)p), n);
	}
	*ret = c;
	return 0;
}

static bool may_sign(X509 *issuer, uint32_t usage)
{
	/* Absent key usage permits everything (RFC 5280, 4.2.1.3); OpenSSL gives all bits then. */
	return X509_check_ca(issuer) == 1 && (X509_get_key_usage(issuer) & usage) == usage;
}

enum x509_issue x509_issued_by(X509 *cert, X509 *issuer)
{
	EVP_PKEY *k = X509_get0_pubkey(issuer);

	if (X509_NAME_cmp(X509_get_issuer_name(cert), X509_get_subject_name(issuer)) != 0)
		return X509_OTHER_ISSUER;
	if (!may_sign(issuer, KU_KEY_CERT_SIGN))
		return X509_NOT_A_CA;
	if (!k || X509_verify(cert, k) != 1) {
		ERR_clear_error();
		return X509_BAD_SIGNATURE;
	}
	return X509_ISSUED;
}

bool x509_is_ca(X509 *cert)
{
	return X509_check_ca(cert) != 0;
}

static int seconds(const ASN1_TIME *t, uint64_t *ret)
{
	struct tm tm;
	time_t at;

	if (!t || ASN1_TIME_to_tm(t, &tm) != 1) {
		ERR_clear_error();
		return -1;
	}
	at = timegm(&tm);
	if (at < 0)
		return -1;
	*ret = (uint64_t)at;
	return 0;
}

int x509_times(const X509 *cert, uint64_t *ret_from, uint64_t *ret_to)
{
	uint64_t from, to;

	if (seconds(X509_get0_notBefore(cert), &from) < 0 || seconds(X509_get0_notAfter(cert), &to) < 0)
		return -1;
	*ret_from = from;
	*ret_to = to;
	return 0;
}

static void common_name(const X509_NAME *name, char *ret, size_t n)
{
	int len = X509_NAME_get_text_by_NID((X509_NAME *)name, NID_commonName, ret, (int)n);

	if (len < 0)
		ret[0] = '\0';
	for (char *c = ret; *c; c++)
		if ((unsigned char)*c < 0x20 || (unsigned char)*c >= 0x7f)
			*c = '?';
}

void x509_common_name(const X509 *cert, char *ret, size_t n)
{
	common_name(X509_get_subject_name(cert), ret, n);
}

void x509_crl_issuer_name(const X509_CRL *crl, char *ret, size_t n)
{
	common_name(X509_CRL_get_issuer(crl), ret, n);
}

void x509_serial_text(const X509 *cert, char *ret, size_t n)
{
	const ASN1_INTEGER *serial = X509_get0_serialNumber(cert);
	const unsigned char *p = ASN1_STRING_get0_data(serial);
	size_t len = (size_t)ASN1_STRING_length(serial), k = 0;
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < len && k + 2 < n; i++) {
		ret[k++] = digits[p[i] >> 4];
		ret[k++] = digits[p[i] & 15];
	}
	ret[k] = '\0';
}

const uint8_t *x509_extension(const X509 *cert, const char *oid, size_t *ret_n)
{
	ASN1_OBJECT *o = OBJ_txt2obj(oid, 1);
	const ASN1_OCTET_STRING *value;
	int at, again;

	if (!o) {
		ERR_clear_error();
		return NULL;
	}
	at = X509_get_ext_by_OBJ(cert, o, -1);
	again = at < 0 ? -1 : X509_get_ext_by_OBJ(cert, o, at);
	ASN1_OBJECT_free(o);
	if (at < 0 || again >= 0)
		return NULL;
	value = X509_EXTENSION_get_data(X509_get_ext(cert, at));
	*ret_n = (size_t)ASN1_STRING_length(value);
	return ASN1_STRING_get0_data(value);
}

bool x509_key_on_curve(X509 *cert, const char *curve)
{
	EVP_PKEY *k = X509_get0_pubkey(cert);
	char group[32] = "";
	int seen, wanted;

	if (!k || EVP_PKEY_get_base_id(k) != EVP_PKEY_EC ||
		EVP_PKEY_get_group_name(k, group, sizeof(group), NULL) != 1) {
		ERR_clear_error();
		return false;
	}
	seen = OBJ_txt2nid(group);
	wanted = EC_curve_nist2nid(curve);
	return seen != NID_undef && seen == wanted;
}

int x509_digest(const X509 *cert, uint8_t ret[32], struct error *err)
{
	unsigned char *der = NULL;
	int n = i2d_X509(cert, &der);

	if (n <= 0)
		return crypto_error(err, ERR_CRYPTO, "certificate not written as DER");
	sha256(der, (size_t)n, ret);
	OPENSSL_free(der);
	return 0;
}

bool x509_equal(const X509 *a, const X509 *b)
{
	return X509_cmp(a, b) == 0;
}

int x509_crl_from_der(const void *p, size_t n, X509_CRL **ret, struct error *err)
{
	const unsigned char *at = p;
	X509_CRL *c;

	crypto_init();
	if (n > X509_CRL_DER_MAX)
		return error_set(err, ERR_LIMIT, "revocation list of %zu bytes", n);
	c = d2i_X509_CRL(NULL, &at, (long)n);
	if (!c)
		return crypto_error(err, ERR_INPUT, "%zu bytes are no revocation list", n);
	if (at != (const unsigned char *)p + n) {
		X509_CRL_free(c);
		return error_set(err, ERR_INPUT, "revocation list ends after %zu of %zu bytes",
			(size_t)(at - (const unsigned char *)p), n);
	}
	*ret = c;
	return 0;
}

int x509_crl_to_der(X509_CRL *crl, struct buf *out, struct error *err)
{
	unsigned char *der = NULL;
	int n = i2d_X509_CRL(crl, &der);

	if (n <= 0)
		return crypto_error(err, ERR_CRYPTO, "revocation list not written as DER");
	buf_put(out, der, (size_t)n);
	OPENSSL_free(der);
	return out->failed ? error_set(err, ERR_LIMIT, "no room for %d bytes of revocation list", n) : 0;
}

enum x509_issue x509_crl_issued_by(X509_CRL *crl, X509 *issuer)
{
	EVP_PKEY *k = X509_get0_pubkey(issuer);

	if (X509_NAME_cmp(X509_CRL_get_issuer(crl), X509_get_subject_name(issuer)) != 0)
		return X509_OTHER_ISSUER;
	if (!may_sign(issuer, KU_CRL_SIGN))
		return X509_NOT_A_CA;
	if (!k || X509_CRL_verify(crl, k) != 1) {
		ERR_clear_error();
		return X509_BAD_SIGNATURE;
	}
	return X509_ISSUED;
}

bool x509_crl_covers(const X509_CRL *crl, const X509 *cert)
{
	return X509_NAME_cmp(X509_CRL_get_issuer(crl), X509_get_issuer_name(cert)) == 0;
}

int x509_crl_times(const X509_CRL *crl, uint64_t *ret_from, uint64_t *ret_to)
{
	uint64_t from, to;

	if (seconds(X509_CRL_get0_lastUpdate(crl), &from) < 0 ||
		seconds(X509_CRL_get0_nextUpdate(crl), &to) < 0)
		return -1;
	*ret_from = from;
	*ret_to = to;
	return 0;
}

bool x509_crl_lists(X509_CRL *crl, X509 *cert)
{
	X509_REVOKED *entry = NULL;

	/* 2: an entry removeFromCRL, which only delta lists have. It is no pardon here. */
	return X509_CRL_get0_by_cert(crl, &entry, cert) != 0;
}
