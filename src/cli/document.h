/*
 * document: a session file as a verb is given it: read, client-side variables replaced, name overridden.
 */
#ifndef SCONE_CLI_DOCUMENT_H
#define SCONE_CLI_DOCUMENT_H

#include "cli/cli.h"
#include "core/buf.h"

struct document {
	const char *file; /* for messages: the operand, "<stdin>" for "-" */
	struct buf text; /* secret: explicit values may be in it */
	bool is_signed; /* a signed session (policy/signature.h): as it is in the file */
};

/* From operand 0 and --set, --use-env, --no-substitute, --name. */
MUST_USE int document_load(const struct args *a, struct document *ret, struct error *err);
void document_free(struct document *d);
/* Set a top-level key in the text. */
MUST_USE int document_set(struct document *d, const char *key, const char *value, struct error *err);

#endif
