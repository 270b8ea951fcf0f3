/* What a machine's evidence consists of: SEV-SNP reports and certificate tables, TPM quotes, keys and event logs, Nitro documents, answers of Intel's quoting service, and whole bundles. */
#include <stdlib.h>
#include <string.h>
#include "../lib/make_nitro.h"
#include "../lib/make_snp.h"
#include "../lib/make_tpm.h"
#include "crypto/key.h"
#include "evidence/check.h"
#include "evidence/eventlog.h"
#include "evidence/nitro_cbor.h"
#include "evidence/snp_cert.h"
#include "evidence/tpm_credential.h"
#include "evidence/tpm_key.h"
#include "evidence/type.h"
#include "evidence/workload.h"
#include "fuzz.h"
#include "tee/aesm.h"

#define NOW 1800000000ull

static struct snp_maker snp;
static struct nitro_maker nitro;
static struct tpm_maker tpm;
static struct trust_root roots[3];

static void check_refusal(const struct error *err)
{
	fuzz_check(err->code != ERR_NONE && err->text[0] != '\0');
	fuzz_check(err->code != ERR_ATTEST || err->check != NULL);
}

static bool inside(const uint8_t *p, size_t n, struct bytes b)
{
	return !b.p || (b.p >= p && b.n <= n && (size_t)(b.p - p) <= n - b.n);
}

static void run_snp_report(const uint8_t *p, size_t n)
{
	struct snp_report r;
	struct error err = {0};

	if (snp_report_decode(p, n, &r, &err) < 0) {
		check_refusal(&err);
		return;
	}
	fuzz_check(n == SNP_REPORT_LEN && (r.version == 2 || r.version == 3 || r.version == 5));
	fuzz_check((const uint8_t *)r.wire == p && r.version >= 3 ? r.product != SNP_PRODUCT_UNKNOWN : true);
}

static void run_snp_table(const uint8_t *p, size_t n)
{
	struct x509_chain c;
	struct error err = {0};
	struct bytes crl;

	if (snp_chain_parse((struct bytes){p, n}, &c, &crl, &err) < 0) {
		check_refusal(&err);
		return;
	}
	fuzz_check(c.count > 0 && c.count <= X509_CHAIN_MAX && inside(p, n, crl));
	for (size_t i = 0; i < c.count; i++) {
		struct snp_cert k;

		if (snp_cert_decode(c.cert[i], &k, NULL) == 0)
			fuzz_check(k.product != SNP_PRODUCT_UNKNOWN && k.hwid_len <= SNP_HWID_MAX);
	}
	x509_chain_free(&c);
}

static void run_nitro(const uint8_t *p, size_t n)
{
	struct nitro_document d;
	struct error err = {0};

	if (nitro_document_decode(p, n, &d, &err) < 0) {
		check_refusal(&err);
		return;
	}
	fuzz_check(inside(p, n, d.payload) && inside(p, n, d.module_id) && inside(p, n, d.certificate));
	fuzz_check(inside(p, n, d.user_data) && inside(p, n, d.nonce) && inside(p, n, d.public_key));
	fuzz_check(d.bundle_count > 0 && d.bundle_count <= NITRO_BUNDLE_MAX);
	for (unsigned int i = 0; i < NITRO_PCR_COUNT; i++)
		fuzz_check(!(d.pcr_mask & 1u << i) == !d.pcr[i].p &&
			   (!d.pcr[i].p || d.pcr[i].n == NITRO_PCR_LEN));
}

/* A walk that takes whatever comes must end. */
static void run_cbor(const uint8_t *p, size_t n)
{
	struct cbor c;
	size_t items = 0;

	cbor_init(&c, p, n);
	while (!c.failed && c.in.left > 0) {
		struct bytes b = {0};
		size_t before = c.in.left;

		switch (cbor_next(&c)) {
		case CBOR_UINT:
			(void)cbor_uint(&c);
			break;
		case CBOR_NEGATIVE:
			(void)cbor_negative(&c);
			break;
		case CBOR_BYTES:
			b = cbor_bytes(&c);
			break;
		case CBOR_TEXT:
			b = cbor_text(&c);
			break;
		case CBOR_ARRAY:
			(void)cbor_array(&c, n);
			break;
		case CBOR_MAP:
			(void)cbor_map(&c, n);
			break;
		case CBOR_NULL:
			cbor_null(&c);
			break;
		case CBOR_NONE:
			return;
		}
		fuzz_check(inside(p, n, b) && (c.failed || c.in.left < before));
		fuzz_check(++items <= n);
	}
}

static void run_quote(const uint8_t *p, size_t n)
{
	struct tpm_quote q;
	struct error err = {0};

	if (tpm_quote_decode(p, n, &q, &err) < 0) {
		check_refusal(&err);
		return;
	}
	fuzz_check(q.bank_count <= TPM_BANK_MAX && q.extra_data.n <= TPM_EXTRA_MAX &&
		   inside(p, n, q.pcr_digest));
	for (size_t i = 0; i < q.bank_count; i++)
		fuzz_check(tpm_digest_len(q.bank[i].alg) > 0 && !(q.bank[i].mask >> TPM_PCR_COUNT));
}

static void run_signature(const uint8_t *p, size_t n)
{
	struct tpm_signature s;
	struct error err = {0};

	if (tpm_signature_decode(p, n, &s, &err) < 0)
		check_refusal(&err);
	else if (tpm_signature_verify(tpm.key, &s, "x", 1, &err) < 0)
		check_refusal(&err);
}

static void run_public(const uint8_t *p, size_t n)
{
	struct tpm_public k;
	struct tpm_name name;
	struct error err = {0};
	EVP_PKEY *key;
	size_t used;
	uint8_t hash[32];

	if (tpm_enrol_check((struct bytes){p, n}, (struct bytes){p, n}, hash, &err) < 0)
		check_refusal(&err);
	if (tpm_public_decode(p, n, &k, &used, &err) < 0) {
		check_refusal(&err);
		return;
	}
	fuzz_check(used <= n && k.whole.n == used);
	tpm_public_name(&k, &name);
	fuzz_check(name.n > 2 && name.n <= TPM_NAME_MAX);
	if (tpm_public_key(&k, &key, &err) < 0)
		check_refusal(&err);
	else
		EVP_PKEY_free(key);
}

static void run_log(const uint8_t *p, size_t n)
{
	struct eventlog_replay r;
	struct error err = {0};

	if (eventlog_replay(p, n, &r, &err) < 0)
		check_refusal(&err);
	else
		fuzz_check(!(r.extended >> TPM_PCR_COUNT) && r.events <= n);
}

/* The call's number, then an answer of Intel's quoting service. */
static void run_aesm(const uint8_t *p, size_t n)
{
	struct error err = {0};
	struct aesm_answer a;

	if (n == 0)
		return;
	if (aesm_answer_decode(p + 1, n - 1, (enum aesm_call)p[0], &a, &err) < 0)
		check_refusal(&err);
	else
		fuzz_check(inside(p, n, a.value));
}

/* A bundle of any type: whatever comes is refused, or says what was signed. */
static void run_bundle(const uint8_t *p, size_t n)
{
	struct verify_context ctx = {
		.now = NOW, .roots = roots, .root_count = 3, .allow_no_revocation = true};
	struct error err = {0};
	struct evidence e;
	struct verdict v;
	json_t *j;

	if (evidence_parse(p, n, TEE_NONE, &e, &err) < 0) {
		check_refusal(&err);
		return;
	}
	if (evidence_show(&e, &j, NULL) == 0)
		json_decref(j);
	if (evidence_verify_parts(&e, &ctx, &v, &err) < 0) {
		check_refusal(&err);
		return;
	}
	j = verdict_json(&v);
	fuzz_check(j != NULL);
	json_decref(j);
}

static void wrap(enum tee_type tee, struct bytes statement, const struct buf *certificates,
	const struct tpm_made *q, struct buf *out)
{
	struct evidence e = {.tee = tee};

	e.item[ITEM_STATEMENT] = statement;
	if (certificates)
		e.item[ITEM_CERTIFICATES] = (struct bytes){certificates->data, certificates->len};
	if (q) {
		e.item[ITEM_SIGNATURE] = (struct bytes){q->signature.data, q->signature.len};
		e.item[ITEM_KEY] = (struct bytes){q->key.data, q->key.len};
		e.item[ITEM_EVENT_LOG] = (struct bytes){q->log.data, q->log.len};
		e.item[ITEM_VALUES] = (struct bytes){q->values.data, q->values.len};
	}
	buf_init(out, EVIDENCE_MAX);
	if (evidence_write(&e, out, NULL) < 0)
		abort();
}

static struct fuzz_seed seed_of(const struct buf *b)
{
	return (struct fuzz_seed){b->data, b->len};
}

static uint8_t las_seed[WORKLOAD_LEN + WORKLOAD_LAS_LEN];

/* Hardware that vouches for whatever it is asked about: what is left is LAS's word. */
static int vouch(
	const struct evidence *e, const struct verify_context *ctx, struct verdict *ret, struct error *err)
{
	*ret = (struct verdict){.tee = e->tee};
	memcpy(ret->report_data, ctx->report_data, sizeof(ret->report_data));
	return 0;
}

/* The workload's length, in one byte, then both items. No other word than the seed's is LAS's. */
static void run_las(const uint8_t *p, size_t n)
{
	const struct verify_context ctx = {.now = NOW};
	struct evidence e = {.tee = TEE_TPM};
	struct error err = {0};
	struct verdict v;
	size_t first = n ? p[0] : 0;

	if (n < 1 + first)
		return;
	e.item[ITEM_WORKLOAD] = (struct bytes){p + 1, first};
	e.item[ITEM_LAS] = (struct bytes){p + 1 + first, n - 1 - first};
	if (workload_verify(&e, vouch, &ctx, &v, &err) < 0) {
		check_refusal(&err);
		return;
	}
	fuzz_check(n == 1 + sizeof(las_seed) && first == WORKLOAD_LEN &&
		   memcmp(p + 1, las_seed, sizeof(las_seed)) == 0);
	fuzz_check(v.by_las && memcmp(v.las_key, p + 1 + WORKLOAD_LEN, 32) == 0);
}

static void make_las_seed(uint8_t ret[1 + sizeof(las_seed)])
{
	static const uint8_t nonce[PLATFORM_NONCE_LEN] = {7};
	EVP_PKEY *las = NULL;

	for (size_t i = 0; i < WORKLOAD_LEN; i++)
		las_seed[i] = (uint8_t)i;
	fuzz_check(key_generate(KEY_ED25519, &las, NULL) == 0 &&
		   workload_sign(las, nonce, las_seed, las_seed + WORKLOAD_LEN, NULL) == 0);
	EVP_PKEY_free(las);
	ret[0] = WORKLOAD_LEN;
	memcpy(ret + 1, las_seed, sizeof(las_seed));
}

int main(int argc, char **argv)
{
	uint8_t las[1 + sizeof(las_seed)];
	static const uint8_t report_data[64] = {1, 2, 3};
	static const char *const words[] = {
		"\xff\xff\xff\xff", "nonce", "user_data", "SHA384", "Spec ID Event03", NULL};
	struct snp_report_wire report;
	struct nitro_spec spec = {.timestamp = NOW * 1000, .indefinite = true};
	struct tpm_quote_spec quote = {.extra = {report_data, 32}};
	struct buf table, document, bundle[3];
	struct tpm_made made;

	snp_maker_init(&snp, SNP_MILAN, false);
	nitro_maker_init(&nitro);
	tpm_maker_init(&tpm, MAKE_ECDSA, false);
	roots[0].tee = TEE_SNP;
	pki_key_hash(snp.ark, roots[0].key_hash);
	roots[1].tee = TEE_NITRO;
	pki_key_hash(nitro.root, roots[1].key_hash);
	roots[2].tee = TEE_TPM;
	if (key_hash(tpm.key, roots[2].key_hash, NULL) < 0)
		abort();
	snp_make_report(&snp, 3, report_data, &report);
	buf_init(&table, 65536);
	snp_make_table(&snp, NULL, &table);
	buf_init(&document, 65536);
	nitro_make_document(&nitro, &spec, &document);
	tpm_make_quote(&tpm, &quote, &made);
	wrap(TEE_SNP, (struct bytes){(const uint8_t *)&report, sizeof(report)}, &table, NULL, &bundle[0]);
	wrap(TEE_NITRO, (struct bytes){document.data, document.len}, NULL, NULL, &bundle[1]);
	wrap(TEE_TPM, (struct bytes){made.statement.data, made.statement.len}, NULL, &made, &bundle[2]);

	const struct fuzz_seed reports[] = {{&report, sizeof(report)}}, tables[] = {seed_of(&table)};
	const struct fuzz_seed documents[] = {seed_of(&document)}, quotes[] = {seed_of(&made.statement)};
	const struct fuzz_seed signatures[] = {seed_of(&made.signature)}, keys[] = {seed_of(&made.key)};
	const struct fuzz_seed logs[] = {seed_of(&made.log)};
	const struct fuzz_seed bundles[] = {seed_of(&bundle[0]), seed_of(&bundle[1]), seed_of(&bundle[2])};
	/* GetQuoteEx: no error, a quote of four bytes; GetQuoteSizeEx: no error, 4600 */
	static const uint8_t quote_answer[] = {17, 0x8a, 0x01, 0x08, 0x08, 0x00, 0x12, 0x04, 1, 2, 3, 4},
			     size_answer[] = {16, 0x82, 0x01, 0x05, 0x08, 0x00, 0x10, 0xf8, 0x23};
	const struct fuzz_seed answers[] = {
		{quote_answer, sizeof(quote_answer)}, {size_answer, sizeof(size_answer)}};
	struct aesm_answer a;

	fuzz_check(
		aesm_answer_decode(quote_answer + 1, sizeof(quote_answer) - 1, AESM_QUOTE, &a, NULL) == 0 &&
		a.value.n == 4);
	fuzz_check(aesm_answer_decode(size_answer + 1, sizeof(size_answer) - 1, AESM_QUOTE_SIZE, &a, NULL) ==
			   0 &&
		   a.number == 4600);
	make_las_seed(las);
	const struct fuzz_seed words_of_las[] = {{las, sizeof(las)}};
	const struct fuzz_target targets[] = {
		{"las", run_las, words_of_las, 1, words},
		{"snp report", run_snp_report, reports, 1, words},
		{"snp certificate table", run_snp_table, tables, 1, words},
		{"nitro document", run_nitro, documents, 1, words},
		{"cbor", run_cbor, documents, 1, words},
		{"tpm quote", run_quote, quotes, 1, words},
		{"tpm signature", run_signature, signatures, 1, words},
		{"tpm key", run_public, keys, 1, words},
		{"event log", run_log, logs, 1, words},
		{"aesm answer", run_aesm, answers, 2, words},
		{"bundle", run_bundle, bundles, 3, words},
	};
	int rc = fuzz_main(argc, argv, targets, sizeof(targets) / sizeof(*targets), 1500);

	snp_maker_free(&snp);
	nitro_maker_free(&nitro);
	tpm_maker_free(&tpm);
	tpm_made_free(&made);
	buf_free(&table);
	buf_free(&document);
	for (size_t i = 0; i < 3; i++)
		buf_free(&bundle[i]);
	return rc;
}
