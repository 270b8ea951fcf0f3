/*
 * SGX: not yet. A quote is over a report that an enclave makes about itself, and this runtime has no enclave to run in; the quoting service (AESM,
 * /var/run/aesmd/aesm.socket) could sign nothing that says anything about the program. The verifier of SGX quotes does not depend on this driver.
 */
#include "tee/tee.h"

static int refuse(struct error *err)
{
	return error_set(err, ERR_NOT_FOUND,
		"tee sgx: not yet: the runtime does not run in an enclave, whose report a quote would be "
		"over");
}

static int sgx_probe(struct error *err)
{
	return refuse(err);
}

static int sgx_open(const char *state_dir, struct tee **ret, struct error *err)
{
	return refuse(err);
}

static void sgx_close(struct tee *t)
{
}

static int sgx_evidence(struct tee *t, const uint8_t runtime_digest[32], const uint8_t manifest_root[32],
	const uint8_t report_data[REPORT_DATA_LEN], struct buf *out, struct error *err)
{
	return refuse(err);
}

static int sgx_seal(
	struct tee *t, const char *label, const void *p, size_t n, struct buf *out, struct error *err)
{
	return refuse(err);
}

static int sgx_platform(struct tee *t, uint8_t ret[32], struct error *err)
{
	return refuse(err);
}

const struct tee_ops tee_sgx_ops = {
	.type = TEE_SGX,
	.name = "sgx",
	.probe = sgx_probe,
	.open = sgx_open,
	.close = sgx_close,
	.evidence = sgx_evidence,
	.seal = sgx_seal,
	.unseal = sgx_seal,
	.platform = sgx_platform,
};
