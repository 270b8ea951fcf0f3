#include "policy/machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "core/secret.h"
#include "evidence/check.h"
#include "evidence/snp_judge.h"
#include "evidence/tpm.h"
#include "policy/schema.h"

#define LAUNCH_LEN 48 /* of all that have one */
#define REGISTER_ROWS 64

static const struct machine_kind {
	enum tee_type tee;
	const char *word, *launch, *registers; /* keys; NULL: has none */
	bool needs_registers;
	uint32_t register_count;
	size_t value_len;
	const char *register_name; /* for people */
} kinds[] = {
	{TEE_TPM, "tpm", NULL, "pcrs", true, 24, 32, "PCR"},
	{TEE_SNP, "sev-snp", "launch", NULL, false, 0, 0, NULL},
	{TEE_TDX, "tdx", "launch", "rtmrs", false, 4, 48, "RTMR"},
	{TEE_NITRO, "nitro", NULL, "pcrs", true, 16, 48, "PCR"},
};
#define KINDS (sizeof kinds / sizeof kinds[0])

static const struct machine_kind *kind_of(enum tee_type tee)
{
	for (size_t i = 0; i < KINDS; i++)
		if (kinds[i].tee == tee)
			return &kinds[i];
	return NULL;
}

bool machine_speaks(enum tee_type tee)
{
	return kind_of(tee) != NULL;
}

size_t machine_value_len(enum tee_type tee)
{
	return kind_of(tee)->value_len;
}

const char *machine_word(enum tee_type tee)
{
	return kind_of(tee)->word;
}

/* --- reading ------------------------------------------------------------------------------------------------------------------------ */

static const struct key_rule kind_keys[] = {
	{"tpm", KEY_OK, 0},
	{"sev-snp", KEY_OK, 0},
	{"tdx", KEY_OK, 0},
	{"nitro", KEY_OK, 0},
	{NULL, KEY_OK, 0},
};

static void add_launch(struct parse *p, const struct ynode *n, struct machine_rule *r)
{
	size_t count = r->launch_count;
	uint8_t value[LAUNCH_LEN], (*list)[MACHINE_VALUE_MAX];

	if (is_open(p, n) || !want_hex(p, n, value, sizeof value))
		return;
	list = parse_grow(p, r->launch, &count, sizeof *list);
	if (!list)
		return;
	memcpy(list[count - 1], value, sizeof value);
	r->launch = list;
	r->launch_count = count;
}

/* Rows stay in the order of their registers, those of one register as written. */
static void add_register(
	struct parse *p, const struct ynode *n, uint32_t index, size_t len, struct machine_rule *r)
{
	struct machine_register row = {.index = index}, *list;
	size_t count = r->register_count, at;

	if (is_open(p, n) || !want_hex(p, n, row.value, len))
		return;
	if (count == REGISTER_ROWS) {
		ynode_diag(p->d, n, "E-VALUE", "more than %d values of registers", REGISTER_ROWS);
		return;
	}
	list = parse_grow(p, r->registers, &count, sizeof *list);
	if (!list)
		return;
	for (at = count - 1; at > 0 && list[at - 1].index > index; at--)
		list[at] = list[at - 1];
	list[at] = row;
	r->registers = list;
	r->register_count = count;
}

/* A value, or a list of which any one will do. */
static void each_value(struct parse *p, const struct ynode *n, struct machine_rule *r,
	const struct machine_kind *k, int64_t index)
{
	size_t count = n->kind == YNODE_LIST ? n->count : 1;

	if (count == 0)
		ynode_diag(p->d, n, "E-VALUE", "the list of values is empty; nothing could match it");
	for (size_t i = 0; i < count; i++) {
		const struct ynode *value = n->kind == YNODE_LIST ? n->items[i] : n;

		if (index < 0)
			add_launch(p, value, r);
		else
			add_register(p, value, (uint32_t)index, k->value_len, r);
	}
}

static void read_registers(
	struct parse *p, const struct ynode *n, const struct machine_kind *k, struct machine_rule *r)
{
	if (is_open(p, n) || !want_map(p, n))
		return;
	if (n->count == 0)
		ynode_diag(p->d, n, "E-VALUE", "no register; every machine would match it");
	for (size_t i = 0; i < n->count; i++) {
		const struct ynode *item = n->items[i];
		size_t digits = strspn(item->key, "0123456789");
		unsigned long index = strtoul(item->key, NULL, 10);

		if (digits == 0 || digits != item->key_len || digits > 2 ||
			(digits == 2 && *item->key == '0') || index >= k->register_count) {
			ynode_diag_key(p->d, item, "E-VALUE", "a %s is wanted: a number below %u",
				k->register_name, k->register_count);
			continue;
		}
		each_value(p, item, r, k, (int64_t)index);
	}
}

static void read_kind(
	struct parse *p, const struct ynode *n, const struct machine_kind *k, struct machine_rule *r)
{
	const struct key_rule keys[] = {
		{k->launch ? k->launch : k->registers, KEY_OK, 0},
		{k->tee == TEE_TPM  ? "event_log"
			: k->launch ? k->registers
				    : NULL,
			KEY_OK, 0},
		{NULL, KEY_OK, 0},
	};
	const struct ynode *log;

	r->tee = k->tee;
	if (is_open(p, n) || !want_map(p, n))
		return;
	keys_check(p, n, keys);
	if (k->launch) {
		const struct ynode *launch = want_key(p, n, k->launch);

		if (launch)
			each_value(p, launch, r, k, -1);
	}
	if (k->registers) {
		const struct ynode *registers =
			k->needs_registers ? want_key(p, n, k->registers) : ynode_get(n, k->registers);

		if (registers)
			read_registers(p, registers, k, r);
	}
	log = k->tee == TEE_TPM ? ynode_get(n, "event_log") : NULL;
	if (log && !is_open(p, log))
		(void)want_bool(p, log, &r->event_log);
}

static void read_rule(struct parse *p, const struct ynode *n, struct attest_alternative *a)
{
	size_t count = a->machine_count;
	struct machine_rule *list;

	if (is_open(p, n) || !want_map(p, n))
		return;
	keys_check(p, n, kind_keys);
	if (n->count != 1) {
		ynode_diag(p->d, n, "E-VALUE", "one of tpm, sev-snp, tdx, nitro is wanted, not %zu keys",
			n->count);
		return;
	}
	list = parse_grow(p, a->machine, &count, sizeof *list);
	if (!list)
		return;
	a->machine = list;
	a->machine_count = count;
	for (size_t i = 0; i < KINDS; i++)
		if (strcmp(n->items[0]->key, kinds[i].word) == 0)
			read_kind(p, n->items[0], &kinds[i], &list[count - 1]);
}

void read_machines(struct parse *p, const struct ynode *n, struct attest_alternative *a)
{
	if (n->kind != YNODE_LIST) {
		read_rule(p, n, a);
		return;
	}
	if (n->count == 0)
		ynode_diag(p->d, n, "E-VALUE", "the list of machines is empty; nothing could match it");
	for (size_t i = 0; i < n->count; i++)
		read_rule(p, n->items[i], a);
}

void machines_clear(struct attest_alternative *a)
{
	for (size_t i = 0; i < a->machine_count; i++) {
		free(a->machine[i].launch);
		free(a->machine[i].registers);
	}
	free(a->machine);
}

/* --- judging ------------------------------------------------------------------------------------------------------------------------ */

/* The value of a register in the evidence; NULL: not in it. */
static const uint8_t *seen_register(const struct verdict *v, uint32_t index)
{
	switch (v->tee) {
	case TEE_TPM:
		return v->detail.tpm.pcr_mask & 1u << index ? v->detail.tpm.pcr[index] : NULL;
	case TEE_TDX:
		return v->detail.tdx.rtmr[index];
	case TEE_NITRO:
		return v->detail.nitro.pcr_mask & 1u << index ? v->detail.nitro.pcr[index] : NULL;
	default:
		return NULL;
	}
}

/* All rows of one register, which begin at *at; moves *at behind them. */
static int check_register(
	const struct machine_rule *r, const struct verdict *v, size_t *at, struct error *err)
{
	const struct machine_kind *k = kind_of(r->tee);
	const uint32_t index = r->registers[*at].index;
	const uint8_t *seen = seen_register(v, index), *wanted = r->registers[*at].value;
	bool found = false;
	size_t rows = 0;
	char what[64];

	for (; *at < r->register_count && r->registers[*at].index == index; ++*at, rows++)
		found |= seen && secret_equal(seen, r->registers[*at].value, k->value_len);
	if (found)
		return 0;
	if (!seen)
		return evidence_refuse(err, CHECK_PCR_SELECTION, "%s: %s %u is not in the evidence, wanted",
			k->word, k->register_name, index);
	if (rows > 1)
		(void)snprintf(what, sizeof what, "%s: %s %u (any of %zu values will do)", k->word,
			k->register_name, index, rows);
	else
		(void)snprintf(what, sizeof what, "%s: %s %u", k->word, k->register_name, index);
	return evidence_refuse_bytes(err, CHECK_PCR, what, seen, wanted, k->value_len);
}

static int check_launch(const struct machine_rule *r, const struct verdict *v, struct error *err)
{
	char what[64];

	for (size_t i = 0; i < r->launch_count; i++)
		if (v->launch_len == LAUNCH_LEN && secret_equal(r->launch[i], v->launch, LAUNCH_LEN))
			return 0;
	(void)snprintf(what, sizeof what, "%s: launch measurement", kind_of(r->tee)->word);
	return evidence_refuse_bytes(err, CHECK_MEASUREMENT, what, v->launch, r->launch[0], LAUNCH_LEN);
}

static int check_rule(const struct machine_rule *r, const struct verdict *v, bool debug, struct error *err)
{
	const struct snp_wanted guest = {.allow_debug = debug};
	size_t at = 0;

	if (r->tee == TEE_SNP && snp_judge(v, &guest, err) < 0)
		return -1;
	if (r->launch_count && check_launch(r, v, err) < 0)
		return -1;
	while (at < r->register_count)
		if (check_register(r, v, &at, err) < 0)
			return -1;
	return r->event_log && !v->detail.tpm.event_log
		       ? evidence_refuse(err, CHECK_EVENT_LOG, "tpm: there is no event log, wanted one")
		       : 0;
}

int machine_check(
	const struct machine_rule *rules, size_t n, const struct verdict *v, bool debug, struct error *err)
{
	bool judged = false;

	for (size_t i = 0; i < n; i++) {
		if (rules[i].tee != v->tee)
			continue;
		judged = true;
		if (check_rule(&rules[i], v, debug, err) == 0)
			return 0;
	}
	return judged ? -1
		      : evidence_refuse(err, CHECK_MACHINE,
				"the program is named by the word of a machine (%s) that the policy says "
				"nothing "
				"of; "
				"wanted, beside mrenclave, `machine: [{%s: ...}]` with what such a machine "
				"measured "
				"when it "
				"started",
				tee_type_name(v->tee), machine_word(v->tee));
}
