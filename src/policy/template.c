#include "policy/template.h"

#include <string.h>
#include "core/encode.h"
#include "core/secret.h"
#include "policy/secret_parts.h"

#define SHOWN_MAX 128 /* of a name or a suffix, in a message */
#define SELF_TICKET ":ticket"

/* FORMAT_PART: of a key or certificate, made by whoever has it. */
enum format {
	FORMAT_PART,
	FORMAT_RAW,
	FORMAT_HEX,
	FORMAT_BASE64,
	FORMAT_BASE64URL,
	FORMAT_BASE32,
	FORMAT_BASE32NOPAD
};

struct format_word {
	const char *word;
	enum format format;
};

/* Suffixes of kind binary; ascii has none (section 5.3). */
static const struct format_word binary_formats[] = {
	{":bin", FORMAT_RAW},
	{":hex", FORMAT_HEX},
	{":base64", FORMAT_BASE64},
	{":base64url", FORMAT_BASE64URL},
	{":base32", FORMAT_BASE32},
	{":base32nopad", FORMAT_BASE32NOPAD},
};

struct site { /* one template in the text */
	size_t start, end; /* offsets, end excluded */
	const char *name;
	size_t len;
	const char *suffix;
	size_t slen;
	int line;
};

struct scan {
	const char *text;
	size_t n, pos;
	size_t counted; /* lines are counted up to here */
	int line;
};

/* At most SHOWN_MAX of n bytes, no character cut in two. */
static int shown(const char *s, size_t n)
{
	if (n <= SHOWN_MAX)
		return (int)n;
	for (n = SHOWN_MAX; n > 0 && ((unsigned char)s[n] & 0xc0) == 0x80;)
		n--;
	return (int)n;
}

static int line_at(struct scan *s, size_t pos)
{
	for (; s->counted < pos; s->counted++)
		if (s->text[s->counted] == '\n')
			s->line++;
	return s->line;
}

static bool starts_with(const char *p, size_t n, const char *word)
{
	size_t len = strlen(word);

	return n >= len && !memcmp(p, word, len);
}

/* Length of the prefix at p, or 0. */
static size_t prefix_len(const char *p, size_t n)
{
	if (starts_with(p, n, "$$SCONE::"))
		return 9;
	if (starts_with(p, n, "$$SCONECAS:"))
		return 11;
	return 0;
}

static bool is_space(unsigned char c)
{
	return c <= 0x20 || c == 0x7f;
}

/* Is what stands behind the prefix a closed template? 0 and the rest of *ret, or -1 and why not. */
static int read_body(const struct scan *s, size_t body, struct site *ret, const char **ret_why)
{
	size_t end = body;

	while (end < s->n && s->text[end] != '$' && !is_space((unsigned char)s->text[end]))
		end++;
	if (end + 1 >= s->n || s->text[end] != '$' || s->text[end + 1] != '$') {
		*ret_why = "is not closed by $$ (a name holds no $ and no white space)";
		return -1;
	}
	ret->name = s->text + body;
	ret->len = 0;
	while (body + ret->len < end && s->text[body + ret->len] != ':' && s->text[body + ret->len] != '|')
		ret->len++;
	ret->suffix = ret->name + ret->len;
	ret->slen = end - body - ret->len;
	ret->end = end + 2;
	if (ret->len == 0) {
		*ret_why = "has no name";
		return -1;
	}
	return 0;
}

/* The next template: 1 and *ret, 0 at the end of the text, -1 with err for a malformed one (strict; otherwise such text is passed over). */
static int scan_next(struct scan *s, bool strict, struct site *ret, struct error *err)
{
	while (s->pos < s->n) {
		const char *hit = memchr(s->text + s->pos, '$', s->n - s->pos);
		const char *why = NULL;
		size_t at, plen;

		if (!hit)
			break;
		at = (size_t)(hit - s->text);
		plen = prefix_len(hit, s->n - at);
		if (plen == 0) {
			s->pos = at + 1;
			continue;
		}
		*ret = (struct site){.start = at, .line = line_at(s, at)};
		if (read_body(s, at + plen, ret, &why) == 0) {
			s->pos = ret->end;
			return 1;
		}
		if (strict)
			return error_set(
				err, ERR_INPUT, "line %d: template %.*s… %s", ret->line, (int)plen, hit, why);
		s->pos = at + plen;
	}
	s->pos = s->n;
	return 0;
}

/* Split "|encoding" off. */
static int take_encoding(const struct site *t, size_t *ret_format_len, bool *ret_json, struct error *err)
{
	static const char json[] = "|escape(json)";
	const char *bar = memchr(t->suffix, '|', t->slen);
	size_t flen = bar ? (size_t)(bar - t->suffix) : t->slen;

	if (bar && (t->slen - flen != sizeof json - 1 || memcmp(bar, json, sizeof json - 1)))
		return error_set(err, ERR_INPUT,
			"line %d: template of secret %.*s has the unknown encoding %.*s; there is "
			"|escape(json)",
			t->line, shown(t->name, t->len), t->name, shown(bar, t->slen - flen), bar);
	*ret_format_len = flen;
	*ret_json = bar != NULL;
	return 0;
}

/* The documented form `NAME.hex` is older than `NAME:hex`; .crt, .key and .chain belong to kinds that have certificates. */
static const char *const dotted[] = {".hex", ".crt", ".key", ".chain"};

static int find_value(const struct site *t, template_lookup lookup, void *arg, struct template_value *ret,
	const char **ret_dotted, struct error *err)
{
	*ret_dotted = NULL;
	if (lookup(arg, t->name, t->len, ret))
		return 0;
	for (size_t i = 0; i < sizeof dotted / sizeof *dotted; i++) {
		size_t n = strlen(dotted[i]);
		if (t->len <= n || memcmp(t->name + t->len - n, dotted[i], n) ||
			!lookup(arg, t->name, t->len - n, ret))
			continue;
		*ret_dotted = dotted[i];
		return 0;
	}
	return error_set(err, ERR_NOT_FOUND, "line %d: template names the secret %.*s, which does not exist",
		t->line, shown(t->name, t->len), t->name);
}

struct resolved {
	struct template_value value;
	enum format format;
	const char *part; /* FORMAT_PART */
	bool json;
};

static int find_format(
	const struct site *t, size_t flen, const char *dot, struct resolved *ret, struct error *err)
{
	const char *kind = ret->value.kind, *formats = secret_parts_formats(kind);
	bool binary = !strcmp(kind, "binary"), private;

	if (!strcmp(kind, TEMPLATE_SELF)) {
		ret->format = FORMAT_RAW;
		if (flen == strlen(SELF_TICKET) && !memcmp(t->suffix, SELF_TICKET, flen))
			return 0;
		return error_set(err, ERR_INPUT,
			"line %d: template self has the format %.*s; there is " SELF_TICKET, t->line,
			shown(t->suffix, flen), t->suffix);
	}
	if (!strcmp(kind, "config-fragment"))
		return error_set(err, ERR_INPUT,
			"line %d: template of secret %.*s, a config-fragment, which is no text [E-KIND]",
			t->line, shown(t->name, t->len), t->name);
	if (formats && (ret->part = secret_parts_of_format(kind, t->suffix, flen, dot, &private))) {
		ret->format = FORMAT_PART;
		return 0;
	}
	if (!formats)
		formats = binary ? "none, :bin, :hex, :base64, :base64url, :base32, :base32nopad" : "none";
	else
		binary = false;

	if (!secret_parts_formats(kind) && !dot && flen == 0) {
		ret->format = FORMAT_RAW;
		return 0;
	}
	if (binary && dot && flen == 0 && !strcmp(dot, ".hex")) {
		ret->format = FORMAT_HEX;
		return 0;
	}
	for (size_t i = 0; binary && !dot && i < sizeof binary_formats / sizeof *binary_formats; i++) {
		if (flen != strlen(binary_formats[i].word) || memcmp(t->suffix, binary_formats[i].word, flen))
			continue;
		ret->format = binary_formats[i].format;
		return 0;
	}
	return error_set(err, ERR_INPUT,
		"line %d: template of secret %.*s has the format %s%.*s, which kind %s lacks; there is %s",
		t->line, shown(t->name, t->len), t->name, dot ? dot : "", shown(t->suffix, flen), t->suffix,
		kind, formats);
}

static int resolve(
	const struct site *t, template_lookup lookup, void *arg, struct resolved *ret, struct error *err)
{
	const char *dot;
	size_t flen = 0;

	*ret = (struct resolved){.format = FORMAT_RAW};
	if (find_value(t, lookup, arg, &ret->value, &dot, err) || take_encoding(t, &flen, &ret->json, err))
		return -1;
	return find_format(t, flen, dot, ret, err);
}

/* Length of the UTF-8 sequence at p (RFC 3629), or 0. */
static size_t utf8_len(const uint8_t *p, size_t n)
{
	size_t len = p[0] < 0x80		    ? 1
		     : p[0] >= 0xc2 && p[0] <= 0xdf ? 2
		     : (p[0] & 0xf0) == 0xe0	    ? 3
		     : p[0] >= 0xf0 && p[0] <= 0xf4 ? 4
						    : 0;

	if (len == 0 || len > n)
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) ||
		(p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return len;
}

/* RFC 8259 section 7, without the quotes around. -1: not UTF-8. */
static int put_json(const uint8_t *p, size_t n, struct buf *out)
{
	static const char short_from[] = "\"\\\b\f\n\r\t", short_to[] = "\"\\bfnrt";

	for (size_t i = 0; i < n;) {
		size_t len = utf8_len(p + i, n - i);
		const char *at = p[i] ? strchr(short_from, p[i]) : NULL;

		if (len == 0)
			return -1;
		if (at) {
			buf_putc(out, '\\');
			buf_putc(out, short_to[at - short_from]);
		} else if (p[i] < 0x20) {
			buf_printf(out, "\\u%04x", p[i]);
		} else {
			buf_put(out, p + i, len);
		}
		i += len;
	}
	return 0;
}

static void put_format(const struct resolved *r, struct buf *out)
{
	const uint8_t *p = r->value.value;
	size_t n = r->value.len;

	switch (r->format) {
	case FORMAT_PART:
		if (secret_parts_get(r->value.value, r->value.len, r->part, (const void **)&p, &n))
			buf_put(out, p, n);
		break;
	case FORMAT_RAW:
		buf_put(out, p, n);
		break;
	case FORMAT_HEX:
		for (size_t i = 0; i < n; i++) {
			char digits[3];
			hex_encode(p + i, 1, digits);
			buf_put(out, digits, 2);
			secret_wipe(digits, sizeof digits);
		}
		break;
	case FORMAT_BASE64:
		base64_encode(p, n, out);
		break;
	case FORMAT_BASE64URL:
		base64url_encode(p, n, out);
		break;
	case FORMAT_BASE32:
		base32_encode(p, n, true, out);
		break;
	case FORMAT_BASE32NOPAD:
		base32_encode(p, n, false, out);
		break;
	}
}

static int put_value(const struct site *t, const struct resolved *r, struct buf *out, struct error *err)
{
	struct buf text;
	const void *part;
	size_t n;
	int rc;

	if (r->format == FORMAT_PART && !secret_parts_get(r->value.value, r->value.len, r->part, &part, &n))
		return error_set(err, ERR_INPUT,
			"line %d: secret %.*s has no %s: its private key is not here [E-KIND]", t->line,
			shown(t->name, t->len), t->name, r->part);
	if (!r->json) {
		put_format(r, out);
		return 0;
	}
	buf_init_secret(&text, out->max);
	put_format(r, &text);
	rc = put_json(text.data, text.len, out);
	if (text.failed)
		rc = error_set(err, ERR_LIMIT, "line %d: secret %.*s does not fit", t->line,
			shown(t->name, t->len), t->name);
	else if (rc)
		error_set(err, ERR_INPUT,
			"line %d: secret %.*s is not UTF-8, which |escape(json) needs; give a text format "
			"such as :base64",
			t->line, shown(t->name, t->len), t->name);
	buf_free(&text);
	return rc;
}

int template_expand(const char *text, size_t n, template_lookup lookup, void *arg, bool strict,
	struct buf *out, struct error *err)
{
	struct scan s = {.text = text, .n = n, .line = 1};
	size_t before = out->len, done = 0;
	struct site t;
	int rc;

	while ((rc = scan_next(&s, strict, &t, err)) == 1) {
		struct resolved r;

		buf_put(out, text + done, t.start - done);
		done = t.end;
		if (resolve(&t, lookup, arg, &r, err) || put_value(&t, &r, out, err)) {
			rc = -1;
			break;
		}
	}
	if (rc == 0) {
		buf_put(out, text + done, n - done);
		if (!out->failed)
			return 0;
		rc = error_set(err, ERR_LIMIT, "text with its templates replaced is longer than %zu bytes",
			out->max);
	}
	buf_truncate(out, before);
	return rc;
}

int template_each(const char *text, size_t n, bool strict,
	int (*f)(void *arg, const char *name, size_t len, const char *suffix, size_t slen, int line),
	void *arg, struct error *err)
{
	struct scan s = {.text = text, .n = n, .line = 1};
	struct site t;
	int rc;

	while ((rc = scan_next(&s, strict, &t, err)) == 1) {
		rc = f(arg, t.name, t.len, t.suffix, t.slen, t.line);
		if (rc)
			return rc;
	}
	return rc;
}

int template_check(const char *name, size_t len, const char *suffix, size_t slen, int line,
	template_lookup lookup, void *arg, struct error *err)
{
	struct site t = {.name = name, .len = len, .suffix = suffix, .slen = slen, .line = line};
	struct resolved r;

	return resolve(&t, lookup, arg, &r, err);
}
