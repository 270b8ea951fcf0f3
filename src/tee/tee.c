#include "tee/tee.h"

#include <string.h>

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
