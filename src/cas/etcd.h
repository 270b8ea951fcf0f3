/*
 * etcd: calls to an etcd v3 cluster by its JSON gateway (/v3/...), over TLS 1.3 with certificates of both sides.
 *
 * A place is written
 *   etcd://HOST:PORT[,HOST:PORT]...[/PREFIX]?ca=FILE&cert=FILE&key=FILE
 * ca signs the members' server certificates, whose names must be the hosts given; cert and key are this client's. All keys start with PREFIX (default
 * "openscone") and '/'. No percent encoding; file names hold no '&'.
 *
 * A call goes to the member that answered last, and on to the next one when it fails, for ETCD_SECONDS at most. So a request may reach the cluster
 * more than once.
 */
#ifndef SCONE_CAS_ETCD_H
#define SCONE_CAS_ETCD_H

#include <jansson.h>
#include "core/error.h"

#define ETCD_ENDPOINTS_MAX 16
#define ETCD_PREFIX_MAX 128
#define ETCD_SECONDS 4

struct etcd;

/* Reads the place and the files; makes no connection. ERR_INPUT says what of where is wrong. */
MUST_USE int etcd_new(const char *where, struct etcd **ret, struct error *err);
void etcd_free(struct etcd *e); /* NULL is fine */
/* With its '/'. */
const char *etcd_prefix(const struct etcd *e);
/* "HOST:PORT,HOST:PORT", for messages. */
const char *etcd_hosts(const struct etcd *e);

/*
 * POST request (borrowed) to path, such as "/v3/kv/range". *ret: the answer's object, the caller's.
 * ERR_LIMIT: etcd refuses the request for good (too large, no space): it was not done. ERR_IO: no member answered, or there is no majority; it may
 * have been done.
 */
MUST_USE int etcd_call(
	struct etcd *e, const char *path, const json_t *request, json_t **ret, struct error *err);

#endif
