#include "cas/secret_lookup.h"

#include <string.h>
#include "cas/shared_secret.h"
#include "cas/vault_key.h"

#define VALUE_MAX (1024 * 1024)

void secret_lookup_init(struct secret_lookup *l, struct sealed_store *store, struct audit *audit,
	const struct stored_session *s, uint64_t now)
{
	*l = (struct secret_lookup){.store = store, .audit = audit, .s = s, .now = now};
	buf_init_secret(&l->value, VALUE_MAX);
}

void secret_lookup_free(struct secret_lookup *l)
{
	buf_free(&l->value);
}

bool secret_lookup_find(void *arg, const char *name, size_t len, struct template_value *ret)
{
	struct secret_lookup *l = arg;
	const struct session *doc = l->s->doc;
	const struct secret_spec *spec = session_secret(doc, name, len);
	enum secret_kind kind;

	if (!spec)
		return false;
	buf_free(&l->value);
	if (!spec->imported && !secret_kind_has_parts(spec->kind)) {
		ret->kind = secret_kind_name(spec->kind);
		return vault_lookup(doc, &l->s->vault, name, len, &ret->value, &ret->len) != NULL;
	}
	kind = spec->kind;
	if (spec->imported) {
		if (shared_secret_get(l->store, l->audit, l->s, spec, l->now, &kind, &l->value, NULL))
			return false;
	} else if (vault_key_parts(doc, &l->s->vault, spec, false, &l->value, NULL)) {
		return false;
	}
	ret->kind = secret_kind_name(kind);
	ret->value = l->value.data ? (const void *)l->value.data : "";
	ret->len = l->value.len;
	return true;
}
