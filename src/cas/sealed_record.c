#include "cas/sealed_record.h"

#include <string.h>
#include "core/encode.h"
#include "crypto/aead.h"

#define DOMAIN "openscone-record-v1" /* with its NUL */
#define GENERATION_LEN 8
#define AAD_LEN (sizeof(DOMAIN) + STORE_KEY_LEN + GENERATION_LEN)

int sealed_keys_derive(const uint8_t master[32], struct sealed_keys *ret, struct error *err)
{
	if (hkdf_sha256(master, 32, NULL, 0, "openscone-cas-record-names", ret->name, 32, err) ||
		hkdf_sha256(master, 32, NULL, 0, "openscone-cas-record-values", ret->value, 32, err) ||
		hkdf_sha256(master, 32, NULL, 0, "openscone-cas-record-set", ret->set, 32, err))
		return -1;
	hmac_sha256(ret->name, sizeof(ret->name), "head", 4, ret->head);
	return 0;
}

int sealed_record_key(const struct sealed_keys *k, const char *table, const char *name,
	uint8_t ret[STORE_KEY_LEN], struct error *err)
{
	struct buf b;
	int rc = 0;

	buf_init(&b, SEALED_TABLE_MAX + 1 + SEALED_NAME_MAX);
	buf_put(&b, table, strlen(table) + 1);
	buf_put(&b, name, strlen(name));
	if (b.failed)
		rc = error_set(err, ERR_LIMIT, "record name of %zu bytes is too long", strlen(name));
	else
		hmac_sha256(k->name, sizeof(k->name), b.data, b.len, ret);
	buf_free(&b);
	return rc;
}

void sealed_record_element(const struct sealed_keys *k, const uint8_t key[STORE_KEY_LEN],
	const uint8_t digest[SHA256_LEN], uint8_t ret[SHA256_LEN])
{
	uint8_t both[STORE_KEY_LEN + SHA256_LEN];

	memcpy(both, key, STORE_KEY_LEN);
	memcpy(both + STORE_KEY_LEN, digest, SHA256_LEN);
	hmac_sha256(k->set, sizeof(k->set), both, sizeof(both), ret);
}

static void aad_of(
	const uint8_t key[STORE_KEY_LEN], const uint8_t generation[GENERATION_LEN], uint8_t ret[AAD_LEN])
{
	memcpy(ret, DOMAIN, sizeof(DOMAIN));
	memcpy(ret + sizeof(DOMAIN), key, STORE_KEY_LEN);
	memcpy(ret + sizeof(DOMAIN) + STORE_KEY_LEN, generation, GENERATION_LEN);
}

int sealed_record_seal(const struct sealed_keys *k, const uint8_t key[STORE_KEY_LEN], uint64_t generation,
	const char *table, const char *name, const void *content, size_t len, struct buf *out,
	struct error *err)
{
	uint8_t aad[AAD_LEN];
	struct buf plain;
	int rc;

	buf_init_secret(&plain, STORE_VALUE_MAX);
	buf_put_block(&plain, table, strlen(table));
	buf_put_block(&plain, name, strlen(name));
	buf_put(&plain, content, len);
	buf_put_u64be(out, generation);
	if (plain.failed || out->failed) {
		rc = error_set(err, ERR_NOMEM, "out of memory for a record of %zu bytes", len);
	} else {
		aad_of(key, out->data + out->len - GENERATION_LEN, aad);
		rc = aead_seal(k->value, aad, sizeof(aad), plain.data, plain.len, out, err);
	}
	buf_free(&plain);
	return rc;
}

static int text_of(struct rd *r, char *ret, size_t max)
{
	size_t n;
	const uint8_t *p = rd_block(r, max, &n);

	if (!p || memchr(p, '\0', n))
		return -1;
	memcpy(ret, p, n);
	ret[n] = '\0';
	return 0;
}

int sealed_record_open(const struct sealed_keys *k, const uint8_t key[STORE_KEY_LEN], const void *value,
	size_t len, struct sealed_record *ret, struct error *err)
{
	uint8_t aad[AAD_LEN];
	const uint8_t *p = value;
	char hex[17];
	struct rd r;

	buf_init_secret(&ret->plain, STORE_VALUE_MAX);
	hex_encode(key, 8, hex);
	if (len < GENERATION_LEN + AEAD_OVERHEAD)
		return error_set(err, ERR_CRYPTO,
			"record %s… has %zu bytes, fewer than any record: it was changed outside of CAS", hex,
			len);
	aad_of(key, p, aad);
	if (aead_open(
		    k->value, aad, sizeof(aad), p + GENERATION_LEN, len - GENERATION_LEN, &ret->plain, NULL))
		return error_set(err, ERR_CRYPTO,
			"record %s… does not authenticate: it was changed, or moved there from another place",
			hex);
	rd_init(&r, p, GENERATION_LEN);
	ret->generation = rd_u64be(&r);
	rd_init(&r, ret->plain.data, ret->plain.len);
	if (text_of(&r, ret->table, SEALED_TABLE_MAX) || text_of(&r, ret->name, SEALED_NAME_MAX))
		return error_set(err, ERR_INTERNAL, "a record that authenticates has no table and name");
	ret->content = r.p;
	ret->len = r.left;
	return 0;
}

void sealed_record_free(struct sealed_record *r)
{
	buf_free(&r->plain);
}
