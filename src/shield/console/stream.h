/*
 * stream: what goes over a protected descriptor of the console shield: a hello, then sealed records, the last of which marks the end.
 *
 * One stream is one direction of one descriptor: output, from the application to a person or program outside, or input. Numbers are big endian.
 *
 *   hello   magic 8 (C5 "SCONE" 00 01) | length u16, of all of it | flags u8 (1 output, 2 attach) | run 32 | id 32 | n u8, name n | n u16, context n
 *   record  type u8 (1 data, 2 end, 3 note, 4 again) | n u16 | sealing u64 | ciphertext n | tag 16
 *
 * run is a random number of the application's start, id one of the stream. In a hello of input, run names the start it is for; zeros: any. name is
 * the descriptor ("stdout"), context is SESSION/SERVICE, empty without a policy. With the flag attach, the application starts when it has
 * read a hello of input for its run, and both sides' keys depend on both hellos: neither can be a recording.
 *
 *   key     HKDF-SHA256(console key, salt = SHA-256(own hello | the other's hello or nothing), "OpenSCONE console stream 1")
 *   record  AES-256-GCM, nonce = 00000000 | sealing, further authenticated: the head (11 bytes) | number of the record in its stream, u64
 *
 * The number makes it impossible to reorder, repeat or leave out records, the end to cut them off. `sealing` counts what was ever sealed under the key,
 * and goes on where a record that was not taken is made anew, so no nonce is used twice whatever the host says. All lengths, times and how much is written are seen by the host.
 *
 * A process may be killed while it writes a record, and then nobody knows whether that went. `again` stands in for it: its number is that record's, its content the
 * record's type and content. Who has had the record leaves `again` out; who has not takes it instead. It can come right behind its record, or in its place, only.
 *
 * On a terminal, which is not made for bytes, each hello and record is a line: "C5o:" (output) or "C5i:" (input), base64, newline.
 *
 * No I/O. Answers 0 or -errno where nothing else is said.
 */
#ifndef SCONE_SHIELD_CONSOLE_STREAM_H
#define SCONE_SHIELD_CONSOLE_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "core/error.h"
#include "crypto/aead.h"

#define CONSOLE_KEY_LEN 32
#define CONSOLE_ID_LEN 32
#define CONSOLE_NAME_MAX 16
#define CONSOLE_CONTEXT_MAX 512
#define CONSOLE_MAGIC_LEN 8
#define CONSOLE_HELLO_MAX                                                                                    \
	(CONSOLE_MAGIC_LEN + 2 + 1 + 2 * CONSOLE_ID_LEN + 1 + CONSOLE_NAME_MAX + 2 + CONSOLE_CONTEXT_MAX)
#define CONSOLE_FRAME_MAX 4096 /* a pipe takes so much whole or not at all (PIPE_BUF) */
#define CONSOLE_HEAD 11
#define CONSOLE_OVERHEAD (CONSOLE_HEAD + AEAD_TAG_LEN)
#define CONSOLE_RECORD_PLAIN (CONSOLE_FRAME_MAX - CONSOLE_OVERHEAD)
#define CONSOLE_PLAIN_MAX (CONSOLE_RECORD_PLAIN - 1) /* so that `again` can hold it */
#define CONSOLE_LINE_PLAIN_MAX 3000 /* so that a line is shorter than the 4,095 bytes that a terminal takes */
#define CONSOLE_LINE_MAX 5472 /* of CONSOLE_FRAME_MAX bytes, with prefix and newline */

enum console_type {
	CONSOLE_DATA = 1,
	CONSOLE_END = 2,
	CONSOLE_NOTE = 3, /* a line of the runtime's log, not the program's */
	CONSOLE_AGAIN = 4
};

extern const uint8_t console_magic[CONSOLE_MAGIC_LEN];

struct console_hello {
	bool output, attach;
	uint8_t run[CONSOLE_ID_LEN], id[CONSOLE_ID_LEN];
	char name[CONSOLE_NAME_MAX + 1];
	char context[CONSOLE_CONTEXT_MAX + 1];
};

/* Bytes written to ret. */
size_t console_hello_encode(const struct console_hello *h, uint8_t ret[CONSOLE_HELLO_MAX]);
/* p: one frame, whole. ERR_INPUT. */
MUST_USE int console_hello_decode(const uint8_t *p, size_t n, struct console_hello *ret, struct error *err);

/* The state of one stream, plain bytes: whoever has it can go on with it. */
struct console_half {
	uint8_t key[AEAD_KEY_LEN];
	uint64_t seq; /* number of the next record */
	uint64_t sealing; /* next nonce */
};

/* own: the hello of this stream, other: the one it is bound to, or NULL, 0. */
MUST_USE int console_half_start(struct console_half *ret, const uint8_t key[CONSOLE_KEY_LEN],
	const uint8_t *own, size_t own_len, const uint8_t *other, size_t other_len, struct error *err);

/* *a: cached cipher of half, made where it is NULL; aead_free it. p: n <= CONSOLE_PLAIN_MAX bytes, of AGAIN one more. Bytes of the frame in ret, -ENOMEM. The nonce is used
 * up; the record counts with console_half_advance only. */
MUST_USE long console_seal(struct aead **a, struct console_half *h, enum console_type type, const uint8_t *p,
	size_t n, uint8_t ret[CONSOLE_FRAME_MAX]);
/* frame: whole, n bytes. Bytes of plaintext, *ret_type; -EBADMSG: it is not the next record of the stream; -ENOMEM. */
MUST_USE long console_open(struct aead **a, const struct console_half *h, const uint8_t *frame, size_t n,
	enum console_type *ret_type, uint8_t ret[CONSOLE_RECORD_PLAIN]);
static inline void console_half_advance(struct console_half *h)
{
	h->seq++;
}

/* Length of the frame that n bytes at p begin; 0: more bytes are needed to tell; -EBADMSG: none begins so. */
MUST_USE long console_frame_len(const uint8_t *p, size_t n);
static inline bool console_is_hello(const uint8_t *p)
{
	return p[0] == console_magic[0];
}

/* The frame as a line; bytes written to ret. */
size_t console_line_encode(bool output, const uint8_t *frame, size_t n, char ret[CONSOLE_LINE_MAX]);
/* line: n bytes without its newline; a carriage return at the end is allowed. Length of the frame; -ENOENT: a line of something else, or of the other
 * direction; -EBADMSG: it is none after its prefix. */
MUST_USE long console_line_decode(bool output, const char *line, size_t n, uint8_t ret[CONSOLE_FRAME_MAX]);

#endif
