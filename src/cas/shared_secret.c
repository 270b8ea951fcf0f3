#include "cas/shared_secret.h"

#include <string.h>
#include "cas/board.h"
#include "cas/remotes.h"
#include "cas/vault_key.h"
#include "core/encode.h"
#include "policy/template.h"

/* Who imports, and as what. */
struct importer {
	const uint8_t *cas_key; /* of another CAS; NULL: of this one */
	const char *session;
	const uint8_t *hash;
	const char *secret; /* its name there; of another CAS: the exporter's name for it */
};

static bool is_exported(const struct secret_spec *given, const struct importer *to)
{
	return to->cas_key ? secret_is_exported_to_cas(given, to->cas_key, to->session, to->hash)
			   : secret_is_exported(given, to->session, to->hash);
}

/* To an importer that is not meant, a secret that is not exported to it and one that is not there look alike. */
static int not_exported(const struct importer *to, const char *session, const char *item, struct error *err)
{
	return error_set(err, ERR_NOT_FOUND,
		"secret \"%s\": session \"%s\" exports no secret \"%s\" to session \"%s\"%s, or there is no "
		"such session [E-REF]",
		to->secret, session, item, to->session, to->cas_key ? " of this CAS' key" : "");
}

static int check_hash(const struct importer *to, const uint8_t *wanted, const struct stored_session *exporter,
	struct error *err)
{
	char text[2 * SESSION_HASH_LEN + 1];

	if (!wanted || !memcmp(wanted, exporter->hash, SESSION_HASH_LEN))
		return 0;
	hex_encode(wanted, SESSION_HASH_LEN, text);
	return error_set(err, ERR_CONFLICT,
		"secret \"%s\": session \"%s\" has not the hash %s any more with which it is imported "
		"[E-REF]",
		to->secret, exporter->doc->name, text);
}

static bool key_is_exported(
	const struct stored_session *exporter, const struct secret_spec *given, const struct importer *to)
{
	const struct secret_spec *key = given->private_key ? session_secret(exporter->doc, given->private_key,
								     strlen(given->private_key))
							   : NULL;

	return key && is_exported(key, to);
}

static bool own_lookup(void *arg, const char *name, size_t len, struct template_value *ret)
{
	const struct stored_session *s = arg;
	const struct secret_spec *spec = session_secret(s->doc, name, len);

	if (!spec || spec->imported || secret_kind_has_parts(spec->kind) || spec->kind == SECRET_FRAGMENT)
		return false;
	ret->kind = secret_kind_name(spec->kind);
	return vault_lookup(s->doc, &s->vault, name, len, &ret->value, &ret->len) != NULL;
}

/* Its templates are replaced here, with the secrets of the session that has it: one level. */
static int export_fragment(const struct stored_session *exporter, const struct secret_spec *given,
	struct buf *out, struct error *err)
{
	if (fragment_expand(given->value.data, given->value.len, own_lookup, (void *)exporter, out, err))
		return error_wrap(err, "secret \"%s\" of session \"%s\"", given->name, exporter->doc->name);
	return 0;
}

/* What exporter gives under the name item. wanted: the hash it must have, or NULL. */
static int take(const struct stored_session *exporter, const struct importer *to, const char *item,
	const uint8_t *wanted, enum secret_kind *ret_kind, struct buf *out, struct error *err)
{
	const struct secret_spec *given = session_secret(exporter->doc, item, strlen(item));
	const void *p;
	size_t n;

	if (!given || given->imported || given->kind == SECRET_JWT || !is_exported(given, to))
		return not_exported(to, exporter->doc->name, item, err);
	if (check_hash(to, wanted, exporter, err))
		return -1;
	*ret_kind = given->kind;
	if (given->kind == SECRET_FRAGMENT)
		return export_fragment(exporter, given, out, err);
	if (secret_kind_has_parts(given->kind))
		return vault_key_parts(exporter->doc, &exporter->vault, given,
			key_is_exported(exporter, given, to), out, err);
	if (!vault_lookup(exporter->doc, &exporter->vault, given->name, strlen(given->name), &p, &n))
		return error_set(err, ERR_INTERNAL, "secret \"%s\" of session \"%s\" has no value",
			given->name, exporter->doc->name);
	buf_put(out, p, n);
	return out->failed
		       ? error_set(err, ERR_LIMIT, "secret \"%s\" is over %zu bytes", to->secret, out->max)
		       : 0;
}

/* The exporter's current version, with certificates that are good now. */
static int load_exporter(struct sealed_store *ss, struct audit *audit, const struct importer *to,
	const char *session, const char *item, uint64_t now, struct stored_session *ret, struct error *err)
{
	struct error why = {0};

	if (!sessions_load(ss, session, NULL, ret, &why))
		return sessions_renew(ss, audit, ret, now, err);
	if (why.code == ERR_NOT_FOUND)
		return not_exported(to, session, item, err);
	if (err)
		*err = why;
	return -1;
}

static int check_kind(const struct secret_spec *spec, enum secret_kind seen, struct error *err)
{
	if (!spec->kind_known || spec->kind == seen)
		return 0;
	return error_set(err, ERR_CONFLICT,
		"secret \"%s\": session \"%s\" exports \"%s\" of kind %s, it is imported as %s [E-KIND]",
		spec->name, spec->import.session, spec->import.item, secret_kind_name(seen),
		secret_kind_name(spec->kind));
}

int shared_secret_get(struct sealed_store *ss, struct audit *audit, const struct stored_session *s,
	const struct secret_spec *spec, uint64_t now, enum secret_kind *ret_kind, struct buf *out,
	struct error *err)
{
	const struct importer to = {.session = s->doc->name, .hash = s->hash, .secret = spec->name};
	const struct session_ref *from = &spec->import;
	struct stored_session exporter;
	int rc, kind;

	if (from->at_cas) {
		rc = remotes_get(s->remotes, s, spec, &kind, out, err);
		if (!rc)
			*ret_kind = (enum secret_kind)kind;
		return rc;
	}
	stored_session_init(&exporter);
	rc = load_exporter(ss, audit, &to, from->session, from->item, now, &exporter, err);
	if (!rc)
		rc = take(&exporter, &to, from->item, from->has_hash ? from->hash : NULL, ret_kind, out, err);
	if (!rc)
		rc = check_kind(spec, *ret_kind, err);
	if (!rc)
		rc = board_check_export(ss, &exporter, s, from->item, err);
	stored_session_free(&exporter);
	return rc;
}

int shared_secret_for_cas(struct sealed_store *ss, struct audit *audit, const uint8_t cas_key[32],
	const struct export_request *q, uint64_t now, enum secret_kind *ret_kind, struct buf *out,
	struct error *err)
{
	const struct importer to = {
		.cas_key = cas_key, .session = q->importer, .hash = q->importer_hash, .secret = q->secret};
	struct stored_session exporter;
	int rc;

	stored_session_init(&exporter);
	rc = load_exporter(ss, audit, &to, q->session, q->secret, now, &exporter, err);
	if (!rc)
		rc = take(&exporter, &to, q->secret, q->has_hash ? q->hash : NULL, ret_kind, out, err);
	/* What the board agrees to is bound to the importer's hash as this CAS knows it, and of other CAS it knows none. */
	if (!rc && board_covers(exporter.doc, BOARD_EXPORT))
		rc = error_set(err, ERR_ACCESS,
			"the board of session \"%s\" decides about exports, and can agree to those within "
			"one "
			"CAS only [E-BOARD]",
			q->session);
	stored_session_free(&exporter);
	return rc;
}
