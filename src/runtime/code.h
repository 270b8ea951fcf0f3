/*
 * code: executable mappings of files. Each is rewritten before any thread can run it; what was found in a file is kept for this process
 * and handed over at execve, so that decoding happens once an application.
 */
#ifndef SCONE_RUNTIME_CODE_H
#define SCONE_RUNTIME_CODE_H

#include "core/buf.h"
#include "runtime/runtime.h"

/* Map a file segment executable at addr (flags as for mmap, MAP_PRIVATE): writable first, rewritten, then with prot. Address or -errno. */
long code_map(void *addr, size_t len, int prot, int flags, int fd, off_t off);
/* Could [addr, addr+len) hold rewritten code? Conservative, lock-free, general registers only. */
bool code_overlaps(uint64_t addr, uint64_t len);
/* The range is about to be unmapped or mapped over. */
void code_forget(uint64_t addr, uint64_t len);
int code_encode(struct buf *out);
int code_decode(struct rd *in);
/* Around fork. */
void code_lock(void);
void code_unlock(void);

#endif
