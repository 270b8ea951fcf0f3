/*
 * Verifications per second on one core, by type of evidence: `bench-evidence [SECONDS [--json]]`. Evidence and collateral are made here, under roots of our
 * own, in the makers' forms. Collateral is parsed once, as CAS does it; "carried" has it parsed anew each time. The last column is what the
 * signatures alone cost: ECDSA P-256 verifications of OpenSSL per second, divided by those that the evidence needs.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "../tests/lib/intel_maker.h"
#include "../tests/lib/make_nitro.h"
#include "../tests/lib/make_snp.h"
#include "../tests/lib/make_tpm.h"
#include "crypto/key.h"
#include "evidence/collateral.h"
#include "evidence/sim.h"
#include "evidence/type.h"

#define ROWS_MAX 32

struct row {
	const char *name;
	struct evidence e;
	struct verify_context ctx;
	struct trust_root root;
	int signatures; /* ECDSA with P-256 that nothing but the evidence itself has; 0: others */
};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Processor seconds, so that a busy machine says the same. */
static double rate(double seconds, void (*once)(const void *arg), const void *arg)
{
	double from, to;
	unsigned long n = 0;

	once(arg);
	from = now();
	do {
		for (int i = 0; i < 16; i++)
			once(arg);
		n += 16;
		to = now();
	} while (to - from < seconds);
	return (double)n / (to - from);
}

static void verify_once(const void *arg)
{
	const struct row *r = arg;
	struct verdict v;
	struct error err;

	if (evidence_verify_parts(&r->e, &r->ctx, &v, &err) == 0)
		return;
	fprintf(stderr, "%s: %s: %s\n", r->name, err.check ? err.check : "-", err.text);
	exit(1);
}

struct signature {
	EVP_PKEY *key;
	uint8_t data[432], value[64];
};

static void signature_once(const void *arg)
{
	const struct signature *s = arg;

	must(key_verify_rs(s->key, s->data, sizeof(s->data), s->value, s->value + 32, 32, NULL) == 0,
		"signature");
}

static void add_intel(struct row *to, const char *name, enum tee_type tee, unsigned int version, bool carried)
{
	struct intel_recipe r;
	struct intel_made m; /* kept to the end */
	struct collateral *c = collateral_new();
	struct error err;

	intel_recipe_init(&r, tee, version, version == 5);
	intel_make(&r, &m);
	*to = (struct row){.name = name, .root = {.tee = tee}, .signatures = 3};
	memcpy(to->root.key_hash, m.root, 32);
	must(c && evidence_parse(m.quote.data, m.quote.len, tee, &to->e, &err) == 0, "quote");
	if (carried) {
		to->e.item[ITEM_COLLATERAL] = (struct bytes){m.collateral.data, m.collateral.len};
		to->signatures = 9;
	} else {
		must(collateral_add(c, m.collateral.data, m.collateral.len, &err) == 0, "collateral");
	}
	to->ctx = (struct verify_context){.now = r.now, .roots = &to->root, .root_count = 1, .collateral = c};
}

static void add_sim(struct row *to)
{
	static struct sim_evidence made;
	const uint8_t digest[32] = {1}, root[32] = {2}, data[REPORT_DATA_LEN] = {3};
	EVP_PKEY *k = NULL;
	struct error err;

	must(key_generate(KEY_ED25519, &k, &err) == 0 &&
			sim_evidence_make(k, digest, root, data, 1800000000, 0, &made, &err) == 0,
		"sim evidence");
	EVP_PKEY_free(k);
	*to = (struct row){.name = "sim", .e = {.tee = TEE_SIM}, .ctx = {.now = 1800000000}};
	to->e.item[ITEM_STATEMENT] = (struct bytes){(const uint8_t *)&made, sizeof(made)};
}

static void set_root(struct row *to, enum tee_type tee, X509 *root)
{
	to->root.tee = tee;
	pki_key_hash(root, to->root.key_hash);
	to->ctx.roots = &to->root;
	to->ctx.root_count = 1;
}

static struct bytes bytes(const struct buf *b)
{
	return (struct bytes){b->data, b->len};
}

/* The report, its three certificates, the list of the root: all of it carried. */
static void add_snp(struct row *to)
{
	static struct snp_report_wire report;
	const uint8_t data[REPORT_DATA_LEN] = {3};
	struct snp_maker m;
	struct buf certificates, crl; /* kept to the end */

	snp_maker_init(&m, SNP_MILAN, false);
	snp_make_report(&m, 2, data, &report);
	buf_init(&crl, 65536);
	snp_make_crl(&m, 1799999000, 1800001000, NULL, 0, &crl);
	buf_init(&certificates, 65536);
	snp_make_table(&m, &crl, &certificates);
	*to = (struct row){.name = "SEV-SNP report", .e = {.tee = TEE_SNP}, .ctx = {.now = 1800000000}};
	to->e.item[ITEM_STATEMENT] = (struct bytes){(const uint8_t *)&report, sizeof(report)};
	to->e.item[ITEM_CERTIFICATES] = bytes(&certificates);
	set_root(to, TEE_SNP, m.ark);
	snp_maker_free(&m);
}

/* Quote, key, values of PCRs, event log. */
static void add_tpm(struct row *to)
{
	const struct tpm_quote_spec spec = {.type = 0};
	static struct tpm_made made;
	struct tpm_maker m;

	tpm_maker_init(&m, MAKE_ECDSA, false);
	tpm_make_quote(&m, &spec, &made);
	*to = (struct row){.name = "TPM 2.0 quote", .e = {.tee = TEE_TPM}, .ctx = {.now = 1800000000}};
	to->e.item[ITEM_STATEMENT] = bytes(&made.statement);
	to->e.item[ITEM_SIGNATURE] = bytes(&made.signature);
	to->e.item[ITEM_KEY] = bytes(&made.key);
	to->e.item[ITEM_VALUES] = bytes(&made.values);
	to->e.item[ITEM_EVENT_LOG] = bytes(&made.log);
	to->root.tee = TEE_TPM;
	must(key_hash(m.key, to->root.key_hash, NULL) == 0, "key hash");
	to->ctx.roots = &to->root;
	to->ctx.root_count = 1;
	tpm_maker_free(&m);
}

static void add_nitro(struct row *to)
{
	const struct nitro_spec spec = {.timestamp = 1799999000000};
	struct nitro_maker m;
	struct buf document; /* kept to the end */

	nitro_maker_init(&m);
	buf_init(&document, 65536);
	nitro_make_document(&m, &spec, &document);
	*to = (struct row){.name = "Nitro document", .e = {.tee = TEE_NITRO}, .ctx = {.now = 1800000000}};
	to->e.item[ITEM_STATEMENT] = bytes(&document);
	set_root(to, TEE_NITRO, m.root);
	nitro_maker_free(&m);
}

int main(int argc, char **argv)
{
	double seconds = argc > 1 ? strtod(argv[1], NULL) : 1, ecdsa;
	bool json = argc > 2 && strcmp(argv[2], "--json") == 0;
	static struct row rows[ROWS_MAX];
	struct signature s = {.key = EVP_EC_gen("P-256")};
	size_t n = 0;

	add_sim(&rows[n++]);
	add_snp(&rows[n++]);
	add_tpm(&rows[n++]);
	add_nitro(&rows[n++]);
	add_intel(&rows[n++], "SGX quote 3", TEE_SGX, 3, false);
	add_intel(&rows[n++], "TDX quote 4", TEE_TDX, 4, false);
	add_intel(&rows[n++], "TDX quote 5", TEE_TDX, 5, false);
	add_intel(&rows[n++], "SGX quote 3, carried", TEE_SGX, 3, true);
	add_intel(&rows[n++], "TDX quote 4, carried", TEE_TDX, 4, true);
	sign_raw(s.key, s.data, sizeof(s.data), s.value);
	ecdsa = rate(seconds, signature_once, &s);
	if (!json)
		printf("%-24s %16s %18s\n", "evidence", "per second", "signatures alone");
	for (size_t i = 0; i < n; i++) {
		double r = rate(seconds, verify_once, &rows[i]);
		double bound = rows[i].signatures ? ecdsa / rows[i].signatures : 0;

		if (json)
			printf("{\"evidence\": \"%s\", \"per_second\": %.0f, \"signatures_alone\": %.0f}\n",
				rows[i].name, r, bound);
		else if (bound > 0)
			printf("%-24s %16.0f %18.0f\n", rows[i].name, r, bound);
		else
			printf("%-24s %16.0f %18s\n", rows[i].name, r, "-");
	}
	EVP_PKEY_free(s.key);
	return 0;
}
