/*
 * nitro_document: the attestation document of an AWS Nitro enclave: a COSE_Sign1 (RFC 9052) whose payload is a CBOR map (AWS Nitro
 * Enclaves, "Verifying the root of trust", "Attestation document specification"). Decoding only; nothing is verified here.
 */
#ifndef SCONE_EVIDENCE_NITRO_DOCUMENT_H
#define SCONE_EVIDENCE_NITRO_DOCUMENT_H

#include <stdbool.h>
#include <stdint.h>
#include "core/error.h"
#include "evidence/bundle.h"

#define NITRO_DOCUMENT_MAX 16384 /* bytes; the NSM's longest response has 12288 */
#define NITRO_PCR_COUNT 32 /* indices 0 to 31, as the specification has it */
#define NITRO_PCR_LEN 48 /* the digest is SHA-384, the only one that NSMs use */
#define NITRO_BUNDLE_MAX 8 /* certificates between the leaf and the root, root included */
#define NITRO_CERTIFICATE_MAX 1024 /* bytes, by the specification */
#define NITRO_USER_MAX 512 /* user_data, nonce, by the specification */
#define NITRO_PUBLIC_KEY_MAX 1024
#define NITRO_SIGNATURE_LEN 96 /* r and s, big endian, P-384 */

struct nitro_document {
	struct bytes protected_header, payload, signature; /* of the COSE_Sign1 */
	struct bytes module_id; /* printable ASCII, at least 1 character */
	uint64_t timestamp; /* milliseconds since 1970 */
	uint32_t pcr_mask; /* bit n: PCR n is there */
	struct bytes pcr[NITRO_PCR_COUNT]; /* NITRO_PCR_LEN bytes each */
	struct bytes certificate; /* DER, signing key */
	struct bytes bundle[NITRO_BUNDLE_MAX]; /* DER, root first */
	size_t bundle_count; /* at least 1 */
	struct bytes public_key, user_data, nonce; /* p NULL: null or absent */
};

/* All pointers into p. Refusals (ERR_ATTEST): CHECK_FORMAT, CHECK_ALGORITHM (COSE header, digest), CHECK_CHAIN_FORMAT for certificates beyond the
 * limits. Every byte of the input is accounted for: header and payload are what the signature covers, the rest has one form only. */
MUST_USE int nitro_document_decode(const uint8_t *p, size_t n, struct nitro_document *ret, struct error *err);
/* By its first bytes: an array of four that starts with the header of ES384, with or without the tag of COSE_Sign1. */
bool nitro_document_is(const uint8_t *p, size_t n);
/* What the signature is over: the Sig_structure of RFC 9052, section 4.4, with no external data. Appended. */
void nitro_document_to_be_signed(struct bytes protected_header, struct bytes payload, struct buf *out);

#endif
