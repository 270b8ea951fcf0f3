/*
 * tpm_enrol: messages by which a machine's TPM is enrolled at CAS. Codecs only, no I/O. See docs/protocols.md; what is proven is in
 * evidence/tpm_credential.h.
 *
 * Decoders refuse unknown, missing and duplicate keys and wrong types (ERR_INPUT) and sizes over the limits (ERR_LIMIT).
 */
#ifndef SCONE_WIRE_TPM_ENROL_H
#define SCONE_WIRE_TPM_ENROL_H

#include <stdint.h>
#include "core/buf.h"
#include "core/error.h"

#define TPM_ENROL_NAME_MAX 64 /* letters, digits, '-', '_', '.' */
#define TPM_ENROL_ID_LEN 32
#define TPM_ENROL_KEY_MAX 2048
#define TPM_ENROL_CERTIFICATES_MAX 65536
#define TPM_ENROL_EVIDENCE_MAX (1024 * 1024)
#define TPM_ENROL_BODY_MAX (2 * 1024 * 1024)
#define TPM_ENROL_PCRS 24

MUST_USE int tpm_enrol_name_check(const char *name, struct error *err);

/* POST /v1/tpm/enrol: {"name":"…","ek":B64,"ak":B64,"certificates":B64,"pcrs":N}. ek: TPMT_PUBLIC; ak: TPMT_PUBLIC and its parent's qualified name;
 * certificates of the endorsement key, its own first, DER or PEM, may be no bytes; pcrs: bit n, PCR n of the SHA-256 bank is held to what it is now. */
struct tpm_enrol_request {
	char name[TPM_ENROL_NAME_MAX + 1];
	struct buf ek, ak, certificates;
	uint32_t pcrs;
};
void tpm_enrol_request_init(struct tpm_enrol_request *r);
void tpm_enrol_request_free(struct tpm_enrol_request *r);
MUST_USE int tpm_enrol_request_encode(const struct tpm_enrol_request *r, struct buf *out, struct error *err);
/* ret: initialised, freed by the caller in either case. */
MUST_USE int tpm_enrol_request_decode(
	const void *p, size_t n, struct tpm_enrol_request *ret, struct error *err);

/* The answer: {"id":HEX64,"id_object":B64,"secret":B64}: TPM2B_ID_OBJECT, TPM2B_ENCRYPTED_SECRET. */
struct tpm_enrol_challenge {
	uint8_t id[TPM_ENROL_ID_LEN]; /* names this enrolment, and makes its quote fresh */
	struct buf id_object, secret;
};
void tpm_enrol_challenge_init(struct tpm_enrol_challenge *c);
void tpm_enrol_challenge_free(struct tpm_enrol_challenge *c);
MUST_USE int tpm_enrol_challenge_encode(
	const struct tpm_enrol_challenge *c, struct buf *out, struct error *err);
MUST_USE int tpm_enrol_challenge_decode(
	const void *p, size_t n, struct tpm_enrol_challenge *ret, struct error *err);

/* POST /v1/tpm/activate: {"id":HEX64,"credential":B64,"evidence":B64}: what ActivateCredential gave, and a quote over tpm_enrol_report_data. */
struct tpm_enrol_proof {
	uint8_t id[TPM_ENROL_ID_LEN];
	struct buf credential; /* secret buf */
	struct buf evidence;
};
void tpm_enrol_proof_init(struct tpm_enrol_proof *p);
void tpm_enrol_proof_free(struct tpm_enrol_proof *p);
MUST_USE int tpm_enrol_proof_encode(const struct tpm_enrol_proof *p, struct buf *out, struct error *err);
MUST_USE int tpm_enrol_proof_decode(const void *p, size_t n, struct tpm_enrol_proof *ret, struct error *err);

/* SHA-256("openscone-tpm-enrol-v1" NUL, id, client key hash, CAS key hash), then 32 zero bytes. */
void tpm_enrol_report_data(const uint8_t id[TPM_ENROL_ID_LEN], const uint8_t client_key[32],
	const uint8_t cas_key[32], uint8_t ret[64]);

#endif
