/*
 * cas_list: the CAS this user knows, and which session hashes were last seen there. Two JSON files in the home directory:
 *
 * cas.json       {"version":1,"default":"NAME"|null,"cas":[{"name":"…","address":"HOST:PORT","key":"KEYHASH"}…]}
 * sessions.json  {"version":1,"cas":{"KEYHASH":{"SESSION":"HEX64"…}…}}
 */
#ifndef SCONE_CLI_CAS_LIST_H
#define SCONE_CLI_CAS_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "core/error.h"
#include "crypto/key.h"
#include "policy/session.h"

struct cas_entry {
	char *name, *address;
	uint8_t key[KEY_HASH_LEN];
};

struct cas_list {
	struct cas_entry *entries;
	size_t count;
	char *default_name; /* or NULL */
};

/* No file gives an empty list. */
MUST_USE int cas_list_load(struct cas_list *ret, struct error *err);
void cas_list_free(struct cas_list *l);
/* By name, then by address (a missing port is the default port); NULL if unknown. */
const struct cas_entry *cas_list_find(const struct cas_list *l, const char *name_or_address);

/* Add and save, under the lock. The first one becomes the default. ERR_EXISTS for a known name unless replace. */
MUST_USE int cas_list_add(const char *name, const char *address, const uint8_t key[KEY_HASH_LEN],
	bool replace, struct error *err);
MUST_USE int cas_list_set_default(const char *name, struct error *err);

/* A name: letters, digits, '_', '-', '.'; 64 at most. */
MUST_USE int cas_name_check(const char *name, struct error *err);
/* "HOST", "HOST:PORT", "[V6]:PORT" or "[V6]" -> parts, the default port filled in; host without brackets, fresh storage. */
MUST_USE int cas_address_parse(const char *address, char **ret_host, char ret_port[8], struct error *err);
/* The same for several CAS with one key and one store, comma-separated. f is called for each; NULL: only checked. */
MUST_USE int cas_addresses_each(const char *addresses,
	int (*f)(void *arg, const char *address, struct error *err), void *arg, struct error *err);

/* The hash this user last saw of a session: true and *ret filled, or false. */
bool session_seen(const uint8_t cas_key[KEY_HASH_LEN], const char *session, uint8_t ret[SESSION_HASH_LEN]);
/* Remember (hash) or forget (NULL). */
MUST_USE int session_remember(
	const uint8_t cas_key[KEY_HASH_LEN], const char *session, const uint8_t *hash, struct error *err);

#endif
