/*
 * board: who must agree to what, beyond access_policy (session language 14.3): the block, what its members sign, and the outcome of votes. No I/O.
 */
#ifndef SCONE_POLICY_BOARD_H
#define SCONE_POLICY_BOARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "core/buf.h"
#include "core/error.h"
#include "policy/access.h"
#include "policy/diag.h"

#define BOARD_ID_LEN 32
#define BOARD_EXPIRES_DEFAULT (72 * 3600)
#define BOARD_EXPIRES_MIN 60
#define BOARD_EXPIRES_MAX (365 * 24 * 3600)
#define BOARD_ITEMS_MAX 1000

enum board_action { BOARD_UPDATE, BOARD_DELETE, BOARD_EXPORT, BOARD_READ, BOARD_ACTIONS };
/* "update", "delete", "export", "read" */
const char *board_action_name(enum board_action a);
MUST_USE int board_action_parse(const char *name, enum board_action *ret);

struct board_member {
	char *name;
	bool is_key; /* key or template; else a program */
	bool key_known; /* false: template does not resolve, or to the key of a member before it: it never counts */
	uint8_t key[32]; /* key hash */
	char *template; /* as written, or NULL */
	char *session, *service; /* the program; session is absolute */
	bool has_hash;
	uint8_t hash[32]; /* the program's session must have */
	bool veto;
};

struct board {
	bool present;
	char *template; /* the block as written, if it is one; nothing else of it is filled */
	struct board_member *members;
	size_t count;
	uint32_t approvals;
	uint64_t expires; /* seconds */
	uint32_t actions; /* bit n: enum board_action n */
};

void board_clear(struct board *b);

struct session;

/* Does the session's board decide about a? A board that is a template might: true. */
bool board_covers(const struct session *s, enum board_action a);
/* The board of s with its templates resolved; *ret is the caller's (board_clear). ERR_ACCESS: the block does not resolve, so nothing it might cover is
 * permitted [E-BOARD]. */
MUST_USE int board_resolve(
	const struct session *s, template_lookup lookup, void *arg, struct board *ret, struct error *err);

/* What is voted on: everything that the signature of a vote binds. */
struct board_subject {
	enum board_action action;
	const char *session;
	uint8_t current[32]; /* hash of the session */
	uint8_t bound[32]; /* update: new hash; export: hash of the importer; read: key hash of the reader */
	const char *importer; /* export */
	char *const *items; /* export: names, sorted, each once */
	size_t item_count;
	uint8_t id[BOARD_ID_LEN]; /* the proposal's random number */
	uint64_t expires; /* seconds since 1970 */
};

/* The bytes a member signs to approve or reject, appended: ASCII lines, docs/session-language.md section 14.3. */
void board_vote_bytes(const struct board_subject *q, bool approve, struct buf *out);

enum board_choice { CHOICE_NONE, CHOICE_APPROVE, CHOICE_REJECT };
enum board_outcome { OUTCOME_OPEN, OUTCOME_PASSED, OUTCOME_REFUSED };

/* votes[n] is what member n said; b is resolved. rule: who may ask; f: the request that asked. Outcome: passed when the tree of 14.3 holds; refused when a
 * veto member rejects, or when it could not hold any more if everybody else approved. */
enum board_outcome board_judge(const struct board *b, const enum board_choice *votes);
/* The tree of section 14.3 for update: who may ask, m different members, all veto members. *ret is the caller's (access_entry_clear). */
MUST_USE int board_tree(
	const struct board *b, const struct access_rule *ask, struct access_entry *ret, struct error *err);

#endif
