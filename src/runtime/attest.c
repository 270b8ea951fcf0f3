#include "runtime/attest.h"

#include <errno.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include "core/log.h"
#include "core/secret.h"
#include "crypto/key.h"
#include "crypto/x509.h"
#include "wire/http_client.h"
#include "wire/json_wipe.h"
#include "wire/las_client.h"
#include "wire/message.h"

#define CAS_TIMEOUT_MS 15000
#define LAS_TIMEOUT_MS 15000
#define EVIDENCE_LIMIT (512 * 1024) /* so that BODY_MAX holds it as base64 */
#define BODY_MAX (1024 * 1024)
#define CERT_DAYS 1
#define REPEATS 3 /* when a CAS is lost in the middle */
#define PAUSE_MS 200 /* before the first of them, and twice as long each time */

/* What lives as long as one attestation. */
struct attempt {
	const struct attest_options *options;
	EVP_PKEY *key;
	X509 *cert;
	uint8_t key_hash[KEY_HASH_LEN];
	uint8_t cas_key[KEY_HASH_LEN]; /* of the CAS at the other end, which may be trusted */
	struct http_client *cas;
	struct platform_wish wish;
	struct attest_request request;
};

/* For what CAS may refuse a machine whose newer evidence could be good: it was made before the platform, or what is known of it, changed. */
static const enum evidence_check passing[] = {CHECK_PLATFORM_AGE, CHECK_ISSUED_AT, CHECK_CHAIN_TIME,
	CHECK_TCB_STATUS, CHECK_TCB_LEVEL, CHECK_TCB_MATCH, CHECK_TCB_MINIMUM, CHECK_ADVISORY, CHECK_QE_TCB,
	CHECK_TDX_MODULE, CHECK_PCR};

int attest_harden(struct error *err)
{
	const struct rlimit none = {0, 0};

	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0))
		return error_set_errno(err, errno, "make the process undumpable");
	if (setrlimit(RLIMIT_CORE, &none))
		return error_set_errno(err, errno, "set the limit of core dumps to 0");
	return 0;
}

static int make_key(struct attempt *a, struct error *err)
{
	if (key_generate(KEY_P256, &a->key, err) ||
		x509_self_signed(a->key, "OpenSCONE runtime", NULL, NULL, CERT_DAYS, &a->cert, err) ||
		key_hash(a->key, a->key_hash, err))
		return error_wrap(err, "make a key for this start");
	return 0;
}

/* Does this connection end in a CAS that the policy wants? */
static int check_evidence(struct attempt *a, struct error *err)
{
	struct verdict v;

	return cas_evidence_check(a->cas, a->options->cas_policy, false, (uint64_t)time(NULL), NULL, &v, err);
}

static int connect_cas(struct attempt *a, struct error *err)
{
	const struct attest_options *w = a->options;
	struct http_client_options o = {.address = w->cas,
		.pinned_key = w->has_cas_key ? w->cas_key : NULL,
		.accept_any = w->cas_policy != NULL,
		.numeric_only = true,
		.cert = a->cert,
		.key = a->key,
		.timeout_ms = CAS_TIMEOUT_MS};

	if (!w->has_cas_key && !w->cas_policy)
		return error_set(
			err, ERR_INPUT, "the key of CAS %s is not known, so it cannot be trusted", w->cas);
	if (http_client_open(&o, &a->cas, err))
		return error_wrap(err, "connect to CAS %s", w->cas);
	if (w->cas_policy && check_evidence(a, err))
		return error_wrap(err, "evidence of CAS %s", w->cas);
	http_client_server_key(a->cas, a->cas_key);
	memcpy(a->wish.cas, a->cas_key, sizeof(a->wish.cas));
	return 0;
}

/* One POST; 0 only with a 2xx answer. The response is the caller's to free in either case. */
static int post(struct attempt *a, const char *path, const struct buf *body, struct http_response *ret,
	struct error *err)
{
	if (http_client_request(a->cas, "POST", path, body ? "application/json" : NULL,
		    body ? body->data : NULL, body ? body->len : 0, ret, err))
		return -1;
	return http_response_check(ret, err);
}

/* A CAS that judges no machines gives no platform nonce. */
static int parse_nonce(struct attempt *a, const struct buf *body, struct error *err)
{
	static const char where[] = "nonce answer";
	json_t *j = NULL;
	int rc = message_parse(body->data, body->len, where, &j, err);

	if (rc == 0)
		rc = message_hex(j, where, "nonce", a->request.nonce, ATTEST_NONCE_LEN, err);
	if (rc == 0 && json_object_get(j, "platform_nonce"))
		rc = message_hex(j, where, "platform_nonce", a->wish.nonce, sizeof(a->wish.nonce), err);
	json_decref(j);
	return rc;
}

static int fetch_nonce(struct attempt *a, struct error *err)
{
	struct http_response answer = {0};
	int rc = post(a, "/v1/attest/nonce", NULL, &answer, err);

	if (rc == 0)
		rc = parse_nonce(a, &answer.body, err);
	http_response_free(&answer);
	return rc ? error_wrap(err, "get a nonce from CAS %s", a->options->cas) : 0;
}

static int fetch_evidence(struct attempt *a, const struct manifest *m, struct error *err)
{
	uint8_t report_data[64];

	attest_report_data(a->request.nonce, a->key_hash, a->cas_key, report_data);
	if (las_client_evidence(
		    a->options->las, report_data, m, &a->wish, LAS_TIMEOUT_MS, &a->request.evidence, err))
		return error_wrap(err, "get evidence from LAS");
	return 0;
}

/* Both know the token, or this is not the CAS, or not the session, that whoever started this program meant. */
static int check_access_proof(const struct attempt *a, const uint8_t report_data[64],
	const struct service_config *c, struct error *err)
{
	const struct attest_options *o = a->options;
	uint8_t wanted[ACCESS_PROOF_LEN];
	bool good;

	if (!o->access_token)
		return 0;
	attest_access_proof(o->access_token, o->access_token_len, ACCESS_OF_CAS, report_data, wanted);
	good = c->has_access_proof && secret_equal(wanted, c->access_proof, sizeof(wanted));
	secret_wipe(wanted, sizeof(wanted));
	return good ? 0 : error_set(err, ERR_PEER, "CAS has not proved to know the access token");
}

static int fetch_config(struct attempt *a, struct service_config *ret, struct error *err)
{
	struct http_response answer = {0};
	const struct attest_options *o = a->options;
	uint8_t report_data[64];
	struct buf body;
	int rc;

	attest_report_data(a->request.nonce, a->key_hash, a->cas_key, report_data);
	a->request.has_access_proof = o->access_token != NULL;
	if (o->access_token)
		attest_access_proof(o->access_token, o->access_token_len, ACCESS_OF_PROGRAM, report_data,
			a->request.access_proof);
	buf_init(&body, BODY_MAX);
	rc = attest_request_encode(&a->request, &body, err);
	if (rc == 0)
		rc = post(a, "/v1/attest", &body, &answer, err);
	if (rc == 0)
		rc = service_config_decode(answer.body.data, answer.body.len, ret, err);
	if (rc == 0)
		rc = check_access_proof(a, report_data, ret, err);
	http_response_free(&answer);
	buf_free(&body);
	/* Without what follows '@': a one-time password. */
	return rc ? error_wrap(err, "attest %.*s to CAS %s", (int)strcspn(a->options->config_id, "@"),
			    a->options->config_id, a->options->cas)
		  : 0;
}

static int try(struct attempt *a, const struct manifest *m, struct service_config *ret, struct error *err)
{
	if (connect_cas(a, err) || fetch_nonce(a, err) || fetch_evidence(a, m, err) || attest_harden(err))
		return -1;
	return fetch_config(a, ret, err);
}

static bool may_pass(const struct error *err)
{
	for (size_t i = 0; err->check && i < sizeof(passing) / sizeof(passing[0]); i++)
		if (err->check == evidence_check_name(passing[i]))
			return true;
	return false;
}

/*
 * A CAS that ended while it was asked, or that has no majority of its store now: another one, or the same a moment later, may answer. Asking twice changes
 * nothing, but for a one-time password, which then says that it was used.
 */
static bool is_lost(const struct attempt *a, const struct error *err)
{
	return a->cas && (http_client_lost(a->cas) || err->code == ERR_UNAVAILABLE);
}

static void pause_ms(int ms)
{
	struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};

	while (nanosleep(&t, &t) != 0)
		;
}

/* Nothing secret has arrived, and LAS must be able to look at this process again. */
static int begin_again(struct attempt *a, bool fresh, struct error *err)
{
	http_client_close(a->cas);
	a->cas = NULL;
	buf_reset(&a->request.evidence);
	a->wish.fresh = fresh;
	if (prctl(PR_SET_DUMPABLE, 1, 0, 0, 0))
		return error_set_errno(err, errno, "make the process dumpable for LAS");
	return 0;
}

void attest_identity_clear(struct attest_identity *id)
{
	X509_free(id->cert);
	EVP_PKEY_free(id->key); /* OpenSSL clears the private part */
	*id = (struct attest_identity){0};
}

int attest_service(const struct attest_options *o, const struct manifest *m, struct service_config *ret,
	struct attest_identity *ret_id, struct error *err)
{
	struct attempt a = {.options = o};
	struct error refusal = {0};
	int rc = -1;

	json_wipe_install();
	buf_init(&a.request.evidence, EVIDENCE_LIMIT);
	a.request.config_id = strdup(o->config_id);
	if (!a.request.config_id) {
		error_set(err, ERR_NOMEM, "no memory for the configuration id");
		goto out;
	}
	if (make_key(&a, err))
		goto out;
	rc = try(&a, m, ret, &refusal);
	for (int i = 0; rc && i < REPEATS && is_lost(&a, &refusal); i++) {
		log_info("%s; once more", refusal.text);
		pause_ms(PAUSE_MS << i);
		rc = begin_again(&a, false, &refusal) ? -1 : try(&a, m, ret, &refusal);
	}
	if (rc && may_pass(&refusal)) {
		log_info("%s; LAS is asked for newer evidence of this machine", refusal.text);
		rc = begin_again(&a, true, &refusal) ? -1 : try(&a, m, ret, &refusal);
	}
	if (rc && err)
		*err = refusal;
	if (!rc) {
		*ret_id = (struct attest_identity){.key = a.key, .cert = a.cert};
		memcpy(ret_id->cas_key, a.cas_key, sizeof(ret_id->cas_key));
		a.key = NULL;
		a.cert = NULL;
	}
out:
	if (a.cas)
		http_client_close(a.cas);
	X509_free(a.cert);
	EVP_PKEY_free(a.key); /* OpenSSL clears the private part */
	attest_request_free(&a.request);
	return rc;
}
