/*
 * template: `$$SCONE::NAME[:format][|escape(json)]$$` and `$$SCONECAS:NAME[:format]$$` (session language section 6). No I/O.
 *
 * Scanned once from left to right; replaced text is not scanned again; `$$` that starts no template stays.
 */
#ifndef SCONE_POLICY_TEMPLATE_H
#define SCONE_POLICY_TEMPLATE_H

#include <stdbool.h>
#include <stddef.h>
#include "core/buf.h"
#include "core/error.h"

/* Name, and kind, of what is no secret but the service itself: $$SCONE::self:ticket$$ (ext 14.3). */
#define TEMPLATE_SELF "self"

struct template_value {
	const char *kind; /* "ascii", "binary"; of keys and certificates as secret_kind_name */
	const void *value; /* of keys and certificates: their parts (secret_parts.h) */
	size_t len;
};

/* True if there is a secret of exactly this name; fills *ret (borrowed until the call of template_expand returns). */
typedef bool (*template_lookup)(void *arg, const char *name, size_t len, struct template_value *ret);

/* Append text with every template replaced. An unknown name, format or encoding is an error that says line (from 1), name and what exists.
 * strict: `$$SCONE::` without a closing `$$` is an error (sessions); otherwise left alone (files of the file system). */
MUST_USE int template_expand(const char *text, size_t n, template_lookup lookup, void *arg, bool strict,
	struct buf *out, struct error *err);

/* Call f for each template of the text: name, and the text from the first ':' or '|' after it ("" if none). Stops when f returns non-zero
 * and returns that. A malformed template gives -1 and err. */
MUST_USE int template_each(const char *text, size_t n, bool strict,
	int (*f)(void *arg, const char *name, size_t len, const char *suffix, size_t slen, int line),
	void *arg, struct error *err);

/* Would template_expand accept this template (parts as template_each gives them)? lookup need only fill kind. 0, or -1 with ERR_NOT_FOUND for
 * an unknown name, ERR_INPUT for a format or an encoding that the kind lacks. */
MUST_USE int template_check(const char *name, size_t len, const char *suffix, size_t slen, int line,
	template_lookup lookup, void *arg, struct error *err);

#endif
