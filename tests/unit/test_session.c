/* Session documents: what loads and into what, and one document for every way to be refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "crypto/key.h"
#include "crypto/x509.h"
#include "policy/session.h"

#define HEX64 "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF"
#define HEAD "version: \"0.3\"\nname: n\n"
#define SERVICE HEAD "services:\n- name: s\n  pwd: /\n  attestation: {mrenclave: " HEX64 "}\n"

static struct session *parse_ok(const char *text, const char *warning)
{
	struct session *s = NULL;
	struct diag d;
	struct buf out;

	diag_init(&d);
	buf_init(&out, 100000);
	if (session_parse(text, strlen(text), &s, &d)) {
		diag_format(&d, "doc", &out);
		fail_msg("%s", buf_cstr(&out));
	}
	if (d.count != (warning ? 1 : 0) || (warning && strcmp(d.entries[0].name, warning))) {
		diag_format(&d, "doc", &out);
		fail_msg("wanted %s, got:\n%s", warning ? warning : "no warning",
			out.len ? buf_cstr(&out) : "nothing");
	}
	buf_free(&out);
	diag_free(&d);
	return s;
}

static void loads_a_namespace(void **state)
{
	struct session *s = parse_ok("name: a/b.c~d-e_F\nversion: 0.3.12\npredecessor: ~\n", NULL);

	assert_string_equal(s->name, "a/b.c~d-e_F");
	assert_string_equal(s->version, "0.3.12");
	assert_false(s->has_predecessor);
	assert_int_equal(s->mode, MODE_HARDWARE);
	assert_false(s->read.present);
	session_free(s);
}

static const char full[] =
	"---\n"
	"version: 0.3\n"
	"name: shop/db\n"
	"predecessor: " HEX64 "\n"
	"salt: 000102030405060708090A0B0C0D0E0F\n"
	"secret_config: {store_in: !cas }\n"
	"volumes: []\n"
	"security: {attestation: {mode: hardware, tolerate: [], must_be_sgx_local: false, url: ~}}\n"
	"services:\n"
	"- name: db\n"
	"  image_name: registry.example/db:11\n"
	"  command: mysqld \"--a b\" 'c\"d' e\"f g\"h '' \\\"x y\\\" @@3 x@@1 $$SCONE::pw$$\n"
	"  environment:\n"
	"    TZ: UTC\n"
	"    HEAP: 1G\n"
	"    N: 7\n"
	"    E: \"\"\n"
	"    PW: $$SCONE::pw|escape(json)$$\n"
	"    \\@\\@HOSTNAME: ignored\n"
	"    \"@@HOME\":\n"
	"  pwd: /srv\n"
	"  persistency: None\n"
	"  attestation:\n"
	"  - mrenclave: [" HEX64 ", " HEX64 "]\n"
	"  - {mrenclave: " HEX64 "}\n"
	"images:\n"
	"- name: registry.example/db:11\n"
	"  volumes: []\n"
	"  injection_files:\n"
	"  - /etc/key\n"
	"  - path: /etc/conf\n"
	"    content: |\n"
	"      key=$$SCONECAS:raw:hex$$\n"
	"    permission: 0o640\n"
	"  - {path: /etc/old, permission: 0444, content: \"a\\0b\"}\n"
	"  provide_secrets: [pw]\n"
	"secrets:\n"
	"- {name: pw, kind: ascii, size: \"30\"}\n"
	"- {name: raw, kind: binary}\n"
	"- {name: fixed, kind: binary, value: 00fF}\n"
	"- {name: text, kind: ascii, value: \"$$SCONE::nobody$$\"}\n"
	"- {name: none, kind: ascii, value: \"\", export_public: false}\n"
	"- {name: key, kind: ascii, size: 64, alphabet: hex}\n";

static void check_full_service(const struct session *s)
{
	static const char *const words[] = {
		"mysqld", "--a b", "c\"d", "ef gh", "", "\\x y\\", NULL, "x@@1", "$$SCONE::pw$$"};
	const struct service *v = session_service(s, "db");

	assert_non_null(v);
	assert_int_equal(v->argc, 9);
	for (size_t i = 0; i < v->argc; i++) {
		if (words[i])
			assert_string_equal(v->argv[i].text, words[i]);
		assert_int_equal(v->argv[i].host, words[i] ? 0 : 3);
	}
	assert_int_equal(v->envc, 7);
	assert_string_equal(v->env[1].value, "1G");
	assert_string_equal(v->env[3].value, "");
	assert_string_equal(v->env[5].name, "HOSTNAME");
	assert_true(v->env[5].host);
	assert_string_equal(v->env[6].name, "HOME");
	assert_true(v->env[6].host);
	assert_string_equal(v->pwd, "/srv");
	assert_int_equal(v->attestation_count, 2);
	assert_int_equal(v->attestation[0].mrenclave_count, 2);
	assert_int_equal(v->attestation[1].mrenclave[0][31], 0xff);
}

static void loads_all_that_this_version_supports(void **state)
{
	struct session *s = parse_ok(full, NULL);
	const struct image *im = session_image(s, "registry.example/db:11");

	assert_true(s->has_predecessor);
	assert_int_equal(s->predecessor[1], 0x11);
	assert_true(s->has_salt);
	assert_int_equal(s->salt[15], 15);
	check_full_service(s);
	assert_non_null(im);
	assert_int_equal(im->file_count, 3);
	assert_false(im->files[0].has_content);
	assert_int_equal(im->files[0].mode, 0700);
	assert_string_equal(im->files[1].content, "key=$$SCONECAS:raw:hex$$\n");
	assert_int_equal(im->files[1].mode, 0640);
	assert_int_equal(im->files[2].mode, 0444);
	assert_int_equal(im->files[2].content_len, 3);
	assert_memory_equal(im->files[2].content, "a\0b", 3);
	assert_true(im->has_provide_secrets);
	assert_int_equal(im->provide_count, 1);
	assert_int_equal(s->secret_count, 6);
	assert_int_equal(session_secret(s, "pw", 2)->size, 30);
	assert_int_equal(session_secret(s, "raw", 3)->size, 20);
	assert_int_equal(session_secret(s, "fixed", 5)->value.len, 2);
	assert_memory_equal(session_secret(s, "fixed", 5)->value.data, "\x00\xff", 2);
	assert_memory_equal(session_secret(s, "text", 4)->value.data, "$$SCONE::nobody$$", 17);
	assert_true(session_secret(s, "none", 4)->has_value);
	assert_int_equal(session_secret(s, "none", 4)->value.len, 0);
	assert_int_equal(session_secret(s, "key", 3)->alphabet, ALPHABET_HEX);
	assert_null(session_secret(s, "ke", 2));
	assert_null(session_service(s, "d"));
	session_free(s);
}

/* Section 4.3 of the reference, with what a session needs around it. */
static void loads_the_example_of_host_arguments(void **state)
{
	struct session *s = parse_ok(
		"version: \"0.3\"\nname: reports\nsecurity: {attestation: {mode: none}}\n"
		"services:\n  - name: report\n    command: [\"report-tool\", \"--strict\", \"@@1\"]\n"
		"    environment: {TZ: UTC, \\@\\@HOSTNAME: }\n    pwd: /srv\n",
		"W-MODE");

	assert_int_equal(s->mode, MODE_NONE);
	assert_int_equal(s->services[0].argv[2].host, 1);
	assert_true(s->services[0].env[1].host);
	session_free(s);
}

static void a_service_without_a_command_has_no_words(void **state)
{
	struct session *s = parse_ok(SERVICE, NULL);

	assert_int_equal(s->services[0].argc, 0);
	session_free(s);
}

/* Each of the two is refused unless the service says otherwise; only unmeasured code is warned of. */
static void code_is_refused_unless_allowed(void **state)
{
	static const struct {
		const char *code, *warning;
		bool unmeasured, generated;
	} rows[] = {
		{"", NULL, false, false},
		{"  code: {}\n", NULL, false, false},
		{"  code: {unmeasured: refuse, generated: refuse}\n", NULL, false, false},
		{"  code: {generated: allow}\n", NULL, false, true},
		{"  code: {unmeasured: allow}\n", "W-CODE", true, false},
		{"  code: {unmeasured: allow, generated: allow}\n", "W-CODE", true, true},
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		char text[1000];
		struct session *s;

		snprintf(text, sizeof text, SERVICE "%s", rows[i].code);
		s = parse_ok(text, rows[i].warning);
		assert_int_equal(s->services[0].allow_unmeasured, rows[i].unmeasured);
		assert_int_equal(s->services[0].allow_generated, rows[i].generated);
		session_free(s);
	}
}

struct case_row {
	const char *text;
	const char *name; /* of the one error */
	const char *path;
	int line, column;
	const char *says; /* part of the text */
};

#define SECRETS(list) HEAD "secrets: " list "\n"
#define FILES(list) HEAD "images: [{name: i, injection_files: " list "}]\n"
#define SECURITY(map) HEAD "security: " map "\n"
#define ACCESS(map) HEAD "access_policy: " map "\n"
#define ATTEST(value) HEAD "services:\n- name: s\n  pwd: /\n  attestation: " value "\n"

static const struct case_row refused[] = {
	{"name: [", "E-YAML", "", 2, 1, NULL},
	{HEAD "salt: *x\n", "E-YAML", "salt", 3, 7, "alias"},
	{HEAD "salt: !cas\n", "E-YAML", "salt", 3, 7, "no place here"},
	{"[a]\n", "E-TYPE", "", 1, 1, "list stands here"},
	{HEAD "services: {}\n", "E-TYPE", "services", 3, 11, "a list is wanted"},
	{HEAD "services:\n", "E-TYPE", "services", 3, 10, "a null stands here"},
	{HEAD "secrets: [~]\n", "E-TYPE", "secrets[0]", 3, 11, "map is wanted"},
	{SECRETS("[{name: a, kind: ascii, size: many}]"), "E-TYPE", "secrets[0].size", 3, 40,
		"integer is wanted"},
	{SECRETS("[{name: a, kind: ascii, size: -1}]"), "E-TYPE", "secrets[0].size", 3, 40,
		"integer is wanted"},
	{SECRETS("[{name: a, kind: ascii, value: ~}]"), "E-TYPE", "secrets[0].value", 3, 41, NULL},
	{SERVICE "  environment: {A: ~}\n", "E-TYPE", "services[0].environment.A", 7, 20, "null"},
	{SERVICE "  command: {a: b}\n", "E-TYPE", "services[0].command", 7, 12, NULL},
	{"version: \"0.3\"\n", "E-MISSING", "", 1, 1, "name"},
	{HEAD "services: [{pwd: /, attestation: {mrenclave: " HEX64 "}}]\n", "E-MISSING", "services[0]", 3,
		12, "name"},
	{HEAD "services: [{name: s, pwd: /}]\n", "E-MISSING", "services[0]", 3, 12, "attestation"},
	{SECRETS("[{name: a}]"), "E-MISSING", "secrets[0]", 3, 11, "kind"},
	{FILES("[{content: x}]"), "E-MISSING", "images[0].injection_files[0]", 3, 38, "path"},
	{HEAD "servces: []\n", "E-UNKNOWN", "servces", 3, 1, "did you mean services?"},
	{HEAD "zzzzzzzzzz: []\n", "E-UNKNOWN", "zzzzzzzzzz", 3, 1, "no such key"},
	{SERVICE "  enviroment: {}\n", "E-UNKNOWN", "services[0].enviroment", 7, 3, "environment?"},
	{ATTEST("{mrenclave: " HEX64 ", mrsinger: 1}"), "E-UNKNOWN", "services[0].attestation.mrsinger", 6,
		94, NULL},
	{HEAD "salt: 00\nsalt: 01\n", "E-DUP", "salt", 4, 1, "line 3"},
	{SECRETS("[{name: a, kind: ascii}, {name: a, kind: ascii}]"), "E-DUP", "secrets[1].name", 3, 42,
		NULL},
	{SERVICE "- name: s\n  pwd: /\n  attestation: {mrenclave: " HEX64 "}\n", "E-DUP", "services[1].name",
		7, 9, NULL},
	{FILES("[/a, {path: /a}]"), "E-DUP", "images[0].injection_files[1].path", 3, 49, NULL},
	{HEAD "images: [{name: i}, {name: i}]\n", "E-DUP", "images[1].name", 3, 28, NULL},
	{SERVICE "  environment: {A: x, \\@\\@A: }\n", "E-DUP", "services[0].environment.\\@\\@A", 7, 23,
		NULL},
	{SERVICE "  environment: {\"@@A\": , \\@\\@A: }\n", "E-DUP", "services[0].environment.\\@\\@A", 7, 26,
		NULL},
	{SERVICE "  command: a @@1 @@1\n", "E-DUP", "services[0].command", 7, 12, "@@1"},
	{SECRETS("[{name: a, kind: asci}]"), "E-VALUE", "secrets[0].kind", 3, 27, "did you mean ascii?"},
	{SECRETS("[{name: self, kind: ascii}]"), "E-VALUE", "secrets[0].name", 3, 18, "reserved"},
	{SECRETS("[{name: a, kind: ascii, alphabet: HEX}]"), "E-VALUE", "secrets[0].alphabet", 3, 44, "hex"},
	{SERVICE "  command: \"a 'b\"\n", "E-VALUE", "services[0].command", 7, 12, "quote '"},
	{SERVICE "  command: \" \"\n", "E-VALUE", "services[0].command", 7, 12, "empty"},
	{SERVICE "  command: []\n", "E-VALUE", "services[0].command", 7, 12, "empty"},
	{SERVICE "  command: [a, '@@0']\n", "E-VALUE", "services[0].command[1]", 7, 16, "@@0"},
	{SERVICE "  code: allow\n", "E-TYPE", "services[0].code", 7, 9, "a map is wanted"},
	{SERVICE "  code:\n", "E-TYPE", "services[0].code", 7, 8, "a map is wanted"},
	{SERVICE "  code: {unmeasured: [allow]}\n", "E-TYPE", "services[0].code.unmeasured", 7, 22, NULL},
	{SERVICE "  code: {unmeasured: true}\n", "E-VALUE", "services[0].code.unmeasured", 7, 22,
		"none of allow, refuse"},
	{SERVICE "  code: {generated: alow}\n", "E-VALUE", "services[0].code.generated", 7, 21,
		"did you mean allow?"},
	{SERVICE "  code: {unmeasurd: allow}\n", "E-UNKNOWN", "services[0].code.unmeasurd", 7, 10,
		"did you mean unmeasured?"},
	{SERVICE "  code: {generated: allow, generated: refuse}\n", "E-DUP", "services[0].code.generated", 7,
		28, NULL},
	{SERVICE "  persistency: x\n", "E-VALUE", "services[0].persistency", 7, 16, NULL},
	{ATTEST("{}"), "E-VALUE", "services[0].attestation", 6, 16, NULL},
	{ATTEST("[]"), "E-VALUE", "services[0].attestation", 6, 16, NULL},
	{ATTEST("{mrenclave: []}"), "E-VALUE", "services[0].attestation.mrenclave", 6, 28, NULL},
	{SECURITY("{attestation: {mode: simulated}}"), "E-VALUE", "security.attestation.mode", 3, 32,
		"did you mean simulation?"},
	{SERVICE "  platforms: []\n", "E-VALUE", "services[0].platforms", 7, 14, "empty"},
	{SERVICE "  platforms: [INTEL_QE_ID:12]\n", "E-VALUE", "services[0].platforms[0]", 7, 15,
		"platform is wanted"},
	{ATTEST("{signer: {isvprodid: 4}}"), "E-MISSING", "services[0].attestation.signer", 6, 25,
		"mrsigner"},
	{ATTEST("{signer: {mrsigner: " HEX64 "}}"), "E-MISSING", "services[0].attestation.signer", 6, 25,
		"isvprodid"},
	{ATTEST("{signer: {mrsigner: " HEX64 ", isvprodid: 65536}}"), "E-RANGE",
		"services[0].attestation.signer.isvprodid", 6, 113, NULL},
	{ATTEST("{signer: {mrsigner: " HEX64 ", isvprodid: 1, isvsvn: 2, isvsvn_min: 1}}"), "E-CONFLICT",
		"services[0].attestation.signer.isvsvn", 6, 116, "keep one"},
	{ATTEST("{signer: {mrsigner: " HEX64 ", isvprodid: 1, isvsvn_max: 1, isvsvn_min: 2}}"), "E-VALUE",
		"services[0].attestation.signer.isvsvn_max", 6, 128, "above"},
	{SECURITY("{attestation: {ignore_advisories: [INTEL-SA-123]}}"), "E-VALUE",
		"security.attestation.ignore_advisories[0]", 3, 46, "five digits"},
	{SECURITY("{attestation: {tolerate: [debugging]}}"), "E-VALUE", "security.attestation.tolerate[0]", 3,
		37, NULL},
	{ACCESS("{read: []}"), "E-VALUE", "access_policy.read", 3, 23, "NONE"},
	{HEAD "creator: {signer: x}\n", "E-PEM", "creator.signer", 3, 19, "public key"},
	{ACCESS("{update: {signer: x}}"), "E-PEM", "access_policy.update.signer", 3, 34, "public key"},
	{ACCESS("{update: {require-all: []}}"), "E-VALUE", "access_policy.update.require-all", 3, 39,
		"empty"},
	{ACCESS("{update: {require-all: [CREATOR, ANY]}}"), "E-CONFLICT",
		"access_policy.update.require-all[1]", 3, 49, "alone"},
	{ACCESS("{update: {require-at-least-0: [CREATOR]}}"), "E-RANGE",
		"access_policy.update.require-at-least-0", 3, 26, NULL},
	{ACCESS("{update: {require-at-least-x: [CREATOR]}}"), "E-RANGE",
		"access_policy.update.require-at-least-x", 3, 26, NULL},
	{ACCESS("{update: {require-at-least-2: [CREATOR]}}"), "E-RANGE",
		"access_policy.update.require-at-least-2", 3, 26, NULL},
	{ACCESS("{update: {require-most: [CREATOR]}}"), "E-VALUE", "access_policy.update", 3, 25,
		"require-most"},
	{ACCESS("{list_sessions: {require-all: [CREATOR]}}"), "E-VALUE", "access_policy.list_sessions", 3, 32,
		"no place"},
	{ACCESS("$$SCONE::x$$"), "E-REF", "access_policy", 3, 16, "x"},
	{ACCESS("{read: [CREATOR, $$SCONE::x$$]}"), "E-REF", "access_policy.read[1]", 3, 33, "x"},
	{ACCESS("{read: a$$SCONE::x$$}"), "E-TEMPLATE", "access_policy.read", 3, 23, "one template"},
	{ACCESS("{read: \"$$SCONE::x:crt$$\"}"), "E-TEMPLATE", "access_policy.read", 3, 23, "suffix"},
	{ACCESS("{read: creator}"), "E-VALUE", "access_policy.read", 3, 23, NULL},
	{ACCESS("{read: {signer: x}}"), "E-VALUE", "access_policy.read", 3, 23, "no place in read"},
	{FILES("[a/b]"), "E-VALUE", "images[0].injection_files[0]", 3, 38, "absolute"},
	{FILES("[{path: /a, permission: 640}]"), "E-VALUE", "images[0].injection_files[0].permission", 3, 61,
		"0o640"},
	{FILES("[{path: /a, permission: 0o68}]"), "E-VALUE", "images[0].injection_files[0].permission", 3, 61,
		NULL},
	{FILES("[{path: /a, permission: 0o}]"), "E-VALUE", "images[0].injection_files[0].permission", 3, 61,
		NULL},
	{HEAD "secret_config: {store_in: cas}\n", "E-VALUE", "secret_config.store_in", 3, 27, "!cas"},
	{FILES("[{path: /a, permission: 0o1000}]"), "E-RANGE", "images[0].injection_files[0].permission", 3,
		61, "0o777"},
	{SECRETS("[{name: a, kind: ascii, size: 0}]"), "E-RANGE", "secrets[0].size", 3, 40, "1 to 65536"},
	{SECRETS("[{name: a, kind: binary, size: 65537}]"), "E-RANGE", "secrets[0].size", 3, 41, NULL},
	{SECRETS("[{name: a, kind: ascii, size: 18446744073709551617}]"), "E-RANGE", "secrets[0].size", 3, 40,
		NULL},
	{SERVICE "  command: a @@65536\n", "E-RANGE", "services[0].command", 7, 12, NULL},
	{"version: \"0.3\"\nname: a b\n", "E-CHARSET", "name", 2, 7, "byte 0x20 at 2"},
	{"version: \"0.3\"\nname: a//b\n", "E-CHARSET", "name", 2, 7, "empty segment"},
	{"version: \"0.3\"\nname: //\n", "E-CHARSET", "name", 2, 7, "empty segment"},
	{"version: \"0.3\"\nname: a/../b\n", "E-CHARSET", "name", 2, 7, "\"..\""},
	{"version: \"0.3\"\nname: gr\xc3\xbcn\n", "E-CHARSET", "name", 2, 7, "0xc3"},
	{SERVICE "  environment: {A=B: x}\n", "E-CHARSET", "services[0].environment.A=B", 7, 17, "'='"},
	{SERVICE "  environment: {'': x}\n", "E-CHARSET", "services[0].environment.", 7, 17, "empty"},
	{SERVICE "  environment: {\"@@\": x}\n", "E-CHARSET", "services[0].environment.@@", 7, 17, "empty"},
	{SECRETS("[{name: a:b, kind: ascii}]"), "E-CHARSET", "secrets[0].name", 3, 18, "':'"},
	{SERVICE "  pwd2: /\n", "E-UNKNOWN", "services[0].pwd2", 7, 3, "pwd"},
	{HEAD "services: [{name: s, pwd: '', attestation: {mrenclave: " HEX64 "}}]\n", "E-LENGTH",
		"services[0].pwd", 3, 27, NULL},
	{HEAD "images: [{name: ''}]\n", "E-LENGTH", "images[0].name", 3, 17, NULL},
	{SECRETS("[{name: a, kind: ascii, value: \"x\\0\"}]"), "E-NUL", "secrets[0].value", 3, 41, NULL},
	{SERVICE "  command: [a, \"b\\0\"]\n", "E-NUL", "services[0].command[1]", 7, 16, "character 2"},
	{SERVICE "  environment: {A: \"\\0\"}\n", "E-NUL", "services[0].environment.A", 7, 20, NULL},
	{SERVICE "  environment: {\"A\\0\": x}\n", "E-NUL", "services[0].environment.A", 7, 17, NULL},
	{FILES("[\"/a\\0\"]"), "E-NUL", "images[0].injection_files[0]", 3, 38, NULL},
	{HEAD "predecessor: 00\n", "E-HEX", "predecessor", 3, 14, "2 hex digits; 64"},
	{HEAD "predecessor: " HEX64 "0\n", "E-HEX", "predecessor", 3, 14, "65 hex digits"},
	{HEAD "salt: x0\n", "E-HEX", "salt", 3, 7, "character 1"},
	{HEAD "salt: " HEX64 "\n", "E-HEX", "salt", 3, 7, "32 are wanted"},
	{ATTEST("{mrenclave: [" HEX64 ", zz]}"), "E-HEX", "services[0].attestation.mrenclave[1]", 6, 95,
		NULL},
	{SECRETS("[{name: a, kind: binary, value: abc}]"), "E-HEX", "secrets[0].value", 3, 42, "even"},
	{SECRETS("[{name: a, kind: binary, value: s3cret}]"), "E-HEX", "secrets[0].value", 3, 42,
		"character 1 of the value"},
	{HEAD "creator: |\n  -----BEGIN CERTIFICATE-----\n  eA==\n", "E-PEM", "creator", 3, 10,
		"certificate"},
	{ACCESS("{read: \"-----BEGIN CERTIFICATE-----\"}"), "E-PEM", "access_policy.read", 3, 23, NULL},
	{SERVICE "  command: a $$SCONE::pw$$\n", "E-REF", "services[0].command", 7, 12, "pw"},
	{SECRETS("[{name: mariadb_key, kind: ascii}]") "services:\n- name: s\n  pwd: /\n  environment: {A: "
						       "$$SCONECAS:mariadbkey$$}\n  attestation: "
						       "{mrenclave: " HEX64 "}\n",
		"E-REF", "services[0].environment.A", 7, 20, "did you mean mariadb_key?"},
	{HEAD "images: [{name: i, provide_secrets: [a]}]\n", "E-REF", "images[0].provide_secrets[0]", 3, 38,
		"\"a\""},
	{FILES("[{path: /a, content: \"x\\n$$SCONE::q$$\"}]"), "E-REF",
		"images[0].injection_files[0].content", 3, 58, "line 2"},
	{SERVICE "  mrenclaves: [" HEX64 "]\n", "E-CONFLICT", "services[0].mrenclaves", 7, 3, NULL},
	{SECRETS("[{name: a, kind: binary, alphabet: hex}]"), "E-CONFLICT", "secrets[0].alphabet", 3, 35,
		"binary"},
	{ACCESS("{read: [ANY, CREATOR]}"), "E-CONFLICT", "access_policy.read[0]", 3, 24, "ANY"},
	{ACCESS("{read: [CREATOR, NONE]}"), "E-CONFLICT", "access_policy.read[1]", 3, 33, "NONE"},
	{SERVICE "  command: [a, $$SCONE::x]\n", "E-TEMPLATE", "services[0].command[1]", 7, 16, "not closed"},
	{SERVICE "  environment: {A: \"$$SCONECAS::x$$\"}\n", "E-TEMPLATE", "services[0].environment.A", 7,
		20, "no name"},
	{SECRETS("[{name: a, kind: ascii}]") "images: [{name: i, injection_files: [{path: /x, content: "
					     "$$SCONE::a:hex$$}]}]\n",
		"E-TEMPLATE", "images[0].injection_files[0].content", 4, 58, ":hex"},
	{SECRETS("[{name: a, kind: ascii}]") "images: [{name: i, injection_files: [{path: /x, content: "
					     "'$$SCONE::a|escape(xml)$$'}]}]\n",
		"E-TEMPLATE", "images[0].injection_files[0].content", 4, 58, "escape(json)"},
	{"version: 0.4\nname: n\n", "E-VERSION", "version", 1, 10, "\"0.4\""},
	{"version: 0.3.13\nname: n\n", "E-VERSION", "version", 1, 10, NULL},
	{"version: 0.3.\nname: n\n", "E-VERSION", "version", 1, 10, NULL},
	{"version: 0.3.01\nname: n\n", "E-VERSION", "version", 1, 10, NULL},
};

static void check_refused(const struct case_row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct case_row *r = &rows[i];
		const struct diag_entry *found = NULL;
		struct session *s = NULL;
		struct diag d;

		diag_init(&d);
		if (session_parse(r->text, strlen(r->text), &s, &d) == 0)
			fail_msg("row %zu (%s) was accepted:\n%s", i, r->name, r->text);
		for (size_t k = 0; k < d.count && !found; k++)
			if (!strcmp(d.entries[k].name, r->name))
				found = &d.entries[k];
		/* The second salt's size is an error too; everywhere else the error stands alone. */
		if (!found || (d.errors != 1 && strcmp(r->path, "salt")) || strcmp(found->path, r->path) ||
			found->line != r->line || found->column != r->column ||
			(r->says && !strstr(found->text, r->says))) {
			struct buf out;
			buf_init(&out, 100000);
			diag_format(&d, "doc", &out);
			fail_msg("row %zu: wanted only %s at %d:%d %s, got:\n%s", i, r->name, r->line,
				r->column, r->path, buf_cstr(&out));
		}
		diag_free(&d);
	}
}

static void refuses_each_with_its_name_and_place(void **state)
{
	check_refused(refused, sizeof refused / sizeof *refused);
}

/* Known to the language, beyond this version. The examples of the reference's sections 4.4, 7.3, 10.2 and 14.3 are among them. */
static const struct case_row unsupported[] = {
	{HEAD "board_members: [x]\n", "E-UNSUPPORTED", "board_members", 3, 1, "board"},
	{HEAD "board_policy: {minimum: 2}\n", "E-UNSUPPORTED", "board_policy", 3, 1, "approvals"},
	{HEAD "digest: create\n", "E-UNSUPPORTED", "digest", 3, 1, NULL},
	{HEAD "exports: []\n", "E-UNSUPPORTED", "exports", 3, 1, NULL},
	{HEAD "secret_config: {store_in: !akv {vault: x}}\n", "E-UNSUPPORTED", "secret_config.store_in", 3,
		17, "akv"},
	{SERVICE "  fspf_path: /x\n", "E-UNSUPPORTED", "services[0].fspf_path", 7, 3, NULL},
	{SECRETS("[{name: k, kind: ascii, size: $$SCONE::x$$}]"), "E-UNSUPPORTED", "secrets[0].size", 3, 40,
		"template in size"},
	/* A reference to a secret of a refused kind is no second error. */
	{SECRETS("[{name: c, kind: aad-token}]") "images: [{name: i, provide_secrets: [c], injection_files: "
						 "[{path: /c, content: "
						 "$$SCONE::c:chain$$ $$SCONE::c.key$$}]}]\n",
		"E-UNSUPPORTED", "secrets[0].kind", 3, 27, "kind aad-token"},
	{SECURITY("{service_access_token: ''}"), "E-LENGTH", "security.service_access_token", 3, 34,
		"1 to 1024"},
	{SECURITY("{service_access_token: [x]}"), "E-TYPE", "security.service_access_token", 3, 34, "text"},
	{SECURITY("{attestation: {mode: maa}}"), "E-UNSUPPORTED", "security.attestation.mode", 3, 32, "maa"},
	{SECURITY("{attestation: {must_be_sgx_local: true}}"), "E-UNSUPPORTED",
		"security.attestation.must_be_sgx_local", 3, 26, NULL},
};

static void refuses_by_name_what_it_does_not_support(void **state)
{
	check_refused(unsupported, sizeof unsupported / sizeof *unsupported);
}

static void warns(void **state)
{
	static const struct {
		const char *text, *name;
	} rows[] = {
		{SECURITY("{attestation: {mode: simulation}}"), "W-MODE"},
		{SECURITY("{attestation: {tolerate: [debug-mode]}}"), "W-DEBUG"},
		{SECURITY("{attestation: {tolerate: [maa-managed-tcb]}}"), "W-IGNORED"},
		{SECURITY("{attestation: {tolerate: [local-attestation-trust-cas-tcb]}}"), "W-IGNORED"},
		{SECURITY("{attestation: {certificates: [x]}}"), "W-IGNORED"},
		{SECURITY("{attestation: {min_rsa_signing_key_size: 2048}}"), "W-IGNORED"},
		{SECURITY("{attestation: {ignore_advisories: \"*\"}}"), "W-ADVISORY"},
		{SECURITY("{attestation: {mode: none}}"), "W-MODE"},
		{SECRETS("[{name: a, kind: ascii, size: 3, value: x}]"), "W-IGNORED"},
		{SECRETS("[{name: a, kind: ascii, alphabet: hex, value: x}]"), "W-IGNORED"},
		{HEAD "services: [{name: s, attestation: {mrenclave: " HEX64 "}}]\n", "W-DEFAULT"},
		{SERVICE "  image_name: nowhere\n", "W-REF"},
		{HEAD "services: [{name: s, pwd: /, mrenclaves: [" HEX64 "]}]\n", "W-DEPRECATED"},
		{HEAD "board_members: []\n", "W-DEPRECATED"},
		{HEAD "board_policy: {minimum: 0, timeout: 30}\n", "W-DEPRECATED"},
		{SERVICE "  command: a $$SCONE:x$$\n", "W-TEMPLATE"},
		{"version: 0.3.11\nname: n\nsalt: 000102030405060708090a0b0c0d0e0f\n", "W-VERSION"},
		{"version: 0.3.0\nname: n\nsecurity: {}\n", "W-VERSION"},
		{SECRETS("[{name: a, kind: binary}]") "services: [{name: s, pwd: /, environment: {A: "
						      "$$SCONE::a$$}, attestation: "
						      "{mrenclave: " HEX64 "}}]\n",
			"W-NUL"},
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		session_free(parse_ok(rows[i].text, rows[i].name));
}

static void reports_all_errors_together_in_order(void **state)
{
	static const char text[] =
		"version: \"0.3\"\nname: a b\nsecrets: [{name: x, kind: asci}]\nsekrets: []\n"
		"services: [{name: s, attestation: {mrenclave: [zz, 00]}, command: $$SCONE::y$$}]\n";
	static const char *const names[] = {
		"E-CHARSET", "E-VALUE", "E-UNKNOWN", "W-DEFAULT", "E-HEX", "E-HEX", "E-REF"};
	struct session *s;
	struct diag d;

	diag_init(&d);
	assert_int_equal(session_parse(text, strlen(text), &s, &d), -1);
	assert_int_equal(d.count, 7);
	assert_int_equal(d.errors, 6);
	for (size_t i = 0; i < 7; i++)
		assert_string_equal(d.entries[i].name, names[i]);
	diag_free(&d);
}

/* A document that fills the list with warnings is still refused for the one error behind them. */
static void warnings_do_not_hide_an_error(void **state)
{
	struct session *s;
	struct diag d;
	struct buf doc;

	buf_init(&doc, 1 << 20);
	buf_puts(&doc, HEAD "services:\n");
	for (int i = 0; i < 150; i++)
		buf_printf(&doc, "- {name: s%d, attestation: {mrenclave: " HEX64 "}}\n", i);
	buf_puts(&doc, "- {name: last, attestation: {mrenclave: " HEX64 "}, command: $$SCONE::nope$$}\n");
	diag_init(&d);
	assert_int_equal(session_parse((char *)doc.data, doc.len, &s, &d), -1);
	assert_int_equal(d.errors, 1);
	assert_true(d.truncated);
	assert_string_equal(d.entries[d.count - 1].name, "E-REF");
	diag_free(&d);
	buf_free(&doc);
}

static void explicit_values_stay_out_of_messages(void **state)
{
	static const char *const docs[] = {
		SECRETS("[{name: a, kind: binary, value: geheim}]"),
		SECRETS("[{name: a, kind: ascii, value: {geheim: x}}]"),
		SECRETS("[{name: a, kind: ascii, value: [geheim]}]"),
		SECRETS("[{name: a, kind: ascii, value: \"geheim\\0\"}]"),
		SECRETS("[{name: a, kind: ascii, value: !x geheim}]"),
	};

	for (size_t i = 0; i < sizeof docs / sizeof *docs; i++) {
		struct session *s;
		struct diag d;
		struct buf out;

		diag_init(&d);
		buf_init(&out, 10000);
		assert_int_equal(session_parse(docs[i], strlen(docs[i]), &s, &d), -1);
		diag_format(&d, "doc", &out);
		assert_null(strstr(buf_cstr(&out), "geheim"));
		buf_free(&out);
		diag_free(&d);
	}
}

static void limits_the_words_of_a_command(void **state)
{
	struct session *s = NULL;
	struct diag d;
	struct buf doc;

	buf_init(&doc, 1 << 20);
	buf_puts(&doc, SERVICE "  command: ");
	for (int i = 0; i < 10000; i++)
		buf_puts(&doc, "a ");
	diag_init(&d);
	assert_int_equal(session_parse((char *)doc.data, doc.len, &s, &d), 0);
	assert_int_equal(s->services[0].argc, 10000);
	session_free(s);
	buf_puts(&doc, "b");
	assert_int_equal(session_parse((char *)doc.data, doc.len, &s, &d), -1);
	assert_string_equal(d.entries[0].name, "E-LENGTH");
	diag_free(&d);
	buf_free(&doc);
}

static void limits_the_files_of_an_image(void **state)
{
	struct session *s = NULL;
	struct diag d;
	struct buf doc;

	buf_init(&doc, 1 << 20);
	buf_puts(&doc, HEAD "images:\n- name: i\n  injection_files:\n");
	for (int i = 0; i < 1000; i++)
		buf_printf(&doc, "  - /f%d\n", i);
	diag_init(&d);
	assert_int_equal(session_parse((char *)doc.data, doc.len, &s, &d), 0);
	assert_int_equal(s->images[0].file_count, 1000);
	session_free(s);
	buf_puts(&doc, "  - /one-more\n");
	assert_int_equal(session_parse((char *)doc.data, doc.len, &s, &d), -1);
	assert_string_equal(d.entries[0].name, "E-LENGTH");
	diag_free(&d);
	buf_free(&doc);
}

/* A certificate as creator and in a rule; the rule counts it by its key. */
static void reads_certificates(void **state)
{
	struct session *s = NULL;
	struct error err;
	struct diag d;
	struct buf doc, pem;
	EVP_PKEY *key = NULL;
	X509 *cert = NULL;
	uint8_t hash[32];

	buf_init(&doc, 100000);
	buf_init(&pem, 10000);
	assert_int_equal(key_generate(KEY_P256, &key, &err), 0);
	assert_int_equal(x509_self_signed(key, "test", NULL, NULL, 1, &cert, &err), 0);
	assert_int_equal(x509_to_pem(cert, &pem, &err), 0);
	assert_int_equal(key_hash(key, hash, &err), 0);
	buf_puts(&doc, HEAD "creator: \"");
	for (size_t i = 0; i < pem.len; i++)
		buf_printf(&doc, pem.data[i] == '\n' ? "\\n" : "%c", pem.data[i]);
	buf_puts(&doc, "\"\naccess_policy:\n  update: NONE\n  read:\n  - |\n");
	for (char *line = strtok(buf_cstr(&pem), "\n"); line; line = strtok(NULL, "\n"))
		buf_printf(&doc, "    %s\n", line);
	diag_init(&d);
	assert_int_equal(session_parse((char *)doc.data, doc.len, &s, &d), 0);
	assert_int_equal(s->read.count, 1);
	assert_int_equal(s->read.entries[0].kind, ACCESS_KEY);
	assert_memory_equal(s->read.entries[0].key, hash, 32);
	assert_non_null(s->creator_pem);
	assert_int_equal(d.count, 1);
	assert_string_equal(d.entries[0].name, "W-CREATOR");
	session_free(s);
	diag_free(&d);
	buf_free(&doc);
	buf_free(&pem);
	X509_free(cert);
	EVP_PKEY_free(key);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(loads_a_namespace),
		cmocka_unit_test(loads_all_that_this_version_supports),
		cmocka_unit_test(loads_the_example_of_host_arguments),
		cmocka_unit_test(a_service_without_a_command_has_no_words),
		cmocka_unit_test(code_is_refused_unless_allowed),
		cmocka_unit_test(refuses_each_with_its_name_and_place),
		cmocka_unit_test(refuses_by_name_what_it_does_not_support),
		cmocka_unit_test(warns),
		cmocka_unit_test(reports_all_errors_together_in_order),
		cmocka_unit_test(warnings_do_not_hide_an_error),
		cmocka_unit_test(explicit_values_stay_out_of_messages),
		cmocka_unit_test(limits_the_words_of_a_command),
		cmocka_unit_test(limits_the_files_of_an_image),
		cmocka_unit_test(reads_certificates),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
