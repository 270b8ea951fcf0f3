#include "shield/fs/vfs_region.h"

#include <errno.h>

/* What was there, then where and how long: read from the end when undone. */
struct undo_tail {
	uint64_t at;
	uint32_t len;
	uint32_t size; /* of the whole entry */
};

void rg_save(struct region *r, const void *p, size_t n)
{
	size_t size = ((n + 7) & ~(size_t)7) + sizeof(struct undo_tail);
	struct undo_tail tail = {.at = (uint64_t)(uintptr_t)p, .len = (uint32_t)n, .size = (uint32_t)size};
	uint32_t len = r->undo_len;

	/* Steps are cut so that this cannot be; going on without a way back would be worse than to stop here. */
	if (size > RG_UNDO - len)
		__builtin_trap();
	memcpy(r->undo + len, p, n);
	memcpy(r->undo + len + size - sizeof(tail), &tail, sizeof(tail));
	/* Stores of one processor are seen in order by the others, so only the compiler has to be kept from reordering. */
	__atomic_store_n(&r->undo_len, len + (uint32_t)size, __ATOMIC_RELEASE);
	atomic_signal_fence(memory_order_seq_cst);
}

void rg_commit(struct region *r)
{
	__atomic_store_n(&r->undo_len, 0, __ATOMIC_RELEASE);
	atomic_signal_fence(memory_order_seq_cst);
}

static void undo(struct region *r)
{
	struct undo_tail tail;

	while (r->undo_len > 0) {
		memcpy(&tail, r->undo + r->undo_len - sizeof(tail), sizeof(tail));
		memcpy((void *)(uintptr_t)tail.at, r->undo + r->undo_len - tail.size, tail.len);
		__atomic_store_n(&r->undo_len, r->undo_len - tail.size, __ATOMIC_RELEASE);
		atomic_signal_fence(memory_order_seq_cst);
	}
}

/* The engine holds the inode named last once if it has a vnode, and not at all otherwise. */
static void reconcile(struct vfs *f)
{
	struct region *r = f->r;
	const struct mounted *v = &f->mount[r->pending_mount];
	uint32_t have = 0, want;

	if (r->pending_ino == 0)
		r->pending_ino = r->pending_attr.ino;
	if (r->pending_ino == 0 || !mounted_is(v) || mounted_holds(v, r->pending_ino, &have) < 0)
		return;
	want = vnode_find(r, r->pending_mount, r->pending_ino) != 0;
	/* what is not needed any more then is freed with what the dead process had */
	if (have > want && mounted_release_only(v, r->pending_ino, have - want) > 0)
		atomic_store(&r->reap_at, 0);
}

void rg_enter(struct vfs *f)
{
	while (f->env.lock(f->env.ctx, &f->r->lock, VOLUME_EXCLUSIVE) == -EOWNERDEAD) {
		undo(f->r);
		reconcile(f);
		rg_unlock(f, &f->r->lock);
	}
}

void rg_leave(struct vfs *f)
{
	rg_commit(f->r);
	rg_unlock(f, &f->r->lock);
}

void rg_abort(struct vfs *f)
{
	undo(f->r);
	reconcile(f);
	rg_unlock(f, &f->r->lock);
}

/* Every element starts with its next. */
static uint32_t take(struct region *r, struct rg_pool *p, void *base, size_t stride, uint32_t count)
{
	uint32_t n = p->head, *next;
	uint8_t *e;

	if (n == 0 && p->high == count)
		return 0;
	if (n) {
		next = (uint32_t *)(void *)((uint8_t *)base + (size_t)(n - 1) * stride);
		rg_set(r, &p->head, *next);
		rg_save(r, next, sizeof(*next));
	} else {
		n = p->high + 1;
		rg_set(r, &p->high, n);
	}
	e = (uint8_t *)base + (size_t)(n - 1) * stride;
	memset(e, 0, stride);
	return n;
}

void rg_give(struct region *r, struct rg_pool *p, uint32_t number, uint32_t *next)
{
	rg_set(r, next, p->head);
	rg_set(r, &p->head, number);
}

uint32_t rg_take_file(struct region *r)
{
	return take(r, &r->files, r->file, sizeof(r->file[0]), RG_FILES);
}

uint32_t rg_take_vnode(struct region *r)
{
	return take(r, &r->vnodes, r->vnode, sizeof(r->vnode[0]), RG_VNODES);
}

uint32_t rg_take_reclock(struct region *r)
{
	return take(r, &r->reclocks, r->reclock, sizeof(r->reclock[0]), RG_RECLOCKS);
}

uint32_t rg_take_waiter(struct region *r)
{
	return take(r, &r->waiters, r->waiter, sizeof(r->waiter[0]), RG_WAITERS);
}

uint32_t rg_take_mapref(struct region *r)
{
	return take(r, &r->maprefs, r->mapref, sizeof(r->mapref[0]), RG_MAPREFS);
}

/* --- vnodes --- */

static uint32_t bucket_of(uint32_t mount, uint64_t ino)
{
	return (uint32_t)(((ino * VFS_MOUNTS + mount) * 0x9e3779b97f4a7c15ULL) >> 48);
}
static_assert(RG_BUCKETS == 65536, "sixteen bits");

uint32_t vnode_find(const struct region *r, uint32_t mount, uint64_t ino)
{
	uint32_t n = r->bucket[bucket_of(mount, ino)];

	while (n && (r->vnode[n - 1].ino != ino || r->vnode[n - 1].mount != mount))
		n = r->vnode[n - 1].next;
	return n;
}

/* Note which inode's hold is about to change. */
static void pend(struct region *r, uint32_t mount, uint64_t ino)
{
	__atomic_store_n(&r->pending_attr.ino, 0, __ATOMIC_RELEASE);
	__atomic_store_n(&r->pending_ino, 0, __ATOMIC_RELEASE);
	__atomic_store_n(&r->pending_mount, mount, __ATOMIC_RELEASE);
	__atomic_store_n(&r->pending_ino, ino, __ATOMIC_RELEASE);
}

static uint32_t enter_vnode(struct region *r, const struct vfs_node *n, uint32_t type)
{
	uint32_t v = rg_take_vnode(r), *head = &r->bucket[bucket_of(n->mount, n->ino)];
	struct rg_vnode *vn;

	if (v == 0)
		return 0;
	vn = rg_vnode(r, v);
	vn->refs = 1;
	vn->mount = n->mount;
	vn->ino = n->ino;
	vn->gen = n->gen;
	vn->type = type;
	vn->next = *head;
	atomic_store_explicit(&vn->atime_due, 1, memory_order_relaxed);
	atomic_store_explicit(&vn->privileged, 1, memory_order_relaxed);
	rg_set(r, head, v);
	return v;
}

int vnode_get(struct vfs *f, const struct vfs_node *n, uint32_t type, uint32_t *ret)
{
	struct region *r = f->r;
	uint32_t v = vnode_find(r, n->mount, n->ino);
	int e;

	if (v) {
		if (n->gen && rg_vnode(r, v)->gen != n->gen)
			return -ESTALE;
		rg_set(r, &rg_vnode(r, v)->refs, rg_vnode(r, v)->refs + 1);
		*ret = v;
		return 0;
	}
	pend(r, n->mount, n->ino);
	e = mounted_hold(mounted_of(f, n->mount), n->ino, n->gen);
	if (e < 0)
		return e;
	v = enter_vnode(r, n, type);
	if (v == 0)
		return -ENFILE;
	*ret = v;
	return 0;
}

int unnamed_vnode(struct vfs *f, uint32_t mount, const struct volume_new *what, uint32_t *ret)
{
	struct region *r = f->r;
	struct vfs_node n = {.mount = mount};
	struct volume_attr a;
	int e;

	pend(r, mount, 0);
	/* the number is there before the engine's step is done, and read by who finds it undone */
	e = mounted_make_unnamed(mounted_of(f, mount), what, &r->pending_attr);
	if (e < 0) {
		r->pending_attr.ino = 0;
		return e;
	}
	a = r->pending_attr;
	n.ino = a.ino;
	n.gen = a.gen;
	__atomic_store_n(&r->pending_ino, a.ino, __ATOMIC_RELEASE);
	*ret = enter_vnode(r, &n, S_IFREG);
	return *ret ? 0 : -ENFILE;
}

uint64_t vnode_put(struct vfs *f, uint32_t v, uint32_t *ret_mount)
{
	struct region *r = f->r;
	struct rg_vnode *vn = rg_vnode(r, v);
	uint32_t *link = &r->bucket[bucket_of(vn->mount, vn->ino)];
	uint64_t ino = vn->ino;
	int e;

	rg_set(r, &vn->refs, vn->refs - 1);
	if (vn->refs > 0) {
		rg_commit(r);
		return 0;
	}
	while (*link != v)
		link = &rg_vnode(r, *link)->next;
	rg_set(r, link, vn->next);
	*ret_mount = vn->mount;
	rg_give(r, &r->vnodes, v, &vn->next);
	pend(r, *ret_mount, ino);
	rg_commit(r);
	e = mounted_release_only(mounted_of(f, *ret_mount), ino, 1);
	return e > 0 ? ino : 0;
}

void reap_inode(struct vfs *f, uint32_t mount, uint64_t ino)
{
	/* what fails here is tried again with the next dead process, and at the next open of the volume */
	if (ino && mounted_reap(mounted_of(f, mount), ino) < 0)
		return;
}

/* --- cells --- */

/* Where this thread found room last. */
static __thread uint32_t cell_hint;

struct rg_cell *cell_claim(const struct vfs_caller *c, uint64_t what)
{
	struct region *r = c->fs->r;
	struct rg_slot *s = &r->slot[c->slot];

	for (;;) {
		for (uint32_t k = 0; k < RG_CELLS; k++) {
			uint32_t i = (cell_hint + k) % RG_CELLS, high = atomic_load(&s->cell_high);
			struct rg_cell *cell = &r->cell[c->slot][i];
			uint64_t none = 0;

			if (atomic_load_explicit(&cell->what, memory_order_relaxed) != 0)
				continue;
			while (high <= i && !atomic_compare_exchange_weak(&s->cell_high, &high, i + 1))
				;
			if (!atomic_compare_exchange_strong(&cell->what, &none, what))
				continue;
			cell_hint = i;
			return cell;
		}
		/* as many calls under way as there are cells */
		(void)c->fs->env.wait(c->fs->env.ctx, &s->inc, s->inc, 1000000);
	}
}

uint32_t pin_fd(const struct vfs_caller *c, int fd, struct rg_cell **ret)
{
	_Atomic uint32_t *entry;
	uint32_t n;

	if (fd < 0 || fd >= VFS_FDS)
		return 0;
	entry = &c->fs->r->fd[c->slot][fd];
	for (;;) {
		n = atomic_load(entry);
		if (n == 0)
			return 0;
		*ret = cell_claim(c, n);
		if (atomic_load(entry) == n)
			return n;
		pin_drop(c, *ret);
	}
}

void pin_drop(const struct vfs_caller *c, struct rg_cell *cell)
{
	struct vfs *f = c->fs;
	uint32_t n = (uint32_t)atomic_exchange(&cell->what, 0), mount = 0;
	struct rg_file *file = rg_file(f->r, n);
	uint64_t ino = 0;

	if (__atomic_load_n(&file->refs, __ATOMIC_RELAXED) > 0)
		return;
	rg_enter(f);
	if (file->used && file->refs == 0)
		ino = file_try_free(f, n, &mount);
	rg_leave(f);
	reap_inode(f, mount, ino);
}

int hold_node(const struct vfs_caller *c, const struct vfs_node *n, uint32_t type, struct rg_cell **ret,
	uint32_t *ret_vnode)
{
	struct vfs *f = c->fs;
	struct rg_cell *cell = cell_claim(c, RG_CELL_CLAIMED);
	uint32_t v = 0;
	int e;

	rg_enter(f);
	e = vnode_get(f, n, type, &v);
	if (e < 0) {
		rg_abort(f);
		atomic_store(&cell->what, 0);
		return e == -ENOENT ? -ESTALE : e;
	}
	rg_save(f->r, (const void *)&cell->what, sizeof(cell->what));
	atomic_store(&cell->what, RG_CELL_VNODE | v);
	rg_leave(f);
	*ret = cell;
	*ret_vnode = v;
	return 0;
}

void hold_drop(const struct vfs_caller *c, struct rg_cell *cell)
{
	struct vfs *f = c->fs;
	uint32_t v = (uint32_t)atomic_load(&cell->what), mount = 0;
	uint64_t ino;

	rg_enter(f);
	rg_save(f->r, (const void *)&cell->what, sizeof(cell->what));
	atomic_store(&cell->what, 0);
	ino = vnode_put(f, v, &mount);
	rg_leave(f);
	reap_inode(f, mount, ino);
}

/* --- files --- */

static bool pinned_in(struct region *r, uint32_t slot, uint32_t file)
{
	uint32_t high = atomic_load(&r->slot[slot].cell_high);

	for (uint32_t i = 0; i < high; i++)
		if (atomic_load(&r->cell[slot][i].what) == file)
			return true;
	return false;
}

uint64_t file_try_free(struct vfs *f, uint32_t n, uint32_t *ret_mount)
{
	struct region *r = f->r;
	struct rg_file *file = rg_file(r, n);
	uint32_t v = file->vnode;

	/* only of a file marked so a pin can have outlived the descriptor that it was made through */
	atomic_thread_fence(memory_order_seq_cst);
	if (file->used == RG_FILE_PINNED)
		for (uint32_t s = 0; s < r->slot_high; s++)
			if (r->slot[s].state != RG_FREE && pinned_in(r, s, n)) {
				rg_commit(r);
				return 0;
			}
	if (rg_vnode(r, v)->locks)
		locks_drop(f, v, RG_OFD, n);
	if (rg_vnode(r, v)->flocks)
		locks_drop(f, v, RG_FLOCK, n);
	rg_set(r, &file->used, 0);
	rg_give(r, &r->files, n, &file->next);
	return vnode_put(f, v, ret_mount);
}

uint64_t file_put(struct vfs *f, uint32_t n, uint32_t *ret_mount)
{
	struct region *r = f->r;
	struct rg_file *file = rg_file(r, n);

	rg_set(r, &file->refs, file->refs - 1);
	if (file->refs > 0) {
		rg_commit(r);
		return 0;
	}
	return file_try_free(f, n, ret_mount);
}

uint64_t fd_replace(struct vfs *f, uint32_t slot, uint32_t fd, uint32_t by, uint32_t *ret_mount)
{
	struct region *r = f->r;
	uint32_t n = atomic_load(&r->fd[slot][fd]);
	struct rg_file *file = n ? rg_file(r, n) : NULL;

	if (file && rg_vnode(r, file->vnode)->locks && !(atomic_load(&file->flags) & O_PATH))
		locks_drop(f, file->vnode, RG_POSIX, slot);
	if (by) {
		rg_set(r, &rg_file(r, by)->refs, rg_file(r, by)->refs + 1);
		fd_enter(r, slot, fd, by);
	} else {
		rg_set_atomic(r, &r->fd[slot][fd], 0);
	}
	if (!file) {
		rg_commit(r);
		return 0;
	}
	atomic_thread_fence(memory_order_seq_cst);
	if (file->used != RG_FILE_PINNED && pinned_in(r, slot, n))
		rg_set(r, &file->used, RG_FILE_PINNED);
	return file_put(f, n, ret_mount);
}

void fd_enter(struct region *r, uint32_t slot, uint32_t fd, uint32_t file)
{
	struct rg_slot *s = &r->slot[slot];

	if (atomic_load(&s->fd_high) <= fd)
		atomic_store(&s->fd_high, fd + 1);
	rg_set_atomic(r, &r->fd[slot][fd], file);
}
