/*
 * rewrite_slot: one trampoline: where it may lie and what it holds.
 */
#ifndef SCONE_RUNTIME_REWRITE_SLOT_H
#define SCONE_RUNTIME_REWRITE_SLOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "runtime/x86_64/rewrite_plan.h"

#define SLOT_LEN 32 /* bytes of a trampoline at most */
#define SLOT_ALIGN 16
#define SLOT_BLOCK 65536 /* regions are whole blocks and begin at a multiple */
#define SLOT_BLOCKS_MAX 64
#define SLOT_ENTRY_POINTER 0 /* offset in the region of the address of the entry */

struct slot {
	uint64_t native; /* start of the window */
	uint64_t tramp; /* start of the trampoline; while laying out, its offset in the region */
	uint16_t bounds; /* as in struct rewrite_site */
	uint8_t form, len;
	uint8_t live; /* the window is patched now; read without a lock */
};

/* Give every slot an offset in a region of as few blocks as possible. Slots that find no place in SLOT_BLOCKS_MAX blocks get
 * tramp = SLOT_NOWHERE. *ret_blocks is at least 1. 0 or -ENOMEM. */
#define SLOT_NOWHERE UINT64_MAX
__attribute__((warn_unused_result)) int slots_lay_out(struct slot *slots, size_t n, size_t *ret_blocks);

/* Write the trampoline of slot (tramp is an address) for site to out, int3 behind it. entry_pointer is the address of the pointer.
 * False if a displacement does not fit. */
bool slot_emit(const struct slot *slot, const struct rewrite_site *site, uint64_t entry_pointer,
	uint8_t out[SLOT_LEN]);

/* The bytes that the window gets: jump to the trampoline, then int3. */
void slot_window(const struct slot *slot, uint8_t out[REWRITE_WINDOW_MAX]);

/* ip is in [tramp, tramp + SLOT_LEN): the native address it stands for. */
uint64_t slot_native(const struct slot *slot, uint64_t ip);
/* native is window + k: the address of the displaced instruction, 0 if there is none. */
uint64_t slot_resume(const struct slot *slot, uint64_t native);

#endif
