#include "evidence/snp.h"

#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>
#include "crypto/key.h"
#include "crypto/x509.h"
#include "evidence/chain.h"
#include "evidence/check.h"
#include "evidence/snp_cert.h"
#include "evidence/snp_report.h"
#include "evidence/type.h"

#define WHAT "SEV-SNP chain"
#define P384_LEN 48

/* SHA-256 over the SubjectPublicKeyInfo of AMD's root keys, ARK-Milan, ARK-Genoa, ARK-Turin. Source: the certificates that AMD's key server gives,
 * https://kdsintf.amd.com/vcek/v1/{Milan,Genoa,Turin}/cert_chain */
static const uint8_t amd_roots[][32] = {
	{0x9f, 0x05, 0x6b, 0xee, 0x44, 0x37, 0x7e, 0x29, 0x30, 0x8c, 0xb5, 0xff, 0xa8, 0x95, 0xbd, 0xfb, 0x62,
		0xd1, 0x88, 0x81, 0xfa, 0x6b, 0xed, 0x8d, 0x6f, 0x07, 0x5b, 0x02, 0x04, 0x08, 0x9c, 0xb9},
	{0x42, 0x9a, 0x69, 0xc9, 0x42, 0x2a, 0xa2, 0x58, 0xee, 0x4d, 0x8d, 0xb5, 0xfc, 0xda, 0x9c, 0x64, 0x70,
		0xef, 0x15, 0xf8, 0xcd, 0x5a, 0x9c, 0xeb, 0xd6, 0xcb, 0xc7, 0xd9, 0x0b, 0x86, 0x38, 0x31},
	{0x4f, 0x12, 0x54, 0x10, 0x56, 0x3a, 0x2a, 0xb9, 0xa5, 0x03, 0x56, 0xf9, 0x24, 0x3f, 0x6f, 0xe0, 0xb6,
		0xf7, 0x3d, 0xe9, 0x86, 0x03, 0xf5, 0x3f, 0x90, 0x33, 0x9c, 0x70, 0xe9, 0xd7, 0xad, 0x08},
};
#define AMD_ROOT_COUNT (sizeof(amd_roots) / sizeof(*amd_roots))

bool snp_is(const uint8_t *p, size_t n)
{
	return snp_report_is(p, n);
}

/* Little endian with zeros above to big endian; false if there is more than zeros above. */
static bool component(const uint8_t wire[SNP_COMPONENT_LEN], uint8_t ret[P384_LEN])
{
	uint8_t above = 0;

	for (size_t i = P384_LEN; i < SNP_COMPONENT_LEN; i++)
		above |= wire[i];
	for (size_t i = 0; i < P384_LEN; i++)
		ret[i] = wire[P384_LEN - 1 - i];
	return above == 0;
}

static int check_signature(const struct snp_report *r, X509 *leaf, struct error *err)
{
	uint8_t rs[2][P384_LEN];

	if (!component(r->wire->signature_r, rs[0]) || !component(r->wire->signature_s, rs[1]))
		return evidence_refuse(err, CHECK_FORMAT,
			"SEV-SNP report: r or s of the signature has more than %d bytes, wanted zeros above",
			P384_LEN);
	if (key_verify_rs(X509_get0_pubkey(leaf), r->wire, SNP_SIGNED_LEN, rs[0], rs[1], P384_LEN, NULL) < 0)
		return evidence_refuse(err, CHECK_SIGNATURE,
			"SEV-SNP report: its signature is not one of the certificate's key over these %d "
			"bytes",
			SNP_SIGNED_LEN);
	return 0;
}

/* Who signed: by the report, a chip's key, a provider's, or nobody. */
static int check_key_kind(const struct snp_report *r, const struct snp_cert *k, struct error *err)
{
	static const char *const names[8] = {
		"VCEK", "VLEK", "reserved", "reserved", "reserved", "reserved", "reserved", "none"};

	if (r->chip_key_masked && r->signing_key == SNP_KEY_VCEK)
		return evidence_refuse(err, CHECK_SIGNING_KEY,
			"SEV-SNP report: the platform masks its chip key, wanted a signed report");
	if ((unsigned int)r->signing_key != (k->vlek ? SNP_KEY_VLEK : SNP_KEY_VCEK))
		return evidence_refuse(err, CHECK_SIGNING_KEY,
			"SEV-SNP report: signing key is %u (%s), wanted %s as the certificate has it",
			r->signing_key, names[r->signing_key & 7], k->vlek ? "VLEK" : "VCEK");
	return 0;
}

static int check_product(const struct snp_report *r, const struct snp_cert *k, struct error *err)
{
	if (r->version < 3 || r->product == k->product)
		return 0;
	return evidence_refuse(err, CHECK_PRODUCT,
		"SEV-SNP report: product is %s by its processor (family 0x%02x model 0x%02x), wanted %s as "
		"the "
		"certificate has it",
		snp_product_name(r->product), r->cpuid[0], r->cpuid[1], snp_product_name(k->product));
}

/* AMD's certificates say by name what they are: SEV-Milan issues VCEKs, SEV-VLEK-Milan VLEKs, ARK-Milan is the root. */
static int check_names(const struct x509_chain *c, const struct snp_cert *k, struct error *err)
{
	char seen[80], wanted[3][32];

	snprintf(wanted[0], sizeof(wanted[0]), "SEV-%s", k->vlek ? "VLEK" : "VCEK");
	snprintf(wanted[1], sizeof(wanted[1]), "SEV-%s%s", k->vlek ? "VLEK-" : "",
		snp_product_name(k->product));
	snprintf(wanted[2], sizeof(wanted[2]), "ARK-%s", snp_product_name(k->product));
	if (c->count != 3)
		return evidence_refuse(err, CHECK_CHAIN_ROLE,
			WHAT ": it has %zu certificates, wanted 3: %s, %s, %s", c->count, wanted[0],
			wanted[1], wanted[2]);
	for (size_t i = 0; i < c->count; i++) {
		x509_common_name(c->cert[i], seen, sizeof(seen));
		if (strcmp(seen, wanted[i]) != 0)
			return evidence_refuse(err, CHECK_CHAIN_ROLE,
				WHAT ": certificate %zu is '%s', wanted '%s'", i, seen, wanted[i]);
	}
	return 0;
}

static int check_algorithms(const struct x509_chain *c, struct error *err)
{
	for (size_t i = 0; i < c->count; i++) {
		int md = NID_undef, pk = NID_undef;

		if (X509_get_signature_info(c->cert[i], &md, &pk, NULL, NULL) == 1 && md == NID_sha384 &&
			pk == NID_rsassaPss)
			continue;
		return evidence_refuse(err, CHECK_ALGORITHM,
			WHAT ": certificate %zu is signed with %s and %s, wanted RSASSA-PSS and SHA-384", i,
			OBJ_nid2sn(pk), OBJ_nid2sn(md));
	}
	return 0;
}

static int check_chip(const struct snp_report *r, const struct snp_cert *k, struct error *err)
{
	static const uint8_t zeros[SNP_HWID_MAX];

	if (k->vlek)
		return 0;
	if (memcmp(r->wire->chip_id, zeros, sizeof(zeros)) == 0)
		return evidence_refuse(err, CHECK_CHIP_ID,
			"SEV-SNP report: the platform masks its chip id, wanted it: the certificate is for "
			"one chip");
	if (memcmp(r->wire->chip_id, k->hwid, k->hwid_len) != 0)
		return evidence_refuse_bytes(err, CHECK_CHIP_ID, "SEV-SNP report: chip id", r->wire->chip_id,
			k->hwid, k->hwid_len);
	if (memcmp(r->wire->chip_id + k->hwid_len, zeros, sizeof(zeros) - k->hwid_len) != 0)
		return evidence_refuse(err, CHECK_CHIP_ID,
			"SEV-SNP report: chip id goes on after %zu bytes, wanted zeros there", k->hwid_len);
	return 0;
}

/* Each part of `low` must be at most that of `high`. */
static int check_order(const struct snp_tcb *low, const char *low_name, const struct snp_tcb *high,
	const char *high_name, struct error *err)
{
	for (size_t i = 0; i < SNP_TCB_PARTS; i++)
		if (snp_tcb_part(low, i) > snp_tcb_part(high, i))
			return evidence_refuse(err, CHECK_TCB_MATCH,
				"SEV-SNP report: %s is at version %u in its %s TCB, wanted at most the %u of "
				"its %s TCB",
				snp_tcb_part_name(i), snp_tcb_part(low, i), low_name, snp_tcb_part(high, i),
				high_name);
	return 0;
}

static int check_tcb(const struct snp_report *r, const struct snp_cert *k, struct error *err)
{
	struct snp_tcb reported = snp_tcb_decode(r->reported_tcb, k->product);
	struct snp_tcb committed = snp_tcb_decode(r->committed_tcb, k->product);
	struct snp_tcb current = snp_tcb_decode(r->current_tcb, k->product);

	for (size_t i = 0; i < SNP_TCB_PARTS; i++)
		if (snp_tcb_part(&reported, i) != snp_tcb_part(&k->tcb, i))
			return evidence_refuse(err, CHECK_TCB_MATCH,
				"SEV-SNP report: %s is at version %u in its reported TCB, wanted the %u of "
				"the certificate",
				snp_tcb_part_name(i), snp_tcb_part(&reported, i), snp_tcb_part(&k->tcb, i));
	if (check_order(&reported, "reported", &current, "current", err) < 0)
		return -1;
	return check_order(&committed, "committed", &current, "current", err);
}

/* The report's own bytes, once the certificate is known to be AMD's. */
static int check_report(
	const struct snp_report *r, const struct x509_chain *c, const struct snp_cert *k, struct error *err)
{
	if (check_key_kind(r, k, err) < 0 || check_signature(r, c->cert[0], err) < 0)
		return -1;
	if (check_product(r, k, err) < 0 || check_chip(r, k, err) < 0)
		return -1;
	return check_tcb(r, k, err);
}

static int check_chain(const struct x509_chain *c, struct bytes carried_crl, const struct snp_cert *k,
	const struct verify_context *ctx, uint64_t *valid_until, struct error *err)
{
	struct chain_rules rules = {
		.what = WHAT,
		.tee = TEE_SNP,
		.built_in = amd_roots,
		.built_in_count = AMD_ROOT_COUNT,
		.need_crl = true,
	};
	struct error why = {0};
	char command[80];
	int rc;

	(void)snprintf(command, sizeof(command), "curl https://kdsintf.amd.com/%s/v1/%s/crl",
		k->vlek ? "vlek" : "vcek", snp_product_name(k->product));
	rules.crl_command = command;
	if (carried_crl.p && x509_crl_from_der(carried_crl.p, carried_crl.n, &rules.carried, &why) < 0)
		return evidence_refuse(err, CHECK_CRL_FORMAT, "SEV-SNP certificate table: %s", why.text);
	rc = chain_verify(c, &rules, ctx, valid_until, err);
	X509_CRL_free(rules.carried);
	return rc < 0 || check_algorithms(c, err) < 0 ? -1 : check_names(c, k, err);
}

static void fill(const struct snp_report *r, const struct snp_cert *k, struct verdict *v)
{
	struct snp_detail *d = &v->detail.snp;
	const struct snp_report_wire *w = r->wire;

	v->tee = TEE_SNP;
	v->debug = r->policy & SNP_POLICY_DEBUG;
	v->launch_len = sizeof(w->measurement);
	memcpy(v->launch, w->measurement, sizeof(w->measurement));
	memcpy(v->report_data, w->report_data, sizeof(w->report_data));
	d->report_version = r->version;
	d->guest_svn = r->guest_svn;
	d->vmpl = r->vmpl;
	d->signing_key = r->signing_key;
	d->policy = r->policy;
	d->platform_info = r->platform_info;
	memcpy(d->family_id, w->family_id, sizeof(w->family_id));
	memcpy(d->image_id, w->image_id, sizeof(w->image_id));
	memcpy(d->host_data, w->host_data, sizeof(w->host_data));
	memcpy(d->id_key_digest, w->id_key_digest, sizeof(w->id_key_digest));
	memcpy(d->author_key_digest, w->author_key_digest, sizeof(w->author_key_digest));
	memcpy(d->report_id, w->report_id, sizeof(w->report_id));
	memcpy(d->chip_id, w->chip_id, sizeof(w->chip_id));
	d->current_tcb = r->current_tcb;
	d->reported_tcb = r->reported_tcb;
	d->committed_tcb = r->committed_tcb;
	d->launch_tcb = r->launch_tcb;
	snprintf(d->product, sizeof(d->product), "%s", snp_product_name(k->product));
}

static int verify_with(const struct snp_report *r, const struct x509_chain *c, struct bytes crl,
	const struct verify_context *ctx, struct verdict *ret, struct error *err)
{
	struct verdict v = {0};
	struct snp_cert k;

	if (snp_cert_decode(c->cert[0], &k, err) < 0 ||
		check_chain(c, crl, &k, ctx, &v.valid_until, err) < 0 || check_report(r, c, &k, err) < 0)
		return -1;
	if (x509_key_hash(c->cert[0], v.platform, NULL) < 0)
		return evidence_refuse(
			err, CHECK_CHAIN_FORMAT, WHAT ": the certificate's key is not readable");
	fill(r, &k, &v);
	if (verify_report_data(ctx, "SEV-SNP report", v.report_data, err) < 0)
		return -1;
	*ret = v;
	return 0;
}

int snp_verify(
	const struct evidence *e, const struct verify_context *ctx, struct verdict *ret, struct error *err)
{
	struct bytes statement = e->item[ITEM_STATEMENT], crl;
	struct snp_report r;
	struct x509_chain c;
	int rc;

	if (snp_report_decode(statement.p, statement.n, &r, err) < 0 ||
		snp_chain_parse(e->item[ITEM_CERTIFICATES], &c, &crl, err) < 0)
		return -1;
	rc = verify_with(&r, &c, crl, ctx, ret, err);
	x509_chain_free(&c);
	return rc;
}

static int set_number(json_t *into, const char *key, uint64_t v)
{
	return json_object_set_new(into, key, json_integer((json_int_t)v));
}

/* 64 bits do not fit into every reader's numbers. */
static int set_bits(json_t *into, const char *key, uint64_t v)
{
	char text[2 + 16 + 1];

	snprintf(text, sizeof(text), "0x%016llx", (unsigned long long)v);
	return json_object_set_new(into, key, json_string(text));
}

static int set_tcb(json_t *into, const char *key, uint64_t raw, enum snp_product p)
{
	struct snp_tcb t = snp_tcb_decode(raw, p);
	json_t *j = json_pack("{s:i,s:i,s:i,s:i}", "boot_loader", t.boot_loader, "tee", t.tee, "snp", t.snp,
		"microcode", t.microcode);

	if (j && p == SNP_TURIN && set_number(j, "fmc", t.fmc) < 0) {
		json_decref(j);
		return -1;
	}
	return json_object_set_new(into, key, j);
}

static int describe(const struct snp_detail *d, json_t *into)
{
	enum snp_product p = snp_product_of_name(d->product, strlen(d->product));

	return set_number(into, "report_version", d->report_version) |
	       json_object_set_new(into, "product", json_string(d->product)) |
	       json_object_set_new(into, "signing_key",
		       json_string(d->signing_key == SNP_KEY_VLEK   ? "VLEK"
				   : d->signing_key == SNP_KEY_VCEK ? "VCEK"
								    : "none")) |
	       set_number(into, "guest_svn", d->guest_svn) | set_number(into, "vmpl", d->vmpl) |
	       set_bits(into, "policy", d->policy) | set_bits(into, "platform_info", d->platform_info) |
	       json_set_hex(into, "family_id", d->family_id, sizeof(d->family_id)) |
	       json_set_hex(into, "image_id", d->image_id, sizeof(d->image_id)) |
	       json_set_hex(into, "host_data", d->host_data, sizeof(d->host_data)) |
	       json_set_hex(into, "id_key_digest", d->id_key_digest, sizeof(d->id_key_digest)) |
	       json_set_hex(into, "author_key_digest", d->author_key_digest, sizeof(d->author_key_digest)) |
	       json_set_hex(into, "report_id", d->report_id, sizeof(d->report_id)) |
	       json_set_hex(into, "chip_id", d->chip_id, sizeof(d->chip_id)) |
	       set_tcb(into, "current_tcb", d->current_tcb, p) |
	       set_tcb(into, "reported_tcb", d->reported_tcb, p) |
	       set_tcb(into, "committed_tcb", d->committed_tcb, p) |
	       set_tcb(into, "launch_tcb", d->launch_tcb, p);
}

int snp_describe(const struct verdict *v, json_t *into)
{
	return describe(&v->detail.snp, into);
}

int snp_show(const struct evidence *e, json_t *into, struct error *err)
{
	struct bytes statement = e->item[ITEM_STATEMENT];
	struct verdict v = {0};
	struct snp_report r;
	struct snp_cert k = {0};

	if (snp_report_decode(statement.p, statement.n, &r, err) < 0)
		return -1;
	k.product = r.product;
	fill(&r, &k, &v);
	if (json_set_hex(into, "measurement", v.launch, v.launch_len) |
		json_set_hex(into, "report_data", v.report_data, sizeof(v.report_data)) |
		json_object_set_new(into, "debug", json_boolean(v.debug)) | describe(&v.detail.snp, into))
		return error_set(err, ERR_NOMEM, "no memory");
	return 0;
}
