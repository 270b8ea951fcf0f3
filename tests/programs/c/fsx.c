/*
 * fsx: random operations of two processes on one file and on one tree of names, against a model in memory.
 *
 *   fsx DIR [SEED [SECONDS]]     without SECONDS a fixed number of operations, so that every run prints the same
 *
 * The processes take turns that the seed decides, each through descriptors and maps of its own; what one has done, the other must see.
 * A last part lets both write at the same time, in stripes that share blocks but no bytes. What differs from the model is told with the
 * operations before it; the seed repeats it.
 */
#include <fcntl.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "want.h"

enum { FILE_MAX = 300000, OPERATIONS = 4000, DIRS = 4, NAMES = 12, KEPT = 12, STRIPE = 100, STRIPES = 3000 };
enum kind { NONE, REGULAR, DIRECTORY, SYMLINK };

struct slot {
	enum kind kind;
	unsigned id; /* REGULAR: which file; two slots with one id are links */
};

static struct shared {
	uint64_t random;
	sem_t turn[2];
	unsigned long done, wanted;
	time_t until; /* 0: `wanted` operations */
	bool over, failed;
	char kept[KEPT][160]; /* the last operations */
	unsigned char model[FILE_MAX];
	size_t size;
	unsigned name; /* the file's present name */
	struct slot slots[DIRS][NAMES];
	unsigned last_id;
} * s;

static int me; /* 0 or 1 */
static int file = -1, append = -1;
static unsigned char buf[FILE_MAX];

/* xorshift64*, by the published constants */
static unsigned below(unsigned n)
{
	s->random ^= s->random >> 12;
	s->random ^= s->random << 25;
	s->random ^= s->random >> 27;
	return (unsigned)((s->random * 0x2545f4914f6cdd1dull) >> 33) % n;
}

__attribute__((format(printf, 1, 2))) static void note(const char *fmt, ...)
{
	va_list ap;
	char *to = s->kept[s->done % KEPT];
	int n = snprintf(to, sizeof(s->kept[0]), "%lu: process %d: ", s->done, me);

	va_start(ap, fmt);
	(void)vsnprintf(to + n, sizeof(s->kept[0]) - (size_t)n, fmt, ap);
	va_end(ap);
}

__attribute__((format(printf, 2, 3))) static void expect(bool holds, const char *fmt, ...)
{
	int e = errno;
	va_list ap;

	if (holds || s->failed)
		return;
	s->failed = true;
	printf("FAIL after %lu operations, process %d (errno %d): ", s->done, me, e);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	puts("; the last operations:");
	for (unsigned long i = s->done < KEPT ? 0 : s->done - KEPT + 1; i <= s->done; i++)
		printf("  %s\n", s->kept[i % KEPT]);
	fflush(stdout);
}

static const char *file_name(unsigned n)
{
	static char path[32];

	(void)snprintf(path, sizeof(path), "file-%u", n);
	return path;
}

static void reopen(void)
{
	if (file >= 0)
		close(file);
	if (append >= 0)
		close(append);
	file = open(file_name(s->name), O_RDWR);
	append = open(file_name(s->name), O_WRONLY | O_APPEND);
	expect(file >= 0 && append >= 0, "open of %s", file_name(s->name));
}

/* What the file has from `at` on, n bytes seen, is the model's. */
static void compare(const unsigned char *seen, size_t at, size_t n, const char *how)
{
	for (size_t i = 0; i < n; i++) {
		if (seen[i] == s->model[at + i])
			continue;
		expect(false, "%s at %zu, %zu bytes: byte %zu is %02x, wanted %02x", how, at, n, at + i,
			seen[i], s->model[at + i]);
		return;
	}
}

static void set_size(size_t n)
{
	if (n > s->size)
		memset(s->model + s->size, 0, n - s->size);
	s->size = n;
}

/* New bytes for [at, at + n) in the model and in buf. */
static void fresh(size_t at, size_t n)
{
	unsigned char c = (unsigned char)(below(255) + 1);

	if (at + n > s->size)
		set_size(at + n);
	for (size_t i = 0; i < n; i++)
		buf[i] = s->model[at + i] = (unsigned char)(c + i * 31 + (i >> 8)) | 1;
}

static void op_write(size_t at, size_t n)
{
	note("write %zu+%zu", at, n);
	fresh(at, n);
	expect(pwrite(file, buf, n, (off_t)at) == (ssize_t)n, "pwrite %zu+%zu", at, n);
}

static void op_read(size_t at, size_t n)
{
	size_t want = at >= s->size ? 0 : s->size - at < n ? s->size - at : n;
	ssize_t got = pread(file, buf, n, (off_t)at);

	note("read %zu+%zu", at, n);
	expect(got == (ssize_t)want, "pread %zu+%zu gave %zd, wanted %zu", at, n, got, want);
	compare(buf, at, want, "read");
}

static void op_truncate(size_t n)
{
	note("truncate %zu to %zu", s->size, n);
	set_size(n);
	expect(ftruncate(file, (off_t)n) == 0, "ftruncate %zu", n);
}

static void op_append(size_t n)
{
	size_t at = s->size;

	if (at + n > FILE_MAX)
		return;
	note("append %zu+%zu", at, n);
	fresh(at, n);
	expect(write(append, buf, n) == (ssize_t)n, "append of %zu", n);
	expect(lseek(append, 0, SEEK_CUR) == (off_t)s->size, "offset after an append");
}

static void op_punch(size_t at, size_t n)
{
	note("punch %zu+%zu", at, n);
	if (at < s->size)
		memset(s->model + at, 0, s->size - at < n ? s->size - at : n);
	expect(fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)at, (off_t)n) == 0,
		"punch %zu+%zu", at, n);
}

static void op_map(size_t at, size_t n, bool writing)
{
	size_t page = at & ~(size_t)4095;
	unsigned char *m;

	if (at >= s->size)
		return;
	if (n > s->size - at)
		n = s->size - at;
	note("%s a map %zu+%zu", writing ? "write to" : "read", at, n);
	m = mmap(NULL, at - page + n, PROT_READ | (writing ? PROT_WRITE : 0), MAP_SHARED, file, (off_t)page);
	if (m == MAP_FAILED) {
		expect(false, "mmap %zu+%zu", at, n);
		return;
	}
	if (writing) {
		fresh(at, n);
		memcpy(m + (at - page), buf, n);
	} else {
		compare(m + (at - page), at, n, "map");
	}
	expect(munmap(m, at - page + n) == 0, "munmap");
}

/* Nothing but zeros lies where SEEK_HOLE and SEEK_DATA say that a hole is. */
static void op_holes(size_t at)
{
	off_t hole, data;

	if (at >= s->size)
		return;
	note("look for holes from %zu", at);
	hole = lseek(file, (off_t)at, SEEK_HOLE);
	expect(hole >= (off_t)at && hole <= (off_t)s->size, "SEEK_HOLE from %zu gave %ld", at, (long)hole);
	data = lseek(file, hole, SEEK_DATA);
	if (data < 0)
		data = (off_t)s->size;
	for (off_t i = hole; i >= 0 && i < data; i++)
		if (s->model[i]) {
			expect(false, "byte %ld lies in the hole %ld to %ld", (long)i, (long)hole,
				(long)data);
			return;
		}
}

static void op_rename(void)
{
	char old[32];

	note("rename file-%u", s->name);
	(void)snprintf(old, sizeof(old), "%s", file_name(s->name));
	s->name++;
	expect(rename(old, file_name(s->name)) == 0, "rename of %s", old);
	expect(access(old, F_OK) == -1 && errno == ENOENT, "%s after its rename", old);
}

static void data_operation(void)
{
	size_t at = below(below(4) ? 80000 : FILE_MAX - 70000), n = 1 + below(below(3) ? 3000 : 65000);
	struct stat st;

	switch (below(16)) {
	case 0:
	case 1:
	case 2:
		op_write(at, n);
		break;
	case 3:
		op_write(at & ~(size_t)4095, (n + 4095) & ~(size_t)4095);
		break;
	case 4:
	case 5:
		op_read(at, n);
		break;
	case 6:
		op_truncate(below(3) ? at : 0);
		break;
	case 7:
	case 8:
		op_append(n % 6000);
		break;
	case 9:
		op_punch(at, n);
		break;
	case 10:
		op_map(at, n, true);
		break;
	case 11:
		op_map(at, n, false);
		break;
	case 12:
		note("fsync and stat");
		expect(fsync(file) == 0, "fsync");
		expect(fstat(file, &st) == 0 && st.st_size == (off_t)s->size, "size %ld, wanted %zu",
			(long)st.st_size, s->size);
		break;
	case 13:
		note("reopen");
		reopen();
		break;
	case 14:
		op_holes(at);
		break;
	default:
		op_rename();
	}
}

/* --- names --- */

static const char *slot_path(unsigned d, unsigned n)
{
	static char path[2][32], *p;

	p = p == path[0] ? path[1] : path[0];
	(void)snprintf(p, sizeof(path[0]), "dir-%u/name-%u", d, n);
	return p;
}

static unsigned links_of(unsigned id)
{
	unsigned n = 0;

	for (unsigned i = 0; i < DIRS * NAMES; i++)
		n += s->slots[i / NAMES][i % NAMES].kind == REGULAR &&
		     s->slots[i / NAMES][i % NAMES].id == id;
	return n;
}

static void outcome(int r, int wanted, const char *what)
{
	int e = r == -1 ? errno : 0;

	expect(e == wanted, "%s ended with %d (%s), wanted %d (%s)", what, e, strerror(e), wanted,
		strerror(wanted));
}

/* What rename(2) answers. */
static int rename_answer(const struct slot *from, const struct slot *to)
{
	if (from->kind == NONE)
		return ENOENT;
	if (to->kind == NONE || from == to)
		return 0;
	if (from->kind == DIRECTORY)
		return to->kind == DIRECTORY ? 0 : ENOTDIR;
	return to->kind == DIRECTORY ? EISDIR : 0;
}

static void op_move(struct slot *a, struct slot *b, const char *from, const char *to)
{
	int answer = rename_answer(a, b);
	bool same = a == b || (a->kind == REGULAR && b->kind == REGULAR && a->id == b->id);

	outcome(rename(from, to), answer, "rename");
	if (answer == 0 && !same) {
		*b = *a;
		a->kind = NONE;
	}
}

static void op_check(const struct slot *a, const char *path)
{
	static const mode_t mode[] = {[REGULAR] = S_IFREG, [DIRECTORY] = S_IFDIR, [SYMLINK] = S_IFLNK};
	struct stat st;
	unsigned id = 0;
	int fd;

	outcome(lstat(path, &st), a->kind == NONE ? ENOENT : 0, "lstat");
	if (a->kind == NONE || s->failed)
		return;
	expect((st.st_mode & S_IFMT) == mode[a->kind], "%s has mode %o", path, st.st_mode);
	if (a->kind != REGULAR)
		return;
	expect(st.st_nlink == links_of(a->id), "%s has %lu links, wanted %u", path,
		(unsigned long)st.st_nlink, links_of(a->id));
	fd = open(path, O_RDONLY);
	expect(read(fd, &id, sizeof(id)) == sizeof(id) && id == a->id, "%s is file %u, wanted %u", path, id,
		a->id);
	close(fd);
}

static void name_operation(void)
{
	unsigned d = below(DIRS), n = below(NAMES), d2 = below(DIRS), n2 = below(NAMES), op = below(8);
	static const char *const words[] = {
		"create", "link", "rename", "rename", "unlink", "mkdir", "symlink", "check"};
	struct slot *a = &s->slots[d][n], *b = &s->slots[d2][n2];
	const char *path = slot_path(d, n), *path2 = slot_path(d2, n2);
	int fd;

	note("%s %s %s", words[op], path, path2);
	switch (op) {
	case 0:
		fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
		outcome(fd, a->kind == NONE ? 0 : EEXIST, "open");
		if (a->kind == NONE) {
			*a = (struct slot){REGULAR, ++s->last_id};
			expect(write(fd, &a->id, sizeof(a->id)) == sizeof(a->id), "write");
			close(fd);
		}
		return;
	case 1:
		outcome(link(path, path2),
			a->kind == NONE	       ? ENOENT
			: b->kind != NONE      ? EEXIST
			: a->kind == DIRECTORY ? EPERM
					       : 0,
			"link");
		if (b->kind == NONE && (a->kind == REGULAR || a->kind == SYMLINK))
			*b = *a;
		return;
	case 2:
	case 3:
		/* Links of one symlink are one file, which rename leaves alone; the model knows only links of files. */
		if (a->kind != SYMLINK || b->kind != SYMLINK)
			op_move(a, b, path, path2);
		return;
	case 4:
		if (a->kind == DIRECTORY)
			outcome(below(2) ? rmdir(path) : unlinkat(AT_FDCWD, path, AT_REMOVEDIR), 0, "rmdir");
		else
			outcome(unlink(path), a->kind == NONE ? ENOENT : 0, "unlink");
		a->kind = NONE;
		return;
	case 5:
		outcome(mkdir(path, 0700), a->kind == NONE ? 0 : EEXIST, "mkdir");
		if (a->kind == NONE)
			a->kind = DIRECTORY;
		return;
	case 6:
		outcome(symlink("to nowhere", path), a->kind == NONE ? 0 : EEXIST, "symlink");
		if (a->kind == NONE)
			a->kind = SYMLINK;
		return;
	default:
		op_check(a, path);
	}
}

/* --- turns --- */

static void take_turns(void (*operation)(void))
{
	int next;

	for (;;) {
		while (sem_wait(&s->turn[me]) == -1 && errno == EINTR)
			;
		if (s->over || s->failed)
			break;
		do {
			operation();
			s->done++;
			next = (int)below(2);
			s->over = s->until ? time(NULL) >= s->until : s->done >= s->wanted;
		} while (next == me && !s->over && !s->failed);
		if (s->over || s->failed)
			break;
		sem_post(&s->turn[next]);
	}
	sem_post(&s->turn[1 - me]);
}

static void two(const char *name, void (*setup)(void), void (*operation)(void), time_t seconds)
{
	int status;
	pid_t pid;

	s->done = 0;
	s->wanted = OPERATIONS;
	s->over = false;
	s->until = seconds ? time(NULL) + seconds : 0;
	sem_init(&s->turn[0], 1, 1);
	sem_init(&s->turn[1], 1, 0);
	fflush(stdout);
	pid = fork();
	me = pid == 0 ? 1 : 0;
	if (setup)
		setup();
	take_turns(operation);
	if (pid == 0)
		_exit(0);
	WANT(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
	if (s->failed)
		want_failures++;
	section(name);
}

static void stripe(unsigned char *b, unsigned who, unsigned i, unsigned round)
{
	for (unsigned k = 0; k < STRIPE; k++)
		b[k] = (unsigned char)(who * 101 + i * 7 + round * 13 + k);
}

/* Both write at the same time; whole blocks are shared, bytes are not. */
static void stripes(void)
{
	unsigned char want_bytes[STRIPE], seen[STRIPE];
	enum { ROUNDS = 3 };
	int status, fd;
	pid_t pid;

	fflush(stdout);
	close(open("stripes", O_WRONLY | O_CREAT, 0600));
	pid = fork();
	me = pid == 0 ? 1 : 0;
	fd = open("stripes", O_RDWR);
	int bad = 0;
	for (unsigned round = 0; round < ROUNDS; round++) {
		for (unsigned i = 0; i < STRIPES; i++) {
			off_t at = (off_t)(i * 2 + (unsigned)me) * STRIPE;

			stripe(want_bytes, (unsigned)me, i, round);
			bad += pwrite(fd, want_bytes, STRIPE, at) != STRIPE;
			bad += pread(fd, seen, STRIPE, at) != STRIPE || memcmp(seen, want_bytes, STRIPE) != 0;
		}
	}
	if (pid == 0)
		_exit(bad ? 1 : 0);
	WANT(bad == 0);
	WANT(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
	for (unsigned i = 0; i < 2 * STRIPES; i++) {
		stripe(want_bytes, i % 2, i / 2, ROUNDS - 1);
		bad += pread(fd, seen, STRIPE, (off_t)i * STRIPE) != STRIPE ||
		       memcmp(seen, want_bytes, STRIPE) != 0;
	}
	WANT(bad == 0);
	close(fd);
	section("both at the same time");
}

static void whole_file(void)
{
	ssize_t n;

	me = 0;
	reopen();
	n = pread(file, buf, FILE_MAX, 0);
	expect(n == (ssize_t)s->size, "the file has %zd bytes, wanted %zu", n, s->size);
	if (n > 0)
		compare(buf, 0, (size_t)n, "end");
	if (s->failed)
		want_failures++;
	section("the file at the end");
}

int main(int argc, char **argv)
{
	time_t seconds = argc > 3 ? atol(argv[3]) : 0;
	char path[32];
	int fd;

	s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (s == MAP_FAILED || chdir(argc > 1 ? argv[1] : ".")) {
		perror("fsx");
		return 1;
	}
	s->random = (argc > 2 ? strtoull(argv[2], NULL, 10) : 1) * 0x9e3779b97f4a7c15ull | 1;
	fd = open(file_name(0), O_WRONLY | O_CREAT | O_EXCL, 0600);
	WANT(fd >= 0);
	close(fd);
	two("two processes, one file", reopen, data_operation, seconds / 2);
	whole_file();
	for (unsigned d = 0; d < DIRS; d++) {
		(void)snprintf(path, sizeof(path), "dir-%u", d);
		WANT(mkdir(path, 0700) == 0);
	}
	two("two processes, one tree of names", NULL, name_operation, seconds / 2);
	for (unsigned i = 0; i < DIRS * NAMES; i++)
		op_check(&s->slots[i / NAMES][i % NAMES], slot_path(i / NAMES, i % NAMES));
	section("the names at the end");
	stripes();
	if (s->failed)
		want_failures++;
	return want_done();
}
