/*
 * volume_rights: descriptors of files in volumes that go to another process of the application in a message (SCM_RIGHTS).
 *
 * What the kernel carries is a ticket: an empty file, the placeholder of all volumes, opened anew, whose offset is a number under which vfs keeps
 * the file (vfs_send). Who has no part in the application receives that empty file, read only.
 */
#ifndef SCONE_RUNTIME_VOLUME_RIGHTS_H
#define SCONE_RUNTIME_VOLUME_RIGHTS_H

#include <sys/socket.h>
#include "core/error.h"
#include "runtime/runtime.h"

#define RIGHTS_CONTROL_MAX 4096 /* bytes of control data that can be sent with such a descriptor */
#define RIGHTS_MAX 253 /* descriptors in one message: the kernel's SCM_MAX_FD */

struct rights {
	_Alignas(
		8) uint8_t control[RIGHTS_CONTROL_MAX]; /* what is to be sent in place of the message's own */
	uint32_t count;
	struct {
		int fd;
		uint64_t token;
	} ticket[RIGHTS_MAX];
};

/* 1: h, copied from the program, has such descriptors, and *ret is ready: h's control data is in it, too. 0: it has none. -errno. In vfs. */
MUST_USE int rights_pack(struct thread *t, struct msghdr *h, struct rights *ret);
/* After it was sent, or was not. In vfs. */
void rights_done(struct thread *t, struct rights *r, bool sent);
/* fd came to this process, with that identity: if it is a ticket it stands for its file from now on. peek: the same message will be received
 * again. Not in vfs. */
void rights_receive(struct thread *t, int fd, uint64_t dev, uint64_t ino, bool peek);

#endif
