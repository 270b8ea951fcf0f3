/* Machines with a TPM at CAS: who may do what, and what an enrolment is refused for. The good end of one needs a TPM: tests/e2e/cas_tpm.sh. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "../lib/make_tpm.h"
#include "cas/enrol.h"
#include "evidence/tpm_key.h"

#define NOW 1800000000ull

static char dir[64];
static int dir_fd;
static struct store *store;
static struct sealed_store *sealed;
static struct identity identity;
static struct audit *audit;
static struct trust *trust;
static struct enrol *enrol;
static struct tpm_maker ek_maker, ak_maker, other_maker;
static uint8_t operator_key[1][32], machine_key[32], stranger_key[32], ek[32];
static struct trust_options options;

static struct enrol_caller caller(const uint8_t *key)
{
	return (struct enrol_caller){
		.key = key, .cas_key = identity.hash, .audit = audit, .now = NOW, .monotonic = 1000};
}

static int setup(void **state)
{
	static const uint8_t master[SEALED_MASTER_LEN] = {1};
	struct error err = {0};
	char path[96];

	memset(operator_key, 1, 32);
	memset(machine_key, 2, 32);
	memset(stranger_key, 3, 32);
	options = (struct trust_options){.operators = operator_key, .operator_count = 1};
	strcpy(dir, "/tmp/test_enrol_XXXXXX");
	assert_non_null(mkdtemp(dir));
	dir_fd = open(dir, O_RDONLY | O_DIRECTORY);
	snprintf(path, sizeof(path), "%s/db", dir);
	if (store_sqlite_ops.open(path, true, &store, &err) ||
		sealed_store_create(store, master, &sealed, &err) || identity_load(sealed, &identity, &err) ||
		audit_open(dir_fd, &identity, sealed, NULL, false, &audit, &err) ||
		trust_open(&options, NOW, &trust, &err) || enrol_new(sealed, trust, &enrol, &err) ||
		enrol_refresh(enrol, &err))
		fail_msg("%s", err.text);
	tpm_maker_init(&ek_maker, MAKE_ECDSA, false);
	tpm_maker_init(&ak_maker, MAKE_ECDSA, false);
	tpm_maker_init(&other_maker, MAKE_ECDSA, false);
	assert_int_equal(key_hash(ek_maker.key, ek, NULL), 0);
	return 0;
}

static int teardown(void **state)
{
	static const char *const files[] = {"db", "db-wal", "db-shm", AUDIT_FILE};

	enrol_free(enrol);
	trust_close(trust);
	audit_close(audit);
	identity_free(&identity);
	sealed_store_close(sealed);
	store->ops->close(store);
	tpm_maker_free(&ek_maker);
	tpm_maker_free(&ak_maker);
	tpm_maker_free(&other_maker);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		unlinkat(dir_fd, files[i], 0);
	close(dir_fd);
	return rmdir(dir);
}

static void is(const struct error *err, enum err_code code, const char *word)
{
	if (err->code != code || !strstr(err->text, word))
		fail_msg("%s: \"%s\", wanted %s and \"%s\"", error_code_name(err->code), err->text,
			error_code_name(code), word);
}

static void pin(const char *name, const uint8_t *key)
{
	struct enrol_caller c = caller(operator_key[0]);
	struct error err = {0};

	if (enrol_pin(enrol, &c, name, key, 1u << 7, &err) || enrol_refresh(enrol, &err))
		fail_msg("%s", err.text);
}

/* The request of a machine with these keys. */
static void make_request(
	const struct tpm_maker *e, const struct tpm_maker *a, const char *name, struct tpm_enrol_request *ret)
{
	struct tpm_public k;
	struct tpm_name parent;
	struct buf b;
	size_t used;

	tpm_enrol_request_init(ret);
	strcpy(ret->name, name);
	tpm_make_ek(e, TPM_EK_ATTRIBUTES, TPM_ALG_CFB, &b);
	buf_put(&ret->ek, b.data, b.len);
	assert_int_equal(tpm_public_decode(b.data, b.len, &k, &used, NULL), 0);
	tpm_endorsement_name(&k, &parent);
	tpm_make_public(a, &ret->ak);
	buf_put(&ret->ak, parent.p, parent.n);
	buf_free(&b);
}

static int begin(const uint8_t *key, const char *name, const struct tpm_maker *e,
	struct tpm_enrol_challenge *ret, struct error *err)
{
	struct enrol_caller c = caller(key);
	struct tpm_enrol_request q;
	int rc;

	make_request(e, &ak_maker, name, &q);
	tpm_enrol_challenge_init(ret);
	rc = enrol_begin(enrol, &c, &q, ret, err);
	tpm_enrol_request_free(&q);
	return rc;
}

static void begun(struct tpm_enrol_challenge *ret)
{
	struct error err = {0};

	if (begin(machine_key, "box", &ek_maker, ret, &err))
		fail_msg("%s", err.text);
	assert_true(ret->id_object.len > 34 && ret->secret.len > 34);
}

static void not_finished(
	const uint8_t *key, const uint8_t *id, uint64_t later, enum err_code code, const char *word)
{
	struct enrol_caller c = caller(key);
	struct tpm_enrol_proof p;
	struct error err = {0};
	struct enrolled m;

	c.monotonic += later;
	tpm_enrol_proof_init(&p);
	memcpy(p.id, id, sizeof(p.id));
	buf_put(&p.credential, "a credential that is not the one", 32);
	assert_int_equal(enrol_finish(enrol, &c, &p, &m, &err), -1);
	is(&err, code, word);
	tpm_enrol_proof_free(&p);
}

static void test_operators(void **state)
{
	struct enrol_caller c = caller(stranger_key);
	struct error err = {0};
	size_t n;

	assert_int_equal(enrol_pin(enrol, &c, "box", ek, 0, &err), -1);
	is(&err, ERR_ACCESS, "for operators");
	pin("box", ek);
	assert_int_equal(enrol_remove(enrol, &c, "box", &err), -1);
	is(&err, ERR_ACCESS, "for operators");
	c = caller(operator_key[0]);
	assert_int_equal(enrol_pin(enrol, &c, "box", ek, 0, &err), -1);
	is(&err, ERR_EXISTS, "there already");
	assert_int_equal(enrol_pin(enrol, &c, "box2", ek, 0, &err), -1);
	is(&err, ERR_EXISTS, "that of machine \"box\"");
	assert_int_equal(enrol_pin(enrol, &c, "../box", ek, 0, &err), -1);
	is(&err, ERR_INPUT, "name of a machine");
	assert_int_equal(enrol_remove(enrol, &c, "none", &err), -1);
	is(&err, ERR_NOT_FOUND, "no machine");
	assert_memory_equal(enrol_list(enrol, &n)[0].ek, ek, 32);
	assert_int_equal(n, 1);
	assert_int_equal(enrol_remove(enrol, &c, "box", &err), 0);
	assert_int_equal(enrol_refresh(enrol, &err), 0);
	(void)enrol_list(enrol, &n);
	assert_int_equal(n, 0);
}

static void test_begin(void **state)
{
	struct tpm_enrol_challenge out;
	struct tpm_enrol_request q;
	struct enrol_caller c = caller(machine_key);
	struct error err = {0};
	size_t used;

	assert_int_equal(begin(machine_key, "box", &ek_maker, &out, &err), -1);
	is(&err, ERR_ACCESS, "not pinned here");
	assert_int_equal(begin(operator_key[0], "box", &ek_maker, &out, &err), -1);
	is(&err, ERR_ACCESS, "no maker's root");
	pin("box", ek);
	assert_int_equal(begin(machine_key, "box", &other_maker, &out, &err), -1);
	is(&err, ERR_ACCESS, "has another endorsement key");
	assert_int_equal(begin(machine_key, "bax", &ek_maker, &out, &err), -1);
	is(&err, ERR_ACCESS, "that of machine \"box\"");
	begun(&out);
	tpm_enrol_challenge_free(&out);
	/* an attestation key under another endorsement key */
	make_request(&other_maker, &ak_maker, "box", &q);
	buf_reset(&q.ek);
	tpm_enrol_challenge_init(&out);
	{
		struct buf b;

		tpm_make_ek(&ek_maker, TPM_EK_ATTRIBUTES, TPM_ALG_CFB, &b);
		buf_put(&q.ek, b.data, b.len);
		buf_free(&b);
	}
	assert_int_equal(enrol_begin(enrol, &c, &q, &out, &err), -1);
	is(&err, ERR_ATTEST, "parent is another key");
	/* bytes that are no keys */
	for (used = 0; used < q.ek.len; used += 7) {
		struct buf whole = q.ek;

		q.ek.len = used;
		assert_int_equal(enrol_begin(enrol, &c, &q, &out, &err), -1);
		q.ek = whole;
	}
	tpm_enrol_request_free(&q);
}

static void test_finish(void **state)
{
	struct tpm_enrol_challenge out;
	uint8_t id[32];

	pin("box", ek);
	memset(id, 7, sizeof(id));
	not_finished(machine_key, id, 0, ERR_ATTEST, "no enrolment with this id");
	begun(&out);
	not_finished(stranger_key, out.id, 0, ERR_ATTEST, "no enrolment with this id");
	not_finished(machine_key, out.id, 0, ERR_ATTEST, "not the one that was sent");
	not_finished(machine_key, out.id, 0, ERR_ATTEST, "tried already");
	tpm_enrol_challenge_free(&out);
	begun(&out);
	not_finished(machine_key, out.id, ENROL_SECONDS + 1, ERR_ATTEST, "seconds ago");
	tpm_enrol_challenge_free(&out);
	/* the oldest is given up, not the memory of CAS */
	begun(&out);
	memcpy(id, out.id, sizeof(id));
	tpm_enrol_challenge_free(&out);
	for (int i = 0; i < ENROL_PENDING_MAX; i++) {
		begun(&out);
		tpm_enrol_challenge_free(&out);
	}
	not_finished(machine_key, id, 0, ERR_ATTEST, "no enrolment with this id");
}

static void test_evidence(void **state)
{
	struct verdict *v = calloc(1, sizeof(*v));
	struct verify_context vc = {.now = NOW};
	struct error err = {0};

	pin("box", ek);
	assert_non_null(v);
	v->tee = TEE_SGX;
	assert_int_equal(enrol_check(enrol, v, &err), 0);
	v->tee = TEE_TPM;
	assert_int_equal(key_hash(ak_maker.key, v->platform, NULL), 0);
	/* pinned is not enrolled: neither is the key a root, nor does its evidence pass */
	assert_int_equal(enrol_check(enrol, v, &err), -1);
	is(&err, ERR_ATTEST, "no enrolled machine");
	trust_context(trust, &vc);
	assert_int_equal(vc.root_count, 0);
	free(v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(test_operators),
		T(test_begin),
		T(test_finish),
		T(test_evidence),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
