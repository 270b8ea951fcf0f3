/*
 * snp_judge: what an operator wants of SEV-SNP platforms and guests beyond their being genuine. A zeroed struct is the strict default where a default
 * makes sense, and "any" where only the operator can know.
 */
#ifndef SCONE_EVIDENCE_SNP_JUDGE_H
#define SCONE_EVIDENCE_SNP_JUDGE_H

#include "evidence/snp_report.h"
#include "evidence/verdict.h"

struct snp_wanted {
	uint32_t max_vmpl; /* 0: the guest's most privileged level only */
	uint32_t min_guest_svn;
	bool allow_debug; /* else CHECK_GUEST_POLICY, whatever verdict_judge tolerates */
	bool allow_migration; /* by a migration agent */
	bool forbid_smt; /* threads of others on the same core: refused by policy bit and by platform */
	bool single_socket;
	uint64_t policy_needed; /* further bits of the guest policy that must be set */
	uint64_t platform_needed; /* bits of the platform's configuration that must be set */
	const struct snp_tcb
		*min_tcb[SNP_PRODUCT_COUNT]; /* lowest reported version of each part, by product; NULL: any */
	bool min_tcb_only; /* products without min_tcb are refused */
	const uint8_t (*launch)[48]; /* accepted launch measurements; count 0: any */
	size_t launch_count;
	const uint8_t (*id_key)[48]; /* SHA-384 of accepted id keys; count 0: any */
	size_t id_key_count;
	const uint8_t (*author_key)[48];
	size_t author_key_count;
	const uint8_t *host_data; /* 32 bytes; NULL: any */
	const uint8_t *family_id, *image_id; /* 16 bytes; NULL: any */
};

/* v is a verdict of snp_verify. Refusals: CHECK_VMPL, CHECK_GUEST_SVN, CHECK_GUEST_POLICY, CHECK_PLATFORM_INFO, CHECK_TCB_MINIMUM,
 * CHECK_MEASUREMENT, CHECK_ID_KEY, CHECK_HOST_DATA. */
MUST_USE int snp_judge(const struct verdict *v, const struct snp_wanted *w, struct error *err);

#endif
