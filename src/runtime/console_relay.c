/*
 * console_relay: the process between what a program was given for its input and the program: it puts frames together and hands each over as a packet, so
 * that what is ready for the program is always a whole record. It has no key. It runs until either side has ended, runs nothing of the program and is no child
 * of its processes.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "host/host.h"
#include "runtime/console.h"
#include "shield/console/reader.h"

#define READ_STEP 65536

static struct console_frames frames;

/* What is sent to the application goes there, not here. SIGTTIN stops it, as it would the program. */
static void set_signals(void)
{
	static const int ignored[] = {
		SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGPIPE, SIGUSR1, SIGUSR2, SIGTSTP, SIGTTOU, SIGALRM};
	sigset_t none;

	for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		(void)signal(ignored[i], SIG_IGN);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static void close_all_but(int a, int b)
{
	unsigned low = (unsigned)(a < b ? a : b), high = (unsigned)(a < b ? b : a);

	if (low > 0)
		host_call3(SYS_close_range, 0, low - 1, 0);
	if (high > low + 1)
		host_call3(SYS_close_range, low + 1, high - 1, 0);
	host_call3(SYS_close_range, high + 1, ~0U, 0);
}

static bool write_all(int fd, const uint8_t *p, size_t n)
{
	while (n > 0) {
		ssize_t done = write(fd, p, n);

		if (done < 0 && errno == EAGAIN) {
			struct pollfd out = {.fd = fd, .events = POLLOUT};

			(void)poll(&out, 1, -1);
			continue;
		}
		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return false;
		p += done;
		n -= (size_t)done;
	}
	return true;
}

/* True: go on. What is no frame goes over as a packet that is none: the program's side says so. */
static bool from_outside(int from, int app)
{
	static uint8_t bytes[READ_STEP], frame[CONSOLE_FRAME_MAX];
	ssize_t got = read(from, bytes, sizeof(bytes));
	const uint8_t *p = bytes;
	size_t n, len;
	int rc;

	if (got < 0 && (errno == EINTR || errno == EAGAIN))
		return true;
	if (got <= 0)
		return false;
	n = (size_t)got;
	while ((rc = console_frames_next(&frames, &p, &n, frame, &len)) > 0)
		if (send(app, frame, len, MSG_NOSIGNAL) < 0)
			return false;
	if (rc == 0)
		return true;
	(void)send(app, "\xff", 1, MSG_NOSIGNAL);
	return false;
}

static bool from_app(int app, int to)
{
	static uint8_t frame[CONSOLE_FRAME_MAX];
	ssize_t got = recv(app, frame, sizeof(frame), 0);

	if (got < 0 && errno == EINTR)
		return true;
	return got > 0 && write_all(to, frame, (size_t)got);
}

static __attribute__((noreturn)) void relay(int outside, int app, bool both)
{
	bool reading = true, writing = both;

	prctl(PR_SET_NAME, "scone-console");
	if (chdir("/"))
		_exit(1);
	set_signals();
	close_all_but(outside, app);
	console_frames_start(&frames, false);
	while (reading || writing) {
		struct pollfd p[2] = {{.fd = reading ? outside : -1, .events = POLLIN},
			{.fd = app, .events = both ? POLLIN : 0}};

		if (poll(p, 2, -1) < 0 && errno != EINTR)
			break;
		if (p[0].revents && !from_outside(outside, app)) {
			reading = false;
			(void)shutdown(app, SHUT_WR);
		}
		if (writing && (p[1].revents & POLLIN) && !from_app(app, outside)) {
			writing = false;
			(void)shutdown(outside, SHUT_WR);
		}
		if ((p[1].revents & (POLLHUP | POLLERR)) && !(p[1].revents & POLLIN))
			break; /* the application has closed it */
	}
	_exit(0);
}

int console_relay_start(int fd, bool both)
{
	int ends[2], status = 0, rc = 0;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
		return -errno;
	pid = fork();
	if (pid == 0) {
		/* Once more, so that it is nobody's child. */
		pid = fork();
		if (pid != 0)
			_exit(pid < 0);
		relay(fd, ends[1], both);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
		rc = pid < 0 ? -errno : -EAGAIN;
	close(ends[1]);
	if (rc == 0 && dup2(ends[0], fd) < 0)
		rc = -errno;
	close(ends[0]);
	return rc;
}
