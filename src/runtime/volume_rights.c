#include "runtime/volume_rights.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "core/log.h"
#include "host/host.h"
#include "runtime/fd.h"
#include "runtime/shields.h"
#include "runtime/volumes.h"

static int make_ticket(struct thread *t, struct rights *r, int fd)
{
	uint64_t token = volumes_token();
	char path[32];
	long ticket;
	int rc;

	if (r->count == RIGHTS_MAX)
		return -EINVAL;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", volumes_placeholder_fd());
	ticket = host_openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
	if (host_failed(ticket))
		return (int)ticket;
	rc = (int)host_call3(SYS_lseek, ticket, (long)token, SEEK_SET) == -1 ? -EIO : 0;
	if (!rc)
		rc = vfs_send(volumes_caller(t), fd, token);
	if (rc) {
		host_close((int)ticket);
		return rc;
	}
	r->ticket[r->count].fd = (int)ticket;
	r->ticket[r->count++].token = token;
	return (int)ticket;
}

/* The descriptors of one control message of n bytes, in the copy. */
static int pack_one(struct thread *t, struct rights *r, uint8_t *p, size_t n)
{
	for (size_t i = 0; i + sizeof(int) <= n; i += sizeof(int)) {
		int fd, ticket;

		memcpy(&fd, p + i, sizeof(fd));
		if (fd_load(t->proc, (uint32_t)fd).kind != FD_VOLUME)
			continue;
		ticket = make_ticket(t, r, fd);
		if (ticket < 0)
			return ticket;
		memcpy(p + i, &ticket, sizeof(ticket));
	}
	return 0;
}

/* Has the control data of the program one of ours? Nothing is copied that has none. */
static bool has_ours(struct thread *t, const struct msghdr *h)
{
	uint64_t at = (uint64_t)h->msg_control;
	size_t left = h->msg_controllen;
	struct cmsghdr c;

	while (left >= sizeof(c)) {
		if (user_copy(&c, (const void *)at, sizeof(c)) || c.cmsg_len < sizeof(c) || c.cmsg_len > left)
			return false;
		for (size_t i = sizeof(c); c.cmsg_level == SOL_SOCKET && c.cmsg_type == SCM_RIGHTS &&
					   i + sizeof(int) <= c.cmsg_len;
			i += sizeof(int)) {
			int fd;

			if (user_copy(&fd, (const void *)(at + i), sizeof(fd)))
				return false;
			if (fd_load(t->proc, (uint32_t)fd).kind == FD_VOLUME)
				return true;
		}
		if (CMSG_ALIGN(c.cmsg_len) >= left)
			return false;
		at += CMSG_ALIGN(c.cmsg_len);
		left -= CMSG_ALIGN(c.cmsg_len);
	}
	return false;
}

int rights_pack(struct thread *t, struct msghdr *h, struct rights *ret)
{
	size_t at = 0, n = h->msg_controllen;
	struct cmsghdr c;
	int rc = 0;

	ret->count = 0;
	if (!h->msg_control || !has_ours(t, h))
		return 0;
	if (n > sizeof(ret->control))
		return -ENOBUFS;
	if (user_copy(ret->control, h->msg_control, n))
		return -EFAULT;
	/* The copy counts: the program's may have changed since. */
	while (!rc && n - at >= sizeof(c)) {
		memcpy(&c, ret->control + at, sizeof(c));
		if (c.cmsg_len < sizeof(c) || c.cmsg_len > n - at)
			rc = -EINVAL;
		else if (c.cmsg_level == SOL_SOCKET && c.cmsg_type == SCM_RIGHTS)
			rc = pack_one(t, ret, ret->control + at + sizeof(c), c.cmsg_len - sizeof(c));
		if (rc || CMSG_ALIGN(c.cmsg_len) >= n - at)
			break;
		at += CMSG_ALIGN(c.cmsg_len);
	}
	if (rc) {
		rights_done(t, ret, false);
		return rc;
	}
	h->msg_control = ret->control;
	return 1;
}

void rights_done(struct thread *t, struct rights *r, bool sent)
{
	for (uint32_t i = 0; i < r->count; i++) {
		if (!sent)
			vfs_unsend(volumes_caller(t), r->ticket[i].token);
		host_close(r->ticket[i].fd);
	}
	r->count = 0;
}

void rights_receive(struct thread *t, int fd, uint64_t dev, uint64_t ino, bool peek)
{
	struct fd_entry e = {.kind = FD_VOLUME};
	struct vfs_caller *c;
	struct vfs_fd info;
	long token;
	int rc;

	if (!t->proc->volumes)
		return;
	volumes_placeholder_identity(&e.dev, &e.ino);
	token = e.dev == dev && e.ino == ino ? host_call3(SYS_lseek, fd, 0, SEEK_CUR) : 0;
	if (token <= 0 || host_failed(token))
		return;
	c = volumes_caller(t);
	volumes_enter(t);
	shields_lock();
	rc = fd_reserve(t->proc, fd);
	if (!rc)
		rc = vfs_receive(c, (uint64_t)token, fd);
	if (!rc && peek)
		rc = vfs_send(c, fd, (uint64_t)token);
	if (!rc)
		rc = vfs_fd_get(c, fd, &info);
	if (!rc) {
		e.file = info.node.mount;
		e.flags = info.flags & (O_ACCMODE | O_PATH);
		fd_set_entry(t->proc, fd, &e);
	}
	shields_unlock();
	volumes_leave(t);
	if (rc)
		log_warn("a descriptor of a file in a volume came with a message and is lost: %s",
			strerror(-rc));
}
