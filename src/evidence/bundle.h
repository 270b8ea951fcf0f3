/*
 * bundle: evidence with what is carried beside it, and how the parts are found in bytes. No I/O, no allocation.
 *
 * Wire form, all integers big endian:
 *
 *	8 bytes  magic "SCONEEVB"
 *	u16      version 1
 *	u16      enum tee_type
 *	items until the end, by ascending kind, each kind at most once:
 *	    u16  kind (enum evidence_item)
 *	    u32  length, at least 1
 *	    the bytes
 *
 * A bare statement (SGX or TDX quote, SEV-SNP report, Nitro document, sim evidence) is evidence, too: one item.
 */
#ifndef SCONE_EVIDENCE_BUNDLE_H
#define SCONE_EVIDENCE_BUNDLE_H

#include <stddef.h>
#include <stdint.h>
#include "core/buf.h"
#include "core/error.h"

/* Numbers are part of the wire form. */
enum tee_type { TEE_NONE, TEE_SIM, TEE_TPM, TEE_SNP, TEE_TDX, TEE_SGX, TEE_NITRO };
const char *tee_type_name(enum tee_type t); /* "sim", "tpm", "sev-snp", "tdx", "sgx", "nitro" */
/* Also "snp". TEE_NONE if the word is none of them. */
enum tee_type tee_type_parse(const char *name);

#define BUNDLE_MAGIC "SCONEEVB"
#define BUNDLE_VERSION 1
#define EVIDENCE_MAX (1024 * 1024) /* bytes, all in all */

/* Numbers are part of the wire form. */
enum evidence_item {
	ITEM_STATEMENT = 1, /* quote, report, COSE document, TPMS_ATTEST: what the hardware signed */
	ITEM_SIGNATURE = 2, /* where the statement does not hold it (TPM: TPMT_SIGNATURE) */
	ITEM_KEY = 3, /* public key that signed, where nothing else holds it (TPM: TPMT_PUBLIC) */
	ITEM_CERTIFICATES = 4, /* PEM, or DER, or SEV certificate table: signing key first, root last */
	ITEM_COLLATERAL = 5, /* Intel: JSON, as collateral.h takes it */
	ITEM_EVENT_LOG = 6, /* TCG event log */
	ITEM_VALUES = 7, /* the register values that a digest in the statement covers (TPM: PCRs) */
	ITEM_WORKLOAD = 8, /* of which program a machine's evidence speaks (workload.h) */
	ITEM_LAS =
		9, /* whose word that is: key of the machine's LAS, platform nonce, signature (workload.h) */
	ITEM_END
};

struct bytes {
	const uint8_t *p; /* NULL: not there */
	size_t n;
};

struct evidence {
	enum tee_type tee;
	struct bytes item[ITEM_END]; /* by enum evidence_item; [0] is not used */
};

/* Pointers into p, which must outlive *ret. want TEE_NONE: recognise the type; else a bare statement is taken for that type and a bundle of
 * another is refused (CHECK_TYPE). ERR_ATTEST (CHECK_FORMAT, CHECK_VERSION) for a bundle that does not add up, ERR_LIMIT above EVIDENCE_MAX, ERR_INPUT
 * for a statement of no known type. */
MUST_USE int evidence_parse(
	const uint8_t *p, size_t n, enum tee_type want, struct evidence *ret, struct error *err);
/* Append the wire form. ERR_LIMIT if it does not fit. */
MUST_USE int evidence_write(const struct evidence *e, struct buf *out, struct error *err);

#endif
