/*
 * reader: bytes of a console stream as they come, in pieces of any size, to its plaintext. No I/O.
 *
 * What comes before the stream, such as lines that a runtime wrote before it had a key, is left out and counted: nothing vouches for it. After the
 * hello every byte counts in a stream of bytes; in one of lines (a terminal's), lines of something else are left out and counted, too.
 */
#ifndef SCONE_SHIELD_CONSOLE_READER_H
#define SCONE_SHIELD_CONSOLE_READER_H

#include "shield/console/stream.h"

/* --- frames, without a key --- */

enum console_form { CONSOLE_UNKNOWN, CONSOLE_BYTES, CONSOLE_LINES };

struct console_frames {
	bool output; /* the direction that is read */
	enum console_form form;
	uint64_t skipped; /* bytes of something else */
	bool too_long; /* within a line that is nothing of ours */
	size_t n;
	uint8_t held[CONSOLE_LINE_MAX];
};

void console_frames_start(struct console_frames *f, bool output);
/* Takes bytes from *p, *n. 1: ret holds a frame of *ret_len bytes, call again; 0: all is taken, and no frame is whole; -EBADMSG: what is there is no
 * frame, nor will anything that comes after it be one. */
MUST_USE int console_frames_next(struct console_frames *f, const uint8_t **p, size_t *n,
	uint8_t ret[CONSOLE_FRAME_MAX], size_t *ret_len);
/* Bytes of a frame, or of something else, that is not whole. */
static inline size_t console_frames_held(const struct console_frames *f)
{
	return f->n;
}

/* --- a stream, with its key --- */

struct console_expect {
	uint8_t key[CONSOLE_KEY_LEN];
	bool output;
	const char *name; /* the hello has to have it; NULL: any */
	const char *context; /* likewise */
};

struct console_reader;

enum console_event {
	CONSOLE_EVENT_NONE, /* more bytes are needed */
	CONSOLE_EVENT_HELLO, /* console_reader_hello; with the flag attach, console_reader_bind comes next */
	CONSOLE_EVENT_DATA,
	CONSOLE_EVENT_NOTE,
	CONSOLE_EVENT_END, /* nothing may follow in a stream of bytes */
};

MUST_USE int console_reader_new(
	const struct console_expect *e, struct console_reader **ret, struct error *err);
void console_reader_free(struct console_reader *r); /* wipes; NULL is fine */
/* The hello that this stream's keys depend on besides its own. */
MUST_USE int console_reader_bind(struct console_reader *r, const uint8_t *hello, size_t n, struct error *err);
/* Takes bytes from *p, *n up to one event. *ret, *ret_n: the bytes of DATA or NOTE, until the next call. -1: the stream is refused, for good: ERR_INPUT
 * what is no stream of this kind, ERR_CRYPTO what is not the next record: changed, out of order, repeated, left out, or under another key; ERR_PEER
 * another name or service than expected. */
MUST_USE int console_reader_next(struct console_reader *r, const uint8_t **p, size_t *n,
	enum console_event *ret_event, const uint8_t **ret, size_t *ret_n, struct error *err);
/* No more bytes come. -1, ERR_CRYPTO: the stream has not ended. */
MUST_USE int console_reader_end(const struct console_reader *r, struct error *err);
/* As it came; valid after the event HELLO. *ret_bytes, *ret_n: its bytes. */
const struct console_hello *console_reader_hello(
	const struct console_reader *r, const uint8_t **ret_bytes, size_t *ret_n);
enum console_form console_reader_form(const struct console_reader *r);
uint64_t console_reader_skipped(const struct console_reader *r);

#endif
