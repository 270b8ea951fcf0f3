/*
 * state: the directory a CAS lives in, opened by one CAS at a time.
 *
 *   lock            flock(2)ed while a CAS runs
 *   master.sealed   32-byte master key, sealed by the TEE under the label "cas-master-key"
 *   audit.log       what was done for whom (audit.h)
 *   cas.db          the records (sealed_store.h, store_sqlite.c), with -wal and -shm beside it
 *   tee/            what the TEE driver keeps
 *   replica         with a shared store: the name of this CAS in it, 32 hex digits
 *
 * First start: a complete database is made as cas.db.new, then master.sealed is written, then the database gets its name; so a crash leaves
 * either nothing that counts or a state that the next start completes. A database without master.sealed, or the other way round, is an error:
 * never a silent new beginning.
 *
 * With a shared store (store.h) there is no cas.db. The first CAS of all makes the master key and the store, and while it does there is also a file `founding`; all
 * others get the key from one that has it (replicas.h). A store that was there and is empty now is an error, too. Where the TEE seals nothing, the key is got again at each start,
 * and there is no master.sealed.
 */
#ifndef SCONE_CAS_STATE_H
#define SCONE_CAS_STATE_H

#include "cas/sealed_store.h"
#include "cas/store.h"
#include "core/error.h"
#include "core/secret.h"
#include "tee/tee.h"

struct state {
	char *dir; /* owned, absolute */
	int dir_fd, lock_fd;
	struct tee *tee;
	struct store *store;
	struct sealed_store *sealed;
	struct secret master; /* the key, where the TEE seals nothing; else empty */
	char *replica; /* owned; the name of this CAS in a shared store, hex; NULL: the store is not shared */
};

void state_init(struct state *s);
struct state_place {
	const char *dir;
	const struct tee_ops *tee;
	const char *store; /* NULL: cas.db; else where the shared one is (etcd.h) */
	/* Where a directory without master.sealed gets its key; NULL: it makes one, for a store that is made, too. */
	int (*fetch_master)(void *arg, struct tee *tee, uint8_t ret[SEALED_MASTER_LEN], struct error *err);
	void *arg;
};
/* ERR_EXISTS: another CAS has it. Any other failure says what is wrong with the directory. s is to be closed in either case. */
MUST_USE int state_open(struct state *s, const struct state_place *p, struct error *err);
/* Directory, lock and TEE only. */
MUST_USE int state_open_tee(struct state *s, const struct state_place *p, struct error *err);
/* The master key; appended to ret, a secret buf. */
MUST_USE int state_master(const struct state *s, struct buf *ret, struct error *err);
void state_close(struct state *s);
/* Write dir/name: whole or not at all, also after a crash. mode: permission bits. */
MUST_USE int state_write_file(
	int dir_fd, const char *name, const void *p, size_t n, unsigned mode, struct error *err);

#endif
