/*
 * tpm_key: keys of a TPM 2.0 by their public areas: as keys of OpenSSL, their names, and what an attestation key must be. No I/O.
 */
#ifndef SCONE_EVIDENCE_TPM_KEY_H
#define SCONE_EVIDENCE_TPM_KEY_H

#include <openssl/evp.h>
#include "core/error.h"
#include "crypto/key_scheme.h"
#include "evidence/tpm_wire.h"

/* SHA-256, -384, -512; anything else is CHECK_ALGORITHM. */
MUST_USE int tpm_hash(uint16_t alg, enum hash_alg *ret, struct error *err);

/* The caller's (EVP_PKEY_free). CHECK_FORMAT when the numbers are no key. */
MUST_USE int tpm_public_key(const struct tpm_public *k, EVP_PKEY **ret, struct error *err);

struct tpm_name {
	uint8_t p[TPM_NAME_MAX]; /* algorithm, big endian, and digest */
	size_t n;
};
/* Name of an object: its name algorithm and the digest of its public area (part 1, 16). */
void tpm_public_name(const struct tpm_public *k, struct tpm_name *ret);
/* Qualified name: the parent's and the object's, hashed with the object's algorithm (part 1, 26.5). */
void tpm_qualified_name(const struct tpm_public *k, struct bytes parent, struct tpm_name *ret);
/* Qualified name of a primary key in the endorsement hierarchy. */
void tpm_endorsement_name(const struct tpm_public *k, struct tpm_name *ret);

/* A key that signs only what its TPM made, and cannot leave it: restricted, sign, fixedTPM, fixedParent, sensitiveDataOrigin; not decrypt.
 * CHECK_ATTESTATION_KEY. */
MUST_USE int tpm_public_check_ak(const struct tpm_public *k, struct error *err);
/* A key to which credentials can be sent: restricted, decrypt, fixedTPM, fixedParent, sensitiveDataOrigin; not sign; AES-CFB. CHECK_ATTESTATION_KEY. */
MUST_USE int tpm_public_check_ek(const struct tpm_public *k, struct error *err);

/* CHECK_SIGNATURE when it is not one of k over the n bytes; CHECK_ALGORITHM when the scheme is not the key's. */
MUST_USE int tpm_signature_verify(
	EVP_PKEY *k, const struct tpm_signature *s, const void *p, size_t n, struct error *err);

#endif
