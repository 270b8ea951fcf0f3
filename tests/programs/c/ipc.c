/* Pipes, polling, sockets: the descriptors that are no files. */
#include <fcntl.h>
#include <netinet/in.h>
#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include "want.h"

static void pipes(void)
{
	int p[2], avail = 0;
	char b[70000];

	WANT(pipe(p) == 0);
	WANT(write(p[1], "abc", 3) == 3 && ioctl(p[0], FIONREAD, &avail) == 0 && avail == 3);
	WANT(read(p[0], b, sizeof(b)) == 3);
	pid_t child = fork();
	if (child == 0) { /* more than a pipe holds, so that both sides block */
		memset(b, 'z', sizeof(b));
		for (size_t at = 0; at < sizeof(b);) {
			ssize_t n = write(p[1], b + at, sizeof(b) - at);
			if (n <= 0)
				_exit(1);
			at += (size_t)n;
		}
		_exit(0);
	}
	close(p[1]);
	size_t total = 0;
	ssize_t n;
	while ((n = read(p[0], b, 999)) > 0)
		total += (size_t)n;
	WANT(n == 0 && total == sizeof(b));
	int st;
	WANT(waitpid(child, &st, 0) == child && st == 0);
	close(p[0]);
	signal(SIGPIPE, SIG_IGN);
	WANT(pipe(p) == 0 && close(p[0]) == 0);
	FAILS(write(p[1], "x", 1), EPIPE);
	close(p[1]);
	signal(SIGPIPE, SIG_DFL);
}

static void polling(void)
{
	int p[2];
	fd_set r;
	struct timeval tv = {0, 1000};
	struct epoll_event ev = {.events = EPOLLIN, .data.u64 = 42}, out[4];

	WANT(pipe(p) == 0);
	struct pollfd pf = {p[0], POLLIN, 0};
	WANT(poll(&pf, 1, 0) == 0);
	FD_ZERO(&r);
	FD_SET(p[0], &r);
	WANT(select(p[0] + 1, &r, NULL, NULL, &tv) == 0);
	int ep = epoll_create1(EPOLL_CLOEXEC);
	WANT(epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &ev) == 0);
	FAILS(epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &ev), EEXIST);
	WANT(epoll_wait(ep, out, 4, 0) == 0);
	WANT(write(p[1], "x", 1) == 1);
	WANT(poll(&pf, 1, -1) == 1 && pf.revents == POLLIN);
	FD_ZERO(&r);
	FD_SET(p[0], &r);
	WANT(select(p[0] + 1, &r, NULL, NULL, NULL) == 1 && FD_ISSET(p[0], &r));
	WANT(epoll_wait(ep, out, 4, -1) == 1 && out[0].data.u64 == 42 && out[0].events == EPOLLIN);
	close(p[1]);
	char c;
	WANT(read(p[0], &c, 1) == 1);
	WANT(poll(&pf, 1, -1) == 1 && pf.revents == POLLHUP);
	close(p[0]);
	close(ep);
}

static void special(void)
{
	uint64_t v = 5;
	int e = eventfd(0, EFD_NONBLOCK);
	WANT(write(e, &v, 8) == 8 && write(e, &v, 8) == 8 && read(e, &v, 8) == 8 && v == 10);
	FAILS(read(e, &v, 8), EAGAIN);
	close(e);
	int t = timerfd_create(CLOCK_MONOTONIC, 0);
	struct itimerspec it = {.it_value = {0, 2000000}};
	WANT(timerfd_settime(t, 0, &it, NULL) == 0 && read(t, &v, 8) == 8 && v == 1);
	close(t);
	int in = inotify_init1(IN_NONBLOCK);
	char b[512];
	WANT(inotify_add_watch(in, ".", IN_CREATE) > 0);
	close(open("watched", O_CREAT | O_WRONLY, 0600));
	WANT(read(in, b, sizeof(b)) >= (ssize_t)sizeof(struct inotify_event));
	WANT(strcmp(((struct inotify_event *)b)->name, "watched") == 0);
	close(in);
}

/* A descriptor and credentials travel over a Unix socket. */
static void unix_sockets(void)
{
	int s[2], p[2];
	char c = 'c', ctl[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec iov = {&c, 1};
	struct msghdr m = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = ctl, .msg_controllen = sizeof(ctl)};

	WANT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s) == 0 && pipe(p) == 0);
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);
	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = SCM_RIGHTS;
	h->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(h), &p[1], sizeof(int));
	WANT(sendmsg(s[0], &m, 0) == 1);
	memset(ctl, 0, sizeof(ctl));
	WANT(recvmsg(s[1], &m, 0) == 1);
	int got = -1;
	h = CMSG_FIRSTHDR(&m);
	WANT(h && h->cmsg_type == SCM_RIGHTS);
	if (h)
		memcpy(&got, CMSG_DATA(h), sizeof(int));
	WANT(got >= 0 && got != p[1] && write(got, "y", 1) == 1 && read(p[0], &c, 1) == 1 && c == 'y');
	struct ucred cr;
	socklen_t n = sizeof(cr);
	WANT(getsockopt(s[0], SOL_SOCKET, SO_PEERCRED, &cr, &n) == 0 && cr.pid == getpid());
	close(s[0]);
	WANT(recv(s[1], &c, 1, 0) == 0);
	signal(SIGPIPE, SIG_IGN);
	FAILS(send(s[1], &c, 1, MSG_NOSIGNAL), EPIPE);
	close(s[1]);
	close(got);
	close(p[0]);
	close(p[1]);
}

static void *echo(void *arg)
{
	int l = (int)(intptr_t)arg, fd;
	char b[4096];
	ssize_t n;

	for (int i = 0; i < 4; i++) {
		fd = accept4(l, NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0)
			break;
		while ((n = recv(fd, b, sizeof(b), 0)) > 0)
			if (send(fd, b, (size_t)n, MSG_NOSIGNAL) != n)
				break;
		close(fd);
	}
	return NULL;
}

static void tcp(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(a);
	int l = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
	pthread_t t;

	WANT(setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) == 0);
	WANT(bind(l, (struct sockaddr *)&a, sizeof(a)) == 0 && listen(l, 8) == 0);
	WANT(getsockname(l, (struct sockaddr *)&a, &n) == 0 && a.sin_port != 0);
	WANT(pthread_create(&t, NULL, echo, (void *)(intptr_t)l) == 0);
	unsigned long sum = 0;
	for (int i = 0; i < 4; i++) {
		int fd = socket(AF_INET, SOCK_STREAM, 0);
		WANT(connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0);
		for (int k = 0; k < 200; k++) {
			char msg[100], back[100];
			memset(msg, 'a' + k % 26, sizeof(msg));
			WANT(write(fd, msg, sizeof(msg)) == sizeof(msg));
			WANT(recv(fd, back, sizeof(back), MSG_WAITALL) == sizeof(back));
			WANT(memcmp(msg, back, sizeof(msg)) == 0);
			sum += (unsigned char)back[7];
		}
		shutdown(fd, SHUT_WR);
		char c;
		WANT(recv(fd, &c, 1, 0) == 0);
		close(fd);
	}
	pthread_join(t, NULL);
	close(l);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	FAILS(connect(fd, (struct sockaddr *)&a, sizeof(a)), ECONNREFUSED);
	close(fd);
	printf("tcp sum %lu\n", sum);
}

int main(void)
{
	section("pipes");
	pipes();
	section("polling");
	polling();
	section("special");
	special();
	section("unix sockets");
	unix_sockets();
	section("tcp");
	tcp();
	return want_done();
}
