/*
 * tpm_wire: the structures of TPM 2.0 (TCG "Trusted Platform Module Library", part 2) that a quote consists of. Decoding only.
 *
 * All integers big endian. Nothing is allocated; byte strings point into the input.
 */
#ifndef SCONE_EVIDENCE_TPM_WIRE_H
#define SCONE_EVIDENCE_TPM_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "core/error.h"
#include "evidence/bundle.h"

#define TPM_ALG_RSA 0x0001
#define TPM_ALG_SHA1 0x0004
#define TPM_ALG_AES 0x0006
#define TPM_ALG_SHA256 0x000b
#define TPM_ALG_SHA384 0x000c
#define TPM_ALG_SHA512 0x000d
#define TPM_ALG_NULL 0x0010
#define TPM_ALG_RSASSA 0x0014
#define TPM_ALG_RSAPSS 0x0016
#define TPM_ALG_ECDSA 0x0018
#define TPM_ALG_ECDAA 0x001a
#define TPM_ALG_ECC 0x0023
#define TPM_ALG_CFB 0x0043
#define TPM_ECC_P256 0x0003
#define TPM_ECC_P384 0x0004

#define TPM_PCR_COUNT 24 /* of a PC client platform */
#define TPM_BANK_MAX 8
#define TPM_DIGEST_MAX 64
#define TPM_NAME_MAX (2 + TPM_DIGEST_MAX) /* algorithm and digest */
#define TPM_EXTRA_MAX 64 /* extraData that this project takes: report data has no more */

/* Bytes of a digest; 0 for what is no hash algorithm known here. SHA-1 is known to be skipped, never to be trusted. */
size_t tpm_digest_len(uint16_t alg);
const char *tpm_alg_name(uint16_t alg); /* "sha256", "rsassa", …; "unknown" */

struct tpm_bank {
	uint16_t alg;
	uint32_t mask; /* bit n: PCR n is selected */
};

/* TPMS_ATTEST of a quote. */
struct tpm_quote {
	struct bytes qualified_signer, extra_data; /* extra_data at most TPM_EXTRA_MAX */
	uint64_t clock; /* milliseconds */
	uint32_t reset_count, restart_count;
	bool safe;
	uint64_t firmware_version;
	struct tpm_bank bank[TPM_BANK_MAX]; /* in the quote's order; each algorithm once */
	size_t bank_count;
	struct bytes pcr_digest;
};
/* Refusals: CHECK_FORMAT; CHECK_TYPE for what is no quote, or not made inside a TPM (magic). */
MUST_USE int tpm_quote_decode(const uint8_t *p, size_t n, struct tpm_quote *ret, struct error *err);
bool tpm_quote_is(const uint8_t *p, size_t n); /* by magic and type */

/* TPMT_SIGNATURE. RSA: one value; ECDSA: r and s. */
struct tpm_signature {
	uint16_t scheme, hash;
	struct bytes value[2];
};
/* Refusals: CHECK_FORMAT; CHECK_ALGORITHM for schemes other than RSASSA, RSAPSS, ECDSA and hashes other than SHA-256, -384, -512. */
MUST_USE int tpm_signature_decode(const uint8_t *p, size_t n, struct tpm_signature *ret, struct error *err);

/* Object attributes (TPMA_OBJECT). */
#define TPM_ATTR_FIXED_TPM (1u << 1)
#define TPM_ATTR_FIXED_PARENT (1u << 4)
#define TPM_ATTR_SENSITIVE_DATA_ORIGIN (1u << 5)
#define TPM_ATTR_RESTRICTED (1u << 16)
#define TPM_ATTR_DECRYPT (1u << 17)
#define TPM_ATTR_SIGN (1u << 18)

/* TPMT_PUBLIC of an RSA or ECC key. */
struct tpm_public {
	uint16_t type, name_alg;
	uint32_t attributes;
	struct bytes auth_policy;
	uint16_t sym_alg, sym_bits, sym_mode; /* TPM_ALG_NULL: none */
	uint16_t scheme, scheme_hash; /* TPM_ALG_NULL: any */
	uint16_t rsa_bits;
	uint32_t rsa_exponent; /* 65537 where the wire has 0 */
	uint16_t curve;
	struct bytes unique[2]; /* modulus; or x and y */
	struct bytes whole; /* the bytes of the structure: what the name is over */
};
/* *ret_used: bytes taken; more may follow. Refusals: CHECK_FORMAT; CHECK_ALGORITHM for other types, hashes and curves. */
MUST_USE int tpm_public_decode(
	const uint8_t *p, size_t n, struct tpm_public *ret, size_t *ret_used, struct error *err);

#endif
