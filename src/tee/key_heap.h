/*
 * key_heap: OpenSSL's secure heap, where it keeps private keys (RSA, EC, Ed25519) and secrets of key exchanges, in memory that the kernel itself
 * cannot read: memfd_secret(2), as secret_arena.
 *
 * The pages are shared with a child of fork, so this is for programs that do not fork. Key schedules and traffic keys of TLS are not in it: they
 * lie in ordinary memory of a process that is not dumpable, for as long as the connection or the call lasts.
 */
#ifndef SCONE_TEE_KEY_HEAP_H
#define SCONE_TEE_KEY_HEAP_H

#include "core/error.h"

/* Before anything else of OpenSSL, once, with one thread. 0: done; 1: the kernel gives no such memory (Linux before 5.14, or the limit on
 * locked memory), the heap is locked and kept out of core files instead; -1: no memory for it. */
MUST_USE int key_heap_start(struct error *err);

#endif
