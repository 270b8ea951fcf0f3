/* What closure reads from files that an attacker may have made: ELF, ld.so.cache, "#!" lines, and a whole closure. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "fuzz.h"
#include "measure/elf.h"
#include "measure/hwcaps.h"
#include "measure/ldcache.h"
#include "measure/measure.h"
#include "measure/shebang.h"

struct bytes {
	const uint8_t *p;
	size_t n;
};

static int read_bytes(void *ctx, uint64_t off, void *p, size_t n)
{
	const struct bytes *b = ctx;
	fuzz_check(off <= b->n && n <= b->n - off); /* only asked for what is there */
	memcpy(p, b->p + off, n);
	return 0;
}

/* What elf_open promises to a loader. */
static void check_segments(const struct elf *e, size_t n)
{
	uint64_t end = 0;
	size_t loads = 0;
	for (size_t i = 0; i < e->header.e_phnum; i++) {
		const Elf64_Phdr *p = &e->phdr[i];
		if (p->p_type != PT_LOAD)
			continue;
		loads++;
		fuzz_check(p->p_filesz <= p->p_memsz);
		fuzz_check(p->p_offset <= n && p->p_filesz <= n - p->p_offset);
		fuzz_check(p->p_vaddr >= end && p->p_vaddr <= ELF_USER_END &&
			   p->p_memsz <= ELF_USER_END - p->p_vaddr);
		fuzz_check((p->p_vaddr & 4095) == (p->p_offset & 4095));
		fuzz_check((p->p_align & (p->p_align - 1)) == 0);
		end = p->p_vaddr + p->p_memsz;
	}
	fuzz_check(loads > 0);
	fuzz_check(e->header.e_type == ET_EXEC || e->header.e_type == ET_DYN);
}

static void check_string(const char *s, size_t n)
{
	fuzz_check(!s || strlen(s) < n);
}

static void run_elf(const uint8_t *p, size_t n)
{
	struct bytes b = {p, n};
	const struct elf_source sources[] = {
		{.bytes = p, .size = n}, {.pread = read_bytes, .ctx = &b, .size = n}};
	int opened[2] = {0}, dynamic[2] = {0};
	for (int i = 0; i < 2; i++) {
		struct elf e;
		struct elf_dynamic d;
		struct error err;
		char *interp;
		opened[i] = elf_open(&sources[i], &e, &err);
		if (opened[i] < 0)
			continue;
		check_segments(&e, n);
		if (elf_interp(&e, &interp, &err) == 0) {
			check_string(interp, n);
			free(interp);
		}
		dynamic[i] = elf_dynamic(&e, &d, &err);
		if (dynamic[i] == 0) {
			fuzz_check(d.needed_count <= ELF_NEEDED_MAX);
			for (size_t k = 0; k < d.needed_count; k++)
				check_string(d.needed[k], n);
			check_string(d.soname, n);
			check_string(d.rpath, n);
			check_string(d.runpath, n);
			elf_dynamic_free(&d);
		}
		elf_close(&e);
	}
	fuzz_check(opened[0] == opened[1] && dynamic[0] == dynamic[1]);
}

static void run_ldcache(const uint8_t *p, size_t n)
{
	static const struct hwcaps caps[] = {
		{1, "x86_64", HWCAP_BIT_X86_64}, {4, "haswell", HWCAP_BIT_X86_64 | HWCAP_BIT_AVX512_1}};
	static const char *const names[] = {"liba.so", "libb.so", "", "libc.so.6"};
	struct ldcache c;
	struct error err;
	if (ldcache_parse(p, n, &c, &err) < 0)
		return;
	for (size_t i = 0; i < 8; i++) {
		const char *path = ldcache_lookup(&c, names[i / 2], &caps[i % 2]);
		fuzz_check(!path || (path >= (const char *)p && path + strlen(path) < (const char *)p + n));
	}
}

static void run_shebang(const uint8_t *p, size_t n)
{
	struct shebang s;
	struct error err;
	int rc = shebang_parse(p, n, &s, &err);
	fuzz_check(rc == 1 || rc == 0 || err.code == ERR_INPUT);
	fuzz_check((rc == 0) == (n < 2 || p[0] != '#' || p[1] != '!'));
	if (rc == 1) {
		fuzz_check((s.interp[0] || !s.arg[0]) && strlen(s.interp) + strlen(s.arg) < SHEBANG_MAX);
		fuzz_check(!strchr(s.interp, '\n') && !strchr(s.arg, '\n'));
	}
}

static char file_path[] = "/tmp/fuzz_elf.XXXXXX";

static void run_closure(const uint8_t *p, size_t n)
{
	struct manifest m;
	struct error err = {0};
	int fd = open(file_path, O_WRONLY | O_TRUNC);
	fuzz_check(fd >= 0 && write(fd, p, n) == (ssize_t)n);
	close(fd);
	if (closure_compute(file_path, &m, &err) < 0) {
		fuzz_check(err.code != ERR_NONE && err.code != ERR_INTERNAL && err.text[0] != '\0');
		return;
	}
	fuzz_check(m.count >= 1);
	for (size_t i = 0; i < m.count; i++)
		fuzz_check(m.entries[i].path[0] == '/' &&
			   (i == 0 || strcmp(m.entries[i - 1].path, m.entries[i].path) < 0));
	manifest_free(&m);
}

static const char strings[] = "\0liba.so\0libc.so.6\0$ORIGIN/x:${LIB}:$PLATFORM\0/run::\0self.so";

struct image {
	Elf64_Ehdr eh;
	Elf64_Phdr ph[4];
	char interp[28];
	Elf64_Dyn dyn[9];
	char strings[sizeof(strings)];
};

static struct image small;

/* A shared object with everything the readers look at; small, so that edits meet the fields. */
static void make_image(void)
{
	struct image *m = &small;
	const Elf64_Dyn dyn[9] = {
		{DT_STRTAB, {offsetof(struct image, strings)}},
		{DT_STRSZ, {sizeof(strings)}},
		{DT_NEEDED, {9}},
		{DT_NEEDED, {9}},
		{DT_RPATH, {19}},
		{DT_RUNPATH, {46}},
		{DT_SONAME, {53}},
		{DT_FLAGS_1, {DF_1_NODEFLIB}},
		{DT_NULL, {0}},
	};
	memcpy(m->eh.e_ident, "\177ELF\2\1\1", 7);
	m->eh.e_type = ET_DYN;
	m->eh.e_machine = EM_X86_64;
	m->eh.e_version = EV_CURRENT;
	m->eh.e_phoff = offsetof(struct image, ph);
	m->eh.e_phentsize = sizeof(Elf64_Phdr);
	m->eh.e_phnum = 4;
	memcpy(m->interp, "/lib64/ld-linux-x86-64.so.2", 28);
	m->ph[0] =
		(Elf64_Phdr){.p_type = PT_INTERP, .p_offset = offsetof(struct image, interp), .p_filesz = 28};
	m->ph[1] = (Elf64_Phdr){
		.p_type = PT_LOAD, .p_filesz = sizeof(*m), .p_memsz = sizeof(*m), .p_align = 4096};
	m->ph[2] = (Elf64_Phdr){.p_type = PT_LOAD, .p_vaddr = 0x2000, .p_memsz = 4096, .p_align = 4096};
	m->ph[3] = (Elf64_Phdr){
		.p_type = PT_DYNAMIC, .p_offset = offsetof(struct image, dyn), .p_filesz = sizeof(dyn)};
	memcpy(m->dyn, dyn, sizeof(dyn));
	memcpy(m->strings, strings, sizeof(strings));
}

/* Header, two entries (one below glibc-hwcaps), strings, extension. */
static const uint8_t cache[] = "glibc-ld.so.cache1.1"
			       "\2\0\0\0\50\0\0\0\2\0\0\0\x88\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
			       "\3\3\0\0\x60\0\0\0\x68\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x40"
			       "\3\3\0\0\x60\0\0\0\x70\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
			       "liba.so\0/v2/a\0\0\0/lib/a\0\0x86-64-v2\0\0\0\0\0\0\0"
			       "\x74\x21\xa4\xea\1\0\0\0\1\0\0\0\0\0\0\0\xa0\0\0\0\4\0\0\0\x78\0\0\0";

static const struct fuzz_seed lines[] = {FUZZ_SEED("#!/bin/sh -e\nx"),
	FUZZ_SEED("#! \t/usr/bin/env  python3 \n"), FUZZ_SEED("#!/bin/sh"), FUZZ_SEED("#!\n"), FUZZ_SEED("")};
static const char *const line_words[] = {"#!", " ", "\t", "\n", "/bin/sh",
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaa",
	NULL};
static const char *const path_words[] = {"$ORIGIN", "${ORIGIN", "${ORIGIN}", "$LIB", ":", "/", "..",
	"/dev/null", "/dev/stdin", "libc.so.6", NULL};

int main(int argc, char **argv)
{
	make_image();
	/* Seeds must be whole before edits: otherwise nothing behind the first check is ever reached. */
	struct elf e;
	struct elf_dynamic d;
	struct ldcache c;
	const struct elf_source source = {.bytes = &small, .size = sizeof(small)};
	const struct hwcaps v2 = {2, "x86_64", HWCAP_BIT_X86_64};
	fuzz_check(elf_open(&source, &e, NULL) == 0 && elf_dynamic(&e, &d, NULL) == 0 && d.needed_count == 2);
	elf_dynamic_free(&d);
	elf_close(&e);
	fuzz_check(ldcache_parse(cache, sizeof(cache) - 1, &c, NULL) == 0);
	fuzz_check(strcmp(ldcache_lookup(&c, "liba.so", &v2), "/v2/a") == 0);
	int fd = mkstemp(file_path);
	fuzz_check(fd >= 0);
	close(fd);

	const struct fuzz_seed images[] = {{&small, sizeof(small)}};
	const struct fuzz_seed caches[] = {{cache, sizeof(cache) - 1}};
	const struct fuzz_seed programs[] = {
		{&small, sizeof(small)}, {&small, sizeof(small)}, FUZZ_SEED("#!/bin/true\n")};
	const struct fuzz_target parsers[] = {
		{"ELF", run_elf, images, 1, path_words},
		{"ld.so.cache", run_ldcache, caches, 1, NULL},
		{"#! line", run_shebang, lines, sizeof(lines) / sizeof(*lines), line_words},
	};
	const struct fuzz_target whole[] = {{"closure", run_closure, programs, 3, path_words}};
	int rc = fuzz_main(argc, argv, parsers, 3, 100000);
	if (rc == 0)
		rc = fuzz_main(argc, argv, whole, 1, 4000);
	unlink(file_path);
	return rc;
}
