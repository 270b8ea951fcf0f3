/*
 * fuzz: a small deterministic driver. Inputs are made from seeds by random edits; the generator is seeded by a number,
 * so a failure is repeated by the same number. Coverage does not guide it: seeds and words should reach every branch.
 *
 * A target's seeds are those it is declared with, and the files of tests/fuzz/corpus/NAME, where a directory has its name.
 *
 * Programs are called as PROGRAM [SEED [RUNS]]. A target's run aborts (fuzz_check) when a promise of the code is broken;
 * the sanitizers see to the rest. Every input is a heap block of its exact size.
 */
#ifndef SCONE_TESTS_FUZZ_H
#define SCONE_TESTS_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fuzz_seed {
	const void *p;
	size_t n;
};

struct fuzz_target {
	const char *name;
	void (*run)(const uint8_t *p, size_t n);
	const struct fuzz_seed *seeds; /* at least one */
	size_t seed_count;
	const char *const *words; /* NULL-terminated: spliced into inputs; may be NULL */
};

/* Runs every target; the number of inputs for each is RUNS or default_runs. Returns the exit status. */
int fuzz_main(int argc, char **argv, const struct fuzz_target *targets, size_t n, unsigned long default_runs);

#define FUZZ_SEED(text)                                                                                      \
	{                                                                                                    \
		(text), sizeof(text) - 1                                                                     \
	}
#define fuzz_check(cond) fuzz_check_at((cond), #cond, __FILE__, __LINE__)
void fuzz_check_at(bool ok, const char *what, const char *file, int line);

#endif
