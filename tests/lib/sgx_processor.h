/*
 * sgx_processor: what EREPORT does, in software, for tests: an enclave's report whose MAC only the enclave that it is for can check (Intel SDM 3D, EREPORT). The
 * processor's secret is a file.
 */
#ifndef SCONE_TESTS_SGX_PROCESSOR_H
#define SCONE_TESTS_SGX_PROCESSOR_H

#include "evidence/intel_quote.h"
#include "tee/aesm.h"

struct sgx_report_mac {
	struct sgx_report body;
	uint8_t key_id[32];
	uint8_t mac[16];
};
static_assert(sizeof(struct sgx_report_mac) == AESM_REPORT_LEN, "REPORT");

struct sgx_processor {
	uint8_t secret[16];
};

/* From the file, which is made if it is absent. */
void sgx_processor_open(struct sgx_processor *p, const char *file);
/* body's enclave reports about itself to the enclave with this measurement. */
void sgx_processor_report(const struct sgx_processor *p, const struct sgx_report *body,
	const uint8_t target[32], struct sgx_report_mac *ret);
/* Was r made by this processor for the enclave with this measurement? */
bool sgx_processor_check(
	const struct sgx_processor *p, const struct sgx_report_mac *r, const uint8_t target[32]);

#endif
