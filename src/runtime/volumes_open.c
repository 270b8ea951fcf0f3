/* volumes_open: how the first process opens volumes and sealed trees, of a list or of a service, and leaves a keeper behind. */
#include <errno.h>
#include <inttypes.h>
#include <linux/memfd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "core/log.h"
#include "core/secret.h"
#include "runtime/fd.h"
#include "runtime/keeper.h"
#include "runtime/volumes_shared.h"

#define CONFIG_MAGIC 0x53564c32u /* "SVL2" */
#define LIST_MAX_BYTES (256 * 1024)
#define SERVICE_BYTES ((uint64_t)16 << 30) /* a service's volume may take so much */
#define CACHE_BYTES ((size_t)256 << 20) /* of decrypted blocks, for each volume; taken as it is used */
#define BUSY_TRIES 100 /* of 50 ms: another application's keeper may be writing back */

static int hidden_memfd(const char *name)
{
	long fd = host_call2(SYS_memfd_create, (long)name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	return host_failed(fd) ? (int)fd : arena_hide((int)fd);
}

struct config_mount {
	char path[VOLUME_FILE_PATH_MAX], at[VFS_PATH_MAX];
	uint8_t key[VOLUME_KEY_LEN];
	struct volume_file file;
	uint64_t size;
	uint64_t cache; /* bytes; 0: CACHE_BYTES */
	struct volume_limits limits;
	struct volume_client *client; /* of a service's volume; owned */
	struct volume_lease lease;
	bool strict, fresh; /* fresh: made just now */
	bool no_atime;
	bool is_sealed; /* path is a tree's directory */
	struct sealed_mount sealed;
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

static int config_digest(struct rd *in, bool *ret_has, uint8_t ret[SHA256_LEN])
{
	const uint8_t *p;

	*ret_has = rd_u8(in);
	p = rd_bytes(in, SHA256_LEN);
	if (p)
		memcpy(ret, p, SHA256_LEN);
	return p ? 0 : -EBADMSG;
}

/* What only a volume has, or only a tree. */
static int config_rest(struct rd *in, struct config_mount *m)
{
	const uint8_t *key;

	static_assert(KEY_HASH_LEN == SHA256_LEN, "both are digests");
	m->is_sealed = rd_u8(in);
	if (m->is_sealed)
		return config_string(in, m->sealed.manifest_path, sizeof(m->sealed.manifest_path)) ||
				       config_digest(in, &m->sealed.has_root, m->sealed.root) ||
				       config_digest(in, &m->sealed.has_signer, m->sealed.signer)
			       ? -EBADMSG
			       : 0;
	key = rd_bytes(in, VOLUME_KEY_LEN);
	m->cache = rd_u64be(in);
	if (!key || in->failed)
		return -EBADMSG;
	memcpy(m->key, key, VOLUME_KEY_LEN);
	return 0;
}

static int config_decode(struct rd *in, struct config_mount **ret, uint32_t *ret_count)
{
	uint32_t magic = rd_u32be(in), n = rd_u32be(in);
	struct config_mount *list;

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
			config_string(in, list[i].at, sizeof(list[i].at)) || config_rest(in, &list[i]))
			return -EBADMSG;
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

static int probe_volume(struct config_mount *m, struct error *err)
{
	struct volume_version version;
	struct volume_env env = volumes_file_env(&m->file);
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
	m->limits = (struct volume_limits){.max_size = m->size, .cache = m->cache ? m->cache : CACHE_BYTES};
	rc = arena_hide(m->file.fd);
	m->file.fd = rc;
	return rc < 0 ? error_set_errno(err, -rc, "volume %s: a descriptor for it", m->path) : 0;
}

static int probe(struct config_mount *m, struct error *err)
{
	if (!m->is_sealed)
		return probe_volume(m, err);
	return sealed_mount_probe(&m->sealed, err) ? error_wrap(err, "sealed tree %s", m->path) : 0;
}

/* Bytes of the arena that it takes, once it is probed. */
static size_t arena_bytes(const struct config_mount *m)
{
	return VOLUMES_ALIGN(m->is_sealed ? sealed_fs_size(m->sealed.tree, m->sealed.manifest_len)
					  : volume_arena_size(&m->limits));
}

static int make_placeholders(struct error *err)
{
	struct volumes_shared *s = volumes_shared();
	struct stat st;
	long cwd;

	s->pages_fd = hidden_memfd("openscone-pages");
	s->placeholder_fd = hidden_memfd("openscone-volume");
	if (s->pages_fd < 0 || s->placeholder_fd < 0 || host_fstat(s->placeholder_fd, &st))
		return error_set(err, ERR_IO, "no descriptor for volumes");
	cwd = host_call3(SYS_fcntl, s->placeholder_fd, F_DUPFD_CLOEXEC, 0);
	s->cwd_fd = host_failed(cwd) ? (int)cwd : arena_hide((int)cwd);
	if (s->cwd_fd < 0 || s->cwd_fd >= FD_TRACK_MAX || volumes_arena.fd >= FD_TRACK_MAX)
		return error_set(err, ERR_LIMIT, "no descriptor for volumes below %d", FD_TRACK_MAX);
	s->placeholder_dev = st.st_dev;
	s->placeholder_ino = st.st_ino;
	/* Sparse: as long as anything may be mapped. */
	if (host_call2(SYS_ftruncate, s->pages_fd, INT64_MAX - 4095))
		return error_set(err, ERR_IO, "the pages of shared mappings cannot be made");
	/* Nobody cuts them: who finds a name for one in /proc neither. */
	if (host_call3(SYS_fcntl, s->pages_fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		return error_set(err, ERR_IO, "the pages of shared mappings cannot be sealed");
	return 0;
}

static int mount_sealed(struct process *p, struct config_mount *m, struct volumes_mount *s, uint64_t *content,
	struct error *err)
{
	struct sealed_fs_env env = sealed_mount_env(s);
	void *mem = volumes_arena.base + s->arena_off;
	int rc;

	s->sealed = true;
	s->file.fd = -1;
	memcpy(s->file.path, m->path, sizeof(m->path));
	sealed_fs_make(mem, m->sealed.tree, m->sealed.manifest, m->sealed.manifest_len, *content);
	*content += sealed_fs_content(m->sealed.tree);
	rc = vfs_mount_sealed(p->volumes->caller.fs, m->at, &env, mem);
	if (rc == -EEXIST)
		return error_set(err, ERR_INPUT, "two volumes or trees at %s", m->at);
	return rc < 0 ? error_set_errno(err, -rc, "sealed tree %s at %s", m->path, m->at) : 0;
}

static int mount_volume(struct process *p, struct config_mount *m, struct volumes_mount *s, struct error *err)
{
	struct volume_open_options options = {.limits = m->limits};
	struct volume_env env;
	struct vfs_mount how = {
		.path = m->at, .env = &env, .key = s->key, .options = &options, .no_atime = m->no_atime};
	struct volume_open_report report = {0};
	int rc;

	memcpy(s->key, m->key, sizeof(s->key));
	memcpy(&s->file, &m->file, sizeof(s->file));
	m->file.fd = -1;
	env = volumes_file_env(&s->file);
	how.arena = volumes_arena.base + s->arena_off;
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
	volumes_clients[volumes_shared()->mounts] = m->client;
	m->client = NULL;
	return 0;
}

/* off: in the arena, content: in the content object; both move on. */
static int mount_one(
	struct process *p, struct config_mount *m, uint64_t *off, uint64_t *content, struct error *err)
{
	struct volumes_mount *s = &volumes_shared()->mount[volumes_shared()->mounts];
	struct stat st;

	if (host_call4(SYS_newfstatat, AT_FDCWD, (long)m->at, (long)&st, 0) == 0) {
		s->host_dev = st.st_dev;
		s->host_ino = st.st_ino;
	}
	s->arena_off = *off;
	s->arena_len = arena_bytes(m);
	if (m->is_sealed ? mount_sealed(p, m, s, content, err) : mount_volume(p, m, s, err))
		return -1;
	*off += s->arena_len;
	volumes_shared()->mounts++;
	return 0;
}

/* Of all trees together. */
static int make_content(const struct config_mount *list, uint32_t n, struct error *err)
{
	uint64_t len = 0;
	bool any = false;
	int rc;

	for (uint32_t i = 0; i < n; i++) {
		any = any || list[i].is_sealed;
		len += list[i].is_sealed ? sealed_fs_content(list[i].sealed.tree) : 0;
	}
	rc = any ? sealed_content_make(len) : 0;
	return rc ? error_set_errno(err, -rc, "memory for sealed trees") : 0;
}

/* Which memory files the program is kept from. */
static int note_own(struct error *err)
{
	struct volumes_shared *s = volumes_shared();
	const int fds[] = {volumes_arena.fd, s->pages_fd, s->content_fd};
	struct stat st;

	static_assert(sizeof(fds) / sizeof(fds[0]) == sizeof(s->own_ino) / sizeof(s->own_ino[0]), "each");
	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
		if (!fds[i])
			continue;
		if (host_fstat(fds[i], &st))
			return error_set(
				err, ERR_IO, "the runtime's own memory file %zu cannot be looked at", i);
		s->own_ino[i] = st.st_ino;
	}
	return 0;
}

static int open_each(struct process *p, struct config_mount *list, uint32_t n, struct error *err)
{
	uint64_t off = VOLUMES_ALIGN(ARENA_HEAD + sizeof(struct volumes_shared)) +
		       VOLUMES_ALIGN(vfs_region_size()),
		 len = off, content = 0;
	int rc;

	for (uint32_t i = 0; i < n; i++) {
		if (probe(&list[i], err))
			return -1;
		len += arena_bytes(&list[i]);
	}
	rc = arena_create(&volumes_arena, len);
	if (!rc)
		rc = arena_take(&volumes_arena, 0);
	volumes_own_arena();
	if (!rc)
		rc = volumes_user_new(p);
	if (!rc)
		rc = vfs_create(&volumes_vfs_env, volumes_region(), &p->volumes->caller);
	if (rc)
		return error_set_errno(err, -rc, "%" PRIu64 " MiB of memory for volumes", len >> 20);
	if (make_placeholders(err) || make_content(list, n, err) || note_own(err) ||
		meet_choose(volumes_shared()->meet, err))
		return -1;
	for (uint32_t i = 0; i < n; i++)
		if (mount_one(p, &list[i], &off, &content, err))
			return -1;
	volumes_hide(p);
	rc = keeper_start(&p->volumes->caller);
	/* The keeper has them now. */
	for (int i = 0; i < VFS_MOUNTS; i++)
		volume_client_free(volumes_clients[i]);
	memset(volumes_clients, 0, sizeof(volumes_clients));
	return rc ? error_set_errno(err, -rc, "the keeper of the volumes") : 0;
}

/* What failed half way is not written to any more, not even to close it. */
static int open_all(struct process *p, struct config_mount *list, uint32_t n, struct error *err)
{
	int rc = open_each(p, list, n, err);

	if (rc) {
		for (int i = 0; i < VFS_MOUNTS; i++)
			if (volumes_clients[i])
				lease_give_back(volumes_clients[i]);
		memset(volumes_clients, 0, sizeof(volumes_clients));
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
		if (list[i].client)
			lease_give_back(list[i].client);
		sealed_mount_clear(&list[i].sealed);
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
	volumes_first = p;
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
	m->no_atime = !strcmp(v->policy, "ephemeral"); /* who only reads shall not have changed it */
	m->cache = v->cache;
	return lease_new(o, id, v, &m->client, err);
}

static int config_tree(struct config_mount *m, const struct config_tree *t, struct error *err)
{
	const struct {
		const char *from;
		char *to;
	} paths[] = {{t->path, m->at}, {t->host, m->path}, {t->manifest, m->sealed.manifest_path}};

	static_assert(sizeof(m->at) == sizeof(m->path) && sizeof(m->at) == sizeof(m->sealed.manifest_path),
		"paths");
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		size_t n = strlen(paths[i].from);

		if (n >= sizeof(m->at))
			return error_set(err, ERR_LIMIT,
				"sealed tree %s: a path of %zu bytes, at most %zu fit", t->path, n,
				sizeof(m->at) - 1);
		memcpy(paths[i].to, paths[i].from, n + 1);
	}
	m->is_sealed = true;
	m->sealed.has_root = t->has_root;
	m->sealed.has_signer = t->has_signer;
	memcpy(m->sealed.root, t->root, sizeof(t->root));
	memcpy(m->sealed.signer, t->signer, sizeof(t->signer));
	return 0;
}

int volumes_start_service(struct process *p, const struct attest_options *o, const struct attest_identity *id,
	const struct service_config *c, struct error *err)
{
	const size_t volumes = c->volume_count, n = volumes + c->tree_count;
	struct config_mount *list = NULL;
	int rc = 0;

	if (!n)
		return 0;
	if (n > VFS_MOUNTS)
		return error_set(
			err, ERR_LIMIT, "%zu volumes and trees, at most %d can be mounted", n, VFS_MOUNTS);
	volumes_first = p;
	list = calloc(n, sizeof(*list));
	if (!list)
		return error_set(err, ERR_NOMEM, "no memory for volumes");
	for (size_t i = 0; i < n; i++)
		list[i].file.fd = -1;
	for (size_t i = 0; i < n && !rc; i++)
		rc = i < volumes ? config_service(&list[i], o, id, &c->volumes[i], err)
				 : config_tree(&list[i], &c->trees[i - volumes], err);
	if (!rc)
		rc = open_all(p, list, (uint32_t)n, err);
	config_free(list, (uint32_t)n);
	return rc;
}

int volumes_attach(struct vfs *fs)
{
	for (uint32_t i = 0; i < volumes_shared()->mounts && i < VFS_MOUNTS; i++) {
		struct volumes_mount *s = &volumes_shared()->mount[i];
		struct sealed_fs_env sealed = sealed_mount_env(s);
		struct volume_env env = volumes_file_env(&s->file);
		struct vfs_mount how = {.env = &env,
			.key = s->key,
			.arena = volumes_arena.base + s->arena_off,
			.arena_len = s->arena_len};
		int rc = s->sealed ? vfs_mount_sealed_attach(fs, i, &sealed, how.arena)
				   : vfs_mount_attach(fs, i, &how);

		if (rc < 0)
			return rc;
	}
	return 0;
}
