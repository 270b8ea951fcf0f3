/*
 * vfs_region: what the processes of an application share, and how it changes.
 *
 * One structure, mapped at the same address everywhere; zero pages are free, so its tables are larger than anybody needs. Whoever changes
 * anything but the words marked _Atomic holds the region's lock and saves first what a change overwrites (rg_set, rg_save), up to
 * rg_commit or rg_leave. A process that dies in between has changed nothing: the next holder of the lock undoes it. Content of an element that is
 * just taken from a pool is not saved: nobody sees it if it is undone.
 *
 * The engine's count of holds is the one thing outside: each vnode is one hold. A hold is taken before its vnode is entered, and given back after the vnode
 * is gone and that is committed; `pending` names the inode meanwhile, so that who comes after a death gives back what has no vnode.
 *
 * Pins. A call on a descriptor does not take a reference: it writes the file's number into a cell of its slot, and looks again whether the
 * descriptor still stands for it. Who drops the last reference of a file that some cell names leaves it (refs 0); who clears that cell finds
 * it so and frees it. Either sees the other, for both write before they look, with a full barrier between.
 */
#ifndef SCONE_SHIELD_FS_VFS_REGION_H
#define SCONE_SHIELD_FS_VFS_REGION_H

#include <assert.h>
#include <stdatomic.h>
#include <string.h>
#include "shield/fs/mounted.h"
#include "shield/fs/vfs.h"

#define RG_MAGIC 0x31534656454e4f43ULL
#define RG_UNDO (256u << 10)
#define RG_CELLS 256 /* calls on descriptors at once, in one slot */
#define RG_FILES 65536
#define RG_VNODES 65536
#define RG_BUCKETS 65536
#define RG_RECLOCKS 65536
#define RG_WAITERS 4096
#define RG_MAPREFS 65536
#define RG_TRANSIT 1024
#define RG_EXTENT_SHIFT 44 /* a mapped inode's extent in the pages object: number of its vnode, shifted */
static_assert(((uint64_t)1 << RG_EXTENT_SHIFT) > VOLUME_FILE_MAX, "a file fits into its extent");

/* A table of elements that start with `uint32_t next`, numbers from 1; 0 is none. */
struct rg_pool {
	uint32_t head; /* free ones */
	uint32_t high; /* numbers above were never taken */
};

struct rg_cell {
	_Alignas(64) _Atomic uint64_t what;
};
#define RG_CELL_VNODE ((uint64_t)1 << 62) /* a counted reference of a vnode; otherwise a pin of a file */
#define RG_CELL_CLAIMED ((uint64_t)1 << 61)

enum rg_slot_state { RG_FREE, RG_BORN, RG_LIVE, RG_REAPING };
struct rg_slot {
	uint32_t state;
	uint32_t inc; /* rises with every use of the slot */
	uint32_t by, by_inc; /* RG_BORN: the parent; RG_REAPING: who reaps */
	uint32_t pid;
	uint32_t shares; /* of a vfork: memory with its parent */
	uint32_t maps; /* list of struct rg_mapref */
	int64_t born_at;
	_Atomic uint32_t fd_high; /* no descriptor at or above */
	_Atomic uint32_t cell_high;
};

#define RG_FILE_USED 1u
#define RG_FILE_PINNED 2u /* a call was under way when a descriptor of it went */
/* An open file description. */
struct rg_file {
	uint32_t next;
	uint32_t refs; /* descriptors and transit entries */
	uint32_t vnode;
	uint32_t used; /* 0: free; RG_FILE_*; */
	uint64_t id;
	_Atomic uint32_t flags; /* of open, without what creates; F_SETFL changes some */
	uint32_t mount;
	uint64_t ino;
	uint32_t type;
	uint32_t name_len;
	_Atomic uint64_t offset; /* of a directory: a cookie */
	struct volume_lock lock; /* of the offset */
	uint64_t dir; /* where it was opened: directory and name, to tell its path; 0: unknown */
	char name[VOLUME_NAME_MAX + 1];
};

struct rg_vnode {
	uint32_t next; /* in the hash bucket too */
	uint32_t refs; /* files, maps, and calls under way (cells) */
	uint32_t mount;
	uint32_t type;
	uint64_t ino, gen;
	uint32_t locks, flocks; /* lists of struct rg_reclock */
	uint32_t lock_seq; /* rises when a record lock goes; waiters sleep on it */
	uint32_t lock_waiters;
	_Atomic uint32_t map; /* its own number while it is mapped, and that of its extent; 0: not mapped */
	_Atomic uint32_t map_seq; /* rises when map changes */
	_Atomic uint32_t map_dirty; /* its pages may differ from the volume's content */
	uint32_t map_refs; /* mappings, of all processes */
	_Atomic uint32_t atime_due; /* the next read sets atime */
	uint32_t never_linked; /* made without a name, and is to get none */
	_Atomic uint32_t privileged; /* may have set-id bits, or capabilities: the next write looks */
	struct volume_lock lock; /* writers */
};

enum rg_lock_kind { RG_POSIX, RG_OFD, RG_FLOCK };
/* A record lock. POSIX and OFD locks of a vnode are in one list, those of an owner by start; flocks in another. */
struct rg_reclock {
	uint32_t next;
	uint8_t kind, write;
	uint16_t zero;
	uint32_t owner; /* slot, or number of the file */
	uint32_t pid;
	uint64_t start, end; /* last byte; INT64_MAX: to the end */
};

struct rg_waiter {
	uint32_t next;
	uint32_t slot; /* + 1; 0: free */
	uint32_t vnode;
	uint32_t blocker; /* slot + 1 of the POSIX owner it waits for; 0: other */
	uint32_t posix;
	uint32_t inc; /* of the slot */
};

/* How often a process has an inode mapped. */
struct rg_mapref {
	uint32_t next;
	uint32_t vnode;
	uint32_t count;
};

struct rg_transit {
	uint64_t token;
	uint32_t file;
};

struct rg_mount {
	uint32_t used;
	uint32_t no_atime;
	uint32_t path_len;
	char path[VFS_PATH_MAX];
};

struct region {
	uint64_t magic;
	struct region *self;
	struct volume_lock lock;
	uint64_t next_id;
	uint32_t slot_high;
	uint32_t transit_next;
	_Atomic int64_t reap_at, sync_at, maps_at; /* when vfs_tick does something next */

	uint32_t pending_mount; /* see above; not undone */
	uint64_t pending_ino;
	struct volume_attr pending_attr;

	struct rg_pool files, vnodes, reclocks, waiters, maprefs;
	_Atomic uint32_t mapped; /* vnodes */
	struct rg_mount mount[VFS_MOUNTS];
	uint32_t undo_len;
	_Alignas(4096) uint8_t undo[RG_UNDO];
	_Alignas(4096) struct rg_transit transit[RG_TRANSIT];
	_Alignas(4096) uint32_t bucket[RG_BUCKETS];
	_Alignas(4096) struct rg_slot slot[VFS_SLOTS];
	_Alignas(4096) struct rg_file file[RG_FILES];
	_Alignas(4096) struct rg_vnode vnode[RG_VNODES];
	_Alignas(4096) struct rg_reclock reclock[RG_RECLOCKS];
	_Alignas(4096) struct rg_waiter waiter[RG_WAITERS];
	_Alignas(4096) struct rg_mapref mapref[RG_MAPREFS];
	_Alignas(4096) struct rg_cell cell[VFS_SLOTS][RG_CELLS];
	_Alignas(4096) _Atomic uint32_t fd[VFS_SLOTS][VFS_FDS]; /* number of the file; 0: none */
};

struct vfs {
	struct vfs_env env;
	struct region *r;
	uint32_t mounts;
	struct mounted mount[VFS_MOUNTS];
};

/* --- changing it --- */

void rg_enter(struct vfs *f); /* take the lock; what a dead holder left is made good */
void rg_leave(struct vfs *f); /* what was done stays */
void rg_abort(struct vfs *f); /* what was done since rg_enter or rg_commit is undone */
void rg_commit(struct region *r); /* what was done so far stays; the lock is kept */
void rg_save(struct region *r, const void *p, size_t n);
static inline void rg_set(struct region *r, uint32_t *p, uint32_t v)
{
	rg_save(r, p, sizeof(*p));
	*p = v;
}
static inline void rg_set_atomic(struct region *r, _Atomic uint32_t *p, uint32_t v)
{
	rg_save(r, (const void *)p, sizeof(*p));
	atomic_store(p, v);
}

/* Take an element of a pool, all zeros but for next; 0: there is none. All elements but those of vnodes are given back by rg_give. */
MUST_USE uint32_t rg_take_file(struct region *r);
MUST_USE uint32_t rg_take_vnode(struct region *r);
MUST_USE uint32_t rg_take_reclock(struct region *r);
MUST_USE uint32_t rg_take_waiter(struct region *r);
MUST_USE uint32_t rg_take_mapref(struct region *r);
void rg_give(struct region *r, struct rg_pool *p, uint32_t number, uint32_t *next);

/* Number 1 is the first. */
static inline struct rg_file *rg_file(struct region *r, uint32_t n)
{
	return &r->file[n - 1];
}
static inline struct rg_vnode *rg_vnode(struct region *r, uint32_t n)
{
	return &r->vnode[n - 1];
}
static inline struct rg_reclock *rg_reclock(struct region *r, uint32_t n)
{
	return &r->reclock[n - 1];
}

/* Lock of a file's offset or a vnode's writers: a dead holder leaves nothing to be made good. */
static inline void rg_lock(struct vfs *f, struct volume_lock *l)
{
	(void)f->env.lock(f->env.ctx, l, VOLUME_EXCLUSIVE);
}
static inline void rg_unlock(struct vfs *f, struct volume_lock *l)
{
	f->env.unlock(f->env.ctx, l, VOLUME_EXCLUSIVE);
}

/* --- vnodes; the region's lock is held --- */

uint32_t vnode_find(const struct region *r, uint32_t mount, uint64_t ino); /* 0: none */
/* One more reference of n's vnode, made and held if it is not there. -ENOENT, -ESTALE, -ENFILE, and what volume_hold answers; after an error
 * rg_abort must follow. */
MUST_USE int vnode_get(struct vfs *f, const struct vfs_node *n, uint32_t type, uint32_t *ret);
/* The vnode of a new file without a name, with one reference; r->pending_attr is its. Errors as above. */
MUST_USE int unnamed_vnode(struct vfs *f, uint32_t mount, const struct volume_new *what, uint32_t *ret);
/* One reference less. The last gives the hold back; commits what is open. Answers the inode to be reaped when the lock has been given up, or 0. */
MUST_USE uint64_t vnode_put(struct vfs *f, uint32_t vnode, uint32_t *ret_mount);

/* --- calls under way; the region's lock is not held --- */

/* A cell of the slot with `what` in it. */
struct rg_cell *cell_claim(const struct vfs_caller *c, uint64_t what);
/* Pin the file of a descriptor: its number, or 0. */
uint32_t pin_fd(const struct vfs_caller *c, int fd, struct rg_cell **ret);
void pin_drop(const struct vfs_caller *c, struct rg_cell *cell);
/* Hold an inode for one call, found by a path: its vnode. -ENOENT and -ESTALE become -ESTALE: walk again. */
MUST_USE int hold_node(const struct vfs_caller *c, const struct vfs_node *n, uint32_t type,
	struct rg_cell **ret, uint32_t *ret_vnode);
void hold_drop(const struct vfs_caller *c, struct rg_cell *cell);

/* --- files; the region's lock is held --- */

/* One reference less; the last frees the file with its locks unless it is pinned. Commits. Answers as vnode_put. */
MUST_USE uint64_t file_put(struct vfs *f, uint32_t file, uint32_t *ret_mount);
/* The file has no reference: free it unless a cell names it. */
MUST_USE uint64_t file_try_free(struct vfs *f, uint32_t file, uint32_t *ret_mount);
/* Descriptor fd of a slot stands for file `by` from now on, which gets a reference more, or for nothing (0). POSIX locks of the slot on what it stood for go.
 * Commits. Answers as vnode_put. */
MUST_USE uint64_t fd_replace(struct vfs *f, uint32_t slot, uint32_t fd, uint32_t by, uint32_t *ret_mount);
/* Enter a file as fd, which is free; its reference is the caller's to count. */
void fd_enter(struct region *r, uint32_t slot, uint32_t fd, uint32_t file);
/* The lock is not held: free what vnode_put named. */
void reap_inode(struct vfs *f, uint32_t mount, uint64_t ino);

/* --- record locks; the region's lock is held --- */

/* Remove all locks of an owner; commits. Waiters are woken. */
void locks_drop(struct vfs *f, uint32_t vnode, enum rg_lock_kind kind, uint32_t owner);

/* --- mappings; the vnode's lock is held, or nobody else can see it --- */

/* n bytes at most from the pages of a mapped inode of size bytes; no lock is held. */
MUST_USE long map_read(struct vfs *f, uint32_t map, uint64_t size, uint64_t off, void *p, size_t n);
/* Write changed pages of [off, end) to the volume. */
MUST_USE int map_write_back(struct vfs *f, uint32_t vnode, uint64_t off, uint64_t end);
/* The file is size bytes long now: pages beyond are zeros. */
MUST_USE int map_cut(struct vfs *f, uint32_t map, uint64_t size);
/* n bytes from off on are zeros. */
MUST_USE int map_zero(struct vfs *f, uint32_t map, uint64_t off, uint64_t n);
/* A mapping less of a slot, or all of a vnode; no lock is held. Answers what failed of writing back; the mapping is gone all the same. -EINVAL: the slot has
 * none. */
int map_put(const struct vfs_caller *c, uint32_t slot, uint32_t vnode, bool all);
/* Write back every mapped inode. */
int map_sync_all(const struct vfs_caller *c);

/* --- permissions (vfs_perm.c) --- */

#define MAY_READ 4u
#define MAY_WRITE 2u
#define MAY_EXEC 1u
MUST_USE int may(
	const struct vfs_caller *c, const struct volume_attr *a, unsigned int want); /* 0 or -EACCES */
bool in_group(const struct vfs_caller *c, uint32_t gid);
bool is_owner(const struct vfs_caller *c, const struct volume_attr *a); /* or VFS_CAP_FOWNER */
static inline bool capable(const struct vfs_caller *c, uint32_t cap)
{
	return (c->caps & cap) != 0;
}
/* May the caller make or remove names in dir, as it is now? -ENOENT: it is gone. */
MUST_USE int may_change_dir(const struct vfs_caller *c, const struct vfs_node *dir, struct volume_attr *ret);
/* Owner, group and mode of something new in dir. */
void owner_of_new(
	const struct vfs_caller *c, const struct volume_attr *dir, uint32_t mode, struct volume_new *ret);

static inline const struct mounted *mounted_of(const struct vfs *f, uint32_t mount)
{
	return &f->mount[mount];
}

/* A write or truncation of a file by someone who is not privileged takes its set-id bits. The vnode's lock is held. */
MUST_USE int drop_privileges(const struct vfs_caller *c, uint32_t vnode);
/* The content is read: atime, as relatime has it. */
void touch_atime(const struct vfs_caller *c, struct rg_vnode *vn, uint32_t flags);
/* Pages to the volume, then fsync. */
MUST_USE int sync_inode(const struct vfs_caller *c, uint32_t vnode, bool data_only);
/* Set the size; pages of a mapping follow. Takes the vnode's lock. -EFBIG: the caller's limit. */
MUST_USE int resize(const struct vfs_caller *c, uint32_t vnode, int64_t size);

#endif
