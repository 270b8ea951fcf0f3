/*
 * store: where CAS keeps its records. An implementation sees opaque keys and sealed values only (sealed_store.h), so it needs to be
 * durable, not trusted.
 *
 * A store maps 32-byte keys to values. All writing is apply(): one batch, all of it or nothing, durable when it returns 0.
 */
#ifndef SCONE_CAS_STORE_H
#define SCONE_CAS_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "core/buf.h"
#include "core/error.h"

#define STORE_KEY_LEN 32
#define STORE_VALUE_MAX (4 * 1024 * 1024)
#define STORE_FETCH_MAX 32

struct store_change {
	uint8_t key[STORE_KEY_LEN];
	const void *value; /* borrowed; NULL: remove the record (absent is fine) */
	size_t len; /* at most STORE_VALUE_MAX */
};

/* The batch is applied only if the record of this key holds exactly these bytes (NULL: does not exist). */
struct store_guard {
	uint8_t key[STORE_KEY_LEN];
	const void *value;
	size_t len;
};

/* value is valid during the call only. Non-zero ends the walk. */
typedef int (*store_visit)(
	void *arg, const uint8_t *key, size_t klen, const void *value, size_t len, struct error *err);

struct store;

struct store_ops {
	const char *name;
	/* create: where must not exist yet; else it must. */
	int (*open)(const char *where, bool create, struct store **ret, struct error *err);
	void (*close)(struct store *s); /* NULL is fine */
	/* Append the value to out; ERR_NOT_FOUND without text about the key's meaning. */
	int (*get)(struct store *s, const uint8_t key[STORE_KEY_LEN], struct buf *out, struct error *err);
	/* Every record of one snapshot, in any order; 0, or what visit returned. */
	int (*each)(struct store *s, store_visit visit, void *arg, struct error *err);
	/* ERR_CONFLICT: the guard does not hold, nothing was written (a shared store: or this very batch was, by an attempt whose answer was lost).
	 * ERR_LIMIT: nothing was written. Any other failure: nothing was acknowledged; in a shared store it may be there all the same, even later. */
	int (*apply)(struct store *s, const struct store_change *changes, size_t n,
		const struct store_guard *guard, struct error *err);

	/* A shared store has several writers, each with the sealed store's head as guard. */
	bool shared;
	size_t changes_max, bytes_max; /* of one batch; 0: no limit */
	/* Shared only. The values of n keys, n at most STORE_FETCH_MAX, at one moment after the call began: ret[i], initialised by the caller, holds the
	 * value, or nothing if there is no such record. */
	int (*fetch)(struct store *s, const uint8_t (*keys)[STORE_KEY_LEN], size_t n, struct buf *ret,
		struct error *err);
};

struct store {
	const struct store_ops *ops;
	/* the implementation's fields follow in its own struct */
};

extern const struct store_ops store_sqlite_ops; /* where: path of the database file */
extern const struct store_ops store_etcd_ops; /* where: etcd.h */

#endif
