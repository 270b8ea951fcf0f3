/* Whose word on a program counts: `machine` of an attestation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include "core/encode.h"
#include "evidence/check.h"
#include "evidence/snp_report.h"
#include "policy/canonical.h"
#include "policy/session.h"

#define M1 "\"1111111111111111111111111111111111111111111111111111111111111111\""
#define A32 "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\""
#define B32 "\"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\""
#define A48                                                                                                  \
	"\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" \
	"\""
#define B48                                                                                                  \
	"\"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb" \
	"\""

static struct session *parse(const char *machine, struct diag *d)
{
	struct session *s = NULL;
	struct buf doc;

	buf_init(&doc, 10000);
	diag_init(d);
	buf_printf(&doc,
		"version: \"0.3\"\nname: x\nservices:\n- name: svc\n  attestation: [{mrenclave: " M1
		"%s%s}]\n",
		*machine ? ", machine: " : "", machine);
	if (session_parse((char *)doc.data, doc.len, &s, d) < 0)
		s = NULL;
	buf_free(&doc);
	return s;
}

/* A machine of which every byte that can be measured is 0xaa. */
static struct verdict machine(enum tee_type tee)
{
	struct verdict v = {.tee = tee, .launch_len = 48};

	memset(v.measurement, 0x11, 32);
	memset(v.launch, 0xaa, 48);
	if (tee == TEE_TPM) {
		v.launch_len = 32;
		v.detail.tpm.pcr_mask = 0xff;
		memset(v.detail.tpm.pcr, 0xaa, sizeof v.detail.tpm.pcr);
	} else if (tee == TEE_TDX) {
		memset(v.detail.tdx.rtmr, 0xaa, sizeof v.detail.tdx.rtmr);
	} else if (tee == TEE_NITRO) {
		v.detail.nitro.pcr_mask = 7;
		memset(v.detail.nitro.pcr, 0xaa, sizeof v.detail.nitro.pcr);
	} else if (tee == TEE_SNP) {
		strcpy(v.detail.snp.product, "Milan");
		v.detail.snp.policy = 1ull << 17; /* reserved, always set */
	}
	return v;
}

static int judge(const char *policy, const struct verdict *v, struct error *err)
{
	struct diag d;
	struct session *s = parse(policy, &d);
	int rc;

	if (!s)
		fail_msg("%s: %s", policy, d.entries[0].text);
	memset(err, 0, sizeof *err);
	rc = attest_rule_check(s, session_service(s, "svc"), v, err);
	session_free(s);
	diag_free(&d);
	return rc;
}

static void listed_machines_are_believed(void **state)
{
	static const struct {
		enum tee_type tee;
		const char *policy, *check, *says; /* NULL: believed */
	} rows[] = {
		{TEE_TPM, "{tpm: {pcrs: {0: " A32 "}}}", NULL, NULL},
		{TEE_TPM, "{tpm: {pcrs: {0: " A32 ", 7: [" B32 ", " A32 "]}}}", NULL, NULL},
		{TEE_TPM, "{tpm: {pcrs: {0: " A32 ", 7: " B32 "}}}", "pcr",
			"tpm: PCR 7 is aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, "
			"wanted "
			"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"},
		{TEE_TPM, "{tpm: {pcrs: {7: [" B32 ", " B32 "], 0: " A32 "}}}", "pcr", "any of 2 values"},
		{TEE_TPM, "{tpm: {pcrs: {8: " A32 "}}}", "pcr-selection", "PCR 8 is not in the evidence"},
		{TEE_TPM, "{tpm: {pcrs: {0: " A32 "}, event_log: true}}", "event-log", "no event log"},
		{TEE_TPM, "[{tpm: {pcrs: {0: " B32 "}}}, {tpm: {pcrs: {0: " A32 "}}}]", NULL, NULL},
		{TEE_TPM, "[{tdx: {launch: " A48 "}}, {tpm: {pcrs: {0: " B32 "}}}]", "pcr", "PCR 0"},
		{TEE_TPM, "{tdx: {launch: " A48 "}}", "machine", "the word of a machine (tpm)"},
		{TEE_TPM, "", "machine", "`machine: [{tpm: ...}]`"},
		{TEE_SNP, "{sev-snp: {launch: " A48 "}}", NULL, NULL},
		{TEE_SNP, "{sev-snp: {launch: [" B48 ", " A48 "]}}", NULL, NULL},
		{TEE_SNP, "{sev-snp: {launch: " B48 "}}", "measurement",
			"sev-snp: launch measurement is aaaa"},
		{TEE_SNP, "", "machine", "(sev-snp)"},
		{TEE_TDX, "{tdx: {launch: " A48 "}}", NULL, NULL},
		{TEE_TDX, "{tdx: {launch: " A48 ", rtmrs: {3: " A48 "}}}", NULL, NULL},
		{TEE_TDX, "{tdx: {launch: " A48 ", rtmrs: {3: " B48 "}}}", "pcr", "tdx: RTMR 3 is aaaa"},
		{TEE_TDX, "{tdx: {launch: " B48 "}}", "measurement", "tdx: launch measurement is aaaa"},
		{TEE_TDX, "", "machine", "(tdx)"},
		{TEE_NITRO, "{nitro: {pcrs: {0: " A48 ", 1: " A48 "}}}", NULL, NULL},
		{TEE_NITRO, "{nitro: {pcrs: {0: " B48 "}}}", "pcr", "nitro: PCR 0 is aaaa"},
		{TEE_NITRO, "{nitro: {pcrs: {3: " A48 "}}}", "pcr-selection", "PCR 3 is not in the evidence"},
		{TEE_NITRO, "", "machine", "(nitro)"},
		{TEE_SGX, "", NULL, NULL},
		{TEE_SGX, "{tpm: {pcrs: {0: " A32 "}}}", "machine", "seen evidence of type sgx"},
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct verdict v = machine(rows[i].tee);
		struct error err;
		int rc = judge(rows[i].policy, &v, &err);

		if (rc != (rows[i].check ? -1 : 0))
			fail_msg("row %zu: %d: %s", i, rc, err.text);
		if (!rows[i].check)
			continue;
		if (err.code != ERR_ATTEST || !err.check || strcmp(err.check, rows[i].check) != 0 ||
			!strstr(err.text, rows[i].says) || !strstr(err.text, "x/svc"))
			fail_msg("row %zu: %s: %s", i, err.check, err.text);
	}
}

/* The program still counts on a machine that is believed. */
static void a_machine_is_not_sufficient(void **state)
{
	struct verdict v = machine(TEE_TPM);
	struct error err;

	v.measurement[31] ^= 1;
	assert_int_equal(judge("{tpm: {pcrs: {0: " A32 "}}}", &v, &err), -1);
	assert_string_equal(err.check, "measurement");
}

static void every_byte_of_a_register_counts(void **state)
{
	for (size_t i = 0; i < 32; i++) {
		struct verdict v = machine(TEE_TPM);
		struct error err;

		v.detail.tpm.pcr[5][i] ^= 0x80;
		assert_int_equal(judge("{tpm: {pcrs: {5: " A32 "}}}", &v, &err), -1);
		assert_string_equal(err.check, "pcr");
	}
	for (size_t i = 0; i < 48; i++) {
		struct verdict v = machine(TEE_SNP);
		struct error err;

		v.launch[i] ^= 1;
		assert_int_equal(judge("{sev-snp: {launch: " A48 "}}", &v, &err), -1);
		assert_string_equal(err.check, "measurement");
	}
}

static void guests_at_a_lower_level_are_refused(void **state)
{
	struct verdict v = machine(TEE_SNP);
	struct error err;

	v.detail.snp.vmpl = 1;
	assert_int_equal(judge("{sev-snp: {launch: " A48 "}}", &v, &err), -1);
	assert_string_equal(err.check, "vmpl");
	v = machine(TEE_SNP);
	v.detail.snp.policy |= 1ull << 18; /* a migration agent */
	assert_int_equal(judge("{sev-snp: {launch: " A48 "}}", &v, &err), -1);
	assert_string_equal(err.check, "guest-policy");
}

static void nonsense_is_refused(void **state)
{
	static const struct {
		const char *policy, *name;
	} rows[] = {
		{"1", "E-TYPE"},
		{"[]", "E-VALUE"},
		{"{}", "E-VALUE"},
		{"{sgx: {}}", "E-UNKNOWN"},
		{"{tpm: {pcrs: {0: " A32 "}}, tdx: {launch: " A48 "}}", "E-VALUE"},
		{"{tpm: {}}", "E-MISSING"},
		{"{tpm: {event_log: true}}", "E-MISSING"},
		{"{tpm: {pcrs: {}}}", "E-VALUE"},
		{"{tpm: {pcrs: {0: []}}}", "E-VALUE"},
		{"{tpm: {pcrs: {24: " A32 "}}}", "E-VALUE"},
		{"{tpm: {pcrs: {07: " A32 "}}}", "E-VALUE"},
		{"{tpm: {pcrs: {x: " A32 "}}}", "E-VALUE"},
		{"{tpm: {pcrs: {-1: " A32 "}}}", "E-VALUE"},
		{"{tpm: {pcrs: {0: " A48 "}}}", "E-"},
		{"{tpm: {pcrs: {0: " A32 "}, launch: " A48 "}}", "E-UNKNOWN"},
		{"{tpm: {pcrs: {0: " A32 "}, event_log: 7}}", "E-"},
		{"{sev-snp: {}}", "E-MISSING"},
		{"{sev-snp: {launch: []}}", "E-VALUE"},
		{"{sev-snp: {launch: " A32 "}}", "E-"},
		{"{sev-snp: {launch: " A48 ", rtmrs: {0: " A48 "}}}", "E-UNKNOWN"},
		{"{tdx: {rtmrs: {0: " A48 "}}}", "E-MISSING"},
		{"{tdx: {launch: " A48 ", rtmrs: {4: " A48 "}}}", "E-VALUE"},
		{"{nitro: {pcrs: {16: " A48 "}}}", "E-VALUE"},
		{"{nitro: {pcrs: {0: " A48 "}, event_log: true}}", "E-UNKNOWN"},
	};
	struct diag d;

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct session *s = parse(rows[i].policy, &d);
		bool found = false;

		for (size_t k = 0; k < d.count; k++)
			found |= strncmp(d.entries[k].name, rows[i].name, strlen(rows[i].name)) == 0;
		if (s || !found)
			fail_msg("%s is taken, or not for %s: %s", rows[i].policy, rows[i].name,
				d.count ? d.entries[0].name : "");
		diag_free(&d);
	}
}

static void a_machine_needs_a_program(void **state)
{
	static const char doc[] =
		"version: \"0.3\"\nname: x\nservices:\n- name: svc\n  attestation: [{machine: {tpm: "
		"{pcrs: {0: " A32 "}}}}]\n";
	struct session *s = NULL;
	struct diag d;

	diag_init(&d);
	assert_int_equal(session_parse(doc, sizeof doc - 1, &s, &d), -1);
	assert_true(d.errors == 1 && d.count > 0);
	assert_string_equal(d.entries[d.count - 1].name, "E-MISSING");
	diag_free(&d);
}

static void it_counts_in_the_hash(void **state)
{
	static const uint8_t creator[32];
	struct diag d;
	struct session *s = parse("[{tpm: {pcrs: {7: [" B32 ", " A32 "], 0: " A32
				  "}, event_log: true}}, {tdx: {launch: " A48 "}}]",
		&d);
	struct buf b;

	assert_non_null(s);
	buf_init(&b, 10000);
	assert_int_equal(session_canonical(s, creator, &b, NULL), 0);
	assert_non_null(strstr(buf_cstr(&b),
		"\"attestation\":[{\"machine\":[{\"event_log\":true,\"registers\":[{\"index\":0,\"values\":"
		"[" A32 "]},{\"index\":7,\"values\":[" B32 "," A32 "]}],\"tee\":\"tpm\"},{\"launch\":[" A48
		"],\"tee\":\"tdx\"}],\"mrenclave\":[" M1 "]}]"));
	buf_free(&b);
	session_free(s);
	diag_free(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(listed_machines_are_believed),
		cmocka_unit_test(a_machine_is_not_sufficient),
		cmocka_unit_test(every_byte_of_a_register_counts),
		cmocka_unit_test(guests_at_a_lower_level_are_refused),
		cmocka_unit_test(nonsense_is_refused),
		cmocka_unit_test(a_machine_needs_a_program),
		cmocka_unit_test(it_counts_in_the_hash),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
