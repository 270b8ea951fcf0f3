#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
#include "core/log.h"

/* What one call writes to stderr. */
struct capture {
	int saved, pipe[2];
	char text[8192];
};

static void begin(struct capture *c)
{
	c->saved = dup(STDERR_FILENO);
	assert_int_equal(pipe(c->pipe), 0);
	dup2(c->pipe[1], STDERR_FILENO);
}

static const char *end(struct capture *c)
{
	size_t len = 0;
	ssize_t n;

	dup2(c->saved, STDERR_FILENO);
	close(c->saved);
	close(c->pipe[1]);
	while ((n = read(c->pipe[0], c->text + len, sizeof(c->text) - 1 - len)) > 0)
		len += (size_t)n;
	close(c->pipe[0]);
	c->text[len] = '\0';
	return c->text;
}

static void test_levels(void **state)
{
	struct capture c;

	log_init("prog");
	log_set_level(LOG_LVL_INFO);
	begin(&c);
	log_error("e %d", 1);
	log_warn("w");
	log_info("i");
	log_debug("d");
	assert_string_equal(end(&c), "prog: error: e 1\nprog: warn: w\nprog: info: i\n");
	log_set_level(LOG_LVL_ERROR);
	begin(&c);
	log_warn("w");
	assert_string_equal(end(&c), "");
	log_set_level(LOG_LVL_DEBUG);
	begin(&c);
	log_debug("d");
	assert_string_equal(end(&c), "prog: debug: d\n");
}

static void test_environment(void **state)
{
	struct capture c;
	enum log_level level;

	log_set_level(LOG_LVL_WARN);
	setenv("SCONE_LOG", "debug", 1);
	log_init("p");
	assert_int_equal(log_get_level(), LOG_LVL_DEBUG);
	log_set_level(LOG_LVL_WARN);
	setenv("SCONE_LOG", "loud", 1);
	begin(&c);
	log_init("p");
	assert_string_equal(
		end(&c), "p: warn: SCONE_LOG is 'loud', wanted error, warn, info or debug; using warn\n");
	assert_int_equal(log_get_level(), LOG_LVL_WARN);
	unsetenv("SCONE_LOG");
	assert_int_equal(log_level_parse("info", &level), 0);
	assert_int_equal(level, LOG_LVL_INFO);
	assert_int_equal(log_level_parse("INFO", &level), -1);
	assert_int_equal(log_level_parse("", &level), -1);
}

/* A quoted peer can neither forge a second line nor drive a terminal. */
static void test_control_characters(void **state)
{
	struct capture c;

	log_init("p");
	log_set_level(LOG_LVL_WARN);
	begin(&c);
	log_warn("a\np: error: forged\x1b[2J\ttab\x7f");
	assert_string_equal(end(&c), "p: warn: a p: error: forged?[2J tab?\n");
}

static void test_long_line(void **state)
{
	char big[6000];
	struct capture c;
	const char *text;

	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	log_init("p");
	begin(&c);
	log_warn("%s", big);
	text = end(&c);
	assert_true(strlen(text) < 2100);
	assert_string_equal(text + strlen(text) - 4, "...\n");
	assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
}

static void test_errno_survives(void **state)
{
	int saved = dup(STDERR_FILENO);

	close(STDERR_FILENO);
	errno = ENOTDIR;
	log_error("nobody reads this");
	assert_int_equal(errno, ENOTDIR);
	dup2(saved, STDERR_FILENO);
	close(saved);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_levels),
		cmocka_unit_test(test_environment),
		cmocka_unit_test(test_control_characters),
		cmocka_unit_test(test_long_line),
		cmocka_unit_test(test_errno_survives),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
