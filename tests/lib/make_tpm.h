/*
 * make_tpm: TPM 2.0 quotes and event logs as a TPM and its firmware make them, with keys of our own.
 */
#ifndef SCONE_TESTS_MAKE_TPM_H
#define SCONE_TESTS_MAKE_TPM_H

#include "core/buf.h"
#include "evidence/eventlog.h"
#include "evidence/tpm_wire.h"
#include "evidence_pki.h"

enum tpm_maker_kind { MAKE_RSASSA, MAKE_RSAPSS, MAKE_ECDSA, MAKE_KINDS };

struct tpm_maker {
	enum tpm_maker_kind kind;
	EVP_PKEY *key; /* attestation key */
	uint16_t hash; /* of the signature: SHA-256, for P-384 SHA-384 */
	uint32_t attributes; /* of the attestation key */
	uint8_t pcr256[TPM_PCR_COUNT][32], pcr384[TPM_PCR_COUNT][48];
	uint8_t parent[34]; /* qualified name of the parent */
};
/* A machine after an honest boot whose events are those of tpm_make_log. */
void tpm_maker_init(struct tpm_maker *m, enum tpm_maker_kind kind, bool p384);
void tpm_maker_free(struct tpm_maker *m);
void tpm_make_public(const struct tpm_maker *m, struct buf *out); /* TPMT_PUBLIC */
#define TPM_EK_ATTRIBUTES 0x000300b2u /* of the EK credential profile */
/* TPMT_PUBLIC of a storage key on P-256 (m is MAKE_ECDSA) with these attributes and this symmetric mode; out is initialised here. */
void tpm_make_ek(const struct tpm_maker *m, uint32_t attributes, uint16_t mode, struct buf *out);

struct tpm_quote_spec {
	struct tpm_bank bank[2]; /* alg 0: none; all zeros: SHA-256, PCRs 0 to 7 and 14 */
	struct bytes extra;
	uint32_t magic; /* 0: TPM_GENERATED_VALUE */
	uint16_t type; /* 0: quote */
	const uint8_t *qualified_signer; /* 34 bytes; NULL: the maker's */
};
/* Fill the items of a bundle. Each buf is initialised here. */
struct tpm_made {
	struct buf statement, signature, key, values, log;
};
void tpm_make_quote(const struct tpm_maker *m, const struct tpm_quote_spec *s, struct tpm_made *ret);
void tpm_made_free(struct tpm_made *q);
void tpm_sign(const struct tpm_maker *m, const void *p, size_t n, struct buf *out); /* TPMT_SIGNATURE */

/* The log of the honest boot, appended. */
void tpm_make_log(struct buf *out);
/* A header with SHA-256 and SHA-384, and one event; events follow the header. Appended. */
void tpm_put_log_header(struct buf *out);
void tpm_put_event(uint32_t pcr, uint32_t type, const void *data, size_t n, struct buf *out);

#endif
