/* POSIX threads: storage, locks, cancellation, signals to one thread, and the end of threads. */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "want.h"

static __thread int own = 5;
static __thread char block[3000];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static pthread_barrier_t barrier;
static pthread_key_t key;
static int counter, turn, destroyed;

static void *storage(void *arg)
{
	int me = (int)(intptr_t)arg;
	WANT(own == 5);
	own = me;
	memset(block, me, sizeof(block));
	pthread_setspecific(key, arg);
	pthread_barrier_wait(&barrier);
	for (int i = 0; i < 1000; i++) {
		pthread_mutex_lock(&lock);
		counter++;
		pthread_mutex_unlock(&lock);
		if (i % 100 == 0)
			sched_yield();
	}
	WANT(own == me && block[2999] == (char)me);
	WANT(syscall(SYS_gettid) != getpid());
	return (void *)(intptr_t)(me * me);
}

static void on_destroy(void *v)
{
	__atomic_add_fetch(&destroyed, (int)(intptr_t)v, __ATOMIC_SEQ_CST);
}

static void basics(void)
{
	pthread_t t[8];
	void *r;

	WANT(pthread_key_create(&key, on_destroy) == 0 && pthread_barrier_init(&barrier, NULL, 8) == 0);
	for (int i = 0; i < 8; i++)
		WANT(pthread_create(&t[i], NULL, storage, (void *)(intptr_t)(i + 1)) == 0);
	for (int i = 0; i < 8; i++) {
		WANT(pthread_join(t[i], &r) == 0);
		WANT((intptr_t)r == (i + 1) * (i + 1));
	}
	WANT(counter == 8000 && own == 5 && destroyed == 36);
	WANT(syscall(SYS_gettid) == getpid());
}

static void *ping(void *arg)
{
	int me = (int)(intptr_t)arg;
	for (int i = 0; i < 5000; i++) {
		pthread_mutex_lock(&lock);
		while (turn % 2 != me)
			pthread_cond_wait(&cond, &lock);
		turn++;
		pthread_cond_broadcast(&cond);
		pthread_mutex_unlock(&lock);
	}
	return NULL;
}

static void conditions(void)
{
	pthread_t t[2];
	struct timespec ts;

	for (int i = 0; i < 2; i++)
		WANT(pthread_create(&t[i], NULL, ping, (void *)(intptr_t)i) == 0);
	for (int i = 0; i < 2; i++)
		WANT(pthread_join(t[i], NULL) == 0);
	WANT(turn == 10000);
	clock_gettime(CLOCK_REALTIME, &ts);
	ts.tv_nsec += 5000000;
	if (ts.tv_nsec >= 1000000000) {
		ts.tv_nsec -= 1000000000;
		ts.tv_sec++;
	}
	pthread_mutex_lock(&lock);
	WANT(pthread_cond_timedwait(&cond, &lock, &ts) == ETIMEDOUT);
	pthread_mutex_unlock(&lock);
}

static int cleaned;
static void cleanup(void *p)
{
	cleaned += *(int *)p;
}

static void *block_in_read(void *arg)
{
	int one = 1;
	char c;
	pthread_cleanup_push(cleanup, &one);
	(void)!read(*(int *)arg, &c, 1);
	pthread_cleanup_pop(0);
	return NULL;
}

static void *spin(void *arg)
{
	int ten = 10;
	pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
	pthread_cleanup_push(cleanup, &ten);
	*(volatile int *)arg = 1;
	for (;;)
		;
	pthread_cleanup_pop(0);
	return NULL;
}

static void *wait_for_condition(void *arg)
{
	int hundred = 100;
	pthread_mutex_lock(&lock);
	*(volatile int *)arg = 1;
	pthread_cleanup_push(cleanup, &hundred);
	for (;;)
		pthread_cond_wait(&cond, &lock);
	pthread_cleanup_pop(0);
	return NULL;
}

static void cancellation(void)
{
	pthread_t t;
	void *r;
	int p[2];
	volatile int go = 0;

	WANT(pipe(p) == 0);
	WANT(pthread_create(&t, NULL, block_in_read, &p[0]) == 0);
	usleep(20000);
	WANT(pthread_cancel(t) == 0 && pthread_join(t, &r) == 0 && r == PTHREAD_CANCELED);
	WANT(pthread_create(&t, NULL, spin, (void *)&go) == 0);
	while (!go)
		sched_yield();
	WANT(pthread_cancel(t) == 0 && pthread_join(t, &r) == 0 && r == PTHREAD_CANCELED);
	go = 0;
	WANT(pthread_create(&t, NULL, wait_for_condition, (void *)&go) == 0);
	while (!go)
		sched_yield();
	WANT(pthread_cancel(t) == 0 && pthread_join(t, &r) == 0 && r == PTHREAD_CANCELED);
	WANT(pthread_mutex_trylock(&lock) == EBUSY); /* cancelled while it held the lock again */
	pthread_mutex_unlock(&lock);
	WANT(cleaned == 111);
	close(p[0]);
	close(p[1]);
}

static void *die_with_lock(void *m)
{
	pthread_mutex_lock(m);
	return NULL;
}

static void robust(void)
{
	pthread_mutexattr_t a;
	pthread_mutex_t *m = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pthread_t t;

	pthread_mutexattr_init(&a);
	pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
	pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
	WANT(pthread_mutex_init(m, &a) == 0);
	WANT(pthread_create(&t, NULL, die_with_lock, m) == 0 && pthread_join(t, NULL) == 0);
	WANT(pthread_mutex_lock(m) == EOWNERDEAD && pthread_mutex_consistent(m) == 0 &&
		pthread_mutex_unlock(m) == 0);
	pid_t p = fork();
	if (p == 0) {
		pthread_mutex_lock(m);
		_exit(0);
	}
	waitpid(p, NULL, 0);
	WANT(pthread_mutex_lock(m) == EOWNERDEAD && pthread_mutex_consistent(m) == 0 &&
		pthread_mutex_unlock(m) == 0);
	p = fork();
	if (p == 0) {
		pthread_mutex_lock(m);
		raise(SIGKILL);
	}
	waitpid(p, NULL, 0);
	WANT(pthread_mutex_lock(m) == EOWNERDEAD);
	WANT(pthread_mutex_unlock(m) == 0 && pthread_mutex_lock(m) == ENOTRECOVERABLE);
	munmap(m, 4096);
}

static __thread volatile int hit;
static volatile int total;
static void on_signal(int s)
{
	(void)s;
	hit++;
	__atomic_add_fetch(&total, 1, __ATOMIC_SEQ_CST);
}

static void *take_signals(void *arg)
{
	sigset_t m;
	sigemptyset(&m);
	sigaddset(&m, SIGUSR2);
	if ((intptr_t)arg == 1)
		pthread_sigmask(SIG_BLOCK, &m, NULL);
	pthread_barrier_wait(&barrier);
	while (hit < 20)
		usleep(500);
	pthread_barrier_wait(&barrier);
	return NULL;
}

static void directed(void)
{
	pthread_t t[2];
	struct sigaction a = {.sa_handler = on_signal};
	sigset_t m, was;

	sigaction(SIGUSR1, &a, NULL);
	sigaction(SIGUSR2, &a, NULL);
	pthread_barrier_destroy(&barrier);
	pthread_barrier_init(&barrier, NULL, 3);
	for (int i = 0; i < 2; i++)
		WANT(pthread_create(&t[i], NULL, take_signals, (void *)(intptr_t)i) == 0);
	pthread_barrier_wait(&barrier);
	for (int i = 0; i < 20; i++) {
		for (int k = 0; k < 2; k++) {
			int before = total;
			WANT(pthread_kill(t[k], SIGUSR1) == 0);
			while (total == before)
				usleep(50);
		}
	}
	pthread_barrier_wait(&barrier);
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	WANT(hit == 0 && total == 40);
	/* The process gets a signal that every thread but one blocks: that one runs it. */
	sigemptyset(&m);
	sigaddset(&m, SIGUSR2);
	pthread_sigmask(SIG_BLOCK, &m, &was);
	total = 0;
	kill(getpid(), SIGUSR2);
	WANT(total == 0);
	pthread_sigmask(SIG_SETMASK, &was, NULL);
	WANT(total == 1 && hit == 1);
	FAILS(syscall(SYS_tgkill, getpid(), 1, SIGUSR1), ESRCH);
}

static void *touch(void *arg)
{
	char room[2000];
	memset(room, (int)(intptr_t)arg, sizeof(room));
	own++;
	free(malloc(100));
	return (void *)(intptr_t)(room[1999] + own);
}

static void many(void)
{
	pthread_attr_t a;
	long sum = 0;
	void *r;

	pthread_attr_init(&a);
	pthread_attr_setstacksize(&a, 65536);
	for (int i = 0; i < 100; i++) {
		pthread_t t[10];
		for (int k = 0; k < 10; k++)
			WANT(pthread_create(&t[k], &a, touch, (void *)(intptr_t)k) == 0);
		for (int k = 0; k < 10; k++) {
			WANT(pthread_join(t[k], &r) == 0);
			sum += (long)(intptr_t)r;
		}
	}
	WANT(sum == 100 * (45 + 60));
	/* Detached ones clean up after themselves. */
	pthread_attr_setdetachstate(&a, PTHREAD_CREATE_DETACHED);
	for (int i = 0; i < 200; i++) {
		pthread_t t;
		while (pthread_create(&t, &a, touch, NULL) != 0)
			usleep(1000);
	}
	pthread_attr_destroy(&a);
}

static void *own_stack(void *arg)
{
	pthread_attr_t a;
	void *low;
	size_t size;
	char here, name[16];

	WANT(pthread_getattr_np(pthread_self(), &a) == 0 && pthread_attr_getstack(&a, &low, &size) == 0);
	WANT(low == arg && size == 262144 && &here > (char *)low && &here < (char *)low + size);
	pthread_attr_destroy(&a);
	WANT(pthread_setname_np(pthread_self(), "worker") == 0 &&
		pthread_getname_np(pthread_self(), name, 16) == 0);
	WANT(strcmp(name, "worker") == 0);
	return NULL;
}

static sem_t sem;
static void *post(void *arg)
{
	usleep(1000);
	sem_post(&sem);
	return arg;
}

static void sundry(void)
{
	pthread_attr_t a;
	pthread_t t;
	char *stack = mmap(NULL, 262144, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	cpu_set_t set;

	pthread_attr_init(&a);
	WANT(pthread_attr_setstack(&a, stack, 262144) == 0 && pthread_create(&t, &a, own_stack, stack) == 0);
	WANT(pthread_join(t, NULL) == 0);
	munmap(stack, 262144);
	sem_init(&sem, 0, 0);
	for (int i = 0; i < 20; i++) {
		WANT(pthread_create(&t, NULL, post, NULL) == 0 && sem_wait(&sem) == 0 &&
			pthread_join(t, NULL) == 0);
	}
	WANT(sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 0);
	WANT(sched_setaffinity(0, sizeof(set), &set) == 0);
}

int main(void)
{
	section("basics");
	basics();
	section("conditions");
	conditions();
	section("cancellation");
	cancellation();
	section("robust");
	robust();
	section("directed");
	directed();
	section("many");
	many();
	section("sundry");
	sundry();
	return want_done();
}
