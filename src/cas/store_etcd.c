/*
 * store_etcd: records in an etcd cluster (etcd.h), each under PREFIX "r/" and its 32 bytes. Reads are linearizable: they come from the majority.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cas/etcd.h"
#include "cas/store.h"
#include "core/encode.h"

#define RECORDS "r/"
#define PATH_MAX_KEY (ETCD_PREFIX_MAX + 2 + 2 + STORE_KEY_LEN)
/* Records of one page of a walk over all. */
#define PAGE 200
/* Below etcd's own limits (--max-txn-ops 128, --max-request-bytes 1.5 MiB) with the base64 and the field names. */
#define CHANGES_MAX 120
#define BYTES_MAX (768 * 1024)

struct store_etcd {
	struct store base;
	struct etcd *etcd;
	uint8_t prefix[PATH_MAX_KEY];
	size_t prefix_len;
};

static struct store_etcd *self(struct store *s)
{
	return (struct store_etcd *)s;
}

static int no_memory(struct error *err)
{
	return error_set(err, ERR_NOMEM, "out of memory for a request to etcd");
}

static json_t *text_of(const void *p, size_t n)
{
	struct buf b;
	json_t *j;

	buf_init(&b, 2 * STORE_VALUE_MAX);
	base64_encode(p, n, &b);
	j = b.failed ? NULL : json_stringn((const char *)b.data, b.len);
	buf_free(&b);
	return j;
}

static json_t *key_text(const struct store_etcd *s, const uint8_t key[STORE_KEY_LEN])
{
	uint8_t full[PATH_MAX_KEY];

	memcpy(full, s->prefix, s->prefix_len);
	memcpy(full + s->prefix_len, key, STORE_KEY_LEN);
	return text_of(full, s->prefix_len + STORE_KEY_LEN);
}

/* Field name of j, base64, appended to out; absent: nothing, as protobuf's JSON form leaves empty values out. */
static int bytes_field(const json_t *j, const char *name, struct buf *out, struct error *err)
{
	const json_t *text = json_object_get(j, name);

	if (!text)
		return 0;
	if (!json_is_string(text) || base64_decode(json_string_value(text), json_string_length(text), out))
		return error_set(err, ERR_IO,
			"etcd: field \"%s\" of an answer is not base64 of at most %zu bytes", name, out->max);
	return 0;
}

static void etcd_store_close(struct store *base)
{
	struct store_etcd *s = base ? self(base) : NULL;

	if (!s)
		return;
	etcd_free(s->etcd);
	free(s);
}

static int etcd_store_open(const char *where, bool create, struct store **ret, struct error *err)
{
	struct store_etcd *s = calloc(1, sizeof(*s));

	if (!s)
		return error_set(err, ERR_NOMEM, "out of memory");
	s->base.ops = &store_etcd_ops;
	if (etcd_new(where, &s->etcd, err)) {
		etcd_store_close(&s->base);
		return -1;
	}
	s->prefix_len =
		(size_t)snprintf((char *)s->prefix, sizeof(s->prefix), "%s" RECORDS, etcd_prefix(s->etcd));
	*ret = &s->base;
	return 0;
}

/* --- reading --- */

static int etcd_store_fetch(struct store *base, const uint8_t (*keys)[STORE_KEY_LEN], size_t n,
	struct buf *ret, struct error *err)
{
	struct store_etcd *s = self(base);
	json_t *ops = json_array(), *request, *answer = NULL, *list;
	int rc = 0;

	for (size_t i = 0; i < n; i++)
		if (json_array_append_new(
			    ops, json_pack("{s:{s:o}}", "requestRange", "key", key_text(s, keys[i]))))
			rc = no_memory(err);
	request = json_pack("{s:o}", "success", ops);
	if (!rc && !request)
		rc = no_memory(err);
	if (!rc)
		rc = etcd_call(s->etcd, "/v3/kv/txn", request, &answer, err);
	list = rc ? NULL : json_object_get(answer, "responses");
	if (!rc && json_array_size(list) != n)
		rc = error_set(err, ERR_IO, "etcd: %zu answers to %zu questions", json_array_size(list), n);
	for (size_t i = 0; i < n && !rc; i++) {
		json_t *range = json_object_get(json_array_get(list, i), "response_range");
		json_t *kvs = json_object_get(range, "kvs");

		if (json_array_size(kvs) > 0)
			rc = bytes_field(json_array_get(kvs, 0), "value", &ret[i], err);
	}
	json_decref(answer);
	json_decref(request);
	return rc;
}

static int etcd_store_get(
	struct store *base, const uint8_t key[STORE_KEY_LEN], struct buf *out, struct error *err)
{
	uint8_t keys[1][STORE_KEY_LEN];
	struct buf value;
	int rc;

	memcpy(keys[0], key, STORE_KEY_LEN);
	buf_init(&value, STORE_VALUE_MAX);
	rc = etcd_store_fetch(base, (const uint8_t(*)[STORE_KEY_LEN])keys, 1, &value, err);
	if (!rc && !value.len)
		rc = error_set(err, ERR_NOT_FOUND, "no such record");
	buf_put(out, value.data, value.len);
	if (!rc && out->failed)
		rc = error_set(err, ERR_LIMIT, "record of %zu bytes is longer than wanted", value.len);
	buf_free(&value);
	return rc;
}

/* One page: f for each record of it. *key: where the next one begins. */
static int walk_page(struct store_etcd *s, const json_t *kvs, store_visit visit, void *arg, struct buf *key,
	struct error *err)
{
	struct buf value;
	const json_t *kv;
	size_t i;
	int rc = 0;

	buf_init(&value, STORE_VALUE_MAX);
	json_array_foreach (kvs, i, kv) {
		buf_reset(key);
		buf_reset(&value);
		rc = bytes_field(kv, "key", key, err);
		if (!rc && (key->len < s->prefix_len || memcmp(key->data, s->prefix, s->prefix_len)))
			rc = error_set(err, ERR_IO, "etcd: a key outside of the range that was asked for");
		if (!rc)
			rc = bytes_field(kv, "value", &value, err);
		if (!rc)
			rc = visit(arg, key->data + s->prefix_len, key->len - s->prefix_len,
				value.data ? value.data : (const uint8_t *)"", value.len, err);
		if (rc)
			break;
	}
	buf_putc(key, '\0'); /* the least key above this one */
	buf_free(&value);
	return rc;
}

/* All pages of one revision. */
static int walk(struct store_etcd *s, store_visit visit, void *arg, struct error *err)
{
	struct buf key, end;
	const char *revision;
	json_int_t at = 0;
	bool more = true;
	int rc = 0;

	buf_init(&key, 1024);
	buf_init(&end, 1024);
	buf_put(&key, s->prefix, s->prefix_len);
	buf_put(&end, s->prefix, s->prefix_len);
	end.data[end.len - 1]++;
	while (more && !rc) {
		json_t *answer = NULL;
		json_t *request = json_pack("{s:o,s:o,s:i,s:I}", "key", text_of(key.data, key.len),
			"range_end", text_of(end.data, end.len), "limit", PAGE, "revision", at);

		rc = request ? etcd_call(s->etcd, "/v3/kv/range", request, &answer, err) : no_memory(err);
		json_decref(request);
		if (!rc && !at) {
			if (json_unpack(answer, "{s:{s:s}}", "header", "revision", &revision))
				rc = error_set(err, ERR_IO, "etcd: an answer without a revision");
			else
				at = strtoll(revision, NULL, 10);
		}
		if (!rc)
			rc = walk_page(s, json_object_get(answer, "kvs"), visit, arg, &key, err);
		more = json_is_true(json_object_get(answer, "more"));
		json_decref(answer);
	}
	buf_free(&key);
	buf_free(&end);
	return rc;
}

static int etcd_store_each(struct store *base, store_visit visit, void *arg, struct error *err)
{
	return walk(self(base), visit, arg, err);
}

/* --- writing --- */

static json_t *compare_of(const struct store_etcd *s, const struct store_guard *g)
{
	if (!g->value)
		return json_pack("{s:o,s:s,s:s,s:s}", "key", key_text(s, g->key), "target", "CREATE",
			"result", "EQUAL", "create_revision", "0");
	return json_pack("{s:o,s:s,s:s,s:o}", "key", key_text(s, g->key), "target", "VALUE", "result",
		"EQUAL", "value", text_of(g->value, g->len));
}

static json_t *change_of(const struct store_etcd *s, const struct store_change *c)
{
	if (!c->value)
		return json_pack("{s:{s:o}}", "requestDeleteRange", "key", key_text(s, c->key));
	return json_pack("{s:{s:o,s:o}}", "requestPut", "key", key_text(s, c->key), "value",
		text_of(c->value, c->len));
}

static json_t *transaction(const struct store_etcd *s, const struct store_change *changes, size_t n,
	const struct store_guard *guard)
{
	json_t *compare = json_array(), *success = json_array();
	bool good = compare && success;

	if (guard && json_array_append_new(compare, compare_of(s, guard)))
		good = false;
	for (size_t i = 0; i < n; i++)
		if (json_array_append_new(success, change_of(s, &changes[i])))
			good = false;
	if (good)
		return json_pack("{s:o,s:o}", "compare", compare, "success", success);
	json_decref(compare);
	json_decref(success);
	return NULL;
}

static int etcd_store_apply(struct store *base, const struct store_change *changes, size_t n,
	const struct store_guard *guard, struct error *err)
{
	struct store_etcd *s = self(base);
	json_t *request, *answer = NULL;
	int rc;

	for (size_t i = 0; i < n; i++)
		if (changes[i].value && changes[i].len > STORE_VALUE_MAX)
			return error_set(err, ERR_LIMIT,
				"a record of %zu bytes is over the store's limit of %d", changes[i].len,
				STORE_VALUE_MAX);
	request = transaction(s, changes, n, guard);
	if (!request)
		return no_memory(err);
	rc = etcd_call(s->etcd, "/v3/kv/txn", request, &answer, err);
	json_decref(request);
	if (!rc && !json_is_true(json_object_get(answer, "succeeded")))
		rc = error_set(err, ERR_CONFLICT, "etcd cluster %s: another CAS changed it first",
			etcd_hosts(s->etcd));
	json_decref(answer);
	return rc;
}

const struct store_ops store_etcd_ops = {
	.name = "etcd",
	.open = etcd_store_open,
	.close = etcd_store_close,
	.get = etcd_store_get,
	.each = etcd_store_each,
	.apply = etcd_store_apply,
	.shared = true,
	.changes_max = CHANGES_MAX,
	.bytes_max = BYTES_MAX,
	.fetch = etcd_store_fetch,
};
