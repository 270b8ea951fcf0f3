/*
 * message: strict reading and plain writing of JSON messages. Codecs only, no I/O.
 *
 * Every reader takes the object and `where`, the words that name it in errors ("attest request"). Values are never
 * quoted in errors: they may be secret. Outputs are written only on success.
 */
#ifndef SCONE_WIRE_MESSAGE_H
#define SCONE_WIRE_MESSAGE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "core/buf.h"
#include "core/error.h"

/* One JSON object and nothing after it; duplicate keys are refused. ERR_INPUT with line and column. */
MUST_USE int message_parse(const void *p, size_t n, const char *where, json_t **ret, struct error *err);
/* Compact JSON, appended. Takes m (NULL: out of memory while it was built); m is wiped and freed either way. */
MUST_USE int message_write(json_t *m, const char *where, struct buf *out, struct error *err);

/* o is an object and has no keys but those of the NULL-terminated list. */
MUST_USE int message_keys(const json_t *o, const char *where, const char *const *keys, struct error *err);
/* Required string of at most max bytes, without NUL; valid as long as o. */
MUST_USE int message_text(
	const json_t *o, const char *where, const char *key, size_t max, const char **ret, struct error *err);
/* The same, as a copy that the caller frees. */
MUST_USE int message_text_copy(
	const json_t *o, const char *where, const char *key, size_t max, char **ret, struct error *err);
/* Required integer from min to max. */
MUST_USE int message_number(const json_t *o, const char *where, const char *key, uint32_t min, uint32_t max,
	uint32_t *ret, struct error *err);
/* Required string of 2n hex digits. */
MUST_USE int message_hex(
	const json_t *o, const char *where, const char *key, uint8_t *ret, size_t n, struct error *err);
/* Required base64 string, appended to ret, whose own limit holds. */
MUST_USE int message_bytes(
	const json_t *o, const char *where, const char *key, struct buf *ret, struct error *err);
/* Required array of at most max elements. */
MUST_USE int message_list(const json_t *o, const char *where, const char *key, size_t max, const json_t **ret,
	struct error *err);

json_t *message_new(void); /* empty object, wiped when freed; NULL: no memory */
/* Builders; each is false or NULL when memory ran out or text is not UTF-8. */
bool message_put(json_t *o, const char *key, json_t *value); /* takes value, which may be NULL: false */
json_t *message_new_hex(const uint8_t *p, size_t n);
json_t *message_new_bytes(const void *p, size_t n); /* base64 */

/* Copy of text from a peer that may be shown to people: control characters become spaces, longer text is cut. */
void message_printable(const char *text, char *ret, size_t size);

#endif
