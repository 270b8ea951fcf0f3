#include "evidence/intel_json.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include "core/encode.h"

int intel_json_load(const void *p, size_t n, const char *what, json_t **ret, struct error *err)
{
	json_error_t why;
	json_t *j = json_loadb(p, n, JSON_REJECT_DUPLICATES, &why);

	if (!j)
		return evidence_refuse(err, CHECK_COLLATERAL_FORMAT, "%s: no JSON: %s at byte %d of %zu",
			what, why.text, why.position, n);
	if (!json_is_object(j)) {
		json_decref(j);
		return evidence_refuse(err, CHECK_COLLATERAL_FORMAT, "%s: no JSON object", what);
	}
	*ret = j;
	return 0;
}

static bool is_space(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void skip_space(struct rd *r)
{
	while (r->left > 0 && is_space(*r->p))
		(void)rd_u8(r);
}

/* At a '"': over the string; *ret is what stands between the quotes. */
static int skip_string(struct rd *r, struct bytes *ret)
{
	const uint8_t *from = r->p + 1;
	uint8_t c = rd_u8(r);

	while (!r->failed && (c = rd_u8(r)) != '"')
		if (c == '\\')
			(void)rd_u8(r);
	if (r->failed)
		return -1;
	*ret = (struct bytes){from, (size_t)(r->p - 1 - from)};
	return 0;
}

/* Over any value. */
static int skip_value(struct rd *r)
{
	struct bytes ignored;
	size_t depth = 0;

	do {
		skip_space(r);
		if (r->left == 0)
			return -1;
		switch (*r->p) {
		case '"':
			if (skip_string(r, &ignored) < 0)
				return -1;
			break;
		case '{':
		case '[':
			depth++;
			(void)rd_u8(r);
			break;
		case '}':
		case ']':
			if (depth == 0)
				return -1;
			depth--;
			(void)rd_u8(r);
			break;
		default: /* a number, a word; between the members also ',' and ':' */
			if (depth > 0) {
				(void)rd_u8(r);
				break;
			}
			while (r->left > 0 && !strchr(",}] \t\r\n", *r->p))
				(void)rd_u8(r);
		}
	} while (depth > 0);
	return 0;
}

int intel_json_raw(const uint8_t *p, size_t n, const char *key, struct bytes *ret)
{
	struct bytes name;
	struct rd r;

	rd_init(&r, p, n);
	skip_space(&r);
	if (rd_u8(&r) != '{')
		return -1;
	for (;;) {
		const uint8_t *from;

		skip_space(&r);
		if (r.left == 0 || *r.p != '"' || skip_string(&r, &name) < 0)
			return -1;
		skip_space(&r);
		if (rd_u8(&r) != ':')
			return -1;
		skip_space(&r);
		from = r.p;
		if (skip_value(&r) < 0)
			return -1;
		if (name.n == strlen(key) && memcmp(name.p, key, name.n) == 0) {
			*ret = (struct bytes){from, (size_t)(r.p - from)};
			return 0;
		}
		skip_space(&r);
		if (rd_u8(&r) != ',')
			return -1;
	}
}

static int refuse(struct error *err, const char *key, const char *wanted)
{
	return evidence_refuse(err, CHECK_COLLATERAL_FORMAT, "member \"%s\": wanted %s", key, wanted);
}

int intel_json_text(const json_t *o, const char *key, const char **ret, struct error *err)
{
	const json_t *v = json_object_get(o, key);

	if (!json_is_string(v) || strlen(json_string_value(v)) != json_string_length(v))
		return refuse(err, key, "text");
	*ret = json_string_value(v);
	return 0;
}

int intel_json_uint(const json_t *o, const char *key, uint32_t max, uint32_t *ret, struct error *err)
{
	const json_t *v = json_object_get(o, key);

	if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > max)
		return evidence_refuse(err, CHECK_COLLATERAL_FORMAT,
			"member \"%s\": wanted a whole number from 0 to %u", key, max);
	*ret = (uint32_t)json_integer_value(v);
	return 0;
}

int intel_json_hex(const json_t *o, const char *key, uint8_t *ret, size_t n, struct error *err)
{
	const json_t *v = json_object_get(o, key);

	if (!json_is_string(v) || hex_decode(json_string_value(v), json_string_length(v), ret, n) < 0)
		return evidence_refuse(
			err, CHECK_COLLATERAL_FORMAT, "member \"%s\": wanted %zu hex digits", key, 2 * n);
	return 0;
}

int intel_json_array(const json_t *o, const char *key, size_t max, const json_t **ret, struct error *err)
{
	const json_t *v = json_object_get(o, key);

	if (!json_is_array(v) || json_array_size(v) > max)
		return evidence_refuse(err, CHECK_COLLATERAL_FORMAT,
			"member \"%s\": wanted a list of at most %zu", key, max);
	*ret = v;
	return 0;
}

int intel_json_time(const json_t *o, const char *key, uint64_t *ret, struct error *err)
{
	const char *text, *end;
	struct tm tm = {0}, back;
	time_t t;

	if (intel_json_text(o, key, &text, err) < 0)
		return -1;
	end = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm);
	if (!end || *end || strlen(text) != 20)
		return refuse(err, key, "a date as 2025-06-19T10:56:11Z");
	back = tm;
	t = timegm(&back);
	if (t < 0 || back.tm_mday != tm.tm_mday || back.tm_sec != tm.tm_sec)
		return refuse(err, key, "a date that exists, from 1970 on");
	*ret = (uint64_t)t;
	return 0;
}

int intel_json_status(const json_t *o, const char *key, enum tcb_status *ret, struct error *err)
{
	const char *text;

	if (intel_json_text(o, key, &text, err) < 0)
		return -1;
	for (int s = TCB_UP_TO_DATE; s <= TCB_REVOKED; s++) {
		if (strcmp(text, tcb_status_name((enum tcb_status)s)) == 0) {
			*ret = (enum tcb_status)s;
			return 0;
		}
	}
	return refuse(err, key, "a TCB status (UpToDate, ..., Revoked)");
}

void time_text(uint64_t t, char ret[32])
{
	time_t at = (time_t)t;
	struct tm tm;

	if (t > 253402300799ull || !gmtime_r(&at, &tm) || strftime(ret, 32, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		(void)snprintf(ret, 32, "%llu", (unsigned long long)t);
}
