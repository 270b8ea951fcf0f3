/*
 * code: mappings of files. Executable ones are rewritten before any thread can run them; what was found in a file is kept for this process
 * and handed over at execve, so that decoding happens once an application. In an attested process files of the code manifest are mapped from
 * verified memory, and other code only as the service allows (verified.h).
 */
#ifndef SCONE_RUNTIME_CODE_H
#define SCONE_RUNTIME_CODE_H

#include <sys/stat.h>
#include "core/buf.h"
#include "runtime/runtime.h"

/* Map a file privately at addr (len, prot, flags, off as for mmap). Address or -errno; -EACCES after a line in the log: not the code that
 * was attested. */
long code_map(void *addr, size_t len, int prot, int flags, int fd, off_t off);
/* The same for a file of a sealed tree, all of which was verified. */
struct code_sealed {
	const uint8_t *bytes; /* the whole file */
	size_t size;
	int fd; /* what is mapped: the file begins at byte at of it */
	off_t at;
	struct stat st; /* names the file: what was found in it is kept for that */
};
long code_map_sealed(
	void *addr, size_t len, int prot, int flags, const struct code_sealed *content, off_t off);
/* May this process execute the program file? open_fd: its content, if path does not lead to it; else -1. 0 or -errno, logged as above. */
int code_may_run(const char *path, int open_fd);
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
