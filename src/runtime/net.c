#include "runtime/net.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include "core/log.h"
#include "core/secret.h"
#include "host/host.h"
#include "runtime/fd_ops.h"
#include "runtime/net_renew.h"
#include "runtime/shields.h"

#define MAGIC 0x4e455453u /* "NETS" */
#define VARIABLE_MAX (256 * 1024)
#define VARIABLES_MAX (8 * NET_RULES_MAX)
#define LOG_LINES 20 /* in one second */

static struct net_rules rules;
static char **variables; /* what the rules come from, for successors; NULL-terminated */
static size_t variable_count;
static struct tls_role *roles[NET_RULES_MAX];
static struct net_local *locals[NET_CONNS];
static struct process *own; /* not that of a child in our memory */
static uint32_t gate; /* threads that use OpenSSL; GATE_SHUT while a fork waits or happens */
static struct net_lock local_lock;

#define GATE_SHUT 0x80000000u

const struct net_rules *net_rules(void)
{
	return &rules;
}

/* --- OpenSSL and fork --- */

void net_enter(void)
{
	for (;;) {
		uint32_t seen = __atomic_load_n(&gate, __ATOMIC_RELAXED);

		if (seen & GATE_SHUT)
			host_futex_wait(&gate, seen);
		else if (__atomic_compare_exchange_n(
				 &gate, &seen, seen + 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
			return;
	}
}

void net_leave(void)
{
	if (__atomic_sub_fetch(&gate, 1, __ATOMIC_RELEASE) & GATE_SHUT)
		host_futex_wake(&gate, INT32_MAX);
}

void net_fork_prepare(void)
{
	if (!own)
		return;
	__atomic_or_fetch(&gate, GATE_SHUT, __ATOMIC_ACQUIRE);
	for (;;) {
		uint32_t seen = __atomic_load_n(&gate, __ATOMIC_ACQUIRE);

		if (seen == GATE_SHUT)
			break;
		host_futex_wait(&gate, seen);
	}
	net_lock(&local_lock);
	net_shake_fork(true);
}

static void fork_over(void)
{
	net_shake_fork(false);
	net_unlock(&local_lock);
	__atomic_store_n(&gate, 0, __ATOMIC_RELEASE);
	host_futex_wake(&gate, INT32_MAX);
}

static void hold_all(const struct process *p, uint32_t pid)
{
	for (uint32_t fd = 0; fd < fd_end(p); fd++) {
		const struct fd_entry *e = fd_get(p, (int)fd);

		if (e && e->kind == FD_SOCKET)
			net_hold(net_conn_of(e->file), pid);
	}
}

void net_fork_parent(struct process *p, long pid)
{
	if (!own)
		return;
	if (pid > 0)
		hold_all(p, (uint32_t)pid);
	fork_over();
}

void net_fork_child(struct process *p)
{
	if (!own)
		return;
	thread_self()->tid = (int)host_call0(SYS_gettid); /* locks are held by it */
	__atomic_store_n(&local_lock.word, 0, __ATOMIC_RELAXED); /* another thread's, of the parent */
	own = p;
	for (uint32_t i = 0; i < NET_CONNS; i++)
		if (locals[i])
			locals[i]->users = 0; /* threads that are not there any more */
	hold_all(p, (uint32_t)host_call0(SYS_getpid));
	fork_over();
}

/* --- the log --- */

void net_log(const struct process *p, const char *fmt, ...)
{
	static int64_t second;
	static uint32_t lines;
	char text[1200];
	struct timespec now;
	va_list ap;

	if (fd_load(p, STDERR_FILENO).kind == FD_SOCKET)
		return; /* that would go to a peer */
	host_call2(SYS_clock_gettime, CLOCK_MONOTONIC, (long)&now);
	if (__atomic_exchange_n(&second, now.tv_sec, __ATOMIC_RELAXED) != now.tv_sec)
		__atomic_store_n(&lines, 0, __ATOMIC_RELAXED);
	if (__atomic_fetch_add(&lines, 1, __ATOMIC_RELAXED) >= LOG_LINES)
		return;
	va_start(ap, fmt);
	if (vsnprintf(text, sizeof(text), fmt, ap) > 0)
		log_warn("network: %s", text);
	va_end(ap);
}

/* --- start and execve --- */

static int make_role(uint16_t rule, struct error *err)
{
	const struct net_rule *r = &rules.rule[rule];
	struct tls_role_options o = {.server = r->server,
		.identity = r->identity,
		.auth = r->auth,
		.auth_disabled = r->auth_disabled,
		.peer_name = r->peer_name};

	if (tls_role_new(&o, &roles[rule], err))
		return error_wrap(err, "rule %s_%s", r->server ? "SERVER" : "CLIENT", r->name);
	return 0;
}

static bool same_text(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

/* Do both say the same, but for certificates? */
static bool same_places(const struct net_rules *a, const struct net_rules *b)
{
	bool same = a->count == b->count;

	for (size_t i = 0; same && i < a->count; i++) {
		const struct net_rule *x = &a->rule[i], *y = &b->rule[i];

		same = same_text(x->name, y->name) && x->server == y->server && x->action == y->action &&
		       x->any_ip == y->any_ip && x->auth_disabled == y->auth_disabled &&
		       same_text(x->peer_name, y->peer_name) && !x->identity == !y->identity &&
		       !x->auth == !y->auth && !memcmp(&x->place, &y->place, sizeof(x->place));
	}
	return same;
}

/* With local_lock: the identities of these rules, which are of the same places, instead of ours. Roles are made when they are needed. */
static void exchange(struct net_rules *next)
{
	for (size_t i = 0; i < rules.count; i++) {
		struct net_rule *ours = &rules.rule[i], *theirs = &next->rule[i];
		char *identity = ours->identity, *auth = ours->auth;

		ours->identity = theirs->identity;
		ours->auth = theirs->auth;
		theirs->identity = identity;
		theirs->auth = auth;
		tls_role_free(roles[i]);
		roles[i] = NULL;
	}
}

/* With local_lock: what the renewer has left, if anything. */
static void take_renewed(void)
{
	struct net_rules next = {0};
	char *env[VARIABLES_MAX + 1], why[ERROR_TEXT_MAX];
	struct error err = {0};
	struct buf text;
	size_t n = 0;

	if (net_renew_said(why))
		net_log(own, "certificates are not renewed, and end with their time: %s", why);
	buf_init_secret(&text, NET_RENEW_TEXT_MAX + 1);
	if (net_renew_take(&text)) {
		for (size_t at = 0; at < text.len && n < VARIABLES_MAX; at += strlen(env[n - 1]) + 1)
			env[n++] = (char *)text.data + at;
		env[n] = NULL;
		if (net_rules_parse(env, &next, &err))
			net_log(own, "renewed certificates are not taken up: %s", err.text);
		else if (!same_places(&rules, &next))
			net_log(own, "renewed certificates are not taken up: seen other rules than at the "
				     "start, wanted "
				     "the same: start the program again");
		else
			exchange(&next);
		net_rules_free(&next);
	}
	buf_free(&text);
}

int net_handshake_new(uint16_t rule, uint64_t now, struct tls_handshake **ret)
{
	struct error err = {0};
	int rc = -1;

	net_lock(&local_lock);
	if (net_renew_due())
		take_renewed();
	if (rule < rules.count && (roles[rule] || make_role(rule, &err) == 0))
		rc = tls_handshake_new(roles[rule], now, ret, &err);
	if (rc)
		net_log(own, "%s", err.text);
	net_unlock(&local_lock);
	return rc;
}

static int keep_variable(const char *s)
{
	char **more = realloc(variables, (variable_count + 2) * sizeof(char *));

	if (!more)
		return -ENOMEM;
	variables = more;
	variables[variable_count] = strdup(s);
	variables[variable_count + 1] = NULL;
	return variables[variable_count++] ? 0 : -ENOMEM;
}

/* Out of the program's environment: identities are none of its business. */
static int take_variables(char **env, size_t *count)
{
	size_t kept = 0;
	int ret = 0;

	for (size_t i = 0; env[i]; i++) {
		if (!net_rules_owns(env[i])) {
			env[kept++] = env[i];
			continue;
		}
		if (keep_variable(env[i]) < 0)
			ret = -ENOMEM;
		secret_wipe(env[i], strlen(env[i]));
		free(env[i]);
	}
	env[kept] = NULL;
	*count = kept;
	return ret;
}

static int activate(struct process *p)
{
	static const struct fd_entry hidden = {.kind = FD_HIDDEN};
	int ret = fd_init(p);

	if (ret < 0)
		return ret;
	if (fd_reserve(p, net_table_fd()) == 0)
		fd_set_entry(p, net_table_fd(), &hidden);
	own = p;
	p->net_rules = true;
	p->net_shaking = &net_shaking;
	return 0;
}

int net_start(struct process *p, char **env, size_t *count, struct error *err)
{
	int ret = take_variables(env, count);

	if (ret < 0)
		return error_set(err, ERR_NOMEM, "no memory for rules of the network shield");
	if (!variables)
		return 0;
	if (net_rules_parse(variables, &rules, err))
		return -1;
	if (rules.mode == NET_DISABLED)
		return 0;
	for (size_t i = 0; i < rules.count; i++)
		if (rules.rule[i].action == NET_PROTECT && make_role((uint16_t)i, err))
			return -1;
	ret = net_table_create();
	if (ret == 0)
		ret = activate(p);
	return ret < 0 ? error_set_errno(err, -ret, "start the network shield") : 0;
}

int net_encode(struct process *p, struct buf *out)
{
	uint32_t pid = (uint32_t)host_call0(SYS_getpid);

	buf_put_u32be(out, MAGIC);
	buf_put_u32be(out, own ? (uint32_t)variable_count : 0);
	if (!own)
		return 0;
	for (size_t i = 0; i < variable_count; i++)
		buf_put_block(out, variables[i], strlen(variables[i]));
	buf_put_u32be(out, (uint32_t)net_table_fd());
	net_renew_encode(out);
	hold_all(p, pid); /* a child in its parent's memory has been no holder so far */
	return 0;
}

void net_exec_failed(void)
{
	if (!own)
		return;
	net_table_keep(false);
	net_renew_keep(false);
}

static int take_back(struct rd *in)
{
	size_t n = 0;
	const uint8_t *text = rd_block(in, VARIABLE_MAX, &n);
	char *copy = text ? strndup((const char *)text, n) : NULL;
	int ret = copy ? keep_variable(copy) : -EBADMSG;

	if (copy)
		secret_wipe(copy, n);
	free(copy);
	return ret;
}

int net_decode(struct process *p, struct rd *in)
{
	uint32_t magic = rd_u32be(in), count = rd_u32be(in);
	int ret = magic != MAGIC || count > VARIABLES_MAX ? -EBADMSG : 0;

	if (ret < 0 || count == 0)
		return ret;
	for (uint32_t i = 0; i < count && ret == 0; i++)
		ret = take_back(in);
	if (ret == 0 && net_rules_parse(variables, &rules, NULL))
		ret = -EBADMSG;
	if (ret == 0)
		ret = net_table_attach((int)rd_u32be(in));
	if (ret == 0)
		ret = activate(p);
	return ret < 0 ? ret : net_renew_decode(p, in);
}

void net_decode_fds(struct process *p)
{
	for (uint32_t fd = 0; own && fd < fd_end(p); fd++) {
		const struct fd_entry *e = fd_get(p, (int)fd);
		struct net_local *l;

		if (!e || e->kind != FD_SOCKET)
			continue;
		if (net_socket_entered(p, (int)fd, -1, e) < 0 || !net_conn_of(e->file) ||
			net_conn_of(e->file)->state == NET_FREE) {
			fd_clear(p, (int)fd);
			continue;
		}
		l = net_get(p, (int)fd);
		if (l && net_conn(l)->state == NET_SHAKING)
			net_shake_begin(p, l, (int)fd);
		if (l)
			net_put(l);
	}
}

/* --- sockets of this process --- */

static void destroy(struct net_local *l)
{
	net_shake_end(l);
	net_plain_drop(l);
	tls_cipher_drop(&l->rx);
	tls_cipher_drop(&l->tx);
	tls_handshake_free(l->shake);
	buf_free(&l->out);
	while (l->watches)
		net_watch_drop(l, l->watches->epfd, l->watches->fd);
	free(l);
}

/* With local_lock. What is there belongs to an earlier connection of the slot if its generation is another. */
static struct net_local *local_of(uint32_t slot, bool make)
{
	struct net_conn *c = net_conn_of(slot);
	struct net_local *l = c ? locals[slot] : NULL;

	if (l && l->generation != c->generation) {
		if (l->users == 0)
			destroy(l);
		locals[slot] = l = NULL;
	}
	if (l || !make || !c)
		return l;
	l = calloc(1, sizeof(*l));
	if (!l)
		return NULL;
	l->slot = slot;
	l->generation = c->generation;
	l->shaking_fd = -1;
	buf_init(&l->out, 256 * 1024);
	return locals[slot] = l;
}

struct net_local *net_get(const struct process *p, int fd)
{
	struct fd_entry e = fd_load(p, (uint32_t)fd);
	struct net_local *l;

	if (e.kind != FD_SOCKET)
		return NULL;
	net_lock(&local_lock);
	l = local_of(e.file, true);
	if (l)
		l->users++;
	net_unlock(&local_lock);
	return l;
}

void net_put(struct net_local *l)
{
	bool gone;

	net_lock(&local_lock);
	l->users--;
	gone = l->users == 0 && (l->fds == 0 || locals[l->slot] != l);
	if (gone && locals[l->slot] == l)
		locals[l->slot] = NULL;
	net_unlock(&local_lock);
	if (!gone)
		return;
	net_shake_end(l);
	if (l->over && net_conn(l)->generation == l->generation)
		net_conn_free(net_conn(l));
	destroy(l);
}

/* How many descriptors of p are for this socket. */
static uint32_t count_fds(const struct process *p, uint32_t slot)
{
	uint32_t n = 0;

	for (uint32_t fd = 0; fd < fd_end(p); fd++) {
		const struct fd_entry *e = fd_get(p, (int)fd);

		n += e && e->kind == FD_SOCKET && e->file == slot;
	}
	return n;
}

int net_socket_entered(struct process *p, int fd, int from, const struct fd_entry *e)
{
	struct net_local *l;

	if (p != own)
		return 0;
	net_lock(&local_lock);
	l = local_of(e->file, true);
	if (l)
		l->fds++;
	net_unlock(&local_lock);
	return l ? 0 : -ENOMEM;
}

static bool linger_is_off(int fd)
{
	struct linger v = {0};
	socklen_t n = sizeof(v);

	host_call5(SYS_getsockopt, fd, SOL_SOCKET, SO_LINGER, (long)&v, (long)&n);
	return v.l_onoff && v.l_linger == 0;
}

/* The peer is told of the end as a plain socket would tell it: not after a reset, and not where unread bytes cause one. */
static void end_of_connection(struct net_local *l, int fd)
{
	struct net_conn *c = net_conn(l);

	if (c->state == NET_OPEN && !linger_is_off(fd) && net_all_read(l, fd) && !c->write_shut)
		net_say_end(l, fd);
}

void net_socket_left(struct process *p, int fd, const struct fd_entry *e)
{
	struct net_conn *c = net_conn_of(e->file);
	struct net_local *l = NULL;
	bool last;

	if (!c)
		return;
	if (p == own) {
		net_lock(&local_lock);
		l = local_of(e->file, true);
		if (l) {
			l->users++;
			l->fds -= l->fds > 0;
		}
		net_unlock(&local_lock);
		last = !l || l->fds == 0;
		if (l && !last && l->shaking_fd == fd)
			net_shake_end(l);
	} else {
		last = count_fds(p, e->file) == 0;
	}
	if (last && net_unhold(c, (uint32_t)p->pid)) {
		if (l)
			end_of_connection(l, fd);
		if (l)
			l->over = true; /* the slot is free when no thread is at work on it any more */
		else
			net_conn_free(c);
	}
	if (l)
		net_put(l);
}

void net_exit(struct process *p)
{
	if (p != own)
		return;
	shields_lock();
	for (uint32_t fd = 0; fd < fd_end(p); fd++) {
		const struct fd_entry *e = fd_get(p, (int)fd);
		struct fd_entry copy;

		if (!e || e->kind != FD_SOCKET)
			continue;
		copy = *e;
		fd_clear(p, (int)fd);
		net_socket_left(p, (int)fd, &copy);
	}
	shields_unlock();
}

static int enter(struct process *p, int fd, uint32_t slot, const struct stat *st)
{
	struct fd_entry e = {.kind = FD_SOCKET, .file = slot, .dev = st->st_dev, .ino = st->st_ino};
	int ret = fd_reserve(p, fd);

	if (ret == 0)
		ret = net_socket_entered(p, fd, -1, &e);
	if (ret == 0)
		fd_set_entry(p, fd, &e);
	return ret;
}

int net_track(struct process *p, int fd, bool is_unix)
{
	struct stat st;
	long slot = host_fstat(fd, &st);
	int ret;

	if (host_failed(slot))
		return (int)slot;
	slot = net_conn_new(st.st_ino, (uint32_t)p->pid);
	if (slot < 0) {
		net_log(p, "no room for more than %d sockets in an application that has rules", NET_CONNS);
		return (int)slot;
	}
	net_conn_of((uint32_t)slot)->is_unix = is_unix;
	shields_lock();
	ret = enter(p, fd, (uint32_t)slot, &st);
	shields_unlock();
	if (ret < 0)
		net_conn_free(net_conn_of((uint32_t)slot));
	return ret;
}

void net_adopt(struct process *p, int fd, uint64_t dev, uint64_t ino)
{
	struct stat st = {.st_dev = dev, .st_ino = ino};
	long slot = net_conn_find(ino);

	if (slot < 0 || fd_get(p, fd))
		return;
	net_hold(net_conn_of((uint32_t)slot), (uint32_t)p->pid);
	net_conn_of((uint32_t)slot)->in_transit = false;
	if (enter(p, fd, (uint32_t)slot, &st) < 0)
		net_log(p, "a socket that came in a message cannot be taken over");
}

void net_untrack(struct process *p, int fd)
{
	struct fd_entry e;
	const struct fd_entry *known;

	shields_lock();
	known = fd_get(p, fd);
	if (known && known->kind == FD_SOCKET) {
		e = *known;
		net_conn_of(e.file)->state = NET_PLAIN;
		fd_clear(p, fd);
		net_socket_left(p, fd, &e);
	}
	shields_unlock();
}

/* --- addresses --- */

int net_place_from(const void *address, size_t n, struct net_place *ret)
{
	const struct sockaddr *sa = address;
	const struct sockaddr_in *v4 = address;
	const struct sockaddr_in6 *v6 = address;
	const struct sockaddr_un *un = address;
	size_t head = offsetof(struct sockaddr_un, sun_path);

	*ret = (struct net_place){0};
	if (n < sizeof(sa->sa_family))
		return -1;
	if (sa->sa_family == AF_INET && n >= sizeof(*v4)) {
		ret->port = ntohs(v4->sin_port);
		ret->ip[10] = ret->ip[11] = 0xff;
		memcpy(ret->ip + 12, &v4->sin_addr, 4);
		return 0;
	}
	if (sa->sa_family == AF_INET6 && n >= 24) { /* the kernel does not ask for the scope */
		ret->port = ntohs(v6->sin6_port);
		memcpy(ret->ip, &v6->sin6_addr, 16);
		return 0;
	}
	if (sa->sa_family != AF_UNIX || n > sizeof(*un))
		return -1;
	ret->is_unix = true;
	memcpy(ret->path, un->sun_path, n - head);
	if (n > head && !un->sun_path[0])
		ret->path[0] = '@';
	return 0;
}

int net_place_of(int fd, bool peer, struct net_place *ret)
{
	struct sockaddr_storage sa;
	socklen_t n = sizeof(sa);

	if (host_call3(peer ? SYS_getpeername : SYS_getsockname, fd, (long)&sa, (long)&n))
		return -1;
	return net_place_from(&sa, n < sizeof(sa) ? n : sizeof(sa), ret);
}
