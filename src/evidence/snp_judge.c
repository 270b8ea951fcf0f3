#include "evidence/snp_judge.h"

#include <string.h>
#include "core/encode.h"
#include "evidence/check.h"

static int check_policy(const struct snp_detail *d, const struct snp_wanted *w, struct error *err)
{
	const struct {
		uint64_t bit;
		bool wanted_set;
		bool checked;
		const char *name;
	} bits[] = {
		{SNP_POLICY_DEBUG, false, !w->allow_debug, "debugging is allowed to the host"},
		{SNP_POLICY_MIGRATE_MA, false, !w->allow_migration, "a migration agent is allowed"},
		{SNP_POLICY_SMT, false, w->forbid_smt, "SMT is allowed"},
		{SNP_POLICY_SINGLE_SOCKET, true, w->single_socket, "one socket only"},
	};

	for (size_t i = 0; i < sizeof(bits) / sizeof(*bits); i++)
		if (bits[i].checked && ((d->policy & bits[i].bit) != 0) != bits[i].wanted_set)
			return evidence_refuse(err, CHECK_GUEST_POLICY,
				"SEV-SNP guest: bit 0x%llx of the policy 0x%llx (%s) is %s, wanted %s",
				(unsigned long long)bits[i].bit, (unsigned long long)d->policy, bits[i].name,
				bits[i].wanted_set ? "clear" : "set", bits[i].wanted_set ? "set" : "clear");
	if (w->policy_needed & ~d->policy)
		return evidence_refuse(err, CHECK_GUEST_POLICY,
			"SEV-SNP guest: policy is 0x%llx, wanted bits 0x%llx set, too",
			(unsigned long long)d->policy, (unsigned long long)(w->policy_needed & ~d->policy));
	return 0;
}

static int check_platform(const struct snp_detail *d, const struct snp_wanted *w, struct error *err)
{
	if (w->forbid_smt && (d->platform_info & SNP_PLATFORM_SMT))
		return evidence_refuse(err, CHECK_PLATFORM_INFO,
			"SEV-SNP platform: SMT is on (platform info 0x%llx), wanted off",
			(unsigned long long)d->platform_info);
	if (w->platform_needed & ~d->platform_info)
		return evidence_refuse(err, CHECK_PLATFORM_INFO,
			"SEV-SNP platform: platform info is 0x%llx, wanted bits 0x%llx set, too",
			(unsigned long long)d->platform_info,
			(unsigned long long)(w->platform_needed & ~d->platform_info));
	return 0;
}

static int check_tcb(const struct snp_detail *d, const struct snp_wanted *w, struct error *err)
{
	enum snp_product p = snp_product_of_name(d->product, strlen(d->product));
	struct snp_tcb seen = snp_tcb_decode(d->reported_tcb, p);
	const struct snp_tcb *least = w->min_tcb[p];

	if (!least && w->min_tcb_only)
		return evidence_refuse(err, CHECK_TCB_MINIMUM,
			"SEV-SNP platform: no lowest TCB is set for %s, wanted one for every product in use",
			d->product);
	for (size_t i = 0; least && i < SNP_TCB_PARTS; i++)
		if (snp_tcb_part(&seen, i) < snp_tcb_part(least, i))
			return evidence_refuse(err, CHECK_TCB_MINIMUM,
				"SEV-SNP platform: %s of this %s is at version %u, wanted at least %u",
				snp_tcb_part_name(i), d->product, snp_tcb_part(&seen, i),
				snp_tcb_part(least, i));
	return 0;
}

static int one_of(const uint8_t seen[48], const uint8_t (*list)[48], size_t count, enum evidence_check check,
	const char *what, struct error *err)
{
	char hex[2 * 48 + 1];

	if (count == 1 && memcmp(seen, list[0], 48) != 0)
		return evidence_refuse_bytes(err, check, what, seen, list[0], 48);
	for (size_t i = 0; i < count; i++)
		if (memcmp(seen, list[i], 48) == 0)
			return 0;
	if (count == 0)
		return 0;
	hex_encode(seen, 48, hex);
	return evidence_refuse(err, check, "%s is %s, wanted one of the %zu accepted", what, hex, count);
}

static int same(const uint8_t *seen, const uint8_t *wanted, size_t n, const char *what, struct error *err)
{
	return !wanted || memcmp(seen, wanted, n) == 0
		       ? 0
		       : evidence_refuse_bytes(err, CHECK_HOST_DATA, what, seen, wanted, n);
}

int snp_judge(const struct verdict *v, const struct snp_wanted *w, struct error *err)
{
	const struct snp_detail *d = &v->detail.snp;

	if (v->tee != TEE_SNP)
		return evidence_refuse(
			err, CHECK_TYPE, "evidence is of type %s, wanted sev-snp", tee_type_name(v->tee));
	if (d->vmpl > w->max_vmpl)
		return evidence_refuse(err, CHECK_VMPL,
			"SEV-SNP guest: the report was asked for at VMPL %u, wanted at most %u", d->vmpl,
			w->max_vmpl);
	if (d->guest_svn < w->min_guest_svn)
		return evidence_refuse(err, CHECK_GUEST_SVN, "SEV-SNP guest: SVN is %u, wanted at least %u",
			d->guest_svn, w->min_guest_svn);
	if (check_policy(d, w, err) < 0 || check_platform(d, w, err) < 0 || check_tcb(d, w, err) < 0)
		return -1;
	if (one_of(v->launch, w->launch, w->launch_count, CHECK_MEASUREMENT,
		    "SEV-SNP guest: launch measurement", err) < 0 ||
		one_of(d->id_key_digest, w->id_key, w->id_key_count, CHECK_ID_KEY,
			"SEV-SNP guest: id key digest", err) < 0 ||
		one_of(d->author_key_digest, w->author_key, w->author_key_count, CHECK_ID_KEY,
			"SEV-SNP guest: author key digest", err) < 0)
		return -1;
	if (same(d->host_data, w->host_data, 32, "SEV-SNP guest: host data", err) < 0 ||
		same(d->family_id, w->family_id, 16, "SEV-SNP guest: family id", err) < 0)
		return -1;
	return same(d->image_id, w->image_id, 16, "SEV-SNP guest: image id", err);
}
