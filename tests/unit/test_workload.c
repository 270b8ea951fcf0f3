/* What LAS says of a program beside what the hardware says of LAS. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "../lib/make_tpm.h"
#include "crypto/key.h"
#include "evidence/workload.h"
#include "measure/measure.h"

#define NOW 1800000000

static struct tpm_maker machine;
static EVP_PKEY *las, *other_las;
static struct trust_root root = {.tee = TEE_TPM};
static uint8_t runtime[32], manifest[32], report_data[REPORT_DATA_LEN], nonce[PLATFORM_NONCE_LEN];
static uint8_t workload[WORKLOAD_LEN], item[WORKLOAD_LAS_LEN];
static struct tpm_made quote;
static struct evidence evidence;
static struct verify_context ctx = {.now = NOW, .roots = &root, .root_count = 1, .report_data = report_data};

static struct bytes bytes(const struct buf *b)
{
	return (struct bytes){b->data, b->len};
}

/* The machine's quote about the key, and the signature of the signer, which is another one when somebody lies. */
static void make(EVP_PKEY *named, EVP_PKEY *signer)
{
	uint8_t key[32], bound[REPORT_DATA_LEN];
	struct tpm_quote_spec spec = {.extra = {bound, WORKLOAD_BOUND_LEN}};

	assert_int_equal(key_ed25519_public_raw(named, key, NULL), 0);
	workload_bind_las(key, nonce, bound);
	tpm_made_free(&quote);
	tpm_make_quote(&machine, &spec, &quote);
	workload_make(runtime, manifest, report_data, workload);
	assert_int_equal(workload_sign(signer, nonce, workload, item, NULL), 0);
	evidence = (struct evidence){.tee = TEE_TPM};
	evidence.item[ITEM_STATEMENT] = bytes(&quote.statement);
	evidence.item[ITEM_SIGNATURE] = bytes(&quote.signature);
	evidence.item[ITEM_KEY] = bytes(&quote.key);
	evidence.item[ITEM_VALUES] = bytes(&quote.values);
	evidence.item[ITEM_WORKLOAD] = (struct bytes){workload, sizeof(workload)};
	evidence.item[ITEM_LAS] = (struct bytes){item, sizeof(item)};
}

static void refused(enum evidence_check check)
{
	struct verdict v = {.tee = TEE_NITRO};
	struct error err = {0};

	assert_int_equal(evidence_verify_parts(&evidence, &ctx, &v, &err), -1);
	assert_int_equal(err.code, ERR_ATTEST);
	assert_string_equal(err.check, evidence_check_name(check));
	assert_int_equal(v.tee, TEE_NITRO); /* untouched */
}

static int setup(void **state)
{
	tpm_maker_init(&machine, MAKE_ECDSA, false);
	memset(runtime, 1, sizeof(runtime));
	memset(manifest, 2, sizeof(manifest));
	memset(report_data, 3, sizeof(report_data));
	memset(nonce, 4, sizeof(nonce));
	return key_generate(KEY_ED25519, &las, NULL) || key_generate(KEY_ED25519, &other_las, NULL) ||
	       key_hash(machine.key, root.key_hash, NULL);
}

static int teardown(void **state)
{
	tpm_made_free(&quote);
	tpm_maker_free(&machine);
	EVP_PKEY_free(las);
	EVP_PKEY_free(other_las);
	return 0;
}

static void test_good(void **state)
{
	uint8_t wanted[32], key[32];
	struct evidence parsed;
	struct verdict v;
	struct buf wire;

	make(las, las);
	buf_init(&wire, EVIDENCE_MAX);
	assert_int_equal(evidence_write(&evidence, &wire, NULL), 0);
	assert_int_equal(evidence_parse(wire.data, wire.len, TEE_TPM, &parsed, NULL), 0);
	assert_int_equal(evidence_verify_parts(&parsed, &ctx, &v, NULL), 0);
	buf_free(&wire);
	measurement(runtime, manifest, wanted);
	assert_int_equal(key_ed25519_public_raw(las, key, NULL), 0);
	assert_true(v.by_las);
	assert_memory_equal(v.las_key, key, 32);
	assert_memory_equal(v.platform_nonce, nonce, sizeof(nonce));
	assert_memory_equal(v.runtime_digest, runtime, 32);
	assert_memory_equal(v.manifest_root, manifest, 32);
	assert_memory_equal(v.measurement, wanted, 32);
	assert_memory_equal(v.report_data, report_data, sizeof(report_data));
}

/* One quote, two programs. */
static void test_two_programs(void **state)
{
	struct verdict v;

	make(las, las);
	manifest[0] ^= 1;
	workload_make(runtime, manifest, report_data, workload);
	assert_int_equal(workload_sign(las, nonce, workload, item, NULL), 0);
	assert_int_equal(evidence_verify_parts(&evidence, &ctx, &v, NULL), 0);
	assert_memory_equal(v.manifest_root, manifest, 32);
	manifest[0] ^= 1;
}

static void test_every_bit(void **state)
{
	make(las, las);
	for (size_t i = 0; i < 8 * WORKLOAD_LEN; i++) {
		workload[i / 8] ^= (uint8_t)(1u << i % 8);
		refused(CHECK_LAS_SIGNATURE);
		workload[i / 8] ^= (uint8_t)(1u << i % 8);
	}
	for (size_t i = 0; i < 8 * WORKLOAD_LAS_LEN; i++) {
		item[i / 8] ^= (uint8_t)(1u << i % 8);
		/* key and nonce are what the hardware signed; the rest is the signature */
		refused(i < 8 * 64 ? CHECK_REPORT_DATA : CHECK_LAS_SIGNATURE);
		item[i / 8] ^= (uint8_t)(1u << i % 8);
	}
}

static void test_other_las(void **state)
{
	uint8_t mine[WORKLOAD_LAS_LEN];

	make(las, other_las); /* names its own key beside the other's quote */
	refused(CHECK_REPORT_DATA);
	memcpy(mine, item, sizeof(mine));
	make(las, las); /* names the right key, has the wrong signature */
	memcpy(item + 64, mine + 64, 64);
	refused(CHECK_LAS_SIGNATURE);
}

/* The word of a LAS about a program, given for one quote, beside another quote about the same key. */
static void test_other_nonce(void **state)
{
	uint8_t kept[WORKLOAD_LAS_LEN];

	make(las, las);
	memcpy(kept, item, sizeof(kept));
	nonce[0] ^= 1;
	make(las, las);
	memcpy(item + 64, kept + 64, 64);
	refused(CHECK_LAS_SIGNATURE);
	memcpy(item, kept, sizeof(kept));
	refused(CHECK_REPORT_DATA);
	nonce[0] ^= 1;
}

static void test_report_data(void **state)
{
	make(las, las);
	report_data[5] ^= 1; /* wanted for another connection */
	refused(CHECK_REPORT_DATA);
	report_data[5] ^= 1;
}

/* The hardware's statement about a workload is none about a LAS, and the other way round. */
static void test_not_exchanged(void **state)
{
	uint8_t bound[REPORT_DATA_LEN];
	struct tpm_quote_spec spec = {.extra = {bound, WORKLOAD_BOUND_LEN}};

	make(las, las);
	evidence.item[ITEM_LAS] = (struct bytes){NULL, 0};
	refused(CHECK_REPORT_DATA);
	workload_bind(workload, bound);
	tpm_made_free(&quote);
	tpm_make_quote(&machine, &spec, &quote);
	evidence.item[ITEM_STATEMENT] = bytes(&quote.statement);
	evidence.item[ITEM_SIGNATURE] = bytes(&quote.signature);
	evidence.item[ITEM_KEY] = bytes(&quote.key);
	evidence.item[ITEM_VALUES] = bytes(&quote.values);
	evidence.item[ITEM_LAS] = (struct bytes){item, sizeof(item)};
	refused(CHECK_REPORT_DATA);
}

static void test_lengths(void **state)
{
	make(las, las);
	evidence.item[ITEM_LAS].n--;
	refused(CHECK_FORMAT);
	evidence.item[ITEM_LAS].n++;
	evidence.item[ITEM_WORKLOAD].n--;
	refused(CHECK_FORMAT);
	evidence.item[ITEM_WORKLOAD] = (struct bytes){NULL, 0}; /* a LAS that says nothing */
	refused(CHECK_FORMAT);
}

static void test_keys(void **state)
{
	struct error err = {0};
	EVP_PKEY *ec = NULL;

	assert_int_equal(key_generate(KEY_P256, &ec, NULL), 0);
	assert_int_equal(workload_sign(ec, nonce, workload, item, &err), -1);
	EVP_PKEY_free(ec);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_two_programs),
		cmocka_unit_test(test_every_bit),
		cmocka_unit_test(test_other_las),
		cmocka_unit_test(test_other_nonce),
		cmocka_unit_test(test_report_data),
		cmocka_unit_test(test_not_exchanged),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_keys),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
