/*
 * net: handlers of the network shield for system calls (runtime/net.h).
 */
#ifndef SCONE_RUNTIME_SYS_NET_H
#define SCONE_RUNTIME_SYS_NET_H

#include "runtime/fd_ops.h"

/* net_socket.c: how connections begin and end. */
long net_shutdown(struct regs *r, struct thread *t, const struct fd_entry *e);
long net_getsockopt(struct regs *r, struct thread *t, const struct fd_entry *e);
long net_setsockopt(struct regs *r, struct thread *t, const struct fd_entry *e);

/* net_wait.c */
long net_epoll_ctl(struct regs *r, struct thread *t, const struct fd_entry *e);

#endif
