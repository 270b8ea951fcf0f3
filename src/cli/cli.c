/* cli: how the verbs speak; see cli.h. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cli/cli.h"
#include "core/log.h"

int cli_exit_code(const struct error *err)
{
	switch (err->code) {
	case ERR_INPUT:
		return CLI_INPUT;
	case ERR_NOT_FOUND:
		return CLI_NOT_FOUND;
	case ERR_EXISTS:
	case ERR_CONFLICT:
		return CLI_CONFLICT;
	case ERR_ACCESS:
		return CLI_DENIED;
	case ERR_PEER:
		return CLI_UNTRUSTED;
	default:
		return CLI_FAILED;
	}
}

int cli_fail(const struct args *a, int code, const struct error *err, const json_t *details)
{
	char *text = cli_clean(err->text);
	json_t *j;

	log_error("%s", text ? text : "no memory");
	free(text);
	if (a->value[OPT_JSON]) {
		j = json_pack("{s:{s:s,s:s%,s:O*}}", "error", "code", error_code_name(err->code), "text",
			err->text, strlen(err->text), "details", details);
		if (j)
			(void)cli_print_json(j);
	}
	return code;
}

void cli_warn(const char *fmt, ...)
{
	char text[ERROR_TEXT_MAX], *clean;
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	clean = cli_clean(text);
	/* Not by way of the log: what a user must know does not depend on a log level. */
	fprintf(stderr, "scone: warning: %s\n", clean ? clean : "no memory");
	free(clean);
}

int cli_print_json(json_t *j)
{
	int rc = json_dumpf(j, stdout, JSON_INDENT(2));

	json_decref(j);
	putchar('\n');
	if (rc) {
		log_error("standard output cannot be written");
		return CLI_FAILED;
	}
	return cli_done();
}

int cli_done(void)
{
	if (fflush(stdout) || ferror(stdout)) {
		log_error("standard output cannot be written");
		return CLI_FAILED;
	}
	return CLI_OK;
}

char *cli_clean(const char *text)
{
	char *s = strdup(text), *p;

	for (p = s; p && *p; p++) {
		/* C1 controls come as 0xc2 0x80..0x9f. */
		if (((unsigned char)*p < 0x20 && *p != '\n' && *p != '\t') || *p == 0x7f)
			*p = '?';
		else if ((unsigned char)p[0] == 0xc2 && (unsigned char)p[1] >= 0x80 &&
			 (unsigned char)p[1] < 0xa0)
			p[0] = p[1] = '?';
	}
	return s;
}
