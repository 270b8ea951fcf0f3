/*
 * own_evidence: this CAS's evidence about itself, by its TEE (wire/cas_evidence.h).
 *
 * What speaks of the code is the SHA-256 of this program's image and the root of its closure, as they were when own_evidence_new was called.
 */
#ifndef SCONE_CAS_OWN_EVIDENCE_H
#define SCONE_CAS_OWN_EVIDENCE_H

#include "tee/tee.h"
#include "wire/cas_evidence.h"

/* SHA-256 of this program's image, root of its code manifest. */
MUST_USE int own_code(uint8_t ret_digest[32], uint8_t ret_root[32], struct error *err);

struct own_evidence;

/* t is borrowed; cas_key: key hash of the identity. */
MUST_USE int own_evidence_new(
	struct tee *t, const uint8_t cas_key[32], struct own_evidence **ret, struct error *err);
void own_evidence_free(struct own_evidence *o); /* NULL is fine */

/* nonce NULL: evidence that is at most CAS_EVIDENCE_KEPT seconds old. Else made now; such are made for at most half of the time, so that who asks for
 * them without end does not keep CAS from its work: ERR_LIMIT for the others. now: seconds since 1970; ret: initialised. */
MUST_USE int own_evidence_get(struct own_evidence *o, const uint8_t *nonce, uint64_t now,
	struct cas_evidence *ret, struct error *err);

#endif
