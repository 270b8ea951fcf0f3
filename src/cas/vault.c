#include <stdlib.h>
#include <string.h>
#include "cas/vault.h"
#include "cas/vault_key.h"
#include "cas/vault_pgp.h"
#include "crypto/key.h"
#include "crypto/hash.h"

#define VAULT_VERSION 1
#define ASCII_FIRST 0x21
#define ASCII_LAST 0x7e
#define KEY_BYTES 2048 /* of a key or certificate, about */

void vault_init(struct vault *v)
{
	memset(v, 0, sizeof(*v));
}

void vault_free(struct vault *v)
{
	for (size_t i = 0; i < v->count; i++) {
		free(v->values[i].name);
		secret_free(&v->values[i].value);
	}
	free(v->values);
	vault_init(v);
}

/* Character i of an alphabet; NUL past its end. */
static char alphabet_char(enum secret_alphabet alphabet, unsigned i)
{
	static const char alnum[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
	static const char hex[] = "0123456789abcdef";

	switch (alphabet) {
	case ALPHABET_ALNUM:
		return i < sizeof(alnum) ? alnum[i] : '\0';
	case ALPHABET_HEX:
		return i < sizeof(hex) ? hex[i] : '\0';
	case ALPHABET_PRINTABLE:
		break;
	}
	return i <= ASCII_LAST - ASCII_FIRST ? (char)(ASCII_FIRST + i) : '\0';
}

static unsigned alphabet_size(enum secret_alphabet alphabet)
{
	unsigned n = 0;

	while (alphabet_char(alphabet, n))
		n++;
	return n;
}

/* Uniform: bytes at or above the largest multiple of the alphabet's size are thrown away. */
static int random_text(enum secret_alphabet alphabet, uint8_t *ret, size_t n, struct error *err)
{
	unsigned size = alphabet_size(alphabet), bound = 256 - 256 % size;
	uint8_t pool[256];
	size_t at = sizeof(pool), done = 0;

	while (done < n) {
		if (at == sizeof(pool)) {
			if (random_bytes(pool, sizeof(pool), err))
				return -1;
			at = 0;
		}
		if (pool[at] < bound)
			ret[done++] = (uint8_t)alphabet_char(alphabet, pool[at] % size);
		at++;
	}
	secret_wipe(pool, sizeof(pool));
	return 0;
}

static int generate(const struct secret_spec *spec, struct secret *ret, struct error *err)
{
	int rc;

	ret->data = malloc(spec->size ? spec->size : 1);
	if (!ret->data)
		return error_set(err, ERR_NOMEM, "out of memory for a secret of %u bytes", spec->size);
	ret->len = spec->size;
	if (spec->kind == SECRET_ASCII)
		rc = random_text(spec->alphabet, ret->data, ret->len, err);
	else
		rc = random_bytes(ret->data, ret->len, err);
	if (rc)
		error_wrap(err, "secret \"%s\"", spec->name);
	return rc;
}

static const struct vault_value *find(const struct vault *v, const char *name, size_t len)
{
	for (size_t i = 0; v && i < v->count; i++)
		if (strlen(v->values[i].name) == len && !memcmp(v->values[i].name, name, len))
			return &v->values[i];
	return NULL;
}

static uint8_t detail_of(const struct secret_spec *spec)
{
	if (spec->kind == SECRET_ASCII)
		return (uint8_t)spec->alphabet;
	return spec->kind == SECRET_PRIVATE_KEY && spec->migrate;
}

struct vault_value *vault_slot(struct vault *v, const struct secret_spec *spec, struct error *err)
{
	struct vault_value *list;

	for (size_t i = 0; i < v->count; i++)
		if (!strcmp(v->values[i].name, spec->name))
			return &v->values[i];
	list = realloc(v->values, (v->count + 1) * sizeof(*list));
	if (list)
		v->values = list;
	if (!list || !(list[v->count].name = strdup(spec->name))) {
		error_set(err, ERR_NOMEM, "out of memory for %zu secrets", v->count + 1);
		return NULL;
	}
	list[v->count].kind = spec->kind;
	list[v->count].detail = detail_of(spec);
	list[v->count].value = (struct secret){0};
	return &list[v->count++];
}

/* A kept private key must be of the type that is asked for now. */
static bool is_of_type(const struct secret *pem, enum key_type wanted)
{
	enum key_type type;
	EVP_PKEY *k = NULL;
	bool ret = false;

	if (!key_from_pem((const char *)pem->data, pem->len, &k, NULL))
		ret = !key_type_of(k, &type) && type == wanted;
	EVP_PKEY_free(k);
	return ret;
}

static bool keeps(const struct vault_value *old, const struct secret_spec *spec)
{
	if (!old || old->kind != spec->kind)
		return false;
	if (spec->kind == SECRET_PGP)
		return true;
	if (spec->kind == SECRET_PRIVATE_KEY)
		return old->detail && spec->migrate && is_of_type(&old->value, spec->key_type);
	return old->value.len == spec->size && old->detail == detail_of(spec);
}

static int make_one(const struct secret_spec *spec, const struct vault *old, uint64_t now, struct vault *v,
	struct error *err)
{
	const struct vault_value *kept = find(old, spec->name, strlen(spec->name));
	struct vault_value *value = vault_slot(v, spec, err);

	if (!value)
		return -1;
	if (keeps(kept, spec))
		return secret_set(&value->value, kept->value.data, kept->value.len, err);
	if (spec->kind == SECRET_PRIVATE_KEY)
		return vault_key_generate(spec, &value->value, err);
	if (spec->kind == SECRET_PGP)
		return vault_pgp_generate(now, &value->value, err);
	return generate(spec, &value->value, err);
}

/* About what a generated value takes. */
static uint64_t bytes_of(const struct secret_spec *spec)
{
	if (spec->has_value || spec->imported || spec->kind == SECRET_PUBLIC_KEY ||
		spec->kind == SECRET_FRAGMENT || spec->kind == SECRET_JWT)
		return 0;
	return spec->kind <= SECRET_BINARY ? spec->size : KEY_BYTES;
}

/* Not what follows from other secrets, and not what has no value of its own. */
static bool is_generated(enum secret_kind k)
{
	return k == SECRET_ASCII || k == SECRET_BINARY || k == SECRET_PRIVATE_KEY || k == SECRET_PGP;
}

int vault_make(
	const struct session *s, const struct vault *old, uint64_t now, struct vault *ret, struct error *err)
{
	struct vault v = {0};
	uint64_t total = 0;
	bool changed;

	for (size_t i = 0; i < s->secret_count; i++)
		total += bytes_of(&s->secrets[i]);
	if (total > VAULT_BYTES_MAX)
		return error_set(err, ERR_LIMIT,
			"session \"%s\": its generated secrets are %llu bytes together, at most %d are "
			"allowed",
			s->name, (unsigned long long)total, VAULT_BYTES_MAX);
	for (size_t i = 0; i < s->secret_count; i++) {
		if (s->secrets[i].has_value || s->secrets[i].imported || !is_generated(s->secrets[i].kind))
			continue;
		if (make_one(&s->secrets[i], old, now, &v, err))
			goto fail;
	}
	if (vault_key_certify(s, &v, now, &changed, err))
		goto fail;
	*ret = v;
	return 0;
fail:
	vault_free(&v);
	return -1;
}

int vault_encode(const struct vault *v, struct buf *out, struct error *err)
{
	buf_put_u8(out, VAULT_VERSION);
	buf_put_u32be(out, (uint32_t)v->count);
	for (size_t i = 0; i < v->count; i++) {
		const struct vault_value *value = &v->values[i];

		buf_put_u8(out, (uint8_t)value->kind);
		buf_put_u8(out, value->detail);
		buf_put_block(out, value->name, strlen(value->name));
		buf_put_block(out, value->value.data, value->value.len);
	}
	return out->failed ? error_set(err, ERR_LIMIT, "%zu secrets do not fit into one record", v->count)
			   : 0;
}

static int decode_one(struct rd *r, struct vault *v, struct error *err)
{
	struct vault_value *value = &v->values[v->count];
	uint8_t kind = rd_u8(r), detail = rd_u8(r);
	size_t name_len = 0, len = 0;
	const uint8_t *name = rd_block(r, 4096, &name_len);
	const uint8_t *data = rd_block(r, VAULT_BYTES_MAX, &len);

	if (r->failed || kind > SECRET_PGP || detail > ALPHABET_HEX || memchr(name, '\0', name_len))
		return error_set(err, ERR_INPUT, "secret %zu of a stored session is malformed", v->count);
	value->kind = kind;
	value->detail = detail;
	value->name = strndup((const char *)name, name_len);
	if (!value->name)
		return error_set(err, ERR_NOMEM, "out of memory");
	v->count++;
	return secret_set(&value->value, data, len, err);
}

int vault_decode(const void *p, size_t n, struct vault *ret, struct error *err)
{
	struct vault v = {0};
	uint8_t version;
	uint32_t count;
	struct rd r;

	rd_init(&r, p, n);
	version = rd_u8(&r);
	count = rd_u32be(&r);
	if (r.failed || version != VAULT_VERSION || count > r.left / 10)
		return error_set(err, ERR_INPUT,
			"stored secrets have format %u and %u entries in %zu bytes, wanted format %d",
			version, count, n, VAULT_VERSION);
	v.values = calloc((size_t)count + 1, sizeof(*v.values));
	if (!v.values)
		return error_set(err, ERR_NOMEM, "out of memory for %u secrets", count);
	for (uint32_t i = 0; i < count; i++)
		if (decode_one(&r, &v, err))
			goto fail;
	if (!rd_done(&r)) {
		error_set(err, ERR_INPUT, "stored secrets have %zu bytes too many", r.left);
		goto fail;
	}
	*ret = v;
	return 0;
fail:
	vault_free(&v);
	return -1;
}

const struct secret_spec *vault_lookup(const struct session *s, const struct vault *v, const char *name,
	size_t len, const void **ret, size_t *ret_len)
{
	const struct secret_spec *spec = session_secret(s, name, len);
	const struct vault_value *value;

	if (!spec)
		return NULL;
	if (spec->has_value) {
		*ret = spec->value.data ? (const void *)spec->value.data : "";
		*ret_len = spec->value.len;
		return spec;
	}
	value = find(v, name, len);
	if (!value)
		return NULL;
	*ret = value->value.data ? (const void *)value->value.data : "";
	*ret_len = value->value.len;
	return spec;
}
