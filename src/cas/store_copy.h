/*
 * store_copy: all records of one store into another: backup, restore, and the way from SQLite to etcd. What is copied stays sealed: no key is needed.
 *
 * A backup is a directory with cas.db, master.sealed and audit.log. It is as secret as these are: useless without the TEE that sealed the key.
 */
#ifndef SCONE_CAS_STORE_COPY_H
#define SCONE_CAS_STORE_COPY_H

#include "cas/state.h"

/* One snapshot of from into to, which must be empty (ERR_EXISTS). After a failure to is incomplete, which sealed_store_open will say. */
MUST_USE int store_copy(struct store *from, struct store *to, uint64_t *ret_count, struct error *err);

/* The state directory p->dir, in use or not, into the directory where, which must not exist. *ret_count: records. */
MUST_USE int store_backup(
	const struct state_place *p, const char *where, uint64_t *ret_count, struct error *err);
/* A backup into the state directory p->dir, which must not have a master key, and, with p->store, into that store. The audit log and the key are taken over
 * as they are. */
MUST_USE int store_restore(
	const struct state_place *p, const char *where, uint64_t *ret_count, struct error *err);

#endif
