/*
 * snp_case: what the two tests of SEV-SNP evidence share: platforms of each kind, honest reports, and how a verdict is wanted.
 */
#ifndef SCONE_TESTS_SNP_CASE_H
#define SCONE_TESTS_SNP_CASE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "../lib/make_snp.h"
#include "evidence/check.h"
#include "evidence/snp.h"

#define NOW 1800000000ull

enum { MILAN, GENOA, TURIN, GENOA_VLEK, MAKERS };
static struct snp_maker maker[MAKERS];
static struct trust_root roots[MAKERS];
static uint8_t report_data[64];

static inline int setup(void **state)
{
	static const enum snp_product product[MAKERS] = {SNP_MILAN, SNP_GENOA, SNP_TURIN, SNP_GENOA};

	for (size_t i = 0; i < sizeof(report_data); i++)
		report_data[i] = (uint8_t)(5 * i + 1);
	for (size_t i = 0; i < MAKERS; i++) {
		snp_maker_init(&maker[i], product[i], i == GENOA_VLEK);
		roots[i].tee = TEE_SNP;
		pki_key_hash(maker[i].ark, roots[i].key_hash);
	}
	return 0;
}

static inline int teardown(void **state)
{
	for (size_t i = 0; i < MAKERS; i++)
		snp_maker_free(&maker[i]);
	return 0;
}

static inline struct verify_context context(void)
{
	return (struct verify_context){.now = NOW,
		.roots = roots,
		.root_count = MAKERS,
		.report_data = report_data,
		.allow_no_revocation = true};
}

static inline struct evidence parts(const struct snp_report_wire *w, const struct buf *certificates)
{
	struct evidence e = {.tee = TEE_SNP};

	e.item[ITEM_STATEMENT] = (struct bytes){(const uint8_t *)w, sizeof(*w)};
	if (certificates)
		e.item[ITEM_CERTIFICATES] = (struct bytes){certificates->data, certificates->len};
	return e;
}

static inline void accepted(const struct evidence *e, const struct verify_context *ctx, struct verdict *v)
{
	struct error err = {0};

	if (evidence_verify_parts(e, ctx, v, &err) < 0)
		fail_msg("refused: %s", err.text);
}

static inline void refused(const struct evidence *e, const struct verify_context *ctx,
	enum evidence_check check, const char *word)
{
	struct verdict v, untouched;
	struct error err = {0};

	memset(&v, 0x5a, sizeof(v));
	memcpy(&untouched, &v, sizeof(v));
	assert_int_equal(evidence_verify_parts(e, ctx, &v, &err), -1);
	assert_int_equal(err.code, ERR_ATTEST);
	assert_non_null(err.check);
	if (strcmp(err.check, evidence_check_name(check)) != 0 || !strstr(err.text, word))
		fail_msg("refused for %s: \"%s\"; wanted %s and \"%s\"", err.check, err.text,
			evidence_check_name(check), word);
	assert_memory_equal(&v, &untouched, sizeof(v));
}

static inline void make(size_t m, uint32_t version, struct snp_report_wire *w, struct buf *pem)
{
	snp_make_report(&maker[m], version, report_data, w);
	buf_init(pem, 65536);
	snp_make_pem(&maker[m], pem);
	assert_false(pem->failed);
}

#endif
