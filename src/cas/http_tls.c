#include <openssl/err.h>
#include "cas/http_tls.h"

/* Certificates name keys here, nothing else: no chain is built. That the peer has the private key is proved by the handshake. */
static int accept_any(X509_STORE_CTX *store, void *arg)
{
	X509_STORE_CTX_set_error(store, X509_V_OK);
	return 1;
}

int http_tls_context(EVP_PKEY *key, X509 *cert, SSL_CTX **ret, struct error *err)
{
	SSL_CTX *c = SSL_CTX_new(TLS_server_method());

	if (!c)
		return error_set(err, ERR_CRYPTO, "TLS context: %s", ERR_error_string(ERR_get_error(), NULL));
	if (SSL_CTX_set_min_proto_version(c, TLS1_3_VERSION) != 1 ||
		SSL_CTX_set_max_proto_version(c, TLS1_3_VERSION) != 1 ||
		SSL_CTX_use_certificate(c, cert) != 1 || SSL_CTX_use_PrivateKey(c, key) != 1 ||
		SSL_CTX_check_private_key(c) != 1 || SSL_CTX_set_num_tickets(c, 0) != 1) {
		error_set(err, ERR_CRYPTO, "TLS context: %s", ERR_error_string(ERR_get_error(), NULL));
		SSL_CTX_free(c);
		return -1;
	}
	SSL_CTX_set_verify(c, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_cert_verify_callback(c, accept_any, NULL);
	SSL_CTX_set_max_cert_list(c, 32 * 1024);
	SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_options(c, SSL_OP_NO_TICKET | SSL_OP_CLEANSE_PLAINTEXT | SSL_OP_NO_RENEGOTIATION |
				       SSL_OP_CIPHER_SERVER_PREFERENCE);
	SSL_CTX_set_mode(c, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
				    SSL_MODE_RELEASE_BUFFERS);
	*ret = c;
	return 0;
}
