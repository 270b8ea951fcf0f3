/*
 * evidence_input: what `scone evidence` and `scone collateral` are given: files and options, read and turned into what src/evidence takes.
 */
#ifndef SCONE_CLI_EVIDENCE_INPUT_H
#define SCONE_CLI_EVIDENCE_INPUT_H

#include "cli/cli.h"
#include "evidence/collateral.h"
#include "evidence/verdict.h"

struct evidence_input {
	struct buf file, certificates; /* what evidence points into */
	struct evidence evidence;
	struct collateral *collateral;
	struct trust_root root;
	uint8_t report_data[REPORT_DATA_LEN];
	struct verify_context ctx;
	struct tolerances tolerances;
};

/* From operand 0 and --type; with whole also from the other options, all of which may be absent. Free with evidence_input_free, in failure too. */
MUST_USE int evidence_input_load(
	const struct args *a, bool whole, struct evidence_input *ret, struct error *err);
void evidence_input_free(struct evidence_input *in);

/* --at, else the clock. "2025-06-20", "2025-06-20T10:00:00Z", or seconds since 1970. */
MUST_USE int evidence_input_time(const struct args *a, uint64_t *ret, struct error *err);
/* --root: key hash of the certificate or public key in the file (PEM, or DER for certificates). */
MUST_USE int evidence_input_root(const char *path, uint8_t ret[32], struct error *err);
/* --collateral, else the directory "collateral" of home; fresh storage. NULL with err. */
char *evidence_input_collateral_path(const struct args *a, struct error *err);

#endif
