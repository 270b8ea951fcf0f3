#include <time.h>
#include "cas/api.h"
#include "cas/attest.h"
#include "cas/clock.h"
#include "core/encode.h"
#include "core/log.h"

void api_attest_nonce(struct cas *c, const struct http_request *q, struct http_reply *r)
{
	uint8_t nonce[ATTEST_NONCE_LEN], platform[PLATFORM_NONCE_LEN];
	char hex[2 * ATTEST_NONCE_LEN + 1], platform_hex[2 * PLATFORM_NONCE_LEN + 1];
	struct error err = {0};

	if (nonce_issue(c->nonces, q->key, clock_seconds(), nonce, &err)) {
		api_error(r, &err, NULL);
		return;
	}
	hex_encode(nonce, sizeof(nonce), hex);
	platform_nonce_issue(c->platform_key, (uint64_t)time(NULL), platform);
	hex_encode(platform, sizeof(platform), platform_hex);
	api_json(r, 200, json_pack("{s:s,s:s}", "nonce", hex, "platform_nonce", platform_hex));
}

/* The one-time password of a config id is no text for a log. */
static int id_length(const char *config_id)
{
	int n = 0;

	while (config_id[n] && config_id[n] != '@')
		n++;
	return n;
}

static int attest(struct cas *c, const struct attest_request *a, const struct http_request *q,
	struct http_reply *r, struct error *err)
{
	struct attest_context ctx = {
		.store = c->store,
		.audit = c->audit,
		.nonces = c->nonces,
		.remotes = c->remotes,
		.waited = q->waited,
		.cas_key = c->identity->hash,
		.trust = c->trust,
		.enrol = c->enrol,
		.sim_platforms = c->sim_platforms,
		.sim_platform_count = c->sim_platform_count,
		.platform_key = c->platform_key,
		.platform_max_age = c->platform_max_age,
		.now = (uint64_t)time(NULL),
		.monotonic = clock_seconds(),
	};
	struct service_config config;
	int rc;

	service_config_init(&config);
	rc = attest_configure(&ctx, a, q->key, &config, err);
	if (!rc)
		rc = service_config_encode(&config, &r->body, err);
	if (!rc) {
		r->status = 200;
		log_info("%.*s: attested, mode %s", id_length(a->config_id), a->config_id, config.mode);
		for (size_t i = 0; i < config.warning_count; i++)
			log_warn("%.*s: %s", id_length(a->config_id), a->config_id, config.warnings[i]);
	}
	r->later = ctx.later;
	service_config_free(&config);
	return rc;
}

void api_attest_attest(struct cas *c, const struct http_request *q, struct http_reply *r)
{
	struct attest_request a;
	struct error err = {0};

	if (attest_request_decode(q->body, q->body_len, &a, &err)) {
		log_warn("attest: refused: %s", err.text);
		api_error(r, &err, NULL);
		return;
	}
	if (attest(c, &a, q, r, &err) && !r->later) {
		log_warn("%.*s: attestation refused: %s: %s", id_length(a.config_id), a.config_id,
			error_code_name(err.code), err.text);
		api_error(r, &err, NULL);
	}
	attest_request_free(&a);
}
