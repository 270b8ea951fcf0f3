#include "runtime/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include "core/secret.h"
#include "measure/elf.h"
#include "measure/shebang.h"
#include "runtime/code.h"
#include "runtime/proc_path.h"
#include "runtime/shields.h"
#include "runtime/sys/volume.h"
#include "runtime/verified.h"

#define AT_EACCESS_FLAG 0x200
#define STATE_MAX (64 * 1024 * 1024)
#define STATE_MAGIC 0x53434e45 /* "SCNE" */

static void free_strings(char **v)
{
	for (size_t i = 0; v && v[i]; i++) {
		secret_wipe(v[i], strlen(v[i]));
		free(v[i]);
	}
	free(v);
}

void launch_free(struct launch *l)
{
	free_strings(l->argv);
	free_strings(l->envp);
	free(l->execfn);
	free(l->path);
	if (l->by_fd)
		host_close(l->fd);
	memset(l, 0, sizeof(*l));
}

int launch_push(char ***v, size_t *n, const char *s)
{
	char **bigger = realloc(*v, (*n + 2) * sizeof(char *));
	char *copy = strdup(s);

	if (bigger)
		*v = bigger;
	if (!bigger || !copy) {
		free(copy);
		return -ENOMEM;
	}
	(*v)[(*n)++] = copy;
	(*v)[*n] = NULL;
	return 0;
}

/* argv of a script: interpreter, its argument, the script's path, then the old arguments from the second on. */
static int script_argv(struct launch *l, const struct shebang *s, const char *script)
{
	char **v = NULL;
	size_t n = 0;
	int rc = launch_push(&v, &n, s->interp);

	if (!rc && s->arg[0])
		rc = launch_push(&v, &n, s->arg);
	if (!rc)
		rc = launch_push(&v, &n, script);
	for (size_t i = 1; !rc && i < l->argc; i++)
		rc = launch_push(&v, &n, l->argv[i]);
	if (rc) {
		free_strings(v);
		return rc;
	}
	free_strings(l->argv);
	l->argv = v;
	l->argc = n;
	return 0;
}

static int pread_fd(void *ctx, uint64_t off, void *p, size_t n)
{
	return host_pread(*(int *)ctx, p, n, (off_t)off) == (long)n ? 0 : -1;
}

static int check_elf(int fd, const struct stat *st)
{
	struct elf_source src = {.pread = pread_fd, .ctx = &fd, .size = (uint64_t)st->st_size};
	struct elf e;
	char *interp = NULL;
	int rc = -ENOEXEC;

	if (elf_open(&src, &e, NULL))
		return -ENOEXEC;
	if (!elf_interp(&e, &interp, NULL)) {
		rc = interp ? (int)host_call4(
				      SYS_faccessat2, AT_FDCWD, (long)interp, 1 /* X_OK */, AT_EACCESS_FLAG)
			    : 0;
		if (rc == -EACCES || rc == -ENOENT || !host_failed(rc))
			rc = rc < 0 ? rc : 0;
	}
	free(interp);
	elf_close(&e);
	return rc;
}

/* Open what execve would run: a regular file with execute permission. */
/* Of a volume: a copy in memory, whose name is volume_path; else that is empty. */
static int open_program(int dirfd, const char *path, struct stat *st, char volume_path[PATH_MAX])
{
	char elsewhere[PATH_MAX];
	bool moved;
	long got;
	int fd, rc;

	if (!path[0])
		return -ENOENT;
	got = volume_program(dirfd, path, st, volume_path, &moved);
	if (got != VOLUME_NOT_OURS)
		return (int)got;
	if (moved)
		path = memcpy(elsewhere, volume_path, strlen(volume_path) + 1);
	volume_path[0] = '\0';
	rc = (int)host_call4(SYS_newfstatat, dirfd, (long)path, (long)st, 0);
	if (rc)
		return rc;
	if (!S_ISREG(st->st_mode))
		return -EACCES;
	rc = (int)host_call4(SYS_faccessat2, dirfd, (long)path, 1 /* X_OK */, AT_EACCESS_FLAG);
	if (rc)
		return rc;
	fd = (int)host_openat(dirfd, path, O_RDONLY | O_CLOEXEC, 0);
	if (fd >= 0)
		rc = (int)host_fstat(fd, st);
	return rc ? rc : fd;
}

/* Without /proc: the name as it is, made absolute. *ret_gone is then for the caller to find out. */
static int plain_name(int dirfd, const char *name, char ret[PATH_MAX], bool *ret_unknown)
{
	long n = 0;

	*ret_unknown = name[0] != '/' && dirfd != AT_FDCWD;
	if (name[0] != '/' && !*ret_unknown) {
		n = host_call2(SYS_getcwd, (long)ret, PATH_MAX);
		if (host_failed(n))
			return (int)n;
		ret[n - 1] = '/';
	}
	return snprintf(ret + n, PATH_MAX - (size_t)n, "%s", name) < PATH_MAX - n ? 0 : -ENAMETOOLONG;
}

/* The path of an open file, which was found by name. *ret_gone: it does not lead there. */
static int absolute_name(
	int fd, int dirfd, const char *name, const struct stat *st, char ret[PATH_MAX], bool *ret_gone)
{
	struct stat there;
	bool unknown = false;
	char link[64];
	long n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = host_call3(SYS_readlink, (long)link, (long)ret, PATH_MAX - 1);
	if (!host_failed(n))
		ret[n] = 0;
	else if (n == -ENOENT)
		n = plain_name(dirfd, name, ret, &unknown);
	if (host_failed(n))
		return (int)n;
	*ret_gone = unknown || host_call4(SYS_newfstatat, AT_FDCWD, (long)ret, (long)&there, 0) ||
		    there.st_dev != st->st_dev || there.st_ino != st->st_ino;
	return 0;
}

/* What to open for the name that execve was given, and that the program sees as AT_EXECFN: /proc/self/exe is the hosted program, not the runtime;
 * /dev need not be there for a descriptor's name. 0 or -ENAMETOOLONG. */
static int openable_name(const char *execfn, char ret[PATH_MAX])
{
	bool number = !strncmp(execfn, "/dev/fd/", 8);
	bool own = runtime.program && proc_path_is_exe(execfn);
	int n = own	 ? snprintf(ret, PATH_MAX, "%s", runtime.program)
		: number ? snprintf(ret, PATH_MAX, "/proc/self/fd/%s", execfn + 8)
			 : snprintf(ret, PATH_MAX, "%s", execfn);

	return n < PATH_MAX ? 0 : -ENAMETOOLONG;
}

/* The name of a descriptor that will not be there any more? */
static bool closes_on_exec(const char *execfn)
{
	long flags = strncmp(execfn, "/dev/fd/", 8) ? -1 : host_call2(SYS_fcntl, atoi(execfn + 8), F_GETFD);

	return flags >= 0 && (flags & FD_CLOEXEC);
}

int launch_resolve(struct launch *l, int dirfd)
{
	char name[PATH_MAX], head[SHEBANG_MAX], real[PATH_MAX], in_volume[PATH_MAX];
	struct shebang s;

	if (openable_name(l->execfn, name))
		return -ENAMETOOLONG;
	for (int depth = 0; depth <= SHEBANG_DEPTH; depth++) {
		struct stat st;
		int fd = depth && !name[0] ? -EACCES /* the working directory, to the kernel */
					   : open_program(depth ? AT_FDCWD : dirfd, name, &st, in_volume),
		    kind, rc;
		bool gone = false;
		long n;

		if (fd < 0)
			return fd;
		n = host_pread(fd, head, sizeof(head), 0);
		kind = n < 2 ? 0 : shebang_parse(head, (size_t)n, &s, NULL);
		rc = kind < 0 || n < 0 ? -ENOEXEC : 0;
		if (!rc && kind == 0) {
			rc = check_elf(fd, &st);
			gone = in_volume[0];
			if (!rc && gone)
				memcpy(real, in_volume, sizeof(real));
			else if (!rc)
				rc = absolute_name(fd, depth ? AT_FDCWD : dirfd, name, &st, real, &gone);
		}
		if (rc || !gone)
			host_close(fd);
		if (rc)
			return rc;
		if (kind == 0) {
			l->by_fd = gone;
			l->fd = fd;
			free(l->path);
			l->path = strdup(real);
			return l->path ? 0 : -ENOMEM;
		}
		if (!depth && closes_on_exec(l->execfn))
			return -ENOENT; /* the interpreter could not open it */
		rc = script_argv(l, &s, depth ? name : l->execfn);
		if (rc)
			return rc;
		static_assert(sizeof(s.interp) <= sizeof(name), "any interpreter of a script fits");
		memcpy(name, s.interp, strlen(s.interp) + 1);
	}
	return -ELOOP;
}

static void put_strings(struct buf *b, char **v, size_t n)
{
	buf_put_u32be(b, (uint32_t)n);
	for (size_t i = 0; i < n; i++)
		buf_put_block(b, v[i], strlen(v[i]));
}

static int encode(const struct launch *l, struct process *p, struct buf *b)
{
	int rc;

	buf_put_u32be(b, STATE_MAGIC);
	buf_put_u8(b, runtime.attested);
	buf_put_u8(b, runtime.stats);
	buf_put_block(b, l->execfn, strlen(l->execfn));
	buf_put_block(b, l->path, strlen(l->path));
	put_strings(b, l->argv, l->argc);
	put_strings(b, l->envp, l->envc);
	buf_put_u8(b, l->by_fd);
	buf_put_u32be(b, (uint32_t)l->fd);
	buf_put_u8(b, l->has_sigmask);
	buf_put_u64be(b, l->sigmask);
	buf_put_u64be(b, l->sigs_ignored);
	buf_put_u64be(b, l->nofile.soft);
	buf_put_u64be(b, l->nofile.hard);
	rc = shields_encode(p, b);
	if (!rc && runtime.attested)
		rc = verified_encode(b);
	if (!rc)
		rc = code_encode(b);
	return rc ? rc : b->failed ? -ENOMEM : 0;
}

/* Through a mapping, since memfd_secret knows no read and write. */
static int fd_with(const struct buf *b, bool secret)
{
	long fd = secret ? host_call1(SYS_memfd_secret, 0) : -ENOSYS, addr;
	bool sealed = fd < 0;

	if (sealed)
		fd = host_call2(SYS_memfd_create, (long)"scone-exec", MFD_ALLOW_SEALING);
	if (fd < 0)
		return (int)fd;
	if (host_call2(SYS_ftruncate, fd, (long)b->len)) {
		host_close((int)fd);
		return -ENOMEM;
	}
	addr = host_mmap(NULL, b->len, PROT_READ | PROT_WRITE, MAP_SHARED, (int)fd, 0);
	if (host_failed(addr)) {
		host_close((int)fd);
		return sealed ? (int)addr : fd_with(b, false); /* no locked memory left */
	}
	memcpy((void *)addr, b->data, b->len);
	host_munmap((void *)addr, b->len);
	if (sealed)
		host_call3(
			SYS_fcntl, fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);
	return (int)fd;
}

/* A pipe that holds it all: where files may not be as long, memory files neither, and to try is SIGXFSZ. */
static int pipe_with(const struct buf *b)
{
	int ends[2];
	long rc = host_call2(SYS_pipe2, (long)ends, O_CLOEXEC | O_NONBLOCK);

	if (rc)
		return (int)rc;
	rc = host_call3(SYS_fcntl, ends[1], F_SETPIPE_SZ, (long)b->len);
	if (!host_failed(rc))
		rc = host_write(ends[1], b->data, b->len);
	host_close(ends[1]);
	if (rc == (long)b->len)
		rc = host_call3(SYS_fcntl, ends[0], F_SETFD, 0);
	else
		rc = rc == -EMFILE ? rc : -E2BIG;
	if (!host_failed(rc))
		return ends[0];
	host_close(ends[0]);
	return (int)rc;
}

static bool files_may_have(size_t n)
{
	struct rlimit limit;

	return host_call4(SYS_prlimit64, 0, RLIMIT_FSIZE, 0, (long)&limit) || limit.rlim_cur >= n;
}

int launch_write_state(const struct launch *l, struct process *p)
{
	struct buf b;
	int rc;

	buf_init_secret(&b, STATE_MAX);
	rc = encode(l, p, &b);
	if (!rc)
		rc = files_may_have(b.len) ? fd_with(&b, runtime.attested) : pipe_with(&b);
	buf_free(&b);
	return rc;
}

static char *take_string(struct rd *r)
{
	size_t n = 0;
	const uint8_t *p = rd_block(r, LAUNCH_ARGS_MAX, &n);

	return p ? strndup((const char *)p, n) : NULL;
}

static int take_strings(struct rd *r, char ***ret, size_t *ret_n)
{
	uint32_t n = rd_u32be(r);

	if (n > LAUNCH_ARGS_MAX / sizeof(char *))
		return -1;
	*ret = calloc(n + 1u, sizeof(char *));
	if (!*ret)
		return -1;
	for (uint32_t i = 0; i < n; i++) {
		(*ret)[i] = take_string(r);
		if (!(*ret)[i])
			return -1;
	}
	*ret_n = n;
	return 0;
}

static int decode(struct rd *r, struct launch *l, struct process *p)
{
	if (rd_u32be(r) != STATE_MAGIC)
		return -1;
	runtime.attested = rd_u8(r);
	runtime.stats = rd_u8(r);
	l->execfn = take_string(r);
	l->path = take_string(r);
	if (!l->execfn || !l->path || take_strings(r, &l->argv, &l->argc) ||
		take_strings(r, &l->envp, &l->envc))
		return -1;
	l->by_fd = rd_u8(r);
	l->fd = (int)rd_u32be(r);
	l->has_sigmask = rd_u8(r);
	l->sigmask = rd_u64be(r);
	l->sigs_ignored = rd_u64be(r);
	l->nofile.soft = rd_u64be(r);
	l->nofile.hard = rd_u64be(r);
	if (shields_decode(p, r) || (runtime.attested && verified_decode(r)) || code_decode(r))
		return -1;
	return rd_done(r) ? 0 : -1;
}

/* All that is in a pipe whose other end is closed. */
static int read_pipe(int fd, struct buf *ret)
{
	uint8_t some[4096];
	long n;

	while ((n = host_read(fd, some, sizeof(some))) > 0)
		buf_put(ret, some, (size_t)n);
	secret_wipe(some, sizeof(some));
	return n || ret->failed ? -1 : 0;
}

static int read_mapped(int fd, size_t size, struct launch *ret, struct process *p, struct error *err)
{
	struct rd r;
	long addr;
	int rc;

	/* A sealed memfd cannot be mapped shared before Linux 6.7, a memfd_secret only so. */
	addr = host_mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (host_failed(addr))
		addr = host_mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
	if (host_failed(addr))
		return error_set_errno(err, (int)-addr, "map the state in descriptor %d", fd);
	rd_init(&r, (const void *)addr, size);
	rc = decode(&r, ret, p);
	host_munmap((void *)addr, size);
	return rc ? error_set(err, ERR_INPUT, "descriptor %d holds a malformed state", fd) : 0;
}

static int read_piped(int fd, struct launch *ret, struct process *p, struct error *err)
{
	struct buf b;
	struct rd r;
	int rc;

	buf_init_secret(&b, STATE_MAX);
	rc = read_pipe(fd, &b);
	if (!rc) {
		rd_init(&r, b.data, b.len);
		rc = decode(&r, ret, p);
	}
	buf_free(&b);
	return rc ? error_set(err, ERR_INPUT, "pipe %d holds a malformed state", fd) : 0;
}

int launch_read_state(int fd, struct launch *ret, struct process *p, struct error *err)
{
	struct stat st;
	int rc;

	if (host_fstat(fd, &st))
		return error_set(err, ERR_INPUT, "descriptor %d holds no state of a runtime", fd);
	if (S_ISFIFO(st.st_mode))
		rc = read_piped(fd, ret, p, err);
	else if (st.st_size <= 0 || st.st_size > STATE_MAX)
		return error_set(err, ERR_INPUT, "descriptor %d holds no state of a runtime", fd);
	else
		rc = read_mapped(fd, (size_t)st.st_size, ret, p, err);
	if (!rc)
		host_close(fd);
	return rc;
}
