/* The layers under the volume engine: hash, undo, arena, frames, free space, sealed blocks. */
#include "fs_device.h"

#include "shield/fs/cache.h"
#include "shield/fs/handle.h"
#include "shield/fs/siphash.h"
#include "shield/fs/space.h"

#define MIB ((uint64_t)1 << 20)

static void test_siphash(void **state)
{
	/* SipHash-2-4, the reference's vectors: key 00 01 … 0f, input of n bytes 00 01 … */
	static const struct {
		size_t n;
		uint64_t want;
	} vectors[] = {{0, 0x726fdb47dd0e0e31ULL}, {1, 0x74f839c593dc67fdULL}, {7, 0xab0200f58b01d137ULL},
		{8, 0x93f5f5799a932462ULL}, {15, 0xa129ca6149be45e5ULL}};
	const uint64_t key[2] = {0x0706050403020100ULL, 0x0f0e0d0c0b0a0908ULL};
	uint8_t in[16];

	for (size_t i = 0; i < sizeof(in); i++)
		in[i] = (uint8_t)i;
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++)
		assert_int_equal(siphash(key, in, vectors[i].n), vectors[i].want);
}

struct bench {
	struct fs_device d;
	struct volume *v;
	struct state *s;
	size_t len;
};

static void setup(struct bench *b, uint64_t bytes)
{
	struct volume_limits l = {.max_size = bytes, .cache = VOLUME_CACHE_MIN, .open_inodes = 64};
	struct volume_env env;

	memset(b, 0, sizeof(*b));
	b->d.fail_after = -1;
	env = fs_env(&b->d);
	b->v = handle_new(&env, fs_key);
	b->len = state_layout(&l, NULL);
	b->s = mmap(NULL, b->len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	assert_int_equal(state_layout(&l, b->s), b->len);
	cache_init(b->s);
	space_init(b->s, bytes / 4096, 10);
	b->v->s = b->s;
}

static void teardown(struct bench *b)
{
	munmap(b->s, b->len);
	b->v->s = NULL;
	handle_free(b->v);
}

static void test_undo(void **state)
{
	struct bench b;
	uint8_t *p;
	uint64_t x;

	setup(&b, 64 * MIB);
	p = cache_block(b.s, 3);
	memset(p, 'a', 4096);
	tx_save(b.s, p, 10);
	memset(p, 'b', 10);
	tx_save(b.s, p + 5, 4000);
	memset(p + 5, 'c', 4000);
	x = b.s->gen;
	tx_set64(b.s, &b.s->gen, 77);
	tx_set64(b.s, &b.s->gen, 78);
	tx_rollback(b.s);
	for (unsigned int i = 0; i < 4096; i++)
		assert_int_equal(p[i], 'a');
	assert_int_equal(b.s->gen, x);
	tx_set64(b.s, &b.s->gen, 79);
	tx_commit(b.s);
	tx_rollback(b.s);
	assert_int_equal(b.s->gen, 79);
	assert_int_equal(b.s->failed, 0);
	/* more than there is room for: nothing may be written any more */
	for (unsigned int i = 0; i < UNDO_MAX / 4096 + 1; i++)
		tx_save(b.s, p, 4096);
	assert_int_equal(b.s->failed, -EIO);
	teardown(&b);
}

static void test_frames(void **state)
{
	struct bench b;
	uint32_t f, g, l, n = 0;

	setup(&b, 64 * MIB);
	assert_int_equal(cache_find(b.s, 5, 0, 9), NONE);
	f = cache_claim(b.s, 5, 0, 9);
	g = cache_claim(b.s, 5, 1, 9);
	assert_int_equal(cache_find(b.s, 5, 0, 9), f);
	assert_int_equal(cache_find(b.s, 5, 1, 9), g);
	tx_rollback(b.s);
	assert_int_equal(cache_find(b.s, 5, 0, 9), NONE);
	assert_int_equal(b.s->free_count, b.s->frame_count);
	f = cache_claim(b.s, 5, 0, 9);
	l = live_get(b.s, 5, false);
	cache_dirty(b.s, f, l, 3, 70);
	assert_int_equal(b.s->frames[f].mask[0], ~0ULL << 3);
	assert_int_equal(b.s->frames[f].mask[1], 0x7f);
	assert_int_equal(b.s->dirty_data, 1);
	assert_int_equal(b.s->lives[l].list, LIVE_DATA);
	tx_commit(b.s);
	/* what is changed is never evicted; all else is */
	while (cache_claim(b.s, 6, 0, n) != NONE)
		n++;
	tx_commit(b.s);
	assert_int_equal(n, b.s->frame_count - 1);
	assert_false(cache_reserve(b.s, b.s->frame_count));
	assert_int_equal(b.s->free_count, b.s->frame_count - 1);
	assert_int_equal(cache_find(b.s, 5, 0, 9), f);
	cache_clean(b.s, f);
	assert_int_equal(live_find(b.s, 5), NONE);
	tx_commit(b.s);
	assert_true(cache_reserve(b.s, b.s->frame_count));
	/* live inodes end */
	for (n = 0; live_get(b.s, 100 + n, true) != NONE; n++)
		;
	assert_int_equal(n, b.s->live_count - 1);
	teardown(&b);
}

static void test_space(void **state)
{
	struct bench b;
	uint64_t start, n, free_blocks, total = 0;

	setup(&b, 300 * MIB);
	free_blocks = b.s->free_blocks;
	assert_int_equal(free_blocks, 300 * 256 - 10);
	assert_int_equal(space_alloc(b.s, 100, &start, &n), 0);
	assert_int_equal(start, 10);
	assert_int_equal(n, 100);
	assert_true(space_used(b.s, 10));
	assert_false(space_used(b.s, 110));
	tx_rollback(b.s);
	assert_int_equal(b.s->free_blocks, free_blocks);
	assert_false(space_used(b.s, 10));
	/* freed is not free before a commit is durable */
	assert_int_equal(space_alloc(b.s, 100, &start, &n), 0);
	for (uint64_t i = 0; i < n; i++)
		space_free(b.s, start + i);
	assert_int_equal(b.s->free_blocks, free_blocks - 100);
	assert_false(space_used(b.s, start));
	assert_int_equal(space_take(b.s, start), -EBADMSG);
	tx_commit(b.s);
	space_map_snap(b.s);
	tx_commit(b.s);
	space_release(b.v);
	assert_int_equal(b.s->free_blocks, free_blocks);
	/* a superblock that may not have been written keeps them all */
	assert_int_equal(space_alloc(b.s, 50, &start, &n), 0);
	space_free(b.s, start);
	space_map_snap(b.s);
	space_free(b.s, start + 1);
	tx_commit(b.s);
	space_unsnap(b.s);
	space_map_snap(b.s);
	tx_commit(b.s);
	space_release(b.v);
	assert_int_equal(b.s->free_blocks, free_blocks - 48);
	/* all of it, each block once */
	while (space_alloc(b.s, 1000, &start, &n) == 0) {
		assert_true(n > 0 && start + n <= b.s->total);
		total += n;
		tx_commit(b.s);
	}
	assert_int_equal(total, free_blocks - 48);
	assert_int_equal(b.s->free_blocks, 0);
	assert_int_equal(space_available(b.s, true), 0);
	teardown(&b);
}

static void test_runs(void **state)
{
	struct bench b;
	uint64_t start, n, seed = 5, got = 0, calls = 0;

	/* half of it taken in scattered blocks: long runs are found where they are */
	setup(&b, 256 * MIB);
	for (uint64_t i = 0; i < 20000; i++)
		if (!space_used(b.s, i) && fs_rand(&seed) % 2)
			assert_int_equal(space_take(b.s, i), 0);
	b.s->undo_len = 0;
	b.s->failed = 0;
	while (got < 30000) {
		assert_int_equal(space_alloc(b.s, 256, &start, &n), 0);
		got += n;
		calls++;
		tx_commit(b.s);
	}
	assert_true(calls < 200);
	teardown(&b);
}

static void test_sealed_block(void **state)
{
	struct bench b;
	struct format_ptr p, q;
	struct cipher_set *c;
	static uint8_t plain[4096], sealed[4096], out[4096], zero[4096];
	uint8_t salt[FORMAT_SALT_LEN] = {1}, id[FORMAT_ID_LEN] = {2}, seen[FORMAT_TAG_LEN];

	setup(&b, 64 * MIB);
	assert_int_equal(handle_id(b.v, id), 0);
	c = cipher_take(b.v);
	memset(plain, 'p', sizeof(plain));
	assert_int_equal(block_seal(b.v, c, 1234, 99, salt, plain, sealed, &p), 0);
	assert_int_equal(format_get48(p.loc), 1234);
	assert_int_equal(format_get48(p.gen), 99);
	assert_int_equal(block_open(b.v, c, &p, sealed, out, seen), 0);
	assert_memory_equal(out, plain, sizeof(plain));
	/* every field of the pointer counts */
	for (size_t i = 0; i < sizeof(p); i++) {
		q = p;
		((uint8_t *)&q)[i] ^= 0x10;
		assert_int_equal(block_open(b.v, c, &q, sealed, out, seen), -EBADMSG);
		assert_memory_equal(out, zero, sizeof(out));
	}
	/* and every byte of the block; the tag that it has instead is told */
	for (size_t i = 0; i < 4096; i += 171) {
		sealed[i] ^= 1;
		assert_int_equal(block_open(b.v, c, &p, sealed, out, seen), -EBADMSG);
		assert_memory_not_equal(seen, p.tag, sizeof(seen));
		sealed[i] ^= 1;
	}
	/* another volume with the same key is another key */
	id[0] ^= 1;
	assert_int_equal(handle_id(b.v, id), 0);
	cipher_give(b.v, c);
	for (unsigned int i = 0; i < 20; i++) {
		/* more epochs than ciphers are kept */
		salt[1] = (uint8_t)i;
		c = cipher_take(b.v);
		assert_int_equal(block_seal(b.v, c, 7, 8, salt, plain, sealed, &q), 0);
		assert_int_equal(block_open(b.v, c, &q, sealed, out, seen), 0);
		cipher_give(b.v, c);
	}
	teardown(&b);
}

static void test_map_levels(void **state)
{
	assert_int_equal(state_map_levels(1024), 1);
	assert_int_equal(state_map_levels(GROUP_BLOCKS), 1);
	assert_int_equal(state_map_levels(GROUP_BLOCKS + 1), 2);
	assert_int_equal(state_map_count(GROUP_BLOCKS * 102ULL, 1), 1);
	assert_int_equal(state_map_levels(GROUP_BLOCKS * 102ULL + 1), 3);
	/* the largest that limits allow */
	assert_true(state_map_levels(1ULL << 34) <= MAP_LEVELS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_siphash),
		cmocka_unit_test(test_undo),
		cmocka_unit_test(test_frames),
		cmocka_unit_test(test_space),
		cmocka_unit_test(test_runs),
		cmocka_unit_test(test_sealed_block),
		cmocka_unit_test(test_map_levels),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
