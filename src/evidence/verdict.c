#include "evidence/verdict.h"

#include <string.h>
#include "core/secret.h"
#include "evidence/type.h"
#include "evidence/workload.h"

static const char *const status_names[] = {
	[TCB_NOT_JUDGED] = "NotJudged",
	[TCB_UP_TO_DATE] = "UpToDate",
	[TCB_SW_HARDENING_NEEDED] = "SWHardeningNeeded",
	[TCB_CONFIGURATION_NEEDED] = "ConfigurationNeeded",
	[TCB_CONFIGURATION_AND_SW_HARDENING_NEEDED] = "ConfigurationAndSWHardeningNeeded",
	[TCB_OUT_OF_DATE] = "OutOfDate",
	[TCB_OUT_OF_DATE_CONFIGURATION_NEEDED] = "OutOfDateConfigurationNeeded",
	[TCB_REVOKED] = "Revoked",
};

const char *tcb_status_name(enum tcb_status s)
{
	return (size_t)s < sizeof(status_names) / sizeof(*status_names) ? status_names[s] : "unknown";
}

bool verify_root_trusted(const struct verify_context *ctx, enum tee_type tee, const uint8_t hash[32],
	const uint8_t (*built_in)[32], size_t n)
{
	bool own = false;

	for (size_t i = 0; i < ctx->root_count; i++) {
		if (ctx->roots[i].tee != tee)
			continue;
		own = true;
		if (secret_equal(ctx->roots[i].key_hash, hash, 32))
			return true;
	}
	for (size_t i = 0; !own && i < n; i++)
		if (secret_equal(built_in[i], hash, 32))
			return true;
	return false;
}

int verify_report_data(const struct verify_context *ctx, const char *what,
	const uint8_t seen[REPORT_DATA_LEN], struct error *err)
{
	char text[64];

	if (!ctx->report_data || secret_equal(seen, ctx->report_data, REPORT_DATA_LEN))
		return 0;
	evidence_refuse_bytes(err, CHECK_REPORT_DATA, "report data", seen, ctx->report_data, REPORT_DATA_LEN);
	text[0] = '\0';
	strncat(text, what, sizeof(text) - 1);
	return error_wrap(err, "%s", text);
}

static bool advisory_name_ok(const char *name, size_t n)
{
	return n > 0 && n < ADVISORY_NAME_MAX &&
	       strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.") == n;
}

int verdict_add_advisory(struct verdict *v, const char *name, struct error *err)
{
	size_t n = strlen(name), at = 0;

	if (!advisory_name_ok(name, n))
		return evidence_refuse(err, CHECK_COLLATERAL_FORMAT,
			"advisory with a name of %zu characters, wanted 1 to %d letters, digits, '-', '_', "
			"'.'",
			n, ADVISORY_NAME_MAX - 1);
	while (at < v->advisory_count && strcmp(v->advisories[at], name) < 0)
		at++;
	if (at < v->advisory_count && strcmp(v->advisories[at], name) == 0)
		return 0;
	if (v->advisory_count == ADVISORY_MAX)
		return evidence_refuse(err, CHECK_COLLATERAL_FORMAT, "more than %d advisories", ADVISORY_MAX);
	memmove(v->advisories[at + 1], v->advisories[at],
		(v->advisory_count - at) * sizeof(v->advisories[0]));
	memset(v->advisories[at], 0, sizeof(v->advisories[at]));
	memcpy(v->advisories[at], name, n);
	v->advisory_count++;
	return 0;
}

int evidence_verify_parts(
	const struct evidence *e, const struct verify_context *ctx, struct verdict *ret, struct error *err)
{
	const struct evidence_type *t = evidence_type(e->tee);
	struct verdict v = {0};

	if (!t || !e->item[ITEM_STATEMENT].p)
		return error_set(
			err, ERR_INPUT, "evidence of type %s has no statement", tee_type_name(e->tee));
	if (e->item[ITEM_WORKLOAD].p || e->item[ITEM_LAS].p ? workload_verify(e, t->verify, ctx, &v, err) < 0
							    : t->verify(e, ctx, &v, err) < 0)
		return -1;
	*ret = v;
	return 0;
}

int evidence_verify(
	const uint8_t *p, size_t n, const struct verify_context *ctx, struct verdict *ret, struct error *err)
{
	struct evidence e;

	if (evidence_parse(p, n, TEE_NONE, &e, err) < 0)
		return -1;
	return evidence_verify_parts(&e, ctx, ret, err);
}

uint32_t tolerance_parse(const char *word)
{
	static const struct {
		const char *word;
		enum tolerance bit;
	} words[] = {
		{"debug-mode", TOLERATE_DEBUG},
		{"software-hardening-needed", TOLERATE_SW_HARDENING},
		{"insecure-configuration", TOLERATE_CONFIGURATION},
		{"outdated-tcb", TOLERATE_OUTDATED},
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (strcmp(word, words[i].word) == 0)
			return words[i].bit;
	return 0;
}

/* What must be tolerated for each status. */
static const uint32_t needs[] = {
	[TCB_NOT_JUDGED] = 0,
	[TCB_UP_TO_DATE] = 0,
	[TCB_SW_HARDENING_NEEDED] = TOLERATE_SW_HARDENING,
	[TCB_CONFIGURATION_NEEDED] = TOLERATE_CONFIGURATION,
	[TCB_CONFIGURATION_AND_SW_HARDENING_NEEDED] = TOLERATE_CONFIGURATION | TOLERATE_SW_HARDENING,
	[TCB_OUT_OF_DATE] = TOLERATE_OUTDATED,
	[TCB_OUT_OF_DATE_CONFIGURATION_NEEDED] = TOLERATE_OUTDATED | TOLERATE_CONFIGURATION,
};

static bool advisory_ignored(const struct tolerances *t, const char *name)
{
	if (t->all_advisories)
		return true;
	for (size_t i = 0; i < t->advisory_count; i++)
		if (strcmp(t->advisories[i], name) == 0)
			return true;
	return false;
}

int verdict_judge(const struct verdict *v, const struct tolerances *t, struct error *err)
{
	static const struct tolerances none;
	uint32_t missing;

	t = t ? t : &none;
	if (v->debug && !(t->set & TOLERATE_DEBUG))
		return evidence_refuse(err, CHECK_DEBUG,
			"evidence of a debug environment (%s), which the host can inspect; wanted one "
			"without "
			"debug, "
			"or debug-mode tolerated",
			tee_type_name(v->tee));
	if ((size_t)v->tcb_status >= sizeof(needs) / sizeof(*needs))
		return evidence_refuse(err, CHECK_TCB_STATUS, "TCB status is %s, which nothing tolerates",
			tcb_status_name(v->tcb_status));
	missing = needs[v->tcb_status] & ~t->set;
	if (missing)
		return evidence_refuse(err, CHECK_TCB_STATUS,
			"TCB status is %s%s, wanted UpToDate, or tolerated:%s%s%s",
			tcb_status_name(v->tcb_status),
			v->tcb_unlisted ? " (below every level that the maker lists)" : "",
			missing & TOLERATE_OUTDATED ? " outdated-tcb" : "",
			missing & TOLERATE_CONFIGURATION ? " insecure-configuration" : "",
			missing & TOLERATE_SW_HARDENING ? " software-hardening-needed" : "");
	for (size_t i = 0; i < v->advisory_count; i++)
		if (!advisory_ignored(t, v->advisories[i]))
			return evidence_refuse(err, CHECK_ADVISORY,
				"advisory %s applies to the platform (%zu in all), wanted none that is not "
				"ignored",
				v->advisories[i], v->advisory_count);
	return 0;
}
