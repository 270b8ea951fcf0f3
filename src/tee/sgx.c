/*
 * SGX: a quote by Intel's quoting service (aesm.h) over the report that this enclave makes about itself. The evidence is of the enclave (MRENCLAVE covers the code), so
 * there is no workload beside it. The runtime is not loaded into an enclave by anything of this project: outside of one the driver probes only.
 */
#include "tee/sgx.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEVICE "/dev/sgx_enclave" /* Linux 5.11 */
#define PROVISION "/dev/sgx_provision" /* for the quoting service's own enclaves */
#define TRIES 3 /* the quoting service may lose its key between two calls */

struct sgx {
	struct tee tee;
};

static const struct sgx_enclave *enclave;

void tee_sgx_enter(const struct sgx_enclave *e)
{
	enclave = e;
}

static void look(const char *path, char *ret, size_t n)
{
	(void)snprintf(ret, n, "%s", access(path, F_OK) == 0 ? "here" : strerror(errno));
}

/* Each thing that is missing, with its reason: who sets up a machine wants all of them at once. */
static int sgx_probe(struct error *err)
{
	uint8_t key_id[AESM_KEY_ID_LEN];
	struct error service = {0};
	char device[64], provision[64];
	bool answers = aesm_key_id(key_id, &service) == 0;

	if (enclave)
		return answers ? 0 : error_set(err, service.code, "tee sgx: %s", service.text);
	look(DEVICE, device, sizeof(device));
	look(PROVISION, provision, sizeof(provision));
	return error_set(err, ERR_NOT_FOUND,
		"tee sgx: this program runs in no enclave, which alone could make the report that a quote is "
		"over; " DEVICE ": %s; " PROVISION ": %s; quoting service: %s",
		device, provision, answers ? "here" : service.text);
}

static int sgx_open(const char *state_dir, struct tee **ret, struct error *err)
{
	struct sgx *s;

	if (sgx_probe(err) < 0)
		return -1;
	s = calloc(1, sizeof(*s));
	if (!s)
		return error_set(err, ERR_NOMEM, "no memory");
	s->tee.ops = &tee_sgx_ops;
	*ret = &s->tee;
	return 0;
}

static void sgx_close(struct tee *t)
{
	free(t);
}

/* ERR_CONFLICT: the service's key is gone; its next one may be another enclave's, so the report is made again, too. */
static int quote_once(const uint8_t report_data[REPORT_DATA_LEN], struct buf *quote, struct error *err)
{
	uint8_t key_id[AESM_KEY_ID_LEN], target[AESM_TARGET_LEN], report[AESM_REPORT_LEN];

	return aesm_key_id(key_id, err) < 0 || aesm_init(key_id, target, err) < 0 ||
			       enclave->report(enclave->arg, target, report_data, report, err) < 0 ||
			       aesm_quote(key_id, report, quote, err) < 0
		       ? -1
		       : 0;
}

static int sgx_evidence(struct tee *t, const uint8_t runtime_digest[32], const uint8_t manifest_root[32],
	const uint8_t report_data[REPORT_DATA_LEN], struct buf *out, struct error *err)
{
	struct evidence e = {.tee = TEE_SGX};
	struct error why = {0};
	struct buf quote;
	int rc = -1;

	buf_init(&quote, EVIDENCE_MAX);
	for (int i = 0; rc < 0 && i < TRIES && (i == 0 || why.code == ERR_CONFLICT); i++)
		rc = quote_once(report_data, &quote, &why);
	if (rc < 0)
		error_set(err, why.code, "tee sgx: %s", why.text);
	e.item[ITEM_STATEMENT] = (struct bytes){quote.data, quote.len};
	if (rc == 0)
		rc = evidence_write(&e, out, err);
	buf_free(&quote);
	return rc;
}

static int sgx_platform(struct tee *t, uint8_t ret[32], struct error *err)
{
	return error_set(err, ERR_NOT_FOUND,
		"tee sgx: an enclave does not learn the key of its platform; it is in the quote's "
		"certificates");
}

const struct tee_ops tee_sgx_ops = {
	.type = TEE_SGX,
	.name = "sgx",
	.probe = sgx_probe,
	.open = sgx_open,
	.close = sgx_close,
	.evidence = sgx_evidence,
	.no_seal = "sealing in an enclave (EGETKEY) is not there yet",
	.platform = sgx_platform,
};
