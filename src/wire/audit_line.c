#include "wire/audit_line.h"

#include <openssl/x509.h>
#include <string.h>
#include "core/encode.h"
#include "crypto/hash.h"
#include "crypto/key.h"
#include "wire/message.h"

#define TEXT_MAX 2048
#define SIG_KEY ",\"sig\":\""

static const char where[] = "line of an audit log";
static const char domain[] = "openscone-audit-v1"; /* its NUL is signed, too */

/* What is signed: the domain and the object closed before its signature. */
static void put_signed(const char *object, size_t n, struct buf *out)
{
	buf_put(out, domain, sizeof(domain));
	buf_put(out, object, n);
	buf_putc(out, '}');
}

static int put_object(const struct audit_event *e, struct buf *out, struct error *err)
{
	json_t *o = message_new();
	bool ok = message_put(o, "seq", json_integer((json_int_t)e->seq)) &&
		  message_put(o, "time", json_integer((json_int_t)e->time)) &&
		  message_put(o, "event", json_string(e->event)) &&
		  message_put(o, "actor", json_string(e->actor)) &&
		  message_put(o, "subject", json_string(e->subject)) &&
		  message_put(o, "detail", json_string(e->detail)) &&
		  message_put(o, "generation", json_integer((json_int_t)e->generation)) &&
		  message_put(o, "prev", message_new_hex(e->prev, AUDIT_HASH_LEN));

	if (!ok) {
		json_decref(o);
		return error_set(err, ERR_NOMEM, "no memory for a %s, or it is not UTF-8", where);
	}
	return message_write(o, where, out, err);
}

void audit_commit(const uint8_t prev[AUDIT_HASH_LEN], const char *text, char ret[AUDIT_COMMITMENT_MAX])
{
	static const char name_domain[] = "openscone-audit-name-v1";
	uint8_t hash[SHA256_LEN];
	struct buf b;

	buf_init(&b, TEXT_MAX + 64);
	buf_put(&b, name_domain, sizeof(name_domain));
	buf_put(&b, prev, AUDIT_HASH_LEN);
	buf_puts(&b, text);
	sha256(b.data, b.len, hash);
	hex_encode(hash, sizeof(hash), ret);
	buf_free(&b);
}

int audit_line_write(const struct audit_event *e, EVP_PKEY *key, struct buf *out,
	uint8_t ret_hash[AUDIT_HASH_LEN], struct error *err)
{
	struct buf object, signing, sig;
	size_t start = out->len;
	int rc;

	buf_init(&object, AUDIT_LINE_MAX);
	buf_init(&signing, AUDIT_LINE_MAX);
	buf_init(&sig, 1024);
	rc = put_object(e, &object, err);
	if (!rc) {
		object.len--; /* the closing brace comes behind the signature */
		put_signed((const char *)object.data, object.len, &signing);
		rc = key_sign(key, signing.data, signing.len, &sig, err);
	}
	if (!rc) {
		buf_put(out, object.data, object.len);
		buf_puts(out, SIG_KEY);
		base64_encode(sig.data, sig.len, out);
		buf_puts(out, "\"}");
		sha256(out->data + start, out->len - start, ret_hash);
		buf_putc(out, '\n');
	}
	if (!rc && (out->failed || signing.failed))
		rc = error_set(err, ERR_LIMIT, "a %s is over %d bytes", where, AUDIT_LINE_MAX);
	buf_free(&object);
	buf_free(&signing);
	buf_free(&sig);
	return rc;
}

void audit_walk_free(struct audit_walk *w)
{
	EVP_PKEY_free(w->key);
	memset(w, 0, sizeof(*w));
}

static int take_number(const json_t *o, const char *key, uint64_t *ret, struct error *err)
{
	const json_t *n = json_object_get(o, key);

	if (!json_is_integer(n) || json_integer_value(n) < 0)
		return error_set(err, ERR_INPUT, "%s: \"%s\" is no number from 0", where, key);
	*ret = (uint64_t)json_integer_value(n);
	return 0;
}

static int decode(const json_t *o, struct audit_event *ret, struct error *err)
{
	static const char *const keys[] = {
		"seq", "time", "event", "actor", "subject", "detail", "generation", "prev", "sig", NULL};

	return message_keys(o, where, keys, err) || take_number(o, "seq", &ret->seq, err) ||
			       take_number(o, "time", &ret->time, err) ||
			       message_text(o, where, "event", TEXT_MAX, &ret->event, err) ||
			       message_text(o, where, "actor", TEXT_MAX, &ret->actor, err) ||
			       message_text(o, where, "subject", TEXT_MAX, &ret->subject, err) ||
			       message_text(o, where, "detail", TEXT_MAX, &ret->detail, err) ||
			       take_number(o, "generation", &ret->generation, err) ||
			       message_hex(o, where, "prev", ret->prev, AUDIT_HASH_LEN, err)
		       ? -1
		       : 0;
}

/* The key that the first line brings. */
static int take_key(
	struct audit_walk *w, const struct audit_event *e, const uint8_t *pinned, struct error *err)
{
	char seen[KEY_HASH_TEXT_MAX], wanted[KEY_HASH_TEXT_MAX];
	const uint8_t *der;
	struct buf spki;
	int rc = -1;

	if (strcmp(e->event, AUDIT_CREATED) && strcmp(e->event, AUDIT_REPLACED))
		return error_set(err, ERR_CRYPTO,
			"the first event is \"%.40s\", wanted " AUDIT_CREATED " or " AUDIT_REPLACED
			": lines before it are missing",
			e->event);
	buf_init(&spki, 1024);
	if (!base64_decode(e->detail, strlen(e->detail), &spki) && !spki.failed) {
		der = spki.data;
		w->key = d2i_PUBKEY(NULL, &der, (long)spki.len);
		rc = w->key ? key_hash(w->key, w->key_hash, err) : -1;
	}
	buf_free(&spki);
	if (rc)
		return error_set(err, ERR_INPUT, "its detail is no public key");
	if (!pinned || !memcmp(pinned, w->key_hash, sizeof(w->key_hash)))
		return 0;
	key_hash_text(w->key_hash, seen);
	key_hash_text(pinned, wanted);
	return error_set(err, ERR_CRYPTO, "the log is signed by key %s, wanted %s", seen, wanted);
}

static int check_signature(
	struct audit_walk *w, const char *line, size_t n, const json_t *o, struct error *err)
{
	const char *at = memmem(line, n, SIG_KEY, strlen(SIG_KEY));
	struct buf signing, sig;
	int rc;

	buf_init(&signing, AUDIT_LINE_MAX + sizeof(domain));
	buf_init(&sig, 1024);
	rc = message_bytes(o, where, "sig", &sig, err);
	if (!rc) {
		put_signed(line, at ? (size_t)(at - line) : 0, &signing);
		rc = key_verify(w->key, signing.data, signing.len, sig.data, sig.len, err);
		if (rc)
			error_set(err, ERR_CRYPTO, "its signature is not by CAS over this text");
	}
	buf_free(&signing);
	buf_free(&sig);
	return rc;
}

static int check_link(const struct audit_walk *w, const struct audit_event *e, struct error *err)
{
	char seen[2 * AUDIT_HASH_LEN + 1], wanted[2 * AUDIT_HASH_LEN + 1];

	if (w->lines == 0)
		return 0;
	if (memcmp(e->prev, w->prev, AUDIT_HASH_LEN)) {
		hex_encode(e->prev, AUDIT_HASH_LEN, seen);
		hex_encode(w->prev, AUDIT_HASH_LEN, wanted);
		return error_set(err, ERR_CRYPTO, "it follows a line with hash %s, the one before it has %s",
			seen, wanted);
	}
	return 0;
}

int audit_walk_line(struct audit_walk *w, const char *line, size_t n, const uint8_t *pinned,
	void (*f)(void *arg, const struct audit_event *e), void *arg, struct error *err)
{
	struct audit_event e;
	json_t *o = NULL;
	int rc = -1;

	if (n >= AUDIT_LINE_MAX)
		return error_set(err, ERR_LIMIT, "a %s of %zu bytes, at most %d are written", where, n,
			AUDIT_LINE_MAX - 1);
	if (message_parse(line, n, where, &o, err) || decode(o, &e, err))
		goto out;
	if (w->lines == 0 && take_key(w, &e, pinned, err))
		goto out;
	if (w->lines > 0 && e.seq != w->first_seq + w->lines) {
		error_set(err, ERR_CRYPTO, "its number is %llu, wanted %llu", (unsigned long long)e.seq,
			(unsigned long long)(w->first_seq + w->lines));
		goto out;
	}
	if (check_link(w, &e, err) || check_signature(w, line, n, o, err))
		goto out;
	if (w->lines == 0)
		w->first_seq = e.seq;
	sha256(line, n, w->prev);
	w->lines++;
	if (f)
		f(arg, &e);
	rc = 0;
out:
	json_decref(o);
	return rc;
}
