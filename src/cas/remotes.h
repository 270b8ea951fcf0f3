/*
 * remotes: secrets that sessions here import from sessions of other CAS (session language 7.1).
 *
 * Whoever attests for such a session waits until the other CAS has been asked: the request is put aside (http.h, `later`), threads of this module ask, and the
 * request is done again with what they got. So nobody else waits, and the exporter's rules are looked at for each start; what came within the last
 * REMOTES_FRESH_MS, for a start before, counts for this one, too. Nothing is kept longer than REMOTES_KEEP_MS and half of it after it came.
 *
 * The other CAS is trusted by the key in the import, inside the TLS handshake, and knows this one by its identity key, which its export names. It believes what
 * this CAS says about the session that imports: its name and hash.
 *
 * remotes_wait, remotes_get and remotes_park are for one thread, the working one.
 */
#ifndef SCONE_CAS_REMOTES_H
#define SCONE_CAS_REMOTES_H

#include <openssl/evp.h>
#include <openssl/x509.h>
#include "cas/http.h"

#define REMOTES_FRESH_MS 1000
#define REMOTES_KEEP_MS 10000
#define REMOTES_TIMEOUT_MS 4000 /* for a connection, and for a request */

struct remotes;
struct stored_session;
struct secret_spec;

/* key, cert: of this CAS's identity; borrowed until remotes_free. */
MUST_USE int remotes_new(EVP_PKEY *key, X509 *cert, struct remotes **ret, struct error *err);
/* No CAS is asked any more; requests that were put aside are added again. The threads have ended. NULL is fine. */
void remotes_stop(struct remotes *r);
void remotes_free(struct remotes *r); /* after remotes_stop; wipes; NULL is fine */

/* Does a request about s have to wait for other CAS? *ret: for what to park it; NULL: no. waited: it has done so already. ERR_UNAVAILABLE: too
 * much is being asked for. */
MUST_USE int remotes_wait(
	struct remotes *r, const struct stored_session *s, bool waited, void **ret, struct error *err);
/* Put a job aside until what remotes_wait said has come; it may be added again before this returns. Its q.waited is true then. */
void remotes_park(struct remotes *r, void *what, struct http_job *job);

/* *ret_kind is an enum secret_kind. The value of spec, an import of s from another CAS, in the form of shared_secret_get. ERR_NOT_FOUND, ERR_CONFLICT, ERR_ACCESS as the other CAS said;
 * ERR_UNAVAILABLE: it was not reached, or not asked. */
MUST_USE int remotes_get(struct remotes *r, const struct stored_session *s, const struct secret_spec *spec,
	int *ret_kind, struct buf *out, struct error *err);

#endif
