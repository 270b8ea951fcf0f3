/*
 * cas_wanted: what a user wants of a CAS's evidence: options, or a file (--policy), as the policy of wire/cas_evidence.h.
 */
#ifndef SCONE_CLI_CAS_WANTED_H
#define SCONE_CLI_CAS_WANTED_H

#include "cli/cli.h"
#include "evidence/collateral.h"
#include "wire/cas_evidence.h"

struct cas_wanted {
	struct cas_policy *policy; /* owned; NULL: the options say nothing of evidence */
	struct collateral *collateral; /* owned; may be NULL */
};

/* Free with cas_wanted_free, in failure too. */
MUST_USE int cas_wanted_load(const struct args *a, struct cas_wanted *ret, struct error *err);
void cas_wanted_free(struct cas_wanted *w);

#endif
