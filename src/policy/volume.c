/* volumes and images[].volumes (session language, sections 8 and 9). */
#include <stdlib.h>
#include <string.h>
#include "core/secret.h"
#include "policy/graft.h"

#define EXPORTS_MAX 100 /* of one volume */
#define NAME_MAX_BYTES 512 /* free text, but part of records, requests and log lines */
#define IMAGE_VOLUMES_MAX 100
#define CACHE_MIN ((uint64_t)2 << 20) /* what the runtime's engine can do with, and what it takes */
#define CACHE_MAX ((uint64_t)64 << 30)

static const struct key_rule volume_keys[] = {
	{"name", KEY_OK, 0},
	{"fspf_key", KEY_OK, 0},
	{"fspf_tag", KEY_OK, 0},
	{"files", KEY_OK, 11},
	{"export", KEY_OK, 0},
	{"import", KEY_OK, 0},
	{NULL, KEY_OK, 0},
};

static const struct key_rule image_volume_keys[] = {
	{"name", KEY_OK, 0},
	{"path", KEY_OK, 0},
	{"update_policy", KEY_OK, 2},
	{"cache_size", KEY_OK, 0},
	{NULL, KEY_OK, 0},
};

/* An export that says more than who; also told from a bare reference by these keys. */
static const struct key_rule export_keys[] = {
	{"to", KEY_OK, 2},
	{"update_policy", KEY_OK, 2},
	{"volume_alias", KEY_OK, 10},
	{NULL, KEY_OK, 0},
};

/* in the order of enum update_policy */
static const char *const policies[] = {
	"rollback_protected", "ephemeral", "no_rollback_protection", "strict", NULL};

const char *update_policy_name(enum update_policy p)
{
	return policies[p];
}

bool update_policy_allows(enum update_policy limit, enum update_policy wanted)
{
	switch (limit) {
	case UPDATE_NO_ROLLBACK_PROTECTION:
		return true;
	case UPDATE_ROLLBACK_PROTECTED:
		return wanted != UPDATE_NO_ROLLBACK_PROTECTION;
	case UPDATE_STRICT:
		return wanted == UPDATE_STRICT || wanted == UPDATE_EPHEMERAL;
	case UPDATE_EPHEMERAL:
		break;
	}
	return wanted == UPDATE_EPHEMERAL;
}

static void read_policy(struct parse *p, const struct ynode *n, enum update_policy *ret)
{
	int word = n ? want_word(p, n, policies) : -1;

	if (word >= 0)
		*ret = (enum update_policy)word;
}

/* Free text; it goes to logs, so no control characters. */
static bool want_name(struct parse *p, const struct ynode *n)
{
	if (!n || !want_text(p, n, false))
		return false;
	if (n->len == 0 || n->len > NAME_MAX_BYTES) {
		ynode_diag(p->d, n, "E-LENGTH", "the name of a volume has %zu bytes; 1 to %d are possible",
			n->len, NAME_MAX_BYTES);
		return false;
	}
	for (size_t i = 0; i < n->len; i++) {
		if ((unsigned char)n->text[i] >= 0x20 && n->text[i] != 0x7f)
			continue;
		ynode_diag(p->d, n, "E-CHARSET",
			"%s: a control character at %zu; the name of a volume has none", show(n).s, i + 1);
		return false;
	}
	return true;
}

struct whole_template {
	const char *name;
	size_t len, slen;
	const char *suffix;
};

static int note_template(void *arg, const char *name, size_t len, const char *suffix, size_t slen, int line)
{
	struct whole_template *w = arg;

	(void)line;
	*w = (struct whole_template){.name = name, .len = len, .suffix = suffix, .slen = slen};
	return 1;
}

/* "$$SCONE::NAME$$", the whole text: the bytes of a binary secret of 32 bytes. */
static void read_key_template(struct parse *p, const struct ynode *n, struct volume_spec *v)
{
	struct whole_template name = {0};
	const struct secret_spec *s;
	struct error err;

	if (template_each(n->text, n->len, true, note_template, &name, &err) < 0) {
		ynode_diag(p->d, n, "E-TEMPLATE", "%s", err.text);
		return;
	}
	if (!name.name || !template_is_all(n, name.name, name.len + name.slen) ||
		(name.slen && (name.slen != 4 || memcmp(name.suffix, ":bin", 4)))) {
		ynode_diag(p->d, n, "E-TEMPLATE",
			"a key is 64 hex digits, or one template without a format: the bytes of a binary "
			"secret");
		return;
	}
	s = find_secret(p, name.name, name.len);
	if (!s && !names_foreign(p, name.name, name.len))
		ynode_diag(p->d, n, "E-REF", "there is no secret %.*s", (int)name.len, name.name);
	if (!s)
		return;
	if (!s->imported && (s->kind != SECRET_BINARY ||
				    (s->has_value ? s->value.len : s->size) != VOLUME_SPEC_KEY_LEN)) {
		ynode_diag(p->d, n, "E-KIND",
			"secret %s is of kind %s with %zu bytes; the key of a volume is a binary of %d",
			s->name, secret_kind_name(s->kind), s->has_value ? s->value.len : (size_t)s->size,
			VOLUME_SPEC_KEY_LEN);
		return;
	}
	v->key_secret = parse_strdup(p, s->name, strlen(s->name));
	feature_since(p, n, "a template as key of a volume", 7);
}

static void read_key(struct parse *p, const struct ynode *n, struct volume_spec *v)
{
	const struct ynode *key = ynode_get(n, "fspf_key"), *tag = ynode_get(n, "fspf_tag");

	if (!key && !tag)
		return;
	if (!key || !tag) {
		ynode_diag_key(p->d, key ? key : tag, "E-MISSING",
			"fspf_key and fspf_tag stand together: the key of an existing volume and the state "
			"that "
			"the first use must find; without both the volume is made at first use");
		return;
	}
	v->has_key = true;
	if (key->kind == YNODE_SCALAR && key->len > 4 && key->text[0] == '$' && key->text[1] == '$')
		read_key_template(p, key, v);
	else
		(void)want_hex(p, key, v->key, sizeof v->key);
	(void)want_hex(p, tag, v->tag, sizeof v->tag);
}

static void read_export(struct parse *p, const struct ynode *n, struct volume_spec *v)
{
	const struct ynode *to = n->kind == YNODE_MAP ? ynode_get(n, "to") : NULL;
	struct volume_export *list;

	if (v->export_count == EXPORTS_MAX) {
		ynode_diag(p->d, n, "E-LENGTH", "more than %d exports of one volume", EXPORTS_MAX);
		return;
	}
	list = parse_grow(p, v->exports, &v->export_count, sizeof *list);
	if (!list)
		return;
	v->exports = list;
	list += v->export_count - 1;
	if (!to) {
		read_reference(p, n, REF_EXPORT_VOLUME, &list->to);
		return;
	}
	keys_check(p, n, export_keys);
	read_reference(p, to, REF_EXPORT_VOLUME, &list->to);
	read_policy(p, ynode_get(n, "update_policy"), &list->policy);
	if (ynode_get(n, "volume_alias") && want_name(p, ynode_get(n, "volume_alias")))
		list->alias = parse_strdup(
			p, ynode_get(n, "volume_alias")->text, ynode_get(n, "volume_alias")->len);
}

static void read_import(struct parse *p, const struct ynode *n, struct volume_spec *v)
{
	static const char *const excluded[] = {"fspf_key", "fspf_tag", "export", "files", NULL};
	const struct ynode *import = ynode_get(n, "import");

	v->imported = true;
	read_reference(p, import, REF_IMPORT_VOLUME, &v->import);
	if (p->old == 2 && !v->import.item && v->name)
		v->import.item = parse_strdup(p, v->name, strlen(v->name));
	for (size_t i = 0; excluded[i]; i++)
		if (ynode_get(n, excluded[i]))
			ynode_diag_key(p->d, ynode_get(n, excluded[i]), "E-CONFLICT",
				"import and %s exclude each other", excluded[i]);
	if (v->import.session && p->s->name && !strcmp(v->import.session, p->s->name))
		ynode_diag(p->d, import, "E-CYCLE", "a session imports nothing from itself");
}

static void read_files(struct parse *p, const struct ynode *n, struct volume_spec *v)
{
	static const char *const words[] = {"encrypted", "authenticated-only", NULL};

	if (n && want_word(p, n, words) == 1) {
		v->authenticated_only = true;
		ynode_diag(p->d, n, "W-IGNORED",
			"files are encrypted in this volume, too: it knows no other form");
	}
}

static void read_volume(struct parse *p, const struct ynode *n)
{
	size_t count = p->s->volume_count;
	const struct ynode *name, *export;
	struct volume_spec *list, *v;

	if (!want_map(p, n))
		return;
	list = parse_grow(p, p->s->volumes, &count, sizeof *list);
	if (!list)
		return;
	p->s->volumes = list;
	v = &list[count - 1];
	keys_check(p, n, volume_keys);
	name = want_key(p, n, "name");
	if (want_name(p, name)) {
		if (session_volume(p->s, name->text))
			ynode_diag(p->d, name, "E-DUP", "%s names an earlier volume already", show(name).s);
		else
			v->name = parse_strdup(p, name->text, name->len);
	}
	/* Counted only now: the name must not be found as its own duplicate. */
	p->s->volume_count = count;
	if (ynode_get(n, "import")) {
		read_import(p, n, v);
		return;
	}
	read_key(p, n, v);
	read_files(p, ynode_get(n, "files"), v);
	export = ynode_get(n, "export");
	if (export && export->kind == YNODE_LIST)
		for (size_t i = 0; i < export->count; i++)
			read_export(p, export->items[i], v);
	else if (export)
		read_export(p, export, v);
}

void read_volumes(struct parse *p, const struct ynode *n)
{
	if (!n || !want_list(p, n))
		return;
	for (size_t i = 0; i < n->count; i++)
		read_volume(p, n->items[i]);
}

static void read_mount_path(
	struct parse *p, const struct ynode *n, const struct image *image, struct image_volume *ret)
{
	if (!n || !want_text(p, n, false))
		return;
	if (n->text[0] != '/') {
		ynode_diag(p->d, n, "E-VALUE", "%s is relative; a volume is seen at an absolute path",
			show(n).s);
		return;
	}
	for (size_t i = 0; i < image->volume_count; i++) {
		if (image->volumes[i].path && !strcmp(image->volumes[i].path, n->text)) {
			ynode_diag(p->d, n, "E-DUP", "an earlier volume is seen at %s already", show(n).s);
			return;
		}
	}
	ret->path = parse_strdup(p, n->text, n->len);
}

/* A number of bytes, with K, M or G for powers of 1024. */
static void read_cache(struct parse *p, const struct ynode *n, uint64_t *ret)
{
	static const char units[] = "KMG";
	const char *unit;
	uint64_t v = 0;
	size_t i = 0;

	if (!n || !want_text(p, n, false))
		return;
	for (; i < n->len && n->text[i] >= '0' && n->text[i] <= '9'; i++)
		v = v > CACHE_MAX ? v : v * 10 + (uint64_t)(n->text[i] - '0');
	unit = i > 0 && i + 1 == n->len ? strchr(units, n->text[i]) : NULL;
	if (!unit && (i == 0 || i < n->len)) {
		ynode_diag(p->d, n, "E-VALUE", "%s: a number of bytes is wanted, K, M or G may follow",
			show(n).s);
		return;
	}
	for (const char *u = units; unit && u <= unit && v <= CACHE_MAX; u++)
		v *= 1024;
	if (v < CACHE_MIN || v > CACHE_MAX)
		ynode_diag(p->d, n, "E-RANGE", "%s; %dM to %dG are possible", show(n).s,
			(int)(CACHE_MIN >> 20), (int)(CACHE_MAX >> 30));
	else
		*ret = v;
}

static void read_image_volume(struct parse *p, const struct ynode *n, struct image *image)
{
	size_t count = image->volume_count;
	struct image_volume *list, *v;
	const struct ynode *name;

	if (!want_map(p, n))
		return;
	list = parse_grow(p, image->volumes, &count, sizeof *list);
	if (!list)
		return;
	image->volumes = list;
	v = &list[count - 1];
	keys_check(p, n, image_volume_keys);
	name = want_key(p, n, "name");
	if (want_name(p, name)) {
		v->name = parse_strdup(p, name->text, name->len);
		if (!session_volume(p->s, name->text))
			ynode_diag(p->d, name, "E-REF", "%s is no volume of this session", show(name).s);
	}
	read_mount_path(p, want_key(p, n, "path"), image, v);
	read_policy(p, ynode_get(n, "update_policy"), &v->policy);
	read_cache(p, ynode_get(n, "cache_size"), &v->cache);
	for (size_t i = 0; v->name && i < image->volume_count; i++)
		if (image->volumes[i].name && !strcmp(image->volumes[i].name, v->name))
			ynode_diag(p->d, name, "E-DUP",
				"%s is in this image already; one volume has one place", show(name).s);
	image->volume_count = count;
}

void read_image_volumes(struct parse *p, const struct ynode *n, struct image *ret)
{
	if (!n || !want_list(p, n))
		return;
	if (n->count > IMAGE_VOLUMES_MAX)
		ynode_diag(p->d, n, "E-LENGTH", "%zu volumes; at most %d are accepted", n->count,
			IMAGE_VOLUMES_MAX);
	for (size_t i = 0; i < n->count && i < IMAGE_VOLUMES_MAX; i++)
		read_image_volume(p, n->items[i], ret);
}

const struct volume_spec *session_volume(const struct session *s, const char *name)
{
	for (size_t i = 0; i < s->volume_count; i++)
		if (s->volumes[i].name && !strcmp(s->volumes[i].name, name))
			return &s->volumes[i];
	return NULL;
}

const struct volume_export *volume_export_for(const struct volume_spec *v, const char *name,
	const char *session, const uint8_t hash[SESSION_HASH_LEN])
{
	for (size_t i = 0; i < v->export_count; i++) {
		const struct volume_export *e = &v->exports[i];

		if (!strcmp(e->alias ? e->alias : v->name, name) &&
			session_ref_admits(&e->to, NULL, session, hash))
			return e;
	}
	return NULL;
}

void volume_spec_clear(struct volume_spec *v)
{
	for (size_t i = 0; i < v->export_count; i++) {
		session_ref_clear(&v->exports[i].to);
		free(v->exports[i].alias);
	}
	free(v->exports);
	session_ref_clear(&v->import);
	secret_wipe(v->key, sizeof v->key);
	free(v->key_secret);
	free(v->name);
}

void image_volume_clear(struct image_volume *v)
{
	free(v->name);
	free(v->path);
}
