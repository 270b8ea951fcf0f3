/*
 * tls_engine: who a side of a connection is and whom it accepts, and the handshake of TLS 1.3 (RFC 8446) up to the keys of tls_record.h.
 *
 * No I/O: one record in, bytes to send out. TLS 1.3 only, no tickets, no resumption, no early data: nothing of an earlier connection opens a later
 * one. The peer's certificate is checked against the CA certificates of the role, for its use (server or client), for the time that the caller says
 * it is, and for the name wanted. Private keys stay in OpenSSL's memory, which is wiped when it is given back (crypto/init.h).
 */
#ifndef SCONE_SHIELD_NET_TLS_ENGINE_H
#define SCONE_SHIELD_NET_TLS_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "core/buf.h"
#include "core/error.h"
#include "shield/net/tls_record.h"

struct tls_role; /* one side of a rule: identity and what the peer must be; shared by its connections */
struct tls_handshake; /* one handshake */

struct tls_role_options {
	bool server;
	const char *
		identity; /* PEM: private key, its certificate, further certificates, in any order. NULL: server ephemeral, client none */
	const char *auth; /* PEM: CA certificates. NULL: the CA certificates in the identity's chain */
	bool auth_disabled; /* any peer, or none */
	const char *peer_name; /* DNS name that the peer's certificate must have; NULL: any */
};

/* ERR_INPUT says what is wrong with which part; an encrypted key is refused. The caller frees. */
MUST_USE int tls_role_new(const struct tls_role_options *o, struct tls_role **ret, struct error *err);
void tls_role_free(struct tls_role *r);
/* Other certificates from the next handshake on; those under way go on with theirs. On failure everything stays as it was. No handshake of the role may
 * be made or freed meanwhile by another thread. */
MUST_USE int tls_role_reload(struct tls_role *r, const struct tls_role_options *o, struct error *err);

/* now: seconds since 1970. The role may be freed before the handshake. */
MUST_USE int tls_handshake_new(
	const struct tls_role *r, uint64_t now, struct tls_handshake **ret, struct error *err);
void tls_handshake_free(struct tls_handshake *h); /* wipes what it knows of keys; NULL is fine */

/* Length of the handshake's record that begins here, header included; n >= TLS_HEADER. -1: this is no TLS, or a record longer than any may be. */
MUST_USE int tls_handshake_record(const uint8_t *at, size_t *ret_len, struct error *err);

enum tls_step {
	TLS_STEP_MORE, /* give it the next record */
	TLS_STEP_DONE, /* *ret_keys holds the connection's; the handshake is over */
	TLS_STEP_FAILED /* *err says why, check is one of those below */
};
/*
 * One step with one whole record, or with none (n = 0) for a client's first. What has to be sent is appended to out, after a failure too (an alert).
 *
 * Checks: "record" (not TLS), "version", "certificate" (none shown), "issuer", "validity", "purpose", "name", "signature", "alert" (the peer gave up),
 * "protocol" (anything else).
 */
enum tls_step tls_handshake_step(struct tls_handshake *h, const uint8_t *record, size_t n, struct buf *out,
	struct tls_keys *ret_keys, struct error *err);
/* Subject and names of the peer's certificate, for logs; "no certificate". */
void tls_handshake_peer(const struct tls_handshake *h, char *ret, size_t size);

#endif
