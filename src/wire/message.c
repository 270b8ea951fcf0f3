#include "wire/message.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "core/encode.h"
#include "core/secret.h"
#include "wire/json_wipe.h"

int message_parse(const void *p, size_t n, const char *where, json_t **ret, struct error *err)
{
	json_error_t e;
	json_t *m;
	int line, column;

	json_wipe_install();
	m = json_loadb(p, n, JSON_REJECT_DUPLICATES, &e);
	line = e.line;
	column = e.column;
	secret_wipe(&e, sizeof(e)); /* its text quotes the input */
	if (!m)
		return error_set(err, ERR_INPUT, "%s of %zu bytes is not valid JSON at line %d, column %d",
			where, n, line, column);
	if (!json_is_object(m)) {
		json_decref(m);
		return error_set(err, ERR_INPUT, "%s is not a JSON object", where);
	}
	*ret = m;
	return 0;
}

static int put_piece(const char *piece, size_t n, void *out)
{
	buf_put(out, piece, n);
	return ((struct buf *)out)->failed ? -1 : 0;
}

int message_write(json_t *m, const char *where, struct buf *out, struct error *err)
{
	size_t before = out->len;
	int rc;

	if (!m)
		return error_set(err, ERR_NOMEM, "no memory for %s, or text in it is not UTF-8", where);
	rc = json_dump_callback(m, put_piece, out, JSON_COMPACT);
	json_decref(m);
	if (rc == 0)
		return 0;
	buf_truncate(out, before);
	return error_set(err, ERR_LIMIT, "%s is longer than %zu bytes", where, out->max);
}

int message_keys(const json_t *o, const char *where, const char *const *keys, struct error *err)
{
	const char *key;
	json_t *value;
	char shown[64];

	if (!json_is_object(o))
		return error_set(err, ERR_INPUT, "%s is not a JSON object", where);
	json_object_foreach ((json_t *)(uintptr_t)o, key, value) {
		size_t i = 0;

		while (keys[i] && strcmp(keys[i], key) != 0)
			i++;
		if (!keys[i]) {
			message_printable(key, shown, sizeof(shown));
			return error_set(err, ERR_INPUT, "%s has the unknown key \"%s\"", where, shown);
		}
	}
	return 0;
}

static int required(
	const json_t *o, const char *where, const char *key, const json_t **ret, struct error *err)
{
	*ret = json_object_get(o, key);
	if (!*ret)
		return error_set(err, ERR_INPUT, "%s lacks the key \"%s\"", where, key);
	return 0;
}

static int required_string(
	const json_t *o, const char *where, const char *key, const json_t **ret, struct error *err)
{
	if (required(o, where, key, ret, err) < 0)
		return -1;
	if (!json_is_string(*ret))
		return error_set(err, ERR_INPUT, "\"%s\" of %s is not a string", key, where);
	return 0;
}

int message_text(
	const json_t *o, const char *where, const char *key, size_t max, const char **ret, struct error *err)
{
	const json_t *s;

	if (required_string(o, where, key, &s, err) < 0)
		return -1;
	/* jansson refuses \u0000 in strings, so the length is the length */
	if (json_string_length(s) > max)
		return error_set(err, ERR_LIMIT, "\"%s\" of %s has %zu bytes, at most %zu", key, where,
			json_string_length(s), max);
	*ret = json_string_value(s);
	return 0;
}

int message_text_copy(
	const json_t *o, const char *where, const char *key, size_t max, char **ret, struct error *err)
{
	const char *s;
	char *copy;

	if (message_text(o, where, key, max, &s, err) < 0)
		return -1;
	copy = strdup(s);
	if (!copy)
		return error_set(err, ERR_NOMEM, "no memory for \"%s\" of %s", key, where);
	*ret = copy;
	return 0;
}

int message_number(const json_t *o, const char *where, const char *key, uint32_t min, uint32_t max,
	uint32_t *ret, struct error *err)
{
	const json_t *v;
	json_int_t n;

	if (required(o, where, key, &v, err) < 0)
		return -1;
	if (!json_is_integer(v))
		return error_set(err, ERR_INPUT, "\"%s\" of %s is not an integer", key, where);
	n = json_integer_value(v);
	if (n < (json_int_t)min || n > (json_int_t)max)
		return error_set(err, ERR_INPUT, "\"%s\" of %s is %" JSON_INTEGER_FORMAT ", wanted %u to %u",
			key, where, n, min, max);
	*ret = (uint32_t)n;
	return 0;
}

int message_hex(
	const json_t *o, const char *where, const char *key, uint8_t *ret, size_t n, struct error *err)
{
	const json_t *s;

	if (required_string(o, where, key, &s, err) < 0)
		return -1;
	if (hex_decode(json_string_value(s), json_string_length(s), ret, n) < 0)
		return error_set(err, ERR_INPUT, "\"%s\" of %s is not %zu hex digits (it has %zu characters)",
			key, where, 2 * n, json_string_length(s));
	return 0;
}

int message_bytes(const json_t *o, const char *where, const char *key, struct buf *ret, struct error *err)
{
	const json_t *s;

	if (required_string(o, where, key, &s, err) < 0)
		return -1;
	if (base64_decode(json_string_value(s), json_string_length(s), ret) == 0)
		return 0;
	if (ret->failed)
		return error_set(err, ERR_LIMIT,
			"\"%s\" of %s has %zu base64 digits, more than fit %zu bytes", key, where,
			json_string_length(s), ret->max);
	return error_set(err, ERR_INPUT, "\"%s\" of %s is not base64 (it has %zu characters)", key, where,
		json_string_length(s));
}

int message_list(const json_t *o, const char *where, const char *key, size_t max, const json_t **ret,
	struct error *err)
{
	const json_t *v;

	if (required(o, where, key, &v, err) < 0)
		return -1;
	if (!json_is_array(v))
		return error_set(err, ERR_INPUT, "\"%s\" of %s is not an array", key, where);
	if (json_array_size(v) > max)
		return error_set(err, ERR_LIMIT, "\"%s\" of %s has %zu elements, at most %zu", key, where,
			json_array_size(v), max);
	*ret = v;
	return 0;
}

json_t *message_new(void)
{
	json_wipe_install();
	return json_object();
}

bool message_put(json_t *o, const char *key, json_t *value)
{
	return json_object_set_new(o, key, value) == 0;
}

json_t *message_new_hex(const uint8_t *p, size_t n)
{
	json_t *s = NULL;
	char *text = malloc(2 * n + 1);

	if (text) {
		hex_encode(p, n, text);
		s = json_stringn_nocheck(text, 2 * n);
		secret_wipe(text, 2 * n);
	}
	free(text);
	return s;
}

json_t *message_new_bytes(const void *p, size_t n)
{
	struct buf text;
	json_t *s = NULL;

	buf_init_secret(&text, SIZE_MAX);
	base64_encode(p, n, &text);
	if (!text.failed)
		s = json_stringn_nocheck(text.data ? (const char *)text.data : "", text.len);
	buf_free(&text);
	return s;
}

void message_printable(const char *text, char *ret, size_t size)
{
	size_t n = strnlen(text, size - 1);

	/* cut between characters */
	while (n > 0 && text[n] && ((unsigned char)text[n] & 0xc0) == 0x80)
		n--;
	for (size_t i = 0; i < n; i++)
		ret[i] = (unsigned char)text[i] < 0x20 || text[i] == 0x7f ? ' ' : text[i];
	ret[n] = '\0';
}
