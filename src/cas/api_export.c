/* POST /v1/exports: another CAS asks for a secret that a session here exports to a session there (remotes.h). */
#include <time.h>
#include "cas/api.h"
#include "cas/shared_secret.h"
#include "core/log.h"

static int answer(struct cas *c, const struct http_request *q, const struct export_request *x,
	struct http_reply *r, struct error *err)
{
	enum secret_kind kind;
	struct buf value;
	int rc;

	buf_init_secret(&value, EXPORT_VALUE_MAX);
	rc = shared_secret_for_cas(c->store, c->audit, q->key, x, (uint64_t)time(NULL), &kind, &value, err);
	/* In the log before it goes out: to which CAS. */
	if (!rc)
		rc = audit_write(c->audit,
			&(struct audit_note){.event = "exported", .actor = q->key, .session = x->session},
			err);
	if (!rc)
		rc = export_answer_encode(kind, &value, &r->body, err);
	if (!rc)
		r->status = 200;
	buf_free(&value);
	return rc;
}

void api_export(struct cas *c, const struct http_request *q, struct http_reply *r)
{
	struct export_request x;
	struct error err = {0};
	char who[KEY_HASH_TEXT_MAX];

	if (export_request_decode(q->body, q->body_len, &x, &err)) {
		api_error(r, &err, NULL);
		return;
	}
	key_hash_text(q->key, who);
	if (answer(c, q, &x, r, &err)) {
		log_info("export of session \"%s\" to session \"%s\" of CAS %s refused: %s: %.300s",
			x.session, x.importer, who, error_code_name(err.code), err.text);
		api_error(r, &err, NULL);
	} else {
		log_info("session \"%s\": a secret was given to session \"%s\" of CAS %s", x.session,
			x.importer, who);
	}
	export_request_free(&x);
}
