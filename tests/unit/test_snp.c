/* SEV-SNP: every kind of report verifies; every changed bit, every truncation and every broken rule of a report is refused, by the check that is for it. */
#include "snp_case.h"

#include <stdlib.h>
#include "../lib/vectors.h"
#include "crypto/x509_chain.h"
#include "evidence/snp_judge.h"

static void test_valid(void **state)
{
	static const struct {
		size_t maker;
		uint32_t version;
	} all[] = {{MILAN, 2}, {MILAN, 3}, {MILAN, 5}, {GENOA, 2}, {GENOA, 3}, {GENOA, 5}, {TURIN, 3},
		{TURIN, 5}, {GENOA_VLEK, 3}, {GENOA_VLEK, 5}};
	struct verify_context ctx = context();

	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
		struct snp_maker *m = &maker[all[i].maker];
		struct snp_report_wire w;
		struct evidence e;
		struct verdict v;
		struct buf pem;
		uint8_t hash[32];

		make(all[i].maker, all[i].version, &w, &pem);
		e = parts(&w, &pem);
		accepted(&e, &ctx, &v);
		assert_int_equal(v.tee, TEE_SNP);
		assert_false(v.debug);
		assert_int_equal(v.launch_len, 48);
		assert_memory_equal(v.launch, w.measurement, 48);
		assert_memory_equal(v.report_data, report_data, 64);
		assert_memory_equal(v.detail.snp.host_data, w.host_data, 32);
		assert_int_equal(v.detail.snp.report_version, all[i].version);
		assert_int_equal(v.detail.snp.reported_tcb, m->tcb);
		assert_string_equal(v.detail.snp.product, snp_product_name(m->product));
		assert_int_equal(v.valid_until, MAKE_SNP_TO);
		pki_key_hash(m->leaf, hash);
		assert_memory_equal(v.platform, hash, 32);
		buf_free(&pem);
	}
}

static void test_table(void **state)
{
	struct verify_context ctx = context();
	struct snp_report_wire w;
	struct evidence e;
	struct verdict v;
	struct buf table, crl, cut;

	for (size_t i = 0; i < MAKERS; i++) {
		buf_init(&table, 65536);
		buf_init(&crl, 65536);
		snp_make_report(&maker[i], 3, report_data, &w);
		snp_make_crl(&maker[i], NOW - 10, NOW + 10, NULL, 0, &crl);
		snp_make_table(&maker[i], &crl, &table);
		e = parts(&w, &table);
		ctx.allow_no_revocation = false;
		accepted(&e, &ctx, &v);
		assert_int_equal(v.valid_until, NOW + 10);
		for (size_t n = 0; n < table.len; n += n < 200 ? 1 : 97) {
			buf_init(&cut, 65536);
			buf_put(&cut, table.data, n);
			e = parts(&w, &cut);
			assert_int_equal(evidence_verify_parts(&e, &ctx, &v, NULL), -1);
			buf_free(&cut);
		}
		buf_free(&table);
		buf_free(&crl);
	}
}

/* One bit of every byte; test_real has all bits of a report that hardware signed. */
static void test_every_byte(void **state)
{
	static const struct {
		size_t maker;
		uint32_t version;
	} all[] = {{GENOA, 5}, {TURIN, 3}};
	struct verify_context ctx = context();
	struct snp_report_wire good, w;
	struct evidence e;
	struct verdict v;
	struct buf pem;

	for (size_t k = 0; k < sizeof(all) / sizeof(*all); k++) {
		make(all[k].maker, all[k].version, &good, &pem);
		for (size_t i = 0; i < sizeof(good); i++) {
			struct error err = {0};

			w = good;
			((uint8_t *)&w)[i] ^= (uint8_t)(1u << i % 8);
			e = parts(&w, &pem);
			if (evidence_verify_parts(&e, &ctx, &v, &err) == 0)
				fail_msg("accepted with a bit of byte %zu changed", i);
			assert_int_equal(err.code, ERR_ATTEST);
			assert_non_null(err.check);
		}
		buf_free(&pem);
	}
}

/* In the leaf and the ASK every byte, one bit each; the root's own signature and text, too. */
static void test_certificate_bits(void **state)
{
	struct verify_context ctx = context();
	struct snp_report_wire w;
	struct evidence e;
	struct verdict v;
	struct buf table;
	size_t start = 4 * 24;

	snp_make_report(&maker[MILAN], 3, report_data, &w);
	buf_init(&table, 65536);
	snp_make_table(&maker[MILAN], NULL, &table);
	e = parts(&w, &table);
	accepted(&e, &ctx, &v);
	for (size_t i = start; i < table.len; i++) {
		table.data[i] ^= (uint8_t)(1u << i % 8);
		if (evidence_verify_parts(&e, &ctx, &v, NULL) == 0)
			fail_msg("accepted with a bit of byte %zu of the certificates changed", i - start);
		table.data[i] ^= (uint8_t)(1u << i % 8);
	}
	buf_free(&table);
}

static void test_truncated(void **state)
{
	struct verify_context ctx = context();
	struct snp_report_wire w;
	struct evidence e;
	struct buf pem;

	make(MILAN, 3, &w, &pem);
	e = parts(&w, &pem);
	for (size_t n = 0; n < sizeof(w); n++) {
		uint8_t *exact = malloc(n + 1);

		memcpy(exact, &w, n);
		e.item[ITEM_STATEMENT] = (struct bytes){exact, n};
		refused(&e, &ctx, CHECK_FORMAT, "1184");
		free(exact);
	}
	buf_free(&pem);
}

struct change {
	size_t at;
	uint8_t value; /* stored, then signed again: only the check of this field can refuse */
	enum evidence_check check;
	const char *word;
	size_t maker;
	uint32_t version;
};

static void test_fields(void **state)
{
#define AT(f) offsetof(struct snp_report_wire, f)
	static const struct change changes[] = {
		{AT(version), 1, CHECK_VERSION, "wanted 2, 3 or 5", MILAN, 3},
		{AT(version), 4, CHECK_VERSION, "is 4", MILAN, 3},
		{AT(version), 6, CHECK_VERSION, "is 6", MILAN, 3},
		{AT(signature_algorithm), 2, CHECK_ALGORITHM, "is 2", MILAN, 3},
		{AT(policy) + 2, 1, CHECK_FORMAT, "bit 17", MILAN, 3},
		{AT(policy) + 7, 1, CHECK_FORMAT, "above bit 25", MILAN, 3},
		{AT(key_info), 0x20, CHECK_FORMAT, "key information", MILAN, 3},
		{AT(key_info), 0x02, CHECK_SIGNING_KEY, "masks its chip key", MILAN, 3},
		{AT(key_info), 0x04, CHECK_SIGNING_KEY, "1 (VLEK), wanted VCEK", MILAN, 3},
		{AT(key_info), 0x1c, CHECK_SIGNING_KEY, "7 (none)", MILAN, 3},
		{AT(key_info), 0x00, CHECK_SIGNING_KEY, "0 (VCEK), wanted VLEK", GENOA_VLEK, 3},
		{AT(reserved_4c), 1, CHECK_FORMAT, "0x4c", MILAN, 3},
		{AT(reserved_18b), 1, CHECK_FORMAT, "0x18b", MILAN, 3},
		{AT(cpuid), 0x19, CHECK_FORMAT, "0x188", MILAN, 2},
		{AT(cpuid), 0x17, CHECK_PRODUCT, "family 0x17", MILAN, 3},
		{AT(cpuid) + 1, 0x11, CHECK_PRODUCT, "product is Genoa", MILAN, 3},
		{AT(launch_mit_vector), 1, CHECK_FORMAT, "0x1f8", MILAN, 3},
		{AT(reserved_208), 1, CHECK_FORMAT, "0x208", MILAN, 5},
		{AT(reserved_330), 1, CHECK_FORMAT, "0x330", MILAN, 5},
		{AT(chip_id), 0, CHECK_CHIP_ID, "chip id is 00", MILAN, 3},
		{AT(chip_id) + 8, 1, CHECK_CHIP_ID, "goes on after 8", TURIN, 3},
		{AT(reported_tcb), 2, CHECK_TCB_MATCH, "boot loader is at version 2", MILAN, 3},
		{AT(reported_tcb) + 7, 208, CHECK_TCB_MATCH, "microcode is at version 208", MILAN, 3},
		{AT(reported_tcb), 0, CHECK_TCB_MATCH, "FMC is at version 0", TURIN, 3},
		{AT(reported_tcb) + 3, 3, CHECK_TCB_MATCH, "SNP is at version 3", TURIN, 5},
		{AT(current_tcb) + 6, 7, CHECK_TCB_MATCH, "of its current TCB", GENOA, 3},
		{AT(committed_tcb) + 6, 9, CHECK_TCB_MATCH, "in its committed TCB", GENOA, 3},
		{AT(report_data), 0, CHECK_REPORT_DATA, "report data is 00", GENOA, 3},
	};
	struct verify_context ctx = context();

	for (size_t i = 0; i < sizeof(changes) / sizeof(*changes); i++) {
		const struct change *c = &changes[i];
		struct snp_report_wire w;
		struct evidence e;
		struct buf pem;

		make(c->maker, c->version, &w, &pem);
		((uint8_t *)&w)[c->at] = c->value;
		snp_sign_report(&maker[c->maker], &w);
		e = parts(&w, &pem);
		refused(&e, &ctx, c->check, c->word);
		buf_free(&pem);
	}
}

static void test_masked_chip_id(void **state)
{
	struct verify_context ctx = context();
	struct snp_report_wire w;
	struct evidence e;
	struct verdict v;
	struct buf pem;

	make(MILAN, 3, &w, &pem);
	memset(w.chip_id, 0, sizeof(w.chip_id));
	snp_sign_report(&maker[MILAN], &w);
	e = parts(&w, &pem);
	refused(&e, &ctx, CHECK_CHIP_ID, "masks its chip id");
	buf_free(&pem);
	make(GENOA_VLEK, 3, &w, &pem); /* a provider's key does not name the chip */
	memset(w.chip_id, 0, sizeof(w.chip_id));
	snp_sign_report(&maker[GENOA_VLEK], &w);
	e = parts(&w, &pem);
	accepted(&e, &ctx, &v);
	buf_free(&pem);
}

/* ECDSA's other forms of the numbers. */
static void test_signature_form(void **state)
{
	struct verify_context ctx = context();
	struct snp_report_wire good, w;
	struct evidence e;
	struct buf pem;

	make(MILAN, 3, &good, &pem);
	w = good;
	w.signature_r[48] = 1;
	e = parts(&w, &pem);
	refused(&e, &ctx, CHECK_FORMAT, "zeros above");
	w = good;
	memset(w.signature_s, 0, sizeof(w.signature_s));
	refused(&e, &ctx, CHECK_SIGNATURE, "not one of");
	w = good;
	memset(w.signature_r, 0xff, 48);
	refused(&e, &ctx, CHECK_SIGNATURE, "not one of");
	buf_free(&pem);
}

static void judged(
	const struct verdict *v, const struct snp_wanted *w, enum evidence_check check, const char *word)
{
	struct error err = {0};

	assert_int_equal(snp_judge(v, w, &err), -1);
	assert_int_equal(err.code, ERR_ATTEST);
	if (strcmp(err.check, evidence_check_name(check)) != 0 || !strstr(err.text, word))
		fail_msg("refused for %s: \"%s\"; wanted %s and \"%s\"", err.check, err.text,
			evidence_check_name(check), word);
}

static void test_judge(void **state)
{
	static const uint8_t zeros[48];
	struct snp_tcb low = {.boot_loader = 3, .snp = 8, .microcode = 209},
		       high = {.boot_loader = 3, .snp = 9};
	struct verify_context ctx = context();
	struct snp_wanted none = {0}, w;
	struct snp_report_wire r;
	struct evidence e;
	struct verdict v, changed;
	struct buf pem;

	make(GENOA, 3, &r, &pem);
	e = parts(&r, &pem);
	accepted(&e, &ctx, &v);
	buf_free(&pem);
	assert_int_equal(snp_judge(&v, &none, NULL), 0);
	w = (struct snp_wanted){.min_guest_svn = 7,
		.policy_needed = SNP_POLICY_SMT,
		.platform_needed = SNP_PLATFORM_ALIAS_CHECK,
		.min_tcb = {[SNP_GENOA] = &low},
		.min_tcb_only = true,
		.launch = (const uint8_t(*)[48])r.measurement,
		.launch_count = 1,
		.id_key = (const uint8_t(*)[48])r.id_key_digest,
		.id_key_count = 1,
		.author_key = (const uint8_t(*)[48])r.author_key_digest,
		.author_key_count = 1,
		.host_data = r.host_data,
		.family_id = r.family_id,
		.image_id = r.image_id};
	assert_int_equal(snp_judge(&v, &w, NULL), 0);

	changed = v;
	changed.detail.snp.vmpl = 1;
	judged(&changed, &none, CHECK_VMPL, "VMPL 1, wanted at most 0");
	changed = v;
	changed.detail.snp.policy |= SNP_POLICY_DEBUG;
	judged(&changed, &none, CHECK_GUEST_POLICY, "debugging");
	changed = v;
	changed.detail.snp.policy |= SNP_POLICY_MIGRATE_MA;
	judged(&changed, &none, CHECK_GUEST_POLICY, "migration agent");
	judged(&v, &(struct snp_wanted){.forbid_smt = true}, CHECK_GUEST_POLICY, "SMT");
	changed = v;
	changed.detail.snp.policy &= ~SNP_POLICY_SMT;
	judged(&changed, &(struct snp_wanted){.forbid_smt = true}, CHECK_PLATFORM_INFO, "SMT is on");
	judged(&v, &(struct snp_wanted){.single_socket = true}, CHECK_GUEST_POLICY, "one socket");
	judged(&v, &(struct snp_wanted){.policy_needed = SNP_POLICY_AES_256_XTS}, CHECK_GUEST_POLICY,
		"0x400000");
	judged(&v, &(struct snp_wanted){.platform_needed = SNP_PLATFORM_RAPL_DIS}, CHECK_PLATFORM_INFO,
		"0x8");
	judged(&v, &(struct snp_wanted){.min_guest_svn = 8}, CHECK_GUEST_SVN, "is 7, wanted at least 8");
	judged(&v, &(struct snp_wanted){.min_tcb = {[SNP_GENOA] = &high}}, CHECK_TCB_MINIMUM,
		"SNP of this Genoa is at version 8, wanted at least 9");
	judged(&v, &(struct snp_wanted){.min_tcb = {[SNP_MILAN] = &low}, .min_tcb_only = true},
		CHECK_TCB_MINIMUM, "no lowest TCB is set for Genoa");
	judged(&v, &(struct snp_wanted){.launch = &zeros, .launch_count = 1}, CHECK_MEASUREMENT,
		"launch measurement is 3031");
	judged(&v, &(struct snp_wanted){.id_key = &zeros, .id_key_count = 1}, CHECK_ID_KEY,
		"id key digest is 5151");
	judged(&v, &(struct snp_wanted){.author_key = &zeros, .author_key_count = 1}, CHECK_ID_KEY,
		"author key digest is 5252");
	judged(&v, &(struct snp_wanted){.host_data = zeros}, CHECK_HOST_DATA, "host data is 4040");
	judged(&v, &(struct snp_wanted){.family_id = zeros}, CHECK_HOST_DATA, "family id");
	judged(&v, &(struct snp_wanted){.image_id = zeros}, CHECK_HOST_DATA, "image id");
	changed = v;
	changed.tee = TEE_SIM;
	judged(&changed, &none, CHECK_TYPE, "sim");
}

static void test_debug_is_told(void **state)
{
	struct verify_context ctx = context();
	struct tolerances strict = {0}, debug = {.set = TOLERATE_DEBUG};
	struct snp_report_wire w;
	struct error err = {0};
	struct evidence e;
	struct verdict v;
	struct buf pem;

	make(MILAN, 3, &w, &pem);
	w.policy[2] |= SNP_POLICY_DEBUG >> 16;
	snp_sign_report(&maker[MILAN], &w);
	e = parts(&w, &pem);
	accepted(&e, &ctx, &v);
	assert_true(v.debug);
	assert_int_equal(verdict_judge(&v, &strict, &err), -1);
	assert_string_equal(err.check, "debug");
	assert_int_equal(verdict_judge(&v, &debug, &err), 0);
	buf_free(&pem);
}

/* What AMD's hardware signed, with AMD's certificates and the built-in roots. */
static void test_real(void **state)
{
	struct verify_context ctx = {.now = 1750000000, .allow_no_revocation = true};
	struct buf report, vcek, chain, der, genoa;
	struct evidence e = {.tee = TEE_SNP};
	struct verdict v;
	X509 *leaf;

	if (!vectors_here())
		return;
	vector_read("snp/report_v2.bin", &report);
	vector_read("snp/report_v2_vcek.der", &der);
	vector_read("snp/milan_ask_ark.pem", &chain);
	vector_read("snp/genoa_ask_ark.pem", &genoa);
	buf_init(&vcek, 65536);
	assert_int_equal(x509_from_der(der.data, der.len, &leaf, NULL), 0);
	pki_pem(leaf, &vcek);
	X509_free(leaf);
	e.item[ITEM_STATEMENT] = (struct bytes){report.data, report.len};
	e.item[ITEM_CERTIFICATES] = (struct bytes){der.data, der.len};
	refused(&e, &ctx, CHECK_CHAIN_MISSING, "ends in 'SEV-VCEK'");
	size_t leaf_len = vcek.len;
	buf_put(&vcek, genoa.data, genoa.len);
	e.item[ITEM_CERTIFICATES] = (struct bytes){vcek.data, vcek.len};
	refused(&e, &ctx, CHECK_CHAIN_ORDER, "SEV-Genoa");
	buf_truncate(&vcek, leaf_len);
	buf_put(&vcek, chain.data, chain.len);
	e.item[ITEM_CERTIFICATES] = (struct bytes){vcek.data, vcek.len};
	accepted(&e, &ctx, &v);
	assert_true(v.debug); /* policy 0xb0000 */
	assert_string_equal(v.detail.snp.product, "Milan");
	ctx.allow_no_revocation = false;
	refused(&e, &ctx, CHECK_CRL_MISSING, "ARK-Milan");
	refused(&e, &ctx, CHECK_CRL_MISSING, "curl https://kdsintf.amd.com/vcek/v1/Milan/crl >FILE");
	ctx.allow_no_revocation = true;
	for (size_t bit = 0; bit < 8 * report.len; bit++) {
		report.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
		if (evidence_verify_parts(&e, &ctx, &v, NULL) == 0)
			fail_msg("accepted with bit %zu changed", bit);
		report.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	for (size_t n = 0; n < report.len; n++) {
		e.item[ITEM_STATEMENT].n = n;
		assert_int_equal(evidence_verify_parts(&e, &ctx, &v, NULL), -1);
	}
	buf_free(&report);
	buf_free(&vcek);
	buf_free(&chain);
	buf_free(&der);
	buf_free(&genoa);
}

static void test_show(void **state)
{
	struct verify_context ctx = context();
	struct snp_report_wire w;
	struct error err = {0};
	struct evidence e;
	struct verdict v;
	struct buf pem;
	json_t *j;

	make(TURIN, 5, &w, &pem);
	e = parts(&w, &pem);
	assert_int_equal(evidence_parse((const uint8_t *)&w, sizeof(w), TEE_NONE, &e, &err), 0);
	assert_int_equal(e.tee, TEE_SNP);
	assert_non_null(j = json_object());
	assert_int_equal(snp_show(&e, j, &err), 0);
	assert_string_equal(json_string_value(json_object_get(j, "product")), "Turin");
	assert_int_equal(
		json_integer_value(json_object_get(json_object_get(j, "reported_tcb"), "microcode")), 75);
	json_decref(j);
	e = parts(&w, &pem);
	accepted(&e, &ctx, &v);
	assert_non_null(j = json_object());
	assert_int_equal(snp_describe(&v, j), 0);
	assert_int_equal(json_integer_value(json_object_get(json_object_get(j, "launch_tcb"), "fmc")), 1);
	assert_string_equal(json_string_value(json_object_get(j, "signing_key")), "VCEK");
	json_decref(j);
	buf_free(&pem);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_valid),
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_every_byte),
		cmocka_unit_test(test_certificate_bits),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_masked_chip_id),
		cmocka_unit_test(test_signature_form),
		cmocka_unit_test(test_judge),
		cmocka_unit_test(test_debug_is_told),
		cmocka_unit_test(test_real),
		cmocka_unit_test(test_show),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
