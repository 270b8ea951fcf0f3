/*
 * intent_log: what fsync writes: one record with every change since the last commit or record, of names and attributes anywhere, and of the content of
 * the files that fsync was asked for. A record counts as a whole or not at all. The flow lock is held.
 */
#ifndef SCONE_SHIELD_FS_INTENT_LOG_H
#define SCONE_SHIELD_FS_INTENT_LOG_H

#include "shield/fs/handle.h"

#define LOG_RECORD_BLOCKS 512 /* longer ones are commits instead */
#define LOG_FULL 1

/* Append and flush. LOG_FULL: it does not fit or cannot be expressed, commit instead. 0 also when nothing was to be logged. */
MUST_USE int log_append(struct volume *v);

/* Apply the records that build on the superblock that was opened; state, as far as the superblock and the space map say, is set.
 * *ret_records: how many. Changes are in memory only. -EBADMSG: a record is damaged though a later one is whole. */
MUST_USE int log_replay(struct volume *v, uint64_t *ret_records);

#endif
