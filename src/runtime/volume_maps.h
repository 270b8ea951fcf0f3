/*
 * volume_maps: where this process has files of volumes mapped shared. What is unmapped, moved or mapped over has to be told to vfs, which keeps
 * the content of such files in the pages object until nobody maps them any more.
 *
 * Used within volumes_enter and volumes_leave, but for volume_maps_overlap.
 */
#ifndef SCONE_RUNTIME_VOLUME_MAPS_H
#define SCONE_RUNTIME_VOLUME_MAPS_H

#include "core/error.h"
#include "runtime/runtime.h"
#include "shield/fs/vfs.h"

/* All lie in between; low is UINT64_MAX where there are none. */
extern uint64_t volume_maps_low, volume_maps_high;

/* Conservative, without a lock, general registers only. */
static inline bool volume_maps_overlap(uint64_t addr, uint64_t len)
{
	return addr < __atomic_load_n(&volume_maps_high, __ATOMIC_ACQUIRE) &&
	       addr + len > __atomic_load_n(&volume_maps_low, __ATOMIC_ACQUIRE);
}

/* The mapping [addr, addr+len) of node from off on. -ENOMEM. */
MUST_USE int volume_maps_add(
	uint64_t addr, uint64_t len, const struct vfs_node *node, uint64_t off, bool may_write);
/* The range is unmapped: whatever was there. What still is there is taken out of sight first, for content may be written back now. */
void volume_maps_cut(const struct vfs_caller *c, uint64_t addr, uint64_t len);
/* mremap has moved old_len bytes at from to to, where they are new_len. */
void volume_maps_moved(
	const struct vfs_caller *c, uint64_t from, uint64_t old_len, uint64_t to, uint64_t new_len);
/* Does the range touch a mapping whose descriptor could not write? */
bool volume_maps_read_only(uint64_t addr, uint64_t len);
/* msync. */
MUST_USE int volume_maps_sync(const struct vfs_caller *c, uint64_t addr, uint64_t len, bool durable);

#endif
