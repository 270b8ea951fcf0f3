/*
 * http_tls: the TLS side of the server.
 */
#ifndef SCONE_CAS_HTTP_TLS_H
#define SCONE_CAS_HTTP_TLS_H

#include <openssl/ssl.h>
#include "core/error.h"

/* Server context: TLS 1.3, client certificate asked for and not checked, no resumption, no early data. */
MUST_USE int http_tls_context(EVP_PKEY *key, X509 *cert, SSL_CTX **ret, struct error *err);

#endif
