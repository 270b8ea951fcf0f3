/*
 * yaml_json FILE: a YAML file of the project's profile (policy/yaml.h) as JSON, to standard output. Plain `true`, `false`, `null` and decimal integers are what they look like,
 * all else is text.
 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "policy/yaml.h"

static json_t *scalar(const struct ynode *n)
{
	const char *digits = n->text + (n->text[0] == '-');
	char *end;
	long long v;

	if (ynode_null(n))
		return json_null();
	if (n->plain && !strcmp(n->text, "true"))
		return json_true();
	if (n->plain && !strcmp(n->text, "false"))
		return json_false();
	errno = 0;
	v = strtoll(digits, &end, 10);
	if (n->plain && *digits && strspn(digits, "0123456789") == strlen(digits) && !errno)
		return json_integer(digits == n->text ? v : -v);
	return json_stringn(n->text, n->len);
}

static json_t *convert(const struct ynode *n)
{
	json_t *j = n->kind == YNODE_MAP ? json_object() : json_array();

	if (n->kind == YNODE_SCALAR) {
		json_decref(j);
		return scalar(n);
	}
	for (size_t i = 0; j && i < n->count; i++) {
		json_t *item = convert(n->items[i]);

		if (n->kind == YNODE_MAP ? json_object_set_new(j, n->items[i]->key, item)
					 : json_array_append_new(j, item)) {
			json_decref(j);
			return NULL;
		}
	}
	return j;
}

static size_t read_all(const char *path, char *text, size_t max)
{
	FILE *f = fopen(path, "rb");
	size_t n = f ? fread(text, 1, max, f) : 0;
	bool good = f && !ferror(f) && n < max;

	if (!good)
		fprintf(stderr, "yaml_json: cannot read %s, or it is over %zu bytes\n", path, max - 1);
	if (f)
		fclose(f);
	return good ? n : 0;
}

int main(int argc, char **argv)
{
	static char text[YAML_TEXT_MAX + 1];
	struct ynode *root = NULL;
	struct diag d;
	struct buf faults;
	json_t *j = NULL;
	size_t n = argc == 2 ? read_all(argv[1], text, sizeof(text)) : 0;
	int rc = 1;

	if (!n)
		return 2;
	diag_init(&d);
	buf_init(&faults, YAML_TEXT_MAX);
	if (yaml_load(text, n, &root, &d) || d.errors) {
		diag_format(&d, argv[1], &faults);
		fwrite(faults.data, 1, faults.len, stderr);
	} else {
		j = convert(root);
		if (j && !json_dumpf(j, stdout, JSON_COMPACT) && !fflush(stdout))
			rc = 0;
		else
			fprintf(stderr, "yaml_json: %s: cannot be written as JSON\n", argv[1]);
	}
	json_decref(j);
	ynode_free(root);
	buf_free(&faults);
	diag_free(&d);
	return rc;
}
