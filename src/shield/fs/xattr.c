/* Extended attributes: those of an inode lie one after the other in an inode of their own. */
#include <errno.h>
#include "shield/fs/inode.h"
#include "shield/fs/space.h"

/* Before each name and value. */
struct item {
	uint8_t name_len, zero[3];
	uint32_t value_len;
};
static_assert(sizeof(struct item) == 8, "docs/volume-format.md");

/* All of them, read. */
struct all {
	uint8_t *p; /* VOLUME_XATTR_TOTAL_MAX bytes */
	size_t n;
	uint64_t ino; /* 0: none */
};

static int load(struct op *op, uint64_t ino, struct all *a)
{
	struct format_inode *i, *x = NULL;
	int r = inode_get(op, ino, &i);

	a->n = 0;
	a->ino = 0;
	if (r < 0 || i->xattr == 0)
		return r;
	a->ino = i->xattr;
	r = inode_get(op, a->ino, &x);
	/* inode_get hides them from everybody else */
	if (r == -ENOENT && x && x->mode == FORMAT_MODE_XATTR)
		r = 0;
	if (r == -ENOENT)
		return fault_report(op->v, "inode", "inode of attributes", NO_NUMBER, ino, 0, a->ino, 0);
	if (r < 0)
		return r;
	if (x->size > VOLUME_XATTR_TOTAL_MAX)
		return fault_report(op->v, "inode", "length of attributes", NO_NUMBER, ino, 0, x->size,
			VOLUME_XATTR_TOTAL_MAX);
	a->n = x->size;
	return inode_meta_read(op, a->ino, 0, a->p, a->n);
}

/* The next item at *at; false at the end, or where it is no item. */
static bool next(const struct all *a, size_t *at, struct item *it, const uint8_t **name)
{
	if (a->n - *at < sizeof(*it))
		return false;
	memcpy(it, a->p + *at, sizeof(*it));
	if (a->n - *at - sizeof(*it) < (size_t)it->name_len + it->value_len || it->name_len == 0)
		return false;
	*name = a->p + *at + sizeof(*it);
	*at += sizeof(*it) + it->name_len + it->value_len;
	return true;
}

/* Where the named one starts and its length with header; false: there is none. */
static bool find(const struct all *a, const char *name, size_t n, size_t *ret_at, struct item *it)
{
	const uint8_t *p;

	for (size_t at = 0, start = 0; next(a, &at, it, &p); start = at) {
		if (it->name_len != n || memcmp(p, name, n) != 0)
			continue;
		*ret_at = start;
		return true;
	}
	return false;
}

static int store(struct op *op, uint64_t ino, struct all *a)
{
	struct format_inode *i, *x;
	uint64_t blocks = (a->n + FORMAT_BLOCK - 1) / FORMAT_BLOCK;
	bool done;
	int r = inode_edit(op, ino, false, &i);

	if (r == 0 && a->ino == 0) {
		r = inode_new(op, FORMAT_MODE_XATTR, 0, 0, &a->ino, &x);
		if (r < 0)
			return r;
		i->xattr = a->ino;
		x->nlink = 1;
	}
	if (r == 0)
		r = inode_edit(op, a->ino, false, &x);
	if (r == 0)
		r = inode_meta_write(op, a->ino, 0, a->p, a->n);
	if (r == 0 && (x->size + FORMAT_BLOCK - 1) / FORMAT_BLOCK > blocks) {
		r = tree_drop(op, a->ino, blocks, UINT64_MAX, 256, &done);
		if (r == 0)
			r = inode_log_drop(op, a->ino, blocks, 0, UINT64_MAX);
	}
	if (r < 0)
		return r;
	x->size = a->n;
	i->ctime = op_now(op);
	return 0;
}

struct change {
	uint64_t ino;
	const char *name;
	size_t name_n;
	const void *value;
	size_t n;
	unsigned int flags;
	bool remove;
};

static int change_body(struct op *op, const struct change *c, struct all *a)
{
	struct item it;
	size_t at, size;
	bool there;
	int r = load(op, c->ino, a);

	if (r < 0)
		return r;
	there = find(a, c->name, c->name_n, &at, &it);
	if (there && (c->flags & VOLUME_XATTR_CREATE))
		return -EEXIST;
	if (!there && (c->remove || (c->flags & VOLUME_XATTR_REPLACE)))
		return -ENODATA;
	if (there) {
		size = sizeof(it) + it.name_len + it.value_len;
		memmove(a->p + at, a->p + at + size, a->n - at - size);
		a->n -= size;
	}
	if (!c->remove) {
		size = sizeof(it) + c->name_n + c->n;
		if (size > VOLUME_XATTR_TOTAL_MAX - a->n)
			return -ENOSPC;
		it = (struct item){.name_len = (uint8_t)c->name_n, .value_len = (uint32_t)c->n};
		memcpy(a->p + a->n, &it, sizeof(it));
		memcpy(a->p + a->n + sizeof(it), c->name, c->name_n);
		if (c->n > 0)
			memcpy(a->p + a->n + sizeof(it) + c->name_n, c->value, c->n);
		a->n += size;
	}
	r = op_room(op, a->n / FORMAT_BLOCK + 4, c->remove);
	return r < 0 ? r : store(op, c->ino, a);
}

static int change(struct volume *v, const struct change *c)
{
	struct all a = {.p = handle_alloc(v, VOLUME_XATTR_TOTAL_MAX)};
	struct op op;
	long r;

	if (!a.p)
		return -ENOMEM;
	op_start(&op, v, VOLUME_EXCLUSIVE, 64);
	do {
		r = op_enter(&op);
		if (r == 0)
			r = change_body(&op, c, &a);
	} while (op_again(&op, &r));
	handle_dealloc(v, a.p, VOLUME_XATTR_TOTAL_MAX);
	return (int)r;
}

static int check_name(const char *name, size_t n)
{
	if (n == 0 || memchr(name, 0, n))
		return -EINVAL;
	return n > VOLUME_XATTR_NAME_MAX ? -ERANGE : 0;
}

int volume_xattr_set(struct volume *v, uint64_t ino, const char *name, size_t name_n, const void *value,
	size_t n, unsigned int flags)
{
	struct change c = {
		.ino = ino, .name = name, .name_n = name_n, .value = value, .n = n, .flags = flags};
	int r = check_name(name, name_n);

	if (r == 0 && (flags & ~3u || flags == 3u))
		r = -EINVAL;
	if (r == 0 && n > VOLUME_XATTR_VALUE_MAX)
		r = -E2BIG;
	return r < 0 ? r : change(v, &c);
}

int volume_xattr_remove(struct volume *v, uint64_t ino, const char *name, size_t name_n)
{
	struct change c = {.ino = ino, .name = name, .name_n = name_n, .remove = true};
	int r = check_name(name, name_n);

	return r < 0 ? r : change(v, &c);
}

/* name NULL: the list of names. */
static long fetch(struct volume *v, uint64_t ino, const char *name, size_t name_n, uint8_t *p, size_t n)
{
	struct all a = {.p = handle_alloc(v, VOLUME_XATTR_TOTAL_MAX)};
	const uint8_t *at_name;
	struct item it;
	struct op op;
	size_t at = 0, len = 0;
	long r;

	if (!a.p)
		return -ENOMEM;
	op_start(&op, v, VOLUME_SHARED, 0);
	do {
		r = op_enter(&op);
		if (r == 0)
			r = load(&op, ino, &a);
	} while (op_again(&op, &r));
	if (r == 0 && name && !find(&a, name, name_n, &at, &it))
		r = -ENODATA;
	if (r == 0 && name) {
		len = it.value_len;
		if (n > 0 && len > n)
			r = -ERANGE;
		else if (n > 0)
			memcpy(p, a.p + at + sizeof(it) + it.name_len, len);
	}
	while (r == 0 && !name && next(&a, &at, &it, &at_name)) {
		if (n > 0 && n - len < it.name_len + 1u) {
			r = -ERANGE;
		} else if (n > 0) {
			memcpy(p + len, at_name, it.name_len);
			p[len + it.name_len] = 0;
		}
		len += it.name_len + 1u;
	}
	handle_dealloc(v, a.p, VOLUME_XATTR_TOTAL_MAX);
	return r < 0 ? r : (long)len;
}

long volume_xattr_get(struct volume *v, uint64_t ino, const char *name, size_t name_n, void *value, size_t n)
{
	int r = check_name(name, name_n);

	return r < 0 ? r : fetch(v, ino, name, name_n, value, n);
}

long volume_xattr_list(struct volume *v, uint64_t ino, char *p, size_t n)
{
	return fetch(v, ino, NULL, 0, (uint8_t *)p, n);
}
