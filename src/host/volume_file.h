/*
 * volume_file: the block device of a volume (shield/fs/volume.h) over one file of the host.
 *
 * A volume is named by a path: a directory, then its file is VOLUME_FILE_NAME in it; or the file itself, a block device included. The file
 * is locked while it is open (open file description locks, fcntl(2)): one writer or several readers, over processes and machines as far as
 * the host's file system carries locks. Duplicates of the descriptor, after fork too, are the same holder.
 *
 * Calls go to the kernel directly (host.h): no libc state is touched, and functions answer 0 or -errno. What failed last is kept for a
 * message: operation, where, how many bytes, errno. read, write, flush and discard are for struct volume_env, with the volume_file as ctx, and
 * may be called by several threads.
 */
#ifndef SCONE_HOST_VOLUME_FILE_H
#define SCONE_HOST_VOLUME_FILE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "core/error.h"

#define VOLUME_FILE_NAME "volume.scone"
#define VOLUME_FILE_PATH_MAX 4096 /* with NUL */

struct volume_file_failure {
	const char *operation; /* "open", "lock", "read" …; NULL: nothing failed */
	int error; /* errno */
	uint64_t off, n; /* bytes; 0, 0 where it was none of read, write, discard */
};

struct volume_file {
	int fd;
	bool read_only, device;
	atomic_bool no_discard; /* the host cannot */
	atomic_int
		flush_error; /* errno of the first failed flush: what was written then may be lost, no later flush can tell */
	_Atomic uint64_t size; /* bytes of the file, as far as this process knows */
	struct volume_file_failure failure; /* the newest; a hint, written without a lock */
	char path[VOLUME_FILE_PATH_MAX]; /* of the file */
};

#define VOLUME_FILE_READ_ONLY 1u
/* Make the file (mode 0600), and where path does not exist the directory (mode 0700). A file that has content is -EEXIST. */
#define VOLUME_FILE_CREATE 2u
/* With CREATE: content is thrown away. */
#define VOLUME_FILE_REPLACE 4u

/* -ENOENT: no such path, or no volume in the directory. -EBUSY: another process has it open. -EMEDIUMTYPE: neither file nor block device.
 * -ENAMETOOLONG, and what the host answers. On failure nothing is open; path and failure are set all the same. */
MUST_USE int volume_file_open(struct volume_file *f, const char *path, unsigned int flags);
void volume_file_close(struct volume_file *f); /* gives the lock up; idempotent */

/* off and n are multiples of the block size. Bytes beyond the end of the file are zeros; -ENODATA if all are. */
MUST_USE int volume_file_read(void *ctx, uint64_t off, void *p, size_t n);
/* Whole or -errno: -ENOSPC, -EDQUOT, -EFBIG, -EIO … A file grows in steps, so that few writes change its length. */
MUST_USE int volume_file_write(void *ctx, uint64_t off, const void *p, size_t n);
/* fdatasync. Once it has failed it fails for good. */
MUST_USE int volume_file_flush(void *ctx);
/* Gives the space back where the host can; a failure is none of the caller's. */
void volume_file_discard(void *ctx, uint64_t off, uint64_t n);
/* Cut the file to size bytes; nothing on a block device, or if it is shorter. */
MUST_USE int volume_file_cut(struct volume_file *f, uint64_t size);

/* "write of 65536 bytes at 1048576 in PATH: No space left on device", at most n bytes with NUL. */
void volume_file_failure_text(const struct volume_file *f, char *ret, size_t n);

#endif
