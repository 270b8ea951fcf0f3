#include "measure/elf.h"

#include <stdlib.h>
#include <string.h>

#define PAGE 4096ul

static bool inside(uint64_t off, uint64_t n, uint64_t size)
{
	return off <= size && n <= size - off;
}

static int source_read(const struct elf_source *s, uint64_t off, void *p, size_t n, struct error *err)
{
	if (!inside(off, n, s->size))
		return error_set(err, ERR_INPUT,
			"ELF: %zu bytes at offset %llu lie outside the file of %llu bytes", n,
			(unsigned long long)off, (unsigned long long)s->size);
	if (s->bytes) {
		memcpy(p, (const uint8_t *)s->bytes + off, n);
		return 0;
	}
	if (s->pread(s->ctx, off, p, n) < 0)
		return error_set(
			err, ERR_IO, "cannot read %zu bytes at offset %llu", n, (unsigned long long)off);
	return 0;
}

bool elf_magic(const void *p, size_t n)
{
	return n >= SELFMAG && memcmp(p, ELFMAG, SELFMAG) == 0;
}

bool elf_is_native(const void *p, size_t n)
{
	Elf64_Ehdr h;
	if (!elf_magic(p, n) || n < sizeof(h))
		return false;
	memcpy(&h, p, sizeof(h));
	return h.e_ident[EI_CLASS] == ELFCLASS64 && h.e_ident[EI_DATA] == ELFDATA2LSB &&
	       h.e_machine == EM_X86_64;
}

static int check_header(const Elf64_Ehdr *h, struct error *err)
{
	if (!elf_magic(h, sizeof(*h)))
		return error_set(err, ERR_INPUT, "ELF magic is %02x%02x%02x%02x, wanted 7f454c46",
			h->e_ident[0], h->e_ident[1], h->e_ident[2], h->e_ident[3]);
	struct field {
		const char *name;
		unsigned seen, wanted;
	} fields[] = {
		{"class", h->e_ident[EI_CLASS], ELFCLASS64},
		{"byte order", h->e_ident[EI_DATA], ELFDATA2LSB},
		{"ident version", h->e_ident[EI_VERSION], EV_CURRENT},
		{"e_machine", h->e_machine, EM_X86_64},
		{"e_version", h->e_version, EV_CURRENT},
		{"e_phentsize", h->e_phentsize, sizeof(Elf64_Phdr)},
	};
	for (size_t i = 0; i < sizeof(fields) / sizeof(*fields); i++)
		if (fields[i].seen != fields[i].wanted)
			return error_set(err, ERR_INPUT, "ELF %s is %u, wanted %u", fields[i].name,
				fields[i].seen, fields[i].wanted);
	if (h->e_type != ET_EXEC && h->e_type != ET_DYN)
		return error_set(err, ERR_INPUT,
			"ELF e_type is %u, wanted 2 (executable) or 3 (shared object)", h->e_type);
	if (h->e_phnum == 0 || h->e_phnum > ELF_PHDR_MAX)
		return error_set(
			err, ERR_INPUT, "ELF e_phnum is %u, wanted 1 to %d", h->e_phnum, ELF_PHDR_MAX);
	return 0;
}

/* *end: end of the PT_LOAD before, 0 if none. */
static int check_load(const struct elf *e, size_t i, uint64_t *end, struct error *err)
{
	const Elf64_Phdr *p = &e->phdr[i];
	const char *why = NULL;
	if (p->p_filesz > p->p_memsz)
		why = "has more bytes in the file than in memory";
	else if (!inside(p->p_offset, p->p_filesz, e->src.size))
		why = "reaches over the end of the file";
	else if (!inside(p->p_vaddr, p->p_memsz, ELF_USER_END))
		why = "reaches over the end of the address space";
	else if ((p->p_vaddr - p->p_offset) % PAGE)
		why = "has address and file offset in different places of a page";
	else if (p->p_align & (p->p_align - 1))
		why = "has an alignment that is no power of two";
	else if (p->p_align > ELF_USER_END / 2)
		why = "has an alignment as large as the address space";
	else if (p->p_vaddr < *end)
		why = "starts before the end of the one before";
	if (why)
		return error_set(err, ERR_INPUT,
			"ELF PT_LOAD at program header %zu %s (offset 0x%llx filesz 0x%llx vaddr 0x%llx "
			"memsz 0x%llx align 0x%llx, "
			"file 0x%llx)",
			i, why, (unsigned long long)p->p_offset, (unsigned long long)p->p_filesz,
			(unsigned long long)p->p_vaddr, (unsigned long long)p->p_memsz,
			(unsigned long long)p->p_align, (unsigned long long)e->src.size);
	*end = p->p_vaddr + p->p_memsz;
	return 0;
}

static int check_segments(const struct elf *e, struct error *err)
{
	size_t loads = 0, interps = 0, dynamics = 0;
	uint64_t end = 0;
	for (size_t i = 0; i < e->header.e_phnum; i++) {
		const Elf64_Phdr *p = &e->phdr[i];
		bool special = p->p_type == PT_INTERP || p->p_type == PT_DYNAMIC;
		if (p->p_type == PT_LOAD) {
			loads++;
			if (check_load(e, i, &end, err) < 0)
				return -1;
		}
		interps += p->p_type == PT_INTERP;
		dynamics += p->p_type == PT_DYNAMIC;
		if (special && !inside(p->p_offset, p->p_filesz, e->src.size))
			return error_set(err, ERR_INPUT, "ELF %s reaches over the end of the file",
				p->p_type == PT_INTERP ? "PT_INTERP" : "PT_DYNAMIC");
	}
	if (loads == 0)
		return error_set(err, ERR_INPUT, "ELF file has no PT_LOAD: nothing to run");
	if (interps > 1 || dynamics > 1)
		return error_set(err, ERR_INPUT,
			"ELF file has %zu PT_INTERP and %zu PT_DYNAMIC, wanted at most one of each", interps,
			dynamics);
	return 0;
}

int elf_open(const struct elf_source *src, struct elf *ret, struct error *err)
{
	struct elf e = {.src = *src};
	if (src->size < sizeof(e.header))
		return error_set(err, ERR_INPUT, "file of %llu bytes is shorter than an ELF header of %zu",
			(unsigned long long)src->size, sizeof(e.header));
	if (source_read(src, 0, &e.header, sizeof(e.header), err) < 0 || check_header(&e.header, err) < 0)
		return -1;
	size_t n = e.header.e_phnum * sizeof(Elf64_Phdr);
	if (!inside(e.header.e_phoff, n, src->size))
		return error_set(err, ERR_INPUT,
			"ELF program headers (%u at offset %llu) lie outside the file of %llu bytes",
			e.header.e_phnum, (unsigned long long)e.header.e_phoff,
			(unsigned long long)src->size);
	e.phdr = malloc(n);
	if (!e.phdr)
		return error_set(err, ERR_NOMEM, "no memory for %zu bytes of program headers", n);
	if (source_read(src, e.header.e_phoff, e.phdr, n, err) < 0 || check_segments(&e, err) < 0) {
		elf_close(&e);
		return -1;
	}
	*ret = e;
	return 0;
}

void elf_close(struct elf *e)
{
	free(e->phdr);
	e->phdr = NULL;
	e->header.e_phnum = 0;
}

const Elf64_Phdr *elf_segment(const struct elf *e, uint32_t type)
{
	for (size_t i = 0; i < e->header.e_phnum; i++)
		if (e->phdr[i].p_type == type)
			return &e->phdr[i];
	return NULL;
}

int elf_vaddr_offset(const struct elf *e, uint64_t vaddr, uint64_t n, uint64_t *ret)
{
	for (size_t i = 0; i < e->header.e_phnum; i++) {
		const Elf64_Phdr *p = &e->phdr[i];
		if (p->p_type == PT_LOAD && vaddr >= p->p_vaddr &&
			inside(vaddr - p->p_vaddr, n, p->p_filesz)) {
			*ret = p->p_offset + (vaddr - p->p_vaddr);
			return 0;
		}
	}
	return -1;
}

int elf_interp(const struct elf *e, char **ret, struct error *err)
{
	const Elf64_Phdr *p = elf_segment(e, PT_INTERP);
	*ret = NULL;
	if (!p)
		return 0;
	if (p->p_filesz < 2 || p->p_filesz > ELF_INTERP_MAX)
		return error_set(err, ERR_INPUT, "ELF PT_INTERP has %llu bytes, wanted 2 to %d",
			(unsigned long long)p->p_filesz, ELF_INTERP_MAX);
	char *s = malloc(p->p_filesz);
	if (!s)
		return error_set(err, ERR_NOMEM, "no memory for the path of the interpreter");
	if (source_read(&e->src, p->p_offset, s, p->p_filesz, err) < 0) {
		free(s);
		return -1;
	}
	const char *wrong = s[p->p_filesz - 1] != '\0' ? "not terminated" : s[0] == '\0' ? "empty" : NULL;
	if (wrong) {
		free(s);
		return error_set(
			err, ERR_INPUT, "ELF PT_INTERP is %s, wanted a path that ends with NUL", wrong);
	}
	*ret = s;
	return 0;
}

/* String table of the dynamic section, as a range of the file. */
struct strtab {
	uint64_t off, size;
};

static int read_string(const struct elf *e, const struct strtab *t, uint64_t at, const char *what, char **ret,
	struct error *err)
{
	if (at >= t->size)
		return error_set(err, ERR_INPUT, "ELF %s names string %llu, the string table has %llu bytes",
			what, (unsigned long long)at, (unsigned long long)t->size);
	uint64_t left = t->size - at;
	char *s = NULL;
	for (size_t n = 128;; n *= 2) {
		if (n > left)
			n = left;
		char *grown = realloc(s, n);
		if (!grown) {
			free(s);
			return error_set(err, ERR_NOMEM, "no memory for a string of %zu bytes", n);
		}
		s = grown;
		if (source_read(&e->src, t->off + at, s, n, err) < 0) {
			free(s);
			return -1;
		}
		if (memchr(s, '\0', n)) {
			*ret = s;
			return 0;
		}
		if (n == left || n >= ELF_STRING_MAX) {
			free(s);
			return error_set(err, ERR_INPUT, "ELF %s: string %llu has no NUL within %zu bytes",
				what, (unsigned long long)at, n);
		}
	}
}

/* The whole dynamic section, owned by the caller, up to DT_NULL. */
static int read_dynamic(const struct elf *e, Elf64_Dyn **ret, size_t *ret_n, struct error *err)
{
	const Elf64_Phdr *p = elf_segment(e, PT_DYNAMIC);
	size_t n = p ? p->p_filesz / sizeof(Elf64_Dyn) : 0;
	*ret = NULL;
	*ret_n = 0;
	if (n == 0)
		return 0;
	if (n > ELF_DYN_MAX)
		return error_set(err, ERR_INPUT, "ELF dynamic section has %zu entries, wanted at most %d", n,
			ELF_DYN_MAX);
	Elf64_Dyn *d = malloc(n * sizeof(*d));
	if (!d)
		return error_set(err, ERR_NOMEM, "no memory for %zu dynamic entries", n);
	if (source_read(&e->src, p->p_offset, d, n * sizeof(*d), err) < 0) {
		free(d);
		return -1;
	}
	size_t used = 0;
	while (used < n && d[used].d_tag != DT_NULL)
		used++;
	*ret = d;
	*ret_n = used;
	return 0;
}

static int find_strtab(
	const struct elf *e, const Elf64_Dyn *d, size_t n, struct strtab *ret, struct error *err)
{
	uint64_t addr = 0, size = 0;
	bool has_addr = false;
	for (size_t i = 0; i < n; i++) {
		if (d[i].d_tag == DT_STRTAB) {
			addr = d[i].d_un.d_ptr;
			has_addr = true;
		} else if (d[i].d_tag == DT_STRSZ) {
			size = d[i].d_un.d_val;
		}
	}
	if (!has_addr)
		return error_set(err, ERR_INPUT, "ELF dynamic section names strings but no string table");
	if (elf_vaddr_offset(e, addr, size, &ret->off) < 0)
		return error_set(err, ERR_INPUT,
			"ELF string table (address 0x%llx, %llu bytes) lies outside the file's segments",
			(unsigned long long)addr, (unsigned long long)size);
	ret->size = size;
	return 0;
}

static bool names_string(int64_t tag)
{
	return tag == DT_NEEDED || tag == DT_SONAME || tag == DT_RPATH || tag == DT_RUNPATH;
}

static int take_entry(const struct elf *e, const struct strtab *t, const Elf64_Dyn *d,
	struct elf_dynamic *out, struct error *err)
{
	char **at = NULL;
	const char *what = "";
	switch (d->d_tag) {
	case DT_FLAGS_1:
		out->flags_1 = d->d_un.d_val;
		return 0;
	case DT_NEEDED:
		at = &out->needed[out->needed_count];
		what = "DT_NEEDED";
		break;
	case DT_SONAME:
		at = &out->soname;
		what = "DT_SONAME";
		break;
	case DT_RPATH:
		at = &out->rpath;
		what = "DT_RPATH";
		break;
	case DT_RUNPATH:
		at = &out->runpath;
		what = "DT_RUNPATH";
		break;
	default:
		return 0;
	}
	char *s = NULL;
	if (read_string(e, t, d->d_un.d_val, what, &s, err) < 0)
		return -1;
	if (d->d_tag == DT_NEEDED)
		out->needed_count++;
	else
		free(*at); /* of several, ld.so takes the last */
	*at = s;
	return 0;
}

int elf_dynamic(const struct elf *e, struct elf_dynamic *ret, struct error *err)
{
	struct elf_dynamic out = {0};
	struct strtab t = {0};
	Elf64_Dyn *d;
	size_t n, needed = 0, strings = 0;
	int rc = -1;
	if (read_dynamic(e, &d, &n, err) < 0)
		return -1;
	for (size_t i = 0; i < n; i++) {
		needed += d[i].d_tag == DT_NEEDED;
		strings += names_string(d[i].d_tag);
	}
	if (needed > ELF_NEEDED_MAX) {
		error_set(err, ERR_LIMIT, "ELF file needs %zu libraries, wanted at most %d", needed,
			ELF_NEEDED_MAX);
		goto out;
	}
	if (strings && find_strtab(e, d, n, &t, err) < 0)
		goto out;
	if (needed && !(out.needed = calloc(needed, sizeof(*out.needed)))) {
		error_set(err, ERR_NOMEM, "no memory for %zu library names", needed);
		goto out;
	}
	for (size_t i = 0; i < n; i++)
		if (take_entry(e, &t, &d[i], &out, err) < 0)
			goto out;
	*ret = out;
	out = (struct elf_dynamic){0};
	rc = 0;
out:
	elf_dynamic_free(&out);
	free(d);
	return rc;
}

void elf_dynamic_free(struct elf_dynamic *d)
{
	for (size_t i = 0; i < d->needed_count; i++)
		free(d->needed[i]);
	free(d->needed);
	free(d->soname);
	free(d->rpath);
	free(d->runpath);
	*d = (struct elf_dynamic){0};
}
