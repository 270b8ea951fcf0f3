#include "tee/tpm_seal.h"

#include <stdlib.h>
#include <string.h>
#include <tss2/tss2_mu.h>
#include "core/secret.h"
#include "crypto/aead.h"
#include "crypto/hash.h"
#include "tee/tpm_device.h"

#define SEAL_MAGIC "SCTPMS01"
#define SEAL_LABEL "openscone-tpm-seal-v1"
#define OBJECT_MAX 2048
#define PCR_COUNT 24
#define NV_FIRST 0x01800000u /* owner's part of the NV indices (TCG registry of reserved handles) */
#define NV_BITS 22
#define COUNTER_LEN 8

int tpm_seal_pcrs(uint32_t *ret, struct error *err)
{
	const char *text = getenv(TPM_SEAL_PCRS_ENV), *at = text;
	uint32_t mask = 0;

	if (!text || !*text) {
		*ret = TPM_SEAL_PCRS_DEFAULT;
		return 0;
	}
	if (strcmp(text, "none") == 0) {
		*ret = 0;
		return 0;
	}
	for (;;) {
		char *end;
		unsigned long n = strtoul(at, &end, 10);

		if (end == at || *at < '0' || *at > '9' || n >= PCR_COUNT || (*end && *end != ','))
			return error_set(err, ERR_INPUT,
				TPM_SEAL_PCRS_ENV " is \"%s\", wanted numbers below %d with "
						  "commas between, or \"none\"",
				text, PCR_COUNT);
		mask |= 1u << n;
		if (!*end)
			break;
		at = end + 1;
	}
	*ret = mask;
	return 0;
}

static TPML_PCR_SELECTION selection(uint32_t mask)
{
	TPML_PCR_SELECTION s = {.count = 1};

	s.pcrSelections[0].hash = TPM2_ALG_SHA256;
	s.pcrSelections[0].sizeofSelect = 3;
	for (int i = 0; i < 3; i++)
		s.pcrSelections[0].pcrSelect[i] = (BYTE)(mask >> 8 * i);
	return s;
}

/* A session whose policy is the present state of these PCRs. */
static int pcr_session(
	struct tpm_device *d, ESYS_TR key, TPM2_SE type, uint32_t mask, ESYS_TR *ret, struct error *err)
{
	const TPML_PCR_SELECTION pcrs = selection(mask);
	TSS2_RC rc;

	if (tpm_salted_session(d, key, type, ret, err) < 0)
		return -1;
	rc = Esys_PolicyPCR(d->esys, *ret, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, NULL, &pcrs);
	return rc == TSS2_RC_SUCCESS ? 0 : tpm_device_error(err, rc, "no policy over PCRs");
}

static int object_template(
	struct tpm_device *d, ESYS_TR key, uint32_t mask, TPM2B_PUBLIC *ret, struct error *err)
{
	TPM2B_PUBLIC p = {0};
	TPM2B_DIGEST *policy = NULL;
	ESYS_TR trial;
	TSS2_RC rc;

	if (pcr_session(d, key, TPM2_SE_TRIAL, mask, &trial, err) < 0)
		return -1;
	rc = Esys_PolicyGetDigest(d->esys, trial, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &policy);
	if (rc != TSS2_RC_SUCCESS)
		return tpm_device_error(err, rc, "no digest of the policy");
	p.publicArea.type = TPM2_ALG_KEYEDHASH;
	p.publicArea.nameAlg = TPM2_ALG_SHA256;
	p.publicArea.objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |
					TPMA_OBJECT_ADMINWITHPOLICY | TPMA_OBJECT_NODA;
	p.publicArea.authPolicy = *policy;
	p.publicArea.parameters.keyedHashDetail.scheme.scheme = TPM2_ALG_NULL;
	Esys_Free(policy);
	*ret = p;
	return 0;
}

static int put_object(
	const TPM2B_PUBLIC *public, const TPM2B_PRIVATE *private, struct buf *out, struct error *err)
{
	uint8_t bytes[OBJECT_MAX];
	size_t n = 0, m = 0;
	TSS2_RC rc = Tss2_MU_TPM2B_PUBLIC_Marshal(public, bytes, sizeof(bytes), &n);

	if (rc == TSS2_RC_SUCCESS) {
		buf_put_block(out, bytes, n);
		rc = Tss2_MU_TPM2B_PRIVATE_Marshal(private, bytes, sizeof(bytes), &m);
	}
	if (rc != TSS2_RC_SUCCESS)
		return tpm_device_error(err, rc, "sealed key not written");
	buf_put_block(out, bytes, m);
	return out->failed ? error_set(err, ERR_LIMIT, "no room for a sealed key") : 0;
}

/* The key, sealed by the TPM, as two blocks. */
static int seal_key(struct tpm_device *d, uint32_t mask, const uint8_t key[AEAD_KEY_LEN], struct buf *out,
	struct error *err)
{
	static const TPM2B_DATA outside;
	static const TPML_PCR_SELECTION no_pcrs;
	TPM2B_SENSITIVE_CREATE sensitive = {.sensitive.data.size = AEAD_KEY_LEN};
	TPM2B_PUBLIC template, *public = NULL;
	TPM2B_PRIVATE *private = NULL;
	ESYS_TR parent, session;
	TSS2_RC rc;
	int done;

	if (tpm_storage_key(d, &parent, err) < 0 || object_template(d, parent, mask, &template, err) < 0 ||
		tpm_salted_session(d, parent, TPM2_SE_HMAC, &session, err) < 0)
		return -1;
	memcpy(sensitive.sensitive.data.buffer, key, AEAD_KEY_LEN);
	rc = Esys_Create(d->esys, parent, session, ESYS_TR_NONE, ESYS_TR_NONE, &sensitive, &template,
		&outside, &no_pcrs, &private, &public, NULL, NULL, NULL);
	secret_wipe(&sensitive, sizeof(sensitive));
	done = rc == TSS2_RC_SUCCESS ? put_object(public, private, out, err)
				     : tpm_device_error(err, rc, "key not sealed");
	Esys_Free(public);
	Esys_Free(private);
	return done;
}

/* Additional data: SEAL_LABEL, a zero byte, the mask, the label. */
static int additional(uint32_t mask, const char *label, struct buf *ret, struct error *err)
{
	buf_init(ret, 1024);
	buf_put(ret, SEAL_LABEL, sizeof(SEAL_LABEL));
	buf_put_u32be(ret, mask);
	buf_puts(ret, label);
	if (!ret->failed)
		return 0;
	buf_free(ret);
	return error_set(err, ERR_LIMIT, "tpm: label of %zu bytes is too long", strlen(label));
}

static int seal_under(const uint8_t key[AEAD_KEY_LEN], uint32_t mask, const char *label, const void *p,
	size_t n, struct buf *out, struct error *err)
{
	struct buf aad;
	int rc;

	if (additional(mask, label, &aad, err) < 0)
		return -1;
	rc = aead_seal(key, aad.data, aad.len, p, n, out, err);
	buf_free(&aad);
	return rc;
}

int tpm_seal(uint32_t pcrs, const char *label, const void *p, size_t n, struct buf *out, struct error *err)
{
	uint8_t key[AEAD_KEY_LEN];
	size_t start = out->len;
	struct tpm_device d;
	int rc;

	if (random_bytes(key, sizeof(key), err) < 0 || tpm_device_open(&d, err) < 0)
		return -1;
	buf_put(out, SEAL_MAGIC, sizeof(SEAL_MAGIC) - 1);
	buf_put_u32be(out, pcrs);
	rc = seal_key(&d, pcrs, key, out, err);
	tpm_device_close(&d);
	if (rc == 0)
		rc = seal_under(key, pcrs, label, p, n, out, err);
	secret_wipe(key, sizeof(key));
	if (rc < 0)
		buf_truncate(out, start);
	return rc;
}

struct sealed {
	uint32_t mask;
	TPM2B_PUBLIC public;
	TPM2B_PRIVATE private;
	const uint8_t *text;
	size_t text_len;
};

static int parse(const void *p, size_t n, struct sealed *s, struct error *err)
{
	const uint8_t *magic, *public, *private;
	size_t public_len, private_len, a = 0, b = 0;
	struct rd r;

	memset(s, 0, sizeof(*s));
	rd_init(&r, p, n);
	magic = rd_bytes(&r, sizeof(SEAL_MAGIC) - 1);
	s->mask = rd_u32be(&r);
	public = rd_block(&r, OBJECT_MAX, &public_len);
	private = rd_block(&r, OBJECT_MAX, &private_len);
	if (r.failed || !public || !private || memcmp(magic, SEAL_MAGIC, sizeof(SEAL_MAGIC) - 1) != 0 ||
		s->mask >> PCR_COUNT ||
		Tss2_MU_TPM2B_PUBLIC_Unmarshal(public, public_len, &a, &s->public) != TSS2_RC_SUCCESS ||
		Tss2_MU_TPM2B_PRIVATE_Unmarshal(private, private_len, &b, &s->private) != TSS2_RC_SUCCESS ||
		a != public_len || b != private_len)
		return error_set(err, ERR_CRYPTO, "tpm: %zu bytes are nothing that this driver sealed", n);
	s->text = r.p;
	s->text_len = r.left;
	return 0;
}

static int unseal_key(
	struct tpm_device *d, const struct sealed *s, uint8_t ret[AEAD_KEY_LEN], struct error *err)
{
	TPM2B_SENSITIVE_DATA *data = NULL;
	ESYS_TR parent, session, object;
	TSS2_RC rc;

	if (tpm_storage_key(d, &parent, err) < 0)
		return -1;
	rc = Esys_Load(d->esys, parent, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &s->private, &s->public,
		&object);
	if (rc != TSS2_RC_SUCCESS) {
		tpm_device_error(err, rc, "sealed key not loaded; it was changed, or another TPM sealed it");
		if (err)
			err->code = ERR_CRYPTO;
		return -1;
	}
	tpm_device_keep(d, object);
	if (pcr_session(d, parent, TPM2_SE_POLICY, s->mask, &session, err) < 0)
		return -1;
	rc = Esys_Unseal(d->esys, object, session, ESYS_TR_NONE, ESYS_TR_NONE, &data);
	if (tpm_plain_error(rc) == TPM2_RC_POLICY_FAIL)
		return error_set(err, ERR_ACCESS,
			"tpm %s: a PCR of the set 0x%x is not what it was when this was sealed", tpm_tcti(),
			s->mask);
	if (rc != TSS2_RC_SUCCESS)
		return tpm_device_error(err, rc, "key not unsealed");
	if (data->size == AEAD_KEY_LEN)
		memcpy(ret, data->buffer, AEAD_KEY_LEN);
	else
		rc = TPM2_RC_SIZE;
	secret_wipe(data, sizeof(*data));
	Esys_Free(data);
	return rc == TSS2_RC_SUCCESS ? 0
				     : error_set(err, ERR_CRYPTO, "tpm: the sealed key has another length");
}

int tpm_unseal(const char *label, const void *p, size_t n, struct buf *out, struct error *err)
{
	uint8_t key[AEAD_KEY_LEN];
	struct tpm_device d;
	struct sealed s;
	struct buf aad;
	int rc;

	if (parse(p, n, &s, err) < 0 || tpm_device_open(&d, err) < 0)
		return -1;
	rc = unseal_key(&d, &s, key, err);
	tpm_device_close(&d);
	if (rc == 0)
		rc = additional(s.mask, label, &aad, err);
	if (rc == 0) {
		rc = aead_open(key, aad.data, aad.len, s.text, s.text_len, out, err);
		buf_free(&aad);
	}
	secret_wipe(key, sizeof(key));
	return rc;
}

static TPM2_HANDLE counter_index(const char *label)
{
	uint8_t hash[SHA256_LEN];

	sha256(label, strlen(label), hash);
	return NV_FIRST |
	       (((uint32_t)hash[0] << 16 | (uint32_t)hash[1] << 8 | hash[2]) & ((1u << NV_BITS) - 1));
}

/* *ret is ESYS_TR_NONE when there is no such index. */
static int find_counter(struct tpm_device *d, TPM2_HANDLE index, ESYS_TR *ret, struct error *err)
{
	TSS2_RC rc = Esys_TR_FromTPMPublic(d->esys, index, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, ret);
	TPM2B_NV_PUBLIC *public = NULL;
	bool counter;

	if (tpm_plain_error(rc) == TPM2_RC_HANDLE) {
		*ret = ESYS_TR_NONE;
		return 0;
	}
	if (rc == TSS2_RC_SUCCESS)
		rc = Esys_NV_ReadPublic(
			d->esys, *ret, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &public, NULL);
	if (rc != TSS2_RC_SUCCESS)
		return tpm_device_error(err, rc, "counter not found");
	/* Whoever put an ordinary index in its place could write what it wants into it. */
	counter = (public->nvPublic.attributes & TPMA_NV_TPM2_NT_MASK) >> TPMA_NV_TPM2_NT_SHIFT ==
		  TPM2_NT_COUNTER;
	Esys_Free(public);
	return counter ? 0
		       : error_set(err, ERR_ACCESS, "tpm %s: NV index 0x%x is no counter, wanted one",
				 tpm_tcti(), index);
}

static int define_counter(
	struct tpm_device *d, ESYS_TR session, TPM2_HANDLE index, ESYS_TR *ret, struct error *err)
{
	static const TPM2B_AUTH no_auth;
	const TPM2B_NV_PUBLIC public = {
		.nvPublic = {.nvIndex = index,
			.nameAlg = TPM2_ALG_SHA256,
			.attributes = (TPM2_NT_COUNTER << TPMA_NV_TPM2_NT_SHIFT) | TPMA_NV_AUTHWRITE |
				      TPMA_NV_AUTHREAD | TPMA_NV_OWNERREAD | TPMA_NV_OWNERWRITE |
				      TPMA_NV_NO_DA,
			.dataSize = COUNTER_LEN}};
	TSS2_RC rc = Esys_NV_DefineSpace(
		d->esys, ESYS_TR_RH_OWNER, session, ESYS_TR_NONE, ESYS_TR_NONE, &no_auth, &public, ret);

	return rc == TSS2_RC_SUCCESS ? 0 : tpm_device_error(err, rc, "no counter made");
}

static int counter_with(
	struct tpm_device *d, const char *label, bool increment, uint64_t *ret, struct error *err)
{
	TPM2_HANDLE index = counter_index(label);
	TPM2B_MAX_NV_BUFFER *data = NULL;
	ESYS_TR key, session, nv;
	uint64_t value = 0;
	TSS2_RC rc = TSS2_RC_SUCCESS;

	if (tpm_storage_key(d, &key, err) < 0 ||
		tpm_salted_session(d, key, TPM2_SE_HMAC, &session, err) < 0 ||
		find_counter(d, index, &nv, err) < 0)
		return -1;
	if (nv == ESYS_TR_NONE && !increment)
		return error_set(err, ERR_NOT_FOUND, "tpm %s: there is no counter for \"%s\" (NV index 0x%x)",
			tpm_tcti(), label, index);
	if (nv == ESYS_TR_NONE && define_counter(d, session, index, &nv, err) < 0)
		return -1;
	if (increment)
		rc = Esys_NV_Increment(d->esys, nv, nv, session, ESYS_TR_NONE, ESYS_TR_NONE);
	if (rc == TSS2_RC_SUCCESS)
		rc = Esys_NV_Read(
			d->esys, nv, nv, session, ESYS_TR_NONE, ESYS_TR_NONE, COUNTER_LEN, 0, &data);
	if (tpm_plain_error(rc) == TPM2_RC_NV_UNINITIALIZED)
		return error_set(err, ERR_NOT_FOUND, "tpm %s: the counter for \"%s\" never counted",
			tpm_tcti(), label);
	if (rc != TSS2_RC_SUCCESS)
		return tpm_device_error(err, rc, "counter not read or increased");
	for (size_t i = 0; i < COUNTER_LEN && i < data->size; i++)
		value = value << 8 | data->buffer[i];
	Esys_Free(data);
	*ret = value;
	return 0;
}

static int counter(const char *label, bool increment, uint64_t *ret, struct error *err)
{
	struct tpm_device d;
	int rc;

	if (tpm_device_open(&d, err) < 0)
		return -1;
	rc = counter_with(&d, label, increment, ret, err);
	tpm_device_close(&d);
	return rc;
}

int tpm_counter_read(const char *label, uint64_t *ret, struct error *err)
{
	return counter(label, false, ret, err);
}

int tpm_counter_increment(const char *label, uint64_t *ret, struct error *err)
{
	return counter(label, true, ret, err);
}
