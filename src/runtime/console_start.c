#include "runtime/console_start.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include "core/secret.h"
#include "crypto/hash.h"
#include "host/host.h"

struct start {
	struct process *p;
	const struct console_rules *rules;
	struct console_table *table;
	uint32_t count; /* channels */
};

/* --- one descriptor --- */

static int enter(struct start *s, int fd, uint32_t number, uint32_t access, struct error *err)
{
	struct fd_entry e = {.kind = FD_CONSOLE, .file = number, .flags = access};
	struct stat st;

	if (fstat(fd, &st) || fd_reserve(s->p, fd) < 0)
		return error_set_errno(err, errno, "descriptor %d for the console shield", fd);
	e.dev = st.st_dev;
	e.ino = st.st_ino;
	fd_set_entry(s->p, fd, &e);
	return 0;
}

/* To the kernel it is /dev/null from now on, to the program one that it may not use. */
static int refuse(struct start *s, int fd, struct error *err)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0 || dup2(null, fd) < 0)
		return error_set_errno(err, errno, "refuse descriptor %d to the program", fd);
	if (null != fd)
		close(null);
	return enter(s, fd, CONSOLE_REFUSED, O_RDWR, err);
}

static int say_hello(struct start *s, int fd, struct console_channel *c, struct error *err)
{
	struct console_hello h = {.output = true, .attach = s->table->attach};
	int rc;

	memcpy(h.run, s->table->run, sizeof(h.run));
	memcpy(h.name, c->name, sizeof(h.name));
	memcpy(h.context, s->table->context, sizeof(h.context));
	if (random_bytes(h.id, sizeof(h.id), err))
		return -1;
	c->hello_len = (uint32_t)console_hello_encode(&h, c->hello);
	if (!h.attach && console_half_start(&c->tx_half, s->table->key, c->hello, c->hello_len, NULL, 0, err))
		return -1;
	rc = console_write_raw(fd, c, c->hello, c->hello_len);
	return rc < 0 ? error_set_errno(err, -rc, "begin the protected stream of %s", c->name) : 0;
}

static int access_of(int fd, const struct stat *st, bool *ret_in, bool *ret_out, struct error *err)
{
	int flags = fcntl(fd, F_GETFL);
	char name[CONSOLE_NAME_MAX + 1];

	console_fd_name(fd, name);
	*ret_in = flags >= 0 && (flags & O_ACCMODE) != O_WRONLY && fd != 1 && fd != 2;
	*ret_out = flags >= 0 && (flags & O_ACCMODE) != O_RDONLY && fd != 0;
	if (!*ret_in && !*ret_out)
		return error_set(err, ERR_INPUT, "%s is protected, and open for %s", name,
			fd == 0 ? "writing only" : "reading only");
	if (S_ISDIR(st->st_mode) || S_ISBLK(st->st_mode) ||
		(fd > 2 && *ret_in && *ret_out && !S_ISSOCK(st->st_mode)))
		return error_set(err, ERR_INPUT,
			"%s is protected, and of a kind that cannot be: wanted a pipe, a terminal, a file, "
			"or a stream socket for both "
			"directions",
			name);
	return 0;
}

/* Is there a channel for it already, stdout's for stderr? Both are one stream then, in the order of what is written. */
static long same_output(const struct stat *st)
{
	long number = console_find(st->st_dev, st->st_ino);

	return number >= 0 && console_channel((uint32_t)number)->out &&
			       !console_channel((uint32_t)number)->packets
		       ? number
		       : -ENOENT;
}

static bool stream_socket(int fd)
{
	int type = 0;
	socklen_t n = sizeof(type);

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n) == 0 && type == SOCK_STREAM;
}

static int protect(struct start *s, int fd, const struct stat *st, struct error *err)
{
	struct console_channel *c = &s->table->channel[s->count];
	uint32_t number = s->count;
	bool in, out;
	int rc = 0;

	if (access_of(fd, st, &in, &out, err))
		return -1;
	if (out && !in && same_output(st) >= 0)
		return enter(s, fd, (uint32_t)same_output(st), O_WRONLY, err);
	if (S_ISSOCK(st->st_mode) && !stream_socket(fd))
		return error_set(
			err, ERR_INPUT, "descriptor %d is protected, and a socket that is no stream", fd);
	c->in = in;
	c->out = out;
	c->packets = in;
	c->lines = out && !in && isatty(fd);
	c->file = out && !in && S_ISREG(st->st_mode);
	c->socket = S_ISSOCK(st->st_mode);
	console_fd_name(fd, c->name);
	if (in)
		rc = console_relay_start(fd, out);
	if (rc < 0)
		return error_set_errno(err, -rc, "start the relay of %s", c->name);
	c->used = true;
	s->count++;
	if (enter(s, fd, number, in && out ? O_RDWR : in ? O_RDONLY : O_WRONLY, err))
		return -1;
	c->dev = fd_get(s->p, fd)->dev;
	c->ino = fd_get(s->p, fd)->ino;
	return 0;
}

/* --- all of them --- */

/* Does it lead to a process outside? Standard ones are judged whatever they are. Listening sockets are the network shield's. */
static bool is_judged(int fd, const struct stat *st)
{
	int listens = 0;
	socklen_t n = sizeof(listens);

	if (fd <= 2 || S_ISFIFO(st->st_mode))
		return true;
	if (S_ISSOCK(st->st_mode))
		return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &n) || !listens;
	return S_ISCHR(st->st_mode) && isatty(fd);
}

/* What goes past the shield must not go into the middle of a protected stream. */
static int check_alone(const struct start *s, int fd, const struct stat *st, struct error *err)
{
	int flags = fcntl(fd, F_GETFL);
	char name[CONSOLE_NAME_MAX + 1];
	long number = console_find(st->st_dev, st->st_ino);

	if (number < 0 || fd == 0 || flags < 0 || (flags & O_ACCMODE) == O_RDONLY || S_ISCHR(st->st_mode))
		return 0;
	console_fd_name(fd, name);
	return error_set(err, ERR_CONFLICT, "%s is protected and %s, which leads to the same place, is not",
		console_channel((uint32_t)number)->name, name);
}

/* pass 0: those that are protected or refused, pass 1: the others. */
static int judge(struct start *s, int fd, int pass, struct error *err)
{
	struct stat st;
	enum console_action a = console_rules_decide(s->rules, fd);

	if (fstat(fd, &st) || fd_load(s->p, (uint64_t)fd).kind != FD_NONE)
		return 0;
	if (fd > 2 && !is_judged(fd, &st) && a == CONSOLE_REFUSE &&
		!(fd < CONSOLE_FDS_MAX && s->rules->fd[fd]))
		return 0;
	if (pass == 1)
		return a == CONSOLE_PASS ? check_alone(s, fd, &st, err) : 0;
	return a == CONSOLE_PROTECT ? protect(s, fd, &st, err) : a == CONSOLE_REFUSE ? refuse(s, fd, err) : 0;
}

static int compare(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/* Ascending; the caller frees. */
static int list_fds(int **ret, size_t *ret_n, struct error *err)
{
	DIR *d = opendir("/proc/self/fd");
	struct dirent *e;
	int *list = NULL;
	size_t n = 0;

	if (!d)
		return error_set_errno(err, errno,
			"the descriptors of this process cannot be listed, for the console shield");
	while ((e = readdir(d))) {
		int *more = realloc(list, (n + 1) * sizeof(*list));

		if (!more) {
			free(list);
			closedir(d);
			return error_set(err, ERR_NOMEM, "no memory for a list of descriptors");
		}
		list = more;
		if (e->d_name[0] != '.' && atoi(e->d_name) != dirfd(d))
			list[n++] = atoi(e->d_name);
	}
	closedir(d);
	if (n)
		qsort(list, n, sizeof(*list), compare);
	*ret = list;
	*ret_n = n;
	return 0;
}

static int judge_all(struct start *s, struct error *err)
{
	int *fds = NULL, rc;
	size_t n = 0;

	rc = list_fds(&fds, &n, err);
	for (int pass = 0; pass < 2; pass++)
		for (size_t i = 0; i < n && rc == 0; i++)
			rc = judge(s, fds[i], pass, err);
	free(fds);
	for (int fd = 0; fd < CONSOLE_FDS_MAX && rc == 0; fd++)
		if (fd > 2 && s->rules->fd[fd] == CONSOLE_PROTECT &&
			fd_load(s->p, (uint64_t)fd).kind != FD_CONSOLE)
			rc = error_set(err, ERR_INPUT,
				CONSOLE_RULES_PREFIX
				"_FD_%d is protected, and the program is given no such descriptor",
				fd);
	return rc;
}

/* When nothing is refused any more. */
static int say_all_hellos(struct start *s, struct error *err)
{
	for (uint32_t fd = 0; fd < fd_end(s->p); fd++) {
		struct fd_entry e = fd_load(s->p, fd);
		struct console_channel *c = e.kind == FD_CONSOLE ? console_channel(e.file) : NULL;

		if (c && c->out && !c->hello_len && say_hello(s, (int)fd, c, err))
			return -1;
	}
	return 0;
}

/* --- attach --- */

/* The other side says who it is first; the keys of all outputs depend on it, and on its being for this run. */
static int await_attach(struct start *s, struct error *err)
{
	uint8_t frame[CONSOLE_FRAME_MAX];
	struct console_hello h;
	ssize_t n;

	do
		n = recv(STDIN_FILENO, frame, sizeof(frame), MSG_PEEK);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return error_set(err, ERR_PEER,
			"nobody has attached to the console: seen the end of stdin, wanted `scone console "
			"attach`");
	if (console_hello_decode(frame, (size_t)n, &h, err))
		return error_wrap(err, "attach");
	if (h.output || !secret_equal(h.run, s->table->run, sizeof(h.run)))
		return error_set(err, ERR_PEER, "attach: seen a stream %s, wanted one of input for this run",
			h.output ? "of output" : "for another run");
	for (uint32_t i = 0; i < s->count; i++) {
		struct console_channel *c = &s->table->channel[i];

		if (c->out && console_half_start(&c->tx_half, s->table->key, c->hello, c->hello_len, frame,
				      (size_t)n, err))
			return -1;
	}
	return 0;
}

/* --- start --- */

/* Out of the program's environment: the key is none of its business. *ret: the variables, for console_rules_lines_free. */
static int take_variables(char **env, size_t *count, char ***ret, struct error *err)
{
	char **own = calloc(*count + 1, sizeof(char *));
	size_t kept = 0, n = 0;

	if (!own)
		return error_set(err, ERR_NOMEM, "no memory for rules of the console shield");
	for (size_t i = 0; env[i]; i++) {
		if (console_rules_owns(env[i]))
			own[n++] = env[i];
		else
			env[kept++] = env[i];
	}
	env[kept] = NULL;
	*count = kept;
	*ret = own;
	return 0;
}

static uint64_t pipe_device(void)
{
	struct stat st = {0};
	int ends[2];

	if (pipe(ends))
		return 0;
	(void)fstat(ends[0], &st);
	close(ends[0]);
	close(ends[1]);
	return st.st_dev;
}

static int set_up(struct start *s, const char *context, struct error *err)
{
	const struct console_rules *r = s->rules;
	size_t n = strcspn(context, "@"); /* what follows is a one-time password */
	int rc = console_table_create();

	if (rc == 0)
		rc = console_activate(s->p);
	if (rc < 0)
		return error_set_errno(err, -rc, "start the console shield");
	if (n > CONSOLE_CONTEXT_MAX)
		return error_set(err, ERR_LIMIT, "the name of the service has %zu bytes, at most %d", n,
			CONSOLE_CONTEXT_MAX);
	s->table = console_table();
	memcpy(s->table->context, context, n);
	memcpy(s->table->key, r->key, sizeof(s->table->key));
	s->table->attach = r->attach;
	s->table->fifos = (uint8_t)r->fifos;
	s->table->terminals = (uint8_t)r->terminals;
	s->table->pipe_dev = pipe_device();
	if (random_bytes(s->table->run, sizeof(s->table->run), err) || judge_all(s, err) ||
		say_all_hellos(s, err) || (r->attach && await_attach(s, err)))
		return -1;
	console_forget_key();
	if (fd_load(s->p, STDERR_FILENO).kind == FD_CONSOLE)
		s->table->log = fd_load(s->p, STDERR_FILENO).file;
	return 0;
}

int console_start(struct process *p, char **env, size_t *count, const char *context, struct error *err)
{
	struct console_rules rules = {0};
	struct start s = {.p = p, .rules = &rules};
	char **variables = NULL;
	uint32_t bits = 0;
	int rc = take_variables(env, count, &variables, err);

	if (rc == 0)
		rc = console_rules_parse(variables, &rules, err);
	console_rules_lines_free(variables);
	if (rc == 0 && rules.mode != CONSOLE_DISABLED)
		rc = set_up(&s, context, err);
	console_rules_wipe(&rules);
	for (uint32_t i = 0; i < s.count; i++)
		bits |= 1u << i;
	if (rc == 0 && s.table)
		console_hold_all((uint32_t)host_call0(SYS_getpid), bits);
	return rc;
}
