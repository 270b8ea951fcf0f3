/*
 * check: the names of everything for which evidence is refused. docs/evidence.md tells what each means.
 *
 * A refusal is an ERR_ATTEST error whose `check` is one of these names: for programs and tests, which must not depend on the sentence.
 */
#ifndef SCONE_EVIDENCE_CHECK_H
#define SCONE_EVIDENCE_CHECK_H

#include <stddef.h>
#include "core/error.h"

enum evidence_check {
	/* any type */
	CHECK_FORMAT, /* a length, a reserved field, a structure that does not add up */
	CHECK_VERSION, /* of the format: not one that is known */
	CHECK_TYPE, /* the evidence is of another type than was asked for */
	CHECK_ALGORITHM, /* a signature or hash algorithm that is not accepted */
	CHECK_SIGNATURE, /* of the statement */
	CHECK_REPORT_DATA, /* made for another connection, nonce or key */
	CHECK_MEASUREMENT,
	CHECK_DEBUG, /* the environment can be inspected, and nobody tolerates that */
	CHECK_TCB_STATUS, /* not up to date, and nobody tolerates that; revoked never is */
	CHECK_ADVISORY, /* an advisory that is not ignored */
	CHECK_ISSUED_AT, /* too old or from the future */
	CHECK_PLATFORM, /* the platform is none of those that are trusted */
	CHECK_LAS_SIGNATURE, /* what is said of the program is not signed by the LAS that the platform names */
	CHECK_PLATFORM_AGE, /* the platform's evidence is older than wanted, or nothing says how old */
	CHECK_MACHINE, /* nothing says that a machine that measured such a start is believed */
	/* certificates */
	CHECK_CHAIN_MISSING,
	CHECK_CHAIN_FORMAT, /* not certificates, or too many */
	CHECK_CHAIN_ORDER, /* a certificate is not issued by the one after it */
	CHECK_CHAIN_SIGNATURE,
	CHECK_CHAIN_ROOT, /* ends in a root that is not trusted */
	CHECK_CHAIN_TIME, /* not valid yet, or expired */
	CHECK_CHAIN_ROLE, /* a certificate in a place for which it was not issued */
	CHECK_REVOKED_KEY, /* the certificate of the signing key is on a revocation list */
	CHECK_REVOKED_CA, /* an intermediate certificate is */
	CHECK_CRL_MISSING,
	CHECK_CRL_FORMAT,
	CHECK_CRL_SIGNATURE,
	CHECK_CRL_TIME, /* not valid yet, or a newer one is due */
	/* Intel */
	CHECK_QE_SIGNATURE, /* the QE report is not signed by the PCK */
	CHECK_QE_BINDING, /* the QE report does not name the attestation key */
	CHECK_QE_IDENTITY, /* the QE is not the one in the QE identity */
	CHECK_QE_TCB, /* the QE is revoked */
	CHECK_PCK_EXTENSION, /* the PCK certificate does not describe a platform */
	CHECK_COLLATERAL_MISSING,
	CHECK_COLLATERAL_FORMAT,
	CHECK_COLLATERAL_SIGNATURE,
	CHECK_COLLATERAL_TIME,
	CHECK_COLLATERAL_MATCH, /* TCB info is of another FMSPC, PCE or TEE */
	CHECK_COLLATERAL_NUMBER, /* tcbEvaluationDataNumber below what is wanted */
	CHECK_TCB_LEVEL, /* no TCB level of the collateral fits */
	CHECK_TDX_MODULE, /* unknown TDX module, or another signer or attributes */
	CHECK_ATTRIBUTES, /* an enclave or a TD with attributes that no running one has, or that nobody knows */
	/* AMD */
	CHECK_PRODUCT, /* the certificates are for another processor than the report's, or for an unknown one */
	CHECK_CHIP_ID, /* the certificate is for another chip */
	CHECK_TCB_MATCH, /* the certificate is for another TCB version, or versions contradict each other */
	CHECK_SIGNING_KEY, /* the report is signed by no key, or by another kind than the certificate's */
	CHECK_GUEST_POLICY, /* a bit of the guest policy */
	CHECK_PLATFORM_INFO, /* a bit of the platform's configuration */
	CHECK_VMPL,
	CHECK_GUEST_SVN,
	CHECK_TCB_MINIMUM, /* a component of the TCB below what is wanted */
	CHECK_HOST_DATA,
	CHECK_ID_KEY, /* id key or author key */
	/* TCG, AWS */
	CHECK_ATTESTATION_KEY, /* not a restricted signing key of a TPM, or not the one that signed */
	CHECK_PCR_SELECTION, /* a register that is wanted was not quoted */
	CHECK_PCR_DIGEST, /* the values are not those that were quoted */
	CHECK_PCR, /* a register has another value than is wanted */
	CHECK_EVENT_LOG_FORMAT,
	CHECK_EVENT_LOG, /* it does not lead to the quoted values, or holds what is not wanted */
	CHECK_COUNT,
};

/* Lower case words with '-': "chain-root". */
const char *evidence_check_name(enum evidence_check c);
/* The same string, found by its text; NULL: no check has this name. */
const char *evidence_check_find(const char *name);

/* error_set with ERR_ATTEST and the check's name. The sentence has the value seen and the value wanted. Returns -1. */
int evidence_refuse(struct error *err, enum evidence_check c, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* The same for bytes: "WHAT is HEX, wanted HEX". n is at most 64. */
int evidence_refuse_bytes(struct error *err, enum evidence_check c, const char *what, const void *seen,
	const void *wanted, size_t n);

#endif
