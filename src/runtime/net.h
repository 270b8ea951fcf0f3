/*
 * net: the network shield in this process: rules, and what a process keeps of each connection besides the shared table (net_table.h).
 *
 * A protected connection is the program's own socket; its bytes are TLS records. What the program has not read yet stays in the kernel's queue as
 * ciphertext and is looked at with MSG_PEEK, so the kernel's answers to poll, select and epoll are right once the handshake is over, in every
 * process that has the socket. A record is taken out of the queue when the program has had all of it. Until the handshake is over, waiting calls
 * drive it (sys/net_wait.c): it never blocks a program that did not ask to block.
 *
 * Order of locks: a connection's rx, then tx; the engine's gate (net_enter) inside; net_local's lock last. shields_lock may be held when a lock of a
 * connection is taken without waiting only.
 */
#ifndef SCONE_RUNTIME_NET_H
#define SCONE_RUNTIME_NET_H

#include <stddef.h>
#include "core/buf.h"
#include "runtime/fd.h"
#include "runtime/net_table.h"
#include "shield/net/rules.h"
#include "shield/net/tls_engine.h"

/* An entry of an epoll instance for a socket that is not open yet. The kernel has an entry of ours in its place while the handshake runs. */
struct net_watch {
	struct net_watch *next;
	int epfd, fd;
	uint32_t events;
	uint64_t data;
	bool replaced;
};

struct net_local {
	uint32_t slot, generation;
	uint32_t fds; /* descriptors of this process */
	uint32_t users; /* threads at work on it */
	bool over; /* nobody holds the socket: with the last user the slot goes */
	struct tls_cipher rx, tx;
	struct tls_handshake *shake; /* NULL: none, or over */
	uint32_t steps; /* as far as shake has come; another process may have gone further */
	struct buf out; /* of the handshake: not sent yet */
	uint8_t *plain; /* the first record of the queue, opened; NULL: not */
	size_t plain_len, plain_record; /* bytes of it, and of its record */
	uint64_t plain_seq;
	uint32_t plain_epoch;
	struct net_watch *watches; /* under the lock of net_watch_… */
	int shaking_fd; /* a descriptor by which others drive it; -1: not in the list of those */
};

/* Parse the rules in env (they are taken out of it, wiped) and take effect. 0 without any. -1: *err says which is wrong. */
MUST_USE int net_start(struct process *p, char **env, size_t *count, struct error *err);
/* Over execve, with shields_lock held. */
MUST_USE int net_encode(struct process *p, struct buf *out);
MUST_USE int net_decode(struct process *p, struct rd *in);
/* After fd_decode. */
void net_decode_fds(struct process *p);
/* An execve did not happen. */
void net_exec_failed(void);
/* Around fork, shields_lock held. */
void net_fork_prepare(void);
void net_fork_parent(struct process *p, long pid); /* pid: of the child, or -errno */
void net_fork_child(struct process *p);
/* The process ends: tell peers whose connection ends with it. */
void net_exit(struct process *p);

static inline bool net_active(const struct process *p)
{
	return p->net_rules;
}

const struct net_rules *net_rules(void);
/* A handshake by the rule, with the identity that is good now. Within net_enter. -1: it cannot be made, which a line in the log explains. */
MUST_USE int net_handshake_new(uint16_t rule, uint64_t now, struct tls_handshake **ret);

/* The socket behind fd, for the length of a call; NULL: it is not ours (any more). */
struct net_local *net_get(const struct process *p, int fd);
void net_put(struct net_local *l);
static inline struct net_conn *net_conn(const struct net_local *l)
{
	return net_conn_of(l->slot);
}

/* Track a new stream socket. 0 or -errno. */
MUST_USE int net_track(struct process *p, int fd, bool is_unix);
/* fd, new in this process, has this inode: if it is a socket of the application it is known again. */
void net_adopt(struct process *p, int fd, uint64_t dev, uint64_t ino);
/* The kernel alone serves it from now on. */
void net_untrack(struct process *p, int fd);

/* Of fd_ops: a copy of a descriptor, and its end. */
int net_socket_entered(struct process *p, int fd, int from, const struct fd_entry *e);
void net_socket_left(struct process *p, int fd, const struct fd_entry *e);

/* Use of OpenSSL; fork waits until nobody is inside. */
void net_enter(void);
void net_leave(void);

/* One line of the log, at most a few each second. */
void net_log(const struct process *p, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Local (or peer's) address of a socket. 0, or -1: none of those that rules know. */
int net_place_of(int fd, bool peer, struct net_place *ret);
/* As the kernel holds it in a sockaddr of n bytes. */
int net_place_from(const void *address, size_t n, struct net_place *ret);

/* --- net_shake.c --- */

/* Drive the handshake as far as it goes without waiting. 0: it is over (open, failed or plain); else POLLIN or POLLOUT, to wait for on fd. */
int net_drive(struct process *p, struct net_local *l, int fd);
/* The same, by its slot, of one that is under way in this process. */
void net_drive_slot(struct process *p, uint32_t slot);
/* Wait for events on fd, driving every handshake of this process meanwhile. timeout in ms, -1: none. As poll: 0 timed out, > 0 ready; -EINTR or
 * HOST_ERESTART: a signal. */
long net_wait(struct thread *t, int fd, short events, int64_t timeout);
/* How long, in ms, to wait for what a handshake needs: another thread or process may take it, and finish. */
int64_t net_patience(const struct thread *t);
/* Until the handshake is over: 0, -EAGAIN (fd does not block, or its timeout), HOST_ERESTART, -EINTR. */
long net_await_open(struct thread *t, struct net_local *l, int fd, bool dontwait);
/* The same for connect, which goes on after a while: later calls wait for the rest. */
long net_await_connect(struct thread *t, struct net_local *l, int fd);
/* Before an execve, which takes the state of handshakes away: those under way are waited for. 0, or HOST_ERESTART, -EINTR. */
long net_settle(struct thread *t);
/* How many handshakes run in this process. */
extern uint32_t net_shaking;
void net_shake_begin(struct process *p, struct net_local *l, int fd);
void net_shake_end(struct net_local *l);
/* The locks of it over a fork; after it in both processes. */
void net_shake_fork(bool before);
/* An interrupted call: does the program's handler want it restarted? */
long net_interrupted(struct thread *t);
bool net_nonblocking(int fd);
/* Refuse what the connection has become: err (positive) is told once; the peer sees the end. */
void net_fail(const struct process *p, struct net_local *l, int fd, int err);

/* Watches in epoll instances, while a connection is not open. */
struct net_watch *net_watch_find(struct net_local *l, int epfd, int fd);
int net_watch_set(struct net_local *l, int epfd, int fd, uint32_t events, uint64_t data);
void net_watch_drop(struct net_local *l, int epfd, int fd);
/* Put ours in the kernel (want: POLLIN or POLLOUT), or the program's back (0). */
void net_watch_apply(struct net_local *l, int want);
/* Is data one of ours? *ret_slot is the connection's. */
bool net_watch_ours(uint64_t data, uint32_t *ret_slot);

/* --- net_span.c, net_stream.c (reading), net_write.c --- */

/* The program's buffers. */
struct net_span {
	uint64_t iov; /* struct iovec[], or 0: one buffer */
	size_t count; /* of iov */
	uint64_t base; /* the one buffer */
	size_t len; /* bytes in all */
	/* where it stands */
	size_t index, done_in;
	size_t done;
};
MUST_USE int net_span_one(struct net_span *s, uint64_t base, size_t n);
MUST_USE int net_span_iov(struct net_span *s, uint64_t iov, uint64_t count);
/* The next n bytes of the buffers to or from p; the span moves only if all can be had. 0 or -errno. */
MUST_USE int net_span_copy(struct net_span *s, uint8_t *p, size_t n, bool to_user);
/* Over n bytes of them. */
void net_span_skip(struct net_span *s, size_t n);
static inline size_t net_span_left(const struct net_span *s)
{
	return s->len - s->done;
}

/* flags of recv(2) and send(2). The call's answer. */
long net_read(struct thread *t, int fd, struct net_span *s, int flags);
long net_write(struct thread *t, int fd, struct net_span *s, int flags);
/* From memory of the runtime. */
long net_write_bytes(struct thread *t, int fd, const void *p, size_t n, int flags);
/* Bytes that can be read without waiting, or -errno. */
long net_readable(struct thread *t, int fd);
/* close_notify, without waiting. */
void net_say_end(struct net_local *l, int fd);
/* Is there nothing in the kernel's queue that the program could read? */
bool net_all_read(struct net_local *l, int fd);
#define NET_RCVBUF_LEAST 131072 /* as SO_RCVBUF is set; the kernel doubles it */
/* Set what an open connection's socket needs. */
void net_stream_start(struct net_conn *c, int fd);
void net_plain_drop(struct net_local *l);
/* A call on a connection that has failed: the reason once, -errno, then what the kernel says of a socket that is shut down. */
long net_failed_once(struct net_conn *c, long then);

#endif
