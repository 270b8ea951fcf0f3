/* The readers of what closure meets: ELF files, ld.so.cache, "#!" lines. Damaged input is refused by name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include "measure/elf.h"
#include "measure/hwcaps.h"
#include "measure/ldcache.h"
#include "measure/shebang.h"

/* A small shared object, put together by hand. */
struct image {
	Elf64_Ehdr eh;
	Elf64_Phdr ph[4]; /* interp, load, load, dynamic */
	char interp[16];
	Elf64_Dyn dyn[9];
	char strings[64];
};

#define STRINGS "\0libone.so\0libtwo.so\0$ORIGIN/lib\0/run:path\0self.so"

static struct image good(void)
{
	struct image m = {0};
	memcpy(m.eh.e_ident, ELFMAG, SELFMAG);
	m.eh.e_ident[EI_CLASS] = ELFCLASS64;
	m.eh.e_ident[EI_DATA] = ELFDATA2LSB;
	m.eh.e_ident[EI_VERSION] = EV_CURRENT;
	m.eh.e_type = ET_DYN;
	m.eh.e_machine = EM_X86_64;
	m.eh.e_version = EV_CURRENT;
	m.eh.e_phoff = offsetof(struct image, ph);
	m.eh.e_phentsize = sizeof(Elf64_Phdr);
	m.eh.e_phnum = 4;
	strcpy(m.interp, "/lib/ld.so");
	m.ph[0] =
		(Elf64_Phdr){.p_type = PT_INTERP, .p_offset = offsetof(struct image, interp), .p_filesz = 11};
	m.ph[1] =
		(Elf64_Phdr){.p_type = PT_LOAD, .p_filesz = sizeof(m), .p_memsz = sizeof(m), .p_align = 4096};
	m.ph[2] = (Elf64_Phdr){.p_type = PT_LOAD, .p_vaddr = 0x2000, .p_memsz = 4096, .p_align = 4096};
	m.ph[3] = (Elf64_Phdr){
		.p_type = PT_DYNAMIC, .p_offset = offsetof(struct image, dyn), .p_filesz = sizeof(m.dyn)};
	memcpy(m.strings, STRINGS, sizeof(STRINGS));
	const Elf64_Dyn dyn[9] = {
		{DT_STRTAB, {offsetof(struct image, strings)}},
		{DT_STRSZ, {sizeof(STRINGS)}},
		{DT_NEEDED, {1}},
		{DT_NEEDED, {11}},
		{DT_RPATH, {21}},
		{DT_RUNPATH, {33}},
		{DT_SONAME, {43}},
		{DT_FLAGS_1, {DF_1_NODEFLIB}},
		{DT_NULL, {0}},
	};
	memcpy(m.dyn, dyn, sizeof(dyn));
	return m;
}

static int read_all(
	const void *p, size_t n, struct elf_dynamic *ret_dyn, char **ret_interp, struct error *err)
{
	struct elf e;
	struct elf_source s = {.bytes = p, .size = n};
	if (elf_open(&s, &e, err) < 0)
		return -1;
	int rc = elf_interp(&e, ret_interp, err);
	if (rc == 0 && elf_dynamic(&e, ret_dyn, err) < 0) {
		free(*ret_interp);
		rc = -1;
	}
	elf_close(&e);
	return rc;
}

static void test_good(void **state)
{
	struct image m = good();
	struct elf_dynamic d;
	struct error err;
	char *interp;
	if (read_all(&m, sizeof(m), &d, &interp, &err) < 0)
		fail_msg("%s", err.text);
	assert_string_equal(interp, "/lib/ld.so");
	assert_int_equal(d.needed_count, 2);
	assert_string_equal(d.needed[0], "libone.so");
	assert_string_equal(d.needed[1], "libtwo.so");
	assert_string_equal(d.rpath, "$ORIGIN/lib");
	assert_string_equal(d.runpath, "/run:path");
	assert_string_equal(d.soname, "self.so");
	assert_int_equal(d.flags_1, DF_1_NODEFLIB);
	free(interp);
	elf_dynamic_free(&d);
}

static void refused(const struct image *m, size_t n, const char *word)
{
	struct elf_dynamic d;
	struct error err = {0};
	char *interp;
	if (read_all(m, n, &d, &interp, &err) == 0)
		fail_msg("accepted, wanted a refusal for %s", word);
	assert_int_equal(err.code, ERR_INPUT);
	if (!strstr(err.text, word))
		fail_msg("\"%s\" does not speak of \"%s\"", err.text, word);
}

static void test_header(void **state)
{
	struct image m = good();
	for (size_t n = 0; n < sizeof(m.eh); n++)
		refused(&m, n, "shorter than an ELF header");
#define BREAK(stmt, word)                                                                                    \
	do {                                                                                                 \
		m = good();                                                                                  \
		stmt;                                                                                        \
		refused(&m, sizeof(m), word);                                                                \
	} while (0)
	BREAK(m.eh.e_ident[0] = 0, "magic");
	BREAK(m.eh.e_ident[EI_CLASS] = ELFCLASS32, "class is 1, wanted 2");
	BREAK(m.eh.e_ident[EI_DATA] = ELFDATA2MSB, "byte order");
	BREAK(m.eh.e_ident[EI_VERSION] = 0, "ident version");
	BREAK(m.eh.e_version = 2, "e_version");
	BREAK(m.eh.e_machine = EM_AARCH64, "e_machine is 183, wanted 62");
	BREAK(m.eh.e_type = ET_REL, "e_type is 1");
	BREAK(m.eh.e_type = ET_CORE, "e_type is 4");
	BREAK(m.eh.e_phentsize = 32, "e_phentsize");
	BREAK(m.eh.e_phnum = 0, "e_phnum");
	BREAK(m.eh.e_phnum = PN_XNUM, "e_phnum");
	BREAK(m.eh.e_phoff = sizeof(m) - 4 * sizeof(Elf64_Phdr) + 1, "program headers");
	BREAK(m.eh.e_phoff = UINT64_MAX - 8, "program headers");
}

static void test_segments(void **state)
{
	struct image m;
	BREAK(m.ph[1].p_filesz = sizeof(m) + 1; m.ph[1].p_memsz = sizeof(m) + 1, "over the end of the file");
	BREAK(m.ph[1].p_memsz = sizeof(m) - 1, "more bytes in the file than in memory");
	BREAK(m.ph[1].p_offset = UINT64_MAX - 4095, "over the end of the file");
	BREAK(m.ph[2].p_memsz = UINT64_MAX, "address space");
	BREAK(m.ph[2].p_vaddr = ELF_USER_END, "address space");
	BREAK(m.ph[2].p_vaddr = 0x2001, "different places of a page");
	BREAK(m.ph[2].p_align = 4097, "power of two");
	BREAK(m.ph[2].p_align = 1ull << 63, "alignment as large");
	BREAK(m.ph[1].p_memsz = 0x2001, "before the end of the one before");
	BREAK(m.ph[1].p_type = m.ph[2].p_type = PT_NOTE, "no PT_LOAD");
	BREAK(m.ph[3].p_type = PT_INTERP, "2 PT_INTERP");
	BREAK(m.ph[0].p_type = PT_DYNAMIC, "2 PT_DYNAMIC");
	BREAK(m.ph[0].p_offset = sizeof(m), "PT_INTERP reaches over");
	BREAK(m.ph[3].p_filesz = UINT64_MAX, "PT_DYNAMIC reaches over");
}

static void test_dynamic(void **state)
{
	struct image m;
	BREAK(m.ph[0].p_filesz = 10, "not terminated");
	BREAK(m.ph[0].p_filesz = 1, "PT_INTERP has 1 bytes");
	BREAK(m.ph[0].p_filesz = 0, "PT_INTERP has 0 bytes");
	BREAK(memset(m.interp, 0, sizeof(m.interp)), "PT_INTERP is empty");
	BREAK(m.dyn[0].d_tag = DT_DEBUG, "no string table");
	BREAK(m.dyn[0].d_un.d_ptr = 0x2000, "outside the file's segments");
	BREAK(m.dyn[0].d_un.d_ptr = UINT64_MAX, "outside the file's segments");
	BREAK(m.dyn[1].d_un.d_val = sizeof(m), "outside the file's segments");
	BREAK(m.dyn[1].d_un.d_val = UINT64_MAX, "outside the file's segments");
	BREAK(m.dyn[2].d_un.d_val = sizeof(STRINGS), "DT_NEEDED names string");
	BREAK(m.dyn[6].d_un.d_val = UINT64_MAX, "DT_SONAME names string");
	BREAK(m.dyn[1].d_un.d_val = sizeof(STRINGS) - 2, "has no NUL");
	BREAK(m.dyn[1].d_un.d_val = 5, "DT_NEEDED: string 1 has no NUL");
#undef BREAK
}

static int failing_pread(void *ctx, uint64_t off, void *p, size_t n)
{
	return -1;
}

static void test_pread_fails(void **state)
{
	struct elf_source s = {.pread = failing_pread, .size = 4096};
	struct elf e;
	struct error err;
	assert_int_equal(elf_open(&s, &e, &err), -1);
	assert_int_equal(err.code, ERR_IO);
}

/* A string longer than the first piece that is read. */
static void test_long_string(void **state)
{
	enum { LONG = 70000 };
	size_t n = sizeof(struct image) + LONG;
	char *p = calloc(1, n);
	struct image m = good();
	struct elf_dynamic d;
	struct error err;
	char *interp;
	assert_non_null(p);
	m.ph[1].p_filesz = m.ph[1].p_memsz = n;
	m.ph[2].p_vaddr = 0x100000;
	m.dyn[0].d_un.d_ptr = sizeof(m);
	m.dyn[1].d_un.d_val = LONG;
	for (int i = 2; i < 7; i++)
		m.dyn[i].d_un.d_val = 0;
	memset(p + sizeof(m), 'x', LONG);
	memcpy(p, &m, sizeof(m));
	p[sizeof(m) + 3000] = '\0';
	assert_int_equal(read_all(p, n, &d, &interp, &err), 0);
	assert_int_equal(strlen(d.needed[1]), 3000);
	free(interp);
	elf_dynamic_free(&d);
	p[sizeof(m) + 3000] = 'x';
	assert_int_equal(read_all(p, n, &d, &interp, &err), -1);
	assert_int_equal(err.code, ERR_INPUT);
	free(p);
}

static void test_recognise(void **state)
{
	struct image m = good();
	assert_true(elf_magic(&m, sizeof(m)));
	assert_false(elf_magic(&m, 3));
	assert_true(elf_is_native(&m, sizeof(m)));
	assert_false(elf_is_native(&m, 63));
	m.eh.e_machine = EM_386;
	assert_false(elf_is_native(&m, sizeof(m)));
}

static void test_shebang(void **state)
{
	static const struct {
		const char *text, *interp, *arg;
	} rows[] = {
		{"#!/bin/sh\necho", "/bin/sh", ""},
		{"#!/bin/sh", "/bin/sh", ""},
		{"#! \t /bin/sh \t\n", "/bin/sh", ""},
		{"#!/usr/bin/env -S  python3 -u \nx", "/usr/bin/env", "-S  python3 -u"},
		{"#!/bin/sh\t-e\n", "/bin/sh", "-e"},
		{"#!rel\n", "rel", ""},
		{"#!", "", ""},
		{"#! \t", "", ""},
	};
	struct shebang s;
	struct error err;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		assert_int_equal(shebang_parse(rows[i].text, strlen(rows[i].text), &s, &err), 1);
		assert_string_equal(s.interp, rows[i].interp);
		assert_string_equal(s.arg, rows[i].arg);
	}
	assert_int_equal(shebang_parse("#", 1, &s, &err), 0);
	assert_int_equal(shebang_parse("", 0, &s, &err), 0);
	assert_int_equal(shebang_parse("# !/bin/sh", 10, &s, &err), 0);
	assert_int_equal(shebang_parse("#!\n", 3, &s, &err), -1);
	assert_int_equal(shebang_parse("#!  \t\n/bin/sh", 13, &s, &err), -1);
	/* The kernel looks at 256 bytes: a path cut there is refused, an argument cut there is taken as far as it goes. */
	char line[400];
	memset(line, 'a', sizeof(line));
	memcpy(line, "#!/", 3);
	assert_int_equal(shebang_parse(line, sizeof(line), &s, &err), -1);
	line[20] = ' ';
	assert_int_equal(shebang_parse(line, sizeof(line), &s, &err), 1);
	assert_int_equal(strlen(s.interp), 18);
	assert_int_equal(strlen(s.arg), 256 - 21);
}

static void test_hwcaps(void **state)
{
	char dirs[HWCAPS_DIRS_MAX][HWCAPS_DIR_LEN];
	const struct hwcaps v4 = {
		.level = 4, .platform = "haswell", .legacy = HWCAP_BIT_X86_64 | HWCAP_BIT_AVX512_1};
	const struct hwcaps v1 = {.level = 1, .platform = "x86_64", .legacy = HWCAP_BIT_X86_64};
	assert_int_equal(hwcaps_subdirs(&v4, dirs), 3 + 15);
	assert_string_equal(dirs[0], "glibc-hwcaps/x86-64-v4");
	assert_string_equal(dirs[2], "glibc-hwcaps/x86-64-v2");
	assert_string_equal(dirs[3], "tls/haswell/avx512_1/x86_64");
	assert_string_equal(dirs[17], "x86_64");
	assert_int_equal(hwcaps_subdirs(&v1, dirs), 7);
	assert_string_equal(dirs[0], "tls/x86_64/x86_64");
	assert_int_equal(hwcaps_rank(&v4, "x86-64-v4"), 1);
	assert_int_equal(hwcaps_rank(&v4, "x86-64-v2"), 3);
	assert_int_equal(hwcaps_rank(&v1, "x86-64-v2"), 0);
	assert_int_equal(hwcaps_rank(&v4, "x86-64-v5"), 0);
	assert_int_equal(hwcaps_rank(&v4, "x86-64-v22"), 0);
	assert_int_equal(hwcaps_rank(&v4, ""), 0);
}

/* ld.so.cache by hand: header, five entries, strings, one extension with two hwcaps. */
struct cache {
	char magic[20];
	uint32_t nlibs, len_strings;
	uint8_t flags, pad[3];
	uint32_t extension, unused[3];
	struct {
		int32_t flags;
		uint32_t key, value, osversion;
		uint64_t hwcap;
	} entry[5];
	char strings[128];
	uint32_t ext_magic, ext_count;
	struct {
		uint32_t tag, flags, offset, size;
	} section;
	uint32_t hwcaps[2];
};

static uint32_t put_string(struct cache *c, size_t *at, const char *s)
{
	uint32_t off = (uint32_t)(offsetof(struct cache, strings) + *at);
	strcpy(c->strings + *at, s);
	*at += strlen(s) + 1;
	return off;
}

static struct cache good_cache(void)
{
	struct cache c = {.nlibs = 5, .len_strings = sizeof(c.strings), .flags = 2};
	size_t at = 0;
	memcpy(c.magic, "glibc-ld.so.cache1.1", 20);
	uint32_t liba = put_string(&c, &at, "liba.so"), libb = put_string(&c, &at, "libb.so");
	uint32_t v3 = put_string(&c, &at, "/v3/liba.so"), v2 = put_string(&c, &at, "/v2/liba.so");
	uint32_t plain = put_string(&c, &at, "/lib/liba.so"), other = put_string(&c, &at, "/lib32/libb.so");
	uint32_t b = put_string(&c, &at, "/lib/libb.so");
	c.entry[0].key = c.entry[1].key = c.entry[2].key = liba;
	c.entry[3].key = c.entry[4].key = libb;
	for (int i = 0; i < 5; i++)
		c.entry[i].flags = 0x0303;
	c.entry[0].value = v2;
	c.entry[0].hwcap = 1ul << 62;
	c.entry[1].value = v3;
	c.entry[1].hwcap = 1ul << 62 | 1;
	c.entry[2].value = plain;
	c.entry[3].value = other;
	c.entry[3].flags = 0x0803; /* x32 */
	c.entry[4].value = b;
	c.hwcaps[0] = put_string(&c, &at, "x86-64-v2");
	c.hwcaps[1] = put_string(&c, &at, "x86-64-v3");
	c.extension = offsetof(struct cache, ext_magic);
	c.ext_magic = 0xeaa42174;
	c.ext_count = 1;
	c.section.tag = 1;
	c.section.offset = offsetof(struct cache, hwcaps);
	c.section.size = sizeof(c.hwcaps);
	return c;
}

static const char *lookup(const struct cache *c, const char *name, unsigned level)
{
	const struct hwcaps h = {.level = level, .platform = "x86_64", .legacy = HWCAP_BIT_X86_64};
	struct ldcache l;
	struct error err;
	if (ldcache_parse(c, sizeof(*c), &l, &err) < 0)
		fail_msg("%s", err.text);
	return ldcache_lookup(&l, name, &h);
}

static void test_ldcache(void **state)
{
	struct cache c = good_cache();
	assert_string_equal(lookup(&c, "liba.so", 4), "/v3/liba.so");
	assert_string_equal(lookup(&c, "liba.so", 3), "/v3/liba.so");
	assert_string_equal(lookup(&c, "liba.so", 2), "/v2/liba.so");
	assert_string_equal(lookup(&c, "liba.so", 1), "/lib/liba.so");
	assert_string_equal(lookup(&c, "libb.so", 1), "/lib/libb.so");
	assert_null(lookup(&c, "lib", 1));
	assert_null(lookup(&c, "libc.so", 1));
	/* Legacy capabilities this processor lacks; a platform that is another one's. */
	c.entry[4].hwcap = HWCAP_BIT_AVX512_1;
	assert_null(lookup(&c, "libb.so", 1));
	c.entry[4].hwcap = 1ul << 48;
	assert_null(lookup(&c, "libb.so", 1));
	c.entry[4].hwcap = HWCAP_BIT_X86_64;
	assert_string_equal(lookup(&c, "libb.so", 1), "/lib/libb.so");
	/* A string outside the file. */
	c.entry[4].value = sizeof(c);
	assert_null(lookup(&c, "libb.so", 1));
	c.entry[4].key = UINT32_MAX;
	assert_null(lookup(&c, "libb.so", 1));
}

static void test_ldcache_refused(void **state)
{
	struct ldcache l;
	struct error err;
	struct cache c;
	for (size_t n = 0; n < offsetof(struct cache, ext_magic); n++) {
		c = good_cache();
		assert_int_equal(ldcache_parse(&c, n, &l, &err), -1);
		assert_int_equal(err.code, ERR_INPUT);
	}
#define BREAK(stmt)                                                                                          \
	do {                                                                                                 \
		c = good_cache();                                                                            \
		stmt;                                                                                        \
		assert_int_equal(ldcache_parse(&c, sizeof(c), &l, &err), -1);                                \
		assert_int_equal(err.code, ERR_INPUT);                                                       \
	} while (0)
	BREAK(c.magic[19] = '2');
	BREAK(c.flags = 3);
	BREAK(c.nlibs = UINT32_MAX);
	BREAK(c.len_strings = UINT32_MAX);
	BREAK(c.extension = UINT32_MAX);
	BREAK(c.ext_magic++);
	BREAK(c.ext_count = UINT32_MAX);
	BREAK(c.section.offset = sizeof(c));
	BREAK(c.section.size = UINT32_MAX);
	BREAK(c.section.size = 3);
#undef BREAK
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_header),
		cmocka_unit_test(test_segments),
		cmocka_unit_test(test_dynamic),
		cmocka_unit_test(test_pread_fails),
		cmocka_unit_test(test_long_string),
		cmocka_unit_test(test_recognise),
		cmocka_unit_test(test_shebang),
		cmocka_unit_test(test_hwcaps),
		cmocka_unit_test(test_ldcache),
		cmocka_unit_test(test_ldcache_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
