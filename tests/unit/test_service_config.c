#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include "core/encode.h"
#include "core/secret.h"
#include "crypto/hash.h"
#include "wire/attest.h"
#include "wire/json_wipe.h"
#include "memory_scan.h"

static void fill(struct service_config *c)
{
	struct config_value *v;
	struct config_file *f;
	struct config_secret *s;

	service_config_init(c);
	c->session = strdup("ns/db");
	c->service = strdup("mariadb");
	c->mode = strdup("simulation");
	c->pwd = strdup("/srv");
	v = service_config_add_arg(c);
	buf_puts(&v->value, "mariadbd");
	v = service_config_add_arg(c);
	v->host = 2;
	v = service_config_add_arg(c); /* the empty argument */
	v = service_config_add_env(c, "KEY");
	buf_puts(&v->value, "caf\xe9"); /* any bytes but NUL */
	v = service_config_add_env(c, "HOSTNAME");
	v->host = 1;
	f = service_config_add_file(c, "/etc/key");
	f->mode = 0400;
	f->has_content = true;
	buf_put(&f->content, "\0\1\xff", 3);
	f = service_config_add_file(c, "/etc/replaced");
	f->mode = 0700;
	f = service_config_add_file(c, "/etc/empty");
	f->has_content = true;
	s = service_config_add_secret(c, "MARIADBKEY", "ascii");
	buf_puts(&s->value, "value");
	s = service_config_add_secret(c, "raw", "binary");
	buf_put(&s->value, "\0\0", 2);
	assert_int_equal(service_config_add_warning(c, "simulated"), 0);
}

static void assert_same_bytes(const struct buf *a, const struct buf *b)
{
	assert_int_equal(a->len, b->len);
	if (a->len > 0)
		assert_memory_equal(a->data, b->data, a->len);
	assert_true(b->secret);
}

static void test_round_trip(void **state)
{
	struct service_config c, d;
	struct error err;
	struct buf b;

	fill(&c);
	buf_init_secret(&b, CONFIG_MAX);
	if (service_config_encode(&c, &b, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(service_config_decode(b.data, b.len, &d, &err), 0);
	assert_string_equal(d.session, "ns/db");
	assert_string_equal(d.service, "mariadb");
	assert_string_equal(d.mode, "simulation");
	assert_string_equal(d.pwd, "/srv");
	assert_int_equal(d.argc, 3);
	assert_int_equal(d.envc, 2);
	assert_int_equal(d.file_count, 3);
	assert_int_equal(d.secret_count, 2);
	assert_int_equal(d.warning_count, 1);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(c.argv[i].host, d.argv[i].host);
		assert_same_bytes(&c.argv[i].value, &d.argv[i].value);
		assert_string_equal(c.files[i].path, d.files[i].path);
		assert_int_equal(c.files[i].mode, d.files[i].mode);
		assert_int_equal(c.files[i].has_content, d.files[i].has_content);
		assert_same_bytes(&c.files[i].content, &d.files[i].content);
	}
	for (size_t i = 0; i < 2; i++) {
		assert_string_equal(c.env[i].name, d.env[i].name);
		assert_int_equal(c.env[i].host, d.env[i].host);
		assert_same_bytes(&c.env[i].value, &d.env[i].value);
		assert_string_equal(c.secrets[i].name, d.secrets[i].name);
		assert_string_equal(c.secrets[i].kind, d.secrets[i].kind);
		assert_same_bytes(&c.secrets[i].value, &d.secrets[i].value);
	}
	assert_string_equal(d.warnings[0], "simulated");
	service_config_free(&d);
	service_config_free(&d);
	service_config_free(&c);
	buf_free(&b);
}

/* Each of the two permissions is its own. */
static void test_code(void **state)
{
	for (int i = 0; i < 4; i++) {
		struct service_config c, d;
		struct error err;
		struct buf b;

		fill(&c);
		c.allow_unmeasured = i & 1;
		c.allow_generated = i & 2;
		buf_init_secret(&b, CONFIG_MAX);
		assert_int_equal(service_config_encode(&c, &b, &err), 0);
		assert_int_equal(service_config_decode(b.data, b.len, &d, &err), 0);
		assert_int_equal(d.allow_unmeasured, (i & 1) != 0);
		assert_int_equal(d.allow_generated, (i & 2) != 0);
		service_config_free(&c);
		service_config_free(&d);
		buf_free(&b);
	}
}

static void test_many_elements(void **state)
{
	struct service_config c, d;
	struct error err;
	struct buf b;
	char text[32];

	fill(&c);
	for (int i = 0; i < 3000; i++) {
		struct config_value *v = service_config_add_arg(&c);

		assert_non_null(v);
		buf_printf(&v->value, "argument %d", i);
	}
	buf_init_secret(&b, CONFIG_MAX);
	assert_int_equal(service_config_encode(&c, &b, &err), 0);
	assert_int_equal(service_config_decode(b.data, b.len, &d, &err), 0);
	assert_int_equal(d.argc, 3003);
	for (int i = 0; i < 3000; i++) {
		snprintf(text, sizeof(text), "argument %d", i);
		assert_string_equal(buf_cstr(&d.argv[3 + i].value), text);
	}
	service_config_free(&c);
	service_config_free(&d);
	buf_free(&b);
}

#define CODE "\"code\":{\"unmeasured\":false,\"generated\":true}"
#define HEAD "\"session\":\"s\",\"service\":\"v\",\"pwd\":null"
#define CONFIG(mode, argv, env, files, secrets, warnings)                                                    \
	"{" HEAD ",\"mode\":\"" mode "\",\"argv\":[" argv "],\"env\":[" env "],\"files\":[" files            \
	"],\"volumes\":[],\"secrets\":[" secrets "]," CODE ",\"warnings\":[" warnings "]}"

#define WITH_CODE(code)                                                                                      \
	"{" HEAD ",\"mode\":\"none\",\"argv\":[],\"env\":[],\"files\":[],\"secrets\":[],\"volumes\":[],"     \
	"\"code\":" code ",\"warnings\":[]}"

#define KEY32 "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
#define HEX32 "00112233445566778899aabbccddeeff"
#define VOLUME(path, policy, key, version, initial)                                                          \
	"{" HEAD ",\"mode\":\"none\",\"argv\":[],\"env\":[],\"files\":[],\"secrets\":[]," CODE               \
	",\"warnings\":[],\"volumes\":[{\"name\":\"v\",\"path\":\"" path "\",\"policy\":\"" policy           \
	"\",\"id\":\"" HEX32 "\",\"key\":\"" key "\",\"grant\":\"Zw==\",\"version\":" version                \
	",\"initial_tag\":" initial "}]}"

static const char good[] = CONFIG("none", "{\"value\":\"\"}", "", "", "", "");

static const struct {
	const char *json, *says;
} bad[] = {
	{"{}", "\"session\""},
	{CONFIG("debug", "", "", "", "", ""), "simulation, hardware, none"},
	{"{" HEAD ",\"mode\":\"none\",\"argv\":[],\"env\":[],\"files\":[],\"secrets\":[],\"volumes\":[]," CODE
	 "}",
		"\"warnings\""},
	{"{" HEAD ",\"mode\":\"none\",\"argv\":[],\"env\":[],\"files\":[],\"secrets\":[],\"volumes\":[],"
	 "\"warnings\":[]}",
		"code of a configuration is not a JSON object"},
	{WITH_CODE("true"), "code of a configuration is not a JSON object"},
	{WITH_CODE("{\"unmeasured\":false}"), "\"generated\" of code of a configuration is neither"},
	{WITH_CODE("{\"generated\":false}"), "\"unmeasured\" of code of a configuration is neither"},
	{WITH_CODE("{\"unmeasured\":1,\"generated\":false}"), "\"unmeasured\" of code"},
	{WITH_CODE("{\"unmeasured\":false,\"generated\":\"true\"}"), "\"generated\" of code"},
	{WITH_CODE("{\"unmeasured\":false,\"generated\":null}"), "\"generated\" of code"},
	{WITH_CODE("{\"unmeasured\":false,\"generated\":false,\"all\":true}"), "unknown key \"all\""},
	{"{\"session\":\"s\",\"service\":\"v\",\"mode\":\"none\",\"argv\":[],\"env\":[],\"files\":[],"
	 "\"secrets\":[],\"warnings\":[]}",
		"\"pwd\""},
	{"{" HEAD ",\"mode\":\"none\",\"argv\":{},\"env\":[],\"files\":[],\"secrets\":[],\"warnings\":[]}",
		"not an array"},
	{"{" HEAD ",\"mounts\":[],\"mode\":\"none\",\"argv\":[],\"env\":[],\"files\":[],\"secrets\":[],"
	 "\"warnings\":[]}",
		"unknown key \"mounts\""},
	{CONFIG("none", "\"a\"", "", "", "", ""), "not a JSON object"},
	{CONFIG("none", "{}", "", "", "", ""), "\"value\""},
	{CONFIG("none", "{\"value\":\"YQA=\"}", "", "", "", ""), "NUL"},
	{CONFIG("none", "{\"value\":\"YQ\"}", "", "", "", ""), "not base64"},
	{CONFIG("none", "{\"value\":\"\",\"host\":1}", "", "", "", ""), "unknown key \"value\""},
	{CONFIG("none", "{\"host\":0}", "", "", "", ""), "wanted 1 to"},
	{CONFIG("none", "{\"host\":true}", "", "", "", ""), "not an integer"},
	{CONFIG("none", "", "{\"name\":\"\",\"value\":\"\"}", "", "", ""), "not the name"},
	{CONFIG("none", "", "{\"name\":\"A=B\",\"value\":\"\"}", "", "", ""), "not the name"},
	{CONFIG("none", "", "{\"name\":\"A\",\"value\":\"AA==\"}", "", "", ""), "NUL"},
	{CONFIG("none", "", "{\"name\":\"A\",\"host\":false}", "", "", ""), "not true"},
	{CONFIG("none", "", "{\"name\":\"A\",\"host\":true,\"value\":\"\"}", "", "", ""),
		"unknown key \"value\""},
	{CONFIG("none", "", "{\"value\":\"\"}", "", "", ""), "\"name\""},
	{CONFIG("none", "", "", "{\"path\":\"a\",\"content\":null,\"mode\":0}", "", ""), "not absolute"},
	{CONFIG("none", "", "", "{\"path\":\"/a\",\"mode\":0}", "", ""), "\"content\""},
	{CONFIG("none", "", "", "{\"path\":\"/a\",\"content\":null,\"mode\":4096}", "", ""),
		"wanted 0 to 4095"},
	{CONFIG("none", "", "", "{\"path\":\"/a\",\"content\":null,\"mode\":-1}", "", ""),
		"wanted 0 to 4095"},
	{CONFIG("none", "", "", "{\"path\":\"/a\",\"content\":null}", "", ""), "\"mode\""},
	{CONFIG("none", "", "", "", "{\"name\":\"n\",\"kind\":\"x510\",\"value\":\"\"}", ""),
		"does not know"},
	{CONFIG("none", "", "", "", "{\"name\":\"n\",\"kind\":\"ascii\"}", ""), "\"value\""},
	{CONFIG("none", "", "", "", "", "1"), "not a string"},
	{VOLUME("v", "strict", KEY32, "null", "null"), "not absolute"},
	{VOLUME("/v", "lax", KEY32, "null", "null"), "unknown update policy"},
	{VOLUME("/v", "strict", "AAAA", "null", "null"), "key of 3 bytes, wanted 32"},
	{VOLUME("/v", "strict", KEY32 "AAAA", "null", "null"), "\"key\""},
	{VOLUME("/v", "strict", KEY32, "1", "null"), "not a JSON object"},
	{VOLUME("/v", "strict", KEY32, "{\"generation\":-1,\"tag\":\"" HEX32 "\"}", "null"),
		"\"generation\""},
	{VOLUME("/v", "strict", KEY32, "{\"generation\":1,\"tag\":\"00\"}", "null"), "\"tag\""},
	{VOLUME("/v", "strict", KEY32, "{\"generation\":1}", "null"), "\"tag\""},
	{VOLUME("/v", "strict", KEY32, "null", "\"00\""), "\"initial_tag\""},
};

static void test_volumes(void **state)
{
	static const char text[] = VOLUME("/v", "ephemeral", KEY32,
		"{\"generation\":9223372036854775807,\"tag\":\"" HEX32 "\"}", "\"" HEX32 "\"");
	struct service_config c, d;
	struct error err;
	struct buf b;

	if (service_config_decode(text, strlen(text), &c, &err))
		fail_msg("%s", err.text);
	buf_init_secret(&b, CONFIG_MAX);
	assert_int_equal(service_config_encode(&c, &b, &err), 0);
	assert_int_equal(service_config_decode(b.data, b.len, &d, &err), 0);
	assert_int_equal(d.volume_count, 1);
	assert_string_equal(d.volumes[0].name, "v");
	assert_string_equal(d.volumes[0].path, "/v");
	assert_string_equal(d.volumes[0].policy, "ephemeral");
	assert_int_equal(d.volumes[0].key.len, CONFIG_VOLUME_KEY_LEN);
	assert_int_equal(d.volumes[0].grant.len, 1);
	assert_int_equal(d.volumes[0].id[15], 0xff);
	assert_true(d.volumes[0].has_version && d.volumes[0].version.generation == INT64_MAX);
	assert_int_equal(d.volumes[0].version.tag[1], 0x11);
	assert_true(d.volumes[0].has_initial);
	assert_int_equal(d.volumes[0].initial[15], 0xff);
	service_config_free(&c);
	service_config_free(&d);
	buf_free(&b);
}

static void test_refused(void **state)
{
	struct service_config c;
	struct error err;

	assert_int_equal(service_config_decode(good, strlen(good), &c, &err), 0);
	assert_false(c.allow_unmeasured);
	assert_true(c.allow_generated);
	service_config_free(&c);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (service_config_decode(bad[i].json, strlen(bad[i].json), &c, &err) != -1)
			fail_msg("taken: %s", bad[i].json);
		if (!strstr(err.text, bad[i].says))
			fail_msg("'%s' does not say '%s' about %s", err.text, bad[i].says, bad[i].json);
	}
	/* any cut of a good one */
	for (size_t n = 0; n < strlen(good); n++)
		assert_int_equal(service_config_decode(good, n, &c, &err), -1);
}

/* Errors name keys and places, never values. */
static void test_errors_do_not_quote(void **state)
{
	static const char *const leaky[] = {
		CONFIG("none", "{\"value\":\"topsecret!\"}", "", "", "", ""),
		CONFIG("none", "{\"value\":\"dG9wc2VjcmV0\"} topsecret", "", "", "", ""),
		CONFIG("none", "{\"value\":topsecret}", "", "", "", ""),
		CONFIG("topsecret", "", "", "", "", ""),
	};
	struct service_config c;
	struct error err;

	for (size_t i = 0; i < sizeof(leaky) / sizeof(leaky[0]); i++) {
		assert_int_equal(service_config_decode(leaky[i], strlen(leaky[i]), &c, &err), -1);
		assert_null(strstr(err.text, "topsecret"));
	}
}

/* What CAS must not send is refused where it is made, too. */
static void test_encode_refused(void **state)
{
	struct service_config c;
	struct error err;
	struct buf b;

	buf_init_secret(&b, CONFIG_MAX);
	fill(&c);
	buf_putc(&c.argv[0].value, '\0');
	assert_int_equal(service_config_encode(&c, &b, &err), -1);
	assert_non_null(strstr(err.text, "argument 0"));
	service_config_free(&c);
	fill(&c);
	buf_put(&c.env[0].value, "\0", 1);
	assert_int_equal(service_config_encode(&c, &b, &err), -1);
	assert_non_null(strstr(err.text, "variable KEY"));
	service_config_free(&c);
	fill(&c);
	free(c.mode);
	c.mode = strdup("relaxed");
	assert_int_equal(service_config_encode(&c, &b, &err), -1);
	service_config_free(&c);
	fill(&c);
	c.files[0].mode = 010000;
	assert_int_equal(service_config_encode(&c, &b, &err), -1);
	assert_int_equal(b.len, 0);
	service_config_free(&c);
	buf_free(&b);
}

#define MARKER_LEN 300
#define PIECE 24

/* After decoding and freeing, neither the secret nor its base64 is left in this process: not in jansson's strings, not in
 * its parser's buffers, not in ours. */
static void test_nothing_stays_in_memory(void **state)
{
	uint8_t marker[MARKER_LEN], masked[PIECE], masked_text[PIECE];
	struct service_config c;
	struct error err;
	struct buf b, text;

	json_wipe_install();
	assert_int_equal(random_bytes(marker, sizeof(marker), &err), 0);
	mask(marker + MARKER_LEN / 2, PIECE, masked);
	buf_init_secret(&text, 1000);
	base64_encode(marker, sizeof(marker), &text);
	mask(text.data + text.len / 2, PIECE, masked_text);
	buf_free(&text);

	fill(&c);
	buf_put(&c.secrets[0].value, marker, sizeof(marker));
	buf_truncate(&c.secrets[0].value, 0);
	buf_put(&c.secrets[0].value, marker, sizeof(marker));
	secret_wipe(marker, sizeof(marker));
	buf_init_secret(&b, CONFIG_MAX);
	assert_int_equal(service_config_encode(&c, &b, &err), 0);
	service_config_free(&c);
	assert_true(in_memory(masked_text, PIECE)); /* b still holds it: the search works */
	assert_int_equal(service_config_decode(b.data, b.len, &c, &err), 0);
	buf_free(&b);
	assert_true(in_memory(masked, PIECE));
	assert_false(in_memory(masked_text, PIECE));
	service_config_free(&c);
	assert_false(in_memory(masked, PIECE));
}

/* The same for a message that is refused at its very end. */
static void test_refused_message_is_wiped(void **state)
{
	static const char head[] = "{" HEAD ",\"mode\":\"none\",\"argv\":[],\"env\":[],\"files\":[],"
				   "\"secrets\":[{\"name\":\"n\",\"kind\":\"binary\",\"value\":\"";
	uint8_t marker[MARKER_LEN], masked[PIECE], masked_text[PIECE];
	struct service_config c;
	struct error err;
	struct buf b;

	assert_int_equal(random_bytes(marker, sizeof(marker), &err), 0);
	mask(marker + MARKER_LEN / 2, PIECE, masked);
	buf_init_secret(&b, 10000);
	buf_puts(&b, head);
	base64_encode(marker, sizeof(marker), &b);
	mask(b.data + strlen(head) + MARKER_LEN / 2, PIECE, masked_text);
	buf_puts(&b, "\"}]," CODE ",\"warnings\":[7]}");
	secret_wipe(marker, sizeof(marker));
	assert_int_equal(service_config_decode(b.data, b.len, &c, &err), -1);
	assert_true(in_memory(masked_text, PIECE));
	buf_free(&b);
	assert_false(in_memory(masked_text, PIECE));
	assert_false(in_memory(masked, PIECE));
}

static void test_json_free(void **state)
{
	json_malloc_t m;
	json_free_t f;
	json_t *o;
	char *text;

	json_wipe_install();
	json_wipe_install();
	json_get_alloc_funcs(&m, &f);
	assert_ptr_equal(f, json_free);
	json_free(NULL);
	o = json_pack("{s:s}", "k", "v");
	text = json_dumps(o, JSON_COMPACT);
	assert_string_equal(text, "{\"k\":\"v\"}");
	free(text); /* plain free goes too */
	text = json_dumps(o, JSON_COMPACT);
	json_free(text);
	json_decref(o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_code),
		cmocka_unit_test(test_many_elements),
		cmocka_unit_test(test_volumes),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_errors_do_not_quote),
		cmocka_unit_test(test_encode_refused),
		cmocka_unit_test(test_nothing_stays_in_memory),
		cmocka_unit_test(test_refused_message_is_wiped),
		cmocka_unit_test(test_json_free),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
