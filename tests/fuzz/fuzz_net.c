/* Rules of the network shield, records and handshakes from whoever: what is taken keeps its promises, what is refused says why. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "core/buf.h"
#include "crypto/key.h"
#include "crypto/x509.h"
#include "fuzz.h"
#include "shield/net/rules.h"
#include "shield/net/tls_engine.h"

#define P NET_RULES_PREFIX

static const struct fuzz_seed texts[] = {
	FUZZ_SEED("# rules\n" P "=protected\n" P "_SERVER_A=protected\n" P "_SERVER_A_PORT=TCP:80\n" P
		  "_SERVER_A_CLIENT_AUTH=disabled\n" P "_CLIENT_B=refuse\n" P
		  "_CLIENT_B_DESTINATION=TCP:db.example:5432\n" P "_CLIENT_B_DESTINATION_IP=10.0.0.1\n"),
	FUZZ_SEED(
		P "_CLIENT_U=protected\n" P "_CLIENT_U_DESTINATION=unix:@x\n" P
		  "_CLIENT_U_SERVER_DNS_NAME=x\n" P "_CLIENT_U_IDENTITY=-----BEGIN\nx\n-----END\n\n# more\n" P
		  "_UNSUPPORTED_PROTOCOLS=refuse\n"),
};
static const char *const words[] = {P, P "_SERVER_", P "_CLIENT_", "_PORT", "_DESTINATION", "_DESTINATION_IP",
	"_IDENTITY", "_CLIENT_AUTH", "_SERVER_AUTH", "=", "\n", "TCP:", "unix:", "[::1]", "*", "65536",
	"protected", "refuse", "disabled", "\n#", NULL};

static void run_rules(const uint8_t *p, size_t n)
{
	static const char *const places[] = {"TCP:10.0.0.1:5432", "TCP:[::1]:80", "unix:@x"};
	const struct net_rule *rule;
	struct net_rules r;
	struct net_place at;
	struct error err = {0};
	char **env;
	struct buf b;

	if (net_rules_lines((const char *)p, n, &env, &err)) {
		fuzz_check(err.text[0]);
		return;
	}
	for (size_t i = 0; env[i]; i++)
		fuzz_check(net_rules_owns(env[i]) || strncmp(env[i], P, strlen(P)) == 0);
	if (net_rules_parse(env, &r, &err)) {
		fuzz_check(err.text[0] && r.count == 0 && !r.rule);
		net_rules_lines_free(env);
		return;
	}
	net_rules_lines_free(env);
	buf_init(&b, 1 << 20);
	for (size_t i = 0; i < r.count; i++) {
		const struct net_rule *x = &r.rule[i];

		fuzz_check(x->name && x->name[0]);
		/* Nothing is protected against nobody by leaving something out. */
		fuzz_check(x->action != NET_PROTECT || x->auth || x->auth_disabled || x->identity);
		fuzz_check(x->action != NET_PROTECT || x->server || x->peer_name);
	}
	for (size_t i = 0; i < 3; i++) {
		enum net_action a;

		fuzz_check(net_place_parse(places[i], &at, &err) == 0);
		a = net_rules_decide(&r, i == 1, &at, &rule);
		fuzz_check(rule ? a == rule->action : a != NET_PROTECT);
		net_rules_explain(&r, i == 1, &at, NULL, &b);
	}
	fuzz_check(!b.failed);
	buf_free(&b);
	net_rules_free(&r);
}

static void run_record(const uint8_t *p, size_t n)
{
	uint8_t secret[TLS_SECRET_MAX] = {1}, *copy;
	struct tls_cipher c = {0};
	enum tls_type type = 0;
	struct tls_half h;
	long len;

	if (n < TLS_HEADER)
		return;
	len = tls_record_len(p);
	fuzz_check(len < 0 || (len >= TLS_RECORD_MIN && len <= TLS_RECORD_MAX));
	if (len < 0 || (size_t)len > n)
		return;
	copy = malloc((size_t)len);
	fuzz_check(copy != NULL);
	memcpy(copy, p, (size_t)len);
	for (unsigned suite = TLS_AES_128_GCM; suite <= TLS_CHACHA20_POLY1305; suite++) {
		long plain;

		tls_half_start(&h, suite, secret);
		plain = tls_open(&c, &h, suite, copy, (size_t)len, &type);
		/* The first seed is genuine; an edit of it never is. */
		fuzz_check(plain < 0 ||
			   (plain == 5 && !memcmp(copy + TLS_HEADER, "hello", 5) && type == TLS_DATA));
		memcpy(copy, p, (size_t)len);
		tls_cipher_drop(&c);
	}
	free(copy);
}

/* --- a stream of records whose carrier is an enemy: what is delivered is a beginning of what was said --- */

#define STREAM_RECORDS 12
#define STREAM_PLAIN 300

struct stream {
	uint8_t record[STREAM_RECORDS][STREAM_PLAIN + TLS_OVERHEAD];
	size_t len[STREAM_RECORDS];
};

static size_t stream_plain(size_t i)
{
	return i * 37 % STREAM_PLAIN;
}

static void stream_seal(struct stream *s, unsigned suite, const uint8_t *secret)
{
	struct tls_cipher c = {0};
	struct tls_half h;

	tls_half_start(&h, suite, secret);
	for (size_t i = 0; i < STREAM_RECORDS; i++) {
		long len;

		memset(s->record[i] + TLS_HEADER, (int)i, stream_plain(i));
		len = tls_seal(&c, &h, suite, TLS_DATA, s->record[i], stream_plain(i));
		fuzz_check(len > 0 && (size_t)len <= sizeof(s->record[i]));
		s->len[i] = (size_t)len;
		tls_half_advance(&h);
		if (i % 5 == 4)
			tls_half_update(&h, suite);
	}
	tls_cipher_drop(&c);
}

/* Each byte of the input is what the carrier does next: pass (most), leave out, repeat, go back, take from the other direction, or change a bit. */
static void run_stream(const uint8_t *p, size_t n)
{
	static struct stream said, other;
	uint8_t secrets[2][TLS_SECRET_MAX] = {{1}, {2}}, at[STREAM_PLAIN + TLS_OVERHEAD];
	unsigned suite = n ? TLS_AES_128_GCM + p[0] % 3 : TLS_AES_256_GCM;
	struct tls_cipher c = {0};
	struct tls_half h;
	size_t next = 0, got = 0;

	stream_seal(&said, suite, secrets[0]);
	stream_seal(&other, suite, secrets[1]);
	tls_half_start(&h, suite, secrets[0]);
	for (size_t k = 1; k < n && got < STREAM_RECORDS; k++) {
		unsigned what = p[k] & 15, how = p[k] >> 4;
		size_t i = what == 3 ? (next + STREAM_RECORDS - 1 - how) % STREAM_RECORDS
				     : next % STREAM_RECORDS;
		enum tls_type type = 0;
		long len, plain;

		memcpy(at, what == 4 ? other.record[i] : said.record[i], said.len[i]);
		if (what == 5 && k + 1 < n)
			at[p[++k] % said.len[i]] ^= (uint8_t)(1 << how % 8);
		next += what != 2 && what != 3;
		if (what == 1)
			continue; /* left out */
		len = tls_record_len(at);
		if (len < 0 || (size_t)len != said.len[i])
			break; /* no record, or one whose rest never comes */
		plain = tls_open(&c, &h, suite, at, (size_t)len, &type);
		if (plain < 0)
			break;
		fuzz_check(i == got && what != 4 && type == TLS_DATA && (size_t)plain == stream_plain(got));
		for (long b = 0; b < plain; b++)
			fuzz_check(at[TLS_HEADER + b] == (uint8_t)got);
		tls_half_advance(&h);
		if (got++ % 5 == 4)
			tls_half_update(&h, suite);
	}
	tls_cipher_drop(&c);
}

/* --- handshakes --- */

static struct tls_role *server, *client, *strict_server, *strict_client;

/* A peer of this role that says anything. */
static void say_to(struct tls_role *role, bool starts, const uint8_t *p, size_t n)
{
	struct tls_handshake *h;
	struct error err = {0};
	enum tls_step s = TLS_STEP_MORE;
	struct tls_keys keys;
	struct buf out;

	buf_init(&out, 1 << 20);
	fuzz_check(tls_handshake_new(role, (uint64_t)time(NULL), &h, &err) == 0);
	if (starts)
		s = tls_handshake_step(h, NULL, 0, &out, &keys, &err);
	while (s == TLS_STEP_MORE && n >= TLS_HEADER) {
		size_t len;

		if (tls_handshake_record(p, &len, &err)) {
			fuzz_check(err.check && err.text[0]);
			break;
		}
		if (len > n)
			break;
		s = tls_handshake_step(h, p, len, &out, &keys, &err);
		fuzz_check(s != TLS_STEP_DONE); /* nobody answers for what was said before */
		fuzz_check(s != TLS_STEP_FAILED || (err.check && err.text[0]));
		p += len;
		n -= len;
	}
	tls_handshake_free(h);
	buf_free(&out);
}

static void run_handshake(const uint8_t *p, size_t n)
{
	say_to(server, false, p, n);
}

static void run_answer(const uint8_t *p, size_t n)
{
	say_to(client, true, p, n);
}

struct side {
	struct tls_handshake *h;
	enum tls_step step;
	struct tls_keys keys;
	struct buf out; /* said, not carried yet */
	struct error err;
};

static void side_start(struct side *s, struct tls_role *role, bool starts)
{
	*s = (struct side){.step = TLS_STEP_MORE};
	buf_init(&s->out, 1 << 20);
	fuzz_check(tls_handshake_new(role, (uint64_t)time(NULL), &s->h, &s->err) == 0);
	if (starts)
		s->step = tls_handshake_step(s->h, NULL, 0, &s->out, &s->keys, &s->err);
}

static void side_end(struct side *s)
{
	tls_handshake_free(s->h);
	buf_free(&s->out);
}

static void side_hear(struct side *s, const uint8_t *p, size_t n)
{
	size_t len;

	if (s->step != TLS_STEP_MORE || n < TLS_HEADER)
		return;
	if (tls_handshake_record(p, &len, &s->err) || len != n) {
		s->step = TLS_STEP_FAILED;
		return;
	}
	s->step = tls_handshake_step(s->h, p, n, &s->out, &s->keys, &s->err);
	fuzz_check(s->step != TLS_STEP_FAILED || (s->err.check && s->err.text[0]));
}

/* The first record that waits in from, out of it. */
static size_t take_record(struct buf *from, uint8_t *ret, size_t size)
{
	size_t len;

	if (from->len < TLS_HEADER)
		return 0;
	len = TLS_HEADER + (size_t)(from->data[3] << 8 | from->data[4]);
	fuzz_check(len <= from->len && len <= size);
	memcpy(ret, from->data, len);
	memmove(from->data, from->data + len, from->len - len);
	buf_truncate(from, from->len - len);
	return len;
}

/* Two honest sides and a carrier that does with each record what the input says. Where the server comes to an end so has the client, with the same keys;
 * a client that came to an end has heard this server. */
static void run_between(const uint8_t *p, size_t n)
{
	static uint8_t record[2 * TLS_RECORD_MAX];
	struct side c, s;
	size_t k = 0;

	side_start(&c, strict_client, true);
	side_start(&s, strict_server, false);
	for (int turn = 0; turn < 64 && (c.out.len || s.out.len); turn++) {
		bool up = c.out.len > 0;
		size_t len = take_record(up ? &c.out : &s.out, record, sizeof(record));
		unsigned what = k < n ? p[k++] : 255;
		struct side *to = up ? &s : &c;

		if (what < 8)
			record[(k + 1 < n ? (size_t)(p[k] << 8 | p[k + 1]) : what * 31) % len] ^=
				(uint8_t)(1 << what);
		else if (what == 8)
			continue; /* left out */
		else if (what == 9)
			side_hear(to, record, len); /* and once more below */
		else if (what == 10)
			to = up ? &c : &s; /* back to where it came from */
		side_hear(to, record, len);
	}
	fuzz_check(s.step != TLS_STEP_DONE || c.step == TLS_STEP_DONE);
	if (s.step == TLS_STEP_DONE)
		fuzz_check(c.keys.suite == s.keys.suite &&
			   !memcmp(&c.keys.tx, &s.keys.rx, sizeof(c.keys.tx)) &&
			   !memcmp(&c.keys.rx, &s.keys.tx, sizeof(c.keys.rx)));
	fuzz_check(p || (s.step == TLS_STEP_DONE && c.step == TLS_STEP_DONE));
	side_end(&c);
	side_end(&s);
}

/* --- all --- */

static struct tls_role *make_role(bool is_server, const char *identity, const char *auth)
{
	struct tls_role_options o = {
		.server = is_server, .identity = identity, .auth = auth, .auth_disabled = !auth};
	struct tls_role *r;
	struct error err = {0};

	if (tls_role_new(&o, &r, &err)) {
		fprintf(stderr, "fuzz_net: %s\n", err.text);
		abort();
	}
	return r;
}

/* Two roles that trust one certificate, which both show. */
static void make_strict_roles(void)
{
	EVP_PKEY *key = NULL;
	X509 *cert = NULL;
	struct buf identity, auth;

	buf_init(&identity, 65536);
	buf_init(&auth, 65536);
	fuzz_check(key_generate(KEY_P256, &key, NULL) == 0 &&
		   x509_self_signed(key, "fuzz", "fuzz.example", NULL, 1, &cert, NULL) == 0 &&
		   key_to_pem(key, &identity, NULL) == 0 && x509_to_pem(cert, &identity, NULL) == 0 &&
		   x509_to_pem(cert, &auth, NULL) == 0);
	strict_server = make_role(true, buf_cstr(&identity), buf_cstr(&auth));
	strict_client = make_role(false, buf_cstr(&identity), buf_cstr(&auth));
	EVP_PKEY_free(key);
	X509_free(cert);
	buf_free(&identity);
	buf_free(&auth);
}

/* What the two sides say first: the client's hello, and the server's answer to it. */
static void record_greeting(struct buf *ret_hello, struct buf *ret_answer)
{
	struct side c, s;

	side_start(&c, client, true);
	side_start(&s, server, false);
	buf_put(ret_hello, c.out.data, c.out.len);
	side_hear(&s, c.out.data, c.out.len);
	buf_put(ret_answer, s.out.data, s.out.len);
	side_end(&c);
	side_end(&s);
	fuzz_check(ret_hello->len > 0 && ret_answer->len > 0);
}

static size_t make_record(uint8_t *ret)
{
	uint8_t secret[TLS_SECRET_MAX] = {1};
	struct tls_cipher c = {0};
	struct tls_half half;
	long len;

	tls_half_start(&half, TLS_AES_256_GCM, secret);
	memcpy(ret + TLS_HEADER, "hello", 5);
	len = tls_seal(&c, &half, TLS_AES_256_GCM, TLS_DATA, ret, 5);
	tls_cipher_drop(&c);
	fuzz_check(len > 0);
	return (size_t)len;
}

int main(int argc, char **argv)
{
	static const struct fuzz_seed streams[] = {
		FUZZ_SEED("\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
		FUZZ_SEED("\1\xff\xff\xff\1\xff\xff"), FUZZ_SEED("\2\xff\xff\2\xff\3\xff"),
		FUZZ_SEED("\0\xff\xff\x13\xff\xff\4"), FUZZ_SEED("\1\xff\xff\xff\xff\xff\x25\7\xff")};
	static const struct fuzz_seed carriers[] = {
		FUZZ_SEED("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), FUZZ_SEED("\xff\3\xff\xff"),
		FUZZ_SEED("\xff\xff\xff\xff\xff\xff\xff\5\2\1"), FUZZ_SEED("\xff\x0a\xff\x09")};
	uint8_t record[64];
	struct buf hello, answer;
	int rc;

	buf_init(&hello, 65536);
	buf_init(&answer, 65536);
	server = make_role(true, NULL, NULL);
	client = make_role(false, NULL, NULL);
	make_strict_roles();
	record_greeting(&hello, &answer);
	run_between(NULL, 0);
	{
		const struct fuzz_seed records[] = {{record, make_record(record)}};
		const struct fuzz_seed hellos[] = {
			{hello.data, hello.len}, FUZZ_SEED("GET / HTTP/1.0\r\n\r\n")};
		const struct fuzz_seed answers[] = {{answer.data, answer.len},
			FUZZ_SEED("\x15\x03\x03\x00\x02\x02\x28"), FUZZ_SEED("SSH-2.0-x\r\n")};
		const struct fuzz_target targets[] = {
			{"rules", run_rules, texts, 2, words},
			{"record", run_record, records, 1, NULL},
			{"stream", run_stream, streams, 5, NULL},
			{"handshake", run_handshake, hellos, 2, NULL},
			{"answer", run_answer, answers, 3, NULL},
			{"between", run_between, carriers, 4, NULL},
		};

		rc = fuzz_main(argc, argv, targets, 6, 3000);
	}
	buf_free(&hello);
	buf_free(&answer);
	tls_role_free(server);
	tls_role_free(client);
	tls_role_free(strict_server);
	tls_role_free(strict_client);
	return rc;
}
