/*
 * cas_keys DIR: the keys that scone-cas holds when it serves DIR, one line each: a name and hexadecimal bytes, for tests that look for them in
 * its memory. DIR is a copy; the TEE is sim. Numbers come in both orders of bytes.
 */
#include <fcntl.h>
#include <openssl/core_names.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "cas/identity.h"
#include "cas/state.h"
#include "core/encode.h"
#include "core/secret.h"
#include "crypto/hash.h"
#include "tee/tee.h"

#define SCALAR_LEN 32

static void print(const char *name, const uint8_t *p, size_t n)
{
	char hex[2 * 64 + 1];

	hex_encode(p, n, hex);
	printf("%s %s\n", name, hex);
}

static int print_number(const char *name, const BIGNUM *n)
{
	uint8_t bytes[SCALAR_LEN];
	char reversed[64];

	snprintf(reversed, sizeof(reversed), "%s_reversed", name);
	if (!n || BN_bn2binpad(n, bytes, sizeof(bytes)) < 0)
		return -1;
	print(name, bytes, sizeof(bytes));
	if (BN_bn2lebinpad(n, bytes, sizeof(bytes)) < 0)
		return -1;
	print(reversed, bytes, sizeof(bytes));
	return 0;
}

static int print_derived(const struct buf *master, struct error *err)
{
	static const char *const labels[] = {
		"openscone-cas-record-names", "openscone-cas-record-values", "openscone-cas-record-set"};
	uint8_t key[32];

	print("master", master->data, master->len);
	for (size_t i = 0; i < sizeof(labels) / sizeof(labels[0]); i++) {
		if (hkdf_sha256(master->data, master->len, NULL, 0, labels[i], key, sizeof(key), err))
			return -1;
		print(labels[i], key, sizeof(key));
	}
	return 0;
}

static int print_master(struct state *s, struct error *err)
{
	uint8_t sealed[4096];
	struct buf master;
	int fd = openat(s->dir_fd, "master.sealed", O_RDONLY), rc = -1;
	ssize_t n = fd < 0 ? -1 : read(fd, sealed, sizeof(sealed));

	if (fd >= 0)
		close(fd);
	buf_init_secret(&master, sizeof(sealed));
	if (n > 0 && !s->tee->ops->unseal(s->tee, "cas-master-key", sealed, (size_t)n, &master, err))
		rc = print_derived(&master, err);
	buf_free(&master);
	return rc;
}

static int print_identity(struct state *s, struct error *err)
{
	struct identity id = {0};
	BIGNUM *scalar = NULL;
	int rc = identity_load(s->sealed, &id, err);

	if (!rc && EVP_PKEY_get_bn_param(id.key, OSSL_PKEY_PARAM_PRIV_KEY, &scalar) != 1)
		rc = -1;
	if (!rc)
		rc = print_number("identity", scalar);
	BN_clear_free(scalar);
	identity_free(&id);
	return rc;
}

int main(int argc, char **argv)
{
	struct error err = {0};
	struct state s;
	int rc;

	if (argc != 2)
		return 2;
	state_init(&s);
	rc = state_open(&s, &(struct state_place){.dir = argv[1], .tee = &tee_sim_ops}, &err);
	if (!rc)
		rc = print_master(&s, &err) || print_identity(&s, &err);
	if (rc)
		fprintf(stderr, "cas_keys: %s\n", err.text);
	state_close(&s);
	return rc ? 1 : 0;
}
