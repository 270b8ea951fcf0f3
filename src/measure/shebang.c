#include "measure/shebang.h"

#include <stdbool.h>
#include <string.h>

static bool blank(char c)
{
	return c == ' ' || c == '\t';
}

int shebang_parse(const void *p, size_t n, struct shebang *ret, struct error *err)
{
	const char *s = p;
	if (n < 2 || s[0] != '#' || s[1] != '!')
		return 0;
	bool cut = n >= SHEBANG_MAX;
	if (cut)
		n = SHEBANG_MAX;
	const char *end = s + n;
	const char *line_end = memchr(s, '\n', n);
	if (line_end) {
		end = line_end;
		cut = false;
	}
	const char *a = s + 2;
	while (a < end && blank(*a))
		a++;
	const char *b = a;
	while (b < end && !blank(*b) && *b != '\0')
		b++;
	/* What the file does not fill counts as NUL, and an empty name is one; the end of the line is none. */
	if (a == b && a == end && (line_end || cut))
		return error_set(err, ERR_INPUT, "\"#!\" line names no interpreter");
	if (b == end && cut)
		return error_set(err, ERR_INPUT,
			"\"#!\" line: the interpreter's path does not end within %d bytes", SHEBANG_MAX);
	const char *arg = b;
	while (arg < end && blank(*arg))
		arg++;
	const char *arg_end = arg < end ? memchr(arg, '\0', (size_t)(end - arg)) : NULL;
	if (!arg_end)
		arg_end = end;
	while (arg_end > arg && blank(arg_end[-1]))
		arg_end--;
	memcpy(ret->interp, a, (size_t)(b - a));
	ret->interp[b - a] = '\0';
	memcpy(ret->arg, arg, (size_t)(arg_end - arg));
	ret->arg[arg_end - arg] = '\0';
	return 1;
}
