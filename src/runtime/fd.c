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
#define FD_OPEN_FLAGS ((uint32_t)(O_ACCMODE | O_PATH) & 0xffffff)
#define STATUS_FLAGS (O_APPEND | O_NONBLOCK | O_NOATIME)

struct fd_table {
	struct fd_entry
		entries[FD_TRACK_MAX]; /* by number; a mapping, of which only pages in use are there */
	uint32_t end; /* one more than the highest number that ever was ours */
	uint32_t used; /* entries that are ours */
};

int fd_init(struct process *p)
{
	uint64_t *bits;
	long at;

	if (p->fds)
		return 0;
	at = host_mmap(NULL, sizeof(struct fd_table), PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (host_failed(at))
		return -ENOMEM;
	bits = calloc(1, BITS_BYTES);
	if (!bits) {
		host_munmap((void *)at, sizeof(struct fd_table));
		return -ENOMEM;
	}
	p->fds = (struct fd_table *)at;
	p->fd_bits = bits;
	return 0;
}

void fd_free(struct process *p)
{
	if (p->fds)
		host_munmap(p->fds, sizeof(*p->fds));
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
	child->fds->end = parent->fds->end;
	child->fds->used = parent->fds->used;
	memcpy(child->fds->entries, parent->fds->entries, parent->fds->end * sizeof(struct fd_entry));
	return 0;
}

const struct fd_entry *fd_get(const struct process *p, int fd)
{
	if (!fd_is_shielded(p, (uint32_t)fd))
		return NULL;
	return &p->fds->entries[fd];
}

struct fd_entry fd_load(const struct process *p, uint64_t fd)
{
	struct fd_entry ret = {.kind = FD_NONE};

	if (fd_is_shielded(p, fd))
		__atomic_load(
			(const uint64_t *)&p->fds->entries[(uint32_t)fd], (uint64_t *)&ret, __ATOMIC_ACQUIRE);
	return ret;
}

int fd_reserve(const struct process *p, int fd)
{
	return p->fds && fd >= 0 && fd < FD_TRACK_MAX ? 0 : -EMFILE;
}

/* Bits and entries are read without the lock, so a word changes in one step. */
void fd_set_entry(struct process *p, int fd, const struct fd_entry *e)
{
	struct fd_table *t = p->fds;

	if (t->entries[fd].kind == FD_NONE)
		t->used++;
	if ((uint32_t)fd >= t->end)
		t->end = (uint32_t)fd + 1;
	t->entries[fd].dev = e->dev;
	t->entries[fd].ino = e->ino;
	__atomic_store((uint64_t *)&t->entries[fd], (const uint64_t *)e, __ATOMIC_RELEASE);
	__atomic_or_fetch(&p->fd_bits[fd / 64], 1ULL << (fd % 64), __ATOMIC_RELEASE);
}

void fd_clear(struct process *p, int fd)
{
	static const struct fd_entry none = {.kind = FD_NONE};

	if (!fd_get(p, fd))
		return;
	__atomic_and_fetch(&p->fd_bits[fd / 64], ~(1ULL << (fd % 64)), __ATOMIC_RELEASE);
	__atomic_store((uint64_t *)&p->fds->entries[fd], (const uint64_t *)&none, __ATOMIC_RELEASE);
	p->fds->used--;
}

uint32_t fd_end(const struct process *p)
{
	return p->fds ? p->fds->end : 0;
}

/* The descriptor of an injected file's placeholder, or -1. */
static int find_placeholder(const struct process *p, uint64_t dev, uint64_t ino)
{
	const struct fd_table *t = p->fds;

	if (!t || t->used == 0)
		return -1;
	for (uint32_t fd = 0; fd < t->end; fd++)
		if (t->entries[fd].kind == FD_INJECTED && t->entries[fd].ino == ino &&
			t->entries[fd].dev == dev)
			return (int)fd;
	return -1;
}

int fd_find_inode(const struct process *p, uint64_t dev, uint64_t ino)
{
	int fd = find_placeholder(p, dev, ino);

	return fd < 0 ? -ENOENT : (int)p->fds->entries[fd].file;
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

	for (uint32_t fd = 0; fd < t->end && left > 0; fd++) {
		if (t->entries[fd].kind == FD_NONE)
			continue;
		left--;
		if (t->entries[fd].kind == FD_INJECTED && t->entries[fd].file == id)
			host_call2(SYS_ftruncate, fd, (long)size);
	}
}

long fd_open(struct process *p, uint32_t id, uint32_t flags, uint64_t size)
{
	struct fd_entry e = {.kind = FD_INJECTED, .file = id, .flags = flags & FD_OPEN_FLAGS};
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
	e.dev = st.st_dev;
	e.ino = st.st_ino;
	fd_set_entry(p, (int)fd, &e);
	return fd;
}

static bool survives_exec(int fd)
{
	long flags = host_call2(SYS_fcntl, fd, F_GETFD);

	return !host_failed(flags) && !(flags & FD_CLOEXEC);
}

static void encode_one(uint32_t fd, const struct fd_entry *e, struct buf *out)
{
	buf_put_u32be(out, fd);
	buf_put_u8(out, (uint8_t)e->kind);
	buf_put_u32be(out, e->file);
	buf_put_u32be(out, e->flags);
	buf_put_u64be(out, e->dev);
	buf_put_u64be(out, e->ino);
}

void fd_encode(const struct process *p, struct buf *out)
{
	static const struct fd_entry none = {.kind = FD_NONE};
	const struct fd_table *t = p->fds;
	uint32_t count = 0;

	for (uint32_t fd = 0; t && fd < t->end; fd++)
		if (t->entries[fd].kind != FD_NONE && survives_exec((int)fd))
			count++;
	buf_put_u32be(out, count);
	/* The table is locked, but another thread may change the kernel's flag meanwhile: never more than counted, none twice. */
	for (uint32_t fd = 0; t && fd < t->end && count > 0; fd++) {
		if (t->entries[fd].kind == FD_NONE || !survives_exec((int)fd))
			continue;
		encode_one(fd, &t->entries[fd], out);
		count--;
	}
	for (; count > 0; count--)
		encode_one(UINT32_MAX, &none, out);
}

static int decode_one(struct process *p, struct rd *in, size_t files)
{
	uint32_t fd = rd_u32be(in), flags;
	struct fd_entry e = {.kind = rd_u8(in)};
	struct stat st;
	int ret;

	e.file = rd_u32be(in);
	flags = rd_u32be(in);
	e.flags = flags & FD_OPEN_FLAGS;
	e.dev = rd_u64be(in);
	e.ino = rd_u64be(in);
	if (in->failed)
		return -EBADMSG;
	if (fd == UINT32_MAX)
		return 0;
	if (fd >= FD_TRACK_MAX || e.kind == FD_NONE || e.kind >= FD_KINDS ||
		(e.kind == FD_INJECTED && e.file >= files) || e.kind == FD_HIDDEN ||
		(e.kind == FD_VOLUME && !p->volumes) || e.flags != flags)
		return -EBADMSG;
	/* Whoever closed or replaced it since takes nothing from us. */
	if (host_failed(host_fstat((int)fd, &st)) || st.st_dev != e.dev || st.st_ino != e.ino)
		return 0;
	ret = fd_reserve(p, (int)fd);
	if (ret < 0)
		return ret;
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
