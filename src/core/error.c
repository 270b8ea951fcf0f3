#include "core/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Cut text that did not fit at a character boundary and mark the cut. text holds ERROR_TEXT_MAX bytes, all used. */
static void mark_cut(char *text)
{
	static const char mark[] = "...";
	size_t at = ERROR_TEXT_MAX - sizeof(mark);

	while (at > 0 && ((unsigned char)text[at] & 0xc0) == 0x80)
		at--;
	memcpy(text + at, mark, sizeof(mark));
}

static void PRINTF_LIKE(2, 0) format(char *text, const char *fmt, va_list ap)
{
	int n = vsnprintf(text, ERROR_TEXT_MAX, fmt, ap);

	if (n < 0)
		text[0] = '\0';
	else if (n >= ERROR_TEXT_MAX)
		mark_cut(text);
}

/* text += ": " + tail. text holds ERROR_TEXT_MAX bytes. */
static void append(char *text, const char *tail)
{
	size_t len = strlen(text), room = ERROR_TEXT_MAX - len;

	if ((size_t)snprintf(text + len, room, ": %s", tail) >= room)
		mark_cut(text);
}

int error_set(struct error *err, enum err_code code, const char *fmt, ...)
{
	char text[ERROR_TEXT_MAX]; /* an argument may be the old text */
	va_list ap;

	if (!err)
		return -1;
	va_start(ap, fmt);
	format(text, fmt, ap);
	va_end(ap);
	err->code = code;
	err->check = NULL;
	memcpy(err->text, text, strlen(text) + 1);
	return -1;
}

int error_set_errno(struct error *err, int errnum, const char *fmt, ...)
{
	/* The untranslated text needs no locale, so this works in a statically linked program too. */
	const char *reason = strerrordesc_np(errnum);
	char text[ERROR_TEXT_MAX], unknown[32];
	va_list ap;

	if (!err)
		return -1;
	va_start(ap, fmt);
	format(text, fmt, ap);
	va_end(ap);
	if (!reason) {
		snprintf(unknown, sizeof(unknown), "error %d", errnum);
		reason = unknown;
	}
	append(text, reason);
	err->code = ERR_IO;
	err->check = NULL;
	memcpy(err->text, text, strlen(text) + 1);
	return -1;
}

int error_wrap(struct error *err, const char *fmt, ...)
{
	char text[ERROR_TEXT_MAX];
	va_list ap;

	if (!err)
		return -1;
	va_start(ap, fmt);
	format(text, fmt, ap);
	va_end(ap);
	append(text, err->text);
	memcpy(err->text, text, strlen(text) + 1);
	return -1;
}

static const char *const code_names[] = {
	[ERR_NONE] = "NONE",
	[ERR_INPUT] = "INPUT",
	[ERR_LIMIT] = "LIMIT",
	[ERR_NOT_FOUND] = "NOT_FOUND",
	[ERR_EXISTS] = "EXISTS",
	[ERR_CONFLICT] = "CONFLICT",
	[ERR_ACCESS] = "ACCESS",
	[ERR_ATTEST] = "ATTEST",
	[ERR_PEER] = "PEER",
	[ERR_CRYPTO] = "CRYPTO",
	[ERR_IO] = "IO",
	[ERR_NOMEM] = "NOMEM",
	[ERR_INTERNAL] = "INTERNAL",
	[ERR_UNAVAILABLE] = "UNAVAILABLE",
};

#define CODE_COUNT (sizeof(code_names) / sizeof(code_names[0]))

const char *error_code_name(enum err_code code)
{
	return (size_t)code < CODE_COUNT ? code_names[code] : "INTERNAL";
}

int error_code_parse(const char *name, enum err_code *ret)
{
	for (size_t i = 1; i < CODE_COUNT; i++) {
		if (strcmp(name, code_names[i]) == 0) {
			*ret = (enum err_code)i;
			return 0;
		}
	}
	return -1;
}
