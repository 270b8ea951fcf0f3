/* Templates in the places of a session that say who may attest. */
#include <string.h>
#include "cas/secret_lookup.h"
#include "cas/sessions.h"

int sessions_bind(struct sealed_store *ss, struct audit *audit, struct stored_session *s, uint64_t now,
	struct error *err)
{
	struct session *bound = NULL;
	struct secret_lookup l;
	struct diag d;
	int rc;

	if (!s->doc->templated)
		return 0;
	diag_init(&d);
	secret_lookup_init(&l, ss, audit, s, now);
	rc = session_parse_bound((const char *)s->text.data, s->text.len, secret_lookup_find, &l, &bound, &d);
	secret_lookup_free(&l);
	for (size_t i = 0; rc && i < d.count; i++) {
		if (strncmp(d.entries[i].name, "E-", 2))
			continue;
		error_set(err, ERR_ATTEST, "templates of session \"%s\" give no good policy: %s: %s [%s]",
			s->doc->name, d.entries[i].path, d.entries[i].text, d.entries[i].name);
		break;
	}
	diag_free(&d);
	if (rc)
		return -1;
	bound->creator_signs = s->doc->creator_signs;
	session_free(s->doc);
	s->doc = bound;
	return 0;
}
