#include "cas/volumes.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cas/board.h"
#include "cas/board_item.h"
#include "cas/volumes_grant.h"
#include "core/encode.h"
#include "core/log.h"
#include "core/secret.h"
#include "crypto/hash.h"

/* A volume that is asked for, found. */
struct found {
	const struct volume_spec *spec; /* at the session that has it */
	struct stored_session exporter; /* if it is not the session itself */
	const char *owner, *item; /* the session that has it, its name there; borrowed */
	struct volume_record record;
};

static void found_free(struct found *f)
{
	secret_wipe(f->record.key, sizeof(f->record.key));
	stored_session_free(&f->exporter);
}

/* To an importer that is not meant, a volume that is not exported to it and one that is not there look alike. */
static int not_exported(const struct stored_session *s, const struct volume_spec *v, struct error *err)
{
	return error_set(err, ERR_NOT_FOUND,
		"volume \"%s\": session \"%s\" exports no volume \"%s\" to session \"%s\", or there is no "
		"such "
		"session [E-REF]",
		v->name, v->import.session, v->import.item, s->doc->name);
}

static const struct volume_export *find_export(const struct session *doc, const struct volume_spec *v,
	const struct stored_session *s, struct found *ret)
{
	for (size_t i = 0; i < doc->volume_count; i++) {
		const struct volume_export *e =
			doc->volumes[i].imported
				? NULL
				: volume_export_for(&doc->volumes[i], v->import.item, s->doc->name, s->hash);

		if (e) {
			ret->spec = &doc->volumes[i];
			return e;
		}
	}
	return NULL;
}

/* Where the exporter's board decides about exports. */
static int check_board(const struct volumes_context *x, const struct stored_session *s, const struct found *f,
	struct error *err)
{
	struct buf item;
	int rc;

	buf_init(&item, 65536);
	board_item_volume(f->item, &item);
	rc = buf_cstr(&item) ? board_check_export(x->store, &f->exporter, s, (const char *)item.data, err)
			     : error_set(err, ERR_NOMEM, "out of memory for the name of a volume");
	buf_free(&item);
	return rc;
}

static int find_imported(const struct volumes_context *x, const struct stored_session *s,
	const struct volume_spec *v, enum update_policy wanted, struct found *ret, struct error *err)
{
	const struct volume_export *e;
	struct error why = {0};

	if (sessions_load(x->store, v->import.session, NULL, &ret->exporter, &why)) {
		if (why.code == ERR_NOT_FOUND)
			return not_exported(s, v, err);
		if (err)
			*err = why;
		return -1;
	}
	e = find_export(ret->exporter.doc, v, s, ret);
	if (!e)
		return not_exported(s, v, err);
	if (v->import.has_hash && memcmp(v->import.hash, ret->exporter.hash, SESSION_HASH_LEN))
		return error_set(err, ERR_CONFLICT,
			"volume \"%s\": session \"%s\" has not the hash any more with which it is imported "
			"[E-REF]",
			v->name, v->import.session);
	if (!update_policy_allows(e->policy, wanted))
		return error_set(err, ERR_ACCESS,
			"volume \"%s\": session \"%s\" exports it with update_policy %s, it is to be mounted "
			"with %s",
			v->name, v->import.session, update_policy_name(e->policy),
			update_policy_name(wanted));
	ret->owner = ret->exporter.doc->name;
	ret->item = ret->spec->name;
	return check_board(x, s, ret, err);
}

static int store_record(struct sealed_store *ss, struct audit *audit, const struct audit_note *note,
	const struct found *f, struct error *err)
{
	char name[VOLUME_RECORD_NAME_MAX];
	struct sealed_change changes[2];
	struct buf b;
	size_t n = 1;
	int rc;

	volume_record_name(f->owner, f->item, name);
	buf_init_secret(&b, 1024);
	rc = volume_record_encode(&f->record, &b, err);
	if (!rc) {
		changes[0] = (struct sealed_change){
			.table = TABLE_VOLUME, .name = name, .content = b.data, .len = b.len};
		if (note && (rc = audit_change(audit, note, &changes[1], err)) == 0)
			n = 2;
	}
	if (!rc && (rc = sealed_store_apply(ss, changes, n, err)) != 0 && note)
		audit_not_done(audit);
	buf_free(&b);
	return rc;
}

/* What the log says of a volume: its id, which says nothing to who has not the configuration, and the numbers. */
struct detail {
	char s[160];
};

static struct detail describe(const struct volume_record *r)
{
	struct detail d;
	char id[2 * VOLUME_RECORD_ID_LEN + 1];

	hex_encode(r->id, sizeof(r->id), id);
	snprintf(d.s, sizeof(d.s), "volume %s lease %" PRIu64 " generation %" PRIu64, id, r->number,
		r->has_version ? r->generation : 0);
	return d;
}

/* fspf_tag of the session is where it begins; another one than the last, or none any more, is a new beginning, which only who may update the session can order. */
static bool meet_initial(const struct volume_spec *v, struct volume_record *r)
{
	if (v->has_key ? r->has_initial && secret_equal(r->initial, v->tag, sizeof(r->initial))
		       : !r->has_initial)
		return false;
	r->has_initial = v->has_key;
	memcpy(r->initial, v->tag, sizeof(r->initial));
	r->has_version = false;
	r->held = false;
	r->least = 0;
	r->number++; /* who has the lease of the state before loses it */
	return true;
}

/* The record, made if it is not there yet. */
static int load_record(
	const struct volumes_context *x, struct found *f, const uint8_t *actor, struct error *err)
{
	struct volume_record *r = &f->record;
	struct error why = {0};
	bool made = false;
	struct detail d;

	if (volume_record_load(x->store, f->owner, f->item, r, &why)) {
		if (why.code != ERR_NOT_FOUND) {
			if (err)
				*err = why;
			return -1;
		}
		*r = (struct volume_record){0};
		made = true;
		if (random_bytes(r->id, sizeof(r->id), err) || random_bytes(r->key, sizeof(r->key), err))
			return -1;
	}
	if (!meet_initial(f->spec, r) && !made)
		return 0;
	d = describe(r);
	return store_record(x->store, x->audit,
		&(struct audit_note){.event = made ? "volume-created" : "volume-reset",
			.actor = actor,
			.session = f->owner,
			.detail = d.s},
		f, err);
}

/* volume: name in s. The caller frees *ret in either case. */
static int find(const struct volumes_context *x, const struct stored_session *s, const char *volume,
	enum update_policy policy, const uint8_t *actor, struct found *ret, struct error *err)
{
	const struct volume_spec *v = session_volume(s->doc, volume);

	memset(ret, 0, sizeof(*ret));
	stored_session_init(&ret->exporter);
	if (!v)
		return error_set(
			err, ERR_NOT_FOUND, "session \"%s\" has no volume \"%s\"", s->doc->name, volume);
	ret->spec = v;
	ret->owner = s->doc->name;
	ret->item = v->name;
	if (v->imported && find_imported(x, s, v, policy, ret, err))
		return -1;
	return load_record(x, ret, actor, err);
}

/* --- the configuration --- */

struct give {
	const struct volumes_context *x;
	const struct stored_session *s;
	const uint8_t *client_key;
	int (*key_of)(void *arg, const char *secret, uint8_t ret[VOLUME_RECORD_KEY_LEN], struct error *err);
	void *arg;
};

/* The secret of the exporter that is the key. */
static int exporters_key(const struct found *f, uint8_t ret[VOLUME_RECORD_KEY_LEN], struct error *err)
{
	const char *name = f->spec->key_secret;
	const void *p;
	size_t n;

	if (!vault_lookup(f->exporter.doc, &f->exporter.vault, name, strlen(name), &p, &n) ||
		n != VOLUME_RECORD_KEY_LEN)
		return error_set(err, ERR_CONFLICT,
			"volume \"%s\" of session \"%s\": its key, secret \"%s\", is imported there, and is "
			"not passed on",
			f->item, f->owner, name);
	memcpy(ret, p, n);
	return 0;
}

static int put_key(const struct give *g, const struct found *f, struct config_volume *c, struct error *err)
{
	const struct volume_spec *v = f->spec;
	uint8_t key[VOLUME_RECORD_KEY_LEN];
	int rc = 0;

	if (v->has_key && v->key_secret) {
		if (f->exporter.doc)
			rc = exporters_key(f, key, err);
		else
			rc = g->key_of(g->arg, v->key_secret, key, err);
	} else {
		memcpy(key, v->has_key ? v->key : f->record.key, sizeof(key));
	}
	if (!rc)
		buf_put(&c->key, key, sizeof(key));
	secret_wipe(key, sizeof(key));
	return rc;
}

static int put_grant(const struct give *g, const struct image_volume *iv, const struct found *f,
	struct config_volume *c, struct error *err)
{
	struct volume_grant grant = {.policy = iv->policy,
		.session = g->s->doc->name,
		.volume = iv->name,
		.owner = (char *)f->owner,
		.item = (char *)f->item};

	memcpy(grant.hash, g->s->hash, sizeof(grant.hash));
	return volume_grant_seal(g->x->store, &grant, g->client_key, &c->grant, err);
}

static int put_volume(
	const struct give *g, const struct image_volume *iv, struct service_config *out, struct error *err)
{
	struct config_volume *c;
	struct found f;
	int rc = find(g->x, g->s, iv->name, iv->policy, g->client_key, &f, err);

	if (!rc && !(c = service_config_add_volume(out, iv->name, iv->path)))
		rc = error_set(err, ERR_NOMEM, "out of memory");
	if (!rc && !(c->policy = strdup(update_policy_name(iv->policy))))
		rc = error_set(err, ERR_NOMEM, "out of memory");
	if (!rc)
		rc = put_key(g, &f, c, err) || put_grant(g, iv, &f, c, err) ? -1 : 0;
	if (!rc) {
		memcpy(c->id, f.record.id, sizeof(c->id));
		c->has_version = f.record.has_version;
		c->version.generation = f.record.generation;
		memcpy(c->version.tag, f.record.tag, sizeof(c->version.tag));
		c->cache = iv->cache;
		c->has_initial = f.record.has_initial && !f.record.has_version;
		if (c->has_initial)
			memcpy(c->initial, f.record.initial, sizeof(c->initial));
	}
	found_free(&f);
	return rc;
}

int volumes_configure(const struct volumes_context *x, const struct stored_session *s,
	const struct service *svc, const uint8_t client_key[32],
	int (*key_of)(void *arg, const char *secret, uint8_t ret[VOLUME_RECORD_KEY_LEN], struct error *err),
	void *arg, struct service_config *ret, struct error *err)
{
	const struct image *image = svc->image_name ? session_image(s->doc, svc->image_name) : NULL;
	struct give g = {.x = x, .s = s, .client_key = client_key, .key_of = key_of, .arg = arg};

	for (size_t i = 0; image && i < image->volume_count; i++)
		if (put_volume(&g, &image->volumes[i], ret, err))
			return -1;
	return 0;
}

/* --- leases --- */

/* A request, its grant opened. s and the spec of f only for a request to open. */
struct ask {
	struct volume_grant grant;
	struct stored_session s;
	struct found f;
};

static void ask_free(struct ask *a)
{
	found_free(&a->f);
	stored_session_free(&a->s);
	volume_grant_free(&a->grant);
}

static int ask_grant(const struct volumes_context *x, const struct buf *grant, const uint8_t client_key[32],
	struct ask *ret, struct error *err)
{
	memset(ret, 0, sizeof(*ret));
	stored_session_init(&ret->s);
	stored_session_init(&ret->f.exporter);
	return volume_grant_open(x->store, grant->data, grant->len, client_key, &ret->grant, err);
}

/* To open: the session is the one that attested, and the volume is still exported to it. */
static int ask_open(const struct volumes_context *x, const struct buf *grant, const uint8_t client_key[32],
	struct ask *ret, struct error *err)
{
	if (ask_grant(x, grant, client_key, ret, err) ||
		sessions_load(x->store, ret->grant.session, NULL, &ret->s, err))
		return -1;
	if (memcmp(ret->s.hash, ret->grant.hash, SESSION_HASH_LEN))
		return error_set(err, ERR_CONFLICT,
			"session \"%s\" has changed since this service attested: start it anew",
			ret->grant.session);
	return find(x, &ret->s, ret->grant.volume, ret->grant.policy, client_key, &ret->f, err);
}

/* To update: the lease decides, whatever has become of the session since. */
static int ask_update(const struct volumes_context *x, const struct buf *grant, const uint8_t client_key[32],
	struct ask *ret, struct error *err)
{
	if (ask_grant(x, grant, client_key, ret, err))
		return -1;
	ret->f.owner = ret->grant.owner;
	ret->f.item = ret->grant.item;
	return volume_record_load(x->store, ret->f.owner, ret->f.item, &ret->f.record, err);
}

/* A clock that was put back does not keep a lease alive for long: a future time counts as now. */
static bool is_alive(const struct volume_record *r, uint64_t now)
{
	return r->held && (r->seen >= now || now - r->seen < VOLUME_TERM);
}

static int held_by_another(const struct volumes_context *x, const struct ask *a, struct error *err)
{
	const struct volume_record *r = &a->f.record;
	char holder[KEY_HASH_TEXT_MAX];
	uint64_t silent = r->seen < x->now ? x->now - r->seen : 0;

	key_hash_text(r->holder, holder);
	return error_set(err, ERR_EXISTS,
		"volume \"%s\" of session \"%s\" is in use by another application instance, key %s, lease "
		"%" PRIu64 ", last heard of %" PRIu64
		" seconds ago; it is free when that ends, or after %d seconds without a word",
		a->f.item, a->f.owner, holder, r->number, silent, VOLUME_TERM);
}

static bool needs_lease(const struct ask *a)
{
	switch (a->grant.policy) {
	case UPDATE_NO_ROLLBACK_PROTECTION:
		return false;
	case UPDATE_EPHEMERAL: /* the one that makes the volume records what it made */
		return !a->f.record.has_version;
	case UPDATE_ROLLBACK_PROTECTED:
	case UPDATE_STRICT:
		break;
	}
	return true;
}

static int log_and_store(const struct volumes_context *x, const struct ask *a, const char *event,
	const uint8_t client_key[32], struct error *err)
{
	struct detail d = describe(&a->f.record);

	return store_record(x->store, x->audit,
		&(struct audit_note){
			.event = event, .actor = client_key, .session = a->f.owner, .detail = d.s},
		&a->f, err);
}

static int take_lease(const struct volumes_context *x, struct ask *a, const struct volume_open_request *q,
	const uint8_t client_key[32], struct error *err)
{
	struct volume_record *r = &a->f.record;
	bool taken_over = r->held && memcmp(r->holder, client_key, sizeof(r->holder)) != 0;

	/* Asked again, for the answer was lost: the same lease. */
	if (r->held && !taken_over && !memcmp(r->place, q->place, sizeof(r->place)))
		return 0;
	r->number++;
	r->held = true;
	memcpy(r->holder, client_key, sizeof(r->holder));
	memcpy(r->place, q->place, sizeof(r->place));
	r->seen = x->now;
	return log_and_store(x, a, taken_over ? "volume-taken-over" : "volume-opened", client_key, err);
}

/* Without protection nothing is compared, so nothing is remembered: the next one with protection takes what it finds. */
static int forget_version(
	const struct volumes_context *x, struct ask *a, const uint8_t client_key[32], struct error *err)
{
	struct volume_record *r = &a->f.record;

	if (!r->has_version && !r->held)
		return 0;
	r->has_version = false;
	r->held = false;
	r->number++;
	return log_and_store(x, a, "volume-unprotected", client_key, err);
}

int volumes_open(const struct volumes_context *x, const struct volume_open_request *q,
	const uint8_t client_key[32], struct volume_lease *ret, struct error *err)
{
	const struct volume_record *r;
	struct ask a;
	int rc = ask_open(x, &q->grant, client_key, &a, err);
	bool lease;

	if (rc)
		goto out;
	r = &a.f.record;
	lease = needs_lease(&a);
	if (is_alive(r, x->now) && memcmp(r->holder, client_key, sizeof(r->holder)) != 0 &&
		memcmp(r->place, q->place, sizeof(r->place)) != 0)
		rc = held_by_another(x, &a, err);
	else if (lease)
		rc = take_lease(x, &a, q, client_key, err);
	else if (a.grant.policy == UPDATE_NO_ROLLBACK_PROTECTION)
		rc = forget_version(x, &a, client_key, err);
	if (rc)
		goto out;
	*ret = (struct volume_lease){.number = lease ? r->number : 0,
		.least = r->least,
		.term = VOLUME_TERM,
		.has_version = r->has_version,
		.has_initial = r->has_initial && !r->has_version};
	ret->version.generation = r->generation;
	memcpy(ret->version.tag, r->tag, sizeof(r->tag));
	memcpy(ret->initial, r->initial, sizeof(r->initial));
out:
	ask_free(&a);
	return rc;
}

static int refuse_update(const struct volumes_context *x, const struct ask *a, const uint8_t client_key[32],
	const struct error *why)
{
	struct detail d = describe(&a->f.record);
	struct error err = {0};

	if (audit_write(x->audit,
		    &(struct audit_note){.event = "volume-refused",
			    .actor = client_key,
			    .session = a->f.owner,
			    .detail = d.s},
		    &err))
		log_error("%s", err.text);
	log_warn("%s", why->text);
	return -1;
}

static int check_update(const struct ask *a, const struct volume_update_request *q,
	const uint8_t client_key[32], bool close, struct error *err)
{
	const struct volume_record *r = &a->f.record;
	char seen[2 * VOLUME_RECORD_TAG_LEN + 1], wanted[2 * VOLUME_RECORD_TAG_LEN + 1];

	if (!r->held || q->number != r->number || memcmp(r->holder, client_key, sizeof(r->holder)))
		return error_set(err, ERR_CONFLICT,
			"volume \"%s\" of session \"%s\": lease %" PRIu64 " is over, generation %" PRIu64
			" is not taken: the newest lease is %" PRIu64 "%s, its generation %" PRIu64,
			a->f.item, a->f.owner, q->number, q->version.generation, r->number,
			r->held ? "" : ", given back", r->has_version ? r->generation : 0);
	if (!q->has_version && !close)
		return error_set(err, ERR_INPUT,
			"volume \"%s\" of session \"%s\": an update without a generation: only a lease is "
			"given "
			"back without",
			a->f.item, a->f.owner);
	if (!r->has_version || !q->has_version)
		return 0;
	hex_encode(q->version.tag, sizeof(q->version.tag), seen);
	hex_encode(r->tag, sizeof(r->tag), wanted);
	if (q->version.generation < r->generation ||
		(q->version.generation == r->generation &&
			!secret_equal(q->version.tag, r->tag, sizeof(r->tag))))
		return error_set(err, ERR_CONFLICT,
			"volume \"%s\" of session \"%s\": generation %" PRIu64
			" with tag %s is not taken: CAS has "
			"generation %" PRIu64 " with tag %s",
			a->f.item, a->f.owner, q->version.generation, seen, r->generation, wanted);
	if (a->grant.policy == UPDATE_EPHEMERAL && q->version.generation != r->generation)
		return error_set(err, ERR_ACCESS,
			"volume \"%s\" of session \"%s\": update_policy is ephemeral, changes are not "
			"recorded",
			a->f.item, a->f.owner);
	return 0;
}

int volumes_update(const struct volumes_context *x, const struct volume_update_request *q,
	const uint8_t client_key[32], bool close, struct error *err)
{
	struct error why = {0};
	struct volume_record *r;
	struct ask a;
	int rc = ask_update(x, &q->grant, client_key, &a, &why);

	if (rc)
		goto out;
	rc = check_update(&a, q, client_key, close, &why);
	if (rc) {
		refuse_update(x, &a, client_key, &why);
		goto out;
	}
	r = &a.f.record;
	if (q->has_version) {
		r->has_version = true;
		r->generation = q->version.generation;
		memcpy(r->tag, q->version.tag, sizeof(r->tag));
		r->least = r->number;
	}
	r->seen = x->now;
	r->held = !close;
	rc = close ? log_and_store(x, &a, "volume-closed", client_key, &why)
		   : store_record(x->store, x->audit, NULL, &a.f, &why);
out:
	if (rc && err)
		*err = why;
	ask_free(&a);
	return rc;
}

int volumes_names_of(
	struct sealed_store *ss, const char *session, char ***ret, size_t *ret_count, struct error *err)
{
	size_t n = 0, kept = 0, len = strlen(session);
	char **names = NULL;

	if (sealed_store_names(ss, TABLE_VOLUME, &names, &n, err))
		return -1;
	for (size_t i = 0; i < n; i++) {
		if (!strncmp(names[i], session, len) && names[i][len] == '@')
			names[kept++] = names[i];
		else
			free(names[i]);
	}
	*ret = names;
	*ret_count = kept;
	return 0;
}
