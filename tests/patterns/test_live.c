/*
 * test_live: patched code does what the original did.
 *
 * First the functions of patterns.S, patched where they lie; then a second copy of libc (its own namespace) under the rules of the
 * runtime, never writable and executable at once; last the very libc that this program runs on, with threads, children and signals.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>
#include "host/host.h"
#include "pattern_code.h"
#include "runtime/x86_64/rewrite.h"
#include "runtime/x86_64/rewrite_cache.h"
#include "runtime/x86_64/rewrite_elf.h"

static int failures;

static void expect(bool ok, const char *what, long seen, long wanted)
{
	if (ok)
		return;
	printf("FAIL: %s: %ld (%#lx), expected %ld (%#lx)\n", what, seen, (unsigned long)seen, wanted,
		(unsigned long)wanted);
	fflush(stdout);
	failures++;
}

static void same(const char *what, long seen, long wanted)
{
	expect(seen == wanted, what, seen, wanted);
}

/* --- the functions of patterns.S --- */

long p_mov_eax(void), p_mov_rax(void), p_mov_branch_to_syscall(int), p_mov_with_table(int), p_mov_twice(void),
	p_tail_cmp(int), p_tail_ret_padding(int), p_tail_mov_test(int), p_tail_pop_ret(int),
	p_tail_jump_far(int), p_tail_jump_near(int), p_flags_red_zone(int), p_mov_flags(void),
	p_tail_loop(int), p_tail_near_neighbour(int), p_short_two_calls(int, int), p_overlap(int),
	p_branch_into_mov_tail(void), p_jump_behind(long, uint64_t);

#define CARRY_AND_DIRECTION 0x401

/* Every patched pattern, twice over for those that take a call number. calls: how many go through the entry once patched. */
static void run_patterns(bool patched)
{
	uint64_t before = test_entry_calls;
	long pid = getpid(), ppid = getppid(), uid = (long)getuid();

	same("p_mov_eax", p_mov_eax(), pid);
	same("p_mov_rax", p_mov_rax(), ppid);
	same("p_mov_branch_to_syscall", p_mov_branch_to_syscall(0), pid);
	same("p_mov_branch_to_syscall, around the patch", p_mov_branch_to_syscall(1), ppid);
	same("p_mov_with_table", p_mov_with_table(0), pid);
	same("p_mov_with_table", p_mov_with_table(1), 0);
	same("p_mov_twice", p_mov_twice(), ppid);
	same("p_tail_cmp", p_tail_cmp(SYS_getppid), ppid);
	same("p_tail_cmp, error", (int)p_tail_cmp(-1), -1);
	same("p_tail_ret_padding", p_tail_ret_padding(SYS_getuid), uid);
	same("p_tail_mov_test", p_tail_mov_test(SYS_getppid), ppid);
	same("p_tail_mov_test, error", p_tail_mov_test(-1), -ENOSYS);
	same("p_tail_pop_ret", p_tail_pop_ret(SYS_getppid), ppid);
	same("p_tail_jump_far", p_tail_jump_far(SYS_getppid), ppid + 1000);
	same("p_tail_jump_near", p_tail_jump_near(SYS_getppid), ppid + 2000);
	same("p_flags_red_zone", p_flags_red_zone(SYS_getppid), 1);
	same("p_mov_flags", p_mov_flags() & CARRY_AND_DIRECTION, CARRY_AND_DIRECTION);
	same("p_tail_loop", p_tail_loop(SYS_getppid), ppid);
	same("p_tail_near_neighbour", p_tail_near_neighbour(SYS_getppid), ppid);
	same("p_short_two_calls", p_short_two_calls(SYS_getppid, SYS_getpid), pid);
	same("p_overlap", p_overlap(SYS_getppid), pid);
	same("p_branch_into_mov_tail", p_branch_into_mov_tail(), -ENOSYS);
	same("calls through the entry", (long)(test_entry_calls - before), patched ? 21 : 0);
}

/* The trampoline that a patched window leads to. */
static uint64_t window_target(uint64_t native)
{
	int32_t rel;

	memcpy(&rel, (const void *)(native + 1), sizeof rel);
	return native + 5 + (uint64_t)(int64_t)rel;
}

/* Both translations, at every instruction start of every window and trampoline. */
static void check_translation(const uint8_t *base, const struct rewrite_plan *plan)
{
	for (uint32_t i = 0; i < plan->count; i++) {
		const struct rewrite_site *s = &plan->sites[i];
		uint64_t native = (uint64_t)(base + s->off), tramp = window_target(native), ip, back;
		size_t head = s->form == REWRITE_MOV ? s->len + 7u : 7u;

		same("window begins with a jump", base[s->off], 0xe9);
		same("trampoline's start", rewrite_native_ip(tramp, &ip) ? (long)ip : -1, (long)native);
		same("trampoline's jump", rewrite_native_ip(tramp + head, &ip) ? (long)ip : -1, (long)native);
		expect(!rewrite_resume_ip(native, &ip), "resume at a window's start", 1, 0);
		expect(!rewrite_resume_ip(native + s->len, &ip) || s[1].off == s->off + s->len,
			"resume behind a window", 1, 0);
		for (unsigned k = 1; k < s->len; k++) {
			bool known = rewrite_resume_ip(native + k, &ip);

			same("resume inside a window", known, s->bounds >> k & 1);
			if (!known)
				continue;
			same("native of resume", rewrite_native_ip(ip, &back) ? (long)back : -1,
				(long)(native + k));
			/* A short jump has become a long one; all else is repeated as it was. */
			same("displaced byte", *(const uint8_t *)ip,
				s->bytes[k] == 0xeb ? 0xe9 : s->bytes[k]);
		}
		if (s->form == REWRITE_TAIL)
			same("byte behind a patched syscall", base[s->off + 2], 0xcc);
	}
}

static uint64_t trapped_at, resumed_at;

static void on_trap(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;

	trapped_at = (uint64_t)uc->uc_mcontext.gregs[REG_RIP];
	if (!rewrite_resume_ip(trapped_at - 1, &resumed_at))
		_exit(99);
	uc->uc_mcontext.gregs[REG_RIP] = (greg_t)resumed_at;
}

/* Code that jumps by itself to just behind a patched call, as a signal handler that returns by hand does. */
static void check_jump_behind(const uint8_t *base, const struct rewrite_plan *plan)
{
	struct sigaction sa = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO}, old;
	const uint8_t *function = (const uint8_t *)p_tail_cmp;

	sigaction(SIGTRAP, &sa, &old);
	for (uint32_t i = 0; i < plan->count; i++) {
		const uint8_t *site = base + plan->sites[i].off;

		if (site < function || site > function + 16)
			continue;
		same("jump behind a patched call", p_jump_behind(42, (uint64_t)site + 2), 42);
		same("trap address", (long)trapped_at, (long)site + 3);
	}
	expect(trapped_at != 0, "traps", 0, 1);
	sigaction(SIGTRAP, &old, NULL);
}

/* Re-executing from where the translation says is right: a signal at any moment sees only addresses of the original code. */
static volatile sig_atomic_t ticks, strangers;
static uint64_t tick_lo, tick_hi;

static void on_tick(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;
	uint64_t ip = (uint64_t)uc->uc_mcontext.gregs[REG_RIP], native, back;

	ticks++;
	if (!rewrite_native_ip(ip, &native))
		return;
	if (native < tick_lo || native >= tick_hi)
		strangers++;
	/* Go on by the native address, as after rt_sigreturn of a frame that the program saw. */
	uc->uc_mcontext.gregs[REG_RIP] = (greg_t)(rewrite_resume_ip(native, &back) ? back : native);
}

static void check_signals(const uint8_t *addr, size_t len)
{
	struct sigaction sa = {.sa_sigaction = on_tick, .sa_flags = SA_SIGINFO | SA_RESTART}, old;
	struct itimerval timer = {{0, 200}, {0, 200}}, off = {{0, 0}, {0, 0}};
	long ppid = getppid(), wrong = 0;

	tick_lo = (uint64_t)addr;
	tick_hi = tick_lo + len;
	ticks = strangers = 0;
	sigaction(SIGALRM, &sa, &old);
	setitimer(ITIMER_REAL, &timer, NULL);
	while (ticks < 3000) {
		wrong += p_tail_cmp(SYS_getppid) != ppid;
		wrong += getppid() != ppid;
		wrong += syscall(SYS_getppid) != ppid;
		wrong += p_mov_rax() != ppid;
		wrong += p_flags_red_zone(SYS_getppid) != 1;
	}
	setitimer(ITIMER_REAL, &off, NULL);
	sigaction(SIGALRM, &old, NULL);
	same("wrong answers under signals", wrong, 0);
	same("signals at addresses outside the code", strangers, 0);
}

static void test_patterns(void)
{
	size_t len = (size_t)(patterns_page_end - patterns_start), half;
	void *page = (void *)patterns_start;
	uint8_t *copy = malloc(len);
	struct rewrite_plan *plan;
	uint64_t ip, tramp;
	int n;

	memcpy(copy, page, len);
	run_patterns(false);
	if (plan_patterns(NULL, &plan) < 0) {
		expect(false, "plan", 0, 1);
		return;
	}
	mprotect(page, len, PROT_READ | PROT_WRITE);
	n = rewrite_apply(page, len, plan, test_entry);
	same("patched sites", n, plan->count);
	same("patched again", rewrite_apply(page, len, plan, test_entry), 0);
	mprotect(page, len, PROT_READ | PROT_EXEC);
	run_patterns(true);
	check_translation(patterns_start, plan);
	check_jump_behind(patterns_start, plan);
	check_signals(patterns_start, len);

	tramp = window_target((uint64_t)patterns_start + plan->sites[0].off);
	expect(rewrite_owns((void *)tramp, 1), "owns its trampolines", 0, 1);
	expect(!rewrite_owns(page, len), "does not own the image", 1, 0);
	for (half = 0; half < plan->count && plan->sites[half].form != REWRITE_TAIL; half++)
		;
	rewrite_forget(page, len);
	expect(!rewrite_resume_ip((uint64_t)patterns_start + plan->sites[half].off + 2, &ip), "forgotten", 1,
		0);
	expect(rewrite_native_ip(tramp, &ip), "trampolines of forgotten code stay", 0, 1);

	/* The same code at the same place again: the same trampolines serve. */
	mprotect(page, len, PROT_READ | PROT_WRITE);
	memcpy(page, copy, len);
	same("patched anew", rewrite_apply(page, len, plan, test_entry), plan->count);
	same("trampoline in use again", (long)window_target((uint64_t)patterns_start + plan->sites[0].off),
		(long)tramp);

	/* Changed bytes: only that site stays as it is. */
	rewrite_forget(page, len);
	memcpy(page, copy, len);
	((uint8_t *)page)[plan->sites[1].off + 1] ^= 1;
	same("patched around a changed site", rewrite_apply(page, len, plan, test_entry), plan->count - 1);
	expect(((uint8_t *)page)[plan->sites[1].off] != 0xe9, "changed site is left alone", 0, 1);
	rewrite_forget(page, len);
	memcpy(page, copy, len);
	mprotect(page, len, PROT_READ | PROT_EXEC);
	run_patterns(false);
	free(copy);
	free(plan);
}

/* --- libc --- */

struct text {
	uint8_t *addr;
	size_t len;
	const struct rewrite_plan *plan;
};

static const char *libc_path;

static bool find_text(void *handle, struct text *ret)
{
	struct link_map *map;
	struct elf_ranges e;
	struct stat st;
	bool found = false;
	int fd;

	if (dlinfo(handle, RTLD_DI_LINKMAP, &map) != 0)
		return false;
	libc_path = map->l_name;
	fd = open(map->l_name, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0 ||
		elf_ranges_open(&e, (struct elf_source){.fd = fd, .size = (uint64_t)st.st_size}) < 0)
		return false;
	for (size_t i = 0; i < e.seg_count && !found; i++) {
		if (!e.segs[i].exec)
			continue;
		ret->addr = (uint8_t *)map->l_addr + e.segs[i].vaddr;
		ret->len = (e.segs[i].filesz + 4095) & ~(size_t)4095;
		found = rewrite_plan_get(fd, &st, e.segs[i].off, ret->len, &ret->plan) == 0;
	}
	elf_ranges_close(&e);
	close(fd);
	return found;
}

/* A copy of libc that nothing runs in: written, then executed. */
static void test_second_libc(void)
{
	void *handle = dlmopen(LM_ID_NEWLM, "libc.so.6", RTLD_NOW);
	long (*get)(void), (*call)(long, ...);
	ssize_t (*read_)(int, void *, size_t), (*write_)(int, const void *, size_t);
	int (*pipe_)(int *), (*close_)(int), *(*errno_)(void);
	uint64_t before = test_entry_calls;
	char text[16] = "";
	struct text t;
	int p[2];

	if (!handle || !find_text(handle, &t)) {
		expect(false, "second libc", 0, 1);
		return;
	}
	mprotect(t.addr, t.len, PROT_READ | PROT_WRITE);
	same("patched in libc", rewrite_apply(t.addr, t.len, t.plan, test_entry), t.plan->count);
	mprotect(t.addr, t.len, PROT_READ | PROT_EXEC);
	check_translation(t.addr, t.plan);

	*(void **)&get = dlsym(handle, "getppid");
	same("getppid", get(), getppid());
	*(void **)&get = dlsym(handle, "getpid");
	same("getpid", get(), getpid());
	*(void **)&pipe_ = dlsym(handle, "pipe");
	*(void **)&read_ = dlsym(handle, "read");
	*(void **)&write_ = dlsym(handle, "write");
	*(void **)&close_ = dlsym(handle, "close");
	*(void **)&call = dlsym(handle, "syscall");
	*(void **)&errno_ = dlsym(handle, "__errno_location");
	same("pipe", pipe_(p), 0);
	same("write", write_(p[1], "through", 7), 7);
	same("read", read_(p[0], text, sizeof text), 7);
	same("content", strcmp(text, "through"), 0);
	same("close", close_(p[0]) + close_(p[1]), 0);
	same("close again", close_(p[0]), -1);
	same("errno", *errno_(), EBADF);
	same("syscall", call(SYS_getppid), getppid());
	same("syscall, bad", call(-1L), -1);
	same("calls through the entry", (long)(test_entry_calls - before), 10);
	printf("second libc: %u sites patched in %s\n", t.plan->count, libc_path);
	rewrite_plan_put(t.plan);
}

static void *thread_main(void *arg)
{
	for (int i = 0; i < 2000; i++) {
		if (getppid() != *(long *)arg)
			return (void *)1;
		sched_yield();
		free(malloc(200000 + (size_t)i));
	}
	return NULL;
}

static void use_threads(void)
{
	pthread_t threads[4];
	long ppid = getppid();
	void *ret;

	for (int i = 0; i < 4; i++)
		same("pthread_create", pthread_create(&threads[i], NULL, thread_main, &ppid), 0);
	for (int i = 0; i < 4; i++) {
		pthread_join(threads[i], &ret);
		same("thread", (long)ret, 0);
	}
}

static void use_children(void)
{
	char sh[] = "sh", option[] = "-c", script[] = "exit 7", *args[] = {sh, option, script, NULL},
	     line[64] = "";
	int status = 0;
	pid_t pid;
	FILE *f;

	fflush(stdout);
	pid = fork();
	if (pid == 0)
		_exit(getppid() > 0 ? 5 : 1);
	same("waitpid", waitpid(pid, &status, 0), pid);
	same("fork", WEXITSTATUS(status), 5);
	same("posix_spawn", posix_spawn(&pid, "/bin/sh", NULL, NULL, args, environ), 0);
	waitpid(pid, &status, 0);
	same("spawned", WEXITSTATUS(status), 7);
	pid = vfork();
	if (pid == 0) {
		execv("/bin/sh", args);
		_exit(1);
	}
	waitpid(pid, &status, 0);
	same("vfork", WEXITSTATUS(status), 7);
	f = popen("echo from a pipe", "r");
	expect(f && fgets(line, sizeof line, f), "popen", 0, 1);
	same("line", strcmp(line, "from a pipe\n"), 0);
	same("pclose", f ? pclose(f) : -1, 0);
}

/* The libc under this program. Its pages are executable while they are written to, since the writer runs in them. */
static void test_own_libc(void)
{
	void *handle = dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD);
	uint64_t before = test_entry_calls;
	struct text t;
	int n;

	if (!handle || !find_text(handle, &t)) {
		expect(false, "own libc", 0, 1);
		return;
	}
	host_mprotect(t.addr, t.len, PROT_READ | PROT_WRITE | PROT_EXEC);
	n = rewrite_apply(t.addr, t.len, t.plan, test_entry);
	host_mprotect(t.addr, t.len, PROT_READ | PROT_EXEC);
	same("patched in the own libc", n, t.plan->count);
	use_threads();
	use_children();
	check_signals(t.addr, t.len);
	expect(test_entry_calls - before > 16000, "calls through the entry",
		(long)(test_entry_calls - before), 16000);
	printf("own libc: %lu calls through the entry\n", (unsigned long)(test_entry_calls - before));
}

int main(void)
{
	struct rewrite_counters c;

	test_patterns();
	test_second_libc();
	test_own_libc();
	rewrite_count(&c);
	printf("images %u patched %u differs %u no room %u, %d failed\n", c.images, c.patched, c.differs,
		c.no_room, failures);
	return failures ? 1 : 0;
}
