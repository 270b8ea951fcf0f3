/*
 * service_config_parts: JSON forms shared by the files that code a configuration and the messages about volumes.
 */
#ifndef SCONE_WIRE_SERVICE_CONFIG_PARTS_H
#define SCONE_WIRE_SERVICE_CONFIG_PARTS_H

#include <jansson.h>
#include "wire/attest.h"
#include "wire/volume_message.h"

/* Required integer from 0 to INT64_MAX. */
MUST_USE int message_big_number(
	const json_t *o, const char *where, const char *key, uint64_t *ret, struct error *err);
/* {"generation":N,"tag":HEX32} or null; NULL: no memory. */
json_t *volume_state_json(bool has, const struct volume_state *v);
MUST_USE int volume_state_get(const json_t *o, const char *where, const char *key, bool *ret_has,
	struct volume_state *ret, struct error *err);
/* HEX32 or null. */
json_t *volume_tag_json(bool has, const uint8_t tag[VOLUME_STATE_TAG_LEN]);
MUST_USE int volume_tag_get(const json_t *o, const char *where, const char *key, bool *ret_has,
	uint8_t ret[VOLUME_STATE_TAG_LEN], struct error *err);

/* A volume of a configuration. */
json_t *config_volume_json(const struct service_config *c, size_t i);
MUST_USE int config_volume_decode(const json_t *o, struct service_config *c, struct error *err);
MUST_USE int config_volume_check(const struct service_config *c, size_t i, struct error *err);
void config_volume_clear(struct config_volume *v);
/* A tree of a configuration. */
json_t *config_tree_json(const struct service_config *c, size_t i);
MUST_USE int config_tree_decode(const json_t *o, struct service_config *c, struct error *err);
MUST_USE int config_tree_check(const struct service_config *c, size_t i, struct error *err);
void config_tree_clear(struct config_tree *t);
/* A zeroed element at the end of an array of n, or NULL. */
void *config_add_element(void **array, size_t n, size_t size);

#endif
