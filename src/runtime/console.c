/* console: life of the console shield in a process (console.h): over execve and fork, copies of descriptors and their end, names that lead to them. */
#include "runtime/console.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include "core/log.h"
#include "host/host.h"
#include "runtime/console_start.h"
#include "runtime/fd_ops.h"
#include "runtime/shields.h"

#define MAGIC 0x434f4e53u /* "CONS" */

static struct process *own; /* not that of a child in our memory */
static bool over; /* this process has let go of all */

/* --- start and execve --- */

void console_log_line(const char *line, size_t n)
{
	const struct process *p = own && runtime.threads_started ? thread_self()->proc : own;
	struct console_table *table = console_table();
	struct fd_entry e = {.kind = FD_NONE};

	if (over)
		return;
	if (own)
		e = fd_load(p, STDERR_FILENO);
	if (e.kind == FD_NONE)
		host_write(STDERR_FILENO, line, n);
	else if (e.kind == FD_CONSOLE && e.file == table->log && console_channel(table->log))
		console_note(STDERR_FILENO, console_channel(table->log), line, n);
}

int console_activate(struct process *p)
{
	static const struct fd_entry hidden = {.kind = FD_HIDDEN};
	int ret = fd_init(p);

	if (ret < 0)
		return ret;
	if (fd_reserve(p, console_table_fd()) == 0)
		fd_set_entry(p, console_table_fd(), &hidden);
	own = p;
	p->console_rules = true;
	p->path_rules = true;
	log_set_sink(console_log_line);
	return 0;
}

/* Channels that p has descriptors of. */
static uint32_t held(const struct process *p)
{
	uint32_t bits = 0;

	for (uint32_t fd = 0; fd < fd_end(p); fd++) {
		const struct fd_entry *e = fd_get(p, (int)fd);

		if (e && e->kind == FD_CONSOLE && e->file != CONSOLE_REFUSED)
			bits |= 1u << e->file;
	}
	return bits;
}

int console_encode(struct process *p, struct buf *out)
{
	buf_put_u32be(out, MAGIC);
	buf_put_u8(out, own != NULL);
	if (!own)
		return 0;
	buf_put_u32be(out, (uint32_t)console_table_fd());
	console_hold_all((uint32_t)host_call0(SYS_getpid),
		held(p)); /* a child in its parent's memory has been no holder so far */
	return 0;
}

void console_exec_failed(void)
{
	if (own)
		console_table_keep(false);
}

int console_decode(struct process *p, struct rd *in)
{
	int ret;

	if (rd_u32be(in) != MAGIC)
		return -EBADMSG;
	if (!rd_u8(in))
		return in->failed ? -EBADMSG : 0;
	ret = console_table_attach((int)rd_u32be(in));
	return ret < 0 ? ret : console_activate(p);
}

void console_decode_fds(struct process *p)
{
	if (!own)
		return;
	for (uint32_t fd = 0; fd < fd_end(p); fd++) {
		const struct fd_entry *e = fd_get(p, (int)fd);

		if (e && e->kind == FD_CONSOLE && e->file != CONSOLE_REFUSED && !console_channel(e->file))
			fd_clear(p, (int)fd);
	}
	console_hold_all((uint32_t)host_call0(SYS_getpid), held(p));
}

/* --- fork --- */

void console_fork_prepare(void)
{
	if (own)
		console_engine_lock();
}

void console_fork_parent(struct process *p, long pid)
{
	if (!own)
		return;
	if (pid > 0)
		console_hold_all((uint32_t)pid, held(p));
	console_engine_unlock();
}

void console_fork_child(struct process *p)
{
	if (!own)
		return;
	console_engine_fork_child();
	own = p;
	console_hold_all((uint32_t)host_call0(SYS_getpid), held(p));
}

/* --- descriptors --- */

int console_entered(struct process *p, int fd, int from, const struct fd_entry *e)
{
	if (e->file != CONSOLE_REFUSED)
		console_hold((uint32_t)p->pid, e->file);
	return 0;
}

void console_left(struct process *p, int fd, const struct fd_entry *e)
{
	struct console_channel *c = console_channel(e->file);

	if (!c || (held(p) >> e->file & 1))
		return;
	if (console_unhold((uint32_t)p->pid, e->file) && c->out)
		console_say_end(fd, c);
}

void console_exit(struct process *p)
{
	if (p != own)
		return;
	over = true;
	shields_lock();
	for (uint32_t fd = 0; fd < fd_end(p); fd++) {
		const struct fd_entry *e = fd_get(p, (int)fd);
		struct fd_entry copy;

		if (!e || e->kind != FD_CONSOLE)
			continue;
		copy = *e;
		fd_clear(p, (int)fd);
		console_left(p, (int)fd, &copy);
	}
	shields_unlock();
}

void console_adopt(struct process *p, int fd, uint64_t dev, uint64_t ino)
{
	long number = console_find(dev, ino), flags = host_call2(SYS_fcntl, fd, F_GETFL);
	struct fd_entry e = {.kind = FD_CONSOLE, .file = (uint32_t)number, .dev = dev, .ino = ino};
	const struct console_channel *c;

	if (number < 0 || host_failed(flags) || fd_get(p, fd) || fd_reserve(p, fd) < 0)
		return;
	c = console_channel((uint32_t)number);
	e.flags = (uint32_t)(c->packets && !c->out ? O_RDONLY
			     : c->packets	   ? O_RDWR
						   : flags & (O_ACCMODE | O_PATH)) &
		  0xffffff;
	console_hold((uint32_t)p->pid, e.file);
	fd_set_entry(p, fd, &e);
}

/* --- names --- */

static bool is_terminal_number(dev_t rdev)
{
	unsigned kind = major(rdev);

	/* 5:2 is where programs make terminals of their own. */
	return kind == 3 || kind == 4 || (kind == 5 && minor(rdev) != 2) || (kind >= 136 && kind <= 143) ||
	       kind == 204;
}

static bool may(const struct fd_entry *e, uint32_t flags)
{
	uint32_t want = flags & O_ACCMODE;

	return (want == O_RDONLY || fd_may_write(e)) && (want == O_WRONLY || fd_may_read(e));
}

/* A copy of what this process has of the channel. Under another access than it was given with, there is none. */
static long copy_of(struct process *p, uint32_t number, uint32_t flags)
{
	long ret = -EACCES;

	shields_lock();
	for (uint32_t fd = 0; fd < fd_end(p) && ret == -EACCES; fd++) {
		const struct fd_entry *e = fd_get(p, (int)fd);
		struct fd_entry copy;

		if (!e || e->kind != FD_CONSOLE || e->file != number || !may(e, flags))
			continue;
		copy = *e;
		ret = host_call3(SYS_fcntl, (long)fd, flags & O_CLOEXEC ? F_DUPFD_CLOEXEC : F_DUPFD, 0);
		if (host_failed(ret))
			break;
		if (fd_reserve(p, (int)ret) < 0) {
			host_close((int)ret);
			ret = -EMFILE;
			break;
		}
		console_entered(p, (int)ret, (int)fd, &copy);
		fd_set_entry(p, (int)ret, &copy);
	}
	shields_unlock();
	return ret;
}

long console_open_path(struct thread *t, int dirfd, const char *path, uint32_t flags)
{
	const struct console_table *table = console_table();
	struct stat st;
	long number;

	if (!*path || (flags & O_PATH) ||
		host_call4(SYS_newfstatat, dirfd, (long)path, (long)&st,
			flags & O_NOFOLLOW ? AT_SYMLINK_NOFOLLOW : 0))
		return CONSOLE_NOT_OURS;
	number = console_find(st.st_dev, st.st_ino);
	if (number >= 0 && (flags & (O_CREAT | O_EXCL)) != (O_CREAT | O_EXCL))
		return copy_of(t->proc, (uint32_t)number, flags);
	if (S_ISFIFO(st.st_mode) && st.st_dev != table->pipe_dev && table->fifos == CONSOLE_REFUSE) {
		log_warn("console: a pipe by name, %.200s, refused: anybody may be at its other end", path);
		return -EACCES;
	}
	if (S_ISCHR(st.st_mode) && is_terminal_number(st.st_rdev) && table->terminals == CONSOLE_REFUSE)
		return -ENXIO; /* as where there is none */
	return CONSOLE_NOT_OURS;
}

void console_hide_kind(struct stat *st)
{
	st->st_mode = S_IFIFO | 0600;
	st->st_rdev = 0;
	st->st_size = 0;
	st->st_blocks = 0;
	st->st_blksize = CONSOLE_FRAME_MAX;
}

void console_hide_kindx(struct statx *st)
{
	st->stx_mode = S_IFIFO | 0600;
	st->stx_rdev_major = st->stx_rdev_minor = 0;
	st->stx_size = 0;
	st->stx_blocks = 0;
	st->stx_blksize = CONSOLE_FRAME_MAX;
}
