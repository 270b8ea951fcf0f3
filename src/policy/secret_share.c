/* Secrets that sessions share: export and import (session language, section 7). */
#include <stdlib.h>
#include <string.h>
#include "policy/schema.h"

#define EXPORTS_MAX 100 /* of one secret */

static void read_export(struct parse *p, const struct ynode *n, struct secret_spec *s)
{
	struct session_ref *list;

	if (s->export_count == EXPORTS_MAX) {
		ynode_diag(p->d, n, "E-LENGTH", "more than %d exports of one secret", EXPORTS_MAX);
		return;
	}
	list = parse_grow(p, s->exports, &s->export_count, sizeof *list);
	if (!list)
		return;
	s->exports = list;
	read_reference(p, n, REF_EXPORT_SECRET, &list[s->export_count - 1]);
}

static void check_import(
	struct parse *p, const struct ynode *n, const struct ynode *import, struct secret_spec *s)
{
	static const char *const excluded[] = {"value", "export", NULL};
	static const char *const generating[] = {"size", "alphabet", "key_type", "migrate", "private_key",
		"issuer", "common_name", "endpoint", "san", "dns", "valid_for", "signer", "alg", "validity",
		"payload", NULL};

	for (size_t i = 0; excluded[i]; i++)
		if (ynode_get(n, excluded[i]))
			ynode_diag_key(p->d, ynode_get(n, excluded[i]), "E-CONFLICT",
				"import and %s exclude each other", excluded[i]);
	if (s->export_public)
		ynode_diag_key(p->d, ynode_get(n, "export_public"), "E-CONFLICT",
			"only its own session makes a secret public");
	for (size_t i = 0; generating[i]; i++)
		if (ynode_get(n, generating[i]))
			ynode_diag_key(p->d, ynode_get(n, generating[i]), "W-IGNORED",
				"%s beside import has no effect", generating[i]);
	if (s->import.session && !s->import.at_cas && p->s->name && !strcmp(s->import.session, p->s->name))
		ynode_diag(p->d, import, "E-CYCLE", "a session imports nothing from itself");
}

bool read_secret_share(struct parse *p, const struct ynode *n, struct secret_spec *s)
{
	const struct ynode *import = ynode_get(n, "import"), *export = ynode_get(n, "export");

	if (import) {
		s->imported = true;
		s->kind_known = ynode_get(n, "kind") != NULL;
		read_reference(p, import, REF_IMPORT_SECRET, &s->import);
		if (p->old == 2 && !s->import.item && s->name)
			s->import.item = parse_strdup(p, s->name, strlen(s->name));
		check_import(p, n, import, s);
		return true;
	}
	if (export && export->kind == YNODE_LIST)
		for (size_t i = 0; i < export->count; i++)
			read_export(p, export->items[i], s);
	else if (export)
		read_export(p, export, s);
	return false;
}

bool secret_is_exported(
	const struct secret_spec *s, const char *session, const uint8_t hash[SESSION_HASH_LEN])
{
	for (size_t i = 0; i < s->export_count; i++)
		if (session_ref_admits(&s->exports[i], NULL, session, hash))
			return true;
	return false;
}

bool secret_is_exported_to_cas(const struct secret_spec *s, const uint8_t cas_key[32], const char *session,
	const uint8_t hash[SESSION_HASH_LEN])
{
	for (size_t i = 0; i < s->export_count; i++)
		if (session_ref_admits(&s->exports[i], cas_key, session, hash))
			return true;
	return false;
}
