/*
 * machine: which machines a policy believes (extension 14.10). A machine's evidence (TPM, SEV-SNP, TDX, Nitro) names the program by the word of what runs on the
 * machine, so it counts only for machines whose measured start is listed.
 */
#ifndef SCONE_POLICY_MACHINE_H
#define SCONE_POLICY_MACHINE_H

#include "evidence/verdict.h"

#define MACHINE_VALUE_MAX 48

struct machine_register { /* PCR or RTMR */
	uint32_t index;
	uint8_t value[MACHINE_VALUE_MAX];
};

struct machine_rule { /* AND */
	enum tee_type tee; /* one of the four */
	uint8_t (*launch)[MACHINE_VALUE_MAX]; /* any one of them; count 0: no such factor */
	size_t launch_count;
	struct machine_register *registers; /* by index; several rows for one index: any of these values */
	size_t register_count;
	bool event_log; /* tpm: must be there */
};

/* Does evidence of this type name the program by a machine's word? */
bool machine_speaks(enum tee_type tee);
/* Bytes of a register's value. */
size_t machine_value_len(enum tee_type tee);
/* Word of the rule: "tpm", "sev-snp", "tdx", "nitro". */
const char *machine_word(enum tee_type tee);

/* v satisfies one of the rules. debug: a debug environment is tolerated. Refusals: CHECK_MACHINE where none is for this type, CHECK_MEASUREMENT, CHECK_PCR and
 * CHECK_PCR_SELECTION with the value seen and the value wanted, CHECK_EVENT_LOG, and those of snp_judge.h; of several rules for the type, the last one's. */
MUST_USE int machine_check(
	const struct machine_rule *rules, size_t n, const struct verdict *v, bool debug, struct error *err);

#endif
