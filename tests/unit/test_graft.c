/* Templates in places of configuration: fragments, texts, what stays open; the kinds config-fragment, jwt, pgp-key; one-time passwords' secrets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "policy/canonical.h"
#include "policy/session.h"

#define A64 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B64 "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define HEAD "version: \"0.3\"\nname: n\n"
#define DOC(secrets, attestation)                                                                            \
	HEAD "secrets: " secrets "\nservices:\n- {name: s, pwd: /, attestation: " attestation "}\n"
#define SECRETS(text) HEAD "secrets: " text "\n"

/* The secrets that a test's CAS knows. */
struct known {
	const char *name, *kind, *value;
};

static bool look_up(void *arg, const char *name, size_t len, struct template_value *ret)
{
	for (const struct known *k = arg; k && k->name; k++) {
		if (strlen(k->name) != len || memcmp(k->name, name, len))
			continue;
		*ret = (struct template_value){.kind = k->kind, .value = k->value, .len = strlen(k->value)};
		return true;
	}
	return false;
}

static struct session *parse(const char *text, const struct known *known)
{
	struct session *s = NULL;
	struct diag d;
	struct buf out;

	diag_init(&d);
	if (session_parse_bound(text, strlen(text), known ? look_up : NULL, (void *)known, &s, &d)) {
		buf_init(&out, 100000);
		diag_format(&d, "doc", &out);
		fail_msg("%s%s", text, buf_cstr(&out));
	}
	diag_free(&d);
	return s;
}

static void fragments_become_structure(void **state)
{
	/* whole value, a list item that is a list, a list item that is a map, a map value, a leaf */
	static const char *const docs[] = {
		DOC("[{name: f, kind: config-fragment, value: {mrenclave: [" A64 ", " B64 "]}}]",
			"$$SCONE::f$$"),
		DOC("[{name: f, kind: config-fragment, value: [{mrenclave: " A64 "}, {mrenclave: " B64 "}]}]",
			"[$$SCONE::f$$]"),
		DOC("[{name: f, kind: config-fragment, value: {mrenclave: " A64 "}}]",
			"[$$SCONE::f$$, {mrenclave: " B64 "}]"),
		DOC("[{name: f, kind: config-fragment, value: [" A64 ", " B64 "]}]",
			"{mrenclave: $$SCONECAS:f$$}"),
		DOC("[{name: f, kind: config-fragment, value: [" A64 ", " B64 "]}]",
			"{mrenclave: [$$SCONE::f$$]}"),
		DOC("[{name: a, kind: ascii, value: " A64 "}, {name: b, kind: binary, value: " B64 "}]",
			"[{mrenclave: $$SCONE::a$$}, {mrenclave: $$SCONE::b:hex$$}]"),
		DOC("[{name: a, kind: ascii, value: aaaaaaaa}, {name: f, kind: config-fragment, value: "
		    "{mrenclave: "
		    "[$$SCONE::a$$$$SCONE::a$$aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa]}}]",
			"[$$SCONE::f$$, {mrenclave: " B64 "}]"),
	};

	for (size_t i = 0; i < sizeof docs / sizeof *docs; i++) {
		struct session *s = parse(docs[i], NULL);
		const struct service *v = session_service(s, "s");
		size_t found = 0;

		assert_true(s->templated);
		for (size_t k = 0; k < v->attestation_count; k++) {
			assert_false(v->attestation[k].open);
			for (size_t m = 0; m < v->attestation[k].mrenclave_count; m++)
				assert_int_equal(v->attestation[k].mrenclave[m][31], found++ ? 0xbb : 0xaa);
		}
		if (found != 2)
			fail_msg("%s: %zu measurements", docs[i], found);
		session_free(s);
	}
}

static void what_is_not_known_stays_open_until_it_is(void **state)
{
	static const char doc[] = DOC("[{name: f, kind: config-fragment, import: {session: x, secret: f}}, "
				      "{name: g, import: {session: x, secret: g}}, "
				      "{name: k, kind: binary, size: 32}]",
		"[$$SCONE::f$$, {mrenclave: [" B64
		", $$SCONE::g$$]}, {mrenclave: $$SCONE::k:hex$$}, {mrenclave: " A64 "}]");
	static const struct known all[] = {{"f", "config-fragment", "{\"mrenclave\":\"" A64 "\"}"},
		{"g", "ascii", A64}, {"k", "binary", "01234567890123456789012345678901"}, {NULL, NULL, NULL}};
	static const struct known bad[] = {{"f", "config-fragment", "[unclosed"},
		{"g", "config-fragment", "[" A64 "]"}, {NULL, NULL, NULL}};
	struct session *s = parse(doc, NULL);
	const struct service *v = session_service(s, "s");

	assert_int_equal(v->attestation_count, 4);
	for (size_t i = 0; i < 3; i++)
		assert_true(v->attestation[i].open);
	assert_false(v->attestation[3].open);
	session_free(s);
	s = parse(doc, all);
	v = session_service(s, "s");
	assert_int_equal(v->attestation_count, 4);
	for (size_t i = 0; i < 4; i++)
		assert_false(v->attestation[i].open);
	assert_int_equal(v->attestation[1].mrenclave_count, 2);
	assert_int_equal(v->attestation[2].mrenclave[0][0], '0');
	session_free(s);
	s = parse(doc, bad);
	v = session_service(s, "s");
	assert_true(v->attestation[0].open);
	assert_int_equal(v->attestation[1].mrenclave_count, 2);
	assert_true(v->attestation[2].open);
	session_free(s);
}

static void another_sessions_fragment_is_not_scanned(void **state)
{
	static const char doc[] = DOC("[{name: f, kind: config-fragment, import: {session: x, secret: f}}, "
				      "{name: mine, kind: ascii, value: " A64 "}]",
		"[$$SCONE::f$$, {mrenclave: " B64 "}]");
	static const struct known known[] = {
		{"f", "config-fragment", "{\"mrenclave\":\"$$SCONE::mine$$\"}"}, {NULL, NULL, NULL}};
	struct session *s = NULL;
	struct diag d;

	diag_init(&d);
	assert_int_equal(session_parse_bound(doc, strlen(doc), look_up, (void *)known, &s, &d), -1);
	assert_string_equal(d.entries[0].name, "E-HEX");
	diag_free(&d);
}

static void verdicts_skip_what_is_open(void **state)
{
	static const char doc[] =
		HEAD "secrets: [{name: f, import: {session: x, secret: f}}]\nsecurity: {attestation: {mode: "
		     "simulation}}\n"
		     "services:\n- {name: s, pwd: /, attestation: [$$SCONE::f$$, {mrenclave: " A64 "}]}\n"
		     "- {name: t, pwd: /, attestation: $$SCONE::f$$}\n";
	struct session *s = parse(doc, NULL);
	struct verdict v = {.tee = TEE_SIM, .simulated = true};
	struct error err;

	memset(v.measurement, 0xaa, sizeof v.measurement);
	assert_int_equal(attest_rule_check(s, session_service(s, "s"), &v, &err), 0);
	assert_int_equal(attest_rule_check(s, session_service(s, "t"), &v, &err), -1);
	assert_non_null(strstr(err.text, "do not resolve"));
	memset(v.measurement, 0, sizeof v.measurement);
	assert_int_equal(attest_rule_check(s, session_service(s, "t"), &v, &err), -1);
	session_free(s);
}

static void security_and_platforms(void **state)
{
	static const char doc[] =
		HEAD "secrets: [{name: f, import: {session: x, secret: f}}]\n"
		     "security: $$SCONE::f$$\nservices: [{name: s, pwd: /, attestation: {mrenclave: " A64
		     "}, platforms: [$$SCONE::f$$]}]\n";
	static const struct known sim[] = {
		{"f", "config-fragment", "{\"attestation\":{\"mode\":\"simulation\"}}"}, {NULL, NULL, NULL}};
	struct verdict v = {.tee = TEE_SIM, .simulated = true};
	struct session *s = parse(doc, NULL);
	struct error err;
	struct diag d;

	memset(v.measurement, 0xaa, sizeof v.measurement);
	assert_true(s->security_open);
	assert_true(session_service(s, "s")->platforms_open);
	assert_int_equal(attest_rule_check(s, session_service(s, "s"), &v, &err), -1);
	assert_non_null(strstr(err.text, "security"));
	session_free(s);
	/* A map is no platform. */
	diag_init(&d);
	assert_int_equal(session_parse_bound(doc, strlen(doc), look_up, (void *)sim, &s, &d), -1);
	assert_string_equal(d.entries[1].path, "services[0].platforms[0]");
	diag_free(&d);
	s = parse(HEAD "secrets: [{name: f, kind: config-fragment, value: {attestation: {mode: simulation, "
		       "tolerate: [debug-mode]}}}]\n"
		       "security: $$SCONE::f$$\nservices: [{name: s, pwd: /, attestation: {mrenclave: " A64
		       "}}]\n",
		NULL);
	assert_int_equal(s->mode, MODE_SIMULATION);
	assert_int_equal(s->tolerate, 1);
	assert_int_equal(attest_rule_check(s, session_service(s, "s"), &v, &err), 0);
	session_free(s);
}

struct row {
	const char *text, *name, *path, *says;
};

static const struct row refused[] = {
	{DOC("[]", "$$SCONE::x$$"), "E-REF", "services[0].attestation", "x"},
	{DOC("[]", "{mrenclave: [$$SCONE::x$$]}"), "E-REF", "services[0].attestation.mrenclave[0]", "x"},
	{DOC("[]", "{signer: {mrsigner: $$SCONE::x$$, isvprodid: 4}}"), "E-REF",
		"services[0].attestation.signer.mrsigner", "x"},
	{DOC("[]", "{mrenclave: $$SCONE::x}"), "E-TEMPLATE", "services[0].attestation.mrenclave",
		"not closed"},
	{DOC("[{name: a, kind: ascii, value: geheim}]", "{mrenclave: $$SCONE::a$$}"), "E-HEX",
		"services[0].attestation.mrenclave", "value of a secret"},
	{DOC("[{name: f, kind: config-fragment, value: {mrenclave: 00}}]", "$$SCONE::f$$"), "E-HEX",
		"services[0].attestation.mrenclave", "64 are wanted"},
	{DOC("[{name: f, kind: config-fragment, value: {mrenclav: 00}}]", "$$SCONE::f$$"), "E-UNKNOWN",
		"services[0].attestation.mrenclav", "mrenclave?"},
	{DOC("[{name: f, kind: config-fragment, value: []}]", "$$SCONE::f$$"), "E-VALUE",
		"services[0].attestation", "empty"},
	{DOC("[{name: f, kind: config-fragment, value: [" A64 "]}]", "{mrenclave: x$$SCONE::f$$}"), "E-KIND",
		"services[0].attestation.mrenclave", "stands alone"},
	{DOC("[{name: f, kind: config-fragment, value: [" A64 "]}]", "{mrenclave: \"$$SCONE::f:hex$$\"}"),
		"E-KIND", "services[0].attestation.mrenclave", "stands alone"},
	{DOC("[{name: f, kind: config-fragment, value: [$$SCONE::g$$]}, {name: g, kind: config-fragment, "
	     "value: " A64 "}]",
		 "{mrenclave: $$SCONE::f$$}"),
		"E-TEMPLATE", "services[0].attestation.mrenclave[0]", "one level"},
	{SECRETS("[{name: f, kind: config-fragment}]"), "E-MISSING", "secrets[0]", "value"},
	{SECRETS("[{name: f, kind: config-fragment, value: x, size: 3}]"), "E-CONFLICT", "secrets[0].size",
		"no size"},
	{SECRETS("[{name: f, kind: config-fragment, value: x}]") "services: [{name: s, pwd: /, command: "
								 "$$SCONE::f$$, attestation: "
								 "{mrenclave: " A64 "}}]\n",
		"E-KIND", "services[0].command", "no text"},
	{SECRETS("[{name: f, kind: config-fragment, value: x}]") "images: [{name: i, provide_secrets: "
								 "[f]}]\n",
		"E-KIND", "images[0].provide_secrets[0]", "config-fragment"},
	{SECRETS("[{name: p, kind: pgp-key, value: x}]"), "E-CONFLICT", "secrets[0].value", "generated"},
	{SECRETS("[{name: p, kind: pgp-key}]") "services: [{name: s, pwd: /, command: $$SCONE::p$$, "
					       "attestation: {mrenclave: " A64 "}}]\n",
		"E-TEMPLATE", "services[0].command", "asciiarmored"},
#define KEY "{name: k, kind: private-key, key_type: P-384}"
	{SECRETS("[{name: j, kind: jwt, alg: ES384, validity: {for: 1h}}]"), "E-MISSING", "secrets[0]",
		"signer"},
	{SECRETS("[{name: j, kind: jwt, signer: k, validity: {for: 1h}}, " KEY "]"), "E-MISSING",
		"secrets[0]", "alg"},
	{SECRETS("[{name: j, kind: jwt, signer: k, alg: ES384}, " KEY "]"), "E-MISSING", "secrets[0]",
		"validity"},
	{SECRETS("[{name: j, kind: jwt, signer: k, alg: ES256, validity: {for: 1h}}, " KEY "]"), "E-VALUE",
		"secrets[0].alg", "ES384"},
	{SECRETS("[{name: j, kind: jwt, signer: x, alg: ES384, validity: {for: 1h}}]"), "E-REF",
		"secrets[0].signer", "x"},
	{SECRETS("[{name: j, kind: jwt, signer: k, alg: ES384, validity: {for: 1h}}, {name: k, kind: "
		 "private-key}]"),
		"E-KIND", "secrets[0].signer", "P-384"},
	{SECRETS("[{name: j, kind: jwt, signer: k, alg: ES384, validity: {for: 1h}, payload: {exp: x}}, " KEY
		 "]"),
		"E-CONFLICT", "secrets[0].payload.exp", "CAS sets"},
	{SECRETS("[{name: j, kind: jwt, signer: k, alg: ES384, validity: {for: 1h}, payload: {a: [x]}}, " KEY
		 "]"),
		"E-TYPE", "secrets[0].payload.a", "text is wanted"},
	{SECRETS("[{name: j, kind: jwt, signer: k, alg: ES384, validity: {for: 1h}, payload: {a: "
		 "x$$SCONE::k$$}}, " KEY "]"),
		"E-TEMPLATE", "secrets[0].payload.a", "alone"},
	{SECRETS("[{name: j, kind: jwt, signer: k, alg: ES384, validity: {for: 1h}, payload: {a: "
		 "$$SCONE::j$$}}, " KEY "]"),
		"E-CYCLE", "secrets[0].payload.a", "token"},
	{SECRETS("[{name: j, kind: jwt, signer: k, alg: ES384, validity: {for: 1h}, export: {session: "
		 "x}}, " KEY "]"),
		"E-CONFLICT", "secrets[0].export", "nobody else"},
	{HEAD "security: {attestation: {one_time_password_shared_secret: \"1\"}}\n", "E-VALUE",
		"security.attestation.one_time_password_shared_secret", "base32"},
	{HEAD "security: {attestation: {one_time_password_shared_secret: GEZDGNBVGY3TQOJQ}}\n", "E-LENGTH",
		"security.attestation.one_time_password_shared_secret", "80 bits"},
};

static void refuses_each_with_its_name_and_place(void **state)
{
	for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
		const struct row *r = &refused[i];
		const struct diag_entry *e;
		struct session *s = NULL;
		struct diag d;

		diag_init(&d);
		if (!session_parse(r->text, strlen(r->text), &s, &d))
			fail_msg("accepted: %s", r->text);
		e = &d.entries[0];
		if (d.errors != 1 || strcmp(e->name, r->name) || strcmp(e->path, r->path) ||
			!strstr(e->text, r->says) || strstr(e->text, "geheim"))
			fail_msg("%s: %zu errors, first %s %s: %s; wanted %s %s: %s", r->text, d.errors,
				e->name, e->path, e->text, r->name, r->path, r->says);
		diag_free(&d);
	}
}

/* Many templates of a large fragment do not make a tree without bound. */
static void fragments_have_a_bound(void **state)
{
	struct buf b;
	struct session *s;
	struct diag d;

	buf_init(&b, 1 << 20);
	buf_puts(&b, HEAD "secrets: [{name: f, kind: config-fragment, value: [" A64);
	for (int i = 0; i < 2000; i++)
		buf_puts(&b, "," A64);
	buf_puts(&b, "]}]\nservices: [{name: s, pwd: /, attestation: {mrenclave: [$$SCONE::f$$");
	for (int i = 0; i < 2000; i++)
		buf_puts(&b, ",$$SCONE::f$$");
	buf_puts(&b, "]}}]\n");
	diag_init(&d);
	assert_int_equal(session_parse((const char *)b.data, b.len, &s, &d), -1);
	assert_string_equal(d.entries[0].name, "E-YAML");
	diag_free(&d);
	buf_free(&b);
}

static void expands_a_fragment_before_export(void **state)
{
	static const char value[] = "{a: [\"$$SCONE::x$$\", plain, ~], b: 'q\"$$SCONE::x$$'}";
	static const struct known known[] = {{"x", "ascii", "va\"l"}, {NULL, NULL, NULL}};
	struct error err;
	struct buf out;

	buf_init_secret(&out, 10000);
	assert_int_equal(fragment_expand(value, strlen(value), look_up, (void *)known, &out, &err), 0);
	assert_string_equal(buf_cstr(&out), "{\"a\":[\"va\\\"l\",\"plain\",null],\"b\":\"q\\\"va\\\"l\"}");
	buf_reset(&out);
	assert_int_equal(fragment_expand(value, strlen(value), look_up, NULL, &out, &err), -1);
	assert_int_equal(fragment_expand("[", 1, look_up, NULL, &out, &err), -1);
	buf_free(&out);
}

static void the_hash_sees_what_was_written(void **state)
{
	static const uint8_t maker[32] = {0};
	struct session *s =
		parse(HEAD "access_policy: {read: NONE, update: NONE}\nsecrets:\n- {name: f, kind: "
			   "config-fragment, value: {b: 1, a: [x, ~]}}\n"
			   "- {name: g, import: {session: x, secret: g}}\n- {name: p, kind: pgp-key}\n"
			   "- {name: j, kind: jwt, signer: k, alg: ES384, validity: {for: 1h}, payload: "
			   "{sub: s, id: $$SCONE::self::software_identity$$}}\n"
			   "- " KEY "\n"
			   "security: {singleton_enclaves: true, attestation: {mode: simulation, "
			   "one_time_password_shared_secret: "
			   "gezdgnbvgy3tqojqgezdgnbvgy3tqojq}}\n"
			   "services: [{name: s, pwd: /, platforms: [$$SCONE::g$$], "
			   "one_time_password_shared_secret: $$SCONE::g$$, attestation: "
			   "[ {signer: $$SCONE::g$$,   mrenclave: " A64 "}]}]\n",
			NULL);
	struct error err;
	struct buf out;

	buf_init_secret(&out, 100000);
	assert_int_equal(session_canonical(s, maker, &out, &err), 0);
	assert_string_equal(buf_cstr(&out),
		"{\"access_policy\":{\"read\":[\"NONE\"],\"update\":[\"NONE\"]},\"name\":\"n\",\"secrets\":["
		"{\"kind\":\"config-fragment\",\"name\":\"f\",\"value\":"
		"\"7b2261223a5b2278222c6e756c6c5d2c2262223a2231227d\"},"
		"{\"import\":{\"secret\":\"g\",\"session\":\"x\"},\"name\":\"g\"},{\"kind\":\"pgp-key\","
		"\"name\":\"p\"},"
		"{\"alg\":\"ES384\",\"kind\":\"jwt\",\"name\":\"j\",\"payload\":{\"id\":\"$$SCONE::self::"
		"software_identity$$\",\"sub\":\"s\"},"
		"\"signer\":\"k\",\"valid_for\":3600},{\"key_type\":\"P-384\",\"kind\":\"private-key\","
		"\"name\":\"k\"}],"
		"\"security\":{\"attestation\":{\"mode\":\"simulation\",\"one_time_password_shared_secret\":"
		"\"3132333435363738393031323334353637383930\"},\"singleton_enclaves\":true},"
		"\"services\":[{\"attestation\":[{\"mrenclave\":\"" A64
		"\",\"signer\":\"$$SCONE::g$$\"}],\"name\":\"s\","
		"\"one_time_password_shared_secret\":\"$$SCONE::g$$\",\"platforms\":[\"$$SCONE::g$$\"]}],"
		"\"version\":\"0.3\"}");
	assert_true(s->singleton);
	assert_true(session_service(s, "s")->otp_open);
	assert_int_equal(s->otp.len, 20);
	buf_free(&out);
	session_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fragments_become_structure),
		cmocka_unit_test(what_is_not_known_stays_open_until_it_is),
		cmocka_unit_test(another_sessions_fragment_is_not_scanned),
		cmocka_unit_test(verdicts_skip_what_is_open),
		cmocka_unit_test(security_and_platforms),
		cmocka_unit_test(refuses_each_with_its_name_and_place),
		cmocka_unit_test(fragments_have_a_bound),
		cmocka_unit_test(expands_a_fragment_before_export),
		cmocka_unit_test(the_hash_sees_what_was_written),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
