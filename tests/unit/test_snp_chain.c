/* SEV-SNP: certificates that AMD would not issue, in other orders, under other roots, revoked. */
#include "snp_case.h"

#include "evidence/collateral.h"

static void chain_case(const struct snp_maker *m, X509 *const *certs, size_t n,
	const struct verify_context *ctx, enum evidence_check check, const char *word)
{
	struct snp_report_wire w;
	struct evidence e;
	struct buf pem;

	snp_make_report(m, 3, report_data, &w);
	buf_init(&pem, 65536);
	for (size_t i = 0; i < n; i++)
		pki_pem(certs[i], &pem);
	e = parts(&w, &pem);
	refused(&e, ctx, check, word);
	buf_free(&pem);
}

static void test_chain(void **state)
{
	const struct snp_maker *m = &maker[MILAN], *g = &maker[GENOA];
	struct verify_context ctx = context(), strict = context(), foreign = context(), early = context(),
			      late = context();
	X509 *missing_root[] = {m->leaf, m->ask}, *alone[] = {m->leaf};
	X509 *swapped[] = {m->leaf, m->ark, m->ask}, *reversed[] = {m->ark, m->ask, m->leaf};
	X509 *other_ask[] = {m->leaf, g->ask, g->ark}, *good[] = {m->leaf, m->ask, m->ark};
	X509 *no_leaf[] = {m->ask, m->ark};
	struct trust_root only_genoa = roots[GENOA];
	struct snp_report_wire w;
	struct evidence e;

	chain_case(m, missing_root, 2, &ctx, CHECK_CHAIN_MISSING, "ends in 'SEV-Milan'");
	chain_case(m, alone, 1, &ctx, CHECK_CHAIN_MISSING, "ends in 'SEV-VCEK'");
	chain_case(m, swapped, 3, &ctx, CHECK_CHAIN_ORDER, "not issued by 'ARK-Milan'");
	chain_case(m, reversed, 3, &ctx, CHECK_CHAIN_ROLE, "on another curve");
	chain_case(m, no_leaf, 2, &ctx, CHECK_CHAIN_ROLE, "SEV-SNP certificate");
	chain_case(m, other_ask, 3, &ctx, CHECK_CHAIN_ORDER, "not issued by 'SEV-Genoa'");
	foreign.roots = &only_genoa;
	foreign.root_count = 1;
	chain_case(m, good, 3, &foreign, CHECK_CHAIN_ROOT, "ARK-Milan");
	foreign.root_count = 0; /* AMD's own */
	chain_case(m, good, 3, &foreign, CHECK_CHAIN_ROOT, "ARK-Milan");
	strict.allow_no_revocation = false;
	chain_case(m, good, 3, &strict, CHECK_CRL_MISSING, "ARK-Milan");
	early.now = MAKE_SNP_FROM - 1;
	chain_case(m, good, 3, &early, CHECK_CHAIN_TIME, "wanted at 2023-11-14T22:13:19Z");
	late.now = MAKE_SNP_TO + 1;
	chain_case(m, good, 3, &late, CHECK_CHAIN_TIME, "2033-05-18T03:33:20Z");
	snp_make_report(m, 3, report_data, &w);
	e = parts(&w, NULL);
	refused(&e, &ctx, CHECK_CHAIN_MISSING, "no certificates");
}

/* Leaves that AMD would not issue. */
static void test_leaves(void **state)
{
	const struct snp_maker *m = &maker[MILAN];
	struct verify_context ctx = context();
	uint8_t other_chip[64] = {1};
	const struct snp_leaf good = {.tcb = m->tcb,
		.from = MAKE_SNP_FROM,
		.to = MAKE_SNP_TO,
		.chip_id = m->chip_id,
		.signature = PKI_PSS_SHA384};
	const struct {
		struct snp_leaf leaf;
		enum evidence_check check;
		const char *word;
	} cases[] = {
		{{.tcb = m->tcb,
			 .from = MAKE_SNP_FROM,
			 .to = NOW - 1,
			 .chip_id = m->chip_id,
			 .signature = PKI_PSS_SHA384},
			CHECK_CHAIN_TIME, "'SEV-VCEK' is valid from"},
		{{.tcb = m->tcb,
			 .from = NOW + 1,
			 .to = MAKE_SNP_TO,
			 .chip_id = m->chip_id,
			 .signature = PKI_PSS_SHA384},
			CHECK_CHAIN_TIME, "'SEV-VCEK' is valid from"},
		{{.tcb = m->tcb,
			 .from = MAKE_SNP_FROM,
			 .to = MAKE_SNP_TO,
			 .chip_id = other_chip,
			 .signature = PKI_PSS_SHA384},
			CHECK_CHIP_ID, "chip id is a0a1"},
		{{.tcb = m->tcb - 1,
			 .from = MAKE_SNP_FROM,
			 .to = MAKE_SNP_TO,
			 .chip_id = m->chip_id,
			 .signature = PKI_PSS_SHA384},
			CHECK_TCB_MATCH, "wanted the 2"},
		{{.tcb = m->tcb,
			 .from = MAKE_SNP_FROM,
			 .to = MAKE_SNP_TO,
			 .chip_id = m->chip_id,
			 .signature = PKI_DEFAULT},
			CHECK_ALGORITHM, "RSASSA-PSS"},
		{{.tcb = m->tcb,
			 .from = MAKE_SNP_FROM,
			 .to = MAKE_SNP_TO,
			 .chip_id = m->chip_id,
			 .signature = PKI_PSS_SHA384,
			 .no_chip = true},
			CHECK_CHAIN_ROLE, "both a chip and a provider, or neither"},
		{{.tcb = m->tcb,
			 .from = MAKE_SNP_FROM,
			 .to = MAKE_SNP_TO,
			 .chip_id = m->chip_id,
			 .signature = PKI_PSS_SHA384,
			 .product_name = "Naples"},
			CHECK_PRODUCT, "'Naples'"},
		{{.tcb = m->tcb,
			 .from = MAKE_SNP_FROM,
			 .to = MAKE_SNP_TO,
			 .chip_id = m->chip_id,
			 .signature = PKI_PSS_SHA384,
			 .product_name = "Genoa-B1"},
			CHECK_CHAIN_ROLE, "wanted 'SEV-Genoa'"},
		{{.tcb = m->tcb,
			 .from = MAKE_SNP_FROM,
			 .to = MAKE_SNP_TO,
			 .chip_id = m->chip_id,
			 .signature = PKI_PSS_SHA384,
			 .common_name = "SEV-SOMETHING"},
			CHECK_CHAIN_ROLE, "'SEV-SOMETHING'"},
		{{.tcb = m->tcb,
			 .from = MAKE_SNP_FROM,
			 .to = MAKE_SNP_TO,
			 .vlek = true,
			 .signature = PKI_PSS_SHA384},
			CHECK_CHAIN_ROLE, "wanted 'SEV-VLEK-Milan'"},
	};
	X509 *leaf = snp_maker_leaf(m, &good), *chain[] = {leaf, m->ask, m->ark};
	struct snp_report_wire w;
	struct evidence e;
	struct verdict v;
	struct buf pem;

	snp_make_report(m, 3, report_data, &w);
	buf_init(&pem, 65536);
	for (size_t i = 0; i < 3; i++)
		pki_pem(chain[i], &pem);
	e = parts(&w, &pem);
	accepted(&e, &ctx, &v);
	buf_free(&pem);
	X509_free(leaf);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		chain[0] = snp_maker_leaf(m, &cases[i].leaf);
		chain_case(m, chain, 3, &ctx, cases[i].check, cases[i].word);
		X509_free(chain[0]);
	}
}

/* An ASK that is no CA, one that may have no CA below it above another, one with an extension nobody knows. */
static void test_cas(void **state)
{
	const struct snp_maker *m = &maker[MILAN];
	struct verify_context ctx = context();
	const struct pki_extension odd[] = {
		{.oid = "1.3.6.1.4.1.3704.99", .critical = true, .value = {5, 0}, .n = 2}, {0}};
	struct pki_spec s = {.common_name = "SEV-Milan",
		.key = m->ask_key,
		.issuer = m->ark,
		.issuer_key = m->ark_key,
		.signature = PKI_PSS_SHA384,
		.serial = 9,
		.from = MAKE_SNP_FROM,
		.to = MAKE_SNP_TO,
		.path_length = -1};
	X509 *chain[] = {m->leaf, NULL, m->ark};

	chain[1] = pki_certificate(&s);
	chain_case(m, chain, 3, &ctx, CHECK_CHAIN_ROLE, "it is no CA");
	X509_free(chain[1]);
	s.ca = true;
	s.extensions = odd;
	chain[1] = pki_certificate(&s);
	chain_case(m, chain, 3, &ctx, CHECK_CHAIN_ROLE, "critical extension");
	X509_free(chain[1]);
	s.extensions = NULL;
	s.issuer_key = m->ask_key; /* the right names, another's signature */
	chain[1] = pki_certificate(&s);
	chain_case(m, chain, 3, &ctx, CHECK_CHAIN_SIGNATURE, "not that of 'ARK-Milan'");
	X509_free(chain[1]);
}

static struct collateral *with_list(const struct snp_maker *m, uint64_t from, uint64_t to,
	const uint64_t *serials, size_t n, EVP_PKEY *other_key)
{
	struct collateral *c = collateral_new();
	struct pki_list l = {
		m->ark, other_key ? other_key : m->ark_key, PKI_PSS_SHA384, from, to, serials, n};
	struct error err = {0};
	struct buf crl;

	assert_non_null(c);
	buf_init(&crl, 65536);
	pki_revocation_list(&l, &crl);
	if (collateral_add(c, crl.data, crl.len, &err) < 0)
		fail_msg("%s", err.text);
	buf_free(&crl);
	return c;
}

static void test_revocation(void **state)
{
	const struct snp_maker *m = &maker[MILAN];
	const uint64_t ask = MAKE_SNP_ASK_SERIAL, other = 4711;
	X509 *good[] = {m->leaf, m->ask, m->ark};
	struct verify_context ctx = context();
	struct snp_report_wire w;
	struct evidence e;
	struct verdict v;
	struct buf pem;
	struct collateral *c;

	ctx.allow_no_revocation = false;
	c = with_list(m, NOW - 100, NOW + 100, &other, 1, NULL);
	ctx.collateral = c;
	make(MILAN, 3, &w, &pem);
	e = parts(&w, &pem);
	accepted(&e, &ctx, &v);
	assert_int_equal(v.valid_until, NOW + 100);
	buf_free(&pem);
	collateral_free(c);

	ctx.collateral = c = with_list(m, NOW - 100, NOW + 100, &ask, 1, NULL);
	chain_case(m, good, 3, &ctx, CHECK_REVOKED_CA, "'SEV-Milan'");
	ctx.allow_no_revocation = true; /* a list that is there always counts */
	chain_case(m, good, 3, &ctx, CHECK_REVOKED_CA, "'SEV-Milan'");
	ctx.allow_no_revocation = false;
	collateral_free(c);

	ctx.collateral = c = with_list(m, NOW - 100, NOW - 1, NULL, 0, NULL);
	chain_case(m, good, 3, &ctx, CHECK_CRL_TIME, "'ARK-Milan'");
	collateral_free(c);
	ctx.collateral = c = with_list(m, NOW + 1, NOW + 100, NULL, 0, NULL);
	chain_case(m, good, 3, &ctx, CHECK_CRL_TIME, "'ARK-Milan'");
	collateral_free(c);
	ctx.collateral = c = with_list(m, NOW - 100, NOW + 100, NULL, 0, m->ask_key);
	chain_case(m, good, 3, &ctx, CHECK_CRL_SIGNATURE, "'ARK-Milan'");
	collateral_free(c);
	ctx.collateral = c = with_list(&maker[GENOA], NOW - 100, NOW + 100, NULL, 0, NULL);
	chain_case(m, good, 3, &ctx, CHECK_CRL_MISSING, "'ARK-Milan'");
	collateral_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_chain),
		cmocka_unit_test(test_leaves),
		cmocka_unit_test(test_cas),
		cmocka_unit_test(test_revocation),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
