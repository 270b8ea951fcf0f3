/* What comes from the host with SGX and TDX evidence: quotes, PCK extensions, collateral in all its forms, bundles, and all of it together. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../lib/intel_maker.h"
#include "evidence/collateral.h"
#include "evidence/collateral_item.h"
#include "evidence/intel_json.h"
#include "evidence/intel_pck.h"
#include "evidence/type.h"
#include "fuzz.h"

static struct intel_recipe recipes[3];
static struct intel_made made[3];
static struct trust_root roots[6];
static struct collateral *collateral;

static bool inside(const uint8_t *p, size_t n, const void *at, size_t len)
{
	const uint8_t *a = at;

	return a >= p && a <= p + n && len <= (size_t)(p + n - a);
}

static void run_quote(const uint8_t *p, size_t n)
{
	struct intel_quote q;
	struct error err;

	for (int i = 0; i < 2; i++) {
		enum tee_type tee = i ? TEE_TDX : TEE_SGX;

		if (intel_quote_parse(p, n, tee, &q, &err) < 0) {
			fuzz_check(err.code == ERR_ATTEST && err.check);
			continue;
		}
		fuzz_check(intel_quote_is(p, n, tee) && q.tee == tee && q.len <= n && q.len + 70 >= n);
		fuzz_check(inside(p, n, q.signed_part.p, q.signed_part.n) && inside(p, n, q.signature, 64) &&
			   inside(p, n, q.attestation_key, 64) &&
			   inside(p, n, q.qe_report, sizeof(*q.qe_report)) &&
			   inside(p, n, q.qe_signature, 64) && inside(p, n, q.qe_auth.p, q.qe_auth.n) &&
			   inside(p, n, q.certification.p, q.certification.n));
		fuzz_check(!q.sgx == (tee == TEE_TDX) && !q.td == (tee == TEE_SGX));
		fuzz_check(tee == TEE_SGX || inside(p, n, q.td, q.td_15 ? sizeof(*q.td) : TD_REPORT_10_LEN));
	}
}

static void run_pck(const uint8_t *p, size_t n)
{
	struct intel_pck pck;
	struct error err;

	if (intel_pck_parse(p, n, &pck, &err) < 0)
		fuzz_check(err.code == ERR_ATTEST && strcmp(err.check, "pck-extension") == 0);
	else
		fuzz_check(pck.sgx_type <= 2);
}

/* What was taken can be written, and that is taken again. */
static void run_collateral(const uint8_t *p, size_t n)
{
	struct collateral *c = collateral_new(), *again = collateral_new();
	struct collateral_item item;
	struct error err;
	struct buf out;

	if (collateral_add(c, p, n, &err) < 0)
		fuzz_check(err.text[0] != '\0');
	for (size_t i = 0; i < collateral_items(c); i++) {
		collateral_item(c, i, &item);
		fuzz_check(strspn(item.name, "abcdefghijklmnopqrstuvwxyz0123456789-.") == strlen(item.name) &&
			   item.name[0] != '.');
		buf_init(&out, 4 * COLLATERAL_FILE_MAX);
		fuzz_check(collateral_item_write(c, i, &out, &err) == 0 &&
			   collateral_add(again, out.data, out.len, &err) == 0);
		buf_free(&out);
	}
	collateral_free(c);
	collateral_free(again);
}

static void run_json(const uint8_t *p, size_t n)
{
	static const char *const keys[] = {"tcbInfo", "a", ""};
	struct error err;
	struct bytes raw;
	json_t *j, *part;

	for (size_t i = 0; i < 3; i++)
		if (intel_json_raw(p, n, keys[i], &raw) == 0)
			fuzz_check(inside(p, n, raw.p, raw.n));
	if (intel_json_load(p, n, "input", &j, &err) < 0)
		return;
	/* What jansson finds and what the scanner finds are the same. */
	if (json_object_get(j, "tcbInfo") && intel_json_raw(p, n, "tcbInfo", &raw) == 0) {
		part = json_loadb((const char *)raw.p, raw.n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, NULL);
		fuzz_check(json_equal(part, json_object_get(j, "tcbInfo")));
		json_decref(part);
	}
	json_decref(j);
}

static void run_bundle(const uint8_t *p, size_t n)
{
	struct evidence e, back;
	struct error err;
	struct buf out;
	json_t *j;

	if (evidence_parse(p, n, TEE_NONE, &e, &err) < 0)
		return;
	fuzz_check(e.item[ITEM_STATEMENT].p != NULL);
	for (size_t i = 1; i < ITEM_END; i++)
		fuzz_check(!e.item[i].p || inside(p, n, e.item[i].p, e.item[i].n));
	buf_init(&out, 2 * EVIDENCE_MAX);
	fuzz_check(evidence_write(&e, &out, &err) == 0);
	/* an empty item is not written */
	if (e.item[ITEM_STATEMENT].n > 0)
		fuzz_check(evidence_parse(out.data, out.len, e.tee, &back, &err) == 0 && back.tee == e.tee);
	buf_free(&out);
	if (evidence_show(&e, &j, &err) == 0)
		json_decref(j);
}

/* Nothing that was changed is believed. */
static void run_verify(const uint8_t *p, size_t n)
{
	struct verify_context ctx = {
		.now = recipes[0].now, .roots = roots, .root_count = 6, .collateral = collateral};
	struct evidence e;
	struct verdict v;
	struct error err;
	bool genuine = false;

	if (evidence_parse(p, n, TEE_NONE, &e, &err) < 0 || (e.tee != TEE_SGX && e.tee != TEE_TDX))
		return;
	if (evidence_verify_parts(&e, &ctx, &v, &err) < 0) {
		fuzz_check(err.code == ERR_ATTEST && err.check);
		return;
	}
	for (size_t i = 0; i < 3; i++) {
		struct intel_quote was, is;

		if (intel_quote_parse(made[i].quote.data, made[i].quote.len, recipes[i].tee, &was, &err) ==
				0 &&
			intel_quote_parse(e.item[ITEM_STATEMENT].p, e.item[ITEM_STATEMENT].n, recipes[i].tee,
				&is, &err) == 0)
			genuine |= was.signed_part.n == is.signed_part.n &&
				   memcmp(was.signed_part.p, is.signed_part.p, is.signed_part.n) == 0;
	}
	fuzz_check(genuine);
}

static void make_all(void)
{
	struct error err;

	intel_recipe_init(&recipes[0], TEE_SGX, 3, false);
	intel_recipe_init(&recipes[1], TEE_TDX, 4, false);
	intel_recipe_init(&recipes[2], TEE_TDX, 5, true);
	collateral = collateral_new();
	for (size_t i = 0; i < 3; i++) {
		intel_make(&recipes[i], &made[i]);
		roots[i].tee = TEE_SGX;
		roots[i + 3].tee = TEE_TDX;
		memcpy(roots[i].key_hash, made[i].root, 32);
		memcpy(roots[i + 3].key_hash, made[i].root, 32);
		must(collateral_add(collateral, made[i].collateral.data, made[i].collateral.len, &err) == 0,
			"collateral");
	}
}

static void put_response(struct buf *b)
{
	buf_puts(b, "HTTP/1.1 200 OK\r\nTCB-Info-Issuer-Chain: ");
	for (size_t i = 0; i < made[0].chain.len; i++) {
		uint8_t c = made[0].chain.data[i];

		if (c == '\n' || c == ' ')
			buf_printf(b, "%%%02X", c);
		else
			buf_put_u8(b, c);
	}
	buf_puts(b, "\r\n\r\n{\"tcbInfo\":{\"id\":\"SGX\",\"version\":3,\"a\":[1,{\"b\":\"}\\\"\"}]},"
		    "\"signature\":\"00\"}");
}

int main(int argc, char **argv)
{
	static const char *const words[] = {"\x03", "\x04", "\x05", "\x81", "\x06", "\xff\xff\xff\xff",
		"-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----\n", "\"tcbLevels\":[",
		"\"svn\":", "{\"id\":\"TDX\"", "HTTP/", "%0A", "3082", "\"advisoryIDs\":[\"A\"]", "null",
		"[[[[[[[[[[[[[[[[", "{\"a\":", NULL};
	struct buf extension, response, bundle, crl;
	struct evidence e;
	struct error err;

	make_all();
	buf_init(&extension, 65536);
	buf_init(&response, 65536);
	buf_init(&bundle, 65536);
	buf_init(&crl, 65536);
	pck_extension(&recipes[0].pck, &extension);
	put_response(&response);
	must(evidence_parse(made[0].quote.data, made[0].quote.len, TEE_SGX, &e, &err) == 0, "quote");
	e.item[ITEM_COLLATERAL] = (struct bytes){made[0].collateral.data, made[0].collateral.len};
	must(evidence_write(&e, &bundle, &err) == 0, "bundle");
	struct made_cert issuer = cert_make(&recipes[0].cert[CERT_ROOT], NULL, NULL);
	crl_make(&recipes[0].root_crl, &issuer, &crl);
	cert_free(&issuer);

	const struct fuzz_seed quotes[] = {{made[0].quote.data, made[0].quote.len},
		{made[1].quote.data, made[1].quote.len}, {made[2].quote.data, made[2].quote.len}};
	const struct fuzz_seed extensions[] = {{extension.data, extension.len}};
	const struct fuzz_seed documents[] = {{made[0].collateral.data, made[0].collateral.len},
		{made[1].collateral.data, made[1].collateral.len}, {made[0].chain.data, made[0].chain.len},
		{response.data, response.len}, {crl.data, crl.len}};
	const struct fuzz_seed texts[] = {
		FUZZ_SEED("{\"tcbInfo\":{\"a\":[1,{\"b\":\"}\\\"\"}]},\"signature\":\"00\"}"),
		FUZZ_SEED(" { \"a\" : -1.5e3 , \"tcbInfo\" : true, \"\" : [] }")};
	const struct fuzz_seed bundles[] = {
		{bundle.data, bundle.len}, {made[2].quote.data, made[2].quote.len}};
	const struct fuzz_target small[] = {
		{"quote", run_quote, quotes, 3, words},
		{"PCK extension", run_pck, extensions, 1, words},
		{"JSON", run_json, texts, 2, words},
		{"bundle", run_bundle, bundles, 2, words},
	};
	const struct fuzz_target large[] = {
		{"collateral", run_collateral, documents, 5, words},
		{"evidence", run_verify, quotes, 3, words},
		{"evidence with collateral", run_verify, bundles, 2, words},
	};
	int rc = fuzz_main(argc, argv, small, 4, 50000);

	if (rc == 0)
		rc = fuzz_main(argc, argv, large, 3, 10000);
	for (size_t i = 0; i < 3; i++)
		intel_made_free(&made[i]);
	collateral_free(collateral);
	buf_free(&extension);
	buf_free(&response);
	buf_free(&bundle);
	buf_free(&crl);
	return rc;
}
