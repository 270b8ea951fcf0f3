/* Operations on names. */
#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>
#include "shield/fs/dir.h"
#include "shield/fs/space.h"

#define FRAMES_NAME 32

static int check_name(const char *name, size_t n)
{
	if (n > VOLUME_NAME_MAX)
		return -ENAMETOOLONG;
	if (n == 0 || memchr(name, '/', n) || memchr(name, 0, n) || (n == 1 && name[0] == '.') ||
		(n == 2 && name[0] == '.' && name[1] == '.'))
		return -EINVAL;
	return 0;
}

static uint8_t type_of(uint32_t mode)
{
	return (uint8_t)((mode & S_IFMT) >> 12);
}

/* A directory that entries may still be put into. */
static int get_live_dir(struct op *op, uint64_t dir, struct format_inode **ret)
{
	int r = inode_get_dir(op, dir, ret);

	return r == 0 && (*ret)->nlink == 0 ? -ENOENT : r;
}

static int hold(struct op *op, uint64_t ino, const struct format_inode *i)
{
	uint32_t l = live_get(op->s, ino, !S_ISREG(i->mode));

	if (l == NONE)
		return OP_COMMIT;
	tx_set32(op->s, &op->s->lives[l].holds, op->s->lives[l].holds + 1);
	return 0;
}

/* An entry was added or removed. */
static int dir_changed(struct op *op, uint64_t dir)
{
	struct format_inode *i;
	int r = inode_edit(op, dir, false, &i);

	if (r == 0)
		i->mtime = i->ctime = op_now(op);
	return r;
}

struct lookup {
	uint64_t dir;
	const char *name;
	size_t n;
	bool hold;
	struct volume_attr *ret;
};

static int lookup_body(struct op *op, const struct lookup *l)
{
	struct format_inode *i;
	uint64_t ino;
	uint8_t type;
	int r = inode_get_dir(op, l->dir, &i);

	if (r == 0)
		r = dir_find(op, l->dir, l->name, l->n, &ino, &type);
	if (r < 0)
		return r;
	r = inode_get(op, ino, &i);
	if (r == -ENOENT)
		return fault_report(op->v, "directory", "inode of an entry", NO_NUMBER, l->dir, 0, ino, 0);
	if (r == 0 && l->hold)
		r = hold(op, ino, i);
	if (r == 0 && l->ret)
		inode_attr(ino, i, l->ret);
	return r;
}

int volume_lookup(struct volume *v, uint64_t dir, const char *name, size_t n, unsigned int flags,
	struct volume_attr *ret)
{
	struct lookup l = {.dir = dir, .name = name, .n = n, .hold = flags & VOLUME_HOLD, .ret = ret};
	struct op op;
	long r = check_name(name, n);

	if (r < 0)
		return (int)r;
	op_start(&op, v, l.hold ? VOLUME_EXCLUSIVE : VOLUME_SHARED, 0);
	op.service = true;
	do {
		r = op_enter(&op);
		if (r == 0)
			r = lookup_body(&op, &l);
	} while (op_again(&op, &r));
	return (int)r;
}

static int check_new(const struct volume_new *what)
{
	switch (what->mode & S_IFMT) {
	case S_IFREG:
	case S_IFDIR:
	case S_IFIFO:
	case S_IFSOCK:
	case S_IFCHR:
	case S_IFBLK:
		return 0;
	case S_IFLNK:
		if (what->target_len == 0 || memchr(what->target, 0, what->target_len))
			return -EINVAL;
		return what->target_len > VOLUME_SYMLINK_MAX ? -ENAMETOOLONG : 0;
	default:
		return -EINVAL;
	}
}

/* A new inode without a name, with its content. */
static int make_inode(
	struct op *op, const struct volume_new *what, uint64_t *ret_ino, struct format_inode **ret)
{
	int r = inode_new(op, what->mode & (S_IFMT | 07777), what->uid, what->gid, ret_ino, ret);

	if (r < 0)
		return r;
	(*ret)->rdev = S_ISCHR(what->mode) || S_ISBLK(what->mode) ? what->rdev : 0;
	if (S_ISLNK(what->mode)) {
		(*ret)->size = what->target_len;
		return inode_meta_write(op, *ret_ino, 0, what->target, what->target_len);
	}
	return S_ISDIR(what->mode) ? dir_init(op, *ret_ino) : 0;
}

struct make {
	uint64_t dir;
	const char *name;
	size_t n;
	const struct volume_new *what;
	bool hold;
	struct volume_attr *ret;
};

static int make_body(struct op *op, const struct make *m)
{
	struct format_inode *d, *i;
	uint64_t ino;
	uint8_t type;
	int r = get_live_dir(op, m->dir, &d);

	if (r < 0)
		return r;
	r = dir_find(op, m->dir, m->name, m->n, &ino, &type);
	if (r == 0)
		return -EEXIST;
	if (r != -ENOENT)
		return r;
	if (S_ISDIR(m->what->mode) && d->nlink >= VOLUME_LINK_MAX)
		return -EMLINK;
	r = op_room(op, 8, false);
	if (r == 0)
		r = make_inode(op, m->what, &ino, &i);
	if (r == 0)
		r = dir_add(op, m->dir, m->name, m->n, ino, type_of(m->what->mode));
	if (r == 0)
		r = dir_changed(op, m->dir);
	if (r < 0)
		return r;
	i->nlink = 1;
	if (S_ISDIR(m->what->mode)) {
		i->nlink = 2;
		i->parent = m->dir;
		d->nlink++; /* saved by dir_changed */
	}
	if (m->hold)
		r = hold(op, ino, i);
	if (r == 0 && m->ret)
		inode_attr(ino, i, m->ret);
	return r;
}

int volume_make(struct volume *v, uint64_t dir, const char *name, size_t n, const struct volume_new *what,
	unsigned int flags, struct volume_attr *ret)
{
	struct make m = {
		.dir = dir, .name = name, .n = n, .what = what, .hold = flags & VOLUME_HOLD, .ret = ret};
	struct op op;
	long r = check_name(name, n);

	if (r == 0)
		r = check_new(what);
	if (r < 0)
		return (int)r;
	op_start(&op, v, VOLUME_EXCLUSIVE, FRAMES_NAME);
	do {
		r = op_enter(&op);
		if (r == 0)
			r = make_body(&op, &m);
	} while (op_again(&op, &r));
	return (int)r;
}

int volume_make_unnamed(struct volume *v, const struct volume_new *what, struct volume_attr *ret)
{
	struct format_inode *i;
	struct op op;
	uint64_t ino;
	long r = check_new(what);

	if (r < 0)
		return (int)r;
	if (S_ISDIR(what->mode))
		return -EISDIR;
	op_start(&op, v, VOLUME_EXCLUSIVE, FRAMES_NAME);
	do {
		r = op_enter(&op);
		if (r == 0)
			r = op_room(&op, 4, false);
		if (r == 0)
			r = make_inode(&op, what, &ino, &i);
		if (r == 0)
			r = inode_orphan(&op, ino, true);
		if (r == 0)
			r = hold(&op, ino, i);
		if (r == 0 && ret)
			inode_attr(ino, i, ret);
	} while (op_again(&op, &r));
	return (int)r;
}

struct name {
	uint64_t dir;
	const char *name;
	size_t n;
};

static int link_body(struct op *op, uint64_t ino, const struct name *to)
{
	struct format_inode *i, *d;
	uint64_t other;
	uint8_t type;
	int r = get_live_dir(op, to->dir, &d);

	if (r == 0)
		r = inode_get(op, ino, &i);
	if (r < 0)
		return r;
	if (S_ISDIR(i->mode))
		return -EPERM;
	if (i->nlink == 0 && !(i->flags & FORMAT_INODE_ORPHAN))
		return -ENOENT;
	/* unlinked to the last: only what never had a name may get one */
	if (i->nlink == 0 && i->parent != 0)
		return -ENOENT;
	if (i->nlink >= VOLUME_LINK_MAX)
		return -EMLINK;
	r = dir_find(op, to->dir, to->name, to->n, &other, &type);
	if (r != -ENOENT)
		return r == 0 ? -EEXIST : r;
	r = op_room(op, 4, false);
	if (r == 0)
		r = dir_add(op, to->dir, to->name, to->n, ino, type_of(i->mode));
	if (r == 0)
		r = dir_changed(op, to->dir);
	if (r == 0 && i->nlink == 0)
		r = inode_orphan(op, ino, false);
	if (r == 0)
		r = inode_edit(op, ino, false, &i);
	if (r < 0)
		return r;
	i->nlink++;
	i->ctime = op_now(op);
	return 0;
}

int volume_link(struct volume *v, uint64_t ino, uint64_t dir, const char *name, size_t n)
{
	struct name to = {.dir = dir, .name = name, .n = n};
	struct op op;
	long r = check_name(name, n);

	if (r < 0)
		return (int)r;
	op_start(&op, v, VOLUME_EXCLUSIVE, FRAMES_NAME);
	do {
		r = op_enter(&op);
		if (r == 0)
			r = link_body(&op, ino, &to);
	} while (op_again(&op, &r));
	return (int)r;
}

/* One link less; *ret_reap: the last, and nobody holds it. */
static int drop_link(struct op *op, uint64_t ino, bool *ret_reap)
{
	struct format_inode *i;
	int r = inode_edit(op, ino, false, &i);

	*ret_reap = false;
	if (r < 0)
		return r;
	i->ctime = op_now(op);
	if (i->nlink > 0)
		i->nlink--;
	if (i->nlink > 0)
		return 0;
	if (!S_ISDIR(i->mode))
		i->parent = 1; /* it had a name: never linked again */
	*ret_reap = true;
	return inode_orphan(op, ino, true);
}

/* A directory is gone from its parent. */
static int drop_dir(struct op *op, uint64_t ino, uint64_t parent)
{
	struct format_inode *i, *p;
	bool reap;
	int r = inode_edit(op, ino, false, &i);

	if (r == 0) {
		i->nlink = 1;
		r = drop_link(op, ino, &reap);
	}
	if (r == 0)
		r = inode_edit(op, parent, false, &p);
	if (r == 0)
		p->nlink--;
	return r;
}

struct unlink {
	struct name at;
	bool dir;
	uint64_t reap; /* out: to be freed */
};

static int unlink_body(struct op *op, struct unlink *u)
{
	struct format_inode *i, *d;
	uint64_t ino;
	uint8_t type;
	bool gone = true;
	int r = inode_get_dir(op, u->at.dir, &d);

	u->reap = 0;
	if (r == 0)
		r = dir_find(op, u->at.dir, u->at.name, u->at.n, &ino, &type);
	if (r == 0)
		r = inode_get(op, ino, &i);
	if (r < 0)
		return r;
	if (u->dir && !S_ISDIR(i->mode))
		return -ENOTDIR;
	if (!u->dir && S_ISDIR(i->mode))
		return -EISDIR;
	if (u->dir && i->dir_entries > 0)
		return -ENOTEMPTY;
	r = op_room(op, 4, true);
	if (r == 0)
		r = dir_remove(op, u->at.dir, u->at.name, u->at.n);
	if (r == 0)
		r = dir_changed(op, u->at.dir);
	if (r == 0)
		r = u->dir ? drop_dir(op, ino, u->at.dir) : drop_link(op, ino, &gone);
	if (r == 0 && gone)
		u->reap = ino;
	return r;
}

static int unlink_any(struct volume *v, uint64_t dir, const char *name, size_t n, bool is_dir)
{
	struct unlink u = {.at = {.dir = dir, .name = name, .n = n}, .dir = is_dir};
	struct op op;
	long r = check_name(name, n);

	if (r < 0)
		return (int)r;
	op_start(&op, v, VOLUME_EXCLUSIVE, FRAMES_NAME);
	do {
		r = op_enter(&op);
		if (r == 0)
			r = unlink_body(&op, &u);
	} while (op_again(&op, &r));
	/* the name is gone; what remains is tidied now, at the last release or at the next open */
	if (r == 0 && u.reap)
		r = inode_reap_all(v, u.reap, false);
	return (int)r;
}

int volume_unlink(struct volume *v, uint64_t dir, const char *name, size_t n)
{
	return unlink_any(v, dir, name, n, false);
}

int volume_rmdir(struct volume *v, uint64_t dir, const char *name, size_t n)
{
	return unlink_any(v, dir, name, n, true);
}

struct rename {
	struct name from, to;
	unsigned int flags;
	uint64_t reap; /* out */
};

/* Does dir lie in, or below, directory `in`? */
static int below(struct op *op, uint64_t dir, uint64_t in, bool *ret)
{
	struct format_inode *i;
	int r = 0;

	/* deeper than any path; a ring would be a fault */
	for (unsigned int depth = 0; depth < (1u << 20); depth++) {
		if (dir == in || dir == VOLUME_ROOT) {
			*ret = dir == in;
			return 0;
		}
		r = inode_get_dir(op, dir, &i);
		if (r < 0)
			return r;
		dir = i->parent;
	}
	return fault_report(op->v, "directory", "depth", NO_NUMBER, dir, 0, 1u << 20, 1u << 20);
}

/* A directory comes to another parent. */
static int move_dir(struct op *op, uint64_t ino, uint64_t from, uint64_t to)
{
	struct format_inode *i, *f, *t;
	int r = inode_edit(op, ino, false, &i);

	if (r == 0)
		r = inode_edit(op, from, false, &f);
	if (r == 0)
		r = inode_edit(op, to, false, &t);
	if (r < 0)
		return r;
	if (from != to && t->nlink >= VOLUME_LINK_MAX)
		return -EMLINK;
	i->parent = to;
	f->nlink--;
	t->nlink++;
	return 0;
}

static int touch_ctime(struct op *op, uint64_t ino)
{
	struct format_inode *i;
	int r = inode_edit(op, ino, false, &i);

	if (r == 0)
		i->ctime = op_now(op);
	return r;
}

static int exchange(struct op *op, struct rename *m, uint64_t a, uint8_t a_type, uint64_t b, uint8_t b_type)
{
	int r = dir_set(op, m->from.dir, m->from.name, m->from.n, b, b_type);

	if (r == 0)
		r = dir_set(op, m->to.dir, m->to.name, m->to.n, a, a_type);
	if (r == 0 && a_type == DT_DIR)
		r = move_dir(op, a, m->from.dir, m->to.dir);
	if (r == 0 && b_type == DT_DIR)
		r = move_dir(op, b, m->to.dir, m->from.dir);
	if (r == 0)
		r = touch_ctime(op, a);
	if (r == 0)
		r = touch_ctime(op, b);
	return r;
}

static int replace(struct op *op, struct rename *m, uint64_t a, uint8_t a_type, uint64_t b, uint8_t b_type)
{
	bool gone = true;
	int r = dir_set(op, m->to.dir, m->to.name, m->to.n, a, a_type);

	if (r == 0)
		r = dir_remove(op, m->from.dir, m->from.name, m->from.n);
	if (r == 0)
		r = b_type == DT_DIR ? drop_dir(op, b, m->to.dir) : drop_link(op, b, &gone);
	if (r == 0 && a_type == DT_DIR)
		r = move_dir(op, a, m->from.dir, m->to.dir);
	if (r == 0 && gone)
		m->reap = b;
	return r == 0 ? touch_ctime(op, a) : r;
}

static int rename_check(
	struct op *op, const struct rename *m, uint64_t a, uint8_t a_type, uint64_t b, uint8_t b_type)
{
	struct format_inode *i;
	bool inside = false;
	int r = 0;

	if (a_type == DT_DIR)
		r = below(op, m->to.dir, a, &inside);
	if (r == 0 && !inside && (m->flags & VOLUME_RENAME_EXCHANGE) && b_type == DT_DIR)
		r = below(op, m->from.dir, b, &inside);
	if (r < 0)
		return r;
	if (inside)
		return -EINVAL;
	if (!b || (m->flags & VOLUME_RENAME_EXCHANGE))
		return 0;
	if (b_type == DT_DIR && a_type != DT_DIR)
		return -EISDIR;
	if (b_type != DT_DIR && a_type == DT_DIR)
		return -ENOTDIR;
	if (b_type != DT_DIR)
		return 0;
	r = inode_get(op, b, &i);
	return r == 0 && i->dir_entries > 0 ? -ENOTEMPTY : r;
}

static int rename_body(struct op *op, struct rename *m)
{
	struct format_inode *d;
	uint64_t a = 0, b = 0;
	uint8_t a_type = 0, b_type = 0;
	int r = inode_get_dir(op, m->from.dir, &d);

	m->reap = 0;
	if (r == 0)
		r = get_live_dir(op, m->to.dir, &d);
	if (r == 0)
		r = dir_find(op, m->from.dir, m->from.name, m->from.n, &a, &a_type);
	if (r < 0)
		return r;
	r = dir_find(op, m->to.dir, m->to.name, m->to.n, &b, &b_type);
	if (r < 0 && r != -ENOENT)
		return r;
	if (r == -ENOENT && (m->flags & VOLUME_RENAME_EXCHANGE))
		return -ENOENT;
	if (r == 0 && (m->flags & VOLUME_RENAME_NOREPLACE))
		return -EEXIST;
	r = rename_check(op, m, a, a_type, b, b_type);
	if (r < 0 || a == b)
		return r;
	r = op_room(op, 6, false);
	if (r < 0)
		return r;
	if (m->flags & VOLUME_RENAME_EXCHANGE) {
		r = exchange(op, m, a, a_type, b, b_type);
	} else if (b) {
		r = replace(op, m, a, a_type, b, b_type);
	} else {
		r = dir_add(op, m->to.dir, m->to.name, m->to.n, a, a_type);
		if (r == 0)
			r = dir_remove(op, m->from.dir, m->from.name, m->from.n);
		if (r == 0 && a_type == DT_DIR)
			r = move_dir(op, a, m->from.dir, m->to.dir);
		if (r == 0)
			r = touch_ctime(op, a);
	}
	if (r == 0)
		r = dir_changed(op, m->from.dir);
	if (r == 0)
		r = dir_changed(op, m->to.dir);
	return r;
}

int volume_rename(struct volume *v, uint64_t from_dir, const char *from, size_t from_n, uint64_t to_dir,
	const char *to, size_t to_n, unsigned int flags)
{
	struct rename m = {.from = {.dir = from_dir, .name = from, .n = from_n},
		.to = {.dir = to_dir, .name = to, .n = to_n},
		.flags = flags};
	struct op op;
	long r = check_name(from, from_n);

	if (r == 0)
		r = check_name(to, to_n);
	if (r == 0 && (flags & ~3u || flags == 3u))
		r = -EINVAL;
	if (r < 0)
		return (int)r;
	op_start(&op, v, VOLUME_EXCLUSIVE, 2 * FRAMES_NAME);
	do {
		r = op_enter(&op);
		if (r == 0)
			r = rename_body(&op, &m);
	} while (op_again(&op, &r));
	if (r == 0 && m.reap)
		r = inode_reap_all(v, m.reap, false);
	return (int)r;
}
