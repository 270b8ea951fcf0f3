/*
 * Where a new driver starts: copy, give it a type and a name, fill in the functions, add it to the list in tee.c.
 * Registered, so that everything that walks the drivers meets one that cannot work here.
 */
#include "tee/tee.h"

static int refuse(struct error *err)
{
	return error_set(err, ERR_NOT_FOUND, "tee skeleton: no hardware stands behind this driver");
}

static int skeleton_probe(struct error *err)
{
	return refuse(err);
}

static int skeleton_open(const char *state_dir, struct tee **ret, struct error *err)
{
	return refuse(err);
}

static void skeleton_close(struct tee *t)
{
}

static int skeleton_evidence(struct tee *t, const uint8_t runtime_digest[32], const uint8_t root[32],
	const uint8_t report_data[REPORT_DATA_LEN], struct buf *out, struct error *err)
{
	return refuse(err);
}

static int skeleton_platform(struct tee *t, uint8_t ret[32], struct error *err)
{
	return refuse(err);
}

const struct tee_ops tee_skeleton_ops = {
	.type = TEE_NONE,
	.name = "skeleton",
	.probe = skeleton_probe,
	.open = skeleton_open,
	.close = skeleton_close,
	.evidence = skeleton_evidence,
	.no_seal = "no hardware stands behind this driver",
	.platform = skeleton_platform,
};
