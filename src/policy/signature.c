#include "policy/signature.h"

#include <string.h>
#include "core/encode.h"
#include "core/secret.h"
#include "crypto/key.h"
#include "policy/session.h"

#define SIGNED_FORMAT "openscone-signed-session-v1"
#define SIGNATURE_MAX 512
#define P384_LEN 48

static int check(EVP_PKEY *k, const void *p, size_t n, const struct buf *sig, struct error *err)
{
	enum key_type type;

	/* A DER signature of P-384 is longer than 96 bytes, but for one in 2^60 or so: then its first byte tells. */
	if (!key_type_of(k, &type) && type == KEY_P384 && sig->len == 2 * P384_LEN &&
		!key_verify_rs(k, p, n, sig->data, sig->data + P384_LEN, P384_LEN, NULL))
		return 0;
	return key_verify(k, p, n, sig->data, sig->len, err);
}

int signature_verify(const char *signer, const char *signature, const void *p, size_t n, uint8_t ret[32],
	struct error *err)
{
	uint8_t hash[32];
	EVP_PKEY *k = NULL;
	struct buf sig;
	bool kind;
	int rc;

	if (access_signer_read(signer, strlen(signer), hash, &kind, err))
		return error_wrap(err, "signer");
	buf_init(&sig, SIGNATURE_MAX);
	rc = key_public_from_pem(signer, strlen(signer), &k, err);
	if (!rc && base64_decode(signature, strlen(signature), &sig))
		rc = error_set(err, ERR_INPUT, "signature of %zu characters is no base64 of at most %d bytes",
			strlen(signature), SIGNATURE_MAX);
	if (!rc)
		rc = check(k, p, n, &sig, err);
	if (!rc)
		memcpy(ret, hash, sizeof hash);
	buf_free(&sig);
	EVP_PKEY_free(k);
	return rc;
}

static int own_signer(EVP_PKEY *k, struct buf *pem, uint8_t ret[32], struct error *err)
{
	bool kind;

	if (key_public_to_pem(k, pem, err))
		return -1;
	if (!buf_cstr(pem))
		return error_set(err, ERR_NOMEM, "no memory");
	return access_signer_read((const char *)pem->data, pem->len, ret, &kind, err);
}

int signature_make(EVP_PKEY *k, const void *p, size_t n, json_t *j, struct error *err)
{
	struct buf pem, sig, text;
	uint8_t hash[32];
	int rc;

	buf_init(&pem, 4096);
	buf_init(&sig, SIGNATURE_MAX);
	buf_init(&text, 2 * SIGNATURE_MAX);
	rc = own_signer(k, &pem, hash, err);
	if (!rc)
		rc = key_sign(k, p, n, &sig, err);
	if (!rc) {
		base64_encode(sig.data, sig.len, &text);
		if (!buf_cstr(&text) ||
			json_object_set_new(j, "signer", json_string((const char *)pem.data)) ||
			json_object_set_new(j, "signature", json_string((const char *)text.data)))
			rc = error_set(err, ERR_NOMEM, "no memory for a signature");
	}
	buf_free(&pem);
	buf_free(&sig);
	buf_free(&text);
	return rc;
}

/* --- signed sessions --- */

static int signed_bytes(const char *text, size_t n, struct buf *out, struct error *err)
{
	buf_init_secret(out, SESSION_TEXT_MAX + sizeof SIGNED_FORMAT);
	buf_put(out, SIGNED_FORMAT, sizeof SIGNED_FORMAT);
	buf_put(out, text, n);
	if (!out->failed)
		return 0;
	buf_free(out);
	return error_set(
		err, ERR_LIMIT, "a document of %zu bytes, at most %d are possible", n, SESSION_TEXT_MAX);
}

static int add_signer(struct signed_session *s, const uint8_t key[32], struct error *err)
{
	char text[KEY_HASH_TEXT_MAX];

	for (size_t i = 0; i < s->signer_count; i++)
		if (!memcmp(s->signers[i], key, 32)) {
			key_hash_text(key, text);
			return error_set(err, ERR_EXISTS, "key %s has signed it twice", text);
		}
	if (s->signer_count == ACCESS_SIGNERS_MAX)
		return error_set(err, ERR_LIMIT, "more than %d signatures", ACCESS_SIGNERS_MAX);
	memcpy(s->signers[s->signer_count++], key, 32);
	return 0;
}

static int read_signature(
	struct signed_session *s, const json_t *j, size_t i, const struct buf *bytes, struct error *err)
{
	const char *signer, *signature;
	uint8_t key[32];

	if (json_unpack((json_t *)j, "{s:s,s:s!}", "signer", &signer, "signature", &signature))
		return error_set(err, ERR_INPUT, "signature %zu is no object of signer and signature", i + 1);
	if (signature_verify(signer, signature, bytes->data, bytes->len, key, err) || add_signer(s, key, err))
		return error_wrap(err, "signature %zu", i + 1);
	return 0;
}

static int read_root(struct signed_session *s, struct error *err)
{
	json_t *text = json_object_get(s->root, "session"), *list = json_object_get(s->root, "signatures");
	const char *format = json_string_value(json_object_get(s->root, "format"));
	struct buf bytes;
	int rc = 0;

	if (!json_is_string(text) || !json_is_array(list) || !format || json_object_size(s->root) != 3)
		return error_set(
			err, ERR_INPUT, "a signed session is an object of format, session and signatures");
	if (strcmp(format, SIGNED_FORMAT))
		return error_set(err, ERR_INPUT, "format %.64s, wanted %s", format, SIGNED_FORMAT);
	if (json_array_size(list) < 1 || json_array_size(list) > ACCESS_SIGNERS_MAX)
		return error_set(err, ERR_INPUT, "%zu signatures; 1 to %d are possible",
			json_array_size(list), ACCESS_SIGNERS_MAX);
	s->text = json_string_value(text);
	s->len = json_string_length(text);
	if (signed_bytes(s->text, s->len, &bytes, err))
		return -1;
	for (size_t i = 0; i < json_array_size(list) && !rc; i++)
		rc = read_signature(s, json_array_get(list, i), i, &bytes, err);
	buf_free(&bytes);
	return rc;
}

int signed_session_decode(const void *p, size_t n, struct signed_session *ret, struct error *err)
{
	struct signed_session s = {.root = json_loadb(p, n, JSON_REJECT_DUPLICATES, NULL)};

	if (!json_is_object(s.root)) {
		signed_session_free(&s);
		return error_set(err, ERR_INPUT, "%zu bytes are no JSON object", n);
	}
	if (read_root(&s, err)) {
		signed_session_free(&s);
		return error_wrap(err, "signed session");
	}
	*ret = s;
	return 0;
}

bool signed_session_looks(const void *p, size_t n)
{
	json_t *j = memmem(p, n, SIGNED_FORMAT, strlen(SIGNED_FORMAT)) ? json_loadb(p, n, 0, NULL) : NULL;
	bool looks = json_is_string(json_object_get(j, "format"));

	json_decref(j);
	return looks;
}

int signed_session_new(const char *text, size_t n, struct signed_session *ret, struct error *err)
{
	json_t *root =
		json_pack("{s:s,s:s%,s:[]}", "format", SIGNED_FORMAT, "session", text, n, "signatures");

	if (!root)
		return error_set(err, ERR_INPUT, "the document is no UTF-8, or there is no memory for it");
	*ret = (struct signed_session){.root = root};
	ret->text = json_string_value(json_object_get(root, "session"));
	ret->len = n;
	return 0;
}

int signed_session_sign(struct signed_session *s, EVP_PKEY *k, struct error *err)
{
	json_t *j = json_object();
	struct buf bytes, pem;
	uint8_t key[32];
	int rc;

	buf_init(&pem, 4096);
	rc = own_signer(k, &pem, key, err);
	buf_free(&pem);
	if (!rc)
		rc = add_signer(s, key, err);
	if (!rc)
		rc = signed_bytes(s->text, s->len, &bytes, err);
	if (!rc) {
		rc = signature_make(k, bytes.data, bytes.len, j, err);
		buf_free(&bytes);
	}
	if (!rc && json_array_append(json_object_get(s->root, "signatures"), j))
		rc = error_set(err, ERR_NOMEM, "no memory for a signature");
	json_decref(j);
	return rc;
}

static int dump(const char *p, size_t n, void *arg)
{
	buf_put(arg, p, n);
	return ((struct buf *)arg)->failed ? -1 : 0;
}

int signed_session_encode(const struct signed_session *s, struct buf *out, struct error *err)
{
	if (json_dump_callback(s->root, dump, out, JSON_INDENT(1)))
		return error_set(err, ERR_NOMEM, "no memory for a signed session");
	buf_putc(out, '\n');
	return 0;
}

void signed_session_free(struct signed_session *s)
{
	json_decref(s->root);
	memset(s, 0, sizeof *s);
}
