#include "cas/platform_nonce.h"

#include <string.h>
#include "core/secret.h"
#include "crypto/hash.h"
#include "crypto/key.h"
#include "evidence/check.h"

#define LABEL "openscone-platform-nonce-v1"
#define TIME_LEN 8
#define PEM_MAX 4096

int platform_nonce_key(EVP_PKEY *identity, uint8_t ret[PLATFORM_NONCE_KEY_LEN], struct error *err)
{
	struct buf pem;
	int rc;

	buf_init_secret(&pem, PEM_MAX);
	rc = key_to_pem(identity, &pem, err);
	if (rc == 0)
		rc = hkdf_sha256(pem.data, pem.len, NULL, 0, LABEL, ret, PLATFORM_NONCE_KEY_LEN, err);
	buf_free(&pem);
	return rc;
}

void platform_nonce_issue(
	const uint8_t key[PLATFORM_NONCE_KEY_LEN], uint64_t now, uint8_t ret[PLATFORM_NONCE_LEN])
{
	uint8_t in[sizeof(LABEL) + TIME_LEN], mac[SHA256_LEN];

	memcpy(in, LABEL, sizeof(LABEL));
	for (int i = 0; i < TIME_LEN; i++)
		in[sizeof(LABEL) + (size_t)i] = (uint8_t)(now >> (8 * (TIME_LEN - 1 - i)));
	hmac_sha256(key, PLATFORM_NONCE_KEY_LEN, in, sizeof(in), mac);
	memcpy(ret, in + sizeof(LABEL), TIME_LEN);
	memcpy(ret + TIME_LEN, mac, PLATFORM_NONCE_LEN - TIME_LEN);
}

int platform_nonce_check(const uint8_t key[PLATFORM_NONCE_KEY_LEN], const uint8_t nonce[PLATFORM_NONCE_LEN],
	uint64_t now, uint64_t max_age, struct error *err)
{
	uint8_t wanted[PLATFORM_NONCE_LEN];
	uint64_t issued = 0;

	for (int i = 0; i < TIME_LEN; i++)
		issued = issued << 8 | nonce[i];
	platform_nonce_issue(key, issued, wanted);
	if (!secret_equal(nonce, wanted, sizeof(wanted)))
		return evidence_refuse(err, CHECK_PLATFORM_AGE,
			"age of the machine's evidence: it was made over no platform nonce of this CAS; "
			"wanted one "
			"issued at most %llu seconds ago",
			(unsigned long long)max_age);
	if (issued > now)
		return evidence_refuse(err, CHECK_PLATFORM_AGE,
			"age of the machine's evidence: its platform nonce was issued %llu seconds in the "
			"future: "
			"this CAS's clock was put back; wanted one issued at most %llu seconds ago",
			(unsigned long long)(issued - now), (unsigned long long)max_age);
	if (now - issued > max_age)
		return evidence_refuse(err, CHECK_PLATFORM_AGE,
			"age of the machine's evidence: its platform nonce was issued %llu seconds ago, "
			"wanted at "
			"most %llu",
			(unsigned long long)(now - issued), (unsigned long long)max_age);
	return 0;
}
