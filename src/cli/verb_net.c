/* scone net explain: what the rules of the network shield do with a connection. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "cli/cli.h"
#include "cli/net_source.h"
#include "cli/remote.h"
#include "policy/session.h"
#include "shield/net/rules.h"
#include "wire/message.h"

#define RULES_FILE_MAX (4 * 1024 * 1024)
#define SESSION_URL "/v1/sessions/"

extern char **environ;

int net_source_file(const char *path, char ***ret, struct error *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), rc = 0;
	struct buf text;
	ssize_t n;

	if (fd < 0)
		return error_set_errno(err, errno, "rules of the network %s", path);
	buf_init_secret(&text, RULES_FILE_MAX);
	do {
		uint8_t *room = buf_reserve(&text, 65536);

		n = room ? read(fd, room, 65536) : -1;
		if (n > 0)
			text.len += (size_t)n;
	} while (n > 0);
	if (n < 0)
		rc = text.failed
			     ? error_set(err, ERR_LIMIT, "%s is longer than %d bytes", path, RULES_FILE_MAX)
			     : error_set_errno(err, errno, "read %s", path);
	close(fd);
	if (!rc && net_rules_lines(text.data ? (const char *)text.data : "", text.len, ret, err))
		rc = error_wrap(err, "%s", path);
	buf_free(&text);
	return rc;
}

/* The environment of a service in a document. Templates stay as they are: what the rules say of places is not in them. */
static int service_env(const char *yaml, size_t n, const char *service, char ***ret, struct error *err)
{
	struct session *s = NULL;
	struct diag d;
	int rc = -1;

	diag_init(&d);
	if (session_parse(yaml, n, &s, &d)) {
		diag_free(&d);
		return error_set(err, ERR_INPUT, "the session that CAS gave cannot be read");
	}
	diag_free(&d);
	error_set(err, ERR_NOT_FOUND, "the session has no service %s", service);
	for (size_t i = 0; i < s->service_count; i++) {
		const struct service *v = &s->services[i];
		char **env = strcmp(v->name, service) ? NULL : calloc(v->envc + 1, sizeof(char *));

		for (size_t k = 0; env && k < v->envc; k++)
			if (asprintf(&env[k], "%s=%s", v->env[k].name,
				    v->env[k].host ? "" : v->env[k].value) < 0)
				env[k] = NULL;
		if (env) {
			*ret = env;
			rc = 0;
		}
	}
	session_free(s);
	return rc;
}

static int fetch(
	const struct args *a, const char *session, const char *service, char ***ret, struct error *err)
{
	struct remote r = {0};
	json_t *j = NULL;
	struct buf path;
	int rc;

	if (session_name_check(session, err))
		return cli_exit_code(err);
	rc = remote_open(a, &r, err);
	if (rc)
		return rc;
	buf_init(&path, 4096);
	buf_printf(&path, SESSION_URL "%s", session);
	rc = buf_cstr(&path)
		     ? remote_call(r.http, "GET", (const char *)path.data, NULL, NULL, 0, &j, NULL, err)
		     : CLI_FAILED;
	if (!rc && !json_is_string(json_object_get(j, "session"))) {
		error_set(err, ERR_PEER, "the answer of CAS has no \"session\"");
		rc = CLI_FAILED;
	}
	if (!rc && service_env(json_string_value(json_object_get(j, "session")),
			   json_string_length(json_object_get(j, "session")), service, ret, err))
		rc = cli_exit_code(err);
	json_decref(j);
	buf_free(&path);
	remote_close(&r);
	return rc;
}

static int variables(const struct args *a, char ***ret, struct error *err)
{
	char *session = NULL, *service = NULL, *otp = NULL;
	int rc = 0;

	if (a->value[OPT_NETWORK_RULES])
		return net_source_file(a->value[OPT_NETWORK_RULES], ret, err) ? cli_exit_code(err) : 0;
	if (a->value[OPT_CONFIG_ID]) {
		if (config_id_parse(a->value[OPT_CONFIG_ID], &session, &service, &otp, err))
			return cli_exit_code(err);
		rc = fetch(a, session, service, ret, err);
		free(session);
		free(service);
		free(otp);
		return rc;
	}
	*ret = calloc(1, sizeof(char *));
	return *ret ? 0 : CLI_FAILED;
}

int verb_net_explain(const struct args *a)
{
	struct net_rules rules = {0};
	struct net_place place;
	struct error err = {0};
	char **env = NULL;
	struct buf text;
	int rc = net_place_parse(a->operands[0], &place, &err) ? CLI_USAGE : variables(a, &env, &err);

	if (!rc && net_rules_parse(env && env[0] ? env : environ, &rules, &err))
		rc = cli_exit_code(&err);
	net_rules_lines_free(env);
	if (rc)
		return cli_fail(a, rc, &err, NULL);
	buf_init(&text, 65536);
	net_rules_explain(&rules, a->value[OPT_LISTENS] != NULL, &place, NULL, &text);
	fputs(buf_cstr(&text) ? (const char *)text.data : "", stdout);
	buf_free(&text);
	net_rules_free(&rules);
	return 0;
}
