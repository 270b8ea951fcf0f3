#include "evidence/verdict.h"

#include <string.h>
#include "evidence/sim.h"

const char *tee_type_name(enum tee_type t)
{
	switch (t) {
	case TEE_NONE:
		return "none";
	case TEE_SIM:
		return "sim";
	case TEE_TPM:
		return "tpm";
	case TEE_SNP:
		return "sev-snp";
	case TEE_TDX:
		return "tdx";
	case TEE_SGX:
		return "sgx";
	case TEE_NITRO:
		return "nitro";
	}
	return "unknown";
}

/* Types are told apart by their first bytes. */
static const struct {
	const char *magic;
	size_t len;
	int (*verify)(const uint8_t *p, size_t n, const struct verify_context *ctx, struct verdict *ret,
		struct error *err);
} types[] = {
	{SIM_EVIDENCE_MAGIC, sizeof(SIM_EVIDENCE_MAGIC) - 1, sim_evidence_verify},
};

int evidence_verify(
	const uint8_t *p, size_t n, const struct verify_context *ctx, struct verdict *ret, struct error *err)
{
	for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++)
		if (n >= types[i].len && memcmp(p, types[i].magic, types[i].len) == 0)
			return types[i].verify(p, n, ctx, ret, err);
	return error_set(err, ERR_INPUT, "evidence of %zu bytes has no known type", n);
}
