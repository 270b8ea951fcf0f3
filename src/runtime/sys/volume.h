/*
 * volume: system calls on encrypted volumes. volume_path_call comes before the handlers of the table for calls that name files; what has a
 * descriptor comes by fd_ops_volume.
 */
#ifndef SCONE_RUNTIME_SYS_VOLUME_H
#define SCONE_RUNTIME_SYS_VOLUME_H

#include "runtime/fd_ops.h"
#include "runtime/vpath.h"

#define VOLUME_NOT_OURS (1L << 61) /* answer: the table's handler is to do it */

/* volume_path.c. For every slow call of a process with volumes; numbers that name no file are not ours. */
long volume_path_call(struct regs *r, struct thread *t);

/* volume_socket.c: bind; connect; sendto; sendmsg and sendmmsg; getsockname and getpeername. VOLUME_NOT_OURS: no name or descriptor of a volume
 * is in it. */
long volume_bind_call(struct regs *r, struct thread *t);
long volume_connect_call(struct regs *r, struct thread *t);
long volume_sendto_call(struct regs *r, struct thread *t);
long volume_send_call(struct regs *r, struct thread *t);
long volume_sockname_call(struct regs *r, struct thread *t);

/* volume_name.c: what is done to a place that a path led to. c: who calls. In vfs. */
long vplace_open(struct thread *t, const struct vfs_place *p, uint32_t flags, uint32_t mode);
long vplace_open_root(struct thread *t, uint32_t mount, uint32_t flags);
long vplace_stat_out(struct thread *t, const struct vfs_place *p, uint64_t user);
long vplace_statx_out(struct thread *t, const struct vfs_place *p, uint64_t user);
long vplace_statfs_out(struct thread *t, uint32_t mount, uint64_t user);
long vplace_chdir(struct thread *t, const struct vfs_place *p);
void vplace_chdir_host(struct thread *t); /* the host's working directory counts again */
long vplace_xattr(struct thread *t, const struct vfs_place *p, const struct regs *r);

/* volume_io.c */
long volume_read_call(struct regs *r, struct thread *t, const struct fd_entry *e);
long volume_write_call(struct regs *r, struct thread *t, const struct fd_entry *e);
/* sendfile, copy_file_range, splice. Not in vfs. */
long volume_copy_call(struct regs *r, struct thread *t, const struct fd_entry *e);

/* volume_map.c; not in vfs */
long volume_mmap(struct regs *r, struct thread *t, const struct fd_entry *e);

/* volume_sealed.c: the same, in vfs, of a file of a sealed tree: a regular one, open for reading. */
long volume_sealed_mmap(struct regs *r, struct thread *t);

/* At the start, in the first process: go to directory pwd, in a volume or not; NULL: stay. A working directory of the host at or below a mount point
 * is the volume's, if that has it. 0 or -errno. */
MUST_USE int volume_start_directory(const char *pwd);

/* The program that execve names, if it is in a volume: a descriptor of a sealed copy in memory, with its attributes and its name in real. Before
 * the program runs, too. VOLUME_NOT_OURS: the host has it; if *ret_moved, under the path in real. */
struct stat;
long volume_program(int dirfd, const char *path, struct stat *st, char real[VFS_PATH_MAX], bool *ret_moved);

extern const struct fd_ops fd_ops_volume, fd_ops_hidden;

#endif
