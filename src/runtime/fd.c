#include "runtime/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include "host/host.h"
#include "runtime/sys/table.h"

#define BITS_BYTES (FD_TRACK_MAX / 8)
#define STATUS_FLAGS (O_APPEND | O_NONBLOCK | O_NOATIME)

struct fd_table {
	struct fd_entry *entries; /* by number */
	uint32_t room;
	uint32_t used; /* entries that are ours */
	uint64_t dev; /* of every placeholder, once there was one */
};

int fd_init(struct process *p)
{
	struct fd_table *t = calloc(1, sizeof(*t));
	uint64_t *bits = calloc(1, BITS_BYTES);

	if (!t || !bits) {
		free(t);
		free(bits);
		return -ENOMEM;
	}
	p->fds = t;
	p->fd_bits = bits;
	return 0;
}

void fd_free(struct process *p)
{
	if (p->fds)
		free(p->fds->entries);
	free(p->fds);
	free(p->fd_bits);
	p->fds = NULL;
	p->fd_bits = NULL;
}

int fd_clone(struct process *child, const struct process *parent)
{
	child->fds = NULL;
	child->fd_bits = NULL;
	if (!parent->fds)
		return 0;
	if (fd_init(child) < 0)
		return -ENOMEM;
	memcpy(child->fd_bits, parent->fd_bits, BITS_BYTES);
	*child->fds = *parent->fds;
	child->fds->entries = NULL;
	if (parent->fds->room == 0)
		return 0;
	child->fds->entries = calloc(parent->fds->room, sizeof(struct fd_entry));
	if (!child->fds->entries) {
		fd_free(child);
		return -ENOMEM;
	}
	memcpy(child->fds->entries, parent->fds->entries, parent->fds->room * sizeof(struct fd_entry));
	return 0;
}

const struct fd_entry *fd_get(const struct process *p, int fd)
{
	if (!fd_is_shielded(p, (uint32_t)fd))
		return NULL;
	return &p->fds->entries[fd];
}

int fd_reserve(struct process *p, int fd)
{
	struct fd_table *t = p->fds;
	struct fd_entry *entries;
	uint32_t room = t->room ? t->room : 64;

	if (fd < 0 || fd >= FD_TRACK_MAX)
		return -EMFILE;
	if ((uint32_t)fd < t->room)
		return 0;
	while (room <= (uint32_t)fd)
		room *= 2;
	entries = realloc(t->entries, room * sizeof(*entries));
	if (!entries)
		return -ENOMEM;
	memset(entries + t->room, 0, (room - t->room) * sizeof(*entries));
	t->entries = entries;
	t->room = room;
	return 0;
}

/* The bits are read without the lock, so a word changes in one step. */
void fd_set_entry(struct process *p, int fd, const struct fd_entry *e)
{
	struct fd_table *t = p->fds;

	if (!t->entries[fd].file)
		t->used++;
	t->entries[fd] = *e;
	__atomic_or_fetch(&p->fd_bits[fd / 64], 1ULL << (fd % 64), __ATOMIC_RELEASE);
}

void fd_clear(struct process *p, int fd)
{
	if (!fd_get(p, fd))
		return;
	__atomic_and_fetch(&p->fd_bits[fd / 64], ~(1ULL << (fd % 64)), __ATOMIC_RELEASE);
	p->fds->entries[fd] = (struct fd_entry){0};
	p->fds->used--;
}

void fd_clear_range(struct process *p, uint32_t first, uint32_t last)
{
	if (!p->fds)
		return;
	for (uint32_t fd = first; fd < p->fds->room && fd <= last; fd++)
		fd_clear(p, (int)fd);
}

/* The descriptor of a placeholder, or -1. */
static int find_placeholder(const struct process *p, uint64_t dev, uint64_t ino)
{
	const struct fd_table *t = p->fds;

	if (!t || t->used == 0 || t->dev != dev)
		return -1;
	for (uint32_t fd = 0; fd < t->room; fd++)
		if (t->entries[fd].file && t->entries[fd].ino == ino)
			return (int)fd;
	return -1;
}

int fd_find_inode(const struct process *p, uint64_t dev, uint64_t ino)
{
	int fd = find_placeholder(p, dev, ino);

	return fd < 0 ? -ENOENT : (int)p->fds->entries[fd].file - 1;
}

void fd_adopt(struct process *p, int fd, uint64_t dev, uint64_t ino)
{
	int known = find_placeholder(p, dev, ino);
	struct fd_entry copy;

	if (known < 0 || fd_reserve(p, fd) < 0)
		return;
	copy = p->fds->entries[known];
	fd_set_entry(p, fd, &copy);
}

bool fd_has_company(void)
{
	return host_call1(SYS_unshare, CLONE_THREAD) !=
	       0; /* does nothing but tell whether there are other threads */
}

void fd_resize(const struct process *p, uint32_t id, uint64_t size)
{
	const struct fd_table *t = p->fds;
	uint32_t left = t->used;

	for (uint32_t fd = 0; fd < t->room && left > 0; fd++) {
		if (!t->entries[fd].file)
			continue;
		left--;
		if (t->entries[fd].file == id + 1)
			host_call2(SYS_ftruncate, fd, (long)size);
	}
}

long fd_open(struct process *p, uint32_t id, uint32_t flags, uint64_t size)
{
	struct fd_entry e = {.file = id + 1, .flags = flags & (O_ACCMODE | O_PATH)};
	long fd =
		host_call2(SYS_memfd_create, (long)"openscone-injected", flags & O_CLOEXEC ? MFD_CLOEXEC : 0);
	struct stat st;
	long ret;

	if (host_failed(fd))
		return fd;
	ret = fd_reserve(p, (int)fd);
	if (ret == 0)
		ret = host_call2(SYS_ftruncate, fd, (long)size);
	if (ret == 0 && (flags & STATUS_FLAGS) && !(flags & O_PATH))
		ret = host_call3(SYS_fcntl, fd, F_SETFL, flags & STATUS_FLAGS);
	if (ret == 0)
		ret = host_fstat((int)fd, &st);
	if (host_failed(ret)) {
		host_close((int)fd);
		return ret;
	}
	e.ino = st.st_ino;
	p->fds->dev = st.st_dev;
	fd_set_entry(p, (int)fd, &e);
	return fd;
}

static bool survives_exec(int fd)
{
	long flags = host_call2(SYS_fcntl, fd, F_GETFD);

	return !host_failed(flags) && !(flags & FD_CLOEXEC);
}

void fd_encode(const struct process *p, struct buf *out)
{
	const struct fd_table *t = p->fds;
	uint32_t count = 0;

	for (uint32_t fd = 0; t && fd < t->room; fd++)
		if (t->entries[fd].file && survives_exec((int)fd))
			count++;
	buf_put_u32be(out, count);
	/* The table is locked, but another thread may change the kernel's flag meanwhile: never more than counted, none twice. */
	for (uint32_t fd = 0; t && fd < t->room && count > 0; fd++) {
		if (!t->entries[fd].file || !survives_exec((int)fd))
			continue;
		buf_put_u32be(out, fd);
		buf_put_u32be(out, t->entries[fd].file);
		buf_put_u32be(out, t->entries[fd].flags);
		buf_put_u64be(out, t->dev);
		buf_put_u64be(out, t->entries[fd].ino);
		count--;
	}
	for (; count > 0; count--) {
		buf_put_u32be(out, UINT32_MAX);
		buf_put_u32be(out, 0);
		buf_put_u32be(out, 0);
		buf_put_u64be(out, 0);
		buf_put_u64be(out, 0);
	}
}

static int decode_one(struct process *p, struct rd *in, size_t files)
{
	uint32_t fd = rd_u32be(in);
	struct fd_entry e = {.file = rd_u32be(in), .flags = rd_u32be(in)};
	uint64_t dev = rd_u64be(in);
	struct stat st;
	int ret;

	e.ino = rd_u64be(in);
	if (in->failed)
		return -EBADMSG;
	if (fd == UINT32_MAX)
		return 0;
	if (fd >= FD_TRACK_MAX || e.file == 0 || e.file > files ||
		(e.flags & ~(uint32_t)(O_ACCMODE | O_PATH)))
		return -EBADMSG;
	/* Whoever closed or replaced it since takes nothing from us. */
	if (host_failed(host_fstat((int)fd, &st)) || st.st_dev != dev || st.st_ino != e.ino)
		return 0;
	ret = fd_reserve(p, (int)fd);
	if (ret < 0)
		return ret;
	p->fds->dev = dev;
	fd_set_entry(p, (int)fd, &e);
	return 0;
}

int fd_decode(struct process *p, struct rd *in, size_t files)
{
	uint32_t count = rd_u32be(in);
	int ret = in->failed || count > FD_TRACK_MAX || (count > 0 && !p->fds) ? -EBADMSG : 0;

	for (uint32_t i = 0; i < count && ret == 0; i++)
		ret = decode_one(p, in, files);
	return ret;
}
