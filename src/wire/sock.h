/*
 * sock: stream sockets with deadlines, for a process whose signals are not ours: never raises SIGPIPE.
 *
 * Descriptors are non-blocking and close-on-exec. A deadline is milliseconds of the monotonic clock.
 */
#ifndef SCONE_WIRE_SOCK_H
#define SCONE_WIRE_SOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include "core/error.h"

int64_t sock_deadline(int timeout_ms); /* that many milliseconds from now */
/* Wait for POLLIN or POLLOUT. 0; -ETIMEDOUT after the deadline; another -errno. */
MUST_USE int sock_wait(int fd, short events, int64_t deadline);
/* Connected descriptor, or -errno. */
MUST_USE int sock_connect(int family, const struct sockaddr *a, socklen_t n, int64_t deadline);
/* One send or recv without waiting: bytes moved (0 from recv: end of stream), or -errno (-EAGAIN: wait). */
MUST_USE ssize_t sock_send(int fd, const void *p, size_t n);
MUST_USE ssize_t sock_recv(int fd, void *p, size_t n);

#endif
