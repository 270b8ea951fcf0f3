/*
 * volume_session: a volume as the command line has it: its file, its memory, the engine, and what is said when something goes wrong.
 */
#ifndef SCONE_CLI_VOLUME_SESSION_H
#define SCONE_CLI_VOLUME_SESSION_H

#include "cli/cli.h"
#include "host/volume_file.h"
#include "shield/fs/volume.h"

struct volume_session {
	struct volume_file file;
	struct volume *v; /* NULL: closed */
	void *arena;
	size_t arena_len;
	struct volume_open_report report;
	struct volume_fault fault; /* the first; structure NULL: none */
	uint64_t faults;
	void (*on_fault)(
		void *ctx, const struct volume_fault *f); /* may be NULL; every fault, as it is found */
	void *on_fault_ctx;
};

/* Keys and plaintext are in this process from now on: no core file, no debugger. */
void volume_session_protect(void);

/* A new, empty volume at path (volume_file.h says what that may be). ERR_EXISTS: there is one, unless replace. After a crash there is a
 * whole volume or none, but on a block device. */
MUST_USE int volume_session_create(const char *path, const uint8_t key[VOLUME_KEY_LEN],
	const struct volume_create_options *o, bool replace, struct error *err);

struct volume_session_options {
	bool read_only;
	uint64_t max_size; /* bytes it may grow to; 0: no growth */
	const struct volume_version *at_least; /* or NULL */
};
/* s need not be set up. on_fault of s is kept. Errors: ERR_NOT_FOUND, for an empty
 * file too; ERR_CONFLICT: in use; ERR_CRYPTO: damaged, older, or another key. */
MUST_USE int volume_session_open(struct volume_session *s, const char *path,
	const uint8_t key[VOLUME_KEY_LEN], const struct volume_session_options *o, struct error *err);
/* Commits. After it s is closed, whatever it answers. */
MUST_USE int volume_session_close(struct volume_session *s, struct error *err);
/* Close without a commit; nothing if it is closed. */
void volume_session_drop(struct volume_session *s);

/* The sentence for what the engine or its file answered: context, and why. rc is -errno. */
int volume_session_error(struct volume_session *s, int rc, struct error *err, const char *fmt, ...)
	PRINTF_LIKE(4, 5);
/* The exit code for an error of these verbs: as cli_exit_code, and CLI_DAMAGED. */
int volume_exit_code(const struct error *err);
/* "0123…:tag in hex", decimal generation first. */
#define VOLUME_VERSION_TEXT 64
void volume_version_text(const struct volume_version *v, char ret[VOLUME_VERSION_TEXT]);
MUST_USE int volume_version_parse(const char *text, struct volume_version *ret, struct error *err);
/* Bytes, with an optional K, M, G or T (powers of 1024). */
MUST_USE int volume_size_parse(const char *text, uint64_t *ret, struct error *err);

/* Inode of a path below the root; symbolic links are not followed. */
MUST_USE int volume_session_find(
	struct volume_session *s, const char *path, struct volume_attr *ret, struct error *err);

#endif
