/*
 * remote: a verb's connection to a CAS: which one, under which key, and one call.
 */
#ifndef SCONE_CLI_REMOTE_H
#define SCONE_CLI_REMOTE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include "cli/cli.h"
#include "cli/identity.h"
#include "wire/http_client.h"

struct target {
	char *name; /* in the list; NULL if it is not there */
	char *address; /* HOST:PORT or HOST */
	bool has_key;
	uint8_t key[KEY_HASH_LEN]; /* the key it must hold */
};

/* Which CAS: `which` if not NULL, else --cas, else SCONE_CAS_ADDR, else the default of the list. Its key: `key` (text) if not NULL, else
 * the pinned one. 0, or the exit code with err. */
MUST_USE int target_select(
	const struct args *a, const char *which, const char *key, struct target *ret, struct error *err);
/* CLI_OK if the target has a key; otherwise CLI_UNTRUSTED with err saying how to pin one. */
MUST_USE int target_require_key(const struct target *t, struct error *err);
void target_free(struct target *t);

struct remote {
	struct target target;
	struct identity id;
	struct http_client *http;
};

/* Connect with this user's identity to the CAS that the options name, which must hold its key. 0, or the exit code with err. */
MUST_USE int remote_open(const struct args *a, struct remote *ret, struct error *err);
/* With this key and a certificate of it, instead of the user's identity; the key is borrowed for the call. */
MUST_USE int remote_open_as(const struct args *a, EVP_PKEY *key, struct remote *ret, struct error *err);
void remote_close(struct remote *r);
/* One call. 0 with the JSON answer (new reference); or the exit code with err, and *ret_details (new reference or NULL) what a refused
 * document has wrong. When the connection ends before the answer, what may be asked twice is, at the next address: reads, and uploads, which then say that
 * they are a repetition (docs/protocols.md). Of anything else err says that it is not known whether it was done. */
MUST_USE int remote_call(struct http_client *c, const char *method, const char *path, const char *type,
	const void *body, size_t n, json_t **ret, json_t **ret_details, struct error *err);
/* The exit code for an error of the connection: a failed host call means that CAS is not reachable. */
int remote_exit_code(const struct error *err);

#endif
