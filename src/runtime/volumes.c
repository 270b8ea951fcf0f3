#include "runtime/volumes.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <linux/falloc.h>
#include <linux/memfd.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "core/log.h"
#include "core/secret.h"
#include "host/arena.h"
#include "host/volume_file.h"
#include "runtime/fd.h"
#include "runtime/keeper.h"
#include "runtime/shields.h"
#include "runtime/volume_lease.h"

#define CONFIG_MAGIC 0x53564c31u /* "SVL1" */
#define STATE_MAGIC 0x53564f4cu /* "SVOL" */
#define LIST_MAX_BYTES (256 * 1024)
#define SERVICE_BYTES ((uint64_t)16 << 30) /* a service's volume may take so much */
#define CACHE_BYTES ((size_t)256 << 20) /* of decrypted blocks, for each volume; taken as it is used */
#define BUSY_TRIES 100 /* of 50 ms: another application's keeper may be writing back */
#define CLOSE_PATIENCE 120 /* seconds that the last process waits for the keeper */
#define GATES 16
#define ALIGN(n) (((n) + 4095) & ~(size_t)4095)

/* One mount, in the arena. */
struct shared_mount {
	uint64_t arena_off, arena_len;
	uint64_t host_dev, host_ino; /* of the directory that it hides; 0, 0: there is none */
	uint8_t key[VOLUME_KEY_LEN];
	struct volume_file file; /* its descriptor has the same number in all processes */
	struct lease_post lease;
};

/* The start of the caller's part of the arena. */
struct shared {
	uint32_t closed; /* futex: 1 when the keeper has closed the volumes */
	int32_t close_error; /* what that answered */
	uint32_t mounts, keeper;
	int32_t pages_fd, placeholder_fd, cwd_fd;
	uint64_t placeholder_dev, placeholder_ino;
	struct lease_bell bell;
	struct shared_mount mount[VFS_MOUNTS];
};

static struct arena arena = {.fd = -1};
static struct volume_client
	*clients[VFS_MOUNTS]; /* in the first process until there is a keeper, and in that */
static struct process
	*first; /* of this image; what a thread of the program is in is asked from the thread itself */
static struct {
	_Alignas(64) uint32_t inside;
} gate[GATES];
static uint32_t gate_closed;

static struct shared *shared(void)
{
	return (struct shared *)(arena.base + ARENA_HEAD);
}

static uint8_t *region(void)
{
	return arena.base + ALIGN(ARENA_HEAD + sizeof(struct shared));
}

static struct process *self(void)
{
	return runtime.threads_started ? thread_self()->proc : first;
}

/* What the program may not map over or unmap. */
static void own_arena(void)
{
	runtime.arena_start = (uint64_t)arena.base;
	runtime.arena_end = runtime.arena_start + arena.len;
}

static uint32_t own_slot(void)
{
	return self()->volumes->slot;
}

/* --- callbacks --- */

static int env_lock(void *ctx, struct volume_lock *l, enum volume_lock_mode mode)
{
	static_assert(sizeof(struct arena_lock) == sizeof(struct volume_lock), "one is the other");
	return arena_lock(&arena, own_slot(), (struct arena_lock *)l);
}

static void env_unlock(void *ctx, struct volume_lock *l, enum volume_lock_mode mode)
{
	arena_unlock((struct arena_lock *)l);
}

/* Will all handlers that are about to run let the call go on? */
static bool restarts(const struct thread *t)
{
	for (uint32_t i = 0; i < t->pending && i < PENDING_MAX; i++)
		if (!(t->proc->sigactions[t->pending_info[i].si_signo].flags & SA_RESTART))
			return false;
	return true;
}

static int env_wait(void *ctx, const uint32_t *word, uint32_t value, int64_t timeout)
{
	struct timespec ts = {.tv_sec = timeout / 1000000000, .tv_nsec = timeout % 1000000000};
	struct thread *t;
	long rc;

	if (!runtime.threads_started) {
		rc = arena_wait(word, value, timeout);
		return rc == -EINTR ? -EINTR : 0;
	}
	t = thread_self();
	volumes_leave(t);
	rc = scone_safe_call6(SYS_futex, (long)word, 0 /* FUTEX_WAIT */, (long)value, (long)&ts, 0, 0);
	volumes_enter(t);
	if (rc == HOST_ERESTART || rc == -EINTR)
		return restarts(t) ? (int)HOST_ERESTART : -EINTR;
	return 0;
}

static void env_wake(void *ctx, const uint32_t *word)
{
	arena_wake(word);
}

static bool env_alive(void *ctx, uint32_t slot)
{
	return arena_alive(&arena, own_slot(), slot);
}

static int64_t env_clock(void *ctx)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

static int env_random(void *ctx, void *p, size_t n)
{
	for (size_t done = 0; done < n;) {
		long got = host_call3(SYS_getrandom, (long)((uint8_t *)p + done), (long)(n - done), 0);

		if (got == -EINTR)
			continue;
		if (got <= 0)
			return got ? (int)got : -EIO;
		done += (size_t)got;
	}
	return 0;
}

static void env_fault(void *ctx, const struct volume_fault *f)
{
	log_error("volume %s: %s", ((struct volume_file *)ctx)->path, f->text);
}

static int pages_move(long nr, uint64_t off, void *p, size_t n)
{
	for (size_t done = 0; done < n;) {
		long got = host_call4(nr, shared()->pages_fd, (long)((uint8_t *)p + done), (long)(n - done),
			(long)(off + done));

		if (got == -EINTR)
			continue;
		if (got < 0)
			return (int)got;
		if (got == 0 && nr == SYS_pread64) {
			memset((uint8_t *)p + done, 0, n - done);
			return 0;
		}
		done += (size_t)got;
	}
	return 0;
}

static int pages_read(void *ctx, uint64_t off, void *p, size_t n)
{
	return pages_move(SYS_pread64, off, p, n);
}

static int pages_write(void *ctx, uint64_t off, const void *p, size_t n)
{
	return pages_move(SYS_pwrite64, off, (void *)(uintptr_t)p, n);
}

static int pages_drop(void *ctx, uint64_t off, uint64_t n)
{
	return (int)host_call4(SYS_fallocate, shared()->pages_fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE,
		(long)off, (long)n);
}

static int pages_data(void *ctx, uint64_t off, uint64_t *ret_off, uint64_t *ret_end)
{
	long from = host_call3(SYS_lseek, shared()->pages_fd, (long)off, SEEK_DATA), to;

	if (from < 0)
		return (int)from;
	to = host_call3(SYS_lseek, shared()->pages_fd, from, SEEK_HOLE);
	if (to < 0)
		return (int)to;
	*ret_off = (uint64_t)from;
	*ret_end = (uint64_t)to;
	return 0;
}

static const struct vfs_env vfs_environment = {.lock = env_lock,
	.unlock = env_unlock,
	.wait = env_wait,
	.wake = env_wake,
	.alive = env_alive,
	.clock = env_clock,
	.pages_read = pages_read,
	.pages_write = pages_write,
	.pages_drop = pages_drop,
	.pages_data = pages_data};

static bool keeper_lives(void)
{
	return arena_alive(&arena, own_slot(), shared()->keeper);
}

static int env_publish(void *ctx, enum volume_event event, const struct volume_version *v)
{
	struct shared_mount *s = (struct shared_mount *)((char *)ctx - offsetof(struct shared_mount, file));

	return lease_publish(&s->lease, &shared()->bell, event, v, keeper_lives);
}

/* Of a mount's file, that it is told to CAS. */
static struct volume_env volume_environment(struct volume_file *f)
{
	return (struct volume_env){.ctx = f,
		.read = volume_file_read,
		.write = volume_file_write,
		.flush = volume_file_flush,
		.discard = volume_file_discard,
		.clock = env_clock,
		.random = env_random,
		.lock = env_lock,
		.unlock = env_unlock,
		.publish = env_publish,
		.fault = env_fault};
}

/* --- who calls --- */

static uint32_t capabilities(void)
{
	static const struct {
		uint32_t kernel, ours;
	} map[] = {{CAP_CHOWN, VFS_CAP_CHOWN}, {CAP_DAC_OVERRIDE, VFS_CAP_DAC_OVERRIDE},
		{CAP_DAC_READ_SEARCH, VFS_CAP_DAC_READ_SEARCH}, {CAP_FOWNER, VFS_CAP_FOWNER},
		{CAP_FSETID, VFS_CAP_FSETID}, {CAP_MKNOD, VFS_CAP_MKNOD}, {CAP_SYS_ADMIN, VFS_CAP_SYS_ADMIN}};
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {{0}};
	uint32_t ret = 0;

	if (host_call2(SYS_capget, (long)&head, (long)data))
		return 0;
	for (size_t i = 0; i < sizeof(map) / sizeof(map[0]); i++)
		if (data[map[i].kernel / 32].effective >> (map[i].kernel % 32) & 1)
			ret |= map[i].ours;
	return ret;
}

/* A list that another thread may still be reading stays: it changes a few times in the life of a process. */
static void take_groups(struct vfs_caller *c)
{
	long n = host_call2(SYS_getgroups, 0, 0);
	uint32_t *list;

	if (n <= 0) {
		c->group_count = 0;
		return;
	}
	list = malloc((size_t)n * sizeof(*list));
	if (!list || host_call2(SYS_getgroups, n, (long)list) != n) {
		free(list);
		c->group_count = 0;
		return;
	}
	if (c->group_count == (uint32_t)n && memcmp(c->groups, list, (size_t)n * sizeof(*list)) == 0) {
		free(list);
		return;
	}
	c->group_count = 0;
	c->groups = list;
	c->group_count = (uint32_t)n;
}

void volumes_refresh(struct process *p)
{
	struct vfs_caller *c;

	if (!p->volumes)
		return;
	c = &p->volumes->caller;
	c->uid = (uint32_t)host_call1(SYS_setfsuid, -1);
	c->gid = (uint32_t)host_call1(SYS_setfsgid, -1);
	take_groups(c);
	c->caps = capabilities();
}

void volumes_limit(struct process *p, uint64_t soft, uint64_t hard)
{
	p->volumes->fsize_soft = soft;
	p->volumes->fsize_hard = hard;
	p->volumes->caller.file_size_limit = soft == RLIM_INFINITY ? 0 : soft ? soft : 1;
}

/* What the runtime writes for a volume, and its memory files, are no files of the program. */
static void take_limit(struct process *p)
{
	struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY}, raised;

	host_call4(SYS_prlimit64, 0, RLIMIT_FSIZE, 0, (long)&limit);
	raised = (struct rlimit){limit.rlim_max, limit.rlim_max};
	host_call4(SYS_prlimit64, 0, RLIMIT_FSIZE, (long)&raised, 0);
	volumes_limit(p, limit.rlim_cur, limit.rlim_max);
}

static int user_new(struct process *p)
{
	long mask;

	p->volumes = calloc(1, sizeof(*p->volumes));
	if (!p->volumes)
		return -ENOMEM;
	p->volumes->born = 1;
	p->volumes->caller.pid = (uint32_t)host_call0(SYS_getpid);
	volumes_refresh(p);
	mask = host_call1(SYS_umask, 077);
	host_call1(SYS_umask, mask);
	p->volumes->caller.umask = (uint32_t)mask;
	take_limit(p);
	p->path_rules = true;
	return fd_init(p);
}

/* --- hidden descriptors --- */

/* The numbers of all hidden descriptors, one after the other; -1 at the end. */
static int hidden_fd(unsigned i)
{
	const struct shared *s = shared();
	const int32_t own[] = {arena.fd, s->pages_fd, s->placeholder_fd, s->cwd_fd};
	const unsigned n = sizeof(own) / sizeof(own[0]);

	if (i < n)
		return own[i];
	return i - n < s->mounts && i - n < VFS_MOUNTS ? s->mount[i - n].file.fd : -1;
}

static void hide_numbers(struct process *p)
{
	static const struct fd_entry hidden = {.kind = FD_HIDDEN};
	int fd;

	for (unsigned i = 0; (fd = hidden_fd(i)) >= 0; i++)
		if (fd_reserve(p, fd) == 0)
			fd_set_entry(p, fd, &hidden);
}

/* --- the first process --- */

static int hidden_memfd(const char *name)
{
	long fd = host_call2(SYS_memfd_create, (long)name, MFD_CLOEXEC);

	return host_failed(fd) ? (int)fd : arena_hide((int)fd);
}

struct config_mount {
	char path[VOLUME_FILE_PATH_MAX], at[VFS_PATH_MAX];
	uint8_t key[VOLUME_KEY_LEN];
	struct volume_file file;
	uint64_t size;
	struct volume_limits limits;
	struct volume_client *client; /* of a service's volume; owned */
	struct volume_lease lease;
	bool strict, fresh; /* fresh: made just now */
};

static int config_string(struct rd *in, char *ret, size_t cap)
{
	size_t n = 0;
	const uint8_t *p = rd_block(in, cap - 1, &n);

	if (!p || n == 0 || memchr(p, 0, n))
		return -EBADMSG;
	memcpy(ret, p, n);
	ret[n] = '\0';
	return 0;
}

static int config_decode(struct rd *in, struct config_mount **ret, uint32_t *ret_count)
{
	uint32_t magic = rd_u32be(in), n = rd_u32be(in);
	struct config_mount *list;
	const uint8_t *key;

	if (in->failed || magic != CONFIG_MAGIC || n == 0 || n > VFS_MOUNTS)
		return -EBADMSG;
	list = calloc(n, sizeof(*list));
	if (!list)
		return -ENOMEM;
	*ret = list;
	*ret_count = n;
	for (uint32_t i = 0; i < n; i++) {
		list[i].file.fd = -1;
		if (config_string(in, list[i].path, sizeof(list[i].path)) ||
			config_string(in, list[i].at, sizeof(list[i].at)) ||
			!(key = rd_bytes(in, VOLUME_KEY_LEN)))
			return -EBADMSG;
		memcpy(list[i].key, key, VOLUME_KEY_LEN);
	}
	return rd_done(in) ? 0 : -EBADMSG;
}

static int config_read(int fd, struct config_mount **ret, uint32_t *ret_count)
{
	struct stat st;
	struct rd in;
	long at;
	int rc;

	if (host_fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_size <= 0 || st.st_size > LIST_MAX_BYTES)
		return -EBADMSG;
	at = host_mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (host_failed(at))
		return (int)at;
	rd_init(&in, (const void *)at, (size_t)st.st_size);
	rc = config_decode(&in, ret, ret_count);
	host_munmap((void *)at, (size_t)st.st_size);
	return rc;
}

/* A service's volume that is not there yet: the file, for its lock. */
static int open_file(struct config_mount *m)
{
	int rc;

	for (int i = 0; (rc = volume_file_open(&m->file, m->path, 0)) == -EBUSY && i < BUSY_TRIES; i++)
		usleep(50000);
	if (rc != -ENOENT || !m->client)
		return rc;
	m->fresh = true;
	return volume_file_open(&m->file, m->path, VOLUME_FILE_CREATE);
}

static int make_volume(struct config_mount *m, const struct volume_env *env, struct error *err)
{
	struct volume_create_options o = {.size = SERVICE_BYTES, .root_mode = 0755};
	struct volume_version version;
	int rc;

	if (lease_may_create(m->client, err))
		return -1;
	o.root_uid = (uint32_t)host_call0(SYS_geteuid);
	o.root_gid = (uint32_t)host_call0(SYS_getegid);
	rc = volume_create(env, m->key, &o, &version);
	return rc ? error_set_errno(err, -rc, "make volume %s", m->path) : 0;
}

/* CAS knows that it is opened; one that is not there is made, if it may be. */
static int probe_leased(struct config_mount *m, const struct volume_env *env, struct error *err)
{
	int rc;

	if (!m->client)
		return 0;
	rc = lease_open(m->client, m->file.path, &m->lease, err);
	if (!rc && m->fresh)
		rc = make_volume(m, env, err);
	/* What was made for its lock only is none of the host's business. */
	if (rc && m->fresh)
		host_call1(SYS_unlink, (long)m->file.path);
	return rc ? error_wrap(err, "volume %s", m->path) : 0;
}

static int probe(struct config_mount *m, struct error *err)
{
	struct volume_version version;
	struct volume_env env = volume_environment(&m->file);
	char why[VOLUME_FILE_PATH_MAX + 128];
	int rc = open_file(m);

	if (rc == -EBUSY)
		return error_set(err, ERR_CONFLICT,
			"volume %s is in use: another process has it open; one application at a time may",
			m->path);
	if (rc) {
		volume_file_failure_text(&m->file, why, sizeof(why));
		return error_set(err, rc == -ENOENT ? ERR_NOT_FOUND : ERR_IO, "volume %s: %s", m->path,
			m->file.failure.operation ? why : strerror(-rc));
	}
	env.lock = NULL;
	env.unlock = NULL;
	env.publish = NULL;
	if (probe_leased(m, &env, err))
		return -1;
	rc = volume_probe(&env, m->key, &m->size, &version);
	if (rc == -EBADMSG)
		return error_set(err, ERR_CRYPTO, "%s is no volume, or another key's", m->path);
	if (rc)
		return error_set_errno(err, -rc, "volume %s", m->path);
	m->limits = (struct volume_limits){.max_size = m->size, .cache = CACHE_BYTES};
	rc = arena_hide(m->file.fd);
	m->file.fd = rc;
	return rc < 0 ? error_set_errno(err, -rc, "volume %s: a descriptor for it", m->path) : 0;
}

static int make_placeholders(struct error *err)
{
	struct shared *s = shared();
	struct stat st;
	long cwd;

	s->pages_fd = hidden_memfd("openscone-pages");
	s->placeholder_fd = hidden_memfd("openscone-volume");
	if (s->pages_fd < 0 || s->placeholder_fd < 0 || host_fstat(s->placeholder_fd, &st))
		return error_set(err, ERR_IO, "no descriptor for volumes");
	cwd = host_call3(SYS_fcntl, s->placeholder_fd, F_DUPFD_CLOEXEC, 0);
	s->cwd_fd = host_failed(cwd) ? (int)cwd : arena_hide((int)cwd);
	if (s->cwd_fd < 0 || s->cwd_fd >= FD_TRACK_MAX || arena.fd >= FD_TRACK_MAX)
		return error_set(err, ERR_LIMIT, "no descriptor for volumes below %d", FD_TRACK_MAX);
	s->placeholder_dev = st.st_dev;
	s->placeholder_ino = st.st_ino;
	/* Sparse: as long as anything may be mapped. */
	if (host_call2(SYS_ftruncate, s->pages_fd, INT64_MAX - 4095))
		return error_set(err, ERR_IO, "the pages of shared mappings cannot be made");
	return 0;
}

static int mount_one(struct process *p, struct config_mount *m, uint64_t *off, struct error *err)
{
	struct shared_mount *s = &shared()->mount[shared()->mounts];
	struct volume_open_options options = {.limits = m->limits};
	struct volume_env env;
	struct vfs_mount how = {.path = m->at, .env = &env, .key = s->key, .options = &options};
	struct volume_open_report report = {0};
	struct stat st;
	int rc;

	if (host_call4(SYS_newfstatat, AT_FDCWD, (long)m->at, (long)&st, 0) == 0) {
		s->host_dev = st.st_dev;
		s->host_ino = st.st_ino;
	}
	s->arena_off = *off;
	s->arena_len = volume_arena_size(&m->limits);
	memcpy(s->key, m->key, sizeof(s->key));
	memcpy(&s->file, &m->file, sizeof(s->file));
	m->file.fd = -1;
	env = volume_environment(&s->file);
	how.arena = arena.base + s->arena_off;
	how.arena_len = s->arena_len;
	rc = vfs_mount(p->volumes->caller.fs, &how, &report);
	if (rc == -EEXIST)
		return error_set(err, ERR_INPUT, "two volumes at %s", m->at);
	if (rc < 0)
		return error_set_errno(err, -rc, "volume %s at %s", m->path, m->at);
	if (report.superblock_damaged)
		log_warn("volume %s: one of its two superblocks is damaged: a commit was cut off, or it was "
			 "changed",
			m->path);
	s->lease.strict = m->strict;
	if (m->client &&
		lease_begin(m->client, &m->lease, vfs_mount_volume(p->volumes->caller.fs, (uint32_t)rc),
			m->fresh ? NULL : &report.found, &s->lease, err))
		return error_wrap(err, "volume %s at %s", m->path, m->at);
	*off += ALIGN(s->arena_len);
	clients[shared()->mounts++] = m->client;
	m->client = NULL;
	return 0;
}

static int open_each(struct process *p, struct config_mount *list, uint32_t n, struct error *err)
{
	uint64_t off = ALIGN(ARENA_HEAD + sizeof(struct shared)) + ALIGN(vfs_region_size()), len = off;
	int rc;

	for (uint32_t i = 0; i < n; i++) {
		if (probe(&list[i], err))
			return -1;
		len += ALIGN(volume_arena_size(&list[i].limits));
	}
	rc = arena_create(&arena, len);
	if (!rc)
		rc = arena_take(&arena, 0);
	own_arena();
	if (!rc)
		rc = user_new(p);
	if (!rc)
		rc = vfs_create(&vfs_environment, region(), &p->volumes->caller);
	if (rc)
		return error_set_errno(err, -rc, "%" PRIu64 " MiB of memory for volumes", len >> 20);
	if (make_placeholders(err))
		return -1;
	for (uint32_t i = 0; i < n; i++)
		if (mount_one(p, &list[i], &off, err))
			return -1;
	hide_numbers(p);
	rc = keeper_start(&p->volumes->caller);
	/* The keeper has them now. */
	for (int i = 0; i < VFS_MOUNTS; i++)
		volume_client_free(clients[i]);
	memset(clients, 0, sizeof(clients));
	return rc ? error_set_errno(err, -rc, "the keeper of the volumes") : 0;
}

/* What failed half way is not written to any more, not even to close it. */
static int open_all(struct process *p, struct config_mount *list, uint32_t n, struct error *err)
{
	int rc = open_each(p, list, n, err);

	if (rc) {
		free(p->volumes);
		p->volumes = NULL;
	}
	return rc;
}

static void config_free(struct config_mount *list, uint32_t n)
{
	if (!list)
		return;
	for (uint32_t i = 0; i < n; i++) {
		if (list[i].file.fd >= 0)
			volume_file_close(&list[i].file);
		volume_client_free(list[i].client);
	}
	secret_wipe(list, n * sizeof(*list));
	free(list);
}

int volumes_start(struct process *p, int fd, struct error *err)
{
	struct config_mount *list = NULL;
	uint32_t n = 0;
	int rc = config_read(fd, &list, &n);

	host_close(fd);
	first = p;
	if (rc)
		rc = error_set(err, ERR_INPUT, "descriptor %d holds no list of volumes", fd);
	else
		rc = open_all(p, list, n, err);
	config_free(list, n);
	return rc ? -1 : 0;
}

/* The volume's file lies in the directory that it is mounted over. */
static int config_service(struct config_mount *m, const struct attest_options *o,
	const struct attest_identity *id, const struct config_volume *v, struct error *err)
{
	const size_t n = strlen(v->path);

	if (n >= sizeof(m->at) || n >= sizeof(m->path))
		return error_set(err, ERR_LIMIT, "volume \"%s\": a path of %zu bytes, at most %zu fit",
			v->name, n,
			sizeof(m->path) < sizeof(m->at) ? sizeof(m->path) - 1 : sizeof(m->at) - 1);
	if (v->key.len != sizeof(m->key))
		return error_set(err, ERR_INPUT, "volume \"%s\": a key of %zu bytes, wanted %zu", v->name,
			v->key.len, sizeof(m->key));
	memcpy(m->path, v->path, n + 1);
	memcpy(m->at, v->path, n + 1);
	memcpy(m->key, v->key.data, sizeof(m->key));
	m->strict = !strcmp(v->policy, "strict");
	return lease_new(o, id, v, &m->client, err);
}

int volumes_start_service(struct process *p, const struct attest_options *o, const struct attest_identity *id,
	const struct service_config *c, struct error *err)
{
	struct config_mount *list = NULL;
	int rc = 0;

	if (!c->volume_count)
		return 0;
	if (c->volume_count > VFS_MOUNTS)
		return error_set(err, ERR_LIMIT, "%zu volumes, at most %d can be mounted", c->volume_count,
			VFS_MOUNTS);
	first = p;
	list = calloc(c->volume_count, sizeof(*list));
	if (!list)
		return error_set(err, ERR_NOMEM, "no memory for volumes");
	for (size_t i = 0; i < c->volume_count; i++)
		list[i].file.fd = -1;
	for (size_t i = 0; i < c->volume_count && !rc; i++)
		rc = config_service(&list[i], o, id, &c->volumes[i], err);
	if (!rc)
		rc = open_all(p, list, (uint32_t)c->volume_count, err);
	config_free(list, (uint32_t)c->volume_count);
	return rc;
}

struct vfs_caller *volumes_first_caller(void)
{
	return &first->volumes->caller;
}

/* --- execve --- */

int volumes_encode(const struct process *p, struct buf *out)
{
	buf_put_u32be(out, STATE_MAGIC);
	buf_put_u8(out, p->volumes != NULL);
	if (p->volumes) {
		buf_put_u32be(out, (uint32_t)arena.fd);
		buf_put_u32be(out, p->volumes->caller.slot);
		buf_put_u8(out, (uint8_t)p->volumes->cwd_inside);
		buf_put_u64be(out, p->volumes->fsize_soft);
		buf_put_u64be(out, p->volumes->fsize_hard);
	}
	return out->failed ? -ENOMEM : 0;
}

static int attach_mounts(struct vfs *fs)
{
	for (uint32_t i = 0; i < shared()->mounts && i < VFS_MOUNTS; i++) {
		struct shared_mount *s = &shared()->mount[i];
		struct volume_env env = volume_environment(&s->file);
		struct vfs_mount how = {.env = &env,
			.key = s->key,
			.arena = arena.base + s->arena_off,
			.arena_len = s->arena_len};
		int rc = vfs_mount_attach(fs, i, &how);

		if (rc < 0)
			return rc;
	}
	return 0;
}

int volumes_decode(struct process *p, struct rd *in)
{
	uint32_t fd, slot;
	uint64_t soft, hard;
	uint8_t inside;
	int rc;

	if (rd_u32be(in) != STATE_MAGIC)
		return -EBADMSG;
	if (!rd_u8(in))
		return in->failed ? -EBADMSG : 0;
	fd = rd_u32be(in);
	slot = rd_u32be(in);
	inside = rd_u8(in);
	soft = rd_u64be(in);
	hard = rd_u64be(in);
	if (in->failed || fd >= FD_TRACK_MAX)
		return -EBADMSG;
	first = p;
	rc = arena_attach(&arena, (int)fd);
	own_arena();
	if (!rc)
		rc = arena_take(&arena, slot);
	if (!rc)
		rc = user_new(p);
	if (rc)
		return rc;
	p->volumes->caller.slot = slot;
	p->volumes->slot = slot;
	p->volumes->cwd_inside = inside;
	volumes_limit(p, soft, hard);
	volumes_inherit(p, false);
	rc = vfs_attach(&vfs_environment, region(), &p->volumes->caller);
	return rc ? rc : attach_mounts(p->volumes->caller.fs);
}

void volumes_exec_done(struct process *p)
{
	const struct vfs_caller *c;

	if (!p->volumes)
		return;
	c = &p->volumes->caller;
	vfs_exec_done(c);
	hide_numbers(p);
	for (int fd = 0; (fd = vfs_fd_next(c, fd)) >= 0; fd++)
		if (fd != shared()->cwd_fd && fd_load(p, (uint64_t)fd).kind != FD_VOLUME)
			(void)vfs_close(c, fd);
}

void volumes_inherit(const struct process *p, bool yes)
{
	int fd;

	if (!p->volumes)
		return;
	for (unsigned i = 0; (fd = hidden_fd(i)) >= 0; i++)
		host_call3(SYS_fcntl, fd, F_SETFD, yes ? 0 : FD_CLOEXEC);
}

/* --- fork --- */

static void gate_close(void)
{
	while (__atomic_exchange_n(&gate_closed, 1, __ATOMIC_SEQ_CST))
		host_futex_wait(&gate_closed, 1);
	for (int i = 0; i < GATES; i++)
		while (__atomic_load_n(&gate[i].inside, __ATOMIC_SEQ_CST))
			sched_yield();
}

static void gate_open(void)
{
	__atomic_store_n(&gate_closed, 0, __ATOMIC_SEQ_CST);
	host_futex_wake(&gate_closed, INT32_MAX);
}

void volumes_enter(const struct thread *t)
{
	uint32_t *inside = &gate[(unsigned)t->tid % GATES].inside;

	if (t->is_vfork)
		return; /* killed, it would leave its parent waiting */
	for (;;) {
		__atomic_add_fetch(inside, 1, __ATOMIC_SEQ_CST);
		if (!__atomic_load_n(&gate_closed, __ATOMIC_SEQ_CST))
			return;
		__atomic_sub_fetch(inside, 1, __ATOMIC_SEQ_CST);
		host_futex_wait(&gate_closed, 1);
	}
}

void volumes_leave(const struct thread *t)
{
	if (!t->is_vfork)
		__atomic_sub_fetch(&gate[(unsigned)t->tid % GATES].inside, 1, __ATOMIC_RELEASE);
}

struct thread *volumes_thread(struct thread *scratch)
{
	if (!arena.base)
		return NULL;
	if (runtime.threads_started)
		return thread_self();
	memset(scratch, 0, sizeof(*scratch));
	scratch->proc = first;
	return scratch;
}

int volumes_fork_prepare(struct process *p, uint32_t *ret_slot)
{
	int rc;

	if (p->volumes)
		gate_close();
	shields_lock();
	if (!p->volumes)
		return 0;
	rc = vfs_fork_prepare(&p->volumes->caller, false, ret_slot);
	if (rc) {
		shields_unlock();
		gate_open();
	}
	return rc;
}

void volumes_fork_parent(struct process *p, uint32_t slot, bool failed)
{
	if (!p->volumes)
		return;
	if (failed)
		vfs_fork_cancel(&p->volumes->caller, slot);
	gate_open();
}

/* A slot that cannot be taken: the keeper has found nobody alive and is closing the volumes, so this process has come too late to be. */
static void be_born(struct process *p, uint32_t slot)
{
	if (arena_take(&arena, slot))
		host_call1(SYS_exit_group, 127);
	p->volumes->slot = slot;
	if (vfs_fork_child(&p->volumes->caller, slot, (uint32_t)host_call0(SYS_getpid)))
		host_call1(SYS_exit_group, 127);
	p->volumes->born = 1;
}

void volumes_fork_child(struct process *p, uint32_t slot)
{
	if (!p->volumes)
		return;
	first = p;
	be_born(p, slot);
	gate_open();
}

int volumes_clone(struct process *child, const struct process *parent)
{
	uint32_t slot;
	int rc;

	child->volumes = NULL;
	if (!parent->volumes)
		return 0;
	rc = vfs_fork_prepare(&parent->volumes->caller, true, &slot);
	if (rc)
		return rc;
	child->volumes = malloc(sizeof(*child->volumes));
	if (!child->volumes) {
		vfs_fork_cancel(&parent->volumes->caller, slot);
		return -ENOMEM;
	}
	*child->volumes = *parent->volumes;
	child->volumes->slot = slot;
	child->volumes->born = 0;
	return 0;
}

void volumes_cancel(struct process *child)
{
	if (child->volumes)
		vfs_fork_cancel(&first->volumes->caller, child->volumes->slot);
	volumes_drop(child);
}

void volumes_drop(struct process *child)
{
	free(child->volumes);
	child->volumes = NULL;
}

void volumes_born(struct process *child)
{
	if (child->volumes && !child->volumes->born)
		be_born(child, child->volumes->slot);
}

/* --- the end --- */

static void await_keeper(uint32_t slot)
{
	struct shared *s = shared();

	for (int i = 0; i < CLOSE_PATIENCE * 10 && !__atomic_load_n(&s->closed, __ATOMIC_ACQUIRE); i++) {
		if (!arena_alive(&arena, slot, s->keeper)) {
			log_error("the keeper of the volumes is gone: what was not synchronised with the "
				  "disk may be lost");
			return;
		}
		arena_wait(&s->closed, 0, 100000000);
	}
}

/* Without a keeper vfs_leave of the last one commits and closes. */
void volumes_exit(struct process *p)
{
	struct shared *s = shared();
	struct vfs_caller *c;
	uint32_t slot;
	bool kept;
	int rc;

	if (!p->volumes)
		return;
	if (p == first) { /* other threads do nothing any more */
		gate_close();
		shields_lock();
	}
	c = &p->volumes->caller;
	slot = c->slot;
	kept = s->keeper && arena_alive(&arena, slot, s->keeper); /* none: it ends before all was set up */
	rc = vfs_leave(c);
	if (rc)
		log_error("the volumes could not be closed: %s", strerror(-rc));
	arena_give(&arena, slot);
	/* Its turn comes when it has the last slot, too, which is handed out last. */
	if (kept && (arena_alone_with(&arena, slot, s->keeper) || arena_alive(&arena, slot, VFS_SLOTS - 1)))
		await_keeper(slot);
	if (__atomic_load_n(&s->close_error, __ATOMIC_ACQUIRE))
		log_error("the volumes could not be closed: %s", strerror(-s->close_error));
}

void volumes_keep_begin(uint32_t slot)
{
	if (arena_take(&arena, slot))
		_exit(1);
	first->volumes->slot = slot;
	shared()->keeper = slot;
}

int volumes_keep_serve(void)
{
	struct lease_post *posts[VFS_MOUNTS];

	for (uint32_t i = 0; i < VFS_MOUNTS; i++)
		posts[i] = &shared()->mount[i].lease;
	return lease_serve(posts, clients, VFS_MOUNTS, &shared()->bell);
}

int volumes_keep_wait(void)
{
	return arena_await_alone(&arena);
}

void volumes_keep_end(int rc)
{
	struct shared *s = shared();

	lease_stop();
	for (uint32_t i = 0; i < s->mounts; i++) {
		secret_wipe(s->mount[i].key, sizeof(s->mount[i].key));
		volume_file_close(&s->mount[i].file);
	}
	s->close_error = rc;
	__atomic_store_n(&s->closed, 1, __ATOMIC_RELEASE);
	arena_wake(&s->closed);
}

/* --- descriptors --- */

long volumes_placeholder(uint32_t flags)
{
	return host_call3(
		SYS_fcntl, shared()->placeholder_fd, flags & O_CLOEXEC ? F_DUPFD_CLOEXEC : F_DUPFD, 0);
}

void volumes_placeholder_identity(uint64_t *ret_dev, uint64_t *ret_ino)
{
	*ret_dev = shared()->placeholder_dev;
	*ret_ino = shared()->placeholder_ino;
}

int volumes_mount_over(uint64_t dev, uint64_t ino)
{
	const struct shared *s = shared();

	for (uint32_t i = 0; i < s->mounts && i < VFS_MOUNTS; i++)
		if (ino && s->mount[i].host_ino == ino && s->mount[i].host_dev == dev)
			return (int)i;
	return -1;
}

int volumes_cwd_fd(void)
{
	return shared()->cwd_fd;
}

int volumes_pages_fd(void)
{
	return shared()->pages_fd;
}

bool volumes_hides(const struct process *p, uint64_t fd)
{
	int own;

	if (!arena.base || (p && !p->volumes))
		return false;
	for (unsigned i = 0; (own = hidden_fd(i)) >= 0; i++)
		if ((uint32_t)own == (uint32_t)fd)
			return true;
	return false;
}
