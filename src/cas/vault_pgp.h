/*
 * vault_pgp: secrets of kind pgp-key (session language 5.2): an OpenPGP key of version 4 (RFC 4880; ECDH: RFC 6637; EdDSA over Ed25519: algorithm 22 as in
 * RFC 9580, 5.5.5.5): the primary key certifies and signs, a Curve25519 subkey encrypts, the user ID is random, there is no passphrase.
 *
 * In the vault: block transferable secret key, block transferable public key, both binary.
 */
#ifndef SCONE_CAS_VAULT_PGP_H
#define SCONE_CAS_VAULT_PGP_H

#include <stdint.h>
#include "core/buf.h"
#include "core/error.h"
#include "core/secret.h"

/* now: seconds since 1970, the time of its creation. */
MUST_USE int vault_pgp_generate(uint64_t now, struct secret *ret, struct error *err);
/* The parts of policy/secret_parts.h of a value that vault_pgp_generate made. out: secret buf. */
MUST_USE int vault_pgp_parts(
	const void *value, size_t n, bool with_private, struct buf *out, struct error *err);

#endif
