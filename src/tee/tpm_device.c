#include "tee/tpm_device.h"

#include <stdlib.h>
#include <string.h>
#include <tss2/tss2_rc.h>
#include <tss2/tss2_tctildr.h>

#define RSA_BITS 2048
#define RSA_HANDLE 0x81010001u /* TCG registry of reserved handles: EK of template L-1 */

const char *tpm_tcti(void)
{
	const char *own = getenv(TPM_ENV);

	return own && *own ? own : TPM_DEFAULT;
}

int tpm_device_error(struct error *err, TSS2_RC rc, const char *what)
{
	return error_set(err, ERR_IO, "tpm %s: %s: %s (0x%x)", tpm_tcti(), what, Tss2_RC_Decode(rc), rc);
}

TSS2_RC tpm_plain_error(TSS2_RC rc)
{
	if (rc & TSS2_RC_LAYER_MASK)
		return rc;
	return rc & TPM2_RC_FMT1 ? rc & (TPM2_RC_FMT1 | 0x3f) : rc;
}

int tpm_device_open(struct tpm_device *d, struct error *err)
{
	TSS2_RC rc;

	memset(d, 0, sizeof(*d));
	/* tpm2-tss writes to stderr itself; what failed is in the error. */
	if (!getenv("TSS2_LOG"))
		setenv("TSS2_LOG", "all+NONE", 0);
	rc = Tss2_TctiLdr_Initialize(tpm_tcti(), &d->tcti);
	if (rc == TSS2_RC_SUCCESS)
		rc = Esys_Initialize(&d->esys, d->tcti, NULL);
	if (rc != TSS2_RC_SUCCESS) {
		tpm_device_close(d);
		return tpm_device_error(err, rc, "no connection");
	}
	return 0;
}

void tpm_device_close(struct tpm_device *d)
{
	while (d->count > 0)
		(void)Esys_FlushContext(d->esys, d->loaded[--d->count]);
	if (d->esys)
		Esys_Finalize(&d->esys);
	if (d->tcti)
		Tss2_TctiLdr_Finalize(&d->tcti);
}

void tpm_device_keep(struct tpm_device *d, ESYS_TR handle)
{
	if (d->count < TPM_LOADED_MAX)
		d->loaded[d->count++] = handle;
}

/* PolicySecret(TPM_RH_ENDORSEMENT) for SHA-256: "PolicyA" of the TCG EK credential profile. */
static const uint8_t ek_policy[32] = {0x83, 0x71, 0x97, 0x67, 0x44, 0x84, 0xb3, 0xf8, 0x1a, 0x90, 0xcc, 0x8d,
	0x46, 0xa5, 0xd7, 0x24, 0xfd, 0x52, 0xd7, 0x6e, 0x06, 0x52, 0x0b, 0x64, 0xf2, 0xa1, 0xda, 0x1b, 0x33,
	0x14, 0x69, 0xaa};

static TPM2B_PUBLIC rsa_endorsement_template(void)
{
	TPM2B_PUBLIC p = {0};
	TPMT_PUBLIC *a = &p.publicArea;
	TPMS_RSA_PARMS *r = &a->parameters.rsaDetail;

	a->type = TPM2_ALG_RSA;
	a->nameAlg = TPM2_ALG_SHA256;
	a->objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |
			      TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_ADMINWITHPOLICY |
			      TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT;
	a->authPolicy.size = sizeof(ek_policy);
	memcpy(a->authPolicy.buffer, ek_policy, sizeof(ek_policy));
	r->symmetric.algorithm = TPM2_ALG_AES;
	r->symmetric.keyBits.aes = 128;
	r->symmetric.mode.aes = TPM2_ALG_CFB;
	r->scheme.scheme = TPM2_ALG_NULL;
	r->keyBits = RSA_BITS;
	a->unique.rsa.size = RSA_BITS / 8;
	return p;
}

static TPM2B_PUBLIC ecc_storage_template(bool endorsement)
{
	TPM2B_PUBLIC p = {0};
	TPMT_PUBLIC *a = &p.publicArea;
	TPMS_ECC_PARMS *e = &a->parameters.eccDetail;

	a->type = TPM2_ALG_ECC;
	a->nameAlg = TPM2_ALG_SHA256;
	a->objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |
			      TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT;
	if (endorsement) {
		a->objectAttributes |= TPMA_OBJECT_ADMINWITHPOLICY;
		a->authPolicy.size = sizeof(ek_policy);
		memcpy(a->authPolicy.buffer, ek_policy, sizeof(ek_policy));
		/* zeros, as the profile has them: the key that the maker certified follows from the template */
		a->unique.ecc.x.size = 32;
		a->unique.ecc.y.size = 32;
	} else {
		a->objectAttributes |= TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_NODA;
	}
	e->symmetric.algorithm = TPM2_ALG_AES;
	e->symmetric.keyBits.aes = 128;
	e->symmetric.mode.aes = TPM2_ALG_CFB;
	e->scheme.scheme = TPM2_ALG_NULL;
	e->curveID = TPM2_ECC_NIST_P256;
	e->kdf.scheme = TPM2_ALG_NULL;
	return p;
}

static int create_primary(struct tpm_device *d, ESYS_TR hierarchy, const TPM2B_PUBLIC *template, ESYS_TR *ret,
	TPM2B_PUBLIC **ret_public, struct error *err)
{
	static const TPM2B_SENSITIVE_CREATE sensitive;
	static const TPM2B_DATA outside;
	static const TPML_PCR_SELECTION no_pcrs;
	TSS2_RC rc = Esys_CreatePrimary(d->esys, hierarchy, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE,
		&sensitive, template, &outside, &no_pcrs, ret, ret_public, NULL, NULL, NULL);

	if (rc != TSS2_RC_SUCCESS)
		return tpm_device_error(err, rc,
			hierarchy == ESYS_TR_RH_ENDORSEMENT ? "no endorsement key" : "no storage key");
	tpm_device_keep(d, *ret);
	return 0;
}

TPM2_HANDLE tpm_endorsement_certificate(enum tpm_ek which)
{
	return which == TPM_EK_RSA_2048 ? 0x01c00002u : 0x01c0000au;
}

enum tpm_ek tpm_endorsement_choose(struct tpm_device *d)
{
	static const enum tpm_ek order[] = {TPM_EK_ECC_P256, TPM_EK_RSA_2048};

	for (size_t i = 0; i < sizeof(order) / sizeof(*order); i++) {
		ESYS_TR nv;

		if (Esys_TR_FromTPMPublic(d->esys, tpm_endorsement_certificate(order[i]), ESYS_TR_NONE,
			    ESYS_TR_NONE, ESYS_TR_NONE, &nv) == TSS2_RC_SUCCESS) {
			(void)Esys_TR_Close(d->esys, &nv);
			return order[i];
		}
	}
	return TPM_EK_ECC_P256;
}

/* The TPM makes an RSA key for seconds; where the platform keeps the same one at its handle, that is used. */
static bool kept_key(
	struct tpm_device *d, const TPM2B_PUBLIC *template, ESYS_TR *ret, TPM2B_PUBLIC **ret_public)
{
	const TPMT_PUBLIC *w = &template->publicArea, *k;
	TPM2B_PUBLIC *public = NULL;
	ESYS_TR key;
	bool same;

	if (Esys_TR_FromTPMPublic(d->esys, RSA_HANDLE, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &key) !=
		TSS2_RC_SUCCESS)
		return false;
	if (Esys_ReadPublic(d->esys, key, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &public, NULL, NULL) !=
		TSS2_RC_SUCCESS)
		return false;
	k = &public->publicArea;
	same = k->type == w->type && k->nameAlg == w->nameAlg && k->objectAttributes == w->objectAttributes &&
	       k->authPolicy.size == w->authPolicy.size &&
	       memcmp(k->authPolicy.buffer, w->authPolicy.buffer, w->authPolicy.size) == 0 &&
	       k->parameters.rsaDetail.keyBits == w->parameters.rsaDetail.keyBits;
	if (same) {
		*ret = key;
		if (ret_public) {
			*ret_public = public;
			public = NULL;
		}
	}
	Esys_Free(public);
	return same;
}

int tpm_endorsement_key(
	struct tpm_device *d, enum tpm_ek which, ESYS_TR *ret, TPM2B_PUBLIC **ret_public, struct error *err)
{
	const TPM2B_PUBLIC template =
		which == TPM_EK_RSA_2048 ? rsa_endorsement_template() : ecc_storage_template(true);

	if (which == TPM_EK_RSA_2048 && kept_key(d, &template, ret, ret_public))
		return 0;
	return create_primary(d, ESYS_TR_RH_ENDORSEMENT, &template, ret, ret_public, err);
}

int tpm_storage_key(struct tpm_device *d, ESYS_TR *ret, struct error *err)
{
	const TPM2B_PUBLIC template = ecc_storage_template(false);

	return create_primary(d, ESYS_TR_RH_OWNER, &template, ret, NULL, err);
}

int tpm_salted_session(struct tpm_device *d, ESYS_TR key, TPM2_SE type, ESYS_TR *ret, struct error *err)
{
	const TPMT_SYM_DEF aes = {.algorithm = TPM2_ALG_AES, .keyBits.aes = 128, .mode.aes = TPM2_ALG_CFB};
	const TPMA_SESSION attributes =
		TPMA_SESSION_CONTINUESESSION | TPMA_SESSION_DECRYPT | TPMA_SESSION_ENCRYPT;
	TSS2_RC rc = Esys_StartAuthSession(d->esys, key, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
		ESYS_TR_NONE, NULL, type, &aes, TPM2_ALG_SHA256, ret);

	if (rc != TSS2_RC_SUCCESS)
		return tpm_device_error(err, rc, "no session");
	tpm_device_keep(d, *ret);
	rc = Esys_TRSess_SetAttributes(d->esys, *ret, attributes, 0xff);
	return rc == TSS2_RC_SUCCESS ? 0 : tpm_device_error(err, rc, "no session attributes");
}

int tpm_endorsement_session(struct tpm_device *d, ESYS_TR *ret, struct error *err)
{
	const TPMT_SYM_DEF none = {.algorithm = TPM2_ALG_NULL};
	TSS2_RC rc = Esys_StartAuthSession(d->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
		ESYS_TR_NONE, NULL, TPM2_SE_POLICY, &none, TPM2_ALG_SHA256, ret);

	if (rc != TSS2_RC_SUCCESS)
		return tpm_device_error(err, rc, "no policy session");
	tpm_device_keep(d, *ret);
	rc = Esys_PolicySecret(d->esys, ESYS_TR_RH_ENDORSEMENT, *ret, ESYS_TR_PASSWORD, ESYS_TR_NONE,
		ESYS_TR_NONE, NULL, NULL, NULL, 0, NULL, NULL);
	return rc == TSS2_RC_SUCCESS
		       ? 0
		       : tpm_device_error(
				 err, rc, "authorization of the endorsement hierarchy, wanted to be empty");
}
