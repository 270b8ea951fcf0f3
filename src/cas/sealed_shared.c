/*
 * sealed_shared: how several CAS keep one state. Each batch carries a note under its generation: which records it changed, and what their digests are now.
 * A CAS that is behind reads the notes from where it is, and is right when count and sum of its index are those in the head. Notes are kept for
 * NOTES_KEPT generations; who is further behind reads everything.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "cas/sealed_impl.h"
#include "core/secret.h"

#define TABLE_NOTE "note"
#define NOTE_FORMAT 1
#define NOTES_KEPT 1024
/* Notes that are read along with the head, since one request costs as much as another. */
#define NOTES_AHEAD 8
#define ATTEMPTS 3
#define PAUSE_US 100000

enum { NOTE_PUT = 1, NOTE_REMOVE = 2 };

static void note_name(uint64_t generation, char ret[24])
{
	snprintf(ret, 24, "%016" PRIx64, generation);
}

static int note_key(
	struct sealed_store *ss, uint64_t generation, uint8_t ret[STORE_KEY_LEN], struct error *err)
{
	char name[24];

	note_name(generation, name);
	return sealed_record_key(&ss->keys, TABLE_NOTE, name, ret, err);
}

/* --- writing --- */

static void put_change(struct sealed_store *ss, const uint8_t key[STORE_KEY_LEN], struct buf *out)
{
	const struct record_entry *e = record_index_find(&ss->index, key);

	buf_put_u8(out, e ? NOTE_PUT : NOTE_REMOVE);
	buf_put(out, key, STORE_KEY_LEN);
	if (!e)
		return;
	buf_put(out, e->digest, SHA256_LEN);
	buf_put_block(out, e->table, strlen(e->table));
	buf_put_block(out, e->name, strlen(e->name));
}

int sealed_shared_note(struct sealed_store *ss, struct error *err)
{
	uint64_t generation = ss->committed.generation + 1;
	struct sealed_change note = {.table = TABLE_NOTE};
	uint8_t old[STORE_KEY_LEN];
	char name[24];
	struct buf b;
	int rc = 0;

	if (generation > NOTES_KEPT)
		rc = note_key(ss, generation - NOTES_KEPT, old, err) || sealed_stage(ss, old, NULL, err) ? -1
													 : 0;
	if (rc)
		return -1;
	note_name(generation, name);
	note.name = name;
	buf_init(&b, SEALED_CONTENT_MAX);
	buf_put_u8(&b, NOTE_FORMAT);
	for (size_t i = 0; i < ss->undo_count; i++)
		put_change(ss, ss->undo[i].key, &b);
	note.content = b.data;
	note.len = b.len;
	rc = b.failed ? error_set(err, ERR_LIMIT, "a batch of %zu changes is too large", ss->undo_count)
		      : sealed_store_apply(ss, &note, 1, err);
	buf_free(&b);
	return rc;
}

/* --- reading --- */

static int damaged(uint64_t generation, struct error *err)
{
	return error_set(err, ERR_CRYPTO,
		"the note of generation %" PRIu64
		" is not one that CAS wrote: the store was changed outside of CAS",
		generation);
}

static int take_put(struct sealed_store *ss, const uint8_t *key, struct rd *r, struct error *err)
{
	char table[SEALED_TABLE_MAX + 1] = "", name[SEALED_NAME_MAX + 1] = "";
	const uint8_t *digest = rd_bytes(r, SHA256_LEN), *p;
	struct record_entry *e;
	size_t n;

	p = rd_block(r, SEALED_TABLE_MAX, &n);
	if (p)
		memcpy(table, p, n);
	p = rd_block(r, SEALED_NAME_MAX, &n);
	if (p)
		memcpy(name, p, n);
	if (r->failed)
		return damaged(ss->head.generation, err);
	e = record_entry_new(key, digest, table, name);
	return e ? sealed_stage(ss, key, e, err) : error_set(err, ERR_NOMEM, "out of memory");
}

/* Do to the index what the note says, and what the note itself does to it. */
static int take_note(struct sealed_store *ss, uint64_t generation, const uint8_t key[STORE_KEY_LEN],
	const struct buf *value, struct error *err)
{
	struct sealed_record record;
	uint8_t digest[SHA256_LEN];
	struct record_entry *e;
	struct rd r;
	int rc;

	rc = sealed_record_open(&ss->keys, key, value->data, value->len, &record, err);
	if (!rc && record.generation != generation)
		rc = damaged(generation, err);
	if (!rc) {
		rd_init(&r, record.content, record.len);
		if (rd_u8(&r) != NOTE_FORMAT)
			rc = damaged(generation, err);
	}
	while (!rc && r.left > 0) {
		uint8_t kind = rd_u8(&r);
		const uint8_t *at = rd_bytes(&r, STORE_KEY_LEN);

		if (!at || (kind != NOTE_PUT && kind != NOTE_REMOVE))
			rc = damaged(generation, err);
		else
			rc = kind == NOTE_PUT ? take_put(ss, at, &r, err) : sealed_stage(ss, at, NULL, err);
	}
	if (!rc) {
		sha256(value->data, value->len, digest);
		e = record_entry_new(key, digest, record.table, record.name);
		rc = e ? sealed_stage(ss, key, e, err) : error_set(err, ERR_NOMEM, "out of memory");
	}
	sealed_record_free(&record);
	return rc;
}

/* The head and the n notes after this one's state, at one moment. */
struct look {
	uint8_t keys[1 + NOTES_AHEAD][STORE_KEY_LEN];
	struct buf values[1 + NOTES_AHEAD];
};

static void look_free(struct look *l)
{
	for (size_t i = 0; i < 1 + NOTES_AHEAD; i++)
		buf_free(&l->values[i]);
}

static int look(struct sealed_store *ss, uint64_t after, struct look *l, struct error *err)
{
	for (size_t i = 0; i < 1 + NOTES_AHEAD; i++)
		buf_init(&l->values[i], STORE_VALUE_MAX);
	memcpy(l->keys[0], ss->keys.head, STORE_KEY_LEN);
	for (size_t i = 0; i < NOTES_AHEAD; i++)
		if (note_key(ss, after + 1 + i, l->keys[1 + i], err))
			return -1;
	return ss->store->ops->fetch(
		ss->store, (const uint8_t(*)[STORE_KEY_LEN])l->keys, 1 + NOTES_AHEAD, l->values, err);
}

static bool is_current(const struct sealed_store *ss, const struct buf *head)
{
	return head->len == ss->head_sealed.len && !memcmp(head->data, ss->head_sealed.data, head->len);
}

static int open_head(
	const struct sealed_store *ss, const struct buf *value, struct sealed_head *ret, struct error *err)
{
	if (!value->len)
		return error_set(err, ERR_CRYPTO, "the store has no head record any more: it was deleted");
	if (sealed_head_open(value->data, value->len, ss->keys.value, ss->keys.head, ret, err))
		return -1;
	if (ret->generation <= ss->committed.generation)
		return error_set(err, ERR_CRYPTO,
			"the store is at generation %" PRIu64 ", this CAS has seen %" PRIu64
			": the store was put back to an older state",
			ret->generation, ss->committed.generation);
	return 0;
}

static int read_all(struct sealed_store *ss, struct error *err)
{
	uint64_t seen = ss->committed.generation;

	if (sealed_store_read_all(ss, err))
		return -1;
	if (ss->committed.generation < seen) {
		ss->stale = true;
		return error_set(err, ERR_CRYPTO,
			"the store is at generation %" PRIu64 ", this CAS has seen %" PRIu64
			": the store was put back to an older state",
			ss->committed.generation, seen);
	}
	return 0;
}

/* All notes from this one's state to head's; *ret_gap: one is not there any more. */
static int follow(struct sealed_store *ss, struct look *l, const struct sealed_head *to, bool *ret_gap,
	struct error *err)
{
	uint64_t at = ss->committed.generation;
	size_t i = 0;
	int rc = 0;

	while (!rc && at < to->generation) {
		if (i == NOTES_AHEAD) {
			look_free(l);
			rc = look(ss, at, l, err);
			i = 0;
			continue;
		}
		if (!l->values[1 + i].len) {
			*ret_gap = true;
			return 0;
		}
		at++;
		rc = take_note(ss, at, l->keys[1 + i], &l->values[1 + i], err);
		i++;
	}
	return rc;
}

/* What was learnt counts if it adds up to the head. */
static int accept(
	struct sealed_store *ss, const struct sealed_head *to, const struct buf *sealed, struct error *err)
{
	struct buf head;

	if (sealed_store_compare(to, &ss->head, err))
		return -1;
	buf_init(&head, SEALED_HEAD_SEALED_LEN);
	buf_put(&head, sealed->data, sealed->len);
	if (head.failed)
		return error_set(err, ERR_NOMEM, "out of memory");
	for (size_t i = 0; i < ss->undo_count; i++)
		record_entry_free(ss->undo[i].old);
	ss->undo_count = 0;
	ss->staged_bytes = 0;
	buf_free(&ss->head_sealed);
	ss->head_sealed = head;
	ss->committed = *to;
	ss->head = *to;
	return 0;
}

static int catch_up(struct sealed_store *ss, struct look *l, struct error *err)
{
	struct sealed_head to;
	struct buf head;
	bool gap = false;
	int rc;

	if (open_head(ss, &l->values[0], &to, err))
		return -1;
	if (to.generation - ss->committed.generation > NOTES_KEPT)
		return read_all(ss, err);
	/* follow may look again, and then the head there is a newer one. */
	head = l->values[0];
	buf_init(&l->values[0], STORE_VALUE_MAX);
	rc = follow(ss, l, &to, &gap, err);
	if (!rc && !gap)
		rc = accept(ss, &to, &head, err);
	buf_free(&head);
	if (!rc && !gap)
		return 0;
	sealed_store_rollback(ss);
	return rc ? -1 : read_all(ss, err);
}

int sealed_shared_refresh(struct sealed_store *ss, struct error *err)
{
	struct look l;
	int rc;

	if (ss->stale)
		return read_all(ss, err);
	rc = look(ss, ss->committed.generation, &l, err);
	if (!rc && !is_current(ss, &l.values[0]))
		rc = catch_up(ss, &l, err);
	look_free(&l);
	return rc;
}

int sealed_shared_moved(struct sealed_store *ss, bool *ret, struct error *err)
{
	struct look l;
	int rc = look(ss, ss->committed.generation, &l, err);

	if (!rc)
		*ret = !is_current(ss, &l.values[0]);
	look_free(&l);
	return rc;
}

/* --- committing --- */

enum outcome { OUTCOME_DONE, OUTCOME_OTHER, OUTCOME_OPEN };

/* Whose is the note of the generation that was to be made? */
static int find_outcome(
	struct sealed_store *ss, const struct store_change *note, enum outcome *ret, struct error *err)
{
	uint64_t generation = ss->committed.generation;
	struct look l;
	int rc = look(ss, generation, &l, err);

	if (!rc) {
		const struct buf *theirs = &l.values[1];

		if (theirs->len == note->len && !memcmp(theirs->data, note->value, note->len))
			*ret = OUTCOME_DONE;
		else
			*ret = is_current(ss, &l.values[0]) ? OUTCOME_OPEN : OUTCOME_OTHER;
	}
	look_free(&l);
	return rc;
}

int sealed_shared_apply(struct sealed_store *ss, const struct store_change *changes, size_t n,
	const struct store_guard *guard, struct error *err)
{
	const struct store_change *note = &changes[n - 2];
	enum outcome outcome = OUTCOME_OPEN;
	struct error why = {0};

	for (int i = 0; i < ATTEMPTS && outcome == OUTCOME_OPEN; i++) {
		if (i)
			usleep(PAUSE_US);
		if (!ss->store->ops->apply(ss->store, changes, n, guard, &why))
			return 0;
		if (why.code != ERR_CONFLICT && why.code != ERR_IO)
			return error_set(err, why.code, "%s", why.text);
		/* The answer to an attempt may have been lost, and a later one then finds its own head in the way. */
		if (find_outcome(ss, note, &outcome, &why))
			break;
	}
	if (outcome == OUTCOME_DONE)
		return 0;
	if (outcome == OUTCOME_OTHER)
		return error_set(err, ERR_CONFLICT, "another CAS changed the store first");
	return error_set(err, ERR_IO,
		"whether this change was made is not known, so ask before it is made again: %s", why.text);
}
