#include "shield/console/stream.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include "core/buf.h"
#include "core/encode.h"
#include "core/secret.h"
#include "crypto/hash.h"

#define FLAG_OUTPUT 1
#define FLAG_ATTACH 2
#define HELLO_MIN (CONSOLE_MAGIC_LEN + 2 + 1 + 2 * CONSOLE_ID_LEN + 1 + 2)
#define PREFIX_LEN 4
#define LABEL "OpenSCONE console stream 1"

static_assert(PREFIX_LEN + (CONSOLE_FRAME_MAX + 2) / 3 * 4 + 1 <= CONSOLE_LINE_MAX, "the longest line");
static_assert(PREFIX_LEN + (CONSOLE_LINE_PLAIN_MAX + CONSOLE_OVERHEAD + 2) / 3 * 4 + 1 < 4095,
	"a line of a terminal");
static_assert(CONSOLE_HELLO_MAX <= CONSOLE_LINE_PLAIN_MAX, "a hello is a line, too");

const uint8_t console_magic[CONSOLE_MAGIC_LEN] = {0xc5, 'S', 'C', 'O', 'N', 'E', 0, 1};

static void put_u16(uint8_t *p, size_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static size_t get_u16(const uint8_t *p)
{
	return (size_t)p[0] << 8 | p[1];
}

static void put_u64(uint8_t *p, uint64_t v)
{
	for (int i = 0; i < 8; i++)
		p[i] = (uint8_t)(v >> (56 - 8 * i));
}

/* --- hello --- */

size_t console_hello_encode(const struct console_hello *h, uint8_t ret[CONSOLE_HELLO_MAX])
{
	size_t name = strnlen(h->name, CONSOLE_NAME_MAX), context = strnlen(h->context, CONSOLE_CONTEXT_MAX),
	       at = CONSOLE_MAGIC_LEN + 2;

	memcpy(ret, console_magic, CONSOLE_MAGIC_LEN);
	put_u16(ret + CONSOLE_MAGIC_LEN, HELLO_MIN + name + context);
	ret[at++] = (uint8_t)((h->output ? FLAG_OUTPUT : 0) | (h->attach ? FLAG_ATTACH : 0));
	memcpy(ret + at, h->run, CONSOLE_ID_LEN);
	at += CONSOLE_ID_LEN;
	memcpy(ret + at, h->id, CONSOLE_ID_LEN);
	at += CONSOLE_ID_LEN;
	ret[at++] = (uint8_t)name;
	memcpy(ret + at, h->name, name);
	at += name;
	put_u16(ret + at, context);
	at += 2;
	memcpy(ret + at, h->context, context);
	return at + context;
}

/* Names are shown to people: nothing in them drives a terminal. */
static bool take_text(struct rd *r, size_t n, size_t max, char *ret)
{
	const uint8_t *p = n <= max ? rd_bytes(r, n) : NULL;

	if (!p)
		return false;
	for (size_t i = 0; i < n; i++)
		if (p[i] <= 0x20 || p[i] >= 0x7f)
			return false;
	memcpy(ret, p, n);
	ret[n] = '\0';
	return true;
}

int console_hello_decode(const uint8_t *p, size_t n, struct console_hello *ret, struct error *err)
{
	struct console_hello h = {0};
	const uint8_t *run, *id;
	uint8_t flags;
	struct rd r;

	if (n < CONSOLE_MAGIC_LEN + 2 || memcmp(p, console_magic, CONSOLE_MAGIC_LEN) ||
		get_u16(p + CONSOLE_MAGIC_LEN) != n)
		return error_set(err, ERR_INPUT,
			"%zu bytes that do not begin as a console stream, wanted its hello", n);
	rd_init(&r, p + CONSOLE_MAGIC_LEN + 2, n - CONSOLE_MAGIC_LEN - 2);
	flags = rd_u8(&r);
	run = rd_bytes(&r, CONSOLE_ID_LEN);
	id = rd_bytes(&r, CONSOLE_ID_LEN);
	if (!run || !id || (flags & ~(FLAG_OUTPUT | FLAG_ATTACH)))
		return error_set(err, ERR_INPUT,
			"hello of a console stream with flags 0x%02x in %zu bytes: not understood", flags, n);
	memcpy(h.run, run, CONSOLE_ID_LEN);
	memcpy(h.id, id, CONSOLE_ID_LEN);
	h.output = flags & FLAG_OUTPUT;
	h.attach = flags & FLAG_ATTACH;
	if (!take_text(&r, rd_u8(&r), CONSOLE_NAME_MAX, h.name) ||
		!take_text(&r, rd_u16be(&r), CONSOLE_CONTEXT_MAX, h.context) || !rd_done(&r))
		return error_set(err, ERR_INPUT,
			"hello of a console stream: name or service malformed, or bytes left over");
	*ret = h;
	return 0;
}

/* --- records --- */

int console_half_start(struct console_half *ret, const uint8_t key[CONSOLE_KEY_LEN], const uint8_t *own,
	size_t own_len, const uint8_t *other, size_t other_len, struct error *err)
{
	uint8_t both[2 * CONSOLE_HELLO_MAX], salt[SHA256_LEN];
	struct console_half h = {0};

	if (own_len > CONSOLE_HELLO_MAX || other_len > CONSOLE_HELLO_MAX)
		return error_set(err, ERR_INPUT, "hello of %zu bytes, at most %d",
			own_len > other_len ? own_len : other_len, CONSOLE_HELLO_MAX);
	/* Each says how long it is: two cannot be taken for one, or cut elsewhere. */
	memcpy(both, own, own_len);
	if (other_len)
		memcpy(both + own_len, other, other_len);
	sha256(both, own_len + other_len, salt);
	if (hkdf_sha256(key, CONSOLE_KEY_LEN, salt, sizeof(salt), LABEL, h.key, sizeof(h.key), err))
		return -1;
	*ret = h;
	secret_wipe(&h, sizeof(h));
	return 0;
}

static bool cipher_ready(struct aead **a, const struct console_half *h)
{
	return *a || aead_new(h->key, a, NULL) == 0;
}

static void make_nonce(const uint8_t *sealing, uint8_t ret[AEAD_NONCE_LEN])
{
	memset(ret, 0, AEAD_NONCE_LEN - 8);
	memcpy(ret + AEAD_NONCE_LEN - 8, sealing, 8);
}

long console_seal(struct aead **a, struct console_half *h, enum console_type type, const uint8_t *p, size_t n,
	uint8_t ret[CONSOLE_FRAME_MAX])
{
	uint8_t aad[CONSOLE_HEAD + 8], nonce[AEAD_NONCE_LEN];

	if (n > CONSOLE_RECORD_PLAIN)
		return -EINVAL;
	if (h->sealing == UINT64_MAX)
		return -EOVERFLOW;
	if (!cipher_ready(a, h))
		return -ENOMEM;
	ret[0] = (uint8_t)type;
	put_u16(ret + 1, n);
	put_u64(ret + 3, h->sealing++);
	memcpy(aad, ret, CONSOLE_HEAD);
	put_u64(aad + CONSOLE_HEAD, h->seq);
	make_nonce(ret + 3, nonce);
	if (aead_seal_at(*a, nonce, aad, sizeof(aad), p, n, ret + CONSOLE_HEAD, ret + CONSOLE_HEAD + n))
		return -ENOMEM;
	return (long)(n + CONSOLE_OVERHEAD);
}

long console_open(struct aead **a, const struct console_half *h, const uint8_t *frame, size_t n,
	enum console_type *ret_type, uint8_t ret[CONSOLE_RECORD_PLAIN])
{
	uint8_t aad[CONSOLE_HEAD + 8], nonce[AEAD_NONCE_LEN];
	size_t len;

	if (n < CONSOLE_OVERHEAD || console_is_hello(frame) || console_frame_len(frame, n) != (long)n)
		return -EBADMSG;
	if (!cipher_ready(a, h))
		return -ENOMEM;
	len = n - CONSOLE_OVERHEAD;
	memcpy(aad, frame, CONSOLE_HEAD);
	put_u64(aad + CONSOLE_HEAD, h->seq);
	make_nonce(frame + 3, nonce);
	if (aead_open_at(
		    *a, nonce, aad, sizeof(aad), frame + CONSOLE_HEAD, len, ret, frame + n - AEAD_TAG_LEN)) {
		secret_wipe(ret, len);
		return -EBADMSG;
	}
	*ret_type = (enum console_type)frame[0];
	return (long)len;
}

/* --- frames --- */

long console_frame_len(const uint8_t *p, size_t n)
{
	size_t len;

	if (n == 0)
		return 0;
	if (console_is_hello(p)) {
		if (memcmp(p, console_magic, n < CONSOLE_MAGIC_LEN ? n : CONSOLE_MAGIC_LEN))
			return -EBADMSG;
		if (n < CONSOLE_MAGIC_LEN + 2)
			return 0;
		len = get_u16(p + CONSOLE_MAGIC_LEN);
		return len < HELLO_MIN || len > CONSOLE_HELLO_MAX ? -EBADMSG : (long)len;
	}
	if (p[0] < CONSOLE_DATA || p[0] > CONSOLE_AGAIN)
		return -EBADMSG;
	if (n < 3)
		return 0;
	len = get_u16(p + 1);
	return len > CONSOLE_RECORD_PLAIN ? -EBADMSG : (long)(len + CONSOLE_OVERHEAD);
}

/* --- lines --- */

static const char *prefix(bool output)
{
	return output ? "C5o:" : "C5i:";
}

size_t console_line_encode(bool output, const uint8_t *frame, size_t n, char ret[CONSOLE_LINE_MAX])
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t at = PREFIX_LEN;

	memcpy(ret, prefix(output), PREFIX_LEN);
	for (size_t i = 0; i < n; i += 3) {
		uint32_t v = (uint32_t)frame[i] << 16 | (i + 1 < n ? (uint32_t)frame[i + 1] << 8 : 0) |
			     (i + 2 < n ? frame[i + 2] : 0);

		ret[at++] = digits[v >> 18];
		ret[at++] = digits[v >> 12 & 63];
		ret[at++] = i + 1 < n ? digits[v >> 6 & 63] : '=';
		ret[at++] = i + 2 < n ? digits[v & 63] : '=';
	}
	ret[at++] = '\n';
	return at;
}

long console_line_decode(bool output, const char *line, size_t n, uint8_t ret[CONSOLE_FRAME_MAX])
{
	struct buf b;
	long len = -EBADMSG;

	while (n > 0 && line[n - 1] == '\r')
		n--;
	if (n < PREFIX_LEN || memcmp(line, prefix(output), PREFIX_LEN))
		return -ENOENT;
	buf_init(&b, CONSOLE_FRAME_MAX);
	if (base64_decode(line + PREFIX_LEN, n - PREFIX_LEN, &b) == 0 && b.len > 0 &&
		console_frame_len(b.data, b.len) == (long)b.len) {
		memcpy(ret, b.data, b.len);
		len = (long)b.len;
	}
	buf_free(&b);
	return len;
}
