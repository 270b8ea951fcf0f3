#include <stdlib.h>
#include <string.h>
#include "cas/sealed_impl.h"

static void count_entry(struct sealed_store *ss, const struct record_entry *e,
	void (*f)(struct sealed_head *h, const uint8_t x[SHA256_LEN]))
{
	uint8_t element[SHA256_LEN];

	sealed_record_element(&ss->keys, e->key, e->digest, element);
	f(&ss->head, element);
}

static int undo_reserve(struct sealed_store *ss, struct error *err)
{
	size_t cap = ss->undo_cap ? ss->undo_cap * 2 : 32;
	struct sealed_undo *list;

	if (ss->undo_count < ss->undo_cap)
		return 0;
	list = reallocarray(ss->undo, cap, sizeof(*list));
	if (!list)
		return error_set(err, ERR_NOMEM, "out of memory for a batch of %zu changes", cap);
	ss->undo = list;
	ss->undo_cap = cap;
	return 0;
}

int sealed_stage(
	struct sealed_store *ss, const uint8_t key[STORE_KEY_LEN], struct record_entry *e, struct error *err)
{
	struct sealed_undo *u;

	if (undo_reserve(ss, err) || record_index_reserve(&ss->index, 1, err)) {
		record_entry_free(e);
		return -1;
	}
	u = &ss->undo[ss->undo_count++];
	memcpy(u->key, key, STORE_KEY_LEN);
	u->old = record_index_take(&ss->index, key);
	if (u->old)
		count_entry(ss, u->old, sealed_head_remove);
	if (e) {
		count_entry(ss, e, sealed_head_add);
		ss->staged_bytes += e->value.len;
		record_index_add(&ss->index, e);
	}
	return 0;
}

/* Back to when n changes were staged. */
static void undo_to(struct sealed_store *ss, size_t n)
{
	while (ss->undo_count > n) {
		struct sealed_undo *u = &ss->undo[--ss->undo_count];
		struct record_entry *e = record_index_take(&ss->index, u->key);

		if (e) {
			count_entry(ss, e, sealed_head_remove);
			ss->staged_bytes -= e->value.len;
			record_entry_free(e);
		}
		if (!u->old)
			continue;
		count_entry(ss, u->old, sealed_head_add);
		record_index_add(&ss->index, u->old);
		if (u->old->value.len && ss->store->ops->shared)
			record_index_cache(&ss->index, u->old, SEALED_CACHE_BYTES);
	}
}

static int stage_change(struct sealed_store *ss, const struct sealed_change *c, struct error *err)
{
	uint8_t key[STORE_KEY_LEN], digest[SHA256_LEN];
	struct record_entry *e;
	struct buf value;

	if (sealed_record_key(&ss->keys, c->table, c->name, key, err))
		return -1;
	if (!c->content)
		return sealed_stage(ss, key, NULL, err);
	if (c->len > SEALED_CONTENT_MAX)
		return error_set(err, ERR_LIMIT, "%s \"%s\": %zu bytes are over the limit of %d", c->table,
			c->name, c->len, SEALED_CONTENT_MAX);
	buf_init(&value, STORE_VALUE_MAX);
	if (sealed_record_seal(&ss->keys, key, ss->committed.generation + 1, c->table, c->name, c->content,
		    c->len, &value, err)) {
		buf_free(&value);
		return -1;
	}
	sha256(value.data, value.len, digest);
	e = record_entry_new(key, digest, c->table, c->name);
	if (!e) {
		buf_free(&value);
		return error_set(err, ERR_NOMEM, "out of memory");
	}
	e->value = value;
	return sealed_stage(ss, key, e, err);
}

int sealed_store_begin(struct sealed_store *ss, struct error *err)
{
	if (ss->begun)
		return error_set(err, ERR_INTERNAL, "a transaction within a transaction");
	if (sealed_counter_resume(ss, err) || (ss->store->ops->shared && sealed_shared_refresh(ss, err)))
		return -1;
	ss->begun = true;
	ss->overtaken = false;
	return 0;
}

void sealed_store_rollback(struct sealed_store *ss)
{
	undo_to(ss, 0);
	ss->begun = false;
	ss->overtaken = false;
}

bool sealed_store_staged(const struct sealed_store *ss)
{
	return ss->undo_count > 0;
}

bool sealed_store_overtaken(const struct sealed_store *ss)
{
	return ss->overtaken;
}

bool sealed_store_full(const struct sealed_store *ss)
{
	const struct store_ops *ops = ss->store->ops;

	/* Half of it: the next request's changes are to find room, too. */
	return (ops->changes_max && ss->undo_count > ops->changes_max / 2) ||
	       (ops->bytes_max && ss->staged_bytes > ops->bytes_max / 2);
}

void sealed_store_refuse(struct sealed_store *ss, const struct error *why)
{
	ss->refusal = why ? *why : (struct error){0};
}

int sealed_store_refuses(const struct sealed_store *ss, struct error *err)
{
	if (!ss->refusal.text[0])
		return 0;
	if (err)
		*err = ss->refusal;
	return -1;
}

/* The last state of each record that was changed. */
static size_t collect(struct sealed_store *ss, struct store_change *ret)
{
	size_t n = 0;

	for (size_t i = 0; i < ss->undo_count; i++) {
		const uint8_t *key = ss->undo[i].key;
		const struct record_entry *e;
		size_t j = 0;

		while (j < n && memcmp(ret[j].key, key, STORE_KEY_LEN))
			j++;
		if (j < n)
			continue;
		e = record_index_find(&ss->index, key);
		memcpy(ret[n].key, key, STORE_KEY_LEN);
		ret[n].value = e ? e->value.data : NULL;
		ret[n].len = e ? e->value.len : 0;
		n++;
	}
	return n;
}

/* The store has it: nothing here can fail. */
static void finish(struct sealed_store *ss, const struct sealed_head *head, struct buf *head_sealed)
{
	struct buf old = ss->head_sealed;

	for (size_t i = 0; i < ss->undo_count; i++) {
		struct record_entry *e = record_index_find(&ss->index, ss->undo[i].key);

		record_entry_free(ss->undo[i].old);
		if (e && ss->store->ops->shared)
			record_index_cache(&ss->index, e, SEALED_CACHE_BYTES);
		else if (e)
			buf_free(&e->value);
	}
	ss->undo_count = 0;
	ss->staged_bytes = 0;
	ss->committed = *head;
	ss->head = *head;
	ss->head_sealed = *head_sealed;
	*head_sealed = old;
}

static int write_batch(
	struct sealed_store *ss, const struct store_change *changes, size_t n, struct error *err)
{
	struct store_guard guard = {.value = ss->head_sealed.data, .len = ss->head_sealed.len};
	struct error why = {0};

	memcpy(guard.key, ss->keys.head, STORE_KEY_LEN);
	if (ss->store->ops->shared)
		return sealed_shared_apply(ss, changes, n, &guard, err);
	if (!ss->store->ops->apply(ss->store, changes, n, &guard, &why))
		return 0;
	return error_set(err, why.code == ERR_CONFLICT ? ERR_CRYPTO : ERR_IO, "%s", why.text);
}

static int commit(struct sealed_store *ss, struct error *err)
{
	struct store_change *changes;
	struct sealed_head head;
	struct buf sealed;
	size_t n;
	int rc;

	if (ss->store->ops->shared && sealed_shared_note(ss, err))
		return -1;
	head = ss->head;
	head.generation = ss->committed.generation + 1;
	if (counter_present(&ss->counter))
		head.counter++;
	changes = calloc(ss->undo_count + 1, sizeof(*changes));
	buf_init(&sealed, SEALED_HEAD_SEALED_LEN);
	rc = changes ? sealed_head_write_form(ss, &head, &sealed, err)
		     : error_set(err, ERR_NOMEM, "out of memory for a batch of %zu changes", ss->undo_count);
	if (!rc) {
		n = collect(ss, changes);
		memcpy(changes[n].key, ss->keys.head, STORE_KEY_LEN);
		changes[n].value = sealed.data;
		changes[n].len = sealed.len;
		rc = write_batch(ss, changes, n + 1, err);
		if (!rc)
			finish(ss, &head, &sealed);
		ss->spoilt = rc && counter_present(&ss->counter);
		if (!rc)
			rc = sealed_counter_settle(ss, err);
	}
	free(changes);
	buf_free(&sealed);
	return rc;
}

int sealed_store_commit(struct sealed_store *ss, struct error *err)
{
	int rc = 0;

	if (ss->overtaken)
		rc = error_set(err, ERR_CONFLICT, "another CAS changed the store while it was read");
	else if (ss->undo_count)
		rc = commit(ss, err);

	/* Nothing is left to undo if it was written. */
	sealed_store_rollback(ss);
	return rc;
}

int sealed_store_apply(
	struct sealed_store *ss, const struct sealed_change *changes, size_t n, struct error *err)
{
	size_t before = ss->undo_count;
	bool alone = !ss->begun;

	if (sealed_store_refuses(ss, err))
		return -1;
	if (alone && sealed_store_begin(ss, err))
		return -1;
	for (size_t i = 0; i < n; i++) {
		if (stage_change(ss, &changes[i], err)) {
			undo_to(ss, before);
			if (alone)
				sealed_store_rollback(ss);
			return -1;
		}
	}
	return alone ? sealed_store_commit(ss, err) : 0;
}
