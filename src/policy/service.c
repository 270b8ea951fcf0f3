#include <stdlib.h>
#include <string.h>
#include "core/secret.h"
#include "policy/name.h"
#include "policy/schema.h"

#define HOST_ARG_MAX 65535
#define WORDS_MAX 10000 /* of a command; a list cannot have more nodes either */

static const struct key_rule service_keys[] = {
	{"name", KEY_OK, 0},
	{"command", KEY_OK, 0},
	{"environment", KEY_OK, 0},
	{"pwd", KEY_OK, 0},
	{"image_name", KEY_OK, 0},
	{"attestation", KEY_OK, 7},
	{"mrenclaves", KEY_OK, 0},
	{"code", KEY_OK, 0},
	{"persistency", KEY_OK, 0},
	{"platforms", KEY_OK, 7},
	{"fspf_path", KEY_UNSUPPORTED, 0},
	{"fspf_key", KEY_UNSUPPORTED, 0},
	{"fspf_tag", KEY_UNSUPPORTED, 0},
	{"fspf_update_policy", KEY_UNSUPPORTED, 11},
	{"one_time_password_shared_secret", KEY_OK, 10},
	{"tags", KEY_OLD, 0},
	{"import", KEY_UNSUPPORTED, 0},
	{NULL, KEY_OK, 0},
};

/* "@@N", the whole word: host argument N. */
static void read_host_arg(struct parse *p, const struct ynode *n, const char *word, size_t len,
	const struct service *s, uint32_t *ret)
{
	uint32_t v = 0;

	if (len < 3 || word[0] != '@' || word[1] != '@' || strspn(word + 2, "0123456789") < len - 2)
		return;
	if (word[2] == '0') {
		ynode_diag(p->d, n, "E-VALUE", "host argument @@%.*s; they count from @@1",
			(int)(len - 2 < 20 ? len - 2 : 20), word + 2);
		return;
	}
	for (size_t i = 2; i < len && v <= HOST_ARG_MAX; i++)
		v = v * 10 + (uint32_t)(word[i] - '0');
	if (v > HOST_ARG_MAX) {
		ynode_diag(p->d, n, "E-RANGE", "host argument over @@%d", HOST_ARG_MAX);
		return;
	}
	for (size_t i = 0; i < s->argc; i++)
		if (s->argv[i].host == v)
			ynode_diag(p->d, n, "E-DUP",
				"host argument @@%u stands in this command already; the program would not "
				"start",
				v);
	feature_since(p, n, "a host argument", 8);
	*ret = v;
}

static void add_word(struct parse *p, const struct ynode *n, const char *word, size_t len, struct service *s)
{
	size_t count = s->argc;
	struct session_arg *list = parse_grow(p, s->argv, &count, sizeof *list);

	if (!list)
		return;
	s->argv = list;
	list[count - 1].text = parse_strdup(p, word, len);
	if (!list[count - 1].text)
		return;
	/* Read from the copy: it ends with a NUL behind the word. */
	read_host_arg(p, n, list[count - 1].text, len, s, &list[count - 1].host);
	s->argc = count;
	if (list[count - 1].host) {
		free(list[count - 1].text);
		list[count - 1].text = NULL;
	} else {
		check_templates(p, n, list[count - 1].text, len, true);
	}
}

static bool is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* White space splits, quotes group, a backslash is an ordinary character (section 4.1). */
static void split_command(struct parse *p, const struct ynode *n, struct service *s)
{
	struct buf word;
	const char *c = n->text;

	buf_init_secret(&word, SESSION_TEXT_MAX);
	for (;;) {
		char quote = 0;

		while (is_space(*c))
			c++;
		if (!*c)
			break;
		if (s->argc >= WORDS_MAX) {
			ynode_diag(p->d, n, "E-LENGTH", "more than %d words", WORDS_MAX);
			break;
		}
		buf_reset(&word);
		for (; *c && (quote || !is_space(*c)); c++) {
			if (*c == quote)
				quote = 0;
			else if (!quote && (*c == '"' || *c == '\''))
				quote = *c;
			else
				buf_putc(&word, *c);
		}
		if (quote) {
			ynode_diag(p->d, n, "E-VALUE", "the quote %c is not closed", quote);
			break;
		}
		add_word(p, n, word.data ? (const char *)word.data : "", word.len, s);
	}
	if (word.failed)
		parse_nomem(p);
	buf_free(&word);
}

static void read_command(struct parse *p, const struct ynode *n, struct service *s)
{
	size_t before = p->d->errors;

	if (n->kind == YNODE_LIST) {
		for (size_t i = 0; i < n->count; i++)
			if (want_text(p, n->items[i], false))
				add_word(p, n->items[i], n->items[i]->text, n->items[i]->len, s);
	} else if (n->kind == YNODE_MAP) {
		ynode_diag(p->d, n, "E-TYPE", "a map stands here; a text or a list of texts is wanted");
	} else if (want_text(p, n, false)) {
		split_command(p, n, s);
	}
	if (!n->bad && s->argc == 0 && p->d->errors == before)
		ynode_diag(p->d, n, "E-VALUE", "the command is empty; its first word is the program's name");
}

/* The name behind the mark of a host variable (`\@\@NAME`, `@@NAME`), or NULL. */
static const char *host_variable(const struct ynode *n)
{
	if (!strncmp(n->key, "\\@\\@", 4))
		return n->key + 4;
	return !strncmp(n->key, "@@", 2) ? n->key + 2 : NULL;
}

static bool check_variable(struct parse *p, const struct ynode *n, const char *name, const struct service *s)
{
	if (strlen(n->key) != n->key_len) {
		ynode_diag_key(p->d, n, "E-NUL", "a NUL byte in a variable's name");
		return false;
	}
	if (!*name || strchr(name, '=')) {
		ynode_diag_key(p->d, n, "E-CHARSET",
			*name ? "a variable's name holds no '='" : "a variable's name is empty");
		return false;
	}
	for (size_t i = 0; i < s->envc; i++) {
		if (strcmp(s->env[i].name, name))
			continue;
		if (ynode_get(n->parent, n->key) ==
			n) /* otherwise the tree has refused the key as a duplicate */
			ynode_diag_key(p->d, n, "E-DUP",
				"the variable %.64s is set in this environment already", name);
		return false;
	}
	return true;
}

static void read_variable(struct parse *p, const struct ynode *n, struct service *s)
{
	const char *host = host_variable(n), *name = host ? host : n->key;
	size_t count = s->envc;
	struct session_env *list;

	if (!check_variable(p, n, name, s))
		return;
	if (!host && !want_text(p, n, false))
		return;
	list = parse_grow(p, s->env, &count, sizeof *list);
	if (!list)
		return;
	s->env = list;
	list[count - 1].name = parse_strdup(p, name, strlen(name));
	list[count - 1].host = host != NULL;
	list[count - 1].value = host ? NULL : parse_strdup(p, n->text, n->len);
	s->envc = count;
	if (host)
		feature_since(p, n, "a host variable", 8);
	else
		check_templates(p, n, n->text, n->len, true);
}

static void read_environment(struct parse *p, const struct ynode *n, struct service *s)
{
	if (!want_map(p, n))
		return;
	for (size_t i = 0; i < n->count; i++)
		if (!n->items[i]->bad)
			read_variable(p, n->items[i], s);
}

static void read_pwd(struct parse *p, const struct ynode *service, struct service *s)
{
	const struct ynode *n = ynode_get(service, "pwd");

	if (!n) {
		ynode_diag(p->d, service, "W-DEFAULT", "no pwd; the program will start in /");
	} else if (want_text(p, n, false)) {
		if (n->len == 0)
			ynode_diag(p->d, n, "E-LENGTH", "the working directory is empty");
		s->pwd = parse_strdup(p, n->text, n->len);
	}
	if (!s->pwd)
		s->pwd = parse_strdup(p, "/", 1);
}

static void read_image_name(struct parse *p, const struct ynode *n, struct service *s)
{
	if (!want_text(p, n, false))
		return;
	s->image_name = parse_strdup(p, n->text, n->len);
	if (!session_image(p->s, n->text))
		ynode_diag(p->d, n, "W-REF", "%s is no image of this session; the service gets an empty one",
			show(n).s);
}

/* allow or refuse; absent: refuse. */
static bool read_allow(struct parse *p, const struct ynode *map, const char *key)
{
	static const char *const words[] = {"allow", "refuse", NULL};
	const struct ynode *n = ynode_get(map, key);

	return n && want_word(p, n, words) == 0;
}

static void read_code(struct parse *p, const struct ynode *n, struct service *s)
{
	static const struct key_rule code_keys[] = {
		{"unmeasured", KEY_OK, 0}, {"generated", KEY_OK, 0}, {NULL, KEY_OK, 0}};

	if (!want_map(p, n))
		return;
	keys_check(p, n, code_keys);
	s->allow_unmeasured = read_allow(p, n, "unmeasured");
	s->allow_generated = read_allow(p, n, "generated");
	if (s->allow_unmeasured)
		ynode_diag(p->d, ynode_get(n, "unmeasured"), "W-CODE",
			"the measurement covers only how this service starts: whoever can write files that "
			"it loads or executes can run any code in it and read its secrets");
}

static void read_name(struct parse *p, const struct ynode *n, struct service *s)
{
	if (!want_segment(p, n))
		return;
	if (session_service(p->s, n->text))
		ynode_diag(p->d, n, "E-DUP", "%s names an earlier service already", show(n).s);
	else
		s->name = parse_strdup(p, n->text, n->len);
}

static void read_service(struct parse *p, const struct ynode *n)
{
	const struct ynode *v;
	size_t count = p->s->service_count;
	struct service *list, *s;

	if (!want_map(p, n))
		return;
	list = parse_grow(p, p->s->services, &count, sizeof *list);
	if (!list)
		return;
	p->s->services = list;
	s = &list[count - 1];
	keys_check(p, n, service_keys);
	read_name(p, want_key(p, n, "name"), s);
	/* Counted only now: the name must not be found as its own duplicate. */
	p->s->service_count = count;
	if ((v = ynode_get(n, "command")))
		read_command(p, v, s);
	if ((v = ynode_get(n, "environment")))
		read_environment(p, v, s);
	read_pwd(p, n, s);
	if ((v = ynode_get(n, "image_name")))
		read_image_name(p, v, s);
	if ((v = ynode_get(n, "code")))
		read_code(p, v, s);
	if ((v = ynode_get(n, "persistency")) && !text_is(v, "None"))
		ynode_diag(p->d, v, "E-VALUE", "%s; None is the only value there is", show(v).s);
	read_service_otp(p, ynode_get(n, "one_time_password_shared_secret"), s);
	read_attestation(p, n, s);
	read_platforms(p, ynode_get(n, "platforms"), s);
}

void read_services(struct parse *p, const struct ynode *n)
{
	if (!n || !want_list(p, n))
		return;
	for (size_t i = 0; i < n->count; i++)
		read_service(p, n->items[i]);
}

void service_clear(struct service *s)
{
	for (size_t i = 0; i < s->argc; i++)
		free(s->argv[i].text);
	for (size_t i = 0; i < s->envc; i++) {
		free(s->env[i].name);
		free(s->env[i].value);
	}
	for (size_t i = 0; i < s->attestation_count; i++) {
		free(s->attestation[i].mrenclave);
		machines_clear(&s->attestation[i]);
	}
	free(s->attestation);
	free(s->platforms);
	secret_free(&s->otp);
	free(s->otp_written);
	free(s->attestation_written);
	free(s->platforms_written);
	free(s->argv);
	free(s->env);
	free(s->image_name);
	free(s->pwd);
	free(s->name);
}
