/* scone tpm: this machine's TPM and its enrolment at CAS. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cli/cli.h"
#include "cli/remote.h"
#include "core/encode.h"
#include "core/secret.h"
#include "evidence/bundle.h"
#include "evidence/tpm_credential.h"
#include "evidence/tpm_key.h"
#include "tee/tee.h"
#include "tee/tpm.h"
#include "wire/tpm_enrol.h"

#define DEFAULT_DIR "/var/lib/openscone/las"
#define MACHINES "/v1/tpm/machines"

/* "0,2,4,7"; "none", and NULL, for none */
static int parse_pcrs(const char *text, uint32_t *ret, struct error *err)
{
	uint32_t mask = 0;
	const char *at = text;
	char *end;

	for (; text && strcmp(text, "none"); at = end + 1) {
		unsigned long n = strtoul(at, &end, 10);

		if (end == at || *at < '0' || *at > '9' || n >= TPM_ENROL_PCRS || (*end && *end != ','))
			return error_set(err, ERR_INPUT,
				"--pcrs %s: wanted numbers below %d with commas between, or none", text,
				TPM_ENROL_PCRS);
		mask |= 1u << n;
		if (!*end)
			break;
	}
	*ret = mask;
	return 0;
}

/* --- the machine --- */

struct machine {
	struct tee *tee;
	struct buf ek, certificates, ak;
	uint8_t ek_hash[KEY_HASH_LEN], ak_hash[KEY_HASH_LEN];
};

static void machine_close(struct machine *m)
{
	if (m->tee)
		m->tee->ops->close(m->tee);
	buf_free(&m->ek);
	buf_free(&m->certificates);
	buf_free(&m->ak);
}

static int hash_public(const struct buf *b, uint8_t ret[KEY_HASH_LEN], struct error *err)
{
	struct tpm_public k;
	EVP_PKEY *key = NULL;
	size_t used;
	int rc;

	if (tpm_public_decode(b->data, b->len, &k, &used, err) || tpm_public_key(&k, &key, err))
		return -1;
	rc = key_hash(key, ret, err);
	EVP_PKEY_free(key);
	return rc;
}

/* The attestation key is that of LAS, whose directory --dir names. */
static int machine_open(const struct args *a, struct machine *ret, struct error *err)
{
	const char *dir = a->value[OPT_DIR] ? a->value[OPT_DIR] : DEFAULT_DIR;

	memset(ret, 0, sizeof(*ret));
	buf_init(&ret->ek, TPM_ENROL_KEY_MAX);
	buf_init(&ret->certificates, TPM_ENROL_CERTIFICATES_MAX);
	buf_init(&ret->ak, TPM_ENROL_KEY_MAX);
	if (tee_tpm_ops.probe(err) || tee_tpm_ops.open(dir, &ret->tee, err) ||
		tee_tpm_enrol_keys(ret->tee, &ret->ek, &ret->certificates, &ret->ak, err))
		return -1;
	return hash_public(&ret->ek, ret->ek_hash, err) || hash_public(&ret->ak, ret->ak_hash, err) ? -1 : 0;
}

int verb_tpm_show(const struct args *a)
{
	char ek[KEY_HASH_TEXT_MAX], ak[KEY_HASH_TEXT_MAX], platform[65];
	struct error err = {0};
	struct machine m;
	int rc = machine_open(a, &m, &err);

	if (rc) {
		rc = cli_fail(a, cli_exit_code(&err), &err, NULL);
	} else {
		key_hash_text(m.ek_hash, ek);
		key_hash_text(m.ak_hash, ak);
		hex_encode(m.ak_hash, sizeof(m.ak_hash), platform);
		if (a->value[OPT_JSON]) {
			rc = cli_print_json(json_pack("{s:s,s:s,s:s,s:b}", "ek", ek, "ak", ak, "platform",
				platform, "certificate", m.certificates.len > 0));
		} else {
			printf("ek %s\nak %s\nplatform %s\ncertificate %s\n", ek, ak, platform,
				m.certificates.len ? "yes" : "no");
			rc = cli_done();
		}
	}
	machine_close(&m);
	return rc;
}

/* --- CAS --- */

static int post(struct remote *r, const char *path, const struct buf *body, json_t **ret, struct error *err)
{
	return remote_call(r->http, "POST", path, "application/json", body->data, body->len, ret, NULL, err);
}

static int begin(struct remote *r, const struct machine *m, const char *name, uint32_t pcrs,
	struct tpm_enrol_challenge *ret, struct error *err)
{
	struct tpm_enrol_request q;
	struct buf body, answer;
	json_t *j = NULL;
	char *text;
	int rc;

	tpm_enrol_request_init(&q);
	memcpy(q.name, name, strlen(name) + 1);
	buf_put(&q.ek, m->ek.data, m->ek.len);
	buf_put(&q.ak, m->ak.data, m->ak.len);
	buf_put(&q.certificates, m->certificates.data, m->certificates.len);
	q.pcrs = pcrs;
	buf_init(&body, TPM_ENROL_BODY_MAX);
	buf_init(&answer, TPM_ENROL_BODY_MAX);
	rc = tpm_enrol_request_encode(&q, &body, err) ? cli_exit_code(err)
						      : post(r, "/v1/tpm/enrol", &body, &j, err);
	if (!rc) {
		text = json_dumps(j, JSON_COMPACT);
		if (!text || tpm_enrol_challenge_decode(text, strlen(text), ret, err))
			rc = text ? cli_exit_code(err) : CLI_FAILED;
		free(text);
	}
	json_decref(j);
	buf_free(&body);
	buf_free(&answer);
	tpm_enrol_request_free(&q);
	return rc;
}

static int prove(struct remote *r, const struct machine *m, const struct tpm_enrol_challenge *c, json_t **ret,
	struct error *err)
{
	uint8_t report_data[64], client[KEY_HASH_LEN];
	struct tpm_enrol_proof p;
	struct buf body;
	int rc;

	tpm_enrol_proof_init(&p);
	buf_init_secret(&body, TPM_ENROL_BODY_MAX);
	memcpy(p.id, c->id, sizeof(p.id));
	rc = key_hash(r->id.key, client, err) ||
			     tee_tpm_enrol_activate(m->tee, c->id_object.data, c->id_object.len,
				     c->secret.data, c->secret.len, &p.credential, err)
		     ? -1
		     : 0;
	if (!rc) {
		tpm_enrol_report_data(c->id, client, r->target.key, report_data);
		rc = m->tee->ops->quote(m->tee, report_data, &p.evidence, err);
	}
	if (!rc)
		rc = tpm_enrol_proof_encode(&p, &body, err);
	rc = rc ? cli_exit_code(err) : post(r, "/v1/tpm/activate", &body, ret, err);
	buf_free(&body);
	tpm_enrol_proof_free(&p);
	return rc;
}

static const char *text_of(const json_t *j, const char *key)
{
	const char *s = json_string_value(json_object_get(j, key));

	return s ? s : "-";
}

static void print_machine(const json_t *m)
{
	const char *key;
	json_t *value, *pcrs = json_object_get(m, "pcrs");

	printf("%s\n  ek       %s (%s)\n  ak       %s\n  platform %s\n", text_of(m, "name"), text_of(m, "ek"),
		text_of(m, "trust"), text_of(m, "ak"), text_of(m, "platform"));
	json_object_foreach (pcrs, key, value) {
		const char *hex = json_string_value(value);

		printf("  pcr %-4s %s\n", key, hex ? hex : "(as enrolled)");
	}
}

int verb_tpm_enrol(const struct args *a)
{
	const char *name = a->operands[0], *list = a->value[OPT_PCRS];
	struct tpm_enrol_challenge c;
	struct machine m = {0};
	struct remote r = {0};
	struct error err = {0};
	json_t *done = NULL, *details = NULL;
	uint32_t pcrs;
	int rc;

	tpm_enrol_challenge_init(&c);
	if (tpm_enrol_name_check(name, &err) || parse_pcrs(list, &pcrs, &err))
		return cli_fail(a, CLI_USAGE, &err, NULL);
	rc = machine_open(a, &m, &err) ? cli_exit_code(&err) : remote_open(a, &r, &err);
	if (!rc)
		rc = begin(&r, &m, name, pcrs, &c, &err);
	if (!rc)
		rc = prove(&r, &m, &c, &done, &err);
	if (rc) {
		details = err.check ? json_pack("{s:s}", "check", err.check) : NULL;
		if (err.check)
			error_wrap(&err, "refused: %s", err.check);
		rc = cli_fail(a, err.check ? CLI_UNTRUSTED : rc, &err, details);
	} else if (a->value[OPT_JSON]) {
		rc = cli_print_json(json_incref(done));
	} else {
		print_machine(done);
		rc = cli_done();
	}
	json_decref(details);
	json_decref(done);
	tpm_enrol_challenge_free(&c);
	remote_close(&r);
	machine_close(&m);
	return rc;
}

/* One call of an operator; prints what came, or the name. */
static int call(const struct args *a, const char *method, const char *path, json_t *body, json_t **ret)
{
	char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
	struct remote r = {0};
	struct error err = {0};
	int rc = remote_open(a, &r, &err);

	json_decref(body);
	if (!rc)
		rc = remote_call(r.http, method, path, text ? "application/json" : NULL, text,
			text ? strlen(text) : 0, ret, NULL, &err);
	free(text);
	remote_close(&r);
	return rc ? cli_fail(a, rc, &err, NULL) : 0;
}

static int print_name(const struct args *a, json_t *j)
{
	int rc;

	if (a->value[OPT_JSON])
		return cli_print_json(j);
	puts(a->operands[0]);
	rc = cli_done();
	json_decref(j);
	return rc;
}

int verb_tpm_pin(const struct args *a)
{
	const char *name = a->operands[0], *ek = a->operands[1], *list = a->value[OPT_PCRS];
	uint8_t hash[KEY_HASH_LEN];
	struct error err = {0};
	json_t *j = NULL;
	uint32_t pcrs;
	int rc;

	if (tpm_enrol_name_check(name, &err) || key_hash_parse(ek, strlen(ek), hash, &err) ||
		parse_pcrs(list, &pcrs, &err))
		return cli_fail(a, CLI_USAGE, &err, NULL);
	rc = call(a, "POST", MACHINES,
		json_pack("{s:s,s:s,s:I}", "name", name, "ek", ek, "pcrs", (json_int_t)pcrs), &j);
	return rc ? rc : print_name(a, j);
}

int verb_tpm_remove(const struct args *a)
{
	char path[sizeof(MACHINES) + TPM_ENROL_NAME_MAX + 1];
	struct error err = {0};
	json_t *j = NULL;
	int rc;

	if (tpm_enrol_name_check(a->operands[0], &err))
		return cli_fail(a, CLI_USAGE, &err, NULL);
	(void)snprintf(path, sizeof(path), MACHINES "/%s", a->operands[0]);
	rc = call(a, "DELETE", path, NULL, &j);
	return rc ? rc : print_name(a, j);
}

int verb_tpm_list(const struct args *a)
{
	json_t *j = NULL, *m;
	size_t i;
	int rc = call(a, "GET", MACHINES, NULL, &j);

	if (rc)
		return rc;
	if (a->value[OPT_JSON])
		return cli_print_json(j);
	json_array_foreach (json_object_get(j, "machines"), i, m)
		print_machine(m);
	rc = cli_done();
	json_decref(j);
	return rc;
}
