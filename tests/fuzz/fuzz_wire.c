/* Every decoder of src/wire that a peer can reach, and the text forms of src/core. */
#include <stdlib.h>
#include <string.h>
#include "core/encode.h"
#include "crypto/key.h"
#include "fuzz.h"
#include "wire/attest.h"
#include "wire/cas_evidence.h"
#include "wire/http_client.h"
#include "wire/http_head.h"
#include "wire/tpm_enrol.h"

static const char hex64[] = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
#define HEX64 "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

static const struct fuzz_seed las_challenges[] = {
	FUZZ_SEED("{\"challenge\":\"" HEX64 "\"}"),
	FUZZ_SEED("{\"error\":{\"code\":\"PEER\",\"text\":\"process 7 has 2 threads, wanted 1\"}}"),
};

static void run_las_challenge(const uint8_t *p, size_t n)
{
	uint8_t challenge[LAS_CHALLENGE_LEN], again[LAS_CHALLENGE_LEN];
	struct error err = {0};
	struct buf b;

	if (las_challenge_decode(p, n, challenge, &err) < 0) {
		fuzz_check(
			err.code != ERR_NONE && err.text[0] != '\0' && err.text[ERROR_TEXT_MAX - 1] == '\0');
		return;
	}
	buf_init(&b, LAS_FRAME_MAX);
	fuzz_check(las_challenge_encode(challenge, &b, NULL) == 0);
	fuzz_check(las_challenge_decode(b.data, b.len, again, NULL) == 0);
	fuzz_check(memcmp(challenge, again, sizeof(challenge)) == 0);
	buf_free(&b);
}

static const struct fuzz_seed las_requests[] = {
	FUZZ_SEED("{\"op\":\"evidence\",\"challenge\":\"" HEX64 "\",\"report_data\":\"" HEX64 HEX64
		  "\",\"manifest\":[]}"),
	FUZZ_SEED("{\"op\":\"evidence\",\"challenge\":\"" HEX64 "\",\"report_data\":\"" HEX64 HEX64
		  "\",\"manifest\":[{\"role\":1,\"path\":\"/bin/a\",\"digest\":\"" HEX64
		  "\"},{\"role\":4,\"path\":\"/lib/b.so\",\"digest\":\"" HEX64 "\"}]}"),
	FUZZ_SEED("{\"op\":\"evidence\",\"challenge\":\"" HEX64 "\",\"report_data\":\"" HEX64 HEX64
		  "\",\"manifest\":[],\"platform\":{\"cas\":\"" HEX64 "\",\"nonce\":\"" HEX64
		  "\",\"fresh\":true}}"),
};

static void run_las_request(const uint8_t *p, size_t n)
{
	uint8_t challenge[32], again_challenge[32], report[64], again_report[64], root[32], again_root[32];
	struct platform_wish wish, again_wish;
	struct manifest m, again;
	struct error err;
	struct buf b;

	if (las_request_decode(p, n, challenge, report, &m, &wish, &err) < 0) {
		fuzz_check(err.text[0] != '\0');
		return;
	}
	buf_init(&b, LAS_FRAME_MAX);
	fuzz_check(las_request_encode(challenge, report, &m, &wish, &b, NULL) == 0);
	fuzz_check(las_request_decode(
			   b.data, b.len, again_challenge, again_report, &again, &again_wish, NULL) == 0);
	fuzz_check(memcmp(wish.cas, again_wish.cas, 32) == 0 &&
		   memcmp(wish.nonce, again_wish.nonce, 32) == 0 && wish.fresh == again_wish.fresh);
	manifest_root(&m, root);
	manifest_root(&again, again_root);
	fuzz_check(memcmp(challenge, again_challenge, 32) == 0);
	fuzz_check(memcmp(report, again_report, 64) == 0 && memcmp(root, again_root, 32) == 0);
	manifest_free(&m);
	manifest_free(&again);
	buf_free(&b);
}

static const struct fuzz_seed las_answers[] = {
	FUZZ_SEED("{\"evidence\":\"U0NPTkVTSU0=\"}"),
	FUZZ_SEED("{\"error\":{\"code\":\"ACCESS\",\"text\":\"not the runtime\"}}"),
};

static void run_las_answer(const uint8_t *p, size_t n)
{
	struct buf evidence, b, again;
	struct error err = {0};

	buf_init(&evidence, LAS_FRAME_MAX);
	buf_init(&b, 2 * LAS_FRAME_MAX);
	buf_init(&again, LAS_FRAME_MAX);
	if (las_answer_decode(p, n, &evidence, &err) < 0) {
		fuzz_check(err.code != ERR_NONE && err.text[ERROR_TEXT_MAX - 1] == '\0' && evidence.len == 0);
	} else {
		fuzz_check(las_answer_encode(evidence.data, evidence.len, &b, NULL) == 0);
		fuzz_check(las_answer_decode(b.data, b.len, &again, NULL) == 0 && again.len == evidence.len);
	}
	buf_free(&evidence);
	buf_free(&b);
	buf_free(&again);
}

static const struct fuzz_seed attest_requests[] = {
	FUZZ_SEED("{\"config_id\":\"db/mariadb@123456\",\"nonce\":\"" HEX64
		  "\",\"evidence\":\"U0NPTkVTSU0=\"}"),
	FUZZ_SEED("{\"config_id\":\"a/b\",\"nonce\":\"" HEX64 "\",\"evidence\":\"\",\"access_proof\":\"" HEX64
		  "\"}"),
};

static void run_attest_request(const uint8_t *p, size_t n)
{
	struct attest_request r, again;
	struct buf b;

	if (attest_request_decode(p, n, &r, NULL) < 0)
		return;
	buf_init(&b, ATTEST_REQUEST_MAX);
	fuzz_check(attest_request_encode(&r, &b, NULL) == 0);
	fuzz_check(attest_request_decode(b.data, b.len, &again, NULL) == 0);
	fuzz_check(strcmp(r.config_id, again.config_id) == 0 &&
		   memcmp(r.nonce, again.nonce, sizeof(r.nonce)) == 0 &&
		   r.evidence.len == again.evidence.len && r.has_access_proof == again.has_access_proof &&
		   !memcmp(r.access_proof, again.access_proof, sizeof(r.access_proof)));
	attest_request_free(&r);
	attest_request_free(&again);
	buf_free(&b);
}

#define HEX32_SEED "00112233445566778899aabbccddeeff"

static const struct fuzz_seed volume_messages[] = {
	FUZZ_SEED("{\"grant\":\"Zw==\",\"place\":\"" HEX32_SEED HEX32_SEED "\"}"),
	FUZZ_SEED("{\"number\":1,\"least\":0,\"term\":30,\"version\":{\"generation\":7,\"tag\":\"" HEX32_SEED
		  "\"},\"initial_tag\":null}"),
	FUZZ_SEED(
		"{\"number\":1,\"least\":0,\"term\":30,\"version\":null,\"initial_tag\":\"" HEX32_SEED "\"}"),
	FUZZ_SEED("{\"grant\":\"Zw==\",\"number\":2,\"generation\":9223372036854775807,\"tag\":\"" HEX32_SEED
		  "\"}"),
	FUZZ_SEED("{\"term\":30}"),
};

/* What is read is written again as the same. */
static void run_volume_message(const uint8_t *p, size_t n)
{
	struct volume_open_request open;
	struct volume_update_request update, again;
	struct volume_lease lease, lease2 = {0};
	uint32_t term;
	struct buf b;

	buf_init(&b, CONFIG_MAX);
	if (volume_open_decode(p, n, &open, NULL) == 0) {
		fuzz_check(volume_open_encode(&open, &b, NULL) == 0);
		buf_free(&open.grant);
	}
	buf_reset(&b);
	if (volume_lease_decode(p, n, &lease, NULL) == 0) {
		fuzz_check(volume_lease_encode(&lease, &b, NULL) == 0);
		fuzz_check(volume_lease_decode(b.data, b.len, &lease2, NULL) == 0 &&
			   lease.number == lease2.number && lease.has_version == lease2.has_version &&
			   lease.version.generation == lease2.version.generation);
	}
	buf_reset(&b);
	if (volume_update_decode(p, n, &update, NULL) == 0) {
		fuzz_check(volume_update_encode(&update, &b, NULL) == 0);
		fuzz_check(volume_update_decode(b.data, b.len, &again, NULL) == 0 &&
			   again.number == update.number &&
			   again.version.generation == update.version.generation);
		buf_free(&again.grant);
		buf_free(&update.grant);
	}
	(void)!volume_term_decode(p, n, &term, NULL);
	buf_free(&b);
}

static const struct fuzz_seed cas_evidences[] = {
	FUZZ_SEED("{\"issued_at\":1800000000,\"nonce\":\"" HEX64 "\",\"evidence\":\"U0NPTkVTSU0=\"}"),
	FUZZ_SEED("{\"issued_at\":0,\"nonce\":null,\"evidence\":\"\"}"),
};

static void run_cas_evidence(const uint8_t *p, size_t n)
{
	struct cas_evidence e, again;
	struct buf b;

	cas_evidence_init(&e);
	cas_evidence_init(&again);
	buf_init(&b, HTTP_BODY_MAX);
	if (cas_evidence_decode(p, n, &e, NULL) == 0) {
		fuzz_check(cas_evidence_encode(&e, &b, NULL) == 0);
		fuzz_check(cas_evidence_decode(b.data, b.len, &again, NULL) == 0);
		fuzz_check(e.issued_at == again.issued_at && e.evidence.len == again.evidence.len &&
			   memcmp(e.nonce, again.nonce, sizeof(e.nonce)) == 0);
	}
	cas_evidence_free(&e);
	cas_evidence_free(&again);
	buf_free(&b);
}

static const struct fuzz_seed cas_policies[] = {
	FUZZ_SEED(
		"{\"measurement\":[\"" HEX64 "\"],\"tee\":[\"tpm\"],\"launch\":[\"" HEX64
		"\"],\"pcrs\":{\"7\":[\"" HEX64 "\"]},\"platform\":[\"" HEX64
		"\"],\"roots\":{\"tdx\":[\"" HEX64 "\"]},\"tolerate\":[\"debug-mode\"],\"ignore_advisories\":"
		"[\"A\"],\"max_age\":9,\"simulation\":true}"),
};

static void run_cas_policy(const uint8_t *p, size_t n)
{
	struct cas_policy *policy = NULL;

	if (cas_policy_parse(p, n, &policy, NULL) == 0)
		fuzz_check(policy->measurement_count > 0 &&
			   policy->measurement_count <= CAS_POLICY_LIST_MAX &&
			   policy->root_count <= 2 * CAS_POLICY_LIST_MAX);
	free(policy);
}

static const struct fuzz_seed enrolments[] = {
	FUZZ_SEED("{\"name\":\"box\",\"ek\":\"AAEC\",\"ak\":\"AAEC\",\"certificates\":\"\",\"pcrs\":128}"),
	FUZZ_SEED("{\"id\":\"" HEX64 "\",\"id_object\":\"AAEC\",\"secret\":\"AAEC\"}"),
	FUZZ_SEED("{\"id\":\"" HEX64 "\",\"credential\":\"AAEC\",\"evidence\":\"U0NPTkVFVkI=\"}"),
};

static void run_enrolment(const uint8_t *p, size_t n)
{
	struct tpm_enrol_request q;
	struct tpm_enrol_challenge c;
	struct tpm_enrol_proof r;
	struct buf b;

	tpm_enrol_request_init(&q);
	tpm_enrol_challenge_init(&c);
	tpm_enrol_proof_init(&r);
	buf_init(&b, TPM_ENROL_BODY_MAX);
	if (tpm_enrol_request_decode(p, n, &q, NULL) == 0)
		fuzz_check(tpm_enrol_request_encode(&q, &b, NULL) == 0 &&
			   tpm_enrol_name_check(q.name, NULL) == 0 && q.pcrs >> TPM_ENROL_PCRS == 0);
	buf_reset(&b);
	if (tpm_enrol_challenge_decode(p, n, &c, NULL) == 0)
		fuzz_check(tpm_enrol_challenge_encode(&c, &b, NULL) == 0);
	buf_reset(&b);
	if (tpm_enrol_proof_decode(p, n, &r, NULL) == 0)
		fuzz_check(tpm_enrol_proof_encode(&r, &b, NULL) == 0);
	tpm_enrol_request_free(&q);
	tpm_enrol_challenge_free(&c);
	tpm_enrol_proof_free(&r);
	buf_free(&b);
}

static const struct fuzz_seed configs[] = {
	FUZZ_SEED("{\"session\":\"s\",\"service\":\"v\",\"mode\":\"simulation\",\"pwd\":null,\"argv\":[],"
		  "\"env\":[],\"files\":[],"
		  "\"secrets\":[],\"volumes\":[],\"code\":{\"unmeasured\":false,\"generated\":false},"
		  "\"warnings\":[]}"),
	FUZZ_SEED(
		"{\"session\":\"ns/s\",\"service\":\"db\",\"mode\":\"hardware\",\"pwd\":\"/"
		"srv\",\"argv\":[{\"value\":\"YQ==\"},{\"host\":1}],"
		"\"env\":[{\"name\":\"A\",\"value\":\"YmM=\"},{\"name\":\"B\",\"host\":true}],\"files\":[{"
		"\"path\":\"/etc/k\",\"content\":null,"
		"\"mode\":448},{\"path\":\"/etc/"
		"l\",\"content\":\"AAEC\",\"mode\":256}],\"secrets\":[{\"name\":\"K\",\"kind\":\"ascii\","
		"\"value\":\"c2VjcmV0\"},{\"name\":\"L\",\"kind\":\"binary\",\"value\":\"\"}],\"volumes\":[{"
		"\"name\":\"v\",\"path\":\"/v\",\"policy\":\"strict\",\"id\":\"" HEX32_SEED
		"\",\"key\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\",\"grant\":\"Zw==\",\"version\":{"
		"\"generation\":1,\"tag\":\"" HEX32_SEED "\"},\"initial_tag\":null}],\"code\":{"
		"\"unmeasured\":true,\"generated\":true},\"warnings\":"
		"[\"w\"]}"),
};

static void run_config(const uint8_t *p, size_t n)
{
	struct service_config c, again;
	struct buf b, b2;

	if (service_config_decode(p, n, &c, NULL) < 0)
		return;
	buf_init_secret(&b, CONFIG_MAX);
	buf_init_secret(&b2, CONFIG_MAX);
	fuzz_check(service_config_encode(&c, &b, NULL) == 0);
	fuzz_check(service_config_decode(b.data, b.len, &again, NULL) == 0);
	fuzz_check(service_config_encode(&again, &b2, NULL) == 0);
	fuzz_check(b.len == b2.len && memcmp(b.data, b2.data, b.len) == 0);
	service_config_free(&c);
	service_config_free(&again);
	buf_free(&b);
	buf_free(&b2);
}

static const struct fuzz_seed heads[] = {
	FUZZ_SEED("HTTP/1.1 200 OK\r\nContent-Length: 12\r\nContent-Type: application/json\r\nConnection: "
		  "close\r\n\r\n"),
	FUZZ_SEED("HTTP/1.0 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n"),
	FUZZ_SEED("HTTP/1.1 204 No Content\r\n\r\n"),
	FUZZ_SEED("HTTP/1.1 200\r\ncontent-length:0\r\n\r\n"),
};

static void run_head(const uint8_t *p, size_t n)
{
	size_t len = http_head_length(p, n);
	struct http_head h;

	fuzz_check(len <= n);
	/* whole heads as the client gives them, and any other bytes too */
	if (len > 0 && http_head_parse(p, len, 1000, &h, NULL) == 0)
		fuzz_check(h.status >= 200 && h.status <= 599 && h.body_len <= 1000);
	if (http_head_parse(p, n, 1000, &h, NULL) == 0)
		fuzz_check(h.body_len <= 1000);
}

static const struct fuzz_seed error_bodies[] = {
	FUZZ_SEED("{\"error\":{\"code\":\"INPUT\",\"text\":\"no\",\"details\":[{\"name\":\"E-HEX\",\"line\":"
		  "3}]}}"),
	FUZZ_SEED("{\"error\":1}"),
};

static void run_error_body(const uint8_t *p, size_t n)
{
	struct http_response r = {.status = 400};
	struct error err = {0};

	buf_init(&r.body, HTTP_BODY_MAX);
	buf_put(&r.body, p, n);
	fuzz_check(http_response_check(&r, &err) == -1 && err.code != ERR_NONE && err.text[0] != '\0');
	http_response_free(&r);
}

static const struct fuzz_seed addresses[] = {
	FUZZ_SEED("127.0.0.1:8081"),
	FUZZ_SEED("[::1]:443"),
	FUZZ_SEED("fe80::1"),
	FUZZ_SEED("cas.example"),
	FUZZ_SEED("3fwZEM7mhH4VF7Q9Ko1afAkUgTSmNGaxxX4joGMELgCUu6JUByy"),
};

/* Text a person writes: addresses and key hashes. */
static void run_text(const uint8_t *p, size_t n)
{
	char *s = strndup((const char *)p, n), text[KEY_HASH_TEXT_MAX];
	struct http_address a, again;
	uint8_t hash[32];

	if (!s)
		abort();
	if (http_address_parse(s, 8081, &a, NULL) == 0) {
		fuzz_check(http_address_parse(a.text, 1, &again, NULL) == 0);
		fuzz_check(strcmp(a.host, again.host) == 0 && a.port == again.port);
	}
	if (key_hash_parse(s, strlen(s), hash, NULL) == 0) {
		key_hash_text(hash, text);
		fuzz_check(strcmp(text, s) == 0);
	}
	free(s);
}

static const struct fuzz_seed digits[] = {
	{hex64, sizeof(hex64) - 1},
	FUZZ_SEED("Zm9vYmE="),
	FUZZ_SEED("Zm9vYmFy"),
	FUZZ_SEED("MZXW6YTBOI======"),
	FUZZ_SEED("mzxw6"),
};

static void run_digits(const uint8_t *p, size_t n)
{
	const char *s = (const char *)p;
	struct buf b, text, again;

	buf_init_secret(&b, 1 << 20);
	buf_init(&text, 1 << 20);
	buf_init(&again, 1 << 20);
	if (base64_decode(s, n, &b) == 0) {
		base64_encode(b.data, b.len, &text);
		fuzz_check(text.len == n &&
			   (n == 0 || memcmp(text.data, s, n) == 0)); /* one text for each value */
	} else {
		fuzz_check(b.len == 0);
	}
	buf_reset(&b);
	buf_reset(&text);
	if (base32_decode(s, n, &b) == 0) {
		base32_encode(b.data, b.len, true, &text);
		fuzz_check(base32_decode((char *)text.data, text.len, &again) == 0 && again.len == b.len);
		fuzz_check(b.len == 0 || memcmp(again.data, b.data, b.len) == 0);
	}
	buf_reset(&b);
	if (hex_decode_buf(s, n, &b) == 0)
		fuzz_check(b.len * 2 == n);
	/* the same bytes as data */
	buf_reset(&b);
	buf_reset(&text);
	base64_encode(p, n, &text);
	fuzz_check(base64_decode((char *)text.data, text.len, &b) == 0 && b.len == n &&
		   (n == 0 || memcmp(b.data, p, n) == 0));
	buf_free(&b);
	buf_free(&text);
	buf_free(&again);
}

/* The length-prefixed reader, steered by the input itself. */
static void run_reader(const uint8_t *p, size_t n)
{
	struct rd r;

	rd_init(&r, p, n);
	for (size_t i = 0; i < n && !r.failed; i++) {
		size_t len = 0;
		const uint8_t *at = NULL;

		switch (p[i] % 5) {
		case 0:
			rd_u8(&r);
			break;
		case 1:
			rd_u16be(&r);
			break;
		case 2:
			rd_u64be(&r);
			break;
		case 3:
			len = p[i];
			at = rd_bytes(&r, len);
			break;
		default:
			at = rd_block(&r, 100, &len);
			fuzz_check(!at || len <= 100);
		}
		fuzz_check(!at || (at >= p && at + len <= p + n));
	}
	fuzz_check(r.left <= n && (!r.failed || !rd_done(&r)));
}

static const struct fuzz_seed blocks[] = {
	FUZZ_SEED("\0\0\0\3abc\0\0\0\0\0\0\0\1x"), FUZZ_SEED("\xff\xff\xff\xff\0\0\0\4")};

static const char *const json_words[] = {"{}", "[]", "null", "true", "-1", "4294967296", "1e9", "\"\"",
	"\\u0000", "\xff", "{\"host\":0}", "\"host\":", "\"challenge\":", "\"value\":", "\"content\":null",
	",", ":", "\"AA==\"", "\"AB==\"", "[[[[[[[[", NULL};
static const char *const head_words[] = {"\r\n", "\r\n\r\n", "Content-Length: ", "18446744073709551616",
	"HTTP/1.1 ", "Transfer-Encoding: x", ": ", " 999 ", NULL};
static const char *const text_words[] = {"[", "]", ":", "::", ":65536", ":0", "1", "=", "==", NULL};

#define TARGET(name, run, seeds, words)                                                                      \
	{                                                                                                    \
		name, run, seeds, sizeof(seeds) / sizeof(seeds[0]), words                                    \
	}

int main(int argc, char **argv)
{
	static const struct fuzz_target targets[] = {
		TARGET("LAS challenge", run_las_challenge, las_challenges, json_words),
		TARGET("LAS request", run_las_request, las_requests, json_words),
		TARGET("LAS answer", run_las_answer, las_answers, json_words),
		TARGET("attest request", run_attest_request, attest_requests, json_words),
		TARGET("volume message", run_volume_message, volume_messages, json_words),
		TARGET("evidence of CAS", run_cas_evidence, cas_evidences, json_words),
		TARGET("CAS policy", run_cas_policy, cas_policies, json_words),
		TARGET("enrolment", run_enrolment, enrolments, json_words),
		TARGET("configuration", run_config, configs, json_words),
		TARGET("HTTP head", run_head, heads, head_words),
		TARGET("HTTP error body", run_error_body, error_bodies, json_words),
		TARGET("address and key hash", run_text, addresses, text_words),
		TARGET("digits", run_digits, digits, text_words),
		TARGET("reader", run_reader, blocks, NULL),
	};

	return fuzz_main(argc, argv, targets, sizeof(targets) / sizeof(targets[0]), 20000);
}
