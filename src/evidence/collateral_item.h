/*
 * collateral_item: the documents and revocation lists in a collateral, one by one: what they are, whether they are genuine, and the form in which they are
 * kept as files.
 */
#ifndef SCONE_EVIDENCE_COLLATERAL_ITEM_H
#define SCONE_EVIDENCE_COLLATERAL_ITEM_H

#include "evidence/collateral.h"
#include "evidence/verdict.h"

#define COLLATERAL_NAME_MAX 128

struct collateral_item {
	char name
		[COLLATERAL_NAME_MAX]; /* file name: letters, digits, '-', '.'; the same for all versions of a document */
	char what[COLLATERAL_NAME_MAX]; /* for people */
	uint64_t from, until; /* seconds since 1970 */
	uint32_t number; /* tcbEvaluationDataNumber; 0 for lists */
};

size_t collateral_items(const struct collateral *c);
/* i below collateral_items(c). */
void collateral_item(const struct collateral *c, size_t i, struct collateral_item *ret);
/* Signed by a key whose chain is in c and ends in a trusted root (of ctx, else the maker's), and valid at ctx->now. Revocation of the signer counts
 * where there is a list of it. Refusals as intel_collateral.h. */
MUST_USE int collateral_item_check(
	const struct collateral *c, size_t i, const struct verify_context *ctx, struct error *err);
/* Append it as collateral_add takes it, with its issuer chain: a file of its own. */
MUST_USE int collateral_item_write(const struct collateral *c, size_t i, struct buf *out, struct error *err);
/* Is item i of a newer than item k of b, which has the same name? */
bool collateral_item_newer(const struct collateral_item *a, const struct collateral_item *b);

#endif
