/*
 * measure: what code is about to run, as one SHA-256. Shared by runtime, LAS and the command line.
 *
 * closure   the program, the interpreters of its `#!` lines, its ELF interpreter and every library it names (DT_NEEDED,
 *           transitively), found as ld.so(8) would find them with an empty LD_LIBRARY_PATH: RPATH/RUNPATH with $ORIGIN,
 *           /etc/ld.so.cache, default directories.
 * extension a further file that the program may map or execute later, and that file's closure: a plugin, a program, a script.
 * manifest  the closure and its extensions as a list of (role, path, SHA-256 of the file), sorted by path, then role.
 * root      SHA-256("openscone-manifest-v1" NUL, then for each entry: role byte, u32be path length, path, digest).
 * measurement  SHA-256("openscone-measurement-v1" NUL, runtime digest, manifest root): the session language's mrenclave.
 */
#ifndef SCONE_MEASURE_MEASURE_H
#define SCONE_MEASURE_MEASURE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "core/error.h"
#include "crypto/hash.h"

/* A script is a file with a `#!` line, the program the ELF file that the kernel ends up with, the interpreter its PT_INTERP.
 * Both words mean what is started. Programs and scripts of an extension are executables: they may be executed, but what is started is
 * still told apart, and with it the measurement. A file with several roles has the first of them in this order, whoever gives it. */
enum code_role { CODE_PROGRAM = 1, CODE_SCRIPT = 2, CODE_INTERP = 3, CODE_LIBRARY = 4, CODE_EXECUTABLE = 5 };

struct code_entry {
	enum code_role role;
	char *path; /* absolute, symlinks resolved, owned */
	uint8_t digest[SHA256_LEN];
	uint64_t size; /* bytes; not part of the root */
	dev_t dev; /* identity of the file that was hashed; not part of the root */
	ino_t ino;
};

struct manifest {
	struct code_entry *entries; /* owned, sorted */
	size_t count;
};

/* Limits: a manifest holds at most MANIFEST_MAX entries with paths below 4096 bytes. */
#define MANIFEST_MAX 1024

const char *code_role_name(
	enum code_role role); /* "program", "script", "interpreter", "library", "executable" */

/* The one place of measure that does I/O. program is a path (no PATH search). An unreadable or malformed file, or a library that is not
 * found, is an error that names the file and who needs it. */
MUST_USE int closure_compute(const char *program, struct manifest *ret, struct error *err);

/*
 * Add the closure of a further file to a manifest that closure_compute made: the union by path, sorted, so that the order of calls does not
 * count. A shared library (ET_DYN without PT_INTERP and DF_1_PIE) comes with its libraries as if the manifest's program had loaded it;
 * any other file as closure_compute would take it, with CODE_EXECUTABLE for CODE_PROGRAM and CODE_SCRIPT.
 * named: all files that the manifest is extended by. A library of a shared library that is not found counts as found if one of them has its
 * file name: a program that is executed later may have loaded it from where only that program looks.
 * Errors as for closure_compute; ERR_CONFLICT: a file was replaced since it was measured. On failure *m is as before.
 */
MUST_USE int closure_extend(const char *file, const char *const *named, size_t named_count,
	struct manifest *m, struct error *err);

/* As closure_compute, with digest and size of each file from `how`: measure_fd, or what does more with the content it hashes. */
typedef int (*measure_fn)(int fd, uint8_t ret[SHA256_LEN], uint64_t *ret_size, struct error *err);
MUST_USE int closure_compute_by(measure_fn how, const char *program, struct manifest *ret, struct error *err);

/* SHA-256 of a whole file through an open descriptor (pread from 0; the offset does not move). */
MUST_USE int measure_fd(int fd, uint8_t ret[SHA256_LEN], uint64_t *ret_size, struct error *err);

void manifest_init(struct manifest *m);
void manifest_free(struct manifest *m);
/* Copies path. ERR_LIMIT over MANIFEST_MAX. manifest_sort before manifest_root. */
MUST_USE int manifest_add(struct manifest *m, enum code_role role, const char *path,
	const uint8_t digest[SHA256_LEN], struct error *err);
/* Take over the entries of from, which is left empty; a path that both have is kept once, with the smaller role. ERR_CONFLICT: their
 * digests differ; ERR_LIMIT, ERR_NOMEM: both are as before. Sorts to. */
MUST_USE int manifest_merge(struct manifest *to, struct manifest *from, struct error *err);
void manifest_sort(struct manifest *m);
void manifest_root(const struct manifest *m, uint8_t ret[SHA256_LEN]);
void measurement(
	const uint8_t runtime_digest[SHA256_LEN], const uint8_t root[SHA256_LEN], uint8_t ret[SHA256_LEN]);

#endif
