/* Who may do what: the table of rules and callers, defaults included. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include "crypto/key.h"
#include "policy/session.h"

static const uint8_t creator[32] = {1}, friend[32] = {2}, stranger[32] = {3};

/* policy may hold %1$s: the friend's key hash as text. */
static struct session *make(const char *policy)
{
	char doc[2000], text[1000], key[KEY_HASH_TEXT_MAX];
	struct session *s = NULL;
	struct diag d;

	key_hash_text(friend, key);
	snprintf(text, sizeof text, policy, key);
	snprintf(doc, sizeof doc, "version: \"0.3\"\nname: n\n%s\n", text);
	diag_init(&d);
	if (session_parse(doc, strlen(doc), &s, &d))
		fail_msg("%s", d.entries[0].text);
	diag_free(&d);
	return s;
}

enum who { MAKER, FRIEND, STRANGER, NOBODY, WHO_COUNT };

static void check(const char *policy, enum access_op op, const char *permitted)
{
	static const uint8_t *const callers[] = {creator, friend, stranger, NULL};
	static const char letters[] = "mfsn";
	struct session *s = make(policy);

	for (int w = MAKER; w < WHO_COUNT; w++) {
		bool wanted = strchr(permitted, letters[w]) != NULL;
		struct error err = {0};
		int rc = session_access(
			s, op, &(struct access_facts){.caller = callers[w], .creator = creator}, &err);
		if ((rc == 0) != wanted)
			fail_msg("%s: op %d: caller %c was %s: %s", policy, op, letters[w],
				rc ? "refused" : "permitted", err.text);
		if (rc)
			assert_int_equal(err.code, ERR_ACCESS);
	}
	session_free(s);
}

/* m: the creator, f: the listed key, s: another key, n: nobody known */
static void rules(void **state)
{
	check("", OP_READ, "m");
	check("", OP_UPDATE, "m");
	check("", OP_CREATE_SESSIONS, "m");
	check("", OP_LIST_SESSIONS, "m");
	check("access_policy: {read: ANY}", OP_READ, "mfsn");
	check("access_policy: {read: ANY}", OP_UPDATE, "m");
	check("access_policy: {read: NONE}", OP_READ, "");
	check("access_policy: {read: [NONE]}", OP_READ, "");
	check("access_policy: {read: [CREATOR, %1$s]}", OP_READ, "mf");
	check("access_policy: {read: %1$s}", OP_READ, "f");
	check("access_policy: {update: %1$s}", OP_READ, "m");
	check("access_policy: {update: %1$s}", OP_UPDATE, "f");
}

static void absent_rules_follow_others(void **state)
{
	check("access_policy: {update: %1$s}", OP_CREATE_SESSIONS, "f");
	check("access_policy: {update: %1$s, create_sessions: CREATOR}", OP_CREATE_SESSIONS, "m");
	check("access_policy: {update: NONE}", OP_CREATE_SESSIONS, "");
	/* Whoever may read or create may list. */
	check("access_policy: {create_sessions: %1$s}", OP_LIST_SESSIONS, "mf");
	check("access_policy: {create_sessions: ANY}", OP_LIST_SESSIONS, "mfsn");
	check("access_policy: {read: NONE, update: NONE}", OP_LIST_SESSIONS, "");
	check("access_policy: {read: ANY, list_sessions: NONE}", OP_LIST_SESSIONS, "");
}

static void a_refusal_names_the_rule_and_the_caller_but_no_key_of_the_rule(void **state)
{
	struct session *s = make("access_policy: {read: [CREATOR, %1$s]}");
	char listed[KEY_HASH_TEXT_MAX], maker[KEY_HASH_TEXT_MAX], caller[KEY_HASH_TEXT_MAX];
	struct error err;

	key_hash_text(friend, listed);
	key_hash_text(creator, maker);
	key_hash_text(stranger, caller);
	assert_int_equal(session_access(s, OP_READ,
				 &(struct access_facts){.caller = stranger, .creator = creator}, &err),
		-1);
	assert_non_null(strstr(err.text, "session n: access_policy.read permits CREATOR or 1 listed key"));
	assert_non_null(strstr(err.text, caller));
	assert_null(strstr(err.text, listed));
	assert_null(strstr(err.text, maker));
	assert_int_equal(session_access(s, OP_UPDATE, &(struct access_facts){.creator = creator}, &err), -1);
	assert_non_null(strstr(err.text,
		"access_policy.update (by default) permits CREATOR; the caller showed no certificate"));
	session_free(s);
}

static void one_wrong_bit_of_a_key_is_another_key(void **state)
{
	struct session *s = make("access_policy: {read: %1$s}");

	for (size_t i = 0; i < 256; i++) {
		uint8_t key[32];
		struct error err;

		memcpy(key, friend, sizeof key);
		key[i / 8] ^= (uint8_t)(1u << i % 8);
		assert_int_equal(session_access(s, OP_READ,
					 &(struct access_facts){.caller = key, .creator = creator}, &err),
			-1);
	}
	session_free(s);
}

/* --- rules of several, signers, templates --- */

#define SIGNERS 3
static char signer_pem[SIGNERS][1200]; /* for a double-quoted YAML text */
static uint8_t signer[SIGNERS][32];
static char friend_text[KEY_HASH_TEXT_MAX];

static void escape(const struct buf *b, char *out)
{
	for (size_t i = 0; i < b->len; i++)
		out += sprintf(out, b->data[i] == '\n' ? "\\n" : "%c", b->data[i]);
}

static int make_signers(void **state)
{
	for (size_t i = 0; i < SIGNERS; i++) {
		EVP_PKEY *k = NULL;
		struct buf b;

		buf_init(&b, 4096);
		assert_int_equal(key_generate(i == 1 ? KEY_P384 : KEY_ED25519, &k, NULL), 0);
		assert_int_equal(key_hash(k, signer[i], NULL), 0);
		assert_int_equal(key_public_to_pem(k, &b, NULL), 0);
		escape(&b, signer_pem[i]);
		buf_free(&b);
		EVP_PKEY_free(k);
	}
	key_hash_text(friend, friend_text);
	return 0;
}

/* "@N": signer N; "@f": the friend's key hash. */
static struct session *parse_rules(const char *policy)
{
	char doc[16384];
	size_t at = (size_t)sprintf(doc, "version: \"0.3\"\nname: n\n");
	struct session *s = NULL;
	struct diag d;

	for (const char *p = policy; *p; p++) {
		if (*p == '@' && p[1] >= '0' && p[1] < '0' + SIGNERS)
			at += (size_t)sprintf(doc + at, "{signer: \"%s\"}", signer_pem[*++p - '0']);
		else if (*p == '@' && p[1] == 'f')
			at += (size_t)sprintf(doc + at, "%s", friend_text), p++;
		else
			doc[at++] = *p;
	}
	doc[at++] = '\n';
	diag_init(&d);
	if (session_parse(doc, at, &s, &d))
		fail_msg("%s: %s", policy, d.entries[0].text);
	diag_free(&d);
	return s;
}

/* Who asks: 0, 1, 2 have signed; m the creator, f the friend, s a stranger by TLS; M: the creator is a signer, number 0. */
static bool asks(const struct session *s, enum access_op op, const char *who, template_lookup lookup)
{
	uint8_t signers[SIGNERS][32];
	struct access_facts f = {.creator = creator, .signers = signers, .lookup = lookup};
	struct error err = {0};
	int rc;

	for (; *who; who++) {
		if (*who == 'm' || *who == 'f' || *who == 's')
			f.caller = *who == 'm' ? creator : *who == 'f' ? friend : stranger;
		else if (*who == 'M')
			f.creator_signs = true, f.creator = signer[0];
		else
			memcpy(signers[f.signer_count++], signer[*who - '0'], 32);
	}
	rc = session_access(s, op, &f, &err);
	assert_true(rc == 0 || err.code == ERR_ACCESS);
	return rc == 0;
}

static void table(
	const char *policy, enum access_op op, const char *yes, const char *no, template_lookup lookup)
{
	struct session *s = parse_rules(policy);
	char words[200], *save = NULL;

	snprintf(words, sizeof words, "%s", yes);
	for (char *w = strtok_r(words, " ", &save); w; w = strtok_r(NULL, " ", &save))
		if (!asks(s, op, *w == '-' ? "" : w, lookup))
			fail_msg("%s: %s was refused", policy, w);
	snprintf(words, sizeof words, "%s", no);
	for (char *w = strtok_r(words, " ", &save); w; w = strtok_r(NULL, " ", &save))
		if (asks(s, op, *w == '-' ? "" : w, lookup))
			fail_msg("%s: %s was permitted", policy, w);
	session_free(s);
}

static void rules_of_several(void **state)
{
	table("access_policy: {update: @0}", OP_UPDATE, "0 01 10 012", "- 1 m f 12", NULL);
	table("access_policy: {update: [@0, @f]}", OP_UPDATE, "0 f 01", "- 1 m s", NULL);
	table("access_policy: {update: {require-all: [@0, @1]}}", OP_UPDATE, "01 10 012", "- 0 1 2 02 m",
		NULL);
	table("access_policy: {update: {require-at-least-2: [@0, @1, @2]}}", OP_UPDATE, "01 02 12 012",
		"- 0 1 2 m", NULL);
	table("access_policy: {update: {require-at-least-1: [@0, CREATOR]}}", OP_UPDATE, "0 m 01", "- 1 f",
		NULL);
	table("access_policy: {update: {require-all: [{require-at-least-1: [@0, @1]}, @2]}}", OP_UPDATE,
		"02 12 012", "- 0 2 01", NULL);
	table("access_policy: {update: [{require-all: [@0, @1]}, @2]}", OP_UPDATE, "01 2", "- 0 1", NULL);
	/* create_sessions follows update, with its signers. */
	table("access_policy: {update: {require-all: [@0, @1]}}", OP_CREATE_SESSIONS, "01", "0 m", NULL);
	table("access_policy: {create_sessions: @2}", OP_CREATE_SESSIONS, "2", "0 m", NULL);
	table("access_policy: {create_sessions: @2}", OP_UPDATE, "m", "2", NULL);
}

static void a_key_counts_once(void **state)
{
	table("access_policy: {update: {require-at-least-2: [@0, @0, @1]}}", OP_UPDATE, "01", "0 1", NULL);
	table("access_policy: {update: {require-at-least-2: [CREATOR, @f]}}", OP_UPDATE, "", "m f", NULL);
	/* The same signature given twice is one signer. */
	table("access_policy: {update: {require-at-least-2: [@0, @1]}}", OP_UPDATE, "01", "00", NULL);
	/* A creator that signs and the same key as a signer are one key. */
	table("access_policy: {update: {require-at-least-2: [CREATOR, @0, @1]}}", OP_UPDATE, "M01 M10",
		"M0 M00", NULL);
}

static void a_creator_that_signs(void **state)
{
	table("access_policy: {}", OP_UPDATE, "M0 M01", "M1 Mm Ms M", NULL);
	/* Not for read: a request to read has no signatures. */
	table("access_policy: {}", OP_READ, "", "M0 Mm", NULL);
	/* A TLS creator does not sign. */
	table("access_policy: {}", OP_UPDATE, "m", "0", NULL);
}

static const char *template_kind;
static const void *template_value_bytes;
static size_t template_len;

static bool one_value(void *arg, const char *name, size_t len, struct template_value *ret)
{
	if (len != 1 || *name != 'x' || !template_kind)
		return false;
	*ret = (struct template_value){
		.kind = template_kind, .value = template_value_bytes, .len = template_len};
	return true;
}

static void yields(const char *kind, const char *text)
{
	template_kind = kind;
	template_value_bytes = text;
	template_len = text ? strlen(text) : 0;
}

#define X "secrets: [{name: x, kind: ascii}]\n"

static void templates(void **state)
{
	static const char *const useless[] = {
		"", "ANY", "NONE", "creator", "CREATOR ", "$$SCONE::x$$", "nonsense"};
	char rule[4000];

	yields("ascii", friend_text);
	table(X "access_policy: {read: $$SCONE::x$$}", OP_READ, "f", "- m s", one_value);
	table(X "access_policy: {read: [$$SCONE::x$$]}", OP_READ, "f", "- m s", one_value);
	yields("ascii", "CREATOR");
	table(X "access_policy: {update: {require-at-least-1: [$$SCONE::x$$]}}", OP_UPDATE, "m", "f -",
		one_value);
	for (size_t i = 0; i < sizeof useless / sizeof *useless; i++) {
		yields("ascii", useless[i]);
		table(X "access_policy: {read: $$SCONE::x$$}", OP_READ, "", "- m f s", one_value);
		table(X "access_policy: {read: [$$SCONE::x$$, @f]}", OP_READ, "f", "- m s", one_value);
	}
	/* What does not resolve does not hold, and takes no other entry with it. */
	yields(NULL, NULL);
	table(X "access_policy: {read: [$$SCONE::x$$, @f]}", OP_READ, "f", "- m s", one_value);
	table(X "access_policy: {read: [$$SCONE::x$$, @f]}", OP_READ, "f", "- m s", NULL);
	table(X "access_policy: {update: {require-all: [$$SCONE::x$$, @f]}}", OP_UPDATE, "", "- m f s",
		one_value);
	/* Fragments: a rule, all rules. */
	snprintf(rule, sizeof rule, "[{require-all: [{signer: \"%s\"}, {signer: \"%s\"}]}]", signer_pem[0],
		signer_pem[1]);
	yields("config-fragment", rule);
	table(X "access_policy: {update: $$SCONE::x$$}", OP_UPDATE, "01", "0 1 m -", one_value);
	table(X "access_policy: {read: $$SCONE::x$$}", OP_READ, "", "01 m f",
		one_value); /* no place in read */
	yields("config-fragment", "{read: ANY, update: CREATOR}");
	table(X "access_policy: $$SCONE::x$$", OP_READ, "- m f s", "", one_value);
	table(X "access_policy: $$SCONE::x$$", OP_UPDATE, "m", "- f s", one_value);
	yields("config-fragment", "{read: [$$SCONE::x$$]}"); /* none in a fragment */
	table(X "access_policy: $$SCONE::x$$", OP_READ, "", "- m f s", one_value);
	yields("config-fragment", "{reed: ANY}");
	table(X "access_policy: $$SCONE::x$$", OP_READ, "", "- m f s", one_value);
	yields(NULL, NULL);
	table(X "access_policy: $$SCONE::x$$", OP_READ, "", "- m f s", one_value);
	/* ANY from a template does not fill a place of a node. */
	yields("config-fragment", "ANY");
	table(X "access_policy: {update: {require-all: [$$SCONE::x$$]}}", OP_UPDATE, "", "- m f s",
		one_value);
}

static void a_refusal_tells_of_a_broken_template(void **state)
{
	struct session *s = parse_rules(X "access_policy: {read: [CREATOR, $$SCONE::x$$]}");
	struct error err;

	assert_int_equal(session_access(s, OP_READ,
				 &(struct access_facts){.caller = friend, .creator = creator}, &err),
		-1);
	assert_non_null(strstr(err.text, "template $$SCONE::x$$ does not resolve"));
	session_free(s);
}

static bool warned(const char *policy)
{
	char doc[16384];
	size_t at = (size_t)sprintf(doc, "version: \"0.3\"\nname: n\n");
	struct session *s = NULL;
	bool found = false;
	struct diag d;

	for (const char *p = policy; *p; p++) {
		if (*p == '@' && p[1] == 'f')
			at += (size_t)sprintf(doc + at, "%s", friend_text), p++;
		else if (*p == '@')
			at += (size_t)sprintf(doc + at, "{signer: \"%s\"}", signer_pem[*++p - '0']);
		else
			doc[at++] = *p;
	}
	diag_init(&d);
	assert_int_equal(session_parse(doc, at, &s, &d), 0);
	for (size_t i = 0; i < d.count; i++)
		found |= !strcmp(d.entries[i].name, "W-ACCESS");
	diag_free(&d);
	session_free(s);
	return found;
}

static void rules_that_never_hold_are_warned_of(void **state)
{
	assert_true(warned("access_policy: {update: {require-at-least-2: [@f, @f]}}"));
	assert_true(warned("access_policy: {update: {require-all: [@f, @0]}}"));
	assert_false(warned("access_policy: {update: {require-all: [@0, @1]}}"));
	assert_false(warned("access_policy: {update: {require-all: [@f, CREATOR]}}")); /* may be one key */
	assert_false(warned("access_policy: {update: [{require-all: [@f, @0]}, @1]}"));
	assert_false(warned("access_policy: {update: NONE}"));
}

static void the_hash_knows_every_rule(void **state)
{
	static const char *const policies[] = {"", "access_policy: {update: @0}",
		"access_policy: {update: @1}", "access_policy: {update: [@0, @1]}",
		"access_policy: {update: {require-all: [@0, @1]}}",
		"access_policy: {update: {require-at-least-1: [@0, @1]}}",
		"access_policy: {update: {require-at-least-2: [@0, @1]}}",
		"access_policy: {update: $$SCONE::x$$}", "access_policy: $$SCONE::x$$",
		"access_policy: {read: $$SCONE::x$$}"};
	enum { N = sizeof policies / sizeof *policies };
	uint8_t h[N][32];

	for (size_t i = 0; i < N; i++) {
		char text[400];
		struct session *s;

		snprintf(text, sizeof text, X "%s", policies[i]);
		s = parse_rules(text);
		assert_int_equal(session_hash(s, creator, h[i], NULL), 0);
		for (size_t k = 0; k < i; k++)
			if (!memcmp(h[i], h[k], 32))
				fail_msg("%s and %s have one hash", policies[i], policies[k]);
		session_free(s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rules),
		cmocka_unit_test(absent_rules_follow_others),
		cmocka_unit_test(a_refusal_names_the_rule_and_the_caller_but_no_key_of_the_rule),
		cmocka_unit_test(one_wrong_bit_of_a_key_is_another_key),
		cmocka_unit_test(rules_of_several),
		cmocka_unit_test(a_key_counts_once),
		cmocka_unit_test(a_creator_that_signs),
		cmocka_unit_test(templates),
		cmocka_unit_test(a_refusal_tells_of_a_broken_template),
		cmocka_unit_test(rules_that_never_hold_are_warned_of),
		cmocka_unit_test(the_hash_knows_every_rule),
	};

	return cmocka_run_group_tests(tests, make_signers, NULL);
}
