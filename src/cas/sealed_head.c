#include "cas/sealed_head.h"

#include <string.h>

#define HEAD_DOMAIN "openscone-head-v1" /* with its NUL */
#define AAD_LEN (sizeof(HEAD_DOMAIN) + STORE_KEY_LEN)

void sealed_head_add(struct sealed_head *h, const uint8_t x[SHA256_LEN])
{
	unsigned carry = 0;

	for (int i = 0; i < SHA256_LEN; i++) {
		carry += (unsigned)h->sum[i] + x[i];
		h->sum[i] = (uint8_t)carry;
		carry >>= 8;
	}
	h->count++;
}

void sealed_head_remove(struct sealed_head *h, const uint8_t x[SHA256_LEN])
{
	int borrow = 0;

	for (int i = 0; i < SHA256_LEN; i++) {
		int d = h->sum[i] - x[i] - borrow;

		borrow = d < 0;
		h->sum[i] = (uint8_t)d;
	}
	h->count--;
}

static void aad_of(const uint8_t key[STORE_KEY_LEN], uint8_t ret[AAD_LEN])
{
	memcpy(ret, HEAD_DOMAIN, sizeof(HEAD_DOMAIN));
	memcpy(ret + sizeof(HEAD_DOMAIN), key, STORE_KEY_LEN);
}

int sealed_head_seal(const struct sealed_head *h, const uint8_t value_key[AEAD_KEY_LEN],
	const uint8_t key[STORE_KEY_LEN], struct buf *out, struct error *err)
{
	uint8_t aad[AAD_LEN];
	struct buf plain;
	int rc;

	aad_of(key, aad);
	buf_init(&plain, SEALED_HEAD_LEN);
	buf_put_u64be(&plain, h->generation);
	buf_put_u64be(&plain, h->count);
	buf_put_u64be(&plain, h->counter);
	buf_put(&plain, h->sum, SHA256_LEN);
	rc = plain.failed ? error_set(err, ERR_NOMEM, "out of memory")
			  : aead_seal(value_key, aad, sizeof(aad), plain.data, plain.len, out, err);
	buf_free(&plain);
	return rc;
}

int sealed_head_open(const void *p, size_t n, const uint8_t value_key[AEAD_KEY_LEN],
	const uint8_t key[STORE_KEY_LEN], struct sealed_head *ret, struct error *err)
{
	const uint8_t *sum;
	uint8_t aad[AAD_LEN];
	struct sealed_head h;
	struct buf plain;
	struct rd r;
	int rc = 0;

	aad_of(key, aad);
	buf_init(&plain, SEALED_HEAD_SEALED_LEN);
	if (n != SEALED_HEAD_SEALED_LEN || aead_open(value_key, aad, sizeof(aad), p, n, &plain, NULL)) {
		rc = error_set(err, ERR_CRYPTO,
			"the head record does not authenticate: it was changed outside of CAS");
	} else {
		rd_init(&r, plain.data, plain.len);
		h.generation = rd_u64be(&r);
		h.count = rd_u64be(&r);
		h.counter = rd_u64be(&r);
		sum = rd_bytes(&r, SHA256_LEN);
		if (rd_done(&r))
			memcpy(h.sum, sum, SHA256_LEN);
		else
			rc = error_set(err, ERR_INTERNAL, "a head record that authenticates has %zu bytes",
				plain.len);
	}
	buf_free(&plain);
	if (rc == 0)
		*ret = h;
	return rc;
}
