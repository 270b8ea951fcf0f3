/* Volumes of attested services: open, update, close (volumes.h). */
#include <time.h>
#include "cas/api.h"
#include "cas/volumes.h"
#include "core/log.h"

static struct volumes_context context_of(const struct cas *c)
{
	return (struct volumes_context){.store = c->store, .audit = c->audit, .now = (uint64_t)time(NULL)};
}

static void refuse(struct http_reply *r, const char *what, const struct error *err)
{
	log_warn("volume: %s refused: %s: %s", what, error_code_name(err->code), err->text);
	api_error(r, err, NULL);
}

void api_volumes_open(struct cas *c, const struct http_request *q, struct http_reply *r)
{
	struct volumes_context x = context_of(c);
	struct volume_open_request a;
	struct volume_lease lease;
	struct error err = {0};
	int rc;

	if (volume_open_decode(q->body, q->body_len, &a, &err)) {
		refuse(r, "open", &err);
		return;
	}
	rc = volumes_open(&x, &a, q->key, &lease, &err);
	if (!rc)
		rc = volume_lease_encode(&lease, &r->body, &err);
	if (rc)
		refuse(r, "open", &err);
	else
		r->status = 200;
	buf_free(&a.grant);
}

static void update(struct cas *c, const struct http_request *q, struct http_reply *r, bool close)
{
	const char *what = close ? "close" : "update";
	struct volumes_context x = context_of(c);
	struct volume_update_request a;
	struct error err = {0};
	int rc;

	if (volume_update_decode(q->body, q->body_len, &a, &err)) {
		refuse(r, what, &err);
		return;
	}
	rc = volumes_update(&x, &a, q->key, close, &err);
	if (!rc)
		rc = volume_term_encode(VOLUME_TERM, &r->body, &err);
	if (rc)
		refuse(r, what, &err);
	else
		r->status = 200;
	buf_free(&a.grant);
}

void api_volumes_update(struct cas *c, const struct http_request *q, struct http_reply *r)
{
	update(c, q, r, false);
}

void api_volumes_close(struct cas *c, const struct http_request *q, struct http_reply *r)
{
	update(c, q, r, true);
}
