#include "cas/volumes_record.h"

#include <stdio.h>
#include <string.h>

#define FORMAT 1
#define FLAG_VERSION 1u
#define FLAG_HELD 2u
#define FLAG_INITIAL 4u
#define RECORD_LEN (1 + 16 + 32 + 1 + 8 + 16 + 16 + 8 + 8 + 32 + 32 + 8)

void volume_record_name(const char *session, const char *volume, char ret[VOLUME_RECORD_NAME_MAX])
{
	snprintf(ret, VOLUME_RECORD_NAME_MAX, "%.512s@%.512s", session, volume);
}

int volume_record_encode(const struct volume_record *v, struct buf *out, struct error *err)
{
	buf_put_u8(out, FORMAT);
	buf_put(out, v->id, sizeof(v->id));
	buf_put(out, v->key, sizeof(v->key));
	buf_put_u8(out, (uint8_t)((v->has_version ? FLAG_VERSION : 0) | (v->held ? FLAG_HELD : 0) |
				  (v->has_initial ? FLAG_INITIAL : 0)));
	buf_put_u64be(out, v->generation);
	buf_put(out, v->tag, sizeof(v->tag));
	buf_put(out, v->initial, sizeof(v->initial));
	buf_put_u64be(out, v->number);
	buf_put_u64be(out, v->least);
	buf_put(out, v->holder, sizeof(v->holder));
	buf_put(out, v->place, sizeof(v->place));
	buf_put_u64be(out, v->seen);
	return out->failed ? error_set(err, ERR_NOMEM, "out of memory") : 0;
}

static void take(struct rd *r, uint8_t *ret, size_t n)
{
	const uint8_t *p = rd_bytes(r, n);

	if (p)
		memcpy(ret, p, n);
}

static int decode(const struct buf *b, struct volume_record *ret, struct error *err)
{
	struct rd r;
	uint8_t format, flags;

	rd_init(&r, b->data, b->len);
	format = rd_u8(&r);
	if (format != FORMAT || b->len != RECORD_LEN)
		return error_set(err, ERR_INTERNAL,
			"stored record has format %u and %zu bytes; this CAS reads format %d with %d", format,
			b->len, FORMAT, RECORD_LEN);
	take(&r, ret->id, sizeof(ret->id));
	take(&r, ret->key, sizeof(ret->key));
	flags = rd_u8(&r);
	ret->has_version = flags & FLAG_VERSION;
	ret->held = flags & FLAG_HELD;
	ret->has_initial = flags & FLAG_INITIAL;
	ret->generation = rd_u64be(&r);
	take(&r, ret->tag, sizeof(ret->tag));
	take(&r, ret->initial, sizeof(ret->initial));
	ret->number = rd_u64be(&r);
	ret->least = rd_u64be(&r);
	take(&r, ret->holder, sizeof(ret->holder));
	take(&r, ret->place, sizeof(ret->place));
	ret->seen = rd_u64be(&r);
	return 0;
}

int volume_record_load(struct sealed_store *ss, const char *session, const char *volume,
	struct volume_record *ret, struct error *err)
{
	char name[VOLUME_RECORD_NAME_MAX];
	struct buf b;
	int rc;

	volume_record_name(session, volume, name);
	buf_init_secret(&b, SEALED_CONTENT_MAX);
	rc = sealed_store_get(ss, TABLE_VOLUME, name, &b, err);
	if (!rc) {
		rc = decode(&b, ret, err);
		if (rc)
			error_wrap(err, "volume \"%s\" of session \"%s\"", volume, session);
	}
	buf_free(&b);
	return rc;
}
