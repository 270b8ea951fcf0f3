/*
 * memory: mmap and friends. Executable file mappings are rewritten; the runtime's own image is out of reach.
 */
#include <errno.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include "runtime/code.h"
#include "runtime/fd_ops.h"
#include "runtime/loader.h"
#include "runtime/sys/table.h"
#include "runtime/verified.h"
#include "runtime/volume_maps.h"
#include "runtime/volumes.h"
#include "runtime/x86_64/rewrite.h"

/* The runtime's image, the arena of volumes, and the trampolines that rewritten code jumps to, are not the program's to change. */
static bool hits_runtime(uint64_t addr, uint64_t len)
{
	return (addr < runtime.image_end && addr + len > runtime.image_start) ||
	       (addr < runtime.arena_end && addr + len > runtime.arena_start) ||
	       rewrite_owns((void *)addr, len);
}

long sys_mmap_fast(struct regs *r, struct thread *t)
{
	uint64_t addr = r->rdi, len = r->rsi, prot = r->rdx, flags = r->r10;

	if (!(flags & MAP_ANONYMOUS) && ((prot & PROT_EXEC) || fd_is_shielded(t->proc, r->r8)))
		return SYS_GO_SLOW;
	if (runtime.attested && (!(flags & MAP_ANONYMOUS) || (prot & PROT_EXEC)))
		return SYS_GO_SLOW;
	if (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) {
		if (hits_runtime(addr, len))
			return flags & MAP_FIXED_NOREPLACE ? -EEXIST : -ENOMEM;
		if (code_overlaps(addr, len) || volume_maps_overlap(addr, len))
			return SYS_GO_SLOW;
	}
	return scone_safe_call(SYS_mmap, r);
}

/* Shared mappings of files of volumes in [rdi, rdi + rsi) are about to go. */
static void forget_shared(const struct regs *r, struct thread *t)
{
	volumes_enter(t);
	volume_maps_cut(volumes_caller(t), r->rdi, r->rsi);
	volumes_leave(t);
}

long sys_mmap(struct regs *r, struct thread *t)
{
	uint64_t prot = r->rdx, flags = r->r10;
	bool file = !(flags & MAP_ANONYMOUS);

	if ((flags & MAP_FIXED) && code_overlaps(r->rdi, r->rsi))
		code_forget(r->rdi, r->rsi);
	if ((flags & MAP_FIXED) && volume_maps_overlap(r->rdi, r->rsi))
		forget_shared(r, t);
	if (file && fd_is_shielded(t->proc, r->r8))
		return fd_call(r, t, (int)r->r8);
	if (file && (flags & MAP_TYPE) == MAP_PRIVATE)
		return code_map((void *)r->rdi, r->rsi, (int)prot, (int)flags, (int)r->r8, (off_t)r->r9);
	if (runtime.attested && (prot & PROT_EXEC)) {
		int rc = verified_generated(file ? "mmap, shared" : "mmap");

		if (rc)
			return rc;
	}
	return scone_safe_call(SYS_mmap, r);
}

long sys_munmap_fast(struct regs *r, struct thread *t)
{
	if (hits_runtime(r->rdi, r->rsi))
		return -EINVAL;
	if (code_overlaps(r->rdi, r->rsi) || volume_maps_overlap(r->rdi, r->rsi))
		return SYS_GO_SLOW;
	return scone_safe_call(SYS_munmap, r);
}

long sys_munmap(struct regs *r, struct thread *t)
{
	if (volume_maps_overlap(r->rdi, r->rsi) && r->rdi % 4096 == 0 && r->rsi)
		forget_shared(r, t);
	if (code_overlaps(r->rdi, r->rsi))
		code_forget(r->rdi, r->rsi);
	return scone_safe_call(SYS_munmap, r);
}

/* What mprotect may not do to code without a closer look. */
static bool touches_code(const struct regs *r)
{
	return (r->rdx & PROT_EXEC) || ((r->rdx & PROT_WRITE) && code_overlaps(r->rdi, r->rsi));
}

/* Memory made read-only: so does ld.so with what it has relocated, when all is mapped. */
static bool settles(const struct regs *r, const struct thread *t)
{
	return r->rdx == PROT_READ && verified_keeps() && !t->is_vfork;
}

long sys_mprotect_fast(struct regs *r, struct thread *t)
{
	if (hits_runtime(r->rdi, r->rsi))
		return -EACCES;
	if ((r->rdx & PROT_WRITE) && volume_maps_overlap(r->rdi, r->rsi))
		return SYS_GO_SLOW;
	if (runtime.attested && (touches_code(r) || settles(r, t)))
		return SYS_GO_SLOW;
	return scone_safe_call((long)r->nr, r);
}

/* In an attested process: measured code may stay executable, and only then as it is. */
long sys_mprotect(struct regs *r, struct thread *t)
{
	int rc = 0;

	if ((r->rdx & PROT_WRITE) && volume_maps_overlap(r->rdi, r->rsi) &&
		volume_maps_read_only(r->rdi, r->rsi))
		return -EACCES;
	if (!runtime.attested)
		return scone_safe_call((long)r->nr, r);
	if (settles(r, t))
		verified_settle();
	if (!touches_code(r))
		return scone_safe_call((long)r->nr, r);
	if ((r->rdx & PROT_WRITE) || !code_covers(r->rdi, r->rsi))
		rc = verified_generated("mprotect");
	return rc ? rc : scone_safe_call((long)r->nr, r);
}

long sys_mremap_fast(struct regs *r, struct thread *t)
{
	bool fixed = r->r10 & MREMAP_FIXED;

	if (hits_runtime(r->rdi, r->rsi) || (fixed && hits_runtime(r->r8, r->rdx)))
		return -EFAULT;
	if (code_overlaps(r->rdi, r->rsi) || (fixed && code_overlaps(r->r8, r->rdx)) ||
		volume_maps_overlap(r->rdi, r->rsi) || (fixed && volume_maps_overlap(r->r8, r->rdx)))
		return SYS_GO_SLOW;
	return scone_safe_call(SYS_mremap, r);
}

/* Moved code is code no more: where it lands it stays as executable as it was, but may not become so again. */
long sys_mremap(struct regs *r, struct thread *t)
{
	bool shared = volume_maps_overlap(r->rdi, r->rsi);
	long at;

	if ((r->r10 & MREMAP_FIXED) && volume_maps_overlap(r->r8, r->rdx)) {
		struct regs target = {.rdi = r->r8, .rsi = r->rdx};

		forget_shared(&target, t);
	}
	at = scone_safe_call(SYS_mremap, r);
	if (!host_failed(at) && shared && r->rsi) {
		volumes_enter(t);
		volume_maps_moved(volumes_caller(t), r->rdi, r->rsi, (uint64_t)at, r->rdx);
		volumes_leave(t);
	}
	if (!host_failed(at) && ((uint64_t)at != r->rdi || r->rdx < r->rsi)) {
		code_forget(r->rdi, r->rsi);
		code_forget((uint64_t)at, r->rdx);
	}
	return at;
}

/* Code that the runtime rewrote is not what its file holds: to drop it would lose more than the kernel can read back. */
long sys_madvise_fast(struct regs *r, struct thread *t)
{
	bool drops = r->rdx == MADV_DONTNEED || r->rdx == MADV_DONTNEED_LOCKED || r->rdx == MADV_FREE ||
		     r->rdx == MADV_REMOVE;

	if (hits_runtime(r->rdi, r->rsi))
		return -EINVAL;
	if (drops && code_overlaps(r->rdi, r->rsi))
		return 0;
	return scone_safe_call(SYS_madvise, r);
}

long sys_msync_fast(struct regs *r, struct thread *t)
{
	return volume_maps_overlap(r->rdi, r->rsi) ? SYS_GO_SLOW : scone_safe_call(SYS_msync, r);
}

/* The kernel first: it judges the arguments. */
long sys_msync(struct regs *r, struct thread *t)
{
	long rc = scone_safe_call(SYS_msync, r);

	if (rc || !(r->rdx & MS_SYNC))
		return rc;
	volumes_enter(t);
	rc = volume_maps_sync(volumes_caller(t), r->rdi, r->rsi, true);
	volumes_leave(t);
	return rc;
}

long sys_shmat_fast(struct regs *r, struct thread *t)
{
	return r->rdx & (SHM_REMAP | SHM_EXEC) ? SYS_GO_SLOW : scone_safe_call(SYS_shmat, r);
}

long sys_shmat(struct regs *r, struct thread *t)
{
	struct shmid_ds info;
	long rc;

	if (r->rdx & SHM_REMAP) {
		rc = host_call3(SYS_shmctl, (int)r->rdi, IPC_STAT, (long)&info);
		if (rc)
			return rc;
		if (hits_runtime(r->rsi, info.shm_segsz))
			return -EINVAL;
		if (code_overlaps(r->rsi, info.shm_segsz))
			code_forget(r->rsi, info.shm_segsz);
	}
	if (runtime.attested && (r->rdx & SHM_EXEC) && (rc = verified_generated("shmat")))
		return rc;
	return scone_safe_call(SYS_shmat, r);
}

long sys_brk(struct regs *r, struct thread *t)
{
	return (long)loader_brk(r->rdi);
}
