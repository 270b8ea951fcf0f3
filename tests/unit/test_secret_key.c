/* Keys and certificates as secrets: what a document may say of them, and what CAS makes of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <openssl/pkcs12.h>
#include <openssl/x509v3.h>
#include "cas/vault_key.h"
#include "crypto/key.h"
#include "crypto/x509.h"
#include "policy/secret_parts.h"
#include "policy/template.h"

#define NOW 1700000000u
#define DAY 86400u

static struct session *parse(const char *secrets, struct diag *d)
{
	static const char head[] = "name: v\nversion: \"0.3\"\nsecrets:\n";
	struct session *s = NULL;
	struct buf text;

	buf_init(&text, SESSION_TEXT_MAX);
	buf_puts(&text, head);
	buf_puts(&text, secrets);
	diag_init(d);
	if (session_parse((const char *)text.data, text.len, &s, d))
		s = NULL;
	buf_free(&text);
	return s;
}

static struct session *session_of(const char *secrets)
{
	struct diag d;
	struct session *s = parse(secrets, &d);

	if (!s)
		fail_msg("%s: %s", secrets, d.entries[0].text);
	diag_free(&d);
	return s;
}

static const struct {
	const char *secrets, *error, *path, *says;
} refused[] = {
	{"- {name: k, kind: private-key, key_type: P-521}", "E-VALUE", "secrets[0].key_type", "P-256"},
	{"- {name: k, kind: private-key, value: x}", "E-PEM", "secrets[0].value", "private key"},
	{"- {name: k, kind: private-key, issuer: c}", "E-CONFLICT", "secrets[0].issuer",
		"private-key has no issuer"},
	{"- {name: k, kind: private-key, size: 4}", "E-CONFLICT", "secrets[0].size", "no size"},
	{"- {name: k, kind: ascii, key_type: P-256}", "E-CONFLICT", "secrets[0].key_type", "ascii"},
	{"- {name: p, kind: public-key}", "E-MISSING", "secrets[0]", "private_key"},
	{"- {name: p, kind: public-key, private_key: k}", "E-REF", "secrets[0].private_key", "k"},
	{"- {name: k, kind: ascii}\n- {name: p, kind: public-key, private_key: k}", "E-KIND",
		"secrets[1].private_key", "private-key"},
	{"- {name: c, kind: x509}", "E-MISSING", "secrets[0]", "private_key"},
	{"- {name: k, kind: private-key}\n- {name: c, kind: x509, private_key: k, issuer: c}", "E-KIND",
		"secrets[1].issuer", "x509-ca"},
	{"- {name: k, kind: private-key}\n- {name: c, kind: x509-ca, private_key: k, issuer: c}", "E-CYCLE",
		"secrets[1].issuer", "own"},
	{"- {name: k, kind: private-key}\n- {name: c, kind: x509-ca, private_key: k, endpoint: server}",
		"E-CONFLICT", "secrets[1].endpoint", "CA"},
	{"- {name: k, kind: private-key}\n- {name: c, kind: x509, private_key: k, endpoint: client, dns: a}",
		"E-CONFLICT", "secrets[1].dns", "san"},
	{"- {name: k, kind: private-key}\n- {name: c, kind: x509, private_key: k, san: 'email:a@b'}",
		"E-VALUE", "secrets[1].san", "dns:NAME"},
	{"- {name: k, kind: private-key}\n- {name: c, kind: x509, private_key: k, san: 'dns:a b'}", "E-VALUE",
		"secrets[1].san", "DNS"},
	{"- {name: k, kind: private-key}\n- {name: c, kind: x509, private_key: k, san: ['ip:1.2.3']}",
		"E-VALUE", "secrets[1].san[0]", "IP"},
	{"- {name: k, kind: private-key}\n- {name: c, kind: x509, private_key: k, valid_for: 3 fortnights}",
		"E-DURATION", "secrets[1].valid_for", "90 days"},
	{"- {name: k, kind: private-key}\n- {name: c, kind: x509, private_key: k, valid_for: 101 years}",
		"E-DURATION", "secrets[1].valid_for", "100 years"},
	{"- {name: k, kind: private-key}\n- {name: c, kind: x509, private_key: k, common_name: ''}",
		"E-LENGTH", "secrets[1].common_name", "64"},
	{"- {name: i, import: {session: x}}", "E-MISSING", "secrets[0].import", "secret"},
	{"- {name: i, import: {secret: x}}", "E-MISSING", "secrets[0].import", "session"},
	{"- {name: i, import: {session: v, secret: x}}", "E-CYCLE", "secrets[0].import", "itself"},
	{"- {name: i, import: {session: ../../x, secret: x}}", "E-NS", "secrets[0].import.session", "root"},
	{"- {name: i, import: {namespace: x, secret: x}}", "E-CONFLICT", "secrets[0].import", "namespace"},
	{"- {name: i, import: 'cas.example/session=x,secret=y'}", "E-MISSING", "secrets[0].import",
		"cas_key"},
	{"- {name: i, import: 'cas.example/session=x,secret=y,cas_key=z'}", "E-VALUE", "secrets[0].import",
		"no key hash"},
	{"- {name: i, import: {session: x, secret: y, cas_url: a}}", "E-MISSING", "secrets[0].import",
		"cas_key"},
	{"- {name: i, import: {session: x, secret: y, cas_key: "
	 "3eZp39kmpxnAumxfqRNiGp29x35pcV5brnyaH8DjkKAd8mQSM53}}",
		"E-MISSING", "secrets[0].import", "cas_url"},
	{"- {name: i, import: {session: x, secret: y, cas_url: 'http://a', cas_key: "
	 "3eZp39kmpxnAumxfqRNiGp29x35pcV5brnyaH8DjkKAd8mQSM53}}",
		"E-VALUE", "secrets[0].import.cas_url", "no address"},
	{"- {name: i, import: {session: x, secret: y, cas_url: 'a b', cas_key: "
	 "3eZp39kmpxnAumxfqRNiGp29x35pcV5brnyaH8DjkKAd8mQSM53}}",
		"E-VALUE", "secrets[0].import.cas_url", "no address"},
	{"- {name: e, kind: ascii, export: {session: x, cas_software_key: "
	 "3eZp39kmpxnAumxfqRNiGp29x35pcV5brnyaH8DjkKAd8mQSM53}}",
		"E-UNSUPPORTED", "secrets[0].export.cas_software_key", "cas_software_key"},
	{"- {name: e, kind: ascii, export: {session: x, cas_url: a}}", "E-MISSING", "secrets[0].export",
		"cas_key"},
	{"- {name: i, import: '/session=x,secret=y,color=z'}", "E-VALUE", "secrets[0].import", "color"},
	{"- {name: i, kind: ascii, value: x, import: {session: a, secret: b}}", "E-CONFLICT",
		"secrets[0].value", "exclude"},
	{"- {name: i, import: {session: a, secret: b}, export: {session: c}}", "E-CONFLICT",
		"secrets[0].export", "exclude"},
	{"- {name: e, kind: ascii, export: {secret: b, session: c}}", "E-CONFLICT",
		"secrets[0].export.secret", "no secret"},
	{"- {name: e, kind: ascii, export: [{session: c, namespace: d}]}", "E-CONFLICT",
		"secrets[0].export[0].namespace", "exclude"},
	{"- {name: e, kind: ascii, export: {namespace: c, session_hash: "
	 "0000000000000000000000000000000000000000000000000000000000000000}}",
		"E-CONFLICT", "secrets[0].export", "session_hash"},
	{"- {name: i, import: {session: a, secret: b}}\n- {name: p, kind: public-key, private_key: i}",
		"E-UNSUPPORTED", "secrets[1].private_key", "imported"},
	{"- {name: c, kind: x509-ca, value: x}", "E-PEM", "secrets[0].value", "certificate"},
};

static void test_refused(void **state)
{
	for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
		struct diag d;
		struct session *s = parse(refused[i].secrets, &d);

		if (s)
			fail_msg("accepted: %s", refused[i].secrets);
		if (d.errors != 1 || strcmp(d.entries[0].name, refused[i].error) ||
			strcmp(d.entries[0].path, refused[i].path) ||
			!strstr(d.entries[0].text, refused[i].says))
			fail_msg("%s\n%zu errors, the first: %s %s: %s", refused[i].secrets, d.errors,
				d.entries[0].name, d.entries[0].path, d.entries[0].text);
		diag_free(&d);
	}
}

static void test_durations(void **state)
{
	static const struct {
		const char *text;
		uint64_t seconds;
	} rows[] = {{"90 days", 90 * DAY}, {"59d", 59 * DAY}, {"1 year", 365 * DAY}, {"24h", DAY},
		{"1 year 2 months", 425 * DAY}, {"1w1d", 8 * DAY}, {"1s", 1}, {"3m", 180}};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		char text[300];
		struct session *s;

		snprintf(text, sizeof text,
			"- {name: k, kind: private-key}\n- {name: c, kind: x509, private_key: k, valid_for: "
			"%s}\n",
			rows[i].text);
		s = session_of(text);
		assert_int_equal(s->secrets[1].valid_for, rows[i].seconds);
		session_free(s);
	}
}

static void test_references(void **state)
{
	static const uint8_t hash[SESSION_HASH_LEN] = {0xab}, other[SESSION_HASH_LEN];
	struct session *s =
		session_of("- {name: a, import: {session: ./below, secret: x}}\n"
			   "- {name: b, import: {session: ../beside, secret: x}}\n"
			   "- {name: c, import: '/session=far/away,secret=y'}\n"
			   "- {name: d, kind: ascii, export: [{namespace: team}, '/session=one', {session: "
			   "two, session_hash: "
			   "ab00000000000000000000000000000000000000000000000000000000000000}]}\n");
	const struct secret_spec *d = &s->secrets[3];

	assert_string_equal(s->secrets[0].import.session, "v/below");
	assert_string_equal(s->secrets[1].import.session, "beside");
	assert_string_equal(s->secrets[2].import.session, "far/away");
	assert_string_equal(s->secrets[2].import.item, "y");
	assert_true(secret_is_exported(d, "team", other));
	assert_true(secret_is_exported(d, "team/a/b", other));
	assert_false(secret_is_exported(d, "teams", other));
	assert_true(secret_is_exported(d, "one", other));
	assert_false(secret_is_exported(d, "one/below", other));
	assert_true(secret_is_exported(d, "two", hash));
	assert_false(secret_is_exported(d, "two", other));
	assert_false(secret_is_exported(d, "v", hash));
	session_free(s);
}

static struct vault make(const struct session *s, const struct vault *old, uint64_t now)
{
	struct vault v;
	struct error err = {0};

	if (vault_make(s, old, now, &v, &err))
		fail_msg("vault_make: %s", err.text);
	return v;
}

/* One form of a secret, as a template gets it. */
static void part(
	const struct session *s, const struct vault *v, const char *name, const char *which, struct buf *ret)
{
	struct error err = {0};
	struct buf parts;
	const void *p;
	size_t n;

	buf_init_secret(&parts, 1 << 20);
	buf_init_secret(ret, 1 << 20);
	if (vault_key_parts(s, v, session_secret(s, name, strlen(name)), true, &parts, &err))
		fail_msg("%s: %s", name, err.text);
	if (!secret_parts_get(parts.data, parts.len, which, &p, &n))
		fail_msg("%s has no part %s", name, which);
	buf_put(ret, p, n);
	buf_free(&parts);
}

static X509 *certificate(const struct session *s, const struct vault *v, const char *name)
{
	struct error err = {0};
	struct buf pem;
	X509 *c = NULL;

	part(s, v, name, "crt", &pem);
	if (x509_from_pem((const char *)pem.data, pem.len, &c, &err))
		fail_msg("%s: %s", name, err.text);
	buf_free(&pem);
	return c;
}

/* OpenSSL's own verdict over a chain. */
static int verify(X509 *leaf, X509 *between, X509 *root, time_t at, int purpose, const char *host)
{
	STACK_OF(X509) *others = sk_X509_new_null();
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	X509_STORE *store = X509_STORE_new();
	X509_VERIFY_PARAM *param;
	int ok;

	X509_STORE_add_cert(store, root);
	if (between)
		sk_X509_push(others, between);
	X509_STORE_CTX_init(ctx, store, leaf, others);
	param = X509_STORE_CTX_get0_param(ctx);
	X509_VERIFY_PARAM_set_time(param, at);
	X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_X509_STRICT);
	X509_VERIFY_PARAM_set_purpose(param, purpose);
	if (host)
		X509_VERIFY_PARAM_set1_host(param, host, 0);
	ok = X509_verify_cert(ctx) == 1 ? 0 : X509_STORE_CTX_get_error(ctx);
	X509_STORE_CTX_free(ctx);
	X509_STORE_free(store);
	sk_X509_free(others);
	return ok;
}

static const char tree[] = "- {name: rk, kind: private-key, key_type: P-384}\n"
			   "- {name: leaf, kind: x509, private_key: lk, issuer: mid, endpoint: server, san: "
			   "['dns:db.example', 'ip:127.0.0.1'], "
			   "valid_for: 90 days}\n"
			   "- {name: mid, kind: x509-ca, private_key: mk, issuer: root}\n"
			   "- {name: root, kind: x509-ca, private_key: rk, common_name: The root}\n"
			   "- {name: mk, kind: private-key, key_type: Ed25519}\n"
			   "- {name: lk, kind: private-key, key_type: RSA-2048}\n"
			   "- {name: lp, kind: public-key, private_key: lk}\n";

static void test_chain(void **state)
{
	struct session *s = session_of(tree);
	struct vault v = make(s, NULL, NOW);
	X509 *leaf = certificate(s, &v, "leaf"), *mid = certificate(s, &v, "mid"),
	     *root = certificate(s, &v, "root");

	assert_int_equal(verify(leaf, mid, root, NOW, X509_PURPOSE_SSL_SERVER, "db.example"), 0);
	assert_int_equal(
		verify(leaf, mid, root, NOW, X509_PURPOSE_SSL_CLIENT, NULL), X509_V_ERR_INVALID_PURPOSE);
	assert_int_equal(verify(leaf, mid, root, NOW, X509_PURPOSE_SSL_SERVER, "db.example.org"),
		X509_V_ERR_HOSTNAME_MISMATCH);
	assert_int_equal(verify(leaf, mid, root, NOW + 91 * DAY, X509_PURPOSE_SSL_SERVER, NULL),
		X509_V_ERR_CERT_HAS_EXPIRED);
	assert_int_equal(verify(mid, NULL, root, (time_t)NOW + 3000000000, X509_PURPOSE_ANY, NULL), 0);
	assert_int_equal(X509_check_ip_asc(leaf, "127.0.0.1", 0), 1);
	assert_int_equal(X509_check_ca(leaf), 0);
	assert_int_equal(X509_check_ca(root), 1);
	X509_free(leaf);
	X509_free(mid);
	X509_free(root);
	vault_free(&v);
	session_free(s);
}

static bool look(void *arg, const char *name, size_t len, struct template_value *ret)
{
	const struct buf *parts = arg;

	if (len != 4 || memcmp(name, "leaf", 4))
		return false;
	*ret = (struct template_value){.kind = "x509", .value = parts->data, .len = parts->len};
	return true;
}

static void expands_to(struct buf *parts, const char *suffix, const char *begins, size_t certificates)
{
	char text[100];
	struct error err = {0};
	struct buf out;
	size_t n = 0;

	snprintf(text, sizeof text, "$$SCONE::leaf%s$$", suffix);
	buf_init_secret(&out, 1 << 20);
	if (template_expand(text, strlen(text), look, parts, true, &out, &err))
		fail_msg("%s: %s", text, err.text);
	if (begins && (out.len < strlen(begins) || memcmp(out.data, begins, strlen(begins))))
		fail_msg("%s does not begin with %s", text, begins);
	for (const char *at = buf_cstr(&out); (at = strstr(at, "BEGIN CERTIFICATE")); at++)
		n++;
	if (n != certificates)
		fail_msg("%s has %zu certificates, wanted %zu", text, n, certificates);
	buf_free(&out);
}

static void test_formats(void **state)
{
	struct session *s = session_of(tree);
	struct vault v = make(s, NULL, NOW);
	struct buf parts, der, lone;
	struct error err = {0};
	const uint8_t *p;
	PKCS12 *p12;
	EVP_PKEY *k = NULL;
	X509 *c = NULL;
	STACK_OF(X509) *ca = NULL;

	buf_init_secret(&parts, 1 << 20);
	assert_int_equal(vault_key_parts(s, &v, session_secret(s, "leaf", 4), true, &parts, &err), 0);
	expands_to(&parts, "", "-----BEGIN CERTIFICATE", 1);
	expands_to(&parts, ":crt:pem", "-----BEGIN CERTIFICATE", 1);
	expands_to(&parts, ":chain", "-----BEGIN CERTIFICATE", 2);
	expands_to(&parts, ".chain", "-----BEGIN CERTIFICATE", 3);
	expands_to(&parts, ".key", "-----BEGIN PRIVATE KEY", 0);
	expands_to(&parts, ":privatekey:pkcs8:pem|escape(json)", "-----BEGIN PRIVATE KEY-----\\n", 0);
	expands_to(&parts, ":crt:der", "\x30\x82", 0);

	part(s, &v, "leaf", "pkcs12-with-private-key", &der);
	p = der.data;
	p12 = d2i_PKCS12(NULL, &p, (long)der.len);
	assert_non_null(p12);
	assert_int_equal(PKCS12_parse(p12, "", &k, &c, &ca), 1);
	assert_int_equal(x509_is_for(c, k), 1);
	assert_int_equal(sk_X509_num(ca), 2);
	EVP_PKEY_free(k);
	X509_free(c);
	sk_X509_pop_free(ca, X509_free);
	PKCS12_free(p12);
	buf_free(&der);

	/* Without its private key a certificate has no form that holds one. */
	buf_init_secret(&lone, 4096);
	secret_parts_put(&lone, "crt", "x", 1);
	buf_init(&der, 4096);
	assert_int_equal(
		template_expand("$$SCONE::leaf:privatekey$$", 26, look, &lone, true, &der, &err), -1);
	assert_non_null(strstr(err.text, "E-KIND"));
	buf_free(&der);
	buf_free(&lone);
	buf_free(&parts);
	vault_free(&v);
	session_free(s);
}

static void test_public_key(void **state)
{
	struct session *s = session_of(tree);
	struct vault v = make(s, NULL, NOW);
	EVP_PKEY *public = NULL, *private = NULL;
	struct buf a, b;
	struct error err = {0};

	part(s, &v, "lp", "pem", &a);
	part(s, &v, "lk", "pem", &b);
	assert_int_equal(key_public_from_pem((const char *)a.data, a.len, &public, &err), 0);
	assert_int_equal(key_from_pem((const char *)b.data, b.len, &private, &err), 0);
	assert_int_equal(EVP_PKEY_eq(public, private), 1);
	EVP_PKEY_free(public);
	EVP_PKEY_free(private);
	buf_free(&a);
	buf_free(&b);
	vault_free(&v);
	session_free(s);
}

static bool same(const struct session *s, const struct vault *a, const struct vault *b, const char *name)
{
	const void *x, *y;
	size_t n, m;

	assert_non_null(vault_lookup(s, a, name, strlen(name), &x, &n));
	assert_non_null(vault_lookup(s, b, name, strlen(name), &y, &m));
	return n == m && !memcmp(x, y, n);
}

static void test_update_keeps_migrating_keys(void **state)
{
	struct session *s =
		session_of("- {name: k, kind: private-key, migrate: true}\n- {name: l, kind: private-key}\n"
			   "- {name: c, kind: x509, private_key: k}\n");
	struct session *other =
		session_of("- {name: k, kind: private-key, migrate: true, key_type: P-384}\n");
	struct vault v = make(s, NULL, NOW), w = make(s, &v, NOW), x = make(other, &v, NOW);

	assert_true(same(s, &v, &w, "k"));
	assert_false(same(s, &v, &w, "l"));
	assert_false(same(s, &v, &w, "c"));
	assert_false(same(other, &v, &x, "k"));
	vault_free(&v);
	vault_free(&w);
	vault_free(&x);
	session_free(s);
	session_free(other);
}

static void test_renewal(void **state)
{
	struct session *s = session_of(tree);
	struct vault v = make(s, NULL, NOW), before = make(s, &v, NOW);
	struct error err = {0};
	struct buf out;
	bool changed;

	vault_free(&before);
	buf_init_secret(&out, 1 << 20);
	assert_int_equal(vault_encode(&v, &out, &err), 0);
	assert_int_equal(vault_decode(out.data, out.len, &before, &err), 0);
	buf_free(&out);

	assert_int_equal(vault_key_certify(s, &v, NOW + 59 * DAY, &changed, &err), 0);
	assert_false(changed);
	assert_int_equal(vault_key_certify(s, &v, NOW + 61 * DAY, &changed, &err), 0);
	assert_true(changed);
	assert_false(same(s, &v, &before, "leaf"));
	assert_true(same(s, &v, &before, "mid"));
	assert_true(same(s, &v, &before, "lk"));
	vault_free(&v);
	vault_free(&before);
	session_free(s);
}

/* An explicit certificate and key: they must belong together. */
static void test_explicit(void **state)
{
	EVP_PKEY *k = NULL, *other = NULL;
	struct error err = {0};
	struct buf text, pem;
	struct session *s;
	struct diag d;
	X509 *c = NULL;

	assert_int_equal(key_generate(KEY_P256, &k, &err), 0);
	assert_int_equal(key_generate(KEY_P256, &other, &err), 0);
	assert_int_equal(x509_self_signed(k, "x", NULL, NULL, 10, &c, &err), 0);
	for (int matches = 0; matches < 2; matches++) {
		buf_init(&text, 1 << 20);
		buf_init_secret(&pem, 1 << 16);
		buf_puts(&text, "- {name: c, kind: x509, private_key: k, value: \"");
		assert_int_equal(x509_to_pem(c, &pem, &err), 0);
		assert_int_equal(key_to_pem(matches ? k : other, &pem, &err), 0);
		for (const char *at = buf_cstr(&pem); *at; at++) {
			if (!strncmp(at, "-----BEGIN PRIVATE", 18))
				buf_puts(&text, "\"}\n- {name: k, kind: private-key, value: \"");
			if (*at == '\n')
				buf_puts(&text, "\\n");
			else
				buf_putc(&text, *at);
		}
		buf_puts(&text, "\"}\n");
		s = parse(buf_cstr(&text), &d);
		if (matches ? !s : s != NULL)
			fail_msg("matches %d: %s", matches, d.count ? d.entries[0].text : "accepted");
		if (!matches)
			assert_string_equal(d.entries[0].name, "E-CONFLICT");
		session_free(s);
		diag_free(&d);
		buf_free(&text);
		buf_free(&pem);
	}
	X509_free(c);
	EVP_PKEY_free(k);
	EVP_PKEY_free(other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_durations),
		cmocka_unit_test(test_references),
		cmocka_unit_test(test_chain),
		cmocka_unit_test(test_formats),
		cmocka_unit_test(test_public_key),
		cmocka_unit_test(test_update_keeps_migrating_keys),
		cmocka_unit_test(test_renewal),
		cmocka_unit_test(test_explicit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
