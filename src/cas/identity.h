/*
 * identity: the key a CAS is known by, made on first start and kept in the sealed store. Clients pin its key hash.
 */
#ifndef SCONE_CAS_IDENTITY_H
#define SCONE_CAS_IDENTITY_H

#include <openssl/evp.h>
#include <openssl/x509.h>
#include "cas/sealed_store.h"
#include "crypto/key.h"

struct identity {
	EVP_PKEY *key; /* P-256 */
	X509 *cert; /* self-signed; made anew, for the same key, before it expires */
	uint8_t hash[KEY_HASH_LEN];
	char text[KEY_HASH_TEXT_MAX];
	char *cert_pem; /* owned */
};

MUST_USE int identity_load(struct sealed_store *ss, struct identity *ret, struct error *err);
void identity_free(struct identity *id); /* idempotent */

#endif
