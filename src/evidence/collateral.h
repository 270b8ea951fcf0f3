/*
 * collateral: what makers publish about their platforms (TCB info, identities, revocation lists, issuer chains), parsed and its signatures checked
 * once, for many verifications. No I/O: the caller reads the files.
 *
 * Adding is for one thread; a collateral that nobody adds to any more may be used by many threads at once.
 *
 * The state of trust is not settled here: dates and roots are those of the verify_context at each verification.
 */
#ifndef SCONE_EVIDENCE_COLLATERAL_H
#define SCONE_EVIDENCE_COLLATERAL_H

#include <stddef.h>
#include <stdint.h>
#include "core/buf.h"
#include "core/error.h"

#define COLLATERAL_FILE_MAX (1024 * 1024) /* bytes of one file */

struct collateral;

struct collateral *collateral_new(void); /* NULL: no memory */
void collateral_free(struct collateral *c); /* NULL is allowed */

/* Take a document of whatever kind it is (docs/evidence.md lists the forms). Documents may come in any order. ERR_INPUT for what is no
 * collateral. Where two documents speak of the same, both are kept and the newer one is used. Nothing is kept of p. */
MUST_USE int collateral_add(struct collateral *c, const void *p, size_t n, struct error *err);

#endif
