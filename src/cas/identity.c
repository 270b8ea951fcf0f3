#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "cas/identity.h"
#include "crypto/x509.h"

#define TABLE "cas"
#define RECORD "identity"
#define CERT_DAYS 3650
#define RENEW_BEFORE ((time_t)365 * 24 * 3600)
#define PEM_MAX 65536

void identity_free(struct identity *id)
{
	EVP_PKEY_free(id->key);
	X509_free(id->cert);
	free(id->cert_pem);
	memset(id, 0, sizeof(*id));
}

/* The record: block private key PEM, block certificate PEM. */
static int store(struct sealed_store *ss, const struct identity *id, struct error *err)
{
	struct buf key, cert, record;
	int rc = -1;

	buf_init_secret(&key, PEM_MAX);
	buf_init(&cert, PEM_MAX);
	buf_init_secret(&record, 2 * PEM_MAX + 8);
	if (!key_to_pem(id->key, &key, err) && !x509_to_pem(id->cert, &cert, err)) {
		struct sealed_change change = {.table = TABLE, .name = RECORD};

		buf_put_block(&record, key.data, key.len);
		buf_put_block(&record, cert.data, cert.len);
		change.content = record.data;
		change.len = record.len;
		rc = record.failed ? error_set(err, ERR_NOMEM, "out of memory")
				   : sealed_store_apply(ss, &change, 1, err);
	}
	buf_free(&key);
	buf_free(&cert);
	buf_free(&record);
	return rc;
}

static int make_cert(struct identity *id, struct error *err)
{
	X509 *cert = NULL;

	if (x509_self_signed(id->key, "OpenSCONE CAS", "localhost", "127.0.0.1", CERT_DAYS, &cert, err))
		return -1;
	X509_free(id->cert);
	id->cert = cert;
	return 0;
}

static int decode(const struct buf *record, struct identity *id, struct error *err)
{
	size_t key_len, cert_len;
	const uint8_t *key, *cert;
	struct rd r;

	rd_init(&r, record->data, record->len);
	key = rd_block(&r, PEM_MAX, &key_len);
	cert = rd_block(&r, PEM_MAX, &cert_len);
	if (!rd_done(&r))
		return error_set(err, ERR_INTERNAL,
			"the stored identity has %zu bytes, which is not what its fields need", record->len);
	if (key_from_pem((const char *)key, key_len, &id->key, err) ||
		x509_from_pem((const char *)cert, cert_len, &id->cert, err))
		return error_wrap(err, "the stored identity");
	return 0;
}

static int load_or_make(struct sealed_store *ss, struct identity *id, struct error *err)
{
	time_t soon = time(NULL) + RENEW_BEFORE;
	struct error why = {0};
	struct buf record;
	int rc;

	buf_init_secret(&record, 2 * PEM_MAX + 8);
	rc = sealed_store_get(ss, TABLE, RECORD, &record, &why);
	if (!rc) {
		rc = decode(&record, id, err);
		if (!rc && X509_cmp_time(X509_get0_notAfter(id->cert), &soon) < 0)
			rc = make_cert(id, err) || store(ss, id, err) ? -1 : 0;
	} else if (why.code == ERR_NOT_FOUND) {
		rc = key_generate(KEY_P256, &id->key, err) || make_cert(id, err) || store(ss, id, err) ? -1
												       : 0;
	} else if (err) {
		*err = why;
	}
	buf_free(&record);
	return rc;
}

int identity_load(struct sealed_store *ss, struct identity *ret, struct error *err)
{
	struct identity id = {0};
	struct buf pem;
	int rc = -1;

	buf_init(&pem, PEM_MAX);
	if (load_or_make(ss, &id, err) || key_hash(id.key, id.hash, err) || x509_to_pem(id.cert, &pem, err))
		goto out;
	key_hash_text(id.hash, id.text);
	id.cert_pem = buf_cstr(&pem) ? strdup(buf_cstr(&pem)) : NULL;
	rc = id.cert_pem ? 0 : error_set(err, ERR_NOMEM, "out of memory");
out:
	buf_free(&pem);
	if (rc)
		identity_free(&id);
	else
		*ret = id;
	return rc;
}
