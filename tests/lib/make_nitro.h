/*
 * make_nitro: Nitro attestation documents under a root of our own.
 */
#ifndef SCONE_TESTS_MAKE_NITRO_H
#define SCONE_TESTS_MAKE_NITRO_H

#include "core/buf.h"
#include "evidence/nitro_document.h"
#include "evidence_pki.h"

#define MAKE_NITRO_FROM 1700000000ull
#define MAKE_NITRO_TO 2000000000ull

struct nitro_maker {
	EVP_PKEY *root_key, *middle_key, *leaf_key;
	X509 *root, *middle, *leaf;
};
void nitro_maker_init(struct nitro_maker *m);
void nitro_maker_free(struct nitro_maker *m);

/* What goes into a document; zeros are the honest default where there is one. */
struct nitro_spec {
	uint64_t timestamp; /* milliseconds */
	const char *module_id, *digest;
	bool debug; /* PCRs 0 to 2 of zeros */
	unsigned int pcr_count; /* 0: 16 */
	size_t pcr_len; /* 0: 48 */
	struct bytes user_data, nonce, public_key; /* p NULL: null */
	bool user_absent; /* not even null */
	X509 *leaf; /* NULL: the maker's */
	bool leaf_first; /* cabundle in the wrong order */
	bool no_root; /* cabundle without the root */
	bool indefinite; /* maps and arrays as the NSM writes them */
	bool tagged; /* COSE_Sign1's tag in front */
	bool extra_key, twice; /* a key of nobody's, one key two times */
};
/* The payload alone, appended. */
void nitro_make_payload(const struct nitro_maker *m, const struct nitro_spec *s, struct buf *out);
/* The whole document, appended. */
void nitro_make_document(const struct nitro_maker *m, const struct nitro_spec *s, struct buf *out);
/* A COSE_Sign1 over any payload with any protected header, signed with key. */
void nitro_make_cose(EVP_PKEY *key, struct bytes header, struct bytes payload, struct buf *out);

#endif
