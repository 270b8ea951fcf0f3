/*
 * vault_key: keys and certificates of a session's secrets: made, renewed, and put into the forms that templates ask for.
 *
 * The vault holds a private key as PKCS#8 PEM and a certificate as PEM. A public key follows from its private one and is not kept.
 */
#ifndef SCONE_CAS_VAULT_KEY_H
#define SCONE_CAS_VAULT_KEY_H

#include "cas/vault.h"

/* A new private key for spec, as PEM. */
MUST_USE int vault_key_generate(const struct secret_spec *spec, struct secret *ret, struct error *err);
/*
 * Make, in v, the certificate of every x509 and x509-ca of s that has no explicit value and none in v, or one that is due for renewal: two thirds of its
 * time are over. Issuers first. now: seconds since 1970. *ret_changed: something was made. Validity begins an hour before now.
 */
MUST_USE int vault_key_certify(
	const struct session *s, struct vault *v, uint64_t now, bool *ret_changed, struct error *err);
/* All parts (policy/secret_parts.h) of a key or certificate; of a certificate those with its private key only if with_private. out: secret buf. */
MUST_USE int vault_key_parts(const struct session *s, const struct vault *v, const struct secret_spec *spec,
	bool with_private, struct buf *out, struct error *err);

#endif
