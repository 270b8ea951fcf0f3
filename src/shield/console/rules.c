#include "shield/console/rules.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "core/encode.h"
#include "core/secret.h"

#define P CONSOLE_RULES_PREFIX
#define LINES_MAX (CONSOLE_FDS_MAX + 16)

bool console_rules_owns(const char *variable)
{
	size_t n = strlen(P);

	return !strncmp(variable, P, n) && (variable[n] == '=' || variable[n] == '_');
}

void console_rules_lines_free(char **env)
{
	for (size_t i = 0; env && env[i]; i++) {
		secret_wipe(env[i], strlen(env[i]));
		free(env[i]);
	}
	free(env);
}

static int take_line(const char *line, size_t n, size_t number, char **ret, struct error *err)
{
	char *copy;

	if (!memchr(line, '=', n) || n < strlen(P) || strncmp(line, P, strlen(P)) || memchr(line, '\0', n))
		return error_set(err, ERR_INPUT, "line %zu: no " P "…=VALUE", number);
	copy = strndup(line, n);
	if (!copy)
		return error_set(err, ERR_NOMEM, "no memory for rules of the console");
	*ret = copy;
	return 0;
}

int console_rules_lines(const char *text, size_t n, char ***ret, struct error *err)
{
	char **env = calloc(LINES_MAX + 1, sizeof(char *));
	size_t count = 0, number = 0;
	int rc = env ? 0 : error_set(err, ERR_NOMEM, "no memory for rules of the console");

	while (rc == 0 && n > 0) {
		const char *newline = memchr(text, '\n', n);
		size_t len = newline ? (size_t)(newline - text) : n, all = newline ? len + 1 : len;

		number++;
		if (len > 0 && text[len - 1] == '\r')
			len--;
		if (len > 0 && text[0] != '#' && count == LINES_MAX)
			rc = error_set(err, ERR_LIMIT, "line %zu: more than %d rules of the console", number,
				LINES_MAX);
		else if (len > 0 && text[0] != '#')
			rc = take_line(text, len, number, &env[count++], err);
		text += all;
		n -= all;
	}
	if (rc) {
		console_rules_lines_free(env);
		return -1;
	}
	*ret = env;
	return 0;
}

static const char *const action_words[] = {
	[CONSOLE_PASS] = "unprotected", [CONSOLE_PROTECT] = "protected", [CONSOLE_REFUSE] = "refuse"};

static int take_action(
	const char *name, const char *value, bool may_protect, enum console_action *ret, struct error *err)
{
	for (enum console_action a = CONSOLE_PASS; a <= CONSOLE_REFUSE; a++) {
		if (strcmp(value, action_words[a]) || (a == CONSOLE_PROTECT && !may_protect))
			continue;
		*ret = a;
		return 0;
	}
	return error_set(err, ERR_INPUT, "%s is '%s', wanted %sunprotected or refuse", name, value,
		may_protect ? "protected, " : "");
}

static int take_mode(const char *value, struct console_rules *r, struct error *err)
{
	static const char *const words[] = {"disabled", "unprotected", "protected"};

	for (enum console_mode m = CONSOLE_DISABLED; m <= CONSOLE_PROTECTED; m++) {
		if (strcmp(value, words[m]))
			continue;
		r->mode = m;
		return 0;
	}
	return error_set(err, ERR_INPUT, P " is '%s', wanted disabled, unprotected or protected", value);
}

/* The descriptor that a name ends with, as it is written: no sign, no zero in front. -1: none. */
static int fd_of(const char *name)
{
	static const char *const standard[] = {"STDIN", "STDOUT", "STDERR"};
	int fd = 0;

	for (int i = 0; i < 3; i++)
		if (!strcmp(name, standard[i]))
			return i;
	if (strncmp(name, "FD_", 3) || name[3] < '1' || name[3] > '9')
		return -1;
	for (const char *p = name + 3; *p; p++) {
		if (*p < '0' || *p > '9' || fd >= CONSOLE_FDS_MAX)
			return -1;
		fd = 10 * fd + (*p - '0');
	}
	return fd > 2 && fd < CONSOLE_FDS_MAX ? fd : -1;
}

static int take_attach(const char *value, struct console_rules *r, struct error *err)
{
	if (strcmp(value, "required") && strcmp(value, "no"))
		return error_set(err, ERR_INPUT, P "_ATTACH is '%s', wanted required or no", value);
	r->attach = value[0] == 'r';
	return 0;
}

static int take(const char *name, const char *value, struct console_rules *r, bool *moded, struct error *err)
{
	const char *rest = name + strlen(P);
	enum console_action a = CONSOLE_UNNAMED;
	int fd;

	if (!*rest) {
		*moded = true;
		return take_mode(value, r, err);
	}
	rest++;
	if (!strcmp(rest, "FIFOS"))
		return take_action(name, value, false, &r->fifos, err);
	if (!strcmp(rest, "TERMINALS"))
		return take_action(name, value, false, &r->terminals, err);
	if (!strcmp(rest, "ATTACH"))
		return take_attach(value, r, err);
	if (!strcmp(rest, "KEY")) {
		r->has_key = hex_decode(value, strlen(value), r->key, sizeof(r->key)) == 0;
		return r->has_key ? 0
				  : error_set(err, ERR_INPUT,
					    "%s has %zu characters that are no key, wanted %d hexadecimal "
					    "digits",
					    name, strlen(value), 2 * CONSOLE_KEY_LEN);
	}
	fd = fd_of(rest);
	if (fd < 0)
		return error_set(err, ERR_INPUT,
			"%s: no such variable of the console shield, wanted _STDIN, _STDOUT, _STDERR, _FD_N, "
			"_FIFOS, "
			"_TERMINALS, _ATTACH or _KEY",
			name);
	if (r->fd[fd])
		return error_set(err, ERR_CONFLICT, "%s is there twice", name);
	if (take_action(name, value, true, &a, err))
		return -1;
	r->fd[fd] = (uint8_t)a;
	return 0;
}

static int check(struct console_rules *r, struct error *err)
{
	size_t count = 0;

	for (int fd = 0; fd < CONSOLE_FDS_MAX; fd++)
		count += r->fd[fd] == CONSOLE_PROTECT;
	if (count > CONSOLE_PROTECTED_MAX)
		return error_set(err, ERR_LIMIT, "%zu protected descriptors, at most %d", count,
			CONSOLE_PROTECTED_MAX);
	if (count && !r->has_key)
		return error_set(err, ERR_INPUT,
			P "_KEY is missing: what is protected needs a key of %d hexadecimal digits",
			2 * CONSOLE_KEY_LEN);
	if (r->attach && (r->fd[0] != CONSOLE_PROTECT || r->fd[1] != CONSOLE_PROTECT))
		return error_set(err, ERR_CONFLICT,
			P "_ATTACH is required, so _STDIN and _STDOUT have to be protected");
	return 0;
}

int console_rules_parse(char *const *env, struct console_rules *ret, struct error *err)
{
	struct console_rules r = {0};
	bool any = false, moded = false;
	int rc = 0;

	for (size_t i = 0; env[i] && rc == 0; i++) {
		const char *equals;
		char name[64];

		if (!console_rules_owns(env[i]))
			continue;
		any = true;
		equals = strchr(env[i], '=');
		if (!equals || (size_t)(equals - env[i]) >= sizeof(name)) {
			rc = error_set(
				err, ERR_INPUT, "%.60s: no such variable of the console shield", env[i]);
			break;
		}
		memcpy(name, env[i], (size_t)(equals - env[i]));
		name[equals - env[i]] = '\0';
		rc = take(name, equals + 1, &r, &moded, err);
	}
	if (!moded)
		r.mode = any ? CONSOLE_UNPROTECTED : CONSOLE_DISABLED;
	if (rc == 0 && r.mode != CONSOLE_DISABLED)
		rc = check(&r, err);
	if (!r.fifos)
		r.fifos = r.mode == CONSOLE_PROTECTED ? CONSOLE_REFUSE : CONSOLE_PASS;
	if (!r.terminals)
		r.terminals = r.mode == CONSOLE_PROTECTED ? CONSOLE_REFUSE : CONSOLE_PASS;
	if (rc == 0)
		*ret = r;
	else
		*ret = (struct console_rules){0};
	secret_wipe(r.key, sizeof(r.key));
	return rc;
}

void console_rules_wipe(struct console_rules *r)
{
	secret_wipe(r->key, sizeof(r->key));
	r->has_key = false;
}

enum console_action console_rules_decide(const struct console_rules *r, int fd)
{
	enum console_action a =
		fd >= 0 && fd < CONSOLE_FDS_MAX ? (enum console_action)r->fd[fd] : CONSOLE_UNNAMED;

	if (r->mode == CONSOLE_DISABLED)
		return CONSOLE_PASS;
	if (a)
		return a;
	return r->mode == CONSOLE_PROTECTED ? CONSOLE_REFUSE : CONSOLE_PASS;
}

void console_fd_name(int fd, char ret[CONSOLE_NAME_MAX + 1])
{
	static const char *const standard[] = {"stdin", "stdout", "stderr"};

	if (fd >= 0 && fd < 3)
		(void)snprintf(ret, CONSOLE_NAME_MAX + 1, "%s", standard[fd]);
	else
		(void)snprintf(ret, CONSOLE_NAME_MAX + 1, "fd%d", fd);
}
