/*
 * commit: everything to the device, then the superblock that says so. And the superblocks themselves.
 */
#ifndef SCONE_SHIELD_FS_COMMIT_H
#define SCONE_SHIELD_FS_COMMIT_H

#include "shield/fs/handle.h"

/* The flow lock is held. */
MUST_USE int commit_all(struct volume *v);
/* Tell publish about the durable version, if it has not been told. The flow lock is held, the state lock is not. */
MUST_USE int commit_publish(struct volume *v);
/* Write changed blocks until `frames` can be had and changes are no longer most of the cache. No lock is held. */
MUST_USE int commit_make_room(struct volume *v, uint32_t frames);
/* Tell the device what commits have freed, which nobody has to wait for. No lock is held. */
void commit_discard(struct volume *v);
/* Write some changed blocks of a file that is written in order, below this block, unless others are writing: no more than a help, so it answers
 * nothing; what fails shows in the next operation. passing: not kept in the cache. No lock is held. */
void commit_stream(struct volume *v, uint64_t ino, uint64_t below, bool passing);
/* The flow lock's holder died: make its half-done work whole. */
void commit_recover(struct volume *v);

/* Read and open a superblock. -EBADMSG, reported when report is set. Sets nothing but *ret and, from it, the handle's id. */
MUST_USE int super_read(struct volume *v, unsigned int slot, bool report, struct format_super *ret);
/* The newer one of both; *ret_damaged: one is not authentic. -EBADMSG: neither is. */
MUST_USE int super_newest(struct volume *v, struct format_super *ret, bool *ret_damaged);

#endif
