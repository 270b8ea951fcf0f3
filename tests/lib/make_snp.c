#include "make_snp.h"

#include <openssl/ecdsa.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "crypto/key.h"

#define OID "1.3.6.1.4.1.3704.1."

static void put32(uint8_t *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> 8 * i);
}

static void put64(uint8_t *p, uint64_t v)
{
	put32(p, (uint32_t)v);
	put32(p + 4, (uint32_t)(v >> 32));
}

X509 *snp_maker_leaf(const struct snp_maker *m, const struct snp_leaf *l)
{
	struct snp_tcb t = snp_tcb_decode(l->tcb, m->product);
	const char *product = l->product_name ? l->product_name : snp_product_name(m->product);
	struct pki_extension list[12];
	struct pki_spec s = {
		.common_name = l->common_name ? l->common_name
			       : l->vlek      ? "SEV-VLEK"
					      : "SEV-VCEK",
		.key = m->leaf_key,
		.issuer = m->ask,
		.issuer_key = m->ask_key,
		.signature = l->signature,
		.from = l->from,
		.to = l->to,
		.extensions = list,
	};
	size_t n = 0;

	memset(list, 0, sizeof(list));
	list[n++] = pki_number(OID "1", 0);
	list[n++] = pki_text(OID "2", product);
	list[n++] = pki_number(OID "3.1", t.boot_loader);
	list[n++] = pki_number(OID "3.2", t.tee);
	list[n++] = pki_number(OID "3.3", t.snp);
	list[n++] = pki_number(OID "3.8", t.microcode);
	if (m->product == SNP_TURIN)
		list[n++] = pki_number(OID "3.9", t.fmc);
	if (l->vlek && !l->no_chip)
		list[n++] = pki_text(OID "5", "example provider");
	else if (!l->no_chip)
		list[n++] = pki_raw(OID "4", l->chip_id, m->product == SNP_TURIN ? 8 : 64);
	return pki_certificate(&s);
}

static void make_cas(struct snp_maker *m)
{
	char root[32], middle[32];
	struct pki_spec s = {
		.common_name = root,
		.key = m->ark_key,
		.signature = PKI_PSS_SHA384,
		.serial = MAKE_SNP_ASK_SERIAL - 1,
		.from = MAKE_SNP_FROM,
		.to = MAKE_SNP_TO,
		.ca = true,
		.path_length = -1,
		.list_point = true,
	};

	snprintf(root, sizeof(root), "ARK-%s", snp_product_name(m->product));
	snprintf(middle, sizeof(middle), "SEV-%s%s", m->vlek ? "VLEK-" : "", snp_product_name(m->product));
	m->ark = pki_certificate(&s);
	s.common_name = middle;
	s.key = m->ask_key;
	s.issuer = m->ark;
	s.issuer_key = m->ark_key;
	s.serial = MAKE_SNP_ASK_SERIAL;
	s.path_length = 0;
	m->ask = pki_certificate(&s);
}

void snp_maker_init(struct snp_maker *m, enum snp_product product, bool vlek)
{
	struct snp_leaf l = {
		.from = MAKE_SNP_FROM, .to = MAKE_SNP_TO, .vlek = vlek, .signature = PKI_PSS_SHA384};

	memset(m, 0, sizeof(*m));
	m->product = product;
	m->vlek = vlek;
	m->ark_key = pki_key(KEY_RSA2048);
	m->ask_key = pki_key(KEY_RSA2048);
	m->leaf_key = pki_key(KEY_P384);
	for (size_t i = 0; i < (product == SNP_TURIN ? 8u : 64u); i++)
		m->chip_id[i] = (uint8_t)(0xa0 + i);
	/* Milan, Genoa: boot loader 3, SNP 8, microcode 209. Turin: FMC 1, boot loader 2, TEE 1, SNP 4, microcode 75. */
	m->tcb = product == SNP_TURIN ? 0x4b00000004010201ull : 0xd108000000000003ull;
	make_cas(m);
	l.tcb = m->tcb;
	l.chip_id = m->chip_id;
	m->leaf = snp_maker_leaf(m, &l);
}

void snp_maker_free(struct snp_maker *m)
{
	X509_free(m->ark);
	X509_free(m->ask);
	X509_free(m->leaf);
	EVP_PKEY_free(m->ark_key);
	EVP_PKEY_free(m->ask_key);
	EVP_PKEY_free(m->leaf_key);
	memset(m, 0, sizeof(*m));
}

static void component(const BIGNUM *n, uint8_t out[SNP_COMPONENT_LEN])
{
	memset(out, 0, SNP_COMPONENT_LEN);
	if (BN_bn2lebinpad(n, out, 48) != 48)
		abort();
}

void snp_sign_report(const struct snp_maker *m, struct snp_report_wire *w)
{
	struct buf der;
	const unsigned char *at;
	ECDSA_SIG *sig;

	buf_init(&der, 256);
	if (key_sign(m->leaf_key, w, SNP_SIGNED_LEN, &der, NULL) < 0)
		abort();
	at = der.data;
	sig = d2i_ECDSA_SIG(NULL, &at, (long)der.len);
	if (!sig)
		abort();
	component(ECDSA_SIG_get0_r(sig), w->signature_r);
	component(ECDSA_SIG_get0_s(sig), w->signature_s);
	ECDSA_SIG_free(sig);
	buf_free(&der);
}

void snp_make_report(const struct snp_maker *m, uint32_t version, const uint8_t report_data[64],
	struct snp_report_wire *ret)
{
	static const uint8_t cpuids[SNP_PRODUCT_COUNT][3] = {[SNP_MILAN] = {0x19, 0x01, 0x01},
		[SNP_GENOA] = {0x19, 0x11, 0x01},
		[SNP_TURIN] = {0x1a, 0x02, 0x01}};
	struct snp_report_wire w;

	memset(&w, 0, sizeof(w));
	put32(w.version, version);
	put32(w.guest_svn, 7);
	put64(w.policy, SNP_POLICY_ALWAYS_ONE | SNP_POLICY_SMT | 0x1f);
	memset(w.family_id, 0x0f, sizeof(w.family_id));
	memset(w.image_id, 0x1d, sizeof(w.image_id));
	put32(w.signature_algorithm, 1);
	put64(w.current_tcb, m->tcb);
	put64(w.platform_info, SNP_PLATFORM_SMT | (version >= 3 ? SNP_PLATFORM_ALIAS_CHECK : 0));
	put32(w.key_info, m->vlek ? SNP_KEY_VLEK << 2 : 0);
	memcpy(w.report_data, report_data, 64);
	for (size_t i = 0; i < sizeof(w.measurement); i++)
		w.measurement[i] = (uint8_t)(0x30 + i);
	memset(w.host_data, 0x40, sizeof(w.host_data));
	memset(w.id_key_digest, 0x51, sizeof(w.id_key_digest));
	memset(w.author_key_digest, 0x52, sizeof(w.author_key_digest));
	memset(w.report_id, 0x60, sizeof(w.report_id));
	memset(w.report_id_ma, 0xff, sizeof(w.report_id_ma));
	put64(w.reported_tcb, m->tcb);
	if (version >= 3)
		memcpy(w.cpuid, cpuids[m->product], sizeof(w.cpuid));
	memcpy(w.chip_id, m->chip_id, sizeof(w.chip_id));
	put64(w.committed_tcb, m->tcb);
	w.current_build = w.committed_build = 3;
	w.current_minor = w.committed_minor = 55;
	w.current_major = w.committed_major = 1;
	put64(w.launch_tcb, m->tcb);
	if (version >= 5)
		put64(w.launch_mit_vector, 1);
	snp_sign_report(m, &w);
	*ret = w;
}

void snp_make_pem(const struct snp_maker *m, struct buf *out)
{
	pki_pem(m->leaf, out);
	pki_pem(m->ask, out);
	pki_pem(m->ark, out);
}

void snp_make_table(const struct snp_maker *m, const struct buf *crl, struct buf *out)
{
	static const uint8_t guids[][16] = {
		{0x63, 0xda, 0x75, 0x8d, 0xe6, 0x64, 0x45, 0x64, 0xad, 0xc5, 0xf4, 0xb9, 0x3b, 0xe8, 0xac,
			0xcd},
		{0xa8, 0x07, 0x4b, 0xc2, 0xa2, 0x5a, 0x48, 0x3e, 0xaa, 0xe6, 0x39, 0xc0, 0x45, 0xa0, 0xb8,
			0xa1},
		{0x4a, 0xb7, 0xb3, 0x79, 0xbb, 0xac, 0x4f, 0xe4, 0xa0, 0x2f, 0x05, 0xae, 0xf3, 0x27, 0xc7,
			0x82},
		{0xc0, 0xb4, 0x06, 0xa4, 0xa8, 0x03, 0x49, 0x52, 0x97, 0x43, 0x3f, 0xb6, 0x01, 0x4c, 0xd0,
			0xae},
		{0x92, 0xf8, 0x1b, 0xc3, 0x58, 0x11, 0x4d, 0x3d, 0x97, 0xff, 0xd1, 0x9f, 0x88, 0xdc, 0x67,
			0xea},
	};
	X509 *certs[3] = {m->leaf, m->ask, m->ark};
	size_t entries = crl ? 4 : 3, at = (entries + 1) * 24, start = out->len;
	uint8_t head[5 * 24] = {0};
	struct buf body;

	buf_init(&body, 65536);
	for (size_t i = 0; i < entries; i++) {
		size_t before = body.len;

		memcpy(head + i * 24, guids[i == 0 ? m->vlek : i == 3 ? 4 : i + 1], 16);
		if (i < 3)
			pki_der(certs[i], &body);
		else
			buf_put(&body, crl->data, crl->len);
		put32(head + i * 24 + 16, (uint32_t)(at + before));
		put32(head + i * 24 + 20, (uint32_t)(body.len - before));
	}
	buf_put(out, head, at);
	buf_put(out, body.data, body.len);
	if (out->failed || body.failed || out->len != start + at + body.len)
		abort();
	buf_free(&body);
}

void snp_make_crl(const struct snp_maker *m, uint64_t from, uint64_t to, const uint64_t *serials, size_t n,
	struct buf *out)
{
	struct pki_list l = {m->ark, m->ark_key, PKI_PSS_SHA384, from, to, serials, n};

	pki_revocation_list(&l, out);
}
