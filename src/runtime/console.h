/*
 * console: the console shield in this process (shield/console): stdin, stdout, stderr, and pipes and sockets that a program is started with.
 *
 * An output is the program's own descriptor; what is written to it are sealed records, none larger than what a pipe takes whole, so readiness and
 * atomicity are the kernel's. An input is a socket of a relay (console_relay.c), a process without a key that reads what the program was given and
 * hands over whole frames: readiness is the kernel's again. A record stays in the queue until the program has had all of it.
 *
 * Order of locks: shields_lock, a channel's rx or tx, then the one around the cipher.
 */
#ifndef SCONE_RUNTIME_CONSOLE_H
#define SCONE_RUNTIME_CONSOLE_H

#include "core/buf.h"
#include "runtime/console_table.h"
#include "runtime/fd.h"
#include "runtime/net.h"

/* Parse the rules in env (they are taken out of it, wiped) and take effect. context: SESSION/SERVICE, or "". Waits for `scone console attach` if the rules
 * want it. 0 without any. -1: *err says which is wrong. */
MUST_USE int console_start(
	struct process *p, char **env, size_t *count, const char *context, struct error *err);
/* As those of net.h. */
MUST_USE int console_encode(struct process *p, struct buf *out);
MUST_USE int console_decode(struct process *p, struct rd *in);
void console_decode_fds(struct process *p);
void console_exec_failed(void);
void console_fork_prepare(void);
void console_fork_parent(struct process *p, long pid);
void console_fork_child(struct process *p);
void console_exit(struct process *p);
/* A line of the runtime's log, n bytes with its newline, to where the program's stderr goes. Without rules: to descriptor 2. */
void console_log_line(const char *line, size_t n);

/* Of fd_ops. */
int console_entered(struct process *p, int fd, int from, const struct fd_entry *e);
void console_left(struct process *p, int fd, const struct fd_entry *e);
/* fd, new in this process, is this: if it is a channel's it is known again. */
void console_adopt(struct process *p, int fd, uint64_t dev, uint64_t ino);

#define CONSOLE_NOT_OURS (1L << 40)
/* The program opens a name: a copy of a protected descriptor that it leads to, -errno where rules refuse it, or CONSOLE_NOT_OURS. */
long console_open_path(struct thread *t, int dirfd, const char *path, uint32_t flags);
/* fstat of a protected or refused descriptor: a pipe, whatever it is outside. */
struct stat;
struct statx;
void console_hide_kind(struct stat *st);
void console_hide_kindx(struct statx *st);

/* --- console_io.c --- */

/* flags of recv and send. The call's answer. */
long console_read(struct thread *t, int fd, struct console_channel *c, struct net_span *s, int flags);
long console_write(struct thread *t, int fd, struct console_channel *c, struct net_span *s, int flags);
/* Bytes that can be read without waiting, as far as the first record says, or -errno. */
long console_readable(int fd, struct console_channel *c);
/* Mark the end, waiting a while where the reader is slow; nothing if it is marked, or nobody reads. fd: any descriptor of it. */
void console_say_end(int fd, struct console_channel *c);
/* A line of the runtime's log into the stream, if that can be done without waiting. */
void console_note(int fd, struct console_channel *c, const char *line, size_t n);
/* All of p, waiting. Before the program runs. -errno. */
MUST_USE int console_write_raw(int fd, struct console_channel *c, const uint8_t *p, size_t n);
/* Around the use of a cipher. */
void console_engine_lock(void);
void console_engine_unlock(void);
void console_engine_fork_child(void);

/* --- console_relay.c --- */

/* Start a relay on fd, which becomes its socket. both: output, too. -errno. */
MUST_USE int console_relay_start(int fd, bool both);

#endif
