/* SGX and TDX evidence under a root of the test's own: what is good, and every way to be bad, each refused for its own reason. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include "core/encode.h"
#include "evidence/collateral.h"
#include "evidence/type.h"
#include "../lib/intel_maker.h"

#define DAY 86400ull

/* Verify with collateral from a directory, or carried. */
static int judge(const struct intel_recipe *r, const struct intel_made *m, bool carried, bool with_root,
	const uint8_t *report_data, struct verdict *ret, struct error *err)
{
	struct trust_root root = {.tee = r->tee};
	struct verify_context ctx = {.now = r->now, .report_data = report_data};
	struct collateral *c = collateral_new();
	struct evidence e;
	int rc;

	memcpy(root.key_hash, m->root, 32);
	if (with_root) {
		ctx.roots = &root;
		ctx.root_count = 1;
	}
	memset(err, 0, sizeof(*err));
	assert_non_null(c);
	rc = evidence_parse(m->quote.data, m->quote.len, r->tee, &e, err);
	if (rc == 0 && carried)
		e.item[ITEM_COLLATERAL] = (struct bytes){m->collateral.data, m->collateral.len};
	else if (rc == 0 && collateral_add(c, m->collateral.data, m->collateral.len, err) == 0)
		ctx.collateral = c;
	else
		rc = -1;
	if (rc == 0)
		rc = evidence_verify_parts(&e, &ctx, ret, err);
	collateral_free(c);
	return rc;
}

static const struct shape {
	const char *name;
	enum tee_type tee;
	unsigned int version;
	bool td_15;
} shapes[] = {
	{"SGX 3", TEE_SGX, 3, false},
	{"SGX 4", TEE_SGX, 4, false},
	{"SGX 5", TEE_SGX, 5, false},
	{"TDX 4", TEE_TDX, 4, false},
	{"TDX 5 with a TD report 1.0", TEE_TDX, 5, false},
	{"TDX 5 with a TD report 1.5", TEE_TDX, 5, true},
};
#define SHAPES (sizeof(shapes) / sizeof(*shapes))

static void every_shape_is_good(void **state)
{
	for (size_t i = 0; i < 2 * SHAPES; i++) {
		const struct shape *s = &shapes[i / 2];
		struct intel_recipe r;
		struct intel_made m;
		struct verdict v;
		struct error err;

		intel_recipe_init(&r, s->tee, s->version, s->td_15);
		intel_make(&r, &m);
		if (judge(&r, &m, i % 2, true, r.enclave.report_data, &v, &err) < 0)
			fail_msg("%s: %s: %s", s->name, err.check, err.text);
		assert_int_equal(v.tee, s->tee);
		assert_int_equal(v.tcb_status, TCB_UP_TO_DATE);
		assert_int_equal(v.advisory_count, 0);
		assert_false(v.debug || v.simulated || v.tcb_unlisted);
		assert_int_equal(v.valid_until, r.now + 29 * DAY);
		assert_int_equal(v.tcb_date, 1747180800);
		assert_memory_equal(v.report_data, r.enclave.report_data, 64);
		assert_int_equal(verdict_judge(&v, NULL, &err), 0);
		if (s->tee == TEE_SGX) {
			assert_memory_equal(v.measurement, r.enclave.mr_enclave, 32);
			assert_memory_equal(v.signer, r.enclave.mr_signer, 32);
			assert_int_equal(v.isvprodid, 3);
			assert_int_equal(v.isvsvn, 4);
			assert_memory_equal(v.detail.sgx.fmspc, r.pck.fmspc, 6);
			assert_int_equal(v.detail.sgx.pce_svn, 300);
			assert_int_equal(v.detail.sgx.tcb_evaluation_number, 17);
		} else {
			assert_memory_equal(v.launch, r.td.mr_td, 48);
			assert_int_equal(v.launch_len, 48);
			assert_memory_equal(v.detail.tdx.rtmr, r.td.rtmr, sizeof(r.td.rtmr));
			assert_int_equal(v.detail.tdx.v1_5, s->td_15);
			assert_int_equal(v.detail.tdx.mr_service_td[0], s->td_15 ? 0x77 : 0);
		}
		intel_made_free(&m);
	}
}

static void pck_expired(struct intel_recipe *r)
{
	r->cert[CERT_PCK].to = r->now - 1;
}
static void pck_not_yet(struct intel_recipe *r)
{
	r->cert[CERT_PCK].from = r->now + 1;
}
static void ca_expired(struct intel_recipe *r)
{
	r->cert[CERT_CA].to = r->now - 1;
}
static void root_expired(struct intel_recipe *r)
{
	r->cert[CERT_ROOT].to = r->now - 1;
}
static void tcb_signer_expired(struct intel_recipe *r)
{
	r->cert[CERT_TCB].to = r->now - 1;
}
static void pck_revoked(struct intel_recipe *r)
{
	r->pck_crl.revoked[1] = r->cert[CERT_PCK].serial;
}
/* What an old list revokes stays revoked. */
static void pck_revoked_long_ago(struct intel_recipe *r)
{
	pck_revoked(r);
	r->pck_crl.from = r->now - 60 * DAY;
	r->pck_crl.to = r->now - 30 * DAY;
}
static void ca_revoked(struct intel_recipe *r)
{
	r->root_crl.revoked[0] = r->cert[CERT_CA].serial;
}
static void tcb_signer_revoked(struct intel_recipe *r)
{
	r->root_crl.revoked[0] = r->cert[CERT_TCB].serial;
}
static void reversed(struct intel_recipe *r)
{
	r->order[0] = CERT_ROOT;
	r->order[2] = CERT_PCK;
}
static void intermediate_first(struct intel_recipe *r)
{
	r->order[0] = CERT_CA;
	r->order[1] = CERT_PCK;
}
static void without_intermediate(struct intel_recipe *r)
{
	r->order[1] = CERT_ROOT;
	r->order_count = 2;
}
static void root_twice(struct intel_recipe *r)
{
	r->order[3] = CERT_ROOT;
	r->order_count = 4;
}
static void tcb_chain_reversed(struct intel_recipe *r)
{
	r->tcb_order[0] = CERT_ROOT;
	r->tcb_order[1] = CERT_TCB;
}
/* The certificate that signs TCB info has another role: a PCK Platform CA is one that the root issued, too. */
static void tcb_signed_in_another_role(struct intel_recipe *r)
{
	r->cert[CERT_TCB].name = "Intel SGX PCK Platform CA";
}
static void pck_in_another_role(struct intel_recipe *r)
{
	r->cert[CERT_PCK].name = "Intel SGX TCB Signing";
}
static void ca_is_none(struct intel_recipe *r)
{
	r->cert[CERT_CA].ca = false;
}
static void pck_is_a_ca(struct intel_recipe *r)
{
	r->cert[CERT_PCK].ca = true;
}
static void pck_forged(struct intel_recipe *r)
{
	r->cert[CERT_PCK].forged = true;
}
static void ca_forged(struct intel_recipe *r)
{
	r->cert[CERT_CA].forged = true;
}
static void tcb_signer_forged(struct intel_recipe *r)
{
	r->cert[CERT_TCB].forged = true;
}
static void pck_on_another_curve(struct intel_recipe *r)
{
	r->cert[CERT_CA].curve = "P-384";
}
static void no_sgx_extension(struct intel_recipe *r)
{
	r->no_pck_extension = true;
}
static void no_pck_crl(struct intel_recipe *r)
{
	r->pck_crl.absent = true;
}
static void no_root_crl(struct intel_recipe *r)
{
	r->root_crl.absent = true;
}
static void pck_crl_old(struct intel_recipe *r)
{
	r->pck_crl.to = r->now;
}
static void root_crl_of_tomorrow(struct intel_recipe *r)
{
	r->root_crl.from = r->now + 1;
}
static void pck_crl_forged(struct intel_recipe *r)
{
	r->pck_crl.forged = true;
}
static void root_crl_forged(struct intel_recipe *r)
{
	r->root_crl.forged = true;
}
static void qe_forged(struct intel_recipe *r)
{
	r->qe_forged = true;
}
static void another_attestation_key(struct intel_recipe *r)
{
	r->unbound = true;
}
static void body_forged(struct intel_recipe *r)
{
	r->body_forged = true;
}
static void qe_of_another_signer(struct intel_recipe *r)
{
	r->qe.mr_signer[0] ^= 1;
}
static void qe_of_another_product(struct intel_recipe *r)
{
	r->qe.isv_prod_id[0]++;
}
static void qe_in_debug_mode(struct intel_recipe *r)
{
	r->qe.attributes[0] |= SGX_ATTRIBUTE_DEBUG;
}
static void qe_with_miscselect(struct intel_recipe *r)
{
	r->qe.misc_select[0] = 1;
}
static void qe_below_all_levels(struct intel_recipe *r)
{
	r->qe.isv_svn[0] = 1;
}
static void qe_revoked(struct intel_recipe *r)
{
	r->identity.levels.level[0].status = "Revoked";
}
static void platform_revoked(struct intel_recipe *r)
{
	r->info.levels.level[0].status = "Revoked";
}
/* Below everything, where the lowest level is revoked. */
static void below_a_revoked_level(struct intel_recipe *r)
{
	r->pck.components[0] = 1;
	r->info.levels.level[2].status = "Revoked";
}
static void without_levels(struct intel_recipe *r)
{
	r->info.levels.count = 0;
}
static void no_info(struct intel_recipe *r)
{
	r->info.absent = true;
}
static void no_identity(struct intel_recipe *r)
{
	r->identity.absent = true;
}
static void info_forged(struct intel_recipe *r)
{
	r->info.forged = true;
}
static void identity_forged(struct intel_recipe *r)
{
	r->identity.forged = true;
}
static void info_expired(struct intel_recipe *r)
{
	r->info.next = r->now;
}
static void info_of_tomorrow(struct intel_recipe *r)
{
	r->info.issued = r->now + 1;
}
static void identity_expired(struct intel_recipe *r)
{
	r->identity.next = r->now;
}
static void info_of_another_fmspc(struct intel_recipe *r)
{
	r->info_fmspc[5] ^= 1;
}
static void info_of_another_pce(struct intel_recipe *r)
{
	r->info_pce_id[0] = 1;
}
static void info_of_an_unknown_version(struct intel_recipe *r)
{
	r->info.version = 4;
}
static void identity_of_an_unknown_version(struct intel_recipe *r)
{
	r->identity.version = 1;
}
static void info_of_another_tee(struct intel_recipe *r)
{
	r->info.id = "SGX";
}
static void identity_of_another_qe(struct intel_recipe *r)
{
	r->identity.id = r->tee == TEE_TDX ? "QE" : "TD_QE";
}
static void unknown_status(struct intel_recipe *r)
{
	r->info.levels.level[1].status = "Fine";
}
static void unknown_date(struct intel_recipe *r)
{
	r->info.levels.level[1].date = "2025-02-30T00:00:00Z";
}
static void strange_advisory(struct intel_recipe *r)
{
	r->info.levels.level[2].advisories = "\"x y\"";
}
static void not_json(struct intel_recipe *r)
{
	r->info.text = "{";
}
static void twice_in_json(struct intel_recipe *r)
{
	r->identity.text = "{\"id\":\"QE\",\"id\":\"QE\"}";
}
static void not_initialised(struct intel_recipe *r)
{
	r->enclave.attributes[0] = 0x04;
}
static void unknown_td_attribute(struct intel_recipe *r)
{
	r->td.td_attributes[1] = 1;
}
static void module_unknown(struct intel_recipe *r)
{
	r->td.tee_tcb_svn[1] = 2;
}
static void module_of_another_signer(struct intel_recipe *r)
{
	r->td.mr_signer_seam[47] = 1;
}
static void module_with_attributes(struct intel_recipe *r)
{
	r->td.seam_attributes[0] = 1;
}
static void module_below_all_levels(struct intel_recipe *r)
{
	r->td.tee_tcb_svn[0] = 1;
}
static void module_revoked(struct intel_recipe *r)
{
	r->module.level[0].status = "Revoked";
}
static void old_module_of_another_signer(struct intel_recipe *r)
{
	r->td.tee_tcb_svn[1] = 0;
	r->td.mr_signer_seam[0] = 1;
}
static void certification_without_chain(struct intel_recipe *r)
{
	r->certification = 3;
}

#define S 1
#define T 2

static const struct bad {
	const char *name;
	void (*tweak)(struct intel_recipe *r);
	const char *check;
	int tees;
} bad[] = {
	{"PCK certificate expired", pck_expired, "chain-time", S | T},
	{"PCK certificate not valid yet", pck_not_yet, "chain-time", S | T},
	{"intermediate expired", ca_expired, "chain-time", S | T},
	{"root expired", root_expired, "chain-time", S | T},
	{"TCB signing certificate expired", tcb_signer_expired, "chain-time", S | T},
	{"PCK certificate revoked", pck_revoked, "revoked-key", S | T},
	{"PCK certificate revoked on an old list", pck_revoked_long_ago, "revoked-key", S},
	{"intermediate revoked", ca_revoked, "revoked-ca", S | T},
	{"TCB signing certificate revoked", tcb_signer_revoked, "revoked-key", S | T},
	{"chain root first", reversed, "chain-order", S | T},
	{"chain intermediate first", intermediate_first, "chain-order", S | T},
	{"chain without intermediate", without_intermediate, "chain-format", S | T},
	{"chain with the root twice", root_twice, "chain-format", S},
	{"TCB chain root first", tcb_chain_reversed, "chain-order", S | T},
	{"TCB info signed by a PCK CA", tcb_signed_in_another_role, "chain-role", S | T},
	{"PCK certificate is another", pck_in_another_role, "chain-role", S | T},
	{"intermediate is no CA", ca_is_none, "chain-role", S | T},
	{"PCK certificate is a CA", pck_is_a_ca, "chain-role", S},
	{"PCK certificate forged", pck_forged, "chain-signature", S | T},
	{"intermediate forged", ca_forged, "chain-signature", S | T},
	{"TCB signing certificate forged", tcb_signer_forged, "chain-signature", S | T},
	{"intermediate on P-384", pck_on_another_curve, "algorithm", S},
	{"no SGX extension", no_sgx_extension, "pck-extension", S | T},
	{"no PCK revocation list", no_pck_crl, "crl-missing", S | T},
	{"no root revocation list", no_root_crl, "crl-missing", S | T},
	{"PCK revocation list expired", pck_crl_old, "crl-time", S | T},
	{"root revocation list from the future", root_crl_of_tomorrow, "crl-time", S | T},
	{"PCK revocation list forged", pck_crl_forged, "crl-signature", S | T},
	{"root revocation list forged", root_crl_forged, "crl-signature", S | T},
	{"QE report forged", qe_forged, "qe-signature", S | T},
	{"another attestation key", another_attestation_key, "qe-binding", S | T},
	{"body forged", body_forged, "signature", S | T},
	{"QE of another signer", qe_of_another_signer, "qe-identity", S | T},
	{"QE of another product", qe_of_another_product, "qe-identity", S | T},
	{"QE in debug mode", qe_in_debug_mode, "qe-identity", S | T},
	{"QE with another MISCSELECT", qe_with_miscselect, "qe-identity", S | T},
	{"QE below all levels", qe_below_all_levels, "qe-tcb", S | T},
	{"QE revoked", qe_revoked, "tcb-status", S | T},
	{"platform revoked", platform_revoked, "tcb-status", S | T},
	{"platform below a revoked level", below_a_revoked_level, "tcb-status", S | T},
	{"TCB info without levels", without_levels, "tcb-level", S | T},
	{"no TCB info", no_info, "collateral-missing", S | T},
	{"no QE identity", no_identity, "collateral-missing", S | T},
	{"TCB info forged", info_forged, "collateral-signature", S | T},
	{"QE identity forged", identity_forged, "collateral-signature", S | T},
	{"TCB info expired", info_expired, "collateral-time", S | T},
	{"TCB info from the future", info_of_tomorrow, "collateral-time", S | T},
	{"QE identity expired", identity_expired, "collateral-time", S | T},
	{"TCB info of another FMSPC", info_of_another_fmspc, "collateral-match", S | T},
	{"TCB info of another PCE", info_of_another_pce, "collateral-match", S | T},
	{"TCB info of an unknown version", info_of_an_unknown_version, "version", S | T},
	{"QE identity of an unknown version", identity_of_an_unknown_version, "version", S | T},
	{"TCB info of SGX for a TD", info_of_another_tee, "collateral-missing", T},
	{"QE identity of the other QE", identity_of_another_qe, "collateral-missing", S | T},
	{"status that nobody knows", unknown_status, "collateral-format", S | T},
	{"date that does not exist", unknown_date, "collateral-format", S},
	{"advisory with a space", strange_advisory, "collateral-format", S},
	{"TCB info that is no JSON", not_json, "collateral-format", S},
	{"QE identity with a member twice", twice_in_json, "collateral-format", S},
	{"enclave that is not initialised", not_initialised, "attributes", S},
	{"TD with an unknown attribute", unknown_td_attribute, "attributes", T},
	{"TDX module unknown", module_unknown, "tdx-module", T},
	{"TDX module of another signer", module_of_another_signer, "tdx-module", T},
	{"TDX module with attributes", module_with_attributes, "tdx-module", T},
	{"TDX module below all levels", module_below_all_levels, "tdx-module", T},
	{"TDX module revoked", module_revoked, "tcb-status", T},
	{"TDX module of version 0 of another signer", old_module_of_another_signer, "tdx-module", T},
	{"quote that names no chain", certification_without_chain, "chain-missing", S | T},
};

static void bad_with(const struct bad *b, const struct shape *s, bool carried)
{
	struct intel_recipe r;
	struct intel_made m;
	struct verdict v, untouched;
	struct error err;

	intel_recipe_init(&r, s->tee, s->version, s->td_15);
	b->tweak(&r);
	intel_make(&r, &m);
	memset(&v, 0x5a, sizeof(v));
	untouched = v;
	if (judge(&r, &m, carried, true, NULL, &v, &err) == 0)
		fail_msg("%s: %s: accepted", s->name, b->name);
	assert_int_equal(err.code, ERR_ATTEST);
	if (!err.check || strcmp(err.check, b->check) != 0)
		fail_msg("%s: %s: refused for %s (%s), wanted %s", s->name, b->name, err.check, err.text,
			b->check);
	assert_memory_equal(&v, &untouched, sizeof(v));
	intel_made_free(&m);
}

static void everything_bad_is_refused_for_its_reason(void **state)
{
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		if (bad[i].tees & S)
			bad_with(&bad[i], &shapes[i % 3], i % 2);
		if (bad[i].tees & T)
			bad_with(&bad[i], &shapes[3 + i % 3], (i + 1) % 2);
	}
}

/* Whoever meets it learns what is missing or too old, and the commands that get it. */
static void missing_collateral_says_how_to_get_it(void **state)
{
	static const struct {
		void (*spoil)(struct intel_recipe *r);
		const char *what, *sgx, *tdx;
	} cases[] = {
		{no_pck_crl, "revocation list of Intel SGX PCK Platform CA",
			"sgx/certification/v4/pckcrl?ca=platform", "sgx/certification/v4/pckcrl?ca=platform"},
		{pck_crl_old, "Intel SGX PCK Platform CA is valid until", "pckcrl?ca=platform",
			"pckcrl?ca=platform"},
		{no_root_crl, "revocation list of Intel SGX Root CA", "IntelSGXRootCA.der",
			"IntelSGXRootCA.der"},
		{no_info, "TCB info, wanted one", "sgx/certification/v4/tcb?fmspc=00906ed50000",
			"tdx/certification/v4/tcb?fmspc=00906ed50000"},
		{info_expired, "TCB info", "sgx/certification/v4/tcb?fmspc=00906ed50000",
			"tdx/certification/v4/tcb?fmspc=00906ed50000"},
		{info_of_another_fmspc, "wanted FMSPC 00906ed50000",
			"sgx/certification/v4/tcb?fmspc=00906ed50000",
			"tdx/certification/v4/tcb?fmspc=00906ed50000"},
		{no_identity, "QE identity, wanted one", "sgx/certification/v4/qe/identity",
			"tdx/certification/v4/qe/identity"},
		{identity_expired, "QE identity", "sgx/certification/v4/qe/identity",
			"tdx/certification/v4/qe/identity"},
	};

	for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(*cases); i++) {
		const char *url = i % 2 ? cases[i / 2].tdx : cases[i / 2].sgx;
		struct intel_recipe r;
		struct intel_made m;
		struct verdict v;
		struct error err = {0};

		intel_recipe_init(&r, i % 2 ? TEE_TDX : TEE_SGX, 4, false);
		cases[i / 2].spoil(&r);
		intel_make(&r, &m);
		assert_int_equal(judge(&r, &m, false, true, NULL, &v, &err), -1);
		if (!strstr(err.text, cases[i / 2].what) || !strstr(err.text, url) ||
			!strstr(err.text, "curl ") || !strstr(err.text, "scone collateral import"))
			fail_msg("%s: \"%s\"; wanted \"%s\" and \"%s\"", err.check, err.text,
				cases[i / 2].what, url);
		intel_made_free(&m);
	}
}

static void the_root_must_be_trusted(void **state)
{
	for (size_t i = 0; i < 2; i++) {
		struct intel_recipe r;
		struct intel_made m, other;
		struct verdict v;
		struct error err;

		intel_recipe_init(&r, i ? TEE_TDX : TEE_SGX, 4, false);
		intel_make(&r, &m);
		intel_make(&r, &other);
		/* Intel's is the default, */
		assert_int_equal(judge(&r, &m, false, false, NULL, &v, &err), -1);
		assert_string_equal(err.check, "chain-root");
		/* and another one does not do, even for the collateral alone. */
		memcpy(m.root, other.root, 32);
		assert_int_equal(judge(&r, &m, false, true, NULL, &v, &err), -1);
		assert_string_equal(err.check, "chain-root");
		memcpy(m.root, other.root, 32);
		buf_reset(&other.collateral);
		buf_put(&other.collateral, m.collateral.data, m.collateral.len);
		assert_int_equal(judge(&r, &other, false, true, NULL, &v, &err), -1);
		/* the intermediate has the right name, but another key signed it */
		assert_string_equal(err.check, "crl-signature");
		intel_made_free(&m);
		intel_made_free(&other);
	}
}

static void other_report_data_are_refused(void **state)
{
	for (size_t i = 0; i < SHAPES; i++) {
		struct intel_recipe r;
		struct intel_made m;
		struct verdict v;
		struct error err;
		uint8_t wanted[64];

		intel_recipe_init(&r, shapes[i].tee, shapes[i].version, shapes[i].td_15);
		intel_make(&r, &m);
		memcpy(wanted, r.td.report_data, 64);
		wanted[63] ^= 1;
		assert_int_equal(judge(&r, &m, false, true, wanted, &v, &err), -1);
		assert_string_equal(err.check, "report-data");
		intel_made_free(&m);
	}
}

/* Status and advisories of platform, QE and module together. */
static void the_worst_status_counts(void **state)
{
	static const struct {
		enum tee_type tee;
		const char *platform, *qe, *module;
		enum tcb_status wanted;
	} rows[] = {
		{TEE_SGX, "UpToDate", "UpToDate", NULL, TCB_UP_TO_DATE},
		{TEE_SGX, "SWHardeningNeeded", "UpToDate", NULL, TCB_SW_HARDENING_NEEDED},
		{TEE_SGX, "ConfigurationNeeded", "UpToDate", NULL, TCB_CONFIGURATION_NEEDED},
		{TEE_SGX, "ConfigurationAndSWHardeningNeeded", "UpToDate", NULL,
			TCB_CONFIGURATION_AND_SW_HARDENING_NEEDED},
		{TEE_SGX, "OutOfDate", "UpToDate", NULL, TCB_OUT_OF_DATE},
		{TEE_SGX, "OutOfDateConfigurationNeeded", "UpToDate", NULL,
			TCB_OUT_OF_DATE_CONFIGURATION_NEEDED},
		{TEE_SGX, "UpToDate", "OutOfDate", NULL, TCB_OUT_OF_DATE},
		{TEE_SGX, "SWHardeningNeeded", "OutOfDate", NULL, TCB_OUT_OF_DATE},
		{TEE_SGX, "ConfigurationNeeded", "OutOfDate", NULL, TCB_OUT_OF_DATE_CONFIGURATION_NEEDED},
		{TEE_SGX, "ConfigurationAndSWHardeningNeeded", "OutOfDate", NULL,
			TCB_OUT_OF_DATE_CONFIGURATION_NEEDED},
		{TEE_SGX, "OutOfDateConfigurationNeeded", "OutOfDate", NULL,
			TCB_OUT_OF_DATE_CONFIGURATION_NEEDED},
		{TEE_TDX, "UpToDate", "UpToDate", "OutOfDate", TCB_OUT_OF_DATE},
		{TEE_TDX, "ConfigurationNeeded", "UpToDate", "OutOfDate",
			TCB_OUT_OF_DATE_CONFIGURATION_NEEDED},
		{TEE_TDX, "UpToDate", "OutOfDate", "UpToDate", TCB_OUT_OF_DATE},
		{TEE_TDX, "SWHardeningNeeded", "UpToDate", "UpToDate", TCB_SW_HARDENING_NEEDED},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct intel_recipe r;
		struct intel_made m;
		struct verdict v;
		struct error err;

		intel_recipe_init(&r, rows[i].tee, 4, false);
		r.info.levels.level[0].status = rows[i].platform;
		r.info.levels.level[0].advisories = "\"P-1\",\"ALL\"";
		r.identity.levels.level[0].status = rows[i].qe;
		r.identity.levels.level[0].advisories = "\"Q-1\",\"ALL\"";
		r.module.level[0].status = rows[i].module ? rows[i].module : "UpToDate";
		r.module.level[0].advisories = "\"M-1\"";
		intel_make(&r, &m);
		assert_int_equal(judge(&r, &m, i % 2, true, NULL, &v, &err), 0);
		assert_int_equal(v.tcb_status, rows[i].wanted);
		assert_int_equal(v.advisory_count, rows[i].module ? 4 : 3);
		assert_string_equal(v.advisories[0], "ALL");
		assert_int_equal(verdict_judge(&v, NULL, &err), -1);
		assert_string_equal(err.check, rows[i].wanted == TCB_UP_TO_DATE ? "advisory" : "tcb-status");
		intel_made_free(&m);
	}
}

/* Each component that is below the first level's makes it the second's. */
static void every_component_counts(void **state)
{
	for (int i = 0; i < 17; i++) {
		struct intel_recipe r;
		struct intel_made m;
		struct verdict v;
		struct error err;

		intel_recipe_init(&r, TEE_SGX, 3, false);
		memset(r.info.levels.level[0].sgx, 5, 16);
		memset(r.info.levels.level[1].sgx, 4, 16);
		r.info.levels.level[0].svn = 300;
		if (i < 16)
			r.pck.components[i] = 4;
		else
			r.pck.pce_svn = 299;
		intel_make(&r, &m);
		assert_int_equal(judge(&r, &m, false, true, NULL, &v, &err), 0);
		assert_int_equal(v.tcb_status, TCB_OUT_OF_DATE);
		assert_int_equal(v.advisory_count, 1);
		assert_string_equal(v.advisories[0], "INTEL-SA-00002");
		intel_made_free(&m);
	}
}

/* The module's own two components are judged by its identity where it has one, by the TCB level where not. */
static void tdx_components(void **state)
{
	static const struct {
		uint8_t svn[3];
		enum tcb_status platform, module;
	} rows[] = {
		{{5, 1, 5}, TCB_UP_TO_DATE, TCB_UP_TO_DATE},
		{{9, 1, 9}, TCB_UP_TO_DATE, TCB_UP_TO_DATE},
		{{4, 1, 5}, TCB_OUT_OF_DATE, TCB_OUT_OF_DATE},
		{{5, 1, 4}, TCB_OUT_OF_DATE, TCB_UP_TO_DATE},
		{{5, 0, 5}, TCB_UP_TO_DATE, TCB_NOT_JUDGED},
		{{4, 0, 5}, TCB_OUT_OF_DATE, TCB_NOT_JUDGED},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct intel_recipe r;
		struct intel_made m;
		struct verdict v;
		struct error err;

		intel_recipe_init(&r, TEE_TDX, 4, false);
		memcpy(r.td.tee_tcb_svn, rows[i].svn, 3);
		intel_make(&r, &m);
		assert_int_equal(judge(&r, &m, false, true, NULL, &v, &err), 0);
		assert_int_equal(v.tcb_status, rows[i].platform);
		assert_int_equal(v.detail.tdx.module_status, rows[i].module);
		intel_made_free(&m);
	}
}

static void a_platform_below_all_levels_is_out_of_date_with_all_advisories(void **state)
{
	struct tolerances outdated = {.set = TOLERATE_OUTDATED};
	struct intel_recipe r;
	struct intel_made m;
	struct verdict v;
	struct error err;

	intel_recipe_init(&r, TEE_SGX, 3, false);
	r.pck.components[0] = 1;
	intel_make(&r, &m);
	assert_int_equal(judge(&r, &m, false, true, NULL, &v, &err), 0);
	assert_int_equal(v.tcb_status, TCB_OUT_OF_DATE);
	assert_true(v.tcb_unlisted);
	assert_int_equal(v.advisory_count, 2);
	assert_int_equal(verdict_judge(&v, &outdated, &err), -1);
	assert_string_equal(err.check, "advisory");
	intel_made_free(&m);
}

static void debug_is_told(void **state)
{
	for (int bit = 0; bit < 9; bit++) {
		struct intel_recipe r;
		struct intel_made m;
		struct verdict v;
		struct error err;

		intel_recipe_init(&r, bit == 8 ? TEE_SGX : TEE_TDX, 4, false);
		if (bit == 8)
			r.enclave.attributes[0] |= SGX_ATTRIBUTE_DEBUG;
		else
			r.td.td_attributes[0] = (uint8_t)(1u << bit);
		intel_make(&r, &m);
		assert_int_equal(judge(&r, &m, false, true, NULL, &v, &err), 0);
		assert_true(v.debug);
		assert_int_equal(verdict_judge(&v, NULL, &err), -1);
		assert_string_equal(err.check, "debug");
		intel_made_free(&m);
	}
}

/* A quote without a chain (its certification data name the platform only) is verified with the chain beside it. */
static void a_chain_may_come_beside_the_quote(void **state)
{
	struct intel_recipe r;
	struct intel_made m;
	struct verify_context ctx = {0};
	struct trust_root root = {.tee = TEE_SGX};
	struct evidence e;
	struct verdict v;
	struct error err;

	intel_recipe_init(&r, TEE_SGX, 3, false);
	r.certification = 3;
	intel_make(&r, &m);
	memcpy(root.key_hash, m.root, 32);
	ctx = (struct verify_context){.now = r.now, .roots = &root, .root_count = 1};
	assert_int_equal(evidence_parse(m.quote.data, m.quote.len, TEE_NONE, &e, &err), 0);
	e.item[ITEM_COLLATERAL] = (struct bytes){m.collateral.data, m.collateral.len};
	e.item[ITEM_CERTIFICATES] = (struct bytes){m.chain.data, m.chain.len};
	assert_int_equal(evidence_verify_parts(&e, &ctx, &v, &err), 0);
	e.item[ITEM_CERTIFICATES].n /= 2;
	assert_int_equal(evidence_verify_parts(&e, &ctx, &v, &err), -1);
	assert_string_equal(err.check, "chain-format");
	intel_made_free(&m);
}

static void only_the_padding_of_the_service_may_follow(void **state)
{
	static const struct {
		enum tee_type tee;
		unsigned int version;
		size_t zeros;
		bool good;
	} rows[] = {{TEE_TDX, 4, 70, true}, {TEE_TDX, 4, 69, false}, {TEE_TDX, 4, 71, false},
		{TEE_TDX, 4, 1, false}, {TEE_TDX, 5, 70, false}, {TEE_SGX, 4, 70, false},
		{TEE_SGX, 3, 70, false}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct intel_recipe r;
		struct intel_made m;
		struct verdict v;
		struct error err;

		intel_recipe_init(&r, rows[i].tee, rows[i].version, false);
		intel_make(&r, &m);
		for (size_t k = 0; k < rows[i].zeros; k++)
			buf_putc(&m.quote, 0);
		assert_int_equal(judge(&r, &m, false, true, NULL, &v, &err), rows[i].good ? 0 : -1);
		m.quote.data[m.quote.len - 1] = 1;
		assert_int_equal(judge(&r, &m, false, true, NULL, &v, &err), -1);
		assert_string_equal(err.check, "format");
		intel_made_free(&m);
	}
}

static void heads_that_are_no_quote(void **state)
{
	static const struct {
		size_t at;
		uint8_t value;
		const char *check;
	} rows[] = {{0, 2, "version"}, {0, 6, "version"}, {2, 3, "algorithm"}, {4, 0x82, "type"},
		{4, 0x00, "type"}, {12, 0, "qe-identity"}, {48, 1, "type"}, {48, 4, "type"},
		{50, 0, "format"}};

	struct intel_recipe r;
	struct intel_made m;
	struct intel_quote q;
	struct error err;

	intel_recipe_init(&r, TEE_TDX, 5, true);
	intel_make(&r, &m);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		uint8_t was = m.quote.data[rows[i].at];

		m.quote.data[rows[i].at] = rows[i].value;
		assert_int_equal(intel_quote_parse(m.quote.data, m.quote.len, TEE_TDX, &q, &err), -1);
		assert_string_equal(err.check, rows[i].check);
		m.quote.data[rows[i].at] = was;
	}
	assert_int_equal(intel_quote_parse(m.quote.data, m.quote.len, TEE_SGX, &q, &err), -1);
	assert_string_equal(err.check, "type");
	assert_int_equal(intel_quote_parse(m.quote.data, m.quote.len, TEE_TDX, &q, &err), 0);
	intel_made_free(&m);
}

/* Of documents about the same, the higher evaluation number counts, then the newer one; one that is not valid does not. */
static void the_newest_collateral_counts(void **state)
{
	static const struct {
		int64_t issued, next; /* days from now, of the second */
		uint32_t number;
		enum tcb_status wanted; /* the second says OutOfDate */
	} rows[] = {
		{-1, 29, 18, TCB_OUT_OF_DATE}, {-1, 29, 16, TCB_UP_TO_DATE}, {0, 30, 17, TCB_OUT_OF_DATE},
		{-2, 28, 17, TCB_UP_TO_DATE}, {-40, -10, 18, TCB_UP_TO_DATE}, /* expired */
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct intel_recipe r, second;
		struct intel_made m, n;
		struct trust_root roots[2] = {{.tee = TEE_SGX}, {.tee = TEE_SGX}};
		struct verify_context ctx;
		struct collateral *c = collateral_new();
		struct verdict v;
		struct error err;

		intel_recipe_init(&r, TEE_SGX, 3, false);
		second = r;
		second.info.issued = r.now + (uint64_t)(rows[i].issued * (int64_t)DAY);
		second.info.next = r.now + (uint64_t)(rows[i].next * (int64_t)DAY);
		second.info.number = rows[i].number;
		second.info.levels.level[0].status = "OutOfDate";
		intel_make(&r, &m);
		intel_make(&second, &n);
		memcpy(roots[0].key_hash, m.root, 32);
		memcpy(roots[1].key_hash, n.root, 32);
		ctx = (struct verify_context){.now = r.now, .roots = roots, .root_count = 2, .collateral = c};
		assert_int_equal(collateral_add(c, n.collateral.data, n.collateral.len, &err), 0);
		assert_int_equal(collateral_add(c, m.collateral.data, m.collateral.len, &err), 0);
		assert_int_equal(evidence_verify(m.quote.data, m.quote.len, &ctx, &v, &err), 0);
		assert_int_equal(v.tcb_status, rows[i].wanted);
		if (rows[i].number == 18 && rows[i].wanted == TCB_OUT_OF_DATE) {
			ctx.min_tcb_evaluation_number = 18;
			assert_int_equal(evidence_verify(m.quote.data, m.quote.len, &ctx, &v, &err), -1);
			assert_string_equal(err.check, "collateral-number"); /* the identity is 17 */
		}
		collateral_free(c);
		intel_made_free(&m);
		intel_made_free(&n);
	}
}

static void no_list_at_all_may_be_permitted(void **state)
{
	for (int i = 0; i < 2; i++) {
		struct intel_recipe r;
		struct intel_made m;
		struct trust_root root = {.tee = TEE_SGX};
		struct verify_context ctx;
		struct collateral *c = collateral_new();
		struct verdict v;
		struct error err;

		intel_recipe_init(&r, TEE_SGX, 3, false);
		r.pck_crl.absent = r.root_crl.absent = i == 0;
		r.pck_crl.to = i == 0 ? r.pck_crl.to : r.now; /* one that is there counts */
		intel_make(&r, &m);
		memcpy(root.key_hash, m.root, 32);
		ctx = (struct verify_context){.now = r.now,
			.roots = &root,
			.root_count = 1,
			.collateral = c,
			.allow_no_revocation = true};
		assert_int_equal(collateral_add(c, m.collateral.data, m.collateral.len, &err), 0);
		assert_int_equal(evidence_verify(m.quote.data, m.quote.len, &ctx, &v, &err), i == 0 ? 0 : -1);
		if (i == 1)
			assert_string_equal(err.check, "crl-time");
		collateral_free(c);
		intel_made_free(&m);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_shape_is_good),
		cmocka_unit_test(everything_bad_is_refused_for_its_reason),
		cmocka_unit_test(missing_collateral_says_how_to_get_it),
		cmocka_unit_test(the_root_must_be_trusted),
		cmocka_unit_test(other_report_data_are_refused),
		cmocka_unit_test(the_worst_status_counts),
		cmocka_unit_test(every_component_counts),
		cmocka_unit_test(tdx_components),
		cmocka_unit_test(a_platform_below_all_levels_is_out_of_date_with_all_advisories),
		cmocka_unit_test(debug_is_told),
		cmocka_unit_test(a_chain_may_come_beside_the_quote),
		cmocka_unit_test(only_the_padding_of_the_service_may_follow),
		cmocka_unit_test(heads_that_are_no_quote),
		cmocka_unit_test(the_newest_collateral_counts),
		cmocka_unit_test(no_list_at_all_may_be_permitted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
