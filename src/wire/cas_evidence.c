#include "wire/cas_evidence.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include "core/encode.h"
#include "core/secret.h"
#include "crypto/hash.h"
#include "evidence/check.h"
#include "evidence/snp_judge.h"
#include "wire/message.h"

#define WHERE "evidence of CAS"
#define AHEAD_MAX 300 /* seconds that CAS's clock may be ahead */
#define TRIES 20
#define PAUSE_MS 250

void cas_evidence_init(struct cas_evidence *e)
{
	memset(e, 0, sizeof(*e));
	buf_init(&e->evidence, EVIDENCE_MAX);
}

void cas_evidence_free(struct cas_evidence *e)
{
	buf_free(&e->evidence);
}

static bool has_nonce(const uint8_t nonce[CAS_EVIDENCE_NONCE_LEN])
{
	static const uint8_t zeros[CAS_EVIDENCE_NONCE_LEN];

	return memcmp(nonce, zeros, sizeof(zeros)) != 0;
}

int cas_evidence_encode(const struct cas_evidence *e, struct buf *out, struct error *err)
{
	json_t *o = message_new();

	if (!message_put(o, "issued_at", json_integer((json_int_t)e->issued_at)) ||
		!message_put(o, "nonce",
			has_nonce(e->nonce) ? message_new_hex(e->nonce, sizeof(e->nonce)) : json_null()) ||
		!message_put(o, "evidence", message_new_bytes(e->evidence.data, e->evidence.len))) {
		json_decref(o);
		o = NULL;
	}
	return message_write(o, WHERE, out, err);
}

int cas_evidence_decode(const void *p, size_t n, struct cas_evidence *ret, struct error *err)
{
	static const char *const keys[] = {"issued_at", "nonce", "evidence", NULL};
	json_t *o;
	const json_t *at;
	int rc;

	if (n > HTTP_BODY_MAX)
		return error_set(err, ERR_LIMIT, WHERE " of %zu bytes", n);
	if (message_parse(p, n, WHERE, &o, err) < 0)
		return -1;
	at = json_object_get(o, "issued_at");
	rc = message_keys(o, WHERE, keys, err);
	if (rc == 0 && (!json_is_integer(at) || json_integer_value(at) < 0))
		rc = error_set(err, ERR_INPUT, "\"issued_at\" of " WHERE " is no time");
	if (rc == 0 && !json_is_null(json_object_get(o, "nonce")))
		rc = message_hex(o, WHERE, "nonce", ret->nonce, sizeof(ret->nonce), err);
	if (rc == 0)
		rc = message_bytes(o, WHERE, "evidence", &ret->evidence, err);
	if (rc == 0)
		ret->issued_at = (uint64_t)json_integer_value(at);
	json_decref(o);
	return rc;
}

void cas_evidence_report_data(uint64_t issued_at, const uint8_t nonce[CAS_EVIDENCE_NONCE_LEN],
	const uint8_t cas_key[32], uint8_t ret[REPORT_DATA_LEN])
{
	static const char label[] = "openscone-cas-evidence-v1"; /* its NUL is hashed too */
	uint8_t in[sizeof(label) + 8 + CAS_EVIDENCE_NONCE_LEN + 32], *at = in + sizeof(label);

	memcpy(in, label, sizeof(label));
	for (int i = 0; i < 8; i++)
		*at++ = (uint8_t)(issued_at >> (56 - 8 * i));
	memcpy(at, nonce, CAS_EVIDENCE_NONCE_LEN);
	memcpy(at + CAS_EVIDENCE_NONCE_LEN, cas_key, 32);
	sha256(in, sizeof(in), ret);
	memset(ret + SHA256_LEN, 0, REPORT_DATA_LEN - SHA256_LEN);
}

/* --- the verdict against the policy --- */

static int check_tee(const struct cas_policy *p, const struct verdict *v, struct error *err)
{
	if (v->simulated && !p->simulation)
		return evidence_refuse(err, CHECK_TYPE,
			"CAS runs simulated (%s), which protects it from nobody on its host; wanted "
			"hardware, or "
			"simulation permitted by name",
			tee_type_name(v->tee));
	if (p->tees && !(p->tees & 1u << v->tee))
		return evidence_refuse(err, CHECK_TYPE, "CAS runs on %s, wanted another of the TEEs listed",
			tee_type_name(v->tee));
	return 0;
}

static bool listed(const uint8_t (*list)[32], size_t n, const uint8_t seen[32])
{
	for (size_t i = 0; i < n; i++)
		if (secret_equal(list[i], seen, 32))
			return true;
	return false;
}

static int check_hash(enum evidence_check check, const char *what, const uint8_t (*list)[32], size_t n,
	const uint8_t seen[32], struct error *err)
{
	char hex[65];

	if (listed(list, n, seen))
		return 0;
	if (n == 1)
		return evidence_refuse_bytes(err, check, what, seen, list[0], 32);
	hex_encode(seen, 32, hex);
	return evidence_refuse(err, check, "%s is %s, wanted one of the %zu listed", what, hex, n);
}

static int check_launch(const struct cas_policy *p, const struct verdict *v, struct error *err)
{
	char hex[2 * LAUNCH_MAX + 1];

	for (size_t i = 0; i < p->launch_count; i++)
		if (p->launch[i].n == v->launch_len && secret_equal(p->launch[i].p, v->launch, v->launch_len))
			return 0;
	if (p->launch_count == 0)
		return 0;
	hex_encode(v->launch, v->launch_len, hex);
	return evidence_refuse(err, CHECK_MEASUREMENT,
		"what CAS's platform measured at its start is %s, wanted one of the %zu listed", hex,
		p->launch_count);
}

/* Where a machine speaks of the program on it, its start decides what its word is worth. */
static int check_machine(const struct cas_policy *p, const struct verdict *v, struct error *err)
{
	const struct tpm_wanted w = {.pcr = p->pcr, .pcr_count = p->pcr_count};

	if (v->tee != TEE_TPM && v->tee != TEE_SNP && v->tee != TEE_TDX && v->tee != TEE_NITRO)
		return 0;
	if (p->launch_count == 0 && !(v->tee == TEE_TPM && p->pcr_count))
		return evidence_refuse(err, CHECK_MACHINE,
			"the policy says nothing of how CAS's machine (%s) was started, wanted launch%s",
			tee_type_name(v->tee), v->tee == TEE_TPM ? " or pcrs" : "");
	if (v->tee == TEE_SNP)
		return snp_judge(
			v, &(struct snp_wanted){.allow_debug = p->tolerances.set & TOLERATE_DEBUG}, err);
	return v->tee == TEE_TPM && p->pcr_count ? tpm_judge(v, &w, err) : 0;
}

static int judge(const struct cas_policy *p, const struct verdict *v, struct error *err)
{
	if (check_tee(p, v, err) || verdict_judge(v, &p->tolerances, err) || check_machine(p, v, err) ||
		check_launch(p, v, err))
		return -1;
	if (p->platform_count && check_hash(CHECK_PLATFORM, "key of CAS's platform", p->platform,
					 p->platform_count, v->platform, err))
		return -1;
	return check_hash(CHECK_MEASUREMENT, "measurement of CAS", p->measurement, p->measurement_count,
		v->measurement, err);
}

static int check_age(
	const struct cas_evidence *e, const struct cas_policy *p, uint64_t now, struct error *err)
{
	if (e->issued_at > now + AHEAD_MAX)
		return evidence_refuse(err, CHECK_ISSUED_AT,
			"the evidence of CAS is %" PRIu64 " seconds from the future, wanted at most %d",
			e->issued_at - now, AHEAD_MAX);
	if (now > e->issued_at && now - e->issued_at > p->max_age)
		return evidence_refuse(err, CHECK_ISSUED_AT,
			"the evidence of CAS is %" PRIu64 " seconds old, wanted at most %" PRIu64,
			now - e->issued_at, p->max_age);
	return 0;
}

int cas_policy_verify(const struct cas_policy *p, const void *evidence, size_t n,
	const uint8_t report_data[REPORT_DATA_LEN], uint64_t now, const struct collateral *c,
	struct verdict *ret, struct error *err)
{
	const struct verify_context vc = {.now = now,
		.sim_platforms = p->platform,
		.sim_platform_count = p->platform_count,
		.report_data = report_data,
		.roots = p->root,
		.root_count = p->root_count,
		.collateral = c,
		.min_tcb_evaluation_number = p->min_tcb_evaluation};
	struct verdict v;

	if (evidence_verify(evidence, n, &vc, &v, err))
		return -1;
	if (!secret_equal(v.report_data, report_data, REPORT_DATA_LEN))
		return evidence_refuse(err, CHECK_REPORT_DATA,
			"the evidence of CAS is about another key than that of this connection, or another "
			"nonce");
	if (judge(p, &v, err))
		return -1;
	*ret = v;
	return 0;
}

int cas_evidence_verify(const struct cas_evidence *e, const struct cas_policy *p, const uint8_t cas_key[32],
	const uint8_t *nonce, uint64_t now, const struct collateral *c, struct verdict *ret,
	struct error *err)
{
	static const uint8_t none[CAS_EVIDENCE_NONCE_LEN];
	uint8_t report_data[REPORT_DATA_LEN];

	if (!nonce && check_age(e, p, now, err))
		return -1;
	cas_evidence_report_data(e->issued_at, nonce ? nonce : none, cas_key, report_data);
	return cas_policy_verify(p, e->evidence.data, e->evidence.len, report_data, now, c, ret, err);
}

/* --- asking --- */

static int ask(struct http_client *http, const uint8_t *nonce, struct cas_evidence *ret, struct error *err)
{
	const struct timespec pause = {.tv_nsec = PAUSE_MS * 1000000L};
	char path[sizeof(CAS_EVIDENCE_PATH) + 8 + 2 * CAS_EVIDENCE_NONCE_LEN],
		hex[2 * CAS_EVIDENCE_NONCE_LEN + 1] = "";
	int rc = 0;

	if (nonce)
		hex_encode(nonce, CAS_EVIDENCE_NONCE_LEN, hex);
	(void)snprintf(path, sizeof(path), "%s%s%s", CAS_EVIDENCE_PATH, nonce ? "?nonce=" : "", hex);
	for (int i = 0; i < TRIES; i++) {
		struct http_response r = {0};
		bool later;

		if (http_client_request(http, "GET", path, NULL, NULL, 0, &r, err))
			return -1;
		later = r.status == 429 && i + 1 < TRIES;
		rc = http_response_check(&r, err);
		if (rc == 0)
			rc = cas_evidence_decode(r.body.data, r.body.len, ret, err);
		http_response_free(&r);
		if (!later)
			break;
		(void)nanosleep(&pause, NULL);
	}
	return rc;
}

int cas_evidence_check(struct http_client *http, const struct cas_policy *p, bool fresh, uint64_t now,
	const struct collateral *c, struct verdict *ret, struct error *err)
{
	uint8_t nonce[CAS_EVIDENCE_NONCE_LEN], key[32];
	struct cas_evidence e;
	int rc;

	cas_evidence_init(&e);
	http_client_server_key(http, key);
	rc = fresh ? random_bytes(nonce, sizeof(nonce), err) : 0;
	if (rc == 0)
		rc = ask(http, fresh ? nonce : NULL, &e, err);
	if (rc == 0)
		rc = cas_evidence_verify(&e, p, key, fresh ? nonce : NULL, now, c, ret, err);
	cas_evidence_free(&e);
	return rc;
}
