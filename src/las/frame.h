/*
 * frame: one frame in, one frame out, on a connected Unix socket, each before a deadline.
 */
#ifndef SCONE_LAS_FRAME_H
#define SCONE_LAS_FRAME_H

#include <stdint.h>
#include <sys/types.h>
#include "core/buf.h"
#include "core/error.h"

/* Milliseconds of CLOCK_MONOTONIC. */
int64_t frame_now(void);

/*
 * Append the payload of the next frame to out, which must allow LAS_FRAME_MAX bytes. Every byte must have been sent by process
 * sender, not by one that it handed the socket to (SO_PASSCRED must be on). ERR_LIMIT: longer than LAS_FRAME_MAX. ERR_PEER:
 * another sender, end of the connection, or the deadline.
 */
MUST_USE int frame_read(int conn, pid_t sender, int64_t deadline, struct buf *out, struct error *err);
MUST_USE int frame_write(int conn, int64_t deadline, const struct buf *payload, struct error *err);

/* Bytes that the peer has sent and nobody has read. */
MUST_USE int frame_pending(int conn, size_t *ret, struct error *err);

/* Say that nothing more comes, then read and forget until the peer closes or the deadline passes, so that closing does not
 * take an answer away from a peer that is still sending. */
void frame_finish(int conn, int64_t deadline);

#endif
