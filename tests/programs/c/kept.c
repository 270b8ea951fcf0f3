/*
 * What execve keeps and what it does not: limits, personality, scheduling, timers, masks, locks, priorities. Executes itself and compares.
 */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>
#include "want.h"

static const struct {
	int what;
	rlim_t soft, hard;
} limits[] = {{RLIMIT_NOFILE, 123, 456}, {RLIMIT_STACK, 3 << 20, 5 << 20}, {RLIMIT_CORE, 0, 4096},
	{RLIMIT_AS, 1ul << 40, 1ul << 41}, {RLIMIT_CPU, 1000, 2000}, {RLIMIT_FSIZE, 1 << 20, 2 << 20},
	{RLIMIT_MEMLOCK, 65536, 1 << 20}, {RLIMIT_NPROC, 10000, 20000}, {RLIMIT_SIGPENDING, 100, 200},
	{RLIMIT_DATA, 1ul << 33, 1ul << 34}, {RLIMIT_MSGQUEUE, 4096, 8192}};
#define LIMITS (sizeof(limits) / sizeof(limits[0]))

static void on_alarm(int sig)
{
	(void)sig;
}

/* Those that may be set here, a bit each: a hard limit below ours cannot be raised by everybody. */
static unsigned set_limits(void)
{
	unsigned done = 0;

	for (size_t i = 0; i < LIMITS; i++) {
		struct rlimit rl = {limits[i].soft, limits[i].hard}, now;

		WANT(!getrlimit((__rlimit_resource_t)limits[i].what, &now));
		if (now.rlim_max < rl.rlim_max)
			continue;
		WANT(!setrlimit((__rlimit_resource_t)limits[i].what, &rl));
		done |= 1u << i;
	}
	return done;
}

static void set_all(void)
{
	struct itimerval real = {{0, 0}, {1000, 0}}, virtual = {{5, 0}, {900, 0}};
	struct sched_param batch = {0};
	sigset_t mask;
	cpu_set_t cpus;
	stack_t ss = {.ss_sp = malloc(16384), .ss_size = 16384};

	WANT(personality(ADDR_NO_RANDOMIZE | UNAME26 | ADDR_COMPAT_LAYOUT) != -1);
	WANT(!setitimer(ITIMER_REAL, &real, NULL) && !setitimer(ITIMER_VIRTUAL, &virtual, NULL));
	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR1);
	sigaddset(&mask, SIGRTMIN + 3);
	sigprocmask(SIG_SETMASK, &mask, NULL);
	raise(SIGUSR1);
	signal(SIGALRM, on_alarm);
	signal(SIGUSR2, SIG_IGN);
	signal(SIGCHLD, SIG_IGN);
	WANT(!sigaltstack(&ss, NULL));
	umask(027);
	WANT(setpriority(PRIO_PROCESS, 0, 3) == 0);
	WANT(!sched_setscheduler(0, SCHED_BATCH, &batch));
	CPU_ZERO(&cpus);
	CPU_SET(0, &cpus);
	WANT(!sched_setaffinity(0, sizeof(cpus), &cpus));
	WANT(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	WANT(!prctl(PR_SET_PDEATHSIG, SIGUSR2, 0, 0, 0));
	WANT(!prctl(PR_SET_TIMERSLACK, 77777, 0, 0, 0));
	WANT(!prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0));
	WANT(!prctl(PR_SET_DUMPABLE, 0, 0, 0, 0));
	WANT(!prctl(PR_SET_NAME, "another name", 0, 0, 0));
	WANT(mlockall(MCL_FUTURE) == 0 || errno == ENOMEM || errno == EPERM);
	munlockall();
}

static void check_signals(void)
{
	struct sigaction sa;
	struct itimerval t;
	sigset_t mask, pending;
	stack_t ss;

	section("signals");
	WANT(!sigprocmask(SIG_SETMASK, NULL, &mask) && sigismember(&mask, SIGUSR1) &&
		sigismember(&mask, SIGRTMIN + 3) && !sigismember(&mask, SIGTERM));
	WANT(!sigpending(&pending) && sigismember(&pending, SIGUSR1));
	WANT(!sigaction(SIGALRM, NULL, &sa) && sa.sa_handler == SIG_DFL);
	WANT(!sigaction(SIGUSR2, NULL, &sa) && sa.sa_handler == SIG_IGN);
	WANT(!sigaction(SIGCHLD, NULL, &sa) && sa.sa_handler == SIG_IGN);
	WANT(!sigaltstack(NULL, &ss) && ss.ss_flags == SS_DISABLE);
	WANT(!getitimer(ITIMER_REAL, &t) && t.it_value.tv_sec > 900 && t.it_value.tv_sec <= 1000);
	WANT(!getitimer(ITIMER_VIRTUAL, &t) && t.it_value.tv_sec > 800 && t.it_interval.tv_sec == 5);
}

static void check_all(char **argv)
{
	int slack = (int)syscall(SYS_prctl, PR_GET_TIMERSLACK, 0, 0, 0, 0), value = 0;
	cpu_set_t cpus;
	char name[17] = "";

	section("limits");
	for (size_t i = 0; i < LIMITS; i++) {
		struct rlimit rl = {0};

		if (!(atoi(argv[3]) >> i & 1))
			continue;
		if (!WANT(!getrlimit((__rlimit_resource_t)limits[i].what, &rl) &&
			    rl.rlim_cur == limits[i].soft && rl.rlim_max == limits[i].hard))
			printf("limit %d is %lu %lu\n", limits[i].what, (unsigned long)rl.rlim_cur,
				(unsigned long)rl.rlim_max);
	}
	section("personality");
	WANT(personality(0xffffffff) == (ADDR_NO_RANDOMIZE | UNAME26 | ADDR_COMPAT_LAYOUT));
	check_signals();
	section("scheduling");
	WANT(umask(022) == 027);
	WANT(getpriority(PRIO_PROCESS, 0) == 3);
	WANT(sched_getscheduler(0) == SCHED_BATCH);
	WANT(!sched_getaffinity(0, sizeof(cpus), &cpus) && CPU_COUNT(&cpus) == 1 && CPU_ISSET(0, &cpus));
	section("process");
	WANT(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
	WANT(!prctl(PR_GET_PDEATHSIG, &value, 0, 0, 0) && value == SIGUSR2);
	WANT(slack == 77777);
	WANT(!prctl(PR_GET_CHILD_SUBREAPER, &value, 0, 0, 0) && value == 1);
	WANT(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 1);
	WANT(!prctl(PR_GET_NAME, name, 0, 0, 0) && !strcmp(name, "exe"));
	WANT(getpid() == atoi(argv[2]));
}

int main(int argc, char **argv)
{
	char pid[16], set[16], *again[] = {argv[0], "again", pid, set, NULL};

	if (argc > 3) {
		check_all(argv);
		return want_done();
	}
	section("set");
	snprintf(set, sizeof(set), "%u", set_limits());
	set_all();
	if (want_failures)
		return want_done();
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	execv("/proc/self/exe", again);
	return 9;
}
