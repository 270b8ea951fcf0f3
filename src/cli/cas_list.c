/* cas_list: see cas_list.h. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "cli/cas_list.h"
#include "cli/home.h"
#include "core/buf.h"
#include "core/encode.h"
#include "wire/http_client.h"

#define CAS_FILE "cas.json"
#define SESSIONS_FILE "sessions.json"

int cas_name_check(const char *name, struct error *err)
{
	size_t n = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.");

	if (!*name || name[n] || n > 64)
		return error_set(err, ERR_INPUT,
			"CAS name '%s': 1 to 64 letters, digits, '_', '-', '.' are wanted", name);
	return 0;
}

int cas_address_parse(const char *address, char **ret_host, char ret_port[8], struct error *err)
{
	const char *colon, *host = address, *port = NULL;
	size_t n;
	char *end;
	long v;

	if (*address == '[') {
		host = address + 1;
		colon = strchr(host, ']');
		n = colon ? (size_t)(colon - host) : 0;
		if (colon && colon[1] == ':')
			port = colon + 2;
		else if (!colon || colon[1])
			n = 0;
	} else {
		colon = strchr(address, ':');
		n = colon ? (size_t)(colon - address) : strlen(address);
		port = colon ? colon + 1 : NULL;
	}
	if (!n || n > 253 || strcspn(address, "/@ \t\r\n") != strlen(address))
		return error_set(
			err, ERR_INPUT, "address '%s': HOST, HOST:PORT or [V6]:PORT is wanted", address);
	if (port) {
		v = strtol(port, &end, 10);
		if (*port < '0' || *port > '9' || *end || v < 1 || v > 65535)
			return error_set(
				err, ERR_INPUT, "address '%s': port '%s', wanted 1 to 65535", address, port);
	} else {
		v = CAS_DEFAULT_PORT;
	}
	*ret_host = strndup(host, n);
	if (!*ret_host)
		return error_set(err, ERR_NOMEM, "no memory");
	(void)snprintf(ret_port, 8, "%ld", v);
	return 0;
}

int cas_addresses_each(const char *addresses, int (*f)(void *arg, const char *address, struct error *err),
	void *arg, struct error *err)
{
	char *copy = strdup(addresses), *rest = copy, *one, *host, port[8];
	int rc = copy ? 0 : error_set(err, ERR_NOMEM, "no memory");

	while (!rc && (one = strsep(&rest, ","))) {
		rc = cas_address_parse(one, &host, port, err);
		if (rc)
			break;
		free(host);
		rc = f ? f(arg, one, err) : 0;
	}
	free(copy);
	return rc;
}

/* Read a JSON object with version 1; no file gives *ret NULL. */
static int load(const char *name, json_t **ret, struct error *err)
{
	char *path = home_path(name, err);
	json_error_t je;
	struct buf b;
	int rc;

	*ret = NULL;
	if (!path)
		return -1;
	buf_init(&b, HOME_FILE_MAX);
	rc = home_read(name, false, &b, err);
	if (rc) {
		rc = err->code == ERR_NOT_FOUND ? 0 : -1;
		goto out;
	}
	*ret = json_loadb((char *)b.data, b.len, JSON_REJECT_DUPLICATES, &je);
	if (!*ret)
		rc = error_set(err, ERR_INPUT, "%s:%d:%d: %s", path, je.line, je.column, je.text);
	else if (json_integer_value(json_object_get(*ret, "version")) != 1)
		rc = error_set(err, ERR_INPUT, "%s: \"version\": 1 is wanted", path);
	if (rc) {
		json_decref(*ret);
		*ret = NULL;
	}
out:
	buf_free(&b);
	free(path);
	return rc;
}

static int save(const char *name, const json_t *j, struct error *err)
{
	char *text = json_dumps(j, JSON_INDENT(2) | JSON_SORT_KEYS);
	int rc;

	if (!text)
		return error_set(err, ERR_NOMEM, "no memory");
	rc = home_write(name, text, strlen(text), false, err);
	free(text);
	return rc;
}

static int entry_from_json(const json_t *j, struct cas_entry *e, struct error *err)
{
	const char *name = json_string_value(json_object_get(j, "name"));
	const char *address = json_string_value(json_object_get(j, "address"));
	const char *key = json_string_value(json_object_get(j, "key"));

	if (!name || !address || !key)
		return error_set(
			err, ERR_INPUT, CAS_FILE ": each entry wants name, address and key, all text");
	if (key_hash_parse(key, strlen(key), e->key, err))
		return error_wrap(err, CAS_FILE ": key of '%s'", name);
	e->name = strdup(name);
	e->address = strdup(address);
	return e->name && e->address ? 0 : error_set(err, ERR_NOMEM, "no memory");
}

int cas_list_load(struct cas_list *ret, struct error *err)
{
	struct cas_list l = {0};
	const json_t *list, *item;
	const char *def;
	json_t *root;
	size_t i;

	if (load(CAS_FILE, &root, err))
		return -1;
	list = json_object_get(root, "cas");
	l.entries = calloc(json_array_size(list) + 1, sizeof(*l.entries));
	if (!l.entries)
		goto nomem;
	json_array_foreach (list, i, item) {
		if (entry_from_json(item, &l.entries[l.count++], err))
			goto fail;
	}
	def = json_string_value(json_object_get(root, "default"));
	if (def && !(l.default_name = strdup(def)))
		goto nomem;
	json_decref(root);
	*ret = l;
	return 0;
nomem:
	error_set(err, ERR_NOMEM, "no memory");
fail:
	cas_list_free(&l);
	json_decref(root);
	return -1;
}

void cas_list_free(struct cas_list *l)
{
	for (size_t i = 0; i < l->count; i++) {
		free(l->entries[i].name);
		free(l->entries[i].address);
	}
	free(l->entries);
	free(l->default_name);
	memset(l, 0, sizeof(*l));
}

static bool same_address(const char *a, const char *b)
{
	char *ha = NULL, *hb = NULL, pa[8], pb[8];
	bool same = !strcmp(a, b) ||
		    (!cas_address_parse(a, &ha, pa, NULL) && !cas_address_parse(b, &hb, pb, NULL) &&
			    !strcasecmp(ha, hb) && !strcmp(pa, pb));

	free(ha);
	free(hb);
	return same;
}

const struct cas_entry *cas_list_find(const struct cas_list *l, const char *name_or_address)
{
	for (size_t i = 0; i < l->count; i++)
		if (!strcmp(l->entries[i].name, name_or_address))
			return &l->entries[i];
	for (size_t i = 0; i < l->count; i++)
		if (same_address(l->entries[i].address, name_or_address))
			return &l->entries[i];
	return NULL;
}

static int save_list(const struct cas_list *l, struct error *err)
{
	json_t *list = json_array(),
	       *root = json_pack("{s:i,s:s?,s:o}", "version", 1, "default", l->default_name, "cas", list);
	char key[KEY_HASH_TEXT_MAX];
	int rc = 0;

	for (size_t i = 0; root && !rc && i < l->count; i++) {
		key_hash_text(l->entries[i].key, key);
		rc = json_array_append_new(list, json_pack("{s:s,s:s,s:s}", "name", l->entries[i].name,
							 "address", l->entries[i].address, "key", key));
	}
	rc = root && !rc ? save(CAS_FILE, root, err) : error_set(err, ERR_NOMEM, "no memory");
	json_decref(root);
	return rc;
}

/* Put the entry into l, which has room for one more. */
static int put(struct cas_list *l, const char *name, const char *address, const uint8_t key[KEY_HASH_LEN],
	bool replace, struct error *err)
{
	struct cas_entry *e = NULL;
	char text[KEY_HASH_TEXT_MAX];

	for (size_t i = 0; i < l->count && !e; i++)
		if (!strcmp(l->entries[i].name, name))
			e = &l->entries[i];
	if (e && !replace) {
		key_hash_text(e->key, text);
		return error_set(err, ERR_EXISTS,
			"CAS '%s' is known already: %s with key %s; --replace replaces it", name, e->address,
			text);
	}
	if (!e)
		e = &l->entries[l->count++];
	free(e->name);
	free(e->address);
	e->name = strdup(name);
	e->address = strdup(address);
	memcpy(e->key, key, KEY_HASH_LEN);
	if (!l->default_name)
		l->default_name = strdup(name);
	return e->name && e->address && l->default_name ? 0 : error_set(err, ERR_NOMEM, "no memory");
}

int cas_list_add(const char *name, const char *address, const uint8_t key[KEY_HASH_LEN], bool replace,
	struct error *err)
{
	struct cas_list l;
	int lock, rc;

	if (cas_name_check(name, err) || cas_addresses_each(address, NULL, NULL, err))
		return -1;
	if ((lock = home_lock(err)) < 0)
		return -1;
	rc = cas_list_load(&l, err);
	if (!rc) {
		rc = put(&l, name, address, key, replace, err);
		if (!rc)
			rc = save_list(&l, err);
		cas_list_free(&l);
	}
	close(lock);
	return rc;
}

int cas_list_set_default(const char *name, struct error *err)
{
	struct cas_list l;
	bool known = false;
	int lock, rc;

	if ((lock = home_lock(err)) < 0)
		return -1;
	rc = cas_list_load(&l, err);
	if (!rc) {
		for (size_t i = 0; i < l.count; i++)
			known |= !strcmp(l.entries[i].name, name);
		free(l.default_name);
		l.default_name = strdup(name);
		if (!known)
			rc = error_set(err, ERR_NOT_FOUND,
				"no CAS named '%s'; `scone cas list` shows those known", name);
		else if (!l.default_name)
			rc = error_set(err, ERR_NOMEM, "no memory");
		else
			rc = save_list(&l, err);
		cas_list_free(&l);
	}
	close(lock);
	return rc;
}

bool session_seen(const uint8_t cas_key[KEY_HASH_LEN], const char *session, uint8_t ret[SESSION_HASH_LEN])
{
	char key[KEY_HASH_TEXT_MAX];
	struct error ignored;
	const char *hex;
	json_t *root;
	bool seen;

	if (load(SESSIONS_FILE, &root, &ignored))
		return false;
	key_hash_text(cas_key, key);
	hex = json_string_value(json_object_get(json_object_get(json_object_get(root, "cas"), key), session));
	seen = hex && !hex_decode(hex, strlen(hex), ret, SESSION_HASH_LEN);
	json_decref(root);
	return seen;
}

int session_remember(
	const uint8_t cas_key[KEY_HASH_LEN], const char *session, const uint8_t *hash, struct error *err)
{
	char key[KEY_HASH_TEXT_MAX], hex[2 * SESSION_HASH_LEN + 1];
	json_t *root = NULL, *cas, *sessions;
	int lock, rc;

	if ((lock = home_lock(err)) < 0)
		return -1;
	rc = load(SESSIONS_FILE, &root, err);
	if (rc)
		goto out;
	if (!root)
		root = json_pack("{s:i}", "version", 1);
	key_hash_text(cas_key, key);
	cas = json_object_get(root, "cas");
	if (!json_is_object(cas)) {
		cas = json_object();
		rc |= json_object_set_new(root, "cas", cas);
	}
	sessions = json_object_get(cas, key);
	if (!json_is_object(sessions)) {
		sessions = json_object();
		rc |= json_object_set_new(cas, key, sessions);
	}
	if (hash) {
		hex_encode(hash, SESSION_HASH_LEN, hex);
		rc |= json_object_set_new(sessions, session, json_string(hex));
	} else {
		(void)json_object_del(sessions, session);
	}
	rc = rc ? error_set(err, ERR_NOMEM, "no memory") : save(SESSIONS_FILE, root, err);
out:
	json_decref(root);
	close(lock);
	return rc;
}
