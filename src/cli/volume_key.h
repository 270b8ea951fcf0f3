/*
 * volume_key: the file that holds the key of a volume. 64 hexadecimal digits, with or without a newline, or the 32 bytes themselves.
 */
#ifndef SCONE_CLI_VOLUME_KEY_H
#define SCONE_CLI_VOLUME_KEY_H

#include <stdbool.h>
#include <stdint.h>
#include "core/error.h"
#include "shield/fs/volume.h"

/* Read the key. A pipe will do, so that it need not lie on a disk. ERR_NOT_FOUND; ERR_ACCESS: it belongs to somebody else than this user or
 * root, or others can read it; ERR_INPUT: no key. The caller wipes ret. */
MUST_USE int volume_key_read(const char *path, uint8_t ret[VOLUME_KEY_LEN], struct error *err);
/* As volume_key_read; where there is no file, one is made with mode 0600 and a random key, flushed with its directory. */
MUST_USE int volume_key_make(
	const char *path, uint8_t ret[VOLUME_KEY_LEN], bool *ret_made, struct error *err);

#endif
