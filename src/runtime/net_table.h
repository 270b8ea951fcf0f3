/*
 * net_table: the connections of an application, in memory that its processes share.
 *
 * A connection is one slot: plain state, the keys of its records included, so that whichever process has a descriptor of its socket can go on with
 * it: after fork, after execve, and out of a message (a socket is known again by its inode). The table is one memfd, memfd_secret where the kernel has
 * it, mapped shared; its descriptor is hidden from the program and handed over at execve.
 *
 * What a process needs besides, key schedules, a handshake under way, plaintext it has not given to the program yet, is in net.h and can be made
 * again. A slot knows the processes that hold its socket, so that the last one to close it says so to the peer.
 */
#ifndef SCONE_RUNTIME_NET_TABLE_H
#define SCONE_RUNTIME_NET_TABLE_H

#include <stdbool.h>
#include <stdint.h>
#include "core/error.h"
#include "shield/net/tls_record.h"

#define NET_CONNS 16384
#define NET_HOLDERS 12

enum net_state {
	NET_FREE,
	NET_FRESH, /* a stream socket that is not connected */
	NET_CONNECTING, /* the kernel connects */
	NET_SHAKING, /* TLS handshake */
	NET_OPEN,
	NET_FAILED, /* err is to be told, then the kernel speaks; its socket is shut down */
	NET_PLAIN /* no rule protects it any more, or the kernel failed to connect: the kernel speaks */
};

/* Held by a thread of any process. */
struct net_lock {
	uint32_t word; /* thread id, NET_LOCK_WAITED; 0 free */
};

struct net_conn {
	uint32_t state; /* enum net_state; changes under rx, but for NET_FREE */
	uint32_t generation; /* one more with each use of the slot */
	uint64_t ino; /* of the socket */
	struct net_lock rx, tx;
	int32_t err; /* positive errno not told yet, 0 none */
	uint32_t consumed; /* bytes of the first record in the kernel's queue that the program has had */
	uint32_t lowat; /* SO_RCVLOWAT as it is set */
	uint32_t spare; /* of the socket's buffer, at least; under tx */
	uint32_t steps; /* of the handshake: whoever made the last one has its state */
	uint32_t shaker; /* process that made it */
	uint32_t holders[NET_HOLDERS]; /* process ids, 0: free */
	uint16_t rule;
	bool server, is_unix, write_shut, read_shut;
	bool ended; /* by the peer's close_notify */
	bool cut; /* without one: the kernel's error has been told */
	bool update_due, in_transit, many_holders;
	bool local_listener; /* it leads to a socket of this very process */
	struct tls_keys keys;
};

/* Map a new table. -errno. */
MUST_USE int net_table_create(void);
/* The table behind a descriptor inherited over execve; it is hidden again. -errno. */
MUST_USE int net_table_attach(int fd);
int net_table_fd(void);
/* Should the descriptor stay open over execve? For the one that comes: after fd_encode, which hands over no hidden descriptors. */
void net_table_keep(bool over_exec);

struct net_conn *net_conn_of(uint32_t slot); /* NULL: no such slot */
/* A free slot for a socket: state FRESH, held by process pid. -ENFILE. */
MUST_USE long net_conn_new(uint64_t ino, uint32_t pid);
/* That of this socket; -ENOENT. */
long net_conn_find(uint64_t ino);
/* Back to free, wiped. */
void net_conn_free(struct net_conn *c);

void net_hold(struct net_conn *c, uint32_t pid);
/* pid holds it no longer. True: nobody does. */
bool net_unhold(struct net_conn *c, uint32_t pid);

/* True: a former holder died with it, and what it guards may be half done. */
bool net_lock(struct net_lock *l);
bool net_trylock(struct net_lock *l);
void net_unlock(struct net_lock *l);

#endif
