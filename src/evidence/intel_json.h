/*
 * intel_json: the typed members of Intel's signed JSON documents. Members that are absent or of another type are refused, unknown ones are passed over.
 */
#ifndef SCONE_EVIDENCE_INTEL_JSON_H
#define SCONE_EVIDENCE_INTEL_JSON_H

#include <jansson.h>
#include "evidence/verdict.h"

/* n bytes as JSON; duplicates of a member, and nesting or size beyond what jansson takes, are CHECK_COLLATERAL_FORMAT. what names it. */
MUST_USE int intel_json_load(const void *p, size_t n, const char *what, json_t **ret, struct error *err);
/* The exact bytes of a member's value in the text of an object, which must be valid JSON. -1 if it has no such member. */
MUST_USE int intel_json_raw(const uint8_t *p, size_t n, const char *key, struct bytes *ret);

/* Each: CHECK_COLLATERAL_FORMAT with the key. */
MUST_USE int intel_json_text(const json_t *o, const char *key, const char **ret, struct error *err);
MUST_USE int intel_json_uint(
	const json_t *o, const char *key, uint32_t max, uint32_t *ret, struct error *err);
MUST_USE int intel_json_hex(const json_t *o, const char *key, uint8_t *ret, size_t n, struct error *err);
MUST_USE int intel_json_array(
	const json_t *o, const char *key, size_t max, const json_t **ret, struct error *err);
/* "2025-06-19T10:56:11Z" -> seconds since 1970 */
MUST_USE int intel_json_time(const json_t *o, const char *key, uint64_t *ret, struct error *err);
MUST_USE int intel_json_status(const json_t *o, const char *key, enum tcb_status *ret, struct error *err);
/* "2025-06-19T10:56:11Z" with its NUL in ret. */
void time_text(uint64_t t, char ret[32]);

#endif
