#include "tee/sev_guest.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sev-guest.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "core/secret.h"
#include "evidence/intel_quote.h"
#include "evidence/snp_report.h"

#define MESSAGE_VERSION 1
#define CERTIFICATES_ROOM 0x4000 /* all that the kernel takes; whole pages */
#define PAGE 4096
#define ANSWER_HEAD 32 /* status u32; reports: size u32; reserved */
#define VMPL 0
#define STATUS_INVALID_PARAMETERS 0x16

static_assert(sizeof(struct snp_report_resp) >= ANSWER_HEAD + SNP_REPORT_LEN, "MSG_REPORT_RSP");
static_assert(sizeof(struct snp_derived_key_resp) == ANSWER_HEAD + SEV_GUEST_KEY_LEN, "MSG_KEY_RSP");

static int open_device(struct error *err)
{
	int fd = open(SEV_GUEST_DEVICE, O_RDWR | O_CLOEXEC), failed = errno;

	if (fd >= 0)
		return fd;
	error_set_errno(err, failed, SEV_GUEST_DEVICE);
	if (err && failed == ENOENT)
		err->code = ERR_NOT_FOUND;
	return -1;
}

int sev_guest_probe(struct error *err)
{
	int fd = open_device(err);

	if (fd < 0)
		return -1;
	close(fd);
	return 0;
}

/* The kernel tells what firmware and host said only where it fails. */
static int call(int fd, unsigned long request, const char *name, void *in, void *out, struct error *err)
{
	struct snp_guest_request_ioctl r = {.msg_version = MESSAGE_VERSION,
		.req_data = (uint64_t)(uintptr_t)in,
		.resp_data = (uint64_t)(uintptr_t)out};
	int failed;

	if (ioctl(fd, request, &r) == 0)
		return 0;
	failed = errno;
	return error_set_errno(err, failed, SEV_GUEST_DEVICE ": %s (firmware 0x%x, host 0x%x)", name,
		r.fw_error, r.vmm_error);
}

static int check_status(const char *name, const uint8_t *answer, struct error *err)
{
	uint32_t status = intel_u32(answer);

	if (status == 0)
		return 0;
	return error_set(err, ERR_CRYPTO, SEV_GUEST_DEVICE ": %s: the security processor answers 0x%x%s",
		name, status, status == STATUS_INVALID_PARAMETERS ? ", which is invalid parameters" : "");
}

/* A host without certificates gives zeros. */
static int put_certificates(const uint8_t *p, size_t n, struct buf *out, struct error *err)
{
	while (n > 0 && p[n - 1] == 0)
		n--;
	if (n == 0)
		return 0;
	buf_put(out, p, CERTIFICATES_ROOM);
	return out->failed ? error_set(err, ERR_LIMIT, "no room for certificates") : 0;
}

static int report_with(int fd, const uint8_t inblob[REPORT_DATA_LEN], uint8_t *certificates,
	struct buf *outblob, struct buf *auxblob, struct error *err)
{
	struct snp_ext_report_req extended = {.data.vmpl = VMPL,
		.certs_address = (uint64_t)(uintptr_t)certificates,
		.certs_len = CERTIFICATES_ROOM};
	struct snp_report_resp answer = {0};
	uint32_t size;

	memcpy(extended.data.user_data, inblob, REPORT_DATA_LEN);
	/* A host that does not know extended reports gives plain ones. */
	if (call(fd, SNP_GET_EXT_REPORT, "SNP_GET_EXT_REPORT", &extended, &answer, NULL) < 0) {
		memset(certificates, 0, CERTIFICATES_ROOM);
		memset(&answer, 0, sizeof(answer));
		if (call(fd, SNP_GET_REPORT, "SNP_GET_REPORT", &extended.data, &answer, err) < 0)
			return -1;
	}
	if (check_status("SNP_GET_REPORT", answer.data, err) < 0)
		return -1;
	size = intel_u32(answer.data + 4);
	if (size != SNP_REPORT_LEN)
		return error_set(err, ERR_IO, SEV_GUEST_DEVICE ": a report of %u bytes, wanted %d", size,
			SNP_REPORT_LEN);
	buf_put(outblob, answer.data + ANSWER_HEAD, size);
	if (outblob->failed)
		return error_set(err, ERR_LIMIT, "no room for a report");
	return put_certificates(certificates, CERTIFICATES_ROOM, auxblob, err);
}

int sev_guest_report(
	const uint8_t inblob[REPORT_DATA_LEN], struct buf *outblob, struct buf *auxblob, struct error *err)
{
	uint8_t *certificates = aligned_alloc(PAGE, CERTIFICATES_ROOM);
	int fd, rc;

	if (!certificates)
		return error_set(err, ERR_NOMEM, "no memory");
	memset(certificates, 0, CERTIFICATES_ROOM);
	buf_reset(outblob);
	buf_reset(auxblob);
	fd = open_device(err);
	rc = fd < 0 ? -1 : report_with(fd, inblob, certificates, outblob, auxblob, err);
	if (fd >= 0)
		close(fd);
	free(certificates);
	return rc;
}

int sev_guest_derive(const struct sev_guest_key *k, uint8_t ret[SEV_GUEST_KEY_LEN], struct error *err)
{
	struct snp_derived_key_req request = {
		.guest_field_select = k->mix, .vmpl = VMPL, .tcb_version = k->tcb};
	struct snp_derived_key_resp answer = {0};
	int fd = open_device(err), rc;

	if (fd < 0)
		return -1;
	rc = call(fd, SNP_GET_DERIVED_KEY, "SNP_GET_DERIVED_KEY", &request, &answer, err);
	close(fd);
	if (rc == 0)
		rc = check_status("SNP_GET_DERIVED_KEY", answer.data, err);
	if (rc == 0)
		memcpy(ret, answer.data + ANSWER_HEAD, SEV_GUEST_KEY_LEN);
	secret_wipe(&answer, sizeof(answer));
	return rc;
}
