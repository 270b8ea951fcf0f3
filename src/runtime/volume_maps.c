#include "runtime/volume_maps.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>

#define PAGE_UP(n) (((n) + 4095) & ~4095UL)

uint64_t volume_maps_low = UINT64_MAX, volume_maps_high;

struct map {
	uint64_t addr, len, off;
	struct vfs_node node;
	bool may_write;
};

static struct map *maps;
static size_t count, room;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void find_bounds(void)
{
	uint64_t low = UINT64_MAX, high = 0;

	for (size_t i = 0; i < count; i++) {
		if (maps[i].addr < low)
			low = maps[i].addr;
		if (maps[i].addr + maps[i].len > high)
			high = maps[i].addr + maps[i].len;
	}
	__atomic_store_n(&volume_maps_low, low, __ATOMIC_RELEASE);
	__atomic_store_n(&volume_maps_high, high, __ATOMIC_RELEASE);
}

static int reserve(void)
{
	struct map *more;

	if (count < room)
		return 0;
	more = realloc(maps, (room + 64) * sizeof(*maps));
	if (!more)
		return -ENOMEM;
	maps = more;
	room += 64;
	return 0;
}

int volume_maps_add(uint64_t addr, uint64_t len, const struct vfs_node *node, uint64_t off, bool may_write)
{
	int rc;

	pthread_mutex_lock(&lock);
	rc = reserve();
	if (!rc) {
		maps[count++] = (struct map){addr, len, off, *node, may_write};
		find_bounds();
	}
	pthread_mutex_unlock(&lock);
	return rc;
}

/* Take [addr, end) out of one mapping; what is left behind it becomes one of its own. */
static void cut_one(const struct vfs_caller *c, size_t at, uint64_t addr, uint64_t end)
{
	struct map m = maps[at];
	uint64_t behind = m.addr + m.len;
	bool head = addr > m.addr, tail = end < behind;

	if (head)
		maps[at].len = addr - m.addr;
	if (tail) {
		struct map rest = {end, behind - end, m.off + (end - m.addr), m.node, m.may_write};

		if (!head) {
			maps[at] = rest;
			return;
		}
		if (reserve() == 0 && vfs_map_again(c, &m.node) == 0)
			maps[count++] = rest;
		return;
	}
	if (head)
		return;
	maps[at] = maps[--count];
	(void)vfs_unmap(c, &m.node);
}

static void cut_locked(const struct vfs_caller *c, uint64_t addr, uint64_t end)
{
	for (size_t i = count; i-- > 0;)
		if (addr < maps[i].addr + maps[i].len && end > maps[i].addr)
			cut_one(c, i, addr, end);
	find_bounds();
}

/* Nobody may write to pages that are being given up: an empty reservation takes their place first. */
static void blank(uint64_t addr, uint64_t end)
{
	for (size_t i = 0; i < count; i++) {
		uint64_t from = maps[i].addr > addr ? maps[i].addr : addr,
			 to = maps[i].addr + maps[i].len < end ? maps[i].addr + maps[i].len : end;

		if (from < to)
			(void)host_mmap((void *)from, to - from, PROT_NONE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
	}
}

void volume_maps_cut(const struct vfs_caller *c, uint64_t addr, uint64_t len)
{
	uint64_t end = PAGE_UP(addr + len);

	pthread_mutex_lock(&lock);
	blank(addr, end);
	cut_locked(c, addr, end);
	pthread_mutex_unlock(&lock);
}

void volume_maps_moved(
	const struct vfs_caller *c, uint64_t from, uint64_t old_len, uint64_t to, uint64_t new_len)
{
	old_len = PAGE_UP(old_len);
	new_len = PAGE_UP(new_len);
	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < count; i++) {
		struct map *m = &maps[i], moved;

		if (from < m->addr || from >= m->addr + m->len)
			continue;
		moved = (struct map){to, new_len, m->off + (from - m->addr), m->node, m->may_write};
		if (vfs_map_again(c, &moved.node))
			break;
		cut_locked(c, from, from + old_len);
		if (reserve() == 0)
			maps[count++] = moved;
		find_bounds();
		break;
	}
	pthread_mutex_unlock(&lock);
}

bool volume_maps_read_only(uint64_t addr, uint64_t len)
{
	bool ret = false;

	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < count && !ret; i++)
		ret = !maps[i].may_write && addr < maps[i].addr + maps[i].len && addr + len > maps[i].addr;
	pthread_mutex_unlock(&lock);
	return ret;
}

int volume_maps_sync(const struct vfs_caller *c, uint64_t addr, uint64_t len, bool durable)
{
	uint64_t end = PAGE_UP(addr + len);
	int ret = 0;

	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < count; i++) {
		const struct map *m = &maps[i];
		uint64_t from = m->addr > addr ? m->addr : addr,
			 to = m->addr + m->len < end ? m->addr + m->len : end;
		int rc;

		if (from >= to)
			continue;
		rc = vfs_map_sync(c, &m->node, m->off + (from - m->addr), to - from, durable);
		if (rc && !ret)
			ret = rc;
	}
	pthread_mutex_unlock(&lock);
	return ret;
}
