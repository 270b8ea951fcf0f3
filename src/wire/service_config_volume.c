/* The volumes and sealed trees of a service's configuration. */
#include <stdlib.h>
#include <string.h>
#include "wire/message.h"
#include "wire/service_config_parts.h"

#define NAME_LIMIT 4096

static const char *const policies[] = {"rollback_protected", "ephemeral", "no_rollback_protection", "strict"};

struct config_volume *service_config_add_volume(struct service_config *c, const char *name, const char *path)
{
	struct config_volume *v = config_add_element((void **)&c->volumes, c->volume_count, sizeof(*v));

	if (!v)
		return NULL;
	buf_init_secret(&v->key, CONFIG_VOLUME_KEY_LEN);
	buf_init(&v->grant, VOLUME_GRANT_BYTES_MAX);
	v->name = strdup(name);
	v->path = strdup(path);
	if (!v->name || !v->path) {
		config_volume_clear(v);
		return NULL;
	}
	c->volume_count++;
	return v;
}

void config_volume_clear(struct config_volume *v)
{
	buf_free(&v->key);
	buf_free(&v->grant);
	free(v->name);
	free(v->path);
	free(v->policy);
}

int config_volume_check(const struct service_config *c, size_t i, struct error *err)
{
	const struct config_volume *v = &c->volumes[i];

	if (v->path[0] != '/')
		return error_set(
			err, ERR_INPUT, "volume %zu of a configuration has a path that is not absolute", i);
	if (v->key.len != CONFIG_VOLUME_KEY_LEN)
		return error_set(err, ERR_INPUT,
			"volume %zu of a configuration has a key of %zu bytes, wanted %d", i, v->key.len,
			CONFIG_VOLUME_KEY_LEN);
	for (size_t k = 0; v->policy && k < sizeof(policies) / sizeof(*policies); k++)
		if (!strcmp(v->policy, policies[k]))
			return 0;
	return error_set(err, ERR_INPUT, "volume %zu of a configuration has an unknown update policy", i);
}

json_t *config_volume_json(const struct service_config *c, size_t i)
{
	const struct config_volume *v = &c->volumes[i];
	json_t *o = message_new();

	if (message_put(o, "name", json_string(v->name)) && message_put(o, "path", json_string(v->path)) &&
		message_put(o, "policy", json_string(v->policy)) &&
		message_put(o, "id", message_new_hex(v->id, sizeof(v->id))) &&
		message_put(o, "key", message_new_bytes(v->key.data, v->key.len)) &&
		message_put(o, "grant", message_new_bytes(v->grant.data, v->grant.len)) &&
		message_put(o, "version", volume_state_json(v->has_version, &v->version)) &&
		message_put(o, "initial_tag", volume_tag_json(v->has_initial, v->initial)) &&
		(!v->cache || message_put(o, "cache", json_integer((json_int_t)v->cache))))
		return o;
	json_decref(o);
	return NULL;
}

int config_volume_decode(const json_t *o, struct service_config *c, struct error *err)
{
	static const char where[] = "volume of a configuration";
	static const char *const keys[] = {
		"name", "path", "policy", "id", "key", "grant", "version", "initial_tag", "cache", NULL};
	struct config_volume *v;
	const char *name, *path;

	if (message_keys(o, where, keys, err) || message_text(o, where, "name", NAME_LIMIT, &name, err) ||
		message_text(o, where, "path", NAME_LIMIT, &path, err))
		return -1;
	v = service_config_add_volume(c, name, path);
	if (!v)
		return error_set(err, ERR_NOMEM, "no memory for a %s", where);
	return message_text_copy(o, where, "policy", NAME_LIMIT, &v->policy, err) ||
			       message_hex(o, where, "id", v->id, sizeof(v->id), err) ||
			       message_bytes(o, where, "key", &v->key, err) ||
			       message_bytes(o, where, "grant", &v->grant, err) ||
			       volume_state_get(o, where, "version", &v->has_version, &v->version, err) ||
			       volume_tag_get(o, where, "initial_tag", &v->has_initial, v->initial, err) ||
			       (json_object_get(o, "cache") &&
				       message_big_number(o, where, "cache", &v->cache, err))
		       ? -1
		       : 0;
}

struct config_tree *service_config_add_tree(
	struct service_config *c, const char *path, const char *host, const char *manifest)
{
	struct config_tree *t = config_add_element((void **)&c->trees, c->tree_count, sizeof(*t));

	if (!t)
		return NULL;
	t->path = strdup(path);
	t->host = strdup(host);
	t->manifest = strdup(manifest);
	if (!t->path || !t->host || !t->manifest) {
		config_tree_clear(t);
		return NULL;
	}
	c->tree_count++;
	return t;
}

void config_tree_clear(struct config_tree *t)
{
	free(t->path);
	free(t->host);
	free(t->manifest);
}

int config_tree_check(const struct service_config *c, size_t i, struct error *err)
{
	const struct config_tree *t = &c->trees[i];

	if (t->path[0] != '/' || t->host[0] != '/' || t->manifest[0] != '/')
		return error_set(
			err, ERR_INPUT, "tree %zu of a configuration has a path that is not absolute", i);
	if (!t->has_root && !t->has_signer)
		return error_set(
			err, ERR_INPUT, "tree %zu of a configuration has neither root nor signer", i);
	return 0;
}

static json_t *digest_json(bool has, const uint8_t digest[32])
{
	return has ? message_new_hex(digest, 32) : json_null();
}

json_t *config_tree_json(const struct service_config *c, size_t i)
{
	const struct config_tree *t = &c->trees[i];
	json_t *o = message_new();

	if (message_put(o, "path", json_string(t->path)) && message_put(o, "host", json_string(t->host)) &&
		message_put(o, "manifest", json_string(t->manifest)) &&
		message_put(o, "root", digest_json(t->has_root, t->root)) &&
		message_put(o, "signer", digest_json(t->has_signer, t->signer)))
		return o;
	json_decref(o);
	return NULL;
}

static int get_digest(const json_t *o, const char *where, const char *key, bool *ret_has, uint8_t ret[32],
	struct error *err)
{
	*ret_has = !json_is_null(json_object_get(o, key));
	return *ret_has ? message_hex(o, where, key, ret, 32, err) : 0;
}

int config_tree_decode(const json_t *o, struct service_config *c, struct error *err)
{
	static const char where[] = "tree of a configuration";
	static const char *const keys[] = {"path", "host", "manifest", "root", "signer", NULL};
	const char *path, *host, *manifest;
	struct config_tree *t;

	if (message_keys(o, where, keys, err) || message_text(o, where, "path", NAME_LIMIT, &path, err) ||
		message_text(o, where, "host", NAME_LIMIT, &host, err) ||
		message_text(o, where, "manifest", NAME_LIMIT, &manifest, err))
		return -1;
	t = service_config_add_tree(c, path, host, manifest);
	if (!t)
		return error_set(err, ERR_NOMEM, "no memory for a %s", where);
	return get_digest(o, where, "root", &t->has_root, t->root, err) ||
			       get_digest(o, where, "signer", &t->has_signer, t->signer, err)
		       ? -1
		       : 0;
}
