/*
 * volumes: the encrypted volumes of the application, as this process has them: the shared arena, the mounts, who calls, and what fork,
 * execve and the end of a process mean to them. What system calls do is in sys/volume_*.c, what a path leads to in vpath.h.
 *
 * The application's first process opens the volumes and leaves a keeper (keeper.h) behind. All later processes inherit the arena.
 * Everything below is for processes that have volumes (struct process.volumes), unless it says otherwise.
 */
#ifndef SCONE_RUNTIME_VOLUMES_H
#define SCONE_RUNTIME_VOLUMES_H

#include "core/buf.h"
#include "core/error.h"
#include "runtime/runtime.h"
#include "shield/fs/vfs.h"

/* What a process has of its own. A child that shares its parent's memory has one, too. */
struct process_volumes {
	struct vfs_caller caller;
	uint32_t slot; /* who locks: caller.slot, but that at birth it is first */
	uint32_t born; /* of such a child: its slot is its own by now */
	uint64_t fsize_soft, fsize_hard; /* RLIMIT_FSIZE, which the kernel does not have */
	uint32_t
		cwd_inside; /* the working directory is in a volume: descriptor volumes_cwd_fd() of the slot */
};

/* The first process: open what the sealed memory file at fd lists (volumes_config in cli/verb_run.c writes it; it is closed), and start the
 * keeper. Whoever holds a volume open is waited for a moment. */
MUST_USE int volumes_start(struct process *p, int fd, struct error *err);

/* The same for a service: the volumes of its configuration, each in the directory that it is mounted over, with CAS knowing their state
 * (volume_lease.h). Nothing is done without volumes. */
struct attest_options;
struct attest_identity;
struct service_config;
MUST_USE int volumes_start_service(struct process *p, const struct attest_options *o,
	const struct attest_identity *id, const struct service_config *c, struct error *err);

/* State for execve, and back. */
MUST_USE int volumes_encode(const struct process *p, struct buf *out);
MUST_USE int volumes_decode(struct process *p, struct rd *in);
/* After the descriptor table is back: what execve closed is closed. */
void volumes_exec_done(struct process *p);
/* Around execve: whether the successor shall inherit the arena. */
void volumes_inherit(const struct process *p, bool yes);

/* fork. prepare waits until no other thread is inside a call on a volume, keeps them out, and takes shields_lock, volumes or not; -EAGAIN, then
 * without the lock. One of the others follows, in the process it names, after shields_unlock. */
MUST_USE int volumes_fork_prepare(struct process *p, uint32_t *ret_slot);
void volumes_fork_parent(struct process *p, uint32_t slot, bool failed);
void volumes_fork_child(struct process *p, uint32_t slot);

/* A child that shares its parent's memory: what it has of its own. shields_lock is held. Cancel: there is no such child. drop: it has gone its own
 * way, and only its memory is given back. */
MUST_USE int volumes_clone(struct process *child, const struct process *parent);
void volumes_cancel(struct process *child);
void volumes_drop(struct process *child);
/* In that child, first thing. */
void volumes_born(struct process *child);

/* The process ends now, as it wants: what it has is given up, and the last waits until all is on the disk. */
void volumes_exit(struct process *p);

/* The calling thread, or, before the program runs, scratch made to stand for it. NULL: there are no volumes. */
struct thread *volumes_thread(struct thread *scratch);
/* Around every use of vfs_* in a thread of the program but under shields_lock. Do not wait for others in between without leaving. */
void volumes_enter(const struct thread *t);
void volumes_leave(const struct thread *t);
static inline struct vfs_caller *volumes_caller(const struct thread *t)
{
	return &t->proc->volumes->caller;
}

/* RLIMIT_FSIZE of the program, RLIM_INFINITY included. */
void volumes_limit(struct process *p, uint64_t soft, uint64_t hard);
/* User, groups or capabilities may have changed. */
void volumes_refresh(struct process *p);
/* A fresh placeholder's descriptor, or -errno. flags: of open, O_CLOEXEC counts. */
MUST_USE long volumes_placeholder(uint32_t flags);
/* The mount whose point is this directory of the host; -1: none. */
int volumes_mount_over(uint64_t dev, uint64_t ino);
void volumes_placeholder_identity(uint64_t *ret_dev, uint64_t *ret_ino);
/* Is this a memory file of the runtime's own, which no name in /proc may lead the program to? */
bool volumes_is_own(uint64_t dev, uint64_t ino);
/* The descriptor that all placeholders are copies of. */
int volumes_placeholder_fd(void);
/* A number that nobody else of the application gets. */
uint64_t volumes_token(void);
/* Number that stands for the working directory in the slot's table, and for a hidden placeholder in the kernel's. */
int volumes_cwd_fd(void);
/* The descriptor of the pages object. */
int volumes_pages_fd(void);
/* The descriptor that content of sealed trees is mapped from: it cannot write. */
int volumes_content_fd(void);
/* Is this number one of the runtime's own? p: NULL for the keeper. */
bool volumes_hides(const struct process *p, uint64_t fd);

/* --- for the keeper --- */
struct vfs_caller *volumes_first_caller(void);
void volumes_keep_begin(uint32_t slot);
/* Begin to tell CAS of volumes that it wants to know about. */
MUST_USE int volumes_keep_serve(void);
/* Wait until nobody else is left; -EINTR: a signal came first. */
MUST_USE int volumes_keep_wait(void);
void volumes_keep_end(int rc);

#endif
