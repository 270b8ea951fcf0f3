/*
 * secret_arena: memory that the kernel itself cannot read: memfd_secret(2), a block a mapping, its descriptor closed. It keeps out ptrace,
 * /proc/PID/mem and process_vm_readv, root's included. Where the kernel has none, or the limit on locked memory is reached: anonymous
 * memory, kept out of core dumps and locked as far as the limit goes.
 *
 * Blocks asked for with own are ordinary private memory, which fork copies. The others are for content that never changes: fork may give
 * the child the same pages. For few, long-lived blocks: each takes whole pages.
 */
#ifndef SCONE_HOST_SECRET_ARENA_H
#define SCONE_HOST_SECRET_ARENA_H

#include <stdbool.h>
#include <stddef.h>

/* n > 0 zeroed bytes, or NULL. */
void *secret_arena_get(size_t n, bool own);
/* Gives the memory back, wiped; pages that another process may still use only leave this one, and the kernel clears them when the last
 * user is gone. p, n and own as for get. */
void secret_arena_put(void *p, size_t n, bool own);

/* len > 0 zeroed bytes, whole pages, of memory the kernel cannot read, for the caller to unmap; NULL: there is none. */
void *secret_arena_map(size_t len);

#endif
