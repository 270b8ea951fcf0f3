/* identity: see identity.h. */
#include <string.h>
#include <sys/prctl.h>
#include "cli/home.h"
#include "cli/identity.h"
#include "core/secret.h"
#include "crypto/x509.h"

#define IDENTITY_FILE "identity.pem"
#define IDENTITY_DAYS 3650

static const char key_begin[] = "-----BEGIN PRIVATE KEY-----", key_end[] = "-----END PRIVATE KEY-----";
static const char cert_begin[] = "-----BEGIN CERTIFICATE-----", cert_end[] = "-----END CERTIFICATE-----";

/* The PEM block between the two lines; false if there is not exactly one of each after the other. */
static bool block(const char *text, const char *begin, const char *end, const char **ret, size_t *ret_n)
{
	const char *b = strstr(text, begin), *e = b ? strstr(b, end) : NULL;

	if (!e)
		return false;
	*ret = b;
	*ret_n = (size_t)(e - b) + strlen(end);
	return true;
}

static int parse(struct buf *b, struct identity *id, struct error *err)
{
	const char *text = buf_cstr(b), *key, *cert;
	uint8_t cert_hash[KEY_HASH_LEN];
	size_t key_n, cert_n;

	if (!text)
		return error_set(err, ERR_LIMIT, "too large");
	if (!block(text, key_begin, key_end, &key, &key_n) ||
		!block(text, cert_begin, cert_end, &cert, &cert_n))
		return error_set(err, ERR_INPUT, "a private key and a certificate in PEM are wanted");
	if (key_from_pem(key, key_n, &id->key, err) || x509_from_pem(cert, cert_n, &id->cert, err) ||
		key_hash(id->key, id->hash, err) || x509_key_hash(id->cert, cert_hash, err))
		return -1;
	if (memcmp(id->hash, cert_hash, sizeof(cert_hash)) != 0)
		return error_set(err, ERR_INPUT, "the certificate is not of this key");
	return 0;
}

int identity_load(bool create, struct identity *ret, struct error *err)
{
	struct identity id = {0};
	struct buf b;
	char *path;
	int rc;

	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	buf_init_secret(&b, HOME_FILE_MAX);
	rc = home_read(IDENTITY_FILE, true, &b, err);
	if (rc && err->code == ERR_NOT_FOUND && create) {
		buf_free(&b);
		rc = identity_new(ret, err);
		if (!rc || err->code != ERR_EXISTS)
			return rc;
		rc = home_read(IDENTITY_FILE, true, &b, err); /* somebody made it meanwhile */
	}
	if (!rc && (rc = parse(&b, &id, err)) != 0) {
		path = home_path(IDENTITY_FILE, NULL);
		error_wrap(err, "%s", path ? path : IDENTITY_FILE);
		free(path);
	}
	buf_free(&b);
	if (rc)
		identity_free(&id);
	else
		*ret = id;
	return rc;
}

int identity_new(struct identity *ret, struct error *err)
{
	struct identity id = {0};
	struct buf b;
	int rc = -1;

	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	buf_init_secret(&b, HOME_FILE_MAX);
	if (key_generate(KEY_P256, &id.key, err) || key_hash(id.key, id.hash, err) ||
		x509_self_signed(id.key, "OpenSCONE user", NULL, NULL, IDENTITY_DAYS, &id.cert, err) ||
		key_to_pem(id.key, &b, err) || x509_to_pem(id.cert, &b, err))
		goto out;
	if (b.failed) {
		error_set(err, ERR_NOMEM, "no memory");
		goto out;
	}
	rc = home_write(IDENTITY_FILE, b.data, b.len, true, err);
out:
	buf_free(&b);
	if (rc)
		identity_free(&id);
	else
		*ret = id;
	return rc;
}

void identity_free(struct identity *id)
{
	EVP_PKEY_free(id->key);
	X509_free(id->cert);
	memset(id, 0, sizeof(*id));
}
