#include <stdlib.h>
#include <string.h>
#include "core/secret.h"
#include "shield/net/rules.h"

#define VARIABLES_MAX (8 * NET_RULES_MAX)

void net_rules_lines_free(char **env)
{
	for (size_t i = 0; env && env[i]; i++) {
		secret_wipe(env[i], strlen(env[i]));
		free(env[i]);
	}
	free(env);
}

static bool begins_variable(const char *line, size_t n)
{
	size_t len = strlen(NET_RULES_PREFIX);

	return n > len && !memcmp(line, NET_RULES_PREFIX, len) && memchr(line, '=', n);
}

static bool is_remark(const char *line, size_t n)
{
	return n == 0 || line[0] == '#';
}

/* The value without the line ends and remarks behind it. */
static char *take(const char *from, const char *to)
{
	size_t n;
	char *ret;

	for (;;) {
		const char *line = to;

		while (line > from && line[-1] != '\n')
			line--;
		if (line == from || !is_remark(line, (size_t)(to - line)))
			break;
		to = line - 1;
	}
	n = (size_t)(to - from);
	ret = malloc(n + 1);
	if (ret) {
		memcpy(ret, from, n);
		ret[n] = '\0';
	}
	return ret;
}

int net_rules_lines(const char *text, size_t n, char ***ret, struct error *err)
{
	char **env = calloc(VARIABLES_MAX + 1, sizeof(char *));
	const char *begin = NULL, *end = text + n;
	size_t count = 0, number = 1;

	if (!env)
		return error_set(err, ERR_NOMEM, "no memory for rules of the network shield");
	if (memchr(text, '\0', n)) {
		free(env);
		return error_set(err, ERR_INPUT, "the rules hold a NUL byte");
	}
	for (const char *p = text; p <= end; number++) {
		const char *eol = memchr(p, '\n', (size_t)(end - p));
		size_t len = (size_t)((eol ? eol : end) - p);
		bool starts = begins_variable(p, len), over = p + len >= end;

		if (!begin && !starts && !is_remark(p, len)) {
			net_rules_lines_free(env);
			return error_set(err, ERR_INPUT,
				"line %zu is no variable; wanted " NET_RULES_PREFIX "…=VALUE", number);
		}
		if (starts && begin)
			env[count++] = take(begin, p - 1);
		if (starts)
			begin = p;
		if (over && begin)
			env[count++] = take(begin, end);
		if ((count && !env[count - 1]) || count >= VARIABLES_MAX) {
			net_rules_lines_free(env);
			return error_set(err, ERR_LIMIT, "more rules of the network shield than fit");
		}
		if (over)
			break;
		p += len + 1;
	}
	*ret = env;
	return 0;
}
