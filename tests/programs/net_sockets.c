/*
 * What stream sockets do, one line a case: the same lines are wanted natively and where both ends are protected by a rule of the network shield.
 * net_sockets PORT [CASE]: a server in a child process for each case, on 127.0.0.1:PORT.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BIG (3 * 1024 * 1024)

static int port;
static volatile uintptr_t nowhere = 8; /* where no memory is */
static uint8_t big[BIG], back[BIG];

static void die(const char *what)
{
	printf("%s: %s\n", what, strerror(errno));
	fflush(stdout);
	_exit(2);
}

static void say_result(const char *what, ssize_t n)
{
	if (n < 0)
		printf("  %s: %s\n", what, strerror(errno));
	else
		printf("  %s: %zd\n", what, n);
}

static int listen_on(void)
{
	struct sockaddr_in at = {.sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&at, sizeof(at)) || listen(fd, 64))
		die("listen");
	return fd;
}

static int try_connect(int flags)
{
	struct sockaddr_in at = {.sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | flags, 0);

	if (connect(fd, (struct sockaddr *)&at, sizeof(at)) && errno != EINPROGRESS)
		die("connect");
	return fd;
}

static int dial(void)
{
	return try_connect(0);
}

static void nap(int ms)
{
	poll(NULL, 0, ms);
}

static void put(int fd, const void *p, size_t n)
{
	while (n > 0) {
		ssize_t done = write(fd, p, n);

		if (done <= 0)
			die("write");
		p = (const uint8_t *)p + done;
		n -= (size_t)done;
	}
}

static void get(int fd, void *p, size_t n)
{
	while (n > 0) {
		ssize_t done = read(fd, p, n);

		if (done <= 0)
			die(done ? "read" : "early end");
		p = (uint8_t *)p + done;
		n -= (size_t)done;
	}
}

/* What poll says, by names, after the peer has had time. */
static void say_poll(const char *what, int fd, short events, int timeout)
{
	struct pollfd p = {.fd = fd, .events = events};
	int n = poll(&p, 1, timeout);

	printf("  %s: %d%s%s%s%s%s\n", what, n, p.revents & POLLIN ? " IN" : "",
		p.revents & POLLOUT ? " OUT" : "", p.revents & POLLRDHUP ? " RDHUP" : "",
		p.revents & POLLHUP ? " HUP" : "", p.revents & POLLERR ? " ERR" : "");
}

/* --- servers, by case --- */

static void serve_echo(int fd)
{
	uint8_t b[8192];
	ssize_t n;

	while ((n = read(fd, b, sizeof(b))) > 0)
		put(fd, b, (size_t)n);
	if (n < 0)
		printf("  server read: %s\n", strerror(errno));
}

static void serve_hello(int fd)
{
	put(fd, "0123456789", 10);
	nap(300);
	put(fd, "abcdefghij", 10);
	nap(300);
}

static void serve_half(int fd)
{
	char b[100];
	ssize_t n, total = 0;

	while ((n = read(fd, b, sizeof(b))) > 0)
		total += n;
	printf("  server had %zd, then %zd\n", total, n);
	put(fd, "late answer", 11);
}

static void serve_sink(int fd)
{
	size_t total = 0;
	ssize_t n;
	uint32_t sum = 0;

	nap(400);
	while ((n = read(fd, back, sizeof(back))) > 0) {
		for (ssize_t i = 0; i < n; i++)
			sum = sum * 31 + back[i];
		total += (size_t)n;
	}
	printf("  server had %zu, sum %08x\n", total, sum);
}

static void serve_reset(int fd)
{
	struct linger l = {.l_onoff = 1};
	char b[4];

	get(fd, b, 4);
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
}

static void serve_silent(int fd)
{
	char b[64];

	while (read(fd, b, sizeof(b)) > 0)
		;
}

static void serve_close(int fd)
{
	char b[4];

	get(fd, b, 4);
}

static void serve_fork(int fd)
{
	char b[16];

	get(fd, b, 5);
	for (int i = 0; i < 3; i++) {
		int status;
		pid_t child = fork();

		if (child == 0) {
			get(fd, b, 5);
			b[0] = (char)('0' + i);
			put(fd, b, 5);
			_exit(0);
		}
		waitpid(child, &status, 0);
	}
	put(fd, "done!", 5);
}

static void serve_exec(int fd)
{
	dup2(fd, 0);
	dup2(fd, 1);
	execlp("cat", "cat", (char *)NULL);
	die("exec");
}

/* --- clients --- */

static void case_echo(void)
{
	int fd = dial();

	put(fd, "hello", 5);
	get(fd, back, 5);
	printf("  %.5s\n", (char *)back);
	close(fd);
}

static void *writer(void *arg)
{
	put(*(int *)arg, big, BIG);
	shutdown(*(int *)arg, SHUT_WR);
	return NULL;
}

static void case_big(void)
{
	int fd = dial();
	pthread_t t;

	pthread_create(&t, NULL, writer, &fd);
	get(fd, back, BIG);
	say_result("end", read(fd, back, 1) == 0 ? 0 : -1);
	pthread_join(t, NULL);
	printf("  same: %d\n", !memcmp(big + 1, back + 1, BIG - 1));
	close(fd);
}

static void case_bytewise(void)
{
	int fd = dial();

	put(fd, big, 5000);
	for (int i = 0; i < 5000; i++)
		if (read(fd, back + i, 1) != 1)
			die("one byte");
	printf("  same: %d\n", !memcmp(big, back, 5000));
	close(fd);
}

static void case_peek(void)
{
	int fd = dial(), n = -1;
	char b[32] = "";

	nap(100);
	say_result("peek 4", recv(fd, b, 4, MSG_PEEK));
	say_result("peek 32", recv(fd, b, 32, MSG_PEEK));
	ioctl(fd, FIONREAD, &n);
	printf("  FIONREAD %d\n", n);
	say_result("read 3", read(fd, b, 3));
	ioctl(fd, FIONREAD, &n);
	printf("  FIONREAD %d, %.3s\n", n, b);
	say_result("peek 32", recv(fd, b, 32, MSG_PEEK));
	printf("  %.7s\n", b);
	say_result("dontwait 32", recv(fd, b, 32, MSG_DONTWAIT));
	say_result("dontwait 32", recv(fd, b, 32, MSG_DONTWAIT));
	say_result("waitall 10", recv(fd, b, 10, MSG_WAITALL));
	printf("  %.10s\n", b);
	say_result("waitall at the end", recv(fd, b, 10, MSG_WAITALL));
	close(fd);
}

static void case_vectors(void)
{
	int fd = dial();
	char a[3], b[4], c[30];
	struct iovec out[3] = {{"abc", 3}, {"", 0}, {"defgh", 5}}, in[3] = {{a, 3}, {b, 4}, {c, 30}};
	struct msghdr m = {.msg_iov = in, .msg_iovlen = 3, .msg_control = back, .msg_controllen = 100};

	say_result("writev", writev(fd, out, 3));
	nap(100);
	say_result("readv", readv(fd, in, 3));
	printf("  %.3s %.4s %.1s\n", a, b, c);
	m.msg_controllen = 0;
	m.msg_control = NULL;
	m.msg_iov = out;
	say_result("sendmsg", sendmsg(fd, &m, 0));
	nap(100);
	m.msg_iov = in;
	m.msg_control = back;
	m.msg_controllen = 100;
	say_result("recvmsg", recvmsg(fd, &m, 0));
	printf("  control %zu flags %d\n", (size_t)m.msg_controllen, m.msg_flags);
	say_result("bad vector", writev(fd, (struct iovec *)nowhere, 2));
	say_result("bad buffer", write(fd, (void *)nowhere, 2));
	say_result("pread", pread(fd, a, 1, 0));
	say_result("lseek", lseek(fd, 0, SEEK_SET));
	close(fd);
}

static void case_half(void)
{
	int fd = dial();

	put(fd, big, 70000);
	shutdown(fd, SHUT_WR);
	signal(SIGPIPE, SIG_IGN);
	say_result("write after shutdown", write(fd, "x", 1));
	say_result("answer", recv(fd, back, 11, MSG_WAITALL));
	say_result("end", read(fd, back, 11));
	say_result("end again", read(fd, back, 11));
	close(fd);
}

static void case_nonblocking_write(void)
{
	int fd = try_connect(SOCK_NONBLOCK);
	struct pollfd p = {.fd = fd, .events = POLLOUT};
	size_t done = 0;
	while (done < BIG) {
		ssize_t n = write(fd, big + done, BIG - done);

		if (n > 0) {
			done += (size_t)n;
		} else if (errno == EAGAIN) {
			if (poll(&p, 1, 5000) <= 0)
				die("poll");
		} else {
			die("write");
		}
	}
	shutdown(fd, SHUT_WR);
	fcntl(fd, F_SETFL, 0);
	say_result("end", read(fd, back, 1));
	close(fd);
}

static void case_connect(void)
{
	int fd = try_connect(SOCK_NONBLOCK), e = -1;
	socklen_t n = sizeof(e);

	say_poll("writable", fd, POLLOUT, 5000);
	getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &n);
	printf("  SO_ERROR %d\n", e);
	say_poll("nothing yet", fd, POLLIN, 0);
	say_result("read", read(fd, back, 1));
	put(fd, "ping!", 5);
	say_poll("echo", fd, POLLIN, 5000);
	say_result("read", read(fd, back, 100));
	close(fd);
}

static void case_refused(void)
{
	struct sockaddr_in at = {.sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM, 0), e = -1;
	socklen_t n = sizeof(e);

	say_result("blocking", connect(fd, (struct sockaddr *)&at, sizeof(at)));
	close(fd);
	fd = try_connect(SOCK_NONBLOCK);
	say_poll("not blocking", fd, POLLOUT, 5000);
	getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &n);
	printf("  SO_ERROR %s\n", strerror(e));
	close(fd);
}

static void case_reset(void)
{
	int fd = dial();

	put(fd, "bye!", 4);
	nap(200);
	say_poll("after a reset", fd, POLLIN, 1000);
	say_result("read", read(fd, back, 10));
	signal(SIGPIPE, SIG_IGN);
	say_result("write", write(fd, "x", 1));
	close(fd);
}

static volatile sig_atomic_t pipes;

static void on_pipe(int sig)
{
	pipes++;
}

static void case_closed(void)
{
	int fd = dial();

	put(fd, "bye!", 4);
	nap(200);
	say_poll("after a close", fd, POLLIN | POLLRDHUP, 1000);
	say_result("read", read(fd, back, 10));
	signal(SIGPIPE, on_pipe);
	write(fd, "x", 1);
	nap(200);
	say_result("write", write(fd, "x", 1));
	say_result("write, no signal", send(fd, "x", 1, MSG_NOSIGNAL));
	printf("  SIGPIPE %d\n", pipes);
	close(fd);
}

static void case_timeout(void)
{
	struct timeval t = {.tv_usec = 200000};
	int fd = dial();
	struct timespec a, b;
	double passed;

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
	clock_gettime(CLOCK_MONOTONIC, &a);
	say_result("read", read(fd, back, 10));
	clock_gettime(CLOCK_MONOTONIC, &b);
	passed = (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9;
	printf("  in time: %d\n", passed > 0.15 && passed < 2);
	close(fd);
}

static void on_alarm(int sig)
{
}

static void case_signal(void)
{
	struct sigaction sa = {.sa_handler = on_alarm};
	struct itimerval soon = {.it_value.tv_usec = 150000};
	int fd = dial();

	put(fd, "x", 1);
	get(fd, back, 1);
	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &soon, NULL);
	say_result("read without SA_RESTART", read(fd, back, 10));
	sa.sa_flags = SA_RESTART;
	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &soon, NULL);
	if (fork() == 0) {
		nap(500);
		put(fd, "again", 5);
		_exit(0);
	}
	say_result("read with SA_RESTART", read(fd, back, 10));
	wait(NULL);
	close(fd);
}

static void case_dup(void)
{
	int fd = dial(), copy = dup(fd), high = fcntl(fd, F_DUPFD_CLOEXEC, 500);

	put(copy, "12345", 5);
	close(fd);
	get(high, back, 2);
	get(copy, back + 2, 3);
	printf("  %.5s, high %d\n", (char *)back, high);
	close(copy);
	put(high, "67890", 5);
	dup2(high, 400);
	close(high);
	get(400, back, 5);
	printf("  %.5s\n", (char *)back);
	close(400);
}

static void case_select(void)
{
	struct timeval t = {.tv_sec = 5}, none = {0};
	int fd = dial(), n;
	fd_set in, out;

	FD_ZERO(&in);
	FD_ZERO(&out);
	FD_SET(fd, &in);
	FD_SET(fd, &out);
	n = select(fd + 1, &in, &out, NULL, &none);
	printf("  %d in %d out %d\n", n, FD_ISSET(fd, &in), FD_ISSET(fd, &out));
	put(fd, "abcdef", 6);
	FD_ZERO(&in);
	FD_SET(fd, &in);
	n = select(fd + 1, &in, NULL, NULL, &t);
	printf("  %d in %d\n", n, FD_ISSET(fd, &in));
	get(fd, back, 2);
	FD_ZERO(&in);
	FD_SET(fd, &in);
	n = select(fd + 1, &in, NULL, NULL, &none);
	printf("  %d in %d with the rest unread\n", n, FD_ISSET(fd, &in));
	get(fd, back, 4);
	FD_ZERO(&in);
	FD_SET(fd, &in);
	n = select(fd + 1, &in, NULL, NULL, &none);
	printf("  %d in %d when all is read\n", n, FD_ISSET(fd, &in));
	close(fd);
}

static void say_events(int ep, const char *what, int timeout)
{
	struct epoll_event e[4] = {0};
	int n = epoll_wait(ep, e, 4, timeout);

	printf("  %s: %d", what, n);
	for (int i = 0; i < n; i++)
		printf(" %llu%s%s%s%s", (unsigned long long)e[i].data.u64, e[i].events & EPOLLIN ? " IN" : "",
			e[i].events & EPOLLOUT ? " OUT" : "", e[i].events & EPOLLRDHUP ? " RDHUP" : "",
			e[i].events & EPOLLHUP ? " HUP" : "");
	printf("\n");
}

static void case_epoll(void)
{
	int fd = try_connect(SOCK_NONBLOCK), ep = epoll_create1(0);
	struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.u64 = 77};

	epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
	say_events(ep, "connected", 5000);
	say_events(ep, "edge only once", 100);
	put(fd, "abcdef", 6);
	nap(200);
	say_events(ep, "data", 5000);
	get(fd, back, 2);
	say_events(ep, "no new edge for the rest", 100);
	e.events = EPOLLIN;
	e.data.u64 = 78;
	epoll_ctl(ep, EPOLL_CTL_MOD, fd, &e);
	say_events(ep, "level, rest", 100);
	get(fd, back, 4);
	say_events(ep, "level, all read", 100);
	e.events = EPOLLIN | EPOLLONESHOT;
	epoll_ctl(ep, EPOLL_CTL_MOD, fd, &e);
	put(fd, "x", 1);
	say_events(ep, "one shot", 5000);
	say_events(ep, "shot", 100);
	e.events = EPOLLIN | EPOLLRDHUP;
	epoll_ctl(ep, EPOLL_CTL_MOD, fd, &e);
	shutdown(fd, SHUT_WR);
	nap(200);
	get(fd, back, 1);
	say_events(ep, "peer has ended", 5000);
	say_result("del", epoll_ctl(ep, EPOLL_CTL_DEL, fd, NULL));
	close(fd);
}

static void case_epoll_early(void)
{
	struct sockaddr_in at = {.sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), ep = epoll_create1(0);
	struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.u64 = 5};

	epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
	while (epoll_wait(ep, &e, 1, 0) > 0)
		; /* an unconnected socket hangs up */
	say_result("connect", connect(fd, (struct sockaddr *)&at, sizeof(at)));
	say_events(ep, "connected", 5000);
	put(fd, "abc", 3);
	nap(200);
	say_events(ep, "echo", 5000);
	get(fd, back, 3);
	close(fd);
}

static void case_fork(void)
{
	int fd = dial();

	put(fd, "start", 5);
	for (int i = 0; i < 3; i++) {
		put(fd, "child", 5);
		get(fd, back, 5);
		printf("  %.5s\n", (char *)back);
	}
	get(fd, back, 5);
	printf("  %.5s\n", (char *)back);
	say_result("end", read(fd, back, 5));
	close(fd);
}

static void case_exec(void)
{
	int fd = dial();

	put(fd, "to cat and back", 15);
	get(fd, back, 15);
	printf("  %.15s\n", (char *)back);
	shutdown(fd, SHUT_WR);
	say_result("end", read(fd, back, 5));
	close(fd);
}

static void case_rights(void)
{
	char room[CMSG_SPACE(sizeof(int))] = "", c = 'x';
	struct iovec v = {&c, 1};
	struct msghdr m = {
		.msg_iov = &v, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof(room)};
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);
	int pair[2], fd, status;
	ssize_t sent;

	socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
	if (fork() == 0) {
		close(pair[0]);
		recvmsg(pair[1], &m, 0);
		memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(fd));
		put(fd, "by message", 10);
		get(fd, back, 10);
		printf("  %.10s\n", (char *)back);
		fflush(stdout);
		_exit(0);
	}
	fd = dial();
	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = SCM_RIGHTS;
	h->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(h), &fd, sizeof(fd));
	sent = sendmsg(pair[0], &m, 0);
	close(fd);
	wait(&status);
	say_result("sendmsg", sent);
}

static void case_sendfile(void)
{
	int fd = dial(), file = open("/proc/self/exe", O_RDONLY);
	off_t at = 100;

	say_result("sendfile", sendfile(fd, file, &at, 10000));
	get(fd, back, 10000);
	pread(file, back + 10000, 10000, 100);
	printf("  same: %d, offset %ld\n", !memcmp(back, back + 10000, 10000), (long)at);
	lseek(file, 50, SEEK_SET);
	say_result("sendfile", sendfile(fd, file, NULL, 1000));
	get(fd, back, 1000);
	printf("  offset %ld\n", (long)lseek(file, 0, SEEK_CUR));
	close(fd);
}

static void case_exit(void)
{
	int fd = dial();

	put(fd, "bye!", 4);
	say_result("the peer exits", read(fd, back, 10));
	close(fd);
}

static void serve_exit(int fd)
{
	char b[4];

	get(fd, b, 4);
	exit(0);
}

/* The server accepts only after it has been told that the connection is there. */
static void case_backlog(void)
{
	int ready[2], go[2], fd;
	char b[6] = "";
	pid_t server;

	if (pipe(ready) || pipe(go))
		die("pipe");
	server = fork();
	if (server == 0) {
		int l = listen_on(), c;

		put(ready[1], "r", 1);
		get(go[0], b, 1);
		c = accept(l, NULL, NULL);
		get(c, b, 5);
		put(c, b, 5);
		_exit(0);
	}
	get(ready[0], b, 1);
	fd = dial();
	put(go[1], "g", 1);
	put(fd, "later", 5);
	get(fd, b, 5);
	printf("  after the connect: %s\n", b);
	close(fd);
	waitpid(server, NULL, 0);
	for (int i = 0; i < 2; i++) {
		close(ready[i]);
		close(go[i]);
	}
}

static const struct {
	const char *name;
	void (*serve)(int fd);
	void (*run)(void);
} cases[] = {
	{"echo", serve_echo, case_echo},
	{"big", serve_echo, case_big},
	{"bytewise", serve_echo, case_bytewise},
	{"peek", serve_hello, case_peek},
	{"vectors", serve_echo, case_vectors},
	{"half", serve_half, case_half},
	{"nonblocking-write", serve_sink, case_nonblocking_write},
	{"connect", serve_echo, case_connect},
	{"refused", NULL, case_refused},
	{"reset", serve_reset, case_reset},
	{"closed", serve_close, case_closed},
	{"timeout", serve_silent, case_timeout},
	{"signal", serve_echo, case_signal},
	{"dup", serve_echo, case_dup},
	{"select", serve_echo, case_select},
	{"epoll", serve_echo, case_epoll},
	{"epoll-early", serve_echo, case_epoll_early},
	{"fork", serve_fork, case_fork},
	{"exec", serve_exec, case_exec},
	{"rights", serve_echo, case_rights},
	{"sendfile", serve_echo, case_sendfile},
	{"exit", serve_exit, case_exit},
	{"backlog", NULL, case_backlog},
};

static void run(size_t i)
{
	int fd = cases[i].serve ? listen_on() : -1, status;
	pid_t server = cases[i].serve ? fork() : 0;

	if (cases[i].serve && server == 0) {
		int c = accept(fd, NULL, NULL);

		close(fd);
		cases[i].serve(c);
		close(c);
		fflush(stdout);
		_exit(0);
	}
	close(fd);
	printf("%s\n", cases[i].name);
	fflush(stdout);
	alarm(30);
	cases[i].run();
	fflush(stdout);
	if (server > 0)
		waitpid(server, &status, 0);
	alarm(0);
}

int main(int argc, char **argv)
{
	if (argc < 2)
		return 2;
	port = atoi(argv[1]);
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (size_t i = 0; i < BIG; i++)
		big[i] = (uint8_t)(i * 2654435761u >> 13);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (argc < 3 || !strcmp(argv[2], cases[i].name))
			run(i);
	return 0;
}
