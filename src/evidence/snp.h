/*
 * snp: is an SEV-SNP attestation report genuine, and what does it say? (AMD 56860; 57230 for the certificates.)
 *
 * The statement is the report. ITEM_CERTIFICATES: VCEK or VLEK, ASK or ASVK, ARK, in one of the forms of snp_cert.h. Without it, or where it ends
 * early, the evidence is refused: nothing is fetched.
 *
 * Checked: form and reserved bytes; ECDSA P-384 over the signed bytes with the key of the certificate; the chain (RSA-PSS with SHA-384, names and
 * roles of AMD's certificates, dates, root, revocation); that the certificate is one for this product, chip and reported TCB; that the TCB versions
 * of the report are in their order. Not decided here but by snp_judge and by verdict_judge: debug, VMPL, the guest's policy, lowest versions.
 */
#ifndef SCONE_EVIDENCE_SNP_H
#define SCONE_EVIDENCE_SNP_H

#include <jansson.h>
#include "evidence/verdict.h"

bool snp_is(const uint8_t *p, size_t n);
MUST_USE int snp_verify(
	const struct evidence *e, const struct verify_context *ctx, struct verdict *ret, struct error *err);
MUST_USE int snp_show(const struct evidence *e, json_t *into, struct error *err);
MUST_USE int snp_describe(const struct verdict *v, json_t *into);

#endif
