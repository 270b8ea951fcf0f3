/*
 * tpm_device: a connection to a TPM 2.0 by way of tpm2-tss, for the length of one operation: others use the TPM, too, and what is loaded in it is gone
 * when the connection ends. For the tpm driver only.
 */
#ifndef SCONE_TEE_TPM_DEVICE_H
#define SCONE_TEE_TPM_DEVICE_H

#include <stdint.h>
#include <tss2/tss2_esys.h>
#include "core/buf.h"
#include "core/error.h"

#define TPM_ENV                                                                                              \
	"SCONE_TPM" /* TCTI as tpm2-tss names them: "device:/dev/tpmrm0", "swtpm:host=127.0.0.1,port=2321" */
#define TPM_DEFAULT "device:/dev/tpmrm0"
#define TPM_LOADED_MAX 8

struct tpm_device {
	TSS2_TCTI_CONTEXT *tcti;
	ESYS_CONTEXT *esys;
	ESYS_TR loaded[TPM_LOADED_MAX]; /* flushed when the device is closed */
	size_t count;
};

const char *tpm_tcti(void);
MUST_USE int tpm_device_open(struct tpm_device *d, struct error *err);
void tpm_device_close(struct tpm_device *d); /* idempotent */
/* To be flushed at the end. */
void tpm_device_keep(struct tpm_device *d, ESYS_TR handle);
/* error_set with what tpm2-tss says about rc. Returns -1. */
int tpm_device_error(struct error *err, TSS2_RC rc, const char *what);
/* A TPM2 error without the handle, session or parameter number. */
TSS2_RC tpm_plain_error(TSS2_RC rc);

/* Which endorsement key: a TPM has one for each template of the EK credential profile, and its maker has certified some of them. Numbers are part of the attestation
 * key's file. */
enum tpm_ek {
	TPM_EK_ECC_P256 = 1, /* template L-2; also where there are no certificates */
	TPM_EK_RSA_2048 = 2, /* template L-1 */
};
/* The one whose certificate is in NV memory, ECC first. */
enum tpm_ek tpm_endorsement_choose(struct tpm_device *d);
/* NV index of its certificate (EK credential profile, 2.2.1.4). */
TPM2_HANDLE tpm_endorsement_certificate(enum tpm_ek which);

/* Primary keys with the templates of the TCG: endorsement key and storage key (SRK, ECC P-256). *ret_public may be NULL; else the caller frees it by Esys_Free. */
MUST_USE int tpm_endorsement_key(
	struct tpm_device *d, enum tpm_ek which, ESYS_TR *ret, TPM2B_PUBLIC **ret_public, struct error *err);
MUST_USE int tpm_storage_key(struct tpm_device *d, ESYS_TR *ret, struct error *err);
/* HMAC session with a secret that only this key's TPM learns: nobody between here and there reads or changes parameters. */
MUST_USE int tpm_salted_session(
	struct tpm_device *d, ESYS_TR key, TPM2_SE type, ESYS_TR *ret, struct error *err);
/* Policy session that the endorsement hierarchy's (empty) authorization satisfies, as endorsement keys want it. */
MUST_USE int tpm_endorsement_session(struct tpm_device *d, ESYS_TR *ret, struct error *err);

#endif
