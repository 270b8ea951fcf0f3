/*
 * volume_fsx_ops: operations of volume_fsx.c on descriptors and on content: each does one thing, chosen at random, and the model's part of it.
 */
#ifndef SCONE_TESTS_VOLUME_FSX_OPS_H
#define SCONE_TESTS_VOLUME_FSX_OPS_H

#include <sys/file.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <unistd.h>
#include "volume_fsx_model.h"

/* --- descriptors --- */

static void op_open(void)
{
	static const int modes[] = {O_RDWR, O_RDWR, O_RDWR, O_RDONLY, O_WRONLY};
	int row = free_row(), d = (int)below(DIRS), n = (int)below(NAMES), f = s->names[d][n], fd;
	int flags = modes[below(5)] | (below(4) ? 0 : O_APPEND) | (below(20) ? 0 : O_SYNC);
	bool create = below(2), exclusive = create && !below(3),
	     cut = (flags & O_ACCMODE) != O_RDONLY && !below(8);
	int answer = f < 0 ? (create ? 0 : ENOENT) : exclusive ? EEXIST : 0;

	if (row < 0 || (f < 0 && create && (f = new_file()) < 0))
		return;
	note("open %s flags %x%s%s%s", path_of(d, n), flags, create ? " create" : "",
		exclusive ? " exclusive" : "", cut ? " truncate" : "");
	fd = open(path_of(d, n),
		flags | (create ? O_CREAT : 0) | (exclusive ? O_EXCL : 0) | (cut ? O_TRUNC : 0), 0600);
	outcome(fd, answer, "open");
	if (fd < 0 || answer)
		return;
	s->names[d][n] = f;
	if (cut)
		set_size(&s->files[f], 0);
	enter(row, fd, new_handle(f, flags));
}

static void op_unnamed(void)
{
	int row = free_row(), f, fd;

	if (row < 0 || (f = new_file()) < 0)
		return;
	note("open O_TMPFILE");
	fd = open("d0", O_TMPFILE | O_RDWR, 0600);
	outcome(fd, 0, "open O_TMPFILE");
	s->files[f].linkable = true;
	enter(row, fd, new_handle(f, O_RDWR));
}

/* Of a file without a name, or one more name. */
static void op_link_descriptor(void)
{
	int row = pick(O_RDWR), d = (int)below(DIRS), n = (int)below(NAMES), f;
	char path[32];
	bool gone;

	if (row < 0)
		return;
	f = handle_of(row)->file;
	/* Once its last name went by unlink it can have none any more. */
	gone = links_of(f) == 0 && !s->files[f].linkable;
	note("link descriptor %d, file %d, as %s", s->fds[me][row], f, path_of(d, n));
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", s->fds[me][row]);
	outcome(linkat(AT_FDCWD, path, AT_FDCWD, path_of(d, n), AT_SYMLINK_FOLLOW),
		s->names[d][n] >= 0 ? EEXIST
		: gone		    ? ENOENT
				    : 0,
		"linkat");
	if (s->names[d][n] >= 0 || gone)
		return;
	s->names[d][n] = f;
	s->files[f].linkable = false;
}

static void op_close(void)
{
	int row = pick(below(2) ? O_RDONLY : O_WRONLY), h;

	if (row < 0)
		return;
	note("close %d, file %d", s->fds[me][row], handle_of(row)->file);
	outcome(close(s->fds[me][row]), 0, "close");
	h = s->of[me][row];
	s->of[me][row] = -1;
	drop_handle(h);
}

static void op_dup(void)
{
	int from = pick(O_RDONLY), to = free_row(), fd, h;

	if (from < 0)
		return;
	h = s->of[me][from];
	if (to < 0 || !below(3)) { /* over another one */
		to = (int)below(FDS);
		if (to == from || s->of[me][to] < 0)
			return;
		note("dup2 %d over %d", s->fds[me][from], s->fds[me][to]);
		fd = s->fds[me][to];
		outcome(dup2(s->fds[me][from], fd), 0, "dup2");
		drop_handle(s->of[me][to]);
	} else {
		note("dup %d", s->fds[me][from]);
		fd = below(2) ? dup(s->fds[me][from]) : fcntl(s->fds[me][from], F_DUPFD_CLOEXEC, 20);
		outcome(fd, 0, "dup");
	}
	enter(to, fd, h);
	s->handles[h].refs++;
}

/* A description of its own of the same file, named or not. */
static void op_again(void)
{
	int from = pick(O_RDWR), to = free_row(), fd;
	char path[32];

	if (from < 0 || to < 0)
		return;
	note("open /proc/self/fd/%d, file %d", s->fds[me][from], handle_of(from)->file);
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", s->fds[me][from]);
	fd = open(path, O_RDWR);
	outcome(fd, 0, path);
	enter(to, fd, new_handle(handle_of(from)->file, O_RDWR));
}

static void op_lock(void)
{
	int row = pick(O_RDONLY), mine;
	struct file *f;

	if (row < 0 || handle_of(row)->mapped)
		return;
	f = file_of(row);
	mine = s->of[me][row] + 1;
	if (f->locked == mine && below(2)) {
		note("unlock file %ld", (long)(f - s->files));
		outcome(flock(s->fds[me][row], LOCK_UN), 0, "LOCK_UN");
		f->locked = 0;
		return;
	}
	note("lock file %ld by handle %d, had by %d", (long)(f - s->files), mine - 1, f->locked - 1);
	outcome(flock(s->fds[me][row], LOCK_EX | LOCK_NB), f->locked && f->locked != mine ? EWOULDBLOCK : 0,
		"LOCK_EX");
	if (!f->locked)
		f->locked = mine;
}

/* --- content --- */

static void op_write(void)
{
	int row = pick(O_WRONLY), way = (int)below(3);
	size_t at = some_offset(), n = some_length();
	struct iovec v[3];
	struct handle *h;
	struct file *f;
	long got;

	if (row < 0)
		return;
	h = handle_of(row);
	f = file_of(row);
	if (way == 0 && !(h->flags & O_APPEND))
		at = (size_t)h->at;
	if (h->flags & O_APPEND) /* pwrite, too, as Linux has it */
		at = f->size;
	if (at + n > FILE_MAX)
		return;
	note("%s %d, file %ld: %zu+%zu", way ? "pwrite" : "write", s->fds[me][row], (long)(f - s->files), at,
		n);
	fresh(f, at, n);
	v[0] = (struct iovec){buf, n / 3};
	v[1] = (struct iovec){buf + n / 3, 0};
	v[2] = (struct iovec){buf + n / 3, n - n / 3};
	got = way == 0	 ? write(s->fds[me][row], buf, n)
	      : way == 1 ? pwrite(s->fds[me][row], buf, n, (off_t)at)
			 : pwritev(s->fds[me][row], v, 3, (off_t)at);
	expect(got == (long)n, "write of %zu at %zu gave %ld", n, at, got);
	if (way == 0)
		h->at = (off_t)(at + n);
}

static void op_read(void)
{
	int row = pick(O_RDONLY);
	bool moves = below(2);
	size_t at, n = some_length(), want;
	struct handle *h;
	struct file *f;
	long got;

	if (row < 0)
		return;
	h = handle_of(row);
	f = file_of(row);
	at = moves ? (size_t)h->at : some_offset();
	want = at >= f->size ? 0 : f->size - at < n ? f->size - at : n;
	note("%s %d, file %ld: %zu+%zu", moves ? "read" : "pread", s->fds[me][row], (long)(f - s->files), at,
		n);
	got = moves ? read(s->fds[me][row], buf, n) : pread(s->fds[me][row], buf, n, (off_t)at);
	expect(got == (long)want, "read of %zu at %zu gave %ld, wanted %zu", n, at, got, want);
	compare(f, buf, at, want, "read");
	if (moves)
		h->at += (off_t)want;
}

static void op_seek(void)
{
	int row = pick(O_RDONLY), whence = (int)below(3);
	off_t to = (off_t)some_offset(), want, by;

	if (row < 0)
		return;
	want = whence == SEEK_END ? (off_t)file_of(row)->size : to;
	by = whence == SEEK_SET ? to : whence == SEEK_CUR ? to - handle_of(row)->at : 0;
	note("lseek %d to %ld", s->fds[me][row], (long)want);
	expect(lseek(s->fds[me][row], by, whence) == want, "lseek to %ld", (long)want);
	handle_of(row)->at = want;
}

static void op_truncate(void)
{
	int row = pick(O_WRONLY), d = (int)below(DIRS), n = (int)below(NAMES);
	size_t to = below(4) ? some_offset() : 0;
	struct file *f;

	if (below(2) && s->names[d][n] >= 0) {
		f = &s->files[s->names[d][n]];
		note("truncate %s, file %ld of %zu, to %zu", path_of(d, n), (long)(f - s->files), f->size,
			to);
		outcome(truncate(path_of(d, n), (off_t)to), 0, "truncate");
	} else if (row >= 0) {
		f = file_of(row);
		note("ftruncate %d, file %ld of %zu, to %zu", s->fds[me][row], (long)(f - s->files), f->size,
			to);
		outcome(ftruncate(s->fds[me][row], (off_t)to), 0, "ftruncate");
	} else {
		return;
	}
	set_size(f, to);
}

static void op_allocate(void)
{
	static const int modes[] = {0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, FALLOC_FL_ZERO_RANGE,
		FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE};
	int row = pick(O_WRONLY), mode = modes[below(6)], r;
	size_t at = some_offset(), n = some_length();
	struct file *f;

	if (row < 0)
		return;
	f = file_of(row);
	note("fallocate %x %d, file %ld: %zu+%zu", mode, s->fds[me][row], (long)(f - s->files), at, n);
	r = fallocate(s->fds[me][row], mode, (off_t)at, (off_t)n);
	if (r == -1 && errno == EOPNOTSUPP && (mode & FALLOC_FL_ZERO_RANGE)) /* a tmpfs has none */
		return;
	outcome(r, 0, "fallocate");
	if ((mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) && at < f->size)
		memset(f->data + at, 0, f->size - at < n ? f->size - at : n);
	if (!(mode & FALLOC_FL_KEEP_SIZE) && at + n > f->size)
		set_size(f, at + n);
}

static void op_holes(void)
{
	int row = pick(O_RDONLY);
	off_t at = (off_t)some_offset(), hole, data;
	struct file *f;

	if (row < 0 || (size_t)at >= file_of(row)->size)
		return;
	f = file_of(row);
	note("look for holes in file %ld from %ld", (long)(f - s->files), (long)at);
	hole = lseek(s->fds[me][row], at, SEEK_HOLE);
	expect(hole >= at && hole <= (off_t)f->size, "SEEK_HOLE from %ld gave %ld of %zu", (long)at,
		(long)hole, f->size);
	data = lseek(s->fds[me][row], hole, SEEK_DATA);
	expect(data > hole || (data == -1 && errno == ENXIO), "SEEK_DATA from %ld gave %ld", (long)hole,
		(long)data);
	if (data < 0)
		data = (off_t)f->size;
	for (off_t i = hole; i >= 0 && i < data && i < (off_t)f->size; i++)
		if (f->data[i]) {
			expect(false, "byte %ld lies in the hole %ld to %ld", (long)i, (long)hole,
				(long)data);
			break;
		}
	expect(lseek(s->fds[me][row], handle_of(row)->at, SEEK_SET) == handle_of(row)->at, "lseek back");
}

/* How much of [from, from + n) can be copied to `to`: not more than there is, and not over itself. */
static size_t copyable(const struct file *a, const struct file *b, size_t from, size_t to, size_t n)
{
	if (from >= a->size)
		return 0;
	if (n > a->size - from)
		n = a->size - from;
	if (to + n > FILE_MAX || (a == b && from < to + n && to < from + n))
		return 0;
	return n;
}

static long copy_once(int way, int in, int out, off_t *from, off_t *to, size_t n)
{
	static int tube[2];
	long got;

	if (way == 0)
		return copy_file_range(in, from, out, to, n, 0);
	if (way == 1)
		return sendfile(out, in, from, n);
	if (!tube[1] && pipe(tube))
		return -1;
	got = splice(in, from, tube[1], NULL, n, 0);
	for (long left = got; left > 0;) {
		long put = splice(tube[0], NULL, out, to, (size_t)left, 0);

		if (put <= 0)
			return -1;
		left -= put;
	}
	return got;
}

static void op_copy(void)
{
	static const char *const words[] = {"copy_file_range", "sendfile", "splice"};
	int in = pick(O_RDONLY), out = pick(O_WRONLY), way = (int)below(3);
	size_t n = some_length(), done = 0;
	off_t from = (off_t)some_offset(), to = (off_t)some_offset();
	struct file *a, *b;

	if (in < 0 || out < 0 || (handle_of(out)->flags & O_APPEND))
		return;
	a = file_of(in);
	b = file_of(out);
	if (way == 1) /* at the offset of its own */
		to = handle_of(out)->at;
	n = copyable(a, b, (size_t)from, (size_t)to, n);
	if (n == 0)
		return;
	note("%s file %ld at %ld to file %ld at %ld, %zu", words[way], (long)(a - s->files), (long)from,
		(long)(b - s->files), (long)to, n);
	memcpy(other, a->data + from, n);
	if ((size_t)to + n > b->size)
		set_size(b, (size_t)to + n);
	memcpy(b->data + to, other, n);
	while (done < n && !s->failed) {
		long got = copy_once(way, s->fds[me][in], s->fds[me][out], &from, &to, n - done);

		expect(got > 0 && got <= (long)(n - done), "%s gave %ld after %zu of %zu", words[way], got,
			done, n);
		done += got > 0 ? (size_t)got : n;
	}
	if (way == 1)
		handle_of(out)->at += (off_t)n;
}

static void op_sync(void)
{
	int row = pick(O_RDONLY), way = (int)below(4);

	if (row < 0)
		return;
	note("sync %d of file %d", way, handle_of(row)->file);
	outcome(way == 0   ? fsync(s->fds[me][row])
		: way == 1 ? fdatasync(s->fds[me][row])
		: way == 2 ? sync_file_range(s->fds[me][row], 0, 0, 7)
			   : syncfs(s->fds[me][row]),
		0, "sync");
}

#endif
