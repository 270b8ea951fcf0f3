/* volumes_env: what the vfs and the engine of a volume call: locks, waits, time, randomness, the pages of mappings, the file. */
#include <errno.h>
#include <linux/falloc.h>
#include <stddef.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "core/log.h"
#include "runtime/volumes_shared.h"

static int env_lock(void *ctx, struct volume_lock *l, enum volume_lock_mode mode)
{
	static_assert(sizeof(struct arena_lock) == sizeof(struct volume_lock), "one is the other");
	return arena_lock(&volumes_arena, volumes_own_slot(), (struct arena_lock *)l);
}

static void env_unlock(void *ctx, struct volume_lock *l, enum volume_lock_mode mode)
{
	arena_unlock((struct arena_lock *)l);
}

/* Will all handlers that are about to run let the call go on? */
static bool restarts(const struct thread *t)
{
	for (uint32_t i = 0; i < t->pending && i < PENDING_MAX; i++)
		if (!(t->proc->sigactions[t->pending_info[i].si_signo].flags & SA_RESTART))
			return false;
	return true;
}

static int env_wait(void *ctx, const uint32_t *word, uint32_t value, int64_t timeout)
{
	struct timespec ts = {.tv_sec = timeout / 1000000000, .tv_nsec = timeout % 1000000000};
	struct thread *t;
	long rc;

	if (!runtime.threads_started) {
		rc = arena_wait(word, value, timeout);
		return rc == -EINTR ? -EINTR : 0;
	}
	t = thread_self();
	volumes_leave(t);
	rc = scone_safe_call6(SYS_futex, (long)word, 0 /* FUTEX_WAIT */, (long)value, (long)&ts, 0, 0);
	volumes_enter(t);
	if (rc == HOST_ERESTART || rc == -EINTR)
		return restarts(t) ? (int)HOST_ERESTART : -EINTR;
	return 0;
}

static void env_wake(void *ctx, const uint32_t *word)
{
	arena_wake(word);
}

static bool env_alive(void *ctx, uint32_t slot)
{
	return arena_alive(&volumes_arena, volumes_own_slot(), slot);
}

static int64_t env_clock(void *ctx)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

static int env_random(void *ctx, void *p, size_t n)
{
	for (size_t done = 0; done < n;) {
		long got = host_call3(SYS_getrandom, (long)((uint8_t *)p + done), (long)(n - done), 0);

		if (got == -EINTR)
			continue;
		if (got <= 0)
			return got ? (int)got : -EIO;
		done += (size_t)got;
	}
	return 0;
}

static void env_fault(void *ctx, const struct volume_fault *f)
{
	log_error("volume %s: %s", ((struct volume_file *)ctx)->path, f->text);
}

static int pages_move(long nr, uint64_t off, void *p, size_t n)
{
	for (size_t done = 0; done < n;) {
		long got = host_call4(nr, volumes_shared()->pages_fd, (long)((uint8_t *)p + done),
			(long)(n - done), (long)(off + done));

		if (got == -EINTR)
			continue;
		if (got < 0)
			return (int)got;
		if (got == 0 && nr == SYS_pread64) {
			memset((uint8_t *)p + done, 0, n - done);
			return 0;
		}
		done += (size_t)got;
	}
	return 0;
}

static int pages_read(void *ctx, uint64_t off, void *p, size_t n)
{
	return pages_move(SYS_pread64, off, p, n);
}

static int pages_write(void *ctx, uint64_t off, const void *p, size_t n)
{
	return pages_move(SYS_pwrite64, off, (void *)(uintptr_t)p, n);
}

static int pages_drop(void *ctx, uint64_t off, uint64_t n)
{
	return (int)host_call4(SYS_fallocate, volumes_shared()->pages_fd,
		FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, (long)off, (long)n);
}

static int pages_data(void *ctx, uint64_t off, uint64_t *ret_off, uint64_t *ret_end)
{
	long from = host_call3(SYS_lseek, volumes_shared()->pages_fd, (long)off, SEEK_DATA), to;

	if (from < 0)
		return (int)from;
	to = host_call3(SYS_lseek, volumes_shared()->pages_fd, from, SEEK_HOLE);
	if (to < 0)
		return (int)to;
	*ret_off = (uint64_t)from;
	*ret_end = (uint64_t)to;
	return 0;
}

const struct vfs_env volumes_vfs_env = {.lock = env_lock,
	.unlock = env_unlock,
	.wait = env_wait,
	.wake = env_wake,
	.alive = env_alive,
	.clock = env_clock,
	.pages_read = pages_read,
	.pages_write = pages_write,
	.pages_drop = pages_drop,
	.pages_data = pages_data};

static bool keeper_lives(void)
{
	return arena_alive(&volumes_arena, volumes_own_slot(), volumes_shared()->keeper);
}

static int env_publish(void *ctx, enum volume_event event, const struct volume_version *v)
{
	struct volumes_mount *s =
		(struct volumes_mount *)((char *)ctx - offsetof(struct volumes_mount, file));

	return lease_publish(&s->lease, &volumes_shared()->bell, event, v, keeper_lives);
}

/* Of a mount's file, that it is told to CAS. */
struct volume_env volumes_file_env(struct volume_file *f)
{
	return (struct volume_env){.ctx = f,
		.read = volume_file_read,
		.write = volume_file_write,
		.flush = volume_file_flush,
		.discard = volume_file_discard,
		.clock = env_clock,
		.random = env_random,
		.lock = env_lock,
		.unlock = env_unlock,
		.publish = env_publish,
		.fault = env_fault};
}
