#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cas/board.h"
#include "cas/permit.h"
#include "cas/session_record.h"
#include "cas/sessions.h"
#include "cas/vault_key.h"
#include "cas/volumes.h"
#include "core/encode.h"
#include "core/log.h"
#include "crypto/x509.h"

void stored_session_init(struct stored_session *s)
{
	memset(s, 0, sizeof(*s));
	buf_init_secret(&s->text, SESSION_TEXT_MAX);
}

void stored_session_free(struct stored_session *s)
{
	session_free(s->doc);
	s->doc = NULL;
	buf_free(&s->text);
	vault_free(&s->vault);
}

/* A document that was accepted once and is not now is a bug, or a store of a newer CAS. */
static int parse_stored(const char *name, struct stored_session *s, struct error *err)
{
	struct diag d;
	int rc = 0;

	diag_init(&d);
	if (session_parse((const char *)s->text.data, s->text.len, &s->doc, &d)) {
		s->doc = NULL;
		rc = error_set(err, ERR_INTERNAL, "session \"%s\" is stored but no longer understood: %s",
			name, d.count ? d.entries[0].text : "no reason given");
	}
	diag_free(&d);
	return rc;
}

int sessions_load(struct sealed_store *ss, const char *name, const uint8_t *hash, struct stored_session *ret,
	struct error *err)
{
	struct stored_session s;
	struct session_head h;

	stored_session_init(&s);
	if (session_record_load(ss, name, &h, hash ? NULL : &s.vault, err))
		goto fail;
	if (h.state != RECORD_LIVE) {
		error_set(err, ERR_NOT_FOUND, "no session \"%s\": it was deleted", name);
		goto fail;
	}
	if (version_record_load(ss, name, hash ? hash : h.hash, &s, err) || parse_stored(name, &s, err))
		goto fail;
	s.doc->creator_signs = s.creator_signs;
	*ret = s;
	return 0;
fail:
	stored_session_free(&s);
	return -1;
}

#define ROOT_NAME "/"

/* One upload on its way. */
struct change {
	struct sealed_store *ss;
	const struct upload *u;
	struct session *doc;
	bool exists; /* live */
	bool tombstone; /* deleted earlier */
	struct session_head head; /* as stored, if exists or tombstone */
	struct stored_session current; /* if exists */
	struct stored_session next; /* what will be stored */
};

static int load_current(struct change *c, struct error *err)
{
	struct error why = {0};

	if (session_record_load(c->ss, c->doc->name, &c->head, NULL, &why)) {
		if (why.code == ERR_NOT_FOUND)
			return 0;
		if (err)
			*err = why;
		return -1;
	}
	c->tombstone = c->head.state == RECORD_GONE;
	if (c->tombstone)
		return 0;
	c->exists = true;
	return sessions_load(c->ss, c->doc->name, NULL, &c->current, err);
}

/* What namespace_hash asks for, and that a namespace is of 0.3. */
static int check_namespace(const struct change *c, const struct stored_session *parent, struct error *err)
{
	if (strncmp(parent->doc->version, "0.3", 3))
		return error_set(err, ERR_CONFLICT,
			"session \"%s\" cannot be created: session \"%s\" is of language version %s, a "
			"namespace is of 0.3 or newer "
			"[E-NS]",
			c->doc->name, parent->doc->name, parent->doc->version);
	if (c->doc->has_namespace_hash && memcmp(c->doc->namespace_hash, parent->hash, SESSION_HASH_LEN))
		return error_set(err, ERR_CONFLICT,
			"session \"%s\" cannot be created: session \"%s\" has not the hash that "
			"namespace_hash says [E-NS]",
			c->doc->name, parent->doc->name);
	return 0;
}

/* The root may be claimed before anything else is here; after that it stays as it is (3.2). */
static int check_root(struct change *c, struct error *err)
{
	char **names = NULL;
	size_t n = 0;

	if (sealed_store_names(c->ss, TABLE_SESSION, &names, &n, err))
		return -1;
	for (size_t i = 0; i < n; i++)
		free(names[i]);
	free(names);
	return n ? error_set(err, ERR_CONFLICT,
			   "session \"/\" cannot be created: it can be claimed only while this CAS has no "
			   "session, and it has, or "
			   "had, %zu [E-NS]",
			   n)
		 : 0;
}

static int check_parent(struct change *c, struct error *err)
{
	const char *slash = strrchr(c->doc->name, '/');
	struct stored_session parent;
	struct error why = {0};
	char *name;
	int rc = -1;

	if (!strcmp(c->doc->name, ROOT_NAME))
		return check_root(c, err);
	name = slash ? strndup(c->doc->name, (size_t)(slash - c->doc->name)) : strdup(ROOT_NAME);
	if (!name)
		return error_set(err, ERR_NOMEM, "out of memory");
	stored_session_init(&parent);
	if (sessions_load(c->ss, name, NULL, &parent, &why)) {
		if (why.code == ERR_NOT_FOUND && !slash && !c->doc->has_namespace_hash)
			rc = 0; /* nobody has claimed the root */
		else if (why.code == ERR_NOT_FOUND)
			error_set(err, ERR_NOT_FOUND,
				"session \"%s\" cannot be created: its namespace, session \"%s\", does not "
				"exist [E-NS]",
				c->doc->name, name);
		else if (err)
			*err = why;
		goto out;
	}
	rc = permit(c->ss, c->u->audit, &parent, OP_CREATE_SESSIONS, &c->u->who, c->u->now, err);
	if (!rc)
		rc = check_namespace(c, &parent, err);
	else
		error_wrap(err, "session \"%s\" cannot be created in namespace \"%s\"", c->doc->name, name);
out:
	stored_session_free(&parent);
	free(name);
	return rc;
}

static int check_create(struct change *c, struct error *err)
{
	if (c->exists)
		return error_set(err, ERR_EXISTS,
			"session \"%s\" exists already: an update needs `predecessor` with its current hash "
			"[E-EXISTS]",
			c->doc->name);
	return check_parent(c, err);
}

static int check_update(struct change *c, struct error *err)
{
	char given[2 * SESSION_HASH_LEN + 1], current[2 * SESSION_HASH_LEN + 1];
	bool may_read;

	if (!c->exists)
		return error_set(err, ERR_CONFLICT,
			"session \"%s\" does not exist, so nothing is its predecessor; leave `predecessor` "
			"out to create it [E-PRED]",
			c->doc->name);
	if (!c->u->decided && permit(c->ss, c->u->audit, &c->current, OP_UPDATE, &c->u->who, c->u->now, err))
		return error_wrap(err, "session \"%s\"", c->doc->name);
	if (!memcmp(c->doc->predecessor, c->current.hash, SESSION_HASH_LEN))
		return 0;
	/* The current hash is for readers: over guessable values it could be searched. */
	may_read = !permit(c->ss, c->u->audit, &c->current, OP_READ, &c->u->who, c->u->now, NULL);
	hex_encode(c->doc->predecessor, SESSION_HASH_LEN, given);
	hex_encode(c->current.hash, SESSION_HASH_LEN, current);
	return error_set(err, ERR_CONFLICT,
		"session \"%s\": predecessor is %s, current hash is %s: read it again, merge and retry "
		"[E-PRED]",
		c->doc->name, given, may_read ? current : "another one");
}

/* The hash must be new to this name, but for the one it was deleted with. */
static int check_hash_is_new(struct change *c, struct error *err)
{
	char vname[VERSION_NAME_MAX];

	version_name(c->doc->name, c->next.hash, vname);
	if (!sealed_store_has(c->ss, TABLE_VERSION, vname))
		return 0;
	/* Nor does a signed one come back because somebody has kept it. */
	if (c->tombstone && !c->u->who.signer_count && !memcmp(c->head.hash, c->next.hash, SESSION_HASH_LEN))
		return 0;
	return error_set(err, ERR_CONFLICT,
		"session \"%s\" had this very description earlier, and a name never returns to an older "
		"hash: add or change `salt`",
		c->doc->name);
}

/* creator is who uploads, whatever the document says (3.6). */
static void warn_creator(const struct change *c, struct diag *d)
{
	uint8_t key[32];
	X509 *cert = NULL;
	bool same = false;

	if (c->next.creator_signs || c->u->decided || (!c->doc->creator_pem && !c->doc->has_creator_signer))
		return;
	if (c->doc->creator_pem &&
		!x509_from_pem(c->doc->creator_pem, strlen(c->doc->creator_pem), &cert, NULL)) {
		same = !x509_key_hash(cert, key, NULL) && !memcmp(key, c->u->who.caller, sizeof(key));
		X509_free(cert);
	}
	if (!same)
		diag_add(d, "W-CREATOR", "creator", 0, 0,
			"not the certificate of this upload: replaced by it");
}

/* Of a signed session the one of its signers that it names: whoever carries it here must not become its creator. */
static int set_creator(struct change *c, struct error *err)
{
	const struct requester *who = &c->u->who;
	const uint8_t *creator = who->caller;
	bool found = !who->signer_count;

	if (c->u->decided) {
		creator = c->u->decided->creator;
		c->next.creator_signs = c->u->decided->creator_signs;
		found = true;
	} else if (who->signer_count && c->doc->has_creator_signer) {
		creator = c->doc->creator_signer;
		c->next.creator_signs = true;
		for (size_t i = 0; i < who->signer_count; i++)
			found |= !memcmp(who->signers[i], creator, KEY_HASH_LEN);
	}
	if (!found)
		return error_set(err, ERR_INPUT,
			"creator: a signed session names one of its %zu signers as `creator: {signer: PEM}` "
			"(`scone session "
			"sign` does) [E-CONFLICT]",
			who->signer_count);
	memcpy(c->next.creator, creator, sizeof(c->next.creator));
	c->doc->creator_signs = c->next.creator_signs;
	return 0;
}

static int make_next(struct change *c, struct diag *d, struct error *err)
{
	if (set_creator(c, err))
		return -1;
	c->next.has_predecessor = c->exists;
	if (c->exists)
		memcpy(c->next.predecessor, c->current.hash, SESSION_HASH_LEN);
	if (session_hash(c->doc, c->next.creator, c->next.hash, err) || check_hash_is_new(c, err))
		return -1;
	warn_creator(c, d);
	return vault_make(c->doc, c->exists ? &c->current.vault : NULL, c->u->now, &c->next.vault, err);
}

/* The log first, then the change and the log's end in one batch. */
int logged_apply(struct sealed_store *ss, struct audit *audit, const struct audit_note *note,
	struct sealed_change *changes, size_t n, struct error *err)
{
	if (audit_change(audit, note, &changes[n], err))
		return -1;
	if (!sealed_store_apply(ss, changes, n + 1, err))
		return 0;
	audit_not_done(audit);
	return -1;
}

static int store_next(struct change *c, struct error *err)
{
	struct session_head head = {.state = RECORD_LIVE};
	char vname[VERSION_NAME_MAX], hash[2 * SESSION_HASH_LEN + 1];
	struct buf session, version;
	int rc = -1;

	buf_init_secret(&session, SEALED_CONTENT_MAX);
	buf_init_secret(&version, SEALED_CONTENT_MAX);
	memcpy(head.hash, c->next.hash, SESSION_HASH_LEN);
	version_name(c->doc->name, c->next.hash, vname);
	hex_encode(c->next.hash, SESSION_HASH_LEN, hash);
	if (!session_record_encode(&head, &c->next.vault, c->u->now, &session, err) &&
		!version_record_encode(&c->next, c->u->text, c->u->len, c->u->now, &version, err)) {
		struct sealed_change changes[3] = {
			{.table = TABLE_SESSION,
				.name = c->doc->name,
				.content = session.data,
				.len = session.len},
			{.table = TABLE_VERSION, .name = vname, .content = version.data, .len = version.len},
		};
		struct audit_note note = {.event = c->exists ? "session-updated" : "session-created",
			.actor = c->u->who.caller,
			.session = c->doc->name,
			.hash = hash};

		rc = logged_apply(c->ss, c->u->audit, &note, changes, 2, err);
	}
	buf_free(&session);
	buf_free(&version);
	return rc;
}

static void refuse_document(const struct diag *d, struct error *err)
{
	const struct diag_entry *first = NULL;

	for (size_t i = 0; i < d->count && !first; i++)
		if (!strncmp(d->entries[i].name, "E-", 2))
			first = &d->entries[i];
	error_set(err, ERR_INPUT, "the session is refused, %zu error%s%s: %s%s%s", d->errors,
		d->errors == 1 ? "" : "s", d->truncated ? " or more" : "", first ? first->path : "",
		first && first->path[0] ? ": " : "", first ? first->text : "");
}

/* Is the current version this very upload: the same text, which names its predecessor, by the same requester? */
static bool is_done(struct change *c)
{
	const struct requester *who = &c->u->who;
	const struct stored_session *s = &c->current;
	bool same = c->exists && s->text.len == c->u->len && !memcmp(s->text.data, c->u->text, c->u->len) &&
		    s->creator_signs == (who->signer_count > 0);

	if (!same || !s->creator_signs)
		return same && !memcmp(s->creator, who->caller, KEY_HASH_LEN);
	for (size_t i = 0; i < who->signer_count; i++)
		if (!memcmp(s->creator, who->signers[i], KEY_HASH_LEN))
			return true;
	return false;
}

static int tell(struct change *c, const uint8_t hash[SESSION_HASH_LEN], bool created, struct uploaded *ret,
	struct error *err)
{
	ret->name = strdup(c->doc->name);
	if (!ret->name)
		return error_set(err, ERR_NOMEM, "out of memory");
	memcpy(ret->hash, hash, SESSION_HASH_LEN);
	ret->created = created;
	return 0;
}

int sessions_upload(struct sealed_store *ss, const struct upload *u, struct uploaded *ret, struct diag *d,
	struct error *err)
{
	struct change c = {.ss = ss, .u = u};
	int rc = -1;

	stored_session_init(&c.current);
	stored_session_init(&c.next);
	if (session_parse(u->text, u->len, &c.doc, d)) {
		c.doc = NULL;
		refuse_document(d, err);
		goto out;
	}
	if (load_current(&c, err))
		goto out;
	if (u->repeat && is_done(&c)) {
		rc = tell(&c, c.current.hash, !c.current.has_predecessor, ret, err);
		goto out;
	}
	if ((c.doc->has_predecessor ? check_update(&c, err) : check_create(&c, err)))
		goto out;
	if (make_next(&c, d, err))
		goto out;
	if (c.exists && !u->decided && board_covers(c.current.doc, BOARD_UPDATE)) {
		rc = board_ask_update(
			&(struct board_context){ss, u->audit, u->now}, &c.current, &c.next, u, ret, err);
		goto out;
	}
	rc = store_next(&c, err) ? -1 : tell(&c, c.next.hash, !c.exists, ret, err);
out:
	stored_session_free(&c.current);
	stored_session_free(&c.next);
	session_free(c.doc);
	return rc;
}

int sessions_renew(struct sealed_store *ss, struct audit *audit, struct stored_session *s, uint64_t now,
	struct error *err)
{
	struct audit_note note = {.event = "certificates-renewed", .session = s->doc->name};
	struct session_head head = {.state = RECORD_LIVE};
	struct error why = {0};
	struct buf record;
	bool changed;

	if (vault_key_certify(s->doc, &s->vault, now, &changed, err))
		return -1;
	if (!changed)
		return 0;
	memcpy(head.hash, s->hash, SESSION_HASH_LEN);
	buf_init_secret(&record, SEALED_CONTENT_MAX);
	if (!session_record_encode(&head, &s->vault, now, &record, &why)) {
		struct sealed_change changes[2] = {{.table = TABLE_SESSION,
			.name = s->doc->name,
			.content = record.data,
			.len = record.len}};

		if (!logged_apply(ss, audit, &note, changes, 1, &why))
			log_info("session \"%s\": certificates renewed", s->doc->name);
	}
	if (why.text[0])
		log_warn("session \"%s\": its renewed certificates are not stored: %s", s->doc->name,
			why.text);
	buf_free(&record);
	return 0;
}

/* The changes that a deletion makes: one a version of this life, one for the name, and room for the audit log's. */
struct removal {
	struct sealed_change *changes;
	char (*names)[VERSION_NAME_MAX];
	size_t count, cap;
	struct buf gone; /* shared content */
};

static int removal_grow(struct removal *m, struct error *err)
{
	size_t cap = m->cap ? m->cap * 2 : 16;
	void *changes = realloc(m->changes, cap * sizeof(*m->changes));
	void *names;

	if (changes)
		m->changes = changes;
	names = changes ? realloc(m->names, cap * sizeof(*m->names)) : NULL;
	if (!names)
		return error_set(err, ERR_NOMEM, "out of memory for a history of %zu versions", cap);
	m->names = names;
	m->cap = cap;
	return 0;
}

/* Walk back from the current version. */
static int removal_collect(struct sealed_store *ss, const char *name, const uint8_t hash[SESSION_HASH_LEN],
	struct removal *m, struct error *err)
{
	uint8_t at[SESSION_HASH_LEN];
	bool more = true;

	memcpy(at, hash, sizeof(at));
	while (more) {
		struct stored_session s;
		int rc;

		if (m->count + 2 >= m->cap && removal_grow(m, err))
			return -1;
		stored_session_init(&s);
		rc = version_record_load(ss, name, at, &s, err);
		if (!rc) {
			version_name(name, at, m->names[m->count++]);
			more = s.has_predecessor;
			memcpy(at, s.predecessor, sizeof(at));
		}
		stored_session_free(&s);
		if (rc)
			return -1;
	}
	return 0;
}

static int remove_session(struct sealed_store *ss, struct audit *audit, const char *name,
	const uint8_t caller[32], const uint8_t hash[SESSION_HASH_LEN], uint64_t now, struct error *err)
{
	struct session_head head = {.state = RECORD_GONE};
	struct removal m = {0};
	char **volumes = NULL;
	size_t volume_count = 0;
	struct buf tombstone;
	int rc = -1;

	memcpy(head.hash, hash, SESSION_HASH_LEN);
	buf_init(&m.gone, 16);
	buf_init_secret(&tombstone, SEALED_CONTENT_MAX);
	version_record_encode_gone(&m.gone);
	if (removal_collect(ss, name, hash, &m, err) ||
		session_record_encode(&head, NULL, now, &tombstone, err) ||
		volumes_names_of(ss, name, &volumes, &volume_count, err))
		goto out;
	while (m.cap < m.count + volume_count + 2)
		if (removal_grow(&m, err))
			goto out;
	for (size_t i = 0; i < m.count; i++)
		m.changes[i] = (struct sealed_change){.table = TABLE_VERSION,
			.name = m.names[i],
			.content = m.gone.data,
			.len = m.gone.len};
	m.changes[m.count] = (struct sealed_change){
		.table = TABLE_SESSION, .name = name, .content = tombstone.data, .len = tombstone.len};
	/* Whoever has the name next gets none of the keys. */
	for (size_t i = 0; i < volume_count; i++)
		m.changes[m.count + 1 + i] =
			(struct sealed_change){.table = TABLE_VOLUME, .name = volumes[i], .content = NULL};
	rc = logged_apply(ss, audit,
		&(struct audit_note){.event = "session-deleted", .actor = caller, .session = name}, m.changes,
		m.count + 1 + volume_count, err);
out:
	for (size_t i = 0; i < volume_count; i++)
		free(volumes[i]);
	free(volumes);
	free(m.changes);
	free(m.names);
	buf_free(&m.gone);
	buf_free(&tombstone);
	return rc;
}

int sessions_delete(struct sealed_store *ss, struct audit *audit, const char *name,
	const struct requester *who, uint64_t now, bool decided, uint8_t ret_hash[SESSION_HASH_LEN],
	struct error *err)
{
	struct stored_session s;
	int rc = -1;

	if (sessions_load(ss, name, NULL, &s, err))
		return -1;
	if (!decided && permit(ss, audit, &s, OP_UPDATE, who, now, err))
		error_wrap(err, "session \"%s\"", name);
	else if (!decided && board_covers(s.doc, BOARD_DELETE))
		error_set(err, ERR_ACCESS, "session \"%s\": its board decides about its deletion [E-BOARD]",
			name);
	else if (!board_forget(&(struct board_context){ss, audit, now}, name, err))
		rc = remove_session(ss, audit, name, who->caller, s.hash, now, err);
	if (!rc)
		memcpy(ret_hash, s.hash, SESSION_HASH_LEN);
	stored_session_free(&s);
	return rc;
}

static int list_one(struct sealed_store *ss, struct audit *audit, const char *name,
	const struct requester *who, uint64_t now,
	int (*f)(void *arg, const char *name, const uint8_t hash[SESSION_HASH_LEN], struct error *err),
	void *arg, struct error *err)
{
	struct stored_session s;
	struct error why = {0};
	int rc = 0;

	if (sessions_load(ss, name, NULL, &s, &why)) {
		if (why.code == ERR_NOT_FOUND)
			return 0;
		if (err)
			*err = why;
		return -1;
	}
	if (!permit(ss, audit, &s, OP_READ, who, now, NULL))
		rc = f(arg, name, s.hash, err);
	stored_session_free(&s);
	return rc;
}

int sessions_list(struct sealed_store *ss, struct audit *audit, const struct requester *who, uint64_t now,
	const char *after, char **ret_next,
	int (*f)(void *arg, const char *name, const uint8_t hash[SESSION_HASH_LEN], struct error *err),
	void *arg, struct error *err)
{
	char **names = NULL;
	size_t n = 0, first = 0, end;
	int rc = 0;

	*ret_next = NULL;
	if (sealed_store_names(ss, TABLE_SESSION, &names, &n, err))
		return -1;
	while (after && first < n && strcmp(names[first], after) <= 0)
		first++;
	end = n - first > SESSIONS_PAGE ? first + SESSIONS_PAGE : n;
	for (size_t i = first; i < end && !rc; i++)
		rc = list_one(ss, audit, names[i], who, now, f, arg, err);
	if (!rc && end < n && !(*ret_next = strdup(names[end - 1])))
		rc = error_set(err, ERR_NOMEM, "out of memory");
	for (size_t i = 0; i < n; i++)
		free(names[i]);
	free(names);
	return rc;
}
