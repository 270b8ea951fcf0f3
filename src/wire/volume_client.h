/*
 * volume_client: one volume's freshness at CAS, from the runtime's side: the lease, what may be opened, and every version after that.
 *
 * One client serves one volume. It has no threads and does nothing by itself. One call at a time, in all processes together: the engine calls publish that
 * way, and whoever calls tick takes a lock for both. What it knows of the volume lies in memory that the processes of an application share; each has a
 * connection of its own, made when it is first needed, with the same key: CAS takes the whole application as one holder.
 *
 * How a runtime uses it:
 *   1. lock the volume's file (host/volume_file.h); volume_client_open with a place that is the same for everybody who would take that lock.
 *   2. volume_open with at_least = the lease's version if it has one, or volume_create if there is neither a version nor a file.
 *   3. volume_client_check with what was found. Below the lease's `least`, or not what CAS has: do not use the volume.
 *   4. unless the lease's number is 0: write that number as the volume's mark, commit, and volume_client_publish with VOLUME_CLIENT_SYNC, before the
 *      program's first instruction. From then on no copy that an earlier holder went on writing can be taken for this volume, however far it got.
 *   5. publish callback: volume_client_publish. A timer, if there is one: volume_client_tick.
 *   6. volume_close, then volume_client_close with the last version.
 * The mark is a number that is kept in the volume itself (an attribute of its root that the program does not see), 0 in a new one.
 *
 * When CAS refuses (ERR_CONFLICT: another application instance has the volume) the client is lost: every later call gives the same error, and the
 * runtime lets no write be acknowledged any more.
 */
#ifndef SCONE_WIRE_VOLUME_CLIENT_H
#define SCONE_WIRE_VOLUME_CLIENT_H

#include <openssl/evp.h>
#include <openssl/x509.h>
#include "wire/attest.h"
#include "wire/volume_message.h"

struct volume_client;

/* What the processes of an application share; zeroed at first. The fields are volume_client.c's. */
struct volume_client_shared {
	struct volume_lease lease; /* number 0: none */
	bool opened;
	bool has_sent, has_noted;
	struct volume_state sent; /* what CAS has of this lease */
	struct volume_state noted; /* durable, and CAS has not got it */
	uint64_t noted_at; /* when the oldest of what is noted became durable */
	uint64_t heard; /* when CAS last answered */
	struct error lost; /* text not empty: refused for good */
};

struct volume_client_options {
	struct volume_client_shared
		*shared; /* in memory shared by all processes that use the volume; NULL: this one only */
	const char *address; /* of CAS, as http_client.h wants it; copied */
	const uint8_t *cas_key; /* 32 bytes; copied */
	bool numeric_only;
	EVP_PKEY *key; /* those that attested; kept by reference count */
	X509 *cert;
	int timeout_ms; /* of one request; 0: 15000 */
	int window_ms; /* rollback_protected: most time between a durable version and CAS having it; 0: 1000 */
	int patience_ms; /* rollback_protected: how long a CAS that cannot be reached does not matter; 0: 10000 */
	uint64_t (*clock)(void); /* milliseconds of a clock that never goes back; NULL: CLOCK_BOOTTIME */
};

/* v: of the configuration that the attestation gave; name, policy and grant are copied. */
MUST_USE int volume_client_new(const struct volume_client_options *o, const struct config_volume *v,
	struct volume_client **ret, struct error *err);
/* Without a word to CAS; the lease stays until its term is over. NULL is fine. */
void volume_client_free(struct volume_client *c);

/* Ask for the lease. While another application instance has it, ask again for wait_ms, a second apart. ERR_EXISTS: it still has it. ERR_CONFLICT: the
 * session has changed, attest anew. place: the same 32 bytes for everybody who takes the same local lock; the caller holds that lock. */
MUST_USE int volume_client_open(struct volume_client *c, const uint8_t place[VOLUME_PLACE_LEN], int wait_ms,
	struct volume_lease *ret, struct error *err);

/* May the state that was found be used? found NULL: there is no volume at the host. mark: that of the volume. *ret_create: there is none, and there need
 * not be. ERR_CONFLICT names both generations, the one found and the one that CAS has. */
MUST_USE int volume_client_check(const struct volume_client *c, const struct volume_state *found,
	uint64_t mark, bool *ret_create, struct error *err);

enum volume_client_event {
	VOLUME_CLIENT_LOGGED, /* an fsync is durable */
	VOLUME_CLIENT_COMMITTED,
	VOLUME_CLIENT_SYNC, /* CAS must have it, whatever the policy (step 4) */
};
/*
 * The version is durable and about to be acknowledged. 0: it may be. By policy:
 *   strict                  CAS has it
 *   rollback_protected      CAS has it, or gets it with the next call that comes after the window; LOGGED within the window is only noted
 *   ephemeral               nothing, but for the first state of a new volume
 *   no_rollback_protection  nothing
 * ERR_IO, ERR_PEER: CAS could not be reached, or was cut off (rollback_protected: for longer than the patience). The next call tries again.
 */
MUST_USE int volume_client_publish(struct volume_client *c, enum volume_client_event event,
	const struct volume_state *version, struct error *err);
/* Bring what is noted to CAS, and give a sign of life when a third of the term is over. Cheap when there is nothing to do. */
MUST_USE int volume_client_tick(struct volume_client *c, struct error *err);
/* Close the connection, if this process has one; the next call makes another. Before a fork after which the child closes descriptors. */
void volume_client_rest(struct volume_client *c);
/* The last version, and the lease back. Nothing to do without a lease. */
MUST_USE int volume_client_close(
	struct volume_client *c, const struct volume_state *version, struct error *err);

/* The lease back without a version: the volume was not used, and CAS keeps what it has. Nothing to do without a lease. */
MUST_USE int volume_client_give_back(struct volume_client *c, struct error *err);

/* What a process that execve replaces hands to its successor: everything but what options give anew. What is shared stays where it is; without shared
 * memory it is handed over, too. out is a secret buf. */
MUST_USE int volume_client_pack(const struct volume_client *c, struct buf *out, struct error *err);
MUST_USE int volume_client_unpack(const struct volume_client_options *o, const void *p, size_t n,
	struct volume_client **ret, struct error *err);

#endif
