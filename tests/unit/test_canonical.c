/* The session hash: the exact canonical form, what does not change it, and what must. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>
#include "policy/canonical.h"
#include "policy/session.h"

#define HEX64 "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF"
#define HEX64_LOWER "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define HEAD "version: \"0.3\"\nname: n\n"

static const uint8_t maker[32] = {0xab}, other_maker[32] = {0xac};

static struct session *parse(const char *text)
{
	struct session *s = NULL;
	struct diag d;

	diag_init(&d);
	if (session_parse(text, strlen(text), &s, &d))
		fail_msg("%s: %s", text, d.entries[0].text);
	diag_free(&d);
	return s;
}

static void hash_of(const char *text, const uint8_t creator[32], uint8_t ret[32])
{
	struct session *s = parse(text);
	struct error err;

	assert_int_equal(session_hash(s, creator, ret, &err), 0);
	session_free(s);
}

static void check_form(const char *text, const char *wanted)
{
	struct session *s = parse(text);
	struct error err;
	struct buf out;

	buf_init_secret(&out, 100000);
	assert_int_equal(session_canonical(s, maker, &out, &err), 0);
	assert_string_equal(buf_cstr(&out), wanted);
	buf_free(&out);
	session_free(s);
}

#define CREATOR_JSON "\"creator\":\"ab00000000000000000000000000000000000000000000000000000000000000\""

static void has_exactly_this_form(void **state)
{
	check_form(HEAD, "{" CREATOR_JSON ",\"name\":\"n\",\"version\":\"0.3\"}");
	check_form(HEAD "access_policy: {read: ANY, update: [NONE]}\n",
		"{\"access_policy\":{\"read\":[\"ANY\"],\"update\":[\"NONE\"]},\"name\":\"n\",\"version\":"
		"\"0.3\"}");
	check_form(HEAD
		"predecessor: " HEX64
		"\nsalt: 000102030405060708090A0B0C0D0E0F\nsecurity: {attestation: {mode: simulation}}\n"
		"secrets:\n- {name: a, kind: ascii}\n- {name: b, kind: binary, size: 32}\n- {name: c, kind: "
		"ascii, value: hi}\n"
		"- {name: d, kind: ascii, alphabet: alphanumeric, size: 20}\n"
		"images:\n- name: i\n  injection_files: [/a, {path: /b, content: "
		"\"q\\\"\\\\\\n\\0\xc3\xbc\", permission: 0o400}]\n"
		"  provide_secrets: []\n"
		"services:\n- name: s\n  command: [p, '@@2', x@@2]\n  environment: {B: '1', A: $$SCONE::a$$, "
		"\\@\\@H: }\n  pwd: /srv\n"
		"  image_name: i\n  attestation: [{mrenclave: " HEX64 "}]\n",
		"{" CREATOR_JSON ",\"images\":[{\"injection_files\":[{\"path\":\"/"
		"a\"},{\"content\":\"q\\\"\\\\\\u000a\\u0000\xc3\xbc\","
		"\"path\":\"/"
		"b\",\"permission\":256}],\"name\":\"i\",\"provide_secrets\":[]}],\"name\":\"n\","
		"\"predecessor\":\"" HEX64_LOWER "\",\"salt\":\"000102030405060708090a0b0c0d0e0f\","
		"\"secrets\":[{\"kind\":\"ascii\",\"name\":\"a\"},"
		"{\"kind\":\"binary\",\"name\":\"b\",\"size\":32},{\"kind\":\"ascii\",\"name\":\"c\","
		"\"value\":\"6869\"},"
		"{\"alphabet\":\"alphanumeric\",\"kind\":\"ascii\",\"name\":\"d\"}],"
		"\"security\":{\"attestation\":{\"mode\":\"simulation\"}},\"services\":[{\"attestation\":[{"
		"\"mrenclave\":[\"" HEX64_LOWER
		"\"]}],\"command\":[\"p\",2,\"x@@2\"],\"environment\":{\"A\":\"$$SCONE::a$$\",\"B\":\"1\","
		"\"H\":null},\"image_name\":\"i\","
		"\"name\":\"s\",\"pwd\":\"/srv\"}],\"version\":\"0.3\"}");
}

static void code_has_exactly_this_form(void **state)
{
	static const char *const forms[][2] = {
		{"{generated: allow}", "{\"generated\":\"allow\"}"},
		{"{unmeasured: allow, generated: refuse}", "{\"unmeasured\":\"allow\"}"},
		{"{unmeasured: allow, generated: allow}",
			"{\"generated\":\"allow\",\"unmeasured\":\"allow\"}"},
	};

	for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
		char text[1000], wanted[1000];

		snprintf(text, sizeof text,
			HEAD "services: [{name: s, command: a, pwd: /, attestation: {mrenclave: " HEX64
			     "}, code: %s}]\n",
			forms[i][0]);
		snprintf(wanted, sizeof wanted,
			"{" CREATOR_JSON
			",\"name\":\"n\",\"services\":[{\"attestation\":[{\"mrenclave\":[\"" HEX64_LOWER
			"\"]}],\"code\":%s,\"command\":[\"a\"],\"name\":\"s\"}],\"version\":\"0.3\"}",
			forms[i][1]);
		check_form(text, wanted);
	}
}

static void is_sha256_of_domain_and_form(void **state)
{
	static const char input[] =
		"openscone-session-v1\0{" CREATOR_JSON ",\"name\":\"n\",\"version\":\"0.3\"}";
	uint8_t seen[32], wanted[32];

	SHA256((const unsigned char *)input, sizeof input - 1, wanted);
	hash_of(HEAD, maker, seen);
	assert_memory_equal(seen, wanted, 32);
}

#define SERVICE                                                                                              \
	HEAD "services: [{name: s, command: a 'b c', environment: {X: '1', Y: '2'}, pwd: /, attestation: "   \
	     "{mrenclave: " HEX64 "}}]\n"

static void formatting_and_spelt_out_defaults_do_not_count(void **state)
{
	static const struct {
		const char *a, *b;
	} same[] = {
		{HEAD, "# comment\nname: \"n\"\nversion: '0.3'\n"},
		{HEAD, HEAD "predecessor: ~\nsecrets: []\nservices: []\nvolumes: []\nimages: "
			    "[]\nsecret_config: {store_in: !cas }\n"},
		{HEAD, HEAD "access_policy: {read: CREATOR, update: [CREATOR]}\n"},
		{HEAD, HEAD "access_policy: {read: [CREATOR], update: CREATOR, create_sessions: CREATOR, "
			    "list_sessions: [CREATOR]}\n"},
		{HEAD "access_policy: {update: NONE}\n", HEAD
			"access_policy: {update: NONE, create_sessions: NONE, list_sessions: CREATOR}\n"},
		{HEAD "access_policy: {read: ANY}\n",
			HEAD "access_policy: {read: [ANY], list_sessions: ANY}\n"},
		{HEAD, HEAD "security: {attestation: {mode: hardware, tolerate: []}}\n"},
		{HEAD "security: {attestation: {tolerate: [outdated-tcb, debug-mode], ignore_advisories: "
		      "[INTEL-SA-00002, INTEL-SA-00001]}}\n",
			HEAD "security: {attestation: {ignore_advisories: [INTEL-SA-00001, INTEL-SA-00002, "
			     "INTEL-SA-00001], tolerate: [debug-mode, outdated-tcb]}}\n"},
		{SERVICE, HEAD "services: [{name: s, command: [a, b c], environment: {Y: 2, X: 1}, "
			       "mrenclaves: [" HEX64_LOWER "]}]\n"},
		{SERVICE, HEAD "services: [{name: s, command: [a, b c], environment: {Y: 2, X: 1}, "
			       "mrenclaves: [" HEX64 "], code: {unmeasured: refuse, generated: refuse}}]\n"},
		{HEAD "secrets: [{name: a, kind: ascii}]\n",
			HEAD "secrets: [{kind: ascii, size: 20, name: a, alphabet: printable, export_public: "
			     "false}]\n"},
		{HEAD "secrets: [{name: a, kind: ascii, value: x}]\n",
			HEAD "secrets: [{name: a, kind: ascii, value: x, size: 7, alphabet: hex}]\n"},
		{HEAD "secrets: [{name: a, kind: binary, value: ABCD}]\n",
			HEAD "secrets: [{name: a, kind: binary, value: abcd}]\n"},
		{HEAD "images: [{name: i, injection_files: [/a]}]\n",
			HEAD "images: [{name: i, injection_files: [{path: /a, permission: 0o700}]}]\n"},
	};

	for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
		uint8_t a[32], b[32];
		hash_of(same[i].a, maker, a);
		hash_of(same[i].b, maker, b);
		if (memcmp(a, b, 32))
			fail_msg("row %zu: the hashes differ", i);
	}
}

/* All different from each other. */
static const char *const different[] = {
	HEAD,
	"version: 0.3.12\nname: n\n",
	"version: \"0.3\"\nname: m\n",
	HEAD "predecessor: " HEX64 "\n",
	HEAD "security: {attestation: {tolerate: [debug-mode]}}\n",
	HEAD "security: {attestation: {tolerate: [hyperthreading]}}\n",
	HEAD "security: {attestation: {tolerate: [outdated-tcb]}}\n",
	HEAD "security: {attestation: {ignore_advisories: [INTEL-SA-00001]}}\n",
	HEAD "security: {attestation: {ignore_advisories: [INTEL-SA-00002]}}\n",
	HEAD "security: {attestation: {ignore_advisories: '*'}}\n",
	HEAD "services: [{name: s, platforms: [" HEX64 "], attestation: {mrenclave: " HEX64 "}}]\n",
	HEAD "services: [{name: s, platforms: ['INTEL_QE_ID:0011223344556677001122334455667f'], attestation: "
	     "{mrenclave: " HEX64 "}}]\n",
	HEAD "services: [{name: s, attestation: {signer: {mrsigner: " HEX64 ", isvprodid: 1}}}]\n",
	HEAD "services: [{name: s, attestation: {signer: {mrsigner: " HEX64 ", isvprodid: 2}}}]\n",
	HEAD "services: [{name: s, attestation: {signer: {mrsigner: " HEX64 ", isvprodid: 2, isvsvn: 3}}}]\n",
	HEAD "services: [{name: s, attestation: {signer: {mrsigner: " HEX64
	     ", isvprodid: 2, isvsvn_min: 3}}}]\n",
	HEAD "services: [{name: s, attestation: {mrenclave: " HEX64 ", signer: {mrsigner: " HEX64
	     ", isvprodid: 2}}}]\n",
	HEAD "salt: 000102030405060708090a0b0c0d0e0f\n",
	HEAD "salt: 000102030405060708090a0b0c0d0e0e\n",
	HEAD "security: {attestation: {mode: simulation}}\n",
	HEAD "security: {attestation: {mode: none}}\n",
	HEAD "access_policy: {read: ANY}\n",
	HEAD "access_policy: {read: NONE}\n",
	HEAD "access_policy: {update: ANY}\n",
	HEAD "access_policy: {create_sessions: ANY}\n",
	HEAD "access_policy: {list_sessions: ANY}\n",
	HEAD "secrets: [{name: a, kind: ascii}]\n",
	HEAD "secrets: [{name: a, kind: binary}]\n",
	HEAD "secrets: [{name: a, kind: ascii, size: 21}]\n",
	HEAD "secrets: [{name: a, kind: ascii, alphabet: hex}]\n",
	HEAD "secrets: [{name: a, kind: ascii, alphabet: alphanumeric}]\n",
	HEAD "secrets: [{name: a, kind: ascii, value: x}]\n",
	HEAD "secrets: [{name: a, kind: ascii, value: ''}]\n",
	HEAD "secrets: [{name: a, kind: ascii}, {name: b, kind: ascii}]\n",
	HEAD "images: [{name: i}]\n",
	HEAD "images: [{name: i, provide_secrets: []}]\n",
	HEAD "images: [{name: i, injection_files: [/a]}]\n",
	HEAD "images: [{name: i, injection_files: [{path: /a, content: ''}]}]\n",
	HEAD "images: [{name: i, injection_files: [{path: /a, permission: 0o600}]}]\n",
	SERVICE,
	HEAD "services: [{name: s, command: a 'b c', environment: {X: '1', Y: '2'}, pwd: /, attestation: "
	     "{mrenclave: " HEX64 "}, code: {unmeasured: allow}}]\n",
	HEAD "services: [{name: s, command: a 'b c', environment: {X: '1', Y: '2'}, pwd: /, attestation: "
	     "{mrenclave: " HEX64 "}, code: {generated: allow}}]\n",
	HEAD "services: [{name: s, command: a b c, environment: {X: '1', Y: '2'}, pwd: /, attestation: "
	     "{mrenclave: " HEX64 "}}]\n",
	HEAD "services: [{name: s, command: a 'b c', environment: {X: '1', Y: '3'}, pwd: /, attestation: "
	     "{mrenclave: " HEX64 "}}]\n",
	HEAD "services: [{name: s, command: a 'b c', environment: {X: '1', \\@\\@Y: }, pwd: /, attestation: "
	     "{mrenclave: " HEX64 "}}]\n",
	HEAD "services: [{name: s, command: a '@@1', environment: {X: '1', Y: '2'}, pwd: /, attestation: "
	     "{mrenclave: " HEX64 "}}]\n",
	HEAD "services: [{name: s, environment: {X: '1', Y: '2'}, pwd: /, attestation: {mrenclave: " HEX64
	     "}}]\n",
	HEAD "services: [{name: s, command: a 'b c', environment: {X: '1', Y: '2'}, pwd: /x, attestation: "
	     "{mrenclave: " HEX64 "}}]\n",
	HEAD "services: [{name: s, command: a 'b c', environment: {X: '1', Y: '2'}, pwd: /, attestation: "
	     "{mrenclave: [" HEX64 ", " HEX64 "]}}]\n",
	HEAD "services: [{name: s, command: a 'b c', environment: {X: '1', Y: '2'}, pwd: /, attestation: "
	     "[{mrenclave: " HEX64 "}, {mrenclave: " HEX64 "}]}]\n",
};

static void every_part_counts(void **state)
{
	enum { N = sizeof different / sizeof *different };
	static uint8_t hashes[N][32];

	for (size_t i = 0; i < N; i++) {
		hash_of(different[i], maker, hashes[i]);
		for (size_t k = 0; k < i; k++)
			if (!memcmp(hashes[i], hashes[k], 32))
				fail_msg("rows %zu and %zu have one hash", k, i);
	}
}

static void the_creator_counts_where_a_rule_speaks_of_it(void **state)
{
	static const char without[] = HEAD "access_policy: {read: ANY, update: NONE}\n";
	uint8_t a[32], b[32];

	hash_of(HEAD, maker, a);
	hash_of(HEAD, other_maker, b);
	assert_memory_not_equal(a, b, 32);
	hash_of(without, maker, a);
	hash_of(without, other_maker, b);
	assert_memory_equal(a, b, 32);
	hash_of(HEAD "access_policy: {read: ANY, update: NONE, create_sessions: CREATOR}\n", maker, a);
	hash_of(HEAD "access_policy: {read: ANY, update: NONE, create_sessions: CREATOR}\n", other_maker, b);
	assert_memory_not_equal(a, b, 32);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(has_exactly_this_form),
		cmocka_unit_test(code_has_exactly_this_form),
		cmocka_unit_test(is_sha256_of_domain_and_form),
		cmocka_unit_test(formatting_and_spelt_out_defaults_do_not_count),
		cmocka_unit_test(every_part_counts),
		cmocka_unit_test(the_creator_counts_where_a_rule_speaks_of_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
