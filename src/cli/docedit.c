/* docedit: see docedit.h. Over libyaml's events; its marks count characters, so they are turned into byte offsets here. */
#include <stdlib.h>
#include <string.h>
#include <yaml.h>
#include "cli/docedit.h"

struct place {
	bool found, null;
	size_t from, to; /* characters of the value */
	char *value; /* owned */
	bool flow; /* {…} at top level */
	size_t first; /* character of the first key, or of '{' */
	size_t first_column;
};

/* A byte order mark is no part of the first line: libyaml is not shown it. */
static size_t bom(const char *text, size_t n)
{
	return n >= 3 && !memcmp(text, "\xef\xbb\xbf", 3) ? 3 : 0;
}

static size_t byte_offset(const char *text, size_t n, size_t characters)
{
	size_t i = bom(text, n);

	for (; characters && i < n; characters--)
		do
			i++;
		while (i < n && ((unsigned char)text[i] & 0xc0) == 0x80);
	return i;
}

static int yaml_fail(const yaml_parser_t *p, struct error *err)
{
	return error_set(err, ERR_INPUT, "line %zu, column %zu: %s", p->problem_mark.line + 1,
		p->problem_mark.column + 1, p->problem ? p->problem : "no well-formed YAML");
}

static bool is_null(const yaml_event_t *e)
{
	const char *v = (const char *)e->data.scalar.value;

	return e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
	       (!*v || !strcmp(v, "~") || !strcmp(v, "null") || !strcmp(v, "Null") || !strcmp(v, "NULL"));
}

static int take_value(const yaml_event_t *e, const char *key, struct place *p, struct error *err)
{
	if (e->type != YAML_SCALAR_EVENT)
		return error_set(err, ERR_INPUT, "line %zu: a single value is wanted for '%s'",
			e->start_mark.line + 1, key);
	if (p->found)
		return error_set(
			err, ERR_INPUT, "line %zu: '%s' is given twice", e->start_mark.line + 1, key);
	p->found = true;
	p->null = is_null(e);
	p->from = e->start_mark.index;
	p->to = e->end_mark.index;
	p->value = strdup((const char *)e->data.scalar.value);
	return p->value ? 0 : error_set(err, ERR_NOMEM, "no memory");
}

/* One event. *depth: open collections; *turn: at depth 1, 0 a key comes next, 1 the value wanted, 2 another value. */
static int step(
	const yaml_event_t *e, const char *key, int *depth, int *turn, struct place *p, struct error *err)
{
	bool node = e->type == YAML_SCALAR_EVENT || e->type == YAML_ALIAS_EVENT ||
		    e->type == YAML_SEQUENCE_START_EVENT || e->type == YAML_MAPPING_START_EVENT;

	if (*depth == 0 && node) {
		if (e->type != YAML_MAPPING_START_EVENT)
			return error_set(err, ERR_INPUT, "line %zu: a mapping is wanted at top level",
				e->start_mark.line + 1);
		p->flow = e->data.mapping_start.style == YAML_FLOW_MAPPING_STYLE;
		p->first = e->start_mark.index;
		p->first_column = e->start_mark.column;
	} else if (*depth == 1 && node) {
		if (*turn == 0) {
			*turn = e->type == YAML_SCALAR_EVENT &&
						!strcmp((const char *)e->data.scalar.value, key)
					? 1
					: 2;
		} else {
			if (*turn == 1 && take_value(e, key, p, err))
				return -1;
			*turn = 0;
		}
	}
	if (e->type == YAML_SEQUENCE_START_EVENT || e->type == YAML_MAPPING_START_EVENT)
		++*depth;
	if (e->type == YAML_SEQUENCE_END_EVENT || e->type == YAML_MAPPING_END_EVENT)
		--*depth;
	return 0;
}

static int locate(const char *text, size_t n, const char *key, struct place *p, struct error *err)
{
	int depth = 0, turn = 0, documents = 0, rc = 0;
	yaml_parser_t parser;
	yaml_event_t e;
	bool end = false;

	memset(p, 0, sizeof(*p));
	if (!yaml_parser_initialize(&parser))
		return error_set(err, ERR_NOMEM, "no memory");
	yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&parser, (const unsigned char *)text + bom(text, n), n - bom(text, n));
	while (!end && !rc) {
		if (!yaml_parser_parse(&parser, &e)) {
			rc = yaml_fail(&parser, err);
			break;
		}
		if (e.type == YAML_DOCUMENT_START_EVENT && ++documents > 1)
			rc = error_set(
				err, ERR_INPUT, "line %zu: more than one document", e.start_mark.line + 1);
		else
			rc = step(&e, key, &depth, &turn, p, err);
		end = e.type == YAML_STREAM_END_EVENT;
		yaml_event_delete(&e);
	}
	yaml_parser_delete(&parser);
	if (!rc && !documents)
		rc = error_set(err, ERR_INPUT, "the document is empty");
	if (rc) {
		free(p->value);
		p->value = NULL;
	}
	return rc;
}

int docedit_get(const char *text, size_t n, const char *key, char **ret, struct error *err)
{
	struct place p;

	if (locate(text, n, key, &p, err))
		return -1;
	if (p.null) {
		free(p.value);
		p.value = NULL;
	}
	*ret = p.value;
	return 0;
}

int docedit_set(
	const char *text, size_t n, const char *key, const char *value, struct buf *out, struct error *err)
{
	struct place p;
	size_t from, to;

	if (locate(text, n, key, &p, err))
		return -1;
	free(p.value);
	if (p.found) {
		from = byte_offset(text, n, p.from);
		to = byte_offset(text, n, p.to);
		buf_put(out, text, from);
		/* An empty value ends right behind the colon. */
		buf_printf(out, "%s\"%s\"", from && text[from - 1] == ':' ? " " : "", value);
		buf_put(out, text + to, n - to);
	} else {
		from = byte_offset(text, n, p.first) + (p.flow ? 1 : 0);
		buf_put(out, text, from);
		buf_printf(out, p.flow ? "%s: \"%s\", " : "%s: \"%s\"\n", key, value);
		for (size_t i = 0; !p.flow && i < p.first_column; i++)
			buf_putc(out, ' ');
		buf_put(out, text + from, n - from);
	}
	return out->failed ? error_set(err, ERR_LIMIT, "the document is larger than %zu bytes", out->max) : 0;
}
