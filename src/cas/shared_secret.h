/*
 * shared_secret: secrets that one session exports and another imports (session language, section 7).
 *
 * The exporter may be a session of another CAS, which is asked for it (remotes.h); then that CAS checks.
 *
 * Checked at each use: the exporter's current version must still export the secret to this session, and every hash that either side gives must be the
 * current one.
 */
#ifndef SCONE_CAS_SHARED_SECRET_H
#define SCONE_CAS_SHARED_SECRET_H

#include "cas/export_message.h"
#include "cas/sessions.h"

/*
 * The value of spec, which s imports: bytes of ascii and binary, parts of keys and certificates (policy/secret_parts.h), those with the private key of a
 * certificate only if that key is exported, too. out: secret buf. ERR_NOT_FOUND: there is no such exporter or secret, or it is not exported
 * to s; ERR_CONFLICT: another kind, or a hash that is not the current one.
 */
MUST_USE int shared_secret_get(struct sealed_store *ss, struct audit *audit, const struct stored_session *s,
	const struct secret_spec *spec, uint64_t now, enum secret_kind *ret_kind, struct buf *out,
	struct error *err);

/* What the CAS with this key asks for one of its sessions (export_message.h). ERR_ACCESS where a board decides about exports. */
MUST_USE int shared_secret_for_cas(struct sealed_store *ss, struct audit *audit, const uint8_t cas_key[32],
	const struct export_request *q, uint64_t now, enum secret_kind *ret_kind, struct buf *out,
	struct error *err);

#endif
