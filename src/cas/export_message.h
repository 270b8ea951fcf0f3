/*
 * export_message: what one CAS asks another for, and gets: POST /v1/exports. Codecs only.
 *
 * request: {"session":NAME,"secret":NAME,"session_hash":HEX64 or null,"importer":NAME,"importer_hash":HEX64}
 * answer:  {"kind":KIND,"value":BASE64}, the value in the form of shared_secret_get
 */
#ifndef SCONE_CAS_EXPORT_MESSAGE_H
#define SCONE_CAS_EXPORT_MESSAGE_H

#include "policy/session.h"

#define EXPORT_PATH "/v1/exports"
#define EXPORT_VALUE_MAX (1024 * 1024)

struct export_request {
	char *session, *secret;
	bool has_hash;
	uint8_t hash[SESSION_HASH_LEN]; /* the exporter must have it */
	char *importer;
	uint8_t importer_hash[SESSION_HASH_LEN];
};
void export_request_free(struct export_request *q);
MUST_USE int export_request_encode(const struct export_request *q, struct buf *out, struct error *err);
/* Unknown, missing and wrong keys, and names that are none: ERR_INPUT. */
MUST_USE int export_request_decode(const void *p, size_t n, struct export_request *ret, struct error *err);

/* out: secret buf. */
MUST_USE int export_answer_encode(
	enum secret_kind kind, const struct buf *value, struct buf *out, struct error *err);
/* value: initialised secret buf, appended to. */
MUST_USE int export_answer_decode(
	const void *p, size_t n, enum secret_kind *ret_kind, struct buf *value, struct error *err);

#endif
