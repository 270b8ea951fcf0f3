#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "core/buf.h"
#include "shield/console/reader.h"
#include "shield/console/rules.h"

#define P CONSOLE_RULES_PREFIX
#define KEY "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static const uint8_t key[CONSOLE_KEY_LEN] = {1, 2, 3}, other_key[CONSOLE_KEY_LEN] = {9};

/* A stream of three records and its end, with where each frame begins. */
struct made {
	struct buf bytes;
	size_t at[8], count;
};

static void put(struct made *m, const uint8_t *frame, size_t n, bool lines, bool output)
{
	char line[CONSOLE_LINE_MAX];

	m->at[m->count++] = m->bytes.len;
	if (lines)
		buf_put(&m->bytes, line, console_line_encode(output, frame, n, line));
	else
		buf_put(&m->bytes, frame, n);
	m->at[m->count] = m->bytes.len;
}

static void make_bound(
	struct made *m, bool output, bool lines, bool attach, const uint8_t *other, size_t other_len)
{
	static const char *const texts[] = {"first\n", "second\n", ""};
	struct console_hello h = {.output = output,
		.attach = attach,
		.run = {5},
		.id = {7, 8},
		.name = "stdout",
		.context = "s/v"};
	uint8_t hello[CONSOLE_HELLO_MAX], frame[CONSOLE_FRAME_MAX];
	size_t n = console_hello_encode(&h, hello);
	struct console_half half;
	struct aead *a = NULL;

	*m = (struct made){0};
	buf_init(&m->bytes, 1 << 20);
	put(m, hello, n, lines, output);
	assert_int_equal(console_half_start(&half, key, hello, n, other, other_len, NULL), 0);
	for (int i = 0; i < 4; i++) {
		const char *text = i < 3 ? texts[i] : "";
		long len = console_seal(&a, &half, i < 3 ? CONSOLE_DATA : CONSOLE_END, (const uint8_t *)text,
			strlen(text), frame);

		assert_true(len > 0);
		console_half_advance(&half);
		put(m, frame, (size_t)len, lines, output);
	}
	aead_free(a);
	assert_false(m->bytes.failed);
}

static void make(struct made *m, bool output, bool lines)
{
	make_bound(m, output, lines, false, NULL, 0);
}

struct result {
	struct buf text;
	int rc, end_rc; /* of the last next, of end */
	struct error err, end_err;
	uint64_t skipped;
};

/* Read in pieces of so many bytes. */
static void read_expecting(
	const struct console_expect *e, const uint8_t *p, size_t n, size_t piece, struct result *ret)
{
	struct console_reader *r;

	*ret = (struct result){0};
	buf_init(&ret->text, 1 << 20);
	assert_int_equal(console_reader_new(e, &r, NULL), 0);
	while (n > 0 && ret->rc == 0) {
		size_t part = n < piece ? n : piece, left = part;
		const uint8_t *at = p;

		while (left > 0 && ret->rc == 0) {
			enum console_event event;
			const uint8_t *text;
			size_t len;

			ret->rc = console_reader_next(r, &at, &left, &event, &text, &len, &ret->err);
			if (event == CONSOLE_EVENT_DATA)
				buf_put(&ret->text, text, len);
		}
		p += part;
		n -= part;
	}
	ret->end_rc = console_reader_end(r, &ret->end_err);
	ret->skipped = console_reader_skipped(r);
	console_reader_free(r);
}

static void read_all(const uint8_t *p, size_t n, size_t piece, struct result *ret)
{
	struct console_expect e = {.output = true};

	memcpy(e.key, key, sizeof(key));
	read_expecting(&e, p, n, piece, ret);
}

static void is_whole(struct result *r)
{
	if (r->rc)
		fail_msg("%s", r->err.text);
	assert_int_equal(r->end_rc, 0);
	assert_int_equal(r->text.len, 13);
	assert_memory_equal(r->text.data, "first\nsecond\n", 13);
	buf_free(&r->text);
}

/* Refused, or cut off; and nothing but a true beginning was given out. */
static void is_refused(struct result *r, size_t most)
{
	assert_true(r->rc != 0 || r->end_rc != 0);
	assert_true(r->text.len <= most);
	assert_memory_equal(r->text.len ? r->text.data : (const uint8_t *)"", "first\nsecond\n", r->text.len);
	buf_free(&r->text);
}

static void test_round_trip(void **state)
{
	for (int lines = 0; lines < 2; lines++) {
		struct made m;
		struct result r;

		make(&m, true, lines);
		for (size_t piece = 1; piece <= m.bytes.len; piece += piece < 5 ? 1 : 97) {
			read_all(m.bytes.data, m.bytes.len, piece, &r);
			is_whole(&r);
		}
		buf_free(&m.bytes);
	}
}

static void test_every_bit(void **state)
{
	struct made m;

	make(&m, true, false);
	for (size_t i = 0; i < 8 * m.bytes.len; i++) {
		struct result r;

		m.bytes.data[i / 8] ^= (uint8_t)(1 << i % 8);
		read_all(m.bytes.data, m.bytes.len, 4096, &r);
		m.bytes.data[i / 8] ^= (uint8_t)(1 << i % 8);
		is_refused(&r, 13);
	}
	buf_free(&m.bytes);
}

static void test_every_cut(void **state)
{
	for (int lines = 0; lines < 2; lines++) {
		struct made m;

		make(&m, true, lines);
		for (size_t n = 0; n < m.bytes.len; n++) {
			struct result r;

			read_all(m.bytes.data, n, 4096, &r);
			if (n == m.bytes.len - 1 && lines)
				assert_int_not_equal(r.end_rc, 0); /* the newline belongs to the line */
			is_refused(&r, 13);
		}
		buf_free(&m.bytes);
	}
}

/* Frames in this order, -1 ends. */
static void read_order(struct made *m, const int *order, struct result *r)
{
	struct buf b;

	buf_init(&b, 1 << 20);
	for (size_t i = 0; order[i] >= 0; i++)
		buf_put(&b, m->bytes.data + m->at[order[i]], m->at[order[i] + 1] - m->at[order[i]]);
	read_all(b.data, b.len, 4096, r);
	buf_free(&b);
}

static void test_order(void **state)
{
	/* hello 0, records 1 to 3, end 4 */
	static const int swapped[] = {0, 2, 1, 3, 4, -1}, repeated[] = {0, 1, 1, 2, 3, 4, -1},
			 dropped[] = {0, 1, 3, 4, -1}, first_gone[] = {0, 2, 3, 4, -1},
			 truncated[] = {0, 1, 2, 3, -1}, early[] = {0, 1, 4, -1},
			 more[] = {0, 1, 2, 3, 4, 4, -1}, again[] = {0, 1, 2, 3, 4, 0, 1, 2, 3, 4, -1},
			 twice[] = {0, 0, 1, 2, 3, 4, -1}, whole[] = {0, 1, 2, 3, 4, -1};
	static const int *const orders[] = {
		swapped, repeated, dropped, first_gone, truncated, early, more, again, twice};

	for (int lines = 0; lines < 2; lines++) {
		struct made m;
		struct result r;

		make(&m, true, lines);
		read_order(&m, whole, &r);
		is_whole(&r);
		for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++) {
			read_order(&m, orders[i], &r);
			is_refused(&r, 13);
		}
		buf_free(&m.bytes);
	}
}

static void test_wrong_key_name_direction(void **state)
{
	struct console_expect e = {.output = true};
	struct made m, in;
	struct result r;

	make(&m, true, false);
	memcpy(e.key, other_key, sizeof(key));
	read_expecting(&e, m.bytes.data, m.bytes.len, 4096, &r);
	is_refused(&r, 0);
	assert_non_null(strstr(r.err.text, "another key"));
	memcpy(e.key, key, sizeof(key));
	e.name = "stderr";
	read_expecting(&e, m.bytes.data, m.bytes.len, 4096, &r);
	is_refused(&r, 0);
	assert_non_null(strstr(r.err.text, "'stdout', wanted 'stderr'"));
	e.name = NULL;
	e.context = "s/other";
	read_expecting(&e, m.bytes.data, m.bytes.len, 4096, &r);
	is_refused(&r, 0);
	e.context = NULL;
	/* The other direction: by its word, and with the word changed. */
	make(&in, false, false);
	read_expecting(&e, in.bytes.data, in.bytes.len, 4096, &r);
	is_refused(&r, 0);
	assert_non_null(strstr(r.err.text, "of input, wanted one of output"));
	in.bytes.data[CONSOLE_MAGIC_LEN + 2] |= 1;
	read_expecting(&e, in.bytes.data, in.bytes.len, 4096, &r);
	is_refused(&r, 0);
	buf_free(&m.bytes);
	buf_free(&in.bytes);
}

/* With the flag attach the records belong to one hello of the other side. */
static void test_bound(void **state)
{
	static const uint8_t mine[] = "my hello", yours[] = "another hello";
	struct console_expect e = {.output = true};
	struct made m;

	memcpy(e.key, key, sizeof(key));
	make_bound(&m, true, false, true, mine, sizeof(mine));
	for (int right = 0; right < 2; right++) {
		const uint8_t *at = m.bytes.data, *text;
		size_t n = m.bytes.len, len;
		enum console_event event;
		struct console_reader *r;
		struct error err;

		assert_int_equal(console_reader_new(&e, &r, NULL), 0);
		assert_int_equal(console_reader_next(r, &at, &n, &event, &text, &len, &err), 0);
		assert_int_equal(event, CONSOLE_EVENT_HELLO);
		assert_int_equal(console_reader_bind(
					 r, right ? mine : yours, right ? sizeof(mine) : sizeof(yours), &err),
			0);
		assert_int_equal(console_reader_next(r, &at, &n, &event, &text, &len, &err), right ? 0 : -1);
		console_reader_free(r);
	}
	/* Not bound at all, it gives nothing. */
	{
		struct result r;

		read_expecting(&e, m.bytes.data, m.bytes.len, 4096, &r);
		is_refused(&r, 0);
	}
	buf_free(&m.bytes);
}

static void test_other_lines(void **state)
{
	static const char before[] = "$ scone run\r\nsome text that is longer\n",
			  between[] = "echo of a shell\r\nC5i:AAAA\r\n";
	struct made m;
	struct buf b;
	struct result r;

	for (int lines = 0; lines < 2; lines++) {
		make(&m, true, lines);
		buf_init(&b, 1 << 20);
		buf_put(&b, before, strlen(before));
		buf_put(&b, m.bytes.data, m.at[2]);
		if (lines)
			buf_put(&b, between, strlen(between));
		buf_put(&b, m.bytes.data + m.at[2], m.bytes.len - m.at[2]);
		read_all(b.data, b.len, 7, &r);
		is_whole(&r);
		assert_int_equal(r.skipped, strlen(before) + (lines ? strlen(between) : 0));
		buf_free(&b);
		buf_free(&m.bytes);
	}
	read_all((const uint8_t *)"nothing but text\n", 17, 5, &r);
	assert_int_equal(r.end_rc, -1);
	buf_free(&r.text);
}

/* A record that was not taken is made anew: another nonce, the same place. */
static void test_sealed_again(void **state)
{
	uint8_t one[CONSOLE_FRAME_MAX], two[CONSOLE_FRAME_MAX], plain[CONSOLE_RECORD_PLAIN];
	struct aead *a = NULL, *b = NULL;
	struct console_half tx, rx;
	enum console_type type;

	assert_int_equal(console_half_start(&tx, key, (const uint8_t *)"x", 1, NULL, 0, NULL), 0);
	rx = tx;
	assert_int_equal(
		console_seal(&a, &tx, CONSOLE_DATA, (const uint8_t *)"abc", 3, one), 3 + CONSOLE_OVERHEAD);
	assert_int_equal(
		console_seal(&a, &tx, CONSOLE_DATA, (const uint8_t *)"abd", 3, two), 3 + CONSOLE_OVERHEAD);
	assert_memory_not_equal(one + 3, two + 3, 8);
	assert_int_equal(console_open(&b, &rx, two, 3 + CONSOLE_OVERHEAD, &type, plain), 3);
	assert_memory_equal(plain, "abd", 3);
	console_half_advance(&rx);
	assert_int_equal(console_open(&b, &rx, one, 3 + CONSOLE_OVERHEAD, &type, plain), -EBADMSG);
	aead_free(a);
	aead_free(b);
}

/* Of a writer that was killed: `again` is taken for its record where that is missing, and left out where it is not. */
static void test_again(void **state)
{
	enum { HELLO, ONE, AGAIN_ONE, AGAIN_ONE_ANEW, TWO, THREE, LAST };
	static const int good[][8] = {{HELLO, ONE, TWO, THREE, LAST, -1},
		{HELLO, ONE, AGAIN_ONE, TWO, THREE, LAST, -1}, {HELLO, AGAIN_ONE, TWO, THREE, LAST, -1},
		{HELLO, ONE, AGAIN_ONE, AGAIN_ONE_ANEW, TWO, THREE, LAST, -1},
		{HELLO, AGAIN_ONE, AGAIN_ONE_ANEW, TWO, THREE, LAST, -1}};
	static const int bad[][8] = {{HELLO, ONE, TWO, AGAIN_ONE, THREE, LAST, -1},
		{HELLO, AGAIN_ONE, ONE, TWO, THREE, LAST, -1}, {HELLO, TWO, AGAIN_ONE, THREE, LAST, -1},
		{AGAIN_ONE, HELLO, ONE, TWO, THREE, LAST, -1}, {HELLO, ONE, AGAIN_ONE, THREE, LAST, -1}};
	static const char *const texts[] = {"", "first\n", "\001first\n", "\001first\n", "second\n", "", ""};
	struct console_hello h = {
		.output = true, .run = {5}, .id = {7, 8}, .name = "stdout", .context = "s/v"};
	uint8_t hello[CONSOLE_HELLO_MAX], frame[CONSOLE_FRAME_MAX];
	size_t n = console_hello_encode(&h, hello);
	struct console_half half;
	struct aead *a = NULL;
	struct made m = {0};
	struct result r;

	buf_init(&m.bytes, 1 << 20);
	put(&m, hello, n, false, true);
	assert_int_equal(console_half_start(&half, key, hello, n, NULL, 0, NULL), 0);
	for (int i = ONE; i <= LAST; i++) {
		bool again = i == AGAIN_ONE || i == AGAIN_ONE_ANEW;
		long len;

		half.seq -= again;
		len = console_seal(&a, &half,
			again	    ? CONSOLE_AGAIN
			: i == LAST ? CONSOLE_END
				    : CONSOLE_DATA,
			(const uint8_t *)texts[i], strlen(texts[i]), frame);
		assert_true(len > 0);
		console_half_advance(&half);
		put(&m, frame, (size_t)len, false, true);
	}
	aead_free(a);
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		read_order(&m, good[i], &r);
		is_whole(&r);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		read_order(&m, bad[i], &r);
		is_refused(&r, 13);
	}
	buf_free(&m.bytes);
}

static void rules_of(const char *const *env, struct console_rules *r)
{
	struct error err;

	if (console_rules_parse((char *const *)env, r, &err))
		fail_msg("%s", err.text);
}

static void test_rules(void **state)
{
	struct console_rules r;

	rules_of((const char *const[]){"PATH=x", "SCONE_CONSOLE_SHIELDS=1", NULL}, &r);
	assert_int_equal(r.mode, CONSOLE_DISABLED);
	assert_int_equal(console_rules_decide(&r, 1), CONSOLE_PASS);
	rules_of((const char *const[]){P "_STDOUT=protected", P "_FD_7=refuse", P "_KEY=" KEY, NULL}, &r);
	assert_int_equal(r.mode, CONSOLE_UNPROTECTED);
	assert_int_equal(console_rules_decide(&r, 0), CONSOLE_PASS);
	assert_int_equal(console_rules_decide(&r, 1), CONSOLE_PROTECT);
	assert_int_equal(console_rules_decide(&r, 7), CONSOLE_REFUSE);
	assert_int_equal(r.fifos, CONSOLE_PASS);
	assert_int_equal(r.key[1], 0x11);
	console_rules_wipe(&r);
	rules_of((const char *const[]){P "=protected", P "_STDERR=unprotected", P "_FIFOS=unprotected", NULL},
		&r);
	assert_int_equal(console_rules_decide(&r, 0), CONSOLE_REFUSE);
	assert_int_equal(console_rules_decide(&r, 2), CONSOLE_PASS);
	assert_int_equal(console_rules_decide(&r, 2000), CONSOLE_REFUSE);
	assert_int_equal(r.fifos, CONSOLE_PASS);
	assert_int_equal(r.terminals, CONSOLE_REFUSE);
}

static void test_rules_refused(void **state)
{
	static const char *const bad[][4] = {
		{P "=on", NULL},
		{P "_STDOUT=protected", NULL},
		{P "_STDOUT=yes", P "_KEY=" KEY, NULL},
		{P "_KEY=0011", NULL},
		{P "_FD_2=refuse", NULL},
		{P "_FD_03=refuse", NULL},
		{P "_FD_1024=refuse", NULL},
		{P "_FD_=refuse", NULL},
		{P "_FD_3x=refuse", NULL},
		{P "_STDIN=refuse", P "_STDIN=refuse", NULL},
		{P "_FIFOS=protected", NULL},
		{P "_ATTACH=maybe", NULL},
		{P "_ATTACH=required", P "_STDOUT=protected", P "_KEY=" KEY, NULL},
		{P "_STDOU=refuse", NULL},
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct console_rules r;
		struct error err = {0};

		assert_int_equal(console_rules_parse((char *const *)bad[i], &r, &err), -1);
		assert_non_null(strstr(err.text, P));
		assert_null(strstr(err.text, "0011"));
	}
}

static void test_rules_file(void **state)
{
	static const char text[] = "# rules\n" P "=protected\n\n" P "_STDOUT=unprotected\r\n";
	struct console_rules r;
	struct error err;
	char **env;

	assert_int_equal(console_rules_lines(text, strlen(text), &env, &err), 0);
	assert_int_equal(console_rules_parse(env, &r, &err), 0);
	assert_int_equal(console_rules_decide(&r, 1), CONSOLE_PASS);
	console_rules_lines_free(env);
	assert_int_equal(console_rules_lines("PATH=x\n", 7, &env, &err), -1);
	assert_non_null(strstr(err.text, "line 1"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_every_bit),
		cmocka_unit_test(test_every_cut),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_wrong_key_name_direction),
		cmocka_unit_test(test_bound),
		cmocka_unit_test(test_other_lines),
		cmocka_unit_test(test_sealed_again),
		cmocka_unit_test(test_again),
		cmocka_unit_test(test_rules),
		cmocka_unit_test(test_rules_refused),
		cmocka_unit_test(test_rules_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
