/*
 * volume_fsx: random operations of two processes on several files under changing names, against a model in memory that outlives them.
 *
 *   volume_fsx DIR STATE SEED SECONDS [kill]     STATE: a file elsewhere; if it has a model, DIR has to be as it says, before anything is done
 *
 * The processes take turns that the seed decides. Each has descriptors, copies of them, and maps of its own, which stay from turn to turn; now
 * and then one has a child that does the work, by fork or by exec, or sends a descriptor to the other. After `kill` both end by SIGKILL
 * with everything open: what they have done is there all the same. What differs from the model is told with the operations before it.
 */
#include <dirent.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "volume_fsx_ops.h"

static int channel[2];

/* --- maps --- */

static void op_map(void)
{
	struct map *m = &s->maps[me][below(MAPS)];
	int row = pick(O_RDWR);
	bool writes = below(3);

	if (m->p) {
		int f = m->file;

		note("unmap file %d at %zu+%zu", f, m->off, m->len);
		outcome(munmap(m->p, m->len), 0, "munmap");
		m->p = NULL;
		settle(f);
		return;
	}
	if (row < 0)
		return;
	*m = (struct map){.off = some_offset() & ~(size_t)4095,
		.len = some_length(),
		.file = handle_of(row)->file,
		.writes = writes};
	note("map file %d at %zu+%zu%s", m->file, m->off, m->len, writes ? " to write" : "");
	m->p = mmap(NULL, m->len, PROT_READ | (writes ? PROT_WRITE : 0), MAP_SHARED, s->fds[me][row],
		(off_t)m->off);
	expect(m->p != MAP_FAILED, "mmap");
	if (m->p == MAP_FAILED)
		m->p = NULL;
	handle_of(row)->mapped = true;
	if (file_of(row)->locked == s->of[me][row] + 1) {
		outcome(flock(s->fds[me][row], LOCK_UN), 0, "LOCK_UN");
		file_of(row)->locked = 0;
	}
}

static void op_through_map(void)
{
	struct map *m = &s->maps[me][below(MAPS)];
	size_t at = below(60000), n = some_length();
	struct file *f;

	if (!m->p || at >= m->len)
		return;
	f = &s->files[m->file];
	n = n < m->len - at ? n : m->len - at;
	if (m->off + at >= f->size)
		return;
	n = n < f->size - m->off - at ? n : f->size - m->off - at;
	if (m->writes && below(2)) {
		note("write to a map of file %d: %zu+%zu", m->file, m->off + at, n);
		fresh(f, m->off + at, n);
		memcpy(m->p + at, buf, n);
		if (!below(3))
			outcome(msync(m->p, m->len, below(2) ? MS_SYNC : MS_ASYNC), 0, "msync");
	} else {
		note("read a map of file %d: %zu+%zu", m->file, m->off + at, n);
		compare(f, m->p + at, m->off + at, n, "map");
	}
}

static void op_move_map(void)
{
	struct map *m = &s->maps[me][below(MAPS)];
	size_t n = some_length();
	void *p;

	if (!m->p)
		return;
	note("mremap of file %d at %zu: %zu to %zu", m->file, m->off, m->len, n);
	p = mremap(m->p, m->len, n, MREMAP_MAYMOVE);
	expect(p != MAP_FAILED, "mremap");
	if (p == MAP_FAILED)
		return;
	m->p = p;
	m->len = n;
}

static void op_private(void)
{
	int row = pick(O_RDONLY);
	unsigned char *p;
	struct file *f;

	if (row < 0 || file_of(row)->size == 0)
		return;
	f = file_of(row);
	note("private map of file %ld", (long)(f - s->files));
	p = mmap(NULL, f->size, PROT_READ | PROT_WRITE, MAP_PRIVATE, s->fds[me][row], 0);
	expect(p != MAP_FAILED, "mmap private");
	if (p == MAP_FAILED)
		return;
	compare(f, p, 0, f->size, "private map");
	memset(p, 0xee, f->size);
	expect(pread(s->fds[me][row], buf, f->size, 0) == (ssize_t)f->size, "pread");
	compare(f, buf, 0, f->size, "read after a write to a private map");
	munmap(p, f->size);
}

/* --- names --- */

static void op_name(void)
{
	int d = (int)below(DIRS), n = (int)below(NAMES), d2 = (int)below(DIRS), n2 = (int)below(NAMES),
	    way = (int)below(5);
	static const char *const words[] = {"rename", "rename, no replace,", "exchange", "link", "unlink"};
	int *a = &s->names[d][n], *b = &s->names[d2][n2], old_a = *a, old_b = *b;
	const char *from = path_of(d, n), *to = path_of(d2, n2);

	note("%s %s %s (files %d, %d)", words[way], from, to, old_a, old_b);
	switch (way) {
	case 0:
		outcome(rename(from, to), old_a < 0 ? ENOENT : 0, "rename");
		if (old_a < 0 || old_a == old_b) /* links of one file stay */
			return;
		*b = old_a;
		*a = -1;
		break;
	case 1:
		outcome(renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE),
			old_a < 0    ? ENOENT
			: old_b >= 0 ? EEXIST
				     : 0,
			"RENAME_NOREPLACE");
		if (old_a < 0 || old_b >= 0)
			return;
		*b = old_a;
		*a = -1;
		break;
	case 2:
		outcome(renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_EXCHANGE),
			old_a < 0 || old_b < 0 ? ENOENT : 0, "RENAME_EXCHANGE");
		if (old_a < 0 || old_b < 0)
			return;
		*a = old_b;
		*b = old_a;
		break;
	case 3:
		outcome(link(from, to), old_a < 0 ? ENOENT : old_b >= 0 ? EEXIST : 0, "link");
		if (old_a >= 0 && old_b < 0)
			*b = old_a;
		return;
	default:
		outcome(unlink(from), old_a < 0 ? ENOENT : 0, "unlink");
		*a = -1;
		if (old_a >= 0)
			settle(old_a);
		return;
	}
	if (old_b >= 0)
		settle(old_b);
}

static void check_name(int d, int n)
{
	int f = s->names[d][n];
	struct stat st;
	int fd;

	outcome(stat(path_of(d, n), &st), f < 0 ? ENOENT : 0, "stat");
	if (f < 0 || s->failed)
		return;
	expect(st.st_size == (off_t)s->files[f].size && (int)st.st_nlink == links_of(f),
		"%s, file %d: size %ld, %lu links, wanted %zu, %d", path_of(d, n), f, (long)st.st_size,
		(unsigned long)st.st_nlink, s->files[f].size, links_of(f));
	fd = open(path_of(d, n), O_RDONLY);
	expect(fd >= 0 && read(fd, buf, FILE_MAX) == (ssize_t)s->files[f].size, "whole read of %s",
		path_of(d, n));
	compare(&s->files[f], buf, 0, s->files[f].size, "whole file");
	close(fd);
}

static void op_look(void)
{
	int d = (int)below(DIRS), n = 0, wanted = 0;
	char path[8];
	struct dirent *e;
	DIR *dir;

	note("list d%d", d);
	(void)snprintf(path, sizeof(path), "d%d", d);
	dir = opendir(path);
	expect(dir != NULL, "opendir");
	while (dir && (e = readdir(dir)))
		if (e->d_name[0] == 'n') {
			int i = e->d_name[1] - '0';

			n++;
			expect(i >= 0 && i < NAMES && s->names[d][i] >= 0, "%s is listed", e->d_name);
		}
	if (dir)
		closedir(dir);
	for (int i = 0; i < NAMES; i++)
		wanted += s->names[d][i] >= 0;
	expect(n == wanted, "%d names listed, wanted %d", n, wanted);
	note("check %s", path_of(d, (int)(s->done % NAMES)));
	check_name(d, (int)(s->done % NAMES));
}

/* --- other processes --- */

static void by_content(void)
{
	switch (below(6)) {
	case 0:
		op_read();
		return;
	case 1:
		op_through_map();
		return;
	case 2:
		op_truncate();
		return;
	default:
		op_write();
	}
}

/* A child of this process, with its descriptors and maps. */
static void op_fork(void)
{
	int status = -1;
	pid_t pid;

	note("fork");
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		for (int i = 0; i < 3 && !s->failed; i++)
			by_content();
		_exit(0);
	}
	expect(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0, "child ended with status %x",
		status);
}

/* Another program, which writes at the offset that it inherits. */
static void op_exec(void)
{
	int row = pick(O_WRONLY), status = -1;
	char fd[12], length[12], byte[12];
	size_t n = some_length() % 5000, at;
	struct handle *h;
	pid_t pid;

	if (row < 0 || (fcntl(s->fds[me][row], F_GETFD) & FD_CLOEXEC))
		return;
	h = handle_of(row);
	at = h->flags & O_APPEND ? file_of(row)->size : (size_t)h->at;
	if (at + n > FILE_MAX)
		return;
	note("exec writes to %d, file %d: %zu+%zu", s->fds[me][row], h->file, at, n);
	(void)snprintf(fd, sizeof(fd), "%d", s->fds[me][row]);
	(void)snprintf(length, sizeof(length), "%zu", n);
	(void)snprintf(byte, sizeof(byte), "%d", fresh(file_of(row), at, n));
	pid = fork();
	if (pid == 0) {
		execl("/proc/self/exe", "volume_fsx", "-w", fd, length, byte, (char *)NULL);
		_exit(120);
	}
	expect(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0, "program ended with status %x",
		status);
	h->at = (off_t)(at + n);
}

static int write_inherited(char **argv)
{
	size_t n = strtoul(argv[3], NULL, 10);

	pattern(buf, n, (unsigned char)atoi(argv[4]));
	return write(atoi(argv[2]), buf, n) == (ssize_t)n ? 0 : 1;
}

static void op_send(void)
{
	char control[CMSG_SPACE(sizeof(int))] = {0}, byte = 'x';
	struct iovec v = {&byte, 1};
	struct msghdr m = {
		.msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	int row = pick(O_RDONLY);

	if (row < 0 || s->moving >= 0)
		return;
	note("send %d, file %d", s->fds[me][row], handle_of(row)->file);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &s->fds[me][row], sizeof(int));
	outcome(sendmsg(channel[me], &m, 0), 0, "sendmsg");
	s->moving = s->of[me][row] | (1 - me) << 16;
	s->handles[s->of[me][row]].refs++;
}

/* What the other has sent. */
static void op_receive(void)
{
	char control[CMSG_SPACE(sizeof(int))] = {0}, byte;
	struct iovec v = {&byte, 1};
	struct msghdr m = {
		.msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	int row = free_row(), fd = -1;

	if (row < 0 || s->moving < 0 || s->moving >> 16 != me)
		return;
	expect(recvmsg(channel[me], &m, 0) == 1 && CMSG_FIRSTHDR(&m), "recvmsg");
	if (CMSG_FIRSTHDR(&m))
		memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(int));
	note("receive %d, file %d", fd, s->handles[s->moving & 0xffff].file);
	expect(fd >= 0, "no descriptor came");
	enter(row, fd, s->moving & 0xffff);
	s->moving = -1;
}

static void operation(void)
{
	static void (*const all[])(void) = {op_open, op_open, op_open, op_unnamed, op_link_descriptor,
		op_close, op_close, op_dup, op_again, op_lock, op_write, op_write, op_write, op_write,
		op_write, op_read, op_read, op_read, op_seek, op_truncate, op_allocate, op_holes, op_copy,
		op_copy, op_sync, op_map, op_map, op_through_map, op_through_map, op_through_map, op_move_map,
		op_private, op_name, op_name, op_name, op_look, op_send, op_receive, op_receive};
	unsigned n = below(1200);

	if (n == 0)
		op_exec();
	else if (n < 12)
		op_fork();
	else
		all[n % (sizeof(all) / sizeof(all[0]))]();
}

/* --- turns --- */

static void take_turns(void)
{
	int next;

	for (;;) {
		while (sem_wait(&s->turn[me]) == -1 && errno == EINTR)
			;
		if (s->over || s->failed)
			break;
		do {
			s->torn = true;
			operation();
			s->torn = false;
			s->done++;
			s->counts[me]++;
			next = (int)below(2);
			s->over = time(NULL) >= s->until;
		} while (next == me && !s->over && !s->failed);
		if (s->over || s->failed)
			break;
		sem_post(&s->turn[next]);
	}
	sem_post(&s->turn[1 - me]);
}

/* What nobody has open any more after the processes ended. */
static void forget(void)
{
	for (int h = 0; h < HANDLES; h++)
		s->handles[h].refs = 0;
	memset(s->maps, 0, sizeof(s->maps));
	memset(s->of, 0xff, sizeof(s->of));
	s->moving = -1;
	for (int f = 0; f < FILES; f++) {
		s->files[f].locked = 0;
		if (s->files[f].used)
			settle(f);
	}
}

static void begin(const char *dir, const char *state, unsigned long long seed)
{
	int fd = open(state, O_RDWR | O_CREAT, 0600);

	if (fd < 0 || ftruncate(fd, sizeof(*s))) {
		perror(state);
		exit(2);
	}
	s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (s == MAP_FAILED || chdir(dir) || socketpair(AF_UNIX, SOCK_STREAM, 0, channel)) {
		perror(dir);
		exit(2);
	}
	close(fd);
	if (s->magic != MAGIC) {
		WANT(mkdir("d0", 0700) == 0 && mkdir("d1", 0700) == 0);
		memset(s->names, 0xff, sizeof(s->names));
		s->magic = MAGIC;
	}
	WANT(!s->torn && !s->failed);
	forget();
	s->random = seed * 0x9e3779b97f4a7c15ull | 1;
	s->over = false;
	s->done = s->counts[0] = s->counts[1] = 0;
	note("the start");
	for (int i = 0; i < DIRS * NAMES; i++)
		check_name(i / NAMES, i % NAMES);
	WANT(!s->failed);
	section("everything is as it was left");
}

int main(int argc, char **argv)
{
	bool kills = argc > 5 && !strcmp(argv[5], "kill");
	int status = -1;
	pid_t pid;

	if (argc == 5 && !strcmp(argv[1], "-w"))
		return write_inherited(argv);
	if (argc < 5) {
		fprintf(stderr, "volume_fsx DIR STATE SEED SECONDS [kill]\n");
		return 2;
	}
	begin(argv[1], argv[2], strtoull(argv[3], NULL, 10));
	s->until = time(NULL) + atol(argv[4]);
	sem_init(&s->turn[0], 1, 1);
	sem_init(&s->turn[1], 1, 0);
	fflush(stdout);
	pid = fork();
	me = pid == 0 ? 1 : 0;
	if (!s->failed)
		take_turns();
	if (kills && !s->failed) {
		if (me == 0)
			printf("# %lu and %lu operations, then a kill\n", s->counts[0], s->counts[1]);
		fflush(stdout);
		kill(getpid(), SIGKILL);
	}
	if (pid == 0)
		_exit(0);
	WANT(waitpid(pid, &status, 0) == pid && status == 0);
	printf("# %lu and %lu operations\n", s->counts[0], s->counts[1]);
	for (int i = 0; i < DIRS * NAMES && !s->failed; i++)
		check_name(i / NAMES, i % NAMES);
	WANT(!s->failed);
	section("two processes, random operations");
	return want_done();
}
