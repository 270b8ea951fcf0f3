#include "cas/sealed_impl.h"

#include <stdlib.h>
#include <string.h>
#include "core/encode.h"
#include "core/secret.h"
#include "host/secret_arena.h"

#define COUNTER_NAME "openscone-cas-"

int sealed_head_write_form(
	const struct sealed_store *ss, const struct sealed_head *h, struct buf *out, struct error *err)
{
	return sealed_head_seal(h, ss->keys.value, ss->keys.head, out, err);
}

static int derive(struct sealed_store *ss, const uint8_t master[SEALED_MASTER_LEN], struct error *err)
{
	uint8_t name[16];

	if (hkdf_sha256(master, SEALED_MASTER_LEN, NULL, 0, "openscone-cas-counter", name, sizeof(name), err))
		return -1;
	memcpy(ss->counter_label, COUNTER_NAME, sizeof(COUNTER_NAME));
	hex_encode(name, sizeof(name), ss->counter_label + sizeof(COUNTER_NAME) - 1);
	return sealed_keys_derive(master, &ss->keys, err);
}

static int new_sealed_store(struct store *s, const uint8_t master[SEALED_MASTER_LEN],
	struct sealed_store **ret, struct error *err)
{
	struct sealed_store *ss = secret_arena_get(sizeof(*ss), false);

	if (!ss)
		return error_set(err, ERR_NOMEM, "out of memory");
	ss->store = s;
	record_index_init(&ss->index);
	buf_init(&ss->head_sealed, SEALED_HEAD_SEALED_LEN);
	if (derive(ss, master, err)) {
		sealed_store_close(ss);
		return -1;
	}
	*ret = ss;
	return 0;
}

void sealed_store_close(struct sealed_store *ss)
{
	if (!ss)
		return;
	sealed_store_rollback(ss);
	free(ss->undo);
	record_index_free(&ss->index);
	buf_free(&ss->head_sealed);
	secret_arena_put(ss, sizeof(*ss), false);
}

static int refuse_any(
	void *arg, const uint8_t *key, size_t klen, const void *value, size_t len, struct error *err)
{
	return error_set(err, ERR_EXISTS, "the new database is not empty");
}

int sealed_store_create(struct store *s, const uint8_t master[SEALED_MASTER_LEN], struct sealed_store **ret,
	struct error *err)
{
	struct sealed_store *ss = NULL;
	struct store_change change = {0};
	struct store_guard guard = {0};

	if (s->ops->each(s, refuse_any, NULL, err) || new_sealed_store(s, master, &ss, err))
		return -1;
	if (sealed_head_write_form(ss, &ss->head, &ss->head_sealed, err))
		goto fail;
	memcpy(change.key, ss->keys.head, STORE_KEY_LEN);
	memcpy(guard.key, ss->keys.head, STORE_KEY_LEN);
	change.value = ss->head_sealed.data;
	change.len = ss->head_sealed.len;
	if (s->ops->apply(s, &change, 1, &guard, err))
		goto fail;
	*ret = ss;
	return 0;
fail:
	sealed_store_close(ss);
	return -1;
}

/* --- the walk over all records --- */

struct scan {
	struct sealed_store *ss;
	bool head_seen;
	struct sealed_head found; /* count and sum of the records that are there */
};

static int index_record(struct scan *sc, const uint8_t key[STORE_KEY_LEN], const void *value, size_t len,
	const struct sealed_record *record, struct error *err)
{
	struct sealed_store *ss = sc->ss;
	uint8_t digest[SHA256_LEN], element[SHA256_LEN];
	struct record_entry *e = NULL;

	if (record_index_find(&ss->index, key))
		return error_set(
			err, ERR_CRYPTO, "a record is in the database twice: it was copied outside of CAS");
	sha256(value, len, digest);
	if (record_index_reserve(&ss->index, 1, err))
		return -1;
	e = record_entry_new(key, digest, record->table, record->name);
	if (!e)
		return error_set(
			err, ERR_NOMEM, "out of memory for an index of %zu records", ss->index.count);
	record_index_add(&ss->index, e);
	if (ss->store->ops->shared) {
		buf_put(&e->value, value, len);
		record_index_cache(&ss->index, e, SEALED_CACHE_BYTES);
	}
	sealed_record_element(&ss->keys, key, digest, element);
	sealed_head_add(&sc->found, element);
	return 0;
}

static int scan_visit(
	void *arg, const uint8_t *key, size_t klen, const void *value, size_t len, struct error *err)
{
	struct sealed_record record;
	struct scan *sc = arg;
	struct sealed_store *ss = sc->ss;
	int rc;

	if (klen != STORE_KEY_LEN || !key || !value)
		return error_set(err, ERR_CRYPTO,
			"a record's key has %zu bytes, wanted %d: it was added outside of CAS", klen,
			STORE_KEY_LEN);
	if (memcmp(key, ss->keys.head, STORE_KEY_LEN)) {
		rc = sealed_record_open(&ss->keys, key, value, len, &record, err);
		if (!rc)
			rc = index_record(sc, key, value, len, &record, err);
		sealed_record_free(&record);
		return rc;
	}
	if (sc->head_seen)
		return error_set(
			err, ERR_CRYPTO, "the database has two head records: one was added outside of CAS");
	sc->head_seen = true;
	if (sealed_head_open(value, len, ss->keys.value, ss->keys.head, &ss->committed, err))
		return -1;
	buf_reset(&ss->head_sealed);
	buf_put(&ss->head_sealed, value, len);
	return ss->head_sealed.failed ? error_set(err, ERR_NOMEM, "out of memory") : 0;
}

int sealed_store_compare(const struct sealed_head *want, const struct sealed_head *found, struct error *err)
{
	if (want->count != found->count)
		return error_set(err, ERR_CRYPTO,
			"the head (generation %llu) counts %llu records, the database holds %llu: records "
			"were %s",
			(unsigned long long)want->generation, (unsigned long long)want->count,
			(unsigned long long)found->count, want->count > found->count ? "deleted" : "added");
	if (!secret_equal(want->sum, found->sum, SHA256_LEN))
		return error_set(err, ERR_CRYPTO,
			"the hash over all %llu records is not the one in the head (generation %llu): a "
			"record or the head was put back to an older "
			"state",
			(unsigned long long)found->count, (unsigned long long)want->generation);
	return 0;
}

int sealed_store_read_all(struct sealed_store *ss, struct error *err)
{
	struct scan sc = {.ss = ss};

	ss->stale = true;
	record_index_free(&ss->index);
	if (ss->store->ops->each(ss->store, scan_visit, &sc, err))
		return -1;
	if (!sc.head_seen)
		return error_set(err, ERR_CRYPTO,
			"the database has no head record that this CAS wrote: it was deleted, or the "
			"database belongs to another master key");
	if (sealed_store_compare(&ss->committed, &sc.found, err))
		return -1;
	ss->head = ss->committed;
	ss->stale = false;
	return 0;
}

int sealed_store_open(struct store *s, const uint8_t master[SEALED_MASTER_LEN], struct sealed_store **ret,
	struct error *err)
{
	struct sealed_store *ss = NULL;

	if (new_sealed_store(s, master, &ss, err))
		return -1;
	if (sealed_store_read_all(ss, err)) {
		sealed_store_close(ss);
		return -1;
	}
	*ret = ss;
	return 0;
}

/* --- reading --- */

bool sealed_store_has(struct sealed_store *ss, const char *table, const char *name)
{
	uint8_t key[STORE_KEY_LEN];

	return !sealed_record_key(&ss->keys, table, name, key, NULL) && record_index_find(&ss->index, key);
}

/* Another record than the one that was there at begin: was it another CAS that changed it? True, or not known, with err. */
static bool is_overtaken(struct sealed_store *ss, const struct record_entry *e, struct error *err)
{
	bool moved;

	if (!ss->store->ops->shared || !ss->begun)
		return false;
	if (sealed_shared_moved(ss, &moved, err))
		return true;
	if (!moved)
		return false;
	ss->overtaken = true;
	error_set(err, ERR_UNAVAILABLE, "%s \"%s\": another CAS has just changed it: try again", e->table,
		e->name);
	return true;
}

/* The stored bytes of e, from the store; they are what they were when they were seen last. */
static int fetch(struct sealed_store *ss, const struct record_entry *e, struct buf *value, struct error *err)
{
	uint8_t digest[SHA256_LEN];
	struct error why = {0};

	if (ss->store->ops->get(ss->store, e->key, value, &why)) {
		if (why.code == ERR_NOT_FOUND && is_overtaken(ss, e, err))
			return -1;
		/* The index knows it, so absence is no answer to give. */
		if (why.code == ERR_NOT_FOUND)
			return error_set(err, ERR_CRYPTO, "%s \"%s\": its record was deleted outside of CAS",
				e->table, e->name);
		return error_set(err, why.code, "%s \"%s\": %s", e->table, e->name, why.text);
	}
	sha256(value->data, value->len, digest);
	if (!secret_equal(digest, e->digest, SHA256_LEN)) {
		if (is_overtaken(ss, e, err))
			return -1;
		return error_set(err, ERR_CRYPTO,
			"%s \"%s\": its record was changed outside of CAS since it was read last", e->table,
			e->name);
	}
	return 0;
}

static int open_entry(struct sealed_store *ss, const struct record_entry *e, const struct buf *value,
	struct buf *out, struct error *err)
{
	struct sealed_record record;
	int rc = sealed_record_open(&ss->keys, e->key, value->data, value->len, &record, err);

	if (!rc) {
		buf_put(out, record.content, record.len);
		if (out->failed)
			rc = error_set(err, ERR_NOMEM, "%s \"%s\": %zu bytes do not fit", e->table, e->name,
				record.len);
	}
	sealed_record_free(&record);
	return rc;
}

int sealed_store_get(
	struct sealed_store *ss, const char *table, const char *name, struct buf *out, struct error *err)
{
	uint8_t key[STORE_KEY_LEN];
	struct record_entry *e;
	struct buf value;
	int rc;

	/* What is not acknowledged is no basis for an answer. */
	if ((ss->unsettled && sealed_counter_resume(ss, err)) ||
		sealed_record_key(&ss->keys, table, name, key, err))
		return -1;
	e = record_index_find(&ss->index, key);
	if (!e)
		return error_set(err, ERR_NOT_FOUND, "no %s \"%s\"", table, name);
	if (e->cached)
		record_index_used(&ss->index, e);
	if (e->value.len)
		return open_entry(ss, e, &e->value, out, err);
	buf_init(&value, STORE_VALUE_MAX);
	rc = fetch(ss, e, &value, err);
	if (!rc)
		rc = open_entry(ss, e, &value, out, err);
	if (!rc && ss->store->ops->shared) {
		e->value = value;
		record_index_cache(&ss->index, e, SEALED_CACHE_BYTES);
	} else {
		buf_free(&value);
	}
	return rc;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int sealed_store_names(
	struct sealed_store *ss, const char *table, char ***ret, size_t *ret_count, struct error *err)
{
	char **names = calloc(ss->index.count + 1, sizeof(char *));
	size_t n = 0;

	if (!names)
		return error_set(err, ERR_NOMEM, "out of memory");
	for (size_t i = 0; i < ss->index.bucket_count; i++) {
		for (const struct record_entry *e = ss->index.buckets[i]; e; e = e->next) {
			if (strcmp(e->table, table))
				continue;
			names[n] = strdup(e->name);
			if (!names[n]) {
				while (n > 0)
					free(names[--n]);
				free(names);
				return error_set(err, ERR_NOMEM, "out of memory");
			}
			n++;
		}
	}
	qsort(names, n, sizeof(char *), by_text);
	*ret = names;
	*ret_count = n;
	return 0;
}

size_t sealed_store_count(const struct sealed_store *ss, const char *table)
{
	size_t n = 0;

	for (size_t i = 0; i < ss->index.bucket_count; i++)
		for (const struct record_entry *e = ss->index.buckets[i]; e; e = e->next)
			n += !strcmp(e->table, table);
	return n;
}

uint64_t sealed_store_generation(const struct sealed_store *ss)
{
	return ss->committed.generation + (ss->undo_count > 0);
}

uint64_t sealed_store_next(const struct sealed_store *ss)
{
	return ss->committed.generation + 1;
}

bool sealed_store_shared(const struct sealed_store *ss)
{
	return ss->store->ops->shared;
}
