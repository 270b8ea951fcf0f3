/* Files: what a passed-through program does to the file system, in its own working directory. */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>
#include "want.h"

static void basics(void)
{
	char b[64] = "";
	struct stat st;
	int fd = open("a", O_RDWR | O_CREAT | O_EXCL, 0640);

	WANT(fd >= 0);
	FAILS(open("a", O_RDWR | O_CREAT | O_EXCL, 0640), EEXIST);
	FAILS(open("absent", O_RDONLY), ENOENT);
	FAILS(open("a/b", O_RDONLY), ENOTDIR);
	FAILS(open("a", O_RDONLY | O_DIRECTORY), ENOTDIR);
	WANT(write(fd, "hello world", 11) == 11);
	WANT(lseek(fd, 6, SEEK_SET) == 6 && read(fd, b, sizeof(b)) == 5 && memcmp(b, "world", 5) == 0);
	WANT(pread(fd, b, 5, 0) == 5 && memcmp(b, "hello", 5) == 0 && lseek(fd, 0, SEEK_CUR) == 11);
	WANT(pwrite(fd, "J", 1, 0) == 1);
	struct iovec iov[2] = {{"ab", 2}, {"cd", 2}};
	WANT(writev(fd, iov, 2) == 4);
	WANT(fstat(fd, &st) == 0 && st.st_size == 15 && (st.st_mode & 07777) == 0640 && st.st_nlink == 1);
	WANT(ftruncate(fd, 1 << 20) == 0 && fstat(fd, &st) == 0 && st.st_size == 1 << 20);
	WANT(lseek(fd, 0, SEEK_DATA) == 0 && lseek(fd, 0, SEEK_HOLE) > 0);
	WANT(fsync(fd) == 0 && fdatasync(fd) == 0);
	WANT(fchmod(fd, 0600) == 0 && stat("a", &st) == 0 && (st.st_mode & 07777) == 0600);
	struct timespec ts[2] = {{1000, 5}, {2000, 7}};
	WANT(futimens(fd, ts) == 0 && fstat(fd, &st) == 0 && st.st_mtim.tv_sec == 2000 &&
		st.st_mtim.tv_nsec == 7);
	struct statx sx;
	WANT(statx(AT_FDCWD, "a", 0, STATX_SIZE, &sx) == 0 && sx.stx_size == 1 << 20);
	WANT(close(fd) == 0);
	FAILS(close(fd), EBADF);
	FAILS(read(fd, b, 1), EBADF);
}

static void append(void)
{
	int fd = open("log", O_WRONLY | O_CREAT | O_APPEND, 0600), fd2 = open("log", O_WRONLY | O_APPEND);
	char b[16];

	WANT(write(fd, "1", 1) == 1 && write(fd2, "2", 1) == 1 && write(fd, "3", 1) == 1);
	close(fd);
	close(fd2);
	fd = open("log", O_RDONLY);
	WANT(read(fd, b, sizeof(b)) == 3 && memcmp(b, "123", 3) == 0);
	FAILS(write(fd, "x", 1), EBADF);
	close(fd);
}

static void names(void)
{
	char b[PATH_MAX], cwd[PATH_MAX];
	struct stat st;

	WANT(mkdir("d", 0755) == 0);
	FAILS(mkdir("d", 0755), EEXIST);
	WANT(link("a", "d/hard") == 0 && stat("a", &st) == 0 && st.st_nlink == 2);
	WANT(symlink("../a", "d/soft") == 0);
	WANT(readlink("d/soft", b, sizeof(b)) == 4 && memcmp(b, "../a", 4) == 0);
	WANT(lstat("d/soft", &st) == 0 && S_ISLNK(st.st_mode));
	WANT(rename("d/hard", "d/hard2") == 0 && access("d/hard", F_OK) == -1 && errno == ENOENT);
	FAILS(rmdir("d"), ENOTEMPTY);
	WANT(symlink("loop", "loop") == 0);
	FAILS(open("loop", O_RDONLY), ELOOP);
	FAILS(open("d/soft", O_RDONLY | O_NOFOLLOW), ELOOP);
	int d = open("d", O_RDONLY | O_DIRECTORY), fd;
	WANT((fd = openat(d, "../a", O_RDONLY)) >= 0);
	close(fd);
	WANT(mkdirat(d, "sub", 0700) == 0 && unlinkat(d, "sub", AT_REMOVEDIR) == 0);
	WANT(getcwd(cwd, sizeof(cwd)) != NULL);
	FAILS(getcwd(b, 2) ? 0 : -1, ERANGE);
	WANT(fchdir(d) == 0 && access("hard2", R_OK) == 0 && chdir("..") == 0 && getcwd(b, sizeof(b)) &&
		strcmp(b, cwd) == 0);
	close(d);
	memset(b, 'x', sizeof(b) - 1);
	b[sizeof(b) - 1] = 0;
	FAILS(open(b, O_RDONLY), ENAMETOOLONG);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void directory(void)
{
	char *list[300];
	int n = 0;
	struct dirent *e;

	WANT(mkdir("many", 0755) == 0);
	for (int i = 0; i < 200; i++) {
		char p[32];
		snprintf(p, sizeof(p), "many/file-%03d", i);
		close(open(p, O_CREAT | O_WRONLY, 0600));
	}
	DIR *dir = opendir("many");
	WANT(dir != NULL);
	while (dir && (e = readdir(dir)) && n < 300)
		list[n++] = strdup(e->d_name);
	closedir(dir);
	qsort(list, (size_t)n, sizeof(*list), by_name);
	printf("%d entries, first %s, last %s\n", n, list[0], list[n - 1]);
}

static void descriptors(void)
{
	int fd = open("a", O_RDWR | O_CLOEXEC), p[2];
	struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 10};

	WANT(fcntl(fd, F_GETFD) == FD_CLOEXEC);
	int d = dup(fd);
	WANT(fcntl(d, F_GETFD) == 0);
	WANT(lseek(d, 77, SEEK_SET) == 77 && lseek(fd, 0, SEEK_CUR) == 77); /* one file description */
	WANT(dup2(fd, 20) == 20 && dup3(fd, 21, O_CLOEXEC) == 21 && fcntl(21, F_GETFD) == FD_CLOEXEC);
	FAILS(dup3(fd, fd, 0), EINVAL);
	WANT(dup2(fd, fd) == fd);
	WANT(fcntl(fd, F_DUPFD, 30) == 30 && fcntl(fd, F_DUPFD_CLOEXEC, 30) == 31);
	WANT((fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDWR);
	WANT(fcntl(fd, F_SETLK, &l) == 0 && flock(fd, LOCK_EX | LOCK_NB) == 0);
	for (int i = 20; i < 32; i++)
		close(i);
	close(d);
	WANT(pipe2(p, O_NONBLOCK) == 0);
	FAILS(read(p[0], &l, 1), EAGAIN);
	close(p[0]);
	close(p[1]);
	close(fd);
	FAILS(fcntl(fd, F_GETFD), EBADF);
	int lowest = open("a", O_RDONLY);
	WANT(lowest == fd); /* the lowest free number, as POSIX says */
	close(lowest);
	printf("first free descriptor %d\n", lowest);
}

static void mapping(void)
{
	int fd = open("map", O_RDWR | O_CREAT, 0600);
	char b[8];

	WANT(ftruncate(fd, 3 * 4096) == 0);
	char *s = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	char *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 4096);
	WANT(s != MAP_FAILED && p != MAP_FAILED);
	strcpy(s + 4096, "shared");
	WANT(pread(fd, b, 6, 4096) == 6 && memcmp(b, "shared", 6) == 0);
	WANT(memcmp(p, "shared", 6) == 0);
	p[0] = 'X';
	WANT(s[4096] == 's');
	WANT(msync(s, 3 * 4096, MS_SYNC) == 0 && munmap(s, 3 * 4096) == 0 && munmap(p, 4096) == 0);
	FAILS(mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 1) == MAP_FAILED ? -1 : 0, EINVAL);
	FAILS(mmap(NULL, 0, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED ? -1 : 0, EINVAL);
	close(fd);
	FAILS(mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED ? -1 : 0, EBADF);
	/* Unlinked while open: the data stays until the last close. */
	fd = open("gone", O_RDWR | O_CREAT, 0600);
	WANT(unlink("gone") == 0 && write(fd, "still", 5) == 5 && pread(fd, b, 5, 0) == 5 &&
		memcmp(b, "still", 5) == 0);
	close(fd);
}

static void copies(void)
{
	int in = open("log", O_RDONLY), out = open("copy", O_RDWR | O_CREAT, 0600);
	off_t off = 0;
	char b[8];
	int p[2];

	WANT(sendfile(out, in, &off, 3) == 3 && off == 3);
	off = 0;
	WANT(copy_file_range(in, &off, out, NULL, 2, 0) == 2);
	WANT(pread(out, b, 8, 0) == 5 && memcmp(b, "12312", 5) == 0);
	WANT(pipe(p) == 0);
	off = 1;
	WANT(splice(in, &off, p[1], NULL, 2, 0) == 2 && read(p[0], b, 8) == 2 && memcmp(b, "23", 2) == 0);
	close(p[0]);
	close(p[1]);
	/* The same through the descriptor's name in /proc. */
	char path[64];
	snprintf(path, sizeof(path), "/proc/self/fd/%d", in);
	int again = open(path, O_RDONLY);
	WANT(again >= 0 && read(again, b, 8) == 3);
	char target[PATH_MAX], want_path[PATH_MAX];
	ssize_t n = readlink(path, target, sizeof(target) - 1);
	target[n > 0 ? n : 0] = 0;
	WANT(realpath("log", want_path) && strcmp(target, want_path) == 0);
	snprintf(path, sizeof(path), "/dev/fd/%d", in);
	WANT(access(path, R_OK) == 0);
	close(again);
	close(in);
	close(out);
}

int main(void)
{
	umask(022);
	section("basics");
	basics();
	section("append");
	append();
	section("names");
	names();
	section("directory");
	directory();
	section("descriptors");
	descriptors();
	section("mapping");
	mapping();
	section("copies");
	copies();
	return want_done();
}
