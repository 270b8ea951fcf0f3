#include <stdlib.h>
#include <string.h>
#include "cas/record_index.h"

void record_index_init(struct record_index *x)
{
	memset(x, 0, sizeof(*x));
	TAILQ_INIT(&x->recent);
}

void record_index_free(struct record_index *x)
{
	for (size_t i = 0; i < x->bucket_count; i++) {
		struct record_entry *next;

		for (struct record_entry *e = x->buckets[i]; e; e = next) {
			next = e->next;
			record_entry_free(e);
		}
	}
	free(x->buckets);
	record_index_init(x);
}

static size_t bucket_of(const struct record_index *x, const uint8_t key[STORE_KEY_LEN])
{
	uint64_t h;

	memcpy(&h, key, sizeof(h));
	return (size_t)(h & (x->bucket_count - 1));
}

int record_index_reserve(struct record_index *x, size_t n, struct error *err)
{
	struct record_index larger = {
		.count = x->count, .bucket_count = x->bucket_count ? x->bucket_count : 64};

	if (x->bucket_count && x->count + n <= x->bucket_count)
		return 0;
	while (larger.bucket_count < x->count + n)
		larger.bucket_count *= 2;
	larger.buckets = calloc(larger.bucket_count, sizeof(*larger.buckets));
	if (!larger.buckets)
		return error_set(err, ERR_NOMEM, "out of memory for an index of %zu records", x->count + n);
	for (size_t i = 0; i < x->bucket_count; i++) {
		struct record_entry *next;

		for (struct record_entry *e = x->buckets[i]; e; e = next) {
			struct record_entry **head = &larger.buckets[bucket_of(&larger, e->key)];

			next = e->next;
			e->next = *head;
			*head = e;
		}
	}
	free(x->buckets);
	x->buckets = larger.buckets;
	x->bucket_count = larger.bucket_count;
	return 0;
}

struct record_entry *record_index_find(const struct record_index *x, const uint8_t key[STORE_KEY_LEN])
{
	if (!x->bucket_count)
		return NULL;
	for (struct record_entry *e = x->buckets[bucket_of(x, key)]; e; e = e->next)
		if (!memcmp(e->key, key, STORE_KEY_LEN))
			return e;
	return NULL;
}

struct record_entry *record_entry_new(const uint8_t key[STORE_KEY_LEN], const uint8_t digest[SHA256_LEN],
	const char *table, const char *name)
{
	struct record_entry *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	memcpy(e->key, key, STORE_KEY_LEN);
	memcpy(e->digest, digest, SHA256_LEN);
	buf_init(&e->value, STORE_VALUE_MAX);
	e->table = strdup(table);
	e->name = strdup(name);
	if (!e->table || !e->name) {
		record_entry_free(e);
		return NULL;
	}
	return e;
}

void record_entry_free(struct record_entry *e)
{
	if (!e)
		return;
	buf_free(&e->value);
	free(e->table);
	free(e->name);
	free(e);
}

void record_index_add(struct record_index *x, struct record_entry *e)
{
	struct record_entry **head;

	record_index_remove(x, e->key);
	head = &x->buckets[bucket_of(x, e->key)];
	e->next = *head;
	*head = e;
	x->count++;
}

static void uncache(struct record_index *x, struct record_entry *e)
{
	if (!e->cached)
		return;
	TAILQ_REMOVE(&x->recent, e, recent);
	x->cached_bytes -= e->value.len;
	e->cached = false;
}

struct record_entry *record_index_take(struct record_index *x, const uint8_t key[STORE_KEY_LEN])
{
	if (!x->bucket_count)
		return NULL;
	for (struct record_entry **p = &x->buckets[bucket_of(x, key)]; *p; p = &(*p)->next) {
		struct record_entry *e = *p;

		if (memcmp(e->key, key, STORE_KEY_LEN))
			continue;
		*p = e->next;
		x->count--;
		uncache(x, e);
		return e;
	}
	return NULL;
}

void record_index_remove(struct record_index *x, const uint8_t key[STORE_KEY_LEN])
{
	record_entry_free(record_index_take(x, key));
}

void record_index_cache(struct record_index *x, struct record_entry *e, size_t max)
{
	struct record_entry *oldest;

	uncache(x, e);
	e->cached = true;
	TAILQ_INSERT_HEAD(&x->recent, e, recent);
	x->cached_bytes += e->value.len;
	while (x->cached_bytes > max && (oldest = TAILQ_LAST(&x->recent, record_recent))) {
		uncache(x, oldest);
		buf_free(&oldest->value);
	}
}

void record_index_used(struct record_index *x, struct record_entry *e)
{
	TAILQ_REMOVE(&x->recent, e, recent);
	TAILQ_INSERT_HEAD(&x->recent, e, recent);
}
