#include "measure/ldcache.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#define MAGIC "glibc-ld.so.cache1.1"
#define FLAG_ELF64_LIBC6 0x0303 /* ELF libc6, x86-64 */
#define EXTENSION_MAGIC 0xeaa42174u
#define EXTENSION_TAG_HWCAPS 1
#define HWCAP_EXTENSION (1ul << 62)
#define HWCAP_ISA_MASK 0x3ffu /* in the upper word: x86 ISA level the library itself asks for */
#define HWCAP_TLS (1ul << 63)
#define HWCAP_PLATFORMS (3ul << 48) /* bit 48 haswell, bit 49 xeon_phi */

/* Layout of the file, little endian on this machine. */
struct header {
	char magic[20];
	uint32_t nlibs;
	uint32_t len_strings;
	uint8_t flags, padding[3];
	uint32_t extension_offset;
	uint32_t unused[3];
};
static_assert(sizeof(struct header) == 48, "file format");

struct entry {
	int32_t flags;
	uint32_t key, value; /* offsets of strings from the start of the file */
	uint32_t osversion;
	uint64_t hwcap;
};
static_assert(sizeof(struct entry) == 24, "file format");

struct extension {
	uint32_t magic, count;
};

struct section {
	uint32_t tag, flags, offset, size;
};

static bool inside(uint64_t off, uint64_t n, uint64_t size)
{
	return off <= size && n <= size - off;
}

/* Find the list of named hwcaps. */
static int parse_extension(struct ldcache *c, uint32_t at, struct error *err)
{
	struct extension x;
	if (at == 0)
		return 0;
	if (!inside(at, sizeof(x), c->n))
		return error_set(err, ERR_INPUT,
			"ld.so.cache: extension at %u lies outside the file of %zu bytes", at, c->n);
	memcpy(&x, c->p + at, sizeof(x));
	if (x.magic != EXTENSION_MAGIC)
		return error_set(err, ERR_INPUT, "ld.so.cache: extension magic is %08x, wanted %08x", x.magic,
			EXTENSION_MAGIC);
	if (!inside(at + sizeof(x), (uint64_t)x.count * sizeof(struct section), c->n))
		return error_set(err, ERR_INPUT,
			"ld.so.cache: %u extension sections reach over the end of the file", x.count);
	for (uint32_t i = 0; i < x.count; i++) {
		struct section s;
		memcpy(&s, c->p + at + sizeof(x) + i * sizeof(s), sizeof(s));
		if (s.tag != EXTENSION_TAG_HWCAPS)
			continue;
		if (!inside(s.offset, s.size, c->n) || s.size % 4)
			return error_set(err, ERR_INPUT,
				"ld.so.cache: hwcaps section (offset %u, %u bytes) does not fit the file",
				s.offset, s.size);
		c->hwcaps = c->p + s.offset;
		c->hwcaps_count = s.size / 4;
	}
	return 0;
}

int ldcache_parse(const void *p, size_t n, struct ldcache *ret, struct error *err)
{
	struct header h;
	if (n < sizeof(h) || memcmp(p, MAGIC, sizeof(h.magic)) != 0)
		return error_set(err, ERR_INPUT, "ld.so.cache: no header \"" MAGIC "\" in %zu bytes", n);
	memcpy(&h, p, sizeof(h));
	if (h.flags != 0 && h.flags != 2)
		return error_set(err, ERR_INPUT,
			"ld.so.cache: byte order is %u, wanted 0 or 2 (little endian)", h.flags);
	if (!inside(sizeof(h), (uint64_t)h.nlibs * sizeof(struct entry) + h.len_strings, n))
		return error_set(err, ERR_INPUT,
			"ld.so.cache: %u entries and %u bytes of strings do not fit %zu bytes", h.nlibs,
			h.len_strings, n);
	struct ldcache c = {.p = p, .n = n, .count = h.nlibs};
	if (parse_extension(&c, h.extension_offset, err) < 0)
		return -1;
	*ret = c;
	return 0;
}

/* String at an offset; NULL if it does not end inside the file. */
static const char *string_at(const struct ldcache *c, uint32_t off)
{
	if (off >= c->n || !memchr(c->p + off, '\0', c->n - off))
		return NULL;
	return (const char *)c->p + off;
}

static bool legacy_usable(uint64_t hwcap, const struct hwcaps *h)
{
	if (hwcap & ~(h->legacy | HWCAP_PLATFORMS | HWCAP_TLS))
		return false;
	uint64_t platform = hwcap & HWCAP_PLATFORMS;
	uint64_t own = strcmp(h->platform, "haswell") == 0    ? 1ul << 48
		       : strcmp(h->platform, "xeon_phi") == 0 ? 1ul << 49
							      : 0;
	return platform == 0 || platform == own;
}

/* Rank of an entry below glibc-hwcaps: 1 is best, 0 is not usable. */
static unsigned named_rank(const struct ldcache *c, uint64_t hwcap, const struct hwcaps *h)
{
	uint32_t i = (uint32_t)hwcap;
	uint32_t off;
	if (i >= c->hwcaps_count)
		return 0;
	memcpy(&off, c->hwcaps + 4ul * i, 4);
	const char *name = string_at(c, off);
	return name ? hwcaps_rank(h, name) : 0;
}

const char *ldcache_lookup(const struct ldcache *c, const char *name, const struct hwcaps *h)
{
	const char *best = NULL;
	unsigned best_rank = 0;
	size_t len = strlen(name) + 1;
	for (uint32_t i = 0; i < c->count; i++) {
		struct entry e;
		memcpy(&e, c->p + sizeof(struct header) + (size_t)i * sizeof(e), sizeof(e));
		if (e.flags != FLAG_ELF64_LIBC6 || !inside(e.key, len, c->n) ||
			memcmp(c->p + e.key, name, len) != 0)
			continue;
		const char *path = string_at(c, e.value);
		if (!path)
			continue;
		bool named = ((e.hwcap >> 32) & ~(uint64_t)HWCAP_ISA_MASK) == HWCAP_EXTENSION >> 32;
		if (named) {
			unsigned rank = named_rank(c, e.hwcap, h);
			if (rank && (!best || rank < best_rank)) {
				best = path;
				best_rank = rank;
			}
			continue;
		}
		/* Entries below glibc-hwcaps come first: the first plain one decides. */
		if (best)
			return best;
		if (legacy_usable(e.hwcap, h))
			return path;
	}
	return best;
}
