/* A verdict against a session: mode, tolerate, ignore_advisories, platforms, attestation. */
#include <string.h>
#include "core/encode.h"
#include "core/secret.h"
#include "evidence/check.h"
#include "policy/session.h"

#define WANTED_SHOWN 6
#define ADVISORIES_MAX 1024

/* What each word of tolerate permits: a state of the platform, or one advisory. INTEL-SA-00161: L1 terminal fault, with hyperthreading on;
 * INTEL-SA-00219: SGX beside the integrated graphics; INTEL-SA-00657: stale data of the APIC. */
static const struct {
	uint32_t bit;
	const char *advisory;
} meanings[ATTEST_TOLERANCES] = {
	{TOLERATE_DEBUG, NULL},
	{0, "INTEL-SA-00161"},
	{0, "INTEL-SA-00219"},
	{0, "INTEL-SA-00657"},
	{TOLERATE_SW_HARDENING, NULL},
	{TOLERATE_CONFIGURATION, NULL},
	{TOLERATE_OUTDATED, NULL},
};

static const char *gives_up(const char *check)
{
	if (strcmp(check, "debug") == 0)
		return "`security: {attestation: {tolerate: [debug-mode]}}` would permit it, and gives up "
		       "all protection "
		       "from the host";
	if (strcmp(check, "advisory") == 0)
		return "`security: {attestation: {ignore_advisories: [...]}}` with its name would permit it, "
		       "and gives "
		       "up "
		       "what the advisory is about";
	return "`security: {attestation: {tolerate: [...]}}` with these words would permit it, and gives up "
	       "protection "
	       "from what is known of such platforms";
}

static int check_platform_state(
	const struct session *s, const struct service *svc, const struct verdict *v, struct error *err)
{
	struct tolerances t = {.set = 0};
	const char *ignored[ADVISORIES_MAX];
	struct error why;

	for (size_t i = 0; i < s->ignore_count && t.advisory_count < ADVISORIES_MAX - ATTEST_TOLERANCES; i++)
		ignored[t.advisory_count++] = s->ignore_advisories[i];
	for (unsigned int i = 0; i < ATTEST_TOLERANCES; i++) {
		if (!(s->tolerate & 1u << i))
			continue;
		t.set |= meanings[i].bit;
		if (meanings[i].advisory)
			ignored[t.advisory_count++] = meanings[i].advisory;
	}
	t.advisories = ignored;
	t.all_advisories = s->ignore_all && (v->debug || v->simulated);
	if (verdict_judge(v, &t, &why) == 0)
		return 0;
	if (!err)
		return -1;
	error_set(err, ERR_ATTEST, "%s: %s/%s: %s. %s", why.check, s->name, svc->name, why.text,
		gives_up(why.check));
	err->check = why.check;
	return -1;
}

static const uint8_t *qe_id(const struct verdict *v)
{
	return v->tee == TEE_SGX ? v->detail.sgx.qe_id : v->tee == TEE_TDX ? v->detail.tdx.qe_id : NULL;
}

static bool platform_is(const struct attest_platform *p, const struct verdict *v)
{
	if (p->qe_id)
		return qe_id(v) && secret_equal(p->id, qe_id(v), 16);
	return secret_equal(p->id, v->platform, sizeof(p->id));
}

static int check_platform(
	const struct session *s, const struct service *svc, const struct verdict *v, struct error *err)
{
	char key[65], id[33] = "none";

	if ((svc->platform_count == 0 && !svc->platforms_open) || s->mode != MODE_HARDWARE)
		return 0;
	if (svc->platforms_open)
		return evidence_refuse(err, CHECK_PLATFORM,
			"platform: %s/%s: a template of platforms does not resolve", s->name, svc->name);
	for (size_t i = 0; i < svc->platform_count; i++)
		if (platform_is(&svc->platforms[i], v))
			return 0;
	hex_encode(v->platform, sizeof(v->platform), key);
	if (qe_id(v))
		hex_encode(qe_id(v), 16, id);
	return evidence_refuse(err, CHECK_PLATFORM,
		"platform: %s/%s: seen key %s, id of the quoting enclave %s, wanted one of the %zu platforms "
		"of the "
		"service",
		s->name, svc->name, key, id, svc->platform_count);
}

static int refuse_measurement(
	const struct session *s, const struct service *svc, const struct verdict *v, struct error *err)
{
	char seen[65], digits[65], signer[65];
	bool signers = false;
	size_t total = 0, open = 0;
	struct buf wanted;

	buf_init(&wanted, 4096);
	for (size_t i = 0; i < svc->attestation_count; i++) {
		signers |= svc->attestation[i].has_signer;
		open += svc->attestation[i].open;
		for (size_t k = 0; !svc->attestation[i].open && k < svc->attestation[i].mrenclave_count;
			k++) {
			if (total++ >= WANTED_SHOWN)
				continue;
			hex_encode(svc->attestation[i].mrenclave[k], 32, digits);
			buf_printf(&wanted, "%s%s", total > 1 ? " or " : "", digits);
		}
	}
	if (total > WANTED_SHOWN)
		buf_printf(&wanted, " or one of %zu more", total - WANTED_SHOWN);
	if (total == 0)
		buf_puts(&wanted, signers ? "any" : "nothing (the service lists no measurement)");
	if (open > 0)
		buf_printf(&wanted, "; %zu of its alternatives have templates that do not resolve", open);
	hex_encode(v->measurement, 32, seen);
	hex_encode(v->signer, 32, signer);
	if (signers)
		evidence_refuse(err, CHECK_MEASUREMENT,
			"measurement: %s/%s: seen %s, signer %s, product %u, version %u; wanted %s, and the "
			"signer, "
			"product and "
			"version that stand with it",
			s->name, svc->name, seen, signer, v->isvprodid, v->isvsvn, buf_cstr(&wanted));
	else
		evidence_refuse(err, CHECK_MEASUREMENT, "measurement: %s/%s: seen %s, wanted %s", s->name,
			svc->name, seen, buf_cstr(&wanted));
	buf_free(&wanted);
	return -1;
}

/* Zeros say that the TEE names nothing; they match nothing, whatever the policy lists. */
static bool named(const uint8_t id[32])
{
	static const uint8_t zeros[32];

	return !secret_equal(id, zeros, sizeof(zeros));
}

static bool measurement_listed(const struct attest_alternative *a, const struct verdict *v)
{
	for (size_t k = 0; named(v->measurement) && k < a->mrenclave_count; k++)
		if (secret_equal(a->mrenclave[k], v->measurement, 32))
			return true;
	return false;
}

static bool signer_fits(const struct attest_alternative *a, const struct verdict *v)
{
	return named(v->signer) && secret_equal(a->mrsigner, v->signer, 32) && v->isvprodid == a->isvprodid &&
	       v->isvsvn >= a->isvsvn_min && v->isvsvn <= a->isvsvn_max;
}

static bool alternative_fits(const struct attest_alternative *a, const struct verdict *v)
{
	if (a->mrenclave_count == 0 && !a->has_signer)
		return false;
	return (a->mrenclave_count == 0 || measurement_listed(a, v)) && (!a->has_signer || signer_fits(a, v));
}

/* A machine's word counts for machines that the alternative names; of an enclave, or simulated, there is no machine to name. */
static int check_machine(const struct session *s, const struct service *svc,
	const struct attest_alternative *a, const struct verdict *v, struct error *err)
{
	struct error why = {0};

	if (!machine_speaks(v->tee) && a->machine_count == 0)
		return 0;
	if (!machine_speaks(v->tee))
		return evidence_refuse(err, CHECK_MACHINE,
			"machine: %s/%s: seen evidence of type %s, wanted that of a machine, beside this "
			"measurement",
			s->name, svc->name, tee_type_name(v->tee));
	if (machine_check(a->machine, a->machine_count, v, s->tolerate & 1u, &why) == 0)
		return 0;
	if (!err)
		return -1;
	*err = why;
	return error_wrap(err, "machine: %s/%s", s->name, svc->name);
}

int attest_rule_check(
	const struct session *s, const struct service *svc, const struct verdict *v, struct error *err)
{
	bool simulated = v->simulated || v->tee == TEE_SIM, fitted = false;

	if (s->security_open)
		return error_set(err, ERR_ATTEST,
			"security: %s/%s: a template of security does not resolve, so nobody attests",
			s->name, svc->name);
	if (s->mode == MODE_NONE)
		return 0;
	if (v->tee == TEE_NONE)
		return error_set(err, ERR_ATTEST, "mode: %s/%s: seen no evidence, mode %s wants it", s->name,
			svc->name, attest_mode_name(s->mode));
	if (simulated && s->mode != MODE_SIMULATION)
		return error_set(err, ERR_ATTEST,
			"mode: %s/%s: seen simulated evidence (%s), mode %s wants evidence of hardware. "
			"`security: {attestation: {mode: simulation}}` in "
			"the session would permit it, and gives up protection from the host: whoever is root "
			"there can make such evidence for any "
			"code and read the program's memory, its secrets included",
			s->name, svc->name, tee_type_name(v->tee), attest_mode_name(s->mode));
	if (check_platform_state(s, svc, v, err) < 0 || check_platform(s, svc, v, err) < 0)
		return -1;
	for (size_t i = 0; i < svc->attestation_count; i++) {
		if (svc->attestation[i].open || !alternative_fits(&svc->attestation[i], v))
			continue;
		if (check_machine(s, svc, &svc->attestation[i], v, err) == 0)
			return 0;
		fitted = true;
	}
	return fitted ? -1 : refuse_measurement(s, svc, v, err);
}
