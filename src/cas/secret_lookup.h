/*
 * secret_lookup: a session's secrets for the templates of its rules (access_policy, board): public parts only.
 */
#ifndef SCONE_CAS_SECRET_LOOKUP_H
#define SCONE_CAS_SECRET_LOOKUP_H

#include "cas/sessions.h"
#include "policy/template.h"

struct secret_lookup {
	struct sealed_store *store;
	struct audit *audit;
	const struct stored_session *s; /* with its vault */
	uint64_t now;
	struct buf value; /* of the secret looked up last */
};

void secret_lookup_init(struct secret_lookup *l, struct sealed_store *store, struct audit *audit,
	const struct stored_session *s, uint64_t now);
void secret_lookup_free(struct secret_lookup *l); /* wipes */

/* A template_lookup; arg is a struct secret_lookup. The value holds until the next call. Keys and certificates come without their private key. */
bool secret_lookup_find(void *arg, const char *name, size_t len, struct template_value *ret);

#endif
