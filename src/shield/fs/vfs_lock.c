/* Record locks: fcntl's of processes and of open file descriptions, and flock's. */
#include <errno.h>
#include <sys/file.h>
#include <unistd.h>
#include "shield/fs/vfs_region.h"

#define WAIT_STEP 100000000LL /* then see whether the holder lives */
#define DEADLOCK_DEPTH 10 /* as Linux: longer rings are waited out */

struct request {
	const struct vfs_caller *c;
	struct rg_file *file;
	uint32_t number; /* of file */
	uint32_t vnode;
	int fd;
	enum rg_lock_kind kind;
	uint32_t owner;
	short type; /* F_RDLCK, F_WRLCK, F_UNLCK */
	uint64_t start, end;
};

static bool overlap(const struct rg_reclock *l, uint64_t start, uint64_t end)
{
	return l->start <= end && l->end >= start;
}

static bool mine(const struct rg_reclock *l, const struct request *q)
{
	return l->kind == q->kind && l->owner == q->owner;
}

static uint32_t *list_of(struct rg_vnode *vn, enum rg_lock_kind kind)
{
	return kind == RG_FLOCK ? &vn->flocks : &vn->locks;
}

/* A lock in the way; 0: none. */
static uint32_t conflict(struct region *r, const struct request *q)
{
	for (uint32_t i = *list_of(rg_vnode(r, q->vnode), q->kind); i; i = rg_reclock(r, i)->next) {
		const struct rg_reclock *l = rg_reclock(r, i);

		if (!mine(l, q) && overlap(l, q->start, q->end) && (l->write || q->type == F_WRLCK))
			return i;
	}
	return 0;
}

/* Something went: who waits looks again. Commits. */
static void wake(struct vfs *f, struct rg_vnode *vn)
{
	rg_commit(f->r);
	__atomic_fetch_add(&vn->lock_seq, 1, __ATOMIC_SEQ_CST);
	if (vn->lock_waiters)
		f->env.wake(f->env.ctx, &vn->lock_seq);
}

static void remove_at(struct region *r, uint32_t *link)
{
	uint32_t i = *link;

	rg_set(r, link, rg_reclock(r, i)->next);
	rg_give(r, &r->reclocks, i, &rg_reclock(r, i)->next);
	/* long lists in more than one step */
	if (r->undo_len > RG_UNDO / 2)
		rg_commit(r);
}

void locks_drop(struct vfs *f, uint32_t vnode, enum rg_lock_kind kind, uint32_t owner)
{
	struct region *r = f->r;
	struct rg_vnode *vn = rg_vnode(r, vnode);
	uint32_t *link = list_of(vn, kind);
	bool any = false;

	rg_commit(r);
	while (*link) {
		struct rg_reclock *l = rg_reclock(r, *link);

		if (l->kind != kind || l->owner != owner) {
			link = &l->next;
			continue;
		}
		remove_at(r, link);
		any = true;
	}
	if (any)
		wake(f, vn);
}

static void set_range(struct region *r, struct rg_reclock *l, uint64_t start, uint64_t end)
{
	rg_save(r, &l->start, 2 * sizeof(l->start));
	l->start = start;
	l->end = end;
}

/* A new element after link, or an old one in pieces. */
static void insert(struct region *r, uint32_t *link, uint32_t n, const struct rg_reclock *what)
{
	struct rg_reclock *l = rg_reclock(r, n);
	uint32_t next = *link;

	*l = *what;
	l->next = next;
	rg_set(r, link, n);
}

/* Nobody is in the way: let the owner's locks be as asked for. spare: two elements, used ones become 0. *ret_less: others may go on. */
static void apply(struct region *r, const struct request *q, uint32_t spare[2], bool *ret_less)
{
	uint32_t *head = list_of(rg_vnode(r, q->vnode), q->kind), *link = head;
	struct rg_reclock what = {.kind = (uint8_t)q->kind,
		.write = q->type == F_WRLCK,
		.owner = q->owner,
		.pid = q->c->pid,
		.start = q->start,
		.end = q->end};

	while (*link) {
		struct rg_reclock *l = rg_reclock(r, *link);
		bool same = q->type != F_UNLCK && l->write == what.write;

		if (!mine(l, q) || l->start > what.end + 1 || l->end + 1 < what.start ||
			(!same && !overlap(l, what.start, what.end))) {
			link = &l->next;
			continue;
		}
		if (same) {
			what.start = l->start < what.start ? l->start : what.start;
			what.end = l->end > what.end ? l->end : what.end;
			remove_at(r, link);
			continue;
		}
		*ret_less = *ret_less || q->type == F_UNLCK || l->write;
		if (l->start < what.start && l->end > what.end) {
			struct rg_reclock right = *l;

			right.start = what.end + 1;
			set_range(r, l, l->start, what.start - 1);
			insert(r, &l->next, spare[0], &right);
			spare[0] = 0;
			link = &l->next;
		} else if (l->start < what.start) {
			set_range(r, l, l->start, what.start - 1);
			link = &l->next;
		} else if (l->end > what.end) {
			set_range(r, l, what.end + 1, l->end);
			link = &l->next;
		} else {
			remove_at(r, link);
		}
	}
	if (q->type == F_UNLCK)
		return;
	insert(r, head, spare[1], &what);
	spare[1] = 0;
}

/* The lock is held; 0 or -ENOLCK. Commits. */
static int grant(struct vfs *f, const struct request *q)
{
	struct region *r = f->r;
	uint32_t spare[2] = {rg_take_reclock(r), rg_take_reclock(r)};
	bool less = false;

	if (!spare[0] || !spare[1])
		return -ENOLCK;
	apply(r, q, spare, &less);
	for (unsigned int i = 0; i < 2; i++)
		if (spare[i])
			rg_give(r, &r->reclocks, spare[i], &rg_reclock(r, spare[i])->next);
	if (less)
		wake(f, rg_vnode(r, q->vnode));
	rg_commit(r);
	return 0;
}

/* Would waiting for lock i close a ring of processes that wait for each other? */
static bool deadlock(struct region *r, const struct request *q, uint32_t i)
{
	uint32_t owner = rg_reclock(r, i)->owner;

	if (q->kind != RG_POSIX || rg_reclock(r, i)->kind != RG_POSIX)
		return false;
	for (unsigned int depth = 0; depth < DEADLOCK_DEPTH; depth++) {
		uint32_t next = 0;

		for (uint32_t w = 0; w < r->waiters.high && !next; w++)
			if (r->waiter[w].slot == owner + 1 && r->waiter[w].posix)
				next = r->waiter[w].blocker;
		if (next == 0)
			return false;
		owner = next - 1;
		if (owner == q->owner)
			return true;
	}
	return false;
}

/* Enter or bring up to date that the caller waits for lock i. */
static int note_waiter(struct region *r, const struct request *q, uint32_t i, uint32_t *n)
{
	struct rg_vnode *vn = rg_vnode(r, q->vnode);
	const struct rg_reclock *l = rg_reclock(r, i);
	struct rg_waiter *w;

	if (*n == 0) {
		*n = rg_take_waiter(r);
		if (*n == 0)
			return -ENOLCK;
		w = &r->waiter[*n - 1];
		w->vnode = q->vnode;
		w->posix = q->kind == RG_POSIX;
		rg_set(r, &w->slot, q->c->slot + 1);
		rg_set(r, &vn->lock_waiters, vn->lock_waiters + 1);
	}
	w = &r->waiter[*n - 1];
	rg_set(r, &w->blocker, l->kind == RG_POSIX ? l->owner + 1 : 0);
	return 0;
}

static void forget_waiter(struct region *r, const struct request *q, uint32_t n)
{
	struct rg_vnode *vn = rg_vnode(r, q->vnode);

	if (n == 0)
		return;
	rg_set(r, &vn->lock_waiters, vn->lock_waiters - 1);
	rg_set(r, &r->waiter[n - 1].slot, 0);
	rg_give(r, &r->waiters, n, &r->waiter[n - 1].next);
}

/* One round; the lock is held, and given up. 0: done; 1: *ret_seq is to be waited for. */
static int try(const struct request *q, bool wait, uint32_t *waiter, uint32_t *ret_seq)
{
	struct vfs *f = q->c->fs;
	struct region *r = f->r;
	uint32_t i = q->type == F_UNLCK ? 0 : conflict(r, q);
	int e = 0;

	/* closed meanwhile by another thread: a lock now would never go */
	if (q->kind == RG_POSIX && atomic_load(&r->fd[q->c->slot][q->fd]) != q->number)
		e = -EBADF;
	else if (i == 0)
		e = grant(f, q);
	else if (!wait)
		e = -EAGAIN;
	else if (deadlock(r, q, i))
		e = -EDEADLK;
	else
		e = note_waiter(r, q, i, waiter) < 0 ? -ENOLCK : 1;
	if (e == 1) {
		*ret_seq = __atomic_load_n(&rg_vnode(r, q->vnode)->lock_seq, __ATOMIC_SEQ_CST);
		rg_leave(f);
		return 1;
	}
	if (e < 0) {
		rg_abort(f);
		rg_enter(f);
	}
	forget_waiter(r, q, *waiter);
	*waiter = 0;
	rg_leave(f);
	return e;
}

/* Sleep until a lock goes, and see now and then whether those live that have one. */
static int sleep_on(const struct request *q, uint32_t seq, int64_t *looked)
{
	struct vfs *f = q->c->fs;
	int e = f->env.wait(f->env.ctx, &rg_vnode(f->r, q->vnode)->lock_seq, seq, WAIT_STEP);
	int64_t t = f->env.clock(f->env.ctx);

	if (e == 0 && (t - *looked >= WAIT_STEP || t < *looked)) {
		vfs_reap(q->c);
		*looked = t;
	}
	return e;
}

static int lock(const struct request *q, bool wait)
{
	struct vfs *f = q->c->fs;
	int64_t looked = f->env.clock(f->env.ctx);
	uint32_t waiter = 0, seq = 0;
	bool reaped = false;
	int e;

	for (;;) {
		rg_enter(f);
		e = try(q, wait, &waiter, &seq);
		/* what is in the way may be of somebody who is dead, as his parent knows */
		if (!reaped && (e == 1 || e == -EAGAIN || e == -EDEADLK) && vfs_reap(q->c) > 0) {
			reaped = true;
			continue;
		}
		reaped = true;
		if (e <= 0)
			return e;
		e = sleep_on(q, seq, &looked);
		if (e < 0) {
			rg_enter(f);
			forget_waiter(f->r, q, waiter);
			rg_leave(f);
			return e;
		}
	}
}

/* The bytes that l means. */
static int range(const struct vfs_caller *c, const struct rg_file *file, const struct flock *l,
	uint64_t *start, uint64_t *end)
{
	int64_t base = 0, from, to = INT64_MAX;
	struct volume_attr a;
	int e;

	switch (l->l_whence) {
	case SEEK_SET:
		break;
	case SEEK_CUR:
		base = (int64_t)atomic_load(&file->offset);
		break;
	case SEEK_END:
		e = mounted_getattr(mounted_of(c->fs, file->mount), file->ino, &a);
		if (e < 0)
			return e;
		base = (int64_t)a.size;
		break;
	default:
		return -EINVAL;
	}
	if (__builtin_add_overflow(base, l->l_start, &from))
		return -EOVERFLOW;
	if (from < 0)
		return -EINVAL;
	if (l->l_len > 0) {
		if (__builtin_add_overflow(from, l->l_len - 1, &to))
			return -EOVERFLOW;
	} else if (l->l_len < 0) {
		to = from - 1;
		if (__builtin_add_overflow(from, l->l_len, &from) || from < 0)
			return -EINVAL;
	}
	*start = (uint64_t)from;
	*end = (uint64_t)to;
	return 0;
}

/* Pin the file and fill what does not depend on the call. */
static int request(const struct vfs_caller *c, int fd, enum vfs_lock_owner owner, const struct flock *l,
	struct request *q, struct rg_cell **ret_cell)
{
	uint32_t n = pin_fd(c, fd, ret_cell), mode;
	int e = 0;

	if (n == 0)
		return -EBADF;
	*q = (struct request){.c = c,
		.file = rg_file(c->fs->r, n),
		.number = n,
		.vnode = rg_file(c->fs->r, n)->vnode,
		.fd = fd,
		.kind = owner == VFS_LOCK_POSIX ? RG_POSIX : RG_OFD,
		.owner = owner == VFS_LOCK_POSIX ? c->slot : n,
		.type = l->l_type};
	mode = atomic_load(&q->file->flags);
	if (mode & O_PATH)
		e = -EBADF;
	else if (owner == VFS_LOCK_OFD && l->l_pid != 0)
		e = -EINVAL;
	else if (l->l_type != F_RDLCK && l->l_type != F_WRLCK && l->l_type != F_UNLCK)
		e = -EINVAL;
	else
		e = range(c, q->file, l, &q->start, &q->end);
	if (e < 0)
		pin_drop(c, *ret_cell);
	return e;
}

int vfs_setlk(const struct vfs_caller *c, int fd, enum vfs_lock_owner owner, const struct flock *l, bool wait)
{
	struct rg_cell *cell;
	struct request q;
	uint32_t mode;
	int e = request(c, fd, owner, l, &q, &cell);

	if (e < 0)
		return e;
	mode = atomic_load(&q.file->flags) & O_ACCMODE;
	if ((q.type == F_RDLCK && mode != O_RDONLY && mode != O_RDWR) ||
		(q.type == F_WRLCK && mode != O_WRONLY && mode != O_RDWR))
		e = -EBADF;
	else
		e = lock(&q, wait);
	pin_drop(c, cell);
	return e;
}

int vfs_getlk(const struct vfs_caller *c, int fd, enum vfs_lock_owner owner, struct flock *l)
{
	struct region *r = c->fs->r;
	struct rg_cell *cell;
	struct request q;
	uint32_t i;
	int e;

	if (l->l_type != F_RDLCK && l->l_type != F_WRLCK)
		return -EINVAL;
	e = request(c, fd, owner, l, &q, &cell);
	if (e < 0)
		return e;
	rg_enter(c->fs);
	i = conflict(r, &q);
	if (i != 0) {
		/* is it of somebody who is dead? */
		rg_leave(c->fs);
		vfs_reap(c);
		rg_enter(c->fs);
		i = conflict(r, &q);
	}
	if (i == 0) {
		l->l_type = F_UNLCK;
	} else {
		const struct rg_reclock *k = rg_reclock(r, i);

		*l = (struct flock){.l_type = k->write ? F_WRLCK : F_RDLCK,
			.l_whence = SEEK_SET,
			.l_start = (int64_t)k->start,
			.l_len = k->end == INT64_MAX ? 0 : (int64_t)(k->end - k->start + 1),
			.l_pid = k->kind == RG_POSIX ? (pid_t)k->pid : -1};
	}
	rg_leave(c->fs);
	pin_drop(c, cell);
	return 0;
}

/* Does file have a flock already; of this type? */
static bool has_flock(struct region *r, const struct request *q, bool *ret_same)
{
	for (uint32_t i = rg_vnode(r, q->vnode)->flocks; i; i = rg_reclock(r, i)->next)
		if (mine(rg_reclock(r, i), q)) {
			*ret_same = rg_reclock(r, i)->write == (q->type == F_WRLCK);
			return true;
		}
	return false;
}

int vfs_flock(const struct vfs_caller *c, int fd, int operation)
{
	struct vfs *f = c->fs;
	int what = operation & ~LOCK_NB, e = 0;
	bool same = false, has;
	struct rg_cell *cell;
	uint32_t n;

	if (what != LOCK_SH && what != LOCK_EX && what != LOCK_UN)
		return -EINVAL;
	n = pin_fd(c, fd, &cell);
	if (n == 0)
		return -EBADF;
	struct request q = {.c = c,
		.file = rg_file(f->r, n),
		.number = n,
		.vnode = rg_file(f->r, n)->vnode,
		.fd = fd,
		.kind = RG_FLOCK,
		.owner = n,
		.type = what == LOCK_EX	  ? F_WRLCK
			: what == LOCK_SH ? F_RDLCK
					  : F_UNLCK,
		.end = INT64_MAX};

	if (atomic_load(&q.file->flags) & O_PATH) {
		pin_drop(c, cell);
		return -EBADF;
	}
	/* another type is, as in Linux, no lock first and the new one then */
	rg_enter(f);
	has = has_flock(f->r, &q, &same);
	if (has && !same)
		locks_drop(f, q.vnode, RG_FLOCK, n);
	rg_leave(f);
	if (what != LOCK_UN && !(has && same))
		e = lock(&q, !(operation & LOCK_NB));
	pin_drop(c, cell);
	return e;
}
