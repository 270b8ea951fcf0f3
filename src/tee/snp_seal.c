#include "tee/snp_seal.h"

#include <string.h>
#include "core/secret.h"
#include "crypto/aead.h"
#include "crypto/hash.h"
#include "tee/sev_guest.h"

#define SEAL_MAGIC "SCSNPS01"
#define SEAL_LABEL "openscone-snp-seal-v1"
/* Fixed: with fewer fields, another guest of the chip could make sealed data that this one takes for its own. */
#define SEAL_MIX (SEV_GUEST_MIX_POLICY | SEV_GUEST_MIX_MEASUREMENT | SEV_GUEST_MIX_TCB)

static int derive(uint64_t tcb, uint8_t ret[AEAD_KEY_LEN], struct error *err)
{
	const struct sev_guest_key k = {.mix = SEAL_MIX, .tcb = tcb};
	uint8_t root[SEV_GUEST_KEY_LEN];
	int rc = sev_guest_derive(&k, root, err);

	if (rc == 0)
		rc = hkdf_sha256(root, sizeof(root), NULL, 0, SEAL_LABEL, ret, AEAD_KEY_LEN, err);
	secret_wipe(root, sizeof(root));
	return rc;
}

static int additional(uint64_t tcb, const char *label, struct buf *ret, struct error *err)
{
	buf_init(ret, 1024);
	buf_put(ret, SEAL_LABEL, sizeof(SEAL_LABEL));
	buf_put_u64be(ret, SEAL_MIX);
	buf_put_u64be(ret, tcb);
	buf_puts(ret, label);
	if (!ret->failed)
		return 0;
	buf_free(ret);
	return error_set(err, ERR_LIMIT, "label of %zu bytes is too long", strlen(label));
}

int snp_seal(uint64_t tcb, const char *label, const void *p, size_t n, struct buf *out, struct error *err)
{
	uint8_t key[AEAD_KEY_LEN];
	size_t start = out->len;
	struct buf aad;
	int rc;

	if (additional(tcb, label, &aad, err) < 0)
		return -1;
	rc = derive(tcb, key, err);
	if (rc == 0) {
		buf_put(out, SEAL_MAGIC, sizeof(SEAL_MAGIC) - 1);
		buf_put_u64be(out, SEAL_MIX);
		buf_put_u64be(out, tcb);
		rc = aead_seal(key, aad.data, aad.len, p, n, out, err);
	}
	secret_wipe(key, sizeof(key));
	buf_free(&aad);
	if (rc < 0)
		buf_truncate(out, start);
	return rc;
}

int snp_unseal(const char *label, const void *p, size_t n, struct buf *out, struct error *err)
{
	uint8_t key[AEAD_KEY_LEN];
	const uint8_t *magic;
	uint64_t mix, tcb;
	struct buf aad;
	struct rd r;
	int rc;

	rd_init(&r, p, n);
	magic = rd_bytes(&r, sizeof(SEAL_MAGIC) - 1);
	mix = rd_u64be(&r);
	tcb = rd_u64be(&r);
	if (r.failed || memcmp(magic, SEAL_MAGIC, sizeof(SEAL_MAGIC) - 1) != 0 || mix != SEAL_MIX)
		return error_set(err, ERR_CRYPTO, "%zu bytes are nothing that this driver sealed", n);
	if (additional(tcb, label, &aad, err) < 0)
		return -1;
	rc = derive(tcb, key, err);
	if (rc == 0 && aead_open(key, aad.data, aad.len, r.p, r.left, out, err) < 0)
		rc = error_wrap(err,
			"sealed for TCB 0x%016llx: by another chip, by a guest that was started as "
			"another one, or changed",
			(unsigned long long)tcb);
	secret_wipe(key, sizeof(key));
	buf_free(&aad);
	return rc;
}
