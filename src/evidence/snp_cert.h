/*
 * snp_cert: what a VCEK or VLEK certificate says about the platform (AMD 57230, "VCEK Certificate and KDS Interface Specification"), and the
 * certificate table that comes with an extended report (AMD 56421, GHCB specification, 4.1.8.1).
 */
#ifndef SCONE_EVIDENCE_SNP_CERT_H
#define SCONE_EVIDENCE_SNP_CERT_H

#include <openssl/x509.h>
#include <stdbool.h>
#include "core/error.h"
#include "crypto/x509_chain.h"
#include "evidence/bundle.h"
#include "evidence/snp_report.h"

#define SNP_HWID_MAX 64
#define SNP_TABLE_MAX 16 /* entries */

struct snp_cert {
	bool vlek; /* issued to a cloud provider, not for a chip */
	enum snp_product product;
	struct snp_tcb tcb;
	uint8_t hwid[SNP_HWID_MAX]; /* VCEK: the chip */
	size_t hwid_len; /* 64; Turin: 8 */
	struct bytes csp_id; /* VLEK: the provider's name, printable; into the certificate */
};

/* Refusals: CHECK_CHAIN_ROLE for a certificate without these extensions or with a key that is not on P-384, CHECK_PRODUCT. */
MUST_USE int snp_cert_decode(X509 *c, struct snp_cert *ret, struct error *err);

/* Certificates of one report in any order and from any of the forms: PEM, one DER certificate, a certificate table. Sorted into ret: the signing
 * key, then each one's issuer, root last; ones that are not needed are left out. *ret_crl: the table's revocation list, or {NULL, 0}.
 * Refusals: CHECK_CHAIN_FORMAT, CHECK_CHAIN_MISSING, CHECK_CHAIN_ORDER (in PEM the order must be right). */
MUST_USE int snp_chain_parse(
	struct bytes in, struct x509_chain *ret, struct bytes *ret_crl, struct error *err);

#endif
