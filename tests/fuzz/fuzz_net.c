/* Rules of the network shield, records and handshakes from whoever: what is taken keeps its promises, what is refused says why. */
#include <stdlib.h>
#include <string.h>
#include "core/buf.h"
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

static struct tls_role *server, *client;

/* A client that says anything. */
static void run_handshake(const uint8_t *p, size_t n)
{
	struct tls_handshake *h;
	struct error err = {0};
	enum tls_step s = TLS_STEP_MORE;
	struct tls_keys keys;
	struct buf out;

	buf_init(&out, 1 << 20);
	fuzz_check(tls_handshake_new(server, 1700000000, &h, &err) == 0);
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

int main(int argc, char **argv)
{
	struct tls_role_options o = {.server = true, .auth_disabled = true};
	uint8_t secret[TLS_SECRET_MAX] = {1}, record[64];
	struct tls_cipher c = {0};
	struct tls_handshake *h;
	struct tls_keys keys;
	struct tls_half half;
	struct buf hello;
	long len;
	int rc;

	tls_half_start(&half, TLS_AES_256_GCM, secret);
	memcpy(record + TLS_HEADER, "hello", 5);
	len = tls_seal(&c, &half, TLS_AES_256_GCM, TLS_DATA, record, 5);
	tls_cipher_drop(&c);
	buf_init(&hello, 65536);
	fuzz_check(len > 0 && tls_role_new(&o, &server, NULL) == 0);
	o.server = false;
	fuzz_check(
		tls_role_new(&o, &client, NULL) == 0 && tls_handshake_new(client, 1700000000, &h, NULL) == 0);
	fuzz_check(tls_handshake_step(h, NULL, 0, &hello, &keys, NULL) == TLS_STEP_MORE);
	tls_handshake_free(h);
	{
		const struct fuzz_seed records[] = {{record, (size_t)len}};
		const struct fuzz_seed hellos[] = {
			{hello.data, hello.len}, FUZZ_SEED("GET / HTTP/1.0\r\n\r\n")};
		const struct fuzz_target targets[] = {
			{"rules", run_rules, texts, 2, words},
			{"record", run_record, records, 1, NULL},
			{"handshake", run_handshake, hellos, 2, NULL},
		};

		rc = fuzz_main(argc, argv, targets, 3, 3000);
	}
	buf_free(&hello);
	tls_role_free(server);
	tls_role_free(client);
	return rc;
}
