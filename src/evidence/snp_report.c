#include "evidence/snp_report.h"

#include <string.h>
#include "evidence/check.h"

#define ALGORITHM_ECDSA_P384_SHA384 1u
#define FAMILY_ZEN3_ZEN4 0x19
#define FAMILY_ZEN5 0x1a

static uint32_t get32(const uint8_t p[4])
{
	return (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

static uint64_t get64(const uint8_t p[8])
{
	return (uint64_t)get32(p + 4) << 32 | get32(p);
}

static bool is_zero(const uint8_t *p, size_t n)
{
	uint8_t any = 0;

	for (size_t i = 0; i < n; i++)
		any |= p[i];
	return any == 0;
}

static const char *const product_names[SNP_PRODUCT_COUNT] = {
	[SNP_PRODUCT_UNKNOWN] = "unknown",
	[SNP_MILAN] = "Milan",
	[SNP_GENOA] = "Genoa",
	[SNP_TURIN] = "Turin",
};

const char *snp_product_name(enum snp_product p)
{
	return (size_t)p < SNP_PRODUCT_COUNT ? product_names[p] : "unknown";
}

enum snp_product snp_product_of_cpuid(uint8_t family, uint8_t model)
{
	if (family == FAMILY_ZEN3_ZEN4 && model <= 0x0f)
		return SNP_MILAN;
	if (family == FAMILY_ZEN3_ZEN4 &&
		((model >= 0x10 && model <= 0x1f) || (model >= 0xa0 && model <= 0xaf)))
		return SNP_GENOA;
	if (family == FAMILY_ZEN5 && model <= 0x1f)
		return SNP_TURIN;
	return SNP_PRODUCT_UNKNOWN;
}

enum snp_product snp_product_of_name(const char *name, size_t n)
{
	for (size_t i = SNP_PRODUCT_UNKNOWN + 1; i < SNP_PRODUCT_COUNT; i++) {
		size_t len = strlen(product_names[i]);

		if (n >= len && memcmp(name, product_names[i], len) == 0 && (n == len || name[len] == '-'))
			return (enum snp_product)i;
	}
	return SNP_PRODUCT_UNKNOWN;
}

const char *snp_tcb_part_name(size_t i)
{
	static const char *const names[SNP_TCB_PARTS] = {"FMC", "boot loader", "TEE", "SNP", "microcode"};

	return i < SNP_TCB_PARTS ? names[i] : "unknown";
}

uint8_t snp_tcb_part(const struct snp_tcb *t, size_t i)
{
	const uint8_t parts[SNP_TCB_PARTS] = {t->fmc, t->boot_loader, t->tee, t->snp, t->microcode};

	return i < SNP_TCB_PARTS ? parts[i] : 0;
}

struct snp_tcb snp_tcb_decode(uint64_t raw, enum snp_product p)
{
	uint8_t b[8];

	for (size_t i = 0; i < 8; i++)
		b[i] = (uint8_t)(raw >> 8 * i);
	if (p == SNP_TURIN)
		return (struct snp_tcb){
			.fmc = b[0], .boot_loader = b[1], .tee = b[2], .snp = b[3], .microcode = b[7]};
	return (struct snp_tcb){.boot_loader = b[0], .tee = b[1], .snp = b[6], .microcode = b[7]};
}

bool snp_report_is(const uint8_t *p, size_t n)
{
	const struct snp_report_wire *w = (const struct snp_report_wire *)p;

	return n == SNP_REPORT_LEN && get32(w->version) >= 2 && get32(w->version) < 256 &&
	       get32(w->signature_algorithm) == ALGORITHM_ECDSA_P384_SHA384;
}

static int check_version(uint32_t version, struct error *err)
{
	if (version == 2 || version == 3 || version == 5)
		return 0;
	return evidence_refuse(
		err, CHECK_VERSION, "SEV-SNP report: version is %u, wanted 2, 3 or 5", version);
}

/* Bytes that this version of the report does not use must be zero, so that a field of a newer version never passes unseen. */
static int check_reserved(const struct snp_report_wire *w, uint32_t version, struct error *err)
{
	const struct {
		size_t at, n;
		uint32_t until; /* reserved in versions below this one */
	} reserved[] = {
		{offsetof(struct snp_report_wire, reserved_4c), sizeof(w->reserved_4c), UINT32_MAX},
		{offsetof(struct snp_report_wire, cpuid), sizeof(w->cpuid), 3},
		{offsetof(struct snp_report_wire, reserved_18b), sizeof(w->reserved_18b), UINT32_MAX},
		{offsetof(struct snp_report_wire, reserved_1eb), 1, UINT32_MAX},
		{offsetof(struct snp_report_wire, reserved_1ef), 1, UINT32_MAX},
		{offsetof(struct snp_report_wire, launch_mit_vector), 16, 5},
		{offsetof(struct snp_report_wire, reserved_208), sizeof(w->reserved_208), UINT32_MAX},
		{offsetof(struct snp_report_wire, reserved_330), sizeof(w->reserved_330), UINT32_MAX},
	};

	for (size_t i = 0; i < sizeof(reserved) / sizeof(*reserved); i++)
		if (version < reserved[i].until &&
			!is_zero((const uint8_t *)w + reserved[i].at, reserved[i].n))
			return evidence_refuse(err, CHECK_FORMAT,
				"SEV-SNP report version %u: the %zu bytes at 0x%zx are not zero, wanted "
				"zeros there",
				version, reserved[i].n, reserved[i].at);
	return 0;
}

static int decode_key_info(const struct snp_report_wire *w, struct snp_report *r, struct error *err)
{
	uint32_t info = get32(w->key_info);

	if (info >> 5)
		return evidence_refuse(err, CHECK_FORMAT,
			"SEV-SNP report: key information is 0x%x, wanted no bit above bit 4", info);
	r->author_key = info & 1;
	r->chip_key_masked = info >> 1 & 1;
	r->signing_key = (enum snp_signing_key)(info >> 2 & 7);
	return 0;
}

static int decode_policy(const struct snp_report_wire *w, struct snp_report *r, struct error *err)
{
	r->policy = get64(w->policy);
	if (!(r->policy & SNP_POLICY_ALWAYS_ONE) || (r->policy & ~SNP_POLICY_KNOWN))
		return evidence_refuse(err, CHECK_FORMAT,
			"SEV-SNP report: guest policy is 0x%llx, wanted bit 17 and none above bit 25",
			(unsigned long long)r->policy);
	return 0;
}

static int decode_product(const struct snp_report_wire *w, struct snp_report *r, struct error *err)
{
	memcpy(r->cpuid, w->cpuid, sizeof(r->cpuid));
	if (r->version < 3)
		return 0;
	r->product = snp_product_of_cpuid(w->cpuid[0], w->cpuid[1]);
	if (r->product == SNP_PRODUCT_UNKNOWN)
		return evidence_refuse(err, CHECK_PRODUCT,
			"SEV-SNP report: processor is family 0x%02x model 0x%02x, wanted a Milan, Genoa or "
			"Turin",
			w->cpuid[0], w->cpuid[1]);
	return 0;
}

int snp_report_decode(const uint8_t *p, size_t n, struct snp_report *ret, struct error *err)
{
	const struct snp_report_wire *w = (const struct snp_report_wire *)p;
	struct snp_report r = {.wire = w};

	if (n != SNP_REPORT_LEN)
		return evidence_refuse(
			err, CHECK_FORMAT, "SEV-SNP report: %zu bytes, wanted %d", n, SNP_REPORT_LEN);
	r.version = get32(w->version);
	if (check_version(r.version, err) < 0)
		return -1;
	if (get32(w->signature_algorithm) != ALGORITHM_ECDSA_P384_SHA384)
		return evidence_refuse(err, CHECK_ALGORITHM,
			"SEV-SNP report: signature algorithm is %u, wanted %u (ECDSA P-384 with SHA-384)",
			get32(w->signature_algorithm), ALGORITHM_ECDSA_P384_SHA384);
	if (check_reserved(w, r.version, err) < 0 || decode_key_info(w, &r, err) < 0 ||
		decode_policy(w, &r, err) < 0 || decode_product(w, &r, err) < 0)
		return -1;
	r.guest_svn = get32(w->guest_svn);
	r.vmpl = get32(w->vmpl);
	r.platform_info = get64(w->platform_info);
	r.current_tcb = get64(w->current_tcb);
	r.reported_tcb = get64(w->reported_tcb);
	r.committed_tcb = get64(w->committed_tcb);
	r.launch_tcb = get64(w->launch_tcb);
	r.launch_mit_vector = get64(w->launch_mit_vector);
	r.current_mit_vector = get64(w->current_mit_vector);
	*ret = r;
	return 0;
}
