#include "policy/session.h"

#include <stdlib.h>
#include <string.h>
#include "crypto/x509.h"
#include "policy/access_read.h"

static const struct key_rule session_keys[] = {
	{"version", KEY_OK, 0},
	{"name", KEY_OK, 0},
	{"predecessor", KEY_OK, 0},
	{"salt", KEY_OK, 12},
	{"creator", KEY_OK, 0},
	{"services", KEY_OK, 0},
	{"secrets", KEY_OK, 0},
	{"volumes", KEY_OK, 0},
	{"images", KEY_OK, 0},
	{"secret_config", KEY_OK, 10},
	{"access_policy", KEY_OK, 0},
	{"security", KEY_OK, 1},
	{"board_members", KEY_OK, 0},
	{"board_policy", KEY_OK, 0},
	{"namespace_hash", KEY_OK, 11},
	{"board", KEY_OK, 0},
	{"digest", KEY_OLD, 0},
	{"tags", KEY_OLD, 0},
	{"exports", KEY_UNSUPPORTED, 0},
	{NULL, KEY_OK, 0},
};

static const struct key_rule secret_config_keys[] = {
	{"store_in", KEY_OK, 0},
	{"token", KEY_UNSUPPORTED, 0},
	{"vault", KEY_UNSUPPORTED, 0},
	{NULL, KEY_OK, 0},
};

/* False: the document is of another version of the language, by whose rules it cannot be read. */
static bool read_version(struct parse *p, const struct ynode *root)
{
	const struct ynode *n = ynode_get(root, "version");
	char *end;

	if (!n) {
		p->old = 1;
		p->s->version = parse_strdup(p, "0.1", 3);
		return p->s->version != NULL;
	}
	if (!want_text(p, n, false))
		return false;
	p->s->version = parse_strdup(p, n->text, n->len);
	p->minor = VERSION_MINOR_MAX;
	if (!p->s->version)
		return false;
	if (!strcmp(n->text, "0.3"))
		return true;
	if (!strcmp(n->text, "0.1") || !strcmp(n->text, "0.2")) {
		p->old = n->text[2] - '0';
		p->minor = 0;
		return true;
	}
	if (!strncmp(n->text, "0.3.", 4) && n->len <= 6 && strspn(n->text + 4, "0123456789") == n->len - 4 &&
		n->len > 4 && (n->text[4] != '0' || n->len == 5)) {
		long minor = strtol(n->text + 4, &end, 10);
		if (minor <= VERSION_MINOR_MAX) {
			p->minor = (int)minor;
			return true;
		}
	}
	ynode_diag(p->d, n, "E-VERSION",
		"%s is no version of the language; 0.1, 0.2, 0.3 and 0.3.0 to 0.3.%d are", show(n).s,
		VERSION_MINOR_MAX);
	return false;
}

static void read_name(struct parse *p, const struct ynode *n)
{
	struct error err;

	if (!want_text(p, n, false))
		return;
	if (session_name_check(n->text, &err))
		ynode_diag(p->d, n, err.code == ERR_LIMIT ? "E-LENGTH" : "E-CHARSET", "%s: %s", show(n).s,
			err.text);
	else if (p->old != 1 && strchr(n->text, ':'))
		ynode_diag(p->d, n, "E-CHARSET",
			"%s: character ':' at %zu; only names of version 0.1 have it", show(n).s,
			strcspn(n->text, ":") + 1);
	p->s->name = parse_strdup(p, n->text, n->len);
}

static void read_creator(struct parse *p, const struct ynode *n)
{
	struct error err;
	X509 *cert = NULL;

	if (n->kind == YNODE_MAP && ynode_get(n, "signer")) {
		p->s->has_creator_signer =
			want_text(p, ynode_get(n, "signer"), false) &&
			access_read_signer(p, ynode_get(n, "signer"), p->s->creator_signer);
		return;
	}
	if (!want_text(p, n, false))
		return;
	if (x509_from_pem(n->text, n->len, &cert, &err)) {
		ynode_diag(p->d, n, "E-PEM", "not a certificate in PEM: %s", err.text);
		return;
	}
	X509_free(cert);
	p->s->creator_pem = parse_strdup(p, n->text, n->len);
}

static void read_secret_config(struct parse *p, const struct ynode *n)
{
	const struct ynode *store;

	if (!n || !want_map(p, n))
		return;
	keys_check(p, n, secret_config_keys);
	store = ynode_get(n, "store_in");
	if (!store || store->bad ||
		(store->tag && !strcmp(store->tag, "!cas") && store->kind == YNODE_SCALAR && store->len == 0))
		return;
	if (store->tag && !strcmp(store->tag, "!akv"))
		unsupported(p, store, "store_in: !akv");
	else
		ynode_diag(p->d, store, "E-VALUE", "%s is no place for secrets; !cas is", show(store).s);
}

/* What CAS of old wrote into read-backs; the members' format was never published. */
static void read_old_board(struct parse *p, const struct ynode *root)
{
	const struct ynode *members = ynode_get(root, "board_members"),
			   *policy = ynode_get(root, "board_policy");

	if (members && members->kind == YNODE_LIST && members->count == 0)
		ynode_diag_key(p->d, members, "W-DEPRECATED", "board_members without members has no effect");
	else if (members)
		unsupported(p, members, "board_members, the old form of board");
	if (policy && text_is(ynode_get(policy, "minimum"), "0"))
		ynode_diag_key(
			p->d, policy, "W-DEPRECATED", "board_policy with a minimum of 0 has no effect");
	else if (policy)
		unsupported(p, policy,
			"board_policy, the old form of board (minimum is its approvals, timeout its "
			"expires)");
}

/* The tree lets both tags pass; they have one place. */
static void refuse_tags(struct parse *p, const struct ynode *n)
{
	const struct ynode *up = n->parent;
	bool place = up && up->parent && !up->parent->parent && up->key && n->key &&
		     !strcmp(up->key, "secret_config") && !strcmp(n->key, "store_in");

	if (n->tag && !place)
		ynode_diag(p->d, n, "E-YAML", "tag %s has no place here, only in secret_config.store_in",
			n->tag);
	for (size_t i = 0; i < n->count; i++)
		refuse_tags(p, n->items[i]);
}

static void read_history(struct parse *p, const struct ynode *root)
{
	const struct ynode *n = ynode_get(root, "predecessor");

	if (n && !ynode_null(n))
		p->s->has_predecessor = want_hex(p, n, p->s->predecessor, sizeof p->s->predecessor);
	n = ynode_get(root, "namespace_hash");
	if (n && p->s->has_predecessor)
		ynode_diag_key(p->d, n, "E-CONFLICT",
			"namespace_hash counts when a session is created; drop it in an update");
	else if (n)
		p->s->has_namespace_hash = want_hex(p, n, p->s->namespace_hash, sizeof p->s->namespace_hash);
	n = ynode_get(root, "salt");
	if (n)
		p->s->has_salt = want_hex(p, n, p->s->salt, sizeof p->s->salt);
	n = ynode_get(root, "creator");
	if (n)
		read_creator(p, n);
}

static void read_session(struct parse *p, const struct ynode *root)
{
	refuse_tags(p, root);
	if (!want_map(p, root) || !read_version(p, root))
		return;
	keys_check(p, root, session_keys);
	read_name(p, want_key(p, root, "name"));
	read_history(p, root);
	read_old_board(p, root);
	read_secret_config(p, ynode_get(root, "secret_config"));
	/* In the order in which one needs another: templates name secrets, the mode decides whether services need attestation. */
	read_secrets(p, ynode_get(root, "secrets"));
	read_security(p, ynode_get(root, "security"));
	read_volumes(p, ynode_get(root, "volumes"));
	read_images(p, ynode_get(root, "images"));
	read_services(p, ynode_get(root, "services"));
	read_access(p, ynode_get(root, "access_policy"));
	read_board(p, ynode_get(root, "board"));
	if (ynode_get(root, "creator") && !access_names_creator(p->s))
		ynode_diag_key(p->d, ynode_get(root, "creator"), "W-CREATOR",
			"no rule speaks of CREATOR; this key has no effect");
}

int session_parse(const char *yaml, size_t n, struct session **ret, struct diag *d)
{
	return session_parse_bound(yaml, n, NULL, NULL, ret, d);
}

int session_parse_bound(
	const char *yaml, size_t n, template_lookup lookup, void *arg, struct session **ret, struct diag *d)
{
	struct parse p = {.d = d, .lookup = lookup, .lookup_arg = arg};
	size_t before = d->errors;
	struct ynode *root;

	if (yaml_load(yaml, n, &root, d))
		return -1;
	p.s = calloc(1, sizeof *p.s);
	if (p.s)
		read_session(&p, root);
	else
		parse_nomem(&p);
	free(p.foreign);
	free(p.sorted);
	ynode_free(root);
	diag_sort(d);
	if (d->errors > before) {
		session_free(p.s);
		return -1;
	}
	*ret = p.s;
	return 0;
}

void session_free(struct session *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->service_count; i++)
		service_clear(&s->services[i]);
	for (size_t i = 0; i < s->secret_count; i++)
		secret_spec_clear(&s->secrets[i]);
	for (size_t i = 0; i < s->volume_count; i++)
		volume_spec_clear(&s->volumes[i]);
	free(s->volumes);
	for (size_t i = 0; i < s->image_count; i++)
		image_clear(&s->images[i]);
	access_rule_clear(&s->read);
	access_rule_clear(&s->update);
	access_rule_clear(&s->create_sessions);
	access_rule_clear(&s->list_sessions);
	free(s->access_template);
	free(s->security_written);
	if (s->access_token)
		secret_wipe(s->access_token, strlen(s->access_token));
	free(s->access_token);
	secret_free(&s->otp);
	board_clear(&s->board);
	free(s->services);
	free(s->secrets);
	free(s->images);
	for (size_t i = 0; i < s->ignore_count; i++)
		free(s->ignore_advisories[i]);
	free(s->ignore_advisories);
	free(s->creator_pem);
	free(s->version);
	free(s->name);
	free(s);
}

const struct service *session_service(const struct session *s, const char *name)
{
	for (size_t i = 0; i < s->service_count; i++)
		if (s->services[i].name && !strcmp(s->services[i].name, name))
			return &s->services[i];
	return NULL;
}

const struct image *session_image(const struct session *s, const char *name)
{
	for (size_t i = 0; i < s->image_count; i++)
		if (s->images[i].name && !strcmp(s->images[i].name, name))
			return &s->images[i];
	return NULL;
}

const struct secret_spec *session_secret(const struct session *s, const char *name, size_t len)
{
	for (size_t i = 0; i < s->secret_count; i++) {
		const char *n = s->secrets[i].name;
		if (n && !strncmp(n, name, len) && n[len] == 0)
			return &s->secrets[i];
	}
	return NULL;
}
