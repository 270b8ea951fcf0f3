/*
 * secret: bytes that wipe themselves.
 */
#ifndef SCONE_CORE_SECRET_H
#define SCONE_CORE_SECRET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "core/error.h"

struct secret {
	uint8_t *data; /* owned; NULL when empty */
	size_t len;
};

/* Overwrite; never optimised away. */
void secret_wipe(void *p, size_t n);
/* Constant time in the content. */
bool secret_equal(const void *a, const void *b, size_t n);
MUST_USE int secret_set(
	struct secret *s, const void *p, size_t n, struct error *err); /* copies; wipes what was there */
void secret_free(struct secret *s); /* wipes; idempotent */

#endif
