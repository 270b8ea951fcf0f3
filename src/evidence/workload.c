#include "evidence/workload.h"

#include <assert.h>
#include <string.h>
#include "crypto/hash.h"
#include "crypto/key.h"
#include "evidence/check.h"
#include "measure/measure.h"

#define SIGNATURE_LEN 64
#define LAS_NONCE 32 /* where the parts of ITEM_LAS begin */
#define LAS_SIGNATURE 64
#define SIGNED_LEN (sizeof(WORKLOAD_SIGNED_LABEL) + PLATFORM_NONCE_LEN + WORKLOAD_LEN)

static_assert(LAS_SIGNATURE + SIGNATURE_LEN == WORKLOAD_LAS_LEN, "wire size");

void workload_make(const uint8_t runtime_digest[32], const uint8_t manifest_root[32],
	const uint8_t report_data[REPORT_DATA_LEN], uint8_t ret[WORKLOAD_LEN])
{
	memcpy(ret, runtime_digest, 32);
	memcpy(ret + 32, manifest_root, 32);
	memcpy(ret + 64, report_data, REPORT_DATA_LEN);
}

void workload_bind(const uint8_t item[WORKLOAD_LEN], uint8_t ret[REPORT_DATA_LEN])
{
	uint8_t bytes[sizeof(WORKLOAD_LABEL) + WORKLOAD_LEN];

	memcpy(bytes, WORKLOAD_LABEL, sizeof(WORKLOAD_LABEL));
	memcpy(bytes + sizeof(WORKLOAD_LABEL), item, WORKLOAD_LEN);
	memset(ret, 0, REPORT_DATA_LEN);
	sha256(bytes, sizeof(bytes), ret);
}

void workload_bind_las(
	const uint8_t key[32], const uint8_t nonce[PLATFORM_NONCE_LEN], uint8_t ret[REPORT_DATA_LEN])
{
	uint8_t bytes[sizeof(WORKLOAD_LAS_LABEL) + 32 + PLATFORM_NONCE_LEN], *p = bytes;

	memcpy(p, WORKLOAD_LAS_LABEL, sizeof(WORKLOAD_LAS_LABEL));
	memcpy(p += sizeof(WORKLOAD_LAS_LABEL), key, 32);
	memcpy(p + 32, nonce, PLATFORM_NONCE_LEN);
	memset(ret, 0, REPORT_DATA_LEN);
	sha256(bytes, sizeof(bytes), ret);
}

static void signed_bytes(const uint8_t nonce[PLATFORM_NONCE_LEN], const uint8_t workload[WORKLOAD_LEN],
	uint8_t ret[SIGNED_LEN])
{
	memcpy(ret, WORKLOAD_SIGNED_LABEL, sizeof(WORKLOAD_SIGNED_LABEL));
	memcpy(ret + sizeof(WORKLOAD_SIGNED_LABEL), nonce, PLATFORM_NONCE_LEN);
	memcpy(ret + sizeof(WORKLOAD_SIGNED_LABEL) + PLATFORM_NONCE_LEN, workload, WORKLOAD_LEN);
}

int workload_sign(EVP_PKEY *las, const uint8_t nonce[PLATFORM_NONCE_LEN],
	const uint8_t workload[WORKLOAD_LEN], uint8_t ret[WORKLOAD_LAS_LEN], struct error *err)
{
	uint8_t bytes[SIGNED_LEN], key[32];
	struct buf signature;
	int rc;

	signed_bytes(nonce, workload, bytes);
	buf_init(&signature, SIGNATURE_LEN);
	rc = key_ed25519_public_raw(las, key, err);
	if (rc == 0)
		rc = key_sign(las, bytes, sizeof(bytes), &signature, err);
	if (rc == 0 && signature.len != SIGNATURE_LEN)
		rc = error_set(
			err, ERR_CRYPTO, "signature has %zu bytes, wanted %d", signature.len, SIGNATURE_LEN);
	if (rc == 0) {
		memcpy(ret, key, sizeof(key));
		memcpy(ret + LAS_NONCE, nonce, PLATFORM_NONCE_LEN);
		memcpy(ret + LAS_SIGNATURE, signature.data, SIGNATURE_LEN);
	}
	buf_free(&signature);
	return rc < 0 ? error_wrap(err, "workload") : 0;
}

static int check_lengths(const struct bytes *workload, const struct bytes *las, struct error *err)
{
	if (workload->n != WORKLOAD_LEN)
		return evidence_refuse(
			err, CHECK_FORMAT, "workload: %zu bytes, wanted %d", workload->n, WORKLOAD_LEN);
	if (las->p && las->n != WORKLOAD_LAS_LEN)
		return evidence_refuse(err, CHECK_FORMAT, "workload: LAS has %zu bytes, wanted %d", las->n,
			WORKLOAD_LAS_LEN);
	return 0;
}

static int check_las(const uint8_t *las, const uint8_t *workload, struct error *err)
{
	uint8_t bytes[SIGNED_LEN];
	EVP_PKEY *key = NULL;
	int bad;

	if (key_ed25519_from_raw(las, &key, NULL) < 0)
		return evidence_refuse(
			err, CHECK_FORMAT, "workload: the key of LAS is no Ed25519 public key");
	signed_bytes(las + LAS_NONCE, workload, bytes);
	bad = key_verify(key, bytes, sizeof(bytes), las + LAS_SIGNATURE, SIGNATURE_LEN, NULL);
	EVP_PKEY_free(key);
	return bad ? evidence_refuse(err, CHECK_LAS_SIGNATURE,
			     "workload: its signature is not by the key of LAS that the platform's evidence "
			     "is about")
		   : 0;
}

int workload_verify(const struct evidence *e,
	int (*verify)(const struct evidence *e, const struct verify_context *ctx, struct verdict *ret,
		struct error *err),
	const struct verify_context *ctx, struct verdict *ret, struct error *err)
{
	const struct bytes item = e->item[ITEM_WORKLOAD], las = e->item[ITEM_LAS];
	struct verify_context inner = *ctx;
	uint8_t bound[REPORT_DATA_LEN];
	struct verdict v = {0};

	if (check_lengths(&item, &las, err) < 0)
		return -1;
	if (las.p)
		workload_bind_las(las.p, las.p + LAS_NONCE, bound);
	else
		workload_bind(item.p, bound);
	inner.report_data = bound;
	if (verify(e, &inner, &v, err) < 0)
		return -1;
	/* Whatever the type's verifier did with the report data it was given. */
	if (verify_report_data(&inner, "platform", v.report_data, err) < 0 ||
		(las.p && check_las(las.p, item.p, err) < 0))
		return -1;
	if (las.p) {
		v.by_las = true;
		memcpy(v.las_key, las.p, sizeof(v.las_key));
		memcpy(v.platform_nonce, las.p + LAS_NONCE, PLATFORM_NONCE_LEN);
	}
	memcpy(v.runtime_digest, item.p, 32);
	memcpy(v.manifest_root, item.p + 32, 32);
	memcpy(v.report_data, item.p + 64, REPORT_DATA_LEN);
	measurement(v.runtime_digest, v.manifest_root, v.measurement);
	if (verify_report_data(ctx, "workload", v.report_data, err) < 0)
		return -1;
	*ret = v;
	return 0;
}
