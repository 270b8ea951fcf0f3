/*
 * rules: what the network shield does with a connection, from the variables SCONE_NETWORK_SHIELD… of a service (session language, section 12).
 *
 *   SCONE_NETWORK_SHIELD                        disabled, unprotected (what no rule names passes) or protected (it is refused)
 *   SCONE_NETWORK_SHIELD_UNSUPPORTED_PROTOCOLS  unprotected or refuse: everything but TCP and Unix stream sockets
 *   SCONE_NETWORK_SHIELD_SERVER_X, _CLIENT_X    protected, unprotected or refuse, for what the rule's other variables name:
 *     server: _PORT (TCP:port, TCP:*, unix:path), _IDENTITY, _CLIENT_AUTH, _CLIENT_DNS_NAME (of this project: the name a client has to have)
 *     client: _DESTINATION (TCP:name:port, TCP:name:*, unix:path), _DESTINATION_IP (address or *), _IDENTITY, _SERVER_AUTH, _SERVER_DNS_NAME
 *
 * X may not end in one of these endings. A Unix path that begins with '@' is an abstract one. Addresses decide which rule it is, since names come
 * from a DNS that nobody vouches for; the name is what the certificate must say.
 *
 * No I/O. Values of identities are secrets and are wiped with the rules.
 */
#ifndef SCONE_SHIELD_NET_RULES_H
#define SCONE_SHIELD_NET_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "core/buf.h"
#include "core/error.h"

#define NET_RULES_PREFIX "SCONE_NETWORK_SHIELD"
#define NET_RULES_MAX 256
#define NET_PATH_MAX 108 /* sun_path */
#define NET_NAME_MAX 253 /* a DNS name */

enum net_mode { NET_DISABLED, NET_UNPROTECTED, NET_PROTECTED };
enum net_action { NET_PASS, NET_PROTECT, NET_REFUSE };

/* Where a connection leads, or comes in. */
struct net_place {
	bool is_unix;
	char path[NET_PATH_MAX + 1]; /* Unix: '@' stands for the NUL of an abstract name */
	uint8_t ip[16]; /* TCP: IPv4 as ::ffff:a.b.c.d */
	uint16_t port;
};

struct net_rule {
	char *name; /* X */
	bool server;
	enum net_action action;
	struct net_place place;
	bool any_ip; /* of a client's rule */
	bool any_port; /* TCP */
	char *peer_name; /* the name the peer's certificate must have; NULL: any name */
	char *identity; /* PEM; NULL: none given */
	char *auth; /* PEM of CA certificates; NULL: those of the identity's chain */
	bool auth_disabled;
};

struct net_rules {
	enum net_mode mode;
	enum net_action unsupported; /* NET_PASS or NET_REFUSE */
	struct net_rule *rule;
	size_t count;
};

/* Is this (NAME=VALUE) one of the variables above? */
bool net_rules_owns(const char *variable);
/* The variables in a text of lines NAME=VALUE, as an environment holds them. A value goes on to the next line that begins with the prefix, so that PEM
 * needs no quoting; lines of '#' and empty lines before the first variable, and between values that end with a line of PEM, are left out. The caller
 * frees with net_rules_lines_free. ERR_INPUT names the line. */
MUST_USE int net_rules_lines(const char *text, size_t n, char ***ret, struct error *err);
void net_rules_lines_free(char **env); /* wipes; NULL is fine */
/* env: NAME=VALUE, NULL-terminated; others are left alone. ERR_INPUT and ERR_CONFLICT name variable, value seen and values wanted. On failure *ret is
 * empty. The caller frees. */
MUST_USE int net_rules_parse(char *const *env, struct net_rules *ret, struct error *err);
void net_rules_free(struct net_rules *r); /* wipes; idempotent */

/* text: "TCP:address:port", "tcp:[v6]:port" or "unix:path". */
MUST_USE int net_place_parse(const char *text, struct net_place *ret, struct error *err);
/* "TCP:127.0.0.1:80", "TCP:[::1]:80", "unix:/path"; size >= 140. */
void net_place_text(const struct net_place *p, char *ret, size_t size);

/* What holds for a connection to (server: an arrival at) p. *ret_rule is NULL if no rule names it; the mode has decided then. A port goes before
 * '*', then an address before '*'. */
enum net_action net_rules_decide(
	const struct net_rules *r, bool server, const struct net_place *p, const struct net_rule **ret_rule);
/* The same, in words, with the checks a peer has to pass. name: how the destination was named, NULL: by its address only; then rules for other
 * names at '*' are told apart. Appended to out. */
void net_rules_explain(
	const struct net_rules *r, bool server, const struct net_place *p, const char *name, struct buf *out);

#endif
