/*
 * rewrite_cache: plans of files, made once and handed over when the process executes another program.
 *
 * All functions are safe to call from several threads; those that fork hold rewrite_cache_lock around it.
 */
#ifndef SCONE_RUNTIME_REWRITE_CACHE_H
#define SCONE_RUNTIME_REWRITE_CACHE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include "core/buf.h"
#include "runtime/x86_64/rewrite_elf.h"
#include "runtime/x86_64/rewrite_plan.h"

#define REWRITE_CACHE_PLANS 512 /* most plans held */
#define REWRITE_CACHE_BYTES (4u << 20) /* most bytes they take together */

/* Plan for the mapping [file_off, file_off + len) of the file. A file that is no ELF file, or a range without code, gives an empty
 * plan. Offsets of sites count from file_off. 0 and *ret to free(), or -ENOMEM, -EINVAL (range too large), -EIO. */
__attribute__((warn_unused_result)) int rewrite_plan_build(
	int fd, const struct stat *st, uint64_t file_off, size_t len, struct rewrite_plan **ret);

/* The same for any source of bytes. */
__attribute__((warn_unused_result)) int rewrite_plan_source(
	struct elf_source src, uint64_t file_off, size_t len, struct rewrite_plan **ret);

/* As rewrite_plan_build, but looks into the cache first, by device, inode, size, both times, offset and length. *ret stays valid
 * until rewrite_plan_put. */
__attribute__((warn_unused_result)) int rewrite_plan_get(
	int fd, const struct stat *st, uint64_t file_off, size_t len, const struct rewrite_plan **ret);
/* The same for bytes from elsewhere that are what the file named by st holds. */
__attribute__((warn_unused_result)) int rewrite_plan_get_source(struct elf_source src, const struct stat *st,
	uint64_t file_off, size_t len, const struct rewrite_plan **ret);
void rewrite_plan_put(const struct rewrite_plan *plan);

/* Append the whole cache to b (check b->failed), and read what that wrote: 0, -EINVAL on anything malformed (plans before it are
 * kept), -ENOMEM. The bytes must come from a runtime that the reader trusts: whether displaced instructions may move is not
 * checked again. The format is this build's own. */
void rewrite_cache_encode(struct buf *b);
__attribute__((warn_unused_result)) int rewrite_cache_decode(const void *p, size_t n);

void rewrite_cache_lock(void);
void rewrite_cache_unlock(void);

#endif
