/*
 * net_wait: poll, select and epoll while a handshake runs. A socket in a handshake is waited for with what the handshake needs; to the program it is
 * not ready before it is over. Without a handshake under way the kernel alone answers.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <time.h>
#include "host/host.h"
#include "runtime/net.h"
#include "runtime/sys/net.h"
#include "runtime/sys/table.h"

#define POLL_MAX 65536
#define EVENTS_MAX 256 /* of epoll at once: fewer than asked for is allowed */
#define SETS_MAX 65536 /* descriptors of select */
#define NS 1000000000LL
#define FOREVER INT64_MAX

static int64_t now(void)
{
	struct timespec t;

	host_call2(SYS_clock_gettime, CLOCK_MONOTONIC, (long)&t);
	return (int64_t)t.tv_sec * NS + t.tv_nsec;
}

/* When a wait of so long is over. */
static int64_t end_of(const struct timespec *t)
{
	if (!t || t->tv_sec > INT32_MAX)
		return FOREVER;
	return now() + (int64_t)t->tv_sec * NS + t->tv_nsec;
}

static struct timespec left_of(int64_t end)
{
	int64_t left = end == FOREVER ? INT32_MAX * NS : end - now();

	if (left < 0)
		left = 0;
	return (struct timespec){.tv_sec = left / NS, .tv_nsec = left % NS};
}

/* A mask of the program's for the duration of a call: SIGSYS stays deliverable. */
static long take_mask(uint64_t user, uint64_t size, uint64_t *mask, uint64_t **ret)
{
	*ret = NULL;
	if (!user)
		return 0;
	if (size != sizeof(*mask))
		return -EINVAL;
	if (user_copy(mask, (const void *)user, sizeof(*mask)) < 0)
		return -EFAULT;
	*mask &= ~SIG_BIT(SIGSYS);
	*ret = mask;
	return 0;
}

/* What to wait for on fd instead of what the program wants; 0: that. */
static int instead(struct thread *t, int fd)
{
	struct net_local *l = net_get(t->proc, fd);
	int want;

	if (!l)
		return 0;
	want = net_drive(t->proc, l, fd);
	net_put(l);
	return want;
}

/* --- poll --- */

struct poll_set {
	struct pollfd *host; /* what the kernel is asked */
	const struct pollfd *user;
	uint8_t *shakes; /* by index: asked for a handshake's sake */
	size_t n;
};

/* True: at least one is in a handshake. */
static bool arrange(struct thread *t, struct poll_set *s)
{
	bool any = false;

	for (size_t i = 0; i < s->n; i++) {
		int want = s->user[i].fd >= 0 ? instead(t, s->user[i].fd) : 0;

		s->host[i] = s->user[i];
		s->host[i].revents = 0;
		s->shakes[i] = want != 0;
		if (want) {
			s->host[i].events = (short)want;
			any = true;
		}
	}
	return any;
}

/* Ready ones that the program may see; the others are driven on at the next turn. */
static long visible(struct poll_set *s)
{
	long count = 0;

	for (size_t i = 0; i < s->n; i++) {
		if (s->shakes[i])
			s->host[i].revents = 0;
		count += s->host[i].revents != 0;
	}
	return count;
}

static long poll_on(struct thread *t, struct poll_set *s, int64_t end, const uint64_t *mask)
{
	for (;;) {
		bool any = arrange(t, s);
		int64_t soon = any ? now() + net_patience(t) * 1000000 : FOREVER;
		struct timespec left = left_of(soon < end ? soon : end);
		long ret =
			scone_safe_call6(SYS_ppoll, (long)s->host, (long)s->n, (long)&left, (long)mask, 8, 0);

		if (ret < 0)
			return ret;
		ret = any ? visible(s) : ret;
		if (ret > 0 || (end != FOREVER && now() >= end))
			return ret;
	}
}

static long poll_any(struct thread *t, uint64_t user, uint64_t n, int64_t end, const uint64_t *mask)
{
	size_t len = n * sizeof(struct pollfd), all = 2 * len + n + 1;
	struct poll_set s = {.n = n};
	struct pollfd *copy;
	long at, ret;

	if (n > POLL_MAX)
		return -EINVAL;
	at = host_mmap(NULL, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (host_failed(at))
		return -ENOMEM;
	copy = (struct pollfd *)at;
	s.user = copy;
	s.host = copy + n;
	s.shakes = (uint8_t *)(s.host + n);
	ret = user_copy(copy, (const void *)user, len) < 0 ? -EFAULT : poll_on(t, &s, end, mask);
	for (size_t i = 0; ret >= 0 && i < n; i++)
		if (user_copy((void *)(user + i * sizeof(*copy) + offsetof(struct pollfd, revents)),
			    &s.host[i].revents, sizeof(s.host[i].revents)) < 0)
			ret = -EFAULT;
	host_munmap((void *)at, all);
	return ret;
}

long sys_poll(struct regs *r, struct thread *t)
{
	int ms = (int)r->rdx;
	struct timespec limit = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};

	return poll_any(t, r->rdi, (uint32_t)r->rsi, end_of(ms < 0 ? NULL : &limit), NULL);
}

static long give_left(uint64_t user, int64_t end)
{
	struct timespec left = left_of(end);

	return end == FOREVER || user_copy((void *)user, &left, sizeof(left)) == 0 ? 0 : -EFAULT;
}

long sys_ppoll_slow(struct regs *r, struct thread *t)
{
	struct timespec limit;
	uint64_t mask, *masked;
	int64_t end;
	long ret = take_mask(r->r10, r->r8, &mask, &masked);

	if (ret == 0 && r->rdx && user_copy(&limit, (const void *)r->rdx, sizeof(limit)) < 0)
		ret = -EFAULT;
	if (ret < 0)
		return ret;
	end = end_of(r->rdx ? &limit : NULL);
	ret = poll_any(t, r->rdi, (uint32_t)r->rsi, end, masked);
	if (r->rdx && ret != HOST_ERESTART)
		(void)give_left(r->rdx, end);
	return ret;
}

/* --- select: as poll, by other words --- */

static const short set_events[3] = {
	POLLIN | POLLRDNORM | POLLRDBAND, POLLOUT | POLLWRNORM | POLLWRBAND, POLLPRI};
static const short set_ready[3] = {POLLIN | POLLRDNORM | POLLRDBAND | POLLHUP | POLLERR,
	POLLOUT | POLLWRNORM | POLLWRBAND | POLLERR, POLLPRI};

struct select_call {
	uint64_t user[3]; /* the program's sets, or 0 */
	uint8_t set[3][SETS_MAX / 8];
	size_t bytes;
	int n;
};

static long take_sets(struct select_call *c)
{
	for (int k = 0; k < 3; k++) {
		memset(c->set[k], 0, c->bytes);
		if (c->user[k] && user_copy(c->set[k], (const void *)c->user[k], c->bytes) < 0)
			return -EFAULT;
	}
	return 0;
}

static size_t sets_to_polls(const struct select_call *c, struct pollfd *ret)
{
	size_t n = 0;

	for (int fd = 0; fd < c->n; fd++) {
		short events = 0;

		for (int k = 0; k < 3; k++)
			if (c->set[k][fd / 8] >> (fd % 8) & 1)
				events |= set_events[k];
		if (events)
			ret[n++] = (struct pollfd){.fd = fd, .events = events};
	}
	return n;
}

static long polls_to_sets(struct select_call *c, const struct pollfd *p, size_t n)
{
	uint8_t out[3][SETS_MAX / 8];
	long count = 0;

	for (int k = 0; k < 3; k++)
		memset(out[k], 0, c->bytes);
	for (size_t i = 0; i < n; i++) {
		int fd = p[i].fd;

		if (p[i].revents & POLLNVAL)
			return -EBADF;
		for (int k = 0; k < 3; k++) {
			if (!(c->set[k][fd / 8] >> (fd % 8) & 1) || !(p[i].revents & set_ready[k]))
				continue;
			out[k][fd / 8] |= (uint8_t)(1 << fd % 8);
			count++;
		}
	}
	for (int k = 0; k < 3; k++)
		if (c->user[k] && user_copy((void *)c->user[k], out[k], c->bytes) < 0)
			return -EFAULT;
	return count;
}

static long select_any(struct regs *r, struct thread *t, int64_t end, const uint64_t *mask)
{
	struct select_call c = {.user = {r->rsi, r->rdx, r->r10}, .n = (int)r->rdi};
	struct poll_set s;
	size_t len;
	long at, ret;

	if (c.n < 0)
		return -EINVAL;
	if (c.n > SETS_MAX)
		c.n = SETS_MAX;
	c.bytes = ((size_t)c.n + 63) / 64 * 8;
	ret = take_sets(&c);
	if (ret < 0)
		return ret;
	len = (size_t)c.n * (2 * sizeof(struct pollfd) + 1) + 1;
	at = host_mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (host_failed(at))
		return -ENOMEM;
	s.user = (struct pollfd *)at;
	s.n = sets_to_polls(&c, (struct pollfd *)at);
	s.host = (struct pollfd *)at + s.n;
	s.shakes = (uint8_t *)(s.host + s.n);
	ret = poll_on(t, &s, end, mask);
	if (ret >= 0)
		ret = polls_to_sets(&c, s.host, s.n);
	host_munmap((void *)at, len);
	return ret;
}

long sys_select(struct regs *r, struct thread *t)
{
	struct timeval limit;
	struct timespec span;
	int64_t end;
	long ret;

	if (r->r8 && user_copy(&limit, (const void *)r->r8, sizeof(limit)) < 0)
		return -EFAULT;
	if (r->r8 && (limit.tv_sec < 0 || limit.tv_usec < 0))
		return -EINVAL;
	span = (struct timespec){limit.tv_sec + limit.tv_usec / 1000000, limit.tv_usec % 1000000 * 1000};
	end = end_of(r->r8 ? &span : NULL);
	ret = select_any(r, t, end, NULL);
	if (r->r8 && end != FOREVER && ret != HOST_ERESTART) {
		span = left_of(end);
		limit = (struct timeval){span.tv_sec, span.tv_nsec / 1000};
		if (user_copy((void *)r->r8, &limit, sizeof(limit)) < 0)
			return ret; /* as the kernel: the time left is a courtesy */
	}
	return ret;
}

long sys_pselect6_slow(struct regs *r, struct thread *t)
{
	struct {
		uint64_t ptr, size;
	} arg = {0, 0};
	struct timespec limit;
	uint64_t mask, *masked;
	int64_t end;
	long ret;

	if ((r->r8 && user_copy(&limit, (const void *)r->r8, sizeof(limit)) < 0) ||
		(r->r9 && user_copy(&arg, (const void *)r->r9, sizeof(arg)) < 0))
		return -EFAULT;
	ret = take_mask(arg.ptr, arg.size, &mask, &masked);
	if (ret < 0)
		return ret;
	end = end_of(r->r8 ? &limit : NULL);
	ret = select_any(r, t, end, masked);
	if (r->r8 && ret != HOST_ERESTART)
		(void)give_left(r->r8, end);
	return ret;
}

/* --- epoll --- */

/* A watch on a socket that is not open is remembered, and in a handshake ours is put in its place. */
long net_epoll_ctl(struct regs *r, struct thread *t, const struct fd_entry *e)
{
	struct net_local *l = net_get(t->proc, (int)r->rdx);
	int epfd = (int)r->rdi, fd = (int)r->rdx, op = (int)r->rsi;
	struct epoll_event event;
	uint32_t state;
	long ret;

	if (!l)
		return scone_safe_call(SYS_epoll_ctl, r);
	ret = scone_safe_call(SYS_epoll_ctl, r);
	state = __atomic_load_n(&net_conn(l)->state, __ATOMIC_ACQUIRE);
	if (ret == 0 && op == EPOLL_CTL_DEL)
		net_watch_drop(l, epfd, fd);
	else if (ret == 0 && state < NET_OPEN &&
		 user_copy(&event, (const void *)r->r10, sizeof(event)) == 0) {
		if (net_watch_set(l, epfd, fd, event.events, event.data.u64) < 0)
			ret = -ENOMEM;
		else if (state != NET_FRESH)
			net_drive(t->proc, l, fd);
	}
	net_put(l);
	return ret;
}

/* Events of the program's; those of sockets in a handshake drive it. */
static long sort_events(struct thread *t, struct epoll_event *e, long n)
{
	long kept = 0;

	for (long i = 0; i < n; i++) {
		uint32_t slot;

		if (net_watch_ours(e[i].data.u64, &slot))
			net_drive_slot(t->proc, slot);
		else
			e[kept++] = e[i];
	}
	return kept;
}

static long epoll_on(struct regs *r, struct thread *t, int64_t end, const uint64_t *mask)
{
	struct epoll_event events[EVENTS_MAX];
	int max = (int)r->rdx;
	long ret;

	if (max <= 0)
		return -EINVAL;
	if (max > EVENTS_MAX)
		max = EVENTS_MAX;
	do {
		struct timespec left = left_of(end);

		ret = scone_safe_call6(SYS_epoll_pwait2, (long)r->rdi, (long)events, max,
			end == FOREVER ? 0 : (long)&left, (long)mask, 8);
		if (ret == -ENOSYS) {
			int64_t ms = (left.tv_sec * NS + left.tv_nsec + 999999) / 1000000;

			ret = scone_safe_call6(SYS_epoll_pwait, (long)r->rdi, (long)events, max,
				end == FOREVER	 ? -1
				: ms < INT32_MAX ? ms
						 : INT32_MAX,
				(long)mask, 8);
		}
		if (ret > 0)
			ret = sort_events(t, events, ret);
	} while (ret == 0 && (end == FOREVER || now() < end));
	if (ret > 0 && user_copy((void *)r->rsi, events, (size_t)ret * sizeof(events[0])) < 0)
		return -EFAULT;
	return ret;
}

static int64_t end_of_ms(int ms)
{
	struct timespec limit = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};

	return end_of(ms < 0 ? NULL : &limit);
}

long sys_epoll_wait(struct regs *r, struct thread *t)
{
	return epoll_on(r, t, end_of_ms((int)r->r10), NULL);
}

long sys_epoll_pwait_slow(struct regs *r, struct thread *t)
{
	struct timespec limit;
	uint64_t mask, *masked;
	long ret = take_mask(r->r8, r->r9, &mask, &masked);

	if (ret < 0)
		return ret;
	if (r->nr == SYS_epoll_pwait)
		return epoll_on(r, t, end_of_ms((int)r->r10), masked);
	if (r->r10 && user_copy(&limit, (const void *)r->r10, sizeof(limit)) < 0)
		return -EFAULT;
	return epoll_on(r, t, end_of(r->r10 ? &limit : NULL), masked);
}

/* The descriptor that decides is the third. */
long sys_epoll_ctl(struct regs *r, struct thread *t)
{
	return fd_call(r, t, (int)r->rdx);
}
