#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "cas/attest.h"
#include "cas/configure.h"
#include "cas/otp.h"
#include "cas/remotes.h"
#include "core/encode.h"
#include "core/secret.h"
#include "evidence/check.h"

static_assert(SERVICE_TOKEN_MAX == ACCESS_TOKEN_MAX, "what a session may say, a program can prove");

static int verify_evidence(const struct attest_context *ctx, const struct attest_request *q,
	const uint8_t client_key[32], struct verdict *ret, struct error *err)
{
	uint8_t report_data[REPORT_DATA_LEN];
	struct verify_context vc = {
		.now = ctx->now,
		.sim_platforms = ctx->sim_platforms,
		.sim_platform_count = ctx->sim_platform_count,
		.report_data = report_data,
	};

	memset(ret, 0, sizeof(*ret));
	if (nonce_take(ctx->nonces, q->nonce, client_key, ctx->monotonic, err))
		return -1;
	if (!q->evidence.len)
		return 0; /* tee is TEE_NONE */
	trust_refresh(ctx->trust, ctx->now, ctx->monotonic);
	if (enrol_refresh(ctx->enrol, err))
		return -1;
	trust_context(ctx->trust, &vc);
	attest_report_data(q->nonce, client_key, ctx->cas_key, report_data);
	if (evidence_verify(q->evidence.data, q->evidence.len, &vc, ret, err))
		return -1;
	/* The verifier compares when asked; that this connection is meant must not hang on that alone. */
	if (!secret_equal(ret->report_data, report_data, sizeof(report_data)))
		return evidence_refuse(err, CHECK_REPORT_DATA,
			"report data: the evidence was made for another connection, nonce or CAS");
	/* What the hardware said itself was said over this nonce; what it said of a LAS was said before. */
	if (ret->by_las && platform_nonce_check(ctx->platform_key, ret->platform_nonce, ctx->now,
				   ctx->platform_max_age, err))
		return -1;
	return enrol_check(ctx->enrol, ret, err);
}

/* A refusal's text begins with its check. */
static int verify(const struct attest_context *ctx, const struct attest_request *q,
	const uint8_t client_key[32], struct verdict *ret, struct error *err)
{
	size_t n;

	if (!verify_evidence(ctx, q, client_key, ret, err))
		return 0;
	n = err && err->check ? strlen(err->check) : 0;
	if (n && (strncmp(err->text, err->check, n) || err->text[n] != ':'))
		error_wrap(err, "%s", err->check);
	return -1;
}

/* What CAS's operator enrols counts for those who name it: he could enrol a TPM that he made up. */
static int check_named(
	const struct session *s, const struct service *svc, const struct verdict *v, struct error *err)
{
	char seen[2 * sizeof(v->platform) + 1];

	if (v->tee != TEE_TPM || s->mode != MODE_HARDWARE || svc->platform_count)
		return 0;
	hex_encode(v->platform, sizeof(v->platform), seen);
	return evidence_refuse(err, CHECK_PLATFORM,
		"platform: %s/%s: evidence of the TPM %s, which is believed because CAS's operator enrolled "
		"it; "
		"wanted its key among the service's `platforms`, by which the session's author believes it, "
		"too",
		s->name, svc->name, seen);
}

/* Before the answer goes out: what gets the secrets, and whose key asked. */
static int log_attested(const struct attest_context *ctx, const char *session, const struct verdict *v,
	const uint8_t client_key[32], struct error *err)
{
	char measurement[2 * sizeof(v->measurement) + 1] = "";

	if (v->tee != TEE_NONE)
		hex_encode(v->measurement, sizeof(v->measurement), measurement);
	return audit_write(ctx->audit,
		&(struct audit_note){
			.event = "attested", .actor = client_key, .session = session, .detail = measurement},
		err);
}

/* Each side proves to know the session's access token, over this connection and nonce; *ret gets CAS's proof. */
static int check_access_token(const struct attest_context *ctx, const struct attest_request *q,
	const struct session *s, const uint8_t client_key[32], struct service_config *ret, struct error *err)
{
	uint8_t report_data[REPORT_DATA_LEN], wanted[ACCESS_PROOF_LEN];
	const char *token = s->access_token;
	bool good;

	if (!token)
		return q->has_access_proof ? error_set(err, ERR_ACCESS,
						     "access token: the program proves to know one, and "
						     "wants the same of "
						     "CAS; session \"%s\" has none",
						     s->name)
					   : 0;
	if (!q->has_access_proof)
		return error_set(err, ERR_ACCESS,
			"access token: session \"%s\" wants proof of its service_access_token: `scone run "
			"--access-token-file FILE`",
			s->name);
	attest_report_data(q->nonce, client_key, ctx->cas_key, report_data);
	attest_access_proof(token, strlen(token), ACCESS_OF_PROGRAM, report_data, wanted);
	good = secret_equal(wanted, q->access_proof, sizeof(wanted));
	secret_wipe(wanted, sizeof(wanted));
	if (!good)
		return error_set(err, ERR_ACCESS,
			"access token: the program's proof is not of the service_access_token of session "
			"\"%s\"",
			s->name);
	attest_access_proof(token, strlen(token), ACCESS_OF_CAS, report_data, ret->access_proof);
	ret->has_access_proof = true;
	return 0;
}

static int check_and_configure(struct attest_context *ctx, const struct attest_request *q,
	const char *session, const char *service, const char *otp, const struct verdict *v,
	const uint8_t client_key[32], struct service_config *ret, struct error *err)
{
	struct stored_session s;
	const struct service *svc;
	int rc = -1;

	stored_session_init(&s);
	if (sessions_load(ctx->store, session, NULL, &s, err) ||
		remotes_wait(ctx->remotes, &s, ctx->waited, &ctx->later, err))
		goto out;
	if (ctx->later) {
		nonce_give_back(ctx->nonces, q->nonce);
		goto out;
	}
	s.remotes = ctx->remotes;
	if (sessions_bind(ctx->store, ctx->audit, &s, ctx->now, err))
		goto out;
	svc = session_service(s.doc, service);
	if (!svc) {
		error_set(err, ERR_NOT_FOUND, "session \"%s\" has no service \"%s\"", session, service);
		goto out;
	}
	if (s.doc->mode != MODE_NONE && v->tee == TEE_NONE) {
		error_set(err, ERR_ATTEST, "evidence: seen none, session \"%s\" with mode %s wants some",
			session, attest_mode_name(s.doc->mode));
		goto out;
	}
	if (check_access_token(ctx, q, s.doc, client_key, ret, err) ||
		otp_check(ctx->store, &s, svc, otp, ctx->now, err) || attest_rule_check(s.doc, svc, v, err) ||
		check_named(s.doc, svc, v, err))
		goto out;
	rc = sessions_renew(ctx->store, ctx->audit, &s, ctx->now, err);
	if (!rc)
		rc = configure_service(ctx->store, ctx->audit, ctx->now, &s, svc, client_key, v->measurement,
			board_strength_of(s.doc->mode, v), ret, err);
	if (!rc)
		rc = log_attested(ctx, session, v, client_key, err);
out:
	stored_session_free(&s);
	return rc;
}

int attest_configure(struct attest_context *ctx, const struct attest_request *q, const uint8_t client_key[32],
	struct service_config *ret, struct error *err)
{
	char *session = NULL, *service = NULL, *otp = NULL;
	struct verdict v;
	int rc = -1;

	if (verify(ctx, q, client_key, &v, err) ||
		config_id_parse(q->config_id, &session, &service, &otp, err))
		return -1;
	rc = check_and_configure(ctx, q, session, service, otp, &v, client_key, ret, err);
	free(session);
	free(service);
	if (otp)
		secret_wipe(otp, strlen(otp));
	free(otp);
	return rc;
}
