/* Signals: delivery, masks, interrupted calls, queues, timers, the context a handler sees and may change. */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>
#include "want.h"

static volatile sig_atomic_t hits, last_code, last_value, nested, depth_seen;
static volatile pid_t last_pid;

/* The same where another process sees it. */
static volatile int *taken;

static void count(int s)
{
	(void)s;
	hits++;
	if (taken)
		++*taken;
}

static void info(int s, siginfo_t *si, void *uc)
{
	(void)s;
	(void)uc;
	hits++;
	last_code = si->si_code;
	last_value = si->si_value.sival_int;
	last_pid = si->si_pid;
}

static void handle(int sig, void (*fn)(int), int flags)
{
	struct sigaction a = {.sa_handler = fn, .sa_flags = flags};
	WANT(sigaction(sig, &a, NULL) == 0);
}

static void handle_info(int sig, void (*fn)(int, siginfo_t *, void *), int flags)
{
	struct sigaction a = {.sa_sigaction = fn, .sa_flags = flags | SA_SIGINFO};
	WANT(sigaction(sig, &a, NULL) == 0);
}

static void actions(void)
{
	struct sigaction a = {.sa_handler = count, .sa_flags = SA_RESTART | SA_NODEFER}, old;

	sigemptyset(&a.sa_mask);
	sigaddset(&a.sa_mask, SIGUSR2);
	WANT(sigaction(SIGUSR1, &a, NULL) == 0 && sigaction(SIGUSR1, NULL, &old) == 0);
	WANT(old.sa_handler == count &&
		(old.sa_flags & (SA_RESTART | SA_NODEFER | SA_ONSTACK)) == (SA_RESTART | SA_NODEFER));
	WANT(sigismember(&old.sa_mask, SIGUSR2) && !sigismember(&old.sa_mask, SIGHUP));
	FAILS(sigaction(SIGKILL, &a, NULL), EINVAL);
	FAILS(sigaction(SIGSTOP, &a, NULL), EINVAL);
	FAILS(sigaction(0, &a, NULL), EINVAL);
	FAILS(sigaction(SIGRTMAX + 1, &a, NULL), EINVAL);
	handle(SIGUSR1, SIG_IGN, 0);
	raise(SIGUSR1);
	hits = 0;
	handle(SIGUSR1, count, (int)SA_RESETHAND);
	raise(SIGUSR1);
	WANT(hits == 1 && sigaction(SIGUSR1, NULL, &old) == 0 && old.sa_handler == SIG_DFL);
}

static void sources(void)
{
	union sigval v = {.sival_int = 77};

	handle_info(SIGUSR1, info, 0);
	hits = 0;
	WANT(kill(getpid(), SIGUSR1) == 0 && hits == 1 && last_code == SI_USER && last_pid == getpid());
	WANT(raise(SIGUSR1) == 0 && hits == 2 && last_code == SI_TKILL && last_pid == getpid());
	WANT(sigqueue(getpid(), SIGUSR1, v) == 0 && hits == 3 && last_code == SI_QUEUE && last_value == 77);
	pid_t p = fork();
	if (p == 0) {
		kill(getppid(), SIGUSR1);
		_exit(0);
	}
	int st;
	while (waitpid(p, &st, 0) < 0)
		WANT(errno == EINTR);
	WANT(hits == 4 && last_pid == p);
}

static void nest(int s)
{
	int before = nested;
	depth_seen = nested > depth_seen ? nested : depth_seen;
	if (s == SIGUSR1 && nested < 3) {
		nested++;
		raise(SIGUSR1);
		if (nested != before + 1)
			hits = -1000;
		nested = before;
	}
	hits++;
}

static void during_handler(int s)
{
	sigset_t m;
	sigprocmask(SIG_SETMASK, NULL, &m);
	if (sigismember(&m, s) && sigismember(&m, SIGUSR2) && !sigismember(&m, SIGHUP))
		hits++;
	raise(SIGUSR2); /* held back until this handler is done */
	if (last_code != 0)
		hits = -1000;
}

static void later(int s)
{
	last_code = s;
}

static void masks(void)
{
	struct sigaction a = {.sa_handler = during_handler};
	sigset_t m, was, none;

	sigemptyset(&none);
	hits = 0;
	handle(SIGUSR1, nest, SA_NODEFER);
	raise(SIGUSR1);
	WANT(hits == 4);
	sigemptyset(&a.sa_mask);
	sigaddset(&a.sa_mask, SIGUSR2);
	handle(SIGUSR2, later, 0);
	hits = last_code = 0;
	WANT(sigaction(SIGUSR1, &a, NULL) == 0 && raise(SIGUSR1) == 0);
	WANT(hits == 1 && last_code == SIGUSR2);
	sigfillset(&m);
	WANT(sigprocmask(SIG_SETMASK, &m, &was) == 0 && sigprocmask(SIG_SETMASK, NULL, &m) == 0);
	WANT(!sigismember(&m, SIGKILL) && !sigismember(&m, SIGSTOP) && sigismember(&m, SIGHUP));
	WANT(sigprocmask(SIG_SETMASK, &was, NULL) == 0);
	FAILS(sigprocmask(99, &m, NULL), EINVAL);
	FAILS(syscall(SYS_rt_sigprocmask, SIG_BLOCK, &m, NULL, 4ul), EINVAL);
	/* One pending instance of an ordinary signal, every one of a real-time signal, lowest number first, in order. */
	handle(SIGUSR1, count, 0);
	sigemptyset(&m);
	sigaddset(&m, SIGUSR1);
	sigaddset(&m, SIGRTMIN);
	sigaddset(&m, SIGRTMIN + 1);
	sigprocmask(SIG_BLOCK, &m, NULL);
	hits = 0;
	raise(SIGUSR1);
	raise(SIGUSR1);
	for (int i = 0; i < 4; i++) {
		union sigval v = {.sival_int = i};
		sigqueue(getpid(), SIGRTMIN + 1 - i % 2, v);
	}
	siginfo_t si;
	struct timespec zero = {0, 0};
	WANT(sigwaitinfo(&m, &si) == SIGUSR1);
	int order[4];
	for (int i = 0; i < 4; i++) {
		WANT(sigtimedwait(&m, &si, &zero) >= SIGRTMIN);
		order[i] = si.si_value.sival_int;
	}
	WANT(order[0] == 1 && order[1] == 3 && order[2] == 0 && order[3] == 2);
	FAILS(sigtimedwait(&m, &si, &zero), EAGAIN);
	sigprocmask(SIG_SETMASK, &none, NULL);
	WANT(hits == 0);
}

/* A second process sends a signal while this one sleeps in the kernel: once, for a signal that is blocked until then, or again and
 * again until it is reaped, so that none can come too early. */
static pid_t poke(int sig, int usec, int once)
{
	pid_t me = getpid(), p = fork();
	if (p == 0) {
		do {
			usleep((useconds_t)usec);
			kill(me, sig);
		} while (!once);
		_exit(0);
	}
	return p;
}

static void reap(pid_t p, int once)
{
	if (!once)
		kill(p, SIGKILL);
	while (waitpid(p, NULL, 0) < 0 && errno == EINTR)
		;
}

static void interrupted(void)
{
	int p[2];
	char c;
	struct timespec req = {5, 0}, rem = {0, 0};
	sigset_t none;
	struct timeval tv = {5, 0};

	sigemptyset(&none);
	WANT(pipe(p) == 0);
	handle(SIGUSR1, count, 0);
	hits = 0;
	pid_t k = poke(SIGUSR1, 30000, 0);
	FAILS(read(p[0], &c, 1), EINTR);
	reap(k, 0);
	k = poke(SIGUSR1, 30000, 0);
	FAILS(nanosleep(&req, &rem), EINTR);
	WANT(rem.tv_sec == 4 && rem.tv_nsec > 0);
	reap(k, 0);
	k = poke(SIGUSR1, 30000, 0);
	WANT(clock_nanosleep(CLOCK_MONOTONIC, 0, &req, &rem) == EINTR && rem.tv_sec == 4);
	reap(k, 0);
	k = poke(SIGUSR1, 30000, 0);
	FAILS(poll(NULL, 0, 5000), EINTR);
	reap(k, 0);
	k = poke(SIGUSR1, 30000, 0);
	FAILS(select(0, NULL, NULL, NULL, &tv), EINTR);
	reap(k, 0);
	k = poke(SIGUSR1, 30000, 0);
	FAILS(pause(), EINTR);
	reap(k, 0);
	WANT(hits >= 6);
	/* With SA_RESTART a read goes on, poll and nanosleep still do not. */
	handle(SIGUSR1, count, SA_RESTART);
	hits = 0;
	taken = mmap(NULL, sizeof(*taken), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	k = fork();
	if (k == 0) {
		for (int i = 0; i < 3; i++) {
			usleep(15000);
			kill(getppid(), SIGUSR1);
			while (*taken <= i)
				usleep(1000);
		}
		usleep(15000);
		(void)!write(p[1], "r", 1);
		_exit(0);
	}
	WANT(read(p[0], &c, 1) == 1 && c == 'r' && hits == 3);
	int st;
	WANT(waitpid(k, &st, 0) == k);
	k = poke(SIGUSR1, 30000, 0);
	FAILS(nanosleep(&req, &rem), EINTR);
	reap(k, 0);
	k = poke(SIGUSR1, 30000, 0);
	FAILS(poll(NULL, 0, 5000), EINTR);
	reap(k, 0);
	/* An ignored signal interrupts nothing. */
	handle(SIGUSR1, SIG_IGN, 0);
	k = fork();
	if (k == 0) {
		kill(getppid(), SIGUSR1);
		usleep(20000);
		(void)!write(p[1], "i", 1);
		_exit(0);
	}
	WANT(read(p[0], &c, 1) == 1 && c == 'i');
	reap(k, 1);
	/* waitpid restarts. */
	handle(SIGUSR1, count, SA_RESTART);
	hits = 0;
	pid_t slow = fork();
	if (slow == 0) {
		usleep(60000);
		_exit(8);
	}
	k = poke(SIGUSR1, 10000, 0);
	WANT(waitpid(slow, &st, 0) == slow && WEXITSTATUS(st) == 8 && hits >= 1);
	reap(k, 0);
	close(p[0]);
	close(p[1]);
}

/* The mask changes, waits and comes back as one step. */
static void atomic_masks(void)
{
	sigset_t blocked, none, now;
	struct timespec wait = {5, 0};
	struct epoll_event ev;
	int ep = epoll_create1(0);

	sigemptyset(&none);
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGUSR1);
	handle(SIGUSR1, count, SA_RESTART);
	sigprocmask(SIG_SETMASK, &blocked, NULL);
	hits = 0;
	raise(SIGUSR1);
	WANT(hits == 0);
	FAILS(sigsuspend(&none), EINTR);
	WANT(hits == 1);
	raise(SIGUSR1);
	FAILS(ppoll(NULL, 0, &wait, &none), EINTR);
	WANT(hits == 2);
	raise(SIGUSR1);
	FAILS(pselect(0, NULL, NULL, NULL, &wait, &none), EINTR);
	WANT(hits == 3);
	raise(SIGUSR1);
	FAILS(epoll_pwait(ep, &ev, 1, 5000, &none), EINTR);
	WANT(hits == 4);
	sigprocmask(SIG_SETMASK, NULL, &now);
	WANT(sigismember(&now, SIGUSR1));
	for (int i = 0; i < 50; i++) {
		pid_t k = poke(SIGUSR1, i * 20, 1);
		FAILS(sigsuspend(&none), EINTR);
		reap(k, 1);
	}
	WANT(hits == 54);
	int fd = signalfd(-1, &blocked, SFD_NONBLOCK);
	struct signalfd_siginfo s;
	FAILS(read(fd, &s, sizeof(s)), EAGAIN);
	raise(SIGUSR1);
	WANT(read(fd, &s, sizeof(s)) == sizeof(s) && s.ssi_signo == SIGUSR1 &&
		s.ssi_pid == (uint32_t)getpid());
	close(fd);
	close(ep);
	sigprocmask(SIG_SETMASK, &none, NULL);
	WANT(hits == 54);
}

static void timers(void)
{
	struct itimerval it = {{0, 2000}, {0, 2000}}, off = {{0, 0}, {0, 0}}, was;
	timer_t t;
	struct sigevent se = {
		.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 2, .sigev_value.sival_int = 99};
	struct itimerspec ts = {.it_value = {0, 3000000}};

	handle(SIGALRM, count, SA_RESTART);
	hits = 0;
	WANT(setitimer(ITIMER_REAL, &it, NULL) == 0);
	while (hits < 20)
		pause();
	WANT(setitimer(ITIMER_REAL, &off, &was) == 0 && was.it_interval.tv_usec == 2000);
	handle(SIGVTALRM, count, 0);
	hits = 0;
	it.it_interval.tv_usec = it.it_value.tv_usec = 4000;
	WANT(setitimer(ITIMER_VIRTUAL, &it, NULL) == 0);
	while (hits < 3)
		;
	setitimer(ITIMER_VIRTUAL, &off, NULL);
	handle_info(SIGRTMIN + 2, info, 0);
	hits = 0;
	WANT(timer_create(CLOCK_MONOTONIC, &se, &t) == 0 && timer_settime(t, 0, &ts, NULL) == 0);
	while (hits < 1)
		usleep(100);
	WANT(last_code == SI_TIMER && last_value == 99);
	WANT(timer_delete(t) == 0);
	hits = 0;
	WANT(alarm(1) == 0);
	FAILS(pause(), EINTR);
	WANT(hits == 1);
}

static void child_handler(int s)
{
	int e = errno, st;
	(void)s;
	while (waitpid(-1, &st, WNOHANG) > 0)
		hits += WEXITSTATUS(st);
	errno = e;
}

static void children(void)
{
	sigset_t m, none;

	sigemptyset(&none);
	sigemptyset(&m);
	sigaddset(&m, SIGCHLD);
	handle(SIGCHLD, child_handler, SA_RESTART | SA_NOCLDSTOP);
	hits = 0;
	sigprocmask(SIG_BLOCK, &m, NULL);
	for (int i = 0; i < 60; i++)
		if (fork() == 0)
			_exit(1);
	while (hits < 60)
		sigsuspend(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	handle(SIGCHLD, SIG_IGN, 0); /* then children leave no zombie */
	pid_t p = fork();
	if (p == 0)
		_exit(1);
	FAILS(waitpid(p, NULL, 0), ECHILD);
	handle(SIGCHLD, SIG_DFL, 0);
}

static volatile int flag;

/* Changes what the interrupted code goes on with. */
static void edit(int s, siginfo_t *si, void *p)
{
	ucontext_t *uc = p;
	(void)s;
	(void)si;
	hits++;
	if (sigismember(&uc->uc_sigmask, SIGUSR1))
		hits = -1000; /* the mask to go back to does not hold the signal in hand */
	sigaddset(&uc->uc_sigmask, SIGHUP);
	uc->uc_mcontext.gregs[REG_RBX] = 0x1234;
	__asm__ volatile("pxor %%xmm7,%%xmm7; pxor %%xmm15,%%xmm15; fldz; fstp %%st(0)" ::: "xmm7", "xmm15");
}

static void context(void)
{
	long rbx;
	double in[2] = {3.25, -8.5}, out[2] = {0, 0}, red = 0;
	sigset_t m;
	unsigned mxcsr = 0, rounding = 0x7f80; /* round toward zero, exceptions masked */

	handle_info(SIGUSR1, edit, 0);
	hits = 0;
	__asm__ volatile("ldmxcsr %5\n\t"
			 "movupd %4,%%xmm7\n\t"
			 "movupd %4,%%xmm15\n\t"
			 "mov $39,%%eax\n\t" /* getpid */
			 "syscall\n\t"
			 "mov %%eax,%%edi\n\t"
			 "mov $10,%%esi\n\t" /* SIGUSR1 */
			 "mov $7,%%ebx\n\t"
			 "mov $62,%%eax\n\t" /* kill */
			 "syscall\n\t"
			 "mov %%rbx,%0\n\t"
			 "movupd %%xmm7,%1\n\t"
			 "movsd %%xmm15,%2\n\t"
			 "stmxcsr %3"
			 : "=r"(rbx), "=m"(out), "=m"(red), "=m"(mxcsr)
			 : "m"(in), "m"(rounding)
			 : "rax", "rbx", "rcx", "rdi", "rsi", "r11", "xmm7", "xmm15", "memory");
	unsigned usual = 0x1f80;
	__asm__ volatile("ldmxcsr %0" ::"m"(usual));
	WANT(hits == 1 && rbx == 0x1234);
	WANT(out[0] == 3.25 && out[1] == -8.5 && red == 3.25);
	WANT((mxcsr & 0x6000) == 0x6000);
	sigprocmask(SIG_SETMASK, NULL, &m);
	WANT(sigismember(&m, SIGHUP));
	sigemptyset(&m);
	sigprocmask(SIG_SETMASK, &m, NULL);
}

/* A timer interrupts a loop that keeps a sum in registers, the red zone and vector registers: nothing may be lost. */
static void undisturbed(void)
{
	struct itimerval it = {{0, 300}, {0, 300}}, off = {{0, 0}, {0, 0}};
	double f = 0;
	uint64_t n = 0;

	handle_info(SIGALRM, info, SA_RESTART);
	hits = 0;
	setitimer(ITIMER_REAL, &it, NULL);
	while (hits < 200) {
		uint64_t a = 0;
		double one = 1, g = 0;
		__asm__ volatile("movsd %3,%%xmm9\n\t"
				 "pxor %%xmm8,%%xmm8\n\t"
				 "mov $20000,%%ecx\n\t"
				 "xor %%eax,%%eax\n"
				 "1: mov %%rax,-64(%%rsp)\n\t"
				 "addsd %%xmm9,%%xmm8\n\t"
				 "mov -64(%%rsp),%%rdx\n\t"
				 "lea 1(%%rdx),%%rax\n\t"
				 "dec %%ecx\n\t"
				 "jnz 1b\n\t"
				 "movsd %%xmm8,%1\n\t"
				 "mov %%rax,%0"
				 : "=r"(a), "=m"(g)
				 : "0"(a), "m"(one)
				 : "rax", "rcx", "rdx", "xmm8", "xmm9", "memory", "cc");
		WANT(a == 20000 && g == 20000.0);
		n += a;
		f += g;
	}
	setitimer(ITIMER_REAL, &off, NULL);
	WANT((double)n == f);
}

static void on_stack(int s)
{
	stack_t now;
	(void)s;
	WANT(sigaltstack(NULL, &now) == 0 && now.ss_flags == SS_ONSTACK);
	WANT((char *)&now > (char *)now.ss_sp && (char *)&now < (char *)now.ss_sp + now.ss_size);
	FAILS(sigaltstack(&now, NULL), EPERM);
	hits++;
}

static void off_stack(int s)
{
	stack_t now;
	(void)s;
	WANT(sigaltstack(NULL, &now) == 0 && now.ss_flags == 0);
	hits++;
}

static void alternate_stack(void)
{
	static char area[65536];
	stack_t ss = {.ss_sp = area, .ss_size = sizeof(area)}, was;

	WANT(sigaltstack(NULL, &was) == 0 && was.ss_flags == SS_DISABLE);
	WANT(sigaltstack(&ss, NULL) == 0 && sigaltstack(NULL, &was) == 0 && was.ss_sp == area &&
		was.ss_size == sizeof(area));
	hits = 0;
	handle(SIGUSR1, on_stack, SA_ONSTACK);
	raise(SIGUSR1);
	handle(SIGUSR1, off_stack, 0);
	raise(SIGUSR1);
	WANT(hits == 2);
	ss.ss_size = 100;
	FAILS(sigaltstack(&ss, NULL), ENOMEM);
	ss.ss_flags = 0x40;
	FAILS(sigaltstack(&ss, NULL), EINVAL);
	ss.ss_flags = SS_DISABLE;
	WANT(sigaltstack(&ss, NULL) == 0);
}

int main(void)
{
	static const struct {
		const char *name;
		void (*fn)(void);
	} parts[] = {{"actions", actions}, {"sources", sources}, {"masks", masks},
		{"interrupted", interrupted}, {"atomic masks", atomic_masks}, {"timers", timers},
		{"children", children}, {"context", context}, {"undisturbed", undisturbed},
		{"alternate stack", alternate_stack}};
	for (unsigned i = 0; i < sizeof(parts) / sizeof(*parts); i++) {
		section(parts[i].name);
		parts[i].fn();
	}
	return want_done();
}
