/*
 * error: what a program says when something failed.
 *
 * One of the project's two error idioms (the other is -errno, inside the runtime's process).
 * A function that can fail takes `struct error *err` last and returns 0, or -1 with *err filled.
 * err may be NULL when the caller wants no text. Libraries never log and never exit.
 */
#ifndef SCONE_CORE_ERROR_H
#define SCONE_CORE_ERROR_H

#include <stddef.h>

enum err_code {
	ERR_NONE = 0,
	ERR_INPUT, /* malformed input: syntax, type, range, missing or unknown key */
	ERR_LIMIT, /* input or resource over a stated limit */
	ERR_NOT_FOUND, /* the named thing does not exist */
	ERR_EXISTS, /* it exists already */
	ERR_CONFLICT, /* predecessor is not the current hash, keys that exclude each other */
	ERR_ACCESS, /* the caller is not permitted */
	ERR_ATTEST, /* evidence refused */
	ERR_PEER, /* the peer is not who it should be (TLS identity, protocol violation) */
	ERR_CRYPTO, /* authentication tag or signature wrong, library refused */
	ERR_IO, /* a host call failed */
	ERR_NOMEM,
	ERR_INTERNAL, /* a bug */
	ERR_UNAVAILABLE, /* what is needed does not answer now: the same may succeed later, or elsewhere */
};

#define ERROR_TEXT_MAX 1024

struct error {
	enum err_code code;
	char text[ERROR_TEXT_MAX]; /* one sentence, NUL-terminated: what, where, value seen, value wanted */
	const char *
		check; /* name of the check that refused (static storage), where the function documents one; else NULL */
};

#define MUST_USE __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))

/* Fill *err (when not NULL; check becomes NULL) and return -1, so that `return error_set(err, ...)` reads well. Arguments may point into
 * err->text. Text that does not fit ends in "...". */
int error_set(struct error *err, enum err_code code, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* As error_set with ERR_IO, and ": " and the text of errnum appended. */
int error_set_errno(struct error *err, int errnum, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Put "context: " in front of the text that *err already holds; code and check stay. Returns -1. */
int error_wrap(struct error *err, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Stable upper-case word for a code ("INPUT", "ACCESS", ...), for JSON and logs. */
const char *error_code_name(enum err_code code);
/* The reverse, without "NONE"; -1 if the word is none of them. */
MUST_USE int error_code_parse(const char *name, enum err_code *ret);

#endif
