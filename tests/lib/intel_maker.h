/*
 * intel_maker: SGX and TDX evidence with its collateral, under a root of one's own: good as it comes from intel_recipe_init, and bad in whatever way a test
 * sets. For tests; whatever fails aborts.
 */
#ifndef SCONE_TESTS_INTEL_MAKER_H
#define SCONE_TESTS_INTEL_MAKER_H

#include "evidence/intel_quote.h"
#include "intel_certs.h"

enum maker_cert { CERT_ROOT, CERT_CA, CERT_PCK, CERT_TCB, CERT_COUNT };

/* A TCB level. tdx is for TDX only. */
struct level_recipe {
	uint8_t sgx[16], tdx[16];
	uint16_t svn; /* PCE, or of the enclave or module */
	const char *status, *date;
	const char *advisories; /* comma-separated, with quotation marks; NULL: no such member */
};

#define LEVELS_MAX 4

struct levels_recipe {
	struct level_recipe level[LEVELS_MAX];
	size_t count;
};

struct document_recipe {
	const char *id;
	unsigned int version;
	uint64_t issued, next;
	uint32_t number;
	bool absent, forged; /* forged: signed by a key that nobody knows */
	const char *text; /* instead of all of this */
	struct levels_recipe levels;
};

struct intel_recipe {
	enum tee_type tee;
	unsigned int version; /* of the quote: 3, 4, 5 */
	bool td_15;
	uint64_t now;
	struct cert_recipe cert[CERT_COUNT];
	enum maker_cert order[4]; /* of the PCK chain */
	size_t order_count;
	enum maker_cert tcb_order[4]; /* of the chain of TCB info and identity */
	size_t tcb_order_count;
	struct crl_recipe root_crl, pck_crl;
	bool no_pck_extension;
	struct pck_recipe pck;
	struct document_recipe info, identity;
	uint8_t info_fmspc[6], info_pce_id[2];
	struct levels_recipe module; /* of TDX_01 */
	uint8_t module_signer[48], module_attributes[8], module_mask[8];
	uint8_t id_signer[32], id_attributes[16];
	uint16_t id_product;
	/* the quote */
	struct sgx_report qe, enclave;
	struct td_report td;
	bool qe_forged, unbound, body_forged;
	unsigned int certification;
	bool padded;
};

struct intel_made {
	struct buf quote, collateral, chain; /* chain: PEM of the PCK chain */
	struct buf root_pem;
	uint8_t root[32]; /* key hash */
};

void intel_recipe_init(struct intel_recipe *r, enum tee_type tee, unsigned int version, bool td_15);
/* The same as of another time: dates of certificates, lists and documents. */
void intel_recipe_at(struct intel_recipe *r, uint64_t now);
void intel_make(const struct intel_recipe *r, struct intel_made *ret);
void intel_made_free(struct intel_made *m);

#endif
