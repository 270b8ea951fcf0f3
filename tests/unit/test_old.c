/* Documents of language versions 0.1 and 0.2: what loads and into what, what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include "policy/canonical.h"
#include "policy/session.h"

#define HEX64 "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define V2 "version: \"0.2\"\nname: n\n"

static struct session *parse(const char *text, size_t warnings)
{
	struct session *s = NULL;
	struct diag d;
	struct buf out;

	diag_init(&d);
	buf_init(&out, 100000);
	if (session_parse(text, strlen(text), &s, &d) || d.count != warnings) {
		diag_format(&d, "doc", &out);
		fail_msg("%s%s", text, buf_cstr(&out));
	}
	buf_free(&out);
	diag_free(&d);
	return s;
}

static void version_0_1(void **state)
{
	struct session *s =
		parse("name: a:b/c\ndigest: whatever\npredecessor: null\ntags: [x]\n"
		      "services: [{name: s, command: x, pwd: /, mrenclaves: [" HEX64 "], tags: [t]}]\n"
		      "images: [{name: i, mrenclaves: [zz], tags: [t], volumes: [{name: v, path: "
		      "/v}]}]\nvolumes: [{name: v}]\n",
			5);

	assert_string_equal(s->name, "a:b/c");
	assert_string_equal(s->version, "0.1");
	assert_int_equal(session_service(s, "s")->attestation[0].mrenclave[0][31], 0xff);
	assert_int_equal(s->volume_count, 1);
	session_free(s);
	s = parse("version: 0.1\nname: n\n", 0);
	session_free(s);
}

static void version_0_2(void **state)
{
	struct session *s =
		parse(V2 "services: [{name: s, command: x, pwd: /, mrenclaves: [" HEX64 "]}]\n"
			 "secrets:\n- {name: a, kind: ascii, export: other}\n- {name: b, kind: binary, "
			 "export: [one, \"two:" HEX64 "\"]}\n"
			 "- {name: c, kind: ascii, import: \"store:" HEX64
			 "\"}\n- {name: web, kind: x509, dns: www}\n- {name: ca, kind: session-ca}\n"
			 "volumes: [{name: v, import: store}, {name: w, export: other}]\n",
			0);
	const struct secret_spec *x;

	x = session_secret(s, "b", 1);
	assert_int_equal(x->export_count, 2);
	assert_string_equal(x->exports[1].session, "two");
	assert_true(x->exports[1].has_hash && !x->exports[0].has_hash);
	x = session_secret(s, "c", 1);
	assert_string_equal(x->import.session, "store");
	assert_string_equal(x->import.item, "c");
	x = session_secret(s, "web", 3);
	assert_string_equal(x->private_key, "web key");
	assert_string_equal(x->issuer, "session CA");
	assert_int_equal(session_secret(s, "web key", 7)->kind, SECRET_PRIVATE_KEY);
	assert_false(session_secret(s, "web key", 7)->migrate);
	x = session_secret(s, "ca", 2);
	assert_string_equal(x->certificate_of, "session CA");
	assert_int_equal(x->kind, SECRET_X509_CA);
	x = session_secret(s, "session CA", 10);
	assert_int_equal(x->kind, SECRET_X509_CA);
	assert_string_equal(x->private_key, "session CA key");
	assert_true(session_secret(s, "session CA key", 14)->migrate);
	assert_string_equal(session_volume(s, "v")->import.item, "v");
	assert_string_equal(session_volume(s, "w")->exports[0].to.session, "other");
	session_free(s);
}

/* No key of 0.3 hides in what 0.2 gives: without certificates there is no CA. */
static void only_what_is_needed(void **state)
{
	struct session *s = parse(V2 "secrets: [{name: a, kind: ascii}]\n", 0);

	assert_int_equal(s->secret_count, 1);
	session_free(s);
}

struct row {
	const char *text, *name, *path;
};

static const struct row refused[] = {
	{"name: n\nexports: [x]\n", "E-UNSUPPORTED", "exports"},
	{"name: n\nsecrets: [{name: a, kind: ascii}]\n", "E-UNSUPPORTED", "secrets"},
	{"name: n\nservices: [{name: s, pwd: /, import: x, mrenclaves: [" HEX64 "]}]\n", "E-UNSUPPORTED",
		"services[0].import"},
	{"name: n\nservices: [{name: s, pwd: /}]\n", "E-MISSING", "services[0]"},
	{V2 "digest: x\n", "E-UNSUPPORTED", "digest"},
	{V2 "services: [{name: s, pwd: /}]\n", "E-MISSING", "services[0]"},
	{V2 "secrets: [{name: a, kind: ascii, export: \"x:00\"}]\n", "E-HEX", "secrets[0].export"},
	{V2 "secrets: [{name: a, kind: ascii, export: \"x y\"}]\n", "E-CHARSET", "secrets[0].export"},
	{"version: 0.2\nname: a:b\n", "E-CHARSET", "name"},
	{"version: 0.3\nname: a:b\n", "E-CHARSET", "name"},
	{"version: 0.3\nname: n\nsecrets: [{name: ca, kind: session-ca}]\n", "E-UNSUPPORTED",
		"secrets[0].kind"},
	{"version: 0.3\nname: n\nsecrets: [{name: a, kind: ascii, export: other}]\n", "E-VALUE",
		"secrets[0].export"},
	{"version: 0.3\nname: n\nsecrets: [{name: web, kind: x509}]\n", "E-MISSING", "secrets[0]"},
	{"version: 0.3\nname: n\npredecessor: " HEX64 "\nnamespace_hash: " HEX64 "\n", "E-CONFLICT",
		"namespace_hash"},
	{"version: 0.3\nname: n\nnamespace_hash: 00\n", "E-HEX", "namespace_hash"},
	{"version: 0.4\nname: n\n", "E-VERSION", "version"},
	{"version: 0.3\nname: //\n", "E-CHARSET", "name"},
};

static void refuses_each_with_its_name_and_place(void **state)
{
	for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
		const struct row *r = &refused[i];
		struct session *s = NULL;
		struct diag d;

		diag_init(&d);
		if (!session_parse(r->text, strlen(r->text), &s, &d))
			fail_msg("accepted: %s", r->text);
		if (d.errors != 1 || strcmp(d.entries[0].name, r->name) || strcmp(d.entries[0].path, r->path))
			fail_msg("%s: %zu errors, first %s %s: %s", r->text, d.errors, d.entries[0].name,
				d.entries[0].path, d.entries[0].text);
		diag_free(&d);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(version_0_1),
		cmocka_unit_test(version_0_2),
		cmocka_unit_test(only_what_is_needed),
		cmocka_unit_test(refuses_each_with_its_name_and_place),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
