#include "tee/tee.h"

#include <string.h>
#include "evidence/workload.h"

static const struct tee_ops *const drivers[] = {&tee_sim_ops, &tee_tpm_ops, &tee_snp_ops, &tee_tdx_ops,
	&tee_nitro_ops, &tee_sgx_ops, &tee_skeleton_ops, NULL};

const struct tee_ops *const *tee_drivers(void)
{
	return drivers;
}

const struct tee_ops *tee_by_name(const char *name)
{
	for (size_t i = 0; drivers[i]; i++)
		if (strcmp(drivers[i]->name, name) == 0)
			return drivers[i];
	return NULL;
}

int tee_quote_workload(struct tee *t, const uint8_t runtime_digest[32], const uint8_t manifest_root[32],
	const uint8_t report_data[REPORT_DATA_LEN], struct buf *out, struct error *err)
{
	uint8_t workload[WORKLOAD_LEN], bound[REPORT_DATA_LEN];
	struct evidence e;
	struct buf quote;
	int rc;

	workload_make(runtime_digest, manifest_root, report_data, workload);
	workload_bind(workload, bound);
	buf_init(&quote, EVIDENCE_MAX);
	rc = t->ops->quote(t, bound, &quote, err);
	if (rc == 0)
		rc = evidence_parse(quote.data, quote.len, t->ops->type, &e, err);
	if (rc == 0) {
		e.item[ITEM_WORKLOAD] = (struct bytes){workload, sizeof(workload)};
		rc = evidence_write(&e, out, err);
	}
	buf_free(&quote);
	return rc;
}

static int cannot_seal(const struct tee *t, const char *label, struct error *err)
{
	return error_set(err, ERR_NOT_FOUND, "tee %s: \"%s\" cannot be kept: %s", t->ops->name, label,
		t->ops->no_seal);
}

int tee_seal(struct tee *t, const char *label, const void *p, size_t n, struct buf *out, struct error *err)
{
	return t->ops->seal ? t->ops->seal(t, label, p, n, out, err) : cannot_seal(t, label, err);
}

int tee_unseal(struct tee *t, const char *label, const void *p, size_t n, struct buf *out, struct error *err)
{
	return t->ops->unseal ? t->ops->unseal(t, label, p, n, out, err) : cannot_seal(t, label, err);
}
