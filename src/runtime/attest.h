/*
 * attest: prove to CAS what is about to run, and get the service's configuration for it.
 */
#ifndef SCONE_RUNTIME_ATTEST_H
#define SCONE_RUNTIME_ATTEST_H

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <stdint.h>
#include "core/error.h"
#include "measure/measure.h"
#include "wire/attest.h"
#include "wire/cas_evidence.h"

struct attest_options {
	const char *cas; /* numeric "IP:PORT" or "[V6]:PORT" */
	uint8_t cas_key[32]; /* key hash that CAS must have */
	bool has_cas_key;
	const struct cas_policy *
		cas_policy; /* what CAS's own evidence must say; NULL: nothing. Without key and policy nothing is asked of CAS */
	const char *las; /* socket of the local attestation service */
	const char *config_id; /* SESSION/SERVICE[@OTP] */
	const void *access_token; /* what CAS must prove to know, too (session language 11); NULL: nothing */
	size_t access_token_len;
};

/* What this process is to CAS from then on. */
struct attest_identity {
	EVP_PKEY *key;
	X509 *cert;
	uint8_t cas_key[32]; /* of the CAS that was trusted */
};
void attest_identity_clear(struct attest_identity *id);

/*
 * A CAS with a policy proves what it is on each connection, before it is asked for anything; the key that its evidence binds is its key then.
 * With a key made for this one connection: CAS's nonce, LAS's evidence over nonce, key and CAS's key, then the configuration.
 * When CAS refuses what newer evidence of the machine might cure (its age, its TCB), LAS is asked for that, and CAS once more.
 * Hardens the process before any secret arrives (attest_harden), but after LAS has looked at it.
 * ret: initialised by the caller and freed by it in either case. *ret_id, on success: the key and its certificate. Everything else is wiped. -1: the sentence names the step.
 */
MUST_USE int attest_service(const struct attest_options *o, const struct manifest *m,
	struct service_config *ret, struct attest_identity *ret_id, struct error *err);

/* No core dumps, no ptrace by the same user. Lasts until execve: whoever holds secrets calls it again. */
MUST_USE int attest_harden(struct error *err);

#endif
