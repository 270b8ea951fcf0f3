/* TCG event logs: replay against values computed by hand, and everything malformed or untrue in a log. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include "../lib/make_tpm.h"
#include "crypto/hash.h"
#include "evidence/check.h"
#include "evidence/eventlog.h"

static void refused(const struct buf *log, enum evidence_check check, const char *word)
{
	struct eventlog_replay r;
	struct error err = {0};

	assert_int_equal(eventlog_replay(log->data, log->len, &r, &err), -1);
	assert_int_equal(err.code, ERR_ATTEST);
	if (strcmp(err.check, evidence_check_name(check)) != 0 || !strstr(err.text, word))
		fail_msg("refused for %s: \"%s\"; wanted %s and \"%s\"", err.check, err.text,
			evidence_check_name(check), word);
}

static void test_replay(void **state)
{
	static const uint8_t zeros[4];
	struct eventlog_replay r;
	uint8_t both[64] = {0}, digest[32];
	struct buf log;

	buf_init(&log, 65536);
	tpm_make_log(&log);
	assert_int_equal(eventlog_replay(log.data, log.len, &r, NULL), 0);
	assert_int_equal(r.extended, 0xff | 1u << 8 | 1u << 11);
	assert_int_equal(r.events, 14);
	assert_true(r.bank[EVENTLOG_SHA256] && r.bank[EVENTLOG_SHA384]);
	/* PCR 0: locality 3, firmware, separator */
	both[31] = 3;
	sha256("firmware 1.0", 12, both + 32);
	sha256(both, 64, digest);
	memcpy(both, digest, 32);
	sha256(zeros, 4, both + 32);
	sha256(both, 64, digest);
	assert_memory_equal(r.pcr[EVENTLOG_SHA256][0], digest, 32);
	memset(both, 0, 32); /* PCR 1: separator only */
	sha256(both, 64, digest);
	assert_memory_equal(r.pcr[EVENTLOG_SHA256][1], digest, 32);
	memset(digest, 0xff, 32);
	assert_memory_equal(r.pcr[EVENTLOG_SHA256][17], digest, 32);
	memset(digest, 0, 32);
	assert_memory_equal(r.pcr[EVENTLOG_SHA256][23], digest, 32);
	buf_free(&log);
}

static void test_truncated(void **state)
{
	struct eventlog_replay r;
	struct buf log;
	size_t whole = 0;

	buf_init(&log, 65536);
	tpm_make_log(&log);
	for (size_t n = 0; n < log.len; n++) {
		uint8_t *exact = malloc(n + 1);

		memcpy(exact, log.data, n);
		whole += eventlog_replay(exact, n, &r, NULL) == 0; /* only where an event ends */
		free(exact);
	}
	assert_int_equal(whole, 14);
	buf_free(&log);
}

static void test_header(void **state)
{
	static const struct {
		size_t at;
		uint8_t value;
		const char *word;
	} changes[] = {
		{0, 1, "no EV_NO_ACTION in PCR 0"},
		{4, 4, "no EV_NO_ACTION in PCR 0"},
		{28, 0xff, "cut off"},
		{32, 'X', "Spec ID Event03"},
		{56, 0, "no algorithms"},
		{56, 9, "no algorithms, or more"},
		{62, 33, "a length that it does not have"},
		{64, 0x0b, "a length that it does not have"},
		{68, 1, "vendor's bytes"},
	};
	struct buf log;

	for (size_t i = 0; i < sizeof(changes) / sizeof(*changes); i++) {
		buf_init(&log, 65536);
		tpm_put_log_header(&log);
		log.data[changes[i].at] = changes[i].value;
		refused(&log, CHECK_EVENT_LOG_FORMAT, changes[i].word);
		buf_free(&log);
	}
}

#define FIRST_EVENT 69 /* offset behind the header that tpm_put_log_header writes */

static void test_event(void **state)
{
	static const struct {
		size_t at;
		uint8_t value;
		const char *word;
	} changes[] = {
		{FIRST_EVENT, 24, "does not exist"},
		{FIRST_EVENT + 8, 1, "one digest for each algorithm"},
		{FIRST_EVENT + 12, 0x0c, "does not list"},
		{FIRST_EVENT + 12, 0x04, "does not list"},
		{FIRST_EVENT + 12 + 34 + 50 + 2, 0x10, "more data than is taken"},
		{FIRST_EVENT + 12 + 34 + 50, 6, "cut off"},
	};
	struct buf log;

	for (size_t i = 0; i < sizeof(changes) / sizeof(*changes); i++) {
		buf_init(&log, 65536);
		tpm_put_log_header(&log);
		assert_int_equal(log.len, FIRST_EVENT);
		tpm_put_event(3, 6, "event", 5, &log);
		log.data[changes[i].at] = changes[i].value;
		refused(&log, CHECK_EVENT_LOG_FORMAT, changes[i].word);
		buf_free(&log);
	}
}

static void test_separator(void **state)
{
	static const uint8_t failed[4] = {1};
	static const uint8_t ones[4] = {0xff, 0xff, 0xff, 0xff};
	struct eventlog_replay r;
	struct buf log;

	buf_init(&log, 65536);
	tpm_put_log_header(&log);
	tpm_put_event(2, EV_SEPARATOR, ones, sizeof(ones), &log);
	assert_int_equal(eventlog_replay(log.data, log.len, &r, NULL), 0);
	log.data[log.len - 1] ^= 1;
	refused(&log, CHECK_EVENT_LOG, "separator of PCR 2 (event 1) has a digest");
	buf_reset(&log);
	tpm_put_log_header(&log);
	tpm_put_event(2, EV_SEPARATOR, failed, sizeof(failed), &log);
	refused(&log, CHECK_EVENT_LOG, "firmware failed");
	buf_free(&log);
}

static void test_locality(void **state)
{
	static const uint8_t good[] = "StartupLocality\0\4", bad[] = "StartupLocality\0\5";
	struct eventlog_replay r;
	struct buf log;

	buf_init(&log, 65536);
	tpm_put_log_header(&log);
	tpm_put_event(0, EV_NO_ACTION, good, sizeof(good) - 1, &log);
	assert_int_equal(eventlog_replay(log.data, log.len, &r, NULL), 0);
	assert_int_equal(r.pcr[EVENTLOG_SHA256][0][31], 4);
	assert_int_equal(r.pcr[EVENTLOG_SHA384][0][47], 4);
	assert_int_equal(r.extended, 0);
	buf_reset(&log);
	tpm_put_log_header(&log);
	tpm_put_event(0, EV_NO_ACTION, bad, sizeof(bad) - 1, &log);
	refused(&log, CHECK_EVENT_LOG_FORMAT, "above 4");
	buf_reset(&log);
	tpm_put_log_header(&log);
	tpm_put_event(0, 8, "x", 1, &log);
	tpm_put_event(0, EV_NO_ACTION, good, sizeof(good) - 1, &log);
	refused(&log, CHECK_EVENT_LOG_FORMAT, "after PCR 0 was extended");
	buf_free(&log);
}

static void test_too_long(void **state)
{
	struct buf log;

	buf_init(&log, EVENTLOG_MAX + 1);
	log.len = EVENTLOG_MAX + 1;
	log.data = calloc(1, log.len);
	log.cap = log.len;
	refused(&log, CHECK_EVENT_LOG_FORMAT, "are taken");
	buf_free(&log);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_replay),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_header),
		cmocka_unit_test(test_event),
		cmocka_unit_test(test_separator),
		cmocka_unit_test(test_locality),
		cmocka_unit_test(test_too_long),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
