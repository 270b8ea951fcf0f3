#include "shield/console/reader.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "core/secret.h"

/* --- frames --- */

void console_frames_start(struct console_frames *f, bool output)
{
	f->output = output;
	f->form = CONSOLE_UNKNOWN;
	f->skipped = 0;
	f->too_long = false;
	f->n = 0;
}

/* One more byte of *p. */
static void take(struct console_frames *f, const uint8_t **p, size_t *n)
{
	f->held[f->n++] = **p;
	++*p;
	--*n;
}

static int next_of_bytes(
	struct console_frames *f, const uint8_t **p, size_t *n, uint8_t *ret, size_t *ret_len)
{
	for (;;) {
		long len = console_frame_len(f->held, f->n);

		if (len < 0)
			return -EBADMSG;
		if (len > 0 && (size_t)len == f->n) {
			memcpy(ret, f->held, f->n);
			*ret_len = f->n;
			f->n = 0;
			return 1;
		}
		if (*n == 0)
			return 0;
		if (len == 0) {
			take(f, p, n);
		} else {
			size_t part = (size_t)len - f->n < *n ? (size_t)len - f->n : *n;

			memcpy(f->held + f->n, *p, part);
			f->n += part;
			*p += part;
			*n -= part;
		}
	}
}

/* A whole line is held, without its newline. */
static int on_line(struct console_frames *f, uint8_t *ret, size_t *ret_len)
{
	long len = f->too_long ? -ENOENT : console_line_decode(f->output, (const char *)f->held, f->n, ret);

	if (len > 0 && f->form == CONSOLE_UNKNOWN && !console_is_hello(ret))
		len = -ENOENT;
	if (len == -ENOENT)
		f->skipped += f->n + 1;
	f->n = 0;
	f->too_long = false;
	if (len == -EBADMSG && f->form == CONSOLE_LINES)
		return -EBADMSG;
	if (len <= 0)
		return 0;
	f->form = CONSOLE_LINES;
	*ret_len = (size_t)len;
	return 1;
}

static int next_of_lines(
	struct console_frames *f, const uint8_t **p, size_t *n, uint8_t *ret, size_t *ret_len)
{
	while (*n > 0) {
		if (**p == '\n') {
			int rc = on_line(f, ret, ret_len);

			++*p;
			--*n;
			if (rc)
				return rc;
			continue;
		}
		if (f->n == sizeof(f->held)) {
			f->skipped += f->n;
			f->n = 0;
			f->too_long = true;
		}
		take(f, p, n);
		/* A stream of bytes may begin where a line does. */
		if (f->form == CONSOLE_UNKNOWN && !f->too_long && f->n == 1 && console_is_hello(f->held)) {
			f->form = CONSOLE_BYTES;
			return next_of_bytes(f, p, n, ret, ret_len);
		}
	}
	return 0;
}

int console_frames_next(struct console_frames *f, const uint8_t **p, size_t *n,
	uint8_t ret[CONSOLE_FRAME_MAX], size_t *ret_len)
{
	*ret_len = 0;
	return f->form == CONSOLE_BYTES ? next_of_bytes(f, p, n, ret, ret_len)
					: next_of_lines(f, p, n, ret, ret_len);
}

/* --- a stream --- */

enum state { AT_HELLO, AT_BIND, AT_RECORDS, ENDED, REFUSED };

struct console_reader {
	struct console_frames frames;
	enum state state;
	uint8_t key[CONSOLE_KEY_LEN];
	char *name, *context;
	struct console_hello hello;
	uint8_t hello_bytes[CONSOLE_HELLO_MAX];
	size_t hello_len;
	struct console_half half;
	struct aead *cipher;
	uint8_t frame[CONSOLE_FRAME_MAX], plain[CONSOLE_RECORD_PLAIN];
};

int console_reader_new(const struct console_expect *e, struct console_reader **ret, struct error *err)
{
	struct console_reader *r = calloc(1, sizeof(*r));

	if (!r)
		return error_set(err, ERR_NOMEM, "no memory for a console stream");
	console_frames_start(&r->frames, e->output);
	memcpy(r->key, e->key, sizeof(r->key));
	r->name = e->name ? strdup(e->name) : NULL;
	r->context = e->context ? strdup(e->context) : NULL;
	if ((e->name && !r->name) || (e->context && !r->context)) {
		console_reader_free(r);
		return error_set(err, ERR_NOMEM, "no memory for a console stream");
	}
	*ret = r;
	return 0;
}

void console_reader_free(struct console_reader *r)
{
	if (!r)
		return;
	aead_free(r->cipher);
	free(r->name);
	free(r->context);
	secret_wipe(r, sizeof(*r));
	free(r);
}

const struct console_hello *console_reader_hello(
	const struct console_reader *r, const uint8_t **ret_bytes, size_t *ret_n)
{
	*ret_bytes = r->hello_bytes;
	*ret_n = r->hello_len;
	return &r->hello;
}

enum console_form console_reader_form(const struct console_reader *r)
{
	return r->frames.form;
}

uint64_t console_reader_skipped(const struct console_reader *r)
{
	return r->frames.skipped;
}

static int start(struct console_reader *r, const uint8_t *other, size_t n, struct error *err)
{
	if (console_half_start(&r->half, r->key, r->hello_bytes, r->hello_len, other, n, err))
		return -1;
	secret_wipe(r->key, sizeof(r->key));
	r->state = AT_RECORDS;
	return 0;
}

int console_reader_bind(struct console_reader *r, const uint8_t *hello, size_t n, struct error *err)
{
	return r->state == AT_BIND
		       ? start(r, hello, n, err)
		       : error_set(err, ERR_INTERNAL, "a console stream is bound once, after its hello");
}

static int on_hello(struct console_reader *r, size_t n, struct error *err)
{
	if (console_hello_decode(r->frame, n, &r->hello, err))
		return -1;
	if (r->hello.output != r->frames.output)
		return error_set(err, ERR_PEER, "a console stream of %s, wanted one of %s",
			r->hello.output ? "output" : "input", r->frames.output ? "output" : "input");
	if (r->name && strcmp(r->name, r->hello.name))
		return error_set(err, ERR_PEER, "a console stream of descriptor '%s', wanted '%s'",
			r->hello.name, r->name);
	if (r->context && strcmp(r->context, r->hello.context))
		return error_set(err, ERR_PEER, "a console stream of service '%s', wanted '%s'",
			r->hello.context, r->context);
	memcpy(r->hello_bytes, r->frame, n);
	r->hello_len = n;
	if (r->hello.output && r->hello.attach) {
		r->state = AT_BIND;
		return 0;
	}
	return start(r, NULL, 0, err);
}

/* The next record, or one that stands in for the last. *ret_had: its content has been given out. */
static long open_next(struct console_reader *r, size_t n, enum console_type *ret_type, bool *ret_had)
{
	struct console_half last = r->half;
	long len = console_open(&r->cipher, &r->half, r->frame, n, ret_type, r->plain);

	*ret_had = false;
	if (len == -EBADMSG && r->frame[0] == CONSOLE_AGAIN && last.seq > 0) {
		last.seq--;
		len = console_open(&r->cipher, &last, r->frame, n, ret_type, r->plain);
		*ret_had = true;
	}
	secret_wipe(&last, sizeof(last));
	if (len < 0 || *ret_type != CONSOLE_AGAIN)
		return len;
	*ret_type = len > 0 ? (enum console_type)r->plain[0] : CONSOLE_AGAIN;
	if (*ret_type < CONSOLE_DATA || *ret_type > CONSOLE_NOTE)
		return -EBADMSG;
	memmove(r->plain, r->plain + 1, (size_t)len - 1);
	return len - 1;
}

static int on_record(
	struct console_reader *r, size_t n, enum console_event *ret_event, size_t *ret_n, struct error *err)
{
	enum console_type type = CONSOLE_DATA;
	bool had;
	long len = open_next(r, n, &type, &had);

	if (len == -ENOMEM)
		return error_set(err, ERR_NOMEM, "no memory for the cipher of a console stream");
	if (len < 0)
		return error_set(err, ERR_CRYPTO,
			"record %" PRIu64 " of the console stream '%s' is not the one that belongs there: "
			"changed, out of order, repeated, "
			"one before it left out, or sealed with another key",
			r->half.seq, r->hello.name);
	if (had)
		return 0;
	console_half_advance(&r->half);
	if (type == CONSOLE_END)
		r->state = ENDED;
	*ret_event = type == CONSOLE_END    ? CONSOLE_EVENT_END
		     : type == CONSOLE_NOTE ? CONSOLE_EVENT_NOTE
					    : CONSOLE_EVENT_DATA;
	*ret_n = (size_t)len;
	return 0;
}

static int on_frame(
	struct console_reader *r, size_t n, enum console_event *ret_event, size_t *ret_n, struct error *err)
{
	bool hello = console_is_hello(r->frame);

	if (r->state == AT_BIND)
		return error_set(err, ERR_INTERNAL, "records of a console stream that is not bound yet");
	if (r->state == ENDED)
		return error_set(err, ERR_CRYPTO, "%zu bytes after the end of the console stream '%s'", n,
			r->hello.name);
	if (r->state == AT_HELLO && !hello)
		return error_set(err, ERR_INPUT, "a record before the hello of a console stream");
	if (r->state == AT_HELLO) {
		*ret_event = CONSOLE_EVENT_HELLO;
		return on_hello(r, n, err);
	}
	return on_record(r, n, ret_event, ret_n, err);
}

int console_reader_next(struct console_reader *r, const uint8_t **p, size_t *n, enum console_event *ret_event,
	const uint8_t **ret, size_t *ret_n, struct error *err)
{
	size_t len, plain = 0;
	int rc;

	*ret_event = CONSOLE_EVENT_NONE;
	*ret = r->plain;
	*ret_n = 0;
	if (r->state == REFUSED)
		return error_set(err, ERR_CRYPTO, "the console stream has been refused");
	if (r->state == AT_BIND)
		return error_set(err, ERR_INTERNAL, "a console stream that is not bound yet");
	if (r->state == ENDED && r->frames.form == CONSOLE_BYTES && *n > 0) {
		r->state = REFUSED;
		return error_set(err, ERR_CRYPTO, "%zu bytes after the end of the console stream '%s'", *n,
			r->hello.name);
	}
	rc = console_frames_next(&r->frames, p, n, r->frame, &len);
	if (rc == 0)
		return 0;
	if (rc < 0)
		rc = error_set(err, ERR_CRYPTO,
			"bytes that are no record after %" PRIu64 " records of the console stream '%s'",
			r->half.seq, r->hello.name);
	else
		rc = on_frame(r, len, ret_event, &plain, err);
	if (rc) {
		r->state = REFUSED;
		return -1;
	}
	*ret_n = plain;
	return 0;
}

int console_reader_end(const struct console_reader *r, struct error *err)
{
	switch (r->state) {
	case ENDED:
		return 0;
	case AT_HELLO:
		return error_set(err, ERR_CRYPTO,
			"no console stream: seen %" PRIu64 " bytes, and no hello among them",
			r->frames.skipped + console_frames_held(&r->frames));
	case REFUSED:
		return error_set(err, ERR_CRYPTO, "the console stream has been refused");
	default:
		return error_set(err, ERR_CRYPTO,
			"the console stream '%s' is cut off after %" PRIu64
			" records: its end is missing, and may have said more",
			r->hello.name, r->half.seq);
	}
}
