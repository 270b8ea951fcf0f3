#include "wire/sock.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <time.h>
#include <unistd.h>

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int64_t sock_deadline(int timeout_ms)
{
	return now_ms() + timeout_ms;
}

int sock_wait(int fd, short events, int64_t deadline)
{
	struct pollfd p = {.fd = fd, .events = events};

	for (;;) {
		int64_t left = deadline - now_ms();
		int n;

		if (left <= 0)
			return -ETIMEDOUT;
		n = poll(&p, 1, left > INT_MAX ? INT_MAX : (int)left);
		if (n > 0)
			return 0; /* errors and hang-ups show at the next call on fd */
		if (n < 0 && errno != EINTR)
			return -errno;
	}
}

/* The end of a connect that was begun: 0 or -errno. */
static int finish_connect(int fd, int64_t deadline)
{
	int failure = 0, rc = sock_wait(fd, POLLOUT, deadline);
	socklen_t len = sizeof(failure);

	if (rc < 0)
		return rc;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &failure, &len) < 0)
		return -errno;
	return -failure;
}

int sock_connect(int family, const struct sockaddr *a, socklen_t n, int64_t deadline)
{
	int rc = 0, fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	if (connect(fd, a, n) < 0) {
		/* An interrupted connect goes on by itself. EAGAIN is a full backlog of a Unix socket: nothing was begun. */
		rc = errno == EINPROGRESS || errno == EINTR ? finish_connect(fd, deadline) : -errno;
	}
	if (rc < 0) {
		close(fd);
		return rc;
	}
	return fd;
}

ssize_t sock_send(int fd, const void *p, size_t n)
{
	ssize_t done;

	do
		done = send(fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (done < 0 && errno == EINTR);
	return done < 0 ? -errno : done;
}

ssize_t sock_recv(int fd, void *p, size_t n)
{
	ssize_t done;

	do
		done = recv(fd, p, n, MSG_DONTWAIT);
	while (done < 0 && errno == EINTR);
	return done < 0 ? -errno : done;
}
