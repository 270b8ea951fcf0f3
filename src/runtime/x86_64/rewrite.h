/*
 * rewrite: system calls of the program without a trap. `syscall` sites of a mapping become jumps to trampolines, which jump to the
 * runtime's entry with rcx = where to go on, and everything else (flags, red zone, vectors) as it was at the site. docs/rewriting.md.
 *
 * Life of a mapping: plan (rewrite_cache.h), rewrite_apply before any thread can run it, rewrite_forget when it goes away.
 */
#ifndef SCONE_RUNTIME_REWRITE_H
#define SCONE_RUNTIME_REWRITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "runtime/rewrite_hooks.h"
#include "runtime/x86_64/rewrite_plan.h"

/* Patch the mapping [addr, addr + len), which begins at the file offset the plan was made for and may be shorter than it. It must be
 * private and writable now and not executable or at least not yet executed by any thread; the caller then sets its protection. Sites
 * whose bytes are not those the plan saw stay as they are, so a second call on a patched mapping changes nothing. entry is where
 * trampolines jump to. Returns how many sites were patched, or -ENOMEM: no memory, or no room for trampolines within reach; nothing
 * is patched then. Uses vector registers. */
__attribute__((warn_unused_result)) int rewrite_apply(
	void *addr, size_t len, const struct rewrite_plan *plan, void (*entry)(void));

/* The range was unmapped or mapped over: its sites are no more. Trampolines stay (a thread may be in one) and serve again when the
 * same code comes back to the same place. */
void rewrite_forget(const void *addr, size_t len);

/* The range touches trampolines: it is not the program's to unmap, protect or map over. */
bool rewrite_owns(const void *addr, size_t len);

/* Both of these take no lock, allocate nothing and may run in a signal handler at any moment.
 *
 * rewrite_native_ip: ip is inside a trampoline; *ret_native is the address in the program's own code that it stands for. Up to the jump
 * to the entry that is the start of the window (running it again from there is right); behind it, the displaced instruction's own.
 *
 * rewrite_resume_ip: native_ip is an instruction start strictly inside a patched window; *ret is where its copy lies. The one at
 * `syscall + 2` of such a window holds an int3 now, so code that jumps there by itself raises SIGTRAP with rip one byte further: the
 * handler asks for rip - 1 and goes on at *ret. */
bool rewrite_native_ip(uint64_t ip, uint64_t *ret_native);
bool rewrite_resume_ip(uint64_t native_ip, uint64_t *ret);

struct rewrite_counters {
	uint32_t images; /* mappings with at least one patched site */
	uint32_t patched; /* sites */
	uint32_t differs; /* sites that were not as planned (or patched before) */
	uint32_t no_room; /* sites without a slot in reach */
	uint32_t outcomes[REWRITE_OUTCOMES]; /* of the plans applied */
};
void rewrite_count(struct rewrite_counters *ret);

/* Hold around fork, and rewrite_cache_lock inside it; both sides let go. */
void rewrite_lock(void);
void rewrite_unlock(void);

#endif
