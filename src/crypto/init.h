/*
 * init: how this project uses OpenSSL, in one place. For src/crypto, src/tee and src/wire only.
 */
#ifndef SCONE_CRYPTO_INIT_H
#define SCONE_CRYPTO_INIT_H

#include <openssl/evp.h>
#include "core/error.h"

/* Start OpenSSL once, without its configuration file (the host writes that) and without exit handlers (other threads
 * may still be using it then). Every function of src/crypto calls it; cheap after the first time. */
void crypto_init(void);

/* From the first allocation of OpenSSL on, what it gives back is wiped: it frees decoded private keys and decrypted records as they are.
 * crypto_init does it first of all; a program that calls OpenSSL before that calls this before. */
void crypto_wipe_freed(void);

/* Fetched once; never NULL: a library without them aborts the program. */
const EVP_MD *crypto_sha256(void);
const EVP_MD *crypto_sha384(void);
const EVP_CIPHER *crypto_aes_256_gcm(void);

/* error_set with ": " and OpenSSL's newest reason appended; empties OpenSSL's queue. */
int crypto_error(struct error *err, enum err_code code, const char *fmt, ...) PRINTF_LIKE(3, 4);

#endif
