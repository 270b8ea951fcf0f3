/*
 * identity: who this user is to a CAS: a P-256 key and a self-signed certificate, in one file ("identity.pem", mode 0600) so that the
 * two always belong together. CAS knows the user by the key hash.
 */
#ifndef SCONE_CLI_IDENTITY_H
#define SCONE_CLI_IDENTITY_H

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include "core/error.h"
#include "crypto/key.h"

struct identity {
	EVP_PKEY *key;
	X509 *cert;
	uint8_t hash[KEY_HASH_LEN];
};

/* Load it; if there is none: make it (create) or ERR_NOT_FOUND. Keeps the process out of core dumps and ptrace from then on. */
MUST_USE int identity_load(bool create, struct identity *ret, struct error *err);
/* Make it; ERR_EXISTS, and nothing changed, if there is one. */
MUST_USE int identity_new(struct identity *ret, struct error *err);
void identity_free(struct identity *id); /* idempotent */

#endif
