#include "host/arena.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/memfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include "host/host.h"

#define MAGIC 0x31414e4552415353ULL
#define PAGE 4096UL
#define WAITERS 0x80000000u
#define SLOT_BITS 16
#define SPINS 200
#define PATIENCE 100000000L /* ns after which a waiter asks whether the holder lives */
#define HIDE_MOST 4096 /* numbers beyond make every fork copy a long table */
#define HIDE_BELOW 24 /* numbers right below the limit, where there is no room above */

struct head {
	uint64_t magic, len;
	uint16_t incarnation[ARENA_SLOTS]; /* 15 bits of it count */
};
static_assert(sizeof(struct head) <= ARENA_HEAD, "the caller's bytes come behind it");
static_assert(ARENA_SLOTS < 1 << SLOT_BITS, "a slot and one fit");

static struct head *head_of(const struct arena *a)
{
	return (struct head *)a->base;
}

static int map(struct arena *a, int fd, size_t len)
{
	long at = host_mmap(
		(void *)ARENA_BASE, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED_NOREPLACE, fd, 0);

	if (host_failed(at))
		return (int)at;
	if ((unsigned long)at != ARENA_BASE) {
		host_munmap((void *)at, len);
		return -EEXIST;
	}
	host_call3(SYS_madvise, at, (long)len, MADV_DONTDUMP);
	*a = (struct arena){.fd = fd, .base = (uint8_t *)at, .len = len};
	return 0;
}

int arena_create(struct arena *a, size_t len)
{
	long fd = host_call2(SYS_memfd_create, (long)"openscone-arena", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int rc;

	if (host_failed(fd))
		return (int)fd;
	len = (len + PAGE - 1) & ~(PAGE - 1);
	rc = (int)host_call2(SYS_ftruncate, fd, (long)len);
	if (!rc)
		rc = (int)host_call3(SYS_fcntl, fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
	if (!rc)
		rc = arena_hide((int)fd);
	else
		host_close((int)fd);
	if (rc < 0)
		return rc;
	fd = rc;
	rc = map(a, (int)fd, len);
	if (rc) {
		host_close((int)fd);
		return rc;
	}
	head_of(a)->len = len;
	head_of(a)->magic = MAGIC;
	return 0;
}

int arena_attach(struct arena *a, int fd)
{
	struct stat st;
	int rc = (int)host_fstat(fd, &st);

	if (rc)
		return rc;
	if (!S_ISREG(st.st_mode) || st.st_size < (off_t)ARENA_HEAD)
		return -EBADMSG;
	rc = map(a, fd, (size_t)st.st_size);
	if (rc)
		return rc;
	if (head_of(a)->magic != MAGIC || head_of(a)->len != (uint64_t)st.st_size) {
		host_munmap(a->base, a->len);
		return -EBADMSG;
	}
	return 0;
}

void arena_drop(struct arena *a)
{
	host_munmap(a->base, a->len);
	host_close(a->fd);
	*a = (struct arena){.fd = -1};
}

/* --- who lives --- */

static long record_lock(const struct arena *a, int cmd, int type, off_t first, off_t n, struct flock *ret)
{
	struct flock l = {.l_type = (short)type, .l_whence = SEEK_SET, .l_start = first, .l_len = n};
	long rc = host_call3(SYS_fcntl, a->fd, cmd, (long)&l);

	if (ret)
		*ret = l;
	return rc;
}

int arena_take(const struct arena *a, uint32_t slot)
{
	long rc;

	if (slot >= ARENA_SLOTS)
		return -EINVAL;
	rc = record_lock(a, F_SETLK, F_WRLCK, slot, 1, NULL);
	if (rc)
		return rc == -EACCES ? -EAGAIN : (int)rc;
	__atomic_add_fetch(&head_of(a)->incarnation[slot], 1, __ATOMIC_SEQ_CST);
	return 0;
}

void arena_give(const struct arena *a, uint32_t slot)
{
	__atomic_add_fetch(&head_of(a)->incarnation[slot], 1, __ATOMIC_SEQ_CST);
	record_lock(a, F_SETLK, F_UNLCK, slot, 1, NULL);
}

/* What cannot be found out counts as alive: a wait is better than two holders. */
static bool is_free(const struct arena *a, off_t first, off_t n)
{
	struct flock l;

	return n == 0 || (record_lock(a, F_GETLK, F_WRLCK, first, n, &l) == 0 && l.l_type == F_UNLCK);
}

bool arena_alive(const struct arena *a, uint32_t self, uint32_t slot)
{
	return slot == self || (slot < ARENA_SLOTS && !is_free(a, slot, 1));
}

int arena_await_alone(const struct arena *a)
{
	return (int)record_lock(a, F_SETLKW, F_WRLCK, 0, ARENA_SLOTS, NULL);
}

bool arena_alone_with(const struct arena *a, uint32_t self, uint32_t other)
{
	uint32_t lower = self < other ? self : other, upper = self < other ? other : self;

	return is_free(a, 0, lower) && is_free(a, lower + 1, upper > lower ? upper - lower - 1 : 0) &&
	       is_free(a, upper + 1, ARENA_SLOTS - upper - 1);
}

/* --- locks --- */

static uint32_t holder_word(const struct arena *a, uint32_t self)
{
	uint32_t inc = __atomic_load_n(&head_of(a)->incarnation[self], __ATOMIC_RELAXED) & 0x7fff;

	return (self + 1) | inc << SLOT_BITS;
}

static bool holder_dead(const struct arena *a, uint32_t self, uint32_t word)
{
	uint32_t slot = (word & ((1u << SLOT_BITS) - 1)) - 1;

	if (slot >= ARENA_SLOTS)
		return true;
	return holder_word(a, slot) != (word & ~WAITERS) || !arena_alive(a, self, slot);
}

/* The slow way: sleep until it is free, or take it from the dead. */
static int lock_contended(const struct arena *a, uint32_t self, uint32_t me, struct arena_lock *l)
{
	for (;;) {
		uint32_t seen = __atomic_load_n(&l->word, __ATOMIC_RELAXED);

		if (seen == 0) {
			if (__atomic_compare_exchange_n(
				    &l->word, &seen, me | WAITERS, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
				return 0;
			continue;
		}
		if (!(seen & WAITERS) && !__atomic_compare_exchange_n(&l->word, &seen, seen | WAITERS, false,
						 __ATOMIC_RELAXED, __ATOMIC_RELAXED))
			continue;
		seen |= WAITERS;
		if (arena_wait(&l->word, seen, PATIENCE) != -ETIMEDOUT || !holder_dead(a, self, seen))
			continue;
		if (__atomic_compare_exchange_n(
			    &l->word, &seen, me | WAITERS, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
			return -EOWNERDEAD;
	}
}

int arena_lock(const struct arena *a, uint32_t self, struct arena_lock *l)
{
	uint32_t me = holder_word(a, self);

	for (int i = 0; i < SPINS; i++) {
		uint32_t seen = 0;

		if (__atomic_compare_exchange_n(
			    &l->word, &seen, me, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
			return 0;
		if (seen & WAITERS)
			break;
		__builtin_ia32_pause();
	}
	return lock_contended(a, self, me, l);
}

void arena_unlock(struct arena_lock *l)
{
	if (__atomic_exchange_n(&l->word, 0, __ATOMIC_RELEASE) & WAITERS)
		host_call3(SYS_futex, (long)&l->word, FUTEX_WAKE, 1);
}

long arena_wait(const uint32_t *word, uint32_t value, int64_t timeout)
{
	struct timespec t = {.tv_sec = timeout / 1000000000, .tv_nsec = timeout % 1000000000};

	return host_call4(SYS_futex, (long)word, FUTEX_WAIT, (long)value, (long)&t);
}

void arena_wake(const uint32_t *word)
{
	host_call3(SYS_futex, (long)word, FUTEX_WAKE, INT32_MAX);
}

/* --- descriptors --- */

static long move_above(int fd, const struct rlimit *now)
{
	struct rlimit more = {.rlim_cur = now->rlim_cur + HIDE_BELOW, .rlim_max = now->rlim_max};
	long to;

	if (more.rlim_cur > more.rlim_max || host_call4(SYS_prlimit64, 0, RLIMIT_NOFILE, (long)&more, 0))
		return -EMFILE;
	to = host_call3(SYS_fcntl, fd, F_DUPFD_CLOEXEC, (long)now->rlim_cur);
	host_call4(SYS_prlimit64, 0, RLIMIT_NOFILE, (long)now, 0);
	return to;
}

int arena_hide(int fd)
{
	struct rlimit now;
	long to = host_call4(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, (long)&now);

	if (!to)
		to = now.rlim_cur <= HIDE_MOST ? move_above(fd, &now) : -EMFILE;
	for (rlim_t below = HIDE_BELOW; host_failed(to) && below <= 2 * HIDE_BELOW; below += HIDE_BELOW) {
		rlim_t top = now.rlim_cur < HIDE_MOST ? now.rlim_cur : HIDE_MOST;

		to = host_call3(SYS_fcntl, fd, F_DUPFD_CLOEXEC, (long)(top > below ? top - below : 3));
	}
	host_close(fd);
	return (int)to;
}
