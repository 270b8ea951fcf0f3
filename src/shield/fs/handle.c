#include "shield/fs/handle.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include "core/secret.h"
#include "crypto/hash.h"
#include "shield/fs/commit.h"
#include "shield/fs/siphash.h"

#define SALT_AND_ID (FORMAT_ID_LEN + FORMAT_SALT_LEN)

static const char *const use_info[] = {
	[KEY_BLOCKS] = "OpenSCONE volume 1 blocks",
	[KEY_LOG] = "OpenSCONE volume 1 log",
	[KEY_SUPER] = "OpenSCONE volume 1 superblock",
};

struct volume *handle_new(const struct volume_env *env, const uint8_t key[VOLUME_KEY_LEN])
{
	struct volume *v = env->alloc ? env->alloc(env->ctx, sizeof(*v)) : malloc(sizeof(*v));

	if (!v)
		return NULL;
	memset(v, 0, sizeof(*v));
	v->env = *env;
	memcpy(v->key, key, sizeof(v->key));
	for (unsigned int i = 0; i < CIPHER_SETS; i++)
		atomic_flag_clear(&v->ciphers[i].busy);
	return v;
}

static void cipher_drop(struct cipher_set *c)
{
	for (unsigned int i = 0; i < CIPHER_KEYS; i++)
		aead_free(c->key[i].aead);
	memset(c->key, 0, sizeof(c->key));
}

void handle_free(struct volume *v)
{
	if (!v)
		return;
	for (unsigned int i = 0; i < CIPHER_SETS; i++)
		cipher_drop(&v->ciphers[i]);
	handle_dealloc(v, atomic_exchange(&v->spare, NULL), BUFFER_SIZE);
	handle_dealloc(v, v, sizeof(*v));
}

int handle_id(struct volume *v, const uint8_t id[FORMAT_ID_LEN])
{
	memcpy(v->id, id, sizeof(v->id));
	if (hkdf_sha256(v->key, sizeof(v->key), v->id, sizeof(v->id), "OpenSCONE volume 1 names",
		    (uint8_t *)v->name_key, sizeof(v->name_key), NULL) < 0)
		return -ENOMEM;
	return 0;
}

int handle_key_check(struct volume *v, uint8_t ret[32])
{
	return hkdf_sha256(v->key, sizeof(v->key), v->id, sizeof(v->id), "OpenSCONE volume 1 check", ret, 32,
		       NULL) < 0
		       ? -ENOMEM
		       : 0;
}

void *handle_alloc(struct volume *v, size_t n)
{
	return v->env.alloc ? v->env.alloc(v->env.ctx, n) : malloc(n);
}

void handle_dealloc(struct volume *v, void *p, size_t n)
{
	struct volume_env env = v->env;

	if (!p)
		return;
	secret_wipe(p, n);
	/* p may be v itself */
	if (env.free)
		env.free(env.ctx, p, n);
	else
		free(p);
}

void *buffer_take(struct volume *v)
{
	void *p = atomic_exchange(&v->spare, NULL);

	return p ? p : handle_alloc(v, BUFFER_SIZE);
}

void buffer_give(struct volume *v, void *p)
{
	handle_dealloc(v, atomic_exchange(&v->spare, p), BUFFER_SIZE);
}

struct cipher_set *cipher_take(struct volume *v)
{
	struct cipher_set *c;

	for (unsigned int i = 0; i < CIPHER_SETS; i++)
		if (!atomic_flag_test_and_set_explicit(&v->ciphers[i].busy, memory_order_acquire))
			return &v->ciphers[i];
	/* More threads than sets, or a fork while they were in use. */
	c = handle_alloc(v, sizeof(*c));
	if (c)
		memset(c, 0, sizeof(*c));
	return c;
}

void volume_forked(struct volume *v)
{
	/* what is busy may be half made, so it is not looked at */
	for (unsigned int i = 0; i < CIPHER_SETS; i++)
		if (atomic_flag_test_and_set_explicit(&v->ciphers[i].busy, memory_order_acquire))
			memset(&v->ciphers[i], 0, sizeof(v->ciphers[i]));
		else
			atomic_flag_clear_explicit(&v->ciphers[i].busy, memory_order_release);
}

void cipher_give(struct volume *v, struct cipher_set *c)
{
	if (c >= v->ciphers && c < v->ciphers + CIPHER_SETS) {
		atomic_flag_clear_explicit(&c->busy, memory_order_release);
		return;
	}
	cipher_drop(c);
	handle_dealloc(v, c, sizeof(*c));
}

static struct aead *cipher_get(struct volume *v, struct cipher_set *c, enum key_use use, const uint8_t *salt)
{
	struct cipher_key *oldest = &c->key[0];
	uint8_t salt_and_id[SALT_AND_ID], key[AEAD_KEY_LEN];
	struct aead *aead = NULL;

	for (unsigned int i = 0; i < CIPHER_KEYS; i++) {
		struct cipher_key *k = &c->key[i];

		if (k->use == use && memcmp(k->salt, salt, FORMAT_SALT_LEN) == 0) {
			k->age = ++c->clock;
			return k->aead;
		}
		if (k->age < oldest->age)
			oldest = k;
	}
	memcpy(salt_and_id, v->id, FORMAT_ID_LEN);
	memcpy(salt_and_id + FORMAT_ID_LEN, salt, FORMAT_SALT_LEN);
	if (hkdf_sha256(v->key, sizeof(v->key), salt_and_id, sizeof(salt_and_id), use_info[use], key,
		    sizeof(key), NULL) < 0)
		return NULL;
	if (aead_new(key, &aead, NULL) < 0)
		aead = NULL;
	secret_wipe(key, sizeof(key));
	if (!aead)
		return NULL;
	aead_free(oldest->aead);
	*oldest = (struct cipher_key){.use = (uint8_t)use, .age = ++c->clock, .aead = aead};
	memcpy(oldest->salt, salt, FORMAT_SALT_LEN);
	return aead;
}

static void block_nonce(uint64_t gen, uint64_t loc, uint8_t ret[AEAD_NONCE_LEN])
{
	format_put48(ret, gen);
	format_put48(ret + 6, loc);
}

int block_seal(struct volume *v, struct cipher_set *c, uint64_t loc, uint64_t gen,
	const uint8_t salt[FORMAT_SALT_LEN], const void *p, void *out, struct format_ptr *ret)
{
	struct aead *a = cipher_get(v, c, KEY_BLOCKS, salt);
	uint8_t nonce[AEAD_NONCE_LEN];

	if (!a)
		return -ENOMEM;
	block_nonce(gen, loc, nonce);
	if (aead_seal_at(a, nonce, NULL, 0, p, FORMAT_BLOCK, out, ret->tag) < 0)
		return -EIO;
	format_put48(ret->loc, loc);
	format_put48(ret->gen, gen);
	memcpy(ret->salt, salt, FORMAT_SALT_LEN);
	return 0;
}

int block_open(struct volume *v, struct cipher_set *c, const struct format_ptr *ptr, const void *p, void *out,
	uint8_t seen[FORMAT_TAG_LEN])
{
	struct aead *a = cipher_get(v, c, KEY_BLOCKS, ptr->salt);
	uint8_t nonce[AEAD_NONCE_LEN];

	if (!a)
		return -ENOMEM;
	block_nonce(format_get48(ptr->gen), format_get48(ptr->loc), nonce);
	if (aead_open_at(a, nonce, NULL, 0, p, FORMAT_BLOCK, out, ptr->tag) == 0)
		return 0;
	/* The same bytes encrypted again give the ciphertext that was read, and the tag it has. */
	if (aead_seal_at(a, nonce, NULL, 0, out, FORMAT_BLOCK, out, seen) < 0)
		memset(seen, 0, FORMAT_TAG_LEN);
	secret_wipe(out, FORMAT_BLOCK);
	return -EBADMSG;
}

static void message_nonce(uint64_t gen, uint32_t place, uint8_t ret[AEAD_NONCE_LEN])
{
	memcpy(ret, &gen, 8);
	memcpy(ret + 8, &place, 4);
}

int message_seal(struct volume *v, struct cipher_set *c, enum key_use use,
	const uint8_t salt[FORMAT_SALT_LEN], uint64_t gen, uint32_t place, const void *aad, size_t aad_len,
	void *p, size_t n, uint8_t ret_tag[FORMAT_TAG_LEN])
{
	struct aead *a = cipher_get(v, c, use, salt);
	uint8_t nonce[AEAD_NONCE_LEN];

	if (!a)
		return -ENOMEM;
	message_nonce(gen, place, nonce);
	return aead_seal_at(a, nonce, aad, aad_len, p, n, p, ret_tag) < 0 ? -EIO : 0;
}

int message_open(struct volume *v, struct cipher_set *c, enum key_use use,
	const uint8_t salt[FORMAT_SALT_LEN], uint64_t gen, uint32_t place, const void *aad, size_t aad_len,
	void *p, size_t n, const uint8_t tag[FORMAT_TAG_LEN])
{
	struct aead *a = cipher_get(v, c, use, salt);
	uint8_t nonce[AEAD_NONCE_LEN];

	if (!a)
		return -ENOMEM;
	message_nonce(gen, place, nonce);
	if (aead_open_at(a, nonce, aad, aad_len, p, n, p, tag) < 0) {
		secret_wipe(p, n);
		return -EBADMSG;
	}
	return 0;
}

int device_read(struct volume *v, uint64_t block, void *p, size_t blocks)
{
	int r = v->env.read(v->env.ctx, block * FORMAT_BLOCK, p, blocks * FORMAT_BLOCK);

	if (v->s) {
		stat_add(&v->s->stats.device_reads, 1);
		stat_add(&v->s->stats.blocks_read, blocks);
	}
	if (r == -ENODATA) {
		/* What was never written is not what a pointer wants either: let the tag say so. */
		memset(p, 0, blocks * FORMAT_BLOCK);
		return 0;
	}
	return r;
}

int device_write(struct volume *v, uint64_t block, const void *p, size_t blocks)
{
	if (v->s) {
		stat_add(&v->s->stats.device_writes, 1);
		stat_add(&v->s->stats.blocks_written, blocks);
	}
	return v->env.write(v->env.ctx, block * FORMAT_BLOCK, p, blocks * FORMAT_BLOCK);
}

int device_flush(struct volume *v)
{
	if (v->s)
		stat_add(&v->s->stats.flushes, 1);
	return v->env.flush(v->env.ctx);
}

void state_lock(struct volume *v, enum volume_lock_mode mode)
{
	struct state *s = v->s;

	if (!v->env.lock)
		return;
	while (v->env.lock(v->env.ctx, &s->lock, mode) == -EOWNERDEAD) {
		tx_rollback(s);
		stat_add(&s->stats.recoveries, 1);
		state_unlock(v, VOLUME_EXCLUSIVE);
	}
}

void state_unlock(struct volume *v, enum volume_lock_mode mode)
{
	if (v->env.unlock)
		v->env.unlock(v->env.ctx, &v->s->lock, mode);
}

void flow_lock(struct volume *v)
{
	if (v->env.lock && v->env.lock(v->env.ctx, &v->s->flow, VOLUME_EXCLUSIVE) == -EOWNERDEAD) {
		stat_add(&v->s->stats.recoveries, 1);
		commit_recover(v);
	}
	atomic_store_explicit(&v->s->flow_busy, true, memory_order_relaxed);
}

void flow_unlock(struct volume *v)
{
	atomic_store_explicit(&v->s->flow_busy, false, memory_order_relaxed);
	if (v->env.unlock)
		v->env.unlock(v->env.ctx, &v->s->flow, VOLUME_EXCLUSIVE);
}

int fault_report(struct volume *v, const char *structure, const char *field, uint64_t block, uint64_t ino,
	uint64_t index, uint64_t seen, uint64_t wanted)
{
	struct volume_fault f = {.structure = structure,
		.field = field,
		.block = block,
		.inode = ino,
		.index = index,
		.seen = seen,
		.wanted = wanted};
	size_t n;

	n = (size_t)snprintf(f.text, sizeof(f.text), "%s", structure);
	if (block != NO_NUMBER)
		n += (size_t)snprintf(
			f.text + n, sizeof(f.text) - n, " in block %llu", (unsigned long long)block);
	if (ino != NO_NUMBER)
		n += (size_t)snprintf(f.text + n, sizeof(f.text) - n, " (inode %llu, index %llu)",
			(unsigned long long)ino, (unsigned long long)index);
	snprintf(f.text + n, sizeof(f.text) - n, ": %s is %#llx, wanted %#llx", field,
		(unsigned long long)seen, (unsigned long long)wanted);
	v->fault = f;
	if (v->env.fault)
		v->env.fault(v->env.ctx, &f);
	return -EBADMSG;
}

uint64_t name_hash(const struct volume *v, const void *p, size_t n)
{
	return siphash(v->name_key, p, n);
}
