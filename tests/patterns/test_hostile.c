/*
 * test_hostile: damaged ELF files give a plan or an error, never a crash, and every plan is well formed. Runs under ASan too.
 *
 *   test_hostile [ROUNDS]
 *
 * The damage is a fixed pseudo-random sequence: a failure comes back by itself. Each file lies in a heap block of its exact size, so
 * that one byte read too far is found.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "runtime/x86_64/rewrite_cache.h"
#include "runtime/x86_64/rewrite_elf.h"

#define ROUNDS 300
#define PARTS_MAX 16

struct part {
	uint64_t off, len;
};

static uint64_t state = 0x9e3779b97f4a7c15;

static uint64_t next_random(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static uint8_t *read_file(const char *path, size_t *ret_len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	uint8_t *p;

	if (fd < 0)
		return NULL;
	if (fstat(fd, &st) < 0)
		exit(1);
	p = malloc((size_t)st.st_size);
	if (!p || read(fd, p, (size_t)st.st_size) != st.st_size)
		exit(1);
	close(fd);
	*ret_len = (size_t)st.st_size;
	return p;
}

/* The places worth damaging: headers, tables of functions, code. */
static size_t find_parts(const uint8_t *file, size_t len, struct part *parts)
{
	static const char *const wanted[] = {
		".eh_frame_hdr", ".eh_frame", ".dynsym", ".symtab", ".gopclntab", ".text", ".shstrtab"};
	Elf64_Ehdr eh;
	Elf64_Shdr sh, names;
	size_t n = 0;

	memcpy(&eh, file, sizeof eh);
	parts[n++] = (struct part){0, sizeof eh};
	parts[n++] = (struct part){eh.e_phoff, (uint64_t)eh.e_phnum * sizeof(Elf64_Phdr)};
	parts[n++] = (struct part){eh.e_shoff, (uint64_t)eh.e_shnum * sizeof(Elf64_Shdr)};
	memcpy(&names, file + eh.e_shoff + eh.e_shstrndx * sizeof sh, sizeof names);
	for (size_t i = 0; i < eh.e_shnum; i++) {
		memcpy(&sh, file + eh.e_shoff + i * sizeof sh, sizeof sh);
		for (size_t w = 0; w < sizeof wanted / sizeof wanted[0]; w++) {
			if (strcmp((const char *)file + names.sh_offset + sh.sh_name, wanted[w]) == 0 &&
				sh.sh_size > 0 && n < PARTS_MAX)
				parts[n++] = (struct part){
					sh.sh_offset, sh.sh_size < 4096 ? sh.sh_size : sh.sh_size / 8};
		}
	}
	(void)len;
	return n;
}

static void damage(uint8_t *file, size_t len, const struct part *parts, size_t n)
{
	static const uint64_t values[] = {
		0, 1, 0x7f, 0xff, 0x7fffffff, 0x80000000, 0xffffffff, 0x7fffffffffffffff, UINT64_MAX};
	size_t count = 1 + next_random() % 12;
	const struct part *p = &parts[next_random() % n];

	for (size_t i = 0; i < count; i++) {
		uint64_t at = p->off + next_random() % p->len;
		uint64_t v = next_random() % 2 ? next_random()
					       : values[next_random() % (sizeof values / sizeof values[0])];
		size_t width = (size_t)1 << next_random() % 4;

		if (width > 1 && next_random() % 4)
			at &= ~(uint64_t)(width - 1);
		if (at < len && width <= len - at)
			memcpy(file + at, &v, width);
	}
}

/* A plan's sites ascend, lie in the range, and hold what the file holds there. */
static int check(const struct rewrite_plan *plan, const uint8_t *file, size_t len, uint64_t off, size_t range)
{
	uint64_t from = 0;

	if (plan->len != range) {
		printf("FAIL: a plan of %lu bytes, expected %zu\n", (unsigned long)plan->len, range);
		return 1;
	}
	for (uint32_t i = 0; i < plan->count; i++) {
		const struct rewrite_site *s = &plan->sites[i];

		if (s->off < from || s->len < 5 || s->len > REWRITE_WINDOW_MAX || s->off + s->len > range ||
			off + s->off + s->len > len || memcmp(file + off + s->off, s->bytes, s->len) != 0) {
			printf("FAIL: malformed site %u of %u at %#x\n", i, plan->count, s->off);
			return 1;
		}
		from = s->off + s->len;
	}
	return 0;
}

static int attack(const char *path, unsigned rounds)
{
	size_t len, n, cut;
	struct part parts[PARTS_MAX];
	uint8_t *original = read_file(path, &len), *file;
	uint64_t patched = 0;
	unsigned errors = 0;
	int failed = 0;

	if (!original)
		return 0;
	n = find_parts(original, len, parts);
	for (unsigned i = 0; i < rounds && !failed; i++) {
		struct rewrite_plan *plan;
		uint64_t off = 0;
		size_t range;
		int err;

		cut = i % 8 ? len : next_random() % len;
		file = malloc(cut ? cut : 1);
		memcpy(file, original, cut);
		if (i > 0)
			damage(file, cut, parts, n);
		range = len;
		if (i % 16 == 5)
			off = next_random() % (2 * len);
		if (i % 16 == 6)
			range = next_random() % (2 * len);
		err = rewrite_plan_source(
			(struct elf_source){.fd = -1, .mem = file, .size = cut}, off, range, &plan);
		if (err == 0) {
			failed += check(plan, file, cut, off, range);
			patched += plan->count;
			free(plan);
		} else if (err != -EIO && err != -EINVAL) {
			printf("FAIL: round %u: %s\n", i, strerror(-err));
			failed++;
		} else {
			errors++;
		}
		free(file);
	}
	printf("%s: %u rounds, %u errors, %lu sites planned\n", path, rounds, errors, (unsigned long)patched);
	/* A file that gives nothing even undamaged would make all of this prove nothing. */
	if (patched == 0) {
		printf("FAIL: no site planned\n");
		failed++;
	}
	free(original);
	return failed;
}

int main(int argc, char **argv)
{
	unsigned rounds = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : ROUNDS;
	int failed = attack("/lib64/ld-linux-x86-64.so.2", rounds);

	failed += attack("/usr/lib/x86_64-linux-musl/libc.so", rounds / 2);
	failed += attack("/usr/local/go/bin/gofmt", rounds / 4);
	failed += attack("/usr/lib/go/bin/gofmt", rounds / 4);
	failed += attack("/lib/x86_64-linux-gnu/libc.so.6", rounds / 8);
	return failed ? 1 : 0;
}
