/*
 * tpm_credential: enrolment of a TPM's attestation key, the relying party's side, without a TPM (TCG "Trusted Platform Module Library", part 1, 24: Credential
 * Protection). No I/O.
 *
 * The machine shows its endorsement key, its attestation key and, where it has one, the maker's certificate. The relying party encrypts a secret to the endorsement
 * key together with the attestation key's name; only the TPM that holds both gives the secret back (TPM2_ActivateCredential). Then this attestation key is
 * one of that TPM, restricted, and its key hash can be trusted.
 */
#ifndef SCONE_EVIDENCE_TPM_CREDENTIAL_H
#define SCONE_EVIDENCE_TPM_CREDENTIAL_H

#include <openssl/x509.h>
#include "core/buf.h"
#include "evidence/verdict.h"

#define TPM_CREDENTIAL_MAX 32 /* bytes of the secret */

/* Are these two keys what enrolment wants? ek: TPMT_PUBLIC; ak: TPMT_PUBLIC, then the qualified name of its parent, which must be this ek in the endorsement
 * hierarchy. *ret: key hash of the attestation key. Refusals: CHECK_ATTESTATION_KEY and those of tpm_wire.h. */
MUST_USE int tpm_enrol_check(struct bytes ek, struct bytes ak, uint8_t ret[32], struct error *err);
/* Certificates of a TPM's maker, above those of endorsement keys: a TPM carries its own only. */
struct tpm_issuers {
	X509 *const *cert; /* borrowed */
	size_t count;
};

/* The maker's certificate for ek: certificates are DER or PEM, the endorsement key's first; issuers continue the chain where it ends early; it is verified to ctx's roots
 * for tpm. The certificate must be for this ek, no CA's, and for endorsement keys where it says what for (EK credential profile, 3.2.16). Refusals: CHECK_CHAIN_*,
 * CHECK_ATTESTATION_KEY. */
MUST_USE int tpm_enrol_certificate(struct bytes ek, struct bytes certificates, struct tpm_issuers issuers,
	const struct verify_context *ctx, struct error *err);
/* TPM2_MakeCredential: what only the TPM with this ek and ak opens. id_object: TPM2B_ID_OBJECT; secret: TPM2B_ENCRYPTED_SECRET; appended. n is 16 to
 * TPM_CREDENTIAL_MAX. The keys have been through tpm_enrol_check. */
MUST_USE int tpm_credential_make(struct bytes ek, struct bytes ak, const uint8_t *credential, size_t n,
	struct buf *id_object, struct buf *secret, struct error *err);

#endif
