/* pattern_code: what patterns.S offers to the tests. */
#ifndef SCONE_TESTS_PATTERN_CODE_H
#define SCONE_TESTS_PATTERN_CODE_H

#include <stdint.h>
#include "runtime/x86_64/rewrite_plan.h"

struct expectation {
	uint64_t site;
	uint64_t outcome; /* enum rewrite_outcome */
};
struct function_range {
	uint64_t start, end;
};

extern const uint8_t patterns_start[], patterns_end[], patterns_page_end[];
extern const struct function_range pattern_functions[], pattern_functions_end[];
extern const struct expectation pattern_expectations[], pattern_expectations_end[];
extern const uint64_t pattern_entries[], pattern_entries_end[];
extern uint64_t test_entry_calls;
void test_entry(void);

/* Plan the section of patterns as it lies in memory; trace may be NULL. */
int plan_patterns(
	void (*trace)(void *ctx, uint64_t at, enum rewrite_outcome outcome), struct rewrite_plan **ret);

#endif
