#include "fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define INPUT_MAX 65536
#define EDITS_MAX 6

static uint64_t state;
static const char *current_target;
static unsigned long current_seed, current_run;

/* xorshift64*, by the published constants */
static uint64_t next(void)
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return state * 0x2545f4914f6cdd1dull;
}

static size_t below(size_t n)
{
	return n ? (size_t)(next() % n) : 0;
}

static void report(void)
{
	fprintf(stderr, "fuzz: target %s, seed %lu, run %lu\n", current_target, current_seed, current_run);
}

/* Absent without a sanitizer. */
void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

void fuzz_check_at(bool ok, const char *what, const char *file, int line)
{
	if (ok)
		return;
	fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, what);
	report();
	abort();
}

/* Replace cut bytes at `at` by the n bytes of p. */
static size_t splice(uint8_t *b, size_t len, size_t at, size_t cut, const void *p, size_t n)
{
	uint8_t copy[256];

	if (n > sizeof(copy))
		n = sizeof(copy);
	if (len - cut + n > INPUT_MAX)
		return len;
	memcpy(copy, p, n); /* p may lie in b */
	memmove(b + at + n, b + at + cut, len - at - cut);
	memcpy(b + at, copy, n);
	return len - cut + n;
}

static size_t edit(const struct fuzz_target *t, uint8_t *b, size_t len)
{
	static const uint8_t odd[] = {0, 1, 0x7f, 0x80, 0xff, '"', '\\', '{', '[', '=', '\r', '\n', '-', '9'};
	size_t at = below(len + 1), cut, words = 0;
	const struct fuzz_seed *other;
	uint8_t c;

	switch (next() % 8) {
	case 0: /* a bit */
		if (len > 0)
			b[below(len)] ^= (uint8_t)(1u << below(8));
		return len;
	case 1: /* an odd byte over another */
		if (len > 0)
			b[below(len)] = odd[below(sizeof(odd))];
		return len;
	case 2: /* an odd byte put in */
		c = odd[below(sizeof(odd))];
		return splice(b, len, at, 0, &c, 1);
	case 3: /* some bytes gone */
		return splice(b, len, at, below(len - at < 32 ? len - at + 1 : 32), b, 0);
	case 4: /* a stretch repeated elsewhere */
		cut = below(len + 1);
		return splice(b, len, at, 0, b + cut, below(len - cut + 1));
	case 5: /* the end gone */
		return at;
	case 6: /* a word */
		while (t->words && t->words[words])
			words++;
		if (words == 0)
			return len;
		words = below(words);
		return splice(b, len, at, below(len - at < 16 ? len - at + 1 : 16), t->words[words],
			strlen(t->words[words]));
	default: /* a stretch of another seed */
		other = &t->seeds[below(t->seed_count)];
		cut = below(other->n + 1);
		return splice(b, len, at, below(len - at + 1), (const uint8_t *)other->p + cut,
			below(other->n - cut + 1));
	}
}

static void run_one(const struct fuzz_target *t, const uint8_t *p, size_t n)
{
	uint8_t *exact = malloc(n ? n : 1);

	if (!exact)
		abort();
	memcpy(exact, p, n);
	t->run(exact, n);
	free(exact);
}

/* One file as a seed; what is no file, or too long, is none. */
static bool read_seed(const char *path, struct fuzz_seed *ret)
{
	FILE *f = fopen(path, "rb");
	uint8_t *p = malloc(INPUT_MAX);
	size_t n = 0;

	if (f && p)
		n = fread(p, 1, INPUT_MAX, f);
	if (f)
		fclose(f);
	*ret = (struct fuzz_seed){p, n};
	if (n == 0)
		free(p);
	return n > 0;
}

/* The seeds of t and the files of CORPUS/NAME, in the order of their names, so that a seed's number repeats a run. */
static struct fuzz_seed *with_corpus(const struct fuzz_target *t, size_t *ret_count)
{
	char path[4096];
	struct dirent **names = NULL;
	struct fuzz_seed *all;
	int n;

	snprintf(path, sizeof(path), "%s/%s", FUZZ_CORPUS, t->name);
	n = scandir(path, &names, NULL, alphasort);
	all = calloc(t->seed_count + (n > 0 ? (size_t)n : 0), sizeof(*all));
	if (!all)
		abort();
	memcpy(all, t->seeds, t->seed_count * sizeof(*all));
	*ret_count = t->seed_count;
	for (int i = 0; i < n; i++) {
		snprintf(path, sizeof(path), "%s/%s/%s", FUZZ_CORPUS, t->name, names[i]->d_name);
		if (read_seed(path, &all[*ret_count]))
			++*ret_count;
		free(names[i]);
	}
	free(names);
	return all;
}

static void run_target(const struct fuzz_target *target, unsigned long runs)
{
	static uint8_t b[INPUT_MAX];
	struct fuzz_target with = *target;
	const struct fuzz_target *t = &with;
	struct fuzz_seed *seeds = with_corpus(target, &with.seed_count);

	with.seeds = seeds;

	current_target = t->name;
	for (size_t i = 0; i < t->seed_count; i++)
		run_one(t, t->seeds[i].p, t->seeds[i].n);
	for (current_run = 0; current_run < runs; current_run++) {
		const struct fuzz_seed *s = &t->seeds[below(t->seed_count)];
		size_t len = s->n < INPUT_MAX ? s->n : INPUT_MAX;

		memcpy(b, s->p, len);
		for (size_t edits = 1 + below(EDITS_MAX); edits > 0; edits--)
			len = edit(t, b, len);
		run_one(t, b, len);
	}
	for (size_t i = target->seed_count; i < with.seed_count; i++)
		free((void *)seeds[i].p);
	free(seeds);
}

int fuzz_main(int argc, char **argv, const struct fuzz_target *targets, size_t n, unsigned long default_runs)
{
	unsigned long runs = argc > 2 ? strtoul(argv[2], NULL, 10) : default_runs;

	current_seed = argc > 1 ? strtoul(argv[1], NULL, 10) : 1;
	state = current_seed * 0x9e3779b97f4a7c15ull | 1;
	if (__sanitizer_set_death_callback)
		__sanitizer_set_death_callback(report);
	for (size_t i = 0; i < n; i++)
		run_target(&targets[i], runs);
	printf("%zu targets, %lu inputs each, seed %lu\n", n, runs, current_seed);
	return 0;
}
