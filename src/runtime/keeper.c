#include "runtime/keeper.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>
#include "core/log.h"
#include "runtime/volumes.h"

#define PERIOD 1 /* seconds */
#define MAX_AGE 1000000000L /* ns a change may wait for its commit */

static void on_tick(int sig)
{
}

/* Signals that a terminal or an administrator sends to the application are not for the keeper: it ends when the others have. */
static void set_signals(void)
{
	static const int ignored[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGPIPE, SIGUSR1, SIGUSR2, SIGTSTP,
		SIGTTIN, SIGTTOU, SIGXFSZ};
	struct sigaction tick = {.sa_handler = on_tick};
	struct itimerval every = {.it_interval = {.tv_sec = PERIOD}, .it_value = {.tv_sec = PERIOD}};
	sigset_t none;

	for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		(void)signal(ignored[i], SIG_IGN);
	sigaction(SIGALRM, &tick, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setitimer(ITIMER_REAL, &every, NULL);
}

/* What the program has open must end with the program: only the hidden descriptors stay. */
static void close_others(void)
{
	unsigned first = 0;

	for (unsigned fd = 0; fd <= FD_TRACK_MAX; fd++) {
		if (fd < FD_TRACK_MAX && !volumes_hides(NULL, fd))
			continue;
		if (fd > first)
			host_call3(SYS_close_range, first, fd == FD_TRACK_MAX ? ~0U : fd - 1, 0);
		first = fd + 1;
	}
}

static __attribute__((noreturn)) void keep(const struct vfs_caller *first, uint32_t slot)
{
	struct vfs_caller me = *first;
	int rc;

	volumes_keep_begin(slot);
	if (vfs_fork_child(&me, slot, (uint32_t)getpid()))
		_exit(1);
	setsid();
	prctl(PR_SET_NAME, "scone-keeper");
	if (chdir("/"))
		log_warn("the keeper of the volumes stays in its directory, for / cannot be entered");
	set_signals();
	close_others();
	if (volumes_keep_serve())
		log_error(
			"the keeper of the volumes has no thread for CAS: what wants CAS to know is refused");
	while ((rc = volumes_keep_wait()) == -EINTR)
		(void)vfs_tick(&me, MAX_AGE);
	(void)vfs_reap(&me);
	rc = vfs_leave(&me);
	volumes_keep_end(rc);
	_exit(rc ? 1 : 0);
}

int keeper_start(const struct vfs_caller *first)
{
	uint32_t slot;
	pid_t pid;
	int rc = vfs_fork_prepare(first, false, &slot), status = 0, ready[2];
	char byte;

	if (rc)
		return rc;
	if (pipe(ready)) {
		vfs_fork_cancel(first, slot);
		return -errno;
	}
	pid = fork();
	if (pid == 0) {
		/* Once more, so that it is nobody's child. */
		pid = fork();
		if (pid != 0)
			_exit(pid < 0);
		keep(first, slot);
	}
	close(ready[1]);
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status) {
		rc = pid < 0 ? -errno : -EAGAIN;
		vfs_fork_cancel(first, slot);
	} else if (read(ready[0], &byte, 1) !=
		   0) { /* it ends when the keeper has closed what is not its own */
		rc = -EIO;
	}
	close(ready[0]);
	return rc;
}
