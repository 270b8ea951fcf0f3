/* read, write, lseek, holes, vectors, record locks, flock, mmap, space, synchronisation: XSH, assertion by assertion. */
#include <signal.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include "posix.h"

static char pattern_buf[1 << 20];
/* Not constants, or the compiler warns of exactly what is to be tested. */
static volatile int negative = -1;
static void *volatile nowhere = (void *)8;

static char *pattern(size_t n)
{
	for (size_t i = 0; i < n; i++)
		pattern_buf[i] = (char)(i * 7 + i / 251);
	return pattern_buf;
}

static void positions(void)
{
	char b[64];
	int fd = open("p", O_RDWR | O_CREAT, 0644);

	IS("write: moves the offset", write(fd, "0123456789", 10) == 10 && lseek(fd, 0, SEEK_CUR) == 10);
	IS("pwrite: leaves the offset", pwrite(fd, "ab", 2, 2) == 2 && lseek(fd, 0, SEEK_CUR) == 10);
	IS("pread: leaves the offset",
		pread(fd, b, 4, 1) == 4 && !memcmp(b, "1ab4", 4) && lseek(fd, 0, SEEK_CUR) == 10);
	IS("read: at the end gives 0", read(fd, b, 4) == 0);
	IS("pread: across the end gives what is there", pread(fd, b, 64, 6) == 4);
	ERR("lseek: EINVAL before the beginning", lseek(fd, -1, SEEK_SET), EINVAL);
	ERR("lseek: EINVAL for an unknown whence", lseek(fd, 0, 99), EINVAL);
	IS("lseek: a failure leaves the offset", lseek(fd, 0, SEEK_CUR) == 10);
	IS("lseek: SEEK_END", lseek(fd, -3, SEEK_END) == 7 && read(fd, b, 8) == 3);
	IS("lseek: behind the end makes nothing longer",
		lseek(fd, 1000, SEEK_SET) == 1000 && lseek(fd, 0, SEEK_END) == 10);
	ERR("pread: EINVAL for a negative offset", pread(fd, b, 1, -1), EINVAL);
	ERR("pwrite: EINVAL for a negative offset", pwrite(fd, b, 1, -1), EINVAL);
	struct iovec v[3] = {{b, 3}, {b + 20, 0}, {b + 40, 4}};
	IS("preadv: fills the parts in order",
		preadv(fd, v, 3, 0) == 7 && !memcmp(b, "01a", 3) && !memcmp(b + 40, "b456", 4));
	lseek(fd, 0, SEEK_END);
	IS("writev: writes the parts in order",
		writev(fd, v, 3) == 7 && pread(fd, b, 7, 10) == 7 && !memcmp(b, "01ab456", 7));
	ERR("writev: EINVAL for a negative count", writev(fd, v, negative), EINVAL);
	ERR("read: EFAULT for a bad buffer (Linux)", pread(fd, nowhere, 4, 0), EFAULT);
	ERR("write: EFAULT for a bad buffer (Linux)", pwrite(fd, nowhere, 4, 0), EFAULT);
	close(fd);
}

static void large(void)
{
	size_t n = sizeof(pattern_buf);
	char *back = malloc(n), *p = pattern(n);
	int fd = open("large", O_RDWR | O_CREAT, 0644);
	bool all = true;

	IS("write: a megabyte at once", write(fd, p, n) == (ssize_t)n);
	IS("pread: a megabyte at once", pread(fd, back, n, 0) == (ssize_t)n && !memcmp(back, p, n));
	for (size_t at = 0; at < n; at += 4093)
		all = all && pread(fd, back, 9000, (off_t)at) == (ssize_t)(n - at < 9000 ? n - at : 9000) &&
		      !memcmp(back, p + at, n - at < 9000 ? n - at : 9000);
	IS("pread: at offsets that no block begins at", all);
	all = true;
	for (size_t at = 4000; at < n - 300; at += 8191) {
		memset(p + at, (int)at, 300);
		all = all && pwrite(fd, p + at, 300, (off_t)at) == 300;
	}
	IS("pwrite: across block borders", all && pread(fd, back, n, 0) == (ssize_t)n && !memcmp(back, p, n));
	free(back);
	close(fd);
}

static void holes(void)
{
	struct stat st;
	char b[8];
	int fd = open("h", O_RDWR | O_CREAT, 0644);

	IS("write: far behind the end", pwrite(fd, "end", 3, 10 << 20) == 3);
	IS("fstat: a hole takes no space",
		fstat(fd, &st) == 0 && st.st_size == (10 << 20) + 3 && st.st_blocks * 512 < 1 << 20);
	IS("read: a hole is zeros", pread(fd, b, 4, 5 << 20) == 4 && !memcmp(b, "\0\0\0\0", 4));
	IS("lseek: SEEK_DATA finds the data (Linux)", lseek(fd, 0, SEEK_DATA) == 10 << 20);
	IS("lseek: SEEK_HOLE finds the hole (Linux)", lseek(fd, 0, SEEK_HOLE) == 0);
	IS("lseek: SEEK_HOLE in the last data is the end (Linux)",
		lseek(fd, 10 << 20, SEEK_HOLE) == (10 << 20) + 3);
	ERR("lseek: ENXIO for SEEK_DATA behind the last data (Linux)", lseek(fd, (10 << 20) + 3, SEEK_DATA),
		ENXIO);
	pwrite(fd, pattern(65536), 65536, 0);
	OK("fallocate: punches a hole (Linux)",
		fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4096, 8192));
	IS("fallocate: the hole is zeros, its borders are not (Linux)",
		pread(fd, b, 4, 4096) == 4 && !memcmp(b, "\0\0\0\0", 4) && pread(fd, b, 4, 4092) == 4 &&
			!memcmp(b, pattern_buf + 4092, 4) && pread(fd, b, 4, 12288) == 4 &&
			!memcmp(b, pattern_buf + 12288, 4));
	IS("lseek: SEEK_HOLE finds the punched one (Linux)",
		lseek(fd, 0, SEEK_HOLE) == 4096 && lseek(fd, 4096, SEEK_DATA) == 12288);
	OK("fallocate: punches parts of blocks (Linux)",
		fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 20000, 100));
	IS("fallocate: exactly these bytes (Linux)",
		pread(fd, b, 2, 19999) == 2 && b[0] == pattern_buf[19999] && b[1] == 0 &&
			pread(fd, b, 2, 20099) == 2 && b[0] == 0 && b[1] == pattern_buf[20100]);
	OK("posix_fallocate: behind the end", (errno = posix_fallocate(fd, 11 << 20, 4096)) ? -1 : 0);
	IS("posix_fallocate: makes the file longer", fstat(fd, &st) == 0 && st.st_size == (11 << 20) + 4096);
	ERR("posix_fallocate: EINVAL for length 0", (errno = posix_fallocate(fd, 0, 0)) ? -1 : 0, EINVAL);
	OK("posix_fallocate: where data is", (errno = posix_fallocate(fd, 0, 4096)) ? -1 : 0);
	IS("posix_fallocate: leaves data", pread(fd, b, 4, 0) == 4 && !memcmp(b, pattern_buf, 4));
	close(fd);
}

static void sizes(void)
{
	struct rlimit old, small = {8192, RLIM_INFINITY};
	int fd = open("limit", O_RDWR | O_CREAT, 0644);

	getrlimit(RLIMIT_FSIZE, &old);
	small.rlim_max = old.rlim_max;
	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &small);
	IS("write: RLIMIT_FSIZE cuts a write", write(fd, pattern(10000), 10000) == 8192);
	ERR("write: EFBIG at RLIMIT_FSIZE", write(fd, "x", 1), EFBIG);
	ERR("ftruncate: EFBIG over RLIMIT_FSIZE", ftruncate(fd, 8193), EFBIG);
	setrlimit(RLIMIT_FSIZE, &old);
	signal(SIGXFSZ, SIG_DFL);
	close(fd);
}

/* In a child: does F_SETLK of this kind on this range succeed? */
static bool child_locks(int fd, short type, off_t from, off_t len)
{
	struct flock l = {.l_type = type, .l_whence = SEEK_SET, .l_start = from, .l_len = len};
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0)
		_exit(fcntl(fd, F_SETLK, &l) == 0 ? 0 : errno == EAGAIN || errno == EACCES ? 1 : 2);
	waitpid(pid, &status, 0);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void record_locks(void)
{
	struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 10, .l_len = 10}, q;
	int fd = open("lock", O_RDWR | O_CREAT, 0644), ro = open("lock", O_RDONLY), status;
	pid_t pid;

	ftruncate(fd, 100);
	OK("fcntl: F_SETLK takes a write lock", fcntl(fd, F_SETLK, &l));
	IS("fcntl: another process gets no write lock there", !child_locks(fd, F_WRLCK, 15, 1));
	IS("fcntl: nor a read lock", !child_locks(fd, F_RDLCK, 10, 1));
	IS("fcntl: but one beside it", child_locks(fd, F_WRLCK, 20, 10) && child_locks(fd, F_WRLCK, 0, 10));
	IS("fcntl: and none to the end of the file (length 0)", !child_locks(fd, F_WRLCK, 0, 0));
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		q = l;
		_exit(fcntl(fd, F_GETLK, &q) == 0 && q.l_type == F_WRLCK && q.l_pid == getppid() &&
					q.l_start == 10 && q.l_len == 10
				? 0
				: 1);
	}
	waitpid(pid, &status, 0);
	IS("fcntl: F_GETLK names who holds it", WIFEXITED(status) && WEXITSTATUS(status) == 0);
	l.l_type = F_RDLCK;
	OK("fcntl: turns it into a read lock", fcntl(fd, F_SETLK, &l));
	IS("fcntl: which others may have too",
		child_locks(fd, F_RDLCK, 10, 10) && !child_locks(fd, F_WRLCK, 10, 10));
	l.l_type = F_UNLCK;
	l.l_start = 12;
	l.l_len = 2;
	OK("fcntl: unlocks a part", fcntl(fd, F_SETLK, &l));
	IS("fcntl: exactly that part", child_locks(fd, F_WRLCK, 12, 2) && !child_locks(fd, F_WRLCK, 11, 1) &&
					       !child_locks(fd, F_WRLCK, 14, 1));
	close(open("lock", O_RDONLY));
	IS("close: of any descriptor of the file drops the process's locks", child_locks(fd, F_WRLCK, 0, 0));
	l = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET};
	ERR("fcntl: EBADF for a write lock through a descriptor for reading", fcntl(ro, F_SETLK, &l), EBADF);
	l.l_start = -1;
	ERR("fcntl: EINVAL before the beginning", fcntl(fd, F_SETLK, &l), EINVAL);
	close(fd);
	close(ro);
}

static void whole_locks(void)
{
	int a = open("lock", O_RDWR), b = open("lock", O_RDONLY), c;

	OK("flock: LOCK_EX (Linux)", flock(a, LOCK_EX | LOCK_NB));
	ERR("flock: EWOULDBLOCK for a second open (Linux)", flock(b, LOCK_SH | LOCK_NB), EWOULDBLOCK);
	c = dup(a);
	OK("flock: a duplicate has the same lock (Linux)", flock(c, LOCK_EX | LOCK_NB));
	OK("flock: LOCK_SH instead (Linux)", flock(a, LOCK_SH | LOCK_NB));
	OK("flock: a second LOCK_SH (Linux)", flock(b, LOCK_SH | LOCK_NB));
	ERR("flock: EWOULDBLOCK for LOCK_EX beside LOCK_SH (Linux)", flock(b, LOCK_EX | LOCK_NB),
		EWOULDBLOCK);
	close(a);
	ERR("flock: held while a duplicate is open (Linux)", flock(b, LOCK_EX | LOCK_NB), EWOULDBLOCK);
	close(c);
	OK("flock: free after the last close (Linux)", flock(b, LOCK_EX | LOCK_NB));
	OK("flock: LOCK_UN (Linux)", flock(b, LOCK_UN));
	close(b);
}

static void maps(void)
{
	int fd = open("map", O_RDWR | O_CREAT, 0644), ro, status;
	char *s, *p, b[16];
	pid_t pid;

	ftruncate(fd, 10000);
	s = mmap(NULL, 10000, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (!IS("mmap: shared", s != MAP_FAILED)) {
		close(fd);
		return;
	}
	memcpy(s + 4090, "through the map", 15);
	IS("mmap: what is written to a shared map is read from the file",
		pread(fd, b, 15, 4090) == 15 && !memcmp(b, "through the map", 15));
	pwrite(fd, "THROUGH", 7, 4090);
	IS("mmap: what is written to the file is seen in a shared map",
		!memcmp(s + 4090, "THROUGH the map", 15));
	OK("msync: MS_SYNC", msync(s, 10000, MS_SYNC));
	p = mmap(NULL, 10000, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	IS("mmap: a private map shows the file", p != MAP_FAILED && !memcmp(p + 4090, "THROUGH", 7));
	memcpy(p + 4090, "private", 7);
	IS("mmap: what is written to it stays in it",
		pread(fd, b, 7, 4090) == 7 && !memcmp(b, "THROUGH", 7) && !memcmp(s + 4090, "THROUGH", 7));
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		memcpy(s + 100, "from a child", 12);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	IS("mmap: shared with a child", !memcmp(s + 100, "from a child", 12));
	IS("mmap: the page behind the end of the file's last bytes is zeros", s[10001] == 0 && s[12287] == 0);
	close(fd);
	s[0] = 'S';
	fd = open("map", O_RDWR);
	IS("mmap: outlives the descriptor", pread(fd, b, 1, 0) == 1 && b[0] == 'S');
	munmap(s, 10000);
	munmap(p, 10000);
	ro = open("map", O_RDONLY);
	ERR("mmap: EACCES for shared writing through a descriptor for reading",
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, ro, 0) == MAP_FAILED ? -1 : 0, EACCES);
	ERR("mmap: EINVAL for length 0", mmap(NULL, 0, PROT_READ, MAP_SHARED, ro, 0) == MAP_FAILED ? -1 : 0,
		EINVAL);
	ERR("mmap: EINVAL for an offset inside a page",
		mmap(NULL, 4096, PROT_READ, MAP_SHARED, ro, 100) == MAP_FAILED ? -1 : 0, EINVAL);
	ERR("mmap: EOPNOTSUPP for MAP_SYNC: stores alone make nothing durable (Linux)",
		mmap(NULL, 4096, PROT_READ, MAP_SHARED_VALIDATE | MAP_SYNC, ro, 0) == MAP_FAILED ? -1 : 0,
		EOPNOTSUPP);
	s = mmap(NULL, 4096, PROT_READ, MAP_SHARED, ro, 4096);
	IS("mmap: at an offset", s != MAP_FAILED && !memcmp(s, "H the map", 9));
	munmap(s, 4096);
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		s = mmap(NULL, 20000, PROT_READ, MAP_SHARED, ro, 0);
		_exit(*(volatile char *)(s + 16384));
	}
	waitpid(pid, &status, 0);
	IS("mmap: SIGBUS behind the last page", WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
	close(ro);
	close(fd);
}

static void copies(void)
{
	int in = open("large", O_RDONLY), out = open("copy", O_RDWR | O_CREAT | O_TRUNC, 0644);
	loff_t from = 1000, to = 5;
	off_t at = 3000;
	char a[500], b[500];

	IS("copy_file_range: copies (Linux)", copy_file_range(in, &from, out, &to, 500, 0) == 500);
	IS("copy_file_range: what and where it should (Linux)",
		from == 1500 && to == 505 && pread(in, a, 500, 1000) == 500 && pread(out, b, 500, 5) == 500 &&
			!memcmp(a, b, 500));
	lseek(out, 0, SEEK_END);
	IS("sendfile: copies (Linux)", sendfile(out, in, &at, 500) == 500 && at == 3500);
	IS("sendfile: what and where it should (Linux)",
		pread(in, a, 500, 3000) == 500 && pread(out, b, 500, 505) == 500 && !memcmp(a, b, 500));
	close(in);
	close(out);
}

static void synchronised(void)
{
	int fd = open("sync", O_RDWR | O_CREAT | O_DSYNC, 0644), d = open(".", O_RDONLY | O_DIRECTORY);

	IS("write: O_DSYNC", write(fd, "durable", 7) == 7);
	OK("fsync: a file", fsync(fd));
	OK("fdatasync: a file", fdatasync(fd));
	OK("fsync: a directory", fsync(d));
	ERR("fsync: EBADF", fsync(999), EBADF);
	IS("write: a file that was synchronised is as before", posix_holds("sync", "durable"));
	close(fd);
	close(d);
}

/* O_APPEND of several processes: every record whole, none lost. */
static void appends(void)
{
	enum { PROCESSES = 4, RECORDS = 500, SIZE = 37 };
	char r[SIZE + 1], *all;
	unsigned count[PROCESSES] = {0};
	bool ordered = true;
	ssize_t n;
	int fd;

	fflush(stdout);
	for (int p = 0; p < PROCESSES; p++) {
		if (fork() == 0) {
			fd = open("append", O_WRONLY | O_CREAT | O_APPEND, 0644);
			for (unsigned i = 0; i < RECORDS; i++) {
				(void)snprintf(
					r, sizeof(r), "%d %05u %.*s\n", p, i, SIZE - 9, posix_name(64));
				if (write(fd, r, SIZE) != SIZE)
					_exit(1);
			}
			_exit(0);
		}
	}
	bool good = true;
	for (int p = 0, status; p < PROCESSES; p++)
		good = wait(&status) > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0 && good;
	IS("write: four processes append", good);
	all = malloc(PROCESSES * RECORDS * SIZE + 1);
	fd = open("append", O_RDONLY);
	n = read(fd, all, PROCESSES * RECORDS * SIZE + 1);
	IS("write: O_APPEND loses nothing", n == PROCESSES * RECORDS * SIZE);
	for (ssize_t at = 0; at + SIZE <= n; at += SIZE) {
		unsigned p = 99, i = 0;

		ordered = ordered && sscanf(all + at, "%u %05u", &p, &i) == 2 && p < PROCESSES &&
			  count[p] == i && all[at + SIZE - 1] == '\n';
		if (p < PROCESSES)
			count[p]++;
	}
	IS("write: O_APPEND keeps every record whole and each process's in order", ordered);
	free(all);
	close(fd);
}

int main(int argc, char **argv)
{
	posix_begin(argc, argv, "io");
	positions();
	large();
	holes();
	sizes();
	record_locks();
	whole_locks();
	maps();
	copies();
	synchronised();
	appends();
	return posix_end();
}
