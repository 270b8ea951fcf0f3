#include "cas/permit.h"

#include "cas/secret_lookup.h"

int permit(struct sealed_store *ss, struct audit *audit, const struct stored_session *s, enum access_op op,
	const struct requester *who, uint64_t now, struct error *err)
{
	struct secret_lookup l;
	struct access_facts f = {.caller = who->signer_count ? NULL : who->caller,
		.signers = who->signers,
		.signer_count = who->signer_count,
		.creator = s->creator,
		.creator_signs = s->creator_signs,
		.lookup = secret_lookup_find,
		.lookup_arg = &l};
	int rc;

	secret_lookup_init(&l, ss, audit, s, now);
	rc = session_access(s->doc, op, &f, err);
	secret_lookup_free(&l);
	return rc;
}

int permit_board(struct sealed_store *ss, struct audit *audit, const struct stored_session *s, uint64_t now,
	struct board *ret, struct error *err)
{
	struct secret_lookup l;
	int rc;

	secret_lookup_init(&l, ss, audit, s, now);
	rc = board_resolve(s->doc, secret_lookup_find, &l, ret, err);
	secret_lookup_free(&l);
	return rc;
}
