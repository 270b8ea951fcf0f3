/* The arena: locks between processes that may be killed at any moment, and who counts as alive. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include "host/arena.h"

#define CHILDREN 6
#define ROUNDS 20000

struct shared {
	struct arena_lock lock;
	uint64_t a, b; /* equal whenever the lock is free */
	uint32_t ready, go, deaths;
};

static struct arena arena;

static struct shared *shared(void)
{
	return (struct shared *)(arena.base + ARENA_HEAD);
}

static int setup(void **state)
{
	assert_int_equal(arena_create(&arena, ARENA_HEAD + sizeof(struct shared)), 0);
	assert_int_equal(arena_take(&arena, 0), 0);
	return 0;
}

static int teardown(void **state)
{
	arena_drop(&arena);
	return 0;
}

static pid_t child(uint32_t slot, void (*body)(uint32_t slot))
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid > 0)
		return pid;
	if (arena_take(&arena, slot))
		_exit(1);
	body(slot);
	_exit(0);
}

static void await(uint32_t *word, uint32_t value)
{
	for (int i = 0; i < 5000 && __atomic_load_n(word, __ATOMIC_ACQUIRE) != value; i++)
		usleep(1000);
	assert_int_equal(__atomic_load_n(word, __ATOMIC_ACQUIRE), value);
}

static int ends(pid_t pid)
{
	int status = -1;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void count_up(uint32_t slot)
{
	for (int i = 0; i < ROUNDS; i++) {
		int rc = arena_lock(&arena, slot, &shared()->lock);

		if (rc == -EOWNERDEAD) {
			__atomic_add_fetch(&shared()->deaths, 1, __ATOMIC_RELAXED);
			shared()->b = shared()->a; /* the repair */
		}
		if (shared()->a != shared()->b)
			_exit(2);
		shared()->a++;
		shared()->b++;
		arena_unlock(&shared()->lock);
	}
}

static void test_exclusive(void **state)
{
	pid_t pid[CHILDREN];

	for (uint32_t i = 0; i < CHILDREN; i++)
		pid[i] = child(i + 1, count_up);
	for (int i = 0; i < CHILDREN; i++)
		assert_int_equal(ends(pid[i]), 0);
	assert_int_equal(shared()->a, CHILDREN * ROUNDS);
	assert_int_equal(shared()->b, CHILDREN * ROUNDS);
	assert_int_equal(shared()->deaths, 0);
}

static void hold(uint32_t slot)
{
	(void)!arena_lock(&arena, slot, &shared()->lock);
	shared()->a++;
	__atomic_store_n(&shared()->ready, 1, __ATOMIC_RELEASE);
	for (;;)
		pause();
}

static void test_owner_death(void **state)
{
	pid_t pid = child(1, hold), next;

	await(&shared()->ready, 1);
	next = child(2, count_up); /* waits on it before it dies */
	usleep(150000);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(ends(pid), SIGKILL);
	assert_int_equal(ends(next), 0);
	assert_int_equal(shared()->deaths, 1);
	assert_int_equal(shared()->a, ROUNDS + 1);

	/* Killed again and again, wherever that hits. */
	for (int i = 0; i < 40; i++) {
		pid_t two[2] = {child(1, count_up), child(2, count_up)};

		usleep((useconds_t)(200 * i));
		kill(two[i % 2], SIGKILL);
		ends(two[i % 2]);
		assert_int_equal(ends(two[1 - i % 2]), 0);
	}
	count_up(0);
	assert_int_equal(shared()->a, shared()->b);
}

/* A slot that serves another process by now does not make the dead holder live. */
static void test_incarnation(void **state)
{
	pid_t pid = child(1, hold), next;

	await(&shared()->ready, 1);
	kill(pid, SIGKILL);
	ends(pid);
	shared()->ready = 0;
	next = child(1, count_up);
	assert_int_equal(ends(next), 0);
	assert_int_equal(shared()->deaths, 1);
}

static void be_there(uint32_t slot)
{
	__atomic_store_n(&shared()->ready, 1, __ATOMIC_RELEASE);
	while (!__atomic_load_n(&shared()->go, __ATOMIC_ACQUIRE))
		usleep(1000);
}

static void test_alive(void **state)
{
	pid_t pid;

	assert_true(arena_alive(&arena, 0, 0));
	assert_false(arena_alive(&arena, 0, 7));
	assert_false(arena_alive(&arena, 0, ARENA_SLOTS));
	assert_int_equal(arena_take(&arena, ARENA_SLOTS), -EINVAL);
	pid = child(7, be_there);
	await(&shared()->ready, 1);
	assert_true(arena_alive(&arena, 0, 7));
	assert_false(arena_alive(&arena, 0, 6));
	assert_true(arena_alone_with(&arena, 0, 7));
	assert_true(arena_alone_with(&arena, 7, 0));
	assert_false(arena_alone_with(&arena, 0, 6));
	assert_int_equal(arena_take(&arena, 7), -EAGAIN);
	kill(pid, SIGKILL);
	ends(pid);
	assert_false(arena_alive(&arena, 0, 7));
	assert_int_equal(arena_take(&arena, 7), 0);
	arena_give(&arena, 7);
}

static void await_alone(uint32_t slot)
{
	__atomic_store_n(&shared()->ready, 1, __ATOMIC_RELEASE);
	if (arena_await_alone(&arena))
		_exit(3);
	__atomic_store_n(&shared()->ready, 2, __ATOMIC_RELEASE);
	be_there(slot);
}

static void test_alone(void **state)
{
	pid_t pid = child(1, await_alone);

	await(&shared()->ready, 1);
	usleep(50000);
	assert_int_equal(shared()->ready, 1);
	arena_give(&arena, 0);
	for (int i = 0; i < 2000 && arena_take(&arena, 9) == 0; i++) {
		arena_give(&arena, 9); /* between our tries it gets its turn */
		usleep(1000);
	}
	assert_int_equal(arena_take(&arena, 9), -EAGAIN); /* nobody comes in any more */
	shared()->go = 1;
	assert_int_equal(ends(pid), 0);
	assert_int_equal(arena_take(&arena, 0), 0);
}

/* Hidden descriptors: out of dup2's reach where the hard limit allows it, and gone after execve unless somebody says otherwise. */
static void test_hide(void **state)
{
	struct rlimit was, low = {.rlim_cur = 256};
	int fd;

	getrlimit(RLIMIT_NOFILE, &was);
	low.rlim_max = was.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	fd = arena_hide(open("/dev/null", O_RDONLY));
	assert_true(low.rlim_max > 300 ? fd >= 256 : fd >= 200);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	if (fd >= 256)
		assert_int_equal(dup2(0, fd), -1);
	close(fd);
	low.rlim_max = low.rlim_cur;
	if (fork() == 0) {
		_exit(setrlimit(RLIMIT_NOFILE, &low) ||
			(fd = arena_hide(open("/dev/null", O_RDONLY))) < 200 || fd >= 256);
	} else {
		int status;

		wait(&status);
		assert_int_equal(status, 0);
	}
	setrlimit(RLIMIT_NOFILE, &was);
}

static void test_attach(void **state)
{
	struct arena other, twice;
	int fd = dup(arena.fd), none = open("/dev/null", O_RDONLY);

	assert_int_equal(arena_attach(&twice, fd), -EEXIST); /* mapped already */
	assert_int_equal(arena_attach(&other, none), -EBADMSG);
	shared()->a = 77;
	if (fork() == 0) {
		arena_drop(&arena);
		_exit(arena_attach(&other, fd) || ((struct shared *)(other.base + ARENA_HEAD))->a != 77);
	} else {
		int status;

		wait(&status);
		assert_int_equal(status, 0);
	}
	close(none);
	/* fd is not closed: with it would go what this process locked */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_exclusive, setup, teardown),
		cmocka_unit_test_setup_teardown(test_owner_death, setup, teardown),
		cmocka_unit_test_setup_teardown(test_incarnation, setup, teardown),
		cmocka_unit_test_setup_teardown(test_alive, setup, teardown),
		cmocka_unit_test_setup_teardown(test_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hide, setup, teardown),
		cmocka_unit_test_setup_teardown(test_attach, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
