/* The canonical form of docs/session-language.md, "Session hash": JSON with sorted keys, without white space, of what is not a default. */
#include <stdlib.h>
#include <string.h>
#include "core/encode.h"
#include "crypto/hash.h"
#include "policy/canonical.h"
#include "policy/schema.h"

#define CANONICAL_MAX (16 * SESSION_TEXT_MAX)
static const char domain[] = "openscone-session-v1"; /* its NUL is part of the hash's input */

static void put_string(struct buf *b, const char *s, size_t n)
{
	buf_putc(b, '"');
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)s[i];
		if (c == '"' || c == '\\')
			buf_putc(b, '\\');
		if (c < 0x20)
			buf_printf(b, "\\u%04x", c);
		else
			buf_putc(b, (char)c);
	}
	buf_putc(b, '"');
}

/* The comma before every element but the first of an object or a list. */
static void put_comma(struct buf *b)
{
	if (b->len && b->data[b->len - 1] != '{' && b->data[b->len - 1] != '[')
		buf_putc(b, ',');
}

static void put_key(struct buf *b, const char *key)
{
	put_comma(b);
	put_string(b, key, strlen(key));
	buf_putc(b, ':');
}

static void put_text(struct buf *b, const char *key, const char *value)
{
	put_key(b, key);
	put_string(b, value, strlen(value));
}

static void put_hex(struct buf *b, const uint8_t *p, size_t n)
{
	buf_putc(b, '"');
	for (size_t i = 0; i < n; i++) {
		char digits[3];
		hex_encode(p + i, 1, digits);
		buf_put(b, digits, 2);
	}
	buf_putc(b, '"');
}

static void put_rule(struct buf *b, const struct access_rule *r)
{
	static const char *const words[] = {"ANY", "NONE", "CREATOR"};

	buf_putc(b, '[');
	for (size_t i = 0; i < r->count; i++) {
		put_comma(b);
		if (r->entries[i].kind == ACCESS_KEY)
			put_hex(b, r->entries[i].key, sizeof r->entries[i].key);
		else
			put_string(b, words[r->entries[i].kind], strlen(words[r->entries[i].kind]));
	}
	buf_putc(b, ']');
}

static int put_access(struct buf *b, const struct session *s)
{
	static const enum access_op sorted[] = {OP_CREATE_SESSIONS, OP_LIST_SESSIONS, OP_READ, OP_UPDATE};
	bool open = false, failed = false;

	for (size_t i = 0; i < 4; i++) {
		if (access_is_default(s, sorted[i], &failed))
			continue;
		if (!open) {
			put_key(b, "access_policy");
			buf_putc(b, '{');
			open = true;
		}
		put_key(b, access_op_name(sorted[i]));
		put_rule(b, access_rule_of(s, sorted[i]));
	}
	if (open)
		buf_putc(b, '}');
	return failed ? -1 : 0;
}

static void put_file(struct buf *b, const struct injection_file *f)
{
	put_comma(b);
	buf_putc(b, '{');
	if (f->has_content) {
		put_key(b, "content");
		put_string(b, f->content, f->content_len);
	}
	put_text(b, "path", f->path);
	if (f->mode != 0700) {
		put_key(b, "permission");
		buf_printf(b, "%u", f->mode);
	}
	buf_putc(b, '}');
}

static void put_image(struct buf *b, const struct image *im)
{
	put_comma(b);
	buf_putc(b, '{');
	if (im->file_count) {
		put_key(b, "injection_files");
		buf_putc(b, '[');
		for (size_t i = 0; i < im->file_count; i++)
			put_file(b, &im->files[i]);
		buf_putc(b, ']');
	}
	put_text(b, "name", im->name);
	if (im->has_provide_secrets) {
		put_key(b, "provide_secrets");
		buf_putc(b, '[');
		for (size_t i = 0; i < im->provide_count; i++) {
			put_comma(b);
			put_string(b, im->provide_secrets[i], strlen(im->provide_secrets[i]));
		}
		buf_putc(b, ']');
	}
	buf_putc(b, '}');
}

static void put_reference(struct buf *b, const struct session_ref *r)
{
	buf_putc(b, '{');
	if (r->below)
		put_text(b, "namespace", r->session);
	if (r->secret)
		put_text(b, "secret", r->secret);
	if (!r->below)
		put_text(b, "session", r->session);
	if (r->has_hash) {
		put_key(b, "session_hash");
		put_hex(b, r->hash, sizeof r->hash);
	}
	buf_putc(b, '}');
}

static void put_exports(struct buf *b, const struct secret_spec *s)
{
	put_key(b, "export");
	buf_putc(b, '[');
	for (size_t i = 0; i < s->export_count; i++) {
		put_comma(b);
		put_reference(b, &s->exports[i]);
	}
	buf_putc(b, ']');
}

static void put_import(struct buf *b, const struct secret_spec *s)
{
	put_comma(b);
	buf_putc(b, '{');
	put_key(b, "import");
	put_reference(b, &s->import);
	if (s->kind_known)
		put_text(b, "kind", secret_kind_name(s->kind));
	put_text(b, "name", s->name);
	buf_putc(b, '}');
}

/* dns and san are one list, in the order of the document. */
static void put_san(struct buf *b, const struct secret_spec *s)
{
	put_key(b, "san");
	buf_putc(b, '[');
	for (size_t i = 0; i < s->name_count; i++) {
		put_comma(b);
		buf_printf(b, "\"%s:%s\"", s->names[i].is_ip ? "ip" : "dns", s->names[i].text);
	}
	buf_putc(b, ']');
}

static void put_secret(struct buf *b, const struct secret_spec *s)
{
	static const char *const key_types[] = {"Ed25519", "P-256", "P-384", "RSA-2048", "RSA-3072"};
	bool made = !s->has_value;

	if (s->imported) {
		put_import(b, s);
		return;
	}
	put_comma(b);
	buf_putc(b, '{');
	if (made && s->alphabet != ALPHABET_PRINTABLE)
		put_text(b, "alphabet", s->alphabet == ALPHABET_HEX ? "hex" : "alphanumeric");
	if (made && s->common_name)
		put_text(b, "common_name", s->common_name);
	if (made && s->endpoint != ENDPOINT_NONE)
		put_text(b, "endpoint", s->endpoint == ENDPOINT_SERVER ? "server" : "client");
	if (s->export_count)
		put_exports(b, s);
	if (s->export_public) {
		put_key(b, "export_public");
		buf_puts(b, "true");
	}
	if (s->issuer)
		put_text(b, "issuer", s->issuer);
	if (made && s->kind == SECRET_PRIVATE_KEY && s->key_type != KEY_P256)
		put_text(b, "key_type", key_types[s->key_type]);
	put_text(b, "kind", secret_kind_name(s->kind));
	if (made && s->migrate) {
		put_key(b, "migrate");
		buf_puts(b, "true");
	}
	put_text(b, "name", s->name);
	if (s->private_key)
		put_text(b, "private_key", s->private_key);
	if (made && s->name_count)
		put_san(b, s);
	if (made && s->size != 20) {
		put_key(b, "size");
		buf_printf(b, "%u", s->size);
	}
	if (made && s->valid_for) {
		put_key(b, "valid_for");
		buf_printf(b, "%llu", (unsigned long long)s->valid_for);
	}
	if (s->has_value) {
		put_key(b, "value");
		put_hex(b, s->value.data, s->value.len);
	}
	buf_putc(b, '}');
}

static void put_number(struct buf *b, const char *key, uint32_t v)
{
	put_key(b, key);
	buf_printf(b, "%u", v);
}

static void put_measurements(struct buf *b, const struct attest_alternative *a)
{
	put_key(b, "mrenclave");
	buf_putc(b, '[');
	for (size_t k = 0; k < a->mrenclave_count; k++) {
		put_comma(b);
		put_hex(b, a->mrenclave[k], 32);
	}
	buf_putc(b, ']');
}

static void put_signer(struct buf *b, const struct attest_alternative *a)
{
	put_key(b, "signer");
	buf_putc(b, '{');
	put_number(b, "isvprodid", a->isvprodid);
	put_number(b, "isvsvn_max", a->isvsvn_max);
	put_number(b, "isvsvn_min", a->isvsvn_min);
	put_key(b, "mrsigner");
	put_hex(b, a->mrsigner, sizeof a->mrsigner);
	buf_putc(b, '}');
}

static void put_platforms(struct buf *b, const struct service *s)
{
	put_key(b, "platforms");
	buf_putc(b, '[');
	for (size_t i = 0; i < s->platform_count; i++) {
		put_comma(b);
		put_hex(b, s->platforms[i].id, s->platforms[i].qe_id ? 16 : 32);
	}
	buf_putc(b, ']');
}

/* What is not the default: hardware, nothing tolerated. */
static void put_security(struct buf *b, const struct session *s)
{
	put_key(b, "security");
	buf_puts(b, "{\"attestation\":{");
	if (s->ignore_all) {
		put_text(b, "ignore_advisories", "*");
	} else if (s->ignore_count) {
		put_key(b, "ignore_advisories");
		buf_putc(b, '[');
		for (size_t i = 0; i < s->ignore_count; i++) {
			put_comma(b);
			put_string(b, s->ignore_advisories[i], strlen(s->ignore_advisories[i]));
		}
		buf_putc(b, ']');
	}
	if (s->mode != MODE_HARDWARE)
		put_text(b, "mode", attest_mode_name(s->mode));
	if (s->tolerate) {
		put_key(b, "tolerate");
		buf_putc(b, '[');
		for (unsigned int i = 0; i < ATTEST_TOLERANCES; i++) {
			if (!(s->tolerate & 1u << i))
				continue;
			put_comma(b);
			put_string(b, attest_tolerance_name(i), strlen(attest_tolerance_name(i)));
		}
		buf_putc(b, ']');
	}
	buf_puts(b, "}}");
}

static void put_attestation(struct buf *b, const struct service *s)
{
	put_key(b, "attestation");
	buf_putc(b, '[');
	for (size_t i = 0; i < s->attestation_count; i++) {
		put_comma(b);
		buf_putc(b, '{');
		if (s->attestation[i].mrenclave_count)
			put_measurements(b, &s->attestation[i]);
		if (s->attestation[i].has_signer)
			put_signer(b, &s->attestation[i]);
		buf_putc(b, '}');
	}
	buf_putc(b, ']');
}

static int env_order(const void *a, const void *b)
{
	const struct session_env *x = *(const struct session_env *const *)a,
				 *y = *(const struct session_env *const *)b;

	return strcmp(x->name, y->name);
}

/* A variable of the host is its name with a value of null. */
static int put_environment(struct buf *b, const struct service *s)
{
	const struct session_env **sorted = calloc(s->envc, sizeof *sorted);

	if (!sorted)
		return -1;
	for (size_t i = 0; i < s->envc; i++)
		sorted[i] = &s->env[i];
	qsort(sorted, s->envc, sizeof *sorted, env_order);
	put_key(b, "environment");
	buf_putc(b, '{');
	for (size_t i = 0; i < s->envc; i++) {
		put_key(b, sorted[i]->name);
		if (sorted[i]->host)
			buf_puts(b, "null");
		else
			put_string(b, sorted[i]->value, strlen(sorted[i]->value));
	}
	buf_putc(b, '}');
	free(sorted);
	return 0;
}

static void put_code(struct buf *b, const struct service *s)
{
	put_key(b, "code");
	buf_putc(b, '{');
	if (s->allow_generated)
		put_text(b, "generated", "allow");
	if (s->allow_unmeasured)
		put_text(b, "unmeasured", "allow");
	buf_putc(b, '}');
}

/* A host argument is its number. */
static void put_command(struct buf *b, const struct service *s)
{
	put_key(b, "command");
	buf_putc(b, '[');
	for (size_t i = 0; i < s->argc; i++) {
		put_comma(b);
		if (s->argv[i].host)
			buf_printf(b, "%u", s->argv[i].host);
		else
			put_string(b, s->argv[i].text, strlen(s->argv[i].text));
	}
	buf_putc(b, ']');
}

static int put_service(struct buf *b, const struct service *s)
{
	put_comma(b);
	buf_putc(b, '{');
	if (s->attestation_count)
		put_attestation(b, s);
	if (s->allow_generated || s->allow_unmeasured)
		put_code(b, s);
	if (s->argc)
		put_command(b, s);
	if (s->envc && put_environment(b, s))
		return -1;
	if (s->image_name)
		put_text(b, "image_name", s->image_name);
	put_text(b, "name", s->name);
	if (s->platform_count)
		put_platforms(b, s);
	if (strcmp(s->pwd, "/"))
		put_text(b, "pwd", s->pwd);
	buf_putc(b, '}');
	return 0;
}

static int put_session(struct buf *b, const struct session *s, const uint8_t creator[32])
{
	buf_putc(b, '{');
	if (put_access(b, s))
		return -1;
	if (access_names_creator(s)) {
		put_key(b, "creator");
		put_hex(b, creator, 32);
	}
	if (s->image_count) {
		put_key(b, "images");
		buf_putc(b, '[');
		for (size_t i = 0; i < s->image_count; i++)
			put_image(b, &s->images[i]);
		buf_putc(b, ']');
	}
	put_text(b, "name", s->name);
	if (s->has_predecessor) {
		put_key(b, "predecessor");
		put_hex(b, s->predecessor, sizeof s->predecessor);
	}
	if (s->has_salt) {
		put_key(b, "salt");
		put_hex(b, s->salt, sizeof s->salt);
	}
	if (s->secret_count) {
		put_key(b, "secrets");
		buf_putc(b, '[');
		for (size_t i = 0; i < s->secret_count; i++)
			put_secret(b, &s->secrets[i]);
		buf_putc(b, ']');
	}
	if (s->mode != MODE_HARDWARE || s->tolerate || s->ignore_count || s->ignore_all)
		put_security(b, s);
	if (s->service_count) {
		put_key(b, "services");
		buf_putc(b, '[');
		for (size_t i = 0; i < s->service_count; i++)
			if (put_service(b, &s->services[i]))
				return -1;
		buf_putc(b, ']');
	}
	put_text(b, "version", s->version);
	buf_putc(b, '}');
	return 0;
}

int session_canonical(const struct session *s, const uint8_t creator[32], struct buf *out, struct error *err)
{
	if (put_session(out, s, creator) || out->failed)
		return error_set(err, ERR_NOMEM, "no memory for the canonical form of session %s", s->name);
	return 0;
}

int session_hash(
	const struct session *s, const uint8_t creator[32], uint8_t ret[SESSION_HASH_LEN], struct error *err)
{
	struct buf b; /* explicit secret values are in it */
	int rc;

	buf_init_secret(&b, CANONICAL_MAX);
	buf_put(&b, domain, sizeof domain);
	rc = session_canonical(s, creator, &b, err);
	if (rc == 0)
		sha256(b.data, b.len, ret);
	buf_free(&b);
	return rc;
}
