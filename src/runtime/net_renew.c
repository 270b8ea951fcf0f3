#include "runtime/net_renew.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "core/log.h"
#include "core/secret.h"
#include "crypto/x509.h"
#include "crypto/x509_issue.h"
#include "host/arena.h"
#include "runtime/net_renew_area.h"
#include "runtime/shields.h"

#define MAGIC 0x4e455452u /* "NETR" */
#define RENEW_AREA 3 /* descriptors of the renewer */
#define RENEW_LIFE 4

static struct net_renew_area *area;
static int area_fd = -1, life_fd = -1; /* hidden from the program */
static uint32_t taken, said;

/* --- the area --- */

struct net_renew_area *net_renew_map(int fd)
{
	struct stat st;
	long at;

	if (host_failed(host_fstat(fd, &st)) || st.st_size != (off_t)sizeof(struct net_renew_area))
		return NULL;
	at = host_mmap(NULL, sizeof(struct net_renew_area), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (host_failed(at))
		return NULL;
	host_call3(SYS_madvise, at, sizeof(struct net_renew_area), MADV_DONTDUMP);
	return (struct net_renew_area *)at;
}

static int create(void)
{
	long fd = host_call1(SYS_memfd_secret, 0);

	for (int i = 0; i < 2; i++) {
		if (!host_failed(fd) && !host_call2(SYS_ftruncate, fd, sizeof(struct net_renew_area)) &&
			(area = net_renew_map((int)fd)))
			return (int)fd;
		if (!host_failed(fd))
			host_close((int)fd);
		/* The kernel has none, or the limit of locked memory is reached. */
		fd = host_call2(SYS_memfd_create, (long)"scone-renew", MFD_CLOEXEC);
	}
	return host_failed(fd) ? (int)fd : -ENOMEM;
}

static int hide(struct process *p, int fd, int *ret)
{
	static const struct fd_entry hidden = {.kind = FD_HIDDEN};
	int number = arena_hide(fd);

	if (number < 0)
		return number;
	*ret = number;
	if (fd_reserve(p, number) == 0)
		fd_set_entry(p, number, &hidden);
	return 0;
}

/* --- over execve --- */

void net_renew_encode(struct buf *out)
{
	buf_put_u32be(out, MAGIC);
	buf_put_u8(out, area != NULL);
	buf_put_u32be(out, (uint32_t)area_fd);
	buf_put_u32be(out, (uint32_t)life_fd);
}

int net_renew_decode(struct process *p, struct rd *in)
{
	uint32_t magic = rd_u32be(in);
	bool there = rd_u8(in);
	int shared = (int)rd_u32be(in), life = (int)rd_u32be(in), ret;

	if (in->failed || magic != MAGIC)
		return -EBADMSG;
	if (!there)
		return 0;
	area = net_renew_map(shared);
	if (!area || area->magic != MAGIC)
		return -EBADMSG;
	ret = hide(p, shared, &area_fd);
	return ret < 0 ? ret : hide(p, life, &life_fd);
}

void net_renew_keep(bool over_exec)
{
	if (area_fd >= 0)
		host_call3(SYS_fcntl, area_fd, F_SETFD, over_exec ? 0 : FD_CLOEXEC);
	if (life_fd >= 0)
		host_call3(SYS_fcntl, life_fd, F_SETFD, over_exec ? 0 : FD_CLOEXEC);
}

/* --- taking --- */

bool net_renew_due(void)
{
	return area && (__atomic_load_n(&area->generation, __ATOMIC_ACQUIRE) != taken ||
			       __atomic_load_n(&area->said, __ATOMIC_ACQUIRE) != said);
}

/* Who died while it wrote leaves an odd number: nothing that could be taken. */
bool net_renew_take(struct buf *ret)
{
	bool there;

	(void)net_lock(&area->lock);
	there = area->generation != taken && !(area->generation & 1) && area->len <= sizeof(area->text);
	if (there) {
		buf_put(ret, area->text, area->len);
		taken = area->generation;
	}
	net_unlock(&area->lock);
	return there && !ret->failed;
}

bool net_renew_said(char ret[ERROR_TEXT_MAX])
{
	bool there;

	(void)net_lock(&area->lock);
	there = area->said != said;
	said = area->said;
	if (there)
		memcpy(ret, area->why, sizeof(area->why));
	net_unlock(&area->lock);
	ret[ERROR_TEXT_MAX - 1] = '\0';
	return there;
}

static uint64_t end_of(const char *pem)
{
	static const char begin[] = "-----BEGIN CERTIFICATE-----";
	uint64_t first = X509_FOREVER;

	for (const char *at = pem; at && (at = strstr(at, begin)); at += strlen(begin)) {
		uint64_t start, end;
		X509 *c = NULL;

		if (!x509_from_pem(at, strlen(at), &c, NULL) && !x509_validity(c, &start, &end, NULL) &&
			end != X509_FOREVER && (first == X509_FOREVER || end < first))
			first = end;
		X509_free(c);
	}
	return first;
}

uint64_t net_renew_end(const struct net_rules *r)
{
	uint64_t first = X509_FOREVER;

	for (size_t i = 0; i < r->count; i++) {
		const char *parts[] = {r->rule[i].identity, r->rule[i].auth};

		for (size_t k = 0; k < 2 && r->rule[i].action == NET_PROTECT; k++) {
			uint64_t end = end_of(parts[k]);

			if (end != X509_FOREVER && (first == X509_FOREVER || end < first))
				first = end;
		}
	}
	return first;
}

/* --- start --- */

/* Only what it needs, and nothing of the program's. */
static __attribute__((noreturn)) void become_renewer(
	int shared, int life, char **argv, char **env, int directory)
{
	char option[] = "--renew", text[32];
	size_t n = 0;
	char **own;
	int null = open("/dev/null", O_RDWR);

	while (argv[n])
		n++;
	own = calloc(n + 3, sizeof(*own));
	/* Out of the way of the numbers that they get. */
	shared = fcntl(shared, F_DUPFD, 10);
	life = fcntl(life, F_DUPFD, 10);
	null = fcntl(null, F_DUPFD, 10);
	if (n == 0 || !own || null < 0 || shared < 0 || life < 0 || fchdir(directory))
		_exit(1);
	for (int fd = 0; fd < 3; fd++)
		if (dup2(null, fd) < 0)
			_exit(1);
	if (dup2(shared, RENEW_AREA) < 0 || dup2(life, RENEW_LIFE) < 0)
		_exit(1);
	host_call3(SYS_close_range, RENEW_LIFE + 1, ~0U, 0);
	(void)snprintf(text, sizeof(text), "%d:%d", RENEW_AREA, RENEW_LIFE);
	own[0] = argv[0];
	own[1] = option;
	own[2] = text;
	memcpy(own + 3, argv + 1, (n - 1) * sizeof(*own));
	setsid();
	execve("/proc/self/exe", own, env);
	_exit(1);
}

static int spawn(int shared, int life, char **argv, char **env, int directory)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		/* Once more, so that it is nobody's child. */
		pid = fork();
		if (pid != 0)
			_exit(pid < 0);
		become_renewer(shared, life, argv, env, directory);
	}
	return pid < 0 ? -errno : waitpid(pid, &status, 0) != pid || status ? -EAGAIN : 0;
}

static int start(struct process *p, uint64_t end, char **argv, char **env, int directory)
{
	int life[2], shared = create(), ret;

	if (shared < 0)
		return shared;
	area->magic = MAGIC;
	area->end = end;
	if (pipe2(life, O_CLOEXEC)) {
		host_close(shared);
		return -errno;
	}
	ret = spawn(shared, life[0], argv, env, directory);
	host_close(life[0]);
	if (ret == 0)
		ret = hide(p, shared, &area_fd);
	return ret < 0 ? ret : hide(p, life[1], &life_fd);
}

void net_renew_start(
	struct process *p, const struct attest_options *o, char **argv, char **env, int directory)
{
	uint64_t end = net_active(p) ? net_renew_end(net_rules()) : X509_FOREVER;
	int ret;

	if (end == X509_FOREVER)
		return;
	if (strchr(o->config_id, '@')) {
		log_warn("network: the certificates of this program end with their time: a one-time "
			 "password, with which they could be renewed, is good "
			 "for one start");
		return;
	}
	ret = start(p, end, argv, env, directory);
	if (ret < 0)
		log_warn("network: the certificates of this program end with their time: what would renew "
			 "them does not start: %s",
			strerror(-ret));
}
