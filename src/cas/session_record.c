#include <stdio.h>
#include <string.h>
#include "cas/session_record.h"
#include "core/encode.h"

#define FORMAT 1
#define HAS_PREDECESSOR 1
#define CREATOR_SIGNS 2

void version_name(const char *name, const uint8_t hash[SESSION_HASH_LEN], char ret[VERSION_NAME_MAX])
{
	char hex[2 * SESSION_HASH_LEN + 1];

	hex_encode(hash, SESSION_HASH_LEN, hex);
	snprintf(ret, VERSION_NAME_MAX, "%.512s@%s", name, hex);
}

static void put_header(struct buf *out, enum record_state state)
{
	buf_put_u8(out, FORMAT);
	buf_put_u8(out, (uint8_t)state);
}

static int get_header(struct rd *r, enum record_state *ret, struct error *err)
{
	uint8_t format = rd_u8(r), state = rd_u8(r);

	if (r->failed || format != FORMAT || (state != RECORD_LIVE && state != RECORD_GONE))
		return error_set(err, ERR_INTERNAL,
			"stored record has format %u, state %u; this CAS reads format %d", format, state,
			FORMAT);
	*ret = state;
	return 0;
}

static int copy_bytes(struct rd *r, uint8_t *ret, size_t n)
{
	const uint8_t *p = rd_bytes(r, n);

	if (!p)
		return -1;
	memcpy(ret, p, n);
	return 0;
}

int session_record_encode(const struct session_head *h, const struct vault *vault, uint64_t now,
	struct buf *out, struct error *err)
{
	struct buf values;
	int rc = 0;

	put_header(out, h->state);
	buf_put(out, h->hash, SESSION_HASH_LEN);
	buf_put_u64be(out, now);
	if (h->state == RECORD_LIVE) {
		buf_init_secret(&values, SEALED_CONTENT_MAX);
		rc = vault_encode(vault, &values, err);
		if (!rc)
			buf_put_block(out, values.data, values.len);
		buf_free(&values);
	}
	if (!rc && out->failed)
		rc = error_set(err, ERR_LIMIT, "the session's secrets do not fit into one record of %d bytes",
			SEALED_CONTENT_MAX);
	return rc;
}

static int session_record_decode(
	const struct buf *b, struct session_head *ret, struct vault *ret_vault, struct error *err)
{
	struct session_head h = {0};
	const uint8_t *values = NULL;
	size_t n = 0;
	struct rd r;

	rd_init(&r, b->data, b->len);
	if (get_header(&r, &h.state, err))
		return -1;
	if (copy_bytes(&r, h.hash, SESSION_HASH_LEN))
		return error_set(err, ERR_INTERNAL, "stored record is short");
	(void)rd_u64be(&r);
	if (h.state == RECORD_LIVE)
		values = rd_block(&r, SEALED_CONTENT_MAX, &n);
	if (!rd_done(&r))
		return error_set(err, ERR_INTERNAL,
			"stored record has %zu bytes, which is not what its fields need", b->len);
	if (values && ret_vault && vault_decode(values, n, ret_vault, err))
		return -1;
	*ret = h;
	return 0;
}

int session_record_load(struct sealed_store *ss, const char *name, struct session_head *ret,
	struct vault *ret_vault, struct error *err)
{
	struct buf b;
	int rc;

	buf_init_secret(&b, SEALED_CONTENT_MAX);
	rc = sealed_store_get(ss, TABLE_SESSION, name, &b, err);
	if (!rc) {
		rc = session_record_decode(&b, ret, ret_vault, err);
		if (rc)
			error_wrap(err, "session \"%s\"", name);
	}
	buf_free(&b);
	return rc;
}

int version_record_encode(const struct stored_session *s, const char *text, size_t len, uint64_t now,
	struct buf *out, struct error *err)
{
	put_header(out, RECORD_LIVE);
	buf_put(out, s->creator, sizeof(s->creator));
	buf_put_u8(out, (uint8_t)((s->has_predecessor ? HAS_PREDECESSOR : 0) |
				  (s->creator_signs ? CREATOR_SIGNS : 0)));
	buf_put(out, s->predecessor, sizeof(s->predecessor));
	buf_put_u64be(out, now);
	buf_put_block(out, text, len);
	return out->failed
		       ? error_set(err, ERR_LIMIT, "a document of %zu bytes does not fit into a record", len)
		       : 0;
}

void version_record_encode_gone(struct buf *out)
{
	put_header(out, RECORD_GONE);
}

static int version_record_decode(const struct buf *b, struct stored_session *ret, struct error *err)
{
	enum record_state state;
	const uint8_t *text;
	uint8_t flags;
	size_t n = 0;
	struct rd r;

	rd_init(&r, b->data, b->len);
	if (get_header(&r, &state, err))
		return -1;
	if (state == RECORD_GONE)
		return error_set(err, ERR_NOT_FOUND, "no such version: the session was deleted");
	if (copy_bytes(&r, ret->creator, sizeof(ret->creator)))
		return error_set(err, ERR_INTERNAL, "stored record is short");
	flags = rd_u8(&r);
	ret->has_predecessor = flags & HAS_PREDECESSOR;
	ret->creator_signs = flags & CREATOR_SIGNS;
	if (copy_bytes(&r, ret->predecessor, sizeof(ret->predecessor)))
		return error_set(err, ERR_INTERNAL, "stored record is short");
	(void)rd_u64be(&r);
	text = rd_block(&r, SESSION_TEXT_MAX, &n);
	if (!text || !rd_done(&r))
		return error_set(err, ERR_INTERNAL,
			"stored record has %zu bytes, which is not what its fields need", b->len);
	buf_put(&ret->text, text, n);
	return ret->text.failed ? error_set(err, ERR_NOMEM, "out of memory") : 0;
}

int version_record_load(struct sealed_store *ss, const char *name, const uint8_t hash[SESSION_HASH_LEN],
	struct stored_session *ret, struct error *err)
{
	char vname[VERSION_NAME_MAX];
	struct buf b;
	int rc;

	version_name(name, hash, vname);
	buf_init_secret(&b, SEALED_CONTENT_MAX);
	rc = sealed_store_get(ss, TABLE_VERSION, vname, &b, err);
	if (!rc) {
		memcpy(ret->hash, hash, SESSION_HASH_LEN);
		rc = version_record_decode(&b, ret, err);
		if (rc)
			error_wrap(err, "version \"%s\"", vname);
	}
	buf_free(&b);
	return rc;
}
