#include <stdlib.h>
#include <string.h>
#include "cas/counter.h"
#include "cas/record_index.h"
#include "cas/sealed_head.h"
#include "cas/sealed_store.h"
#include "core/encode.h"
#include "core/secret.h"
#include "crypto/aead.h"
#include "crypto/hash.h"
#include "host/secret_arena.h"

#define RECORD_DOMAIN "openscone-record-v1" /* with its NUL */
#define GENERATION_LEN 8
#define COUNTER_NAME "openscone-cas-"

struct sealed_store {
	struct store *store; /* borrowed */
	/* All of this struct lies in a secret_arena. */
	uint8_t name_key[32], value_key[32], set_key[32];
	uint8_t head_key[STORE_KEY_LEN];
	struct sealed_head head;
	struct buf head_sealed; /* the head's bytes in the store */
	struct record_index index;
	char counter_label[COUNTER_LABEL_MAX];
	struct counter counter;
	bool unsettled; /* the head is written, and the counter may not have its value yet */
	bool spoilt; /* the next value of the counter may be in a database that a failed write left */
};

static void put_u64(uint8_t *p, uint64_t v)
{
	for (int i = 7; i >= 0; i--, v >>= 8)
		p[i] = (uint8_t)v;
}

/* What one record adds to the sum. */
static void set_element(const struct sealed_store *ss, const uint8_t key[STORE_KEY_LEN],
	const uint8_t digest[SHA256_LEN], uint8_t ret[SHA256_LEN])
{
	uint8_t both[STORE_KEY_LEN + SHA256_LEN];

	memcpy(both, key, STORE_KEY_LEN);
	memcpy(both + STORE_KEY_LEN, digest, SHA256_LEN);
	hmac_sha256(ss->set_key, sizeof(ss->set_key), both, sizeof(both), ret);
}

static int record_key(const struct sealed_store *ss, const char *table, const char *name,
	uint8_t ret[STORE_KEY_LEN], struct error *err)
{
	struct buf b;
	int rc = 0;

	buf_init(&b, 8192);
	buf_put(&b, table, strlen(table) + 1);
	buf_put(&b, name, strlen(name));
	if (b.failed)
		rc = error_set(err, ERR_LIMIT, "record name of %zu bytes is too long", strlen(name));
	else
		hmac_sha256(ss->name_key, sizeof(ss->name_key), b.data, b.len, ret);
	buf_free(&b);
	return rc;
}

static size_t record_aad(const uint8_t key[STORE_KEY_LEN], const uint8_t generation[GENERATION_LEN],
	uint8_t ret[sizeof(RECORD_DOMAIN) + STORE_KEY_LEN + GENERATION_LEN])
{
	memcpy(ret, RECORD_DOMAIN, sizeof(RECORD_DOMAIN));
	memcpy(ret + sizeof(RECORD_DOMAIN), key, STORE_KEY_LEN);
	memcpy(ret + sizeof(RECORD_DOMAIN) + STORE_KEY_LEN, generation, GENERATION_LEN);
	return sizeof(RECORD_DOMAIN) + STORE_KEY_LEN + GENERATION_LEN;
}

static int record_seal(const struct sealed_store *ss, const uint8_t key[STORE_KEY_LEN], uint64_t generation,
	const struct sealed_change *c, struct buf *out, struct error *err)
{
	uint8_t aad[sizeof(RECORD_DOMAIN) + STORE_KEY_LEN + GENERATION_LEN], gen[GENERATION_LEN];
	struct buf plain;
	size_t aad_len;
	int rc;

	put_u64(gen, generation);
	aad_len = record_aad(key, gen, aad);
	buf_init_secret(&plain, STORE_VALUE_MAX);
	buf_put_block(&plain, c->table, strlen(c->table));
	buf_put_block(&plain, c->name, strlen(c->name));
	buf_put(&plain, c->content, c->len);
	buf_put(out, gen, sizeof(gen));
	if (plain.failed || out->failed)
		rc = error_set(err, ERR_NOMEM, "out of memory for a record of %zu bytes", c->len);
	else
		rc = aead_seal(ss->value_key, aad, aad_len, plain.data, plain.len, out, err);
	buf_free(&plain);
	return rc;
}

static int record_open(const struct sealed_store *ss, const uint8_t key[STORE_KEY_LEN], const uint8_t *value,
	size_t len, struct buf *plain, struct error *err)
{
	uint8_t aad[sizeof(RECORD_DOMAIN) + STORE_KEY_LEN + GENERATION_LEN];
	size_t aad_len;
	char hex[17];

	hex_encode(key, 8, hex);
	if (len < GENERATION_LEN + AEAD_OVERHEAD)
		return error_set(err, ERR_CRYPTO,
			"record %s… has %zu bytes, fewer than any record: it was changed outside of CAS", hex,
			len);
	aad_len = record_aad(key, value, aad);
	if (aead_open(ss->value_key, aad, aad_len, value + GENERATION_LEN, len - GENERATION_LEN, plain, NULL))
		return error_set(err, ERR_CRYPTO,
			"record %s… does not authenticate: it was changed, or moved there from another place",
			hex);
	return 0;
}

/* table and name point into plain; the content is what is left of *r. */
static int record_split(
	const struct buf *plain, struct rd *r, struct buf *table, struct buf *name, struct error *err)
{
	const uint8_t *p;
	size_t n;

	rd_init(r, plain->data, plain->len);
	p = rd_block(r, 64, &n);
	if (p)
		buf_put(table, p, n);
	p = rd_block(r, 8192, &n);
	if (p)
		buf_put(name, p, n);
	if (r->failed || !buf_cstr(table) || !buf_cstr(name))
		return error_set(err, ERR_INTERNAL, "a record that authenticates has no table and name");
	return 0;
}

static int head_seal(
	const struct sealed_store *ss, const struct sealed_head *h, struct buf *out, struct error *err)
{
	return sealed_head_seal(h, ss->value_key, ss->head_key, out, err);
}

static int head_open(struct sealed_store *ss, const void *value, size_t len, struct error *err)
{
	if (sealed_head_open(value, len, ss->value_key, ss->head_key, &ss->head, err))
		return -1;
	buf_put(&ss->head_sealed, value, len);
	return ss->head_sealed.failed ? error_set(err, ERR_NOMEM, "out of memory") : 0;
}

static int derive(struct sealed_store *ss, const uint8_t master[SEALED_MASTER_LEN], struct error *err)
{
	uint8_t name[16];

	if (hkdf_sha256(master, SEALED_MASTER_LEN, NULL, 0, "openscone-cas-counter", name, sizeof(name), err))
		return -1;
	memcpy(ss->counter_label, COUNTER_NAME, sizeof(COUNTER_NAME));
	hex_encode(name, sizeof(name), ss->counter_label + sizeof(COUNTER_NAME) - 1);
	if (hkdf_sha256(master, SEALED_MASTER_LEN, NULL, 0, "openscone-cas-record-names", ss->name_key, 32,
		    err) ||
		hkdf_sha256(master, SEALED_MASTER_LEN, NULL, 0, "openscone-cas-record-values", ss->value_key,
			32, err) ||
		hkdf_sha256(
			master, SEALED_MASTER_LEN, NULL, 0, "openscone-cas-record-set", ss->set_key, 32, err))
		return -1;
	hmac_sha256(ss->name_key, sizeof(ss->name_key), "head", 4, ss->head_key);
	return 0;
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
	if (head_seal(ss, &ss->head, &ss->head_sealed, err))
		goto fail;
	memcpy(change.key, ss->head_key, STORE_KEY_LEN);
	memcpy(guard.key, ss->head_key, STORE_KEY_LEN);
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

/* The walk over all records at open. */
struct scan {
	struct sealed_store *ss;
	bool head_seen;
	struct sealed_head found; /* count and sum of the records that are there */
};

static int scan_record(
	struct scan *sc, const uint8_t key[STORE_KEY_LEN], const void *value, size_t len, struct error *err)
{
	struct sealed_store *ss = sc->ss;
	uint8_t digest[SHA256_LEN], element[SHA256_LEN];
	struct record_entry *e = NULL;
	struct buf plain, table, name;
	struct rd r;
	int rc = -1;

	buf_init_secret(&plain, STORE_VALUE_MAX);
	buf_init(&table, 128);
	buf_init(&name, 8192 + 1);
	if (record_open(ss, key, value, len, &plain, err) || record_split(&plain, &r, &table, &name, err))
		goto out;
	if (record_index_find(&ss->index, key)) {
		error_set(err, ERR_CRYPTO, "a record is in the database twice: it was copied outside of CAS");
		goto out;
	}
	sha256(value, len, digest);
	if (record_index_reserve(&ss->index, 1, err))
		goto out;
	e = record_entry_new(key, digest, buf_cstr(&table), buf_cstr(&name));
	if (!e) {
		error_set(err, ERR_NOMEM, "out of memory for an index of %zu records", ss->index.count);
		goto out;
	}
	record_index_add(&ss->index, e);
	set_element(ss, key, digest, element);
	sealed_head_add(&sc->found, element);
	rc = 0;
out:
	buf_free(&plain);
	buf_free(&table);
	buf_free(&name);
	return rc;
}

static int scan_visit(
	void *arg, const uint8_t *key, size_t klen, const void *value, size_t len, struct error *err)
{
	struct scan *sc = arg;

	if (klen != STORE_KEY_LEN || !key || !value)
		return error_set(err, ERR_CRYPTO,
			"a record's key has %zu bytes, wanted %d: it was added outside of CAS", klen,
			STORE_KEY_LEN);
	if (memcmp(key, sc->ss->head_key, STORE_KEY_LEN))
		return scan_record(sc, key, value, len, err);
	if (sc->head_seen)
		return error_set(
			err, ERR_CRYPTO, "the database has two head records: one was added outside of CAS");
	sc->head_seen = true;
	return head_open(sc->ss, value, len, err);
}

static int compare_with_head(const struct scan *sc, struct error *err)
{
	const struct sealed_head *want = &sc->ss->head, *found = &sc->found;

	if (!sc->head_seen)
		return error_set(err, ERR_CRYPTO,
			"the database has no head record that this CAS wrote: it was deleted, or the "
			"database belongs to another master key");
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

int sealed_store_open(struct store *s, const uint8_t master[SEALED_MASTER_LEN], struct sealed_store **ret,
	struct error *err)
{
	struct scan sc = {0};

	if (new_sealed_store(s, master, &sc.ss, err))
		return -1;
	if (s->ops->each(s, scan_visit, &sc, err) || compare_with_head(&sc, err)) {
		sealed_store_close(sc.ss);
		return -1;
	}
	*ret = sc.ss;
	return 0;
}

static int resume(struct sealed_store *ss, struct error *err);

bool sealed_store_has(struct sealed_store *ss, const char *table, const char *name)
{
	uint8_t key[STORE_KEY_LEN];

	return !record_key(ss, table, name, key, NULL) && record_index_find(&ss->index, key);
}

int sealed_store_get(
	struct sealed_store *ss, const char *table, const char *name, struct buf *out, struct error *err)
{
	uint8_t key[STORE_KEY_LEN], digest[SHA256_LEN];
	const struct record_entry *e;
	struct buf value, plain, stable, sname;
	struct rd r;
	struct error why = {0};
	int rc = -1;

	/* What is not acknowledged is no basis for an answer. */
	if ((ss->unsettled && resume(ss, err)) || record_key(ss, table, name, key, err))
		return -1;
	e = record_index_find(&ss->index, key);
	if (!e)
		return error_set(err, ERR_NOT_FOUND, "no %s \"%s\"", table, name);
	buf_init(&value, STORE_VALUE_MAX);
	buf_init_secret(&plain, STORE_VALUE_MAX);
	buf_init(&stable, 128);
	buf_init(&sname, 8192 + 1);
	if (ss->store->ops->get(ss->store, key, &value, &why)) {
		/* The index knows it, so absence is no answer to give. */
		if (why.code == ERR_NOT_FOUND)
			error_set(err, ERR_CRYPTO, "%s \"%s\": its record was deleted outside of CAS", table,
				name);
		else
			error_set(err, why.code, "%s \"%s\": %s", table, name, why.text);
		goto out;
	}
	sha256(value.data, value.len, digest);
	if (!secret_equal(digest, e->digest, SHA256_LEN)) {
		error_set(err, ERR_CRYPTO,
			"%s \"%s\": its record was changed outside of CAS since it was read last", table,
			name);
		goto out;
	}
	if (record_open(ss, key, value.data, value.len, &plain, err) ||
		record_split(&plain, &r, &stable, &sname, err))
		goto out;
	buf_put(out, r.p, r.left);
	rc = out->failed ? error_set(err, ERR_NOMEM, "%s \"%s\": %zu bytes do not fit", table, name, r.left)
			 : 0;
out:
	buf_free(&value);
	buf_free(&plain);
	buf_free(&stable);
	buf_free(&sname);
	return rc;
}

/* One batch on its way: what goes to the store, and what becomes of the index when it is there. */
struct batch {
	struct store_change *changes; /* n records, then the head */
	struct buf *values; /* owns their bytes */
	struct record_entry **entries; /* new index entries; NULL where a record goes */
	size_t n;
	struct sealed_head head;
	struct buf head_sealed;
};

static void batch_free(struct batch *b)
{
	for (size_t i = 0; i < b->n; i++) {
		if (b->values)
			buf_free(&b->values[i]);
		if (b->entries)
			record_entry_free(b->entries[i]);
	}
	buf_free(&b->head_sealed);
	free(b->changes);
	free(b->values);
	free(b->entries);
}

static int batch_record(
	struct sealed_store *ss, struct batch *b, size_t i, const struct sealed_change *c, struct error *err)
{
	struct store_change *out = &b->changes[i];
	uint8_t element[SHA256_LEN], digest[SHA256_LEN];
	const struct record_entry *old;

	if (record_key(ss, c->table, c->name, out->key, err))
		return -1;
	old = record_index_find(&ss->index, out->key);
	if (old) {
		set_element(ss, out->key, old->digest, element);
		sealed_head_remove(&b->head, element);
	}
	if (!c->content)
		return 0;
	if (c->len > SEALED_CONTENT_MAX)
		return error_set(err, ERR_LIMIT, "%s \"%s\": %zu bytes are over the limit of %d", c->table,
			c->name, c->len, SEALED_CONTENT_MAX);
	if (record_seal(ss, out->key, b->head.generation, c, &b->values[i], err))
		return -1;
	out->value = b->values[i].data;
	out->len = b->values[i].len;
	sha256(out->value, out->len, digest);
	b->entries[i] = record_entry_new(out->key, digest, c->table, c->name);
	if (!b->entries[i])
		return error_set(err, ERR_NOMEM, "out of memory");
	set_element(ss, out->key, digest, element);
	sealed_head_add(&b->head, element);
	return 0;
}

static int batch_prepare(
	struct sealed_store *ss, struct batch *b, const struct sealed_change *changes, struct error *err)
{
	b->changes = calloc(b->n + 1, sizeof(*b->changes));
	b->values = calloc(b->n, sizeof(*b->values));
	b->entries = calloc(b->n, sizeof(struct record_entry *));
	if (!b->changes || !b->values || !b->entries)
		return error_set(err, ERR_NOMEM, "out of memory for a batch of %zu records", b->n);
	for (size_t i = 0; i < b->n; i++)
		buf_init(&b->values[i], STORE_VALUE_MAX);
	b->head = ss->head;
	b->head.generation++;
	if (counter_present(&ss->counter))
		b->head.counter++;
	for (size_t i = 0; i < b->n; i++)
		if (batch_record(ss, b, i, &changes[i], err))
			return -1;
	if (record_index_reserve(&ss->index, b->n, err) || head_seal(ss, &b->head, &b->head_sealed, err))
		return -1;
	memcpy(b->changes[b->n].key, ss->head_key, STORE_KEY_LEN);
	b->changes[b->n].value = b->head_sealed.data;
	b->changes[b->n].len = b->head_sealed.len;
	return 0;
}

/* The store has it: nothing here can fail. */
static void batch_done(struct sealed_store *ss, struct batch *b)
{
	struct buf old = ss->head_sealed;

	for (size_t i = 0; i < b->n; i++) {
		if (b->entries[i])
			record_index_add(&ss->index, b->entries[i]);
		else
			record_index_remove(&ss->index, b->changes[i].key);
		b->entries[i] = NULL;
	}
	ss->head = b->head;
	ss->head_sealed = b->head_sealed;
	b->head_sealed = old;
}

/* The batch is in the store; it counts when the counter has its number. */
static int settle(struct sealed_store *ss, struct error *err)
{
	if (!counter_present(&ss->counter))
		return 0;
	ss->unsettled = true;
	if (counter_reach(&ss->counter, ss->head.counter, err))
		return -1;
	ss->unsettled = false;
	return 0;
}

/* The same records under another number. */
static int write_head(struct sealed_store *ss, uint64_t counter, struct error *err)
{
	struct store_guard guard = {.value = ss->head_sealed.data, .len = ss->head_sealed.len};
	struct store_change change = {0};
	struct sealed_head head = ss->head;
	struct buf sealed, old;
	int rc;

	head.counter = counter;
	buf_init(&sealed, SEALED_HEAD_SEALED_LEN);
	memcpy(guard.key, ss->head_key, STORE_KEY_LEN);
	memcpy(change.key, ss->head_key, STORE_KEY_LEN);
	rc = head_seal(ss, &head, &sealed, err);
	change.value = sealed.data;
	change.len = sealed.len;
	if (!rc)
		rc = ss->store->ops->apply(ss->store, &change, 1, &guard, err);
	if (!rc) {
		old = ss->head_sealed;
		ss->head_sealed = sealed;
		sealed = old;
		ss->head = head;
	}
	buf_free(&sealed);
	return rc;
}

/* After a failure: let the counter have the head's number if it has not, then use up one number (counter.h). */
static int resume(struct sealed_store *ss, struct error *err)
{
	uint64_t now;

	if (ss->unsettled) {
		if (counter_open(&ss->counter, ss->head.counter, &now, err))
			return -1;
		ss->unsettled = false;
		ss->spoilt = true;
	}
	if (!ss->spoilt)
		return 0;
	if (write_head(ss, ss->head.counter + 1, err) || settle(ss, err))
		return -1;
	ss->spoilt = false;
	return 0;
}

int sealed_store_bind(struct sealed_store *ss, struct tee *t, struct error *err)
{
	uint64_t now;

	/* A shared store has writers on several machines, each with a counter of its own. */
	counter_init(&ss->counter, ss->store->ops->shared ? NULL : t, ss->counter_label);
	if (!counter_present(&ss->counter)) {
		if (ss->head.counter)
			return error_set(err, ERR_CRYPTO,
				"the database is bound to value %llu of a counter, and TEE %s has no "
				"counters that could be compared with it",
				(unsigned long long)ss->head.counter, t->ops->name);
		return 0;
	}
	if (counter_open(&ss->counter, ss->head.counter, &now, err))
		return -1;
	if (!ss->head.counter)
		return write_head(ss, now, err);
	ss->spoilt = true;
	return resume(ss, err);
}

bool sealed_store_uncertain(const struct sealed_store *ss)
{
	return ss->unsettled;
}

int sealed_store_apply(
	struct sealed_store *ss, const struct sealed_change *changes, size_t n, struct error *err)
{
	struct store_guard guard;
	struct batch b = {.n = n};
	struct error why = {0};
	int rc = -1;

	if (resume(ss, err))
		return -1;
	guard = (struct store_guard){.value = ss->head_sealed.data, .len = ss->head_sealed.len};
	buf_init(&b.head_sealed, SEALED_HEAD_SEALED_LEN);
	memcpy(guard.key, ss->head_key, STORE_KEY_LEN);
	if (!batch_prepare(ss, &b, changes, err)) {
		rc = ss->store->ops->apply(ss->store, b.changes, n + 1, &guard, &why);
		if (!rc)
			batch_done(ss, &b);
		else
			error_set(err, why.code == ERR_CONFLICT ? ERR_CRYPTO : ERR_IO, "%s", why.text);
		ss->spoilt = rc && counter_present(&ss->counter);
		if (!rc)
			rc = settle(ss, err);
	}
	batch_free(&b);
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

uint64_t sealed_store_generation(const struct sealed_store *ss)
{
	return ss->head.generation;
}
