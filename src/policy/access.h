/*
 * access: rules of access_policy, and the one evaluator that judges them and what a board decides (session language 10 and 14.3). No I/O.
 *
 * A rule is a tree: leaves that a request satisfies or not, and nodes that want all of their entries or N different ones. A key counts once under
 * one node. Whatever cannot be read or resolved when a request is judged does not hold.
 */
#ifndef SCONE_POLICY_ACCESS_H
#define SCONE_POLICY_ACCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "core/error.h"
#include "policy/template.h"

#define ACCESS_SIGNERS_MAX 64 /* signatures of one request */
#define ACCESS_MEMBERS_MAX 64 /* of a board */

enum access_op { OP_READ, OP_UPDATE, OP_CREATE_SESSIONS, OP_LIST_SESSIONS };

enum access_kind {
	ACCESS_ANY,
	ACCESS_NONE,
	ACCESS_CREATOR,
	ACCESS_KEY, /* the TLS client's key */
	ACCESS_TEMPLATE, /* stands for CREATOR, a key or a fragment of the rule */
	ACCESS_SIGNER, /* a signature of the request */
	ACCESS_SIGNER_TEMPLATE,
	ACCESS_ALL, /* of entries */
	ACCESS_AT_LEAST, /* need different ones of entries */
	ACCESS_MEMBER, /* the board's member number `need` approves; in derived trees only */
};

struct access_entry {
	enum access_kind kind;
	uint8_t key[32]; /* key hash of ACCESS_KEY, ACCESS_SIGNER */
	char *text; /* a template as written */
	uint32_t need;
	struct access_entry *entries;
	size_t count;
};

struct access_rule { /* OR */
	struct access_entry *entries;
	size_t count;
	bool present; /* false: the default applies */
};

/* What a request brings. A request carries one TLS key or signatures: the caller of a signed one does not count. */
struct access_facts {
	const uint8_t *caller; /* key hash of the TLS client, or NULL */
	const uint8_t (*signers)[32]; /* key hashes whose signature over the request was verified */
	size_t signer_count; /* at most ACCESS_SIGNERS_MAX */
	const uint8_t *creator; /* key hash in `creator` */
	bool creator_signs; /* `creator` is a signer */
	uint64_t approvals; /* bit n: member n of the board approves */
	template_lookup lookup; /* secrets of the session; NULL: no template resolves */
	void *lookup_arg;
};

struct session;

/* May it do op? 0, or -1 with ERR_ACCESS that says which rule failed. */
MUST_USE int session_access(
	const struct session *s, enum access_op op, const struct access_facts *f, struct error *err);

/* Does this tree hold? op says which words have a place in what its templates bring. */
bool access_holds(const struct access_entry *e, enum access_op op, const struct access_facts *f);

/* The name in a text that is one template and nothing else, without a suffix; false otherwise. */
bool access_template_name(const char *text, size_t n, const char **ret, size_t *ret_len);
/* Key hash of what a template yields for a signer: a public key or certificate of type Ed25519 or P-384. */
bool access_signer_of(const char *template, template_lookup lookup, void *arg, uint8_t ret[32]);

/* A public key that can sign requests and votes: SPKI PEM of an Ed25519 or P-384 key. ERR_INPUT, with *ret_kind if it is a key of another type. */
MUST_USE int access_signer_read(
	const char *pem, size_t n, uint8_t ret[32], bool *ret_kind, struct error *err);

void access_entry_clear(struct access_entry *e);

#endif
