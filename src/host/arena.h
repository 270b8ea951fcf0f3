/*
 * arena: memory that the processes of one application share, and what they need to share it safely: locks that survive their holder, and
 * whether a process still lives.
 *
 * It is one memfd, mapped at the same address in every process (ARENA_BASE), left out of core dumps. A process has it by inheritance, at fork
 * and, through a descriptor that the program does not get to see, at execve.
 *
 * A process is known by its slot, a number below ARENA_SLOTS that the caller hands out. It lives as long as it holds the POSIX record lock on
 * the byte of that number in the memfd: the lock stays over execve and goes with the process, however that ends. It would also go with any
 * close(2) of a descriptor of the memfd in that process: there is none. A slot serves one process after the other, and one process before and
 * after execve: each time it is taken it is another incarnation, and what the former one held is a dead holder's.
 *
 * Answers 0 or -errno; no libc state is touched. Everything but create, attach and take may be called from any thread.
 */
#ifndef SCONE_HOST_ARENA_H
#define SCONE_HOST_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "core/error.h"

#define ARENA_BASE 0x2f0000000000UL /* far from where the kernel, Go, the JVM and the sanitizers put things */
#define ARENA_SLOTS 4096
#define ARENA_HEAD 16384 /* bytes at the start that are the arena's own */

struct arena {
	int fd;
	uint8_t *base; /* the caller's bytes are from ARENA_HEAD to len; page aligned */
	size_t len;
};

/* len: with ARENA_HEAD; rounded up to pages. The bytes are zero; most of them may never be touched. -EEXIST: something is at ARENA_BASE. */
MUST_USE int arena_create(struct arena *a, size_t len);
/* A further process' view, of a descriptor it inherited over execve. -EBADMSG: that is no arena. */
MUST_USE int arena_attach(struct arena *a, int fd);
/* Unmap and close: the process' slot goes with the descriptor. */
void arena_drop(struct arena *a);

/* The calling process becomes slot's. -EAGAIN: somebody else is. */
MUST_USE int arena_take(const struct arena *a, uint32_t slot);
void arena_give(const struct arena *a, uint32_t slot);
/* Does the process of slot live? self: the caller's, which always does. */
bool arena_alive(const struct arena *a, uint32_t self, uint32_t slot);
/* Become the only one: wait until nobody holds a slot any more, self's own apart, and keep others from taking one. -EINTR: a signal. */
MUST_USE int arena_await_alone(const struct arena *a);
/* Is there nobody but self and other? */
bool arena_alone_with(const struct arena *a, uint32_t self, uint32_t other);

/* A lock in the arena; zeroed is free. It has one holder, a thread of a process. */
struct arena_lock {
	uint32_t word;
	uint32_t pad[31];
};
/* 0, or -EOWNERDEAD: it is held now, but a former holder died with it. A holder that lives is waited for. */
MUST_USE int arena_lock(const struct arena *a, uint32_t self, struct arena_lock *l);
void arena_unlock(struct arena_lock *l);

/* Futex on a word in the arena, between processes. timeout in ns. */
long arena_wait(const uint32_t *word, uint32_t value, int64_t timeout);
void arena_wake(const uint32_t *word);

/* Move fd to a number where programs do not look and that dup2 does not reach: above the soft limit of descriptors if the hard one allows,
 * else right below it; below 4096 in any case, as far as there is room. It is closed by execve. Answers the number; fd is closed, also on failure. */
MUST_USE int arena_hide(int fd);

#endif
