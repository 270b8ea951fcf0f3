/*
 * net_socket: the firewall, and how protected connections begin: socket, connect, listen, accept, and what changes a socket.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include "host/host.h"
#include "runtime/net.h"
#include "runtime/sys/net.h"
#include "runtime/sys/table.h"

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif
#ifndef TCP_ULP
#define TCP_ULP 31
#endif
#define SOCK_TYPE 0xf

static long pass(struct regs *r)
{
	return scone_safe_call((long)r->nr, r);
}

static bool is_inet(int family)
{
	return family == AF_INET || family == AF_INET6;
}

/* --- socket --- */

long sys_socket(struct regs *r, struct thread *t)
{
	int family = (int)r->rdi, type = (int)r->rsi & SOCK_TYPE, protocol = (int)r->rdx;
	bool tcp = is_inet(family) && type == SOCK_STREAM && (protocol == 0 || protocol == IPPROTO_TCP);
	bool local = family == AF_UNIX && type == SOCK_STREAM;
	long fd;
	int ret;

	if (is_inet(family) && type == SOCK_STREAM && protocol == IPPROTO_MPTCP)
		return -EPROTONOSUPPORT; /* programs go on with TCP then */
	if (!tcp && !local && family != AF_NETLINK && net_rules()->unsupported == NET_REFUSE) {
		net_log(t->proc,
			"socket of family %d, type %d, protocol %d refused: seen neither TCP nor a Unix "
			"stream, wanted "
			"SCONE_NETWORK_SHIELD_UNSUPPORTED_PROTOCOLS to be unprotected",
			family, type, protocol);
		return -EACCES;
	}
	fd = pass(r);
	if (host_failed(fd) || (!tcp && !local))
		return fd;
	ret = net_track(t->proc, (int)fd, local);
	if (ret < 0) {
		host_close((int)fd);
		return ret;
	}
	return fd;
}

/* --- decisions --- */

static bool is_stream(int fd)
{
	int type = 0;
	socklen_t n = sizeof(type);

	return !host_call5(SYS_getsockopt, fd, SOL_SOCKET, SO_TYPE, (long)&type, (long)&n) &&
	       type == SOCK_STREAM;
}

static long refuse(
	const struct thread *t, bool server, const struct net_place *p, const struct net_rule *rule, long err)
{
	char text[160];

	net_place_text(p, text, sizeof(text));
	if (rule)
		net_log(t->proc, "%s %s refused: rule %s_%s says so",
			server ? "listening at" : "connection to", text, server ? "SERVER" : "CLIENT",
			rule->name);
	else
		net_log(t->proc,
			"%s %s refused: seen no rule for it, wanted one since SCONE_NETWORK_SHIELD is "
			"protected",
			server ? "listening at" : "connection to", text);
	return err;
}

static uint16_t index_of(const struct net_rule *rule)
{
	return (uint16_t)(rule - net_rules()->rule);
}

/* --- connect --- */

/* The socket of fd as ours, tracked now if it came from outside. */
static struct net_local *ours(struct thread *t, int fd, bool is_unix)
{
	struct net_local *l = net_get(t->proc, fd);

	if (!l && net_track(t->proc, fd, is_unix) == 0)
		l = net_get(t->proc, fd);
	return l;
}

/* What a further connect says of one that is under way or over. */
static long connect_again(struct regs *r, struct thread *t, struct net_local *l, int fd)
{
	struct net_conn *c = net_conn(l);
	int err;

	if (c->state == NET_CONNECTING || c->state == NET_SHAKING) {
		long ret = net_await_open(t, l, fd, false);

		if (ret == -EAGAIN)
			return -EALREADY;
		if (ret < 0)
			return ret;
		if (c->state == NET_OPEN)
			return 0;
	}
	err = c->state == NET_FAILED ? __atomic_exchange_n(&c->err, 0, __ATOMIC_ACQ_REL) : 0;
	return err ? -err : pass(r);
}

/* Is the destination a socket that this process listens on itself? Then nobody would answer while it waits. */
static bool leads_home(const struct process *p, const struct net_place *to)
{
	for (uint32_t fd = 0; fd < fd_end(p); fd++) {
		struct fd_entry e = fd_load(p, fd);
		struct net_place at;
		int listens = 0;
		socklen_t n = sizeof(listens);

		if (e.kind != FD_SOCKET || net_conn_of(e.file)->state != NET_FRESH)
			continue;
		if (!host_call5(SYS_getsockopt, fd, SOL_SOCKET, SO_ACCEPTCONN, (long)&listens, (long)&n) &&
			listens && net_place_of((int)fd, false, &at) == 0 && at.is_unix == to->is_unix &&
			(to->is_unix ? !strcmp(at.path, to->path) : at.port == to->port))
			return true;
	}
	return false;
}

static long connect_protected(
	struct regs *r, struct thread *t, int fd, const struct net_place *p, const struct net_rule *rule)
{
	struct net_local *l = ours(t, fd, p->is_unix);
	struct net_conn *c;
	long ret;

	if (!l)
		return -ENFILE;
	c = net_conn(l);
	if (c->state != NET_FRESH) {
		ret = connect_again(r, t, l, fd);
		net_put(l);
		return ret;
	}
	ret = pass(r);
	if (ret == 0 || ret == -EINPROGRESS) {
		c->rule = index_of(rule);
		c->server = false;
		c->local_listener = leads_home(t->proc, p);
		__atomic_store_n(&c->state, ret ? NET_CONNECTING : NET_SHAKING, __ATOMIC_RELEASE);
		net_shake_begin(t->proc, l, fd);
		if (ret == 0 && c->local_listener)
			net_drive(t->proc, l, fd); /* says hello; its writes wait for the rest */
		else if (ret == 0)
			ret = net_await_connect(t, l, fd);
		else
			net_drive(t->proc, l, fd);
		if (ret == -EAGAIN)
			ret = -EINPROGRESS;
		if (c->state == NET_FAILED && (ret == 0 || ret == -EINPROGRESS)) {
			int err = __atomic_exchange_n(&c->err, 0, __ATOMIC_ACQ_REL);

			ret = err ? -err : -ECONNREFUSED;
		}
	}
	net_put(l);
	return ret;
}

long sys_connect(struct regs *r, struct thread *t)
{
	int fd = (int)r->rdi;
	uint8_t address[sizeof(struct sockaddr_storage)];
	const struct net_rule *rule;
	struct net_place p;
	enum net_action action;

	if (r->rdx > sizeof(address) || user_copy(address, (const void *)r->rsi, r->rdx) < 0)
		return pass(r); /* the kernel says what is wrong */
	if (!is_stream(fd) || net_place_from(address, r->rdx, &p))
		return pass(r); /* socket() has decided */
	action = net_rules_decide(net_rules(), false, &p, &rule);
	if (action == NET_PROTECT) {
		/* The kernel is to connect to what has been judged, not to what another thread puts there. */
		struct regs fixed = *r;

		fixed.rsi = (uint64_t)address;
		return connect_protected(&fixed, t, fd, &p, rule);
	}
	if (action == NET_REFUSE)
		return refuse(t, false, &p, rule, -EACCES);
	net_untrack(t->proc, fd);
	return scone_safe_call6((long)r->nr, fd, (long)address, (long)r->rdx, 0, 0, 0);
}

/* --- listen and accept --- */

static enum net_action arrival(int fd, struct net_place *p, const struct net_rule **ret_rule)
{
	*ret_rule = NULL;
	if (!is_stream(fd) || net_place_of(fd, false, p))
		return NET_PASS; /* no such socket, or none that socket() would not have decided about */
	return net_rules_decide(net_rules(), true, p, ret_rule);
}

long sys_listen(struct regs *r, struct thread *t)
{
	const struct net_rule *rule;
	struct net_place p;
	enum net_action action = arrival((int)r->rdi, &p, &rule);

	return action == NET_REFUSE ? refuse(t, true, &p, rule, -EACCES) : pass(r);
}

static long accept_protected(
	struct regs *r, struct thread *t, const struct net_place *p, const struct net_rule *rule)
{
	struct net_local *l;
	struct net_conn *c;
	long fd;
	int ret;

	if (__atomic_load_n(&net_shaking, __ATOMIC_ACQUIRE) && !net_nonblocking((int)r->rdi)) {
		fd = net_wait(t, (int)r->rdi, POLLIN, -1);
		if (fd < 0)
			return fd;
	}
	fd = pass(r);
	if (host_failed(fd))
		return fd;
	ret = net_track(t->proc, (int)fd, p->is_unix);
	l = ret < 0 ? NULL : net_get(t->proc, (int)fd);
	if (!l) {
		host_close((int)fd);
		return -ENFILE;
	}
	c = net_conn(l);
	c->rule = index_of(rule);
	c->server = true;
	__atomic_store_n(&c->state, NET_SHAKING, __ATOMIC_RELEASE);
	net_shake_begin(t->proc, l, (int)fd);
	net_drive(t->proc, l, (int)fd); /* what the peer has sent already */
	net_put(l);
	return fd;
}

long sys_accept(struct regs *r, struct thread *t)
{
	const struct net_rule *rule;
	struct net_place p;

	switch (arrival((int)r->rdi, &p, &rule)) {
	case NET_PROTECT:
		return accept_protected(r, t, &p, rule);
	case NET_REFUSE:
		return refuse(t, true, &p, rule, -EPERM);
	default:
		return pass(r);
	}
}

/* --- changes --- */

long net_shutdown(struct regs *r, struct thread *t, const struct fd_entry *e)
{
	struct net_local *l = net_get(t->proc, (int)r->rdi);
	int how = (int)r->rsi;
	struct net_conn *c;
	long ret;

	if (!l)
		return pass(r);
	c = net_conn(l);
	if (c->state == NET_CONNECTING || c->state == NET_SHAKING) {
		ret = net_await_open(t, l, (int)r->rdi, false);
		if (ret < 0 && ret != -EAGAIN) {
			net_put(l);
			return ret;
		}
	}
	if (c->state == NET_OPEN && (how == SHUT_WR || how == SHUT_RDWR))
		net_say_end(l, (int)r->rdi);
	ret = pass(r);
	if (ret == 0 && (how == SHUT_RD || how == SHUT_RDWR))
		c->read_shut = true;
	net_put(l);
	return ret;
}

static long put_int(struct regs *r, int value)
{
	socklen_t n;

	if (user_copy(&n, (const void *)r->r8, sizeof(n)) < 0)
		return -EFAULT;
	if ((int)n < 0)
		return -EINVAL;
	n = n < sizeof(value) ? n : sizeof(value);
	if (user_copy((void *)r->r10, &value, n) < 0 || user_copy((void *)r->r8, &n, sizeof(n)) < 0)
		return -EFAULT;
	return 0;
}

long net_getsockopt(struct regs *r, struct thread *t, const struct fd_entry *e)
{
	struct net_conn *c = net_conn_of(e->file);
	int level = (int)r->rsi, name = (int)r->rdx, err;

	if (level == SOL_SOCKET && name == SO_ERROR && c->state == NET_FAILED) {
		err = __atomic_exchange_n(&c->err, 0, __ATOMIC_ACQ_REL);
		if (err)
			return put_int(r, err);
	}
	if (level == SOL_SOCKET && name == SO_RCVLOWAT && c->lowat)
		return put_int(r, 1);
	if (level == IPPROTO_TCP && name == 35 /* TCP_ZEROCOPY_RECEIVE: it would show records */)
		return -EOPNOTSUPP;
	return pass(r);
}

long net_setsockopt(struct regs *r, struct thread *t, const struct fd_entry *e)
{
	struct net_conn *c = net_conn_of(e->file);
	int level = (int)r->rsi, name = (int)r->rdx, value = 0;

	if (level == SOL_SOCKET && name == SO_RCVLOWAT)
		return 0; /* the shield's: a record at a time */
	if (level == SOL_SOCKET && (name == SO_ZEROCOPY || name == SO_PEEK_OFF))
		return -EOPNOTSUPP;
	if (level == IPPROTO_TCP && name == TCP_ULP)
		return -ENOENT; /* as without that module */
	if (level == SOL_SOCKET && name == SO_SNDBUF)
		__atomic_store_n(&c->spare, 0, __ATOMIC_RELAXED); /* it may be less now */
	if (level == SOL_SOCKET && name == SO_RCVBUF && c->state != NET_PLAIN && r->r8 >= sizeof(value)) {
		if (user_copy(&value, (const void *)r->r10, sizeof(value)) < 0)
			return -EFAULT;
		if (value < NET_RCVBUF_LEAST) {
			value = NET_RCVBUF_LEAST;
			return host_call5(
				SYS_setsockopt, (int)r->rdi, level, name, (long)&value, sizeof(value));
		}
	}
	return pass(r);
}
