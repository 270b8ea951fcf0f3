#include "measure/hwcaps.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

void hwcaps_detect(struct hwcaps *ret)
{
	__builtin_cpu_init();
	*ret = (struct hwcaps){.level = 1, .platform = "x86_64", .legacy = HWCAP_BIT_X86_64};
	if (__builtin_cpu_supports("x86-64-v4"))
		ret->level = 4;
	else if (__builtin_cpu_supports("x86-64-v3"))
		ret->level = 3;
	else if (__builtin_cpu_supports("x86-64-v2"))
		ret->level = 2;
	/* glibc names other platforms on Intel's processors only. */
	if (!__builtin_cpu_is("intel"))
		return;
	bool phi = __builtin_cpu_supports("avx512er") && __builtin_cpu_supports("avx512pf");
	if (ret->level >= 3)
		ret->platform = "haswell";
	if (phi)
		ret->platform = "xeon_phi";
	else if (ret->level == 4)
		ret->legacy |= HWCAP_BIT_AVX512_1;
}

size_t hwcaps_subdirs(const struct hwcaps *h, char ret[HWCAPS_DIRS_MAX][HWCAPS_DIR_LEN])
{
	size_t n = 0;
	for (unsigned v = h->level; v >= 2; v--)
		snprintf(ret[n++], HWCAPS_DIR_LEN, "glibc-hwcaps/x86-64-v%u", v);
	/* Every combination of these, the first counting most. */
	const char *parts[4];
	size_t count = 0;
	parts[count++] = "tls";
	parts[count++] = h->platform;
	if (h->legacy & HWCAP_BIT_AVX512_1)
		parts[count++] = "avx512_1";
	parts[count++] = "x86_64";
	for (unsigned set = (1u << count) - 1; set > 0; set--) {
		size_t len = 0;
		for (size_t i = 0; i < count; i++)
			if (set & (1u << (count - 1 - i)))
				len += (size_t)snprintf(
					ret[n] + len, HWCAPS_DIR_LEN - len, "%s%s", len ? "/" : "", parts[i]);
		n++;
	}
	return n;
}

unsigned hwcaps_rank(const struct hwcaps *h, const char *name)
{
	static const char prefix[] = "x86-64-v";
	size_t n = sizeof(prefix) - 1;
	if (strncmp(name, prefix, n) != 0 || name[n] < '2' || name[n] > '4' || name[n + 1] != '\0')
		return 0;
	unsigned level = (unsigned)(name[n] - '0');
	return level <= h->level ? 5 - level : 0;
}
