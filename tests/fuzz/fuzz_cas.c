/* What a CAS reads that others wrote: requests, its options file, signed sessions, what another CAS asks and answers, and certificates; and the certificates it makes
 * as documents ask for them. */
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include "cas/export_message.h"
#include "cas/http_parse.h"
#include "cas/options_file.h"
#include "core/encode.h"
#include "crypto/key.h"
#include "crypto/x509.h"
#include "crypto/x509_issue.h"
#include "fuzz.h"
#include "policy/signature.h"

#define BODY_MAX 4096
#define HEX64 "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

/* --- requests --- */

static const struct fuzz_seed requests[] = {
	FUZZ_SEED("GET / HTTP/1.1\r\nHost: c\r\n\r\n"),
	FUZZ_SEED("POST /v1/sessions?repeat=1 HTTP/1.1\r\nHost: cas.example:8081\r\nContent-Length: 12\r\n"
		  "Expect: 100-continue\r\nConnection: close\r\n\r\n"),
	FUZZ_SEED("GET /v1/sessions/a%2Eb/c?hash=" HEX64
		  "&after=x HTTP/1.1\r\nHost: c\r\nAuthorization: Attested AAAA\r\n"
		  "Origin: https://c\r\nSec-Fetch-Site: same-origin\r\n\r\n"),
};
static const char *const request_words[] = {"\r\n", "\r\n\r\n", "\n", "Host: ", "Content-Length: ", "4097",
	"Transfer-Encoding: chunked\r\n", "Expect: 100-continue\r\n", "HTTP/1.0", "HTTP/1.1", "%2F", "%00",
	"%", "?", "&", "=", "://", "Origin: ", "Connection: ", " ", "\t", NULL};

static void check_path(const struct http_head *h)
{
	char decoded[HTTP_TARGET_MAX];
	const char *value = NULL;
	struct error err = {0};

	fuzz_check(h->path[0] == '/' && h->method[0]);
	fuzz_check(h->content_length <= BODY_MAX);
	for (const unsigned char *c = (const unsigned char *)h->path; *c; c++)
		fuzz_check(*c > 0x20 && *c < 0x7f);
	if (!http_percent_decode(h->path, strlen(h->path), decoded, &err)) {
		fuzz_check(strlen(decoded) <= strlen(h->path));
		for (const unsigned char *c = (const unsigned char *)decoded; *c; c++)
			fuzz_check(*c > 0x20 && *c < 0x7f);
	}
	if (!http_query_value(h->query, "hash", &value, &err) && value)
		fuzz_check(strlen(value) <= strlen(h->query));
}

static void run_request(const uint8_t *p, size_t n)
{
	struct http_refusal refusal = {0};
	struct http_head *h = calloc(1, sizeof(*h));
	size_t len = http_request_length((const char *)p, n);

	fuzz_check(h && len <= n);
	if (len && !http_request_parse((const char *)p, len, BODY_MAX, h, &refusal))
		check_path(h);
	else if (len)
		fuzz_check(refusal.status >= 400 && refusal.status < 600 && refusal.code && refusal.text[0]);
	free(h);
}

/* --- the options file --- */

static const struct fuzz_seed options[] = {
	FUZZ_SEED("dir: /var/lib/openscone/cas\nlisten: 127.0.0.1:8081\n"
		  "operator:\n  - 3eZowKTXKcRteouico2wMLNBM1ejMdaBAVbWGqLpXmXdz92xaiK\nnew-audit-log: "
		  "false\nmax-body: 1048576\n"),
	FUZZ_SEED("store: 'etcd://a:2379,b:2379?ca=c&cert=d&key=e'\nsim-platform: []\n"),
};
static const char *const option_words[] = {
	": ", "- ", "\n", "true", "~", "[", "{", "\"", "dir", "operator", "&a ", NULL};

static void run_options(const uint8_t *p, size_t n)
{
	struct options_file f;
	struct error err = {0};

	if (options_file_parse((const char *)p, n, "options", &f, &err)) {
		fuzz_check(err.text[0] && !f.count);
		return;
	}
	for (size_t i = 0; i < f.count; i++)
		fuzz_check(f.settings[i].name && f.settings[i].value && f.settings[i].line > 0);
	options_file_free(&f);
}

/* --- signed sessions, exports --- */

static const char *const json_words[] = {"{}", "[]", "null", "true", "-1", "\"\"", "\\u0000", "\\ud800",
	"\"signatures\":[", "\"signer\":", "\"session\":", "\"value\":", "binary", "AAAA", "==", HEX64, NULL};

static struct fuzz_seed signed_seeds[1];

static void make_signed(void)
{
	static const char text[] = "name: n\nversion: \"0.3\"\n";
	struct signed_session s;
	struct error err;
	EVP_PKEY *k = NULL;
	static struct buf out;

	buf_init(&out, 65536);
	if (key_generate(KEY_ED25519, &k, &err) || signed_session_new(text, sizeof(text) - 1, &s, &err) ||
		signed_session_sign(&s, k, &err) || signed_session_encode(&s, &out, &err))
		abort();
	signed_session_free(&s);
	EVP_PKEY_free(k);
	signed_seeds[0] = (struct fuzz_seed){out.data, out.len};
}

static void run_signed(const uint8_t *p, size_t n)
{
	struct signed_session s;
	struct error err = {0};

	(void)signed_session_looks(p, n);
	if (signed_session_decode(p, n, &s, &err)) {
		fuzz_check(err.text[0]);
		return;
	}
	/* Nobody makes a signature by chance: what is accepted is what was signed. */
	fuzz_check(s.signer_count == 1 && s.text && !memcmp(s.text, "name: n\n", 8));
	signed_session_free(&s);
}

static const struct fuzz_seed exports[] = {
	FUZZ_SEED("{\"session\":\"a/"
		  "b\",\"secret\":\"k\",\"session_hash\":null,\"importer\":\"c\",\"importer_hash\":\"" HEX64
		  "\"}"),
	FUZZ_SEED("{\"session\":\"a\",\"secret\":\"k\",\"session_hash\":\"" HEX64
		  "\",\"importer\":\"c/d\",\"importer_hash\":\"" HEX64 "\"}"),
	FUZZ_SEED("{\"kind\":\"binary\",\"value\":\"AAEC\"}"),
	FUZZ_SEED("{\"kind\":\"x509-ca\",\"value\":\"\"}"),
};

static void run_export(const uint8_t *p, size_t n)
{
	struct export_request q, again;
	enum secret_kind kind;
	struct buf b;
	struct error err = {0};

	buf_init_secret(&b, 65536);
	if (!export_request_decode(p, n, &q, &err)) {
		fuzz_check(!export_request_encode(&q, &b, &err));
		fuzz_check(!export_request_decode(b.data, b.len, &again, &err));
		fuzz_check(!strcmp(q.session, again.session) && !strcmp(q.importer, again.importer) &&
			   q.has_hash == again.has_hash && !memcmp(q.importer_hash, again.importer_hash, 32));
		export_request_free(&again);
		export_request_free(&q);
	} else {
		fuzz_check(err.text[0]);
	}
	buf_reset(&b);
	if (!export_answer_decode(p, n, &kind, &b, &err))
		fuzz_check(kind < SECRET_JWT);
	buf_free(&b);
}

/* --- certificates --- */

static EVP_PKEY *key;
static struct fuzz_seed certificates[2];

static X509 *issue(
	const char *common_name, const struct x509_name *names, size_t n, bool ca, struct error *err)
{
	struct x509_request q = {.key = key,
		.common_name = common_name,
		.names = names,
		.name_count = n,
		.ca = ca,
		.endpoint = ca ? ENDPOINT_NONE : ENDPOINT_SERVER,
		.not_before = 1700000000,
		.not_after = 1800000000};
	X509 *c = NULL;

	return x509_issue(&q, &c, err) ? NULL : c;
}

static void make_certificates(void)
{
	static struct x509_name names[] = {{false, (char *)"*.a.example"}, {true, (char *)"::1"}};
	static struct buf der[2];
	struct error err;

	if (key_generate(KEY_P256, &key, &err))
		abort();
	for (int i = 0; i < 2; i++) {
		X509 *c = issue("name", names, i ? 2 : 0, !i, &err);

		buf_init(&der[i], 65536);
		if (!c || x509_to_der(c, &der[i], &err))
			abort();
		X509_free(c);
		certificates[i] = (struct fuzz_seed){der[i].data, der[i].len};
	}
}

/* Any DER, as the PEM in which sessions have it. */
static void run_certificate(const uint8_t *p, size_t n)
{
	uint8_t hash[KEY_HASH_LEN];
	struct error err = {0};
	uint64_t start, end;
	struct buf pem;
	X509 *c = NULL;

	buf_init(&pem, 4 * 65536);
	buf_puts(&pem, "-----BEGIN CERTIFICATE-----\n");
	for (size_t i = 0; i < n; i += 48) {
		base64_encode(p + i, n - i < 48 ? n - i : 48, &pem);
		buf_putc(&pem, '\n');
	}
	buf_puts(&pem, "-----END CERTIFICATE-----\n");
	fuzz_check(!pem.failed);
	if (!x509_from_pem((const char *)pem.data, pem.len, &c, &err)) {
		if (!x509_key_hash(c, hash, &err) && !x509_validity(c, &start, &end, &err))
			(void)x509_is_for(c, key);
		X509_free(c);
	} else {
		fuzz_check(err.text[0]);
	}
	buf_free(&pem);
}

static const struct fuzz_seed asked[] = {
	FUZZ_SEED("shop\ndns:a.example\ndns:*.b.example\nip:10.0.0.1\nip:fe80::1\n"), FUZZ_SEED("x\n"),
	FUZZ_SEED("n\xc3\xa4me\ndns:xn--n-zfa.example\n")};
static const char *const asked_words[] = {
	"dns:", "ip:", "\n", "*.", "::", ".", "-", "255", "xn--", "\xc3\xa4", NULL};

/* The common name, and a name a line, as a document asks for them: what the check lets pass is issued, and is in the certificate. */
static void run_asked(const uint8_t *p, size_t n)
{
	char text[1024], *line, *rest;
	struct x509_name names[16];
	struct error err = {0};
	size_t count = 0;
	X509 *c;

	if (n >= sizeof(text) || memchr(p, 0, n))
		return;
	memcpy(text, p, n);
	text[n] = '\0';
	rest = strchr(text, '\n');
	if (!rest)
		return;
	*rest++ = '\0';
	while (count < 16 && (line = strsep(&rest, "\n"))) {
		bool ip = !strncmp(line, "ip:", 3);
		char *name = ip || !strncmp(line, "dns:", 4) ? strchr(line, ':') + 1 : NULL;

		if (name && !x509_name_check(ip, name, &err))
			names[count++] = (struct x509_name){ip, name};
	}
	c = issue(text, names, count, count == 0, &err);
	if (c) {
		GENERAL_NAMES *san = X509_get_ext_d2i(c, NID_subject_alt_name, NULL, NULL);

		fuzz_check((size_t)(san ? sk_GENERAL_NAME_num(san) : 0) == count);
		GENERAL_NAMES_free(san);
		fuzz_check(x509_is_for(c, key) == 1);
	} else {
		fuzz_check(err.text[0]);
	}
	X509_free(c);
}

#define TARGET(name, run, seeds, words)                                                                      \
	{                                                                                                    \
		name, run, seeds, sizeof(seeds) / sizeof(seeds[0]), words                                    \
	}

int main(int argc, char **argv)
{
	static const struct fuzz_target targets[] = {
		TARGET("HTTP request", run_request, requests, request_words),
		TARGET("options file", run_options, options, option_words),
		TARGET("signed session", run_signed, signed_seeds, json_words),
		TARGET("export", run_export, exports, json_words),
		TARGET("certificate", run_certificate, certificates, NULL),
		TARGET("X.509 request", run_asked, asked, asked_words),
	};
	int status;

	make_signed();
	make_certificates();
	status = fuzz_main(argc, argv, targets, sizeof(targets) / sizeof(targets[0]), 5000);
	EVP_PKEY_free(key);
	return status;
}
