/*
 * sim: evidence of the simulation platform. Same shape of statement as hardware's, signed by a key that the host holds:
 * it binds code to a connection, it keeps nobody out.
 *
 * All integers big endian. The signature is Ed25519 over the bytes before it.
 */
#ifndef SCONE_EVIDENCE_SIM_H
#define SCONE_EVIDENCE_SIM_H

#include <assert.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <stddef.h>
#include <stdint.h>
#include "core/error.h"
#include "evidence/verdict.h"

#define SIM_EVIDENCE_MAGIC "SCONESIM"
#define SIM_EVIDENCE_VERSION 1
#define SIM_FLAG_DEBUG 1u
#define SIM_EVIDENCE_MAX_AGE 300 /* seconds */

struct sim_evidence {
	uint8_t magic[8];
	uint8_t version[4];
	uint8_t flags[4];
	uint8_t runtime_digest[32];
	uint8_t manifest_root[32];
	uint8_t measurement[32]; /* must equal measurement(runtime_digest, manifest_root) */
	uint8_t report_data[64];
	uint8_t issued_at[8];
	uint8_t platform_key[32]; /* raw Ed25519 public key */
	uint8_t signature[64];
};

static_assert(sizeof(struct sim_evidence) == 280, "wire size");
static_assert(offsetof(struct sim_evidence, signature) == 216, "signed bytes");

/* Fill and sign. platform is an Ed25519 private key. */
MUST_USE int sim_evidence_make(EVP_PKEY *platform, const uint8_t runtime_digest[32],
	const uint8_t manifest_root[32], const uint8_t report_data[REPORT_DATA_LEN], uint64_t now,
	uint32_t flags, struct sim_evidence *ret, struct error *err);
MUST_USE int sim_evidence_verify(
	const uint8_t *p, size_t n, const struct verify_context *ctx, struct verdict *ret, struct error *err);

/* Row of the table in type.c; as type.h says. */
bool sim_is(const uint8_t *p, size_t n);
MUST_USE int sim_verify(
	const struct evidence *e, const struct verify_context *ctx, struct verdict *ret, struct error *err);
MUST_USE int sim_show(const struct evidence *e, json_t *into, struct error *err);

#endif
