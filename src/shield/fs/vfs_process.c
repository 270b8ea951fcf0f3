/* Slots: processes that come and go, and cleaning up after those that were killed. */
#include <errno.h>
#include <stdlib.h>
#include "shield/fs/vfs_region.h"

#define BIRTH_MAX 5000000000LL /* ns in which a child whose parent died is in its slot */
#define STILLBORN_AFTER 60000000000LL /* the same, if the parent lives */
#define REAP_EVERY 1000000000LL
#define SYNC_EVERY 1000000000LL
#define MAPS_EVERY 30000000000LL
#define COPY_STEP 1024 /* descriptors copied in one step */

static int64_t now(const struct vfs *f)
{
	return f->env.clock(f->env.ctx);
}

/* --- birth --- */

/* A free slot, taken for a child of the caller. */
static int take_slot(const struct vfs_caller *c, bool vfork, uint32_t *ret)
{
	struct region *r = c->fs->r;
	struct rg_slot *s;
	uint32_t i = 0;

	/* who has left lives on for a moment */
	while (i < r->slot_high && (r->slot[i].state != RG_FREE || c->fs->env.alive(c->fs->env.ctx, i)))
		i++;
	if (i == VFS_SLOTS)
		return -EAGAIN;
	s = &r->slot[i];
	rg_save(r, s, sizeof(*s));
	*s = (struct rg_slot){.state = RG_BORN,
		.inc = s->inc + 1,
		.by = c->slot,
		.by_inc = r->slot[c->slot].inc,
		.shares = vfork,
		.born_at = now(c->fs)};
	if (i == r->slot_high)
		rg_set(r, &r->slot_high, i + 1);
	*ret = i;
	return 0;
}

/* Descriptors [from, to). The lock is held. */
static void copy_fds(const struct vfs_caller *c, uint32_t child, uint32_t from, uint32_t to)
{
	struct region *r = c->fs->r;

	for (uint32_t fd = from; fd < to; fd++) {
		uint32_t n = atomic_load_explicit(&r->fd[c->slot][fd], memory_order_relaxed);

		if (n == 0)
			continue;
		rg_set(r, &rg_file(r, n)->refs, rg_file(r, n)->refs + 1);
		fd_enter(r, child, fd, n);
	}
}

static struct rg_mapref *mapref(struct region *r, uint32_t n)
{
	return &r->mapref[n - 1];
}

/* As many mappings of the same inodes. The lock is held. */
static int copy_maps(const struct vfs_caller *c, uint32_t child)
{
	struct region *r = c->fs->r;

	for (uint32_t i = r->slot[c->slot].maps; i; i = mapref(r, i)->next) {
		uint32_t n = rg_take_mapref(r);
		struct rg_vnode *vn = rg_vnode(r, mapref(r, i)->vnode);

		if (n == 0)
			return -EAGAIN;
		mapref(r, n)->vnode = mapref(r, i)->vnode;
		mapref(r, n)->count = mapref(r, i)->count;
		mapref(r, n)->next = r->slot[child].maps;
		rg_set(r, &r->slot[child].maps, n);
		rg_set(r, &vn->map_refs, vn->map_refs + mapref(r, n)->count);
		rg_commit(r);
	}
	return 0;
}

int vfs_fork_prepare(const struct vfs_caller *c, bool vfork, uint32_t *ret_slot)
{
	struct region *r = c->fs->r;
	uint32_t child, high;
	int e;

	rg_enter(c->fs);
	e = take_slot(c, vfork, &child);
	if (e < 0) {
		rg_abort(c->fs);
		/* the dead may be in the way */
		if (vfs_reap(c) == 0)
			return e;
		rg_enter(c->fs);
		e = take_slot(c, vfork, &child);
		if (e < 0) {
			rg_abort(c->fs);
			return e;
		}
	}
	rg_commit(r);
	high = atomic_load(&r->slot[c->slot].fd_high);
	for (uint32_t from = 0; from < high; from += COPY_STEP) {
		copy_fds(c, child, from, high - from < COPY_STEP ? high : from + COPY_STEP);
		rg_commit(r);
	}
	if (!vfork)
		e = copy_maps(c, child);
	rg_leave(c->fs);
	if (e < 0) {
		vfs_fork_cancel(c, child);
		return e;
	}
	*ret_slot = child;
	return 0;
}

int vfs_fork_child(struct vfs_caller *c, uint32_t slot, uint32_t pid)
{
	struct region *r = c->fs->r;
	struct rg_slot *s = &r->slot[slot];
	bool same_memory = true;
	int e = 0;

	rg_enter(c->fs);
	if (s->state != RG_BORN || s->by != c->slot) {
		e = -ESTALE;
	} else {
		same_memory = s->shares;
		rg_set(r, &s->pid, pid);
		rg_set(r, &s->state, RG_LIVE);
	}
	rg_leave(c->fs);
	if (e < 0)
		return e;
	if (!same_memory)
		for (uint32_t i = 0; i < c->fs->mounts; i++)
			mounted_forked(&c->fs->mount[i]);
	c->slot = slot;
	c->pid = pid;
	return 0;
}

/* --- death --- */

/* What calls that never ended had. */
static void clear_cells(struct vfs *f, uint32_t slot)
{
	struct region *r = f->r;
	uint32_t high = atomic_load(&r->slot[slot].cell_high), mount = 0;
	uint64_t ino;

	for (uint32_t i = 0; i < high; i++) {
		struct rg_cell *cell = &r->cell[slot][i];
		uint64_t what = atomic_load(&cell->what);

		if (what == 0)
			continue;
		rg_enter(f);
		rg_save(r, (const void *)&cell->what, sizeof(cell->what));
		atomic_store(&cell->what, 0);
		ino = what & RG_CELL_VNODE ? vnode_put(f, (uint32_t)what, &mount) : 0;
		rg_leave(f);
		reap_inode(f, mount, ino);
	}
}

static void clear_waiters(struct vfs *f, uint32_t slot)
{
	struct region *r = f->r;

	rg_enter(f);
	for (uint32_t i = 0; i < r->waiters.high; i++) {
		struct rg_waiter *w = &r->waiter[i];

		if (w->slot != slot + 1)
			continue;
		rg_set(r, &rg_vnode(r, w->vnode)->lock_waiters, rg_vnode(r, w->vnode)->lock_waiters - 1);
		rg_set(r, &w->slot, 0);
		rg_give(r, &r->waiters, i + 1, &w->next);
		rg_commit(r);
	}
	rg_leave(f);
}

/* Files that lost their last reference while a call was under way that has ended with its process. */
static void sweep_files(struct vfs *f)
{
	struct region *r = f->r;
	uint32_t high = __atomic_load_n(&r->files.high, __ATOMIC_RELAXED);

	for (uint32_t n = 1; n <= high; n++) {
		uint32_t mount = 0;
		uint64_t ino = 0;

		if (!__atomic_load_n(&rg_file(r, n)->used, __ATOMIC_RELAXED) ||
			__atomic_load_n(&rg_file(r, n)->refs, __ATOMIC_RELAXED))
			continue;
		rg_enter(f);
		if (rg_file(r, n)->used && rg_file(r, n)->refs == 0)
			ino = file_try_free(f, n, &mount);
		rg_leave(f);
		reap_inode(f, mount, ino);
	}
}

static void drop_maps(const struct vfs_caller *c, uint32_t slot)
{
	struct region *r = c->fs->r;

	for (;;) {
		uint32_t vnode = 0;

		rg_enter(c->fs);
		if (r->slot[slot].maps)
			vnode = mapref(r, r->slot[slot].maps)->vnode;
		rg_leave(c->fs);
		if (vnode == 0)
			return;
		(void)map_put(c, slot, vnode, true);
	}
}

/* Everything that a slot has, step by step: whoever dies on the way leaves what another can go on with. */
static void empty_slot(const struct vfs_caller *c, uint32_t slot)
{
	struct vfs *f = c->fs;
	struct region *r = f->r;
	uint32_t high = atomic_load(&r->slot[slot].fd_high);

	clear_waiters(f, slot);
	clear_cells(f, slot);
	for (uint32_t fd = 0; fd < high; fd++) {
		uint32_t mount = 0;
		uint64_t ino;

		if (atomic_load_explicit(&r->fd[slot][fd], memory_order_relaxed) == 0)
			continue;
		rg_enter(f);
		ino = fd_replace(f, slot, fd, 0, &mount);
		rg_leave(f);
		reap_inode(f, mount, ino);
	}
	drop_maps(c, slot);
}

/* Is there nobody who will still look after this slot? The lock is held. */
static bool abandoned(struct vfs *f, uint32_t slot)
{
	struct region *r = f->r;
	const struct rg_slot *s = &r->slot[slot];
	bool by = r->slot[s->by].state == RG_LIVE && r->slot[s->by].inc == s->by_inc &&
		  f->env.alive(f->env.ctx, s->by);

	switch (s->state) {
	case RG_LIVE:
		return !f->env.alive(f->env.ctx, slot);
	case RG_BORN:
		return !f->env.alive(f->env.ctx, slot) &&
		       now(f) - s->born_at > (by ? STILLBORN_AFTER : BIRTH_MAX);
	case RG_REAPING:
		return !by;
	default:
		return false;
	}
}

static bool reap_slot(const struct vfs_caller *c, uint32_t slot)
{
	struct region *r = c->fs->r;
	struct rg_slot *s = &r->slot[slot];
	bool mine;

	/* most live, and need not be looked at twice */
	if (__atomic_load_n(&s->state, __ATOMIC_RELAXED) == RG_LIVE && c->fs->env.alive(c->fs->env.ctx, slot))
		return false;
	rg_enter(c->fs);
	mine = abandoned(c->fs, slot);
	if (mine) {
		rg_set(r, &s->by, c->slot);
		rg_set(r, &s->by_inc, r->slot[c->slot].inc);
		rg_set(r, &s->state, RG_REAPING);
	}
	rg_leave(c->fs);
	if (!mine)
		return false;
	empty_slot(c, slot);
	rg_enter(c->fs);
	rg_set(r, &s->state, RG_FREE);
	rg_leave(c->fs);
	return true;
}

int vfs_reap(const struct vfs_caller *c)
{
	struct region *r = c->fs->r;
	uint32_t high = __atomic_load_n(&r->slot_high, __ATOMIC_RELAXED);
	int n = 0;

	for (uint32_t i = 0; i < high; i++)
		if (i != c->slot && __atomic_load_n(&r->slot[i].state, __ATOMIC_RELAXED) != RG_FREE)
			n += reap_slot(c, i);
	if (n == 0)
		return 0;
	sweep_files(c->fs);
	/* files without a name that only the dead held, or were about to free */
	for (uint32_t i = 0; i < c->fs->mounts; i++)
		if (mounted_reap(mounted_of(c->fs, i), 0) < 0)
			break;
	return n;
}

void vfs_fork_cancel(const struct vfs_caller *c, uint32_t slot)
{
	struct region *r = c->fs->r;
	struct rg_slot *s = &r->slot[slot];

	rg_enter(c->fs);
	rg_set(r, &s->state, RG_REAPING);
	rg_leave(c->fs);
	empty_slot(c, slot);
	rg_enter(c->fs);
	rg_set(r, &s->state, RG_FREE);
	rg_leave(c->fs);
}

void vfs_exec_done(const struct vfs_caller *c)
{
	uint32_t *inc = &c->fs->r->slot[c->slot].inc;

	/* whoever a thread of before was cleaning up after is left to others */
	rg_enter(c->fs);
	rg_set(c->fs->r, inc, *inc + 1);
	rg_leave(c->fs);
	clear_waiters(c->fs, c->slot);
	clear_cells(c->fs, c->slot);
	drop_maps(c, c->slot);
	sweep_files(c->fs);
}

/* The last process is going: nobody else can come. */
static int close_volumes(struct vfs *f)
{
	int r = 0;

	for (uint32_t i = 0; i < f->mounts; i++) {
		int e = mounted_close(&f->mount[i]);

		if (r == 0)
			r = e;
	}
	return r;
}

/* Slots of others; the lock is held. */
static uint32_t others(const struct vfs_caller *c)
{
	struct region *r = c->fs->r;
	uint32_t n = 0;

	for (uint32_t i = 0; i < r->slot_high; i++)
		n += i != c->slot && r->slot[i].state != RG_FREE;
	return n;
}

int vfs_abandon(const struct vfs_caller *c)
{
	bool last;

	vfs_reap(c);
	rg_enter(c->fs);
	last = others(c) == 0;
	rg_leave(c->fs);
	return last ? vfs_sync(c, -1) : 0;
}

int vfs_leave(const struct vfs_caller *c)
{
	struct vfs *f = c->fs;
	struct region *r = f->r;
	bool last;
	int e, x;

	empty_slot(c, c->slot);
	vfs_reap(c);
	rg_enter(f);
	last = others(c) == 0;
	rg_set(r, &r->slot[c->slot].state, RG_FREE);
	rg_leave(f);
	if (!last)
		return 0;
	/* mappings whose pages could not be written back when they ended */
	e = map_sync_all(c);
	x = close_volumes(f);
	return e < 0 ? e : x;
}

/* One of all who find it due does it. */
static bool due(_Atomic int64_t *at, int64_t t, int64_t every)
{
	int64_t when = atomic_load_explicit(at, memory_order_relaxed);

	return t >= when && atomic_compare_exchange_strong(at, &when, t + every);
}

int vfs_tick(const struct vfs_caller *c, int64_t max_age)
{
	struct vfs *f = c->fs;
	struct region *r = f->r;
	int64_t t = now(f);
	int e = 0;

	if (due(&r->reap_at, t, REAP_EVERY))
		vfs_reap(c);
	if (!due(&r->sync_at, t, max_age < SYNC_EVERY ? max_age : SYNC_EVERY))
		return 0;
	if (due(&r->maps_at, t, MAPS_EVERY))
		e = map_sync_all(c);
	for (uint32_t i = 0; i < f->mounts; i++) {
		int x = mounted_tick(&f->mount[i], max_age);

		if (e == 0)
			e = x;
	}
	return e;
}
