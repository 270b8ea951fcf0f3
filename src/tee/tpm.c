/*
 * TPM 2.0: evidence is a quote over PCRs 0 to 15 with the firmware's event log; sealing is to this TPM and to PCRs; counters are in its NV memory.
 * Measured boot protects against a changed machine, not against its running root.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "evidence/workload.h"
#include "tee/keyfile.h"
#include "tee/tee.h"
#include "tee/tpm.h"
#include "tee/tpm_device.h"
#include "tee/tpm_quote.h"
#include "tee/tpm_seal.h"

#define AK_FILE "tpm-ak.blob" /* TPM2B_PUBLIC, TPM2B_PRIVATE: the private part is encrypted by the TPM */

struct tpm {
	struct tee tee;
	struct buf ak;
};

static struct tpm *tpm_of(struct tee *t)
{
	return (struct tpm *)t;
}

static int tpm_probe(struct error *err)
{
	TPMS_CAPABILITY_DATA *data = NULL;
	struct tpm_device d;
	TPMI_YES_NO more;
	TSS2_RC rc;

	if (strcmp(tpm_tcti(), TPM_DEFAULT) == 0 && access("/dev/tpmrm0", R_OK | W_OK) < 0)
		return error_set_errno(
			err, errno, "tee tpm: /dev/tpmrm0, and " TPM_ENV " names no other TPM");
	if (tpm_device_open(&d, err) < 0)
		return error_wrap(err, "tee tpm");
	rc = Esys_GetCapability(d.esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, TPM2_CAP_TPM_PROPERTIES,
		TPM2_PT_MANUFACTURER, 1, &more, &data);
	Esys_Free(data);
	tpm_device_close(&d);
	return rc == TSS2_RC_SUCCESS ? 0 : tpm_device_error(err, rc, "does not answer");
}

static void tpm_close(struct tee *t)
{
	if (!t)
		return;
	buf_free(&tpm_of(t)->ak);
	free(t);
}

static int tpm_open(const char *state_dir, struct tee **ret, struct error *err)
{
	int dir = keyfile_dir(state_dir, err);
	struct tpm *t;
	int rc;

	if (dir < 0)
		return error_wrap(err, "tee tpm");
	t = calloc(1, sizeof(*t));
	if (!t) {
		close(dir);
		return error_set(err, ERR_NOMEM, "no memory");
	}
	t->tee.ops = &tee_tpm_ops;
	buf_init_secret(&t->ak, KEYFILE_MAX);
	rc = keyfile_load(dir, state_dir, AK_FILE, tpm_ak_make, &t->ak, err);
	close(dir);
	if (rc < 0) {
		tpm_close(&t->tee);
		return error_wrap(err, "tee tpm");
	}
	*ret = &t->tee;
	return 0;
}

static void set_item(struct evidence *e, enum evidence_item i, const struct buf *b)
{
	if (b->len > 0)
		e->item[i] = (struct bytes){b->data, b->len};
}

static int tpm_quote(
	struct tee *t, const uint8_t report_data[REPORT_DATA_LEN], struct buf *out, struct error *err)
{
	struct evidence e = {.tee = TEE_TPM};
	struct tpm_quote_items q;
	int rc;

	tpm_quote_items_init(&q);
	rc = tpm_quote_make(&tpm_of(t)->ak, report_data, WORKLOAD_BOUND_LEN, &q, err);
	if (rc == 0) {
		set_item(&e, ITEM_STATEMENT, &q.statement);
		set_item(&e, ITEM_SIGNATURE, &q.signature);
		set_item(&e, ITEM_KEY, &q.key);
		set_item(&e, ITEM_EVENT_LOG, &q.log);
		set_item(&e, ITEM_VALUES, &q.values);
		rc = evidence_write(&e, out, err);
	}
	tpm_quote_items_free(&q);
	return rc < 0 ? error_wrap(err, "tee tpm") : 0;
}

static int tpm_tee_seal(
	struct tee *t, const char *label, const void *p, size_t n, struct buf *out, struct error *err)
{
	uint32_t pcrs;

	if (tpm_seal_pcrs(&pcrs, err) < 0 || tpm_seal(pcrs, label, p, n, out, err) < 0)
		return error_wrap(err, "tee tpm: seal \"%s\"", label);
	return 0;
}

static int tpm_tee_unseal(
	struct tee *t, const char *label, const void *p, size_t n, struct buf *out, struct error *err)
{
	return tpm_unseal(label, p, n, out, err) < 0 ? error_wrap(err, "tee tpm: unseal \"%s\"", label) : 0;
}

static int tpm_platform(struct tee *t, uint8_t ret[32], struct error *err)
{
	return tpm_ak_hash(&tpm_of(t)->ak, ret, err);
}

static int tpm_count_read(struct tee *t, const char *label, uint64_t *ret, struct error *err)
{
	return tpm_counter_read(label, ret, err);
}

static int tpm_count_up(struct tee *t, const char *label, uint64_t *ret, struct error *err)
{
	return tpm_counter_increment(label, ret, err);
}

int tee_tpm_enrol_keys(struct tee *t, struct buf *ek_public, struct buf *ek_certificate,
	struct buf *ak_public, struct error *err)
{
	return tpm_enrol_keys(&tpm_of(t)->ak, ek_public, ek_certificate, ak_public, err);
}

int tee_tpm_enrol_activate(struct tee *t, const uint8_t *id_object, size_t n, const uint8_t *secret,
	size_t secret_len, struct buf *out, struct error *err)
{
	return tpm_enrol_activate(&tpm_of(t)->ak, id_object, n, secret, secret_len, out, err);
}

const struct tee_ops tee_tpm_ops = {
	.type = TEE_TPM,
	.name = "tpm",
	.probe = tpm_probe,
	.open = tpm_open,
	.close = tpm_close,
	.evidence = tee_quote_workload,
	.quote = tpm_quote,
	.seal = tpm_tee_seal,
	.unseal = tpm_tee_unseal,
	.platform = tpm_platform,
	.counter_read = tpm_count_read,
	.counter_increment = tpm_count_up,
};
