#include "cas/enrol.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "core/encode.h"
#include "core/log.h"
#include "core/secret.h"
#include "crypto/key.h"
#include "evidence/check.h"
#include "evidence/tpm.h"
#include "evidence/tpm_credential.h"
#include "evidence/tpm_key.h"

#define TABLE "tpm"
#define RECORD_FORMAT 1
#define RECORD_MAX 4096
#define NONE_LOADED UINT64_MAX

struct pending {
	bool used;
	uint8_t id[TPM_ENROL_ID_LEN];
	uint8_t client[32];
	uint8_t credential[TPM_CREDENTIAL_MAX];
	uint64_t begun; /* monotonic */
	struct enrolled machine; /* as it will be, but for its PCRs */
};

struct enrol {
	struct sealed_store *store;
	struct trust *trust;
	uint64_t generation; /* of the store when this was read */
	struct enrolled *machines;
	size_t count;
	struct pending pending[ENROL_PENDING_MAX];
	size_t next;
};

int enrol_new(struct sealed_store *store, struct trust *trust, struct enrol **ret, struct error *err)
{
	struct enrol *e = calloc(1, sizeof(*e));

	if (!e)
		return error_set(err, ERR_NOMEM, "out of memory");
	e->store = store;
	e->trust = trust;
	e->generation = NONE_LOADED;
	*ret = e;
	return 0;
}

void enrol_free(struct enrol *e)
{
	if (!e)
		return;
	secret_wipe(e->pending, sizeof(e->pending));
	free(e->machines);
	free(e);
}

/* --- records --- */

static void encode(const struct enrolled *m, struct buf *out)
{
	buf_put_u8(out, RECORD_FORMAT);
	buf_put(out, m->ek, sizeof(m->ek));
	buf_put_u8(out, (uint8_t)m->because);
	buf_put(out, m->by, sizeof(m->by));
	buf_put_u64be(out, m->at);
	buf_put_u32be(out, m->pcrs);
	buf_put_u8(out, m->active);
	if (!m->active)
		return;
	buf_put(out, m->ak, sizeof(m->ak));
	for (size_t i = 0; i < TPM_ENROL_PCRS; i++)
		if (m->pcrs & 1u << i)
			buf_put(out, m->pcr[i], sizeof(m->pcr[i]));
}

static void take(struct rd *r, uint8_t *ret, size_t n)
{
	const uint8_t *p = rd_bytes(r, n);

	if (p)
		memcpy(ret, p, n);
}

static int decode(const struct buf *b, const char *name, struct enrolled *ret, struct error *err)
{
	struct enrolled m = {.active = false};
	uint8_t format;
	struct rd r;

	rd_init(&r, b->data, b->len);
	format = rd_u8(&r);
	take(&r, m.ek, sizeof(m.ek));
	m.because = (enum enrol_because)rd_u8(&r);
	take(&r, m.by, sizeof(m.by));
	m.at = rd_u64be(&r);
	m.pcrs = rd_u32be(&r);
	m.active = rd_u8(&r);
	if (m.active)
		take(&r, m.ak, sizeof(m.ak));
	for (size_t i = 0; m.active && i < TPM_ENROL_PCRS; i++)
		if (m.pcrs & 1u << i)
			take(&r, m.pcr[i], sizeof(m.pcr[i]));
	if (format != RECORD_FORMAT || !rd_done(&r) || strlen(name) > TPM_ENROL_NAME_MAX)
		return error_set(err, ERR_INTERNAL, "the stored machine \"%.64s\" has format %u, wanted %d",
			name, format, RECORD_FORMAT);
	memcpy(m.name, name, strlen(name) + 1);
	*ret = m;
	return 0;
}

static int read_one(struct enrol *e, const char *name, struct enrolled *ret, struct error *err)
{
	struct buf b;
	int rc;

	buf_init_secret(&b, RECORD_MAX);
	rc = sealed_store_get(e->store, TABLE, name, &b, err);
	if (!rc)
		rc = decode(&b, name, ret, err);
	buf_free(&b);
	return rc;
}

/* The log first, then the change and the log's end in one batch. m NULL: remove. */
static int store_machine(struct enrol *e, const struct enrol_caller *c, const char *event, const char *name,
	const struct enrolled *m, struct error *err)
{
	struct sealed_change changes[2] = {{.table = TABLE, .name = name}};
	char detail[TPM_ENROL_NAME_MAX + 80], hex[65] = "";
	struct buf b;
	int rc = -1;

	if (m)
		hex_encode(m->active ? m->ak : m->ek, 32, hex);
	(void)snprintf(detail, sizeof(detail), "%s%s%s", name, !m ? "" : m->active ? " ak=" : " ek=", hex);
	buf_init_secret(&b, RECORD_MAX);
	if (m) {
		encode(m, &b);
		changes[0].content = b.data;
		changes[0].len = b.len;
	}
	if (b.failed) {
		error_set(err, ERR_NOMEM, "out of memory");
	} else if (!audit_change(c->audit,
			   &(struct audit_note){.event = event, .actor = c->key, .detail = detail},
			   &changes[1], err)) {
		rc = sealed_store_apply(e->store, changes, 2, err);
		if (rc)
			audit_not_done(c->audit);
	}
	buf_free(&b);
	e->generation = NONE_LOADED;
	if (!rc)
		log_info("%s: %s", event, detail);
	return rc;
}

static int tell_trust(struct enrol *e, struct error *err)
{
	uint8_t(*keys)[32] = calloc(e->count ? e->count : 1, sizeof(*keys));
	size_t n = 0;
	int rc;

	if (!keys)
		return error_set(err, ERR_NOMEM, "out of memory");
	for (size_t i = 0; i < e->count; i++)
		if (e->machines[i].active)
			memcpy(keys[n++], e->machines[i].ak, 32);
	rc = trust_set_enrolled(e->trust, (const uint8_t(*)[32])keys, n, err);
	free(keys);
	return rc;
}

int enrol_refresh(struct enrol *e, struct error *err)
{
	uint64_t generation = sealed_store_generation(e->store);
	struct enrolled *list;
	char **names = NULL;
	size_t n = 0, i;
	int rc = 0;

	if (generation == e->generation)
		return 0;
	if (sealed_store_names(e->store, TABLE, &names, &n, err))
		return -1;
	list = calloc(n ? n : 1, sizeof(*list));
	if (!list)
		rc = error_set(err, ERR_NOMEM, "out of memory");
	for (i = 0; i < n && !rc; i++)
		rc = read_one(e, names[i], &list[i], err);
	for (i = 0; i < n; i++)
		free(names[i]);
	free(names);
	if (rc) {
		free(list);
		return -1;
	}
	free(e->machines);
	e->machines = list;
	e->count = n;
	if (tell_trust(e, err))
		return -1;
	/* What is staged may be undone, and its number be another change's. */
	e->generation = sealed_store_staged(e->store) ? NONE_LOADED : generation;
	return 0;
}

const struct enrolled *enrol_list(const struct enrol *e, size_t *ret_count)
{
	*ret_count = e->count;
	return e->machines;
}

static const struct enrolled *by_name(const struct enrol *e, const char *name)
{
	for (size_t i = 0; i < e->count; i++)
		if (!strcmp(e->machines[i].name, name))
			return &e->machines[i];
	return NULL;
}

static const struct enrolled *by_ek(const struct enrol *e, const uint8_t ek[32])
{
	for (size_t i = 0; i < e->count; i++)
		if (!memcmp(e->machines[i].ek, ek, 32))
			return &e->machines[i];
	return NULL;
}

static bool is_operator(const struct enrol *e, const struct enrol_caller *c)
{
	return trust_is_operator(trust_options(e->trust), c->key);
}

static int want_operator(const struct enrol *e, const struct enrol_caller *c, struct error *err)
{
	char text[KEY_HASH_TEXT_MAX];

	if (is_operator(e, c))
		return 0;
	key_hash_text(c->key, text);
	return error_set(err, ERR_ACCESS,
		"machines are for operators: seen client key %s, wanted one of the %zu given with --operator",
		text, trust_options(e->trust)->operator_count);
}

/* --- for operators --- */

int enrol_pin(struct enrol *e, const struct enrol_caller *c, const char *name, const uint8_t ek[32],
	uint32_t pcrs, struct error *err)
{
	struct enrolled m = {.because = ENROL_PINNED, .pcrs = pcrs, .at = c->now};

	if (want_operator(e, c, err) || tpm_enrol_name_check(name, err))
		return -1;
	if (by_name(e, name))
		return error_set(err, ERR_EXISTS, "machine \"%s\" is there already; remove it first", name);
	if (by_ek(e, ek))
		return error_set(err, ERR_EXISTS, "this endorsement key is that of machine \"%s\"",
			by_ek(e, ek)->name);
	if (e->count >= ENROL_MACHINES_MAX)
		return error_set(
			err, ERR_LIMIT, "%zu machines are there, at most %d", e->count, ENROL_MACHINES_MAX);
	memcpy(m.name, name, strlen(name) + 1);
	memcpy(m.ek, ek, sizeof(m.ek));
	memcpy(m.by, c->key, sizeof(m.by));
	return store_machine(e, c, "tpm-pinned", name, &m, err);
}

int enrol_remove(struct enrol *e, const struct enrol_caller *c, const char *name, struct error *err)
{
	if (want_operator(e, c, err))
		return -1;
	if (!by_name(e, name))
		return error_set(err, ERR_NOT_FOUND, "there is no machine \"%.64s\"", name);
	return store_machine(e, c, "tpm-removed", name, NULL, err);
}

/* --- a machine's two steps --- */

static struct bytes bytes_of(const struct buf *b)
{
	return (struct bytes){b->data, b->len};
}

static int ek_hash(const struct buf *ek, uint8_t ret[32], struct error *err)
{
	struct tpm_public k;
	EVP_PKEY *key = NULL;
	size_t used;
	int rc;

	if (tpm_public_decode(ek->data, ek->len, &k, &used, err) || tpm_public_key(&k, &key, err))
		return -1;
	rc = key_hash(key, ret, err);
	EVP_PKEY_free(key);
	return rc;
}

/* Why is this endorsement key believed? */
static int believe(struct enrol *e, const struct enrol_caller *c, const struct tpm_enrol_request *q,
	const uint8_t ek[32], enum enrol_because *ret, struct error *err)
{
	const struct enrolled *known = by_ek(e, ek), *named = by_name(e, q->name);
	const struct trust_options *o = trust_options(e->trust);
	const struct tpm_issuers issuers = {o->tpm_issuers, o->tpm_issuer_count};
	struct verify_context vc = {.now = c->now};
	char text[KEY_HASH_TEXT_MAX];

	key_hash_text(ek, text);
	if (named && named != known)
		return error_set(
			err, ERR_ACCESS, "machine \"%s\" has another endorsement key than %s", q->name, text);
	if (known && !named)
		return error_set(err, ERR_ACCESS,
			"the endorsement key %s is that of machine \"%s\", not of \"%s\"", text, known->name,
			q->name);
	if (known && known->active && !is_operator(e, c))
		return error_set(err, ERR_EXISTS,
			"machine \"%s\" is enrolled already; another attestation key or other PCRs are an "
			"operator's to give it",
			known->name);
	if (known) {
		*ret = known->because;
		return 0;
	}
	if (!is_operator(e, c))
		return error_set(err, ERR_ACCESS,
			"the endorsement key %s is not pinned here: an operator pins it with `scone tpm pin "
			"%s "
			"%s`, or enrols the machine himself by its maker's certificate",
			text, q->name, text);
	trust_enrol_context(e->trust, &vc);
	if (!vc.root_count)
		return error_set(err, ERR_ACCESS,
			"the endorsement key %s is not pinned here, and no maker's root was given with "
			"--tpm-root: `scone tpm pin %s %s`",
			text, q->name, text);
	*ret = ENROL_CERTIFIED;
	return tpm_enrol_certificate(bytes_of(&q->ek), bytes_of(&q->certificates), issuers, &vc, err);
}

/* Those that an operator says, now or with the pin. */
static uint32_t choose_pcrs(
	const struct enrol *e, const struct enrol_caller *c, const struct tpm_enrol_request *q)
{
	const struct enrolled *known = by_name(e, q->name);

	return known && !is_operator(e, c) ? known->pcrs : q->pcrs;
}

int enrol_begin(struct enrol *e, const struct enrol_caller *c, const struct tpm_enrol_request *q,
	struct tpm_enrol_challenge *ret, struct error *err)
{
	struct pending *p = &e->pending[e->next], fresh = {.used = true, .begun = c->monotonic};
	struct enrolled *m = &fresh.machine;
	int rc = -1;

	if (tpm_enrol_check(bytes_of(&q->ek), bytes_of(&q->ak), m->ak, err) || ek_hash(&q->ek, m->ek, err) ||
		believe(e, c, q, m->ek, &m->because, err))
		return -1;
	m->pcrs = choose_pcrs(e, c, q);
	if (e->count >= ENROL_MACHINES_MAX && !by_name(e, q->name))
		return error_set(
			err, ERR_LIMIT, "%zu machines are there, at most %d", e->count, ENROL_MACHINES_MAX);
	if (random_bytes(fresh.id, sizeof(fresh.id), err) ||
		random_bytes(fresh.credential, sizeof(fresh.credential), err))
		goto out;
	memcpy(m->name, q->name, sizeof(m->name));
	memcpy(m->by, c->key, sizeof(m->by));
	memcpy(fresh.client, c->key, sizeof(fresh.client));
	memcpy(ret->id, fresh.id, sizeof(ret->id));
	rc = tpm_credential_make(bytes_of(&q->ek), bytes_of(&q->ak), fresh.credential,
		sizeof(fresh.credential), &ret->id_object, &ret->secret, err);
	if (!rc) {
		*p = fresh;
		e->next = (e->next + 1) % ENROL_PENDING_MAX;
	}
out:
	secret_wipe(&fresh, sizeof(fresh));
	return rc;
}

static struct pending *find_pending(
	struct enrol *e, const struct enrol_caller *c, const uint8_t id[TPM_ENROL_ID_LEN])
{
	for (size_t i = 0; i < ENROL_PENDING_MAX; i++) {
		struct pending *p = &e->pending[i];

		if (p->used && secret_equal(p->id, id, TPM_ENROL_ID_LEN) &&
			secret_equal(p->client, c->key, sizeof(p->client)))
			return p;
	}
	return NULL;
}

/* A quote by the new key over this exchange: the PCRs as they are now. */
static int take_pcrs(const struct enrol_caller *c, const struct tpm_enrol_proof *proof, struct enrolled *m,
	struct error *err)
{
	uint8_t report_data[REPORT_DATA_LEN];
	struct trust_root root = {.tee = TEE_TPM};
	struct verify_context vc = {
		.now = c->now, .report_data = report_data, .roots = &root, .root_count = 1};
	struct verdict v;

	memcpy(root.key_hash, m->ak, sizeof(root.key_hash));
	tpm_enrol_report_data(proof->id, c->key, c->cas_key, report_data);
	if (evidence_verify(proof->evidence.data, proof->evidence.len, &vc, &v, err))
		return -1;
	if (v.tee != TEE_TPM || memcmp(v.platform, m->ak, sizeof(m->ak)))
		return evidence_refuse(err, CHECK_PLATFORM,
			"the quote is not by the attestation key that is to be enrolled");
	if (m->pcrs & ~v.detail.tpm.pcr_mask)
		return evidence_refuse(err, CHECK_PCR_SELECTION,
			"PCRs 0x%x of the SHA-256 bank are quoted, wanted 0x%x", v.detail.tpm.pcr_mask,
			m->pcrs);
	for (size_t i = 0; i < TPM_ENROL_PCRS; i++)
		if (m->pcrs & 1u << i)
			memcpy(m->pcr[i], v.detail.tpm.pcr[i], sizeof(m->pcr[i]));
	return 0;
}

/* While the machine was busy, somebody else may have enrolled or removed it. */
static int still_wanted(
	const struct enrol *e, const struct enrol_caller *c, const struct enrolled *m, struct error *err)
{
	const struct enrolled *named = by_name(e, m->name), *known = by_ek(e, m->ek);

	if (named == known && (known || m->because == ENROL_CERTIFIED) &&
		(!known || !known->active || is_operator(e, c)))
		return 0;
	return error_set(err, ERR_CONFLICT,
		"machine \"%s\" was enrolled, removed or pinned by somebody else meanwhile", m->name);
}

int enrol_finish(struct enrol *e, const struct enrol_caller *c, const struct tpm_enrol_proof *p,
	struct enrolled *ret, struct error *err)
{
	struct pending *at = find_pending(e, c, p->id), one;
	int rc = -1;

	if (!at)
		return error_set(err, ERR_ATTEST,
			"no enrolment with this id was begun by this client key, or it was tried already");
	one = *at;
	secret_wipe(at, sizeof(*at)); /* one try */
	if (c->monotonic - one.begun > ENROL_SECONDS)
		error_set(err, ERR_ATTEST, "the enrolment was begun %llu seconds ago, wanted at most %d",
			(unsigned long long)(c->monotonic - one.begun), ENROL_SECONDS);
	else if (p->credential.len != sizeof(one.credential) ||
		 !secret_equal(p->credential.data, one.credential, sizeof(one.credential)))
		evidence_refuse(err, CHECK_ATTESTATION_KEY,
			"the credential that came back is not the one that was sent: these two keys are not "
			"in "
			"one TPM");
	else if (!take_pcrs(c, p, &one.machine, err) && !still_wanted(e, c, &one.machine, err))
		rc = 0;
	if (!rc) {
		one.machine.active = true;
		one.machine.at = c->now;
		rc = store_machine(e, c, "tpm-enrolled", one.machine.name, &one.machine, err);
	}
	if (!rc)
		*ret = one.machine;
	secret_wipe(&one, sizeof(one));
	return rc;
}

/* --- evidence --- */

int enrol_check(const struct enrol *e, const struct verdict *v, struct error *err)
{
	struct tpm_pcr_wanted rows[TPM_ENROL_PCRS];
	struct tpm_wanted w = {.pcr = rows};
	const struct enrolled *m = NULL;

	if (v->tee != TEE_TPM)
		return 0;
	for (size_t i = 0; i < e->count && !m; i++)
		if (e->machines[i].active && secret_equal(e->machines[i].ak, v->platform, 32))
			m = &e->machines[i];
	if (!m)
		return evidence_refuse(err, CHECK_PLATFORM,
			"the attestation key is that of no enrolled machine, wanted one (scone tpm enrol)");
	for (unsigned int i = 0; i < TPM_ENROL_PCRS; i++)
		if (m->pcrs & 1u << i)
			rows[w.pcr_count++] = (struct tpm_pcr_wanted){i, m->pcr[i]};
	return tpm_judge(v, &w, err) ? error_wrap(err, "machine \"%s\"", m->name) : 0;
}
