/*
 * keyfile: a secret kept in one file of a private directory, made on first use.
 */
#ifndef SCONE_TEE_KEYFILE_H
#define SCONE_TEE_KEYFILE_H

#include "core/buf.h"
#include "core/error.h"

#define KEYFILE_MAX 4096

/* Make the directory (mode 0700; its parent must exist) or check that it is ours and nobody else may write into it.
 * Returns a descriptor of it that the caller closes, or -1. */
MUST_USE int keyfile_dir(const char *path, struct error *err);

/*
 * Append the content of dir/name to out (a secret buf). If there is none, make() fills a secret buf and that content is
 * written, mode 0600, so that after a crash the file is whole or absent; of several starting at once, one writes and all read the
 * same. ERR_ACCESS: the file is not ours, or its mode lets others in. dir_name is for messages.
 */
MUST_USE int keyfile_load(int dir, const char *dir_name, const char *name,
	int (*make)(struct buf *out, struct error *err), struct buf *out, struct error *err);

#endif
