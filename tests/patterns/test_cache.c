/*
 * test_cache: plans are found again by identity, survive being handed over, and damaged bytes are refused.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "core/buf.h"
#include "runtime/x86_64/rewrite_cache.h"
#include "runtime/x86_64/rewrite_elf.h"

static int failures;

static void same(const char *what, long seen, long wanted)
{
	if (seen == wanted)
		return;
	printf("FAIL: %s: %ld, expected %ld\n", what, seen, wanted);
	failures++;
}

static const char path[] = "/lib64/ld-linux-x86-64.so.2";
static struct stat st;
static uint64_t off;
static size_t len;
static int fd;

static void open_file(void)
{
	struct elf_ranges e;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0 ||
		elf_ranges_open(&e, (struct elf_source){.fd = fd, .size = (uint64_t)st.st_size}) < 0)
		exit(1);
	for (size_t i = 0; i < e.seg_count; i++) {
		if (!e.segs[i].exec)
			continue;
		off = e.segs[i].off;
		len = e.segs[i].filesz;
	}
	elf_ranges_close(&e);
}

static bool plans_equal(const struct rewrite_plan *a, const struct rewrite_plan *b)
{
	return a->len == b->len && a->count == b->count &&
	       memcmp(a->outcomes, b->outcomes, sizeof a->outcomes) == 0 &&
	       memcmp(a->sites, b->sites, a->count * sizeof a->sites[0]) == 0;
}

/* In a process with an empty cache: what the other side encoded answers without the file. */
static int successor(int from)
{
	struct rewrite_plan *fresh;
	const struct rewrite_plan *plan;
	static uint8_t bytes[1 << 20];
	struct stat other = st;
	size_t n = 0;
	ssize_t got;

	while ((got = read(from, bytes + n, sizeof bytes - n)) > 0)
		n += (size_t)got;
	same("empty before", rewrite_plan_get(-1, &st, off, len, &plan), -EIO);
	same("decode", rewrite_cache_decode(bytes, n), 0);
	same("decode again", rewrite_cache_decode(bytes, n), 0);
	same("hit without the file", rewrite_plan_get(-1, &st, off, len, &plan), 0);
	same("build", rewrite_plan_build(fd, &st, off, len, &fresh), 0);
	same("equal", plans_equal(plan, fresh), 1);
	rewrite_plan_put(plan);
	free(fresh);

	other.st_mtim.tv_nsec ^= 1;
	same("another time of modification", rewrite_plan_get(-1, &other, off, len, &plan), -EIO);
	other = st;
	other.st_ctim.tv_nsec ^= 1;
	same("another time of change", rewrite_plan_get(-1, &other, off, len, &plan), -EIO);
	other = st;
	other.st_ino++;
	same("another inode", rewrite_plan_get(-1, &other, off, len, &plan), -EIO);
	other = st;
	other.st_size++;
	same("another size", rewrite_plan_get(-1, &other, off, len, &plan), -EIO);
	same("another offset", rewrite_plan_get(-1, &st, off + 4096, len, &plan), -EIO);
	same("another length", rewrite_plan_get(-1, &st, off, len - 1, &plan), -EIO);
	return failures;
}

static void hand_over(void)
{
	const struct rewrite_plan *plan;
	int p[2], status = 0;
	struct buf b;
	pid_t pid;

	if (pipe(p) < 0)
		exit(1);
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		close(p[1]);
		status = successor(p[0]);
		fflush(stdout);
		_exit(status ? 1 : 0);
	}
	close(p[0]);
	same("get", rewrite_plan_get(fd, &st, off, len, &plan), 0);
	same("sites", plan->count > 10, 1);
	rewrite_plan_put(plan);
	buf_init(&b, 1 << 20);
	rewrite_cache_encode(&b);
	same("write", write(p[1], b.data, b.len), (long)b.len);
	close(p[1]);
	waitpid(pid, &status, 0);
	same("successor", WIFEXITED(status) ? WEXITSTATUS(status) : -1, 0);
	buf_free(&b);
}

/* Whatever one changed byte or one missing piece does: an answer, and sites that stay inside their range. */
static void damage(void)
{
	long refused = 0, taken = 0;
	struct buf b;

	buf_init(&b, 1 << 20);
	rewrite_cache_encode(&b);
	for (size_t i = 0; i < b.len; i++) {
		uint8_t *copy = malloc(b.len);
		int err;

		memcpy(copy, b.data, b.len);
		copy[i] ^= (uint8_t)(1u << i % 8);
		err = rewrite_cache_decode(copy, b.len);
		same("damaged", err == 0 || err == -EINVAL, 1);
		refused += err != 0;
		taken += err == 0;
		free(copy);
	}
	for (size_t n = 0; n < b.len; n++) {
		uint8_t *copy = malloc(n ? n : 1);

		memcpy(copy, b.data, n);
		same("cut short", rewrite_cache_decode(copy, n), -EINVAL);
		free(copy);
	}
	printf("%zu bytes: %ld changes refused, %ld taken for another file's plan\n", b.len, refused, taken);
	buf_free(&b);
}

/* Where the last site of the only plan begins in the encoded cache: head, key, outcomes, count, sites. */
static size_t last_site(const struct buf *b)
{
	return b->len - sizeof(struct rewrite_site);
}

static void refuse(const struct buf *b, const char *what, const struct rewrite_site *site)
{
	uint8_t *copy = malloc(b->len);

	memcpy(copy, b->data, b->len);
	memcpy(copy + last_site(b), site, sizeof *site);
	same(what, rewrite_cache_decode(copy, b->len), -EINVAL);
	free(copy);
}

/* Sites that would make rewrite_apply write where it must not. */
static void impossible_sites(void)
{
	static const uint8_t tail[] = {0x0f, 0x05, 0x48, 0x3d, 0x01, 0xf0, 0xff, 0xff},
			     mov[] = {0xb8, 1, 0, 0, 0, 0x0f, 0x05};
	struct rewrite_site good = {.off = (uint32_t)len - 8, .form = REWRITE_TAIL, .len = 8, .bounds = 5}, s;
	struct buf b;

	buf_init(&b, 1 << 20);
	rewrite_cache_encode(&b);
	memcpy(good.bytes, tail, sizeof tail);
	s = good;
	s.off = (uint32_t)len - 7;
	refuse(&b, "window behind the end", &s);
	s.off = UINT32_MAX;
	refuse(&b, "window far behind the end", &s);
	s.off = 0;
	refuse(&b, "descending", &s);
	s = good;
	s.len = REWRITE_WINDOW_MAX + 1;
	refuse(&b, "window too long", &s);
	s.len = 4;
	refuse(&b, "window too short", &s);
	s = good;
	s.bounds = 4;
	refuse(&b, "no start", &s);
	s.bounds = 1;
	refuse(&b, "nothing behind the call", &s);
	s.bounds = 0x105;
	refuse(&b, "start behind the window", &s);
	s = good;
	s.bytes[1] = 0x0b;
	refuse(&b, "no system call", &s);
	s = (struct rewrite_site){.off = (uint32_t)len - 6, .form = REWRITE_MOV, .len = 5, .bounds = 1};
	memcpy(s.bytes, mov, sizeof mov);
	refuse(&b, "call behind the end", &s);
	s.off--;
	s.bytes[0] = 0xb9;
	refuse(&b, "another mov", &s);
	s.bytes[0] = 0xb8;
	s.form = 3;
	refuse(&b, "unknown form", &s);
	buf_free(&b);
}

/* More files than the cache holds: it stays bounded, and a plan in use outlives its eviction. */
static void overflow(void)
{
	const struct rewrite_plan *held, *plan;
	uint64_t want = off;
	struct stat other = st;
	struct rewrite_plan *fresh;
	struct buf b;

	same("held", rewrite_plan_get(fd, &st, off, len, &held), 0);
	same("build", rewrite_plan_build(fd, &st, off, len, &fresh), 0);
	for (unsigned i = 0; i < REWRITE_CACHE_PLANS + 50; i++) {
		other.st_ino = 1000000 + i;
		same("get", rewrite_plan_get(fd, &other, want, 4096, &plan), 0);
		rewrite_plan_put(plan);
	}
	same("evicted", rewrite_plan_get(-1, &st, off, len, &plan), -EIO);
	same("still there for its user", plans_equal(held, fresh), 1);
	rewrite_plan_put(held);
	buf_init(&b, REWRITE_CACHE_BYTES + (1u << 20));
	rewrite_cache_encode(&b);
	same("bounded", !b.failed && b.len <= REWRITE_CACHE_BYTES + REWRITE_CACHE_PLANS * 128, 1);
	buf_free(&b);
	free(fresh);
}

int main(void)
{
	open_file();
	hand_over();
	impossible_sites();
	damage();
	overflow();
	printf("%d failed\n", failures);
	return failures ? 1 : 0;
}
