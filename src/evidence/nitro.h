/*
 * nitro: is an AWS Nitro attestation document genuine, and what does it say? (nitro_document.h has the form.)
 *
 * The statement is the COSE_Sign1; it carries its own certificates. Checked: form; ECDSA P-384 with SHA-384 of the leaf certificate's key; the chain
 * from cabundle, root first, to the pinned root of AWS; that the document was made while its leaf was valid, and not in the future.
 *
 * report data is user_data, padded with zeros to 64 bytes; a document with longer user_data has none. measurement of the enclave image is
 * PCR0. An enclave in debug mode has PCRs 0 to 2 of zeros.
 */
#ifndef SCONE_EVIDENCE_NITRO_H
#define SCONE_EVIDENCE_NITRO_H

#include <jansson.h>
#include "evidence/verdict.h"

#define NITRO_AHEAD_MAX 300 /* seconds that a document's clock may be ahead of the verifier's */

bool nitro_is(const uint8_t *p, size_t n);
MUST_USE int nitro_verify(
	const struct evidence *e, const struct verify_context *ctx, struct verdict *ret, struct error *err);
MUST_USE int nitro_show(const struct evidence *e, json_t *into, struct error *err);
MUST_USE int nitro_describe(const struct verdict *v, json_t *into);

/* What is wanted of an enclave beyond its being genuine. */
struct nitro_wanted {
	const struct nitro_pcr_wanted {
		unsigned int index; /* below 16 */
		const uint8_t *value; /* 48 bytes */
	} * pcr;
	size_t pcr_count;
	const uint8_t *nonce, *public_key; /* NULL: any */
	size_t nonce_len, public_key_len;
};
/* v is a verdict of nitro_verify. Refusals: CHECK_PCR_SELECTION, CHECK_PCR, CHECK_REPORT_DATA for nonce and public key. */
MUST_USE int nitro_judge(const struct verdict *v, const struct nitro_wanted *w, struct error *err);

#endif
