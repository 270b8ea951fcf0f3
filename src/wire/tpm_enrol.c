#include "wire/tpm_enrol.h"

#include <string.h>
#include "crypto/hash.h"
#include "wire/message.h"

#define CREDENTIAL_MAX 64
#define PCRS_ALL ((1u << TPM_ENROL_PCRS) - 1)

int tpm_enrol_name_check(const char *name, struct error *err)
{
	size_t n = strlen(name);

	if (n > 0 && n <= TPM_ENROL_NAME_MAX && name[0] != '.' &&
		strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.") == n)
		return 0;
	return error_set(err, ERR_INPUT,
		"name of a machine of %zu characters, wanted 1 to %d letters, digits, '-', '_', '.', the "
		"first "
		"no '.'",
		n, TPM_ENROL_NAME_MAX);
}

/* Takes o: NULL when ok is false. */
static json_t *whole(json_t *o, bool ok)
{
	if (ok)
		return o;
	json_decref(o);
	return NULL;
}

void tpm_enrol_request_init(struct tpm_enrol_request *r)
{
	memset(r, 0, sizeof(*r));
	buf_init(&r->ek, TPM_ENROL_KEY_MAX);
	buf_init(&r->ak, TPM_ENROL_KEY_MAX);
	buf_init(&r->certificates, TPM_ENROL_CERTIFICATES_MAX);
}

void tpm_enrol_request_free(struct tpm_enrol_request *r)
{
	buf_free(&r->ek);
	buf_free(&r->ak);
	buf_free(&r->certificates);
}

int tpm_enrol_request_encode(const struct tpm_enrol_request *r, struct buf *out, struct error *err)
{
	json_t *o = message_new();
	bool ok = message_put(o, "name", json_string(r->name)) &&
		  message_put(o, "ek", message_new_bytes(r->ek.data, r->ek.len)) &&
		  message_put(o, "ak", message_new_bytes(r->ak.data, r->ak.len)) &&
		  message_put(
			  o, "certificates", message_new_bytes(r->certificates.data, r->certificates.len)) &&
		  message_put(o, "pcrs", json_integer((json_int_t)r->pcrs));

	return message_write(whole(o, ok), "enrolment", out, err);
}

int tpm_enrol_request_decode(const void *p, size_t n, struct tpm_enrol_request *ret, struct error *err)
{
	static const char where[] = "enrolment";
	static const char *const keys[] = {"name", "ek", "ak", "certificates", "pcrs", NULL};
	const char *name;
	json_t *o;
	int rc;

	if (n > TPM_ENROL_BODY_MAX)
		return error_set(err, ERR_LIMIT, "%s of %zu bytes, at most %d", where, n, TPM_ENROL_BODY_MAX);
	if (message_parse(p, n, where, &o, err) < 0)
		return -1;
	rc = message_keys(o, where, keys, err) < 0 ||
			     message_text(o, where, "name", TPM_ENROL_NAME_MAX, &name, err) < 0 ||
			     tpm_enrol_name_check(name, err) < 0 ||
			     message_bytes(o, where, "ek", &ret->ek, err) < 0 ||
			     message_bytes(o, where, "ak", &ret->ak, err) < 0 ||
			     message_bytes(o, where, "certificates", &ret->certificates, err) < 0 ||
			     message_number(o, where, "pcrs", 0, PCRS_ALL, &ret->pcrs, err) < 0
		     ? -1
		     : 0;
	if (rc == 0)
		memcpy(ret->name, name, strlen(name) + 1);
	json_decref(o);
	return rc;
}

/* Challenge and proof are of one form: {"id":HEX64,A:B64,B:B64} */
struct pair {
	const char *where, *a, *b;
};
static const struct pair challenge_pair = {"enrolment challenge", "id_object", "secret"};
static const struct pair proof_pair = {"enrolment proof", "credential", "evidence"};

static int pair_encode(const struct pair *m, const uint8_t id[TPM_ENROL_ID_LEN], const struct buf *a,
	const struct buf *b, struct buf *out, struct error *err)
{
	json_t *o = message_new();
	bool ok = message_put(o, "id", message_new_hex(id, TPM_ENROL_ID_LEN)) &&
		  message_put(o, m->a, message_new_bytes(a->data, a->len)) &&
		  message_put(o, m->b, message_new_bytes(b->data, b->len));

	return message_write(whole(o, ok), m->where, out, err);
}

static int pair_decode(const struct pair *m, const void *p, size_t n, uint8_t id[TPM_ENROL_ID_LEN],
	struct buf *a, struct buf *b, struct error *err)
{
	const char *const keys[] = {"id", m->a, m->b, NULL};
	json_t *o;
	int rc;

	if (n > TPM_ENROL_BODY_MAX)
		return error_set(
			err, ERR_LIMIT, "%s of %zu bytes, at most %d", m->where, n, TPM_ENROL_BODY_MAX);
	if (message_parse(p, n, m->where, &o, err) < 0)
		return -1;
	rc = message_keys(o, m->where, keys, err) < 0 ||
			     message_hex(o, m->where, "id", id, TPM_ENROL_ID_LEN, err) < 0 ||
			     message_bytes(o, m->where, m->a, a, err) < 0 ||
			     message_bytes(o, m->where, m->b, b, err) < 0
		     ? -1
		     : 0;
	json_decref(o);
	return rc;
}

void tpm_enrol_challenge_init(struct tpm_enrol_challenge *c)
{
	memset(c, 0, sizeof(*c));
	buf_init(&c->id_object, TPM_ENROL_KEY_MAX);
	buf_init(&c->secret, TPM_ENROL_KEY_MAX);
}

void tpm_enrol_challenge_free(struct tpm_enrol_challenge *c)
{
	buf_free(&c->id_object);
	buf_free(&c->secret);
}

int tpm_enrol_challenge_encode(const struct tpm_enrol_challenge *c, struct buf *out, struct error *err)
{
	return pair_encode(&challenge_pair, c->id, &c->id_object, &c->secret, out, err);
}

int tpm_enrol_challenge_decode(const void *p, size_t n, struct tpm_enrol_challenge *ret, struct error *err)
{
	return pair_decode(&challenge_pair, p, n, ret->id, &ret->id_object, &ret->secret, err);
}

void tpm_enrol_proof_init(struct tpm_enrol_proof *p)
{
	memset(p, 0, sizeof(*p));
	buf_init_secret(&p->credential, CREDENTIAL_MAX);
	buf_init(&p->evidence, TPM_ENROL_EVIDENCE_MAX);
}

void tpm_enrol_proof_free(struct tpm_enrol_proof *p)
{
	buf_free(&p->credential);
	buf_free(&p->evidence);
}

int tpm_enrol_proof_encode(const struct tpm_enrol_proof *p, struct buf *out, struct error *err)
{
	return pair_encode(&proof_pair, p->id, &p->credential, &p->evidence, out, err);
}

int tpm_enrol_proof_decode(const void *p, size_t n, struct tpm_enrol_proof *ret, struct error *err)
{
	return pair_decode(&proof_pair, p, n, ret->id, &ret->credential, &ret->evidence, err);
}

void tpm_enrol_report_data(const uint8_t id[TPM_ENROL_ID_LEN], const uint8_t client_key[32],
	const uint8_t cas_key[32], uint8_t ret[64])
{
	static const char label[] = "openscone-tpm-enrol-v1"; /* its NUL is hashed too */
	uint8_t in[sizeof(label) + TPM_ENROL_ID_LEN + 32 + 32];

	memcpy(in, label, sizeof(label));
	memcpy(in + sizeof(label), id, TPM_ENROL_ID_LEN);
	memcpy(in + sizeof(label) + TPM_ENROL_ID_LEN, client_key, 32);
	memcpy(in + sizeof(label) + TPM_ENROL_ID_LEN + 32, cas_key, 32);
	sha256(in, sizeof(in), ret);
	memset(ret + SHA256_LEN, 0, 64 - SHA256_LEN);
}
