/*
 * signature: what people sign with keys of their own: sessions before an upload, and votes. Ed25519, or ECDSA P-384 with SHA-384. No I/O.
 *
 * In JSON a signature is {"signer": SPKI PEM, "signature": BASE64}; of P-384, DER or the 96 bytes r and s as browsers make them.
 */
#ifndef SCONE_POLICY_SIGNATURE_H
#define SCONE_POLICY_SIGNATURE_H

#include <jansson.h>
#include <openssl/evp.h>
#include <stdint.h>
#include "core/buf.h"
#include "core/error.h"
#include "policy/access.h"

/* *ret is key hash of the signer. ERR_INPUT: not of this form, or another type of key; ERR_CRYPTO: not a signature over these bytes. */
MUST_USE int signature_verify(const char *signer, const char *signature, const void *p, size_t n,
	uint8_t ret[32], struct error *err);
/* Sets the two keys of j. ERR_INPUT: k is of another type. */
MUST_USE int signature_make(EVP_PKEY *k, const void *p, size_t n, json_t *j, struct error *err);

/*
 * A signed session: {"format":"openscone-signed-session-v1","session":TEXT,"signatures":[signature, …]}, nothing else. TEXT is the document as it will be
 * stored. Signed is "openscone-signed-session-v1", NUL, TEXT.
 */
struct signed_session {
	json_t *root; /* owned; its strings are wiped when it is freed */
	const char *text; /* of root */
	size_t len;
	uint8_t signers[ACCESS_SIGNERS_MAX][32]; /* key hashes, each once */
	size_t signer_count; /* after decoding at least 1 */
};
/* Every signature is verified, and no key signs twice. */
MUST_USE int signed_session_decode(const void *p, size_t n, struct signed_session *ret, struct error *err);
/* Is it meant to be one? It may be a bad one. */
bool signed_session_looks(const void *p, size_t n);
/* A signed session without signatures; to be signed. */
MUST_USE int signed_session_new(const char *text, size_t n, struct signed_session *ret, struct error *err);
/* ERR_EXISTS: this key has signed it. */
MUST_USE int signed_session_sign(struct signed_session *s, EVP_PKEY *k, struct error *err);
MUST_USE int signed_session_encode(const struct signed_session *s, struct buf *out, struct error *err);
void signed_session_free(struct signed_session *s); /* idempotent */

/*
 * A signed vote: {"format":"openscone-vote-v1","proposal":HEX64,"choice":"approve"|"reject","signer":PEM,"signature":BASE64}. Signed is what
 * board_vote_bytes gives.
 */
#define VOTE_FORMAT "openscone-vote-v1"

#endif
