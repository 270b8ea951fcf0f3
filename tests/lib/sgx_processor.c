#include "sgx_processor.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include "core/secret.h"
#include "crypto/hash.h"
#include "intel_certs.h"

void sgx_processor_open(struct sgx_processor *p, const char *file)
{
	FILE *f = fopen(file, "rb");

	if (!f) {
		must(random_bytes(p->secret, sizeof(p->secret), NULL) == 0, "random");
		f = fopen(file, "wb");
		must(f && fwrite(p->secret, sizeof(p->secret), 1, f) == 1, file);
	} else {
		must(fread(p->secret, sizeof(p->secret), 1, f) == 1, file);
	}
	must(fclose(f) == 0, file);
}

static void cmac(const uint8_t key[16], const void *p, size_t n, uint8_t ret[16])
{
	size_t len = 0;

	must(EVP_Q_mac(NULL, "CMAC", NULL, "AES-128-CBC", NULL, key, 16, p, n, ret, 16, &len) != NULL &&
			len == 16,
		"CMAC");
}

/* The report key of an enclave follows from its measurement, and from the key id of the report. */
static void mac_of(const struct sgx_processor *p, const struct sgx_report_mac *r, const uint8_t target[32],
	uint8_t ret[16])
{
	uint8_t of[64], key[16];

	memcpy(of, target, 32);
	memcpy(of + 32, r->key_id, 32);
	cmac(p->secret, of, sizeof(of), key);
	cmac(key, &r->body, sizeof(r->body), ret);
}

void sgx_processor_report(const struct sgx_processor *p, const struct sgx_report *body,
	const uint8_t target[32], struct sgx_report_mac *ret)
{
	ret->body = *body;
	must(random_bytes(ret->key_id, sizeof(ret->key_id), NULL) == 0, "random");
	mac_of(p, ret, target, ret->mac);
}

bool sgx_processor_check(
	const struct sgx_processor *p, const struct sgx_report_mac *r, const uint8_t target[32])
{
	uint8_t mac[16];

	mac_of(p, r, target, mac);
	return secret_equal(mac, r->mac, sizeof(mac));
}
