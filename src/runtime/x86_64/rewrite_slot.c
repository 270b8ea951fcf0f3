#include "runtime/x86_64/rewrite_slot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define JUMP_LEN 5
#define SYSCALL_LEN 2
#define LEA_LEN 7
#define JUMP_SLOT_LEN 6
#define HEAD_LEN                                                                                             \
	(LEA_LEN + JUMP_SLOT_LEN) /* of a REWRITE_TAIL trampoline, before the displaced instructions */
#define RET 0xc3
#define JUMP_REL8 0xeb
#define JUMP_REL32 0xe9
#define INT3 0xcc
#define GRANULES (SLOT_BLOCK / SLOT_ALIGN)

/* A window begins with e9 and the displacement d0 d1 d2 d3. In a REWRITE_TAIL window d1 lies where the instruction behind `syscall`
 * began, so d1 is made an int3: the trampoline goes where the displacement is xx cc xx xx. */
static uint64_t first_place(uint64_t native)
{
	return (native + JUMP_LEN + ((uint64_t)INT3 << 8)) % SLOT_BLOCK;
}

static bool take(uint8_t *used, size_t granule, size_t limit)
{
	if (granule + 2 > limit || used[granule] || used[granule + 1])
		return false;
	used[granule] = used[granule + 1] = 1;
	return true;
}

static uint64_t place_tail(uint8_t *used, uint64_t native, size_t *blocks)
{
	size_t limit = (size_t)GRANULES * SLOT_BLOCKS_MAX;

	for (size_t b = 0; b < SLOT_BLOCKS_MAX; b++) {
		uint64_t lo = b * SLOT_BLOCK + first_place(native), hi = lo + 255;

		for (uint64_t off = (lo + SLOT_ALIGN - 1) & ~(uint64_t)(SLOT_ALIGN - 1); off <= hi;
			off += SLOT_ALIGN) {
			size_t need = (off + SLOT_LEN + SLOT_BLOCK - 1) / SLOT_BLOCK;

			if (!take(used, off / SLOT_ALIGN, limit))
				continue;
			if (need > *blocks)
				*blocks = need;
			return off;
		}
	}
	return SLOT_NOWHERE;
}

static uint64_t place_mov(uint8_t *used, size_t *next, size_t *blocks)
{
	size_t limit = (size_t)GRANULES * SLOT_BLOCKS_MAX;

	for (; *next + 2 <= limit; ++*next) {
		if (!take(used, *next, limit))
			continue;
		if (*next / GRANULES + 1 > *blocks)
			*blocks = (*next + 1) / GRANULES + 1;
		return (uint64_t)*next * SLOT_ALIGN;
	}
	return SLOT_NOWHERE;
}

int slots_lay_out(struct slot *slots, size_t n, size_t *ret_blocks)
{
	uint8_t *used = calloc(SLOT_BLOCKS_MAX, GRANULES);
	size_t blocks = 1, next = 0;

	if (!used)
		return -ENOMEM;
	used[SLOT_ENTRY_POINTER / SLOT_ALIGN] = 1;
	for (size_t i = 0; i < n; i++)
		if (slots[i].form == REWRITE_TAIL)
			slots[i].tramp = place_tail(used, slots[i].native, &blocks);
	for (size_t i = 0; i < n; i++)
		if (slots[i].form == REWRITE_MOV)
			slots[i].tramp = place_mov(used, &next, &blocks);
	free(used);
	*ret_blocks = blocks;
	return 0;
}

static bool put_rel32(uint8_t *at, uint64_t end, uint64_t target)
{
	int64_t rel = (int64_t)(target - end);
	int32_t v = (int32_t)rel;

	memcpy(at, &v, sizeof v);
	return rel == v;
}

/* The window's code that the trampoline repeats as it is: its end. *ret_next: where it goes on from there; 0 if it ends in a return. */
static size_t displaced_end(const struct rewrite_site *site, uint64_t native, uint64_t *ret_next)
{
	size_t last = 31 - (size_t)__builtin_clz(site->bounds);
	const uint8_t *p = site->bytes + last;
	int32_t rel;

	switch (p[0]) {
	case RET:
		*ret_next = 0;
		return last + 1;
	case JUMP_REL8:
		*ret_next = native + last + 2 + (uint64_t)(int64_t)(int8_t)p[1];
		return last;
	case JUMP_REL32:
		memcpy(&rel, p + 1, sizeof rel);
		*ret_next = native + last + JUMP_LEN + (uint64_t)(int64_t)rel;
		return last;
	}
	*ret_next = native + site->len;
	return site->len;
}

static void emit_tail(const struct slot *slot, const struct rewrite_site *site, uint8_t *out, bool *ok)
{
	uint64_t next;
	size_t n = displaced_end(site, slot->native, &next) - SYSCALL_LEN;

	memcpy(out, site->bytes + SYSCALL_LEN, n);
	if (next == 0)
		return;
	out[n] = JUMP_REL32;
	n += JUMP_LEN;
	*ok = put_rel32(out + n - 4, slot->tramp + HEAD_LEN + n, next) && *ok;
}

bool slot_emit(const struct slot *slot, const struct rewrite_site *site, uint64_t entry_pointer,
	uint8_t out[SLOT_LEN])
{
	bool tail = slot->form == REWRITE_TAIL, ok;
	size_t n = 0;

	memset(out, INT3, SLOT_LEN);
	if (!tail) {
		memcpy(out, site->bytes, site->len);
		n = site->len;
	}
	/* lea next(%rip),%rcx */
	memcpy(out + n, "\x48\x8d\x0d", 3);
	n += LEA_LEN;
	ok = put_rel32(out + n - 4, slot->tramp + n,
		tail ? slot->tramp + HEAD_LEN : slot->native + site->len + SYSCALL_LEN);
	/* jmp *entry(%rip) */
	memcpy(out + n, "\xff\x25", 2);
	n += JUMP_SLOT_LEN;
	ok = put_rel32(out + n - 4, slot->tramp + n, entry_pointer) && ok;
	if (tail)
		emit_tail(slot, site, out + n, &ok);
	return ok && put_rel32((uint8_t[4]){0}, slot->native + JUMP_LEN, slot->tramp);
}

void slot_window(const struct slot *slot, uint8_t out[REWRITE_WINDOW_MAX])
{
	memset(out, INT3, REWRITE_WINDOW_MAX);
	out[0] = JUMP_REL32;
	put_rel32(out + 1, slot->native + JUMP_LEN, slot->tramp);
}

uint64_t slot_native(const struct slot *slot, uint64_t ip)
{
	uint64_t d = ip - slot->tramp, k;

	if (slot->form == REWRITE_MOV || d < HEAD_LEN)
		return slot->native;
	k = d - HEAD_LEN + SYSCALL_LEN;
	if (k >= slot->len)
		return slot->native + slot->len;
	/* the boundary at or below k */
	return slot->native + 31 - (uint64_t)__builtin_clz(slot->bounds & ((2u << k) - 1));
}

uint64_t slot_resume(const struct slot *slot, uint64_t native)
{
	uint64_t k = native - slot->native;

	if (slot->form != REWRITE_TAIL || k == 0 || k >= slot->len || !(slot->bounds >> k & 1))
		return 0;
	return slot->tramp + HEAD_LEN + k - SYSCALL_LEN;
}
