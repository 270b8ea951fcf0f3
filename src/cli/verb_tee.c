/* scone tee probe: which drivers work on this machine, why the others do not, and what a policy could ask of it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cli/cli.h"
#include "core/encode.h"
#include "evidence/tpm_wire.h"
#include "evidence/type.h"
#include "tee/tee.h"
#include "tee/tpm_quote.h"

/* PCRs of now: what `tpm` evidence of this machine would say. */
static int tpm_statement(json_t *into, struct error *err)
{
	uint8_t value[TPM_PCR_COUNT][32];
	char name[8];
	json_t *pcrs;

	if (tpm_pcr_values(TPM_QUOTED_PCRS, value, err) < 0)
		return -1;
	pcrs = json_object();
	for (size_t i = 0; i < TPM_PCR_COUNT; i++) {
		if (!(TPM_QUOTED_PCRS & 1u << i))
			continue;
		(void)snprintf(name, sizeof(name), "%zu", i);
		if (json_set_hex(pcrs, name, value[i], sizeof(value[i])) < 0)
			return error_set(err, ERR_NOMEM, "no memory");
	}
	return json_object_set_new(into, "pcrs_sha256", pcrs) < 0 ? error_set(err, ERR_NOMEM, "no memory")
								  : 0;
}

/* Registers that cover firmware, kernel and what starts it, as a policy lists them: "{0: HEX, 4: HEX}". */
static void put_registers(struct buf *b, const json_t *values, const char *prefix, const int *which, size_t n)
{
	char key[16];

	buf_puts(b, "{");
	for (size_t i = 0; i < n; i++) {
		const char *hex;

		(void)snprintf(key, sizeof(key), "%s%d", prefix, which[i]);
		hex = json_string_value(json_object_get(values, key));
		buf_printf(b, "%s%d: %s", i ? ", " : "", which[i], hex ? hex : "");
	}
	buf_puts(b, "}");
}

/* What a policy could say of this machine, from what it said (docs/session-language.md, 14.10). */
static int add_policy(enum tee_type tee, json_t *said, struct error *err)
{
	static const int boot[] = {0, 4, 7}, rtmrs[] = {0, 1, 2}, enclave[] = {0, 1, 2};
	const char *launch =
		json_string_value(json_object_get(said, tee == TEE_SNP ? "measurement" : "mrtd"));
	struct buf b;
	int rc;

	buf_init(&b, 4096);
	buf_printf(&b, "machine: {%s: {", tee_type_name(tee));
	if (tee == TEE_TPM || tee == TEE_NITRO)
		buf_puts(&b, "pcrs: ");
	else
		buf_printf(&b, "launch: %s", launch ? launch : "");
	if (tee == TEE_TPM)
		put_registers(&b, json_object_get(said, "pcrs_sha256"), "", boot, 3);
	else if (tee == TEE_NITRO)
		put_registers(&b, json_object_get(said, "pcrs"), "", enclave, 3);
	else if (tee == TEE_TDX) {
		buf_puts(&b, ", rtmrs: ");
		put_registers(&b, said, "rtmr", rtmrs, 3);
	}
	buf_puts(&b, "}}");
	rc = b.failed ? -1 : json_object_set_new(said, "policy", json_string(buf_cstr(&b)));
	buf_free(&b);
	return rc < 0 ? error_set(err, ERR_NOMEM, "no memory") : 0;
}

/* What the hardware says of this guest, over report data of zeros. */
static int guest_statement(const struct tee_ops *ops, json_t *into, struct error *err)
{
	static const uint8_t zeros[REPORT_DATA_LEN];
	struct evidence e;
	struct buf out;
	struct tee *t;
	json_t *said = NULL;
	int rc;

	if (ops->open("", &t, err) < 0)
		return -1;
	buf_init(&out, EVIDENCE_MAX);
	rc = ops->evidence(t, zeros, zeros, zeros, &out, err);
	ops->close(t);
	if (rc == 0)
		rc = evidence_parse(out.data, out.len, TEE_NONE, &e, err);
	if (rc == 0)
		rc = evidence_show(&e, &said, err);
	if (rc == 0) {
		(void)json_object_del(said, "items");
		(void)json_object_del(said, "report_data");
		rc = json_object_update(into, said);
	}
	json_decref(said);
	buf_free(&out);
	return rc;
}

static int statement(const struct tee_ops *ops, json_t *into, struct error *err)
{
	switch (ops->type) {
	case TEE_SIM:
		return json_object_set_new(
			into, "policy", json_string("security: {attestation: {mode: simulation}}"));
	case TEE_TPM:
		return tpm_statement(into, err) < 0 ? -1 : add_policy(ops->type, into, err);
	default:
		return guest_statement(ops, into, err) < 0 ? -1 : add_policy(ops->type, into, err);
	}
}

static int print_text(const json_t *list)
{
	const char *key;
	json_t *d, *says, *v, *inner;
	size_t i;

	json_array_foreach (list, i, d) {
		const char *why = json_string_value(json_object_get(d, "why"));
		char *clean = cli_clean(why ? why : "");

		printf("%-9s %s%s%s\n", json_string_value(json_object_get(d, "driver")), why ? "no" : "yes",
			why ? ": " : "", clean ? clean : "");
		free(clean);
		says = json_object_get(d, "says");
		json_object_foreach (says, key, v) {
			if (json_is_string(v))
				printf("          %s: %s\n", key, json_string_value(v));
			else if (json_is_integer(v))
				printf("          %s: %lld\n", key, (long long)json_integer_value(v));
			else if (json_is_boolean(v))
				printf("          %s: %s\n", key, json_is_true(v) ? "yes" : "no");
			if (!json_is_object(v))
				continue;
			const char *name;

			json_object_foreach (v, name, inner)
				if (json_is_string(inner))
					printf("          %s.%s: %s\n", key, name, json_string_value(inner));
				else if (json_is_integer(inner))
					printf("          %s.%s: %lld\n", key, name,
						(long long)json_integer_value(inner));
		}
	}
	return cli_done();
}

int verb_tee_probe(const struct args *a)
{
	json_t *list = json_array();
	int rc;

	for (const struct tee_ops *const *d = tee_drivers(); list && *d; d++) {
		struct error err = {0};
		json_t *j, *says;

		if (*d == &tee_skeleton_ops)
			continue;
		j = json_pack("{s:s,s:s}", "driver", (*d)->name, "tee", tee_type_name((*d)->type));
		says = json_object();
		if ((*d)->probe(&err) < 0 || statement(*d, says, &err) < 0) {
			(void)json_object_set_new(j, "here", json_false());
			(void)json_object_set_new(j, "why", json_string(err.text));
			json_decref(says);
		} else {
			(void)json_object_set_new(j, "here", json_true());
			(void)json_object_set_new(j, "says", says);
		}
		(void)json_array_append_new(list, j);
	}
	if (a->value[OPT_JSON])
		return cli_print_json(list);
	rc = print_text(list);
	json_decref(list);
	return rc;
}
