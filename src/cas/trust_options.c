#include <stdlib.h>
#include <string.h>
#include "cas/trust.h"
#include "core/secret.h"
#include "crypto/key.h"
#include "crypto/x509_chain.h"
#include "wire/collateral_dir.h"

#define LIST_MAX 1024
#define ISSUERS_MAX (X509_CHAIN_MAX * X509_DER_MAX)

/* One more element of size bytes, zeroed; NULL with err. *list and *count are the caller's. */
static void *append(void *list, size_t *count, size_t size, struct error *err)
{
	void **at = list;
	char *grown;

	if (*count >= LIST_MAX) {
		error_set(err, ERR_INPUT, "given more than %d times", LIST_MAX);
		return NULL;
	}
	grown = reallocarray(*at, *count + 1, size);
	if (!grown) {
		error_set(err, ERR_NOMEM, "out of memory");
		return NULL;
	}
	*at = grown;
	memset(grown + *count * size, 0, size);
	return grown + (*count)++ * size;
}

/* TYPE of "TYPE=REST"; *ret_rest points behind the '='. */
static enum tee_type split(const char *text, const char **ret_rest, struct error *err)
{
	const char *equals = strchr(text, '=');
	char word[16] = "";
	enum tee_type t;

	if (equals && (size_t)(equals - text) < sizeof(word))
		memcpy(word, text, (size_t)(equals - text));
	t = equals ? tee_type_parse(word) : TEE_NONE;
	if (t == TEE_NONE || t == TEE_SIM || !equals[1]) {
		error_set(err, ERR_INPUT,
			"wanted TYPE=VALUE with a TYPE of sgx, tdx, sev-snp, tpm, nitro, seen \"%.64s\"",
			text);
		return TEE_NONE;
	}
	*ret_rest = equals + 1;
	return t;
}

int trust_option_test_root(struct trust_options *o, const char *text, struct error *err)
{
	struct trust_root root = {.tee = TEE_NONE}, *to;
	const char *file;

	root.tee = split(text, &file, err);
	if (root.tee == TEE_NONE || collateral_root(file, root.key_hash, err))
		return -1;
	to = append(&o->test_roots, &o->test_root_count, sizeof(*to), err);
	if (!to)
		return -1;
	*to = root;
	return 0;
}

/* A file with a public key alone has none. */
static int keep_issuers(struct trust_options *o, const char *path, struct error *err)
{
	struct x509_chain c = {0};
	X509 **to = NULL;
	struct buf b;
	int rc;

	buf_init(&b, ISSUERS_MAX + 1);
	rc = collateral_read(path, ISSUERS_MAX, &b, err);
	if (!rc && x509_chain_from_pem(b.data, b.len, &c, NULL) &&
		!x509_from_der(b.data, b.len, &c.cert[0], NULL))
		c.count = 1;
	buf_free(&b);
	for (size_t i = 0; !rc && i < c.count; i++) {
		to = append(&o->tpm_issuers, &o->tpm_issuer_count, sizeof(*to), err);
		if (to && X509_up_ref(c.cert[i]))
			*to = c.cert[i];
		rc = to ? 0 : -1;
	}
	x509_chain_free(&c);
	return rc;
}

int trust_option_tpm_root(struct trust_options *o, const char *text, struct error *err)
{
	struct trust_root root = {.tee = TEE_TPM}, *to;

	if (collateral_root(text, root.key_hash, err) || keep_issuers(o, text, err))
		return -1;
	to = append(&o->tpm_roots, &o->tpm_root_count, sizeof(*to), err);
	if (!to)
		return -1;
	*to = root;
	return 0;
}

int trust_option_operator(struct trust_options *o, const char *text, struct error *err)
{
	uint8_t key[KEY_HASH_LEN], (*to)[32];

	if (key_hash_parse(text, strlen(text), key, err))
		return -1;
	to = append(&o->operators, &o->operator_count, sizeof(*to), err);
	if (!to)
		return -1;
	memcpy(*to, key, sizeof(*to));
	return 0;
}

void trust_options_free(struct trust_options *o)
{
	free(o->test_roots);
	free(o->tpm_roots);
	for (size_t i = 0; i < o->tpm_issuer_count; i++)
		X509_free(o->tpm_issuers[i]);
	free(o->tpm_issuers);
	free(o->operators);
	memset(o, 0, sizeof(*o));
}

bool trust_is_operator(const struct trust_options *o, const uint8_t *key)
{
	for (size_t i = 0; key && i < o->operator_count; i++)
		if (secret_equal(o->operators[i], key, sizeof(o->operators[i])))
			return true;
	return false;
}
