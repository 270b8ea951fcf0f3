/* volume_socket: sockets and volumes: names in a volume, and descriptors of its files that would be sent away. */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include "core/log.h"
#include "runtime/sys/volume.h"
#include "runtime/volumes.h"

/* Does the address name something in a volume? *ret_found: it exists. */
static bool names_volume(struct thread *t, uint64_t user, uint64_t n, bool *ret_found)
{
	struct sockaddr_un a;
	char path[sizeof(a.sun_path) + 1];
	struct vpath v;
	bool ret;
	int rc;

	if (n <= offsetof(struct sockaddr_un, sun_path) || n > sizeof(a) ||
		user_copy(&a, (const void *)user, n) || a.sun_family != AF_UNIX || !a.sun_path[0])
		return false;
	n -= offsetof(struct sockaddr_un, sun_path);
	memcpy(path, a.sun_path, n);
	path[n] = '\0';
	volumes_enter(t);
	rc = vpath_either(t, AT_FDCWD, path, 0, &v);
	ret = v.kind != VPATH_HOST;
	*ret_found = ret && !rc && v.place.found;
	volumes_leave(t);
	return ret;
}

long volume_bind_call(struct regs *r, struct thread *t)
{
	bool found;

	if (!names_volume(t, r->rsi, (uint32_t)r->rdx, &found))
		return VOLUME_NOT_OURS;
	log_warn("bind of a socket in a volume: not supported, EOPNOTSUPP; name a directory of the host for "
		 "it");
	return found ? -EADDRINUSE : -EOPNOTSUPP;
}

long volume_connect_call(struct regs *r, struct thread *t)
{
	bool found;

	if (names_volume(t, r->rsi, (uint32_t)r->rdx, &found))
		return found ? -ECONNREFUSED : -ENOENT;
	return t->proc->net_rules ? VOLUME_NOT_OURS : scone_safe_call((long)r->nr, r);
}

/* Whoever got the placeholder would have an empty file. */
static bool sends_ours(struct thread *t, uint64_t message)
{
	struct msghdr h;
	struct cmsghdr c;

	if (user_copy(&h, (const void *)message, sizeof(h)) || !h.msg_control)
		return false;
	for (uint64_t at = (uint64_t)h.msg_control, left = h.msg_controllen; left >= sizeof(c);) {
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
			break;
		at += CMSG_ALIGN(c.cmsg_len);
		left -= CMSG_ALIGN(c.cmsg_len);
	}
	return false;
}

long volume_send_call(struct regs *r, struct thread *t)
{
	bool many = r->nr == SYS_sendmmsg, ours = !many && sends_ours(t, r->rsi);

	for (uint32_t i = 0; many && !ours && i < (uint32_t)r->rdx && i < 1024; i++)
		ours = sends_ours(t, r->rsi + i * sizeof(struct mmsghdr));
	if (ours) {
		log_warn("sendmsg of a descriptor of a file in a volume: not supported, EPERM");
		return -EPERM;
	}
	return t->proc->net_rules ? VOLUME_NOT_OURS : scone_safe_call((long)r->nr, r);
}
