/*
 * volume_socket: Unix sockets whose names are in a volume. The name is an inode of the volume, whose rights decide who connects; the kernel has the
 * socket under another name, where the application meets (volume_meet.h). And messages that carry descriptors of files in volumes.
 */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "core/log.h"
#include "host/host.h"
#include "runtime/sys/volume.h"
#include "runtime/volume_meet.h"
#include "runtime/volume_rights.h"
#include "runtime/volumes.h"

#define BOUND_AS VFS_OWN_XATTR "bound" /* what bind was told, for getsockname */
#define PATH_AT offsetof(struct sockaddr_un, sun_path)
#define MESSAGES_MAX 1024

/* An address for the kernel, good for as long as dir is open. */
struct address {
	struct sockaddr_un kernel;
	socklen_t len;
	int dir; /* -1: none */
};

static void address_free(struct address *a)
{
	if (a->dir >= 0)
		host_close(a->dir);
	a->dir = -1;
}

static int address_of(const struct vfs_node *n, bool make, struct address *ret)
{
	ret->dir = meet_open(make);
	if (ret->dir < 0)
		return ret->dir;
	memset(&ret->kernel, 0, sizeof(ret->kernel));
	ret->kernel.sun_family = AF_UNIX;
	meet_address(ret->dir, n, ret->kernel.sun_path, sizeof(ret->kernel.sun_path));
	ret->len = sizeof(ret->kernel);
	return 0;
}

/* Does the kernel's address name a socket of a volume, in whatever process? */
static bool node_of(const struct sockaddr_un *a, socklen_t len, struct vfs_node *ret)
{
	static const char head[] = "/proc/self/fd/";
	const char *p;

	if (len <= PATH_AT || len > sizeof(*a) || a->sun_family != AF_UNIX ||
		strncmp(a->sun_path, head, sizeof(head) - 1))
		return false;
	p = memchr(a->sun_path + sizeof(head) - 1, '/', sizeof(a->sun_path) - sizeof(head) + 1);
	return p &&
	       meet_node(p + 1, strnlen(p + 1, (size_t)(a->sun_path + sizeof(a->sun_path) - p - 1)), ret);
}

/* The path in an address of the program; false: it has none, the kernel shall see to it. */
static bool take_path(uint64_t user, uint64_t n, char ret[sizeof(((struct sockaddr_un *)0)->sun_path) + 1])
{
	struct sockaddr_un a;

	if (n <= PATH_AT || n > sizeof(a) || user_copy(&a, (const void *)user, n) ||
		a.sun_family != AF_UNIX || !a.sun_path[0])
		return false;
	memcpy(ret, a.sun_path, n - PATH_AT);
	ret[n - PATH_AT] = '\0';
	return true;
}

static bool is_unix(int fd)
{
	int domain = 0;
	socklen_t n = sizeof(domain);

	return host_call5(SYS_getsockopt, fd, SOL_SOCKET, SO_DOMAIN, (long)&domain, (long)&n) == 0 &&
	       domain == AF_UNIX;
}

/* A link of the volume led out of it again. */
static int moved(const struct vpath *v, struct address *ret)
{
	size_t n = strlen(v->place.away);

	if (n >= sizeof(ret->kernel.sun_path))
		return -ENAMETOOLONG;
	memset(&ret->kernel, 0, sizeof(ret->kernel));
	ret->kernel.sun_family = AF_UNIX;
	memcpy(ret->kernel.sun_path, v->place.away, n);
	ret->len = (socklen_t)(PATH_AT + n + 1);
	ret->dir = -1;
	return 0;
}

/* --- bind --- */

/* Make the inode. In vfs. */
static int make_name(struct thread *t, const char *path, struct vpath *v)
{
	const struct vfs_caller *c = volumes_caller(t);
	int rc = vfs_mknod(c, &v->place, S_IFSOCK | 0777, 0);

	if (rc)
		return rc == -EEXIST ? -EADDRINUSE : rc;
	rc = vpath_either(t, AT_FDCWD, path, VFS_NAME, v);
	if (!rc && (v->kind != VPATH_VOLUME || !v->place.found || !S_ISSOCK(v->place.attr.mode)))
		rc = -ENOENT; /* it is gone already */
	if (!rc)
		rc = volume_xattr_set(vfs_mount_volume(c->fs, v->place.dir.mount), v->place.attr.ino,
			BOUND_AS, strlen(BOUND_AS), path, strlen(path), 0);
	return rc;
}

static long bind_kernel(struct regs *r, const struct vfs_node *n)
{
	struct address a;
	struct regs m = *r;
	char path[MEET_PATH_MAX];
	long ret = address_of(n, true, &a);

	if (ret)
		return ret;
	m.rsi = (uint64_t)&a.kernel;
	m.rdx = a.len;
	ret = scone_safe_call(SYS_bind, &m);
	address_free(&a);
	if (ret == 0) {
		meet_path(n, path);
		ret = host_call2(SYS_chmod, (long)path, 0777);
	}
	return ret;
}

static long bind_inside(struct regs *r, struct thread *t, const char *path, struct vpath *v)
{
	struct vfs_node n;
	long ret;

	if (v->place.last != VFS_LAST_NAME || v->place.found)
		return -EADDRINUSE;
	if (t->proc->net_rules) {
		log_warn("bind of a socket in a volume: not with rules of the network, EOPNOTSUPP; name a "
			 "directory of the host for it");
		return -EOPNOTSUPP;
	}
	volumes_enter(t);
	ret = make_name(t, path, v);
	volumes_leave(t);
	if (ret)
		return ret;
	n = vfs_place_node(&v->place);
	ret = bind_kernel(r, &n);
	if (ret) {
		volumes_enter(t);
		(void)!vfs_unlink(volumes_caller(t), &v->place);
		volumes_leave(t);
	}
	return ret;
}

long volume_bind_call(struct regs *r, struct thread *t)
{
	char path[sizeof(((struct sockaddr_un *)0)->sun_path) + 1];
	struct regs m = *r;
	struct address a;
	struct vpath v;
	int rc;

	if (!take_path(r->rsi, (uint32_t)r->rdx, path) || !is_unix((int)r->rdi))
		return VOLUME_NOT_OURS;
	volumes_enter(t);
	rc = vpath_either(t, AT_FDCWD, path, VFS_NAME, &v);
	volumes_leave(t);
	if (v.kind == VPATH_HOST)
		return VOLUME_NOT_OURS;
	if (rc)
		return rc;
	if (v.kind == VPATH_VOLUME)
		return bind_inside(r, t, path, &v);
	rc = moved(&v, &a);
	m.rsi = (uint64_t)&a.kernel;
	m.rdx = a.len;
	return rc ? rc : scone_safe_call(SYS_bind, &m);
}

/* --- connect, and datagrams to a name --- */

/* In vfs. 0: *n is a socket that the caller may use. */
static int find_socket(struct thread *t, const struct vpath *v, struct vfs_node *n)
{
	int rc;

	if (!v->place.found)
		return -ENOENT;
	rc = vfs_access(volumes_caller(t), &v->place, W_OK);
	if (rc)
		return rc;
	*n = vfs_place_node(&v->place);
	return S_ISSOCK(v->place.attr.mode) ? 0 : -ECONNREFUSED;
}

/* 1: the program's address is a volume's, and *ret is the kernel's; 0: it is not. -errno. */
static int translate(struct thread *t, uint64_t user, uint64_t len, struct address *ret)
{
	char path[sizeof(((struct sockaddr_un *)0)->sun_path) + 1];
	struct sockaddr_un given;
	struct vfs_node n;
	struct vpath v = {.kind = VPATH_VOLUME};
	int rc = 0;

	ret->dir = -1;
	if (!take_path(user, len, path))
		return 0;
	memset(&given, 0, sizeof(given));
	given.sun_family = AF_UNIX;
	memcpy(given.sun_path, path, sizeof(given.sun_path));
	/* As recvfrom gave it. */
	if (!node_of(&given, sizeof(given), &n)) {
		volumes_enter(t);
		rc = vpath_either(t, AT_FDCWD, path, 0, &v);
		if (!rc && v.kind == VPATH_VOLUME)
			rc = find_socket(t, &v, &n);
		volumes_leave(t);
	}
	if (v.kind == VPATH_HOST)
		return 0;
	if (rc)
		return rc;
	if (v.kind == VPATH_MOVED)
		rc = moved(&v, ret);
	else
		rc = address_of(&n, false, ret);
	return rc == -ENOENT ? -ECONNREFUSED : rc ? rc : 1;
}

/* Its inode is there, the kernel's socket is not: nobody listens. */
static long refused(long ret)
{
	return ret == -ENOENT ? -ECONNREFUSED : ret;
}

long volume_connect_call(struct regs *r, struct thread *t)
{
	struct regs m = *r;
	struct address a;
	long ret = is_unix((int)r->rdi) ? translate(t, r->rsi, (uint32_t)r->rdx, &a) : 0;

	if (ret < 0)
		return ret;
	if (ret == 0)
		return t->proc->net_rules ? VOLUME_NOT_OURS : scone_safe_call((long)r->nr, r);
	m.rsi = (uint64_t)&a.kernel;
	m.rdx = a.len;
	ret = scone_safe_call(SYS_connect, &m);
	address_free(&a);
	return refused(ret);
}

long volume_sendto_call(struct regs *r, struct thread *t)
{
	struct regs m = *r;
	struct address a;
	long ret = r->r8 && is_unix((int)r->rdi) ? translate(t, r->r8, (uint32_t)r->r9, &a) : 0;

	if (ret <= 0)
		return ret ? ret : VOLUME_NOT_OURS;
	m.r8 = (uint64_t)&a.kernel;
	m.r9 = a.len;
	ret = scone_safe_call(SYS_sendto, &m);
	address_free(&a);
	return refused(ret);
}

/* --- messages --- */

static long hand_on(struct regs *r, struct thread *t)
{
	bool shielded = t->proc->net_rules || fd_is_shielded(t->proc, r->rdi);

	return shielded ? sys_sendmsg(r, t) : scone_safe_call(SYS_sendmsg, r);
}

/* One message, by a header of the runtime's where something in it is a volume's. */
static long send_one(struct regs *r, struct thread *t)
{
	struct address a = {.dir = -1};
	struct rights *rights = NULL;
	struct regs m = *r;
	struct msghdr h;
	long named, ret = 0;

	if (user_copy(&h, (const void *)r->rsi, sizeof(h)))
		return hand_on(r, t);
	named = h.msg_name && is_unix((int)r->rdi) ? translate(t, (uint64_t)h.msg_name, h.msg_namelen, &a)
						   : 0;
	if (named < 0)
		return named;
	if (named) {
		h.msg_name = &a.kernel;
		h.msg_namelen = a.len;
	}
	if (h.msg_control && h.msg_controllen >= sizeof(struct cmsghdr)) {
		rights = malloc(sizeof(*rights));
		if (!rights)
			ret = -ENOMEM;
		volumes_enter(t);
		if (rights)
			ret = rights_pack(t, &h, rights);
		volumes_leave(t);
	}
	if (ret >= 0) {
		if (named || ret)
			m.rsi = (uint64_t)&h;
		ret = hand_on(&m, t);
		if (named)
			ret = refused(ret);
		volumes_enter(t);
		if (rights)
			rights_done(t, rights, ret >= 0);
		volumes_leave(t);
	}
	free(rights);
	address_free(&a);
	return ret;
}

/* sendmmsg: as many of them as go. */
static long send_many(struct regs *r, struct thread *t)
{
	uint32_t n = (uint32_t)r->rdx < MESSAGES_MAX ? (uint32_t)r->rdx : MESSAGES_MAX;
	long ret = 0;

	for (uint32_t i = 0; i < n; i++) {
		struct regs one = {.nr = SYS_sendmsg, .rdi = r->rdi, .rdx = r->r10};
		uint32_t sent;

		one.rsi = r->rsi + i * sizeof(struct mmsghdr);
		ret = send_one(&one, t);
		sent = (uint32_t)ret;
		if (ret >= 0 &&
			user_copy((void *)(one.rsi + offsetof(struct mmsghdr, msg_len)), &sent, sizeof(sent)))
			ret = -EFAULT;
		if (ret < 0)
			return i ? (long)i : ret;
	}
	return (long)n;
}

/* Only of a Unix socket: nothing else has names in a volume, or carries descriptors. */
long volume_send_call(struct regs *r, struct thread *t)
{
	if (!is_unix((int)r->rdi))
		return t->proc->net_rules || fd_is_shielded(t->proc, r->rdi)
			       ? VOLUME_NOT_OURS
			       : scone_safe_call((long)r->nr, r);
	return r->nr == SYS_sendmmsg ? send_many(r, t) : send_one(r, t);
}

/* --- getsockname, getpeername --- */

long volume_sockname_call(struct regs *r, struct thread *t)
{
	struct sockaddr_un raw, said = {.sun_family = AF_UNIX};
	socklen_t n = sizeof(raw), room, whole = sizeof(sa_family_t);
	struct vfs_node node;
	long got;

	if (host_call3((long)r->nr, (long)r->rdi, (long)&raw, (long)&n) || !node_of(&raw, n, &node))
		return VOLUME_NOT_OURS;
	volumes_enter(t);
	got = volume_xattr_get(vfs_mount_volume(volumes_caller(t)->fs, node.mount), node.ino, BOUND_AS,
		strlen(BOUND_AS), said.sun_path, sizeof(said.sun_path));
	volumes_leave(t);
	if (got > 0)
		whole = (socklen_t)PATH_AT + (socklen_t)got + ((size_t)got < sizeof(said.sun_path));
	if (user_copy(&room, (const void *)r->rdx, sizeof(room)))
		return -EFAULT;
	if ((int)room < 0)
		return -EINVAL;
	if (user_copy((void *)r->rsi, &said, room < whole ? room : whole) ||
		user_copy((void *)r->rdx, &whole, sizeof(whole)))
		return -EFAULT;
	return 0;
}
