/*
 * code: mappings of files. Executable ones are rewritten before any thread can run them; what was found in a file is kept for this process
 * and handed over at execve, so that decoding happens once an application. In an attested process files of the code manifest are mapped from
 * verified memory, and other code only as the service allows (verified.h).
 */
#ifndef SCONE_RUNTIME_CODE_H
#define SCONE_RUNTIME_CODE_H

#include "core/buf.h"
#include "runtime/runtime.h"

/* Map a file privately at addr (len, prot, flags, off as for mmap). Address or -errno; -EACCES after a line in the log: not the code that
 * was attested. */
long code_map(void *addr, size_t len, int prot, int flags, int fd, off_t off);
/* May this process execute the program file? 0 or -errno, logged as above. */
int code_may_run(const char *path);
/* Does one remembered executable mapping contain all of [addr, addr+len)? */
bool code_covers(uint64_t addr, uint64_t len);
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
