/*
 * files: what programs do with files, timed by the program itself. Prints one number.
 *
 * files write DIR MIB        one file, 64 KiB at a time, then fsync: MiB/s
 * files read DIR MIB         the same file, 64 KiB at a time: MiB/s
 * files pread DIR MIB N      N times 4 KiB at random places of a file of MIB, which was read once before: ns a call
 * files pwrite DIR MIB N     N times 4 KiB at random places, fsync after each: calls/s
 * files create DIR N         N files of 1 KiB in one directory: open, write, close: files/s
 * files stat DIR N           stat of each of them: ns a call
 * files unlink DIR N         and away with them: files/s
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define CHUNK 65536
#define BLOCK 4096
#define SMALL 1024

static unsigned char data[CHUNK];
static const char *dir;

static void fail(const char *what, const char *path)
{
	fprintf(stderr, "files: error: %s %s: %s\n", what, path, strerror(errno));
	exit(1);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static uint32_t next_random(void)
{
	static uint64_t state = 88172645463325252ULL;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t)(state >> 32);
}

static int open_big(int flags)
{
	char path[4096];
	int fd;

	snprintf(path, sizeof(path), "%s/big", dir);
	fd = open(path, flags, 0600);
	if (fd < 0)
		fail("open", path);
	return fd;
}

static void fill(int fd, long mib)
{
	for (long i = 0; i < mib * (1048576 / CHUNK); i++) {
		memcpy(data, &i, sizeof(i));
		if (write(fd, data, CHUNK) != CHUNK)
			fail("write", "big");
	}
	if (fsync(fd))
		fail("fsync", "big");
}

static long pass_over(int fd)
{
	long got, all = 0;

	while ((got = read(fd, data, CHUNK)) > 0)
		all += got;
	if (got < 0)
		fail("read", "big");
	return all;
}

static double write_big(long mib)
{
	int fd = open_big(O_CREAT | O_TRUNC | O_WRONLY);
	double began = now();

	fill(fd, mib);
	return (double)mib / (now() - began);
}

static double read_big(long mib)
{
	int fd = open_big(O_RDONLY);
	double began = now();

	if (pass_over(fd) != mib * 1048576) {
		errno = EIO;
		fail("length of", "big");
	}
	return (double)mib / (now() - began);
}

static double pread_random(long mib, long n)
{
	int fd = open_big(O_CREAT | O_TRUNC | O_RDWR);
	long blocks = mib * (1048576 / BLOCK);
	double began;

	fill(fd, mib);
	if (lseek(fd, 0, SEEK_SET) < 0 || pass_over(fd) != mib * 1048576)
		fail("read", "big");
	began = now();
	for (long i = 0; i < n; i++)
		if (pread(fd, data, BLOCK, (off_t)(next_random() % blocks) * BLOCK) != BLOCK)
			fail("pread", "big");
	return (now() - began) * 1e9 / (double)n;
}

static double pwrite_random(long mib, long n)
{
	int fd = open_big(O_CREAT | O_TRUNC | O_RDWR);
	long blocks = mib * (1048576 / BLOCK);
	double began;

	fill(fd, mib);
	began = now();
	for (long i = 0; i < n; i++) {
		memcpy(data, &i, sizeof(i));
		if (pwrite(fd, data, BLOCK, (off_t)(next_random() % blocks) * BLOCK) != BLOCK || fsync(fd))
			fail("pwrite", "big");
	}
	return (double)n / (now() - began);
}

static double each(const char *what, long n)
{
	char path[4096];
	struct stat st;
	double began = now(), took;

	for (long i = 0; i < n; i++) {
		int fd, bad;

		snprintf(path, sizeof(path), "%s/small-%ld", dir, i);
		switch (*what) {
		case 'c':
			fd = open(path, O_CREAT | O_EXCL | O_WRONLY, 0600);
			bad = fd < 0 || write(fd, data, SMALL) != SMALL || close(fd);
			break;
		case 's':
			bad = stat(path, &st) || st.st_size != SMALL;
			break;
		default:
			bad = unlink(path);
		}
		if (bad)
			fail(what, path);
	}
	took = now() - began;
	return *what == 's' ? took * 1e9 / (double)n : (double)n / took;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	long first = argc > 3 ? atol(argv[3]) : 0, second = argc > 4 ? atol(argv[4]) : 0;
	double figure;

	if (first <= 0)
		return fprintf(stderr, "usage: files WHAT DIR NUMBER [NUMBER]\n"), 2;
	dir = argv[2];
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (unsigned char)next_random();
	if (!strcmp(what, "write"))
		figure = write_big(first);
	else if (!strcmp(what, "read"))
		figure = read_big(first);
	else if (!strcmp(what, "pread"))
		figure = pread_random(first, second);
	else if (!strcmp(what, "pwrite"))
		figure = pwrite_random(first, second);
	else if (!strcmp(what, "create") || !strcmp(what, "stat") || !strcmp(what, "unlink"))
		figure = each(what, first);
	else
		return fprintf(stderr, "files: %s: no such work\n", what), 2;
	printf("%.3f\n", figure);
	return 0;
}
