#include "runtime/x86_64/rewrite_elf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "host/host.h"

#define TABLE_MAX (128u << 20) /* bytes of any one table; a larger one is not read */
#define SYMBOLS_CHUNK 1024

/* DWARF exception header encodings (LSB 5, 10.5.1) */
#define DW_EH_PE_ABSPTR 0x00
#define DW_EH_PE_UDATA4 0x03
#define DW_EH_PE_UDATA8 0x04
#define DW_EH_PE_SDATA4 0x0b
#define DW_EH_PE_SDATA8 0x0c
#define DW_EH_PE_PCREL 0x10
#define DW_EH_PE_DATAREL 0x30
#define DW_EH_PE_OMIT 0xff

int elf_source_read(const struct elf_source *src, uint64_t off, void *p, size_t n)
{
	uint8_t *to = p;

	if (off > src->size || n > src->size - off)
		return -EIO;
	if (src->mem) {
		memcpy(p, src->mem + off, n);
		return 0;
	}
	while (n > 0) {
		long got = host_pread(src->fd, to, n, (off_t)off);

		if (got == -EINTR)
			continue;
		if (got <= 0)
			return -EIO;
		to += got;
		off += (uint64_t)got;
		n -= (size_t)got;
	}
	return 0;
}

/* A whole table of n bytes at off, to free(); NULL if it is not there or too large. */
static uint8_t *read_table(const struct elf_source *src, uint64_t off, uint64_t n)
{
	uint8_t *p;

	if (n == 0 || n > TABLE_MAX || off > src->size || n > src->size - off)
		return NULL;
	p = malloc(n);
	if (p && elf_source_read(src, off, p, n) < 0) {
		free(p);
		return NULL;
	}
	return p;
}

/* File offset of n bytes at vaddr: true if one segment's file part holds them all. */
static bool file_offset(const struct elf_ranges *e, uint64_t vaddr, uint64_t n, uint64_t *ret)
{
	for (size_t i = 0; i < e->seg_count; i++) {
		const struct elf_segment *s = &e->segs[i];

		if (vaddr >= s->vaddr && vaddr - s->vaddr <= s->filesz &&
			n <= s->filesz - (vaddr - s->vaddr)) {
			*ret = s->off + (vaddr - s->vaddr);
			return true;
		}
	}
	return false;
}

static int read_at(const struct elf_ranges *e, uint64_t vaddr, void *p, size_t n)
{
	uint64_t off;

	return file_offset(e, vaddr, n, &off) ? elf_source_read(&e->src, off, p, n) : -EIO;
}

static const struct elf_segment *exec_segment(const struct elf_ranges *e, uint64_t vaddr)
{
	for (size_t i = 0; i < e->seg_count; i++)
		if (e->segs[i].exec && vaddr >= e->segs[i].vaddr &&
			vaddr - e->segs[i].vaddr < e->segs[i].filesz)
			return &e->segs[i];
	return NULL;
}

/* --- opening --- */

static void open_eh_frame(struct elf_ranges *e, const Elf64_Phdr *ph)
{
	uint8_t h[12];
	uint32_t count;

	/* version 1, eh_frame pointer and count in four bytes each, table of pairs of int32 relative to the header: what every linker writes */
	if (ph->p_filesz < sizeof h || elf_source_read(&e->src, ph->p_offset, h, sizeof h) < 0)
		return;
	if (h[0] != 1 || (h[1] & 0x0f) != DW_EH_PE_SDATA4 || h[2] != DW_EH_PE_UDATA4 ||
		h[3] != (DW_EH_PE_DATAREL | DW_EH_PE_SDATA4))
		return;
	memcpy(&count, h + 8, sizeof count);
	if (count > (ph->p_filesz - sizeof h) / 8)
		return;
	e->eh_table = read_table(&e->src, ph->p_offset + sizeof h, 8 * (uint64_t)count);
	e->eh_count = e->eh_table ? count : 0;
	e->hdr_vaddr = ph->p_vaddr;
}

static void note_section(struct elf_ranges *e, const Elf64_Shdr *sh, const char *name)
{
	if ((sh->sh_type == SHT_SYMTAB || sh->sh_type == SHT_DYNSYM) && sh->sh_entsize == sizeof(Elf64_Sym) &&
		e->symtab_count < 2)
		e->symtabs[e->symtab_count++] = *sh;
	if (strcmp(name, ".gopclntab") == 0 || strcmp(name, ".data.rel.ro.gopclntab") == 0)
		e->go_section = *sh;
	if (strcmp(name, ".text") == 0)
		e->go_text = sh->sh_addr;
}

static void open_sections(struct elf_ranges *e, const Elf64_Ehdr *eh)
{
	Elf64_Shdr *sh;
	char *names = NULL;
	uint64_t names_len = 0;

	if (eh->e_shentsize != sizeof *sh || eh->e_shnum == 0)
		return;
	sh = (Elf64_Shdr *)read_table(&e->src, eh->e_shoff, (uint64_t)eh->e_shnum * sizeof *sh);
	if (!sh)
		return;
	if (eh->e_shstrndx < eh->e_shnum) {
		names_len = sh[eh->e_shstrndx].sh_size;
		names = (char *)read_table(&e->src, sh[eh->e_shstrndx].sh_offset, names_len);
	}
	for (size_t i = 0; i < eh->e_shnum; i++) {
		const char *name = "";

		if (names && sh[i].sh_name < names_len &&
			memchr(names + sh[i].sh_name, 0, names_len - sh[i].sh_name))
			name = names + sh[i].sh_name;
		note_section(e, &sh[i], name);
	}
	free(names);
	free(sh);
}

static int open_segments(struct elf_ranges *e, const Elf64_Ehdr *eh)
{
	Elf64_Phdr *ph, *eh_frame = NULL;

	if (eh->e_phentsize != sizeof *ph || eh->e_phnum == 0 || eh->e_phnum > 1024)
		return -ENOEXEC;
	ph = (Elf64_Phdr *)read_table(&e->src, eh->e_phoff, (uint64_t)eh->e_phnum * sizeof *ph);
	if (!ph)
		return -ENOEXEC;
	for (size_t i = 0; i < eh->e_phnum; i++) {
		struct elf_segment s = {
			ph[i].p_vaddr, ph[i].p_offset, ph[i].p_filesz, (ph[i].p_flags & PF_X) != 0};

		if (ph[i].p_type == PT_GNU_EH_FRAME)
			eh_frame = &ph[i];
		if (ph[i].p_type != PT_LOAD || s.filesz == 0 || s.off > e->src.size ||
			s.filesz > e->src.size - s.off || s.vaddr + s.filesz < s.vaddr)
			continue;
		if (e->seg_count < ELF_SEGMENTS_MAX)
			e->segs[e->seg_count++] = s;
	}
	if (eh_frame)
		open_eh_frame(e, eh_frame);
	free(ph);
	return e->seg_count > 0 ? 0 : -ENOEXEC;
}

int elf_ranges_open(struct elf_ranges *e, struct elf_source src)
{
	Elf64_Ehdr eh;
	int err;

	*e = (struct elf_ranges){.src = src};
	if (src.size < sizeof eh)
		return -ENOEXEC;
	err = elf_source_read(&src, 0, &eh, sizeof eh);
	if (err < 0)
		return err;
	if (memcmp(eh.e_ident, ELFMAG, SELFMAG) != 0 || eh.e_ident[EI_CLASS] != ELFCLASS64 ||
		eh.e_ident[EI_DATA] != ELFDATA2LSB || eh.e_machine != EM_X86_64)
		return -ENOEXEC;
	err = open_segments(e, &eh);
	if (err < 0) {
		elf_ranges_close(e);
		return err;
	}
	open_sections(e, &eh);
	return 0;
}

void elf_ranges_close(struct elf_ranges *e)
{
	free(e->eh_table);
	free(e->symbols);
	free(e->go_table);
	*e = (struct elf_ranges){0};
}

/* --- .eh_frame --- */

static int32_t table_word(const uint8_t *p)
{
	int32_t v;

	memcpy(&v, p, sizeof v);
	return v;
}

/* Skip one LEB128 number: bytes used, 0 if it does not end within len. */
static size_t leb_len(const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len && i < 10; i++)
		if (!(p[i] & 0x80))
			return i + 1;
	return 0;
}

static size_t encoded_len(uint8_t enc)
{
	switch (enc & 0x0f) {
	case DW_EH_PE_UDATA4:
	case DW_EH_PE_SDATA4:
		return 4;
	case DW_EH_PE_ABSPTR:
	case DW_EH_PE_UDATA8:
	case DW_EH_PE_SDATA8:
		return 8;
	default:
		return 0;
	}
}

/* How a common information entry (length and id already skipped) says that addresses are written: the 'R' of its augmentation. Signal
 * frames ('S') are refused: their range begins a byte before the code, for the sake of unwinders. */
static bool cie_encoding(const uint8_t *p, size_t len, uint8_t *ret)
{
	const uint8_t *aug, *data;
	size_t aug_len, n;

	if (len < 2 || (p[0] != 1 && p[0] != 3))
		return false;
	aug = p + 1;
	data = memchr(aug, 0, len - 1);
	if (!data)
		return false;
	aug_len = (size_t)(data - aug);
	data++;
	*ret = DW_EH_PE_ABSPTR;
	if (aug_len == 0)
		return true;
	if (aug[0] != 'z')
		return false;
	/* code alignment, data alignment, return register, length of the augmentation's data */
	for (int i = 0; i < 4; i++) {
		n = leb_len(data, len - (size_t)(data - p));
		if (n == 0)
			return false;
		data += n;
	}
	for (size_t i = 1; i < aug_len; i++) {
		size_t left = len - (size_t)(data - p);

		if (aug[i] == 'B')
			continue;
		if (left == 0)
			return false;
		if (aug[i] == 'R') {
			*ret = data[0];
			return !memchr(aug, 'S', aug_len);
		}
		n = aug[i] == 'P' ? encoded_len(data[0]) + 1 : 1;
		if ((aug[i] != 'P' && aug[i] != 'L') || n > left || (aug[i] == 'P' && n == 1))
			return false;
		data += n;
	}
	return true;
}

static bool read_cie(struct elf_ranges *e, uint64_t vaddr)
{
	uint8_t b[128];
	uint32_t len, id;
	size_t want;

	if (vaddr == e->cie_vaddr)
		return true;
	if (read_at(e, vaddr, b, 8) < 0)
		return false;
	memcpy(&len, b, 4);
	memcpy(&id, b + 4, 4);
	if (len < 4 || len == UINT32_MAX || id != 0)
		return false;
	want = len - 4 < sizeof b ? len - 4 : sizeof b;
	if (read_at(e, vaddr + 8, b, want) < 0 || !cie_encoding(b, want, &e->cie_enc))
		return false;
	e->cie_vaddr = vaddr;
	return true;
}

/* Bytes of code that the frame description at vaddr covers, if it begins at start. */
static bool fde_range(struct elf_ranges *e, uint64_t vaddr, uint64_t start, uint64_t *ret_len)
{
	uint8_t b[24];
	uint32_t len, back;
	uint64_t begin = 0, range = 0;
	size_t n;

	if (read_at(e, vaddr, b, 8) < 0)
		return false;
	memcpy(&len, b, 4);
	memcpy(&back, b + 4, 4);
	if (len < 12 || len == UINT32_MAX || back == 0 || back > vaddr + 4 || !read_cie(e, vaddr + 4 - back))
		return false;
	n = encoded_len(e->cie_enc);
	if (n == 0 || e->cie_enc == DW_EH_PE_OMIT || (e->cie_enc & 0x80) || len < 4 + 2 * n ||
		read_at(e, vaddr + 8, b, 2 * n) < 0)
		return false;
	memcpy(&begin, b, n);
	memcpy(&range, b + n, n);
	if (n == 4 && (e->cie_enc & 0x08))
		begin = (uint64_t)(int64_t)(int32_t)begin;
	if ((e->cie_enc & 0x70) == DW_EH_PE_PCREL)
		begin += vaddr + 8;
	else if ((e->cie_enc & 0x70) != 0)
		return false;
	*ret_len = range;
	return begin == start;
}

static bool eh_function(struct elf_ranges *e, uint64_t vaddr, uint64_t *ret_start, uint64_t *ret_end)
{
	size_t lo = 0, hi = e->eh_count;
	uint64_t start, fde, len;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (e->hdr_vaddr + (uint64_t)(int64_t)table_word(e->eh_table + 8 * mid) <= vaddr)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == 0)
		return false;
	start = e->hdr_vaddr + (uint64_t)(int64_t)table_word(e->eh_table + 8 * (lo - 1));
	fde = e->hdr_vaddr + (uint64_t)(int64_t)table_word(e->eh_table + 8 * (lo - 1) + 4);
	if (start > vaddr || !fde_range(e, fde, start, &len) || vaddr - start >= len || start + len < start)
		return false;
	*ret_start = start;
	*ret_end = start + len;
	return true;
}

/* --- symbols --- */

static void each_symbol(const struct elf_ranges *e, void (*each)(void *arg, const Elf64_Sym *s), void *arg)
{
	Elf64_Sym chunk[SYMBOLS_CHUNK];

	for (size_t t = 0; t < e->symtab_count; t++) {
		const Elf64_Shdr *sh = &e->symtabs[t];
		uint64_t left = sh->sh_size <= TABLE_MAX ? sh->sh_size / sizeof chunk[0] : 0;

		for (uint64_t off = sh->sh_offset; left > 0; off += sizeof chunk) {
			size_t n = left < SYMBOLS_CHUNK ? left : SYMBOLS_CHUNK;

			if (elf_source_read(&e->src, off, chunk, n * sizeof chunk[0]) < 0)
				break;
			for (size_t i = 0; i < n; i++)
				if (chunk[i].st_shndx != SHN_UNDEF && chunk[i].st_shndx != SHN_ABS &&
					chunk[i].st_value != 0)
					each(arg, &chunk[i]);
			left -= n;
		}
	}
}

struct entry_arg {
	const struct elf_ranges *e;
	void (*hit)(void *arg, uint64_t vaddr);
	void *arg;
};

static void pass_entry(void *p, const Elf64_Sym *s)
{
	struct entry_arg *a = p;

	if (exec_segment(a->e, s->st_value))
		a->hit(a->arg, s->st_value);
}

void elf_ranges_entries(struct elf_ranges *e, void (*hit)(void *arg, uint64_t vaddr), void *arg)
{
	struct entry_arg a = {e, hit, arg};

	each_symbol(e, pass_entry, &a);
}

struct collect_arg {
	struct elf_ranges *e;
	size_t cap;
	bool failed;
};

static void collect_function(void *p, const Elf64_Sym *s)
{
	struct collect_arg *a = p;
	struct elf_ranges *e = a->e;

	if (ELF64_ST_TYPE(s->st_info) != STT_FUNC || !exec_segment(e, s->st_value) || a->failed)
		return;
	if (e->symbol_count == a->cap) {
		size_t cap = a->cap ? 2 * a->cap : 1024;
		struct elf_symbol *v = realloc(e->symbols, cap * sizeof *v);

		if (!v) {
			a->failed = true;
			return;
		}
		e->symbols = v;
		a->cap = cap;
	}
	e->symbols[e->symbol_count++] = (struct elf_symbol){s->st_value, s->st_size};
}

static int by_start(const void *a, const void *b)
{
	const struct elf_symbol *x = a, *y = b;

	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	return x->size < y->size ? -1 : x->size > y->size;
}

/* Sorting is worth about a hundred linear searches; a large file with few doubtful places asks less often. */
#define UNSORTED_LOOKUPS 64

/* The last symbol that starts at or before vaddr, the larger of equals, and the start of the next one (0: none). */
static const struct elf_symbol *symbol_before(struct elf_ranges *e, uint64_t vaddr, uint64_t *ret_next)
{
	const struct elf_symbol *best = NULL;
	size_t lo = 0, hi = e->symbol_count;

	*ret_next = 0;
	if (e->symbol_lookups < UNSORTED_LOOKUPS) {
		e->symbol_lookups++;
		for (size_t i = 0; i < e->symbol_count; i++) {
			const struct elf_symbol *s = &e->symbols[i];

			if (s->start > vaddr && (*ret_next == 0 || s->start < *ret_next))
				*ret_next = s->start;
			if (s->start <= vaddr && (!best || by_start(s, best) > 0))
				best = s;
		}
		return best;
	}
	if (e->symbol_lookups++ == UNSORTED_LOOKUPS && e->symbol_count > 0)
		qsort(e->symbols, e->symbol_count, sizeof e->symbols[0], by_start);
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (e->symbols[mid].start <= vaddr)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo < e->symbol_count)
		*ret_next = e->symbols[lo].start;
	return lo > 0 ? &e->symbols[lo - 1] : NULL;
}

static bool symbol_function(struct elf_ranges *e, uint64_t vaddr, uint64_t *ret_start, uint64_t *ret_end)
{
	const struct elf_segment *seg = exec_segment(e, vaddr);
	const struct elf_symbol *s;
	uint64_t end, next;

	if (!e->symbols_read) {
		struct collect_arg a = {.e = e};

		e->symbols_read = true;
		each_symbol(e, collect_function, &a);
	}
	s = symbol_before(e, vaddr, &next);
	if (!s || !seg)
		return false;
	/* Assembly often gives no size: such a function reaches to the next one at most. */
	end = s->start + s->size;
	if (s->size == 0)
		end = next ? next : seg->vaddr + seg->filesz;
	if (s->start < seg->vaddr || end <= vaddr || end < s->start)
		return false;
	*ret_start = s->start;
	*ret_end = end;
	return true;
}

/* --- Go --- */

#define GO_MAGIC_16 0xfffffffau
#define GO_MAGIC_18 0xfffffff0u
#define GO_MAGIC_20 0xfffffff1u

static uint64_t go_word(const struct elf_ranges *e, size_t off)
{
	uint64_t v;

	memcpy(&v, e->go_table + off, sizeof v);
	return v;
}

static uint64_t go_entry(const uint8_t *p, size_t width)
{
	uint64_t v = 0;

	memcpy(&v, p, width);
	return v;
}

/* Header: magic, two zeros, quantum, pointer size, then words: functions, files, [text start since 1.18], name, unit, file, pc and
 * function table offsets. The function table has (entry, offset) pairs and ends with one more entry: the end of the text. Entries
 * are addresses as wide as a pointer before 1.18, 32-bit offsets from the text's start since. */
static bool go_function(struct elf_ranges *e, uint64_t vaddr, uint64_t *ret_start, uint64_t *ret_end)
{
	uint64_t count, table, base = 0;
	size_t lo = 0, hi, width;
	uint32_t magic;

	if (!e->go_read) {
		e->go_read = true;
		e->go_table = read_table(&e->src, e->go_section.sh_offset, e->go_section.sh_size);
		e->go_len = e->go_table ? e->go_section.sh_size : 0;
	}
	if (e->go_len < 72)
		return false;
	memcpy(&magic, e->go_table, sizeof magic);
	if ((magic != GO_MAGIC_16 && magic != GO_MAGIC_18 && magic != GO_MAGIC_20) || e->go_table[6] != 1 ||
		e->go_table[7] != 8)
		return false;
	width = magic == GO_MAGIC_16 ? 8 : 4;
	count = go_word(e, 8);
	table = go_word(e, magic == GO_MAGIC_16 ? 56 : 64);
	if (magic != GO_MAGIC_16)
		base = go_word(e, 24) ? go_word(e, 24) : e->go_text;
	if (table > e->go_len || count > (e->go_len - table) / (2 * width) ||
		count * 2 * width + width > e->go_len - table)
		return false;
	for (hi = count; lo < hi;) {
		size_t mid = lo + (hi - lo) / 2;

		if (base + go_entry(e->go_table + table + 2 * width * mid, width) <= vaddr)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == 0)
		return false;
	*ret_start = base + go_entry(e->go_table + table + 2 * width * (lo - 1), width);
	*ret_end = base + go_entry(e->go_table + table + 2 * width * lo, width);
	return *ret_start <= vaddr && vaddr < *ret_end;
}

bool elf_ranges_function(struct elf_ranges *e, uint64_t vaddr, uint64_t *ret_start, uint64_t *ret_end)
{
	return eh_function(e, vaddr, ret_start, ret_end) || go_function(e, vaddr, ret_start, ret_end) ||
	       symbol_function(e, vaddr, ret_start, ret_end);
}
