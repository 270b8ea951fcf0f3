/*
 * want: the little that every test program shares. A program prints one line a section and a FAIL line with the source line for
 * each thing that is not as Linux promises it; run natively there is none, so any difference is the runtime's.
 */
#ifndef SCONE_TESTS_WANT_H
#define SCONE_TESTS_WANT_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int want_failures;

#define WANT(cond) want((cond) ? 1 : 0, #cond, __LINE__)
/* The call fails with exactly this errno. */
#define FAILS(call, err) want_errno((long)(call), #call, err, #err, __LINE__)

static inline int want(int ok, const char *what, int line)
{
	int e = errno;
	if (!ok) {
		printf("FAIL line %d: %s (errno %d)\n", line, what, e);
		fflush(stdout);
		want_failures++;
	}
	return ok;
}

static inline void want_errno(long r, const char *what, int err, const char *name, int line)
{
	int e = errno;
	if (r != -1 || e != err) {
		printf("FAIL line %d: %s gave %ld, errno %d; wanted -1, %s\n", line, what, r, r == -1 ? e : 0,
			name);
		fflush(stdout);
		want_failures++;
	}
}

/* One line a section, flushed so that a later crash does not swallow it. */
static inline void section(const char *name)
{
	printf("%s\n", name);
	fflush(stdout);
}

static inline int want_done(void)
{
	printf("%s\n", want_failures ? "failed" : "all as wanted");
	fflush(stdout);
	return want_failures ? 1 : 0;
}

#endif
