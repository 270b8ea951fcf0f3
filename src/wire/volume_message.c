#include "wire/volume_message.h"

#include <jansson.h>
#include "wire/message.h"
#include "wire/service_config_parts.h"

#define TERM_MAX 86400

int message_big_number(const json_t *o, const char *where, const char *key, uint64_t *ret, struct error *err)
{
	const json_t *v = json_object_get(o, key);

	if (!json_is_integer(v) || json_integer_value(v) < 0)
		return error_set(err, ERR_INPUT, "\"%s\" of %s is no integer from 0", key, where);
	*ret = (uint64_t)json_integer_value(v);
	return 0;
}

json_t *volume_state_json(bool has, const struct volume_state *v)
{
	json_t *o;

	if (!has)
		return json_null();
	o = message_new();
	if (message_put(o, "generation", json_integer((json_int_t)v->generation)) &&
		message_put(o, "tag", message_new_hex(v->tag, sizeof(v->tag))))
		return o;
	json_decref(o);
	return NULL;
}

int volume_state_get(const json_t *o, const char *where, const char *key, bool *ret_has,
	struct volume_state *ret, struct error *err)
{
	static const char *const keys[] = {"generation", "tag", NULL};
	const json_t *v = json_object_get(o, key);

	*ret_has = !json_is_null(v);
	if (!*ret_has)
		return 0;
	return message_keys(v, where, keys, err) ||
			       message_big_number(v, where, "generation", &ret->generation, err) ||
			       message_hex(v, where, "tag", ret->tag, sizeof(ret->tag), err)
		       ? -1
		       : 0;
}

json_t *volume_tag_json(bool has, const uint8_t tag[VOLUME_STATE_TAG_LEN])
{
	return has ? message_new_hex(tag, VOLUME_STATE_TAG_LEN) : json_null();
}

int volume_tag_get(const json_t *o, const char *where, const char *key, bool *ret_has,
	uint8_t ret[VOLUME_STATE_TAG_LEN], struct error *err)
{
	*ret_has = !json_is_null(json_object_get(o, key));
	return *ret_has ? message_hex(o, where, key, ret, VOLUME_STATE_TAG_LEN, err) : 0;
}

/* Takes o, which is whole or not. */
static int write_out(json_t *o, bool whole, const char *where, struct buf *out, struct error *err)
{
	if (!whole) {
		json_decref(o);
		o = NULL;
	}
	return message_write(o, where, out, err);
}

int volume_open_encode(const struct volume_open_request *r, struct buf *out, struct error *err)
{
	json_t *o = message_new();
	bool whole = message_put(o, "grant", message_new_bytes(r->grant.data, r->grant.len)) &&
		     message_put(o, "place", message_new_hex(r->place, sizeof(r->place)));

	return write_out(o, whole, "volume request", out, err);
}

int volume_open_decode(const void *p, size_t n, struct volume_open_request *ret, struct error *err)
{
	static const char where[] = "volume request";
	static const char *const keys[] = {"grant", "place", NULL};
	struct volume_open_request r;
	json_t *o;
	int rc;

	if (message_parse(p, n, where, &o, err))
		return -1;
	buf_init(&r.grant, VOLUME_GRANT_BYTES_MAX);
	rc = message_keys(o, where, keys, err) || message_bytes(o, where, "grant", &r.grant, err) ||
			     message_hex(o, where, "place", r.place, sizeof(r.place), err)
		     ? -1
		     : 0;
	json_decref(o);
	if (rc)
		buf_free(&r.grant);
	else
		*ret = r;
	return rc;
}

int volume_lease_encode(const struct volume_lease *l, struct buf *out, struct error *err)
{
	json_t *o = message_new();
	bool whole = message_put(o, "number", json_integer((json_int_t)l->number)) &&
		     message_put(o, "least", json_integer((json_int_t)l->least)) &&
		     message_put(o, "term", json_integer((json_int_t)l->term)) &&
		     message_put(o, "version", volume_state_json(l->has_version, &l->version)) &&
		     message_put(o, "initial_tag", volume_tag_json(l->has_initial, l->initial));

	return write_out(o, whole, "lease of a volume", out, err);
}

int volume_lease_decode(const void *p, size_t n, struct volume_lease *ret, struct error *err)
{
	static const char where[] = "lease of a volume";
	static const char *const keys[] = {"number", "least", "term", "version", "initial_tag", NULL};
	struct volume_lease l = {0};
	json_t *o;
	int rc;

	if (message_parse(p, n, where, &o, err))
		return -1;
	rc = message_keys(o, where, keys, err) || message_big_number(o, where, "number", &l.number, err) ||
			     message_big_number(o, where, "least", &l.least, err) ||
			     message_number(o, where, "term", 1, TERM_MAX, &l.term, err) ||
			     volume_state_get(o, where, "version", &l.has_version, &l.version, err) ||
			     volume_tag_get(o, where, "initial_tag", &l.has_initial, l.initial, err)
		     ? -1
		     : 0;
	json_decref(o);
	if (!rc)
		*ret = l;
	return rc;
}

int volume_update_encode(const struct volume_update_request *r, struct buf *out, struct error *err)
{
	json_t *o = message_new();
	bool whole = message_put(o, "grant", message_new_bytes(r->grant.data, r->grant.len)) &&
		     message_put(o, "number", json_integer((json_int_t)r->number)) &&
		     (!r->has_version ||
			     (message_put(o, "generation", json_integer((json_int_t)r->version.generation)) &&
				     message_put(o, "tag",
					     message_new_hex(r->version.tag, sizeof(r->version.tag)))));

	return write_out(o, whole, "volume update", out, err);
}

int volume_update_decode(const void *p, size_t n, struct volume_update_request *ret, struct error *err)
{
	static const char where[] = "volume update";
	static const char *const keys[] = {"grant", "number", "generation", "tag", NULL};
	struct volume_update_request r = {0};
	json_t *o;
	int rc;

	if (message_parse(p, n, where, &o, err))
		return -1;
	buf_init(&r.grant, VOLUME_GRANT_BYTES_MAX);
	rc = message_keys(o, where, keys, err) || message_bytes(o, where, "grant", &r.grant, err) ||
			     message_big_number(o, where, "number", &r.number, err)
		     ? -1
		     : 0;
	r.has_version = json_object_get(o, "generation") || json_object_get(o, "tag");
	if (!rc && r.has_version)
		rc = message_big_number(o, where, "generation", &r.version.generation, err) ||
				     message_hex(o, where, "tag", r.version.tag, sizeof(r.version.tag), err)
			     ? -1
			     : 0;
	json_decref(o);
	if (rc)
		buf_free(&r.grant);
	else
		*ret = r;
	return rc;
}

int volume_term_encode(uint32_t term, struct buf *out, struct error *err)
{
	json_t *o = message_new();

	return write_out(
		o, message_put(o, "term", json_integer((json_int_t)term)), "term of a lease", out, err);
}

int volume_term_decode(const void *p, size_t n, uint32_t *ret, struct error *err)
{
	static const char where[] = "term of a lease";
	static const char *const keys[] = {"term", NULL};
	json_t *o;
	int rc;

	if (message_parse(p, n, where, &o, err))
		return -1;
	rc = message_keys(o, where, keys, err) || message_number(o, where, "term", 1, TERM_MAX, ret, err) ? -1
													  : 0;
	json_decref(o);
	return rc;
}
