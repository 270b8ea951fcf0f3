/*
 * verb_volume: what the verbs of `scone volume` share.
 */
#ifndef SCONE_CLI_VERB_VOLUME_H
#define SCONE_CLI_VERB_VOLUME_H

#include "cli/cli.h"
#include "cli/volume_session.h"
#include "core/buf.h"

/* The key of --volume-key-file. The caller wipes it. */
MUST_USE int volume_args_key(const struct args *a, uint8_t ret[VOLUME_KEY_LEN], struct error *err);
/* Open with --volume-key-file, --at-least, --size (how large it may become). */
MUST_USE int volume_args_open(
	const struct args *a, const char *path, bool read_only, struct volume_session *s, struct error *err);
/* Make a volume: --volume-key-file (made if it is not there), --label, --force, and --size or else size bytes. */
MUST_USE int volume_args_create(const struct args *a, const char *path, uint64_t size, struct error *err);
/* Say the error; its exit code. */
int volume_fail(const struct args *a, const struct error *err);
/* Print what `volume info` prints, and close. The exit code. */
int volume_print(const struct args *a, struct volume_session *s);
/* The exit code, or 128 + N if signal N was what stopped the verb. */
int volume_stopped(int code);
/* Append a whole file, of at most max bytes, to out. */
MUST_USE int volume_read_file(const char *path, size_t max, struct buf *out, struct error *err);

#endif
