/*
 * siphash: SipHash-2-4 (Aumasson, Bernstein, 2012): a keyed hash of short input, 64 bits.
 */
#ifndef SCONE_SHIELD_FS_SIPHASH_H
#define SCONE_SHIELD_FS_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t siphash(const uint64_t key[2], const void *p, size_t n);

#endif
