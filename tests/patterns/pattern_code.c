#include "pattern_code.h"

static bool function_at(void *ctx, uint64_t vaddr, uint64_t *ret_start, uint64_t *ret_end)
{
	for (const struct function_range *f = pattern_functions; f < pattern_functions_end; f++) {
		if (vaddr < f->start || vaddr >= f->end)
			continue;
		*ret_start = f->start;
		*ret_end = f->end;
		return true;
	}
	return false;
}

static void entries(void *ctx, void (*hit)(void *arg, uint64_t vaddr), void *arg)
{
	for (const uint64_t *e = pattern_entries; e < pattern_entries_end; e++)
		hit(arg, *e);
	for (const struct function_range *f = pattern_functions; f < pattern_functions_end; f++)
		hit(arg, f->start);
}

int plan_patterns(
	void (*trace)(void *ctx, uint64_t at, enum rewrite_outcome outcome), struct rewrite_plan **ret)
{
	size_t len = (size_t)(patterns_page_end - patterns_start);
	struct rewrite_text text = {patterns_start, len, (uint64_t)patterns_start};
	struct rewrite_code code = {.texts = &text,
		.text_count = 1,
		.to = len,
		.function_at = function_at,
		.entries = entries,
		.trace = trace};

	return rewrite_plan_code(&code, ret);
}
