#include <stdlib.h>
#include <string.h>
#include "cas/trust.h"
#include "core/secret.h"
#include "crypto/key.h"
#include "wire/collateral_dir.h"

#define LIST_MAX 1024

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

int trust_option_tpm_root(struct trust_options *o, const char *text, struct error *err)
{
	struct trust_root root = {.tee = TEE_TPM}, *to;

	if (collateral_root(text, root.key_hash, err))
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
