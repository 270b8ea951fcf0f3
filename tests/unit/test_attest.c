#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "crypto/hash.h"
#include "wire/attest.h"

#define HEX64 "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

static void test_report_data(void **state)
{
	uint8_t nonce[32], client[32], cas[32], report[64], again[64], digest[32], in[20 + 96];
	static const uint8_t zeros[32];

	memset(nonce, 1, 32);
	memset(client, 2, 32);
	memset(cas, 3, 32);
	attest_report_data(nonce, client, cas, report);
	memcpy(in, "openscone-attest-v1", 20);
	memcpy(in + 20, nonce, 32);
	memcpy(in + 52, client, 32);
	memcpy(in + 84, cas, 32);
	sha256(in, sizeof(in), digest);
	assert_memory_equal(report, digest, 32);
	assert_memory_equal(report + 32, zeros, 32);
	/* each part matters, and so does which is which */
	nonce[31] ^= 1;
	attest_report_data(nonce, client, cas, again);
	assert_memory_not_equal(report, again, 32);
	nonce[31] ^= 1;
	attest_report_data(nonce, cas, client, again);
	assert_memory_not_equal(report, again, 32);
}

static void test_las_request(void **state)
{
	uint8_t report[64], back_report[64], digest[32] = {9}, challenge[32], back_challenge[32];
	struct manifest m, back;
	struct error err;
	struct buf b;

	for (size_t i = 0; i < 64; i++)
		report[i] = (uint8_t)i;
	memset(challenge, 0xc7, sizeof(challenge));
	manifest_init(&m);
	assert_int_equal(manifest_add(&m, CODE_PROGRAM, "/bin/p\xc3\xbc", digest, &err), 0);
	assert_int_equal(manifest_add(&m, CODE_LIBRARY, "/lib/l.so", digest, &err), 0);
	manifest_sort(&m);
	buf_init(&b, LAS_FRAME_MAX);
	assert_int_equal(las_request_encode(challenge, report, &m, NULL, &b, &err), 0);
	assert_int_equal(
		las_request_decode(b.data, b.len, back_challenge, back_report, &back, NULL, &err), 0);
	assert_memory_equal(challenge, back_challenge, 32);
	assert_memory_equal(report, back_report, 64);
	assert_int_equal(back.count, 2);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(back.entries[i].role, m.entries[i].role);
		assert_string_equal(back.entries[i].path, m.entries[i].path);
		assert_memory_equal(back.entries[i].digest, m.entries[i].digest, 32);
	}
	manifest_free(&back);
	buf_free(&b);
	/* a frame that would be too long is refused by its maker, and leaves nothing */
	buf_init(&b, 50);
	assert_int_equal(las_request_encode(challenge, report, &m, NULL, &b, &err), -1);
	assert_int_equal(err.code, ERR_LIMIT);
	assert_int_equal(b.len, 0);
	buf_free(&b);
	/* a path that JSON cannot carry */
	assert_int_equal(manifest_add(&m, CODE_LIBRARY, "/lib/\xff", digest, &err), 0);
	buf_init(&b, LAS_FRAME_MAX);
	assert_int_equal(las_request_encode(challenge, report, &m, NULL, &b, &err), -1);
	assert_non_null(strstr(err.text, "UTF-8"));
	buf_free(&b);
	manifest_free(&m);
}

/* Inputs that must be refused, and a word that the refusal must contain. */
struct bad {
	const char *json, *says;
};

#define CHALLENGE "\"challenge\":\"" HEX64 "\","
#define REPORT CHALLENGE "\"report_data\":\"" HEX64 HEX64 "\""
#define ENTRY(path, role, digest) "{\"role\":" role ",\"path\":\"" path "\",\"digest\":\"" digest "\"}"
#define REQUEST(list) "{\"op\":\"evidence\"," REPORT ",\"manifest\":[" list "]}"
#define WISH(wish) "{\"op\":\"evidence\"," REPORT ",\"manifest\":[],\"platform\":" wish "}"

static const struct bad bad_las_requests[] = {
	{"", "not valid JSON"},
	{"[]", "not a JSON object"},
	{"null", "not"},
	{"{}", "\"op\""},
	{"{\"op\":\"quote\"," REPORT ",\"manifest\":[]}", "\"evidence\""},
	{"{\"op\":1," REPORT ",\"manifest\":[]}", "not a string"},
	{"{\"op\":\"evidence\"," REPORT "}", "lacks the key \"manifest\""},
	{"{\"op\":\"evidence\"," REPORT ",\"manifest\":{}}", "not an array"},
	{"{\"op\":\"evidence\"," REPORT ",\"manifest\":[],\"extra\":1}", "unknown key \"extra\""},
	{WISH("1"), "not a JSON object"},
	{WISH("{\"cas\":\"" HEX64 "\",\"nonce\":\"" HEX64 "\"}"), "\"fresh\""},
	{WISH("{\"cas\":\"" HEX64 "\",\"nonce\":\"" HEX64 "\",\"fresh\":1}"), "not true or false"},
	{WISH("{\"cas\":\"" HEX64 "\",\"nonce\":\"00\",\"fresh\":true}"), "64 hex digits"},
	{WISH("{\"nonce\":\"" HEX64 "\",\"fresh\":true}"), "lacks the key \"cas\""},
	{WISH("{\"cas\":\"" HEX64 "\",\"nonce\":\"" HEX64 "\",\"fresh\":true,\"x\":1}"), "unknown key \"x\""},
	{"{\"op\":\"evidence\",\"op\":\"evidence\"," REPORT ",\"manifest\":[]}", "not valid JSON"},
	{"{\"op\":\"evidence\"," CHALLENGE "\"report_data\":\"" HEX64 "\",\"manifest\":[]}",
		"128 hex digits"},
	{"{\"op\":\"evidence\"," CHALLENGE "\"report_data\":\"" HEX64 HEX64 "00\",\"manifest\":[]}",
		"128 hex digits"},
	{"{\"op\":\"evidence\",\"report_data\":\"" HEX64 HEX64 "\",\"manifest\":[]}",
		"lacks the key \"challenge\""},
	{"{\"op\":\"evidence\"," CHALLENGE REPORT ",\"manifest\":[]}", "not valid JSON"},
	{"{\"op\":\"evidence\",\"challenge\":\"" HEX64 "00\",\"report_data\":\"" HEX64 HEX64
	 "\",\"manifest\":[]}",
		"64 hex digits"},
	{"{\"op\":\"evidence\",\"challenge\":7,\"report_data\":\"" HEX64 HEX64 "\",\"manifest\":[]}",
		"not a string"},
	{REQUEST("1"), "not a JSON object"},
	{REQUEST(ENTRY("/a", "0", HEX64)), "wanted 1 to 5"},
	{REQUEST(ENTRY("/a", "6", HEX64)), "wanted 1 to 5"},
	{REQUEST(ENTRY("/a", "4294967297", HEX64)), "wanted 1 to 5"},
	{REQUEST(ENTRY("/a", "1.0", HEX64)), "not an integer"},
	{REQUEST(ENTRY("a", "1", HEX64)), "not absolute"},
	{REQUEST(ENTRY("", "1", HEX64)), "not absolute"},
	{REQUEST(ENTRY("/a\\u0000b", "1", HEX64)), "not valid JSON"},
	{REQUEST(ENTRY("/a\xff", "1", HEX64)), "not valid JSON"},
	{REQUEST(ENTRY("/a", "1", "00")), "64 hex digits"},
	{REQUEST("{\"role\":1,\"path\":\"/a\"}"), "\"digest\""},
	{REQUEST("") "x", "not valid JSON"},
	{REQUEST("") REQUEST(""), "not valid JSON"},
};

static void check_refusal(int rc, const struct error *err, const struct bad *b)
{
	if (rc != -1)
		fail_msg("taken: %s", b->json);
	if (!strstr(err->text, b->says))
		fail_msg("'%s' does not say '%s' about %s", err->text, b->says, b->json);
}

static void test_las_request_wish(void **state)
{
	uint8_t report[64] = {7}, challenge[32] = {8};
	struct platform_wish wish = {.cas = {1}, .nonce = {2}, .fresh = true}, back;
	struct manifest m, again;
	struct buf b;

	manifest_init(&m);
	buf_init(&b, LAS_FRAME_MAX);
	assert_int_equal(las_request_encode(challenge, report, &m, &wish, &b, NULL), 0);
	assert_int_equal(las_request_decode(b.data, b.len, challenge, report, &again, &back, NULL), 0);
	assert_memory_equal(back.cas, wish.cas, 32);
	assert_memory_equal(back.nonce, wish.nonce, 32);
	assert_true(back.fresh);
	manifest_free(&again);
	buf_reset(&b);
	assert_int_equal(las_request_encode(challenge, report, &m, NULL, &b, NULL), 0);
	assert_int_equal(las_request_decode(b.data, b.len, challenge, report, &again, &back, NULL), 0);
	assert_int_equal(back.cas[0] | back.nonce[0] | back.fresh, 0);
	manifest_free(&again);
	manifest_free(&m);
	buf_free(&b);
}

static void test_las_request_refused(void **state)
{
	uint8_t report[64] = {7}, challenge[32] = {8};
	struct manifest m;
	struct error err;

	for (size_t i = 0; i < sizeof(bad_las_requests) / sizeof(bad_las_requests[0]); i++) {
		const struct bad *b = &bad_las_requests[i];

		check_refusal(las_request_decode(b->json, strlen(b->json), challenge, report, &m, NULL, &err),
			&err, b);
	}
	assert_int_equal(report[0], 7);
	assert_int_equal(challenge[0], 8);
}

static void test_las_request_limits(void **state)
{
	uint8_t report[64], challenge[32];
	struct manifest m;
	struct error err;
	struct buf b;

	buf_init(&b, 8 * LAS_FRAME_MAX);
	buf_puts(&b, "{\"op\":\"evidence\"," REPORT ",\"manifest\":[");
	for (int i = 0; i <= MANIFEST_MAX; i++)
		buf_printf(&b, "%s" ENTRY("/%d", "1", HEX64), i ? "," : "", i);
	buf_puts(&b, "]}");
	assert_false(b.failed);
	assert_int_equal(las_request_decode(b.data, b.len, challenge, report, &m, NULL, &err), -1);
	assert_int_equal(err.code, ERR_LIMIT);
	assert_non_null(strstr(err.text, "1025"));
	buf_reset(&b);
	buf_puts(&b, "{\"op\":\"evidence\"," REPORT ",\"manifest\":[{\"role\":1,\"digest\":\"" HEX64
		     "\",\"path\":\"/");
	for (int i = 0; i < 4095; i++)
		buf_putc(&b, 'x');
	buf_puts(&b, "\"}]}");
	assert_int_equal(las_request_decode(b.data, b.len, challenge, report, &m, NULL, &err), -1);
	assert_int_equal(err.code, ERR_LIMIT);
	assert_non_null(strstr(err.text, "4096"));
	/* over the frame's size before any of it is looked at */
	buf_reset(&b);
	while (b.len <= LAS_FRAME_MAX)
		buf_puts(&b, "                                                                ");
	assert_int_equal(las_request_decode(b.data, b.len, challenge, report, &m, NULL, &err), -1);
	assert_int_equal(err.code, ERR_LIMIT);
	/* nested deeper than any message: no stack is lost over it */
	buf_reset(&b);
	for (int i = 0; i < 500000; i++)
		buf_putc(&b, '[');
	assert_int_equal(las_request_decode(b.data, b.len, challenge, report, &m, NULL, &err), -1);
	buf_free(&b);
}

static void test_las_challenge(void **state)
{
	static const struct bad bad[] = {
		{"", "not valid JSON"},
		{"[]", "not a JSON object"},
		{"{}", "lacks the key \"challenge\""},
		{"{\"challenge\":\"\"}", "64 hex digits"},
		{"{\"challenge\":\"" HEX64 "0\"}", "64 hex digits"},
		{"{\"challenge\":\"" HEX64 "00\"}", "64 hex digits"},
		{"{\"challenge\":[]}", "not a string"},
		{"{\"challenge\":\"" HEX64 "\",\"challenge\":\"" HEX64 "\"}", "not valid JSON"},
		{"{\"challenge\":\"" HEX64 "\",\"more\":1}", "unknown key \"more\""},
		{"{\"challenge\":\"" HEX64 "\",\"error\":{\"code\":\"IO\",\"text\":\"t\"}}",
			"unknown key \"challenge\""},
		{"{\"evidence\":\"AA==\"}", "unknown key \"evidence\""},
		{"{\"error\":{\"code\":\"PEER\",\"text\":\"process 7 is traced\"}}", "process 7 is traced"},
		{"{\"error\":{\"code\":\"PEER\"}}", "\"text\""},
	};
	uint8_t challenge[32], back[32];
	struct error sent, err;
	struct buf b;

	for (size_t i = 0; i < sizeof(challenge); i++)
		challenge[i] = (uint8_t)(255 - i);
	buf_init(&b, 2 * LAS_FRAME_MAX);
	assert_int_equal(las_challenge_encode(challenge, &b, &err), 0);
	assert_int_equal(las_challenge_decode(b.data, b.len, back, &err), 0);
	assert_memory_equal(challenge, back, 32);
	memset(back, 0x55, sizeof(back));
	memset(challenge, 0x55, sizeof(challenge));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		check_refusal(
			las_challenge_decode(bad[i].json, strlen(bad[i].json), back, &err), &err, &bad[i]);
	buf_reset(&b);
	error_set(&sent, ERR_PEER, "refused");
	assert_int_equal(las_answer_encode_error(&sent, &b), 0);
	assert_int_equal(las_challenge_decode(b.data, b.len, back, &err), -1);
	assert_int_equal(err.code, ERR_PEER);
	buf_reset(&b);
	while (b.len <= LAS_FRAME_MAX)
		buf_puts(&b, "                                                                ");
	assert_int_equal(las_challenge_decode(b.data, b.len, back, &err), -1);
	assert_int_equal(err.code, ERR_LIMIT);
	assert_memory_equal(challenge, back, 32);
	buf_free(&b);
}

static void test_las_answer(void **state)
{
	static const struct bad bad[] = {
		{"{}", "lacks the key \"evidence\""},
		{"{\"evidence\":\"A\"}", "not base64"},
		{"{\"evidence\":null}", "not a string"},
		{"{\"evidence\":\"AA==\",\"more\":1}", "unknown key \"more\""},
		{"{\"evidence\":\"AA==\",\"error\":{\"code\":\"IO\",\"text\":\"t\"}}",
			"unknown key \"evidence\""},
		{"{\"error\":\"no\"}", "not a JSON object"},
		{"{\"error\":{\"code\":\"IO\"}}", "\"text\""},
		{"{\"error\":{\"code\":\"IO\",\"text\":\"t\",\"x\":1}}", "unknown key \"x\""},
		{"{\"error\":{\"code\":\"IO\",\"text\":\"\"}}", "without a reason"},
		{"{\"error\":{\"code\":\"IO\",\"text\":\"a\\u001b[2Jb\"}}", "a [2Jb"},
	};
	static const char unknown[] = "{\"error\":{\"code\":\"WHAT\",\"text\":\"t\"}}";
	struct error sent, err;
	struct buf b, evidence;

	buf_init(&b, LAS_FRAME_MAX);
	buf_init(&evidence, 1000);
	assert_int_equal(las_answer_encode("\0evidence\xff", 10, &b, &err), 0);
	assert_int_equal(las_answer_decode(b.data, b.len, &evidence, &err), 0);
	assert_int_equal(evidence.len, 10);
	assert_memory_equal(evidence.data, "\0evidence\xff", 10);
	/* more than the caller takes */
	buf_reset(&b);
	buf_free(&evidence);
	buf_init(&evidence, 5);
	assert_int_equal(las_answer_encode("123456", 6, &b, &err), 0);
	assert_int_equal(las_answer_decode(b.data, b.len, &evidence, &err), -1);
	assert_int_equal(err.code, ERR_LIMIT);
	buf_reset(&evidence);
	/* an error arrives as it was */
	buf_reset(&b);
	error_set(&sent, ERR_ACCESS, "pid 7 runs '%s'", "/bin/\"evil\"");
	assert_int_equal(las_answer_encode_error(&sent, &b), 0);
	assert_int_equal(las_answer_decode(b.data, b.len, &evidence, &err), -1);
	assert_int_equal(err.code, ERR_ACCESS);
	assert_string_equal(err.text, sent.text);
	/* so does one whose text is no UTF-8: at least its code */
	buf_reset(&b);
	error_set(&sent, ERR_NOT_FOUND, "path \xff\xfe");
	assert_int_equal(las_answer_encode_error(&sent, &b), 0);
	assert_int_equal(las_answer_decode(b.data, b.len, &evidence, &err), -1);
	assert_int_equal(err.code, ERR_NOT_FOUND);
	/* a word we do not know */
	assert_int_equal(las_answer_decode(unknown, strlen(unknown), &evidence, &err), -1);
	assert_int_equal(err.code, ERR_PEER);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		check_refusal(
			las_answer_decode(bad[i].json, strlen(bad[i].json), &evidence, &err), &err, &bad[i]);
	assert_int_equal(evidence.len, 0);
	buf_free(&b);
	buf_free(&evidence);
}

static void test_attest_request(void **state)
{
	static const struct bad bad[] = {
		{"{}", "\"config_id\""},
		{"{\"config_id\":\"s/v\",\"nonce\":\"" HEX64 "\"}", "\"evidence\""},
		{"{\"config_id\":\"s/v\",\"nonce\":\"" HEX64 "0\",\"evidence\":\"\"}", "64 hex digits"},
		{"{\"config_id\":\"s/v\",\"nonce\":\"" HEX64 "\",\"evidence\":\"A===\"}", "not base64"},
		{"{\"config_id\":\"s/v\",\"nonce\":\"" HEX64 "\",\"evidence\":\"\",\"otp\":\"1\"}",
			"unknown key \"otp\""},
		{"{\"config_id\":null,\"nonce\":\"" HEX64 "\",\"evidence\":\"\"}", "not a string"},
	};
	struct attest_request r = {.config_id = (char *)(uintptr_t) "ns/s/service@123456"}, back;
	struct error err;
	struct buf b, big;

	memset(r.nonce, 0xa5, sizeof(r.nonce));
	buf_init(&r.evidence, 1000);
	buf_put(&r.evidence, "\0\1\2", 3);
	buf_init(&b, 10000);
	assert_int_equal(attest_request_encode(&r, &b, &err), 0);
	assert_int_equal(attest_request_decode(b.data, b.len, &back, &err), 0);
	assert_string_equal(back.config_id, r.config_id);
	assert_memory_equal(back.nonce, r.nonce, sizeof(r.nonce));
	assert_int_equal(back.evidence.len, 3);
	assert_memory_equal(back.evidence.data, "\0\1\2", 3);
	attest_request_free(&back);
	attest_request_free(&back);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		check_refusal(
			attest_request_decode(bad[i].json, strlen(bad[i].json), &back, &err), &err, &bad[i]);
	buf_init(&big, 10000);
	buf_puts(&big, "{\"nonce\":\"" HEX64 "\",\"evidence\":\"\",\"config_id\":\"");
	for (int i = 0; i <= CONFIG_ID_MAX; i++)
		buf_putc(&big, 'a');
	buf_puts(&big, "\"}");
	assert_int_equal(attest_request_decode(big.data, big.len, &back, &err), -1);
	assert_int_equal(err.code, ERR_LIMIT);
	buf_free(&big);
	buf_free(&b);
	buf_free(&r.evidence);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_report_data),
		cmocka_unit_test(test_las_request),
		cmocka_unit_test(test_las_request_wish),
		cmocka_unit_test(test_las_request_refused),
		cmocka_unit_test(test_las_request_limits),
		cmocka_unit_test(test_las_challenge),
		cmocka_unit_test(test_las_answer),
		cmocka_unit_test(test_attest_request),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
