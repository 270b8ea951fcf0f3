/*
 * memory: what a process has mapped, judged from the text of /proc/PID/smaps.
 */
#ifndef SCONE_LAS_MEMORY_H
#define SCONE_LAS_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include "core/error.h"

#define MEMORY_TEXT_MAX (256 * 1024) /* of /proc/PID/smaps; a runtime that hosts nothing has about 10 KiB */

/* A file as the kernel names it in lists of mappings. On btrfs and overlayfs stat(2) gives other numbers for the same file. */
struct image {
	unsigned major, minor;
	unsigned long long ino;
};

/* Learn the numbers by mapping the file into this process, unread. */
MUST_USE int memory_image(int fd, struct image *ret, struct error *err);

/*
 * Text of /proc/PID/smaps, up to MEMORY_TEXT_MAX bytes of it; cut: there was more. ERR_PEER unless
 * - no file is mapped, executable or not, but the runtime's own image,
 * - nothing is executable but that image, [vdso] and [vsyscall],
 * - nothing executable is writable, or has a page that differs from its file,
 * - the image is there.
 * A mapping that breaks a rule is named. path is the image's, for the message.
 */
MUST_USE int memory_check(const char *text, size_t n, bool cut, const struct image *image, pid_t pid,
	const char *path, struct error *err);

#endif
