/*
 * rewrite_elf: what an ELF file says about where its functions begin and end. Reads only what is asked for; any bytes are safe.
 *
 * Three tables are known: .eh_frame_hdr (PT_GNU_EH_FRAME), FUNC symbols of .symtab and .dynsym, and Go's .gopclntab.
 */
#ifndef SCONE_RUNTIME_REWRITE_ELF_H
#define SCONE_RUNTIME_REWRITE_ELF_H

#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of the file: from a descriptor, or in memory when mem is not NULL. */
struct elf_source {
	int fd;
	const uint8_t *mem;
	uint64_t size;
};

#define ELF_SEGMENTS_MAX 32

struct elf_segment {
	uint64_t vaddr, off, filesz;
	bool exec;
};

struct elf_symbol {
	uint64_t start, size;
};

struct elf_ranges {
	struct elf_source src;
	struct elf_segment segs[ELF_SEGMENTS_MAX]; /* PT_LOAD */
	size_t seg_count;
	/* .eh_frame_hdr's search table: pairs of int32, relative to hdr_vaddr */
	uint8_t *eh_table;
	size_t eh_count;
	uint64_t hdr_vaddr;
	/* last common information entry seen: neighbouring functions share it */
	uint64_t cie_vaddr;
	uint8_t cie_enc;
	/* sections of symbols and Go's table, read when first needed */
	Elf64_Shdr symtabs[2];
	size_t symtab_count;
	struct elf_symbol *symbols;
	size_t symbol_count;
	size_t symbol_lookups;
	bool symbols_read;
	Elf64_Shdr go_section;
	uint64_t go_text; /* start of .text, for tables that say 0 */
	uint8_t *go_table;
	size_t go_len;
	bool go_read;
};

/* 0; -ENOEXEC if the bytes are no ELF file for x86-64 with loadable segments; -EIO if they cannot be read. Only the headers and the search table are read. */
__attribute__((warn_unused_result)) int elf_ranges_open(struct elf_ranges *e, struct elf_source src);
void elf_ranges_close(struct elf_ranges *e);

/* Copy n bytes at file offset off: 0 or -EIO if they are not all there. */
__attribute__((warn_unused_result)) int elf_source_read(
	const struct elf_source *src, uint64_t off, void *p, size_t n);

/* Range of the function that covers vaddr. struct elf_ranges is not const: tables are read on demand. */
bool elf_ranges_function(struct elf_ranges *e, uint64_t vaddr, uint64_t *ret_start, uint64_t *ret_end);

/* Every defined symbol that lies in an executable segment. */
void elf_ranges_entries(struct elf_ranges *e, void (*hit)(void *arg, uint64_t vaddr), void *arg);

#endif
