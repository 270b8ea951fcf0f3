/*
 * signer: private keys in files, that sign sessions and votes.
 */
#ifndef SCONE_CLI_SIGNER_H
#define SCONE_CLI_SIGNER_H

#include <openssl/evp.h>
#include "cli/cli.h"

/* The key that --key names; ERR_INPUT without the option, ERR_ACCESS when others can read the file. The caller's (EVP_PKEY_free). Keeps the process out of core
 * dumps and ptrace from then on. */
MUST_USE int signer_load(const struct args *a, EVP_PKEY **ret, struct error *err);

#endif
