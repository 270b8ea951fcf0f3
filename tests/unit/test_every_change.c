/*
 * Evidence of every type, real and made: every bit that changes and every length that is cut is refused. Where bytes are not signed as they stand (the text around certificates, what an event log
 * says beside its digests, collateral's spelling) a change is refused or changes nothing that is believed: the verdict is the same, byte for byte.
 * Called with "full": every bit and length; else some. With a second word, a pattern: those tests only. Prints what was tried.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include "../lib/intel_maker.h"
#include "../lib/make_nitro.h"
#include "../lib/make_snp.h"
#include "../lib/make_tpm.h"
#include "../lib/vectors.h"
#include "core/encode.h"
#include "crypto/x509_chain.h"
#include "evidence/collateral.h"
#include "evidence/intel_quote.h"
#include "evidence/sim.h"
#include "evidence/type.h"
#include "evidence/workload.h"

#define NOW 1800000000ull
#define NITRO_REAL_NOW 1766682000ull /* 2025-12-25T17:00:00Z */
#define SNP_REAL_NOW 1750000000ull

static bool full;
static uint8_t report_data[REPORT_DATA_LEN];

struct subject {
	const char *name;
	struct evidence e;
	struct verify_context ctx;
	struct trust_root root;
	size_t loose_from, loose_to; /* of the statement: not signed as it stands */
	uint32_t loose, loose_cut; /* items, as bits, of which bits or lengths are not signed as they stand */
	uint32_t only; /* items that are changed; 0: all */
	char *verdict; /* as JSON */
	size_t bits, lengths, same;
};

static char *text_of(const struct verdict *v)
{
	json_t *j = verdict_json(v);
	char *text = json_dumps(j, JSON_COMPACT);

	json_decref(j);
	assert_non_null(text);
	return text;
}

static void prove(struct subject *s)
{
	struct error err = {0};
	struct verdict v;

	if (s->root.tee) {
		s->ctx.roots = &s->root;
		s->ctx.root_count = 1;
	}
	if (evidence_verify_parts(&s->e, &s->ctx, &v, &err) < 0)
		fail_msg("%s: %s: %s", s->name, err.check ? err.check : "-", err.text);
	s->verdict = text_of(&v);
}

static bool is_loose(const struct subject *s, size_t item, size_t at)
{
	return (s->loose & 1u << item) || (item == ITEM_STATEMENT && at >= s->loose_from && at < s->loose_to);
}

/* The changed evidence: refused by a named check, or, where that may be, believed as before. */
static void judge(
	struct subject *s, const struct evidence *e, bool loose, const char *what, size_t item, size_t at)
{
	struct error err = {0};
	struct verdict v;
	char *text;

	if (evidence_verify_parts(e, &s->ctx, &v, &err) < 0) {
		assert_true(err.code != ERR_NONE && err.code != ERR_INTERNAL && err.text[0]);
		if (err.code == ERR_ATTEST)
			assert_non_null(err.check);
		return;
	}
	text = text_of(&v);
	if (!loose || strcmp(text, s->verdict) != 0)
		fail_msg("%s: %s %zu of item %zu may be", s->name, what, at, item);
	free(text);
	s->same++;
}

static void change_bits(struct subject *s, size_t item, size_t stride)
{
	struct bytes whole = s->e.item[item];
	uint8_t *copy = malloc(whole.n);
	struct evidence e = s->e;

	assert_non_null(copy);
	memcpy(copy, whole.p, whole.n);
	e.item[item].p = copy;
	for (size_t bit = 0; bit < 8 * whole.n; bit += stride) {
		copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
		judge(s, &e, is_loose(s, item, bit / 8), "changed bit", item, bit);
		copy[bit / 8] = whole.p[bit / 8];
		s->bits++;
	}
	free(copy);
}

/* In memory of exactly that length, so that reading behind the end is seen. */
static void cut(struct subject *s, size_t item, size_t stride)
{
	struct bytes whole = s->e.item[item];
	struct evidence e = s->e;

	for (size_t n = 1; n < whole.n; n += stride) {
		uint8_t *exact = malloc(n);

		assert_non_null(exact);
		memcpy(exact, whole.p, n);
		e.item[item] = (struct bytes){exact, n};
		judge(s, &e, s->loose_cut & 1u << item, "length", item, n);
		free(exact);
		s->lengths++;
	}
}

/* Numbers of items are not signed: an event log by another number is one that is not there, which is for the relying party to want. */
static bool without_log(const struct subject *s, const struct verdict *v)
{
	struct evidence e = s->e;
	struct verdict bare;
	char *a, *b;
	bool same;

	e.item[ITEM_EVENT_LOG] = (struct bytes){0};
	if (evidence_verify_parts(&e, &s->ctx, &bare, NULL) < 0)
		return false;
	a = text_of(v);
	b = text_of(&bare);
	same = strcmp(a, b) == 0;
	free(a);
	free(b);
	return same;
}

static void change_bundle(struct subject *s)
{
	struct error err = {0};
	struct verdict v;
	struct buf b;
	size_t head = 12;

	buf_init(&b, EVIDENCE_MAX);
	assert_int_equal(evidence_write(&s->e, &b, NULL), 0);
	assert_int_equal(evidence_verify(b.data, b.len, &s->ctx, &v, &err), 0);
	for (size_t item = ITEM_STATEMENT; item < ITEM_END; item++) {
		if (!s->e.item[item].p)
			continue;
		/* the head of the bundle with the first item, then those of the items */
		for (size_t bit = item == ITEM_STATEMENT ? 0 : 8 * head; bit < 8 * (head + 6); bit++) {
			b.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
			if (evidence_verify(b.data, b.len, &s->ctx, &v, NULL) == 0 &&
				!(item == ITEM_EVENT_LOG && without_log(s, &v)))
				fail_msg("%s: bit %zu of the bundle may change", s->name, bit);
			b.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
			s->bits++;
		}
		head += 6 + s->e.item[item].n;
	}
	for (size_t n = 0; n < b.len; n += full ? 1 : 1 + b.len / 300) {
		if (evidence_verify(b.data, n, &s->ctx, &v, NULL) == 0)
			fail_msg("%s: a bundle of %zu bytes may be", s->name, n);
		s->lengths++;
	}
	buf_free(&b);
}

static size_t stride_of(size_t n, size_t most)
{
	return full || n <= most ? 1 : n / most | 1;
}

static void change(struct subject *s)
{
	prove(s);
	for (size_t item = ITEM_STATEMENT; item < ITEM_END; item++) {
		size_t n = s->e.item[item].n;

		if (!s->e.item[item].p || (s->only && !(s->only & 1u << item)))
			continue;
		/* Collateral is parsed anew each time: a bit of each byte. */
		change_bits(s, item,
			item == ITEM_COLLATERAL ? (full ? 9 : 8 * n / 40 | 1) : stride_of(8 * n, 700));
		cut(s, item, item == ITEM_COLLATERAL ? (full ? 7 : n / 20) : stride_of(n, 200));
	}
	if (!s->only)
		change_bundle(s);
	printf("# %-44s %7zu bits, %6zu lengths: refused%s\n", s->name, s->bits, s->lengths,
		s->same ? ", but for text around what is signed" : "");
	if (s->same)
		printf("# %-44s %7zu of these changed nothing that is believed\n", "", s->same);
	free(s->verdict);
}

static struct bytes bytes(const struct buf *b)
{
	return (struct bytes){b->data, b->len};
}

/* The text of certificates in a quote: the ends of lines and the last digit of Base64 have bits that mean nothing. */
static void find_certificates(struct subject *s)
{
	struct bytes q = s->e.item[ITEM_STATEMENT];
	struct intel_quote quote;

	assert_int_equal(intel_quote_parse(q.p, q.n, s->e.tee, &quote, NULL), 0);
	s->loose_from = (size_t)(quote.certification.p - q.p);
	s->loose_to = s->loose_from + quote.certification.n;
}

static void intel_made(void **state)
{
	static const struct {
		const char *name;
		enum tee_type tee;
		unsigned int version;
		bool td_15, carried;
	} all[] = {{"SGX quote 3, made", TEE_SGX, 3, false, false},
		{"SGX quote 4, made", TEE_SGX, 4, false, false},
		{"SGX quote 5, made", TEE_SGX, 5, false, false},
		{"TDX quote 4, made", TEE_TDX, 4, false, false},
		{"TDX quote 5, TD report 1.0, made", TEE_TDX, 5, false, false},
		{"TDX quote 5, TD report 1.5, made", TEE_TDX, 5, true, false},
		{"SGX quote 3 with its collateral, made", TEE_SGX, 3, false, true},
		{"TDX quote 5 with its collateral, made", TEE_TDX, 5, true, true}};

	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
		struct collateral *c = collateral_new();
		struct subject s = {.name = all[i].name, .e.tee = all[i].tee, .root.tee = all[i].tee};
		struct intel_recipe r;
		struct intel_made m;

		intel_recipe_init(&r, all[i].tee, all[i].version, all[i].td_15);
		intel_make(&r, &m);
		assert_int_equal(collateral_add(c, m.collateral.data, m.collateral.len, NULL), 0);
		memcpy(s.root.key_hash, m.root, 32);
		s.ctx.now = r.now;
		s.e.item[ITEM_STATEMENT] = bytes(&m.quote);
		find_certificates(&s);
		if (all[i].carried) {
			s.e.item[ITEM_COLLATERAL] = bytes(&m.collateral);
			s.only = s.loose = s.loose_cut = 1u << ITEM_COLLATERAL;
		} else {
			s.ctx.collateral = c;
		}
		change(&s);
		intel_made_free(&m);
		collateral_free(c);
	}
}

static void snp_made(void **state)
{
	static const struct {
		const char *name;
		enum snp_product product;
		bool vlek;
		uint32_t version[3];
	} all[] = {{"Milan", SNP_MILAN, false, {2, 3, 5}}, {"Genoa", SNP_GENOA, false, {2, 3, 5}},
		{"Genoa, VLEK", SNP_GENOA, true, {3, 5}}, {"Turin", SNP_TURIN, false, {3, 5}}};

	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
		struct snp_maker m;

		snp_maker_init(&m, all[i].product, all[i].vlek);
		for (size_t k = 0; k < 3 && all[i].version[k]; k++) {
			struct subject s = {.e.tee = TEE_SNP, .root.tee = TEE_SNP, .ctx.now = NOW};
			struct snp_report_wire w;
			struct buf table, crl;
			char name[64];

			snprintf(name, sizeof(name), "SEV-SNP report %u, %s, made", all[i].version[k],
				all[i].name);
			s.name = name;
			s.ctx.report_data = report_data;
			pki_key_hash(m.ark, s.root.key_hash);
			snp_make_report(&m, all[i].version[k], report_data, &w);
			buf_init(&table, 65536);
			buf_init(&crl, 65536);
			snp_make_crl(&m, NOW - 10, NOW + 10, NULL, 0, &crl);
			snp_make_table(&m, &crl, &table);
			s.e.item[ITEM_STATEMENT] = (struct bytes){(const uint8_t *)&w, sizeof(w)};
			s.e.item[ITEM_CERTIFICATES] = bytes(&table);
			s.loose = s.loose_cut = 1u << ITEM_CERTIFICATES; /* the table's own head */
			if (k > 0) /* the certificates are those of the first */
				s.only = 1u << ITEM_STATEMENT;
			change(&s);
			buf_free(&table);
			buf_free(&crl);
		}
		snp_maker_free(&m);
	}
}

static void nitro_made(void **state)
{
	struct subject s = {
		.name = "Nitro document, made", .e.tee = TEE_NITRO, .root.tee = TEE_NITRO, .ctx.now = NOW};
	struct nitro_spec spec = {.timestamp = (NOW - 3) * 1000,
		.user_data = {report_data, sizeof(report_data)},
		.indefinite = true,
		.tagged = true};
	struct nitro_maker m;
	struct buf b;

	nitro_maker_init(&m);
	buf_init(&b, 65536);
	nitro_make_document(&m, &spec, &b);
	pki_key_hash(m.root, s.root.key_hash);
	s.ctx.report_data = report_data;
	s.e.item[ITEM_STATEMENT] = bytes(&b);
	change(&s);
	buf_free(&b);
	nitro_maker_free(&m);
}

/* LAS's word about a program beside the machine's about LAS. */
static void put_las(struct subject *s, uint8_t workload[WORKLOAD_LEN], uint8_t las[WORKLOAD_LAS_LEN],
	uint8_t bound[REPORT_DATA_LEN])
{
	static const uint8_t nonce[PLATFORM_NONCE_LEN] = {7}, runtime[32] = {1}, root[32] = {2};
	EVP_PKEY *key = pki_key(KEY_ED25519);

	workload_make(runtime, root, report_data, workload);
	assert_int_equal(workload_sign(key, nonce, workload, las, NULL), 0);
	workload_bind_las(las, nonce, bound);
	s->e.item[ITEM_WORKLOAD] = (struct bytes){workload, WORKLOAD_LEN};
	s->e.item[ITEM_LAS] = (struct bytes){las, WORKLOAD_LAS_LEN};
	EVP_PKEY_free(key);
}

static void tpm_made(void **state)
{
	static const struct {
		const char *name;
		enum tpm_maker_kind kind;
		bool p384, las;
	} all[] = {{"TPM quote, RSASSA, made", MAKE_RSASSA, false, false},
		{"TPM quote, RSAPSS, made", MAKE_RSAPSS, false, false},
		{"TPM quote, ECDSA P-256, made", MAKE_ECDSA, false, false},
		{"TPM quote, ECDSA P-384, made", MAKE_ECDSA, true, false},
		{"TPM quote with LAS's word, made", MAKE_ECDSA, false, true}};

	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
		struct subject s = {
			.name = all[i].name, .e.tee = TEE_TPM, .root.tee = TEE_TPM, .ctx.now = NOW};
		uint8_t workload[WORKLOAD_LEN], las[WORKLOAD_LAS_LEN], bound[REPORT_DATA_LEN];
		struct tpm_quote_spec spec = {.extra = {report_data, 32}};
		struct tpm_maker m;
		struct tpm_made q;

		tpm_maker_init(&m, all[i].kind, all[i].p384);
		if (all[i].las) {
			put_las(&s, workload, las, bound);
			spec.extra.p = bound;
		}
		tpm_make_quote(&m, &spec, &q);
		assert_int_equal(key_hash(m.key, s.root.key_hash, NULL), 0);
		s.ctx.report_data = report_data;
		s.e.item[ITEM_STATEMENT] = bytes(&q.statement);
		s.e.item[ITEM_SIGNATURE] = bytes(&q.signature);
		s.e.item[ITEM_KEY] = bytes(&q.key);
		s.e.item[ITEM_VALUES] = bytes(&q.values);
		s.e.item[ITEM_EVENT_LOG] = bytes(&q.log);
		/* What events say beside their digests is not signed; a key without its parent's name is one of the forms. */
		s.loose = 1u << ITEM_EVENT_LOG;
		s.loose_cut = 1u << ITEM_EVENT_LOG | 1u << ITEM_KEY;
		change(&s);
		tpm_made_free(&q);
		tpm_maker_free(&m);
	}
}

static void sim_made(void **state)
{
	struct subject s = {.name = "sim, made", .e.tee = TEE_SIM, .ctx.now = NOW};
	static const uint8_t runtime[32] = {1}, root[32] = {2};
	EVP_PKEY *key = pki_key(KEY_ED25519);
	struct sim_evidence e;
	uint8_t platform[1][32];

	assert_int_equal(sim_evidence_make(key, runtime, root, report_data, NOW, 0, &e, NULL), 0);
	assert_int_equal(key_hash(key, platform[0], NULL), 0);
	s.ctx.sim_platforms = (const uint8_t(*)[32])platform;
	s.ctx.sim_platform_count = 1;
	s.ctx.report_data = report_data;
	s.e.item[ITEM_STATEMENT] = (struct bytes){(const uint8_t *)&e, sizeof(e)};
	change(&s);
	EVP_PKEY_free(key);
}

static void real_snp(void **state)
{
	struct subject s = {
		.name = "SEV-SNP report 2, Milan, AMD's", .e.tee = TEE_SNP, .ctx.now = SNP_REAL_NOW};
	struct buf report, der, chain, pem;
	X509 *leaf;

	vector_read("snp/report_v2.bin", &report);
	vector_read("snp/report_v2_vcek.der", &der);
	vector_read("snp/milan_ask_ark.pem", &chain);
	buf_init(&pem, 65536);
	assert_int_equal(x509_from_der(der.data, der.len, &leaf, NULL), 0);
	pki_pem(leaf, &pem);
	buf_put(&pem, chain.data, chain.len);
	s.ctx.allow_no_revocation = true;
	s.e.item[ITEM_STATEMENT] = bytes(&report);
	s.e.item[ITEM_CERTIFICATES] = bytes(&pem);
	s.loose = s.loose_cut = 1u << ITEM_CERTIFICATES; /* Base64 */
	change(&s);
	X509_free(leaf);
	buf_free(&report);
	buf_free(&der);
	buf_free(&chain);
	buf_free(&pem);
}

static void from_base64(const json_t *j, const char *key, struct buf *ret)
{
	const char *text = json_string_value(json_object_get(j, key));

	buf_init(ret, 65536);
	assert_non_null(text);
	assert_int_equal(base64_decode(text, strlen(text), ret), 0);
}

static void real_tpm(void **state)
{
	struct subject s = {
		.name = "TPM quote, a cloud's", .e.tee = TEE_TPM, .root.tee = TEE_TPM, .ctx.now = NOW};
	struct buf file, key, statement, signature, values;
	const unsigned char *at;
	json_t *j, *quote, *pcr;
	EVP_PKEY *k;
	size_t i;

	vector_read("tpm/quote.json", &file);
	assert_non_null(j = json_loadb((const char *)file.data, file.len, 0, NULL));
	quote = json_object_get(j, "tpm_quote");
	from_base64(j, "ak_public", &key);
	from_base64(quote, "message", &statement);
	from_base64(quote, "signature", &signature);
	buf_init(&values, 65536);
	json_array_foreach (json_object_get(quote, "pcrs"), i, pcr)
		assert_int_equal(hex_decode_buf(json_string_value(pcr), 64, &values), 0);
	at = key.data;
	assert_non_null(k = d2i_PUBKEY(NULL, &at, (long)key.len));
	assert_int_equal(key_hash(k, s.root.key_hash, NULL), 0);
	EVP_PKEY_free(k);
	s.e.item[ITEM_STATEMENT] = bytes(&statement);
	s.e.item[ITEM_SIGNATURE] = bytes(&signature);
	s.e.item[ITEM_KEY] = bytes(&key);
	s.e.item[ITEM_VALUES] = bytes(&values);
	change(&s);
	json_decref(j);
	buf_free(&file);
	buf_free(&key);
	buf_free(&statement);
	buf_free(&signature);
	buf_free(&values);
}

static void real_nitro(void **state)
{
	struct subject s = {.name = "Nitro document, AWS's", .e.tee = TEE_NITRO, .ctx.now = NITRO_REAL_NOW};
	struct buf file;
	const uint8_t *p;

	vector_read("nitro/document_offset4.bin", &file);
	p = file.data + 4;
	s.e.item[ITEM_STATEMENT] =
		(struct bytes){p, 1 + 5 + 1 + 3 + ((size_t)p[8] << 8 | p[9]) + 2 + NITRO_SIGNATURE_LEN};
	change(&s);
	buf_free(&file);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest made[] = {cmocka_unit_test(sim_made), cmocka_unit_test(tpm_made),
		cmocka_unit_test(nitro_made), cmocka_unit_test(snp_made), cmocka_unit_test(intel_made)};
	/* Intel's: test_intel_vectors */
	const struct CMUnitTest real[] = {
		cmocka_unit_test(real_snp), cmocka_unit_test(real_tpm), cmocka_unit_test(real_nitro)};
	int rc;

	full = argc > 1 && strcmp(argv[1], "full") == 0;
	if (argc > 2)
		cmocka_set_test_filter(argv[2]);
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (size_t i = 0; i < 32; i++) /* what fits into every TPM */
		report_data[i] = (uint8_t)(9 * i + 2);
	rc = cmocka_run_group_tests(made, NULL, NULL);
	return vectors_here() ? rc + cmocka_run_group_tests(real, NULL, NULL) : rc;
}
