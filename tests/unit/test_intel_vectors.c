/* Quotes that real SGX and TDX platforms made, with the collateral of their day. Called with "full": every bit and every length, else some. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "../lib/vectors.h"
#include "crypto/x509_chain.h"
#include "evidence/collateral.h"
#include "evidence/intel_quote.h"
#include "evidence/type.h"

static bool full;

static const struct vector {
	const char *quote, *collateral;
	enum tee_type tee;
	uint64_t at; /* a time at which the collateral is valid */
	enum tcb_status status;
	bool unlisted;
	size_t advisories;
	const char *fmspc;
} vectors[] = {
	{"sgx/quote_v3.bin", "sgx/quote_v3_collateral.json", TEE_SGX, 1750377600, /* 2025-06-20 */
		TCB_CONFIGURATION_AND_SW_HARDENING_NEEDED, false, 2, "00a067110000"},
	{"tdx/quote_v4.bin", "tdx/quote_v4_collateral.json", TEE_TDX, 1750377600, TCB_UP_TO_DATE, false, 0,
		"b0c06f000000"},
	{"tdx/quote_v5_outdated.bin", "tdx/quote_v5_outdated_collateral.json", TEE_TDX,
		1772323200, /* 2026-03-01 */
		TCB_OUT_OF_DATE, true, 19, "90c06f000000"},
};
#define VECTORS (sizeof(vectors) / sizeof(*vectors))

struct loaded {
	struct buf quote, text;
	struct collateral *collateral;
	struct verify_context ctx;
};

static void load(const struct vector *v, struct loaded *l)
{
	struct error err;

	vector_read(v->quote, &l->quote);
	vector_read(v->collateral, &l->text);
	l->collateral = collateral_new();
	assert_int_equal(collateral_add(l->collateral, l->text.data, l->text.len, &err), 0);
	l->ctx = (struct verify_context){.now = v->at, .collateral = l->collateral};
}

static void unload(struct loaded *l)
{
	buf_free(&l->quote);
	buf_free(&l->text);
	collateral_free(l->collateral);
}

static void verdicts(void **state)
{
	for (size_t i = 0; i < VECTORS; i++) {
		const struct vector *v = &vectors[i];
		struct tolerances all = {.set = ~(uint32_t)TOLERATE_DEBUG, .all_advisories = true};
		struct evidence e;
		struct verdict out;
		struct error err;
		struct loaded l;
		json_t *j, *fmspc;

		load(v, &l);
		if (evidence_verify(l.quote.data, l.quote.len, &l.ctx, &out, &err) < 0)
			fail_msg("%s: %s: %s", v->quote, err.check, err.text);
		assert_int_equal(out.tee, v->tee);
		assert_int_equal(out.tcb_status, v->status);
		assert_int_equal(out.tcb_unlisted, v->unlisted);
		assert_int_equal(out.advisory_count, v->advisories);
		assert_false(out.debug || out.simulated);
		j = verdict_json(&out);
		fmspc = json_object_get(json_object_get(j, "detail"), "fmspc");
		assert_string_equal(json_string_value(fmspc), v->fmspc);
		json_decref(j);
		assert_int_equal(verdict_judge(&out, NULL, &err), v->status == TCB_UP_TO_DATE ? 0 : -1);
		assert_int_equal(verdict_judge(&out, &all, &err), 0);
		/* carried with the quote instead */
		assert_int_equal(evidence_parse(l.quote.data, l.quote.len, TEE_NONE, &e, &err), 0);
		e.item[ITEM_COLLATERAL] = (struct bytes){l.text.data, l.text.len};
		l.ctx.collateral = NULL;
		assert_int_equal(evidence_verify_parts(&e, &l.ctx, &out, &err), 0);
		assert_int_equal(out.tcb_status, v->status);
		unload(&l);
	}
}

static void refused_at(const struct vector *v, uint64_t now, const char *check)
{
	struct verdict out;
	struct error err;
	struct loaded l;

	load(v, &l);
	l.ctx.now = now;
	assert_int_equal(evidence_verify(l.quote.data, l.quote.len, &l.ctx, &out, &err), -1);
	assert_string_equal(err.check, check);
	unload(&l);
}

static void only_in_their_time(void **state)
{
	for (size_t i = 0; i < VECTORS; i++) {
		refused_at(&vectors[i], vectors[i].at + 60 * 86400, "crl-time");
		refused_at(&vectors[i], vectors[i].at - 12 * 86400, "crl-time");
		refused_at(&vectors[i], vectors[i].at + 20ull * 365 * 86400, "chain-time");
		refused_at(&vectors[i], 0, "chain-time");
	}
}

static void the_collateral_of_another_platform(void **state)
{
	for (size_t i = 0; i < VECTORS; i++) {
		struct loaded l, other;
		struct verdict out;
		struct error err;

		load(&vectors[i], &l);
		load(&vectors[(i + 1) % VECTORS], &other);
		l.ctx.collateral = other.collateral;
		assert_int_equal(evidence_verify(l.quote.data, l.quote.len, &l.ctx, &out, &err), -1);
		assert_string_equal(err.check, i == 1 ? "crl-time" : "crl-missing");
		l.ctx.collateral = NULL;
		assert_int_equal(evidence_verify(l.quote.data, l.quote.len, &l.ctx, &out, &err), -1);
		assert_string_equal(err.check, "crl-missing");
		unload(&l);
		unload(&other);
	}
}

static void other_report_data_and_roots(void **state)
{
	for (size_t i = 0; i < VECTORS; i++) {
		const struct trust_root root = {.tee = vectors[i].tee, .key_hash = {1}};
		uint8_t data[REPORT_DATA_LEN];
		struct verdict out;
		struct error err;
		struct loaded l;

		load(&vectors[i], &l);
		assert_int_equal(evidence_verify(l.quote.data, l.quote.len, &l.ctx, &out, &err), 0);
		memcpy(data, out.report_data, sizeof(data));
		l.ctx.report_data = data;
		assert_int_equal(evidence_verify(l.quote.data, l.quote.len, &l.ctx, &out, &err), 0);
		data[0] ^= 0x80;
		assert_int_equal(evidence_verify(l.quote.data, l.quote.len, &l.ctx, &out, &err), -1);
		assert_string_equal(err.check, "report-data");
		l.ctx.report_data = NULL;
		l.ctx.roots = &root;
		l.ctx.root_count = 1;
		assert_int_equal(evidence_verify(l.quote.data, l.quote.len, &l.ctx, &out, &err), -1);
		assert_string_equal(err.check, "chain-root");
		unload(&l);
	}
}

/* The same certificates, whatever the text around them: the last digit of Base64 and the ends of lines have bits that mean nothing. */
static bool same_certificates(const struct buf *was, const struct buf *is, enum tee_type tee)
{
	struct intel_quote a, b;
	struct x509_chain x, y;
	struct error err;
	bool same = true;

	if (intel_quote_parse(was->data, was->len, tee, &a, &err) < 0 ||
		intel_quote_parse(is->data, is->len, tee, &b, &err) < 0 ||
		x509_chain_from_pem(a.certification.p, a.certification.n, &x, &err) < 0)
		return false;
	if (x509_chain_from_pem(b.certification.p, b.certification.n, &y, &err) < 0) {
		x509_chain_free(&x);
		return false;
	}
	for (size_t i = 0; i < x.count; i++)
		same = same && y.count == x.count && x509_equal(x.cert[i], y.cert[i]);
	x509_chain_free(&x);
	x509_chain_free(&y);
	return same;
}

static void every_bit_counts(void **state)
{
	for (size_t i = 0; i < VECTORS; i++) {
		struct intel_quote q;
		struct verdict out;
		struct error err;
		struct loaded l;
		struct buf was;
		size_t pem_from, pem_to;

		load(&vectors[i], &l);
		buf_init(&was, l.quote.len);
		buf_put(&was, l.quote.data, l.quote.len);
		assert_int_equal(intel_quote_parse(was.data, was.len, vectors[i].tee, &q, &err), 0);
		pem_from = (size_t)(q.certification.p - was.data);
		pem_to = pem_from + q.certification.n;
		for (size_t bit = 0; bit < 8 * was.len; bit++) {
			bool pem = bit / 8 >= pem_from && bit / 8 < pem_to;

			/* In passing: a bit of each byte outside of the text of certificates, some in it. */
			if (!full && (pem ? bit % 173 != 0 : bit % 8 != bit / 8 % 8))
				continue;
			l.quote.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
			if (evidence_verify(l.quote.data, l.quote.len, &l.ctx, &out, &err) == 0 &&
				!(pem && same_certificates(&was, &l.quote, vectors[i].tee)))
				fail_msg("%s: bit %zu of byte %zu may change", vectors[i].quote, bit % 8,
					bit / 8);
			l.quote.data[bit / 8] = was.data[bit / 8];
		}
		buf_free(&was);
		unload(&l);
	}
}

static void every_truncation_is_refused(void **state)
{
	for (size_t i = 0; i < VECTORS; i++) {
		struct intel_quote q;
		struct verdict out;
		struct error err;
		struct loaded l;

		load(&vectors[i], &l);
		assert_int_equal(intel_quote_parse(l.quote.data, l.quote.len, vectors[i].tee, &q, &err), 0);
		for (size_t n = 0; n < l.quote.len; n += full || n < 700 ? 1 : 7) {
			uint8_t *exact = malloc(n + 1);

			assert_non_null(exact);
			memcpy(exact, l.quote.data, n);
			/* what follows the end of a quote is no part of it */
			if (evidence_verify(exact, n, &l.ctx, &out, &err) == 0 && n != q.len)
				fail_msg("%s: cut to %zu bytes", vectors[i].quote, n);
			free(exact);
		}
		unload(&l);
	}
}

/* The text of the collateral: whatever changes must not change what is believed. */
static void every_change_of_the_signed_documents_is_refused(void **state)
{
	static const char *const keys[] = {
		"tcb_info", "qe_identity", "tcb_info_signature", "qe_identity_signature"};

	for (size_t i = 0; i < VECTORS * 4; i++) {
		const struct vector *v = &vectors[i / 4];
		struct verdict out;
		struct error err;
		struct loaded l;
		json_t *j, *original;
		size_t len;

		load(v, &l);
		j = json_loadb((char *)l.text.data, l.text.len, 0, NULL);
		original = json_deep_copy(json_object_get(j, keys[i % 4]));
		len = json_string_length(original);
		for (size_t at = 0; at < len; at += full ? 1 : 1 + len / 40) {
			struct verify_context ctx = {.now = v->at, .collateral = collateral_new()};
			char *text = strdup(json_string_value(original)), *all;

			text[at] = text[at] == '0' ? '1' : '0';
			if (strncasecmp(text, json_string_value(original), len) != 0) {
				json_object_set_new(j, keys[i % 4], json_string(text));
				all = json_dumps(j, JSON_COMPACT);
				if (collateral_add((struct collateral *)ctx.collateral, all, strlen(all),
					    &err) == 0 &&
					evidence_verify(l.quote.data, l.quote.len, &ctx, &out, &err) == 0)
					fail_msg("%s: %s may change at %zu", v->collateral, keys[i % 4], at);
				free(all);
			}
			free(text);
			collateral_free((struct collateral *)ctx.collateral);
		}
		json_decref(original);
		json_decref(j);
		unload(&l);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(verdicts),
		cmocka_unit_test(only_in_their_time),
		cmocka_unit_test(the_collateral_of_another_platform),
		cmocka_unit_test(other_report_data_and_roots),
		cmocka_unit_test(every_bit_counts),
		cmocka_unit_test(every_truncation_is_refused),
		cmocka_unit_test(every_change_of_the_signed_documents_is_refused),
	};

	full = argc > 1 && strcmp(argv[1], "full") == 0;
	if (!vectors_here())
		return 0;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
