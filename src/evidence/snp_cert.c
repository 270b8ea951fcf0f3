#include "evidence/snp_cert.h"

#include <string.h>
#include "evidence/check.h"

#define OID_AMD "1.3.6.1.4.1.3704.1."
#define OID_PRODUCT OID_AMD "2"
#define OID_BOOT_LOADER OID_AMD "3.1"
#define OID_TEE OID_AMD "3.2"
#define OID_SNP OID_AMD "3.3"
#define OID_MICROCODE OID_AMD "3.8"
#define OID_FMC OID_AMD "3.9"
#define OID_HWID OID_AMD "4"
#define OID_CSP OID_AMD "5"

#define HWID_LEN_TURIN 8
#define HWID_LEN 64

#define TAG_INTEGER 0x02
#define TAG_UTF8 0x0c
#define TAG_IA5 0x16

static int bad(struct error *err, const char *what, const char *wanted)
{
	return evidence_refuse(err, CHECK_CHAIN_ROLE, "SEV-SNP certificate: its %s, wanted %s", what, wanted);
}

/* DER text of at most 127 printable characters. */
static bool der_text(const uint8_t *p, size_t n, struct bytes *ret)
{
	if (!p || n < 3 || (p[0] != TAG_IA5 && p[0] != TAG_UTF8) || p[1] > 127 || p[1] != n - 2)
		return false;
	for (size_t i = 2; i < n; i++)
		if (p[i] < 0x20 || p[i] >= 0x7f)
			return false;
	*ret = (struct bytes){p + 2, n - 2};
	return true;
}

/* A security version: DER INTEGER from 0 to 255. */
static int version_part(X509 *c, const char *oid, const char *name, uint8_t *ret, struct error *err)
{
	size_t n = 0;
	const uint8_t *p = x509_extension(c, oid, &n);

	if (p && n == 3 && p[0] == TAG_INTEGER && p[1] == 1 && p[2] < 0x80) {
		*ret = p[2];
		return 0;
	}
	if (p && n == 4 && p[0] == TAG_INTEGER && p[1] == 2 && p[2] == 0 && p[3] >= 0x80) {
		*ret = p[3];
		return 0;
	}
	return evidence_refuse(err, CHECK_CHAIN_ROLE,
		"SEV-SNP certificate: its security version of %s (extension %s) is %s, wanted a number from "
		"0 to 255",
		name, oid, p ? "malformed" : "missing");
}

static int decode_versions(X509 *c, struct snp_cert *k, struct error *err)
{
	if (version_part(c, OID_BOOT_LOADER, "the boot loader", &k->tcb.boot_loader, err) < 0 ||
		version_part(c, OID_TEE, "the TEE", &k->tcb.tee, err) < 0 ||
		version_part(c, OID_SNP, "SNP", &k->tcb.snp, err) < 0 ||
		version_part(c, OID_MICROCODE, "the microcode", &k->tcb.microcode, err) < 0)
		return -1;
	return k->product == SNP_TURIN ? version_part(c, OID_FMC, "the FMC", &k->tcb.fmc, err) : 0;
}

/* A chip's key names the chip, a provider's key the provider. */
static int decode_owner(X509 *c, struct snp_cert *k, struct error *err)
{
	size_t n = 0, csp = 0, wanted = k->product == SNP_TURIN ? HWID_LEN_TURIN : HWID_LEN;
	const uint8_t *id = x509_extension(c, OID_HWID, &n), *provider = x509_extension(c, OID_CSP, &csp);

	if (!id == !provider)
		return bad(err, "extensions name both a chip and a provider, or neither", "one of them");
	k->vlek = provider != NULL;
	if (provider)
		return der_text(provider, csp, &k->csp_id)
			       ? 0
			       : bad(err, "provider (extension " OID_CSP ") is malformed", "text");
	if (n != wanted)
		return evidence_refuse(err, CHECK_CHAIN_ROLE,
			"SEV-SNP certificate: its chip id has %zu bytes, wanted %zu for %s", n, wanted,
			snp_product_name(k->product));
	memcpy(k->hwid, id, n);
	k->hwid_len = n;
	return 0;
}

int snp_cert_decode(X509 *c, struct snp_cert *ret, struct error *err)
{
	struct snp_cert k = {0};
	struct bytes name;
	size_t n = 0;
	const uint8_t *p = x509_extension(c, OID_PRODUCT, &n);

	if (!x509_key_on_curve(c, "P-384"))
		return bad(err, "key is on another curve", "one on P-384");
	if (!der_text(p, n, &name))
		return bad(err, "product name (extension " OID_PRODUCT ") is missing or malformed",
			"the product's name");
	k.product = snp_product_of_name((const char *)name.p, name.n);
	if (k.product == SNP_PRODUCT_UNKNOWN)
		return evidence_refuse(err, CHECK_PRODUCT,
			"SEV-SNP certificate: product is '%.*s', wanted Milan, Genoa or Turin", (int)name.n,
			(const char *)name.p);
	if (decode_versions(c, &k, err) < 0 || decode_owner(c, &k, err) < 0)
		return -1;
	*ret = k;
	return 0;
}

enum entry { ENTRY_VCEK, ENTRY_VLEK, ENTRY_ASK, ENTRY_ARK, ENTRY_CRL, ENTRY_COUNT };

/* In the byte order of their text form. */
static const uint8_t entry_guids[ENTRY_COUNT][16] = {
	[ENTRY_VCEK] = {0x63, 0xda, 0x75, 0x8d, 0xe6, 0x64, 0x45, 0x64, 0xad, 0xc5, 0xf4, 0xb9, 0x3b, 0xe8,
		0xac, 0xcd},
	[ENTRY_VLEK] = {0xa8, 0x07, 0x4b, 0xc2, 0xa2, 0x5a, 0x48, 0x3e, 0xaa, 0xe6, 0x39, 0xc0, 0x45, 0xa0,
		0xb8, 0xa1},
	[ENTRY_ASK] = {0x4a, 0xb7, 0xb3, 0x79, 0xbb, 0xac, 0x4f, 0xe4, 0xa0, 0x2f, 0x05, 0xae, 0xf3, 0x27,
		0xc7, 0x82},
	[ENTRY_ARK] = {0xc0, 0xb4, 0x06, 0xa4, 0xa8, 0x03, 0x49, 0x52, 0x97, 0x43, 0x3f, 0xb6, 0x01, 0x4c,
		0xd0, 0xae},
	[ENTRY_CRL] = {0x92, 0xf8, 0x1b, 0xc3, 0x58, 0x11, 0x4d, 0x3d, 0x97, 0xff, 0xd1, 0x9f, 0x88, 0xdc,
		0x67, 0xea},
};

static uint32_t le32(struct rd *r)
{
	return __builtin_bswap32(rd_u32be(r));
}

static int bad_table(struct error *err, const char *what)
{
	return evidence_refuse(err, CHECK_CHAIN_FORMAT, "SEV-SNP certificate table: %s", what);
}

/* Entries (GUID, offset, length) up to one of zeros; the bytes lie anywhere in the table. Unknown GUIDs are other people's. */
static int read_table(struct bytes in, struct bytes found[ENTRY_COUNT], struct error *err)
{
	static const uint8_t zeros[16];
	struct rd r;

	rd_init(&r, in.p, in.n);
	for (size_t i = 0; i < SNP_TABLE_MAX; i++) {
		const uint8_t *guid = rd_bytes(&r, 16);
		uint32_t at = le32(&r), len = le32(&r);

		if (r.failed)
			return bad_table(err, "it is cut off before its last entry");
		if (memcmp(guid, zeros, sizeof(zeros)) == 0)
			return 0;
		if (at > in.n || len > in.n - at)
			return bad_table(err, "an entry points outside of it");
		for (size_t k = 0; k < ENTRY_COUNT; k++) {
			if (memcmp(guid, entry_guids[k], 16) != 0)
				continue;
			if (found[k].p || len == 0)
				return bad_table(err, "an entry is empty or there twice");
			found[k] = (struct bytes){in.p + at, len};
		}
	}
	return bad_table(err, "it has too many entries");
}

/* A host writes them as DER or as PEM. */
static int add_certificate(struct x509_chain *c, struct bytes in, struct error *err)
{
	struct x509_chain one = {0};

	if (in.p[0] == 0x30 ? x509_from_der(in.p, in.n, &one.cert[0], err) < 0
			    : x509_chain_from_pem(in.p, in.n, &one, err) < 0)
		return evidence_refuse(err, CHECK_CHAIN_FORMAT, "SEV-SNP certificate table: %s",
			err ? err->text : "no certificate");
	if (in.p[0] == 0x30)
		one.count = 1;
	for (size_t i = 0; i < one.count; i++) {
		if (c->count == X509_CHAIN_MAX) {
			X509_free(one.cert[i]);
			continue;
		}
		c->cert[c->count++] = one.cert[i];
	}
	return 0;
}

static int parse_table(struct bytes in, struct x509_chain *ret, struct bytes *ret_crl, struct error *err)
{
	struct bytes found[ENTRY_COUNT] = {0};
	enum entry leaf;

	if (read_table(in, found, err) < 0)
		return -1;
	leaf = found[ENTRY_VLEK].p ? ENTRY_VLEK : ENTRY_VCEK;
	if (!found[leaf].p)
		return evidence_refuse(err, CHECK_CHAIN_MISSING,
			"SEV-SNP certificate table: it has neither VCEK nor VLEK, wanted the signing key's "
			"certificate");
	for (size_t i = 0; i < 3; i++) {
		const enum entry order[] = {leaf, ENTRY_ASK, ENTRY_ARK};

		if (found[order[i]].p && add_certificate(ret, found[order[i]], err) < 0)
			return -1;
	}
	*ret_crl = found[ENTRY_CRL];
	return 0;
}

/* AMD's files go on after the root with the other intermediate (VLEK's after VCEK's). */
static void cut_after_root(struct x509_chain *c)
{
	size_t i = 0;

	while (i < c->count &&
		X509_NAME_cmp(X509_get_issuer_name(c->cert[i]), X509_get_subject_name(c->cert[i])) != 0)
		i++;
	while (c->count > i + 1)
		X509_free(c->cert[--c->count]);
}

int snp_chain_parse(struct bytes in, struct x509_chain *ret, struct bytes *ret_crl, struct error *err)
{
	static const char begin[] = "-----BEGIN ";
	struct x509_chain c = {0};
	struct bytes crl = {0};
	int rc;

	if (!in.p || in.n == 0)
		return evidence_refuse(err, CHECK_CHAIN_MISSING,
			"SEV-SNP chain: the evidence has no certificates, wanted VCEK or VLEK, ASK and ARK");
	if (in.p[0] == 0x30) {
		rc = x509_from_der(in.p, in.n, &c.cert[0], err);
		c.count = rc == 0;
	} else if (in.n >= sizeof(begin) - 1 && memcmp(in.p, begin, sizeof(begin) - 1) == 0) {
		rc = x509_chain_from_pem(in.p, in.n, &c, err);
	} else {
		rc = parse_table(in, &c, &crl, err);
	}
	if (rc < 0) {
		x509_chain_free(&c);
		return err && err->check ? -1
					 : evidence_refuse(err, CHECK_CHAIN_FORMAT, "SEV-SNP chain: %s",
						   err ? err->text : "no certificates");
	}
	cut_after_root(&c);
	*ret = c;
	*ret_crl = crl;
	return 0;
}
