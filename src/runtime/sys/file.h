/*
 * file: handlers for injected files that lie in file_copy.c; sys/file.c enters them in its table.
 */
#ifndef SCONE_RUNTIME_SYS_FILE_H
#define SCONE_RUNTIME_SYS_FILE_H

#include "runtime/fd_ops.h"

/* Content is copied: a shared mapping is read-only and does not follow later writes. -ENODEV for a writable shared mapping, -EACCES for an
 * executable one. */
long file_mmap(struct regs *r, struct thread *t, const struct fd_entry *e);
long file_sendfile(struct regs *r, struct thread *t, const struct fd_entry *e);
/* splice, tee, vmsplice, copy_file_range. */
long file_no_copy(struct regs *r, struct thread *t, const struct fd_entry *e);

#endif
