/* scone evidence: what a piece of evidence says, and whether it is to be believed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cli/cli.h"
#include "cli/evidence_input.h"
#include "evidence/type.h"

#define KEY_MAX 256

static void print_value(const char *key, const json_t *v)
{
	char *clean;

	switch (json_typeof(v)) {
	case JSON_STRING:
		clean = cli_clean(json_string_value(v));
		printf("%s: %s\n", key, clean ? clean : "");
		free(clean);
		break;
	case JSON_INTEGER:
		printf("%s: %lld\n", key, (long long)json_integer_value(v));
		break;
	case JSON_TRUE:
	case JSON_FALSE:
		printf("%s: %s\n", key, json_is_true(v) ? "yes" : "no");
		break;
	default:
		break;
	}
}

/* One line a value: "detail.fmspc: 00906ed50000". */
static void print_tree(const char *prefix, const json_t *j)
{
	char key[KEY_MAX];
	const char *name;
	json_t *v;
	size_t i;

	if (json_is_object(j)) {
		json_object_foreach ((json_t *)j, name, v) {
			(void)snprintf(key, sizeof(key), "%s%s%s", prefix, *prefix ? "." : "", name);
			print_tree(key, v);
		}
	} else if (json_is_array(j)) {
		json_array_foreach (j, i, v)
			print_tree(prefix, v);
	} else {
		print_value(prefix, j);
	}
}

static int print(const struct args *a, json_t *j)
{
	if (a->value[OPT_JSON])
		return cli_print_json(j);
	print_tree("", j);
	json_decref(j);
	return cli_done();
}

/* Refused evidence is told with the name of the check; what is no evidence, as any input. */
static int refused(const struct args *a, const struct error *err, json_t *verdict)
{
	json_t *details =
		err->check ? json_pack("{s:s,s:o*}", "check", err->check, "verdict", verdict) : NULL;
	struct error told = *err;
	int rc;

	if (!details)
		json_decref(verdict);
	if (err->check)
		error_wrap(&told, "refused: %s", err->check);
	rc = cli_fail(a, err->check ? CLI_UNTRUSTED : cli_exit_code(err), &told, details);
	json_decref(details);
	return rc;
}

int verb_evidence_show(const struct args *a)
{
	struct error err = {0};
	struct evidence_input in;
	json_t *j;
	int rc;

	if (evidence_input_load(a, false, &in, &err) < 0 || evidence_show(&in.evidence, &j, &err) < 0)
		rc = refused(a, &err, NULL);
	else
		rc = print(a, j);
	evidence_input_free(&in);
	return rc;
}

static int verify(const struct args *a, const struct evidence_input *in)
{
	struct error err = {0};
	struct verdict *v = calloc(1, sizeof(*v));
	json_t *j = NULL;
	int rc;

	if (!v)
		rc = error_set(&err, ERR_NOMEM, "no memory");
	else
		rc = evidence_verify_parts(&in->evidence, &in->ctx, v, &err);
	if (rc == 0) {
		j = verdict_json(v);
		rc = j ? verdict_judge(v, &in->tolerances, &err) : error_set(&err, ERR_NOMEM, "no memory");
		if (v->simulated)
			cli_warn("simulated evidence: whoever has the key file of that host can make it");
	}
	free(v);
	if (rc < 0)
		return refused(a, &err, j);
	return print(a, j);
}

int verb_evidence_verify(const struct args *a)
{
	struct error err = {0};
	struct evidence_input in;
	int rc;

	rc = evidence_input_load(a, true, &in, &err) < 0 ? refused(a, &err, NULL) : verify(a, &in);
	evidence_input_free(&in);
	return rc;
}
