/*
 * tee_driver DRIVER DIR COMMAND …, tee_driver verify TYPE FILE REPORTDATA ROOT: what a driver does, one thing a call, for the end-to-end tests of drivers. Ends with 0, or 1 and "CHECK: sentence" (CHECK is the
 * error's word where no check refused).
 *
 *	probe
 *	evidence REPORTDATA				bundle to standard output
 *	verify FILE REPORTDATA ROOT [PCR=HEX…]		ROOT: key hash in hex, or "own" for the driver's platform; the verdict as JSON. TEE_NOW: another
 *							time than now; TEE_COLLATERAL: file with collateral
 *	seal LABEL FILE, unseal LABEL FILE		to standard output
 *	count LABEL, counter LABEL			one more; read
 *	enrol-rsa					tpm: the same with an RSA endorsement key, as older TPMs have it
 *	enrol [OTHERDIR]				credential for this driver's keys, opened with this or the other one's
 *	extend PCR TEXT					tpm: extend with SHA-256 of TEXT
 *	forget INDEX					tpm: delete an NV index, as the owner can
 *	put INDEX FILE					tpm: a new NV index, as the owner can make one
 *
 * TEE_SGX_PROCESSOR: for sgx, this program plays an enclave on the processor in that file; TEE_SGX_TARGET=other: its reports are for another enclave than that which
 * quotes.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <tss2/tss2_mu.h>
#include <unistd.h>
#include "../lib/sgx_processor.h"
#include "core/encode.h"
#include "crypto/hash.h"
#include "evidence/collateral.h"
#include "evidence/tpm.h"
#include "evidence/tpm_credential.h"
#include "evidence/type.h"
#include "tee/sgx.h"
#include "tee/tpm.h"
#include "tee/tpm_device.h"

#define INPUT_MAX (2 * 1024 * 1024)

static struct error err;
static struct tee *tee;

static int failed(void)
{
	fprintf(stderr, "%s: %s\n", err.check ? err.check : error_code_name(err.code), err.text);
	return 1;
}

static void read_all(FILE *f, struct buf *b)
{
	uint8_t part[4096];
	size_t n;

	buf_init(b, INPUT_MAX);
	while (f && (n = fread(part, 1, sizeof(part), f)) > 0)
		buf_put(b, part, n);
}

static void write_all(const struct buf *b)
{
	fwrite(b->data, 1, b->len, stdout);
}

static void report_data_of(const char *hex, uint8_t ret[REPORT_DATA_LEN])
{
	if (hex_decode(hex, strlen(hex), ret, REPORT_DATA_LEN) < 0)
		exit(2);
}

static void program_of(uint8_t runtime[32], uint8_t root[32])
{
	memset(runtime, 0x11, 32);
	memset(root, 0x22, 32);
}

static int evidence(const char *hex)
{
	uint8_t report_data[REPORT_DATA_LEN], runtime[32], root[32];
	struct buf out;

	report_data_of(hex, report_data);
	program_of(runtime, root);
	buf_init(&out, EVIDENCE_MAX);
	if (tee->ops->evidence(tee, runtime, root, report_data, &out, &err) < 0)
		return failed();
	write_all(&out);
	buf_free(&out);
	return 0;
}

static int wanted_pcrs(char **words, int n, const struct verdict *v)
{
	static uint8_t values[24][32];
	struct tpm_pcr_wanted rows[24];
	struct tpm_wanted w = {.pcr = rows, .pcr_count = (size_t)n};

	for (int i = 0; i < n && i < 24; i++) {
		char *hex = strchr(words[i], '=');

		if (!hex || hex_decode(hex + 1, strlen(hex + 1), values[i], 32) < 0)
			exit(2);
		rows[i] = (struct tpm_pcr_wanted){(unsigned int)strtoul(words[i], NULL, 10), values[i]};
	}
	return tpm_judge(v, &w, &err);
}

static struct collateral *collateral_of(const char *file)
{
	struct collateral *c = collateral_new();
	FILE *f = fopen(file, "rb");
	struct buf in;

	read_all(f, &in);
	if (!f || !c || collateral_add(c, in.data, in.len, &err) < 0)
		exit(failed());
	fclose(f);
	buf_free(&in);
	return c;
}

static int verify(
	enum tee_type type, const char *file, const char *hex, const char *root_hex, char **words, int n)
{
	uint8_t report_data[REPORT_DATA_LEN], runtime[32], manifest[32];
	struct trust_root root = {.tee = type};
	struct verify_context ctx = {.now = (uint64_t)time(NULL),
		.report_data = report_data,
		.roots = &root,
		.root_count = 1,
		.allow_no_revocation = true};
	struct verdict v;
	struct buf in;
	json_t *j;
	FILE *f = fopen(file, "rb");

	struct collateral *c = getenv("TEE_COLLATERAL") ? collateral_of(getenv("TEE_COLLATERAL")) : NULL;

	ctx.collateral = c;
	if (getenv("TEE_NOW"))
		ctx.now = strtoull(getenv("TEE_NOW"), NULL, 10);
	report_data_of(hex, report_data);
	program_of(runtime, manifest);
	if (strcmp(root_hex, "own") == 0 ? tee->ops->platform(tee, root.key_hash, &err) < 0
					 : hex_decode(root_hex, strlen(root_hex), root.key_hash, 32) < 0)
		return failed();
	read_all(f, &in);
	if (f)
		fclose(f);
	if (evidence_verify(in.data, in.len, &ctx, &v, &err) < 0 || (n && wanted_pcrs(words, n, &v) < 0))
		return failed();
	if (!v.by_las && v.tee != TEE_SGX &&
		(memcmp(v.runtime_digest, runtime, 32) != 0 || memcmp(v.manifest_root, manifest, 32) != 0))
		return 3;
	j = verdict_json(&v);
	json_dumpf(j, stdout, JSON_COMPACT);
	puts("");
	json_decref(j);
	buf_free(&in);
	collateral_free(c);
	return 0;
}

static int seal(const char *label, const char *file, bool un)
{
	struct buf in, out;
	FILE *f = fopen(file, "rb");

	read_all(f, &in);
	if (f)
		fclose(f);
	buf_init_secret(&out, INPUT_MAX);
	if ((un ? tee_unseal : tee_seal)(tee, label, in.data, in.len, &out, &err) < 0)
		return failed();
	write_all(&out);
	buf_free(&in);
	buf_free(&out);
	return 0;
}

static int count(const char *label, bool up)
{
	uint64_t value;

	if (!tee->ops->counter_read)
		return 4;
	if ((up ? tee->ops->counter_increment : tee->ops->counter_read)(tee, label, &value, &err) < 0)
		return failed();
	printf("%llu\n", (unsigned long long)value);
	return 0;
}

static struct bytes bytes_of(const struct buf *b)
{
	return (struct bytes){b->data, b->len};
}

static int enrol(const char *other_dir)
{
	uint8_t credential[32], hash[32], platform[32];
	struct buf ek, certificate, ak, id, secret, opened;
	struct tee *other = tee;

	buf_init(&ek, 4096);
	buf_init(&certificate, 16384);
	buf_init(&ak, 4096);
	buf_init(&id, 4096);
	buf_init(&secret, 4096);
	buf_init_secret(&opened, 4096);
	if (random_bytes(credential, sizeof(credential), &err) < 0 ||
		tee_tpm_enrol_keys(tee, &ek, &certificate, &ak, &err) < 0 ||
		tpm_enrol_check(bytes_of(&ek), bytes_of(&ak), hash, &err) < 0 ||
		tpm_credential_make(
			bytes_of(&ek), bytes_of(&ak), credential, sizeof(credential), &id, &secret, &err) < 0)
		return failed();
	if (other_dir && tee->ops->open(other_dir, &other, &err) < 0)
		return failed();
	if (tee_tpm_enrol_activate(other, id.data, id.len, secret.data, secret.len, &opened, &err) < 0 ||
		tee->ops->platform(tee, platform, &err) < 0)
		return failed();
	printf("%s %s certificate %zu\n",
		opened.len == sizeof(credential) && memcmp(opened.data, credential, opened.len) == 0
			? "same"
			: "another",
		memcmp(hash, platform, 32) == 0 ? "key" : "another-key", certificate.len);
	if (other != tee)
		other->ops->close(other);
	for (size_t i = 0; i < 6; i++)
		buf_free((struct buf *[]){&ek, &certificate, &ak, &id, &secret, &opened}[i]);
	return 0;
}

/* The storage key stands for the attestation key: a credential names any object. */
static int enrol_rsa(void)
{
	uint8_t credential[32] = {0x42, 0x43}, ek_bytes[2048], key_bytes[2048], id_bytes[2048];
	TPM2B_PUBLIC *ek_public = NULL, *key_public = NULL;
	TPM2B_ID_OBJECT id_object = {0};
	TPM2B_ENCRYPTED_SECRET encrypted = {0};
	TPM2B_DIGEST *opened = NULL;
	ESYS_TR ek, key, session;
	struct tpm_device d;
	struct buf id, secret;
	size_t n = 0, m = 0, a = 0, b = 0;

	buf_init(&id, sizeof(id_bytes));
	buf_init(&secret, 4096);
	if (tpm_device_open(&d, &err) < 0 ||
		tpm_endorsement_key(&d, TPM_EK_RSA_2048, &ek, &ek_public, &err) < 0)
		return failed();
	if (tpm_storage_key(&d, &key, &err) < 0 ||
		Esys_ReadPublic(d.esys, key, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &key_public, NULL,
			NULL) != TSS2_RC_SUCCESS ||
		Tss2_MU_TPMT_PUBLIC_Marshal(&ek_public->publicArea, ek_bytes, sizeof(ek_bytes), &n) !=
			TSS2_RC_SUCCESS ||
		Tss2_MU_TPMT_PUBLIC_Marshal(&key_public->publicArea, key_bytes, sizeof(key_bytes), &m) !=
			TSS2_RC_SUCCESS ||
		tpm_credential_make((struct bytes){ek_bytes, n}, (struct bytes){key_bytes, m}, credential,
			sizeof(credential), &id, &secret, &err) < 0 ||
		Tss2_MU_TPM2B_ID_OBJECT_Unmarshal(id.data, id.len, &a, &id_object) != TSS2_RC_SUCCESS ||
		Tss2_MU_TPM2B_ENCRYPTED_SECRET_Unmarshal(secret.data, secret.len, &b, &encrypted) !=
			TSS2_RC_SUCCESS ||
		tpm_endorsement_session(&d, &session, &err) < 0 ||
		Esys_ActivateCredential(d.esys, key, ek, ESYS_TR_PASSWORD, session, ESYS_TR_NONE, &id_object,
			&encrypted, &opened) != TSS2_RC_SUCCESS)
		return failed();
	puts(opened->size == sizeof(credential) && memcmp(opened->buffer, credential, opened->size) == 0
			? "same"
			: "another");
	Esys_Free(opened);
	Esys_Free(ek_public);
	Esys_Free(key_public);
	buf_free(&id);
	buf_free(&secret);
	tpm_device_close(&d);
	return 0;
}

static int extend(const char *pcr, const char *text)
{
	TPML_DIGEST_VALUES values = {.count = 1};
	struct tpm_device d;
	TSS2_RC rc;

	values.digests[0].hashAlg = TPM2_ALG_SHA256;
	sha256(text, strlen(text), values.digests[0].digest.sha256);
	if (tpm_device_open(&d, &err) < 0)
		return failed();
	rc = Esys_PCR_Extend(d.esys, (ESYS_TR)strtoul(pcr, NULL, 10), ESYS_TR_PASSWORD, ESYS_TR_NONE,
		ESYS_TR_NONE, &values);
	tpm_device_close(&d);
	return rc == TSS2_RC_SUCCESS ? 0 : 1;
}

static int forget(const char *index)
{
	struct tpm_device d;
	ESYS_TR nv;
	TSS2_RC rc;

	if (tpm_device_open(&d, &err) < 0)
		return failed();
	rc = Esys_TR_FromTPMPublic(
		d.esys, (TPM2_HANDLE)strtoul(index, NULL, 16), ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &nv);
	if (rc == TSS2_RC_SUCCESS)
		rc = Esys_NV_UndefineSpace(
			d.esys, ESYS_TR_RH_OWNER, nv, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE);
	tpm_device_close(&d);
	return rc == TSS2_RC_SUCCESS ? 0 : 1;
}

static int put(const char *index, const char *file)
{
	static const TPM2B_AUTH no_auth;
	TPM2B_NV_PUBLIC public = {.nvPublic = {.nvIndex = (TPM2_HANDLE)strtoul(index, NULL, 16),
					  .nameAlg = TPM2_ALG_SHA256,
					  .attributes = TPMA_NV_OWNERWRITE | TPMA_NV_AUTHREAD |
							TPMA_NV_OWNERREAD | TPMA_NV_NO_DA}};
	FILE *f = fopen(file, "rb");
	struct tpm_device d;
	struct buf in;
	TSS2_RC rc;
	ESYS_TR nv;

	read_all(f, &in);
	if (f)
		fclose(f);
	public.nvPublic.dataSize = (UINT16)in.len;
	if (tpm_device_open(&d, &err) < 0)
		return failed();
	rc = Esys_NV_DefineSpace(d.esys, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE,
		&no_auth, &public, &nv);
	for (size_t at = 0; rc == TSS2_RC_SUCCESS && at < in.len; at += 512) {
		TPM2B_MAX_NV_BUFFER part = {.size = (UINT16)(in.len - at < 512 ? in.len - at : 512)};

		memcpy(part.buffer, in.data + at, part.size);
		rc = Esys_NV_Write(d.esys, ESYS_TR_RH_OWNER, nv, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE,
			&part, (UINT16)at);
	}
	tpm_device_close(&d);
	buf_free(&in);
	return rc == TSS2_RC_SUCCESS ? 0 : 1;
}

/* EREPORT of an enclave with measurement 11 and signer 22. */
static int report(void *arg, const uint8_t target[AESM_TARGET_LEN],
	const uint8_t report_data[REPORT_DATA_LEN], uint8_t ret[AESM_REPORT_LEN], struct error *why)
{
	static const uint8_t other[32] = {1};
	struct sgx_report body = {.attributes = {0x05}, .isv_prod_id = {3}, .isv_svn = {4}};
	struct sgx_report_mac r;

	memset(body.mr_enclave, 0x11, sizeof(body.mr_enclave));
	memset(body.mr_signer, 0x22, sizeof(body.mr_signer));
	memcpy(body.report_data, report_data, sizeof(body.report_data));
	sgx_processor_report(arg, &body, getenv("TEE_SGX_TARGET") ? other : target, &r);
	memcpy(ret, &r, sizeof(r));
	return 0;
}

static void enter_enclave(void)
{
	static struct sgx_processor processor;
	static const struct sgx_enclave enclave = {report, &processor};

	if (!getenv("TEE_SGX_PROCESSOR"))
		return;
	sgx_processor_open(&processor, getenv("TEE_SGX_PROCESSOR"));
	tee_sgx_enter(&enclave);
}

static int command(int n, char **w)
{
	if (strcmp(w[0], "evidence") == 0 && n == 2)
		return evidence(w[1]);
	if (strcmp(w[0], "verify") == 0 && n >= 4)
		return verify(tee->ops->type, w[1], w[2], w[3], w + 4, n - 4);
	if (strcmp(w[0], "seal") == 0 && n == 3)
		return seal(w[1], w[2], false);
	if (strcmp(w[0], "unseal") == 0 && n == 3)
		return seal(w[1], w[2], true);
	if (strcmp(w[0], "count") == 0 && n == 2)
		return count(w[1], true);
	if (strcmp(w[0], "counter") == 0 && n == 2)
		return count(w[1], false);
	if (strcmp(w[0], "enrol") == 0 && n <= 2)
		return enrol(n == 2 ? w[1] : NULL);
	return 2;
}

int main(int argc, char **argv)
{
	const struct tee_ops *ops = argc > 3 ? tee_by_name(argv[1]) : NULL;
	int rc;

	if (argc == 6 && strcmp(argv[1], "verify") == 0)
		return verify(tee_type_parse(argv[2]), argv[3], argv[4], argv[5], NULL, 0);
	if (!ops)
		return 2;
	enter_enclave();
	if (strcmp(argv[3], "probe") == 0)
		return ops->probe(&err) < 0 ? failed() : 0;
	if (strcmp(argv[3], "extend") == 0 && argc == 6)
		return extend(argv[4], argv[5]);
	if (strcmp(argv[3], "forget") == 0 && argc == 5)
		return forget(argv[4]);
	if (strcmp(argv[3], "put") == 0 && argc == 6)
		return put(argv[4], argv[5]);
	if (strcmp(argv[3], "enrol-rsa") == 0)
		return enrol_rsa();
	if (ops->open(argv[2], &tee, &err) < 0)
		return failed();
	rc = command(argc - 3, argv + 3);
	ops->close(tee);
	return rc;
}
