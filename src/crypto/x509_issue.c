#include "crypto/x509_issue.h"

#include <limits.h>
#include <openssl/pkcs12.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <time.h>
#include "crypto/hash.h"
#include "crypto/init.h"

#define SERIAL_LEN 16
#define FOREVER "99991231235959Z"
#define DNS_LABEL_MAX 63
#define DNS_NAME_MAX 253

/* Letters, digits, '-' and '_', one to 63 of them between dots; the first label may be "*". */
static bool is_dns_name(const char *s)
{
	size_t n = strlen(s), label = 0;

	if (n == 0 || n > DNS_NAME_MAX)
		return false;
	if (n > 2 && s[0] == '*' && s[1] == '.')
		s += 2;
	for (; *s; s++) {
		bool ok = (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') || (*s >= '0' && *s <= '9') ||
			  *s == '-' || *s == '_';

		if (*s == '.' ? label == 0 : !ok || label == DNS_LABEL_MAX)
			return false;
		label = *s == '.' ? 0 : label + 1;
	}
	return label > 0;
}

int x509_name_check(bool is_ip, const char *text, struct error *err)
{
	ASN1_OCTET_STRING *address;

	if (!is_ip)
		return is_dns_name(text) ? 0
					 : error_set(err, ERR_INPUT,
						   "\"%.80s\" is no DNS name; letters, digits, - and _ with "
						   "dots between are, a "
						   "leading *. too",
						   text);
	address = a2i_IPADDRESS(text);
	if (!address)
		return crypto_error(err, ERR_INPUT, "\"%.80s\" is no IP address", text);
	ASN1_OCTET_STRING_free(address);
	return 0;
}

static bool set_serial(X509 *c, struct error *err)
{
	uint8_t bytes[SERIAL_LEN];
	BIGNUM *n;
	bool ok;

	if (random_bytes(bytes, sizeof(bytes), err))
		return false;
	bytes[0] = (bytes[0] & 0x7f) | 0x40; /* positive, and always as long */
	n = BN_bin2bn(bytes, sizeof(bytes), NULL);
	ok = n && BN_to_ASN1_INTEGER(n, X509_get_serialNumber(c));
	BN_free(n);
	return ok;
}

static bool set_validity(X509 *c, const struct x509_request *q)
{
	if (!ASN1_TIME_adj(X509_getm_notBefore(c), (time_t)q->not_before, 0, 0))
		return false;
	if (q->not_after == X509_FOREVER)
		return ASN1_TIME_set_string(X509_getm_notAfter(c), FOREVER) == 1;
	return ASN1_TIME_adj(X509_getm_notAfter(c), (time_t)q->not_after, 0, 0) != NULL;
}

static bool set_names(X509 *c, const struct x509_request *q)
{
	X509_NAME *name = X509_get_subject_name(c);

	return X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_UTF8,
		       (const unsigned char *)q->common_name, -1, -1, 0) == 1 &&
	       X509_set_issuer_name(c, q->issuer ? X509_get_subject_name(q->issuer) : name) == 1;
}

static GENERAL_NAME *general_name(const struct x509_name *n)
{
	GENERAL_NAME *g = GENERAL_NAME_new();
	ASN1_STRING *s = n->is_ip ? (ASN1_STRING *)a2i_IPADDRESS(n->text) : ASN1_IA5STRING_new();

	if (!g || !s || (!n->is_ip && ASN1_STRING_set(s, n->text, -1) != 1)) {
		GENERAL_NAME_free(g);
		ASN1_STRING_free(s);
		return NULL;
	}
	GENERAL_NAME_set0_value(g, n->is_ip ? GEN_IPADD : GEN_DNS, s);
	return g;
}

static bool add_alt_names(X509 *c, const struct x509_request *q)
{
	GENERAL_NAMES *names = GENERAL_NAMES_new();
	bool ok = names != NULL;

	for (size_t i = 0; ok && i < q->name_count; i++) {
		GENERAL_NAME *g = general_name(&q->names[i]);

		ok = g && sk_GENERAL_NAME_push(names, g) > 0;
		if (!ok)
			GENERAL_NAME_free(g);
	}
	ok = ok && (q->name_count == 0 ||
			   X509_add1_ext_i2d(c, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT) == 1);
	GENERAL_NAMES_free(names);
	return ok;
}

/* value: constants of this file only, never input: OpenSSL's notation can name files. */
static bool add_constant(X509 *c, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *e;
	bool ok;

	X509V3_set_ctx(&ctx, issuer ? issuer : c, c, NULL, NULL, 0);
	e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	ok = e && X509_add_ext(c, e, -1) == 1;
	X509_EXTENSION_free(e);
	return ok;
}

static const char *key_usage(const struct x509_request *q)
{
	if (q->ca)
		return "critical,keyCertSign,cRLSign";
	return EVP_PKEY_get_base_id(q->key) == EVP_PKEY_RSA ? "critical,digitalSignature,keyEncipherment"
							    : "critical,digitalSignature";
}

static bool add_extensions(X509 *c, const struct x509_request *q)
{
	static const char *const usage[] = {NULL, "serverAuth", "clientAuth"};

	return add_constant(c, q->issuer, NID_basic_constraints,
		       q->ca ? "critical,CA:TRUE" : "critical,CA:FALSE") &&
	       add_constant(c, q->issuer, NID_key_usage, key_usage(q)) &&
	       (q->ca || q->endpoint == ENDPOINT_NONE ||
		       add_constant(c, q->issuer, NID_ext_key_usage, usage[q->endpoint])) &&
	       add_constant(c, q->issuer, NID_subject_key_identifier, "hash") &&
	       add_constant(c, q->issuer, NID_authority_key_identifier, "keyid:always") &&
	       add_alt_names(c, q);
}

static const EVP_MD *signing_digest(EVP_PKEY *k)
{
	if (EVP_PKEY_get_base_id(k) == EVP_PKEY_ED25519)
		return NULL;
	return EVP_PKEY_get_base_id(k) == EVP_PKEY_EC && EVP_PKEY_get_bits(k) > 256 ? crypto_sha384()
										    : crypto_sha256();
}

int x509_issue(const struct x509_request *q, X509 **ret, struct error *err)
{
	EVP_PKEY *signer = q->issuer ? q->issuer_key : q->key;
	struct error why = {0};
	X509 *c;

	crypto_init();
	for (size_t i = 0; i < q->name_count; i++)
		if (x509_name_check(q->names[i].is_ip, q->names[i].text, err))
			return -1;
	if (q->not_after != X509_FOREVER && q->not_after <= q->not_before)
		return error_set(err, ERR_INPUT, "a certificate cannot be valid from %llu to %llu",
			(unsigned long long)q->not_before, (unsigned long long)q->not_after);
	if (q->issuer && !x509_is_for(q->issuer, signer))
		return error_set(err, ERR_INPUT, "the key that is to sign is not the issuer's");
	c = X509_new();
	if (c && X509_set_version(c, X509_VERSION_3) == 1 && set_serial(c, &why) && set_validity(c, q) &&
		set_names(c, q) && X509_set_pubkey(c, q->key) == 1 && add_extensions(c, q) &&
		X509_sign(c, signer, signing_digest(signer)) > 0) {
		*ret = c;
		return 0;
	}
	X509_free(c);
	return crypto_error(err, ERR_CRYPTO, "certificate for \"%.80s\" not made", q->common_name);
}

static int to_seconds(const ASN1_TIME *t, uint64_t *ret)
{
	struct tm tm;
	time_t s;

	if (ASN1_TIME_to_tm(t, &tm) != 1 || (s = timegm(&tm)) < 0)
		return -1;
	*ret = (uint64_t)s;
	return 0;
}

int x509_validity(X509 *c, uint64_t *ret_start, uint64_t *ret_end, struct error *err)
{
	const ASN1_TIME *end = X509_get0_notAfter(c);

	if (to_seconds(X509_get0_notBefore(c), ret_start) || to_seconds(end, ret_end))
		return crypto_error(err, ERR_INPUT, "the validity of a certificate is unreadable");
	if (ASN1_STRING_length(end) == (int)strlen(FOREVER) &&
		!memcmp(ASN1_STRING_get0_data(end), FOREVER, strlen(FOREVER)))
		*ret_end = X509_FOREVER;
	return 0;
}

int x509_is_for(X509 *c, EVP_PKEY *k)
{
	EVP_PKEY *own = X509_get0_pubkey(c);

	return own && k && EVP_PKEY_eq(own, k) == 1;
}

/* Append what an i2d function of OpenSSL has allocated. */
static int put_der(uint8_t *der, int n, const char *what, struct buf *out, struct error *err)
{
	if (n <= 0)
		return crypto_error(err, ERR_CRYPTO, "%s not written as DER", what);
	buf_put(out, der, (size_t)n);
	OPENSSL_clear_free(der, (size_t)n);
	return out->failed ? error_set(err, ERR_LIMIT, "no room for %d bytes of %s", n, what) : 0;
}

int key_to_der(EVP_PKEY *k, struct buf *out, struct error *err)
{
	PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(k);
	uint8_t *der = NULL;
	int n = info ? i2d_PKCS8_PRIV_KEY_INFO(info, &der) : -1;

	PKCS8_PRIV_KEY_INFO_free(info);
	return put_der(der, n, "private key", out, err);
}

int x509_to_der(X509 *c, struct buf *out, struct error *err)
{
	uint8_t *der = NULL;

	return put_der(der, i2d_X509(c, &der), "certificate", out, err);
}

int x509_to_pkcs12(EVP_PKEY *k, X509 *c, X509 *const *chain, size_t n, struct buf *out, struct error *err)
{
	STACK_OF(X509) *others = sk_X509_new_null();
	uint8_t *der = NULL;
	PKCS12 *p12 = NULL;
	int len = -1;

	crypto_init();
	for (size_t i = 0; others && i < n; i++)
		if (sk_X509_push(others, chain[i]) <= 0)
			goto out;
	if (others)
		p12 = PKCS12_create("", NULL, k, c, others, 0, 0, 0, 0, 0);
	if (p12)
		len = i2d_PKCS12(p12, &der);
out:
	sk_X509_free(others);
	PKCS12_free(p12);
	return put_der(der, len, "PKCS#12 file", out, err);
}
