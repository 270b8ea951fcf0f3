#include "shield/net/rules.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "core/secret.h"
#include "crypto/x509_issue.h"

#define VALUE_SHOWN 60

/* A rule as it comes together: which variables there were. */
struct draft {
	const char *name;
	size_t len;
	bool server;
	const char *action, *port, *destination, *destination_ip, *identity, *auth, *peer_name;
};

enum field { F_ACTION, F_PORT, F_DESTINATION, F_DESTINATION_IP, F_IDENTITY, F_AUTH, F_PEER_NAME };

struct ending {
	const char *text;
	enum field field;
};

static const struct ending server_endings[] = {
	{"_PORT", F_PORT},
	{"_IDENTITY", F_IDENTITY},
	{"_CLIENT_AUTH", F_AUTH},
	{"_CLIENT_DNS_NAME", F_PEER_NAME},
	{NULL, F_ACTION},
};
static const struct ending client_endings[] = {
	{"_DESTINATION", F_DESTINATION},
	{"_DESTINATION_IP", F_DESTINATION_IP},
	{"_IDENTITY", F_IDENTITY},
	{"_SERVER_AUTH", F_AUTH},
	{"_SERVER_DNS_NAME", F_PEER_NAME},
	{NULL, F_ACTION},
};

bool net_rules_owns(const char *variable)
{
	size_t n = strlen(NET_RULES_PREFIX);

	return !strncmp(variable, NET_RULES_PREFIX, n) && (variable[n] == '=' || variable[n] == '_');
}

/* --- places --- */

static int parse_port(const char *text, uint16_t *ret)
{
	unsigned long n = 0;

	if (!*text || strlen(text) > 5)
		return -1;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return -1;
		n = n * 10 + (unsigned long)(*text - '0');
	}
	if (n == 0 || n > UINT16_MAX)
		return -1;
	*ret = (uint16_t)n;
	return 0;
}

static int parse_ip(const char *text, size_t n, uint8_t ret[16])
{
	char copy[INET6_ADDRSTRLEN];
	struct in_addr v4;

	if (n == 0 || n >= sizeof(copy))
		return -1;
	memcpy(copy, text, n);
	copy[n] = '\0';
	if (inet_pton(AF_INET6, copy, ret) == 1)
		return 0;
	if (inet_pton(AF_INET, copy, &v4) != 1)
		return -1;
	memset(ret, 0, 10);
	ret[10] = ret[11] = 0xff;
	memcpy(ret + 12, &v4, 4);
	return 0;
}

static int parse_unix(const char *path, struct net_place *ret)
{
	size_t n = strlen(path);

	if (n == 0 || n >= NET_PATH_MAX || (path[0] != '/' && path[0] != '@'))
		return -1;
	ret->is_unix = true;
	memcpy(ret->path, path, n + 1);
	return 0;
}

/* Of a rule: a port, or any. */
static int rule_port(const char *text, struct net_rule *ret)
{
	ret->any_port = !strcmp(text, "*");
	return ret->any_port ? 0 : parse_port(text, &ret->place.port);
}

/* "name:port", "address:port", "[v6]:port": where the host ends and the port begins. */
static int split_host(const char *text, const char **ret_host, size_t *ret_len, const char **ret_port)
{
	const char *colon = strrchr(text, ':');

	if (!colon)
		return -1;
	*ret_port = colon + 1;
	*ret_host = text;
	*ret_len = (size_t)(colon - text);
	if (*ret_len >= 2 && text[0] == '[' && colon[-1] == ']') {
		*ret_host = text + 1;
		*ret_len -= 2;
	}
	return *ret_len ? 0 : -1;
}

int net_place_parse(const char *text, struct net_place *ret, struct error *err)
{
	struct net_place p = {0};
	const char *host, *port;
	size_t n;
	int rc = -1;

	if (!strncasecmp(text, "unix:", 5))
		rc = parse_unix(text + 5, &p);
	else if (!strncasecmp(text, "tcp:", 4))
		rc = split_host(text + 4, &host, &n, &port) || parse_port(port, &p.port) ||
				     parse_ip(host, n, p.ip)
			     ? -1
			     : 0;
	if (rc)
		return error_set(err, ERR_INPUT,
			"\"%.*s\" is no place of a connection; wanted TCP:ADDRESS:PORT or unix:PATH",
			VALUE_SHOWN, text);
	*ret = p;
	return 0;
}

static bool is_v4(const uint8_t ip[16])
{
	static const uint8_t head[12] = {[10] = 0xff, [11] = 0xff};

	return !memcmp(ip, head, sizeof(head));
}

void net_place_text(const struct net_place *p, char *ret, size_t size)
{
	char ip[INET6_ADDRSTRLEN] = "";

	if (p->is_unix) {
		snprintf(ret, size, "unix:%s", p->path);
		return;
	}
	inet_ntop(is_v4(p->ip) ? AF_INET : AF_INET6, is_v4(p->ip) ? p->ip + 12 : p->ip, ip, sizeof(ip));
	snprintf(ret, size, is_v4(p->ip) ? "TCP:%s:%u" : "TCP:[%s]:%u", ip, p->port);
}

/* --- variables into drafts --- */

static const struct ending *ending_of(const char *name, size_t n, bool server)
{
	const struct ending *e = server ? server_endings : client_endings;

	for (; e->text; e++) {
		size_t len = strlen(e->text);

		if (n > len && !memcmp(name + n - len, e->text, len))
			break;
	}
	return e;
}

static struct draft *draft_of(struct draft *drafts, size_t *count, const char *name, size_t n, bool server)
{
	for (size_t i = 0; i < *count; i++)
		if (drafts[i].server == server && drafts[i].len == n && !memcmp(drafts[i].name, name, n))
			return &drafts[i];
	if (*count == NET_RULES_MAX)
		return NULL;
	drafts[*count] = (struct draft){.name = name, .len = n, .server = server};
	return &drafts[(*count)++];
}

static const char **field_of(struct draft *d, enum field f)
{
	switch (f) {
	case F_PORT:
		return &d->port;
	case F_DESTINATION:
		return &d->destination;
	case F_DESTINATION_IP:
		return &d->destination_ip;
	case F_IDENTITY:
		return &d->identity;
	case F_AUTH:
		return &d->auth;
	case F_PEER_NAME:
		return &d->peer_name;
	default:
		return &d->action;
	}
}

static int take_rule(struct draft *drafts, size_t *count, const char *variable, size_t head, bool server,
	struct error *err)
{
	const char *eq = strchr(variable, '='), *name = variable + head;
	size_t n = (size_t)(eq - name);
	const struct ending *e = ending_of(name, n, server);
	struct draft *d;
	const char **field;

	if (e->text)
		n -= strlen(e->text);
	if (n == 0 || n > 64)
		return error_set(err, ERR_INPUT,
			"variable %.*s: the name of its rule is %zu characters long; wanted 1 to 64",
			(int)(eq - variable), variable, n);
	d = draft_of(drafts, count, name, n, server);
	if (!d)
		return error_set(err, ERR_LIMIT, "more than %d rules of the network shield", NET_RULES_MAX);
	field = field_of(d, e->field);
	if (*field)
		return error_set(
			err, ERR_CONFLICT, "variable %.*s is given twice", (int)(eq - variable), variable);
	*field = eq + 1;
	return 0;
}

static int bad_value(const char *name, const char *value, const char *wanted, struct error *err)
{
	return error_set(err, ERR_INPUT, "variable %s has the value \"%.*s\"; wanted %s", name, VALUE_SHOWN,
		value, wanted);
}

static int take_mode(const char *value, bool *ret_given, enum net_mode *ret, struct error *err)
{
	static const char *const words[] = {"disabled", "unprotected", "protected"};

	for (size_t i = 0; i < 3; i++) {
		if (!strcmp(value, words[i])) {
			*ret = (enum net_mode)i;
			*ret_given = true;
			return 0;
		}
	}
	return bad_value(NET_RULES_PREFIX, value, "disabled, unprotected or protected", err);
}

struct given {
	bool mode, unsupported;
};

static int take_variable(const char *variable, struct draft *drafts, size_t *count, struct net_rules *r,
	struct given *given, struct error *err)
{
	static const char server[] = NET_RULES_PREFIX "_SERVER_", client[] = NET_RULES_PREFIX "_CLIENT_";
	static const char other[] = NET_RULES_PREFIX "_UNSUPPORTED_PROTOCOLS=";
	size_t bare = strlen(NET_RULES_PREFIX);

	if (!strchr(variable, '='))
		return error_set(err, ERR_INPUT, "variable %.*s has no value", VALUE_SHOWN, variable);
	if (variable[bare] == '=')
		return take_mode(variable + bare + 1, &given->mode, &r->mode, err);
	if (!strncmp(variable, other, strlen(other))) {
		const char *value = variable + strlen(other);

		if (strcmp(value, "unprotected") && strcmp(value, "refuse"))
			return bad_value(NET_RULES_PREFIX "_UNSUPPORTED_PROTOCOLS", value,
				"unprotected or refuse", err);
		r->unsupported = strcmp(value, "refuse") ? NET_PASS : NET_REFUSE;
		given->unsupported = true;
		return 0;
	}
	if (!strncmp(variable, server, strlen(server)))
		return take_rule(drafts, count, variable, strlen(server), true, err);
	if (!strncmp(variable, client, strlen(client)))
		return take_rule(drafts, count, variable, strlen(client), false, err);
	return error_set(err, ERR_INPUT,
		"variable %.*s is none of the network shield; wanted " NET_RULES_PREFIX
		"[_UNSUPPORTED_PROTOCOLS|_SERVER_X…|_CLIENT_X…]",
		(int)strcspn(variable, "="), variable);
}

/* --- drafts into rules --- */

static char *copy_text(const char *s, size_t n)
{
	char *ret = malloc(n + 1);

	if (ret) {
		memcpy(ret, s, n);
		ret[n] = '\0';
	}
	return ret;
}

static int missing(const struct draft *d, const char *ending, const char *why, struct error *err)
{
	return error_set(err, ERR_INPUT, "rule %s_%.*s has no variable %s_%s_%.*s%s: %s",
		d->server ? "SERVER" : "CLIENT", (int)d->len, d->name, NET_RULES_PREFIX,
		d->server ? "SERVER" : "CLIENT", (int)d->len, d->name, ending, why);
}

static int set_peer_name(
	const struct draft *d, const char *s, size_t n, struct net_rule *ret, struct error *err)
{
	free(ret->peer_name);
	ret->peer_name = copy_text(s, n);
	if (!ret->peer_name)
		return error_set(err, ERR_NOMEM, "no memory for rules of the network shield");
	if (ret->peer_name[0] == '*' || x509_name_check(false, ret->peer_name, NULL))
		return error_set(err, ERR_INPUT, "rule %s_%.*s: \"%.*s\" is no DNS name",
			d->server ? "SERVER" : "CLIENT", (int)d->len, d->name, VALUE_SHOWN, ret->peer_name);
	return 0;
}

static int server_place(const struct draft *d, struct net_rule *ret, struct error *err)
{
	const char *v = d->port;

	if (!v)
		return missing(d, "_PORT", "it says where the program listens", err);
	if (!strncasecmp(v, "unix:", 5) && !parse_unix(v + 5, &ret->place))
		return 0;
	if (!strncasecmp(v, "tcp:", 4) && !rule_port(v + 4, ret))
		return 0;
	return error_set(err, ERR_INPUT,
		"rule SERVER_%.*s: _PORT is \"%.*s\"; wanted TCP:PORT or unix:PATH, PORT may be *",
		(int)d->len, d->name, VALUE_SHOWN, v);
}

static int client_place(const struct draft *d, struct net_rule *ret, struct error *err)
{
	const char *v = d->destination, *host, *port;
	size_t n;
	uint8_t literal[16];

	if (!v)
		return missing(d, "_DESTINATION", "it says where the program connects to", err);
	if (!strncasecmp(v, "unix:", 5) && !parse_unix(v + 5, &ret->place)) {
		if (ret->action == NET_PROTECT && !d->peer_name)
			return missing(d, "_SERVER_DNS_NAME",
				"a Unix socket has no name that a certificate could have", err);
		return 0;
	}
	if (strncasecmp(v, "tcp:", 4) || split_host(v + 4, &host, &n, &port) || rule_port(port, ret))
		return error_set(err, ERR_INPUT,
			"rule CLIENT_%.*s: _DESTINATION is \"%.*s\"; wanted TCP:NAME:PORT or unix:PATH, PORT "
			"may be *",
			(int)d->len, d->name, VALUE_SHOWN, v);
	if (!d->destination_ip)
		return missing(d, "_DESTINATION_IP",
			"an address, or * for any, tells which connections are meant", err);
	ret->any_ip = !strcmp(d->destination_ip, "*");
	if (!ret->any_ip && parse_ip(d->destination_ip, strlen(d->destination_ip), ret->place.ip))
		return error_set(err, ERR_INPUT,
			"rule CLIENT_%.*s: _DESTINATION_IP is \"%.*s\"; wanted an address or *", (int)d->len,
			d->name, VALUE_SHOWN, d->destination_ip);
	if (parse_ip(host, n, literal) == 0) {
		if (ret->action == NET_PROTECT && !d->peer_name)
			return missing(d, "_SERVER_DNS_NAME",
				"its destination is an address, which is no identity", err);
		return 0;
	}
	return set_peer_name(d, host, n, ret, err);
}

static int set_action(const struct draft *d, struct net_rule *ret, struct error *err)
{
	static const char *const words[] = {"unprotected", "protected", "refuse"};

	if (!d->action)
		return missing(d, "", "it says protected, unprotected or refuse", err);
	for (size_t i = 0; i < 3; i++) {
		if (!strcmp(d->action, words[i])) {
			ret->action = (enum net_action)i;
			return 0;
		}
	}
	return error_set(err, ERR_INPUT, "rule %s_%.*s is \"%.*s\"; wanted protected, unprotected or refuse",
		d->server ? "SERVER" : "CLIENT", (int)d->len, d->name, VALUE_SHOWN, d->action);
}

static int fill_rule(const struct draft *d, struct net_rule *ret, struct error *err)
{
	ret->server = d->server;
	ret->name = copy_text(d->name, d->len);
	ret->identity = d->identity ? copy_text(d->identity, strlen(d->identity)) : NULL;
	ret->auth_disabled = d->auth && !strcmp(d->auth, "disabled");
	ret->auth = d->auth && !ret->auth_disabled ? copy_text(d->auth, strlen(d->auth)) : NULL;
	if (!ret->name || (d->identity && !ret->identity) || (d->auth && !ret->auth_disabled && !ret->auth))
		return error_set(err, ERR_NOMEM, "no memory for rules of the network shield");
	if (set_action(d, ret, err) || (d->server ? server_place(d, ret, err) : client_place(d, ret, err)))
		return -1;
	if (d->peer_name && set_peer_name(d, d->peer_name, strlen(d->peer_name), ret, err))
		return -1;
	if (ret->action == NET_PROTECT && !d->auth && !d->identity)
		return missing(d, d->server ? "_CLIENT_AUTH" : "_SERVER_AUTH",
			"CA certificates in PEM, or disabled in so many words; it may be left out where the "
			"chain of "
			"_IDENTITY has the CA",
			err);
	return 0;
}

static bool same_ip(const uint8_t a[16], const uint8_t b[16])
{
	return !memcmp(a, b, 16);
}

static bool same_place(const struct net_rule *a, const struct net_rule *b)
{
	if (a->server != b->server || a->place.is_unix != b->place.is_unix)
		return false;
	if (a->place.is_unix)
		return !strcmp(a->place.path, b->place.path);
	if (a->any_port != b->any_port || a->place.port != b->place.port)
		return false;
	return a->server || (a->any_ip && b->any_ip) ||
	       (!a->any_ip && !b->any_ip && same_ip(a->place.ip, b->place.ip));
}

static int check_conflicts(const struct net_rules *r, struct error *err)
{
	for (size_t i = 0; i < r->count; i++) {
		for (size_t j = 0; j < i; j++) {
			if (!same_place(&r->rule[i], &r->rule[j]))
				continue;
			return error_set(err, ERR_CONFLICT,
				"rules %s_%s and %s_%s name the same %s; one of them has to name another "
				"port, address or path",
				r->rule[j].server ? "SERVER" : "CLIENT", r->rule[j].name,
				r->rule[i].server ? "SERVER" : "CLIENT", r->rule[i].name,
				r->rule[i].place.is_unix ? "path" : "port and address");
		}
	}
	return 0;
}

static int build(const struct draft *drafts, size_t count, struct net_rules *r, struct error *err)
{
	r->rule = calloc(count ? count : 1, sizeof(*r->rule));
	if (!r->rule)
		return error_set(err, ERR_NOMEM, "no memory for rules of the network shield");
	for (size_t i = 0; i < count; i++) {
		r->count = i + 1;
		if (fill_rule(&drafts[i], &r->rule[i], err))
			return -1;
	}
	return check_conflicts(r, err);
}

int net_rules_parse(char *const *env, struct net_rules *ret, struct error *err)
{
	struct draft *drafts = calloc(NET_RULES_MAX, sizeof(*drafts));
	struct net_rules r = {0};
	struct given given = {0};
	size_t count = 0;
	int rc = drafts ? 0 : error_set(err, ERR_NOMEM, "no memory for rules of the network shield");

	*ret = (struct net_rules){0};
	for (; rc == 0 && *env; env++)
		if (net_rules_owns(*env))
			rc = take_variable(*env, drafts, &count, &r, &given, err);
	if (rc == 0)
		rc = build(drafts, count, &r, err);
	free(drafts);
	if (rc) {
		net_rules_free(&r);
		return -1;
	}
	if (!given.mode)
		r.mode = r.count ? NET_UNPROTECTED : NET_DISABLED;
	if (!given.unsupported)
		r.unsupported = r.mode == NET_PROTECTED ? NET_REFUSE : NET_PASS;
	*ret = r;
	return 0;
}

static void wipe_text(char *s)
{
	if (s)
		secret_wipe(s, strlen(s));
	free(s);
}

void net_rules_free(struct net_rules *r)
{
	for (size_t i = 0; i < r->count; i++) {
		free(r->rule[i].name);
		free(r->rule[i].peer_name);
		free(r->rule[i].auth);
		wipe_text(r->rule[i].identity);
	}
	free(r->rule);
	*r = (struct net_rules){0};
}

/* --- decisions --- */

static bool covers(const struct net_rule *rule, bool server, const struct net_place *p)
{
	if (rule->server != server || rule->place.is_unix != p->is_unix)
		return false;
	if (p->is_unix)
		return !strcmp(rule->place.path, p->path);
	return (rule->any_port || rule->place.port == p->port) &&
	       (server || rule->any_ip || same_ip(rule->place.ip, p->ip));
}

/* Does a say more exactly than b where it holds? */
static bool more_exact(const struct net_rule *a, const struct net_rule *b)
{
	if (a->any_port != b->any_port)
		return b->any_port;
	return b->any_ip && !a->any_ip;
}

enum net_action net_rules_decide(
	const struct net_rules *r, bool server, const struct net_place *p, const struct net_rule **ret_rule)
{
	const struct net_rule *found = NULL;

	*ret_rule = NULL;
	if (r->mode == NET_DISABLED)
		return NET_PASS;
	for (size_t i = 0; i < r->count; i++)
		if (covers(&r->rule[i], server, p) && (!found || more_exact(&r->rule[i], found)))
			found = &r->rule[i];
	*ret_rule = found;
	if (found)
		return found->action;
	return r->mode == NET_PROTECTED ? NET_REFUSE : NET_PASS;
}

static void explain_protection(const struct net_rule *rule, struct buf *out)
{
	const char *peer = rule->server ? "client" : "server";

	buf_puts(out, "TLS 1.3");
	if (rule->auth_disabled)
		buf_printf(out, "; the %s's certificate is not checked (%s_AUTH is disabled)", peer,
			rule->server ? "_CLIENT" : "_SERVER");
	else
		buf_printf(out, "; the %s needs a certificate that is valid now, for a %s, from %s", peer,
			peer, rule->auth ? "a CA of the rule" : "the CA in the chain of the rule's identity");
	if (!rule->auth_disabled && rule->peer_name)
		buf_printf(out, ", with the name %s", rule->peer_name);
	if (rule->identity)
		buf_puts(out, "; the program shows the certificate of the rule's identity");
	else
		buf_puts(out, rule->server ? "; the program shows an ephemeral certificate"
					   : "; the program shows none");
}

void net_rules_explain(
	const struct net_rules *r, bool server, const struct net_place *p, const char *name, struct buf *out)
{
	static const char *const modes[] = {"disabled", "unprotected", "protected"};
	const struct net_rule *rule;
	enum net_action action = net_rules_decide(r, server, p, &rule);
	char text[160];

	net_place_text(p, text, sizeof(text));
	buf_printf(out, "%s %s: ", server ? "listening at" : "connecting to", text);
	if (!rule) {
		buf_printf(out, "no rule names it, and SCONE_NETWORK_SHIELD is %s: it %s\n", modes[r->mode],
			action == NET_REFUSE ? "is refused (EACCES)" : "passes as it is");
		return;
	}
	buf_printf(out, "rule %s_%s: ", server ? "SERVER" : "CLIENT", rule->name);
	if (action == NET_PROTECT)
		explain_protection(rule, out);
	else
		buf_puts(out, action == NET_REFUSE ? "refused (EACCES)" : "passes as it is");
	if (name && rule->peer_name && strcasecmp(name, rule->peer_name))
		buf_printf(out, "; that the program calls it %s does not count", name);
	buf_puts(out, "\n");
}
