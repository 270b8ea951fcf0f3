/*
 * vault_jwt: secrets of kind jwt (session language 5.2): a JSON Web Token (RFC 7519), compact, signed with ES384 (RFC 7518, 3.4), made for each start.
 */
#ifndef SCONE_CAS_VAULT_JWT_H
#define SCONE_CAS_VAULT_JWT_H

#include "cas/vault.h"
#include "policy/template.h"

/* lookup: the session's secrets, for claims that are templates. measurement: for the claim that is JWT_SELF. now: seconds since 1970: iat and nbf.
 * out: secret buf. */
MUST_USE int vault_jwt_make(const struct session *s, const struct vault *v, const struct secret_spec *spec,
	template_lookup lookup, void *arg, const uint8_t measurement[32], uint64_t now, struct buf *out,
	struct error *err);

#endif
