#include "evidence/workload.h"

#include <string.h>
#include "crypto/hash.h"
#include "evidence/check.h"
#include "measure/measure.h"

void workload_make(const uint8_t runtime_digest[32], const uint8_t manifest_root[32],
	const uint8_t report_data[REPORT_DATA_LEN], uint8_t ret[WORKLOAD_LEN])
{
	memcpy(ret, runtime_digest, 32);
	memcpy(ret + 32, manifest_root, 32);
	memcpy(ret + 64, report_data, REPORT_DATA_LEN);
}

void workload_bind(const uint8_t item[WORKLOAD_LEN], uint8_t ret[REPORT_DATA_LEN])
{
	uint8_t bytes[sizeof(WORKLOAD_LABEL) + WORKLOAD_LEN];

	memcpy(bytes, WORKLOAD_LABEL, sizeof(WORKLOAD_LABEL));
	memcpy(bytes + sizeof(WORKLOAD_LABEL), item, WORKLOAD_LEN);
	memset(ret, 0, REPORT_DATA_LEN);
	sha256(bytes, sizeof(bytes), ret);
}

int workload_verify(const struct evidence *e,
	int (*verify)(const struct evidence *e, const struct verify_context *ctx, struct verdict *ret,
		struct error *err),
	const struct verify_context *ctx, struct verdict *ret, struct error *err)
{
	const struct bytes item = e->item[ITEM_WORKLOAD];
	struct verify_context inner = *ctx;
	uint8_t bound[REPORT_DATA_LEN];
	struct verdict v = {0};

	if (item.n != WORKLOAD_LEN)
		return evidence_refuse(
			err, CHECK_FORMAT, "workload: %zu bytes, wanted %d", item.n, WORKLOAD_LEN);
	workload_bind(item.p, bound);
	inner.report_data = bound;
	if (verify(e, &inner, &v, err) < 0)
		return -1;
	memcpy(v.runtime_digest, item.p, 32);
	memcpy(v.manifest_root, item.p + 32, 32);
	memcpy(v.report_data, item.p + 64, REPORT_DATA_LEN);
	measurement(v.runtime_digest, v.manifest_root, v.measurement);
	if (verify_report_data(ctx, "workload", v.report_data, err) < 0)
		return -1;
	*ret = v;
	return 0;
}
