/*
 * trust: what this CAS relies on when it verifies evidence: collateral from a directory, roots, enrolled attestation keys.
 *
 * Makers' roots (Intel, AMD, AWS) are built into the verifiers. TPMs have no built-in root: an attestation key counts when it was enrolled (enrol.h). Only
 * a test root takes the place of a maker's; CAS says so at start and in GET /v1/cas.
 *
 * Collateral is read at start and again when its files changed or SIGHUP came. Collateral that cannot be read then changes nothing: what was read before stays.
 */
#ifndef SCONE_CAS_TRUST_H
#define SCONE_CAS_TRUST_H

#include <jansson.h>
#include <openssl/x509.h>
#include "core/error.h"
#include "evidence/verdict.h"

struct trust_options {
	const char *collateral; /* directory or file; NULL: none */
	struct trust_root *test_roots; /* the lists are owned: trust_options_free */
	size_t test_root_count;
	struct trust_root *tpm_roots; /* makers of TPMs, for endorsement keys' certificates */
	size_t tpm_root_count;
	X509 **tpm_issuers; /* certificates of those files: roots, and what is between them and a TPM's */
	size_t tpm_issuer_count;
	uint8_t (*operators)[32]; /* key hashes of those who may enrol TPMs */
	size_t operator_count;
	uint32_t min_tcb_evaluation;
};

/* Values of options: "TYPE=FILE", "FILE", key hash as text. ERR_INPUT says what is wanted. */
MUST_USE int trust_option_test_root(struct trust_options *o, const char *text, struct error *err);
MUST_USE int trust_option_tpm_root(struct trust_options *o, const char *text, struct error *err);
MUST_USE int trust_option_operator(struct trust_options *o, const char *text, struct error *err);
void trust_options_free(struct trust_options *o);
/* NULL is no operator. */
bool trust_is_operator(const struct trust_options *o, const uint8_t *key);

struct trust;

/* Reads the collateral and logs what is to be known about it. o is borrowed and must outlive *ret. */
MUST_USE int trust_open(const struct trust_options *o, uint64_t now, struct trust **ret, struct error *err);
void trust_close(struct trust *t); /* NULL is fine */
const struct trust_options *trust_options(const struct trust *t);

/* From any thread or a signal's handler: read the collateral again at the next trust_refresh. */
void trust_reread(struct trust *t);
/* Before use, from the thread that verifies. now in seconds since 1970, monotonic of a clock that never goes back. */
void trust_refresh(struct trust *t, uint64_t now, uint64_t monotonic);

/* The attestation keys that count from now on, copied. */
MUST_USE int trust_set_enrolled(struct trust *t, const uint8_t (*keys)[32], size_t n, struct error *err);

/* Fill collateral, roots and floor of *ret; valid until the next call that changes t. */
void trust_context(const struct trust *t, struct verify_context *ret);
/* The same for certificates of endorsement keys, which attest nothing by themselves. */
void trust_enrol_context(const struct trust *t, struct verify_context *ret);

/* Sentences for people, appended to an array. */
void trust_warnings(const struct trust *t, uint64_t now, json_t *list);

#endif
