#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cas/configure.h"
#include "cas/shared_secret.h"
#include "cas/vault_jwt.h"
#include "cas/vault_key.h"
#include "cas/volumes.h"
#include "policy/template.h"

#define PARTS_MAX (256 * 1024) /* of one secret */

/* What is not simply in the vault, made when first asked for: forms of keys and certificates, and all that is imported. */
struct made {
	bool done;
	enum secret_kind kind;
	struct buf value;
};

struct work {
	const struct stored_session *s;
	const struct service *svc;
	struct service_config *out;
	size_t left; /* of CONFIGURE_BYTES_MAX */
	struct sealed_store *store;
	struct audit *audit;
	uint64_t now;
	const uint8_t *client_key, *measurement;
	enum board_strength strength; /* of what attested it */
	struct buf ticket; /* once it is asked for */
	struct made *made; /* by index of the secret */
	struct error failed; /* text not empty: why one could not be made */
};

static bool lookup(void *arg, const char *name, size_t len, struct template_value *ret);

static int make_parts(struct work *w, const struct secret_spec *spec, struct made *m, struct error *err)
{
	if (spec->imported)
		return shared_secret_get(w->store, w->audit, w->s, spec, w->now, &m->kind, &m->value, err);
	m->kind = spec->kind;
	if (spec->kind == SECRET_JWT)
		return vault_jwt_make(
			w->s->doc, &w->s->vault, spec, lookup, w, w->measurement, w->now, &m->value, err);
	return vault_key_parts(w->s->doc, &w->s->vault, spec, true, &m->value, err);
}

/* What templates and the runtime get of a secret: its bytes, or its parts. False: no such secret, or w->failed. */
static bool value_of(struct work *w, const char *name, size_t len, enum secret_kind *ret_kind,
	const void **ret, size_t *ret_len)
{
	const struct session *doc = w->s->doc;
	const struct secret_spec *spec = session_secret(doc, name, len);
	struct made *m;

	if (!spec)
		return false;
	*ret_kind = spec->kind;
	if (!spec->imported && !secret_kind_has_parts(spec->kind) && spec->kind != SECRET_JWT)
		return vault_lookup(doc, &w->s->vault, name, len, ret, ret_len);
	m = &w->made[spec - doc->secrets];
	if (!m->done && make_parts(w, spec, m, &w->failed))
		return false;
	m->done = true;
	*ret_kind = m->kind;
	*ret = m->value.data ? (const void *)m->value.data : "";
	*ret_len = m->value.len;
	return true;
}

/* What the service shows to vote on a board. */
static bool make_ticket(struct work *w, struct template_value *ret)
{
	struct board_ticket t = {.strength = w->strength, .time = w->now};

	snprintf(t.session, sizeof(t.session), "%s", w->s->doc->name);
	snprintf(t.service, sizeof(t.service), "%s", w->svc->name);
	memcpy(t.hash, w->s->hash, sizeof(t.hash));
	memcpy(t.measurement, w->measurement, sizeof(t.measurement));
	if (!w->ticket.len && board_ticket_make(w->store, w->audit, &t, &w->ticket, &w->failed))
		return false;
	*ret = (struct template_value){.kind = TEMPLATE_SELF, .value = w->ticket.data, .len = w->ticket.len};
	return true;
}

static bool lookup(void *arg, const char *name, size_t len, struct template_value *ret)
{
	enum secret_kind kind;

	if (len == strlen(TEMPLATE_SELF) && !memcmp(name, TEMPLATE_SELF, len))
		return make_ticket(arg, ret);
	if (!value_of(arg, name, len, &kind, &ret->value, &ret->len))
		return false;
	ret->kind = secret_kind_name(kind);
	return true;
}

static int no_memory(struct error *err)
{
	return error_set(err, ERR_NOMEM, "out of memory, or a list of the configuration is longer than %d",
		CONFIG_LIST_MAX);
}

static int over_limit(const struct work *w, struct error *err)
{
	return error_set(err, ERR_LIMIT,
		"the configuration of service \"%s\" is over %d bytes after replacing templates",
		w->svc->name, CONFIGURE_BYTES_MAX);
}

static int spend(struct work *w, const struct buf *b, struct error *err)
{
	if (b->failed || b->len > w->left)
		return over_limit(w, err);
	w->left -= b->len;
	return 0;
}

/* out is empty and as large as a value may be. */
static int expand(struct work *w, const char *text, size_t n, struct buf *out, struct error *err)
{
	out->max = w->left;
	if (template_expand(text, n, lookup, w, true, out, err))
		return out->failed ? over_limit(w, err) : -1;
	return spend(w, out, err);
}

static int expand_text(struct work *w, const char *text, struct buf *out, struct error *err)
{
	if (expand(w, text, strlen(text), out, err))
		return -1;
	if (out->len && memchr(out->data, '\0', out->len))
		return error_set(err, ERR_INPUT,
			"it holds a NUL byte after replacing templates: use a format such as :hex [E-NUL]");
	return 0;
}

static int add_arguments(struct work *w, struct error *err)
{
	for (size_t i = 0; i < w->svc->argc; i++) {
		const struct session_arg *arg = &w->svc->argv[i];
		struct config_value *v = service_config_add_arg(w->out);

		if (!v)
			return no_memory(err);
		v->host = arg->host;
		if (!arg->host && expand_text(w, arg->text, &v->value, err))
			return error_wrap(err, "argument %zu of service \"%s\"", i, w->svc->name);
	}
	return 0;
}

static int add_environment(struct work *w, struct error *err)
{
	for (size_t i = 0; i < w->svc->envc; i++) {
		const struct session_env *env = &w->svc->env[i];
		struct config_value *v = service_config_add_env(w->out, env->name);

		if (!v)
			return no_memory(err);
		v->host = env->host;
		if (!env->host && expand_text(w, env->value, &v->value, err))
			return error_wrap(err, "variable \"%s\" of service \"%s\"", env->name, w->svc->name);
	}
	return 0;
}

static int add_files(struct work *w, const struct image *image, struct error *err)
{
	for (size_t i = 0; i < image->file_count; i++) {
		const struct injection_file *file = &image->files[i];
		struct config_file *f = service_config_add_file(w->out, file->path);

		if (!f)
			return no_memory(err);
		f->mode = file->mode;
		f->has_content = file->has_content;
		if (file->has_content && expand(w, file->content, file->content_len, &f->content, err))
			return error_wrap(err, "file \"%s\" of image \"%s\"", file->path, image->name);
	}
	return 0;
}

static int add_secret(struct work *w, const char *name, struct error *err)
{
	const void *value;
	size_t len;
	enum secret_kind kind;
	struct config_secret *s;

	if (!value_of(w, name, strlen(name), &kind, &value, &len))
		return error_set(err, ERR_NOT_FOUND, "secret \"%s\" is not in session \"%s\" [E-REF]", name,
			w->s->doc->name);
	s = service_config_add_secret(w->out, name, secret_kind_name(kind));
	if (!s)
		return no_memory(err);
	buf_put(&s->value, value, len);
	return spend(w, &s->value, err);
}

static int add_secrets(struct work *w, const struct image *image, struct error *err)
{
	const struct session *doc = w->s->doc;

	for (size_t i = 0; image->has_provide_secrets && i < image->provide_count; i++)
		if (add_secret(w, image->provide_secrets[i], err))
			return -1;
	for (size_t i = 0; !image->has_provide_secrets && i < doc->secret_count; i++)
		if (doc->secrets[i].kind != SECRET_FRAGMENT && add_secret(w, doc->secrets[i].name, err))
			return -1;
	return 0;
}

static int add_warnings(struct work *w, struct error *err)
{
	const char *text = NULL;

	if (w->s->doc->mode == MODE_SIMULATION)
		text = "session mode is simulation: nothing keeps the host's root out";
	if (w->s->doc->mode == MODE_NONE)
		text = "session mode is none: nothing was verified, everyone who reaches CAS can get these "
		       "secrets";
	return text && service_config_add_warning(w->out, text) ? no_memory(err) : 0;
}

/* The key of a volume that is a secret of the session. */
static int volume_key(void *arg, const char *secret, uint8_t ret[VOLUME_RECORD_KEY_LEN], struct error *err)
{
	struct work *w = arg;
	enum secret_kind kind;
	const void *p;
	size_t n;

	if (!value_of(w, secret, strlen(secret), &kind, &p, &n))
		return error_set(err, ERR_NOT_FOUND, "secret \"%s\" is not in session \"%s\" [E-REF]", secret,
			w->s->doc->name);
	if (kind != SECRET_BINARY || n != VOLUME_RECORD_KEY_LEN)
		return error_set(err, ERR_CONFLICT,
			"secret \"%s\", of kind %s with %zu bytes, is the key of a volume: a binary of %d is "
			"wanted "
			"[E-KIND]",
			secret, secret_kind_name(kind), n, VOLUME_RECORD_KEY_LEN);
	memcpy(ret, p, n);
	return 0;
}

static int add_tree(struct work *w, const struct image_tree *t, struct error *err)
{
	const char *host = t->host ? t->host : t->path;
	struct config_tree *out;
	char *beside = NULL;

	if (!t->manifest && asprintf(&beside, "%s.sealed", host) < 0)
		return no_memory(err);
	out = service_config_add_tree(w->out, t->path, host, t->manifest ? t->manifest : beside);
	free(beside);
	if (!out)
		return no_memory(err);
	out->has_root = t->has_root;
	out->has_signer = t->has_signer;
	memcpy(out->root, t->root, sizeof(out->root));
	memcpy(out->signer, t->signer, sizeof(out->signer));
	return 0;
}

static int add_trees(struct work *w, const struct image *image, struct error *err)
{
	for (size_t i = 0; i < image->tree_count; i++)
		if (add_tree(w, &image->trees[i], err))
			return -1;
	return 0;
}

static int fill(struct work *w, struct error *err)
{
	const struct session *doc = w->s->doc;
	struct volumes_context x = {.store = w->store, .audit = w->audit, .now = w->now};
	const struct image *image = w->svc->image_name ? session_image(doc, w->svc->image_name) : NULL;

	if (add_arguments(w, err) || add_environment(w, err) || add_warnings(w, err))
		return -1;
	if (image && (add_files(w, image, err) || add_secrets(w, image, err) || add_trees(w, image, err)))
		return -1;
	return volumes_configure(&x, w->s, w->svc, w->client_key, volume_key, w, w->out, err);
}

int configure_service(struct sealed_store *store, struct audit *audit, uint64_t now,
	const struct stored_session *s, const struct service *svc, const uint8_t client_key[32],
	const uint8_t measurement[32], enum board_strength strength, struct service_config *ret,
	struct error *err)
{
	struct work w = {.store = store,
		.audit = audit,
		.now = now,
		.client_key = client_key,
		.measurement = measurement,
		.strength = strength,
		.s = s,
		.svc = svc,
		.out = ret,
		.left = CONFIGURE_BYTES_MAX};
	int rc;

	ret->session = strdup(s->doc->name);
	ret->service = strdup(svc->name);
	ret->mode = strdup(attest_mode_name(s->doc->mode));
	ret->pwd = strdup(svc->pwd);
	ret->allow_unmeasured = svc->allow_unmeasured;
	ret->allow_generated = svc->allow_generated;
	w.made = calloc(s->doc->secret_count + 1, sizeof(*w.made));
	if (!ret->session || !ret->service || !ret->mode || !ret->pwd || !w.made) {
		free(w.made);
		return no_memory(err);
	}
	for (size_t i = 0; i < s->doc->secret_count; i++)
		buf_init_secret(&w.made[i].value, PARTS_MAX);
	buf_init_secret(&w.ticket, BOARD_TICKET_TEXT_MAX);
	rc = fill(&w, err);
	buf_free(&w.ticket);
	if (rc && w.failed.text[0] && err)
		*err = w.failed;
	for (size_t i = 0; i < s->doc->secret_count; i++)
		buf_free(&w.made[i].value);
	free(w.made);
	return rc;
}
