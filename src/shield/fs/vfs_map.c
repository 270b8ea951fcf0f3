/*
 * Shared mappings: while an inode is mapped its content lies in an extent of the pages object, whose number is its vnode's; the volume has its size, and what
 * was written back. Filling and writing back is done under the vnode's lock; a mapping is entered when its pages are complete, and gone
 * from the tables only when they have been written back, so a process that dies in between loses nothing.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include "shield/fs/vfs_region.h"

#define CHUNK 65536u
#define PAGE 4096u

static uint64_t extent(uint32_t map)
{
	return (uint64_t)map << RG_EXTENT_SHIFT;
}

long map_read(struct vfs *f, uint32_t map, uint64_t size, uint64_t off, void *p, size_t n)
{
	int e;

	if (off >= size)
		return 0;
	if (n > size - off)
		n = (size_t)(size - off);
	e = f->env.pages_read(f->env.ctx, extent(map) + off, p, n);
	return e < 0 ? e : (long)n;
}

static int write_zeros(struct vfs *f, uint64_t at, uint64_t n)
{
	static const uint8_t zeros[PAGE];

	return n ? f->env.pages_write(f->env.ctx, at, zeros, (size_t)n) : 0;
}

int map_zero(struct vfs *f, uint32_t map, uint64_t off, uint64_t n)
{
	uint64_t end = off + n, first = (off + PAGE - 1) & ~(uint64_t)(PAGE - 1),
		 last = end & ~(uint64_t)(PAGE - 1);
	int e;

	if (first >= last) {
		/* within a page, or parts of two */
		uint64_t middle = first < end ? first : end;

		e = write_zeros(f, extent(map) + off, middle - off);
		return e < 0 ? e : write_zeros(f, extent(map) + middle, end - middle);
	}
	e = write_zeros(f, extent(map) + off, first - off);
	if (e == 0)
		e = f->env.pages_drop(f->env.ctx, extent(map) + first, last - first);
	return e < 0 ? e : write_zeros(f, extent(map) + last, end - last);
}

int map_cut(struct vfs *f, uint32_t map, uint64_t size)
{
	return map_zero(f, map, size, ((uint64_t)1 << RG_EXTENT_SHIFT) - size);
}

/* What differs in a chunk of n bytes at off goes to the volume, in runs of pages. */
static int write_changed(const struct mounted *v, uint64_t ino, uint64_t off, const uint8_t *pages,
	const uint8_t *old, size_t n)
{
	size_t at = 0;

	while (at < n) {
		size_t from, take;
		long r;

		while (at < n && memcmp(pages + at, old + at, n - at < PAGE ? n - at : PAGE) == 0)
			at += PAGE;
		for (from = at; at < n && memcmp(pages + at, old + at, n - at < PAGE ? n - at : PAGE) != 0;)
			at += PAGE;
		if (from >= n)
			break;
		take = (at < n ? at : n) - from;
		r = mounted_write(v, ino, off + from, pages + from, take, 0, NULL);
		if (r != (long)take)
			return r < 0 ? (int)r : -ENOSPC;
	}
	return 0;
}

/* [off, end), off at a page. */
static int write_back_range(struct vfs *f, uint32_t vnode, uint64_t off, uint64_t end, uint8_t *buf)
{
	struct rg_vnode *vn = rg_vnode(f->r, vnode);
	const struct mounted *v = mounted_of(f, vn->mount);
	int e = 0;

	while (off < end && e == 0) {
		size_t n = end - off < CHUNK ? (size_t)(end - off) : CHUNK;
		long got;

		e = f->env.pages_read(f->env.ctx, extent(vnode) + off, buf, n);
		if (e < 0)
			break;
		got = mounted_read(v, vn->ino, off, buf + CHUNK, n);
		if (got < 0)
			return (int)got;
		if ((size_t)got < n)
			memset(buf + CHUNK + got, 0, n - (size_t)got);
		e = write_changed(v, vn->ino, off, buf, buf + CHUNK, n);
		off += n;
	}
	return e;
}

int map_write_back(struct vfs *f, uint32_t vnode, uint64_t off, uint64_t end)
{
	struct rg_vnode *vn = rg_vnode(f->r, vnode);
	struct volume_attr a;
	uint8_t *buf;
	int e;

	if (atomic_load(&vn->map) == 0 || !atomic_load(&vn->map_dirty))
		return 0;
	e = mounted_getattr(mounted_of(f, vn->mount), vn->ino, &a);
	if (e < 0)
		return e;
	end = end < a.size ? end : a.size;
	off &= ~(uint64_t)(PAGE - 1);
	buf = malloc(2 * CHUNK);
	if (!buf)
		return -ENOMEM;
	while (off < end && e == 0) {
		uint64_t from = off, to = end;

		/* what was never written is no different from the volume, either */
		if (f->env.pages_data) {
			e = f->env.pages_data(f->env.ctx, extent(vnode) + off, &from, &to);
			if (e < 0 || from >= extent(vnode) + end) {
				e = e == -ENXIO ? 0 : e;
				break;
			}
			from -= extent(vnode);
			from = from < off ? off : from & ~(uint64_t)(PAGE - 1);
			to -= extent(vnode);
			to = to < end ? to : end;
		}
		e = write_back_range(f, vnode, from, to, buf);
		off = to;
	}
	free(buf);
	return e;
}

/* The volume's content into fresh pages. The vnode's lock is held. */
static int fill(struct vfs *f, uint32_t vnode)
{
	struct rg_vnode *vn = rg_vnode(f->r, vnode);
	const struct mounted *v = mounted_of(f, vn->mount);
	uint64_t off = 0, hole = 0;
	uint8_t *buf;
	int e = f->env.pages_drop(f->env.ctx, extent(vnode), (uint64_t)1 << RG_EXTENT_SHIFT);

	if (e < 0)
		return e;
	buf = malloc(CHUNK);
	if (!buf)
		return -ENOMEM;
	while (e == 0) {
		long n;

		if (off >= hole) {
			e = mounted_seek_data(v, vn->ino, off, &off);
			if (e == 0)
				e = mounted_seek_hole(v, vn->ino, off, &hole);
			if (e < 0)
				break;
		}
		n = mounted_read(v, vn->ino, off, buf, hole - off < CHUNK ? (size_t)(hole - off) : CHUNK);
		if (n <= 0) {
			e = n < 0 ? (int)n : -ENXIO;
			break;
		}
		e = f->env.pages_write(f->env.ctx, extent(vnode) + off, buf, (size_t)n);
		off += (uint64_t)n;
	}
	free(buf);
	return e == -ENXIO ? 0 : e;
}

/* The slot's list element of a vnode; 0: none. The region's lock is held. */
static uint32_t *find_ref(struct region *r, uint32_t slot, uint32_t vnode)
{
	uint32_t *link = &r->slot[slot].maps;

	while (*link && r->mapref[*link - 1].vnode != vnode)
		link = &r->mapref[*link - 1].next;
	return link;
}

/* One mapping more. The region's lock is held. */
static int add_ref(struct region *r, uint32_t slot, uint32_t vnode)
{
	struct rg_vnode *vn = rg_vnode(r, vnode);
	uint32_t *link = find_ref(r, slot, vnode), n = *link;

	if (n == 0) {
		n = rg_take_mapref(r);
		if (n == 0)
			return -ENFILE;
		r->mapref[n - 1].vnode = vnode;
		rg_set(r, link, n);
	}
	rg_set(r, &r->mapref[n - 1].count, r->mapref[n - 1].count + 1);
	rg_set(r, &vn->map_refs, vn->map_refs + 1);
	return 0;
}

/* The vnode's lock is held. */
static int map_vnode(const struct vfs_caller *c, uint32_t vnode, bool writable)
{
	struct vfs *f = c->fs;
	struct region *r = f->r;
	struct rg_vnode *vn = rg_vnode(r, vnode);
	int e = 0;

	if (atomic_load(&vn->map) == 0) {
		e = fill(f, vnode);
		atomic_store(&vn->map_dirty, 0);
	}
	if (e < 0)
		return e;
	if (writable)
		atomic_store(&vn->map_dirty, 1);
	rg_enter(f);
	e = add_ref(r, c->slot, vnode);
	if (e < 0) {
		rg_abort(f);
		return e;
	}
	if (atomic_load(&vn->map) == 0) {
		rg_set(r, &vn->refs, vn->refs + 1);
		rg_set_atomic(r, &r->mapped, atomic_load(&r->mapped) + 1);
		rg_set_atomic(r, &vn->map_seq, atomic_load(&vn->map_seq) + 1);
		rg_set_atomic(r, &vn->map, vnode);
	}
	rg_leave(f);
	return 0;
}

int vfs_map(
	const struct vfs_caller *c, int fd, int prot, int flags, struct vfs_node *ret_node, uint64_t *ret_off)
{
	struct vfs *f = c->fs;
	struct rg_cell *cell;
	uint32_t n = pin_fd(c, fd, &cell), mode;
	struct rg_file *file;
	int e = 0;

	if (n == 0)
		return -EBADF;
	file = rg_file(f->r, n);
	mode = atomic_load(&file->flags);
	if (mode & O_PATH)
		e = -EBADF;
	else if ((flags & MAP_TYPE) != MAP_SHARED && (flags & MAP_TYPE) != MAP_SHARED_VALIDATE)
		e = -EINVAL;
	else if ((mode & O_ACCMODE) != O_RDONLY && (mode & O_ACCMODE) != O_RDWR)
		e = -EACCES;
	else if ((prot & PROT_WRITE) && (mode & O_ACCMODE) != O_RDWR)
		e = -EACCES;
	else if (!S_ISREG(file->type))
		e = -ENODEV;
	else if (!f->env.pages_read)
		e = -ENOSYS;
	if (e == 0) {
		struct rg_vnode *vn = rg_vnode(f->r, file->vnode);

		rg_lock(f, &vn->lock);
		e = map_vnode(c, file->vnode, (mode & O_ACCMODE) == O_RDWR);
		rg_unlock(f, &vn->lock);
		if (e == 0) {
			*ret_node = (struct vfs_node){.mount = vn->mount, .ino = vn->ino, .gen = vn->gen};
			*ret_off = extent(file->vnode);
			touch_atime(c, vn, mode);
		}
	}
	pin_drop(c, cell);
	return e;
}

int vfs_map_again(const struct vfs_caller *c, const struct vfs_node *n)
{
	struct region *r = c->fs->r;
	uint32_t vnode;
	int e = -EINVAL;

	rg_enter(c->fs);
	vnode = vnode_find(r, n->mount, n->ino);
	if (vnode && *find_ref(r, c->slot, vnode))
		e = add_ref(r, c->slot, vnode);
	if (e < 0)
		rg_abort(c->fs);
	else
		rg_leave(c->fs);
	return e;
}

/* Hold a mapped vnode: its cell, or NULL if the slot (any: UINT32_MAX) has no mapping of it. */
static struct rg_cell *hold_mapped(const struct vfs_caller *c, uint32_t slot, uint32_t vnode)
{
	struct vfs *f = c->fs;
	struct region *r = f->r;
	struct rg_cell *cell = cell_claim(c, RG_CELL_CLAIMED);
	struct rg_vnode *vn = rg_vnode(r, vnode);

	rg_enter(f);
	if (slot == UINT32_MAX ? atomic_load(&vn->map) == 0 : *find_ref(r, slot, vnode) == 0) {
		rg_abort(f);
		atomic_store(&cell->what, 0);
		return NULL;
	}
	rg_set(r, &vn->refs, vn->refs + 1);
	rg_save(r, (const void *)&cell->what, sizeof(cell->what));
	atomic_store(&cell->what, RG_CELL_VNODE | vnode);
	rg_leave(f);
	return cell;
}

/* Take a mapping, or all of a slot, out of the tables. The region's lock is held; the vnode's too. */
static void remove_refs(struct region *r, uint32_t slot, uint32_t vnode, bool all)
{
	struct rg_vnode *vn = rg_vnode(r, vnode);
	uint32_t *link = find_ref(r, slot, vnode), n = *link, count;

	if (n == 0)
		return;
	count = all ? r->mapref[n - 1].count : 1;
	rg_set(r, &vn->map_refs, vn->map_refs - count);
	if (r->mapref[n - 1].count == count) {
		rg_set(r, link, r->mapref[n - 1].next);
		rg_give(r, &r->maprefs, n, &r->mapref[n - 1].next);
	} else {
		rg_set(r, &r->mapref[n - 1].count, r->mapref[n - 1].count - count);
	}
}

/* Nobody maps it any more and its pages are not needed: content is the volume's again. Locks as above; the caller's cell holds the vnode. */
static bool detach(struct region *r, uint32_t vnode)
{
	struct rg_vnode *vn = rg_vnode(r, vnode);

	if (vn->map_refs > 0 || atomic_load(&vn->map) == 0)
		return false;
	rg_set_atomic(r, &r->mapped, atomic_load(&r->mapped) - 1);
	rg_set_atomic(r, &vn->map_seq, atomic_load(&vn->map_seq) + 1);
	rg_set_atomic(r, &vn->map, 0);
	rg_set(r, &vn->refs, vn->refs - 1);
	return true;
}

/* Pages that could not be written back stay until they can, unless the file has no name to find it by. */
static bool worth_keeping(struct vfs *f, const struct rg_vnode *vn)
{
	const struct mounted *v = mounted_of(f, vn->mount);
	struct volume_attr a;

	return !mounted_is_read_only(v) && mounted_getattr(v, vn->ino, &a) == 0 && a.nlink > 0;
}

static int drop_pages(struct vfs *f, uint32_t vnode)
{
	/* what is there when the next mapping comes is dropped then, too */
	return f->env.pages_drop(f->env.ctx, extent(vnode), (uint64_t)1 << RG_EXTENT_SHIFT);
}

int map_put(const struct vfs_caller *c, uint32_t slot, uint32_t vnode, bool all)
{
	struct vfs *f = c->fs;
	struct region *r = f->r;
	struct rg_vnode *vn = rg_vnode(r, vnode);
	struct rg_cell *cell = hold_mapped(c, slot, vnode);
	bool keep = false, gone;
	uint32_t n, left;
	int e = 0, x;

	if (!cell)
		return -EINVAL;
	rg_lock(f, &vn->lock);
	rg_enter(f);
	n = *find_ref(r, slot, vnode);
	left = n == 0 ? UINT32_MAX : vn->map_refs - (all ? r->mapref[n - 1].count : 1);
	rg_leave(f);
	if (left == 0) {
		e = map_write_back(f, vnode, 0, UINT64_MAX);
		keep = e < 0 && worth_keeping(f, vn);
	}
	rg_enter(f);
	remove_refs(r, slot, vnode, all);
	gone = !keep && detach(r, vnode);
	rg_leave(f);
	x = gone ? drop_pages(f, vnode) : 0;
	rg_unlock(f, &vn->lock);
	hold_drop(c, cell);
	return e < 0 ? e : x;
}

/* The vnode of a node that is mapped by the caller; 0: none. */
static uint32_t find_mapped(const struct vfs_caller *c, const struct vfs_node *n)
{
	uint32_t vnode;

	rg_enter(c->fs);
	vnode = vnode_find(c->fs->r, n->mount, n->ino);
	if (vnode && *find_ref(c->fs->r, c->slot, vnode) == 0)
		vnode = 0;
	rg_leave(c->fs);
	return vnode;
}

int vfs_unmap(const struct vfs_caller *c, const struct vfs_node *n)
{
	uint32_t vnode = find_mapped(c, n);

	return vnode ? map_put(c, c->slot, vnode, false) : -EINVAL;
}

int vfs_map_sync(const struct vfs_caller *c, const struct vfs_node *n, uint64_t off, uint64_t len, bool sync)
{
	uint32_t vnode = find_mapped(c, n);
	struct rg_cell *cell = vnode ? hold_mapped(c, c->slot, vnode) : NULL;
	struct rg_vnode *vn;
	int e;

	if (!cell)
		return -EINVAL;
	vn = rg_vnode(c->fs->r, vnode);
	rg_lock(c->fs, &vn->lock);
	e = map_write_back(c->fs, vnode, off, len > UINT64_MAX - off ? UINT64_MAX : off + len);
	rg_unlock(c->fs, &vn->lock);
	if (e == 0 && sync)
		e = mounted_fsync(mounted_of(c->fs, vn->mount), vn->ino, true);
	hold_drop(c, cell);
	return e;
}

/* The cell holds the vnode. */
static int sync_one(const struct vfs_caller *c, uint32_t vnode)
{
	struct vfs *f = c->fs;
	struct rg_vnode *vn = rg_vnode(f->r, vnode);
	bool gone = false;
	int e;

	rg_lock(f, &vn->lock);
	e = map_write_back(f, vnode, 0, UINT64_MAX);
	/* one that was kept because it could not be written back */
	if (e == 0 || !worth_keeping(f, vn)) {
		rg_enter(f);
		gone = detach(f->r, vnode);
		rg_leave(f);
	}
	if (gone && drop_pages(f, vnode) < 0 && e == 0)
		e = -EIO;
	rg_unlock(f, &vn->lock);
	return e;
}

int map_sync_all(const struct vfs_caller *c)
{
	struct region *r = c->fs->r;
	uint32_t high = __atomic_load_n(&r->vnodes.high, __ATOMIC_RELAXED);
	int e = 0;

	if (atomic_load(&r->mapped) == 0)
		return 0;
	for (uint32_t v = 1; v <= high; v++) {
		struct rg_cell *cell;
		int x;

		if (!atomic_load(&rg_vnode(r, v)->map) || !atomic_load(&rg_vnode(r, v)->map_dirty))
			continue;
		cell = hold_mapped(c, UINT32_MAX, v);
		if (!cell)
			continue;
		x = sync_one(c, v);
		hold_drop(c, cell);
		if (e == 0)
			e = x;
	}
	return e;
}

int vfs_sealed_content(
	const struct vfs_caller *c, int fd, uint64_t off, uint64_t n, uint64_t *ret_at, uint64_t *ret_size)
{
	struct rg_cell *cell;
	uint32_t number = pin_fd(c, fd, &cell);
	const struct mounted *m;
	const struct rg_file *file;
	struct volume_attr a;
	int e;

	if (number == 0)
		return -EBADF;
	file = rg_file(c->fs->r, number);
	m = mounted_of(c->fs, file->mount);
	e = m->tree && S_ISREG(file->type) ? mounted_getattr(m, file->ino, &a) : -EINVAL;
	if (e == 0)
		e = sealed_fs_verify(m->tree, file->ino, off, n, ret_at);
	if (e == 0)
		*ret_size = a.size;
	pin_drop(c, cell);
	return e;
}
