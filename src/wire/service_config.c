#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "core/secret.h"
#include "wire/attest.h"
#include "wire/message.h"
#include "wire/service_config_parts.h"

#define NAME_LIMIT 4096
#define WARNING_LIMIT 4096
#define MODE_BITS_MAX 07777

static const char where_config[] = "configuration";

void service_config_init(struct service_config *c)
{
	*c = (struct service_config){0};
}

static void free_values(struct config_value *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		buf_free(&v[i].value);
		free(v[i].name);
	}
	free(v);
}

void service_config_free(struct service_config *c)
{
	free_values(c->argv, c->argc);
	free_values(c->env, c->envc);
	for (size_t i = 0; i < c->file_count; i++) {
		buf_free(&c->files[i].content);
		free(c->files[i].path);
	}
	free(c->files);
	for (size_t i = 0; i < c->secret_count; i++) {
		buf_free(&c->secrets[i].value);
		free(c->secrets[i].name);
		free(c->secrets[i].kind);
	}
	free(c->secrets);
	for (size_t i = 0; i < c->volume_count; i++)
		config_volume_clear(&c->volumes[i]);
	free(c->volumes);
	for (size_t i = 0; i < c->tree_count; i++)
		config_tree_clear(&c->trees[i]);
	free(c->trees);
	for (size_t i = 0; i < c->warning_count; i++)
		free(c->warnings[i]);
	free(c->warnings);
	free(c->session);
	free(c->service);
	free(c->mode);
	free(c->pwd);
	service_config_init(c);
}

/* Room for one more in an array of n, whose capacity is the next power of two; the new element is zeroed. NULL: no memory, array untouched. */
void *config_add_element(void **array, size_t n, size_t size)
{
	if (n >= CONFIG_LIST_MAX)
		return NULL;
	if ((n & (n - 1)) == 0) {
		void *bigger = reallocarray(*array, n ? 2 * n : 1, size);

		if (!bigger)
			return NULL;
		*array = bigger;
	}
	return memset((char *)*array + n * size, 0, size);
}

struct config_value *service_config_add_arg(struct service_config *c)
{
	struct config_value *v = config_add_element((void **)&c->argv, c->argc, sizeof(*v));

	if (!v)
		return NULL;
	buf_init_secret(&v->value, CONFIG_MAX);
	c->argc++;
	return v;
}

struct config_value *service_config_add_env(struct service_config *c, const char *name)
{
	struct config_value *v = config_add_element((void **)&c->env, c->envc, sizeof(*v));

	if (!v)
		return NULL;
	v->name = strdup(name);
	if (!v->name)
		return NULL;
	buf_init_secret(&v->value, CONFIG_MAX);
	c->envc++;
	return v;
}

struct config_file *service_config_add_file(struct service_config *c, const char *path)
{
	struct config_file *f = config_add_element((void **)&c->files, c->file_count, sizeof(*f));

	if (!f)
		return NULL;
	f->path = strdup(path);
	if (!f->path)
		return NULL;
	buf_init_secret(&f->content, CONFIG_MAX);
	c->file_count++;
	return f;
}

struct config_secret *service_config_add_secret(struct service_config *c, const char *name, const char *kind)
{
	struct config_secret *s = config_add_element((void **)&c->secrets, c->secret_count, sizeof(*s));

	if (!s)
		return NULL;
	s->name = strdup(name);
	s->kind = strdup(kind);
	if (!s->name || !s->kind) {
		free(s->name);
		free(s->kind);
		return NULL;
	}
	buf_init_secret(&s->value, CONFIG_MAX);
	c->secret_count++;
	return s;
}

int service_config_add_warning(struct service_config *c, const char *text)
{
	char **w = config_add_element((void **)&c->warnings, c->warning_count, sizeof(*w));

	if (!w)
		return -1;
	*w = strdup(text);
	if (!*w)
		return -1;
	c->warning_count++;
	return 0;
}

static int no_memory(struct error *err)
{
	return error_set(err, ERR_NOMEM, "no memory for a %s, or a list in it is longer than %d",
		where_config, CONFIG_LIST_MAX);
}

/* What execve cannot carry is refused on both sides, so that it can never be cut short silently. */
static int check_no_nul(const struct buf *b, const char *what, const char *name, struct error *err)
{
	if (b->len > 0 && memchr(b->data, 0, b->len))
		return error_set(
			err, ERR_INPUT, "%s %s of a %s contains a NUL byte", what, name, where_config);
	return 0;
}

static int check_env_name(const char *name, struct error *err)
{
	char shown[64];

	message_printable(name, shown, sizeof(shown));
	if (!*name || strchr(name, '='))
		return error_set(err, ERR_INPUT, "\"%s\" is not the name of an environment variable", shown);
	return 0;
}

static bool is_kind(const char *kind)
{
	static const char *const kinds[] = {
		"ascii", "binary", "private-key", "public-key", "x509", "x509-ca", "pgp-key", "jwt"};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (!strcmp(kind, kinds[i]))
			return true;
	return false;
}

static int check(const struct service_config *c, struct error *err)
{
	static const char *const modes[] = {"simulation", "hardware", "none"};
	char number[24];
	size_t i;

	for (i = 0; i < 3 && strcmp(modes[i], c->mode) != 0;)
		i++;
	if (i == 3)
		return error_set(err, ERR_INPUT, "\"mode\" of a %s is none of simulation, hardware, none",
			where_config);
	for (i = 0; i < c->argc; i++) {
		snprintf(number, sizeof(number), "%zu", i);
		if (check_no_nul(&c->argv[i].value, "argument", number, err) < 0)
			return -1;
	}
	for (i = 0; i < c->envc; i++) {
		if (check_env_name(c->env[i].name, err) < 0 ||
			check_no_nul(&c->env[i].value, "variable", c->env[i].name, err) < 0)
			return -1;
	}
	for (i = 0; i < c->file_count; i++) {
		if (c->files[i].path[0] != '/')
			return error_set(err, ERR_INPUT, "file %zu of a %s has a path that is not absolute",
				i, where_config);
		if (c->files[i].mode > MODE_BITS_MAX)
			return error_set(err, ERR_INPUT, "file %zu of a %s has mode 0%o, at most 0%o", i,
				where_config, c->files[i].mode, MODE_BITS_MAX);
	}
	for (i = 0; i < c->secret_count; i++) {
		if (!is_kind(c->secrets[i].kind))
			return error_set(err, ERR_INPUT,
				"secret %zu of a %s has a kind that this version does not know", i,
				where_config);
	}
	for (i = 0; i < c->volume_count; i++)
		if (config_volume_check(c, i, err) < 0)
			return -1;
	for (i = 0; i < c->tree_count; i++)
		if (config_tree_check(c, i, err) < 0)
			return -1;
	return 0;
}

static json_t *bytes_json(const struct buf *b)
{
	return message_new_bytes(b->data, b->len);
}

/* Takes o. NULL unless every part was put. */
static json_t *whole(json_t *o, bool ok)
{
	if (ok)
		return o;
	json_decref(o);
	return NULL;
}

static json_t *arg_json(const struct service_config *c, size_t i)
{
	const struct config_value *v = &c->argv[i];
	json_t *o = message_new();

	return whole(o, v->host ? message_put(o, "host", json_integer(v->host))
				: message_put(o, "value", bytes_json(&v->value)));
}

static json_t *env_json(const struct service_config *c, size_t i)
{
	const struct config_value *v = &c->env[i];
	json_t *o = message_new();

	return whole(o, message_put(o, "name", json_string(v->name)) &&
				(v->host ? message_put(o, "host", json_true())
					 : message_put(o, "value", bytes_json(&v->value))));
}

static json_t *file_json(const struct service_config *c, size_t i)
{
	const struct config_file *f = &c->files[i];
	json_t *o = message_new();

	return whole(o,
		message_put(o, "path", json_string(f->path)) &&
			message_put(o, "content", f->has_content ? bytes_json(&f->content) : json_null()) &&
			message_put(o, "mode", json_integer(f->mode)));
}

static json_t *secret_json(const struct service_config *c, size_t i)
{
	const struct config_secret *s = &c->secrets[i];
	json_t *o = message_new();

	return whole(o, message_put(o, "name", json_string(s->name)) &&
				message_put(o, "kind", json_string(s->kind)) &&
				message_put(o, "value", bytes_json(&s->value)));
}

static json_t *code_json(const struct service_config *c)
{
	json_t *o = message_new();

	return whole(o, message_put(o, "unmeasured", json_boolean(c->allow_unmeasured)) &&
				message_put(o, "generated", json_boolean(c->allow_generated)));
}

static json_t *warning_json(const struct service_config *c, size_t i)
{
	return json_string(c->warnings[i]);
}

static json_t *list_json(
	const struct service_config *c, size_t n, json_t *(*element)(const struct service_config *, size_t))
{
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++) {
		if (json_array_append_new(list, element(c, i)) < 0) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

int service_config_encode(const struct service_config *c, struct buf *out, struct error *err)
{
	json_t *o;

	if (!c->session || !c->service || !c->mode)
		return error_set(err, ERR_INTERNAL, "a %s without session, service or mode", where_config);
	if (check(c, err) < 0)
		return -1;
	o = message_new();
	o = whole(o, message_put(o, "session", json_string(c->session)) &&
			     message_put(o, "service", json_string(c->service)) &&
			     message_put(o, "mode", json_string(c->mode)) &&
			     message_put(o, "pwd", c->pwd ? json_string(c->pwd) : json_null()) &&
			     message_put(o, "argv", list_json(c, c->argc, arg_json)) &&
			     message_put(o, "env", list_json(c, c->envc, env_json)) &&
			     message_put(o, "files", list_json(c, c->file_count, file_json)) &&
			     message_put(o, "secrets", list_json(c, c->secret_count, secret_json)) &&
			     message_put(o, "volumes", list_json(c, c->volume_count, config_volume_json)) &&
			     (!c->tree_count || message_put(o, "trees",
							list_json(c, c->tree_count, config_tree_json))) &&
			     message_put(o, "code", code_json(c)) &&
			     message_put(o, "warnings", list_json(c, c->warning_count, warning_json)) &&
			     (!c->has_access_proof ||
				     message_put(o, "access_proof",
					     message_new_hex(c->access_proof, ACCESS_PROOF_LEN))));
	return message_write(o, where_config, out, err);
}

static int decode_arg(const json_t *o, struct service_config *c, struct error *err)
{
	static const char where[] = "argument of a configuration";
	static const char *const value_keys[] = {"value", NULL};
	static const char *const host_keys[] = {"host", NULL};
	struct config_value *v = service_config_add_arg(c);

	if (!v)
		return no_memory(err);
	if (json_object_get(o, "host"))
		return message_keys(o, where, host_keys, err) < 0
			       ? -1
			       : message_number(o, where, "host", 1, CONFIG_LIST_MAX, &v->host, err);
	return message_keys(o, where, value_keys, err) < 0 ? -1
							   : message_bytes(o, where, "value", &v->value, err);
}

static int decode_env(const json_t *o, struct service_config *c, struct error *err)
{
	static const char where[] = "variable of a configuration";
	static const char *const value_keys[] = {"name", "value", NULL};
	static const char *const host_keys[] = {"name", "host", NULL};
	const json_t *host = json_object_get(o, "host");
	struct config_value *v;
	const char *name;

	if (message_keys(o, where, host ? host_keys : value_keys, err) < 0 ||
		message_text(o, where, "name", NAME_LIMIT, &name, err) < 0)
		return -1;
	if (host && !json_is_true(host))
		return error_set(err, ERR_INPUT, "\"host\" of %s is not true", where);
	v = service_config_add_env(c, name);
	if (!v)
		return no_memory(err);
	if (host) {
		v->host = 1;
		return 0;
	}
	return message_bytes(o, where, "value", &v->value, err);
}

static int decode_file(const json_t *o, struct service_config *c, struct error *err)
{
	static const char where[] = "file of a configuration";
	static const char *const keys[] = {"path", "content", "mode", NULL};
	struct config_file *f;
	const char *path;

	if (message_keys(o, where, keys, err) < 0 ||
		message_text(o, where, "path", NAME_LIMIT, &path, err) < 0)
		return -1;
	f = service_config_add_file(c, path);
	if (!f)
		return no_memory(err);
	if (!json_is_null(json_object_get(o, "content"))) {
		if (message_bytes(o, where, "content", &f->content, err) < 0)
			return -1;
		f->has_content = true;
	}
	return message_number(o, where, "mode", 0, MODE_BITS_MAX, &f->mode, err);
}

static int decode_secret(const json_t *o, struct service_config *c, struct error *err)
{
	static const char where[] = "secret of a configuration";
	static const char *const keys[] = {"name", "kind", "value", NULL};
	struct config_secret *s;
	const char *name, *kind;

	if (message_keys(o, where, keys, err) < 0 ||
		message_text(o, where, "name", NAME_LIMIT, &name, err) < 0 ||
		message_text(o, where, "kind", NAME_LIMIT, &kind, err) < 0)
		return -1;
	s = service_config_add_secret(c, name, kind);
	return s ? message_bytes(o, where, "value", &s->value, err) : no_memory(err);
}

static int decode_bool(const json_t *o, const char *where, const char *key, bool *ret, struct error *err)
{
	const json_t *v = json_object_get(o, key);

	if (!json_is_boolean(v))
		return error_set(err, ERR_INPUT, "\"%s\" of %s is neither true nor false", key, where);
	*ret = json_is_true(v);
	return 0;
}

static int decode_code(const json_t *o, struct service_config *c, struct error *err)
{
	static const char where[] = "code of a configuration";
	static const char *const keys[] = {"unmeasured", "generated", NULL};

	return message_keys(o, where, keys, err) < 0 ||
			       decode_bool(o, where, "unmeasured", &c->allow_unmeasured, err) < 0 ||
			       decode_bool(o, where, "generated", &c->allow_generated, err) < 0
		       ? -1
		       : 0;
}

static int decode_warning(const json_t *o, struct service_config *c, struct error *err)
{
	char text[WARNING_LIMIT];

	if (!json_is_string(o))
		return error_set(err, ERR_INPUT, "a warning of a %s is not a string", where_config);
	message_printable(json_string_value(o), text, sizeof(text));
	return service_config_add_warning(c, text) < 0 ? no_memory(err) : 0;
}

static int decode_list(const json_t *o, const char *key,
	int (*element)(const json_t *, struct service_config *, struct error *), struct service_config *c,
	struct error *err)
{
	const json_t *list;

	if (message_list(o, where_config, key, CONFIG_LIST_MAX, &list, err) < 0)
		return -1;
	for (size_t i = 0; i < json_array_size(list); i++) {
		if (element(json_array_get(list, i), c, err) < 0)
			return -1;
	}
	return 0;
}

static int decode(const json_t *o, struct service_config *c, struct error *err)
{
	static const char *const keys[] = {"session", "service", "mode", "pwd", "argv", "env", "files",
		"secrets", "volumes", "trees", "code", "warnings", "access_proof", NULL};

	if (message_keys(o, where_config, keys, err) < 0 ||
		message_text_copy(o, where_config, "session", NAME_LIMIT, &c->session, err) < 0 ||
		message_text_copy(o, where_config, "service", NAME_LIMIT, &c->service, err) < 0 ||
		message_text_copy(o, where_config, "mode", NAME_LIMIT, &c->mode, err) < 0)
		return -1;
	if (!json_is_null(json_object_get(o, "pwd")) &&
		message_text_copy(o, where_config, "pwd", NAME_LIMIT, &c->pwd, err) < 0)
		return -1;
	if (decode_list(o, "argv", decode_arg, c, err) < 0 || decode_list(o, "env", decode_env, c, err) < 0 ||
		decode_list(o, "files", decode_file, c, err) < 0 ||
		decode_list(o, "secrets", decode_secret, c, err) < 0 ||
		decode_list(o, "volumes", config_volume_decode, c, err) < 0 ||
		(json_object_get(o, "trees") && decode_list(o, "trees", config_tree_decode, c, err) < 0) ||
		decode_code(json_object_get(o, "code"), c, err) < 0 ||
		decode_list(o, "warnings", decode_warning, c, err) < 0)
		return -1;
	c->has_access_proof = json_object_get(o, "access_proof") != NULL;
	if (c->has_access_proof &&
		message_hex(o, where_config, "access_proof", c->access_proof, ACCESS_PROOF_LEN, err) < 0)
		return -1;
	return check(c, err);
}

int service_config_decode(const void *p, size_t n, struct service_config *ret, struct error *err)
{
	struct service_config c;
	json_t *o;
	int rc;

	if (n > CONFIG_MAX)
		return error_set(err, ERR_LIMIT, "%s of %zu bytes, at most %d", where_config, n, CONFIG_MAX);
	if (message_parse(p, n, where_config, &o, err) < 0)
		return -1;
	service_config_init(&c);
	rc = decode(o, &c, err);
	json_decref(o);
	if (rc == 0)
		*ret = c;
	else
		service_config_free(&c);
	return rc;
}
