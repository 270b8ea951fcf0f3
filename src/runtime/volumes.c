#include "runtime/volumes.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "core/log.h"
#include "core/secret.h"
#include "runtime/fd.h"
#include "runtime/shields.h"
#include "runtime/volumes_shared.h"

#define STATE_MAGIC 0x53564f4cu /* "SVOL" */
#define CLOSE_PATIENCE 120 /* seconds that the last process waits for the keeper */
#define GATES 16

struct arena volumes_arena = {.fd = -1};
struct volume_client *volumes_clients[VFS_MOUNTS];
struct process *volumes_first;
static struct {
	_Alignas(64) uint32_t inside;
} gate[GATES];
static uint32_t gate_closed;

static struct process *self(void)
{
	return runtime.threads_started ? thread_self()->proc : volumes_first;
}

void volumes_own_arena(void)
{
	runtime.arena_start = (uint64_t)volumes_arena.base;
	runtime.arena_end = runtime.arena_start + volumes_arena.len;
}

uint32_t volumes_own_slot(void)
{
	return self()->volumes->slot;
}

/* --- hidden descriptors --- */

/* The numbers of all hidden descriptors, one after the other; -1 at the end. */
static int hidden_fd(unsigned i)
{
	const struct volumes_shared *s = volumes_shared();
	const int32_t own[] = {
		volumes_arena.fd, s->pages_fd, s->placeholder_fd, s->cwd_fd, s->content_fd, s->content_ro_fd};
	const unsigned n = s->content_fd ? 6 : 4;

	if (i < n)
		return own[i];
	i -= n;
	for (uint32_t m = 0; m < s->mounts && m < VFS_MOUNTS; m++)
		if (!s->mount[m].sealed && i-- == 0)
			return s->mount[m].file.fd;
	return -1;
}

void volumes_hide(struct process *p)
{
	static const struct fd_entry hidden = {.kind = FD_HIDDEN};
	int fd;

	for (unsigned i = 0; (fd = hidden_fd(i)) >= 0; i++)
		if (fd_reserve(p, fd) == 0)
			fd_set_entry(p, fd, &hidden);
}

struct vfs_caller *volumes_first_caller(void)
{
	return &volumes_first->volumes->caller;
}

/* --- execve --- */

int volumes_encode(const struct process *p, struct buf *out)
{
	buf_put_u32be(out, STATE_MAGIC);
	buf_put_u8(out, p->volumes != NULL);
	if (p->volumes) {
		buf_put_u32be(out, (uint32_t)volumes_arena.fd);
		buf_put_u32be(out, p->volumes->caller.slot);
		buf_put_u8(out, (uint8_t)p->volumes->cwd_inside);
		buf_put_u64be(out, p->volumes->fsize_soft);
		buf_put_u64be(out, p->volumes->fsize_hard);
	}
	return out->failed ? -ENOMEM : 0;
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
	volumes_first = p;
	rc = arena_attach(&volumes_arena, (int)fd);
	volumes_own_arena();
	if (!rc)
		rc = arena_take(&volumes_arena, slot);
	if (!rc)
		rc = volumes_user_new(p);
	if (rc)
		return rc;
	p->volumes->caller.slot = slot;
	p->volumes->slot = slot;
	p->volumes->cwd_inside = inside;
	volumes_limit(p, soft, hard);
	volumes_inherit(p, false);
	rc = vfs_attach(&volumes_vfs_env, volumes_region(), &p->volumes->caller);
	return rc ? rc : volumes_attach(p->volumes->caller.fs);
}

void volumes_exec_done(struct process *p)
{
	const struct vfs_caller *c;

	if (!p->volumes)
		return;
	c = &p->volumes->caller;
	vfs_exec_done(c);
	volumes_hide(p);
	for (int fd = 0; (fd = vfs_fd_next(c, fd)) >= 0; fd++)
		if (fd != volumes_shared()->cwd_fd && fd_load(p, (uint64_t)fd).kind != FD_VOLUME)
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
	if (!volumes_arena.base)
		return NULL;
	if (runtime.threads_started)
		return thread_self();
	memset(scratch, 0, sizeof(*scratch));
	scratch->proc = volumes_first;
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
	if (arena_take(&volumes_arena, slot))
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
	volumes_first = p;
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
		vfs_fork_cancel(&volumes_first->volumes->caller, child->volumes->slot);
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
	struct volumes_shared *s = volumes_shared();

	for (int i = 0; i < CLOSE_PATIENCE * 10 && !__atomic_load_n(&s->closed, __ATOMIC_ACQUIRE); i++) {
		if (!arena_alive(&volumes_arena, slot, s->keeper)) {
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
	struct volumes_shared *s = volumes_shared();
	struct vfs_caller *c;
	uint32_t slot;
	bool kept;
	int rc;

	if (!p->volumes)
		return;
	if (p == volumes_first) { /* other threads do nothing any more */
		gate_close();
		shields_lock();
	}
	c = &p->volumes->caller;
	slot = c->slot;
	kept = s->keeper &&
	       arena_alive(&volumes_arena, slot, s->keeper); /* none: it ends before all was set up */
	if (!kept && arena_alone_with(&volumes_arena, slot, s->keeper))
		meet_remove();
	rc = vfs_leave(c);
	if (rc)
		log_error("the volumes could not be closed: %s", strerror(-rc));
	arena_give(&volumes_arena, slot);
	/* Its turn comes when it has the last slot, too, which is handed out last. */
	if (kept && (arena_alone_with(&volumes_arena, slot, s->keeper) ||
			    arena_alive(&volumes_arena, slot, VFS_SLOTS - 1)))
		await_keeper(slot);
	if (__atomic_load_n(&s->close_error, __ATOMIC_ACQUIRE))
		log_error("the volumes could not be closed: %s", strerror(-s->close_error));
}

void volumes_keep_begin(uint32_t slot)
{
	if (arena_take(&volumes_arena, slot))
		_exit(1);
	volumes_first->volumes->slot = slot;
	volumes_shared()->keeper = slot;
}

int volumes_keep_serve(void)
{
	struct lease_post *posts[VFS_MOUNTS];

	for (uint32_t i = 0; i < VFS_MOUNTS; i++)
		posts[i] = &volumes_shared()->mount[i].lease;
	return lease_serve(posts, volumes_clients, VFS_MOUNTS, &volumes_shared()->bell);
}

int volumes_keep_wait(void)
{
	return arena_await_alone(&volumes_arena);
}

void volumes_keep_end(int rc)
{
	struct volumes_shared *s = volumes_shared();

	lease_stop();
	meet_remove();
	for (uint32_t i = 0; i < s->mounts; i++) {
		secret_wipe(s->mount[i].key, sizeof(s->mount[i].key));
		if (!s->mount[i].sealed)
			volume_file_close(&s->mount[i].file);
	}
	s->close_error = rc;
	__atomic_store_n(&s->closed, 1, __ATOMIC_RELEASE);
	arena_wake(&s->closed);
}

/* --- descriptors --- */

long volumes_placeholder(uint32_t flags)
{
	return host_call3(SYS_fcntl, volumes_shared()->placeholder_fd,
		flags & O_CLOEXEC ? F_DUPFD_CLOEXEC : F_DUPFD, 0);
}

void volumes_placeholder_identity(uint64_t *ret_dev, uint64_t *ret_ino)
{
	*ret_dev = volumes_shared()->placeholder_dev;
	*ret_ino = volumes_shared()->placeholder_ino;
}

int volumes_mount_over(uint64_t dev, uint64_t ino)
{
	const struct volumes_shared *s = volumes_shared();

	for (uint32_t i = 0; i < s->mounts && i < VFS_MOUNTS; i++)
		if (ino && s->mount[i].host_ino == ino && s->mount[i].host_dev == dev)
			return (int)i;
	return -1;
}

/* All memory files are of one device. */
bool volumes_is_own(uint64_t dev, uint64_t ino)
{
	const struct volumes_shared *s = volumes_shared();

	if (dev != s->placeholder_dev)
		return false;
	for (size_t i = 0; i < sizeof(s->own_ino) / sizeof(s->own_ino[0]); i++)
		if (s->own_ino[i] && s->own_ino[i] == ino)
			return true;
	return false;
}

int volumes_placeholder_fd(void)
{
	return volumes_shared()->placeholder_fd;
}

uint64_t volumes_token(void)
{
	return __atomic_add_fetch(&volumes_shared()->next_token, 1, __ATOMIC_RELAXED);
}

int volumes_cwd_fd(void)
{
	return volumes_shared()->cwd_fd;
}

int volumes_pages_fd(void)
{
	return volumes_shared()->pages_fd;
}

bool volumes_hides(const struct process *p, uint64_t fd)
{
	int own;

	if (!volumes_arena.base || (p && !p->volumes))
		return false;
	for (unsigned i = 0; (own = hidden_fd(i)) >= 0; i++)
		if ((uint32_t)own == (uint32_t)fd)
			return true;
	return false;
}
