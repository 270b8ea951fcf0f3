#include "cas/replicas.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "cas/own_evidence.h"
#include "cas/state.h"
#include "core/log.h"
#include "core/secret.h"
#include "crypto/x509.h"
#include "wire/attest.h"
#include "wire/collateral_dir.h"
#include "wire/http_client.h"
#include "wire/message.h"

#define PROOF_MAX (256 * 1024)
#define BODY_MAX (1024 * 1024)
#define TABLE_REPLICA "replica"
#define REASONS_MAX 65536
#define WHERE "replica request"

/* --- evidence about this very program --- */

static int evidence_of_self(
	struct tee *tee, const uint8_t report_data[REPORT_DATA_LEN], struct buf *out, struct error *err)
{
	uint8_t digest[SHA256_LEN], root[SHA256_LEN];

	if (own_code(digest, root, err) || tee->ops->evidence(tee, digest, root, report_data, out, err))
		return error_wrap(err, "evidence about this CAS");
	return 0;
}

/* What this CAS' own evidence says; nobody is to be believed for it, so any platform will do. */
static int own_verdict(struct tee *tee, struct verdict *ret, struct error *err)
{
	const uint8_t report_data[REPORT_DATA_LEN] = {0};
	struct verify_context vc = {.now = (uint64_t)time(NULL), .allow_no_revocation = true};
	struct buf evidence;
	int rc;

	buf_init(&evidence, PROOF_MAX);
	rc = evidence_of_self(tee, report_data, &evidence, err);
	if (!rc)
		rc = evidence_verify(evidence.data, evidence.len, &vc, ret, err);
	buf_free(&evidence);
	return rc;
}

static bool is_zero(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i])
			return false;
	return true;
}

/* The same TEE, the same code. Something must name the code. */
static int compare(const struct verdict *seen, const struct verdict *own, struct error *err)
{
	if (seen->tee != own->tee)
		return error_set(err, ERR_ATTEST, "evidence of TEE type %d, this CAS runs on type %d",
			(int)seen->tee, (int)own->tee);
	if (is_zero(own->measurement, sizeof(own->measurement)) && !own->launch_len)
		return error_set(err, ERR_ATTEST, "the evidence of this TEE does not name the code of a CAS");
	if (memcmp(seen->measurement, own->measurement, sizeof(own->measurement)))
		return evidence_refuse_bytes(err, CHECK_MEASUREMENT, "the measurement of the other CAS",
			seen->measurement, own->measurement, sizeof(own->measurement));
	if (seen->launch_len != own->launch_len || memcmp(seen->launch, own->launch, own->launch_len))
		return evidence_refuse_bytes(err, CHECK_MEASUREMENT, "what the other CAS' platform measured",
			seen->launch, own->launch, own->launch_len);
	return 0;
}

static int check_named(const struct replica_wanted *w, const struct verdict *v, struct error *err)
{
	char seen[KEY_HASH_TEXT_MAX];
	bool named = false;

	for (size_t i = 0; i < w->count; i++)
		named |= !memcmp(w->keys[i], v->platform, sizeof(v->platform));
	key_hash_text(v->platform, seen);
	return named ? 0
		     : evidence_refuse(err, CHECK_PLATFORM,
			       "platform %s is none of those named with --replica-platform", seen);
}

static int check_platform(struct tee *tee, const struct replica_wanted *w, const struct buf *evidence,
	const uint8_t report_data[REPORT_DATA_LEN], struct verdict *ret, struct error *err)
{
	struct verify_context vc = {
		.now = (uint64_t)time(NULL),
		.sim_platforms = w->keys,
		.sim_platform_count = w->count,
		.report_data = report_data,
	};
	struct verdict own;

	if (!w->count)
		return error_set(err, ERR_ACCESS,
			"no platform may join: say what is wanted of it with --cas-policy, or name it with "
			"--replica-platform");
	if (evidence_verify(evidence->data, evidence->len, &vc, ret, err))
		return -1;
	if (!secret_equal(ret->report_data, report_data, REPORT_DATA_LEN))
		return evidence_refuse(
			err, CHECK_REPORT_DATA, "the evidence was made for another connection");
	if (check_named(w, ret, err) || verdict_judge(ret, NULL, err) || own_verdict(tee, &own, err))
		return -1;
	return compare(ret, &own, err);
}

/* With several policies each says why it refuses. */
static int check_policies(const struct replica_wanted *w, const struct collateral *c,
	const struct buf *evidence, const uint8_t report_data[REPORT_DATA_LEN], struct verdict *ret,
	struct error *err)
{
	struct error why = {0};
	struct buf all;
	int rc = -1;

	buf_init(&all, REASONS_MAX);
	for (size_t i = 0; rc && i < w->policy_count; i++) {
		rc = cas_policy_verify(w->policies[i], evidence->data, evidence->len, report_data,
			(uint64_t)time(NULL), c, ret, &why);
		if (w->policy_count > 1)
			buf_printf(&all, "%spolicy %zu: ", i ? "; " : "", i + 1);
		buf_puts(&all, why.text);
	}
	if (rc) {
		error_set(err, why.code, "%s", all.failed ? why.text : buf_cstr(&all));
		if (err)
			err->check = why.check;
	}
	buf_free(&all);
	return rc;
}

static int check_peer(struct tee *tee, const struct replica_wanted *w, const struct collateral *c,
	const struct buf *evidence, const uint8_t report_data[REPORT_DATA_LEN], struct verdict *ret,
	struct error *err)
{
	if (!w->policy_count)
		return check_platform(tee, w, evidence, report_data, ret, err);
	if (check_policies(w, c, evidence, report_data, ret, err))
		return -1;
	return w->count ? check_named(w, ret, err) : 0;
}

int replica_policy_read(const char *path, struct cas_policy **ret, struct error *err)
{
	struct buf b;
	int rc;

	buf_init(&b, CAS_POLICY_MAX + 1);
	rc = collateral_read(path, CAS_POLICY_MAX, &b, err);
	if (!rc)
		rc = cas_policy_parse(b.data, b.len, ret, err);
	buf_free(&b);
	return rc;
}

/* --- the CAS that has the key --- */

struct request {
	uint8_t nonce[ATTEST_NONCE_LEN], challenge[ATTEST_NONCE_LEN];
	struct buf evidence;
};

static int read_request(const struct http_request *q, struct request *ret, struct error *err)
{
	static const char *const keys[] = {"nonce", "challenge", "evidence", NULL};
	json_t *j = NULL;
	int rc = message_parse(q->body, q->body_len, WHERE, &j, err);

	if (!rc && (message_keys(j, WHERE, keys, err) ||
			   message_hex(j, WHERE, "nonce", ret->nonce, ATTEST_NONCE_LEN, err) ||
			   message_hex(j, WHERE, "challenge", ret->challenge, ATTEST_NONCE_LEN, err) ||
			   message_bytes(j, WHERE, "evidence", &ret->evidence, err)))
		rc = -1;
	json_decref(j);
	return rc;
}

/* Who has the master key is not forgotten: it is a change, logged and flushed as one. */
static int remember(struct cas *c, const struct verdict *v, const uint8_t *client, struct error *err)
{
	char platform[KEY_HASH_TEXT_MAX];
	struct sealed_change changes[2] = {{.table = TABLE_REPLICA, .name = platform}};
	struct buf content;
	int rc;

	key_hash_text(v->platform, platform);
	buf_init(&content, 64);
	buf_put_u64be(&content, (uint64_t)time(NULL));
	changes[0].content = content.data;
	changes[0].len = content.len;
	rc = audit_change(c->audit,
		&(struct audit_note){.event = "replica-joined", .actor = client, .detail = platform},
		&changes[1], err);
	if (!rc && sealed_store_apply(c->store, changes, 2, err)) {
		audit_not_done(c->audit);
		rc = -1;
	}
	buf_free(&content);
	return rc;
}

static int admit(struct cas *c, const struct request *p, const uint8_t *client, struct buf *master,
	struct buf *evidence, struct error *err)
{
	uint8_t report_data[REPORT_DATA_LEN];
	struct verify_context vc = {0};
	struct verdict v = {0};
	struct timespec t = {0};

	clock_gettime(CLOCK_BOOTTIME, &t);
	if (nonce_take(c->nonces, p->nonce, client, (uint64_t)t.tv_sec, err))
		return -1;
	attest_report_data(p->nonce, client, c->identity->hash, report_data);
	trust_context(c->trust, &vc);
	if (check_peer(
		    c->state->tee, c->replicas_wanted, vc.collateral, &p->evidence, report_data, &v, err) ||
		remember(c, &v, client, err))
		return -1;
	attest_report_data(p->challenge, c->identity->hash, client, report_data);
	return evidence_of_self(c->state->tee, report_data, evidence, err) ||
			       state_master(c->state, master, err)
		       ? -1
		       : 0;
}

void api_replica(struct cas *c, const struct http_request *q, struct http_reply *r)
{
	struct request p = {0};
	struct buf master, evidence;
	struct error err = {0};
	json_t *answer;
	int rc;

	buf_init(&p.evidence, PROOF_MAX);
	buf_init(&evidence, PROOF_MAX);
	buf_init_secret(&master, 4096);
	rc = sealed_store_shared(c->store)
		     ? 0
		     : error_set(
			       &err, ERR_NOT_FOUND, "this CAS has a store of its own, which nobody can join");
	if (!rc)
		rc = read_request(q, &p, &err);
	if (!rc)
		rc = admit(c, &p, q->key, &master, &evidence, &err);
	if (rc) {
		log_warn("replica refused: %s: %s", error_code_name(err.code), err.text);
		api_error(r, &err, NULL);
	} else {
		answer = message_new();
		if (!message_put(answer, "master", message_new_bytes(master.data, master.len)) ||
			!message_put(answer, "evidence", message_new_bytes(evidence.data, evidence.len)) ||
			message_write(json_incref(answer), WHERE, &r->body, &err))
			api_error(r, &err, NULL);
		else
			r->status = 200;
		json_decref(answer);
	}
	buf_free(&p.evidence);
	buf_free(&evidence);
	buf_free(&master);
}

/* --- the one that joins --- */

struct joining {
	const struct replica_join *j;
	struct tee *tee;
	EVP_PKEY *key;
	X509 *cert;
	uint8_t hash[KEY_HASH_LEN];
	struct http_client *http;
	struct request p;
};

static int call(struct joining *g, const char *path, const struct buf *body, json_t **ret, struct error *err)
{
	struct http_response answer = {0};
	int rc = http_client_request(g->http, "POST", path, body ? "application/json" : NULL,
		body ? body->data : NULL, body ? body->len : 0, &answer, err);

	if (!rc)
		rc = http_response_check(&answer, err);
	if (!rc)
		rc = message_parse(answer.body.data, answer.body.len, path, ret, err);
	http_response_free(&answer);
	return rc;
}

static int connect_to(struct joining *g, struct error *err)
{
	struct http_client_options o = {.address = g->j->address, .pinned_key = g->j->key};

	if (key_generate(KEY_P256, &g->key, err) ||
		x509_self_signed(g->key, "OpenSCONE CAS replica", NULL, NULL, 1, &g->cert, err) ||
		key_hash(g->key, g->hash, err))
		return -1;
	o.cert = g->cert;
	o.key = g->key;
	return http_client_open(&o, &g->http, err);
}

static int ask_nonce(struct joining *g, struct error *err)
{
	json_t *j = NULL;
	int rc = call(g, "/v1/attest/nonce", NULL, &j, err);

	if (!rc)
		rc = message_hex(j, "nonce answer", "nonce", g->p.nonce, ATTEST_NONCE_LEN, err);
	json_decref(j);
	return rc;
}

static int write_request(struct joining *g, struct buf *out, struct error *err)
{
	json_t *m = message_new();

	if (!message_put(m, "nonce", message_new_hex(g->p.nonce, ATTEST_NONCE_LEN)) ||
		!message_put(m, "challenge", message_new_hex(g->p.challenge, ATTEST_NONCE_LEN)) ||
		!message_put(m, "evidence", message_new_bytes(g->p.evidence.data, g->p.evidence.len))) {
		json_decref(m);
		return error_set(err, ERR_NOMEM, "out of memory");
	}
	return message_write(m, WHERE, out, err);
}

static int take_answer(struct joining *g, const json_t *j, uint8_t ret[SEALED_MASTER_LEN], struct error *err)
{
	uint8_t report_data[REPORT_DATA_LEN];
	struct buf evidence, master;
	struct verdict v = {0};
	int rc;

	buf_init(&evidence, PROOF_MAX);
	buf_init_secret(&master, SEALED_MASTER_LEN);
	attest_report_data(g->p.challenge, g->j->key, g->hash, report_data);
	rc = message_bytes(j, WHERE, "evidence", &evidence, err) ||
			     message_bytes(j, WHERE, "master", &master, err) ||
			     check_peer(
				     g->tee, &g->j->wanted, g->j->collateral, &evidence, report_data, &v, err)
		     ? -1
		     : 0;
	if (!rc && master.len != SEALED_MASTER_LEN)
		rc = error_set(
			err, ERR_PEER, "a master key of %zu bytes, wanted %d", master.len, SEALED_MASTER_LEN);
	if (!rc)
		memcpy(ret, master.data, SEALED_MASTER_LEN);
	buf_free(&evidence);
	buf_free(&master);
	return rc;
}

static int join(struct joining *g, uint8_t ret[SEALED_MASTER_LEN], struct error *err)
{
	uint8_t report_data[REPORT_DATA_LEN];
	struct buf body;
	json_t *j = NULL;
	int rc;

	if (random_bytes(g->p.challenge, sizeof(g->p.challenge), err) || connect_to(g, err) ||
		ask_nonce(g, err))
		return -1;
	attest_report_data(g->p.nonce, g->hash, g->j->key, report_data);
	if (evidence_of_self(g->tee, report_data, &g->p.evidence, err))
		return -1;
	buf_init(&body, BODY_MAX);
	rc = write_request(g, &body, err);
	if (!rc)
		rc = call(g, REPLICA_PATH, &body, &j, err);
	if (!rc)
		rc = take_answer(g, j, ret, err);
	json_decref(j);
	buf_free(&body);
	return rc;
}

int replica_fetch(
	const struct replica_join *j, struct tee *tee, uint8_t ret[SEALED_MASTER_LEN], struct error *err)
{
	struct joining g = {.j = j, .tee = tee};
	int rc;

	buf_init(&g.p.evidence, PROOF_MAX);
	rc = join(&g, ret, err);
	http_client_close(g.http);
	buf_free(&g.p.evidence);
	X509_free(g.cert);
	EVP_PKEY_free(g.key);
	return rc ? error_wrap(err, "joining the CAS at %.200s", j->address) : 0;
}
