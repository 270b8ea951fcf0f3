#include "intel_maker.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "core/encode.h"
#include "crypto/hash.h"
#include "crypto/x509.h"

#define DAY 86400ull
#define ROOM 65536

static const uint8_t vendor[16] = {
	0x93, 0x9a, 0x72, 0x33, 0xf7, 0x9c, 0x4c, 0xa9, 0x94, 0x0a, 0x0d, 0xb3, 0x95, 0x7f, 0x06, 0x07};

static struct level_recipe level(uint8_t svn, const char *status, const char *advisories)
{
	struct level_recipe l = {
		.svn = svn, .status = status, .advisories = advisories, .date = "2025-05-14T00:00:00Z"};

	memset(l.sgx, svn, 4);
	l.tdx[0] = svn;
	l.tdx[2] = svn;
	return l;
}

static void init_certs(struct intel_recipe *r)
{
	static const char *const names[CERT_COUNT] = {"Intel SGX Root CA", "Intel SGX PCK Platform CA",
		"Intel SGX PCK Certificate", "Intel SGX TCB Signing"};

	for (uint32_t i = 0; i < CERT_COUNT; i++)
		r->cert[i] = (struct cert_recipe){.name = names[i],
			.ca = i <= CERT_CA,
			.from = r->now - 100 * DAY,
			.to = r->now + 1000 * DAY,
			.serial = 1000 + i};
	r->order[0] = CERT_PCK;
	r->order[1] = CERT_CA;
	r->order[2] = CERT_ROOT;
	r->order_count = 3;
	r->tcb_order[0] = CERT_TCB;
	r->tcb_order[1] = CERT_ROOT;
	r->tcb_order_count = 2;
	r->root_crl = r->pck_crl =
		(struct crl_recipe){.from = r->now - DAY, .to = r->now + 29 * DAY, .revoked = {7, 8}};
}

static void init_documents(struct intel_recipe *r)
{
	struct document_recipe d = {.issued = r->now - DAY, .next = r->now + 29 * DAY, .number = 17};

	d.levels.count = 3;
	d.levels.level[0] = level(5, "UpToDate", NULL);
	d.levels.level[1] = level(4, "OutOfDate", "\"INTEL-SA-00002\"");
	d.levels.level[2] = level(2, "OutOfDate", "\"INTEL-SA-00002\",\"INTEL-SA-00001\"");
	r->info = r->identity = d;
	r->module = d.levels;
	r->info.id = r->tee == TEE_TDX ? "TDX" : "SGX";
	r->info.version = 3;
	r->identity.id = r->tee == TEE_TDX ? "TD_QE" : "QE";
	r->identity.version = 2;
	memcpy(r->info_fmspc, r->pck.fmspc, 6);
	memset(r->module_mask, 0xff, 8);
	memset(r->id_signer, 0x51, 32);
	r->id_attributes[0] = 0x11;
	r->id_product = 2;
}

static void init_bodies(struct intel_recipe *r)
{
	memset(r->qe.mr_signer, 0x51, 32);
	memset(r->qe.mr_enclave, 0x52, 32);
	r->qe.attributes[0] = 0x15;
	r->qe.isv_prod_id[0] = 2;
	r->qe.isv_svn[0] = 5;
	memset(r->enclave.mr_enclave, 0x11, 32);
	memset(r->enclave.mr_signer, 0x22, 32);
	r->enclave.attributes[0] = 0x05;
	r->enclave.isv_prod_id[0] = 3;
	r->enclave.isv_svn[0] = 4;
	memset(r->enclave.report_data, 0x33, 64);
	r->td.tee_tcb_svn[0] = 5;
	r->td.tee_tcb_svn[1] = 1;
	r->td.tee_tcb_svn[2] = 5;
	r->td.td_attributes[3] = 0x10;
	memset(r->td.mr_td, 0x44, 48);
	for (int i = 0; i < 4; i++)
		memset(r->td.rtmr[i], 0x60 + i, 48);
	memset(r->td.report_data, 0x33, 64);
	r->td.tee_tcb_svn2[0] = 6;
	memset(r->td.mr_service_td, 0x77, 48);
	r->certification = 5;
}

void intel_recipe_init(struct intel_recipe *r, enum tee_type tee, unsigned int version, bool td_15)
{
	static const uint8_t fmspc[6] = {0x00, 0x90, 0x6e, 0xd5, 0x00, 0x00};

	memset(r, 0, sizeof(*r));
	r->tee = tee;
	r->version = version;
	r->td_15 = td_15;
	r->now = 1750000000;
	memcpy(r->pck.fmspc, fmspc, 6);
	memset(r->pck.components, 5, 16);
	r->pck.pce_svn = 300; /* two bytes */
	r->pck.sgx_type = 1;
	init_certs(r);
	init_documents(r);
	init_bodies(r);
}

void intel_recipe_at(struct intel_recipe *r, uint64_t now)
{
	r->now = now;
	init_certs(r);
	init_documents(r);
}

static void put_time(struct buf *b, const char *key, uint64_t t)
{
	time_t at = (time_t)t;
	struct tm tm;
	char text[32];

	gmtime_r(&at, &tm);
	must(strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm) > 0, "date");
	buf_printf(b, "\"%s\":\"%s\",", key, text);
}

static void put_hex(struct buf *b, const char *key, const void *p, size_t n)
{
	char text[256];

	hex_encode(p, n, text);
	buf_printf(b, "\"%s\":\"%s\",", key, text);
}

static void put_components(struct buf *b, const char *key, const uint8_t svn[16])
{
	buf_printf(b, "\"%s\":[", key);
	for (int i = 0; i < 16; i++)
		buf_printf(b, "%s{\"svn\":%u}", i ? "," : "", svn[i]);
	buf_puts(b, "],");
}

static void put_levels(struct buf *b, const struct levels_recipe *l, bool platform, bool tdx)
{
	buf_puts(b, "\"tcbLevels\":[");
	for (size_t i = 0; i < l->count; i++) {
		const struct level_recipe *one = &l->level[i];

		buf_printf(b, "%s{\"tcb\":{", i ? "," : "");
		if (platform)
			put_components(b, "sgxtcbcomponents", one->sgx);
		if (platform && tdx)
			put_components(b, "tdxtcbcomponents", one->tdx);
		buf_printf(b, "\"%s\":%u},\"tcbDate\":\"%s\",\"tcbStatus\":\"%s\"",
			platform ? "pcesvn" : "isvsvn", one->svn, one->date, one->status);
		if (one->advisories)
			buf_printf(b, ",\"advisoryIDs\":[%s]", one->advisories);
		buf_puts(b, "}");
	}
	buf_puts(b, "]");
}

static void put_head(struct buf *b, const struct document_recipe *d)
{
	buf_printf(b, "{\"id\":\"%s\",\"version\":%u,", d->id, d->version);
	put_time(b, "issueDate", d->issued);
	put_time(b, "nextUpdate", d->next);
	buf_printf(b, "\"tcbEvaluationDataNumber\":%u,", d->number);
}

static void put_module(const struct intel_recipe *r, struct buf *b)
{
	put_hex(b, "mrsigner", r->module_signer, 48);
	put_hex(b, "attributes", r->module_attributes, 8);
	put_hex(b, "attributesMask", r->module_mask, 8);
}

static void info_text(const struct intel_recipe *r, struct buf *b)
{
	put_head(b, &r->info);
	put_hex(b, "fmspc", r->info_fmspc, 6);
	put_hex(b, "pceId", r->info_pce_id, 2);
	buf_puts(b, "\"tcbType\":0,");
	if (r->tee == TEE_TDX) {
		buf_puts(b, "\"tdxModule\":{");
		put_module(r, b);
		buf_puts(b, "\"end\":0},\"tdxModuleIdentities\":[{\"id\":\"TDX_01\",");
		put_module(r, b);
		put_levels(b, &r->module, false, false);
		buf_puts(b, "}],");
	}
	put_levels(b, &r->info.levels, true, r->tee == TEE_TDX);
	buf_puts(b, "}");
}

static void identity_text(const struct intel_recipe *r, struct buf *b)
{
	static const uint8_t mask[16] = {0xfb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

	put_head(b, &r->identity);
	put_hex(b, "miscselect", "\0\0\0\0", 4);
	put_hex(b, "miscselectMask", "\xff\xff\xff\xff", 4);
	put_hex(b, "attributes", r->id_attributes, 16);
	put_hex(b, "attributesMask", mask, 16);
	put_hex(b, "mrsigner", r->id_signer, 32);
	buf_printf(b, "\"isvprodid\":%u,", r->id_product);
	put_levels(b, &r->identity.levels, false, false);
	buf_puts(b, "}");
}

/* Member `key` with the document's text, and its signature. */
static void add_document(const struct intel_recipe *r, const struct document_recipe *d, const char *key,
	void (*text)(const struct intel_recipe *r, struct buf *b), EVP_PKEY *signer, json_t *into)
{
	EVP_PKEY *wrong = d->forged ? EVP_EC_gen("P-256") : NULL;
	char name[64], hex[129];
	uint8_t signature[64];
	struct buf b;

	if (d->absent)
		return;
	buf_init(&b, ROOM);
	if (d->text)
		buf_puts(&b, d->text);
	else
		text(r, &b);
	must(!b.failed, "document");
	sign_raw(wrong ? wrong : signer, b.data, b.len, signature);
	EVP_PKEY_free(wrong);
	hex_encode(signature, 64, hex);
	must(snprintf(name, sizeof(name), "%s_signature", key) > 0, "name");
	must(json_object_set_new(into, key, json_stringn((char *)b.data, b.len)) == 0 &&
			json_object_set_new(into, name, json_string(hex)) == 0,
		"JSON");
	buf_free(&b);
}

static void add_text(json_t *into, const char *key, const struct buf *b, bool hex)
{
	char *text = malloc(2 * b->len + 1);

	must(text != NULL, "memory");
	if (hex)
		hex_encode(b->data, b->len, text);
	must(json_object_set_new(
		     into, key, hex ? json_string(text) : json_stringn((char *)b->data, b->len)) == 0,
		"JSON");
	free(text);
}

static void add_crl(const struct crl_recipe *r, const struct made_cert *issuer, const char *key, json_t *into)
{
	struct buf der;

	if (r->absent)
		return;
	buf_init(&der, ROOM);
	crl_make(r, issuer, &der);
	add_text(into, key, &der, true);
	buf_free(&der);
}

static void chain_pem(const struct made_cert *certs, const enum maker_cert *order, size_t n, struct buf *out)
{
	for (size_t i = 0; i < n; i++)
		cert_pem(&certs[order[i]], out);
}

static void make_collateral(const struct intel_recipe *r, const struct made_cert *certs, struct buf *out)
{
	static const enum maker_cert ca_order[] = {CERT_CA, CERT_ROOT};
	json_t *j = json_object();
	struct buf pem;
	char *text;

	add_document(r, &r->info, "tcb_info", info_text, certs[CERT_TCB].key, j);
	add_document(r, &r->identity, "qe_identity", identity_text, certs[CERT_TCB].key, j);
	add_crl(&r->root_crl, &certs[CERT_ROOT], "root_ca_crl", j);
	add_crl(&r->pck_crl, &certs[CERT_CA], "pck_crl", j);
	buf_init(&pem, ROOM);
	chain_pem(certs, r->tcb_order, r->tcb_order_count, &pem);
	add_text(j, "tcb_info_issuer_chain", &pem, false);
	add_text(j, "qe_identity_issuer_chain", &pem, false);
	buf_reset(&pem);
	chain_pem(certs, ca_order, 2, &pem);
	add_text(j, "pck_crl_issuer_chain", &pem, false);
	buf_free(&pem);
	text = json_dumps(j, JSON_COMPACT);
	must(text != NULL, "JSON");
	buf_puts(out, text);
	free(text);
	json_decref(j);
}

static void put_u16(struct buf *b, unsigned int v)
{
	buf_put_u8(b, (uint8_t)v);
	buf_put_u8(b, (uint8_t)(v >> 8));
}

static void put_u32(struct buf *b, size_t v)
{
	put_u16(b, (unsigned int)(v & 0xffff));
	put_u16(b, (unsigned int)(v >> 16));
}

/* Header and body: what the attestation key signs. */
static void put_signed(const struct intel_recipe *r, struct buf *b)
{
	struct intel_quote_header h = {.version = {(uint8_t)r->version}, .key_type = {2}};
	size_t td_len = r->td_15 ? sizeof(r->td) : TD_REPORT_10_LEN;

	memcpy(h.vendor, vendor, sizeof(vendor));
	if (r->tee == TEE_TDX)
		h.tee_type[0] = 0x81;
	buf_put(b, &h, sizeof(h));
	if (r->version == 5) {
		put_u16(b, r->tee == TEE_SGX ? 1 : r->td_15 ? 3 : 2);
		put_u32(b, r->tee == TEE_SGX ? sizeof(r->enclave) : td_len);
	}
	if (r->tee == TEE_SGX)
		buf_put(b, &r->enclave, sizeof(r->enclave));
	else
		buf_put(b, &r->td, td_len);
}

static void put_signature(struct buf *b, EVP_PKEY *k, bool forged, const void *p, size_t n)
{
	EVP_PKEY *wrong = forged ? EVP_EC_gen("P-256") : NULL;
	uint8_t signature[64];

	sign_raw(wrong ? wrong : k, p, n, signature);
	buf_put(b, signature, sizeof(signature));
	EVP_PKEY_free(wrong);
}

/* QE report to certification data. */
static void put_qe(const struct intel_recipe *r, const uint8_t key[64], EVP_PKEY *pck,
	const struct buf *chain, struct buf *b)
{
	static const uint8_t auth[32] = "authentication data of the QE  ";
	struct sgx_report qe = r->qe;
	uint8_t both[64 + sizeof(auth)];

	memcpy(both, key, 64);
	memcpy(both + 64, auth, sizeof(auth));
	if (r->unbound)
		both[0] ^= 1;
	sha256(both, sizeof(both), qe.report_data);
	buf_put(b, &qe, sizeof(qe));
	put_signature(b, pck, r->qe_forged, &qe, sizeof(qe));
	put_u16(b, sizeof(auth));
	buf_put(b, auth, sizeof(auth));
	put_u16(b, r->certification);
	put_u32(b, chain->len + 1);
	buf_put(b, chain->data, chain->len);
	buf_put_u8(b, 0);
}

static void make_quote(const struct intel_recipe *r, EVP_PKEY *pck, const struct buf *chain, struct buf *out)
{
	EVP_PKEY *k = EVP_EC_gen("P-256");
	struct buf data, qe;
	uint8_t key[64];

	must(k != NULL, "key");
	public_raw(k, key);
	put_signed(r, out);
	buf_init(&data, ROOM);
	buf_init(&qe, ROOM);
	put_signature(&data, k, r->body_forged, out->data, out->len);
	buf_put(&data, key, sizeof(key));
	put_qe(r, key, pck, chain, &qe);
	if (r->version != 3) {
		put_u16(&data, 6);
		put_u32(&data, qe.len);
	}
	buf_put(&data, qe.data, qe.len);
	put_u32(out, data.len);
	buf_put(out, data.data, data.len);
	for (int i = 0; r->padded && i < 70; i++)
		buf_put_u8(out, 0);
	must(!out->failed && !data.failed && !qe.failed, "quote");
	buf_free(&data);
	buf_free(&qe);
	EVP_PKEY_free(k);
}

void intel_make(const struct intel_recipe *r, struct intel_made *ret)
{
	struct made_cert certs[CERT_COUNT];
	struct buf extension;

	buf_init(&extension, ROOM);
	pck_extension(&r->pck, &extension);
	certs[CERT_ROOT] = cert_make(&r->cert[CERT_ROOT], NULL, NULL);
	certs[CERT_CA] = cert_make(&r->cert[CERT_CA], &certs[CERT_ROOT], NULL);
	certs[CERT_TCB] = cert_make(&r->cert[CERT_TCB], &certs[CERT_ROOT], NULL);
	certs[CERT_PCK] =
		cert_make(&r->cert[CERT_PCK], &certs[CERT_CA], r->no_pck_extension ? NULL : &extension);
	buf_free(&extension);
	buf_init(&ret->quote, ROOM);
	buf_init(&ret->collateral, ROOM);
	buf_init(&ret->chain, ROOM);
	buf_init(&ret->root_pem, ROOM);
	cert_pem(&certs[CERT_ROOT], &ret->root_pem);
	chain_pem(certs, r->order, r->order_count, &ret->chain);
	make_collateral(r, certs, &ret->collateral);
	make_quote(r, certs[CERT_PCK].key, &ret->chain, &ret->quote);
	must(x509_key_hash(certs[CERT_ROOT].cert, ret->root, NULL) == 0, "hash of the root's key");
	for (int i = 0; i < CERT_COUNT; i++)
		cert_free(&certs[i]);
}

void intel_made_free(struct intel_made *m)
{
	buf_free(&m->quote);
	buf_free(&m->collateral);
	buf_free(&m->chain);
	buf_free(&m->root_pem);
}
