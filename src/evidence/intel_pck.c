#include "evidence/intel_pck.h"

#include <string.h>
#include "crypto/der.h"
#include "evidence/intel_chain.h"

/* 1.2.840.113741.1.13.1, and what stands under it: one more number, for the TCB two. */
static const uint8_t prefix[] = {0x2a, 0x86, 0x48, 0x86, 0xf8, 0x4d, 0x01, 0x0d, 0x01};

enum part {
	PART_PPID = 1,
	PART_TCB = 2,
	PART_PCE_ID = 3,
	PART_FMSPC = 4,
	PART_SGX_TYPE = 5,
	PART_CONFIGURATION = 7
};
#define PARTS_WANTED                                                                                         \
	(1u << PART_PPID | 1u << PART_TCB | 1u << PART_PCE_ID | 1u << PART_FMSPC | 1u << PART_SGX_TYPE)
#define TCB_PCE_SVN 17
#define TCB_CPU_SVN 18
#define TCB_ALL 0x7fffeu /* 1 to 18 */

#define SGX_TYPE_MAX 2
#define DER_BOOLEAN 0x01

/* SEQUENCE { OBJECT prefix.N…, value }: the last number, which is below 128. depth: how many numbers follow the prefix. */
static int next_pair(struct rd *r, size_t depth, unsigned int *ret, uint8_t *ret_tag, struct rd *ret_value)
{
	struct rd pair, oid;

	if (der_expect(r, DER_SEQUENCE, &pair) < 0 || der_expect(&pair, DER_OID, &oid) < 0 ||
		oid.left != sizeof(prefix) + depth || memcmp(oid.p, prefix, sizeof(prefix)) != 0 ||
		(oid.p[oid.left - 1] & 0x80) || der_next(&pair, ret_tag, ret_value) < 0 || !rd_done(&pair))
		return -1;
	*ret = oid.p[oid.left - 1];
	return 0;
}

static int take_octets(uint8_t tag, const struct rd *value, uint8_t *to, size_t n)
{
	if (tag != DER_OCTET_STRING || value->left != n)
		return -1;
	memcpy(to, value->p, n);
	return 0;
}

static int parse_tcb(uint8_t tag, struct rd *r, struct intel_pck *pck)
{
	uint32_t seen = 0, v;
	unsigned int n;
	struct rd value;

	if (tag != DER_SEQUENCE)
		return -1;
	while (r->left > 0) {
		if (next_pair(r, 2, &n, &tag, &value) < 0 || n < 1 || n > TCB_CPU_SVN || (seen & 1u << n))
			return -1;
		seen |= 1u << n;
		if (n == TCB_CPU_SVN) {
			if (take_octets(tag, &value, pck->cpu_svn, sizeof(pck->cpu_svn)) < 0)
				return -1;
			continue;
		}
		if (tag != DER_INTEGER || der_uint(&value, n == TCB_PCE_SVN ? 0xffff : 0xff, &v) < 0)
			return -1;
		if (n == TCB_PCE_SVN)
			pck->pce_svn = (uint16_t)v;
		else
			pck->component_svn[n - 1] = (uint8_t)v;
	}
	return seen == TCB_ALL ? 0 : -1;
}

static int parse_configuration(uint8_t tag, struct rd *r, struct intel_pck *pck)
{
	bool *const flags[] = {NULL, &pck->dynamic_platform, &pck->cached_keys, &pck->smt_enabled};
	unsigned int n;
	struct rd value;

	if (tag != DER_SEQUENCE)
		return -1;
	pck->has_configuration = true;
	while (r->left > 0) {
		if (next_pair(r, 2, &n, &tag, &value) < 0 || tag != DER_BOOLEAN || value.left != 1)
			return -1;
		if (n >= 1 && n < sizeof(flags) / sizeof(*flags))
			*flags[n] = value.p[0] != 0;
	}
	return 0;
}

static int parse_part(unsigned int part, uint8_t tag, struct rd *value, struct intel_pck *pck)
{
	uint32_t v;

	switch (part) {
	case PART_PPID:
		return take_octets(tag, value, pck->ppid, sizeof(pck->ppid));
	case PART_TCB:
		return parse_tcb(tag, value, pck);
	case PART_PCE_ID:
		return take_octets(tag, value, pck->pce_id, sizeof(pck->pce_id));
	case PART_FMSPC:
		return take_octets(tag, value, pck->fmspc, sizeof(pck->fmspc));
	case PART_SGX_TYPE:
		if (tag != DER_ENUMERATED || der_uint(value, SGX_TYPE_MAX, &v) < 0)
			return -1;
		pck->sgx_type = (uint8_t)v;
		return 0;
	case PART_CONFIGURATION:
		return parse_configuration(tag, value, pck);
	default:
		return 0; /* the platform instance, and what may come */
	}
}

int intel_pck_parse(const uint8_t *p, size_t n, struct intel_pck *ret, struct error *err)
{
	struct intel_pck pck = {0};
	uint32_t seen = 0;
	unsigned int part;
	struct rd r, all, value;
	uint8_t tag;

	rd_init(&all, p, n);
	if (der_expect(&all, DER_SEQUENCE, &r) < 0 || !rd_done(&all))
		return evidence_refuse(err, CHECK_PCK_EXTENSION,
			"PCK certificate: its SGX extension of %zu bytes is no SEQUENCE", n);
	while (r.left > 0) {
		if (next_pair(&r, 1, &part, &tag, &value) < 0 || part >= 32 || (seen & 1u << part) ||
			parse_part(part, tag, &value, &pck) < 0)
			return evidence_refuse(err, CHECK_PCK_EXTENSION,
				"PCK certificate: its SGX extension is malformed %zu bytes before its end",
				r.left);
		seen |= 1u << part;
	}
	if ((seen & PARTS_WANTED) != PARTS_WANTED)
		return evidence_refuse(err, CHECK_PCK_EXTENSION,
			"PCK certificate: its SGX extension has the parts 0x%x, wanted at least 0x%x "
			"(PPID, TCB, PCE-ID, "
			"FMSPC, type)",
			seen, (unsigned int)PARTS_WANTED);
	*ret = pck;
	return 0;
}

int intel_pck_chain_check(const struct x509_chain *chain, const struct verify_context *ctx, enum tee_type tee,
	const struct collateral *const sources[2], struct intel_pck *ret_pck, uint64_t *ret_until,
	struct error *err)
{
	struct intel_pck pck;
	const uint8_t *extension;
	uint64_t until;
	size_t n = 0;

	if (intel_chain_check(chain, &intel_chain_pck, ctx, tee, sources, &until, err) < 0)
		return -1;
	extension = x509_extension(chain->cert[0], PCK_EXTENSION_OID, &n);
	if (!extension)
		return evidence_refuse(err, CHECK_PCK_EXTENSION,
			"PCK certificate: seen no extension " PCK_EXTENSION_OID " or two, wanted one");
	if (intel_pck_parse(extension, n, &pck, err) < 0)
		return -1;
	*ret_pck = pck;
	*ret_until = until;
	return 0;
}
