#include "tee/tpm_quote.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <tss2/tss2_mu.h>
#include <unistd.h>
#include "crypto/key.h"
#include "evidence/eventlog.h"
#include "evidence/tpm_key.h"

#define NV_CHUNK 512
#define DER_SEQUENCE 0x30
#define DER_TWO_BYTES 0x82 /* a length of two bytes follows */
#define CERTIFICATE_MAX 8192
#define QUOTE_TRIES 5 /* a PCR may be extended between reading and quoting */

static TPM2B_PUBLIC ak_template(void)
{
	TPM2B_PUBLIC p = {0};
	TPMT_PUBLIC *a = &p.publicArea;
	TPMS_ECC_PARMS *e = &a->parameters.eccDetail;

	a->type = TPM2_ALG_ECC;
	a->nameAlg = TPM2_ALG_SHA256;
	a->objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |
			      TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_RESTRICTED |
			      TPMA_OBJECT_SIGN_ENCRYPT | TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_NODA;
	e->symmetric.algorithm = TPM2_ALG_NULL;
	e->scheme.scheme = TPM2_ALG_ECDSA;
	e->scheme.details.ecdsa.hashAlg = TPM2_ALG_SHA256;
	e->curveID = TPM2_ECC_NIST_P256;
	e->kdf.scheme = TPM2_ALG_NULL;
	return p;
}

static int put_parts(enum tpm_ek which, const TPM2B_PUBLIC *public, const TPM2B_PRIVATE *private,
	struct buf *out, struct error *err)
{
	uint8_t bytes[TPM_AK_MAX];
	size_t n = 0;
	TSS2_RC rc = Tss2_MU_TPM2B_PUBLIC_Marshal(public, bytes, sizeof(bytes), &n);

	if (rc == TSS2_RC_SUCCESS)
		rc = Tss2_MU_TPM2B_PRIVATE_Marshal(private, bytes, sizeof(bytes), &n);
	if (rc != TSS2_RC_SUCCESS)
		return tpm_device_error(err, rc, "attestation key not written");
	buf_put(out, bytes, n);
	buf_put_u16be(out, (uint16_t)which);
	return out->failed ? error_set(err, ERR_LIMIT, "no room for an attestation key") : 0;
}

static int make_with(struct tpm_device *d, struct buf *out, struct error *err)
{
	static const TPM2B_SENSITIVE_CREATE sensitive;
	static const TPM2B_DATA outside;
	static const TPML_PCR_SELECTION no_pcrs;
	const TPM2B_PUBLIC template = ak_template();
	TPM2B_PUBLIC *public = NULL;
	TPM2B_PRIVATE *private = NULL;
	enum tpm_ek which = tpm_endorsement_choose(d);
	ESYS_TR ek, session;
	TSS2_RC rc;
	int done;

	if (tpm_endorsement_key(d, which, &ek, NULL, err) < 0 ||
		tpm_endorsement_session(d, &session, err) < 0)
		return -1;
	rc = Esys_Create(d->esys, ek, session, ESYS_TR_NONE, ESYS_TR_NONE, &sensitive, &template, &outside,
		&no_pcrs, &private, &public, NULL, NULL, NULL);
	done = rc == TSS2_RC_SUCCESS ? put_parts(which, public, private, out, err)
				     : tpm_device_error(err, rc, "no attestation key");
	Esys_Free(public);
	Esys_Free(private);
	return done;
}

int tpm_ak_make(struct buf *out, struct error *err)
{
	struct tpm_device d;
	int rc;

	if (tpm_device_open(&d, err) < 0)
		return -1;
	rc = make_with(&d, out, err);
	tpm_device_close(&d);
	return rc;
}

struct ak {
	TPM2B_PUBLIC public;
	TPM2B_PRIVATE private;
	enum tpm_ek which; /* its parent */
};

static int parse_ak(const struct buf *b, struct ak *ret, struct error *err)
{
	size_t n = 0;

	memset(ret, 0, sizeof(*ret));
	ret->which = TPM_EK_ECC_P256;
	if (Tss2_MU_TPM2B_PUBLIC_Unmarshal(b->data, b->len, &n, &ret->public) != TSS2_RC_SUCCESS ||
		Tss2_MU_TPM2B_PRIVATE_Unmarshal(b->data, b->len, &n, &ret->private) != TSS2_RC_SUCCESS)
		n = b->len + 1;
	if (n + 2 == b->len) {
		ret->which = (enum tpm_ek)(b->data[n] << 8 | b->data[n + 1]);
		n += 2;
	}
	if (n != b->len || (ret->which != TPM_EK_ECC_P256 && ret->which != TPM_EK_RSA_2048))
		return error_set(err, ERR_INPUT,
			"attestation key of %zu bytes: wanted a TPM2B_PUBLIC, a TPM2B_PRIVATE and the number "
			"of "
			"an endorsement key",
			b->len);
	return 0;
}

static int load_ak(struct tpm_device *d, const struct buf *ak, ESYS_TR *ret_ek, TPM2B_PUBLIC **ret_ek_public,
	ESYS_TR *ret, struct error *err)
{
	ESYS_TR session;
	struct ak a;
	TSS2_RC rc;

	if (parse_ak(ak, &a, err) < 0 || tpm_endorsement_key(d, a.which, ret_ek, ret_ek_public, err) < 0 ||
		tpm_endorsement_session(d, &session, err) < 0)
		return -1;
	rc = Esys_Load(d->esys, *ret_ek, session, ESYS_TR_NONE, ESYS_TR_NONE, &a.private, &a.public, ret);
	if (rc != TSS2_RC_SUCCESS)
		return tpm_device_error(err, rc, "attestation key not loaded; was it made by another TPM?");
	tpm_device_keep(d, *ret);
	return 0;
}

/* TPMT_PUBLIC, without the length in front. */
static int put_public(const TPM2B_PUBLIC *public, struct buf *out, struct error *err)
{
	uint8_t bytes[TPM_AK_MAX];
	size_t n = 0;
	TSS2_RC rc = Tss2_MU_TPMT_PUBLIC_Marshal(&public->publicArea, bytes, sizeof(bytes), &n);

	if (rc != TSS2_RC_SUCCESS)
		return tpm_device_error(err, rc, "public key not written");
	buf_put(out, bytes, n);
	return out->failed ? error_set(err, ERR_LIMIT, "no room for a public key") : 0;
}

static int put_described(
	const struct ak *a, const TPM2B_PUBLIC *ek_public, struct buf *out, struct error *err)
{
	struct tpm_public ek;
	struct tpm_name name;
	struct buf bytes;
	size_t used;
	int rc;

	buf_init(&bytes, TPM_AK_MAX);
	rc = put_public(ek_public, &bytes, err);
	if (rc == 0)
		rc = tpm_public_decode(bytes.data, bytes.len, &ek, &used, err);
	if (rc == 0)
		rc = put_public(&a->public, out, err);
	if (rc == 0) {
		tpm_endorsement_name(&ek, &name);
		buf_put(out, name.p, name.n);
		rc = out->failed ? error_set(err, ERR_LIMIT, "no room for a name") : 0;
	}
	buf_free(&bytes);
	return rc;
}

int tpm_ak_describe(const struct buf *ak, struct buf *out, struct error *err)
{
	struct tpm_device d;
	TPM2B_PUBLIC *ek_public = NULL;
	struct ak a;
	ESYS_TR ek;
	int rc;

	if (parse_ak(ak, &a, err) < 0 || tpm_device_open(&d, err) < 0)
		return -1;
	rc = tpm_endorsement_key(&d, a.which, &ek, &ek_public, err);
	if (rc == 0)
		rc = put_described(&a, ek_public, out, err);
	Esys_Free(ek_public);
	tpm_device_close(&d);
	return rc;
}

int tpm_ak_hash(const struct buf *ak, uint8_t ret[32], struct error *err)
{
	struct tpm_public k;
	struct buf bytes;
	EVP_PKEY *key = NULL;
	struct ak a;
	size_t used;
	int rc;

	buf_init(&bytes, TPM_AK_MAX);
	rc = parse_ak(ak, &a, err);
	if (rc == 0)
		rc = put_public(&a.public, &bytes, err);
	if (rc == 0)
		rc = tpm_public_decode(bytes.data, bytes.len, &k, &used, err);
	if (rc == 0)
		rc = tpm_public_key(&k, &key, err);
	if (rc == 0)
		rc = key_hash(key, ret, err);
	EVP_PKEY_free(key);
	buf_free(&bytes);
	return rc;
}

void tpm_quote_items_init(struct tpm_quote_items *q)
{
	buf_init(&q->statement, TPM_AK_MAX);
	buf_init(&q->signature, TPM_AK_MAX);
	buf_init(&q->key, TPM_AK_MAX);
	buf_init(&q->values, TPM_PCR_COUNT * TPM_DIGEST_MAX);
	buf_init(&q->log, EVENTLOG_MAX + 1);
}

void tpm_quote_items_free(struct tpm_quote_items *q)
{
	buf_free(&q->statement);
	buf_free(&q->signature);
	buf_free(&q->key);
	buf_free(&q->values);
	buf_free(&q->log);
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

/* One command gives at most eight values; what is left is asked for again. */
static int read_values(struct tpm_device *d, uint32_t mask, struct buf *out, struct error *err)
{
	while (mask) {
		TPML_PCR_SELECTION wanted = selection(mask), *given = NULL;
		TPML_DIGEST *values = NULL;
		uint32_t got = 0;
		TSS2_RC rc = Esys_PCR_Read(
			d->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &wanted, NULL, &given, &values);

		if (rc != TSS2_RC_SUCCESS)
			return tpm_device_error(err, rc, "PCRs not read");
		for (int i = 0; given->count == 1 && i < 3; i++)
			got |= (uint32_t)given->pcrSelections[0].pcrSelect[i] << 8 * i;
		for (uint32_t i = 0; i < values->count; i++)
			buf_put(out, values->digests[i].buffer, values->digests[i].size);
		Esys_Free(given);
		Esys_Free(values);
		/* A bank that the TPM does not have, or an order that is not ascending, would never end. */
		if (!got || (got & ~mask) || (got & -got) != (mask & -mask))
			return error_set(err, ERR_NOT_FOUND,
				"tpm %s: PCRs 0x%x of the SHA-256 bank wanted, got 0x%x", tpm_tcti(), mask,
				got);
		mask &= ~got;
	}
	return out->failed ? error_set(err, ERR_LIMIT, "no room for PCR values") : 0;
}

int tpm_pcr_values(uint32_t mask, uint8_t ret[24][32], struct error *err)
{
	struct tpm_device d;
	struct buf b;
	size_t at = 0;
	int rc;

	if (tpm_device_open(&d, err) < 0)
		return -1;
	buf_init(&b, TPM_PCR_COUNT * TPM_DIGEST_MAX);
	rc = read_values(&d, mask, &b, err);
	tpm_device_close(&d);
	if (rc == 0 && b.len != (size_t)__builtin_popcount(mask) * SHA256_LEN)
		rc = error_set(err, ERR_IO, "tpm %s: %zu bytes of PCR values", tpm_tcti(), b.len);
	for (size_t i = 0; rc == 0 && i < TPM_PCR_COUNT; i++) {
		if (!(mask & 1u << i))
			continue;
		memcpy(ret[i], b.data + at, SHA256_LEN);
		at += SHA256_LEN;
	}
	buf_free(&b);
	return rc;
}

static int put_quote(const TPM2B_ATTEST *quoted, const TPMT_SIGNATURE *signature, struct tpm_quote_items *ret,
	struct error *err)
{
	uint8_t bytes[TPM_AK_MAX];
	size_t n = 0;
	TSS2_RC rc = Tss2_MU_TPMT_SIGNATURE_Marshal(signature, bytes, sizeof(bytes), &n);

	if (rc != TSS2_RC_SUCCESS)
		return tpm_device_error(err, rc, "signature not written");
	buf_reset(&ret->statement);
	buf_reset(&ret->signature);
	buf_put(&ret->statement, quoted->attestationData, quoted->size);
	buf_put(&ret->signature, bytes, n);
	return ret->statement.failed || ret->signature.failed
		       ? error_set(err, ERR_LIMIT, "no room for a quote")
		       : 0;
}

/* Does the quote hold the digest of these values? */
static bool same_values(const struct tpm_quote_items *q)
{
	struct tpm_quote t;
	uint8_t digest[SHA256_LEN];

	if (tpm_quote_decode(q->statement.data, q->statement.len, &t, NULL) < 0 ||
		t.pcr_digest.n != sizeof(digest))
		return false;
	sha256(q->values.data, q->values.len, digest);
	return memcmp(digest, t.pcr_digest.p, sizeof(digest)) == 0;
}

static int quote_once(struct tpm_device *d, ESYS_TR ak, const uint8_t *extra, size_t n,
	struct tpm_quote_items *ret, struct error *err)
{
	const TPML_PCR_SELECTION pcrs = selection(TPM_QUOTED_PCRS);
	const TPMT_SIG_SCHEME scheme = {.scheme = TPM2_ALG_NULL};
	TPM2B_ATTEST *quoted = NULL;
	TPMT_SIGNATURE *signature = NULL;
	TPM2B_DATA data = {.size = (UINT16)n};
	TSS2_RC rc;
	int done;

	memcpy(data.buffer, extra, n);
	buf_reset(&ret->values);
	if (read_values(d, TPM_QUOTED_PCRS, &ret->values, err) < 0)
		return -1;
	rc = Esys_Quote(d->esys, ak, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &data, &scheme, &pcrs,
		&quoted, &signature);
	done = rc == TSS2_RC_SUCCESS ? put_quote(quoted, signature, ret, err)
				     : tpm_device_error(err, rc, "no quote");
	Esys_Free(quoted);
	Esys_Free(signature);
	return done;
}

/* Machines without a log of their firmware's exist; a log that cannot be read whole is an error. */
static int read_log(struct buf *out, struct error *err)
{
	const char *own = getenv(TPM_LOG_ENV), *path = own && *own ? own : TPM_LOG_DEFAULT;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got = 1;

	if (fd < 0)
		return errno == ENOENT && !own ? 0
					       : error_set_errno(err, errno, "event log %s not opened", path);
	while (got > 0 && out->len <= EVENTLOG_MAX) {
		uint8_t *to = buf_reserve(out, EVENTLOG_MAX + 1 - out->len);

		got = to ? read(fd, to, EVENTLOG_MAX + 1 - out->len) : 0;
		out->len += got > 0 ? (size_t)got : 0;
	}
	close(fd);
	if (got < 0)
		return error_set_errno(err, errno, "event log %s not read", path);
	return out->len > EVENTLOG_MAX
		       ? error_set(err, ERR_LIMIT, "event log %s is longer than %d bytes", path, EVENTLOG_MAX)
		       : 0;
}

static int quote_with(struct tpm_device *d, const struct buf *ak, const uint8_t *extra, size_t n,
	struct tpm_quote_items *ret, struct error *err)
{
	TPM2B_PUBLIC *ek_public = NULL;
	ESYS_TR ek, handle;
	struct ak a;
	int rc = load_ak(d, ak, &ek, &ek_public, &handle, err);

	if (rc == 0)
		rc = parse_ak(ak, &a, err);
	if (rc == 0)
		rc = put_described(&a, ek_public, &ret->key, err);
	Esys_Free(ek_public);
	for (int i = 0; rc == 0 && i < QUOTE_TRIES; i++) {
		rc = quote_once(d, handle, extra, n, ret, err);
		if (rc == 0 && same_values(ret))
			return 0;
	}
	return rc < 0 ? -1
		      : error_set(err, ERR_IO, "tpm %s: PCRs change faster than they are quoted, %d times",
				tpm_tcti(), QUOTE_TRIES);
}

int tpm_quote_make(
	const struct buf *ak, const uint8_t *extra, size_t n, struct tpm_quote_items *ret, struct error *err)
{
	struct tpm_device d;
	int rc;

	if (n > sizeof(((TPM2B_DATA *)NULL)->buffer))
		return error_set(err, ERR_LIMIT, "%zu bytes of extra data", n);
	if (tpm_device_open(&d, err) < 0)
		return -1;
	rc = quote_with(&d, ak, extra, n, ret, err);
	tpm_device_close(&d);
	return rc < 0 ? -1 : read_log(&ret->log, err);
}

/* Some makers fill the index up behind the certificate. */
static void trim_certificate(struct buf *b, size_t start)
{
	const uint8_t *p = b->data + start;
	size_t n = b->len - start, len;

	if (n < 4 || p[0] != DER_SEQUENCE || p[1] != DER_TWO_BYTES)
		return;
	len = 4 + ((size_t)p[2] << 8 | p[3]);
	if (len < n)
		buf_truncate(b, start + len);
}

/* The certificate is in NV memory where the maker put one; there is none in many virtual TPMs. */
static int read_certificate(struct tpm_device *d, enum tpm_ek which, struct buf *out, struct error *err)
{
	TPM2B_NV_PUBLIC *public = NULL;
	ESYS_TR nv;
	TSS2_RC rc = Esys_TR_FromTPMPublic(
		d->esys, tpm_endorsement_certificate(which), ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &nv);
	size_t start = out->len;
	uint16_t size;

	if (rc != TSS2_RC_SUCCESS)
		return 0;
	rc = Esys_NV_ReadPublic(d->esys, nv, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &public, NULL);
	if (rc != TSS2_RC_SUCCESS)
		return tpm_device_error(err, rc, "EK certificate's index not read");
	size = public->nvPublic.dataSize;
	Esys_Free(public);
	for (uint16_t at = 0; at < size && size <= CERTIFICATE_MAX;) {
		uint16_t n = (uint16_t)(size - at < NV_CHUNK ? size - at : NV_CHUNK);
		TPM2B_MAX_NV_BUFFER *part = NULL;

		rc = Esys_NV_Read(
			d->esys, nv, nv, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, n, at, &part);
		if (rc != TSS2_RC_SUCCESS)
			return tpm_device_error(err, rc, "EK certificate not read");
		buf_put(out, part->buffer, part->size);
		at = (uint16_t)(at + n);
		Esys_Free(part);
	}
	if (out->failed)
		return error_set(err, ERR_LIMIT, "no room for the EK certificate");
	trim_certificate(out, start);
	return 0;
}

int tpm_enrol_keys(const struct buf *ak, struct buf *ek_public, struct buf *ek_certificate,
	struct buf *ak_public, struct error *err)
{
	TPM2B_PUBLIC *public = NULL;
	struct tpm_device d;
	struct ak a;
	ESYS_TR ek;
	int rc;

	if (parse_ak(ak, &a, err) < 0 || tpm_device_open(&d, err) < 0)
		return -1;
	rc = tpm_endorsement_key(&d, a.which, &ek, &public, err);
	if (rc == 0)
		rc = put_public(public, ek_public, err);
	if (rc == 0)
		rc = put_described(&a, public, ak_public, err);
	if (rc == 0)
		rc = read_certificate(&d, a.which, ek_certificate, err);
	Esys_Free(public);
	tpm_device_close(&d);
	return rc;
}

static int activate_with(struct tpm_device *d, const struct buf *ak, const TPM2B_ID_OBJECT *id,
	const TPM2B_ENCRYPTED_SECRET *secret, struct buf *out, struct error *err)
{
	TPM2B_DIGEST *credential = NULL;
	ESYS_TR ek, handle, session;
	TSS2_RC rc;

	if (load_ak(d, ak, &ek, NULL, &handle, err) < 0 || tpm_endorsement_session(d, &session, err) < 0)
		return -1;
	rc = Esys_ActivateCredential(
		d->esys, handle, ek, ESYS_TR_PASSWORD, session, ESYS_TR_NONE, id, secret, &credential);
	if (rc != TSS2_RC_SUCCESS) {
		tpm_device_error(err, rc, "credential not opened; it is for another TPM or attestation key");
		if (err)
			err->code = ERR_CRYPTO;
		return -1;
	}
	buf_put(out, credential->buffer, credential->size);
	Esys_Free(credential);
	return out->failed ? error_set(err, ERR_LIMIT, "no room for the credential") : 0;
}

int tpm_enrol_activate(const struct buf *ak, const uint8_t *id_object, size_t n, const uint8_t *secret,
	size_t secret_len, struct buf *out, struct error *err)
{
	TPM2B_ID_OBJECT id = {0};
	TPM2B_ENCRYPTED_SECRET encrypted = {0};
	struct tpm_device d;
	size_t a = 0, b = 0;
	int rc;

	if (Tss2_MU_TPM2B_ID_OBJECT_Unmarshal(id_object, n, &a, &id) != TSS2_RC_SUCCESS || a != n ||
		Tss2_MU_TPM2B_ENCRYPTED_SECRET_Unmarshal(secret, secret_len, &b, &encrypted) !=
			TSS2_RC_SUCCESS ||
		b != secret_len)
		return error_set(err, ERR_INPUT,
			"credential of %zu and %zu bytes: wanted TPM2B_ID_OBJECT and "
			"TPM2B_ENCRYPTED_SECRET",
			n, secret_len);
	if (tpm_device_open(&d, err) < 0)
		return -1;
	rc = activate_with(&d, ak, &id, &encrypted, out, err);
	tpm_device_close(&d);
	return rc;
}
