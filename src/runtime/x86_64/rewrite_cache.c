#include "runtime/x86_64/rewrite_cache.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* --- building --- */

static bool function_at(void *ctx, uint64_t vaddr, uint64_t *ret_start, uint64_t *ret_end)
{
	return elf_ranges_function(ctx, vaddr, ret_start, ret_end);
}

static void entries(void *ctx, void (*hit)(void *arg, uint64_t vaddr), void *arg)
{
	elf_ranges_entries(ctx, hit, arg);
}

static int empty_plan(size_t len, struct rewrite_plan **ret)
{
	struct rewrite_plan *plan = calloc(1, sizeof *plan);

	if (!plan)
		return -ENOMEM;
	plan->len = len;
	*ret = plan;
	return 0;
}

/* Bytes that segment s and the mapping share: true and their file range. */
static bool common_range(
	const struct elf_segment *s, uint64_t off, uint64_t len, uint64_t *ret_from, uint64_t *ret_to)
{
	uint64_t end = off + len, seg_end = s->off + s->filesz;

	*ret_from = s->off > off ? s->off : off;
	*ret_to = seg_end < end ? seg_end : end;
	return s->exec && *ret_from < *ret_to;
}

static void free_texts(struct rewrite_text *texts, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free((void *)texts[i].bytes);
}

/* The executable segment that shares most with the mapping, NULL if none does. */
static const struct elf_segment *mapped_segment(const struct elf_ranges *e, uint64_t off, size_t len)
{
	const struct elf_segment *ret = NULL;
	uint64_t best = 0, from, to;

	for (size_t i = 0; i < e->seg_count; i++) {
		if (!common_range(&e->segs[i], off, len, &from, &to) || to - from <= best)
			continue;
		best = to - from;
		ret = &e->segs[i];
	}
	return ret;
}

/* Is the `syscall` at vaddr one, going by the function it lies in? 1, 0 or an error. */
static int is_site(struct elf_ranges *e, const struct elf_segment *s, uint64_t vaddr)
{
	uint64_t start, end;
	uint8_t *bytes;
	int ret;

	if (!elf_ranges_function(e, vaddr, &start, &end) || start < s->vaddr || end - s->vaddr > s->filesz ||
		end - start > REWRITE_FUNCTION_MAX)
		return 0;
	bytes = malloc(end - start);
	if (!bytes)
		return -ENOMEM;
	ret = elf_source_read(&e->src, s->off + (start - s->vaddr), bytes, end - start);
	if (ret == 0)
		ret = rewrite_plan_is_site(bytes, end - start, vaddr - start);
	free(bytes);
	return ret;
}

/* Doubtful places that are looked at one by one before the file is taken to be worth planning. */
#define DOUBTS_MAX 1000

/* Is there a site in the chunk, which lies at file offset chunk_off? 1, 0 or an error. */
static int chunk_is_worthwhile(struct elf_ranges *e, const struct elf_segment *s, const uint8_t *chunk,
	size_t n, uint64_t chunk_off, size_t *doubts)
{
	size_t at = 0;

	for (;; at++) {
		int err = rewrite_plan_look(chunk, n, at, &at);

		if (err < 0)
			return err;
		if (at == n)
			return 0;
		if (++*doubts > DOUBTS_MAX)
			return 1;
		err = is_site(e, s, s->vaddr + (chunk_off + at - s->off));
		if (err != 0)
			return err;
	}
}

#define CHUNK (1u << 17)

/* Most code holds no system call. Finding that out in pieces that stay in the cache is several times cheaper than reading it all into
 * memory of its own. 1, 0 or an error. */
static int is_worthwhile(struct elf_ranges *e, const struct elf_segment *s, uint64_t from, uint64_t to)
{
	uint8_t *chunk = malloc(CHUNK);
	int ret = chunk ? 0 : -ENOMEM;
	size_t doubts = 0;

	while (ret == 0 && from < to) {
		size_t n = to - from < CHUNK ? to - from : CHUNK;

		ret = elf_source_read(&e->src, from, chunk, n);
		if (ret == 0)
			ret = chunk_is_worthwhile(e, s, chunk, n, from, &doubts);
		if (from + n == to)
			break;
		from += n - 2 * REWRITE_LOOK;
	}
	free(chunk);
	return ret;
}

/* Read every executable segment. code->which: that of seg. */
static int read_texts(const struct elf_ranges *e, const struct elf_segment *seg, struct rewrite_text *texts,
	struct rewrite_code *code)
{
	uint64_t total = 0;

	for (size_t i = 0; i < e->seg_count; i++) {
		const struct elf_segment *s = &e->segs[i];
		uint8_t *bytes;

		if (!s->exec)
			continue;
		total += s->filesz;
		if (total > REWRITE_TEXT_MAX)
			return -EINVAL;
		bytes = malloc(s->filesz);
		if (!bytes)
			return -ENOMEM;
		if (s == seg)
			code->which = code->text_count;
		texts[code->text_count++] = (struct rewrite_text){bytes, s->filesz, s->vaddr};
		if (elf_source_read(&e->src, s->off, bytes, s->filesz) < 0)
			return -EIO;
	}
	return 0;
}

static int build(struct elf_ranges *e, uint64_t off, size_t len, struct rewrite_plan **ret)
{
	struct rewrite_text texts[ELF_SEGMENTS_MAX];
	struct rewrite_code code = {.texts = texts, .function_at = function_at, .entries = entries, .ctx = e};
	const struct elf_segment *seg = mapped_segment(e, off, len);
	uint64_t from, to;
	int err;

	if (!seg)
		return empty_plan(len, ret);
	common_range(seg, off, len, &from, &to);
	err = is_worthwhile(e, seg, from, to);
	if (err < 0)
		return err;
	if (err == 0)
		return empty_plan(len, ret);
	err = read_texts(e, seg, texts, &code);
	if (err == 0) {
		code.from = from - seg->off;
		code.to = to - seg->off;
		err = rewrite_plan_code(&code, ret);
	}
	free_texts(texts, code.text_count);
	if (err < 0)
		return err;
	for (uint32_t i = 0; i < (*ret)->count; i++)
		(*ret)->sites[i].off += (uint32_t)(from - off);
	(*ret)->len = len;
	return 0;
}

int rewrite_plan_source(struct elf_source src, uint64_t file_off, size_t len, struct rewrite_plan **ret)
{
	struct elf_ranges e;
	int err;

	if (len > REWRITE_TEXT_MAX || file_off > INT64_MAX - len)
		return -EINVAL;
	err = elf_ranges_open(&e, src);
	if (err == -ENOEXEC)
		return empty_plan(len, ret);
	if (err < 0)
		return err;
	err = build(&e, file_off, len, ret);
	elf_ranges_close(&e);
	return err;
}

int rewrite_plan_build(
	int fd, const struct stat *st, uint64_t file_off, size_t len, struct rewrite_plan **ret)
{
	struct elf_source src = {.fd = fd, .size = (uint64_t)st->st_size};

	if (!S_ISREG(st->st_mode))
		return empty_plan(len, ret);
	return rewrite_plan_source(src, file_off, len, ret);
}

/* --- the cache --- */

struct key {
	uint64_t dev, ino, size;
	int64_t mtime, ctime; /* ns */
	uint64_t off, len;
};

struct cached {
	struct cached *next; /* most recently added first */
	struct key key;
	size_t users;
	bool listed;
	struct rewrite_plan *plan;
};

static struct {
	pthread_mutex_t lock;
	struct cached *first;
	size_t count, bytes;
} cache = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* A plan and the entry that owns it find each other through the list while listed, and through here for those in use. */
static struct cached *unlisted;

void rewrite_cache_lock(void)
{
	pthread_mutex_lock(&cache.lock);
}

void rewrite_cache_unlock(void)
{
	pthread_mutex_unlock(&cache.lock);
}

static size_t plan_bytes(const struct rewrite_plan *plan)
{
	return sizeof *plan + plan->count * sizeof plan->sites[0];
}

static int64_t nanoseconds(struct timespec t)
{
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static struct key make_key(const struct stat *st, uint64_t off, uint64_t len)
{
	return (struct key){st->st_dev, st->st_ino, (uint64_t)st->st_size, nanoseconds(st->st_mtim),
		nanoseconds(st->st_ctim), off, len};
}

static struct cached *find(const struct key *key)
{
	for (struct cached *c = cache.first; c; c = c->next)
		if (memcmp(&c->key, key, sizeof *key) == 0)
			return c;
	return NULL;
}

static void free_cached(struct cached *c)
{
	free(c->plan);
	free(c);
}

/* Take the oldest entry out; whoever uses it frees it with the last put. */
static void drop_oldest(void)
{
	struct cached **link = &cache.first, *c;

	while ((*link)->next)
		link = &(*link)->next;
	c = *link;
	*link = NULL;
	cache.count--;
	cache.bytes -= plan_bytes(c->plan);
	if (c->users == 0) {
		free_cached(c);
		return;
	}
	c->listed = false;
	c->next = unlisted;
	unlisted = c;
}

/* Owns plan from here on, in failure too. */
static struct cached *add(const struct key *key, struct rewrite_plan *plan)
{
	struct cached *c = calloc(1, sizeof *c);

	if (!c) {
		free(plan);
		return NULL;
	}
	c->key = *key;
	c->plan = plan;
	c->listed = true;
	c->next = cache.first;
	cache.first = c;
	cache.count++;
	cache.bytes += plan_bytes(plan);
	/* The newest stays even if it alone is over the limit: its user holds it. */
	while (cache.count > 1 && (cache.count > REWRITE_CACHE_PLANS || cache.bytes > REWRITE_CACHE_BYTES))
		drop_oldest();
	return c;
}

int rewrite_plan_get(
	int fd, const struct stat *st, uint64_t file_off, size_t len, const struct rewrite_plan **ret)
{
	struct elf_source src = {.fd = fd, .size = (uint64_t)st->st_size};

	return rewrite_plan_get_source(src, st, file_off, len, ret);
}

int rewrite_plan_get_source(struct elf_source src, const struct stat *st, uint64_t file_off, size_t len,
	const struct rewrite_plan **ret)
{
	struct key key = make_key(st, file_off, len);
	struct rewrite_plan *plan;
	struct cached *c;
	int err;

	rewrite_cache_lock();
	c = find(&key);
	if (c)
		c->users++;
	rewrite_cache_unlock();
	if (c) {
		*ret = c->plan;
		return 0;
	}
	err = S_ISREG(st->st_mode) ? rewrite_plan_source(src, file_off, len, &plan) : empty_plan(len, &plan);
	if (err < 0)
		return err;
	rewrite_cache_lock();
	c = find(&key);
	if (c)
		free(plan);
	else
		c = add(&key, plan);
	if (c)
		c->users++;
	rewrite_cache_unlock();
	if (!c)
		return -ENOMEM;
	*ret = c->plan;
	return 0;
}

static struct cached **owner(struct cached **list, const struct rewrite_plan *plan)
{
	while (*list && (*list)->plan != plan)
		list = &(*list)->next;
	return list;
}

void rewrite_plan_put(const struct rewrite_plan *plan)
{
	struct cached **link, *c;

	rewrite_cache_lock();
	link = owner(&cache.first, plan);
	if (!*link)
		link = owner(&unlisted, plan);
	c = *link;
	if (c && --c->users == 0 && !c->listed) {
		*link = c->next;
		free_cached(c);
	}
	rewrite_cache_unlock();
}

/* --- handing over --- */

#define CACHE_MAGIC 0x31505752u /* "RWP1" */

struct wire_head {
	uint32_t magic, count;
};
struct wire_plan {
	struct key key;
	uint32_t outcomes[REWRITE_OUTCOMES];
	uint32_t count;
};
static_assert(sizeof(struct key) == 56, "no padding is written");
static_assert(sizeof(struct wire_plan) == 56 + 4 * REWRITE_OUTCOMES + 4, "no padding is written");
static_assert(sizeof(struct rewrite_site) == 24, "no padding is written");

void rewrite_cache_encode(struct buf *b)
{
	struct wire_head head = {.magic = CACHE_MAGIC};

	rewrite_cache_lock();
	head.count = (uint32_t)cache.count;
	buf_put(b, &head, sizeof head);
	for (const struct cached *c = cache.first; c; c = c->next) {
		struct wire_plan w = {.key = c->key, .count = c->plan->count};

		memcpy(w.outcomes, c->plan->outcomes, sizeof w.outcomes);
		buf_put(b, &w, sizeof w);
		buf_put(b, c->plan->sites, c->plan->count * sizeof c->plan->sites[0]);
	}
	rewrite_cache_unlock();
}

static bool site_is_sound(const struct rewrite_site *s, uint64_t from, uint64_t len)
{
	const uint8_t *b = s->bytes;
	size_t keep = s->len;

	if (s->len < 5 || s->len > REWRITE_WINDOW_MAX || s->bounds >> s->len || !(s->bounds & 1))
		return false;
	if (s->form == REWRITE_MOV) {
		bool shorter = s->len == 5 && b[0] == 0xb8,
		     longer = s->len == 7 && b[0] == 0x48 && b[1] == 0xc7 && b[2] == 0xc0;

		keep += 2;
		if ((!shorter && !longer) || b[s->len] != 0x0f || b[s->len + 1] != 0x05 || s->bounds != 1)
			return false;
	} else if (s->form != REWRITE_TAIL || b[0] != 0x0f || b[1] != 0x05 || !(s->bounds & 4) ||
		   (s->bounds & 2)) {
		return false;
	}
	return s->off >= from && keep <= len && s->off <= len - keep;
}

static int decode_plan(struct rd *r)
{
	const uint8_t *p = rd_bytes(r, sizeof(struct wire_plan));
	struct rewrite_plan *plan;
	struct wire_plan w;
	uint64_t from = 0;
	int err = 0;

	if (!p)
		return -EINVAL;
	memcpy(&w, p, sizeof w);
	if (w.key.len > REWRITE_TEXT_MAX || w.count > r->left / sizeof plan->sites[0])
		return -EINVAL;
	plan = malloc(sizeof *plan + w.count * sizeof plan->sites[0]);
	if (!plan)
		return -ENOMEM;
	plan->len = w.key.len;
	plan->count = w.count;
	memcpy(plan->outcomes, w.outcomes, sizeof plan->outcomes);
	for (uint32_t i = 0; i < w.count; i++) {
		memcpy(&plan->sites[i], rd_bytes(r, sizeof plan->sites[0]), sizeof plan->sites[0]);
		if (!site_is_sound(&plan->sites[i], from, plan->len)) {
			free(plan);
			return -EINVAL;
		}
		from = (uint64_t)plan->sites[i].off + plan->sites[i].len;
	}
	rewrite_cache_lock();
	if (find(&w.key))
		free(plan);
	else if (!add(&w.key, plan))
		err = -ENOMEM;
	rewrite_cache_unlock();
	return err;
}

int rewrite_cache_decode(const void *p, size_t n)
{
	struct wire_head head;
	const uint8_t *at;
	struct rd r;

	rd_init(&r, p, n);
	at = rd_bytes(&r, sizeof head);
	if (!at)
		return -EINVAL;
	memcpy(&head, at, sizeof head);
	if (head.magic != CACHE_MAGIC || head.count > REWRITE_CACHE_PLANS)
		return -EINVAL;
	for (uint32_t i = 0; i < head.count; i++) {
		int err = decode_plan(&r);

		if (err < 0)
			return err;
	}
	return rd_done(&r) ? 0 : -EINVAL;
}
