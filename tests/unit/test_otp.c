/* One-time passwords: the values of RFC 6238, appendix B, and every answer of otp_check over a real store. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "cas/otp.h"
#include "core/encode.h"

#define KEY "12345678901234567890"

static void values_of_rfc_6238(void **state)
{
	static const struct {
		uint64_t time;
		const char *value; /* the last six of its eight digits */
	} rows[] = {{59, "287082"}, {1111111109, "081804"}, {1111111111, "050471"}, {1234567890, "005924"},
		{2000000000, "279037"}, {20000000000, "353130"}};
	char value[OTP_DIGITS + 1];

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		otp_value(KEY, strlen(KEY), rows[i].time / OTP_STEP, value);
		assert_string_equal(value, rows[i].value);
	}
}

struct fixture {
	char dir[64], path[96];
	struct store *store;
	struct sealed_store *sealed;
	struct stored_session s;
};

static void begin(struct fixture *f)
{
	static const char text[] =
		"version: \"0.3\"\nname: a/b\nsecurity: {attestation: {mode: none, "
		"one_time_password_shared_secret: "
		"GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ}}\nservices: [{name: s, pwd: /}, {name: t, pwd: /}, "
		"{name: own, pwd: /, one_time_password_shared_secret: MFRGGZDFMZTWQ2LKMFRGGZDFMZTWQ2LK}]\n";
	static const uint8_t master[SEALED_MASTER_LEN] = {7};
	struct error err;
	struct diag d;

	strcpy(f->dir, "/tmp/scone-otp.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->path, sizeof f->path, "%s/db", f->dir);
	if (store_sqlite_ops.open(f->path, true, &f->store, &err) ||
		sealed_store_create(f->store, master, &f->sealed, &err))
		fail_msg("%s", err.text);
	stored_session_init(&f->s);
	diag_init(&d);
	assert_int_equal(session_parse(text, strlen(text), &f->s.doc, &d), 0);
	diag_free(&d);
}

static void end(struct fixture *f)
{
	char command[128];

	stored_session_free(&f->s);
	sealed_store_close(f->sealed);
	f->store->ops->close(f->store);
	snprintf(command, sizeof command, "rm -r %s", f->dir);
	assert_int_equal(system(command), 0);
}

static void check(struct fixture *f, const char *service, const char *given, uint64_t now, const char *says)
{
	struct error err = {0};
	int rc = otp_check(f->sealed, &f->s, session_service(f->s.doc, service), given, now, &err);

	if ((rc == 0) != (says == NULL) || (says && !strstr(err.text, says)))
		fail_msg("%s %s at %llu: %s", service, given ? given : "-", (unsigned long long)now,
			rc ? err.text : "taken");
}

static const char *at(uint64_t time, const char *key)
{
	static char value[OTP_DIGITS + 1];

	otp_value(key, strlen(key), time / OTP_STEP, value);
	return value;
}

static void each_is_good_once(void **state)
{
	const uint64_t now = 1700000010;
	struct fixture f;

	begin(&f);
	check(&f, "s", NULL, now, "wants one");
	check(&f, "s", at(now - 60, KEY), now, "not the one of now");
	check(&f, "s", at(now + 60, KEY), now, "not the one of now");
	check(&f, "s", "", now, "not the one of now");
	check(&f, "s", "00000000", now, "not the one of now");
	check(&f, "s", at(now - 30, KEY), now, NULL); /* a clock that goes behind */
	check(&f, "s", at(now - 30, KEY), now, "used already");
	check(&f, "t", at(now - 30, KEY), now, "used already"); /* the session's: for all its services */
	check(&f, "s", at(now, KEY), now, NULL);
	check(&f, "s", at(now - 30, KEY), now, "used already"); /* not back */
	check(&f, "t", at(now + 30, KEY), now, NULL);
	check(&f, "own", at(now, KEY), now, "not the one of now");
	check(&f, "own", at(now, "abcdefghijabcdefghij"), now, NULL);
	check(&f, "own", at(now, "abcdefghijabcdefghij"), now, "used already");
	end(&f);
}

static void guessing_is_slow(void **state)
{
	const uint64_t now = 1700000010;
	struct fixture f;

	begin(&f);
	for (int i = 0; i < OTP_TRIES; i++)
		check(&f, "s", "x", now, "not the one of now");
	check(&f, "s", at(now, KEY), now, "10 wrong ones");
	check(&f, "own", at(now, "abcdefghijabcdefghij"), now, NULL);
	check(&f, "s", at(now + 30, KEY), now + 30, NULL);
	end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_of_rfc_6238),
		cmocka_unit_test(each_is_good_once),
		cmocka_unit_test(guessing_is_slow),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
