#include "crypto/init.h"

#include <malloc.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static EVP_MD *md_sha256, *md_sha384;
static EVP_CIPHER *cipher_aes_256_gcm;

static void wiping_free(void *p, const char *file, int line)
{
	if (p)
		explicit_bzero(p, malloc_usable_size(p));
	free(p);
}

static void *plain_malloc(size_t n, const char *file, int line)
{
	return n ? malloc(n) : NULL;
}

/* As CRYPTO_realloc: no bytes is a free, no block a malloc; on failure the old block stays. */
static void *wiping_realloc(void *p, size_t n, const char *file, int line)
{
	size_t old = p ? malloc_usable_size(p) : 0;
	void *ret = n ? malloc(n) : NULL;

	if (n && !ret)
		return NULL;
	if (ret && old)
		memcpy(ret, p, old < n ? old : n);
	wiping_free(p, file, line);
	return ret;
}

void crypto_wipe_freed(void)
{
	/* Refused when OpenSSL has memory already: its frees are then as they were. */
	CRYPTO_set_mem_functions(plain_malloc, wiping_realloc, wiping_free);
}

static void start(void)
{
	crypto_wipe_freed();
	if (OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ATEXIT, NULL) != 1)
		abort();
	md_sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	md_sha384 = EVP_MD_fetch(NULL, "SHA384", NULL);
	cipher_aes_256_gcm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
	if (!md_sha256 || !md_sha384 || !cipher_aes_256_gcm)
		abort();
}

void crypto_init(void)
{
	pthread_once(&once, start);
}

const EVP_MD *crypto_sha256(void)
{
	crypto_init();
	return md_sha256;
}

const EVP_MD *crypto_sha384(void)
{
	crypto_init();
	return md_sha384;
}

const EVP_CIPHER *crypto_aes_256_gcm(void)
{
	crypto_init();
	return cipher_aes_256_gcm;
}

int crypto_error(struct error *err, enum err_code code, const char *fmt, ...)
{
	unsigned long last = ERR_peek_last_error();
	const char *reason = last ? ERR_reason_error_string(last) : NULL;
	char text[ERROR_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	if (vsnprintf(text, sizeof(text), fmt, ap) < 0)
		text[0] = '\0';
	va_end(ap);
	error_set(err, code, "%s: %s", text, reason ? reason : "no reason given by OpenSSL");
	ERR_clear_error();
	return -1;
}
