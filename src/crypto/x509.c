#include "crypto/x509.h"

#include <limits.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>
#include "crypto/init.h"

#define SERIAL_LEN 16
#define DAYS_MAX 36500

static bool set_serial(X509 *c, struct error *err)
{
	uint8_t bytes[SERIAL_LEN];
	BIGNUM *n;
	bool ok;

	if (random_bytes(bytes, sizeof(bytes), err) < 0)
		return false;
	n = BN_bin2bn(bytes, sizeof(bytes), NULL);
	ok = n && BN_to_ASN1_INTEGER(n, X509_get_serialNumber(c));
	BN_free(n);
	return ok;
}

/* RFC 5280 section 4.2; critical as given. Takes the value's text in OpenSSL's notation: constants only, never input. */
static bool add_constant(X509 *c, int nid, const char *value)
{
	X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
	bool ok = e && X509_add_ext(c, e, -1) == 1;

	X509_EXTENSION_free(e);
	return ok;
}

static bool dns_name_ok(const char *s)
{
	size_t n = strlen(s);

	return n > 0 && n <= 253 &&
	       strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.*") == n;
}

/* Takes value. */
static bool push_name(GENERAL_NAMES *names, int type, ASN1_STRING *value)
{
	GENERAL_NAME *g = GENERAL_NAME_new();

	if (!g || !value) {
		GENERAL_NAME_free(g);
		ASN1_STRING_free(value);
		return false;
	}
	GENERAL_NAME_set0_value(g, type, value);
	if (sk_GENERAL_NAME_push(names, g) > 0)
		return true;
	GENERAL_NAME_free(g);
	return false;
}

static bool add_alt_names(X509 *c, const char *dns, const char *ip)
{
	GENERAL_NAMES *names = GENERAL_NAMES_new();
	ASN1_STRING *s;
	bool ok = names != NULL;

	if (ok && dns) {
		s = ASN1_IA5STRING_new();
		if (s && ASN1_STRING_set(s, dns, (int)strlen(dns)) != 1) {
			ASN1_STRING_free(s);
			s = NULL;
		}
		ok = push_name(names, GEN_DNS, s);
	}
	if (ok && ip)
		ok = push_name(names, GEN_IPADD, a2i_IPADDRESS(ip));
	ok = ok && X509_add1_ext_i2d(c, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT) == 1;
	GENERAL_NAMES_free(names);
	return ok;
}

static bool set_names(X509 *c, const char *common_name)
{
	X509_NAME *name = X509_get_subject_name(c);

	return X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_UTF8,
		       (const unsigned char *)common_name, -1, -1, 0) == 1 &&
	       X509_set_issuer_name(c, name) == 1;
}

static const EVP_MD *signing_digest(EVP_PKEY *k)
{
	if (EVP_PKEY_get_base_id(k) == EVP_PKEY_ED25519)
		return NULL;
	return EVP_PKEY_get_base_id(k) == EVP_PKEY_EC && EVP_PKEY_get_bits(k) > 256 ? crypto_sha384()
										    : crypto_sha256();
}

static int check_arguments(const char *dns, const char *ip, int days, struct error *err)
{
	ASN1_OCTET_STRING *address;

	if (days <= 0 || days > DAYS_MAX)
		return error_set(err, ERR_INPUT, "certificate for %d days, wanted 1 to %d", days, DAYS_MAX);
	if (dns && !dns_name_ok(dns))
		return error_set(err, ERR_INPUT, "'%s' is not a DNS name for a certificate", dns);
	if (ip) {
		address = a2i_IPADDRESS(ip);
		if (!address)
			return crypto_error(
				err, ERR_INPUT, "'%s' is not an IP address for a certificate", ip);
		ASN1_OCTET_STRING_free(address);
	}
	return 0;
}

int x509_self_signed(EVP_PKEY *k, const char *common_name, const char *dns, const char *ip, int days,
	X509 **ret, struct error *err)
{
	X509 *c;
	struct error why = {0};

	crypto_init();
	if (check_arguments(dns, ip, days, err) < 0)
		return -1;
	c = X509_new();
	if (c && X509_set_version(c, X509_VERSION_3) == 1 && set_serial(c, &why) &&
		X509_gmtime_adj(X509_getm_notBefore(c), -3600) &&
		X509_time_adj_ex(X509_getm_notAfter(c), days, 0, NULL) && set_names(c, common_name) &&
		X509_set_pubkey(c, k) == 1 && add_constant(c, NID_basic_constraints, "critical,CA:FALSE") &&
		add_constant(c, NID_key_usage, "critical,digitalSignature") &&
		(!(dns || ip) || add_alt_names(c, dns, ip)) && X509_sign(c, k, signing_digest(k)) > 0) {
		*ret = c;
		return 0;
	}
	X509_free(c);
	return crypto_error(err, ERR_CRYPTO, "certificate for '%s' not made", common_name);
}

int x509_to_pem(X509 *c, struct buf *out, struct error *err)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *p;
	long n;

	if (!bio || PEM_write_bio_X509(bio, c) != 1) {
		BIO_free(bio);
		return crypto_error(err, ERR_CRYPTO, "certificate not written as PEM");
	}
	n = BIO_get_mem_data(bio, &p);
	buf_put(out, p, (size_t)n);
	BIO_free(bio);
	if (out->failed)
		return error_set(err, ERR_LIMIT, "no room for %ld bytes of certificate", n);
	return 0;
}

/* Encrypted PEM is refused: OpenSSL's own callback would ask on the terminal. */
static int no_passphrase(char *to, int size, int rwflag, void *u)
{
	return -1;
}

int x509_from_pem(const char *pem, size_t n, X509 **ret, struct error *err)
{
	BIO *bio;
	X509 *c;

	crypto_init();
	if (n > INT_MAX)
		return error_set(err, ERR_LIMIT, "certificate of %zu bytes", n);
	bio = BIO_new_mem_buf(pem, (int)n);
	c = bio ? PEM_read_bio_X509(bio, NULL, no_passphrase, NULL) : NULL;
	BIO_free(bio);
	if (!c)
		return crypto_error(err, ERR_INPUT, "%zu bytes are no PEM certificate", n);
	*ret = c;
	return 0;
}

int x509_key_hash(X509 *c, uint8_t ret[KEY_HASH_LEN], struct error *err)
{
	unsigned char *der = NULL;
	/* as encoded in the certificate, so that it is also the hash for keys that OpenSSL cannot use */
	int n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(c), &der);

	if (n <= 0)
		return crypto_error(err, ERR_CRYPTO, "certificate has no readable public key");
	sha256(der, (size_t)n, ret);
	OPENSSL_free(der);
	return 0;
}
