/*
 * vault: the values that CAS generated for a session's secrets (session language 5.2, 5.4).
 *
 * Explicit values are part of the description and are not in the vault; vault_lookup finds both.
 */
#ifndef SCONE_CAS_VAULT_H
#define SCONE_CAS_VAULT_H

#include <stddef.h>
#include <stdint.h>
#include "core/buf.h"
#include "core/error.h"
#include "core/secret.h"
#include "policy/session.h"

/* Most bytes generated for one session, all secrets together. */
#define VAULT_BYTES_MAX (1024 * 1024)

struct vault_value {
	char *name;
	enum secret_kind kind;
	uint8_t detail; /* ascii: its alphabet; private-key: 1 if an update may keep it */
	struct secret value; /* ascii, binary: as long as the secret's size; PEM of keys and certificates */
};

struct vault {
	struct vault_value *values;
	size_t count;
};

void vault_init(struct vault *v);
void vault_free(struct vault *v); /* wipes; idempotent */

/*
 * Values for every secret of s without an explicit one: the value in old (may be NULL) if it has the same name, kind and size, and, for
 * ascii, the same alphabet (a kept value could not keep the new promise), for a private key, the same type and `migrate` in both versions; else a new
 * one. Certificates are always new. An explicit value of the version before is never kept as a generated one: its readers know it. now: seconds
 * since 1970.
 */
MUST_USE int vault_make(
	const struct session *s, const struct vault *old, uint64_t now, struct vault *ret, struct error *err);
/* The place of a generated secret's value, made if there is none. NULL: no memory. Valid until the next one is made. */
struct vault_value *vault_slot(struct vault *v, const struct secret_spec *spec, struct error *err);

/* u8 version 1, u32be count, then for each: u8 kind, u8 detail, block name, block value. out must be a secret buf. */
MUST_USE int vault_encode(const struct vault *v, struct buf *out, struct error *err);
MUST_USE int vault_decode(const void *p, size_t n, struct vault *ret, struct error *err);

/* Value of a secret of s, explicit or generated; *ret and *ret_len are borrowed. NULL: no such secret, an imported one (shared_secret.h), or a
 * public key that follows from a private one. */
const struct secret_spec *vault_lookup(const struct session *s, const struct vault *v, const char *name,
	size_t len, const void **ret, size_t *ret_len);

#endif
