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
		int rc = session_access(s, op, creator, callers[w], &err);
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
	assert_int_equal(session_access(s, OP_READ, creator, stranger, &err), -1);
	assert_non_null(strstr(err.text, "session n: access_policy.read permits CREATOR or 1 listed key"));
	assert_non_null(strstr(err.text, caller));
	assert_null(strstr(err.text, listed));
	assert_null(strstr(err.text, maker));
	assert_int_equal(session_access(s, OP_UPDATE, creator, NULL, &err), -1);
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
		assert_int_equal(session_access(s, OP_READ, creator, key, &err), -1);
	}
	session_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rules),
		cmocka_unit_test(absent_rules_follow_others),
		cmocka_unit_test(a_refusal_names_the_rule_and_the_caller_but_no_key_of_the_rule),
		cmocka_unit_test(one_wrong_bit_of_a_key_is_another_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
