/*
 * type: the table of what kinds of evidence there are; one row each (type.c).
 */
#ifndef SCONE_EVIDENCE_TYPE_H
#define SCONE_EVIDENCE_TYPE_H

#include <jansson.h>
#include <stdbool.h>
#include "evidence/verdict.h"

struct evidence_type {
	enum tee_type tee;
	/* Can this be a bare statement of the type? By magic numbers and lengths only; NULL: never comes bare. */
	bool (*is)(const uint8_t *p, size_t n);
	/* e->item[ITEM_STATEMENT] is there. Fill *ret on success only. Every refusal by evidence_refuse. */
	int (*verify)(const struct evidence *e, const struct verify_context *ctx, struct verdict *ret,
		struct error *err);
	/* Decode without verification: set fields in the object `into` (byte strings as hex text). Refusals as from verify, for form only. */
	int (*show)(const struct evidence *e, json_t *into, struct error *err);
	/* Set v->detail's fields in `into`; NULL: none. -1 without memory. */
	int (*describe)(const struct verdict *v, json_t *into);
};

/* NULL if there is no such type. */
const struct evidence_type *evidence_type(enum tee_type tee);
/* By evidence_type.is; NULL if none recognises it. */
const struct evidence_type *evidence_type_recognise(const uint8_t *p, size_t n);

/* The whole verdict as a fresh object: {"tee", "measurement", …, "detail": {…}}. NULL without memory. docs/evidence.md has the keys. */
json_t *verdict_json(const struct verdict *v);
/* What the parts say, nothing verified: {"tee", "items": {NAME: LENGTH}, …}. The object is the caller's. */
MUST_USE int evidence_show(const struct evidence *e, json_t **ret, struct error *err);
/* Set key to the n bytes as hex text; -1 without memory. */
int json_set_hex(json_t *into, const char *key, const void *p, size_t n);

#endif
