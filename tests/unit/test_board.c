/* The board: what is read and refused, what members sign, and when a vote is over. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "core/encode.h"
#include "crypto/key.h"
#include "policy/session.h"

#define KEYS 5
static char pem[KEYS][1200]; /* flow scalars in double quotes, lines as \n */
static uint8_t hash[KEYS][32];

static int make_keys(void **state)
{
	for (size_t i = 0; i < KEYS; i++) {
		EVP_PKEY *k = NULL;
		struct buf b;
		size_t at = 0;

		buf_init(&b, 4096);
		assert_int_equal(key_generate(i % 2 ? KEY_P384 : KEY_ED25519, &k, NULL), 0);
		assert_int_equal(key_hash(k, hash[i], NULL), 0);
		assert_int_equal(key_public_to_pem(k, &b, NULL), 0);
		for (size_t c = 0; c < b.len; c++) {
			if (b.data[c] == '\n') {
				pem[i][at++] = '\\';
				pem[i][at++] = 'n';
			} else {
				pem[i][at++] = (char)b.data[c];
			}
		}
		buf_free(&b);
		EVP_PKEY_free(k);
	}
	return 0;
}

/* In extra, "@N" stands for key N in double quotes. */
static struct session *parse(const char *extra, struct diag *d)
{
	char doc[16384];
	size_t at = (size_t)snprintf(doc, sizeof doc, "version: \"0.3\"\nname: app/one\n");
	struct session *s = NULL;

	for (const char *p = extra; *p; p++) {
		if (*p == '@' && p[1] >= '0' && p[1] < '0' + KEYS)
			at += (size_t)snprintf(doc + at, sizeof doc - at, "\"%s\"", pem[*++p - '0']);
		else
			doc[at++] = *p;
	}
	diag_init(d);
	if (session_parse(doc, at, &s, d))
		return NULL;
	return s;
}

static struct session *good(const char *extra)
{
	struct diag d;
	struct session *s = parse(extra, &d);

	if (!s)
		fail_msg("%s: %s [%s]", extra, d.entries[0].text, d.entries[0].name);
	diag_free(&d);
	return s;
}

static void bad(const char *extra, const char *name)
{
	struct diag d;
	struct session *s = parse(extra, &d);

	if (s)
		fail_msg("accepted: %s", extra);
	for (size_t i = 0; i < d.count; i++)
		if (!strcmp(d.entries[i].name, name)) {
			diag_free(&d);
			return;
		}
	fail_msg("%s: %s (%s), wanted %s", extra, d.entries[0].name, d.entries[0].text, name);
}

static bool warns(const char *extra, const char *name)
{
	struct diag d;
	struct session *s = parse(extra, &d);
	bool found = false;

	assert_non_null(s);
	for (size_t i = 0; i < d.count; i++)
		found |= !strcmp(d.entries[i].name, name);
	session_free(s);
	diag_free(&d);
	return found;
}

static void read_whole(void **state)
{
	struct session *s = good(
		"board:\n  members:\n    - {name: ops, key: @0}\n    - {name: legal, key: @1, veto: true}\n"
		"    - {name: lint, program: {session: ./checks, service: lint, session_hash: "
		"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff}}\n"
		"    - {name: scan, program: governance/checks/scan}\n"
		"  approvals: 2\n  expires: 36h\n  actions: [update, read]\n");
	const struct board *b = &s->board;

	assert_true(b->present);
	assert_int_equal(b->count, 4);
	assert_int_equal(b->approvals, 2);
	assert_int_equal(b->expires, 36 * 3600);
	assert_true(board_covers(s, BOARD_UPDATE) && board_covers(s, BOARD_READ));
	assert_false(board_covers(s, BOARD_DELETE) || board_covers(s, BOARD_EXPORT));
	assert_memory_equal(b->members[0].key, hash[0], 32);
	assert_true(b->members[1].veto && !b->members[0].veto);
	assert_string_equal(b->members[2].session, "app/one/checks");
	assert_true(b->members[2].has_hash);
	assert_string_equal(b->members[3].session, "governance/checks");
	assert_string_equal(b->members[3].service, "scan");
	session_free(s);
	s = good("board: {members: [{name: a, key: @0}], approvals: 1}\n");
	assert_int_equal(s->board.expires, 72 * 3600);
	assert_true(board_covers(s, BOARD_UPDATE) && board_covers(s, BOARD_DELETE));
	assert_false(board_covers(s, BOARD_EXPORT) || board_covers(s, BOARD_READ));
	session_free(s);
}

static void refused(void **state)
{
	bad("board: {approvals: 1}\n", "E-MISSING");
	bad("board: {members: [{name: a, key: @0}]}\n", "E-MISSING");
	bad("board: {members: [], approvals: 1}\n", "E-RANGE");
	bad("board: {members: [{name: a, key: @0}], approvals: 0}\n", "E-RANGE");
	bad("board: {members: [{name: a, key: @0}], approvals: 2}\n", "E-RANGE");
	bad("board: {members: [{name: a}], approvals: 1}\n", "E-MISSING");
	bad("board: {members: [{name: a, key: @0, program: x/y}], approvals: 1}\n", "E-CONFLICT");
	bad("board: {members: [{name: a, key: @0}, {name: a, key: @1}], approvals: 1}\n", "E-DUP");
	bad("board: {members: [{name: a, key: @0}, {name: b, key: @0}], approvals: 1}\n", "E-DUP");
	bad("board: {members: [{name: a, program: x/y}, {name: b, program: {session: x, service: y}}], "
	    "approvals: 1}\n",
		"E-DUP");
	bad("board: {members: [{name: a/b, key: @0}], approvals: 1}\n", "E-CHARSET");
	bad("board: {members: [{name: a, key: nonsense}], approvals: 1}\n", "E-PEM");
	bad("board: {members: [{name: a, program: y}], approvals: 1}\n", "E-VALUE");
	bad("board: {members: [{name: a, key: @0}], approvals: 1, expires: 59s}\n", "E-RANGE");
	bad("board: {members: [{name: a, key: @0}], approvals: 1, expires: 366 days}\n", "E-RANGE");
	bad("board: {members: [{name: a, key: @0}], approvals: 1, actions: []}\n", "E-VALUE");
	bad("board: {members: [{name: a, key: @0}], approvals: 1, actions: [create]}\n", "E-VALUE");
	bad("board: {members: [{name: a, key: @0}], approvals: 1, quorum: 2}\n", "E-UNKNOWN");
	bad("board: {members: [{name: a, key: $$SCONE::gone$$}], approvals: 1}\n", "E-REF");
	bad("board: $$SCONE::gone$$\n", "E-REF");
	bad("secrets: [{name: s, kind: ascii, export_public: true}]\n"
	    "board: {members: [{name: a, key: @0}], approvals: 1, actions: [export]}\n",
		"E-CONFLICT");
	bad("secrets: [{name: k, kind: binary}]\nboard: {members: [{name: a, key: $$SCONE::k$$}], approvals: "
	    "1}\n",
		"E-KIND");
}

/* A P-256 key signs nothing here. */
static void keys_of_other_types(void **state)
{
	EVP_PKEY *k = NULL;
	char text[2000], *at = text;
	struct buf b;

	buf_init(&b, 4096);
	assert_int_equal(key_generate(KEY_P256, &k, NULL), 0);
	assert_int_equal(key_public_to_pem(k, &b, NULL), 0);
	at += sprintf(at, "board: {members: [{name: a, key: \"");
	for (size_t i = 0; i < b.len; i++)
		at += sprintf(at, b.data[i] == '\n' ? "\\n" : "%c", b.data[i]);
	sprintf(at, "\"}], approvals: 1}\n");
	bad(text, "E-KIND");
	buf_free(&b);
	EVP_PKEY_free(k);
}

static void lock_out_is_warned_of(void **state)
{
	assert_true(warns(
		"board: {members: [{name: a, key: @0}, {name: b, key: @1}], approvals: 2}\n", "W-BOARD"));
	assert_false(warns(
		"board: {members: [{name: a, key: @0}, {name: b, key: @1}], approvals: 1}\n", "W-BOARD"));
	assert_true(warns(
		"board: {members: [{name: a, key: @0}, {name: b, program: x/y, veto: true}], approvals: 1}\n",
		"W-BOARD"));
	assert_true(
		warns("board: {members: [{name: a, key: @0}, {name: b, program: app/one/y}], approvals: 1}\n",
			"W-BOARD"));
}

static bool lookup(void *arg, const char *name, size_t len, struct template_value *ret)
{
	const char *text = arg;

	if (len != 1 || *name != 'k' || !text)
		return false;
	*ret = (struct template_value){.kind = "config-fragment", .value = text, .len = strlen(text)};
	return true;
}

static void templates_fail_closed(void **state)
{
	struct session *s = good("secrets: [{name: k, kind: x509, private_key: p}, {name: p, kind: "
				 "private-key, key_type: P-384}]\n"
				 "board: $$SCONE::k$$\n");
	char fragment[4000];
	struct error err;
	struct board b;

	for (enum board_action a = 0; a < BOARD_ACTIONS; a++)
		assert_true(board_covers(s, a));
	assert_int_equal(board_resolve(s, NULL, NULL, &b, &err), -1);
	assert_int_equal(err.code, ERR_ACCESS);
	assert_non_null(strstr(err.text, "E-BOARD"));
	assert_int_equal(board_resolve(s, lookup, (void *)"nonsense", &b, &err), -1);
	assert_int_equal(board_resolve(s, lookup,
				 (void *)"{members: [{name: a, key: $$SCONE::k$$}], approvals: 1}", &b, &err),
		-1);
	snprintf(fragment, sizeof fragment,
		"{members: [{name: a, key: \"%s\"}], approvals: 1, actions: [delete]}", pem[0]);
	assert_int_equal(board_resolve(s, lookup, fragment, &b, &err), 0);
	assert_int_equal(b.count, 1);
	assert_memory_equal(b.members[0].key, hash[0], 32);
	board_clear(&b);
	session_free(s);

	/* A key that does not resolve leaves its member without a vote. */
	s = good("secrets: [{name: k, kind: x509, private_key: p}, {name: p, kind: private-key, key_type: "
		 "P-384}]\n"
		 "board: {members: [{name: a, key: @0}, {name: b, key: $$SCONE::k$$}], approvals: 1}\n");
	assert_int_equal(board_resolve(s, lookup, NULL, &b, &err), 0);
	assert_true(b.members[0].key_known);
	assert_false(b.members[1].key_known);
	board_clear(&b);
	session_free(s);
}

#define A CHOICE_APPROVE
#define R CHOICE_REJECT
#define N CHOICE_NONE

static void outcomes(void **state)
{
	static const struct {
		const char *members;
		uint32_t approvals;
		enum board_choice votes[4];
		enum board_outcome wanted;
	} rows[] = {
		{"----", 2, {N, N, N, N}, OUTCOME_OPEN},
		{"----", 2, {A, N, N, N}, OUTCOME_OPEN},
		{"----", 2, {A, A, N, N}, OUTCOME_PASSED},
		{"----", 2, {A, R, N, A}, OUTCOME_PASSED},
		{"----", 2, {R, R, A, N}, OUTCOME_OPEN},
		{"----", 2, {R, R, R, N}, OUTCOME_REFUSED},
		{"----", 4, {A, A, A, R}, OUTCOME_REFUSED},
		{"---v", 2, {A, A, A, N}, OUTCOME_OPEN}, /* nothing passes without the veto member */
		{"---v", 2, {A, N, N, A}, OUTCOME_PASSED}, /* which counts towards m */
		{"---v", 2, {N, N, N, A}, OUTCOME_OPEN},
		{"---v", 2, {A, A, A, R}, OUTCOME_REFUSED}, /* and whose rejection ends it */
		{"--vv", 1, {N, N, A, N}, OUTCOME_OPEN},
		{"--vv", 1, {N, N, A, A}, OUTCOME_PASSED},
		{"--vv", 4, {A, A, A, N}, OUTCOME_OPEN}, /* 2 of 2 voters and both veto members */
		{"--vv", 4, {A, A, A, A}, OUTCOME_PASSED},
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct board_member m[4] = {{0}};
		struct board b = {.present = true, .members = m, .count = 4, .approvals = rows[i].approvals};

		for (size_t k = 0; k < 4; k++)
			m[k].veto = rows[i].members[k] == 'v';
		if (board_judge(&b, rows[i].votes) != rows[i].wanted)
			fail_msg("row %zu: outcome %d, wanted %d", i, (int)board_judge(&b, rows[i].votes),
				(int)rows[i].wanted);
	}
}

static void tree_is_the_rule_of_the_language(void **state)
{
	struct session *s = good("access_policy: {update: [CREATOR, {signer: @4}]}\n"
				 "board: {members: [{name: a, key: @0}, {name: b, key: @1}, {name: v, key: "
				 "@2, veto: true}], approvals: 2}\n");
	struct access_entry tree;
	struct access_facts f = {.caller = hash[3], .creator = hash[3]};

	assert_int_equal(board_tree(&s->board, &s->update, &tree, NULL), 0);
	assert_int_equal(tree.kind, ACCESS_ALL);
	assert_int_equal(tree.count, 3);
	f.approvals = 0x5; /* a and v */
	assert_true(access_holds(&tree, OP_UPDATE, &f));
	f.approvals = 0x3; /* a and b: without the veto */
	assert_false(access_holds(&tree, OP_UPDATE, &f));
	f.approvals = 0x4;
	assert_false(access_holds(&tree, OP_UPDATE, &f));
	f.approvals = 0x7;
	f.caller = hash[0]; /* all agree, but who asked may not ask; a vote is no request */
	assert_false(access_holds(&tree, OP_UPDATE, &f));
	f.signers = &hash[4];
	f.signer_count = 1;
	f.caller = NULL;
	assert_true(access_holds(&tree, OP_UPDATE, &f));
	access_entry_clear(&tree);
	session_free(s);
}

static void check_bytes(const struct board_subject *q, bool approve, const char *wanted)
{
	struct buf b;

	buf_init(&b, 4096);
	board_vote_bytes(q, approve, &b);
	assert_string_equal(buf_cstr(&b), wanted);
	buf_free(&b);
}

#define HEX(c) c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c

static void vote_bytes(void **state)
{
	char *items[] = {(char *)"key", (char *)"tls"};
	struct board_subject q = {.action = BOARD_UPDATE, .session = "app/one", .expires = 1800000000};

	memset(q.current, 0xaa, 32);
	memset(q.bound, 0xbb, 32);
	memset(q.id, 0xcc, 32);
	check_bytes(&q, true,
		"openscone-vote-v1\naction: update\nsession: app/one\ncurrent: " HEX(
			"aa") "\nbound: new " HEX("bb") "\nproposal: " HEX("cc") "\nexpires: "
										 "1800000000\nvote: "
										 "approve\n");
	q.action = BOARD_DELETE;
	check_bytes(&q, false,
		"openscone-vote-v1\naction: delete\nsession: app/one\ncurrent: " HEX(
			"aa") "\nbound: none\nproposal: " HEX("cc") "\nexpires: 1800000000\nvote: reject\n");
	q.action = BOARD_READ;
	check_bytes(&q, true,
		"openscone-vote-v1\naction: read\nsession: app/one\ncurrent: " HEX(
			"aa") "\nbound: reader " HEX("bb") "\nproposal: " HEX("cc") "\nexpires: "
										    "1800000000\nvote: "
										    "approve\n");
	q.action = BOARD_EXPORT;
	q.importer = "web";
	q.items = items;
	q.item_count = 2;
	check_bytes(&q, true,
		"openscone-vote-v1\naction: export\nsession: app/one\ncurrent: " HEX(
			"aa") "\nbound: to web " HEX("bb") " key tls\nproposal: " HEX("cc") "\nexpires: "
											    "1800000000\nvote"
											    ": approve\n");
}

static void hash_of(const char *extra, uint8_t ret[32])
{
	static const uint8_t creator[32] = {1};
	struct session *s = good(extra);

	assert_int_equal(session_hash(s, creator, ret, NULL), 0);
	session_free(s);
}

static void every_part_counts_in_the_session_hash(void **state)
{
	static const char *const other[] = {
		"board: {members: [{name: a, key: @0}, {name: b, key: @2}], approvals: 1}\n",
		"board: {members: [{name: a, key: @0}, {name: c, key: @1}], approvals: 1}\n",
		"board: {members: [{name: a, key: @0}, {name: b, key: @1, veto: true}], approvals: 1}\n",
		"board: {members: [{name: a, key: @0}, {name: b, key: @1}], approvals: 2}\n",
		"board: {members: [{name: a, key: @0}], approvals: 1}\n",
		"board: {members: [{name: a, key: @0}, {name: b, program: x/y}], approvals: 1}\n",
		"board: {members: [{name: a, key: @0}, {name: b, key: @1}], approvals: 1, expires: 71h}\n",
		"board: {members: [{name: a, key: @0}, {name: b, key: @1}], approvals: 1, actions: "
		"[update]}\n",
		"",
	};
	uint8_t first[32], h[32];

	hash_of("board: {members: [{name: a, key: @0}, {name: b, key: @1}], approvals: 1}\n", first);
	for (size_t i = 0; i < sizeof other / sizeof *other; i++) {
		hash_of(other[i], h);
		if (!memcmp(first, h, 32))
			fail_msg("%s: the same hash", other[i]);
	}
	hash_of("board: {expires: 3 days, approvals: \"1\", actions: [delete, update], members: [{key: @0, "
		"name: a, veto: false}, {name: b, key: @1}]}\n",
		h);
	assert_memory_equal(first, h, 32);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(read_whole),
		cmocka_unit_test(refused),
		cmocka_unit_test(keys_of_other_types),
		cmocka_unit_test(lock_out_is_warned_of),
		cmocka_unit_test(templates_fail_closed),
		cmocka_unit_test(outcomes),
		cmocka_unit_test(tree_is_the_rule_of_the_language),
		cmocka_unit_test(vote_bytes),
		cmocka_unit_test(every_part_counts_in_the_session_hash),
	};

	return cmocka_run_group_tests(tests, make_keys, NULL);
}
