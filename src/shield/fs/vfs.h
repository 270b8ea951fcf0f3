/*
 * vfs: encrypted volumes (volume.h) and sealed trees (sealed_fs.h) as the processes of one application see them: descriptors, paths, permissions, record locks, mappings.
 *
 * No I/O, no system call, no thread: the surroundings are callbacks (struct vfs_env, and struct volume_env of each mount). What the processes
 * share lies in a region, one piece of memory mapped shared at the same address in all of them, and in the arena of each mount.
 * docs/volumes.md says how several processes use a volume at once.
 *
 * Words. Slot: a process' place in the region, with its descriptor table; a vfork child has its own. File: an open file description, shared by
 * dup, fork and exec. Vnode: an inode that is open or mapped, the one holder of it in the engine (volume_hold). Place: where a path leads.
 *
 * Killed at any moment: all that is shared changes under the region's lock, with what is overwritten saved first. The next who takes the lock
 * of a dead process undoes the half of a step and agrees with the engine on what is held. What a dead process had (descriptors, record
 * locks, mappings) goes when somebody reaps it: vfs_reap, vfs_tick, whoever waits for a record lock, whoever finds a table full.
 * Nothing here waits for a process that is dead for longer than the env's lock does.
 *
 * Locks, in the order they are taken: of a file (offset) > of a mapped inode > of a vnode (writers) > of the region > the engine's own. No lock is
 * held when a function returns, but for those between vfs_io_begin and vfs_io_end, and none of all while a caller waits for a record lock.
 *
 * Errors: -errno as Linux answers for the same call, checked in the same order; beyond those, and of all of them: -EIO, -EBADMSG, -EROFS,
 * -ENOSPC, -ENOMEM of the engine; -ENFILE when a table of the region is full. A descriptor that is none of a volume is -EBADF. -ESTALE, of
 * a function that takes a place: what the walk found has changed meanwhile; walk again. Out parameters are set only on success. Every
 * function may be called by any thread at any time unless it says otherwise.
 */
#ifndef SCONE_SHIELD_FS_VFS_H
#define SCONE_SHIELD_FS_VFS_H

#include <fcntl.h>
#include <sys/stat.h>
#include "shield/fs/sealed_fs.h"
#include "shield/fs/volume.h"

#define VFS_MOUNTS 16
#define VFS_SLOTS 4096
#define VFS_FDS 65536 /* descriptor numbers below this may stand for files of a volume */
#define VFS_PATH_MAX 4096 /* with NUL */
#define VFS_LINKS_MAX 40 /* symbolic links in one path */

struct vfs; /* process-local; the memory of a fork child holds a good copy */

struct vfs_env {
	void *ctx; /* given to every callback */
	/* As in struct volume_env; exclusive mode only is asked for. Must know by itself in which slot it is called. */
	int (*lock)(void *ctx, struct volume_lock *l, enum volume_lock_mode mode);
	void (*unlock)(void *ctx, struct volume_lock *l, enum volume_lock_mode mode);
	/* Sleep while *word is value, at most timeout ns; word lies in the region. 0: woken, or timed out, or for no reason. -EINTR or what the
	 * runtime answers for a call that a signal ended (-ERESTARTSYS): handed on to the caller as it is. */
	int (*wait)(void *ctx, const uint32_t *word, uint32_t value, int64_t timeout);
	void (*wake)(void *ctx, const uint32_t *word); /* all who sleep on it */
	/* Does the process of this slot live? The own slot always does. */
	bool (*alive)(void *ctx, uint32_t slot);
	int64_t (*clock)(void *ctx); /* ns since 1970 */
	/* Content of shared mappings: bytes of the pages object (a sparse memfd that all processes have), off up to 2^62. Reads of what was never
	 * written give zeros. NULL, all three: nothing can be mapped shared. 0 or -errno. drop frees memory: it reads as zeros again. */
	int (*pages_read)(void *ctx, uint64_t off, void *p, size_t n);
	int (*pages_write)(void *ctx, uint64_t off, const void *p, size_t n);
	int (*pages_drop)(void *ctx, uint64_t off, uint64_t n);
	/* May be NULL. The next bytes that were written: from *ret_off, at or after off, to before *ret_end. -ENXIO: none. */
	int (*pages_data)(void *ctx, uint64_t off, uint64_t *ret_off, uint64_t *ret_end);
};

/* For whom a call is made: one per process, and one for a vfork child while it shares its parent's memory. The caller's; read only here, but for
 * vfs_fork_child. */
#define VFS_CAP_CHOWN 1u
#define VFS_CAP_DAC_OVERRIDE 2u
#define VFS_CAP_DAC_READ_SEARCH 4u
#define VFS_CAP_FOWNER 8u
#define VFS_CAP_FSETID 16u
#define VFS_CAP_MKNOD 32u
#define VFS_CAP_SYS_ADMIN 64u
#define VFS_CAP_ALL 127u
struct vfs_caller {
	struct vfs *fs;
	uint32_t slot;
	uint32_t pid; /* as F_GETLK answers it to others */
	uint32_t uid, gid; /* fsuid, fsgid */
	const uint32_t *groups; /* supplementary */
	uint32_t group_count;
	uint32_t caps; /* VFS_CAP_*, effective */
	uint32_t umask;
	uint64_t file_size_limit; /* RLIMIT_FSIZE; 0: none. Over it: -EFBIG (the caller sends SIGXFSZ) */
};

/* --- The region and its mounts. --- */

size_t vfs_region_size(void); /* bytes, mostly never touched: about 1.2 GiB of address space */
/* A new region in memory that is all zeros, vfs_region_size bytes, page aligned, shared, the caller's. The caller becomes slot 0, for which alive
 * must answer true from now on. *c: fs and slot are set here, the rest by the caller before. -ENOMEM. */
MUST_USE int vfs_create(const struct vfs_env *env, void *region, struct vfs_caller *c);
/* After exec: the process still is c->slot. -EINVAL: no region, or the slot is none of a live process. Mounts are to be attached. */
MUST_USE int vfs_attach(const struct vfs_env *env, void *region, struct vfs_caller *c);
/* Forget the process' view without a word to others; region and arenas stay. NULL is fine. */
void vfs_free(struct vfs *f);

struct vfs_mount {
	const char *
		path; /* absolute, without "." "..", "//" or a slash at its end ("/" itself is not possible) */
	const struct volume_env *env; /* with lock and unlock; copied */
	const uint8_t *key; /* VOLUME_KEY_LEN */
	void *arena; /* see volume_open; outside of the region */
	size_t arena_len;
	const struct volume_open_options *options; /* not used by vfs_mount_attach */
	bool no_atime; /* reading leaves the access time as it is; not used by vfs_mount_attach */
};
/* Open a volume and enter it in the mount table: its number. Only before there is a second process. What volume_open answers; -EEXIST: that path is one
 * already, or above or below one; -ENFILE: VFS_MOUNTS. report may be NULL. */
MUST_USE int vfs_mount(struct vfs *f, const struct vfs_mount *m, struct volume_open_report *report);
/* After exec: the process' own handle of mount number n. path and options of m are not looked at. */
MUST_USE int vfs_mount_attach(struct vfs *f, uint32_t n, const struct vfs_mount *m);
/* The same for a sealed tree that was laid out at mem (sealed_fs.h), which lies outside of the region. All that would change it is -EROFS. Also -EINVAL,
 * -ENOMEM. */
MUST_USE int vfs_mount_sealed(struct vfs *f, const char *path, const struct sealed_fs_env *env, void *mem);
MUST_USE int vfs_mount_sealed_attach(struct vfs *f, uint32_t n, const struct sealed_fs_env *env, void *mem);
uint32_t vfs_mount_count(const struct vfs *f);
const char *vfs_mount_path(const struct vfs *f, uint32_t n);
struct volume *vfs_mount_volume(
	const struct vfs *f, uint32_t n); /* for faults, version, stats; NULL: a sealed tree */
bool vfs_mount_is_sealed(const struct vfs *f, uint32_t n);
dev_t vfs_mount_dev(const struct vfs *f, uint32_t n); /* st_dev of its files */
/* The mount that absolute path (as it came: "//", "." and ".." are understood) begins in, and what of path is left within; longest mount path first.
 * -1: none. A ".." that climbs out again is vfs_walk's to find. */
int vfs_mount_find(const struct vfs *f, const char *path, const char **ret_rest);

/* --- Processes. --- */

/* Before fork or vfork: a slot for the child, with a copy of the descriptors, that belongs to the caller until vfs_fork_child. Shared mappings are
 * copied too unless vfork. -EAGAIN: no slot. The threads that run meanwhile may change the parent's descriptors: the caller keeps them
 * from that, for the kernel's table is copied later. */
MUST_USE int vfs_fork_prepare(const struct vfs_caller *c, bool vfork, uint32_t *ret_slot);
/* In the child, first thing, when alive answers true for slot: *c (fork: its own copy; vfork: a copy made for it) becomes the child's. -ESTALE: the
 * parent died and the slot was taken away seconds ago; the child has nothing and should end as if killed. vfork as it was prepared. */
MUST_USE int vfs_fork_child(struct vfs_caller *c, uint32_t slot, uint32_t pid);
/* The fork failed. */
void vfs_fork_cancel(const struct vfs_caller *c, uint32_t slot);
/* In the new image after vfs_attach: mappings are gone. The caller clears descriptors that exec closed (vfs_fd_next, vfs_close). */
void vfs_exec_done(const struct vfs_caller *c);
/* The process ends: everything it had goes, its slot is free. The last of all commits and closes every volume: 0 or what that answered. Nothing may be
 * called after it, and no other thread may be within a call or come into one. */
MUST_USE int vfs_leave(const struct vfs_caller *c);
/* The same where other threads may still run (exit_group): what the process has is reaped by others when it is dead; the last commits. */
MUST_USE int vfs_abandon(const struct vfs_caller *c);
/* Clean up after the dead: how many. */
int vfs_reap(const struct vfs_caller *c);
/* For a timer, or on the way out of a call that changed something: now and then reap, write mappings back, commit what is older than max_age ns.
 * Cheap when nothing is due. Answers what failed of that; nobody needs to act on it. */
int vfs_tick(const struct vfs_caller *c, int64_t max_age);

/* --- Paths. --- */

/* An inode, and which it is among those that had its number. */
struct vfs_node {
	uint32_t mount;
	uint64_t ino, gen; /* gen 0: not looked at */
};

/* Where a path leads. Big: not two of them on a small stack. */
enum vfs_last { VFS_LAST_NAME, VFS_LAST_DOT, VFS_LAST_DOTDOT, VFS_LAST_ROOT };
struct vfs_place {
	struct vfs_node dir; /* the directory that has, or would have, the name */
	bool found; /* the name exists: attr is of what it names. Otherwise the directory was searchable, and there is none */
	bool must_dir; /* a slash behind it */
	enum vfs_last
		last; /* what the path ended in; other than VFS_LAST_NAME: found, a directory, and no name */
	struct volume_attr attr;
	size_t name_len;
	char name[VOLUME_NAME_MAX + 1];
	uint32_t
		links; /* in and out: symbolic links followed so far: 0 for a new path, kept when a path goes on */
	char away[VFS_PATH_MAX]; /* with VFS_AWAY: the absolute path to go on with */
};
static inline struct vfs_node vfs_place_node(const struct vfs_place *p)
{
	return (struct vfs_node){.mount = p->dir.mount, .ino = p->attr.ino, .gen = p->attr.gen};
}

#define VFS_NOFOLLOW 1u /* a symbolic link at the end is what is meant, unless must_dir */
#define VFS_NO_SYMLINKS 2u /* openat2: -ELOOP at any */
#define VFS_BENEATH 4u /* openat2: -EXDEV for absolute links and for ".." above the start */
#define VFS_IN_ROOT 8u /* openat2: the start is "/" and its own parent */
#define VFS_NAME                                                                                             \
	32u /* for calls that are about the name itself (mkdir, unlink, rename …): the last is never followed, with a slash neither */
#define VFS_NO_XDEV 16u /* openat2: -EXDEV instead of VFS_AWAY */

#define VFS_AWAY 1
/* Walk path from directory `from` (gen 0 is fine; of path a leading slash counts for nothing). 0: *p is filled, p->found says whether the last name
 * exists. VFS_AWAY: it left the mount by ".." above its root or by an absolute link; start over with p->away, which may lead into
 * a mount again, with the same flags, p->links kept. -ENOENT (an empty path is `from` itself: what a program's empty path means is the caller's), -ENOTDIR, -EACCES (no x), -ELOOP, -ENAMETOOLONG. */
MUST_USE int vfs_walk(const struct vfs_caller *c, const struct vfs_node *from, const char *path,
	unsigned int flags, struct vfs_place *p);
/* The root of a mount, to walk from. */
static inline struct vfs_node vfs_root(uint32_t mount)
{
	return (struct vfs_node){.mount = mount, .ino = VOLUME_ROOT};
}
/* The place of a descriptor itself, O_PATH ones too: for AT_EMPTY_PATH, /proc/self/fd/N, fchdir, fchmod. found; last is VFS_LAST_ROOT, so that it
 * can be used for its node and to be opened again or linked, not for its name. It may be unlinked. */
MUST_USE int vfs_fd_place(const struct vfs_caller *c, int fd, struct vfs_place *p);
/* Absolute path of a directory, NUL included in n: -ERANGE, -ENOENT: it was removed. */
MUST_USE long vfs_dir_path(const struct vfs_caller *c, const struct vfs_node *dir, char *ret, size_t n);
/* Of a descriptor, as /proc/self/fd/N would show it, " (deleted)" included. */
MUST_USE long vfs_fd_path(const struct vfs_caller *c, int fd, char *ret, size_t n);

/* --- Descriptors. Numbers are the kernel's (of placeholders); the caller says which. --- */

/* Open what is at p under number fd, which must be free in the slot (what is there is closed). flags: open's, all of them; unknown ones are ignored.
 * O_CREAT, O_EXCL, O_DIRECTORY, O_NOFOLLOW, O_TRUNC, O_TMPFILE, O_PATH and access are served here; mode: with umask already off where
 * that is due (vfs_open takes c->umask off itself). The name may come or go meanwhile: found is no promise, it is looked at again.
 * -EOPNOTSUPP: a FIFO; -ENXIO: a socket; -EACCES: a device. */
MUST_USE int vfs_open(
	const struct vfs_caller *c, const struct vfs_place *p, unsigned int flags, uint32_t mode, int fd);
/* to shares from's file; what to was is closed. from == to: 0. */
MUST_USE int vfs_dup(const struct vfs_caller *c, int from, int to);
/* POSIX record locks of this process on the inode go with it. A call of another thread that is under way on it ends as it would have. -EBADF. */
int vfs_close(const struct vfs_caller *c, int fd);
/* The lowest number >= fd that stands for a file of a volume; -1: none. */
int vfs_fd_next(const struct vfs_caller *c, int fd);

struct vfs_fd {
	struct vfs_node node;
	uint32_t flags; /* F_GETFL: access mode and status flags, O_PATH, O_DIRECTORY */
	uint32_t type; /* S_IF* */
	uint64_t id; /* of the file: never the same again */
};
MUST_USE int vfs_fd_get(const struct vfs_caller *c, int fd, struct vfs_fd *ret);
/* F_SETFL: O_APPEND, O_NONBLOCK, O_DIRECT, O_NOATIME (-EPERM unless owner), O_ASYNC are taken over. */
MUST_USE int vfs_fd_set_flags(const struct vfs_caller *c, int fd, uint32_t flags);
/* Descriptors on their way to another process of the application (SCM_RIGHTS): remember fd's file under token, a number of the caller's that never
 * repeats. The last 1024 are kept until received. vfs_receive: enter it under number fd; -ENOENT: no such token. */
MUST_USE int vfs_send(const struct vfs_caller *c, int fd, uint64_t token);
MUST_USE int vfs_receive(const struct vfs_caller *c, uint64_t token, int fd);
void vfs_unsend(const struct vfs_caller *c, uint64_t token); /* it was not sent */

/* --- Reading and writing. --- */

#define VFS_WRITE 1u
#define VFS_AT                                                                                               \
	2u /* positioned: off counts, the file's offset does not. Without it the offset is locked until vfs_io_end, and moves */
#define VFS_APPENDING 4u /* RWF_APPEND */
#define VFS_IO_FAILED 8u /* internal */
/* One call of the program, in as many steps as the caller's buffer makes of it. Opaque but for off. */
struct vfs_io {
	const struct vfs_caller *c;
	uint64_t off; /* of the next byte */
	uint64_t left; /* bytes that may still be moved (limits) */
	void *file, *pin, *vnode;
	uint32_t flags;
	bool moved;
};
/* n: bytes of the whole call, at most INT64_MAX. -EBADF: mode; -EISDIR; -EINVAL: off negative or too far; -EFBIG. Always followed by vfs_io_end if 0. */
MUST_USE int vfs_io_begin(
	const struct vfs_caller *c, int fd, unsigned int flags, int64_t off, uint64_t n, struct vfs_io *io);
/* p is memory of the runtime, never the program's. Fewer than n: the end of the file (0: at it). */
MUST_USE long vfs_io_read(struct vfs_io *io, void *p, size_t n);
/* Fewer than n: no room or the limit; the next answers the error. */
MUST_USE long vfs_io_write(struct vfs_io *io, const void *p, size_t n);
/* n bytes read last did not reach the program: step back. */
void vfs_io_back(struct vfs_io *io, size_t n);
/* Set the offset, give up locks; O_SYNC and O_DSYNC are done here: 0 or what the sync answered. */
int vfs_io_end(struct vfs_io *io);
/* Begin, read, end, in one, for the path that counts. */
MUST_USE long vfs_pread(const struct vfs_caller *c, int fd, void *p, size_t n, int64_t off);
MUST_USE long vfs_read(const struct vfs_caller *c, int fd, void *p, size_t n);
MUST_USE long vfs_pwrite(const struct vfs_caller *c, int fd, const void *p, size_t n, int64_t off);
MUST_USE long vfs_write(const struct vfs_caller *c, int fd, const void *p, size_t n);

/* whence: SEEK_SET, SEEK_CUR, SEEK_END, SEEK_DATA, SEEK_HOLE. Directories: what getdents gave as d_off. */
MUST_USE int64_t vfs_lseek(const struct vfs_caller *c, int fd, int64_t off, int whence);
/* struct linux_dirent64 records into p, n bytes at most: bytes, 0 at the end. -EINVAL: n too small for one. -ENOENT: the directory was removed. */
MUST_USE long vfs_getdents64(const struct vfs_caller *c, int fd, void *p, size_t n);
MUST_USE int vfs_ftruncate(const struct vfs_caller *c, int fd, int64_t size);
/* mode: FALLOC_FL_*. -EOPNOTSUPP: COLLAPSE, INSERT, UNSHARE. */
MUST_USE int vfs_fallocate(const struct vfs_caller *c, int fd, int mode, int64_t off, int64_t n);
MUST_USE int vfs_fsync(const struct vfs_caller *c, int fd, bool data_only);
/* Everything of the volume of fd (syncfs), or of all volumes (fd < 0: sync). */
MUST_USE int vfs_sync(const struct vfs_caller *c, int fd);

/* --- Names. p: of vfs_walk with VFS_NAME. --- */

MUST_USE int vfs_mkdir(const struct vfs_caller *c, const struct vfs_place *p, uint32_t mode);
/* mode with S_IFMT (0: regular); umask is taken off here. */
MUST_USE int vfs_mknod(const struct vfs_caller *c, const struct vfs_place *p, uint32_t mode, uint64_t rdev);
MUST_USE int vfs_symlink(const struct vfs_caller *c, const char *target, const struct vfs_place *p);
MUST_USE int vfs_unlink(const struct vfs_caller *c, const struct vfs_place *p);
MUST_USE int vfs_rmdir(const struct vfs_caller *c, const struct vfs_place *p);
/* from: walked with or without VFS_NOFOLLOW, or of vfs_fd_place. -EXDEV: two volumes. */
MUST_USE int vfs_link(const struct vfs_caller *c, const struct vfs_place *from, const struct vfs_place *to);
/* flags: renameat2's; RENAME_WHITEOUT is -EINVAL. */
MUST_USE int vfs_rename(const struct vfs_caller *c, const struct vfs_place *from, const struct vfs_place *to,
	unsigned int flags);

/* --- Attributes. p: found, or -ENOENT; -ENOTDIR where must_dir and it is none. By path or, with vfs_fd_place, by descriptor. --- */

/* attr of a place, as the walk found it. */
MUST_USE int vfs_stat(const struct vfs_caller *c, const struct vfs_place *p, struct volume_attr *ret);
MUST_USE int vfs_fstat(const struct vfs_caller *c, int fd, struct volume_attr *ret, uint32_t *ret_mount);
/* As the kernel's struct stat. */
void vfs_stat_fill(const struct vfs *f, uint32_t mount, const struct volume_attr *a, struct stat *ret);
/* mode: F_OK or R_OK | W_OK | X_OK. Fill c with real ids for access(2). */
MUST_USE int vfs_access(const struct vfs_caller *c, const struct vfs_place *p, int mode);
MUST_USE long vfs_readlink(const struct vfs_caller *c, const struct vfs_place *p, char *ret, size_t n);
MUST_USE int vfs_truncate(const struct vfs_caller *c, const struct vfs_place *p, int64_t size);
MUST_USE int vfs_chmod(const struct vfs_caller *c, const struct vfs_place *p, uint32_t mode);
MUST_USE int vfs_chown(const struct vfs_caller *c, const struct vfs_place *p, uint32_t uid,
	uint32_t gid); /* UINT32_MAX: leave */
/* ns since 1970; VFS_TIME_NOW, VFS_TIME_OMIT. utime(path, NULL): both NOW. */
#define VFS_TIME_NOW INT64_MAX
#define VFS_TIME_OMIT INT64_MIN
MUST_USE int vfs_utimes(const struct vfs_caller *c, const struct vfs_place *p, int64_t atime, int64_t mtime);
/* Names with their namespace ("user.x"), NUL-terminated. user.* by mode bits and for files and directories only, trusted.* with VFS_CAP_SYS_ADMIN,
 * security.* to read for all and to write with it; others -EOPNOTSUPP. n 0 asks for the size. flags: XATTR_CREATE, XATTR_REPLACE. */
#define VFS_OWN_XATTR "openscone." /* what the runtime keeps in a volume: not the program's to see */
MUST_USE int vfs_setxattr(const struct vfs_caller *c, const struct vfs_place *p, const char *name,
	const void *value, size_t n, int flags);
MUST_USE long vfs_getxattr(
	const struct vfs_caller *c, const struct vfs_place *p, const char *name, void *value, size_t n);
MUST_USE long vfs_listxattr(const struct vfs_caller *c, const struct vfs_place *p, char *ret, size_t n);
MUST_USE int vfs_removexattr(const struct vfs_caller *c, const struct vfs_place *p, const char *name);
void vfs_statfs(const struct vfs *f, uint32_t mount, struct volume_statfs *ret);

/* --- Record locks. --- */

enum vfs_lock_owner { VFS_LOCK_POSIX, VFS_LOCK_OFD };
/* F_SETLK, F_SETLKW, F_OFD_SETLK …: l as given, l_whence any. wait: sleep, -EDEADLK for POSIX locks, or what env.wait answers. -EAGAIN: held by
 * another; -EBADF: mode; -EINVAL, -EOVERFLOW: range; -ENOLCK: the table is full. */
MUST_USE int vfs_setlk(
	const struct vfs_caller *c, int fd, enum vfs_lock_owner owner, const struct flock *l, bool wait);
/* F_GETLK: *l becomes the first lock in the way, or F_UNLCK. l_pid of an OFD lock is -1. */
MUST_USE int vfs_getlk(const struct vfs_caller *c, int fd, enum vfs_lock_owner owner, struct flock *l);
/* flock(2): LOCK_SH, LOCK_EX, LOCK_UN, LOCK_NB. -EWOULDBLOCK. */
MUST_USE int vfs_flock(const struct vfs_caller *c, int fd, int operation);

/* --- Shared mappings. While an inode is mapped, reads and writes of it by anybody go to its pages. --- */

/* Map: *ret_off is where in the pages object byte 0 of the file lies, page aligned; its content is there. prot, flags: mmap's, checked against the
 * descriptor as mmap does (-EACCES). The process counts one mapping more of it, given back by vfs_unmap; fork copies the count, exec and
 * death drop it. Pages beyond the end of the file read as zeros, and what is written there is lost. -ENODEV: no regular file;
 * -ENFILE; -ENOSYS: env has no pages. */
MUST_USE int vfs_map(const struct vfs_caller *c, int fd, int prot, int flags, struct vfs_node *ret_node,
	uint64_t *ret_off);
/* A regular file of a sealed tree: bytes off to off + n are verified, as far as the file goes. Its content, *ret_size bytes, lies in the content object
 * from *ret_at on, page aligned, and stays there unchanged. -EIO: it is not what was sealed. -EINVAL: not of a sealed tree. */
MUST_USE int vfs_sealed_content(
	const struct vfs_caller *c, int fd, uint64_t off, uint64_t n, uint64_t *ret_at, uint64_t *ret_size);
/* One more of those the process has (a mapping was split), or one less. The last of all writes changed pages back: what that
 * answered; if there was no room the pages stay, are what is read, and are tried again by vfs_sync and vfs_tick. */
MUST_USE int vfs_map_again(const struct vfs_caller *c, const struct vfs_node *n);
int vfs_unmap(const struct vfs_caller *c, const struct vfs_node *n); /* after munmap */
/* msync(MS_SYNC): write changed pages of bytes off to off + len back, and make them durable if sync. */
MUST_USE int vfs_map_sync(
	const struct vfs_caller *c, const struct vfs_node *n, uint64_t off, uint64_t len, bool sync);

#endif
