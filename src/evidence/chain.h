/*
 * chain: from a signing key's certificate to a trusted root, by the rules of RFC 5280 that the makers' chains use. No I/O.
 */
#ifndef SCONE_EVIDENCE_CHAIN_H
#define SCONE_EVIDENCE_CHAIN_H

#include "core/error.h"
#include "crypto/x509_chain.h"
#include "evidence/verdict.h"

struct chain_rules {
	const char *what; /* start of every sentence: "SEV-SNP chain" */
	enum tee_type tee; /* whose roots */
	const uint8_t (*built_in)[32]; /* key hashes of the maker's roots */
	size_t built_in_count;
	X509_CRL *
		carried; /* a revocation list that came with the evidence, or NULL; those of the context's collateral count, too */
	/* A certificate whose issuer names a place for its list (CRL distribution point) must have one, unless the context allows none. */
	bool need_crl;
	const char *crl_command; /* that fetches the list, for the refusals; NULL: not known */
};

/*
 * c: signing key first, root last. Each is signed by the next, which is a CA that may do so and whose path length permits it; no certificate has
 * a critical extension that nobody here understands; all are valid at ctx->now; the root's key is trusted; none is on the newest
 * list that its issuer signed, which must be current.
 *
 * *valid_until becomes the earlier of itself (0: none yet) and the first end of a date that was relied on. Refusals: CHECK_CHAIN_*, CHECK_REVOKED_*,
 * CHECK_CRL_*.
 */
MUST_USE int chain_verify(const struct x509_chain *c, const struct chain_rules *rules,
	const struct verify_context *ctx, uint64_t *valid_until, struct error *err);

/* A certificate's dates alone, as chain_verify checks them. */
MUST_USE int chain_check_dates(
	X509 *cert, const char *what, uint64_t now, uint64_t *valid_until, struct error *err);
/* "2029-09-24T00:55:28Z"; n at least 21. */
void chain_time_text(uint64_t seconds, char *ret, size_t n);

#endif
