#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>
#include <openssl/ssl.h>
#include "crypto/key.h"
#include "crypto/x509.h"
#include "crypto/x509_issue.h"
#include "shield/net/tls_engine.h"

#define WIRE_MAX 65536

struct ca {
	EVP_PKEY *key;
	X509 *cert;
	struct buf pem;
};

static struct ca ours, other;
static uint64_t now;

static void make_ca(struct ca *ca, const char *name)
{
	struct x509_request q = {
		.common_name = name, .ca = true, .not_before = now - 3600, .not_after = now + 86400};
	struct error err;

	assert_int_equal(key_generate(KEY_P256, &ca->key, &err), 0);
	q.key = ca->key;
	assert_int_equal(x509_issue(&q, &ca->cert, &err), 0);
	buf_init(&ca->pem, 8192);
	assert_int_equal(x509_to_pem(ca->cert, &ca->pem, &err), 0);
	assert_non_null(buf_cstr(&ca->pem));
}

struct ask {
	const struct ca *ca; /* NULL: self-signed */
	const char *name;
	enum x509_endpoint use;
	int64_t from, to; /* relative to now */
};

/* Key, certificate and CA in PEM. */
static void make_identity(const struct ask *a, struct buf *out)
{
	struct x509_name san = {.text = (char *)a->name};
	struct x509_request q = {.common_name = a->name,
		.names = &san,
		.name_count = 1,
		.endpoint = a->use,
		.not_before = now + (uint64_t)a->from,
		.not_after = now + (uint64_t)a->to};
	struct error err;
	X509 *c;

	buf_init(out, 65536);
	assert_int_equal(key_generate(KEY_P256, &q.key, &err), 0);
	if (a->ca) {
		q.issuer = a->ca->cert;
		q.issuer_key = a->ca->key;
	}
	assert_int_equal(x509_issue(&q, &c, &err), 0);
	assert_int_equal(key_to_pem(q.key, out, &err), 0);
	assert_int_equal(x509_to_pem(c, out, &err), 0);
	if (a->ca)
		assert_int_equal(x509_to_pem(a->ca->cert, out, &err), 0);
	assert_non_null(buf_cstr(out));
	X509_free(c);
	EVP_PKEY_free(q.key);
}

static struct tls_role *role(bool server, const char *identity, const char *auth, const char *name)
{
	struct tls_role_options o = {.server = server,
		.identity = identity,
		.auth = auth,
		.peer_name = name,
		.auth_disabled = !auth && !identity};
	struct tls_role *r;
	struct error err;

	if (tls_role_new(&o, &r, &err))
		fail_msg("%s", err.text);
	return r;
}

/* One side: what it has to read, and how it ended. */
struct side {
	struct tls_handshake *h;
	struct buf wire;
	size_t at;
	enum tls_step step;
	struct tls_keys keys;
	struct error err;
};

static void side_start(struct side *s, struct tls_role *r)
{
	*s = (struct side){.step = TLS_STEP_MORE};
	buf_init(&s->wire, WIRE_MAX);
	assert_int_equal(tls_handshake_new(r, now, &s->h, &s->err), 0);
}

static void side_end(struct side *s)
{
	tls_handshake_free(s->h);
	buf_free(&s->wire);
}

/* Everything that has come, record by record. */
static bool side_run(struct side *s, struct buf *to)
{
	bool moved = false;

	while (s->step == TLS_STEP_MORE && s->wire.len - s->at >= TLS_HEADER) {
		size_t n = 0;

		if (tls_handshake_record(s->wire.data + s->at, &n, &s->err)) {
			s->step = TLS_STEP_FAILED;
			return true;
		}
		if (s->wire.len - s->at < n)
			break;
		s->step = tls_handshake_step(s->h, s->wire.data + s->at, n, to, &s->keys, &s->err);
		s->at += n;
		moved = true;
	}
	return moved;
}

static void shake(struct side *client, struct side *server)
{
	client->step = tls_handshake_step(client->h, NULL, 0, &server->wire, &client->keys, &client->err);
	while (side_run(server, &client->wire) || side_run(client, &server->wire))
		;
}

/* In place, as the pump does it. */
static void carry(struct side *from, struct side *to, enum tls_type type, const char *text, size_t n)
{
	static uint8_t rec[TLS_RECORD_MAX];
	struct tls_cipher seal = {0}, open = {0};
	enum tls_type got;
	long len;

	memcpy(rec + TLS_HEADER, text, n);
	len = tls_seal(&seal, &from->keys.tx, from->keys.suite, type, rec, n);
	assert_int_equal(len, (long)(n + TLS_OVERHEAD));
	assert_int_equal(tls_record_len(rec), len);
	tls_half_advance(&from->keys.tx);
	assert_int_equal(tls_open(&open, &to->keys.rx, to->keys.suite, rec, (size_t)len, &got), (long)n);
	tls_half_advance(&to->keys.rx);
	assert_int_equal(got, type);
	assert_memory_equal(rec + TLS_HEADER, text, n);
	tls_cipher_drop(&seal);
	tls_cipher_drop(&open);
}

static void test_mutual(void **state)
{
	struct buf server_id, client_id;
	struct tls_role *sr, *cr;
	struct side s, c;

	make_identity(&(struct ask){&ours, "db.example", ENDPOINT_SERVER, -60, 3600}, &server_id);
	make_identity(&(struct ask){&ours, "web.example", ENDPOINT_CLIENT, -60, 3600}, &client_id);
	sr = role(true, (char *)server_id.data, (char *)ours.pem.data, "web.example");
	cr = role(false, (char *)client_id.data, NULL, "db.example"); /* the CA of its own chain */
	side_start(&s, sr);
	side_start(&c, cr);
	tls_role_free(sr); /* a handshake outlives its role */
	tls_role_free(cr);
	shake(&c, &s);
	if (c.step != TLS_STEP_DONE || s.step != TLS_STEP_DONE)
		fail_msg("client: %s; server: %s", c.err.text, s.err.text);
	assert_int_equal(
		c.at, c.wire.len); /* nothing is left on the wire: data begins at a record of its own */
	assert_int_equal(s.at, s.wire.len);
	for (int i = 0; i < 300; i++) {
		carry(&c, &s, TLS_DATA, "to the server", 13);
		carry(&s, &c, TLS_DATA, "", 0);
	}
	tls_half_update(&c.keys.tx, c.keys.suite);
	tls_half_update(&s.keys.rx, s.keys.suite);
	carry(&c, &s, TLS_DATA, "under the next key", 18);
	carry(&s, &c, TLS_ALERT, "\1\0", 2);
	side_end(&s);
	side_end(&c);
	buf_free(&server_id);
	buf_free(&client_id);
}

struct stranger {
	const char *name;
	struct ask server, client;
	bool client_none; /* shows no certificate */
	const char *wants; /* name the client wants */
	bool server_refuses;
	const char *check, *says;
};

static void test_strangers(void **state)
{
	const struct ask good_server = {&ours, "db.example", ENDPOINT_SERVER, -60, 3600};
	const struct ask good_client = {&ours, "web.example", ENDPOINT_CLIENT, -60, 3600};
	const struct stranger all[] = {
		{"none", good_server, good_client, true, "db.example", true, "certificate", "seen none"},
		{"self-made client", good_server, {NULL, "web.example", ENDPOINT_CLIENT, -60, 3600}, false,
			"db.example", true, "issuer", "\"our CA\""},
		{"client of another CA", good_server, {&other, "web.example", ENDPOINT_CLIENT, -60, 3600},
			false, "db.example", true, "issuer", "wanted one issued by \"our CA\""},
		{"expired client", good_server, {&ours, "web.example", ENDPOINT_CLIENT, -7200, -3600}, false,
			"db.example", true, "validity", "wanted one valid now"},
		{"client of tomorrow", good_server, {&ours, "web.example", ENDPOINT_CLIENT, 3600, 7200},
			false, "db.example", true, "validity", "wanted one valid now"},
		{"other service", good_server, {&ours, "log.example", ENDPOINT_CLIENT, -60, 3600}, false,
			"db.example", true, "name", "seen a certificate for log.example, wanted web.example"},
		{"server as a client", good_server, {&ours, "web.example", ENDPOINT_SERVER, -60, 3600}, false,
			"db.example", true, "purpose", "wanted one for a client"},
		{"self-made server", {NULL, "db.example", ENDPOINT_SERVER, -60, 3600}, good_client, false,
			"db.example", false, "issuer", "wanted one issued by \"our CA\""},
		{"server of another CA", {&other, "db.example", ENDPOINT_SERVER, -60, 3600}, good_client,
			false, "db.example", false, "issuer", "\"our CA\""},
		{"expired server", {&ours, "db.example", ENDPOINT_SERVER, -7200, -60}, good_client, false,
			"db.example", false, "validity", "wanted one valid now"},
		{"wrong server", good_server, good_client, false, "cache.example", false, "name",
			"seen a certificate for db.example, wanted cache.example"},
		{"client as a server", {&ours, "db.example", ENDPOINT_CLIENT, -60, 3600}, good_client, false,
			"db.example", false, "purpose", "wanted one for a server"},
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		const struct stranger *t = &all[i];
		struct buf server_id, client_id;
		struct tls_role *sr, *cr;
		struct side s, c, *refuses = t->server_refuses ? &s : &c;

		make_identity(&t->server, &server_id);
		make_identity(&t->client, &client_id);
		sr = role(true, (char *)server_id.data, (char *)ours.pem.data, "web.example");
		cr = role(false, t->client_none ? NULL : (char *)client_id.data, (char *)ours.pem.data,
			t->wants);
		side_start(&s, sr);
		side_start(&c, cr);
		shake(&c, &s);
		assert_int_not_equal(s.step, TLS_STEP_DONE);
		if (refuses->step != TLS_STEP_FAILED || !refuses->err.check ||
			strcmp(refuses->err.check, t->check) || !strstr(refuses->err.text, t->says))
			fail_msg("%s: step %d, check %s: %s", t->name, refuses->step,
				refuses->err.check ? refuses->err.check : "-", refuses->err.text);
		if (!t->server_refuses) { /* the server is told */
			assert_int_equal(s.step, TLS_STEP_FAILED);
			assert_string_equal(s.err.check, "alert");
		}
		side_end(&s);
		side_end(&c);
		tls_role_free(sr);
		tls_role_free(cr);
		buf_free(&server_id);
		buf_free(&client_id);
	}
}

static void one_way(const char *what, const void *bytes, size_t n, const char *check)
{
	struct tls_role *sr = role(true, NULL, (char *)ours.pem.data, NULL);
	struct buf out;
	struct side s;

	buf_init(&out, WIRE_MAX);
	side_start(&s, sr);
	buf_put(&s.wire, bytes, n);
	side_run(&s, &out);
	if (s.step != TLS_STEP_FAILED || !s.err.check || strcmp(s.err.check, check))
		fail_msg("%s: step %d, %s", what, s.step, s.err.text);
	side_end(&s);
	buf_free(&out);
	tls_role_free(sr);
}

/* Plain text, and the first message of a client that knows TLS 1.2 only. */
static void test_no_tls13(void **state)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
	SSL *ssl;
	char *p;
	long n;

	one_way("plain text", "GET / HTTP/1.0\r\n\r\n", 18, "record");
	one_way("a huge record", "\x16\x03\x01\xff\xff", 5, "record");
	SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
	ssl = SSL_new(ctx);
	SSL_set_bio(ssl, in, out);
	SSL_set_connect_state(ssl);
	assert_int_equal(SSL_do_handshake(ssl), -1);
	n = BIO_get_mem_data(out, &p);
	one_way("TLS 1.2", p, (size_t)n, "version");
	SSL_free(ssl);
	SSL_CTX_free(ctx);
}

/* Everything a client said in one handshake, said again to the same server. */
static void test_replay(void **state)
{
	struct buf client_id, said, out;
	struct tls_role *sr = role(true, NULL, (char *)ours.pem.data, NULL), *cr;
	struct side s, c, again;

	make_identity(&(struct ask){&ours, "web.example", ENDPOINT_CLIENT, -60, 3600}, &client_id);
	cr = tls_role_new(
		     &(struct tls_role_options){.identity = (char *)client_id.data, .auth_disabled = true},
		     &cr, NULL)
		     ? NULL
		     : cr;
	assert_non_null(cr);
	side_start(&s, sr);
	side_start(&c, cr);
	shake(&c, &s);
	assert_int_equal(s.step, TLS_STEP_DONE);
	buf_init(&said, WIRE_MAX);
	buf_put(&said, s.wire.data, s.wire.len);
	buf_init(&out, WIRE_MAX);
	side_start(&again, sr);
	buf_put(&again.wire, said.data, said.len);
	side_run(&again, &out);
	assert_int_equal(again.step, TLS_STEP_FAILED);
	side_end(&s);
	side_end(&c);
	side_end(&again);
	buf_free(&said);
	buf_free(&out);
	buf_free(&client_id);
	tls_role_free(sr);
	tls_role_free(cr);
}

static struct tls_half half_of(uint8_t first)
{
	uint8_t secret[TLS_SECRET_MAX] = {first};
	struct tls_half h;

	tls_half_start(&h, TLS_AES_256_GCM, secret);
	return h;
}

/* RFC 8448, section 3: client_application_traffic_secret_0 of the simple 1-RTT handshake, and the keys from it. */
static void test_key_schedule(void **state)
{
	static const uint8_t secret[32] = {0x9e, 0x40, 0x64, 0x6c, 0xe7, 0x9a, 0x7f, 0x9d, 0xc0, 0x5a, 0xf8,
		0x88, 0x9b, 0xce, 0x65, 0x52, 0x87, 0x5a, 0xfa, 0x0b, 0x06, 0xdf, 0x00, 0x87, 0xf7, 0x92,
		0xeb, 0xb7, 0xc1, 0x75, 0x04, 0xa5};
	static const uint8_t key[16] = {0x17, 0x42, 0x2d, 0xda, 0x59, 0x6e, 0xd5, 0xd9, 0xac, 0xd8, 0x90,
		0xe3, 0xc6, 0x3f, 0x50, 0x51};
	static const uint8_t iv[12] = {
		0x5b, 0x78, 0x92, 0x3d, 0xee, 0x08, 0x57, 0x90, 0x33, 0xe5, 0x23, 0xd9};
	struct tls_half h;

	tls_half_start(&h, TLS_AES_128_GCM, secret);
	assert_memory_equal(h.key, key, 16);
	assert_memory_equal(h.iv, iv, 12);
	assert_int_equal(tls_secret_len(0), 0);
	assert_int_equal(tls_secret_len(4), 0);
}

static void test_damage(void **state)
{
	static uint8_t rec[TLS_RECORD_MAX], copy[TLS_RECORD_MAX];
	struct tls_half tx = half_of(1), rx = half_of(1), wrong = half_of(2);
	struct tls_cipher a = {0}, b = {0}, w = {0};
	enum tls_type type;
	long n;

	memset(rec + TLS_HEADER, 'x', 100);
	n = tls_seal(&a, &tx, TLS_AES_256_GCM, TLS_DATA, rec, 100);
	assert_int_equal(n, 122);
	for (long i = 0; i < n; i++) {
		memcpy(copy, rec, (size_t)n);
		copy[i] ^= 1;
		if (i == 3 || i == 4)
			continue; /* the length: another record */
		assert_int_equal(tls_open(&b, &rx, TLS_AES_256_GCM, copy, (size_t)n, &type), -EBADMSG);
	}
	memcpy(copy, rec, (size_t)n);
	assert_int_equal(tls_open(&w, &wrong, TLS_AES_256_GCM, copy, (size_t)n, &type), -EBADMSG);
	memcpy(copy, rec, (size_t)n);
	assert_int_equal(tls_open(&b, &rx, TLS_AES_256_GCM, copy, (size_t)n - 1, &type), -EBADMSG);
	memcpy(copy, rec, (size_t)n);
	assert_int_equal(tls_open(&b, &rx, TLS_AES_256_GCM, copy, (size_t)n, &type), 100);
	tls_half_advance(&rx);
	memcpy(copy, rec, (size_t)n);
	assert_int_equal(
		tls_open(&b, &rx, TLS_AES_256_GCM, copy, (size_t)n, &type), -EBADMSG); /* said twice */
	/* A record of zeros only has no type. */
	tx = half_of(1);
	rx = half_of(1);
	memset(rec, 0, sizeof(rec));
	n = tls_seal(&a, &tx, TLS_AES_256_GCM, 0, rec, 10);
	assert_int_equal(tls_open(&b, &rx, TLS_AES_256_GCM, rec, (size_t)n, &type), -EBADMSG);
	assert_int_equal(tls_record_len((const uint8_t *)"\x17\x03\x03\x41\x01"), -EMSGSIZE);
	assert_int_equal(tls_record_len((const uint8_t *)"\x17\x03\x03\x00\x10"), -EBADMSG);
	assert_int_equal(tls_record_len((const uint8_t *)"\x15\x03\x03\x00\x20"), -EBADMSG);
	tls_cipher_drop(&a);
	tls_cipher_drop(&b);
	tls_cipher_drop(&w);
}

static void test_identities(void **state)
{
	struct buf id, old, enc;
	struct tls_role_options o = {.server = true};
	struct tls_role *r;
	struct error err;
	struct side s, c;
	char name[200];

	assert_int_equal(
		tls_role_new(
			&(struct tls_role_options){.server = true, .identity = "junk", .auth_disabled = true},
			&r, &err),
		-1);
	assert_int_equal(err.code, ERR_INPUT);
	assert_int_equal(
		tls_role_new(&(struct tls_role_options){.server = true, .auth = "junk"}, &r, &err), -1);
	assert_int_equal(tls_role_new(&o, &r, &err), -1);
	assert_non_null(strstr(err.text, "nobody could be trusted"));
	o.identity = (char *)ours.pem.data;
	assert_int_equal(tls_role_new(&o, &r, &err), -1);
	assert_non_null(strstr(err.text, "no private key"));
	buf_init(&enc, 4096);
	make_identity(&(struct ask){&ours, "old.example", ENDPOINT_SERVER, -60, 3600}, &old);
	make_identity(&(struct ask){&ours, "new.example", ENDPOINT_SERVER, -60, 3600}, &id);
	/* The key of one, the certificate of another. */
	buf_put(&enc, old.data, (size_t)(strstr((char *)old.data, "-----BEGIN CERT") - (char *)old.data));
	buf_puts(&enc, strstr((char *)id.data, "-----BEGIN CERT"));
	o.identity = buf_cstr(&enc);
	assert_int_equal(tls_role_new(&o, &r, &err), -1);
	assert_non_null(strstr(err.text, "none of its certificates is of its private key"));
	/* Reload: a bad one changes nothing, a good one is taken by the next handshake. */
	o.identity = (char *)old.data;
	assert_int_equal(tls_role_new(&o, &r, &err), 0);
	o.identity = "junk";
	assert_int_equal(tls_role_reload(r, &o, &err), -1);
	for (int i = 0; i < 2; i++) {
		struct tls_role *cr =
			role(false, NULL, (char *)ours.pem.data, i ? "new.example" : "old.example");

		if (i) {
			o.identity = (char *)id.data;
			o.auth_disabled = true;
			assert_int_equal(tls_role_reload(r, &o, &err), 0);
		} else {
			o.identity = (char *)old.data;
			o.auth_disabled = true;
			assert_int_equal(tls_role_reload(r, &o, &err), 0);
		}
		side_start(&s, r);
		side_start(&c, cr);
		shake(&c, &s);
		if (c.step != TLS_STEP_DONE || s.step != TLS_STEP_DONE)
			fail_msg("%s / %s", c.err.text, s.err.text);
		tls_handshake_peer(c.h, name, sizeof(name));
		assert_string_equal(name, i ? "new.example" : "old.example");
		tls_handshake_peer(s.h, name, sizeof(name));
		assert_string_equal(name, "no certificate");
		side_end(&s);
		side_end(&c);
		tls_role_free(cr);
	}
	tls_role_free(r);
	buf_free(&id);
	buf_free(&old);
	buf_free(&enc);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_key_schedule),
		cmocka_unit_test(test_mutual),
		cmocka_unit_test(test_strangers),
		cmocka_unit_test(test_no_tls13),
		cmocka_unit_test(test_replay),
		cmocka_unit_test(test_damage),
		cmocka_unit_test(test_identities),
	};
	int rc;

	now = (uint64_t)time(NULL);
	make_ca(&ours, "our CA");
	make_ca(&other, "other CA");
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	buf_free(&ours.pem);
	buf_free(&other.pem);
	X509_free(ours.cert);
	X509_free(other.cert);
	EVP_PKEY_free(ours.key);
	EVP_PKEY_free(other.key);
	return rc;
}
