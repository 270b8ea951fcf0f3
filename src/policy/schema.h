/*
 * schema: typed reading of the node tree, shared by the readers of each block. Each reader reports what it refuses and goes on.
 */
#ifndef SCONE_POLICY_SCHEMA_H
#define SCONE_POLICY_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "policy/name.h"
#include "policy/session.h"
#include "policy/template.h"
#include "policy/yaml.h"

#define SECRET_SIZE_DEFAULT 20
#define VERSION_MINOR_MAX 12 /* of 0.3.N */
#define UNSUPPORTED "known to the language, not supported by this version: "

struct parse {
	struct session *s;
	struct diag *d;
	int minor; /* N of 0.3.N; the newest for a plain 0.3, 0 for what is older */
	int old; /* 1, 2: the document is of 0.1, 0.2; else 0 */
	const struct ynode **
		foreign; /* names of secrets whose kind was refused: references to them raise no second error */
	size_t foreign_count;
	const struct secret_spec **sorted; /* the named secrets, by name */
	size_t sorted_count;
	template_lookup lookup; /* of values that the document does not hold; NULL: none is known */
	void *lookup_arg;
	size_t grafted; /* nodes that fragments have added */
	bool met_open; /* a reader met an open scalar (yaml.h) */
};

enum key_state {
	KEY_OK,
	KEY_UNSUPPORTED,
	KEY_OLD /* of 0.1, where it is dropped with a warning; later not supported */
};
struct key_rule {
	const char *name; /* NULL ends a table */
	enum key_state state;
	int since; /* N of the 0.3.N that introduced it */
};

/* A value for messages: quoted, short, printable. Never for a secret's value. */
struct shown {
	char s[72];
};
struct shown show(const struct ynode *n);

void parse_nomem(struct parse *p);
/* Room for one more zeroed element at the end of array, whose *count grows by one; NULL (reported): no memory. */
void *parse_grow(struct parse *p, void *array, size_t *count, size_t size);
char *parse_strdup(struct parse *p, const char *s, size_t n);

/* Each key of the map: unknown E-UNKNOWN with the nearest one, not supported E-UNSUPPORTED, newer than the document's version W-VERSION. */
void keys_check(struct parse *p, const struct ynode *map, const struct key_rule *rules);
void feature_since(struct parse *p, const struct ynode *n, const char *what, int since);
void unsupported(struct parse *p, const struct ynode *n, const char *what);

/* False with E-TYPE (silently for a node that is bad already). n may be NULL: false. */
bool want_map(struct parse *p, const struct ynode *n);
bool want_list(struct parse *p, const struct ynode *n);
/* A scalar that is not null; without a NUL byte unless nul_ok (E-NUL). */
bool want_text(struct parse *p, const struct ynode *n, bool nul_ok);
/* The value of a required key; E-MISSING. */
const struct ynode *want_key(struct parse *p, const struct ynode *map, const char *key);
bool want_hex(struct parse *p, const struct ynode *n, uint8_t *ret, size_t len);
bool want_uint(struct parse *p, const struct ynode *n, uint32_t min, uint32_t max, uint32_t *ret);
bool want_bool(struct parse *p, const struct ynode *n, bool *ret);
/* Index into the NULL-terminated words; E-VALUE and -1. */
int want_word(struct parse *p, const struct ynode *n, const char *const *words);
/* Name of one segment; E-CHARSET, E-LENGTH. */
bool want_segment(struct parse *p, const struct ynode *n);

bool text_is(const struct ynode *n, const char *word);
/* True, with E-UNSUPPORTED, for a scalar that holds a template where this version replaces none. */
bool refuse_template(struct parse *p, const struct ynode *n, const char *place);
/* True for an open scalar: it is noted in met_open, and nothing can be read. n may be NULL. */
bool is_open(struct parse *p, const struct ynode *n);
/* Sort the secrets by name, once all are read: a document may hold tens of thousands of templates. */
void index_secrets(struct parse *p);
/* Check every template of text that stands at n: E-TEMPLATE, E-REF. no_nul: the result must be text without NUL. */
void check_templates(struct parse *p, const struct ynode *n, const char *text, size_t len, bool no_nul);
/* The same where a config-fragment may stand. */
void check_config_templates(struct parse *p, const struct ynode *n, const char *text, size_t len);

/* The blocks, one file each. Every read_ takes the value of the key of that name; every _clear frees what it filled. */
void read_secrets(struct parse *p, const struct ynode *n);
void secret_spec_clear(struct secret_spec *s);
/* What the kinds of keys and certificates have beyond the common keys of n, the explicit value included. */
void read_secret_key(struct parse *p, const struct ynode *n, struct secret_spec *ret);
/* Its import and export. True: it is imported, and nothing else of it is to be read. */
bool read_secret_share(struct parse *p, const struct ynode *n, struct secret_spec *ret);
void session_ref_clear(struct session_ref *r);
/* A reference at n, as a map or in one line; reported if it is none. */
enum ref_use { REF_EXPORT_SECRET, REF_EXPORT_VOLUME, REF_IMPORT_SECRET, REF_IMPORT_VOLUME };
void read_reference(struct parse *p, const struct ynode *n, enum ref_use use, struct session_ref *ret);
/* An absolute name of a session from one that may be relative to this session's own as a directory. NULL, reported. */
char *reference_name(struct parse *p, const struct ynode *n, const char *text, size_t len);
/* 64 hex digits. */
bool reference_hash(const char *text, size_t n, uint8_t ret[SESSION_HASH_LEN]);
/* Of 0.2: NAME[:HASH]. */
void read_old_reference(struct parse *p, const struct ynode *n, struct session_ref *ret);
/* Of 0.2: what is hidden in certificates: their keys, and the session's CA. Once all secrets are read. */
void add_old_secrets(struct parse *p);
void read_session_ca(struct parse *p, struct secret_spec *ret);
/* Does an export to r mean this session, with this hash, of the CAS with this key (NULL: of this one)? */
bool session_ref_admits(const struct session_ref *r, const uint8_t *cas_key, const char *session,
	const uint8_t hash[SESSION_HASH_LEN]);
void read_volumes(struct parse *p, const struct ynode *n);
void volume_spec_clear(struct volume_spec *v);
/* The volumes of an image. */
void read_image_volumes(struct parse *p, const struct ynode *n, struct image *ret);
void image_volume_clear(struct image_volume *v);
/* images[].trees, after volumes. */
void read_image_trees(struct parse *p, const struct ynode *n, struct image *image);
void image_tree_clear(struct image_tree *t);
/* Names that secrets give each other, once all are read; n is the list. */
void check_secret_references(struct parse *p, const struct ynode *n);
/* The secret of that name; after index_secrets. NULL. */
const struct secret_spec *find_secret(const struct parse *p, const char *name, size_t len);
/* Was a secret of this name, or of a dotted form of it, refused for its kind? */
bool names_foreign(const struct parse *p, const char *name, size_t len);
/* Integer-unit pairs such as "1 year 2 months", "90 days", "24h"; 1 s to 100 years. E-DURATION. */
bool want_duration(struct parse *p, const struct ynode *n, uint64_t *ret);
/* The keys of kinds config-fragment, jwt and pgp-key. */
void read_secret_token(struct parse *p, const struct ynode *n, struct secret_spec *ret);
/* The signer of a jwt, once all are read. */
void check_token_reference(struct parse *p, const struct ynode *n, const struct secret_spec *s);
void read_images(struct parse *p, const struct ynode *n);
void image_clear(struct image *i);
void read_services(struct parse *p, const struct ynode *n);
void service_clear(struct service *s);
void read_attestation(struct parse *p, const struct ynode *service, struct service *ret);
void read_machines(struct parse *p, const struct ynode *n, struct attest_alternative *a);
void machines_clear(struct attest_alternative *a);
void read_platforms(struct parse *p, const struct ynode *n, struct service *ret);
void read_access(struct parse *p, const struct ynode *n);
void read_board(struct parse *p, const struct ynode *n);
void access_rule_clear(struct access_rule *r);
void read_service_otp(struct parse *p, const struct ynode *n, struct service *ret);
void read_security(struct parse *p, const struct ynode *n);

/* The rule that holds for op, defaults resolved; borrowed. NULL for an absent list_sessions, whose default is no single rule. */
const struct access_rule *access_rule_of(const struct session *s, enum access_op op);
/* True if the rule is absent or says no more than its default; *ret_failed is set when there was no memory to tell. */
bool access_is_default(const struct session *s, enum access_op op, bool *ret_failed);
/* Does any rule, defaults resolved, speak of CREATOR? */
bool access_names_creator(const struct session *s);
/* "read", "update", "create_sessions", "list_sessions" */
const char *access_op_name(enum access_op op);

#endif
