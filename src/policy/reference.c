/* How a session names another one and what it has: maps and one-line forms (session language 7.1). */
#include <stdlib.h>
#include <string.h>
#include "crypto/key.h"
#include "policy/schema.h"

#define CAS_URL_MAX 1024

static const struct key_rule reference_keys[] = {
	{"session", KEY_OK, 0},
	{"session_hash", KEY_OK, 0},
	{"namespace", KEY_OK, 6},
	{"secret", KEY_OK, 0},
	{"volume", KEY_OK, 0},
	{"cas_url", KEY_OK, 0},
	{"cas_key", KEY_OK, 0},
	{"cas_software_key", KEY_UNSUPPORTED, 0},
	{NULL, KEY_OK, 0},
};

void session_ref_clear(struct session_ref *r)
{
	free(r->session);
	free(r->item);
	free(r->cas_url);
}

/* One segment of a relative path onto name, which has room. -1: above the root. */
static int walk(char *name, const char *segment, size_t n)
{
	char *end = strrchr(name, '/');
	size_t len = strlen(name);

	if (n == 1 && segment[0] == '.')
		return 0;
	if (n == 2 && !memcmp(segment, "..", 2)) {
		if (len == 0)
			return -1;
		*(end ? end : name) = '\0';
		return 0;
	}
	if (len)
		name[len++] = '/';
	memcpy(name + len, segment, n);
	name[len + n] = '\0';
	return 0;
}

char *reference_name(struct parse *p, const struct ynode *n, const char *text, size_t len)
{
	const char *own = p->s->name ? p->s->name : "", *at = text, *end = text + len;
	size_t room = strlen(own) + len + 2;
	struct error err;
	char *name;

	if (len == 0 || text[0] != '.')
		name = parse_strdup(p, text, len);
	else if ((name = calloc(1, room)) == NULL)
		parse_nomem(p);
	if (!name)
		return NULL;
	if (len && text[0] == '.') {
		feature_since(p, n, "a relative session name", 10);
		memcpy(name, own, strlen(own) + 1);
		while (at < end) {
			const char *slash = memchr(at, '/', (size_t)(end - at));
			size_t step = slash ? (size_t)(slash - at) : (size_t)(end - at);

			if (walk(name, at, step)) {
				ynode_diag(p->d, n, "E-NS", "%.80s leads above the root from session %s",
					text, own);
				free(name);
				return NULL;
			}
			at += slash ? step + 1 : step;
		}
	}
	if (session_name_check(name, &err)) {
		ynode_diag(p->d, n, err.code == ERR_LIMIT ? "E-LENGTH" : "E-CHARSET", "\"%.80s\": %s", name,
			err.text);
		free(name);
		return NULL;
	}
	return name;
}

static void set_session(struct parse *p, const struct ynode *n, const char *text, size_t len, bool below,
	struct session_ref *ret)
{
	if (ret->session) {
		ynode_diag(p->d, n, "E-CONFLICT", "session and namespace exclude each other");
		return;
	}
	ret->session = reference_name(p, n, text, len);
	ret->below = below;
}

/* HOST[:PORT], several of one CAS with commas between; "https://" and a last '/' are only dress. */
static void set_cas_url(
	struct parse *p, const struct ynode *n, const char *text, size_t len, struct session_ref *ret)
{
	static const char dress[] = "https://";
	static const char known[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_:[],";
	size_t skip = len > sizeof dress - 1 && !memcmp(text, dress, sizeof dress - 1) ? sizeof dress - 1 : 0;

	text += skip;
	len -= skip;
	if (skip && len && text[len - 1] == '/')
		len--;
	for (size_t i = 0; i < len; i++)
		if (!text[i] || !strchr(known, text[i]))
			len = 0;
	if (len == 0 || len > CAS_URL_MAX) {
		ynode_diag(p->d, n, "E-VALUE",
			"no address of a CAS: HOST[:PORT] or https://HOST[:PORT] is wanted, of up to %d "
			"characters",
			CAS_URL_MAX);
		return;
	}
	free(ret->cas_url);
	ret->cas_url = parse_strdup(p, text, len);
}

static void set_cas_key(
	struct parse *p, const struct ynode *n, const char *text, size_t len, struct session_ref *ret)
{
	struct error err;

	if (key_hash_parse(text, len, ret->cas_key, &err))
		ynode_diag(
			p->d, n, "E-VALUE", "no key hash of a CAS (`scone cas list` shows it): %s", err.text);
	else
		ret->at_cas = true;
}

static const char *item_word(enum ref_use use)
{
	return use == REF_IMPORT_VOLUME ? "volume" : "secret";
}

static void check_whole(
	struct parse *p, const struct ynode *n, size_t errors, enum ref_use use, struct session_ref *ret)
{
	bool import = use == REF_IMPORT_SECRET || use == REF_IMPORT_VOLUME;

	if (p->d->errors > errors)
		return;
	if (!ret->session)
		ynode_diag(p->d, n, "E-MISSING", "%s is wanted",
			use == REF_EXPORT_SECRET ? "session or namespace" : "session");
	else if (ret->below && ret->has_hash)
		ynode_diag(p->d, n, "E-CONFLICT", "a namespace has no session_hash");
	else if (ret->below && use != REF_EXPORT_SECRET)
		ynode_diag(p->d, n, "E-CONFLICT", "%s, not a namespace",
			import ? "an import is from one session" : "a volume is exported to one session");
	else if (use != REF_EXPORT_SECRET && use != REF_IMPORT_SECRET && (ret->at_cas || ret->cas_url))
		ynode_diag(p->d, n, "E-CONFLICT", "a volume is shared within one CAS");
	else if (ret->cas_url && !ret->at_cas)
		ynode_diag(p->d, n, "E-MISSING", "cas_key is wanted: without it any CAS there would do");
	else if (import && ret->at_cas && !ret->cas_url)
		ynode_diag(p->d, n, "E-MISSING", "cas_url is wanted: where the CAS with that key is");
	else if (import && !ret->item)
		ynode_diag(p->d, n, "E-MISSING", "%s is wanted: its name at the exporter", item_word(use));
}

/* The item's name; the other kind of item has no place here. */
static void read_item(struct parse *p, const struct ynode *n, enum ref_use use, struct session_ref *ret)
{
	const struct ynode *secret = ynode_get(n, "secret"), *volume = ynode_get(n, "volume");

	if (secret && use != REF_IMPORT_SECRET)
		ynode_diag_key(p->d, secret, "E-CONFLICT",
			use == REF_IMPORT_VOLUME ? "a volume is imported by the key volume"
						 : "an export names who may have it, no secret");
	else if (secret && want_segment(p, secret))
		ret->item = parse_strdup(p, secret->text, secret->len);
	if (volume && use != REF_IMPORT_VOLUME)
		ynode_diag_key(p->d, volume, "E-CONFLICT",
			use == REF_IMPORT_SECRET ? "a secret is imported by the key secret"
						 : "an export names who may have it, no volume");
	else if (volume && want_text(p, volume, false))
		ret->item = parse_strdup(p, volume->text, volume->len);
}

static void read_map(struct parse *p, const struct ynode *n, enum ref_use use, struct session_ref *ret)
{
	const struct ynode *session = ynode_get(n, "session"), *hash = ynode_get(n, "session_hash"),
			   *url = ynode_get(n, "cas_url"), *key = ynode_get(n, "cas_key"),
			   *space = ynode_get(n, "namespace");
	size_t errors = p->d->errors;

	keys_check(p, n, reference_keys);
	if (session && want_text(p, session, false))
		set_session(p, session, session->text, session->len, false, ret);
	if (space && want_text(p, space, false))
		set_session(p, space, space->text, space->len, true, ret);
	if (url && want_text(p, url, false))
		set_cas_url(p, url, url->text, url->len, ret);
	if (key && want_text(p, key, false))
		set_cas_key(p, key, key->text, key->len, ret);
	if (hash)
		ret->has_hash = want_hex(p, hash, ret->hash, sizeof ret->hash);
	read_item(p, n, use, ret);
	check_whole(p, n, errors, use, ret);
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if ((c | 32) >= 'a' && (c | 32) <= 'f')
		return (c | 32) - 'a' + 10;
	return -1;
}

bool reference_hash(const char *text, size_t n, uint8_t ret[SESSION_HASH_LEN])
{
	if (n != 2 * SESSION_HASH_LEN)
		return false;
	for (size_t i = 0; i < n; i += 2) {
		int hi = hex_digit(text[i]), lo = hex_digit(text[i + 1]);

		if (hi < 0 || lo < 0)
			return false;
		ret[i / 2] = (uint8_t)(hi << 4 | lo);
	}
	return true;
}

static void read_pair(struct parse *p, const struct ynode *n, const char *pair, size_t len, enum ref_use use,
	struct session_ref *ret)
{
	const char *eq = memchr(pair, '=', len), *value = eq ? eq + 1 : pair + len;
	size_t key = eq ? (size_t)(eq - pair) : len, left = len - (size_t)(value - pair);

	if (key == 7 && !memcmp(pair, "session", 7) && left && value[0] != '.')
		set_session(p, n, value, left, false, ret);
	else if (key == 9 && !memcmp(pair, "namespace", 9) && left && value[0] != '.')
		set_session(p, n, value, left, true, ret);
	else if (key == 12 && !memcmp(pair, "session_hash", 12) && reference_hash(value, left, ret->hash))
		ret->has_hash = true;
	else if (key == 7 && !memcmp(pair, "cas_key", 7) && !ret->at_cas && left)
		set_cas_key(p, n, value, left, ret);
	else if (key == 6 && !memcmp(pair, "secret", 6) && use == REF_IMPORT_SECRET && !ret->item &&
		 !name_segment_check(value, left, NULL))
		ret->item = parse_strdup(p, value, left);
	else if (key == 6 && !memcmp(pair, "volume", 6) && use == REF_IMPORT_VOLUME && !ret->item && left)
		ret->item = parse_strdup(p, value, left);
	else
		ynode_diag(p->d, n, "E-VALUE",
			"%s: \"%.*s\" is none of session=NAME, namespace=NAME, session_hash=HEX, "
			"cas_key=KEYHASH, "
			"%s=NAME "
			"that may stand here, with an absolute name",
			show(n).s, (int)(len < 80 ? len : 80), pair, item_word(use));
}

/* [HOST]/key=value,key=value */
static void read_line(struct parse *p, const struct ynode *n, enum ref_use use, struct session_ref *ret)
{
	const char *at = memchr(n->text, '/', n->len), *end = n->text + n->len;
	size_t errors = p->d->errors;

	if (!at && p->old == 2) {
		read_old_reference(p, n, ret);
		return;
	}
	if (!at) {
		ynode_diag(p->d, n, "E-VALUE", "%s is no reference; a map, or /session=NAME in one line is",
			show(n).s);
		return;
	}
	if (at != n->text)
		set_cas_url(p, n, n->text, (size_t)(at - n->text), ret);
	for (at++; at < end;) {
		const char *comma = memchr(at, ',', (size_t)(end - at));
		size_t len = comma ? (size_t)(comma - at) : (size_t)(end - at);

		read_pair(p, n, at, len, use, ret);
		at += comma ? len + 1 : len;
	}
	check_whole(p, n, errors, use, ret);
}

void read_reference(struct parse *p, const struct ynode *n, enum ref_use use, struct session_ref *ret)
{
	if (n->kind == YNODE_MAP)
		read_map(p, n, use, ret);
	else if (want_text(p, n, false))
		read_line(p, n, use, ret);
}

bool session_ref_admits(const struct session_ref *r, const uint8_t *cas_key, const char *session,
	const uint8_t hash[SESSION_HASH_LEN])
{
	size_t n = strlen(r->session);

	if (r->at_cas ? !cas_key || memcmp(r->cas_key, cas_key, sizeof r->cas_key) != 0 : cas_key != NULL)
		return false;
	if (strncmp(r->session, session, n))
		return false;
	return session[n] == '\0' ? (!r->has_hash || !memcmp(r->hash, hash, SESSION_HASH_LEN))
				  : (r->below && session[n] == '/');
}
