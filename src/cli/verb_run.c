/* scone run: start a program in the runtime; without a configuration it is only passed through. */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "cli/cas_list.h"
#include "cli/cli.h"
#include "cli/console_source.h"
#include "cli/net_source.h"
#include "cli/remote.h"
#include "cli/run_volumes.h"
#include "cli/runtime_path.h"
#include "policy/session.h"
#include "wire/las_client.h"

#define PROBE_MS 3000

extern char **environ;

struct plan {
	struct target cas;
	char *runtime;
	char cas_address[NI_MAXHOST + 16], cas_key[KEY_HASH_TEXT_MAX];
	const char *las, *config_id; /* NULL: passed through */
	char volumes_text[16];
	int volumes; /* descriptor of their list, -1: none */
};

static const char *option_or_env(const struct args *a, enum opt o, const char *variable)
{
	const char *env = getenv(variable);

	return a->value[o] ? a->value[o] : env && *env ? env : NULL;
}

/* Does something listen there? Asked only where a name has several addresses. */
static bool answers(const struct addrinfo *ai)
{
	int fd = socket(ai->ai_family, ai->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, ai->ai_protocol),
	    e = -1;
	socklen_t n = sizeof(e);
	struct pollfd p = {.fd = fd, .events = POLLOUT};

	if (fd < 0)
		return false;
	if (!connect(fd, ai->ai_addr, ai->ai_addrlen))
		e = 0;
	else if (errno == EINPROGRESS && poll(&p, 1, PROBE_MS) == 1)
		(void)getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &n);
	close(fd);
	return e == 0;
}

/* The runtime resolves no names: before attestation it trusts nothing that could. */
static int resolve(const char *address, char *ret, size_t n, struct error *err)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV}, *list, *ai;
	char *host, port[8], numeric[NI_MAXHOST];
	int rc;

	if (cas_address_parse(address, &host, port, err))
		return -1;
	rc = getaddrinfo(host, port, &hints, &list);
	if (rc) {
		error_set(err, ERR_IO, "CAS host '%s' cannot be resolved: %s", host, gai_strerror(rc));
		free(host);
		return -1;
	}
	free(host);
	ai = list;
	while (ai->ai_next && !answers(ai))
		ai = ai->ai_next;
	rc = getnameinfo(ai->ai_addr, ai->ai_addrlen, numeric, sizeof(numeric), NULL, 0, NI_NUMERICHOST);
	if (rc)
		error_set(err, ERR_IO, "address of CAS '%s': %s", address, gai_strerror(rc));
	else
		(void)snprintf(ret, n, ai->ai_family == AF_INET6 ? "[%s]:%s" : "%s:%s", numeric, port);
	freeaddrinfo(list);
	return rc ? -1 : 0;
}

struct resolved {
	char *text; /* of size bytes */
	size_t len, size;
	bool any;
	struct error last;
};

/* A host that has no address now does not keep the others from being used. */
static int resolve_one(void *arg, const char *address, struct error *err)
{
	char one[NI_MAXHOST + 16];
	struct resolved *r = arg;
	int n;

	if (resolve(address, one, sizeof(one), &r->last))
		return 0;
	n = snprintf(r->text + r->len, r->size - r->len, "%s%s", r->any ? "," : "", one);
	if (n < 0 || (size_t)n >= r->size - r->len)
		return error_set(err, ERR_LIMIT, "the addresses of CAS are over %zu bytes together", r->size);
	r->len += (size_t)n;
	r->any = true;
	return 0;
}

static int resolve_all(const char *addresses, char *ret, size_t n, struct error *err)
{
	struct resolved r = {.text = ret, .size = n};

	if (cas_addresses_each(addresses, resolve_one, &r, err))
		return -1;
	if (r.any)
		return 0;
	*err = r.last;
	return -1;
}

static int check_config_id(const char *id, struct error *err)
{
	char *session = NULL, *service = NULL, *otp = NULL;
	int rc = config_id_parse(id, &session, &service, &otp, err);

	if (!rc) {
		free(session);
		free(service);
		free(otp);
	}
	return rc;
}

static int make_plan(const struct args *a, struct plan *p, struct error *err)
{
	p->runtime = runtime_path(NULL, err);
	if (!p->runtime)
		return -1;
	if (access(p->runtime, X_OK))
		return error_set_errno(err, errno, "the runtime %s", p->runtime);
	p->config_id = option_or_env(a, OPT_CONFIG_ID, "SCONE_CONFIG_ID");
	if (p->config_id && (a->volume_count || a->tree.count))
		return error_set(err, ERR_INPUT,
			"%s with --config-id: an attested service takes no %s of the host's choice",
			a->volume_count ? "--volume" : "--tree", a->volume_count ? "volume" : "tree");
	if (run_volumes(a, &p->volumes, err))
		return -1;
	if (p->volumes >= 0)
		(void)snprintf(p->volumes_text, sizeof(p->volumes_text), "%d", p->volumes);
	if (!p->config_id)
		return 0;
	p->las = option_or_env(a, OPT_LAS, "SCONE_LAS_ADDR");
	if (!p->las)
		p->las = LAS_DEFAULT_ADDR;
	if (strlen(p->las) >= sizeof(((struct sockaddr_un *)0)->sun_path))
		return error_set(err, ERR_INPUT,
			"path of the LAS socket '%s': %zu characters, at most %zu fit", p->las,
			strlen(p->las), sizeof(((struct sockaddr_un *)0)->sun_path) - 1);
	if (check_config_id(p->config_id, err) ||
		target_select(a, NULL, a->value[OPT_CAS_KEY], &p->cas, err) ||
		(!a->value[OPT_POLICY] && target_require_key(&p->cas, err)) ||
		resolve_all(p->cas.address, p->cas_address, sizeof(p->cas_address), err))
		return -1;
	if (p->cas.has_key)
		key_hash_text(p->cas.key, p->cas_key);
	return 0;
}

static int take_console_rules(const struct args *a, const struct plan *p, struct error *err)
{
	char **env = NULL;

	if (!a->value[OPT_CONSOLE_RULES])
		return 0;
	if (p->config_id)
		return error_set(err, ERR_INPUT,
			"--console-rules with --config-id %s: an attested service has the rules of its "
			"session",
			p->config_id);
	if (console_source_file(a->value[OPT_CONSOLE_RULES], &env, err))
		return -1;
	for (size_t i = 0; env[i]; i++)
		if (putenv(env[i]))
			return error_set(err, ERR_NOMEM, "no memory for rules of the console");
	return 0; /* the strings are the environment's now */
}

/* Into the environment, where a runtime without a policy looks for them. */
static int take_network_rules(const struct args *a, const struct plan *p, struct error *err)
{
	char **env = NULL;

	if (!a->value[OPT_NETWORK_RULES])
		return 0;
	if (p->config_id)
		return error_set(err, ERR_INPUT,
			"--network-rules with --config-id %s: an attested service has the rules of its "
			"session",
			p->config_id);
	if (net_source_file(a->value[OPT_NETWORK_RULES], &env, err))
		return -1;
	for (size_t i = 0; env[i]; i++)
		if (putenv(env[i]))
			return error_set(err, ERR_NOMEM, "no memory for rules of the network");
	return 0; /* the strings are the environment's now */
}

int verb_run(const struct args *a)
{
	struct error err = {0};
	struct plan p = {.volumes = -1};
	const char **argv;
	size_t n = 0;

	argv = calloc((size_t)a->count + 2 * a->code_count + 16, sizeof(*argv));
	if (!argv || make_plan(a, &p, &err) || take_network_rules(a, &p, &err) ||
		take_console_rules(a, &p, &err)) {
		if (!argv)
			error_set(&err, ERR_NOMEM, "no memory");
		goto fail;
	}
	argv[n++] = "scone-runtime";
	if (p.config_id) {
		const char *options[][2] = {{"--cas", p.cas_address},
			{"--cas-key", p.cas_key[0] ? p.cas_key : NULL},
			{"--cas-policy", a->value[OPT_POLICY]}, {"--las", p.las},
			{"--config-id", p.config_id},
			{"--access-token-file", a->value[OPT_ACCESS_TOKEN_FILE]}};

		for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
			if (!options[i][1])
				continue;
			argv[n++] = options[i][0];
			argv[n++] = options[i][1];
		}
	}
	if (p.volumes >= 0) {
		argv[n++] = "--volumes";
		argv[n++] = p.volumes_text;
	}
	for (size_t i = 0; i < a->code_count; i++) {
		argv[n++] = "--code";
		argv[n++] = a->code[i];
	}
	argv[n++] = "--";
	for (int i = 0; i < a->count; i++)
		argv[n++] = a->operands[i];
	execve(p.runtime, (char **)argv, environ);
	error_set_errno(&err, errno, "the runtime %s cannot be started", p.runtime);
fail:
	target_free(&p.cas);
	free(p.runtime);
	free(argv);
	return cli_fail(a, CLI_RUN_FAILED, &err, NULL);
}
