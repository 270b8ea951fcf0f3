/*
 * volumes: keys, versions and leases of the volumes of sessions (session language 8 and 9; docs/cas.md, "Volumes").
 *
 * A volume is kept under the session that has it, whoever imports it. Its key is made when a service that mounts it first attests, and stays as long
 * as the session does, also through versions of the session that do not name the volume.
 *
 * A version is (generation, tag), as shield/fs/volume.h has it. CAS takes a version only from the holder of the lease, and only one that is not older
 * than what it has. There is one lease a volume. Its holder is an *application instance*: the key that attested, which a runtime's child processes
 * share and nobody else has. Another instance gets the lease when the holder has given it back, was not heard of for VOLUME_TERM seconds, or when it
 * asks for the volume at the same place: there it holds the lock that the former one held, so that one is dead. A lie about the place costs
 * availability, nothing else: whoever lost the lease cannot bring in a version any more.
 */
#ifndef SCONE_CAS_VOLUMES_H
#define SCONE_CAS_VOLUMES_H

#include "cas/audit.h"
#include "cas/sessions.h"
#include "cas/volumes_record.h"
#include "wire/attest.h"

#define VOLUME_TERM 30 /* seconds */

struct volumes_context {
	struct sealed_store *store;
	struct audit *audit;
	uint64_t now; /* seconds since 1970 */
};

/* The volumes of the service's image, into the configuration: key, version, and a grant for client_key. key_of: the bytes of a secret of s, for keys
 * that are templates; -1 with err. ERR_NOT_FOUND: not exported to this session [E-REF]; ERR_ACCESS: the exporter permits less than the update policy. */
MUST_USE int volumes_configure(const struct volumes_context *x, const struct stored_session *s,
	const struct service *svc, const uint8_t client_key[32],
	int (*key_of)(void *arg, const char *secret, uint8_t ret[VOLUME_RECORD_KEY_LEN], struct error *err),
	void *arg, struct service_config *ret, struct error *err);

/* ERR_ACCESS: the grant; ERR_CONFLICT: the session has changed since; ERR_EXISTS: another application instance has it. */
MUST_USE int volumes_open(const struct volumes_context *x, const struct volume_open_request *q,
	const uint8_t client_key[32], struct volume_lease *ret, struct error *err);
/* A new version, or the one that CAS has: a sign of life. Durable when 0 is returned. ERR_CONFLICT: no lease, or an older version. close: give the
 * lease back. */
MUST_USE int volumes_update(const struct volumes_context *x, const struct volume_update_request *q,
	const uint8_t client_key[32], bool close, struct error *err);

/* Changes that remove what is kept of a session's volumes, for its deletion: names are owned by the caller (free each and the array). */
MUST_USE int volumes_names_of(
	struct sealed_store *ss, const char *session, char ***ret, size_t *ret_count, struct error *err);

#endif
