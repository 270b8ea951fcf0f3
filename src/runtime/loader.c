#include "runtime/loader.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include "measure/elf.h"
#include "runtime/code.h"
#include "runtime/verified.h"

#define PAGE 4096ULL
#define PAGE_DOWN(x) ((x) & ~(PAGE - 1))
#define PAGE_UP(x) (((x) + PAGE - 1) & ~(PAGE - 1))
#define STACK_SPARE (64ULL << 10) /* for the program's first steps, beside its arguments */
#define ADDRESS_END 0x7ffffffff000ULL
#define PIE_BASE 0x555000000000ULL
#define PIE_FIXED 0x565555554000ULL /* without randomisation; at 0x555555554000 is the runtime then */
#define PERSONALITY_ASK 0xffffffffL
#define PIE_SPREAD 0x0aa000000000ULL /* random bases lie in [PIE_BASE, PIE_BASE + PIE_SPREAD) */

/* Nothing is reserved for it, as in the kernel: what is in the way ends it. A reservation would count against RLIMIT_AS. */
static struct {
	uint64_t start, now;
	uint32_t lock;
} brk_area;

struct mapped {
	uint64_t bias; /* added to every virtual address of the file */
	uint64_t start, end, entry, phdr, phnum;
	bool exec_stack;
};

/* From the kernel: what the program would get at this place. OpenSSL's generator would cost its whole start. */
static int get_random(void *p, size_t n)
{
	return host_call3(SYS_getrandom, (long)p, (long)n, 0) == (long)n ? 0 : -1;
}

static int pread_fd(void *ctx, uint64_t off, void *p, size_t n)
{
	return host_pread(*(int *)ctx, p, n, (off_t)off) == (long)n ? 0 : -1;
}

static int prot_of(uint32_t flags)
{
	return (flags & PF_R ? PROT_READ : 0) | (flags & PF_W ? PROT_WRITE : 0) |
	       (flags & PF_X ? PROT_EXEC : 0);
}

/* Reserve the whole range of an image before anything is placed near it. Returns its address or -errno. */
static long reserve(uint64_t hint, uint64_t span, uint64_t align, bool fixed)
{
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
	long addr;

	if (fixed)
		return host_mmap((void *)hint, span, PROT_NONE, flags | MAP_FIXED_NOREPLACE, -1, 0);
	if (align < PAGE)
		align = PAGE;
	addr = host_mmap(
		(void *)((hint + align - 1) & ~(align - 1)), span + align - PAGE, PROT_NONE, flags, -1, 0);
	if (!host_failed(addr)) {
		uint64_t start = ((uint64_t)addr + align - 1) & ~(align - 1),
			 got_end = (uint64_t)addr + span + align - PAGE;

		if (start > (uint64_t)addr)
			host_munmap((void *)addr, start - (uint64_t)addr);
		if (got_end > start + span)
			host_munmap((void *)(start + span), got_end - start - span);
		return (long)start;
	}
	return addr;
}

static int map_segment(const struct mapped *m, const Elf64_Phdr *ph, int fd)
{
	uint64_t from = PAGE_DOWN(m->bias + ph->p_vaddr), file_end = m->bias + ph->p_vaddr + ph->p_filesz;
	uint64_t mem_end = m->bias + ph->p_vaddr + ph->p_memsz, mapped_end = PAGE_UP(file_end);
	int prot = prot_of(ph->p_flags);
	off_t off = (off_t)PAGE_DOWN(ph->p_offset);
	long rc;

	if (ph->p_filesz) {
		rc = code_map((void *)from, file_end - from, prot, MAP_PRIVATE | MAP_FIXED, fd, off);
		if (host_failed(rc))
			return (int)rc;
	} else {
		mapped_end = from;
	}
	/* To the end of the page, as the kernel does: ld.so hands out what lies behind its own bss. */
	if (mem_end > file_end && ph->p_filesz && (prot & PROT_WRITE) && mapped_end > file_end)
		memset((void *)file_end, 0, mapped_end - file_end);
	if (PAGE_UP(mem_end) > mapped_end) {
		rc = host_mmap((void *)mapped_end, PAGE_UP(mem_end) - mapped_end, prot,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
		if (host_failed(rc))
			return (int)rc;
	}
	return 0;
}

static uint64_t phdr_address(const struct elf *e, uint64_t bias)
{
	const Elf64_Phdr *ph = elf_segment(e, PT_PHDR);

	if (ph)
		return bias + ph->p_vaddr;
	for (int i = 0; i < e->header.e_phnum; i++) {
		ph = &e->phdr[i];
		if (ph->p_type == PT_LOAD && e->header.e_phoff >= ph->p_offset &&
			e->header.e_phoff < ph->p_offset + ph->p_filesz)
			return bias + ph->p_vaddr + e->header.e_phoff - ph->p_offset;
	}
	return 0;
}

static int map_image(
	const char *path, int fd, const struct elf *e, uint64_t hint, struct mapped *ret, struct error *err)
{
	uint64_t low = UINT64_MAX, high = 0, align = PAGE;
	const Elf64_Phdr *gnu_stack;
	long at;

	for (int i = 0; i < e->header.e_phnum; i++) {
		const Elf64_Phdr *ph = &e->phdr[i];

		if (ph->p_type != PT_LOAD)
			continue;
		if (PAGE_DOWN(ph->p_vaddr) < low)
			low = PAGE_DOWN(ph->p_vaddr);
		if (PAGE_UP(ph->p_vaddr + ph->p_memsz) > high)
			high = PAGE_UP(ph->p_vaddr + ph->p_memsz);
		if (ph->p_align > align)
			align = ph->p_align;
	}
	if (e->header.e_type == ET_EXEC)
		at = reserve(low, high - low, PAGE, true);
	else
		at = reserve(hint, high - low, align, false);
	if (host_failed(at))
		return error_set_errno(err, (int)-at, "%s: reserve %llu bytes at %#llx", path,
			(unsigned long long)(high - low),
			(unsigned long long)(e->header.e_type == ET_EXEC ? low : hint));
	ret->bias = (uint64_t)at - low;
	ret->start = (uint64_t)at;
	ret->end = (uint64_t)at + high - low;
	for (int i = 0; i < e->header.e_phnum; i++) {
		int rc = e->phdr[i].p_type == PT_LOAD ? map_segment(ret, &e->phdr[i], fd) : 0;

		if (rc)
			return error_set_errno(err, -rc, "%s: map segment %d", path, i);
	}
	ret->entry = ret->bias + e->header.e_entry;
	ret->phdr = phdr_address(e, ret->bias);
	ret->phnum = e->header.e_phnum;
	gnu_stack = elf_segment(e, PT_GNU_STACK);
	ret->exec_stack = gnu_stack && (gnu_stack->p_flags & PF_X);
	return 0;
}

/* The headers, from verified memory where the file is of an attested process' manifest. */
static int open_headers(int fd, const struct stat *st, struct elf *ret, char **ret_interp, struct error *err)
{
	struct elf_source src = {.pread = pread_fd, .ctx = &fd, .size = (uint64_t)st->st_size};
	struct verified content;
	int got = runtime.attested ? verified_get(fd, st, &content) : 0, rc;

	if (got < 0)
		return error_set_errno(err, -got, "use the file");
	if (got)
		src = (struct elf_source){.bytes = content.bytes, .size = content.size};
	rc = elf_open(&src, ret, err);
	if (!rc) {
		rc = elf_interp(ret, ret_interp, err);
		if (rc)
			elf_close(ret);
	}
	if (got)
		verified_put();
	return rc;
}

/* Map one file, open as fd, and close it; *ret_interp is its PT_INTERP path (owned by the caller) or NULL. */
static int map_file(
	const char *path, int fd, uint64_t hint, struct mapped *ret, char **ret_interp, struct error *err)
{
	struct stat st;
	struct elf e;
	int rc;

	if (fd < 0)
		return error_set_errno(err, -fd, "open %s", path);
	rc = (int)host_fstat(fd, &st);
	if (rc) {
		host_close(fd);
		return error_set_errno(err, -rc, "stat %s", path);
	}
	rc = open_headers(fd, &st, &e, ret_interp, err);
	if (rc) {
		host_close(fd);
		return error_wrap(err, "%s", path);
	}
	rc = map_image(path, fd, &e, hint, ret, err);
	elf_close(&e);
	host_close(fd);
	return rc;
}

static int open_file(const char *path)
{
	return (int)host_openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
}

static uint64_t set_break(uint64_t want)
{
	uint64_t old_top = PAGE_UP(brk_area.now), new_top = PAGE_UP(want);
	long rc = 0;

	if (want < brk_area.start || want > ADDRESS_END)
		return brk_area.now;
	if (new_top > old_top)
		rc = host_mmap((void *)old_top, new_top - old_top, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	else if (new_top < old_top)
		rc = host_munmap((void *)new_top, old_top - new_top);
	if (!host_failed(rc))
		brk_area.now = want;
	return brk_area.now;
}

void loader_lock(void)
{
	while (__atomic_exchange_n(&brk_area.lock, 1, __ATOMIC_ACQUIRE))
		__builtin_ia32_pause();
}

void loader_unlock(void)
{
	__atomic_store_n(&brk_area.lock, 0, __ATOMIC_RELEASE);
}

uint64_t loader_brk(uint64_t want)
{
	uint64_t ret;

	loader_lock();
	ret = set_break(want);
	loader_unlock();
	return ret;
}

struct stack {
	uint64_t sp, low;
};

static uint64_t push_bytes(struct stack *s, const void *p, size_t n)
{
	if (s->sp - s->low < n)
		return 0;
	s->sp -= n;
	memcpy((void *)s->sp, p, n);
	return s->sp;
}

struct program {
	struct mapped exe, interp;
	bool has_interp;
};

/* One entry of the program's auxiliary vector; false: leave it out. */
static bool aux_entry(uint64_t type, uint64_t *value, const struct program *p, uint64_t execfn,
	uint64_t random, uint64_t platform)
{
	switch (type) {
	case AT_PHDR:
		*value = p->exe.phdr;
		break;
	case AT_PHNUM:
		*value = p->exe.phnum;
		break;
	case AT_BASE:
		*value = p->has_interp ? p->interp.bias : 0;
		break;
	case AT_ENTRY:
		*value = p->exe.entry;
		break;
	case AT_EXECFN:
		*value = execfn;
		break;
	case AT_RANDOM:
		*value = random;
		break;
	case AT_PLATFORM:
		*value = platform;
		break;
	default:
		break;
	}
	return true;
}

static void put_vectors(const struct launch *l, const uint64_t *host_auxv, const struct program *p,
	uint64_t *words, const uint64_t *args, const uint64_t *envs, uint64_t execfn, uint64_t random,
	uint64_t platform)
{
	*words++ = l->argc;
	for (size_t i = 0; i < l->argc; i++)
		*words++ = args[i];
	*words++ = 0;
	for (size_t i = 0; i < l->envc; i++)
		*words++ = envs[i];
	*words++ = 0;
	for (; host_auxv[0] != AT_NULL; host_auxv += 2) {
		uint64_t value = host_auxv[1];

		if (!aux_entry(host_auxv[0], &value, p, execfn, random, platform))
			continue;
		*words++ = host_auxv[0];
		*words++ = value;
	}
	*words++ = AT_NULL;
	*words = 0;
}

static size_t aux_count(const uint64_t *auxv)
{
	size_t n = 1;

	for (; auxv[0] != AT_NULL; auxv += 2)
		n++;
	return n;
}

/* The strings as the kernel put them on the stack, where /proc shows them and programs that change their title write: true if they are the
 * ones wanted. */
static bool kernel_strings(char **have, char **want, size_t n, uint64_t *ret)
{
	for (size_t i = 0; i < n; i++) {
		if (!have[i] || strcmp(have[i], want[i]))
			return false;
		ret[i] = (uint64_t)have[i];
	}
	return !have[n];
}

static bool push_strings(struct stack *s, char **v, size_t n, uint64_t *ret)
{
	bool ok = true;

	while (n-- > 0)
		ok &= (ret[n] = push_bytes(s, v[n], strlen(v[n]) + 1)) != 0;
	return ok;
}

/* How far the kernel lets the stack grow, less what is in use. */
static struct stack kernel_stack(uint64_t top)
{
	struct stack s = {.sp = top, .low = PAGE};
	struct rlimit rl;

	if (!host_call2(SYS_getrlimit, RLIMIT_STACK, (long)&rl) && rl.rlim_cur < top - PAGE)
		s.low = top - rl.rlim_cur;
	s.low += STACK_SPARE;
	if (s.low > top)
		s.low = top;
	return s;
}

static int make_executable(uint64_t sp)
{
	long rc = runtime.attested ? verified_generated("an executable stack") : 0;

	return rc ? (int)rc
		  : (int)host_mprotect(
			    (void *)PAGE_DOWN(sp), PAGE, PROT_READ | PROT_WRITE | PROT_EXEC | PROT_GROWSDOWN);
}

/* The program's stack is the kernel's, below what the kernel put there for the runtime: it grows as RLIMIT_STACK says at each moment. */
static int make_stack(const struct launch *l, const struct host_start *h, const struct program *p,
	uint64_t *ret_sp, struct error *err)
{
	uint64_t execfn, random, platform, words = 1 + l->argc + 1 + l->envc + 1 + 2 * aux_count(h->auxv),
					   *args = calloc(l->argc + l->envc + 1, sizeof(uint64_t));
	struct stack s = kernel_stack((uint64_t)(h->argv - 1));
	uint8_t seed[16];
	bool ok;

	if (!args || get_random(seed, sizeof(seed))) {
		free(args);
		return error_set(err, ERR_NOMEM, "no memory for arguments");
	}
	execfn = push_bytes(&s, l->execfn, strlen(l->execfn) + 1);
	ok = (kernel_strings(h->envp, l->envp, l->envc, args + l->argc) ||
		     push_strings(&s, l->envp, l->envc, args + l->argc)) &&
	     (kernel_strings(h->argv, l->argv, l->argc, args) || push_strings(&s, l->argv, l->argc, args));
	platform = push_bytes(&s, "x86_64", 7);
	random = push_bytes(&s, seed, sizeof(seed));
	ok = ok && execfn && platform && random && s.sp - s.low >= words * 8 + 16;
	if (ok) {
		s.sp = (s.sp - words * 8) & ~15ULL;
		put_vectors(l, h->auxv, p, (uint64_t *)s.sp, args, args + l->argc, execfn, random, platform);
		*ret_sp = s.sp;
	}
	free(args);
	if (!ok)
		return error_set(err, ERR_LIMIT,
			"%zu arguments and %zu environment strings do not fit the stack (ulimit -s)", l->argc,
			l->envc);
	return p->exe.exec_stack && make_executable(*ret_sp)
		       ? error_set(err, ERR_ACCESS, "%s wants an executable stack", l->path)
		       : 0;
}

int loader_start(const struct launch *l, const struct host_start *h, struct regs *r, struct error *err)
{
	struct program p = {0};
	char *interp = NULL, *none = NULL;
	uint64_t spread = 0, hint;
	int rc;

	if (get_random(&spread, sizeof(spread)))
		return error_set(err, ERR_IO, "getrandom gives no bytes");
	hint = PIE_BASE + PAGE_DOWN(spread % PIE_SPREAD);
	if (host_call1(SYS_personality, PERSONALITY_ASK) & ADDR_NO_RANDOMIZE)
		hint = PIE_FIXED;
	if (map_file(l->path, l->by_fd ? l->fd : open_file(l->path), hint, &p.exe, &interp, err))
		return -1;
	brk_area.start = brk_area.now = p.exe.end;
	if (interp) {
		rc = map_file(interp, open_file(interp), 0, &p.interp, &none, err);
		free(none);
		if (rc)
			return error_wrap(err, "ELF interpreter of %s", l->path), free(interp), -1;
		p.has_interp = true;
		free(interp);
	}
	memset(r, 0, sizeof(*r));
	if (make_stack(l, h, &p, &r->rsp, err))
		return -1;
	r->rip = p.has_interp ? p.interp.entry : p.exe.entry;
	r->rflags = 0x202;
	return 0;
}
