/*
 * volume_lease: freshness of the volumes of an attested service. CAS keeps the newest version of each (wire/volume_client.h); who writes tells it.
 *
 * Only the application's first process, before the program runs, and after that its keeper talk to CAS: processes of the program have no connection
 * and no key for one. They leave a version in shared memory, and where the update policy wants CAS to have it before the write is acknowledged (strict)
 * wait for the keeper's word. While CAS does not answer, and for good once the lease is lost, fsync answers EIO.
 */
#ifndef SCONE_RUNTIME_VOLUME_LEASE_H
#define SCONE_RUNTIME_VOLUME_LEASE_H

#include "runtime/attest.h"
#include "shield/fs/volume.h"
#include "wire/volume_client.h"

#define LEASE_MARK                                                                                           \
	"openscone.lease" /* attribute of the volume's root: the number of the lease it was last written under */

/* One volume's, in memory that all processes share; zeroed: it has none. */
struct lease_post {
	bool active; /* versions are told to CAS */
	bool strict;
	uint32_t posted, done; /* numbers of versions left and taken; done is a futex */
	struct volume_state version; /* the newest left */
	uint32_t event; /* enum volume_client_event */
	int32_t answer; /* to the newest taken: 0 or -errno */
};

/* Shared by all volumes: a futex that the keeper's thread sleeps on. */
struct lease_bell {
	uint32_t rung;
};

/* The engine's publish callback. alive: does the keeper live? -EIO. */
MUST_USE int lease_publish(struct lease_post *p, struct lease_bell *bell, enum volume_event event,
	const struct volume_version *v, bool (*alive)(void));

/* --- first process and keeper --- */

/* A client for a volume of the configuration. */
MUST_USE int lease_new(const struct attest_options *o, const struct attest_identity *id,
	const struct config_volume *v, struct volume_client **ret, struct error *err);
/* Steps 1 and 3 of volume_client.h: fd is of the volume's file, whose lock is held. */
MUST_USE int lease_open(
	struct volume_client *c, const char *path, struct volume_lease *ret, struct error *err);
/* There is no volume: may one be made? */
MUST_USE int lease_may_create(struct volume_client *c, struct error *err);
/* Steps 3 and 4 for an open volume: what was found may be used, the mark is written, CAS has the state. found NULL: the volume was made just now. */
MUST_USE int lease_begin(struct volume_client *c, const struct volume_lease *l, struct volume *v,
	const struct volume_version *found, struct lease_post *post, struct error *err);

/* The start has failed: the lease back, if there is one, so that nobody has to wait until it is over. */
void lease_give_back(struct volume_client *c);

/* In the keeper: serve n posts until lease_stop. clients[i] NULL: none. -EAGAIN. */
MUST_USE int lease_serve(struct lease_post *const *posts, struct volume_client *const *clients, uint32_t n,
	struct lease_bell *bell);
/* When the volumes are closed: tell CAS the last versions, and give the leases back. */
void lease_stop(void);

#endif
