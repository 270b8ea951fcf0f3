/*
 * test_patterns: every labelled site of patterns.S meets the fate written beside it, and no other site is found.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "pattern_code.h"

/* The numbers that patterns.S uses. */
_Static_assert(REWRITE_BY_MOV == 0 && REWRITE_BY_TAIL == 1 && REWRITE_NO_FUNCTION == 2 &&
		       REWRITE_UNDECODED == 3 && REWRITE_UNREACHED == 4 && REWRITE_SHORT == 5 &&
		       REWRITE_BRANCH == 6 && REWRITE_INDIRECT == 7 && REWRITE_ENTRY == 8 &&
		       REWRITE_SIGRETURN == 9 && REWRITE_OVERLAP == 10,
	"patterns.S");

#define SITES_MAX 256

static struct {
	uint64_t at;
	enum rewrite_outcome outcome;
} seen[SITES_MAX];
static size_t seen_count;

static void trace(void *ctx, uint64_t at, enum rewrite_outcome outcome)
{
	if (seen_count < SITES_MAX) {
		seen[seen_count].at = at;
		seen[seen_count++].outcome = outcome;
	}
}

static const struct function_range *function_of(uint64_t at)
{
	for (const struct function_range *f = pattern_functions; f < pattern_functions_end; f++)
		if (at >= f->start && at < f->end)
			return f;
	return NULL;
}

static uint64_t offset(uint64_t at)
{
	return at - (uint64_t)patterns_start;
}

/* Name by the order of functions: the .S file's own labels are not kept at run time. */
static long number_of(uint64_t at)
{
	const struct function_range *f = function_of(at);

	return f ? f - pattern_functions + 1 : 0;
}

static int check_expected(void)
{
	int failed = 0;

	for (const struct expectation *e = pattern_expectations; e < pattern_expectations_end; e++) {
		size_t hits = 0;

		for (size_t i = 0; i < seen_count; i++) {
			if (seen[i].at != e->site)
				continue;
			hits++;
			if (seen[i].outcome == (enum rewrite_outcome)e->outcome)
				continue;
			printf("FAIL: function %ld, site +%#lx: %s, expected %s\n", number_of(e->site),
				(unsigned long)offset(e->site), rewrite_outcome_name(seen[i].outcome),
				rewrite_outcome_name(e->outcome));
			failed++;
		}
		if (hits != 1) {
			printf("FAIL: function %ld, site +%#lx: reported %zu times, expected once (%s)\n",
				number_of(e->site), (unsigned long)offset(e->site), hits,
				rewrite_outcome_name(e->outcome));
			failed++;
		}
	}
	return failed;
}

static int check_unexpected(void)
{
	int failed = 0;

	for (size_t i = 0; i < seen_count; i++) {
		const struct expectation *e = pattern_expectations;

		while (e < pattern_expectations_end && e->site != seen[i].at)
			e++;
		if (e < pattern_expectations_end)
			continue;
		printf("FAIL: function %ld: unlabelled bytes +%#lx: %s\n", number_of(seen[i].at),
			(unsigned long)offset(seen[i].at), rewrite_outcome_name(seen[i].outcome));
		failed++;
	}
	return failed;
}

/* A plan is ascending, its windows do not touch, and each holds the bytes that lie there. */
static int check_plan(const struct rewrite_plan *plan)
{
	uint64_t from = 0;

	for (uint32_t i = 0; i < plan->count; i++) {
		const struct rewrite_site *s = &plan->sites[i];

		if (s->off < from || s->len < 5 || s->len > REWRITE_WINDOW_MAX ||
			memcmp(s->bytes, patterns_start + s->off, s->len) != 0) {
			printf("FAIL: site %u at +%#x is malformed\n", i, s->off);
			return 1;
		}
		from = s->off + s->len;
	}
	return 0;
}

int main(void)
{
	struct rewrite_plan *plan;
	int failed, err = plan_patterns(trace, &plan);

	if (err < 0) {
		printf("FAIL: rewrite_plan_code: %s\n", strerror(-err));
		return 1;
	}
	failed = check_expected() + check_unexpected() + check_plan(plan);
	printf("%td sites expected, %zu seen, %u patched, %d wrong\n",
		pattern_expectations_end - pattern_expectations, seen_count, plan->count, failed);
	free(plan);
	return failed ? 1 : 0;
}
