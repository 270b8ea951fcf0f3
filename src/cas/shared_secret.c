#include "cas/shared_secret.h"

#include <string.h>
#include "cas/board.h"
#include "cas/vault_key.h"
#include "core/encode.h"
#include "policy/template.h"

/* To an importer that is not meant, a secret that is not exported to it and one that is not there look alike. */
static int not_exported(const struct stored_session *s, const struct secret_spec *spec, struct error *err)
{
	return error_set(err, ERR_NOT_FOUND,
		"secret \"%s\": session \"%s\" exports no secret \"%s\" to session \"%s\", or there is no "
		"such session [E-REF]",
		spec->name, spec->import.session, spec->import.item, s->doc->name);
}

static int check_hash(
	const struct secret_spec *spec, const struct stored_session *exporter, struct error *err)
{
	char wanted[2 * SESSION_HASH_LEN + 1];

	if (!spec->import.has_hash || !memcmp(spec->import.hash, exporter->hash, SESSION_HASH_LEN))
		return 0;
	hex_encode(spec->import.hash, SESSION_HASH_LEN, wanted);
	return error_set(err, ERR_CONFLICT,
		"secret \"%s\": session \"%s\" has not the hash %s any more with which it is imported "
		"[E-REF]",
		spec->name, spec->import.session, wanted);
}

static bool key_is_exported(const struct stored_session *exporter, const struct secret_spec *given,
	const struct stored_session *s)
{
	const struct secret_spec *key = given->private_key ? session_secret(exporter->doc, given->private_key,
								     strlen(given->private_key))
							   : NULL;

	return key && secret_is_exported(key, s->doc->name, s->hash);
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

static int take(const struct stored_session *exporter, const struct stored_session *s,
	const struct secret_spec *spec, enum secret_kind *ret_kind, struct buf *out, struct error *err)
{
	const struct secret_spec *given =
		session_secret(exporter->doc, spec->import.item, strlen(spec->import.item));
	const void *p;
	size_t n;

	if (!given || given->imported || given->kind == SECRET_JWT ||
		!secret_is_exported(given, s->doc->name, s->hash))
		return not_exported(s, spec, err);
	if (check_hash(spec, exporter, err))
		return -1;
	if (spec->kind_known && spec->kind != given->kind)
		return error_set(err, ERR_CONFLICT,
			"secret \"%s\": session \"%s\" exports \"%s\" of kind %s, it is imported as %s "
			"[E-KIND]",
			spec->name, spec->import.session, given->name, secret_kind_name(given->kind),
			secret_kind_name(spec->kind));
	*ret_kind = given->kind;
	if (given->kind == SECRET_FRAGMENT)
		return export_fragment(exporter, given, out, err);
	if (secret_kind_has_parts(given->kind))
		return vault_key_parts(exporter->doc, &exporter->vault, given,
			key_is_exported(exporter, given, s), out, err);
	if (!vault_lookup(exporter->doc, &exporter->vault, given->name, strlen(given->name), &p, &n))
		return error_set(err, ERR_INTERNAL, "secret \"%s\" of session \"%s\" has no value",
			given->name, spec->import.session);
	buf_put(out, p, n);
	return out->failed
		       ? error_set(err, ERR_LIMIT, "secret \"%s\" is over %zu bytes", spec->name, out->max)
		       : 0;
}

int shared_secret_get(struct sealed_store *ss, struct audit *audit, const struct stored_session *s,
	const struct secret_spec *spec, uint64_t now, enum secret_kind *ret_kind, struct buf *out,
	struct error *err)
{
	struct stored_session exporter;
	struct error why = {0};
	int rc;

	stored_session_init(&exporter);
	rc = sessions_load(ss, spec->import.session, NULL, &exporter, &why);
	if (rc && why.code == ERR_NOT_FOUND)
		rc = not_exported(s, spec, err);
	else if (rc && err)
		*err = why;
	else if (!rc && !(rc = sessions_renew(ss, audit, &exporter, now, err)))
		rc = take(&exporter, s, spec, ret_kind, out, err);
	if (!rc)
		rc = board_check_export(ss, &exporter, s, spec->import.item, err);
	stored_session_free(&exporter);
	return rc;
}
