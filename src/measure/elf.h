/*
 * elf: a bounded reader of ELF64 files for x86-64 (System V gABI chapters 4 and 5). Any bytes may come in; what it hands
 * out is checked: a caller may map the segments of an opened file without looking at the numbers again.
 *
 * It does no I/O of its own: bytes come from memory, or from a callback that reads at an offset.
 */
#ifndef SCONE_MEASURE_ELF_H
#define SCONE_MEASURE_ELF_H

#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "core/error.h"

#define ELF_PHDR_MAX 128
#define ELF_DYN_MAX 4096 /* entries of the dynamic section */
#define ELF_NEEDED_MAX 1024 /* libraries one file may name */
#define ELF_STRING_MAX 65536
#define ELF_INTERP_MAX 4096 /* with NUL, as the kernel's PATH_MAX */
#define ELF_USER_END 0x7ffffffff000ul /* first address the kernel does not map for a program */

/* Where the bytes are. bytes set: size bytes there, which must outlive the reader. Otherwise pread(ctx, off, p, n) puts
 * exactly n bytes at p and returns 0, or returns -1; it is only asked for ranges inside size. */
struct elf_source {
	const void *bytes;
	int (*pread)(void *ctx, uint64_t off, void *p, size_t n);
	void *ctx;
	uint64_t size;
};

struct elf {
	struct elf_source src;
	Elf64_Ehdr header;
	Elf64_Phdr *phdr; /* owned; header.e_phnum of them */
};

/* What ld.so(8) looks at. Strings are owned; NULL or empty where the file has none. */
struct elf_dynamic {
	char *soname, *rpath, *runpath;
	char **needed; /* in file order */
	size_t needed_count;
	uint64_t flags_1; /* DT_FLAGS_1 */
};

/* The first n bytes of a file say ELF at all (\177ELF)? */
bool elf_magic(const void *p, size_t n);

/* True if the header is ELF64 little endian for x86-64: another class or machine is skipped by ld.so, not refused. */
bool elf_is_native(const void *p, size_t n);

/*
 * Read and check header and program headers. On success:
 * e_type is ET_EXEC or ET_DYN; at least one PT_LOAD; each PT_LOAD has p_filesz <= p_memsz, its file range inside the file,
 * its memory range below ELF_USER_END, vaddr and offset congruent modulo 4096, p_align a power of two or 0; PT_LOADs
 * ascend and do not overlap; at most one PT_INTERP and one PT_DYNAMIC, inside the file.
 * ERR_INPUT: malformed, with the field, the value seen and the value wanted. ERR_IO: pread failed. ERR_NOMEM.
 */
MUST_USE int elf_open(const struct elf_source *src, struct elf *ret, struct error *err);
void elf_close(struct elf *e);

/* First program header of a type; NULL if none. */
const Elf64_Phdr *elf_segment(const struct elf *e, uint32_t type);

/* PT_INTERP's path, owned by the caller; *ret NULL if there is none. */
MUST_USE int elf_interp(const struct elf *e, char **ret, struct error *err);

/* A file without PT_DYNAMIC gives an empty result. */
MUST_USE int elf_dynamic(const struct elf *e, struct elf_dynamic *ret, struct error *err);
void elf_dynamic_free(struct elf_dynamic *d);

/* File offset of n bytes at a virtual address, all in one PT_LOAD's file part; -1 if they are not. */
MUST_USE int elf_vaddr_offset(const struct elf *e, uint64_t vaddr, uint64_t n, uint64_t *ret);

#endif
