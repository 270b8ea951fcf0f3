/*
 * sgx: what the sgx driver needs of the enclave it is in. Only an enclave makes a report about itself (EREPORT); who loads the runtime into one gives the driver this
 * way to it. Without it the driver says what of SGX is here, and makes no evidence.
 */
#ifndef SCONE_TEE_SGX_H
#define SCONE_TEE_SGX_H

#include "tee/aesm.h"
#include "tee/tee.h"

struct sgx_enclave {
	/* REPORT of this enclave for the enclave that target names, over report_data. */
	int (*report)(void *arg, const uint8_t target[AESM_TARGET_LEN],
		const uint8_t report_data[REPORT_DATA_LEN], uint8_t ret[AESM_REPORT_LEN], struct error *err);
	void *arg;
};

/* Once, before the driver is opened, with one thread. e is borrowed for good; NULL: in none any more. */
void tee_sgx_enter(const struct sgx_enclave *e);

#endif
