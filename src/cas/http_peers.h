/*
 * http_peers: how much one peer address may have of the server: connections at once, and requests in a second. No I/O; the caller says what time it is.
 *
 * One address is one IPv4 address, or the first 64 bits of an IPv6 address, for a host chooses the others. Each has a bucket of a second's worth of requests, which fills
 * steadily. A connection takes one, too, for its handshake, down to a debt of another second's worth: within it a client still gets an answer that says what is wrong.
 */
#ifndef SCONE_CAS_HTTP_PEERS_H
#define SCONE_CAS_HTTP_PEERS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include "core/error.h"

/* Connections of one address beyond its limit that are still told so. */
#define HTTP_PEER_OVERFLOW 8
/* Addresses that are remembered at once: those with connections, and those that had one in the last two seconds. */
#define HTTP_PEERS_MAX 65536

struct http_peers;
struct http_peer;

enum http_peer_word {
	PEER_WELCOME,
	PEER_OVER, /* counted, but to be answered 429 */
	PEER_AWAY, /* not counted: close it */
};

/* connections, requests: limits of one address; 0: none. ERR_NOMEM. */
MUST_USE int http_peers_new(
	unsigned connections, unsigned requests, struct http_peers **ret, struct error *err);
void http_peers_free(struct http_peers *p); /* no peer is used any more; NULL is fine */

/* A new connection of address a at time now (microseconds of a clock that does not go back). *ret is to be left once; with PEER_AWAY it is NULL. An address of another family than IPv4
 * and IPv6, or one too many, is PEER_AWAY. */
MUST_USE enum http_peer_word http_peers_enter(
	struct http_peers *p, const struct sockaddr *a, uint64_t now, struct http_peer **ret);
/* May it make a request now? If so, it is counted. */
MUST_USE bool http_peers_request(struct http_peers *p, struct http_peer *peer, uint64_t now);
/* One of its connections is closed. peer NULL: nothing happens. */
void http_peers_leave(struct http_peers *p, struct http_peer *peer, uint64_t now);

#endif
