/*
 * make_snp: SEV-SNP reports with their certificates, under a root of our own, in AMD's forms.
 */
#ifndef SCONE_TESTS_MAKE_SNP_H
#define SCONE_TESTS_MAKE_SNP_H

#include "core/buf.h"
#include "evidence/snp_report.h"
#include "evidence_pki.h"

#define MAKE_SNP_FROM 1700000000ull
#define MAKE_SNP_TO 2000000000ull

/* What the platform is; made once, since RSA keys take their time. */
struct snp_maker {
	enum snp_product product;
	bool vlek;
	EVP_PKEY *ark_key, *ask_key, *leaf_key;
	X509 *ark, *ask, *leaf;
	uint8_t chip_id[64];
	uint64_t tcb; /* raw */
};

/* Turin has the newer TCB layout and chip ids of 8 bytes. */
void snp_maker_init(struct snp_maker *m, enum snp_product product, bool vlek);
void snp_maker_free(struct snp_maker *m);
/* The leaf certificate again, with other dates, TCB, chip or product name, signed by the ASK. NULL product_name: the product's own. */
struct snp_leaf {
	const char *common_name, *product_name;
	uint64_t tcb, from, to;
	const uint8_t *chip_id;
	bool no_chip; /* no extension for chip or provider */
	bool vlek;
	enum pki_signature signature;
};
X509 *snp_maker_leaf(const struct snp_maker *m, const struct snp_leaf *l);
/* An honest report of this version for report data, signed. */
void snp_make_report(const struct snp_maker *m, uint32_t version, const uint8_t report_data[64],
	struct snp_report_wire *ret);
/* Sign again after a change. */
void snp_sign_report(const struct snp_maker *m, struct snp_report_wire *w);
/* Leaf, ASK, ARK as PEM, appended. */
void snp_make_pem(const struct snp_maker *m, struct buf *out);
/* The certificate table of an extended report; crl may be NULL. */
void snp_make_table(const struct snp_maker *m, const struct buf *crl, struct buf *out);
/* The ARK's revocation list. */
void snp_make_crl(const struct snp_maker *m, uint64_t from, uint64_t to, const uint64_t *serials, size_t n,
	struct buf *out);
#define MAKE_SNP_ASK_SERIAL 65537 /* of the ASK, in the list's numbers */

#endif
