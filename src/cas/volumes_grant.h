/*
 * volumes_grant: what an attested service holds that lets it ask for one volume: sealed by CAS, for one client key, so no list of attested
 * clients is kept, and a CAS that was restarted, or another one on the same store, knows it again.
 *
 * AEAD form (crypto/aead.h) under a key of the store, AAD "openscone-volume-grant-v1" NUL and the client's key hash, of
 *   u8 format 1, u8 update policy, 32 bytes session hash, then blocks: session, volume there, session that has the volume, its name there
 */
#ifndef SCONE_CAS_VOLUMES_GRANT_H
#define SCONE_CAS_VOLUMES_GRANT_H

#include "cas/sealed_store.h"
#include "policy/session.h"

#define VOLUME_GRANT_MAX 4096 /* bytes, sealed */

struct volume_grant {
	enum update_policy policy;
	uint8_t hash[SESSION_HASH_LEN]; /* of the session when the service attested */
	char *session, *volume; /* of the service */
	char *owner, *item; /* the session that has the volume, and its name there */
};
void volume_grant_free(struct volume_grant *g);

MUST_USE int volume_grant_seal(struct sealed_store *ss, const struct volume_grant *g,
	const uint8_t client_key[32], struct buf *out, struct error *err);
/* ERR_ACCESS: not one of this CAS, or of another key. */
MUST_USE int volume_grant_open(struct sealed_store *ss, const void *p, size_t n, const uint8_t client_key[32],
	struct volume_grant *ret, struct error *err);

#endif
