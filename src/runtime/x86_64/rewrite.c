#include "runtime/x86_64/rewrite.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "host/host.h"
#include "runtime/x86_64/rewrite_slot.h"

/* Trampolines of one mapping. Never freed and, but for `live`, never changed once it is in the list, so readers need no lock. */
struct region {
	struct region *next;
	uint64_t lo, hi; /* the trampolines' pages */
	uint64_t image_lo, image_hi; /* first window's start, last window's end */
	uint32_t count;
	struct slot *slots; /* by native address */
	uint32_t *by_tramp; /* indices into slots, by trampoline */
};

static struct {
	pthread_mutex_t lock; /* writers */
	struct region *first; /* read with acquire, without the lock */
	struct rewrite_counters counters;
} engine = {.lock = PTHREAD_MUTEX_INITIALIZER};

void rewrite_lock(void)
{
	pthread_mutex_lock(&engine.lock);
}

void rewrite_unlock(void)
{
	pthread_mutex_unlock(&engine.lock);
}

static struct region *regions(void)
{
	return __atomic_load_n(&engine.first, __ATOMIC_ACQUIRE);
}

/* --- from the trampoline to the code and back --- */

bool rewrite_native_ip(uint64_t ip, uint64_t *ret_native)
{
	for (const struct region *r = regions(); r; r = r->next) {
		size_t lo = 0, hi = r->count;
		const struct slot *s;

		if (ip < r->lo || ip >= r->hi)
			continue;
		while (lo < hi) {
			size_t mid = lo + (hi - lo) / 2;

			if (r->slots[r->by_tramp[mid]].tramp <= ip)
				lo = mid + 1;
			else
				hi = mid;
		}
		if (lo == 0)
			return false;
		s = &r->slots[r->by_tramp[lo - 1]];
		if (ip - s->tramp >= SLOT_LEN)
			return false;
		*ret_native = slot_native(s, ip);
		return true;
	}
	return false;
}

bool rewrite_resume_ip(uint64_t native_ip, uint64_t *ret)
{
	for (const struct region *r = regions(); r; r = r->next) {
		size_t lo = 0, hi = r->count;
		const struct slot *s;
		uint64_t at;

		if (native_ip <= r->image_lo || native_ip >= r->image_hi)
			continue;
		while (lo < hi) {
			size_t mid = lo + (hi - lo) / 2;

			if (r->slots[mid].native <= native_ip)
				lo = mid + 1;
			else
				hi = mid;
		}
		if (lo == 0)
			continue;
		s = &r->slots[lo - 1];
		at = slot_resume(s, native_ip);
		/* An old region may describe what lay here before: only a live site speaks. */
		if (at == 0 || !__atomic_load_n(&s->live, __ATOMIC_ACQUIRE))
			continue;
		*ret = at;
		return true;
	}
	return false;
}

bool rewrite_owns(const void *addr, size_t len)
{
	uint64_t lo = (uint64_t)addr, hi = lo + len;

	for (const struct region *r = regions(); r; r = r->next)
		if (lo < r->hi && hi > r->lo)
			return true;
	return false;
}

void rewrite_forget(const void *addr, size_t len)
{
	uint64_t lo = (uint64_t)addr, hi = lo + len;

	for (struct region *r = regions(); r; r = r->next) {
		if (lo >= r->image_hi || hi <= r->image_lo)
			continue;
		for (uint32_t i = 0; i < r->count; i++)
			if (r->slots[i].native < hi && r->slots[i].native + r->slots[i].len > lo)
				__atomic_store_n(&r->slots[i].live, 0, __ATOMIC_RELEASE);
	}
}

/* --- room for trampolines --- */

#define REACH 0x7fff0000ull /* bytes that a rel32 spans, less a margin */
#define LOWEST 0x10000ull
#define HIGHEST 0x7ffffff00000ull

static bool in_reach(uint64_t at, size_t size, uint64_t image_lo, uint64_t image_hi)
{
	uint64_t lo = at < image_lo ? at : image_lo;
	uint64_t hi = at + size > image_hi ? at + size : image_hi;

	return hi - lo <= REACH;
}

/* A mapping at exactly this address, or 0. Kernels before 4.17 take MAP_FIXED_NOREPLACE for a hint. */
static uint64_t map_at(uint64_t at, size_t size)
{
	long got = host_mmap((void *)at, size, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	if (host_failed(got))
		return 0;
	if ((uint64_t)got == at)
		return at;
	host_munmap((void *)got, size);
	return 0;
}

/* Distances to try: close ones in small steps, far ones in large. */
static uint64_t next_distance(uint64_t d)
{
	if (d < (16ull << 16))
		return d + (1ull << 16);
	if (d < (64ull << 20))
		return d + (1ull << 20);
	return d + (16ull << 20);
}

static uint64_t map_near(uint64_t image_lo, uint64_t image_hi, size_t size)
{
	uint64_t top = image_lo & ~(uint64_t)(SLOT_BLOCK - 1),
		 bottom = (image_hi + SLOT_BLOCK - 1) & ~(uint64_t)(SLOT_BLOCK - 1);
	uint64_t at, got;

	for (uint64_t d = 0; d < REACH; d = next_distance(d)) {
		if (top < size + d + LOWEST)
			break;
		at = top - size - d;
		if (!in_reach(at, size, image_lo, image_hi))
			break;
		got = map_at(at, size);
		if (got)
			return got;
	}
	for (uint64_t d = 0; d < REACH; d = next_distance(d)) {
		at = bottom + d;
		if (at + size > HIGHEST || !in_reach(at, size, image_lo, image_hi))
			break;
		got = map_at(at, size);
		if (got)
			return got;
	}
	return 0;
}

/* --- applying --- */

struct job {
	uint8_t *addr;
	size_t len;
	const struct rewrite_plan *plan;
	void (*entry)(void);
	const struct rewrite_site **sites; /* that are there as planned, in the order of slots */
	struct slot *slots;
	size_t count;
};

static size_t kept_bytes(const struct rewrite_site *s)
{
	return s->len + (s->form == REWRITE_MOV ? 2u : 0u);
}

/* Collect the sites that the mapping holds as the plan saw them. */
static int collect(struct job *j)
{
	j->sites = malloc((j->plan->count + 1) * sizeof *j->sites);
	j->slots = calloc(j->plan->count + 1, sizeof *j->slots);
	if (!j->sites || !j->slots)
		return -ENOMEM;
	for (uint32_t i = 0; i < j->plan->count; i++) {
		const struct rewrite_site *s = &j->plan->sites[i];

		if (s->off + kept_bytes(s) > j->len)
			continue;
		if (memcmp(j->addr + s->off, s->bytes, kept_bytes(s)) != 0) {
			engine.counters.differs++;
			continue;
		}
		j->sites[j->count] = s;
		j->slots[j->count++] = (struct slot){.native = (uint64_t)(j->addr + s->off),
			.bounds = s->bounds,
			.form = s->form,
			.len = s->len};
	}
	return 0;
}

/* Drop slots without a place. */
static void keep_placed(struct job *j)
{
	size_t kept = 0;

	for (size_t i = 0; i < j->count; i++) {
		if (j->slots[i].tramp == SLOT_NOWHERE)
			continue;
		j->sites[kept] = j->sites[i];
		j->slots[kept++] = j->slots[i];
	}
	engine.counters.no_room += (uint32_t)(j->count - kept);
	j->count = kept;
}

static void patch(struct region *r)
{
	for (uint32_t i = 0; i < r->count; i++) {
		struct slot *s = &r->slots[i];
		uint8_t window[REWRITE_WINDOW_MAX];

		slot_window(s, window);
		memcpy((void *)s->native, window, s->len);
		__atomic_store_n(&s->live, 1, __ATOMIC_RELEASE);
	}
	engine.counters.patched += r->count;
	engine.counters.images++;
}

/* A region whose sites all went away and which holds exactly the trampolines that this job needs. */
static struct region *find_old(const struct job *j)
{
	for (struct region *r = regions(); r; r = r->next) {
		uint64_t entry;
		size_t i;

		memcpy(&entry, (const void *)(r->lo + SLOT_ENTRY_POINTER), sizeof entry);
		if (r->count != j->count || entry != (uint64_t)j->entry)
			continue;
		for (i = 0; i < j->count; i++) {
			const struct slot *old = &r->slots[i], *s = &j->slots[i];
			uint8_t code[SLOT_LEN];

			if (old->live || old->native != s->native || old->form != s->form ||
				old->len != s->len || old->bounds != s->bounds ||
				!slot_emit(old, j->sites[i], r->lo + SLOT_ENTRY_POINTER, code) ||
				memcmp((const void *)old->tramp, code, SLOT_LEN) != 0)
				break;
		}
		if (i == j->count)
			return r;
	}
	return NULL;
}

struct order {
	uint64_t tramp;
	uint32_t index;
};

static int by_tramp(const void *a, const void *b)
{
	const struct order *x = a, *y = b;

	return x->tramp < y->tramp ? -1 : x->tramp > y->tramp;
}

/* Takes over j->slots. */
static struct region *make_region(struct job *j, uint64_t lo, size_t size)
{
	struct region *r = calloc(1, sizeof *r);
	struct order *order = malloc(j->count * sizeof *order);
	uint32_t *index = malloc(j->count * sizeof *index);
	const struct slot *last = &j->slots[j->count - 1];

	if (!r || !order || !index) {
		free(r);
		free(order);
		free(index);
		return NULL;
	}
	for (uint32_t i = 0; i < j->count; i++)
		order[i] = (struct order){j->slots[i].tramp, i};
	qsort(order, j->count, sizeof *order, by_tramp);
	for (uint32_t i = 0; i < j->count; i++)
		index[i] = order[i].index;
	free(order);
	*r = (struct region){.lo = lo,
		.hi = lo + size,
		.image_lo = j->slots[0].native,
		.image_hi = last->native + last->len,
		.count = (uint32_t)j->count,
		.slots = j->slots,
		.by_tramp = index};
	j->slots = NULL;
	return r;
}

static bool write_trampolines(struct job *j, uint64_t lo)
{
	uint64_t entry = (uint64_t)j->entry;

	memcpy((void *)(lo + SLOT_ENTRY_POINTER), &entry, sizeof entry);
	for (size_t i = 0; i < j->count; i++) {
		j->slots[i].tramp += lo;
		if (!slot_emit(
			    &j->slots[i], j->sites[i], lo + SLOT_ENTRY_POINTER, (uint8_t *)j->slots[i].tramp))
			return false;
	}
	return true;
}

static struct region *new_region(struct job *j)
{
	struct region *r = NULL;
	size_t blocks, size;
	uint64_t lo;

	if (slots_lay_out(j->slots, j->count, &blocks) < 0)
		return NULL;
	keep_placed(j);
	if (j->count == 0)
		return NULL;
	size = blocks * SLOT_BLOCK;
	lo = map_near(j->slots[0].native, j->slots[j->count - 1].native + REWRITE_WINDOW_MAX, size);
	if (lo == 0) {
		engine.counters.no_room += (uint32_t)j->count;
		return NULL;
	}
	if (write_trampolines(j, lo) && !host_failed(host_mprotect((void *)lo, size, PROT_READ | PROT_EXEC)))
		r = make_region(j, lo, size);
	if (!r) {
		host_munmap((void *)lo, size);
		return NULL;
	}
	/* Known before any window leads there. */
	r->next = engine.first;
	__atomic_store_n(&engine.first, r, __ATOMIC_RELEASE);
	return r;
}

static int apply(struct job *j)
{
	struct region *r;
	int err = collect(j);

	if (err < 0)
		return err;
	for (size_t i = 0; i < REWRITE_OUTCOMES; i++)
		engine.counters.outcomes[i] += j->plan->outcomes[i];
	if (j->count == 0)
		return 0;
	r = find_old(j);
	if (!r)
		r = new_region(j);
	if (!r)
		return -ENOMEM;
	patch(r);
	return (int)r->count;
}

int rewrite_apply(void *addr, size_t len, const struct rewrite_plan *plan, void (*entry)(void))
{
	struct job j = {.addr = addr, .len = len, .plan = plan, .entry = entry};
	int ret;

	if (plan->count == 0)
		return 0;
	pthread_mutex_lock(&engine.lock);
	ret = apply(&j);
	pthread_mutex_unlock(&engine.lock);
	free(j.sites);
	free(j.slots);
	return ret;
}

void rewrite_count(struct rewrite_counters *ret)
{
	pthread_mutex_lock(&engine.lock);
	*ret = engine.counters;
	pthread_mutex_unlock(&engine.lock);
}
