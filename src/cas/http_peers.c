#include "cas/http_peers.h"

#include <netinet/in.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#define SECOND 1000000
#define PREFIX_LEN 8 /* bytes of an IPv6 address that are one peer's */

struct http_peer {
	uint8_t address[16]; /* first: what the tree compares */
	TAILQ_ENTRY(http_peer) gone; /* in http_peers.gone while connections is 0 */
	unsigned connections;
	int64_t tokens; /* millionths of a request; from -requests to requests, in whole ones */
	uint64_t at; /* when tokens was right */
};

TAILQ_HEAD(peer_list, http_peer);

struct http_peers {
	unsigned connections, requests, count;
	void *tree;
	struct peer_list gone; /* in the order in which they were left */
};

static int compare(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(((struct http_peer *)0)->address));
}

int http_peers_new(unsigned connections, unsigned requests, struct http_peers **ret, struct error *err)
{
	struct http_peers *p = calloc(1, sizeof(*p));

	if (!p)
		return error_set(err, ERR_NOMEM, "out of memory");
	p->connections = connections;
	p->requests = requests;
	TAILQ_INIT(&p->gone);
	*ret = p;
	return 0;
}

void http_peers_free(struct http_peers *p)
{
	if (!p)
		return;
	tdestroy(p->tree, free);
	free(p);
}

static bool address_of(const struct sockaddr *a, uint8_t ret[16])
{
	memset(ret, 0, 16);
	if (a->sa_family == AF_INET) {
		ret[10] = ret[11] = 0xff;
		memcpy(ret + 12, &((const struct sockaddr_in *)a)->sin_addr, 4);
		return true;
	}
	if (a->sa_family != AF_INET6)
		return false;
	const struct in6_addr *v6 = &((const struct sockaddr_in6 *)a)->sin6_addr;
	bool whole = IN6_IS_ADDR_V4MAPPED(v6) || IN6_IS_ADDR_LOOPBACK(v6);

	memcpy(ret, v6, whole ? 16 : PREFIX_LEN);
	return true;
}

/* Whoever was left two seconds ago has a full bucket, and nothing to be remembered. */
static void forget(struct http_peers *p, uint64_t now)
{
	struct http_peer *peer;

	while ((peer = TAILQ_FIRST(&p->gone)) && now - peer->at >= 2 * SECOND) {
		TAILQ_REMOVE(&p->gone, peer, gone);
		tdelete(peer, &p->tree, compare);
		free(peer);
		p->count--;
	}
}

static struct http_peer *find_or_add(struct http_peers *p, const uint8_t address[16], uint64_t now)
{
	struct http_peer **at = tfind(address, &p->tree, compare), *peer;

	if (at) {
		if (!(*at)->connections)
			TAILQ_REMOVE(&p->gone, *at, gone);
		return *at;
	}
	if (p->count == HTTP_PEERS_MAX)
		return NULL;
	peer = calloc(1, sizeof(*peer));
	if (!peer)
		return NULL;
	memcpy(peer->address, address, sizeof(peer->address));
	peer->tokens = (int64_t)p->requests * SECOND;
	peer->at = now;
	if (!tsearch(peer, &p->tree, compare)) {
		free(peer);
		return NULL;
	}
	p->count++;
	return peer;
}

static void refill(const struct http_peers *p, struct http_peer *peer, uint64_t now)
{
	const int64_t full = (int64_t)p->requests * SECOND;
	uint64_t passed = now - peer->at;

	if (passed > 2 * SECOND)
		passed = 2 * SECOND;
	peer->tokens += (int64_t)passed * p->requests;
	if (peer->tokens > full)
		peer->tokens = full;
	peer->at = now;
}

/* Take one request's worth if no less than `least` of them are left then. */
static bool take(const struct http_peers *p, struct http_peer *peer, int64_t least)
{
	if (!p->requests)
		return true;
	if (peer->tokens - SECOND < least * SECOND)
		return false;
	peer->tokens -= SECOND;
	return true;
}

enum http_peer_word http_peers_enter(
	struct http_peers *p, const struct sockaddr *a, uint64_t now, struct http_peer **ret)
{
	uint8_t address[16];
	struct http_peer *peer;

	*ret = NULL;
	forget(p, now);
	if (!address_of(a, address))
		return PEER_AWAY;
	peer = find_or_add(p, address, now);
	if (!peer)
		return PEER_AWAY;
	refill(p, peer, now);
	peer->connections++;
	if ((p->connections && peer->connections > p->connections + HTTP_PEER_OVERFLOW) ||
		!take(p, peer, -(int64_t)p->requests)) {
		http_peers_leave(p, peer, now);
		return PEER_AWAY;
	}
	*ret = peer;
	return p->connections && peer->connections > p->connections ? PEER_OVER : PEER_WELCOME;
}

bool http_peers_request(struct http_peers *p, struct http_peer *peer, uint64_t now)
{
	refill(p, peer, now);
	return take(p, peer, 0);
}

void http_peers_leave(struct http_peers *p, struct http_peer *peer, uint64_t now)
{
	if (!peer)
		return;
	refill(p, peer, now);
	if (!--peer->connections)
		TAILQ_INSERT_TAIL(&p->gone, peer, gone);
}
