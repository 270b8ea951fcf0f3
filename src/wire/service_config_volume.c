/* The volumes of a service's configuration. */
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
		message_put(o, "initial_tag", volume_tag_json(v->has_initial, v->initial)))
		return o;
	json_decref(o);
	return NULL;
}

int config_volume_decode(const json_t *o, struct service_config *c, struct error *err)
{
	static const char where[] = "volume of a configuration";
	static const char *const keys[] = {
		"name", "path", "policy", "id", "key", "grant", "version", "initial_tag", NULL};
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
			       volume_tag_get(o, where, "initial_tag", &v->has_initial, v->initial, err)
		       ? -1
		       : 0;
}
