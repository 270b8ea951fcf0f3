/* FIFOs, Unix sockets with names, and descriptors in messages: what processes that share a directory do with each other. */
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include "posix.h"

static pid_t child(void)
{
	fflush(stdout);
	return fork();
}

static int status_of(pid_t pid)
{
	int status = -1;

	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* --- FIFOs --- */

static void fifo_openings(void)
{
	struct stat st;
	int r, w;

	OK("mkfifo: a FIFO", mkfifo("fifo", 0640));
	IS("mkfifo: is one", stat("fifo", &st) == 0 && S_ISFIFO(st.st_mode) && (st.st_mode & 0777) == 0640);
	ERR("open: ENXIO for O_WRONLY | O_NONBLOCK on a FIFO without reader",
		open("fifo", O_WRONLY | O_NONBLOCK), ENXIO);
	r = open("fifo", O_RDONLY | O_NONBLOCK);
	OK("open: O_RDONLY | O_NONBLOCK on a FIFO without writer", r);
	w = open("fifo", O_WRONLY | O_NONBLOCK);
	OK("open: O_WRONLY | O_NONBLOCK on a FIFO with reader", w);
	IS("fstat: a FIFO", fstat(w, &st) == 0 && S_ISFIFO(st.st_mode));
	IS("open: the lowest number", w == r + 1);
	ERR("lseek: ESPIPE on a FIFO", lseek(w, 0, SEEK_CUR), ESPIPE);
	close(w);
	close(r);
	r = open("fifo", O_RDWR);
	OK("open: O_RDWR on a FIFO (Linux)", r);
	close(r);
	ERR("open: ENOTDIR for O_DIRECTORY on a FIFO", open("fifo", O_RDONLY | O_DIRECTORY), ENOTDIR);
	r = open("fifo", O_PATH);
	IS("open: O_PATH on a FIFO (Linux)", r >= 0 && fstat(r, &st) == 0 && S_ISFIFO(st.st_mode));
	close(r);
}

static void fifo_bytes(void)
{
	char b[64] = {0};
	struct pollfd p;
	pid_t pid = child();
	int fd;

	if (pid == 0) {
		fd = open("fifo", O_WRONLY); /* waits for the reader */
		_exit(fd >= 0 && write(fd, "through the fifo", 16) == 16 ? 0 : 1);
	}
	fd = open("fifo", O_RDONLY);
	IS("open: a reader and a writer wait for each other", fd >= 0);
	p = (struct pollfd){.fd = fd, .events = POLLIN};
	IS("poll: a FIFO with bytes", poll(&p, 1, 10000) == 1 && (p.revents & POLLIN));
	IS("open: a FIFO carries bytes", read(fd, b, sizeof(b)) == 16 && !memcmp(b, "through the fifo", 16));
	IS("read: its end when the writer is gone", status_of(pid) == 0 && read(fd, b, sizeof(b)) == 0);
	close(fd);
	pid = child();
	if (pid == 0) {
		execl("/bin/sh", "sh", "-c", "echo by name >fifo", (char *)NULL);
		_exit(120);
	}
	fd = open("./fifo", O_RDONLY);
	IS("open: another program writes to a FIFO",
		read(fd, b, sizeof(b)) == 8 && !memcmp(b, "by name\n", 8));
	close(fd);
	IS("open: and ends", status_of(pid) == 0);
}

static void on_alarm(int sig)
{
	(void)sig;
}

static void fifo_names(void)
{
	struct sigaction a = {.sa_handler = on_alarm};
	char b[8];
	int r, w;

	sigaction(SIGALRM, &a, NULL);
	alarm(1);
	ERR("open: EINTR while it waits for the other end of a FIFO", open("fifo", O_RDONLY), EINTR);
	alarm(0);
	OK("rename: a FIFO", rename("fifo", "moved"));
	OK("link: a FIFO", link("moved", "second"));
	r = open("moved", O_RDONLY | O_NONBLOCK);
	w = open("second", O_WRONLY | O_NONBLOCK);
	IS("open: links of one FIFO are one",
		r >= 0 && w >= 0 && write(w, "x", 1) == 1 && read(r, b, 8) == 1);
	OK("unlink: a FIFO that is open", unlink("moved"));
	OK("unlink: its other name", unlink("second"));
	IS("unlink: it goes on", write(w, "y", 1) == 1 && read(r, b, 8) == 1 && b[0] == 'y');
	OK("mkfifo: a new one of the same name", mkfifo("moved", 0600));
	ERR("open: which is another", open("moved", O_WRONLY | O_NONBLOCK), ENXIO);
	close(r);
	close(w);
	OK("chmod: a FIFO", chmod("moved", 0400));
	USER_ERR("open: EACCES for a FIFO of another", open("moved", O_RDONLY | O_NONBLOCK), EACCES);
	unlink("moved");
}

/* --- sockets --- */

static struct sockaddr_un address(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};

	strcpy(a.sun_path, path);
	return a;
}

static long bind_to(int fd, const char *path)
{
	struct sockaddr_un a = address(path);

	return bind(fd, (struct sockaddr *)&a,
		(socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path) + 1));
}

static long connect_to(int fd, const char *path)
{
	struct sockaddr_un a = address(path);

	return connect(fd, (struct sockaddr *)&a, sizeof(a));
}

static int stream(void)
{
	return socket(AF_UNIX, SOCK_STREAM, 0);
}

static bool is_named(int (*f)(int, struct sockaddr *, socklen_t *), int fd, const char *path)
{
	struct sockaddr_un a = {0};
	socklen_t n = sizeof(a);

	return f(fd, (struct sockaddr *)&a, &n) == 0 && a.sun_family == AF_UNIX &&
	       !strcmp(a.sun_path, path) && n == offsetof(struct sockaddr_un, sun_path) + strlen(path) + 1;
}

static void stream_sockets(void)
{
	int s = stream(), c = stream(), d, got;
	char b[16] = {0};
	struct stat st;
	mode_t old = umask(027);
	pid_t pid;

	OK("bind: a name", bind_to(s, "socket"));
	umask(old);
	IS("bind: is a socket, by the umask",
		stat("socket", &st) == 0 && S_ISSOCK(st.st_mode) && (st.st_mode & 0777) == 0750);
	IS("getsockname: as it was bound", is_named(getsockname, s, "socket"));
	ERR("bind: EINVAL for a socket that has a name", bind_to(s, "socket-2"), EINVAL);
	ERR("bind: and makes none", access("socket-2", F_OK), ENOENT);
	ERR("bind: EADDRINUSE for a name that is there", bind_to(c, "socket"), EADDRINUSE);
	ERR("bind: ENOENT for a directory that is not", bind_to(c, "none/socket"), ENOENT);
	ERR("open: ENXIO for a socket", open("socket", O_RDWR), ENXIO);
	ERR("connect: ECONNREFUSED where nobody listens", connect_to(c, "socket"), ECONNREFUSED);
	ERR("connect: ENOENT for no name", connect_to(c, "nothing"), ENOENT);
	OK("listen: on it", listen(s, 5));
	pid = child();
	if (pid == 0) {
		char here[PATH_MAX];
		struct sockaddr_un a = {.sun_family = AF_UNIX};

		c = stream();
		/* the absolute name, where it fits */
		if (!getcwd(here, sizeof(here)) || strlen(here) + 8 > sizeof(a.sun_path))
			strcpy(here, ".");
		strcat(here, "/socket");
		_exit(connect_to(c, here) == 0 && write(c, "hello", 5) == 5 && read(c, b, 16) == 5 ? 0 : 1);
	}
	d = accept(s, NULL, NULL);
	got = (int)read(d, b, sizeof(b));
	IS("connect: from another process",
		got == 5 && !memcmp(b, "hello", 5) && write(d, "again", 5) == 5 && status_of(pid) == 0);
	close(d);
	OK("connect: from this one", connect_to(c, "./socket"));
	IS("getpeername: as it was bound", is_named(getpeername, c, "socket"));
	d = accept(s, NULL, NULL);
	IS("accept: it", d >= 0);
	OK("rename: a socket", rename("socket", "moved"));
	OK("symlink: to it", symlink("moved", "way"));
	close(d);
	close(c);
	c = stream();
	OK("connect: through a link, to its new name", connect_to(c, "way"));
	close(c);
	c = stream();
	ERR("connect: ENOENT for the old one", connect_to(c, "socket"), ENOENT);
	OK("chmod: a socket", chmod("moved", 0600));
	USER_ERR("connect: EACCES for whom it is not", connect_to(stream(), "moved"), EACCES);
	OK("chmod: for all", chmod("moved", 0666));
	USER_OK("connect: for whom it is", connect_to(stream(), "moved"));
	OK("unlink: a socket", unlink("moved"));
	ERR("connect: ENOENT after it", connect_to(c, "moved"), ENOENT);
	close(s);
	close(c);
	s = stream();
	OK("bind: the name again", bind_to(s, "moved"));
	close(s);
	c = stream();
	ERR("connect: ECONNREFUSED when the socket is closed", connect_to(c, "moved"), ECONNREFUSED);
	close(creat("file", 0600));
	ERR("connect: ECONNREFUSED for a file", connect_to(c, "file"), ECONNREFUSED);
	close(c);
}

static void datagrams(void)
{
	int a = socket(AF_UNIX, SOCK_DGRAM, 0), b = socket(AF_UNIX, SOCK_DGRAM, 0);
	struct sockaddr_un to = address("one"), from = {0};
	struct iovec v = {"message", 7};
	struct msghdr m = {.msg_name = &to, .msg_namelen = sizeof(to), .msg_iov = &v, .msg_iovlen = 1};
	socklen_t n = sizeof(from);
	char text[16];

	OK("bind: a datagram socket", bind_to(a, "one"));
	OK("bind: another", bind_to(b, "two"));
	IS("sendto: a name", sendto(b, "hello", 5, 0, (struct sockaddr *)&to, sizeof(to)) == 5);
	IS("recvfrom: it", recvfrom(a, text, sizeof(text), 0, (struct sockaddr *)&from, &n) == 5);
	IS("sendto: back to whom it came from",
		sendto(a, "back", 4, 0, (struct sockaddr *)&from, n) == 4 && read(b, text, 16) == 4);
	IS("sendmsg: a name", sendmsg(b, &m, 0) == 7 && read(a, text, 16) == 7);
	OK("connect: a datagram socket", connect_to(b, "one"));
	IS("send: to it", send(b, "x", 1, 0) == 1 && read(a, text, 16) == 1);
	to = address("none");
	ERR("sendto: ENOENT for no name", sendto(a, "x", 1, 0, (struct sockaddr *)&to, sizeof(to)), ENOENT);
	close(a);
	close(b);
}

/* --- descriptors in messages --- */

static long send_fds(int s, const int *fd, unsigned n)
{
	char control[CMSG_SPACE(sizeof(int) * 4)] = {0};
	struct iovec v = {"x", 1};
	struct msghdr m = {.msg_iov = &v,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = CMSG_SPACE(n * sizeof(int))};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(n * sizeof(int));
	memcpy(CMSG_DATA(c), fd, n * sizeof(int));
	return sendmsg(s, &m, 0);
}

static int receive_fds(int s, int *fd, unsigned n, int flags)
{
	char control[CMSG_SPACE(sizeof(int) * 4)] = {0}, byte;
	struct iovec v = {&byte, 1};
	struct msghdr m = {
		.msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};

	if (recvmsg(s, &m, flags) != 1 || !CMSG_FIRSTHDR(&m) ||
		CMSG_FIRSTHDR(&m)->cmsg_len != CMSG_LEN(n * sizeof(int)))
		return -1;
	memcpy(fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), n * sizeof(int));
	return 0;
}

static void rights(void)
{
	int s[2], fd = open("sent", O_RDWR | O_CREAT, 0600), none = open("/dev/null", O_RDONLY),
		  got[3] = {-1, -1, -1};
	const int all[3] = {fd, none, fd};
	char b[16] = {0};
	struct stat x, y;
	pid_t pid;

	IS("socketpair: for messages",
		socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0 && write(fd, "0123456789", 10) == 10);
	pid = child();
	if (pid == 0) {
		char *m;

		lseek(fd, 0, SEEK_SET);
		close(fd);
		if (receive_fds(s[1], got, 3, MSG_CMSG_CLOEXEC))
			_exit(1);
		if (!(fcntl(got[0], F_GETFD) & FD_CLOEXEC) || (fcntl(got[0], F_GETFL) & O_ACCMODE) != O_RDWR)
			_exit(2);
		if (read(got[0], b, 4) != 4 || memcmp(b, "0123", 4) || lseek(got[2], 0, SEEK_CUR) != 4)
			_exit(3);
		if (fstat(got[0], &x) || stat("sent", &y) || x.st_ino != y.st_ino || x.st_dev != y.st_dev)
			_exit(4);
		m = mmap(NULL, 10, PROT_READ | PROT_WRITE, MAP_SHARED, got[0], 0);
		if (m == MAP_FAILED || memcmp(m, "0123456789", 10))
			_exit(5);
		m[9] = 'z';
		_exit(write(got[2], "ab", 2) == 2 ? 0 : 6);
	}
	OK("sendmsg: descriptors of a file, and of another", send_fds(s[0], all, 3));
	IS("recvmsg: in another process they are what they were", status_of(pid) == 0);
	IS("recvmsg: with the offset that all share", lseek(fd, 0, SEEK_CUR) == 6);
	IS("recvmsg: and the file", pread(fd, b, 10, 0) == 10 && !memcmp(b, "0123ab678z", 10));
	/* Closed and without a name on the way. */
	OK("sendmsg: a descriptor, then closed", send_fds(s[0], &fd, 1));
	close(fd);
	OK("unlink: its file", unlink("sent"));
	IS("recvmsg: MSG_PEEK shows it",
		receive_fds(s[1], got, 1, MSG_PEEK) == 0 && pread(got[0], b, 10, 0) == 10);
	close(got[0]);
	IS("recvmsg: it comes",
		receive_fds(s[1], got, 1, 0) == 0 && pread(got[0], b, 10, 0) == 10 && b[9] == 'z');
	IS("fstat: without a link", fstat(got[0], &x) == 0 && x.st_nlink == 0);
	close(got[0]);
	fd = open(".", O_RDONLY | O_DIRECTORY);
	IS("sendmsg: a directory", send_fds(s[0], &fd, 1) == 1 && receive_fds(s[1], got, 1, 0) == 0 &&
					   fstatat(got[0], "file", &x, 0) == 0);
	close(fd);
	close(got[0]);
	fd = 9999;
	ERR("sendmsg: EBADF for no descriptor", send_fds(s[0], &fd, 1), EBADF);
	close(none);
}

int main(int argc, char **argv)
{
	posix_begin(argc, argv, "meet");
	fifo_openings();
	fifo_bytes();
	fifo_names();
	stream_sockets();
	datagrams();
	rights();
	return posix_end();
}
