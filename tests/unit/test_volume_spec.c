/* volumes and images[].volumes: what loads and into what, every way to be refused, who may import, the canonical form. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include "policy/canonical.h"
#include "policy/session.h"

#define HEX64 "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF"
#define HEX64_LOWER "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define HEX32 "00112233445566778899aabbccddeeff"
#define HEAD "version: \"0.3\"\nname: shop/db\n"
#define VOLUMES(text) HEAD "volumes: " text "\n"
#define IMAGE(text) HEAD "volumes: [{name: v}, {name: w}]\nimages: [{name: i, volumes: " text "}]\n"

static struct session *parse(const char *text)
{
	struct session *s = NULL;
	struct diag d;
	struct buf out;

	diag_init(&d);
	if (session_parse(text, strlen(text), &s, &d)) {
		buf_init(&out, 100000);
		diag_format(&d, "doc", &out);
		fail_msg("%s%s", text, buf_cstr(&out));
	}
	diag_free(&d);
	return s;
}

static const char full[] =
	HEAD "secrets: [{name: k, kind: binary, size: 32}]\n"
	     "volumes:\n"
	     "- {name: data}\n"
	     "- {name: old one, fspf_key: " HEX64 ", fspf_tag: " HEX32 ", files: encrypted}\n"
	     "- {name: with secret, fspf_key: $$SCONE::k$$, fspf_tag: " HEX32 "}\n"
	     "- name: shared\n"
	     "  export:\n"
	     "  - session: ../web\n"
	     "  - /session=other/app\n"
	     "  - {to: {session: last, session_hash: " HEX64
	     "}, update_policy: no_rollback_protection, volume_alias: theirs}\n"
	     "- {name: borrowed, import: {session: ../store, volume: \"big one\"}}\n"
	     "- {name: line, import: \"/session=store,volume=x,session_hash=" HEX64 "\"}\n"
	     "images:\n"
	     "- name: i\n"
	     "  volumes:\n"
	     "  - {name: data, path: /var/lib/mysql}\n"
	     "  - {name: shared, path: /s, update_policy: strict}\n"
	     "  - {name: borrowed, path: /b, update_policy: ephemeral}\n";

static void loads_them_all(void **state)
{
	struct session *s = parse(full);
	const struct volume_spec *v;
	const struct image *im;

	assert_int_equal(s->volume_count, 6);
	assert_false(session_volume(s, "data")->has_key);
	v = session_volume(s, "old one");
	assert_true(v->has_key && !v->key_secret);
	assert_int_equal(v->key[31], 0xff);
	assert_int_equal(v->tag[15], 0xff);
	v = session_volume(s, "with secret");
	assert_string_equal(v->key_secret, "k");
	v = session_volume(s, "shared");
	assert_int_equal(v->export_count, 3);
	assert_string_equal(v->exports[0].to.session, "shop/web");
	assert_int_equal(v->exports[0].policy, UPDATE_ROLLBACK_PROTECTED);
	assert_string_equal(v->exports[1].to.session, "other/app");
	assert_string_equal(v->exports[2].alias, "theirs");
	assert_int_equal(v->exports[2].policy, UPDATE_NO_ROLLBACK_PROTECTION);
	assert_true(v->exports[2].to.has_hash);
	v = session_volume(s, "borrowed");
	assert_true(v->imported);
	assert_string_equal(v->import.session, "shop/store");
	assert_string_equal(v->import.item, "big one");
	v = session_volume(s, "line");
	assert_string_equal(v->import.item, "x");
	assert_true(v->import.has_hash);
	im = session_image(s, "i");
	assert_int_equal(im->volume_count, 3);
	assert_string_equal(im->volumes[0].path, "/var/lib/mysql");
	assert_int_equal(im->volumes[0].policy, UPDATE_ROLLBACK_PROTECTED);
	assert_int_equal(im->volumes[1].policy, UPDATE_STRICT);
	assert_int_equal(im->volumes[2].policy, UPDATE_EPHEMERAL);
	session_free(s);
}

struct row {
	const char *text, *name, *path;
	int line;
	const char *says;
};

#define TREES(list) HEAD "images: [{name: i, trees: " list "}]\n"

static const struct row refused[] = {
	{VOLUMES("{}"), "E-TYPE", "volumes", 3, "list is wanted"},
	{VOLUMES("[x]"), "E-TYPE", "volumes[0]", 3, "map is wanted"},
	{VOLUMES("[{}]"), "E-MISSING", "volumes[0]", 3, "name"},
	{VOLUMES("[{name: \"\"}]"), "E-LENGTH", "volumes[0].name", 3, "1 to 512"},
	{VOLUMES("[{name: \"a\\0b\"}]"), "E-NUL", "volumes[0].name", 3, NULL},
	{VOLUMES("[{name: \"a\\nb\"}]"), "E-CHARSET", "volumes[0].name", 3, "control character at 2"},
	{VOLUMES("[{name: a}, {name: a}]"), "E-DUP", "volumes[1].name", 3, "earlier volume"},
	{VOLUMES("[{name: a, sise: 3}]"), "E-UNKNOWN", "volumes[0].sise", 3, NULL},
	{VOLUMES("[{name: a, fspf_key: " HEX64 "}]"), "E-MISSING", "volumes[0].fspf_key", 3, "fspf_tag"},
	{VOLUMES("[{name: a, fspf_tag: " HEX32 "}]"), "E-MISSING", "volumes[0].fspf_tag", 3, "fspf_key"},
	{VOLUMES("[{name: a, fspf_key: " HEX32 ", fspf_tag: " HEX32 "}]"), "E-HEX", "volumes[0].fspf_key", 3,
		"64 are wanted"},
	{VOLUMES("[{name: a, fspf_key: " HEX64 ", fspf_tag: " HEX64 "}]"), "E-HEX", "volumes[0].fspf_tag", 3,
		"32 are wanted"},
	{VOLUMES("[{name: a, fspf_key: $$SCONE::k$$, fspf_tag: " HEX32 "}]"), "E-REF", "volumes[0].fspf_key",
		3, "no secret k"},
	{VOLUMES("[{name: a, fspf_key: $$SCONE::k$$, fspf_tag: " HEX32
		 "}]") "secrets: [{name: k, kind: ascii}]\n",
		"E-KIND", "volumes[0].fspf_key", 3, "binary of 32"},
	{VOLUMES("[{name: a, fspf_key: $$SCONE::k$$, fspf_tag: " HEX32
		 "}]") "secrets: [{name: k, kind: binary, size: 31}]\n",
		"E-KIND", "volumes[0].fspf_key", 3, "31 bytes"},
	{VOLUMES("[{name: a, fspf_key: $$SCONE::k:hex$$, fspf_tag: " HEX32
		 "}]") "secrets: [{name: k, kind: binary, size: 32}]\n",
		"E-TEMPLATE", "volumes[0].fspf_key", 3, "without a format"},
	{VOLUMES("[{name: a, fspf_key: $$SCONE::k$$x, fspf_tag: " HEX32
		 "}]") "secrets: [{name: k, kind: binary, size: 32}]\n",
		"E-TEMPLATE", "volumes[0].fspf_key", 3, "one template"},
	{VOLUMES("[{name: a, fspf_key: x$$SCONE::k$$, fspf_tag: " HEX32
		 "}]") "secrets: [{name: k, kind: binary, size: 32}]\n",
		"E-HEX", "volumes[0].fspf_key", 3, "no hex digit"},
	{VOLUMES("[{name: a, fspf_key: $$SCONE::k, fspf_tag: " HEX32 "}]"), "E-TEMPLATE",
		"volumes[0].fspf_key", 3, "not closed"},
	{VOLUMES("[{name: a, files: plain}]"), "E-VALUE", "volumes[0].files", 3, "authenticated-only"},
	{VOLUMES("[{name: a, export: x}]"), "E-VALUE", "volumes[0].export", 3, "no reference"},
	{VOLUMES("[{name: a, export: {namespace: x}}]"), "E-CONFLICT", "volumes[0].export", 3, "namespace"},
	{VOLUMES("[{name: a, export: {to: {session: x}, update_policy: never}}]"), "E-VALUE",
		"volumes[0].export.update_policy", 3, "rollback_protected"},
	{VOLUMES("[{name: a, export: {to: {session: x}, alias: y}}]"), "E-UNKNOWN", "volumes[0].export.alias",
		3, NULL},
	{VOLUMES("[{name: a, export: {session: x, volume: y}}]"), "E-CONFLICT", "volumes[0].export.volume", 3,
		"no volume"},
	{VOLUMES("[{name: a, export: {session: ../../../x}}]"), "E-NS", "volumes[0].export.session", 3,
		"above the root"},
	{VOLUMES("[{name: a, export: {cas_url: x, session: y}}]"), "E-CONFLICT", "volumes[0].export", 3,
		"one CAS"},
	{VOLUMES("[{name: a, import: {session: x}}]"), "E-MISSING", "volumes[0].import", 3,
		"volume is wanted"},
	{VOLUMES("[{name: a, import: {volume: x}}]"), "E-MISSING", "volumes[0].import", 3,
		"session is wanted"},
	{VOLUMES("[{name: a, import: {session: x, secret: y}}]"), "E-CONFLICT", "volumes[0].import.secret", 3,
		"by the key volume"},
	{VOLUMES("[{name: a, import: {namespace: x, volume: y}}]"), "E-CONFLICT", "volumes[0].import", 3,
		"not a namespace"},
	{VOLUMES("[{name: a, import: {session: shop/db, volume: b}}]"), "E-CYCLE", "volumes[0].import", 3,
		NULL},
	{VOLUMES("[{name: a, import: {session: x, volume: b}, export: {session: y}}]"), "E-CONFLICT",
		"volumes[0].export", 3, "exclude each other"},
	{VOLUMES("[{name: a, import: {session: x, volume: b}, fspf_tag: " HEX32 "}]"), "E-CONFLICT",
		"volumes[0].fspf_tag", 3, "exclude each other"},
	{IMAGE("{}"), "E-TYPE", "images[0].volumes", 4, NULL},
	{IMAGE("[{name: v}]"), "E-MISSING", "images[0].volumes[0]", 4, "path"},
	{IMAGE("[{path: /x}]"), "E-MISSING", "images[0].volumes[0]", 4, "name"},
	{IMAGE("[{name: x, path: /x}]"), "E-REF", "images[0].volumes[0].name", 4,
		"no volume of this session"},
	{IMAGE("[{name: v, path: x}]"), "E-VALUE", "images[0].volumes[0].path", 4, "absolute"},
	{IMAGE("[{name: v, path: /x}, {name: w, path: /x}]"), "E-DUP", "images[0].volumes[1].path", 4, "/x"},
	{IMAGE("[{name: v, path: /x}, {name: v, path: /y}]"), "E-DUP", "images[0].volumes[1].name", 4,
		"one place"},
	{IMAGE("[{name: v, path: /x, update_policy: rollback_protect}]"), "E-VALUE",
		"images[0].volumes[0].update_policy", 4, "did you mean rollback_protected?"},
	{IMAGE("[{name: v, path: /x, cache_size: much}]"), "E-VALUE", "images[0].volumes[0].cache_size", 4,
		"number of bytes"},
	{IMAGE("[{name: v, path: /x, cache_size: 32MB}]"), "E-VALUE", "images[0].volumes[0].cache_size", 4,
		NULL},
	{IMAGE("[{name: v, path: /x, cache_size: M}]"), "E-VALUE", "images[0].volumes[0].cache_size", 4,
		NULL},
	{IMAGE("[{name: v, path: /x, cache_size: -1}]"), "E-VALUE", "images[0].volumes[0].cache_size", 4,
		NULL},
	{IMAGE("[{name: v, path: /x, cache_size: 1M}]"), "E-RANGE", "images[0].volumes[0].cache_size", 4,
		"2M"},
	{IMAGE("[{name: v, path: /x, cache_size: 65G}]"), "E-RANGE", "images[0].volumes[0].cache_size", 4,
		"64G"},
	{IMAGE("[{name: v, path: /x, cache_size: 18446744073709551617}]"), "E-RANGE",
		"images[0].volumes[0].cache_size", 4, NULL},
	{TREES("{}"), "E-TYPE", "images[0].trees", 3, "list is wanted"},
	{TREES("[{root: " HEX64 "}]"), "E-MISSING", "images[0].trees[0]", 3, "path"},
	{TREES("[{path: /x}]"), "E-MISSING", "images[0].trees[0]", 3, "neither root nor signer"},
	{TREES("[{path: x, root: " HEX64 "}]"), "E-VALUE", "images[0].trees[0].path", 3, "absolute"},
	{TREES("[{path: /, root: " HEX64 "}]"), "E-VALUE", "images[0].trees[0].path", 3, "below /"},
	{TREES("[{path: /x, host: y, root: " HEX64 "}]"), "E-VALUE", "images[0].trees[0].host", 3,
		"absolute"},
	{TREES("[{path: /x, manifest: y, root: " HEX64 "}]"), "E-VALUE", "images[0].trees[0].manifest", 3,
		NULL},
	{TREES("[{path: /x, root: " HEX32 "}]"), "E-HEX", "images[0].trees[0].root", 3, "64 are wanted"},
	{TREES("[{path: /x, signer: nobody}]"), "E-VALUE", "images[0].trees[0].signer", 3, NULL},
	{TREES("[{path: /x, sign: x, root: " HEX64 "}]"), "E-UNKNOWN", "images[0].trees[0].sign", 3, NULL},
	{TREES("[{path: /x, root: " HEX64 "}, {path: /x, root: " HEX64 "}]"), "E-DUP",
		"images[0].trees[1].path", 3, "/x"},
};

static void refuses_each_with_its_name_and_place(void **state)
{
	for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
		const struct row *r = &refused[i];
		struct session *s = NULL;
		struct diag d;
		const struct diag_entry *e;

		diag_init(&d);
		if (!session_parse(r->text, strlen(r->text), &s, &d))
			fail_msg("accepted: %s", r->text);
		e = &d.entries[0];
		if (d.count != 1 || strcmp(e->name, r->name) || strcmp(e->path, r->path) ||
			e->line != r->line || (r->says && !strstr(e->text, r->says)))
			fail_msg("%s: %zu entries, first %s %s:%d %s; wanted %s %s:%d %s", r->text, d.count,
				e->name, e->path, e->line, e->text, r->name, r->path, r->line,
				r->says ? r->says : "");
		diag_free(&d);
	}
}

static void exports_to_whom_it_says(void **state)
{
	static const uint8_t any[SESSION_HASH_LEN] = {1};
	struct session *s = parse(
		HEAD "volumes: [{name: a, export: [{session: web}, {to: {session: app}, volume_alias: b}, "
		     "{to: {session: pinned, session_hash: " HEX64 "}, update_policy: ephemeral}]}]\n");
	const struct volume_spec *v = session_volume(s, "a");
	uint8_t pinned[SESSION_HASH_LEN];

	memcpy(pinned, v->exports[2].to.hash, sizeof pinned);
	assert_ptr_equal(volume_export_for(v, "a", "web", any), &v->exports[0]);
	assert_null(volume_export_for(v, "a", "web/child", any));
	assert_null(volume_export_for(v, "a", "we", any));
	assert_null(volume_export_for(v, "a", "app", any));
	assert_ptr_equal(volume_export_for(v, "b", "app", any), &v->exports[1]);
	assert_null(volume_export_for(v, "a", "pinned", any));
	assert_ptr_equal(volume_export_for(v, "a", "pinned", pinned), &v->exports[2]);
	session_free(s);
}

static void an_exporter_limits_the_policy(void **state)
{
	static const bool allowed[4][4] = {
		/* wanted: rollback_protected, ephemeral, no_rollback_protection, strict */
		[UPDATE_ROLLBACK_PROTECTED] = {true, true, false, true},
		[UPDATE_EPHEMERAL] = {false, true, false, false},
		[UPDATE_NO_ROLLBACK_PROTECTION] = {true, true, true, true},
		[UPDATE_STRICT] = {false, true, false, true},
	};

	for (unsigned int limit = 0; limit < 4; limit++)
		for (unsigned int wanted = 0; wanted < 4; wanted++)
			assert_int_equal(update_policy_allows(limit, wanted), allowed[limit][wanted]);
}

static void has_exactly_this_form(void **state)
{
	static const uint8_t maker[32] = {0};
	struct session *s = parse(HEAD
		"access_policy: {read: NONE, update: NONE}\nsecrets: [{name: k, kind: binary, size: 32}]\n"
		"volumes:\n- {name: a, files: encrypted}\n- {name: b, fspf_tag: " HEX32 ", fspf_key: " HEX64
		"}\n"
		"- {name: c, fspf_tag: " HEX32 ", fspf_key: $$SCONECAS:k$$}\n"
		"- {name: d, export: [{session: ./x}, {to: {session: y}, update_policy: ephemeral, "
		"volume_alias: z}]}\n"
		"- {name: e, import: {volume: v, session_hash: " HEX64 ", session: x}}\n"
		"images: [{name: i, volumes: [{path: /a, name: a, update_policy: rollback_protected}, "
		"{name: b, path: /b, update_policy: strict, cache_size: 32M}], trees: [{signer: "
		"3ephzkJ5xpuiHzxLiopnsYFd6zuZiPQ1LFbiSQyEddzqkbhF5xS"
		", path: /t}, {root: " HEX64 ", path: /u, manifest: /m, host: /h}]}]\n");
	struct error err;
	struct buf out;

	buf_init_secret(&out, 100000);
	assert_int_equal(session_canonical(s, maker, &out, &err), 0);
	assert_string_equal(buf_cstr(&out),
		"{\"access_policy\":{\"read\":[\"NONE\"],\"update\":[\"NONE\"]},"
		"\"images\":[{\"name\":\"i\",\"trees\":[{\"path\":\"/"
		"t\",\"signer\":\"21d3a658dcd8f9360f7c11ab5c382d4208921ade81c244b9d2b5c44a3c471028\"},"
		"{\"host\":\"/h\",\"manifest\":\"/m\",\"path\":\"/u\",\"root\":\"" HEX64_LOWER "\"}],"
		"\"volumes\":[{\"name\":\"a\",\"path\":\"/a\"},"
		"{\"cache_size\":33554432,\"name\":\"b\",\"path\":\"/"
		"b\",\"update_policy\":\"strict\"}]}],\"name\":\"shop/db\","
		"\"secrets\":[{\"kind\":\"binary\",\"name\":\"k\",\"size\":32}],\"version\":\"0.3\","
		"\"volumes\":[{\"name\":\"a\"},"
		"{\"fspf_key\":\"" HEX64_LOWER "\",\"fspf_tag\":\"" HEX32 "\",\"name\":\"b\"},"
		"{\"fspf_key\":\"$$SCONE::k$$\",\"fspf_tag\":\"" HEX32 "\",\"name\":\"c\"},"
		"{\"export\":[{\"to\":{\"session\":\"shop/db/x\"}},{\"to\":{\"session\":\"y\"},"
		"\"update_policy\":\"ephemeral\",\"volume_alias\":\"z\"}],\"name\":\"d\"},"
		"{\"import\":{\"session\":\"x\",\"session_hash\":\"" HEX64_LOWER
		"\",\"volume\":\"v\"},\"name\":\"e\"}]}");
	buf_free(&out);
	session_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(loads_them_all),
		cmocka_unit_test(refuses_each_with_its_name_and_place),
		cmocka_unit_test(exports_to_whom_it_says),
		cmocka_unit_test(an_exporter_limits_the_policy),
		cmocka_unit_test(has_exactly_this_form),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
