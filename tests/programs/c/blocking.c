/*
 * Signals at 10 kHz to eight threads in blocking calls: with SA_RESTART a call that Linux restarts never fails, without it the call fails
 * with EINTR and nothing else, and no signal and no byte is lost.
 */
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "want.h"

#define RUN_MS 700

static volatile int restarts, stop;
static volatile long wrong, interrupted, rounds[8];
static int data[2], echo[2], listener;
static struct sockaddr_un where = {.sun_family = AF_UNIX};
static sem_t semaphore;
static uint32_t word;
static volatile long taken;

static void on_signal(int sig)
{
	int e = errno;

	(void)sig;
	__atomic_add_fetch(&taken, 1, __ATOMIC_RELAXED);
	syscall(SYS_getppid);
	errno = e;
}

static void not_so(int line, int error)
{
	if (__atomic_fetch_add(&wrong, 1, __ATOMIC_RELAXED) < 5)
		WANT(printf("line %d, errno %d\n", line, error) < 0);
}

/* A call ended: right if it succeeded, or with EINTR where that is allowed. True: it succeeded. */
static int judged(long rc, int may_eintr)
{
	if (rc >= 0)
		return 1;
	if (errno == EINTR && may_eintr)
		__atomic_add_fetch(&interrupted, 1, __ATOMIC_RELAXED);
	else
		not_so(__LINE__, errno);
	return 0;
}

static long long now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000LL + t.tv_nsec / 1000;
}

static void read_pipe(void)
{
	char c;

	if (judged(read(data[0], &c, 1), !restarts))
		while (write(echo[1], &c, 1) != 1)
			judged(-1, !restarts);
}

static void lock_futex(void)
{
	struct timespec t = {.tv_nsec = 3000000};
	long rc = syscall(SYS_futex, &word, FUTEX_WAIT, 0, &t, NULL, 0);

	/* A timed wait is restarted by the kernel with what is left, or fails with EINTR once a handler ran. */
	if (rc && errno == ETIMEDOUT)
		return;
	judged(rc, 1);
}

static void sleep_long(void)
{
	struct timespec t = {.tv_nsec = 5000000}, left;
	long long start = now_us(), slept = 0;

	while (nanosleep(&t, &left)) {
		judged(-1, 1);
		if (left.tv_nsec > t.tv_nsec + 100000) /* the slack of timers counts as left */
			not_so(__LINE__, errno);
		t = left;
	}
	slept = now_us() - start;
	if (slept < 5000)
		not_so(__LINE__, errno);
}

static void accept_one(void)
{
	int fd = accept(listener, NULL, NULL);

	if (judged(fd, !restarts))
		close(fd);
}

static void wait_child(void)
{
	pid_t child = fork();
	int status;

	if (!child) {
		usleep(3000);
		_exit(9);
	}
	while (waitpid(child, &status, 0) != child)
		judged(-1, !restarts);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 9)
		not_so(__LINE__, errno);
}

static void poll_nothing(void)
{
	struct timespec t = {.tv_nsec = 2000000};
	sigset_t none;

	sigemptyset(&none);
	judged(poll(NULL, 0, 3), 1);
	judged(ppoll(NULL, 0, &t, &none), 1);
	judged(pselect(0, NULL, NULL, NULL, &t, &none), 1);
}

static void wait_semaphore(void)
{
	if (judged(sem_wait(&semaphore), !restarts))
		return;
}

static void epoll_nothing(void)
{
	static __thread int ep = -1;
	struct epoll_event e;
	sigset_t none;

	sigemptyset(&none);
	if (ep < 0)
		ep = epoll_create1(0);
	judged(epoll_pwait(ep, &e, 1, 3, &none), 1);
}

static void (*const calls[8])(void) = {read_pipe, lock_futex, sleep_long, accept_one, wait_child,
	poll_nothing, wait_semaphore, epoll_nothing};

static void *block(void *arg)
{
	long me = (long)arg;

	while (!stop) {
		calls[me]();
		rounds[me]++;
	}
	return NULL;
}

/* Gives the threads what they wait for, and counts that each byte comes back. */
static void feed(long *sent, long *back)
{
	struct pollfd p = {.fd = echo[0], .events = POLLIN};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	char c = 'x';

	(*sent)++;
	if (write(data[1], &c, 1) != 1)
		not_so(__LINE__, errno);
	connect(fd, (struct sockaddr *)&where, sizeof(where));
	sem_post(&semaphore);
	for (int i = 0; i < 50 && poll(&p, 1, 1) <= 0; i++)
		;
	if (read(echo[0], &c, 1) == 1)
		(*back)++;
	close(fd);
}

static void round_of(int flags)
{
	struct sigaction sa = {.sa_handler = on_signal, .sa_flags = flags};
	struct itimerval every = {{0, 100}, {0, 100}}, off = {{0, 0}, {0, 0}};
	long sent = 0, back = 0;
	long long end;
	pthread_t t[8];
	sigset_t alarm;

	restarts = flags & SA_RESTART;
	stop = 0;
	wrong = interrupted = taken = 0;
	sigaction(SIGALRM, &sa, NULL);
	sigemptyset(&alarm);
	sigaddset(&alarm, SIGALRM);
	for (long i = 0; i < 8; i++)
		pthread_create(&t[i], NULL, block, (void *)i);
	pthread_sigmask(SIG_BLOCK, &alarm, NULL);
	setitimer(ITIMER_REAL, &every, NULL);
	end = now_us() + RUN_MS * 1000;
	for (int i = 0; now_us() < end; i++) {
		feed(&sent, &back);
		pthread_kill(t[i % 8], SIGALRM); /* the timer's go to whoever the kernel likes */
	}
	setitimer(ITIMER_REAL, &off, NULL);
	stop = 1;
	for (int i = 0; i < 50; i++)
		feed(&sent, &back);
	for (int i = 0; i < 8; i++) {
		while (pthread_tryjoin_np(t[i], NULL))
			feed(&sent, &back);
		WANT(rounds[i] > 0);
	}
	pthread_sigmask(SIG_UNBLOCK, &alarm, NULL);
	WANT(taken > 100);
	WANT(interrupted > 0);
	WANT(wrong == 0);
	while (back < sent && sent) {
		char c;
		struct pollfd p = {.fd = echo[0], .events = POLLIN};

		if (poll(&p, 1, 100) <= 0 || read(echo[0], &c, 1) != 1)
			break;
		back++;
	}
	(void)back;
}

/* A blocked signal that is pending ends a call whose mask lets it in, every time and at once. */
static void pending_before(void)
{
	struct sigaction sa = {.sa_handler = on_signal};
	sigset_t usr1, old, none;
	struct epoll_event e;
	int ep = epoll_create1(0), fd;
	struct signalfd_siginfo si;
	siginfo_t info;

	sigaction(SIGUSR1, &sa, NULL);
	sigemptyset(&none);
	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	sigprocmask(SIG_BLOCK, &usr1, &old);
	taken = 0;
	for (int i = 0; i < 200; i++) {
		raise(SIGUSR1);
		FAILS(ppoll(NULL, 0, NULL, &none), EINTR);
		raise(SIGUSR1);
		FAILS(pselect(0, NULL, NULL, NULL, NULL, &none), EINTR);
		raise(SIGUSR1);
		FAILS(epoll_pwait(ep, &e, 1, -1, &none), EINTR);
		raise(SIGUSR1);
		FAILS(sigsuspend(&none), EINTR);
	}
	WANT(taken == 800);
	raise(SIGUSR1);
	WANT(sigwaitinfo(&usr1, &info) == SIGUSR1 && info.si_pid == getpid());
	fd = signalfd(-1, &usr1, 0);
	raise(SIGUSR1);
	WANT(read(fd, &si, sizeof(si)) == sizeof(si) && si.ssi_signo == SIGUSR1);
	WANT(taken == 800);
	close(fd);
	close(ep);
	sigprocmask(SIG_SETMASK, &old, NULL);
}

int main(void)
{
	snprintf(where.sun_path + 1, sizeof(where.sun_path) - 1, "blocking-%d", (int)getpid());
	listener = socket(AF_UNIX, SOCK_STREAM, 0);
	WANT(bind(listener, (struct sockaddr *)&where, sizeof(where)) == 0 && listen(listener, 64) == 0);
	WANT(pipe(data) == 0 && pipe(echo) == 0 && fcntl(echo[0], F_SETFL, O_NONBLOCK) == 0);
	sem_init(&semaphore, 0, 0);
	section("restarted");
	round_of(SA_RESTART);
	section("interrupted");
	round_of(0);
	section("pending before");
	pending_before();
	return want_done();
}
