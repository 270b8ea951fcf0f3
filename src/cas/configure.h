/*
 * configure: what an attested service gets: its arguments, environment, files and secrets, templates replaced (session language 4, 6, 9).
 */
#ifndef SCONE_CAS_CONFIGURE_H
#define SCONE_CAS_CONFIGURE_H

#include "cas/board_ticket.h"
#include "cas/sessions.h"
#include "wire/attest.h"

/* Most bytes of values in one configuration, after replacement. As base64 in JSON they stay below CONFIG_MAX. */
#define CONFIGURE_BYTES_MAX (8 * 1024 * 1024)

/*
 * svc is of s->doc. Secrets for files of the file system: those that the service's image lists in provide_secrets, all if it has no such
 * list, none for a service without image: such a service names no file.
 * client_key: key hash of who attested; the grants of its volumes are for that key.
 * measurement: the attested one, for the jwt that says whose it is; zeros without evidence.
 * strength: what vouched for it, for the ticket it votes with.
 * *ret is initialised; on failure it may hold a part, and is freed by the caller in either case.
 */
MUST_USE int configure_service(struct sealed_store *store, struct audit *audit, uint64_t now,
	const struct stored_session *s, const struct service *svc, const uint8_t client_key[32],
	const uint8_t measurement[32], enum board_strength strength, struct service_config *ret,
	struct error *err);

#endif
