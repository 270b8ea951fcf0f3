#include "policy/schema.h"

#include <stdlib.h>
#include <string.h>
#include "core/encode.h"
#include "policy/name.h"

struct shown show(const struct ynode *n)
{
	struct shown r;
	size_t out = 0, max = 48;

	if (n->kind != YNODE_SCALAR || n->hidden) {
		const char *what = n->hidden		  ? "the value of a secret"
				   : n->kind == YNODE_MAP ? "a map"
							  : "a list";
		memcpy(r.s, what, strlen(what) + 1);
		return r;
	}
	r.s[out++] = '"';
	for (size_t i = 0; i < n->len && i < max; i++) {
		unsigned char c = (unsigned char)n->text[i];
		if (i == max - 1 && n->len > max) {
			memcpy(r.s + out, "…", 3);
			out += 3;
		} else {
			r.s[out++] = c < 0x20 || c >= 0x7f ? '?' : (char)c;
		}
	}
	r.s[out++] = '"';
	r.s[out] = 0;
	return r;
}

void parse_nomem(struct parse *p)
{
	diag_add(p->d, "E-INTERNAL", "", 0, 0, "out of memory");
}

void *parse_grow(struct parse *p, void *array, size_t *count, size_t size)
{
	char *fresh = reallocarray(array, *count + 1, size);

	if (!fresh) {
		parse_nomem(p);
		return NULL;
	}
	memset(fresh + *count * size, 0, size);
	++*count;
	return fresh;
}

char *parse_strdup(struct parse *p, const char *s, size_t n)
{
	char *copy = malloc(n + 1);

	if (!copy) {
		parse_nomem(p);
		return NULL;
	}
	memcpy(copy, s, n);
	copy[n] = 0;
	return copy;
}

void feature_since(struct parse *p, const struct ynode *n, const char *what, int since)
{
	if (since > p->minor)
		ynode_diag_key(p->d, n, "W-VERSION", "%s came with 0.3.%d, the document says version %s",
			what, since, p->s->version);
}

void unsupported(struct parse *p, const struct ynode *n, const char *what)
{
	if (!n->bad)
		ynode_diag_key(p->d, n, "E-UNSUPPORTED", UNSUPPORTED "%s", what);
}

#define KEYS_MAX 40

static void report_unknown(struct parse *p, const struct ynode *n, const struct key_rule *rules)
{
	const char *words[KEYS_MAX + 1], *near;
	size_t count = 0;

	for (const struct key_rule *r = rules; r->name && count < KEYS_MAX; r++)
		words[count++] = r->name;
	words[count] = NULL;
	near = p->d->truncated ? NULL : name_nearest(n->key, n->key_len, words);
	if (near)
		ynode_diag_key(
			p->d, n, "E-UNKNOWN", "the language has no such key here; did you mean %s?", near);
	else
		ynode_diag_key(p->d, n, "E-UNKNOWN", "the language has no such key here");
}

void keys_check(struct parse *p, const struct ynode *map, const struct key_rule *rules)
{
	for (size_t i = 0; i < map->count; i++) {
		const struct ynode *n = map->items[i];
		const struct key_rule *r = rules;

		while (r->name && (strlen(r->name) != n->key_len || memcmp(r->name, n->key, n->key_len)))
			r++;
		if (n->bad && !r->name)
			continue;
		if (!r->name)
			report_unknown(p, n, rules);
		else if (r->state == KEY_OLD && p->old == 1)
			ynode_diag_key(p->d, n, "W-IGNORED", "%s of version 0.1 has no effect", r->name);
		else if (r->state != KEY_OK)
			unsupported(p, n, r->name);
		else
			feature_since(p, n, r->name, r->since);
	}
}

static bool want_kind(struct parse *p, const struct ynode *n, enum ynode_kind kind, const char *wanted)
{
	if (!n || n->bad)
		return false;
	if (n->kind == kind)
		return true;
	ynode_diag(p->d, n, "E-TYPE", "a %s stands here, a %s is wanted", ynode_kind_name(n), wanted);
	return false;
}

bool want_map(struct parse *p, const struct ynode *n)
{
	return want_kind(p, n, YNODE_MAP, "map");
}

bool want_list(struct parse *p, const struct ynode *n)
{
	return want_kind(p, n, YNODE_LIST, "list");
}

bool want_text(struct parse *p, const struct ynode *n, bool nul_ok)
{
	if (!want_kind(p, n, YNODE_SCALAR, "text"))
		return false;
	if (ynode_null(n)) {
		ynode_diag(p->d, n, "E-TYPE", "null stands here, a text is wanted (\"\" for an empty one)");
		return false;
	}
	if (!nul_ok && memchr(n->text, 0, n->len)) {
		ynode_diag(p->d, n, "E-NUL", "a NUL byte at character %zu; none can stand here",
			strlen(n->text) + 1);
		return false;
	}
	return true;
}

const struct ynode *want_key(struct parse *p, const struct ynode *map, const char *key)
{
	const struct ynode *n = ynode_get(map, key);

	if (!n)
		ynode_diag(p->d, map, "E-MISSING", "the key %s is required here", key);
	return n;
}

static bool is_hex(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

bool want_hex(struct parse *p, const struct ynode *n, uint8_t *ret, size_t len)
{
	if (!want_text(p, n, true))
		return false;
	for (size_t i = 0; i < n->len; i++) {
		if (is_hex(n->text[i]))
			continue;
		ynode_diag(p->d, n, "E-HEX", "%s: character %zu is no hex digit; %zu hex digits are wanted",
			show(n).s, i + 1, 2 * len);
		return false;
	}
	if (n->len != 2 * len || hex_decode(n->text, n->len, ret, len)) {
		ynode_diag(
			p->d, n, "E-HEX", "%s: %zu hex digits; %zu are wanted", show(n).s, n->len, 2 * len);
		return false;
	}
	return true;
}

bool want_uint(struct parse *p, const struct ynode *n, uint32_t min, uint32_t max, uint32_t *ret)
{
	uint64_t v = 0;

	if (!want_text(p, n, false))
		return false;
	if (n->len == 0 || strspn(n->text, "0123456789") != n->len) {
		ynode_diag(p->d, n, "E-TYPE", "%s stands here, an integer is wanted", show(n).s);
		return false;
	}
	for (size_t i = 0; i < n->len && v <= max; i++)
		v = v * 10 + (uint64_t)(n->text[i] - '0');
	if (v < min || v > max) {
		ynode_diag(p->d, n, "E-RANGE", "%s; %u to %u is allowed", show(n).s, min, max);
		return false;
	}
	*ret = (uint32_t)v;
	return true;
}

bool want_bool(struct parse *p, const struct ynode *n, bool *ret)
{
	if (!want_text(p, n, false))
		return false;
	*ret = text_is(n, "true");
	if (*ret || text_is(n, "false"))
		return true;
	ynode_diag(p->d, n, "E-TYPE", "%s stands here, true or false is wanted", show(n).s);
	return false;
}

int want_word(struct parse *p, const struct ynode *n, const char *const *words)
{
	struct buf list;
	const char *near;

	if (!want_text(p, n, true))
		return -1;
	for (int i = 0; words[i]; i++)
		if (text_is(n, words[i]))
			return i;
	buf_init(&list, 1024);
	for (int i = 0; words[i]; i++)
		buf_printf(&list, "%s%s", i ? ", " : "", words[i]);
	near = name_nearest(n->text, n->len, words);
	ynode_diag(p->d, n, "E-VALUE", "%s is none of %s%s%s%s", show(n).s, buf_cstr(&list),
		near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
	buf_free(&list);
	return -1;
}

bool want_segment(struct parse *p, const struct ynode *n)
{
	struct error err;

	if (!want_text(p, n, true))
		return false;
	if (name_segment_check(n->text, n->len, &err) == 0)
		return true;
	ynode_diag(p->d, n, err.code == ERR_LIMIT ? "E-LENGTH" : "E-CHARSET", "%s: %s", show(n).s, err.text);
	return false;
}

bool text_is(const struct ynode *n, const char *word)
{
	return n && n->kind == YNODE_SCALAR && n->len == strlen(word) && !memcmp(n->text, word, n->len);
}

bool refuse_template(struct parse *p, const struct ynode *n, const char *place)
{
	if (!n || n->bad || n->kind != YNODE_SCALAR)
		return false;
	if (!memmem(n->text, n->len, "$$SCONE::", 9) && !memmem(n->text, n->len, "$$SCONECAS:", 11))
		return false;
	ynode_diag(p->d, n, "E-UNSUPPORTED", UNSUPPORTED "a template in %s", place);
	return true;
}

bool is_open(struct parse *p, const struct ynode *n)
{
	if (!n || !n->open)
		return false;
	p->met_open = true;
	return true;
}

struct template_walk {
	struct parse *p;
	const struct ynode *n;
	bool no_nul, config;
};

static int secret_order(const void *a, const void *b)
{
	const struct secret_spec *x = *(const struct secret_spec *const *)a,
				 *y = *(const struct secret_spec *const *)b;

	return strcmp(x->name, y->name);
}

void index_secrets(struct parse *p)
{
	p->sorted = calloc(p->s->secret_count + 1, sizeof *p->sorted);
	if (!p->sorted) {
		parse_nomem(p);
		return;
	}
	for (size_t i = 0; i < p->s->secret_count; i++)
		if (p->s->secrets[i].name)
			p->sorted[p->sorted_count++] = &p->s->secrets[i];
	qsort(p->sorted, p->sorted_count, sizeof *p->sorted, secret_order);
}

const struct secret_spec *find_secret(const struct parse *p, const char *name, size_t len)
{
	size_t low = 0, high = p->sorted_count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		const char *have = p->sorted[mid]->name;
		int c = strncmp(have, name, len);
		if (c == 0 && have[len] == 0)
			return p->sorted[mid];
		if (c < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

static bool lookup_kind(void *arg, const char *name, size_t len, struct template_value *ret)
{
	const struct template_walk *w = arg;
	const struct secret_spec *s = find_secret(w->p, name, len);

	if (len == strlen(TEMPLATE_SELF) && !memcmp(name, TEMPLATE_SELF, len)) {
		*ret = (struct template_value){.kind = TEMPLATE_SELF};
		return true;
	}
	if (!s)
		return false;
	*ret = (struct template_value){.kind = secret_kind_name(s->kind)};
	return true;
}

bool names_foreign(const struct parse *p, const char *name, size_t len)
{
	for (size_t i = 0; i < p->foreign_count; i++) {
		size_t n = p->foreign[i]->len;
		if (len >= n && !memcmp(name, p->foreign[i]->text, n) && (len == n || name[n] == '.'))
			return true;
	}
	return false;
}

/* Imported without a kind, also in its dotted form: which formats it has shows when it is used. */
static bool names_unknown_import(const struct parse *p, const char *name, size_t len)
{
	const struct secret_spec *s = find_secret(p, name, len);
	const char *dot = memrchr(name, '.', len);

	if (!s && dot)
		s = find_secret(p, name, (size_t)(dot - name));
	return s && s->imported && !s->kind_known;
}

static void check_format_age(const struct template_walk *w, const char *suffix, size_t slen)
{
	static const struct key_rule formats[] = {{"|escape(json)", KEY_OK, 10}, {":base64url", KEY_OK, 10},
		{":base32", KEY_OK, 10}, {":base64", KEY_OK, 6}, {":hex", KEY_OK, 5}, {":bin", KEY_OK, 5}};

	for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
		if (!memmem(suffix, slen, formats[i].name, strlen(formats[i].name)))
			continue;
		feature_since(w->p, w->n, formats[i].name, formats[i].since);
		return;
	}
}

#define SUGGESTED_FROM 100 /* secrets */

static const char *nearest_secret(const struct parse *p, const char *name, size_t len)
{
	const char *words[SUGGESTED_FROM + 1];
	size_t count = 0;

	for (size_t i = 0; i < p->s->secret_count && count < SUGGESTED_FROM; i++)
		if (p->s->secrets[i].name)
			words[count++] = p->s->secrets[i].name;
	words[count] = NULL;
	return name_nearest(name, len, words);
}

/* The template engine counts lines inside the scalar; for a scalar of one line that says nothing. */
static const char *without_line(const struct ynode *n, const char *text)
{
	static const char first[] = "line 1: ";

	return !memchr(n->text, '\n', n->len) && !strncmp(text, first, sizeof first - 1)
		       ? text + sizeof first - 1
		       : text;
}

static int check_site(void *arg, const char *name, size_t len, const char *suffix, size_t slen, int line)
{
	struct template_walk *w = arg;
	const struct secret_spec *spec;
	struct error err;

	if (w->p->d->truncated && w->p->d->errors) /* refused, and nothing more would be shown */
		return 1;
	if (names_foreign(w->p, name, len) || names_unknown_import(w->p, name, len))
		return 0;
	spec = find_secret(w->p, name, len);
	if (spec && spec->kind == SECRET_FRAGMENT && w->config && slen == 0)
		return 0;
	if (spec && spec->kind == SECRET_FRAGMENT) {
		ynode_diag(w->p->d, w->n, "E-KIND", "secret %s is a config-fragment, which is no text",
			spec->name);
		return 0;
	}
	if (template_check(name, len, suffix, slen, line, lookup_kind, w, &err) == 0) {
		const struct secret_spec *s = find_secret(w->p, name, len);
		check_format_age(w, suffix, slen);
		if (w->no_nul && s && s->kind == SECRET_BINARY && !s->has_value &&
			(slen == 0 || (slen == 4 && !memcmp(suffix, ":bin", 4))))
			ynode_diag(w->p->d, w->n, "W-NUL",
				"secret %s stands here as raw random bytes; the start fails whenever a NUL "
				"byte is among them, :hex never does",
				s->name);
	} else if (err.code == ERR_NOT_FOUND) {
		const char *near = nearest_secret(w->p, name, len);
		ynode_diag(w->p->d, w->n, "E-REF", "%s%s%s%s", without_line(w->n, err.text),
			near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
	} else {
		ynode_diag(w->p->d, w->n, "E-TEMPLATE", "%s", without_line(w->n, err.text));
	}
	return 0;
}

static void check_each(struct template_walk *w, const char *text, size_t len)
{
	struct parse *p = w->p;
	const struct ynode *n = w->n;
	struct error err;

	if (template_each(text, len, true, check_site, w, &err) < 0)
		ynode_diag(p->d, n, "E-TEMPLATE", "%s", without_line(n, err.text));
	for (const char *at = text; (at = memmem(at, len - (size_t)(at - text), "$$SCONE:", 8)); at++) {
		size_t left = len - (size_t)(at - text);
		if (left == 8 || at[8] != ':')
			ynode_diag(p->d, n, "W-TEMPLATE",
				"$$SCONE: with one colon starts no template and stays as text; $$SCONE:: "
				"does");
	}
}

void check_templates(struct parse *p, const struct ynode *n, const char *text, size_t len, bool no_nul)
{
	check_each(&(struct template_walk){.p = p, .n = n, .no_nul = no_nul}, text, len);
}

void check_config_templates(struct parse *p, const struct ynode *n, const char *text, size_t len)
{
	check_each(&(struct template_walk){.p = p, .n = n, .config = true}, text, len);
}
