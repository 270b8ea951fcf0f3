/* Reading of directories and symbolic links. */
#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>
#include "shield/fs/dir.h"

int volume_parent(struct volume *v, uint64_t dir, uint64_t *ret)
{
	struct format_inode *i;
	struct op op;
	long r;

	op_start(&op, v, VOLUME_SHARED, 0);
	do {
		r = op_enter(&op);
		if (r == 0)
			r = inode_get_dir(&op, dir, &i);
		if (r == 0)
			*ret = i->parent;
	} while (op_again(&op, &r));
	return (int)r;
}

long volume_readlink(struct volume *v, uint64_t ino, char *p, size_t n)
{
	struct format_inode *i;
	struct op op;
	long r;

	op_start(&op, v, VOLUME_SHARED, 0);
	do {
		r = op_enter(&op);
		if (r == 0)
			r = inode_get(&op, ino, &i);
		if (r == 0 && !S_ISLNK(i->mode))
			r = -EINVAL;
		if (r == 0 && i->size > VOLUME_SYMLINK_MAX)
			r = fault_report(v, "inode", "length of a symbolic link", NO_NUMBER, ino, 0, i->size,
				VOLUME_SYMLINK_MAX);
		if (r == 0)
			r = inode_meta_read(&op, ino, 0, p, i->size < n ? i->size : n);
		if (r == 0)
			r = (long)i->size;
	} while (op_again(&op, &r));
	return r;
}

static int list_body(struct op *op, uint64_t dir, uint64_t cookie, struct volume_dirent *e, size_t n)
{
	static const char *const dots[] = {".", ".."};
	struct format_inode *i;
	size_t got = 0;
	int r = inode_get_dir(op, dir, &i);

	if (r < 0)
		return r;
	for (; cookie < 2 && got < n; got++, cookie++) {
		e[got] = (struct volume_dirent){.ino = cookie == 0 ? dir : i->parent,
			.cookie = cookie + 1,
			.type = DT_DIR,
			.name_len = (uint8_t)(cookie + 1)};
		memcpy(e[got].name, dots[cookie], cookie + 2);
	}
	/* a directory that was removed has not even these */
	if (i->nlink == 0)
		return 0;
	if (got == n)
		return (int)got;
	r = dir_list(op, dir, cookie < DIR_FIRST_KEY ? DIR_FIRST_KEY - 1 : cookie, e + got, n - got);
	return r < 0 ? r : (int)got + r;
}

long volume_readdir(struct volume *v, uint64_t dir, uint64_t cookie, struct volume_dirent *e, size_t n)
{
	struct op op;
	long r;

	if (cookie > INT64_MAX || n == 0)
		return -EINVAL;
	if (n > INT32_MAX)
		n = INT32_MAX;
	op_start(&op, v, VOLUME_SHARED, 0);
	do {
		r = op_enter(&op);
		if (r == 0)
			r = list_body(&op, dir, cookie, e, n);
	} while (op_again(&op, &r));
	return r;
}
