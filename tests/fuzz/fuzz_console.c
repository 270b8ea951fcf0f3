/* Console streams and rules from whoever: nothing is given out that was not sealed, in order, from the beginning; what is refused says why. */
#include <stdlib.h>
#include <string.h>
#include "core/buf.h"
#include "fuzz.h"
#include "shield/console/reader.h"
#include "shield/console/rules.h"

#define P CONSOLE_RULES_PREFIX

static const uint8_t key[CONSOLE_KEY_LEN] = {1, 2, 3};
static const char wanted[] = "one\ntwo\nthree\n";

/* In pieces of two sizes: what comes out does not depend on them. */
static size_t read_in(const uint8_t *p, size_t n, size_t piece, bool *ret_ended)
{
	struct console_expect e = {.output = true};
	struct console_reader *r;
	struct error err = {0};
	size_t got = 0;
	int rc = 0;

	memcpy(e.key, key, sizeof(key));
	fuzz_check(console_reader_new(&e, &r, NULL) == 0);
	while (n > 0 && rc == 0) {
		size_t part = n < piece ? n : piece, left = part;
		const uint8_t *at = p;

		while (left > 0 && rc == 0) {
			enum console_event event;
			const uint8_t *text, *hello;
			size_t len, before = left;

			rc = console_reader_next(r, &at, &left, &event, &text, &len, &err);
			fuzz_check(rc == 0 || (err.text[0] && err.code != ERR_NONE));
			if (rc == 0 && event == CONSOLE_EVENT_DATA) {
				fuzz_check(
					got + len <= strlen(wanted) && memcmp(wanted + got, text, len) == 0);
				got += len;
			}
			if (rc == 0 && event == CONSOLE_EVENT_HELLO &&
				console_reader_hello(r, &hello, &len)->attach)
				rc = console_reader_bind(r, hello, 1, &err);
			fuzz_check(rc || event != CONSOLE_EVENT_NONE || left == 0 || left < before);
		}
		p += part;
		n -= part;
	}
	*ret_ended = console_reader_end(r, &err) == 0;
	fuzz_check(!*ret_ended || got == strlen(wanted));
	console_reader_free(r);
	return got;
}

static void run_stream(const uint8_t *p, size_t n)
{
	bool a, b;
	size_t one = read_in(p, n, 1, &a), all = read_in(p, n, n ? n : 1, &b);

	fuzz_check(one == all && a == b);
}

static void run_rules(const uint8_t *p, size_t n)
{
	struct console_rules r;
	struct error err = {0};
	char **env;
	bool any = false;

	if (console_rules_lines((const char *)p, n, &env, &err)) {
		fuzz_check(err.text[0]);
		return;
	}
	if (console_rules_parse(env, &r, &err)) {
		fuzz_check(err.text[0] && !r.has_key);
		console_rules_lines_free(env);
		return;
	}
	for (int fd = -1; fd <= CONSOLE_FDS_MAX; fd++) {
		enum console_action a = console_rules_decide(&r, fd);

		fuzz_check(a != CONSOLE_UNNAMED);
		any |= a == CONSOLE_PROTECT;
	}
	fuzz_check(!any || r.has_key);
	console_rules_lines_free(env);
	console_rules_wipe(&r);
}

static void make(bool lines, struct buf *out)
{
	static const char *const texts[] = {"one\n", "two\n", "three\n", ""};
	struct console_hello h = {.output = true, .run = {5}, .id = {7}, .name = "stdout", .context = "s/v"};
	uint8_t hello[CONSOLE_HELLO_MAX], frame[CONSOLE_FRAME_MAX];
	char line[CONSOLE_LINE_MAX];
	struct console_half half;
	struct aead *a = NULL;
	long n = (long)console_hello_encode(&h, hello);

	fuzz_check(console_half_start(&half, key, hello, (size_t)n, NULL, 0, NULL) == 0);
	memcpy(frame, hello, (size_t)n);
	for (int i = 0;; i++) {
		if (lines)
			buf_put(out, line, console_line_encode(true, frame, (size_t)n, line));
		else
			buf_put(out, frame, (size_t)n);
		if (i == 4)
			break;
		n = console_seal(&a, &half, i < 3 ? CONSOLE_DATA : CONSOLE_END, (const uint8_t *)texts[i],
			strlen(texts[i]), frame);
		fuzz_check(n > 0);
		console_half_advance(&half);
	}
	aead_free(a);
}

int main(int argc, char **argv)
{
	static const struct fuzz_seed texts[] = {
		FUZZ_SEED("# rules\n" P "=protected\n" P "_STDOUT=protected\n" P "_FD_7=refuse\n" P
			  "_ATTACH=no\n" P
			  "_KEY=00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n"),
	};
	static const char *const words[] = {P, "_STDIN", "_STDERR", "_FD_", "_FIFOS", "_TERMINALS", "_ATTACH",
		"required", "protected", "unprotected", "refuse", "=", "\n", NULL};
	static const char *const bytes[] = {"C5o:", "C5i:", "\n", "\r\n", "\xc5SCONE", NULL};
	struct buf binary, lines;
	bool ended;
	int rc;

	buf_init(&binary, 65536);
	buf_init(&lines, 65536);
	make(false, &binary);
	make(true, &lines);
	fuzz_check(read_in(binary.data, binary.len, 3, &ended) == strlen(wanted) && ended);
	fuzz_check(read_in(lines.data, lines.len, 3, &ended) == strlen(wanted) && ended);
	{
		const struct fuzz_seed streams[] = {{binary.data, binary.len}, {lines.data, lines.len}};
		const struct fuzz_target targets[] = {
			{"stream", run_stream, streams, 2, bytes},
			{"rules", run_rules, texts, 1, words},
		};

		rc = fuzz_main(argc, argv, targets, 2, 3000);
	}
	buf_free(&binary);
	buf_free(&lines);
	return rc;
}
