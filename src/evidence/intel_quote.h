/*
 * intel_quote: the ECDSA quotes of Intel's DCAP, as bytes: SGX version 3, SGX and TDX version 4 and 5.
 *
 * Sources: "Intel SGX ECDSA QuoteLibReference, DCAP API", appendix A (version 3); "Intel TDX DCAP Quoting Library API", appendix A (versions 4
 * and 5, TD report 1.0 and 1.5); Intel SDM 3D, REPORT structure. All integers are little endian.
 *
 *	header (48), in version 5 body type u16 and body size u32, body, u32 length, signature data
 *	signature data, version 3:      signature, attestation key, QE report, its signature, u16 length, QE authentication data,
 *	                                u16 certification data type, u32 length, certification data
 *	signature data, versions 4, 5:  signature, attestation key, u16 type 6, u32 length, and inside: QE report and the rest as above
 */
#ifndef SCONE_EVIDENCE_INTEL_QUOTE_H
#define SCONE_EVIDENCE_INTEL_QUOTE_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include "evidence/verdict.h"

#define INTEL_QUOTE_MAX 65536 /* bytes */

struct intel_quote_header {
	uint8_t version[2];
	uint8_t key_type[2]; /* 2: ECDSA with P-256 and SHA-256 */
	uint8_t tee_type[4]; /* 0 SGX, 0x81 TDX; reserved in version 3 */
	uint8_t svn[4]; /* version 3: QE SVN, PCE SVN; later reserved */
	uint8_t vendor[16]; /* of the QE */
	uint8_t user_data[20];
};
static_assert(sizeof(struct intel_quote_header) == 48, "header");

/* REPORT body of an enclave. */
struct sgx_report {
	uint8_t cpu_svn[16];
	uint8_t misc_select[4];
	uint8_t reserved1[12];
	uint8_t isv_ext_prod_id[16];
	uint8_t attributes[16];
	uint8_t mr_enclave[32];
	uint8_t reserved2[32];
	uint8_t mr_signer[32];
	uint8_t reserved3[32];
	uint8_t config_id[64];
	uint8_t isv_prod_id[2];
	uint8_t isv_svn[2];
	uint8_t config_svn[2];
	uint8_t reserved4[42];
	uint8_t isv_family_id[16];
	uint8_t report_data[64];
};
static_assert(sizeof(struct sgx_report) == 384, "REPORT body");
static_assert(offsetof(struct sgx_report, mr_enclave) == 64, "MRENCLAVE");
static_assert(offsetof(struct sgx_report, isv_prod_id) == 256, "ISVPRODID");
static_assert(offsetof(struct sgx_report, report_data) == 320, "REPORTDATA");

/* TD report: 1.0 ends before tee_tcb_svn2, 1.5 is whole. */
struct td_report {
	uint8_t tee_tcb_svn[16];
	uint8_t mr_seam[48];
	uint8_t mr_signer_seam[48];
	uint8_t seam_attributes[8];
	uint8_t td_attributes[8];
	uint8_t xfam[8];
	uint8_t mr_td[48];
	uint8_t mr_config_id[48];
	uint8_t mr_owner[48];
	uint8_t mr_owner_config[48];
	uint8_t rtmr[4][48];
	uint8_t report_data[64];
	uint8_t tee_tcb_svn2[16];
	uint8_t mr_service_td[48];
};
#define TD_REPORT_10_LEN offsetof(struct td_report, tee_tcb_svn2)
static_assert(TD_REPORT_10_LEN == 584, "TD report 1.0");
static_assert(sizeof(struct td_report) == 648, "TD report 1.5");

#define SGX_ATTRIBUTE_INIT 0x01
#define SGX_ATTRIBUTE_DEBUG 0x02

enum intel_certification {
	CERTIFICATION_PCK_CHAIN = 5, /* PEM: PCK, intermediate, root */
	CERTIFICATION_QE_REPORT = 6,
};

/* Pointers into the quote. */
struct intel_quote {
	unsigned int version; /* 3, 4, 5 */
	enum tee_type tee; /* TEE_SGX or TEE_TDX */
	const struct intel_quote_header *header;
	const struct sgx_report *sgx; /* NULL for TDX */
	const struct td_report *td; /* NULL for SGX; its last two fields are there with td_15 only */
	bool td_15;
	struct bytes signed_part; /* what the attestation key signed */
	const uint8_t *signature; /* r and s, 32 bytes each, big endian */
	const uint8_t *attestation_key; /* x and y, as well */
	const struct sgx_report *qe_report;
	const uint8_t *qe_signature; /* r and s, over qe_report, by the PCK */
	struct bytes qe_auth;
	unsigned int certification_type;
	struct bytes certification;
	size_t len; /* of the quote; less than what was given where zeros follow */
};

/* By version and vendor, without looking further. */
bool intel_quote_is(const uint8_t *p, size_t n, enum tee_type tee);
/* Whole quotes only. A version 4 TDX quote may be followed by exactly the 70 zeros for which the quoting service of Intel makes room (as long as a
 * version 5 quote would be); nothing else may follow. Refusals: CHECK_FORMAT, CHECK_VERSION, CHECK_TYPE, CHECK_ALGORITHM. */
MUST_USE int intel_quote_parse(
	const uint8_t *p, size_t n, enum tee_type want, struct intel_quote *ret, struct error *err);

uint16_t intel_u16(const uint8_t p[2]);
uint32_t intel_u32(const uint8_t p[4]);

#endif
