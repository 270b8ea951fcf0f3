/*
 * What must hold whenever signals arrive: queued ones keep their order, a blocked fault signal that somebody sent stays pending whatever else
 * the thread does, and bad pointers are EFAULT with every signal blocked too.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "want.h"

#define VALUES 20000

static volatile sig_atomic_t wrong_order, last_value, faults_taken;

static void on_value(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	(void)context;
	if (info->si_value.sival_int != last_value + 1)
		wrong_order++;
	last_value = info->si_value.sival_int;
}

static void *send_values(void *to)
{
	for (int i = 1; i <= VALUES; i++) {
		union sigval v = {.sival_int = i};

		while (pthread_sigqueue(*(pthread_t *)to, SIGRTMIN + 3, v))
			usleep(100);
	}
	return NULL;
}

static void order(void)
{
	struct sigaction sa = {.sa_sigaction = on_value, .sa_flags = SA_SIGINFO | SA_RESTART};
	pthread_t self = pthread_self(), sender;

	sigaction(SIGRTMIN + 3, &sa, NULL);
	pthread_create(&sender, NULL, send_values, &self);
	while (last_value < VALUES && !wrong_order)
		for (int i = 0; i < 50; i++)
			syscall(SYS_getppid);
	WANT(wrong_order == 0);
	if (wrong_order)
		_exit(1); /* the sender may never get rid of the rest */
	pthread_join(sender, NULL);
}

static void on_fault(int sig)
{
	(void)sig;
	faults_taken++;
}

static void *nothing(void *arg)
{
	return arg;
}

/* Sent faults are signals like others: blocked, they wait, through calls for which a runtime must let its own faults pass. */
static void sent_fault_waits(void)
{
	struct sigaction sa = {.sa_handler = on_fault};
	sigset_t segv, old, pending;
	pthread_t t;
	pid_t child;

	sigaction(SIGSEGV, &sa, NULL);
	sigaction(SIGBUS, &sa, NULL);
	sigemptyset(&segv);
	sigaddset(&segv, SIGSEGV);
	sigaddset(&segv, SIGBUS);
	sigprocmask(SIG_BLOCK, &segv, &old);
	raise(SIGSEGV);
	raise(SIGBUS);
	child = fork();
	if (!child)
		_exit(0);
	WANT(waitpid(child, NULL, 0) == child);
	WANT(pthread_create(&t, NULL, nothing, NULL) == 0);
	pthread_join(t, NULL);
	sigaction(SIGUSR1, &sa, NULL);
	close(open("/proc/self/stat", O_RDONLY));
	WANT(faults_taken == 0);
	WANT(sigpending(&pending) == 0 && sigismember(&pending, SIGSEGV) && sigismember(&pending, SIGBUS));
	sigprocmask(SIG_SETMASK, &old, NULL);
	WANT(faults_taken == 2);
	/* A mask for the length of a call lets them in. */
	sigprocmask(SIG_BLOCK, &segv, &old);
	raise(SIGSEGV);
	FAILS(sigsuspend(&old), EINTR);
	WANT(faults_taken == 3);
	sigprocmask(SIG_SETMASK, &old, NULL);
	signal(SIGSEGV, SIG_DFL);
	signal(SIGBUS, SIG_DFL);
}

static void bad_pointers(void)
{
	char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *bad = page + 4096, *none[] = {NULL};
	sigset_t all, old;
	int fd;

	munmap(bad, 4096);
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &old);
	FAILS(open(bad, O_RDONLY), EFAULT);
	FAILS(open(bad - 1, O_RDONLY), ENOENT); /* a string that ends with its page */
	memcpy(bad - 2, "/", 2);
	fd = open(bad - 2, O_RDONLY);
	WANT(fd >= 0);
	close(fd);
	FAILS(execve(bad, none, none), EFAULT);
	FAILS(execve("/bin/true", (char **)bad, none), EFAULT);
	FAILS(syscall(SYS_rt_sigprocmask, SIG_BLOCK, bad, NULL, 8), EFAULT);
	FAILS(syscall(SYS_rt_sigaction, SIGUSR1, bad, NULL, 8), EFAULT);
	FAILS(syscall(SYS_sigaltstack, bad, NULL), EFAULT);
	FAILS(syscall(SYS_ppoll, NULL, 0, NULL, bad, 8), EFAULT);
	sigprocmask(SIG_SETMASK, &old, NULL);
	munmap(page, 4096);
}

int main(void)
{
	section("queued signals keep their order");
	order();
	section("a sent fault waits while blocked");
	sent_fault_waits();
	section("bad pointers with all signals blocked");
	bad_pointers();
	return want_done();
}
