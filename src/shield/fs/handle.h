/*
 * handle: one process' view of a mounted volume: callbacks, keys, ciphers. And what is done with them: blocks sealed and opened, locks, faults.
 */
#ifndef SCONE_SHIELD_FS_HANDLE_H
#define SCONE_SHIELD_FS_HANDLE_H

#include "crypto/aead.h"
#include "shield/fs/state.h"

#define CIPHER_KEYS 8
#define CIPHER_SETS 16

/* Ciphers of the epochs used last, for one thread at a time. */
struct cipher_key {
	uint8_t salt[FORMAT_SALT_LEN];
	uint8_t use; /* enum key_use, 0: free */
	uint64_t age;
	struct aead *aead;
};
struct cipher_set {
	atomic_flag busy;
	uint64_t clock;
	struct cipher_key key[CIPHER_KEYS];
};

enum key_use { KEY_BLOCKS = 1, KEY_LOG, KEY_SUPER };

struct volume {
	struct volume_env env;
	struct state *s;
	uint8_t id[FORMAT_ID_LEN];
	uint8_t key[VOLUME_KEY_LEN];
	uint64_t name_key[2]; /* SipHash key for names in directories */
	struct cipher_set ciphers[CIPHER_SETS];
	struct volume_fault fault; /* newest */
	void *_Atomic spare; /* BUFFER_SIZE bytes kept for the next who needs them */
};

/* A handle without state, for env and key; the volume id is set by handle_id. NULL: no memory. */
struct volume *handle_new(const struct volume_env *env, const uint8_t key[VOLUME_KEY_LEN]);
void handle_free(struct volume *v);
/* Derive what depends on the volume's id. 0, -ENOMEM. */
MUST_USE int handle_id(struct volume *v, const uint8_t id[FORMAT_ID_LEN]);
/* A value by which another process shows that it has the same key. */
MUST_USE int handle_key_check(struct volume *v, uint8_t ret[32]);

void *handle_alloc(struct volume *v, size_t n);
void handle_dealloc(struct volume *v, void *p, size_t n); /* wipes; NULL is fine */
/* BUFFER_SIZE bytes, used again by whoever comes next; wiped at the end. NULL: no memory. */
#define BUFFER_SIZE (256 * FORMAT_BLOCK)
void *buffer_take(struct volume *v);
void buffer_give(struct volume *v, void *p);

/* A set for this thread. NULL: no memory. */
struct cipher_set *cipher_take(struct volume *v);
void cipher_give(struct volume *v, struct cipher_set *c);

/* Encrypt one block of plaintext p to out, which must not overlap, as it is to lie at loc; fills ptr but for nothing. 0, -EIO, -ENOMEM. */
MUST_USE int block_seal(struct volume *v, struct cipher_set *c, uint64_t loc, uint64_t gen,
	const uint8_t salt[FORMAT_SALT_LEN], const void *p, void *out, struct format_ptr *ret);
/* Decrypt what was read from where ptr points. -EBADMSG: it is not that; out is wiped and seen holds the tag it has. */
MUST_USE int block_open(struct volume *v, struct cipher_set *c, const struct format_ptr *ptr, const void *p,
	void *out, uint8_t seen[FORMAT_TAG_LEN]);
/* Other messages: log records and superblocks. nonce: 96 bits from two numbers. */
MUST_USE int message_seal(struct volume *v, struct cipher_set *c, enum key_use use,
	const uint8_t salt[FORMAT_SALT_LEN], uint64_t gen, uint32_t place, const void *aad, size_t aad_len,
	void *p, size_t n, uint8_t ret_tag[FORMAT_TAG_LEN]);
MUST_USE int message_open(struct volume *v, struct cipher_set *c, enum key_use use,
	const uint8_t salt[FORMAT_SALT_LEN], uint64_t gen, uint32_t place, const void *aad, size_t aad_len,
	void *p, size_t n, const uint8_t tag[FORMAT_TAG_LEN]);

/* Device, in blocks, counted. */
MUST_USE int device_read(struct volume *v, uint64_t block, void *p, size_t blocks);
MUST_USE int device_write(struct volume *v, uint64_t block, const void *p, size_t blocks);
MUST_USE int device_flush(struct volume *v);

/* Locks; a former holder that died is made good for. */
void state_lock(struct volume *v, enum volume_lock_mode mode);
void state_unlock(struct volume *v, enum volume_lock_mode mode);
void flow_lock(struct volume *v);
void flow_unlock(struct volume *v);

/* Report and answer -EBADMSG. Texts are literals. */
int fault_report(struct volume *v, const char *structure, const char *field, uint64_t block, uint64_t ino,
	uint64_t index, uint64_t seen, uint64_t wanted);

#define NO_NUMBER UINT64_MAX

/* SipHash-2-4 of a name under the volume's name key. */
uint64_t name_hash(const struct volume *v, const void *p, size_t n);

#endif
