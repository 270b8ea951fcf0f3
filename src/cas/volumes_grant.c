#include "cas/volumes_grant.h"

#include <stdlib.h>
#include <string.h>
#include "core/secret.h"
#include "crypto/aead.h"
#include "crypto/hash.h"

#define FORMAT 1
#define TABLE_CAS "cas"
#define KEY_RECORD "volume-grant-key"
#define DOMAIN "openscone-volume-grant-v1" /* with its NUL */
#define TEXT_MAX 4096

/* One key a store, made when it is first needed. */
static int grant_key(struct sealed_store *ss, uint8_t ret[AEAD_KEY_LEN], struct error *err)
{
	struct error why = {0};
	struct buf b;
	int rc;

	buf_init_secret(&b, 1024);
	rc = sealed_store_get(ss, TABLE_CAS, KEY_RECORD, &b, &why);
	if (rc && why.code == ERR_NOT_FOUND) {
		struct sealed_change change = {
			.table = TABLE_CAS, .name = KEY_RECORD, .content = ret, .len = AEAD_KEY_LEN};

		rc = random_bytes(ret, AEAD_KEY_LEN, err) ? -1 : sealed_store_apply(ss, &change, 1, err);
	} else if (rc && err) {
		*err = why;
	} else if (!rc && b.len != AEAD_KEY_LEN) {
		rc = error_set(err, ERR_INTERNAL, "the key of volume grants has %zu bytes, wanted %d", b.len,
			AEAD_KEY_LEN);
	} else if (!rc) {
		memcpy(ret, b.data, AEAD_KEY_LEN);
	}
	buf_free(&b);
	return rc;
}

static size_t aad_of(const uint8_t client_key[32], uint8_t ret[sizeof(DOMAIN) + 32])
{
	memcpy(ret, DOMAIN, sizeof(DOMAIN));
	memcpy(ret + sizeof(DOMAIN), client_key, 32);
	return sizeof(DOMAIN) + 32;
}

int volume_grant_seal(struct sealed_store *ss, const struct volume_grant *g, const uint8_t client_key[32],
	struct buf *out, struct error *err)
{
	uint8_t key[AEAD_KEY_LEN], aad[sizeof(DOMAIN) + 32];
	size_t aad_len = aad_of(client_key, aad);
	struct buf plain;
	int rc;

	buf_init(&plain, VOLUME_GRANT_MAX - AEAD_OVERHEAD);
	buf_put_u8(&plain, FORMAT);
	buf_put_u8(&plain, (uint8_t)g->policy);
	buf_put(&plain, g->hash, sizeof(g->hash));
	buf_put_block(&plain, g->session, strlen(g->session));
	buf_put_block(&plain, g->volume, strlen(g->volume));
	buf_put_block(&plain, g->owner, strlen(g->owner));
	buf_put_block(&plain, g->item, strlen(g->item));
	rc = plain.failed ? error_set(err, ERR_LIMIT, "the grant of volume \"%s\" is too long", g->volume)
			  : grant_key(ss, key, err);
	if (!rc) {
		rc = aead_seal(key, aad, aad_len, plain.data, plain.len, out, err);
		secret_wipe(key, sizeof(key));
	}
	buf_free(&plain);
	return rc;
}

static char *take_text(struct rd *r)
{
	size_t n = 0;
	const uint8_t *p = rd_block(r, TEXT_MAX, &n);

	return p ? strndup((const char *)p, n) : NULL;
}

static int decode(const struct buf *b, struct volume_grant *ret, struct error *err)
{
	struct rd r;
	const uint8_t *hash;
	uint8_t format, policy;

	rd_init(&r, b->data, b->len);
	format = rd_u8(&r);
	policy = rd_u8(&r);
	hash = rd_bytes(&r, SESSION_HASH_LEN);
	if (!hash || format != FORMAT || policy > UPDATE_STRICT)
		return error_set(err, ERR_ACCESS, "the grant is of a form that this CAS does not know");
	memcpy(ret->hash, hash, SESSION_HASH_LEN);
	ret->policy = (enum update_policy)policy;
	ret->session = take_text(&r);
	ret->volume = take_text(&r);
	ret->owner = take_text(&r);
	ret->item = take_text(&r);
	if (!ret->session || !ret->volume || !ret->owner || !ret->item || !rd_done(&r)) {
		volume_grant_free(ret);
		return error_set(err, ERR_NOMEM, "no memory for a grant");
	}
	return 0;
}

int volume_grant_open(struct sealed_store *ss, const void *p, size_t n, const uint8_t client_key[32],
	struct volume_grant *ret, struct error *err)
{
	uint8_t key[AEAD_KEY_LEN], aad[sizeof(DOMAIN) + 32];
	size_t aad_len = aad_of(client_key, aad);
	struct volume_grant g = {0};
	struct buf plain;
	int rc;

	if (grant_key(ss, key, err))
		return -1;
	buf_init(&plain, VOLUME_GRANT_MAX);
	rc = aead_open(key, aad, aad_len, p, n, &plain, NULL);
	secret_wipe(key, sizeof(key));
	if (rc)
		error_set(err, ERR_ACCESS, "this grant was not given by this CAS to the key that asks");
	else
		rc = decode(&plain, &g, err);
	buf_free(&plain);
	if (!rc)
		*ret = g;
	return rc;
}

void volume_grant_free(struct volume_grant *g)
{
	free(g->session);
	free(g->volume);
	free(g->owner);
	free(g->item);
	*g = (struct volume_grant){0};
}
