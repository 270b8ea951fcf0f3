/* Durations of the session language (5.2): pairs of a whole number and a unit, added up. */
#include <string.h>
#include "policy/schema.h"

#define DURATION_MAX (100ULL * 365 * 86400)

/* A month is 30 days, a year 365. */
static const struct unit {
	const char *words[4];
	uint64_t seconds;
} units[] = {
	{{"s", "sec", "second", "seconds"}, 1},
	{{"m", "min", "minute", "minutes"}, 60},
	{{"h", "hr", "hour", "hours"}, 3600},
	{{"d", "day", "days", NULL}, 86400},
	{{"w", "week", "weeks", NULL}, 7 * 86400},
	{{"month", "months", NULL, NULL}, 30 * 86400},
	{{"y", "year", "years", NULL}, 365 * 86400},
};

static uint64_t unit_seconds(const char *s, size_t n)
{
	for (size_t i = 0; i < sizeof units / sizeof *units; i++)
		for (size_t k = 0; k < 4 && units[i].words[k]; k++)
			if (strlen(units[i].words[k]) == n && !memcmp(units[i].words[k], s, n))
				return units[i].seconds;
	return 0;
}

/* One pair at *s: added to *sum. */
static bool take_pair(const char **s, uint64_t *sum)
{
	const char *p = *s, *word;
	uint64_t n = 0, unit;

	if (*p < '0' || *p > '9')
		return false;
	for (; *p >= '0' && *p <= '9'; p++) {
		n = n * 10 + (uint64_t)(*p - '0');
		if (n > DURATION_MAX)
			return false;
	}
	while (*p == ' ')
		p++;
	for (word = p; *p >= 'a' && *p <= 'z';)
		p++;
	unit = unit_seconds(word, (size_t)(p - word));
	if (unit == 0 || n > DURATION_MAX / unit)
		return false;
	*sum += n * unit;
	while (*p == ' ')
		p++;
	*s = p;
	return *sum <= DURATION_MAX;
}

bool want_duration(struct parse *p, const struct ynode *n, uint64_t *ret)
{
	const char *s;
	uint64_t sum = 0;

	if (!want_text(p, n, false))
		return false;
	s = n->text;
	while (*s && take_pair(&s, &sum))
		;
	if (*s || sum == 0) {
		ynode_diag(p->d, n, "E-DURATION",
			"%s is no duration from 1 second to 100 years; numbers with units s, m, h, d, w, "
			"month, y or their long "
			"names are, such as 90 days",
			show(n).s);
		return false;
	}
	*ret = sum;
	return true;
}
