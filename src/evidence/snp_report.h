/*
 * snp_report: the SEV-SNP attestation report, versions 2, 3 and 5 (AMD 56860, "SEV Secure Nested Paging Firmware ABI", table ATTESTATION_REPORT).
 * Decoding only; nothing is verified here.
 *
 * All integers little endian.
 */
#ifndef SCONE_EVIDENCE_SNP_REPORT_H
#define SCONE_EVIDENCE_SNP_REPORT_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "core/error.h"

#define SNP_REPORT_LEN 1184
#define SNP_SIGNED_LEN 672
#define SNP_COMPONENT_LEN 72 /* r and s, little endian, zeros above the 48 bytes that P-384 needs */

struct snp_report_wire {
	uint8_t version[4];
	uint8_t guest_svn[4];
	uint8_t policy[8];
	uint8_t family_id[16];
	uint8_t image_id[16];
	uint8_t vmpl[4];
	uint8_t signature_algorithm[4];
	uint8_t current_tcb[8];
	uint8_t platform_info[8];
	uint8_t key_info[4]; /* bit 0 author key, bit 1 chip key masked, bits 4:2 signing key */
	uint8_t reserved_4c[4];
	uint8_t report_data[64];
	uint8_t measurement[48];
	uint8_t host_data[32];
	uint8_t id_key_digest[48];
	uint8_t author_key_digest[48];
	uint8_t report_id[32];
	uint8_t report_id_ma[32];
	uint8_t reported_tcb[8];
	uint8_t cpuid[3]; /* version 3 and up: family, model, stepping, each with its extended part added */
	uint8_t reserved_18b[21];
	uint8_t chip_id[64];
	uint8_t committed_tcb[8];
	uint8_t current_build, current_minor, current_major, reserved_1eb;
	uint8_t committed_build, committed_minor, committed_major, reserved_1ef;
	uint8_t launch_tcb[8];
	uint8_t launch_mit_vector[8]; /* version 5 and up */
	uint8_t current_mit_vector[8]; /* version 5 and up */
	uint8_t reserved_208[152];
	uint8_t signature_r[SNP_COMPONENT_LEN];
	uint8_t signature_s[SNP_COMPONENT_LEN];
	uint8_t reserved_330[368];
};

static_assert(sizeof(struct snp_report_wire) == SNP_REPORT_LEN, "wire size");
static_assert(offsetof(struct snp_report_wire, report_data) == 0x50, "offset");
static_assert(offsetof(struct snp_report_wire, report_id) == 0x140, "offset");
static_assert(offsetof(struct snp_report_wire, reported_tcb) == 0x180, "offset");
static_assert(offsetof(struct snp_report_wire, chip_id) == 0x1a0, "offset");
static_assert(offsetof(struct snp_report_wire, launch_tcb) == 0x1f0, "offset");
static_assert(offsetof(struct snp_report_wire, signature_r) == SNP_SIGNED_LEN, "signed bytes");

/* Guest policy (AMD 56860, GUEST_POLICY). */
#define SNP_POLICY_SMT (1ull << 16) /* SMT is allowed on the host */
#define SNP_POLICY_ALWAYS_ONE (1ull << 17)
#define SNP_POLICY_MIGRATE_MA (1ull << 18) /* a migration agent may be associated */
#define SNP_POLICY_DEBUG (1ull << 19)
#define SNP_POLICY_SINGLE_SOCKET (1ull << 20)
#define SNP_POLICY_CXL (1ull << 21) /* CXL devices or memory are allowed */
#define SNP_POLICY_AES_256_XTS (1ull << 22) /* wanted for memory */
#define SNP_POLICY_RAPL_DIS (1ull << 23) /* running average power limit must be off */
#define SNP_POLICY_CIPHERTEXT_HIDING (1ull << 24) /* wanted for memory */
#define SNP_POLICY_PAGE_SWAP_DISABLE (1ull << 25)
#define SNP_POLICY_KNOWN ((1ull << 26) - 1)

/* Platform info (AMD 56860, PLATFORM_INFO). */
#define SNP_PLATFORM_SMT (1ull << 0) /* SMT is on */
#define SNP_PLATFORM_TSME (1ull << 1)
#define SNP_PLATFORM_ECC (1ull << 2)
#define SNP_PLATFORM_RAPL_DIS (1ull << 3)
#define SNP_PLATFORM_CIPHERTEXT_HIDING (1ull << 4)
#define SNP_PLATFORM_ALIAS_CHECK                                                                             \
	(1ull << 5) /* memory alias check complete since the last reset, no aliases found */
#define SNP_PLATFORM_TIO (1ull << 7)

enum snp_signing_key { SNP_KEY_VCEK = 0, SNP_KEY_VLEK = 1, SNP_KEY_NONE = 7 };

/* Decides the layout of TCB versions and the length of chip ids. */
enum snp_product { SNP_PRODUCT_UNKNOWN, SNP_MILAN, SNP_GENOA, SNP_TURIN, SNP_PRODUCT_COUNT };
const char *snp_product_name(enum snp_product p); /* "Milan"; "unknown" */
/* Of the processor's combined family and model. Bergamo and Siena are Genoa: same certificates, same layout. */
enum snp_product snp_product_of_cpuid(uint8_t family, uint8_t model);
/* Of a certificate's product name: "Milan-B0", "Genoa", "Turin-C1". n: its length without NUL. */
enum snp_product snp_product_of_name(const char *name, size_t n);

/* Security versions of the parts of a platform's firmware. */
struct snp_tcb {
	uint8_t fmc; /* Turin only; else 0 */
	uint8_t boot_loader, tee, snp, microcode;
};
enum { SNP_TCB_PARTS = 5 };
const char *snp_tcb_part_name(size_t i); /* in the order of the struct */
uint8_t snp_tcb_part(const struct snp_tcb *t, size_t i);
/* A raw TCB version as the product lays it out: Milan and Genoa from byte 0: boot loader, TEE, 4 reserved, SNP, microcode; Turin:
 * FMC, boot loader, TEE, SNP, 3 reserved, microcode. */
struct snp_tcb snp_tcb_decode(uint64_t raw, enum snp_product p);

/* A report whose form is good. Numbers in host order, byte strings as in the report. */
struct snp_report {
	uint32_t version, guest_svn, vmpl;
	uint64_t policy, platform_info;
	enum snp_signing_key signing_key;
	bool author_key, chip_key_masked;
	uint64_t current_tcb, reported_tcb, committed_tcb, launch_tcb;
	enum snp_product product; /* by the report; SNP_PRODUCT_UNKNOWN in version 2 */
	uint8_t cpuid[3];
	uint64_t launch_mit_vector, current_mit_vector;
	const struct snp_report_wire *wire; /* into the input */
};

/* n must be SNP_REPORT_LEN. Refusals (ERR_ATTEST): CHECK_FORMAT for a length or reserved bytes, CHECK_VERSION, CHECK_ALGORITHM,
 * CHECK_PRODUCT for a processor that is none of the known ones. *ret points into p. */
MUST_USE int snp_report_decode(const uint8_t *p, size_t n, struct snp_report *ret, struct error *err);
/* By length, version and algorithm. */
bool snp_report_is(const uint8_t *p, size_t n);

#endif
